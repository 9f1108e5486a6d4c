//! `login`: opens a browser, gets the authorization code, stores the sign-in.

mod code;
mod settings;

use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{clock, connection_flag, escape, humanize, local_and_left};
use crate::cli::json::{known, Identity, LoginAnswer, Time};
use crate::cli::shared::api_key;
use crate::cli::shared::help::examples;
use crate::cli::shared::token_variables;
use crate::cli::terminal::{delay_interruptions, with_cleanup};
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant};
use crate::error::{Error, Overridden, SignInNeeded, Unreachable};
use crate::oauth::SignInOptions;
use crate::policy::command_line::{SHORT_SIGN_IN, SIGN_IN_TIMEOUT};
use crate::policy::{self, ExtendRule};
use crate::session::{PendingSignIn, Session, UsableToken};

use code::{CodeInput, Line, Lines};

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth login", "sign in to the default connection"),
    ("age-oauth login -c prod --no-browser", "open the printed address yourself, on any device"),
    ("age-oauth login --switch-user", "sign in as another user"),
]))]
pub(in crate::cli) struct LoginArgs {
    /// Do not open a browser: open the printed address yourself, on any device
    #[arg(long)]
    no_browser: bool,
    /// Open a browser also where the program has no terminal, as under a program with windows
    #[arg(long, conflicts_with = "no_browser")]
    open_browser: bool,
    /// Show the portal's form even if the browser is signed in, and accept another user
    #[arg(long)]
    switch_user: bool,
    /// How long the sign-in lives (14d) [default: the longest that the portal allows]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse_duration)]
    expiration: Option<Duration>,
    /// Print JSON lines: the address to open, then the result
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn login(ctx: &mut CommandContext, args: &LoginArgs) -> Outcome {
    let session = ctx.session()?;
    if args.expiration.is_some() {
        check_expires(session.connection())?;
    }
    match session.connection().grant {
        Grant::User { .. } => {}
        Grant::Application => return login_application(ctx, &session, args),
        Grant::Network => return login_network(ctx, &session, args),
        Grant::ApiKey { .. } => return Err(api_key::nothing_to_sign_in(session.connection())),
    }
    settings::confirm(ctx, &session)?;
    let is_first = session.stored_user().is_none();
    // What the portal has granted, from the moment of its answer on.
    let granted = OnceLock::new();
    let token = with_cleanup(
        || {
            if let Some(pending) = granted.get() {
                session.discard(pending);
            }
        },
        || sign_in(ctx, &session, args, &granted),
    )?;
    let Some(token) = token else {
        return renew_instead(ctx, &session, args);
    };
    print_result(ctx, session.connection(), &token, args.json)?;
    confirm_api_url(ctx, &session);
    if is_first {
        print_owner(ctx, session.connection(), &token);
    }
    Ok(())
}

/// Refuses a life for a sign-in that has no end.
fn check_expires(connection: &Connection) -> Outcome {
    let kind = match connection.grant {
        Grant::User { .. } => return Ok(()),
        Grant::Application => "an application",
        Grant::Network => "a network",
        Grant::ApiKey { .. } => return Err(api_key::nothing_to_sign_in(connection)),
    };
    Err(Failure::usage(format!(
        "`{}` is {kind} connection, whose sign-in does not expire: --expiration does not fit",
        escape(connection.label.as_str())
    )))
}

/// Gets a code, exchanges it, and stores the sign-in. `None` if standard input ends without a code.
fn sign_in(
    ctx: &mut CommandContext,
    session: &Session,
    args: &LoginArgs,
    granted: &OnceLock<PendingSignIn>,
) -> Result<Option<UsableToken>, Failure> {
    let asked = args.expiration.map(minutes);
    let policy = &ctx.context.machine_policy;
    policy.sign_in_minutes(asked, Overridden::Option("--expiration"))?;
    let mut attempt = session.begin_sign_in(&SignInOptions {
        minutes: asked,
        force_login: args.switch_user,
    })?;
    let mut input = CodeInput::open(ctx, session, &attempt, args)?;
    let pending = loop {
        let Some(code) = input.next(ctx, &attempt)? else {
            return Ok(None);
        };
        // An interruption must find the sign-in that the portal has granted, to revoke it.
        let delay = delay_interruptions();
        match session.exchange_code(&mut attempt, code) {
            Ok(pending) => break granted.get_or_init(|| pending),
            Err(error) if input.may_ask_again(ctx, &error) => ask_again(ctx, error),
            Err(error) => return Err(code_lost(error, session.connection())),
        }
        drop(delay);
    };
    let mut lines = input.close();
    confirm_user(ctx, session, pending, args, &mut lines)?;
    Ok(Some(session.accept(pending)?))
}

/// Asks with the new token who signed in, where it is not known yet whether tokens work at the API
/// URL. The sign-in is good in any case, so that a failure is a warning.
fn confirm_api_url(ctx: &CommandContext, session: &Session) {
    let Some(api) = session.connection().unconfirmed_api_url() else {
        return;
    };
    if let Err(error) = session.whoami() {
        ctx.console.warn(&format!(
            "the sign-in is stored, but no token has worked at the API URL {api} yet: {error}"
        ));
    }
}

/// Tells whose the first sign-in of a connection is. Another person may have answered the address,
/// or the browser may have been signed in as another user.
fn print_owner(ctx: &CommandContext, connection: &Connection, token: &UsableToken) {
    let Some(username) = &token.username else {
        return;
    };
    ctx.console.info(&format!(
        "This is the first sign-in of `{}`. Scripts that use it act as `{}`. If that is not you: age-oauth logout {}",
        escape(connection.label.as_str()),
        escape(username),
        connection_flag(connection)
    ));
}

/// The portal refused a code that was pasted. The attempt is still good for another one.
fn ask_again(ctx: &CommandContext, error: Error) {
    Failure::from(error).print_without_hint(&ctx.console);
    ctx.console.print(
        "  A code works once, and only for a few minutes. Paste it as one line; for a new code, open the address above again:",
    );
}

/// An authorization code works once. If the portal's response did not arrive, the user must sign in
/// again.
fn code_lost(error: Error, connection: &Connection) -> Failure {
    use Unreachable::{Broken, Status, Timeout, TooLarge};
    let hint = format!(
        "an authorization code works only once, so sign in again: age-oauth login {}",
        connection_flag(connection)
    );
    match error {
        Error::Unreachable {
            why: Broken(_) | Status { .. } | Timeout | TooLarge,
            ..
        } => Failure::Hinted { error, hint },
        error => error.into(),
    }
}

fn minutes(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs().div_ceil(60)).unwrap_or(i64::MAX)
}

fn login_application(ctx: &mut CommandContext, session: &Session, args: &LoginArgs) -> Outcome {
    let (token, info) = session.sign_in_application()?;
    let connection = session.connection();
    if args.json {
        return ctx.answer_json(&LoginAnswer {
            application: known(&info.title),
            app_id: known(&info.app_id),
            ..as_json(connection, &token)
        });
    }
    print_acquired(ctx, &token)?;
    ctx.answer(&format!(
        "Token is for application: {}",
        escape(&info.to_string())
    ))
}

/// Signs in the user whom the web server in front of the portal vouches for. From then on, the
/// connection belongs to that user.
fn login_network(ctx: &mut CommandContext, session: &Session, args: &LoginArgs) -> Outcome {
    settings::confirm(ctx, session)?;
    let connection = session.connection();
    let is_first = session.stored_user().is_none();
    let pending = session.sign_in_network()?;
    confirm_user(ctx, session, &pending, args, &mut Lines::none())?;
    let token = session.accept(&pending)?;
    print_result(ctx, connection, &token, args.json)?;
    confirm_api_url(ctx, session);
    if is_first {
        print_owner(ctx, connection, &token);
    }
    if let Some(referer) = connection.sent_referer() {
        ctx.console.info(&format!(
            "The portal accepts these tokens only together with the header `Referer: {}`, which the program and age_oauth send; other requests need it, too ({}REFERER).",
            escape(referer),
            token_variables::PREFIX
        ));
    }
    Ok(())
}

fn as_json(connection: &Connection, token: &UsableToken) -> LoginAnswer {
    LoginAnswer {
        identity: Identity::of(connection),
        username: token.username.clone(),
        application: None,
        app_id: None,
        expires_at: Time(token.access.expires_at),
        refresh_expires_at: token.sign_in_expires_at.map(Time),
    }
}

fn print_acquired(ctx: &mut CommandContext, token: &UsableToken) -> Outcome {
    ctx.answer(&format!(
        "New access_token acquired! Expires in: {}",
        clock(token.access.seconds_granted())
    ))
}

fn print_result(
    ctx: &mut CommandContext,
    connection: &Connection,
    token: &UsableToken,
    json: bool,
) -> Outcome {
    if json {
        return ctx.answer_json(&as_json(connection, token));
    }
    print_acquired(ctx, token)?;
    if let Some(username) = &token.username {
        ctx.answer(&format!("Token is for user: {}", escape(username)))?;
    }
    let now = ctx.context.now();
    if let Some(end) = token.sign_in_expires_at {
        let when = local_and_left(end, now, &ctx.system.zone);
        ctx.answer(&format!("Signed in until: {when}"))?;
        let left = end.duration_since(now).as_secs();
        if let Some(limit) = ctx.context.machine_policy.longest_sign_in()? {
            ctx.console.info(&format!(
                "The policy of this machine lets a sign-in last {} at most ({}); extending it does not change that.",
                crate::machine_policy::duration(limit.longest),
                limit.rule
            ));
        } else if left < SHORT_SIGN_IN.as_secs() {
            ctx.console.warn(&format!(
                "the sign-in of `{}` lives only {}, because the portal limits it; the portal's administrator can allow more",
                connection.label,
                humanize(left)
            ));
        }
    }
    Ok(())
}

/// Standard input ended without a code. A stored sign-in that still works is good enough.
fn renew_instead(ctx: &mut CommandContext, session: &Session, args: &LoginArgs) -> Outcome {
    match session.refresh(ExtendRule::PastHalf) {
        Ok(refreshed) => {
            ctx.console
                .info("No code was given. The stored sign-in still works and was renewed instead.");
            print_result(ctx, session.connection(), &refreshed.token, args.json)
        }
        Err(Error::SignInNeeded { connection, .. }) => Err(Error::SignInNeeded {
            connection,
            why: SignInNeeded::NoCode,
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}

fn needed(session: &Session, why: SignInNeeded) -> Failure {
    Error::SignInNeeded {
        connection: session.connection().label.to_string(),
        why,
    }
    .into()
}

/// Asks before another user's sign-in replaces the stored one.
fn confirm_user(
    ctx: &mut CommandContext,
    session: &Session,
    pending: &PendingSignIn,
    args: &LoginArgs,
    lines: &mut Lines,
) -> Outcome {
    let stored = match session.stored_user() {
        Some(stored) if !policy::is_same_user(&stored, pending.username()) => stored,
        _ => return Ok(()),
    };
    let signed_in = pending.username().to_owned();
    let question = format!(
        "`{}` signed in, but the stored sign-in of `{}` belongs to `{}`. Replace that sign-in?",
        escape(&signed_in),
        escape(session.connection().label.as_str()),
        escape(&stored)
    );
    let agreed = if args.switch_user {
        Ok(true)
    } else if ctx.can_ask() {
        agrees(ctx, &question, lines)
    } else {
        Ok(false)
    };
    if let Ok(true) = agreed {
        return Ok(());
    }
    // Also if the question was interrupted: the sign-in would live on at the portal.
    session.discard(pending);
    agreed?;
    Err(needed(
        session,
        SignInNeeded::OtherUser { stored, signed_in },
    ))
}

fn agrees(ctx: &mut CommandContext, question: &str, lines: &mut Lines) -> Result<bool, Failure> {
    if !lines.is_reading() {
        return Ok(ctx.system.ask.confirm(question, false)?);
    }
    ctx.console.print(&format!("{question} [y/N]"));
    let bound = ctx.bound(SIGN_IN_TIMEOUT);
    Ok(match lines.wait(ctx, bound) {
        Line::Text(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
        _ => false,
    })
}
