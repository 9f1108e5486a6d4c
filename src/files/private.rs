//! Folders that only their owner may see.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::crash;
use crate::error::{Error, FileAction, Result};

/// Creates the folder for its owner alone (mode 0700; on Windows with its own access list,
/// unless the parent folder's list already excludes others), and its missing parents too. A folder
/// that exists stays as it is; a link or a file in its place is an error.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    if is_folder(path)? {
        return Ok(());
    }
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    #[cfg(windows)]
    let highest = highest_missing(path);
    builder
        .recursive(true)
        .create(path)
        .map_err(Error::file(FileAction::Create, path))?;
    #[cfg(windows)]
    if let Err(why) = super::access_list::restrict_to_owner(highest) {
        // The next call would find a folder that others may see, and use it. So it is removed
        // again.
        for folder in path
            .ancestors()
            .take_while(|folder| folder.starts_with(highest))
        {
            let _ = fs::remove_dir(folder);
        }
        return Err(Error::file(FileAction::Restrict, path)(why));
    }
    crash::point("folder made");
    Ok(())
}

/// Whether there is a folder at `path`. Anything else there, also a link to a folder, is an error.
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(Error::Corrupt {
            path: path.to_owned(),
            why: "it is not a directory (a symbolic link is not followed)".into(),
        }),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(Error::file(FileAction::Read, path)(why)),
    }
}

/// The outermost folder that has to be created for this one.
#[cfg(windows)]
fn highest_missing(path: &Path) -> &Path {
    path.ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .last()
        .unwrap_or(path)
}

/// Files and folders at and below `folder` that others than their owner may see. Links are not
/// followed.
pub(crate) fn world_accessible(folder: &Path) -> Result<Vec<PathBuf>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut open = tree(folder)?;
        open.retain(|path| {
            fs::symlink_metadata(path)
                .is_ok_and(|found| !found.is_symlink() && found.permissions().mode() & 0o077 != 0)
        });
        Ok(open)
    }
    #[cfg(windows)]
    {
        let others = super::access_list::admits_others(folder)
            .map_err(Error::file(FileAction::ReadAccessList, folder))?;
        Ok(if others {
            vec![folder.to_owned()]
        } else {
            Vec::new()
        })
    }
}

/// Gives `folder` and everything below it to their owner alone. Links are not followed.
pub(crate) fn restrict_to_owner(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for path in world_accessible(folder)? {
            let mode = if path.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(Error::file(FileAction::Restrict, &path))?;
        }
        Ok(())
    }
    #[cfg(windows)]
    super::access_list::restrict_to_owner(folder).map_err(Error::file(FileAction::Restrict, folder))
}

/// The folder, and everything below it.
#[cfg(unix)]
fn tree(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if !is_folder {
            continue;
        }
        for entry in fs::read_dir(&path).map_err(Error::file(FileAction::Read, &path))? {
            found.push(entry.map_err(Error::file(FileAction::Read, &path))?.path());
        }
    }
    Ok(found)
}
