//! `connections edit`: changes any field in place.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::shared::connection_changes::{apply, changes};
use crate::cli::shared::connection_fields::FieldArgs;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::CommandContext;
use crate::manage;

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct EditArgs {
    /// Label or id
    #[arg(add = labels())]
    name: Option<String>,
    /// Another label
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    #[command(flatten)]
    fields: FieldArgs,
    /// Send no Referer any more
    #[arg(long, conflicts_with = "referer")]
    no_referer: bool,
    /// Forget all tags
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// Bind codes to this program (PKCE); false only for a portal that refuses it
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pkce: Option<bool>,
}

pub(super) fn edit(ctx: &mut CommandContext, args: &EditArgs) -> Outcome {
    let store = ctx.store()?;
    let mut connection = named(ctx, &store, args.name.as_ref())?;
    if let Some(label) = &args.label {
        let session = ctx.session_of(&store, connection);
        connection = manage::rename(&session, &label.parse()?)?;
    }
    let mut changes = changes(ctx, &connection, &args.fields)?;
    changes.pkce = args.pkce;
    if args.no_referer {
        changes.referer = Some(None);
    }
    if args.no_tags {
        changes.tags = Some(Vec::new());
    }
    if args.pkce == Some(false) {
        ctx.console.warn(
            "without PKCE, whoever catches a code can use it; switch it off only for a portal that refuses it",
        );
    }
    apply(ctx, &store, connection, &changes)
}
