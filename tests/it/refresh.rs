//! `refresh`: one connection, many at once, and when a sign-in is extended.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use age_oauth::{ConnectionStore, Context};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Endpoint, Fault, Gate, Portal, PortalVersion, SERVICE_ID, USER};
#[cfg(unix)]
use crate::support::pty::Terminal;
use crate::support::scenario::{
    add, add_application, age_sign_in, change_tokens, expire_token, set_token_life, sign_in, stored,
};

fn signed_in(home: &Home, portal: &Portal, labels: &[&str]) {
    for label in labels {
        add(home, portal, label);
        sign_in(home, portal, label).ok();
    }
}

/// The usual night: `refresh --all` finds that a sign-in has ended, then the job starts.
#[test]
fn a_token_of_a_sign_in_that_the_portal_has_ended_is_not_returned() {
    let (portal, home) = crate::signed_in();
    let service = format!("{}/rest/services/A", portal.other_server_url());
    home.run(["token"]).done().ok();
    home.run(["token", "--for", &service]).done().ok();
    portal.revoke_all();
    // Nothing has told the program yet, and the cached token has not expired.
    home.run(["token"]).done().ok();
    home.run(["refresh", "--all"]).done().code(3);
    for words in [
        &["token"][..],
        &["token", "--header"],
        &["token", "--for", &service],
        &["exec", "--", "echo", "started"],
    ] {
        home.run(words).done().code(3).out("");
    }
    let export = home.run(["export-env", "--shell", "bash"]).done().code(3);
    assert!(
        !export.stdout.contains("export ARCGIS_TOKEN"),
        "{}",
        export.stdout
    );
    // Without the portal, the dead token is not a fallback.
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Status(503)));
    home.run(["token"]).done().code(6).out("");
    portal.set(|rules| rules.clear_faults());

    sign_in(&home, &portal, "prod").ok();
    let token = home.run(["token"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
}

/// Deleting a registration ends the tokens that were given out for it, as ending a sign-in does.
#[test]
fn a_token_of_a_registration_that_the_portal_has_deleted_is_not_returned() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["user"]);
    add_application(&home, &portal, "service");
    let apps = portal.set(|rules| rules.apps.clone());
    for label in ["user", "service"] {
        home.run(["token", "-c", label]).done().ok();
        let renew = ["token", "--force", "-c", label];
        // What may pass ends nothing, and neither does a client secret that was reset.
        portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Status(503)));
        portal.set(|rules| rules.fault_always(Endpoint::AppToken, Fault::Status(503)));
        home.run(renew).done().code(6);
        portal.set(|rules| rules.clear_faults());
        home.run(["token", "-c", label]).done().ok();
        if label == "service" {
            portal.set(|rules| rules.app_mut(SERVICE_ID).secret.push('x'));
            home.run(renew).done().code(7);
            home.run(["token", "-c", label]).done().ok();
        }
        portal.set(|rules| rules.apps.clear());
        home.run(renew)
            .done()
            .code(7)
            .err_has("does not know this client ID");
        for words in [
            &["token", "-c", label][..],
            &["exec", "-c", label, "--", "echo", "started"],
        ] {
            home.run(words).done().code(7).out("");
        }
        // Without the portal, the dead token is not a fallback.
        portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Status(503)));
        portal.set(|rules| rules.fault_always(Endpoint::AppToken, Fault::Status(503)));
        home.run(["token", "-c", label]).done().code(6).out("");
        portal.set(|rules| rules.clear_faults());
        // Registered again, its tokens are good without a sign-in.
        portal.set(|rules| rules.apps.clone_from(&apps));
        home.run(["token", "-c", label]).done().ok();
        let before = portal.requests().len();
        home.run(["token", "-c", label]).done().ok();
        assert_eq!(portal.requests().len(), before);
    }
}

#[test]
fn of_five_connections_with_one_revoked_four_are_renewed() {
    let (alive, dead) = (
        Portal::start(PortalVersion::Enterprise114),
        Portal::start(PortalVersion::Enterprise114),
    );
    let home = home();
    signed_in(&home, &alive, &["one", "two", "three", "four"]);
    signed_in(&home, &dead, &["Old Portal"]);
    dead.revoke_all();
    let out = home.run(["refresh", "--all"]).done().code(3);
    for label in ["one", "two", "three", "four"] {
        let line = format!("[OK] {label}: renewed; signed in until ");
        assert_eq!(out.stdout.matches(&line).count(), 1, "{}", out.stdout);
    }
    assert_eq!(
        out.stdout.lines().last(),
        Some("4 of 5 renewed, 0 extended; failed: Old Portal")
    );
    let out = out.err_has("no longer accepts the sign-in");
    out.err_has("hint: age-oauth login -c \"Old Portal\"");
    assert_eq!(alive.requests_to(Endpoint::Refresh).len(), 4);
    // A revoked sign-in is known from now on without another request.
    home.run(["status", "--check"])
        .done()
        .code(3)
        .err_has("age-oauth login -c \"Old Portal\"");
}

/// The output that `docs/nightly.md` shows, except for the dates. Connections are renewed at the
/// same time, so that their order differs.
#[test]
fn the_output_on_the_page_is_that_of_three_connections() {
    let (alive, dead) = (
        Portal::start(PortalVersion::Enterprise114),
        Portal::start(PortalVersion::Enterprise114),
    );
    let home = home();
    signed_in(&home, &alive, &["prod", "test"]);
    signed_in(&home, &dead, &["old"]);
    age_sign_in(&home, "prod", 6);
    expire_token(&home, "prod");
    dead.revoke_all();
    let out = home.run(["refresh", "--all"]).done().code(3);
    let page = include_str!("../../docs/nightly.md").replace("\r\n", "\n");
    let (_, rest) = page.split_once("```\n[OK] ").unwrap();
    let documented = format!("[OK] {}", rest.split("```").next().unwrap());
    let without_dates = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split(" until ").next());
        let mut lines: Vec<_> = lines.map(|line| line.unwrap().to_owned()).collect();
        lines.sort();
        lines
    };
    let (errors, answers): (Vec<_>, Vec<_>) = without_dates(&documented)
        .into_iter()
        .partition(|line| line.starts_with("error: ") || line.starts_with("hint: "));
    assert_eq!(without_dates(&out.stdout), answers);
    assert_eq!(without_dates(&out.stderr), errors);
}

#[test]
fn one_connection_is_renewed_although_its_token_is_valid() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    let before = home.run(["token"]).done().ok();
    let out = home.run(["refresh"]).done().ok();
    assert!(
        out.stdout
            .starts_with("[OK] prod: renewed; signed in until "),
        "{}",
        out.stdout
    );
    assert_ne!(home.run(["token"]).done().ok().stdout, before.stdout);
    let json = home.run(["refresh", "--json"]).done().ok().json();
    assert_eq!(json["decision"], "renewed");
    assert_eq!(json["username"], USER);
    assert_eq!(json["format_version"], 1);
}

#[test]
fn applications_and_users_are_renewed_together() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    add_application(&home, &portal, "service");
    let out = home.run(["refresh", "--all", "--now"]).done().ok();
    assert!(out.stdout.contains("[OK] service: renewed; token until "));
    assert!(out.stdout.contains("[OK] prod: extended; signed in until "));
    let lines: Vec<_> = home
        .run(["refresh", "--all", "--json"])
        .done()
        .ok()
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().any(|line| line["auth_type"] == "app"));
}

#[test]
fn past_half_of_its_life_a_sign_in_is_extended_once_no_token_is_in_use() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    age_sign_in(&home, "prod", 6);
    let token = home.run(["token"]).done().ok();
    let before = portal.requests_to(Endpoint::Token).len();
    // A token is in use: no request is sent, and the end of its life is too far away to wait for.
    for arguments in [&["refresh"][..], &["refresh", "--wait", "1m"]] {
        let out = home.run(arguments).done().ok();
        assert!(
            out.stdout.starts_with("[OK] prod: still valid; "),
            "{}",
            out.stdout
        );
        assert!(
            out.stdout.contains("can be extended from"),
            "{}",
            out.stdout
        );
    }
    let all = home.run(["refresh", "--all", "--wait", "1s"]).done().ok();
    assert_eq!(
        all.stdout.lines().last(),
        Some("1 of 1 renewed, 0 extended, 1 to be extended later")
    );
    assert_eq!(portal.requests_to(Endpoint::Token).len(), before);
    assert!(portal.accepts_access_token(token.line()));
    expire_token(&home, "prod");
    let out = home.run(["refresh"]).done().ok();
    assert!(
        out.stdout.starts_with("[OK] prod: extended; "),
        "{}",
        out.stdout
    );
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1);
    home.run(["refresh"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1);
}

#[test]
fn wait_waits_until_no_token_is_in_use_reports_it_and_holds_no_lock() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    age_sign_in(&home, "prod", 6);
    // In its last minute a token counts as expired, so that the wait takes 15 seconds less the time
    // that the program takes to start.
    set_token_life(&home, "prod", 75);
    let mut child = home.run(["refresh", "--wait", "5m"]).spawn();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(
        said.contains("waiting until") && said.contains("`prod`"),
        "{said}"
    );
    let store = ConnectionStore::open(home.store());
    let (lock, _) = store
        .lock(&stored(&home, "prod"), Duration::ZERO, &Context::process())
        .expect("no process holds the lock");
    drop(lock);
    child.stderr = Some(stderr.into_inner());
    let out = Outcome::of(child).ok();
    assert!(
        out.stdout.starts_with("[OK] prod: extended; "),
        "{}",
        out.stdout
    );
    assert_eq!(portal.grants().last().unwrap(), "exchange_refresh_token");
}

#[test]
fn connections_that_wait_do_not_delay_the_others() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["a waits", "b", "c"]);
    age_sign_in(&home, "a waits", 6);
    set_token_life(&home, "a waits", 75);
    let out = home.run(["refresh", "--all", "--wait", "5m"]).done().ok();
    let lines: Vec<_> = out.stdout.lines().collect();
    assert!(
        lines[2].starts_with("[OK] a waits: extended; "),
        "{lines:?}"
    );
    assert_eq!(lines[3], "3 of 3 renewed, 1 extended");
}

#[test]
fn now_extends_at_once_and_names_the_tokens_that_it_ends() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    let token = home.run(["token"]).done().ok();
    let out = home.run(["refresh", "--now"]).done().ok();
    assert!(
        out.stdout.starts_with("[OK] prod: extended; "),
        "{}",
        out.stdout
    );
    out.err_has("are no longer valid");
    assert!(!portal.accepts_access_token(token.line()));
    let next = home.run(["token"]).done().ok();
    assert!(portal.accepts_access_token(next.line()));
    // Without a live token, none is ended.
    expire_token(&home, "prod");
    let out = home.run(["refresh", "--now"]).done().ok();
    assert_eq!(out.stderr, "");
}

#[test]
fn now_is_an_error_where_the_portal_does_not_extend() {
    let portal = Portal::start(PortalVersion::Enterprise105);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    home.run(["refresh", "--now"])
        .done()
        .code(7)
        .out("")
        .err_has("did not extend the sign-in");
    home.run(["token"]).done().ok();
    // A portal that supports exchange after an upgrade is asked again.
    portal.set(|rules| rules.exchange = true);
    let out = home.run(["refresh", "--now"]).done().ok();
    assert!(
        out.stdout.starts_with("[OK] prod: extended; "),
        "{}",
        out.stdout
    );
    let status = home.run(["status", "--json"]).done().ok().json();
    assert_eq!(status[0]["extendable"], true);
}

#[test]
fn now_extends_again_after_a_lost_response() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["prod"]);
    change_tokens(&home, "prod", |tokens| tokens.exchange_started = true);
    let out = home.run(["refresh", "--now"]).done().ok();
    assert!(
        out.stdout.starts_with("[OK] prod: extended; "),
        "{}",
        out.stdout
    );
    let last: Vec<_> = portal.grants().into_iter().skip(1).collect();
    assert_eq!(last, ["refresh_token", "exchange_refresh_token"]);
}

#[test]
fn portals_are_asked_concurrently() {
    let portals = [(); 3].map(|()| Portal::start(PortalVersion::Enterprise114));
    let home = home();
    let gate = Gate::new();
    for (number, portal) in portals.iter().enumerate() {
        signed_in(&home, portal, &[&format!("portal {number}")]);
        portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::HoldBefore(gate.clone())));
    }
    let child = home.run(["refresh", "--all"]).spawn();
    // Each portal has its request before any has answered.
    gate.await_arrivals(portals.len());
    gate.open();
    let out = Outcome::of(child).ok();
    assert_eq!(
        out.stdout.lines().last(),
        Some("3 of 3 renewed, 0 extended")
    );
}

#[test]
fn of_several_failures_the_worst_decides_the_exit_code() {
    let (away, alive) = (
        Portal::start(PortalVersion::Enterprise114),
        Portal::start(PortalVersion::Enterprise114),
    );
    let home = home();
    signed_in(&home, &alive, &["good", "broken"]);
    let folder = home
        .store()
        .join("connections")
        .join(stored(&home, "broken").id.as_str());
    std::fs::write(folder.join("meta.json"), "{").unwrap();
    let out = home.run(["refresh", "--all"]).done().code(1);
    assert!(out.stdout.contains("1 of 2 renewed"), "{}", out.stdout);
    signed_in(&home, &away, &["away"]);
    away.stop();
    let out = home.run(["refresh", "--all"]).done().code(6);
    assert!(out.stdout.contains("1 of 3 renewed"), "{}", out.stdout);
    add(&home, &alive, "never");
    let out = home.run(["refresh", "--all"]).done().code(3);
    assert!(out.stdout.contains("1 of 4 renewed"), "{}", out.stdout);
    out.err_has("age-oauth login -c never");
    assert_eq!(
        std::fs::read_to_string(folder.join("meta.json")).unwrap(),
        "{"
    );
}

/// It may be signed in still.
#[test]
fn a_connection_that_cannot_be_read_is_not_said_to_be_signed_out() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    signed_in(&home, &portal, &["good", "broken"]);
    let meta = home
        .store()
        .join("connections")
        .join(stored(&home, "broken").id.as_str())
        .join("meta.json");
    let whole = std::fs::read_to_string(&meta).unwrap();
    std::fs::write(&meta, "{").unwrap();
    let out = home.run(["logout", "--all"]).done().code(1);
    assert!(out.stdout.contains("Signed out of good"), "{}", out.stdout);
    out.err_has("meta.json");
    std::fs::write(&meta, whole).unwrap();
    home.run(["token", "-c", "broken"]).done().ok();
    home.run(["token", "-c", "good"]).done().code(3);
    home.run(["logout", "--all"]).done().ok();
    assert_eq!(portal.live_refresh_tokens(), 0);
}

#[test]
fn wrong_usage_is_reported() {
    let home = home();
    home.run(["refresh", "--all"])
        .done()
        .code(4)
        .err_has("age-oauth connections add");
    home.run(["refresh", "--all", "-c", "prod"]).done().code(2);
    home.run(["refresh", "--now", "--wait", "5m"])
        .done()
        .code(2);
    home.run(["refresh", "--wait", "soon"]).done().code(2);
}

#[cfg(unix)]
#[test]
fn a_terminal_shows_progress_and_the_result_stays_complete() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let labels = ["one", "two", "three"];
    signed_in(&home, &portal, &labels);
    let gate = Gate::new();
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::HoldBefore(gate.clone())));
    let mut terminal = Terminal::start(&home, &["refresh", "--all"]);
    terminal.expect("of 3");
    gate.open();
    terminal.expect("3 of 3 renewed, 0 extended");
    assert_eq!(terminal.end(), 0);
    let screen = terminal.screen();
    for label in labels {
        let line = format!("[OK] {label}: renewed; signed in until ");
        assert!(
            screen.lines().any(|found| found.starts_with(&line)),
            "{screen}"
        );
    }
    assert_eq!(screen.trim().lines().count(), 4, "{screen}");
}
