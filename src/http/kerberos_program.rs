//! Starting the programs of Kerberos, and ending them in time.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::kerberos::Made;
use super::windows_sign_in::NoToken;
use crate::context::Environment;
use crate::env;
use crate::error::WindowsSignInFailure;
use crate::policy::{KERBEROS_TIMEOUT, MAX_KERBEROS_REQUEST_BYTES};

/// The pause between two looks at a socket or a process.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// Starts a program, and kills it when standard input ends, which it does with the process that
/// started this. No option of `curl` ends it while Kerberos waits for a server. It waits for both
/// children, because the first process of a container may not collect those of others.
const GUARD: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- & program=$!
(read -r _ <&3; kill -9 "$program") >/dev/null 2>&1 & guard=$!
exec 3<&-
wait "$program"; code=$?
kill "$guard" 2>/dev/null
wait "$guard" 2>/dev/null
exit "$code""#;

const SHELL: &str = "/bin/sh";

/// When a program is ended.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    end: Instant,
    /// Whether it is less than Kerberos may need.
    is_short: bool,
}

impl Limit {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
            is_short: limit < KERBEROS_TIMEOUT,
        }
    }

    /// What is left, and never zero, which would mean no limit to sockets.
    pub(super) fn left(&self) -> Duration {
        let left = self.end.saturating_duration_since(Instant::now());
        left.max(PAUSE)
    }

    /// The same end as a limit that was long enough.
    #[cfg(test)]
    pub(super) fn long_enough(limit: Duration) -> Self {
        Self {
            is_short: false,
            ..Self::new(limit)
        }
    }
}

/// What the programs of Kerberos get besides the variables of this process.
#[derive(Default)]
pub(super) struct Settings<'a> {
    /// The place of the tickets; `None` for that of this process.
    pub(super) cache: Option<&'a str>,
    /// The files of the configuration; `None` for those of this process.
    pub(super) configuration: Option<OsString>,
}

/// A program with an environment of its own. The texts of Kerberos are compared, so that they are
/// not translated.
pub(super) fn command(
    program: &Path,
    environment: &Environment,
    settings: &Settings<'_>,
) -> Command {
    let mut command = Command::new(SHELL);
    command.env_clear().env("LC_ALL", "C");
    command.args(["-c", GUARD, "sh"]).arg(program);
    for name in env::KERBEROS_VARIABLES {
        if let Some(value) = environment.var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(cache) = settings.cache {
        command.env(env::KRB5CCNAME, cache);
    }
    if let Some(configuration) = &settings.configuration {
        command.env(env::KRB5_CONFIG, configuration);
    }
    command
}

/// A process that ends with this value.
pub(super) struct Running {
    child: Child,
    name: &'static str,
}

impl Running {
    pub(super) fn start(mut command: Command, name: &'static str) -> Made<Self> {
        let started = command.stdin(Stdio::piped()).spawn();
        let child = started.map_err(|_| WindowsSignInFailure::NoProgram(name))?;
        Ok(Self { child, name })
    }

    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(super) fn errors(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it has ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Made<Option<ExitStatus>> {
        Ok(self
            .child
            .try_wait()
            .map_err(|_| WindowsSignInFailure::NoToken)?)
    }

    pub(super) fn wait(&mut self, limit: &Limit) -> Made<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            self.pause(limit)?;
        }
    }

    /// Lets the process work for a moment. `curl` waits for the servers of Kerberos, so that they
    /// are what does not answer; `klist` asks none.
    pub(super) fn pause(&self, limit: &Limit) -> Made<()> {
        if Instant::now() < limit.end {
            thread::sleep(PAUSE);
            return Ok(());
        }
        Err(match (limit.is_short, self.name) {
            (true, _) => NoToken::Timeout,
            (false, "curl") => NoToken::NoKdc,
            (false, name) => WindowsSignInFailure::ProgramHangs(name).into(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its standard input kills the program itself.
        self.child.stdin.take();
        let _ = self.child.wait();
    }
}

/// What a program writes. It may hold the token, and is wiped.
pub(super) fn read_text(from: Option<impl io::Read>) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(from) = from {
        let mut from = from.take(MAX_KERBEROS_REQUEST_BYTES);
        let _ = from.read_to_end(&mut bytes);
        // The rest is read, too, so that the program does not wait.
        let _ = io::copy(&mut from.into_inner(), &mut io::sink());
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}
