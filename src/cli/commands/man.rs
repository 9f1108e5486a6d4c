//! `man`: manual pages, out of the definitions that the program parses by.

use std::io::Write;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::args::{Cli, ManArgs};
use crate::cli::report::{Failure, Outcome};
use crate::cli::words::escape;
use crate::cli::Desk;
use crate::error::Error;

pub(in crate::cli) fn man(desk: &mut Desk, args: &ManArgs) -> Outcome {
    let mut program = Cli::command();
    program.build();
    if let Some(dir) = &args.dir {
        return std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(program, dir))
            .map_err(|source| {
                Failure::Library(Error::File {
                    action: "write",
                    path: dir.clone(),
                    source,
                })
            });
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
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(name.to_owned())
        .render(&mut page)?;
    Ok(desk.host.out.write_all(&page)?)
}
