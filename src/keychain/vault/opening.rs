//! Finding the key that opens the vault, and saying where it was looked for.

#[cfg(feature = "cli")]
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::wrong_key;
use super::format::Header;
use super::keys::{Key, KeySource};
use super::{Result, Vault};
use crate::env;
use crate::error::KeychainError;
use crate::event::{Event, Notice};
use crate::util::{hex, lock};

/// A place whose key opens the vault.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    /// What it is, for people: a variable or a path.
    pub(crate) name: String,
    /// The file, where it is one.
    pub(crate) file: Option<PathBuf>,
    /// Whether it is the key file that this program creates.
    pub(crate) is_own: bool,
    /// Whether it is a passphrase that is too short.
    pub(crate) is_weak: bool,
}

impl Vault {
    /// The key that opens the vault with this header, from any source.
    pub(super) fn find_key(&self, header: &Header) -> Result<Key> {
        // Another process may have sealed the vault with another key meanwhile.
        let derived = lock(&self.derived).clone();
        if let Some(key) = derived.filter(|key| header.is_opened_by(key)) {
            return Ok(key);
        }
        let key = self.search_key(header)?;
        if header.needs_passphrase() {
            *lock(&self.derived) = Some(key.clone());
        }
        Ok(key)
    }

    fn search_key(&self, header: &Header) -> Result<Key> {
        let mut failure: Option<KeychainError> = None;
        let mut tried = Vec::new();
        for source in KeySource::ORDER {
            // A source that cannot be read must not keep another one from opening the vault. Its
            // error is the likely cause if none does.
            let outcome = match self.keys_from(source) {
                Ok(masters) if masters.is_empty() => self.absence(source).to_owned(),
                Ok(masters) => {
                    for master in &masters {
                        if let Some(key) = header.derive(master)? {
                            if master.is_weak() {
                                self.warn_of_weak_passphrase();
                            }
                            return Ok(key);
                        }
                    }
                    "does not open it".to_owned()
                }
                Err(error) => {
                    let text = error.detail.clone();
                    failure.get_or_insert(error);
                    text
                }
            };
            let place = source.place(&self.context.environment, &self.key_file);
            tried.push(format!("{place}: {outcome}"));
        }
        let error = wrong_key(&hex(&header.key_id), header.needs_passphrase(), &tried);
        Err(match failure {
            None => error,
            Some(failure) => KeychainError {
                reason: failure.reason,
                ..error
            },
        })
    }

    fn absence(&self, source: KeySource) -> &'static str {
        match source.file(&self.context.environment, &self.key_file) {
            Ok(Some(_)) => "does not exist",
            _ => "not set",
        }
    }

    /// Once for all uses of the vault in one command.
    fn warn_of_weak_passphrase(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            let name = env::AGE_OAUTH_VAULT_PASSPHRASE;
            self.context.emit(&Event::Notice(Notice::Other {
                message: format!(
                    "the passphrase in {name} is so short that it can be guessed from a copy of the vault; to change it: age-oauth vault rekey --passphrase"
                ),
            }));
        }
    }

    /// All places whose key opens the vault; empty without a vault.
    #[cfg(feature = "cli")]
    pub(in crate::keychain) fn key_places(&self) -> Result<Vec<KeyPlace>> {
        let Some(header) = self.read_header()? else {
            return Ok(Vec::new());
        };
        let environment = &self.context.environment;
        let mut places = Vec::new();
        for source in KeySource::ORDER {
            for master in self.keys_from(source).unwrap_or_default() {
                if header.derive(&master)?.is_some() {
                    places.push(KeyPlace {
                        name: source.place(environment, &self.key_file),
                        file: source.file(environment, &self.key_file)?,
                        is_own: matches!(source, KeySource::KeyFile),
                        is_weak: master.is_weak(),
                    });
                }
            }
        }
        Ok(places)
    }
}
