//! A client certificate with its private key, ready for TLS.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use zeroize::Zeroizing;

use super::certificate::{facts, parse, to_pem, validity};
use super::signatures;
use crate::connection::{CertificateSource, ClientCertificateSetting};
use crate::error::CertificateFacts;
use crate::secret::Secret;

/// More certificates than this are not a chain that a server reads.
const LONGEST_CHAIN: usize = 10;

const UNUSABLE_KEY: &str = "its private key cannot be used; RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 can";

/// A client certificate with its private key and the certificates that lead to its authority.
pub struct ClientCertificate {
    certified: Arc<CertifiedKey>,
    /// `None` where it stays on a token or in Windows.
    key: Option<Zeroizing<Vec<u8>>>,
    facts: CertificateFacts,
}

/// Certificates and private keys as a file holds them.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
}

/// A private key, and the certificate that was issued for it.
struct Pair<'a> {
    certificate: &'a CertificateDer<'static>,
    key: &'a PrivateKeyDer<'static>,
    signing: Arc<dyn SigningKey>,
}

impl ClientCertificate {
    /// Finds the one private key and its certificate. The error says, for people, what is missing.
    pub(super) fn choose(contents: &Contents) -> Result<Self, String> {
        match (contents.certificates.is_empty(), contents.keys.is_empty()) {
            (true, true) => return Err("it holds neither a certificate nor a private key".into()),
            (false, true) => {
                return Err("it holds a certificate without its private key; export it again together with the private key".into())
            }
            (true, false) => {
                return Err("it holds a private key without its certificate; put both into one file".into())
            }
            (false, false) => {}
        }
        let mut pairs = pairs(contents)?;
        // A renewed certificate may have the key of the former one.
        pairs.sort_by_key(|pair| validity(pair.certificate).map(|(_, end)| end));
        let Some(pair) = pairs.pop() else {
            return Err("its private key does not belong to the certificate".into());
        };
        if let Some(other) = pairs.iter().find(|other| other.key != pair.key) {
            return Err(format!(
                "it holds several private keys with certificates ({}; {}); export the one that the web server asks for alone",
                subject(pair.certificate),
                subject(other.certificate)
            ));
        }
        let made = Self::with_key(pair.certificate, &contents.certificates, pair.signing)?;
        Ok(Self {
            key: Some(Zeroizing::new(pair.key.secret_der().to_vec())),
            ..made
        })
    }

    /// A certificate with the key that signs for it, and those among `others` that lead to its
    /// authority.
    pub(super) fn with_key(
        leaf: &CertificateDer<'static>,
        others: &[CertificateDer<'static>],
        signing: Arc<dyn SigningKey>,
    ) -> Result<Self, String> {
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain(leaf, others), signing)),
            key: None,
            facts: facts(leaf).ok_or("its certificate cannot be read")?,
        })
    }

    /// What the certificate says.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// When the certificate expires. The epoch where it names no time that can be read.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.validity().1
    }

    /// What `meta.json` says about it.
    #[must_use]
    pub fn setting(&self, source: CertificateSource) -> ClientCertificateSetting {
        ClientCertificateSetting {
            source,
            subject: self.facts.subject.clone(),
            issuer: self.facts.issuer.clone(),
            not_after: self.not_after(),
            sha256: self.facts.sha256.clone(),
        }
    }

    fn validity(&self) -> (Timestamp, Timestamp) {
        let leaf = self.certified.cert.first();
        let (start, end) = leaf.and_then(|leaf| validity(leaf)).unwrap_or_default();
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or_default();
        (time(start), time(end))
    }

    /// Reasons, for people, why a server may reject the certificate although it has not expired.
    #[must_use]
    pub fn doubts(&self, now: Timestamp) -> Vec<String> {
        let mut doubts = Vec::new();
        let (start, _) = self.validity();
        if now < start {
            doubts.push(format!("it is not valid before {start}"));
        }
        let leaf = self.certified.cert.first();
        if !leaf.is_some_and(|leaf| is_for_clients(leaf)) {
            doubts.push(
                "it is not issued for client authentication, so web servers may reject it".into(),
            );
        }
        doubts
    }

    /// Chain and private key as PEM, for the keychain. `None` where the key stays on a token or in
    /// Windows.
    #[must_use]
    pub fn to_pem(&self) -> Option<Secret> {
        let key = self.key.as_ref()?;
        let label = match PrivateKeyDer::try_from(key.as_slice()) {
            Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let key = Zeroizing::new(STANDARD.encode(&**key));
        let certificates = to_pem(&self.certified.cert);
        // Large enough that it never reallocates, which would leave a copy in memory.
        let mut pem = String::with_capacity(certificates.len() + key.len() + 128);
        pem.push_str(&certificates);
        // Writing to a string cannot fail.
        let _ = write!(
            pem,
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            *key
        );
        Some(Secret::new(pem))
    }

    /// The certificate, and those that lead to its authority.
    #[cfg(feature = "cli")]
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The private key in the form in which it was read; `None` where it stays on a token
    /// or in Windows.
    #[cfg(feature = "cli")]
    pub(super) fn key_der(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|key| key.as_slice())
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.facts.subject)
    }
}

/// Every private key with the certificates that were issued for it.
fn pairs(contents: &Contents) -> Result<Vec<Pair<'_>>, String> {
    let provider = signatures::provider();
    let mut pairs = Vec::new();
    for key in &contents.keys {
        let signing = provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|_| UNUSABLE_KEY.to_owned())?;
        let Some(public) = signing.public_key() else {
            return Err(UNUSABLE_KEY.to_owned());
        };
        pairs.extend(
            contents
                .certificates
                .iter()
                .filter(|certificate| has_key(certificate, &public))
                .map(|certificate| Pair {
                    certificate,
                    key,
                    signing: Arc::clone(&signing),
                }),
        );
    }
    Ok(pairs)
}

fn has_key(certificate: &CertificateDer<'_>, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
    parse(certificate).is_some_and(|certificate| certificate.public_key().raw == key.as_ref())
}

/// The certificate, and the others of the file that lead to its authority, without the root: the
/// server has that one.
fn chain(
    leaf: &CertificateDer<'static>,
    others: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf.clone()];
    while let Some(next) = chain.last().and_then(|last| issuer(last, others)) {
        if chain.contains(next) || chain.len() == LONGEST_CHAIN {
            break;
        }
        chain.push(next.clone());
    }
    chain
}

/// The certificate of the authority that issued one. Of several of its name, which an authority has
/// that was renewed, the one with the key that the certificate names, and then the latest.
fn issuer<'a>(
    of: &CertificateDer<'_>,
    among: &'a [CertificateDer<'static>],
) -> Option<&'a CertificateDer<'static>> {
    let of = parse(of)?;
    let key = authority_key(&of);
    let fit = |der: &CertificateDer<'_>| {
        let other = parse(der)?;
        let is_issuer = other.subject().as_raw() == of.issuer().as_raw()
            && other.subject().as_raw() != other.issuer().as_raw();
        let has_key = key.is_some() && own_key(&other) == key;
        is_issuer.then(|| (has_key, other.validity().not_after.timestamp()))
    };
    let fitting = among.iter().filter_map(|der| Some((fit(der)?, der)));
    fitting.max_by_key(|(fit, _)| *fit).map(|(_, der)| der)
}

/// The identifier of the issuer's key, if the certificate names it.
fn authority_key<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => Some(key.key_identifier.as_ref()?.0),
            _ => None,
        })
}

/// The identifier of the certificate's own key, if it names it.
fn own_key<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
            _ => None,
        })
}

fn subject(certificate: &CertificateDer<'_>) -> String {
    facts(certificate).map_or_else(|| "unreadable".to_owned(), |facts| facts.subject)
}

/// Whether a certificate may identify a client: it says so, or does not limit its use.
pub(super) fn is_for_clients(certificate: &[u8]) -> bool {
    let Some(certificate) = parse(certificate) else {
        return false;
    };
    let has_purpose = match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
        Ok(None) => true,
        Err(_) => false,
    };
    has_purpose && may_sign(&certificate)
}

/// Whether the key of a certificate may sign in the handshake. That of a card's certificate for
/// encryption must not.
pub(super) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.digital_signature(),
        Ok(None) => true,
        Err(_) => false,
    }
}
