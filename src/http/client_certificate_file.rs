//! Reads a client certificate and its private key from a file: PKCS#12 (`.p12`, `.pfx`), or PEM
//! with a private key that may be encrypted.

use p12_keystore::{error::Error as Pkcs12Error, Pkcs12Archive};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::certificate::parse;
use super::certificate_file::{contains, lost_line_ends, other_content, plain_text};
use super::client_certificate::{ClientCertificate, Contents};
use super::der;
use crate::secret::Secret;

/// Why a file's client certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificateError {
    /// The private key is encrypted, and no password was given.
    PasswordNeeded,
    /// The password is wrong.
    WrongPassword,
    /// Anything else, for people.
    Unusable(String),
}

type Read<T> = Result<T, ClientCertificateError>;

fn unusable<T>(why: &str) -> Read<T> {
    Err(ClientCertificateError::Unusable(why.to_owned()))
}

const REWRITE: &str = "write it anew with OpenSSL: openssl pkcs12 -in FILE -out FILE.pem";

impl ClientCertificate {
    /// Reads a file's bytes. Whether a password is needed shows when it is absent or wrong.
    pub fn read(bytes: &[u8], password: Option<&Secret>) -> Read<Self> {
        let text = plain_text(bytes);
        let bytes = text.as_ref().map_or(bytes, |text| text.expose().as_bytes());
        if bytes.trim_ascii().is_empty() {
            return unusable("the file is empty");
        }
        let contents = if contains(bytes, b"-----BEGIN ") {
            read_pem(bytes, password)?
        } else if bytes.first() == Some(&der::SEQUENCE) {
            read_der(bytes, password)?
        } else {
            return unusable(other_content(bytes));
        };
        Self::choose(&contents).map_err(ClientCertificateError::Unusable)
    }
}

fn read_der(bytes: &[u8], password: Option<&Secret>) -> Read<Contents> {
    if parse(bytes).is_some() {
        return unusable("it is a certificate without its private key; export it again together with the private key, as PKCS#12 (.p12, .pfx)");
    }
    // PKCS#12 begins with its version, 3.
    let inner = der::expect(bytes, der::SEQUENCE).map(|(inner, _)| inner);
    let version = inner.and_then(|inner| der::expect(inner, der::INTEGER));
    if inner.is_some() && !matches!(version, Some(([3], _))) {
        return unusable("it is neither PKCS#12 (.p12, .pfx) nor PEM");
    }
    let text = password.map_or("", Secret::expose);
    // PKCS#12 takes passwords in UTF-16, and the reader knows no surrogates.
    if text.chars().any(|c| u32::from(c) > 0xffff) {
        return unusable("the password has a character such as an emoji, which this program cannot use with PKCS#12; write the file anew with another password: openssl pkcs12 -in FILE -out FILE.pem");
    }
    let archive = Pkcs12Archive::from_pkcs12(bytes, text)
        .map_err(|error| pkcs12_error(&error, password.is_some()))?;
    let certificates = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec());
    let mut keys = Vec::new();
    for bag in &archive.keys {
        keys.push(private_key(bag.key.as_der())?);
    }
    Ok(Contents {
        certificates: certificates.map(CertificateDer::from).collect(),
        keys,
    })
}

fn pkcs12_error(error: &Pkcs12Error, has_password: bool) -> ClientCertificateError {
    match error {
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError if has_password => {
            ClientCertificateError::WrongPassword
        }
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError | Pkcs12Error::Pkcs5Error(_)
            if !has_password =>
        {
            ClientCertificateError::PasswordNeeded
        }
        Pkcs12Error::Pkcs5Error(_) => ClientCertificateError::Unusable(format!(
            "it cannot be decrypted: the password is wrong, or its encryption is one that this program does not know; {REWRITE}"
        )),
        Pkcs12Error::UnsupportedEncryptionScheme
        | Pkcs12Error::UnsupportedMacAlgorithm
        | Pkcs12Error::InvalidParameters => ClientCertificateError::Unusable(format!(
            "it is protected by a method that this program does not know; {REWRITE}"
        )),
        _ => ClientCertificateError::Unusable(format!(
            "it is damaged, or PKCS#12 in a form that this program does not know; {REWRITE}"
        )),
    }
}

fn read_pem(bytes: &[u8], password: Option<&Secret>) -> Read<Contents> {
    if contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return unusable("its private key is encrypted in OpenSSL's old form (Proc-Type: 4,ENCRYPTED); convert it: openssl pkcs8 -topk8 -in KEY.pem -out NEW.pem, and put the certificate into the same file");
    }
    let mut contents = Contents::default();
    for block in Pem::iter_from_buffer(bytes) {
        let Ok(block) = block else {
            return unusable(lost_line_ends(bytes).unwrap_or("its PEM text is damaged"));
        };
        let data = Zeroizing::new(block.contents);
        match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                contents.certificates.push(certificate(&data)?);
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                contents.keys.push(private_key(&data)?);
            }
            "ENCRYPTED PRIVATE KEY" => contents.keys.push(decrypt(&data, password)?),
            _ => {}
        }
    }
    Ok(contents)
}

/// The certificate at the beginning: OpenSSL writes what it trusts one for behind it.
fn certificate(data: &[u8]) -> Read<CertificateDer<'static>> {
    match der::first(data) {
        Some((one, _)) if parse(one.whole).is_some() => Ok(one.whole.to_vec().into()),
        _ => unusable("a certificate in it cannot be read"),
    }
}

fn private_key(data: &[u8]) -> Read<PrivateKeyDer<'static>> {
    PrivateKeyDer::try_from(data.to_vec())
        .or_else(|_| unusable("its private key is of a kind that this program does not know"))
}

fn decrypt(data: &[u8], password: Option<&Secret>) -> Read<PrivateKeyDer<'static>> {
    let Ok(encrypted) = EncryptedPrivateKeyInfoRef::try_from(data) else {
        return unusable("its private key is encrypted by a method that this program does not know; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY.pem -out NEW.pem");
    };
    let Some(password) = password else {
        return Err(ClientCertificateError::PasswordNeeded);
    };
    match encrypted.decrypt(password.expose()) {
        Ok(document) => private_key(document.as_bytes()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. })) => {
            unusable("its private key is encrypted by a method that this program does not know; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY.pem -out NEW.pem")
        }
        // What a wrong password makes of the key is seldom padded as it must be, and never a key.
        Err(_) => Err(ClientCertificateError::WrongPassword),
    }
}
