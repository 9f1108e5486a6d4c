//! `status`: every connection's sign-in, token, last use and last failure, from what is stored.
//! Does not ask a portal, and asks the keychain only with `--keychain`.

mod problem;

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{
    ago, escape, from_now, local, local_and_left, not_imported, plural, split_failure, table,
};
use crate::cli::json::{Identity, SignInState, StatusAnswer, StoredFacts, Word};
use crate::cli::shared::duration::words;
use crate::cli::shared::help::{examples, with_default};
use crate::cli::CommandContext;
use crate::connection::{Connection, ConnectionId, Grant, GrantKind};
use crate::error::{Error, KeychainError, KeychainReason};
use crate::keychain::{Item, ItemKind, Keychains};
use crate::policy;
use crate::policy::command_line::{API_KEY_EXPIRES_SOON, CLIENT_CERTIFICATE_EXPIRES_SOON};
use crate::secret::Secret;
use crate::store::{Listing, Plaintext};
use crate::token::ApiKeyRecord;

/// One connection, as far as it is known without asking a portal.
struct Row {
    connection: Connection,
    sign_in: SignInState,
    /// Whether the keychain has what a renewal needs; `None` if it was not asked.
    stored: Option<Result<bool, KeychainError>>,
    failure: Option<LastFailure>,
    /// How near the end of the client certificate counts as soon.
    certificate_within: SignedDuration,
    /// How near the end of the API key counts as soon.
    key_within: SignedDuration,
}

struct LastFailure {
    at: Option<Timestamp>,
    what: String,
    /// Whether a token was renewed since.
    recovered: bool,
}

#[derive(Args, Debug)]
#[command(after_help = examples(&[
    ("age-oauth status", "every connection"),
    ("age-oauth status --check --within 7d", &format!("for a monitor: code {} if a sign-in expires in a week", ExitCode::SignInNeeded.number())),
    ("age-oauth status -c prod --keychain", "also check the keychain"),
]))]
pub(in crate::cli) struct StatusArgs {
    #[arg(long, help = format!(
        "End with exit code {} if a sign-in is missing, has expired, or expires soon",
        ExitCode::SignInNeeded.number()
    ))]
    check: bool,
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = crate::duration::parse_duration,
        help = with_default(
            &format!(
                "What \"soon\" means; for API keys and client certificates at least {}",
                words(API_KEY_EXPIRES_SOON.unsigned_abs())
            ),
            &words(default_within())
        )
    )]
    within: Option<Duration>,
    /// Also check whether the keychain has the tokens and client secrets
    #[arg(long)]
    keychain: bool,
    /// Print one JSON array
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// How near the end of a sign-in counts as soon, unless `--within` says otherwise.
fn default_within() -> Duration {
    policy::EXPIRES_SOON.unsigned_abs()
}

pub(in crate::cli) fn status(ctx: &mut CommandContext, args: &StatusArgs) -> Outcome {
    let store = ctx.store()?;
    let default = store.default_id()?;
    let listing = match &ctx.selector {
        None => store.list(None)?,
        Some(selector) => {
            let mut only = Listing::default();
            only.connections.push(store.find(selector)?);
            only
        }
    };
    ctx.warn_about_override(&store, default.as_ref());
    let mut failures = Vec::new();
    for error in listing.broken {
        if args.check {
            failures.push(Failure::from(error));
        } else {
            ctx.console.warn(&error.to_string());
        }
    }
    if listing.connections.is_empty() && listing.plaintext.is_empty() && failures.is_empty() {
        return no_connections(ctx, args);
    }
    let mut rows: Vec<Row> = listing
        .connections
        .into_iter()
        .map(|connection| Row::new(connection, args, ctx.context.now()))
        .collect();
    if args.keychain {
        ask_keychains(&mut rows, &ctx.keychains(&store));
    }
    if args.json {
        let all: Vec<_> = rows
            .iter()
            .map(|row| row.as_json(default.as_ref()))
            .collect();
        ctx.answer_json_array(&all)?;
    }
    if args.check {
        return check(ctx, args, &rows, failures);
    }
    if args.json {
        return Ok(());
    }
    let text = report(ctx, &rows, &listing.plaintext, default.as_ref());
    ctx.answer(text.trim_end())
}

/// With `--check`, it is an error if there are no connections: this may be another user's store, or
/// the wrong folder.
fn no_connections(ctx: &mut CommandContext, args: &StatusArgs) -> Outcome {
    if args.json {
        ctx.answer_json_array::<StatusAnswer>(&[])?;
    }
    if args.check {
        return Err(Error::NoConnection {
            wanted: None,
            known: Vec::new(),
            variable: None,
        }
        .into());
    }
    ctx.console
        .info("There are no connections; add one: age-oauth connections add");
    Ok(())
}

/// How long a user's sign-in or API key still lives.
fn end_state(
    username: Option<&String>,
    end: Option<Timestamp>,
    within: SignedDuration,
    now: Timestamp,
) -> SignInState {
    match (username, end) {
        (Some(_), Some(end)) if end <= now => SignInState::Ended,
        (Some(_), Some(end)) if policy::expires_within(end, within, now) => SignInState::EndsSoon,
        (Some(_), Some(_)) => SignInState::Good,
        _ => SignInState::Missing,
    }
}

impl Row {
    fn new(connection: Connection, args: &StatusArgs, now: Timestamp) -> Self {
        let status = &connection.status;
        let within = SignedDuration::try_from(args.within.unwrap_or_else(default_within))
            .unwrap_or(SignedDuration::MAX);
        // To replace these takes longer than a sign-in: a shorter time is meant for sign-ins.
        let key_within = within.max(API_KEY_EXPIRES_SOON);
        let sign_in = match connection.grant {
            Grant::User { .. } => {
                let end = status.refresh_expires_at;
                end_state(status.username.as_ref(), end, within, now)
            }
            Grant::Application => SignInState::Application,
            Grant::Network if status.username.is_some() => SignInState::Good,
            Grant::Network => SignInState::Missing,
            Grant::ApiKey { expires_at } => {
                // Without an end that can be read, it is not handed out.
                let end = expires_at.filter(|_| status.api_key_refused_at.is_none());
                let end = end.or(Some(Timestamp::UNIX_EPOCH));
                end_state(status.username.as_ref(), end, key_within, now)
            }
        };
        let failure = status.last_failure.as_deref().map(|line| {
            let (at, what) = split_failure(line);
            LastFailure {
                at,
                what: what.to_owned(),
                // That an API key was handed out proves nothing. Once the portal accepts it
                // again, the failure is forgotten.
                recovered: connection.grant.kind() != GrantKind::ApiKey
                    && at.is_some_and(|at| connection.last_used_at.is_some_and(|used| used > at)),
            }
        });
        Self {
            connection,
            sign_in,
            stored: None,
            failure,
            certificate_within: within.max(CLIENT_CERTIFICATE_EXPIRES_SOON),
            key_within,
        }
    }

    /// The keychain item that a renewal needs. A client secret command needs the record that a
    /// person chose it.
    fn needed_item(&self) -> ItemKind {
        if self.connection.grant.kind() == GrantKind::ApiKey {
            return ItemKind::ApiKey;
        }
        match (self.sign_in, &self.connection.secret_command) {
            (SignInState::Application, None) => ItemKind::ClientSecret,
            (SignInState::Application, Some(_)) => ItemKind::Binding,
            _ => ItemKind::Tokens,
        }
    }

    fn set_stored(&mut self, answer: Result<Option<Secret>, KeychainError>) {
        if let (GrantKind::ApiKey, Ok(Some(record))) = (self.connection.grant.kind(), &answer) {
            // What `meta.json` says could have been written by anyone.
            let user = ApiKeyRecord::from_record(record).map(|record| record.user);
            self.connection.status.username = user.or(self.connection.status.username.take());
        }
        let answer = answer.map(|secret| secret.is_some());
        let signed_in = matches!(self.sign_in, SignInState::Good | SignInState::EndsSoon);
        if signed_in && answer == Ok(false) {
            self.sign_in = SignInState::Gone;
        }
        self.stored = Some(answer);
    }

    fn as_json(&self, default: Option<&ConnectionId>) -> StatusAnswer {
        let connection = &self.connection;
        let (secret_stored, error) = match &self.stored {
            None => (None, None),
            Some(Ok(stored)) => (Some(*stored), None),
            Some(Err(error)) => (None, Some(error)),
        };
        StatusAnswer {
            identity: Identity::of(connection),
            sign_in: Word(self.sign_in),
            stored: StoredFacts::of(connection),
            keychain: connection.keychain.as_str(),
            secret_stored,
            keychain_reason: error.map(|error| Word(error.reason)),
            keychain_error: error.map(ToString::to_string),
            default: default == Some(&connection.id),
        }
    }

    fn cells(&self, ctx: &CommandContext, default: Option<&ConnectionId>) -> Vec<String> {
        let connection = &self.connection;
        let status = &connection.status;
        let now = ctx.context.now();
        let since = |at: Option<Timestamp>| at.map_or_else(String::new, |at| ago(at, now));
        let end = connection.grant.api_key_expires_at();
        let (who, until) = match (self.sign_in, end.or(status.refresh_expires_at)) {
            (SignInState::Application, _) => ("application".to_owned(), String::new()),
            // The web server signs a network connection in with each new token.
            (SignInState::Good | SignInState::Gone, None) if connection.grant == Grant::Network => {
                (self.username(), "by the web server".to_owned())
            }
            (SignInState::Ended, None) if connection.grant.kind() == GrantKind::ApiKey => {
                (self.username(), "not known".to_owned())
            }
            (SignInState::Missing, _) | (_, None) => ("no".to_owned(), String::new()),
            (SignInState::Ended, Some(_)) if status.api_key_refused_at.is_some() => {
                let refused_at = since(status.api_key_refused_at);
                (self.username(), format!("not accepted ({refused_at})"))
            }
            (SignInState::Ended, Some(end)) => (
                self.username(),
                format!(
                    "expired {} ({})",
                    local(end, &ctx.system.zone),
                    ago(end, now)
                ),
            ),
            (_, Some(end)) => (self.username(), local_and_left(end, now, &ctx.system.zone)),
        };
        let mut keychain = connection.keychain.display_name().to_owned();
        if let Some(stored) = &self.stored {
            keychain.push_str(match stored {
                Ok(true) => ": stored",
                Ok(false) => ": not stored",
                Err(error) => match error.reason {
                    KeychainReason::Locked => ": locked",
                    KeychainReason::Missing => ": not available",
                    KeychainReason::Timeout => ": no response",
                    _ => ": unusable",
                },
            });
        }
        let failed = self.shown_failure(now).map_or_else(String::new, |failure| {
            failure
                .at
                .map_or_else(|| "yes".to_owned(), |at| ago(at, now))
        });
        vec![
            mark(default == Some(&connection.id)),
            escape(connection.label.as_str()),
            who,
            until,
            status
                .access_expires_at
                .map_or_else(String::new, |at| from_now(at, now)),
            keychain,
            since(connection.last_used_at),
            failed,
        ]
    }

    fn username(&self) -> String {
        escape(
            self.connection
                .status
                .username
                .as_deref()
                .unwrap_or_default(),
        )
    }

    /// The last failure, unless a token was renewed since and the failure is old.
    fn shown_failure(&self, now: Timestamp) -> Option<&LastFailure> {
        self.failure.as_ref().filter(|failure| {
            let recent = failure.at.is_some_and(|at| {
                now.duration_since(at) <= policy::command_line::PAST_FAILURE_SHOWN
            });
            recent || !failure.recovered
        })
    }
}

fn mark(is_default: bool) -> String {
    if is_default { "*" } else { "" }.to_owned()
}

/// Asks the keychains whether they have the secrets. A keychain that does not answer is asked only
/// once, not for each connection.
fn ask_keychains(rows: &mut [Row], keychains: &Keychains) {
    let mut unavailable = Vec::new();
    for row in rows {
        let kind = row.connection.keychain;
        let known = unavailable.iter().find(|(one, _)| *one == kind);
        let answer = match known {
            Some((_, error)) => Err(KeychainError::clone(error)),
            None => keychains
                .of(kind)
                .get(&Item::of(&row.connection, row.needed_item())),
        };
        if let (None, Err(error)) = (known, &answer) {
            use KeychainReason::{Locked, Missing, Timeout};
            if matches!(error.reason, Locked | Missing | Timeout) {
                unavailable.push((kind, error.clone()));
            }
        }
        row.set_stored(answer);
    }
}

/// Prints every problem with its hint. The worst one gives the exit code.
fn check(
    ctx: &mut CommandContext,
    args: &StatusArgs,
    rows: &[Row],
    broken: Vec<Failure>,
) -> Outcome {
    let mut worst = ExitCode::Done;
    let mut bad = Vec::new();
    for failure in broken {
        failure.print(&ctx.console);
        worst = worst.worse(failure.exit_code());
    }
    for row in rows {
        if let Some(failure) = row.problem(ctx) {
            failure.print(&ctx.console);
            worst = worst.worse(failure.exit_code());
            bad.push(escape(row.connection.label.as_str()));
        }
    }
    if !args.json {
        let text = if !bad.is_empty() {
            format!(
                "Attention needed for {} of {}: {}",
                bad.len(),
                plural(rows.len(), "connection"),
                bad.join(", ")
            )
        } else if worst == ExitCode::Done {
            all_good(ctx, rows)
        } else {
            format!(
                "{} could be read; others could not",
                plural(rows.len(), "connection")
            )
        };
        ctx.answer(&text)?;
    }
    match worst {
        ExitCode::Done => Ok(()),
        worst => Err(Failure::Multiple { worst }),
    }
}

fn all_good(ctx: &CommandContext, rows: &[Row]) -> String {
    let ends = rows
        .iter()
        .filter(|row| row.sign_in == SignInState::Good)
        .filter_map(|row| Some((row.connection.status.refresh_expires_at?, row)))
        .min_by_key(|(end, _)| *end);
    let count = plural(rows.len(), "connection");
    let good = if rows.len() == 1 { "is" } else { "are" };
    match ends {
        Some((end, row)) => format!(
            "[OK] {count} {good} good; the first sign-in to expire is that of {}: {}",
            escape(row.connection.label.as_str()),
            local_and_left(end, ctx.context.now(), &ctx.system.zone)
        ),
        None => format!("[OK] {count} {good} good."),
    }
}

/// The table, and below it what does not fit in a cell.
fn report(
    ctx: &CommandContext,
    rows: &[Row],
    plaintext: &[Plaintext],
    default: Option<&ConnectionId>,
) -> String {
    let now = ctx.context.now();
    let mut cells = vec![[
        "",
        "LABEL",
        "SIGNED IN",
        "UNTIL",
        "TOKEN EXPIRES",
        "KEYCHAIN",
        "LAST USE",
        "LAST FAILURE",
    ]
    .map(str::to_owned)
    .to_vec()];
    cells.extend(rows.iter().map(|row| row.cells(ctx, default)));
    cells.extend(
        plaintext
            .iter()
            .map(|Plaintext { label, .. }| vec![String::new(), escape(label), not_imported()]),
    );
    let mut text = table(&cells);
    let failures = rows.iter().filter_map(|row| {
        let failure = row.shown_failure(now)?;
        let when = failure.at.map_or_else(String::new, |at| {
            format!("{}: ", local(at, &ctx.system.zone))
        });
        let label = escape(row.connection.label.as_str());
        let since = if failure.recovered {
            " (renewed since)"
        } else {
            ""
        };
        Some(format!("{label}: {when}{}{since}", escape(&failure.what)))
    });
    let problems = rows.iter().filter_map(|row| {
        let text = row.problem(ctx)?.text()?;
        let message = escape(&text.message);
        Some(match text.hint {
            Some(hint) => format!("{message}: {}", escape(&hint)),
            None => message,
        })
    });
    section(&mut text, "Last failures", failures);
    section(&mut text, "To do", problems);
    text
}

/// Appends a heading and lines; nothing if there are no lines.
fn section(text: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        if index == 0 {
            text.push('\n');
            text.push_str(heading);
            text.push_str(":\n");
        }
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    }
}
