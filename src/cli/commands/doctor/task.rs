//! Tonight's scheduled task: what it will find that is otherwise than at a desk.

use std::ffi::OsString;

use super::{machine, DoctorContext, Finding};
use crate::env;

/// Variables that a shell's profile may set and a task does not have.
const VARIABLES: [&str; 7] = [
    env::AGE_OAUTH_HOME,
    env::AGE_OAUTH_KEYCHAIN,
    env::AGE_OAUTH_VAULT_KEY,
    env::AGE_OAUTH_VAULT_KEY_FILE,
    env::AGE_OAUTH_VAULT_PASSPHRASE,
    env::HTTPS_PROXY,
    env::SSL_CERT_FILE,
];

/// Where a task looks for a D-Bus session: not in the variable of a desktop session, but in the place of the user's own.
pub(super) fn bus() -> Option<(String, OsString)> {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        use std::os::unix::fs::MetadataExt;
        let user = std::fs::metadata(dirs::home_dir()?).ok()?.uid();
        let address = format!("unix:path=/run/user/{user}/bus");
        Some((env::DBUS_SESSION_BUS_ADDRESS.to_owned(), address.into()))
    }
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    None
}

pub(super) fn look(doctor: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    let set: Vec<_> = VARIABLES
        .into_iter()
        .filter(|name| doctor.context.environment.var_os(name).is_some())
        .collect();
    if !set.is_empty() {
        findings.push(Finding::warn(
            "task",
            format!("set here, and perhaps not for a task: {}", set.join(", ")),
            "set them in the task's own definition",
        ));
    }
    if cfg!(windows) {
        findings.push(logon(doctor));
        findings.push(Finding::ok(
            "task",
            format!("to look once as a task does: {}", schtasks()),
        ));
    }
    findings
}

/// How this process was logged on, by the well-known groups that Windows puts it in.
fn logon(doctor: &DoctorContext) -> Finding {
    match Logon::of(&doctor.logon_groups) {
        Some(Logon::Batch) => Finding::ok(
            "task",
            "this is a batch logon; with a stored password it reads Credential Manager, without one (S4U) it does not",
        ),
        Some(Logon::Interactive) => Finding::ok(
            "task",
            "this is an interactive logon; \"Run only when user is logged on\" reads the same Credential Manager",
        ),
        Some(Logon::Service) => Finding::warn(
            "task",
            "this is a service logon; a service's account has a Credential Manager of its own",
            "sign in as that account, or use the vault: age-oauth connections edit NAME --keychain vault",
        ),
        Some(Logon::Network) => Finding::warn(
            "task",
            "this is a network logon (SSH, WinRM); it has no credential set (error 1312)",
            "age-oauth connections edit NAME --keychain vault",
        ),
        None => Finding::ok("task", "Windows does not say how this process was logged on"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logon {
    Network,
    Batch,
    Service,
    Interactive,
}

impl Logon {
    /// By the identifiers of the groups; a batch logon may be in others' company.
    fn of(groups: &str) -> Option<Self> {
        let is_in = |sid: &str| {
            groups
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .any(|word| word == sid)
        };
        [
            ("S-1-5-3", Self::Batch),
            ("S-1-5-6", Self::Service),
            ("S-1-5-4", Self::Interactive),
            ("S-1-5-14", Self::Interactive),
            ("S-1-5-2", Self::Network),
        ]
        .into_iter()
        .find(|(sid, _)| is_in(sid))
        .map(|(_, logon)| logon)
    }
}

fn schtasks() -> String {
    format!(
        "schtasks /Create /TN \"age-oauth doctor\" /SC ONCE /ST 00:00 /F /RU \"%USERNAME%\" /RP * /TR \"'{}' doctor --as-task\" & schtasks /Run /TN \"age-oauth doctor\"",
        machine::own_path().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logon_is_told_by_its_groups_and_not_by_longer_names() {
        let line = |sid: &str| format!("\"NT-AUTORITÄT\\X\",\"Gruppe\",\"{sid}\",\"\"\r\n");
        for (sid, logon) in [
            ("S-1-5-3", Some(Logon::Batch)),
            ("S-1-5-4", Some(Logon::Interactive)),
            ("S-1-5-14", Some(Logon::Interactive)),
            ("S-1-5-6", Some(Logon::Service)),
            ("S-1-5-2", Some(Logon::Network)),
            ("S-1-5-32-544", None),
            ("S-1-5-21-3-4", None),
        ] {
            assert_eq!(Logon::of(&line(sid)), logon, "{sid}");
        }
        let both = line("S-1-5-4") + &line("S-1-5-3");
        assert_eq!(Logon::of(&both), Some(Logon::Batch));
        assert_eq!(Logon::of(""), None);
    }
}
