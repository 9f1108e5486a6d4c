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
mod web_tier;
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
pub(super) use web_tier::{web_tier, WebTierArgs};
pub(super) use whoami::{whoami, WhoamiArgs};
