//! `connections share`: a connection as a card, for colleagues.

use clap::Args;

use crate::card::Card;
use crate::cli::failure::Outcome;
use crate::cli::format::json_text;
use crate::cli::shared::connection_name::{labels, named};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Grant, Proxy, Tls};
use crate::error::{Error, FileAction};
use crate::files;
use crate::http;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections share prod > prod.json", "save the card"),
    ("age-oauth connections add --from prod.json --login", "for a colleague: add the connection"),
]))]
pub(in crate::cli) struct ShareArgs {
    /// Label or ID [default: the connection that would be used]
    #[arg(add = labels())]
    name: Option<String>,
}

pub(super) fn share(ctx: &mut CommandContext, args: &ShareArgs) -> Outcome {
    let store = ctx.store()?;
    let connection = named(ctx, &store, args.name.as_ref())?;
    let ca = match &connection.tls {
        Tls::Ca(path) | Tls::Pinned { path, .. } => {
            let read = files::read_user_file(path, http::MAX_CERTIFICATES);
            Some(read.map_err(Error::file(FileAction::Read, path))?)
        }
        Tls::System | Tls::Unverified => None,
    };
    let card = Card::of(&connection, ca.as_deref())?;
    ctx.answer(&json_text(&card.to_json()?))?;
    let label = connection.label.as_str();
    if connection.tls == Tls::Unverified {
        ctx.console.warn(&format!(
            "the card does not contain the setting `--verify-ssl false` of `{label}`; your colleagues' connections verify the certificate"
        ));
    }
    if connection.proxy != Proxy::System {
        ctx.console.warn(&format!(
            "the card does not contain the proxy of `{label}`, which is a setting of this machine"
        ));
    }
    if matches!(connection.grant, Grant::User { pkce: false, .. }) {
        ctx.console.warn(&format!(
            "the card does not contain the setting `--pkce false` of `{label}`; your colleagues' connections use PKCE"
        ));
    }
    if let Some(api) = card.urls.separate_api_url() {
        ctx.console.info(&format!(
            "Your colleagues must confirm the API URL, to which their secrets go. Send it to them in another way: {api}"
        ));
    }
    for der in &card.certificates {
        ctx.console.info(&format!(
            "Your colleagues must confirm this certificate. Send them its SHA-256 fingerprint in another way: {}",
            http::fingerprint(der)
        ));
    }
    if card.needs_client_certificate {
        ctx.console.info(
            "Your colleagues also need a client certificate of their own, which the card does not contain: --client-cert FILE, or store: on Windows",
        );
    }
    if card.needs_windows_sign_in {
        ctx.console.info(
            "Your colleagues also need Windows sign-in: a Kerberos ticket of their own, which the card does not contain.",
        );
    }
    match card.grant {
        Grant::User { .. } | Grant::Network => {}
        Grant::Application => ctx.console.info(
            "Your colleagues also need the application's client secret, which the card does not contain.",
        ),
        Grant::ApiKey { .. } => ctx.console.info(
            "Your colleagues also need an API key of their own, which the card does not contain.",
        ),
    }
    Ok(())
}
