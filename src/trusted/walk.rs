//! Following a path link by link, because who can change a link on the way decides where it leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use super::user_namespace::owner_of_unmapped;
use super::{Changeable, Fault};

const ROOT: u32 = 0;

/// How many links are followed, as systems do.
const MOST_LINKS: usize = 40;

/// What may write to a file or folder besides its owner, as bits of the mode.
const OTHERS_WRITE: u32 = 0o022;

/// Keeps those who may write to a folder from changing each other's files.
const STICKY: u32 = 0o1000;

/// The group of administrators on macOS, who may write to the folders of programs that they
/// install, such as those of Homebrew.
const ADMINISTRATORS: Option<u32> = if cfg!(target_os = "macos") {
    Some(80)
} else {
    None
};
const GROUP_WRITES: u32 = 0o020;

/// Who may own a file and what is on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The user of this process, and root: for what this user runs. A folder that others may write
    /// to is good if its sticky bit keeps them from each other's files.
    UserAndRoot,
    /// The same and this user: for the way to a socket on which a service of that account listens.
    /// What is that user's counts only where others cannot create files, sticky bit or not: while
    /// the service does not run, each of them could put a socket of his own there.
    UserRootAnd(u32),
    /// Root alone: for what decides for every user. No other user may write to a folder on the way,
    /// except that a group may write to a sticky folder of root, as to `/nix/store`, where what is
    /// next on the way exists and is root's: what does not exist yet could be created there.
    Root,
}

/// What was found on the way to a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Examined {
    /// No other user can change it. It is at this path, which has no links.
    Closed(PathBuf),
    /// Others can.
    Changeable(Changeable),
}

/// What of the absolute `path` other users than this one and the administrator could change or
/// replace; `None` if nothing. Where there is nothing, and others cannot create it, the error is
/// [`io::ErrorKind::NotFound`].
pub(crate) fn changeable_by_others(path: &Path) -> io::Result<Option<Changeable>> {
    Ok(match examine(path, Trust::UserAndRoot)? {
        Examined::Closed(_) => None,
        Examined::Changeable(found) => Some(found),
    })
}

/// Whether the absolute `path`, which no other user can change, leads to a folder in which others
/// can create files, whatever protects those that are there.
pub(crate) fn others_create_files_in(path: &Path) -> io::Result<bool> {
    let user = rustix::process::geteuid().as_raw();
    let private_group = || private_group(user);
    let judge = Judge::of(Trust::UserAndRoot, user, &private_group);
    let real = path.canonicalize()?;
    Ok(real.is_dir() && judge.can_be_created_in(&real))
}

/// Whether a service of the account `owner` listens on the socket at `path`, and only that account,
/// root and this user could put another one there.
pub(crate) fn is_socket_of(path: &Path, owner: u32) -> bool {
    let Ok(Examined::Closed(real)) = examine(path, Trust::UserRootAnd(owner)) else {
        return false;
    };
    fs::symlink_metadata(real)
        .is_ok_and(|found| found.file_type().is_socket() && found.uid() == owner)
}

/// Who else could change or replace what is at the absolute `path`.
pub(crate) fn examine(path: &Path, trust: Trust) -> io::Result<Examined> {
    let user = rustix::process::geteuid().as_raw();
    let private_group = || private_group(user);
    let judge = Judge::of(trust, user, &private_group);
    judge.walk(path)
}

/// Whether others cannot rename what is in a folder of this mode.
pub(crate) const fn keeps_others_out(mode: u32) -> bool {
    mode & OTHERS_WRITE == 0 || mode & STICKY != 0
}

/// The bits of a mode that concern the group, where that is this user alone.
#[cfg(feature = "cli")]
pub(crate) fn bits_of_private_group(path: &Path, found: &Metadata) -> u32 {
    let user = rustix::process::geteuid().as_raw();
    let is_private = Some(found.gid()) == private_group(user) && !has_access_list(path);
    if is_private {
        0o070
    } else {
        0
    }
}

/// What owners and modes mean to this process.
struct Judge<'a> {
    trust: Trust,
    user: u32,
    /// Who owns the files of users that the user namespace does not map.
    unmapped: &'a dyn Fn() -> Option<u32>,
    /// The group of this user alone.
    private_group: &'a dyn Fn() -> Option<u32>,
}

impl<'a> Judge<'a> {
    fn of(trust: Trust, user: u32, private_group: &'a dyn Fn() -> Option<u32>) -> Self {
        Self {
            trust,
            user,
            unmapped: &owner_of_unmapped,
            private_group,
        }
    }

    fn walk(&self, path: &Path) -> io::Result<Examined> {
        let mut rest = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        if let Some(fault) = self.fault(&at, &fs::symlink_metadata(&at)?) {
            return Ok(Examined::Changeable(Changeable { path: at, fault }));
        }
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(part);
            let found = match fs::symlink_metadata(&next) {
                Err(why)
                    if why.kind() == io::ErrorKind::NotFound && self.can_be_created_in(&at) =>
                {
                    let fault = Fault::Absent;
                    return Ok(Examined::Changeable(Changeable { path: next, fault }));
                }
                found => found?,
            };
            if let Some(fault) = self.fault(&next, &found) {
                return Ok(Examined::Changeable(Changeable { path: next, fault }));
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
        // In such a folder, only what was found to be root's is good.
        let found = fs::symlink_metadata(&at)?;
        if self.trust == Trust::Root && !self.is_written_by_trusted_alone(&at, &found) {
            let fault = Fault::Mode(found.mode() & 0o7777);
            return Ok(Examined::Changeable(Changeable { path: at, fault }));
        }
        Ok(Examined::Closed(at))
    }

    fn fault(&self, path: &Path, found: &Metadata) -> Option<Fault> {
        if let Some(fault) = self.fault_of_owner(found.uid(), path) {
            return Some(fault);
        }
        // The mode of a link says nothing; that of its folder decides.
        let is_closed = found.is_symlink() || self.is_closed(path, found);
        (!is_closed).then(|| Fault::Mode(found.mode() & 0o7777))
    }

    /// Whether others can neither change it nor replace what is in it.
    fn is_closed(&self, path: &Path, found: &Metadata) -> bool {
        let is_good_for_user = || {
            let kind = found.file_type();
            // Who may write to one of these talks to it, and does not change what it is.
            let is_endpoint = kind.is_char_device() || kind.is_block_device() || kind.is_socket();
            is_endpoint || (kind.is_dir() && keeps_others_out(found.mode()))
        };
        let is_kept_apart_by_root = || {
            let others = found.mode() & (OTHERS_WRITE | STICKY);
            found.is_dir() && found.uid() == ROOT && others == GROUP_WRITES | STICKY
        };
        self.is_written_by_trusted_alone(path, found)
            || match self.trust {
                Trust::UserAndRoot | Trust::UserRootAnd(_) => is_good_for_user(),
                Trust::Root => is_kept_apart_by_root(),
            }
    }

    fn is_written_by_trusted_alone(&self, path: &Path, found: &Metadata) -> bool {
        let others = found.mode() & OTHERS_WRITE;
        let group = Some(found.gid());
        let is_trusted_group = || {
            group == ADMINISTRATORS || (group == (self.private_group)() && !has_access_list(path))
        };
        others == 0 || (self.trust != Trust::Root && others == GROUP_WRITES && is_trusted_group())
    }

    /// Whether others can create a file in the folder, which a sticky bit does not prevent.
    fn can_be_created_in(&self, folder: &Path) -> bool {
        !fs::symlink_metadata(folder)
            .is_ok_and(|found| self.is_written_by_trusted_alone(folder, &found))
    }

    /// In a user namespace that does not map every user, the files of all others have one and the
    /// same owner, root's among them. There, that owner counts as root, except where it is this
    /// user itself, and in a folder in which every user may create files.
    fn fault_of_owner(&self, owner: u32, path: &Path) -> Option<Fault> {
        let is_user = owner == self.user;
        let is_trusted = match self.trust {
            Trust::UserAndRoot => is_user,
            Trust::UserRootAnd(account) => {
                let is_kept = || path.parent().is_some_and(|at| !self.can_be_created_in(at));
                is_user || (owner == account && is_kept())
            }
            Trust::Root => false,
        };
        if owner == ROOT || is_trusted {
            return None;
        }
        let is_unmapped = (self.unmapped)() == Some(owner);
        match (is_unmapped, is_user) {
            (true, true) => Some(Fault::Unmapped(owner)),
            (true, false) if !is_in_shared_folder(path) => None,
            (true | false, _) => Some(Fault::Owner(owner)),
        }
    }
}

#[cfg(target_os = "linux")]
fn private_group(user: u32) -> Option<u32> {
    super::private_group::of(user)
}

/// On other systems, users have common groups.
#[cfg(not(target_os = "linux"))]
const fn private_group(_: u32) -> Option<u32> {
    None
}

#[cfg(target_os = "linux")]
fn has_access_list(path: &Path) -> bool {
    super::private_group::has_access_list(path)
}

/// Elsewhere, the mode does not tell what access lists allow.
#[cfg(not(target_os = "linux"))]
const fn has_access_list(_: &Path) -> bool {
    false
}

fn is_in_shared_folder(path: &Path) -> bool {
    let folder = path.parent().map(fs::symlink_metadata);
    folder.is_some_and(|found| !found.is_ok_and(|found| found.mode() & OTHERS_WRITE == 0))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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

    /// What this user finds, without a group of its own.
    fn found(path: &Path) -> Option<PathBuf> {
        let judge = Judge {
            trust: Trust::UserAndRoot,
            user: user(),
            unmapped: &|| None,
            private_group: &|| None,
        };
        match judge.walk(path).unwrap() {
            Examined::Closed(_) => None,
            Examined::Changeable(found) => Some(found.path),
        }
    }

    /// What a process of `user` finds, in a namespace in which unmapped users' files have `owner`.
    fn judged(path: &Path, trust: Trust, user: u32, owner: Option<u32>) -> Option<Fault> {
        fault(
            Judge {
                trust,
                user,
                unmapped: &|| owner,
                private_group: &|| None,
            },
            path,
        )
    }

    #[allow(clippy::needless_pass_by_value)]
    fn fault(judge: Judge<'_>, path: &Path) -> Option<Fault> {
        match judge.walk(path).unwrap() {
            Examined::Closed(_) => None,
            Examined::Changeable(found) => Some(found.fault),
        }
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
        let closed = examine(&outer, Trust::UserAndRoot).unwrap();
        assert_eq!(closed, Examined::Closed(good));
        let circle = own.join("circle");
        symlink(&circle, &circle).unwrap();
        assert!(changeable_by_others(&circle).is_err());
        assert!(changeable_by_others(&own.join("none")).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn rule_32_the_group_of_this_user_alone_may_write() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let real = all.path().canonicalize().unwrap();
        let own = folder(&real, "own", 0o775);
        let script = program(&own, 0o664);
        let group = fs::metadata(&script).unwrap().gid();
        let judged = |trust, private: Option<u32>| {
            fault(
                Judge {
                    trust,
                    user: user(),
                    unmapped: &|| None,
                    private_group: &|| private,
                },
                &script,
            )
        };
        let of_user = |private| judged(Trust::UserAndRoot, private);
        assert_eq!(of_user(Some(group)), None);
        assert_eq!(of_user(Some(group + 1)), Some(Fault::Mode(0o775)));
        assert_eq!(of_user(None), Some(Fault::Mode(0o775)));
        if user() == ROOT {
            let of_root = fs::metadata(&own).unwrap();
            let judge = Judge {
                trust: Trust::Root,
                user: ROOT,
                unmapped: &|| None,
                private_group: &|| Some(group),
            };
            assert!(!judge.is_closed(&own, &of_root));
        }
        set_mode(&script, 0o666);
        assert_eq!(of_user(Some(group)), Some(Fault::Mode(0o666)));
        set_mode(&script, 0o664);
        // The rights of a named user are behind the bits of the group.
        let entries = [
            (1, 6, u32::MAX),
            (2, 6, 65533),
            (4, 6, u32::MAX),
            (16, 6, u32::MAX),
            (32, 4, u32::MAX),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (kind, rights, who) in entries {
            list.extend(u16::to_le_bytes(kind));
            list.extend(u16::to_le_bytes(rights));
            list.extend(u32::to_le_bytes(who));
        }
        let flags = rustix::fs::XattrFlags::empty();
        let name = "system.posix_acl_access";
        // Not every file system has such lists.
        if rustix::fs::lsetxattr(&script, name, &list, flags).is_ok() {
            assert_eq!(of_user(Some(group)), Some(Fault::Mode(0o664)));
        }
    }

    #[test]
    fn rule_32_what_others_could_create_is_seen() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let real = all.path().canonicalize().unwrap();
        let folder = folder(&real, "folder", 0o755);
        let link = real.join("link");
        symlink("folder/none/program", &link).unwrap();
        let none = folder.join("none");
        for path in [&none, &none.join("program"), &link] {
            let kind = changeable_by_others(path).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::NotFound);
        }
        // A sticky bit does not keep others from creating a file.
        for mode in [0o757, 0o1777] {
            set_mode(&folder, mode);
            let fault = if mode == 0o757 {
                Fault::Mode(mode)
            } else {
                Fault::Absent
            };
            for path in [&none, &none.join("program"), &link] {
                let judged = judged(path, Trust::UserAndRoot, user(), None);
                assert_eq!(judged, Some(fault), "{}", path.display());
            }
        }
    }

    #[test]
    fn rule_32_what_belongs_to_another_user_is_seen() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let real = all.path().canonicalize().unwrap();
        let good = program(&real, 0o755);
        assert_eq!(judged(&good, Trust::UserAndRoot, user(), None), None);
        // Without root, the whole of this folder belongs to the user of this process.
        let owner = if user() == ROOT { 1000 } else { user() };
        if user() == ROOT {
            chown(&good, Some(owner), None).unwrap();
            assert_eq!(found(&good), Some(good.clone()));
        }
        let fault = Fault::Owner(owner);
        assert_eq!(
            judged(&good, Trust::UserAndRoot, owner + 1001, None),
            Some(fault)
        );
        let text = fault.to_string();
        assert_eq!(text, format!("belongs to another user ({owner})"));
    }

    /// One rule for what decides for a user and for the whole machine.
    #[test]
    fn rule_34_what_a_namespace_does_not_map_counts_as_root_and_never_as_the_user() {
        const OVERFLOW: u32 = 65534;
        if user() != ROOT {
            return;
        }
        // Not below `/tmp`, in which every user may create files.
        let all = tempfile::tempdir_in("/var/lib").unwrap();
        let file = program(all.path(), 0o644);
        let both = [Trust::Root, Trust::UserAndRoot];
        let fault = |owner| Some(Fault::Owner(owner));
        for trust in both {
            assert_eq!(judged(&file, trust, 1000, None), None);
        }
        chown(&file, Some(OVERFLOW), None).unwrap();
        for trust in both {
            assert_eq!(judged(&file, trust, 1000, Some(OVERFLOW)), None);
            assert_eq!(judged(&file, trust, 1000, None), fault(OVERFLOW));
        }
        // This user has no number of its own there, so that its files look like root's.
        let own = |trust| judged(&file, trust, OVERFLOW, Some(OVERFLOW));
        assert_eq!(own(Trust::Root), Some(Fault::Unmapped(OVERFLOW)));
        assert_eq!(own(Trust::UserAndRoot), None);
        // Outside of a namespace, this is a user like any other.
        assert_eq!(judged(&file, Trust::UserAndRoot, OVERFLOW, None), None);
        chown(&file, Some(1000), None).unwrap();
        assert_eq!(
            judged(&file, Trust::Root, 1000, Some(OVERFLOW)),
            fault(1000)
        );
        assert_eq!(judged(&file, Trust::UserAndRoot, 1000, None), None);
        // In a folder that all may write to, an unmapped owner may be anybody.
        chown(&file, Some(OVERFLOW), None).unwrap();
        set_mode(all.path(), 0o1777);
        let shared = judged(&file, Trust::UserAndRoot, 1000, Some(OVERFLOW));
        assert_eq!(shared, fault(OVERFLOW));
    }

    /// As on NixOS and Guix, where what is in `/etc` leads through the store.
    #[test]
    fn rule_34_in_a_sticky_folder_of_a_group_only_what_is_roots_leads_on() {
        if user() != ROOT {
            return;
        }
        let all = tempfile::tempdir_in("/var/lib").unwrap();
        set_mode(all.path(), 0o755);
        let [etc, store] = ["etc", "store"].map(|name| folder(all.path(), name, 0o755));
        let package = folder(&store, "package", 0o755);
        let file = program(&package, 0o644);
        let direct = program(&store, 0o644);
        let (link, to_direct, to_store) = (etc.join("link"), etc.join("direct"), etc.join("store"));
        symlink("../store/package", &link).unwrap();
        symlink("../store/program", &to_direct).unwrap();
        symlink("../store", &to_store).unwrap();
        let of = |path: &Path| judged(path, Trust::Root, 1000, None);
        let path = link.join("program");
        for mode in [0o755, 0o1775] {
            set_mode(&store, mode);
            assert_eq!((of(&path), of(&to_direct)), (None, None), "{mode:o}");
        }
        assert_eq!(of(&to_store), Some(Fault::Mode(0o1775)));
        for mode in [0o775, 0o1777, 0o1757] {
            set_mode(&store, mode);
            assert_eq!(of(&path), Some(Fault::Mode(mode)), "{mode:o}");
        }
        set_mode(&store, 0o1775);
        chown(&package, Some(1000), None).unwrap();
        assert_eq!(of(&path), Some(Fault::Owner(1000)));
        chown(&package, Some(ROOT), None).unwrap();
        chown(&store, Some(1000), None).unwrap();
        assert_eq!(of(&path), Some(Fault::Owner(1000)));
        chown(&store, Some(ROOT), None).unwrap();
        fs::remove_file(&direct).unwrap();
        assert_eq!(of(&to_direct), Some(Fault::Absent));
        fs::remove_file(&file).unwrap();
        let kind = examine(&path, Trust::Root).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::NotFound);
    }

    #[test]
    fn rule_34_root_alone_may_write_on_the_whole_way() {
        if user() != ROOT {
            return;
        }
        let all = tempfile::tempdir_in("/var/lib").unwrap();
        set_mode(all.path(), 0o755);
        let [begin, middle, end] =
            ["begin", "middle", "end"].map(|name| folder(all.path(), name, 0o755));
        let file = program(&end, 0o644);
        symlink("../middle/link", begin.join("link")).unwrap();
        symlink(&end, middle.join("link")).unwrap();
        let path = begin.join("link/program");
        let closed = || examine(&path, Trust::Root).unwrap() == Examined::Closed(file.clone());
        assert!(closed());
        for folder in [&begin, &middle, &end] {
            for mode in [0o775, 0o757, 0o1777] {
                set_mode(folder, mode);
                assert!(!closed(), "{} {mode:o}", folder.display());
            }
            set_mode(folder, 0o755);
            chown(folder, Some(1000), None).unwrap();
            assert!(!closed(), "{}", folder.display());
            chown(folder, Some(ROOT), None).unwrap();
            assert!(closed());
        }
        for link in [begin.join("link"), middle.join("link")] {
            std::os::unix::fs::lchown(&link, Some(1000), None).unwrap();
            assert!(!closed(), "{}", link.display());
            std::os::unix::fs::lchown(&link, Some(ROOT), None).unwrap();
        }
        set_mode(&file, 0o664);
        assert!(!closed());
    }
}
