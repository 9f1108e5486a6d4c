//! The connection's client certificate for another TLS library: as PEM, with the private key under
//! a password that is made for it. What reads the two writes no private key in plain text to a
//! disk.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::spki::SubjectPublicKeyInfoRef;
use pkcs8::PrivateKeyInfoRef;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::certificate::to_pem;
use super::client_certificate::ClientCertificate;
use crate::connection::CertificateSource;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::util::random;

/// The password has 256 random bits, so that repeating the hash protects nothing.
const ITERATIONS: u32 = 1;

/// A client certificate that another TLS library can read.
pub(crate) struct ExportedCertificate {
    /// The certificate, and those that lead to its authority, as PEM.
    pub(crate) chain: String,
    /// The private key as encrypted PKCS#8, as PEM.
    pub(crate) private_key: Secret,
    /// What opens it.
    pub(crate) password: Secret,
}

/// Refuses a certificate whose private key stays elsewhere, so that no PIN is asked for where the
/// key is not used.
pub(crate) fn check_exportable(source: &CertificateSource) -> Result<()> {
    match source {
        CertificateSource::Keychain | CertificateSource::File(_) => Ok(()),
        CertificateSource::Token(_) | CertificateSource::Store(_) => Err(unusable()),
    }
}

impl ClientCertificate {
    /// The certificate and its private key for another TLS library of the same process tree.
    pub(crate) fn export(&self) -> Result<ExportedCertificate> {
        let password = Secret::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(random_bytes::<32>()?)));
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(
            ITERATIONS,
            &random_bytes::<16>()?,
            random_bytes()?,
        )
        .map_err(|_| unusable())?;
        let encrypted = self
            .private_key_info(|key| key.encrypt_with_params(parameters, password.expose()))
            .ok_or_else(unusable)?
            .map_err(|_| unusable())?;
        let pem = encrypted
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|_| unusable())?;
        Ok(ExportedCertificate {
            chain: to_pem(self.chain()),
            private_key: Secret::new((*pem).clone()),
            password,
        })
    }

    /// Calls `act` with the private key as PKCS#8. The older forms do not name the algorithm; the
    /// certificate does, by the same words.
    fn private_key_info<T>(&self, act: impl FnOnce(&PrivateKeyInfoRef<'_>) -> T) -> Option<T> {
        let der = self.key_der()?;
        if let Ok(PrivateKeyDer::Pkcs8(key)) = PrivateKeyDer::try_from(der) {
            let key = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).ok()?;
            return Some(act(&key));
        }
        let leaf = super::certificate::parse(self.chain().first()?)?;
        let public = SubjectPublicKeyInfoRef::try_from(leaf.public_key().raw).ok()?;
        let key = PrivateKeyInfoRef::new(public.algorithm, OctetStringRef::new(der).ok()?);
        Some(act(&key))
    }
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    random().ok_or(Error::Random)
}

fn unusable() -> Error {
    Error::invalid(
        "client certificate",
        "its private key cannot be handed to another program; one on a token or in the Windows certificate store stays there. `age-oauth api` presents it",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::http::ClientCertificateError;

    /// A certificate with its private key: as PKCS#8, and in the older form inside it.
    fn two_forms() -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let der = key.serialize_der();
        let inner = PrivateKeyInfoRef::try_from(&*der).unwrap().private_key;
        let inner = STANDARD.encode(inner.as_bytes());
        let older =
            format!("-----BEGIN EC PRIVATE KEY-----\n{inner}\n-----END EC PRIVATE KEY-----\n");
        [key.serialize_pem(), older].map(|key| certificate.pem() + &key)
    }

    #[test]
    fn rule_24e_what_is_exported_opens_with_its_password_only_and_is_the_same_key() {
        for form in two_forms() {
            let own = ClientCertificate::read(form.as_bytes(), None).unwrap();
            let exported = own.export().unwrap();
            let both = exported.chain + exported.private_key.expose();
            let read = |password: &Secret| ClientCertificate::read(both.as_bytes(), Some(password));
            let again = read(&exported.password).unwrap();
            assert_eq!(again.facts(), own.facts());
            let other = own.export().unwrap().password;
            assert_eq!(
                read(&other).unwrap_err(),
                ClientCertificateError::WrongPassword
            );
        }
    }
}
