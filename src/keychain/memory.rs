//! A keychain in memory, for tests and for programs that store nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Item, SecretStore};
use crate::error::KeychainError;
use crate::error::KeychainReason;
use crate::secret::Secret;
use crate::util::lock;

/// A call that can be made to fail.
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
/// use age_oauth::testing::MemoryStore;
/// use age_oauth::{Item, ItemKind, Secret, SecretStore};
///
/// let keychain = MemoryStore::new();
/// let item = Item::new("my_portal_1", "my portal", ItemKind::Tokens);
/// keychain.set(&item, &Secret::new("secret".into())).unwrap();
/// assert_eq!(keychain.get(&item).unwrap().unwrap().expose(), "secret");
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<String, (String, Secret)>,
    failures: Failures,
}

impl MemoryStore {
    /// An empty keychain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The title that a person would see, where there is such an item.
    #[must_use]
    pub fn title(&self, item: &Item) -> Option<String> {
        let state = lock(&self.0);
        let found = state.items.get(&item.account());
        found.map(|(title, _)| title.clone())
    }

    /// Counts the call, and makes it fail where a test wants that.
    #[cfg_attr(
        not(any(test, feature = "testing")),
        allow(clippy::unnecessary_wraps, unused_variables)
    )]
    fn begin(&self, call: Call) -> Result<MutexGuard<'_, State>, KeychainError> {
        #[cfg_attr(not(any(test, feature = "testing")), allow(unused_mut))]
        let mut state = lock(&self.0);
        if let Some(reason) = state.failures.of(call) {
            return Err(KeychainError::new(self.name(), reason, "injected failure"));
        }
        Ok(state)
    }
}

/// Which calls fail, and which were made.
#[derive(Debug, Default)]
struct Failures {
    next: Vec<(Call, KeychainReason)>,
    always: Vec<(Call, KeychainReason)>,
    calls: Vec<Call>,
}
impl Failures {
    fn of(&mut self, call: Call) -> Option<KeychainReason> {
        self.calls.push(call);
        let is_wanted = |(wanted, _): &(Call, KeychainReason)| *wanted == call;
        if let Some(at) = self.next.iter().position(is_wanted) {
            return Some(self.next.remove(at).1);
        }
        let always = self.always.iter().copied().find(is_wanted);
        always.map(|(_, reason)| reason)
    }
}

/// Failure injection, with the feature `testing`.
///
/// ```
/// use age_oauth::testing::{Call, MemoryStore};
/// use age_oauth::{Item, ItemKind, KeychainReason, SecretStore};
///
/// let keychain = MemoryStore::new();
/// let item = Item::new("my_portal_1", "my portal", ItemKind::Tokens);
/// keychain.fail_next(Call::Get, KeychainReason::Locked);
/// assert_eq!(keychain.get(&item).unwrap_err().reason, KeychainReason::Locked);
/// assert!(keychain.get(&item).is_ok());
/// ```
impl MemoryStore {
    /// The next such call fails.
    pub fn fail_next(&self, call: Call, reason: KeychainReason) {
        lock(&self.0).failures.next.push((call, reason));
    }

    /// All such calls fail until [`Self::heal`].
    pub fn fail_always(&self, call: Call, reason: KeychainReason) {
        lock(&self.0).failures.always.push((call, reason));
    }

    /// No call fails any more.
    pub fn heal(&self) {
        let failures = &mut lock(&self.0).failures;
        failures.next.clear();
        failures.always.clear();
    }

    /// How many such calls were made.
    #[must_use]
    pub fn calls(&self, call: Call) -> usize {
        let state = lock(&self.0);
        let calls = state.failures.calls.iter();
        calls.filter(|made| **made == call).count()
    }
}

impl SecretStore for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let state = self.begin(Call::Get)?;
        let found = state.items.get(&item.account());
        Ok(found.map(|(_, secret)| secret.duplicate()))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let stored = (item.title(), secret.duplicate());
        let mut state = self.begin(Call::Set)?;
        state.items.insert(item.account(), stored);
        Ok(())
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let mut state = self.begin(Call::Delete)?;
        Ok(state.items.remove(&item.account()).is_some())
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        if let Some((title, _)) = lock(&self.0).items.get_mut(&item.account()) {
            *title = item.title();
        }
        Ok(())
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        Ok(lock(&self.0).items.keys().cloned().collect())
    }
}
