//! `age-oauth` without a command: one screen with the connections, who is signed in until when, and
//! what to run next.

use crate::cli::failure::Outcome;
use crate::cli::format::connection_flag;
use crate::cli::shared::connection_table::rows;
use crate::cli::shared::current_shell::current_shell;
use crate::cli::CommandContext;
use crate::connection::Grant;
use crate::store::{Listing, Plaintext};

pub(in crate::cli) fn overview(ctx: &mut CommandContext) -> Outcome {
    let store = ctx.store()?;
    let listing = store.list(None)?;
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        ctx.answer("There are no connections yet. Add your portal:")?;
        ctx.answer("  age-oauth connections add")?;
        return ctx.answer("All commands: age-oauth --help");
    }
    for connection in &listing.connections {
        ctx.warn_if_expiring(connection);
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
    ctx.answer("All commands: age-oauth --help")
}

fn next(ctx: &CommandContext, listing: &Listing) -> String {
    if listing.connections.is_empty() {
        return format!("Next: {}", Plaintext::IMPORT);
    }
    let now = ctx.context.now();
    let needs_sign_in = listing.connections.iter().find(|connection| {
        let status = &connection.status;
        match connection.grant {
            Grant::User { .. } => status.refresh_expires_at.is_none_or(|end| end <= now),
            Grant::Application | Grant::ApiKey { .. } => false,
            Grant::Network => status.username.is_none(),
        }
    });
    if let Some(connection) = needs_sign_in {
        return format!("Next: age-oauth login {}", connection_flag(connection));
    }
    let load = current_shell(&ctx.system).loading_line();
    let load = load.unwrap_or("age-oauth export-env");
    format!("Next: age-oauth token, age-oauth whoami, or {load}")
}
