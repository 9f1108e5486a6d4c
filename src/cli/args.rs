//! The command line as a whole: global options and the list of commands. Each command's own arguments stand in its file.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands::{
    ApiArgs, CompletionsArgs, ConnectionsCommand, DoctorArgs, ExecArgs, ExportEnvArgs, LoginArgs,
    LogoutArgs, ManArgs, RefreshArgs, StatusArgs, TokenArgs, VaultCommand, WhoamiArgs,
};
use super::shared::connection_name::labels;

/// Sign in to ArcGIS portals and hand short-lived access tokens to scripts.
#[derive(Debug, Parser)]
#[command(name = "age-oauth", version, about, max_term_width = 100)]
#[command(after_help = "Run `age-oauth` alone to see your connections and what to do next.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Before or after any command.
#[derive(Args, Clone, Debug)]
pub(super) struct Global {
    /// The connection: its label, its id, or the beginning of its id
    #[arg(short, long, global = true, value_name = "NAME", add = labels())]
    pub(super) connection: Option<String>,
    /// The connection, by its full id alone
    #[arg(long, global = true, value_name = "ID", conflicts_with = "connection")]
    pub(super) connection_id: Option<String>,
    /// No warnings and no progress; errors are still shown
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Tell what is decided (-v) and what is sent where (-vv); never a secret
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Never ask; a missing value is an error
    #[arg(long, global = true)]
    pub(super) no_input: bool,
    /// Give up after this long, all waits included (90s, 5m)
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add, look at and change connections
    #[command(subcommand, visible_alias = "connection")]
    Connections(ConnectionsCommand),
    /// Sign in
    Login(LoginArgs),
    /// Sign out: revoke the sign-in at the portal and forget it here
    Logout(LogoutArgs),
    /// Ask the portal who you are
    Whoami(WhoamiArgs),
    /// Print an access token
    Token(TokenArgs),
    /// Print statements that put a token into a shell's environment
    ExportEnv(ExportEnvArgs),
    /// Run a command with a token in its environment alone
    Exec(ExecArgs),
    /// Call the portal, or a server that it vouches for
    Api(ApiArgs),
    /// Look for what is wrong, and say what mends it
    Doctor(DoctorArgs),
    /// Look after the vault
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Print a script that teaches a shell to complete commands, flags and labels
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them into a folder
    Man(ManArgs),
    /// Show who is signed in until when, and what went wrong last; asks no portal
    Status(StatusArgs),
    /// Renew, and extend the sign-in where it is due: once a day keeps it alive
    Refresh(RefreshArgs),
}
