//! Which certificates are accepted, and the TLS layer of a connection.
//!
//! The platform decides first, then the certificates that the connection and the environment add. A
//! certificate that equals an added one byte for byte is accepted, too. Names and dates are checked
//! in every case except [`Tls::Unverified`]. A refusal carries the chain and the reason, for
//! people.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_name, ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
};
use rustls::{ClientConnection, StreamOwned};

use super::certificate::{facts, read_certificates, validity, MAX_CERTIFICATES};
use super::response::Classified;
use crate::connection::Tls;
use crate::context::Environment;
use crate::env;
use crate::error::{
    CertificateFacts, Error, FileAction, Refusal, Result, TlsFailure, TlsFailureKind, Unreachable,
};
use crate::files;

/// Where Linux distributions and BSDs keep their own bundle.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// No bundle of a whole platform is larger, in bytes.
const MAX_BUNDLE: u64 = 16 * 1024 * 1024;

/// The variable and the file whose certificates the environment adds to those of the platform: the
/// first file that can be read.
#[must_use]
pub fn extra_bundle(environment: &Environment) -> Option<(&'static str, PathBuf)> {
    env::CA_BUNDLE_VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, environment.path(name)?)))
        .find(|(_, path)| files::open_user_file(path).is_ok())
}

/// The content of the connection's CA file. `None` where the connection has none.
pub fn certificate_file(tls: &Tls) -> Result<Option<Vec<u8>>> {
    match tls {
        Tls::Ca(path) => files::read_user_file(path, MAX_CERTIFICATES)
            .map(Some)
            .map_err(Error::file(FileAction::Read, path)),
        Tls::System | Tls::Unverified => Ok(None),
    }
}

/// The connection's own certificates, in the content of its CA file.
fn own(tls: &Tls, certificates: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>> {
    match (tls, certificates) {
        (Tls::Ca(path), Some(bytes)) => read_certificates(bytes).map_err(|why| Error::Corrupt {
            path: path.to_owned(),
            why,
        }),
        (Tls::Ca(path), None) => Err(Error::file(FileAction::Read, path)(
            io::ErrorKind::NotFound.into(),
        )),
        _ => Ok(Vec::new()),
    }
}

/// Decides whether a server's certificate is accepted.
struct Verifier {
    provider: Arc<CryptoProvider>,
    accept_any: bool,
    /// The connection's own certificates.
    own: Vec<CertificateDer<'static>>,
    /// The environment's.
    bundle: Option<PathBuf>,
    /// What the server showed at the last handshake.
    shown: Mutex<Option<CertificateDer<'static>>>,
    /// Loaded at the first handshake, since a platform's store takes milliseconds to read.
    trust: OnceLock<Vec<std::result::Result<Trust, String>>>,
}

type Trust = Arc<dyn ServerCertVerifier>;

impl Verifier {
    fn new(
        tls: &Tls,
        certificates: Option<&[u8]>,
        environment: &Environment,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self> {
        Ok(Self {
            provider,
            accept_any: *tls == Tls::Unverified,
            own: own(tls, certificates)?,
            bundle: extra_bundle(environment).map(|(_, path)| path),
            shown: Mutex::default(),
            trust: OnceLock::new(),
        })
    }

    fn trust(&self) -> &[std::result::Result<Trust, String>] {
        self.trust.get_or_init(|| {
            // What the platform trusts.
            let mut trust = vec![self.platform()];
            // The connection's own certificates, as authorities.
            trust.extend(self.trust_in(self.own.clone()));
            // What the environment adds.
            trust.extend(
                self.bundle
                    .as_deref()
                    .and_then(|path| self.trust_in_file(path)),
            );
            // What the environment hides from the platform's verifier.
            trust.extend(self.system_bundle());
            trust
        })
    }

    fn platform(&self) -> std::result::Result<Trust, String> {
        match rustls_platform_verifier::Verifier::new(Arc::clone(&self.provider)) {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(why) => Err(why.to_string()),
        }
    }

    fn trust_in(
        &self,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Option<std::result::Result<Trust, String>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return None;
        }
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Some(match verifier.build() {
            Ok(verifier) => Ok(verifier),
            Err(why) => Err(why.to_string()),
        })
    }

    /// A bundle of the environment serves many programs, so that a file that cannot be read is not
    /// an error here.
    fn trust_in_file(&self, path: &Path) -> Option<std::result::Result<Trust, String>> {
        let bytes = files::read_user_file(path, MAX_BUNDLE).ok()?;
        self.trust_in(read_certificates(&bytes).ok()?)
    }

    /// On Linux and the BSDs, the platform's verifier reads only what OpenSSL's variables name
    /// where they are set. For this program they add trust and take none away, so that the system's
    /// bundle is read as well.
    fn system_bundle(&self) -> Option<std::result::Result<Trust, String>> {
        let hides = |name| std::env::var_os(name).is_some();
        if !cfg!(all(unix, not(target_vendor = "apple")))
            || !(hides(env::SSL_CERT_FILE) || hides(env::SSL_CERT_DIR))
        {
            return None;
        }
        let path = SYSTEM_BUNDLES.iter().map(Path::new).find(|p| p.is_file())?;
        self.trust_in_file(path)
    }

    /// A certificate that the connection trusts by itself needs no issuer, but still the right name
    /// and dates.
    fn verify_own(
        &self,
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<std::result::Result<(), rustls::Error>> {
        self.own.iter().find(|own| *own == leaf)?;
        Some(check_dates(leaf, now).and_then(|()| {
            let parsed = ParsedCertificate::try_from(leaf)?;
            verify_server_name(&parsed, name)
        }))
    }
}

fn check_dates(leaf: &[u8], now: UnixTime) -> std::result::Result<(), rustls::Error> {
    let (from, until) = validity(leaf).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < from {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > until {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        // Kept for `connections add` and `doctor`, which show a certificate that is not trusted,
        // too.
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(leaf.clone().into_owned());
        // `--verify-ssl false`: every certificate is accepted.
        if self.accept_any {
            return Ok(ServerCertVerified::assertion());
        }
        // One source that accepts the chain is enough.
        let mut kinds = Vec::new();
        for trust in self.trust() {
            let verified = match trust {
                Ok(trust) => trust.verify_server_cert(leaf, intermediates, name, ocsp, now),
                Err(why) => Err(rustls::Error::General(why.clone())),
            };
            match verified {
                Ok(verified) => return Ok(verified),
                Err(why) => kinds.push(failure_kind(&why)),
            }
        }
        // No authority vouches for it. It may be one of the certificates that the connection trusts
        // by themselves.
        match self.verify_own(leaf, name, now) {
            Some(Ok(())) => return Ok(ServerCertVerified::assertion()),
            // It is, but for another name or time. Then the missing authority is not the reason.
            Some(Err(why)) => kinds = vec![failure_kind(&why)],
            None => {}
        }
        Err(RejectedCertificate::new(kinds, leaf, intermediates, now).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// What a verifier's error means.
fn failure_kind(error: &rustls::Error) -> TlsFailureKind {
    let rustls::Error::InvalidCertificate(error) = error else {
        return TlsFailureKind::Other(error.to_string());
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            TlsFailureKind::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFailureKind::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFailureKind::WrongHost
        }
        CertificateError::Revoked => TlsFailureKind::Revoked,
        CertificateError::UnknownIssuer => TlsFailureKind::UnknownIssuer,
        // The platform's own description.
        CertificateError::Other(OtherError(why)) => TlsFailureKind::Other(why.to_string()),
        other => TlsFailureKind::Other(rustls::Error::from(other.clone()).to_string()),
    }
}

/// Of the reasons that several verifiers gave, the one with the lowest rank is reported. A
/// certificate that is revoked or expired is so under every authority.
fn rank(kind: &TlsFailureKind) -> u8 {
    match kind {
        TlsFailureKind::Revoked => 0,
        TlsFailureKind::Expired | TlsFailureKind::NotYetValid => 1,
        TlsFailureKind::WrongHost => 2,
        TlsFailureKind::SelfSigned => 3,
        TlsFailureKind::UnknownIssuer => 4,
        TlsFailureKind::Other(_) => 5,
    }
}

/// A refused certificate, as the source of rustls' error, which cannot carry the chain.
#[derive(Debug)]
struct RejectedCertificate(TlsFailure);

impl RejectedCertificate {
    fn new(
        kinds: Vec<TlsFailureKind>,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Self {
        let certificate = facts(leaf);
        let mut kind = kinds
            .into_iter()
            .min_by_key(rank)
            .unwrap_or(TlsFailureKind::UnknownIssuer);
        // Windows reports `expired` also before a certificate's time begins.
        if let (TlsFailureKind::Expired, Err(why)) = (&kind, check_dates(leaf, now)) {
            kind = failure_kind(&why);
        }
        // webpki reports a certificate that signs itself in several ways, depending on what else it
        // claims to be.
        if rank(&kind) > rank(&TlsFailureKind::SelfSigned)
            && certificate.as_ref().is_some_and(|facts| facts.self_signed)
        {
            kind = TlsFailureKind::SelfSigned;
        }
        let chain = std::iter::once(leaf).chain(intermediates);
        Self(TlsFailure {
            kind,
            certificate,
            chain: chain.map(|certificate| certificate.to_vec()).collect(),
        })
    }
}

impl fmt::Display for RejectedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl std::error::Error for RejectedCertificate {}

impl From<RejectedCertificate> for rustls::Error {
    fn from(refusal: RejectedCertificate) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

/// Offers no client certificate, but remembers that one was asked for.
#[derive(Debug, Default)]
struct NoCertificate {
    asked: AtomicBool,
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A TLS client for one connection's setting. Clones share sessions.
#[derive(Clone)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    no_certificate: Arc<NoCertificate>,
}

impl TlsClient {
    /// `certificates` is the content of the connection's CA file.
    pub(super) fn new(
        tls: &Tls,
        certificates: Option<&[u8]>,
        environment: &Environment,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier::new(
            tls,
            certificates,
            environment,
            Arc::clone(&provider),
        )?);
        let no_certificate = Arc::new(NoCertificate::default());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| Error::invalid("TLS", why.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier))
            .with_client_cert_resolver(Arc::<NoCertificate>::clone(&no_certificate));
        Ok(Self {
            config: Arc::new(config),
            verifier,
            no_certificate,
        })
    }

    /// The certificate that the server showed at the last handshake.
    pub(super) fn shown(&self) -> Option<CertificateFacts> {
        let shown = self.verifier.shown.lock();
        let leaf = shown.unwrap_or_else(PoisonError::into_inner).clone()?;
        facts(&leaf)
    }

    /// Completes a handshake over `socket`, so that a failure is known to come before the request.
    pub(super) fn connect<S: io::Read + io::Write>(
        &self,
        host: &str,
        mut socket: S,
    ) -> io::Result<StreamOwned<ClientConnection, S>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let config = Arc::clone(&self.config);
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        if let Err(error) = connection.complete_io(&mut socket) {
            return Err(read_pending_alert(&mut connection, &mut socket, error));
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// What an I/O error means, where TLS is behind it.
    pub(super) fn explain(&self, error: &io::Error) -> Option<Classified> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        if self.certificate_demanded(error) {
            let schemes = vec!["certificate".to_owned()];
            return Some(Classified::Refused(Refusal::WebTier(schemes)));
        }
        let failure = rejected_certificate(error).unwrap_or_else(|| TlsFailure {
            kind: TlsFailureKind::Other(describe(error)),
            certificate: None,
            chain: Vec::new(),
        });
        Some(Classified::Unreachable(Unreachable::Tls(Box::new(failure))))
    }

    /// Whether the server ended the handshake because it asked for a client certificate. TLS 1.3
    /// has an alert for that; in TLS 1.2 servers use several others.
    fn certificate_demanded(&self, error: &rustls::Error) -> bool {
        let asked = || self.no_certificate.asked.load(Ordering::Relaxed);
        match error {
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => true,
            rustls::Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::NoCertificate
                | AlertDescription::AccessDenied,
            ) => asked(),
            _ => false,
        }
    }
}

/// The reason why a server closed the connection. It sends an alert first, which may still be
/// unread when writing fails; then the alert takes the place of "broken pipe".
pub(super) fn read_pending_alert(
    connection: &mut ClientConnection,
    socket: &mut impl io::Read,
    error: io::Error,
) -> io::Error {
    let broken = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    if !broken.contains(&error.kind()) {
        return error;
    }
    while connection.read_tls(socket).is_ok_and(|count| count > 0) {
        if let Err(alert) = connection.process_new_packets() {
            return io::Error::new(io::ErrorKind::InvalidData, alert);
        }
    }
    error
}

fn rejected_certificate(error: &rustls::Error) -> Option<TlsFailure> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return None;
    };
    Some(cause.downcast_ref::<RejectedCertificate>()?.0.clone())
}

fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}
