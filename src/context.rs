//! What the library takes from outside: the time, the environment, a bound on the whole command, and someone to tell.
//!
//! Every function that depends on one of these takes a [`Context`], so that a test can stand in any of these places.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The surroundings of one command or of one use of the library.
#[derive(Clone)]
pub struct Context {
    /// What time it is.
    pub clock: Clock,
    /// When everything must be over.
    pub deadline: Deadline,
    /// Environment variables.
    pub environment: Environment,
    /// Who is told what happens meanwhile.
    pub observer: Observer,
}

impl Context {
    /// The real clock, this process's environment, no deadline, nobody to tell.
    #[must_use]
    pub fn process() -> Self {
        Self {
            clock: Clock::system(),
            deadline: Deadline::never(),
            environment: Environment::process(),
            observer: Observer::silent(),
        }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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

/// A clock is a closure.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock of your own.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What this clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// The bound on a whole command. Each single wait has a bound of its own; the nearer one counts.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No bound beyond those of the single waits.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// `limit` from now. A limit too large to represent is no limit.
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

    /// Whether the time is up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// Read access to environment variables.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Variables that hold a secret. The command line takes them out of its own environment, so that no child inherits them.
pub const SECRET_VARIABLES: [&str; 3] = [
    "AGE_OAUTH_CLIENT_SECRET",
    "AGE_OAUTH_VAULT_KEY",
    "AGE_OAUTH_VAULT_PASSPHRASE",
];

impl Environment {
    /// This process's environment.
    #[must_use]
    pub fn process() -> Self {
        Self(Arc::new(|name| std::env::var_os(name)))
    }

    /// Exactly these variables.
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

    /// The same, with `overrides` in front.
    #[must_use]
    pub fn with(&self, overrides: Vec<(String, OsString)>) -> Self {
        let (below, above) = (self.clone(), Self::of(overrides));
        Self(Arc::new(move |name| {
            above.var_os(name).or_else(|| below.var_os(name))
        }))
    }

    /// The value, where the variable is set and not empty.
    #[must_use]
    pub fn var_os(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The value as text, where the variable is set, not empty, and Unicode.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<String> {
        self.var_os(name).and_then(|value| value.into_string().ok())
    }

    /// The value as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var_os(name).map(PathBuf::from)
    }

    /// The user's home directory: `HOME`, else what the platform says.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME").or_else(dirs::home_dir)
    }

    /// A path as people type it: `~` is the home directory, the rest is relative to where the program runs.
    #[must_use]
    pub fn expand(&self, text: &str) -> PathBuf {
        let below = text.strip_prefix("~/").or_else(|| text.strip_prefix("~\\"));
        let path = below
            .and_then(|rest| Some(self.home()?.join(rest)))
            .unwrap_or_else(|| PathBuf::from(text));
        std::path::absolute(&path).unwrap_or(path)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

/// Someone who is told what happens. Must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// Nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self(Arc::new(|_| ()))
    }

    /// Calls `tell` for each event.
    pub fn new(tell: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells of an event.
    pub fn notify(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Something that happened on the way to an answer. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A token or a sign-in, and how it came about. Comes after all notices about it.
    Decision {
        /// The connection's label.
        connection: String,
        /// What was done.
        decision: Decision,
    },
    /// Something a person should know although the answer was given.
    Notice(Notice),
    /// A wait began that may take long.
    Waiting(Wait),
    /// The wait is over.
    WaitOver,
    /// One HTTP exchange with a portal is over.
    Http {
        /// `GET` or `POST`.
        method: &'static str,
        /// URL without its query.
        url: String,
        /// HTTP status, or nothing where no answer came.
        status: Option<u16>,
        /// How long it took.
        took: Duration,
    },
    /// A request is repeated after a wait.
    Retrying {
        /// URL without its query.
        url: String,
        /// How long it waits before the next attempt.
        after: Duration,
    },
}

/// How a token or a sign-in came about, or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The stored access token was good enough.
    Cached,
    /// A new access token was minted.
    Renewed,
    /// Another process minted one while this one waited.
    RenewedByAnother,
    /// The refresh token was exchanged; the sign-in lives longer now.
    Extended,
    /// The portal could not be reached; a stored token that still lives was returned.
    Fallback,
    /// Somebody signed in.
    SignedIn,
    /// The sign-in was given up.
    SignedOut,
}

impl Decision {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Renewed => "renewed",
            Self::RenewedByAnother => "renewed_by_another",
            Self::Extended => "extended",
            Self::Fallback => "fallback",
            Self::SignedIn => "signed_in",
            Self::SignedOut => "signed_out",
        }
    }
}

/// Something a person should know although the answer was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The portal could not be reached; the stored token was returned.
    Unreachable {
        /// The connection's label.
        connection: String,
        /// What went wrong, in one line.
        why: String,
        /// Seconds that the returned token still lives.
        lives: i64,
    },
    /// The portal grants less life than was asked for.
    ShortLived {
        /// The connection's label.
        connection: String,
        /// Seconds asked for.
        wanted: i64,
        /// Seconds that the token lives.
        lives: i64,
    },
    /// The sign-in was extended although scripts may hold older tokens, which are now invalid.
    ExtendedAnyway {
        /// The connection's label.
        connection: String,
        /// Until when the last of them would have lived.
        until: Timestamp,
    },
    /// The sign-in ends soon, and the portal cannot or does not extend it.
    EndsSoon {
        /// The connection's label.
        connection: String,
        /// When it ends.
        at: Timestamp,
    },
    /// The portal's certificate is not checked, by this connection's own setting.
    Unverified {
        /// The connection's label.
        connection: String,
    },
    /// A token could not be revoked at the portal.
    NotRevoked {
        /// The connection's label.
        connection: String,
        /// Why, in one line.
        why: String,
    },
    /// The answer of an extension was lost; the old sign-in was found to be still good.
    ExtensionLost {
        /// The connection's label.
        connection: String,
    },
    /// A new key file for the vault was made.
    VaultKeyMade {
        /// Where it is.
        path: PathBuf,
    },
    /// Something of lesser weight went wrong, such as a copy for `status` that could not be written.
    Minor {
        /// What, in one line.
        what: String,
    },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Another process holds the connection's lock.
    OtherProcess {
        /// Its process id, where known.
        pid: Option<u32>,
    },
    /// The portal.
    Portal {
        /// Its host.
        host: String,
    },
    /// The keychain, perhaps behind a prompt of its own.
    Keychain,
    /// A person at a browser.
    Browser,
    /// A moment at which a sign-in can be extended without ending a script's token.
    Gap {
        /// The connection's label.
        connection: String,
        /// From when on.
        until: Timestamp,
    },
}
