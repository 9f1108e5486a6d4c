//! The TLS layer of a connection: handshakes, and what their failures mean for people.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, OtherError,
    PeerIncompatible, SignatureScheme, StreamOwned,
};

use super::response::Classified;
use super::signatures;
use super::verifier::{RejectedCertificate, Verifier};
use crate::connection::Tls;
use crate::context::Environment;
use crate::error::{
    CertificateFacts, Error, Refusal, Result, TlsFailure, TlsFailureKind, Unreachable,
};

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
    /// `certificates` is the content of the connection's certificate file.
    pub(super) fn new(
        tls: &Tls,
        certificates: Option<&[u8]>,
        environment: &Environment,
    ) -> Result<Self> {
        let provider = Arc::new(signatures::provider());
        let verifier = Verifier::new(tls, certificates, environment, Arc::clone(&provider))?;
        let verifier = Arc::new(verifier);
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

    /// The certificates that the server showed at the last handshake, its own first.
    pub(super) fn shown(&self) -> Vec<CertificateFacts> {
        self.verifier.shown()
    }

    /// Completes a handshake over `socket`, so that a failure is known to come before the request.
    pub(super) fn connect<S: io::Read + io::Write>(
        &self,
        host: &str,
        mut socket: S,
    ) -> io::Result<StreamOwned<ClientConnection, S>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| io::Error::other("the host name is not valid"))?;
        let config = Arc::clone(&self.config);
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        if let Err(error) = connection.complete_io(&mut socket) {
            let error = read_pending_alert(&mut connection, &mut socket, error);
            return Err(plain_end(error, CLOSED_IN_HANDSHAKE));
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// What an I/O error means, where TLS is behind it.
    pub(super) fn explain(&self, error: &io::Error) -> Option<Classified> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        if self.certificate_demanded(error) {
            return Some(Classified::Refused(Refusal::ClientCertificate));
        }
        let failure = rejected_certificate(error).unwrap_or_else(|| TlsFailure {
            kind: handshake_failure(error),
            certificate: None,
            fault: None,
            chain: Vec::new(),
            notes: Vec::new(),
            authority_helps: false,
            pin_helps: false,
        });
        Some(Classified::Unreachable(Unreachable::Tls(Box::new(failure))))
    }

    /// Whether a server asked for a client certificate in a handshake.
    pub(super) fn asked_for_certificate(&self) -> bool {
        self.no_certificate.asked.load(Ordering::Relaxed)
    }

    /// Whether the server ended the handshake because it asked for a client certificate. TLS 1.3
    /// has an alert for that; in TLS 1.2 servers use several others.
    fn certificate_demanded(&self, error: &rustls::Error) -> bool {
        let asked = || self.asked_for_certificate();
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

const CLOSED_IN_HANDSHAKE: &str = "the server closed the connection during the TLS handshake; if it always does, it may offer no TLS version or cipher suite that this program can use";

/// The TLS library's words about a connection that ends too early, in words for people.
pub(super) fn plain_end(error: io::Error, words: &'static str) -> io::Error {
    let kinds = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
    ];
    if kinds.contains(&error.kind()) {
        return io::Error::new(error.kind(), words);
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

/// Why a handshake failed that did not come as far as the certificate.
fn handshake_failure(error: &rustls::Error) -> TlsFailureKind {
    let words = match error {
        rustls::Error::AlertReceived(alert) => return alert_kind(*alert),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => return TlsFailureKind::NoCommonVersion,
        rustls::Error::PeerIncompatible(_) => return TlsFailureKind::NoCommonCipher,
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS",
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the server cannot prove that the certificate is its own"
        }
        rustls::Error::InvalidCertificate(_) => "the certificate cannot be used",
        rustls::Error::NoCertificatesPresented => "the server sent no certificate",
        rustls::Error::DecryptError => "the data from the server is damaged",
        rustls::Error::PeerMisbehaved(_) | rustls::Error::InappropriateMessage { .. } => {
            "the server does not follow the rules of TLS"
        }
        _ => "the handshake failed",
    };
    TlsFailureKind::Other(words.to_owned())
}

/// What the server's alert means. Its number is what an administrator finds in other programs.
fn alert_kind(alert: AlertDescription) -> TlsFailureKind {
    let number = u8::from(alert);
    let words = match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            return TlsFailureKind::NoCommonCipher
        }
        AlertDescription::ProtocolVersion => return TlsFailureKind::NoCommonVersion,
        AlertDescription::UnrecognisedName => "the server does not know this host name",
        AlertDescription::InternalError => "the server reports an error of its own",
        AlertDescription::AccessDenied => "the server denies access",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => "the server does not accept a certificate",
        _ => "the server ended the handshake",
    };
    TlsFailureKind::Other(format!("{words} (TLS alert {number})"))
}
