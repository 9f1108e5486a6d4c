//! The vault's errors: which reason each failure has.

use std::path::Path;

use super::{Result, NAME};
use crate::error::{Error, KeychainError, KeychainReason};

pub(super) fn refused(detail: impl Into<String>) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Refused, detail)
}

pub(super) fn missing(detail: impl Into<String>) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Missing, detail)
}

/// The content is lost: the file was changed, cut short, or is not a vault.
pub(super) fn damaged() -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Lost, "the file is damaged")
}

/// `source` is the variable or the file that should hold a key.
pub(super) fn bad_key(source: &str) -> KeychainError {
    refused(format!("`{source}` does not hold 32 bytes in base64"))
}

pub(super) fn no_key_file(path: &Path) -> KeychainError {
    missing(format!("the key file `{}` does not exist", path.display()))
}

pub(super) fn crypto_failed() -> KeychainError {
    refused("a cryptographic operation failed")
}

/// An error of [`crate::files`] as the vault's own, with its cause.
pub(super) fn from_files<T>(outcome: crate::error::Result<T>) -> Result<T> {
    outcome.map_err(|error| {
        let reason = match error {
            Error::Busy { .. } => KeychainReason::Timeout,
            Error::File { .. }
            | Error::Listen { .. }
            | Error::Random
            | Error::Corrupt { .. }
            | Error::Invalid { .. }
            | Error::SignInNeeded { .. }
            | Error::NoConnection { .. }
            | Error::NameTaken { .. }
            | Error::Ambiguous { .. }
            | Error::Keychain { .. }
            | Error::Unreachable { .. }
            | Error::Refused { .. } => KeychainReason::Refused,
        };
        let cause =
            std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
        KeychainError::new(NAME, reason, format!("{error}{cause}"))
    })
}
