//! What a portal reports in place of an authorization code, and which error that is.

use crate::connection::Connection;
use crate::error::{Error, Refusal, Unreachable};
use crate::text::one_line;

/// The longest message of a portal that is shown, in characters.
const LONGEST_MESSAGE: usize = 200;

/// An error that the portal reports to the redirect URI (RFC 6749 section 4.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationError {
    /// The protocol's word for it, in one line.
    pub error: String,
    /// The portal's message, in one line; absent if the portal sent none.
    pub description: Option<String>,
}

impl AuthorizationError {
    pub(super) fn new(error: &str, description: Option<&str>) -> Self {
        let line = |text: &str| one_line(text, LONGEST_MESSAGE);
        Self {
            error: line(error),
            description: description
                .map(line)
                .filter(|description| !description.is_empty()),
        }
    }

    /// The error that the portal shows in the browser in place of a redirect, where that is what
    /// was pasted: `Error 400: Invalid redirect_uri`.
    pub(super) fn of_page(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let is_error = ["invalid redirect_uri", "invalid client_id"]
            .iter()
            .any(|error| lower.contains(error));
        if !is_error {
            return None;
        }
        Some(Self::new("invalid_request", Some(text)))
    }

    pub(super) fn text(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.error)
    }

    /// The error for the caller: what to correct, or that the portal is not available now.
    #[must_use]
    pub fn into_error(self, connection: &Connection) -> Error {
        let said = format!("{} {}", self.error, self.text()).to_ascii_lowercase();
        let names = |words: [&str; 2]| words.iter().any(|word| said.contains(word));
        let why = match &*self.error {
            "access_denied" => Refusal::Denied,
            "server_error" | "temporarily_unavailable" => {
                return Error::Unreachable {
                    connection: Some(connection.label.to_string()),
                    url: connection.browser_url().as_str().to_owned(),
                    why: Unreachable::Reported(self.text().to_owned()),
                }
            }
            _ if names(["redirect_uri", "redirect uri"]) => {
                Refusal::RedirectUri(connection.grant.redirect_uri().to_owned())
            }
            _ if names(["client_id", "invalid_client"]) => Refusal::ClientId,
            "unauthorized_client" => Refusal::Application(self.text().to_owned()),
            _ => Refusal::SignIn(self.text().to_owned()),
        };
        Error::Refused {
            connection: Some(connection.label.to_string()),
            url: connection.browser_url().as_str().to_owned(),
            why,
        }
    }
}
