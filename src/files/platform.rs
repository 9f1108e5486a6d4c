//! What the other files of this folder build on: opening without following links, and the
//! differences between systems.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::policy::{LOCK_POLL_MAX, LOCK_POLL_MIN, SHARING_VIOLATION_TIMEOUT};

/// Opens a regular file and nothing else: a link is not followed, a FIFO is not waited for. A file
/// that is created has mode 0600.
pub(super) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    #[cfg(windows)]
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink()) {
        return Err(io::Error::other("it is a symbolic link"));
    }
    let opened = options.open(path);
    #[cfg(unix)]
    if matches!(&opened, Err(why) if why.raw_os_error() == Some(libc::ELOOP)) {
        return Err(io::Error::other("it is a symbolic link"));
    }
    ensure_regular(opened?)
}

/// Fails where the open file is a directory, a device, a FIFO or the like.
pub(super) fn ensure_regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

pub(super) fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// Renames the temporary file over `path`.
pub(super) fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    // A rename that fails hands the file back, for the next attempt.
    let mut file = Some(file);
    retry_on_sharing_violation(|| match file.take() {
        Some(whole) => whole.persist(path).map(drop).map_err(|failed| {
            file = Some(failed.file);
            failed.error
        }),
        None => Ok(()),
    })
}

/// Windows refuses to replace, remove or open a file while another program has it open or replaces
/// it: another process of ours, a virus scanner. That lasts for moments, so the call is repeated.
/// Other systems do not refuse.
pub(super) fn retry_on_sharing_violation<T>(
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    const ERROR_ACCESS_DENIED: i32 = 5;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let begun = Instant::now();
    loop {
        match call() {
            Err(why)
                if cfg!(windows)
                    && matches!(
                        why.raw_os_error(),
                        Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION)
                    )
                    && begun.elapsed() < SHARING_VIOLATION_TIMEOUT =>
            {
                std::thread::sleep(random_pause());
            }
            other => return other,
        }
    }
}

/// A random pause between two attempts, so that processes do not try at the same moments.
pub(crate) fn random_pause() -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    LOCK_POLL_MIN + LOCK_POLL_MAX.saturating_sub(LOCK_POLL_MIN) * random / 255
}

/// The folder that the file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path in the form that Windows accepts beyond 260 characters (`\\?\…`). The standard library
/// writes paths like that by itself; the crate for temporary files does not.
#[cfg(windows)]
pub(super) fn verbatim_path(path: &Path) -> Cow<'_, Path> {
    use std::path::{Component, PathBuf, Prefix};
    let Ok(whole) = std::path::absolute(path) else {
        return Cow::Borrowed(path);
    };
    let mut parts = whole.components();
    let Some(Component::Prefix(prefix)) = parts.next() else {
        return Cow::Owned(whole);
    };
    let mut start = std::ffi::OsString::new();
    match prefix.kind() {
        Prefix::Disk(_) => {
            start.push(r"\\?\");
            start.push(prefix.as_os_str());
        }
        Prefix::UNC(server, share) => {
            start.push(r"\\?\UNC\");
            start.push(server);
            start.push(r"\");
            start.push(share);
        }
        _ => return Cow::Owned(whole),
    }
    let mut verbatim = PathBuf::from(start);
    verbatim.extend(parts);
    Cow::Owned(verbatim)
}

#[cfg(not(windows))]
pub(super) fn verbatim_path(path: &Path) -> Cow<'_, Path> {
    Cow::Borrowed(path)
}

/// Flushes the folder, so that a rename in it survives a power cut. Windows does that with the
/// rename itself and does not open folders as files.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}
