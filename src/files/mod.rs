//! Files that only their owner may see, replaced as a whole and never through a link; and locks that die with their
//! process. Every write of this crate goes through here.

#[cfg(windows)]
pub(crate) mod access_list;

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::context::{Context, Event, Wait};
use crate::crash;
use crate::error::{Error, FileAction, Result};

/// A wait for another process is worth mentioning once it has lasted this long.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Moving a full log away takes a moment.
#[cfg(any(feature = "cli", test))]
const ROTATION_LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long somebody else may be in the way of a file on Windows.
const SHARING_VIOLATION_TIMEOUT: Duration = Duration::from_millis(500);

/// Shortest and longest pause between two looks at a lock, in milliseconds.
const PAUSE: (u64, u64) = (5, 50);

/// The file's content, or nothing where there is none. A link, anything that is not a regular file, and more than `max`
/// bytes are errors.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    let file =
        match retry_on_sharing_violation(|| open_unlinked(OpenOptions::new().read(true), path)) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(Error::file(FileAction::Read, path)(why)),
        };
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::file(FileAction::Read, path))?;
    if bytes.len() as u64 > max {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            why: format!("it is larger than {max} bytes"),
        });
    }
    Ok(Some(bytes))
}

/// What a person's own file holds, wherever they keep it: a link is followed. Anything that is no regular file, and more
/// than `max` bytes are errors; no FIFO is waited for.
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

/// Opens a person's own file, for reading.
pub(crate) fn open_user_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    regular(options.open(path)?)
}

/// Opens a regular file and nothing else: no link is followed, no FIFO waited for.
fn open_unlinked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    #[cfg(windows)]
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink()) {
        return Err(io::Error::other("it is a symbolic link"));
    }
    let opened = options.open(path);
    #[cfg(unix)]
    if matches!(&opened, Err(why) if why.raw_os_error() == Some(libc::ELOOP)) {
        return Err(io::Error::other("it is a symbolic link"));
    }
    regular(opened?)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// Replaces the file as a whole: temporary file with mode 0600 beside it, flushed to disk, renamed over. Whatever fails,
/// the old content stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    ensure_regular_file(path)?;
    let (path, folder) = (&*verbatim_path(path), &*verbatim_path(folder_of(path)));
    let written = NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        crash::point("file written beside");
        replace(file, path)?;
        crash::point("file replaced");
        sync_folder(folder)
    });
    written.map_err(Error::file(FileAction::Write, path))
}

/// Renames the file over its target.
fn replace(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let mut file = Some(file);
    retry_on_sharing_violation(|| match file.take() {
        Some(whole) => whole.persist(path).map(drop).map_err(|failed| {
            file = Some(failed.file);
            failed.error
        }),
        None => Ok(()),
    })
}

/// Windows replaces, removes and opens no file in the moments in which somebody else has it open or replaces it: another
/// process of ours, a scanner for viruses. Elsewhere nobody is in the way.
fn retry_on_sharing_violation<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const DENIED: i32 = 5;
    const SHARING: i32 = 32;
    let begun = Instant::now();
    loop {
        match act() {
            Err(why)
                if cfg!(windows)
                    && matches!(why.raw_os_error(), Some(DENIED | SHARING))
                    && begun.elapsed() < SHARING_VIOLATION_TIMEOUT =>
            {
                std::thread::sleep(pause());
            }
            other => return other,
        }
    }
}

/// Creates the file with mode 0600; `false` where something is there already, be it a link. Nobody ever sees half of it.
pub(crate) fn create_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let (path, folder) = (&*verbatim_path(path), &*verbatim_path(folder_of(path)));
    let created = NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        crash::point("new file written beside");
        match file.persist_noclobber(path) {
            Ok(_) => {
                crash::point("file created");
                sync_folder(folder).map(|()| true)
            }
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(failed) => Err(failed.error),
        }
    });
    created.map_err(Error::file(FileAction::Create, path))
}

/// Adds a line to a log with mode 0600, in one write at its end, so that lines of many processes stay whole. A log that
/// would grow beyond `max` bytes is moved to `<path>.1` first, in place of the one before.
///
/// A link, a directory and anything else that is not a regular file is an error and stays as it is.
#[cfg(any(feature = "cli", test))]
pub(crate) fn append(path: &Path, line: &str, max: u64, context: &Context) -> Result<()> {
    let text = format!("{line}\n");
    let open = || {
        open_unlinked(OpenOptions::new().append(true).create(true), path)
            .map_err(Error::file(FileAction::Append, path))
    };
    let mut file = open()?;
    let full = |file: &File| {
        file.metadata()
            .is_ok_and(|found| found.len() > 0 && found.len() + text.len() as u64 > max)
    };
    if full(&file) {
        // Who waited may find that another has moved it; a log that is kept from moving for longer grows instead.
        if let Ok(_lock) = Lock::acquire(&beside(path, ".lock"), ROTATION_LOCK_TIMEOUT, context) {
            file = open()?;
            if full(&file) {
                drop(file);
                fs::rename(path, beside(path, ".1"))
                    .map_err(Error::file(FileAction::Rotate, path))?;
                file = open()?;
            }
        }
    }
    let written = file.write(text.as_bytes()).and_then(|count| {
        if count == text.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    });
    written.map_err(Error::file(FileAction::Append, path))
}

/// A file that a person names for output. A regular file takes its new content as a whole, in [`UserOutput::finish`], or
/// keeps the old one; a device, a FIFO and the like are written into and never replaced. Links are followed.
#[cfg(any(feature = "cli", test))]
pub(crate) struct UserOutput {
    staged: Staged,
    path: PathBuf,
}

#[cfg(any(feature = "cli", test))]
enum Staged {
    /// Beside the regular file that it will replace, or where there is none yet.
    Beside(NamedTempFile),
    /// Somewhere else, to be copied into what stands at the path.
    Apart(File),
}

#[cfg(any(feature = "cli", test))]
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
        if is_block_device(&found) {
            return Err(io::Error::other("it is a block device"));
        }
        if !found.is_file() {
            return Self::apart(path);
        }
        let path = fs::canonicalize(path)?;
        // A rename would replace a file that is not writable as well.
        OpenOptions::new().write(true).open(&path)?;
        let file = NamedTempFile::new_in(&*verbatim_path(folder_of(&path)))?;
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

    /// Puts the content in its place. A FIFO is waited for until a process reads from it.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.staged {
            Staged::Beside(file) => {
                file.as_file().sync_all()?;
                replace(file, &verbatim_path(&self.path))
            }
            Staged::Apart(mut file) => {
                io::Seek::rewind(&mut file)?;
                let mut target = OpenOptions::new().write(true).open(&self.path)?;
                io::copy(&mut file, &mut target).map(drop)
            }
        }
    }
}

#[cfg(any(feature = "cli", test))]
fn is_block_device(found: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type());
    #[cfg(not(unix))]
    return {
        let _ = found;
        false
    };
}

/// Whoever could read the old file can read the new one.
#[cfg(any(feature = "cli", test))]
fn keep_owner_and_mode(found: &fs::Metadata, file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{fchown, MetadataExt};
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
            // Only root may give a file away; for others the new file is their own.
            let _ = fchown(file, Some(found.uid()), Some(found.gid()));
        }
        file.set_permissions(found.permissions())
    }
    #[cfg(not(unix))]
    {
        let _ = (found, file);
        Ok(())
    }
}

/// Appends to a regular file that another program named, in one write. Links are followed; anything else is an error.
#[cfg(any(feature = "cli", test))]
pub(crate) fn append_user_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    regular(options.open(path)?)?.write_all(bytes)
}

/// Gives the file another name.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    retry_on_sharing_violation(|| fs::rename(from, to))
        .map_err(Error::file(FileAction::Rename, from))?;
    crash::point("file renamed");
    Ok(())
}

/// Removes the file where there is one.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match retry_on_sharing_violation(|| fs::remove_file(path)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(Error::file(FileAction::Remove, path)(why))
        }
        removed => {
            if removed.is_ok() {
                crash::point("file removed");
            }
            Ok(())
        }
    }
}

/// Overwrites the file with zeros, flushes that to disk, then removes it, where there is one. A link is an error and stays,
/// as does what it leads to.
///
/// What a file system or a disk keeps of former content elsewhere (snapshots, journals, spare blocks) is beyond reach.
pub(crate) fn wipe(path: &Path) -> Result<()> {
    let open = || open_unlinked(OpenOptions::new().write(true), path);
    let opened = match open() {
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path).and_then(|()| open())
        }
        opened => opened,
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(Error::file(FileAction::Overwrite, path)(why)),
    };
    let overwritten = file.metadata().and_then(|found| {
        io::copy(&mut io::repeat(0).take(found.len()), &mut file)?;
        file.sync_all()
    });
    overwritten.map_err(Error::file(FileAction::Overwrite, path))?;
    crash::point("file overwritten");
    // Windows removes no file that is open, and none that is marked as read-only.
    drop(file);
    remove(path).or_else(|error| {
        make_writable(path).map_err(|_| error)?;
        remove(path)
    })
}

/// For a file of one's own that was marked as read-only.
fn make_writable(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(not_regular());
    }
    let mut permissions = found.permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    #[cfg(windows)]
    #[allow(clippy::permissions_set_readonly_false)] // That is about Unix.
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
}

/// A rename would replace a link, a directory or a device without a word.
fn ensure_regular_file(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(Error::Corrupt {
            path: path.to_owned(),
            why: "it is not a regular file (a symbolic link is not followed)".into(),
        }),
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Windows stops at 260 characters unless a path is written in its verbatim form. The standard library does that by itself;
/// temporary files come from elsewhere.
#[cfg(windows)]
fn verbatim_path(path: &Path) -> Cow<'_, Path> {
    use std::path::{Component, Prefix};
    let Ok(whole) = std::path::absolute(path) else {
        return Cow::Borrowed(path);
    };
    let mut parts = whole.components();
    let Some(Component::Prefix(prefix)) = parts.next() else {
        return Cow::Owned(whole);
    };
    let mut verbatim = std::ffi::OsString::new();
    match prefix.kind() {
        Prefix::Disk(_) => {
            verbatim.push(r"\\?\");
            verbatim.push(prefix.as_os_str());
        }
        Prefix::UNC(server, share) => {
            verbatim.push(r"\\?\UNC\");
            verbatim.push(server);
            verbatim.push(r"\");
            verbatim.push(share);
        }
        _ => return Cow::Owned(whole),
    }
    let mut long = PathBuf::from(verbatim);
    long.extend(parts);
    Cow::Owned(long)
}

#[cfg(not(windows))]
fn verbatim_path(path: &Path) -> Cow<'_, Path> {
    Cow::Borrowed(path)
}

/// Makes the rename itself survive a power cut. Windows does that with the rename and cannot open folders as files.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// Makes the directory for its owner alone (mode 0700; on Windows by an access list where its place does not see to that),
/// and its missing parents too. One that is there stays as it is; a link or a file in its place is an error.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => {
            return Err(Error::Corrupt {
                path: path.to_owned(),
                why: "it is no directory (a symbolic link is not followed)".into(),
            })
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(Error::file(FileAction::Read, path)(why)),
    }
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    #[cfg(windows)]
    let highest = highest_missing(path);
    builder
        .recursive(true)
        .create(path)
        .map_err(Error::file(FileAction::Create, path))?;
    #[cfg(windows)]
    if let Err(why) = crate::files::access_list::restrict_to_owner(highest) {
        // A folder that others may see must not look like one that is ready.
        for folder in path
            .ancestors()
            .take_while(|folder| folder.starts_with(highest))
        {
            let _ = fs::remove_dir(folder);
        }
        return Err(Error::file(FileAction::Restrict, path)(why));
    }
    crash::point("folder made");
    Ok(())
}

/// The outermost folder that will be made along with this one.
#[cfg(windows)]
fn highest_missing(path: &Path) -> &Path {
    path.ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .last()
        .unwrap_or(path)
}

/// Files and folders at and below `folder` that others than their owner may see. Links are not followed.
pub(crate) fn world_accessible(folder: &Path) -> Result<Vec<PathBuf>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut open = tree(folder)?;
        open.retain(|path| {
            fs::symlink_metadata(path)
                .is_ok_and(|found| !found.is_symlink() && found.permissions().mode() & 0o077 != 0)
        });
        Ok(open)
    }
    #[cfg(windows)]
    {
        let others = crate::files::access_list::others(folder)
            .map_err(Error::file(FileAction::ReadAccessList, folder))?;
        Ok(if others {
            vec![folder.to_owned()]
        } else {
            Vec::new()
        })
    }
}

/// Gives `folder` and everything below it to their owner alone. Links are not followed.
pub(crate) fn take_access_from_others(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for path in world_accessible(folder)? {
            let mode = if path.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(Error::file(FileAction::Restrict, &path))?;
        }
        Ok(())
    }
    #[cfg(windows)]
    crate::files::access_list::restrict_to_owner(folder)
        .map_err(Error::file(FileAction::Restrict, folder))
}

/// The folder, and everything below it.
#[cfg(unix)]
fn tree(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if !is_folder {
            continue;
        }
        for entry in fs::read_dir(&path).map_err(Error::file(FileAction::Read, &path))? {
            found.push(entry.map_err(Error::file(FileAction::Read, &path))?.path());
        }
    }
    Ok(found)
}

/// A lock between processes, held until dropped. The system releases it when its process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    holder: PathBuf,
}

impl Lock {
    /// Takes the lock on `path`, which is created where missing, waiting at most `bound`.
    ///
    /// Beside it `<path>.holder` says who holds it; that is advice for people, never evidence.
    pub(crate) fn acquire(path: &Path, bound: Duration, context: &Context) -> Result<Self> {
        let file = open_unlinked(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
            path,
        )
        .map_err(Error::file(FileAction::Lock, path))?;
        let holder = beside(path, ".holder");
        wait_for(&file, path, &holder, context.deadline.bound(bound), context)?;
        note_holder(&holder, context);
        crash::point("lock taken");
        Ok(Self {
            _file: file,
            holder,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A note that stays names a process that is gone; the lock itself is what counts.
        let _ = fs::remove_file(&self.holder);
    }
}

fn wait_for(
    file: &File,
    path: &Path,
    holder: &Path,
    bound: Duration,
    context: &Context,
) -> Result<()> {
    let begun = Instant::now();
    let mut told = false;
    let outcome = loop {
        match file.try_lock() {
            Ok(()) => break Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(why)) => break Err(Error::file(FileAction::Lock, path)(why)),
        }
        let waited = begun.elapsed();
        if waited >= bound {
            break Err(Error::Busy {
                what: path.display().to_string(),
                pid: holder_pid(holder),
            });
        }
        if waited >= LONG_WAIT && !told {
            told = true;
            context.emit(&Event::Waiting(Wait::OtherProcess {
                pid: holder_pid(holder),
            }));
        }
        std::thread::sleep(pause().min(bound.saturating_sub(waited)));
    };
    if told {
        context.emit(&Event::WaitOver);
    }
    outcome
}

/// Waiters that look at different moments do not stand in each other's way.
fn pause() -> Duration {
    let (shortest, longest) = PAUSE;
    let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
    Duration::from_millis(shortest + random * (longest - shortest) / 255)
}

/// The path with `ending` behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Who holds the lock: a note that may be missing, late, or left behind.
fn note_holder(path: &Path, context: &Context) {
    let program = std::env::current_exe().unwrap_or_default();
    let note = serde_json::json!({
        "pid": std::process::id(),
        "program": program.display().to_string(),
        "since": crate::store::rfc3339(context.now()),
    });
    // Only advice: a failure to write it must not stop a renewal, and no disk flush is waited for.
    let _ = open_unlinked(
        OpenOptions::new().write(true).create(true).truncate(true),
        path,
    )
    .and_then(|mut file| writeln!(file, "{note}"));
}

fn holder_pid(path: &Path) -> Option<u32> {
    let bytes = read(path, 4096).ok()??;
    let note: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    note.get("pid")?.as_u64()?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::context::Deadline;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_what_is_absent_is_nothing() {
        let folder = folder();
        let path = folder.path().join("f");
        assert_eq!(read(&path, 10).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"two");
        assert!(matches!(read(&path, 2), Err(Error::Corrupt { .. })));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_file_is_made_once() {
        let folder = folder();
        let path = folder.path().join("f");
        assert!(create_new(&path, b"one").unwrap());
        assert!(!create_new(&path, b"two").unwrap());
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"one");
    }

    #[test]
    fn of_many_who_create_a_file_one_does_and_all_see_it_whole() {
        let folder = folder();
        let path = folder.path().join("f");
        let winners = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..16_u8 {
                let (path, winners) = (&path, &winners);
                scope.spawn(move || {
                    if create_new(path, &[number; 1000]).unwrap() {
                        winners.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    let found = read(path, 2000).unwrap().unwrap();
                    assert_eq!(found, [found[0]; 1000]);
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn lines_of_many_stay_whole_and_none_is_lost_when_the_log_is_moved() {
        let folder = folder();
        let path = folder.path().join("log");
        let context = Context::process();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (path, context) = (&path, &context);
                scope.spawn(move || {
                    for number in 0..50 {
                        append(path, &format!("{writer} {number:060}"), 16_000, context).unwrap();
                    }
                });
            }
        });
        let mut lines = Vec::new();
        for name in ["log", "log.1"] {
            let bytes = read(&folder.path().join(name), 17_000).unwrap().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        // 400 lines of 63 bytes fill the log once and a half: it was moved once, not twice.
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 400);
        assert!(lines.iter().all(|line| line.len() == 62), "{lines:?}");
    }

    #[test]
    fn a_log_is_kept_once_beside_the_new_one_and_a_long_line_is_no_reason_to_move_nothing() {
        let folder = folder();
        let path = folder.path().join("log");
        let context = Context::process();
        for line in ["first", "second", "third"] {
            append(&path, line, 3, &context).unwrap();
        }
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"third\n");
        let old = folder.path().join("log.1");
        assert_eq!(read(&old, 10).unwrap().unwrap(), b"second\n");
    }

    #[test]
    fn a_log_that_is_no_file_is_an_error_and_stays_as_it_is() {
        let folder = folder();
        let context = Context::process();
        let path = folder.path().join("d");
        fs::create_dir(&path).unwrap();
        assert!(append(&path, "x", 100, &context).is_err());
        assert!(path.is_dir());
        assert!(append(&folder.path().join("no/log"), "x", 100, &context).is_err());
        #[cfg(unix)]
        {
            let (target, link) = (folder.path().join("target"), folder.path().join("link"));
            fs::write(&target, b"old").unwrap();
            std::os::unix::fs::symlink(&target, &link).unwrap();
            assert!(append(&link, "x", 100, &context).is_err());
            assert_eq!(fs::read(&target).unwrap(), b"old");
        }
    }

    #[test]
    fn a_wiped_file_is_overwritten_under_all_its_names() {
        let folder = folder();
        let (path, other) = (folder.path().join("f"), folder.path().join("other"));
        fs::write(&path, b"secret").unwrap();
        fs::hard_link(&path, &other).unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&other).unwrap(), [0; 6]);
        wipe(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(wipe(&path).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn rule_25_only_the_owner_may_see_files_and_directories() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let deep = folder.path().join("a/b");
        private_dir(&deep).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        write(&deep.join("w"), b"x").unwrap();
        create_new(&deep.join("c"), b"x").unwrap();
        append(&deep.join("a"), "x", 100, &Context::process()).unwrap();
        let _lock = Lock::acquire(&deep.join("l"), Duration::ZERO, &Context::process()).unwrap();
        for name in ["w", "c", "a", "l", "l.holder"] {
            assert_eq!(mode(&deep.join(name)), 0o600, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn rule_25_links_are_not_followed() {
        let folder = folder();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(read(&link, 10).is_err());
        assert!(write(&link, b"new").is_err());
        assert!(!create_new(&link, b"new").unwrap());
        assert!(Lock::acquire(&link, Duration::ZERO, &Context::process()).is_err());
        assert!(wipe(&link).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(&elsewhere, &linked).unwrap();
        assert!(private_dir(&linked).is_err());
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_an_error() {
        let folder = folder();
        let path = folder.path().join("d");
        fs::create_dir(&path).unwrap();
        assert!(read(&path, 10).is_err());
        assert!(write(&path, b"x").is_err());
        assert!(path.is_dir());
    }

    #[test]
    fn a_held_lock_is_told_with_its_holder_and_a_dropped_one_is_free() {
        let folder = folder();
        let path = folder.path().join("lock");
        let context = Context {
            deadline: Deadline::never(),
            ..Context::process()
        };
        let held = Lock::acquire(&path, Duration::ZERO, &context).unwrap();
        match Lock::acquire(&path, Duration::from_millis(20), &context) {
            Err(Error::Busy { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        assert!(Lock::acquire(&path, Duration::ZERO, &context).is_ok());
    }
}
