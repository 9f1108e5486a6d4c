//! Starting a program of our own as another account, and collecting what it prints.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use process_wrap::std::{CommandWrap, ProcessSession};

use super::{in_time, Beyond, Reader, PAUSE};
use crate::context::Context;

/// A program, and everything that it gets.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// Its whole environment.
    pub(crate) variables: Vec<(String, OsString)>,
    /// Where it starts.
    pub(crate) folder: &'a Path,
    /// On macOS: the user and the group that it runs as, if not those of this process.
    #[cfg(target_os = "macos")]
    pub(crate) runs_as: Option<(u32, u32)>,
}

/// How a program ended, and what it printed.
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs a program in a session of its own, without a terminal and without input, and ends it with
/// all that it started when the time is over. More than `most` bytes of output are an error.
pub(crate) fn capture(
    call: &Call<'_>,
    limit: Duration,
    most: usize,
    context: &Context,
) -> io::Result<Captured> {
    let end = Instant::now() + limit;
    // Between its start and its entry in the list, an interruption would leave it behind.
    let starting = context.interruptions.delay();
    let running = in_time(prepared(call), end);
    drop(starting);
    let running = running?;
    let output = Reader::start(running.take_output(), most, Beyond::Ignore)?;
    let errors = Reader::start(running.take_errors(), most, Beyond::Ignore)?;
    let status = loop {
        if let Some(status) = running.ended()? {
            break status;
        }
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(PAUSE);
    };
    let (output, errors) = (received(&output, end)?, received(&errors, end)?);
    Ok(Captured {
        status,
        output,
        errors,
    })
}

/// The program with its three streams and no other open file: what the caller of this process left
/// open is not for the other account.
fn prepared(call: &Call<'_>) -> CommandWrap {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let mut wrap = CommandWrap::with_new(call.program, |std| {
        std.args(&call.arguments)
            .env_clear()
            .envs(call.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(call.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(target_os = "macos")]
        if let Some((user, group)) = call.runs_as {
            use std::os::unix::process::CommandExt as _;
            std.uid(user).gid(group);
        }
    });
    wrap.wrap(ProcessSession);
    wrap
}

fn received(output: &Reader, end: Instant) -> io::Result<String> {
    let end = end.max(Instant::now() + PAUSE);
    let written = output.written(end);
    if written.is_cut {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(String::from_utf8_lossy(&written.bytes).into_owned())
}
