//! How much space a disk has.

use std::path::Path;

/// The space of the disk that holds a folder, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskSpace {
    /// What this user may still write.
    pub(crate) available: u64,
    /// What the disk can hold.
    pub(crate) total: u64,
}

/// The space of the disk that holds `folder`. `None` where the system does not say.
#[cfg(unix)]
pub(crate) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(DiskSpace {
        available: found.f_bavail.checked_mul(found.f_frsize)?,
        total: found.f_blocks.checked_mul(found.f_frsize)?,
    })
}

/// The same on Windows: the disk is the one whose mount point is the longest beginning of the path.
#[cfg(windows)]
pub(crate) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let folder = std::fs::canonicalize(folder).ok()?;
    // `canonicalize` adds a prefix for long paths, which the list of disks does not have.
    let text = folder.to_string_lossy().to_lowercase();
    let text = text.strip_prefix(r"\\?\").unwrap_or(&text);
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let disk = disks
        .list()
        .iter()
        .filter(|disk| text.starts_with(&disk.mount_point().to_string_lossy().to_lowercase()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(DiskSpace {
        available: disk.available_space(),
        total: disk.total_space(),
    })
}
