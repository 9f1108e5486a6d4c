//! `login`: a browser, a code, a stored sign-in. The code comes back by paste, by a pipe, or at a port of this machine,
//! whichever is first.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{clock, connection_flag, escape, humanize, local_and_left};
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

/// Sign in with your browser
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
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
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
        .map_err(|error| spent(error, session.connection()))?;
    consent(ctx, &session, &pending, args, &mut lines)?;
    let issued = session.accept(pending)?;
    tell(ctx, session.connection(), &issued, args.json)
}

/// A code works once. Where its answer did not come, trying again later means signing in again.
fn spent(error: Error, connection: &Connection) -> Failure {
    use Unreachable::{Broken, Status, Timeout, TooLarge};
    let hint = format!(
        "codes work once; sign in again: age-oauth login {}",
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

fn minutes(wish: Duration) -> i64 {
    i64::try_from(wish.as_secs().div_ceil(60)).unwrap_or(i64::MAX)
}

fn login_application(ctx: &mut CommandContext, session: &Session, args: &LoginArgs) -> Outcome {
    let (issued, info) = session.sign_in_application()?;
    let connection = session.connection();
    if args.json {
        return ctx.answer_json(&LoginAnswer {
            application: known(&info.title),
            app_id: known(&info.app_id),
            ..as_json(connection, &issued)
        });
    }
    acquired(ctx, &issued)?;
    ctx.answer(&format!(
        "Token is for application: {} ({})",
        escape(&info.title),
        escape(&info.app_id)
    ))
}

fn as_json(connection: &Connection, issued: &UsableToken) -> LoginAnswer {
    LoginAnswer {
        identity: Identity::of(connection),
        username: issued.username.clone(),
        application: None,
        app_id: None,
        expires_at: Time(issued.access.expires_at),
        refresh_expires_at: issued.sign_in_expires_at.map(Time),
    }
}

fn acquired(ctx: &mut CommandContext, issued: &UsableToken) -> Outcome {
    ctx.answer(&format!(
        "New access_token acquired! Expires in: {}",
        clock(issued.access.seconds_granted())
    ))
}

fn tell(
    ctx: &mut CommandContext,
    connection: &Connection,
    issued: &UsableToken,
    json: bool,
) -> Outcome {
    if json {
        return ctx.answer_json(&as_json(connection, issued));
    }
    acquired(ctx, issued)?;
    if let Some(username) = &issued.username {
        ctx.answer(&format!("Token is for user: {}", escape(username)))?;
    }
    let now = ctx.context.now();
    if let Some(end) = issued.sign_in_expires_at {
        let when = local_and_left(end, now, &ctx.system.zone);
        ctx.answer(&format!("Signed in until: {when}"))?;
        let left = end.duration_since(now).as_secs();
        if left < SHORT_SIGN_IN.as_secs() {
            ctx.console.warn(&format!(
                "this portal allows sign-ins of {} only; its administrator can allow more",
                humanize(left)
            ));
        }
    }
    Ok(())
}

/// At the end of input there is no code to be had; a sign-in that can still be renewed is as good.
fn renew_instead(ctx: &mut CommandContext, session: &Session, args: &LoginArgs) -> Outcome {
    match session.refresh(ExtendRule::PastHalf) {
        Ok(refreshed) => {
            ctx.console
                .info("No code was given; the stored sign-in was renewed instead.");
            tell(ctx, session.connection(), &refreshed.token, args.json)
        }
        Err(Error::SignInNeeded { connection, .. }) => Err(Error::SignInNeeded {
            connection,
            why: SignInNeeded::NoCode,
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}

/// Lines from standard input, read beside other waits, one reader at a time.
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

    /// Whether a reader sits on the terminal already, so that a prompt must take its line.
    fn is_reading(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| matches!(pending.try_recv(), Err(TryRecvError::Empty)))
    }
}

/// Gets the code, or nothing at the end of input.
fn obtain(
    ctx: &mut CommandContext,
    session: &Session,
    sign_in: SignInAttempt,
    args: &LoginArgs,
    lines: &mut Lines,
) -> Result<Option<(SignInAttempt, AuthorizationCode)>, Failure> {
    let listener = match sign_in.redirect_uri() {
        RedirectUri::Loopback(uri) => Some(Listener::bind(uri)?),
        _ => None,
    };
    announce(ctx, &sign_in, args, listener.is_some())?;
    ctx.system.ask.expect_interruption();
    let end = Instant::now() + ctx.bound(SIGN_IN_TIMEOUT);
    prompt(ctx, listener.is_some());
    let waiting = listener.is_some() && !ctx.person();
    if waiting {
        ctx.context.emit(&Event::Waiting(Wait::Browser));
    }
    let returned = wait_for(ctx, session, &sign_in, listener.as_ref(), lines, end);
    if waiting {
        ctx.context.emit(&Event::WaitOver);
    }
    Ok(returned?.map(|code| (sign_in, code)))
}

/// Tells where to sign in and opens a browser where a person sits.
fn announce(
    ctx: &mut CommandContext,
    sign_in: &SignInAttempt,
    args: &LoginArgs,
    catches: bool,
) -> Outcome {
    if args.json {
        ctx.answer_json(&LoginStarted {
            authorize_url: sign_in.url().to_owned(),
            redirect_uri: sign_in.redirect_uri().to_string(),
            expects: if catches { "callback" } else { "code" },
        })?;
        ctx.system.out.flush()?;
    }
    let terminal = ctx.system.terminal;
    let seen = terminal.stdin || (catches && terminal.stderr);
    if args.no_browser || !seen {
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
            .print("No browser could be opened; open the address above on any device.");
    }
    Ok(())
}

fn prompt(ctx: &CommandContext, catches: bool) {
    if !ctx.person() {
        return;
    }
    ctx.console.print(if catches {
        "Waiting for the browser. If it cannot reach this machine, paste the address that it ends at:"
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
    // With --no-input a terminal is never read.
    lines.ended = ctx.system.terminal.stdin && !ctx.person();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let uri = sign_in.redirect_uri().as_str().to_owned();
            return Err(needed(session, SignInNeeded::TimedOut(uri)));
        }
        let callback =
            listener.and_then(|listener| listener.wait(sign_in, SIGN_IN_POLL_INTERVAL.min(left)));
        if let Some(returned) = callback {
            return judge(session, returned).map(Some);
        }
        let patience = if listener.is_some() {
            Duration::ZERO
        } else {
            left
        };
        match lines.wait(ctx, patience) {
            Line::NotYet => {}
            Line::End if listener.is_some() => {}
            Line::End => return Ok(None),
            Line::Text(text) => {
                let returned = sign_in.read_pasted(&text);
                match complaint(&returned) {
                    Some(reason) if ctx.person() => ctx.console.print(&format!("  {reason}")),
                    _ => return judge(session, returned).map(Some),
                }
            }
        }
    }
}

/// Why a pasted line is asked for again.
fn complaint(returned: &AuthorizationResponse) -> Option<&'static str> {
    match returned {
        AuthorizationResponse::Unusable => {
            Some("That is no code. Copy what the portal shows after you sign in, and paste it here:")
        }
        AuthorizationResponse::OwnUrl => {
            Some("That is the address to open. Sign in there and paste what it shows at the end:")
        }
        AuthorizationResponse::Foreign => Some(
            "That belongs to another sign-in attempt. Use the page that was opened last, and paste its code:",
        ),
        _ => None,
    }
}

fn judge(session: &Session, returned: AuthorizationResponse) -> Result<AuthorizationCode, Failure> {
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
        AuthorizationResponse::Failed(words) => Err(refused(Refusal::Code(words))),
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

/// Another user than the stored one is never written over without consent.
fn consent(
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
        "`{}` signed in, but this connection belongs to `{}`. Replace that sign-in?",
        escape(&signed_in),
        escape(&stored)
    );
    if args.switch_user || (ctx.person() && agrees(ctx, &question, lines)?) {
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
