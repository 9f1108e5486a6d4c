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
pub(super) struct Surroundings {
    /// Somebody can see a prompt of the keychain's own; without, none is shown.
    pub(super) person: bool,
    /// How long one answer may take.
    pub(super) patience: Duration,
    /// Where the D-Bus session is, where it is not in its usual place.
    pub(super) bus: Option<String>,
}

pub(super) struct OsStore {
    store: OnceLock<Arc<CredentialStore>>,
    surroundings: Surroundings,
}

impl OsStore {
    /// Touches nothing yet.
    pub(super) fn new(surroundings: Surroundings) -> Self {
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
        let target = format!("{SERVICE}:{account}");
        let modifiers = if cfg!(windows) {
            Some(HashMap::from([
                ("target", &*target),
                ("persistence", "local"),
            ]))
        } else if cfg!(target_os = "macos") {
            None
        } else {
            Some(HashMap::from([("label", title)]))
        };
        self.store()?
            .build(SERVICE, account, modifiers.as_ref())
            .map_err(failed)
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
#[allow(clippy::unnecessary_wraps)] // As on the other platforms.
fn open(surroundings: &Surroundings) -> keyring::Result<Arc<CredentialStore>> {
    Ok(super::secret_service::Store::open(surroundings.clone()))
}

#[cfg(target_os = "macos")]
fn open(_: &Surroundings) -> keyring::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn open(_: &Surroundings) -> keyring::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

/// Why a call failed, by a store that knows; carried inside the keyring's own errors.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) reason: KeychainReason,
    pub(super) detail: String,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Trouble {}

fn failed(error: KeyringError) -> KeychainError {
    let (reason, detail) = explain(error);
    KeychainError::new(NAME, reason, detail)
}

/// Takes the error by value: some variants hold what was stored, and that is wiped here.
fn explain(error: KeyringError) -> (KeychainReason, String) {
    match error {
        KeyringError::NoStorageAccess(why) => {
            by_store(why.as_ref()).unwrap_or_else(|| no_access(&why.to_string()))
        }
        KeyringError::PlatformFailure(why) => {
            by_store(why.as_ref()).unwrap_or_else(|| platform_failure(&why.to_string()))
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

fn by_store(why: &(dyn std::error::Error + 'static)) -> Option<(KeychainReason, String)> {
    let trouble = why.downcast_ref::<Trouble>()?;
    Some((trouble.reason, trouble.detail.clone()))
}

fn no_access(words: &str) -> (KeychainReason, String) {
    if cfg!(windows) {
        // ERROR_NO_SUCH_LOGON_SESSION (1312): network logons (SSH, WinRM) and some task types have no credential set.
        return (
            KeychainReason::Missing,
            format!("this kind of logon (SSH, some scheduled tasks) has none; {words}"),
        );
    }
    (KeychainReason::Locked, words.to_owned())
}

fn platform_failure(words: &str) -> (KeychainReason, String) {
    if !cfg!(target_os = "macos") {
        return (KeychainReason::Refused, words.to_owned());
    }
    // errSecInteractionNotAllowed, errSecAuthFailed, errSecUserCanceled reach us as text alone.
    if words.contains("-25308") || words.contains("interaction is not allowed") {
        let advice = "unlock it: security unlock-keychain ~/Library/Keychains/login.keychain-db";
        return (KeychainReason::Locked, format!("{words}; {advice}"));
    }
    (KeychainReason::Refused, words.to_owned())
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

/// Held during a call. Not for the Secret Service, which keeps its conversations apart: there a call that never ends would
/// stop those on other buses too.
fn alone() -> Option<MutexGuard<'static, ()>> {
    let wanted = cfg!(any(windows, target_os = "macos"));
    wanted.then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

impl SecretStore for OsStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let _alone = alone();
        split::read(self, &item.account())
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let _alone = alone();
        if LIMIT == usize::MAX {
            return Items::write(self, &item.account(), &item.title(), secret);
        }
        split::write(self, &item.account(), &item.title(), secret, LIMIT)
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let _alone = alone();
        if LIMIT == usize::MAX {
            return Items::erase(self, &item.account());
        }
        split::erase(self, &item.account())
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        if cfg!(any(windows, target_os = "macos")) {
            return Ok(());
        }
        let _alone = alone();
        let title = item.title();
        let entry = self.entry(&item.account(), &title)?;
        match entry.update_attributes(&HashMap::from([("label", &*title)])) {
            Ok(()) | Err(KeyringError::NoEntry) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        let _alone = alone();
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
