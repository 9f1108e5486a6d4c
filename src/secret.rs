//! Text that must not be shown: client secrets, tokens, authorization codes, vault keys.
//!
//! A [`Secret`] has no `Display`, `Serialize` or `Deref`; its `Debug` output is redacted, and its
//! memory is overwritten when it is dropped. The text can only be read by [`Secret::expose`], so a
//! search for `expose(` finds every place where a secret may leave the program.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Text that must not be shown: redacted in `Debug` output, and overwritten in memory when dropped.
///
/// ```
/// let secret = age_oauth::Secret::new("s3cret".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "s3cret");
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `text`; its memory is overwritten when the secret is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Takes ownership of UTF-8 bytes. Where they are not UTF-8, overwrites them and returns
    /// `None`.
    #[must_use]
    pub fn from_utf8(bytes: Vec<u8>) -> Option<Self> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                None
            }
        }
    }

    /// Takes ownership of text as editors and shells write it to files and pipes: UTF-8 with or
    /// without a byte order mark, or UTF-16 with one, which is what `>` writes in Windows
    /// PowerShell. The mark is removed. For other bytes, overwrites them and returns `None`.
    #[must_use]
    pub fn from_file(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        let text = match &**bytes {
            [0xff, 0xfe, rest @ ..] => return from_utf16(rest, u16::from_le_bytes),
            [0xfe, 0xff, rest @ ..] => return from_utf16(rest, u16::from_be_bytes),
            [0xef, 0xbb, 0xbf, utf8 @ ..] | utf8 => std::str::from_utf8(utf8).ok()?,
        };
        Some(Self::new(text.to_owned()))
    }

    /// The record as JSON. Written to memory that is large enough for any record and is wiped:
    /// memory that grows leaves its old place behind.
    pub(crate) fn serialize(record: &impl Serialize) -> Self {
        const CAPACITY: usize = 64 * 1024;
        let mut buffer = Zeroizing::new(Vec::with_capacity(CAPACITY));
        // Structs of text and numbers always serialize.
        let written = serde_json::to_writer(&mut *buffer, record);
        debug_assert!(written.is_ok());
        Self::new(String::from_utf8_lossy(&buffer).into_owned())
    }

    /// The text itself. The caller is responsible for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy. Not `Clone`, so that copies are not made by accident.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.as_str().to_owned())
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the texts are equal. The time it takes does not show where two texts of equal length
    /// differ.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Secret> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|pair| unit(*pair));
    // Large enough that it never reallocates, which would leave a copy in memory.
    let mut text = Zeroizing::new(String::with_capacity(3 * pairs.len()));
    for letter in char::decode_utf16(units) {
        text.push(letter.ok()?);
    }
    Some(Secret(text))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("canary".to_owned());
        assert!(!format!("{secret:?} {secret:#?}").contains("canary"));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert!(Secret::from_utf8(vec![0xff, 0xfe]).is_none());
        assert_eq!(
            Secret::from_utf8(b"ok".to_vec()).map(|s| s.expose().to_owned()),
            Some("ok".to_owned())
        );
    }

    #[test]
    fn text_is_read_as_editors_and_shells_write_it() {
        let utf16 = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            let mut bytes = mark.to_vec();
            bytes.extend("s3crét\r\n".encode_utf16().flat_map(unit));
            bytes
        };
        for bytes in [
            "s3crét\r\n".as_bytes().to_vec(),
            "\u{feff}s3crét\r\n".as_bytes().to_vec(),
            utf16([0xff, 0xfe], u16::to_le_bytes),
            utf16([0xfe, 0xff], u16::to_be_bytes),
        ] {
            let secret = Secret::from_file(bytes);
            assert!(secret.is_some_and(|secret| secret.matches("s3crét\r\n")));
        }
        for bad in [&b"\xff"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8", b"a\xffb"] {
            assert!(Secret::from_file(bad.to_vec()).is_none());
        }
    }

    #[test]
    fn matches_compares_the_whole_text() {
        let secret = Secret::new("state".to_owned());
        assert!(secret.matches("state"));
        assert!(!secret.matches("statE"));
        assert!(!secret.matches("stat"));
    }
}
