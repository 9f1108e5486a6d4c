//! One connection in use: gets access tokens, extends the sign-in, signs in and out, and calls the
//! portal.
//!
//! | module | does |
//! |---|---|
//! | `access_token` | decides: the cached token, a renewed one, or a fallback |
//! | `renew` | gets a new access token, under the renewal lock |
//! | `network` | gets one for the user whom the web server in front of the portal vouches for |
//! | `client_secret` | the client secret, from the keychain or from a command |
//! | `api_key` | the API key of a connection that has one; whose it is |
//! | `renewal_failure` | the failure of another process for which this one waited |
//! | `extend` | replaces the refresh token; resolves an exchange whose answer was lost |
//! | `limit` | how long the policy of this machine lets a sign-in last |
//! | `sign_in`, `sign_out` | store a new sign-in; revoke and forget one |
//! | `server_token`, `call`, `identity` | tokens for servers, calls, and whom a token is for |
//! | `snapshot` | one read of a connection, from which everything that is sent is made |
//! | `records`, `status` | read and write the keychain records; copy their dates to `meta.json` |
//!
//! Five rules hold in all of them:
//! - Whatever renews, extends, signs in or signs out holds the connection's
//!   [`RenewalLock`](crate::store::RenewalLock), and works with what it reads *after* it got the
//!   lock.
//! - Whatever sends a secret takes address, certificates, proxy and client ID from the [`Snapshot`]
//!   whose binding the secret was checked against.
//! - A new refresh token is stored before anything else is done with it. The exchange mark is
//!   stored before the exchange is sent, because the old refresh token ends the moment the portal
//!   answers. While the mark stands, one plain renewal with the old refresh token finds out whether
//!   the portal carried out the exchange.
//! - Only code 498 from the portal's token endpoint means that a person must sign in. No other
//!   failure deletes anything.
//! - The lock is never held while a person is asked something.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::connection::Connection;
#[cfg(feature = "cli")]
use crate::connection::Proxy;
use crate::context::Context;
use crate::error::{Error, Result, SignInNeeded};
use crate::event::{Decision, Event, Notice};
use crate::http::KeptTokenMaker;
use crate::keychain::SecretStore;
use crate::policy::{ExtendRule, MinTtl, DEFAULT_MIN_TTL};
use crate::secret::Secret;
use crate::store::ConnectionStore;
use crate::token::{AccessToken, Tokens};

mod access_token;
mod api_key;
#[cfg(feature = "cli")]
mod call;
mod client_certificate;
mod client_secret;
mod extend;
mod identity;
mod limit;
mod network;
mod records;
mod renew;
mod renewal_failure;
mod server_token;
mod sign_in;
mod sign_out;
mod snapshot;
mod status;
mod windows_sign_in;

pub use api_key::{check_api_key_user, verify_api_key, ApiKeySource, VerifiedApiKey};
pub(crate) use records::{binding_in, rebind};
pub use sign_in::PendingSignIn;
pub use sign_out::SignedOut;
pub(crate) use snapshot::{Locked, Snapshot};
pub(crate) use status::other_machine;
#[cfg(feature = "migrate")]
pub(crate) use status::this_machine;

/// What kind of access token is wanted.
#[derive(Debug)]
pub struct TokenRequest {
    /// How long it must still live.
    pub min_ttl: MinTtl,
    /// Whether the caller chose `min_ttl`. Then a token that lives less long is not returned as a
    /// fallback while the portal cannot be reached.
    pub explicit: bool,
    /// Renew even if the cached token lives long enough.
    pub force: bool,
    /// When the renewal extends the sign-in, too.
    pub extend: ExtendRule,
}

impl TokenRequest {
    /// A token with at least this life.
    #[must_use]
    pub fn lasting(min_ttl: MinTtl) -> Self {
        Self {
            min_ttl,
            explicit: false,
            force: false,
            extend: ExtendRule::PastHalf,
        }
    }
}

impl Default for TokenRequest {
    /// A token that lives at least [`DEFAULT_MIN_TTL`].
    fn default() -> Self {
        Self::lasting(MinTtl::at_least(DEFAULT_MIN_TTL))
    }
}

/// An access token, with what a script needs to know about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct UsableToken {
    /// The access token and its dates.
    pub access: AccessToken,
    /// The user whom it is for, or whose API key it is. `None` for applications.
    pub username: Option<String>,
    /// When the sign-in behind it expires, as the portal said or as assumed. `None` for
    /// applications, network connections and API keys.
    pub sign_in_expires_at: Option<Timestamp>,
    /// How it came about.
    pub decision: Decision,
}

impl UsableToken {
    /// The cached access token. `None` where there is none.
    fn from_tokens(mut tokens: Tokens, decision: Decision) -> Option<Self> {
        let access = tokens.access.take()?;
        Some(Self::new(access, Some(&tokens), decision))
    }

    /// The same as a copy.
    fn copy_of(tokens: &Tokens, decision: Decision) -> Option<Self> {
        let access = tokens.access.as_ref()?.duplicate();
        Some(Self::new(access, Some(tokens), decision))
    }

    /// `access`, with what `tokens` says about the sign-in behind it.
    fn new(access: AccessToken, tokens: Option<&Tokens>, decision: Decision) -> Self {
        Self {
            access,
            username: tokens.and_then(|tokens| tokens.username.clone()),
            sign_in_expires_at: tokens.and_then(Tokens::sign_in_expires_at),
            decision,
        }
    }
}

/// What [`Session::refresh`] did.
#[derive(Debug)]
#[non_exhaustive]
pub struct RefreshOutcome {
    /// The access token that is cached now.
    pub token: UsableToken,
    /// The sign-in is due to be extended, but a script may hold an access token that would end. It
    /// can be extended from this moment on. `None` where nothing waits.
    pub extension_waits_until: Option<Timestamp>,
}

/// One connection in use: gets access tokens, extends the sign-in, signs in and out.
///
/// All calls block; several threads can share it. Each call reads the secrets again. The settings
/// are those that the connection had when the session began: where they have changed, a call is an
/// error ([`KeychainReason::Changed`](crate::KeychainReason::Changed)), and a new session is
/// needed.
pub struct Session {
    store: ConnectionStore,
    /// The connection as it was when the session began.
    opened: Snapshot,
    keychain: Arc<dyn SecretStore>,
    context: Context,
    /// What the command for the API key has printed, once the portal said whose it is.
    printed_api_key: Mutex<Option<Secret>>,
    /// Whether it was recorded that the portal accepts the API key.
    accepted_api_key_noted: AtomicBool,
    /// For the clients of all snapshots, where the connection answers Windows sign-in.
    _token_maker: Option<KeptTokenMaker>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.opened.id)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session for one connection and the keychain that holds its secrets. Reads nothing yet.
    #[must_use]
    pub fn new(
        store: ConnectionStore,
        connection: Connection,
        keychain: Arc<dyn SecretStore>,
        context: Context,
    ) -> Self {
        let answers = connection.web_tier.principal().is_some();
        Self {
            _token_maker: answers.then(KeptTokenMaker::of_process),
            store,
            opened: Snapshot::new(connection, Arc::clone(&keychain)),
            keychain,
            context,
            printed_api_key: Mutex::new(None),
            accepted_api_key_noted: AtomicBool::new(false),
        }
    }

    /// The connection as it was when the session began.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.opened
    }

    /// The same, with the certificates that it was read with.
    pub(crate) fn opened(&self) -> &Snapshot {
        &self.opened
    }

    /// The platform's own name of the keychain.
    #[cfg(feature = "cli")]
    pub(crate) fn keychain_name(&self) -> &'static str {
        self.keychain.name()
    }

    pub(crate) fn parts(&self) -> (&ConnectionStore, &Arc<dyn SecretStore>, &Context) {
        (&self.store, &self.keychain, &self.context)
    }

    /// The proxy on the way to the portal: the policy's of this machine, else the connection's.
    #[cfg(feature = "cli")]
    pub(crate) fn proxy(&self) -> &Proxy {
        let set = self.context.machine_policy.proxy().ok().flatten();
        set.unwrap_or(&self.opened.proxy)
    }

    /// Refuses to use a connection that the policy of this machine does not allow.
    pub(crate) fn check_machine_policy(&self) -> Result<()> {
        self.context.machine_policy.check_connection(&self.opened)
    }

    fn emit_decision(&self, decision: Decision) {
        self.context.emit(&Event::Decision {
            connection: self.label(),
            decision,
        });
    }

    fn emit_notice(&self, notice: Notice) {
        self.context.emit(&Event::Notice(notice));
    }

    fn label(&self) -> String {
        self.opened.label.to_string()
    }

    /// The error where no sign-in is stored. Where another machine signed in, its keychain has the
    /// secrets.
    fn never_signed_in(&self, connection: &Connection) -> Error {
        self.sign_in_needed(match other_machine(connection) {
            Some(machine) => SignInNeeded::OtherMachine(machine),
            None => SignInNeeded::Never,
        })
    }

    fn sign_in_needed(&self, why: SignInNeeded) -> Error {
        Error::SignInNeeded {
            connection: self.label(),
            why,
        }
    }
}
