//! `completions`: scripts that ask this program what fits, so that they know labels and never grow old.
//!
//! Completing asks no portal, no keychain and no person, and says nothing where something is wrong.

use std::ffi::OsString;
use std::io::Write;

use clap::{Args, Command, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use clap_complete::CompleteEnv;

use crate::cli::failure::Outcome;
use crate::cli::CommandContext;
use crate::env;

/// Set by the scripts, to the name of the shell that wants to know.
const VARIABLE: &str = env::AGE_OAUTH_COMPLETE;

const NAME: &str = "age-oauth";

#[derive(Args, Debug)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell
    shell: CompletionShell,
}

/// Shells that complete.
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
    mut program: Command,
) -> Outcome {
    let asking: &dyn EnvCompleter = match args.shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
        CompletionShell::Powershell => &Powershell,
        CompletionShell::Elvish => &Elvish,
        CompletionShell::Nushell => {
            let mut script = Vec::new();
            let nushell = clap_complete_nushell::Nushell;
            clap_complete::generate(nushell, &mut program, NAME, &mut script);
            return Ok(ctx.system.out.write_all(&script)?);
        }
    };
    let mut script = Vec::new();
    asking.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(ctx.system.out.write_all(&script)?)
}

/// Answers a script that asks what fits, and says whether one did.
pub(in crate::cli) fn complete(program: fn() -> Command, arguments: &[OsString]) -> bool {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(program)
        .var(VARIABLE)
        .try_complete(arguments.iter().cloned(), here.as_deref())
        .unwrap_or(true)
}
