//! `man`: manual pages, generated from the definitions that parse the command line.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Args, Command};
use clap_mangen::roff::{bold, roman, Roff};
use clap_mangen::Man;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::shared::help::{self, DOCUMENTATION, EXAMPLES};
use crate::cli::CommandContext;
use crate::context::Deadline;
use crate::env::{Origin, VARIABLES};
use crate::error::{Error, FileAction};
use crate::files::UserOutput;

/// The files that manual pages name; docs/storage.md describes the whole layout.
const FILES: [(&str, &str); 4] = [
    (
        "~/.config/age_oauth",
        "The connection store on Linux: one folder for each connection, without secrets.",
    ),
    (
        "~/Library/Application Support/age_oauth",
        "The same on macOS.",
    ),
    ("%APPDATA%\\age_oauth", "The same on Windows."),
    (
        "vault",
        "In the store: the encrypted file that holds the secrets of connections with the keychain `vault`.",
    ),
];

#[derive(Args, Debug, Default)]
#[command(after_help = help::examples(&[
    ("age-oauth man | man -l -", "read the page of the program"),
    ("age-oauth man connections add | man -l -", "read the page of a command"),
    ("age-oauth man --dir ~/.local/share/man/man1", "install all pages"),
]))]
pub(in crate::cli) struct ManArgs {
    /// The command [default: the program itself]
    command: Vec<String>,
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(in crate::cli) fn man(
    ctx: &mut CommandContext,
    args: &ManArgs,
    mut program: Command,
) -> Outcome {
    program.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).map_err(Error::file(FileAction::Create, dir))?;
        return write_all(&program, dir, ctx.context.deadline);
    }
    let mut command = &program;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            Failure::usage_hint(
                format!("there is no command `{}`", escape(&args.command.join(" "))),
                "age-oauth --help",
            )
        })?;
    }
    Ok(ctx.system.out.write_all(&page(command)?)?)
}

/// Writes the page of this command and of all below it into a folder, except those of `help`, which
/// repeat the others.
fn write_all(command: &Command, dir: &Path, deadline: Deadline) -> Outcome {
    let path = dir.join(format!("{}.1", full_name(command)));
    let page = page(command)?;
    UserOutput::create(&path, deadline)
        .and_then(|mut output| {
            output.file().write_all(&page)?;
            output.finish()
        })
        .map_err(Error::file(FileAction::WriteOutput, path))?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .try_for_each(|command| write_all(command, dir, deadline))
}

fn full_name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

/// The page that clap generates, followed by variables, files, exit codes and examples, which clap
/// does not know.
fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    // clap's page would show the examples under a heading of its own.
    let plain = command.clone().after_help(Resettable::Reset);
    let mut page = Vec::new();
    Man::new(plain)
        .title(full_name(command).to_owned())
        .render(&mut page)?;
    let mut roff = Roff::new();
    environment(&mut roff);
    files(&mut roff);
    exit_status(&mut roff);
    examples(&mut roff, command);
    documentation(&mut roff, DOCUMENTATION);
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn term(roff: &mut Roff, name: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(text.replace('`', ""))]);
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    for variable in VARIABLES {
        match variable.origin {
            Origin::Program | Origin::Network | Origin::System => {
                let text = format!(
                    "{} {} If not set: {}.",
                    variable.meaning, variable.details, variable.default
                );
                term(roff, variable.name, &text.replace("  ", " "));
            }
            Origin::Package | Origin::Internal => {}
        }
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (path, what) in FILES {
        term(roff, path, what);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for code in ExitCode::ALL {
        term(roff, &code.number().to_string(), code.meaning());
    }
}

fn examples(roff: &mut Roff, command: &Command) {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let Some((_, lines)) = help.split_once(EXAMPLES) else {
        return;
    };
    roff.control("SH", ["EXAMPLES"]);
    // The address of the documentation may follow after an empty line.
    for line in lines
        .trim_start()
        .lines()
        .take_while(|line| !line.is_empty())
    {
        let (line, purpose) = line.split_once("  # ").unwrap_or((line, ""));
        term(roff, line.trim(), purpose);
    }
}

fn documentation(roff: &mut Roff, address: Option<&str>) {
    if let Some(address) = address {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(address)]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_page_has_the_sections_that_people_look_for() {
        let mut program = Cli::command();
        program.build();
        let connections = program.find_subcommand("connections").unwrap();
        for command in [
            &program,
            connections,
            connections.find_subcommand("add").unwrap(),
        ] {
            let page = String::from_utf8(page(command).unwrap()).unwrap();
            let sections = [
                "NAME",
                "SYNOPSIS",
                "\"GLOBAL OPTIONS\"",
                "ENVIRONMENT",
                "FILES",
                "\"EXIT STATUS\"",
                "EXAMPLES",
            ];
            for section in sections {
                let heading = format!(".SH {section}\n");
                assert_eq!(page.matches(&heading).count(), 1, "{section}: {page}");
            }
            assert!(!page.contains("EXTRA"), "{page}");
            assert_eq!(page.contains("SEE ALSO"), DOCUMENTATION.is_some(), "{page}");
        }
    }

    #[test]
    fn a_page_ends_with_the_address_of_the_documentation() {
        let page = |address| {
            let mut roff = Roff::new();
            documentation(&mut roff, address);
            roff.render()
        };
        let named = page(Some("https://example.org/age-oauth"));
        assert!(named.contains(".SH \"SEE ALSO\"\n"), "{named}");
        assert!(named.contains("\nhttps://example.org/age"), "{named}");
        assert!(!page(None).contains("SEE ALSO"));
    }
}
