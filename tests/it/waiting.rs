//! Files that change, and connections that go, while processes wait for the renewal lock. What is
//! read under the lock decides; what was read before it does not.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use age_oauth::{ConnectionStore, Context, RenewalLock};
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

/// Whether the process has the file open, and so waits for its lock.
fn has_open(child: &Child, path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", child.id())) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
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
    let mut child = fixture.home.run(words).spawn();
    drop(child.stdin.take());
    until(|| has_open(&child, &lock_file) || child.try_wait().unwrap().is_some());
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
        let start = |words: &[&str]| {
            let mut child = fixture.home.run(words).spawn();
            drop(child.stdin.take());
            child
        };
        let remove = start(&["connections", "remove", "prod", "--yes"]);
        let waiting: Vec<_> = (0..4)
            .map(|_| start(&["token", "--force", "-c", "prod"]))
            .collect();
        until(|| {
            has_open(&remove, &lock_file) && waiting.iter().all(|one| has_open(one, &lock_file))
        });
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
