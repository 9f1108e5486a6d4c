//! The TLS layer of a connection: handshakes, and what their failures mean for people.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::TLS12;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, OtherError,
    PeerIncompatible, SignatureScheme, StreamOwned, SupportedProtocolVersion, DEFAULT_VERSIONS,
};
use url::{Origin, Url};

use super::authorities::AddedAuthorities;
use super::client_certificate::ClientCertificate;
use super::key_failure::key_problem;
use super::response::Classified;
use super::signatures;
use super::verifier::{RejectedCertificate, Verifier};
use crate::connection::{PortalUrl, Tls};
use crate::error::{
    CertificateFacts, CertificateRejection, Error, Refusal, Result, TlsFailure, TlsFailureKind,
    Unreachable,
};

/// Presents the client certificate, if there is one, and remembers that one was asked for.
#[derive(Debug, Default)]
struct CertificateResolver {
    client_certificate: Option<Arc<ClientCertificate>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for CertificateResolver {
    // The names of authorities that a server sends are hints, and some servers send none or too
    // few. So the certificate is presented to each server of the portal's origin that asks.
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        let certified = self.client_certificate.as_ref()?.certified();
        certified.key.choose_scheme(schemes)?;
        Some(certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What a server asked for in the TLS handshake.
#[derive(Clone, Debug)]
pub(crate) enum CertificateRequest {
    /// It asked for no client certificate.
    None,
    /// It asked for one, and there is none for its origin.
    Unanswered,
    /// It asked for one, and got it.
    Answered(Arc<ClientCertificate>),
}

impl CertificateRequest {
    /// What a server refuses that does not accept a request without a client certificate, or with
    /// this one.
    pub(super) fn refusal(&self, why: CertificateRejection) -> Refusal {
        match self {
            Self::None => Refusal::LateClientCertificate,
            Self::Unanswered => Refusal::ClientCertificate,
            Self::Answered(client_certificate) => Refusal::RejectedClientCertificate {
                subject: client_certificate.facts().subject.clone(),
                not_after: client_certificate.facts().not_after.clone(),
                why,
            },
        }
    }
}

/// One configuration of TLS, with its sessions.
#[derive(Clone)]
struct Endpoint {
    config: Arc<ClientConfig>,
    resolver: Arc<CertificateResolver>,
}

/// A TLS client for one connection's setting. Clones share sessions.
#[derive(Clone)]
pub(super) struct TlsClient {
    verifier: Arc<Verifier>,
    endpoint: Endpoint,
    /// The origins that get the client certificate. Their sessions are kept apart: a session that
    /// began with a certificate would identify its owner to another server that can resume it.
    presenting: Option<(Arc<[Origin]>, Endpoint)>,
}

/// The origins that the client certificate is presented to: that of the portal's address for which
/// the client was made, over https alone. That is the API URL, except where one request compares
/// both addresses. TLS knows no paths, so a server below the same origin gets it, too.
fn certificate_origins(portal: &PortalUrl) -> Arc<[Origin]> {
    portal
        .origin()
        .into_iter()
        .filter(|origin| matches!(origin, Origin::Tuple(scheme, _, _) if scheme == "https"))
        .collect()
}

impl TlsClient {
    /// `certificates` is the content of the connection's certificate file. `client_certificate` is
    /// presented to the portal, if the portal's own certificate is verified.
    pub(super) fn new(
        portal: &PortalUrl,
        tls: &Tls,
        certificates: Option<&[u8]>,
        client_certificate: Option<Arc<ClientCertificate>>,
        added: AddedAuthorities,
    ) -> Result<Self> {
        let provider = Arc::new(signatures::provider());
        let verifier = Verifier::new(tls, certificates, added, Arc::clone(&provider))?;
        let verifier = Arc::new(verifier);
        let presenting = match client_certificate {
            Some(_) if *tls == Tls::Unverified => return Err(unverified_server()),
            Some(client_certificate) => Some((
                certificate_origins(portal),
                endpoint(&provider, &verifier, Some(client_certificate))?,
            )),
            None => None,
        };
        Ok(Self {
            endpoint: endpoint(&provider, &verifier, None)?,
            verifier,
            presenting,
        })
    }

    /// The client for one URL: with the client certificate where the URL's origin gets it.
    pub(super) fn towards(&self, url: &Url) -> Self {
        let mut client = self.clone();
        if let Some((origins, presenting)) = &self.presenting {
            if origins.contains(&url.origin()) {
                client.endpoint = presenting.clone();
            }
        }
        client
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
        let config = Arc::clone(&self.endpoint.config);
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
        if let Some(refusal) = self
            .certificate_refused(error)
            .or_else(|| self.unsigned(error))
        {
            return Some(Classified::Refused(refusal));
        }
        let failure = rejected_certificate(error).unwrap_or_else(|| TlsFailure {
            kind: self.handshake_failure(error),
            certificate: None,
            fault: None,
            chain: Vec::new(),
            notes: Vec::new(),
            authority_helps: false,
            pin_helps: false,
        });
        Some(Classified::Unreachable(Unreachable::Tls(Box::new(failure))))
    }

    fn handshake_failure(&self, error: &rustls::Error) -> TlsFailureKind {
        let own = self.endpoint.resolver.client_certificate.as_deref();
        match handshake_failure(error) {
            TlsFailureKind::NoCommonVersion if !signs_in_tls_13(own) => TlsFailureKind::NeedsTls12,
            kind => kind,
        }
    }

    /// What the server asked for in a handshake.
    pub(super) fn certificate_request(&self) -> CertificateRequest {
        let Endpoint { resolver, .. } = &self.endpoint;
        match &resolver.client_certificate {
            _ if !resolver.asked.load(Ordering::Relaxed) => CertificateRequest::None,
            Some(client_certificate) => {
                CertificateRequest::Answered(Arc::clone(client_certificate))
            }
            None => CertificateRequest::Unanswered,
        }
    }

    /// What ended the handshake if the private key of the client certificate did not sign.
    fn unsigned(&self, error: &rustls::Error) -> Option<Refusal> {
        let why = key_problem(error)?.clone();
        let own = self.endpoint.resolver.client_certificate.as_ref()?;
        let subject = own.facts().subject.clone();
        Some(Refusal::PrivateKey { subject, why })
    }

    /// What the server refuses if it ended the connection over the client certificate that it asked
    /// for. TLS 1.3 has an alert for a missing one; in TLS 1.2 servers use several others.
    fn certificate_refused(&self, error: &rustls::Error) -> Option<Refusal> {
        let rustls::Error::AlertReceived(alert) = error else {
            return None;
        };
        let request = self.certificate_request();
        let why = match alert {
            AlertDescription::CertificateRequired
                if matches!(request, CertificateRequest::None) =>
            {
                return Some(Refusal::ClientCertificate)
            }
            AlertDescription::CertificateExpired => CertificateRejection::Expired,
            AlertDescription::CertificateRevoked => CertificateRejection::Revoked,
            AlertDescription::UnknownCA => CertificateRejection::UnknownAuthority,
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::AccessDenied => CertificateRejection::Unsaid,
            _ => return None,
        };
        match request {
            CertificateRequest::None => None,
            asked => Some(asked.refusal(why)),
        }
    }
}

fn endpoint(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<Verifier>,
    client_certificate: Option<Arc<ClientCertificate>>,
) -> Result<Endpoint> {
    let resolver = Arc::new(CertificateResolver {
        client_certificate,
        asked: AtomicBool::default(),
    });
    let versions = versions(resolver.client_certificate.as_deref());
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|why| Error::invalid("TLS", why.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Verifier>::clone(verifier))
        .with_client_cert_resolver(Arc::<CertificateResolver>::clone(&resolver));
    Ok(Endpoint {
        config: Arc::new(config),
        resolver,
    })
}

/// TLS 1.2 alone for a private key that cannot sign as TLS 1.3 needs it, such as an RSA key without
/// PSS on an old card. The key decides that, and nothing that comes over the network.
fn versions(
    client_certificate: Option<&ClientCertificate>,
) -> &'static [&'static SupportedProtocolVersion] {
    const OLD: &[&SupportedProtocolVersion] = &[&TLS12];
    if signs_in_tls_13(client_certificate) {
        DEFAULT_VERSIONS
    } else {
        OLD
    }
}

/// Whether the private key of the client certificate, if there is one, can sign in TLS 1.3.
fn signs_in_tls_13(client_certificate: Option<&ClientCertificate>) -> bool {
    client_certificate.is_none_or(|own| own.certified().key.choose_scheme(TLS_13_SCHEMES).is_some())
}

/// The signatures of TLS 1.3.
const TLS_13_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// A server that is not verified could be anyone. It would learn whose certificate this is, and get
/// the token for which the certificate was asked.
fn unverified_server() -> Error {
    Error::invalid(
        "client certificate",
        "it is presented only to a portal whose own certificate is verified",
    )
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
