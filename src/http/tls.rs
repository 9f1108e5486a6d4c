//! TLS: which certificates are accepted, and what is said about one that is not.
//!
//! The platform is asked first; then the authorities in the connection's own file and in the file that `SSL_CERT_FILE`
//! (or its kin) names; then, byte for byte, the certificates in the connection's file, which is what self-signed portals
//! need. The host name counts in each case.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_name, WebPkiServerVerifier};
use rustls::crypto::{ring as provider, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::connection::{is_control, Tls};
use crate::context::Environment;
use crate::error::{CertificateFacts, Error, Result, TlsFailure, TlsFailureKind};
use crate::files;

/// A bundle of every public authority is a few hundred KiB.
const MAX_BUNDLE: u64 = 8 * 1024 * 1024;

/// The variables that name a file of further authorities, the first readable one counts.
const BUNDLE_VARIABLES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// What is needed for handshakes with one portal; made at the first one.
pub(super) struct Handshakes {
    verifies: bool,
    /// The connection's own certificates.
    own: Vec<CertificateDer<'static>>,
    /// Those of the environment's bundle.
    extra: Vec<CertificateDer<'static>>,
    made: OnceLock<(Arc<ClientConfig>, Arc<Verifier>)>,
}

impl Handshakes {
    /// Reads the files; asks nobody yet.
    pub(super) fn new(tls: &Tls, environment: &Environment) -> Result<Self> {
        let own = match tls {
            Tls::Ca(path) => certificates_in(path)?,
            _ => Vec::new(),
        };
        let extra = match tls {
            Tls::Unverified => Vec::new(),
            _ => BUNDLE_VARIABLES
                .iter()
                .filter_map(|name| environment.path(name))
                .find_map(|path| certificates_in_bundle(&path))
                .unwrap_or_default(),
        };
        Ok(Self {
            verifies: *tls != Tls::Unverified,
            own,
            extra,
            made: OnceLock::new(),
        })
    }

    fn get(&self) -> std::result::Result<&(Arc<ClientConfig>, Arc<Verifier>), rustls::Error> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let crypto = Arc::new(provider::default_provider());
        let verifier = Arc::new(Verifier {
            platform: OnceLock::new(),
            extra: roots(&self.own, &self.extra, &crypto),
            own: self.own.clone(),
            verifies: self.verifies,
            crypto: Arc::clone(&crypto),
            refused: Mutex::new(None),
        });
        let config = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(self.made.get_or_init(|| (Arc::new(config), verifier)))
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let corrupt = |why: String| Error::Corrupt {
        path: path.to_owned(),
        why,
    };
    let bytes = files::read(path, MAX_BUNDLE)?
        .ok_or_else(|| corrupt("the file of trusted certificates is missing".into()))?;
    read_certificates(&bytes).map_err(corrupt)
}

/// A bundle from the environment is a bonus: what cannot be read is passed over. Links are followed, distributions use them.
fn certificates_in_bundle(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_BUNDLE).read_to_end(&mut bytes).ok()?;
    read_certificates(&bytes).ok()
}

fn roots(
    own: &[CertificateDer<'static>],
    extra: &[CertificateDer<'static>],
    crypto: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    // A leaf that is trusted as it is need not make a good authority.
    store.add_parsable_certificates(own.iter().chain(extra).cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(crypto))
        .build()
        .ok()
}

struct Verifier {
    platform: OnceLock<std::result::Result<rustls_platform_verifier::Verifier, rustls::Error>>,
    extra: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
    verifies: bool,
    crypto: Arc<CryptoProvider>,
    refused: Mutex<Option<TlsFailure>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn by_platform(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let platform = self
            .platform
            .get_or_init(|| rustls_platform_verifier::Verifier::new(Arc::clone(&self.crypto)));
        match platform {
            Ok(platform) => platform.verify_server_cert(leaf, chain, name, ocsp, now),
            // A machine without any store of authorities: ours may still do.
            Err(_) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    /// Byte for byte one of ours, in its time, and made for this host.
    fn by_equality(
        &self,
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<std::result::Result<ServerCertVerified, rustls::Error>> {
        if !self.own.iter().any(|own| own == leaf) {
            return None;
        }
        Some(in_its_time(leaf, now).and_then(|()| {
            let parsed = ParsedCertificate::try_from(leaf)?;
            verify_server_name(&parsed, name)?;
            Ok(ServerCertVerified::assertion())
        }))
    }

    fn refuse(
        &self,
        error: &rustls::Error,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) {
        let facts = facts(leaf);
        let self_signed = facts.as_ref().is_some_and(|facts| facts.self_signed);
        let failure = TlsFailure {
            kind: kind(error, self_signed),
            certificate: facts,
            chain: std::iter::once(leaf)
                .chain(chain)
                .map(|der| der.to_vec())
                .collect(),
        };
        *self.refused() = Some(failure);
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<TlsFailure>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a verifier's error means for a person.
fn kind(error: &rustls::Error, self_signed: bool) -> TlsFailureKind {
    use CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            E::Expired | E::ExpiredContext { .. } => TlsFailureKind::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => TlsFailureKind::NotYetValid,
            E::NotValidForName | E::NotValidForNameContext { .. } => TlsFailureKind::WrongHost,
            E::Revoked => TlsFailureKind::Revoked,
            _ if self_signed => TlsFailureKind::SelfSigned,
            E::UnknownIssuer => TlsFailureKind::UnknownIssuer,
            other => TlsFailureKind::Other(other.to_string()),
        },
        _ if self_signed => TlsFailureKind::SelfSigned,
        other => TlsFailureKind::Other(other.to_string()),
    }
}

fn in_its_time(leaf: &CertificateDer<'_>, now: UnixTime) -> std::result::Result<(), rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if !self.verifies {
            return Ok(ServerCertVerified::assertion());
        }
        let platform = match self.by_platform(leaf, chain, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let extra = self
            .extra
            .as_ref()
            .map(|extra| extra.verify_server_cert(leaf, chain, name, ocsp, now));
        if let Some(Ok(verified)) = extra {
            return Ok(verified);
        }
        let equal = self.by_equality(leaf, name, now);
        if let Some(Ok(verified)) = equal {
            return Ok(verified);
        }
        // The nearest miss explains best: a trusted certificate that is out of time or for another host.
        let error = match (equal, extra) {
            (Some(Err(error)), _) => error,
            (_, Some(Err(error))) if !is_unknown(&error) => error,
            _ => platform,
        };
        self.refuse(&error, leaf, chain);
        Err(error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn is_unknown(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::Other(_)
        )
    )
}

/// Trouble with TLS, wrapped in ureq's errors.
pub(super) enum Trouble {
    Certificate(Box<TlsFailure>),
    /// The server demands a certificate of the client.
    WantsCertificate,
}

#[derive(Debug)]
struct HandshakeFailed(TlsFailure);

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)
    }
}

impl std::error::Error for HandshakeFailed {}

/// Finds trouble with TLS in an error of ureq.
pub(super) fn failure_in(error: &ureq::Error) -> Option<Trouble> {
    match error {
        ureq::Error::Other(other) => {
            let failed = other.downcast_ref::<HandshakeFailed>()?;
            Some(Trouble::Certificate(Box::new(failed.0.clone())))
        }
        ureq::Error::Io(why) => match rustls_error(why)? {
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::NoCertificate,
            ) => Some(Trouble::WantsCertificate),
            other => Some(Trouble::Certificate(Box::new(TlsFailure {
                kind: TlsFailureKind::Other(other.to_string()),
                certificate: None,
                chain: Vec::new(),
            }))),
        },
        _ => None,
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// Wraps a connection to the portal in TLS where its URL says https, completes the handshake, and notes when the first
/// byte of the request is handed over. A connection to a proxy passes as it is.
pub(super) struct TlsConnector {
    handshakes: Arc<Handshakes>,
    host: String,
    sent: Arc<AtomicBool>,
}

impl TlsConnector {
    pub(super) fn new(handshakes: Arc<Handshakes>, host: &str, sent: Arc<AtomicBool>) -> Self {
        Self {
            handshakes,
            host: host.to_owned(),
            sent,
        }
    }

    fn shake_hands(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
    ) -> std::result::Result<Channel, ureq::Error> {
        let tls = |error: &rustls::Error| {
            ureq::Error::Other(Box::new(HandshakeFailed(TlsFailure {
                kind: TlsFailureKind::Other(error.to_string()),
                certificate: None,
                chain: Vec::new(),
            })))
        };
        let (config, verifier) = self.handshakes.get().map_err(|error| tls(&error))?;
        let bare = self.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| ureq::Error::Tls("the host name cannot be in a certificate"))?;
        let mut connection =
            ClientConnection::new(Arc::clone(config), name).map_err(|error| tls(&error))?;
        let mut socket = TransportAdapter::new(transport, details.current_time.clone());
        socket.set_timeout(details.timeout);
        if let Err(error) = connection.complete_io(&mut socket) {
            if let Some(refused) = verifier.refused().take() {
                return Err(ureq::Error::Other(Box::new(HandshakeFailed(refused))));
            }
            return Err(error.into());
        }
        Ok(Channel {
            inner: Inner::Tls {
                stream: Box::new(StreamOwned::new(connection, socket)),
                buffers: LazyBuffers::new(
                    details.config.input_buffer_size(),
                    details.config.output_buffer_size(),
                ),
            },
            sent: Arc::clone(&self.sent),
        })
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> std::result::Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        let transport = transport.boxed();
        // The chain runs for the proxy itself, too.
        if details.uri.host() != Some(self.host.as_str()) {
            return Ok(Some(transport));
        }
        if !details.needs_tls() {
            let sent = Arc::clone(&self.sent);
            let inner = Inner::Plain(transport);
            return Ok(Some(Box::new(Channel { inner, sent })));
        }
        Ok(Some(Box::new(self.shake_hands(details, transport)?)))
    }
}

enum Inner {
    Plain(Box<dyn Transport>),
    Tls {
        stream: Box<StreamOwned<ClientConnection, TransportAdapter>>,
        buffers: LazyBuffers,
    },
}

/// A connection to the portal that notes when a byte of the request is handed over.
struct Channel {
    inner: Inner,
    sent: Arc<AtomicBool>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Transport for Channel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        match &mut self.inner {
            Inner::Plain(transport) => transport.buffers(),
            Inner::Tls { buffers, .. } => buffers,
        }
    }

    fn transmit_output(
        &mut self,
        amount: usize,
        timeout: NextTimeout,
    ) -> std::result::Result<(), ureq::Error> {
        self.sent.store(true, Ordering::Relaxed);
        match &mut self.inner {
            Inner::Plain(transport) => transport.transmit_output(amount, timeout),
            Inner::Tls { stream, buffers } => {
                stream.get_mut().set_timeout(timeout);
                let output = &buffers.output()[..amount];
                stream.write_all(output)?;
                stream.flush()?;
                Ok(())
            }
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        match &mut self.inner {
            Inner::Plain(transport) => transport.await_input(timeout),
            Inner::Tls { stream, buffers } => {
                stream.get_mut().set_timeout(timeout);
                let amount = stream.read(buffers.input_append_buf())?;
                buffers.input_appended(amount);
                Ok(amount > 0)
            }
        }
    }

    fn is_open(&mut self) -> bool {
        match &mut self.inner {
            Inner::Plain(transport) => transport.is_open(),
            Inner::Tls { stream, .. } => stream.get_mut().get_mut().is_open(),
        }
    }

    fn is_tls(&self) -> bool {
        matches!(self.inner, Inner::Tls { .. })
    }
}

/// Reads certificates as people have them: PEM with whatever stands between, or DER.
///
/// The error is a sentence that says what the bytes are instead.
pub fn read_certificates(
    bytes: &[u8],
) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".into());
    }
    let text = String::from_utf8_lossy(bytes);
    let certificates: Vec<CertificateDer<'static>> = if text.contains("-----BEGIN CERTIFICATE-----")
    {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| "a certificate in it is damaged".to_owned())?
    } else if text.contains("PRIVATE KEY-----") {
        return Err("it is a private key, not a certificate; keep it to yourself".into());
    } else if text.contains("-----BEGIN CERTIFICATE REQUEST-----") {
        return Err("it is a request for a certificate, not a certificate".into());
    } else if text.contains("-----BEGIN PKCS7-----") {
        return Err("it is a PKCS#7 bundle; export it as PEM (Base-64 X.509)".into());
    } else {
        vec![CertificateDer::from(bytes.to_vec())]
    };
    if certificates.is_empty() {
        return Err("there is no certificate in it".into());
    }
    for certificate in &certificates {
        if X509Certificate::from_der(certificate).is_err() {
            return Err("it is no certificate (PEM or DER is expected)".into());
        }
    }
    Ok(certificates)
}

/// Certificates as PEM.
#[must_use]
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// SHA-256 of the DER form, as browsers show it: `AB:CD:…`.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, der);
    let pairs: Vec<_> = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    pairs.join(":")
}

/// What a certificate says; nothing where it cannot be read.
#[must_use]
pub fn facts(der: &[u8]) -> Option<CertificateFacts> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let plain = |text: String| -> String { text.chars().filter(|c| !is_control(*c)).collect() };
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |at| at.to_string())
    };
    let names = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| {
            extension
                .value
                .general_names
                .iter()
                .filter_map(name_of)
                .map(plain)
                .collect()
        })
        .unwrap_or_default();
    Some(CertificateFacts {
        subject: plain(parsed.subject().to_string()),
        issuer: plain(parsed.issuer().to_string()),
        not_before: time(parsed.validity().not_before.timestamp()),
        not_after: time(parsed.validity().not_after.timestamp()),
        names,
        sha256: fingerprint(der),
        self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
    })
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(&[a, b, c, d]) => {
            Some(std::net::Ipv4Addr::new(a, b, c, d).to_string())
        }
        GeneralName::IPAddress(bytes) => {
            let bytes: [u8; 16] = (*bytes).try_into().ok()?;
            Some(std::net::Ipv6Addr::from(bytes).to_string())
        }
        _ => None,
    }
}
