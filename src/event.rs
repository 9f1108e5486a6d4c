//! What the library reports while it works: decisions, notices, waits and HTTP calls. No event
//! carries a secret.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::PrintedSecret;
use crate::util::enum_with_words;

/// Receives events. Called on the thread that does the work, so it must not block.
///
/// ```
/// use age_oauth::{Context, Event, Notice, Observer};
///
/// let observer = Observer::new(|event| match event {
///     Event::Notice(Notice::ExpiresSoon { connection, expires_at }) => {
///         eprintln!("sign in to {connection} before {expires_at}");
///     }
///     Event::Decision { connection, decision } => {
///         eprintln!("{connection}: {}", decision.as_str());
///     }
///     _ => {}
/// });
/// let context = Context { observer, ..Context::process() };
/// # drop(context);
/// ```
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Observer {
    /// Ignores all events.
    #[must_use]
    pub fn silent() -> Self {
        Self(Arc::new(|_| ()))
    }

    /// Calls `notify` for each event.
    pub fn new(notify: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }

    /// Passes on an event.
    pub fn notify(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Something that happened on the way to a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// How a token or a sign-in came about. Follows all notices about it, so that an observer can
    /// report them together.
    Decision {
        /// The connection's label.
        connection: String,
        /// What was done.
        decision: Decision,
    },
    /// Something that a person should know although the work succeeded.
    Notice(Notice),
    /// A wait began that may take long.
    Waiting(Wait),
    /// The wait is over.
    WaitOver,
    /// One HTTP call to a portal is over.
    Http {
        /// `GET` or `POST`.
        method: &'static str,
        /// URL without its query.
        url: String,
        /// HTTP status. `None` where no response came.
        status: Option<u16>,
        /// How long it took.
        took: Duration,
    },
    /// A request will be repeated after a wait.
    Retrying {
        /// URL without its query.
        url: String,
        /// How long until the next attempt.
        after: Duration,
    },
}

enum_with_words! {
    /// How a token or a sign-in came about, or what became of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Decision {
        /// The cached access token lives long enough.
        Cached = "cached",
        /// This process got a new access token.
        Renewed = "renewed",
        /// Another process got a new access token while this one waited for the renewal lock.
        RenewedByAnother = "renewed_by_another",
        /// The sign-in was extended, which also got a new access token.
        Extended = "extended",
        /// The portal could not be reached, and the cached access token was returned.
        Fallback = "fallback",
        /// A user or an application signed in.
        SignedIn = "signed_in",
        /// The sign-in was revoked or forgotten.
        SignedOut = "signed_out",
    }
}

/// Something that a person should know although the work succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The portal could not be reached; the cached token was returned.
    Unreachable {
        /// The connection's label.
        connection: String,
        /// What went wrong, in one line.
        why: String,
        /// How many seconds the returned token still lives.
        seconds_left: i64,
    },
    /// The command for the client secret failed; the cached token was returned.
    SecretCommandFailed {
        /// The connection's label.
        connection: String,
        /// What went wrong, in one line.
        why: String,
        /// How many seconds the returned token still lives.
        seconds_left: i64,
    },
    /// The portal grants less life than was asked for.
    ShortLived {
        /// The connection's label.
        connection: String,
        /// How many seconds were asked for.
        seconds_wanted: i64,
        /// How many seconds the returned token still lives.
        seconds_left: i64,
    },
    /// The sign-in was extended although scripts may hold older access tokens, which ended with
    /// that.
    ExtendedAnyway {
        /// The connection's label.
        connection: String,
        /// Until when the last of those tokens would have been valid.
        until: Timestamp,
    },
    /// The sign-in expires soon, and the portal cannot or does not extend it.
    ExpiresSoon {
        /// The connection's label.
        connection: String,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// The portal's certificate is not checked: a setting of this connection.
    Unverified {
        /// The connection's label.
        connection: String,
    },
    /// The portal could not be asked to revoke a refresh token.
    NotRevoked {
        /// The connection's label.
        connection: String,
        /// What went wrong, in one line.
        why: String,
    },
    /// The answer to an extension was lost, and the portal had not carried it out: the old sign-in
    /// is still good.
    ExtensionNotApplied {
        /// The connection's label.
        connection: String,
        /// What came in place of the answer, with the portal's words. `None` where another process
        /// sent the extension, and only its mark is known.
        why: Option<String>,
    },
    /// A new key file for the vault was created.
    VaultKeyMade {
        /// Where it is.
        path: PathBuf,
    },
    /// A minor failure, such as writing the copy for `status` in `meta.json`.
    Other {
        /// What happened, in one line.
        message: String,
    },
}

/// What is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Another process, which holds the connection's renewal lock.
    OtherProcess {
        /// Its process ID, where known.
        pid: Option<u32>,
    },
    /// The portal.
    Portal {
        /// Its host name.
        host: String,
    },
    /// The keychain, which may show its own prompt.
    Keychain,
    /// A PKCS#11 token, whose reader may ask for the PIN.
    Token,
    /// A private key of the Windows certificate store, for which Windows may ask for a PIN or for
    /// consent.
    PrivateKey,
    /// The command that prints the client secret. Holds the file name of its program.
    SecretCommand(PrintedSecret, String),
    /// A person who signs in with a browser.
    Browser,
    /// A moment at which a sign-in can be extended and no script loses its token.
    Gap {
        /// The connection's label.
        connection: String,
        /// When that moment comes.
        until: Timestamp,
    },
}
