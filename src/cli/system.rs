//! Everything that a command may touch, in one value: streams, terminal, browser, keychain, clock, environment. A test
//! runs [`super::run`] with buffers and answers of its own.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::ops::Deref;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;

use super::launch::{launch, Launch};
use super::prompt::Dialog;
use crate::context::{Clock, Environment};
use crate::env;
use crate::keychain::SecretStore;
use crate::secret::Secret;

/// More on standard input than this is no secret and no code.
const MAX_INPUT: u64 = 64 * 1024;

/// Everything outside that a command may touch.
pub struct System {
    /// Where answers go.
    pub out: Box<dyn Write>,
    /// Where the conversation goes.
    pub err: Box<dyn Write + Send>,
    /// Who answers questions.
    pub ask: Box<dyn Ask>,
    /// Opens a page in a browser; whether that seems to have worked.
    pub browse: Box<dyn FnMut(&str) -> bool>,
    /// Reads standard input to its end.
    pub read_input: Box<dyn FnMut() -> io::Result<Secret>>,
    /// Reads one line of standard input beside other waits; `None` at the end of input.
    pub read_line: Box<dyn FnMut() -> Receiver<Option<String>>>,
    /// What is a terminal.
    pub terminal: Terminals,
    /// Environment variables.
    pub environment: Environment,
    /// The time.
    pub clock: Clock,
    /// The zone that times are shown in.
    pub zone: Zone,
    /// A keychain in place of the platform's and the vault.
    pub keychain: Option<Arc<dyn SecretStore>>,
    /// Starts a program in this one's place; returns only where it could not start.
    pub launch: Box<dyn FnMut(Launch) -> io::Error>,
    /// What Windows says of the groups that this process was logged on with; nothing elsewhere.
    pub logon_groups: Box<dyn Fn() -> String>,
    /// The programs that this process descends from, nearest first.
    pub ancestors: Box<dyn Fn() -> Vec<String>>,
}

/// Which streams are a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Standard error shows colours (a Windows console of old does not).
    pub colors: bool,
}

/// A time zone. The system's is looked up when the first time is shown, because that reads every folder of the zone
/// database.
#[derive(Clone, Debug)]
pub struct Zone(Arc<OnceLock<TimeZone>>);

impl Zone {
    /// The system's, or UTC where that cannot be told.
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
}

/// Whether an answer is good; else the reason why it is asked for again.
pub type Check<'a> = &'a mut dyn FnMut(&str) -> Result<(), String>;

/// Asks a person. Only called where one is there.
pub trait Ask {
    /// A wait begins that a person may want to end by Ctrl-C.
    fn expect_interruption(&mut self) {}
    /// A line of text. Asks again, with the reason, until `check` is content.
    fn text(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: Check<'_>,
    ) -> Result<String, AskError>;
    /// A line that is not shown, nor its length. Asks again, with the reason, until `check` is content.
    fn secret(&mut self, question: &str, check: Check<'_>) -> Result<Secret, AskError>;
    /// One of several; its index.
    fn choose(
        &mut self,
        question: &str,
        choices: &[String],
        default: usize,
    ) -> Result<usize, AskError>;
    /// Yes or no.
    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, AskError>;
}

impl System {
    /// The real one. From here on the process leaves no core dump. Takes the variables that hold secrets out of this process's environment, so that no child inherits
    /// them; so it must be called before any thread is started.
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
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            ask: Box::new(Dialog::new()),
            browse: Box::new(browse),
            read_input: Box::new(read_input),
            read_line: Box::new(read_line),
            terminal: Terminals {
                stdin: io::stdin().is_terminal(),
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
                // Also switches colours on where the console must be asked to.
                colors: console::Term::stderr().features().colors_supported(),
            },
            environment: Environment::process().with(taken),
            clock: Clock::system(),
            zone: Zone::system(),
            keychain: None,
            launch: Box::new(move |wanted| {
                core_limit.put_back();
                launch(&wanted)
            }),
            logon_groups: Box::new(logon_groups),
            ancestors: Box::new(ancestors),
        }
    }
}

/// How large a core dump might have been, for the program that takes this one's place.
#[cfg(unix)]
struct CoreLimit(rustix::process::Rlimit);

/// A core dump would show every secret that the process holds. Neither the system nor, on Linux, another process of the same
/// user may read its memory now; starting another program ends that.
#[cfg(unix)]
fn without_core_dumps() -> CoreLimit {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let before = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    // Where it is not allowed, nothing more can be done.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    CoreLimit(before)
}

#[cfg(unix)]
impl CoreLimit {
    fn put_back(&self) {
        let before = rustix::process::Rlimit {
            current: self.0.current,
            maximum: self.0.maximum,
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, before);
    }
}

/// Windows writes dumps only where its administrator switched them on.
#[cfg(not(unix))]
struct CoreLimit;

#[cfg(not(unix))]
fn without_core_dumps() -> CoreLimit {
    CoreLimit
}

#[cfg(not(unix))]
impl CoreLimit {
    #[allow(clippy::unused_self)] // As on Unix.
    fn put_back(&self) {}
}

/// Without a desktop there is no browser to open; what would come instead is a text browser in this very terminal.
fn browse(url: &str) -> bool {
    let desktop = cfg!(any(windows, target_os = "macos"))
        || [
            env::DISPLAY,
            env::WAYLAND_DISPLAY,
            env::WSL_DISTRO_NAME,
            env::BROWSER,
        ]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    desktop && webbrowser::open(url).is_ok()
}

fn read_input() -> io::Result<Secret> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes)?;
    Secret::from_file(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The thread ends with the line, with the input, or with the program.
fn read_line() -> Receiver<Option<String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().take(MAX_INPUT).read_line(&mut line);
        // Windows PowerShell may begin what it pipes with a byte order mark.
        let text = line.trim_start_matches('\u{feff}').to_owned();
        let line = matches!(read, Ok(count) if count > 0).then_some(text);
        // Nobody may be waiting any more.
        let _ = sender.send(line);
    });
    receiver
}

#[cfg(windows)]
fn logon_groups() -> String {
    crate::files::access_list::groups().unwrap_or_default()
}

#[cfg(not(windows))]
fn logon_groups() -> String {
    String::new()
}

/// Names of parent processes, nearest first, a few generations up: a shell may have been reached through `make`, `sudo`
/// or Python.
fn ancestors() -> Vec<String> {
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
        limit.put_back();
        assert_eq!(getrlimit(Resource::Core), before);
    }
}
