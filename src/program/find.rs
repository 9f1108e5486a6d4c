//! Finding a program by its name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::examine::is_executable;
use crate::context::Environment;
use crate::env;
use crate::error::{Error, Result};

/// The endings of programs where `PATHEXT` is not set.
const DEFAULT_ENDINGS: &str = ".COM;.EXE;.BAT;.CMD";

/// The absolute path of a program that a person names: by such a path, or by a name that is in a
/// folder of `PATH`. Relative folders count for nothing, because they lead to another program in
/// each folder.
pub(crate) fn find(name: &str, environment: &Environment) -> Result<PathBuf> {
    // The name is not repeated: who pastes a secret in its place finds it in no log.
    let bad = |why: String| Err(Error::invalid("client secret command", why));
    let named = Path::new(name);
    if !named.is_absolute() && named.components().count() != 1 {
        return bad(format!(
            "its first word, the program, is a relative path; give the whole path, or a name that is in a folder of {}",
            env::PATH
        ));
    }
    let path = environment.var_os(env::PATH).unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect();
    let found = if cfg!(windows) {
        let endings = endings(environment.var_os(env::PATHEXT));
        search(OsStr::new(name), &folders, &endings, Path::is_file)
    } else {
        let named = folders.iter().map(|folder| folder.join(named));
        named.into_iter().find(|path| is_executable(path))
    };
    match found {
        Some(path) => Ok(path),
        None if named.is_absolute() => {
            bad("there is no program at the path that is its first word".into())
        }
        None => bad(format!(
            "its first word, the program, is in no folder of {}; give its whole path",
            env::PATH
        )),
    }
}

/// The endings in `PATHEXT`.
pub(crate) fn endings(variable: Option<OsString>) -> String {
    variable.map_or(DEFAULT_ENDINGS.into(), |value| {
        value.to_string_lossy().into_owned()
    })
}

/// The file that a shell of Windows would run: a name without an ending is tried with each ending
/// of `PATHEXT`, in each folder. The current folder is not searched: PowerShell does not search it
/// either, cmd does.
pub(crate) fn search(
    program: &OsStr,
    folders: &[PathBuf],
    endings: &str,
    is_file: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let wanted = Path::new(program);
    let mut names = Vec::new();
    if wanted.extension().is_some() {
        names.push(program.to_owned());
    }
    for ending in endings.split(';').filter(|e| e.starts_with('.')) {
        let mut name = program.to_owned();
        name.push(ending);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn windows_finds_a_command_as_its_shells_do() {
        let there = ["a/tool.CMD", "b/tool.EXE", "b/only.EXE", "a/run.exe.BAT"];
        let folders = ["a", "b"].map(PathBuf::from);
        let found = |name: &str| {
            search(OsStr::new(name), &folders, DEFAULT_ENDINGS, |path| {
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

    #[cfg(unix)]
    #[test]
    fn rule_32_a_program_is_found_in_absolute_folders_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let (tool, text) = (file("tool", 0o755), file("text", 0o644));
        let here = folder.path().display();
        // Relative and empty folders, which mean the present one, are left out.
        for (path, expected) in [
            (format!("{here}"), Some(&tool)),
            (format!(":.:bin:{here}"), Some(&tool)),
            (":.:bin".to_owned(), None),
        ] {
            let environment = Environment::of([(env::PATH, path.clone())]);
            assert_eq!(find("tool", &environment).ok().as_ref(), expected, "{path}");
        }
        let environment = Environment::of([(env::PATH, here.to_string())]);
        assert_eq!(find(tool.to_str().unwrap(), &environment).unwrap(), tool);
        for bad in ["text", "none", "./tool", "bin/tool", text.to_str().unwrap()] {
            assert!(find(bad, &environment).is_err(), "{bad}");
        }
    }
}
