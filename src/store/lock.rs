//! The locks of the store: one per connection, one for the whole store, one for imports.

use std::time::Duration;

use super::leftover::{delete_leftover, is_leftover, LOCK};
use super::ConnectionStore;
use crate::connection::{Connection, ConnectionId};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::files::{self, Lock};
use crate::policy::STORE_LOCK_TIMEOUT;

/// Proof that no other process renews or changes this connection now. Released on drop.
#[derive(Debug)]
pub struct RenewalLock {
    id: ConnectionId,
    _lock: Lock,
}

impl RenewalLock {
    /// Which connection is locked.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }
}

impl ConnectionStore {
    /// Takes the connection's renewal lock, waiting at most `timeout`, and reads the connection
    /// again.
    ///
    /// [`Error::Busy`] where another process holds the lock longer; [`Error::NoConnection`] where
    /// the connection was removed meanwhile.
    pub fn lock(
        &self,
        connection: &Connection,
        timeout: Duration,
        context: &Context,
    ) -> Result<(RenewalLock, Connection)> {
        let not_found = || self.not_found(Some(connection.label.as_str()));
        // Without this check, a process would make its lock file in the folder of a connection that
        // is being removed.
        if !self.is_connection(&connection.id) {
            return Err(not_found());
        }
        let lock = match self.lock_folder(&connection.id, timeout, context) {
            Ok(lock) => lock,
            // The folder went away between the check and the lock, or during the wait.
            Err(_) if !self.is_connection(&connection.id) => {
                self.tidy_up(&connection.id);
                return Err(not_found());
            }
            Err(Error::Busy { pid, .. }) => {
                return Err(Error::Busy {
                    what: connection.label.to_string(),
                    pid,
                })
            }
            Err(error) => return Err(error),
        };
        // Another process may have changed or removed the connection during the wait.
        if let Some(current) = self.load_if_exists(&connection.id)? {
            return Ok((lock, current));
        }
        drop(lock);
        self.tidy_up(&connection.id);
        Err(not_found())
    }

    fn is_connection(&self, id: &ConnectionId) -> bool {
        self.meta_path(id).is_file()
    }

    /// Deletes what this process may have left in the folder of a connection that another one has
    /// removed. What cannot be deleted now is hidden already.
    fn tidy_up(&self, id: &ConnectionId) {
        let folder = self.folder(id);
        if is_leftover(&folder) {
            let _ = delete_leftover(&folder);
        }
    }

    /// Takes the lock of a folder that may not be a connection yet, waiting at most `timeout`.
    pub(crate) fn lock_folder(
        &self,
        id: &ConnectionId,
        timeout: Duration,
        context: &Context,
    ) -> Result<RenewalLock> {
        let lock = Lock::acquire(&self.folder(id).join(LOCK), timeout, context)?;
        Ok(RenewalLock {
            id: id.clone(),
            _lock: lock,
        })
    }

    /// Takes the lock that lets one process at a time import connections into this store.
    #[cfg(feature = "migrate")]
    pub(crate) fn lock_import(&self, timeout: Duration, context: &Context) -> Result<Lock> {
        files::private_dir(&self.root)?;
        Lock::acquire(&self.root.join("import.lock"), timeout, context)
    }

    /// Takes the store's own lock, and creates the tree where it is missing.
    pub(super) fn lock_store(&self, context: &Context) -> Result<Lock> {
        files::private_dir(&self.root)?;
        files::private_dir(&self.connections_folder())?;
        // A store that was written by hand has no index yet. Claiming a label relies on a complete
        // one.
        if !self.labels_folder().is_dir() {
            self.rebuild_labels()?;
        }
        let lock = Lock::acquire(&self.root.join("lock"), STORE_LOCK_TIMEOUT, context)?;
        // The lock is held and every change happens under it, so these folders are not in use.
        for id in self.ids()? {
            let folder = self.folder(&id);
            if is_leftover(&folder) {
                // What cannot be deleted now is hidden already, and the next process tries again.
                let _ = delete_leftover(&folder);
            }
        }
        Ok(lock)
    }
}
