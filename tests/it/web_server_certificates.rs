//! Real web servers in front of a portal, nginx and Apache, that ask for a client certificate: in
//! the TLS handshake, by TLS 1.2 renegotiation, and after the handshake of TLS 1.3.

use std::fs;

use crate::client_certificates::{Pki, CLIENT, PASSWORD};
use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{OpenSsl, P256, RSA, SERVER};
use crate::support::portal::{Endpoint, Fault, Guard, Portal, APP_ID};
use crate::support::scenario::{add_arguments, age_sign_in, expire_token, sign_in};
use crate::support::web_server::{
    apache_server, authority, front, nginx_server, write_certificates, WebServer, VERIFIED,
};

pub const ASKS: &str = "the web server in front of the portal asks for a client certificate";
pub const ASKS_LATE: &str =
    "asks for a client certificate only after it has read the request, when this program cannot present one";

/// `ssl_verify_client` as nginx has it: `on` and `optional` ask in the handshake, and `on` answers
/// each request without a certificate by 400.
fn asking_nginx(mode: &'static str, protocols: &'static str) -> impl Fn(&str, u16) -> String {
    move |at, port| {
        let server = format!(
            "ssl_protocols {protocols};\n\
             ssl_client_certificate {at}/ca.pem; ssl_verify_client {mode};\n\
             location / {{ return 403; }}\n"
        );
        nginx_server(at, port, "access_log off;", &server)
    }
}

/// Apache asks for a certificate below one path only, as IIS does by default: when it has read the
/// request.
pub fn apache(protocol: &'static str) -> impl Fn(&str, u16) -> String {
    move |at, port| {
        let server = format!(
            "SSLProtocol {protocol}\nSSLSessionCache none\nSSLCACertificateFile {at}/ca.pem\n\
             <Location /portal>\nSSLVerifyClient require\nSSLVerifyDepth 3\n</Location>\n"
        );
        apache_server(at, port, &[], &server)
    }
}

fn add(home: &Home, portal: &Portal, url: &str, flags: &[&str]) -> Outcome {
    let ca = portal.ca_file(home.path());
    let mut words = add_arguments("pki", url, APP_ID, ca.to_str().unwrap()).to_vec();
    words.extend(flags);
    home.run(words).done()
}

/// `connections add`, and each command of a connection that exists: the exit code says that trying
/// again does not help.
fn is_reported(
    program: &str,
    configuration: impl Fn(&str, u16) -> String,
    asks: &str,
    advice: &str,
) {
    let (portal, home) = (Portal::builder().start(), home());
    let folder = tempfile::tempdir().unwrap();
    write_certificates(&portal, folder.path());
    let server = WebServer::start(folder.path(), program, configuration);
    add(&home, &portal, &server.url(), &[])
        .code(7)
        .err_has(asks)
        .err_has(advice);
    add(
        &home,
        &portal,
        &server.url(),
        &[
            "--no-check",
            "--auth-type",
            "app",
            "--client-secret",
            "a-client-secret",
        ],
    )
    .ok();
    for words in [&["token"][..], &["whoami"], &["api", "portals/self"]] {
        home.run(words).done().code(7).err_has(asks);
    }
    assert_eq!(portal.requests().len(), 0);
}

#[test]
fn nginx_asks_for_a_client_certificate_and_this_is_reported() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        is_reported(
            "nginx",
            asking_nginx("on", protocol),
            ASKS,
            "--client-cert FILE.p12",
        );
        // The web server accepts the connection, and the application behind it refuses.
        is_reported(
            "nginx",
            asking_nginx("optional", protocol),
            ASKS,
            "--client-cert FILE.p12",
        );
    }
}

#[test]
fn apache_asks_for_a_client_certificate_by_renegotiation_and_this_is_reported() {
    is_reported(
        "apache2",
        apache("TLSv1.2"),
        ASKS_LATE,
        "clientcertnegotiation=enable",
    );
}

#[test]
fn apache_asks_for_a_client_certificate_after_the_handshake_and_this_is_reported() {
    is_reported(
        "apache2",
        apache("TLSv1.3"),
        ASKS_LATE,
        "clientcertnegotiation=enable",
    );
}

/// The whole walk of a person behind this front, with these options of `connections add`. Returns
/// the requests that the front counted, and what it found of certificates.
fn walk(client: &'static str, protocols: &'static str, pki: &Pki, options: &[&str]) -> String {
    walk_in(&home(), client, protocols, pki, options)
}

/// The same in this home.
pub fn walk_in(
    home: &Home,
    client: &'static str,
    protocols: &'static str,
    pki: &Pki,
    options: &[&str],
) -> String {
    let portal = Portal::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let clients = pki.files().certificate("root");
    let server = WebServer::in_front(folder.path(), &portal, &clients, client, protocols);
    let ca = portal.ca_file(home.path());
    let url = server.url();
    let mut words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap()).to_vec();
    words.extend(options);
    home.run(words).input(PASSWORD).done().ok();
    sign_in(home, &portal, "pki").ok();
    let saved = home.path().join("self.json");
    for words in [
        &["whoami"][..],
        &["refresh"],
        &["refresh", "--all"],
        &["token"],
        &["api", "portals/self"],
        &["api", "portals/self", "-o", saved.to_str().unwrap()],
        &["doctor"],
    ] {
        expire_token(home, "pki");
        home.run(words).done().ok();
    }
    // The exchange of the refresh token.
    age_sign_in(home, "pki", 9);
    home.run(["refresh", "--now"]).done().ok();
    home.run(["logout"]).done().ok();
    assert!(portal
        .grants()
        .iter()
        .any(|grant| grant == "exchange_refresh_token"));
    assert_eq!(portal.live_refresh_tokens(), 0);
    portal.assert_clean();
    fs::read_to_string(folder.path().join("access.log")).unwrap()
}

#[test]
fn a_person_works_behind_nginx_without_one_more_request() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    pki.client("otto", RSA, "");
    let requests = |log: &str| -> Vec<String> {
        let lines = log.lines();
        lines
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let without = walk("ssl_verify_client off;", "TLSv1.2 TLSv1.3", &pki, &[]);
    for (name, options, protocols) in [
        ("ana", "", "TLSv1.2 TLSv1.3"),
        ("otto", "", "TLSv1.2 TLSv1.3"),
        ("ana", "-legacy", "TLSv1.2"),
        ("otto", "-legacy", "TLSv1.2"),
    ] {
        let file = pki.pkcs12(name, options);
        let given = ["--client-cert", &file, "--client-cert-password-stdin"];
        let log = walk(VERIFIED, protocols, &pki, &given);
        let presented = format!(" SUCCESS CN={name}");
        assert!(log.lines().all(|line| line.ends_with(&presented)), "{log}");
        assert_eq!(requests(&log), requests(&without));
    }
}

/// Certificates that a web server does not accept, with the words for each: `good` takes the place
/// of the one that `connections add` reads.
fn rejected(pki: &Pki) -> [(&'static str, &'static str); 3] {
    let files = pki.files();
    let past = ["20200101000000Z", "20210101000000Z"];
    files.signed("revoked", P256, "root", CLIENT, "");
    files.signed_between("expired", "root", CLIENT, past);
    files.run(
        "ca -batch -md sha256 -config ca.conf -revoke revoked.pem -cert root.pem -keyfile root.key",
    );
    files.run("ca -batch -md sha256 -config ca.conf -gencrl -crldays 30 -cert root.pem -keyfile root.key -out crl.pem");
    let stranger = OpenSsl::new();
    stranger.self_signed("untrusted", P256, CLIENT, "");
    for file in [stranger.certificate("untrusted"), stranger.key("untrusted")] {
        let to = files
            .certificate("x")
            .with_file_name(file.file_name().unwrap());
        fs::copy(file, to).unwrap();
    }
    [
        ("expired", ": it has expired"),
        ("revoked", ": it was revoked"),
        (
            "untrusted",
            ": it does not trust the authority that issued it",
        ),
    ]
}

/// A connection that refers to a file, in which this certificate takes the place of a good one.
fn refer_to(home: &Home, pki: &Pki, url: &str, ca: &str, name: &str) {
    let file = home.path().join("own.pem");
    home.allow_secrets_in(&file);
    let write = |name: &str| {
        let key = fs::read_to_string(pki.files().key(name)).unwrap();
        fs::write(&file, pki.files().pem(name) + &key).unwrap();
    };
    write("ana");
    let reference = format!("file:{}", file.display());
    let mut words = add_arguments("pki", url, APP_ID, ca).to_vec();
    words.extend(["--no-check", "--client-cert", &reference]);
    home.run(words).done().ok();
    write(name);
}

#[test]
fn a_certificate_that_nginx_rejects_is_named() {
    let (pki, portal) = (Pki::new(), Portal::builder().start());
    pki.client("ana", P256, "");
    for (name, _) in rejected(&pki) {
        let (home, folder) = (home(), tempfile::tempdir().unwrap());
        write_certificates(&portal, folder.path());
        for file in ["root", "crl"] {
            let to = folder.path().join(format!("{file}.pem"));
            fs::copy(pki.files().certificate(file), to).unwrap();
        }
        let client = "ssl_client_certificate root.pem; ssl_verify_client on; ssl_crl crl.pem;";
        let server = WebServer::start(
            folder.path(),
            "nginx",
            front(&authority(&portal.url()), client, "TLSv1.2 TLSv1.3"),
        );
        let ca = portal.ca_file(home.path());
        refer_to(&home, &pki, &server.url(), ca.to_str().unwrap(), name);
        let said = home.run(["doctor"]).done().code(1).stdout;
        let words = format!("rejected the client certificate CN={name} (ends 20");
        assert!(said.contains(&words), "{said}");
    }
    assert!(portal.requests().is_empty());
}

#[test]
fn the_reason_of_a_tls_alert_is_named() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    pki.files().signed("server", P256, "root", SERVER, "");
    for (name, reason) in rejected(&pki) {
        for protocol in ["-tls1_2", "-tls1_3"] {
            let (root, crl) = (pki.files().file("root"), pki.files().file("crl"));
            let server = pki.files().server(
                "server",
                &format!("-Verify 3 -verify_return_error -CAfile {root} -CRL {crl} -crl_check {protocol}"),
            );
            let home = home();
            refer_to(&home, &pki, &server.url(), &root, name);
            let said = home.run(["doctor"]).done().code(1).stdout;
            let words = format!("rejected the client certificate CN={name} (ends 20");
            assert!(said.contains(&words), "{protocol}: {said}");
            assert!(said.contains(reason), "{protocol}: {said}");
        }
    }
}

#[test]
fn a_certificate_does_not_help_where_apache_asks_late() {
    let (pki, portal) = (Pki::new(), Portal::builder().start());
    pki.client("ana", P256, "");
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let (home, folder) = (home(), tempfile::tempdir().unwrap());
        write_certificates(&portal, folder.path());
        let server = WebServer::start(folder.path(), "apache2", apache(protocol));
        let file = pki.pkcs12("ana", "");
        let options = ["--client-cert", &file, "--client-cert-password-stdin"];
        let ca = portal.ca_file(home.path());
        let url = server.url();
        let mut words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap()).to_vec();
        words.extend(options);
        home.run(words)
            .input(PASSWORD)
            .done()
            .code(7)
            .err_has(ASKS_LATE)
            .err_has("clientcertnegotiation=enable");
    }
}

#[test]
fn rule_24e_a_redirect_to_a_server_that_asks_gets_nothing() {
    let (pki, portal, home) = (Pki::new(), Portal::builder().start(), home());
    pki.client("ana", P256, "");
    let file = pki.pkcs12("ana", "");
    let start = |client: &'static str| {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(&portal, folder.path());
        fs::copy(
            pki.files().certificate("root"),
            folder.path().join("clients.pem"),
        )
        .unwrap();
        let configuration = front(&authority(&portal.url()), client, "TLSv1.2 TLSv1.3");
        (
            WebServer::start(folder.path(), "nginx", configuration),
            folder,
        )
    };
    let (server, _folder) = start(VERIFIED);
    let (other, seen) = start("ssl_verify_client optional_no_ca;");
    let ca = portal.ca_file(home.path());
    let url = server.url();
    let mut words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap()).to_vec();
    words.extend(["--client-cert", &file, "--client-cert-password-stdin"]);
    home.run(words).input(PASSWORD).done().ok();
    sign_in(&home, &portal, "pki").ok();
    let to = format!("{}/sharing/rest/community/self", other.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::CommunitySelf, Fault::Redirect { status: 302, to });
    });
    home.run(["whoami"]).done().code(6);
    let log = fs::read_to_string(seen.path().join("access.log")).unwrap_or_default();
    assert_eq!(log, "");
}

#[test]
fn rule_24e_a_person_works_at_an_api_url_that_asks_while_the_browsers_address_is_guarded() {
    let (pki, home) = (Pki::new(), home());
    let portal = Portal::builder().guarded(Guard::Negotiate).start();
    pki.client("ana", P256, "");
    let file = pki.pkcs12("ana", "");
    let start = |upstream: &str, client: &'static str| {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(&portal, folder.path());
        let root = pki.files().certificate("root");
        fs::copy(root, folder.path().join("clients.pem")).unwrap();
        let configuration = front(&authority(upstream), client, "TLSv1.2 TLSv1.3");
        let server = WebServer::start(folder.path(), "nginx", configuration);
        (server, folder)
    };
    let (for_programs, presented) = start(&portal.api_url(), VERIFIED);
    // This one takes any certificate, and logs which.
    let (third, seen) = start(&portal.api_url(), "ssl_verify_client optional_no_ca;");
    let log = |folder: &tempfile::TempDir| {
        fs::read_to_string(folder.path().join("access.log")).unwrap_or_default()
    };
    let api = for_programs.url().replace("/portal", "/arcgis");
    let given = ["--client-cert", &file, "--client-cert-password-stdin"];
    let ca = portal.ca_file(home.path());
    let url = portal.url();
    let words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap()).to_vec();
    home.run([&words[..], &["--api-url", &api]].concat())
        .done()
        .code(7)
        .err_has(ASKS);
    home.run([&words[..], &["--api-url", &api], &given].concat())
        .input(PASSWORD)
        .done()
        .ok();
    sign_in(&home, &portal, "pki").ok();
    for words in [&["whoami"][..], &["token"], &["doctor"]] {
        expire_token(&home, "pki");
        home.run(words).done().ok();
    }
    let lines = log(&presented);
    let (served, refused): (Vec<_>, Vec<_>) = lines
        .lines()
        .partition(|line| line.ends_with(" SUCCESS CN=ana"));
    assert!(served.len() > 5, "{served:?}");
    assert_eq!(refused.len(), 1, "{refused:?}");
    // A redirect to a third server, and a connection that is moved there without the certificate.
    let to = format!("{}/sharing/rest/community/self", third.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::CommunitySelf, Fault::Redirect { status: 302, to });
    });
    home.run(["whoami"]).done().code(6);
    assert_eq!(log(&seen), "");
    portal.set(|rules| rules.clear_faults());
    let moved = third.url().replace("/portal", "/arcgis");
    let edit = ["connections", "edit", "pki", "--api-url", &moved];
    home.run(edit).done().code(2);
    assert_eq!(log(&seen), "");
    home.run([&edit[..], &["--client-cert", "none"]].concat())
        .done()
        .ok();
    let seen = log(&seen);
    assert!(seen.lines().all(|line| line.ends_with(" NONE -")), "{seen}");
    assert!(!seen.is_empty());
}
