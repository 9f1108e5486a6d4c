//! `connections list`: a table on a terminal, stable columns elsewhere.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::{escape, not_imported};
use crate::cli::json::ConnectionAnswer;
use crate::cli::shared::connection_table::rows;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Connection, ConnectionId};
use crate::text::one_line;
use crate::util::rfc3339;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections list", "every connection"),
    ("age-oauth connections list --tag nightly --json", "connections with one tag, as JSON"),
]))]
pub(in crate::cli) struct ListArgs {
    /// Only connections with this tag
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(super) fn list(ctx: &mut CommandContext, args: &ListArgs) -> Outcome {
    let store = ctx.store()?;
    let listing = store.list(args.tag.as_deref())?;
    let default = store.default_id()?;
    let default = default.as_ref();
    for broken in &listing.broken {
        ctx.console.warn(&broken.to_string());
    }
    for connection in &listing.connections {
        ctx.warn_if_expiring(connection);
    }
    if args.json {
        let all: Vec<_> = listing
            .connections
            .iter()
            .map(|connection| ConnectionAnswer::of(connection, default))
            .collect();
        return ctx.answer_json_array(&all);
    }
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        ctx.console.info(&match &args.tag {
            Some(tag) => format!("No connection has the tag `{}`.", one_line(tag, 64)),
            None => "There are no connections; add one: age-oauth connections add".to_owned(),
        });
        return Ok(());
    }
    if ctx.system.terminal.stdout {
        let text = rows(ctx, &listing, default.map(ConnectionId::as_str));
        return ctx.answer(text.trim_end());
    }
    for connection in &listing.connections {
        ctx.answer(&line(connection, default))?;
    }
    for plaintext in &listing.plaintext {
        ctx.answer(&format!(
            "{}\t{}\t{}\t{}\t\t\t",
            escape(&plaintext.id),
            escape(&plaintext.label),
            escape(&plaintext.portal_url),
            not_imported()
        ))?;
    }
    Ok(())
}

/// One line for scripts. The columns are stable; new ones are added only at the end.
fn line(connection: &Connection, default: Option<&ConnectionId>) -> String {
    let status = &connection.status;
    let key_end = connection.grant.api_key_expires_at();
    [
        connection.id.as_str(),
        &escape(connection.label.as_str()),
        connection.browser_url().as_str(),
        connection.grant.as_str(),
        &escape(status.username.as_deref().unwrap_or_default()),
        &key_end
            .or(status.refresh_expires_at)
            .map(rfc3339)
            .unwrap_or_default(),
        if default == Some(&connection.id) {
            "default"
        } else {
            ""
        },
    ]
    .join("\t")
}
