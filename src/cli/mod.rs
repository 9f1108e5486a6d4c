//! The command line: the only code that prints, asks, or opens a browser. It uses the library as
//! any other client does.
//!
//! stdout carries the answer and nothing else; messages for people go to stderr.

mod args;
mod browser;
mod commands;
mod console;
mod event_log;
mod exit_code;
mod failure;
mod format;
mod hints;
mod json;
mod launch;
// The pages are about the whole program.
#[cfg(all(test, feature = "migrate"))]
mod page_tests;
mod powershell;
mod prompt;
mod shared;
mod shell;
mod status_line;
mod system;
mod terminal;
mod unexpected_word;

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use serde::Serialize;

pub use browser::Opened;
pub use launch::Launch;
pub use shell::{Shell, Unquotable, Variable};
pub use system::{Ask, AskError, Browse, Check, System, Terminals, Zone};

use args::{Cli, Color, Command, Global};
use console::{Console, OutputOptions};
use event_log::{EventLog, LogScope};
use exit_code::ExitCode;
use failure::{Failure, Outcome};
use shared::logon::has_desktop;

use crate::connection::{Connection, ConnectionId, Tls};
use crate::context::{Attended, Context, Deadline, Desktop, Environment, Interruptions};
use crate::duration::parse_duration;
use crate::env;
use crate::event::{Event, Notice};
use crate::keychain::Keychains;
use crate::policy;
use crate::secret::Secret;
use crate::session::Session;
use crate::store::{ConnectionStore, Selector};

/// Runs one command line (the program's name first) and returns its exit code.
pub fn run<I, T>(arguments: I, system: System) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if commands::complete(Cli::command, &arguments) {
        return ExitCode::Done.number();
    }
    let parsed = Cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let code = match parsed {
        Ok((cli, matches)) => {
            let (name, json) = command_name(&matches);
            CommandContext::new(&cli.global, &name, json, system).run(cli)
        }
        Err(error) => unparsed(&error, &arguments, system),
    };
    code.number()
}

/// What a terminal shows of an error, and the same as JSON.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shown(error: crate::error::Error) -> (String, String) {
    let failure = Failure::from(error);
    let text = failure.text();
    text.map_or_else(Default::default, |text| {
        (text.lines("error:", "hint:"), failure.json_line(&text))
    })
}

/// The command's name (`token`, `connections list`; empty if there is none), and whether it has the
/// flag `--json` and got it.
fn command_name(matches: &ArgMatches) -> (String, bool) {
    let mut names = Vec::new();
    let mut matches = matches;
    while let Some((name, inner)) = matches.subcommand() {
        names.push(name);
        matches = inner;
    }
    let json = matches!(matches.try_get_one::<bool>("json"), Ok(Some(true)));
    (names.join(" "), json)
}

/// `age-oauth connections add --help`, for the command that these arguments name.
fn help_command(arguments: &[OsString]) -> String {
    let mut command = Cli::command();
    command.build();
    let mut names = vec!["age-oauth".to_owned()];
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            if takes_next_word(&command, word) {
                words.next();
            }
        } else if let Some(below) = command.find_subcommand(word).cloned() {
            names.push(below.get_name().to_owned());
            command = below;
        }
    }
    names.push("--help".into());
    names.join(" ")
}

/// Whether the word is an option of this command whose value is the next word (`-c`, `-qc`,
/// `--timeout`), and not a flag or an option with its value (`-cprod`, `--timeout=90s`).
fn takes_next_word(command: &clap::Command, word: &str) -> bool {
    let has_value = |option: &clap::Arg| option.get_action().takes_values();
    if let Some(name) = word.strip_prefix("--") {
        let mut options = command.get_arguments();
        return options.any(|option| option.get_long() == Some(name) && has_value(option));
    }
    let with_value = |letter: char| {
        let mut options = command.get_arguments();
        options.any(|option| option.get_short() == Some(letter) && has_value(option))
    };
    // The first letter that takes a value takes the rest of the word.
    let letters = word.trim_start_matches('-');
    letters.find(with_value) == letters.char_indices().last().map(|(index, _)| index)
        && !letters.is_empty()
}

/// Handles a command line that clap does not parse: `--help` and `--version` are answers, the rest
/// is wrong usage.
fn unparsed(error: &clap::Error, arguments: &[OsString], mut system: System) -> ExitCode {
    let colored = system.terminal.colors && !system.environment.is_set(env::NO_COLOR);
    let text = if colored {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let written = system.out.write_all(text.as_bytes());
        return match written.and_then(|()| system.out.flush()) {
            Ok(()) => ExitCode::Done,
            Err(why) => not_written(why, &mut system),
        };
    }
    let message = error.render().to_string();
    let message = message.lines().next().unwrap_or_default();
    let named = unexpected_word::hint(error, arguments, &system.environment);
    let hint = named.clone().unwrap_or_else(|| help_command(arguments));
    let failure = Failure::usage_hint(message.trim_start_matches("error: "), hint);
    let context = Context {
        clock: system.clock.clone(),
        environment: system.environment.clone(),
        machine_policy: system.machine_policy.clone(),
        ..Context::process()
    };
    EventLog::new(&system, "", &context, |_| ()).unparsed(&failure);
    commands::fail_unparsed(&mut system, arguments);
    let json = arguments.iter().any(|argument| argument == "--json");
    let text = match failure.text() {
        Some(text) if json => failure.json_line(&text) + "\n",
        _ => text + &named.map_or_else(String::new, |hint| format!("\nhint: {hint}\n")),
    };
    // If stderr is closed, the exit code is all that is left.
    let _ = system.err.write_all(text.as_bytes());
    failure.exit_code()
}

/// Help that could not be written. If its reader has ended (`--help | head`), that is not a
/// failure.
fn not_written(why: std::io::Error, system: &mut System) -> ExitCode {
    let failure = Failure::from(why);
    if let Some(text) = failure.text() {
        let _ = writeln!(system.err, "error: {}", text.message);
    }
    failure.exit_code()
}

/// Checks the variables that decide what every command does: a value that cannot be used is an
/// error and never ignored. Those that hold secrets are checked where they are used.
fn check_variables(environment: &Environment) -> Outcome {
    const TIMEOUT: &str = env::AGE_OAUTH_KEYCHAIN_TIMEOUT;
    for name in [env::AGE_OAUTH_CONNECTION, env::AGE_OAUTH_KEYCHAIN] {
        environment.text(name)?;
    }
    for name in [env::AGE_OAUTH_HOME, env::AGE_OAUTH_LOG] {
        environment.absolute_path(name)?;
    }
    if let Some(text) = environment.text(TIMEOUT)? {
        parse_duration(&text).map_err(|why| Failure::usage(format!("{TIMEOUT}: {why}")))?;
    }
    Ok(())
}

/// What every command works with: the system, the console, the log, and the global options.
struct CommandContext {
    system: System,
    console: Console,
    event_log: EventLog,
    context: Context,
    selector: Option<Selector>,
    no_input: bool,
}

impl CommandContext {
    fn new(global: &Global, command: &str, json: bool, mut system: System) -> Self {
        let err = std::mem::replace(&mut system.err, Box::new(std::io::sink()));
        let environment = system.environment.clone();
        let console = Console::new(
            err,
            OutputOptions {
                quiet: global.quiet,
                verbose: global.verbose,
                json,
                color: match global.color {
                    Color::Always => true,
                    Color::Never => false,
                    Color::Auto => system.terminal.colors && !environment.is_set(env::NO_COLOR),
                },
                terminal: system.terminal.stderr,
                zone: system.zone.clone(),
            },
        );
        let context = Context {
            clock: system.clock.clone(),
            deadline: global.timeout.map_or(Deadline::never(), Deadline::after),
            environment,
            observer: console.observer(),
            interruptions: Interruptions::new(terminal::delay_interruptions),
            attended: Attended::No,
            desktop: desktop(Arc::clone(&system.logon_groups), system.windows_session),
            machine_policy: system.machine_policy.clone(),
        };
        system.ask.limit(context.deadline);
        let selector = global
            .connection
            .clone()
            .map(Selector::Name)
            .or_else(|| global.connection_id.clone().map(Selector::Id));
        let on_error = console.clone();
        let event_log = EventLog::new(&system, command, &context, move |text| on_error.warn(text));
        Self {
            system,
            console,
            event_log,
            context,
            selector,
            no_input: global.no_input,
        }
    }

    /// Whether the program may ask questions: standard input is a terminal, and `--no-input` is
    /// absent.
    fn can_ask(&self) -> bool {
        self.system.terminal.stdin && !self.no_input
    }

    fn run(mut self, cli: Cli) -> ExitCode {
        let checked = self
            .check_machine_policy(cli.command.as_ref())
            .and_then(|()| check_variables(&self.context.environment));
        let outcome = checked.and_then(|()| match cli.command {
            None => commands::overview(&mut self),
            Some(Command::Connections(command)) => commands::connections(&mut self, command),
            Some(Command::Login(args)) => commands::login(&mut self, &args),
            Some(Command::Logout(args)) => commands::logout(&mut self, &args),
            Some(Command::Whoami(args)) => commands::whoami(&mut self, &args),
            Some(Command::Token(args)) => commands::token(&mut self, &args),
            Some(Command::ExportEnv(args)) => commands::export_env(&mut self, &args),
            Some(Command::Api(args)) => commands::api(&mut self, &args),
            Some(Command::Exec(args)) => commands::exec(&mut self, &args),
            Some(Command::Doctor(args)) => commands::doctor(&mut self, &args),
            Some(Command::Vault(command)) => commands::vault(&mut self, &command),
            Some(Command::Completions(args)) => {
                commands::completions(&mut self, &args, Cli::command())
            }
            Some(Command::Man(args)) => commands::man(&mut self, &args, Cli::command()),
            Some(Command::Status(args)) => commands::status(&mut self, &args),
            Some(Command::Refresh(args)) => commands::refresh(&mut self, &args),
            Some(Command::WebTier(_)) => commands::web_tier(&mut self),
        });
        let outcome = outcome.and_then(|()| Ok(self.system.out.flush()?));
        match outcome {
            Ok(()) => ExitCode::Done,
            Err(failure) => {
                self.fail(&failure);
                failure.exit_code()
            }
        }
    }

    /// A policy of this machine that cannot be obeyed ends every command before it does anything,
    /// except for what helps to find that out.
    fn check_machine_policy(&self, command: Option<&Command>) -> Outcome {
        match command {
            Some(Command::Doctor(_) | Command::Completions(_)) => Ok(()),
            None
            | Some(
                Command::Connections(_)
                | Command::Login(_)
                | Command::Logout(_)
                | Command::Whoami(_)
                | Command::Token(_)
                | Command::ExportEnv(_)
                | Command::Api(_)
                | Command::Exec(_)
                | Command::Vault(_)
                | Command::Man(_)
                | Command::Status(_)
                | Command::Refresh(_)
                | Command::WebTier(_),
            ) => Ok(self.context.machine_policy.check()?),
        }
    }

    /// Prints a failure and logs it.
    fn fail(&self, failure: &Failure) {
        if failure.text().is_some() {
            self.event_log.failed(failure);
        }
        failure.print(&self.console);
    }

    /// Prints one line of the answer.
    fn answer(&mut self, line: &str) -> Outcome {
        let out = &mut self.system.out;
        Ok(self.console.suspend(|| writeln!(out, "{line}"))?)
    }

    /// Prints the answer as a JSON object.
    fn answer_json<T: Serialize>(&mut self, body: &T) -> Outcome {
        self.answer(&json::object(body))
    }

    /// Prints the answer as a JSON array.
    fn answer_json_array<T: Serialize>(&mut self, bodies: &[T]) -> Outcome {
        self.answer(&json::array(bodies))
    }

    fn store(&self) -> Result<ConnectionStore, Failure> {
        Ok(ConnectionStore::open_default(&self.context.environment)?)
    }

    /// The keychains. They may show their own prompts only if a person can see them.
    fn keychains(&self, store: &ConnectionStore) -> Keychains {
        if let Some(keychain) = &self.system.keychain {
            return Keychains::fixed(Arc::clone(keychain));
        }
        Keychains::new(
            store.root().to_owned(),
            store.is_custom(),
            self.may_prompt(),
            &self.context,
        )
    }

    /// Whether a person would see a prompt of the keychain.
    fn may_prompt(&self) -> bool {
        let environment = &self.context.environment;
        let desktop = !cfg!(all(unix, not(target_os = "macos")))
            || environment.is_set(env::DISPLAY)
            || environment.is_set(env::WAYLAND_DISPLAY);
        self.attended() == Attended::Yes && desktop
    }

    /// Whether a person is there, whom the system or a card reader may ask for a PIN.
    fn attended(&self) -> Attended {
        let terminal = self.system.terminal;
        let may_ask = (terminal.stdin || terminal.stderr)
            && !self.no_input
            && !self.context.environment.is_set(env::CI);
        if may_ask {
            Attended::Yes
        } else {
            Attended::No
        }
    }

    /// The connection that was chosen by option, variable or default.
    fn connection(&self, store: &ConnectionStore) -> Result<Connection, Failure> {
        let connection = store.choose(self.selector.as_ref(), &self.context.environment)?;
        self.warn_if_expiring(&connection);
        Ok(connection)
    }

    fn session_of(&self, store: &ConnectionStore, connection: Connection) -> Session {
        let scope = self.event_log.begin_scope(&connection);
        self.session_with(store, &self.keychains(store), connection, &scope)
    }

    /// The same with keychains that several sessions share, and a scope of the log.
    fn session_with(
        &self,
        store: &ConnectionStore,
        keychains: &Keychains,
        connection: Connection,
        scope: &LogScope,
    ) -> Session {
        let keychain = keychains.of(connection.keychain);
        let context = Context {
            observer: scope.observer(&self.console),
            attended: self.attended(),
            ..self.context.clone()
        };
        Session::new(store.clone(), connection, keychain, context)
    }

    /// The session of the chosen connection, for a command that uses the network.
    fn session(&self) -> Result<Session, Failure> {
        let store = self.store()?;
        let connection = self.connection(&store)?;
        Ok(self.network_session(&store, connection))
    }

    /// The session of a connection, for a command that uses the network.
    fn network_session(&self, store: &ConnectionStore, connection: Connection) -> Session {
        let session = self.session_of(store, connection);
        warn_if_unverified(&session);
        session
    }

    /// Warns on a terminal if the client certificate expires soon, or if the sign-in expires soon
    /// and cannot be extended.
    fn warn_if_expiring(&self, connection: &Connection) {
        self.warn_about_client_certificate(connection);
        let status = &connection.status;
        let (Some(expires_at), Some(false)) = (status.refresh_expires_at, status.extendable) else {
            return;
        };
        let now = self.context.now();
        // A sign-in that has expired is an error of the command itself.
        let soon = expires_at > now && policy::expires_soon(expires_at, now);
        if self.system.terminal.stderr && soon {
            self.context.emit(&Event::Notice(Notice::ExpiresSoon {
                connection: connection.label.to_string(),
                expires_at,
            }));
        }
    }

    fn warn_about_client_certificate(&self, connection: &Connection) {
        let is_due = connection
            .client_certificate
            .as_ref()
            .is_some_and(|setting| shared::client_certificate::may_expire_soon(self, setting));
        if !self.system.terminal.stderr || !is_due {
            return;
        }
        let Ok(store) = self.store() else {
            return;
        };
        let session = self.session_of(&store, connection.clone());
        let within = policy::command_line::CLIENT_CERTIFICATE_EXPIRES_SOON;
        // A certificate that cannot be read is an error of the command itself.
        if let Ok(Some(warning)) =
            shared::client_certificate::expiry_warning(self, &session, within)
        {
            self.console.warn(&format!(
                "{warning}; {}",
                shared::client_certificate::replace_hint(&self.context, connection)
            ));
        }
    }

    /// Warns if `AGE_OAUTH_CONNECTION` chooses another connection than the default.
    fn warn_about_override(&self, store: &ConnectionStore, default: Option<&ConnectionId>) {
        let Ok(Some(name)) = self.context.environment.text(env::AGE_OAUTH_CONNECTION) else {
            return;
        };
        let found = store.find(&Selector::Name(name.clone())).ok();
        if found.is_none() || found.map(|connection| connection.id).as_ref() != default {
            self.console.warn(&format!(
                "{} is set to `{name}` and takes precedence over the default",
                env::AGE_OAUTH_CONNECTION
            ));
        }
    }

    /// Standard input to its end. `what` is what an option takes from there, for an error.
    fn read_input(&mut self, what: &str) -> Result<Secret, Failure> {
        (self.system.read_input)(self.context.deadline).map_err(|why| match why.kind() {
            std::io::ErrorKind::TimedOut => Failure::usage_hint(
                format!("standard input did not end in the time that --timeout allows, so {what} is not complete"),
                "allow more time, or let the program that writes to standard input end",
            ),
            _ => Failure::usage(format!(
                "{what} could not be read from standard input: {why}"
            )),
        })
    }

    /// `limit`, or the rest of the time that `--timeout` gives if that is less.
    fn bound(&self, limit: Duration) -> Duration {
        self.context.deadline.bound(limit)
    }
}

/// Whether a person sees the windows of this process. Task Scheduler gives a console to a task,
/// too, and no desktop to one that runs whether or not its user is logged on.
fn desktop(groups: Arc<dyn Fn() -> String + Send + Sync>, session: fn() -> Option<u32>) -> Desktop {
    Desktop::new(move || has_desktop(&groups(), session))
}

/// Warns if the connection does not verify certificates. The warning goes to the log, too.
fn warn_if_unverified(session: &Session) {
    let connection = session.connection();
    if connection.tls == Tls::Unverified {
        let (_, _, context) = session.parts();
        context.emit(&Event::Notice(Notice::Unverified {
            connection: connection.label.to_string(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_command_whose_help_is_named_is_not_the_value_of_an_option() {
        for (line, expected) in [
            ("token x", "token"),
            ("-c login token x", "token"),
            ("-qc login token x", "token"),
            ("-clogin token x", "token"),
            ("-c=login token x", "token"),
            ("--connection login token x", "token"),
            ("--connection=login token x", "token"),
            ("--connection-id login token x", "token"),
            ("--timeout login token x", "token"),
            ("--color api token x", "token"),
            ("-q -v --no-input token x", "token"),
            ("--unknown token x", "token"),
            ("- token x", "token"),
            ("-c vault connections -c vault add x", "connections add"),
            ("connections --timeout list -c use add x", "connections add"),
            ("connections add --label use x", "connections add"),
            ("-c", ""),
            ("-c login", ""),
        ] {
            let words = line.split(' ').map(OsString::from);
            let arguments: Vec<_> = std::iter::once("age-oauth".into()).chain(words).collect();
            let expected = ["age-oauth", expected, "--help"]
                .join(" ")
                .replace("  ", " ");
            assert_eq!(help_command(&arguments), expected, "{line}");
        }
    }

    #[test]
    fn rule_24e_no_window_of_windows_waits_where_no_person_sees_it() {
        let asked = Arc::new(AtomicUsize::new(0));
        let context = |attended, groups: &'static str| {
            let asked = Arc::clone(&asked);
            Context {
                attended,
                desktop: desktop(
                    Arc::new(move || {
                        asked.fetch_add(1, Ordering::Relaxed);
                        groups.to_owned()
                    }),
                    || None,
                ),
                ..Context::process()
            }
        };
        let interactive = r#""NT-AUTORITÄT\INTERAKTIV","Gruppe","S-1-5-4","""#;
        let batch = r#""NT-AUTORITÄT\BATCH","Gruppe","S-1-5-3","""#;
        for (groups, expected) in [
            (interactive, Attended::Yes),
            ("", Attended::No),
            (r#""A\Users","Alias","S-1-5-32-545","""#, Attended::No),
            (r#""A\System","Label","S-1-16-16384","""#, Attended::No),
            (batch, Attended::No),
            (r#""A\SERVICE","Group","S-1-5-6","""#, Attended::No),
            (r#""A\NETWORK","Group","S-1-5-2","""#, Attended::No),
        ] {
            let context = context(Attended::Yes, groups);
            assert_eq!(context.attended_at_desktop(), expected, "{groups}");
            assert_eq!(context.clone().attended_at_desktop(), expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 7);
        let context = context(Attended::No, interactive);
        assert_eq!(context.attended_at_desktop(), Attended::No);
        // Which would start a program.
        assert_eq!(asked.load(Ordering::Relaxed), 7);
    }
}
