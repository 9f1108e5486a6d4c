//! Which files decide for every user: those that root alone could have written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::UnusableFolder;
use crate::trusted::{examine, keeps_others_out, Changeable, Examined, Fault, Trust};

/// The content of a file that only an administrator could have written. `None` where it does not
/// exist. The error says what is wrong, in words for people.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, String> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return judge_absence(path).map(|()| None)
        }
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            return Err(unreadable(&why) + &let_in(path))
        }
        Err(why) => return Err(unreadable(&why)),
    }
    // From here on, only root can change what is at the path without links.
    let closed = closed_path(path)?;
    let file = open(&closed).map_err(|why| match why.kind() {
        io::ErrorKind::PermissionDenied => {
            let remedy = format!("; to correct that: chmod 644 {}", closed.display());
            unreadable(&why) + &remedy
        }
        _ => unreadable(&why),
    })?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err("it is not a regular file".into());
    }
    let mut content = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut content)
        .map_err(|why| unreadable(&why))?;
    if content.len() as u64 > max {
        return Err(format!("it is larger than {max} bytes"));
    }
    Ok(Some(content))
}

/// Opens without following a link, and without waiting for the writer of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// What lets every user reach the file, where this one cannot enter a folder above it.
fn let_in(path: &Path) -> String {
    let is_seen = |folder: &&Path| fs::symlink_metadata(folder).is_ok();
    let folder = path.parent();
    match path.ancestors().skip(1).find(is_seen) {
        Some(deepest) if Some(deepest) == folder => {
            format!(
                "; to let every user read what is in it: chmod 755 {}",
                deepest.display()
            )
        }
        Some(deepest) => format!("; this user may not enter {}", deepest.display()),
        None => String::new(),
    }
}

fn unreadable(why: &io::Error) -> String {
    format!("it cannot be read: {why}")
}

/// A link above the file that leads nowhere, such as to what is not mounted, may have led to a
/// policy, and so may one that others can lead elsewhere: neither is taken for none.
fn judge_absence(path: &Path) -> Result<(), String> {
    let is = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let has_links = path
        .ancestors()
        .any(|one| fs::symlink_metadata(one).is_ok_and(|found| found.is_symlink()));
    match path.ancestors().find(is) {
        Some(deepest) if has_links => closed_path(deepest).map(drop),
        _ => Ok(()),
    }
}

/// The path without links of what root alone could change or replace.
fn closed_path(path: &Path) -> Result<PathBuf, String> {
    match examine(path, Trust::Root) {
        Ok(Examined::Closed(path)) => Ok(path),
        Ok(Examined::Changeable(found)) => {
            let at = found.path.display();
            let remedy = match found.fault {
                Fault::Unmapped(_) | Fault::Absent => return Err(what(&found)),
                // Permissions of folders above belong to the system: a change there could break it.
                Fault::Owner(_) | Fault::Mode(_) if found.path.is_dir() && !found.path.is_symlink() => {
                    "keep the file in a folder that root alone may write to, as it may to those above"
                        .to_owned()
                }
                Fault::Owner(_) => format!("to correct that: chown -h root {at}"),
                Fault::Mode(_) => format!("to correct that: chmod go-w {at}"),
            };
            Err(format!("{}; {remedy}", what(&found)))
        }
        Err(why) => Err(match link_to_nowhere(path) {
            Some(link) => format!("the link {} leads nowhere", link.display()),
            None => unreadable(&why),
        }),
    }
}

fn link_to_nowhere(path: &Path) -> Option<&Path> {
    let leads_nowhere = |one: &&Path| {
        let is_link = fs::symlink_metadata(one).is_ok_and(|found| found.is_symlink());
        is_link && fs::metadata(one).is_err()
    };
    path.ancestors().find(leads_nowhere)
}

fn what(found: &Changeable) -> String {
    let path = found.path.display();
    match found.fault {
        Fault::Owner(owner) => format!("{path} belongs to user {owner}, not to root"),
        Fault::Unmapped(owner) => format!(
            "in this user namespace, {path} belongs to user {owner}, which may be root or this user; \
             map this user in the namespace (unshare --map-current-user)"
        ),
        Fault::Absent => format!("{path} does not exist, and others than root could create it"),
        Fault::Mode(mode) => format!("others than root may write to {path} (mode {mode:04o})"),
    }
}

/// Checks a folder in which every account may have a file of its own: others may write to it if
/// they cannot change each other's files.
pub(super) fn check_shared_folder(path: &Path) -> Result<(), UnusableFolder> {
    let shown = path.display();
    let create = || format!("an administrator can create it: install -d -m 1777 {shown}");
    let unusable = |why: String, remedy: String| Err(UnusableFolder { why, remedy });
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return unusable(format!("the folder {shown} does not exist"), create())
        }
        Err(why) => return unusable(format!("{shown}: {why}"), elsewhere()),
    };
    if !found.is_dir() {
        return unusable(format!("{shown} is not a folder"), elsewhere());
    }
    // Permissions of folders above belong to the system: a change there could break it.
    match examine(path.parent().unwrap_or(path), Trust::Root) {
        Ok(Examined::Closed(_)) => {}
        Ok(Examined::Changeable(above)) => {
            let why = format!("{}, and could replace the log", what(&above));
            return unusable(why, elsewhere());
        }
        Err(why) => return unusable(format!("{shown}: {why}"), elsewhere()),
    }
    match examine(path, Trust::Root) {
        Ok(Examined::Changeable(found)) => match found.fault {
            Fault::Mode(mode) if keeps_others_out(mode) => Ok(()),
            Fault::Unmapped(_) | Fault::Absent => unusable(what(&found), elsewhere()),
            Fault::Mode(_) => {
                unusable(what(&found), format!("to correct that: chmod 1777 {shown}"))
            }
            Fault::Owner(_) => {
                unusable(what(&found), format!("to correct that: chown root {shown}"))
            }
        },
        Ok(Examined::Closed(_)) => Ok(()),
        Err(why) => unusable(format!("{shown}: {why}"), elsewhere()),
    }
}

fn elsewhere() -> String {
    "name a folder in `event_log` that only root can replace, such as /var/lib/age-oauth-log".into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt as _};

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A folder on a way that root alone can change.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir_in("/var/lib").unwrap();
        set_mode(folder.path(), 0o755);
        folder
    }

    /// The links that kubelet makes of a `ConfigMap`, in a folder that is closed to others, as the
    /// folder of a `ConfigMap` is not.
    #[test]
    fn rule_34_a_chain_of_links_of_root_is_followed_to_the_file() {
        if !is_root() {
            return;
        }
        let folder = folder();
        let place = folder.path().join("policy.json");
        let dated = folder.path().join("..2026_11_27_22_00_00.123456789");
        fs::create_dir(&dated).unwrap();
        set_mode(&dated, 0o755);
        let file = dated.join("policy.json");
        fs::write(&file, "{}").unwrap();
        set_mode(&file, 0o644);
        symlink(dated.file_name().unwrap(), folder.path().join("..data")).unwrap();
        symlink("..data/policy.json", &place).unwrap();
        assert_eq!(read(&place, 10).unwrap().unwrap(), b"{}");
        set_mode(folder.path(), 0o777);
        let why = read(&place, 10).unwrap_err();
        assert!(why.contains("(mode 0777)"), "{why}");
        set_mode(folder.path(), 0o755);
        for writable in [&dated, &file] {
            set_mode(writable, 0o775);
            let why = read(&place, 10).unwrap_err();
            assert!(why.contains(&writable.display().to_string()), "{why}");
            // A folder may be one of the system, as `/nix/store` is.
            assert_eq!(why.contains("chmod go-w"), writable == &file, "{why}");
            set_mode(writable, 0o755);
        }
        fs::remove_file(&file).unwrap();
        let why = read(&place, 10).unwrap_err();
        assert!(why.contains("leads nowhere"), "{why}");
    }

    #[test]
    fn rule_34_absence_behind_a_link_of_others_is_not_taken_for_none() {
        if !is_root() {
            return;
        }
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        for name in ["begin", "open", "empty"] {
            fs::create_dir(at(name)).unwrap();
            set_mode(&at(name), 0o755);
        }
        symlink("../open/link", at("begin/link")).unwrap();
        symlink("../empty", at("open/link")).unwrap();
        let place = at("begin/link/policy.json");
        assert_eq!(read(&place, 10), Ok(None));
        assert_eq!(read(&at("none/policy.json"), 10), Ok(None));
        set_mode(&at("open"), 0o775);
        let why = read(&place, 10).unwrap_err();
        assert!(why.contains("/open (mode 0775)"), "{why}");
        // Without a link, an open folder can hold no policy that was obeyed.
        assert_eq!(read(&at("open/policy.json"), 10), Ok(None));
    }

    #[test]
    fn a_folder_of_logs_is_roots_and_keeps_accounts_apart() {
        if !is_root() {
            return;
        }
        let folder = folder();
        let log = folder.path().join("log");
        let remedy = || check_shared_folder(&log).map_err(|why| why.remedy);
        assert!(remedy().unwrap_err().contains("install -d -m 1777 /"));
        fs::create_dir(&log).unwrap();
        for (mode, good) in [
            (0o755, true),
            (0o1777, true),
            (0o777, false),
            (0o775, false),
        ] {
            set_mode(&log, mode);
            assert_eq!(remedy().is_ok(), good, "{mode:o}");
        }
        assert!(remedy().unwrap_err().contains("chmod 1777 /"));
        set_mode(&log, 0o1777);
        std::os::unix::fs::chown(&log, Some(1000), None).unwrap();
        assert!(remedy().unwrap_err().contains("chown root /"));
        std::os::unix::fs::chown(&log, Some(0), None).unwrap();
        // As /var/log is on some systems; its mode is not this program's to change.
        set_mode(folder.path(), 0o775);
        let remedy = remedy().unwrap_err();
        assert!(remedy.contains("/var/lib/age-oauth-log"), "{remedy}");
        assert!(!remedy.contains("chmod"), "{remedy}");
        set_mode(folder.path(), 0o755);
        fs::remove_dir(&log).unwrap();
        symlink("/tmp", &log).unwrap();
        assert!(check_shared_folder(&log).is_err());
    }
}
