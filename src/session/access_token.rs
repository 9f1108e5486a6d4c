//! The decision: which access token a caller gets, and whether the portal is asked for it.

use super::renew::minutes_to_ask;
use super::{Locked, Session, TokenRequest, UsableToken};
use crate::connection::Connection;
use crate::error::{Error, Result, SecretCommandFailure};
use crate::event::{Decision, Notice};
use crate::policy;
use crate::secret::Secret;
use crate::token::{AccessToken, Tokens};

use super::records::is_lost;

impl Session {
    /// An access token: the cached one, or a new one. Of all processes that want a new one at the
    /// same time, exactly one asks the portal.
    ///
    /// Errors: [`Error::SignInNeeded`], [`Error::Keychain`], [`Error::Unreachable`],
    /// [`Error::Refused`], [`Error::Busy`], [`Error::Forbidden`], [`Error::ApiKey`].
    pub fn access_token(&self, request: &TokenRequest) -> Result<UsableToken> {
        self.check_machine_policy()?;
        if self.has_api_key() {
            return self.api_key_token(request);
        }
        // Look without the lock first: mostly the cached token is good, and readers need not wait
        // for each other.
        let stored = match self.read_tokens(&self.opened) {
            Ok(tokens) => tokens,
            // Another process may be signing out. With the lock, the result is known.
            Err(error) if is_lost(&error) => None,
            Err(error) => {
                self.record_failure_without_lock(&error);
                return Err(error);
            }
        };
        self.check_not_ended_by_policy(stored.as_ref())?;
        if !request.force && !self.is_ended_by_portal(&self.opened, stored.as_ref()) {
            if let Some(token) = self.cached_token(stored.as_ref(), request, Decision::Cached) {
                return Ok(token);
            }
        }
        // Remember which token was there: under the lock, another one means that another process
        // has renewed.
        let seen = stored
            .and_then(|tokens| tokens.access)
            .map(|access| access.secret);
        self.access_token_under_lock(&self.lock_unchanged()?, request, seen.as_ref())
    }

    /// A token other than `rejected`, which the portal did not accept: renewed now, or by another
    /// process meanwhile.
    pub(super) fn access_token_instead_of(&self, rejected: &Secret) -> Result<UsableToken> {
        if self.has_api_key() {
            return Err(self.refused_api_key(rejected));
        }
        let request = TokenRequest {
            force: true,
            ..TokenRequest::default()
        };
        self.access_token_under_lock(&self.lock_unchanged()?, &request, Some(rejected))
    }

    fn access_token_under_lock(
        &self,
        locked: &Locked,
        request: &TokenRequest,
        seen: Option<&Secret>,
    ) -> Result<UsableToken> {
        let Locked {
            lock, connection, ..
        } = locked;
        // Read again: while this process waited for the lock, another one may have renewed, or
        // signed in or out.
        let stored = self
            .read_tokens(connection)
            .and_then(|stored| {
                self.check_not_ended_by_policy(stored.as_ref())
                    .map(|()| stored)
            })
            .inspect_err(|error| self.record_failure(lock, error))?;
        // A token of a sign-in that the portal has ended is dead. Only the portal can say
        // otherwise.
        let ended = self.is_ended_by_portal(connection, stored.as_ref());
        // A token that appeared meanwhile is new enough even for a forced renewal, so that many
        // processes that force one at the same time cause a single renewal.
        if !ended && (!request.force || has_other_token(stored.as_ref(), seen)) {
            if let Some(token) =
                self.cached_token(stored.as_ref(), request, Decision::RenewedByAnother)
            {
                return Ok(token);
            }
        }
        // The portal grants less life than was asked for, and the cached token is new: renewing
        // again would not help.
        if !ended && !request.force && self.is_best_possible(connection, stored.as_ref(), request) {
            let token = stored
                .and_then(|tokens| UsableToken::from_tokens(tokens, Decision::Cached))
                .ok_or_else(|| self.never_signed_in(connection))?;
            return Ok(self.announce(token, request));
        }
        // Keep a copy of the cached token: the renewal consumes the record, and the portal may not
        // be reachable.
        let fallback = stored
            .as_ref()
            .and_then(|tokens| UsableToken::copy_of(tokens, Decision::Fallback))
            .filter(|_| !ended && !request.explicit && !request.force);
        match self.renew(locked, stored, request) {
            Ok(token) => Ok(self.announce(token, request)),
            Err(error) => {
                self.record_failure(lock, &error);
                self.fall_back_to_cached(error, fallback)
            }
        }
    }

    /// Whether an earlier renewal found that the portal has ended the sign-in, the registration or
    /// the user, and no token came after it. A server's token ends with the portal's.
    pub(super) fn is_ended_by_portal(
        &self,
        connection: &Connection,
        tokens: Option<&Tokens>,
    ) -> bool {
        let now = self.context.now();
        let issued_at = tokens.and_then(|tokens| Some(tokens.access.as_ref()?.issued_at));
        let refused_at = connection.status.grant_refused_at;
        if policy::is_older_than_refusal(issued_at, refused_at, now) {
            return true;
        }
        let dates = tokens.and_then(|tokens| {
            Some((
                connection.status.refresh_expires_at?,
                tokens.refresh.as_ref()?.known_or_assumed_expiry(),
                tokens.access.as_ref()?.issued_at,
            ))
        });
        dates.is_some_and(|(recorded_end, expiry, issued_at)| {
            policy::is_ended_by_portal(recorded_end, expiry, issued_at, now)
        })
    }

    /// The cached access token, if it lives long enough.
    pub(super) fn cached_token(
        &self,
        tokens: Option<&Tokens>,
        request: &TokenRequest,
        decision: Decision,
    ) -> Option<UsableToken> {
        let tokens = tokens?;
        let access = tokens.access.as_ref()?;
        if !access.is_fresh(request.min_ttl, self.context.now()) {
            return None;
        }
        self.emit_decision(decision);
        UsableToken::copy_of(tokens, decision)
    }

    /// Whether a renewal would get no longer-lived token than the cached one: it is new, and the
    /// portal granted less than is wanted.
    fn is_best_possible(
        &self,
        connection: &Connection,
        tokens: Option<&Tokens>,
        request: &TokenRequest,
    ) -> bool {
        let Some((tokens, access)) = tokens.and_then(|t| Some((t, t.access.as_ref()?))) else {
            return false;
        };
        let now = self.context.now();
        policy::is_recently_renewed(access.issued_at, now)
            && access.seconds_left(now) > 0
            && tokens.asked_minutes >= minutes_to_ask(connection, request)
            && request.min_ttl.seconds(access.seconds_granted()) > access.seconds_granted()
    }

    /// Reports what was decided, and before that whether the token lives less long than wanted. The
    /// decision comes last: when an observer receives it, it has received all notices about it.
    pub(super) fn announce(&self, token: UsableToken, request: &TokenRequest) -> UsableToken {
        let seconds_left = token.access.seconds_left(self.context.now());
        let seconds_wanted = request.min_ttl.seconds(token.access.seconds_granted());
        // One second is lost to rounding where exactly this life was asked for and granted.
        if seconds_left + 1 < seconds_wanted {
            self.emit_notice(Notice::ShortLived {
                connection: self.label(),
                seconds_wanted,
                seconds_left,
            });
        }
        self.emit_decision(token.decision);
        token
    }

    /// While the portal cannot be reached, or the command for the client secret fails, the cached
    /// token is better than none, as long as it lives.
    fn fall_back_to_cached(
        &self,
        error: Error,
        fallback: Option<UsableToken>,
    ) -> Result<UsableToken> {
        let now = self.context.now();
        let living = fallback.filter(|token| policy::may_fall_back(token.access.expires_at, now));
        let Some(token) = living.filter(|_| may_pass(&error)) else {
            return Err(error);
        };
        let connection = self.label();
        let why = error.to_string();
        let seconds_left = token.access.seconds_left(now);
        self.emit_notice(match error {
            Error::SecretCommand { .. } => Notice::SecretCommandFailed {
                connection,
                why,
                seconds_left,
            },
            _ => Notice::Unreachable {
                connection,
                why,
                seconds_left,
            },
        });
        self.emit_decision(Decision::Fallback);
        Ok(token)
    }
}

/// Whether the error says nothing about the sign-in, so that a later renewal may work.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::SecretCommand { why, .. } => match why {
            SecretCommandFailure::NoProgram(_)
            | SecretCommandFailure::NotStarted(_)
            | SecretCommandFailure::Timeout(_)
            | SecretCommandFailure::Failed { .. }
            | SecretCommandFailure::Output(_)
            | SecretCommandFailure::InAnotherProcess(_) => true,
            // A person has to see at once that others could have changed it.
            SecretCommandFailure::Unsafe { .. } => false,
        },
        _ => false,
    }
}

/// Whether another access token than `seen` is cached.
fn has_other_token(tokens: Option<&Tokens>, seen: Option<&Secret>) -> bool {
    let is_other =
        |access: &AccessToken| seen.is_none_or(|seen| !seen.matches(access.secret.expose()));
    tokens
        .and_then(|tokens| tokens.access.as_ref())
        .is_some_and(is_other)
}
