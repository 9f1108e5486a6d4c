//! Whether the portal knows the client ID and the redirect URI of a connection: if not, its sign-in
//! page says so.

use crate::connection::Connection;
use crate::error::Error;
use crate::http::Http;
use crate::oauth::sign_in_page;

/// What the portal's sign-in page says.
pub(in crate::cli) enum Registration {
    /// It knows both.
    Known,
    /// It does not know the client ID.
    UnknownClientId,
    /// The redirect URI is not registered with the application.
    UnknownRedirectUri,
    /// It answers with this HTTP status, which says neither.
    Unclear(u16),
}

/// Asks the portal for the sign-in page of the connection.
pub(in crate::cli) fn registration(
    client: &Http,
    connection: &Connection,
) -> Result<Registration, Error> {
    let (status, text) = client.page(&sign_in_page(connection)?, &[])?;
    Ok(if text.contains("Invalid client_id") {
        Registration::UnknownClientId
    } else if text.contains("Invalid redirect_uri") {
        Registration::UnknownRedirectUri
    } else if status < 400 {
        Registration::Known
    } else {
        Registration::Unclear(status)
    })
}
