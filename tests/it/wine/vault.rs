//! Who may read the key file of a vault, by the Windows build. Wine has no access lists:
//! `tests/windows/icacls.rs` saves the one that a test puts beside the file.

use std::fs;

use super::{in_wine, launcher, variable};
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Portal, APP_ID};
use crate::support::scenario::{add_arguments, sign_in};

/// The user alone, as this program's user in wine is known to Windows.
const OWN: &str = "D:PAI(A;;FA;;;S-1-5-21-0-0-0-1000)(A;;FA;;;SY)(A;;FA;;;BA)";

struct Windows {
    home: Home,
    _portal: Portal,
    _programs: tempfile::TempDir,
}

impl Windows {
    fn signed_in() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        let home = in_wine(&launcher(programs.path(), &program));
        let portal = Portal::builder().start();
        let ca = portal.ca_file(home.path()).display().to_string();
        let url = portal.url();
        home.run(add_arguments("prod", &url, APP_ID, &ca))
            .done()
            .ok();
        sign_in(&home, &portal, "prod").ok();
        Self {
            home,
            _portal: portal,
            _programs: programs,
        }
    }

    /// Puts this access list beside the file, which need not exist.
    fn list(&self, file: &str, list: &str) {
        fs::write(self.home.path().join(format!("{file}.acl")), list).unwrap();
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_key_file_that_others_may_read_is_refused_and_doctor_says_so() {
    const KEY: &str = "store.key/vault.key";
    let windows = Windows::signed_in();
    for others in ["", "(A;;FR;;;S-1-5-21-7-8-9-1105)(A;;FR;;;LS)(D;;FA;;;WD)"] {
        windows.list(KEY, &format!("{OWN}{others}"));
        windows.run(&["token"]).ok();
    }
    for (entry, who) in [
        ("(A;;FR;;;BU)", "Users (S-1-5-32-545)"),
        ("(A;ID;0x1301bf;;;AU)", "Authenticated Users (S-1-5-11)"),
        (
            "(A;;FR;;;S-1-5-21-7-8-9-513)",
            "Domain Users (S-1-5-21-7-8-9-513)",
        ),
    ] {
        windows.list(KEY, &format!("{OWN}{entry}"));
        let error = windows.run(&["token", "--json"]).code(5).error_json();
        assert_eq!(error["error"]["reason"], "unsafe_key", "{error}");
        let hint = error["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("icacls FILE"), "{hint}");
        let why = format!("its access list lets others read or change it: {who}");
        assert!(error.to_string().contains(&why), "{error}");
        let checked = windows.run(&["doctor", "--offline"]).code(1).stdout;
        assert!(checked.contains(&why), "{checked}");
    }
    // A list that cannot be read is not taken for a private one.
    windows.list(KEY, "");
    windows
        .run(&["token"])
        .code(5)
        .err_has("who may read it cannot be found out");
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn no_vault_is_sealed_with_a_new_key_that_others_may_read() {
    let windows = Windows::signed_in();
    windows.list("new.key", &format!("{OWN}(A;ID;FR;;;BU)"));
    let rekey = ["vault", "rekey", "--key-file", "new.key"];
    windows
        .run(&rekey)
        .code(5)
        .err_has("its access list lets others read or change it: Users (S-1-5-32-545)");
    assert!(!windows.home.path().join("new.key").exists());
    windows.run(&["token"]).ok();
    windows.list("new.key", OWN);
    windows.run(&rekey).ok();
    assert!(windows.home.path().join("new.key").exists());
}
