//! Pinned certificates from Python: accepted at the portal, and an authority nowhere.

use super::{command, Dialogue};
use crate::home;
use crate::support::openssl::{OpenSsl, AUTHORITY, P256, SERVER};
use crate::support::portal::{Portal, APP_ID, USER};
use crate::support::scenario::{add_arguments, sign_in};

/// A script against a portal that shows the pinned certificate, and other servers that show
/// `refused`, and `trusted` by an authority of the system.
fn accepts_the_pin(ssl: &OpenSsl, pinned: &str, refused: &str, trusted: Option<&str>) {
    let home = home();
    let portal = Portal::builder().identity(ssl.identity(&[pinned])).start();
    let pin = format!("pin:{}", ssl.file(pinned));
    home.run(add_arguments("prod", &portal.url(), APP_ID, &pin))
        .done()
        .ok();
    sign_in(&home, &portal, "prod").ok();
    let file = ssl.certificate(pinned);
    let folder = file.parent().unwrap().display().to_string();
    let arguments = [USER, &*folder, refused, trusted.unwrap_or("none")];
    let mut script = command(&home, "pinned.py", &arguments);
    if trusted.is_some() {
        script.env("SSL_CERT_FILE", ssl.file("root"));
    }
    Dialogue::of(script).ends();
    portal.assert_clean();
}

#[test]
fn rule_15_a_pinned_certificate_is_no_authority_in_python() {
    let ssl = OpenSsl::new();
    // An authority, by its own words, that names no host.
    ssl.self_signed("pinned", P256, "basicConstraints=critical,CA:TRUE", "");
    ssl.signed("server", P256, "pinned", SERVER, "");
    accepts_the_pin(&ssl, "pinned", "server", None);
}

#[test]
fn a_pinned_certificate_of_a_private_authority_is_accepted_in_python() {
    let ssl = OpenSsl::new();
    ssl.self_signed("private", P256, AUTHORITY, "");
    ssl.signed("pinned", P256, "private", SERVER, "");
    ssl.signed("sister", P256, "private", SERVER, "");
    ssl.self_signed("root", P256, AUTHORITY, "");
    ssl.signed("trusted", P256, "root", SERVER, "");
    accepts_the_pin(&ssl, "pinned", "sister", Some("trusted"));
}
