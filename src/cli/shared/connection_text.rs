//! Text about a connection that several commands print or read.

use std::path::Path;

use jiff::Timestamp;

use crate::cli::format::connection_flag;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::error::Error;

/// Splits the last failure, as `meta.json` has it, into its time and its text. The time is absent
/// if it cannot be read.
pub(in crate::cli) fn split_failure(line: &str) -> (Option<Timestamp>, &str) {
    line.split_once(' ')
        .and_then(|(at, what)| Some((Some(at.parse().ok()?), what)))
        .unwrap_or((None, line))
}

/// The folder of a connection whose files could not be read.
pub(in crate::cli) fn broken_folder(error: &Error) -> Option<&Path> {
    match error {
        Error::Corrupt { path, .. } | Error::File { path, .. } if path.ends_with("meta.json") => {
            path.parent()
        }
        Error::Corrupt { path, .. } | Error::File { path, .. } => Some(path),
        _ => None,
    }
}

/// Shows the two commands that people use after adding a connection.
pub(in crate::cli) fn next_steps(ctx: &CommandContext, connection: &Connection) {
    let name = connection_flag(connection);
    ctx.console.info("Next:");
    ctx.console
        .info(&format!("  age-oauth login {name}        sign in"));
    ctx.console.info(&format!(
        "  age-oauth token {name}        print an access token"
    ));
}
