//! One file per command, each with the work of that command and no other.

mod add;
mod api;
mod completions;
mod connections;
mod doctor;
mod edit;
mod exec;
mod export_env;

// With everything else about the predecessor, so that one folder can be deleted; a child of this module, so that it sees
// what the other commands see.
#[path = "../../migrate/command.rs"]
mod import;
mod login;
mod logout;
mod man;
mod overview;
mod refresh;
mod remove;
mod share;
mod status;
pub(in crate::cli) mod token;
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
use super::failure::Outcome;
use super::CommandContext;

pub(super) fn connections(
    ctx: &mut CommandContext,
    command: ConnectionsCommand,
    global: &Global,
) -> Outcome {
    match command {
        ConnectionsCommand::Add(args) => add::add(ctx, &args),
        ConnectionsCommand::List(args) => connections::list(ctx, &args),
        ConnectionsCommand::Show(args) => connections::show(ctx, &args),
        ConnectionsCommand::Edit(args) => edit::edit(ctx, &args),
        ConnectionsCommand::Rename(args) => connections::rename(ctx, &args),
        ConnectionsCommand::Share(args) => share::share(ctx, &args),
        ConnectionsCommand::Use(args) => connections::choose(ctx, &args),
        ConnectionsCommand::Remove(args) => remove::remove(ctx, &args, global),
        ConnectionsCommand::Import(args) => import::import(ctx, &args),
        ConnectionsCommand::Info(args) => connections::info(ctx, &args),
    }
}
