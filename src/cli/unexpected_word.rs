//! The hint where a command line has a word too many, such as the connection in `token prod`.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::CommandFactory as _;

use super::args::Cli;
use super::command_name;
use super::format::{connection_option, label_option};
use crate::connection::fold;
use crate::context::Environment;
use crate::store::ConnectionStore;

/// What helps, if the error is an unexpected word and it is known what the word was meant for.
pub(super) fn hint(
    error: &clap::Error,
    arguments: &[OsString],
    environment: &Environment,
) -> Option<String> {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::UnknownArgument => word,
        _ => return None,
    };
    if word.starts_with('-') {
        return None;
    }
    let choose = |name: &str| format!("to choose a connection: {}", connection_option(name));
    let (command, path) = understood(arguments)?;
    match command.as_str() {
        "login" | "token" | "whoami" | "status" | "export-env" | "refresh" | "logout"
        | "doctor" => Some(choose(word)),
        "api" => {
            let path = path.unwrap_or_default();
            let is_stored = |name: &str| is_label(name, environment);
            if is_stored(word) {
                Some(choose(word))
            } else if is_stored(&path) || (word.contains('/') && !path.contains('/')) {
                Some(choose(&path))
            } else {
                None
            }
        }
        "exec" => Some(
            if is_label(word, environment) || arguments.iter().any(|one| one == "--") {
                choose(word)
            } else {
                "put -- before the command, for example: age-oauth exec -- python nightly.py".into()
            },
        ),
        "connections add" => Some(format!(
            "to name the new connection: {}",
            label_option(word)
        )),
        "connections show" | "connections edit" | "connections rename" | "connections use"
        | "connections share" | "connections remove" => {
            Some("a name with spaces must be in quotes; one connection at a time".into())
        }
        // The other commands choose no connection.
        _ => None,
    }
}

/// The command that the arguments name, and the path that `api` got, as far as they can be parsed.
fn understood(arguments: &[OsString]) -> Option<(String, Option<String>)> {
    let matches = Cli::command().ignore_errors(true);
    let matches = matches.try_get_matches_from(arguments).ok()?;
    let (name, _) = command_name(&matches);
    let api = matches.subcommand_matches("api");
    let path = api.and_then(|api| api.try_get_one::<String>("path").ok().flatten());
    Some((name, path.cloned()))
}

/// Whether a connection has this label. No answer where the connections cannot be read.
fn is_label(name: &str, environment: &Environment) -> bool {
    let listing = ConnectionStore::open_default(environment).and_then(|store| store.list(None));
    let connections = listing.unwrap_or_default().connections;
    connections
        .iter()
        .any(|one| one.label.folded() == fold(name))
}
