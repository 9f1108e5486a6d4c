//! Questions of the guided `connections add` about the portal, its certificate and the redirect
//! URI.

use crate::cli::failure::{certificate, Failure};
use crate::cli::format::escape;
use crate::cli::hints::in_front;
use crate::cli::shared::api_url;
use crate::cli::shared::certificate_store;
use crate::cli::shared::client_certificate::{self, Loaded};
use crate::cli::shared::redirect_uris::unshared;
use crate::cli::shared::trust::Trust;
use crate::cli::shared::web_tier;
use crate::cli::CommandContext;
use crate::connection::{GrantKind, PortalUrl, PortalUrls, Principal, RedirectUri, Tls, WebTier};
use crate::error::{Error, Input, Overridden, Refusal, TlsFailure, Unreachable};
use crate::manage;
use crate::portal::PortalInfo;
use crate::store::ConnectionStore;

/// What to do after a portal could not be probed.
pub(super) enum NextStep {
    /// Probe again, and trust these certificates.
    Retry(Trust),
    /// Probe again with this client certificate.
    Present(Box<Loaded>),
    /// Probe again, and answer the web server's sign-in like this.
    AnswerAs(WebTier),
    /// Probe again as before.
    Again,
    /// Store the connection without a check.
    SkipCheck,
    /// Ask for another URL.
    OtherUrl,
    /// Probe this address, at which programs reach the portal.
    ApiUrl(PortalUrl),
}

/// Prints why the portal could not be probed, and asks what to do.
pub(super) fn ask_after_failure(
    ctx: &mut CommandContext,
    urls: &PortalUrls,
    tls: &Tls,
    error: Error,
) -> Result<NextStep, Failure> {
    let certificate = match &error {
        Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        } => Some(failure.clone()),
        Error::Unreachable { .. } | Error::Refused { .. } => None,
        _ => return Err(error.into()),
    };
    let is_guarded = is_guarded(&error);
    let wants_windows_sign_in = wants_windows_sign_in(&error);
    let wants_client_certificate = matches!(
        &error,
        Error::Refused {
            why: Refusal::ClientCertificate
                | Refusal::RejectedClientCertificate { .. }
                | Refusal::PrivateKey { .. },
            ..
        }
    );
    let advice = in_front(&error);
    match advice {
        Some(hint) => Failure::Hinted { error, hint }.print(&ctx.console),
        None => Failure::from(error).print_without_hint(&ctx.console),
    }
    let mut first = None;
    if wants_windows_sign_in {
        match ask_windows_sign_in(ctx, urls.api_url(), tls)? {
            WindowsSignIn::As(web_tier) => return Ok(NextStep::AnswerAs(web_tier)),
            WindowsSignIn::Lacking => first = Some(Way::Again),
            WindowsSignIn::No => {}
        }
    }
    if wants_client_certificate {
        first = Some(Way::Present);
    }
    match certificate {
        // Without a chain, the handshake failed before there was a certificate to trust.
        Some(failure) if !failure.chain.is_empty() => ask_trust(ctx, urls.api_url(), &failure),
        _ if is_guarded || urls.separate_api_url().is_some() => ask_way(ctx, urls, first),
        _ => ask_whether_to_skip(ctx),
    }
}

/// Whether the web server in front of the portal asks for Windows sign-in in a way that this
/// version can answer.
fn wants_windows_sign_in(error: &Error) -> bool {
    let Error::Refused { why, .. } = error else {
        return false;
    };
    match why {
        Refusal::WebTier(schemes) => schemes.iter().any(|scheme| scheme == "Negotiate"),
        _ => false,
    }
}

/// What a person says to the offer to answer Windows sign-in.
enum WindowsSignIn {
    /// Yes.
    As(WebTier),
    /// Yes, but this machine lacks something for it: a ticket, a program. That was said.
    Lacking,
    /// No, or it cannot be answered at all.
    No,
}

/// Offers to answer the web server's Windows sign-in.
fn ask_windows_sign_in(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    tls: &Tls,
) -> Result<WindowsSignIn, Failure> {
    if let Err(Error::Invalid { why, .. }) = manage::check_windows_sign_in(portal, tls) {
        ctx.console
            .print(&format!("This portal is behind Windows sign-in: {why}."));
        return Ok(WindowsSignIn::No);
    }
    let web_tier = match web_tier::windows(ctx, portal, tls, None) {
        Ok(web_tier) => web_tier,
        Err(failure) => {
            ctx.console.print("This portal is behind Windows sign-in.");
            failure.print(&ctx.console);
            return Ok(WindowsSignIn::Lacking);
        }
    };
    // Whose it is has to be known before the first token goes to the web server.
    let principal = web_tier.principal().map_or("", Principal::as_str);
    let question = format!(
        "This portal is behind Windows sign-in. Use your Windows sign-in for it, as {}?",
        escape(principal)
    );
    let uses_it = ctx.system.ask.confirm(&question, true)?;
    Ok(if uses_it {
        WindowsSignIn::As(web_tier)
    } else {
        WindowsSignIn::No
    })
}

/// Whether something in front of the portal answered, and requires what only a browser can do.
fn is_guarded(error: &Error) -> bool {
    let Error::Refused { why, .. } = error else {
        return false;
    };
    match why {
        Refusal::WebTier(_)
        | Refusal::ClientCertificate
        | Refusal::LateClientCertificate
        | Refusal::RejectedClientCertificate { .. }
        | Refusal::PrivateKey { .. }
        | Refusal::WindowsSignIn(_)
        | Refusal::SignInPage { .. }
        | Refusal::Forbidden { .. } => true,
        Refusal::ClientId
        | Refusal::ClientSecret
        | Refusal::PrintedClientSecret(_)
        | Refusal::RedirectUri(_)
        | Refusal::Application(_)
        | Refusal::Code(_)
        | Refusal::Denied
        | Refusal::SignIn(_)
        | Refusal::FreshToken
        | Refusal::Network(_)
        | Refusal::UnexpectedAnswer { .. }
        | Refusal::Server(_)
        | Refusal::Privilege
        | Refusal::InAnotherProcess(_)
        | Refusal::Other { .. } => false,
    }
}

/// A way to continue where something stands in front of the portal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Again,
    Present,
    ApiUrl,
    OtherUrl,
    SkipCheck,
}

impl Way {
    fn text(self) -> &'static str {
        match self {
            Self::Again => "Try again, after you have got what is missing",
            Self::Present if cfg!(windows) => {
                "Present a client certificate (of the Windows certificate store, or a file)"
            }
            Self::Present => "Present a client certificate (a file: PKCS#12 or PEM)",
            Self::ApiUrl => "Enter the address at which programs reach this portal (API URL)",
            Self::OtherUrl => "Enter another portal URL",
            Self::SkipCheck => "Add the connection without checking the portal",
        }
    }
}

/// Offers another address for programs, where the browser's is guarded or one for programs does not
/// answer; before that what this machine can answer with, if there is something.
fn ask_way(
    ctx: &mut CommandContext,
    urls: &PortalUrls,
    first: Option<Way>,
) -> Result<NextStep, Failure> {
    let mut ways = vec![Way::ApiUrl, Way::OtherUrl, Way::SkipCheck];
    if let Some(first) = first {
        ways.insert(0, first);
    }
    let choices: Vec<_> = ways.iter().map(|way| way.text().to_owned()).collect();
    let question = "How do you want to continue?";
    loop {
        let chosen = ctx.system.ask.choose(question, &choices, 0)?;
        match ways.get(chosen).unwrap_or(&Way::SkipCheck) {
            Way::Again => return Ok(NextStep::Again),
            Way::Present => {
                if let Some(loaded) = ask_client_certificate(ctx)? {
                    return Ok(NextStep::Present(loaded));
                }
            }
            Way::ApiUrl => return ask_api_url(ctx, urls).map(NextStep::ApiUrl),
            Way::OtherUrl => return Ok(NextStep::OtherUrl),
            Way::SkipCheck => return Ok(NextStep::SkipCheck),
        }
    }
}

/// The client certificate of the Windows certificate store that a person chooses, or the one in a
/// file. `None` after a message, where it cannot be used.
fn ask_client_certificate(ctx: &mut CommandContext) -> Result<Option<Box<Loaded>>, Failure> {
    let stored = certificate_store::presentable(ctx);
    let mut chosen = None;
    if !stored.is_empty() {
        let lines = stored.iter().map(certificate_store::line);
        let file = "A file with its private key (PKCS#12 or PEM)".to_owned();
        let choices: Vec<_> = lines.chain([file]).collect();
        let place = ctx
            .system
            .ask
            .choose(certificate_store::QUESTION, &choices, 0)?;
        chosen = stored.get(place);
    }
    let loaded = if let Some(entry) = chosen {
        client_certificate::from_store(ctx, entry)
    } else {
        let question = "Client certificate (the file with its private key)";
        let file = ctx.system.ask.text(question, None, &mut |_| Ok(()))?;
        client_certificate::from_file(ctx, &file)
    };
    match loaded {
        Ok(loaded) => Ok(Some(loaded)),
        Err(failure) => {
            failure.print(&ctx.console);
            Ok(None)
        }
    }
}

fn ask_api_url(ctx: &mut CommandContext, urls: &PortalUrls) -> Result<PortalUrl, Failure> {
    ctx.console.print(
        "Many portals have an address without that sign-in: their own port, or a second web adaptor. Ask the portal's administrator.",
    );
    let browser = urls.browser_url().clone();
    let question = "API URL (for example https://portal01.example.com:7443/arcgis)";
    let read = move |text: &str| -> Result<PortalUrl, Error> {
        let urls = PortalUrls::new(browser.clone(), api_url::read(text)?)?;
        let api = urls.separate_api_url().cloned();
        api.ok_or_else(|| Error::invalid(Input::ApiUrl, "it is the portal URL"))
    };
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        read(text).map(|_| ()).map_err(|why| why.to_string())
    })?;
    Ok(read(&answer)?)
}

pub(super) fn ask_portal(ctx: &mut CommandContext) -> Result<PortalUrl, Failure> {
    let question = "Portal URL (as in your browser, for example https://gis.example.com/portal)";
    let policy = ctx.context.machine_policy.clone();
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        PortalUrl::from_input(text)
            .and_then(|url| policy.check_urls(&url.into(), Overridden::Answer, Overridden::Answer))
            .map_err(|why| why.to_string())
    })?;
    Ok(PortalUrl::from_input(&answer)?)
}

/// Prints the portal's name and version, and whether its certificate is verified.
pub(super) fn print_portal(
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
    // Without TLS, there is no certificate.
    if portal.as_str().starts_with("http://") {
        return;
    }
    ctx.console.info(match trust.tls {
        Tls::Unverified => "Verify SSL: false (the portal's certificate is not verified)",
        Tls::System | Tls::Ca(_) | Tls::Pinned { .. } => {
            "Verify SSL: true (the portal's certificate is verified)"
        }
    });
}

/// Offers only what can work with this certificate.
fn ask_trust(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<NextStep, Failure> {
    let authority = "true: by a certificate authority in a file (PEM, DER or .p7b)";
    let pin = "true: exactly this certificate, after you compare its fingerprint";
    let policy = &ctx.context.machine_policy;
    let may_skip = policy
        .check_tls(&Tls::Unverified, Overridden::Answer)
        .is_ok();
    let choices = [
        (failure.authority_helps, Choice::Authority, authority),
        (failure.pin_helps, Choice::Pin, pin),
        (
            may_skip,
            Choice::Unverified,
            "false: do not verify this portal's certificate (unsafe)",
        ),
        (true, Choice::OtherUrl, "Enter another portal URL"),
    ];
    let choices: Vec<_> = choices.into_iter().filter(|(works, ..)| *works).collect();
    let texts: Vec<_> = choices
        .iter()
        .map(|(.., text)| (*text).to_owned())
        .collect();
    let question = "Verify SSL (how to trust this portal's certificate)";
    // If only an unsafe answer works, the preselected one is another URL.
    let safe = failure.authority_helps || failure.pin_helps;
    let preselected = if safe { 0 } else { texts.len() - 1 };
    let choice = ctx.system.ask.choose(question, &texts, preselected)?;
    match choices.get(choice).map(|(_, choice, _)| *choice) {
        Some(Choice::Authority) => ask_ca(ctx).map(NextStep::Retry),
        Some(Choice::Pin) => ask_fingerprint(ctx, portal, failure),
        Some(Choice::Unverified) => Ok(NextStep::Retry(Trust::unverified())),
        Some(Choice::OtherUrl) | None => Ok(NextStep::OtherUrl),
    }
}

/// How a certificate that is not trusted can be accepted.
#[derive(Clone, Copy)]
enum Choice {
    Authority,
    Pin,
    Unverified,
    OtherUrl,
}

fn ask_ca(ctx: &mut CommandContext) -> Result<Trust, Failure> {
    let context = ctx.context.clone();
    let question = "Certificate file (with the authority that signed the certificate)";
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        Trust::file(text, &context)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(Trust::file(&answer, &context)?)
}

fn ask_fingerprint(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<NextStep, Failure> {
    for line in failure.certificate.iter().flat_map(certificate) {
        ctx.console.print(&format!("  {}", escape(&line)));
    }
    let question = "Ask the portal's administrator for the fingerprint. Is it the same?";
    match failure.chain.first() {
        Some(leaf) if ctx.system.ask.confirm(question, false)? => {
            Ok(NextStep::Retry(Trust::exactly(leaf, portal)?))
        }
        _ => Ok(NextStep::OtherUrl),
    }
}

fn ask_whether_to_skip(ctx: &mut CommandContext) -> Result<NextStep, Failure> {
    let choices = [
        "Enter another portal URL".to_owned(),
        "Add the connection without checking the portal".to_owned(),
    ];
    let question = "How do you want to continue?";
    match ctx.system.ask.choose(question, &choices, 0)? {
        0 => Ok(NextStep::OtherUrl),
        _ => Ok(NextStep::SkipCheck),
    }
}

/// Asks whom tokens are for. `network` is there only where the connection answers the web
/// server in front of the portal.
pub(super) fn ask_kind(
    ctx: &mut CommandContext,
    answers_web_server: bool,
) -> Result<GrantKind, Failure> {
    let mut kinds = vec![
        (GrantKind::User, "user: a person signs in with a browser"),
        (
            GrantKind::Application,
            "app: the application itself, with its client secret",
        ),
    ];
    if answers_web_server {
        kinds.push((
            GrantKind::Network,
            "network: you, as the web server knows you; without browser and client ID (experimental)",
        ));
    }
    kinds.push((
        GrantKind::ApiKey,
        "key: an API key that you have; OAuth is safer, see the documentation",
    ));
    let choices: Vec<_> = kinds.iter().map(|(_, text)| (*text).to_owned()).collect();
    let question = "Authentication type (who the tokens are for)";
    let chosen = ctx.system.ask.choose(question, &choices, 0)?;
    Ok(kinds.get(chosen).map_or(GrantKind::User, |(kind, _)| *kind))
}

pub(super) fn ask_redirect(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    portal: &PortalUrl,
) -> Result<RedirectUri, Failure> {
    let choices = [
        "Paste the code that the portal shows (works everywhere)".to_owned(),
        "Receive it on this machine (needs a redirect URI with a port)".to_owned(),
    ];
    let question = "Authorization code (how it comes back to this program after you sign in)";
    let choice = ctx.system.ask.choose(question, &choices, 0)?;
    if choice == 0 {
        return Ok(RedirectUri::OutOfBand);
    }
    // Each portal gets a port of its own.
    let proposed = unshared(portal, &store.list(None)?.connections);
    let answer = ctx.system.ask.text(
        "Redirect URI (exactly as registered with the application)",
        Some(&proposed),
        &mut |text| match text.parse() {
            Ok(RedirectUri::Loopback(_)) => Ok(()),
            Ok(_) => Err(format!(
                "this URI does not lead to this machine; an example that does: {}",
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
