//! The index of labels: one file per label, named by the digest of the label's folded form, with the connection's id in it.
//!
//! The index makes finding by label fast and keeps labels unique. `meta.json` decides what a connection is called; the
//! index can be written anew from all `meta.json` files at any time.

use std::path::{Path, PathBuf};

use ring::digest;

use super::ConnectionStore;
use crate::connection::{ConnectionId, Label};
use crate::error::{Error, Result};
use crate::files;
use crate::policy::MAX_META_BYTES;
use crate::util::hex;

impl ConnectionStore {
    pub(super) fn labels_folder(&self) -> PathBuf {
        self.root.join("labels")
    }

    /// Labels may contain any character and be long, so the file is named by a digest.
    pub(super) fn label_path(&self, folded: &str) -> PathBuf {
        let digest = digest::digest(&digest::SHA256, folded.as_bytes());
        self.labels_folder().join(hex(digest.as_ref()))
    }

    /// The id that a file holds, or `None` where there is no file or no id in it.
    pub(super) fn read_id(path: &Path) -> Result<Option<ConnectionId>> {
        let Some(bytes) = files::read(path, MAX_META_BYTES)? else {
            return Ok(None);
        };
        Ok(String::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok()))
    }

    pub(super) fn write_id(path: &Path, id: &ConnectionId) -> Result<()> {
        files::write(path, format!("{id}\n").as_bytes())
    }

    /// Fails with [`Error::NameTaken`] where another connection has this label.
    pub fn check_free(&self, label: &Label) -> Result<()> {
        match self.find_by_label(label.as_str())? {
            Some(connection) => Err(Error::NameTaken {
                label: connection.label.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Reserves the label for a connection that does not have it yet. The caller holds the store's lock.
    pub(super) fn claim_label(&self, label: &Label, id: &ConnectionId) -> Result<()> {
        // Two processes cannot both find the label free, because both hold the store's lock here.
        self.check_free(label)?;
        // A label file may exist nevertheless: its connection does not have this label, so a process left it that was
        // interrupted. It is written over.
        Self::write_id(&self.label_path(&label.folded()), id)
    }

    /// Removes the label file if it still leads to this connection. The caller holds the store's lock.
    pub(super) fn release_label(&self, label: &Label, id: &ConnectionId) -> Result<()> {
        let path = self.label_path(&label.folded());
        if Self::read_id(&path)?.as_ref() == Some(id) {
            files::remove(&path)?;
        }
        Ok(())
    }

    /// Writes the index of labels anew from all `meta.json` files.
    pub fn rebuild_labels(&self) -> Result<()> {
        let listing = self.list(None)?;
        files::private_dir(&self.labels_folder())?;
        for connection in &listing.connections {
            let path = self.label_path(&connection.label.folded());
            Self::write_id(&path, &connection.id)?;
        }
        Ok(())
    }
}
