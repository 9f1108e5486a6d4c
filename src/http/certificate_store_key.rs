//! Signing for TLS with a private key that stays in Windows or on a card.

use std::fmt;

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_cng::cert::CertContext;
use rustls_cng::error::CngError;
use rustls_cng::signer::CngSigningKey;
use windows_result::HRESULT;

use super::certificate::parse;
use super::key_failure::key_failure;
use super::key_trial::{usable_schemes, NotSigned};
use crate::context::Attended;
use crate::error::KeyProblem;

/// What Windows reports (`NTE_…`, `SCARD_…`), and what it means.
const SILENT_CONTEXT: u32 = 0x8009_0022;
const USER_CANCELLED: u32 = 0x8009_0036;
const NO_KEY: u32 = 0x8009_000D;
const BAD_KEYSET: u32 = 0x8009_0016;
const CANCELLED: u32 = 0x0000_04C7;
const NO_KEY_PROPERTY: u32 = 0x8009_2004;
const CARD_CANCELLED: u32 = 0x8010_0002;
const CARD_CANCELLED_BY_USER: u32 = 0x8010_006E;
const NO_SMARTCARD: u32 = 0x8010_000C;
const READER_GONE: u32 = 0x8010_0017;
const STOPPED_SERVICE: u32 = 0x8010_001E;
const OTHER_CARD: u32 = 0x8010_002C;
const NO_READER: u32 = 0x8010_002E;
const NO_SERVICE: u32 = 0x8010_001D;
const UNRESPONSIVE_CARD: u32 = 0x8010_0066;
const UNPOWERED_CARD: u32 = 0x8010_0067;
const RESET_CARD: u32 = 0x8010_0068;
const REMOVED_CARD: u32 = 0x8010_0069;
const WRONG_PIN: u32 = 0x8010_006B;
const INVALID_PIN: u32 = 0x8010_002A;
const PIN_BLOCKED: u32 = 0x8010_006C;

/// What Windows reports where a key, its provider or its card has no signatures of a kind.
const UNSUPPORTED: [u32; 5] = [
    // NTE_BAD_ALGID, NTE_BAD_FLAGS, NTE_INVALID_PARAMETER, NTE_NOT_SUPPORTED
    0x8009_0008,
    0x8009_0009,
    0x8009_0027,
    0x8009_0029,
    // SCARD_E_UNSUPPORTED_FEATURE
    0x8010_0022,
];

/// The kinds of signature in the order in which they are preferred. PKCS#1 comes first, because
/// some cards and TPMs do not know PSS; TLS 1.3 has PSS alone.
const PREFERRED: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// A private key that Windows signs with.
pub(super) struct StoreKey {
    key: CngSigningKey,
    public: Vec<u8>,
    /// What it turned out to sign with.
    schemes: Vec<SignatureScheme>,
}

impl StoreKey {
    /// The private key of this certificate, which signs for trial: a person may need longer for a
    /// PIN than a server waits for a signature. Windows asks only where a person is there, in a
    /// window of its own: to name the console's as its parent takes a call that is `unsafe`.
    pub(super) fn open(
        context: &CertContext,
        certificate: &CertificateDer<'_>,
        attended: Attended,
    ) -> Result<Self, KeyProblem> {
        let key = context.acquire_key(attended == Attended::No);
        let key = CngSigningKey::new(key.map_err(|error| problem(&error))?);
        let key = key.map_err(|error| problem(&error))?;
        let parsed = parse(certificate).ok_or(KeyProblem::Missing)?;
        let public = parsed.public_key().raw;
        let fitting = key.supported_schemes();
        let fitting: Vec<_> = PREFERRED
            .iter()
            .copied()
            .filter(|scheme| fitting.contains(scheme))
            .collect();
        let schemes = usable_schemes(public, &fitting, &|scheme, message| {
            let signer = key.choose_scheme(&[scheme]);
            let signer = signer.ok_or_else(|| NotSigned::Unsupported("not supported".into()))?;
            signer.sign(message).map_err(|error| not_signed(&error))
        })?;
        Ok(Self {
            public: public.to_vec(),
            key,
            schemes,
        })
    }
}

impl SigningKey for StoreKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = |scheme: &&SignatureScheme| offered.contains(scheme);
        let scheme = self.schemes.iter().find(is_offered)?;
        let signer = self.key.choose_scheme(std::slice::from_ref(scheme))?;
        Some(Box::new(StoreSigner(signer)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

#[derive(Debug)]
struct StoreSigner(Box<dyn Signer>);

impl Signer for StoreSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = self.0.sign(message);
        signed.map_err(|error| key_failure(unsigned(&error)))
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// Why a key did not sign for trial.
fn not_signed(error: &rustls::Error) -> NotSigned {
    match windows_error(error) {
        Some(CngError::WindowsError(number)) if UNSUPPORTED.contains(number) => {
            NotSigned::Unsupported(system_text(*number))
        }
        _ => NotSigned::Problem(unsigned(error)),
    }
}

/// Why a key did not sign.
fn unsigned(error: &rustls::Error) -> KeyProblem {
    windows_error(error).map_or_else(|| KeyProblem::Failed(error.to_string()), problem)
}

/// What Windows reported, in an error of the TLS library.
fn windows_error(error: &rustls::Error) -> Option<&CngError> {
    let rustls::Error::Other(OtherError(cause)) = error else {
        return None;
    };
    cause.downcast_ref()
}

/// What an error of Windows means.
pub(super) fn problem(error: &CngError) -> KeyProblem {
    let number = match error {
        CngError::WindowsError(number) => *number,
        CngError::UnsupportedKeyAlgorithmGroup => {
            return KeyProblem::Failed("its key is neither RSA nor ECDSA".into())
        }
        other => return KeyProblem::Failed(other.to_string()),
    };
    match number {
        SILENT_CONTEXT => KeyProblem::Unattended,
        USER_CANCELLED | CANCELLED | CARD_CANCELLED | CARD_CANCELLED_BY_USER => {
            KeyProblem::Canceled
        }
        NO_SMARTCARD | READER_GONE | NO_READER | NO_SERVICE | STOPPED_SERVICE | OTHER_CARD
        | UNRESPONSIVE_CARD | UNPOWERED_CARD | RESET_CARD | REMOVED_CARD => KeyProblem::NoCard,
        WRONG_PIN | INVALID_PIN => KeyProblem::WrongPin,
        PIN_BLOCKED => KeyProblem::PinLocked,
        NO_KEY | BAD_KEYSET | NO_KEY_PROPERTY => KeyProblem::Missing,
        other => KeyProblem::Failed(system_text(other)),
    }
}

/// Windows' words for one of its numbers, with the number, by which people search.
pub(super) fn system_text(number: u32) -> String {
    let text = HRESULT(number.cast_signed()).message();
    let words = text.trim().trim_end_matches('.');
    if words.is_empty() {
        format!("error {number:#010X}")
    } else {
        format!("{words} ({number:#010X})")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn reported(number: u32) -> rustls::Error {
        rustls::Error::Other(OtherError(Arc::new(CngError::WindowsError(number))))
    }

    #[test]
    fn what_windows_reports_says_whether_another_kind_of_signature_may_be_tried() {
        for number in UNSUPPORTED {
            let why = not_signed(&reported(number));
            assert!(matches!(why, NotSigned::Unsupported(_)), "{number:#010X}");
        }
        for (numbers, expected) in [
            (&[0x8010_006B, 0x8010_002A][..], KeyProblem::WrongPin),
            (&[0x8010_006C], KeyProblem::PinLocked),
            (&[0x8010_0068, 0x8010_0069], KeyProblem::NoCard),
        ] {
            for number in numbers {
                let why = not_signed(&reported(*number));
                assert_eq!(why, NotSigned::Problem(expected.clone()), "{number:#010X}");
            }
        }
        // SCARD_E_TIMEOUT, NTE_FAIL, and what is not Windows' at all.
        let other = rustls::Error::General("broken".into());
        for error in [reported(0x8010_000A), reported(0x8009_0020), other] {
            let why = not_signed(&error);
            assert!(
                matches!(why, NotSigned::Problem(KeyProblem::Failed(_))),
                "{error}"
            );
        }
    }
}
