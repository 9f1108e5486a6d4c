//! Which signatures can be verified: those of ring, and the ECDSA signatures of private authorities
//! that ring does not know, on P-521 and with SHA-512.
//!
//! All values here are public, so that nothing has to take constant time.

use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use ecdsa::elliptic_curve::generic_array::ArrayLength;
use ecdsa::elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use ecdsa::elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PrimeCurve, PublicKey,
};
use ecdsa::hazmat::{bits2field, verify_prehashed};
use ecdsa::{Signature, SignatureSize};
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use ring::digest::{digest, Algorithm, SHA256, SHA384, SHA512};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    alg_id, AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm,
};
use rustls::SignatureScheme;
#[cfg(any(windows, all(unix, not(target_env = "musl")), test))]
use x509_parser::prelude::FromDer as _;
#[cfg(any(windows, all(unix, not(target_env = "musl")), test))]
use x509_parser::x509::SubjectPublicKeyInfo;

use super::der;

/// ring's provider, which verifies more signatures.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        signature_verification_algorithms: *ALGORITHMS,
        ..default_provider()
    }
}

/// Every verification of a signature in a certificate.
pub(super) fn all() -> &'static [Verification] {
    ALGORITHMS.all
}

/// Whether the key of a certificate (`SubjectPublicKeyInfo`) verifies this signature.
#[cfg(any(windows, all(unix, not(target_env = "musl")), test))]
pub(super) fn is_signature_of(
    public: &[u8],
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Ok((_, public)) = SubjectPublicKeyInfo::from_der(public) else {
        return false;
    };
    let key = &public.subject_public_key.data;
    let mut fitting = ALGORITHMS
        .mapping
        .iter()
        .filter(|(known, _)| *known == scheme);
    let verifies = |by: &Verification| by.verify_signature(key, message, signature).is_ok();
    fitting.any(|(_, verifications)| verifications.iter().any(verifies))
}

pub(super) type Verification = &'static dyn SignatureVerificationAlgorithm;
type Schemes = (SignatureScheme, &'static [Verification]);

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let known = default_provider().signature_verification_algorithms;
    let mut all = known.all.to_vec();
    all.extend([
        P256_SHA512,
        P384_SHA512,
        P521_SHA256,
        P521_SHA384,
        P521_SHA512,
    ]);
    let mut schemes: Vec<Schemes> = known.mapping.to_vec();
    // In TLS 1.2, a scheme names the hash alone, and the curve is that of the key.
    for (scheme, verifications) in &mut schemes {
        let more = match *scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => P521_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384 => P521_SHA384,
            _ => continue,
        };
        *verifications = Vec::leak([*verifications, &[more]].concat());
    }
    schemes.push((
        SignatureScheme::ECDSA_NISTP521_SHA512,
        &[P521_SHA512, P384_SHA512, P256_SHA512],
    ));
    WebPkiSupportedAlgorithms {
        all: Vec::leak(all),
        mapping: Vec::leak(schemes),
    }
});

const P256_SHA512: Verification =
    &Ecdsa::<NistP256>::new(alg_id::ECDSA_P256, alg_id::ECDSA_SHA512, &SHA512);
const P384_SHA512: Verification =
    &Ecdsa::<NistP384>::new(alg_id::ECDSA_P384, alg_id::ECDSA_SHA512, &SHA512);
const P521_SHA256: Verification =
    &Ecdsa::<NistP521>::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA256, &SHA256);
const P521_SHA384: Verification =
    &Ecdsa::<NistP521>::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA384, &SHA384);
const P521_SHA512: Verification =
    &Ecdsa::<NistP521>::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA512, &SHA512);

/// ECDSA on one curve with one hash.
struct Ecdsa<C> {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    hash: &'static Algorithm,
    curve: PhantomData<C>,
}

impl<C> Ecdsa<C> {
    const fn new(
        key: AlgorithmIdentifier,
        signature: AlgorithmIdentifier,
        hash: &'static Algorithm,
    ) -> Self {
        Self {
            key,
            signature,
            hash,
            curve: PhantomData,
        }
    }
}

impl<C> SignatureVerificationAlgorithm for Ecdsa<C>
where
    C: PrimeCurve + CurveArithmetic + Send + Sync,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
    SignatureSize<C>: ArrayLength<u8>,
{
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let hash = digest(self.hash, message);
        is_signed::<C>(public_key, hash.as_ref(), signature).ok_or(InvalidSignature)
    }
}

/// `Some` if `signature` (two numbers in DER) is one of `hash` by the key.
fn is_signed<C>(public_key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()>
where
    C: PrimeCurve + CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
    SignatureSize<C>: ArrayLength<u8>,
{
    let key = PublicKey::<C>::from_sec1_bytes(public_key).ok()?;
    let (numbers, end) = der::expect(signature, der::SEQUENCE)?;
    let (r, numbers) = der::expect(numbers, der::INTEGER)?;
    let (s, rest) = der::expect(numbers, der::INTEGER)?;
    if !end.is_empty() || !rest.is_empty() {
        return None;
    }
    let signature = Signature::<C>::from_scalars(number::<C>(r)?, number::<C>(s)?).ok()?;
    // A hash that is shorter than the field has zeros before it, a longer one loses its end.
    let size = FieldBytes::<C>::default().len();
    let padded = [&vec![0; size.saturating_sub(hash.len())], hash].concat();
    let hash = bits2field::<C>(&padded).ok()?;
    verify_prehashed(&key.to_projective(), &hash, &signature).ok()
}

/// A positive number as one of the curve's field, with zeros before it.
fn number<C: PrimeCurve>(integer: &[u8]) -> Option<FieldBytes<C>> {
    let digits = integer.strip_prefix(&[0]).unwrap_or(integer);
    let mut bytes = FieldBytes::<C>::default();
    let start = bytes.len().checked_sub(digits.len())?;
    bytes.get_mut(start..)?.copy_from_slice(digits);
    Some(bytes)
}

impl<C> fmt::Debug for Ecdsa<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecdsa")
    }
}
