//! The vault: one encrypted file for servers, containers and CI, where no keychain exists.
//!
//! The file is a header (magic and version, KDF and its salt, key id, a random salt) and a JSON document sealed by
//! ChaCha20-Poly1305 with the header as associated data. Each write draws a new salt and derives a key from it by HKDF
//! that seals this one document, which is why the nonce may be zero. With a key file beside it this protects copies
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
use crate::error::{Error, KeychainError, KeychainReason};
use crate::files::{self, Lock};
use crate::secret::Secret;

const NAME: &str = "vault";
const MAGIC: &[u8; 8] = b"AGEOVLT1";
const KEY_LEN: usize = 32;
const ID_LEN: usize = 8;
const KDF_SALT_LEN: usize = 16;
const SALT_LEN: usize = 32;
const HEADER_LEN: usize = MAGIC.len() + 1 + ID_LEN + KDF_SALT_LEN + SALT_LEN;

/// The master key is used as it is.
const KDF_NONE: u8 = 0;
/// argon2id, 19 MiB, two passes, one lane (OWASP's minimum).
const KDF_ARGON2ID: u8 = 1;
const ARGON2_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;

/// Thousands of connections fit.
const MAX_FILE: u64 = 16 * 1024 * 1024;

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

/// A key that is present, and what it may open.
enum Master {
    Raw(Key),
    Passphrase(Secret),
}

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

    /// Keys that are present, in the order in which they are used for a new vault.
    fn masters(&self) -> Outcome<Vec<Master>> {
        let environment = &self.context.environment;
        let mut masters = Vec::new();
        if let Some(text) = environment.var("AGE_OAUTH_VAULT_KEY") {
            let text = Zeroizing::new(text);
            let key = decode(text.as_bytes()).ok_or_else(|| bad_key("AGE_OAUTH_VAULT_KEY"))?;
            masters.push(Master::Raw(key));
        }
        if let Some(folder) = environment.path("CREDENTIALS_DIRECTORY") {
            masters.extend(key_in(&folder.join("age-oauth.key"), false)?);
        }
        if let Some(path) = environment.path("AGE_OAUTH_VAULT_KEY_FILE") {
            masters.extend(key_in(&path, true)?);
        }
        if let Some(text) = environment.var("AGE_OAUTH_VAULT_PASSPHRASE") {
            masters.push(Master::Passphrase(Secret::new(text)));
        }
        masters.extend(key_in(&self.key_file, false)?);
        Ok(masters)
    }

    fn read(&self) -> Outcome<Option<Opened>> {
        let path = self.path();
        let Some(bytes) = files::read(&path, MAX_FILE).map_err(|error| file_error(&error))? else {
            return Ok(None);
        };
        let header = Header::parse(&bytes)?;
        for master in self.masters()? {
            let Some(key) = header.derive(&master)? else {
                continue;
            };
            let items = unseal(&header, &key, &bytes[HEADER_LEN..])?;
            return Ok(Some(Opened { header, key, items }));
        }
        Err(KeychainError::new(
            NAME,
            KeychainReason::Refused,
            format!(
                "no key that is present opens it; it was sealed with the key {}",
                crate::store::hex(&header.key_id)
            ),
        ))
    }

    /// Changes the items under the lock, and writes only where `change` says so.
    fn change<T>(&self, change: impl FnOnce(&mut Items) -> (bool, T)) -> Outcome<T> {
        files::private_dir(&self.root).map_err(|error| file_error(&error))?;
        let _lock = Lock::acquire(&self.root.join("vault.lock"), LOCK_BOUND, &self.context)
            .map_err(|error| file_error(&error))?;
        let mut opened = match self.read()? {
            Some(opened) => opened,
            None => self.make()?,
        };
        let (changed, outcome) = change(&mut opened.items);
        if changed {
            let bytes = opened.seal()?;
            files::write(&self.path(), &bytes).map_err(|error| file_error(&error))?;
        }
        Ok(outcome)
    }

    /// A new vault under the first key that is present, or under a key file made now.
    fn make(&self) -> Outcome<Opened> {
        let mut header = Header {
            kdf: KDF_NONE,
            key_id: [0; ID_LEN],
            kdf_salt: random()?,
            salt: [0; SALT_LEN],
        };
        let master = match self.masters()?.into_iter().next() {
            Some(master) => master,
            None => Master::Raw(self.make_key_file()?),
        };
        let key = match &master {
            Master::Raw(key) => key.clone(),
            Master::Passphrase(passphrase) => {
                header.kdf = KDF_ARGON2ID;
                stretch(passphrase, &header.kdf_salt)?
            }
        };
        header.key_id = key_id(&key);
        Ok(Opened {
            header,
            key,
            items: Items::default(),
        })
    }

    /// The caller holds the vault's lock, so that two processes do not make two.
    fn make_key_file(&self) -> Outcome<Key> {
        let key: Key = Zeroizing::new(random()?);
        let line = Zeroizing::new(format!("{}\n", STANDARD.encode(*key)));
        let folder = self.key_file.parent().unwrap_or(Path::new("."));
        files::private_dir(folder)
            .and_then(|()| files::create_new(&self.key_file, line.as_bytes()))
            .map_err(|error| file_error(&error))?;
        self.context.tell(&Event::Notice(Notice::VaultKeyMade {
            path: self.key_file.clone(),
        }));
        Ok(key)
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

fn key_in(path: &Path, required: bool) -> Outcome<Option<Master>> {
    let name = path.display().to_string();
    match files::read(path, 4096).map_err(|error| file_error(&error))? {
        Some(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let key = decode(&bytes).ok_or_else(|| bad_key(&name))?;
            Ok(Some(Master::Raw(key)))
        }
        None if required => Err(KeychainError::new(
            NAME,
            KeychainReason::Missing,
            format!("the key file `{name}` is not there"),
        )),
        None => Ok(None),
    }
}

/// 32 bytes as they are, or in base64.
fn decode(bytes: &[u8]) -> Option<Key> {
    if let Ok(raw) = <[u8; KEY_LEN]>::try_from(bytes) {
        return Some(Zeroizing::new(raw));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let raw = Zeroizing::new(STANDARD.decode(text).ok()?);
    <[u8; KEY_LEN]>::try_from(raw.as_slice())
        .ok()
        .map(Zeroizing::new)
}

fn bad_key(place: &str) -> KeychainError {
    KeychainError::new(
        NAME,
        KeychainReason::Refused,
        format!("`{place}` does not hold 32 bytes in base64"),
    )
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
    KeychainError::new(
        NAME,
        KeychainReason::Refused,
        "a cryptographic operation failed",
    )
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

fn stretch(passphrase: &Secret, salt: &[u8; KDF_SALT_LEN]) -> Outcome<Key> {
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
        if bytes.len() < HEADER_LEN || &bytes[..MAGIC.len()] != MAGIC {
            return Err(damaged());
        }
        let mut rest = &bytes[MAGIC.len()..HEADER_LEN];
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
            return Err(KeychainError::new(
                NAME,
                KeychainReason::Refused,
                "it was written by a later version of age-oauth",
            ));
        }
        Ok(header)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.push(self.kdf);
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(&self.kdf_salt);
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    /// The key that a master gives for this vault, if it is the right one.
    fn derive(&self, master: &Master) -> Outcome<Option<Key>> {
        let key = match (master, self.kdf) {
            (Master::Raw(key), KDF_NONE) => key.clone(),
            (Master::Passphrase(passphrase), KDF_ARGON2ID) => stretch(passphrase, &self.kdf_salt)?,
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
struct Items(BTreeMap<String, Kept>);

#[derive(Deserialize)]
struct Kept {
    title: String,
    secret: Secret,
}

#[derive(Serialize)]
struct KeptRecord<'a> {
    title: &'a str,
    secret: &'a str,
}

struct Opened {
    header: Header,
    key: Key,
    items: Items,
}

impl Opened {
    fn seal(&mut self) -> Outcome<Vec<u8>> {
        self.header.salt = random()?;
        let records: BTreeMap<&str, KeptRecord<'_>> = self
            .items
            .0
            .iter()
            .map(|(account, kept)| {
                let record = KeptRecord {
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
        let header = self.header.bytes();
        let tag = self
            .header
            .sealing_key(&self.key)?
            .seal_in_place_separate_tag(nonce(), Aad::from(&header), &mut document)
            .map_err(|_| crypto_failed())?;
        let mut bytes = header;
        bytes.extend_from_slice(&document);
        bytes.extend_from_slice(tag.as_ref());
        Ok(bytes)
    }
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
            let kept = Kept {
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
