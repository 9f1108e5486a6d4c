//! OAuth 2.0 as ArcGIS portals speak it: one function for each grant, and revoking. The protocol's
//! words (*grant*, *exchange*, *refresh*) are used here; the rest of the program says *renew* and
//! *extend*.
//!
//! Sources: Esri's reference pages "Authorize", "Token" and "Revoke Token" of the sharing REST API.
//! Errors come with HTTP status 200, in a JSON object.

use jiff::Timestamp;

use crate::connection::Connection;
use crate::error::{Error, Refusal, Result, SignInNeeded};
use crate::http::{CallError, Field, Http, PortalError, Retry};
use crate::secret::Secret;
use crate::token::RefreshToken;

mod authorization_error;
mod pasted;
mod sign_in;
mod token_response;

pub use authorization_error::AuthorizationError;
#[cfg(feature = "cli")]
pub(crate) use sign_in::sign_in_page;
pub use sign_in::{AuthorizationCode, AuthorizationResponse, SignInAttempt, SignInOptions};
pub use token_response::TokenResponse;

use token_response::not_a_token_endpoint;

/// The token endpoint's code for a refresh token that has expired or was revoked.
const INVALID_REFRESH_TOKEN: i64 = 498;

/// RFC 6749's word for a client ID that does not fit its client secret.
const INVALID_CLIENT: &str = "invalid_client";

/// Gets a new access token for a user (`refresh_token` grant). The refresh token stays the same and
/// keeps its end; portals return none here.
pub fn refresh(
    http: &Http,
    connection: &Connection,
    token: &RefreshToken,
    client_secret: Option<&Secret>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let mut form = client_fields(connection, client_secret);
    form.extend([
        ("grant_type", Field::Plain("refresh_token")),
        ("refresh_token", Field::Secret(&token.secret)),
    ]);
    request_tokens(http, connection, &form, Retry::Freely, now)
}

/// Gets a new refresh token, and an access token with it (`exchange_refresh_token` grant, since
/// 10.6). The old refresh token and all access tokens from it end the moment the portal answers.
/// Unlike the `refresh_token` grant, this one requires the redirect URI. Source: Esri, "Token".
pub fn exchange(
    http: &Http,
    connection: &Connection,
    token: &RefreshToken,
    client_secret: Option<&Secret>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let redirect_uri = connection.grant.redirect_uri();
    let mut form = client_fields(connection, client_secret);
    form.extend([
        ("grant_type", Field::Plain("exchange_refresh_token")),
        ("redirect_uri", Field::Plain(redirect_uri)),
        ("refresh_token", Field::Secret(&token.secret)),
    ]);
    // Sent once: after the first time the token is spent.
    let response = request_tokens(http, connection, &form, Retry::OnlyUnsent, now)?;
    if response.refresh.is_none() {
        return Err(TokenError::Lost(not_a_token_endpoint(http.portal())));
    }
    Ok(response)
}

/// Gets an access token for the application itself (`client_credentials` grant). `minutes` asks for
/// another life than the portal's default of two hours.
pub fn client_credentials(
    http: &Http,
    connection: &Connection,
    client_secret: &Secret,
    minutes: Option<i64>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let minutes = minutes.map(|minutes| minutes.to_string());
    let mut form = client_fields(connection, Some(client_secret));
    form.push(("grant_type", Field::Plain("client_credentials")));
    if let Some(minutes) = &minutes {
        form.push(("expiration", Field::Plain(minutes)));
    }
    request_tokens(http, connection, &form, Retry::Freely, now)
}

/// Revokes a token. With a refresh token, its access tokens end, too. `hint` is its kind,
/// `refresh_token` or `access_token`.
///
/// The portal reports success for a token that it does not know as well. Source: Esri, "Revoke
/// Token".
pub fn revoke(http: &Http, connection: &Connection, token: &Secret, hint: &str) -> Result<()> {
    let form = [
        ("client_id", Field::Plain(&connection.client_id)),
        ("auth_token", Field::Secret(token)),
        ("token_type_hint", Field::Plain(hint)),
    ];
    let label = connection.label.as_str();
    match http.post("oauth2/revokeToken", &form, None, Retry::Freely) {
        Ok(_) => Ok(()),
        Err(CallError::Failed { error, .. }) => Err(error.about(label)),
        Err(CallError::Portal(error)) => Err(refusal(&error, connection, PortalError::as_refusal)),
    }
}

/// Why a token request failed, as far as it decides what to do next.
#[derive(Debug)]
pub enum TokenError {
    /// The portal does not accept the refresh token any more (498).
    Revoked(SignInNeeded),
    /// The portal does not know this grant type.
    UnknownGrant,
    /// The portal refused for another reason: the refresh token is not spent.
    Refused(Error),
    /// The request was not sent: the refresh token is not spent.
    Unsent(Error),
    /// The request was sent, and no usable answer came: the refresh token may be spent.
    Lost(Error),
}

impl TokenError {
    /// Whether the portal does not accept the client secret.
    #[must_use]
    pub fn is_about_the_client_secret(&self) -> bool {
        matches!(
            self,
            Self::Refused(Error::Refused {
                why: Refusal::ClientSecret | Refusal::PrintedClientSecret(_),
                ..
            })
        )
    }

    /// The error for a caller that has no alternative.
    #[must_use]
    pub fn into_error(self, connection: &Connection) -> Error {
        let label = connection.label.to_string();
        match self {
            Self::Revoked(why) => Error::SignInNeeded {
                connection: label,
                why,
            },
            Self::UnknownGrant => Error::Refused {
                connection: Some(label),
                url: connection.api_url().rest("oauth2/token"),
                why: Refusal::Other {
                    code: None,
                    text: "it does not know this kind of request".into(),
                },
            },
            Self::Refused(error) | Self::Unsent(error) | Self::Lost(error) => error.about(&label),
        }
    }
}

fn request_tokens(
    http: &Http,
    connection: &Connection,
    form: &[(&str, Field<'_>)],
    retry: Retry,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    match http.post("oauth2/token", form, None, retry) {
        Ok(answer) => token_response::read(&answer, http.portal(), now).map_err(TokenError::Lost),
        Err(CallError::Failed { error, sent: false }) => Err(TokenError::Unsent(error)),
        Err(CallError::Failed { error, sent: true }) => Err(TokenError::Lost(error)),
        Err(CallError::Portal(error)) => Err(classify(&error, connection)),
    }
}

/// Only code 498 means that the refresh token has ended; the text says whether it expired. RFC
/// 6749's `invalid_grant` appears in none of Esri's documents and clients.
fn classify(error: &PortalError, connection: &Connection) -> TokenError {
    let text = error.text.to_ascii_lowercase();
    if error.code == Some(INVALID_REFRESH_TOKEN) {
        return TokenError::Revoked(if text.contains("expired") {
            SignInNeeded::Expired
        } else {
            SignInNeeded::NoLongerAccepted
        });
    }
    // What a portal answers to an unknown grant type is not documented. We expect it to name the
    // `grant_type`.
    if text.contains("grant") {
        return TokenError::UnknownGrant;
    }
    TokenError::Refused(refusal(error, connection, PortalError::as_refusal))
}

/// Turns the portal's refusal into the error that names the field to correct. The names and texts
/// are those that Esri's clients and their tests know.
fn refusal(
    error: &PortalError,
    connection: &Connection,
    otherwise: impl FnOnce(&PortalError) -> Refusal,
) -> Error {
    let kind = error.kind.as_deref().unwrap_or_default();
    let text = error.text.to_ascii_lowercase();
    let why = if kind == "invalid_client_id" || text.contains("client_id") {
        Refusal::ClientId
    } else if kind == INVALID_CLIENT
        || text.contains("client_secret")
        || text.contains("client secret")
    {
        match &connection.secret_command {
            Some(command) => Refusal::PrintedClientSecret(command.name()),
            None => Refusal::ClientSecret,
        }
    } else if text.contains("redirect_uri") {
        Refusal::RedirectUri(connection.grant.redirect_uri().to_owned())
    } else if error.code == Some(403) {
        Refusal::Privilege
    } else {
        otherwise(error)
    };
    Error::Refused {
        connection: Some(connection.label.to_string()),
        url: connection.api_url().as_str().to_owned(),
        why,
    }
}

/// The fields that name the application. Every Esri client sends them in the body; none uses HTTP
/// Basic authentication.
fn client_fields<'a>(
    connection: &'a Connection,
    secret: Option<&'a Secret>,
) -> Vec<(&'static str, Field<'a>)> {
    let mut form = vec![("client_id", Field::Plain(&connection.client_id))];
    if let Some(secret) = secret {
        form.push(("client_secret", Field::Secret(secret)));
    }
    form
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::connection::{Grant, RedirectUri};

    #[test]
    fn a_refusal_names_the_field_to_correct() {
        let why = |kind: Option<&str>, code: i64, text: &str| {
            let error = PortalError {
                status: 200,
                code: Some(code),
                kind: kind.map(str::to_owned),
                text: text.into(),
                details: Vec::new(),
                message_code: None,
                url: String::new(),
            };
            let connection = Connection::new(
                "prod".parse().unwrap(),
                "https://h/portal".parse().unwrap(),
                Grant::Application,
                "client1".into(),
            );
            match refusal(&error, &connection, PortalError::as_refusal) {
                Error::Refused { why, .. } => why,
                other => panic!("{other}"),
            }
        };
        for (kind, text) in [
            (Some("invalid_client_id"), "no"),
            (None, "Invalid client_id"),
        ] {
            assert_eq!(why(kind, 400, text), Refusal::ClientId);
        }
        for text in ["Invalid client_secret", "Invalid Client Secret"] {
            assert_eq!(why(None, 400, text), Refusal::ClientSecret);
        }
        assert_eq!(
            why(Some("invalid_client"), 400, "Client authentication failed"),
            Refusal::ClientSecret
        );
        assert_eq!(
            why(None, 400, "Invalid redirect_uri"),
            Refusal::RedirectUri(RedirectUri::OUT_OF_BAND.into())
        );
        assert_eq!(why(Some("x"), 403, "no right"), Refusal::Privilege);
        assert!(matches!(
            why(Some("x"), 400, "no"),
            Refusal::Other {
                code: Some(400),
                ..
            }
        ));
    }
}
