//! Client certificates from Python.

use std::fs;

use super::Dialogue;
use crate::client_certificates::PASSWORD;
use crate::home;
use crate::support::openssl::OpenSsl;
use crate::support::portal::{Portal, APP_ID};
use crate::support::secret_scan;

#[test]
fn python_gives_a_certificate_and_its_password() {
    let portal = Portal::builder().client_certificate_required().start();
    let (home, files) = (home(), OpenSsl::new());
    let own = portal.client_identity("ana");
    fs::write(files.certificate("ana"), own.certificate_pem + &own.key_pem).unwrap();
    fs::write(files.certificate("password"), PASSWORD).unwrap();
    secret_scan::register(PASSWORD);
    files.run("pkcs12 -export -in ana.pem -passout file:password.pem -out ana.p12.pem");
    let (url, file) = (portal.url(), files.file("ana.p12"));
    let ca = portal.ca_file(home.path()).display().to_string();
    let arguments = [&*url, &*ca, APP_ID, &*file];
    let mut script = Dialogue::start(&home, "client_certificates.py", &arguments);
    script.tell(PASSWORD).ends();
}
