//! `man`: manual pages, out of the definitions that the program parses by.

use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::{Cli, ManArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::CommandContext;
use crate::error::{Error, FileAction};
use crate::files::UserOutput;

pub(in crate::cli) fn man(ctx: &mut CommandContext, args: &ManArgs) -> Outcome {
    let mut program = Cli::command();
    program.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).map_err(Error::file(FileAction::Create, dir))?;
        return write_all(&program, dir);
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

/// Writes the page of this command and of all below it into a folder, except those of `help`, which repeat the others.
fn write_all(command: &Command, dir: &Path) -> Outcome {
    let path = dir.join(format!("{}.1", full_name(command)));
    let page = page(command)?;
    UserOutput::create(&path)
        .and_then(|mut output| {
            output.file().write_all(&page)?;
            output.finish()
        })
        .map_err(Error::file(FileAction::Write, path))?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .try_for_each(|command| write_all(command, dir))
}

fn full_name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(full_name(command).to_owned())
        .render(&mut page)?;
    Ok(page)
}
