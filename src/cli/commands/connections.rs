//! `connections list`, `show`, `rename`, `use`, `info`: looking at connections, and what is changed by name alone.

use serde_json::{json, Value};

use super::overview::rows;
use super::status::dated;
use crate::cli::args::{JsonArgs, ListArgs, RenameArgs, ShowArgs, UseArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, local, local_and_left, verify_ssl, PLAINTEXT};
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant};
use crate::keychain::{Item, ItemKind};
use crate::manage;
use crate::store::{ConnectionStore, Selector};
use crate::util::rfc3339;

pub(super) fn list(ctx: &mut CommandContext, args: &ListArgs) -> Outcome {
    let store = ctx.store()?;
    let listing = store.list(args.tag.as_deref())?;
    let default = store.default_id()?;
    let default = default
        .as_ref()
        .map(crate::connection::ConnectionId::as_str);
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
            .map(|connection| as_json(connection, default))
            .collect();
        return ctx.answer_json(&Value::from(all));
    }
    if listing.connections.is_empty() && listing.plaintext.is_empty() {
        ctx.console
            .info("No connections; add one: age-oauth connections add");
        return Ok(());
    }
    if ctx.system.terminal.stdout {
        let text = rows(ctx, &listing, default);
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
fn line(connection: &Connection, default: Option<&str>) -> String {
    let status = &connection.status;
    [
        connection.id.as_str(),
        &escape(connection.label.as_str()),
        connection.portal.as_str(),
        connection.grant.as_str(),
        &escape(status.username.as_deref().unwrap_or_default()),
        &status.refresh_expires_at.map(rfc3339).unwrap_or_default(),
        if default == Some(connection.id.as_str()) {
            "default"
        } else {
            ""
        },
    ]
    .join("\t")
}

pub(super) fn as_json(connection: &Connection, default: Option<&str>) -> Value {
    let status = &connection.status;
    let (redirect_uri, pkce) = match &connection.grant {
        Grant::User { redirect_uri, pkce } => (Some(redirect_uri.as_str()), Some(*pkce)),
        Grant::Application => (None, None),
    };
    json!({
        "id": connection.id.as_str(),
        "label": connection.label.as_str(),
        "portal_url": connection.portal.as_str(),
        "auth_type": connection.grant.as_str(),
        "client_id": connection.client_id,
        "redirect_uri": redirect_uri,
        "pkce": pkce,
        "referer": connection.referer,
        "verify_ssl": verify_ssl(&connection.tls),
        "proxy": connection.proxy.as_str(),
        "keychain": connection.keychain.as_str(),
        "tags": connection.tags,
        "created_at": connection.created_at.map(rfc3339),
        "last_used_at": connection.last_used_at.map(rfc3339),
        "username": status.username,
        "signed_in_at": status.signed_in_at.map(rfc3339),
        "refresh_issued_at": status.refresh_issued_at.map(rfc3339),
        "signed_in_until": status.refresh_expires_at.map(rfc3339),
        "extendable": status.extendable,
        "access_expires_at": status.access_expires_at.map(rfc3339),
        "last_failure": status.last_failure,
        "machine": status.machine,
        "default": default == Some(connection.id.as_str()),
        "format_version": 1,
    })
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
    let default = default
        .as_ref()
        .map(crate::connection::ConnectionId::as_str);
    let secret = has(ctx, &store, &connection, ItemKind::ClientSecret);
    let tokens = has(ctx, &store, &connection, ItemKind::Tokens);
    if args.json {
        let mut value = as_json(&connection, default);
        value["has_client_secret"] = secret.clone().map_or(Value::Null, Value::from);
        value["has_tokens"] = tokens.clone().map_or(Value::Null, Value::from);
        value["folder"] = store.folder(&connection.id).display().to_string().into();
        return ctx.answer_json(&value);
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
    default: Option<&str>,
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
        ("Keychain", connection.keychain.display_name().to_owned()),
        ("Folder", store.folder(&connection.id).display().to_string()),
        (
            "Default",
            if default == Some(connection.id.as_str()) {
                "yes"
            } else {
                "no"
            }
            .into(),
        ),
    ]);
    facts
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
        return ctx.answer_json(&as_json(&connection, Some(connection.id.as_str())));
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
        return ctx.answer_json(&json!({
            "store_base": store.root().display().to_string(),
            "default": default.as_ref().map(|c| c.label.as_str()),
            "default_id": default.as_ref().map(|c| c.id.as_str()),
            "keychain": kind.as_str(),
            "program": program,
            "version": env!("CARGO_PKG_VERSION"),
            "format_version": 1,
        }));
    }
    let default = default.map_or_else(
        || "none".to_owned(),
        |connection| escape(connection.label.as_str()),
    );
    ctx.answer(&format!("Store base:   {}", store.root().display()))?;
    ctx.answer(&format!("Default:      {default}"))?;
    ctx.answer(&format!("Keychain:     {}", kind.display_name()))?;
    ctx.answer(&format!(
        "Program:      {program} ({})",
        env!("CARGO_PKG_VERSION")
    ))
}
