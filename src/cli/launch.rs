//! Runs another program in place of this one.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::Command;

/// A command, and the changes to its environment.
pub struct Launch {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables to set; one without a value is removed.
    pub variables: Vec<(String, Option<String>)>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may hold a token.
        f.debug_struct("Launch")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl Launch {
    fn command(&self, program: OsString) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// Replaces this process by the program, which then gets the signals and decides the exit code.
/// Returns only if the program could not be started.
#[cfg(unix)]
pub(super) fn launch(launch: &Launch) -> io::Error {
    use std::os::unix::process::CommandExt;
    launch.command(launch.program.clone()).exec()
}

/// Windows cannot replace a process: this one waits, leaves Ctrl-C to the child, and ends with the
/// child's exit code.
#[cfg(windows)]
pub(super) fn launch(launch: &Launch) -> io::Error {
    // Without a handler, Ctrl-C would end this process and leave the child running beside the
    // shell.
    let _ = ctrlc::set_handler(|| ());
    let found = windows::find(&launch.program).unwrap_or_else(|| launch.program.clone());
    match launch.command(found).status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(why) => why,
    }
}

#[cfg(windows)]
mod windows {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    use crate::program::{endings, search};

    /// The file that a shell would run.
    pub(super) fn find(program: &OsStr) -> Option<OsString> {
        let endings = endings(std::env::var_os(crate::env::PATHEXT));
        let path = std::env::var_os(crate::env::PATH).unwrap_or_default();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        search(program, &folders, &endings, Path::is_file).map(PathBuf::into_os_string)
    }
}
