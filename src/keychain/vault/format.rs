//! The vault file: a header, and a sealed JSON document.
//!
//! The header has a magic word and a version, the kind of key derivation and its salt, the key's
//! id, and a random salt. The document is sealed by ChaCha20-Poly1305, with the header as
//! associated data. Every write draws a new salt and derives from it, by HKDF, the key that seals
//! this one document; that is why the nonce may be zero.

use std::collections::BTreeMap;

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305, NONCE_LEN};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{crypto_failed, damaged, refused};
use super::keys::{random, Key, MasterKey, KEY_LEN};
use super::Result;
use crate::secret::Secret;

const MAGIC: &[u8; 7] = b"AGEOVLT";
pub(super) const VERSION: u8 = b'1';
const ID_LEN: usize = 8;
pub(super) const KDF_SALT_LEN: usize = 16;
pub(super) const SALT_LEN: usize = 32;
pub(super) const HEADER_LEN: usize = MAGIC.len() + 2 + ID_LEN + KDF_SALT_LEN + SALT_LEN;

/// The master key is the vault key.
pub(super) const KDF_NONE: u8 = 0;
/// The vault key is derived from a passphrase by argon2id, with the least memory and passes that
/// OWASP recommends.
const KDF_ARGON2ID: u8 = 1;
const ARGON2_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;

/// Names a key without revealing anything of it.
pub(super) fn key_id(key: &Key) -> [u8; ID_LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"age-oauth vault key id");
    context.update(&**key);
    let mut id = [0; ID_LEN];
    id.copy_from_slice(&context.finish().as_ref()[..ID_LEN]);
    id
}

fn derive_key(passphrase: &Secret, salt: &[u8; KDF_SALT_LEN]) -> Result<Key> {
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
pub(super) struct Header {
    pub(super) kdf: u8,
    pub(super) key_id: [u8; ID_LEN],
    pub(super) kdf_salt: [u8; KDF_SALT_LEN],
    pub(super) salt: [u8; SALT_LEN],
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let later = || refused("it was written by a later version of age-oauth");
        // The version is compared before the length, because a later version may have another
        // header.
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

    /// Whether the key is derived from a passphrase.
    pub(super) fn needs_passphrase(&self) -> bool {
        self.kdf == KDF_ARGON2ID
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

    /// The vault key that this master key leads to, if it opens this vault.
    pub(super) fn derive(&self, master: &MasterKey) -> Result<Option<Key>> {
        let key = match (master, self.kdf) {
            (MasterKey::Raw(key), KDF_NONE) => key.clone(),
            (MasterKey::Passphrase(passphrase), KDF_ARGON2ID) => {
                derive_key(passphrase, &self.kdf_salt)?
            }
            _ => return Ok(None),
        };
        Ok(self.is_opened_by(&key).then_some(key))
    }

    /// The ID distinguishes a wrong key from a damaged file; decryption fails for both alike.
    pub(super) fn is_opened_by(&self, key: &Key) -> bool {
        key_id(key) == self.key_id
    }

    /// The key that seals one document. The random salt makes it a different one for every write.
    fn sealing_key(&self, key: &Key) -> Result<LessSafeKey> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &self.salt)
            .extract(&**key)
            .expand(&[b"age-oauth vault"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *bytes))
            .map_err(|_| crypto_failed())?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*bytes).map_err(|_| crypto_failed())?;
        Ok(LessSafeKey::new(key))
    }
}

/// A nonce must never be used twice with one key, and every sealing key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// The items in a vault, by their account.
pub(super) type Entries = BTreeMap<String, Entry>;

/// One item in a vault.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) title: String,
    pub(super) secret: Secret,
}

/// An [`Entry`] as it is written. [`Secret`] cannot be serialized, so that no secret is written by
/// accident.
#[derive(Serialize)]
struct EntryRecord<'a> {
    title: &'a str,
    secret: &'a str,
}

/// A vault in memory.
pub(super) struct OpenVault {
    header: Header,
    pub(super) key: Key,
    pub(super) entries: Entries,
}

impl OpenVault {
    /// An empty vault.
    pub(super) fn new(master: &MasterKey) -> Result<Self> {
        let mut vault = Self {
            header: Header {
                kdf: KDF_NONE,
                key_id: [0; ID_LEN],
                kdf_salt: [0; KDF_SALT_LEN],
                salt: [0; SALT_LEN],
            },
            key: Zeroizing::new([0; KEY_LEN]),
            entries: Entries::default(),
        };
        vault.set_key(master)?;
        Ok(vault)
    }

    /// Opens a file's bytes with the key that `find_key` returns for its header.
    pub(super) fn open(
        bytes: &[u8],
        find_key: impl FnOnce(&Header) -> Result<Key>,
    ) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let key = find_key(&header)?;
        let entries = unseal(&header, &key, &bytes[HEADER_LEN..])?;
        Ok(Self {
            header,
            key,
            entries,
        })
    }

    /// Sets the key for the next call of [`Self::seal`].
    pub(super) fn set_key(&mut self, master: &MasterKey) -> Result<()> {
        // A new salt for the passphrase, so that two vaults with one passphrase have different
        // keys.
        let kdf_salt = random()?;
        (self.header.kdf, self.key) = match master {
            MasterKey::Raw(key) => (KDF_NONE, key.clone()),
            MasterKey::Passphrase(passphrase) => (KDF_ARGON2ID, derive_key(passphrase, &kdf_salt)?),
        };
        self.header.kdf_salt = kdf_salt;
        self.header.key_id = key_id(&self.key);
        Ok(())
    }

    /// The file's bytes.
    pub(super) fn seal(&mut self) -> Result<Vec<u8>> {
        // A new salt for every write: see `sealing_key`.
        self.header.salt = random()?;
        let records: BTreeMap<&str, EntryRecord<'_>> = self
            .entries
            .iter()
            .map(|(account, entry)| {
                let record = EntryRecord {
                    title: &entry.title,
                    secret: entry.secret.expose(),
                };
                (account.as_str(), record)
            })
            .collect();
        // Room for the worst case of escaping: a buffer that grows would move and leave a copy of
        // the secrets behind.
        let room: usize = records
            .iter()
            .map(|(account, record)| {
                6 * (account.len() + record.title.len() + record.secret.len()) + 64
            })
            .sum();
        let mut document = Zeroizing::new(Vec::with_capacity(room + 64));
        serde_json::to_writer(&mut *document, &records).map_err(|_| crypto_failed())?;
        seal(&self.header, &self.key, document)
    }
}

/// The file's bytes. The header is authenticated with the document, so that a changed header is
/// noticed.
pub(super) fn seal(
    header: &Header,
    key: &Key,
    mut document: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut bytes = header.bytes();
    let tag = header
        .sealing_key(key)?
        .seal_in_place_separate_tag(nonce(), Aad::from(&bytes), &mut document)
        .map_err(|_| crypto_failed())?;
    bytes.extend_from_slice(&document);
    bytes.extend_from_slice(tag.as_ref());
    Ok(bytes)
}

fn unseal(header: &Header, key: &Key, sealed: &[u8]) -> Result<Entries> {
    // Decrypted in place, in a buffer that is wiped.
    let mut document = Zeroizing::new(sealed.to_vec());
    let aad = header.bytes();
    let plain = header
        .sealing_key(key)?
        .open_in_place(nonce(), Aad::from(&aad), &mut document)
        .map_err(|_| damaged())?;
    serde_json::from_slice(plain).map_err(|_| damaged())
}
