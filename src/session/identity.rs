//! Whom the connection's tokens are for, as the portal says.

use super::{Session, TokenRequest};
use crate::connection::Grant;
use crate::error::{Error, Refusal, Result};
use crate::http::Http;
use crate::portal::{self, AppInfo, Identity, IdentityError};
use crate::secret::Secret;

impl Session {
    /// The user or the application that the connection's tokens are for. A rejected token is
    /// renewed once.
    pub fn whoami(&self) -> Result<Identity> {
        let grant = &self.opened.grant;
        self.ask_with_token(|http, token| match grant {
            Grant::User { .. } | Grant::Network => {
                portal::username(http, token).map(|username| Identity::User { username })
            }
            Grant::Application => portal::app_info(http, token).map(Identity::Application),
            Grant::ApiKey { .. } => portal::identity(http, token),
        })
    }

    /// The registered application that this connection's tokens are issued to, a user's too. A
    /// rejected token is renewed once.
    pub fn app_info(&self) -> Result<AppInfo> {
        self.ask_with_token(portal::app_info)
    }

    fn ask_with_token<T>(
        &self,
        ask: impl Fn(&Http, &Secret) -> std::result::Result<T, IdentityError>,
    ) -> Result<T> {
        let token = self.access_token(&TokenRequest::default())?.access.secret;
        // The token comes from a read with the same settings, see `lock_unchanged`.
        let http = self.opened.http(&self.context)?;
        let answer = match ask(http, &token) {
            Err(IdentityError::TokenRejected) => {
                let renewed = self.access_token_instead_of(&token)?;
                ask(http, &renewed.access.secret)
            }
            other => other,
        };
        let answer = self.explain_identity(answer)?;
        self.confirm_api_url();
        self.note_accepted_api_key();
        Ok(answer)
    }

    /// Turns the portal's failure to say whom a token is for into an error of this connection.
    pub(super) fn explain_identity<T>(
        &self,
        answer: std::result::Result<T, IdentityError>,
    ) -> Result<T> {
        answer.map_err(|error| match error {
            IdentityError::Failed(error) => error.about(self.opened.label.as_str()),
            IdentityError::TokenRejected => Error::Refused {
                connection: Some(self.label()),
                url: self.opened.api_url().as_str().to_owned(),
                why: Refusal::FreshToken,
            },
        })
    }
}
