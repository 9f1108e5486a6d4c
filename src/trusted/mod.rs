//! Whether others could change or replace a file, judged as `sudo` and `ssh` judge theirs: by the
//! file, the folders that it is in, and every link on the way. Who may own it is a parameter.

#[cfg(target_os = "linux")]
mod private_group;
#[cfg(unix)]
mod user_namespace;
#[cfg(unix)]
mod walk;

use std::fmt;
use std::path::PathBuf;

#[cfg(all(unix, feature = "cli"))]
pub(crate) use walk::bits_of_private_group;
#[cfg(unix)]
pub(crate) use walk::{
    changeable_by_others, examine, is_socket_of, keeps_others_out, others_create_files_in,
    Examined, Trust,
};

/// A file or folder that others could change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changeable {
    pub(crate) path: PathBuf,
    pub(crate) fault: Fault,
}

/// Why others could change a file or folder. As text, words that follow the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It belongs to this user.
    #[cfg(unix)]
    Owner(u32),
    /// It belongs to this owner, which in the user namespace of this process is root's and this
    /// user's alike.
    #[cfg(unix)]
    Unmapped(u32),
    /// This mode lets its group or everyone write to it.
    #[cfg(unix)]
    Mode(u32),
    /// It does not exist, in a folder that others may write to.
    #[cfg(unix)]
    Absent,
    /// Its access list lets others change it.
    #[cfg(windows)]
    AccessList,
}

impl Fault {
    /// Whether others could create the file, rather than change one that is there.
    pub(crate) fn is_missing(self) -> bool {
        match self {
            #[cfg(unix)]
            Self::Absent => true,
            #[cfg(unix)]
            Self::Owner(_) | Self::Unmapped(_) | Self::Mode(_) => false,
            #[cfg(windows)]
            Self::AccessList => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(unix)]
            Self::Owner(owner) => write!(f, "belongs to another user ({owner})"),
            #[cfg(unix)]
            Self::Unmapped(owner) => write!(
                f,
                "belongs to a user that this namespace does not map ({owner})"
            ),
            #[cfg(unix)]
            Self::Mode(mode) => write!(f, "can be changed by others (mode {mode:04o})"),
            #[cfg(unix)]
            Self::Absent => f.write_str("does not exist, and others could create it"),
            #[cfg(windows)]
            Self::AccessList => f.write_str("can be changed by others, by its access list"),
        }
    }
}
