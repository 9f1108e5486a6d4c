//! What the library takes from outside: the time, the environment, a limit on how long a command
//! may take, an observer, the delay of interruptions, and whether a person is there.
//!
//! Every function that depends on one of these takes a [`Context`], so that a test can replace it.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::machine_policy::MachinePolicy;
use crate::secret::Secret;

/// Whether a person is there who can answer what the system or a card asks for: a PIN, consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attended {
    /// A person is there.
    Yes,
    /// No person is there: what would have to be asked is an error.
    No,
}

/// What one command, or one use of the library, takes from outside.
#[derive(Clone)]
pub struct Context {
    /// The present time.
    pub clock: Clock,
    /// The end of the whole command; no single wait goes beyond it.
    pub deadline: Deadline,
    /// Environment variables.
    pub environment: Environment,
    /// Receives events while the library works.
    pub observer: Observer,
    /// What happens if the process is interrupted while its work must not end.
    pub interruptions: Interruptions,
    /// Whether the system may ask a person, for example for the PIN of a smart card.
    pub attended: Attended,
    /// Whether that person sees a window that the system opens.
    pub desktop: Desktop,
    /// What an administrator decided for this machine.
    pub machine_policy: MachinePolicy,
}

impl Context {
    /// The system's clock, this process's environment, the policy of this machine, no deadline, no
    /// observer. Interruptions are not delayed, and no person is there.
    #[must_use]
    pub fn process() -> Self {
        Self {
            clock: Clock::system(),
            deadline: Deadline::never(),
            environment: Environment::process(),
            observer: Observer::silent(),
            interruptions: Interruptions::immediate(),
            attended: Attended::No,
            desktop: Desktop::new(|| true),
            machine_policy: MachinePolicy::of_this_machine(),
        }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a person is there who sees a window that the system opens, in which Windows asks for
    /// what a private key needs. Asking how this process was logged on starts a program, so that
    /// this is found out only where a private key is about to be used.
    #[must_use]
    pub fn attended_at_desktop(&self) -> Attended {
        match self.attended {
            Attended::Yes if self.desktop.is_seen() => Attended::Yes,
            Attended::Yes | Attended::No => Attended::No,
        }
    }

    /// Reports an event to the observer.
    pub fn emit(&self, event: &Event) {
        self.observer.notify(event);
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::process()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

/// Delays interruptions (Ctrl-C, signals) while something is under way whose result must be
/// stored. The library installs no handlers: a program that does supplies this.
#[derive(Clone)]
pub struct Interruptions(Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>);

impl fmt::Debug for Interruptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interruptions")
    }
}

impl Interruptions {
    /// Interruptions end the process at once.
    #[must_use]
    pub fn immediate() -> Self {
        Self::new(|| ())
    }

    /// An interruption is delayed while what `delay` returns exists.
    pub fn new<T: 'static>(delay: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::new(delay())))
    }

    /// Delays interruptions until the result is dropped.
    #[must_use]
    pub(crate) fn delay(&self) -> Box<dyn Any> {
        (self.0)()
    }
}

/// Whether windows of this process are on a desktop that a person sees. Found out once, when it is
/// asked for.
#[derive(Clone)]
pub struct Desktop(Arc<LazyLock<bool, Box<dyn FnOnce() -> bool + Send>>>);

impl fmt::Debug for Desktop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desktop")
    }
}

impl Desktop {
    /// As `find_out` says.
    pub fn new(find_out: impl FnOnce() -> bool + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(find_out))))
    }

    /// Whether a person sees them.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        **self.0
    }
}

/// The source of the present time. A closure, so that tests can set it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that calls `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present time by this clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// The end of a whole command. Each single wait also has its own limit; the nearer one counts.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No limit beyond those of the single waits.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// `limit` from now. Where that cannot be represented, as [`Deadline::never`].
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now().checked_add(limit))
    }

    /// `limit`, or what is left of the whole command's time if that is less.
    #[must_use]
    pub fn bound(&self, limit: Duration) -> Duration {
        match self.0 {
            Some(end) => limit.min(end.saturating_duration_since(Instant::now())),
            None => limit,
        }
    }

    /// The same end, but not earlier than `reserve` from now.
    #[must_use]
    pub fn at_least(&self, reserve: Duration) -> Self {
        Self(self.0.map(|end| end.max(Instant::now() + reserve)))
    }

    /// Whether the time is up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// Why the value of a variable is refused where text is needed.
pub(crate) const NOT_UTF_8: &str = "its value is not valid UTF-8";

/// Read access to environment variables.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Environment {
    /// This process's environment.
    #[must_use]
    pub fn process() -> Self {
        Self(Arc::new(|name| std::env::var_os(name)))
    }

    /// These variables and no others.
    pub fn of<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<OsString>,
    {
        let map: BTreeMap<String, OsString> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self(Arc::new(move |name| map.get(name).cloned()))
    }

    /// The same variables, except for those in `overrides`.
    #[must_use]
    pub fn with(&self, overrides: Vec<(String, OsString)>) -> Self {
        let (below, above) = (self.clone(), Self::of(overrides));
        Self(Arc::new(move |name| {
            (above.0)(name).or_else(|| (below.0)(name))
        }))
    }

    /// The value, where the variable is set and not empty.
    #[must_use]
    pub fn var_os(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Whether the variable is set and not empty, whatever its value.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.var_os(name).is_some()
    }

    /// The value as text, where the variable is set and not empty. A value that is not Unicode is
    /// an error, because to ignore it would mean to use something else than the person chose.
    pub fn text(&self, name: &'static str) -> Result<Option<String>> {
        let text = self.var_os(name).map(OsString::into_string).transpose();
        text.map_err(|_| Error::invalid(name, NOT_UTF_8))
    }

    /// The secret in this variable. A variable that is set but empty is an error: a CI job has that
    /// where its secret does not exist.
    pub fn secret(&self, name: &'static str) -> Result<Option<Secret>> {
        if (self.0)(name).is_some_and(|value| value.is_empty()) {
            let why = "it is set but empty; give it a value, or unset it";
            return Err(Error::invalid(name, why));
        }
        Ok(self.text(name)?.map(Secret::new))
    }

    /// The value as a path. One that begins with what only a shell expands is an error: it would
    /// lead to a folder of that name.
    pub fn absolute_path(&self, name: &'static str) -> Result<Option<PathBuf>> {
        let Some(path) = self.path(name) else {
            return Ok(None);
        };
        match unexpanded(&path.to_string_lossy()) {
            None => Ok(Some(path)),
            Some(start) => Err(Error::invalid(
                name,
                format!(
                    "it begins with `{start}`, which nothing expands in the value of a variable; write the whole path"
                ),
            )),
        }
    }

    /// The value as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var_os(name).map(PathBuf::from)
    }

    /// The user's home directory: `HOME`, else what the platform says.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.path(crate::env::HOME).or_else(dirs::home_dir)
    }

    /// A path as people type it: `~` is the home directory, the rest is relative to where the
    /// program runs.
    #[must_use]
    pub fn expand(&self, text: &str) -> PathBuf {
        let below = text.strip_prefix("~/").or_else(|| text.strip_prefix("~\\"));
        let path = below
            .and_then(|rest| Some(self.home()?.join(rest)))
            .unwrap_or_else(|| PathBuf::from(text));
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// What a shell would have replaced at the start of a path: `~`, `$HOME`, `${HOME}`, `%APPDATA%`.
fn unexpanded(path: &str) -> Option<&str> {
    let start = path.split(['/', '\\']).next()?;
    let is_variable = |text: &str| text.len() > 2 && text.starts_with('%') && text.ends_with('%');
    (start == "~" || start.starts_with('$') || is_variable(start)).then_some(start)
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}
