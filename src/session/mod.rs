//! The one decision: which token, when, from where. Cached, renewed under the lock by exactly one process, or a person
//! must sign in.
//!
//! What holds everywhere in here:
//! - Whoever renews or signs in holds the connection's [`RenewalLock`] and uses what it reads *after* it got the lock.
//! - A new refresh token is stored before anything is done with it. The record is marked before an exchange, because
//!   the old token dies the moment the portal answers; while the mark stands, exactly one plain refresh with the old
//!   token decides what became of it.
//! - Only the portal's own 498 at the token endpoint means that a person must sign in. Nothing is deleted on any other
//!   failure.
//! - The lock is never held while a person is asked something.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::connection::{Connection, Grant, Status};
use crate::context::{Context, Decision, Event, Notice, Observer};
use crate::error::{Error, KeychainError, KeychainReason, Refusal, Result, SignInNeeded};
use crate::federation::Target;
use crate::http::{CallError, Http};
use crate::keychain::{Item, ItemKind, SecretStore};
use crate::oauth::{
    self, AuthorizationCode, SignInAttempt, SignInOptions, TokenError, TokenResponse,
};
use crate::policy::ENDS_SOON;
use crate::portal::{self, AppInfo, Identity, IdentityError};
use crate::secret::Secret;
use crate::store::{ConnectionStore, RenewalLock};
use crate::token::{
    AccessToken, Binding, ClientSecret, ExtendRule, Extension, MinTtl, RefreshToken, Tokens,
};

/// How long another process may take for its renewal before this one gives up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A stored token that lives at least so many seconds may stand in while the portal is away.
const MIN_FALLBACK_TTL: i64 = 15;

/// A token this young is not minted again only because the portal grants less life than was asked for.
const RECENTLY_RENEWED: i64 = 60;

/// How long a failure that came before the lock may wait for it, only to be noted.
const NOTE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Applications may ask for at most so many minutes.
const LONGEST_APP_MINUTES: i64 = 20_160;

/// What kind of token is wanted.
#[derive(Debug)]
pub struct TokenRequest {
    /// How long it must still live.
    pub min_ttl: MinTtl,
    /// Whether that was asked for by name; then no shorter-lived token stands in while the portal is away.
    pub explicit: bool,
    /// Mint a new one even if the stored one is good.
    pub force: bool,
    /// When the sign-in is extended along with it.
    pub extend: ExtendRule,
}

impl TokenRequest {
    /// A token that lives so much longer.
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
    /// A token that lives at least a minute.
    fn default() -> Self {
        Self::lasting(MinTtl::Seconds(60))
    }
}

/// A token, with what a script needs to know about it.
#[derive(Debug)]
pub struct UsableToken {
    /// The access token and its dates.
    pub access: AccessToken,
    /// Who it speaks for; nobody for applications.
    pub username: Option<String>,
    /// When the sign-in behind it ends, where there is one: by the portal's word or by assumption.
    pub sign_in_ends: Option<jiff::Timestamp>,
    /// How it came about.
    pub decision: Decision,
}

/// What [`Session::refresh`] did.
#[derive(Debug)]
pub struct Refreshed {
    /// The token that is stored now.
    pub issued: UsableToken,
    /// The sign-in should be extended, but a script may hold a token that lives until then.
    pub extension_waits_until: Option<jiff::Timestamp>,
}

/// Somebody signed in at the portal; nothing is stored yet.
#[derive(Debug)]
pub struct PendingSignIn {
    tokens: Tokens,
    username: String,
}

impl PendingSignIn {
    /// Who signed in.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }
}

/// What [`Session::sign_out`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// Revoked at the portal, then forgotten here.
    Revoked,
    /// Forgotten here; the portal was not asked.
    Forgotten,
    /// Forgotten here although revoking failed; the observer was told why.
    NotRevoked,
    /// There was nothing.
    Nothing,
}

/// One connection in use.
pub struct Session {
    connections: ConnectionStore,
    connection: Connection,
    keychain: Arc<dyn SecretStore>,
    context: Context,
    http: OnceLock<Http>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection.id)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session over one connection and the keychain that holds its secrets. Touches neither yet.
    #[must_use]
    pub fn new(
        connections: ConnectionStore,
        connection: Connection,
        keychain: Arc<dyn SecretStore>,
        context: Context,
    ) -> Self {
        Self {
            connections,
            connection,
            keychain,
            context,
            http: OnceLock::new(),
        }
    }

    /// The connection as it was when the session began.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn parts(&self) -> (&ConnectionStore, &Arc<dyn SecretStore>, &Context) {
        (&self.connections, &self.keychain, &self.context)
    }

    /// The client for this connection's portal.
    pub fn http(&self) -> Result<&Http> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let connection = &self.connection;
        let http = Http::new(
            &connection.portal,
            &connection.tls,
            &connection.proxy,
            connection.referer.as_deref(),
            &self.context,
        )
        .map_err(|error| error.about(connection.label.as_str()))?;
        Ok(self.http.get_or_init(|| http))
    }

    /// An access token: the stored one, or a new one minted by exactly one of all processes that want one.
    ///
    /// Errors: [`Error::SignInNeeded`], [`Error::Keychain`], [`Error::Unreachable`], [`Error::Refused`],
    /// [`Error::Busy`].
    pub fn access_token(&self, want: &TokenRequest) -> Result<UsableToken> {
        let tokens = match self.read_tokens(&self.connection) {
            // Another process may be signing out: whoever gets the lock sees what came of it.
            Err(error) if is_lost(&error) => None,
            Err(error) => {
                self.note_failure_unlocked(&error);
                return Err(error);
            }
            Ok(tokens) => tokens,
        };
        if !want.force {
            if let Some(issued) = self.stored_if_fresh(tokens.as_ref(), want, Decision::Cached) {
                return Ok(issued);
            }
        }
        let seen = tokens
            .and_then(|tokens| tokens.access)
            .map(|access| access.secret);
        let (lock, connection) = self.lock()?;
        self.under_lock(&lock, &connection, want, seen.as_ref())
    }

    /// A token other than `rejected`, which the portal turned down: minted now, or by another process meanwhile.
    fn access_token_instead_of(&self, rejected: &Secret) -> Result<UsableToken> {
        let want = TokenRequest {
            force: true,
            ..TokenRequest::default()
        };
        let (lock, connection) = self.lock()?;
        self.under_lock(&lock, &connection, &want, Some(rejected))
    }

    /// A token for a server: the kept one, or one that the portal grants now.
    ///
    /// A server that the portal does not vouch for is [`Error::Refused`], and nothing is sent to it. What a server says of
    /// itself is no evidence.
    pub fn server_token(&self, root: &str, want: &TokenRequest) -> Result<UsableToken> {
        let tokens = self.read_tokens(&self.connection)?;
        let kept = tokens
            .as_ref()
            .and_then(|tokens| tokens.server_token(root, want.min_ttl, self.context.now()))
            .map(AccessToken::duplicate);
        if let (Some(access), false) = (kept, want.force) {
            self.decided(Decision::Cached);
            return Ok(for_server(access, tokens.as_ref(), Decision::Cached));
        }
        let portals = self.access_token(&TokenRequest::default())?;
        let granted = match self.ask_for_server_token(root, &portals.access.secret) {
            Err(CallError::Portal(error)) if matches!(error.code, Some(498 | 499)) => {
                let fresh = self.access_token_instead_of(&portals.access.secret)?;
                self.ask_for_server_token(root, &fresh.access.secret)
            }
            other => other,
        };
        let access = granted.map_err(|error| self.server_token_error(root, error))?;
        let (lock, connection) = self.lock()?;
        let mut tokens = self.read_tokens(&connection)?;
        if let Some(tokens) = &mut tokens {
            tokens.keep_server_token(root, access.duplicate(), self.context.now());
            self.store_best_effort(&connection, tokens);
        }
        drop(lock);
        self.decided(Decision::Renewed);
        Ok(for_server(access, tokens.as_ref(), Decision::Renewed))
    }

    fn ask_for_server_token(
        &self,
        root: &str,
        token: &Secret,
    ) -> std::result::Result<AccessToken, CallError> {
        let http = self
            .http()
            .map_err(|error| CallError::Failed { error, sent: false })?;
        portal::server_token(http, root, token, self.context.now())
    }

    fn server_token_error(&self, root: &str, error: CallError) -> Error {
        match error {
            CallError::Failed { error, .. } => error.about(self.connection.label.as_str()),
            CallError::Portal(error) => Error::Refused {
                connection: Some(self.connection.label.to_string()),
                url: root.to_owned(),
                why: Refusal::Server(error.text),
            },
        }
    }

    /// Calls the portal or a server that it vouches for, with the token that belongs there. A rejected token is renewed
    /// once and the call repeated; a refused right (403) never.
    pub fn call<T>(
        &self,
        target: &Target,
        mut call: impl FnMut(&Http, &Secret) -> std::result::Result<T, CallError>,
    ) -> Result<T> {
        let token = self.token_for(target, false)?;
        let http = self.http()?;
        let answer = match call(http, &token) {
            Err(CallError::Portal(error)) if matches!(error.code, Some(498 | 499)) => {
                let fresh = match target.server() {
                    Some(_) => self.token_for(target, true)?,
                    None => self.access_token_instead_of(&token)?.access.secret,
                };
                call(http, &fresh).map_err(|error| match error {
                    CallError::Portal(error) if matches!(error.code, Some(498 | 499)) => {
                        Error::Refused {
                            connection: None,
                            url: error.url.clone(),
                            why: Refusal::FreshToken,
                        }
                    }
                    error => portal::plain(error, http),
                })
            }
            other => other.map_err(|error| portal::plain(error, http)),
        };
        answer.map_err(|error| error.about(self.connection.label.as_str()))
    }

    fn token_for(&self, target: &Target, force: bool) -> Result<Secret> {
        let want = TokenRequest {
            force,
            ..TokenRequest::default()
        };
        let issued = match target.server() {
            Some(root) => self.server_token(root, &want)?,
            None => self.access_token(&want)?,
        };
        Ok(issued.access.secret)
    }

    pub(crate) fn lock(&self) -> Result<(RenewalLock, Connection)> {
        let bound = self.context.deadline.bound(LOCK_TIMEOUT);
        self.connections
            .lock(&self.connection, bound, &self.context)
    }

    fn under_lock(
        &self,
        lock: &RenewalLock,
        connection: &Connection,
        want: &TokenRequest,
        seen: Option<&Secret>,
    ) -> Result<UsableToken> {
        let stored = self.read_tokens(connection).inspect_err(|error| {
            self.note_failure(lock, error);
        })?;
        let is_new =
            |access: &AccessToken| seen.is_none_or(|seen| !seen.matches(access.secret.expose()));
        let replaced = stored
            .as_ref()
            .and_then(|tokens| tokens.access.as_ref())
            .is_some_and(is_new);
        if !want.force || replaced {
            if let Some(issued) =
                self.stored_if_fresh(stored.as_ref(), want, Decision::RenewedByAnother)
            {
                return Ok(issued);
            }
        }
        if !want.force && self.is_best_possible(stored.as_ref(), want) {
            if let Some(issued) = stored.and_then(|tokens| issued(tokens, Decision::Cached)) {
                return Ok(self.announce(issued, want));
            }
            return Err(self.never_signed_in(connection));
        }
        let stand_in = stored
            .as_ref()
            .and_then(|tokens| copy_of(tokens, Decision::Fallback))
            .filter(|_| !want.explicit && !want.force);
        let renewed = self.renew(lock, connection, stored, want);
        match renewed {
            Ok(issued) => Ok(self.announce(issued, want)),
            Err(error) => {
                self.note_failure(lock, &error);
                self.fall_back_to_cached(error, stand_in)
            }
        }
    }

    fn stored_if_fresh(
        &self,
        tokens: Option<&Tokens>,
        want: &TokenRequest,
        decision: Decision,
    ) -> Option<UsableToken> {
        let tokens = tokens?;
        let access = tokens.access.as_ref()?;
        if !access.is_fresh(want.min_ttl, self.context.now()) {
            return None;
        }
        self.decided(decision);
        copy_of(tokens, decision)
    }

    /// Whether the stored token is as good as a new one would be: just minted, and the portal grants no more.
    fn is_best_possible(&self, tokens: Option<&Tokens>, want: &TokenRequest) -> bool {
        let Some((tokens, access)) = tokens.and_then(|t| Some((t, t.access.as_ref()?))) else {
            return false;
        };
        let now = self.context.now();
        let age = now.duration_since(access.issued_at).as_secs();
        (0..RECENTLY_RENEWED).contains(&age)
            && access.seconds_left(now) > 0
            && tokens.asked_minutes >= self.minutes_to_ask(want)
            && want.min_ttl.seconds(access.seconds_granted()) > access.seconds_granted()
    }

    /// Tells that the token lives less long than wanted where it does, and what was decided: an observer that hears a
    /// decision has heard everything about it.
    fn announce(&self, issued: UsableToken, want: &TokenRequest) -> UsableToken {
        let lives = issued.access.seconds_left(self.context.now());
        let wanted = want.min_ttl.seconds(issued.access.seconds_granted());
        if lives + 1 < wanted {
            self.context.emit(&Event::Notice(Notice::ShortLived {
                connection: self.connection.label.to_string(),
                wanted,
                lives,
            }));
        }
        self.decided(issued.decision);
        issued
    }

    fn decided(&self, decision: Decision) {
        self.context.emit(&Event::Decision {
            connection: self.connection.label.to_string(),
            decision,
        });
    }

    fn fall_back_to_cached(
        &self,
        error: Error,
        stand_in: Option<UsableToken>,
    ) -> Result<UsableToken> {
        let now = self.context.now();
        match stand_in {
            Some(issued)
                if matches!(error, Error::Unreachable { .. })
                    && issued.access.seconds_left(now) >= MIN_FALLBACK_TTL =>
            {
                self.context.emit(&Event::Notice(Notice::Unreachable {
                    connection: self.connection.label.to_string(),
                    why: error.to_string(),
                    lives: issued.access.seconds_left(now),
                }));
                self.decided(Decision::Fallback);
                Ok(issued)
            }
            _ => Err(error),
        }
    }

    fn renew(
        &self,
        lock: &RenewalLock,
        connection: &Connection,
        stored: Option<Tokens>,
        want: &TokenRequest,
    ) -> Result<UsableToken> {
        let due = stored.as_ref().is_some_and(|tokens| {
            matches!(
                tokens.extension(want.extend, self.context.now()),
                Extension::Due | Extension::Anyway
            )
        });
        let renewed = match (&connection.grant, stored) {
            (Grant::Application, _) => self.renew_application(connection, want),
            (Grant::User { .. }, Some(tokens)) if tokens.refresh.is_some() => {
                self.renew_user(connection, tokens, want.extend)
            }
            (Grant::User { .. }, Some(tokens)) if tokens.exchange_started => {
                Err(self.sign_in_needed(SignInNeeded::ExtensionLost))
            }
            (Grant::User { .. }, _) => Err(self.never_signed_in(connection)),
        };
        let (tokens, decision) = renewed?;
        self.copy_status(lock, &tokens);
        let in_vain = due && decision != Decision::Extended;
        if tokens.exchange_unsupported || in_vain {
            self.warn_of_the_end(&tokens);
        }
        issued(tokens, decision).ok_or_else(|| self.never_signed_in(connection))
    }

    fn never_signed_in(&self, connection: &Connection) -> Error {
        let why = match other_machine(connection) {
            Some(machine) => SignInNeeded::OtherMachine(machine),
            None => SignInNeeded::Never,
        };
        self.sign_in_needed(why)
    }

    fn sign_in_needed(&self, why: SignInNeeded) -> Error {
        Error::SignInNeeded {
            connection: self.connection.label.to_string(),
            why,
        }
    }

    fn renew_application(
        &self,
        connection: &Connection,
        want: &TokenRequest,
    ) -> Result<(Tokens, Decision)> {
        let secret = self
            .read_client_secret(connection)?
            .ok_or_else(|| self.lost(ItemKind::ClientSecret))?;
        let minutes = self.minutes_to_ask(want);
        let now = self.context.now();
        let granted = oauth::client_credentials(self.http()?, connection, &secret, minutes, now)
            .map_err(|error| error.into_error(connection))?;
        let mut tokens = new_tokens(connection);
        tokens.mint(granted.access);
        tokens.asked_minutes = minutes;
        self.store_best_effort(connection, &tokens);
        Ok((tokens, Decision::Renewed))
    }

    /// Applications may ask for a life: two hours are granted unasked, a longer wish is rounded up to minutes.
    fn minutes_to_ask(&self, want: &TokenRequest) -> Option<i64> {
        match want.min_ttl {
            MinTtl::Seconds(seconds)
                if self.connection.grant.is_application() && seconds > 110 * 60 =>
            {
                Some((seconds / 60 + 2).min(LONGEST_APP_MINUTES))
            }
            _ => None,
        }
    }

    fn renew_user(
        &self,
        connection: &Connection,
        mut tokens: Tokens,
        rule: ExtendRule,
    ) -> Result<(Tokens, Decision)> {
        // A client secret, where there is one, is sent along; the portal asks users for none.
        let secret = self.read_client_secret(connection)?;
        if tokens.exchange_started {
            let announce = self.settle_exchange(connection, tokens, secret.as_ref(), None)?;
            if rule != ExtendRule::Now {
                return Ok(announce);
            }
            tokens = announce.0;
        }
        if let extension @ (Extension::Due | Extension::Anyway) =
            tokens.extension(rule, self.context.now())
        {
            self.extend(connection, tokens, secret.as_ref(), extension)
        } else {
            self.plain_refresh(connection, &mut tokens, secret.as_ref())
                .map_err(|error| error.into_error(connection))?;
            Ok((tokens, Decision::Renewed))
        }
    }

    fn plain_refresh(
        &self,
        connection: &Connection,
        tokens: &mut Tokens,
        secret: Option<&Secret>,
    ) -> std::result::Result<(), TokenError> {
        let Some(token) = &tokens.refresh else {
            return Err(TokenError::Revoked(SignInNeeded::Never));
        };
        let http = self.http().map_err(TokenError::Unsent)?;
        let now = self.context.now();
        let granted = oauth::refresh(http, connection, token, secret, now)?;
        tokens.exchange_started = false;
        if let Some(refresh) = granted.refresh {
            tokens.refresh = Some(refresh);
        }
        tokens.username = granted.username.or(tokens.username.take());
        tokens.mint(granted.access);
        self.store_best_effort(connection, tokens);
        Ok(())
    }

    /// A minted access token that cannot be stored still serves whoever asked; nothing is lost by it.
    fn store_best_effort(&self, connection: &Connection, tokens: &Tokens) {
        if let Err(error) = self.write_tokens(connection, tokens) {
            self.notice(format!("the new token could not be stored: {error}"));
        }
    }

    fn notice(&self, what: String) {
        self.context.emit(&Event::Notice(Notice::Minor { what }));
    }

    /// Exchanges the refresh token. The mark goes first, which also proves that the keychain can be written.
    fn extend(
        &self,
        connection: &Connection,
        mut tokens: Tokens,
        secret: Option<&Secret>,
        extension: Extension,
    ) -> Result<(Tokens, Decision)> {
        let Some(token) = &tokens.refresh else {
            return Err(self.never_signed_in(connection));
        };
        let http = self.http()?;
        let token = token.duplicate();
        let ends = tokens
            .minted_until
            .filter(|until| *until > self.context.now());
        tokens.exchange_started = true;
        self.write_tokens(connection, &tokens)?;
        let now = self.context.now();
        match oauth::exchange(http, connection, &token, secret, now) {
            Ok(granted) => {
                let tokens = extended(tokens, granted);
                self.write_tokens(connection, &tokens)?;
                if let Some(until) = ends.filter(|_| extension == Extension::Anyway) {
                    self.context.emit(&Event::Notice(Notice::ExtendedAnyway {
                        connection: connection.label.to_string(),
                        until,
                    }));
                }
                Ok((tokens, Decision::Extended))
            }
            Err(TokenError::Revoked(why)) => Err(self.sign_in_needed(why)),
            Err(TokenError::Unsent(error)) => {
                tokens.exchange_started = false;
                self.store_best_effort(connection, &tokens);
                Err(error)
            }
            Err(TokenError::Lost(error)) => {
                self.settle_exchange(connection, tokens, secret, Some(error))
            }
            Err(refused @ (TokenError::UnknownGrant | TokenError::Refused(_))) => {
                tokens.exchange_unsupported = matches!(refused, TokenError::UnknownGrant);
                tokens.exchange_started = false;
                if let TokenError::Refused(error) = &refused {
                    self.notice(format!("the sign-in could not be extended: {error}"));
                }
                self.store_best_effort(connection, &tokens);
                self.plain_refresh(connection, &mut tokens, secret)
                    .map_err(|error| error.into_error(connection))?;
                Ok((tokens, Decision::Renewed))
            }
        }
    }

    /// An exchange was begun and its answer never stored: one plain refresh with the old token decides. It works where the
    /// portal never acted; where it did, the old token is dead, the new one is lost, and a person must sign in.
    fn settle_exchange(
        &self,
        connection: &Connection,
        mut tokens: Tokens,
        secret: Option<&Secret>,
        first: Option<Error>,
    ) -> Result<(Tokens, Decision)> {
        match self.plain_refresh(connection, &mut tokens, secret) {
            Ok(()) => {
                self.context.emit(&Event::Notice(Notice::ExtensionLost {
                    connection: connection.label.to_string(),
                }));
                Ok((tokens, Decision::Renewed))
            }
            Err(TokenError::Revoked(_)) => {
                // It is spent: it must not be sent again.
                tokens.refresh = None;
                tokens.access = None;
                self.store_best_effort(connection, &tokens);
                Err(self.sign_in_needed(SignInNeeded::ExtensionLost))
            }
            Err(error) => Err(first.unwrap_or_else(|| error.into_error(connection))),
        }
    }

    /// Renews now, and extends the sign-in by the rule. Past half of its life it holds still instead until nothing
    /// minted from it can be alive, unless that is so already.
    pub fn refresh(&self, rule: ExtendRule) -> Result<Refreshed> {
        let (lock, connection) = self.lock()?;
        self.refresh_under_lock(&lock, &connection, rule)
            .inspect_err(|error| self.note_failure(&lock, error))
    }

    fn refresh_under_lock(
        &self,
        lock: &RenewalLock,
        connection: &Connection,
        rule: ExtendRule,
    ) -> Result<Refreshed> {
        let want = TokenRequest {
            extend: rule,
            ..TokenRequest::default()
        };
        let stored = self.read_tokens(connection)?;
        let now = self.context.now();
        let waits = stored
            .as_ref()
            .and_then(|tokens| match tokens.extension(rule, now) {
                Extension::DueAfter(until) => Some(until),
                _ => None,
            });
        if waits.is_some() {
            // A token minted now would only push the gap further away.
            if let Some(issued) =
                self.stored_if_fresh(stored.as_ref(), &TokenRequest::default(), Decision::Cached)
            {
                return Ok(Refreshed {
                    issued,
                    extension_waits_until: waits,
                });
            }
        }
        let issued = self.announce(
            self.renew(lock, connection, stored, &want)?,
            &TokenRequest::default(),
        );
        Ok(Refreshed {
            extension_waits_until: waits.map(|until| until.max(issued.access.expires_at)),
            issued,
        })
    }

    /// Who the connection speaks for, by the portal's own word. A rejected token is renewed once.
    pub fn whoami(&self) -> Result<Identity> {
        let first = self.access_token(&TokenRequest::default())?;
        match self.identify(&first.access.secret) {
            Err(IdentityError::TokenRejected) => {}
            other => return self.known(other),
        }
        let second = self.access_token_instead_of(&first.access.secret)?;
        self.known(self.identify(&second.access.secret))
    }

    fn identify(&self, token: &Secret) -> std::result::Result<Identity, IdentityError> {
        let http = self.http().map_err(IdentityError::Failed)?;
        match self.connection.grant {
            Grant::User { .. } => {
                portal::username(http, token).map(|username| Identity::User { username })
            }
            Grant::Application => portal::app_info(http, token).map(Identity::Application),
        }
    }

    fn known<T>(&self, answer: std::result::Result<T, IdentityError>) -> Result<T> {
        let label = self.connection.label.as_str();
        answer.map_err(|error| match error {
            IdentityError::Failed(error) => error.about(label),
            IdentityError::TokenRejected => Error::Refused {
                connection: Some(label.to_owned()),
                url: self.connection.portal.as_str().to_owned(),
                why: Refusal::FreshToken,
            },
        })
    }

    /// Begins a sign-in of a person.
    pub fn begin_sign_in(&self, options: &SignInOptions) -> Result<SignInAttempt> {
        SignInAttempt::begin(&self.connection, options)
    }

    /// Exchanges the code and asks who signed in. Nothing is stored, no lock is taken.
    pub fn exchange_code(
        &self,
        sign_in: SignInAttempt,
        code: AuthorizationCode,
    ) -> Result<PendingSignIn> {
        let http = self.http()?;
        let secret = self.read_client_secret(&self.connection)?;
        let now = self.context.now();
        let granted = sign_in.finish(code, http, &self.connection, secret.as_ref(), now)?;
        let username = match granted.username {
            Some(name) => name,
            None => self.known(portal::username(http, &granted.access.secret))?,
        };
        let mut tokens = new_tokens(&self.connection);
        tokens.refresh = granted.refresh;
        tokens.username = Some(username.clone());
        tokens.mint(granted.access);
        Ok(PendingSignIn { tokens, username })
    }

    /// Stores a sign-in, then revokes the one that it replaces.
    pub fn accept(&self, pending: PendingSignIn) -> Result<UsableToken> {
        let PendingSignIn { tokens, username } = pending;
        let (lock, connection) = self.lock()?;
        let replaced = self.read_tokens(&connection).ok().flatten();
        self.write_tokens(&connection, &tokens)?;
        let now = self.context.now();
        self.copy_status(&lock, &tokens);
        self.update_best_effort(&lock, |status| {
            status.username = Some(username);
            status.signed_in_at = Some(now);
            status.machine = Some(this_machine());
            status.last_failure = None;
        });
        drop(lock);
        if let Some(replaced) = replaced {
            self.revoke(&replaced);
        }
        self.decided(Decision::SignedIn);
        issued(tokens, Decision::SignedIn).ok_or_else(|| self.never_signed_in(&connection))
    }

    /// Gives a sign-in back to the portal that nobody wants.
    pub fn discard(&self, pending: &PendingSignIn) {
        self.revoke(&pending.tokens);
    }

    /// Gets a token for an application, which is its sign-in, and asks the portal which application it is.
    pub fn sign_in_application(&self) -> Result<(UsableToken, AppInfo)> {
        let (lock, connection) = self.lock()?;
        let issued = self
            .renew(&lock, &connection, None, &TokenRequest::default())
            .inspect_err(|error| self.note_failure(&lock, error))?;
        let now = self.context.now();
        self.update_best_effort(&lock, |status| {
            status.signed_in_at = Some(now);
            status.machine = Some(this_machine());
            status.last_failure = None;
        });
        drop(lock);
        self.decided(Decision::SignedIn);
        let http = self.http()?;
        let info = self.known(portal::app_info(http, &issued.access.secret))?;
        Ok((issued, info))
    }

    /// Revokes the sign-in at the portal (unless `keep_remote`), then forgets it here whatever the portal said. The
    /// connection and its client secret stay.
    pub fn sign_out(&self, keep_remote: bool) -> Result<SignedOut> {
        let (lock, connection) = self.lock()?;
        let outcome = self.forget_tokens(&connection, keep_remote)?;
        self.connections.update(&lock, |connection| {
            connection.status = Status::default();
        })?;
        if outcome != SignedOut::Nothing {
            self.decided(Decision::SignedOut);
        }
        Ok(outcome)
    }

    /// The part of signing out that concerns portal and keychain. The caller holds the lock.
    pub(crate) fn forget_tokens(
        &self,
        connection: &Connection,
        keep_remote: bool,
    ) -> Result<SignedOut> {
        let item = Item::of(connection, ItemKind::Tokens);
        // What belongs elsewhere or is torn is forgotten here, and sent nowhere.
        let tokens = self.read_tokens(connection).ok().flatten();
        let outcome = match &tokens {
            Some(_) if keep_remote => SignedOut::Forgotten,
            Some(tokens) if self.revoke(tokens) => SignedOut::Revoked,
            Some(_) => SignedOut::NotRevoked,
            None => SignedOut::Forgotten,
        };
        let found = self
            .keychain
            .delete(&item)
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))?;
        Ok(if found || tokens.is_some() {
            outcome
        } else {
            SignedOut::Nothing
        })
    }

    /// Whether the portal was told. Applications' tokens cannot be revoked, so that there is nothing to tell.
    fn revoke(&self, tokens: &Tokens) -> bool {
        let Some(refresh) = &tokens.refresh else {
            return true;
        };
        let told = self.http().and_then(|http| {
            oauth::revoke(http, &self.connection, &refresh.secret, "refresh_token")
        });
        if let Err(error) = &told {
            self.context.emit(&Event::Notice(Notice::NotRevoked {
                connection: self.connection.label.to_string(),
                why: error.to_string(),
            }));
        }
        told.is_ok()
    }

    /// Gives a refresh token of this connection's that is stored nowhere back to the portal. Whether the portal was told;
    /// where it was not, the observer was told why.
    pub fn revoke_stray(&self, refresh_token: Secret) -> bool {
        let mut tokens = new_tokens(&self.connection);
        tokens.refresh = Some(RefreshToken {
            secret: refresh_token,
            issued_at: self.context.now(),
            expires_at: None,
        });
        self.revoke(&tokens)
    }

    /// The application that this connection's tokens are issued to, a person's too, by the portal's own word. A rejected
    /// token is renewed once.
    pub fn app_info(&self) -> Result<AppInfo> {
        let first = self.access_token(&TokenRequest::default())?;
        let http = self.http()?;
        match portal::app_info(http, &first.access.secret) {
            Err(IdentityError::TokenRejected) => {}
            other => return self.known(other),
        }
        let second = self.access_token_instead_of(&first.access.secret)?;
        self.known(portal::app_info(http, &second.access.secret))
    }

    /// The stored tokens, or nothing where nobody signed in. A record for another portal or client id is an error.
    pub(crate) fn read_tokens(&self, connection: &Connection) -> Result<Option<Tokens>> {
        let Some(record) = self.read(connection, ItemKind::Tokens)? else {
            let signed_in = connection.status.signed_in_at.is_some();
            return match (signed_in, &connection.grant) {
                (true, Grant::User { .. }) if other_machine(connection).is_some() => {
                    Err(self.never_signed_in(connection))
                }
                (true, Grant::User { .. }) => Err(self.lost(ItemKind::Tokens)),
                _ => Ok(None),
            };
        };
        let tokens = Tokens::from_record(&record).ok_or_else(|| self.lost(ItemKind::Tokens))?;
        self.check_binding(connection, &tokens.binding, ItemKind::Tokens)?;
        Ok(Some(tokens))
    }

    pub(crate) fn read_client_secret(&self, connection: &Connection) -> Result<Option<Secret>> {
        let Some(record) = self.read(connection, ItemKind::ClientSecret)? else {
            return Ok(None);
        };
        let stored =
            ClientSecret::from_record(&record).ok_or_else(|| self.lost(ItemKind::ClientSecret))?;
        self.check_binding(connection, &stored.binding, ItemKind::ClientSecret)?;
        Ok(Some(stored.secret))
    }

    fn read(&self, connection: &Connection, kind: ItemKind) -> Result<Option<Secret>> {
        self.keychain
            .get(&Item::of(connection, kind))
            .map_err(|error| self.keychain_error(error, kind))
    }

    fn write_tokens(&self, connection: &Connection, tokens: &Tokens) -> Result<()> {
        self.keychain
            .set(&Item::of(connection, ItemKind::Tokens), &tokens.to_record())
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))
    }

    fn check_binding(
        &self,
        connection: &Connection,
        stored: &Binding,
        kind: ItemKind,
    ) -> Result<()> {
        let named = Binding::of(connection);
        if *stored == named {
            return Ok(());
        }
        Err(self.keychain_failure(
            KeychainReason::Mismatch,
            format!(
                "it was stored for {} (client ID {}), but meta.json names {} (client ID {})",
                stored.portal_url, stored.client_id, named.portal_url, named.client_id
            ),
            kind,
        ))
    }

    fn lost(&self, kind: ItemKind) -> Error {
        self.keychain_failure(
            KeychainReason::Lost,
            match kind {
                ItemKind::ClientSecret => "the client secret is gone or damaged",
                _ => "the tokens are gone or damaged",
            }
            .to_owned(),
            kind,
        )
    }

    fn keychain_failure(&self, reason: KeychainReason, detail: String, kind: ItemKind) -> Error {
        self.keychain_error(
            KeychainError::new(self.keychain.name(), reason, detail),
            kind,
        )
    }

    pub(crate) fn keychain_error(&self, error: KeychainError, kind: ItemKind) -> Error {
        Error::Keychain {
            connection: Some(self.connection.label.to_string()),
            item: Some(kind),
            error,
        }
    }

    /// Copies the record's dates into `meta.json`. The record rules; a copy that cannot be written is no failure. The last
    /// failure stays until the next sign-in: whoever looks in the morning wants to know of it, though it is over.
    fn copy_status(&self, lock: &RenewalLock, tokens: &Tokens) {
        let now = self.context.now();
        self.update_connection_best_effort(lock, |connection| {
            connection.last_used_at = Some(now);
            let status = &mut connection.status;
            status.access_expires_at = tokens.access.as_ref().map(|token| token.expires_at);
            status.refresh_issued_at = tokens.refresh.as_ref().map(|token| token.issued_at);
            status.refresh_expires_at = tokens.refresh.as_ref().map(RefreshToken::end);
            status.extendable = tokens
                .refresh
                .as_ref()
                .map(|_| !tokens.exchange_unsupported);
            status.username = tokens.username.clone().or(status.username.take());
        });
    }

    /// Writes down what went wrong, for `status` in the morning.
    fn note_failure(&self, lock: &RenewalLock, error: &Error) {
        let now = self.context.now();
        let line = format!("{} {error}", crate::util::rfc3339(now));
        self.update_best_effort(lock, |status| {
            status.last_failure = Some(line);
            if has_ended(error) {
                status.refresh_expires_at = status.refresh_expires_at.map(|end| end.min(now));
            }
        });
    }

    /// The same where the failure came before the lock was taken. Whoever holds the lock now writes a note of its own.
    fn note_failure_unlocked(&self, error: &Error) {
        let bound = self.context.deadline.bound(NOTE_LOCK_TIMEOUT);
        let quiet = Context {
            observer: Observer::silent(),
            ..self.context.clone()
        };
        if let Ok((lock, _)) = self.connections.lock(&self.connection, bound, &quiet) {
            self.note_failure(&lock, error);
        }
    }

    fn update_best_effort(&self, lock: &RenewalLock, change: impl FnOnce(&mut Status)) {
        self.update_connection_best_effort(lock, |connection| change(&mut connection.status));
    }

    fn update_connection_best_effort(
        &self,
        lock: &RenewalLock,
        change: impl FnOnce(&mut Connection),
    ) {
        if let Err(error) = self.connections.update(lock, change) {
            self.notice(format!(
                "meta.json could not be brought up to date: {error}"
            ));
        }
    }

    fn warn_of_the_end(&self, tokens: &Tokens) {
        let Some(end) = tokens.refresh.as_ref().map(RefreshToken::end) else {
            return;
        };
        if end.duration_since(self.context.now()).as_secs() <= ENDS_SOON {
            self.context.emit(&Event::Notice(Notice::EndsSoon {
                connection: self.connection.label.to_string(),
                at: end,
            }));
        }
    }
}

fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Keychain {
            error: KeychainError {
                reason: KeychainReason::Lost,
                ..
            },
            ..
        }
    )
}

/// Whether the error says that the stored sign-in is no longer good, whatever its dates say.
fn has_ended(error: &Error) -> bool {
    matches!(
        error,
        Error::SignInNeeded {
            why: SignInNeeded::Expired
                | SignInNeeded::NoLongerAccepted
                | SignInNeeded::ExtensionLost,
            ..
        }
    )
}

pub(crate) fn new_tokens(connection: &Connection) -> Tokens {
    Tokens {
        binding: Binding::of(connection),
        access: None,
        refresh: None,
        minted_until: None,
        exchange_started: false,
        exchange_unsupported: false,
        asked_minutes: None,
        username: None,
        servers: Vec::new(),
    }
}

/// The record after an exchange. Nothing minted from the old refresh token is alive any more.
fn extended(old: Tokens, granted: TokenResponse) -> Tokens {
    let mut tokens = Tokens {
        refresh: granted.refresh,
        minted_until: None,
        exchange_started: false,
        exchange_unsupported: false,
        servers: Vec::new(),
        username: granted.username.or(old.username),
        ..old
    };
    tokens.mint(granted.access);
    tokens
}

fn for_server(access: AccessToken, tokens: Option<&Tokens>, decision: Decision) -> UsableToken {
    UsableToken {
        access,
        username: tokens.and_then(|tokens| tokens.username.clone()),
        sign_in_ends: tokens.and_then(|tokens| tokens.refresh.as_ref().map(RefreshToken::end)),
        decision,
    }
}

fn issued(tokens: Tokens, decision: Decision) -> Option<UsableToken> {
    Some(UsableToken {
        access: tokens.access?,
        username: tokens.username,
        sign_in_ends: tokens.refresh.as_ref().map(RefreshToken::end),
        decision,
    })
}

fn copy_of(tokens: &Tokens, decision: Decision) -> Option<UsableToken> {
    Some(UsableToken {
        access: tokens.access.as_ref()?.duplicate(),
        username: tokens.username.clone(),
        sign_in_ends: tokens.refresh.as_ref().map(RefreshToken::end),
        decision,
    })
}

/// The machine that signed in, where it is not this one.
pub(crate) fn other_machine(connection: &Connection) -> Option<String> {
    connection
        .status
        .machine
        .clone()
        .filter(|machine| *machine != this_machine())
}

/// This machine's host name.
pub(crate) fn this_machine() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
