//! `AGE_OAUTH_LOG`: what is written, also by many processes at once, and what happens if writing
//! fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Portal, PortalVersion, USER};
use crate::support::scenario::{add, expire_token, set_token_life, sign_in, sign_in_as, stored};

const FULL: u64 = 10_000_000;

fn logged(portal: &Portal) -> (Home, PathBuf) {
    let mut home = home();
    add(&home, portal, "prod");
    let log = home.path().join("night.log");
    home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
    (home, log)
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

fn decisions(log: &Path) -> Vec<String> {
    lines(log)
        .iter()
        .map(|line| line["decision"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_line_of_the_page_has_the_fields_of_a_real_one() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    sign_in(&home, &portal, "prod").ok();
    expire_token(&home, "prod");
    portal.stop();
    home.run(["token"]).done().code(6);
    let page = include_str!("../../docs/nightly.md");
    let example = page.lines().find(|line| line.starts_with("{\"time\":"));
    let example: Value = serde_json::from_str(example.unwrap()).unwrap();
    let real = lines(&log).pop().unwrap();
    let fields =
        |line: &Value| -> Vec<String> { line.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(fields(&example), fields(&real), "{real}");
    for field in ["command", "connection", "decision", "code"] {
        assert_eq!(example[field], real[field], "{real}");
    }
}

#[test]
fn each_decision_is_one_line_of_the_log() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    home.run(["whoami"]).done().code(3);
    sign_in(&home, &portal, "prod").ok();
    home.run(["token"]).done().ok();
    home.run(["token", "--force"]).done().ok();
    home.run(["refresh", "--now"]).done().ok();
    expire_token(&home, "prod");
    portal.stop();
    home.run(["export-env", "--shell", "bash"]).done().code(6);
    portal.start_again();
    home.run(["logout"]).done().ok();
    home.run(["token", "-c", "nobody"]).done().code(4);
    // Reading the state is not a decision.
    home.run(["status"]).done().ok();
    home.run(["connections", "list"]).done().ok();
    assert_eq!(
        decisions(&log),
        [
            "sign_in_needed",
            "signed_in",
            "cached",
            "renewed",
            "extended",
            "unreachable",
            "signed_out",
            "no_connection",
        ]
    );
    let all = lines(&log);
    let id = stored(&home, "prod").id.to_string();
    for line in &all[..7] {
        assert_eq!(line["connection"], "prod");
        assert_eq!(line["id"], *id);
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
        assert!(line["pid"].is_u64() && line["duration_ms"].is_u64());
        assert!(line["parent"].is_string(), "{line}");
    }
    let codes: Vec<_> = all
        .iter()
        .map(|line| line["code"].as_u64().unwrap())
        .collect();
    assert_eq!(codes, [3, 0, 0, 0, 0, 6, 0, 4]);
    assert_eq!(all[0]["command"], "whoami");
    assert_eq!(all[0]["hint"], "age-oauth login -c prod");
    assert_eq!(all[5]["command"], "export-env");
    assert!(all[5]["message"]
        .as_str()
        .unwrap()
        .contains("cannot connect"));
    assert!(all[4]["warnings"][0]
        .as_str()
        .unwrap()
        .contains("no longer valid"));
    assert_eq!(all[7]["connection"], Value::Null);
}

#[test]
fn rule_26_the_log_holds_no_secret_and_is_private_to_its_owner() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    sign_in_as(&home, &portal, "prod", USER, &["-vv"]).ok();
    home.run(["token", "--force", "-vv"]).done().ok();
    home.run(["token", "--client-secret", "canary-secret"])
        .done()
        .code(2);
    let text = fs::read(&log).unwrap();
    portal.assert_no_secret("the log", &text);
    assert!(!String::from_utf8(text).unwrap().contains("canary"));
    assert_eq!(decisions(&log).last().unwrap(), "usage");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&log).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn a_fallback_is_logged_with_its_reason() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    sign_in(&home, &portal, "prod").ok();
    // Less than `export-env` wants, and longer than any test takes.
    set_token_life(&home, "prod", 1200);
    portal.stop();
    home.run(["export-env", "--shell", "json"]).done().ok();
    let all = lines(&log);
    let last = all.last().unwrap();
    assert_eq!(last["decision"], "fallback");
    assert_eq!(last["code"], 0);
    let why = last["warnings"][0].as_str().unwrap();
    assert!(why.contains("cannot be reached"), "{why}");
}

/// Windows PowerShell ends a script at the first line on standard error, if that is redirected.
#[test]
fn quiet_writes_nothing_to_standard_error_unless_it_fails_and_the_log_has_the_warning() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    sign_in(&home, &portal, "prod").ok();
    // Every command warns of it.
    let unverified = ["connections", "edit", "prod", "--verify-ssl", "false"];
    home.run(unverified).done().ok();
    // Less than `export-env` wants, and longer than any test takes.
    set_token_life(&home, "prod", 1200);
    portal.stop();
    for words in [
        &["token"][..],
        &["token", "--json"],
        &["token", "--header"],
        &["export-env", "--shell", "json"],
        &["status"],
        &["status", "--json"],
        &["connections", "list"],
    ] {
        let loud = home.run(words).done().ok();
        let quiet = home.run(words.iter().chain(&["--quiet"])).done().ok();
        assert_eq!(quiet.stderr, "", "{words:?}");
        assert_eq!(quiet.stdout.is_empty(), loud.stdout.is_empty(), "{words:?}");
        if ["token", "export-env"].contains(&words[0]) {
            assert!(loud.stderr.contains("is not verified"), "{}", loud.stderr);
        }
        if words[0] == "export-env" {
            assert!(loud.stderr.contains("cannot be reached"), "{}", loud.stderr);
        }
        if ["token", "export-env"].contains(&words[0]) {
            let last = lines(&log).pop().unwrap();
            let warnings = last["warnings"].to_string();
            assert!(warnings.contains("is not verified"), "{words:?} {warnings}");
            let is_fallback = warnings.contains("cannot be reached");
            assert_eq!(is_fallback, words[0] == "export-env", "{warnings}");
        }
    }
    let failed = home.run(["whoami", "--quiet"]).done().code(6);
    assert!(failed.stderr.starts_with("error: "), "{}", failed.stderr);
}

#[test]
fn concurrent_writers_lose_no_line() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    add(&home, &portal, "test");
    for label in ["prod", "test"] {
        sign_in(&home, &portal, label).ok();
    }
    fs::remove_file(&log).unwrap();
    expire_token(&home, "prod");
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut child = home.run(["token", "-c", "prod"]).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    for child in children {
        Outcome::of(child).ok();
    }
    let mut counts = BTreeMap::new();
    for decision in decisions(&log) {
        *counts.entry(decision).or_insert(0) += 1;
    }
    assert_eq!(counts.remove("renewed"), Some(1));
    assert_eq!(counts.values().sum::<i32>(), 19, "{counts:?}");
    fs::remove_file(&log).unwrap();
    home.run(["refresh", "--all"]).done().ok();
    let mut labels: Vec<_> = lines(&log)
        .iter()
        .map(|line| line["connection"].as_str().unwrap().to_owned())
        .collect();
    labels.sort();
    assert_eq!(labels, ["prod", "test"]);
}

#[test]
fn a_full_log_is_rotated_once() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, log) = logged(&portal);
    sign_in(&home, &portal, "prod").ok();
    let old = format!("{}\n", "x".repeat(99)).repeat(usize::try_from(FULL / 100).unwrap());
    fs::write(&log, &old).unwrap();
    let children: Vec<_> = (0..10)
        .map(|_| {
            let mut child = home.run(["token"]).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    for child in children {
        Outcome::of(child).ok();
    }
    let moved = fs::read_to_string(home.path().join("night.log.1")).unwrap();
    assert!(moved.starts_with(&old));
    // A process that has the old file open writes there; no line is lost.
    let late = moved[old.len()..].lines().count();
    assert_eq!(late + lines(&log).len(), 10);
}

#[test]
fn a_log_that_cannot_be_written_does_not_stop_a_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let (home, _) = logged(&portal);
    sign_in(&home, &portal, "prod").ok();
    let folder = home.path().join("folder");
    fs::create_dir(&folder).unwrap();
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut bad = vec![folder.clone(), home.path().join("no/such/folder/log")];
    #[cfg(unix)]
    {
        let (target, link) = (home.path().join("target"), home.path().join("link"));
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let dangling = home.path().join("dangling");
        std::os::unix::fs::symlink(home.path().join("nothing"), &dangling).unwrap();
        bad.extend([link, dangling, PathBuf::from("/dev/full")]);
    }
    for path in bad {
        let out = home.run(["token"]).env("AGE_OAUTH_LOG", &path).done().ok();
        assert!(portal.accepts_access_token(out.line()));
        assert_eq!(
            out.stderr.matches("warning: AGE_OAUTH_LOG").count(),
            1,
            "{path:?}"
        );
        // Two decisions, but one warning; with --json it is an object.
        let out = home
            .run(["refresh", "--all", "--json"])
            .env("AGE_OAUTH_LOG", &path)
            .done()
            .ok();
        assert_eq!(
            out.stderr.matches("{\"warning\":\"AGE_OAUTH_LOG").count(),
            1
        );
        let out = home
            .run(["token", "-q"])
            .env("AGE_OAUTH_LOG", &path)
            .done()
            .ok();
        assert_eq!(out.stderr, "");
    }
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    #[cfg(unix)]
    {
        assert_eq!(fs::read(home.path().join("target")).unwrap(), b"kept");
        assert!(!home.path().join("nothing").exists());
    }
}
