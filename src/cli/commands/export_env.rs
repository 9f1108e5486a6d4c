//! `export-env`: statements that put a token into a shell's environment, or a failure that the shell sees.

use std::ffi::OsString;
use std::io::Write;

use clap::ValueEnum;

use super::variables::{self, PREFIX};
use crate::cli::args::ExportEnvArgs;
use crate::cli::host::Host;
use crate::cli::report::{Failure, Outcome};
use crate::cli::shell::{Shell, Unquotable, Variable};
use crate::cli::Desk;
use crate::error::Error;
use crate::files;

pub(in crate::cli) fn export_env(desk: &mut Desk, args: &ExportEnvArgs) -> Outcome {
    let prefix = args.prefix.as_deref().unwrap_or(PREFIX);
    let shell = shell(&desk.host, args.shell);
    if let Err(failure) = checked(prefix) {
        // No variable can have such a name, so that there is none to forget.
        fail(&mut desk.host, shell, &[])?;
        return Err(failure);
    }
    if args.unset {
        return match shell {
            Shell::Github => {
                append_to_github(desk, &variables::unset(args.prefix.as_deref()), None)
            }
            _ => print(desk, shell, &variables::unset(args.prefix.as_deref())),
        };
    }
    match set(desk, args, shell) {
        Ok((variables, token)) => {
            if shell == Shell::Github {
                return append_to_github(desk, &variables, Some(&token));
            }
            print(desk, shell, &variables)
        }
        Err(failure) => {
            fail(
                &mut desk.host,
                shell,
                &variables::unset(args.prefix.as_deref()),
            )?;
            Err(failure)
        }
    }
}

/// Evaluated, this forgets the old token and fails, so that no script goes on with it.
fn fail(host: &mut Host, shell: Shell, unset: &[Variable]) -> std::io::Result<()> {
    if !shell.is_evaluated() {
        return Ok(());
    }
    let text = shell.render(unset).unwrap_or_default();
    writeln!(host.out, "{text}{}", shell.failing_statement())?;
    host.out.flush()
}

/// The same for a command line that could not be understood: what evaluates it must not take nothing for success.
pub(in crate::cli) fn fail_unparsed(host: &mut Host, arguments: &[OsString]) {
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
        variables::unset(None)
    };
    let shell = shell(host, given);
    // Nobody is left to be told that nobody listens.
    let _ = fail(host, shell, &unset);
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
fn shell(host: &Host, given: Option<Shell>) -> Shell {
    if let Some(shell) = given {
        return shell;
    }
    let parents = (host.ancestors)();
    let by_parent = parents.iter().find_map(|name| Shell::of_program(name));
    let by_variable = || {
        let name = host.environment.var("SHELL")?;
        Shell::of_program(&name)
    };
    by_parent.or_else(by_variable).unwrap_or(if cfg!(windows) {
        Shell::Powershell
    } else {
        Shell::Sh
    })
}

fn set(
    desk: &Desk,
    args: &ExportEnvArgs,
    shell: Shell,
) -> Result<(Vec<Variable>, String), Failure> {
    let session = desk.session()?;
    let issued = session.access_token(&variables::want(args.min_ttl))?;
    let mut variables = variables::of(session.connection(), &issued, args.prefix.as_deref());
    if shell == Shell::Cmd {
        variables::name_by_id(&mut variables, session.connection());
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

fn print(desk: &mut Desk, shell: Shell, variables: &[Variable]) -> Outcome {
    let text = shell
        .render(variables)
        .map_err(|error| unquotable(&error, shell))?;
    desk.host.out.write_all(text.as_bytes())?;
    if let (true, Some(line)) = (desk.host.terminal.stdout, shell.loading_line()) {
        desk.talk.remark(&format!("To load it: {line}"));
    }
    Ok(())
}

/// The token is masked in the job's log before it is written anywhere.
fn append_to_github(desk: &mut Desk, variables: &[Variable], token: Option<&str>) -> Outcome {
    let Some(path) = desk.context.environment.path("GITHUB_ENV") else {
        return Err(Failure::usage(
            "GITHUB_ENV is not set; the form `github` works in a GitHub Actions job",
        ));
    };
    if let Some(token) = token {
        desk.answer(&format!("::add-mask::{token}"))?;
        desk.host.out.flush()?;
    }
    let text = Shell::Github
        .render(variables)
        .map_err(|error| unquotable(&error, Shell::Github))?;
    files::append_given(&path, text.as_bytes())
        .map_err(|why| Error::file("append to", path)(why).into())
}
