//! The folder tree that holds everything about connections that is not secret:
//!
//! ```text
//! connections/<id>/meta.json        the connection
//! connections/<id>/ca.pem           its own certificate authorities, where it has some
//! connections/<id>/pinned.pem       the one certificate that it trusts by itself, where it has one
//! connections/<id>/lock             its renewal lock
//! connections/.<id>/                a connection that is being added
//! labels/<SHA-256 of the label>     the id of the connection with this label
//! default                           the id of the default connection
//! lock                              the store's own lock
//! import.lock                       held while connections are imported
//! ```
//!
//! A connection is found by its label with two reads, however many connections there are. A process
//! that changes a connection holds its [`RenewalLock`]; a process that changes the set of
//! connections or labels (add, rename, remove) holds the store's own lock as well. The order is
//! always the same, renewal lock first, so that two processes never wait for each other. Files are
//! replaced as a whole, so a reader needs no lock.

mod find;
mod labels;
mod leftover;
mod lock;
mod meta;
#[cfg(test)]
mod tests;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::connection::{fold, Connection, ConnectionId};
use crate::context::Environment;
use crate::env;
use crate::error::{Error, FileAction, Result};
use crate::files;

pub use lock::RenewalLock;
#[cfg(feature = "migrate")]
pub use meta::FIRST_SCHEMA;
#[cfg(feature = "cli")]
pub(crate) use meta::SHOWN_BY;

/// All connections of one user: a folder with a file `meta.json` for each, without secrets.
///
/// ```
/// use age_oauth::{ConnectionStore, Error, Selector};
///
/// # fn main() -> age_oauth::Result<()> {
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// let store = ConnectionStore::open(folder);
/// for connection in store.list(None)?.connections {
///     println!("{}: {}", connection.label, connection.api_url());
/// }
/// let missing = store.find(&Selector::Name("prod".to_owned()));
/// assert!(matches!(missing, Err(Error::NoConnection { .. })));
/// # Ok(())
/// # }
/// ```
///
/// A process that changes a connection holds its [`RenewalLock`]; reading needs none. Prefer
/// `age-oauth connections add` to [`add`](Self::add): the program also asks the portal whether the
/// settings are right, and stores the client secret.
#[derive(Clone, Debug)]
pub struct ConnectionStore {
    root: PathBuf,
    custom: bool,
}

/// How a caller names a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// A label, a full id, or a unique prefix of an id.
    Name(String),
    /// A full id.
    Id(String),
}

/// What [`ConnectionStore::list`] found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Connections in order of their labels.
    pub connections: Vec<Connection>,
    /// Connections of the Python package that are not imported yet.
    pub plaintext: Vec<Plaintext>,
    /// Folders that cannot be read as a connection, each with the reason.
    pub broken: Vec<Error>,
}

/// A connection of the Python package, which stores its secrets in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plaintext {
    /// The name of its folder.
    pub id: String,
    /// The label that the package gave it, else its id.
    pub label: String,
    /// The portal, as the package wrote it; empty where it wrote none.
    pub portal_url: String,
}

impl Plaintext {
    /// The command that imports such a connection. Without the feature `migrate`, there is no such
    /// command, and the folders of the Python package are listed as broken.
    pub const IMPORT: &'static str = "age-oauth connections import";
}

impl ConnectionStore {
    /// The user's own store: `AGE_OAUTH_HOME`, else `age_oauth` in the platform's configuration
    /// folder. Touches no file.
    pub fn open_default(environment: &Environment) -> Result<Self> {
        if let Some(root) = environment.absolute_path(env::AGE_OAUTH_HOME)? {
            let root = std::path::absolute(&root).map_err(Error::file(FileAction::Locate, root))?;
            return Ok(Self { root, custom: true });
        }
        let config = dirs::config_dir().ok_or_else(|| {
            Error::invalid(
                env::AGE_OAUTH_HOME,
                "it is not set, and no home directory is known to use instead",
            )
        })?;
        Ok(Self {
            root: config.join("age_oauth"),
            custom: false,
        })
    }

    /// The store below `root`. Touches no file.
    #[must_use]
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            custom: true,
        }
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the root was chosen by `AGE_OAUTH_HOME` or by a caller. The vault's key file is
    /// beside such a root.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.custom
    }

    fn connections_folder(&self) -> PathBuf {
        self.root.join("connections")
    }

    /// A connection's folder.
    #[must_use]
    pub fn folder(&self, id: &ConnectionId) -> PathBuf {
        self.connections_folder().join(id.as_str())
    }

    /// Where a connection's own certificate authorities are.
    #[must_use]
    pub fn ca_path(&self, id: &ConnectionId) -> PathBuf {
        self.folder(id).join("ca.pem")
    }

    /// Where the certificate is that a connection trusts by itself.
    #[must_use]
    pub fn pinned_path(&self, id: &ConnectionId) -> PathBuf {
        self.folder(id).join("pinned.pem")
    }

    fn meta_path(&self, id: &ConnectionId) -> PathBuf {
        self.folder(id).join("meta.json")
    }

    /// The names of all folders below `connections/` that can be an id, in order.
    fn ids(&self) -> Result<Vec<ConnectionId>> {
        let folder = self.connections_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(Error::file(FileAction::Read, folder)(why)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::file(FileAction::Read, &folder))?;
            let name = entry.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Every connection, in order of labels; only those with this tag where one is given. Folders
    /// that cannot be read are listed as broken and do not make the call fail.
    pub fn list(&self, tag: Option<&str>) -> Result<Listing> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            self.list_one(&id, &mut listing);
        }
        if let Some(tag) = tag {
            let wanted = fold(tag);
            listing
                .connections
                .retain(|connection| connection.tags.iter().any(|tag| fold(tag) == wanted));
        }
        listing
            .connections
            .sort_by_cached_key(|connection| connection.label.folded());
        Ok(listing)
    }

    fn list_one(&self, id: &ConnectionId, listing: &mut Listing) {
        match self.read_meta(id) {
            Ok(Some(document)) => match Plaintext::in_document(id, &document) {
                Some(plaintext) => listing.plaintext.push(plaintext),
                None => match self.parse_meta(id, &document) {
                    Ok(connection) => listing.connections.push(connection),
                    Err(error) => listing.broken.push(error),
                },
            },
            Ok(None) => {
                // Removed since its name was read, or the rest of a removal that was interrupted:
                // not broken.
                let folder = self.folder(id);
                if folder.exists() && !leftover::is_leftover(&folder) {
                    listing.broken.push(Error::Corrupt {
                        path: folder,
                        why: "it has no meta.json".into(),
                    });
                }
            }
            Err(error) => listing.broken.push(error),
        }
    }

    /// Files and folders of the store that others than their owner may see.
    pub fn world_accessible(&self) -> Result<Vec<PathBuf>> {
        files::world_accessible(&self.root)
    }

    /// Gives every file and folder of the store to its owner alone.
    pub fn restrict_to_owner(&self) -> Result<()> {
        files::restrict_to_owner(&self.root)
    }
}
