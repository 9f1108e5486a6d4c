//! Text about a connection that several commands print or read.

use std::path::Path;

use crate::cli::format::connection_flag;
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant};
use crate::error::Error;

/// The folder of a connection whose files could not be read.
pub(in crate::cli) fn broken_folder(error: &Error) -> Option<&Path> {
    match error {
        Error::UnusableConnection { path, .. } => path.parent(),
        Error::File { path, .. } if path.ends_with("meta.json") => path.parent(),
        Error::Corrupt { path, .. } | Error::File { path, .. } => Some(path),
        Error::Listen { .. }
        | Error::Random
        | Error::Invalid { .. }
        | Error::SignInNeeded { .. }
        | Error::ApiKey { .. }
        | Error::NoConnection { .. }
        | Error::NameTaken { .. }
        | Error::Ambiguous { .. }
        | Error::Keychain { .. }
        | Error::SecretCommand { .. }
        | Error::ClientCertificate { .. }
        | Error::Unreachable { .. }
        | Error::Refused { .. }
        | Error::Busy { .. }
        | Error::UnusablePolicy { .. }
        | Error::Forbidden(_) => None,
    }
}

/// Shows the commands that people use after adding a connection.
pub(in crate::cli) fn next_steps(ctx: &CommandContext, connection: &Connection) {
    let name = connection_flag(connection);
    ctx.console.info("Next:");
    match connection.grant {
        Grant::User { .. } | Grant::Network => ctx
            .console
            .info(&format!("  age-oauth login {name}        sign in")),
        Grant::Application | Grant::ApiKey { .. } => {}
    }
    ctx.console.info(&format!(
        "  age-oauth token {name}        print an access token"
    ));
}
