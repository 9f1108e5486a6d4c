//! The directory tree that holds everything about connections that is no secret: one folder per connection, an index
//! of labels, the default. Finding by label reads two files, however many connections there are.
//!
//! Who writes a connection holds its [`RenewalLock`]; who changes what the tree contains (add, rename, remove) holds the
//! tree's own lock as well, always taken second. Files are replaced as a whole, so a reader needs no lock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ring::digest;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::connection::{
    fold, Connection, ConnectionId, Grant, KeychainKind, Label, PortalUrl, Proxy, RedirectUri,
    Status, Tls,
};
use crate::context::{Context, Environment};
use crate::crash;
use crate::error::{Error, FileAction, Result};
use crate::files::{self, Lock};

/// The newest `meta.json` that this version writes and reads. Schema 1 is the Python package's.
pub const SCHEMA: u64 = 2;

/// What `meta.json` is called in a folder that is being removed.
const REMOVED: &str = "meta.json.removed";

/// Larger than any honest `meta.json` or label file.
const MAX_FILE: u64 = 1024 * 1024;

/// Adding, renaming and removing touch a handful of small files.
const TREE_LOCK: Duration = Duration::from_secs(10);

/// How many labels an error lists.
const MAX_CANDIDATES: usize = 10;

/// All connections of one user.
#[derive(Clone, Debug)]
pub struct ConnectionStore {
    root: PathBuf,
    custom: bool,
}

/// How a connection was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Connections of the Python package that were not imported yet.
    pub plaintext: Vec<Plaintext>,
    /// Folders that could not be understood.
    pub broken: Vec<Error>,
}

/// A connection of the Python package, which keeps its secrets in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plaintext {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// The portal, as written there.
    pub portal_url: String,
}

/// Proof that nobody else renews or changes this connection now. Released on drop.
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
    /// The user's own: `AGE_OAUTH_HOME`, else `age_oauth` in the platform's configuration directory. Touches no file.
    pub fn open_default(environment: &Environment) -> Result<Self> {
        if let Some(root) = environment.path("AGE_OAUTH_HOME") {
            let root = std::path::absolute(&root).map_err(Error::file(FileAction::Locate, root))?;
            return Ok(Self { root, custom: true });
        }
        let config = dirs::config_dir().ok_or_else(|| {
            Error::invalid(
                "AGE_OAUTH_HOME",
                "it is not set, and no home directory is known to take its place",
            )
        })?;
        Ok(Self {
            root: config.join("age_oauth"),
            custom: false,
        })
    }

    /// Those below `root`. Touches no file.
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

    /// Whether the root was chosen by `AGE_OAUTH_HOME` or by a caller.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.custom
    }

    /// A connection's folder.
    #[must_use]
    pub fn folder(&self, id: &ConnectionId) -> PathBuf {
        self.root.join("connections").join(id.as_str())
    }

    /// Where a connection's own certificate authorities are.
    #[must_use]
    pub fn ca_path(&self, id: &ConnectionId) -> PathBuf {
        self.folder(id).join("ca.pem")
    }

    /// Finds one connection.
    ///
    /// A name is tried as a label (without regard to case), then as a full id, then as a prefix of an id that reaches at
    /// least four characters into its random part.
    pub fn find(&self, selector: &Selector) -> Result<Connection> {
        match selector {
            Selector::Name(name) => self.find_by_name(name),
            Selector::Id(id) => self
                .find_by_id(id)?
                .map_or_else(|| Err(self.unknown(Some(id))), Ok),
        }
    }

    /// The connection asked for, else the one that `AGE_OAUTH_CONNECTION` names, else the default, else the only one.
    pub fn choose(
        &self,
        asked: Option<&Selector>,
        environment: &Environment,
    ) -> Result<Connection> {
        if let Some(selector) = asked {
            return self.find(selector);
        }
        if let Some(name) = environment.var("AGE_OAUTH_CONNECTION") {
            return self.find(&Selector::Name(name));
        }
        if let Some(id) = self.default_id()? {
            if let Some(connection) = self.load_if_there(&id)? {
                return Ok(connection);
            }
        }
        let mut ids = self.ids()?;
        match (ids.pop(), ids.is_empty()) {
            (Some(only), true) => self.load(&only),
            _ => self.only_one(),
        }
    }

    /// Folders of the Python package do not count.
    fn only_one(&self) -> Result<Connection> {
        let mut connections = self.list(None)?.connections;
        match (connections.pop(), connections.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(self.unknown(None)),
            _ => Err(Error::Ambiguous {
                wanted: None,
                candidates: self.some_labels()?,
            }),
        }
    }

    fn find_by_name(&self, name: &str) -> Result<Connection> {
        if let Some(connection) = self.find_by_label(name)? {
            return Ok(connection);
        }
        if let Some(connection) = self.find_by_id(name)? {
            return Ok(connection);
        }
        let mut fitting: Vec<_> = self
            .ids()?
            .into_iter()
            .filter(|id| id.has_prefix(name))
            .collect();
        match (fitting.pop(), fitting.is_empty()) {
            (Some(only), true) => self.load(&only),
            (None, _) => Err(self.unknown(Some(name))),
            (Some(last), false) => {
                fitting.push(last);
                Err(Error::Ambiguous {
                    wanted: Some(name.to_owned()),
                    candidates: fitting.iter().map(ToString::to_string).collect(),
                })
            }
        }
    }

    fn find_by_label(&self, name: &str) -> Result<Option<Connection>> {
        let folded = fold(name.trim());
        if !self.labels().is_dir() {
            return Ok(self
                .list(None)?
                .connections
                .into_iter()
                .find(|connection| connection.label.folded() == folded));
        }
        let Some(id) = Self::read_id(&self.label_path(&folded))? else {
            return Ok(None);
        };
        // A label file may outlive its connection or a rename that was cut short; `meta.json` rules.
        Ok(self
            .load_if_there(&id)?
            .filter(|connection| connection.label.folded() == folded))
    }

    fn find_by_id(&self, text: &str) -> Result<Option<Connection>> {
        let id = text.parse::<ConnectionId>().ok();
        if let Some(connection) = id.as_ref().map_or(Ok(None), |id| self.load_if_there(id))? {
            return Ok(Some(connection));
        }
        // Ids of the Python package are names of files, too, but may be longer than ours.
        if id.is_none() && text.contains(|c: char| c.is_whitespace() || c == '/') {
            return Ok(None);
        }
        Ok(self
            .list(None)?
            .connections
            .into_iter()
            .find(|connection| connection.legacy_id.as_deref() == Some(text)))
    }

    /// Reads one connection.
    pub fn load(&self, id: &ConnectionId) -> Result<Connection> {
        self.load_if_there(id)?
            .ok_or_else(|| self.unknown(Some(id.as_str())))
    }

    /// One connection, or nothing where its folder is not there or still the Python package's.
    pub(crate) fn load_if_there(&self, id: &ConnectionId) -> Result<Option<Connection>> {
        match self.read_meta(id)? {
            Some(document) if Plaintext::in_document(id, &document).is_none() => {
                Ok(Some(self.parse_meta(id, &document)?))
            }
            _ => Ok(None),
        }
    }

    fn meta_path(&self, id: &ConnectionId) -> PathBuf {
        self.folder(id).join("meta.json")
    }

    fn read_meta(&self, id: &ConnectionId) -> Result<Option<Map<String, Value>>> {
        let folder = self.folder(id);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(Error::Corrupt {
                    path: folder,
                    why: "it is no directory of its own (a symbolic link is not followed)".into(),
                })
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(Error::file(FileAction::Read, folder)(why)),
        }
        let path = self.meta_path(id);
        let Some(bytes) = files::read(&path, MAX_FILE)? else {
            return Ok(None);
        };
        object(&bytes, path).map(Some)
    }

    pub(crate) fn parse_meta(
        &self,
        id: &ConnectionId,
        document: &Map<String, Value>,
    ) -> Result<Connection> {
        let corrupt = |why: String| Error::Corrupt {
            path: self.meta_path(id),
            why,
        };
        let schema = document
            .get("schema_version")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        if schema > SCHEMA {
            let writer = document
                .get("written_by")
                .and_then(Value::as_str)
                .unwrap_or("a later version of age-oauth");
            return Err(corrupt(format!(
                "it was written by {writer} (schema {schema}); this version reads up to schema {SCHEMA}"
            )));
        }
        if schema < SCHEMA {
            return Err(self.not_taken_over(id.as_str()));
        }
        let meta: Meta = serde_json::from_value(Value::Object(document.clone()))
            .map_err(|why| corrupt(why.to_string()))?;
        meta.into_connection(self.ca_path(id))
            .map_err(|why| corrupt(why.to_string()))
            .and_then(|connection| {
                if connection.id == *id {
                    Ok(connection)
                } else {
                    Err(corrupt(format!(
                        "it belongs to another id, {}",
                        connection.id
                    )))
                }
            })
    }

    /// Writes what the connection says over `document`, so that fields of later versions stay. What could not be read again
    /// is an error.
    pub(crate) fn serialise(
        &self,
        mut document: Map<String, Value>,
        connection: &Connection,
    ) -> Result<Vec<u8>> {
        let text = |value: &str| Value::from(value);
        let maybe = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
        let time =
            |value: Option<Timestamp>| value.map_or(Value::Null, |at| Value::from(rfc3339(at)));
        let mut put = |name: &str, value: Value| {
            document.insert(name.to_owned(), value);
        };
        put("schema_version", Value::from(SCHEMA));
        put(
            "written_by",
            text(concat!("age-oauth ", env!("CARGO_PKG_VERSION"))),
        );
        put("id", text(connection.id.as_str()));
        put("label", text(connection.label.as_str()));
        put("portal_url", text(connection.portal.as_str()));
        put("auth_type", text(connection.grant.as_str()));
        put("client_id", text(&connection.client_id));
        if let Grant::User { redirect_uri, pkce } = &connection.grant {
            put("redirect_uri", text(redirect_uri.as_str()));
            put("pkce", Value::from(*pkce));
        }
        put("referer", maybe(&connection.referer));
        put(
            "verify_ssl",
            Value::from(!matches!(connection.tls, Tls::Unverified)),
        );
        put(
            "ca_bundle",
            match &connection.tls {
                Tls::Ca(path) if *path == self.ca_path(&connection.id) => text("ca.pem"),
                // Somebody wrote it there by hand.
                Tls::Ca(path) => text(&path.to_string_lossy()),
                Tls::System | Tls::Unverified => Value::Null,
            },
        );
        put("ca_source", maybe(&connection.ca_source));
        put("proxy", text(connection.proxy.as_str()));
        put("keychain", text(connection.keychain.as_str()));
        put("tags", Value::from(connection.tags.clone()));
        put("created_at", time(connection.created_at));
        put("last_used_at", time(connection.last_used_at));
        let status = &connection.status;
        put("username", maybe(&status.username));
        put("signed_in_at", time(status.signed_in_at));
        put("refresh_issued_at", time(status.refresh_issued_at));
        put("refresh_expires_at", time(status.refresh_expires_at));
        put(
            "extendable",
            status.extendable.map_or(Value::Null, Value::from),
        );
        put("access_expires_at", time(status.access_expires_at));
        put("last_failure", maybe(&status.last_failure));
        put("legacy_id", maybe(&connection.legacy_id));
        put("machine", maybe(&status.machine));
        let mut bytes = format!("{:#}", Value::Object(document)).into_bytes();
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::invalid(
                "connection",
                format!("its description would be larger than {MAX_FILE} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Ids of all folders, in order.
    fn ids(&self) -> Result<Vec<ConnectionId>> {
        let folder = self.root.join("connections");
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

    /// Every connection, in order of labels; those with this tag where one is given. What cannot be read is listed, too.
    pub fn list(&self, tag: Option<&str>) -> Result<Listing> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            match self.read_meta(&id) {
                Ok(Some(document)) => match Plaintext::in_document(&id, &document) {
                    Some(plaintext) => listing.plaintext.push(plaintext),
                    None => match self.parse_meta(&id, &document) {
                        Ok(connection) => listing.connections.push(connection),
                        Err(error) => listing.broken.push(error),
                    },
                },
                Ok(None) => {
                    // Gone between the two looks, or a removal that was cut short.
                    let folder = self.folder(&id);
                    if folder.exists() && !is_leftover(&folder) {
                        listing.broken.push(Error::Corrupt {
                            path: self.folder(&id),
                            why: "it has no meta.json".into(),
                        });
                    }
                }
                Err(error) => listing.broken.push(error),
            }
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

    fn some_labels(&self) -> Result<Vec<String>> {
        Ok(labels(&self.list(None)?))
    }

    fn unknown(&self, wanted: Option<&str>) -> Error {
        let listing = self.list(None).unwrap_or_default();
        let folded = wanted.map(fold);
        let is_wanted = |old: &&Plaintext| match (wanted, &folded) {
            (Some(wanted), Some(folded)) => old.id == wanted || fold(&old.label) == *folded,
            _ => listing.connections.is_empty(),
        };
        if let Some(old) = listing.plaintext.iter().find(is_wanted) {
            return self.not_taken_over(&old.id);
        }
        Error::NoConnection {
            wanted: wanted.map(str::to_owned),
            known: labels(&listing),
        }
    }

    fn not_taken_over(&self, id: &str) -> Error {
        Error::Corrupt {
            path: self.root.join("connections").join(id),
            why: "it belongs to the Python package; `age-oauth connections import` takes it over"
                .into(),
        }
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

    /// Writes a new connection; `ca` becomes its `ca.pem`. The first one becomes the default. Returns whether it did.
    ///
    /// Either all of it exists afterwards or nothing.
    pub fn add(
        &self,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<bool> {
        let _tree = self.lock_tree(context)?;
        let first = self.ids()?.is_empty()
            || self.default_id()?.is_none() && self.list(None)?.connections.is_empty();
        self.make(connection, ca)?;
        if first {
            self.set_default(Some(&connection.id))?;
        }
        Ok(first)
    }

    /// The same, but it never becomes the default.
    pub(crate) fn add_without_default(
        &self,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<()> {
        let _tree = self.lock_tree(context)?;
        self.make(connection, ca)
    }

    fn make(&self, connection: &Connection, ca: Option<&[u8]>) -> Result<()> {
        self.claim_label(&connection.label, &connection.id)?;
        let made = self.make_folder(connection, ca);
        if made.is_err() {
            self.release_label(&connection.label, &connection.id)?;
        }
        made
    }

    /// Makes a folder of the Python package, which is in this store, a connection: what it was called there stays in
    /// `meta.json` where this version does not know it. Who calls this took the folder's lock by [`Self::lock_folder`].
    pub(crate) fn adopt(
        &self,
        lock: &RenewalLock,
        connection: &Connection,
        ca: Option<&[u8]>,
        context: &Context,
    ) -> Result<()> {
        let _tree = self.lock_tree(context)?;
        self.claim_label(&connection.label, &lock.id)?;
        let document = self.read_meta(&lock.id).ok().flatten().unwrap_or_default();
        let written = ca
            .map_or(Ok(()), |pem| self.write_ca(lock, pem))
            .and_then(|()| self.write_meta(document, connection));
        if written.is_err() {
            self.release_label(&connection.label, &lock.id)?;
        }
        written
    }

    /// Takes the lock of a folder that may not be a connection yet, waiting at most `bound`.
    pub(crate) fn lock_folder(
        &self,
        id: &ConnectionId,
        bound: Duration,
        context: &Context,
    ) -> Result<RenewalLock> {
        let lock = Lock::acquire(&self.folder(id).join("lock"), bound, context)?;
        Ok(RenewalLock {
            id: id.clone(),
            _lock: lock,
        })
    }

    /// Keeps any other process from taking connections over into this store.
    pub(crate) fn lock_import(&self, bound: Duration, context: &Context) -> Result<Lock> {
        files::private_dir(&self.root)?;
        Lock::acquire(&self.root.join("import.lock"), bound, context)
    }

    fn make_folder(&self, connection: &Connection, ca: Option<&[u8]>) -> Result<()> {
        let target = self.folder(&connection.id);
        // A leading dot is no connection id: until it is renamed, nobody sees it.
        let draft = target.with_file_name(format!(".{}", connection.id));
        let filled = (|| {
            files::private_dir(&draft)?;
            if let Some(pem) = ca {
                files::write(&draft.join("ca.pem"), pem)?;
            }
            files::write(
                &draft.join("meta.json"),
                &self.serialise(Map::new(), connection)?,
            )?;
            fs::rename(&draft, &target).map_err(Error::file(FileAction::Create, &target))?;
            crash::point("folder renamed");
            Ok(())
        })();
        if filled.is_err() {
            // What is left of a draft harms nobody; the first error is the one to tell.
            let _ = fs::remove_dir_all(&draft);
        }
        filled
    }

    /// Takes the connection's lock, waiting at most `bound`, and reads the connection again.
    ///
    /// [`Error::Busy`] where another process keeps it longer; [`Error::NoConnection`] where it was removed meanwhile.
    pub fn lock(
        &self,
        connection: &Connection,
        bound: Duration,
        context: &Context,
    ) -> Result<(RenewalLock, Connection)> {
        let id = &connection.id;
        if !self.folder(id).is_dir() {
            return Err(self.unknown(Some(connection.label.as_str())));
        }
        let lock =
            Lock::acquire(&self.folder(id).join("lock"), bound, context).map_err(|error| {
                match error {
                    Error::Busy { pid, .. } => Error::Busy {
                        what: connection.label.to_string(),
                        pid,
                    },
                    other => other,
                }
            })?;
        let current = self
            .load_if_there(id)?
            .ok_or_else(|| self.unknown(Some(connection.label.as_str())))?;
        let id = id.clone();
        Ok((RenewalLock { id, _lock: lock }, current))
    }

    /// Reads the connection again, changes it, and writes it. Unknown fields stay. The label is [`Self::rename`]'s.
    pub fn update(
        &self,
        lock: &RenewalLock,
        change: impl FnOnce(&mut Connection),
    ) -> Result<Connection> {
        let document = self
            .read_meta(&lock.id)?
            .ok_or_else(|| self.unknown(Some(lock.id.as_str())))?;
        let mut connection = self.parse_meta(&lock.id, &document)?;
        let label = connection.label.clone();
        change(&mut connection);
        connection.id = lock.id.clone();
        connection.label = label;
        self.write_meta(document, &connection)?;
        Ok(connection)
    }

    fn write_meta(&self, document: Map<String, Value>, connection: &Connection) -> Result<()> {
        let bytes = self.serialise(document, connection)?;
        files::write(&self.meta_path(&connection.id), &bytes)
    }

    /// Replaces the connection's `ca.pem`. What uses it is for [`Self::update`] to say.
    pub fn write_ca(&self, lock: &RenewalLock, pem: &[u8]) -> Result<()> {
        files::write(&self.ca_path(&lock.id), pem)
    }

    /// Gives the connection another label. The id stays.
    pub fn rename(
        &self,
        lock: &RenewalLock,
        label: &Label,
        context: &Context,
    ) -> Result<Connection> {
        let _tree = self.lock_tree(context)?;
        let document = self
            .read_meta(&lock.id)?
            .ok_or_else(|| self.unknown(Some(lock.id.as_str())))?;
        let mut connection = self.parse_meta(&lock.id, &document)?;
        let old = std::mem::replace(&mut connection.label, label.clone());
        let moved = old.folded() != label.folded();
        if moved {
            self.claim_label(label, &lock.id)?;
        }
        if let Err(error) = self.write_meta(document, &connection) {
            if moved {
                self.release_label(label, &lock.id)?;
            }
            return Err(error);
        }
        if moved {
            self.release_label(&old, &lock.id)?;
        }
        Ok(connection)
    }

    /// Removes the connection's folder, label, and its mark as default. Secrets must be gone by then.
    pub fn remove(&self, lock: RenewalLock, context: &Context) -> Result<()> {
        let _tree = self.lock_tree(context)?;
        let (id, folder) = (lock.id.clone(), self.folder(&lock.id));
        let label = self.load_if_there(&id).ok().flatten().map(|c| c.label);
        // From here on it is no connection, whatever happens next, and whoever finds the folder may clear it away.
        files::rename(&self.meta_path(&id), &folder.join(REMOVED))?;
        if let Some(label) = label {
            self.release_label(&label, &id)?;
        }
        if self.default_id()?.as_ref() == Some(&id) {
            self.set_default(None)?;
        }
        // Windows deletes no directory with an open file in it.
        drop(lock);
        clear_away(&folder).map_err(Error::file(FileAction::Remove, &folder))
    }

    /// Removes a folder that cannot be understood, by its name below `connections/`.
    pub fn remove_broken(&self, folder: &Path, context: &Context) -> Result<()> {
        let _tree = self.lock_tree(context)?;
        let is_ours = folder.parent() == Some(&self.root.join("connections"));
        match fs::symlink_metadata(folder) {
            Ok(found) if is_ours && found.is_dir() => fs::remove_dir_all(folder),
            Ok(_) if is_ours => fs::remove_file(folder),
            _ => Ok(()),
        }
        .map_err(Error::file(FileAction::Remove, folder))
    }

    fn lock_tree(&self, context: &Context) -> Result<Lock> {
        files::private_dir(&self.root)?;
        files::private_dir(&self.root.join("connections"))?;
        if !self.labels().is_dir() {
            self.rebuild_labels()?;
        }
        let lock = Lock::acquire(&self.root.join("lock"), TREE_LOCK, context)?;
        for id in self.ids()? {
            let folder = self.folder(&id);
            if is_leftover(&folder) {
                // It is in nobody's way; the next one may have more luck.
                let _ = clear_away(&folder);
            }
        }
        Ok(lock)
    }

    fn labels(&self) -> PathBuf {
        self.root.join("labels")
    }

    fn label_path(&self, folded: &str) -> PathBuf {
        let digest = digest::digest(&digest::SHA256, folded.as_bytes());
        self.labels().join(hex(digest.as_ref()))
    }

    fn read_id(path: &Path) -> Result<Option<ConnectionId>> {
        let Some(bytes) = files::read(path, MAX_FILE)? else {
            return Ok(None);
        };
        Ok(String::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok()))
    }

    /// Needs the tree's lock: a claim whose connection does not have this label was left by a crash and is taken over.
    fn claim_label(&self, label: &Label, id: &ConnectionId) -> Result<()> {
        self.check_free(label)?;
        let path = self.label_path(&label.folded());
        let line = format!("{id}\n");
        if !files::create_new(&path, line.as_bytes())? {
            files::write(&path, line.as_bytes())?;
        }
        Ok(())
    }

    fn release_label(&self, label: &Label, id: &ConnectionId) -> Result<()> {
        let path = self.label_path(&label.folded());
        if Self::read_id(&path)?.as_ref() == Some(id) {
            files::remove(&path)?;
        }
        Ok(())
    }

    /// Writes the label index anew from what the folders say.
    pub fn rebuild_labels(&self) -> Result<()> {
        let listing = self.list(None)?;
        files::private_dir(&self.labels())?;
        for connection in &listing.connections {
            let path = self.label_path(&connection.label.folded());
            files::write(&path, format!("{}\n", connection.id).as_bytes())?;
        }
        Ok(())
    }

    /// Files and folders of the store that others than their owner may see.
    pub fn world_accessible(&self) -> Result<Vec<PathBuf>> {
        files::world_accessible(&self.root)
    }

    /// Gives every file and folder of the store to its owner alone.
    pub fn take_access_from_others(&self) -> Result<()> {
        files::take_access_from_others(&self.root)
    }

    /// The id of the default connection, where one is set.
    pub fn default_id(&self) -> Result<Option<ConnectionId>> {
        Self::read_id(&self.root.join("default"))
    }

    /// Sets or forgets the default.
    pub fn set_default(&self, id: Option<&ConnectionId>) -> Result<()> {
        let path = self.root.join("default");
        match id {
            Some(id) => files::write(&path, format!("{id}\n").as_bytes()),
            None => files::remove(&path),
        }
    }
}

/// A few labels, for an error.
fn labels(listing: &Listing) -> Vec<String> {
    listing
        .connections
        .iter()
        .take(MAX_CANDIDATES)
        .map(|connection| connection.label.to_string())
        .collect()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Plaintext {
    fn in_document(id: &ConnectionId, document: &Map<String, Value>) -> Option<Self> {
        let schema = document.get("schema_version").and_then(Value::as_u64);
        if schema.unwrap_or(1) >= SCHEMA {
            return None;
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        Some(Self {
            id: id.to_string(),
            label: text("label").unwrap_or(id.as_str()).to_owned(),
            portal_url: text("portal_url").unwrap_or_default().to_owned(),
        })
    }
}

/// `meta.json` as it is written; [`Connection`] is what it means.
#[derive(Deserialize)]
struct Meta {
    id: String,
    label: String,
    portal_url: String,
    auth_type: String,
    client_id: String,
    redirect_uri: Option<String>,
    pkce: Option<bool>,
    referer: Option<String>,
    verify_ssl: Option<bool>,
    ca_bundle: Option<String>,
    ca_source: Option<String>,
    proxy: Option<String>,
    keychain: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    created_at: Option<String>,
    last_used_at: Option<String>,
    username: Option<String>,
    signed_in_at: Option<String>,
    refresh_issued_at: Option<String>,
    refresh_expires_at: Option<String>,
    extendable: Option<bool>,
    access_expires_at: Option<String>,
    last_failure: Option<String>,
    legacy_id: Option<String>,
    machine: Option<String>,
}

impl Meta {
    fn into_connection(self, ca_path: PathBuf) -> Result<Connection> {
        let time = |text: Option<String>| text.and_then(|text| text.parse::<Timestamp>().ok());
        let tls = match (self.verify_ssl.unwrap_or(true), self.ca_bundle) {
            (false, _) => Tls::Unverified,
            (true, None) => Tls::System,
            (true, Some(name)) if name == "ca.pem" => Tls::Ca(ca_path),
            (true, Some(path)) => Tls::Ca(PathBuf::from(path)),
        };
        let grant = match self.auth_type.as_str() {
            "user" => Grant::User {
                redirect_uri: match self.redirect_uri {
                    Some(uri) => uri.parse()?,
                    None => RedirectUri::OutOfBand,
                },
                pkce: self.pkce.unwrap_or(true),
            },
            "app" => Grant::Application,
            _ => return Err(Error::invalid("auth_type", "it is `user` or `app`")),
        };
        if self.client_id.is_empty() {
            return Err(Error::invalid("client_id", "it is empty"));
        }
        Ok(Connection {
            id: self.id.parse()?,
            label: self.label.parse()?,
            portal: self.portal_url.parse::<PortalUrl>()?,
            grant,
            client_id: self.client_id,
            tls,
            referer: self.referer.filter(|referer| !referer.is_empty()),
            proxy: self.proxy.map_or(Ok(Proxy::System), |text| text.parse())?,
            keychain: self
                .keychain
                .map_or(Ok(KeychainKind::Os), |text| text.parse())?,
            tags: self.tags,
            created_at: time(self.created_at),
            last_used_at: time(self.last_used_at),
            ca_source: self.ca_source,
            status: Status {
                username: self.username,
                signed_in_at: time(self.signed_in_at),
                refresh_issued_at: time(self.refresh_issued_at),
                refresh_expires_at: time(self.refresh_expires_at),
                extendable: self.extendable,
                access_expires_at: time(self.access_expires_at),
                last_failure: self.last_failure,
                machine: self.machine,
            },
            legacy_id: self.legacy_id,
        })
    }
}

/// The document in a `meta.json`.
pub(crate) fn object(bytes: &[u8], path: PathBuf) -> Result<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(Error::Corrupt {
            path,
            why: "it is JSON, but no object".into(),
        }),
        Err(why) => Err(Error::Corrupt {
            path,
            why: format!("it is no JSON ({why})"),
        }),
    }
}

/// RFC 3339, UTC, whole seconds.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// Whether the folder is what a removal left that was cut short.
fn is_leftover(folder: &Path) -> bool {
    let is_there = |name| fs::symlink_metadata(folder.join(name)).is_ok();
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    !is_there("meta.json") && (is_there(REMOVED) || is_empty())
}

/// Deletes a connection's folder; what says that it may be deleted goes last.
fn clear_away(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == REMOVED {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        crash::point("part of a folder removed");
    }
    fs::remove_dir_all(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store() -> (tempfile::TempDir, ConnectionStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ConnectionStore::open(folder.path().join("store"));
        (folder, store)
    }

    fn connection(label: &str) -> Connection {
        Connection::new(
            label.parse().unwrap(),
            "https://h/portal".parse().unwrap(),
            Grant::User {
                redirect_uri: RedirectUri::OutOfBand,
                pkce: true,
            },
            "client1".into(),
        )
    }

    fn added(store: &ConnectionStore, label: &str) -> Connection {
        let connection = connection(label);
        store.add(&connection, None, &Context::process()).unwrap();
        connection
    }

    fn named(name: &str) -> Selector {
        Selector::Name(name.into())
    }

    #[test]
    fn a_directory_written_by_hand_is_understood() {
        let (_folder, store) = store();
        let id = "my_portal_3f2c1e9a-7c5d-4e0b-9a51-0c8b7a6d5e4f";
        let folder = store.root().join("connections").join(id);
        fs::create_dir_all(&folder).unwrap();
        let meta = format!(
            r#"{{"schema_version": 2, "id": "{id}", "label": "My Portal", "portal_url": "https://gis.example.org/portal",
                "auth_type": "user", "client_id": "abc", "redirect_uri": "urn:ietf:wg:oauth:2.0:oob", "pkce": true,
                "referer": null, "verify_ssl": true, "ca_bundle": "ca.pem", "proxy": "system", "keychain": "vault",
                "tags": ["nightly"], "created_at": "2026-11-23T10:00:00Z", "last_used_at": null, "legacy_id": null}}"#
        );
        fs::write(folder.join("meta.json"), meta).unwrap();
        // Without the folder of labels the connections themselves are looked at.
        let found = store.find(&named("my portal")).unwrap();
        assert_eq!(found.tls, Tls::Ca(folder.join("ca.pem")));
        assert_eq!(found.keychain, KeychainKind::Vault);
        assert_eq!(found.created_at, "2026-11-23T10:00:00Z".parse().ok());
        assert_eq!(store.list(Some("NIGHTLY")).unwrap().connections.len(), 1);
        assert_eq!(store.list(Some("other")).unwrap().connections.len(), 0);
        added(&store, "second");
        assert_eq!(store.find(&named("MY PORTAL")).unwrap().id, found.id);
        assert!(matches!(
            store.check_free(&"my PORTAL".parse().unwrap()),
            Err(Error::NameTaken { .. })
        ));
    }

    #[test]
    fn authorities_that_somebody_named_by_hand_stay_named() {
        let (_folder, store) = store();
        let id = added(&store, "mine").id;
        let path = store.meta_path(&id);
        let named = |text: &str| {
            let mut document = store.read_meta(&id).unwrap().unwrap();
            document.insert("ca_bundle".into(), text.into());
            fs::write(&path, Value::Object(document).to_string()).unwrap();
            let connection = store.load(&id).unwrap();
            let context = Context::process();
            let (lock, _) = store.lock(&connection, TREE_LOCK, &context).unwrap();
            store
                .update(&lock, |connection| connection.tags.clear())
                .unwrap();
            (connection.tls, store.load(&id).unwrap().tls)
        };
        for text in ["/etc/ssl/city.pem", "ca.pem"] {
            let (before, after) = named(text);
            assert_eq!(before, after, "{text}");
            // A store that is moved takes its own file along.
            let document = store.read_meta(&id).unwrap().unwrap();
            assert_eq!(document["ca_bundle"], text);
        }
    }

    #[test]
    fn connections_of_the_python_package_are_listed_apart() {
        let (_folder, store) = store();
        let folder = store.root().join("connections/prod_1a2b3c4d");
        fs::create_dir_all(&folder).unwrap();
        let meta = r#"{"schema_version": 1, "id": "prod_1a2b3c4d", "label": "Prod", "portal_url": "https://h"}"#;
        fs::write(folder.join("meta.json"), meta).unwrap();
        let listing = store.list(None).unwrap();
        assert_eq!(listing.connections.len(), 0);
        assert_eq!(listing.plaintext[0].label, "Prod");
        assert!(store.find(&named("prod_1a2b3c4d")).is_err());
    }

    #[test]
    fn folders_of_the_python_package_stand_in_nobodys_way() {
        let (_folder, store) = store();
        let environment = Environment::of(Vec::<(String, String)>::new());
        let folder = store.root().join("connections/prod_1a2b3c4d");
        fs::create_dir_all(&folder).unwrap();
        let meta = r#"{"id": "prod_1a2b3c4d", "label": "Prod", "portal_url": "https://h"}"#;
        fs::write(folder.join("meta.json"), meta).unwrap();
        for wanted in [named("prod"), named("prod_1a2b"), named("prod_1a2b3c4d")] {
            let error = store.choose(Some(&wanted), &environment).unwrap_err();
            assert!(error.to_string().contains("connections import"), "{error}");
        }
        assert!(matches!(
            store.choose(None, &environment),
            Err(Error::Corrupt { .. })
        ));
        assert!(matches!(
            store.choose(Some(&named("nobody")), &environment),
            Err(Error::NoConnection { .. })
        ));
        // Neither a label nor an id is lost to them, and the first one of ours is the default.
        let mut ours = connection("PROD");
        ours.legacy_id = Some("prod_1a2b3c4d".into());
        assert!(store.add(&ours, None, &Context::process()).unwrap());
        store.set_default(None).unwrap();
        assert_eq!(store.choose(None, &environment).unwrap().id, ours.id);
        for name in ["prod", "prod_1a2b3c4d"] {
            assert_eq!(store.find(&named(name)).unwrap().id, ours.id);
        }
    }

    #[test]
    fn the_first_connection_becomes_the_default_and_gives_it_back() {
        let (_folder, store) = store();
        let environment = Environment::of(Vec::<(String, String)>::new());
        let context = Context::process();
        let first = added(&store, "first");
        let second = added(&store, "second");
        assert_eq!(store.choose(None, &environment).unwrap().id, first.id);
        let (lock, current) = store.lock(&first, Duration::ZERO, &context).unwrap();
        store.remove(lock, &context).unwrap();
        assert_eq!(store.default_id().unwrap(), None);
        assert_eq!(store.choose(None, &environment).unwrap().id, second.id);
        assert!(store.lock(&current, Duration::ZERO, &context).is_err());
        assert!(!store.folder(&first.id).exists());
    }

    #[test]
    fn what_a_crash_leaves_of_a_label_is_taken_over() {
        let (_folder, store) = store();
        added(&store, "other");
        let folded = "gone";
        fs::write(store.label_path(folded), "gone_00000000\n").unwrap();
        assert!(matches!(
            store.find(&named("gone")),
            Err(Error::NoConnection { .. })
        ));
        let gone = added(&store, "Gone");
        assert_eq!(store.find(&named("gone")).unwrap().id, gone.id);
    }

    #[test]
    fn writers_wait_for_one_another_and_lose_nothing() {
        let (_folder, store) = store();
        let one = added(&store, "one");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (store, one) = (&store, &one);
                scope.spawn(move || {
                    let context = Context::process();
                    let wait = Duration::from_secs(30);
                    let (lock, _) = store.lock(one, wait, &context).unwrap();
                    store
                        .update(&lock, |connection| connection.tags.push(number.to_string()))
                        .unwrap();
                    drop(lock);
                    added(store, &format!("new {number}"));
                });
            }
        });
        assert_eq!(store.load(&one.id).unwrap().tags.len(), 8);
        assert_eq!(store.list(None).unwrap().connections.len(), 9);
    }

    fn nowhere() -> Environment {
        Environment::of(Vec::<(String, String)>::new())
    }

    fn lock(store: &ConnectionStore, connection: &Connection) -> RenewalLock {
        let context = Context::process();
        store.lock(connection, TREE_LOCK, &context).unwrap().0
    }

    /// A folder as the Python package makes one.
    fn of_python(store: &ConnectionStore, id: &str) -> ConnectionId {
        let folder = store.root().join("connections").join(id);
        fs::create_dir_all(&folder).unwrap();
        let meta = format!(
            r#"{{"schema_version": 1, "id": "{id}", "label": "{id}", "portal_url": "https://h", "own": 7}}"#
        );
        fs::write(folder.join("meta.json"), meta).unwrap();
        id.parse().unwrap()
    }

    #[test]
    fn a_root_that_somebody_chose_is_custom() {
        let chosen = Environment::of([("AGE_OAUTH_HOME", "some/where")]);
        let store = ConnectionStore::open_default(&chosen).unwrap();
        assert!(store.is_custom() && store.root().is_absolute());
        assert!(!ConnectionStore::open_default(&nowhere())
            .unwrap()
            .is_custom());
    }

    #[test]
    fn which_connection_is_meant_is_told_or_asked_for_with_a_few_labels() {
        let (_folder, store) = store();
        assert!(matches!(
            store.choose(None, &nowhere()),
            Err(Error::NoConnection { wanted: None, known }) if known.is_empty()
        ));
        for number in 0..12 {
            added(&store, &format!("label {number:02}"));
        }
        let few: Vec<_> = (0..10).map(|number| format!("label {number:02}")).collect();
        store.set_default(None).unwrap();
        match store.choose(None, &nowhere()).unwrap_err() {
            Error::Ambiguous { candidates, .. } => assert_eq!(candidates, few),
            other => panic!("{other}"),
        }
        match store.find(&named("other")).unwrap_err() {
            Error::NoConnection { known, .. } => assert_eq!(known, few),
            other => panic!("{other}"),
        }
        // Whoever has none as a default keeps none.
        assert!(!store
            .add(&connection("one more"), None, &Context::process())
            .unwrap());
        assert_eq!(store.default_id().unwrap(), None);
    }

    #[test]
    fn the_only_connection_is_told_as_broken_where_it_is() {
        let (_folder, store) = store();
        let one = added(&store, "one");
        store.set_default(None).unwrap();
        fs::write(store.meta_path(&one.id), "{").unwrap();
        assert!(matches!(
            store.choose(None, &nowhere()),
            Err(Error::Corrupt { .. })
        ));
    }

    #[test]
    fn a_connection_made_beside_others_is_nobodys_default() {
        let (_folder, store) = store();
        let beside = connection("beside");
        store
            .add_without_default(&beside, None, &Context::process())
            .unwrap();
        assert_eq!(store.load(&beside.id).unwrap().label, beside.label);
        assert_eq!(store.default_id().unwrap(), None);
    }

    #[test]
    fn a_folder_of_the_python_package_becomes_a_connection_and_keeps_its_fields() {
        let (_folder, store) = store();
        let context = Context::process();
        let ids = ["prod_1a2b3c4d", "test_1a2b3c4d"].map(|id| of_python(&store, id));
        // Two of them are no choice between connections.
        assert!(matches!(
            store.choose(None, &nowhere()),
            Err(Error::Corrupt { .. })
        ));
        let mut ours = connection("Prod");
        ours.id = ids[0].clone();
        let lock = store.lock_folder(&ours.id, TREE_LOCK, &context).unwrap();
        store.adopt(&lock, &ours, Some(b"pem"), &context).unwrap();
        assert_eq!(store.find(&named("prod")).unwrap().id, ours.id);
        assert_eq!(fs::read(store.ca_path(&ours.id)).unwrap(), b"pem");
        let document = store.read_meta(&ours.id).unwrap().unwrap();
        assert_eq!(document["own"], 7);
        store.write_ca(&lock, b"another").unwrap();
        assert_eq!(fs::read(store.ca_path(&ours.id)).unwrap(), b"another");
    }

    #[test]
    fn what_the_python_package_called_it_finds_it() {
        let (_folder, store) = store();
        for (label, old) in [
            ("long", "x".repeat(300)),
            ("blank", "a b".to_owned()),
            ("path", "a/b".to_owned()),
        ] {
            let mut connection = connection(label);
            connection.legacy_id = Some(old.clone());
            store.add(&connection, None, &Context::process()).unwrap();
            let found = store.find(&Selector::Id(old)).ok().map(|found| found.id);
            assert_eq!(found, (label == "long").then_some(connection.id));
        }
    }

    #[test]
    fn a_new_label_leaves_no_trace_of_the_old_one() {
        let (_folder, store) = store();
        let context = Context::process();
        let one = added(&store, "one");
        let label = |text: &str| text.parse::<Label>().unwrap();
        for (new, gone) in [("two", Some("one")), ("TWO", None), ("three", Some("two"))] {
            store
                .rename(&lock(&store, &one), &label(new), &context)
                .unwrap();
            assert_eq!(store.find(&named(new)).unwrap().label.as_str(), new);
            if let Some(gone) = gone {
                assert!(store.find(&named(gone)).is_err());
                assert!(!store.label_path(gone).exists());
            }
        }
        assert_eq!(fs::read_dir(store.labels()).unwrap().count(), 1);
        // What meanwhile leads elsewhere is somebody else's.
        let other = added(&store, "other");
        store.release_label(&label("other"), &one.id).unwrap();
        assert_eq!(store.find(&named("other")).unwrap().id, other.id);
    }

    #[test]
    fn a_version_that_knows_less_leaves_a_later_meta_json_alone() {
        let (_folder, store) = store();
        let one = added(&store, "one");
        let path = store.meta_path(&one.id);
        let mut document = store.read_meta(&one.id).unwrap().unwrap();
        document.insert("schema_version".into(), 3.into());
        document.insert("written_by".into(), "age-oauth 9.9".into());
        let later = Value::Object(document).to_string();
        fs::write(&path, &later).unwrap();
        let error = store.load(&one.id).unwrap_err().to_string();
        assert!(error.contains("age-oauth 9.9 (schema 3)"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
    }

    #[test]
    fn a_meta_json_may_be_long_but_not_endless() {
        let (_folder, store) = store();
        let one = added(&store, "one");
        let grow = |tags: usize| {
            store.update(&lock(&store, &one), |one| {
                one.tags = vec!["x".repeat(1000); tags];
            })
        };
        grow(100).unwrap();
        assert_eq!(store.load(&one.id).unwrap().tags.len(), 100);
        // What could not be read again is not written.
        assert!(matches!(grow(1100), Err(Error::Invalid { .. })));
        assert_eq!(store.load(&one.id).unwrap().tags.len(), 100);
        fs::write(store.meta_path(&one.id), vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(store.load(&one.id), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn what_is_no_connection_is_listed_as_broken_and_removed_by_its_name_alone() {
        let (folder, store) = store();
        let context = Context::process();
        added(&store, "one");
        let at = |name: &str| store.root().join("connections").join(name);
        fs::create_dir(at("empty_00000000")).unwrap();
        fs::create_dir(at("torn_00000000")).unwrap();
        fs::write(at("torn_00000000").join("ca.pem"), "x").unwrap();
        fs::write(at("file_00000000"), "x").unwrap();
        let listing = store.list(None).unwrap();
        assert_eq!(listing.connections.len(), 1);
        let broken: Vec<_> = listing.broken.iter().map(ToString::to_string).collect();
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].contains("no directory of its own"), "{broken:?}");
        assert!(broken[1].contains("no meta.json"), "{broken:?}");

        let outside = folder.path().join("outside_00000000");
        fs::create_dir(&outside).unwrap();
        for name in ["torn_00000000", "file_00000000", "not there"] {
            store.remove_broken(&at(name), &context).unwrap();
            assert!(!at(name).exists());
        }
        store.remove_broken(&outside, &context).unwrap();
        assert!(outside.exists());
        assert_eq!(store.list(None).unwrap().broken.len(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_stands_in_the_way_of_a_folder_is_an_error_not_an_absence() {
        let (folder, store) = store();
        let elsewhere = ConnectionStore::open(folder.path().join("elsewhere"));
        let theirs = added(&elsewhere, "theirs");
        added(&store, "ours");
        std::os::unix::fs::symlink(elsewhere.folder(&theirs.id), store.folder(&theirs.id)).unwrap();
        assert!(matches!(
            store.load(&theirs.id),
            Err(Error::Corrupt { why, .. }) if why.contains("symbolic link")
        ));
        let empty = ConnectionStore::open(folder.path().join("empty"));
        assert_eq!(empty.list(None).unwrap().connections.len(), 0);
        fs::create_dir(empty.root()).unwrap();
        fs::write(empty.root().join("connections"), "x").unwrap();
        assert!(matches!(empty.list(None), Err(Error::File { .. })));
        assert!(matches!(empty.load(&theirs.id), Err(Error::File { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_see_is_found_and_taken_from_them() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store();
        let path = store.meta_path(&added(&store, "one").id);
        assert!(store.world_accessible().unwrap().is_empty());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(store.world_accessible().unwrap(), [path]);
        store.take_access_from_others().unwrap();
        assert!(store.world_accessible().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(
            label in "\\PC{1,64}",
            client_id in "[!-~]{1,40}",
            referer in proptest::option::of("[ -~]{1,40}"),
            tags in proptest::collection::vec("\\PC{0,10}", 0..4),
            second in 0_i64..4_000_000_000,
        ) {
            prop_assume!(label.parse::<Label>().is_ok());
            let (_folder, store) = store();
            let mut connection = connection(&label);
            connection.client_id = client_id;
            connection.referer = referer;
            connection.tags = tags;
            connection.created_at = Timestamp::from_second(second).ok();
            connection.status.signed_in_at = Timestamp::from_second(second).ok();
            store.add(&connection, None, &Context::process()).unwrap();
            prop_assert_eq!(&store.load(&connection.id).unwrap(), &connection);
            prop_assert_eq!(store.find(&named(connection.label.as_str())).unwrap().id, connection.id);
        }

        #[test]
        fn any_meta_json_is_read_without_harm(text in "\\PC{0,200}", field in "[a-z_]{1,12}", value in "[\\[{\"0-9a-z:,}\\]]{0,20}") {
            let (_folder, store) = store();
            let id: ConnectionId = "x_00000000".parse().unwrap();
            fs::create_dir_all(store.folder(&id)).unwrap();
            for document in [text, format!("{{\"schema_version\":2,\"{field}\":{value}}}")] {
                fs::write(store.folder(&id).join("meta.json"), document).unwrap();
                prop_assert!(store.load(&id).is_err());
                prop_assert!(store.list(None).is_ok());
            }
        }
    }
}
