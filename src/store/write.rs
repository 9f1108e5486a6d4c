//! Adding, changing, renaming and removing connections, and the default.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::leftover::{delete_while_in_use, REMOVED};
use super::{ConnectionStore, RenewalLock};
use crate::connection::{Connection, ConnectionId, Label, Tls};
use crate::context::Context;
use crate::crash;
use crate::error::{Error, FileAction, Result};
use crate::files;

impl ConnectionStore {
    /// Writes a new connection; `ca` becomes its `ca.pem`. The first connection becomes the
    /// default. Returns whether this one did.
    ///
    /// Afterwards either all of it exists or nothing.
    pub fn add(
        &self,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<bool> {
        let _store = self.lock_store(context)?;
        // Folders of the Python package do not count. Listing reads every `meta.json`, so it comes
        // last.
        let first = self.ids()?.is_empty()
            || self.default_id()?.is_none() && self.list(None)?.connections.is_empty();
        self.create(connection, ca)?;
        // From here on, the connection is visible, and an error would say that it was not added. As
        // the only one, it is used without being the default.
        Ok(first && self.set_default(Some(&connection.id)).is_ok())
    }

    /// Writes a new connection that never becomes the default.
    #[cfg(any(feature = "migrate", test))]
    pub(crate) fn add_without_default(
        &self,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<()> {
        let _store = self.lock_store(context)?;
        self.create(connection, ca)
    }

    fn create(&self, connection: &Connection, ca: Option<&[u8]>) -> Result<()> {
        // The label first: a label file without a connection does no harm, but a connection that
        // another one's label leads to could not be found.
        self.claim_label(&connection.label, &connection.id)?;
        let created = self.create_folder(connection, ca);
        if created.is_err() {
            self.release_label(&connection.label, &connection.id)?;
        }
        created
    }

    fn create_folder(&self, connection: &Connection, ca: Option<&[u8]>) -> Result<()> {
        let target = self.folder(&connection.id);
        // An id never begins with a dot, so no other process takes the draft for a connection.
        let draft = target.with_file_name(format!(".{}", connection.id));
        let filled = (|| {
            files::private_dir(&draft)?;
            if let Some(pem) = ca {
                let name = match connection.tls {
                    Tls::Pinned { .. } => "pinned.pem",
                    _ => "ca.pem",
                };
                files::write(&draft.join(name), pem)?;
            }
            let meta = self.serialize(Map::new(), connection)?;
            files::write(&draft.join("meta.json"), &meta)?;
            // One rename makes the whole connection visible at once.
            fs::rename(&draft, &target).map_err(Error::file(FileAction::Create, &target))?;
            crash::point("folder renamed");
            Ok(())
        })();
        if filled.is_err() {
            // A draft that stays does no harm; the first error is the one to report.
            let _ = fs::remove_dir_all(&draft);
        }
        filled
    }

    /// Turns a folder of the Python package, which is in this store, into a connection. Fields that
    /// this version does not know stay in `meta.json`. The caller has locked the folder with
    /// [`Self::lock_folder`].
    #[cfg(feature = "migrate")]
    pub(crate) fn adopt(
        &self,
        lock: &RenewalLock,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<()> {
        let _store = self.lock_store(context)?;
        self.claim_label(&connection.label, lock.id())?;
        let document = self.read_meta(lock.id()).ok().flatten().unwrap_or_default();
        // `meta.json` last: until it is replaced, the folder is still the package's and the import
        // can be repeated.
        let written = ca
            .map_or(Ok(()), |pem| self.write_ca(lock, pem))
            .and_then(|()| self.write_meta(document, connection));
        if written.is_err() {
            self.release_label(&connection.label, lock.id())?;
        }
        written
    }

    /// Reads the connection again, changes it, and writes it. Fields that this version does not
    /// know stay. The id and the label do not change; for labels there is [`Self::rename`].
    pub fn update(
        &self,
        lock: &RenewalLock,
        change: impl FnOnce(&mut Connection),
    ) -> Result<Connection> {
        let (document, mut connection) = self.read_locked(lock)?;
        let label = connection.label.clone();
        change(&mut connection);
        connection.id = lock.id().clone();
        connection.label = label;
        self.write_meta(document, &connection)?;
        Ok(connection)
    }

    /// Gives the connection another label. The id stays.
    pub fn rename(
        &self,
        lock: &RenewalLock,
        label: &Label,
        context: &Context,
    ) -> Result<Connection> {
        let _store = self.lock_store(context)?;
        let (document, mut connection) = self.read_locked(lock)?;
        let old = std::mem::replace(&mut connection.label, label.clone());
        // `prod` and `Prod` have the same label file.
        let moves = old.folded() != label.folded();
        // The new label first, then `meta.json`, then the old label goes. Wherever this is
        // interrupted, the label in `meta.json` has its file; a label file too many is ignored and
        // written over later.
        if moves {
            self.claim_label(label, lock.id())?;
        }
        if let Err(error) = self.write_meta(document, &connection) {
            if moves {
                self.release_label(label, lock.id())?;
            }
            return Err(error);
        }
        if moves {
            self.release_label(&old, lock.id())?;
        }
        Ok(connection)
    }

    fn read_locked(&self, lock: &RenewalLock) -> Result<(Map<String, Value>, Connection)> {
        let document = self
            .read_meta(lock.id())?
            .ok_or_else(|| self.not_found(Some(lock.id().as_str())))?;
        let connection = self.parse_meta(lock.id(), &document)?;
        Ok((document, connection))
    }

    fn write_meta(&self, document: Map<String, Value>, connection: &Connection) -> Result<()> {
        let bytes = self.serialize(document, connection)?;
        files::write(&self.meta_path(&connection.id), &bytes)
    }

    /// Replaces the connection's `ca.pem`. Whether the connection uses it is set by
    /// [`Self::update`].
    pub fn write_ca(&self, lock: &RenewalLock, pem: &[u8]) -> Result<()> {
        files::write(&self.ca_path(lock.id()), pem)
    }

    /// Replaces the connection's `pinned.pem`, as [`Self::write_ca`].
    pub fn write_pinned(&self, lock: &RenewalLock, pem: &[u8]) -> Result<()> {
        files::write(&self.pinned_path(lock.id()), pem)
    }

    /// Removes the connection's folder, its label, and the default where it is this connection. The
    /// caller deletes the secrets before.
    pub fn remove(&self, lock: RenewalLock, context: &Context) -> Result<()> {
        let _store = self.lock_store(context)?;
        let (id, folder) = (lock.id().clone(), self.folder(lock.id()));
        let label = self.load_if_exists(&id).ok().flatten().map(|c| c.label);
        // From here on the folder is not a connection any more, and every process that finds it may
        // delete it.
        files::rename(&self.meta_path(&id), &folder.join(REMOVED))?;
        // The label and the default are free for other connections now.
        if let Some(label) = label {
            self.release_label(&label, &id)?;
        }
        if self.default_id()?.as_ref() == Some(&id) {
            self.set_default(None)?;
        }
        // Windows deletes no folder with an open file in it, and the lock is such a file.
        drop(lock);
        delete_while_in_use(&folder).map_err(Error::file(FileAction::Remove, &folder))
    }

    /// Removes a folder below `connections/` that cannot be read as a connection. Other paths are
    /// left alone.
    pub fn remove_broken(&self, folder: &Path, context: &Context) -> Result<()> {
        let _store = self.lock_store(context)?;
        let is_ours = folder.parent() == Some(&self.connections_folder());
        match fs::symlink_metadata(folder) {
            Ok(found) if is_ours && found.is_dir() => fs::remove_dir_all(folder),
            Ok(_) if is_ours => fs::remove_file(folder),
            _ => Ok(()),
        }
        .map_err(Error::file(FileAction::Remove, folder))
    }

    /// The id of the default connection, where one is set.
    pub fn default_id(&self) -> Result<Option<ConnectionId>> {
        Self::read_id(&self.root.join("default"))
    }

    /// Sets the default, or unsets it.
    pub fn set_default(&self, id: Option<&ConnectionId>) -> Result<()> {
        let path = self.root.join("default");
        match id {
            Some(id) => Self::write_id(&path, id),
            None => files::remove(&path),
        }
    }
}
