//! `age-oauth` alone: one screen with the connections, who is signed in until when, and what to type next.

use crate::cli::report::Outcome;
use crate::cli::words::{escape, from_now, table, typed, PLAINTEXT};
use crate::cli::Desk;
use crate::connection::Connection;
use crate::store::{Listing, Plaintext};

pub(in crate::cli) fn overview(desk: &mut Desk) -> Outcome {
    let store = desk.store()?;
    let listing = store.list(None)?;
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        desk.answer("No connections yet. Add your portal:")?;
        desk.answer("  age-oauth connections add")?;
        return desk.answer("Everything else: age-oauth --help");
    }
    for connection in &listing.connections {
        desk.warn_of_the_end(connection);
    }
    let default = store.default_id()?;
    let text = rows(
        desk,
        &listing,
        default
            .as_ref()
            .map(crate::connection::ConnectionId::as_str),
    );
    desk.answer(text.trim_end())?;
    desk.answer("")?;
    desk.answer(&next(desk, &listing))?;
    desk.answer("Everything else: age-oauth --help")
}

/// The table that `connections list` shows on a terminal, too.
pub(super) fn rows(desk: &Desk, listing: &Listing, default: Option<&str>) -> String {
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
            escape(connection.portal.as_str()),
            connection.grant.as_str().to_owned(),
            signed_in(desk, connection),
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
            PLAINTEXT.into(),
        ]);
    }
    table(&rows)
}

fn signed_in(desk: &Desk, connection: &Connection) -> String {
    let status = &connection.status;
    if connection.grant.is_application() {
        return "by its client secret".into();
    }
    let (Some(username), Some(end)) = (&status.username, status.refresh_expires_at) else {
        return "no".into();
    };
    let now = desk.context.now();
    let verb = if end > now { "ends" } else { "ended" };
    format!("{} ({verb} {})", escape(username), from_now(end, now))
}

fn next(desk: &Desk, listing: &Listing) -> String {
    if listing.connections.is_empty() {
        return "Next: age-oauth connections import".into();
    }
    let now = desk.context.now();
    let needs_sign_in = listing.connections.iter().find(|connection| {
        !connection.grant.is_application()
            && connection
                .status
                .refresh_expires_at
                .is_none_or(|end| end <= now)
    });
    match needs_sign_in {
        Some(connection) => format!(
            "Next: age-oauth login -c {}",
            typed(connection.label.as_str())
        ),
        None => {
            "Next: age-oauth token, age-oauth whoami, or eval \"$(age-oauth export-env)\"".into()
        }
    }
}
