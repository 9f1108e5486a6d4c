//! Everything on stderr: warnings, errors, progress, and the details of `-v`. With `--json`, one
//! JSON object per line.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, ThreadId};

use console::{Style, Term};

use super::format::{connection_option, escape, humanize, local};
use super::json::{self, WarningLine};
use super::status_line::{Showing, Status, StatusLine};
use super::system::Zone;
use crate::event::{Decision, Event, Notice, Observer, Wait};
use crate::policy::command_line::{REPORT_WAIT_AFTER, SPINNER_AFTER};
use crate::util::lock;

/// Writes to stderr. Clones share it.
#[derive(Clone)]
pub(super) struct Console(Arc<Inner>);

struct Inner {
    err: Mutex<Box<dyn Write + Send>>,
    options: OutputOptions,
    /// The reported wait of each thread; a thread waits for one thing at a time.
    waiting: Mutex<HashMap<ThreadId, Waiting>>,
    line: StatusLine,
    /// Warnings that were printed already.
    warned: Mutex<HashSet<String>>,
}

/// What is printed, and how.
pub(super) struct OutputOptions {
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) json: bool,
    pub(super) color: bool,
    /// Whether stderr is a terminal.
    pub(super) terminal: bool,
    pub(super) zone: Zone,
}

struct Waiting {
    over: Sender<()>,
    thread: JoinHandle<()>,
}

impl Console {
    pub(super) fn new(err: Box<dyn Write + Send>, options: OutputOptions) -> Self {
        Self(Arc::new(Inner {
            err: Mutex::new(err),
            options,
            waiting: Mutex::default(),
            line: StatusLine::new(Term::stderr()),
            warned: Mutex::default(),
        }))
    }

    fn options(&self) -> &OutputOptions {
        &self.0.options
    }

    /// An observer for the library, which prints its events.
    pub(super) fn observer(&self) -> Observer {
        let console = self.clone();
        Observer::new(move |event| console.on_event(event))
    }

    fn write(&self, line: &str) {
        self.suspend(|| {
            let mut err = lock(&self.0.err);
            // If stderr is closed, there is nowhere left to report that.
            let _ = writeln!(err, "{line}").and_then(|()| err.flush());
        });
    }

    /// Hides the status line, if there is one, while `write` prints.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.line.suspend(write)
    }

    /// Shows on a terminal how much of a file has arrived, until dropped.
    pub(super) fn download(&self) -> Progress {
        self.show(Status::Download {
            received: 0,
            total: None,
        })
    }

    /// Shows on a terminal how many of `total` are done, until dropped.
    pub(super) fn progress(&self, total: usize) -> Progress {
        self.show(Status::Count {
            done: 0,
            total,
            last: String::new(),
        })
    }

    fn show(&self, status: Status) -> Progress {
        let options = self.options();
        let is_seen = options.terminal && !options.quiet && !options.json;
        Progress {
            line: self.0.line.clone(),
            _showing: is_seen.then(|| self.0.line.show(status)),
        }
    }

    /// Prints a line that a person needs, such as an address to open. `--quiet` does not silence
    /// it; with `--json` it is left out.
    pub(super) fn print(&self, line: &str) {
        if !self.options().json {
            self.write(line);
        }
    }

    /// Prints a line that is useful, but not needed. `--quiet` and `--json` silence it.
    pub(super) fn info(&self, line: &str) {
        if !self.options().json && !self.options().quiet {
            self.write(line);
        }
    }

    /// Prints a warning; the same text only once.
    pub(super) fn warn(&self, text: &str) {
        if !lock(&self.0.warned).insert(text.to_owned()) {
            return;
        }
        let options = self.options();
        if options.quiet {
            return;
        }
        if options.json {
            self.write(&json::line(&WarningLine { warning: text }));
        } else {
            let word = self.paint("warning:", &Style::new().yellow().bold());
            self.write(&format!("{word} {}", escape(text)));
        }
    }

    /// Prints the lines of an error, which are escaped already.
    pub(super) fn error_lines(&self, lines: &str) {
        self.write(lines.trim_end());
    }

    pub(super) fn is_json(&self) -> bool {
        self.options().json
    }

    /// The options that make another process of this program print as much as this one.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(super) fn amount(&self) -> Vec<&'static str> {
        let options = self.options();
        let mut words = vec!["-v"; options.verbose.into()];
        words.extend(options.quiet.then_some("-q"));
        words
    }

    pub(super) fn paint(&self, text: &str, style: &Style) -> String {
        if self.options().color {
            style.clone().force_styling(true).apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }

    fn on_event(&self, event: &Event) {
        match event {
            Event::Notice(notice) => self.warn(&self.notice_text(notice)),
            Event::Waiting(wait) => self.wait(wait),
            Event::WaitOver => self.wait_over(),
            Event::Decision {
                connection,
                decision,
            } => self.detail(1, &format!("{connection}: {}", decision_text(*decision))),
            Event::Retrying { url, after } => {
                self.detail(
                    1,
                    &format!("{url}: trying again in {:.1}s", after.as_secs_f32()),
                );
            }
            Event::Http {
                method,
                url,
                status,
                took,
            } => {
                let status = status.map_or_else(|| "no response".to_owned(), |s| s.to_string());
                let took = took.as_millis();
                self.detail(2, &format!("{method} {url}: {status}, {took} ms"));
            }
        }
    }

    /// Prints a detail for `-v` (level 1) or `-vv` (level 2).
    pub(super) fn detail(&self, level: u8, text: &str) {
        if self.options().verbose >= level && !self.options().json {
            let mark = self.paint("·", &Style::new().dim());
            self.write(&format!("{mark} {}", escape(text)));
        }
    }

    /// A notice as a sentence.
    pub(super) fn notice_text(&self, notice: &Notice) -> String {
        match notice {
            Notice::Unreachable {
                connection,
                why,
                seconds_left,
            } => format!(
                "the portal of `{connection}` cannot be reached ({why}); this is the cached token, which expires in {}",
                humanize(*seconds_left)
            ),
            Notice::SecretCommandFailed {
                connection,
                why,
                seconds_left,
            } => format!(
                "the token of `{connection}` could not be renewed ({why}); this is the cached token, which expires in {}",
                humanize(*seconds_left)
            ),
            Notice::ShortLived {
                connection,
                seconds_wanted,
                seconds_left,
            } => format!(
                "the portal of `{connection}` does not issue tokens that live {}; this one expires in {}",
                humanize(*seconds_wanted),
                humanize(*seconds_left)
            ),
            Notice::ExtendedAnyway { connection, until } => format!(
                "the sign-in of `{connection}` was extended; older access tokens (valid until {}) are no longer valid",
                local(*until, &self.options().zone)
            ),
            Notice::ExpiresSoon { connection, expires_at } => format!(
                "the sign-in of `{connection}` expires on {}, and the portal does not extend it; run: age-oauth login {}",
                local(*expires_at, &self.options().zone),
                connection_option(connection)
            ),
            Notice::Unverified { connection } => format!(
                "the certificate of `{connection}` is not verified; anyone between you and the portal can read everything"
            ),
            Notice::NotRevoked { connection, why } => format!(
                "a sign-in of `{connection}` could not be revoked at the portal ({why}); it remains valid there until it expires"
            ),
            Notice::ExtensionNotApplied {
                connection,
                why: None,
            } => format!(
                "an earlier attempt to extend the sign-in of `{connection}` got no response; the sign-in is still valid"
            ),
            Notice::ExtensionNotApplied {
                connection,
                why: Some(why),
            } => format!(
                "the sign-in of `{connection}` could not be extended ({why}); it is still valid"
            ),
            Notice::VaultKeyMade { path } => format!(
                "created a key for the vault: {}; it protects copies of the vault, but not against programs that run as you",
                path.display()
            ),
            Notice::Other { message } => message.clone(),
        }
    }

    fn wait(&self, wait: &Wait) {
        let options = self.options();
        if options.quiet || options.json || self.0.line.is_shown() {
            return;
        }
        self.wait_over();
        let text = match wait {
            Wait::OtherProcess { pid: Some(pid) } => {
                format!("waiting for another age-oauth process ({pid}) …")
            }
            Wait::OtherProcess { pid: None } => "waiting for another age-oauth process …".into(),
            Wait::Portal { host } => format!("waiting for {} …", escape(host)),
            Wait::Keychain => {
                "waiting for the keychain; it may be asking for your password …".into()
            }
            Wait::Token => {
                "waiting for the PKCS#11 token; if its reader has a keypad, enter the PIN there …"
                    .into()
            }
            Wait::PrivateKey => {
                "waiting for the private key of the client certificate; Windows may be asking for its PIN …"
                    .into()
            }
            Wait::SecretCommand(secret, name) => {
                format!(
                    "waiting for {}, which prints the {} …",
                    escape(name),
                    secret.as_str()
                )
            }
            Wait::Browser => "waiting for the browser …".into(),
            Wait::Gap { connection, until } => format!(
                "waiting until {}, when every access token in use of `{}` has expired …",
                local(*until, &options.zone),
                escape(connection)
            ),
        };
        let (over, ended) = mpsc::channel();
        let (console, terminal) = (self.clone(), options.terminal);
        let thread = std::thread::spawn(move || {
            let limit = if terminal {
                SPINNER_AFTER
            } else {
                REPORT_WAIT_AFTER
            };
            if ended.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if terminal {
                console.0.line.show_until(Status::Waiting(text), &ended);
            } else {
                console.write(&text);
            }
        });
        let me = std::thread::current().id();
        lock(&self.0.waiting).insert(me, Waiting { over, thread });
    }

    fn wait_over(&self) {
        let me = std::thread::current().id();
        let waiting = lock(&self.0.waiting).remove(&me);
        if let Some(waiting) = waiting {
            drop(waiting.over);
            // The thread ends at once. Joining it keeps its line from mixing with the next.
            let _ = waiting.thread.join();
        }
    }
}

/// How far the work is; does nothing without a terminal.
pub(super) struct Progress {
    line: StatusLine,
    _showing: Option<Showing>,
}

impl Progress {
    /// Sets how many bytes have arrived, and of how many, where that is known.
    pub(super) fn set(&self, bytes: u64, of: Option<u64>) {
        self.line.update(|status| {
            if let Status::Download { received, total } = status {
                *received = bytes;
                *total = of.or(*total);
            }
        });
    }

    /// Counts one more as done.
    pub(super) fn step(&self, name: &str) {
        self.line.update(|status| {
            if let Status::Count { done, last, .. } = status {
                *done += 1;
                *last = escape(name);
            }
        });
    }
}

fn decision_text(decision: Decision) -> &'static str {
    match decision {
        Decision::Cached => "the cached token lives long enough",
        Decision::Renewed => "the token was renewed",
        Decision::RenewedByAnother => "another process has just renewed the token",
        Decision::Extended => "the sign-in was extended, and the token renewed",
        Decision::Fallback => "the token could not be renewed; the cached token is still valid",
        Decision::SignedIn => "a new sign-in was stored",
        Decision::SignedOut => "the sign-in was ended",
    }
}
