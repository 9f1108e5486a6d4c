//! Whether other users could change or replace a file, by access lists.

use std::io;
use std::path::Path;

use super::access_list::{changeable, is_in_profile, plain};
use super::sddl::Place;
use crate::trusted::{Changeable, Fault};

/// What of the absolute `path` other users than this one and administrators could change or
/// replace: the file, the folder of its program and libraries, and the folders above, which could
/// be renamed; and the same where links lead. `None` if nothing. Where there is nothing, and others
/// cannot create it, the error is [`io::ErrorKind::NotFound`].
pub(crate) fn changeable_by_others(path: &Path) -> io::Result<Option<Changeable>> {
    let real = match path.canonicalize() {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let deepest = path.ancestors().skip(1).find(|one| one.is_dir());
            return match deepest.map(changeable_by_others) {
                None | Some(Ok(None)) => Err(why),
                Some(found) => found,
            };
        }
        real => plain(real?),
    };
    let both = [path.to_owned(), real];
    let all = if both[0] == both[1] {
        &both[..1]
    } else {
        &both[..]
    };
    for path in all.iter().filter(|path| !is_in_profile(path)) {
        for (level, one) in path.ancestors().enumerate() {
            let place = match level {
                0 => Place::File,
                1 => Place::Folder,
                _ => Place::Above,
            };
            if changeable(one, place)? {
                return Ok(Some(Changeable {
                    path: one.to_owned(),
                    fault: Fault::AccessList,
                }));
            }
        }
    }
    Ok(None)
}

/// Whether `path`, which no other user can change, leads to a folder in which others can create
/// files.
pub(crate) fn others_create_files_in(path: &Path) -> io::Result<bool> {
    let real = plain(path.canonicalize()?);
    Ok(real.is_dir() && !is_in_profile(&real) && changeable(&real, Place::Folder)?)
}
