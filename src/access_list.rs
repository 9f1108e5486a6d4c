//! Who may see a folder on Windows. Below a user's profile the inherited access list already is the owner's alone; a
//! folder elsewhere gets one that is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Keeps a console program from opening a console window (`CREATE_NO_WINDOW`).
const NO_WINDOW: u32 = 0x0800_0000;

/// Gives the folder, which must have just been made, an access list with its owner alone on it, unless its place already
/// sees to that. What is made in it later inherits that list.
pub(crate) fn keep_to_owner(folder: &Path) -> io::Result<()> {
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
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "its access list could not be set: {}",
        said.trim()
    )))
}

/// Paths are compared without regard to case, as Windows does.
fn is_below(path: &Path, folder: &Path) -> bool {
    let lowercase = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        PathBuf::from(path.to_string_lossy().to_lowercase())
    };
    lowercase(path).starts_with(lowercase(folder))
}

/// Whoever runs this process, as `icacls` wants it: `*` and the security identifier, since names change; else the name.
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

/// A program of Windows itself, wherever the search path leads.
fn system_program(name: &str) -> PathBuf {
    let version = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let root = windows_registry::LOCAL_MACHINE
        .open(version)
        .and_then(|key| key.get_string("SystemRoot"))
        .unwrap_or_else(|_| r"C:\Windows".into());
    Path::new(&root).join("System32").join(name)
}

fn run(command: &mut Command) -> io::Result<Output> {
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
    fn a_security_identifier_is_recognised_and_nothing_else() {
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
    fn a_profile_is_recognised_in_any_spelling() {
        let profile = Path::new(r"C:\Users\Maria López");
        assert!(is_below(
            Path::new(r"c:\users\MARIA LÓPEZ\AppData\x"),
            profile
        ));
        assert!(!is_below(Path::new(r"C:\Users\Maria López 2\x"), profile));
        assert!(!is_below(Path::new(r"D:\gis"), profile));
    }

    #[test]
    fn a_folder_outside_the_profile_is_kept_to_its_owner() {
        let folder = tempfile::tempdir_in(r"C:\").unwrap();
        keep_to_owner(folder.path()).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"x");
    }
}
