//! `token`: prints an access token that lives long enough.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, humanize, verify_ssl};
use crate::cli::json::{Identity, Time, TokenAnswer};
use crate::cli::shared::duration::{min_ttl_help, words};
use crate::cli::shared::help::examples;
use crate::cli::shared::token_variables;
use crate::cli::shell::Shell;
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant};
use crate::event::Decision;
use crate::federation::Target;
use crate::policy::{self, ExtendRule, MinTtl, ROTATE_REFRESH_TOKEN_AGE};
use crate::session::{Session, TokenRequest, UsableToken};
use crate::store::Selector;
use crate::util::rfc3339;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth token", "print a token of the default connection"),
    ("age-oauth token -c prod --min-ttl 10m", "one that lives for at least ten more minutes"),
    ("age-oauth token --header | curl -H @- URL", "send it with a request, not as an argument"),
]))]
pub(in crate::cli) struct TokenArgs {
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = crate::duration::parse_duration,
        help = min_ttl_help(TokenRequest::default().min_ttl)
    )]
    min_ttl: Option<Duration>,
    /// Print a whole HTTP header: `X-Esri-Authorization: Bearer …`
    #[arg(long)]
    header: bool,
    /// Print one JSON object: the token, its user and its dates
    #[arg(long, conflicts_with = "header")]
    pub(in crate::cli) json: bool,
    /// A token for this server, if the portal grants tokens for it
    #[arg(long = "for", value_name = "URL")]
    server: Option<String>,
    /// Get a new token even if the cached one is still good
    #[arg(long)]
    force: bool,
    #[arg(
        long,
        conflicts_with_all = ["json", "header", "min_ttl", "force", "server"],
        help = format!(
            "Extend the sign-in if it is older than {}, and print no token",
            words(ROTATE_REFRESH_TOKEN_AGE.unsigned_abs())
        )
    )]
    rotate_refresh_token: bool,
    /// Print the token, its end and its epoch on lines of their own, if portal, client ID and user
    /// have this digest: the call in the statements of `export-env` for PowerShell
    #[arg(
        long,
        value_name = "DIGEST",
        conflicts_with_all = ["json", "header", "force", "server", "rotate_refresh_token"],
        hide = true
    )]
    for_statements: Option<String>,
    /// The connection (as the Python package named this option)
    #[arg(
        long,
        value_name = "NAME",
        requires = "rotate_refresh_token",
        hide = true
    )]
    portal: Option<String>,
}

pub(in crate::cli) fn token(ctx: &mut CommandContext, args: &TokenArgs) -> Outcome {
    if let Some(portal) = &args.portal {
        ctx.selector = Some(Selector::Name(portal.clone()));
    }
    let session = ctx.session()?;
    if args.rotate_refresh_token {
        return rotate(ctx, &session);
    }
    if let Some(digest) = &args.for_statements {
        return lines(ctx, &session, args.min_ttl, digest);
    }
    let token = match &args.server {
        None => session.access_token(&request(args))?,
        Some(url) => {
            let target = Target::parse_url(&session.connection().urls, url)?;
            match target.server() {
                Some(root) => session.server_token(root, &request(args))?,
                None => session.access_token(&request(args))?,
            }
        }
    };
    if args.json {
        return ctx.answer_json(&as_json(&session, &token, ctx.context.now()));
    }
    let text = token.access.secret.expose();
    if args.header {
        ctx.answer(&format!("X-Esri-Authorization: Bearer {text}"))?;
        let connection = session.connection();
        return match (&connection.grant, connection.sent_referer()) {
            // The portal accepts the token only together with it; an API key may be one of those.
            (Grant::Network | Grant::ApiKey { .. }, Some(referer)) => {
                ctx.answer(&format!("Referer: {referer}"))
            }
            (
                Grant::User { .. } | Grant::Application | Grant::Network | Grant::ApiKey { .. },
                _,
            ) => Ok(()),
        };
    }
    ctx.answer(text)
}

/// Prints what the statements of PowerShell assign. They were printed for one portal and user, and
/// must not combine these with the token of another.
fn lines(
    ctx: &mut CommandContext,
    session: &Session,
    min_ttl: Option<Duration>,
    digest: &str,
) -> Outcome {
    let token = session.access_token(&token_variables::token_request(min_ttl))?;
    let connection = session.connection();
    if token_variables::identity_digest(connection, token.username.as_deref()) != digest {
        return Err(Failure::failed_hint(
            format!(
                "the portal, the client ID or the user of `{}` changed after the statements were printed",
                connection.label
            ),
            Shell::Powershell.loading_line().unwrap_or_default(),
        ));
    }
    let access = &token.access;
    ctx.answer(access.secret.expose())?;
    ctx.answer(&rfc3339(access.expires_at))?;
    ctx.answer(&access.expires_at.as_second().to_string())
}

fn request(args: &TokenArgs) -> TokenRequest {
    let default = TokenRequest::default();
    TokenRequest {
        min_ttl: args.min_ttl.map_or(default.min_ttl, MinTtl::at_least),
        explicit: args.min_ttl.is_some(),
        force: args.force,
        ..default
    }
}

fn as_json<'a>(session: &Session, token: &'a UsableToken, now: Timestamp) -> TokenAnswer<'a> {
    let connection = session.connection();
    let access = &token.access;
    TokenAnswer {
        identity: Identity::of(connection),
        username: token.username.clone(),
        access_token: access.secret.expose(),
        token_type: "Bearer",
        expires_at: Time(access.expires_at),
        expires_epoch: access.expires_at.as_second(),
        expires_in: access.seconds_left(now),
        refresh_expires_at: token.sign_in_expires_at.map(Time),
        sign_in_ends_soon: expires_soon(connection, token, now),
        referer: connection.sent_referer().map(str::to_owned),
        verify_ssl: verify_ssl(&connection.tls),
        web_tier: connection.web_tier.as_str(),
        client_certificate: connection
            .client_certificate
            .as_ref()
            .map(|certificate| certificate.subject.clone()),
        proxy: session.proxy().as_str().to_owned(),
    }
}

/// Whether a person must sign in within [`policy::EXPIRES_SOON`], because the portal does not
/// extend this sign-in.
fn expires_soon(connection: &Connection, token: &UsableToken, now: Timestamp) -> bool {
    let soon = token
        .sign_in_expires_at
        .is_some_and(|end| policy::expires_soon(end, now));
    soon && connection.status.extendable == Some(false)
}

/// A command of the Python package, whose output stays as it was: extends the sign-in if that is
/// due, and prints no token.
fn rotate(ctx: &mut CommandContext, session: &Session) -> Outcome {
    let connection = session.connection();
    let kind = match connection.grant {
        Grant::User { .. } => None,
        Grant::Application => Some("an application connection"),
        Grant::Network => Some("a network connection"),
        Grant::ApiKey { .. } => Some("a connection with an API key"),
    };
    if let Some(kind) = kind {
        return Err(Failure::usage(format!(
            "`{}` is {kind} and has no sign-in to extend",
            connection.label
        )));
    }
    let age = connection
        .status
        .refresh_issued_at
        .map(|at| ctx.context.now().duration_since(at).as_secs());
    let refreshed = session.refresh(ExtendRule::OlderThan(ROTATE_REFRESH_TOKEN_AGE))?;
    let token = &refreshed.token;
    ctx.answer(&format!(
        "Connection: {}",
        escape(connection.label.as_str())
    ))?;
    ctx.answer(&format!("Portal: {}", connection.browser_url()))?;
    if let Some(username) = &token.username {
        ctx.answer(&format!("User: {}", escape(username)))?;
    }
    if let Some(age) = age {
        ctx.answer(&format!("Token age: {}", humanize(age.max(0))))?;
    }
    ctx.answer(match (token.decision, refreshed.extension_waits_until) {
        (Decision::Extended, _) => "[OK] Refresh token rotated.",
        (_, Some(_)) => "[OK] Rotation is due and waits until no script holds a token.",
        _ => "[OK] Refresh token is fresh; rotation not needed.",
    })
}
