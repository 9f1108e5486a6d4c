//! `connections`: one file for each subcommand.

mod add;
mod edit;
// With everything else about the Python package, so that one folder can be deleted; a child of this module, so that
// it sees what the other commands see.
#[cfg(feature = "migrate")]
#[path = "../../../migrate/command/mod.rs"]
mod import;
mod info;
mod list;
mod remove;
mod rename;
mod share;
mod show;
mod use_connection;

use clap::Subcommand;

use super::{login, LoginArgs};
use crate::cli::failure::Outcome;
use crate::cli::CommandContext;

use add::AddArgs;
use edit::EditArgs;
#[cfg(feature = "migrate")]
use import::ImportArgs;
use info::InfoArgs;
use list::ListArgs;
use remove::RemoveArgs;
use rename::RenameArgs;
use share::ShareArgs;
use show::ShowArgs;
use use_connection::UseArgs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConnectionsCommand {
    /// Add a connection; asks for whatever is not given
    Add(Box<AddArgs>),
    /// List connections
    List(ListArgs),
    /// Show one connection: everything but its secrets
    Show(ShowArgs),
    /// Change a connection in place
    Edit(Box<EditArgs>),
    /// Give a connection another label
    Rename(RenameArgs),
    /// Print a connection card: for colleagues, without secrets
    Share(ShareArgs),
    /// Choose the connection that is used where none is named
    Use(UseArgs),
    /// Remove a connection, its tokens and its secret
    Remove(RemoveArgs),
    /// Import the connections of the Python age-oauth, their secrets included
    #[cfg(feature = "migrate")]
    Import(ImportArgs),
    /// Where everything is kept
    Info(InfoArgs),
}

pub(in crate::cli) fn connections(
    ctx: &mut CommandContext,
    command: ConnectionsCommand,
) -> Outcome {
    match command {
        ConnectionsCommand::Add(args) => match add::add(ctx, &args)? {
            add::Next::Done => Ok(()),
            add::Next::SignIn => login(ctx, &LoginArgs::default()),
        },
        ConnectionsCommand::List(args) => list::list(ctx, &args),
        ConnectionsCommand::Show(args) => show::show(ctx, &args),
        ConnectionsCommand::Edit(args) => edit::edit(ctx, &args),
        ConnectionsCommand::Rename(args) => rename::rename(ctx, &args),
        ConnectionsCommand::Share(args) => share::share(ctx, &args),
        ConnectionsCommand::Use(args) => use_connection::use_connection(ctx, &args),
        ConnectionsCommand::Remove(args) => remove::remove(ctx, &args),
        #[cfg(feature = "migrate")]
        ConnectionsCommand::Import(args) => import::import(ctx, &args),
        ConnectionsCommand::Info(args) => info::info(ctx, &args),
    }
}
