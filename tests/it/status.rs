//! `status`: what is known without a request, and whether it is in order.

use std::fs;

use serde_json::Value;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, USER};
use crate::support::scenario::{add, age_sign_in, expire_token, folder_of, sign_in};

fn meta_of(home: &Home, label: &str) -> std::path::PathBuf {
    folder_of(home, label).join("meta.json")
}

fn change_meta(home: &Home, label: &str, name: &str, value: Value) {
    let path = meta_of(home, label);
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta[name] = value;
    fs::write(&path, meta.to_string()).unwrap();
}

fn in_days(days: i64) -> Value {
    jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_hours(24 * days))
        .unwrap()
        .to_string()
        .into()
}

fn one(home: &Home) -> Value {
    home.run(["status", "--json"]).done().ok().json()[0].clone()
}

#[test]
fn status_shows_who_is_signed_in_until_when_without_a_request() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    add(&home, &portal, "test");
    sign_in(&home, &portal, "prod").ok();
    // Neither portal nor keychain is needed.
    portal.stop();
    fs::write(home.store().join("vault"), "no vault").unwrap();
    let out = home.run(["status"]).done().ok();
    assert!(out.stdout.starts_with("   LABEL"), "{}", out.stdout);
    let row = |label: &str| {
        let mut rows = out.stdout.lines().filter(|line| line.contains(label));
        rows.next().unwrap().to_owned()
    };
    assert!(row("prod").starts_with("*  prod"), "{}", out.stdout);
    assert!(row("prod").contains(USER) && row("prod").contains("UTC (in 90d)"));
    assert!(row("prod").contains("in 30m"), "{}", out.stdout);
    assert!(row("test").contains(" no "), "{}", out.stdout);
    assert!(out.stdout.contains("age-oauth login -c test"));
    let all = home.run(["status", "--json"]).done().ok().json();
    assert_eq!(all[0]["connection"], "prod");
    assert_eq!(all[0]["sign_in"], "good");
    assert_eq!(all[0]["username"], USER);
    assert_eq!(all[0]["default"], true);
    assert_eq!(all[0]["secret_stored"], Value::Null);
    assert_eq!(all[1]["sign_in"], "missing");
    assert_eq!(all[1]["format_version"], 1);
    let only = home.run(["status", "--json", "-c", "test"]).done().ok();
    assert_eq!(only.json().as_array().unwrap().len(), 1);
}

#[test]
fn check_ends_with_3_where_a_sign_in_is_missing_ended_or_ends_soon() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    home.run(["status", "--check"])
        .done()
        .code(3)
        .err_has("hint: age-oauth login -c prod");
    sign_in(&home, &portal, "prod").ok();
    let well = home.run(["status", "--check"]).done().ok();
    let good = "[OK] 1 connection is good; the first sign-in to expire is that of prod: ";
    assert!(well.stdout.starts_with(good), "{}", well.stdout);
    assert_eq!(well.stderr, "");
    home.run(["status", "--check", "--within", "91d"])
        .done()
        .code(3)
        .out("Attention needed for 1 of 1 connection: prod\n")
        .err_has("the sign-in of `prod` expires ");
    change_meta(&home, "prod", "refresh_expires_at", in_days(2));
    home.run(["status", "--check", "--within", "1d"])
        .done()
        .ok();
    // Past half of its life it can be extended, so that no sign-in is needed.
    home.run(["status", "--check"])
        .done()
        .code(3)
        .err_has("hint: age-oauth login -c prod");
    change_meta(&home, "prod", "refresh_issued_at", in_days(-80));
    home.run(["status", "--check"])
        .done()
        .code(3)
        .err_has("hint: age-oauth refresh -c prod");
    change_meta(&home, "prod", "refresh_expires_at", in_days(-1));
    let out = home.run(["status", "--check", "--json"]).done().code(3);
    assert_eq!(out.json()[0]["sign_in"], "ended");
    assert_eq!(out.error_json()["error"]["kind"], "sign_in_needed");
    assert_eq!(out.error_json()["error"]["hint"], "age-oauth login -c prod");
}

#[test]
fn check_fails_where_the_state_is_unknown() {
    let home = home();
    home.run(["status"]).done().ok().out("");
    home.run(["status", "--json"]).done().ok().out("[]\n");
    home.run(["status", "--check"]).done().code(4);
    home.run(["status", "--within", "soon"]).done().code(2);
    let portal = Portal::start(PortalVersion::Enterprise114);
    for label in ["broken", "good"] {
        add(&home, &portal, label);
        sign_in(&home, &portal, label).ok();
    }
    let broken = meta_of(&home, "broken");
    for damage in [
        "",
        "{",
        "[]",
        "{\"schema_version\":99}",
        "{\"schema_version\":2}",
    ] {
        fs::write(&broken, damage).unwrap();
        let out = home.run(["status"]).done().ok().err_has("warning: ");
        assert!(out.stdout.contains("good"), "{}", out.stdout);
        let all = home.run(["status", "--json"]).done().ok().json();
        assert_eq!(all.as_array().unwrap().len(), 1);
        home.run(["status", "--check"]).done().code(1);
        assert_eq!(fs::read_to_string(&broken).unwrap(), damage);
    }
}

#[test]
fn status_reads_the_keychain_only_on_request() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let asked = |more: &[&str]| {
        let mut arguments = vec!["status", "--check", "--keychain", "--json"];
        arguments.extend(more);
        home.run(arguments).done()
    };
    assert_eq!(asked(&[]).ok().json()[0]["secret_stored"], true);
    // The tokens are gone, and meta.json does not know.
    let vault = fs::read(home.store().join("vault")).unwrap();
    let meta = fs::read(meta_of(&home, "prod")).unwrap();
    home.run(["logout", "--keep-remote"]).done().ok();
    fs::write(meta_of(&home, "prod"), &meta).unwrap();
    home.run(["status", "--check"]).done().ok();
    let out = asked(&[]).code(3);
    assert_eq!(out.json()[0]["sign_in"], "gone");
    assert_eq!(out.json()[0]["secret_stored"], false);
    // A keychain that cannot be read says nothing about the sign-in.
    fs::write(home.store().join("vault"), "no vault").unwrap();
    let out = asked(&[]).code(5);
    assert_eq!(out.json()[0]["sign_in"], "good");
    assert!(out.json()[0]["keychain_reason"].is_string());
    fs::write(home.store().join("vault"), vault).unwrap();
    asked(&["-c", "prod"]).ok();
}

#[test]
fn the_last_failure_is_shown_although_later_renewals_worked() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(one(&home)["last_failure"], Value::Null);
    expire_token(&home, "prod");
    portal.stop();
    home.run(["token"]).done().code(6);
    let what = one(&home)["last_failure"].as_str().unwrap().to_owned();
    assert!(what.contains("cannot connect"), "{what}");
    assert!(one(&home)["last_failure_at"].is_string());
    let out = home.run(["status"]).done().ok();
    assert!(out.stdout.contains(&what), "{}", out.stdout);
    assert!(!out.stdout.contains("renewed since"), "{}", out.stdout);
    portal.start_again();
    change_meta(
        &home,
        "prod",
        "last_failure",
        format!("{} {what}", in_days(-1).as_str().unwrap()).into(),
    );
    home.run(["token"]).done().ok();
    assert_eq!(one(&home)["last_failure"], what);
    let out = home.run(["status"]).done().ok();
    assert!(out.stdout.contains("renewed since"), "{}", out.stdout);
    // An old failure is only history; a new sign-in starts without it.
    change_meta(
        &home,
        "prod",
        "last_failure",
        "2020-01-01T00:00:00Z the portal slept".into(),
    );
    let out = home.run(["status"]).done().ok();
    assert!(!out.stdout.contains("slept"), "{}", out.stdout);
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(one(&home)["last_failure"], Value::Null);
}

#[test]
fn a_failure_of_the_keychain_is_recorded() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let vault = fs::read(home.store().join("vault")).unwrap();
    fs::write(home.store().join("vault"), "no vault").unwrap();
    for arguments in [["token", "-q"], ["refresh", "-q"]] {
        change_meta(&home, "prod", "last_failure", Value::Null);
        home.run(arguments).done().code(5);
        let what = one(&home)["last_failure"].as_str().unwrap().to_owned();
        assert!(what.contains("vault"), "{what}");
    }
    fs::write(home.store().join("vault"), vault).unwrap();
    home.run(["token"]).done().ok();
}

#[test]
fn a_sign_in_that_the_portal_ended_is_shown_as_ended() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    expire_token(&home, "prod");
    portal.revoke_all();
    home.run(["token"]).done().code(3);
    assert_eq!(one(&home)["sign_in"], "ended");
    assert!(one(&home)["last_failure"]
        .as_str()
        .unwrap()
        .contains("no longer accepts"));
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(one(&home)["sign_in"], "good");
}

#[test]
fn a_variable_that_overrides_the_default_is_shown() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    add(&home, &portal, "test");
    let with = |value: &str, arguments: &[&str]| {
        let run = home.run(arguments).env("AGE_OAUTH_CONNECTION", value);
        run.done().ok().stderr
    };
    for arguments in [&["status"][..], &["connections", "use", "prod"]] {
        for other in ["test", "nobody"] {
            let said = with(other, arguments);
            assert!(said.contains("AGE_OAUTH_CONNECTION"), "{said}");
        }
        assert_eq!(with("prod", arguments), "");
    }
}

#[test]
fn the_end_of_a_sign_in_that_cannot_be_extended_is_reported_at_every_renewal() {
    let portal = Portal::start(PortalVersion::Enterprise105);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    expire_token(&home, "prod");
    age_sign_in(&home, "prod", 9);
    for _ in 0..2 {
        home.run(["token", "--force"])
            .done()
            .ok()
            .err_has("age-oauth login -c prod");
    }
    // A cached token is not a renewal, and there is no terminal.
    assert_eq!(home.run(["token"]).done().ok().stderr, "");
    home.run(["status", "--check"])
        .done()
        .code(3)
        .err_has("hint: age-oauth login -c prod");
}

#[test]
fn rule_28_control_characters_from_files_are_made_visible() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    change_meta(&home, "prod", "username", "\u{1b}[2J\r\nroot".into());
    change_meta(&home, "prod", "last_failure", "\u{1b}]8;;x\u{7} y".into());
    let out = home.run(["status"]).done().ok();
    assert!(!out.stdout.contains(['\u{1b}', '\u{7}', '\r']), "{out:?}");
}

#[cfg(unix)]
#[test]
fn on_a_terminal_every_command_reports_a_sign_in_that_ends_and_cannot_be_extended() {
    use crate::support::pty::Terminal;
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    change_meta(&home, "prod", "refresh_expires_at", in_days(2));
    let said = |arguments: &[&str]| {
        let mut terminal = Terminal::start(&home, arguments);
        assert_eq!(terminal.end(), 0);
        terminal.screen().contains("age-oauth login -c prod")
    };
    // A sign-in that the portal extends causes no warning.
    assert!(!said(&["token"]));
    change_meta(&home, "prod", "extendable", false.into());
    for arguments in [
        &["token"][..],
        &["whoami"],
        &["whoami", "--offline"],
        &["connections", "list"],
        &["connections", "show", "prod"],
        &["connections", "use", "prod"],
        &["status"],
        &[],
    ] {
        assert!(said(arguments), "{arguments:?}");
    }
    assert!(!said(&["token", "-q"]));
    change_meta(&home, "prod", "refresh_expires_at", in_days(4));
    assert!(!said(&["token"]));
}
