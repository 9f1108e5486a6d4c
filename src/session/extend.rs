//! Extending a sign-in: exchanges the refresh token for one that lives longer. The caller holds the
//! renewal lock.
//!
//! The exchange ends the old refresh token and all access tokens from it at once (Esri, "Token",
//! `exchange_refresh_token`). Where the answer is lost on the way, the new refresh token is lost
//! with it, so the record carries the exchange mark from before the exchange is sent until its
//! outcome is stored.

use jiff::Timestamp;

use super::client_secret::RenewalSecret;
use super::{Session, Snapshot};
use crate::error::{Error, KeychainReason, Result, SignInNeeded};
use crate::event::{Decision, Notice};
use crate::oauth::{self, TokenError, TokenResponse};
use crate::policy::EXTENSION_TIME;
use crate::token::Tokens;

/// With these, a keychain has written nothing.
const NOTHING_WRITTEN: [KeychainReason; 3] = [
    KeychainReason::Locked,
    KeychainReason::Denied,
    KeychainReason::NoCollection,
];

impl Session {
    /// Extends the sign-in. Where the portal refuses that, renews instead.
    ///
    /// `forced_until` is the end of the access tokens that scripts may have, where the extension
    /// does not wait for it.
    pub(super) fn extend(
        &self,
        connection: &Snapshot,
        mut tokens: Tokens,
        secret: &mut RenewalSecret,
        forced_until: Option<Timestamp>,
    ) -> Result<(Tokens, Decision)> {
        let Some(refresh) = &tokens.refresh else {
            return Err(self.never_signed_in(connection));
        };
        // The time of the whole command does not end a request that was sent.
        let http = connection.http_with_time(EXTENSION_TIME, &self.context)?;
        let refresh = refresh.duplicate();
        let ended_tokens_until = forced_until.filter(|until| *until > self.context.now());
        // Store the mark first. That also proves that the keychain can be written: where it cannot,
        // the exchange must not be sent, because its answer could not be stored.
        tokens.exchange_started = true;
        self.write_tokens(connection, &tokens)?;
        let now = self.context.now();
        let answer = self.send_with_secret(connection, secret, |secret| {
            // Until the answer is stored, the only refresh token that works is in this process. A
            // run of the command between two requests can be interrupted.
            let delay = self.context.interruptions.delay();
            let response = oauth::exchange(&http, connection, &refresh, secret, now)?;
            Ok((response, delay))
        });
        match answer {
            Ok((response, delay)) => {
                // Store the new refresh token before anything else: from here on, it is the only
                // one.
                let mut tokens = tokens_after_exchange(tokens, response);
                self.limit_sign_in(&mut tokens);
                self.store_extension(connection, &tokens)?;
                drop(delay);
                if let Some(until) = ended_tokens_until {
                    self.emit_notice(Notice::ExtendedAnyway {
                        connection: self.label(),
                        until,
                    });
                }
                Ok((tokens, Decision::Extended))
            }
            // The mark stays: the refresh token cannot be used any more, whatever ended it.
            Err(TokenError::Revoked(why)) => Err(self.sign_in_needed(why)),
            // Nothing was sent, so the refresh token is not spent: remove the mark.
            Err(TokenError::Unsent(error)) => {
                tokens.exchange_started = false;
                self.store_best_effort(connection, &tokens);
                Err(error)
            }
            Err(TokenError::Lost(error)) => {
                self.resolve_extension(connection, tokens, secret, Some(error))
            }
            Err(refused @ (TokenError::UnknownGrant | TokenError::Refused(_))) => {
                self.renew_after_refused_extension(connection, tokens, secret, &refused)
            }
        }
    }

    /// Stores the only refresh token that the portal accepts now, with a second attempt. A failed
    /// write may have been carried out all the same, so the record is read after it.
    ///
    /// The old refresh token has ended, so nothing is saved by revoking the new one where it may
    /// still be stored: after a timeout, the keychain may carry the write out later. Where it is
    /// certain that no record has it, it is revoked, because it would live on without an owner.
    fn store_extension(&self, connection: &Snapshot, tokens: &Tokens) -> Result<()> {
        let Err(first) = self.write_tokens(connection, tokens) else {
            return Ok(());
        };
        if self.has_stored(connection, tokens) == Some(true) {
            return Ok(());
        }
        let Err(second) = self.write_tokens(connection, tokens) else {
            return Ok(());
        };
        let stored = self.has_stored(connection, tokens);
        if stored == Some(true) {
            return Ok(());
        }
        let errors = [&first, &second];
        let is_certain = match stored {
            Some(_) => !errors
                .into_iter()
                .any(|why| is_one_of(&[KeychainReason::Timeout], why)),
            None => errors
                .into_iter()
                .all(|why| is_one_of(&NOTHING_WRITTEN, why)),
        };
        let what = if is_certain {
            self.revoke_in_any_case(connection, tokens);
            "was not stored, so it was revoked; sign in again when the keychain works"
        } else {
            "may not be stored; when the keychain works, the next command finds out"
        };
        self.emit_notice(Notice::Other {
            message: format!(
                "the portal extended the sign-in of `{}`, and the new refresh token {what}",
                self.label()
            ),
        });
        Err(first)
    }

    /// Whether the stored record has this refresh token; `None` if the record cannot be read.
    fn has_stored(&self, connection: &Snapshot, tokens: &Tokens) -> Option<bool> {
        let stored = self.read_tokens(connection).ok()?;
        let stored = stored.and_then(|tokens| tokens.refresh);
        let (Some(stored), Some(new)) = (stored, &tokens.refresh) else {
            return Some(false);
        };
        Some(stored.secret.expose() == new.secret.expose())
    }

    /// The portal refused the exchange, so the refresh token is not spent. The caller still needs
    /// an access token.
    fn renew_after_refused_extension(
        &self,
        connection: &Snapshot,
        mut tokens: Tokens,
        secret: &mut RenewalSecret,
        refused: &TokenError,
    ) -> Result<(Tokens, Decision)> {
        tokens.exchange_started = false;
        tokens.exchange_unsupported = matches!(refused, TokenError::UnknownGrant);
        if let TokenError::Refused(error) = refused {
            self.emit_notice(Notice::Other {
                message: format!("the sign-in could not be extended: {error}"),
            });
        }
        self.store_best_effort(connection, &tokens);
        self.renew_by_refresh_token(connection, &mut tokens, secret)
            .map_err(|error| error.into_error(connection))?;
        Ok((tokens, Decision::Renewed))
    }

    /// Finds out whether the portal carried out an exchange whose answer was never stored, by one
    /// renewal with the old refresh token. Where it works, the exchange was not carried out.
    /// Where the portal says that the token is spent, it was; the new refresh token is lost, and a
    /// person must sign in. Any other failure leaves the mark.
    ///
    /// `first` is the error that the exchange itself ended with, if it was just sent.
    pub(super) fn resolve_extension(
        &self,
        connection: &Snapshot,
        mut tokens: Tokens,
        secret: &mut RenewalSecret,
        first: Option<Error>,
    ) -> Result<(Tokens, Decision)> {
        match self.renew_by_refresh_token(connection, &mut tokens, secret) {
            Ok(()) => {
                self.emit_notice(Notice::ExtensionNotApplied {
                    connection: self.label(),
                    why: first.as_ref().map(with_source),
                });
                Ok((tokens, Decision::Renewed))
            }
            Err(TokenError::Revoked(_)) => {
                // Remove the spent token, so that it is never sent again. The mark stays, so that
                // later processes know why there is none.
                tokens.refresh = None;
                tokens.access = None;
                self.store_best_effort(connection, &tokens);
                Err(self.sign_in_needed(SignInNeeded::ExtensionLost))
            }
            Err(error) => Err(first.unwrap_or_else(|| error.into_error(connection))),
        }
    }
}

/// Whether the keychain failed for one of these reasons.
fn is_one_of(reasons: &[KeychainReason], error: &Error) -> bool {
    match error {
        Error::Keychain { error, .. } => reasons.contains(&error.reason),
        _ => false,
    }
}

/// The error and what caused it, in one line.
fn with_source(error: &Error) -> String {
    std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The record after an exchange. The access tokens from the old refresh token have ended, those for
/// servers included.
fn tokens_after_exchange(old: Tokens, response: TokenResponse) -> Tokens {
    let mut tokens = Tokens {
        refresh: response.refresh,
        access_tokens_valid_until: None,
        exchange_started: false,
        exchange_unsupported: false,
        servers: Vec::new(),
        username: response.username.or(old.username),
        ..old
    };
    tokens.set_access_token(response.access);
    tokens
}
