//! Files that a person or another program names. Links are followed there, as people expect of
//! their own files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::platform::ensure_regular;
use crate::context::{Deadline, Environment};
use crate::env;
use crate::policy::PIPE_TIMEOUT;
#[cfg(all(unix, feature = "cli"))]
use crate::trusted;
use crate::util::in_time;

/// Below these folders, the container or the unit decides who reads a file, whatever its mode is.
const BOUNDARY_FOLDERS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Whether a container or a unit decides who reads a file with a secret. The path has no links.
pub(crate) fn is_in_boundary(path: &Path, environment: &Environment) -> bool {
    let credentials = environment.path(env::CREDENTIALS_DIRECTORY);
    BOUNDARY_FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(credentials.filter(|folder| folder.is_absolute()))
        .filter_map(|folder| folder.canonicalize().ok())
        .any(|folder| path.starts_with(folder))
}

/// A file with a secret that other users may read.
#[cfg(feature = "cli")]
pub(crate) struct Exposed {
    /// Its mode.
    pub(crate) mode: u32,
    /// The mode that ends it.
    pub(crate) closed_mode: u32,
}

/// Whether other users may read a file with a secret: by its mode, and by the folders on the way to
/// it, as far as modes say. `None` on systems without modes, too.
#[cfg(feature = "cli")]
pub(crate) fn exposed(path: &Path, environment: &Environment) -> Option<Exposed> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        const READ: u32 = 0o444;
        let real = path.canonicalize().ok()?;
        let found = real.metadata().ok()?;
        let mode = found.mode() & 0o777;
        let forbidden = mode_of_others(found.uid());
        let is_readable = mode & forbidden & READ & !trusted::bits_of_private_group(&real, &found);
        let is_reached = || real.ancestors().skip(1).all(is_open_to_others);
        (is_readable != 0 && !is_in_boundary(&real, environment) && is_reached()).then_some(
            Exposed {
                mode,
                closed_mode: 0o666 & !forbidden,
            },
        )
    }
    #[cfg(not(unix))]
    {
        let _ = (path, environment);
        None
    }
}

/// The bits of a mode that let others use a file with a secret. A file of root may be readable for
/// a group, which is how root gives a secret to named accounts.
#[cfg(unix)]
pub(crate) const fn mode_of_others(owner: u32) -> u32 {
    const ROOT: u32 = 0;
    if owner == ROOT {
        0o037
    } else {
        0o077
    }
}

/// Whether other users may use what is in the folder.
#[cfg(all(unix, feature = "cli"))]
fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let bits = |found: &std::fs::Metadata| {
        found.mode() & 0o011 & !trusted::bits_of_private_group(folder, found)
    };
    folder.metadata().map_or(true, |found| bits(&found) != 0)
}

/// The file's content. Anything that is not a regular file, and more than `max` bytes are errors; a
/// FIFO is not waited for.
pub(crate) fn read_user_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_to_end(open_user_file(path)?, max)
}

/// The file's content, as [`read_user_file`], or what arrives through a pipe that the shell opened
/// for this process: `<(command)`. Such a pipe has a writer, which is waited for.
pub(crate) fn read_user_file_or_pipe(
    path: &Path,
    max: u64,
    deadline: Deadline,
) -> io::Result<Vec<u8>> {
    if is_inherited(path) {
        return read_in_time(path, max, deadline.bound(PIPE_TIMEOUT));
    }
    read_user_file(path, max)
}

/// The content of a file with a secret. Any pipe is read, because programs that keep secrets hand
/// them over through a FIFO, too; `limit` also covers the wait for a writer.
#[cfg(feature = "cli")]
pub(crate) fn read_secret_file(path: &Path, max: u64, limit: Duration) -> io::Result<Vec<u8>> {
    if is_inherited(path) || is_fifo(path) {
        return read_in_time(path, max, limit);
    }
    read_user_file(path, max)
}

#[cfg(all(feature = "cli", unix))]
fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(all(feature = "cli", not(unix)))]
fn is_fifo(_: &Path) -> bool {
    false
}

/// Opens a person's own file for reading.
pub(crate) fn open_user_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    ensure_regular(options.open(path)?)
}

fn read_to_end(source: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {max} bytes"),
        ));
    }
    Ok(bytes)
}

/// Whether the path names a file descriptor that this process was started with.
fn is_inherited(path: &Path) -> bool {
    let number = ["/dev/fd", "/proc/self/fd"]
        .into_iter()
        .find_map(|folder| path.strip_prefix(folder).ok());
    let descriptor = number
        .and_then(Path::to_str)
        .is_some_and(|name| name.parse::<u16>().is_ok());
    cfg!(unix) && (descriptor || path == Path::new("/dev/stdin"))
}

/// Opens and reads on another thread, because neither has a time limit of its own for a pipe.
fn read_in_time(path: &Path, max: u64, limit: Duration) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    let read = move || File::open(path).and_then(|file| read_to_end(file, max));
    in_time(limit, read).unwrap_or_else(|why| match why.kind() {
        io::ErrorKind::TimedOut => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "it is a pipe, and no program ended it within {} seconds",
                limit.as_secs_f32().ceil()
            ),
        )),
        _ => Err(why),
    })
}
