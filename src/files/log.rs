//! Appending to a log that many processes write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[cfg(unix)]
use super::platform::folder_of;
use super::platform::open_regular;
use super::{beside, Lock};
use crate::context::Context;
use crate::error::{Error, FileAction, Result};
use crate::policy::LOG_ROTATION_TIMEOUT;

/// Adds a line to a log with mode 0600, in one write at its end, so that lines of many processes
/// stay whole. A log that would grow beyond `max` bytes is renamed to `<path>.1` first and replaces
/// the one of before. Where it cannot be renamed, the line is written into the full log, and the
/// failed renaming is the error.
///
/// A link, a directory and anything else that is not a regular file is an error and stays as it is,
/// and so is a file that another user could have put there.
pub(crate) fn append_line(path: &Path, line: &str, max: u64, context: &Context) -> Result<()> {
    let text = format!("{line}\n");
    let mut file = open_log(path)?;
    let mut rotated = Ok(());
    if is_full(&file, &text, max) {
        // A process that does not get the lock in time writes into the full log: no line is lost.
        if let Ok(_lock) = Lock::acquire(&beside(path, ".lock"), LOG_ROTATION_TIMEOUT, context) {
            // Another process may have moved the log during the wait; then the new one has room.
            file = open_log(path)?;
            if is_full(&file, &text, max) {
                // Windows renames no file that is open.
                drop(file);
                rotated = fs::rename(path, beside(path, ".1"))
                    .map_err(Error::file(FileAction::Rotate, path));
                file = open_log(path)?;
            }
        }
    }
    // One call of `write`: `write_all` could split the line, and another process could write
    // between the parts.
    let written = file.write(text.as_bytes()).and_then(|count| {
        if count == text.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    });
    written
        .map_err(Error::file(FileAction::Append, path))
        .and(rotated)
}

/// Opens the log, or creates it. It is judged as it was opened, because another user could put a
/// file in its place at any time, also right after it was renamed.
fn open_log(path: &Path) -> Result<File> {
    let open = |options: &mut OpenOptions| -> io::Result<File> {
        let file = open_regular(options.append(true), path)?;
        ensure_own(&file, path)?;
        Ok(file)
    };
    let opened = match open(&mut OpenOptions::new()) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            match open(OpenOptions::new().create_new(true)) {
                // Another process was faster.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                    open(&mut OpenOptions::new())
                }
                created => created,
            }
        }
        opened => opened,
    };
    opened.map_err(Error::file(FileAction::Append, path))
}

/// Fails where the folder lets others create files, and this one is another user's, or this user's
/// under another name.
#[cfg(unix)]
fn ensure_own(file: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    const OTHERS_WRITE: u32 = 0o022;
    let found = file.metadata()?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    // A log that was moved and replaced since it was opened has no name any more.
    if is_own && found.nlink() <= 1 {
        return Ok(());
    }
    if fs::metadata(folder_of(path))?.mode() & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(io::Error::other(if is_own {
        "it has other names (hard links), which another user could have made"
    } else {
        "it belongs to another user"
    }))
}

/// On other systems, no policy names a folder for the logs of all accounts.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
const fn ensure_own(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

fn is_full(file: &File, text: &str, max: u64) -> bool {
    file.metadata()
        .is_ok_and(|found| found.len() > 0 && found.len() + text.len() as u64 > max)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files::read;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn lines_of_many_writers_stay_whole_when_the_log_is_rotated() {
        let folder = folder();
        let path = folder.path().join("log");
        let context = Context::process();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (path, context) = (&path, &context);
                scope.spawn(move || {
                    for number in 0..50 {
                        append_line(path, &format!("{writer} {number:060}"), 16_000, context)
                            .unwrap();
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
    fn one_old_log_is_kept_and_a_long_line_rotates_once() {
        let folder = folder();
        let path = folder.path().join("log");
        let context = Context::process();
        for line in ["first", "second", "third"] {
            append_line(&path, line, 3, &context).unwrap();
        }
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"third\n");
        let old = folder.path().join("log.1");
        assert_eq!(read(&old, 10).unwrap().unwrap(), b"second\n");
    }

    #[test]
    fn a_full_log_that_cannot_be_renamed_loses_no_line() {
        let folder = folder();
        let path = folder.path().join("log");
        let context = Context::process();
        append_line(&path, "first", 3, &context).unwrap();
        // In a shared folder, another user can put something there before.
        let old = folder.path().join("log.1");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("x"), b"").unwrap();
        let error = append_line(&path, "second", 3, &context).unwrap_err();
        assert!(error.to_string().contains("cannot rotate"), "{error}");
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"first\nsecond\n");
        fs::remove_dir_all(&old).unwrap();
        append_line(&path, "third", 3, &context).unwrap();
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"third\n");
        assert_eq!(read(&old, 100).unwrap().unwrap(), b"first\nsecond\n");
    }

    #[test]
    #[cfg(unix)]
    fn rule_34_a_log_that_another_user_could_have_put_there_gets_nothing() {
        use std::os::unix::fs::{chown, PermissionsExt as _};
        let folder = folder();
        let (path, other) = (folder.path().join("log"), folder.path().join("other"));
        let set_mode = |mode| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        };
        let append = |max| append_line(&path, "line", max, &Context::process());
        fs::write(&other, b"own\n").unwrap();
        fs::hard_link(&other, &path).unwrap();
        append(100).unwrap();
        set_mode(0o1777);
        let error = append(100).unwrap_err();
        assert!(error.to_string().contains("cannot append"), "{error}");
        assert_eq!(fs::read(&other).unwrap(), b"own\nline\n");
        fs::remove_file(&path).unwrap();
        append(100).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(65533), None).unwrap();
            assert!(append(100).is_err());
            assert_eq!(fs::read(&path).unwrap(), b"line\n");
            // Where others cannot create files, an administrator has put it there.
            set_mode(0o755);
            append(100).unwrap();
        }
    }

    #[test]
    fn a_log_that_is_not_a_regular_file_is_an_error_and_stays() {
        let folder = folder();
        let context = Context::process();
        let path = folder.path().join("d");
        fs::create_dir(&path).unwrap();
        assert!(append_line(&path, "x", 100, &context).is_err());
        assert!(path.is_dir());
        assert!(append_line(&folder.path().join("no/log"), "x", 100, &context).is_err());
        #[cfg(unix)]
        {
            let (target, link) = (folder.path().join("target"), folder.path().join("link"));
            fs::write(&target, b"old").unwrap();
            std::os::unix::fs::symlink(&target, &link).unwrap();
            assert!(append_line(&link, "x", 100, &context).is_err());
            assert_eq!(fs::read(&target).unwrap(), b"old");
        }
    }
}
