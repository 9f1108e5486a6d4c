//! Who could change a file: an administrator's is obeyed, one that anybody else could write is not.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

const ROOT: u32 = 0;

/// What may write to a file or a folder besides its owner, as bits of the mode.
const OTHERS_WRITE: u32 = 0o022;

/// Keeps those who may write to a folder from changing each other's files.
const STICKY: u32 = 0o1000;

/// The content of a file that only an administrator could have written. `None` where it does not
/// exist. The error says what is wrong, in words for people.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return judge_absence(path).map(|()| None)
        }
        Err(why) if why.raw_os_error() == Some(libc::ELOOP) => {
            return Err("it is a symbolic link; put the file itself there".into())
        }
        Err(why) => return Err(format!("it cannot be read: {why}")),
    };
    // What was opened is judged and read, whatever has that name by now.
    judge_file(&file, path)?;
    judge_folders(path)?;
    let mut content = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut content)
        .map_err(|why| format!("it cannot be read: {why}"))?;
    if content.len() as u64 > max {
        return Err(format!("it is larger than {max} bytes"));
    }
    Ok(Some(content))
}

/// A link above the file that leads nowhere, such as to what is not mounted, may have led to a
/// policy: it is not taken for none.
fn judge_absence(path: &Path) -> Result<(), String> {
    let leads_nowhere = |one: &Path| {
        let is_link = fs::symlink_metadata(one).is_ok_and(|found| found.is_symlink());
        is_link && fs::metadata(one).is_err()
    };
    match path.ancestors().find(|one| leads_nowhere(one)) {
        Some(link) => Err(format!("the link {} leads nowhere", link.display())),
        None => Ok(()),
    }
}

fn judge_file(file: &File, path: &Path) -> Result<(), String> {
    let found = file
        .metadata()
        .map_err(|why| format!("it cannot be read: {why}"))?;
    if !found.is_file() {
        return Err("it is not a regular file".into());
    }
    judge(&found, path, OTHERS_WRITE)
}

/// Judges every folder above a file, and what links among them lead to: who can rename one of them
/// could replace the file.
fn judge_folders(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let unreadable = |path: &Path, why: io::Error| format!("{}: {why}", path.display());
    let real = fs::canonicalize(folder).map_err(|why| unreadable(folder, why))?;
    for one in folder.ancestors().chain(real.ancestors()) {
        let found = fs::symlink_metadata(one).map_err(|why| unreadable(one, why))?;
        // A link has no mode of its own; what it leads to is judged as well.
        let forbidden = if found.is_symlink() { 0 } else { OTHERS_WRITE };
        judge(&found, one, forbidden)?;
    }
    Ok(())
}

/// Judges a folder in which every account may have a file of its own: others may write to it if
/// they cannot change each other's files.
pub(super) fn judge_shared_folder(path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        return Err("it is not a whole path".into());
    }
    let found = fs::symlink_metadata(path).map_err(|why| format!("{}: {why}", path.display()))?;
    if !found.is_dir() {
        return Err(format!("{} is not a folder", path.display()));
    }
    let is_shared = found.mode() & STICKY != 0;
    judge(&found, path, if is_shared { 0 } else { OTHERS_WRITE })?;
    judge_folders(path)
}

/// Whether only an administrator could change it, by its owner and its mode.
fn judge(found: &Metadata, path: &Path, forbidden: u32) -> Result<(), String> {
    judge_owner(found.uid(), path, &user_namespace)?;
    let mode = found.mode() & 0o7777;
    if mode & forbidden == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "others than root may write to {path} (mode {mode:04o}); to correct that: chmod go-w {path}"
    ))
}

/// In the namespace of a container that does not map every user, files of all others have one and
/// the same number as their owner, root's among them. There, that number counts as root: a policy
/// must neither stop every command nor be ignored.
fn judge_owner(
    owner: u32,
    path: &Path,
    namespace: &dyn Fn() -> Option<UserNamespace>,
) -> Result<(), String> {
    if owner == ROOT {
        return Ok(());
    }
    let is_outside = namespace().is_some_and(|one| !one.maps_every_user && owner == one.overflow);
    if is_outside {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "{path} belongs to user {owner}, not to root; to correct that: chown root {path}"
    ))
}

/// The user namespace of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UserNamespace {
    maps_every_user: bool,
    /// Who owns the files of users that it does not map.
    overflow: u32,
}

/// `None` where the system has none, or does not say what it maps.
fn user_namespace() -> Option<UserNamespace> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    Some(UserNamespace {
        maps_every_user: maps_every_user(&map)?,
        overflow: overflow.map_or(Some(65534), |text| text.trim().parse().ok())?,
    })
}

/// Whether the lines `first, first outside, count` map all numbers that a user can have.
fn maps_every_user(map: &str) -> Option<bool> {
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    let counts: Option<Vec<u64>> = map.lines().map(count).collect();
    Some(counts?.iter().sum::<u64>() >= u64::from(u32::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_34_the_owner_is_root_or_outside_of_the_namespace() {
        let path = Path::new("/etc/x");
        let judged = |owner, namespace| judge_owner(owner, path, &move || namespace).is_ok();
        let whole = Some(UserNamespace {
            maps_every_user: true,
            overflow: 65534,
        });
        let container = Some(UserNamespace {
            maps_every_user: false,
            overflow: 65534,
        });
        for namespace in [None, whole, container] {
            assert!(judged(0, namespace));
            assert!(!judged(1000, namespace));
        }
        assert!(judged(65534, container));
        assert!(!judged(65534, whole));
        assert!(!judged(65534, None));
    }

    #[test]
    fn rule_34_what_a_namespace_maps_is_read_from_its_table() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(maps_every_user(whole), Some(true));
        assert_eq!(maps_every_user("0 1000 1\n"), Some(false));
        assert_eq!(maps_every_user("0 1000 1\n1 100000 65536\n"), Some(false));
        assert_eq!(maps_every_user("0 0\n"), None);
        assert!(user_namespace().is_some() || !cfg!(target_os = "linux"));
    }

    #[test]
    fn rule_34_what_others_could_change_is_refused_with_its_name() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let set = |mode| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            fs::symlink_metadata(folder.path()).unwrap()
        };
        let judged = |mode, forbidden| {
            let found = set(mode);
            // The owner is judged before the mode.
            let is_root = found.uid() == ROOT;
            judge(&found, folder.path(), forbidden).map_err(|why| (is_root, why))
        };
        for mode in [0o777, 0o775, 0o757, 0o722] {
            if let Err((true, why)) = judged(mode, OTHERS_WRITE) {
                assert!(why.contains("chmod go-w /"), "{why}");
            }
            assert!(judged(mode, OTHERS_WRITE).is_err(), "{mode:o}");
        }
        assert!(judge_shared_folder(Path::new("relative")).is_err());
        assert!(judge_shared_folder(&folder.path().join("none")).is_err());
    }
}
