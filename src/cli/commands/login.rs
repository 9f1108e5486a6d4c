//! `login`: opens a browser, gets the authorization code, stores the sign-in. The code is pasted,
//! read from a pipe, or received at a port of this machine, whichever happens first.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{clock, connection_flag, escape, humanize, local_and_left, shell_quoted};
use crate::cli::hints::listen;
use crate::cli::json::{known, Identity, LoginAnswer, LoginStarted, Time};
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::{Connection, RedirectUri};
use crate::error::{Error, Refusal, SignInNeeded, Unreachable};
use crate::event::{Event, Wait};
use crate::loopback::Listener;
use crate::oauth::{AuthorizationCode, AuthorizationResponse, SignInAttempt, SignInOptions};
use crate::policy::command_line::{SHORT_SIGN_IN, SIGN_IN_POLL_INTERVAL, SIGN_IN_TIMEOUT};
use crate::policy::ExtendRule;
use crate::session::{PendingSignIn, Session, UsableToken};

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
    if session.connection().grant.is_application() {
        return login_application(ctx, &session, args);
    }
    let mut lines = Lines::default();
    let sign_in = session.begin_sign_in(&SignInOptions {
        minutes: args.expiration.map(minutes),
        force_login: args.switch_user,
    })?;
    let Some((sign_in, code)) = obtain(ctx, &session, sign_in, args, &mut lines)? else {
        return renew_instead(ctx, &session, args);
    };
    let pending = session
        .exchange_code(sign_in, code)
        .map_err(|error| code_lost(error, session.connection()))?;
    confirm_user(ctx, &session, &pending, args, &mut lines)?;
    let token = session.accept(pending)?;
    print_result(ctx, session.connection(), &token, args.json)
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
            why: Broken(_) | Status(_) | Timeout | TooLarge,
            ..
        } => Failure::Hinted { error, hint },
        error => error.into(),
    }
}

/// Names the connection in the hint, which the error does not know.
fn cannot_listen(error: Error, connection: &Connection) -> Failure {
    match error {
        Error::Listen { address, source } => Failure::Hinted {
            hint: listen(&source, &shell_quoted(connection.label.as_str())),
            error: Error::Listen { address, source },
        },
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
        "Token is for application: {} ({})",
        escape(&info.title),
        escape(&info.app_id)
    ))
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
        if left < SHORT_SIGN_IN.as_secs() {
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

/// Lines from standard input. A thread reads them, so that the program can wait for something else
/// at the same time; there is at most one such thread.
#[derive(Default)]
struct Lines {
    pending: Option<Receiver<Option<String>>>,
    ended: bool,
}

enum Line {
    Text(String),
    NotYet,
    End,
}

impl Lines {
    fn wait(&mut self, ctx: &mut CommandContext, bound: Duration) -> Line {
        if self.ended {
            return Line::End;
        }
        let pending = self.pending.get_or_insert_with(|| (ctx.system.read_line)());
        let line = match pending.recv_timeout(bound) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Line::NotYet,
            Err(RecvTimeoutError::Disconnected) => None,
        };
        self.pending = None;
        if let Some(text) = line {
            Line::Text(text)
        } else {
            self.ended = true;
            Line::End
        }
    }

    /// Whether a thread already reads from the terminal, so that a prompt must take its line.
    fn is_reading(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| matches!(pending.try_recv(), Err(TryRecvError::Empty)))
    }
}

/// Gets the authorization code; `None` if standard input ends without one.
fn obtain(
    ctx: &mut CommandContext,
    session: &Session,
    sign_in: SignInAttempt,
    args: &LoginArgs,
    lines: &mut Lines,
) -> Result<Option<(SignInAttempt, AuthorizationCode)>, Failure> {
    let listener = match sign_in.redirect_uri() {
        RedirectUri::Loopback(uri) => {
            Some(Listener::bind(uri).map_err(|error| cannot_listen(error, session.connection()))?)
        }
        _ => None,
    };
    announce(ctx, &sign_in, args, listener.is_some())?;
    ctx.system.ask.expect_interruption();
    let end = Instant::now() + ctx.bound(SIGN_IN_TIMEOUT);
    print_prompt(ctx, listener.is_some());
    let waiting = listener.is_some() && !ctx.can_ask();
    if waiting {
        ctx.context.emit(&Event::Waiting(Wait::Browser));
    }
    let returned = wait_for(ctx, session, &sign_in, listener.as_ref(), lines, end);
    if waiting {
        ctx.context.emit(&Event::WaitOver);
    }
    Ok(returned?.map(|code| (sign_in, code)))
}

/// Prints where to sign in, and opens a browser if a person can see it.
fn announce(
    ctx: &mut CommandContext,
    sign_in: &SignInAttempt,
    args: &LoginArgs,
    listens: bool,
) -> Outcome {
    if args.json {
        ctx.answer_json(&LoginStarted {
            authorize_url: sign_in.url().to_owned(),
            redirect_uri: sign_in.redirect_uri().to_string(),
            expects: if listens { "callback" } else { "code" },
        })?;
        ctx.system.out.flush()?;
    }
    let terminal = ctx.system.terminal;
    let attended = terminal.stdin || (listens && terminal.stderr);
    if args.no_browser || !attended {
        ctx.console
            .print("Open this address in a browser to sign in:");
        ctx.console.print(sign_in.url());
        return Ok(());
    }
    ctx.console
        .print("Opening browser for ArcGIS Enterprise OAuth sign-in...");
    ctx.console.print(sign_in.url());
    if !(ctx.system.browse)(sign_in.url()) {
        ctx.console
            .print("No browser could be opened. Open the address above on any device.");
    }
    Ok(())
}

fn print_prompt(ctx: &CommandContext, listens: bool) {
    if !ctx.can_ask() {
        return;
    }
    ctx.console.print(if listens {
        "Waiting for the browser. If it cannot reach this machine, paste the address that it shows at the end:"
    } else {
        "Sign in there, then paste the code that the portal shows (or the whole address) and press Enter:"
    });
}

fn wait_for(
    ctx: &mut CommandContext,
    session: &Session,
    sign_in: &SignInAttempt,
    listener: Option<&Listener>,
    lines: &mut Lines,
    end: Instant,
) -> Result<Option<AuthorizationCode>, Failure> {
    // With --no-input, the program does not read from a terminal.
    lines.ended = ctx.system.terminal.stdin && !ctx.can_ask();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let uri = sign_in.redirect_uri().as_str().to_owned();
            return Err(needed(session, SignInNeeded::TimedOut(uri)));
        }
        let callback =
            listener.and_then(|listener| listener.wait(sign_in, SIGN_IN_POLL_INTERVAL.min(left)));
        if let Some(returned) = callback {
            return code_from(session, returned).map(Some);
        }
        let timeout = if listener.is_some() {
            Duration::ZERO
        } else {
            left
        };
        match lines.wait(ctx, timeout) {
            Line::NotYet => {}
            Line::End if listener.is_some() => {}
            Line::End => return Ok(None),
            Line::Text(text) => {
                let returned = sign_in.read_pasted(&text);
                match rejection(&returned) {
                    Some(reason) if ctx.can_ask() => ctx.console.print(&format!("  {reason}")),
                    _ => return code_from(session, returned).map(Some),
                }
            }
        }
    }
}

/// Why a pasted line is not a code; `None` if the program accepts it.
fn rejection(returned: &AuthorizationResponse) -> Option<&'static str> {
    match returned {
        AuthorizationResponse::Unusable => {
            Some("This is not a code. Sign in, copy the code that the portal shows then, and paste it here:")
        }
        AuthorizationResponse::OwnUrl => {
            Some("This is the address to open. Sign in there, and paste the code that the portal shows then:")
        }
        AuthorizationResponse::Foreign => Some(
            "This code belongs to another sign-in attempt. Paste the code of the page that was opened last:",
        ),
        _ => None,
    }
}

/// The code in the portal's response, or the error that the response stands for.
fn code_from(
    session: &Session,
    returned: AuthorizationResponse,
) -> Result<AuthorizationCode, Failure> {
    let refused = |why| {
        Failure::from(Error::Refused {
            connection: Some(session.connection().label.to_string()),
            url: session.connection().portal.as_str().to_owned(),
            why,
        })
    };
    match returned {
        AuthorizationResponse::Code(code) => Ok(code),
        AuthorizationResponse::Declined => Err(refused(Refusal::Denied)),
        AuthorizationResponse::Failed(text) => Err(refused(Refusal::Code(text))),
        AuthorizationResponse::Foreign => Err(needed(session, SignInNeeded::MismatchedResponse)),
        AuthorizationResponse::OwnUrl | AuthorizationResponse::Unusable => {
            Err(needed(session, SignInNeeded::NoCode))
        }
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
    let stored = match &session.connection().status.username {
        Some(stored) if !stored.eq_ignore_ascii_case(pending.username()) => stored.clone(),
        _ => return Ok(()),
    };
    let signed_in = pending.username().to_owned();
    let question = format!(
        "`{}` signed in, but the stored sign-in of `{}` belongs to `{}`. Replace that sign-in?",
        escape(&signed_in),
        escape(session.connection().label.as_str()),
        escape(&stored)
    );
    if args.switch_user || (ctx.can_ask() && agrees(ctx, &question, lines)?) {
        return Ok(());
    }
    session.discard(pending);
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
