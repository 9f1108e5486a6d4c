//! `refresh`: renews, and extends the sign-in by the rule. With `--all` the portals are asked side by side, each
//! connection on its own, so that one daily run keeps every sign-in alive.

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
use crate::cli::shared::connection_text::broken_folder;
use crate::cli::shared::help::examples;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::error::{Error, Refusal};
use crate::event::{Decision, Event, Wait};
use crate::keychain::Keychains;
use crate::policy::command_line::{CLOCK_POLL_INTERVAL, REFRESHES_AT_ONCE, REFRESHES_PER_PORTAL};
use crate::policy::ExtendRule;
use crate::session::{RefreshOutcome, Session};
use crate::store::{ConnectionStore, Listing};
use crate::util::lock;

/// Renew the access token, and extend the sign-in if that is due
#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth refresh --all", "once a day, this keeps every sign-in alive"),
    ("age-oauth refresh --all --wait 45m", "the same, and wait while scripts hold older tokens"),
    ("age-oauth refresh -c prod --now", "extend at once; tokens printed before stop working"),
]))]
pub(in crate::cli) struct RefreshArgs {
    /// Every connection; a failure of one does not stop the others
    #[arg(long, conflicts_with_all = ["connection", "connection_id"])]
    all: bool,
    /// If an extension is due while scripts hold tokens, wait this long for those to expire (45m)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "now")]
    wait: Option<Duration>,
    /// Extend the sign-in at once, which ends every token printed before
    #[arg(long)]
    now: bool,
    /// Extend sign-ins older than this (7d) [default: past half of their life]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "now")]
    older_than: Option<Duration>,
    /// Print one JSON object for each connection
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(in crate::cli) fn refresh(ctx: &mut CommandContext, args: &RefreshArgs) -> Outcome {
    let store = ctx.store()?;
    let patience = WaitBudget::of(ctx, args);
    let rule = rule(args);
    if args.all {
        return all(ctx, &store, rule, args.json, &patience);
    }
    let session = ctx.session()?;
    let mut refreshed = attempt(&session, rule)?;
    while let Some(gap) = gap_worth_waiting(ctx, &refreshed, &patience) {
        wait_for(ctx, session.connection(), gap, &patience);
        refreshed = attempt(&session, rule)?;
    }
    tell(ctx, session.connection(), &refreshed, args.json)
}

fn rule(args: &RefreshArgs) -> ExtendRule {
    if args.now {
        return ExtendRule::Now;
    }
    args.older_than.map_or(ExtendRule::PastHalf, |age| {
        // Longer than any sign-in lives is as good as never.
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        ExtendRule::OlderThan(SignedDuration::from_secs(seconds))
    })
}

/// Renews one connection. Asked to extend it now, a renewal alone is not enough.
fn attempt(session: &Session, rule: ExtendRule) -> Result<RefreshOutcome, Failure> {
    let refreshed = session.refresh(rule)?;
    let connection = session.connection();
    let extended = refreshed.token.decision == Decision::Extended;
    if rule == ExtendRule::Now && !extended && !connection.grant.is_application() {
        return Err(Error::Refused {
            connection: Some(connection.label.to_string()),
            url: connection.portal.as_str().to_owned(),
            why: Refusal::Other {
                code: None,
                text: "the token was renewed, but the sign-in was not extended".into(),
            },
        }
        .into());
    }
    Ok(refreshed)
}

/// Until when gaps are waited for.
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

/// How far away a moment is; nothing once it has come.
fn time_to(ctx: &CommandContext, moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(ctx.context.now())).unwrap_or_default()
}

/// The gap, where it comes soon enough. Scripts can only push it further away, so a farther one is not waited for.
fn gap_worth_waiting(
    ctx: &CommandContext,
    refreshed: &RefreshOutcome,
    patience: &WaitBudget,
) -> Option<Timestamp> {
    let gap = refreshed.extension_waits_until?;
    (time_to(ctx, gap) <= patience.left()?).then_some(gap)
}

/// Sleeps until the gap. Nothing is locked meanwhile.
fn wait_for(ctx: &CommandContext, connection: &Connection, gap: Timestamp, patience: &WaitBudget) {
    ctx.context.emit(&Event::Waiting(Wait::Gap {
        connection: connection.label.to_string(),
        until: gap,
    }));
    loop {
        let left = time_to(ctx, gap).min(patience.left().unwrap_or_default());
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

struct Done {
    job: Job,
    outcome: Result<RefreshOutcome, Failure>,
}

/// What became of all.
#[derive(Default)]
struct Summary {
    json: bool,
    renewed: usize,
    extended: usize,
    waiting: usize,
    failed: Vec<String>,
    worst: ExitCode,
    /// The answer could not be written; renewing goes on.
    unheard: Option<Failure>,
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
        self.worst = self.worst.worse(failure.exit_code());
        self.failed.push(escape(name));
    }

    fn count(&mut self, ctx: &mut CommandContext, done: &Done) {
        let connection = done.job.connection();
        match &done.outcome {
            Ok(refreshed) => {
                self.renewed += 1;
                self.extended += usize::from(refreshed.token.decision == Decision::Extended);
                self.waiting += usize::from(refreshed.extension_waits_until.is_some());
                let told = tell(ctx, connection, refreshed, self.json);
                self.hear(told);
            }
            Err(failure) => self.fail(ctx, connection.label.as_str(), failure),
        }
    }

    fn hear(&mut self, told: Outcome) {
        if let Err(failure) = told {
            self.unheard.get_or_insert(failure);
        }
    }

    fn summary(&self) -> String {
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

    /// The worst failure; else that the answer could not be written.
    fn outcome(self) -> Outcome {
        match (self.worst, self.unheard) {
            (ExitCode::Done, None) => Ok(()),
            (ExitCode::Done, Some(failure)) => Err(failure),
            (worst, _) => Err(Failure::Multiple { worst }),
        }
    }
}

fn all(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    rule: ExtendRule,
    json: bool,
    patience: &WaitBudget,
) -> Outcome {
    let listing = store.list(None)?;
    if listing.connections.is_empty() && listing.broken.is_empty() {
        return Err(Error::NoConnection {
            wanted: None,
            known: Vec::new(),
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
    for error in broken {
        summary.fail_broken(ctx, error);
    }
    let keychains = ctx.keychains(store);
    let jobs = connections
        .into_iter()
        .map(|connection| job(ctx, store, &keychains, connection))
        .collect();
    let later = side_by_side(ctx, jobs, rule, patience, &mut summary);
    extend_later(ctx, later, rule, patience, &mut summary);
    if !json {
        let told = ctx.answer(&summary.summary());
        summary.hear(told);
    }
    summary.outcome()
}

/// Extends the sign-ins that wait for a gap, the earliest gap first, as long as `--wait` allows.
fn extend_later(
    ctx: &mut CommandContext,
    mut later: Vec<(Timestamp, Done)>,
    rule: ExtendRule,
    patience: &WaitBudget,
    summary: &mut Summary,
) {
    while let Some((gap, done)) = take_earliest(&mut later) {
        if time_to(ctx, gap) > patience.left().unwrap_or_default() {
            summary.count(ctx, &done);
            continue;
        }
        wait_for(ctx, done.job.connection(), gap, patience);
        let done = done.job.attempt(rule);
        match again(ctx, &done, patience) {
            Some(gap) => later.push((gap, done)),
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
    ctx.warn_of(&connection);
    let scope = ctx.event_log.scope(&connection);
    let session = ctx.session_with(store, keychains, connection, &scope);
    Job { session, scope }
}

/// Renews all, a few per portal at a time, and tells each as it is done. What waits for a gap comes back.
fn side_by_side(
    ctx: &mut CommandContext,
    jobs: Vec<Job>,
    rule: ExtendRule,
    patience: &WaitBudget,
    summary: &mut Summary,
) -> Vec<(Timestamp, Done)> {
    let progress = ctx.console.progress(jobs.len());
    let by_portal = Mutex::new(by_portal(jobs));
    let (sender, done) = mpsc::channel();
    let mut later = Vec::new();
    thread::scope(|scope| {
        let count = REFRESHES_AT_ONCE.min(lock(&by_portal).len());
        for _ in 0..count {
            let (by_portal, sender) = (&by_portal, sender.clone());
            scope.spawn(move || work(by_portal, rule, &sender));
        }
        drop(sender);
        for done in done {
            progress.step(done.job.connection().label.as_str());
            match again(ctx, &done, patience) {
                Some(gap) => later.push((gap, done)),
                None => summary.count(ctx, &done),
            }
        }
    });
    later
}

/// Each lane is worked through in order by one thread.
fn by_portal(jobs: Vec<Job>) -> VecDeque<Vec<Job>> {
    let mut portals: BTreeMap<String, [Vec<Job>; REFRESHES_PER_PORTAL]> = BTreeMap::new();
    for job in jobs {
        let host = job.connection().portal.host().to_owned();
        let by_portal = portals.entry(host).or_default();
        if let Some(shortest) = by_portal.iter_mut().min_by_key(|lane| lane.len()) {
            shortest.push(job);
        }
    }
    let mut by_portal: Vec<Vec<Job>> = portals
        .into_values()
        .flatten()
        .filter(|lane| !lane.is_empty())
        .collect();
    // The longest begin, so that none of them begins when all others are over.
    by_portal.sort_by_key(|lane| std::cmp::Reverse(lane.len()));
    by_portal.into()
}

fn work(by_portal: &Mutex<VecDeque<Vec<Job>>>, rule: ExtendRule, done: &Sender<Done>) {
    loop {
        let lane = lock(by_portal).pop_front();
        let Some(lane) = lane else {
            return;
        };
        for job in lane {
            // The receiver outlives all who send.
            let _ = done.send(job.attempt(rule));
        }
    }
}

/// When to try again, where the sign-in waits for a gap that comes soon enough.
fn again(ctx: &CommandContext, done: &Done, patience: &WaitBudget) -> Option<Timestamp> {
    gap_worth_waiting(ctx, done.outcome.as_ref().ok()?, patience)
}

fn take_earliest(later: &mut Vec<(Timestamp, Done)>) -> Option<(Timestamp, Done)> {
    let (earliest, _) = later.iter().enumerate().min_by_key(|(_, (gap, _))| *gap)?;
    Some(later.swap_remove(earliest))
}

fn tell(
    ctx: &mut CommandContext,
    connection: &Connection,
    refreshed: &RefreshOutcome,
    json: bool,
) -> Outcome {
    let issued = &refreshed.token;
    if json {
        return ctx.answer_json(&RefreshAnswer {
            identity: Identity::of(connection),
            username: issued.username.clone(),
            decision: Word(issued.decision),
            expires_at: Time(issued.access.expires_at),
            refresh_expires_at: issued.sign_in_expires_at.map(Time),
            extension_waits_until: refreshed.extension_waits_until.map(Time),
        });
    }
    let (now, zone) = (ctx.context.now(), &ctx.system.zone);
    let done = match issued.decision {
        Decision::Extended => "extended",
        Decision::Cached => "good",
        Decision::Renewed
        | Decision::RenewedByAnother
        | Decision::Fallback
        | Decision::SignedIn
        | Decision::SignedOut => "renewed",
    };
    let mut line = format!("[OK] {}: {done}", escape(connection.label.as_str()));
    let (what, end) = issued
        .sign_in_expires_at
        .map_or(("token until", issued.access.expires_at), |end| {
            ("signed in until", end)
        });
    line.push_str("; ");
    line.push_str(what);
    line.push(' ');
    line.push_str(&local_and_left(end, now, zone));
    if let Some(gap) = refreshed.extension_waits_until {
        line.push_str("; it can be extended from ");
        line.push_str(&local(gap, zone));
        line.push_str(", when no script holds a token any more");
    }
    ctx.answer(&line)
}
