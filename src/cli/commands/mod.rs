//! One file per command, each with the work of that command and no other.

mod add;
mod api;
mod completions;
mod connections;
mod doctor;
mod edit;
mod exec;
mod export_env;
mod fields;
mod import;
mod login;
mod logout;
mod man;
mod overview;
mod refresh;
mod remove;
mod share;
mod status;
mod token;
mod variables;
mod vault;
mod whoami;

pub(super) use api::api;
pub(super) use completions::{complete, completions, labels};
pub(super) use doctor::doctor;
pub(super) use exec::exec;
pub(super) use export_env::{export_env, fail_unparsed};
pub(super) use login::login;
pub(super) use logout::logout;
pub(super) use man::man;
pub(super) use overview::overview;
pub(super) use refresh::refresh;
pub(super) use status::status;
pub(super) use token::token;
pub(super) use vault::vault;
pub(super) use whoami::whoami;

use super::args::{ConnectionsCommand, Global};
use super::report::Outcome;
use super::Desk;

pub(super) fn connections(
    desk: &mut Desk,
    command: ConnectionsCommand,
    global: &Global,
) -> Outcome {
    match command {
        ConnectionsCommand::Add(args) => add::add(desk, &args),
        ConnectionsCommand::List(args) => connections::list(desk, &args),
        ConnectionsCommand::Show(args) => connections::show(desk, &args),
        ConnectionsCommand::Edit(args) => edit::edit(desk, &args),
        ConnectionsCommand::Rename(args) => connections::rename(desk, &args),
        ConnectionsCommand::Share(args) => share::share(desk, &args),
        ConnectionsCommand::Use(args) => connections::choose(desk, &args),
        ConnectionsCommand::Remove(args) => remove::remove(desk, &args, global),
        ConnectionsCommand::Import(args) => import::import(desk, &args),
        ConnectionsCommand::Info(args) => connections::info(desk, &args),
    }
}
