//! `AGE_OAUTH_LOG`: one JSON line for each decision about a token or a sign-in, and for each failure, so that what
//! happened at night can be read in the morning. Never a secret: only what observers and errors may say.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;

use super::console::Console;
use super::failure::{Failure, DONE};
use super::system::System;
use crate::connection::Connection;
use crate::context::{Context, Event, Observer};
use crate::env;
use crate::error::Error;
use crate::files;
use crate::util::{lock, rfc3339};

/// A log of this many bytes is moved to `<log>.1`.
const FULL: u64 = 10 * 1000 * 1000;

/// The log, where one is wished for. Clones share it.
#[derive(Clone)]
pub(super) struct EventLog(Option<Arc<Log>>);

struct Log {
    path: PathBuf,
    command: String,
    parent: Option<String>,
    begun: Instant,
    context: Context,
    on_error: Box<dyn Fn(&str) + Send + Sync>,
    complained: AtomicBool,
    /// The connection that the command has in hand.
    current: Mutex<Option<LogScope>>,
}

/// One connection in use, as the log sees it.
#[derive(Clone)]
pub(super) struct LogScope(Option<Arc<ScopeState>>);

struct ScopeState {
    log: Arc<Log>,
    id: String,
    label: String,
    begun: Mutex<Instant>,
    warnings: Mutex<Vec<String>>,
}

impl EventLog {
    /// `on_error` is told once if the log cannot be written.
    pub(super) fn new(
        system: &System,
        command: &str,
        context: &Context,
        on_error: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let Some(path) = context.environment.path(env::AGE_OAUTH_LOG) else {
            return Self(None);
        };
        Self(Some(Arc::new(Log {
            path,
            command: command.to_owned(),
            parent: (system.ancestors)().into_iter().next(),
            begun: Instant::now(),
            context: Context {
                observer: Observer::silent(),
                ..context.clone()
            },
            on_error: Box::new(on_error),
            complained: AtomicBool::new(false),
            current: Mutex::new(None),
        })))
    }

    /// Begins to watch a connection.
    pub(super) fn entry(&self, connection: &Connection) -> LogScope {
        LogScope(self.0.as_ref().map(|log| {
            Arc::new(ScopeState {
                log: Arc::clone(log),
                id: connection.id.to_string(),
                label: connection.label.to_string(),
                begun: Mutex::new(Instant::now()),
                warnings: Mutex::default(),
            })
        }))
    }

    /// The same, for a command that has one connection in hand at a time: its failure is this connection's.
    pub(super) fn begin_scope(&self, connection: &Connection) -> LogScope {
        let entry = self.entry(connection);
        if let Some(log) = &self.0 {
            *lock(&log.current) = Some(entry.clone());
        }
        entry
    }

    /// Writes down how the command failed, with the connection in hand.
    pub(super) fn failed(&self, failure: &Failure) {
        let Some(log) = &self.0 else {
            return;
        };
        match lock(&log.current).take() {
            Some(entry) => entry.failed(failure),
            None => log.write(Line::failed(failure), log.begun),
        }
    }

    /// Writes down that the command line could not be understood. Not what it was: it may hold a secret.
    pub(super) fn unparsed(&self, failure: &Failure) {
        if let Some(log) = &self.0 {
            log.write(Line::decided(failure.kind(), failure.code()), log.begun);
        }
    }
}

impl LogScope {
    /// An observer that writes decisions down and tells `console` all it hears.
    pub(super) fn observer(&self, console: &Console) -> Observer {
        let Some(noted) = self.0.clone() else {
            return console.observer();
        };
        let (console, words) = (console.observer(), console.clone());
        Observer::new(move |event| {
            console.notify(event);
            match event {
                Event::Notice(notice) => lock(&noted.warnings).push(words.words(notice)),
                Event::Decision { decision, .. } => {
                    noted.write(Line::decided(decision.as_str(), DONE));
                }
                _ => {}
            }
        })
    }

    /// The work begins now; until here it waited for its turn.
    pub(super) fn begin(&self) {
        if let Some(noted) = &self.0 {
            *lock(&noted.begun) = Instant::now();
        }
    }

    /// Writes down why nothing came of it.
    pub(super) fn failed(&self, failure: &Failure) {
        if let Some(noted) = &self.0 {
            noted.write(Line::failed(failure));
        }
    }
}

impl ScopeState {
    fn write(&self, mut line: Line) {
        line.id = Some(self.id.clone());
        line.connection = Some(self.label.clone());
        line.warnings = std::mem::take(&mut *lock(&self.warnings));
        let begun = *lock(&self.begun);
        self.log.write(line, begun);
    }
}

impl Log {
    /// A log that cannot be written is said once and stops nothing.
    fn write(&self, mut line: Line, begun: Instant) {
        line.time = rfc3339(self.context.now());
        line.pid = std::process::id();
        line.parent.clone_from(&self.parent);
        line.command = Some(self.command.clone()).filter(|command| !command.is_empty());
        line.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Texts and numbers always serialise.
        let text = serde_json::to_string(&line).unwrap_or_default();
        if let Err(error) = files::append_line(&self.path, &text, FULL, &self.context) {
            if !self.complained.swap(true, Ordering::Relaxed) {
                (self.on_error)(&format!("AGE_OAUTH_LOG: {}", with_cause(&error)));
            }
        }
    }
}

/// A line of the log, in the order in which people read it. `docs/nightly.md` explains the fields.
#[derive(Default, Serialize)]
struct Line {
    time: String,
    pid: u32,
    parent: Option<String>,
    command: Option<String>,
    connection: Option<String>,
    id: Option<String>,
    decision: &'static str,
    code: u8,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Line {
    fn decided(decision: &'static str, code: u8) -> Self {
        Self {
            decision,
            code,
            ..Self::default()
        }
    }

    fn failed(failure: &Failure) -> Self {
        let words = failure.text();
        let (message, causes, hint) = words.map_or((None, Vec::new(), None), |words| {
            (Some(words.message), words.causes, words.hint)
        });
        Self {
            reason: failure.reason(),
            message,
            causes,
            hint,
            ..Self::decided(failure.kind(), failure.code())
        }
    }
}

fn with_cause(error: &Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(why) => format!("{error}: {why}"),
        None => error.to_string(),
    }
}
