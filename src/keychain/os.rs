//! The platform's keychain, through `keyring-core`: Windows Credential Manager, the macOS Keychain, the Secret Service.
//!
//! The store is opened at the first call and belongs to this value; no process-wide default is set. A keyring error is
//! never printed with `{:?}`: some carry the secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use keyring::{CredentialStore, Entry, Error as KeyringError};

use super::split::{self, Items};
use super::{Item, SecretStore, SERVICE};
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;

/// Windows keeps at most so many bytes in one item (`CRED_MAX_CREDENTIAL_BLOB_SIZE`).
const LIMIT: usize = if cfg!(windows) { 2560 } else { usize::MAX };

/// The platform's own name.
pub(super) const NAME: &str = if cfg!(windows) {
    "Windows Credential Manager"
} else if cfg!(target_os = "macos") {
    "macOS Keychain"
} else {
    "Secret Service"
};

/// Calls that overlap lose writes on Windows, whichever value of ours makes them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the platform's keychain is used in.
#[derive(Clone)]
#[cfg_attr(any(windows, target_os = "macos"), allow(dead_code))] // The bus is the Secret Service's.
pub(super) struct KeychainOptions {
    /// Somebody can see a prompt of the keychain's own; without, none is shown.
    pub(super) interactive: bool,
    /// How long one answer may take.
    pub(super) patience: Duration,
    /// Where the D-Bus session is, where it is not in its usual place.
    pub(super) bus: Option<String>,
}

pub(super) struct OsStore {
    store: OnceLock<Arc<CredentialStore>>,
    surroundings: KeychainOptions,
}

impl OsStore {
    /// Touches nothing yet.
    pub(super) fn new(surroundings: KeychainOptions) -> Self {
        Self {
            store: OnceLock::new(),
            surroundings,
        }
    }

    fn store(&self) -> Result<&Arc<CredentialStore>, KeychainError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = open(&self.surroundings).map_err(|error| match explain(error) {
            // Whatever keeps it from opening, there is no keychain to be had here.
            (KeychainReason::Refused, detail) => {
                KeychainError::new(NAME, KeychainReason::Missing, detail)
            }
            (reason, detail) => KeychainError::new(NAME, reason, detail),
        })?;
        Ok(self.store.get_or_init(|| store))
    }

    fn entry(&self, account: &str, title: &str) -> Result<Entry, KeychainError> {
        let (service, modifiers) = if cfg!(windows) {
            // The store puts the service in front by itself. Tokens do not roam with a profile.
            ("", Some(HashMap::from([("persistence", "Local")])))
        } else if cfg!(target_os = "macos") {
            (SERVICE, None)
        } else {
            (SERVICE, Some(HashMap::from([("label", title)])))
        };
        self.store()?
            .build(service, account, modifiers.as_ref())
            .map_err(failed)
    }
}

/// Held during a call.
struct Call {
    #[cfg(target_os = "macos")]
    _silence: Option<security_framework::os::macos::keychain::KeychainUserInteractionLock>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Call {
    #[cfg_attr(not(target_os = "macos"), allow(unused_variables))]
    fn begin(surroundings: &KeychainOptions) -> Self {
        // Not for the Secret Service, which keeps its conversations apart: there a call that never ends would stop those on
        // other buses too.
        let wanted = cfg!(any(windows, target_os = "macos"));
        let turn = wanted.then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
        Self {
            #[cfg(target_os = "macos")]
            _silence: silence(surroundings),
            _turn: turn,
        }
    }
}

/// The Keychain shows no prompt where no person can see it, and answers -25308 instead.
#[cfg(target_os = "macos")]
fn silence(
    surroundings: &KeychainOptions,
) -> Option<security_framework::os::macos::keychain::KeychainUserInteractionLock> {
    use security_framework::os::macos::keychain::SecKeychain;
    if surroundings.interactive {
        return None;
    }
    SecKeychain::disable_user_interaction().ok()
}

#[cfg(all(unix, not(target_os = "macos")))]
#[allow(clippy::unnecessary_wraps)] // As on the other platforms.
fn open(surroundings: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    Ok(super::secret_service::Store::open(surroundings.clone()))
}

#[cfg(target_os = "macos")]
fn open(_: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn open(_: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    // An item's target is `age-oauth:<account>` and its user the account; a `target` per item would leave the user empty.
    let prefix = format!("{SERVICE}:");
    let names = HashMap::from([("prefix", &*prefix), ("divider", ""), ("suffix", "")]);
    Ok(windows_native_keyring_store::Store::new_with_configuration(
        &names,
    )?)
}

/// Why a call failed, by a store that knows; carried inside the keyring's own errors.
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

fn failed(error: KeyringError) -> KeychainError {
    let (reason, detail) = explain(error);
    KeychainError::new(NAME, reason, detail)
}

/// Takes the error by value: some variants hold what was stored, and that is wiped here.
fn explain(error: KeyringError) -> (KeychainReason, String) {
    match error {
        KeyringError::NoStorageAccess(why) => {
            by_store(why.as_ref()).unwrap_or_else(|| no_access(why.as_ref()))
        }
        KeyringError::PlatformFailure(why) => {
            by_store(why.as_ref()).unwrap_or_else(|| platform_failure(why.as_ref()))
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
            "another program made a second one".into(),
        ),
        other => (KeychainReason::Refused, other.to_string()),
    }
}

/// What a keyring error wraps.
type Cause = dyn std::error::Error + Send + Sync;

fn by_store(why: &Cause) -> Option<(KeychainReason, String)> {
    let trouble = why.downcast_ref::<StoreError>()?;
    Some((trouble.reason, trouble.detail.clone()))
}

/// Windows: `ERROR_NO_SUCH_LOGON_SESSION` (1312) alone. Secret Service: never, its store says what it knows.
fn no_access(why: &Cause) -> (KeychainReason, String) {
    if cfg!(windows) {
        let detail =
            "network logons (SSH, WinRM) and some scheduled tasks have none; the vault works there";
        return (KeychainReason::Missing, format!("{detail} ({why})"));
    }
    by_code(why).unwrap_or_else(|| (KeychainReason::Locked, why.to_string()))
}

fn platform_failure(why: &Cause) -> (KeychainReason, String) {
    by_code(why).unwrap_or_else(|| (KeychainReason::Refused, why.to_string()))
}

#[cfg(target_os = "macos")]
fn by_code(why: &Cause) -> Option<(KeychainReason, String)> {
    let code = why
        .downcast_ref::<security_framework::base::Error>()?
        .code();
    let (reason, meaning) = keychain_code(code);
    Some((reason, format!("{meaning} ({code}: {why})")))
}

/// What the Keychain means by its result codes (`SecBase.h`).
#[cfg(any(test, target_os = "macos"))]
fn keychain_code(code: i32) -> (KeychainReason, &'static str) {
    match code {
        // errSecInteractionNotAllowed: over SSH, or in a job without a session.
        -25308 => (
            KeychainReason::Locked,
            "it is locked and may not ask for the password here",
        ),
        // errSecAuthFailed
        -25293 => (KeychainReason::Refused, "the password was wrong"),
        // errSecUserCanceled
        -128 => (KeychainReason::Refused, "its question was cancelled"),
        // errSecNotAvailable, errSecNoSuchKeychain, errSecInvalidKeychain
        -25291 | -25294 | -25295 => (KeychainReason::Missing, "there is none in this session"),
        _ => (KeychainReason::Refused, "it failed"),
    }
}

#[cfg(not(target_os = "macos"))]
fn by_code(_: &Cause) -> Option<(KeychainReason, String)> {
    None
}

impl Items for OsStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        let entry = self.entry(account, account)?;
        match entry.get_secret() {
            Ok(bytes) => Secret::from_utf8(bytes).map(Some).ok_or_else(|| {
                KeychainError::new(NAME, KeychainReason::Lost, "the item holds no text")
            }),
            Err(KeyringError::NoEntry) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn write(&self, account: &str, title: &str, secret: &Secret) -> Result<(), KeychainError> {
        self.entry(account, title)?
            .set_secret(secret.expose().as_bytes())
            .map_err(failed)
    }

    fn erase(&self, account: &str) -> Result<bool, KeychainError> {
        match self.entry(account, account)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(KeyringError::NoEntry) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

impl SecretStore for OsStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let _call = Call::begin(&self.surroundings);
        if LIMIT == usize::MAX {
            return Items::read(self, &item.account());
        }
        split::read(self, &item.account())
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let _call = Call::begin(&self.surroundings);
        if LIMIT == usize::MAX {
            return Items::write(self, &item.account(), &item.title(), secret);
        }
        split::write(self, &item.account(), &item.title(), secret, LIMIT)
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let _call = Call::begin(&self.surroundings);
        if LIMIT == usize::MAX {
            return Items::erase(self, &item.account());
        }
        split::erase(self, &item.account())
    }

    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        if cfg!(any(windows, target_os = "macos")) {
            // There a name has one item.
            return Ok(self.get(item)?.into_iter().collect());
        }
        let _call = Call::begin(&self.surroundings);
        let account = item.account();
        let spec = HashMap::from([("service", SERVICE), ("username", &*account)]);
        let mut secrets = Vec::new();
        for entry in self.store()?.search(&spec).map_err(failed)? {
            match entry.get_secret() {
                Ok(bytes) => secrets.extend(Secret::from_utf8(bytes)),
                Err(KeyringError::NoEntry) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(secrets)
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        if cfg!(any(windows, target_os = "macos")) {
            return Ok(());
        }
        let _call = Call::begin(&self.surroundings);
        let title = item.title();
        let entry = self.entry(&item.account(), &title)?;
        match entry.update_attributes(&HashMap::from([("label", &*title)])) {
            Ok(()) | Err(KeyringError::NoEntry) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        let _call = Call::begin(&self.surroundings);
        let pattern = format!("^{SERVICE}:");
        let spec = if cfg!(windows) {
            HashMap::from([("pattern", &*pattern)])
        } else {
            HashMap::from([("service", SERVICE)])
        };
        let entries = self.store()?.search(&spec).map_err(failed)?;
        Ok(entries
            .iter()
            .filter_map(Entry::get_specifiers)
            .map(|(_, account)| account)
            .filter(|account| !split::is_part(account))
            .collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_holds_of_a_secret_is_told_to_nobody() {
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
            let trouble = || {
                Box::new(StoreError {
                    reason,
                    detail: "why".into(),
                })
            };
            for error in [
                KeyringError::NoStorageAccess(trouble()),
                KeyringError::PlatformFailure(trouble()),
            ] {
                let error = failed(error);
                assert_eq!((error.reason, &*error.detail), (reason, "why"));
            }
        }
        let other = KeyringError::NotSupportedByStore("search".into());
        assert_eq!(failed(other).reason, KeychainReason::Refused);
    }

    #[test]
    fn the_keychains_result_codes_are_told_apart() {
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

    /// Real on Windows; elsewhere there is nothing to be opened.
    #[cfg(windows)]
    #[test]
    fn items_of_windows_are_named_and_found_and_may_be_long() {
        use crate::keychain::{ItemKind, SecretStore};
        let keychain = OsStore::new(KeychainOptions {
            interactive: false,
            patience: Duration::from_secs(5),
            bus: None,
        });
        let id = format!("test_{}", uuid::Uuid::new_v4());
        let item = Item::new(&*id, "test", ItemKind::Probe);
        for length in [0, 10, 2560, 2561, 9000, 20] {
            let text = "x".repeat(length);
            keychain.set(&item, &Secret::new(text.clone())).unwrap();
            assert!(keychain.get(&item).unwrap().unwrap().matches(&text));
            let ours = keychain.accounts().unwrap();
            let ours = ours.iter().filter(|account| account.starts_with(&id));
            assert_eq!(ours.collect::<Vec<_>>(), [&item.account()]);
        }
        keychain.set(&item, &Secret::new("x".repeat(9000))).unwrap();
        let all = keychain.store().unwrap();
        let pattern = format!("^age-oauth:{id}");
        let found = |pattern: &str| all.search(&HashMap::from([("pattern", pattern)])).unwrap();
        for entry in found(&pattern) {
            let attributes = entry.get_attributes().unwrap();
            assert!(attributes["username"].starts_with(&item.account()));
            assert_eq!(attributes["persistence"], "Local");
        }
        assert!(keychain.delete(&item).unwrap());
        assert!(found(&pattern).is_empty());
        assert!(!keychain.delete(&item).unwrap());
        assert!(keychain.get(&item).unwrap().is_none());
    }
}
