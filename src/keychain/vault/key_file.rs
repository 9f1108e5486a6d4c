//! Key files: who may read and change one, and what is in it.

use std::fs::File;
use std::path::Path;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use zeroize::Zeroizing;

use super::error::{bad_key, from_files, unsafe_key};
use super::keys::{random_key, Key, KEY_LEN};
use super::Result;
use crate::context::Environment;
use crate::error::{Error, FileAction, KeychainReason};
use crate::files;
use crate::policy::MAX_VAULT_KEY_FILE_BYTES;
use crate::secret::Secret;

/// The keys in the program's own key file. Usually one; more while other vaults, or a change of the
/// key that was interrupted, still need an old one.
pub(super) fn keys_in(path: &Path, environment: &Environment) -> Result<Option<Vec<Key>>> {
    let Some(file) = from_files(files::open(path))? else {
        return Ok(None);
    };
    if !files::is_in_boundary(path, environment) {
        ensure_private(&file, path)?;
    }
    let bytes = from_files(files::read_open(file, path, MAX_VAULT_KEY_FILE_BYTES))?;
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(bytes);
    match decode(&bytes) {
        Some(keys) => Ok(Some(keys)),
        None => Err(bad_key(&path.display().to_string())),
    }
}

/// The keys in a file that a person named. Links are followed there, because containers mount their
/// secrets behind links.
pub(super) fn keys_in_named(path: &Path, environment: &Environment) -> Result<Option<Vec<Key>>> {
    match path.canonicalize() {
        Ok(real) => keys_in(&real, environment),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => from_files(Err(Error::file(FileAction::Read, path)(why))),
    }
}

/// The first key in a file that a person named; a new one where the file does not exist.
pub(super) fn named_key(path: &Path, environment: &Environment) -> Result<Key> {
    let first = |keys: Option<Vec<Key>>| keys.and_then(|keys| keys.into_iter().next());
    if let Some(key) = first(keys_in_named(path, environment)?) {
        return Ok(key);
    }
    if let Some(key) = create(path, environment)? {
        return Ok(key);
    }
    // Another process created the file since it was read.
    first(keys_in_named(path, environment)?).ok_or_else(|| bad_key(&path.display().to_string()))
}

/// A new key in a new file; `None` where the file exists. On Windows, a new file has the access
/// list of its folder. A file that others may read is removed again, before anything is sealed.
pub(super) fn create(path: &Path, environment: &Environment) -> Result<Option<Key>> {
    let key = random_key()?;
    if !from_files(files::create_new(path, &encode(&[&key])))? {
        return Ok(None);
    }
    match keys_in(path, environment) {
        Err(error) if error.reason == KeychainReason::UnsafeKey => {
            from_files(files::remove(path))?;
            Err(error)
        }
        Err(_) | Ok(_) => Ok(Some(key)),
    }
}

/// A key that other users could read protects nothing, and one that they could replace seals the
/// vault with a key that they know.
#[cfg(unix)]
fn ensure_private(file: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let found = file.metadata().map_err(Error::file(FileAction::Read, path));
    let found = from_files(found)?;
    let user = rustix::process::geteuid().as_raw();
    match problem(found.uid(), found.mode(), user) {
        None => Ok(()),
        Some(why) => Err(unsafe_key(path, &why)),
    }
}

/// By the access list. Windows closes the profile of a user to others, so that it is read only for
/// a file elsewhere. A list that cannot be read is not taken for a private one.
#[cfg(windows)]
fn ensure_private(_: &File, path: &Path) -> Result<()> {
    match files::admitted_stranger(path) {
        Ok(None) => Ok(()),
        Ok(Some(who)) => Err(unsafe_key(
            path,
            &format!("its access list lets others read or change it: {who}"),
        )),
        Err(why) => Err(unsafe_key(
            path,
            &format!("who may read it cannot be found out ({why})"),
        )),
    }
}

/// What is wrong with a key file of this owner and mode, for a process of `user`.
#[cfg(unix)]
fn problem(owner: u32, mode: u32, user: u32) -> Option<String> {
    const ROOT: u32 = 0;
    let mode = mode & 0o777;
    if owner != user && owner != ROOT {
        return Some(format!("it belongs to another user ({owner})"));
    }
    (mode & files::mode_of_others(owner) != 0)
        .then(|| format!("other users may read or change it (mode {mode:04o})"))
}

/// The keys in a file's content: 32 raw bytes, or lines with one key each.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Key>> {
    if let Ok(raw) = <[u8; KEY_LEN]>::try_from(bytes) {
        return Some(vec![Zeroizing::new(raw)]);
    }
    let text = Secret::from_file(bytes.to_vec())?;
    let lines = text.expose().lines().map(str::trim);
    let keys: Option<Vec<Key>> = lines
        .filter(|line| !line.is_empty())
        .map(decode_line)
        .collect();
    keys.filter(|keys| !keys.is_empty())
}

/// 32 bytes as 64 hexadecimal digits, or in base64. 64 digits in base64 would be 48 bytes, so the
/// two cannot be confused.
fn decode_line(line: &str) -> Option<Key> {
    if line.len() == 2 * KEY_LEN && line.is_ascii() {
        return decode_hex(line);
    }
    let raw = Zeroizing::new(STANDARD.decode(line).ok()?);
    let key = <[u8; KEY_LEN]>::try_from(raw.as_slice()).ok()?;
    Some(Zeroizing::new(key))
}

fn decode_hex(digits: &str) -> Option<Key> {
    let mut key: Key = Zeroizing::new([0; KEY_LEN]);
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let [high, low] = *pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(16 * digit(high)? + digit(low)?).ok()?;
    }
    Some(key)
}

/// `source` names the text in an error.
pub(super) fn decode_text(text: &Secret, source: &str) -> Result<Key> {
    decode_line(text.expose().trim()).ok_or_else(|| bad_key(source))
}

/// A key file's content: one line of base64 per key.
pub(super) fn encode(keys: &[&Key]) -> Zeroizing<Vec<u8>> {
    const LINE: usize = KEY_LEN.div_ceil(3) * 4 + 1;
    // With the full capacity from the start, the buffer never moves and leaves no copy of a key
    // behind.
    let mut text = Zeroizing::new(Vec::with_capacity(keys.len() * LINE));
    for key in keys {
        let line = Zeroizing::new(STANDARD.encode(***key));
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_25_a_key_file_is_its_owners_alone_or_roots_for_a_group() {
        const ME: u32 = 1000;
        for (owner, mode) in [(ME, 0o600), (ME, 0o400), (0, 0o600), (0, 0o440), (0, 0o640)] {
            assert_eq!(
                problem(owner, 0o100_000 | mode, ME),
                None,
                "{owner} {mode:o}"
            );
        }
        for (owner, mode) in [
            (ME, 0o666),
            (ME, 0o640),
            (ME, 0o620),
            (ME, 0o604),
            (0, 0o644),
            (0, 0o660),
            (0, 0o602),
            (1001, 0o600),
        ] {
            assert!(problem(owner, mode, ME).is_some(), "{owner} {mode:o}");
        }
        // A process of root uses no key of a user.
        assert!(problem(ME, 0o600, 0).is_some());
    }

    #[test]
    fn a_key_is_read_in_both_spellings() {
        let bytes: [u8; KEY_LEN] = std::array::from_fn(|at| u8::try_from(7 * at).unwrap());
        let hex = crate::util::hex(&bytes);
        for line in [hex.clone(), hex.to_uppercase(), STANDARD.encode(bytes)] {
            assert_eq!(*decode_line(&line).unwrap(), bytes, "{line}");
        }
        for bad in [
            "",
            "abc",
            &hex[..62],
            &hex.replace('0', "g"),
            &"ä".repeat(32),
        ] {
            assert!(decode_line(bad).is_none(), "{bad}");
        }
    }
}
