//! The argument that names a connection: its completions, and the connection that it stands for.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::cli::failure::Failure;
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::connection::Connection;
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
pub(in crate::cli) fn labels() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let listing = ConnectionStore::open_default(&Environment::process())
            .and_then(|store| store.list(None))
            .unwrap_or_default();
        listing.connections.iter().map(candidate).collect()
    })
}

/// Offers the label, or the ID if a shell would split the label into several words.
fn candidate(connection: &Connection) -> CompletionCandidate {
    let label = connection.label.as_str();
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if label.chars().all(plain) && !label.starts_with('-') {
        return CompletionCandidate::new(label)
            .help(Some(connection.portal.as_str().to_owned().into()));
    }
    CompletionCandidate::new(connection.id.as_str()).help(Some(escape(label).into()))
}
