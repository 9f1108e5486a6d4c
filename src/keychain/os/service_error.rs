//! What the errors of the Secret Service and of D-Bus mean for a caller.

use std::io::ErrorKind;

use keyring::Error;
use secret_service::Error as ServiceError;

use super::error::StoreError;
use crate::error::KeychainReason;

impl From<ServiceError> for StoreError {
    fn from(error: ServiceError) -> Self {
        Self {
            reason: reason(&error),
            detail: error_name(&error).unwrap_or_else(|| error.to_string()),
        }
    }
}

fn reason(error: &ServiceError) -> KeychainReason {
    match error {
        ServiceError::Locked | ServiceError::Prompt | ServiceError::PromptDisconnected => {
            KeychainReason::Locked
        }
        ServiceError::Unavailable => KeychainReason::Missing,
        ServiceError::Zbus(zbus::Error::InputOutput(why))
        | ServiceError::ZbusFdo(zbus::fdo::Error::ZBus(zbus::Error::InputOutput(why)))
            if why.kind() == ErrorKind::TimedOut =>
        {
            KeychainReason::Timeout
        }
        other => error_name(other).map_or(KeychainReason::Refused, |name| reason_of(&name)),
    }
}

/// What the name of an error means that the bus or a service sent.
fn reason_of(name: &str) -> KeychainReason {
    if name == "org.freedesktop.Secret.Error.IsLocked" {
        return KeychainReason::Locked;
    }
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoServer" | "Disconnected") => {
            KeychainReason::Missing
        }
        // The bus knows a service of that name, and cannot start it, for example without a desktop.
        Some(name) if name.starts_with("Spawn.") => KeychainReason::Missing,
        Some("NoReply" | "Timeout" | "TimedOut") => KeychainReason::Timeout,
        Some("AccessDenied" | "AuthFailed") => KeychainReason::Denied,
        _ => KeychainReason::Refused,
    }
}

/// The name of an error that the bus or a service sent. Its text is not kept: a bus that denies
/// access quotes this program's command line, which can contain a secret.
fn error_name(error: &ServiceError) -> Option<String> {
    match error {
        ServiceError::Zbus(zbus::Error::MethodError(name, _, _)) => Some(name.to_string()),
        ServiceError::Zbus(zbus::Error::FDO(why)) => fdo_name(why),
        ServiceError::ZbusFdo(why) => fdo_name(why),
        _ => None,
    }
}

fn fdo_name(error: &zbus::fdo::Error) -> Option<String> {
    use zbus::DBusError as _;
    match error {
        zbus::fdo::Error::ZBus(zbus::Error::MethodError(name, _, _)) => Some(name.to_string()),
        // What this program itself found out.
        zbus::fdo::Error::ZBus(_) => None,
        other => Some(other.name().to_string()),
    }
}

impl StoreError {
    /// Whether the session may be one that the daemon has forgotten, or the bus connection a broken
    /// one. If the cause was another one, the second attempt in a new session fails in the same
    /// way.
    pub(super) fn is_stale(&self) -> bool {
        matches!(
            self.reason,
            KeychainReason::Refused | KeychainReason::Missing
        )
    }

    /// Whether the item that was found does not exist any more.
    pub(super) fn is_gone(&self) -> bool {
        // The name of the error: `error_name` gives it as the detail.
        matches!(
            &*self.detail,
            "org.freedesktop.DBus.Error.UnknownObject"
                | "org.freedesktop.Secret.Error.NoSuchObject"
        )
    }

    pub(super) fn into_keyring(self) -> Error {
        match self.reason {
            KeychainReason::Locked => Error::NoStorageAccess(Box::new(self)),
            _ => Error::PlatformFailure(Box::new(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A property that cannot be read fails with another type of error than a call that fails.
    #[test]
    fn the_name_of_an_error_decides_in_each_type_of_error() {
        use zbus::fdo::Error as Fdo;
        let text = String::new;
        for (error, reason) in [
            (Fdo::ServiceUnknown(text()), KeychainReason::Missing),
            (Fdo::NameHasNoOwner(text()), KeychainReason::Missing),
            (Fdo::SpawnChildExited(text()), KeychainReason::Missing),
            (Fdo::NoReply(text()), KeychainReason::Timeout),
            (Fdo::TimedOut(text()), KeychainReason::Timeout),
            (Fdo::AccessDenied(text()), KeychainReason::Denied),
            (Fdo::UnknownObject(text()), KeychainReason::Refused),
        ] {
            let name = fdo_name(&error);
            let as_property = zbus::Error::FDO(Box::new(error.clone()));
            for error in [ServiceError::ZbusFdo(error), as_property.into()] {
                let error = StoreError::from(error);
                assert_eq!(error.reason, reason, "{name:?}");
                let is_unknown = name
                    .as_deref()
                    .is_some_and(|name| name.ends_with("UnknownObject"));
                assert_eq!(error.is_gone(), is_unknown, "{name:?}");
                assert_eq!(Some(error.detail), name);
            }
        }
        let late = || zbus::Error::InputOutput(std::io::Error::from(ErrorKind::TimedOut).into());
        for error in [
            ServiceError::Zbus(late()),
            ServiceError::ZbusFdo(Fdo::ZBus(late())),
        ] {
            assert_eq!(StoreError::from(error).reason, KeychainReason::Timeout);
        }
    }
}
