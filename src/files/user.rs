//! Files that a person or another program names. Links are followed there, as people expect of their own files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use super::platform::ensure_regular;

/// The file's content. Anything that is not a regular file, and more than `max` bytes are errors; a FIFO is not waited
/// for.
pub(crate) fn read_user_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_user_file(path)?
        .take(max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}

/// Opens a person's own file for reading.
pub(crate) fn open_user_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    ensure_regular(options.open(path)?)
}
