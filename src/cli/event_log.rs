//! The event log of `AGE_OAUTH_LOG` or of the machine's policy: one JSON line for each decision
//! about a token or a sign-in, and for each failure, so that an administrator can see later what an
//! unattended job did. A line contains only what observers and errors contain, which is never a
//! secret.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::console::Console;
use super::exit_code::ExitCode;
use super::failure::Failure;
use super::format::argument;
use super::json::{LogDecision, LogLine, Time, Word};
use super::system::System;
use crate::connection::Connection;
use crate::context::Context;
use crate::env;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::files;
use crate::machine_policy::check_log_folder;
use crate::policy::command_line::MAX_LOG_BYTES;
use crate::util::lock;

/// The log; `None` if neither the machine's policy nor `AGE_OAUTH_LOG` names one. Clones share it.
#[derive(Clone)]
pub(super) struct EventLog(Option<Arc<Log>>);

struct Log {
    path: LogPath,
    command: String,
    parent: Option<String>,
    started: Instant,
    context: Context,
    on_error: Box<dyn Fn(&str) + Send + Sync>,
    error_reported: AtomicBool,
    /// The connection that the command works on.
    current: Mutex<Option<LogScope>>,
}

/// The work on one connection. Its decisions and failures are logged with the connection's name.
#[derive(Clone)]
pub(super) struct LogScope(Option<Arc<ScopeState>>);

struct ScopeState {
    log: Arc<Log>,
    id: String,
    label: String,
    started: Mutex<Instant>,
    warnings: Mutex<Vec<String>>,
}

impl EventLog {
    /// `on_error` is called once if the log cannot be written.
    pub(super) fn new(
        system: &System,
        command: &str,
        context: &Context,
        on_error: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let Some(path) = path(context) else {
            return Self(None);
        };
        Self(Some(Arc::new(Log {
            path,
            command: command.to_owned(),
            parent: (system.ancestors)().into_iter().next(),
            started: Instant::now(),
            context: Context {
                observer: Observer::silent(),
                ..context.clone()
            },
            on_error: Box::new(on_error),
            error_reported: AtomicBool::new(false),
            current: Mutex::new(None),
        })))
    }

    /// No log: this process may not write it any more.
    #[cfg_attr(any(not(unix), target_os = "macos"), allow(dead_code))]
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// The work on one of several connections.
    pub(super) fn scope(&self, connection: &Connection) -> LogScope {
        LogScope(self.0.as_ref().map(|log| {
            Arc::new(ScopeState {
                log: Arc::clone(log),
                id: connection.id.to_string(),
                label: connection.label.to_string(),
                started: Mutex::new(Instant::now()),
                warnings: Mutex::default(),
            })
        }))
    }

    /// The same for a command that works on one connection at a time: if the command fails, the
    /// failure is logged with this connection.
    pub(super) fn begin_scope(&self, connection: &Connection) -> LogScope {
        let scope = self.scope(connection);
        if let Some(log) = &self.0 {
            *lock(&log.current) = Some(scope.clone());
        }
        scope
    }

    /// Logs that the command failed, with the connection that it worked on.
    pub(super) fn failed(&self, failure: &Failure) {
        let Some(log) = &self.0 else {
            return;
        };
        match lock(&log.current).take() {
            Some(scope) => scope.failed(failure),
            None => log.write(log.failure(failure), log.started),
        }
    }

    /// Logs that the command line is wrong, without the command line: it may contain a secret.
    pub(super) fn unparsed(&self, failure: &Failure) {
        if let Some(log) = &self.0 {
            let line = log.line(LogDecision::Failed(failure.kind()), failure.exit_code());
            log.write(line, log.started);
        }
    }
}

impl LogScope {
    /// An observer that logs decisions, and passes every event to `console`.
    pub(super) fn observer(&self, console: &Console) -> Observer {
        let Some(state) = self.0.clone() else {
            return console.observer();
        };
        let (observer, console) = (console.observer(), console.clone());
        Observer::new(move |event| {
            observer.notify(event);
            match event {
                Event::Notice(notice) => lock(&state.warnings).push(console.notice_text(notice)),
                Event::Decision { decision, .. } => {
                    let decision = LogDecision::Decided(*decision);
                    state.write(state.log.line(decision, ExitCode::Done));
                }
                _ => {}
            }
        })
    }

    /// The work starts now. The time until here, when it waited for its turn, does not count as its
    /// duration.
    pub(super) fn start(&self) {
        if let Some(state) = &self.0 {
            *lock(&state.started) = Instant::now();
        }
    }

    /// Logs that the work failed.
    pub(super) fn failed(&self, failure: &Failure) {
        if let Some(state) = &self.0 {
            state.write(state.log.failure(failure));
        }
    }
}

impl ScopeState {
    fn write(&self, mut line: LogLine) {
        line.id = Some(self.id.clone());
        line.connection = Some(self.label.clone());
        line.warnings = std::mem::take(&mut *lock(&self.warnings));
        let started = *lock(&self.started);
        self.log.write(line, started);
    }
}

impl Log {
    fn line(&self, decision: LogDecision, code: ExitCode) -> LogLine {
        LogLine {
            time: Time(self.context.now()),
            pid: std::process::id(),
            parent: self.parent.clone(),
            command: Some(self.command.clone()).filter(|command| !command.is_empty()),
            connection: None,
            id: None,
            decision: Word(decision),
            code: code.number(),
            duration_ms: 0,
            reason: None,
            message: None,
            causes: Vec::new(),
            hint: None,
            warnings: Vec::new(),
        }
    }

    fn failure(&self, failure: &Failure) -> LogLine {
        let text = failure.text();
        let (message, causes, hint) = text.map_or((None, Vec::new(), None), |text| {
            (Some(text.message), text.causes, text.hint)
        });
        LogLine {
            reason: failure.reason().map(Word),
            message,
            causes,
            hint,
            ..self.line(LogDecision::Failed(failure.kind()), failure.exit_code())
        }
    }

    /// If the log cannot be written, that is reported once, and the command continues.
    fn write(&self, mut line: LogLine, started: Instant) {
        line.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Text and numbers always serialize.
        let text = serde_json::to_string(&line).unwrap_or_default();
        let path = &self.path;
        let written = path.check().and_then(|()| {
            files::append_line(&path.file, &text, MAX_LOG_BYTES, &self.context)
                .map_err(|error| with_cause(&error) + &path.remedy())
        });
        if let Err(why) = written {
            if !self.error_reported.swap(true, Ordering::Relaxed) {
                (self.on_error)(&format!("{}: {why}", path.named_by));
            }
        }
    }
}

/// The log, and what names it, for people.
struct LogPath {
    file: PathBuf,
    named_by: String,
    /// The folder that the policy names. Other users may create files beside the log.
    shared_folder: Option<PathBuf>,
    /// The account that the file is for.
    user: u32,
}

impl LogPath {
    /// Whether it may be written. The error is in words for people.
    fn check(&self) -> Result<(), String> {
        let Some(folder) = &self.shared_folder else {
            return Ok(());
        };
        check_log_folder(folder).map_err(|found| format!("{}; {}", found.why, found.remedy))?;
        if of_another_user(&self.file, self.user) {
            return Err(format!(
                "it belongs to another user, not to user {}; an administrator can move it away",
                self.user
            ));
        }
        Ok(())
    }

    /// What an administrator can do about a log that could not be written. A log that exists is not
    /// to be replaced.
    fn remedy(&self) -> String {
        let missing = matches!(self.file.symlink_metadata(), Err(why) if why.kind() == NotFound);
        if self.shared_folder.is_none() || !missing {
            return String::new();
        }
        format!(
            "; an administrator can make it for this account: install -m 600 -o {} /dev/null {}",
            self.user,
            argument(&self.file.to_string_lossy())
        )
    }
}

/// Where the log is: by the policy of this machine, a file of this account in its folder; else the
/// file that the variable names.
fn path(context: &Context) -> Option<LogPath> {
    // What is wrong with either is the error of the command itself.
    let user = current_user();
    if let Some(folder) = context.machine_policy.event_log().ok()? {
        let file = folder.join(format!("{user}.jsonl"));
        return Some(LogPath {
            named_by: format!("the event log {} of this machine's policy", file.display()),
            file,
            shared_folder: Some(folder.to_owned()),
            user,
        });
    }
    let path = context.environment.absolute_path(env::AGE_OAUTH_LOG);
    Some(LogPath {
        file: path.ok().flatten()?,
        named_by: env::AGE_OAUTH_LOG.to_owned(),
        shared_folder: None,
        user,
    })
}

#[cfg(unix)]
fn current_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// On other systems, no policy names an event log.
#[cfg(not(unix))]
fn current_user() -> u32 {
    0
}

/// Whether the file exists and is not this user's own: in a folder that many may write to, another
/// user could have created it.
#[cfg(unix)]
fn of_another_user(file: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(file).is_ok_and(|found| found.uid() != user)
}

#[cfg(not(unix))]
fn of_another_user(_: &Path, _: u32) -> bool {
    false
}

fn with_cause(error: &Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
