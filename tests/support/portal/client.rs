//! A small HTTPS client for the tests' own use: it does not follow redirects, keep connections or
//! retry.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use serde_json::Value;
use url::Url;

use super::super::TIMEOUT;
use super::certs::Identity;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A response with its whole body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case; values of a repeated header joined by `, `.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is not JSON")
    }

    /// The `<title>` of the page, with its entities.
    pub fn title(&self) -> Option<String> {
        between(&self.text(), "<title>", "</title>")
    }
}

/// The text between two marks.
pub fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let after = text.split_once(start)?.1;
    after.split_once(end).map(|(inside, _)| inside.to_owned())
}

/// The client; cheap to make.
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Trusts the certificates in `pem` and no others.
    pub fn trusting(pem: &str) -> Self {
        Self::build(Some(pem), None)
    }

    /// Does not verify certificates.
    pub fn without_verification() -> Self {
        Self::build(None, None)
    }

    /// Has a certificate of its own; trusts `pem`, or does not verify if there is none.
    pub fn build(pem: Option<&str>, identity: Option<&Identity>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match pem {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem));
                builder.with_root_certificates(roots)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerification(provider))),
        };
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(certificates(&identity.certificate_pem), key)
                    .unwrap()
            }
        };
        Self(Arc::new(config))
    }

    pub fn get(&self, url: &str) -> io::Result<Reply> {
        self.send("GET", url, &[], b"")
    }

    pub fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
        self.send("GET", url, headers, b"")
    }

    /// POSTs a form.
    pub fn post(&self, url: &str, form: &[(&str, &str)]) -> io::Result<Reply> {
        self.post_with(url, form, &[])
    }

    /// POSTs a form with more headers.
    pub fn post_with(
        &self,
        url: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> io::Result<Reply> {
        let body = encode(form);
        let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
        self.send("POST", url, &headers, body.as_bytes())
    }

    /// POSTs a form and reads nothing: the connection lives as long as the value returned.
    pub fn post_unanswered(&self, url: &str, form: &[(&str, &str)]) -> impl Write {
        let url = Url::parse(url).unwrap();
        let body = encode(form);
        let request = request_bytes("POST", &url, &[FORM], body.as_bytes());
        let mut stream = self.secure(&url, connect(&url).unwrap()).unwrap();
        stream
            .write_all(&request)
            .and_then(|()| stream.flush())
            .expect("cannot send");
        stream
    }

    /// GETs through an HTTP proxy, with `user:password` for it where given.
    pub fn get_through(&self, proxy: &str, url: &str, pair: Option<&str>) -> io::Result<Reply> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let proxy = Url::parse(proxy).map_err(io::Error::other)?;
        let mut tcp = connect(&proxy)?;
        let port = url.port_or_known_default().unwrap_or_default();
        let target = format!("{}:{port}", url.host_str().unwrap_or_default());
        let credentials = pair.map_or_else(String::new, |pair| {
            format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair))
        });
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
        tcp.write_all(head.as_bytes())?;
        let answer = read_head(&mut tcp)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(answer));
        }
        let request = request_bytes("GET", &url, &[], b"");
        send_and_read(&mut self.secure(&url, tcp)?, &request)
    }

    /// Sends a request, over TLS or, for `http:`, without.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let request = request_bytes(method, &url, headers, body);
        let mut tcp = connect(&url)?;
        if url.scheme() == "http" {
            return send_and_read(&mut tcp, &request);
        }
        send_and_read(&mut self.secure(&url, tcp)?, &request)
    }

    /// Puts TLS on a connection to the host of `url`.
    fn secure(
        &self,
        url: &Url,
        tcp: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let host = url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(tls, tcp))
    }
}

fn encode(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish()
}

/// The head of a response, read byte by byte, so that nothing after it is consumed.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(Result::unwrap)
        .collect()
}

fn connect(url: &Url) -> io::Result<TcpStream> {
    let addresses = url.socket_addrs(|| None)?;
    let tcp = TcpStream::connect(&addresses[..])?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn request_bytes(method: &str, url: &Url, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut lines = vec![
        format!("{method} {target} HTTP/1.1"),
        format!("Host: {host}"),
        "Connection: close".to_owned(),
    ];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    if !body.is_empty() || method == "POST" {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let text = lines.join("\r\n") + "\r\n\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn send_and_read(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Reply> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut bytes = Vec::new();
    // A server that closes the connection without a TLS `close_notify` has truncated its response.
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in rest.split("\r\n").filter_map(|line| line.split_once(':')) {
        let all = headers.entry(name.trim().to_ascii_lowercase()).or_default();
        let comma = if all.is_empty() { "" } else { ", " };
        all.push_str(comma);
        all.push_str(value.trim());
    }
    Some(Reply {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    })
}

/// Accepts every certificate, like a user who has dismissed the warning.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
