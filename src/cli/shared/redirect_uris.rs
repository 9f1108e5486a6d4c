//! Loopback redirect URIs of several connections. If two portals redirect to the same one, a
//! hostile portal can forward a sign-in to the other, and gets the other's code (RFC 9700 section
//! 4.4): the response does not say where it comes from.

use crate::cli::format::{escape, shell_quoted};
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant, LoopbackUri, PortalUrl, RedirectUri};
use crate::store::ConnectionStore;

/// The loopback redirect URI of a connection.
fn loopback(connection: &Connection) -> Option<&LoopbackUri> {
    match &connection.grant {
        Grant::User {
            redirect_uri: RedirectUri::Loopback(uri),
            ..
        } => Some(uri),
        _ => None,
    }
}

/// The first of these connections that has the redirect URI of `connection`, and another portal.
pub(in crate::cli) fn shared_with<'a>(
    connection: &Connection,
    all: &'a [Connection],
) -> Option<&'a Connection> {
    let uri = loopback(connection)?;
    all.iter().find(|other| {
        other.browser_url() != connection.browser_url()
            && loopback(other).is_some_and(|other| {
                (other.host(), other.port(), other.path()) == (uri.host(), uri.port(), uri.path())
            })
    })
}

/// What is wrong where two connections share a redirect URI.
pub(in crate::cli) fn problem(connection: &Connection, other: &Connection) -> String {
    format!(
        "`{}` has the redirect URI of `{}`, which is at another portal; a dishonest portal could get a sign-in to the other one that way",
        escape(connection.label.as_str()),
        escape(other.label.as_str())
    )
}

/// What to run about it.
pub(in crate::cli) fn remedy(connection: &Connection, all: &[Connection]) -> String {
    format!(
        "register one of its own at the portal, then: age-oauth connections edit {} --redirect-uri {}",
        shell_quoted(connection.label.as_str()),
        unshared(connection.browser_url(), all)
    )
}

/// Warns if a connection that was added or changed shares its redirect URI.
pub(in crate::cli) fn warn_if_shared(
    ctx: &CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
) {
    // The change is made; a store that cannot be listed is reported by other commands.
    let Ok(listing) = store.list(None) else {
        return;
    };
    if let Some(other) = shared_with(connection, &listing.connections) {
        ctx.console.warn(&format!(
            "{}; {}",
            problem(connection, other),
            remedy(connection, &listing.connections)
        ));
    }
}

/// A loopback redirect URI to propose for a portal: the usual one, with a port that no connection
/// to another portal has.
pub(in crate::cli) fn unshared(portal: &PortalUrl, all: &[Connection]) -> String {
    let is_taken = |port: u16| {
        all.iter().any(|other| {
            other.browser_url() != portal && loopback(other).is_some_and(|uri| uri.port() == port)
        })
    };
    (0..u16::MAX - RedirectUri::DEFAULT_PORT)
        .map(|offset| RedirectUri::DEFAULT_PORT + offset)
        .find(|port| !is_taken(*port))
        .map_or_else(
            || RedirectUri::DEFAULT_LOOPBACK.to_owned(),
            RedirectUri::loopback_at,
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connection(label: &str, portal: &str, redirect_uri: &str) -> Connection {
        Connection::new(
            label.parse().unwrap(),
            portal.parse().unwrap(),
            Grant::User {
                redirect_uri: redirect_uri.parse().unwrap(),
                pkce: true,
            },
            "client1".into(),
        )
    }

    #[test]
    fn each_portal_is_proposed_a_port_of_its_own() {
        let (one, two) = ("https://one/portal", "https://two/portal");
        let usual = RedirectUri::DEFAULT_LOOPBACK;
        let all = [connection("a", one, usual)];
        assert_eq!(unshared(&one.parse().unwrap(), &all), usual);
        let next = "http://127.0.0.1:53683/callback";
        assert_eq!(unshared(&two.parse().unwrap(), &all), next);
    }

    #[test]
    fn only_connections_to_different_portals_share_a_redirect_uri() {
        let (one, two) = ("https://one/portal", "https://two/portal");
        let uri = "http://127.0.0.1:53682/callback";
        let a = connection("a", one, uri);
        let shares =
            |portal: &str, uri: &str| shared_with(&a, &[connection("b", portal, uri)]).is_some();
        assert!(shares(two, uri));
        assert!(shares(two, "http://127.0.0.1:53682/callback?x=y"));
        assert!(!shares(one, uri));
        assert!(!shares(two, "http://127.0.0.1:53683/callback"));
        // The listener refuses requests for another host name.
        assert!(!shares(two, "http://localhost:53682/callback"));
        assert!(!shares(two, RedirectUri::OUT_OF_BAND));
    }
}
