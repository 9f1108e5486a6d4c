//! `connections rename`: changes the label; the ID stays.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::escape;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::manage;

#[derive(Args, Debug)]
#[command(after_help = examples(&[
    ("age-oauth connections rename prod production", "its ID stays the same"),
]))]
pub(in crate::cli) struct RenameArgs {
    /// Label or ID
    #[arg(add = labels())]
    old: String,
    /// The new label
    new: String,
}

pub(super) fn rename(ctx: &mut CommandContext, args: &RenameArgs) -> Outcome {
    let store = ctx.store()?;
    let connection = named(ctx, &store, Some(&args.old))?;
    let label = args.new.parse()?;
    let old = escape(connection.label.as_str());
    let session = ctx.session_of(&store, connection);
    let renamed = manage::rename(&session, &label)?;
    ctx.answer(&format!(
        "[OK] Renamed connection: {old} is now {}",
        escape(renamed.label.as_str())
    ))
}
