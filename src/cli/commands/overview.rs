//! `age-oauth` alone: one screen with the connections, who is signed in until when, and what to type next.

use crate::cli::failure::Outcome;
use crate::cli::format::{escape, from_now, shell_quoted, table, PLAINTEXT};
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::store::{Listing, Plaintext};

pub(in crate::cli) fn overview(ctx: &mut CommandContext) -> Outcome {
    let store = ctx.store()?;
    let listing = store.list(None)?;
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        ctx.answer("No connections yet. Add your portal:")?;
        ctx.answer("  age-oauth connections add")?;
        return ctx.answer("Everything else: age-oauth --help");
    }
    for connection in &listing.connections {
        ctx.warn_of_the_end(connection);
    }
    let default = store.default_id()?;
    let text = rows(
        ctx,
        &listing,
        default
            .as_ref()
            .map(crate::connection::ConnectionId::as_str),
    );
    ctx.answer(text.trim_end())?;
    ctx.answer("")?;
    ctx.answer(&next(ctx, &listing))?;
    ctx.answer("Everything else: age-oauth --help")
}

/// The table that `connections list` shows on a terminal, too.
pub(super) fn rows(ctx: &CommandContext, listing: &Listing, default: Option<&str>) -> String {
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
            PLAINTEXT.into(),
        ]);
    }
    table(&rows)
}

fn signed_in(ctx: &CommandContext, connection: &Connection) -> String {
    let status = &connection.status;
    if connection.grant.is_application() {
        return "by its client secret".into();
    }
    let (Some(username), Some(end)) = (&status.username, status.refresh_expires_at) else {
        return "no".into();
    };
    let now = ctx.context.now();
    let verb = if end > now { "ends" } else { "ended" };
    format!("{} ({verb} {})", escape(username), from_now(end, now))
}

fn next(ctx: &CommandContext, listing: &Listing) -> String {
    if listing.connections.is_empty() {
        return "Next: age-oauth connections import".into();
    }
    let now = ctx.context.now();
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
            shell_quoted(connection.label.as_str())
        ),
        None => {
            "Next: age-oauth token, age-oauth whoami, or eval \"$(age-oauth export-env)\"".into()
        }
    }
}
