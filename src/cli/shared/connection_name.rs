//! The argument that names a connection: its completions, and the connection that it stands for.

use std::ffi::OsStr;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::cli::failure::Failure;
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::connection::{fold, Connection};
use crate::context::Environment;
use crate::store::{ConnectionStore, Selector};

/// The connection that the argument names; without one, the connection that every command would
/// use.
pub(in crate::cli) fn named(
    ctx: &CommandContext,
    store: &ConnectionStore,
    name: Option<&String>,
) -> Result<Connection, Failure> {
    match name {
        Some(name) => {
            let connection = store.find(&Selector::Name(name.clone()))?;
            ctx.warn_if_expiring(&connection);
            Ok(connection)
        }
        None => ctx.connection(store),
    }
}

/// Completions for the name of a connection.
pub(in crate::cli) fn labels() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        // Some shells pass the quote that begins the word, and the backslashes inside it.
        let typed = typed.to_string_lossy();
        let typed = typed.trim_start_matches(['\'', '"']);
        let (as_it_is, unescaped) = (fold(typed), fold(&typed.replace('\\', "")));
        let listing = ConnectionStore::open_default(&Environment::process())
            .and_then(|store| store.list(None))
            .unwrap_or_default();
        let found = listing.connections.iter().map(candidate);
        found
            .filter(|(name, _)| {
                let name = fold(name);
                name.starts_with(&as_it_is) || name.starts_with(&unescaped)
            })
            .map(|(_, candidate)| candidate)
            .collect::<Vec<_>>()
    })
}

/// What is offered for a connection: its label, or its ID if the label looks like an option.
fn candidate(connection: &Connection) -> (String, CompletionCandidate) {
    let label = connection.label.as_str();
    let (name, help) = if label.starts_with('-') {
        (connection.id.as_str(), escape(label))
    } else {
        (label, connection.browser_url().as_str().to_owned())
    };
    let candidate = CompletionCandidate::new(name).help(Some(help.into()));
    (name.to_owned(), candidate)
}
