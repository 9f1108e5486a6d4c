//! What can be typed. Nothing is resolved here: no file is read, no environment variable but those that clap names.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands::labels;
use super::shared::keychain_kind::keychain_kind;
use super::shell::Shell;
use crate::connection::KeychainKind;
use crate::secret::Secret;

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

#[derive(Debug, Subcommand)]
pub(super) enum ConnectionsCommand {
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
    /// Take over the connections of the Python age-oauth, their secrets included
    Import(ImportArgs),
    /// Where everything is kept
    Info(JsonArgs),
}

#[derive(Args, Debug, Default)]
pub(super) struct JsonArgs {
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What `add` and `edit` have in common.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct FieldArgs {
    /// The portal's address, as copied from the browser
    #[arg(long, value_name = "URL")]
    pub(super) portal: Option<String>,
    /// Who the tokens are for: a person who signs in, or the application itself
    #[arg(long, value_name = "KIND")]
    pub(super) auth_type: Option<AuthType>,
    /// The client ID of the application registered at the portal
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    #[command(flatten)]
    pub(super) secret: SecretArgs,
    /// Verify the portal's certificate: true, false, or the file of the authority that signed it
    #[arg(long, value_name = "true|false|FILE")]
    pub(super) verify_ssl: Option<String>,
    /// Where the portal sends the code, as registered there
    #[arg(long, value_name = "URI")]
    pub(super) redirect_uri: Option<String>,
    /// A Referer to send on every call
    #[arg(long, value_name = "TEXT")]
    pub(super) referer: Option<String>,
    /// The way out: a proxy's URL, `system`, or `none`
    #[arg(long, value_name = "PROXY")]
    pub(super) proxy: Option<String>,
    /// Where the secrets are kept: the system's keychain, or an encrypted file
    #[arg(long, value_name = "KIND", value_parser = keychain_kind())]
    pub(super) keychain: Option<KeychainKind>,
    /// A word to find the connection by (may be given several times)
    #[arg(long = "tag", value_name = "WORD")]
    pub(super) tags: Vec<String>,
    /// Do not ask the portal anything
    #[arg(long)]
    pub(super) no_check: bool,
    /// Certificates that came in a card (PEM), and where they came from
    #[arg(skip)]
    pub(super) certificates: Option<(String, String)>,
}

/// A secret as typed: a struct of arguments may be printed one day, this never.
#[derive(Clone, Debug)]
pub(super) struct SecretArg(Arc<Secret>);

impl SecretArg {
    pub(super) fn secret(&self) -> Secret {
        self.0.duplicate()
    }
}

impl From<String> for SecretArg {
    fn from(text: String) -> Self {
        Self(Arc::new(Secret::new(text)))
    }
}

/// Four ways to hand over a client secret, or none.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(super) struct SecretArgs {
    /// The client secret (your shell's history keeps it; the other ways do not)
    #[arg(long, value_name = "SECRET")]
    pub(super) client_secret: Option<SecretArg>,
    /// Read the client secret from standard input
    #[arg(long)]
    pub(super) client_secret_stdin: bool,
    /// Read the client secret from a file
    #[arg(long, value_name = "FILE")]
    pub(super) client_secret_file: Option<PathBuf>,
    /// There is no client secret
    #[arg(long)]
    pub(super) no_client_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AuthType {
    /// A person signs in with a browser
    User,
    /// The application itself, by its client secret
    App,
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct AddArgs {
    /// From a connection card (see `connections share`): a file, or - for standard input
    #[arg(
        long,
        value_name = "CARD",
        conflicts_with_all = ["portal", "auth_type", "client_id", "verify_ssl", "redirect_uri", "referer"]
    )]
    pub(super) from: Option<PathBuf>,
    /// Do not ask whether the card is to be trusted
    #[arg(short, long, requires = "from")]
    pub(super) yes: bool,
    /// The SHA-256 fingerprint of a certificate in the card, as its sender told you (may be given several times)
    #[arg(long = "ca-fingerprint", value_name = "FINGERPRINT", requires = "from")]
    pub(super) ca_fingerprints: Vec<String>,
    /// What you call the connection
    #[arg(long, value_name = "NAME")]
    pub(super) label: Option<String>,
    #[command(flatten)]
    pub(super) fields: FieldArgs,
    /// Make it the default
    #[arg(long = "use")]
    pub(super) make_default: bool,
    /// Do not make it the default, even if it is the first
    #[arg(long, alias = "no-active", conflicts_with = "make_default")]
    pub(super) no_default: bool,
    /// Update the connection of this label if there is one
    #[arg(long)]
    pub(super) replace: bool,
    /// Sign in at once
    #[arg(long)]
    pub(super) login: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct ListArgs {
    /// Only those with this tag
    #[arg(long, value_name = "WORD")]
    pub(super) tag: Option<String>,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct ShowArgs {
    /// Label or id
    #[arg(add = labels())]
    pub(super) name: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct EditArgs {
    /// Label or id
    #[arg(add = labels())]
    pub(super) name: Option<String>,
    /// Another label
    #[arg(long, value_name = "NAME")]
    pub(super) label: Option<String>,
    #[command(flatten)]
    pub(super) fields: FieldArgs,
    /// Send no Referer any more
    #[arg(long, conflicts_with = "referer")]
    pub(super) no_referer: bool,
    /// Forget all tags
    #[arg(long, conflicts_with = "tags")]
    pub(super) no_tags: bool,
    /// Bind codes to this program (PKCE); false only for a portal that refuses it
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pub(super) pkce: Option<bool>,
}

#[derive(Args, Debug, Default)]
pub(super) struct ShareArgs {
    /// Label or id
    #[arg(add = labels())]
    pub(super) name: Option<String>,
}

#[derive(Args, Debug, Default)]
pub(super) struct ImportArgs {
    /// The old store's folder; where the Python package keeps it, where absent
    pub(super) dir: Option<PathBuf>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Leave the old store to the old tool: new connections, each with a sign-in of its own
    #[arg(long)]
    pub(super) keep_plaintext: bool,
    /// Ask no portal: sign-ins are not exchanged
    #[arg(long)]
    pub(super) offline: bool,
    /// Read the profiles of the ArcGIS API for Python instead (~/.arcgisprofile)
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        conflicts_with_all = ["dir", "keep_plaintext", "offline"]
    )]
    #[allow(clippy::option_option)] // Given or not, and with a file or without.
    pub(super) from_arcgis_profile: Option<Option<PathBuf>>,
    /// Where the secrets go: the system's keychain, or an encrypted file
    #[arg(long, value_name = "KIND", value_parser = keychain_kind())]
    pub(super) keychain: Option<KeychainKind>,
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct RenameArgs {
    /// Label or id
    #[arg(add = labels())]
    pub(super) old: String,
    /// The new label
    pub(super) new: String,
}

#[derive(Args, Debug)]
pub(super) struct UseArgs {
    /// Label or id
    #[arg(required_unless_present = "unset", add = labels())]
    pub(super) name: Option<String>,
    /// Forget the default
    #[arg(long, conflicts_with = "name")]
    pub(super) unset: bool,
    /// One JSON object: the connection that is used from now on
    #[arg(long, conflicts_with = "unset")]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    /// Label or id
    #[arg(conflicts_with = "all", add = labels())]
    pub(super) name: Option<String>,
    /// Remove every connection and every secret
    #[arg(long)]
    pub(super) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Go on where the keychain cannot be reached; the secrets stay there
    #[arg(long)]
    pub(super) leave_secrets: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct LoginArgs {
    /// Do not open a browser; open the printed address yourself, on any device
    #[arg(long)]
    pub(super) no_browser: bool,
    /// How long the sign-in should live (90d); the longest the portal allows where absent
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) expiration: Option<Duration>,
    /// Show the portal's form even if the browser is signed in; another user may sign in
    #[arg(long)]
    pub(super) switch_user: bool,
    /// JSON lines: first the address to open, then the result
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct LogoutArgs {
    /// Every connection
    #[arg(long, conflicts_with_all = ["connection", "connection_id"])]
    pub(super) all: bool,
    /// Forget the sign-in here without revoking it at the portal
    #[arg(long)]
    pub(super) keep_remote: bool,
    /// One JSON object per connection
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct WhoamiArgs {
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Answer from what is stored, without asking the portal
    #[arg(long)]
    pub(super) offline: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct TokenArgs {
    /// One JSON object
    #[arg(long, conflicts_with = "header")]
    pub(super) json: bool,
    /// As an HTTP header line
    #[arg(long)]
    pub(super) header: bool,
    /// How long the token must still live (60s)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) min_ttl: Option<Duration>,
    /// Get a new one even if the stored one is good
    #[arg(long)]
    pub(super) force: bool,
    /// A token for this server, which the portal must vouch for
    #[arg(long = "for", value_name = "URL")]
    pub(super) server: Option<String>,
    /// Extend the sign-in if it is older than three days; prints no token
    #[arg(long, conflicts_with_all = ["json", "header", "min_ttl", "force", "server"])]
    pub(super) rotate_refresh_token: bool,
    /// The connection (as the Python package named this flag)
    #[arg(
        long,
        value_name = "NAME",
        requires = "rotate_refresh_token",
        hide = true
    )]
    pub(super) portal: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// One JSON array
    #[arg(long)]
    pub(super) json: bool,
    /// End with code 3 if a sign-in is missing, has ended, or ends soon
    #[arg(long)]
    pub(super) check: bool,
    /// What "soon" means
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = humantime::parse_duration)]
    pub(super) within: Duration,
    /// Look into the keychain, too: whether the tokens and secrets are there
    #[arg(long)]
    pub(super) keychain: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct RefreshArgs {
    /// Every connection, each on its own
    #[arg(long, conflicts_with_all = ["connection", "connection_id"])]
    pub(super) all: bool,
    /// Extend the sign-in at once, though that ends every token handed out before
    #[arg(long)]
    pub(super) now: bool,
    /// Where extending is due but a script holds a token: wait at most this long for it to end
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "now")]
    pub(super) wait: Option<Duration>,
    /// Extend sign-ins that are older than this, instead of those past half of their life
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "now")]
    pub(super) older_than: Option<Duration>,
    /// One JSON object per connection
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct ExportEnvArgs {
    /// The form; the shell that runs this where absent
    #[arg(long, value_name = "SHELL")]
    pub(super) shell: Option<Shell>,
    /// Unset the variables instead
    #[arg(long)]
    pub(super) unset: bool,
    /// In place of ARCGIS_
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,
    /// How long the token must still live (half of what the portal grants)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) min_ttl: Option<Duration>,
}

#[derive(Args, Debug, Default)]
pub(super) struct ExecArgs {
    /// How long the token must still live (half of what the portal grants)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) min_ttl: Option<Duration>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: Completed,
}

/// Shells that complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Completed {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
    /// Windows PowerShell and PowerShell
    Powershell,
    /// Elvish
    Elvish,
    /// Nushell
    #[value(alias = "nu")]
    Nushell,
}

#[derive(Args, Debug, Default)]
pub(super) struct ManArgs {
    /// The command that the page is about; none for the program's own
    pub(super) command: Vec<String>,
    /// Write the pages of all commands here
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Args, Debug, Default)]
pub(super) struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Ask no portal
    #[arg(long)]
    pub(super) offline: bool,
    /// Look with the eyes of a scheduled task: no terminal, no desktop session, no prompt
    #[arg(long)]
    pub(super) as_task: bool,
    /// Mend what can be mended, after asking
    #[arg(long)]
    pub(super) fix: bool,
    /// Mend without asking
    #[arg(short, long, requires = "fix")]
    pub(super) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// Seal the vault with another key; without a flag, with a new one in its key file
    Rekey(RekeyArgs),
}

#[derive(Args, Debug, Default)]
pub(super) struct RekeyArgs {
    #[command(flatten)]
    pub(super) key: NewKeyArgs,
    /// Erase the key that it had from its key file. Copies of the vault, and other stores that share the file, need it
    #[arg(long)]
    pub(super) forget_old: bool,
}

/// Ways to hand over a new key; without one, a random key goes into the vault's own key file.
#[derive(Args, Debug, Default)]
#[group(multiple = false)]
pub(super) struct NewKeyArgs {
    /// The key in this file, for `AGE_OAUTH_VAULT_KEY_FILE`; a new one where there is no such file
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// The key in this environment variable: 32 bytes in base64, for `AGE_OAUTH_VAULT_KEY`
    #[arg(long, value_name = "NAME")]
    pub(super) key_variable: Option<String>,
    /// The key on standard input: 32 bytes in base64, for `AGE_OAUTH_VAULT_KEY`
    #[arg(long)]
    pub(super) key_stdin: bool,
    /// A passphrase: asked for, or read from standard input where nobody sits at the terminal
    #[arg(long)]
    pub(super) passphrase: bool,
}

#[derive(Args, Debug, Default)]
pub(super) struct ApiArgs {
    /// Below `/sharing/rest/` (community/self), or a whole address on the portal or one of its servers
    pub(super) path: String,
    /// GET or POST; POST where a file is sent, else GET
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(super) method: Option<Method>,
    /// A parameter (may be given several times)
    #[arg(short = 'f', long = "field", value_name = "KEY=VALUE")]
    pub(super) fields: Vec<String>,
    /// Send this file along, as the part `file` of a form
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paginate", "output"])]
    pub(super) input: Option<PathBuf>,
    /// Fetch all pages; one JSON array of their results
    #[arg(long, conflicts_with = "output")]
    pub(super) paginate: bool,
    /// Write the answer to this file, however large; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Method {
    /// Parameters in the address
    #[value(alias = "GET")]
    Get,
    /// Parameters in a form
    #[value(alias = "POST")]
    Post,
}
