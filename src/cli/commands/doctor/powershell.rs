//! Which records of PowerShell a policy switches on: they keep what a script evaluates, what it
//! passes to commands and what it prints, and administrators often collect them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Finding;
use crate::cli::shell::Shell;
use crate::context::Environment;
use crate::env;
use crate::files;
use crate::policy::command_line::MAX_POWERSHELL_SETTINGS_BYTES;

/// Lines that were tried with all of these records on, and left nothing of the token in them.
/// `docs/powershell.md` has them in full; `tests/it/powershell/pages.rs` tries them.
fn tried() -> [&'static str; 4] {
    [
        Shell::Powershell.loading_line().unwrap_or_default(),
        "$env:ARCGIS_TOKEN = age-oauth token",
        "age-oauth exec",
        "Invoke-RestMethod -Headers",
    ]
}

/// What PowerShell can record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    ScriptBlocks,
    Modules,
    Transcripts,
}

impl Record {
    const ALL: [Self; 3] = [Self::ScriptBlocks, Self::Modules, Self::Transcripts];

    /// The names of the policy and of its switch, in the registry and in a file.
    fn policy(self) -> (&'static str, &'static str) {
        match self {
            Self::ScriptBlocks => ("ScriptBlockLogging", "EnableScriptBlockLogging"),
            Self::Modules => ("ModuleLogging", "EnableModuleLogging"),
            Self::Transcripts => ("Transcription", "EnableTranscripting"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScriptBlocks => "script block logging",
            Self::Modules => "module logging",
            Self::Transcripts => "transcription",
        })
    }
}

/// Says which records are on, and where. Without a PowerShell there is nothing to say.
pub(super) fn records(environment: &Environment) -> Vec<Finding> {
    let pwsh = pwsh(environment);
    if pwsh.is_none() && !cfg!(windows) {
        return Vec::new();
    }
    let mut on = registry();
    let mut findings = Vec::new();
    for path in pwsh.iter().flat_map(|pwsh| settings(pwsh, environment)) {
        match in_file(&path) {
            Ok(found) => on.extend(found.into_iter().map(|one| at(one, path.display()))),
            Err(why) => findings.push(Finding::warn(
                "powershell",
                format!("{} cannot be read: {why}", path.display()),
                "PowerShell may record what it runs; correct the file",
            )),
        }
    }
    if !on.is_empty() {
        findings.push(recorded(&on));
    } else if findings.is_empty() {
        let message = "no policy makes PowerShell record what it runs";
        findings.push(Finding::ok("powershell", message));
    }
    findings
}

fn at(record: Record, place: impl fmt::Display) -> String {
    format!("{record} ({place})")
}

fn recorded(on: &[String]) -> Finding {
    let lines = tried().map(|line| format!("`{line}`")).join(", ");
    let message = format!("PowerShell records what it runs: {}", on.join(", "));
    Finding::ok("powershell", message).hint(format!(
        "these lines were tried with it and leave no token there: {lines}; docs/powershell.md lists lines that do"
    ))
}

/// PowerShell 7, as a shell finds it.
fn pwsh(environment: &Environment) -> Option<PathBuf> {
    let name = format!("pwsh{}", std::env::consts::EXE_SUFFIX);
    let folders = environment.var_os(env::PATH)?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file())
}

/// The settings for all users, beside the program itself, and those of this user.
fn settings(pwsh: &Path, environment: &Environment) -> Vec<PathBuf> {
    const NAME: &str = "powershell.config.json";
    // On PATH there often is only a link.
    let program = pwsh.canonicalize().unwrap_or_else(|_| pwsh.to_owned());
    let of_user = if cfg!(windows) {
        dirs::document_dir().map(|folder| folder.join("PowerShell"))
    } else {
        let folder = environment.path(env::XDG_CONFIG_HOME);
        let folder = folder.or_else(|| Some(environment.home()?.join(".config")));
        folder.map(|folder| folder.join("powershell"))
    };
    let folders = [program.parent().map(Path::to_owned), of_user];
    let paths = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(NAME));
    paths.filter(|path| path.exists()).collect()
}

/// What a file of settings switches on.
fn in_file(path: &Path) -> Result<Vec<Record>, String> {
    let read = files::read_user_file(path, MAX_POWERSHELL_SETTINGS_BYTES);
    let bytes = read.map_err(|why| why.to_string())?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let settings: Value = serde_json::from_slice(text).map_err(|why| why.to_string())?;
    Ok(switched_on(&settings))
}

fn switched_on(settings: &Value) -> Vec<Record> {
    let is_on = |record: &Record| {
        let (policy, switch) = record.policy();
        let policies = field(settings, "PowerShellPolicies")?;
        field(field(policies, policy)?, switch)?.as_bool()
    };
    let all = Record::ALL.into_iter();
    all.filter(|record| is_on(record) == Some(true)).collect()
}

/// PowerShell reads these names without regard to case.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = object.as_object()?.iter();
    let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// What group policy switches on, for Windows PowerShell and for PowerShell 7.
#[cfg(windows)]
fn registry() -> Vec<String> {
    const KEYS: [&str; 2] = [
        r"Software\Policies\Microsoft\Windows\PowerShell",
        r"Software\Policies\Microsoft\PowerShellCore",
    ];
    let roots = [
        ("HKLM", windows_registry::LOCAL_MACHINE),
        ("HKCU", windows_registry::CURRENT_USER),
    ];
    let mut on = Vec::new();
    for record in Record::ALL {
        let (policy, switch) = record.policy();
        for key in KEYS {
            for (name, root) in roots {
                let place = format!(r"{key}\{policy}");
                let value = root.open(&place).and_then(|key| key.get_u32(switch));
                if value.is_ok_and(|value| value == 1) {
                    on.push(at(record, format_args!(r"{name}\{place}")));
                }
            }
        }
    }
    on
}

#[cfg(not(windows))]
fn registry() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_regard_to_case_and_only_true_switches_on() {
        let on = |text: &str| switched_on(&serde_json::from_str(text).unwrap());
        let all = r#"{"powershellpolicies":{"scriptBlockLogging":{"ENABLESCRIPTBLOCKLOGGING":true},"ModuleLogging":{"EnableModuleLogging":true},"Transcription":{"EnableTranscripting":true}}}"#;
        assert_eq!(on(all), Record::ALL);
        let off = all.replace("true", "false");
        for nothing in ["{}", "[]", "null", r#"{"PowerShellPolicies":1}"#, &off] {
            assert_eq!(on(nothing), []);
        }
        let one = r#"{"PowerShellPolicies":{"ModuleLogging":{"EnableModuleLogging":true}}}"#;
        assert_eq!(on(one), [Record::Modules]);
    }

    /// The page says of each of them that nothing of the token is recorded; its table is tried.
    #[test]
    fn the_page_has_each_line_that_was_tried() {
        let page = include_str!("../../../../docs/powershell.md").replace("\\|", "|");
        let words = |line: &str| -> Vec<String> {
            let words = line.split(' ').filter(|word| *word != "|");
            words.map(str::to_owned).collect()
        };
        for line in tried() {
            let is_row = |row: &&str| words(line).iter().all(|word| row.contains(word));
            let row = page
                .lines()
                .find(|row| row.starts_with("| `") && is_row(row));
            let row = row.unwrap_or_else(|| panic!("the page does not have `{line}`"));
            assert!(row.ends_with("| nothing | nothing |"), "{row}");
        }
    }
}
