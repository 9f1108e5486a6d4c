//! The shell that runs this program.

use crate::cli::shell::Shell;
use crate::cli::system::System;
use crate::context::Environment;
use crate::env;

/// The nearest shell among the parent processes, else the one that `SHELL` names, else the
/// platform's own.
pub(in crate::cli) fn current_shell(system: &System) -> Shell {
    shell_among(&(system.ancestors)(), &system.environment)
}

/// The same, for these parent processes, nearest first.
pub(in crate::cli) fn shell_among(parents: &[String], environment: &Environment) -> Shell {
    let by_parent = parents.iter().find_map(|name| Shell::of_program(name));
    let by_variable = || {
        let name = environment.var_os(env::SHELL)?;
        Shell::of_program(&name.to_string_lossy())
    };
    by_parent.or_else(by_variable).unwrap_or(if cfg!(windows) {
        Shell::Powershell
    } else {
        Shell::Sh
    })
}
