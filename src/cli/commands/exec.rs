//! `exec`: a command with a token in its environment, and nowhere else.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::cli::args::ExecArgs;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::launch::Launch;
use crate::cli::shared::token_variables;
use crate::cli::CommandContext;

pub(in crate::cli) fn exec(ctx: &mut CommandContext, args: &ExecArgs) -> Outcome {
    let session = ctx.session()?;
    let issued = session.access_token(&token_variables::want(args.min_ttl))?;
    let variables = token_variables::of(session.connection(), &issued, None)
        .into_iter()
        .map(|variable| (variable.name, variable.value))
        .collect();
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("no command was given after --"));
    };
    let launch = Launch {
        program: program.clone(),
        arguments: arguments.to_vec(),
        variables,
    };
    drop((issued, session));
    let why = (ctx.system.launch)(launch);
    Err(not_started(program, &why))
}

fn not_started(program: &OsString, why: &io::Error) -> Failure {
    let name = Path::new(program).display();
    if why.kind() == io::ErrorKind::NotFound {
        return Failure::NotStarted {
            message: format!("there is no command `{name}`"),
            code: ExitCode::NotFound,
        };
    }
    Failure::NotStarted {
        message: format!("`{name}` could not be started: {why}"),
        code: ExitCode::NotExecutable,
    }
}
