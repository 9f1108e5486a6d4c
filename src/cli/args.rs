//! The command line as a whole: global options and the list of commands. Each command's own
//! arguments are in its file.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::commands::{
    ApiArgs, CompletionsArgs, ConnectionsCommand, DoctorArgs, ExecArgs, ExportEnvArgs, LoginArgs,
    LogoutArgs, ManArgs, RefreshArgs, StatusArgs, TokenArgs, VaultCommand, WebTierArgs, WhoamiArgs,
};
use super::shared::connection_name::labels;
use super::shared::help::{documentation_line, examples, DOCUMENTATION, GLOBAL_OPTIONS, WIDTH};
use crate::env::{EnvironmentVariable, Origin, VARIABLES};

/// Sign in to ArcGIS portals and hand short-lived access tokens to scripts
#[derive(Debug, Parser)]
#[command(
    name = "age-oauth",
    // Also where the file has another name: age-oauth.exe.
    bin_name = "age-oauth",
    version,
    max_term_width = WIDTH,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = after_help()
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) global: Global,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = GLOBAL_OPTIONS)]
    version: Option<bool>,
}

/// What `--help` shows after the options.
fn after_help() -> String {
    let mut text = program_variables();
    text.push_str(
        "\n  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and others: age-oauth man | man -l -\n\n",
    );
    text.push_str(&examples(&[
        ("age-oauth", "show your connections and what to run next"),
        (
            "age-oauth connections add --login",
            "add your portal and sign in",
        ),
        ("age-oauth token", "print an access token"),
    ]));
    text.push_str(&documentation_line(DOCUMENTATION));
    text
}

/// The variables of the program, one line each.
fn program_variables() -> String {
    let ours: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| variable.origin == Origin::Program)
        .collect();
    let width = ours.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let mut text = String::from("Environment:");
    for EnvironmentVariable { name, meaning, .. } in ours {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {name:width$}  {}", meaning.trim_end_matches('.'));
    }
    text
}

// Before or after any command. Not a doc comment: clap would take it for a description.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = GLOBAL_OPTIONS)]
pub(super) struct Global {
    /// The connection: its label, its ID, or the beginning of its ID
    #[arg(short, long, global = true, value_name = "NAME", add = labels())]
    pub(super) connection: Option<String>,
    /// The connection, by its full ID only
    #[arg(long, global = true, value_name = "ID", conflicts_with = "connection")]
    pub(super) connection_id: Option<String>,
    /// Never ask; a missing value is an error
    #[arg(long, global = true)]
    pub(super) no_input: bool,
    /// Give up after this long, all waits included (90s, 5m)
    #[arg(long, global = true, value_name = "DURATION", value_parser = crate::duration::parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// No warnings and no progress; errors are still shown
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Show each decision (-v) and each request (-vv); never a secret
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Colors: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub(super) color: Color,
    /// Print help
    #[arg(short, long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

// `defer`: the arguments and examples of a command are built only when it is used.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    /// Sign in with your browser
    Login(LoginArgs),
    /// Print an access token
    Token(TokenArgs),
    /// Ask the portal who you are
    Whoami(WhoamiArgs),
    /// Show who is signed in until when, and what failed last, without asking a portal
    Status(StatusArgs),
    /// Print statements that put a token into a shell's environment
    ExportEnv(ExportEnvArgs),
    /// Run a command with a token in its environment
    Exec(ExecArgs),
    /// Call the portal, or a server that it grants tokens for
    Api(ApiArgs),
    #[command(subcommand, visible_alias = "connection")]
    Connections(ConnectionsCommand),
    /// Renew the access token, and extend the sign-in if that is due
    Refresh(RefreshArgs),
    /// Sign out: revoke the sign-in at the portal and delete it here
    Logout(LogoutArgs),
    /// Find problems, and show how to fix them
    Doctor(DoctorArgs),
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Print a script that makes a shell complete commands, options and labels
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them to a folder
    Man(ManArgs),
    /// Answer the Python package, line by line: what its requests present to the web server in
    /// front of a portal
    #[command(hide = true)]
    WebTier(WebTierArgs),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// The longest help of `connections add`, in lines: two screens of 25.
    const TWO_SCREENS: usize = 50;

    /// The program and all its commands, except `help`.
    fn commands() -> Vec<Command> {
        let mut program = Cli::command().term_width(WIDTH);
        program.build();
        let (mut found, mut waiting) = (Vec::new(), vec![program]);
        while let Some(command) = waiting.pop() {
            let below = command.get_subcommands().cloned();
            waiting.extend(below.filter(|command| command.get_name() != "help"));
            found.push(command.term_width(WIDTH));
        }
        found
    }

    fn name(command: &Command) -> String {
        command.get_bin_name().unwrap_or("age-oauth").to_owned()
    }

    fn example_lines(command: &Command) -> Vec<String> {
        let text = command.get_after_help().map(ToString::to_string);
        let text = text.unwrap_or_default();
        let examples = text.split_once("Examples:\n").map(|(_, rest)| rest);
        let lines = examples.unwrap_or_default().lines();
        // The address of the documentation may follow.
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// The calls of this program in a line for a shell.
    fn calls(line: &str) -> Vec<Vec<String>> {
        let (line, _) = line.split_once("  # ").unwrap();
        let parts = line.split(['|', '>', '<', '(', ')', '\'', '"']);
        let calls = parts
            .map(str::trim)
            .filter(|part| part.starts_with("age-oauth"));
        calls
            .map(|call| call.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        for command in commands() {
            let lines = example_lines(&command);
            assert!(!lines.is_empty(), "{} has no examples", name(&command));
            let mut about_this = 0;
            for line in lines {
                let calls = calls(&line);
                assert!(!calls.is_empty(), "{line}");
                for call in calls {
                    about_this += usize::from(call.join(" ").starts_with(&name(&command)));
                    let parsed = Cli::command().try_get_matches_from(&call);
                    assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                }
            }
            assert!(about_this > 0, "{}", name(&command));
        }
    }

    #[test]
    fn the_list_of_commands_says_what_each_does() {
        for command in commands().iter().filter(|one| one.has_subcommands()) {
            let name = name(command);
            // Parsed: nothing is built that `--help` does not need.
            let call = name.split(' ').chain(["--help"]);
            let program = Cli::command().term_width(WIDTH);
            let list = program.try_get_matches_from(call).unwrap_err().to_string();
            for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
                let about = below.get_about().map(ToString::to_string).unwrap();
                // A long text is wrapped.
                let begin = about.split(' ').take(3).collect::<Vec<_>>().join(" ");
                let line = list
                    .lines()
                    .find(|line| line.trim_start().starts_with(below.get_name()));
                let line = line.unwrap_or_default();
                assert!(line.contains(&begin), "{name}: {line}");
            }
        }
    }

    #[test]
    fn help_fits_the_screen() {
        for command in commands() {
            let name = name(&command);
            let shown = |flag: &str| {
                let call = name.split(' ').chain([flag]);
                let program = Cli::command().term_width(WIDTH);
                program.try_get_matches_from(call).unwrap_err().to_string()
            };
            let long = shown("--help");
            assert_eq!(long, shown("-h"), "{name}");
            for line in long.lines() {
                assert!(line.chars().count() <= WIDTH, "{name}: {line}");
            }
            // An example that is wrapped cannot be copied.
            for line in example_lines(&command) {
                assert!(long.contains(&line), "{name}: {line}");
            }
            assert!(long.contains(GLOBAL_OPTIONS), "{name}");
            if name.ends_with("connections add") {
                let lines = long.lines().count();
                assert!(lines <= TWO_SCREENS, "{lines} lines");
            }
        }
    }

    #[test]
    fn edit_names_no_defaults_because_it_keeps_what_is_not_given() {
        let mut program = Cli::command();
        program.build();
        let connections = program.find_subcommand("connections").unwrap();
        let help = |name: &str| {
            let command = connections.find_subcommand(name).unwrap();
            command
                .get_opts()
                .filter_map(|option| option.get_help().map(ToString::to_string))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(!help("edit").contains("[default:"), "{}", help("edit"));
        assert!(help("add").contains("[default:"));
    }

    #[test]
    fn the_program_names_its_variables() {
        let help = Cli::command().render_help().to_string();
        for variable in VARIABLES.iter().filter(|one| one.origin == Origin::Program) {
            assert!(help.contains(variable.name), "{}", variable.name);
        }
    }
}
