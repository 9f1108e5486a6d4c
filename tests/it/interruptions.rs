//! Ctrl-C and signals while the portal is asked for something that must not be lost: the answer is
//! waited for, and stored or revoked.

use crate::signed_in;
use crate::support::home::Home;
use crate::support::invariants::{stored_refresh_token, stored_tokens};
use crate::support::portal::{Endpoint, Fault, Gate, Portal, PortalVersion, USER};
use crate::support::pty::Terminal;
use crate::support::scenario::{add, age_sign_in, expire_token};
use crate::support::until;

const WAITS: &str = "Waiting for the portal's answer";

/// How the program is ended, and with which exit code. A signal of its own ends it after that.
const ENDS: [(&str, u32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// Holds the portal's answer to a request that it has processed.
fn hold(portal: &Portal, endpoint: Endpoint) -> Gate {
    let gate = Gate::new();
    portal.set(|rules| rules.fault(endpoint, Fault::HoldAfter(gate.clone())));
    gate
}

fn interrupt(terminal: &mut Terminal, gate: &Gate, (signal, code): (&str, u32)) {
    gate.await_arrivals(1);
    terminal.signal(signal);
    terminal.expect(WAITS);
    gate.open();
    let ended = terminal.end();
    // A terminal reports the end by a signal as 1.
    assert!(ended == code || ended == 1, "{signal}: {ended}");
}

fn start_login(home: &Home, portal: &Portal) -> Terminal {
    let mut terminal = Terminal::start(home, &["login", "--no-browser"]);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, USER).code());
    terminal
}

#[test]
fn a_sign_in_that_is_interrupted_while_its_code_is_exchanged_is_revoked() {
    for end in ENDS {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = crate::home();
        add(&home, &portal, "prod");
        let gate = hold(&portal, Endpoint::Code);
        let mut terminal = start_login(&home, &portal);
        interrupt(&mut terminal, &gate, end);
        assert_eq!(portal.requests_to(Endpoint::Revoke).len(), 1, "{end:?}");
        assert_eq!(portal.live_refresh_tokens(), 0, "{end:?}");
        home.run(["token"]).done().code(3);
    }
}

#[test]
fn an_extension_that_is_interrupted_is_stored() {
    for end in ENDS {
        let (portal, home) = signed_in();
        let gate = hold(&portal, Endpoint::Exchange);
        let mut terminal = Terminal::start(&home, &["refresh", "--now"]);
        interrupt(&mut terminal, &gate, end);
        assert_eq!(portal.live_refresh_tokens(), 1, "{end:?}");
        // The new refresh token is stored: nothing is to find out, and no person is needed.
        home.run(["token", "--force"]).done().ok();
        assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1, "{end:?}");
        assert_eq!(portal.requests_to(Endpoint::Revoke).len(), 0, "{end:?}");
    }
}

/// As with `nohup`, or `&` in a script.
#[cfg(target_os = "linux")]
#[test]
fn signals_that_are_ignored_from_the_start_stay_ignored() {
    let (portal, mut home) = signed_in();
    home.start_by(&["sh", "-c", r#"trap '' INT HUP; exec "$@""#, "sh"]);
    let gate = hold(&portal, Endpoint::Exchange);
    let child = home.run(["refresh", "--now", "-c", "prod"]).spawn();
    gate.await_arrivals(1);
    crate::support::send_signal("INT", child.id());
    crate::support::send_signal("HUP", child.id());
    gate.open();
    let said = crate::support::home::Outcome::of(child).ok();
    assert!(said.stdout.contains("extended"), "{}", said.stdout);
    assert!(!said.stderr.contains(WAITS), "{}", said.stderr);
}

#[test]
fn an_extension_that_a_kill_ends_before_it_is_sent_is_made_up_for_by_the_next_run() {
    let (portal, home) = signed_in();
    age_sign_in(&home, "prod", 6);
    expire_token(&home, "prod");
    let old = stored_refresh_token(&home, "prod").unwrap();
    portal.take_requests();
    // The mark is stored before the program connects.
    portal.set(|rules| rules.fault(Endpoint::Handshake, Fault::Silence));
    let before = portal.connections();
    let mut child = home.run(["refresh", "-c", "prod"]).spawn();
    until(|| portal.connections() > before);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stored_tokens(&home, "prod").unwrap().exchange_started);
    assert!(portal.requests().is_empty());
    // A sign-in of two days would have ended before the next night.
    let said = home.run(["refresh", "-c", "prod"]).done().ok().stderr;
    assert!(said.contains("the sign-in is still valid"), "{said}");
    let asked = |endpoint| portal.requests_to(endpoint).len();
    assert_eq!(
        (asked(Endpoint::Refresh), asked(Endpoint::Exchange)),
        (1, 1)
    );
    assert_ne!(stored_refresh_token(&home, "prod").unwrap(), old);
    let token = home.run(["token", "-c", "prod"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    for (signal, code) in ENDS {
        let (portal, home) = signed_in();
        let gate = hold(&portal, Endpoint::ItemData);
        let folder = home.path().join("downloads");
        std::fs::create_dir(&folder).unwrap();
        let count = || std::fs::read_dir(&folder).unwrap().count();
        let target = folder.join("data.bin");
        let arguments = [
            "api",
            "content/items/1/data",
            "-o",
            target.to_str().unwrap(),
        ];
        let mut terminal = Terminal::start(&home, &arguments);
        gate.await_arrivals(1);
        assert_eq!(count(), 1, "the content waits beside its place");
        terminal.signal(signal);
        let ended = terminal.end();
        // A terminal reports the end by a signal as 1.
        assert!(ended == code || ended == 1, "{signal}: {ended}");
        assert_eq!(count(), 0, "{signal}");
        gate.open();
    }
}

#[test]
fn an_interrupted_refresh_of_all_stores_every_extension_that_was_sent() {
    let (portal, home) = signed_in();
    let other = Portal::start(PortalVersion::Enterprise114);
    add(&home, &other, "other");
    crate::support::scenario::sign_in(&home, &other, "other").ok();
    let gate = hold(&portal, Endpoint::Exchange);
    let held_by_other = hold(&other, Endpoint::Exchange);
    let mut terminal = Terminal::start(&home, &["refresh", "--all", "--now"]);
    gate.await_arrivals(1);
    held_by_other.await_arrivals(1);
    terminal.signal("INT").expect(WAITS);
    gate.open();
    held_by_other.open();
    assert_eq!(terminal.end(), 130);
    for label in ["prod", "other"] {
        home.run(["token", "--force", "-c", label]).done().ok();
    }
}
