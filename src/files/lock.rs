//! Locks between processes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::beside;
use super::owned::read;
use super::platform::{open_regular, random_pause};
use crate::context::Context;
use crate::crash;
use crate::error::{Error, FileAction, Result};
use crate::event::{Event, Wait};
use crate::policy::ANNOUNCE_WAIT_AFTER;
use crate::util::rfc3339;

/// The largest note of a lock's holder that is read, in bytes.
const MAX_HOLDER_NOTE: u64 = 4096;

/// A lock between processes, held until dropped. The system releases it when its process ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    holder: PathBuf,
}

impl Lock {
    /// Takes the lock on `path`, which is created where missing, waiting at most `timeout`.
    ///
    /// Beside it `<path>.holder` says which process holds it: information for people, not
    /// proof.
    pub(crate) fn acquire(path: &Path, timeout: Duration, context: &Context) -> Result<Self> {
        // The lock file stays when the lock ends. If it were removed, one process could lock the
        // removed file and another one the new file of the same name, and both would believe that
        // they hold the lock.
        let file = open_regular(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
            path,
        )
        .map_err(Error::file(FileAction::Lock, path))?;
        let holder = beside(path, ".holder");
        let timeout = context.deadline.bound(timeout);
        wait_for(&file, path, &holder, timeout, context)?;
        write_holder_note(&holder, context);
        crash::point("lock taken");
        Ok(Self {
            _file: file,
            holder,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A note that stays names a process that has ended; only the lock itself counts.
        let _ = fs::remove_file(&self.holder);
    }
}

fn wait_for(
    file: &File,
    path: &Path,
    holder: &Path,
    timeout: Duration,
    context: &Context,
) -> Result<()> {
    let begun = Instant::now();
    let mut announced = false;
    // The systems offer no wait with a time limit, so the lock is tried again and again.
    let outcome = loop {
        match file.try_lock() {
            Ok(()) => break Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(why)) => break Err(Error::file(FileAction::Lock, path)(why)),
        }
        let waited = begun.elapsed();
        if waited >= timeout {
            break Err(Error::Busy {
                what: path.display().to_string(),
                pid: holder_pid(holder),
            });
        }
        if waited >= ANNOUNCE_WAIT_AFTER && !announced {
            announced = true;
            context.emit(&Event::Waiting(Wait::OtherProcess {
                pid: holder_pid(holder),
            }));
        }
        std::thread::sleep(random_pause().min(timeout.saturating_sub(waited)));
    };
    if announced {
        context.emit(&Event::WaitOver);
    }
    outcome
}

/// Writes who holds the lock. The note may be missing, late, or left behind by a process that was
/// killed.
fn write_holder_note(path: &Path, context: &Context) {
    let program = std::env::current_exe().unwrap_or_default();
    let note = serde_json::json!({
        "pid": std::process::id(),
        "program": program.display().to_string(),
        "since": rfc3339(context.now()),
    });
    // A failure to write the note must not stop a renewal, and a flush to disk would only cost
    // time.
    let _ = open_regular(
        OpenOptions::new().write(true).create(true).truncate(true),
        path,
    )
    .and_then(|mut file| writeln!(file, "{note}"));
}

fn holder_pid(path: &Path) -> Option<u32> {
    let bytes = read(path, MAX_HOLDER_NOTE).ok()??;
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
    fn a_held_lock_is_reported_with_its_holder_and_a_dropped_one_is_free() {
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
