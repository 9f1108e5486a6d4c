//! What a release consists of, used in the place that tests/artefacts/run has installed it in: adds
//! a connection, signs in, gets a token, signs out and removes the connection.

use std::path::Path;
use std::time::Instant;

use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, USER};
use crate::support::scenario::{add, sign_in};

/// The program that starts the artefact, which sees this system's temporary directory.
const VARIABLE: &str = "AGE_OAUTH_TEST_ARTEFACT";

/// Shown by `--nocapture`.
#[allow(clippy::print_stdout)] // What tests/artefacts/run counts.
fn tell(text: &str) {
    println!("{text}");
}

fn installed() -> Home {
    let program = std::env::var(VARIABLE)
        .unwrap_or_else(|_| panic!("{VARIABLE} is not set: this is run by tests/artefacts/run"));
    Home::new(program)
}

#[test]
#[ignore = "run by tests/artefacts/run, which installs an artefact"]
fn from_nothing_to_a_token() {
    let begun = Instant::now();
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = installed();
    let version = concat!("age-oauth ", env!("CARGO_PKG_VERSION"));
    assert_eq!(home.run(["--version"]).done().ok().line(), version);
    add(&home, &portal, "my_portal");
    sign_in(&home, &portal, "my_portal").ok();
    let token = home.run(["token"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    // `connections add`, `login` and `token`.
    let seconds = begun.elapsed().as_secs_f32();
    tell(&format!("first token: 3 commands, {seconds:.1} s"));

    assert_eq!(home.run(["whoami"]).done().ok().line(), USER);
    assert_eq!(home.files_containing(token.line()), Vec::<&Path>::new());
    home.run(["logout"]).done().ok();
    assert!(!portal.accepts_access_token(token.line()));
    home.run(["connections", "remove", "my_portal", "--yes"])
        .done()
        .ok();
    home.run(["connections", "list"]).done().ok().out("");
}

/// A static program can load no libraries, and says so.
#[test]
#[ignore = "run by tests/artefacts/run, which installs an artefact"]
fn a_static_program_has_no_tokens_of_certificates() {
    let home = installed();
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label=card",
        "--portal=https://gis.example.com/portal",
        "--client-id=c",
        "--client-cert=pkcs11:token=card",
    ])
    .done()
    .code(2)
    .err_has("this program is static");
}
