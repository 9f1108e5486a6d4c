//! Files that change, and connections that go, while processes wait for the renewal lock. What is
//! read under the lock decides; what was read before it does not.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use age_oauth::{ConnectionStore, Context, RenewalLock};
use rustix::fs::inotify::{add_watch, init, CreateFlags, ReadFlags, Reader, WatchFlags};
use serde_json::json;

use crate::bound_settings::Fixture;
use crate::support::home::{Home, Outcome};
use crate::support::invariants::HomeCopy;
use crate::support::portal::service_secret;
use crate::support::scenario::{folder_of, stored};
use crate::support::until;

fn hold_lock(home: &Home, label: &str) -> RenewalLock {
    let store = ConnectionStore::open(home.store());
    let connection = stored(home, label);
    let (lock, _) = store
        .lock(&connection, Duration::from_secs(30), &Context::process())
        .unwrap();
    lock
}

/// Watches a lock file. The open files of the program are not visible in `/proc` without root,
/// because it forbids core dumps.
struct LockWatch {
    inotify: OwnedFd,
    is_open: bool,
}

impl LockWatch {
    fn new(lock_file: &Path) -> Self {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let events = WatchFlags::OPEN | WatchFlags::CLOSE;
        add_watch(&inotify, lock_file, events).unwrap();
        Self {
            inotify,
            is_open: false,
        }
    }

    /// Starts the command, and returns as soon as it waits for the lock, or has ended.
    ///
    /// The system merges equal events, so that only one process at a time can be waited for.
    fn start(&mut self, home: &Home, words: &[&str]) -> Child {
        self.is_open = false;
        let mut child = home.run(words).spawn();
        drop(child.stdin.take());
        until(|| self.is_open() || child.try_wait().unwrap().is_some());
        child
    }

    /// Whether the last process that opened the file still has it open, and so waits for its lock.
    fn is_open(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = events.next() {
            self.is_open = event.events().contains(ReadFlags::OPEN);
        }
        self.is_open
    }
}

/// What uses a connection's secrets.
const COMMANDS: [(&str, &[&str]); 11] = [
    ("prod", &["refresh", "-c", "prod"]),
    ("prod", &["refresh", "--now", "-c", "prod"]),
    ("prod", &["refresh", "--all"]),
    ("prod", &["token", "--force", "-c", "prod"]),
    ("service", &["login", "-c", "service"]),
    ("service", &["token", "-c", "service"]),
    ("service", &["export-env", "-c", "service"]),
    ("service", &["exec", "-c", "service", "--", "true"]),
    ("service", &["api", "portals/self", "-c", "service"]),
    ("prod", &["logout", "-c", "prod"]),
    ("prod", &["connections", "remove", "prod", "--yes"]),
];

/// Runs the command while another process holds the lock; `meta.json` is `before` when the command
/// begins, and `after` when it gets the lock.
#[track_caller]
fn run_across_a_change(
    fixture: &Fixture,
    (label, words): (&str, &[&str]),
    before: &str,
    after: &str,
) -> Outcome {
    let meta = fixture.meta(label);
    let lock_file = meta.with_file_name("lock");
    let lock = hold_lock(&fixture.home, label);
    fs::write(&meta, before).unwrap();
    let child = LockWatch::new(&lock_file).start(&fixture.home, words);
    fs::write(&meta, after).unwrap();
    drop(lock);
    Outcome::of(child)
}

#[test]
fn rule_24b_what_is_read_before_the_lock_decides_nothing() {
    let fixture = Fixture::new();
    let (files, moment) = (HomeCopy::of(&fixture.home), fixture.portal.snapshot());
    for (label, words) in COMMANDS {
        let good = fs::read_to_string(fixture.meta(label)).unwrap();
        let bad = fixture.changed(label, &[("portal_url", json!(fixture.elsewhere.url()))]);
        for (before, after) in [(&bad, &good), (&good, &bad)] {
            let said = run_across_a_change(&fixture, (label, words), before, after);
            let place = format!("{words:?}: {} {}", said.code, said.stderr);
            assert_eq!(fixture.elsewhere.connections(), 0, "{place}");
            let ends = words[0] == "logout" || words.contains(&"remove");
            // What the lock shows is right, or the connection is refused.
            let refreshes = words[0] == "refresh";
            match said.code {
                0 => assert!(ends || refreshes && after == &good, "{place}"),
                5 => assert!(said.stderr.contains("nothing was sent"), "{place}"),
                _ => panic!("{place}"),
            }
            files.put_back(&fixture.home);
            fixture.portal.restore(&moment);
        }
    }
    // The same portal receives the secrets as soon as a person chooses it.
    let url = fixture.elsewhere.url();
    let edit = ["connections", "edit", "service", "--portal", &url];
    let words = [&edit[..], &["--client-secret-stdin"]].concat();
    fixture.home.run(words).input(service_secret()).done().ok();
    fixture.home.run(["token", "-c", "service"]).done().ok();
    assert_ne!(fixture.elsewhere.connections(), 0);
}

/// Processes that wait for the lock of a connection that is removed meanwhile.
#[test]
fn a_connection_that_others_wait_for_is_removed() {
    let fixture = Fixture::new();
    let (files, moment) = (HomeCopy::of(&fixture.home), fixture.portal.snapshot());
    for _ in 0..12 {
        let folder = folder_of(&fixture.home, "prod");
        let lock_file = folder.join("lock");
        let lock = hold_lock(&fixture.home, "prod");
        let mut watch = LockWatch::new(&lock_file);
        let mut start = |words: &[&str]| watch.start(&fixture.home, words);
        let remove = start(&["connections", "remove", "prod", "--yes"]);
        let waiting: Vec<_> = (0..4)
            .map(|_| start(&["token", "--force", "-c", "prod"]))
            .collect();
        drop(lock);
        Outcome::of(remove).ok();
        for child in waiting {
            let said = Outcome::of(child);
            assert!(matches!(said.code, 0 | 4), "{} {}", said.code, said.stderr);
        }
        assert!(!folder.exists());
        let said = fixture.home.run(["connections", "list"]).done().ok();
        assert!(said.stderr.is_empty(), "{}", said.stderr);
        files.put_back(&fixture.home);
        fixture.portal.restore(&moment);
    }
}
