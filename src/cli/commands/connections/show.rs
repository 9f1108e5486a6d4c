//! `connections show`: one connection, everything but its secrets.

use clap::Args;

use crate::cli::failure::Outcome;
use crate::cli::format::{escape, local, local_and_left, shell_quoted, split_failure, verify_ssl};
use crate::cli::json::{ConnectionAnswer, ShowAnswer};
use crate::cli::shared::client_certificate::shown_subject;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{
    CertificateSource, ClientCertificateSetting, Connection, ConnectionId, Grant, GrantKind,
    PortalUrl, SecretCommand,
};
use crate::keychain::{Item, ItemKind};
use crate::store::ConnectionStore;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections show", "the default connection"),
    ("age-oauth connections show prod --json", "another one, as JSON"),
]))]
pub(in crate::cli) struct ShowArgs {
    /// Label or ID [default: the connection that would be used]
    #[arg(add = labels())]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(super) fn show(ctx: &mut CommandContext, args: &ShowArgs) -> Outcome {
    let store = ctx.store()?;
    let mut connection = named(ctx, &store, args.name.as_ref())?;
    // What the certificate itself says, and not `meta.json`, which another could have changed.
    let certificate = ctx
        .session_of(&store, connection.clone())
        .client_certificate_facts();
    if let Ok(facts @ Some(_)) = &certificate {
        connection.client_certificate.clone_from(facts);
    }
    let unread = certificate.err().map(|error| error.to_string());
    if connection.grant.kind() == GrantKind::ApiKey {
        // Likewise whose the API key is; absent where the keychain does not say it.
        let stored = ctx.session_of(&store, connection.clone()).api_key_user();
        connection.status.username = stored.ok().flatten();
    }
    let default = store.default_id()?;
    let default = default.as_ref();
    let secret = has(ctx, &store, &connection, ItemKind::ClientSecret);
    let tokens = has(ctx, &store, &connection, ItemKind::Tokens);
    let api_key = has(ctx, &store, &connection, ItemKind::ApiKey);
    if args.json {
        let mut answer = ConnectionAnswer::of(&connection, default);
        if unread.is_some() {
            answer.without_certificate_facts();
        }
        return ctx.answer_json(&ShowAnswer {
            connection: answer,
            has_client_secret: secret.ok(),
            has_api_key: api_key.ok(),
            has_tokens: tokens.ok(),
            folder: store.folder(&connection.id).display().to_string(),
        });
    }
    let unread = unread.as_deref();
    let secrets = Secrets {
        client_secret: secret,
        api_key,
        tokens,
    };
    for (name, value) in facts(ctx, &store, &connection, default, &secrets, unread) {
        ctx.answer(&format!("{:<17}{}", format!("{name}:"), escape(&value)))?;
    }
    Ok(())
}

/// Whether the keychain has the item. The error is the keychain's message, if it did not answer.
fn has(
    ctx: &CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
    kind: ItemKind,
) -> Result<bool, String> {
    ctx.keychains(store)
        .of(connection.keychain)
        .get(&Item::of(connection, kind))
        .map(|secret| secret.is_some())
        .map_err(|error| error.to_string())
}

/// Which secrets the keychain has.
struct Secrets {
    client_secret: Result<bool, String>,
    api_key: Result<bool, String>,
    tokens: Result<bool, String>,
}

/// A name and its value.
type Fact = (&'static str, String);

fn facts(
    ctx: &CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
    default: Option<&ConnectionId>,
    secrets: &Secrets,
    unread: Option<&str>,
) -> Vec<Fact> {
    let mut facts = registration(connection, secrets);
    facts.extend(optional(ctx, connection, unread));
    facts.extend(settings(store, connection, default));
    facts
}

/// What every connection has: its names, its registration at the portal, its secrets.
fn registration(connection: &Connection, secrets: &Secrets) -> Vec<Fact> {
    let stored = |item: &Result<bool, String>| match item {
        Ok(true) => "stored".to_owned(),
        Ok(false) => "none".to_owned(),
        Err(why) => format!("unknown ({why})"),
    };
    let mut facts = vec![
        ("Label", connection.label.to_string()),
        ("ID", connection.id.to_string()),
        ("Portal", connection.browser_url().to_string()),
        ("Auth type", connection.grant.as_str().to_owned()),
    ];
    let printed_or = |item: &Result<bool, String>| match &connection.secret_command {
        Some(command) => format!("printed by {}", typed(command)),
        None => stored(item),
    };
    match connection.grant.kind() {
        GrantKind::ApiKey => facts.push(("API key", printed_or(&secrets.api_key))),
        GrantKind::User | GrantKind::Application => facts.extend([
            ("Client ID", connection.client_id.clone()),
            ("Client secret", printed_or(&secrets.client_secret)),
            ("Tokens", stored(&secrets.tokens)),
        ]),
        GrantKind::Network => facts.push(("Tokens", stored(&secrets.tokens))),
    }
    if let Some(api) = connection.urls.separate_api_url() {
        facts.insert(3, ("API URL", api_url(connection, api)));
    }
    if let Grant::User { redirect_uri, pkce } = &connection.grant {
        facts.push(("Redirect URI", redirect_uri.to_string()));
        if !pkce {
            facts.push(("PKCE", "switched off".into()));
        }
    }
    facts
}

/// The command as a person types it.
fn typed(command: &SecretCommand) -> String {
    let words = command.words().iter().map(|word| shell_quoted(word));
    words.collect::<Vec<_>>().join(" ")
}

/// The API URL, and whether it is known to work.
fn api_url(connection: &Connection, api: &PortalUrl) -> String {
    let confirmed = match connection.unconfirmed_api_url() {
        None => "confirmed: the portal accepts tokens there",
        Some(_) => "unconfirmed: no `age-oauth whoami` has worked through it yet",
    };
    format!("{api} ({confirmed})")
}

/// What only some connections have: a sign-in, a failure, optional settings. `unread` says why the
/// client certificate cannot be read.
fn optional(
    ctx: &CommandContext,
    connection: &Connection,
    unread: Option<&str>,
) -> impl Iterator<Item = Fact> {
    let now = ctx.context.now();
    let when = |at| local_and_left(at, now, &ctx.system.zone);
    let refused = |at| format!("by the portal on {}", local(at, &ctx.system.zone));
    let status = &connection.status;
    let failure = status
        .last_failure
        .as_deref()
        .map(|line| match split_failure(line) {
            (Some(at), what) => format!("{}: {what}", local(at, &ctx.system.zone)),
            (None, what) => what.to_owned(),
        });
    let certificate = connection.client_certificate.as_ref();
    let read = certificate.filter(|_| unread.is_none());
    let subject = match unread {
        None => certificate.map(shown_subject),
        Some(why) => Some(format!("unknown ({why})")),
    };
    let windows = connection.web_tier.principal();
    let tags = Some(connection.tags.join(", ")).filter(|tags| !tags.is_empty());
    [
        ("User", status.username.clone()),
        ("Signed in until", status.refresh_expires_at.map(when)),
        ("Token until", status.access_expires_at.map(when)),
        ("Key until", connection.grant.api_key_expires_at().map(when)),
        ("Not accepted", status.api_key_refused_at.map(refused)),
        ("Last failure", failure),
        ("Client cert", subject),
        ("  issued by", read.map(|c| c.issuer.clone())),
        ("  until", read.map(|c| when(c.not_after))),
        ("  stored in", certificate.map(|c| stored_in(c, connection))),
        (
            "Windows",
            windows.map(|who| format!("signs in to the web server as {who}")),
        ),
        ("Referer", connection.sent_referer().map(str::to_owned)),
        ("CA copied from", connection.ca_source.clone()),
        ("Tags", tags),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

/// Where the client certificate with its private key is.
fn stored_in(setting: &ClientCertificateSetting, connection: &Connection) -> String {
    match &setting.source {
        CertificateSource::Keychain => connection.keychain.display_name().to_owned(),
        CertificateSource::File(path) => path.display().to_string(),
        CertificateSource::Token(uri) => uri.to_string(),
        CertificateSource::Store(_) => {
            format!("the Windows certificate store (SHA-256 {})", setting.sha256)
        }
    }
}

/// How it reaches the portal, and where it is stored.
fn settings(
    store: &ConnectionStore,
    connection: &Connection,
    default: Option<&ConnectionId>,
) -> [Fact; 5] {
    [
        ("Verify SSL", verify_ssl(&connection.tls)),
        ("Proxy", connection.proxy.as_str().to_owned()),
        ("Keychain", connection.keychain.display_name().to_owned()),
        ("Folder", store.folder(&connection.id).display().to_string()),
        (
            "Default",
            if default == Some(&connection.id) {
                "yes"
            } else {
                "no"
            }
            .into(),
        ),
    ]
}
