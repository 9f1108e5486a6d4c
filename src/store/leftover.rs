//! Folders of connections whose removal was interrupted.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::crash;
use crate::files;
use crate::policy::FOLDER_IN_USE_TIMEOUT;

/// What `meta.json` is called in a folder that is being removed.
pub(super) const REMOVED: &str = "meta.json.removed";

/// The file of the renewal lock, in a connection's folder.
pub(super) const LOCK: &str = "lock";

/// The note of the lock's holder.
const LOCK_HOLDER: &str = "lock.holder";

/// Whether the folder is the rest of a removal that was interrupted.
pub(super) fn is_leftover(folder: &Path) -> bool {
    let exists = |name| fs::symlink_metadata(folder.join(name)).is_ok();
    // The removal of the last file and of the folder itself are two steps, and a process that
    // waited for the lock may make its lock file between them.
    !exists("meta.json") && (exists(REMOVED) || holds_only_locks(folder))
}

fn holds_only_locks(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.all(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                name == LOCK || name == LOCK_HOLDER
            })
        })
    })
}

/// Deletes the folder of a removed connection. The file that marks it as removed goes last, so that
/// an interrupted deletion can be continued.
///
/// Processes that wait for the connection's lock keep its file open, and make their note beside it
/// when they get the lock. So the deletion is repeated until the last of them has learned that the
/// connection is gone.
pub(super) fn delete_while_in_use(folder: &Path) -> io::Result<()> {
    let end = Instant::now() + FOLDER_IN_USE_TIMEOUT;
    loop {
        match delete_leftover(folder) {
            Err(why) if may_be_in_use(&why) && Instant::now() < end => {
                std::thread::sleep(files::random_pause());
            }
            done => return done,
        }
    }
}

/// The same, tried once.
pub(super) fn delete_leftover(folder: &Path) -> io::Result<()> {
    for entry in unless_gone(fs::read_dir(folder).map(Some))?
        .into_iter()
        .flatten()
    {
        let entry = entry?;
        if entry.file_name() == REMOVED {
            continue;
        }
        unless_gone(if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        })?;
        crash::point("part of a folder removed");
    }
    unless_gone(fs::remove_file(folder.join(REMOVED)))?;
    unless_gone(fs::remove_dir(folder))
}

/// Another process may delete the same folder at the same time.
fn unless_gone<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

/// Whether another process may have a file of the folder open, or has just made one.
fn may_be_in_use(why: &io::Error) -> bool {
    match why.kind() {
        io::ErrorKind::DirectoryNotEmpty => true,
        // Windows deletes no file and no folder that is open without the right to delete it.
        io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy => cfg!(windows),
        _ => cfg!(windows) && why.raw_os_error() == Some(32),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_others_make_files_is_deleted() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("one");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(REMOVED), "{}").unwrap();
        let names = |from: usize, to: usize| (from..to).map(|number| number.to_string());
        for name in names(0, 2000) {
            fs::write(folder.join(name), "").unwrap();
        }
        std::thread::scope(|scope| {
            let target = &folder;
            scope.spawn(move || {
                // In the middle of the deletion, which does not see all of these.
                while fs::read_dir(target).is_ok_and(|entries| entries.count() > 1900) {}
                for name in names(2000, 2100) {
                    let _ = fs::write(target.join(name), "");
                }
            });
            delete_while_in_use(&folder).unwrap();
        });
        assert!(!folder.exists());
    }

    #[test]
    fn a_folder_with_nothing_but_a_lock_is_a_leftover() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        assert!(is_leftover(folder));
        fs::write(folder.join(LOCK), "").unwrap();
        fs::write(folder.join(LOCK_HOLDER), "").unwrap();
        assert!(is_leftover(folder));
        fs::write(folder.join("ca.pem"), "").unwrap();
        assert!(!is_leftover(folder));
        fs::write(folder.join(REMOVED), "").unwrap();
        assert!(is_leftover(folder));
        fs::write(folder.join("meta.json"), "").unwrap();
        assert!(!is_leftover(folder));
    }
}
