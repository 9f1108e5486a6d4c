//! The vault's errors: which reason each failure has.

use std::path::Path;

use super::{Result, NAME};
use crate::error::{Error, KeychainError, KeychainReason};
use crate::policy::MIN_PASSPHRASE_CHARACTERS;

pub(super) fn refused(detail: impl Into<String>) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Refused, detail)
}

pub(super) fn missing(detail: impl Into<String>) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Missing, detail)
}

/// The content is lost: the file was changed, cut short, or is not a vault.
pub(super) fn damaged() -> KeychainError {
    KeychainError::new(
        NAME,
        KeychainReason::Damaged,
        "it was changed or cut short, or it is another file",
    )
}

/// `source` is the variable or the file that should hold a key.
pub(super) fn bad_key(source: &str) -> KeychainError {
    no_key(format!(
        "`{source}` does not hold a key, which is 32 random bytes as 64 hexadecimal digits or in base64"
    ))
}

pub(super) fn no_key_file(path: &Path) -> KeychainError {
    no_key(format!("the key file `{}` does not exist", path.display()))
}

pub(super) fn weak_passphrase() -> KeychainError {
    no_key(format!(
        "a passphrase must have at least {MIN_PASSPHRASE_CHARACTERS} characters"
    ))
}

/// `why` says who else could read or change it.
pub(super) fn unsafe_key(path: &Path, why: &str) -> KeychainError {
    let detail = format!("`{}` is not used: {why}", path.display());
    KeychainError::new(NAME, KeychainReason::UnsafeKey, detail)
}

/// `tried`: every place of a key, and what came of it.
pub(super) fn wrong_key(id: &str, passphrase: bool, tried: &[String]) -> KeychainError {
    let by = if passphrase {
        "a passphrase".to_owned()
    } else {
        format!("the key {id}")
    };
    let detail = format!("it is sealed with {by}; tried: {}", tried.join("; "));
    KeychainError::new(NAME, KeychainReason::WrongKey, detail)
}

fn no_key(detail: String) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::NoKey, detail)
}

/// A variable of a key that cannot be used.
pub(super) fn from_environment<T>(outcome: crate::error::Result<T>) -> Result<T> {
    outcome.map_err(|error| no_key(error.to_string()))
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
            | Error::UnusableConnection { .. }
            | Error::Invalid { .. }
            | Error::SignInNeeded { .. }
            | Error::ApiKey { .. }
            | Error::NoConnection { .. }
            | Error::NameTaken { .. }
            | Error::Ambiguous { .. }
            | Error::Keychain { .. }
            | Error::SecretCommand { .. }
            | Error::ClientCertificate { .. }
            | Error::Unreachable { .. }
            | Error::Refused { .. }
            | Error::UnusablePolicy { .. }
            | Error::Forbidden(_) => KeychainReason::Refused,
        };
        let file = match &error {
            Error::File { action, source, .. } => Some((*action, source.kind())),
            _ => None,
        };
        let cause =
            std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
        KeychainError {
            file,
            ..KeychainError::new(NAME, reason, format!("{error}{cause}"))
        }
    })
}
