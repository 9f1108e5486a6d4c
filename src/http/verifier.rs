//! Decides whether a server's certificate is accepted.
//!
//! The platform decides first. Then come the authorities that the connection and the environment
//! add, and at last the certificates that are trusted by themselves, byte for byte. Dates are
//! checked in every case except [`Tls::Unverified`], and names in every case except that and a
//! certificate that was pinned for this host. A refusal carries the chain and the reason.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    verify_tls12_signature, verify_tls13_signature, CryptoProvider, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use super::algorithm::unusable_key;
use super::authorities::{AddedAuthorities, Authorities};
use super::certificate::{facts, parse};
use super::certificate_file::{read_certificates, MAX_CERTIFICATES};
use super::der;
use super::diagnosis::{date_fault, names_host, Refused};
use crate::connection::Tls;
use crate::error::{CertificateFacts, Error, FileAction, Result, TlsFailure, TlsFailureKind};
use crate::files;

/// The verifier of one connection's TLS setting.
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    accept_any: bool,
    /// The connection's own certificates.
    own: Vec<CertificateDer<'static>>,
    /// The certificate that is trusted for one host alone, and that host.
    pinned: Option<(CertificateDer<'static>, String)>,
    added: AddedAuthorities,
    /// What the server showed at the last handshake, its own certificate first.
    shown: Mutex<Vec<CertificateDer<'static>>>,
    /// Loaded at the first handshake, since a platform's store takes milliseconds to read.
    authorities: OnceLock<Authorities>,
}

impl Verifier {
    /// `certificates` is the content of the connection's certificate file.
    pub(super) fn new(
        tls: &Tls,
        certificates: Option<&[u8]>,
        added: AddedAuthorities,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self> {
        let (mut own, mut pinned) = (Vec::new(), None);
        match tls {
            Tls::Ca(path) => own = parse_file(path, certificates)?,
            Tls::Pinned { path, host } => {
                let first = parse_file(path, certificates)?.into_iter().next();
                pinned = first.map(|certificate| (certificate, host.clone()));
            }
            Tls::System | Tls::Unverified => {}
        }
        Ok(Self {
            provider,
            accept_any: *tls == Tls::Unverified,
            own,
            pinned,
            added,
            shown: Mutex::default(),
            authorities: OnceLock::new(),
        })
    }

    /// The certificates that the server showed at the last handshake, its own first.
    pub(super) fn shown(&self) -> Vec<CertificateFacts> {
        let chain = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        chain.iter().filter_map(|der| facts(der)).collect()
    }

    fn authorities(&self) -> &Authorities {
        self.authorities
            .get_or_init(|| Authorities::load(&self.own, &self.added, &self.provider))
    }

    /// Accepts the certificate that was pinned, and those that are trusted by themselves.
    fn verify_exact(
        &self,
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<std::result::Result<(), TlsFailureKind>> {
        let pinned = self.pinned.as_ref().filter(|(pinned, _)| pinned == leaf);
        let exact = || self.authorities().exact.iter().any(|one| one == leaf);
        if pinned.is_none() && !exact() {
            return None;
        }
        let needs_no_name = pinned.is_some_and(|(_, host)| same_host(host, name));
        Some(match date_fault(leaf, now) {
            Some(fault) => Err(fault),
            None if needs_no_name || names_host(leaf, name) => Ok(()),
            None => Err(TlsFailureKind::WrongHost),
        })
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<(), Vec<TlsFailureKind>> {
        let ask = |trust: &dyn ServerCertVerifier| {
            trust
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map_err(|why| failure_kind(&why))
        };
        let authorities = self.authorities();
        let mut kinds = Vec::new();
        if let Some(platform) = &authorities.platform {
            match ask(platform.as_ref()) {
                Ok(_) => return Ok(()),
                // The platform knows the certificate and refuses it; no other source overrules
                // that.
                Err(kind @ (TlsFailureKind::Revoked | TlsFailureKind::Distrusted)) => {
                    return Err(vec![kind])
                }
                Err(kind) => kinds.push(kind),
            }
        }
        // One source that accepts the chain is enough.
        for trust in &authorities.added {
            match ask(trust.as_ref()) {
                Ok(_) => return Ok(()),
                Err(kind) => kinds.push(kind),
            }
        }
        match self.verify_exact(leaf, name, now) {
            Some(Ok(())) => Ok(()),
            // It is trusted, but for another name or time. Then the missing authority is not the
            // reason.
            Some(Err(kind)) => Err(vec![kind]),
            None => Err(kinds),
        }
    }
}

/// The content of the connection's certificate file. `None` where the connection has none.
pub fn read_certificate_file(tls: &Tls) -> Result<Option<Vec<u8>>> {
    match tls {
        Tls::Ca(path) | Tls::Pinned { path, .. } => files::read_user_file(path, MAX_CERTIFICATES)
            .map(Some)
            .map_err(Error::file(FileAction::Read, path)),
        Tls::System | Tls::Unverified => Ok(None),
    }
}

fn parse_file(path: &Path, content: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>> {
    let missing = || Error::file(FileAction::Read, path)(io::ErrorKind::NotFound.into());
    read_certificates(content.ok_or_else(missing)?).map_err(|why| Error::Corrupt {
        path: path.to_owned(),
        why,
    })
}

/// Whether both are the same host. `host` may have brackets and a port, as in a URL.
fn same_host(host: &str, name: &ServerName<'_>) -> bool {
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    let name = name.to_str();
    match (bare.parse::<IpAddr>(), name.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => bare.eq_ignore_ascii_case(&name),
    }
}

/// How rustls verifies the signature of a handshake.
type VerifySignature = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> std::result::Result<HandshakeSignatureValid, rustls::Error>;

impl Verifier {
    /// Verifies the signature of a handshake by `verify`, or by the certificate's key alone and the
    /// first `count` algorithms of the signature's scheme where rustls cannot read the certificate.
    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        verify: VerifySignature,
        count: usize,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        // Where any certificate is accepted, a valid signature proves nothing: an attacker's own
        // certificate has one.
        if self.accept_any {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        if is_unknown_version(certificate) {
            return verify_with_key(message, certificate, signature, algorithms, count);
        }
        verify(message, certificate, signature, algorithms)
            .map_err(|error| handshake_failure(certificate, error))
    }
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
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = std::iter::once(leaf)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        // `--verify-ssl false`: every certificate is accepted.
        if self.accept_any {
            return Ok(ServerCertVerified::assertion());
        }
        let Err(reported) = self.verify(leaf, intermediates, name, ocsp, now) else {
            return Ok(ServerCertVerified::assertion());
        };
        let refused = Refused {
            reported,
            leaf,
            intermediates,
            authorities: &self.own,
            name,
            now,
        };
        let mut failure = refused.explain();
        failure.notes.extend(self.authorities().notes.clone());
        if matches!(&self.pinned, Some((_, host)) if same_host(host, name)) {
            failure.notes.push(
                "the server shows another certificate than the one that is pinned".to_owned(),
            );
        }
        Err(RejectedCertificate(failure).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let (verify, count) = (verify_tls12_signature, usize::MAX);
        self.verify_handshake(message, certificate, signature, verify, count)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        // In TLS 1.3, a scheme stands for one algorithm, the first.
        let (verify, count) = (verify_tls13_signature, 1);
        self.verify_handshake(message, certificate, signature, verify, count)
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

/// Whether rustls cannot read the certificate although it is sound: those of version 1, which are
/// accepted where they are pinned.
fn is_unknown_version(certificate: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_err() && parse(certificate).is_some()
}

/// Verifies a handshake's signature with the certificate's key alone, as rustls does: by one of the
/// first `count` algorithms that belong to the signature's scheme.
fn verify_with_key(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    count: usize,
) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
    let bad = || handshake_failure(certificate, CertificateError::BadSignature.into());
    let parsed = parse(certificate).ok_or_else(bad)?;
    let key = parsed.public_key();
    let identifier = der::expect(key.raw, der::SEQUENCE)
        .and_then(|(fields, _)| der::expect(fields, der::SEQUENCE))
        .map(|(identifier, _)| identifier);
    let schemes = algorithms.mapping.iter();
    schemes
        .filter(|(scheme, _)| *scheme == signature.scheme)
        .flat_map(|(_, verifications)| verifications.iter().take(count))
        .filter(|verification| Some(&*verification.public_key_alg_id()) == identifier)
        .find(|verification| {
            let bits = &key.subject_public_key.data;
            verification
                .verify_signature(bits, message, signature.signature())
                .is_ok()
        })
        .map(|_| HandshakeSignatureValid::assertion())
        .ok_or_else(bad)
}

/// The reason why the server cannot prove that the certificate is its own, where the certificate's
/// key is one that this program does not know.
fn handshake_failure(leaf: &CertificateDer<'_>, error: rustls::Error) -> rustls::Error {
    let Some(name) = unusable_key(leaf) else {
        return error;
    };
    RejectedCertificate(TlsFailure {
        kind: TlsFailureKind::Algorithm(name),
        certificate: facts(leaf),
        fault: None,
        chain: vec![leaf.to_vec()],
        notes: Vec::new(),
        authority_helps: false,
        pin_helps: false,
    })
    .into()
}

/// What a verifier's error means.
fn failure_kind(error: &rustls::Error) -> TlsFailureKind {
    let rustls::Error::InvalidCertificate(error) = error else {
        return TlsFailureKind::Other("the certificate could not be verified".to_owned());
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
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsFailureKind::Purpose
        }
        CertificateError::Revoked => TlsFailureKind::Revoked,
        CertificateError::UnknownIssuer => TlsFailureKind::UnknownIssuer,
        CertificateError::BadSignature => TlsFailureKind::BadSignature,
        CertificateError::BadEncoding => {
            TlsFailureKind::Other("the certificate cannot be read".to_owned())
        }
        CertificateError::UnhandledCriticalExtension => TlsFailureKind::UnknownRule,
        CertificateError::Other(OtherError(why)) => platform_kind(&why.to_string()),
        _ => TlsFailureKind::Other(INVALID.to_owned()),
    }
}

/// What is reported where no verifier says more.
const INVALID: &str =
    "the certificate, or the chain that leads to it, does not follow the rules for certificates";

/// What the error of a platform's verifier means. The verifier hands over nothing but a text that
/// ends with the platform's number: `… (os error N)` on Windows, `…: N` on macOS.
fn platform_kind(text: &str) -> TlsFailureKind {
    let number = text
        .trim_end_matches(')')
        .rsplit([' ', ':'])
        .next()
        .and_then(|number| number.parse::<i32>().ok());
    match number {
        // CRYPT_E_REVOKED, CERT_E_REVOKED; errSecCertificateRevoked.
        Some(-2_146_885_616 | -2_146_762_484 | -67820) => TlsFailureKind::Revoked,
        // TRUST_E_EXPLICIT_DISTRUST; errSecTrustSettingDeny.
        Some(-2_146_762_479 | -67654) => TlsFailureKind::Distrusted,
        // CERT_E_CHAINING, CERT_E_UNTRUSTEDROOT, CERT_E_REVOCATION_FAILURE (Wine's word for a root
        // that it does not know); errSecNotTrusted.
        Some(-2_146_762_486 | -2_146_762_487 | -2_146_762_482 | -67843) => {
            TlsFailureKind::UnknownIssuer
        }
        // CERT_E_EXPIRED; errSecCertificateExpired.
        Some(-2_146_762_495 | -67818) => TlsFailureKind::Expired,
        // errSecCertificateNotValidYet.
        Some(-67819) => TlsFailureKind::NotYetValid,
        // TRUST_E_CERT_SIGNATURE.
        Some(-2_146_869_244) => TlsFailureKind::BadSignature,
        // What the platform says in its own words.
        Some(_) => TlsFailureKind::Other(format!("this machine refuses the certificate: {text}")),
        None => TlsFailureKind::Other(INVALID.to_owned()),
    }
}

/// A refused certificate, as the source of rustls' error, which cannot carry the chain.
#[derive(Debug)]
pub(super) struct RejectedCertificate(pub(super) TlsFailure);

impl fmt::Display for RejectedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RejectedCertificate {}

impl From<RejectedCertificate> for rustls::Error {
    fn from(refusal: RejectedCertificate) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::http::signatures;

    /// A source of trust with one answer for every chain.
    #[derive(Debug)]
    struct Answers(Option<CertificateError>);

    impl ServerCertVerifier for Answers {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> std::result::Result<ServerCertVerified, rustls::Error> {
            match &self.0 {
                Some(why) => Err(why.clone().into()),
                None => Ok(ServerCertVerified::assertion()),
            }
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
            Vec::new()
        }
    }

    /// What becomes of a certificate that the platform judges so, and that an added authority and
    /// the pin accept.
    fn verdict(platform: Option<CertificateError>) -> std::result::Result<(), TlsFailureKind> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let leaf = made.cert.der().clone();
        let environment = crate::context::Environment::of([] as [(&str, &str); 0]);
        let provider = Arc::new(signatures::provider());
        let added = AddedAuthorities::Environment(environment);
        let mut verifier = Verifier::new(&Tls::System, None, added, provider).unwrap();
        verifier.pinned = Some((leaf.clone(), "localhost".to_owned()));
        let authorities = Authorities {
            platform: Some(Arc::new(Answers(platform))),
            added: vec![Arc::new(Answers(None))],
            exact: vec![leaf.clone()],
            notes: Vec::new(),
        };
        assert!(verifier.authorities.set(authorities).is_ok());
        let name = ServerName::try_from("localhost").unwrap();
        let answer = verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now());
        answer.map(drop).map_err(|error| {
            let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) = error
            else {
                return TlsFailureKind::Other(error.to_string());
            };
            let rejected = why.downcast_ref::<RejectedCertificate>().unwrap();
            assert!(!rejected.0.pin_helps && !rejected.0.authority_helps);
            rejected.0.kind.clone()
        })
    }

    #[test]
    fn rule_15_no_authority_and_no_pin_overrules_a_platform_that_refuses() {
        let text = |text: &str| {
            let why: Box<dyn std::error::Error + Send + Sync> = text.into();
            Some(CertificateError::Other(OtherError(Arc::from(why))))
        };
        assert_eq!(verdict(None), Ok(()));
        assert_eq!(verdict(Some(CertificateError::UnknownIssuer)), Ok(()));
        assert_eq!(verdict(text("not trusted: -67843")), Ok(()));
        assert_eq!(verdict(text("chain (os error -2146762486)")), Ok(()));
        for (platform, kind) in [
            (Some(CertificateError::Revoked), TlsFailureKind::Revoked),
            (text("x (os error -2146762484)"), TlsFailureKind::Revoked),
            (text("x (os error -2146762479)"), TlsFailureKind::Distrusted),
            (text("denied: -67654"), TlsFailureKind::Distrusted),
        ] {
            assert_eq!(verdict(platform), Err(kind));
        }
    }

    #[test]
    fn hosts_are_compared_without_ports_and_brackets() {
        for (host, name, same) in [
            ("gis.example.com:7443", "GIS.example.com", true),
            ("[::1]:443", "::1", true),
            ("[::1]", "0:0:0:0:0:0:0:1", true),
            ("127.0.0.1:8443", "127.0.0.1", true),
            ("gis.example.com", "example.com", false),
            ("127.0.0.1", "localhost", false),
        ] {
            let name = ServerName::try_from(name).unwrap();
            assert_eq!(same_host(host, &name), same, "{host}");
        }
    }
}
