//! Weeks of nightly work on one machine, in minutes: accounts with connections of their own, jobs
//! that need tokens at the same time, and what goes wrong meanwhile.
//!
//! Every command is the real program in a process of its own, whose clock is moved by libfaketime;
//! the practice portals' clocks are moved with it. Deadlines and pauses stay those of real time.

mod account;
mod picture;
mod plan;
mod results;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use crate::support::portal::{Endpoint, Fault, Gate, Portal, PortalVersion, Recorded, Rules};
use crate::support::until;

use account::{Account, Connected, Ended, Kind, Logged};
use plan::{Dice, Job, Plan, LABELS, USER_CONNECTIONS};
use results::{request_kind, Night, Timed};

pub use picture::draw;
pub use results::{Cause, Results};

/// The portals' certificates are valid for so many days.
pub const MAX_DAYS: usize = 80;

/// The number of the portal that cannot extend sign-ins.
const OLD: usize = 1;
/// What the old portal refuses; a renewal follows.
const REFUSED_EXCHANGE: &str = "extension that the old portal does not know";

const HOUR: i64 = 3600;
/// `token` wants a token that lives at least this long.
const MIN_LIFE_LEFT: i64 = 60;
/// Lives of access tokens at the practice portals, in seconds.
const USER_TOKEN: i64 = 1800;
const APPLICATION_TOKEN: i64 = 7200;

/// The size of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What happens when follows from it. Which of several requests at once meets a lost answer is
    /// up to the machine.
    pub seed: u64,
    pub days: usize,
    pub accounts: usize,
    pub jobs: usize,
    /// In the evening of this day, the portals end every sign-in. No event explains that: it is for
    /// the test of the simulation itself.
    pub all_end_on: Option<usize>,
}

/// The library that moves the clock of a program: the one that `AGE_OAUTH_TEST_FAKETIME` names,
/// else that of Debian's package.
pub fn faketime() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AGE_OAUTH_TEST_FAKETIME") {
        return Some(named.into());
    }
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}

/// Runs the simulation; `report` gets a line for each night.
pub fn rehearse(
    program: &Path,
    faketime: &Path,
    settings: Settings,
    report: &mut dyn FnMut(&str),
) -> Results {
    let begun = Instant::now();
    let mut world = World::new(program, faketime, settings);
    for day in 0..=settings.days {
        if day > 0 {
            world.night(day);
            report(&world.night_line(day));
        }
        world.morning(day);
        world.evening(day);
    }
    world.check_every_sign_in();
    world.results.took = begun.elapsed();
    world.results
}

/// What the portals saw during one step.
#[derive(Default)]
struct Seen {
    /// Requests for tokens, by client ID.
    renewals: BTreeMap<String, usize>,
    /// Client IDs whose renewal was carried out, and its answer did not arrive.
    lost: BTreeSet<String>,
}

/// In which part of a day the portals are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Night,
    /// A part of the night in which commands are killed.
    Restart,
    /// People sign in.
    Morning,
    /// After the last night, when every sign-in is used once more. Its requests are not counted.
    End,
}

struct World {
    plan: Plan,
    dice: Dice,
    begun: Instant,
    /// How far the simulated time is ahead of the real one, in seconds.
    ahead: i64,
    /// The present portal, and one that cannot extend sign-ins.
    portals: [Portal; 2],
    accounts: Vec<Account>,
    set_up: BTreeSet<usize>,
    /// Answers that are to be lost in the present step.
    planned_losses: usize,
    results: Results,
}

impl World {
    fn new(program: &Path, faketime: &Path, settings: Settings) -> Self {
        let mut dice = Dice::new(settings.seed);
        let plan = Plan::draw(&settings, &mut dice);
        let life = u32::try_from(settings.life_hours() * 60).unwrap();
        let portals = [PortalVersion::Enterprise114, PortalVersion::Enterprise105].map(|version| {
            let portal = Portal::start(version);
            portal.set(|rules| {
                rules.refresh_minutes = life;
                rules.refresh_minutes_max = life;
            });
            portal
        });
        let accounts = (0..settings.accounts).map(|number| Account::new(program, faketime, number));
        let mut results = Results::new(settings);
        results.absences = plan.absences.len();
        results.nights.push(Night::default());
        Self {
            plan,
            dice,
            begun: Instant::now(),
            ahead: 0,
            portals,
            accounts: accounts.collect(),
            set_up: BTreeSet::new(),
            planned_losses: 0,
            results,
        }
    }

    // — the time —

    /// Seconds of the simulation, which begins at midnight.
    fn now(&self) -> i64 {
        self.real_seconds() + self.ahead
    }

    fn real_seconds(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_secs()).unwrap()
    }

    /// Lets the time pass until then, for the portals and for every program that starts.
    fn move_to(&mut self, day: usize, hour: i64, minute: i64) {
        let moment = i64::try_from(day).unwrap() * 24 * HOUR + hour * HOUR + minute * 60;
        let forward = (moment - self.now()).max(0);
        self.ahead += forward;
        for portal in &self.portals {
            portal.clock().shift_seconds(forward);
        }
        let offset = format!("+{}", self.ahead);
        for account in &mut self.accounts {
            account.home.set("FAKETIME", &offset);
        }
    }

    // — a day —

    fn night(&mut self, night: usize) {
        self.results.nights.push(Night::default());
        self.move_to(night, 1, 0);
        self.restart(night);
        // Missed tasks run once the machine is back.
        self.refresh_all(night);
        let jobs = self.jobs(night);
        self.move_to(night, 2, 0);
        let of_jobs = self.plan.lost_answers(night).of_jobs;
        self.plan_losses(&[(Endpoint::Refresh, of_jobs)]);
        self.all_jobs(night, &jobs, Timed::Expired);
        self.move_to(night, 2, 20);
        self.all_jobs(night, &jobs, Timed::Cached);
        self.move_to(night, 2, 40);
        self.all_jobs(night, &jobs, Timed::Expired);
        self.move_to(night, 2, 45);
        self.single_jobs(night, &jobs);
    }

    /// People sign in again where they have to, and store new client secrets. New accounts are set
    /// up.
    fn morning(&mut self, day: usize) {
        self.move_to(day, 8, 0);
        let now = self.now();
        let portals = [&self.portals[0], &self.portals[1]];
        for (number, account) in self.accounts.iter_mut().enumerate() {
            if self.set_up.contains(&number) {
                for connection in 0..USER_CONNECTIONS {
                    if account.connections[connection].lost {
                        let portal = account.portal_of(connection, portals);
                        account.sign_in(connection, portal, now);
                        self.results.sign_ins_again += 1;
                    }
                }
                account.store_new_secret();
                let _ = account.new_log_lines();
            } else if Plan::set_up_day(&self.results.settings, number) == day {
                account.set_up(portals, now);
                self.results.sign_ins += USER_CONNECTIONS;
                self.set_up.insert(number);
                // What a set-up asks the portals is not counted.
                for portal in portals {
                    portal.take_requests();
                }
            }
        }
        self.look(Step::Morning);
    }

    fn evening(&mut self, day: usize) {
        self.move_to(day, 18, 0);
        if self.results.settings.all_end_on == Some(day) {
            self.portals.iter().for_each(Portal::revoke_all);
        }
        for &number in &self.set_up {
            for connection in USER_CONNECTIONS..LABELS.len() {
                if self.plan.is_rotated(number, connection, day) {
                    self.accounts[number].rotate(connection, &self.portals[0]);
                    self.results.rotations += 1;
                }
            }
        }
    }

    /// Accounts whose tasks run in that night.
    fn active(&self, night: usize) -> Vec<usize> {
        let all = self.set_up.iter().copied();
        all.filter(|number| !self.plan.is_absent(*number, night))
            .collect()
    }

    fn jobs(&self, night: usize) -> Vec<Job> {
        let active = self.active(night);
        let mut jobs = self.plan.jobs.clone();
        jobs.retain(|job| active.contains(&job.account));
        jobs
    }

    // — steps of a night —

    /// The machine restarts while some commands wait for the portal.
    fn restart(&mut self, night: usize) {
        let count = self.plan.killed_in(night);
        if count == 0 {
            return;
        }
        self.results.restarts += 1;
        // Those who extend a sign-in in this night have the most to lose.
        let (mut due, mut others): (Vec<_>, Vec<_>) = self
            .active(night)
            .into_iter()
            .partition(|number| self.is_due(*number));
        let mut killed = 0;
        while killed < count && !(due.is_empty() && others.is_empty()) {
            let from = if due.is_empty() {
                &mut others
            } else {
                &mut due
            };
            let number = from.swap_remove(self.dice.below(from.len()));
            // Every third one is killed before it has sent anything.
            if self.kill_during_refresh(number, killed % 3 == 2) {
                killed += 1;
                self.results.killed += 1;
                self.results.nights[night].killed += 1;
                self.results
                    .count_end("refresh --all", -1, Some(Cause::Restart));
            }
        }
    }

    /// Whether a sign-in of the account is past half of its life.
    fn is_due(&self, number: usize) -> bool {
        let half = i64::try_from(self.results.settings.life_hours()).unwrap() * HOUR / 2;
        let (now, mut all) = (self.now(), self.accounts[number].connections.iter());
        all.any(|one| one.kind == Kind::User && now - one.signed_in >= half)
    }

    /// Whether the command was killed; it may have ended before it came to that point.
    fn kill_during_refresh(&mut self, number: usize, before: bool) -> bool {
        let gate = Gate::new();
        let portal = &self.portals[0];
        portal.set(|rules| {
            let gate = gate.clone();
            if before {
                rules.fault(Endpoint::Handshake, Fault::HoldBefore(gate));
            } else if self.is_due(number) {
                rules.fault(Endpoint::Exchange, Fault::HoldAfter(gate));
            } else {
                rules.fault(Endpoint::Token, Fault::HoldAfter(gate));
            }
        });
        let account = &self.accounts[number];
        let mut child = account.home.run(["refresh", "--all", "--json"]).spawn();
        self.results.processes += 1;
        let mut ended = false;
        until(|| {
            ended = child.try_wait().unwrap().is_some();
            ended || portal.set(|rules| rules.faults_pending()) == 0
        });
        child.kill().unwrap();
        child.wait().unwrap();
        remove_shared_memory(child.id());
        gate.open();
        portal.set(Rules::clear_faults);
        self.look(Step::Restart);
        // A failure that it logged until then occurs again when it runs again.
        let lines = self.accounts[number].new_log_lines();
        self.note_successes(number, &lines);
        !ended
    }

    /// The nightly command of every account, all at the same time.
    fn refresh_all(&mut self, night: usize) {
        let lost = self.plan.lost_answers(night);
        self.plan_losses(&[
            (Endpoint::Exchange, lost.exchanges),
            (Endpoint::Refresh, lost.refreshes),
            (Endpoint::AppToken, lost.applications),
        ]);
        let numbers = self.active(night);
        let words = ["refresh", "--all", "--json"];
        let ended = self.at_once(numbers.iter().map(|number| (*number, words.to_vec())));
        let seen = self.look(Step::Night);
        for (number, ended) in numbers.into_iter().zip(ended) {
            let lines = self.accounts[number].new_log_lines();
            self.note_successes(number, &lines);
            let mut because = None;
            let failures = lines.iter().filter(|line| line.code != 0);
            for line in failures {
                let cause = self.judge(number, line.connection, line.code, night, &seen);
                if cause.is_none() {
                    self.unexplained(number, line.connection, "refresh --all", &line.message);
                }
                if line.code == ended.code {
                    because = because.or(cause);
                }
            }
            if ended.code != 0 && because.is_none() {
                self.unexplained(number, 0, "refresh --all", &ended.stderr);
            }
            self.results.count_end("refresh --all", ended.code, because);
        }
    }

    /// Every job asks for a token at the same time.
    fn all_jobs(&mut self, night: usize, jobs: &[Job], timed: Timed) {
        let ended = self.at_once(jobs.iter().map(|job| (job.account, token_words(job))));
        let seen = self.look(Step::Night);
        for (job, ended) in jobs.iter().zip(ended) {
            self.count_token(night, *job, &ended, timed, &seen);
        }
    }

    /// One job after the other, whose tokens are cached.
    fn single_jobs(&mut self, night: usize, jobs: &[Job]) {
        let ended: Vec<_> = jobs
            .iter()
            .map(|job| self.accounts[job.account].run(&token_words(job)))
            .collect();
        let seen = self.look(Step::Night);
        for (job, ended) in jobs.iter().zip(ended) {
            self.results.processes += 1;
            self.count_token(night, *job, &ended, Timed::Alone, &seen);
        }
    }

    fn count_token(&mut self, night: usize, job: Job, ended: &Ended, timed: Timed, seen: &Seen) {
        let Job {
            account,
            connection,
        } = job;
        let _ = self.accounts[account].new_log_lines();
        let mut because = None;
        if ended.code == 0 {
            let portal =
                self.accounts[account].portal_of(connection, [&self.portals[0], &self.portals[1]]);
            if !portal.accepts_access_token(ended.stdout.trim()) {
                self.unexplained(account, connection, "token", "the portal refuses the token");
            }
            self.results
                .times
                .entry(timed)
                .or_default()
                .push(ended.took);
            self.need(account, connection);
        } else {
            because = self.judge(account, connection, ended.code, night, seen);
            if because.is_none() {
                self.unexplained(account, connection, "token", &ended.stderr);
            }
        }
        self.results.count_end("token", ended.code, because);
    }

    /// Starts these commands at once, and waits for all.
    fn at_once(
        &mut self,
        commands: impl Iterator<Item = (usize, Vec<&'static str>)>,
    ) -> Vec<Ended> {
        let accounts = &self.accounts;
        let ended: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = commands
                .map(|(number, words)| scope.spawn(move || accounts[number].run(&words)))
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        self.results.processes += ended.len();
        ended
    }

    fn plan_losses(&mut self, losses: &[(Endpoint, usize)]) {
        for (endpoint, times) in losses {
            for _ in 0..*times {
                self.portals[0].set(|rules| rules.fault(*endpoint, Fault::ResetAfter));
            }
            self.planned_losses += times;
        }
    }

    // — what the portals saw —

    /// Takes what the portals recorded, and counts it.
    fn look(&mut self, step: Step) -> Seen {
        let mut seen = Seen::default();
        let before: usize = self.results.lost_answers.values().sum();
        let mut pending = 0;
        for index in 0..self.portals.len() {
            let requests = self.portals[index].take_requests();
            pending += self.portals[index].set(|rules| {
                let pending = rules.faults_pending();
                rules.clear_faults();
                pending
            });
            for request in &requests {
                self.count_request(request, step, index == OLD, &mut seen);
                if request.endpoint == Endpoint::Exchange && request.granted {
                    self.note_exchange(request, step, index);
                }
            }
        }
        // A client that does not wait for an answer loses it, too.
        let lost = self.results.lost_answers.values().sum::<usize>() - before;
        let planned = std::mem::take(&mut self.planned_losses) - pending;
        if lost > planned {
            let what = format!("{lost} answers were not received, {planned} were to be lost");
            self.unexplained(0, 0, "any command", &what);
        }
        self.count_most(&seen, step);
        seen
    }

    /// Whose client secret was replaced is refused each time.
    fn count_most(&mut self, seen: &Seen, step: Step) {
        let all = self.accounts.iter().flat_map(|one| &one.connections);
        let refused: BTreeSet<_> = all
            .filter(|one| one.replaced_secret.is_some())
            .map(|one| &one.client_id)
            .collect();
        for (client, count) in &seen.renewals {
            let most = if seen.lost.contains(client) || step == Step::Restart {
                &mut self.results.most_after_loss
            } else if refused.contains(client) {
                continue;
            } else {
                &mut self.results.most_at_once
            };
            *most = (*most).max(*count);
        }
    }

    fn count_request(&mut self, request: &Recorded, step: Step, is_old: bool, seen: &mut Seen) {
        if step == Step::End {
            return;
        }
        if is_old && request.endpoint == Endpoint::Exchange {
            *self.results.requests.entry(REFUSED_EXCHANGE).or_default() += 1;
            return;
        }
        let is_of_browser = matches!(
            request.endpoint,
            Endpoint::Authorize | Endpoint::SignIn | Endpoint::Approval
        );
        if is_of_browser {
            return;
        }
        let kind = request_kind(request.endpoint);
        *self.results.requests.entry(kind).or_default() += 1;
        if step == Step::Morning {
            return;
        }
        let night = self.results.nights.last_mut().unwrap();
        match request.endpoint {
            Endpoint::Refresh => night.renewals += 1,
            Endpoint::Exchange => night.extensions += 1,
            Endpoint::AppToken => night.applications += 1,
            _ => return,
        }
        let client = request.param("client_id").unwrap_or_default().to_owned();
        self.results.tokens += usize::from(request.granted);
        *seen.renewals.entry(client.clone()).or_default() += 1;
        if request.status.is_none() && step == Step::Night {
            *self.results.lost_answers.entry(kind).or_default() += 1;
            self.results.lost_tokens += usize::from(request.granted);
            seen.lost.insert(client);
        }
    }

    /// In a restart, each exchange threatens a sign-in: an answer that arrived may not have been
    /// stored.
    fn note_exchange(&mut self, request: &Recorded, step: Step, portal: usize) {
        let cause = match (step, request.status) {
            (Step::Restart, _) => Cause::Restart,
            (Step::Night | Step::Morning | Step::End, None) => Cause::LostAnswer,
            (Step::Night | Step::Morning | Step::End, Some(_)) => return,
        };
        // The portal cannot know that a process was killed after the answer had arrived.
        if step == Step::Restart {
            let spent = request.param("refresh_token").unwrap_or_default();
            self.portals[portal].allow_retry_of_spent(spent);
        }
        let client = request.param("client_id").unwrap_or_default();
        let mut all = self
            .accounts
            .iter_mut()
            .flat_map(|one| &mut one.connections);
        if let Some(found) = all.find(|one| one.client_id == client) {
            found.threatened = Some(cause);
        }
    }

    // — what follows —

    fn connection(&mut self, account: usize, number: usize) -> &mut Connected {
        &mut self.accounts[account].connections[number]
    }

    /// A command needed a token of that connection.
    fn need(&mut self, account: usize, number: usize) {
        let now = self.now();
        let connection = self.connection(account, number);
        if connection.usable_until < now {
            connection.usable_until = now + usable_for(connection.kind);
            self.results.token_lives += 1;
        }
    }

    fn note_successes(&mut self, account: usize, lines: &[Logged]) {
        let now = self.now();
        for line in lines.iter().filter(|line| line.code == 0) {
            let connection = self.connection(account, line.connection);
            if line.decision == "extended" {
                connection.signed_in = now;
            }
            // `refresh` renews whatever the token's age.
            if matches!(&*line.decision, "renewed" | "extended") {
                connection.threatened = None;
                connection.usable_until = now + usable_for(connection.kind);
                self.results.token_lives += 1;
                self.results.extensions += usize::from(line.decision == "extended");
            }
        }
    }

    /// Which event explains that a command failed. A sign-in that is lost for the first time is
    /// counted.
    fn judge(
        &mut self,
        account: usize,
        number: usize,
        code: i32,
        night: usize,
        seen: &Seen,
    ) -> Option<Cause> {
        let life = i64::try_from(self.results.settings.life_hours()).unwrap() * HOUR;
        let now = self.now();
        let was_absent = self.plan.has_been_absent(account, night);
        let connection = self.connection(account, number);
        let is_over = now - connection.signed_in >= life;
        let cause = match code {
            3 if connection.kind.is_user() => connection
                .threatened
                .or((is_over && was_absent).then_some(Cause::Absence))
                .or((is_over && connection.kind == Kind::UserOfOldPortal)
                    .then_some(Cause::OldPortal)),
            6 if seen.lost.contains(&connection.client_id) => Some(Cause::LostAnswer),
            7 if connection.replaced_secret.is_some() => Some(Cause::ReplacedSecret),
            _ => None,
        };
        if code == 3 && !connection.lost {
            connection.lost = true;
            if let Some(cause) = cause {
                *self.results.lost.entry(cause).or_default() += 1;
                *self.results.nights[night].lost.entry(cause).or_default() += 1;
            }
        }
        cause
    }

    fn unexplained(&mut self, account: usize, connection: usize, command: &str, said: &str) {
        let night = self.results.nights.len() - 1;
        let label = LABELS[connection];
        self.results.unexplained.push(format!(
            "night {night}, account {account}, {label}: {command}: {}",
            said.trim()
        ));
    }

    /// At the end, every sign-in works that was not reported as lost.
    fn check_every_sign_in(&mut self) {
        let day = self.results.settings.days;
        self.move_to(day, 20, 0);
        for number in self.active(day) {
            for (connection, label) in LABELS[..USER_CONNECTIONS].iter().enumerate() {
                let words = ["token", "--force", "-c", *label];
                let ended = self.accounts[number].run(&words);
                self.results.processes += 1;
                let _ = self.accounts[number].new_log_lines();
                let seen = self.look(Step::End);
                if ended.code != 0
                    && self
                        .judge(number, connection, ended.code, day, &seen)
                        .is_none()
                {
                    self.unexplained(number, connection, "token --force", &ended.stderr);
                }
            }
        }
    }

    fn night_line(&self, night: usize) -> String {
        let one = &self.results.nights[night];
        let lost: usize = one.lost.values().sum();
        format!(
            "night {night}: {} renewals, {} extensions, {} application tokens; {} killed; {lost} sign-ins lost",
            one.renewals, one.extensions, one.applications, one.killed
        )
    }
}

fn token_words(job: &Job) -> Vec<&'static str> {
    vec!["token", "-c", LABELS[job.connection]]
}

fn usable_for(kind: Kind) -> i64 {
    let life = if kind.is_user() {
        USER_TOKEN
    } else {
        APPLICATION_TOKEN
    };
    life - MIN_LIFE_LEFT
}

/// libfaketime leaves these where its process was killed.
fn remove_shared_memory(process: u32) {
    for name in ["sem.faketime_sem", "faketime_shm"] {
        let _ = fs::remove_file(format!("/dev/shm/{name}_{process}"));
    }
}
