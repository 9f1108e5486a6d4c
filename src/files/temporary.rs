//! Folders of this process for a while: where no other user can replace them, and removed when the
//! process ends, by an interruption too. What a killed process leaves, the next one removes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::context::Environment;
use crate::env;
use crate::policy::LEFTOVER_FOLDER_AGE;
use crate::trusted::{changeable_by_others, keeps_others_out};
use crate::util::lock;

/// How the names of the folders begin.
const PREFIX: &str = "age-oauth-";

/// How many bytes a folder's path is longer than that of its parent.
pub(crate) const ADDED_LENGTH: usize = "/".len() + PREFIX.len() + uuid::fmt::Simple::LENGTH;

/// The file in each folder that is locked while the process of the folder lives.
const LOCK: &str = "lock";

/// The last resort, which every system has.
const SHARED: &str = "/tmp";

/// The folders of this process that exist now.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The folders in which a private folder may be created, the best first: that of the user's
/// session, the one for temporary files, and `/tmp`. In each of them, no other user can replace it.
pub(crate) fn safe_parents(environment: &Environment) -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let runtime = environment.path(env::XDG_RUNTIME_DIR);
    let runtime = runtime.filter(|folder| is_private(folder, user));
    let mut found: Vec<_> = runtime
        .into_iter()
        .chain([tempfile::env::temp_dir()])
        .filter(|folder| is_safe(folder))
        .collect();
    // Where its owner has no number in this container, there is still no better place.
    let is_shared = fs::metadata(SHARED).is_ok_and(|found| keeps_others_out(found.mode()));
    if is_shared && !found.iter().any(|folder| folder == Path::new(SHARED)) {
        found.push(SHARED.into());
    }
    found
}

/// Whether a folder is the user's, and closed to others.
fn is_private(folder: &Path, user: u32) -> bool {
    fs::metadata(folder).is_ok_and(|found| {
        let others = found.mode() & 0o077;
        found.is_dir() && found.uid() == user && others == 0
    })
}

/// Whether only this user and root can replace what this user creates in the folder. Who can rename
/// one of the folders above it could replace it as a whole.
fn is_safe(folder: &Path) -> bool {
    folder.is_absolute() && folder.is_dir() && matches!(changeable_by_others(folder), Ok(None))
}

/// A folder with mode 0700, removed with this value.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    /// Tells other processes that this one lives.
    lock: Option<File>,
}

impl TemporaryFolder {
    pub(crate) fn create_in(parent: &Path) -> io::Result<Self> {
        remove_leftovers(parent);
        let path = parent.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
        // Known before it exists, so that an interruption in between leaves nothing.
        lock(&FOLDERS).push(path.clone());
        // From here on, the folder is removed with this value.
        let mut folder = Self { path, lock: None };
        fs::DirBuilder::new().mode(0o700).create(&folder.path)?;
        let file = File::create_new(folder.path.join(LOCK))?;
        // Without locks, the folder is as good as with them.
        let _ = file.try_lock();
        folder.lock = Some(file);
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of this name, and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        File::create_new(&path)?.write_all(content.as_bytes())?;
        Ok(path)
    }

    /// Whether it is still there: some systems empty the folder for temporary files.
    pub(crate) fn exists(&self) -> bool {
        self.path.join(LOCK).is_file()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What is left can be read by its owner only.
        let _ = fs::remove_dir_all(&self.path);
        lock(&FOLDERS).retain(|folder| *folder != self.path);
    }
}

/// Removes all folders of this process, for a program that ends at once.
#[cfg(feature = "cli")]
pub(crate) fn remove_temporary_folders() {
    for folder in lock(&FOLDERS).drain(..) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Removes the folders of this user whose process was killed.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let user = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if ours.is_some_and(|rest| uuid::Uuid::parse_str(rest).is_ok())
            && is_leftover(&entry.path(), user)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether this folder is of this user, and of no process that lives.
fn is_leftover(folder: &Path, user: u32) -> bool {
    let is_old = |found: &fs::Metadata| {
        let age = found.modified().ok().and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age >= LEFTOVER_FOLDER_AGE)
    };
    // A new one may not have its lock yet.
    let is_candidate = fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && is_old(&found));
    is_candidate
        && match File::open(folder.join(LOCK)) {
            Ok(file) => file.try_lock().is_ok(),
            Err(why) => why.kind() == io::ErrorKind::NotFound,
        }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt as _};
    use std::time::SystemTime;

    use super::*;

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn folder(parent: &Path, name: &str, mode: u32) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn rule_24f_only_folders_that_no_other_user_can_change_are_used() {
        let all = tempfile::tempdir_in(SHARED).unwrap();
        let own = folder(all.path(), "own", 0o700);
        let shared = folder(all.path(), "shared", 0o777);
        let sticky = folder(all.path(), "sticky", 0o1777);
        let below = folder(&shared, "below", 0o700);
        let link = all.path().join("link");
        symlink(&below, &link).unwrap();
        for safe in [&own, &sticky] {
            assert!(is_safe(safe), "{}", safe.display());
        }
        for unsafe_one in [&shared, &below, &link, &all.path().join("none")] {
            assert!(!is_safe(unsafe_one), "{}", unsafe_one.display());
        }
        // The folder of another user, whatever its mode.
        if user() == 0 {
            std::os::unix::fs::chown(&own, Some(1000), None).unwrap();
            assert!(!is_safe(&own));
        }
    }

    #[test]
    fn rule_24f_a_session_folder_of_another_user_is_not_used() {
        let all = tempfile::tempdir_in(SHARED).unwrap();
        let parents = |runtime: &Path| {
            let runtime = runtime.display().to_string();
            safe_parents(&Environment::of([(env::XDG_RUNTIME_DIR, runtime)]))
        };
        let own = folder(all.path(), "own", 0o700);
        assert_eq!(parents(&own).first(), Some(&own));
        let open = folder(all.path(), "open", 0o755);
        assert!(!parents(&open).contains(&open));
        // Others could replace the folder above it.
        let shared = folder(all.path(), "shared", 0o777);
        let below = folder(&shared, "below", 0o700);
        assert!(!parents(&below).contains(&below));
        assert!(is_private(&own, user()) && !is_private(&own, user() + 1));
    }

    #[test]
    fn rule_24f_the_folder_is_private_and_is_removed() {
        let all = tempfile::tempdir().unwrap();
        let made = TemporaryFolder::create_in(all.path()).unwrap();
        let path = made.path().to_owned();
        assert_eq!(path.parent(), Some(all.path()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            path.as_os_str().len(),
            all.path().as_os_str().len() + ADDED_LENGTH
        );
        assert!(made.exists());
        made.write("more", "x").unwrap();
        drop(made);
        assert!(!path.exists());
        let missing = all.path().join("none");
        assert!(TemporaryFolder::create_in(&missing).is_err() && !missing.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let all = tempfile::tempdir().unwrap();
        let old = |path: &Path| {
            let at = SystemTime::now() - LEFTOVER_FOLDER_AGE * 2;
            File::open(path).unwrap().set_modified(at).unwrap();
        };
        let name = || format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
        let [dead, without_lock, young, other] =
            [name(), name(), name(), "age-oauth-others".to_owned()]
                .map(|name| folder(all.path(), &name, 0o700));
        let alive = TemporaryFolder::create_in(all.path()).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        for path in [&dead, &without_lock, &other, &alive.path().to_owned()] {
            old(path);
        }
        let next = TemporaryFolder::create_in(all.path()).unwrap();
        for gone in [&dead, &without_lock] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        for kept in [&young, &other, alive.path(), next.path()] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }
}
