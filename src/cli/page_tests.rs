//! The commands and options of this program on the pages for users exist.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use clap::{Command, CommandFactory};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::args::Cli;

/// The README and the pages of `docs`, each with its name.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let mut paths: Vec<_> = docs.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    paths.push(root.join("README.md"));
    paths.sort();
    let page = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name, text.replace("\r\n", "\n"))
    };
    paths.iter().map(|path| page(path)).collect()
}

/// The lines of code of a page: its spans, and the lines of its blocks.
fn code(page: &str) -> Vec<String> {
    let (mut found, mut block) = (Vec::new(), false);
    for event in Parser::new_ext(page, pulldown_cmark::Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => block = true,
            Event::End(TagEnd::CodeBlock) => block = false,
            Event::Code(span) => found.push(span.into_string()),
            // A line that goes on in the next one is one command.
            Event::Text(text) if block => {
                let text = text.replace("\\\n", " ");
                found.extend(text.lines().map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

/// Whether the word at `at` is this program, which is called there.
fn is_called(words: &[String], at: usize) -> bool {
    // Not in a sentence, and not the name of a group or of a secret.
    let is_text = |word: &String| {
        word.chars().all(|c| c.is_ascii_lowercase()) && !["sudo", "env"].contains(&word.as_str())
    };
    match words[at].as_str() {
        "age-oauth" => !words[..at].iter().any(is_text),
        word => word.ends_with("bin/age-oauth") || word.ends_with("age-oauth.exe"),
    }
}

/// The words that a span leaves out before this command, as in `login --no-browser` and
/// `edit --keychain vault`.
fn left_out(command: &str, program: &Command) -> Option<&'static [&'static str]> {
    let connections = program.find_subcommand("connections").unwrap();
    if program.find_subcommand(command).is_some() {
        Some(&[])
    } else if connections.find_subcommand(command).is_some() {
        Some(&["connections"])
    } else {
        None
    }
}

/// The words behind the name of this program, for each call of it in a line for a shell.
fn calls(line: &str, program: &Command) -> Vec<Vec<String>> {
    // A message of a script may begin with the name of the program.
    if line.contains("throw ") {
        return Vec::new();
    }
    let (line, _) = line.split_once(" # ").unwrap_or((line, ""));
    let mut found = Vec::new();
    for part in line.split(['|', '>', '<', '(', ')', '\'', '"', '&', ';', '`']) {
        let words: Vec<_> = part.split_whitespace().map(str::to_owned).collect();
        if let Some(at) = (0..words.len()).find(|&at| is_called(&words, at)) {
            found.push(words[at + 1..].to_vec());
        } else if words.iter().any(|word| word.starts_with("--")) {
            let before = left_out(&words[0], program);
            let call = |before: &[&str]| {
                let before = before.iter().map(|word| (*word).to_owned());
                before.chain(words.iter().cloned()).collect()
            };
            found.extend(before.map(call));
        }
    }
    found
}

/// What this program would not understand in a call.
fn fault(words: &[String], program: &Command) -> Option<String> {
    let (mut command, mut is_value) = (program, false);
    for word in words {
        let is_name = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if word == "--" {
            break;
        } else if let Some(flag) = word.strip_prefix("--") {
            let (flag, _) = flag.split_once('=').unwrap_or((flag, ""));
            let flag = flag.trim_end_matches([',', '.', ':']);
            let option = command
                .get_arguments()
                .find(|one| one.get_long() == Some(flag));
            if option.is_none() && !flag.contains('…') {
                return Some(format!("{} has no --{flag}", command.get_name()));
            }
            let takes_value = option.is_some_and(|one| one.get_action().takes_values());
            is_value = takes_value && !word.contains('=');
        } else if word.starts_with('-') {
            is_value = word == "-c";
        } else if is_value {
            is_value = false;
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else if is_name && command.has_subcommands() {
            return Some(format!("{} has no command {word}", command.get_name()));
        }
    }
    None
}

#[test]
fn commands_and_options_on_the_pages_exist() {
    let mut program = Cli::command();
    program.build();
    let (mut faults, mut count) = (Vec::new(), 0);
    for (name, page) in pages() {
        for line in code(&page) {
            for call in calls(&line, &program) {
                count += 1;
                let fault = fault(&call, &program);
                faults.extend(fault.map(|why| format!("{name}: {line}: {why}")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 400, "only {count} calls were found");
}

#[test]
fn what_does_not_exist_is_found() {
    let mut program = Cli::command();
    program.build();
    for (line, fault_of_it) in [
        ("age-oauth login --no-browser -c prod", None),
        ("eval \"$(age-oauth export-env)\"", None),
        ("age-oauth exec -- python --version", None),
        (
            "age-oauth --timeout 5m connections edit NAME --keychain vault",
            None,
        ),
        ("refresh --all --wait 45m", None),
        ("rename --no-input prod new", None),
        ("git status --porcelain", None),
        ("age-oauth logon", Some("age-oauth has no command logon")),
        ("age-oauth login --browser", Some("login has no --browser")),
        (
            "age-oauth connections lst",
            Some("connections has no command lst"),
        ),
        ("login --offline", Some("login has no --offline")),
        ("edit --lable x", Some("edit has no --lable")),
    ] {
        let found = calls(line, &program)
            .iter()
            .find_map(|call| fault(call, &program));
        assert_eq!(found.as_deref(), fault_of_it, "{line}");
    }
}
