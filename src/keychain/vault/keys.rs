//! Where the vault's key comes from.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{crypto_failed, from_environment, no_key_file, weak_passphrase};
use super::key_file::{decode_text, keys_in, keys_in_named};
use super::Result;
use crate::context::Environment;
use crate::env;
use crate::policy::MIN_PASSPHRASE_CHARACTERS;
use crate::secret::Secret;
use crate::util;

/// The length of a key, in bytes.
pub(super) const KEY_LEN: usize = 32;

/// A vault key. Wiped when dropped.
pub(super) type Key = Zeroizing<[u8; KEY_LEN]>;

/// What a person provides to open a vault.
pub(super) enum MasterKey {
    /// The vault key itself.
    Raw(Key),
    /// The vault key is derived from this.
    Passphrase(Secret),
}

impl MasterKey {
    /// A passphrase that can be guessed from a copy of the vault.
    pub(super) fn is_weak(&self) -> bool {
        match self {
            Self::Raw(_) => false,
            Self::Passphrase(text) => text.expose().chars().count() < MIN_PASSPHRASE_CHARACTERS,
        }
    }

    /// The same, unless it is too weak to seal a vault with.
    pub(super) fn strong(self) -> Result<Self> {
        if self.is_weak() {
            return Err(weak_passphrase());
        }
        Ok(self)
    }
}

/// Where a master key may come from.
#[derive(Clone, Copy)]
pub(super) enum KeySource {
    /// `AGE_OAUTH_VAULT_KEY`.
    Variable,
    /// The file `age-oauth.key` in `CREDENTIALS_DIRECTORY`, which systemd sets for a service.
    Credential,
    /// The file that `AGE_OAUTH_VAULT_KEY_FILE` names.
    NamedFile,
    /// `AGE_OAUTH_VAULT_PASSPHRASE`.
    Passphrase,
    /// The key file that this program creates.
    KeyFile,
}

impl KeySource {
    /// The order of the sources. The first one that has a key seals a new vault; all are tried to
    /// open an existing one.
    pub(super) const ORDER: [Self; 5] = [
        Self::Variable,
        Self::Credential,
        Self::NamedFile,
        Self::Passphrase,
        Self::KeyFile,
    ];

    /// The keys of this source; none where it is not set.
    pub(super) fn keys(self, environment: &Environment, key_file: &Path) -> Result<Vec<MasterKey>> {
        let keys = match self {
            Self::Variable => match variable(environment, env::AGE_OAUTH_VAULT_KEY)? {
                Some(text) => vec![decode_text(&text, env::AGE_OAUTH_VAULT_KEY)?],
                None => Vec::new(),
            },
            Self::Credential => match self.file(environment, key_file)? {
                Some(path) => keys_in_named(&path, environment)?.unwrap_or_default(),
                None => Vec::new(),
            },
            Self::NamedFile => match self.file(environment, key_file)? {
                Some(path) => {
                    keys_in_named(&path, environment)?.ok_or_else(|| no_key_file(&path))?
                }
                None => Vec::new(),
            },
            Self::Passphrase => {
                let text = variable(environment, env::AGE_OAUTH_VAULT_PASSPHRASE)?;
                return Ok(text.map(MasterKey::Passphrase).into_iter().collect());
            }
            Self::KeyFile => keys_in(key_file, environment)?.unwrap_or_default(),
        };
        Ok(keys.into_iter().map(MasterKey::Raw).collect())
    }

    /// The file of this source, where it is one.
    pub(super) fn file(
        self,
        environment: &Environment,
        key_file: &Path,
    ) -> Result<Option<PathBuf>> {
        let path = match self {
            Self::Variable | Self::Passphrase => return Ok(None),
            Self::Credential => environment
                .path(env::CREDENTIALS_DIRECTORY)
                .map(|folder| folder.join("age-oauth.key")),
            Self::NamedFile => {
                from_environment(environment.absolute_path(env::AGE_OAUTH_VAULT_KEY_FILE))?
            }
            Self::KeyFile => Some(key_file.to_owned()),
        };
        Ok(path)
    }

    /// What it is, for people.
    pub(super) fn place(self, environment: &Environment, key_file: &Path) -> String {
        let file = self.file(environment, key_file).unwrap_or_default();
        match (self, file) {
            (Self::Variable, _) => env::AGE_OAUTH_VAULT_KEY.to_owned(),
            (Self::Passphrase, _) => env::AGE_OAUTH_VAULT_PASSPHRASE.to_owned(),
            (Self::NamedFile, None) => env::AGE_OAUTH_VAULT_KEY_FILE.to_owned(),
            (Self::Credential, None) => format!("${}/age-oauth.key", env::CREDENTIALS_DIRECTORY),
            (Self::KeyFile | Self::Credential | Self::NamedFile, path) => {
                path.unwrap_or_default().display().to_string()
            }
        }
    }
}

fn variable(environment: &Environment, name: &'static str) -> Result<Option<Secret>> {
    from_environment(environment.secret(name))
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    util::random().ok_or_else(crypto_failed)
}

pub(super) fn random_key() -> Result<Key> {
    Ok(Zeroizing::new(random()?))
}

/// The path of the key file for the store at `root`. It is outside the store, so that a copy of the
/// store (a backup, a synchronized folder) is not a copy of the key as well.
pub(super) fn key_file_path(root: &Path, custom_root: bool) -> PathBuf {
    const FILE: &str = "vault.key";
    if custom_root {
        let mut folder = root.as_os_str().to_owned();
        folder.push(".key");
        return PathBuf::from(folder).join(FILE);
    }
    let home = if cfg!(target_os = "macos") {
        dirs::home_dir().map(|home| home.join(".age_oauth"))
    } else {
        dirs::data_local_dir().map(|data| data.join("age_oauth"))
    };
    home.unwrap_or_else(|| root.to_owned()).join(FILE)
}
