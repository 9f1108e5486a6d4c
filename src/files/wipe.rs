//! Overwrites files that held secrets in plain text. Only the import from the Python package needs
//! that.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::owned::remove;
use super::platform::{not_regular, open_regular};
use crate::crash;
use crate::error::{Error, FileAction, Result};

/// Overwrites the file with zeros, flushes that to disk, then removes it. A file that does not
/// exist is not an error. A link is an error and stays, as does the file that it leads to.
///
/// Former content that a file system or a disk keeps elsewhere (snapshots, journals, spare blocks)
/// cannot be reached.
pub(crate) fn wipe(path: &Path) -> Result<()> {
    let open = || open_regular(OpenOptions::new().write(true), path);
    let opened = match open() {
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path).and_then(|()| open())
        }
        opened => opened,
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(Error::file(FileAction::Overwrite, path)(why)),
    };
    // The zeros must reach the disk before the name is gone; after that the system need not write
    // them any more.
    let overwritten = file.metadata().and_then(|found| {
        io::copy(&mut io::repeat(0).take(found.len()), &mut file)?;
        file.sync_all()
    });
    overwritten.map_err(Error::file(FileAction::Overwrite, path))?;
    crash::point("file overwritten");
    // Windows removes neither an open file nor one that is marked as read-only.
    drop(file);
    remove(path).or_else(|error| {
        make_writable(path).map_err(|_| error)?;
        remove(path)
    })
}

/// Makes a file writable that its owner marked as read-only.
fn make_writable(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(not_regular());
    }
    let mut permissions = found.permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    #[cfg(windows)]
    #[allow(clippy::permissions_set_readonly_false)] // The lint is about Unix.
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_file_is_overwritten_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("f"), folder.path().join("other"));
        fs::write(&path, b"secret").unwrap();
        fs::hard_link(&path, &other).unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&other).unwrap(), [0; 6]);
        wipe(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(wipe(&path).is_err());
    }
}
