//! The vault: one encrypted file for servers, containers and CI, where no keychain exists.
//!
//! Readers take no lock: they see a whole file, the old one or the new one. With a key file on the
//! same machine the vault protects copies of the store (backups, synchronized folders), not against
//! programs that run as the same user.

mod error;
mod format;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod formats;
mod key_file;
mod keys;
mod opening;
mod rekey;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Mutex;

use super::{Item, SecretStore};
use crate::connection::KeychainKind;
use crate::context::Context;
use crate::error::KeychainError;
use crate::files::{self, Lock};
use crate::policy::{KEYCHAIN_TIMEOUT, MAX_VAULT_BYTES, VAULT_LOCK_TIMEOUT};
use crate::secret::Secret;
use error::from_files;
use format::{Entries, Entry, OpenVault};
use keys::{key_file_path, Key, KeySource, MasterKey};

#[cfg(feature = "cli")]
pub(crate) use opening::KeyPlace;
pub use rekey::{OldKey, VaultKey};

const NAME: &str = KeychainKind::Vault.display_name();

type Result<T> = std::result::Result<T, KeychainError>;

/// The vault of one store.
pub(super) struct Vault {
    root: PathBuf,
    key_file: PathBuf,
    context: Context,
    /// The key that a passphrase led to: to derive it again for each call costs time.
    derived: Mutex<Option<Key>>,
}

impl Vault {
    /// Touches no file.
    pub(super) fn new(root: PathBuf, custom_root: bool, context: &Context) -> Self {
        let key_file = key_file_path(&root, custom_root);
        Self {
            root,
            key_file,
            context: context.clone(),
            derived: Mutex::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.root.join("vault")
    }

    fn keys_from(&self, source: KeySource) -> Result<Vec<MasterKey>> {
        source.keys(&self.context.environment, &self.key_file)
    }

    /// The opened vault, or `None` where the file does not exist.
    fn read(&self) -> Result<Option<OpenVault>> {
        let Some(bytes) = from_files(files::read(&self.path(), MAX_VAULT_BYTES))? else {
            return Ok(None);
        };
        OpenVault::open(&bytes, |header| self.find_key(header)).map(Some)
    }

    #[cfg(feature = "cli")]
    fn read_header(&self) -> Result<Option<format::Header>> {
        let bytes = from_files(files::read(&self.path(), MAX_VAULT_BYTES))?;
        bytes.map(|bytes| format::Header::parse(&bytes)).transpose()
    }

    /// Changes the entries under the lock. The file is written only if `change` returns `true`
    /// first.
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> (bool, T)) -> Result<T> {
        // Without the lock, two processes could read the same content and the second write would
        // undo the first.
        let _lock = self.lock()?;
        // Read under the lock, so that the change applies to the newest content.
        let mut vault = match self.read()? {
            Some(vault) => vault,
            None => self.create()?,
        };
        let (changed, outcome) = change(&mut vault.entries);
        if changed {
            self.save(&mut vault)?;
        }
        Ok(outcome)
    }

    fn lock(&self) -> Result<Lock> {
        let path = self.root.join("vault.lock");
        // As a write to another keychain: also when the time of the whole command is up.
        let context = Context {
            deadline: self.context.deadline.at_least(KEYCHAIN_TIMEOUT),
            ..self.context.clone()
        };
        let locked = files::private_dir(&self.root)
            .and_then(|()| Lock::acquire(&path, VAULT_LOCK_TIMEOUT, &context));
        from_files(locked)
    }

    fn save(&self, vault: &mut OpenVault) -> Result<()> {
        let bytes = vault.seal()?;
        from_files(files::write(&self.path(), &bytes))
    }

    /// An empty vault under the first key that is available, or under a key file that is created
    /// now.
    fn create(&self) -> Result<OpenVault> {
        match self.given_key()? {
            Some(master) => OpenVault::new(&master),
            None => OpenVault::new(&MasterKey::Raw(self.create_key_file()?)),
        }
    }

    /// The first key that is available for a new vault.
    fn given_key(&self) -> Result<Option<MasterKey>> {
        for source in KeySource::ORDER {
            // Here an unusable source is an error: the vault must not be sealed with another key
            // than the person meant.
            if let Some(master) = self.keys_from(source)?.into_iter().next() {
                return master.strong().map(Some);
            }
        }
        Ok(None)
    }

    /// Whether the vault exists. Where it does not, a key that could not seal a new one is an
    /// error. Writes nothing.
    #[cfg(feature = "cli")]
    pub(in crate::keychain) fn exists(&self) -> Result<bool> {
        let exists = self.path().symlink_metadata().is_ok();
        if !exists {
            self.given_key()?;
        }
        Ok(exists)
    }
}

impl SecretStore for Vault {
    fn name(&self) -> &'static str {
        NAME
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>> {
        let vault = self.read()?;
        let entry = vault.and_then(|mut vault| vault.entries.remove(&item.account()));
        Ok(entry.map(|entry| entry.secret))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<()> {
        self.change(|entries| {
            let entry = Entry {
                title: item.title(),
                secret: secret.duplicate(),
            };
            entries.insert(item.account(), entry);
            (true, ())
        })
    }

    fn delete(&self, item: &Item) -> Result<bool> {
        // `change` would create a vault only to delete something from it.
        if !self.path().exists() {
            return Ok(false);
        }
        self.change(|entries| {
            let found = entries.remove(&item.account()).is_some();
            (found, found)
        })
    }

    fn retitle(&self, item: &Item) -> Result<()> {
        if !self.path().exists() {
            return Ok(());
        }
        self.change(|entries| match entries.get_mut(&item.account()) {
            Some(entry) => {
                entry.title = item.title();
                (true, ())
            }
            None => (false, ()),
        })
    }

    fn accounts(&self) -> Result<Vec<String>> {
        let vault = self.read()?;
        Ok(vault
            .map(|vault| vault.entries.into_keys().collect())
            .unwrap_or_default())
    }
}
