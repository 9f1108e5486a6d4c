//! How the authorization code comes to `login`: pasted, read from a pipe, or received at a port of
//! this machine, whichever happens first.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::{needed, LoginArgs};
use crate::cli::browser::Opened;
use crate::cli::failure::Failure;
use crate::cli::format::{escape, shell_quoted};
use crate::cli::hints::listen;
use crate::cli::json::LoginStarted;
use crate::cli::CommandContext;
use crate::connection::{Connection, RedirectUri};
use crate::error::{Error, Refusal, SignInNeeded};
use crate::event::{Event, Wait};
use crate::loopback::{Arrival, Listener, Stray};
use crate::oauth::{AuthorizationCode, AuthorizationResponse, SignInAttempt};
use crate::policy::command_line::{SIGN_IN_POLL_INTERVAL, SIGN_IN_TIMEOUT};
use crate::session::Session;

/// Where the code of one sign-in attempt comes from. The listener and what the browser was opened
/// with live as long as this.
pub(super) struct CodeInput<'a> {
    session: &'a Session,
    listener: Option<Listener>,
    lines: Lines,
    end: Instant,
    pasted: bool,
    _opened: Option<Opened>,
}

impl<'a> CodeInput<'a> {
    /// Opens the port of a loopback redirect URI, prints where to sign in, and opens a browser.
    pub(super) fn open(
        ctx: &mut CommandContext,
        session: &'a Session,
        sign_in: &SignInAttempt,
        args: &LoginArgs,
    ) -> Result<Self, Failure> {
        let listener = match sign_in.redirect_uri() {
            RedirectUri::Loopback(uri) => Some(
                Listener::bind(uri).map_err(|error| cannot_listen(error, session.connection()))?,
            ),
            _ => None,
        };
        let opened = announce(ctx, sign_in, args, listener.is_some())?;
        ctx.system.ask.expect_interruption();
        let end = Instant::now() + ctx.bound(SIGN_IN_TIMEOUT);
        print_prompt(ctx, listener.is_some());
        Ok(Self {
            session,
            listener,
            lines: Lines {
                pending: None,
                // With --no-input, the program does not read from a terminal.
                ended: ctx.system.terminal.stdin && !ctx.can_ask(),
            },
            end,
            pasted: false,
            _opened: opened,
        })
    }

    /// Waits for the next code; `None` if standard input ends without one.
    pub(super) fn next(
        &mut self,
        ctx: &mut CommandContext,
        sign_in: &SignInAttempt,
    ) -> Result<Option<AuthorizationCode>, Failure> {
        let waiting = self.listener.is_some() && !ctx.can_ask();
        if waiting {
            ctx.context.emit(&Event::Waiting(Wait::Browser));
        }
        let returned = self.wait(ctx, sign_in);
        if waiting {
            ctx.context.emit(&Event::WaitOver);
        }
        returned
    }

    /// Whether a person can paste another code after this error: the portal refused a code that was
    /// pasted, and there is time left.
    pub(super) fn may_ask_again(&self, ctx: &CommandContext, error: &Error) -> bool {
        let refused = matches!(
            error,
            Error::Refused {
                why: Refusal::Code(_),
                ..
            }
        );
        refused && self.pasted && ctx.can_ask() && Instant::now() < self.end
    }

    /// Closes the listener. Returns the lines, because a thread may still read one.
    pub(super) fn close(self) -> Lines {
        self.lines
    }

    fn wait(
        &mut self,
        ctx: &mut CommandContext,
        sign_in: &SignInAttempt,
    ) -> Result<Option<AuthorizationCode>, Failure> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let uri = sign_in.redirect_uri().as_str().to_owned();
                return Err(needed(self.session, SignInNeeded::TimedOut(uri)));
            }
            let arrival = self
                .listener
                .as_ref()
                .and_then(|listener| listener.wait(sign_in, SIGN_IN_POLL_INTERVAL.min(left)));
            match arrival {
                // The browser loaded the page again.
                Some(Arrival::Response(AuthorizationResponse::Used)) => continue,
                Some(Arrival::Response(response)) => {
                    self.pasted = false;
                    return code_from(self.session, response).map(Some);
                }
                Some(Arrival::Stray(stray)) => {
                    warn_of(ctx, stray, sign_in.redirect_uri());
                    continue;
                }
                None => {}
            }
            let timeout = if self.listener.is_some() {
                Duration::ZERO
            } else {
                left
            };
            match self.lines.wait(ctx, timeout) {
                Line::NotYet => {}
                Line::End if self.listener.is_some() => {}
                Line::End => return Ok(None),
                Line::Text(text) => {
                    self.pasted = true;
                    let returned = sign_in.read_pasted(&text);
                    match rejection(&returned) {
                        Some(reason) if ctx.can_ask() => ctx.console.print(&format!("  {reason}")),
                        _ => return code_from(self.session, returned).map(Some),
                    }
                }
            }
        }
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

/// Prints where to sign in, and opens a browser if a person can see it.
fn announce(
    ctx: &mut CommandContext,
    sign_in: &SignInAttempt,
    args: &LoginArgs,
    listens: bool,
) -> Result<Option<Opened>, Failure> {
    if args.json {
        ctx.answer_json(&LoginStarted {
            authorize_url: sign_in.url().to_owned(),
            redirect_uri: sign_in.redirect_uri().to_string(),
            expects: if listens { "callback" } else { "code" },
        })?;
        ctx.system.out.flush()?;
    }
    let terminal = ctx.system.terminal;
    let attended = args.open_browser || terminal.stdin || (listens && terminal.stderr);
    if args.no_browser || !attended {
        ctx.console
            .print("Open this address in a browser to sign in:");
        ctx.console.print(sign_in.url());
        return Ok(None);
    }
    ctx.console
        .print("Opening browser for ArcGIS Enterprise OAuth sign-in...");
    ctx.console.print(sign_in.url());
    let opened = (ctx.system.browse)(sign_in.url(), ctx.context.deadline);
    if opened.is_none() {
        ctx.console
            .print("No browser could be opened. Open the address above on any device.");
    }
    Ok(opened)
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

/// Tells what arrived at the redirect URI in place of the portal's response.
fn warn_of(ctx: &CommandContext, stray: Stray, redirect_uri: &RedirectUri) {
    let what = match stray {
        Stray::Https => "a browser asked for https there, and only http is possible. If it shows an error, paste the address of that page here, or open it with http:// in place of https://",
        Stray::TooLarge => "a request there was too large, perhaps because of many cookies. Paste the address that the browser shows here",
        Stray::NotHttp => "another program connected there, and did not send an HTTP request",
        Stray::OtherHost => "a request there named another host, and was refused",
        Stray::OtherPath => "a request there was for another path. If the portal sent the browser to that path, register the redirect URI exactly as it is here",
        Stray::OtherMethod => "a request there was not a GET, and was refused",
        Stray::OtherAttempt => "a response there belongs to another sign-in attempt. Use the browser window that was opened last",
        Stray::NoCode => "a request there had no code",
    };
    ctx.console.warn(&format!(
        "still waiting for the code at {redirect_uri}: {what}"
    ));
}

/// Why a pasted line is not a code; `None` if the program accepts it.
fn rejection(returned: &AuthorizationResponse) -> Option<String> {
    let reason = match returned {
        AuthorizationResponse::Unusable => {
            "This is not a code. Sign in, copy the code that the portal shows then, and paste it here:"
        }
        AuthorizationResponse::OwnUrl => {
            "This is the address to open. Sign in there, and paste the code that the portal shows then:"
        }
        AuthorizationResponse::Foreign => {
            "This code belongs to another sign-in attempt. Paste the code of the page that was opened last:"
        }
        AuthorizationResponse::Used => {
            "This code was already sent, and works only once. For a new code, open the address above again, and paste that one:"
        }
        AuthorizationResponse::OtherPortal(host) => {
            return Some(format!(
                "This is from `{}`, which is not the portal of this connection. Nothing was sent. Paste only what this connection's portal shows:",
                escape(host)
            ))
        }
        _ => return None,
    };
    Some(reason.to_owned())
}

/// The code in the portal's response, or the error that the response stands for.
fn code_from(
    session: &Session,
    returned: AuthorizationResponse,
) -> Result<AuthorizationCode, Failure> {
    let connection = session.connection();
    match returned {
        AuthorizationResponse::Code(code) => Ok(code),
        AuthorizationResponse::Declined => Err(Error::Refused {
            connection: Some(connection.label.to_string()),
            url: connection.browser_url().as_str().to_owned(),
            why: Refusal::Denied,
        }
        .into()),
        AuthorizationResponse::Failed(error) => Err(error.into_error(connection).into()),
        AuthorizationResponse::Foreign => Err(needed(session, SignInNeeded::MismatchedResponse)),
        AuthorizationResponse::OtherPortal(host) => {
            Err(needed(session, SignInNeeded::OtherPortal(host)))
        }
        AuthorizationResponse::OwnUrl
        | AuthorizationResponse::Used
        | AuthorizationResponse::Unusable => Err(needed(session, SignInNeeded::NotACode)),
    }
}

/// Lines from standard input. A thread reads them, so that the program can wait for something else
/// at the same time; there is at most one such thread.
pub(super) struct Lines {
    pending: Option<Receiver<Option<String>>>,
    ended: bool,
}

pub(super) enum Line {
    Text(String),
    NotYet,
    End,
}

impl Lines {
    /// Where no code is read.
    pub(super) fn none() -> Self {
        Self {
            pending: None,
            ended: true,
        }
    }

    pub(super) fn wait(&mut self, ctx: &mut CommandContext, bound: Duration) -> Line {
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
    pub(super) fn is_reading(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| matches!(pending.try_recv(), Err(TryRecvError::Empty)))
    }
}
