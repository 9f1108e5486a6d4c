//! Access tokens for servers that the portal grants tokens for.

use super::records::is_lost;
use super::{Session, TokenRequest, UsableToken};
use crate::error::{Error, Refusal, Result};
use crate::event::Decision;
use crate::http::CallError;
use crate::portal;
use crate::secret::Secret;
use crate::token::AccessToken;

impl Session {
    /// A token for a server, by its root: the cached one, or one that the portal grants now.
    ///
    /// [`Error::Refused`] for a server that the portal does not grant tokens for. Nothing is sent
    /// to the server; what it says about itself does not count.
    pub fn server_token(&self, root: &str, request: &TokenRequest) -> Result<UsableToken> {
        self.check_machine_policy()?;
        let stored = match self.read_tokens(&self.opened) {
            Ok(tokens) => tokens,
            // Another process may be writing. `access_token` reads again under the lock.
            Err(error) if is_lost(&error) => None,
            Err(error) => return Err(error),
        };
        self.check_not_ended_by_policy(stored.as_ref())?;
        let cached = stored
            .as_ref()
            .filter(|_| !self.is_ended_by_portal(&self.opened, stored.as_ref()))
            .and_then(|tokens| tokens.server_token(root, request.min_ttl, self.context.now()))
            .map(AccessToken::duplicate);
        if let (Some(access), false) = (cached, request.force) {
            self.emit_decision(Decision::Cached);
            return Ok(UsableToken::new(access, stored.as_ref(), Decision::Cached));
        }
        let (access, sent) = self.request_server_token(root)?;
        if self.has_api_key() {
            self.note_accepted_api_key();
            // Nothing is cached for a key: after it was replaced, its tokens must not be used.
        } else {
            self.cache_server_token(root, &access, &sent.access.secret)?;
        }
        self.emit_decision(Decision::Renewed);
        // It belongs to the user whose token was sent, also if another one has signed in meanwhile.
        Ok(UsableToken {
            access,
            decision: Decision::Renewed,
            ..sent
        })
    }

    /// Caches a server's token that the portal granted for the portal's token `sent`. The portal
    /// was asked without the lock. If another process has signed in or extended the sign-in
    /// meanwhile, the token is another user's or has ended, and is not cached.
    fn cache_server_token(&self, root: &str, access: &AccessToken, sent: &Secret) -> Result<()> {
        let locked = self.lock_unchanged()?;
        let Some(mut tokens) = self.read_tokens(&locked.connection)? else {
            return Ok(());
        };
        let is_same = |cached: &AccessToken| cached.secret.matches(sent.expose());
        if tokens.access.as_ref().is_some_and(is_same) {
            tokens.cache_server_token(root, access.duplicate(), self.context.now());
            self.store_best_effort(&locked.connection, &tokens);
        }
        Ok(())
    }

    /// Asks the portal for the server's token. Also returns the portal's token that was sent for
    /// it; one that the portal rejects is renewed once.
    fn request_server_token(&self, root: &str) -> Result<(AccessToken, UsableToken)> {
        let mut sent = self.access_token(&TokenRequest::default())?;
        let response = match self.send_server_token_request(root, &sent.access.secret) {
            Err(CallError::Portal(error)) if error.is_invalid_token() => {
                sent = self.access_token_instead_of(&sent.access.secret)?;
                self.send_server_token_request(root, &sent.access.secret)
            }
            other => other,
        };
        let access = response.map_err(|error| match error {
            CallError::Failed { error, .. } => error.about(self.opened.label.as_str()),
            CallError::Portal(error) => Error::Refused {
                connection: Some(self.label()),
                url: root.to_owned(),
                why: Refusal::Server(error.text),
            },
        })?;
        Ok((access, sent))
    }

    fn send_server_token_request(
        &self,
        root: &str,
        portal_token: &Secret,
    ) -> std::result::Result<AccessToken, CallError> {
        // The portal's token comes from a read with the same settings, see `lock_unchanged`.
        let http = self
            .opened
            .http(&self.context)
            .map_err(|error| CallError::Failed { error, sent: false })?;
        portal::server_token(http, root, portal_token, self.context.now())
    }
}
