//! Our thin store for the Secret Service (GNOME Keyring, KWallet, KeePassXC, oo7), over the `secret-service` crate.
//!
//! Same attributes as the published keyring store (`service`, `username`), with three differences: it never prompts where
//! no person can see it, it opens its session again when the daemon was replaced, and it uses no session encryption. The
//! 1024-bit key agreement would cost two thirds of a read and hide nothing from a process that can ask the daemon itself.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use keyring::api::{CredentialApi, CredentialStoreApi};
use keyring::{Credential, CredentialStore, Entry, Error, Result};
use secret_service::blocking::{Item, SecretService};
use secret_service::{EncryptionType, Error as ServiceError};

use super::os::{Surroundings, Trouble};
use crate::error::KeychainReason;

const CONTENT_TYPE: &str = "text/plain; charset=utf8";

/// The store. Connects at the first call.
pub(super) struct Store {
    conversation: Arc<Conversation>,
}

struct Conversation {
    service: Mutex<Option<SecretService<'static>>>,
    surroundings: Surroundings,
}

/// One item, by its attributes.
struct Credentials {
    conversation: Arc<Conversation>,
    service: String,
    user: String,
    label: String,
}

impl Store {
    pub(super) fn open(surroundings: Surroundings) -> Arc<CredentialStore> {
        Arc::new(Self {
            conversation: Arc::new(Conversation {
                service: Mutex::new(None),
                surroundings,
            }),
        })
    }

    fn entry(&self, service: &str, user: &str, label: &str) -> Entry {
        Entry::new_with_credential(Arc::new(Credentials {
            conversation: Arc::clone(&self.conversation),
            service: service.to_owned(),
            user: user.to_owned(),
            label: label.to_owned(),
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
        Ok(self.entry(service, user, label))
    }

    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let found = self.conversation.talk(|service| {
            let found = service.search_items(spec.clone())?;
            found
                .unlocked
                .iter()
                .chain(&found.locked)
                .map(Item::get_attributes)
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(Trouble::from)
        })?;
        Ok(found
            .iter()
            .filter_map(|attributes| {
                let (service, user) = (attributes.get("service")?, attributes.get("username")?);
                Some(self.entry(service, user, user))
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

type Said<T> = std::result::Result<T, Trouble>;

impl Conversation {
    /// Runs `call` in the session, which is opened where there is none, and once more in a new one where the daemon no
    /// longer knows it.
    fn talk<T>(&self, call: impl Fn(&SecretService<'_>) -> Said<T>) -> Result<T> {
        let mut session = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = session.is_some();
        let mut outcome = self.in_session(&mut session, &call);
        if was_open && outcome.as_ref().is_err_and(Trouble::is_stale) {
            *session = None;
            outcome = self.in_session(&mut session, &call);
        }
        outcome.map_err(Trouble::into_keyring)
    }

    fn in_session<T>(
        &self,
        session: &mut Option<SecretService<'static>>,
        call: &impl Fn(&SecretService<'_>) -> Said<T>,
    ) -> Said<T> {
        let service = match session.take() {
            Some(service) => service,
            None => self.connect()?,
        };
        call(session.insert(service))
    }

    fn connect(&self) -> Said<SecretService<'static>> {
        let connection = bus(self.surroundings.bus.as_deref())
            .and_then(|builder| builder.method_timeout(self.surroundings.patience).build())
            .map_err(|error| match Trouble::from(ServiceError::from(error)) {
                // No bus at all is no keychain at all.
                Trouble {
                    reason: KeychainReason::Refused,
                    detail,
                } => Trouble {
                    reason: KeychainReason::Missing,
                    detail: format!("no D-Bus session: {detail}"),
                },
                other => other,
            })?;
        Ok(SecretService::connect_with_existing(
            EncryptionType::Plain,
            connection,
        )?)
    }
}

/// `DBUS_SESSION_BUS_ADDRESS` may list several addresses; they are alternatives, and the first one is the preferred.
fn bus(address: Option<&str>) -> zbus::Result<zbus::blocking::connection::Builder<'static>> {
    match address.and_then(|list| list.split(';').find(|one| !one.is_empty())) {
        Some(address) => zbus::blocking::connection::Builder::address(address),
        None => zbus::blocking::connection::Builder::session(),
    }
}

impl Credentials {
    fn attributes(&self) -> HashMap<&str, &str> {
        HashMap::from([("service", &*self.service), ("username", &*self.user)])
    }

    /// Runs `call` on all items that match; locked ones are unlocked first, if a person can see the prompt.
    fn with_matches<T>(
        &self,
        service: &SecretService<'_>,
        call: impl Fn(&[Item<'_>]) -> Said<T>,
    ) -> Said<T> {
        let found = service.search_items(self.attributes())?;
        self.unlock(service, &found.locked)?;
        let all: Vec<_> = found.unlocked.into_iter().chain(found.locked).collect();
        call(&all)
    }

    /// Nothing to do where nothing is locked; without a person that is an error, and no prompt is shown.
    fn unlock(&self, service: &SecretService<'_>, items: &[Item<'_>]) -> Said<()> {
        if items.is_empty() {
            return Ok(());
        }
        if !self.conversation.surroundings.person {
            return Err(locked());
        }
        Ok(service.unlock_all(&items.iter().collect::<Vec<_>>())?)
    }

    /// Two round trips: search, and the secret of the one item found.
    fn read(&self, service: &SecretService<'_>) -> Said<Option<Vec<u8>>> {
        let found = service.search_items(self.attributes())?;
        if found.unlocked.is_empty() {
            self.unlock(service, &found.locked)?;
        }
        match (&*found.unlocked, &*found.locked) {
            ([], []) => Ok(None),
            ([only], []) | ([], [only]) => Ok(Some(only.get_secret()?)),
            (open, shut) => Err(Trouble {
                reason: KeychainReason::Ambiguous,
                detail: format!("{} items of one name", open.len() + shut.len()),
            }),
        }
    }

    fn write(&self, service: &SecretService<'_>, secret: &[u8]) -> Said<()> {
        let written = self.with_matches(service, |items| {
            let Some((first, others)) = items.split_first() else {
                return Ok(false);
            };
            first.set_secret(secret, CONTENT_TYPE)?;
            first.set_label(&self.label)?;
            for other in others {
                other.delete()?;
            }
            Ok(true)
        })?;
        if written {
            return Ok(());
        }
        // Never another collection: the one named `session` is forgotten at logout.
        let collection = service
            .get_default_collection()
            .map_err(|error| match error {
                ServiceError::NoResult => no_default(),
                other => other.into(),
            })?;
        if collection.is_locked()? {
            if !self.conversation.surroundings.person {
                return Err(locked());
            }
            collection.unlock()?;
        }
        collection.create_item(&self.label, self.attributes(), secret, true, CONTENT_TYPE)?;
        Ok(())
    }
}

fn no_default() -> Trouble {
    Trouble {
        reason: KeychainReason::Missing,
        detail: "it has no default collection; create one in its own program".into(),
    }
}

fn locked() -> Trouble {
    Trouble {
        reason: KeychainReason::Locked,
        detail: "its collection is locked, and nobody is there to unlock it".into(),
    }
}

impl CredentialApi for Credentials {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.conversation
            .talk(|service| self.write(service, secret))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.conversation
            .talk(|service| self.read(service))?
            .ok_or(Error::NoEntry)
    }

    fn update_attributes(&self, attributes: &HashMap<&str, &str>) -> Result<()> {
        let label = attributes.get("label").copied().unwrap_or(&self.label);
        self.conversation.talk(|service| {
            self.with_matches(service, |items| {
                items.iter().try_for_each(|item| Ok(item.set_label(label)?))
            })
        })
    }

    fn delete_credential(&self) -> Result<()> {
        let deleted = self.conversation.talk(|service| {
            self.with_matches(service, |items| {
                for item in items {
                    item.delete()?;
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

impl From<ServiceError> for Trouble {
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

impl Trouble {
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
