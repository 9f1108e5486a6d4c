//! Where a connection may answer the sign-in of a web server.

use super::client_certificate::new_origin;
use crate::connection::{Connection, PortalUrl, PortalUrls, Tls, WebTier};
use crate::error::{Error, Result};
use crate::http;

/// Refuses Windows sign-in where it would be answered to anyone, or cannot be answered. A Kerberos
/// token that a server in between gets lets that server send one request in the user's name.
pub fn check_windows_sign_in(api: &PortalUrl, tls: &Tls) -> Result<()> {
    let bad = |why: &str| Err(Error::invalid("web tier", why));
    if !http::can_answer_windows_sign_in() {
        return bad("this version answers Windows sign-in on Linux, macOS and Windows only; elsewhere, programs reach the portal at an address without it (--api-url URL)");
    }
    if *tls == Tls::Unverified {
        return bad("Windows sign-in is answered only to a portal whose certificate is verified; trust the portal's certificate (--verify-ssl FILE, or pin:FILE), or answer no sign-in (--web-tier none)");
    }
    if !api.as_str().starts_with("https://") {
        return bad("Windows sign-in is answered over https alone, and the portal's URL for programs begins with http");
    }
    Ok(())
}

/// The same for a connection as it will be.
pub(super) fn check(connection: &Connection) -> Result<()> {
    match connection.web_tier {
        WebTier::None => Ok(()),
        WebTier::Windows(_) => check_windows_sign_in(connection.api_url(), &connection.tls),
    }
}

/// Refuses Windows sign-in that was chosen for the `former` addresses where one of those `after` a
/// change is at another origin.
pub fn check_windows_sign_in_stays(former: &PortalUrls, after: &PortalUrls) -> Result<()> {
    new_origin(former, after).map_or(Ok(()), |place| {
        let why = format!(
            "Windows sign-in was not chosen for {place}, and is answered to no other server"
        );
        Err(Error::invalid("web tier", why))
    })
}

/// Puts a change into a connection whose addresses have changed already.
pub(super) fn apply(
    change: Option<&WebTier>,
    connection: &mut Connection,
    former: &PortalUrls,
) -> Result<()> {
    match change {
        Some(web_tier) => connection.web_tier = web_tier.clone(),
        None if connection.web_tier == WebTier::None => {}
        None => check_windows_sign_in_stays(former, &connection.urls)?,
    }
    Ok(())
}
