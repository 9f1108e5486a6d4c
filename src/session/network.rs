//! Network connections: their tokens are for the user whom the web server in front of the portal
//! vouches for. Nothing on this machine says who that is, so that each new token is asked whose it
//! is before it is used.

use super::{Locked, Session, Snapshot, TokenRequest};
use crate::error::{Error, Refusal, Result, SignInNeeded};
use crate::event::Decision;
use crate::http::CallError;
use crate::policy;
use crate::portal;
use crate::token::{AccessToken, Tokens};

/// A token that is not stored yet, and whose it is.
pub(super) struct Vouched {
    access: AccessToken,
    minutes: i64,
    pub(super) username: String,
}

impl Vouched {
    /// The record of these tokens.
    pub(super) fn into_tokens(self, connection: &Snapshot) -> Tokens {
        let mut tokens = Tokens::new(connection.binding().clone());
        tokens.set_access_token(self.access);
        tokens.asked_minutes = Some(self.minutes);
        tokens.username = Some(self.username);
        tokens
    }
}

impl Session {
    /// Gets a new token for the user that the connection belongs to. One for another user is
    /// neither stored nor returned.
    pub(super) fn renew_network(
        &self,
        locked: &Locked,
        belongs_to: &str,
        request: &TokenRequest,
    ) -> Result<(Tokens, Decision)> {
        self.check_not_failed_meanwhile(locked)?;
        let connection = &locked.connection;
        let vouched = self.vouched(connection, request)?;
        if !policy::is_same_user(&vouched.username, belongs_to) {
            return Err(self.sign_in_needed(SignInNeeded::VouchedForOther {
                stored: belongs_to.to_owned(),
                vouched: vouched.username,
            }));
        }
        let tokens = vouched.into_tokens(connection);
        self.store_best_effort(connection, &tokens);
        Ok((tokens, Decision::Renewed))
    }

    /// Asks the portal for a token, and whose it is.
    pub(super) fn vouched(&self, connection: &Snapshot, request: &TokenRequest) -> Result<Vouched> {
        // A request that the web server vouches for without an answer is that of an unknown user.
        connection.check_kind()?;
        let http = connection.http(&self.context)?;
        let referer = connection.sent_referer().unwrap_or_default();
        let minutes = policy::network_minutes(request.min_ttl);
        let access = portal::network_token(http, referer, minutes, self.context.now())
            .map_err(|error| self.not_vouched(error, connection))?;
        let username = self.explain_identity(portal::username(http, &access.secret))?;
        Ok(Vouched {
            access,
            minutes,
            username,
        })
    }

    fn not_vouched(&self, error: CallError, connection: &Snapshot) -> Error {
        match error {
            CallError::Failed { error, .. } => error.about(connection.label.as_str()),
            CallError::Portal(error) => Error::Refused {
                connection: Some(self.label()),
                url: connection.api_url().rest("generateToken"),
                why: Refusal::Network(error.whole_text()),
            },
        }
    }

    /// The tokens of a new sign-in. Waits for the lock, as storing them will, and asks the portal
    /// without it.
    pub(super) fn vouched_for_sign_in(&self) -> Result<Tokens> {
        let Locked {
            lock, connection, ..
        } = self.lock_unchanged()?;
        drop(lock);
        let vouched = self.vouched(&connection, &TokenRequest::default())?;
        Ok(vouched.into_tokens(&connection))
    }
}
