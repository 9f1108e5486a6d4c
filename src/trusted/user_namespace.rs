//! Which owner the files of those users have that the user namespace of this process does not map.

use std::fs;

/// The owner that files of unmapped users appear to have. `None` where the namespace maps every
/// user, and where the system has no namespaces or does not say what they map.
pub(super) fn owner_of_unmapped() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    if maps_every_user(&map)? {
        return None;
    }
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    overflow.map_or(Some(65534), |text| text.trim().parse().ok())
}

/// Whether the lines `first, first outside, count` map all numbers that a user can have.
fn maps_every_user(map: &str) -> Option<bool> {
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    let counts: Option<Vec<u64>> = map.lines().map(count).collect();
    Some(counts?.iter().sum::<u64>() >= u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_34_what_a_namespace_maps_is_read_from_its_table() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(maps_every_user(whole), Some(true));
        assert_eq!(maps_every_user("0 1000 1\n"), Some(false));
        assert_eq!(maps_every_user("0 1000 1\n1 100000 65536\n"), Some(false));
        // No user is mapped yet.
        assert_eq!(maps_every_user(""), Some(false));
        assert_eq!(maps_every_user("0 0\n"), None);
    }
}
