//! Windows sign-in from Python.

use std::collections::BTreeSet;
use std::fs;

use super::{command, Dialogue};
use crate::support::portal::{service_secret, SERVICE_ID, USER};
use crate::support::until;
use crate::windows_sign_in::{shown, Site};

#[test]
fn python_sets_windows_sign_in() {
    let site = Site::new();
    let ca = site.portal.ca_file(site.home.path()).display().to_string();
    let url = site.front.url();
    let arguments = [&*url, &*ca, SERVICE_ID];
    let mut script = Dialogue::start(&site.home, "windows_sign_in.py", &arguments);
    script.tell(service_secret()).ends();
}

/// All kinds of requests, whose answers the web server takes each once; a server of another name
/// gets none.
#[test]
fn rule_24f_requests_of_python_answer_windows_sign_in_at_the_portal_alone() {
    let site = Site::signed_in();
    let temporary = tempfile::tempdir().unwrap();
    let temporary = temporary.path().display().to_string();
    let [cert, key] = site.front.certificate();
    let arguments = ["windows", "iwa", USER, &cert, &key, "", &temporary, ""];
    let mut script = Dialogue::start(&site.home, "behind.py", &arguments);
    script.ends();
    let seen = site.front.seen();
    let tokens: Vec<_> = seen.iter().filter_map(|one| one.token.as_ref()).collect();
    let different: BTreeSet<_> = tokens.iter().collect();
    assert_eq!(tokens.len(), different.len());
    site.portal.assert_clean();
}

/// However an interpreter ends, it says nothing, and no process of the program stays.
#[test]
fn the_process_for_python_ends_with_the_interpreter() {
    let site = Site::signed_in();
    for way in ["plain", "thread", "last", "fork", "exit", "killed"] {
        let output = command(&site.home, "ends.py", &["iwa", way])
            .env("PYTHONWARNINGS", "default:subprocess:ResourceWarning")
            .output()
            .unwrap();
        assert_eq!(
            output.status.success(),
            way != "killed",
            "{way}: {output:?}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{way}");
        let said = String::from_utf8(output.stdout).unwrap();
        let pids: Vec<_> = said.lines().collect();
        let expected = if ["last", "fork"].contains(&way) {
            2
        } else {
            1
        };
        assert_eq!(pids.len(), expected, "{way}: {said}");
        for pid in pids {
            let command = format!("/proc/{pid}/cmdline");
            let lives = || fs::read(&command).is_ok_and(|line| line.ends_with(b"web-tier\0"));
            until(|| !lives());
        }
    }
}

#[test]
fn rule_24f_a_form_of_python_waits_until_the_web_server_has_let_in() {
    let site = Site::signed_in();
    let requests = site.front.requests_of(|| {
        Dialogue::start(&site.home, "posts.py", &["iwa", USER]).ends();
    });
    let forms = "200 POST /community/self +body";
    assert_eq!(shown(&requests), ["200 GET ", forms, forms]);
}
