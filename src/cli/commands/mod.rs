//! One file for each command: its arguments, its help and its work. No command file imports
//! another; what several need is in `cli/shared`.

mod api;
mod completions;
mod connections;
mod doctor;
mod exec;
mod export_env;
mod login;
mod logout;
mod man;
mod overview;
mod refresh;
mod status;
mod token;
mod vault;
mod whoami;

pub(super) use api::{api, ApiArgs};
pub(super) use completions::{complete, completions, CompletionsArgs};
pub(super) use connections::{connections, ConnectionsCommand};
pub(super) use doctor::{doctor, DoctorArgs};
pub(super) use exec::{exec, ExecArgs};
pub(super) use export_env::{export_env, fail_unparsed, ExportEnvArgs};
pub(super) use login::{login, LoginArgs};
pub(super) use logout::{logout, LogoutArgs};
pub(super) use man::{man, ManArgs};
pub(super) use overview::overview;
pub(super) use refresh::{refresh, RefreshArgs};
pub(super) use status::{status, StatusArgs};
pub(super) use token::{token, TokenArgs};
pub(super) use vault::{vault, VaultCommand};
pub(super) use whoami::{whoami, WhoamiArgs};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The sources of a folder, without their tests. `mod.rs` dispatches, so it may name all
    /// commands.
    fn sources(folder: &str) -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_type().unwrap().is_file() && entry.file_name() != "mod.rs")
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).unwrap();
                let code = text.split("\n#[cfg(test)]").next();
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, code.unwrap_or_default().to_owned())
            })
            .collect()
    }

    #[test]
    fn no_command_imports_another() {
        for folder in ["src/cli/commands", "src/cli/commands/connections"] {
            for (name, code) in sources(folder) {
                for path in ["super::", "commands::"] {
                    assert!(!code.contains(path), "{folder}/{name} uses `{path}`");
                }
            }
        }
        for (name, code) in sources("src/cli/shared") {
            assert!(!code.contains("commands::"), "shared/{name}");
        }
    }
}
