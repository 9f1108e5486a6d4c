//! Where the vault's key comes from, and what a key file looks like.

use std::path::{Path, PathBuf};

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::error::{bad_key, crypto_failed, from_files, no_key_file};
use super::Result;
use crate::context::Environment;
use crate::env;
use crate::error::{Error, FileAction};
use crate::files;
use crate::policy::MAX_VAULT_KEY_FILE_BYTES;
use crate::secret::Secret;

/// The length of a key, in bytes.
pub(super) const KEY_LEN: usize = 32;

/// A vault key. Wiped when dropped.
pub(super) type Key = Zeroizing<[u8; KEY_LEN]>;

/// What a person provides to open a vault.
pub(super) enum MasterKey {
    /// The vault key itself.
    Raw(Key),
    /// The vault key is derived from this.
    Passphrase(Secret),
}

/// Where a master key may come from.
#[derive(Clone, Copy)]
pub(super) enum KeySource {
    /// `AGE_OAUTH_VAULT_KEY`.
    Variable,
    /// The file `age-oauth.key` in `CREDENTIALS_DIRECTORY`, which systemd sets for a service.
    Credential,
    /// The file that `AGE_OAUTH_VAULT_KEY_FILE` names.
    NamedFile,
    /// `AGE_OAUTH_VAULT_PASSPHRASE`.
    Passphrase,
    /// The key file that this program creates.
    KeyFile,
}

impl KeySource {
    /// The order of the sources. The first one that has a key seals a new vault; all are tried to
    /// open an existing one.
    pub(super) const ORDER: [Self; 5] = [
        Self::Variable,
        Self::Credential,
        Self::NamedFile,
        Self::Passphrase,
        Self::KeyFile,
    ];

    /// The keys of this source; none where it is not set.
    pub(super) fn keys(self, environment: &Environment, key_file: &Path) -> Result<Vec<MasterKey>> {
        let keys = match self {
            Self::Variable => match environment.var(env::AGE_OAUTH_VAULT_KEY) {
                Some(text) => vec![decode_text(&Secret::new(text), env::AGE_OAUTH_VAULT_KEY)?],
                None => Vec::new(),
            },
            Self::Credential => match environment.path(env::CREDENTIALS_DIRECTORY) {
                Some(folder) => keys_in_named(&folder.join("age-oauth.key"))?.unwrap_or_default(),
                None => Vec::new(),
            },
            Self::NamedFile => match environment.path(env::AGE_OAUTH_VAULT_KEY_FILE) {
                Some(path) => keys_in_named(&path)?.ok_or_else(|| no_key_file(&path))?,
                None => Vec::new(),
            },
            Self::Passphrase => {
                let text = environment.var(env::AGE_OAUTH_VAULT_PASSPHRASE);
                let passphrase = text.map(Secret::new).map(MasterKey::Passphrase);
                return Ok(passphrase.into_iter().collect());
            }
            Self::KeyFile => keys_in(key_file)?.unwrap_or_default(),
        };
        Ok(keys.into_iter().map(MasterKey::Raw).collect())
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| crypto_failed())?;
    Ok(bytes)
}

pub(super) fn random_key() -> Result<Key> {
    Ok(Zeroizing::new(random()?))
}

/// The path of the key file for the store at `root`. It is outside the store, so that a copy of the
/// store (a backup, a synchronized folder) is not a copy of the key as well.
pub(super) fn key_file_path(root: &Path, custom_root: bool) -> PathBuf {
    const FILE: &str = "vault.key";
    if custom_root {
        let mut folder = root.as_os_str().to_owned();
        folder.push(".key");
        return PathBuf::from(folder).join(FILE);
    }
    let home = if cfg!(target_os = "macos") {
        dirs::home_dir().map(|home| home.join(".age_oauth"))
    } else {
        dirs::data_local_dir().map(|data| data.join("age_oauth"))
    };
    home.unwrap_or_else(|| root.to_owned()).join(FILE)
}

/// The keys in the program's own key file. Usually one; more while other vaults, or a change of the
/// key that was interrupted, still need an old one.
pub(super) fn keys_in(path: &Path) -> Result<Option<Vec<Key>>> {
    let bytes = from_files(files::read(path, MAX_VAULT_KEY_FILE_BYTES))?;
    let Some(bytes) = bytes.map(Zeroizing::new) else {
        return Ok(None);
    };
    match decode(&bytes) {
        Some(keys) => Ok(Some(keys)),
        None => Err(bad_key(&path.display().to_string())),
    }
}

/// The keys in a file that a person named. Links are followed there, because containers mount their
/// secrets behind links.
fn keys_in_named(path: &Path) -> Result<Option<Vec<Key>>> {
    match path.canonicalize() {
        Ok(real) => keys_in(&real),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => from_files(Err(Error::file(FileAction::Read, path)(why))),
    }
}

/// The first key in a file that a person named; a new one where the file does not exist.
pub(super) fn named_key(path: &Path) -> Result<Key> {
    let first = |keys: Option<Vec<Key>>| keys.and_then(|keys| keys.into_iter().next());
    if let Some(key) = first(keys_in_named(path)?) {
        return Ok(key);
    }
    let key = random_key()?;
    if from_files(files::create_new(path, &encode(&[&key])))? {
        return Ok(key);
    }
    // Another process created the file since it was read.
    first(keys_in_named(path)?).ok_or_else(|| bad_key(&path.display().to_string()))
}

/// The keys in a file's content: 32 raw bytes, or lines of base64 with 32 bytes each.
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

fn decode_line(line: &str) -> Option<Key> {
    let raw = Zeroizing::new(STANDARD.decode(line).ok()?);
    let key = <[u8; KEY_LEN]>::try_from(raw.as_slice()).ok()?;
    Some(Zeroizing::new(key))
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
