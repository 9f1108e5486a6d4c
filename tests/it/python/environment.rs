//! What the environment names, from Python: certificate authorities and proxies.

use super::{command, succeeds};
use crate::home;
use crate::signed_in;
use crate::support::openssl::{OpenSsl, AUTHORITY, P256, SERVER};
use crate::support::portal::{Portal, APP_ID, USER};
use crate::support::scenario::{add_arguments, sign_in};

#[test]
fn python_trusts_what_the_program_trusts() {
    let ssl = OpenSsl::new();
    for name in ["own", "added"] {
        ssl.self_signed(name, P256, AUTHORITY, "");
    }
    ssl.signed("portal", P256, "own", SERVER, "");
    ssl.signed("other", P256, "added", SERVER, "");
    let home = home();
    let portal = Portal::builder()
        .identity(ssl.identity(&["portal"]))
        .start();
    home.run(add_arguments(
        "prod",
        &portal.url(),
        APP_ID,
        &ssl.file("own"),
    ))
    .done()
    .ok();
    sign_in(&home, &portal, "prod").ok();
    let folder = ssl.certificate("own");
    let folder = folder.parent().unwrap().to_str().unwrap();
    succeeds(
        &command(&home, "environment_trust.py", &[USER, folder])
            .output()
            .unwrap(),
    );
    portal.assert_clean();
}

#[test]
fn python_reads_the_proxy_of_the_environment_as_the_program_does() {
    let (portal, home) = signed_in();
    succeeds(
        &command(&home, "environment_proxy.py", &[USER])
            .output()
            .unwrap(),
    );
    portal.assert_clean();
}
