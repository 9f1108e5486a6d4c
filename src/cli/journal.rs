//! `AGE_OAUTH_LOG`: one JSON line for each decision about a token or a sign-in, and for each failure, so that what
//! happened at night can be read in the morning. Never a secret: only what observers and errors may say.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{json, Map, Value};

use super::host::Host;
use super::report::Failure;
use super::talk::Talk;
use crate::connection::Connection;
use crate::context::{Context, Event, Observer};
use crate::error::Error;
use crate::files;
use crate::store::rfc3339;

/// A log of this many bytes is moved to `<log>.1`.
const FULL: u64 = 10 * 1000 * 1000;

/// The log, where one is wished for. Clones share it.
#[derive(Clone)]
pub(super) struct Journal(Option<Arc<Log>>);

struct Log {
    path: PathBuf,
    command: String,
    parent: Option<String>,
    begun: Instant,
    context: Context,
    complain: Box<dyn Fn(&str) + Send + Sync>,
    complained: AtomicBool,
    /// The connection that the command has in hand.
    current: Mutex<Option<Entry>>,
}

/// One connection in use, as the log sees it.
#[derive(Clone)]
pub(super) struct Entry(Option<Arc<Use>>);

struct Use {
    log: Arc<Log>,
    id: String,
    label: String,
    begun: Instant,
    warnings: Mutex<Vec<String>>,
}

impl Journal {
    /// `complain` is told once if the log cannot be written.
    pub(super) fn new(
        host: &Host,
        command: &str,
        context: &Context,
        complain: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let Some(path) = context.environment.path("AGE_OAUTH_LOG") else {
            return Self(None);
        };
        Self(Some(Arc::new(Log {
            path,
            command: command.to_owned(),
            parent: (host.ancestors)().into_iter().next(),
            begun: Instant::now(),
            context: Context {
                observer: Observer::silent(),
                ..context.clone()
            },
            complain: Box::new(complain),
            complained: AtomicBool::new(false),
            current: Mutex::new(None),
        })))
    }

    /// Begins to watch a connection.
    pub(super) fn entry(&self, connection: &Connection) -> Entry {
        Entry(self.0.as_ref().map(|log| {
            Arc::new(Use {
                log: Arc::clone(log),
                id: connection.id.to_string(),
                label: connection.label.to_string(),
                begun: Instant::now(),
                warnings: Mutex::default(),
            })
        }))
    }

    /// The same, for a command that has one connection in hand at a time: its failure is this connection's.
    pub(super) fn take_in_hand(&self, connection: &Connection) -> Entry {
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
            None => log.write(failed(failure), log.begun),
        }
    }

    /// Writes down that the command line could not be understood. Not what it was: it may hold a secret.
    pub(super) fn unparsed(&self, failure: &Failure) {
        if let Some(log) = &self.0 {
            log.write(decided(failure.kind(), failure.code()), log.begun);
        }
    }
}

impl Entry {
    /// An observer that writes decisions down and tells `talk` all it hears.
    pub(super) fn observer(&self, talk: &Talk) -> Observer {
        let Some(noted) = self.0.clone() else {
            return talk.observer();
        };
        let (talk, words) = (talk.observer(), talk.clone());
        Observer::new(move |event| {
            talk.tell(event);
            match event {
                Event::Notice(notice) => lock(&noted.warnings).push(words.words(notice)),
                Event::Decision { decision, .. } => {
                    noted.write(decided(decision.as_str(), super::report::DONE));
                }
                _ => {}
            }
        })
    }

    /// Writes down why nothing came of it.
    pub(super) fn failed(&self, failure: &Failure) {
        if let Some(noted) = &self.0 {
            noted.write(failed(failure));
        }
    }
}

impl Use {
    fn write(&self, mut line: Map<String, Value>) {
        line.insert("id".into(), self.id.as_str().into());
        line.insert("connection".into(), self.label.as_str().into());
        let warnings = std::mem::take(&mut *lock(&self.warnings));
        if !warnings.is_empty() {
            line.insert("warnings".into(), warnings.into());
        }
        self.log.write(line, self.begun);
    }
}

impl Log {
    /// A log that cannot be written is said once and stops nothing.
    fn write(&self, mut line: Map<String, Value>, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        line.insert("time".into(), rfc3339(self.context.now()).into());
        line.insert("pid".into(), std::process::id().into());
        line.insert("parent".into(), json!(self.parent));
        let command = Some(self.command.as_str()).filter(|command| !command.is_empty());
        line.insert("command".into(), command.into());
        line.insert("duration_ms".into(), took.into());
        line.entry("id").or_insert(Value::Null);
        line.entry("connection").or_insert(Value::Null);
        let text = Value::Object(line).to_string();
        if let Err(error) = files::append(&self.path, &text, FULL, &self.context) {
            if !self.complained.swap(true, Ordering::Relaxed) {
                (self.complain)(&format!("AGE_OAUTH_LOG: {}", with_cause(&error)));
            }
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

fn decided(word: &str, code: u8) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("decision".into(), word.into());
    line.insert("code".into(), code.into());
    line
}

fn failed(failure: &Failure) -> Map<String, Value> {
    let mut line = decided(failure.kind(), failure.code());
    if let Some(words) = failure.words() {
        line.insert("message".into(), words.message.into());
        line.insert("causes".into(), words.causes.into());
        line.insert("hint".into(), json!(words.hint));
    }
    if let Some(reason) = failure.reason() {
        line.insert("reason".into(), reason.into());
    }
    line
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
