//! Which certificates are accepted.

use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};

use super::authority::*;
use super::*;
use crate::error::{TlsFailure, TlsFailureKind};

fn tls_failure(result: std::result::Result<ApiResponse, CallError>) -> TlsFailure {
    assert!(
        !sent(&result),
        "a refused certificate comes before the request"
    );
    match why(result) {
        Unreachable::Tls(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_custom_authority_is_trusted_and_an_unknown_one_is_not() {
    let authority = Authority::new();
    let server = Server::start(
        Some(authority.server(&names(&["localhost"]))),
        vec![json(OK)],
    );
    let (_keep, tls) = ca(&authority.pem());
    get(&server.tls_client("localhost", &tls)).unwrap();
    let failure = tls_failure(get(&server.tls_client("localhost", &Tls::System)));
    assert_eq!(failure.kind, TlsFailureKind::UnknownIssuer);
    assert_eq!(failure.chain.len(), 2);
    let facts = failure.certificate.unwrap();
    assert!(facts.issuer.contains("Test CA") && !facts.self_signed);
    assert_eq!(facts.names, ["localhost"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_environment_adds_trust() {
    let authority = Authority::new();
    let server = Server::start(
        Some(authority.server(&names(&["localhost"]))),
        vec![json(OK)],
    );
    let (keep, _) = ca(&authority.pem());
    let bundle = keep.path().join("ca.pem");
    let missing = keep.path().join("missing.pem");
    let context = Context {
        environment: Environment::of([
            ("SSL_CERT_FILE", missing),
            ("CURL_CA_BUNDLE", bundle.clone()),
        ]),
        ..Context::process()
    };
    let found = bundles(&context.environment);
    let names: Vec<_> = found
        .iter()
        .map(|bundle| (bundle.variable, bundle.problem().is_none()))
        .collect();
    assert_eq!(names, [("SSL_CERT_FILE", false), ("CURL_CA_BUNDLE", true)]);
    let url = format!("https://localhost:{}", server.port);
    get(&client_in(&url, &Tls::System, &Proxy::None, &context)).unwrap();
}

#[test]
fn a_self_signed_certificate_is_accepted_only_where_it_was_given() {
    let (config, pem) = self_signed(names(&["localhost"]));
    let server = Server::start(Some(config), vec![json(OK)]);
    let failure = tls_failure(get(&server.tls_client("localhost", &Tls::System)));
    assert_eq!(failure.kind, TlsFailureKind::SelfSigned);
    assert!(failure.certificate.unwrap().self_signed);
    let (_keep, tls) = ca(&pem);
    get(&server.tls_client("localhost", &tls)).unwrap();
    let failure = tls_failure(get(&server.tls_client("127.0.0.1", &tls)));
    assert_eq!(failure.kind, TlsFailureKind::WrongHost);
    let (_keep, other) = ca(&self_signed(names(&["localhost"])).1);
    let failure = tls_failure(get(&server.tls_client("localhost", &other)));
    assert_eq!(failure.kind, TlsFailureKind::SelfSigned);
}

#[test]
fn a_given_certificate_still_has_its_dates_checked() {
    for (from, until, kind) in [
        (2001, 2002, TlsFailureKind::Expired),
        (2200, 2201, TlsFailureKind::NotYetValid),
    ] {
        let mut params = names(&["localhost"]);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let (config, pem) = self_signed(params);
        let server = Server::start(Some(config), vec![json(OK)]);
        let (_keep, tls) = ca(&pem);
        assert_eq!(
            tls_failure(get(&server.tls_client("localhost", &tls))).kind,
            kind
        );
    }
}

#[test]
fn wrong_host_expired_and_not_yet_valid_are_distinguished() {
    let authority = Authority::new();
    let (_keep, tls) = ca(&authority.pem());
    let mut old = names(&["localhost"]);
    old.not_before = rcgen::date_time_ymd(2001, 1, 1);
    old.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let mut early = names(&["localhost"]);
    early.not_before = rcgen::date_time_ymd(2200, 1, 1);
    early.not_after = rcgen::date_time_ymd(2201, 1, 1);
    for (params, kind) in [
        (names(&["elsewhere.test"]), TlsFailureKind::WrongHost),
        (old, TlsFailureKind::Expired),
        (early, TlsFailureKind::NotYetValid),
    ] {
        let server = Server::start(Some(authority.server(&params)), vec![json(OK)]);
        let failure = tls_failure(post_once(&server.tls_client("localhost", &tls)));
        assert_eq!(failure.kind, kind);
        assert!(server.requests().is_empty());
    }
}

#[test]
fn unverified_accepts_any_certificate() {
    let (config, _) = self_signed(names(&["elsewhere.test"]));
    let server = Server::start(Some(config), vec![json(OK)]);
    get(&server.tls_client("localhost", &Tls::Unverified)).unwrap();
}

#[test]
fn a_demanded_client_certificate_is_the_web_tiers_refusal() {
    let versions: [&'static SupportedProtocolVersion; 2] =
        [&rustls::version::TLS12, &rustls::version::TLS13];
    for version in versions {
        let authority = Authority::new();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = KeyPair::generate().unwrap();
        let leaf = names(&["localhost"]).signed_by(&key, &authority.0).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let server = Server::start(Some(Arc::new(config)), vec![json(OK)]);
        let (_keep, tls) = ca(&authority.pem());
        let why = refused(get(&server.tls_client("localhost", &tls)));
        assert_eq!(why, Refusal::ClientCertificate);
    }
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let failure = tls_failure(get(&client(
        &format!("https://localhost:{port}"),
        &Tls::System,
    )));
    assert_eq!(
        failure.kind,
        TlsFailureKind::Other("the server does not speak TLS".to_owned())
    );
}
