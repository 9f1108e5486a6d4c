//! Whether other users could change or replace a file, judged as `sudo` and `ssh` judge theirs: by
//! the file, the folders that it is in, and every link on the way.

use std::io;
use std::path::{Path, PathBuf};

/// A file or folder that other users could change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changeable {
    pub(crate) path: PathBuf,
    /// Why, in words that follow the path.
    pub(crate) why: String,
}

/// What of the absolute `path` other users than this one and the administrator could change or
/// replace; `None` if nothing.
pub(crate) fn changeable_by_others(path: &Path) -> io::Result<Option<Changeable>> {
    platform::changeable_by_others(path)
}

#[cfg(unix)]
pub(super) use platform::{is_trusted, keeps_others_out};

#[cfg(unix)]
mod platform {
    use std::collections::VecDeque;
    use std::ffi::OsString;
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Component;

    use super::{io, Changeable, Path, PathBuf};

    /// How many links are followed, as systems do.
    const MOST_LINKS: usize = 40;

    /// What may write to a file or folder besides its owner, as bits of the mode.
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;

    /// The group of administrators on macOS, who may write to the folders of programs that they
    /// install, such as those of Homebrew.
    const ADMINISTRATORS: Option<u32> = if cfg!(target_os = "macos") {
        Some(80)
    } else {
        None
    };
    const GROUP_WRITES: u32 = 0o020;

    pub(in crate::files) const fn is_trusted(owner: u32, user: u32) -> bool {
        owner == user || owner == 0
    }

    /// Whether others cannot rename what is in a folder of this mode.
    pub(in crate::files) const fn keeps_others_out(mode: u32) -> bool {
        mode & OTHERS_WRITE == 0 || mode & STICKY != 0
    }

    pub(super) fn changeable_by_others(path: &Path) -> io::Result<Option<Changeable>> {
        walk(path, rustix::process::geteuid().as_raw())
    }

    /// Follows the path link by link, because who can change a link on the way decides where it
    /// leads.
    pub(super) fn walk(path: &Path, user: u32) -> io::Result<Option<Changeable>> {
        let mut rest = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        if let Some(why) = problem(&fs::symlink_metadata(&at)?, user) {
            return Ok(Some(Changeable { path: at, why }));
        }
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(part);
            let found = fs::symlink_metadata(&next)?;
            if let Some(why) = problem(&found, user) {
                return Ok(Some(Changeable { path: next, why }));
            }
            if !found.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::other("too many symbolic links"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        Ok(None)
    }

    /// The names in a path, and `..`.
    fn parts(path: &Path) -> VecDeque<OsString> {
        let name = |part: Component<'_>| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        };
        path.components().filter_map(name).collect()
    }

    fn problem(found: &Metadata, user: u32) -> Option<String> {
        let owner = found.uid();
        let mode = if Some(found.gid()) == ADMINISTRATORS {
            found.mode() & !GROUP_WRITES
        } else {
            found.mode()
        };
        if !is_trusted(owner, user) {
            return Some(format!("belongs to another user ({owner})"));
        }
        // The mode of a link says nothing; that of its folder decides.
        let is_closed = found.is_symlink()
            || (mode & OTHERS_WRITE == 0)
            || (found.is_dir() && keeps_others_out(mode));
        (!is_closed).then(|| format!("can be changed by others (mode {:04o})", mode & 0o7777))
    }
}

#[cfg(windows)]
mod platform {
    use super::{io, Changeable, Path, PathBuf};
    use crate::files::access_list::{changeable, is_in_profile};
    use crate::files::sddl::Place;

    /// The file, the folder of its program and libraries, and the folders above, which could be
    /// renamed; and the same where links lead.
    pub(super) fn changeable_by_others(path: &Path) -> io::Result<Option<Changeable>> {
        let real = plain(path.canonicalize()?);
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
                        why: "can be changed by others, by its access list".into(),
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The path as people write it, where it is on a disk.
    fn plain(path: PathBuf) -> PathBuf {
        let text = path.to_string_lossy().into_owned();
        match text.strip_prefix(r"\\?\") {
            Some(rest) if rest.as_bytes().get(1) == Some(&b':') => rest.into(),
            _ => path,
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink, PermissionsExt as _};

    use super::*;

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn folder(parent: &Path, name: &str, mode: u32) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        set_mode(&path, mode);
        path
    }

    fn program(parent: &Path, mode: u32) -> PathBuf {
        let path = parent.join("program");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        set_mode(&path, mode);
        path
    }

    fn found(path: &Path) -> Option<PathBuf> {
        changeable_by_others(path).unwrap().map(|one| one.path)
    }

    #[test]
    fn rule_32_what_others_can_change_is_seen_on_every_step_of_the_way() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let real = all.path().canonicalize().unwrap();
        let own = folder(&real, "own", 0o755);
        let good = program(&own, 0o755);
        assert_eq!(found(&good), None);
        for mode in [0o775, 0o757, 0o722] {
            set_mode(&good, mode);
            assert_eq!(found(&good), Some(good.clone()), "{mode:o}");
        }
        set_mode(&good, 0o700);
        // A folder that others can write to, wherever it is above; with the sticky bit, they can
        // replace nothing in it.
        let open = folder(&real, "open", 0o777);
        let below = folder(&open, "below", 0o755);
        let inside = program(&below, 0o755);
        assert_eq!(found(&inside), Some(open.clone()));
        set_mode(&open, 0o1777);
        assert_eq!(found(&inside), None);
        set_mode(&open, 0o775);
        // A link is as safe as the folders of all links that it leads through.
        let (outer, inner) = (own.join("outer"), open.join("inner"));
        symlink(&good, &inner).unwrap();
        symlink("../open/inner", &outer).unwrap();
        assert_eq!(found(&outer), Some(open.clone()));
        set_mode(&open, 0o755);
        assert_eq!(found(&outer), None);
        let circle = own.join("circle");
        symlink(&circle, &circle).unwrap();
        assert!(changeable_by_others(&circle).is_err());
        assert!(changeable_by_others(&own.join("none")).is_err());
    }

    #[test]
    fn rule_32_what_belongs_to_another_user_is_seen() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let real = all.path().canonicalize().unwrap();
        let good = program(&real, 0o755);
        assert_eq!(platform::walk(&good, user()).unwrap(), None);
        if user() == 0 {
            chown(&good, Some(1000), None).unwrap();
            assert_eq!(found(&good), Some(good.clone()));
        }
        let other = platform::walk(&good, user() + 1001).unwrap().unwrap();
        assert!(other.why.contains("another user"), "{}", other.why);
    }
}
