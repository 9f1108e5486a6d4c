//! `completions`: scripts that call this program to complete a word, so that they know the labels
//! and the present options.
//!
//! Completing does not ask a portal, a keychain or a person, and prints nothing if it fails.

mod nushell;
mod quoted;

use std::ffi::OsString;
use std::io::Write;

use clap::{Args, Command, ValueEnum};
use clap_complete::env::{Elvish, EnvCompleter, Fish, Shells, Zsh};
use clap_complete::CompleteEnv;

use crate::cli::failure::Outcome;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::env;
use nushell::Nushell;
use quoted::{PowerShell, QuotedBash};

/// The scripts set this variable to the name of their shell when they ask for completions.
const VARIABLE: &str = env::AGE_OAUTH_COMPLETE;

const NAME: &str = "age-oauth";

#[derive(Args, Debug)]
#[command(after_help = examples(&[
    ("source <(age-oauth completions bash)", "bash: in ~/.bashrc"),
    ("age-oauth completions fish | source", "fish: in config.fish"),
    ("age-oauth completions powershell | Out-String | Invoke-Expression", "PowerShell: in $PROFILE"),
]))]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell: bash, zsh, fish, powershell, elvish or nushell
    #[arg(hide_possible_values = true)]
    shell: CompletionShell,
}

/// Shells that have completions. Not the same list as [`Shell`](crate::cli::Shell): Elvish has no
/// `export-env`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompletionShell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
    /// Windows PowerShell and PowerShell
    Powershell,
    /// Elvish
    Elvish,
    /// Nushell
    #[value(alias = "nu")]
    Nushell,
}

pub(in crate::cli) fn completions(
    ctx: &mut CommandContext,
    args: &CompletionsArgs,
    program: Command,
) -> Outcome {
    let completer: &dyn EnvCompleter = match args.shell {
        CompletionShell::Bash => &QuotedBash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
        CompletionShell::Powershell => &PowerShell,
        CompletionShell::Elvish => &Elvish,
        CompletionShell::Nushell => &Nushell { program },
    };
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(ctx.system.out.write_all(&script)?)
}

/// Prints completions if a completion script started this process, and returns whether one did.
pub(in crate::cli) fn complete(program: fn() -> Command, arguments: &[OsString]) -> bool {
    let here = std::env::current_dir().ok();
    let nushell = Nushell { program: program() };
    let shells: [&dyn EnvCompleter; 6] = [&QuotedBash, &Elvish, &Fish, &nushell, &PowerShell, &Zsh];
    CompleteEnv::with_factory(program)
        .var(VARIABLE)
        .shells(Shells(&shells))
        .try_complete(arguments.iter().cloned(), here.as_deref())
        .unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::CompletionShell;
    use crate::cli::Shell;
    use clap::ValueEnum;

    /// The completions of each shell that `export-env` knows; none where it has none.
    fn completions_of(shell: Shell) -> Option<CompletionShell> {
        match shell {
            Shell::Bash => Some(CompletionShell::Bash),
            Shell::Zsh => Some(CompletionShell::Zsh),
            Shell::Fish => Some(CompletionShell::Fish),
            Shell::Powershell => Some(CompletionShell::Powershell),
            Shell::Nu => Some(CompletionShell::Nushell),
            Shell::Sh | Shell::Cmd | Shell::Xonsh | Shell::Dotenv | Shell::Json | Shell::Github => {
                None
            }
        }
    }

    #[test]
    fn every_shell_with_completions_takes_its_own_name() {
        for shell in Shell::value_variants() {
            let by_name = CompletionShell::from_str(&shell.name(), true).ok();
            assert_eq!(by_name, completions_of(*shell), "{shell:?}");
        }
    }
}
