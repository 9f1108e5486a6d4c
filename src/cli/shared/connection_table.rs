//! The table of connections that `connections list` and `age-oauth` alone show.

use jiff::Timestamp;

use crate::cli::format::{escape, from_now, not_imported, table};
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant};
use crate::store::{Listing, Plaintext};

/// One row for each connection, with a header.
pub(in crate::cli) fn rows(
    ctx: &CommandContext,
    listing: &Listing,
    default: Option<&str>,
) -> String {
    let mut rows = vec![["", "LABEL", "PORTAL", "KIND", "SIGNED IN"]
        .map(str::to_owned)
        .to_vec()];
    for connection in &listing.connections {
        let mark = if default == Some(connection.id.as_str()) {
            "*"
        } else {
            ""
        };
        rows.push(vec![
            mark.to_owned(),
            escape(connection.label.as_str()),
            escape(connection.browser_url().as_str()),
            connection.grant.as_str().to_owned(),
            signed_in(ctx, connection),
        ]);
    }
    for Plaintext {
        label, portal_url, ..
    } in &listing.plaintext
    {
        rows.push(vec![
            String::new(),
            escape(label),
            escape(portal_url),
            String::new(),
            not_imported(),
        ]);
    }
    table(&rows)
}

fn signed_in(ctx: &CommandContext, connection: &Connection) -> String {
    let status = &connection.status;
    match (&connection.grant, &status.username) {
        (Grant::User { .. }, _) => {}
        (Grant::Application, _) => return "by its client secret".into(),
        (Grant::Network, Some(username)) => {
            return format!("{} (by the web server)", escape(username))
        }
        (Grant::Network, None) => return "no".into(),
        (Grant::ApiKey { expires_at }, username) => {
            let Some(username) = username else {
                return "no API key".into();
            };
            if status.api_key_refused_at.is_some() {
                return format!("{} (not accepted by the portal)", escape(username));
            }
            let Some(end) = expires_at else {
                return format!("{} (its end is not known)", escape(username));
            };
            return of_whom(username, *end, ctx.context.now());
        }
    }
    let (Some(username), Some(end)) = (&status.username, status.refresh_expires_at) else {
        return "no".into();
    };
    of_whom(username, end, ctx.context.now())
}

fn of_whom(username: &str, end: Timestamp, now: Timestamp) -> String {
    let verb = if end > now { "expires" } else { "expired" };
    format!("{} ({verb} {})", escape(username), from_now(end, now))
}
