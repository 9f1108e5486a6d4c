//! Overwrites and deletes what the package kept of a connection, and keeps what is not the
//! package's.

use std::fs;
use std::path::Path;

use super::note::Note;
use super::package_connection::PackageConnection;
use super::plan::{is_same, Migration};
use crate::connection::Connection;
use crate::error::{Error, FileAction, Result};
use crate::files;

impl Migration<'_> {
    /// Overwrites and deletes what the package kept of this connection.
    pub(super) fn wipe(
        &self,
        connection: &Connection,
        old: &PackageConnection,
        notes: &mut Vec<Note>,
    ) -> Result<()> {
        if !old.is_unchanged()? {
            return Err(Error::Corrupt {
                path: old.env_path(),
                why: "it changed during the import, perhaps by the Python package; import again"
                    .into(),
            });
        }
        let own = self.store.folder(&connection.id);
        keep_unknown(&own, old, notes)?;
        files::wipe(&old.env_path())?;
        let adopted = is_same(&old.folder, &own);
        let mut others = Vec::new();
        for name in names_in(&old.folder)? {
            let path = old.folder.join(&name);
            if is_unfinished(&name) {
                files::wipe(&path)?;
            } else if name == ".env.lock" || !adopted && is_metadata(&name) {
                files::remove(&path)?;
            } else if !(adopted && OURS.contains(&name.as_str())) {
                others.push(path);
            }
        }
        if others.is_empty() && !adopted {
            fs::remove_dir(&old.folder).map_err(Error::file(FileAction::Remove, &old.folder))?;
        }
        if !others.is_empty() {
            notes.push(Note::OtherFiles(others));
        }
        Ok(())
    }
}

/// Keys of an `.env` that are not the package's are kept in this file.
const UNKNOWN_KEYS_FILE: &str = "left-over.env";

const MAX_UNKNOWN_KEYS: u64 = 16 * 1024 * 1024;

/// Our files in a connection's folder.
const OURS: [&str; 5] = [
    "meta.json",
    "ca.pem",
    "lock",
    "lock.holder",
    UNKNOWN_KEYS_FILE,
];

/// Keeps keys that are not the package's: only a person knows what they are for.
fn keep_unknown(own: &Path, old: &PackageConnection, notes: &mut Vec<Note>) -> Result<()> {
    if old.unknown.is_empty() {
        return Ok(());
    }
    let path = own.join(UNKNOWN_KEYS_FILE);
    let mut text = files::read(&path, MAX_UNKNOWN_KEYS)?.unwrap_or_default();
    for (key, value) in &old.unknown {
        let value = value.expose().replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{key}=\"{value}\"\n");
        if !text
            .windows(line.len())
            .any(|window| window == line.as_bytes())
        {
            text.extend_from_slice(line.as_bytes());
        }
    }
    files::write(&path, &text)?;
    notes.push(Note::Unknown {
        keys: old.unknown.iter().map(|(key, _)| key.clone()).collect(),
        path,
    });
    Ok(())
}

fn is_metadata(name: &str) -> bool {
    name == "meta.json" || name == "meta.json.tmp"
}

/// What a writer of the package leaves when it is killed: `.env.tmp`, `.env.1234.tmp`.
fn is_unfinished(name: &str) -> bool {
    name.strip_prefix(".env.")
        .and_then(|rest| rest.strip_suffix("tmp"))
        .map(|middle| middle.trim_end_matches('.'))
        .is_some_and(|middle| middle.chars().all(|c| c.is_ascii_digit()))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(FileAction::Read, folder))? {
        let entry = entry.map_err(Error::file(FileAction::Read, folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_known() {
        for name in [".env.tmp", ".env.4711.tmp"] {
            assert!(is_unfinished(name), "{name}");
        }
        for name in [
            ".env",
            ".env.lock",
            ".env.bak",
            ".env.old.tmp",
            "meta.json.tmp",
        ] {
            assert!(!is_unfinished(name), "{name}");
        }
    }
}
