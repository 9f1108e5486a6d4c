//! `connections use`: chooses the connection that commands use if none is named.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::escape;
use crate::cli::json::ConnectionAnswer;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;

#[derive(Args, Debug)]
#[command(after_help = examples(&[
    ("age-oauth connections use prod", "make it the default"),
    ("age-oauth connections use --unset", "unset the default"),
]))]
pub(in crate::cli) struct UseArgs {
    /// Label or ID
    #[arg(required_unless_present = "unset", add = labels())]
    name: Option<String>,
    /// Unset the default
    #[arg(long, conflicts_with = "name")]
    unset: bool,
    /// Print the default connection as one JSON object
    #[arg(long, conflicts_with = "unset")]
    pub(in crate::cli) json: bool,
}

pub(super) fn use_connection(ctx: &mut CommandContext, args: &UseArgs) -> Outcome {
    let store = ctx.store()?;
    if args.unset {
        store.set_default(None)?;
        return ctx.answer("[OK] Unset the default connection.");
    }
    let connection = named(ctx, &store, args.name.as_ref())?;
    store.set_default(Some(&connection.id))?;
    ctx.warn_about_override(&store, Some(&connection.id));
    if args.json {
        return ctx.answer_json(&ConnectionAnswer::of(&connection, Some(&connection.id)));
    }
    ctx.answer(&format!(
        "[OK] Active connection set: {}",
        escape(connection.label.as_str())
    ))
}
