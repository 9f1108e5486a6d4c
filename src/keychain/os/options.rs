//! How the system's keychain is used.

use std::ffi::OsString;
use std::time::Duration;

/// What the caller decides about the system's keychain.
#[derive(Clone)]
// Only the Secret Service uses the D-Bus address and the timeout.
#[cfg_attr(any(windows, target_os = "macos"), allow(dead_code))]
pub(in crate::keychain) struct KeychainOptions {
    /// A person can see a prompt of the keychain. Otherwise none is shown.
    pub(in crate::keychain) interactive: bool,
    /// How long one answer may take.
    pub(in crate::keychain) timeout: Duration,
    /// The address of the D-Bus session, where it is not the usual one.
    pub(in crate::keychain) dbus_address: Option<OsString>,
}
