//! Drives the client against servers of its own on the loopback interface: what is refused, repeated, bounded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::context::Environment;
use crate::error::{Refusal, TlsFailureKind};
use crate::event::Observer;

const TOKEN: &str = "canary-token-0123456789";

// ---- servers ----

/// What a server does with one request.
#[derive(Clone)]
enum Act {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends this one byte at a time, for ever again.
    Drip(&'static str),
    /// Closes without a word.
    Close,
}

fn json(body: &str) -> Act {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

fn http(status: &str, headers: &str, body: &str) -> Act {
    Act::Send(
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Does one act per connection; the last one again and again. Its threads end with the test program.
    fn start(tls: Option<Arc<ServerConfig>>, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut acts = acts.into_iter();
            let mut act = acts.next().unwrap();
            for stream in listener.incoming() {
                let (now, tls, seen) = (act.clone(), tls.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream.unwrap(), tls, &now, &seen));
                act = acts.next().unwrap_or(act);
            }
        });
        Self { port, requests }
    }

    fn plain(acts: Vec<Act>) -> Self {
        Self::start(None, acts)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn client(&self) -> Http {
        client(
            &format!("http://127.0.0.1:{}/portal", self.port),
            &Tls::System,
        )
    }

    fn tls_client(&self, host: &str, tls: &Tls) -> Http {
        client(&format!("https://{host}:{}/portal", self.port), tls)
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, act: &Act, seen: &Mutex<Vec<String>>) {
    let mut raw = stream.try_clone().unwrap();
    match tls {
        None => perform(stream, act, seen),
        Some(config) => {
            let connection = ServerConnection::new(config).unwrap();
            perform(StreamOwned::new(connection, stream), act, seen);
        }
    }
    // What is unread when a socket closes would reset the connection, and take the last words with it.
    let _ = raw.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut raw, &mut std::io::sink());
}

fn perform(stream: impl Read + Write, act: &Act, seen: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream) else {
        return;
    };
    seen.lock().unwrap().push(request);
    let stream = stream.get_mut();
    match act {
        Act::Send(bytes) => drop(stream.write_all(bytes).and_then(|()| stream.flush())),
        Act::Drip(text) => {
            for byte in text.bytes().cycle() {
                if stream
                    .write_all(&[byte])
                    .and_then(|()| stream.flush())
                    .is_err()
                {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Act::Close => {}
    }
}

fn read_request(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let length = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.push_str(&String::from_utf8(body).unwrap());
    Some(request)
}

// ---- clients ----

fn client(portal: &str, tls: &Tls) -> Http {
    client_in(portal, tls, &Proxy::System, &quiet())
}

/// No environment, no observer.
fn quiet() -> Context {
    Context {
        environment: Environment::of::<String, String>([]),
        ..Context::process()
    }
}

/// A client that does not really wait between attempts.
fn client_in(portal: &str, tls: &Tls, proxy: &Proxy, context: &Context) -> Http {
    let portal = portal.parse().unwrap();
    let mut http = Http::new(&portal, tls, proxy, Some("https://referer.test"), context).unwrap();
    Arc::get_mut(&mut http.0).unwrap().pause = |_| ();
    http
}

fn token() -> Secret {
    Secret::new(TOKEN.to_owned())
}

fn get(http: &Http) -> std::result::Result<ApiResponse, CallError> {
    http.get("portals/self", &[("culture", "en")], Some(&token()))
}

fn post_once(http: &Http) -> std::result::Result<ApiResponse, CallError> {
    let form = [
        ("code", Field::Secret(&token())),
        ("client_id", Field::Plain("app 1")),
    ];
    http.post("oauth2/token", &form, None, Retry::OnlyUnsent)
}

fn why(result: std::result::Result<ApiResponse, CallError>) -> Unreachable {
    match result.unwrap_err() {
        CallError::Failed {
            error: Error::Unreachable { why, .. },
            ..
        } => why,
        other => panic!("{other:?}"),
    }
}

fn refused(result: std::result::Result<ApiResponse, CallError>) -> Refusal {
    match result.unwrap_err() {
        CallError::Failed {
            error: Error::Refused { why, .. },
            ..
        } => why,
        other => panic!("{other:?}"),
    }
}

fn sent(result: &std::result::Result<ApiResponse, CallError>) -> bool {
    matches!(result, Err(CallError::Failed { sent: true, .. }))
}

// ---- certificates ----

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        Self(loop {
            let key = KeyPair::generate().unwrap();
            let root = CertifiedIssuer::self_signed(params.clone(), key).unwrap();
            if long_numbers(root.der()) {
                break root;
            }
        })
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn server(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let leaf = loop {
            let leaf = params.signed_by(&key, &self.0).unwrap();
            if long_numbers(leaf.der()) {
                break leaf;
            }
        };
        server_config(vec![leaf.der().clone(), self.0.der().clone()], &key)
    }
}

/// Whether both numbers of a certificate's ECDSA signature have all their 32 bytes. One in 128 has a shorter one, and wine's
/// verifier calls that signature wrong: 13 of 737 chains of two certificates, counted with wine 8.
fn long_numbers(certificate: &CertificateDer<'_>) -> bool {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    // SEQUENCE, its length; INTEGER, its length, the number (after a zero where it would look negative); and once more.
    let signature = &certificate.signature_value.data;
    let long = |at: usize| signature[at] == 33 || signature[at] == 32 && signature[at + 1] != 0;
    long(3) && long(5 + usize::from(signature[3]))
}

fn names(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "portal");
    params
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// As `openssl req -x509` makes them: the server's certificate claims to be an authority.
fn self_signed(mut params: CertificateParams) -> (Arc<ServerConfig>, String) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    (server_config(vec![certificate.der().clone()], &key), pem)
}

/// A CA file; the directory lives as long as the test.
fn ca(pem: &str) -> (tempfile::TempDir, Tls) {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    (directory, Tls::Ca(path))
}

fn tls_failure(result: std::result::Result<ApiResponse, CallError>) -> crate::error::TlsFailure {
    assert!(
        !sent(&result),
        "a refused certificate comes before the request"
    );
    match why(result) {
        Unreachable::Tls(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

const OK: &str = r#"{"ok":true}"#;

// ---- requests ----

#[test]
fn secrets_travel_in_header_and_body_never_in_the_url() {
    let server = Server::plain(vec![json(OK)]);
    get(&server.client()).unwrap();
    post_once(&server.client()).unwrap();
    let requests = server.requests();
    let (get, post) = (&requests[0], &requests[1]);
    assert!(get.starts_with("GET /portal/sharing/rest/portals/self?culture=en&f=json HTTP/1.1\r\n"));
    let lower = get.to_ascii_lowercase();
    assert!(lower.contains(&format!("x-esri-authorization: bearer {TOKEN}\r\n")));
    assert!(lower.contains("referer: https://referer.test\r\n"));
    assert!(lower.contains(concat!(
        "user-agent: age-oauth/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    )));
    assert!(post.starts_with("POST /portal/sharing/rest/oauth2/token HTTP/1.1\r\n"));
    assert!(post.contains("application/x-www-form-urlencoded"));
    assert!(post.ends_with(&format!("\r\n\r\ncode={TOKEN}&client_id=app+1&f=json")));
}

#[test]
fn http_is_for_this_machine_only() {
    let http = client("https://portal.example.com", &Tls::System);
    for url in [
        "http://portal.example.com/x",
        "ftp://localhost/x",
        "https://u:p@h/x",
    ] {
        let error = http.get(url, &[], None).unwrap_err();
        let CallError::Failed {
            error: Error::Invalid { .. },
            sent: false,
        } = error
        else {
            panic!("{url}: {error:?}");
        };
    }
}

#[test]
fn an_answer_is_read_and_dated() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::plain(vec![http("200 OK", date, OK)]);
    let answer = get(&server.client()).unwrap();
    let value: serde_json::Value = answer.json().unwrap();
    assert_eq!(value["ok"], true);
    assert_eq!(answer.date().unwrap().to_string(), "1994-11-06T08:49:37Z");
    assert!(answer.json::<Vec<u8>>().is_err());
}

// ---- certificates ----

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
    assert_eq!(
        extra_bundle(&context.environment),
        Some(("CURL_CA_BUNDLE", bundle))
    );
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
fn wrong_host_expired_and_not_yet_valid_are_told_apart() {
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
        let schemes = refused(get(&server.tls_client("localhost", &tls)));
        assert_eq!(schemes, Refusal::WebTier(vec!["certificate".to_owned()]));
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

// ---- other answers ----

#[test]
fn secrets_follow_no_redirect() {
    let elsewhere = Server::plain(vec![json(OK)]);
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("Location: http://127.0.0.1:{}/?x=y\r\n", elsewhere.port);
        let server = Server::plain(vec![http(status, &location, "")]);
        let expected = Unreachable::Redirected {
            status: status[..3].parse().unwrap(),
            to: Some(format!("127.0.0.1:{}", elsewhere.port)),
        };
        assert_eq!(why(post_once(&server.client())), expected);
        assert_eq!(why(get(&server.client())), expected);
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_host_that_repeats_a_secret_is_not_named() {
    let location = format!("Location: https://{}.example/\r\n", TOKEN.to_uppercase());
    let server = Server::plain(vec![http("302 Found", &location, "")]);
    let expected = Unreachable::Redirected {
        status: 302,
        to: None,
    };
    assert_eq!(why(get(&server.client())), expected);
}

#[test]
fn a_web_tiers_sign_in_is_recognised() {
    let headers =
        "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM, Basic realm=\"Basic\"\r\n";
    let server = Server::plain(vec![http("401 Unauthorized", headers, "<html>")]);
    let schemes = ["Negotiate", "NTLM", "Basic"].map(str::to_owned).to_vec();
    assert_eq!(refused(get(&server.client())), Refusal::WebTier(schemes));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_proxys_407_is_recognised() {
    let server = Server::plain(vec![http("407 Proxy Authentication Required", "", "")]);
    let Unreachable::Proxy {
        authentication: true,
        ..
    } = why(get(&server.client()))
    else {
        panic!("not told");
    };
}

#[test]
fn html_is_no_portal() {
    let page = "<html><head><TITLE lang=en>Not\u{1b} &lt;found&gt;\n here</TITLE></head>";
    for (status, headers) in [
        ("404 Not Found", "Content-Type: text/html\r\n"),
        ("200 OK", ""),
    ] {
        let server = Server::plain(vec![http(status, headers, page)]);
        let Unreachable::NotAPortal { title, .. } = why(get(&server.client())) else {
            panic!("not told");
        };
        assert_eq!(title.unwrap(), "Not &lt;found&gt; here");
    }
}

#[test]
fn other_json_and_foreign_statuses_are_no_portal() {
    for (status, body) in [
        ("200 OK", "[1,2]"),
        ("200 OK", "\"text\""),
        ("200 OK", "{\"a\":}"),
        ("200 OK", ""),
        ("404 Not Found", "{\"a\":1}"),
    ] {
        let server = Server::plain(vec![http(status, "", body)]);
        let status = status[..3].parse().unwrap();
        let expected = Unreachable::NotAPortal {
            status,
            title: None,
        };
        assert_eq!(why(get(&server.client())), expected, "{body}");
    }
}

#[test]
fn a_portals_error_never_repeats_a_secret() {
    let body = format!(
        r#"{{"error":{{"code":498,"error":"invalid_request","message":"Invalid {TOKEN}","details":["{TOKEN}!"]}}}}"#
    );
    let server = Server::plain(vec![json(&body)]);
    let error = post_once(&server.client()).unwrap_err();
    assert!(!format!("{error:?}").contains(TOKEN));
    let CallError::Portal(error) = error else {
        panic!("not the portal's")
    };
    assert_eq!((error.code, &*error.text), (Some(498), "Invalid …"));
    assert_eq!(error.kind.as_deref(), Some("invalid_request"));
    assert_eq!(server.requests().len(), 1);
}

// ---- bounds ----

#[test]
fn an_answer_too_large_is_refused_also_when_compressed() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    let server = Server::plain(vec![json(&body)]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blank = vec![b' '; 1024 * 1024];
    for _ in 0..64 {
        gzip.write_all(&blank).unwrap();
    }
    let server = Server::plain(vec![compressed(&gzip.finish().unwrap())]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);
}

#[test]
fn a_compressed_answer_is_read() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(OK.as_bytes()).unwrap();
    let server = Server::plain(vec![compressed(&gzip.finish().unwrap())]);
    get(&server.client()).unwrap();
}

fn compressed(body: &[u8]) -> Act {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Act::Send([head.as_bytes(), body].concat())
}

#[test]
fn a_drip_ends_at_the_deadline() {
    for drip in [
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{          ",
    ] {
        let server = Server::plain(vec![Act::Drip(drip)]);
        let context = Context {
            deadline: Deadline::after(Duration::from_millis(2500)),
            ..quiet()
        };
        let url = format!("http://127.0.0.1:{}", server.port);
        let http = client_in(&url, &Tls::System, &Proxy::System, &context);
        let result = get(&http);
        assert!(sent(&result));
        assert_eq!(why(result), Unreachable::Timeout);
    }
}

#[test]
fn nothing_is_sent_after_the_deadline() {
    let server = Server::plain(vec![json(OK)]);
    let context = Context {
        deadline: Deadline::after(Duration::ZERO),
        ..quiet()
    };
    let url = format!("http://127.0.0.1:{}", server.port);
    let result = get(&client_in(&url, &Tls::System, &Proxy::System, &context));
    assert!(!sent(&result));
    assert_eq!(why(result), Unreachable::Timeout);
    assert!(server.requests().is_empty());
}

#[test]
fn a_large_head_is_refused() {
    let server = Server::plain(vec![http(
        "200 OK",
        &format!("X: {}\r\n", "y".repeat(200_000)),
        OK,
    )]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);
}

// ---- repeating ----

#[test]
fn a_broken_answer_is_asked_for_again_only_where_that_is_harmless() {
    for act in [
        Act::Close,
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\"".to_vec()),
        Act::Send(b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"x".to_vec()),
    ] {
        let server = Server::plain(vec![act.clone(), json(OK)]);
        get(&server.client()).unwrap();
        assert_eq!(server.requests().len(), 2);

        let server = Server::plain(vec![act, json(OK)]);
        let result = post_once(&server.client());
        assert!(sent(&result));
        assert!(matches!(why(result), Unreachable::Broken(_)));
        assert_eq!(server.requests().len(), 1, "a code is exchanged once");
    }
}

#[test]
fn a_refused_connection_leaves_nothing_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let result = post_once(&client(&url, &Tls::System));
    assert!(!sent(&result));
    assert!(matches!(why(result), Unreachable::Connect(_)));
}

#[test]
fn the_portal_may_ask_to_come_back() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let later = http(status, "Retry-After: 0\r\n", "");
        let server = Server::plain(vec![later.clone(), later, json(OK)]);
        post_once(&server.client()).unwrap();
        assert_eq!(server.requests().len(), 3);
    }
}

#[test]
fn a_passing_trouble_is_tried_three_times() {
    let down = http(
        "503 Service Unavailable",
        "Content-Type: text/html\r\n",
        "<html>",
    );
    let server = Server::plain(vec![down.clone(), down.clone(), json(OK)]);
    get(&server.client()).unwrap();
    let server = Server::plain(vec![down]);
    assert_eq!(why(get(&server.client())), Unreachable::Status(503));
    assert_eq!(server.requests().len(), 3);
    assert!(sent(&post_once(&server.client())));
    assert_eq!(
        server.requests().len(),
        4,
        "without a time to come back, once"
    );
}

#[test]
fn a_long_wait_is_not_begun() {
    let later = http("503 Service Unavailable", "Retry-After: 11\r\n", "");
    let server = Server::plain(vec![later, json(OK)]);
    assert_eq!(why(get(&server.client())), Unreachable::Status(503));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn waits_grow_with_some_chance_in_them() {
    for (attempt, least) in [(1, 500), (2, 1000)] {
        let wait = backoff(attempt);
        let least = Duration::from_millis(least);
        assert!(wait >= least && wait <= least + least / 4, "{wait:?}");
    }
}

#[test]
fn the_observer_hears_of_each_attempt() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let context = Context {
        observer: Observer::new(move |event| heard.lock().unwrap().push(event.clone())),
        ..quiet()
    };
    let server = Server::plain(vec![
        http("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        json(OK),
    ]);
    let url = format!("http://127.0.0.1:{}", server.port);
    get(&client_in(&url, &Tls::System, &Proxy::System, &context)).unwrap();
    let events = events.lock().unwrap();
    let statuses: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Http { url, status, .. } => {
                assert!(!url.contains('?'));
                *status
            }
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [429, 200]);
    let host = format!("127.0.0.1:{}", server.port);
    assert_eq!(events.first(), Some(&Event::Waiting(Wait::Portal { host })));
    assert_eq!(events.last(), Some(&Event::WaitOver));
    assert!(events
        .iter()
        .any(|event| matches!(event, Event::Retrying { .. })));
}

// ---- proxies ----

/// A proxy that leads every way to `target`, or answers `refusal`.
fn proxy_to(target: u16, refusal: Option<&'static str>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            seen.lock()
                .unwrap()
                .push(read_request(&mut stream).unwrap());
            let mut near = stream.into_inner();
            if let Some(refusal) = refusal {
                near.write_all(refusal.as_bytes()).unwrap();
                continue;
            }
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", target)).unwrap();
            let (mut near2, mut far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut near2, &mut far2));
            std::thread::spawn(move || std::io::copy(&mut far, &mut near));
        }
    });
    Server { port, requests }
}

#[test]
fn the_portal_is_reached_through_a_proxy_that_sees_no_secret() {
    let authority = Authority::new();
    let server = Server::start(
        Some(authority.server(&names(&["portal.test"]))),
        vec![json(OK)],
    );
    let (_keep, tls) = ca(&authority.pem());
    let proxy = proxy_to(server.port, None);
    let context = Context {
        environment: Environment::of([(
            "HTTPS_PROXY",
            format!("http://me:p%40ss@127.0.0.1:{}", proxy.port),
        )]),
        ..Context::process()
    };
    get(&client_in(
        "https://portal.test",
        &tls,
        &Proxy::System,
        &context,
    ))
    .unwrap();
    let asked = proxy.requests().concat();
    assert!(asked.starts_with("CONNECT portal.test:443 HTTP/1.1\r\n"));
    assert!(asked.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n"));
    assert!(!asked.contains(TOKEN));
}

#[test]
fn a_proxys_refusal_is_told_without_its_password() {
    for (answer, authentication) in [
        ("HTTP/1.1 407 Authentication\r\n\r\n", true),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", false),
        ("nonsense\r\n\r\n", false),
    ] {
        let proxy = proxy_to(1, Some(answer));
        let context = Context {
            environment: Environment::of([(
                "HTTPS_PROXY",
                format!("http://me:canary@127.0.0.1:{}", proxy.port),
            )]),
            ..Context::process()
        };
        let http = client_in(
            "https://portal.test",
            &Tls::System,
            &Proxy::System,
            &context,
        );
        let result = post_once(&http);
        assert!(!sent(&result));
        assert!(!format!("{result:?}").contains("canary"));
        match why(result) {
            Unreachable::Proxy {
                proxy: shown,
                authentication: asked,
                ..
            } => {
                assert_eq!(shown, format!("http://127.0.0.1:{}", proxy.port));
                assert_eq!(asked, authentication);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dead_proxy_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let proxy = Proxy::Url(url.clone());
    let http = client_in("https://portal.test", &Tls::System, &proxy, &quiet());
    match why(get(&http)) {
        Unreachable::Proxy {
            proxy,
            authentication: false,
            ..
        } => assert_eq!(proxy, url),
        other => panic!("{other:?}"),
    }
}
