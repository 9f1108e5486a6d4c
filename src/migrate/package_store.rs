//! Reads a store of the Python package `age-oauth` (0.1.x and 0.2.x), which keeps its secrets in
//! plain text. Nothing here changes a file.
//!
//! Both versions lay their store out alike: `connections.json` is an index, `active_connection`
//! names the connection in use, and each folder below `connections/` has a `meta.json` and an
//! `.env`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::package_connection::PackageConnection;
use crate::connection::ConnectionId;
use crate::error::{Error, FileAction, Result};
use crate::files;
use crate::secret::Secret;
use crate::store::FIRST_SCHEMA;

/// The largest file of the package that is read, in bytes.
pub(super) const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Where the Python package keeps its store: the platform's configuration directory, and on Windows
/// also `age_oauth\age_oauth`, which is where its library actually creates it.
#[must_use]
pub fn usual_places() -> Vec<PathBuf> {
    let mut places: Vec<_> = dirs::config_dir()
        .map(|config| config.join("age_oauth"))
        .into_iter()
        .collect();
    if cfg!(windows) {
        places
            .extend(dirs::data_local_dir().map(|local| local.join("age_oauth").join("age_oauth")));
    }
    places
}

/// A store of the Python package, or what is left of it after an import.
#[derive(Debug)]
pub struct PackageStore {
    root: PathBuf,
    index: Map<String, Value>,
    active: Option<String>,
    /// Why the index cannot be read; `None` if it can. The folders are read in either case.
    pub damage: Option<Error>,
}

impl PackageStore {
    /// The store below `root`. One that is not there is empty.
    #[must_use]
    pub fn open(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let (index, damage) = match read_object(&root.join("connections.json")) {
            Ok(index) => (index.unwrap_or_default(), None),
            Err(error) => (Map::new(), Some(error)),
        };
        let active = files::read(&root.join("active_connection"), MAX_FILE)
            .ok()
            .flatten()
            .and_then(Secret::from_file)
            .map(|text| text.expose().trim().to_owned())
            .filter(|id| !id.is_empty());
        Self {
            root,
            index,
            active,
            damage,
        }
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of the connection that is used where none is named: the active one takes precedence
    /// over the default.
    #[must_use]
    pub fn default_id(&self) -> Option<&str> {
        self.active
            .as_deref()
            .or_else(|| text(&self.index, "default_connection_id"))
    }

    /// The folder of a connection. The id has been checked to be one name.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.root.join("connections").join(id)
    }

    fn entries(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.index
            .get("connections")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
    }

    /// Whether the index names this connection.
    #[must_use]
    pub fn is_indexed(&self, id: &str) -> bool {
        self.entries().any(|entry| text(entry, "id") == Some(id))
    }

    /// Whether anything of the package is here, even if that is only the name of a default.
    pub fn is_there(&self) -> Result<bool> {
        let traces = !self.index.is_empty() || self.active.is_some() || self.damage.is_some();
        Ok(traces || !self.ids()?.is_empty())
    }

    /// The ids of everything that is left here, in the index's order, then what the index does not
    /// know.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        for entry in self.entries() {
            let id = text(entry, "id").unwrap_or_default();
            if !id.is_empty() && !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        let mut others = Vec::new();
        for name in self.folders()? {
            if !ids.contains(&name) && self.is_left(&name) {
                others.push(name);
            }
        }
        others.sort();
        ids.extend(others);
        Ok(ids)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let folder = self.root.join("connections");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why)
                if matches!(
                    why.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new())
            }
            Err(why) => return Err(Error::file(FileAction::Read, folder)(why)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::file(FileAction::Read, &folder))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether a folder holds files of the package: an `.env`, or its kind of `meta.json`.
    fn is_left(&self, id: &str) -> bool {
        if !is_name(id) {
            return false;
        }
        let folder = self.folder(id);
        let env = folder.join(".env");
        match fs::symlink_metadata(&env) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                read_object(&folder.join("meta.json"))
                    .is_ok_and(|meta| meta.is_some_and(|meta| is_python(&meta)))
            }
            Err(why) => why.kind() != io::ErrorKind::NotADirectory,
            Ok(_) => true,
        }
    }

    /// Reads one connection. Nothing where only the index names it and no folder is left.
    pub fn read(&self, id: &str) -> Result<Option<PackageConnection>> {
        let folder = self.folder(id);
        if !is_name(id) {
            return Err(Error::Corrupt {
                path: self.root.join("connections.json"),
                why: format!("`{id}` is not a valid ID of a connection"),
            });
        }
        if !files::is_folder(&folder)? {
            return Ok(None);
        }
        let env = files::read(&folder.join(".env"), MAX_FILE)?;
        let meta = files::read(&folder.join("meta.json"), MAX_FILE);
        let entry = self.entries().find(|entry| text(entry, "id") == Some(id));
        PackageConnection::of(id, folder, env, meta, entry.cloned()).map(Some)
    }

    /// The index without this connection.
    #[must_use]
    pub fn index_without(&self, id: &str) -> Vec<u8> {
        let mut index = self.index.clone();
        if let Some(entries) = index.get_mut("connections").and_then(Value::as_array_mut) {
            entries.retain(|entry| entry.get("id").and_then(Value::as_str) != Some(id));
        }
        let mut bytes = format!("{:#}", Value::Object(index)).into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a `meta.json` is the package's.
pub(super) fn is_python(meta: &Map<String, Value>) -> bool {
    meta.get("schema_version")
        .and_then(Value::as_u64)
        .unwrap_or(1)
        < FIRST_SCHEMA
}

/// Whether an id is a single file name: it becomes a part of paths.
fn is_name(id: &str) -> bool {
    // Labels may be of any length there, and ids follow them; the file system's own limit holds.
    let short: String = id.chars().take(100).collect();
    short.parse::<ConnectionId>().is_ok()
        && id.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
        && !id.ends_with('.')
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let bytes = files::read(path, MAX_FILE)?;
    bytes.map(|bytes| object(bytes, path)).transpose()
}

pub(super) fn object(bytes: Vec<u8>, path: &Path) -> Result<Map<String, Value>> {
    let text = Secret::from_file(bytes).ok_or_else(|| Error::Corrupt {
        path: path.to_owned(),
        why: "it is not a text file".into(),
    })?;
    files::parse_object(text.expose().as_bytes(), path)
}

/// A string of an object that is not empty.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object
        .get(name)?
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_and_never_paths() {
        for good in ["prod_1a2b3c4d", &format!("{}_1a2b3c4d", "x".repeat(240))] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a."] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
