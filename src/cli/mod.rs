//! The command line: the only code that prints, asks, or opens a browser. It is the library's first client.
//!
//! stdout carries the answer and nothing else; everything said to a person goes to stderr.

mod args;
mod commands;
mod host;
mod journal;
mod launch;
mod prompt;
mod report;
mod shell;
mod talk;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

pub use host::{Ask, AskError, Check, Host, Terminals, Zone};
pub use launch::Launch;
pub use shell::{Shell, Unquotable, Variable};

use args::{Cli, Color, Command, ConnectionsCommand, Global};
use journal::{Entry, Journal};
use report::{Failure, Outcome, DONE};
use talk::{Manner, Talk};

use crate::connection::{Connection, ConnectionId, Tls};
use crate::context::{Context, Deadline, Event, Notice};
use crate::keychain::Keychains;
use crate::session::{Session, ENDS_SOON};
use crate::store::{Connections, Selector};

/// Runs one command line (the program's name first) and returns its exit code.
pub fn run<I, T>(arguments: I, host: Host) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if commands::complete(&arguments) {
        return DONE;
    }
    let parsed = Cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, command_name(&matches))));
    match parsed {
        Ok((cli, name)) => {
            Desk::new(&cli.global, &name, wants_json(cli.command.as_ref()), host).serve(cli)
        }
        Err(error) => unparsed(&error, &arguments, host),
    }
}

/// What a terminal shows of an error, and the same as JSON.
#[cfg(any(test, fuzzing))]
pub(crate) fn shown(error: crate::error::Error) -> (String, String) {
    let failure = Failure::from(error);
    let words = failure.words();
    words.map_or_else(Default::default, |words| {
        (words.lines("error:", "hint:"), failure.json_line(&words))
    })
}

/// `token`, `connections list`; empty where no command was given.
fn command_name(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut matches = matches;
    while let Some((word, further)) = matches.subcommand() {
        words.push(word);
        matches = further;
    }
    words.join(" ")
}

/// `--help` and `--version` are answers; the rest is wrong usage.
fn unparsed(error: &clap::Error, arguments: &[OsString], mut host: Host) -> u8 {
    let colored = host.terminal.colors && host.environment.var("NO_COLOR").is_none();
    let text = if colored {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // A reader that left (`--help | head`) is no failure.
        let _ = host.out.write_all(text.as_bytes());
        return DONE;
    }
    let failure = Failure::usage("");
    let context = Context {
        clock: host.clock.clone(),
        environment: host.environment.clone(),
        ..Context::process()
    };
    Journal::new(&host, "", &context, |_| ()).unparsed(&failure);
    commands::fail_unparsed(&mut host, arguments);
    if arguments.iter().any(|argument| argument == "--json") {
        let message = error.render().to_string();
        let message = message.lines().next().unwrap_or_default();
        let line = serde_json::json!({
            "error": {
                "kind": "usage",
                "message": message.trim_start_matches("error: "),
                "hint": "age-oauth --help",
                "code": 2,
            },
            "format_version": 1,
        });
        let _ = writeln!(host.err, "{}", words::json_text(&line.to_string()));
    } else {
        let _ = host.err.write_all(text.as_bytes());
    }
    failure.code()
}

fn wants_json(command: Option<&Command>) -> bool {
    match command {
        Some(Command::Connections(command)) => match command {
            ConnectionsCommand::List(args) => args.json,
            ConnectionsCommand::Show(args) => args.json,
            ConnectionsCommand::Import(args) => args.json,
            ConnectionsCommand::Info(args) => args.json,
            ConnectionsCommand::Use(args) => args.json,
            _ => false,
        },
        Some(Command::Login(args)) => args.json,
        Some(Command::Logout(args)) => args.json,
        Some(Command::Whoami(args)) => args.json,
        Some(Command::Token(args)) => args.json,
        Some(Command::Status(args)) => args.json,
        Some(Command::Refresh(args)) => args.json,
        Some(Command::Doctor(args)) => args.json,
        Some(
            Command::ExportEnv(_)
            | Command::Exec(_)
            | Command::Api(_)
            | Command::Vault(_)
            | Command::Completions(_)
            | Command::Man(_),
        )
        | None => false,
    }
}

/// What every command works with: the host, the conversation, and how it was called.
struct Desk {
    host: Host,
    talk: Talk,
    journal: Journal,
    context: Context,
    selector: Option<Selector>,
    no_input: bool,
}

impl Desk {
    fn new(global: &Global, command: &str, json: bool, mut host: Host) -> Self {
        let err = std::mem::replace(&mut host.err, Box::new(std::io::sink()));
        let environment = host.environment.clone();
        let talk = Talk::new(
            err,
            Manner {
                quiet: global.quiet,
                verbose: global.verbose,
                json,
                color: match global.color {
                    Color::Always => true,
                    Color::Never => false,
                    Color::Auto => host.terminal.colors && environment.var("NO_COLOR").is_none(),
                },
                terminal: host.terminal.stderr,
                zone: host.zone.clone(),
            },
        );
        let context = Context {
            clock: host.clock.clone(),
            deadline: global.timeout.map_or(Deadline::never(), Deadline::after),
            environment,
            observer: talk.observer(),
        };
        let selector = global
            .connection
            .clone()
            .map(Selector::Name)
            .or_else(|| global.connection_id.clone().map(Selector::Id));
        let complain = talk.clone();
        let journal = Journal::new(&host, command, &context, move |text| complain.warn(text));
        Self {
            host,
            talk,
            journal,
            context,
            selector,
            no_input: global.no_input,
        }
    }

    /// Whether a person sits at the terminal and may be asked.
    fn person(&self) -> bool {
        self.host.terminal.stdin && !self.no_input
    }

    fn serve(mut self, cli: Cli) -> u8 {
        let outcome = match cli.command {
            None => commands::overview(&mut self),
            Some(Command::Connections(command)) => {
                commands::connections(&mut self, command, &cli.global)
            }
            Some(Command::Login(args)) => commands::login(&mut self, &args),
            Some(Command::Logout(args)) => commands::logout(&mut self, &args),
            Some(Command::Whoami(args)) => commands::whoami(&mut self, &args),
            Some(Command::Token(args)) => commands::token(&mut self, &args),
            Some(Command::ExportEnv(args)) => commands::export_env(&mut self, &args),
            Some(Command::Api(args)) => commands::api(&mut self, &args),
            Some(Command::Exec(args)) => commands::exec(&mut self, &args),
            Some(Command::Doctor(args)) => commands::doctor(&mut self, &args),
            Some(Command::Vault(command)) => commands::vault(&mut self, &command),
            Some(Command::Completions(args)) => commands::completions(&mut self, &args),
            Some(Command::Man(args)) => commands::man(&mut self, &args),
            Some(Command::Status(args)) => commands::status(&mut self, &args),
            Some(Command::Refresh(args)) => commands::refresh(&mut self, &args),
        };
        let outcome = outcome.and_then(|()| Ok(self.host.out.flush()?));
        match outcome {
            Ok(()) => DONE,
            Err(failure) => {
                self.fail(&failure);
                failure.code()
            }
        }
    }

    /// Tells a failure and writes it down.
    fn fail(&self, failure: &Failure) {
        if failure.words().is_some() {
            self.journal.failed(failure);
        }
        failure.tell(&self.talk);
    }

    /// Writes a line of the answer.
    fn answer(&mut self, line: &str) -> Outcome {
        let out = &mut self.host.out;
        Ok(self.talk.aside(|| writeln!(out, "{line}"))?)
    }

    fn answer_json(&mut self, value: &serde_json::Value) -> Outcome {
        self.answer(&words::json_text(&value.to_string()))
    }

    fn store(&self) -> Result<Connections, Failure> {
        Ok(Connections::open_default(&self.context.environment)?)
    }

    /// The keychains. One may show its own prompt only where a person can see it.
    fn keychains(&self, store: &Connections) -> Keychains {
        if let Some(keychain) = &self.host.keychain {
            return Keychains::fixed(Arc::clone(keychain));
        }
        Keychains::new(
            store.root().to_owned(),
            store.is_custom(),
            self.may_prompt(),
            &self.context,
        )
    }

    /// Whether a prompt of the keychain's own would be seen.
    fn may_prompt(&self) -> bool {
        let environment = &self.context.environment;
        let desktop = !cfg!(all(unix, not(target_os = "macos")))
            || environment.var("DISPLAY").is_some()
            || environment.var("WAYLAND_DISPLAY").is_some();
        let terminal = self.host.terminal;
        (terminal.stdin || terminal.stderr)
            && !self.no_input
            && environment.var("CI").is_none()
            && desktop
    }

    /// The connection that was asked for, by flag, variable or default.
    fn connection(&self, store: &Connections) -> Result<Connection, Failure> {
        let connection = store.choose(self.selector.as_ref(), &self.context.environment)?;
        self.warn_of_the_end(&connection);
        Ok(connection)
    }

    fn session_of(&self, store: &Connections, connection: Connection) -> Session {
        let entry = self.journal.take_in_hand(&connection);
        self.session_with(store, &self.keychains(store), connection, &entry)
    }

    /// The same with keychains that several sessions share, and an entry of the log.
    fn session_with(
        &self,
        store: &Connections,
        keychains: &Keychains,
        connection: Connection,
        entry: &Entry,
    ) -> Session {
        let keychain = keychains.of(connection.keychain);
        let context = Context {
            observer: entry.observer(&self.talk),
            ..self.context.clone()
        };
        Session::new(store.clone(), connection, keychain, context)
    }

    /// The session of the connection that was asked for, about to use the network.
    fn session(&self) -> Result<Session, Failure> {
        let store = self.store()?;
        let connection = self.connection(&store)?;
        self.warn_of(&connection);
        Ok(self.session_of(&store, connection))
    }

    /// What is worth a word whenever a connection is used: an unchecked certificate, a sign-in that will end.
    fn warn_of(&self, connection: &Connection) {
        if connection.tls == Tls::Unverified {
            self.context.tell(&Event::Notice(Notice::Unverified {
                connection: connection.label.to_string(),
            }));
        }
        self.warn_of_the_end(connection);
    }

    /// Says on a terminal, whatever the command, that a sign-in ends soon and cannot be extended.
    fn warn_of_the_end(&self, connection: &Connection) {
        let status = &connection.status;
        let (Some(at), Some(false)) = (status.refresh_expires_at, status.extendable) else {
            return;
        };
        let left = at.duration_since(self.context.now()).as_secs();
        if self.host.terminal.stderr && (0..=ENDS_SOON).contains(&left) {
            self.context.tell(&Event::Notice(Notice::EndsSoon {
                connection: connection.label.to_string(),
                at,
            }));
        }
    }

    /// Says that `AGE_OAUTH_CONNECTION` chooses another connection than the default.
    fn warn_of_override(&self, store: &Connections, default: Option<&ConnectionId>) {
        let Some(name) = self.context.environment.var("AGE_OAUTH_CONNECTION") else {
            return;
        };
        let found = store.find(&Selector::Name(name.clone())).ok();
        if found.is_none() || found.map(|connection| connection.id).as_ref() != default {
            self.talk.warn(&format!(
                "AGE_OAUTH_CONNECTION is set to `{name}` here and goes before the default"
            ));
        }
    }

    /// The bound of one wait within the whole command's.
    fn bound(&self, limit: Duration) -> Duration {
        self.context.deadline.bound(limit)
    }
}
