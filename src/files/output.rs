//! Writing to a file that a person or another program names: links are followed, and devices are
//! written into, never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::platform::{ensure_regular, folder_of, not_regular, persist, verbatim_path};

/// A file that a person names for output. A regular file gets its new content as a whole, in
/// [`UserOutput::finish`], or keeps the old one; a device, a FIFO and the like are written into and
/// never replaced. Links are followed.
pub(crate) struct UserOutput {
    staged: Staged,
    path: PathBuf,
}

/// Where the content waits until it is complete.
enum Staged {
    /// In the folder of the regular file that it will replace or create.
    Beside(NamedTempFile),
    /// In the folder for temporary files, to be copied into the device or FIFO.
    Apart(File),
}

impl UserOutput {
    /// Prepares a write to `path`. Nothing at `path` changes before [`UserOutput::finish`].
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Self::new_file(path),
            // Windows has no metadata of devices such as NUL.
            Err(_) => return Self::apart(path),
        };
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        #[cfg(unix)]
        if is_block_device(&found) {
            return Err(io::Error::other("it is a block device"));
        }
        if !found.is_file() {
            return Self::apart(path);
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
        })
    }

    fn new_file(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::other(
                "it is a symbolic link to a file that does not exist",
            ));
        }
        Ok(Self {
            staged: Staged::Beside(NamedTempFile::new_in(&*verbatim_path(folder_of(path)))?),
            path: path.to_owned(),
        })
    }

    fn apart(path: &Path) -> io::Result<Self> {
        Ok(Self {
            staged: Staged::Apart(tempfile::tempfile()?),
            path: path.to_owned(),
        })
    }

    /// Where to write the content.
    pub(crate) fn file(&mut self) -> &mut File {
        match &mut self.staged {
            Staged::Beside(file) => file.as_file_mut(),
            Staged::Apart(file) => file,
        }
    }

    /// The folder in which the content waits.
    pub(crate) fn folder(&self) -> PathBuf {
        match &self.staged {
            Staged::Beside(file) => folder_of(file.path()).to_owned(),
            Staged::Apart(_) => tempfile::env::temp_dir(),
        }
    }

    /// The file that stays behind if the process is ended before [`UserOutput::finish`].
    pub(crate) fn unfinished(&self) -> Option<PathBuf> {
        match &self.staged {
            Staged::Beside(file) => Some(file.path().to_owned()),
            Staged::Apart(_) => None,
        }
    }

    /// Puts the content in its place. For a FIFO this waits until a process reads from it.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.staged {
            Staged::Beside(file) => {
                file.as_file().sync_all()?;
                persist(file, &verbatim_path(&self.path))
            }
            Staged::Apart(mut file) => {
                io::Seek::rewind(&mut file)?;
                let mut target = OpenOptions::new().write(true).open(&self.path)?;
                io::copy(&mut file, &mut target).map(drop)
            }
        }
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
