//! Network connections from Python.

use std::fs;

use super::Dialogue;
use crate::client_certificates::PASSWORD;
use crate::network::Behind;
use crate::support::portal::{OTHER_USER, USER};

#[test]
fn python_works_as_whom_the_web_server_vouches_for() {
    let behind = Behind::nginx();
    let (files, home) = (behind.files(), &behind.home);
    // Esri's package gets the certificate from the script.
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    fs::write(&cert, files.pem("ana") + &files.pem("issuing")).unwrap();
    fs::copy(files.key("ana"), &key).unwrap();
    home.allow_secrets_in(&key);
    let arguments = [
        &*behind.url,
        &*behind.ca,
        &*behind.certificate,
        cert.to_str().unwrap(),
        key.to_str().unwrap(),
        USER,
        OTHER_USER,
    ];
    let mut script = Dialogue::start(home, "network.py", &arguments);
    assert_eq!(script.tell(PASSWORD).line(), "vouch");
    behind.vouch_for(OTHER_USER);
    script.tell("done").ends();
    behind.portal.assert_clean();
}
