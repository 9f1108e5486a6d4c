//! What `connections edit` and `connections add --replace` have in common: turning options into
//! changes, and applying them.

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape};
use crate::cli::hints::{api_key_again, hint};
use crate::cli::shared::api_key;
use crate::cli::shared::api_url;
use crate::cli::shared::client_certificate::{self, check_found, GivenCertificate};
use crate::cli::shared::connection_fields::{
    self, find_elsewhere, server_address, AuthType, FieldArgs, GivenSecret,
};
use crate::cli::shared::redirect_uris::warn_if_shared;
use crate::cli::shared::secret_command;
use crate::cli::shared::trust::{wanted_trust, Trust};
use crate::cli::shared::web_tier::{self, GivenWebTier};
use crate::cli::CommandContext;
use crate::connection::{
    Connection, GrantKind, Label, PortalUrl, PortalUrls, Principal, Proxy, Tls, WebTier,
};
use crate::error::{Error, Refusal, Unreachable};
use crate::http::{can_answer_windows_sign_in, Http, Presented};
use crate::manage::{self, CertificateChange, Changes, Edited, SecretChange};
use crate::portal::{Elsewhere, PortalInfo};
use crate::store::ConnectionStore;

/// What the options change, and what the portal is asked with from then on.
pub(in crate::cli) fn changes(
    ctx: &mut CommandContext,
    connection: &Connection,
    args: &FieldArgs,
) -> Result<(Changes, Presented), Failure> {
    let kind = args
        .auth_type
        .map_or(connection.grant.kind(), AuthType::kind);
    connection_fields::check_fit(args, kind)?;
    connection_fields::check_machine_policy(&ctx.context, args, false)?;
    let portal = args.portal.as_deref();
    let portal = portal.map(PortalUrl::from_input).transpose()?;
    let api = args.api_url.as_deref().map(api_url::read).transpose()?;
    let urls = changed_urls(connection, portal.as_ref(), api.as_ref())?;
    let trust = wanted_trust(args, urls.api_url(), &ctx.context)?;
    let mut changes = Changes {
        portal,
        api_url: api.map(|_| urls.separate_api_url().cloned()),
        client_id: args
            .client_id
            .as_deref()
            .map(manage::check_client_id)
            .transpose()?,
        kind: args.auth_type.map(AuthType::kind),
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
            .map(|kind| connection_fields::keychain(Some(kind), &ctx.context))
            .transpose()?,
        tags: Some(connection_fields::tags(args)?).filter(|tags| !tags.is_empty()),
        expires_at: api_key::given_end(ctx, args.expires.as_deref())?,
        ..Changes::default()
    };
    let certificate = client_certificate::given(ctx, &args.client_certificate)?;
    let tls = trust.as_ref().map_or(&connection.tls, |trust| &trust.tls);
    changes.web_tier = match GivenWebTier::read(&args.web_tier)? {
        GivenWebTier::Nothing => None,
        GivenWebTier::None => Some(WebTier::None),
        GivenWebTier::Windows(named) => Some(web_tier::windows(ctx, urls.api_url(), tls, named)?),
    };
    let presented = presented(
        ctx,
        connection,
        &certificate,
        changes.web_tier.as_ref(),
        &urls,
        is_asked(args, &changes, trust.as_ref()) || args.api_key.is_given(),
    )?;
    if presented.certificate.is_some() {
        manage::check_client_certificate(urls.api_url(), tls)?;
    }
    if presented.windows.is_some() {
        manage::check_windows_sign_in(urls.api_url(), tls)?;
    }
    check_portal(
        ctx,
        connection,
        args,
        &mut changes,
        urls,
        trust.as_ref(),
        &presented,
    )?;
    changes.client_certificate = certificate_change(certificate);
    if let Some(trust) = &trust {
        connection_fields::warn_unverified(ctx, connection.label.as_str(), &trust.tls);
    }
    changes.tls = trust.map(Trust::into_change);
    changes.secret = secret(ctx, connection, args, &changes)?;
    Ok((changes, presented))
}

fn certificate_change(given: GivenCertificate) -> CertificateChange {
    match given {
        GivenCertificate::Nothing => CertificateChange::Keep,
        GivenCertificate::None => CertificateChange::Remove,
        GivenCertificate::Certificate(loaded) => CertificateChange::Set(Box::new(loaded.new)),
    }
}

/// What to ask the portal with: what is new, or what the connection has where it stays. What cannot
/// be read is left out, because this change may be what repairs it.
fn presented(
    ctx: &CommandContext,
    connection: &Connection,
    given: &GivenCertificate,
    web_tier: Option<&WebTier>,
    urls: &PortalUrls,
    is_asked: bool,
) -> Result<Presented, Failure> {
    let windows = presented_windows(ctx, connection, web_tier, urls)?;
    let certificate = match given {
        GivenCertificate::Certificate(loaded) => Some(loaded.certificate.clone()),
        GivenCertificate::None => None,
        GivenCertificate::Nothing if connection.client_certificate.is_none() => None,
        GivenCertificate::Nothing => {
            manage::check_certificate_stays(&connection.urls, urls).map_err(|error| {
                Failure::Hinted {
                    error,
                    hint: "to present it there: give --client-cert FILE, too; to connect without it: --client-cert none".into(),
                }
            })?;
            if is_asked {
                let session = ctx.session_of(&ctx.store()?, connection.clone());
                session.client_certificate().ok().flatten()
            } else {
                // No PIN is asked for where the key is not used.
                None
            }
        }
    };
    Ok(Presented {
        certificate,
        windows,
    })
}

/// As whom Windows sign-in is answered after the change.
fn presented_windows(
    ctx: &CommandContext,
    connection: &Connection,
    given: Option<&WebTier>,
    urls: &PortalUrls,
) -> Result<Option<Principal>, Failure> {
    if let Some(given) = given {
        return Ok(given.principal().cloned());
    }
    if connection.web_tier == WebTier::None {
        return Ok(None);
    }
    manage::check_windows_sign_in_stays(&connection.urls, urls).map_err(|error| {
        Failure::Hinted {
            error,
            hint:
                "to answer it there: give --web-tier windows, too; to answer none: --web-tier none"
                    .into(),
        }
    })?;
    let session = ctx.session_of(&ctx.store()?, connection.clone());
    Ok(session.windows_sign_in().ok().flatten())
}

/// The addresses after the change. An API URL belongs to one portal, so that it does not stay where
/// the portal changes: the next authorization code would be sent to the former one.
fn changed_urls(
    connection: &Connection,
    portal: Option<&PortalUrl>,
    api: Option<&Option<PortalUrl>>,
) -> Result<PortalUrls, Failure> {
    let browser = portal.unwrap_or(connection.browser_url());
    let api = match (api, connection.urls.separate_api_url()) {
        (Some(api), _) => api.clone(),
        (None, Some(former)) if browser != connection.browser_url() => {
            return Err(Failure::usage_hint(
                format!("the API URL {former} belongs to the former portal"),
                "give --api-url URL, too, or --api-url none",
            ))
        }
        (None, former) => former.cloned(),
    };
    Ok(PortalUrls::new(browser.clone(), api)?)
}

/// Whether the change is of a kind that the portal is asked about.
fn is_asked(args: &FieldArgs, changes: &Changes, trust: Option<&Trust>) -> bool {
    let moves = changes.portal.is_some() || changes.api_url.is_some();
    let presents = args.client_certificate.is_given() || changes.web_tier.is_some();
    !args.no_check && (moves || presents || changes.proxy.is_some() || trust.is_some())
}

/// Tries new addresses, a new proxy, trust or client certificate before they replace those that may
/// work. An address near the portal's is corrected as `add` does.
fn check_portal(
    ctx: &mut CommandContext,
    connection: &Connection,
    args: &FieldArgs,
    changes: &mut Changes,
    mut urls: PortalUrls,
    trust: Option<&Trust>,
    presented: &Presented,
) -> Outcome {
    let moves = changes.portal.is_some() || changes.api_url.is_some();
    if !is_asked(args, changes, trust) {
        return Ok(());
    }
    let proxy: &Proxy = changes.proxy.as_ref().unwrap_or(&connection.proxy);
    let trust = match trust {
        Some(trust) => trust,
        None => &Trust::of(connection)?,
    };
    let referer = connection.sent_referer();
    let probe = |ctx: &CommandContext, at: &PortalUrl| {
        connection_fields::probe(ctx, at, trust, proxy, referer, presented.clone())
    };
    let asked = urls.api_url().clone();
    let is_separate = urls.separate_api_url().is_some();
    // An address that was there before is not corrected.
    let is_new = if is_separate {
        changes.api_url.is_some()
    } else {
        changes.portal.is_some()
    };
    let mut answer = probe(ctx, &asked);
    if let (true, Err(error)) = (is_new, &answer) {
        match find_elsewhere(ctx, &asked, trust, proxy, presented, error) {
            Some(Elsewhere::Portal(found)) => {
                let text = format!("{asked} is not a portal; the portal is at {found}");
                ctx.console.info(&text);
                let corrected = match urls.separate_api_url() {
                    Some(_) => PortalUrls::new(urls.browser_url().clone(), Some(found.clone()))?,
                    None => found.clone().into(),
                };
                check_found(&urls, &corrected, presented)?;
                if !is_separate {
                    changes.portal = Some(found);
                    return Ok(());
                }
                urls = PortalUrls::new(urls.browser_url().clone(), Some(found))?;
                answer = probe(ctx, urls.api_url());
            }
            Some(Elsewhere::Server(owner)) => return Err(server_address(&urls, owner.as_ref())),
            None => {}
        }
    }
    let error = match answer {
        Ok(info) if moves => {
            let client = trust
                .http(
                    urls.browser_url(),
                    presented.clone(),
                    proxy,
                    referer,
                    &ctx.context,
                )
                .map_err(|error| error.to_string());
            return take_over(ctx, changes, &urls, client, &info);
        }
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let hint = pin_of_another_host(&trust.tls, urls.api_url(), &error)
        .or_else(|| missing_answer(&error))
        .unwrap_or_else(|| unchanged(what_to_do(&error).as_deref()));
    Err(Failure::Hinted { error, hint })
}

/// What helps where the new address asks for a client certificate or Windows sign-in that this
/// change does not give.
fn missing_answer(error: &Error) -> Option<String> {
    let Error::Refused { why, .. } = error else {
        return None;
    };
    let missing = match why {
        Refusal::ClientCertificate => "give the certificate of your browser, too, from a file with its private key (--client-cert FILE.p12)",
        Refusal::WebTier(schemes)
            if schemes.iter().any(|scheme| scheme == "Negotiate")
                && can_answer_windows_sign_in() =>
        {
            "answer it with your Windows sign-in, too (--web-tier windows)"
        }
        _ => return None,
    };
    Some(unchanged(Some(missing)))
}

/// What helps where the portal's certificate is not trusted or Windows sign-in has no answer. Other
/// errors are about what the options say.
fn what_to_do(error: &Error) -> Option<String> {
    match error {
        Error::Refused {
            why: Refusal::WindowsSignIn(_),
            ..
        }
        | Error::Unreachable {
            why: Unreachable::NoKdc | Unreachable::Tls(_),
            ..
        } => hint(error),
        _ => None,
    }
}

/// That an edit failed, what helps, and how to edit without a check.
fn unchanged(help: Option<&str>) -> String {
    let help = help.map_or(String::new(), |help| format!("{help}; "));
    format!(
        "nothing was changed; {help}to change the connection without asking the portal: --no-check"
    )
}

/// What helps where the connection trusts one certificate by itself, and the new address shows
/// another one.
fn pin_of_another_host(tls: &Tls, place: &PortalUrl, error: &Error) -> Option<String> {
    let Error::Unreachable {
        why: Unreachable::Tls(_),
        ..
    } = error
    else {
        return None;
    };
    match tls {
        Tls::Pinned { host, .. } if host != place.host() => Some(format!(
            "the pinned certificate is that of {host}; give the one of {}, too: --verify-ssl pin:FILE",
            place.host()
        )),
        _ => None,
    }
}

/// Compares both addresses where there are two, and puts them into the changes as they were found.
fn take_over(
    ctx: &mut CommandContext,
    changes: &mut Changes,
    urls: &PortalUrls,
    client: Result<Http, String>,
    info: &PortalInfo,
) -> Outcome {
    if urls.separate_api_url().is_some() {
        let comparison = api_url::ask_and_compare(urls, client, &info.names());
        api_url::confirm(ctx, urls, &comparison)?;
    }
    if let Some(portal) = &mut changes.portal {
        portal.clone_from(urls.browser_url());
    }
    if let Some(api) = &mut changes.api_url {
        *api = urls.separate_api_url().cloned();
    }
    Ok(())
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
    let application = match changes.kind.unwrap_or(connection.grant.kind()) {
        GrantKind::User => false,
        GrantKind::Application => true,
        // A client secret goes with the client ID that it belongs to.
        // An API key is added to the changes when they are complete: `api_key::add_to_changes`.
        GrantKind::Network | GrantKind::ApiKey => return Ok(SecretChange::Keep),
    };
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
        GivenSecret::Command(command) => return Ok(SecretChange::Command(command)),
        GivenSecret::Nothing => {}
    }
    let belongs_elsewhere = changes
        .portal
        .as_ref()
        .is_some_and(|portal| portal != connection.browser_url())
        || client_id != connection.client_id;
    if connection.secret_command.is_some() {
        if belongs_elsewhere {
            return Err(Failure::usage_hint(
                "the client secret command belongs to the former portal or client ID",
                "give --client-secret-command COMMAND, too, or another client secret",
            ));
        }
        return Ok(SecretChange::Keep);
    }
    let becomes_application = application && connection.grant.kind() != GrantKind::Application;
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

/// Changes the connection, and then its label where that is wanted; says what was done.
pub(in crate::cli) fn apply(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    connection: Connection,
    changes: &Changes,
    label: Option<&Label>,
) -> Outcome {
    let keychains = ctx.keychains(store);
    let session = ctx.session_of(store, connection);
    let edited = manage::edit(&session, &keychains, changes)?;
    let mut connection = session.connection().clone();
    // Last, so that a change that is refused leaves the label as it was.
    if let Some(label) = label {
        let session = ctx.session_of(store, store.load(&connection.id)?);
        connection.label = manage::rename(&session, label)?.label;
    }
    if !ctx.console.is_json() && !changes.concern_api_key_alone() {
        ctx.answer(&format!(
            "[OK] Updated connection: {}",
            escape(connection.label.as_str())
        ))?;
    }
    if let CertificateChange::Set(new) = &changes.client_certificate {
        client_certificate::describe(ctx, store, &store.load(&connection.id)?, new);
    }
    if changes.web_tier.is_some() {
        web_tier::describe(ctx, &store.load(&connection.id)?);
    }
    match (&changes.api_key, &changes.secret) {
        (Some(key), _) => api_key::say_replaced(ctx, &store.load(&connection.id)?, key)?,
        (None, SecretChange::Command(command)) => secret_command::describe(ctx, command),
        (None, SecretChange::Keep | SecretChange::Set(_) | SecretChange::Remove) => {}
    }
    say_dropped(ctx, &connection, changes, edited);
    if changes.portal.is_some() || changes.redirect_uri.is_some() {
        warn_if_shared(ctx, store, &store.load(&connection.id)?);
    }
    if changes.api_url.is_some() {
        api_url::say_if_unconfirmed(ctx, &store.load(&connection.id)?);
    }
    Ok(())
}

/// Says which secrets belonged to the former settings, and what to do about that.
fn say_dropped(ctx: &CommandContext, connection: &Connection, changes: &Changes, edited: Edited) {
    if edited.signed_out {
        let is_printed = connection.secret_command.is_some();
        ctx.console.info(&match connection.grant.kind() {
            GrantKind::ApiKey => format!(
                "The API key belonged to the former settings{}. Give the new one: {}",
                if is_printed { ", and its command was forgotten" } else { " and was deleted" },
                api_key_again(connection.label.as_str(), is_printed)
            ),
            GrantKind::User | GrantKind::Application | GrantKind::Network => format!(
                "The sign-in belonged to the former settings and was deleted. Sign in again: age-oauth login {}",
                connection_flag(connection)
            ),
        });
    }
    if edited.secret_dropped && !matches!(changes.secret, SecretChange::Set(_)) {
        ctx.console
            .info("The client secret belonged to the former portal or client ID and was deleted.");
    }
}
