//! Secrets that were given out during the whole run, and places in which none of them may turn up: files, output, arguments
//! and environments of processes. The portals register them; homes, runs and terminals look.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::Engine;

/// So many bytes in the middle of a secret, however it is written, are told from chance.
const TRACE: usize = 12;

/// What kind of secret it is, by how the practice portal begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// What `token` is asked for.
    Access,
    /// What a person pastes.
    Code,
    /// Refresh tokens, client secrets, verifiers.
    Other,
}

type Traces = HashMap<[u8; TRACE], SecretKind>;

static REGISTERED: Mutex<Option<Traces>> = Mutex::new(None);

fn registered() -> MutexGuard<'static, Option<Traces>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on this text is a secret everywhere.
pub fn register(secret: &str) {
    let kind = match secret {
        access if access.starts_with("practice-access.") => SecretKind::Access,
        code if code.starts_with("practice-code.") => SecretKind::Code,
        _ => SecretKind::Other,
    };
    // Measurements are not disturbed.
    #[cfg(all(test, target_os = "linux"))]
    processes::watch();
    let mut registered = registered();
    let traces = registered.get_or_insert_default();
    for disguise in encodings(secret) {
        let start = disguise.len().saturating_sub(TRACE) / 2;
        if let Some(trace) = disguise[start..].first_chunk() {
            traces.insert(*trace, kind);
        }
    }
}

/// The kinds of secrets that stand there.
pub fn find(bytes: &[u8]) -> Vec<SecretKind> {
    let registered = registered();
    let Some(traces) = registered.as_ref() else {
        return Vec::new();
    };
    bytes
        .windows(TRACE)
        .filter_map(|window| traces.get(window).copied())
        .collect()
}

/// Panics where a secret stands there that is none of these kinds.
#[track_caller]
pub fn assert_no_secret_but(allowed: &[SecretKind], place: &str, bytes: &[u8]) {
    let found = find(bytes);
    let bad = found.iter().find(|kind| !allowed.contains(kind));
    assert!(bad.is_none(), "{place} holds a secret: {bad:?}");
}

/// A secret as itself, percent-encoded, in base64 at each alignment, backwards, and in UTF-16 both ways.
pub fn encodings(secret: &str) -> Vec<Vec<u8>> {
    let mut all = vec![secret.as_bytes().to_vec()];
    all.push(
        url::form_urlencoded::byte_serialize(secret.as_bytes())
            .collect::<String>()
            .into_bytes(),
    );
    all.push(secret.bytes().rev().collect());
    all.push(secret.encode_utf16().flat_map(u16::to_le_bytes).collect());
    all.push(secret.encode_utf16().flat_map(u16::to_be_bytes).collect());
    for shift in 0..3_usize {
        let mut padded = vec![b' '; shift];
        padded.extend_from_slice(secret.as_bytes());
        for encoded in [STANDARD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // The first and last characters depend on what stands around.
            let inner = encoded.trim_end_matches('=');
            if inner.len() > 12 {
                all.push(inner.as_bytes()[4..inner.len() - 4].to_vec());
            }
        }
    }
    all
}

/// What was seen in the process list; a test whose home ends tells it.
pub fn seen_in_processes() -> Option<String> {
    #[cfg(all(test, target_os = "linux"))]
    return processes::told();
    #[cfg(not(all(test, target_os = "linux")))]
    None
}

/// Arguments and environments of every process that runs in one of the tests' homes.
#[cfg(all(test, target_os = "linux"))]
mod processes {
    use std::fs;
    use std::path::Path;
    use std::sync::{Mutex, Once, PoisonError};
    use std::thread;
    use std::time::Duration;

    use super::{find, SecretKind};

    /// Where a user puts secrets on purpose.
    const OWN_VARIABLES: [&[u8]; 3] = [
        b"AGE_OAUTH_CLIENT_SECRET=",
        b"AGE_OAUTH_VAULT_KEY=",
        b"AGE_OAUTH_VAULT_PASSPHRASE=",
    ];

    static SEEN: Mutex<Option<String>> = Mutex::new(None);

    pub(super) fn watch() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            thread::spawn(|| loop {
                look();
                thread::sleep(Duration::from_millis(50));
            });
        });
    }

    pub(super) fn told() -> Option<String> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look() {
        let own = std::process::id().to_string();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_process = name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
            if is_process && name.to_string_lossy() != own {
                if let Some(what) = look_at(&entry.path()) {
                    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.get_or_insert(what);
                }
            }
        }
    }

    /// A process may end at any time, and then there is nothing to see.
    fn look_at(process: &Path) -> Option<String> {
        let environment = fs::read(process.join("environ")).ok()?;
        let variables = || environment.split(|byte| *byte == 0);
        if !variables().any(|one| one.starts_with(b"AGE_OAUTH_HOME=")) {
            return None;
        }
        let line = fs::read(process.join("cmdline")).ok()?;
        let program = String::from_utf8_lossy(line.split(|byte| *byte == 0).next()?).into_owned();
        let mut is_own_secret = false;
        for argument in line.split(|byte| *byte == 0) {
            let given = is_own_secret || argument.starts_with(b"--client-secret=");
            is_own_secret = argument == b"--client-secret";
            if !given && !find(argument).is_empty() {
                return Some(format!("an argument of {program}"));
            }
        }
        // What `exec` and `export-env` are there for.
        let is_ours = program.ends_with("age-oauth");
        for variable in variables() {
            let own = OWN_VARIABLES.iter().any(|name| variable.starts_with(name));
            let allowed = |kind: &SecretKind| *kind == SecretKind::Access && !is_ours;
            if !own && find(variable).iter().any(|kind| !allowed(kind)) {
                let name = variable.split(|byte| *byte == b'=').next()?;
                let name = String::from_utf8_lossy(name);
                return Some(format!("the variable {name} of {program}"));
            }
        }
        None
    }
}
