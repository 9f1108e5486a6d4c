//! Renewing: gets a new access token by the refresh token, by the client secret, or by the sign-in
//! of the web server in front of the portal. The caller holds the renewal lock.

use super::client_secret::RenewalSecret;
use super::{Locked, RefreshOutcome, Session, Snapshot, TokenRequest, UsableToken};
use crate::connection::{Connection, Grant};
use crate::error::{Result, SignInNeeded};
use crate::event::Decision;
use crate::oauth::{self, TokenError};
use crate::policy::{self, ExtendRule, Extension, EXTENSION_TIME};
use crate::token::Tokens;

impl Session {
    /// Renews now, and extends the sign-in where `rule` says so.
    ///
    /// Where the extension is due but waits until no script can lose its token, the cached token is
    /// left as it is while it is good: a new one would live longer, and push that moment further
    /// away.
    pub fn refresh(&self, rule: ExtendRule) -> Result<RefreshOutcome> {
        self.check_machine_policy()?;
        self.check_renewable()?;
        let locked = self.lock()?;
        self.refresh_under_lock(&locked, rule)
            .inspect_err(|error| self.record_failure(&locked.lock, error))
    }

    fn refresh_under_lock(&self, locked: &Locked, rule: ExtendRule) -> Result<RefreshOutcome> {
        let connection = &locked.connection;
        let request = TokenRequest {
            extend: rule,
            ..TokenRequest::default()
        };
        let stored = self.read_tokens(connection)?;
        self.check_not_ended_by_policy(stored.as_ref())?;
        self.check_may_extend(stored.as_ref(), rule)?;
        let extension = stored
            .as_ref()
            .map(|tokens| tokens.extension(rule, self.context.now()));
        let waits_until = match extension {
            Some(Extension::WaitsUntil(moment)) => Some(moment),
            _ => None,
        };
        if waits_until.is_some() && !self.is_ended_by_portal(connection, stored.as_ref()) {
            if let Some(token) = self.cached_token(stored.as_ref(), &request, Decision::Cached) {
                return Ok(RefreshOutcome {
                    token,
                    extension_waits_until: waits_until,
                });
            }
        }
        let token = self.announce(self.renew(locked, stored, &request)?, &request);
        Ok(RefreshOutcome {
            // The new token may live longer than those before it.
            extension_waits_until: waits_until
                .map(|moment| moment.max(policy::unusable_from(token.access.expires_at))),
            token,
        })
    }

    /// Renews, and extends the sign-in where that is due. Stores what the portal granted.
    pub(super) fn renew(
        &self,
        locked: &Locked,
        stored: Option<Tokens>,
        request: &TokenRequest,
    ) -> Result<UsableToken> {
        let Locked {
            lock, connection, ..
        } = locked;
        if stored
            .as_ref()
            .is_some_and(|tokens| tokens.binding.is_old())
        {
            self.bind_old_records(connection)?;
        }
        // Remember whether the sign-in was due: the renewal consumes the record.
        let was_due = stored.as_ref().is_some_and(|tokens| {
            tokens
                .extension(request.extend, self.context.now())
                .is_now()
        });
        let (tokens, decision) = match (&connection.grant, stored) {
            (Grant::Application, _) => self.renew_application(locked, request)?,
            // Whom the web server vouches for would be signed in again by each request. Without a
            // `login`, or after a `logout`, none is sent.
            (Grant::Network, stored) => match stored.and_then(|tokens| tokens.username) {
                Some(user) => self.renew_network(locked, &user, request)?,
                None => return Err(self.never_signed_in(connection)),
            },
            (Grant::User { .. }, Some(tokens)) if tokens.refresh.is_some() => {
                self.renew_user(locked, tokens, request.extend)?
            }
            // The mark without a refresh token: the exchange was carried out, and the new refresh
            // token was lost with its answer.
            (Grant::User { .. }, Some(tokens)) if tokens.exchange_started => {
                return Err(self.sign_in_needed(SignInNeeded::ExtensionLost));
            }
            (Grant::User { .. }, _) => return Err(self.never_signed_in(connection)),
            (Grant::ApiKey { .. }, _) => {
                self.check_renewable()?;
                return Err(self.never_signed_in(connection));
            }
        };
        self.copy_status(lock, connection, &tokens);
        // A sign-in that is not extended will expire. Warn early, at every renewal.
        let failed_to_extend = was_due && decision != Decision::Extended;
        if tokens.exchange_unsupported || tokens.is_limited || failed_to_extend {
            self.warn_if_expiring(&tokens);
        }
        UsableToken::from_tokens(tokens, decision).ok_or_else(|| self.never_signed_in(connection))
    }

    fn renew_application(
        &self,
        locked: &Locked,
        request: &TokenRequest,
    ) -> Result<(Tokens, Decision)> {
        self.check_not_failed_meanwhile(locked)?;
        let connection = &locked.connection;
        let mut secret = self.renewal_secret(connection)?;
        let minutes = minutes_to_ask(connection, request);
        let http = connection.http(&self.context)?;
        let now = self.context.now();
        let response = self
            .send_with_secret(connection, &mut secret, |secret| {
                let secret = secret.ok_or_else(|| self.lost_client_secret(connection));
                let secret = secret.map_err(TokenError::Unsent)?;
                oauth::client_credentials(http, connection, secret, minutes, now)
            })
            .map_err(|error| error.into_error(connection))?;
        let mut tokens = Tokens::new(connection.binding().clone());
        tokens.set_access_token(response.access);
        tokens.asked_minutes = minutes;
        self.store_best_effort(connection, &tokens);
        Ok((tokens, Decision::Renewed))
    }

    fn renew_user(
        &self,
        locked: &Locked,
        mut tokens: Tokens,
        rule: ExtendRule,
    ) -> Result<(Tokens, Decision)> {
        self.check_not_failed_meanwhile(locked)?;
        let connection = &locked.connection;
        // The portal asks users for no client secret, but a stored one is sent along.
        let mut secret = self.renewal_secret(connection)?;
        let mut extension = tokens.extension(rule, self.context.now());
        if extension == Extension::Due && self.may_extend_later(&tokens, rule) {
            extension = Extension::NotDue;
        }
        let handed_out_until = tokens.access_tokens_valid_until;
        // An earlier exchange has no stored answer. First find out whether the refresh token is
        // spent. That renews, too, so nothing is left to do where the sign-in is not due.
        if tokens.exchange_started {
            let resolved = self.resolve_extension(connection, tokens, &mut secret, None)?;
            if !extension.is_now() {
                return Ok(resolved);
            }
            // No script has the access token of that renewal yet, so that extending takes nothing
            // away. A short sign-in could expire before the next attempt.
            tokens = resolved.0;
        }
        // Extending gets a new access token as well.
        if extension.is_now() {
            let forced_until = handed_out_until.filter(|_| extension == Extension::Forced);
            return self.extend(connection, tokens, &mut secret, forced_until);
        }
        self.renew_by_refresh_token(connection, &mut tokens, &mut secret)
            .map_err(|error| error.into_error(connection))?;
        Ok((tokens, Decision::Renewed))
    }

    /// Whether the command has too little time for an extension that a later one can make as well.
    fn may_extend_later(&self, tokens: &Tokens, rule: ExtendRule) -> bool {
        rule == ExtendRule::PastHalf
            && self.context.deadline.bound(EXTENSION_TIME) < EXTENSION_TIME
            && !tokens.is_in_last_tenth(self.context.now())
    }

    /// Gets a new access token with the refresh token, which stays the same. An answer also proves
    /// that the refresh token is not spent, and so removes the exchange mark.
    pub(super) fn renew_by_refresh_token(
        &self,
        connection: &Snapshot,
        tokens: &mut Tokens,
        secret: &mut RenewalSecret,
    ) -> std::result::Result<(), TokenError> {
        let Some(refresh) = &tokens.refresh else {
            return Err(TokenError::Revoked(SignInNeeded::Never));
        };
        let http = connection.http(&self.context).map_err(TokenError::Unsent)?;
        let now = self.context.now();
        let response = self.send_with_secret(connection, secret, |secret| {
            oauth::refresh(http, connection, refresh, secret, now)
        })?;
        tokens.exchange_started = false;
        if let Some(refresh) = response.refresh {
            tokens.refresh = Some(refresh);
        }
        self.limit_sign_in(tokens);
        tokens.username = response.username.or(tokens.username.take());
        tokens.set_access_token(response.access);
        self.store_best_effort(connection, tokens);
        Ok(())
    }
}

/// The life in minutes to ask for. Users may not ask; `None` leaves it to the portal.
pub(super) fn minutes_to_ask(connection: &Connection, request: &TokenRequest) -> Option<i64> {
    match connection.grant {
        Grant::User { .. } | Grant::ApiKey { .. } => None,
        Grant::Application => policy::application_minutes(request.min_ttl),
        Grant::Network => Some(policy::network_minutes(request.min_ttl)),
    }
}
