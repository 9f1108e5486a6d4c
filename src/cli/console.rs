//! The conversation on stderr: warnings, progress, what `-v` tells. One object per line where `--json` was asked for.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use console::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::format::{escape, humanize, json_text, local, shell_quoted};
use super::system::Zone;
use crate::context::{Decision, Event, Notice, Observer, Wait};
use crate::util::lock;

/// A wait is worth mentioning once it has lasted this long.
const LONG: Duration = Duration::from_secs(2);

/// The same, on a terminal, where it is wiped away again.
const LONG_ON_TERMINAL: Duration = Duration::from_millis(400);

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// The conversation. Clones share it.
#[derive(Clone)]
pub(super) struct Console(Arc<Inner>);

struct Inner {
    err: Mutex<Box<dyn Write + Send>>,
    options: OutputOptions,
    /// Each thread waits for one thing at a time.
    waiting: Mutex<HashMap<ThreadId, Waiting>>,
    progress: Mutex<Option<ProgressBar>>,
    warned: Mutex<HashSet<String>>,
}

/// How to console.
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
            progress: Mutex::new(None),
            warned: Mutex::default(),
        }))
    }

    fn options(&self) -> &OutputOptions {
        &self.0.options
    }

    /// What the library reports comes here.
    pub(super) fn observer(&self) -> Observer {
        let console = self.clone();
        Observer::new(move |event| console.on_event(event))
    }

    fn write(&self, line: &str) {
        self.suspend(|| {
            let mut err = lock(&self.0.err);
            // Nobody reads stderr any more: there is no one to tell.
            let _ = writeln!(err, "{line}").and_then(|()| err.flush());
        });
    }

    /// Does something that writes to the terminal while the progress bar, where there is one, steps aside.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = lock(&self.0.progress).clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows on a terminal how much of a file has come, until dropped.
    pub(super) fn download(&self) -> Progress {
        let options = self.options();
        if options.terminal && !options.quiet && !options.json {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {bar:20} {bytes} of {total_bytes} ({bytes_per_sec}) {wide_msg}",
            ) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            *lock(&self.0.progress) = Some(bar);
        }
        Progress(self.clone())
    }

    /// Shows on a terminal how much of `total` is done, until dropped.
    pub(super) fn progress(&self, total: usize) -> Progress {
        let options = self.options();
        if options.terminal && !options.quiet && !options.json {
            let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
            // The template is constant; a bar in another style is no reason to fail.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {bar:20} {pos} of {len} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            *lock(&self.0.progress) = Some(bar);
        }
        Progress(self.clone())
    }

    /// A line that a person needs: an address to open, what to do next. Never silenced, never JSON.
    pub(super) fn print(&self, line: &str) {
        if !self.options().json {
            self.write(line);
        }
    }

    /// A line that is good to know.
    pub(super) fn info(&self, line: &str) {
        if !self.options().json && !self.options().quiet {
            self.write(line);
        }
    }

    /// Something is not as it should be. Said once, however often it is noticed.
    pub(super) fn warn(&self, text: &str) {
        if !lock(&self.0.warned).insert(text.to_owned()) {
            return;
        }
        let options = self.options();
        if options.json {
            self.write(&json_text(&json!({ "warning": text }).to_string()));
        } else if !options.quiet {
            let word = self.paint("warning:", &Style::new().yellow().bold());
            self.write(&format!("{word} {}", escape(text)));
        }
    }

    /// The last words of a command that failed. Already escaped.
    pub(super) fn error_lines(&self, lines: &str) {
        self.write(lines.trim_end());
    }

    pub(super) fn is_json(&self) -> bool {
        self.options().json
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
            Event::Notice(notice) => self.warn(&self.words(notice)),
            Event::Waiting(wait) => self.wait(wait),
            Event::WaitOver => self.wait_over(),
            Event::Decision {
                connection,
                decision,
            } => self.detail(1, &format!("{connection}: {}", decision_words(*decision))),
            Event::Retrying { url, after } => {
                self.detail(1, &format!("{url}: again in {:.1}s", after.as_secs_f32()));
            }
            Event::Http {
                method,
                url,
                status,
                took,
            } => {
                let status = status.map_or_else(|| "no answer".to_owned(), |s| s.to_string());
                let took = took.as_millis();
                self.detail(2, &format!("{method} {url}: {status}, {took} ms"));
            }
        }
    }

    /// What `-v` (1) and `-vv` (2) tell.
    pub(super) fn detail(&self, level: u8, text: &str) {
        if self.options().verbose >= level && !self.options().json {
            let mark = self.paint("·", &Style::new().dim());
            self.write(&format!("{mark} {}", escape(text)));
        }
    }

    /// A notice as a sentence.
    pub(super) fn words(&self, notice: &Notice) -> String {
        match notice {
            Notice::Unreachable {
                connection,
                why,
                lives,
            } => format!(
                "the portal of `{connection}` could not be reached ({why}); this is the stored token, which lives another {}",
                humanize(*lives)
            ),
            Notice::ShortLived {
                connection,
                wanted,
                lives,
            } => format!(
                "the portal of `{connection}` grants no token that lives {}; this one lives {}",
                humanize(*wanted),
                humanize(*lives)
            ),
            Notice::ExtendedAnyway { connection, until } => format!(
                "the sign-in of `{connection}` was extended; tokens handed out before this moment, good until {}, are no longer valid",
                local(*until, &self.options().zone)
            ),
            Notice::EndsSoon { connection, at } => format!(
                "the sign-in of `{connection}` ends {} and this portal does not extend it; run: age-oauth login -c {}",
                local(*at, &self.options().zone),
                shell_quoted(connection)
            ),
            Notice::Unverified { connection } => format!(
                "the certificate of `{connection}` is not verified; whoever sits between you and the portal can read everything"
            ),
            Notice::NotRevoked { connection, why } => format!(
                "a sign-in of `{connection}` could not be revoked at the portal ({why}); it ends by itself there"
            ),
            Notice::ExtensionLost { connection } => format!(
                "an earlier attempt to extend the sign-in of `{connection}` had no answer; the sign-in is still good"
            ),
            Notice::VaultKeyMade { path } => format!(
                "a key for the vault was made: {}; it protects copies of the vault, not against programs that run as you",
                path.display()
            ),
            Notice::Minor { what } => what.clone(),
        }
    }

    fn wait(&self, wait: &Wait) {
        let options = self.options();
        if options.quiet || options.json || lock(&self.0.progress).is_some() {
            return;
        }
        self.wait_over();
        let words = match wait {
            Wait::OtherProcess { pid: Some(pid) } => {
                format!("waiting for another age-oauth process ({pid}) …")
            }
            Wait::OtherProcess { pid: None } => "waiting for another age-oauth process …".into(),
            Wait::Portal { host } => format!("waiting for {} …", escape(host)),
            Wait::Keychain => {
                "waiting for the keychain; it may be asking for your password …".into()
            }
            Wait::Browser => "waiting for the browser …".into(),
            Wait::Gap { connection, until } => format!(
                "waiting until {}, when no script holds a token of `{}` any more …",
                local(*until, &options.zone),
                escape(connection)
            ),
        };
        let (over, ended) = mpsc::channel();
        let (console, terminal) = (self.clone(), options.terminal);
        let thread = std::thread::spawn(move || {
            let patience = if terminal { LONG_ON_TERMINAL } else { LONG };
            if ended.recv_timeout(patience) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if terminal {
                spin(&words, &ended);
            } else {
                console.write(&words);
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
            // It ends at once; joining keeps its line from mixing with the next.
            let _ = waiting.thread.join();
        }
    }
}

/// A progress bar, where a terminal shows one.
pub(super) struct Progress(Console);

impl Progress {
    /// So many bytes have come, of so many.
    pub(super) fn set(&self, come: u64, whole: Option<u64>) {
        if let Some(bar) = &*lock(&self.0 .0.progress) {
            if let Some(whole) = whole {
                bar.set_length(whole);
            }
            bar.set_position(come);
        }
    }

    /// One more is done.
    pub(super) fn step(&self, name: &str) {
        if let Some(bar) = &*lock(&self.0 .0.progress) {
            bar.set_message(escape(name));
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = lock(&self.0 .0.progress).take() {
            bar.finish_and_clear();
        }
    }
}

fn spin(words: &str, ended: &mpsc::Receiver<()>) {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(words.to_owned());
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        spinner.tick();
    }
    spinner.finish_and_clear();
}

fn decision_words(decision: Decision) -> &'static str {
    match decision {
        Decision::Cached => "the stored token is good",
        Decision::Renewed => "a new token was issued",
        Decision::RenewedByAnother => "another process has just got a new token",
        Decision::Extended => "the sign-in was extended, and a new token was issued",
        Decision::Fallback => "the stored token stands in",
        Decision::SignedIn => "a new sign-in is stored",
        Decision::SignedOut => "the sign-in is forgotten",
    }
}
