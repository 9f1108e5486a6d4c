//! Imports a connection, in the order that makes it safe to interrupt and to run twice: secrets are
//! stored, read back and compared; then the connection is made; only then is the plaintext
//! overwritten and deleted. The caller then extends the sign-in, and has the old index forget the
//! connection last, so that what was interrupted is found again.

use std::fs;
use std::path::Path;

use super::note::Note;
use super::package_store::PackageStore;
use super::plan::{has_refresh, Migration, NewConnection};
use crate::binding::Binding;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::files;
use crate::keychain::{Item, ItemKind};
use crate::manage::{keychain_error, store_verified};
use crate::policy::RENEWAL_LOCK_TIMEOUT;
use crate::secret::Secret;
use crate::token::{ClientSecret, Tokens};

/// What was done about one connection.
#[derive(Debug)]
pub struct Migrated {
    /// The connection as it is now.
    pub connection: Connection,
    /// Whether it had been imported before, and only what was left was done now.
    pub resumed: bool,
    /// Whether the client secret was in the plaintext.
    pub had_secret: bool,
    /// Whether the sign-in was in the plaintext, so that it should be extended now.
    pub extend: bool,
    /// A refresh token of the plaintext that is still valid but not stored: another sign-in took
    /// its place.
    pub stray: Option<Secret>,
    /// Why plaintext is still there.
    pub left: Option<Error>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

impl Migration<'_> {
    /// Imports a connection. Where that fails, the old store is as it was.
    pub fn execute(&self, new: NewConnection) -> Result<Migrated> {
        let NewConnection {
            connection,
            old,
            ca,
            tokens,
            in_place,
            mut notes,
        } = new;
        // A folder that is adopted may be in use already.
        let lock = in_place
            .then(|| {
                self.store
                    .lock_folder(&connection.id, RENEWAL_LOCK_TIMEOUT, self.context)
            })
            .transpose()?;
        // 1. Secrets into the keychain, each read back and compared, and before them what they are
        // bound to.
        let binding = Binding::of(&connection, ca.as_deref());
        self.store(&connection, ItemKind::Binding, &binding.to_record())?;
        self.store_secrets(
            &connection,
            &binding,
            old.client_secret.as_ref(),
            tokens.as_ref(),
        )?;
        // 2. The connection. From here on it is usable.
        let created = match &lock {
            Some(lock) => self
                .store
                .adopt(lock, &connection, ca.as_deref(), self.context),
            None => self
                .store
                .add_without_default(&connection, ca.as_deref(), self.context),
        };
        if let Err(error) = created {
            if lock.is_none() {
                self.drop_secrets(&connection);
            }
            return Err(error);
        }
        // 3. The plaintext goes. Where that fails, the connection stays and the error is reported.
        let left = if self.options.keep_plaintext {
            None
        } else {
            self.wipe(&connection, &old, &mut notes).err()
        };
        Ok(Migrated {
            resumed: false,
            had_secret: old.client_secret.is_some(),
            extend: has_refresh(tokens.as_ref()),
            stray: None,
            left,
            notes,
            connection,
        })
    }

    fn store(&self, connection: &Connection, kind: ItemKind, record: &Secret) -> Result<()> {
        let keychain = self.keychains.of(connection.keychain);
        store_verified(keychain.as_ref(), &Item::of(connection, kind), record)
            .map_err(|error| keychain_error(error, connection, kind))
    }

    pub(super) fn store_secrets(
        &self,
        connection: &Connection,
        binding: &Binding,
        secret: Option<&Secret>,
        tokens: Option<&Tokens>,
    ) -> Result<()> {
        if let Some(secret) = secret {
            let record = ClientSecret {
                binding: binding.clone(),
                secret: secret.duplicate(),
            }
            .to_record();
            self.store(connection, ItemKind::ClientSecret, &record)?;
        }
        tokens.map_or(Ok(()), |tokens| {
            self.store(connection, ItemKind::Tokens, &tokens.to_record())
        })
    }

    /// Cleans up after a connection that could not be created. `doctor` finds what cannot be
    /// deleted here.
    fn drop_secrets(&self, connection: &Connection) {
        let keychain = self.keychains.of(connection.keychain);
        for kind in ItemKind::OF_CONNECTION {
            let _ = keychain.delete(&Item::of(connection, kind));
        }
    }

    /// Removes a connection from the old index: the last step of importing it.
    pub fn forget(&self, root: &Path, id: &str) -> Result<()> {
        let package_store = PackageStore::open(root);
        if self.options.keep_plaintext || !package_store.is_indexed(id) {
            return Ok(());
        }
        files::write(
            &root.join("connections.json"),
            &package_store.index_without(id),
        )
    }

    /// The end of an import, after each connection was tried. The old store's default becomes ours
    /// unless there was one, and the old store is removed where nothing is left in it. Returns the
    /// default where it was set now.
    pub fn finish(&self, root: &Path) -> Result<Option<Connection>> {
        let package_store = PackageStore::open(root);
        let default = match package_store.default_id() {
            Some(id) => self.imported_from(id)?,
            None => None,
        };
        let default = default.filter(|_| !self.had_default);
        if let Some(connection) = &default {
            self.store.set_default(Some(&connection.id))?;
        }
        if !self.options.keep_plaintext {
            self.remove_empty(&package_store)?;
        }
        Ok(default)
    }

    fn imported_from(&self, id: &str) -> Result<Option<Connection>> {
        if let Some(connection) = self.existing(id, false)?.pop() {
            return Ok(Some(connection));
        }
        Ok(self
            .store
            .list(None)?
            .connections
            .into_iter()
            .find(|connection| connection.legacy_id.as_deref() == Some(id)))
    }

    fn remove_empty(&self, package_store: &PackageStore) -> Result<()> {
        let root = package_store.root();
        if package_store.damage.is_none() && package_store.ids()?.is_empty() {
            files::remove(&root.join("active_connection"))?;
            files::remove(&root.join("connections.json"))?;
            if !self.is_in_place(package_store) {
                // Folders that hold something else stay.
                let _ = fs::remove_dir(root.join("connections"));
                let _ = fs::remove_dir(root);
            }
        }
        if self.is_in_place(package_store)
            && root.is_dir()
            && !files::world_accessible(root)?.is_empty()
        {
            files::restrict_to_owner(root)?;
        }
        Ok(())
    }
}
