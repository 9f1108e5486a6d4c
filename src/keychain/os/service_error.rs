//! What the errors of the Secret Service and of D-Bus mean for a caller.

use keyring::Error;
use secret_service::Error as ServiceError;

use super::error::StoreError;
use crate::error::KeychainReason;

impl From<ServiceError> for StoreError {
    fn from(error: ServiceError) -> Self {
        let reason = match &error {
            ServiceError::Locked | ServiceError::Prompt | ServiceError::PromptDisconnected => {
                KeychainReason::Locked
            }
            ServiceError::Unavailable
            | ServiceError::ZbusFdo(zbus::fdo::Error::ServiceUnknown(_)) => KeychainReason::Missing,
            ServiceError::Zbus(why) => bus_reason(why),
            ServiceError::ZbusFdo(zbus::fdo::Error::NoReply(_)) => KeychainReason::Timeout,
            ServiceError::ZbusFdo(zbus::fdo::Error::AccessDenied(_)) => KeychainReason::Denied,
            _ => KeychainReason::Refused,
        };
        Self {
            reason,
            detail: detail(&error),
        }
    }
}

const ACCESS_DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

/// What an error of D-Bus says. A bus that denies access quotes this program's command line, which
/// can contain a secret; so of errors that the bus or a service sent, only the name is kept.
fn detail(error: &ServiceError) -> String {
    let name = match error {
        ServiceError::Zbus(zbus::Error::MethodError(name, _, _)) => Some(name.to_string()),
        ServiceError::Zbus(zbus::Error::FDO(why)) => fdo_name(why),
        ServiceError::ZbusFdo(why) => fdo_name(why),
        _ => None,
    };
    name.unwrap_or_else(|| error.to_string())
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

fn bus_reason(error: &zbus::Error) -> KeychainReason {
    match error {
        zbus::Error::InputOutput(why) if why.kind() == std::io::ErrorKind::TimedOut => {
            KeychainReason::Timeout
        }
        zbus::Error::MethodError(name, _, _) => match name.as_str() {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner" => KeychainReason::Missing,
            "org.freedesktop.Secret.Error.IsLocked" => KeychainReason::Locked,
            "org.freedesktop.DBus.Error.NoReply" => KeychainReason::Timeout,
            ACCESS_DENIED => KeychainReason::Denied,
            _ => KeychainReason::Refused,
        },
        zbus::Error::FDO(why) if matches!(**why, zbus::fdo::Error::AccessDenied(_)) => {
            KeychainReason::Denied
        }
        _ => KeychainReason::Refused,
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

    pub(super) fn into_keyring(self) -> Error {
        match self.reason {
            KeychainReason::Locked => Error::NoStorageAccess(Box::new(self)),
            _ => Error::PlatformFailure(Box::new(self)),
        }
    }
}
