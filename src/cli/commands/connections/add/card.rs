//! `connections add --from`: reads a connection card, and asks whether to trust it.

use std::io::ErrorKind;
use std::path::Path;

use super::AddArgs;
use crate::card::{Card, MAX_CARD_BYTES};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::escape;
use crate::cli::shared::api_url;
use crate::cli::shared::connection_fields::AuthType;
use crate::cli::shared::trust::{certificate_lines, CardCertificates};
use crate::cli::shared::web_tier;
use crate::cli::CommandContext;
use crate::connection::{Grant, WebTier};
use crate::error::{Error, FileAction};
use crate::files;
use crate::http;

/// Reads the card, asks whether to trust it, and returns the arguments with the card's fields in
/// place of options. `None` without `--from`.
pub(super) fn accept(ctx: &mut CommandContext, args: &AddArgs) -> Result<Option<AddArgs>, Failure> {
    let Some(path) = &args.from else {
        return Ok(None);
    };
    let card = read(ctx, path)?;
    let unconfirmed = unconfirmed_certificates(&card, &args.ca_fingerprints)?;
    check_api_url(&card, args)?;
    if args.yes && !unconfirmed.is_empty() {
        return Err(Failure::usage_hint(
            "the card contains a certificate, which --yes alone does not confirm",
            "ask the sender of the card for the fingerprint in another way, then add: --yes --ca-fingerprint SHA256",
        ));
    }
    let label = args.label.as_deref().unwrap_or(card.label.as_str());
    let sign_in = windows_sign_in(ctx, &card, args);
    print_card(ctx, &card, label, &unconfirmed, sign_in.as_deref());
    if !args.yes {
        confirm(ctx, &card, &unconfirmed)?;
    }
    let mut args = args.clone();
    args.label.get_or_insert_with(|| card.label.to_string());
    let source = if is_stdin(path) {
        "a card".to_owned()
    } else {
        format!("the card {}", path.display())
    };
    let fields = &mut args.fields;
    fields.portal = Some(card.urls.browser_url().as_str().to_owned());
    // Also where the card names none, so that `--replace` keeps none of another portal.
    let api = card.urls.separate_api_url();
    fields.api_url = Some(api.map_or(api_url::NONE, |url| url.as_str()).to_owned());
    // An option takes precedence: a platform may have to do without.
    let given = &mut fields.web_tier.web_tier;
    given.get_or_insert_with(|| sign_in.unwrap_or_else(|| WebTier::NONE.to_owned()));
    fields.client_id = Some(card.client_id.clone()).filter(|id| !id.is_empty());
    fields.referer.clone_from(&card.referer);
    fields.auth_type = Some(AuthType::of(card.grant.kind()));
    fields.redirect_uri = match &card.grant {
        Grant::User { redirect_uri, .. } => Some(redirect_uri.as_str().to_owned()),
        Grant::Application | Grant::Network | Grant::ApiKey { .. } => None,
    };
    if !card.certificates.is_empty() {
        fields.certificates = Some(CardCertificates {
            pem: http::to_pem(&card.certificates),
            source,
            pinned: card.pinned,
        });
    }
    Ok(Some(args))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(ctx: &mut CommandContext, path: &Path) -> Result<Card, Failure> {
    if is_stdin(path) {
        let text = ctx.read_input("the connection card")?;
        return Ok(Card::parse(text.expose().as_bytes().to_vec())?);
    }
    let bytes = files::read_user_file_or_pipe(path, MAX_CARD_BYTES, ctx.context.deadline).map_err(
        |why| match why.kind() {
            ErrorKind::FileTooLarge => Card::too_large(),
            _ => Error::file(FileAction::Read, path)(why),
        },
    )?;
    Ok(Card::parse(bytes)?)
}

/// Everything secret goes to the API URL, so that a person must have chosen it: by `--api-url` with
/// the same address, or by the question. An option that names another address is an error.
fn check_api_url(card: &Card, args: &AddArgs) -> Outcome {
    let given = match &args.fields.api_url {
        Some(text) => Some(api_url::read(text)?),
        None => None,
    };
    match (given, card.urls.separate_api_url()) {
        (None, Some(api)) if args.yes => Err(Failure::usage_hint(
            format!("the card contains the API URL {api}, which --yes alone does not confirm"),
            format!("ask the sender of the card for the API URL in another way; if it is this one: --yes --api-url {api}"),
        )),
        (Some(given), api) if given.as_ref() != api => Err(Failure::usage_hint(
            match api {
                Some(api) => format!("the card contains another API URL: {api}"),
                None => "the card contains no API URL".to_owned(),
            },
            "do not use this card; ask its sender where programs reach the portal",
        )),
        _ => Ok(()),
    }
}

/// The card's certificates whose fingerprint was not given. A given fingerprint that matches none
/// of them is an error.
fn unconfirmed_certificates(card: &Card, given: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    let plain = |text: &str| -> String {
        let digits = text.chars().filter(char::is_ascii_hexdigit);
        digits.map(|c| c.to_ascii_uppercase()).collect()
    };
    let given: Vec<_> = given.iter().map(|text| plain(text)).collect();
    let known: Vec<_> = card
        .certificates
        .iter()
        .map(|der| plain(&http::fingerprint(der)))
        .collect();
    if let Some(wrong) = given.iter().find(|one| !known.contains(one)) {
        return Err(Failure::usage_hint(
            format!("no certificate in the card has the fingerprint {wrong}"),
            "do not use this card; ask its sender which certificate it contains",
        ));
    }
    Ok(card
        .certificates
        .iter()
        .zip(known)
        .filter(|(_, fingerprint)| !given.contains(fingerprint))
        .map(|(der, _)| der.clone())
        .collect())
}

/// What `--web-tier` has to say where the card needs Windows sign-in and no option decides: as the
/// person that is shown now, if Kerberos knows one. `None` where the card does not need it.
fn windows_sign_in(ctx: &CommandContext, card: &Card, args: &AddArgs) -> Option<String> {
    if !card.needs_windows_sign_in {
        return None;
    }
    if let Some(given) = &args.fields.web_tier.web_tier {
        return Some(given.clone());
    }
    let principal = http::windows_principal(card.urls.api_url(), &ctx.context).ok();
    // The account of a machine has to be named by a person.
    let principal = principal.filter(|principal| !principal.is_of_a_machine());
    Some(principal.map_or_else(|| WebTier::WINDOWS.to_owned(), |one| web_tier::given(&one)))
}

/// Prints what the decision depends on: the portal, the application, and the certificates.
fn print_card(
    ctx: &CommandContext,
    card: &Card,
    label: &str,
    unconfirmed: &[Vec<u8>],
    sign_in: Option<&str>,
) {
    let who = match card.grant {
        Grant::User { .. } => "a person (signs in with a browser)",
        Grant::Application => "the application itself (needs its client secret)",
        Grant::Network => "the user whom the web server in front of the portal vouches for",
        Grant::ApiKey { .. } => "the owner of an API key (needs a key of your own)",
    };
    let portal = card.urls.browser_url();
    let mut lines = vec![
        format!("Portal:    {} ({portal})", portal.host()),
        format!("Token for: {who}"),
        format!("Label:     {}", escape(label)),
    ];
    if card.grant.kind().has_client_id() {
        lines.insert(1, format!("Client ID: {}", escape(&card.client_id)));
    }
    if let Grant::User { redirect_uri, .. } = &card.grant {
        let uri = escape(redirect_uri.as_str());
        lines.push(format!(
            "Redirect:  {uri} (receives the authorization code)"
        ));
    }
    if let Some(api) = card.urls.separate_api_url() {
        lines.insert(
            1,
            format!(
                "API URL:   {} (receives the authorization code, the tokens and the client secret)",
                api_url::shown(api)
            ),
        );
    }
    if let Some(referer) = &card.referer {
        lines.push(format!("Referer:   {}", escape(referer)));
    }
    if card.needs_client_certificate {
        lines.push("Needs:     a client certificate of your own (--client-cert FILE, or store: on Windows)".to_owned());
    }
    if let Some(sign_in) = sign_in {
        let who = sign_in
            .split_once(':')
            .map_or(String::new(), |(_, principal)| {
                format!(" (as {})", escape(principal))
            });
        lines.push(format!(
            "Needs:     your Windows sign-in{who}, for the web server in front of the portal"
        ));
    }
    for der in unconfirmed {
        lines.extend(certificate_lines(der, card.pinned));
    }
    for line in lines {
        ctx.console.print(&line);
    }
}

fn confirm(ctx: &mut CommandContext, card: &Card, unconfirmed: &[Vec<u8>]) -> Outcome {
    if !ctx.can_ask() {
        return Err(Failure::usage_hint(
            "the card must be confirmed, and there is no terminal for a prompt",
            "give --yes, --api-url with the API URL in the card, and --ca-fingerprint for each certificate in it",
        ));
    }
    if !unconfirmed.is_empty() {
        let question = "Did the sender confirm this SHA-256 fingerprint to you in another way?";
        if !ctx.system.ask.confirm(question, false)? {
            return Err(Failure::failed("no connection was added from the card"));
        }
    }
    let question = match card.urls.separate_api_url() {
        None => "Is this your portal, and do you want to add the connection?",
        Some(_) => "Are these two addresses of your portal, and do you want to add the connection?",
    };
    if ctx.system.ask.confirm(question, true)? {
        return Ok(());
    }
    Err(Failure::failed("no connection was added from the card"))
}
