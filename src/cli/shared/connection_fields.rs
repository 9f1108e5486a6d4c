//! What `add` and `edit` have in common: reading fields from flags, files and standard input, and asking the portal
//! whether it is one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::CommandContext;
use crate::connection::{KeychainKind, PortalUrl, Proxy, Tls};
use crate::context::Environment;
use crate::env;
use crate::error::{Error, KeychainReason};
use crate::http::Http;
use crate::keychain::{Item, ItemKind};
use crate::manage::check_client_secret;
use crate::portal::{self, PortalInfo};
use crate::secret::Secret;
use crate::store::ConnectionStore;

/// What `add` and `edit` have in common.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct FieldArgs {
    /// The portal's address, as copied from the browser
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) portal: Option<String>,
    /// Who the tokens are for: a person who signs in, or the application itself
    #[arg(long, value_name = "KIND")]
    pub(in crate::cli) auth_type: Option<AuthType>,
    /// The client ID of the application registered at the portal
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) client_id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) secret: SecretArgs,
    /// Verify the portal's certificate: true, false, or the file of the authority that signed it
    #[arg(long, value_name = "true|false|FILE")]
    pub(in crate::cli) verify_ssl: Option<String>,
    /// Where the portal sends the code, as registered there
    #[arg(long, value_name = "URI")]
    pub(in crate::cli) redirect_uri: Option<String>,
    /// A Referer to send on every call
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) referer: Option<String>,
    /// The way out: a proxy's URL, `system`, or `none`
    #[arg(long, value_name = "PROXY")]
    pub(in crate::cli) proxy: Option<String>,
    /// Where the secrets are kept: the system's keychain, or an encrypted file
    #[arg(long, value_name = "KIND")]
    pub(in crate::cli) keychain: Option<KeychainArg>,
    /// A word to find the connection by (may be given several times)
    #[arg(long = "tag", value_name = "WORD")]
    pub(in crate::cli) tags: Vec<String>,
    /// Do not ask the portal anything
    #[arg(long)]
    pub(in crate::cli) no_check: bool,
    /// Certificates that came in a card (PEM), and where they came from
    #[arg(skip)]
    pub(in crate::cli) certificates: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AuthType {
    /// A person signs in with a browser
    User,
    /// The application itself, by its client secret
    App,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeychainArg {
    /// The system's keychain
    Os,
    /// An encrypted file
    Vault,
}

/// Four ways to hand over a client secret, or none.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(in crate::cli) struct SecretArgs {
    /// The client secret (your shell's history keeps it; the other ways do not)
    #[arg(long, value_name = "SECRET")]
    pub(in crate::cli) client_secret: Option<SecretArg>,
    /// Read the client secret from standard input
    #[arg(long)]
    pub(in crate::cli) client_secret_stdin: bool,
    /// Read the client secret from a file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) client_secret_file: Option<PathBuf>,
    /// There is no client secret
    #[arg(long)]
    pub(in crate::cli) no_client_secret: bool,
}

/// A secret as typed: a struct of arguments may be printed one day, this never.
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

/// More than any client secret takes in a file, in bytes; what is longer is refused as a secret.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// What flags and the variable say of the client secret.
pub(in crate::cli) enum GivenSecret {
    Nothing,
    None,
    Text(Secret),
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
    if let Some(path) = &args.client_secret_file {
        return read_secret(path).map(GivenSecret::Text);
    }
    if args.client_secret_stdin {
        let text = (ctx.system.read_input)().map_err(|why| {
            Failure::usage(format!(
                "the client secret could not be read from standard input: {why}"
            ))
        })?;
        return Ok(GivenSecret::Text(text));
    }
    match ctx.context.environment.var(env::AGE_OAUTH_CLIENT_SECRET) {
        Some(text) => Ok(GivenSecret::Text(Secret::new(text))),
        None => Ok(GivenSecret::Nothing),
    }
}

/// A pipe will do: a shell's process substitution is one.
fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let mut bytes = Vec::with_capacity(4096);
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE).read_to_end(&mut bytes))
        .map_err(Error::file("read", path))?;
    Secret::from_file(bytes)
        .ok_or_else(|| Failure::usage(format!("`{}` holds no text", path.display())))
}

/// A given secret, checked.
pub(in crate::cli) fn checked(secret: &Secret, client_id: &str) -> Result<Secret, Error> {
    check_client_secret(secret.expose(), client_id)
}

pub(in crate::cli) fn proxy(args: &FieldArgs) -> Result<Option<Proxy>, Error> {
    args.proxy.as_deref().map(str::parse).transpose()
}

pub(in crate::cli) fn keychain(
    asked: Option<KeychainArg>,
    environment: &Environment,
) -> Result<KeychainKind, Error> {
    match asked {
        Some(KeychainArg::Os) => Ok(KeychainKind::Os),
        Some(KeychainArg::Vault) => Ok(KeychainKind::Vault),
        None => default_keychain(environment),
    }
}

/// The same, where it works: where the platform has no keychain, a person is offered the vault.
pub(in crate::cli) fn usable_keychain(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    asked: Option<KeychainArg>,
) -> Result<KeychainKind, Failure> {
    let kind = keychain(asked, &ctx.context.environment)?;
    let probe = Item::new("probe", "probe", ItemKind::Probe);
    let answer = ctx.keychains(store).of(kind).get(&probe);
    match answer {
        Err(error) if error.reason == KeychainReason::Missing && kind == KeychainKind::Os => {
            if asked.is_none() && ctx.person() {
                ctx.console.warn(&error.to_string());
                let question = "Keep secrets in an encrypted file (the vault) instead?";
                if ctx.system.ask.confirm(question, true)? {
                    return Ok(KeychainKind::Vault);
                }
            }
            Err(Error::from(error).into())
        }
        // Whatever else is wrong with it will show when it is needed, with its own message.
        _ => Ok(kind),
    }
}

/// `AGE_OAUTH_KEYCHAIN`, else the platform's.
pub(in crate::cli) fn default_keychain(environment: &Environment) -> Result<KeychainKind, Error> {
    environment
        .var(env::AGE_OAUTH_KEYCHAIN)
        .map_or(Ok(KeychainKind::Os), |kind| kind.parse())
}

/// Asks whoever answers at the portal's address what it is.
pub(in crate::cli) fn probe(
    ctx: &CommandContext,
    portal: &PortalUrl,
    tls: &Tls,
    proxy: &Proxy,
    referer: Option<&str>,
) -> Result<PortalInfo, Error> {
    let http = Http::new(portal, tls, proxy, referer, &ctx.context)?;
    let info = portal::probe(&http)?;
    warn_of_clock(ctx, &info);
    Ok(info)
}

/// Lives are counted by this machine's clock from the moment of asking, so a wrong clock does no harm to tokens; but
/// times on the screen are wrong, and certificates may look expired.
fn warn_of_clock(ctx: &CommandContext, info: &PortalInfo) {
    const NOTABLE: i64 = 5 * 60;
    let Some(theirs) = info.clock else { return };
    let ahead = ctx.context.now().duration_since(theirs).as_secs();
    if ahead.abs() > NOTABLE {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        ctx.console.warn(&format!(
            "this machine's clock is {} {direction} the portal's",
            crate::cli::format::humanize(ahead.abs())
        ));
    }
}

/// Asks without echo; a person's connection may do without.
pub(in crate::cli) fn ask_secret(
    ctx: &mut CommandContext,
    required: bool,
    client_id: &str,
) -> Result<Option<Secret>, Failure> {
    let question = if required {
        "Client secret (not shown)"
    } else {
        "Client secret (not shown; Enter for none, PKCE stands in)"
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
        return Ok(None);
    }
    let secret = checked(&answer, client_id)?;
    ctx.console.info("[OK] OAuth Client Secret captured.");
    Ok(Some(secret))
}
