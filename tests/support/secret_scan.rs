//! Searches files, output, arguments and environments of processes for every secret of the test
//! run. Portals register their secrets; homes, runs and terminals search for them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::Engine;

/// This many bytes from the middle of a secret, in each encoding, cannot occur by chance.
const TRACE: usize = 12;

/// The kind of a secret, by the prefix that the practice portal gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An access token: what `token` prints.
    Access,
    /// An authorization code: what a user pastes.
    Code,
    /// Refresh tokens, client secrets, verifiers.
    Other,
}

type Traces = HashMap<[u8; TRACE], SecretKind>;

static REGISTERED: Mutex<Option<Traces>> = Mutex::new(None);

fn registered() -> MutexGuard<'static, Option<Traces>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a secret for every later search.
pub fn register(secret: &str) {
    let kind = match secret {
        access if access.starts_with("practice-access.") => SecretKind::Access,
        code if code.starts_with("practice-code.") => SecretKind::Code,
        _ => SecretKind::Other,
    };
    // Not in the benchmark, which it would disturb.
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

/// Registers a private key in PEM (PKCS#8) by a part that is secret: its beginning is the same for
/// all keys of a kind, and its public half is in the certificate.
pub fn register_key(pem: &str) {
    let (_, key) = pem.split_once("PRIVATE KEY-----\n").expect("a key");
    let lines: Vec<_> = key
        .lines()
        .take_while(|line| !line.starts_with('-'))
        .collect();
    // A key of an elliptic curve begins at the 48th character; of RSA, the second half is secret.
    register(match lines.len() {
        0..8 => &lines[0][50..],
        count => lines[count * 2 / 3],
    });
}

/// The kinds of secrets that occur in these bytes.
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

/// Panics if a secret of any other kind occurs in these bytes.
#[track_caller]
pub fn assert_no_secret_but(allowed: &[SecretKind], place: &str, bytes: &[u8]) {
    let found = find(bytes);
    let bad = found.iter().find(|kind| !allowed.contains(kind));
    assert!(bad.is_none(), "{place} holds a secret: {bad:?}");
}

/// A secret as itself, percent-encoded, in base64 at each alignment, backwards, and in UTF-16 both
/// ways.
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
            // The first and last characters depend on the neighbouring bytes.
            let inner = encoded.trim_end_matches('=');
            if inner.len() > 12 {
                all.push(inner.as_bytes()[4..inner.len() - 4].to_vec());
            }
        }
    }
    all
}

/// Adds a home whose processes are searched, too.
#[allow(unused_variables)] // Only integration tests on Linux search processes.
pub fn register_home(folder: &Path) {
    #[cfg(all(test, target_os = "linux"))]
    processes::add_home(folder);
}

/// What was found in the process list; a home that is dropped reports it.
pub fn seen_in_processes() -> Option<String> {
    #[cfg(all(test, target_os = "linux"))]
    return processes::found();
    #[cfg(not(all(test, target_os = "linux")))]
    None
}

/// Searches arguments and environments of every process in a home of this test run. Other runs on
/// the same machine are left alone; they search for themselves.
#[cfg(all(test, target_os = "linux"))]
mod processes {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::{Mutex, Once, PoisonError};
    use std::thread;
    use std::time::Duration;

    use super::{find, SecretKind};

    /// Variables into which users put secrets on purpose.
    const OWN_VARIABLES: [&[u8]; 3] = [
        b"AGE_OAUTH_CLIENT_SECRET=",
        b"AGE_OAUTH_VAULT_KEY=",
        b"AGE_OAUTH_VAULT_PASSPHRASE=",
    ];

    /// The folders of all homes so far.
    static HOMES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    static FOUND: Mutex<Option<String>> = Mutex::new(None);

    pub(super) fn add_home(folder: &Path) {
        let mut homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
        homes.push(folder.as_os_str().as_bytes().to_vec());
    }

    /// Whether a variable names a folder in one of the homes.
    fn is_in_a_home(variable: &[u8]) -> bool {
        let path = ["HOME=", "AGE_OAUTH_HOME="]
            .iter()
            .find_map(|name| variable.strip_prefix(name.as_bytes()));
        let homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
        path.is_some_and(|path| homes.iter().any(|home| path.starts_with(home)))
    }

    pub(super) fn watch() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            thread::spawn(|| loop {
                scan();
                thread::sleep(Duration::from_millis(50));
            });
        });
    }

    pub(super) fn found() -> Option<String> {
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn scan() {
        let own = std::process::id().to_string();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_process = name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
            if is_process && name.to_string_lossy() != own {
                if let Some(what) = scan_process(&entry.path()) {
                    let mut first = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(what);
                }
            }
        }
    }

    /// A process may end at any time; then there is nothing to find.
    fn scan_process(process: &Path) -> Option<String> {
        let environment = fs::read(process.join("environ")).ok()?;
        let variables = || environment.split(|byte| *byte == 0);
        let has_store = variables().any(|one| one.starts_with(b"AGE_OAUTH_HOME="));
        if !has_store || !variables().any(is_in_a_home) {
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
        // Children of `exec` and shells after `export-env` have the access token.
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
