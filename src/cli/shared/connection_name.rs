//! A connection's name as an argument: how it completes, and which connection it means.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::cli::failure::Failure;
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::context::Environment;
use crate::store::{ConnectionStore, Selector};

/// The connection named as an argument, else the one chosen as everywhere.
pub(in crate::cli) fn named(
    ctx: &CommandContext,
    store: &ConnectionStore,
    name: Option<&String>,
) -> Result<Connection, Failure> {
    match name {
        Some(name) => {
            let connection = store.find(&Selector::Name(name.clone()))?;
            ctx.warn_of_the_end(&connection);
            Ok(connection)
        }
        None => ctx.connection(store),
    }
}

/// Completes a connection's name.
pub(in crate::cli) fn labels() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let listing = ConnectionStore::open_default(&Environment::process())
            .and_then(|store| store.list(None))
            .unwrap_or_default();
        listing.connections.iter().map(candidate).collect()
    })
}

/// The label; or the id where a shell would take the label for several words.
fn candidate(connection: &Connection) -> CompletionCandidate {
    let label = connection.label.as_str();
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if label.chars().all(plain) && !label.starts_with('-') {
        return CompletionCandidate::new(label)
            .help(Some(connection.portal.as_str().to_owned().into()));
    }
    CompletionCandidate::new(connection.id.as_str()).help(Some(escape(label).into()))
}
