//! `connections edit`: changes settings of a connection.

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::json::ConnectionAnswer;
use crate::cli::shared::api_key;
use crate::cli::shared::connection_changes::{apply, changes};
use crate::cli::shared::connection_fields::FieldArgs;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::help::{examples, without_default};
use crate::cli::CommandContext;
use crate::connection::Label;

#[derive(Args, Debug, Default)]
#[command(mut_args(without_default), after_help = examples(&[
    ("age-oauth connections edit prod --portal https://gis.example.com/portal", "a new portal URL"),
    ("age-oauth connections edit prod --client-secret-stdin < secret.txt", "a new client secret"),
    ("age-oauth connections edit prod --expires DATE --api-key-stdin < key.txt", "a new API key"),
    ("age-oauth connections edit prod --client-cert ana.p12", "a client certificate"),
    ("age-oauth connections edit prod --keychain vault", "move to the vault"),
]))]
pub(in crate::cli) struct EditArgs {
    /// Label or ID [default: the connection that would be used]
    #[arg(add = labels())]
    name: Option<String>,
    /// A new label
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    #[command(flatten)]
    fields: FieldArgs,
    /// Stop sending a Referer
    #[arg(long, conflicts_with = "referer")]
    no_referer: bool,
    /// Remove all tags
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// Bind authorization codes to this program (PKCE); false only for a portal that refuses it
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, hide_possible_values = true)]
    pkce: Option<bool>,
    /// Ask nothing, and print the connection as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn edit(ctx: &mut CommandContext, args: &EditArgs) -> Outcome {
    // With `--json`, the console leaves out what explains a question.
    ctx.no_input |= args.json;
    let store = ctx.store()?;
    let connection = named(ctx, &store, args.name.as_ref())?;
    let label: Option<Label> = args.label.as_deref().map(str::parse).transpose()?;
    let fields = &args.fields;
    let (mut changes, presented) = changes(ctx, &connection, fields)?;
    changes.pkce = args.pkce;
    if args.no_referer {
        changes.referer = Some(None);
    }
    if args.no_tags {
        changes.tags = Some(Vec::new());
    }
    api_key::add_to_changes(ctx, &connection, fields, &mut changes, presented)?;
    if args.pkce == Some(false) {
        ctx.console.warn(
            "without PKCE, a program that intercepts the authorization code can use it; switch PKCE off only for a portal that refuses it",
        );
    }
    if changes.is_empty() && label.is_none() {
        return Err(Failure::usage_hint(
            "no option says what to change",
            "age-oauth connections edit --help",
        ));
    }
    // The portal has answered, so that what it refuses has changed nothing. Nor does a label that
    // is not free.
    if let Some(label) = label
        .as_ref()
        .filter(|new| new.folded() != connection.label.folded())
    {
        store.check_free(label)?;
    }
    let id = connection.id.clone();
    apply(ctx, &store, connection, &changes, label.as_ref())?;
    if args.json {
        let default = store.default_id()?;
        let edited = store.load(&id)?;
        ctx.answer_json(&ConnectionAnswer::of(&edited, default.as_ref()))?;
    }
    Ok(())
}
