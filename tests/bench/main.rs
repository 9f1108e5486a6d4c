//! Measures the release program against its bounds; `tests/bench/run` builds both and starts this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A failed measurement should stop the run.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The table is the purpose.

mod bounds;
mod measure;
mod python;
mod report;

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use ring::digest::{digest, SHA256};
use support::home::Home;
use support::portal::{Endpoint, Fault, Portal, PortalVersion};
use support::scenario::{add, sign_in};
use support::secret_service::{Provider, SecretService};

use measure::{all_at_once, alternate, answer, peak_memory, timed};
use report::{count, mebibytes, milliseconds, ratio, Report};

/// How often each of two programs that run in turn is measured.
const ROUNDS: usize = 40;
/// Connections in the large store.
const MANY: usize = 10_000;
/// Connections in the store that `status` shows.
const SHOWN: usize = 1_000;
/// `refresh --all` renews this many connections at each portal.
const AT_ONE_PORTAL: usize = 10;
const PORTALS: usize = 5;
/// How long each portal takes to renew a token.
const PORTAL_DELAY: Duration = Duration::from_millis(100);
/// Processes that start at the same time.
const PROCESSES: usize = 60;
const LABEL: &str = "bench";

fn main() -> ExitCode {
    let program: PathBuf = std::env::args_os()
        .nth(1)
        .expect("usage: bench PROGRAM [--python]")
        .into();
    let program = fs::canonicalize(program).expect("the program");
    let mut bench = Bench::set_up(program);
    if std::env::args().any(|one| one == "--python") {
        bench.python();
        return bench.report.end();
    }
    bench.cached_token();
    bench.exec();
    bench.many_connections();
    bench.status();
    bench.refresh_all();
    bench.footprint();
    bench.version();
    bench.concurrent_renewal();
    bench.python();
    bench.report.end()
}

/// A portal, a keychain, and a home that is signed in to the one with its tokens in the other.
struct Bench {
    program: PathBuf,
    home: Home,
    /// A store of [`MANY`] connections with the same connection among them.
    many: PathBuf,
    /// A store of [`SHOWN`] connections with the same connection among them.
    shown: PathBuf,
    keychain: SecretService,
    portal: Portal,
    id: String,
    report: Report,
}

impl Bench {
    fn set_up(program: PathBuf) -> Self {
        let keychain = SecretService::start(Provider::GnomeKeyring);
        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = Home::new(&program);
        keychain.use_in(&mut home);
        add(&home, &portal, LABEL);
        sign_in(&home, &portal, LABEL).ok();
        let id = only_id(&home.store());
        add_copies(&home.store(), &home.store(), &id, 1..10);
        Self {
            many: store_of(&home, &id, "many", MANY),
            shown: store_of(&home, &id, "shown", SHOWN),
            program,
            home,
            keychain,
            portal,
            id,
            report: Report::begin(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command_in(&self.home, arguments)
    }

    fn token(&self) -> Command {
        self.command(&["token", "-c", LABEL])
    }

    fn in_store(&self, store: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("AGE_OAUTH_HOME", store);
        command
    }

    fn secret_tool(&self) -> Command {
        let account = format!("{}/tokens", self.id);
        let mut command = Command::new("secret-tool");
        command
            .args(["lookup", "service", "age-oauth", "username", &account])
            .env_clear()
            .envs(self.home.environment());
        command
    }

    /// The D-Bus methods that a command calls.
    fn calls_of(&self, mut command: Command) -> Vec<String> {
        let mut monitor = self.keychain.monitor();
        answer(&mut command);
        monitor.calls_of_new_clients()
    }

    fn cached_token(&mut self) {
        let token = answer(&mut self.token());
        assert!(self.portal.accepts_access_token(token.trim()));
        assert!(answer(&mut self.secret_tool()).contains(token.trim()));
        let (ours, theirs) = alternate(ROUNDS, || self.token(), || self.secret_tool());
        self.report
            .check(&bounds::CACHED_TOKEN, ratio(ours, theirs));
        self.report.time("cached token, median", ours);
        self.report.time("secret-tool lookup, median", theirs);
        let calls = self.calls_of(self.token());
        self.report.check(&bounds::TOKEN_CALLS, count(calls.len()));
        self.report.detail("they are", &calls.join(" "));
    }

    /// What it costs before the child begins: the child alone is measured, too, and subtracted.
    fn exec(&mut self) {
        let (exec, token) = alternate(
            ROUNDS,
            || self.command(&["exec", "-c", LABEL, "--", "true"]),
            || self.token(),
        );
        let (child, _) = alternate(ROUNDS, || Command::new("true"), || self.token());
        self.report
            .check(&bounds::EXEC, ratio(exec.saturating_sub(child), token));
        self.report.time("exec with its child, median", exec);
        self.report.time("the child alone, median", child);
    }

    fn many_connections(&mut self) {
        let list = ["connections", "list"];
        let (many, few) = alternate(
            ROUNDS,
            || self.in_store(&self.many, &["token", "-c", LABEL]),
            || self.token(),
        );
        self.report
            .check(&bounds::MANY_CONNECTIONS, ratio(many, few));
        let listed = answer(&mut self.in_store(&self.many, &list));
        assert!(listed.lines().count() >= MANY);
        let took = timed(&mut self.in_store(&self.many, &list));
        self.report.check(&bounds::LIST, milliseconds(took));
    }

    fn status(&mut self) {
        let shown = answer(&mut self.in_store(&self.shown, &["status"]));
        assert!(shown.lines().count() > SHOWN);
        let (status, list) = alternate(
            ROUNDS / 4,
            || self.in_store(&self.shown, &["status"]),
            || self.in_store(&self.shown, &["connections", "list"]),
        );
        self.report.check(&bounds::STATUS, ratio(status, list));
        self.report
            .check(&bounds::STATUS_TIME, milliseconds(status));
        let calls = self.calls_of(self.in_store(&self.shown, &["status"]));
        self.report.check(&bounds::STATUS_CALLS, count(calls.len()));
    }

    /// The portals take most of the time, so that the ratio says how many of them are asked at the
    /// same time.
    fn refresh_all(&mut self) {
        let portals: Vec<_> = (0..PORTALS)
            .map(|_| Portal::start(PortalVersion::Enterprise114))
            .collect();
        let homes = [1, PORTALS].map(|count| self.home_at(&portals[..count]));
        for portal in &portals {
            portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Delay(PORTAL_DELAY)));
        }
        let all = |home: &Home| command_in(home, &["refresh", "--all"]);
        let (one, five) = alternate(5, || all(&homes[0]), || all(&homes[1]));
        self.report.check(&bounds::REFRESH_ALL, ratio(five, one));
        self.report.time("50 on 5 portals, median", five);
        self.report.time("10 on one, median", one);
    }

    /// A home that is signed in several times at each of these portals.
    fn home_at(&self, portals: &[Portal]) -> Home {
        let mut home = Home::new(&self.program);
        self.keychain.use_in(&mut home);
        for (number, portal) in portals.iter().enumerate() {
            for connection in 0..AT_ONE_PORTAL {
                let label = format!("{number}-{connection}");
                add(&home, portal, &label);
                sign_in(&home, portal, &label).ok();
            }
        }
        home
    }

    fn footprint(&mut self) {
        let peak = peak_memory(ROUNDS, || self.token());
        self.report.check(&bounds::PEAK_MEMORY, mebibytes(peak));
        let size = fs::metadata(&self.program).expect("the program").len();
        self.report.check(&bounds::FILE_SIZE, mebibytes(size));
    }

    fn version(&mut self) {
        if Command::new("strace").arg("-V").output().is_err() {
            self.report.not_run("--version", "strace is not installed");
            return;
        }
        let trace = self.home.path().join("trace");
        let calls = "trace=clone,clone3,fork,vfork,socket,connect,open,openat,openat2";
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-e", calls, "-o"])
            .arg(&trace)
            .arg(&self.program)
            .arg("--version")
            .env_clear()
            .envs(self.home.environment());
        answer(&mut strace);
        let traced = fs::read_to_string(&trace).expect("what strace wrote");
        let store = self.home.store();
        let store = store.to_str().expect("a path");
        for (bound, wanted) in [
            (&bounds::VERSION_PROCESSES, &["clone", "fork("][..]),
            (&bounds::VERSION_SOCKETS, &["socket(", "connect("]),
            (&bounds::VERSION_FILES, &[store]),
        ] {
            let is_wanted = |line: &&str| wanted.iter().any(|wanted| line.contains(wanted));
            let found = traced.lines().filter(is_wanted).count();
            self.report.check(bound, count(found));
        }
    }

    fn concurrent_renewal(&mut self) {
        self.let_token_expire();
        let renewal = timed(&mut self.token());
        let cached = all_at_once((0..PROCESSES).map(|_| self.token()).collect());
        self.let_token_expire();
        let before = self.renewals();
        let concurrent = all_at_once((0..PROCESSES).map(|_| self.token()).collect());
        let requests = self.renewals() - before;
        assert!(requests > 0, "the token had not expired");
        let mut tokens = concurrent.answers;
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "the processes got different tokens");
        assert!(self.portal.accepts_access_token(tokens[0].trim()));
        self.report
            .check(&bounds::CONCURRENT_RENEWALS, count(requests));
        self.report.check(
            &bounds::CONCURRENT_TIME,
            ratio(concurrent.took, renewal + cached.took),
        );
        self.report.time("60 processes", concurrent.took);
        self.report.time("one renewal", renewal);
        self.report.time("60 cached reads at once", cached.took);
    }

    fn renewals(&self) -> usize {
        self.portal.requests_to(Endpoint::Token).len()
    }

    /// Leaves an expired token in the keychain. The portal then grants tokens of the usual life
    /// again.
    fn let_token_expire(&self) {
        let usual = self
            .portal
            .set(|rules| std::mem::replace(&mut rules.user_access_seconds, 1));
        answer(&mut self.command(&["token", "-c", LABEL, "--force"]));
        self.portal.set(|rules| rules.user_access_seconds = usual);
        // The program reads the real clock, so the token's one second has to pass.
        std::thread::sleep(Duration::from_millis(1100));
    }
}

/// The program with these arguments, in the environment of that home.
fn command_in(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(home.program());
    command
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .current_dir(home.path());
    command
}

/// The id of the one connection in the store.
fn only_id(store: &Path) -> String {
    let mut ids = fs::read_dir(store.join("connections")).expect("the store");
    let id = ids.next().expect("a connection").expect("a folder");
    id.file_name().into_string().expect("an id")
}

/// A store with this connection and copies of it; all share one item in the keychain.
fn store_of(home: &Home, id: &str, name: &str, many: usize) -> PathBuf {
    let store = home.path().join(name);
    for folder in ["", "labels", "connections"] {
        fs::create_dir(store.join(folder)).expect("a folder");
    }
    copy(&home.store(), &store, id, id, LABEL);
    fs::copy(home.store().join("default"), store.join("default")).expect("a copy");
    add_copies(&home.store(), &store, id, 1..many);
    store
}

/// Adds copies of a connection, each with an id and a label of its own.
fn add_copies(from: &Path, to: &Path, id: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let other = uuid::Uuid::new_v4();
        copy(
            from,
            to,
            id,
            &format!("other_{other}"),
            &format!("other {number}"),
        );
    }
}

fn copy(from: &Path, to: &Path, id: &str, new_id: &str, label: &str) {
    let source = from.join("connections").join(id);
    let target = to.join("connections").join(new_id);
    fs::create_dir(&target).expect("a folder");
    for file in fs::read_dir(&source).expect("a connection") {
        let file = file.expect("a file");
        if file.file_name() != "meta.json" {
            fs::copy(file.path(), target.join(file.file_name())).expect("a copy");
        }
    }
    let meta = fs::read(source.join("meta.json")).expect("meta.json");
    let mut meta: serde_json::Value = serde_json::from_slice(&meta).expect("JSON");
    meta["id"] = new_id.into();
    meta["label"] = label.into();
    fs::write(target.join("meta.json"), meta.to_string()).expect("meta.json");
    let mut name = String::new();
    for byte in digest(&SHA256, label.as_bytes()).as_ref() {
        write!(name, "{byte:02x}").expect("a string takes all");
    }
    fs::write(to.join("labels").join(name), format!("{new_id}\n")).expect("a label");
}
