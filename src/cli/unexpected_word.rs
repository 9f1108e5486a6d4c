//! The hint where a command line has a word too many, such as the connection in `token prod`.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::CommandFactory as _;

use super::args::Cli;
use super::command_name;
use super::format::{connection_option, label_option};
use crate::connection::{fold, Label};
use crate::context::Environment;
use crate::store::ConnectionStore;

/// A label has no more words than this: each has a character, and there is a blank between two.
const MOST_WORDS: usize = Label::MAX_CHARS.div_ceil(2);

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
    let words = from(word, arguments);
    // Read once, and only for a command that chooses a connection.
    let labels = LazyCell::new(|| labels(environment));
    let label = |words: &[&str]| label_of(words, &labels);
    match command.as_str() {
        "login" | "token" | "whoami" | "status" | "export-env" | "refresh" | "logout"
        | "doctor" => label(&words)
            .or_else(|| (words.len() == 1).then(|| word.clone()))
            .as_deref()
            .map(choose),
        "api" => {
            let path = path.unwrap_or_default();
            let with_path = [&[path.as_str()], &*words].concat();
            label(&words)
                .or_else(|| label(&with_path))
                .or_else(|| (word.contains('/') && !path.contains('/')).then_some(path))
                .as_deref()
                .map(choose)
        }
        "exec" => {
            let has_separator = arguments.iter().any(|one| one == "--");
            let chosen = label(&words).or_else(|| has_separator.then(|| words.join(" ")));
            Some(chosen.as_deref().map_or_else(
                || {
                    "put -- before the command, for example: age-oauth exec -- python nightly.py"
                        .into()
                },
                choose,
            ))
        }
        "connections add" => {
            // An address is not a part of the name.
            let name = words.split(|one| one.contains('/')).next();
            let name = name
                .filter(|words| !words.is_empty())
                .map(|words| words.join(" "));
            let name = label_option(name.as_ref().unwrap_or(word));
            Some(format!("to name the new connection: {name}"))
        }
        "connections show" | "connections edit" | "connections rename" | "connections use"
        | "connections share" | "connections remove" => {
            Some("a name with spaces must be in quotes; one connection at a time".into())
        }
        // The other commands choose no connection.
        _ => None,
    }
}

/// The word and those that follow it, up to an option: `My Portal`, typed without quotes.
fn from<'a>(word: &'a str, arguments: &'a [OsString]) -> Vec<&'a str> {
    // The last one: the same word may come before as the value of an option.
    let Some(start) = arguments.iter().rposition(|one| one == word) else {
        return vec![word];
    };
    let following = arguments.iter().skip(start).map_while(|one| one.to_str());
    following.take_while(|one| !one.starts_with('-')).collect()
}

/// The connection whose label is the first of these words, or as many of them as possible.
fn label_of(words: &[&str], labels: &HashSet<String>) -> Option<String> {
    let counts = (1..=words.len().min(MOST_WORDS)).rev();
    let mut names = counts.map(|count| words[..count].join(" "));
    names.find(|name| labels.contains(&fold(name)))
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

/// The labels of all connections, folded. None where the connections cannot be read.
fn labels(environment: &Environment) -> HashSet<String> {
    let listing = ConnectionStore::open_default(environment).and_then(|store| store.list(None));
    let connections = listing.unwrap_or_default().connections;
    connections.iter().map(|one| one.label.folded()).collect()
}
