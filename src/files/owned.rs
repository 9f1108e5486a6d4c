//! The program's own files: read without following links, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::platform::{
    folder_of, open_regular, persist, retry_on_sharing_violation, sync_folder, verbatim_path,
};
use crate::crash;
use crate::error::{Error, FileAction, Result};

/// The file's content, or `None` where there is no file. A link, anything that is not a regular
/// file, and more than `max` bytes are errors.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    let file = open(path)?;
    file.map(|file| read_open(file, path, max)).transpose()
}

/// The file, opened for reading, or `None` where there is none. A link, and anything that is not a
/// regular file, are errors.
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    let opened = retry_on_sharing_violation(|| open_regular(OpenOptions::new().read(true), path));
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Error::file(FileAction::Read, path)(why)),
    }
}

/// The content of an open file, of at most `max` bytes. `path` names it in errors.
pub(crate) fn read_open(file: File, path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::file(FileAction::Read, path))?;
    if bytes.len() as u64 > max {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            why: format!("it is larger than {max} bytes"),
        });
    }
    Ok(bytes)
}

/// Replaces the file as a whole, with mode 0600. If it fails, the old content stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    ensure_regular_file(path)?;
    let (path, folder) = (&*verbatim_path(path), &*verbatim_path(folder_of(path)));
    // In the same folder, because a rename is atomic only within one file system.
    let written = NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        // The content must be on disk before the name leads to it: after a power cut the file is
        // the old one or the new one, never an empty one.
        file.as_file().sync_all()?;
        crash::point("file written beside");
        persist(file, path)?;
        crash::point("file replaced");
        // Makes the rename itself permanent, before the caller relies on it.
        sync_folder(folder)
    });
    written.map_err(Error::file(FileAction::Write, path))
}

/// Creates the file with mode 0600; `false` where something of this name exists, also a link. Other
/// processes see the whole content or no file.
pub(crate) fn create_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let (path, folder) = (&*verbatim_path(path), &*verbatim_path(folder_of(path)));
    let created = NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        crash::point("new file written beside");
        // Of several processes that get here at once, one succeeds.
        match file.persist_noclobber(path) {
            Ok(_) => {
                crash::point("file created");
                sync_folder(folder).map(|()| true)
            }
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(failed) => Err(failed.error),
        }
    });
    created.map_err(Error::file(FileAction::Create, path))
}

/// Renames the file, and replaces what has the new name.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    retry_on_sharing_violation(|| fs::rename(from, to))
        .map_err(Error::file(FileAction::Rename, from))?;
    crash::point("file renamed");
    Ok(())
}

/// Removes the file. A file that does not exist is not an error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match retry_on_sharing_violation(|| fs::remove_file(path)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(Error::file(FileAction::Remove, path)(why))
        }
        removed => {
            if removed.is_ok() {
                crash::point("file removed");
            }
            Ok(())
        }
    }
}

/// A rename would replace a link, a directory or a device without any error.
fn ensure_regular_file(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(Error::Corrupt {
            path: path.to_owned(),
            why: "it is not a regular file (a symbolic link is not followed)".into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn content_that_is_written_is_read_and_a_missing_file_has_none() {
        let folder = folder();
        let path = folder.path().join("f");
        assert_eq!(read(&path, 10).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"two");
        assert!(matches!(read(&path, 2), Err(Error::Corrupt { .. })));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_file_is_created_once() {
        let folder = folder();
        let path = folder.path().join("f");
        assert!(create_new(&path, b"one").unwrap());
        assert!(!create_new(&path, b"two").unwrap());
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"one");
    }

    #[test]
    fn one_of_many_creates_a_file_and_all_read_it_whole() {
        let folder = folder();
        let path = folder.path().join("f");
        let winners = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..16_u8 {
                let (path, winners) = (&path, &winners);
                scope.spawn(move || {
                    if create_new(path, &[number; 1000]).unwrap() {
                        winners.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    let found = read(path, 2000).unwrap().unwrap();
                    assert_eq!(found, [found[0]; 1000]);
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_an_error() {
        let folder = folder();
        let path = folder.path().join("d");
        fs::create_dir(&path).unwrap();
        assert!(read(&path, 10).is_err());
        assert!(write(&path, b"x").is_err());
        assert!(path.is_dir());
    }
}
