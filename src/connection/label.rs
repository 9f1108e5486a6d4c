//! The name of a connection as people type it.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

use super::text::{clean, is_control, is_invisible};
use crate::error::{Error, Input, Result};

/// A connection's label: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// The longest label, in characters.
    pub const MAX_CHARS: usize = 64;

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that labels are compared in: NFC, lower case.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }

    /// The label reduced to lower-case ASCII letters, digits and `_`, for the readable part of an
    /// id.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for c in self.folded().chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('_') {
                slug.push('_');
            }
        }
        slug.truncate(32);
        let slug = slug.trim_end_matches('_');
        if slug.is_empty() { "connection" } else { slug }.to_owned()
    }
}

/// The same text with ordinary blanks in place of those that only look like them (no-break, thin).
fn spaced(text: &str) -> String {
    let space = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().map(space).collect()
}

/// The form that labels are compared in: without invisible characters, NFC, lower case, NFC again
/// (lower-casing can undo it).
#[must_use]
pub fn fold(text: &str) -> String {
    let visible = |c: &char| !is_invisible(*c) && !is_control(*c);
    let visible: String = text.chars().filter(visible).collect();
    spaced(visible.trim())
        .nfc()
        .collect::<String>()
        .to_lowercase()
        .nfc()
        .collect()
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = spaced(&clean(Input::Label, text)?);
        if text.is_empty() {
            return Err(Error::invalid(Input::Label, "it is empty"));
        }
        let count = text.nfc().count();
        if count > Self::MAX_CHARS {
            return Err(Error::invalid(
                Input::Label,
                format!("it has {count} characters; {} are allowed", Self::MAX_CHARS),
            ));
        }
        Ok(Self(text.nfc().collect()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_printable_text_of_limited_length() {
        for good in [
            "prod",
            "My Portal",
            "Prod (2)",
            "ünï",
            "🗺 maps",
            "../../etc",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<Label>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}bc",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_the_same_whichever_keyboard_typed_them() {
        let composed: Label = "Z\u{fc}rich".parse().unwrap();
        let decomposed: Label = "ZU\u{308}RICH".parse().unwrap();
        assert_eq!(composed.folded(), decomposed.folded());
    }

    #[test]
    fn labels_that_look_the_same_are_the_same() {
        let plain: Label = "my prod".parse().unwrap();
        for pasted in ["my prod\u{200b}", "my\u{a0}prod", "\u{feff}my pr\u{ad}od"] {
            assert_eq!(pasted.parse::<Label>().unwrap(), plain, "{pasted:?}");
            assert_eq!(fold(pasted), plain.folded(), "{pasted:?}");
        }
    }

    #[test]
    fn slugs_are_plain_directory_names() {
        let slug = |text: &str| text.parse::<Label>().unwrap().slug();
        assert_eq!(slug("My Portal"), "my_portal");
        assert_eq!(slug("../../etc"), "etc");
        assert_eq!(slug("🗺"), "connection");
        assert_eq!(slug("a--b__c"), "a_b_c");
        assert!(slug(&"x".repeat(64)).len() <= 32);
    }
}
