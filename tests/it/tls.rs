//! Which certificates are accepted, and what is reported about the others (rules 14 and 15).

use std::path::{Path, PathBuf};

use age_oauth::testing::{probe, to_pem, Http, PortalInfo};
use age_oauth::{
    Clock, Context, Deadline, Environment, Error, Observer, PortalUrl, Proxy, Refusal, Tls,
    TlsFailure, TlsFailureKind, Unreachable,
};

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Certificate, Portal, APP_ID};
use crate::support::scenario::{add, add_arguments, nothing_was_created, sign_in};

/// A context with only these variables.
fn context(variables: &[(&str, &Path)]) -> Context {
    Context {
        clock: Clock::system(),
        deadline: Deadline::never(),
        environment: Environment::of(variables.iter().map(|(name, value)| (*name, *value))),
        observer: Observer::silent(),
        ..Context::process()
    }
}

/// Probes the portal at `url`.
fn ask_at(url: &str, tls: &Tls, context: &Context) -> Result<PortalInfo, Error> {
    let url = url.parse().unwrap();
    probe(&Http::new(&url, tls, &Proxy::System, None, context)?)
}

fn ask(portal: &Portal, tls: &Tls) -> Result<PortalInfo, Error> {
    ask_at(&portal.url(), tls, &context(&[]))
}

/// A folder with the portal's authority in a file.
fn with_ca(portal: &Portal) -> (tempfile::TempDir, Tls) {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::Ca(portal.ca_file(folder.path()));
    (folder, tls)
}

/// Stores the certificate in `failure` as a file of trusted certificates, as pinning does.
fn pinned(failure: &TlsFailure, folder: &Path) -> PathBuf {
    let path = folder.join("pinned.pem");
    std::fs::write(&path, to_pem(&[&failure.chain[0]])).unwrap();
    path
}

#[track_caller]
fn failure(answer: Result<PortalInfo, Error>) -> TlsFailure {
    match answer {
        Err(Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        }) => *failure,
        other => panic!("no TLS failure: {other:?}"),
    }
}

/// The error of a portal with this kind of certificate, for a client that trusts its authority.
#[track_caller]
fn refusal(kind: Certificate) -> TlsFailure {
    let portal = Portal::builder().certificate(kind).start();
    let (_folder, tls) = with_ca(&portal);
    let failure = failure(ask(&portal, &tls));
    assert!(portal.requests().is_empty(), "a request was sent");
    failure
}

#[test]
fn a_private_authority_is_trusted_only_when_given() {
    let portal = Portal::builder().start();
    let (_folder, tls) = with_ca(&portal);
    ask(&portal, &tls).unwrap();
    let before = portal.connections();
    let refused = failure(ask(&portal, &Tls::System));
    assert_eq!(refused.kind, TlsFailureKind::UnknownIssuer);
    let tries = portal.connections() - before;
    assert_eq!(tries, 1, "trying again does not fix a certificate");
}

#[test]
fn an_intermediate_is_used_when_sent_and_reported_when_missing() {
    let portal = Portal::builder().certificate(Certificate::Chain).start();
    let (_folder, tls) = with_ca(&portal);
    ask(&portal, &tls).unwrap();
    let refused = failure(ask(&portal, &Tls::System));
    assert_eq!(refused.kind, TlsFailureKind::UnknownIssuer);
    assert_eq!(refused.chain.len(), 2, "the chain as shown");
    assert_eq!(
        refusal(Certificate::BrokenChain).kind,
        TlsFailureKind::IncompleteChain
    );
}

/// Rule 15: self-signed, wrong host, expired, unknown authority (and not yet valid) are
/// distinguished.
#[test]
fn rule_15_each_certificate_error_has_its_own_message_and_facts() {
    let mut messages = Vec::new();
    for (kind, expected) in [
        (
            Certificate::UnknownAuthority,
            TlsFailureKind::IncompleteChain,
        ),
        (Certificate::WrongHost, TlsFailureKind::WrongHost),
        (Certificate::Expired, TlsFailureKind::Expired),
        (Certificate::NotYetValid, TlsFailureKind::NotYetValid),
    ] {
        let refused = refusal(kind);
        assert_eq!(refused.kind, expected);
        let facts = refused.certificate.clone().unwrap();
        assert_eq!(facts.sha256.len(), 32 * 3 - 1);
        assert_eq!(
            facts.sha256,
            age_oauth::testing::fingerprint(&refused.chain[0])
        );
        assert!(!facts.self_signed);
        match kind {
            Certificate::UnknownAuthority => {
                assert_eq!(facts.issuer, "CN=Unheard-of Root CA");
                assert_eq!(facts.subject, "CN=localhost");
                assert!(facts.names.contains(&"127.0.0.1".to_owned()));
                assert!(facts.names.contains(&"::1".to_owned()));
            }
            Certificate::WrongHost => assert_eq!(facts.names, ["elsewhere.example.org"]),
            Certificate::Expired => assert!(facts.not_after.starts_with("2002-01-01T")),
            _ => assert!(facts.not_before.starts_with("2100-01-01T")),
        }
        messages.push(refused.kind.to_string());
    }
    let portal = self_signed();
    let refused = failure(ask(&portal, &Tls::System));
    assert_eq!(refused.kind, TlsFailureKind::SelfSigned);
    assert!(refused.certificate.unwrap().self_signed);
    messages.push(refused.kind.to_string());
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 5);
}

fn self_signed() -> Portal {
    Portal::builder()
        .certificate(Certificate::SelfSigned)
        .start()
}

#[test]
fn a_self_signed_certificate_that_is_marked_as_an_authority_is_accepted_when_pinned() {
    let portal = self_signed();
    let (_folder, tls) = with_ca(&portal);
    ask(&portal, &tls).unwrap();
    // The certificate of another self-signed portal does not help.
    let other = self_signed();
    let (_folder, tls) = with_ca(&other);
    assert_eq!(failure(ask(&portal, &tls)).kind, TlsFailureKind::SelfSigned);
}

/// Rule 15: being pinned excuses neither the dates, nor the name of a host that the certificate was
/// not pinned for.
#[test]
fn rule_15_a_pinned_certificate_must_match_the_host_and_be_valid_now() {
    for (kind, host, expected) in [
        (
            Certificate::WrongHost,
            "127.0.0.1",
            TlsFailureKind::WrongHost,
        ),
        (Certificate::Expired, "localhost", TlsFailureKind::Expired),
        (
            Certificate::NotYetValid,
            "localhost",
            TlsFailureKind::NotYetValid,
        ),
    ] {
        let portal = Portal::builder().certificate(kind).start();
        let shown = failure(ask(&portal, &Tls::System));
        let folder = tempfile::tempdir().unwrap();
        let path = pinned(&shown, folder.path());
        let refused = |tls| failure(ask(&portal, &tls)).kind;
        assert_eq!(refused(Tls::Ca(path.clone())), expected);
        let host = host.to_owned();
        assert_eq!(refused(Tls::Pinned { path, host }), expected);
        assert!(portal.requests().is_empty());
    }
    // For its host, it needs neither a name nor an authority that is known.
    for kind in [Certificate::UnknownAuthority, Certificate::WrongHost] {
        let portal = Portal::builder().certificate(kind).start();
        let shown = failure(ask(&portal, &Tls::System));
        let folder = tempfile::tempdir().unwrap();
        let path = pinned(&shown, folder.path());
        let host = portal.url().parse::<PortalUrl>().unwrap().host().to_owned();
        ask(&portal, &Tls::Pinned { path, host }).unwrap();
    }
}

#[test]
fn a_pinned_certificate_does_not_certify_others() {
    let (one, other) = (self_signed(), Portal::builder().start());
    let (_folder, tls) = with_ca(&one);
    assert_eq!(
        failure(ask(&other, &tls)).kind,
        TlsFailureKind::IncompleteChain
    );
}

#[test]
fn a_bundle_from_the_environment_adds_trust_and_removes_none() {
    let portal = Portal::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let bundle = portal.ca_file(folder.path());
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        let context = context(&[(name, &bundle)]);
        ask_at(&portal.url(), &Tls::System, &context).unwrap();
    }
    // The first readable one counts; an unreadable one is skipped.
    let missing = folder.path().join("missing.pem");
    let both = context(&[("SSL_CERT_FILE", &missing), ("CURL_CA_BUNDLE", &bundle)]);
    ask_at(&portal.url(), &Tls::System, &both).unwrap();
    // The connection's own file and the bundle count together.
    let (second, elsewhere) = (Portal::builder().start(), tempfile::tempdir().unwrap());
    let own = Tls::Ca(second.ca_file(elsewhere.path()));
    let with_bundle = context(&[("SSL_CERT_FILE", &bundle)]);
    ask_at(&portal.url(), &own, &with_bundle).unwrap();
    ask_at(&second.url(), &own, &with_bundle).unwrap();
    // A bundle is a list of authorities, never a pin.
    let expired = Portal::builder().certificate(Certificate::Expired).start();
    let bundle = expired.ca_file(folder.path());
    let refused = failure(ask_at(
        &expired.url(),
        &Tls::System,
        &context(&[("SSL_CERT_FILE", &bundle)]),
    ));
    assert_eq!(refused.kind, TlsFailureKind::Expired);
}

#[test]
fn a_request_for_a_client_certificate_is_reported_as_web_tier_authentication() {
    let portal = Portal::builder().client_certificate_required().start();
    let (_folder, tls) = with_ca(&portal);
    match ask(&portal, &tls) {
        Err(Error::Refused {
            why: Refusal::ClientCertificate,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    let home = home();
    try_to_add(&home, &portal, "true").code(6);
    let ca = portal.ca_file(home.path());
    try_to_add(&home, &portal, ca.to_str().unwrap())
        .code(7)
        .err_has("certificate")
        .err_has("hint: ");
    nothing_was_created(&home);
}

/// Rule 14: plain HTTP to another machine is refused before any name is resolved.
#[test]
fn rule_14_plain_http_is_only_for_loopback() {
    let home = home();
    for portal in [
        "http://gis.example.org/portal",
        "http://localhost.example.org/portal",
        "http://localhostx/portal",
        "http://127.0.0.1.example.org/portal",
        "http://x.localhost.example.org/portal",
    ] {
        let mut words = add_arguments("x", portal, APP_ID, "true").to_vec();
        words.push("--no-check");
        home.run(words).done().code(2).err_has("http");
        nothing_was_created(&home);
    }
}

fn try_to_add(home: &Home, portal: &Portal, verify: &str) -> crate::support::home::Outcome {
    let url = portal.url();
    home.run(add_arguments("prod", &url, APP_ID, verify)).done()
}

#[test]
fn add_reports_a_bad_certificate_and_creates_nothing() {
    for (kind, words) in [
        (
            Certificate::UnknownAuthority,
            "this machine does not trust that authority",
        ),
        (Certificate::WrongHost, "another host name"),
        (Certificate::Expired, "expired"),
        (Certificate::NotYetValid, "not valid yet"),
    ] {
        let portal = Portal::builder().certificate(kind).start();
        let home = home();
        let ca = portal.ca_file(home.path());
        let said = try_to_add(&home, &portal, ca.to_str().unwrap())
            .code(6)
            .out("")
            .err_has(words)
            .err_has("cause: certificate of ")
            .err_has("SHA-256")
            .err_has("hint: ");
        assert!(said.stderr.contains(&portal.url()), "{}", said.stderr);
        nothing_was_created(&home);
    }
    let home = home();
    try_to_add(&home, &self_signed(), "true")
        .code(6)
        .err_has("self-signed");
    nothing_was_created(&home);
}

#[test]
fn from_add_to_token_at_a_self_signed_portal() {
    let (portal, home) = (self_signed(), home());
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
    // The copy in the connection's folder counts, not the file that it came from.
    std::fs::remove_file(home.path().join("ca.pem")).unwrap();
    home.run(["token", "--force"]).done().ok();
}

/// Certificates from a file, a card or the portal are not written anywhere before the connection is
/// stored: a process that is ended in between leaves nothing.
#[test]
fn certificates_need_no_folder_for_temporary_files() {
    let (portal, mut home) = (self_signed(), home());
    let missing = home.path().join("missing");
    for name in ["TMPDIR", "TMP", "TEMP"] {
        home.set(name, missing.to_str().unwrap());
    }
    let ca = portal.ca_file(home.path());
    let ca = ca.to_str().unwrap();
    try_to_add(&home, &portal, ca).ok();
    let pinned = format!("pin:{ca}");
    for verify in [ca, &pinned] {
        home.run(["connections", "edit", "prod", "--verify-ssl", verify])
            .done()
            .ok();
    }
    // The stored certificates verify the portal where the change is another one.
    home.run(["connections", "edit", "prod", "--verify-ssl", ca])
        .done()
        .ok();
    home.run(["connections", "edit", "prod", "--proxy", "none"])
        .done()
        .ok();
    assert!(!missing.exists());
}

/// A connection that works must not be changed because its portal has the wrong certificate for a
/// night: another portal URL costs the sign-in.
#[test]
fn a_stored_connection_keeps_its_portal_url_when_the_certificate_names_another_host() {
    let portal = Portal::builder()
        .certificate(Certificate::WrongHost)
        .start();
    let home = home();
    try_to_add(&home, &portal, "false").ok();
    sign_in(&home, &portal, "prod").ok();
    let ca = portal.ca_file(home.path());
    let verify = ["--verify-ssl", ca.to_str().unwrap(), "--no-check"];
    home.run([&["connections", "edit", "prod"][..], &verify].concat())
        .done()
        .ok();
    let said = home.run(["whoami"]).done().code(6);
    assert!(
        said.stderr.contains("connections show prod"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("guest network"), "{}", said.stderr);
    for wrong in ["--portal", "--verify-ssl"] {
        assert!(!said.stderr.contains(wrong), "{wrong}: {}", said.stderr);
    }
}

/// An unverified connection causes a warning at every command that uses the network, and at no
/// other.
#[test]
fn an_unverified_connection_works_and_warns_each_time() {
    let portal = Portal::builder()
        .certificate(Certificate::WrongHost)
        .start();
    let home = home();
    try_to_add(&home, &portal, "false").ok();
    let warned = |stderr: &str| {
        stderr
            .lines()
            .filter(|line| line.contains("warning"))
            .count()
    };
    sign_in(&home, &portal, "prod").ok();
    for arguments in [
        &["whoami"][..],
        &["token"],
        &["token", "--force"],
        &["export-env", "--shell", "bash"],
        &["logout"],
    ] {
        let out = home.run(arguments).done().ok();
        assert_eq!(warned(&out.stderr), 1, "{arguments:?}: {}", out.stderr);
        assert!(out.stderr.contains("prod"), "{}", out.stderr);
    }
    let listed = home.run(["connections", "list"]).done().ok();
    assert_eq!(warned(&listed.stderr), 0);
    let quiet = home.run(["-q", "token"]).done().code(3);
    assert_eq!(warned(&quiet.stderr), 0);
}
