//! `connections`: one file for each subcommand.

mod add;
mod edit;
// The file is in src/migrate, so that everything about the Python package is in one folder that can
// be deleted. It is a child of this module, so that it can use what other commands use.
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
use crate::cli::shared::help::examples;
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

// `defer`: see the commands in args.rs. What a command does is said here, because the list of
// commands is printed before their arguments are built.
/// Add, show and change connections
#[derive(Debug, Subcommand)]
#[command(defer = true)]
#[command(after_help = examples(&[
    ("age-oauth connections add", "add your portal"),
    ("age-oauth connections list", "show all connections"),
    ("age-oauth connections use prod", "choose the default"),
]))]
pub(in crate::cli) enum ConnectionsCommand {
    /// Add a connection; asks for what the options leave open
    Add(Box<AddArgs>),
    /// List connections
    List(ListArgs),
    /// Show one connection, everything but its secrets
    Show(ShowArgs),
    /// Change settings of a connection
    Edit(Box<EditArgs>),
    /// Change the label of a connection
    Rename(RenameArgs),
    /// Choose the default connection
    Use(UseArgs),
    /// Print a connection card for colleagues, without secrets
    Share(ShareArgs),
    /// Remove a connection, its tokens and its client secret
    Remove(RemoveArgs),
    /// Import the connections of the Python package age-oauth, with their secrets
    #[cfg(feature = "migrate")]
    Import(ImportArgs),
    /// Show where connections and secrets are stored
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
