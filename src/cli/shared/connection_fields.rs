//! What `add` and `edit` have in common: reading fields from flags, files and standard input, and asking the portal
//! whether it is one.

use std::io::{Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::cli::args::{FieldArgs, KeychainArg, SecretArgs};
use crate::cli::failure::Failure;
use crate::cli::CommandContext;
use crate::connection::{KeychainKind, PortalUrl, Proxy, Tls};
use crate::context::Environment;
use crate::error::{Error, FileAction, KeychainReason};
use crate::http::{self, Http};
use crate::keychain::{Item, ItemKind};
use crate::manage::{check_client_secret, read_ca, TlsChange};
use crate::portal::{self, PortalInfo};
use crate::secret::Secret;
use crate::store::ConnectionStore;

/// More than any client secret takes in a file, in bytes; what is longer is refused as a secret.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// Which certificates are accepted: for asking the portal now, and for storing.
pub(in crate::cli) struct Trust {
    pub(in crate::cli) tls: Tls,
    pem: Option<(Vec<u8>, String)>,
    /// Certificates that are not in a file of their own yet.
    _file: Option<NamedTempFile>,
}

impl Trust {
    pub(in crate::cli) fn system() -> Self {
        Self {
            tls: Tls::System,
            pem: None,
            _file: None,
        }
    }

    pub(in crate::cli) fn unverified() -> Self {
        Self {
            tls: Tls::Unverified,
            ..Self::system()
        }
    }

    /// The certificates in a file (PEM or DER).
    pub(in crate::cli) fn file(text: &str, environment: &Environment) -> Result<Self, Error> {
        let path = environment.expand(text);
        Self::certificates(read_ca(&path)?, path.display().to_string())
    }

    /// Exactly this certificate, as the portal showed it.
    pub(in crate::cli) fn exactly(der: &[u8], portal: &PortalUrl) -> Result<Self, Error> {
        let pem = http::to_pem(&[der]);
        Self::certificates(pem, format!("shown by {}", portal.host()))
    }

    fn certificates(pem: String, source: String) -> Result<Self, Error> {
        let failed = |source| Error::File {
            action: FileAction::Write,
            path: std::env::temp_dir(),
            source,
        };
        let mut file = NamedTempFile::new().map_err(failed)?;
        file.write_all(pem.as_bytes()).map_err(failed)?;
        Ok(Self {
            tls: Tls::Ca(file.path().to_owned()),
            pem: Some((pem.into_bytes(), source)),
            _file: Some(file),
        })
    }

    /// The certificates to store, and where they came from.
    pub(in crate::cli) fn pem(&self) -> Option<(&[u8], &str)> {
        self.pem
            .as_ref()
            .map(|(pem, source)| (pem.as_slice(), source.as_str()))
    }

    pub(in crate::cli) fn into_change(self) -> TlsChange {
        match (self.tls, self.pem) {
            (Tls::Unverified, _) => TlsChange::Unverified,
            (_, Some((pem, source))) => TlsChange::Ca { pem, source },
            _ => TlsChange::System,
        }
    }
}

/// What the flags or a card say of certificates.
pub(in crate::cli) fn wanted_trust(
    args: &FieldArgs,
    environment: &Environment,
) -> Result<Option<Trust>, Error> {
    match (&args.certificates, &args.verify_ssl) {
        (Some((pem, source)), _) => Trust::certificates(pem.clone(), source.clone()).map(Some),
        (None, Some(text)) => trust(text, environment).map(Some),
        (None, None) => Ok(None),
    }
}

/// `true`, `false` in the usual spellings; any other word is a file.
fn trust(text: &str, environment: &Environment) -> Result<Trust, Error> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Err(Error::Invalid {
            what: "--verify-ssl",
            why: "it is true, false, or a file".into(),
        }),
        "true" | "yes" | "on" | "1" => Ok(Trust::system()),
        "false" | "no" | "off" | "0" => Ok(Trust::unverified()),
        _ => Trust::file(text.trim(), environment),
    }
}

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
    match ctx.context.environment.var("AGE_OAUTH_CLIENT_SECRET") {
        Some(text) => Ok(GivenSecret::Text(Secret::new(text))),
        None => Ok(GivenSecret::Nothing),
    }
}

/// A pipe will do: a shell's process substitution is one.
fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let mut bytes = Vec::with_capacity(4096);
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE).read_to_end(&mut bytes))
        .map_err(Error::file(FileAction::Read, path))?;
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
        .var("AGE_OAUTH_KEYCHAIN")
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
