//! Files that only their owner may see, replaced as a whole and never through a link; files that a
//! person names; and locks that end with their process. Every write of this crate goes through
//! here.

#[cfg(windows)]
pub(crate) mod access_list;
mod json;
mod lock;
#[cfg(any(feature = "cli", test))]
mod log;
#[cfg(any(feature = "cli", test))]
mod output;
mod owned;
mod platform;
mod private;
#[cfg(any(windows, test))]
mod sddl;
#[cfg(feature = "cli")]
mod space;
#[cfg(unix)]
mod temporary;
#[cfg(windows)]
mod trusted;
mod user;
#[cfg(any(feature = "migrate", test))]
mod wipe;

#[cfg(windows)]
pub(crate) use access_list::admitted_stranger;
pub(crate) use json::parse_object;
pub(crate) use lock::Lock;
#[cfg(any(feature = "cli", test))]
pub(crate) use log::append_line;
#[cfg(any(feature = "cli", test))]
pub(crate) use output::{append_user_file, UserOutput};
pub(crate) use owned::{create_new, open, read, read_open, remove, rename, write};
pub(crate) use platform::random_pause;
pub(crate) use private::{is_folder, private_dir, restrict_to_owner, world_accessible};
#[cfg(feature = "cli")]
pub(crate) use space::disk_space;
#[cfg(all(unix, feature = "cli"))]
pub(crate) use temporary::remove_temporary_folders;
#[cfg(unix)]
pub(crate) use temporary::{safe_parents, TemporaryFolder, ADDED_LENGTH};
#[cfg(windows)]
pub(crate) use trusted::{changeable_by_others, others_create_files_in};
#[cfg(unix)]
pub(crate) use user::mode_of_others;
#[cfg(feature = "cli")]
pub(crate) use user::{exposed, read_secret_file};
pub(crate) use user::{is_in_boundary, open_user_file, read_user_file, read_user_file_or_pipe};
#[cfg(any(feature = "migrate", test))]
pub(crate) use wipe::wipe;

#[cfg(unix)]
pub(crate) use crate::trusted::{changeable_by_others, others_create_files_in};

/// The path with `ending` behind its file name.
fn beside(path: &std::path::Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context::Context;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn rule_25_only_the_owner_may_see_files_and_directories() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let deep = folder.path().join("a/b");
        private_dir(&deep).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        write(&deep.join("w"), b"x").unwrap();
        create_new(&deep.join("c"), b"x").unwrap();
        append_line(&deep.join("a"), "x", 100, &Context::process()).unwrap();
        let _lock = Lock::acquire(&deep.join("l"), Duration::ZERO, &Context::process()).unwrap();
        let files = ["w", "c", "a", "l", "l.holder"];
        for name in files {
            assert_eq!(mode(&deep.join(name)), 0o600, "{name}");
        }
        // What another program has opened to others is closed again.
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(&deep, 0o755);
        for name in files {
            open(&deep.join(name), 0o644);
        }
        restrict_to_owner(folder.path()).unwrap();
        assert_eq!(mode(&deep), 0o700);
        for name in files {
            assert_eq!(mode(&deep.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn rule_25_links_are_not_followed() {
        let folder = folder();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(read(&link, 10).is_err());
        assert!(write(&link, b"new").is_err());
        assert!(!create_new(&link, b"new").unwrap());
        assert!(Lock::acquire(&link, Duration::ZERO, &Context::process()).is_err());
        assert!(wipe(&link).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(&elsewhere, &linked).unwrap();
        assert!(private_dir(&linked).is_err());
    }
}
