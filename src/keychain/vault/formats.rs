//! The formats without the files, under a key that protects nothing, for [`crate::testing`].

use zeroize::Zeroizing;

use super::error::damaged;
use super::format::{key_id, seal, Entry, Header, OpenVault, KDF_NONE, KDF_SALT_LEN, SALT_LEN};
use super::key_file::{decode, encode};
use super::keys::{Key, MasterKey, KEY_LEN};
use super::Result;
use crate::secret::Secret;

fn key() -> Key {
    Zeroizing::new([7; KEY_LEN])
}

/// Each item's account, title and secret.
pub(crate) type Contents = Vec<(String, String, String)>;

pub(crate) fn open(file: &[u8]) -> Result<Contents> {
    let master = MasterKey::Raw(key());
    let opened = OpenVault::open(file, |header| header.derive(&master)?.ok_or_else(damaged))?;
    let items = opened.entries.into_iter();
    Ok(items
        .map(|(account, entry)| (account, entry.title, entry.secret.expose().to_owned()))
        .collect())
}

/// A vault of these items, as they are written.
pub(crate) fn write(contents: Contents) -> Result<Vec<u8>> {
    let mut opened = OpenVault::new(&MasterKey::Raw(key()))?;
    let items = contents.into_iter().map(|(account, title, secret)| {
        let secret = Secret::new(secret);
        (account, Entry { title, secret })
    });
    opened.entries = items.collect();
    opened.seal()
}

/// A vault with any document in it, the same for the same document.
pub(crate) fn seal_any(document: &[u8]) -> Result<Vec<u8>> {
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
    Some(encode(&keys.iter().collect::<Vec<_>>()))
}
