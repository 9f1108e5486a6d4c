//! `connections list`, `show`, `rename`, `use`, `info`: looking at connections, and what is changed by name alone.

use super::overview::rows;
use crate::cli::args::{JsonArgs, ListArgs, RenameArgs, ShowArgs, UseArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{dated, escape, local, local_and_left, verify_ssl, PLAINTEXT};
use crate::cli::json::{ConnectionAnswer, InfoAnswer, ShowAnswer};
use crate::cli::CommandContext;
use crate::connection::{Connection, ConnectionId, Grant, KeychainKind};
use crate::keychain::{Item, ItemKind};
use crate::manage;
use crate::store::{rfc3339, ConnectionStore, Selector};

pub(super) fn list(ctx: &mut CommandContext, args: &ListArgs) -> Outcome {
    let store = ctx.store()?;
    let listing = store.list(args.tag.as_deref())?;
    let default = store.default_id()?;
    let default = default.as_ref();
    for broken in &listing.broken {
        ctx.console.warn(&broken.to_string());
    }
    for connection in &listing.connections {
        ctx.warn_of_the_end(connection);
    }
    if args.json {
        let all: Vec<_> = listing
            .connections
            .iter()
            .map(|connection| ConnectionAnswer::of(connection, default))
            .collect();
        return ctx.answer_json_array(&all);
    }
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        ctx.console
            .info("No connections; add one: age-oauth connections add");
        return Ok(());
    }
    if ctx.system.terminal.stdout {
        let text = rows(ctx, &listing, default.map(ConnectionId::as_str));
        return ctx.answer(text.trim_end());
    }
    for connection in &listing.connections {
        ctx.answer(&line(connection, default))?;
    }
    for plaintext in &listing.plaintext {
        ctx.answer(&format!(
            "{}\t{}\t{}\t{PLAINTEXT}\t\t\t",
            escape(&plaintext.id),
            escape(&plaintext.label),
            escape(&plaintext.portal_url)
        ))?;
    }
    Ok(())
}

/// Stable columns; new ones only at the end.
fn line(connection: &Connection, default: Option<&ConnectionId>) -> String {
    let status = &connection.status;
    [
        connection.id.as_str(),
        &escape(connection.label.as_str()),
        connection.portal.as_str(),
        connection.grant.as_str(),
        &escape(status.username.as_deref().unwrap_or_default()),
        &status.refresh_expires_at.map(rfc3339).unwrap_or_default(),
        if default == Some(&connection.id) {
            "default"
        } else {
            ""
        },
    ]
    .join("\t")
}

/// The connection named as an argument, else the one chosen as everywhere.
pub(super) fn named(
    ctx: &CommandContext,
    store: &ConnectionStore,
    name: Option<&String>,
) -> Result<Connection, Failure> {
    match name {
        Some(name) => {
            let connection = store.find(&Selector::Name(name.clone()))?;
            ctx.warn_of_the_end(&connection);
            Ok(connection)
        }
        None => ctx.connection(store),
    }
}

pub(super) fn show(ctx: &mut CommandContext, args: &ShowArgs) -> Outcome {
    let store = ctx.store()?;
    let connection = named(ctx, &store, args.name.as_ref())?;
    let default = store.default_id()?;
    let default = default.as_ref();
    let secret = has(ctx, &store, &connection, ItemKind::ClientSecret);
    let tokens = has(ctx, &store, &connection, ItemKind::Tokens);
    if args.json {
        return ctx.answer_json(&ShowAnswer {
            connection: ConnectionAnswer::of(&connection, default),
            has_client_secret: secret.ok(),
            has_tokens: tokens.ok(),
            folder: store.folder(&connection.id).display().to_string(),
        });
    }
    for (name, value) in facts(ctx, &store, &connection, default, &secret, &tokens) {
        ctx.answer(&format!("{:<17}{}", format!("{name}:"), escape(&value)))?;
    }
    Ok(())
}

/// Whether the keychain has the item; its complaint where it does not say.
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

fn facts(
    ctx: &CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
    default: Option<&ConnectionId>,
    secret: &Result<bool, String>,
    tokens: &Result<bool, String>,
) -> Vec<(&'static str, String)> {
    let now = ctx.context.now();
    let when = |at| local_and_left(at, now, &ctx.system.zone);
    let stored = |item: &Result<bool, String>| match item {
        Ok(true) => "stored".to_owned(),
        Ok(false) => "none".to_owned(),
        Err(why) => format!("unknown ({why})"),
    };
    let status = &connection.status;
    let mut facts = vec![
        ("Label", connection.label.to_string()),
        ("ID", connection.id.to_string()),
        ("Portal", connection.portal.to_string()),
        ("Kind", connection.grant.as_str().to_owned()),
        ("Client ID", connection.client_id.clone()),
        ("Client secret", stored(secret)),
        ("Tokens", stored(tokens)),
    ];
    if let Grant::User { redirect_uri, pkce } = &connection.grant {
        facts.push(("Redirect URI", redirect_uri.to_string()));
        if !pkce {
            facts.push(("PKCE", "switched off".into()));
        }
    }
    let failure = status
        .last_failure
        .as_deref()
        .map(|line| match dated(line) {
            (Some(at), what) => format!("{}: {what}", local(at, &ctx.system.zone)),
            (None, what) => what.to_owned(),
        });
    let optional = [
        ("User", status.username.clone()),
        ("Signed in until", status.refresh_expires_at.map(when)),
        ("Token until", status.access_expires_at.map(when)),
        ("Last failure", failure),
        ("Referer", connection.referer.clone()),
        ("CA copied from", connection.ca_source.clone()),
        (
            "Tags",
            Some(connection.tags.join(", ")).filter(|tags| !tags.is_empty()),
        ),
    ];
    facts.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value))),
    );
    facts.extend([
        ("Verify SSL", verify_ssl(&connection.tls)),
        ("Proxy", connection.proxy.as_str().to_owned()),
        ("Keychain", keychain_name(connection.keychain).to_owned()),
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
    ]);
    facts
}

/// The platform's own word.
pub(super) fn keychain_name(kind: KeychainKind) -> &'static str {
    match kind {
        KeychainKind::Vault => "vault (encrypted file)",
        KeychainKind::Os if cfg!(windows) => "Windows Credential Manager",
        KeychainKind::Os if cfg!(target_os = "macos") => "macOS Keychain",
        KeychainKind::Os => "Secret Service",
    }
}

pub(super) fn rename(ctx: &mut CommandContext, args: &RenameArgs) -> Outcome {
    let store = ctx.store()?;
    let connection = named(ctx, &store, Some(&args.old))?;
    let label = args.new.parse()?;
    let old = escape(connection.label.as_str());
    let session = ctx.session_of(&store, connection);
    let renamed = manage::rename(&session, &label)?;
    ctx.answer(&format!(
        "[OK] Renamed connection: {old} is now {}",
        escape(renamed.label.as_str())
    ))
}

pub(super) fn choose(ctx: &mut CommandContext, args: &UseArgs) -> Outcome {
    let store = ctx.store()?;
    if args.unset {
        store.set_default(None)?;
        return ctx.answer("[OK] No default connection any more.");
    }
    let connection = named(ctx, &store, args.name.as_ref())?;
    store.set_default(Some(&connection.id))?;
    ctx.warn_of_override(&store, Some(&connection.id));
    if args.json {
        return ctx.answer_json(&ConnectionAnswer::of(&connection, Some(&connection.id)));
    }
    ctx.answer(&format!(
        "[OK] Active connection set: {}",
        escape(connection.label.as_str())
    ))
}

pub(super) fn info(ctx: &mut CommandContext, args: &JsonArgs) -> Outcome {
    let store = ctx.store()?;
    let default = match store.default_id()? {
        Some(id) => store.load(&id).ok(),
        None => None,
    };
    let environment = &ctx.context.environment;
    let kind = crate::cli::shared::connection_fields::default_keychain(environment)?;
    let program = std::env::current_exe()
        .map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string());
    if args.json {
        return ctx.answer_json(&InfoAnswer {
            store_base: store.root().display().to_string(),
            default_connection: default.as_ref().map(|c| c.label.to_string()),
            default_connection_id: default.as_ref().map(|c| c.id.to_string()),
            keychain: kind.as_str(),
            program,
            version: env!("CARGO_PKG_VERSION"),
        });
    }
    let default = default.map_or_else(
        || "none".to_owned(),
        |connection| escape(connection.label.as_str()),
    );
    ctx.answer(&format!("Store base:   {}", store.root().display()))?;
    ctx.answer(&format!("Default:      {default}"))?;
    ctx.answer(&format!("Keychain:     {}", keychain_name(kind)))?;
    ctx.answer(&format!(
        "Program:      {program} ({})",
        env!("CARGO_PKG_VERSION")
    ))
}
