//! Questions of the guided `connections add` about the portal, its certificate and the redirect
//! URI.

use crate::cli::failure::{certificate, Failure};
use crate::cli::format::escape;
use crate::cli::shared::trust::Trust;
use crate::cli::CommandContext;
use crate::connection::{PortalUrl, RedirectUri, Tls};
use crate::error::{Error, TlsFailure, Unreachable};
use crate::portal::PortalInfo;

pub(super) enum Decided {
    /// Ask again with these certificates.
    Try(Trust),
    /// Store it as it is.
    Keep,
    /// Another address.
    Another,
}

/// What cannot be reached is told with its reason; then the person decides.
pub(super) fn decide(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    error: Error,
) -> Result<Decided, Failure> {
    let certificate = match &error {
        Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        } => Some(failure.clone()),
        Error::Unreachable { .. } | Error::Refused { .. } => None,
        _ => return Err(error.into()),
    };
    Failure::from(error).print_without_hint(&ctx.console);
    match certificate {
        Some(failure) => decide_tls(ctx, portal, &failure),
        None => decide_plain(ctx),
    }
}

pub(super) fn ask_portal(ctx: &mut CommandContext) -> Result<PortalUrl, Failure> {
    let question = "Portal address, as in your browser (https://gis.example.com/portal)";
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        text.parse::<PortalUrl>()
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(answer.parse()?)
}

pub(super) fn introduce(
    ctx: &CommandContext,
    portal: &PortalUrl,
    info: &PortalInfo,
    trust: &Trust,
) {
    let name = info.name.as_deref().unwrap_or("a portal without a name");
    ctx.console.info(&format!(
        "[OK] {portal} is {} ({}).",
        escape(name),
        escape(&info.version)
    ));
    match trust.tls {
        Tls::Unverified => {}
        _ if portal.as_str().starts_with("http://") => {}
        _ => ctx.console.info("[OK] Its certificate is verified."),
    }
}

fn decide_tls(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<Decided, Failure> {
    let mut choices = vec![
        "Give the file of the authority that signed it (PEM or DER)".to_owned(),
        "Trust exactly this certificate, after comparing its fingerprint".to_owned(),
        "Do not verify certificates of this portal (unsafe)".to_owned(),
        "Enter another address".to_owned(),
    ];
    if failure.chain.is_empty() {
        choices.remove(1);
    }
    let choice = ctx.system.ask.choose("What shall be done", &choices, 0)?;
    let choice = if failure.chain.is_empty() && choice > 0 {
        choice + 1
    } else {
        choice
    };
    match choice {
        0 => ask_ca(ctx).map(Decided::Try),
        1 => pin(ctx, portal, failure),
        2 => Ok(Decided::Try(Trust::unverified())),
        _ => Ok(Decided::Another),
    }
}

fn ask_ca(ctx: &mut CommandContext) -> Result<Trust, Failure> {
    let environment = ctx.context.environment.clone();
    let answer = ctx.system.ask.text("Certificate file", None, &mut |text| {
        Trust::file(text, &environment)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(Trust::file(&answer, &environment)?)
}

fn pin(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<Decided, Failure> {
    for line in certificate(failure) {
        ctx.console.print(&format!("  {}", escape(&line)));
    }
    let question = "Ask the portal's administrator for the fingerprint. Is it the same?";
    match failure.chain.first() {
        Some(leaf) if ctx.system.ask.confirm(question, false)? => {
            Ok(Decided::Try(Trust::exactly(leaf, portal)?))
        }
        _ => Ok(Decided::Another),
    }
}

fn decide_plain(ctx: &mut CommandContext) -> Result<Decided, Failure> {
    let choices = [
        "Enter the address again".to_owned(),
        "Keep it as it is, without having asked the portal".to_owned(),
    ];
    match ctx.system.ask.choose("What shall be done", &choices, 0)? {
        0 => Ok(Decided::Another),
        _ => Ok(Decided::Keep),
    }
}

pub(super) fn ask_redirect(ctx: &mut CommandContext) -> Result<RedirectUri, Failure> {
    let choices = [
        "I paste a code that the portal shows (works everywhere)".to_owned(),
        "It is caught on this machine (needs a redirect URI with a port)".to_owned(),
    ];
    let choice = ctx
        .system
        .ask
        .choose("How shall the sign-in come back", &choices, 0)?;
    if choice == 0 {
        return Ok(RedirectUri::OutOfBand);
    }
    let answer = ctx.system.ask.text(
        "Redirect URI, exactly as registered",
        Some(RedirectUri::DEFAULT_LOOPBACK),
        &mut |text| match text.parse() {
            Ok(RedirectUri::Loopback(_)) => Ok(()),
            Ok(_) => Err(format!(
                "that is not on this machine; {} is",
                RedirectUri::DEFAULT_LOOPBACK
            )),
            Err(why) => Err(Error::to_string(&why)),
        },
    )?;
    let uri: RedirectUri = answer.parse()?;
    ctx.console.print(&format!(
        "Register this redirect URI with the application at the portal: {uri}"
    ));
    Ok(uri)
}
