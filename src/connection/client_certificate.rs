//! Which client certificate a connection presents, and where it is stored.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;

use super::{Pkcs11Uri, StoreCertificate};
use crate::error::Error;

/// The client certificate of a connection, without its private key. All but the source is a copy
/// for display: what the certificate itself says is right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificateSetting {
    /// Where certificate and private key are.
    pub source: CertificateSource,
    /// The certificate's distinguished name.
    pub subject: String,
    /// Its issuer's distinguished name.
    pub issuer: String,
    /// When it expires.
    pub not_after: Timestamp,
    /// SHA-256 of its DER form, upper-case hexadecimal in pairs with colons.
    pub sha256: String,
}

/// Where a client certificate and its private key are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSource {
    /// In the connection's keychain.
    Keychain,
    /// In this file (absolute path), which is read at each use; its password is in the keychain.
    File(PathBuf),
    /// On this smart card or other PKCS#11 token; its PIN is in the keychain.
    Token(Pkcs11Uri),
    /// This one of the Windows certificate store; its private key stays in Windows, or on a card.
    Store(StoreCertificate),
}

impl CertificateSource {
    /// What a source in a file begins with.
    pub(crate) const FILE: &str = "file:";
    const KEYCHAIN: &str = "keychain";
}

/// The text in `meta.json`: `keychain`, `file:` and the path, a PKCS#11 URI, or `store:` and the
/// SHA-256.
impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keychain => f.write_str(Self::KEYCHAIN),
            Self::File(path) => write!(f, "{}{}", Self::FILE, path.display()),
            Self::Token(uri) => write!(f, "{uri}"),
            Self::Store(certificate) => write!(f, "{certificate}"),
        }
    }
}

impl FromStr for CertificateSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.strip_prefix(Self::FILE)) {
            (Self::KEYCHAIN, _) => Ok(Self::Keychain),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ if text.starts_with(Pkcs11Uri::SCHEME) => text.parse().map(Self::Token),
            _ if text.starts_with(StoreCertificate::SCHEME) => text.parse().map(Self::Store),
            _ => Err(Error::invalid(
                "client_certificate",
                "its source is `keychain`, `file:` and a path, a PKCS#11 URI, or `store:` and a SHA-256",
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_as_it_is_written() {
        for text in [
            "keychain",
            "file:/etc/ana.p12",
            r"file:C:\certs\ana.pfx",
            "pkcs11:token=ana;object=ana",
            "store:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        ] {
            assert_eq!(text.parse::<CertificateSource>().unwrap().to_string(), text);
        }
        for text in ["", "Keychain", "file:", "/etc/ana.p12", "store:ana"] {
            assert!(text.parse::<CertificateSource>().is_err(), "{text}");
        }
    }
}
