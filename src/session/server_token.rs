//! Access tokens for servers that the portal grants tokens for.

use super::{Locked, Session, TokenRequest, UsableToken};
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
        let stored = self.read_tokens(&self.opened)?;
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
        let (access, username) = self.request_server_token(root)?;
        if self.has_api_key() {
            self.note_accepted_api_key();
            // Nothing is cached for a key: after it was replaced, its tokens must not be used.
            self.emit_decision(Decision::Renewed);
            let mut token = UsableToken::new(access, None, Decision::Renewed);
            token.username = username;
            return Ok(token);
        }
        // Cache it. The portal was asked without the lock, so read the record again under it.
        let Locked {
            lock, connection, ..
        } = self.lock_unchanged()?;
        let mut stored = self.read_tokens(&connection)?;
        if let Some(tokens) = &mut stored {
            tokens.cache_server_token(root, access.duplicate(), self.context.now());
            self.store_best_effort(&connection, tokens);
        }
        drop(lock);
        self.emit_decision(Decision::Renewed);
        Ok(UsableToken::new(access, stored.as_ref(), Decision::Renewed))
    }

    /// Asks the portal for the server's token, and says whom the portal's token is for. A rejected
    /// portal token is renewed once.
    fn request_server_token(&self, root: &str) -> Result<(AccessToken, Option<String>)> {
        let token = self.access_token(&TokenRequest::default())?;
        let (portal_token, username) = (token.access.secret, token.username);
        let response = match self.send_server_token_request(root, &portal_token) {
            Err(CallError::Portal(error)) if error.is_invalid_token() => {
                let renewed = self.access_token_instead_of(&portal_token)?;
                self.send_server_token_request(root, &renewed.access.secret)
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
        Ok((access, username))
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
