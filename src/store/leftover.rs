//! Folders of connections whose removal was interrupted.

use std::fs;
use std::io;
use std::path::Path;

use crate::crash;

/// What `meta.json` is called in a folder that is being removed.
pub(super) const REMOVED: &str = "meta.json.removed";

/// Whether the folder is the rest of a removal that was interrupted.
pub(super) fn is_leftover(folder: &Path) -> bool {
    let exists = |name| fs::symlink_metadata(folder.join(name)).is_ok();
    // The removal of the last file and of the folder itself are two steps, too.
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    !exists("meta.json") && (exists(REMOVED) || is_empty())
}

/// Deletes the folder of a removed connection. The file that marks it as removed goes last, so that an interrupted deletion
/// can be continued.
pub(super) fn delete_leftover(folder: &Path) -> io::Result<()> {
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
