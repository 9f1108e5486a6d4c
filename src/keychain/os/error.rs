//! What the errors of the system's keychain mean for a caller.
//!
//! A keyring error is never printed with `{:?}`: some variants hold the secret.

use keyring::Error as KeyringError;

use super::NAME;
use crate::error::{KeychainError, KeychainReason};

/// Why a call failed, from a store that knows it. It travels inside the errors of the keyring
/// crate, which cannot hold our reason.
#[derive(Debug)]
pub(super) struct StoreError {
    pub(super) reason: KeychainReason,
    pub(super) detail: String,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for StoreError {}

pub(super) fn failed(error: KeyringError) -> KeychainError {
    let (reason, detail) = explain(error);
    KeychainError::new(NAME, reason, detail)
}

/// The reason and the detail of an error. Takes the error by value: some variants hold what was
/// stored, and that is wiped here.
pub(super) fn explain(error: KeyringError) -> (KeychainReason, String) {
    match error {
        KeyringError::NoStorageAccess(why) => {
            store_reason(why.as_ref()).unwrap_or_else(|| no_access(why.as_ref()))
        }
        KeyringError::PlatformFailure(why) => {
            store_reason(why.as_ref()).unwrap_or_else(|| platform_failure(why.as_ref()))
        }
        KeyringError::BadEncoding(bytes) => {
            drop(zeroize::Zeroizing::new(bytes));
            (KeychainReason::Lost, "the item holds no text".into())
        }
        KeyringError::BadDataFormat(bytes, _) => {
            drop(zeroize::Zeroizing::new(bytes));
            (KeychainReason::Lost, "the item is damaged".into())
        }
        KeyringError::Ambiguous(_) => (
            KeychainReason::Ambiguous,
            "another program created a second one".into(),
        ),
        other => (KeychainReason::Refused, other.to_string()),
    }
}

/// The error inside a keyring error.
type Cause = dyn std::error::Error + Send + Sync;

fn store_reason(why: &Cause) -> Option<(KeychainReason, String)> {
    let error = why.downcast_ref::<StoreError>()?;
    Some((error.reason, error.detail.clone()))
}

/// Windows reports only `ERROR_NO_SUCH_LOGON_SESSION` (1312) in this way. For the Secret Service
/// this is never called, because our store gives its own reason.
fn no_access(why: &Cause) -> (KeychainReason, String) {
    if cfg!(windows) {
        let detail =
            "network logons (SSH, WinRM) and some scheduled tasks have none; the vault works there";
        return (KeychainReason::Missing, format!("{detail} ({why})"));
    }
    code_reason(why).unwrap_or_else(|| (KeychainReason::Locked, why.to_string()))
}

fn platform_failure(why: &Cause) -> (KeychainReason, String) {
    code_reason(why).unwrap_or_else(|| (KeychainReason::Refused, why.to_string()))
}

#[cfg(target_os = "macos")]
fn code_reason(why: &Cause) -> Option<(KeychainReason, String)> {
    let code = why
        .downcast_ref::<security_framework::base::Error>()?
        .code();
    let (reason, meaning) = keychain_code(code);
    Some((reason, format!("{meaning} ({code}: {why})")))
}

/// The meaning of the Keychain's result codes (`SecBase.h`).
#[cfg(any(test, target_os = "macos"))]
fn keychain_code(code: i32) -> (KeychainReason, &'static str) {
    match code {
        // errSecInteractionNotAllowed: over SSH, or in a job without a session.
        -25308 => (
            KeychainReason::Locked,
            "it is locked and cannot ask for the password here",
        ),
        // errSecAuthFailed
        -25293 => (KeychainReason::Refused, "the password was wrong"),
        // errSecUserCanceled
        -128 => (KeychainReason::Refused, "its prompt was canceled"),
        // errSecNotAvailable, errSecNoSuchKeychain, errSecInvalidKeychain
        -25291 | -25294 | -25295 => (KeychainReason::Missing, "this session has no keychain"),
        _ => (KeychainReason::Refused, "it failed"),
    }
}

#[cfg(not(target_os = "macos"))]
fn code_reason(_: &Cause) -> Option<(KeychainReason, String)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_an_error_is_not_shown() {
        let canary = || b"canary \xff".to_vec();
        for error in [
            KeyringError::BadEncoding(canary()),
            KeyringError::BadDataFormat(canary(), Box::new(std::fmt::Error)),
        ] {
            let error = failed(error);
            assert_eq!(error.reason, KeychainReason::Lost);
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_stores_own_reason_passes_through() {
        for reason in [KeychainReason::Locked, KeychainReason::Timeout] {
            let cause = || {
                Box::new(StoreError {
                    reason,
                    detail: "why".into(),
                })
            };
            for error in [
                KeyringError::NoStorageAccess(cause()),
                KeyringError::PlatformFailure(cause()),
            ] {
                let error = failed(error);
                assert_eq!((error.reason, &*error.detail), (reason, "why"));
            }
        }
        let other = KeyringError::NotSupportedByStore("search".into());
        assert_eq!(failed(other).reason, KeychainReason::Refused);
    }

    #[test]
    fn the_keychains_result_codes_are_distinguished() {
        for (code, reason) in [
            (-25308, KeychainReason::Locked),
            (-25293, KeychainReason::Refused),
            (-128, KeychainReason::Refused),
            (-25294, KeychainReason::Missing),
            (-50, KeychainReason::Refused),
        ] {
            assert_eq!(keychain_code(code).0, reason, "{code}");
        }
        let words = [-25308, -25293, -128].map(|code| keychain_code(code).1);
        assert!(words[0] != words[1] && words[1] != words[2]);
    }

    /// A network logon over SSH has no credential set (error 1312, `ERROR_NO_SUCH_LOGON_SESSION`).
    #[cfg(windows)]
    #[test]
    fn a_logon_without_credentials_is_sent_to_the_vault() {
        let why = std::io::Error::from_raw_os_error(1312);
        let error = failed(KeyringError::NoStorageAccess(Box::new(why)));
        assert_eq!(error.reason, KeychainReason::Missing);
        assert!(error.detail.contains("vault") && error.detail.contains("SSH"));
    }
}
