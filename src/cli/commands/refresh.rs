//! `refresh`: renews the access token, and extends the sign-in if that is due. With `--all`,
//! portals are asked in parallel and a failure of one connection does not stop the others, so that
//! one daily run keeps every sign-in alive.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::cli::event_log::LogScope;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, local, local_and_left};
use crate::cli::json::{Identity, RefreshAnswer, Time, Word};
use crate::cli::shared::api_key;
use crate::cli::shared::connection_text::broken_folder;
use crate::cli::shared::help::examples;
use crate::cli::{warn_if_unverified, CommandContext};
use crate::connection::{Connection, Grant};
use crate::error::{Error, Refusal};
use crate::event::{Decision, Event, Wait};
use crate::keychain::Keychains;
use crate::policy::command_line::{CLOCK_POLL_INTERVAL, REFRESHES_AT_ONCE, REFRESHES_PER_PORTAL};
use crate::policy::ExtendRule;
use crate::session::{RefreshOutcome, Session};
use crate::store::{ConnectionStore, Listing};
use crate::util::lock;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth refresh --all", "once a day, this keeps every sign-in alive"),
    ("age-oauth refresh --all --wait 45m", "the same, and wait for tokens in use to expire"),
    ("age-oauth refresh -c prod --now", "extend at once; tokens printed before stop working"),
]))]
pub(in crate::cli) struct RefreshArgs {
    /// Every connection; a failure of one does not stop the others
    #[arg(long, conflicts_with_all = ["connection", "connection_id"])]
    all: bool,
    /// If an extension is due, wait this long for tokens in use to expire (45m)
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse_duration, conflicts_with = "now")]
    wait: Option<Duration>,
    /// Extend the sign-in at once, which ends every token printed before
    #[arg(long)]
    now: bool,
    /// Extend sign-ins older than this (7d) [default: past half of their life]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse_duration, conflicts_with = "now")]
    older_than: Option<Duration>,
    /// Print one JSON object for each connection
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn refresh(ctx: &mut CommandContext, args: &RefreshArgs) -> Outcome {
    let store = ctx.store()?;
    let budget = WaitBudget::of(ctx, args);
    let rule = rule(args);
    if args.all {
        return all(ctx, &store, rule, args.json, &budget);
    }
    let session = ctx.session()?;
    if is_never_renewed(session.connection()) {
        return Err(api_key::nothing_to_sign_in(session.connection()));
    }
    let mut refreshed = attempt(&session, rule)?;
    while let Some(moment) = extendable_within(ctx, &refreshed, &budget) {
        wait_until(ctx, session.connection(), moment, &budget);
        refreshed = attempt(&session, rule)?;
    }
    print_result(ctx, session.connection(), &refreshed, args.json)
}

fn rule(args: &RefreshArgs) -> ExtendRule {
    if args.now {
        return ExtendRule::Now;
    }
    args.older_than.map_or(ExtendRule::PastHalf, |age| {
        // A duration that does not fit is longer than any sign-in lives.
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        ExtendRule::OlderThan(SignedDuration::from_secs(seconds))
    })
}

/// Whether there is nothing to renew: `--all` leaves such a connection out.
fn is_never_renewed(connection: &Connection) -> bool {
    match connection.grant {
        Grant::User { .. } | Grant::Application | Grant::Network => false,
        Grant::ApiKey { .. } => true,
    }
}

/// Renews one connection. With `--now`, it is an error if the sign-in was not extended.
fn attempt(session: &Session, rule: ExtendRule) -> Result<RefreshOutcome, Failure> {
    let refreshed = session.refresh(rule)?;
    let connection = session.connection();
    let extended = refreshed.token.decision == Decision::Extended;
    let has_sign_in_to_extend = match connection.grant {
        Grant::User { .. } => true,
        Grant::Application | Grant::Network | Grant::ApiKey { .. } => false,
    };
    if rule == ExtendRule::Now && !extended && has_sign_in_to_extend {
        return Err(Error::Refused {
            connection: Some(connection.label.to_string()),
            url: connection.api_url().as_str().to_owned(),
            why: Refusal::Other {
                code: None,
                text: "it renewed the token, but did not extend the sign-in".into(),
            },
        }
        .into());
    }
    Ok(refreshed)
}

/// How long `--wait` still allows to wait. `None` without `--wait`.
struct WaitBudget(Option<Instant>);

impl WaitBudget {
    fn of(ctx: &CommandContext, args: &RefreshArgs) -> Self {
        Self(
            args.wait
                .and_then(|wait| Instant::now().checked_add(ctx.bound(wait))),
        )
    }

    fn left(&self) -> Option<Duration> {
        self.0
            .map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// The time until a moment; zero if it has passed.
fn time_to(ctx: &CommandContext, moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(ctx.context.now())).unwrap_or_default()
}

/// When the sign-in can be extended without ending a token that is in use, if that is within the
/// budget. Scripts that get tokens meanwhile only delay it, so a later moment is not waited for.
fn extendable_within(
    ctx: &CommandContext,
    refreshed: &RefreshOutcome,
    budget: &WaitBudget,
) -> Option<Timestamp> {
    let moment = refreshed.extension_waits_until?;
    (time_to(ctx, moment) <= budget.left()?).then_some(moment)
}

/// Sleeps until the moment, without holding a lock.
fn wait_until(
    ctx: &CommandContext,
    connection: &Connection,
    moment: Timestamp,
    budget: &WaitBudget,
) {
    ctx.context.emit(&Event::Waiting(Wait::Gap {
        connection: connection.label.to_string(),
        until: moment,
    }));
    loop {
        let left = time_to(ctx, moment).min(budget.left().unwrap_or_default());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(CLOCK_POLL_INTERVAL));
    }
    ctx.context.emit(&Event::WaitOver);
}

/// One connection of many.
struct Job {
    session: Session,
    scope: LogScope,
}

impl Job {
    fn connection(&self) -> &Connection {
        self.session.connection()
    }

    fn attempt(self, rule: ExtendRule) -> Done {
        self.scope.start();
        let outcome = attempt(&self.session, rule);
        if let Err(failure) = &outcome {
            self.scope.failed(failure);
        }
        Done { job: self, outcome }
    }
}

/// One attempt and its result.
struct Done {
    job: Job,
    outcome: Result<RefreshOutcome, Failure>,
}

/// The results of `--all` so far.
#[derive(Default)]
struct Summary {
    json: bool,
    renewed: usize,
    extended: usize,
    waiting: usize,
    failed: Vec<String>,
    worst: Option<ExitCode>,
    /// Why the answer could not be written. Renewing continues all the same.
    output_error: Option<Failure>,
}

impl Summary {
    /// Counts a connection whose files cannot be read, by the name of its folder.
    fn fail_broken(&mut self, ctx: &CommandContext, error: Error) {
        let name = broken_folder(&error)
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let failure = Failure::from(error);
        ctx.event_log.failed(&failure);
        self.fail(ctx, &name, &failure);
    }

    fn fail(&mut self, ctx: &CommandContext, name: &str, failure: &Failure) {
        failure.print(&ctx.console);
        let worst = self.worst.unwrap_or(ExitCode::Done);
        self.worst = Some(worst.worse(failure.exit_code()));
        self.failed.push(escape(name));
    }

    fn count(&mut self, ctx: &mut CommandContext, done: &Done) {
        let connection = done.job.connection();
        match &done.outcome {
            Ok(refreshed) => {
                self.renewed += 1;
                self.extended += usize::from(refreshed.token.decision == Decision::Extended);
                self.waiting += usize::from(refreshed.extension_waits_until.is_some());
                let printed = print_result(ctx, connection, refreshed, self.json);
                self.keep_output_error(printed);
            }
            Err(failure) => self.fail(ctx, connection.label.as_str(), failure),
        }
    }

    fn keep_output_error(&mut self, printed: Outcome) {
        if let Err(failure) = printed {
            self.output_error.get_or_insert(failure);
        }
    }

    /// The worst failure; else that the answer could not be written.
    fn into_outcome(self) -> Outcome {
        match (self.worst, self.output_error) {
            (Some(worst), _) => Err(Failure::Multiple { worst }),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} of {} renewed, {} extended",
            self.renewed,
            self.renewed + self.failed.len(),
            self.extended
        );
        if self.waiting > 0 {
            text.push_str(", ");
            text.push_str(&self.waiting.to_string());
            text.push_str(" to be extended later");
        }
        if !self.failed.is_empty() {
            text.push_str("; failed: ");
            text.push_str(&self.failed.join(", "));
        }
        text
    }
}

fn all(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    rule: ExtendRule,
    json: bool,
    budget: &WaitBudget,
) -> Outcome {
    let listing = store.list(None)?;
    if listing.connections.is_empty() && listing.broken.is_empty() {
        return Err(Error::NoConnection {
            wanted: None,
            known: Vec::new(),
            variable: None,
        }
        .into());
    }
    let mut summary = Summary {
        json,
        ..Summary::default()
    };
    let Listing {
        connections,
        broken,
        ..
    } = listing;
    fail_broken(ctx, broken, &mut summary);
    let keychains = ctx.keychains(store);
    let jobs = connections
        .into_iter()
        .filter(|connection| !is_never_renewed(connection))
        .map(|connection| job(ctx, store, &keychains, connection))
        .collect();
    let later = in_parallel(ctx, jobs, rule, budget, &mut summary);
    extend_later(ctx, later, rule, budget, &mut summary);
    if !json {
        let printed = ctx.answer(&summary.text());
        summary.keep_output_error(printed);
    }
    summary.into_outcome()
}

/// Counts connections whose files cannot be read as failed.
fn fail_broken(ctx: &CommandContext, broken: Vec<Error>, summary: &mut Summary) {
    for error in broken {
        summary.fail_broken(ctx, error);
    }
}

/// Waits for each sign-in that can be extended within the budget, the earliest first, and extends
/// it.
fn extend_later(
    ctx: &mut CommandContext,
    mut later: Vec<(Timestamp, Done)>,
    rule: ExtendRule,
    budget: &WaitBudget,
    summary: &mut Summary,
) {
    while let Some((moment, done)) = take_earliest(&mut later) {
        // The waits before this one may have used up the budget.
        if time_to(ctx, moment) > budget.left().unwrap_or_default() {
            summary.count(ctx, &done);
            continue;
        }
        wait_until(ctx, done.job.connection(), moment, budget);
        let done = done.job.attempt(rule);
        match retry_at(ctx, &done, budget) {
            Some(moment) => later.push((moment, done)),
            None => summary.count(ctx, &done),
        }
    }
}

fn job(
    ctx: &CommandContext,
    store: &ConnectionStore,
    keychains: &Keychains,
    connection: Connection,
) -> Job {
    ctx.warn_if_expiring(&connection);
    let scope = ctx.event_log.scope(&connection);
    let session = ctx.session_with(store, keychains, connection, &scope);
    warn_if_unverified(&session);
    Job { session, scope }
}

/// Renews all, a few per portal at a time, and prints each result. Returns those whose sign-in can
/// be extended later, within the budget.
fn in_parallel(
    ctx: &mut CommandContext,
    jobs: Vec<Job>,
    rule: ExtendRule,
    budget: &WaitBudget,
    summary: &mut Summary,
) -> Vec<(Timestamp, Done)> {
    let progress = ctx.console.progress(jobs.len());
    let queues = Mutex::new(queues(jobs));
    let (sender, done) = mpsc::channel();
    let mut later = Vec::new();
    thread::scope(|scope| {
        let count = REFRESHES_AT_ONCE.min(lock(&queues).len());
        for _ in 0..count {
            let (queues, sender) = (&queues, sender.clone());
            scope.spawn(move || work(queues, rule, &sender));
        }
        drop(sender);
        for done in done {
            progress.step(done.job.connection().label.as_str());
            match retry_at(ctx, &done, budget) {
                Some(moment) => later.push((moment, done)),
                None => summary.count(ctx, &done),
            }
        }
    });
    later
}

/// Divides the jobs into queues, at most [`REFRESHES_PER_PORTAL`] for one portal. One thread works
/// through a queue in order.
fn queues(jobs: Vec<Job>) -> VecDeque<Vec<Job>> {
    let mut portals: BTreeMap<String, [Vec<Job>; REFRESHES_PER_PORTAL]> = BTreeMap::new();
    for job in jobs {
        let host = job.connection().api_url().host().to_owned();
        let queues = portals.entry(host).or_default();
        if let Some(shortest) = queues.iter_mut().min_by_key(|queue| queue.len()) {
            shortest.push(job);
        }
    }
    let mut queues: Vec<Vec<Job>> = portals
        .into_values()
        .flatten()
        .filter(|queue| !queue.is_empty())
        .collect();
    // The longest queues start first, so that the last threads to finish do not start late.
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.len()));
    queues.into()
}

fn work(queues: &Mutex<VecDeque<Vec<Job>>>, rule: ExtendRule, done: &Sender<Done>) {
    loop {
        let queue = lock(queues).pop_front();
        let Some(queue) = queue else {
            return;
        };
        for job in queue {
            // The receiver lives longer than all senders.
            let _ = done.send(job.attempt(rule));
        }
    }
}

/// When to try again, if the sign-in can be extended within the budget.
fn retry_at(ctx: &CommandContext, done: &Done, budget: &WaitBudget) -> Option<Timestamp> {
    extendable_within(ctx, done.outcome.as_ref().ok()?, budget)
}

fn take_earliest(later: &mut Vec<(Timestamp, Done)>) -> Option<(Timestamp, Done)> {
    let (earliest, _) = later
        .iter()
        .enumerate()
        .min_by_key(|(_, (moment, _))| *moment)?;
    Some(later.swap_remove(earliest))
}

fn print_result(
    ctx: &mut CommandContext,
    connection: &Connection,
    refreshed: &RefreshOutcome,
    json: bool,
) -> Outcome {
    let token = &refreshed.token;
    if json {
        return ctx.answer_json(&RefreshAnswer {
            identity: Identity::of(connection),
            username: token.username.clone(),
            decision: Word(token.decision),
            expires_at: Time(token.access.expires_at),
            refresh_expires_at: token.sign_in_expires_at.map(Time),
            extension_waits_until: refreshed.extension_waits_until.map(Time),
        });
    }
    let (now, zone) = (ctx.context.now(), &ctx.system.zone);
    let done = match token.decision {
        Decision::Extended => "extended",
        Decision::Cached => "still valid",
        Decision::Renewed
        | Decision::RenewedByAnother
        | Decision::Fallback
        | Decision::SignedIn
        | Decision::SignedOut => "renewed",
    };
    let mut line = format!("[OK] {}: {done}", escape(connection.label.as_str()));
    let (what, end) = token
        .sign_in_expires_at
        .map_or(("token until", token.access.expires_at), |end| {
            ("signed in until", end)
        });
    line.push_str("; ");
    line.push_str(what);
    line.push(' ');
    line.push_str(&local_and_left(end, now, zone));
    if let Some(moment) = refreshed.extension_waits_until {
        line.push_str("; it can be extended from ");
        line.push_str(&local(moment, zone));
        line.push_str(", when every token in use has expired");
    }
    ctx.answer(&line)
}
