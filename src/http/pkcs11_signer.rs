//! Signing for TLS with a private key that stays on a PKCS#11 token.

use std::fmt;
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use pkcs8::der::asn1::{AnyRef, UintRef};
use pkcs8::der::{Encode as _, Tag};
use ring::digest;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::public_key::PublicKey;

use super::certificate::parse;
use super::key_failure::key_failure;
use super::signatures::is_signature_of;
use crate::error::KeyProblem;
use crate::policy::TOKEN_TIMEOUT;
use crate::util::lock;

/// In bits; as for keys in files.
const SHORTEST_RSA: usize = 2048;

/// What a key can sign with.
#[derive(Clone, Copy)]
enum Scheme {
    Ecdsa(&'static digest::Algorithm),
    Pkcs1(&'static digest::Algorithm),
    Pss(&'static digest::Algorithm),
}

/// A private key that stays on its token.
pub(super) struct TokenKey {
    shared: Arc<Shared>,
    algorithm: SignatureAlgorithm,
    public: Vec<u8>,
    /// In the order in which they are preferred.
    schemes: Vec<(SignatureScheme, Scheme)>,
}

/// The session, which one thread at a time may use.
struct Shared {
    session: Mutex<Session>,
    key: ObjectHandle,
}

impl TokenKey {
    /// The private key of this certificate. The error says, for people, why it cannot sign.
    pub(super) fn new(
        session: Session,
        key: ObjectHandle,
        certificate: &CertificateDer<'_>,
        mechanisms: &[MechanismType],
    ) -> Result<Self, String> {
        let certificate = parse(certificate).ok_or("it cannot be read")?;
        let public = certificate.public_key();
        let (algorithm, schemes) = match public.parsed() {
            Ok(PublicKey::RSA(key)) if key.key_size() < SHORTEST_RSA => {
                return Err(format!("its RSA key has fewer than {SHORTEST_RSA} bits"));
            }
            Ok(PublicKey::RSA(_)) => (SignatureAlgorithm::RSA, rsa(mechanisms)),
            Ok(PublicKey::EC(point)) => (
                SignatureAlgorithm::ECDSA,
                ecdsa(point.key_size(), mechanisms),
            ),
            _ => return Err("its key is neither RSA nor ECDSA".into()),
        };
        if schemes.is_empty() {
            return Err("the token does not sign with its key as TLS needs it".into());
        }
        Ok(Self {
            shared: Arc::new(Shared {
                session: Mutex::new(session),
                key,
            }),
            algorithm,
            public: public.raw.to_vec(),
            schemes,
        })
    }

    /// Signs something, and verifies that by the certificate. The error says, for people, why the
    /// key cannot be used: it may be another one with the same ID.
    pub(super) fn prove(&self) -> Result<(), String> {
        const MESSAGE: &[u8] = b"age-oauth: proof of a private key on a token";
        let Some((name, scheme)) = self.schemes.first().copied() else {
            return Ok(());
        };
        let signed = self.shared.sign(scheme, MESSAGE);
        let signature = signed.map_err(|why| why.to_string())?;
        is_signature_of(&self.public, name, MESSAGE, &signature)
            .then_some(())
            .ok_or_else(|| "the private key with its ID on the token is another one".to_owned())
    }
}

fn ecdsa(bits: usize, mechanisms: &[MechanismType]) -> Vec<(SignatureScheme, Scheme)> {
    if !mechanisms.contains(&MechanismType::ECDSA) {
        return Vec::new();
    }
    let (scheme, hash) = match bits {
        256 => (SignatureScheme::ECDSA_NISTP256_SHA256, &digest::SHA256),
        384 => (SignatureScheme::ECDSA_NISTP384_SHA384, &digest::SHA384),
        // The point's size is that of whole bytes.
        521 | 528 => (SignatureScheme::ECDSA_NISTP521_SHA512, &digest::SHA512),
        _ => return Vec::new(),
    };
    vec![(scheme, Scheme::Ecdsa(hash))]
}

fn rsa(mechanisms: &[MechanismType]) -> Vec<(SignatureScheme, Scheme)> {
    let mut schemes = Vec::new();
    if mechanisms.contains(&MechanismType::RSA_PKCS_PSS) {
        schemes.extend([
            (
                SignatureScheme::RSA_PSS_SHA256,
                Scheme::Pss(&digest::SHA256),
            ),
            (
                SignatureScheme::RSA_PSS_SHA384,
                Scheme::Pss(&digest::SHA384),
            ),
            (
                SignatureScheme::RSA_PSS_SHA512,
                Scheme::Pss(&digest::SHA512),
            ),
        ]);
    }
    if mechanisms.contains(&MechanismType::RSA_PKCS) {
        schemes.extend([
            (
                SignatureScheme::RSA_PKCS1_SHA256,
                Scheme::Pkcs1(&digest::SHA256),
            ),
            (
                SignatureScheme::RSA_PKCS1_SHA384,
                Scheme::Pkcs1(&digest::SHA384),
            ),
            (
                SignatureScheme::RSA_PKCS1_SHA512,
                Scheme::Pkcs1(&digest::SHA512),
            ),
        ]);
    }
    schemes
}

impl SigningKey for TokenKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let usable = self.schemes.iter();
        let (name, scheme) = usable.copied().find(|(name, _)| offered.contains(name))?;
        Some(Box::new(TokenSigner {
            shared: Arc::clone(&self.shared),
            name,
            scheme,
        }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

struct TokenSigner {
    shared: Arc<Shared>,
    name: SignatureScheme,
    scheme: Scheme,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSigner({:?})", self.name)
    }
}

impl Shared {
    /// The signature as TLS wants it.
    fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyProblem> {
        let (mechanism, data) = match scheme {
            Scheme::Ecdsa(hash) => (Mechanism::Ecdsa, hashed(hash, message)),
            Scheme::Pkcs1(hash) => (Mechanism::RsaPkcs, digest_info(hash, message)),
            Scheme::Pss(hash) => (Mechanism::RsaPkcsPss(pss(hash)), hashed(hash, message)),
        };
        let signature = lock(&self.session)
            .sign(&mechanism, self.key, &data)
            .map_err(|error| why_not_signed(&error))?;
        match scheme {
            Scheme::Ecdsa(_) => ecdsa_der(&signature)
                .ok_or_else(|| KeyProblem::Failed("the signature is not one of ECDSA".into())),
            Scheme::Pkcs1(_) | Scheme::Pss(_) => Ok(signature),
        }
    }
}

fn why_not_signed(error: &TokenError) -> KeyProblem {
    match error {
        TokenError::Pkcs11(RvError::UserNotLoggedIn, _) => {
            KeyProblem::Failed("the token asks for the PIN before each signature of this key, which this program does not answer; use another certificate of the token, such as that for authentication".into())
        }
        TokenError::Pkcs11(
            RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SessionHandleInvalid,
            _,
        ) => KeyProblem::NoCard,
        TokenError::Pkcs11(value, _) => KeyProblem::Failed(format!("{value:?}")),
        other => KeyProblem::Failed(other.to_string()),
    }
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        // The token is left alone if it does not answer: its calls cannot be canceled.
        let (shared, scheme, message) = (Arc::clone(&self.shared), self.scheme, message.to_vec());
        let (sender, answer) = mpsc::sync_channel(1);
        thread::spawn(move || {
            // The receiver may have given up.
            let _ = sender.send(shared.sign(scheme, &message));
        });
        let silent = || Err(KeyProblem::Failed("the token does not answer".into()));
        let signed = answer
            .recv_timeout(TOKEN_TIMEOUT)
            .unwrap_or_else(|_| silent());
        signed.map_err(key_failure)
    }

    fn scheme(&self) -> SignatureScheme {
        self.name
    }
}

fn hashed(hash: &'static digest::Algorithm, message: &[u8]) -> Vec<u8> {
    digest::digest(hash, message).as_ref().to_vec()
}

/// `DigestInfo` (RFC 8017, section 9.2): the tokens' oldest mechanism, which all have, pads only.
fn digest_info(hash: &'static digest::Algorithm, message: &[u8]) -> Vec<u8> {
    // The last byte of the OID of SHA-256, SHA-384 and SHA-512.
    let last = match hash.output_len() {
        32 => 1,
        48 => 2,
        _ => 3,
    };
    let digest = hashed(hash, message);
    let length = 16 * (last + 1);
    let mut info = vec![0x30, 0x11 + length, 0x30, 0x0d, 0x06, 0x09];
    info.extend([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]);
    info.extend([0x05, 0x00, 0x04, length]);
    info.extend(digest);
    info
}

/// As TLS wants it: the salt is as long as the hash (RFC 8446, section 4.2.3).
fn pss(hash: &'static digest::Algorithm) -> PkcsPssParams {
    let (hash_alg, mgf, s_len) = match hash.output_len() {
        32 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        48 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        _ => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams {
        hash_alg,
        mgf,
        s_len: Ulong::new(s_len),
    }
}

/// A token's signature is two numbers of equal length; that of TLS is a DER sequence of them.
fn ecdsa_der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(signature.len() / 2)?;
    let number = |bytes| UintRef::new(bytes).ok()?.to_der().ok();
    let numbers = [number(r)?, number(s)?].concat();
    AnyRef::new(Tag::Sequence, &numbers).ok()?.to_der().ok()
}
