//! Completing in nu: a script with all commands and options, which asks this program for labels.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::EnvCompleter;

use super::quoted::{candidates, help, is_plain, INDEX};
use crate::cli::format::json_text;
use crate::cli::shell::Shell;

/// Stands for the labels in what `clap_complete_nushell` writes. It is not a word that a person
/// chooses: clap takes it for the only value of the argument.
const LABELS: &str = "the-labels-of-this-program";

/// Asks for the connections that `-c` takes. nu selects those that begin as typed.
const ASK: &str = r#"with-env {VARIABLE: "nushell", INDEX: "2"} { ^NAME -- NAME -c } | from json"#;

/// The completer for nu, which knows commands and options when the script is written.
pub(super) struct Nushell {
    pub(super) program: Command,
}

impl EnvCompleter for Nushell {
    fn name(&self) -> &'static str {
        "nushell"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name() || Shell::of_program(name) == Some(Shell::Nu)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        _bin: &str,
        _completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let ask = ASK
            .replace("VARIABLE", variable)
            .replace("INDEX", INDEX)
            .replace("NAME", name);
        let mut program = self.program.clone();
        // Commands have no arguments to mark until they are built.
        program.build();
        let mut program = marked(program);
        let mut script = Vec::new();
        let generator = clap_complete_nushell::Nushell;
        clap_complete::generate(generator, &mut program, name, &mut script);
        let script = String::from_utf8_lossy(&script);
        out.write_all(
            script
                .replace(&format!("[ \"{LABELS}\" ]"), &ask)
                .as_bytes(),
        )
    }

    fn write_complete(
        &self,
        program: &mut Command,
        arguments: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let found = candidates(program, arguments, folder)?;
        let offered: Vec<_> = found
            .iter()
            .map(|one| serde_json::json!({"value": word(one), "description": help(one)}))
            .collect();
        let text = serde_json::Value::from(offered).to_string();
        writeln!(out, "{}", json_text(&text))
    }
}

/// The commands, in which every argument that takes a connection has the mark as its only value.
fn marked(command: Command) -> Command {
    command
        .mut_args(|argument| match argument.get::<ArgValueCompleter>() {
            Some(_) => argument.value_parser([LABELS]),
            None => argument,
        })
        .mut_subcommands(marked)
}

/// The candidate as one word of a command line. nu compares what is typed with the inside of plain
/// quotes, but not with that of a raw string, so that one is the last choice.
fn word(candidate: &CompletionCandidate) -> String {
    let text = candidate.get_value().to_string_lossy();
    // These would be values of other types.
    let other_type = ["true", "false", "null"].contains(&&*text);
    if is_plain(&text) && !other_type {
        text.into_owned()
    } else if !text.contains('\'') {
        format!("'{text}'")
    } else if !text.contains(['"', '\\']) {
        format!("\"{text}\"")
    } else {
        Shell::Nu.word(&text).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn every_argument_that_takes_a_connection_asks_for_the_labels() {
        let program = Cli::command();
        let mut script = Vec::new();
        Nushell { program }
            .write_registration("COMPLETE", "age-oauth", "", "", &mut script)
            .unwrap();
        let script = String::from_utf8(script).unwrap();
        for taken in [
            "token connection",
            "connections show connection",
            "connections show name",
            "connections edit name",
            "connections rename old",
            "connections use name",
            "connections share name",
            "connections remove name",
        ] {
            let begin = format!("def \"nu-complete age-oauth {taken}\" [] {{");
            let after = script.split_once(&begin).map_or("", |(_, after)| after);
            let asked = after.trim_start().lines().next().unwrap_or_default();
            assert!(asked.starts_with("with-env"), "{taken}: {asked}");
            let used = format!("string@\"nu-complete age-oauth {taken}\"");
            assert!(script.contains(&used), "{taken}");
        }
        assert!(!script.contains(LABELS));
    }
}
