//! The vault: one encrypted file for servers, containers and CI, where no keychain exists.
//!
//! The file is a header (magic and version, KDF and its salt, key id, a random salt) and a JSON document sealed by
//! ChaCha20-Poly1305 with the header as associated data. Each write draws a new salt and derives a key from it by HKDF
//! that seals this one document, which is why the nonce may be zero. Readers take no lock: they see a whole file, the old
//! one or the new one. With a key file beside it this protects copies
//! (backups, synchronised folders), not against programs that run as the same user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305, NONCE_LEN};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Item, SecretStore};
use crate::context::{Context, Event, Notice};
use crate::error::{Error, FileAction, KeychainError, KeychainReason};
use crate::files::{self, Lock};
use crate::secret::Secret;

const NAME: &str = "vault";
const MAGIC: &[u8; 7] = b"AGEOVLT";
const VERSION: u8 = b'1';
const KEY_LEN: usize = 32;
const ID_LEN: usize = 8;
const KDF_SALT_LEN: usize = 16;
const SALT_LEN: usize = 32;
const HEADER_LEN: usize = MAGIC.len() + 2 + ID_LEN + KDF_SALT_LEN + SALT_LEN;

/// The master key is used as it is.
const KDF_NONE: u8 = 0;
/// argon2id, 19 MiB, two passes, one lane (OWASP's minimum).
const KDF_ARGON2ID: u8 = 1;
const ARGON2_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;

/// Thousands of connections fit.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A key file grows by a line with every change of the key.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Another process writes for milliseconds.
const LOCK_BOUND: Duration = Duration::from_secs(10);

type Key = Zeroizing<[u8; KEY_LEN]>;
type Outcome<T> = Result<T, KeychainError>;

/// The encrypted file.
pub(super) struct Vault {
    root: PathBuf,
    key_file: PathBuf,
    context: Context,
}

/// What a vault can be sealed with anew, by [`Keychains::rekey_vault`](super::Keychains::rekey_vault).
#[derive(Debug)]
#[non_exhaustive]
pub enum VaultKey {
    /// A new random key in the key file, which is made where it is missing.
    File,
    /// The first key in a file that somebody chose, as for `AGE_OAUTH_VAULT_KEY_FILE`; a new random one where there is no such
    /// file.
    Chosen(PathBuf),
    /// 32 bytes in base64, as in `AGE_OAUTH_VAULT_KEY`.
    Base64(Secret),
    /// As in `AGE_OAUTH_VAULT_PASSPHRASE`.
    Passphrase(Secret),
}

/// What becomes of the key that a vault was sealed with until now, where that is in the key file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldKey {
    /// It stays beside the new one: another store's vault, or a copy of this one, may need it.
    #[default]
    Keep,
    /// It is erased.
    Forget,
}

/// A key that is present, and what it may open.
enum MasterKey {
    Raw(Key),
    Passphrase(Secret),
}

/// Where a master key may be.
#[derive(Clone, Copy)]
enum KeySource {
    Variable,
    Credential,
    NamedFile,
    Passphrase,
    KeyFile,
}

/// The first place that has a key seals a new vault; every one is tried to open one that is there.
const PLACES: [KeySource; 5] = [
    KeySource::Variable,
    KeySource::Credential,
    KeySource::NamedFile,
    KeySource::Passphrase,
    KeySource::KeyFile,
];

impl Vault {
    pub(super) fn new(root: PathBuf, custom_root: bool, context: &Context) -> Self {
        let key_file = key_file(&root, custom_root);
        Self {
            root,
            key_file,
            context: context.clone(),
        }
    }

    fn path(&self) -> PathBuf {
        self.root.join("vault")
    }

    fn keys_at(&self, place: KeySource) -> Outcome<Vec<MasterKey>> {
        let environment = &self.context.environment;
        let keys = match place {
            KeySource::Variable => match environment.var("AGE_OAUTH_VAULT_KEY") {
                Some(text) => vec![decode_text(&Secret::new(text), "AGE_OAUTH_VAULT_KEY")?],
                None => Vec::new(),
            },
            KeySource::Credential => match environment.path("CREDENTIALS_DIRECTORY") {
                Some(folder) => keys_in_chosen(&folder.join("age-oauth.key"))?.unwrap_or_default(),
                None => Vec::new(),
            },
            KeySource::NamedFile => match environment.path("AGE_OAUTH_VAULT_KEY_FILE") {
                Some(path) => keys_in_chosen(&path)?.ok_or_else(|| no_key_file(&path))?,
                None => Vec::new(),
            },
            KeySource::Passphrase => {
                let text = environment.var("AGE_OAUTH_VAULT_PASSPHRASE");
                return Ok(text
                    .map(Secret::new)
                    .map(MasterKey::Passphrase)
                    .into_iter()
                    .collect());
            }
            KeySource::KeyFile => keys_in(&self.key_file)?.unwrap_or_default(),
        };
        Ok(keys.into_iter().map(MasterKey::Raw).collect())
    }

    fn read(&self) -> Outcome<Option<OpenVault>> {
        let path = self.path();
        let Some(bytes) = files::read(&path, MAX_FILE).map_err(|error| file_error(&error))? else {
            return Ok(None);
        };
        OpenVault::read(&bytes, |header| self.key_for(header)).map(Some)
    }

    /// A place that cannot be read does no harm where another one has the key.
    fn key_for(&self, header: &Header) -> Outcome<Key> {
        let mut failure = None;
        for place in PLACES {
            let masters = self.keys_at(place).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                Vec::new()
            });
            for master in masters {
                if let Some(key) = header.derive(&master)? {
                    return Ok(key);
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            let id = crate::store::hex(&header.key_id);
            refused(format!(
                "no key that is present opens it; it was sealed with the key {id}"
            ))
        }))
    }

    /// Changes the items under the lock, and writes only where `change` says so.
    fn change<T>(&self, change: impl FnOnce(&mut Items) -> (bool, T)) -> Outcome<T> {
        let _lock = self.lock()?;
        let mut opened = match self.read()? {
            Some(opened) => opened,
            None => self.make()?,
        };
        let (changed, outcome) = change(&mut opened.items);
        if changed {
            self.save(&mut opened)?;
        }
        Ok(outcome)
    }

    fn lock(&self) -> Outcome<Lock> {
        files::private_dir(&self.root)
            .and_then(|()| Lock::acquire(&self.root.join("vault.lock"), LOCK_BOUND, &self.context))
            .map_err(|error| file_error(&error))
    }

    fn save(&self, opened: &mut OpenVault) -> Outcome<()> {
        let bytes = opened.seal()?;
        files::write(&self.path(), &bytes).map_err(|error| file_error(&error))
    }

    /// A new vault under the first key that is present, or under a key file made now.
    fn make(&self) -> Outcome<OpenVault> {
        for place in PLACES {
            if let Some(master) = self.keys_at(place)?.into_iter().next() {
                return OpenVault::new(&master);
            }
        }
        OpenVault::new(&MasterKey::Raw(self.make_key_file()?))
    }

    fn make_key_file(&self) -> Outcome<Key> {
        let key: Key = Zeroizing::new(random()?);
        let _keys = self.lock_key_file()?;
        let made = self
            .key_folder()
            .and_then(|()| files::create_new(&self.key_file, &lines(&[&key])))
            .map_err(|error| file_error(&error))?;
        if made {
            self.tell_key_file();
            return Ok(key);
        }
        // Another store of the same user was faster: the lock is one store's, the key file may be for all.
        let keys = keys_in(&self.key_file)?.unwrap_or_default();
        let first = keys.into_iter().next();
        first.ok_or_else(|| bad_key(&self.key_file.display().to_string()))
    }

    /// The vault's lock is one store's; the key file may be for several, and whoever changes it must not lose another's key.
    fn lock_key_file(&self) -> Outcome<Lock> {
        let path = self.key_file.with_extension("key.lock");
        self.key_folder()
            .and_then(|()| Lock::acquire(&path, LOCK_BOUND, &self.context))
            .map_err(|error| file_error(&error))
    }

    fn key_folder(&self) -> crate::error::Result<()> {
        files::private_dir(self.key_file.parent().unwrap_or(Path::new(".")))
    }

    fn tell_key_file(&self) {
        let path = self.key_file.clone();
        self.context
            .emit(&Event::Notice(Notice::VaultKeyMade { path }));
    }

    /// Seals the vault with another key. Whatever is interrupted, a key that opens it is where one was before, or in the
    /// key file.
    pub(super) fn rekey(&self, to: &VaultKey, old: OldKey) -> Outcome<()> {
        let _lock = self.lock()?;
        let Some(mut opened) = self.read()? else {
            let why = "there is no vault yet";
            return Err(KeychainError::new(NAME, KeychainReason::Missing, why));
        };
        let before = opened.key.clone();
        let changes = matches!(to, VaultKey::File) || old == OldKey::Forget;
        let _keys = changes.then(|| self.lock_key_file()).transpose()?;
        let mut kept = keys_in(&self.key_file)?.unwrap_or_default();
        let master = match to {
            VaultKey::File => MasterKey::Raw(Zeroizing::new(random()?)),
            VaultKey::Chosen(path) => MasterKey::Raw(chosen_key(path)?),
            VaultKey::Base64(text) => MasterKey::Raw(decode_text(text, "the new key")?),
            VaultKey::Passphrase(text) => MasterKey::Passphrase(text.duplicate()),
        };
        opened.seal_with(&master)?;
        if matches!(to, VaultKey::File) {
            kept.insert(0, opened.key.clone());
            self.write_key_file(&kept)?;
        }
        self.save(&mut opened)?;
        if old == OldKey::Forget && opened.key != before {
            let count = kept.len();
            kept.retain(|key| **key != *before);
            if kept.len() != count {
                self.write_key_file(&kept)?;
            }
        }
        if matches!(to, VaultKey::File) {
            self.tell_key_file();
        }
        Ok(())
    }

    fn write_key_file(&self, keys: &[Key]) -> Outcome<()> {
        let keys: Vec<&Key> = keys.iter().collect();
        let written = if keys.is_empty() {
            files::remove(&self.key_file)
        } else {
            self.key_folder()
                .and_then(|()| files::write(&self.key_file, &lines(&keys)))
        };
        written.map_err(|error| file_error(&error))
    }
}

/// Outside the store, so that a copy of the store is not a copy of the key.
fn key_file(root: &Path, custom_root: bool) -> PathBuf {
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

/// The keys in a file of ours: usually one, two while it is being replaced.
fn keys_in(path: &Path) -> Outcome<Option<Vec<Key>>> {
    let bytes = files::read(path, MAX_KEY_FILE).map_err(|error| file_error(&error))?;
    let Some(bytes) = bytes.map(Zeroizing::new) else {
        return Ok(None);
    };
    match decode(&bytes) {
        Some(keys) => Ok(Some(keys)),
        None => Err(bad_key(&path.display().to_string())),
    }
}

/// The keys in a file that somebody chose. There a link is followed: containers mount their secrets behind links.
fn keys_in_chosen(path: &Path) -> Outcome<Option<Vec<Key>>> {
    match path.canonicalize() {
        Ok(real) => keys_in(&real),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(file_error(&Error::file(FileAction::Read, path)(why))),
    }
}

/// The first key in a file that somebody chose; a new one where there is no such file.
fn chosen_key(path: &Path) -> Outcome<Key> {
    let first = |keys: Option<Vec<Key>>| keys.and_then(|keys| keys.into_iter().next());
    if let Some(key) = first(keys_in_chosen(path)?) {
        return Ok(key);
    }
    let key: Key = Zeroizing::new(random()?);
    if files::create_new(path, &lines(&[&key])).map_err(|error| file_error(&error))? {
        return Ok(key);
    }
    first(keys_in_chosen(path)?).ok_or_else(|| bad_key(&path.display().to_string()))
}

fn no_key_file(path: &Path) -> KeychainError {
    let detail = format!("the key file `{}` is not there", path.display());
    KeychainError::new(NAME, KeychainReason::Missing, detail)
}

/// 32 bytes as they are, or lines of base64 with 32 bytes each.
fn decode(bytes: &[u8]) -> Option<Vec<Key>> {
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

fn decode_text(text: &Secret, place: &str) -> Outcome<Key> {
    decode_line(text.expose().trim()).ok_or_else(|| bad_key(place))
}

/// A key file's content.
fn lines(keys: &[&Key]) -> Zeroizing<Vec<u8>> {
    const LINE: usize = KEY_LEN.div_ceil(3) * 4 + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(keys.len() * LINE));
    for key in keys {
        let line = Zeroizing::new(STANDARD.encode(***key));
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text
}

fn refused(detail: impl Into<String>) -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Refused, detail)
}

fn bad_key(place: &str) -> KeychainError {
    refused(format!("`{place}` does not hold 32 bytes in base64"))
}

fn file_error(error: &Error) -> KeychainError {
    let reason = match error {
        Error::Busy { .. } => KeychainReason::Timeout,
        _ => KeychainReason::Refused,
    };
    let cause = std::error::Error::source(error).map_or_else(String::new, |why| format!(": {why}"));
    KeychainError::new(NAME, reason, format!("{error}{cause}"))
}

fn damaged() -> KeychainError {
    KeychainError::new(NAME, KeychainReason::Lost, "the file is damaged")
}

fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| crypto_failed())?;
    Ok(bytes)
}

fn crypto_failed() -> KeychainError {
    refused("a cryptographic operation failed")
}

/// Names a key without telling anything of it.
fn key_id(key: &Key) -> [u8; ID_LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"age-oauth vault key id");
    context.update(&**key);
    let mut id = [0; ID_LEN];
    id.copy_from_slice(&context.finish().as_ref()[..ID_LEN]);
    id
}

fn derive_key(passphrase: &Secret, salt: &[u8; KDF_SALT_LEN]) -> Outcome<Key> {
    let parameters = argon2::Params::new(ARGON2_KIB, ARGON2_PASSES, 1, Some(KEY_LEN))
        .map_err(|_| crypto_failed())?;
    let argon2 = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        parameters,
    );
    let mut key: Key = Zeroizing::new([0; KEY_LEN]);
    argon2
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut *key)
        .map_err(|_| crypto_failed())?;
    Ok(key)
}

#[derive(Clone)]
struct Header {
    kdf: u8,
    key_id: [u8; ID_LEN],
    kdf_salt: [u8; KDF_SALT_LEN],
    salt: [u8; SALT_LEN],
}

impl Header {
    fn parse(bytes: &[u8]) -> Outcome<Self> {
        let later = || refused("it was written by a later version of age-oauth");
        match bytes.strip_prefix(MAGIC).and_then(|rest| rest.first()) {
            Some(&VERSION) if bytes.len() >= HEADER_LEN => {}
            Some(version) if *version > VERSION => return Err(later()),
            _ => return Err(damaged()),
        }
        let mut rest = &bytes[MAGIC.len() + 1..HEADER_LEN];
        let mut take = |count: usize| {
            let (taken, more) = rest.split_at(count);
            rest = more;
            taken
        };
        let kdf = take(1)[0];
        let mut header = Self {
            kdf,
            key_id: [0; ID_LEN],
            kdf_salt: [0; KDF_SALT_LEN],
            salt: [0; SALT_LEN],
        };
        header.key_id.copy_from_slice(take(ID_LEN));
        header.kdf_salt.copy_from_slice(take(KDF_SALT_LEN));
        header.salt.copy_from_slice(take(SALT_LEN));
        if kdf > KDF_ARGON2ID {
            return Err(later());
        }
        Ok(header)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.push(self.kdf);
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(&self.kdf_salt);
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    /// The key that a master gives for this vault, if it is the right one.
    fn derive(&self, master: &MasterKey) -> Outcome<Option<Key>> {
        let key = match (master, self.kdf) {
            (MasterKey::Raw(key), KDF_NONE) => key.clone(),
            (MasterKey::Passphrase(passphrase), KDF_ARGON2ID) => {
                derive_key(passphrase, &self.kdf_salt)?
            }
            _ => return Ok(None),
        };
        Ok((key_id(&key) == self.key_id).then_some(key))
    }

    /// The key for this one document.
    fn sealing_key(&self, master: &Key) -> Outcome<LessSafeKey> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &self.salt)
            .extract(&**master)
            .expand(&[b"age-oauth vault"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *bytes))
            .map_err(|_| crypto_failed())?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*bytes).map_err(|_| crypto_failed())?;
        Ok(LessSafeKey::new(key))
    }
}

/// The key differs with every write.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[derive(Default)]
struct Items(BTreeMap<String, Entry>);

#[derive(Deserialize)]
struct Entry {
    title: String,
    secret: Secret,
}

#[derive(Serialize)]
struct EntryRecord<'a> {
    title: &'a str,
    secret: &'a str,
}

struct OpenVault {
    header: Header,
    key: Key,
    items: Items,
}

impl OpenVault {
    /// An empty vault.
    fn new(master: &MasterKey) -> Outcome<Self> {
        let mut opened = Self {
            header: Header {
                kdf: KDF_NONE,
                key_id: [0; ID_LEN],
                kdf_salt: [0; KDF_SALT_LEN],
                salt: [0; SALT_LEN],
            },
            key: Zeroizing::new([0; KEY_LEN]),
            items: Items::default(),
        };
        opened.seal_with(master)?;
        Ok(opened)
    }

    /// A file's bytes, under the key that is found for its header.
    fn read(bytes: &[u8], key: impl FnOnce(&Header) -> Outcome<Key>) -> Outcome<Self> {
        let header = Header::parse(bytes)?;
        let key = key(&header)?;
        let items = unseal(&header, &key, &bytes[HEADER_LEN..])?;
        Ok(Self { header, key, items })
    }

    /// From the next write on.
    fn seal_with(&mut self, master: &MasterKey) -> Outcome<()> {
        let kdf_salt = random()?;
        (self.header.kdf, self.key) = match master {
            MasterKey::Raw(key) => (KDF_NONE, key.clone()),
            MasterKey::Passphrase(passphrase) => (KDF_ARGON2ID, derive_key(passphrase, &kdf_salt)?),
        };
        self.header.kdf_salt = kdf_salt;
        self.header.key_id = key_id(&self.key);
        Ok(())
    }

    fn seal(&mut self) -> Outcome<Vec<u8>> {
        self.header.salt = random()?;
        let records: BTreeMap<&str, EntryRecord<'_>> = self
            .items
            .0
            .iter()
            .map(|(account, kept)| {
                let record = EntryRecord {
                    title: &kept.title,
                    secret: kept.secret.expose(),
                };
                (account.as_str(), record)
            })
            .collect();
        // Room for the worst case of escaping, so that nothing secret is left behind by a move.
        let room: usize = records
            .iter()
            .map(|(account, kept)| 6 * (account.len() + kept.title.len() + kept.secret.len()) + 64)
            .sum();
        let mut document = Zeroizing::new(Vec::with_capacity(room + 64));
        serde_json::to_writer(&mut *document, &records).map_err(|_| crypto_failed())?;
        seal(&self.header, &self.key, document)
    }
}

/// The file's bytes.
fn seal(header: &Header, key: &Key, mut document: Zeroizing<Vec<u8>>) -> Outcome<Vec<u8>> {
    let mut bytes = header.bytes();
    let tag = header
        .sealing_key(key)?
        .seal_in_place_separate_tag(nonce(), Aad::from(&bytes), &mut document)
        .map_err(|_| crypto_failed())?;
    bytes.extend_from_slice(&document);
    bytes.extend_from_slice(tag.as_ref());
    Ok(bytes)
}

fn unseal(header: &Header, key: &Key, sealed: &[u8]) -> Outcome<Items> {
    let mut document = Zeroizing::new(sealed.to_vec());
    let aad = header.bytes();
    let plain = header
        .sealing_key(key)?
        .open_in_place(nonce(), Aad::from(&aad), &mut document)
        .map_err(|_| damaged())?;
    serde_json::from_slice(plain)
        .map(Items)
        .map_err(|_| damaged())
}

impl SecretStore for Vault {
    fn name(&self) -> &'static str {
        NAME
    }

    fn get(&self, item: &Item) -> Outcome<Option<Secret>> {
        Ok(self
            .read()?
            .and_then(|mut opened| opened.items.0.remove(&item.account()))
            .map(|kept| kept.secret))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Outcome<()> {
        self.change(|items| {
            let kept = Entry {
                title: item.title(),
                secret: secret.duplicate(),
            };
            items.0.insert(item.account(), kept);
            (true, ())
        })
    }

    fn delete(&self, item: &Item) -> Outcome<bool> {
        // No vault is made only to delete something from it.
        if !self.path().exists() {
            return Ok(false);
        }
        self.change(|items| {
            let found = items.0.remove(&item.account()).is_some();
            (found, found)
        })
    }

    fn retitle(&self, item: &Item) -> Outcome<()> {
        if !self.path().exists() {
            return Ok(());
        }
        self.change(|items| match items.0.get_mut(&item.account()) {
            Some(kept) => {
                kept.title = item.title();
                (true, ())
            }
            None => (false, ()),
        })
    }

    fn accounts(&self) -> Outcome<Vec<String>> {
        Ok(self
            .read()?
            .map(|opened| opened.items.0.into_keys().collect())
            .unwrap_or_default())
    }
}

/// The formats without the files, under a key of no worth, for [`crate::testing`].
#[cfg(any(test, fuzzing))]
pub(crate) mod formats {
    use super::{damaged, decode, key_id, lines, seal};
    use super::{Entry, Header, Items, Key, MasterKey, OpenVault, Outcome, Zeroizing};
    use super::{KDF_NONE, KDF_SALT_LEN, KEY_LEN, SALT_LEN};
    use crate::secret::Secret;

    fn key() -> Key {
        Zeroizing::new([7; KEY_LEN])
    }

    /// Each item's account, title and secret.
    pub(crate) type Contents = Vec<(String, String, String)>;

    pub(crate) fn open(file: &[u8]) -> Outcome<Contents> {
        let master = MasterKey::Raw(key());
        let opened = OpenVault::read(file, |header| header.derive(&master)?.ok_or_else(damaged))?;
        let items = opened.items.0.into_iter();
        Ok(items
            .map(|(account, kept)| (account, kept.title, kept.secret.expose().to_owned()))
            .collect())
    }

    /// A vault of these items, as they are written.
    pub(crate) fn write(contents: Contents) -> Outcome<Vec<u8>> {
        let mut opened = OpenVault::new(&MasterKey::Raw(key()))?;
        let items = contents.into_iter().map(|(account, title, secret)| {
            let secret = Secret::new(secret);
            (account, Entry { title, secret })
        });
        opened.items = Items(items.collect());
        opened.seal()
    }

    /// A vault with any document in it, the same for the same document.
    pub(crate) fn seal_any(document: &[u8]) -> Outcome<Vec<u8>> {
        let header = Header {
            kdf: KDF_NONE,
            key_id: key_id(&key()),
            kdf_salt: [0; KDF_SALT_LEN],
            salt: [0; SALT_LEN],
        };
        seal(&header, &key(), Zeroizing::new(document.to_vec()))
    }

    /// A key file read, and written.
    pub(crate) fn key_file(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let keys = decode(bytes)?;
        Some(lines(&keys.iter().collect::<Vec<_>>()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context::Environment;
    use crate::keychain::ItemKind;
    use std::fs;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "/////////////////////////////////////////w8=";

    fn vault(root: &Path, variables: &[(&str, &str)]) -> Vault {
        let context = Context {
            environment: Environment::of(variables.iter().map(|(n, v)| (*n, *v))),
            ..Context::process()
        };
        Vault::new(root.join("store"), true, &context)
    }

    fn item() -> Item {
        Item::new("my_portal_1", "my portal", ItemKind::Tokens)
    }

    fn put(vault: &Vault, text: &str) {
        vault.set(&item(), &Secret::new(text.into())).unwrap();
    }

    fn got(vault: &Vault) -> Option<String> {
        vault
            .get(&item())
            .unwrap()
            .map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn what_is_kept_comes_back_and_is_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        assert_eq!(got(&vault), None);
        put(&vault, "canary-1");
        put(&vault, "canary-2");
        assert_eq!(got(&vault).as_deref(), Some("canary-2"));
        let file = fs::read(folder.path().join("store/vault")).unwrap();
        assert!(!file.windows(6).any(|window| window == b"canary"));
        assert!(!file.windows(9).any(|window| window == b"my_portal"));
        assert_eq!(vault.accounts().unwrap(), [item().account()]);
        assert!(vault.delete(&item()).unwrap());
        assert!(!vault.delete(&item()).unwrap());
    }

    #[test]
    fn a_key_file_is_made_outside_the_store_once() {
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "one");
        let key = folder.path().join("store.key/vault.key");
        let before = fs::read(&key).unwrap();
        assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
        put(&vault(folder.path(), &[]), "two");
        assert_eq!(fs::read(&key).unwrap(), before);
        assert_eq!(before.len(), 45);
    }

    #[test]
    fn every_key_that_is_present_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        put(
            &vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]),
            "one",
        );
        let file = folder.path().join("key");
        fs::write(&file, format!("{KEY}\n")).unwrap();
        let path = file.to_str().unwrap();
        let by_file = [
            ("AGE_OAUTH_VAULT_KEY", OTHER),
            ("AGE_OAUTH_VAULT_KEY_FILE", path),
        ];
        assert_eq!(got(&vault(folder.path(), &by_file)).as_deref(), Some("one"));
        fs::rename(&file, folder.path().join("age-oauth.key")).unwrap();
        let by_systemd = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
        assert_eq!(
            got(&vault(folder.path(), &by_systemd)).as_deref(),
            Some("one")
        );
    }

    /// Vaults that the first version wrote, under [`KEY`] and under a passphrase. Whatever changes, they open.
    const OF_THE_FIRST_VERSION: [(&str, &str, &str); 2] = [
        ("AGE_OAUTH_VAULT_KEY", KEY, concat!(
            "QUdFT1ZMVDEA+UUYWrDIk2Pm6k0EFJzcwZ5GvHi4okUpNHZRcyCWPK1PlgapPtwFICDVTu/MEmp6wONqC6fmSNwb",
            "JCgSUq+CHbJaTZZWk9KOuLhAuX71NoNlAqlYSpRIzaOmvZXrkY0QME5SJL7K8IKEwC+lqc8EWJlCXnuz3lGk7dJr",
            "tPEiR/WFSFYH9a3T/qePV6U3+Ri0Nh1EXzycGHo=",
        )),
        ("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse", concat!(
            "QUdFT1ZMVDEBY2aebyg+EhxFmQxZZGQNAgGbdvjesDk2O7KCBL1Dtn6Ugj+Ms/7ep4G6P5wrHiW49Yb2+coWg8Jw",
            "jsBQ5Q4vtkM/yb8+NjfVoASbpYESj7ts4MkLUeEZ9bxQ0Xu46625s3Z7gw2obrXnkDVw75R0PBxD+r/tFR0UqkHE",
            "RsurufCl0n6VG6QsGGqgH6mbK3UJyJ8NXcCWVDQ=",
        )),
    ];

    #[test]
    fn what_the_first_version_sealed_opens() {
        for (variable, key, sealed) in OF_THE_FIRST_VERSION {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("store")).unwrap();
            let sealed = STANDARD.decode(sealed).unwrap();
            fs::write(folder.path().join("store/vault"), sealed).unwrap();
            let vault = vault(folder.path(), &[(variable, key)]);
            assert_eq!(got(&vault).as_deref(), Some("kept"), "{variable}");
        }
    }

    #[test]
    fn a_new_title_makes_no_vault_and_a_busy_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            environment: Environment::of([("AGE_OAUTH_VAULT_KEY", KEY)]),
            deadline: crate::context::Deadline::after(Duration::ZERO),
            ..Context::process()
        };
        let hurried = Vault::new(folder.path().join("store"), true, &context);
        assert_eq!(hurried.name(), "vault");
        hurried.retitle(&item()).unwrap();
        assert!(!folder.path().join("store/vault").exists());
        let patient = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        put(&patient, "kept");
        let renamed = Item::new("my_portal_1", "renamed", ItemKind::Tokens);
        patient.retitle(&renamed).unwrap();
        let kept = patient.read().unwrap().unwrap();
        assert_eq!(kept.items.0[&item().account()].title, renamed.title());
        let _held = patient.lock().unwrap();
        let busy = hurried.retitle(&renamed).unwrap_err();
        assert_eq!(busy.reason, KeychainReason::Timeout, "{busy}");
    }

    /// A key that cannot be read is not replaced by a new one.
    #[test]
    fn a_chosen_key_that_cannot_be_looked_at_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.join("below"), folder.path().to_owned()] {
            assert!(chosen_key(&path).is_err(), "{}", path.display());
        }
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn a_vault_may_be_large_but_not_endless() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        let large = "x".repeat(2_000_000);
        put(&vault, &large);
        assert_eq!(got(&vault), Some(large));
        let path = folder.path().join("store/vault");
        let mut bytes = fs::read(&path).unwrap();
        bytes.resize(16 * 1024 * 1024 + 1, 0);
        fs::write(&path, bytes).unwrap();
        assert!(vault.get(&item()).is_err());
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let right = [("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse")];
        put(&vault(folder.path(), &right), "one");
        assert_eq!(got(&vault(folder.path(), &right)).as_deref(), Some("one"));
        let wrong = vault(folder.path(), &[("AGE_OAUTH_VAULT_PASSPHRASE", "wrong")]);
        assert_eq!(
            wrong.get(&item()).unwrap_err().reason,
            KeychainReason::Refused
        );
    }

    #[test]
    fn a_wrong_key_and_a_damaged_file_are_told_apart_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let right = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        put(&right, "one");
        let path = folder.path().join("store/vault");
        let good = fs::read(&path).unwrap();
        let wrong = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", OTHER)]);
        assert_eq!(
            wrong.get(&item()).unwrap_err().reason,
            KeychainReason::Refused
        );
        let refused = wrong.set(&item(), &Secret::new("two".into())).unwrap_err();
        assert_eq!(refused.reason, KeychainReason::Refused);
        assert_eq!(fs::read(&path).unwrap(), good);
        for at in [0, HEADER_LEN - 1, HEADER_LEN, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(
                right.get(&item()).unwrap_err().reason,
                KeychainReason::Lost,
                "{at}"
            );
            assert!(right.set(&item(), &Secret::new("two".into())).is_err());
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
        for length in [0, 5, HEADER_LEN, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert_eq!(
                right.get(&item()).unwrap_err().reason,
                KeychainReason::Lost,
                "{length}"
            );
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        put(&vault, "one");
        let path = folder.path().join("store/vault");
        let good = fs::read(&path).unwrap();
        // The version, and the KDF behind it.
        for (at, later) in [(7, b'2'), (8, 9)] {
            let mut bytes = good.clone();
            bytes[at] = later;
            fs::write(&path, &bytes).unwrap();
            let error = vault.get(&item()).unwrap_err();
            assert_eq!(error.reason, KeychainReason::Refused, "{error}");
        }
        let mut earlier = good.clone();
        earlier[7] = VERSION - 1;
        for damaged in [&*earlier, &good[..HEADER_LEN - 1]] {
            fs::write(&path, damaged).unwrap();
            let error = vault.get(&item()).unwrap_err();
            assert_eq!(error.reason, KeychainReason::Lost, "{error}");
        }
    }

    #[test]
    fn a_place_without_a_usable_key_does_no_harm_where_another_has_it() {
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "one");
        for useless in [
            ("AGE_OAUTH_VAULT_KEY", "no key"),
            ("AGE_OAUTH_VAULT_KEY_FILE", "/nonexistent/key"),
            ("AGE_OAUTH_VAULT_PASSPHRASE", "of another vault"),
            ("CREDENTIALS_DIRECTORY", "/nonexistent"),
        ] {
            let vault = vault(folder.path(), &[useless]);
            assert_eq!(got(&vault).as_deref(), Some("one"), "{useless:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_somebody_chose_may_be_behind_a_link_but_ours_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, KEY).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let by_link = [("AGE_OAUTH_VAULT_KEY_FILE", link.to_str().unwrap())];
        put(&vault(folder.path(), &by_link), "one");
        fs::create_dir(folder.path().join("store.key")).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("store.key/vault.key")).unwrap();
        assert_eq!(got(&vault(folder.path(), &by_link)).as_deref(), Some("one"));
        let error = vault(folder.path(), &[]).get(&item()).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Refused);
        assert!(error.detail.contains("symbolic link"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn rule_25_a_vault_behind_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        put(&vault, "one");
        let path = folder.path().join("store/vault");
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(vault.get(&item()).is_err());
        assert!(vault.set(&item(), &Secret::new("two".into())).is_err());
        assert_eq!(fs::read(&elsewhere).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn rule_25_vault_and_key_file_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "one");
        for (name, expected) in [
            ("store", 0o700),
            ("store/vault", 0o600),
            ("store/vault.lock", 0o600),
            ("store.key", 0o700),
            ("store.key/vault.key", 0o600),
        ] {
            let found = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, expected, "{name}");
        }
    }

    #[test]
    fn each_write_has_a_salt_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        let path = folder.path().join("store/vault");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            put(&vault, "the same");
            assert!(seen.insert(fs::read(&path).unwrap()));
        }
    }

    #[test]
    fn every_byte_of_the_file_is_protected() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
        put(&vault, "one");
        let path = folder.path().join("store/vault");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            fs::write(&path, &bad).unwrap();
            assert!(vault.get(&item()).is_err(), "{at}");
        }
    }

    #[test]
    fn a_new_key_file_is_told_and_a_new_key_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&told);
        let context = Context {
            environment: Environment::of([("", "")]),
            observer: crate::context::Observer::new(move |event| {
                heard.lock().unwrap().push(event.clone());
            }),
            ..Context::process()
        };
        let vault = Vault::new(folder.path().join("store"), true, &context);
        put(&vault, "one");
        let path = folder.path().join("store.key/vault.key");
        let before = fs::read(&path).unwrap();
        vault.rekey(&VaultKey::File, OldKey::Forget).unwrap();
        let after = fs::read(&path).unwrap();
        assert_ne!(before, after);
        assert_eq!(after.len(), 45);
        assert_eq!(got(&vault).as_deref(), Some("one"));
        let notice = Event::Notice(Notice::VaultKeyMade { path: path.clone() });
        assert_eq!(*told.lock().unwrap(), [notice.clone(), notice]);
        fs::write(&path, before).unwrap();
        assert!(vault.get(&item()).is_err());
    }

    #[test]
    fn a_vault_moves_between_all_kinds_of_keys() {
        let folder = tempfile::tempdir().unwrap();
        let by_file: [(&str, &str); 0] = [];
        let by_key = [("AGE_OAUTH_VAULT_KEY", OTHER)];
        let by_passphrase = [("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse")];
        let key_file = folder.path().join("store.key/vault.key");
        put(&vault(folder.path(), &by_file), "one");

        let to_key = VaultKey::Base64(Secret::new(OTHER.into()));
        vault(folder.path(), &by_file)
            .rekey(&to_key, OldKey::Forget)
            .unwrap();
        assert!(!key_file.exists());
        assert_eq!(got(&vault(folder.path(), &by_key)).as_deref(), Some("one"));
        assert!(vault(folder.path(), &by_file).get(&item()).is_err());

        let to_passphrase = VaultKey::Passphrase(Secret::new("correct horse".into()));
        vault(folder.path(), &by_key)
            .rekey(&to_passphrase, OldKey::Keep)
            .unwrap();
        assert!(vault(folder.path(), &by_key).get(&item()).is_err());
        let opened = vault(folder.path(), &by_passphrase);
        assert_eq!(got(&opened).as_deref(), Some("one"));

        opened.rekey(&VaultKey::File, OldKey::Keep).unwrap();
        assert_eq!(got(&vault(folder.path(), &by_file)).as_deref(), Some("one"));
    }

    #[test]
    fn a_change_of_keys_that_was_interrupted_leaves_a_key_that_opens() {
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "one");
        let path = folder.path().join("store.key/vault.key");
        let old = fs::read_to_string(&path).unwrap();
        // What is there between the first step and the last: the new key before the old one.
        fs::write(&path, format!("{KEY}\n{old}")).unwrap();
        assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
        vault(folder.path(), &[])
            .rekey(&VaultKey::File, OldKey::Forget)
            .unwrap();
        let keys = fs::read_to_string(&path).unwrap();
        assert!(!keys.contains(old.trim()));
        assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
    }

    #[test]
    fn a_change_of_keys_needs_a_vault_and_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let error = vault(folder.path(), &[])
            .rekey(&VaultKey::File, OldKey::Keep)
            .unwrap_err();
        assert_eq!(error.reason, KeychainReason::Missing);
        assert!(!folder.path().join("store.key").exists());
        put(&vault(folder.path(), &[]), "one");
        let bad = VaultKey::Base64(Secret::new("canary".into()));
        let error = vault(folder.path(), &[])
            .rekey(&bad, OldKey::Keep)
            .unwrap_err();
        assert!(!error.to_string().contains("canary"));
        assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
    }

    #[test]
    fn stores_that_share_a_key_file_agree_on_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared/vault.key");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let mut vault = vault(&folder.path().join(number.to_string()), &[]);
                vault.key_file.clone_from(&path);
                scope.spawn(move || {
                    put(&vault, "one");
                    assert_eq!(got(&vault).as_deref(), Some("one"));
                });
            }
        });
    }

    #[test]
    fn a_change_of_keys_leaves_the_vaults_that_share_the_key_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared/vault.key");
        let [one, other] = ["one", "other"].map(|name| {
            let mut vault = vault(&folder.path().join(name), &[]);
            vault.key_file.clone_from(&path);
            put(&vault, name);
            vault
        });
        one.rekey(&VaultKey::File, OldKey::Keep).unwrap();
        one.rekey(&VaultKey::File, OldKey::Keep).unwrap();
        assert_eq!(got(&one).as_deref(), Some("one"));
        assert_eq!(got(&other).as_deref(), Some("other"));
        put(&other, "more");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        let to_key = VaultKey::Base64(Secret::new(KEY.into()));
        one.rekey(&to_key, OldKey::Keep).unwrap();
        assert!(one.get(&item()).is_err());
        assert_eq!(got(&other).as_deref(), Some("more"));
        other.rekey(&VaultKey::File, OldKey::Forget).unwrap();
        assert_eq!(got(&other).as_deref(), Some("more"));
    }

    #[test]
    fn vaults_that_share_a_key_file_may_change_their_keys_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared/vault.key");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let mut vault = vault(&folder.path().join(number.to_string()), &[]);
                vault.key_file.clone_from(&path);
                scope.spawn(move || {
                    put(&vault, "one");
                    for _ in 0..3 {
                        vault.rekey(&VaultKey::File, OldKey::Keep).unwrap();
                        assert_eq!(got(&vault).as_deref(), Some("one"));
                    }
                });
            }
        });
        for number in 0..8 {
            let mut vault = vault(&folder.path().join(number.to_string()), &[]);
            vault.key_file.clone_from(&path);
            assert_eq!(got(&vault).as_deref(), Some("one"));
        }
    }

    #[test]
    fn a_vault_takes_the_key_of_a_file_or_makes_one_there() {
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "one");
        let by_file = |name: &str| folder.path().join(name).display().to_string();
        let with = |name: &str| {
            let path = by_file(name);
            got(&vault(
                folder.path(),
                &[("AGE_OAUTH_VAULT_KEY_FILE", &path)],
            ))
        };
        let rekey = |name: &str| {
            let to = VaultKey::Chosen(by_file(name).into());
            vault(
                folder.path(),
                &[
                    ("AGE_OAUTH_VAULT_KEY", KEY),
                    ("AGE_OAUTH_VAULT_KEY_FILE", &by_file("made")),
                ],
            )
            .rekey(&to, OldKey::Keep)
        };
        let to = VaultKey::Chosen(by_file("made").into());
        vault(folder.path(), &[]).rekey(&to, OldKey::Keep).unwrap();
        assert_eq!(with("made").as_deref(), Some("one"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(by_file("made")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(by_file("there"), KEY).unwrap();
        rekey("there").unwrap();
        assert_eq!(with("there").as_deref(), Some("one"));
        fs::write(by_file("bad"), "no key").unwrap();
        let before = fs::read(folder.path().join("store/vault")).unwrap();
        for name in ["bad", "no/such/folder"] {
            rekey(name).unwrap_err();
        }
        assert_eq!(fs::read(folder.path().join("store/vault")).unwrap(), before);
    }

    #[test]
    fn a_key_that_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["short", "not base64 at all!", "AAAA"] {
            let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", bad)]);
            put_fails(&vault);
        }
        let missing = [("AGE_OAUTH_VAULT_KEY_FILE", "/nonexistent/key")];
        put_fails(&vault(folder.path(), &missing));
        assert!(!folder.path().join("store/vault").exists());
    }

    fn put_fails(vault: &Vault) {
        let secret = Secret::new("x".into());
        let error = vault.set(&item(), &secret).unwrap_err();
        assert!(!error.to_string().contains("not base64 at all"));
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        put(&vault(folder.path(), &[]), "first");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let root = folder.path();
                scope.spawn(move || {
                    let item = Item::new(format!("c_{number}"), "c", ItemKind::Tokens);
                    vault(root, &[])
                        .set(&item, &Secret::new(number.to_string()))
                        .unwrap();
                });
            }
        });
        assert_eq!(vault(folder.path(), &[]).accounts().unwrap().len(), 17);
    }
}
