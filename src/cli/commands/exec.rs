//! `exec`: runs a command with a token in its environment, and nowhere else.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::launch::Launch;
use crate::cli::shared::duration::min_ttl_help;
use crate::cli::shared::help::examples;
use crate::cli::shared::token_variables;
use crate::cli::CommandContext;
use crate::policy::ENVIRONMENT_MIN_TTL;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth exec -- python nightly.py", "the command reads ARCGIS_TOKEN"),
    ("age-oauth exec -c prod --min-ttl 25m -- Rscript report.R", "with a token that lives for 25 minutes"),
]))]
pub(in crate::cli) struct ExecArgs {
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = crate::duration::parse_duration,
        help = min_ttl_help(ENVIRONMENT_MIN_TTL)
    )]
    min_ttl: Option<Duration>,
}

pub(in crate::cli) fn exec(ctx: &mut CommandContext, args: &ExecArgs) -> Outcome {
    let session = ctx.session()?;
    let token = session.access_token(&token_variables::token_request(args.min_ttl))?;
    let variables = token_variables::values(session.connection(), &token, None)
        .into_iter()
        .map(|variable| (variable.name, variable.value))
        .collect();
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("the command after -- is missing"));
    };
    let launch = Launch {
        program: program.clone(),
        arguments: arguments.to_vec(),
        variables,
    };
    drop((token, session));
    let why = (ctx.system.launch)(launch);
    Err(not_started(program, &why))
}

fn not_started(program: &OsString, why: &io::Error) -> Failure {
    let name = Path::new(program).display();
    if why.kind() == io::ErrorKind::NotFound {
        return Failure::NotStarted {
            message: format!("the command `{name}` was not found"),
            code: ExitCode::NotFound,
        };
    }
    Failure::NotStarted {
        message: format!("`{name}` could not be started: {why}"),
        code: ExitCode::NotExecutable,
    }
}
