//! What `connections edit` and `connections add --replace` have in common: turning options into
//! changes, and applying them.

use std::sync::Arc;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape};
use crate::cli::shared::client_certificate::{self, GivenCertificate};
use crate::cli::shared::connection_fields::{
    self, find_elsewhere, server_address, AuthType, FieldArgs, GivenSecret,
};
use crate::cli::shared::redirect_uris::warn_if_shared;
use crate::cli::shared::trust::{wanted_trust, Trust};
use crate::cli::CommandContext;
use crate::connection::{Connection, PortalUrl, Proxy};
use crate::http::ClientCertificate;
use crate::manage::{self, CertificateChange, Changes, SecretChange};
use crate::portal::Elsewhere;
use crate::store::ConnectionStore;

pub(in crate::cli) fn changes(
    ctx: &mut CommandContext,
    connection: &Connection,
    args: &FieldArgs,
) -> Result<Changes, Failure> {
    let portal: Option<PortalUrl> = args.portal.as_deref().map(str::parse).transpose()?;
    let place = portal.clone().unwrap_or_else(|| connection.portal.clone());
    let trust = wanted_trust(args, &place, &ctx.context.environment)?;
    let mut changes = Changes {
        portal,
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
        proxy: connection_fields::proxy(args)?,
        keychain: args
            .keychain
            .map(|kind| connection_fields::keychain(Some(kind), &ctx.context.environment))
            .transpose()?,
        tags: Some(connection_fields::tags(args)?).filter(|tags| !tags.is_empty()),
        ..Changes::default()
    };
    let certificate = client_certificate::given(ctx, &args.client_certificate)?;
    let presented = presented(ctx, connection, &certificate, &place)?;
    if presented.is_some() {
        let tls = trust.as_ref().map_or(&connection.tls, |trust| &trust.tls);
        manage::check_client_certificate(&place, tls)?;
    }
    check_portal(
        ctx,
        connection,
        args,
        &mut changes,
        trust.as_ref(),
        presented.as_ref(),
    )?;
    changes.client_certificate = match certificate {
        GivenCertificate::Nothing => CertificateChange::Keep,
        GivenCertificate::None => CertificateChange::Remove,
        GivenCertificate::Certificate(loaded) => CertificateChange::Set(Box::new(loaded.new)),
    };
    if let Some(trust) = &trust {
        connection_fields::warn_unverified(ctx, connection.label.as_str(), &trust.tls);
    }
    changes.tls = trust.map(Trust::into_change);
    changes.secret = secret(ctx, connection, args, &changes)?;
    Ok(changes)
}

/// The client certificate to ask the portal with: the new one, or that of the connection where it
/// stays. One that cannot be read is left out, because this change may be what repairs it.
fn presented(
    ctx: &CommandContext,
    connection: &Connection,
    given: &GivenCertificate,
    portal: &PortalUrl,
) -> Result<Option<Arc<ClientCertificate>>, Failure> {
    let stays =
        connection.client_certificate.is_some() && connection.portal.origin() == portal.origin();
    Ok(match given {
        GivenCertificate::Certificate(loaded) => Some(Arc::clone(&loaded.certificate)),
        GivenCertificate::Nothing if stays => {
            let session = ctx.session_of(&ctx.store()?, connection.clone());
            session.client_certificate().ok().flatten()
        }
        GivenCertificate::Nothing | GivenCertificate::None => None,
    })
}

/// Tries a new address, proxy, trust or client certificate before it replaces one that may work. An
/// address near the portal's is corrected as `add` does.
fn check_portal(
    ctx: &CommandContext,
    connection: &Connection,
    args: &FieldArgs,
    changes: &mut Changes,
    trust: Option<&Trust>,
    certificate: Option<&Arc<ClientCertificate>>,
) -> Outcome {
    let nothing_new = changes.portal.is_none()
        && changes.proxy.is_none()
        && trust.is_none()
        && !args.client_certificate.is_given();
    if args.no_check || nothing_new {
        return Ok(());
    }
    let portal: &PortalUrl = changes.portal.as_ref().unwrap_or(&connection.portal);
    let proxy: &Proxy = changes.proxy.as_ref().unwrap_or(&connection.proxy);
    let tls = trust.map_or(&connection.tls, |trust| &trust.tls);
    let referer = connection.referer.as_deref();
    let presented = certificate.cloned();
    let Err(error) = connection_fields::probe(ctx, portal, tls, proxy, referer, presented) else {
        return Ok(());
    };
    if changes.portal.is_some() {
        match find_elsewhere(ctx, portal, tls, proxy, certificate, &error) {
            Some(Elsewhere::Portal(found)) => {
                let text = format!("{portal} is not a portal; the portal is at {found}");
                ctx.console.info(&text);
                changes.portal = Some(found);
                return Ok(());
            }
            Some(Elsewhere::Server(owner)) => return Err(server_address(portal, owner.as_ref())),
            None => {}
        }
    }
    Err(Failure::Hinted {
        error,
        hint: "nothing was changed; to change the connection without asking the portal: --no-check"
            .into(),
    })
}

/// A client secret belongs to one portal and client ID. If one of those changes, asks for the
/// secret again.
fn secret(
    ctx: &mut CommandContext,
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
    match connection_fields::secret(ctx, &args.secret)? {
        GivenSecret::Text(text) => {
            return Ok(SecretChange::Set(connection_fields::checked(
                &text, &client_id,
            )?))
        }
        GivenSecret::None if application => {
            return Err(Failure::usage(format!(
                "`{}` is an application connection and needs a client secret",
                connection.label
            )))
        }
        GivenSecret::None => return Ok(SecretChange::Remove),
        GivenSecret::Nothing => {}
    }
    let belongs_elsewhere = changes
        .portal
        .as_ref()
        .is_some_and(|portal| *portal != connection.portal)
        || client_id != connection.client_id;
    let becomes_application = application && !connection.grant.is_application();
    if belongs_elsewhere || becomes_application {
        return missing_secret(ctx, application, &client_id);
    }
    Ok(SecretChange::Keep)
}

/// Asks for the client secret that the changed connection needs and no option gave.
fn missing_secret(
    ctx: &mut CommandContext,
    application: bool,
    client_id: &str,
) -> Result<SecretChange, Failure> {
    if ctx.can_ask() {
        let answer = connection_fields::ask_secret(ctx, application, client_id)?;
        return Ok(answer.map_or(SecretChange::Remove, SecretChange::Set));
    }
    if application {
        return Err(Failure::usage_hint(
            "the stored client secret belongs to the former portal or client ID, and the new one is missing",
            connection_fields::how_to_give_secret(),
        ));
    }
    Ok(SecretChange::Keep)
}

pub(in crate::cli) fn apply(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    connection: Connection,
    changes: &Changes,
) -> Outcome {
    let keychains = ctx.keychains(store);
    let session = ctx.session_of(store, connection);
    let edited = manage::edit(&session, &keychains, changes)?;
    let connection = session.connection();
    if !ctx.console.is_json() {
        ctx.answer(&format!(
            "[OK] Updated connection: {}",
            escape(connection.label.as_str())
        ))?;
    }
    if let CertificateChange::Set(new) = &changes.client_certificate {
        client_certificate::describe(ctx, store, &store.load(&connection.id)?, new);
    }
    if edited.certificate_dropped {
        ctx.console
            .info("The client certificate was chosen for the former portal and was deleted.");
    }
    if edited.signed_out {
        ctx.console.info(&format!(
            "The sign-in belonged to the former settings and was deleted. Sign in again: age-oauth login {}",
            connection_flag(connection)
        ));
    }
    if edited.secret_dropped && !matches!(changes.secret, SecretChange::Set(_)) {
        ctx.console
            .info("The client secret belonged to the former portal or client ID and was deleted.");
    }
    if changes.portal.is_some() || changes.redirect_uri.is_some() {
        warn_if_shared(ctx, store, &store.load(&connection.id)?);
    }
    Ok(())
}
