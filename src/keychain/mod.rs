//! Where secrets rest: the platform's keychain, the vault, or memory, behind one trait.
//!
//! A keychain holds at most two items per connection, each replaced as a whole: the client secret and the tokens.
//! What is inside an item is the business of [`crate::token`]; here it is text.

#[cfg(any(test, fuzzing, feature = "testing"))]
mod memory;
mod os;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service;
pub(crate) mod split;
mod timeout;
pub(crate) mod vault;

use std::path::PathBuf;
use std::sync::Arc;

pub use crate::item_kind::ItemKind;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub use memory::{Call, MemoryStore};
pub use vault::{OldKey, VaultKey};

use crate::connection::{Connection, KeychainKind};
use crate::context::Context;
use crate::env;
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;
use timeout::Bounded;
use vault::Vault;

/// The service that all our items belong to.
pub const SERVICE: &str = "age-oauth";

/// Names one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    id: String,
    label: String,
    kind: ItemKind,
}

impl Item {
    /// The item of this kind that belongs to a connection.
    #[must_use]
    pub fn of(connection: &Connection, kind: ItemKind) -> Self {
        Self::new(connection.id.as_str(), connection.label.as_str(), kind)
    }

    /// An item by its connection's id and label.
    pub fn new(id: impl Into<String>, label: impl Into<String>, kind: ItemKind) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            kind,
        }
    }

    /// The item that an [account](Self::account) names, where it is one of ours. Its label is not known.
    #[must_use]
    pub fn from_account(account: &str) -> Option<Self> {
        let (id, word) = account.rsplit_once('/')?;
        let kind = ItemKind::ALL.iter().find(|kind| kind.as_str() == word)?;
        Some(Self::new(id, id, *kind))
    }

    /// What identifies the item within [`SERVICE`]: `<connection id>/tokens`.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}/{}", self.id, self.kind.as_str())
    }

    /// What a person sees in the platform's own program: `age-oauth: my_portal (tokens)`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("age-oauth: {} ({})", self.label, self.kind.as_str())
    }
}

/// A place that keeps secrets.
///
/// Implementations are bounded in time by themselves or wrapped so that they are; none prompts unless it was opened
/// for a person.
pub trait SecretStore: Send + Sync {
    /// The platform's own name, for people: `Secret Service`, `macOS Keychain`, `Windows Credential Manager`, `vault`.
    fn name(&self) -> &'static str;

    /// The secret, or `None` where there is no such item.
    ///
    /// [`KeychainReason`]: `Missing` where no keychain is here; `Locked`; `Refused`; `Timeout`; `Lost` where the item is
    /// torn or not text; `Ambiguous` where several items answer to this name. Never a shorter secret than was stored.
    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError>;

    /// Stores the secret, replacing whatever was there (several items included: this is how `Ambiguous` is repaired).
    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError>;

    /// Deletes the item, or all of them where several answer to this name. `false` where there was none.
    fn delete(&self, item: &Item) -> Result<bool, KeychainError>;

    /// Every secret that answers to this name: where several do, one of them may still be good. What is no text is left out.
    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        Ok(self.get(item)?.into_iter().collect())
    }

    /// Makes the title follow a renamed connection. Does nothing where the item or titles do not exist.
    fn retitle(&self, _item: &Item) -> Result<(), KeychainError> {
        Ok(())
    }

    /// The [accounts](Item::account) of all our items, in no order.
    fn accounts(&self) -> Result<Vec<String>, KeychainError>;
}
/// The keychains of one store, opened when first used.
pub struct Keychains(Source);

enum Source {
    Real {
        os: Arc<dyn SecretStore>,
        vault: Arc<Vault>,
    },
    Fixed(Arc<dyn SecretStore>),
}

impl Keychains {
    /// The platform's keychain, and the vault of the store at `root`. Touches neither yet.
    ///
    /// `custom_root`: the root was chosen by hand, so the vault's key file lies beside it. `interactive`: somebody can see a
    /// prompt of the keychain's own; without, none is shown and waits are short.
    #[must_use]
    pub fn new(root: PathBuf, custom_root: bool, interactive: bool, context: &Context) -> Self {
        let bound = timeout::bound(interactive, context);
        let os = Arc::new(os::OsStore::new(os::KeychainOptions {
            interactive,
            patience: bound,
            bus: context.environment.var(env::DBUS_SESSION_BUS_ADDRESS),
        }));
        Self(Source::Real {
            os: Arc::new(Bounded::new(os, bound, context)),
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

    /// Seals the vault with another key. The one that it had stays in the key file, where it was there, unless it shall be
    /// forgotten: several stores may share that file.
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
    fn an_item_is_found_by_its_account_and_known_by_its_title() {
        for (kind, word) in [
            (ItemKind::ClientSecret, "client-secret"),
            (ItemKind::Tokens, "tokens"),
            (ItemKind::Probe, "probe"),
        ] {
            let item = Item::new("my_portal_1", "My Portal", kind);
            assert_eq!(item.account(), format!("my_portal_1/{word}"));
            assert_eq!(item.title(), format!("age-oauth: My Portal ({word})"));
            let found = Item::from_account(&item.account()).unwrap();
            assert_eq!(found, Item::new("my_portal_1", "my_portal_1", kind));
        }
        for other in [
            "",
            "my_portal_1",
            "my_portal_1/",
            "my_portal_1/Tokens",
            "tokens",
        ] {
            assert_eq!(Item::from_account(other), None, "{other}");
        }
    }

    #[test]
    fn one_keychain_stands_for_all_and_has_no_vault() {
        let memory = MemoryStore::new();
        let all = Keychains::fixed(Arc::new(memory.clone()));
        let item = Item::new("x", "x", ItemKind::Tokens);
        memory.set(&item, &Secret::new("s".into())).unwrap();
        for kind in [KeychainKind::Os, KeychainKind::Vault] {
            let found = all.of(kind).all(&item).unwrap();
            assert!(matches!(&*found, [one] if one.matches("s")));
        }
        let refused = all.rekey_vault(&VaultKey::File, OldKey::Forget);
        assert_eq!(refused.unwrap_err().reason, KeychainReason::Missing);
    }
}
