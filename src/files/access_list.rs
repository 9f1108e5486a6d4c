//! Access lists on Windows, and the programs that show and set them. A folder below the user's
//! profile inherits a list with its owner alone on it; a folder elsewhere gets such a list from
//! this program.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
#[cfg(feature = "cli")]
use std::sync::mpsc;
use std::sync::Mutex;
#[cfg(feature = "cli")]
use std::thread;

use super::sddl::{lets_others_change, names_others, saved, stranger, Place};
#[cfg(feature = "cli")]
use crate::policy::command_line::LOGON_TIMEOUT;
use crate::util::lock;

/// Keeps a console program from opening a console window (`CREATE_NO_WINDOW`).
const NO_WINDOW: u32 = 0x0800_0000;

/// Gives the folder an access list with its owner alone on it, unless it is below the user's
/// profile. What is created in it later inherits that list.
pub(crate) fn restrict_to_owner(folder: &Path) -> io::Result<()> {
    if dirs::home_dir().is_some_and(|profile| is_below(folder, &profile)) {
        return Ok(());
    }
    let grant = format!("{}:(OI)(CI)F", present_user()?);
    let mut icacls = Command::new(system_program("icacls.exe"));
    icacls.arg(folder).args(["/inheritance:r", "/grant:r"]);
    let output = run(icacls.arg(grant).arg("/q"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "its access list could not be set: {}",
        message.trim()
    )))
}

/// Whether the folder's access list admits others than this user, the system and its
/// administrators.
pub(crate) fn admits_others(folder: &Path) -> io::Result<bool> {
    if dirs::home_dir().is_some_and(|profile| is_below(folder, &profile)) {
        return Ok(false);
    }
    let text = descriptor(folder)?;
    let user = present_user()?;
    Ok(names_others(&text, user.trim_start_matches('*')))
}

/// Whether others than this user, the system and its administrators could replace a program whose
/// file or folder this is.
pub(crate) fn changeable(path: &Path, place: Place) -> io::Result<bool> {
    let text = descriptor(path)?;
    let user = present_user()?;
    Ok(lets_others_change(
        &text,
        user.trim_start_matches('*'),
        place,
    ))
}

/// Whom a file with a secret lets read or change it, besides its owner, administrators, and the
/// accounts that are named on its access list. `None` where it admits no others.
pub(crate) fn admitted_stranger(file: &Path) -> io::Result<Option<String>> {
    /// Each call reads the file, and `icacls` costs more than the rest of a call. What another
    /// program opens meanwhile is noticed by the next process.
    static PRIVATE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    // Some file systems do not say where a link leads.
    let real = file.canonicalize().map_or_else(|_| file.to_owned(), plain);
    if is_in_profile(&real) || lock(&PRIVATE).contains(&real) {
        return Ok(None);
    }
    let found = stranger(&descriptor(&real)?);
    if found.is_none() {
        lock(&PRIVATE).insert(real);
    }
    Ok(found)
}

/// Whether the path is in the user's profile, which Windows closes to other users.
pub(crate) fn is_in_profile(path: &Path) -> bool {
    dirs::home_dir().is_some_and(|profile| is_below(path, &profile))
}

/// The path as people and `icacls` write it, where it is on a disk or a share.
pub(crate) fn plain(path: PathBuf) -> PathBuf {
    let text = path.to_string_lossy().into_owned();
    let Some(rest) = text.strip_prefix(r"\\?\") else {
        return path;
    };
    match rest.strip_prefix(r"UNC\") {
        Some(share) => format!(r"\\{share}").into(),
        None if rest.as_bytes().get(1) == Some(&b':') => rest.into(),
        None => path,
    }
}

/// The access list in Windows' notation (SDDL).
fn descriptor(path: &Path) -> io::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    let mut icacls = Command::new(system_program("icacls.exe"));
    run(icacls.arg(path).arg("/save").arg(file.path()).arg("/q"))?;
    saved(&std::fs::read(file.path())?)
        .ok_or_else(|| io::Error::other("icacls does not say who is on it"))
}

/// The groups that this process was logged on with, as `whoami` lists them. It may ask a server of
/// the domain for their names, and is ended when it takes too long.
#[cfg(feature = "cli")]
pub(crate) fn groups() -> io::Result<String> {
    use std::io::Read as _;
    use std::os::windows::process::CommandExt as _;
    let mut child = Command::new(system_program("whoami.exe"))
        .args(["/groups", "/fo", "csv", "/nh"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .creation_flags(NO_WINDOW)
        .spawn()?;
    let output = child.stdout.take();
    let (sender, answer) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map(|mut output| output.read_to_end(&mut bytes));
        // The receiver may have given up.
        let _ = sender.send(matches!(read, Some(Ok(_))).then_some(bytes));
    });
    let bytes = answer.recv_timeout(LOGON_TIMEOUT);
    // It has ended, or must. An error says that it has.
    let _ = child.kill();
    child.wait()?;
    let bytes = bytes.map_err(|_| io::ErrorKind::TimedOut)?;
    let bytes = bytes.ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Paths are compared without regard to case, as Windows does.
fn is_below(path: &Path, folder: &Path) -> bool {
    let lowercase = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        PathBuf::from(path.to_string_lossy().to_lowercase())
    };
    lowercase(path).starts_with(lowercase(folder))
}

/// The user of this process as `icacls` expects it: `*` and the security identifier, because names
/// change; else the name.
fn present_user() -> io::Result<String> {
    let whoami = || Command::new(system_program("whoami.exe"));
    let answer = |output: Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().to_owned()
    };
    let line = answer(run(whoami().args(["/user", "/fo", "csv", "/nh"]))?);
    if let Some(identifier) = identifier(&line) {
        return Ok(format!("*{identifier}"));
    }
    let name = answer(run(&mut whoami())?);
    if name.contains('\\') && !name.contains(['\n', '"', ':']) {
        return Ok(name);
    }
    Err(io::Error::other("Windows does not say which user this is"))
}

/// The last field of `"domain\user","S-1-5-21-…"`.
fn identifier(line: &str) -> Option<String> {
    let field = line.trim().rsplit(',').next()?.trim_matches('"');
    let digits = field.strip_prefix("S-1-")?;
    let good = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '-');
    good.then(|| field.to_owned())
}

/// A program of Windows, independent of the search path: a program of the same name elsewhere must
/// not run.
pub(crate) fn system_program(name: &str) -> PathBuf {
    let version = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let root = windows_registry::LOCAL_MACHINE
        .open(version)
        .and_then(|key| key.get_string("SystemRoot"))
        .unwrap_or_else(|_| r"C:\Windows".into());
    Path::new(&root).join("System32").join(name)
}

/// Runs a program without input and without a window.
pub(crate) fn run(command: &mut Command) -> io::Result<Output> {
    use std::os::windows::process::CommandExt;
    command
        .stdin(Stdio::null())
        .creation_flags(NO_WINDOW)
        .output()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_security_identifier_is_recognized_and_nothing_else() {
        let line = "\"city\\maria lópez\",\"S-1-5-21-1004336348-1177238915-682003330-512\"\r\n";
        assert_eq!(
            identifier(line).unwrap(),
            "S-1-5-21-1004336348-1177238915-682003330-512"
        );
        for other in [
            "",
            "\"a\\b\"",
            "\"a\",\"S-1-\"",
            "\"a\",\"S-1-5 /grant\"",
            "ERROR: no",
        ] {
            assert_eq!(identifier(other), None, "{other}");
        }
    }

    #[test]
    fn a_profile_is_recognized_in_any_spelling() {
        let profile = Path::new(r"C:\Users\Maria López");
        assert!(is_below(
            Path::new(r"c:\users\MARIA LÓPEZ\AppData\x"),
            profile
        ));
        assert!(!is_below(Path::new(r"C:\Users\Maria López 2\x"), profile));
        assert!(!is_below(Path::new(r"D:\gis"), profile));
    }

    #[test]
    fn a_path_is_written_as_people_write_it() {
        for (path, expected) in [
            (r"\\?\D:\keys\vault.key", r"D:\keys\vault.key"),
            (r"\\?\UNC\server\gis\vault.key", r"\\server\gis\vault.key"),
            (r"\\?\Volume{1}\vault.key", r"\\?\Volume{1}\vault.key"),
            (r"D:\keys\vault.key", r"D:\keys\vault.key"),
        ] {
            assert_eq!(plain(path.into()), Path::new(expected));
        }
    }

    #[test]
    fn a_folder_outside_the_profile_is_kept_to_its_owner() {
        let folder = tempfile::tempdir_in(r"C:\").unwrap();
        restrict_to_owner(folder.path()).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"x");
        assert_eq!(admitted_stranger(&folder.path().join("f")).unwrap(), None);
    }

    /// At the root of a disk, everyone may read what is created there.
    #[test]
    fn a_file_outside_the_profile_that_others_may_read_is_seen() {
        let folder = tempfile::tempdir_in(r"C:\").unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, b"x").unwrap();
        assert!(admitted_stranger(&file).unwrap().is_some());
    }

    #[test]
    fn a_file_in_the_profile_is_private_by_the_list_of_the_profile() {
        let folder = tempfile::tempdir_in(dirs::home_dir().unwrap()).unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, b"x").unwrap();
        assert_eq!(admitted_stranger(&file).unwrap(), None);
    }
}
