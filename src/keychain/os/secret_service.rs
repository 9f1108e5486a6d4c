//! Our thin store for the Secret Service (GNOME Keyring, KWallet, KeePassXC, oo7), on top of the
//! `secret-service` crate.
//!
//! It has the same attributes as the published keyring store (`service`, `username`), with three
//! differences: it never shows a prompt where no person can see it, it opens its session again when
//! the daemon was restarted, and it uses no session encryption. The 1024-bit key agreement would
//! cost two thirds of a read and protect against nothing: a process that can listen can also ask
//! the daemon itself.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use keyring::api::{CredentialApi, CredentialStoreApi};
use keyring::{Credential, CredentialStore, Entry, Error, Result};
use secret_service::{Collection, EncryptionType, Error as ServiceError, Item, SecretService};

use super::bus::Bus;
use super::error::StoreError;
use super::KeychainOptions;
use crate::context::NOT_UTF_8;
use crate::env;
use crate::error::KeychainReason;
use crate::util::lock;

/// As libsecret writes it. KWallet takes a type with a charset for binary data, which `secret-tool`
/// and other programs then refuse to show.
const CONTENT_TYPE: &str = "text/plain";

/// How often a call is made for an item that other programs keep replacing. With `KWallet`, eight
/// programs that write one item at the same time cause that.
const MAX_ATTEMPTS: u32 = 10;

/// The store. Connects at the first call.
pub(super) struct Store {
    sessions: Arc<ServiceSession>,
}

/// The session, which is opened when it is needed and again when the daemon has forgotten it.
struct ServiceSession {
    session: Mutex<Option<Session>>,
    options: KeychainOptions,
}

/// The service, and the D-Bus connection to it.
struct Session {
    service: SecretService<'static>,
    bus: Bus,
}

/// One item, by its attributes.
struct Credentials {
    sessions: Arc<ServiceSession>,
    service: String,
    user: String,
    label: String,
    /// The path of the D-Bus object, where one of several items with these attributes is meant.
    only: Option<String>,
}

impl Store {
    pub(super) fn open(options: KeychainOptions) -> Arc<CredentialStore> {
        Arc::new(Self {
            sessions: Arc::new(ServiceSession {
                session: Mutex::new(None),
                options,
            }),
        })
    }

    fn entry(&self, service: &str, user: &str, label: &str, only: Option<String>) -> Entry {
        Entry::new_with_credential(Arc::new(Credentials {
            sessions: Arc::clone(&self.sessions),
            service: service.to_owned(),
            user: user.to_owned(),
            label: label.to_owned(),
            only,
        }))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret_service::Store")
    }
}

impl CredentialStoreApi for Store {
    fn vendor(&self) -> String {
        "age-oauth".into()
    }

    fn id(&self) -> String {
        "secret-service".into()
    }

    fn build(
        &self,
        service: &str,
        user: &str,
        modifiers: Option<&HashMap<&str, &str>>,
    ) -> Result<Entry> {
        let label = modifiers.and_then(|m| m.get("label")).unwrap_or(&user);
        Ok(self.entry(service, user, label, None))
    }

    /// Returns one entry for each item, also where several have the same attributes.
    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let found = self.sessions.with_retry(|session| {
            let found = session.wait(session.service.search_items(spec.clone()))?;
            found
                .unlocked
                .iter()
                .chain(&found.locked)
                .map(|item| {
                    let attributes = session.wait(item.get_attributes())?;
                    Ok((attributes, item.item_path.to_string()))
                })
                .collect::<ServiceResult<Vec<_>>>()
        })?;
        Ok(found
            .into_iter()
            .filter_map(|(attributes, path)| {
                let (service, user) = (attributes.get("service")?, attributes.get("username")?);
                Some(self.entry(service, user, user, Some(path)))
            })
            .collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The outcome of a D-Bus call; [`Result`] is that of the keyring crate's traits.
type ServiceResult<T> = std::result::Result<T, StoreError>;

impl Session {
    fn wait<T>(
        &self,
        call: impl Future<Output = std::result::Result<T, ServiceError>>,
    ) -> ServiceResult<T> {
        wait(&self.bus, call)
    }
}

/// Waits for the call.
fn wait<T>(
    bus: &Bus,
    call: impl Future<Output = std::result::Result<T, ServiceError>>,
) -> ServiceResult<T> {
    let answer = bus.wait(call).map_err(zbus::Error::from);
    Ok(answer.map_err(ServiceError::from)??)
}

impl ServiceSession {
    /// Runs `call` in the session, which is opened where there is none. Where the daemon does not
    /// know the session any more, runs it once more in a new one; where another program replaced
    /// the item between two steps, a few times more with the new item.
    fn with_retry<T>(&self, call: impl Fn(&Session) -> ServiceResult<T>) -> Result<T> {
        let mut session = lock(&self.session);
        // A session that was opened just now cannot be stale.
        let mut may_be_stale = session.is_some();
        let mut attempts = 1;
        loop {
            match self.in_session(&mut session, &call) {
                Err(error) if may_be_stale && error.is_stale() => {
                    *session = None;
                    may_be_stale = false;
                }
                Err(error) if error.is_gone() && attempts < MAX_ATTEMPTS => attempts += 1,
                outcome => return outcome.map_err(StoreError::into_keyring),
            }
        }
    }

    fn in_session<T>(
        &self,
        session: &mut Option<Session>,
        call: &impl Fn(&Session) -> ServiceResult<T>,
    ) -> ServiceResult<T> {
        let open = match session.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        call(session.insert(open))
    }

    fn connect(&self) -> ServiceResult<Session> {
        let address = match self.options.dbus_address.as_deref().map(OsStr::to_str) {
            // Another bus than the one that is named could have another keychain.
            Some(None) => return Err(unreadable_address()),
            address => address.flatten(),
        };
        let bus = Bus::connect(address, self.options.timeout).map_err(without_a_bus)?;
        let service = SecretService::connect_with_existing(EncryptionType::Plain, bus.connection());
        Ok(Session {
            service: wait(&bus, service)?,
            bus,
        })
    }
}

fn unreadable_address() -> StoreError {
    StoreError {
        reason: KeychainReason::Refused,
        detail: format!("{}: {NOT_UTF_8}", env::DBUS_SESSION_BUS_ADDRESS),
    }
}

/// Without a bus this session has no keychain.
fn without_a_bus(error: zbus::Error) -> StoreError {
    match StoreError::from(ServiceError::from(error)) {
        StoreError {
            reason: KeychainReason::Refused,
            detail,
        } => StoreError {
            reason: KeychainReason::Missing,
            detail: format!("no D-Bus session: {detail}"),
        },
        other => other,
    }
}

impl Credentials {
    fn attributes(&self) -> HashMap<&str, &str> {
        HashMap::from([("service", &*self.service), ("username", &*self.user)])
    }

    /// The items with these attributes: the unlocked ones, and the locked ones.
    fn find<'a>(&self, session: &'a Session) -> ServiceResult<(Vec<Item<'a>>, Vec<Item<'a>>)> {
        let found = session.wait(session.service.search_items(self.attributes()))?;
        let is_meant = |item: &Item<'_>| {
            let only = self.only.as_deref();
            only.is_none_or(|path| item.item_path.as_str() == path)
        };
        let pick = |items: Vec<Item<'a>>| items.into_iter().filter(is_meant).collect();
        Ok((pick(found.unlocked), pick(found.locked)))
    }

    /// Runs `call` on all items that match. Locked ones are unlocked first, if a person can see the
    /// prompt.
    fn with_matches<T>(
        &self,
        session: &Session,
        call: impl Fn(&[Item<'_>]) -> ServiceResult<T>,
    ) -> ServiceResult<T> {
        let (unlocked, locked) = self.find(session)?;
        self.unlock(session, &locked)?;
        let all: Vec<_> = unlocked.into_iter().chain(locked).collect();
        call(&all)
    }

    /// Unlocks the items. Where no person can see the prompt, none is shown and locked items are an
    /// error.
    fn unlock(&self, session: &Session, items: &[Item<'_>]) -> ServiceResult<()> {
        if items.is_empty() {
            return Ok(());
        }
        if !self.sessions.options.interactive {
            return Err(locked());
        }
        let items: Vec<_> = items.iter().collect();
        session.wait(session.service.unlock_all(&items))
    }

    /// Two round trips: search, and the secret of the one item found.
    fn read(&self, session: &Session) -> ServiceResult<Option<Vec<u8>>> {
        let (unlocked, locked) = self.find(session)?;
        if unlocked.is_empty() {
            self.unlock(session, &locked)?;
        }
        match (&*unlocked, &*locked) {
            ([], []) => {
                // Without a default collection, the items are lost together with it, and cannot be
                // stored again.
                self.default_collection(session)?;
                Ok(None)
            }
            ([only], []) | ([], [only]) => session.wait(only.get_secret()).map(Some),
            (unlocked, locked) => Err(StoreError {
                reason: KeychainReason::Ambiguous,
                detail: format!("{} items of one name", unlocked.len() + locked.len()),
            }),
        }
    }

    #[allow(clippy::unused_self)] // Called beside the other steps of reading and writing.
    fn default_collection<'a>(&self, session: &'a Session) -> ServiceResult<Collection<'a>> {
        session
            .wait(async {
                match session.service.get_default_collection().await {
                    Err(ServiceError::NoResult) => Ok(None),
                    found => found.map(Some),
                }
            })?
            .ok_or_else(no_default_collection)
    }

    fn write(&self, session: &Session, secret: &[u8]) -> ServiceResult<()> {
        let written = self.with_matches(session, |items| {
            let Some((first, others)) = items.split_first() else {
                return Ok(false);
            };
            session.wait(first.set_secret(secret, CONTENT_TYPE))?;
            session.wait(first.set_label(&self.label))?;
            for other in others {
                session.wait(other.delete())?;
            }
            Ok(true)
        })?;
        if written {
            return Ok(());
        }
        // Never another collection: the one named `session` is lost at the end of the desktop
        // session.
        let collection = self.default_collection(session)?;
        if session.wait(collection.is_locked())? {
            if !self.sessions.options.interactive {
                return Err(locked());
            }
            session.wait(collection.unlock())?;
        }
        let label = &self.label;
        session.wait(collection.create_item(
            label,
            self.attributes(),
            secret,
            true,
            CONTENT_TYPE,
        ))?;
        Ok(())
    }
}

fn no_default_collection() -> StoreError {
    StoreError {
        reason: KeychainReason::NoCollection,
        detail: "items can neither be stored nor found".into(),
    }
}

fn locked() -> StoreError {
    StoreError {
        reason: KeychainReason::Locked,
        detail: "its collection is locked, and no prompt can be shown here to unlock it".into(),
    }
}

impl CredentialApi for Credentials {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.sessions
            .with_retry(|session| self.write(session, secret))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.sessions
            .with_retry(|session| self.read(session))?
            .ok_or(Error::NoEntry)
    }

    fn update_attributes(&self, attributes: &HashMap<&str, &str>) -> Result<()> {
        let label = attributes.get("label").copied().unwrap_or(&self.label);
        self.sessions.with_retry(|session| {
            self.with_matches(session, |items| {
                items
                    .iter()
                    .try_for_each(|item| session.wait(item.set_label(label)))
            })
        })
    }

    fn delete_credential(&self) -> Result<()> {
        let deleted = self.sessions.with_retry(|session| {
            self.with_matches(session, |items| {
                for item in items {
                    session.wait(item.delete())?;
                }
                Ok(!items.is_empty())
            })
        })?;
        if deleted {
            Ok(())
        } else {
            Err(Error::NoEntry)
        }
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)
    }
}
