//! Which certificates are accepted.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    date_time_ymd, BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{Signer, SigningKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, HandshakeKind, RootCertStore, SignatureAlgorithm,
    SignatureScheme, SupportedProtocolVersion,
};

use super::authority::*;
use super::*;
use crate::error::{KeyProblem, TlsFailure, TlsFailureKind};
use crate::http::key_failure::key_failure;

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
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
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
    old.not_before = date_time_ymd(2001, 1, 1);
    old.not_after = date_time_ymd(2002, 1, 1);
    let mut early = names(&["localhost"]);
    early.not_before = date_time_ymd(2200, 1, 1);
    early.not_after = date_time_ymd(2201, 1, 1);
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
        let provider = Arc::new(default_provider());
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

/// A server that asks for a client certificate and accepts any, or none. Counts those that it got.
fn asking(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    counted: &Arc<AtomicUsize>,
) -> Arc<ServerConfig> {
    #[derive(Debug)]
    struct Anyone(Arc<AtomicUsize>);

    impl ClientCertVerifier for Anyone {
        fn client_auth_mandatory(&self) -> bool {
            false
        }

        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }

        fn verify_client_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: UnixTime,
        ) -> std::result::Result<ClientCertVerified, rustls::Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(ClientCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }

    let key = KeyPair::generate().unwrap();
    let leaf = names(&["localhost"]).signed_by(&key, &authority.0).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anyone(Arc::clone(counted))))
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    Arc::new(config)
}

fn own_certificate(authority: &Authority) -> Arc<ClientCertificate> {
    let key = KeyPair::generate().unwrap();
    let leaf = names(&["ana"]).signed_by(&key, &authority.0).unwrap();
    let pem = leaf.pem() + &key.serialize_pem();
    Arc::new(ClientCertificate::read(pem.as_bytes(), None).unwrap())
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A client of `portal` with a client certificate.
fn presenting(portal: &Server, tls: &Tls, own: &Arc<ClientCertificate>) -> Result<Http> {
    let url = format!("https://localhost:{}/portal", portal.port);
    let (portal, context) = (url.parse().unwrap(), Context::process());
    let own = Some(Arc::clone(own));
    let presented = Presented {
        certificate: own,
        ..Presented::default()
    };
    Http::presenting(presented, &portal, tls, &Proxy::None, None, &context)
}

#[test]
fn rule_24e_the_certificate_is_presented_to_the_portals_origin_alone() {
    for version in BOTH {
        let (authority, counted) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let config = asking(&authority, &[version], &counted);
        let portal = Server::start(Some(config), vec![json(OK)]);
        // Sessions of its own: a resumed one would not ask for a certificate.
        let config = asking(&authority, &[version], &counted);
        let other = Server::start(Some(config), vec![json(OK)]);
        let (_keep, tls) = ca(&authority.pem());
        let client = presenting(&portal, &tls, &own_certificate(&authority)).unwrap();
        client.get("portals/self", &[], None).unwrap();
        assert_eq!(counted.load(Ordering::SeqCst), 1);
        for path in ["server/rest/info", "portal/sharing/rest/portals/self"] {
            let elsewhere = format!("https://localhost:{}/{path}", other.port);
            client.get(&elsewhere, &[], None).unwrap();
        }
        assert_eq!(counted.load(Ordering::SeqCst), 1, "{version:?}");
        assert!(!other.requests().is_empty());
    }
}

#[test]
fn rule_24e_a_server_that_is_not_verified_gets_no_certificate() {
    for version in BOTH {
        let (authority, counted) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let server = Server::start(
            Some(asking(&authority, &[version], &counted)),
            vec![json(OK)],
        );
        let own = own_certificate(&authority);
        // An authority that the client does not know.
        let (_keep, stranger) = ca(&Authority::new().pem());
        let client = presenting(&server, &stranger, &own).unwrap();
        assert!(client.get("portals/self", &[], None).is_err());
        // Any certificate is accepted: such a client is not made.
        assert!(presenting(&server, &Tls::Unverified, &own).is_err());
        assert_eq!(counted.load(Ordering::SeqCst), 0);
        assert!(server.requests().is_empty());
    }
}

/// Tomcat asks in the handshake, and ends the connection without an alert.
#[test]
fn a_connection_that_ends_after_a_certificate_was_asked_for_says_so() {
    for version in BOTH {
        let (authority, counted) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let config = asking(&authority, &[version], &counted);
        let server = Server::start(Some(config), vec![Act::Close]);
        let (_keep, tls) = ca(&authority.pem());
        let without = server.tls_client("localhost", &tls);
        let with = presenting(&server, &tls, &own_certificate(&authority)).unwrap();
        for (client, expected, words) in [
            (
                without,
                None,
                "asked for a client certificate, and there is none",
            ),
            (with, Some("CN=portal"), "and got CN=portal"),
        ] {
            let why = why(client.post("portals/self", &[], None, Retry::OnlyUnsent));
            let Unreachable::BrokenAfterCertificateRequest { subject, .. } = &why else {
                panic!("{why:?}");
            };
            assert_eq!(subject.as_deref(), expected);
            assert!(why.to_string().contains(words), "{why}");
        }
        // An answer that is cut is another matter.
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".into();
        let config = asking(&authority, &[version], &counted);
        let server = Server::start(Some(config), vec![Act::Send(half)]);
        let client = server.tls_client("localhost", &tls);
        let why = why(client.post("portals/self", &[], None, Retry::OnlyUnsent));
        assert!(matches!(why, Unreachable::Broken(_)), "{why:?}");
    }
}

/// A session that began with a certificate identifies its owner when it is resumed, and servers of
/// one host may share their sessions.
#[test]
fn rule_24e_sessions_with_and_without_the_certificate_are_kept_apart() {
    for version in BOTH {
        let (authority, counted) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let shared = asking(&authority, &[version], &counted);
        let portal = Server::start(Some(Arc::clone(&shared)), vec![json(OK)]);
        let other = Server::start(Some(shared), vec![json(OK)]);
        let (_keep, tls) = ca(&authority.pem());
        let client = presenting(&portal, &tls, &own_certificate(&authority)).unwrap();
        let handshake = |server: &Server| {
            let url = format!("https://localhost:{}/", server.port);
            let socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            let tls = client.0.tls.towards(&url.parse().unwrap());
            let stream = tls.connect("localhost", socket).unwrap();
            stream.conn.handshake_kind().unwrap()
        };
        // The answer brings what a session is resumed with.
        client.get("portals/self", &[], None).unwrap();
        assert_eq!(counted.load(Ordering::SeqCst), 1);
        assert_eq!(handshake(&other), HandshakeKind::Full, "{version:?}");
        let elsewhere = format!("https://localhost:{}/server/rest/info", other.port);
        client.get(&elsewhere, &[], None).unwrap();
        assert_eq!(counted.load(Ordering::SeqCst), 1, "{version:?}");
        // Each server's own session is resumed, so that there was one to take.
        assert_eq!(handshake(&portal), HandshakeKind::Resumed, "{version:?}");
        assert_eq!(handshake(&other), HandshakeKind::Resumed, "{version:?}");
    }
}

/// A private key on a card that is not there.
#[derive(Debug)]
struct AbsentKey;

impl SigningKey for AbsentKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered.contains(&scheme).then(|| Box::new(Self) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for AbsentKey {
    fn sign(&self, _: &[u8]) -> std::result::Result<Vec<u8>, rustls::Error> {
        Err(key_failure(KeyProblem::NoCard))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

#[test]
fn why_a_private_key_does_not_sign_is_told_and_nothing_is_repeated() {
    for version in BOTH {
        let (authority, counted) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let config = asking(&authority, &[version], &counted);
        let server = Server::start(Some(config), vec![json(OK)]);
        let (_keep, tls) = ca(&authority.pem());
        let leaf = authority.0.der().clone();
        let own = ClientCertificate::with_key(&leaf, &[], Arc::new(AbsentKey)).unwrap();
        let client = presenting(&server, &tls, &Arc::new(own)).unwrap();
        let Err(CallError::Failed { error, .. }) = client.get("portals/self", &[], None) else {
            panic!("{version:?}");
        };
        let expected = Refusal::PrivateKey {
            subject: "CN=Test CA".into(),
            why: KeyProblem::NoCard,
        };
        assert!(
            matches!(&error, Error::Refused { why, .. } if *why == expected),
            "{error:?}"
        );
        assert!(server.requests().is_empty());
    }
}

/// An authority that was renewed has several certificates of one name.
#[test]
fn the_intermediate_certificate_with_the_key_that_the_certificate_names_is_sent() {
    let root = Authority::new();
    let intermediate = |until: i32| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "issuing");
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        CertifiedIssuer::signed_by(params, key, &root.0).unwrap()
    };
    let (own, other) = (intermediate(2040), intermediate(2050));
    for names_key in [true, false] {
        let mut params = names(&["ana"]);
        params.use_authority_key_identifier_extension = names_key;
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &own).unwrap();
        for both in [[&own, &other], [&other, &own]] {
            let others = [both[0].pem(), both[1].pem()].concat();
            let pem = leaf.pem() + &others + &key.serialize_pem();
            let read = ClientCertificate::read(pem.as_bytes(), None).unwrap();
            let sent = &read.certified().cert[1];
            // Without a hint, the one that ends last.
            let expected = if names_key { own.der() } else { other.der() };
            assert_eq!(sent, expected);
        }
    }
}
