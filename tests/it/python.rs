//! The Python package: real Python, Esri's real `arcgis`, the practice portal over TLS with a certificate authority of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::home::Home;
use crate::support::portal::{Endpoint, Fault, Foreign, Manner, Portal, USER};
use crate::support::walk::{add, add_service, sign_in};
use crate::{home, signed_in};

/// The Python that has `arcgis`, `requests` and `httpx`; `tests/run` makes it.
fn interpreter() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    std::env::var_os("AGE_OAUTH_TEST_PYTHON").map_or(made, PathBuf::from)
}

/// Runs a script of `tests/python` in this home.
fn script(home: &Home, name: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(interpreter())
        .arg(root.join("tests/python").join(name))
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .env("PYTHONPATH", root.join("src/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AGE_OAUTH_BIN", env!("CARGO_BIN_EXE_age-oauth"))
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{}: {why}; tests/run makes it", interpreter().display()))
}

#[track_caller]
fn passes(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // Nothing of ours goes to the script's own stdout.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}

/// Requests for more than what everybody may see carried a token.
#[track_caller]
fn none_was_anonymous(portal: &Portal) {
    for endpoint in [Endpoint::CommunitySelf, Endpoint::User, Endpoint::Search] {
        for request in portal.requests_to(endpoint) {
            let header = request.header("x-esri-authorization").unwrap_or_default();
            assert!(header.starts_with("Bearer "), "{endpoint:?} was anonymous");
        }
    }
}

#[test]
fn a_gis_is_signed_in_and_searches() {
    let (portal, home) = signed_in();
    passes(&script(&home, "gis.py", &[USER]));
    none_was_anonymous(&portal);
    portal.assert_clean();
}

#[test]
fn a_gis_outlives_its_token_with_four_threads_at_work() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.user_access_seconds = 4);
    passes(&script(&home, "outlives.py", &[]));
    none_was_anonymous(&portal);
}

#[test]
fn an_applications_gis_is_signed_in() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add_service(&home, &portal, "service");
    passes(&script(&home, "application.py", &[]));
}

#[test]
fn names_of_old_work_or_say_what_to_use() {
    let (portal, home) = signed_in();
    add(&home, &portal, "second");
    sign_in(&home, &portal, "second").ok();
    passes(&script(&home, "names.py", &[USER]));
}

#[test]
fn a_portal_that_is_down_and_a_sign_in_that_died_have_their_own_errors() {
    let (portal, home) = signed_in();
    home.run(["token"]).done().ok();
    portal.stop();
    passes(&script(&home, "fails.py", &["PortalUnreachable", "doctor"]));
    portal.start_again();
    portal.revoke_all();
    passes(&script(
        &home,
        "fails.py",
        &["SignInRequired", "age-oauth login"],
    ));
    home.run(["token", "--force"]).done().code(3);
    passes(&script(
        &home,
        "fails.py",
        &["SignInRequired", "age-oauth login"],
    ));
}

#[test]
fn tokens_go_nowhere_else() {
    let (portal, home) = signed_in();
    let foreign = Foreign::start(&portal);
    portal.set(|rules| {
        rules.fault_always(
            Endpoint::Search,
            Fault::Redirect {
                status: 302,
                to: format!("{}/caught", foreign.url()),
            },
        );
    });
    let federated = format!("{}/rest/services?f=json", portal.server_url());
    passes(&script(
        &home,
        "foreign.py",
        &[
            &portal.ca_file(home.path()).display().to_string(),
            &federated,
            &foreign.url(),
        ],
    ));
    assert!(foreign
        .requests()
        .iter()
        .all(|request| request.header("x-esri-authorization").is_none()));
    portal.assert_clean();
}
