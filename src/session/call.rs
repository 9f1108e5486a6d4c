//! Calls to the portal, or to a server that it grants tokens for, with the token that belongs
//! there.

use super::{Session, TokenRequest};
use crate::error::{Error, Refusal, Result};
use crate::federation::Target;
use crate::http::{CallError, Http};
use crate::portal;
use crate::secret::Secret;

impl Session {
    /// Runs `call` with the token for `target`. Where the token is rejected, renews it and calls
    /// once more. A call that is refused for lack of a privilege (403) is not repeated: another
    /// token would have the same privileges.
    pub(crate) fn call<T>(
        &self,
        target: &Target,
        mut call: impl FnMut(&Http, &Secret) -> std::result::Result<T, CallError>,
    ) -> Result<T> {
        let token = self.token_for(target, false)?;
        // The token comes from a read with the same settings, see `lock_unchanged`.
        let http = self.opened.http(&self.context)?;
        let result = match call(http, &token) {
            Err(CallError::Portal(error)) if error.is_invalid_token() => {
                let renewed = match target.server() {
                    Some(_) => self.token_for(target, true)?,
                    None => self.access_token_instead_of(&token)?.access.secret,
                };
                call(http, &renewed).map_err(|error| second_error(error, http))
            }
            other => other.map_err(|error| portal::into_error(error, http)),
        };
        if result.is_ok() {
            self.note_accepted_api_key();
        }
        result.map_err(|error| error.about(self.opened.label.as_str()))
    }

    fn token_for(&self, target: &Target, force: bool) -> Result<Secret> {
        let request = TokenRequest {
            force,
            ..TokenRequest::default()
        };
        let token = match target.server() {
            Some(root) => self.server_token(root, &request)?,
            None => self.access_token(&request)?,
        };
        Ok(token.access.secret)
    }
}

/// If the portal rejects a token that was renewed a moment ago, the cause is not its age; it may be
/// a wrong Referer.
fn second_error(error: CallError, http: &Http) -> Error {
    match error {
        CallError::Portal(error) if error.is_invalid_token() => Error::Refused {
            connection: None,
            url: error.url.clone(),
            why: Refusal::FreshToken,
        },
        error => portal::into_error(error, http),
    }
}
