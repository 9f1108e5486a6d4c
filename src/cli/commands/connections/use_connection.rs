//! `connections use`: the connection that is used where none is named.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::escape;
use crate::cli::shared::connection_json::as_json;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::CommandContext;

#[derive(Args, Debug)]
pub(in crate::cli) struct UseArgs {
    /// Label or id
    #[arg(required_unless_present = "unset", add = labels())]
    name: Option<String>,
    /// Forget the default
    #[arg(long, conflicts_with = "name")]
    unset: bool,
    /// One JSON object: the connection that is used from now on
    #[arg(long, conflicts_with = "unset")]
    pub(in crate::cli) json: bool,
}

pub(super) fn use_connection(ctx: &mut CommandContext, args: &UseArgs) -> Outcome {
    let store = ctx.store()?;
    if args.unset {
        store.set_default(None)?;
        return ctx.answer("[OK] No default connection any more.");
    }
    let connection = named(ctx, &store, args.name.as_ref())?;
    store.set_default(Some(&connection.id))?;
    ctx.warn_of_override(&store, Some(&connection.id));
    if args.json {
        return ctx.answer_json(&as_json(&connection, Some(connection.id.as_str())));
    }
    ctx.answer(&format!(
        "[OK] Active connection set: {}",
        escape(connection.label.as_str())
    ))
}
