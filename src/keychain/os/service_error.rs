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
            _ => KeychainReason::Refused,
        };
        Self {
            reason,
            detail: error.to_string(),
        }
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
            _ => KeychainReason::Refused,
        },
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
