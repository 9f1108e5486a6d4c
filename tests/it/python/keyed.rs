//! Connections with an API key from Python.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use super::Dialogue;
use crate::home;
use crate::support::portal::{Portal, PortalVersion, OTHER_USER, USER};

#[test]
fn python_gives_and_uses_an_api_key() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    let [key, second] = [0, 1].map(|_| portal.make_api_key(USER, 300));
    home.allow_secrets_in("kept");
    fs::write(home.path().join("kept"), &key).unwrap();
    let printer = format!("/bin/cat {}", home.path().join("kept").display());
    let end = Timestamp::now() + SignedDuration::from_hours(24 * 200);
    let end = format!("{end:.0}");
    let url = portal.url();
    let arguments = [&*url, &*ca, &*end, &*printer, USER];
    let mut script = Dialogue::start(&home, "api_key.py", &arguments);
    script.tell(&key).tell(&second);
    script.tell(&portal.make_api_key(OTHER_USER, 300));
    assert_eq!(script.line(), "revoke");
    portal.revoke_api_key(&second);
    script.tell("done").ends();
}
