//! Everything outside the program that a command uses, in one value: streams, terminal, browser,
//! keychain, clock, environment. A test runs [`super::run`] with its own streams and answers.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::ops::Deref;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::browser::{self, Opened};
use super::launch::{launch, Launch};
use super::prompt::Dialog;
use crate::context::{Clock, Deadline, Environment};
use crate::env;
use crate::keychain::SecretStore;
use crate::machine_policy::MachinePolicy;
#[cfg(unix)]
use crate::policy::command_line::PASTE_PAUSE;
use crate::secret::Secret;
use crate::util::in_time;

/// The most that is read from standard input, in bytes. Secrets and codes are shorter.
const MAX_INPUT: u64 = 64 * 1024;

/// Everything outside the program that a command uses.
pub struct System {
    /// Standard output: answers.
    pub out: Box<dyn Write>,
    /// Standard error: everything else.
    pub err: Box<dyn Write + Send>,
    /// Asks questions.
    pub ask: Box<dyn Ask>,
    /// Opens a page in a browser, before the deadline; `None` where that seems not to have worked.
    pub browse: Browse,
    /// Reads standard input to its end. At the deadline, the error is [`io::ErrorKind::TimedOut`].
    pub read_input: Box<dyn FnMut(Deadline) -> io::Result<Secret>>,
    /// Reads one line of standard input in a thread, on a terminal also the lines that were pasted
    /// with it; `None` at the end of input.
    pub read_line: Box<dyn FnMut() -> Receiver<Option<String>>>,
    /// Which streams are a terminal.
    pub terminal: Terminals,
    /// Environment variables.
    pub environment: Environment,
    /// What an administrator decided for this machine.
    pub machine_policy: MachinePolicy,
    /// The time.
    pub clock: Clock,
    /// The time zone in which times are shown.
    pub zone: Zone,
    /// A keychain in place of the platform's and the vault.
    pub keychain: Option<Arc<dyn SecretStore>>,
    /// Starts a program in place of this one. Returns only if the program could not be started.
    pub launch: Box<dyn FnMut(Launch) -> io::Error>,
    /// The groups of this process, as Windows lists them; empty on other systems.
    pub logon_groups: Arc<dyn Fn() -> String + Send + Sync>,
    /// The number of the session that this process is in; `None` on other systems than Windows.
    pub windows_session: fn() -> Option<u32>,
    /// The programs that this process descends from, nearest first.
    pub ancestors: Box<dyn Fn() -> Vec<String>>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System")
    }
}

/// See [`System::browse`].
pub type Browse = Box<dyn FnMut(&str, Deadline) -> Option<Opened>>;

/// Which streams are a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Standard error shows colors, which old Windows consoles do not.
    pub colors: bool,
}

/// A time zone. The system's is looked up only when the first time is shown, because that reads
/// every folder of the zone database.
#[derive(Clone, Debug)]
pub struct Zone(Arc<OnceLock<TimeZone>>);

impl Zone {
    /// The system's, or UTC if that is not known.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(OnceLock::new()))
    }
}

impl From<TimeZone> for Zone {
    fn from(zone: TimeZone) -> Self {
        Self(Arc::new(OnceLock::from(zone)))
    }
}

impl Deref for Zone {
    type Target = TimeZone;

    fn deref(&self) -> &TimeZone {
        self.0
            .get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }
}

/// Why a question was not answered.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// Ctrl-C.
    Interrupted,
    /// The terminal failed.
    Io(io::Error),
    /// The time of the whole command ended before the answer.
    TimedOut,
}

/// Accepts an answer, or returns the reason why the question is asked again.
pub type Check<'a> = &'a mut dyn FnMut(&str) -> Result<(), String>;

/// Asks a person. Only called if standard input is a terminal and `--no-input` is absent.
pub trait Ask {
    /// No question waits beyond the end of the whole command.
    fn limit(&mut self, _deadline: Deadline) {}
    /// Prepares for Ctrl-C before a long wait.
    fn expect_interruption(&mut self) {}
    /// Asks for a line of text, again with the reason until `check` accepts it.
    fn text(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: Check<'_>,
    ) -> Result<String, AskError>;
    /// Asks for a line, and shows neither the text nor its length. Asks again, with the reason,
    /// until `check` accepts it.
    fn secret(&mut self, question: &str, check: Check<'_>) -> Result<Secret, AskError>;
    /// Asks for one of several choices, and returns its index.
    fn choose(
        &mut self,
        question: &str,
        choices: &[String],
        default: usize,
    ) -> Result<usize, AskError>;
    /// Asks for yes or no.
    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, AskError>;
}

impl System {
    /// The real system. Switches core dumps off, and removes the variables that hold secrets from
    /// this process's environment, so that child processes do not inherit them. Must therefore be
    /// called before any thread is started.
    #[must_use]
    pub fn real() -> Self {
        let core_limit = without_core_dumps();
        let mut taken = Vec::new();
        for name in env::secret_names() {
            if let Some(value) = std::env::var_os(name) {
                taken.push((name.to_owned(), value));
                std::env::remove_var(name);
            }
        }
        // The Python package guards this process with it, not the commands that `exec` starts.
        std::env::remove_var(env::AGE_OAUTH_STARTED_BY_PYTHON);
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            ask: Box::new(Dialog::new()),
            browse: Box::new(browser::open),
            read_input: Box::new(read_input),
            read_line: Box::new(read_line),
            terminal: Terminals {
                stdin: io::stdin().is_terminal(),
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
                // Also switches colors on in consoles that need that.
                colors: console::Term::stderr().features().colors_supported(),
            },
            environment: Environment::process().with(taken),
            machine_policy: MachinePolicy::of_this_machine(),
            clock: Clock::system(),
            zone: Zone::system(),
            keychain: None,
            launch: Box::new(move |wanted| {
                core_limit.restore();
                launch(&wanted)
            }),
            logon_groups: Arc::new(logon_groups),
            windows_session,
            ancestors: Box::new(ancestors),
        }
    }
}

/// The limit for core dumps before this program changed it, for the program that replaces this one.
#[cfg(unix)]
struct CoreLimit(rustix::process::Rlimit);

/// Switches core dumps off, because they would contain every secret in this process's memory. On
/// Linux, other processes of the user cannot read the memory, either. Starting another program ends
/// that.
#[cfg(unix)]
fn without_core_dumps() -> CoreLimit {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let before = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    // If that is not permitted, nothing more can be done.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    make_unreadable();
    CoreLimit(before)
}

/// Keeps other processes of the user from the memory of this one. Linux may end that when the
/// process becomes another user.
#[cfg(target_os = "linux")]
pub(super) fn make_unreadable() {
    // If that is not permitted, nothing more can be done.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(unix)]
impl CoreLimit {
    fn restore(&self) {
        let before = rustix::process::Rlimit {
            current: self.0.current,
            maximum: self.0.maximum,
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, before);
    }
}

/// Windows writes dumps only if an administrator switched them on.
#[cfg(not(unix))]
struct CoreLimit;

#[cfg(not(unix))]
fn without_core_dumps() -> CoreLimit {
    CoreLimit
}

#[cfg(not(unix))]
impl CoreLimit {
    #[allow(clippy::unused_self)] // As on Unix.
    fn restore(&self) {}
}

/// A Windows console is read by this thread, as in a question: a program whose console another
/// thread has read does not always end.
fn read_input(deadline: Deadline) -> io::Result<Secret> {
    let limit = deadline.bound(Duration::MAX);
    if cfg!(windows) && io::stdin().is_terminal() {
        return read_to_end();
    }
    in_time(limit, read_to_end)?
}

fn read_to_end() -> io::Result<Secret> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes)?;
    Secret::from_file(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The thread ends when a line was read, with the input, or with the program.
fn read_line() -> Receiver<Option<String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut input = io::stdin().lock().take(MAX_INPUT);
        let read = input.read_line(&mut line);
        while matches!(read, Ok(count) if count > 0) && is_more_pasted() {
            // What was read is kept; the end and errors appear at the next read.
            if !matches!(input.read_line(&mut line), Ok(count) if count > 0) {
                break;
            }
        }
        // Windows PowerShell may start its output with a byte order mark.
        let text = line.trim_start_matches('\u{feff}').to_owned();
        let line = matches!(read, Ok(count) if count > 0).then_some(text);
        // The receiver may be gone.
        let _ = sender.send(line);
    });
    receiver
}

/// Whether the terminal has another line that came with the last one: what is pasted arrives at
/// once. A terminal hands over one line per read, so nothing of it is buffered here.
#[cfg(unix)]
fn is_more_pasted() -> bool {
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return false;
    }
    let Ok(pause) = Timespec::try_from(PASTE_PAUSE) else {
        return false;
    };
    let mut wanted = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut wanted, Some(&pause)).is_ok_and(|ready| ready > 0)
}

/// Windows' consoles do not say whether they have another line. The portal refuses the first line
/// of a code that is wrapped, and `login` asks again.
#[cfg(not(unix))]
fn is_more_pasted() -> bool {
    false
}

#[cfg(windows)]
fn logon_groups() -> String {
    crate::files::access_list::groups().unwrap_or_default()
}

#[cfg(not(windows))]
fn logon_groups() -> String {
    String::new()
}

fn windows_session() -> Option<u32> {
    use sysinfo::{get_current_pid, ProcessRefreshKind, ProcessesToUpdate, System};
    // Elsewhere, it is the number of another kind of session.
    if !cfg!(windows) {
        return None;
    }
    let pid = get_current_pid().ok()?;
    let mut system = System::new();
    let nothing = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, nothing);
    Some(system.process(pid)?.session_id()?.as_u32())
}

/// Names of the ancestor processes, nearest first, up to six: `make`, `sudo` or Python may be
/// between the shell and this program.
pub(super) fn ancestors() -> Vec<String> {
    use sysinfo::{get_current_pid, ProcessRefreshKind, ProcessesToUpdate, System};
    const GENERATIONS: usize = 6;
    let mut names = Vec::new();
    let Ok(mut pid) = get_current_pid() else {
        return names;
    };
    let mut system = System::new();
    for generation in 0..=GENERATIONS {
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            false,
            ProcessRefreshKind::nothing(),
        );
        let Some(process) = system.process(pid) else {
            break;
        };
        if generation > 0 {
            names.push(process.name().to_string_lossy().into_owned());
        }
        match process.parent() {
            Some(parent) => pid = parent,
            None => break,
        }
    }
    names
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit, DumpableBehavior, Resource};

    #[test]
    fn rule_26_the_process_cannot_be_dumped() {
        let before = getrlimit(Resource::Core);
        let limit = without_core_dumps();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        limit.restore();
        assert_eq!(getrlimit(Resource::Core), before);
    }
}
