//! Writing to a file that a person or another program names: links are followed, and devices are
//! written into, never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::platform::{ensure_regular, folder_of, not_regular, persist, verbatim_path};
use crate::context::Deadline;
use crate::util::in_time;

/// A file that a person names for output. A regular file gets its new content as a whole, in
/// [`UserOutput::finish`], or keeps the old one; a device, a FIFO and the like are written into and
/// never replaced. Links are followed.
pub(crate) struct UserOutput {
    staged: Staged,
    path: PathBuf,
    deadline: Deadline,
}

/// Where the content waits until it is complete.
enum Staged {
    /// In the folder of the regular file that it will replace or create.
    Beside(NamedTempFile),
    /// In the folder for temporary files, to be copied into the device or FIFO.
    Apart { content: File, target: File },
}

impl UserOutput {
    /// Prepares a write to `path`. Nothing at `path` changes before [`UserOutput::finish`]. Opening
    /// a FIFO waits until a process reads from it, but not after `deadline`: here, so that nothing
    /// is fetched that nothing reads.
    pub(crate) fn create(path: &Path, deadline: Deadline) -> io::Result<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Self::new_file(path, deadline)
            }
            // Windows has no metadata of devices such as NUL.
            Err(_) => return Self::apart(path, deadline),
        };
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        #[cfg(unix)]
        if is_block_device(&found) {
            return Err(io::Error::other("it is a block device"));
        }
        if !found.is_file() {
            return Self::apart(path, deadline);
        }
        // A rename would replace a link instead of the file that it leads to.
        let path = fs::canonicalize(path)?;
        // A rename needs no right to write the file itself, so that right is checked here.
        OpenOptions::new().write(true).open(&path)?;
        let file = NamedTempFile::new_in(&*verbatim_path(folder_of(&path)))?;
        #[cfg(unix)]
        keep_owner_and_mode(&found, file.as_file())?;
        Ok(Self {
            staged: Staged::Beside(file),
            path,
            deadline,
        })
    }

    fn new_file(path: &Path, deadline: Deadline) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::other(
                "it is a symbolic link to a file that does not exist",
            ));
        }
        Ok(Self {
            staged: Staged::Beside(NamedTempFile::new_in(&*verbatim_path(folder_of(path)))?),
            path: path.to_owned(),
            deadline,
        })
    }

    fn apart(path: &Path, deadline: Deadline) -> io::Result<Self> {
        let content = tempfile::tempfile()?;
        let named = path.to_owned();
        let open = move || OpenOptions::new().write(true).open(named);
        let target = in_time(deadline.bound(Duration::MAX), open).map_err(not_read)??;
        Ok(Self {
            staged: Staged::Apart { content, target },
            path: path.to_owned(),
            deadline,
        })
    }

    /// Where to write the content.
    pub(crate) fn file(&mut self) -> &mut File {
        match &mut self.staged {
            Staged::Beside(file) => file.as_file_mut(),
            Staged::Apart { content, .. } => content,
        }
    }

    /// The folder in which the content waits.
    pub(crate) fn folder(&self) -> PathBuf {
        match &self.staged {
            Staged::Beside(file) => folder_of(file.path()).to_owned(),
            Staged::Apart { .. } => tempfile::env::temp_dir(),
        }
    }

    /// The file that stays behind if the process is ended before [`UserOutput::finish`].
    pub(crate) fn unfinished(&self) -> Option<PathBuf> {
        match &self.staged {
            Staged::Beside(file) => Some(file.path().to_owned()),
            Staged::Apart { .. } => None,
        }
    }

    /// Puts the content in its place. For a FIFO this waits until a process has read what the FIFO
    /// does not hold, but not after the deadline.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.staged {
            Staged::Beside(file) => {
                file.as_file().sync_all()?;
                persist(file, &verbatim_path(&self.path))
            }
            Staged::Apart {
                mut content,
                mut target,
            } => {
                io::Seek::rewind(&mut content)?;
                let copy = move || io::copy(&mut content, &mut target).map(drop);
                in_time(self.deadline.bound(Duration::MAX), copy).map_err(not_read)?
            }
        }
    }
}

/// Names what was waited for.
fn not_read(why: io::Error) -> io::Error {
    match why.kind() {
        io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            "no program read it in the time that --timeout allows",
        ),
        _ => why,
    }
}

#[cfg(unix)]
fn is_block_device(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type())
}

/// Gives the new file the owner and the mode of the old one, so that the same people can read it.
#[cfg(unix)]
fn keep_owner_and_mode(found: &fs::Metadata, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{fchown, MetadataExt};
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
        // Only root may change an owner; for others the new file is their own.
        let _ = fchown(file, Some(found.uid()), Some(found.gid()));
    }
    file.set_permissions(found.permissions())
}

/// Appends to a regular file that another program named, in one write. Links are followed; anything
/// else is an error.
pub(crate) fn append_user_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    // Checked before the file is opened, because opening a FIFO would already disturb its reader.
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    ensure_regular(options.open(path)?)?.write_all(bytes)
}
