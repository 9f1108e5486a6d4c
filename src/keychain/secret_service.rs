//! Our thin store for the Secret Service (GNOME Keyring, KWallet, KeePassXC, oo7), over the `secret-service` crate.
//!
//! Same attributes as the published keyring store (`service`, `username`), with three differences: it never prompts where
//! no person can see it, it opens its session again when the daemon was replaced, and it uses no session encryption. The
//! 1024-bit key agreement would cost two thirds of a read and hide nothing from a process that can ask the daemon itself.
//!
//! A call and the connection's own work take turns on the calling thread. Each on a thread of its own, they would spend
//! more time waking one another than the daemon spends on the answer.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::{poll_fn, Future};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use keyring::api::{CredentialApi, CredentialStoreApi};
use keyring::{Credential, CredentialStore, Entry, Error, Result};
use secret_service::{EncryptionType, Error as ServiceError, Item, SecretService};
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::{Address, Connection};

use super::os::{KeychainOptions, StoreError};
use crate::error::KeychainReason;

const CONTENT_TYPE: &str = "text/plain; charset=utf8";

/// The store. Connects at the first call.
pub(super) struct Store {
    conversation: Arc<ServiceSession>,
}

struct ServiceSession {
    session: Mutex<Option<Session>>,
    surroundings: KeychainOptions,
}

/// The service, and the connection that it is on.
struct Session {
    service: SecretService<'static>,
    connection: Connection,
}

/// One item, by its attributes.
struct Credentials {
    conversation: Arc<ServiceSession>,
    service: String,
    user: String,
    label: String,
    /// The object on the bus, where one of several is meant.
    only: Option<String>,
}

impl Store {
    pub(super) fn open(surroundings: KeychainOptions) -> Arc<CredentialStore> {
        Arc::new(Self {
            conversation: Arc::new(ServiceSession {
                session: Mutex::new(None),
                surroundings,
            }),
        })
    }

    fn entry(&self, service: &str, user: &str, label: &str, only: Option<String>) -> Entry {
        Entry::new_with_credential(Arc::new(Credentials {
            conversation: Arc::clone(&self.conversation),
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

    /// Each entry is one item, also where several share a name.
    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let found = self.conversation.with_retry(|session| {
            let found = session.wait(session.service.search_items(spec.clone()))?;
            found
                .unlocked
                .iter()
                .chain(&found.locked)
                .map(|item| {
                    let attributes = session.wait(item.get_attributes())?;
                    Ok((attributes, item.item_path.to_string()))
                })
                .collect::<Said<Vec<_>>>()
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

type Said<T> = std::result::Result<T, StoreError>;

impl Session {
    fn wait<T>(&self, call: impl Future<Output = std::result::Result<T, ServiceError>>) -> Said<T> {
        Ok(wait(&self.connection, call)?)
    }
}

/// Waits for the call while the connection does its work on this same thread.
fn wait<T>(connection: &Connection, call: impl Future<Output = T>) -> T {
    zbus::block_on(async {
        let mut call = pin!(call);
        let mut work = pin!(async {
            loop {
                connection.executor().tick().await;
            }
        });
        poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => work.as_mut().poll(cx),
        })
        .await
    })
}

impl ServiceSession {
    /// Runs `call` in the session, which is opened where there is none, and once more in a new one where the daemon no
    /// longer knows it.
    fn with_retry<T>(&self, call: impl Fn(&Session) -> Said<T>) -> Result<T> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = session.is_some();
        let mut outcome = self.in_session(&mut session, &call);
        if was_open && outcome.as_ref().is_err_and(StoreError::is_stale) {
            *session = None;
            outcome = self.in_session(&mut session, &call);
        }
        outcome.map_err(StoreError::into_keyring)
    }

    fn in_session<T>(
        &self,
        session: &mut Option<Session>,
        call: &impl Fn(&Session) -> Said<T>,
    ) -> Said<T> {
        let open = match session.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        call(session.insert(open))
    }

    fn connect(&self) -> Said<Session> {
        let connection = bus(self.surroundings.bus.as_deref())
            .and_then(|builder| {
                let builder = builder
                    .method_timeout(self.surroundings.patience)
                    .internal_executor(false);
                zbus::block_on(builder.build())
            })
            .map_err(|error| match StoreError::from(ServiceError::from(error)) {
                // No bus at all is no keychain at all.
                StoreError {
                    reason: KeychainReason::Refused,
                    detail,
                } => StoreError {
                    reason: KeychainReason::Missing,
                    detail: format!("no D-Bus session: {detail}"),
                },
                other => other,
            })?;
        let service =
            SecretService::connect_with_existing(EncryptionType::Plain, connection.clone());
        Ok(Session {
            service: wait(&connection, service)?,
            connection,
        })
    }
}

/// `DBUS_SESSION_BUS_ADDRESS` may list several addresses; they are alternatives, and the first one is the preferred.
fn bus(address: Option<&str>) -> zbus::Result<Builder<'static>> {
    let address = match address.and_then(|list| list.split(';').find(|one| !one.is_empty())) {
        Some(address) => address.parse()?,
        None => Address::session()?,
    };
    match address.transport() {
        // The usual kind. Left to itself, the builder would start a thread for it.
        Transport::Unix(unix) => match unix.path() {
            UnixSocket::File(path) => Ok(Builder::async_io_unix_stream(UnixStream::connect(path)?)),
            _ => Builder::address(address),
        },
        _ => Builder::address(address),
    }
}

impl Credentials {
    fn attributes(&self) -> HashMap<&str, &str> {
        HashMap::from([("service", &*self.service), ("username", &*self.user)])
    }

    /// What is of this name: the unlocked items, and the locked ones.
    fn find<'a>(&self, session: &'a Session) -> Said<(Vec<Item<'a>>, Vec<Item<'a>>)> {
        let found = session.wait(session.service.search_items(self.attributes()))?;
        let meant = |item: &Item<'_>| {
            let only = self.only.as_deref();
            only.is_none_or(|path| item.item_path.as_str() == path)
        };
        let pick = |items: Vec<Item<'a>>| items.into_iter().filter(meant).collect();
        Ok((pick(found.unlocked), pick(found.locked)))
    }

    /// Runs `call` on all items that match; locked ones are unlocked first, if a person can see the prompt.
    fn with_matches<T>(&self, session: &Session, call: impl Fn(&[Item<'_>]) -> Said<T>) -> Said<T> {
        let (unlocked, locked) = self.find(session)?;
        self.unlock(session, &locked)?;
        let all: Vec<_> = unlocked.into_iter().chain(locked).collect();
        call(&all)
    }

    /// Nothing to do where nothing is locked; without a person that is an error, and no prompt is shown.
    fn unlock(&self, session: &Session, items: &[Item<'_>]) -> Said<()> {
        if items.is_empty() {
            return Ok(());
        }
        if !self.conversation.surroundings.interactive {
            return Err(locked());
        }
        let items: Vec<_> = items.iter().collect();
        session.wait(session.service.unlock_all(&items))
    }

    /// Two round trips: search, and the secret of the one item found.
    fn read(&self, session: &Session) -> Said<Option<Vec<u8>>> {
        let (unlocked, locked) = self.find(session)?;
        if unlocked.is_empty() {
            self.unlock(session, &locked)?;
        }
        match (&*unlocked, &*locked) {
            ([], []) => Ok(None),
            ([only], []) | ([], [only]) => session.wait(only.get_secret()).map(Some),
            (open, shut) => Err(StoreError {
                reason: KeychainReason::Ambiguous,
                detail: format!("{} items of one name", open.len() + shut.len()),
            }),
        }
    }

    fn write(&self, session: &Session, secret: &[u8]) -> Said<()> {
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
        // Never another collection: the one named `session` is forgotten at logout.
        let collection = wait(
            &session.connection,
            session.service.get_default_collection(),
        )
        .map_err(|error| match error {
            ServiceError::NoResult => no_default(),
            other => other.into(),
        })?;
        if session.wait(collection.is_locked())? {
            if !self.conversation.surroundings.interactive {
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

fn no_default() -> StoreError {
    StoreError {
        reason: KeychainReason::Missing,
        detail: "it has no default collection; create one in its own program".into(),
    }
}

fn locked() -> StoreError {
    StoreError {
        reason: KeychainReason::Locked,
        detail: "its collection is locked, and nobody is there to unlock it".into(),
    }
}

impl CredentialApi for Credentials {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.conversation
            .with_retry(|session| self.write(session, secret))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.conversation
            .with_retry(|session| self.read(session))?
            .ok_or(Error::NoEntry)
    }

    fn update_attributes(&self, attributes: &HashMap<&str, &str>) -> Result<()> {
        let label = attributes.get("label").copied().unwrap_or(&self.label);
        self.conversation.with_retry(|session| {
            self.with_matches(session, |items| {
                items
                    .iter()
                    .try_for_each(|item| session.wait(item.set_label(label)))
            })
        })
    }

    fn delete_credential(&self) -> Result<()> {
        let deleted = self.conversation.with_retry(|session| {
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

impl From<ServiceError> for StoreError {
    fn from(error: ServiceError) -> Self {
        let reason = match &error {
            ServiceError::Locked | ServiceError::Prompt | ServiceError::PromptDisconnected => {
                KeychainReason::Locked
            }
            ServiceError::Unavailable
            | ServiceError::ZbusFdo(zbus::fdo::Error::ServiceUnknown(_)) => KeychainReason::Missing,
            ServiceError::Zbus(why) => by_bus(why),
            ServiceError::ZbusFdo(zbus::fdo::Error::NoReply(_)) => KeychainReason::Timeout,
            _ => KeychainReason::Refused,
        };
        Self {
            reason,
            detail: error.to_string(),
        }
    }
}

fn by_bus(error: &zbus::Error) -> KeychainReason {
    match error {
        zbus::Error::InputOutput(why) if why.kind() == std::io::ErrorKind::TimedOut => {
            KeychainReason::Timeout
        }
        zbus::Error::MethodError(name, _, _) => match name.as_str() {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner" => KeychainReason::Missing,
            "org.freedesktop.Secret.Error.IsLocked" => KeychainReason::Locked,
            "org.freedesktop.DBus.Error.NoReply" => KeychainReason::Timeout,
            _ => KeychainReason::Refused,
        },
        _ => KeychainReason::Refused,
    }
}

impl StoreError {
    /// What a call brings in a session that the daemon has forgotten, or on a bus connection that broke. A second try in a
    /// new session costs nothing if it was something else.
    fn is_stale(&self) -> bool {
        matches!(
            self.reason,
            KeychainReason::Refused | KeychainReason::Missing
        )
    }

    fn into_keyring(self) -> Error {
        match self.reason {
            KeychainReason::Locked => Error::NoStorageAccess(Box::new(self)),
            _ => Error::PlatformFailure(Box::new(self)),
        }
    }
}
