//! Client certificates from Python: what the program gets, and what Esri's package presents.

use std::fs;
use std::path::Path;

use super::Dialogue;
use crate::client_certificates::{Pki, PASSWORD};
use crate::home;
use crate::support::openssl::{OpenSsl, P256, RSA};
use crate::support::portal::{Portal, APP_ID, USER};
use crate::support::scenario::{add_arguments, sign_in};
use crate::support::secret_scan;
use crate::support::web_server::{write_certificates, WebServer, VERIFIED};

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

/// A connection to the portal at this URL that has the certificate, signed in; then a script whose
/// `GIS` gets it as well.
fn esri_presents(portal: &Portal, url: &str, files: &OpenSsl, chain_pem: &str, folder: &Path) {
    let home = home();
    files.self_signed("stranger", P256, "", "");
    files.run("pkcs8 -topk8 -in ana.key -passout file:password.pem -out encrypted.key");
    for name in ["encrypted.key", "stranger.pem", "stranger.key"] {
        fs::copy(
            files.certificate("x").with_file_name(name),
            folder.join(name),
        )
        .unwrap();
    }
    let (ca, key) = (portal.ca_file(home.path()), files.key("ana"));
    let chain = folder.join("chain.pem");
    fs::write(&chain, chain_pem).unwrap();
    let both = folder.join("ana.pem");
    fs::write(
        &both,
        chain_pem.to_owned() + &fs::read_to_string(&key).unwrap(),
    )
    .unwrap();
    let [ca, chain, key, both, folder] =
        [&*ca, &*chain, &*key, &*both, folder].map(|path| path.display().to_string());
    let mut words = add_arguments("prod", url, APP_ID, &ca).to_vec();
    words.extend(["--client-cert", &both]);
    home.run(words).done().ok();
    sign_in(&home, portal, "prod").ok();
    let arguments = [USER, &*ca, &*chain, &*key, &*folder];
    let mut script = Dialogue::start(&home, "esri_certificate.py", &arguments);
    script.tell(PASSWORD).ends();
}

/// nginx, which takes each connection, and answers a request without a certificate with its page.
fn behind_nginx(protocols: &'static str) {
    let (portal, folder) = (Portal::builder().start(), tempfile::tempdir().unwrap());
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let clients = pki.files().certificate("root");
    let server = WebServer::in_front(folder.path(), &portal, &clients, VERIFIED, protocols);
    let chain = pki.files().pem("ana") + &pki.files().pem("issuing");
    esri_presents(&portal, &server.url(), pki.files(), &chain, folder.path());
    portal.assert_clean();
}

/// The certificate of the connection, whose private key is in this form.
fn every_way_behind_nginx(protocols: &'static str, form: &str) {
    let (portal, folder, home) = (
        Portal::builder().start(),
        tempfile::tempdir().unwrap(),
        home(),
    );
    let pki = Pki::new();
    pki.client("ana", if form == "pkcs1" { RSA } else { P256 }, "");
    let clients = pki.files().certificate("root");
    let server = WebServer::in_front(folder.path(), &portal, &clients, VERIFIED, protocols);
    match form {
        "pkcs8" => pki
            .files()
            .run("pkcs8 -topk8 -nocrypt -in ana.key -out form.key"),
        "pkcs1" => pki
            .files()
            .run("rsa -traditional -in ana.key -out form.key"),
        _ => pki.files().run("ec -in ana.key -out form.key"),
    }
    let key = fs::read_to_string(pki.files().key("form")).unwrap();
    secret_scan::register_key(&key);
    let both = folder.path().join("ana.pem");
    fs::write(
        &both,
        pki.files().pem("ana") + &pki.files().pem("issuing") + &key,
    )
    .unwrap();
    let ca = portal.ca_file(home.path()).display().to_string();
    let (url, both) = (server.url(), both.display().to_string());
    let mut words = add_arguments("prod", &url, APP_ID, &ca).to_vec();
    words.extend(["--client-cert", &both]);
    home.run(words).done().ok();
    fs::remove_file(&both).unwrap();
    sign_in(&home, &portal, "prod").ok();
    // A certificate that nginx does not take.
    pki.files().self_signed("stranger", P256, "", "");
    let stranger = folder.path().join("stranger.pem");
    let key = fs::read_to_string(pki.files().key("stranger")).unwrap();
    fs::write(&stranger, pki.files().pem("stranger") + &key).unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let [cert, key] = ["server.pem", "server.key"].map(|name| folder.path().join(name));
    let [cert, key, clients, temporary, stranger] =
        [cert, key, clients, temporary, stranger].map(|path| path.display().to_string());
    let arguments = [
        "certificate",
        "prod",
        USER,
        &cert,
        &key,
        &clients,
        &temporary,
        &stranger,
    ];
    Dialogue::start(&home, "behind.py", &arguments).ends();
    portal.assert_clean();
}

#[test]
fn rule_24e_requests_of_python_present_the_certificate_to_the_portal_alone() {
    every_way_behind_nginx("TLSv1.3", "pkcs8");
}

#[test]
fn requests_of_python_present_keys_of_older_forms() {
    every_way_behind_nginx("TLSv1.2", "pkcs1");
    every_way_behind_nginx("TLSv1.3", "sec1");
}

#[test]
fn esris_package_behind_nginx_presents_a_certificate_to_the_portal_alone() {
    behind_nginx("TLSv1.3");
}

#[test]
fn esris_package_behind_nginx_presents_a_certificate_by_tls_1_2() {
    behind_nginx("TLSv1.2");
}

/// A server that ends a connection without a certificate by an alert.
#[test]
fn esris_package_presents_a_certificate_that_the_handshake_demands() {
    let portal = Portal::builder().client_certificate_required().start();
    let (files, folder) = (OpenSsl::new(), tempfile::tempdir().unwrap());
    let own = portal.client_identity("ana");
    fs::write(files.certificate("ana"), &own.certificate_pem).unwrap();
    fs::write(files.key("ana"), &own.key_pem).unwrap();
    fs::write(files.certificate("password"), PASSWORD).unwrap();
    write_certificates(&portal, folder.path());
    fs::copy(
        portal.ca_file(folder.path()),
        folder.path().join("clients.pem"),
    )
    .unwrap();
    esri_presents(
        &portal,
        &portal.url(),
        &files,
        &own.certificate_pem,
        folder.path(),
    );
}
