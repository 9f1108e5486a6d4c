//! Who could change what a client secret command runs: its program, the interpreter that a script
//! names, and the files that the command names.

use std::io;
use std::path::{Path, PathBuf};

use super::Ran;
use crate::connection::SecretCommand;
use crate::error::SecretCommandFailure;
use crate::files;
use crate::trusted::Changeable;
#[cfg(unix)]
use crate::trusted::{is_socket_of, Fault};

/// Whether the program is there, and only this user and the administrator can change it, its
/// interpreters, and what an argument names by its whole path, or create it.
///
/// An argument may be a script, a folder with one, or only data. Each decides what is taken for the
/// client secret. The socket of a service is none of that: a program talks to it, and a person who
/// names it trusts the service.
pub(crate) fn check(command: &SecretCommand) -> Ran<()> {
    let program = command.program();
    let missing = || SecretCommandFailure::NoProgram(program.to_owned());
    // Nothing is started then, so that it does not matter who could create it.
    if matches!(program.try_exists(), Ok(false)) {
        return Err(missing());
    }
    match files::changeable_by_others(program) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Ok(None) if !program.is_file() => return Err(missing()),
        // As the system would say where it is started.
        Ok(None) if !is_executable(program) => {
            let denied = io::ErrorKind::PermissionDenied.into();
            return Err(SecretCommandFailure::NotStarted(denied));
        }
        found => judge(program, found)?,
    }
    let named = command.arguments().iter().map(PathBuf::from);
    let named = named.chain(interpreters(program));
    for path in named.filter(|path| path.is_absolute()) {
        judge_named(&path)?;
    }
    Ok(())
}

/// What is there can be replaced by something of another kind until the program opens it, and what
/// is not there can be created, so that neither decides whether it is examined.
fn judge_named(path: &Path) -> Ran<()> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let path = if is_own_stream(path) {
        Path::new("/dev")
    } else {
        path
    };
    match files::changeable_by_others(path) {
        // Everything above it that this user can see was found good. What the user cannot see, the
        // program does not see either, unless it becomes an administrator.
        Err(why)
            if matches!(
                why.kind(),
                NotFound | NotADirectory | InvalidFilename | PermissionDenied
            ) =>
        {
            Ok(())
        }
        Ok(None) if matches!(files::others_create_files_in(path), Ok(true)) => {
            Err(SecretCommandFailure::Unsafe {
                path: path.to_owned(),
                why: "is a folder in which others can create files".to_owned(),
                is_missing: true,
            })
        }
        #[cfg(unix)]
        Ok(Some(Changeable {
            fault: Fault::Owner(account),
            ..
        })) if is_socket_of(path, account) => Ok(()),
        found => judge(path, found),
    }
}

/// Whether it is one of the open files of the process that opens it, such as `/dev/stdin`. Those of
/// this process say nothing about those of the program.
fn is_own_stream(path: &Path) -> bool {
    const STREAMS: [&str; 3] = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let is_numbered = || path.parent() == Some(Path::new("/dev/fd")) && path.file_name().is_some();
    cfg!(unix) && (STREAMS.iter().any(|stream| path == Path::new(stream)) || is_numbered())
}

/// Whether the file may be executed, by whomever.
#[cfg(unix)]
pub(super) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Elsewhere, no permission says so.
#[cfg(not(unix))]
pub(super) fn is_executable(path: &Path) -> bool {
    path.is_file()
}

fn judge(path: &Path, found: io::Result<Option<Changeable>>) -> Ran<()> {
    Err(match found {
        Ok(None) => return Ok(()),
        Ok(Some(found)) => SecretCommandFailure::Unsafe {
            path: found.path,
            why: found.fault.to_string(),
            is_missing: found.fault.is_missing(),
        },
        Err(why) => SecretCommandFailure::Unsafe {
            path: path.to_owned(),
            why: format!("cannot be examined ({why})"),
            is_missing: false,
        },
    })
}

/// The interpreter of a script, the file that its line names behind that, and the interpreter's
/// own where that is a script as well.
#[cfg(unix)]
fn interpreters(program: &Path) -> Vec<PathBuf> {
    /// As many as Linux follows.
    const MOST: usize = 5;
    let mut found = Vec::new();
    let mut script = program.to_owned();
    for _ in 0..MOST {
        let Some((interpreter, argument)) = first_line(&script) else {
            break;
        };
        // A relative one counts from the folder that the program is started in.
        let folder = program.parent().unwrap_or(program);
        script = folder.join(interpreter);
        found.push(script.clone());
        found.extend(argument);
    }
    found
}

/// On Windows, the ending of the name decides what runs a script.
#[cfg(not(unix))]
fn interpreters(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// The interpreter in the first line of a script, and its argument. `None` for other programs, and
/// for one that cannot be read, which no interpreter could read either.
#[cfg(unix)]
fn first_line(script: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    use std::ffi::OsStr;
    use std::io::Read as _;
    use std::os::unix::ffi::OsStrExt as _;
    /// Systems read no more of the line.
    const LONGEST: u64 = 512;
    let mut bytes = Vec::new();
    let file = files::open_user_file(script).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n');
    let line = line.into_iter().next()?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace);
    let (interpreter, rest) = line.split_at(end.unwrap_or(line.len()));
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let rest = rest.trim_ascii();
    (!interpreter.is_empty()).then(|| (path(interpreter), (!rest.is_empty()).then(|| path(rest))))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o755);
        path
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The file for which a command with these words is refused.
    fn refused(words: &[&Path]) -> Option<PathBuf> {
        let words = words.iter().map(|word| word.to_str().unwrap().to_owned());
        let command = SecretCommand::from_words(words.collect()).unwrap();
        match check(&command) {
            Ok(()) => None,
            Err(SecretCommandFailure::Unsafe { path, .. }) => Some(path),
            Err(other) => Some(other.to_string().into()),
        }
    }

    #[test]
    fn rule_32_the_interpreter_of_a_script_is_examined_as_its_program_is() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let shell = file(&real, "shell", "#!/bin/sh\n");
        let library = file(&real, "library", "");
        for line in [
            format!("#!{}\n", shell.display()),
            format!("#! \t{} -e\r\n", shell.display()),
            "#!shell\n".to_owned(),
            format!("#!/bin/sh {}", shell.display()),
            format!("#!{}\n", file(&real, "outer", "#!shell x\n").display()),
        ] {
            let script = file(&real, "script", &line);
            assert_eq!(refused(&[&script]), None, "{line}");
            set_mode(&shell, 0o757);
            assert_eq!(refused(&[&script]), Some(shell.clone()), "{line}");
            set_mode(&shell, 0o755);
        }
        // Two scripts that name each other are run by nothing.
        let circle = file(&real, "circle", "#!circle\n");
        assert_eq!(refused(&[&circle]), None);
        let none = file(&real, "none", "#!\n");
        assert_eq!(refused(&[&none, &library]), None);
    }

    #[test]
    fn rule_32_a_file_that_the_command_names_is_examined() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let shell = Path::new("/bin/sh");
        let script = file(&real, "script", "echo s\n");
        set_mode(&script, 0o644);
        assert_eq!(refused(&[shell, &script]), None);
        for mode in [0o646, 0o666] {
            set_mode(&script, mode);
            let words: [&[&Path]; 2] = [&[shell, &script], &[shell, Path::new("-e"), &script]];
            for words in words {
                assert_eq!(refused(words), Some(script.clone()), "{mode:o}");
            }
        }
        // An interpreter runs what others could put into a folder, such as `__main__.py`.
        let shared = std::env::temp_dir().canonicalize().unwrap();
        if fs::metadata(&shared).unwrap().permissions().mode() & 0o022 != 0 {
            assert_eq!(refused(&[shell, &shared]), Some(shared));
        }
        // What others can neither replace nor create, and what is only a part of a word.
        let option = format!("--file={}", script.display());
        let none = real.join("none").display().to_string();
        for word in [
            "/dev/null",
            "/dev/stdin",
            "/dev/fd/0",
            "/etc",
            "/none",
            "/none/none",
            "/etc/passwd/none",
            "/verbose",
            "script",
            &none,
            &option,
        ] {
            assert_eq!(refused(&[shell, Path::new(word)]), None, "{word}");
        }
        let link = real.join("link");
        std::os::unix::fs::symlink(&script, &link).unwrap();
        assert_eq!(refused(&[shell, &link]), Some(script));
    }

    /// Another user could put a FIFO in the place of a script, or a folder with a `__main__.py`, or
    /// take the script away until it is examined.
    #[test]
    fn rule_32_what_the_command_names_is_examined_whatever_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let open = real.join("open");
        fs::create_dir(&open).unwrap();
        set_mode(&open, 0o755);
        let [fifo, below, socket, none] =
            ["fifo", "folder", "socket", "none"].map(|name| open.join(name));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        set_mode(&fifo, 0o644);
        fs::create_dir(&below).unwrap();
        set_mode(&below, 0o755);
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let shell = Path::new("/bin/sh");
        for path in [&fifo, &below, &socket, &none] {
            assert_eq!(refused(&[shell, path]), None, "{}", path.display());
            set_mode(&open, 0o777);
            assert_eq!(refused(&[shell, path]), Some(open.clone()));
            set_mode(&open, 0o755);
        }
        for path in [&fifo, &below] {
            set_mode(path, 0o777);
            assert_eq!(refused(&[shell, path]), Some(path.clone()));
        }
        // Who may connect to a socket does not change who listens.
        set_mode(&socket, 0o777);
        assert_eq!(refused(&[shell, &socket]), None);
        // A sticky bit protects the files that are there, and lets others create more.
        set_mode(&open, 0o1777);
        assert_eq!(refused(&[shell, &socket]), None);
        assert_eq!(refused(&[shell, &none]), Some(none.clone()));
        assert_eq!(refused(&[shell, &open]), Some(open.clone()));
    }

    /// Only root can give files to another account.
    #[test]
    fn rule_32_a_socket_may_be_that_of_a_service_and_a_file_may_not() {
        const SERVICE: Option<u32> = Some(4242);
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let real = folder.path().canonicalize().unwrap();
        set_mode(&real, 0o755);
        let run = real.join("run");
        fs::create_dir(&run).unwrap();
        set_mode(&run, 0o755);
        let socket = run.join("agent.sock");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let script = file(&run, "script", "echo s\n");
        let all = [&run, &socket, &script];
        let give = |to| all.map(|path| std::os::unix::fs::chown(path, to, None));
        if give(SERVICE).iter().any(Result::is_err) {
            return;
        }
        let shell = Path::new("/bin/sh");
        set_mode(&socket, 0o777);
        assert_eq!(refused(&[shell, &socket]), None);
        assert_eq!(refused(&[shell, &script]), Some(run.clone()));
        assert_eq!(refused(&[shell, &run]), Some(run.clone()));
        // As a program, it would be started.
        assert!(refused(&[&socket]).is_some());
        // A third account could put its own socket there.
        set_mode(&run, 0o777);
        assert_eq!(refused(&[shell, &socket]), Some(run.clone()));
        set_mode(&run, 0o755);
        let own = |path: &Path, to| std::os::unix::fs::chown(path, Some(to), None).unwrap();
        own(&socket, 4243);
        assert_eq!(refused(&[shell, &socket]), Some(run.clone()));
        // A third account's folder on the way.
        own(&run, 4242);
        let inner = run.join("inner");
        fs::create_dir(&inner).unwrap();
        set_mode(&inner, 0o755);
        let below = inner.join("agent.sock");
        let _also_listening = std::os::unix::net::UnixListener::bind(&below).unwrap();
        own(&below, 4242);
        own(&inner, 4242);
        assert_eq!(refused(&[shell, &below]), None);
        own(&inner, 4243);
        assert_eq!(refused(&[shell, &below]), Some(run.clone()));
        for given in give(Some(0)) {
            given.unwrap();
        }
        own(&socket, 4242);
        assert_eq!(refused(&[shell, &socket]), None);
        // While the service does not run, anyone could put its own socket there.
        set_mode(&run, 0o1777);
        assert_eq!(refused(&[shell, &socket]), Some(socket.clone()));
        set_mode(&run, 0o755);
        set_mode(&real, 0o1777);
        own(&run, 4242);
        assert_eq!(refused(&[shell, &socket]), Some(run.clone()));
    }
}
