//! Two hundred processes on five connections, and everything at once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Endpoint, Fault, Gate, Portal, PortalVersion};
use crate::support::scenario::{add, add_application, expire_token, sign_in};
use crate::support::send_signal;

const CONNECTIONS: [&str; 5] = ["one", "two", "three", "four", "five"];

/// Processes at a time, as many as on a server with nightly tasks for many users.
const PROCESSES: usize = 200;

fn five_connections() -> (Portal, Home) {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    for label in CONNECTIONS {
        add(&home, &portal, label);
        sign_in(&home, &portal, label).ok();
        expire_token(&home, label);
    }
    (portal, home)
}

fn start(home: &Home, words: &[&str]) -> Child {
    let mut child = home.run(words).spawn();
    drop(child.stdin.take());
    child
}

#[test]
fn two_hundred_processes_on_five_expired_connections_cause_five_renewals() {
    let (portal, home) = five_connections();
    let processes: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let label = CONNECTIONS[number % CONNECTIONS.len()];
            (label, start(&home, &["token", "-c", label]))
        })
        .collect();
    let mut answers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (label, child) in processes {
        let token = Outcome::of(child).ok().line().to_owned();
        answers.entry(label).or_default().insert(token);
    }
    for (label, tokens) in answers {
        assert_eq!(tokens.len(), 1, "{label}");
        assert!(tokens
            .iter()
            .all(|token| portal.accepts_access_token(token)));
    }
    assert_eq!(
        portal.requests_to(Endpoint::Refresh).len(),
        CONNECTIONS.len()
    );
    assert_eq!(portal.grants().len(), 2 * CONNECTIONS.len());
}

/// Tokens, sign-ins, renewals, changes and sign-outs at the same time. Each command ends with an
/// allowed exit code, no file is damaged, and no spent refresh token is sent again.
#[test]
fn two_hundred_different_commands_at_once_end_and_damage_nothing() {
    let (portal, home) = five_connections();
    add_application(&home, &portal, "service");
    // The allowed exit codes of each command, in any order.
    let acts: [(&[&str], &[i32]); 12] = [
        (&["token", "-c", "one"], &[0]),
        (&["token", "-c", "two"], &[0]),
        (&["token", "-c", "service"], &[0]),
        (&["token", "-c", "three"], &[0, 4]),
        (&["token", "-c", "four"], &[0, 3]),
        (&["token", "-c", "five"], &[0, 3, 4]),
        (&["refresh", "--all"], &[0, 1, 3, 4]),
        (&["connections", "list", "--json"], &[0]),
        (&["status", "--json"], &[0, 3]),
        (&["token", "--force", "-c", "one"], &[0]),
        (&["connections", "edit", "two", "--tag", "crowd"], &[0]),
        (&["connections", "show", "one", "--json"], &[0]),
    ];
    let mut processes: Vec<(&[&str], &[i32], Child)> = Vec::new();
    for number in 0..PROCESSES {
        let once: Option<(&[&str], &[i32])> = match number {
            60 => Some((&["logout", "-c", "four"], &[0])),
            90 => Some((&["connections", "remove", "five", "--yes"], &[0])),
            120 => Some((&["connections", "rename", "three", "third"], &[0])),
            _ => None,
        };
        let (words, codes) = once.unwrap_or(acts[number % acts.len()]);
        processes.push((words, codes, start(&home, words)));
        if number == 150 {
            sign_in(&home, &portal, "two").ok();
        }
    }
    for (words, codes, child) in processes {
        let said = Outcome::of(child);
        assert!(
            codes.contains(&said.code),
            "{words:?}: {} {}",
            said.code,
            said.stderr
        );
        assert!(
            !said.stderr.contains("damaged"),
            "{words:?}: {}",
            said.stderr
        );
        if words.contains(&"--json") {
            said.json();
        }
    }
    for label in ["one", "two", "third", "service"] {
        let token = home.run(["token", "--force", "-c", label]).done().ok();
        assert!(portal.accepts_access_token(token.line()), "{label}");
    }
    home.run(["token", "-c", "four"]).done().code(3);
    home.run(["token", "-c", "five"]).done().code(4);
    // The sign-ins of two, four and five were revoked; two has a new one.
    assert_eq!(portal.live_refresh_tokens(), 3);
    home.run(["doctor", "--offline", "-c", "one"]).done().ok();
}

/// A stopped process that holds the lock is named by every process that waits for it, and nothing
/// is lost.
#[test]
fn a_stopped_process_that_holds_the_lock_is_named_when_the_wait_ends() {
    let (portal, home) = crate::signed_in();
    let gate = Gate::new();
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::HoldBefore(gate.clone())));
    let holder = start(&home, &["token", "--force"]);
    gate.await_arrivals(1);
    let pid = holder.id().to_string();
    send_signal("STOP", holder.id());
    gate.open();
    let waiting: Vec<_> = (0..8)
        .map(|_| start(&home, &["--timeout", "2s", "token", "--force"]))
        .collect();
    for child in waiting {
        Outcome::of(child).code(8).out("").err_has(&pid);
    }
    // A command that needs no renewal needs no lock.
    home.run(["token"]).done().ok();
    send_signal("CONT", holder.id());
    let token = Outcome::of(holder).ok();
    assert!(portal.accepts_access_token(token.line()));
    home.run(["token", "--force"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), 2);
}
