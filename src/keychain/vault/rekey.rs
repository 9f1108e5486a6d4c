//! Changing the vault's key, and the key file that this program creates.

use std::path::{Path, PathBuf};

use super::error::{bad_key, from_files, missing};
use super::key_file::{create, decode_text, encode, keys_in, named_key};
use super::keys::{random_key, Key, MasterKey};
use super::{Result, Vault};
use crate::context::Environment;
use crate::event::{Event, Notice};
use crate::files::{self, Lock};
use crate::policy::VAULT_LOCK_TIMEOUT;
use crate::secret::Secret;

/// A new key for a vault, for [`Keychains::rekey_vault`](crate::keychain::Keychains::rekey_vault).
#[derive(Debug)]
#[non_exhaustive]
pub enum VaultKey {
    /// A new random key in the key file of this program, which is created where it is missing.
    KeyFile,
    /// The first key in a file that a person named, as in `AGE_OAUTH_VAULT_KEY_FILE`; a new random
    /// one where the file does not exist.
    NamedFile(PathBuf),
    /// 32 bytes as 64 hexadecimal digits or in base64, as in `AGE_OAUTH_VAULT_KEY`.
    Text(Secret),
    /// A passphrase, as in `AGE_OAUTH_VAULT_PASSPHRASE`.
    Passphrase(Secret),
}

/// What happens to the vault's previous key where that is in the key file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldKey {
    /// It stays beside the new one: another store's vault, or a copy of this one, may need it.
    #[default]
    Keep,
    /// It is erased.
    Forget,
}

impl Vault {
    /// Seals the vault with another key. Wherever this is interrupted, the key that opens the vault
    /// exists: where the old one was, or in the key file.
    pub(in crate::keychain) fn rekey(&self, to: &VaultKey, old: OldKey) -> Result<()> {
        let no_vault = || missing("there is no vault yet");
        // The lock would create the store's folder.
        if self.path().symlink_metadata().is_err() {
            return Err(no_vault());
        }
        let _lock = self.lock()?;
        let Some(mut vault) = self.read()? else {
            return Err(no_vault());
        };
        let before = vault.key.clone();
        // The key file may serve other stores' vaults, too. Its lock keeps their keys from being
        // lost.
        let changes_key_file = matches!(to, VaultKey::KeyFile) || old == OldKey::Forget;
        let _keys = changes_key_file.then(|| self.lock_key_file()).transpose()?;
        let mut keys = keys_in(&self.key_file, &self.context.environment)?.unwrap_or_default();
        vault.set_key(&to.master_key(&self.context.environment)?.strong()?)?;
        // 1. The new key is written beside the old ones, before anything is sealed with it.
        if matches!(to, VaultKey::KeyFile) {
            keys.insert(0, vault.key.clone());
            self.write_key_file(&keys)?;
        }
        // 2. The vault changes from the old key to the new one by one rename.
        self.save(&mut vault)?;
        // 3. Only now nothing needs the old key any more.
        if old == OldKey::Forget && vault.key != before {
            let count = keys.len();
            keys.retain(|key| **key != *before);
            if keys.len() != count {
                self.write_key_file(&keys)?;
            }
        }
        if matches!(to, VaultKey::KeyFile) {
            self.announce_key_file();
        }
        Ok(())
    }

    /// Creates the key file with a new key, for a new vault.
    pub(super) fn create_key_file(&self) -> Result<Key> {
        let _keys = self.lock_key_file()?;
        if let Some(key) = create(&self.key_file, &self.context.environment)? {
            self.announce_key_file();
            return Ok(key);
        }
        // Another store of the same user created it meanwhile: the vault's lock is one store's, the
        // key file may serve all.
        let keys = keys_in(&self.key_file, &self.context.environment)?.unwrap_or_default();
        let first = keys.into_iter().next();
        first.ok_or_else(|| bad_key(&self.key_file.display().to_string()))
    }

    /// Takes the lock of the key file, which several stores may share, after the vault's own lock.
    fn lock_key_file(&self) -> Result<Lock> {
        let path = self.key_file.with_extension("key.lock");
        let locked = self
            .create_key_folder()
            .and_then(|()| Lock::acquire(&path, VAULT_LOCK_TIMEOUT, &self.context));
        from_files(locked)
    }

    fn create_key_folder(&self) -> crate::error::Result<()> {
        files::private_dir(self.key_file.parent().unwrap_or(Path::new(".")))
    }

    fn write_key_file(&self, keys: &[Key]) -> Result<()> {
        let keys: Vec<&Key> = keys.iter().collect();
        let written = if keys.is_empty() {
            files::remove(&self.key_file)
        } else {
            self.create_key_folder()
                .and_then(|()| files::write(&self.key_file, &encode(&keys)))
        };
        from_files(written)
    }

    /// The person must know where the key is: without a copy of it, a backup of the vault is
    /// worthless.
    fn announce_key_file(&self) {
        let path = self.key_file.clone();
        self.context
            .emit(&Event::Notice(Notice::VaultKeyMade { path }));
    }
}

impl VaultKey {
    fn master_key(&self, environment: &Environment) -> Result<MasterKey> {
        Ok(match self {
            Self::KeyFile => MasterKey::Raw(random_key()?),
            Self::NamedFile(path) => MasterKey::Raw(named_key(path, environment)?),
            Self::Text(text) => MasterKey::Raw(decode_text(text, "the new key")?),
            Self::Passphrase(text) => MasterKey::Passphrase(text.duplicate()),
        })
    }
}
