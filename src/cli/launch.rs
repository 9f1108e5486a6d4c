//! Runs another program in place of this one.

use std::ffi::OsString;
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

#[cfg(any(windows, test))]
mod windows {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    /// The file that a shell would run: a name without an extension is tried with each ending of
    /// `PATHEXT`, in each folder of `PATH`. The current folder is not searched: PowerShell does not
    /// search it either, cmd does.
    #[cfg_attr(not(windows), allow(dead_code))]
    pub(super) fn find(program: &OsStr) -> Option<OsString> {
        let extensions = std::env::var_os(crate::env::PATHEXT)
            .map_or(".COM;.EXE;.BAT;.CMD".into(), |value| {
                value.to_string_lossy().into_owned()
            });
        let path = std::env::var_os(crate::env::PATH).unwrap_or_default();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        search(program, &folders, &extensions, Path::is_file).map(PathBuf::into_os_string)
    }

    pub(super) fn search(
        program: &OsStr,
        folders: &[PathBuf],
        extensions: &str,
        is_file: impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        let wanted = Path::new(program);
        let mut names = Vec::new();
        if wanted.extension().is_some() {
            names.push(program.to_owned());
        }
        for extension in extensions.split(';').filter(|e| e.starts_with('.')) {
            let mut name = program.to_owned();
            name.push(extension);
            names.push(name);
        }
        let has_folder = wanted.components().count() > 1 || wanted.is_absolute();
        let here = [PathBuf::new()];
        let folders = if has_folder { &here[..] } else { folders };
        folders
            .iter()
            .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
            .find(|path| is_file(path))
    }
}

#[cfg(test)]
mod tests {
    use super::windows::search;
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    #[test]
    fn windows_finds_a_command_as_its_shells_do() {
        let there = ["a/tool.CMD", "b/tool.EXE", "b/only.EXE", "a/run.exe.BAT"];
        let folders = ["a", "b"].map(PathBuf::from);
        let found = |name: &str| {
            search(OsStr::new(name), &folders, ".COM;.EXE;.BAT;.CMD", |path| {
                there.iter().any(|file| Path::new(file) == path)
            })
        };
        assert_eq!(found("tool"), Some("a/tool.CMD".into()));
        assert_eq!(found("tool.EXE"), Some("b/tool.EXE".into()));
        assert_eq!(found("only"), Some("b/only.EXE".into()));
        assert_eq!(found("run.exe"), Some("a/run.exe.BAT".into()));
        assert_eq!(found("b/only"), Some("b/only.EXE".into()));
        assert_eq!(found("none"), None);
    }
}
