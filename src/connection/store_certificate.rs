//! Certificates of the Windows certificate store: the one that a connection presents, and what a
//! person names one by.

use std::fmt;
use std::str::FromStr;

use super::text::{is_control, is_invisible};
use crate::error::{Error, Result};

/// The certificate of the current user's personal store that has this SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCertificate([u8; 32]);

impl StoreCertificate {
    /// What a certificate of the store begins with, in `meta.json` and after `--client-cert`.
    pub const SCHEME: &str = "store:";

    /// The one with this SHA-256 of its DER form.
    #[cfg(any(windows, test))]
    pub(crate) const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// SHA-256 of its DER form.
    pub(crate) const fn sha256(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `store:` and the SHA-256 in upper-case hexadecimal.
impl fmt::Display for StoreCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SCHEME)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for StoreCertificate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digest = text.strip_prefix(Self::SCHEME).and_then(digest);
        digest.map(Self).ok_or_else(|| {
            Error::invalid(
                "client_certificate",
                "one of the Windows certificate store is `store:` and its SHA-256",
            )
        })
    }
}

/// What a person names a certificate of the store by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    /// Nothing: it is the only one, or one of a list.
    Any,
    /// SHA-1 of its DER form, which Windows calls the thumbprint.
    Sha1([u8; 20]),
    /// SHA-256 of its DER form.
    Sha256([u8; 32]),
    /// Its distinguished name, or the common name in it.
    Subject(String),
}

/// Reads what is behind `store:`. A thumbprint may have blanks and colons.
impl From<&str> for StoreName {
    fn from(text: &str) -> Self {
        // Windows' dialogue copies an invisible mark (U+200E) with the thumbprint.
        let visible: String = text
            .chars()
            .filter(|c| c.is_whitespace() || !(is_control(*c) || is_invisible(*c)))
            .collect();
        let name = visible.trim();
        let is_separator = |c: &char| c.is_whitespace() || *c == ':';
        let compact: String = name.chars().filter(|c| !is_separator(c)).collect();
        if compact.is_empty() {
            return Self::Any;
        }
        digest(&compact)
            .map(Self::Sha1)
            .or_else(|| digest(&compact).map(Self::Sha256))
            .unwrap_or_else(|| Self::Subject(name.to_owned()))
    }
}

/// The bytes of a text that is hexadecimal and as long as a digest.
fn digest<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_24e_a_connection_names_one_of_the_store_by_its_whole_sha_256() {
        let text = format!("store:{}", "0aF1".repeat(16));
        let read: StoreCertificate = text.parse().unwrap();
        assert_eq!(read.sha256()[..2], [0x0a, 0xf1]);
        assert_eq!(read.to_string(), format!("store:{}", "0AF1".repeat(16)));
        for text in [
            "store:",
            "store:CN=ana",
            &format!("store:{}", "0a".repeat(20)),
            &format!("store: {}", "0a".repeat(32)),
            &format!("STORE:{}", "0a".repeat(32)),
            &"0a".repeat(32),
            &format!("store:{}+1", "0a".repeat(31)),
        ] {
            assert!(text.parse::<StoreCertificate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_thumbprint_is_read_in_every_form_in_which_it_is_shown() {
        let bytes: [u8; 20] = *b"twenty bytes or so..";
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            pairs.concat(),
            pairs.concat().to_uppercase(),
            pairs.join(" "),
            pairs.join(":"),
            format!("\u{200e}{} ", pairs.join(" ")),
            format!(" {}\u{200e}", pairs.concat()),
        ] {
            assert_eq!(StoreName::from(&*text), StoreName::Sha1(bytes), "{text:?}");
        }
        let sha256 = "5F:".repeat(31) + "5F";
        assert_eq!(StoreName::from(&*sha256), StoreName::Sha256([0x5f; 32]));
    }

    #[test]
    fn what_is_no_thumbprint_is_a_subject() {
        for (text, subject) in [
            ("CN=Ana Rossi", "CN=Ana Rossi"),
            ("\u{200e} Ana ", "Ana"),
            ("abcdef", "abcdef"),
        ] {
            assert_eq!(StoreName::from(text), StoreName::Subject(subject.into()));
        }
        for text in ["", "  ", "\u{200e}", ": :"] {
            assert_eq!(StoreName::from(text), StoreName::Any, "{text:?}");
        }
    }
}
