//! What `add` and `edit` have in common: their options, the client secret from every source, the
//! keychain, and the request that asks a portal who it is.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::format::clock_difference;
use crate::cli::shared::api_key::ApiKeyArgs;
use crate::cli::shared::client_certificate::ClientCertificateArgs;
use crate::cli::shared::help::with_default;
use crate::cli::shared::keychain_kind::keychain_kind;
use crate::cli::shared::secret_command;
use crate::cli::shared::secret_file;
use crate::cli::shared::trust::{self, CardCertificates, Trust};
use crate::cli::shared::web_tier::WebTierArgs;
use crate::cli::CommandContext;
use crate::connection::{
    clean, GrantKind, KeychainKind, PortalUrl, PortalUrls, Proxy, RedirectUri, SecretCommand, Tls,
};
use crate::context::Context;
use crate::env;
use crate::error::{Error, Input, KeychainReason, Overridden, PrintedSecret, Unreachable};
use crate::event::{Event, Notice};
use crate::http::Presented;
use crate::keychain::{Item, ItemKind};
use crate::machine_policy::MachinePolicy;
use crate::manage::check_client_secret;
use crate::policy::command_line::notable_clock_difference;
use crate::portal::{self, PortalInfo};
use crate::secret::Secret;
use crate::store::ConnectionStore;

// What `add` and `edit` have in common. Not a doc comment: clap would take it for the command's
// description.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct FieldArgs {
    /// Portal URL, as in your browser
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) portal: Option<String>,
    /// Where programs reach the portal, if not at the portal URL
    #[arg(long, value_name = "URL|none")]
    pub(in crate::cli) api_url: Option<String>,
    /// OAuth Client ID of the application, from the portal
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) client_id: Option<String>,
    /// user, app, key, or network (experimental) [default: user]
    #[arg(long, value_name = "TYPE", hide_possible_values = true)]
    pub(in crate::cli) auth_type: Option<AuthType>,
    #[command(flatten)]
    pub(in crate::cli) secret: SecretArgs,
    #[command(flatten)]
    pub(in crate::cli) api_key: ApiKeyArgs,
    /// When the API key expires
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) expires: Option<String>,
    /// Verify the certificate: true, false, a CA file, or pin:FILE [default: true]
    #[arg(long, value_name = "true|false|FILE")]
    pub(in crate::cli) verify_ssl: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) client_certificate: ClientCertificateArgs,
    #[command(flatten)]
    pub(in crate::cli) web_tier: WebTierArgs,
    #[arg(
        long,
        value_name = "URI",
        help = with_default(
            "The redirect URI, as registered at the portal",
            RedirectUri::OutOfBand.as_str()
        )
    )]
    pub(in crate::cli) redirect_uri: Option<String>,
    /// Send this Referer with every request
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) referer: Option<String>,
    #[arg(
        long,
        value_name = "URL|system|none",
        help = with_default("The proxy to the portal", Proxy::System.as_str())
    )]
    pub(in crate::cli) proxy: Option<String>,
    #[arg(
        long,
        value_name = "os|vault",
        value_parser = keychain_kind(),
        hide_possible_values = true,
        help = keychain_help()
    )]
    pub(in crate::cli) keychain: Option<KeychainKind>,
    /// A tag to find the connection by (repeatable)
    #[arg(long = "tag", value_name = "WORD")]
    pub(in crate::cli) tags: Vec<String>,
    /// Do not check the portal
    #[arg(long)]
    pub(in crate::cli) no_check: bool,
    // Certificates that came in a card.
    #[arg(skip)]
    pub(in crate::cli) certificates: Option<CardCertificates>,
}

pub(in crate::cli) fn keychain_help() -> String {
    with_default(
        "The system's keychain or an encrypted file",
        KeychainKind::default().as_str(),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AuthType {
    /// A person signs in with a browser
    User,
    /// The application itself, by its client secret
    App,
    /// The user whom the web server in front of the portal vouches for (experimental)
    Network,
    /// Whom an API key was made for
    Key,
}

impl AuthType {
    pub(in crate::cli) fn kind(self) -> GrantKind {
        match self {
            Self::User => GrantKind::User,
            Self::App => GrantKind::Application,
            Self::Network => GrantKind::Network,
            Self::Key => GrantKind::ApiKey,
        }
    }

    pub(in crate::cli) fn of(kind: GrantKind) -> Self {
        match kind {
            GrantKind::User => Self::User,
            GrantKind::Application => Self::App,
            GrantKind::Network => Self::Network,
            GrantKind::ApiKey => Self::Key,
        }
    }
}

/// Refuses options that a connection of this kind has no use for.
pub(in crate::cli) fn check_fit(args: &FieldArgs, kind: GrantKind) -> Result<(), Failure> {
    let given = [
        ("--client-id", args.client_id.is_some()),
        ("the client secret", args.secret.is_given()),
        ("--redirect-uri", args.redirect_uri.is_some()),
    ];
    let of_key = args.api_key.is_given() || args.expires.is_some();
    if of_key && kind != GrantKind::ApiKey {
        return Err(Failure::usage_hint(
            "only a connection with an API key has a key and its end",
            "leave --api-key-… and --expires out, or give --auth-type key",
        ));
    }
    match kind {
        GrantKind::User | GrantKind::Application => Ok(()),
        GrantKind::ApiKey => match given.iter().find(|(_, given)| *given) {
            Some((what, _)) => Err(Failure::usage_hint(
                "a connection with an API key has neither a client ID nor a client secret nor a redirect URI",
                format!("leave {what} out, or give --auth-type user"),
            )),
            None => Ok(()),
        },
        GrantKind::Network => match given.iter().find(|(_, given)| *given) {
            Some((what, _)) => Err(Failure::usage_hint(
                "a network connection has neither a client ID nor a client secret nor a redirect URI",
                format!("leave {what} out, or give --auth-type user"),
            )),
            None => Ok(()),
        },
    }
}

/// Refuses options that the policy of this machine does not allow, before anything is asked or
/// sent. `from_card` says that the values came from a connection card.
pub(in crate::cli) fn check_machine_policy(
    context: &Context,
    args: &FieldArgs,
    from_card: bool,
) -> Result<(), Error> {
    let FieldArgs {
        portal,
        api_url,
        client_id: _,
        auth_type,
        secret,
        api_key,
        expires: _,
        verify_ssl,
        client_certificate: _,
        web_tier: _,
        redirect_uri: _,
        referer: _,
        proxy,
        keychain,
        tags: _,
        no_check: _,
        certificates: _,
    } = args;
    let policy = &context.machine_policy;
    let by = |option| {
        if from_card {
            Overridden::Card
        } else {
            Overridden::Option(option)
        }
    };
    for (option, address) in [("--portal", portal), ("--api-url", api_url)] {
        // A text that cannot be read is an error later, or it is `none`.
        if let Some(Ok(url)) = address.as_deref().map(str::parse::<PortalUrl>) {
            policy.check_urls(&url.into(), by(option), by(option))?;
        }
    }
    if verify_ssl.as_deref().is_some_and(trust::is_false) {
        policy.check_tls(&Tls::Unverified, Overridden::Option("--verify-ssl"))?;
    }
    if let Some(proxy) = proxy.as_deref().map(str::parse).transpose()? {
        policy.check_proxy(&proxy, Overridden::Option("--proxy"))?;
    }
    if keychain.is_some() {
        policy.new_keychain(*keychain)?;
    }
    if let Some(auth_type) = auth_type {
        policy.check_kind(auth_type.kind(), by("--auth-type"))?;
    }
    api_key.check_machine_policy(policy)?;
    secret.check_machine_policy(policy)
}

// Five ways to hand over a client secret, or none.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(in crate::cli) struct SecretArgs {
    /// Read the client secret from standard input (or …-file FILE)
    #[arg(long)]
    client_secret_stdin: bool,
    // Hidden, so that the help stays within two screens.
    /// Read the client secret from a file
    #[arg(long, value_name = "FILE", hide = true)]
    client_secret_file: Option<PathBuf>,
    /// A command that prints it when a token is renewed
    #[arg(long, value_name = "LINE")]
    client_secret_command: Option<String>,
    /// The client secret itself; stays in your shell's history
    #[arg(long, value_name = "SECRET")]
    client_secret: Option<SecretArg>,
    /// The application has no client secret
    #[arg(long)]
    no_client_secret: bool,
}

impl SecretArgs {
    /// Refuses the options for the client secret that the policy of this machine does not allow.
    fn check_machine_policy(&self, policy: &MachinePolicy) -> Result<(), Error> {
        let Self {
            client_secret_stdin: _,
            client_secret_file: _,
            client_secret_command,
            client_secret,
            no_client_secret: _,
        } = self;
        if client_secret.is_some() {
            policy.check_secret_argument("--client-secret")?;
        }
        if client_secret_command.is_some() {
            policy.check_secret_command(
                PrintedSecret::ClientSecret,
                Overridden::Option("--client-secret-command"),
            )?;
        }
        Ok(())
    }

    /// Whether one of the options is given.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.client_secret_stdin
            || self.client_secret_file.is_some()
            || self.client_secret_command.is_some()
            || self.client_secret.is_some()
            || self.no_client_secret
    }
}

/// A secret from the command line. The structs of arguments implement `Debug`; this type does not
/// show its text there.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SecretArg(Arc<Secret>);

impl SecretArg {
    pub(in crate::cli) fn secret(&self) -> Secret {
        self.0.duplicate()
    }
}

impl From<String> for SecretArg {
    fn from(text: String) -> Self {
        Self(Arc::new(Secret::new(text)))
    }
}

/// Whether options or the environment give a client secret.
pub(in crate::cli) enum GivenSecret {
    Nothing,
    None,
    Text(Secret),
    Command(SecretCommand),
}

pub(in crate::cli) fn secret(
    ctx: &mut CommandContext,
    args: &SecretArgs,
) -> Result<GivenSecret, Failure> {
    if args.no_client_secret {
        return Ok(GivenSecret::None);
    }
    if let Some(text) = &args.client_secret {
        ctx.console.warn(
            "--client-secret stays in your shell's history; --client-secret-stdin and --client-secret-file do not",
        );
        return Ok(GivenSecret::Text(text.secret()));
    }
    if let Some(text) = &args.client_secret_command {
        let command = secret_command::read(text, &ctx.context.environment)?;
        return Ok(GivenSecret::Command(command));
    }
    if let Some(path) = &args.client_secret_file {
        return secret_file::read(ctx, path).map(GivenSecret::Text);
    }
    if args.client_secret_stdin {
        let text = ctx.read_input("the client secret")?;
        return Ok(GivenSecret::Text(text));
    }
    let secret = ctx
        .context
        .environment
        .secret(env::AGE_OAUTH_CLIENT_SECRET)?;
    Ok(secret.map_or(GivenSecret::Nothing, GivenSecret::Text))
}

/// Checks a client secret, and trims it.
pub(in crate::cli) fn checked(secret: &Secret, client_id: &str) -> Result<Secret, Error> {
    check_client_secret(secret.expose(), client_id)
}

pub(in crate::cli) fn tags(args: &FieldArgs) -> Result<Vec<String>, Error> {
    args.tags.iter().map(|tag| clean("tag", tag)).collect()
}

/// Warns that certificates will not be verified, as every later use of the connection does.
pub(in crate::cli) fn warn_unverified(ctx: &CommandContext, label: &str, tls: &Tls) {
    if *tls == Tls::Unverified {
        ctx.context.emit(&Event::Notice(Notice::Unverified {
            connection: label.to_owned(),
        }));
    }
}

pub(in crate::cli) fn proxy(args: &FieldArgs) -> Result<Option<Proxy>, Error> {
    args.proxy.as_deref().map(str::parse).transpose()
}

/// The keychain that an option chose, else that of a new connection. An option that the policy of
/// this machine does not allow is an error.
pub(in crate::cli) fn keychain(
    asked: Option<KeychainKind>,
    context: &Context,
) -> Result<KeychainKind, Error> {
    const NAME: &str = env::AGE_OAUTH_KEYCHAIN;
    let policy = &context.machine_policy;
    if let Some(kind) = policy.new_keychain(asked)? {
        return Ok(kind);
    }
    let named = context.environment.text(NAME)?;
    let named = named.map(|kind| kind.parse()).transpose()?;
    policy.usual_keychain(named.map(|kind| (NAME, kind)))
}

/// The keychain for a new connection. If the platform has no keychain, offers the vault to a
/// person.
pub(in crate::cli) fn usable_keychain(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    asked: Option<KeychainKind>,
) -> Result<KeychainKind, Failure> {
    let kind = keychain(asked, &ctx.context)?;
    let probe = Item::new("probe", "probe", ItemKind::Probe);
    let answer = ctx.keychains(store).of(kind).get(&probe);
    match answer {
        Err(error) if is_unavailable(error.reason) => {
            let policy = &ctx.context.machine_policy;
            let alternative = kind
                .alternative()
                .filter(|other| matches!(policy.new_keychain(Some(*other)), Ok(Some(_))));
            if let (None, Some(alternative), true) = (asked, alternative, ctx.can_ask()) {
                ctx.console.warn(&error.to_string());
                let question = "Store secrets in an encrypted file (the vault) instead?";
                if ctx.system.ask.confirm(question, true)? {
                    return Ok(alternative);
                }
            }
            Err(Error::from(error).into())
        }
        // Any other problem shows up when the keychain is used, with a message of its own.
        _ => Ok(kind),
    }
}

/// Whether nothing can be stored in the keychain until a person sets it up, whatever is tried.
fn is_unavailable(reason: KeychainReason) -> bool {
    match reason {
        KeychainReason::Missing
        | KeychainReason::NoCollection
        | KeychainReason::Denied
        | KeychainReason::NoKey
        | KeychainReason::WrongKey
        | KeychainReason::UnsafeKey
        | KeychainReason::Damaged => true,
        KeychainReason::Locked
        | KeychainReason::Refused
        | KeychainReason::Timeout
        | KeychainReason::Lost
        | KeychainReason::Mismatch
        | KeychainReason::Changed
        | KeychainReason::Ambiguous
        | KeychainReason::Token
        | KeychainReason::Pin => false,
    }
}

/// The keychain of a new connection: by the policy of this machine, else the one that
/// `AGE_OAUTH_KEYCHAIN` names, else the system's.
pub(in crate::cli) fn default_keychain(context: &Context) -> Result<KeychainKind, Error> {
    keychain(None, context)
}

/// Asks the portal who it is, and warns if its clock differs.
pub(in crate::cli) fn probe(
    ctx: &CommandContext,
    portal: &PortalUrl,
    trust: &Trust,
    proxy: &Proxy,
    referer: Option<&str>,
    presented: Presented,
) -> Result<PortalInfo, Error> {
    let http = trust.http(portal, presented, proxy, referer, &ctx.context)?;
    let info = portal::probe(&http)?;
    warn_about_clock(ctx, &info);
    Ok(info)
}

/// Where the portal is, if something else than a portal answered at the address. See
/// [`portal::find_elsewhere`].
pub(in crate::cli) fn find_elsewhere(
    ctx: &CommandContext,
    portal: &PortalUrl,
    trust: &Trust,
    proxy: &Proxy,
    presented: &Presented,
    error: &Error,
) -> Option<portal::Elsewhere> {
    let client = |at: &PortalUrl| {
        // What is presented was chosen for this origin.
        let presented = if at.origin() == portal.origin() {
            presented.clone()
        } else {
            Presented::default()
        };
        trust.http(at, presented, proxy, None, &ctx.context)
    };
    match error {
        Error::Unreachable {
            why: Unreachable::NotAPortal { .. } | Unreachable::Redirected { .. },
            ..
        } => portal::find_elsewhere(portal, client),
        _ => None,
    }
}

/// The failure where the address for programs is that of an ArcGIS Server.
pub(in crate::cli) fn server_address(urls: &PortalUrls, owner: Option<&PortalUrl>) -> Failure {
    let server = urls.api_url();
    let (what, flag) = match urls.separate_api_url() {
        Some(_) => (Input::ApiUrl, "--api-url"),
        None => (Input::PortalUrl, "--portal"),
    };
    let (named, hint) = match owner {
        Some(owner) => (
            format!("the portal that it names is {owner}"),
            format!("if that is your portal: {flag} {owner}"),
        ),
        None => (
            "it names no portal".to_owned(),
            "ask the server's administrator for the URL of its portal".to_owned(),
        ),
    };
    Failure::Hinted {
        error: Error::Invalid {
            what,
            why: format!("{server} is an ArcGIS Server, not a portal; {named}"),
        },
        hint,
    }
}

/// Token lifetimes are counted by this machine's clock from the moment of the request, so a wrong
/// clock does not break tokens. But it makes displayed times wrong, and certificates may look
/// expired.
fn warn_about_clock(ctx: &CommandContext, info: &PortalInfo) {
    let Some(theirs) = info.clock else { return };
    if let Some(ahead) = notable_clock_difference(ctx.context.now(), theirs) {
        ctx.console.warn(&clock_difference(ahead));
    }
}

/// The hint where a client secret is missing and cannot be asked for.
pub(in crate::cli) fn how_to_give_secret() -> String {
    format!(
        "give --client-secret-stdin, --client-secret-file or --client-secret-command, or set {}",
        env::AGE_OAUTH_CLIENT_SECRET
    )
}

/// Asks for the client secret without echo. Unless it is required, an empty answer means none.
pub(in crate::cli) fn ask_secret(
    ctx: &mut CommandContext,
    required: bool,
    client_id: &str,
) -> Result<Option<Secret>, Failure> {
    let question = if required {
        "OAuth Client Secret (not shown while you type)"
    } else {
        "OAuth Client Secret (not shown while you type; press Enter if there is none)"
    };
    let answer = ctx.system.ask.secret(question, &mut |text| {
        if text.trim().is_empty() && !required {
            return Ok(());
        }
        check_client_secret(text, client_id)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    if answer.expose().trim().is_empty() {
        ctx.console.info("OAuth Client Secret: none");
        return Ok(None);
    }
    let secret = checked(&answer, client_id)?;
    ctx.console.info("[OK] OAuth Client Secret captured.");
    Ok(Some(secret))
}
