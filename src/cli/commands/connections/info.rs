//! `connections info`: where this program stores connections and secrets.

use std::fmt::Write as _;

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::{escape, plural};
use crate::cli::json::InfoAnswer;
use crate::cli::shared::connection_fields::default_keychain;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::KeychainKind;
use crate::store::ConnectionStore;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections info", "the folder, the default, the keychain, the program"),
]))]
pub(in crate::cli) struct InfoArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// The keychain for new connections, and others that connections use.
fn keychains(store: &ConnectionStore, kind: KeychainKind) -> String {
    let mut text = format!("{} for new connections", kind.display_name());
    let connections = store.list(None).unwrap_or_default().connections;
    for other in KeychainKind::ALL {
        let count = connections.iter().filter(|one| one.keychain == *other);
        let count = count.count();
        if count > 0 {
            let connections = plural(count, "connection");
            // Writing to a String cannot fail.
            let _ = write!(text, "; {} for {connections}", other.display_name());
        }
    }
    text
}

pub(super) fn info(ctx: &mut CommandContext, args: &InfoArgs) -> Outcome {
    let store = ctx.store()?;
    let default = match store.default_id()? {
        Some(id) => store.load(&id).ok(),
        None => None,
    };
    let kind = default_keychain(&ctx.context)?;
    let program = std::env::current_exe()
        .map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string());
    if args.json {
        return ctx.answer_json(&InfoAnswer {
            store_base: store.root().display().to_string(),
            default_connection: default.as_ref().map(|c| c.label.to_string()),
            default_connection_id: default.as_ref().map(|c| c.id.to_string()),
            keychain: kind.as_str(),
            program,
            version: env!("CARGO_PKG_VERSION"),
        });
    }
    let default = default.map_or_else(
        || "none".to_owned(),
        |connection| escape(connection.label.as_str()),
    );
    ctx.answer(&format!("Store base:   {}", store.root().display()))?;
    ctx.answer(&format!("Default:      {default}"))?;
    ctx.answer(&format!("Keychain:     {}", keychains(&store, kind)))?;
    ctx.answer(&format!(
        "Program:      {program} ({})",
        env!("CARGO_PKG_VERSION")
    ))
}
