//! The system's keychain, through `keyring-core`: Windows Credential Manager, the macOS Keychain,
//! the Secret Service.
//!
//! The keyring crate could hold one store for the whole process; here the store belongs to this
//! value and is opened at the first call.

#[cfg(all(unix, not(target_os = "macos")))]
mod bus;
mod error;
mod options;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service;
#[cfg(all(unix, not(target_os = "macos")))]
mod service_error;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use keyring::{CredentialStore, Entry, Error as KeyringError};

use super::split::{self, SingleItems};
use super::{Item, SecretStore, SERVICE};
use crate::connection::KeychainKind;
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;
use crate::util::lock;
use error::{explain, failed};

pub(super) use options::KeychainOptions;

const NAME: &str = KeychainKind::Os.display_name();

/// The most bytes that one item can hold (on Windows `CRED_MAX_CREDENTIAL_BLOB_SIZE`).
const MAX_ITEM_BYTES: usize = if cfg!(windows) { 2560 } else { usize::MAX };

/// Windows loses writes when calls of one process overlap, also calls of different [`OsStore`]s.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The system's keychain.
pub(super) struct OsStore {
    store: OnceLock<Arc<CredentialStore>>,
    options: KeychainOptions,
}

impl OsStore {
    /// Touches nothing yet.
    pub(super) fn new(options: KeychainOptions) -> Self {
        Self {
            store: OnceLock::new(),
            options,
        }
    }

    fn store(&self) -> Result<&Arc<CredentialStore>, KeychainError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = open(&self.options).map_err(|error| match explain(error) {
            // If the error has no reason, this session does not have the keychain.
            (KeychainReason::Refused, detail) => {
                KeychainError::new(NAME, KeychainReason::Missing, detail)
            }
            (reason, detail) => KeychainError::new(NAME, reason, detail),
        })?;
        Ok(self.store.get_or_init(|| store))
    }

    fn entry(&self, account: &str, title: &str) -> Result<Entry, KeychainError> {
        let (service, modifiers) = if cfg!(windows) {
            // The store adds the service by itself. `Local`: tokens must not roam to other machines
            // with the profile.
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

/// Held during one call of the system's keychain.
struct CallGuard {
    #[cfg(target_os = "macos")]
    _no_prompts: Option<security_framework::os::macos::keychain::KeychainUserInteractionLock>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl CallGuard {
    #[cfg_attr(not(target_os = "macos"), allow(unused_variables))]
    fn begin(options: &KeychainOptions) -> Self {
        // Not for the Secret Service, whose sessions are independent: there a call that never ends
        // would also stop calls on other buses.
        let takes_turns = cfg!(any(windows, target_os = "macos"));
        let turn = takes_turns.then(|| lock(&ONE_AT_A_TIME));
        Self {
            #[cfg(target_os = "macos")]
            _no_prompts: disable_prompts(options),
            _turn: turn,
        }
    }
}

/// Where no person can see a prompt, the Keychain shows none and returns -25308 instead.
#[cfg(target_os = "macos")]
fn disable_prompts(
    options: &KeychainOptions,
) -> Option<security_framework::os::macos::keychain::KeychainUserInteractionLock> {
    use security_framework::os::macos::keychain::SecKeychain;
    if options.interactive {
        return None;
    }
    SecKeychain::disable_user_interaction().ok()
}

#[cfg(all(unix, not(target_os = "macos")))]
#[allow(clippy::unnecessary_wraps)] // The other systems can fail here.
fn open(options: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    Ok(secret_service::Store::open(options.clone()))
}

#[cfg(target_os = "macos")]
fn open(_: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn open(_: &KeychainOptions) -> keyring::Result<Arc<CredentialStore>> {
    // An item's target becomes `age-oauth:<account>` and its user the account. With the modifier
    // `target`, the user would be empty.
    let prefix = format!("{SERVICE}:");
    let names = HashMap::from([("prefix", &*prefix), ("divider", ""), ("suffix", "")]);
    Ok(windows_native_keyring_store::Store::new_with_configuration(
        &names,
    )?)
}

impl SingleItems for OsStore {
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
        let _call = CallGuard::begin(&self.options);
        if MAX_ITEM_BYTES == usize::MAX {
            return SingleItems::read(self, &item.account());
        }
        split::read(self, &item.account())
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let _call = CallGuard::begin(&self.options);
        if MAX_ITEM_BYTES == usize::MAX {
            return SingleItems::write(self, &item.account(), &item.title(), secret);
        }
        split::write(self, &item.account(), &item.title(), secret, MAX_ITEM_BYTES)
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let _call = CallGuard::begin(&self.options);
        if MAX_ITEM_BYTES == usize::MAX {
            return SingleItems::erase(self, &item.account());
        }
        split::erase(self, &item.account())
    }

    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        if cfg!(any(windows, target_os = "macos")) {
            // These keychains have at most one item of a name.
            return Ok(self.get(item)?.into_iter().collect());
        }
        let _call = CallGuard::begin(&self.options);
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
        let _call = CallGuard::begin(&self.options);
        let title = item.title();
        let entry = self.entry(&item.account(), &title)?;
        match entry.update_attributes(&HashMap::from([("label", &*title)])) {
            Ok(()) | Err(KeyringError::NoEntry) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        let _call = CallGuard::begin(&self.options);
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

/// With the real Credential Manager.
#[cfg(all(test, windows))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keychain::ItemKind;

    #[test]
    fn items_have_their_names_are_listed_and_may_be_long() {
        let keychain = OsStore::new(KeychainOptions {
            interactive: false,
            timeout: Duration::from_secs(5),
            dbus_address: None,
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
