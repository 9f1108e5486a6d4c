//! `token`: prints an access token that lives long enough.

use jiff::{SignedDuration, Timestamp};

use crate::cli::args::TokenArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, humanize, verify_ssl};
use crate::cli::json::{Identity, Time, TokenAnswer};
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::context::Decision;
use crate::federation::Target;
use crate::policy::ENDS_SOON;
use crate::session::{Session, TokenRequest, UsableToken};
use crate::store::Selector;
use crate::token::{ExtendRule, MinTtl};

/// The Python package extended a sign-in that was older than this.
const ROTATE_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);

pub(in crate::cli) fn token(ctx: &mut CommandContext, args: &TokenArgs) -> Outcome {
    if let Some(portal) = &args.portal {
        ctx.selector = Some(Selector::Name(portal.clone()));
    }
    let session = ctx.session()?;
    if args.rotate_refresh_token {
        return rotate(ctx, &session);
    }
    let issued = match &args.server {
        None => session.access_token(&want(args))?,
        Some(url) => {
            let target = Target::parse(&session.connection().portal, url)?;
            match target.server() {
                Some(root) => session.server_token(root, &want(args))?,
                None => session.access_token(&want(args))?,
            }
        }
    };
    if args.json {
        return ctx.answer_json(&as_json(&session, &issued, ctx.context.now()));
    }
    let token = issued.access.secret.expose();
    if args.header {
        return ctx.answer(&format!("X-Esri-Authorization: Bearer {token}"));
    }
    ctx.answer(token)
}

fn want(args: &TokenArgs) -> TokenRequest {
    let default = TokenRequest::default();
    TokenRequest {
        min_ttl: args.min_ttl.map_or(default.min_ttl, seconds),
        explicit: args.min_ttl.is_some(),
        force: args.force,
        ..default
    }
}

/// A wish in whole seconds.
pub(in crate::cli) fn seconds(wish: std::time::Duration) -> MinTtl {
    MinTtl::Seconds(i64::try_from(wish.as_secs()).unwrap_or(i64::MAX))
}

fn as_json<'a>(session: &Session, issued: &'a UsableToken, now: Timestamp) -> TokenAnswer<'a> {
    let connection = session.connection();
    let access = &issued.access;
    TokenAnswer {
        identity: Identity::of(connection),
        username: issued.username.clone(),
        access_token: access.secret.expose(),
        token_type: "Bearer",
        expires_at: Time(access.expires_at),
        expires_epoch: access.expires_at.as_second(),
        expires_in: access.seconds_left(now),
        refresh_expires_at: issued.sign_in_ends.map(Time),
        sign_in_ends_soon: ends_soon(connection, issued, now),
        referer: connection.referer.clone(),
        verify_ssl: verify_ssl(&connection.tls),
        proxy: connection.proxy.as_str().to_owned(),
    }
}

/// Whether a person must sign in within 3 days, because the portal does not extend this sign-in.
fn ends_soon(connection: &Connection, issued: &UsableToken, now: Timestamp) -> bool {
    let soon = issued
        .sign_in_ends
        .is_some_and(|end| end.duration_since(now).as_secs() <= ENDS_SOON);
    soon && connection.status.extendable == Some(false)
}

/// The Python package's command, in its words: extends the sign-in where it is due, and prints no token.
fn rotate(ctx: &mut CommandContext, session: &Session) -> Outcome {
    let connection = session.connection();
    if connection.grant.is_application() {
        return Err(Failure::usage(format!(
            "`{}` is an application's connection; it has no sign-in that could be extended",
            connection.label
        )));
    }
    let age = connection
        .status
        .refresh_issued_at
        .map(|at| ctx.context.now().duration_since(at).as_secs());
    let refreshed = session.refresh(ExtendRule::OlderThan(ROTATE_AFTER))?;
    let issued = &refreshed.issued;
    ctx.answer(&format!(
        "Connection: {}",
        escape(connection.label.as_str())
    ))?;
    ctx.answer(&format!("Portal: {}", connection.portal))?;
    if let Some(username) = &issued.username {
        ctx.answer(&format!("User: {}", escape(username)))?;
    }
    if let Some(age) = age {
        ctx.answer(&format!("Token age: {}", humanize(age.max(0))))?;
    }
    ctx.answer(match (issued.decision, refreshed.extension_waits_until) {
        (Decision::Extended, _) => "[OK] Refresh token rotated.",
        (_, Some(_)) => "[OK] Rotation is due and waits until no script holds a token.",
        _ => "[OK] Refresh token is fresh; rotation not needed.",
    })
}
