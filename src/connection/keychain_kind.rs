//! The kinds of keychain.
//!
//! A new kind is added to the list below; the compiler then names every place that has to decide
//! about it.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::util::enum_with_words;

enum_with_words! {
    /// Where a connection's secrets are stored. The word is the one in `meta.json`, after
    /// `--keychain` and in `AGE_OAUTH_KEYCHAIN`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum KeychainKind {
        /// The system's own keychain.
        #[default]
        Os = "os",
        /// One encrypted file, for machines without a keychain.
        Vault = "vault",
    }
}

impl KeychainKind {
    /// The name that people know it by: that of the system's keychain, or `vault`.
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Os if cfg!(windows) => "Windows Credential Manager",
            Self::Os if cfg!(target_os = "macos") => "macOS Keychain",
            Self::Os => "Secret Service",
            Self::Vault => "vault",
        }
    }

    /// The kind to offer where a machine does not have this one.
    #[must_use]
    pub const fn alternative(self) -> Option<Self> {
        match self {
            Self::Os => Some(Self::Vault),
            Self::Vault => None,
        }
    }

    /// Whether items can stay behind when no connection of the store uses this kind any more, so
    /// that `remove --all` looks for them. The system's keychain is outside the store; the vault is
    /// a file in it.
    #[must_use]
    pub const fn outlives_connections(self) -> bool {
        match self {
            Self::Os => true,
            Self::Vault => false,
        }
    }

    /// What it is, in a few words for help texts.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Os => "The system's keychain",
            Self::Vault => "An encrypted file",
        }
    }
}

impl FromStr for KeychainKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let word = text.trim();
        let kind = Self::ALL.iter().find(|kind| kind.as_str() == word);
        kind.copied().ok_or_else(|| {
            let words: Vec<_> = Self::ALL
                .iter()
                .map(|kind| format!("`{}`", kind.as_str()))
                .collect();
            Error::invalid("keychain", format!("it is {}", words.join(" or ")))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_parsed_and_others_are_refused_with_the_list() {
        for kind in KeychainKind::ALL {
            assert_eq!(kind.as_str().parse::<KeychainKind>().unwrap(), *kind);
        }
        let error = "keyring".parse::<KeychainKind>().unwrap_err();
        assert!(error.to_string().contains("`os` or `vault`"), "{error}");
    }
}
