//! A keychain in memory, for tests and for programs that keep nothing. It can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Item, SecretStore};
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;

/// Which call shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`SecretStore::get`]
    Get,
    /// [`SecretStore::set`]
    Set,
    /// [`SecretStore::delete`]
    Delete,
}

/// A keychain in memory. Clones share it.
///
/// ```
/// use age_oauth::testing::{Call, MemoryStore};
/// use age_oauth::{Item, ItemKind, KeychainReason, SecretStore};
/// use age_oauth::Secret;
///
/// let keychain = MemoryStore::new();
/// let item = Item::new("my_portal_1", "my portal", ItemKind::Tokens);
/// keychain.set(&item, &Secret::new("secret".into())).unwrap();
/// assert_eq!(keychain.get(&item).unwrap().unwrap().expose(), "secret");
///
/// keychain.fail_next(Call::Get, KeychainReason::Locked);
/// assert_eq!(keychain.get(&item).unwrap_err().reason, KeychainReason::Locked);
/// assert!(keychain.get(&item).is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<String, (String, Secret)>,
    next: Vec<(Call, KeychainReason)>,
    always: Vec<(Call, KeychainReason)>,
    calls: Vec<Call>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next such call fails.
    pub fn fail_next(&self, call: Call, reason: KeychainReason) {
        self.state().next.push((call, reason));
    }

    /// All such calls fail until [`Self::heal`].
    pub fn fail_always(&self, call: Call, reason: KeychainReason) {
        self.state().always.push((call, reason));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.next.clear();
        state.always.clear();
    }

    /// How often such a call was made.
    #[must_use]
    pub fn calls(&self, call: Call) -> usize {
        self.state()
            .calls
            .iter()
            .filter(|made| **made == call)
            .count()
    }

    /// The title that a person would see.
    #[must_use]
    pub fn title(&self, item: &Item) -> Option<String> {
        let state = self.state();
        state
            .items
            .get(&item.account())
            .map(|(title, _)| title.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, call: Call) -> Result<MutexGuard<'_, State>, KeychainError> {
        let mut state = self.state();
        state.calls.push(call);
        let once = state.next.iter().position(|(wanted, _)| *wanted == call);
        let reason = match once {
            Some(at) => Some(state.next.remove(at).1),
            None => state
                .always
                .iter()
                .find(|(wanted, _)| *wanted == call)
                .map(|(_, reason)| *reason),
        };
        match reason {
            Some(reason) => Err(KeychainError::new(self.name(), reason, "as told")),
            None => Ok(state),
        }
    }
}

impl SecretStore for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let state = self.begin(Call::Get)?;
        Ok(state
            .items
            .get(&item.account())
            .map(|(_, secret)| secret.duplicate()))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        self.begin(Call::Set)?
            .items
            .insert(item.account(), (item.title(), secret.duplicate()));
        Ok(())
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        Ok(self
            .begin(Call::Delete)?
            .items
            .remove(&item.account())
            .is_some())
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        if let Some((title, _)) = self.state().items.get_mut(&item.account()) {
            *title = item.title();
        }
        Ok(())
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        Ok(self.state().items.keys().cloned().collect())
    }
}
