//! Finds out what a private key that this program does not hold can sign with, before a server
//! waits for its signature.

use rustls::SignatureScheme;

use super::signatures::is_signature_of;
use crate::error::KeyProblem;

/// What is signed: no message of TLS begins so.
const MESSAGE: &[u8] = b"age-oauth: proof of a private key in Windows or on a card";

/// Why a key did not sign for trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotSigned {
    /// It has no signatures of this kind. Holds the system's message.
    Unsupported(String),
    /// Anything else: another attempt could be another one with a wrong PIN, and lock the card.
    Problem(KeyProblem),
}

impl From<NotSigned> for KeyProblem {
    fn from(why: NotSigned) -> Self {
        match why {
            NotSigned::Unsupported(message) => Self::Failed(message),
            NotSigned::Problem(problem) => problem,
        }
    }
}

/// Signs a message.
pub(super) type Sign<'a> = &'a dyn Fn(SignatureScheme, &[u8]) -> Result<Vec<u8>, NotSigned>;

/// Those of `schemes`, which fit the key of a certificate (`public`), that its private key signs
/// with.
pub(super) fn usable_schemes(
    public: &[u8],
    schemes: &[SignatureScheme],
    sign: Sign<'_>,
) -> Result<Vec<SignatureScheme>, KeyProblem> {
    usable(schemes, &|scheme| {
        let signature = sign(scheme, MESSAGE)?;
        Ok(is_signature_of(public, scheme, MESSAGE, &signature))
    })
}

/// `proves` says whether a signature of this kind is one of the certificate's key. The key signs
/// once, or twice where it has no RSA-PSS: old cards do not have it, and some devices use a salt
/// that TLS does not allow.
fn usable(
    schemes: &[SignatureScheme],
    proves: &dyn Fn(SignatureScheme) -> Result<bool, NotSigned>,
) -> Result<Vec<SignatureScheme>, KeyProblem> {
    let (pss, others): (Vec<_>, Vec<_>) = schemes.iter().partition(|scheme| is_pss(**scheme));
    if let Some(scheme) = pss.first() {
        match proves(*scheme) {
            Ok(true) => return Ok(schemes.to_vec()),
            Ok(false) | Err(NotSigned::Unsupported(_)) => {}
            Err(NotSigned::Problem(problem)) => return Err(problem),
        }
    }
    let failed = |why: &str| Err(KeyProblem::Failed(why.to_owned()));
    match others.first() {
        None => failed("TLS has no signatures of its kind"),
        Some(scheme) if proves(*scheme)? => Ok(others),
        Some(_) => failed("it is not the private key of this certificate"),
    }
}

fn is_pss(scheme: SignatureScheme) -> bool {
    [
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
    ]
    .contains(&scheme)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::http::signatures;

    const PKCS1: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;
    const RSA: [SignatureScheme; 2] = [PKCS1, SignatureScheme::RSA_PSS_SHA256];

    #[test]
    fn a_key_proves_that_it_is_that_of_the_certificate() {
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let load = || {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let der = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
            let keys = signatures::provider().key_provider;
            keys.load_private_key(der).unwrap()
        };
        let (own, other) = (load(), load());
        let public = own.public_key().unwrap();
        for (key, expected) in [
            (&own, Ok(schemes.to_vec())),
            (
                &other,
                Err(KeyProblem::Failed(
                    "it is not the private key of this certificate".into(),
                )),
            ),
        ] {
            let signer = key.choose_scheme(&schemes).unwrap();
            let sign = |_, message: &[u8]| Ok(signer.sign(message).unwrap());
            assert_eq!(usable_schemes(&public, &schemes, &sign), expected);
        }
        assert!(usable_schemes(&public, &[], &|_, _| Ok(Vec::new())).is_err());
    }

    #[test]
    fn rule_24e_a_key_signs_a_second_time_only_where_it_has_no_pss() {
        let tried = |pss: Result<bool, NotSigned>, pkcs1: bool| {
            let count = Cell::new(0);
            let schemes = usable(&RSA, &|scheme| {
                count.set(count.get() + 1);
                if scheme == PKCS1 {
                    return Ok(pkcs1);
                }
                pss.clone()
            });
            (schemes, count.get())
        };
        let no_pss = || Err(NotSigned::Unsupported("not supported".into()));
        assert_eq!(tried(Ok(true), true), (Ok(RSA.to_vec()), 1));
        assert_eq!(tried(no_pss(), true), (Ok(vec![PKCS1]), 2));
        assert_eq!(tried(Ok(false), true), (Ok(vec![PKCS1]), 2));
        assert!(tried(no_pss(), false).0.is_err());
        for problem in [
            KeyProblem::WrongPin,
            KeyProblem::PinLocked,
            KeyProblem::Canceled,
            KeyProblem::Unattended,
            KeyProblem::NoCard,
            // Such as the end of the card's own time for the PIN.
            KeyProblem::Failed("error 0x8010000A".into()),
        ] {
            let failed = Err(NotSigned::Problem(problem.clone()));
            assert_eq!(tried(failed, true), (Err(problem), 1));
        }
    }

    #[test]
    fn a_key_without_any_signature_of_tls_says_what_the_system_says() {
        let unsupported = |_| Err(NotSigned::Unsupported("not supported (0x80090029)".into()));
        let failed = KeyProblem::Failed("not supported (0x80090029)".into());
        assert_eq!(usable(&RSA, &unsupported), Err(failed));
    }
}
