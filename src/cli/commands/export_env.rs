//! `export-env`: statements that put a token into a shell's environment, or statements that fail.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::powershell::{self, TokenCall};
use crate::cli::shared::api_key;
use crate::cli::shared::current_shell::current_shell;
use crate::cli::shared::duration::min_ttl_help;
use crate::cli::shared::help::{examples, with_default};
use crate::cli::shared::token_variables::{self, PREFIX};
use crate::cli::shell::{Delivery, Shell, Unquotable, Variable};
use crate::cli::system::System;
use crate::cli::CommandContext;
use crate::env;
use crate::error::{Error, FileAction};
use crate::event::Decision;
use crate::files;
use crate::policy::ENVIRONMENT_MIN_TTL;
use crate::session::{Session, UsableToken};

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    (Shell::Bash.loading_line().unwrap_or_default(), "bash, zsh and sh"),
    (Shell::Powershell.loading_line().unwrap_or_default(), "PowerShell"),
    ("age-oauth export-env --shell dotenv > .env", "a file for other programs"),
]))]
pub(in crate::cli) struct ExportEnvArgs {
    #[arg(long, value_name = "SHELL", hide_possible_values = true, help = shell_help())]
    shell: Option<Shell>,
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = crate::duration::parse_duration,
        help = min_ttl_help(ENVIRONMENT_MIN_TTL)
    )]
    min_ttl: Option<Duration>,
    #[arg(
        long,
        value_name = "PREFIX",
        help = with_default("What the names begin with", PREFIX)
    )]
    prefix: Option<String>,
    /// Print statements that remove the variables again
    #[arg(long)]
    unset: bool,
}

fn shell_help() -> String {
    let names: Vec<_> = Shell::value_variants()
        .iter()
        .map(|shell| shell.name())
        .collect();
    with_default(
        &format!("The form: {}", names.join(", ")),
        "the shell that runs this",
    )
}

pub(in crate::cli) fn export_env(ctx: &mut CommandContext, args: &ExportEnvArgs) -> Outcome {
    let prefix = args.prefix.as_deref();
    let shell = args.shell.unwrap_or_else(|| current_shell(&ctx.system));
    if let Err(failure) = check_prefix(prefix.unwrap_or(PREFIX)) {
        // Variables cannot have such names, so there is nothing to unset.
        print_failure(&mut ctx.system, shell, &[])?;
        return Err(failure);
    }
    if args.unset {
        let unset = token_variables::unset(prefix);
        let text = shell
            .render(&unset)
            .map_err(|error| unquotable(&error, shell))?;
        return deliver(ctx, shell, &text, None);
    }
    match statements(ctx, args, shell) {
        Ok((text, token)) => deliver(ctx, shell, &text, Some(&token)),
        Err(failure) => {
            print_failure(&mut ctx.system, shell, &token_variables::unset(prefix))?;
            Err(failure)
        }
    }
}

/// Prints statements that unset the old token and fail, so that a script which evaluates them does
/// not continue with it.
fn print_failure(system: &mut System, shell: Shell, unset: &[Variable]) -> std::io::Result<()> {
    let Some(text) = shell.failure(unset) else {
        return Ok(());
    };
    system.out.write_all(text.as_bytes())?;
    system.out.flush()
}

/// The same after a command line that clap refused: without it, a shell would evaluate nothing, and
/// call that a success.
pub(in crate::cli) fn fail_unparsed(system: &mut System, arguments: &[OsString]) {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    if !words.iter().any(|word| word == "export-env") {
        return;
    }
    let shell = words.iter().enumerate().find_map(|(index, word)| {
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
    let shell = shell.unwrap_or_else(|| current_shell(system));
    // If standard output is closed, nothing more can be done.
    let _ = print_failure(system, shell, &unset);
}

fn check_prefix(prefix: &str) -> Outcome {
    let good = prefix
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !prefix.starts_with(|c: char| c.is_ascii_digit());
    if good && !prefix.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        "--prefix may contain letters, digits and `_`, and must not begin with a digit",
    ))
}

/// The statements, and the token that they load.
fn statements(
    ctx: &CommandContext,
    args: &ExportEnvArgs,
    shell: Shell,
) -> Result<(String, String), Failure> {
    let session = ctx.session()?;
    let token = session.access_token(&token_variables::token_request(args.min_ttl))?;
    let mut variables =
        token_variables::values(session.connection(), &token, args.prefix.as_deref());
    if shell.names_connection_by_id() {
        token_variables::name_by_id(&mut variables, session.connection());
    }
    let text = if shell.holds_token() {
        shell.render(&variables)
    } else {
        powershell::statements(&variables, &token_call(ctx, args, &session, &token)?)
    };
    let text = text.map_err(|error| unquotable(&error, shell))?;
    api_key::warn_long_lived(ctx, session.connection());
    Ok((text, token.access.secret.expose().to_owned()))
}

/// The call by which PowerShell gets the same token, under the same conditions.
fn token_call(
    ctx: &CommandContext,
    args: &ExportEnvArgs,
    session: &Session,
    token: &UsableToken,
) -> Result<TokenCall, Failure> {
    let connection = session.connection();
    let digest = token_variables::identity_digest(connection, token.username.as_deref());
    // Warnings were shown by this call already.
    let mut arguments = vec!["token".to_owned(), "--quiet".into()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--connection-id", connection.id.to_string());
    option("--for-statements", digest);
    let min_ttl = match token.decision {
        // A second attempt to reach the portal would only wait again.
        Decision::Fallback => Some(Duration::ZERO),
        _ => args.min_ttl,
    };
    if let Some(min_ttl) = min_ttl {
        option("--min-ttl", format!("{}s", min_ttl.as_secs()));
    }
    let left = ctx.bound(Duration::MAX);
    if left < Duration::MAX {
        option("--timeout", format!("{}s", left.as_secs().max(1)));
    }
    if ctx.no_input {
        arguments.push("--no-input".into());
    }
    Ok(TokenCall {
        program: own_path()?,
        arguments,
        names: token_variables::token_names(args.prefix.as_deref()),
    })
}

/// This program, as PowerShell starts it. A path that is changed could be that of another program.
fn own_path() -> Result<String, Failure> {
    let path = std::env::current_exe()?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::failed_hint(
            format!(
                "PowerShell cannot start {}: the path is not UTF-8",
                path.display()
            ),
            "move age-oauth to a folder with a name in UTF-8, or use: age-oauth exec -- COMMAND",
        )
    })
}

fn unquotable(error: &Unquotable, shell: Shell) -> Failure {
    let message = format!(
        "{} contains {}, which the form `{}` cannot carry",
        error.name,
        error.why,
        shell.name()
    );
    match shell.alternative() {
        Some(hint) => Failure::failed_hint(message, hint),
        None => Failure::failed(message),
    }
}

fn deliver(ctx: &mut CommandContext, shell: Shell, text: &str, token: Option<&str>) -> Outcome {
    match shell.delivery() {
        Delivery::Print => print(ctx, shell, text),
        Delivery::GithubFile => append_to_github(ctx, text, token),
    }
}

fn print(ctx: &mut CommandContext, shell: Shell, text: &str) -> Outcome {
    if !ctx.system.terminal.stdout {
        return Ok(ctx.system.out.write_all(text.as_bytes())?);
    }
    // A person only looks at it here, so that what would control the terminal is made visible.
    for line in text.lines() {
        ctx.answer(&escape(line))?;
    }
    if let Some(line) = shell.loading_line() {
        ctx.console.info(&format!("To load it: {line}"));
    }
    Ok(())
}

/// Masks the token in the job's log before it is written anywhere.
fn append_to_github(ctx: &mut CommandContext, text: &str, token: Option<&str>) -> Outcome {
    let Some(path) = ctx.context.environment.path(env::GITHUB_ENV) else {
        return Err(Failure::usage(format!(
            "{} is not set; the form `github` works only in a GitHub Actions job",
            env::GITHUB_ENV
        )));
    };
    if let Some(token) = token {
        ctx.answer(&format!("::add-mask::{token}"))?;
        ctx.system.out.flush()?;
    }
    files::append_user_file(&path, text.as_bytes())
        .map_err(|why| Error::file(FileAction::Append, path)(why).into())
}
