//! `connections edit`, and `add --replace`: changes any field in place.

use crate::cli::args::{AddArgs, AuthType, EditArgs, FieldArgs};
use crate::cli::report::{Failure, Outcome};
use crate::cli::words::{chosen, escape};
use crate::cli::Desk;
use crate::connection::{Connection, PortalUrl, Proxy};
use crate::manage::{self, Changes, SecretChange};
use crate::store::Connections;

use super::fields::{self, GivenSecret, Trust};

pub(super) fn edit(desk: &mut Desk, args: &EditArgs) -> Outcome {
    let store = desk.store()?;
    let mut connection = super::connections::named(desk, &store, args.name.as_ref())?;
    if let Some(label) = &args.label {
        let session = desk.session_of(&store, connection);
        connection = manage::rename(&session, &label.parse()?)?;
    }
    let mut changes = changes(desk, &connection, &args.fields)?;
    changes.pkce = args.pkce;
    if args.no_referer {
        changes.referer = Some(None);
    }
    if args.no_tags {
        changes.tags = Some(Vec::new());
    }
    if args.pkce == Some(false) {
        desk.talk.warn(
            "without PKCE, whoever catches a code can use it; switch it off only for a portal that refuses it",
        );
    }
    apply(desk, &store, connection, &changes)
}

/// `add --replace`: what the flags say is changed, the rest stays.
pub(super) fn replace(
    desk: &mut Desk,
    store: &Connections,
    connection: Connection,
    args: &AddArgs,
) -> Outcome {
    let changes = changes(desk, &connection, &args.fields)?;
    let id = connection.id.clone();
    apply(desk, store, connection, &changes)?;
    if args.make_default {
        store.set_default(Some(&id))?;
    }
    if args.login {
        let connection = store.load(&id)?;
        return super::add::sign_in_at_once(desk, args, &connection);
    }
    Ok(())
}

fn changes(desk: &mut Desk, connection: &Connection, args: &FieldArgs) -> Result<Changes, Failure> {
    let trust = fields::wanted_trust(args, &desk.context.environment)?;
    let mut changes = Changes {
        portal: args.portal.as_deref().map(str::parse).transpose()?,
        client_id: args
            .client_id
            .as_deref()
            .map(manage::check_client_id)
            .transpose()?,
        application: args.auth_type.map(|kind| kind == AuthType::App),
        redirect_uri: args.redirect_uri.as_deref().map(str::parse).transpose()?,
        referer: args
            .referer
            .as_deref()
            .map(manage::check_referer)
            .transpose()?
            .map(Some),
        proxy: fields::proxy(args)?,
        keychain: args
            .keychain
            .map(|kind| fields::keychain(Some(kind), &desk.context.environment))
            .transpose()?,
        tags: Some(args.tags.clone()).filter(|tags| !tags.is_empty()),
        ..Changes::default()
    };
    check_portal(desk, connection, args, &changes, trust.as_ref())?;
    changes.tls = trust.map(Trust::into_change);
    changes.secret = secret(desk, connection, args, &changes)?;
    Ok(changes)
}

/// A new address, proxy or trust is tried before it replaces one that may work.
fn check_portal(
    desk: &Desk,
    connection: &Connection,
    args: &FieldArgs,
    changes: &Changes,
    trust: Option<&Trust>,
) -> Outcome {
    let nothing_new = changes.portal.is_none() && changes.proxy.is_none() && trust.is_none();
    if args.no_check || nothing_new {
        return Ok(());
    }
    let portal: &PortalUrl = changes.portal.as_ref().unwrap_or(&connection.portal);
    let proxy: &Proxy = changes.proxy.as_ref().unwrap_or(&connection.proxy);
    let tls = trust.map_or(&connection.tls, |trust| &trust.tls);
    let referer = connection.referer.as_deref();
    fields::probe(desk, portal, tls, proxy, referer)
        .map(|_| ())
        .map_err(|error| Failure::Hinted {
            error,
            hint: "nothing was changed; --no-check changes it without asking the portal".into(),
        })
}

/// A secret belongs to one portal and client id. Where those change, it is asked for again.
fn secret(
    desk: &mut Desk,
    connection: &Connection,
    args: &FieldArgs,
    changes: &Changes,
) -> Result<SecretChange, Failure> {
    let client_id = changes
        .client_id
        .as_deref()
        .unwrap_or(&connection.client_id)
        .to_owned();
    let application = changes
        .application
        .unwrap_or(connection.grant.is_application());
    match fields::secret(desk, &args.secret)? {
        GivenSecret::Text(text) => {
            return Ok(SecretChange::Set(fields::checked(&text, &client_id)?))
        }
        GivenSecret::None if application => {
            return Err(Failure::usage(
                "an application cannot do without its client secret",
            ))
        }
        GivenSecret::None => return Ok(SecretChange::Remove),
        GivenSecret::Nothing => {}
    }
    let elsewhere = changes
        .portal
        .as_ref()
        .is_some_and(|portal| *portal != connection.portal)
        || client_id != connection.client_id;
    let becomes_application = application && !connection.grant.is_application();
    if !elsewhere && !becomes_application {
        return Ok(SecretChange::Keep);
    }
    if desk.person() {
        return Ok(
            match super::add::ask_secret(desk, application, &client_id)? {
                Some(secret) => SecretChange::Set(secret),
                None => SecretChange::Remove,
            },
        );
    }
    if application {
        return Err(Failure::usage_hint(
            "an application's client secret belongs to its portal and client ID, and nobody can be asked for the new one",
            "give --client-secret-stdin or --client-secret-file, or set AGE_OAUTH_CLIENT_SECRET",
        ));
    }
    Ok(SecretChange::Keep)
}

fn apply(
    desk: &mut Desk,
    store: &Connections,
    connection: Connection,
    changes: &Changes,
) -> Outcome {
    let keychains = desk.keychains(store);
    let session = desk.session_of(store, connection);
    let edited = manage::edit(&session, &keychains, changes)?;
    let connection = session.connection();
    desk.answer(&format!(
        "[OK] Updated connection: {}",
        escape(connection.label.as_str())
    ))?;
    if edited.signed_out {
        desk.talk.remark(&format!(
            "The sign-in belonged to the former settings and was dropped; sign in again: age-oauth login {}",
            chosen(connection)
        ));
    }
    if edited.secret_dropped && !matches!(changes.secret, SecretChange::Set(_)) {
        desk.talk.remark(
            "The client secret belonged to the former portal or client ID and was dropped.",
        );
    }
    Ok(())
}
