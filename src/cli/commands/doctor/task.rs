//! Checks for `--as-task`: what a scheduled task finds that differs from a desktop session.

use std::ffi::OsString;

use super::{account, machine, DoctorContext, Finding};
use crate::cli::shared::logon::Logon;
use crate::env;

/// Variables that a shell's profile may set, but that a task does not see.
const VARIABLES: [&str; 7] = [
    env::AGE_OAUTH_HOME,
    env::AGE_OAUTH_KEYCHAIN,
    env::AGE_OAUTH_VAULT_KEY,
    env::AGE_OAUTH_VAULT_KEY_FILE,
    env::AGE_OAUTH_VAULT_PASSPHRASE,
    env::HTTPS_PROXY,
    env::SSL_CERT_FILE,
];

/// The D-Bus address that a task uses: that of the user's bus, in place of the desktop session's.
#[allow(clippy::unnecessary_wraps)] // Other systems have no such bus.
pub(super) fn dbus_address() -> Option<(String, OsString)> {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let user = rustix::process::geteuid().as_raw();
        let address = format!("unix:path=/run/user/{user}/bus");
        Some((env::DBUS_SESSION_BUS_ADDRESS.to_owned(), address.into()))
    }
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    None
}

pub(super) fn checks(doctor: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(name) = &doctor.account {
        findings.extend(account::checks(doctor, name));
    }
    let set: Vec<_> = VARIABLES
        .into_iter()
        .filter(|name| doctor.context.environment.var_os(name).is_some())
        .collect();
    if !set.is_empty() {
        let place = match doctor.account {
            Some(_) => "for these checks",
            None => "in this session",
        };
        findings.push(Finding::warn(
            "task",
            format!(
                "set {place}, but perhaps not for a task: {}",
                set.join(", ")
            ),
            "set them in the definition of the task",
        ));
    }
    if cfg!(windows) {
        findings.push(logon(doctor));
        findings.push(Finding::ok(
            "task",
            format!(
                "to run these checks once as a task: {}",
                schtasks("%USERNAME%")
            ),
        ));
    }
    findings
}

/// How this process was logged on, by the well-known groups that Windows puts it in.
fn logon(doctor: &DoctorContext) -> Finding {
    match doctor.logon {
        Some(Logon::Batch) => Finding::ok(
            "task",
            "this is a batch logon; it can read Credential Manager if the task stores the password, and cannot without it (S4U)",
        ),
        Some(Logon::Interactive) => Finding::ok(
            "task",
            "this is an interactive logon; a task with \"Run only when user is logged on\" reads the same Credential Manager",
        ),
        Some(Logon::Service) => Finding::warn(
            "task",
            "this is a service logon; the account of the service has its own Credential Manager",
            "sign in as that account, or use the vault: age-oauth connections edit NAME --keychain vault",
        ),
        Some(Logon::Network) => Finding::warn(
            "task",
            "this is a network logon (SSH, WinRM), which cannot use Credential Manager (error 1312)",
            "age-oauth connections edit NAME --keychain vault",
        ),
        None => Finding::ok("task", "Windows does not report how this process was logged on"),
    }
}

/// The commands that run the checks once as a task of this account.
pub(super) fn schtasks(account: &str) -> String {
    format!(
        "schtasks /Create /TN \"age-oauth doctor\" /SC ONCE /ST 00:00 /F /RU \"{account}\" /RP * /TR \"'{}' doctor --as-task\" & schtasks /Run /TN \"age-oauth doctor\"",
        machine::own_path().display()
    )
}
