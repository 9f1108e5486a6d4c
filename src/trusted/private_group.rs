//! The group that many Linux systems make with each account, for this account alone. There, what a
//! user creates can often be written by this group (umask 002).

use std::path::Path;

use nix::unistd::{Group, Uid, User};
use rustix::io::Errno;

/// The group of the user alone: its first group, with its name, and without other members. Which
/// accounts have the group as their first one cannot be listed; the name says that it is none.
pub(super) fn of(user: u32) -> Option<u32> {
    let user = User::from_uid(Uid::from_raw(user)).ok()??;
    let group = Group::from_gid(user.gid).ok()??;
    // Some systems give root's group to other accounts as well.
    let is_roots = user.uid.is_root() || group.gid.as_raw() == 0;
    (!is_roots && is_private(&user.name, &group.name, &group.mem)).then(|| group.gid.as_raw())
}

fn is_private(user: &str, group: &str, members: &[String]) -> bool {
    group == user && members.iter().all(|member| member == user)
}

/// Whether others than owner and group may have rights, for which the bits of the group stand then.
pub(super) fn has_access_list(path: &Path) -> bool {
    let mut list = [0; 1024];
    let found = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut list[..]);
    !matches!(found, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_32_a_private_group_has_the_name_of_its_user_and_no_other_members() {
        let members = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        assert!(is_private("gis", "gis", &[]));
        assert!(is_private("gis", "gis", &members(&["gis"])));
        assert!(!is_private("gis", "gis", &members(&["gis", "eve"])));
        assert!(!is_private("gis", "users", &[]));
        assert_eq!(of(0), None);
    }
}
