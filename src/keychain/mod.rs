//! Where secrets are stored: the system's keychain, the vault, or memory, behind one trait.
//!
//! A keychain holds at most three items per connection, each replaced as a whole: the client
//! secret, the tokens, and the settings that both are bound to. Here an item's content is text;
//! [`crate::token`] and [`crate::binding`] know what is in it.

mod item;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod os;
pub(crate) mod split;
mod timeout;
pub(crate) mod vault;

use std::path::PathBuf;
use std::sync::Arc;

pub use crate::item_kind::ItemKind;
pub use item::{Item, SERVICE};
#[cfg(any(test, feature = "testing"))]
pub use memory::{Call, MemoryStore};
#[cfg(feature = "cli")]
pub(crate) use vault::KeyPlace;
pub use vault::{OldKey, VaultKey};

use crate::connection::KeychainKind;
use crate::context::Context;
use crate::env;
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;
use timeout::WithTimeout;
use vault::Vault;

/// A place that stores secrets. [`Keychains`] has those of this machine; a program that keeps
/// secrets elsewhere implements this, and passes it to [`Session::new`](crate::Session::new).
///
/// No call waits without end: an implementation limits its own waits, or is wrapped so that they
/// are limited. None shows a prompt unless it was opened as interactive.
pub trait SecretStore: Send + Sync {
    /// Its name for people: `Secret Service`, `macOS Keychain`, `Windows Credential Manager`,
    /// `vault`.
    fn name(&self) -> &'static str;

    /// The secret, or `None` where there is no such item.
    ///
    /// [`KeychainReason`]: `Missing` where the machine or session has no keychain; `Locked`;
    /// `Refused`; `Timeout`; `Lost` where the item is incomplete or not text; `Ambiguous` where
    /// several items have this name. Never returns a part of what was stored.
    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError>;

    /// Stores the secret and replaces what was there, also several items of this name: that repairs
    /// `Ambiguous`.
    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError>;

    /// Deletes the item, or all items of this name where there are several. `false` where there was
    /// none.
    fn delete(&self, item: &Item) -> Result<bool, KeychainError>;

    /// The secrets of all items of this name: where there are several, one of them may be the right
    /// one. What is not text is left out.
    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        Ok(self.get(item)?.into_iter().collect())
    }

    /// Changes the title to that of a renamed connection. Does nothing where the item does not
    /// exist or items have no titles.
    fn retitle(&self, _item: &Item) -> Result<(), KeychainError> {
        Ok(())
    }

    /// The [accounts](Item::account) of all items of this program, in no particular order.
    fn accounts(&self) -> Result<Vec<String>, KeychainError>;
}

/// The keychains of one connection store, each opened when it is first used: that of the system,
/// and the vault, an encrypted file in the store. [`Connection::keychain`](crate::Connection) says
/// which one has the secrets of a connection.
pub struct Keychains(Source);

enum Source {
    Real {
        os: Arc<dyn SecretStore>,
        vault: Arc<Vault>,
    },
    Fixed(Arc<dyn SecretStore>),
}

impl Keychains {
    /// The system's keychain, and the vault of the store at `root`. Touches neither yet.
    ///
    /// `custom_root`: the root was chosen by a person or a caller, so the vault's key file is
    /// beside it. `interactive`: a person can see a prompt of the keychain; otherwise none is shown
    /// and waits are short.
    #[must_use]
    pub fn new(root: PathBuf, custom_root: bool, interactive: bool, context: &Context) -> Self {
        let timeout = timeout::call_timeout(interactive, context);
        let os = Arc::new(os::OsStore::new(os::KeychainOptions {
            interactive,
            // Never used where the setting cannot be read, see `WithTimeout`.
            timeout: timeout.clone().unwrap_or_default(),
            dbus_address: context.environment.var_os(env::DBUS_SESSION_BUS_ADDRESS),
        }));
        Self(Source::Real {
            os: Arc::new(WithTimeout::new(os, timeout, context)),
            vault: Arc::new(Vault::new(root, custom_root, context)),
        })
    }

    /// One keychain for everything.
    #[must_use]
    pub fn fixed(keychain: Arc<dyn SecretStore>) -> Self {
        Self(Source::Fixed(keychain))
    }

    /// The keychain of this kind.
    #[must_use]
    pub fn of(&self, kind: KeychainKind) -> Arc<dyn SecretStore> {
        match (&self.0, kind) {
            (Source::Fixed(keychain), _) => Arc::clone(keychain),
            (Source::Real { os, .. }, KeychainKind::Os) => Arc::clone(os),
            (Source::Real { vault, .. }, KeychainKind::Vault) => vault.clone(),
        }
    }

    /// Seals the vault with another key. `old` says what happens to the previous key where that is
    /// in the key file, which several stores may share.
    ///
    /// `Missing` where there is no vault; otherwise as [`SecretStore::set`], with nothing changed.
    pub fn rekey_vault(&self, to: &VaultKey, old: OldKey) -> Result<(), KeychainError> {
        match &self.0 {
            Source::Real { vault, .. } => vault.rekey(to, old),
            Source::Fixed(keychain) => Err(KeychainError::new(
                keychain.name(),
                KeychainReason::Missing,
                "there is no vault here",
            )),
        }
    }
}

/// Writes and deletes an item, to find out whether this keychain can store a secret now. Does not
/// read it back, because each call to a vault with a passphrase costs a derivation of its key.
/// `owner` keeps the items of two checks at the same time apart.
pub fn check_writable(keychain: &dyn SecretStore, owner: &str) -> Result<(), KeychainError> {
    let id = format!("{owner}-{}", std::process::id());
    let item = Item::new(id, owner, ItemKind::Probe);
    keychain.set(&item, &Secret::new("probe".to_owned()))?;
    keychain.delete(&item).map(|_| ())
}

#[cfg(feature = "cli")]
impl Keychains {
    /// Whether the keychain of this kind exists as far as a look at files can tell: only a vault is
    /// created by its first item. Where it does not exist, an error says why it cannot be created.
    pub(crate) fn exists(&self, kind: KeychainKind) -> Result<bool, KeychainError> {
        match (&self.0, kind) {
            (Source::Real { vault, .. }, KeychainKind::Vault) => vault.exists(),
            _ => Ok(true),
        }
    }

    /// All places whose key opens the vault, in the order in which they are tried; none if there is
    /// not a vault.
    pub(crate) fn vault_key_places(&self) -> Result<Vec<KeyPlace>, KeychainError> {
        match &self.0 {
            Source::Real { vault, .. } => vault.key_places(),
            Source::Fixed(_) => Ok(Vec::new()),
        }
    }
}

impl std::fmt::Debug for Keychains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keychains")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_keychain_serves_every_kind_and_has_no_vault() {
        let memory = MemoryStore::new();
        let all = Keychains::fixed(Arc::new(memory.clone()));
        let item = Item::new("x", "x", ItemKind::Tokens);
        memory.set(&item, &Secret::new("s".into())).unwrap();
        for kind in KeychainKind::ALL {
            let found = all.of(*kind).all(&item).unwrap();
            assert!(matches!(&*found, [one] if one.matches("s")));
        }
        let refused = all.rekey_vault(&VaultKey::KeyFile, OldKey::Forget);
        assert_eq!(refused.unwrap_err().reason, KeychainReason::Missing);
    }
}
