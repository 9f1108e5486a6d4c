//! `export-env`: statements that put a token into a shell's environment, or a failure that the shell sees.

use std::ffi::OsString;
use std::io::Write;

use clap::ValueEnum;

use crate::cli::args::ExportEnvArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::shared::token_variables::{self, PREFIX};
use crate::cli::shell::{Shell, Unquotable, Variable};
use crate::cli::system::System;
use crate::cli::CommandContext;
use crate::error::{Error, FileAction};
use crate::files;

pub(in crate::cli) fn export_env(ctx: &mut CommandContext, args: &ExportEnvArgs) -> Outcome {
    let prefix = args.prefix.as_deref().unwrap_or(PREFIX);
    let shell = shell(&ctx.system, args.shell);
    if let Err(failure) = checked(prefix) {
        // No variable can have such a name, so that there is none to forget.
        fail(&mut ctx.system, shell, &[])?;
        return Err(failure);
    }
    if args.unset {
        return match shell {
            Shell::Github => {
                append_to_github(ctx, &token_variables::unset(args.prefix.as_deref()), None)
            }
            _ => print(ctx, shell, &token_variables::unset(args.prefix.as_deref())),
        };
    }
    match set(ctx, args, shell) {
        Ok((variables, token)) => {
            if shell == Shell::Github {
                return append_to_github(ctx, &variables, Some(&token));
            }
            print(ctx, shell, &variables)
        }
        Err(failure) => {
            fail(
                &mut ctx.system,
                shell,
                &token_variables::unset(args.prefix.as_deref()),
            )?;
            Err(failure)
        }
    }
}

/// Evaluated, this forgets the old token and fails, so that no script goes on with it.
fn fail(system: &mut System, shell: Shell, unset: &[Variable]) -> std::io::Result<()> {
    if !shell.is_evaluated() {
        return Ok(());
    }
    let text = shell.render(unset).unwrap_or_default();
    writeln!(system.out, "{text}{}", shell.failing_statement())?;
    system.out.flush()
}

/// The same for a command line that could not be understood: what evaluates it must not take nothing for success.
pub(in crate::cli) fn fail_unparsed(system: &mut System, arguments: &[OsString]) {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    if !words.iter().any(|word| word == "export-env") {
        return;
    }
    let given = words.iter().enumerate().find_map(|(index, word)| {
        let name = match word.strip_prefix("--shell=") {
            Some(name) => Some(name),
            None if word == "--shell" => words.get(index + 1).map(AsRef::as_ref),
            None => None,
        };
        Shell::from_str(name?, true).ok()
    });
    let prefixed = words.iter().any(|word| word.starts_with("--prefix"));
    let unset = if prefixed {
        Vec::new()
    } else {
        token_variables::unset(None)
    };
    let shell = shell(system, given);
    // Nobody is left to be told that nobody listens.
    let _ = fail(system, shell, &unset);
}

fn checked(prefix: &str) -> Outcome {
    let good = prefix
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !prefix.starts_with(|c: char| c.is_ascii_digit());
    if good && !prefix.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        "--prefix is letters, digits and `_`, and does not begin with a digit",
    ))
}

/// The shell named, else the nearest one that this process descends from, else `$SHELL`, else the platform's own.
fn shell(system: &System, given: Option<Shell>) -> Shell {
    if let Some(shell) = given {
        return shell;
    }
    let parents = (system.ancestors)();
    let by_parent = parents.iter().find_map(|name| Shell::of_program(name));
    let by_variable = || {
        let name = system.environment.var("SHELL")?;
        Shell::of_program(&name)
    };
    by_parent.or_else(by_variable).unwrap_or(if cfg!(windows) {
        Shell::Powershell
    } else {
        Shell::Sh
    })
}

fn set(
    ctx: &CommandContext,
    args: &ExportEnvArgs,
    shell: Shell,
) -> Result<(Vec<Variable>, String), Failure> {
    let session = ctx.session()?;
    let issued = session.access_token(&token_variables::want(args.min_ttl))?;
    let mut variables = token_variables::of(session.connection(), &issued, args.prefix.as_deref());
    if shell == Shell::Cmd {
        token_variables::name_by_id(&mut variables, session.connection());
    }
    // A value that the form cannot carry must be found before anything is printed.
    shell
        .render(&variables)
        .map_err(|error| unquotable(&error, shell))?;
    Ok((variables, issued.access.secret.expose().to_owned()))
}

fn unquotable(error: &Unquotable, shell: Shell) -> Failure {
    let message = format!(
        "{} holds {}, which the form `{}` cannot carry",
        error.name,
        error.why,
        format!("{shell:?}").to_lowercase()
    );
    if shell == Shell::Cmd {
        return Failure::failed_hint(
            message,
            "PowerShell carries it: age-oauth export-env --shell powershell",
        );
    }
    Failure::failed(message)
}

fn print(ctx: &mut CommandContext, shell: Shell, variables: &[Variable]) -> Outcome {
    let text = shell
        .render(variables)
        .map_err(|error| unquotable(&error, shell))?;
    ctx.system.out.write_all(text.as_bytes())?;
    if let (true, Some(line)) = (ctx.system.terminal.stdout, shell.loading_line()) {
        ctx.console.info(&format!("To load it: {line}"));
    }
    Ok(())
}

/// The token is masked in the job's log before it is written anywhere.
fn append_to_github(
    ctx: &mut CommandContext,
    variables: &[Variable],
    token: Option<&str>,
) -> Outcome {
    let Some(path) = ctx.context.environment.path("GITHUB_ENV") else {
        return Err(Failure::usage(
            "GITHUB_ENV is not set; the form `github` works in a GitHub Actions job",
        ));
    };
    if let Some(token) = token {
        ctx.answer(&format!("::add-mask::{token}"))?;
        ctx.system.out.flush()?;
    }
    let text = Shell::Github
        .render(variables)
        .map_err(|error| unquotable(&error, Shell::Github))?;
    files::append_user_file(&path, text.as_bytes())
        .map_err(|why| Error::file(FileAction::Append, path)(why).into())
}
