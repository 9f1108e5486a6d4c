//! Signing out: revokes the refresh token at the portal, and deletes the tokens here.

use super::{Locked, Session, Snapshot};
use crate::connection::Status;
use crate::error::Result;
use crate::event::{Decision, Notice};
use crate::keychain::{Item, ItemKind};
use crate::oauth;
use crate::policy::REVOKE_TIMEOUT;
use crate::secret::Secret;
use crate::token::{RefreshToken, Tokens};

/// What [`Session::sign_out`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedOut {
    /// Revoked at the portal, then deleted here.
    Revoked,
    /// Deleted here; the portal was not asked.
    Forgotten,
    /// Deleted here although revoking failed. The observer received the reason.
    NotRevoked,
    /// No sign-in was stored.
    Nothing,
}

impl Session {
    /// Revokes the sign-in at the portal, unless `keep_remote`, then deletes it here even if
    /// revoking failed. The connection and its client secret stay.
    pub fn sign_out(&self, keep_remote: bool) -> Result<SignedOut> {
        let Locked {
            lock, connection, ..
        } = self.lock()?;
        let outcome = self.forget_tokens(&connection, keep_remote)?;
        // The copies in `meta.json` come last: they must not say "signed out" before that is true.
        self.store.update(&lock, |connection| {
            connection.status = Status::default();
        })?;
        if outcome != SignedOut::Nothing {
            self.emit_decision(Decision::SignedOut);
        }
        Ok(outcome)
    }

    /// The part of signing out that concerns the portal and the keychain. An API key is deleted,
    /// and lives on at the portal, which has no request that ends it. The caller holds the renewal
    /// lock.
    pub(crate) fn forget_tokens(
        &self,
        connection: &Snapshot,
        keep_remote: bool,
    ) -> Result<SignedOut> {
        // A record that is damaged, or was stored for another portal or client ID, is deleted, but
        // its tokens are sent nowhere.
        let tokens = self.read_tokens(connection).ok().flatten();
        // Revoke while the refresh token is still stored: afterwards it could not be sent any more.
        let outcome = match &tokens {
            Some(_) if keep_remote => SignedOut::Forgotten,
            // There is nothing that the portal could revoke.
            Some(tokens) if tokens.refresh.is_none() => SignedOut::Forgotten,
            Some(tokens) if self.revoke(connection, tokens) => SignedOut::Revoked,
            Some(_) => SignedOut::NotRevoked,
            None => SignedOut::Forgotten,
        };
        // Delete it here even if the portal could not be reached: signing out must work offline.
        let found = self
            .keychain
            .delete(&Item::of(connection, ItemKind::Tokens))
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))?;
        let found_key = self
            .keychain
            .delete(&Item::of(connection, ItemKind::ApiKey))
            .map_err(|error| self.keychain_error(error, ItemKind::ApiKey))?;
        Ok(if found || found_key || tokens.is_some() {
            outcome
        } else {
            SignedOut::Nothing
        })
    }

    /// Revokes the refresh token, which ends its access tokens as well. Returns `false`, and emits
    /// a notice, if the portal could not be asked. Tokens without a refresh token cannot be revoked
    /// (Esri, "Revoke Token"), so there is nothing to do.
    pub(super) fn revoke(&self, connection: &Snapshot, tokens: &Tokens) -> bool {
        let Some(refresh) = &tokens.refresh else {
            return true;
        };
        let revoked = connection
            .http(&self.context)
            .and_then(|http| oauth::revoke(http, connection, &refresh.secret, "refresh_token"));
        self.report_revoked(&revoked)
    }

    /// The same for a sign-in that is stored nowhere. It would live on at the portal without an
    /// owner, so the portal is asked even if the time of the whole command is up.
    pub(super) fn revoke_in_any_case(&self, connection: &Snapshot, tokens: &Tokens) -> bool {
        let Some(refresh) = &tokens.refresh else {
            return true;
        };
        let revoked = connection
            .http_with_time(REVOKE_TIMEOUT, &self.context)
            .and_then(|http| oauth::revoke(&http, connection, &refresh.secret, "refresh_token"));
        self.report_revoked(&revoked)
    }

    fn report_revoked(&self, revoked: &Result<()>) -> bool {
        if let Err(error) = revoked {
            self.emit_notice(Notice::NotRevoked {
                connection: self.label(),
                why: error.to_string(),
            });
        }
        revoked.is_ok()
    }

    /// Revokes a refresh token of this connection that is not in the keychain. Returns `false`, and
    /// emits a notice, if the portal could not be asked.
    pub fn revoke_stray(&self, refresh_token: Secret) -> bool {
        if let Err(error) = self.check_settings(&self.opened) {
            self.emit_notice(Notice::NotRevoked {
                connection: self.label(),
                why: error.to_string(),
            });
            return false;
        }
        let mut tokens = Tokens::new(self.opened.binding().clone());
        tokens.refresh = Some(RefreshToken {
            secret: refresh_token,
            issued_at: self.context.now(),
            expires_at: None,
        });
        self.revoke(&self.opened, &tokens)
    }
}
