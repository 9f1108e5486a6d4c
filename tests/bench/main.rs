//! Measures the release program against its promises; `tests/bench/run` builds both and starts this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // What cannot be measured should stop the run.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The table is the purpose.

mod bus;
mod measure;
mod python;

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ring::digest::{digest, SHA256};
use support::home::Home;
use support::portal::{Endpoint, Fault, Portal, PortalVersion};
use support::scenario::{add, sign_in};

use bus::Bus;
use measure::{all_at_once, alternate, answer, peak_memory, timed};

const ALTERNATIONS: usize = 40;
const MANY: usize = 10_000;
/// How many `status` shows.
const SHOWN: usize = 1_000;
/// `refresh --all` of so many connections at each of so many portals.
const AT_ONE_PORTAL: usize = 10;
const PORTALS: usize = 5;
/// How long each portal thinks before it renews a token.
const THOUGHT: Duration = Duration::from_millis(100);
const HERD: usize = 60;
const LABEL: &str = "bench";
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let program: PathBuf = std::env::args_os()
        .nth(1)
        .expect("usage: bench PROGRAM")
        .into();
    let program = fs::canonicalize(program).expect("the program");
    let bus = Bus::start();
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = Home::new(&program);
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    home.set("DBUS_SESSION_BUS_ADDRESS", bus.address());
    add(&home, &portal, LABEL);
    sign_in(&home, &portal, LABEL).ok();
    let id = only_id(&home.store());
    widen(&home.store(), &home.store(), &id, 1..10);
    let bench = Bench {
        crowd: crowd(&home, &id, "crowd", MANY),
        shown: crowd(&home, &id, "shown", SHOWN),
        program,
        home,
        bus,
        portal,
        id,
    };
    println!("{:<58} {:>12} {:>12}  kept", "what", "measured", "promise");
    bench.cached_token();
    bench.exec();
    bench.many_connections();
    bench.status();
    bench.refresh();
    bench.footprint();
    bench.version();
    bench.herd();
    bench.python();
}

struct Bench {
    program: PathBuf,
    home: Home,
    /// A store with the same connection among many.
    crowd: PathBuf,
    /// The same among fewer.
    shown: PathBuf,
    bus: Bus,
    portal: Portal,
    id: String,
}

impl Bench {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path());
        command
    }

    fn token(&self) -> Command {
        self.command(&["token", "-c", LABEL])
    }

    fn in_store(&self, store: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("AGE_OAUTH_HOME", store);
        command
    }

    fn in_crowd(&self, arguments: &[&str]) -> Command {
        self.in_store(&self.crowd, arguments)
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

    fn cached_token(&self) {
        let token = answer(&mut self.token());
        assert!(self.portal.accepts_access_token(token.trim()));
        assert!(answer(&mut self.secret_tool()).contains(token.trim()));
        let (ours, theirs) = alternate(ALTERNATIONS, || self.token(), || self.secret_tool());
        at_most(
            "cached token : secret-tool lookup of the same item",
            ratio(ours, theirs),
            0.45,
        );
        tell("  cached token, median", &milliseconds(ours));
        tell("  secret-tool lookup, median", &milliseconds(theirs));
        let calls = self.bus.calls_during(|| {
            answer(&mut self.token());
        });
        let count = calls.len();
        row(
            "D-Bus method calls of a cached token",
            &count.to_string(),
            "<= 4",
            count <= 4,
        );
        tell("  they are", &calls.join(" "));
    }

    /// What it costs before the child begins: the child is measured alone, too, and taken off.
    fn exec(&self) {
        let (exec, token) = alternate(
            ALTERNATIONS,
            || self.command(&["exec", "-c", LABEL, "--", "true"]),
            || self.token(),
        );
        let (child, _) = alternate(ALTERNATIONS, || Command::new("true"), || self.token());
        at_most(
            "exec, less its child : a cached token",
            ratio(exec.saturating_sub(child), token),
            1.3,
        );
        tell("  exec with its child, median", &milliseconds(exec));
        tell("  the child alone, median", &milliseconds(child));
    }

    fn many_connections(&self) {
        let (many, few) = alternate(
            ALTERNATIONS,
            || self.in_crowd(&["token", "-c", LABEL]),
            || self.token(),
        );
        at_most(
            "cached token, 10,000 connections : ten",
            ratio(many, few),
            1.1,
        );
        let listed = answer(&mut self.in_crowd(&["connections", "list"]));
        assert!(listed.lines().count() >= MANY);
        let took = timed(&mut self.in_crowd(&["connections", "list"]));
        row(
            "connections list of 10,000 (for information)",
            &milliseconds(took),
            "< 1000 ms",
            took < Duration::from_secs(1),
        );
    }

    fn status(&self) {
        let shown = answer(&mut self.in_store(&self.shown, &["status"]));
        assert!(shown.lines().count() > SHOWN);
        let (status, list) = alternate(
            ALTERNATIONS / 4,
            || self.in_store(&self.shown, &["status"]),
            || self.in_store(&self.shown, &["connections", "list"]),
        );
        at_most(
            "status of 1,000 connections : connections list",
            ratio(status, list),
            1.5,
        );
        row(
            "  status of 1,000, on a quiet machine",
            &milliseconds(status),
            "< 500 ms",
            status < Duration::from_millis(500),
        );
        let calls = self.bus.calls_during(|| {
            answer(&mut self.in_store(&self.shown, &["status"]));
        });
        row(
            "D-Bus method calls of status",
            &calls.len().to_string(),
            "0",
            calls.is_empty(),
        );
    }

    /// The portals' thinking is most of the time, so that the ratio says how many of them are asked side by side.
    fn refresh(&self) {
        let portals: Vec<_> = (0..PORTALS)
            .map(|_| Portal::start(PortalVersion::Enterprise114))
            .collect();
        let homes = [1, PORTALS].map(|count| {
            let mut home = Home::new(&self.program);
            home.set("AGE_OAUTH_KEYCHAIN", "os");
            home.set("DBUS_SESSION_BUS_ADDRESS", self.bus.address());
            for (place, portal) in portals.iter().take(count).enumerate() {
                for number in 0..AT_ONE_PORTAL {
                    let label = format!("{place}-{number}");
                    add(&home, portal, &label);
                    sign_in(&home, portal, &label).ok();
                }
            }
            home
        });
        for portal in &portals {
            portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Delay(THOUGHT)));
        }
        let all = |home: &Home| {
            let mut command = Command::new(&self.program);
            command
                .args(["refresh", "--all"])
                .env_clear()
                .envs(home.environment());
            command
        };
        let (one, five) = alternate(5, || all(&homes[0]), || all(&homes[1]));
        at_most(
            "refresh --all, 50 connections on 5 portals : 10 on one",
            ratio(five, one),
            2.0,
        );
        tell("  50 on 5 portals, median", &milliseconds(five));
        tell("  10 on one, median", &milliseconds(one));
    }

    fn footprint(&self) {
        let peak = peak_memory(&mut self.token());
        megabytes("peak memory of a cached token", peak, 12.0);
        let size = fs::metadata(&self.program).expect("the program").len();
        megabytes("the program's file, stripped", size, 6.0);
    }

    fn version(&self) {
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
        let count = |wanted: &[&str]| {
            traced
                .lines()
                .filter(|line| wanted.iter().any(|wanted| line.contains(wanted)))
                .count()
        };
        for (what, wanted) in [
            ("--version: threads and children", &["clone", "fork("][..]),
            ("--version: sockets", &["socket(", "connect("]),
            ("--version: files of the store", &[store]),
        ] {
            let found = count(wanted);
            row(what, &found.to_string(), "0", found == 0);
        }
    }

    fn herd(&self) {
        self.spend_token();
        let renewal = timed(&mut self.token());
        let cached = all_at_once((0..HERD).map(|_| self.token()).collect());
        self.spend_token();
        let before = self.renewals();
        let herd = all_at_once((0..HERD).map(|_| self.token()).collect());
        let requests = self.renewals() - before;
        let mut tokens = herd.answers;
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "the herd holds different tokens");
        assert!(self.portal.accepts_access_token(tokens[0].trim()));
        row(
            "60 processes, expired token: renewals",
            &requests.to_string(),
            "1",
            requests == 1,
        );
        at_most(
            "the herd : one renewal and 60 cached reads",
            ratio(herd.took, renewal + cached.took),
            3.0,
        );
        tell("  the herd", &milliseconds(herd.took));
        tell("  one renewal", &milliseconds(renewal));
        tell("  60 cached reads at once", &milliseconds(cached.took));
    }

    fn renewals(&self) -> usize {
        self.portal.requests_to(Endpoint::Token).len()
    }

    /// Leaves an expired token in the keychain, and a portal that grants the usual life again.
    fn spend_token(&self) {
        let usual = self
            .portal
            .set(|rules| std::mem::replace(&mut rules.user_access_seconds, 1));
        answer(&mut self.command(&["token", "-c", LABEL, "--force"]));
        self.portal.set(|rules| rules.user_access_seconds = usual);
        // The program reads the real clock, so the token's one second has to pass.
        std::thread::sleep(Duration::from_millis(1100));
    }
}

/// The id of the one connection in the store.
fn only_id(store: &Path) -> String {
    let mut ids = fs::read_dir(store.join("connections")).expect("the store");
    let id = ids.next().expect("a connection").expect("a folder");
    id.file_name().into_string().expect("an id")
}

/// A store with this connection and many others; all share one item in the keychain.
fn crowd(home: &Home, id: &str, name: &str, many: usize) -> PathBuf {
    let store = home.path().join(name);
    for folder in ["", "labels", "connections"] {
        fs::create_dir(store.join(folder)).expect("a folder");
    }
    copy(&home.store(), &store, id, id, LABEL);
    fs::copy(home.store().join("default"), store.join("default")).expect("a copy");
    widen(&home.store(), &store, id, 1..many);
    store
}

/// Adds copies of a connection under ids and labels of their own.
fn widen(from: &Path, to: &Path, id: &str, numbers: std::ops::Range<usize>) {
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

fn ratio(first: Duration, second: Duration) -> f64 {
    first.as_secs_f64() / second.as_secs_f64()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn at_most(what: &str, measured: f64, promise: f64) {
    row(
        what,
        &format!("{measured:.2}"),
        &format!("<= {promise}"),
        measured <= promise,
    );
}

#[allow(clippy::cast_precision_loss)] // Far below 2^52.
fn megabytes(what: &str, bytes: u64, promise: f64) {
    let measured = bytes as f64 / MIB;
    row(
        what,
        &format!("{measured:.1} MB"),
        &format!("<= {promise:.0} MB"),
        measured <= promise,
    );
}

fn row(what: &str, measured: &str, promise: &str, kept: bool) {
    let kept = if kept { "yes" } else { "NO" };
    println!("{what:<58} {measured:>12} {promise:>12}  {kept}");
}

fn tell(what: &str, measured: &str) {
    println!("{what:<58} {measured:>12}");
}
