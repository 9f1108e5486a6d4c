//! `doctor`: what is wrong is named, with what mends it; nothing of that depends on the store or the keychain working.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::home::Home;
use crate::support::portal::{Certificate, Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add, add_service, add_with, sign_in};
use crate::{home, signed_in};

/// The findings of a run, and its exit code.
fn findings(home: &Home, flags: &[&str], variables: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut run = home.run(["doctor", "--json"].iter().chain(flags));
    for (name, value) in variables {
        run = run.env(name, value);
    }
    let begun = Instant::now();
    let out = run.done();
    // Promised: the whole examination ends.
    assert!(begun.elapsed() < Duration::from_secs(60));
    let checks = out.json()["checks"].as_array().unwrap().clone();
    (out.code, checks)
}

/// The first finding of this check that is not ok; its hint.
#[track_caller]
fn wrong(findings: &[Value], check: &str) -> (String, String) {
    let found = findings
        .iter()
        .find(|one| one["check"] == check && one["severity"] != "ok")
        .unwrap_or_else(|| panic!("nothing wrong with {check}: {findings:#?}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("message"), text("hint"))
}

#[test]
fn where_all_is_well_everything_is_ok() {
    let (portal, home) = signed_in();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 0, "{all:#?}");
    let ok = |check: &str| {
        all.iter()
            .any(|one| one["check"] == check && one["severity"] == "ok")
    };
    for check in [
        "store",
        "keychain",
        "secrets",
        "sign-in",
        "portal",
        "clock",
        "certificates",
        "registration",
        "token",
    ] {
        assert!(ok(check), "{check}: {all:#?}");
    }
    let out = home.run(["doctor"]).done().ok();
    assert!(
        out.stdout.contains("ok   portal prod: ") && out.stdout.ends_with(" 0 failed\n"),
        "{}",
        out.stdout
    );
    let before = portal.requests().len();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!((code, portal.requests().len()), (0, before));
    assert!(!all.iter().any(|one| one["check"] == "portal"));
}

#[test]
fn each_thing_that_is_wrong_at_the_portal_is_named() {
    let (portal, home) = signed_in();
    home.run([
        "connections",
        "edit",
        "prod",
        "--redirect-uri",
        "http://127.0.0.1:1/x",
    ])
    .done()
    .ok();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "registration").1.contains("--redirect-uri"));

    portal.set(|rules| rules.date_ahead_seconds = 7200);
    let (_, all) = findings(&home, &[], &[]);
    assert!(wrong(&all, "clock").0.contains("2h"));
    portal.set(|rules| rules.date_ahead_seconds = 0);

    add_with(&home, &portal, "stranger", &[]);
    home.run(["connections", "edit", "stranger", "--client-id", "unknown"])
        .done()
        .ok();
    let (code, all) = findings(&home, &["-c", "stranger"], &[]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "registration").0.contains("unknown"));
    assert!(wrong(&all, "sign-in")
        .1
        .contains("age-oauth login -c stranger"));
    assert!(!all.iter().any(|one| one["connection"] == "prod"));
}

#[test]
fn a_portal_that_is_down_and_one_with_another_certificate_are_told_apart() {
    let (portal, home) = signed_in();
    home.run([
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        "true",
        "--no-check",
    ])
    .done()
    .ok();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    let (message, mend) = wrong(&all, "certificates");
    assert!(
        message.contains("SHA-256") && mend.contains("--verify-ssl"),
        "{message}"
    );
    drop(portal);
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "portal").1.contains("--proxy"));
    // What is kept here is still looked at.
    assert!(all
        .iter()
        .any(|one| one["check"] == "secrets" && one["severity"] == "ok"));
}

#[test]
fn an_expired_certificate_and_an_unverified_one_are_told() {
    let portal = Portal::builder()
        .manner(PortalVersion::Enterprise114)
        .certificate(Certificate::Expired)
        .start();
    let home = home();
    let url = portal.url();
    let words = [
        "connections",
        "add",
        "--label",
        "old",
        "--client-id",
        APP_ID,
        "--verify-ssl",
        "false",
        "--portal",
        &url,
    ];
    home.run(words).done().ok();
    let (_, all) = findings(&home, &[], &[]);
    assert!(wrong(&all, "certificates").1.contains("--verify-ssl true"));
    home.run([
        "connections",
        "edit",
        "old",
        "--no-check",
        "--verify-ssl",
        "true",
    ])
    .done()
    .ok();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    wrong(&all, "certificates");
}

#[test]
fn a_sign_in_that_ends_or_died_is_told_with_what_to_run() {
    let portal = Portal::start(PortalVersion::Enterprise105);
    portal.set(|rules| rules.refresh_minutes = 24 * 60);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let file = home.store().join("connections");
    let folder = std::fs::read_dir(file)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let path = folder.join("meta.json");
    let mut meta: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    meta["refresh_expires_at"] = tomorrow.to_string().into();
    meta["extendable"] = false.into();
    std::fs::write(&path, meta.to_string()).unwrap();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!(code, 0);
    assert!(wrong(&all, "sign-in").1.contains("age-oauth login -c prod"));
    portal.revoke_all();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "token").1.contains("age-oauth login -c prod"));
}

#[test]
fn an_application_is_looked_at_too() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_service(&home, &portal, "jobs");
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 0, "{all:#?}");
    home.run(["connections", "edit", "jobs", "--client-secret-stdin"])
        .input("another-secret")
        .done()
        .ok();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1, "{all:#?}");
    assert!(wrong(&all, "token").1.contains("--client-secret-stdin"));
}

#[test]
fn a_store_that_is_broken_does_not_stop_it_and_is_mended() {
    let (_portal, home) = signed_in();
    let labels = home.store().join("labels");
    for entry in std::fs::read_dir(&labels).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let broken = home.store().join("connections/broken_1");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("meta.json"), "{").unwrap();
    std::fs::write(
        home.store().join("default"),
        "gone_9f3a01b3-128d-4f38-80ba-a1e1711b7c40\n",
    )
    .unwrap();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!(code, 1);
    wrong(&all, "labels");
    wrong(&all, "default");
    assert!(wrong(&all, "store").0.contains("broken_1"));
    home.run(["doctor", "--offline", "--fix"])
        .done()
        .code(2)
        .err_has("--yes");
    home.run(["doctor", "--offline", "--fix", "--yes"])
        .done()
        .code(1);
    home.run(["token", "-c", "prod"]).done().ok();
    let (_, all) = findings(&home, &["--offline"], &[]);
    assert!(
        !all.iter()
            .any(|one| one["check"] == "labels" || one["check"] == "default"),
        "{all:#?}"
    );
    assert!(broken.exists());
}

#[cfg(unix)]
#[test]
fn files_that_others_may_see_are_found_and_taken_back() {
    use std::os::unix::fs::PermissionsExt;
    let (_portal, home) = signed_in();
    let open = home.store().join("default");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(home.store(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "store").0.contains("default"));
    home.run(["doctor", "--offline", "--fix", "--yes"])
        .done()
        .ok();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&open), mode(&home.store())), (0o600, 0o700));
    assert_eq!(findings(&home, &["--offline"], &[]).0, 0);
}

#[test]
fn what_the_environment_changes_is_said() {
    let (portal, home) = signed_in();
    let (code, all) = findings(&home, &["--offline"], &[("AGE_OAUTH_CONNECTION", "nobody")]);
    assert_eq!(code, 1);
    assert!(wrong(&all, "environment")
        .1
        .contains("AGE_OAUTH_CONNECTION"));
    let ca = portal.ca_file(home.path()).display().to_string();
    let variables = [("SSL_CERT_FILE", &*ca), ("AGE_OAUTH_CONNECTION", "prod")];
    let (code, all) = findings(&home, &["--offline"], &variables);
    assert_eq!(code, 0);
    assert!(all
        .iter()
        .any(|one| one["message"].as_str().unwrap().contains("SSL_CERT_FILE")));
    let proxy = [("HTTPS_PROXY", "http://proxy.example:8080")];
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label",
        "far",
        "--client-id",
        "x",
        "--portal",
        "https://gis.example.org/portal",
    ])
    .done()
    .ok();
    let (_, all) = findings(&home, &["--offline", "-c", "far"], &proxy);
    let said = all.iter().find(|one| one["check"] == "proxy").unwrap();
    assert!(said["message"].as_str().unwrap().contains("HTTPS_PROXY"));
    let (_, all) = findings(&home, &["--offline", "--as-task", "-c", "far"], &proxy);
    wrong(&all, "proxy");
    assert!(wrong(&all, "task").0.contains("HTTPS_PROXY"));
}

/// The real Secret Service, in each way in which it fails; and as a task without a desktop session finds it.
#[cfg(all(unix, not(target_os = "macos")))]
mod keychains {
    use super::*;
    use crate::keychain::{Provider, Session};

    fn on(address: &str) -> (Portal, Home) {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = home();
        home.set("AGE_OAUTH_KEYCHAIN", "os");
        home.set("DBUS_SESSION_BUS_ADDRESS", address);
        (portal, home)
    }

    #[test]
    fn duplicates_and_strangers_are_found_and_mended() {
        mended(Provider::GnomeKeyring);
    }

    #[test]
    fn in_keepassxc_too_duplicates_and_strangers_are_found_and_mended() {
        mended(Provider::KeePassXc);
    }

    fn mended(provider: Provider) {
        let session = Session::with(provider);
        let (portal, home) = on(session.address());
        add(&home, &portal, "prod");
        sign_in(&home, &portal, "prod").ok();
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 0, "{all:#?}");
        let id = home
            .run(["connections", "show", "--json"])
            .done()
            .ok()
            .json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        session.duplicate_of(&format!("{id}/tokens"), b"garbage");
        session.duplicate_of("gone_1/tokens", b"left behind");
        let (code, all) = findings(&home, &["--offline"], &[]);
        assert_eq!(code, 1);
        assert!(wrong(&all, "secrets").1.contains("age-oauth login -c prod"));
        assert!(wrong(&all, "keychain").0.contains("gone_1/tokens"));
        home.run(["doctor", "--offline", "--fix", "--yes"])
            .done()
            .ok();
        // Nobody could be asked: what this store does not know stays.
        assert!(wrong(&findings(&home, &["--offline"], &[]).1, "keychain")
            .0
            .contains("gone_1/tokens"));
        let mut terminal =
            crate::support::pty::Terminal::start(&home, &["doctor", "--offline", "--fix"]);
        terminal
            .expect("gone_1/tokens from the keychain?")
            .send("y")
            .expect("[OK] mended");
        terminal.end();
        // Of the two, the one that can be used was kept.
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 0, "{all:#?}");

        for garbage in [b"one", b"two"] {
            session.duplicate_of(&format!("{id}/client-secret"), garbage);
        }
        home.run(["doctor", "--offline", "--fix", "--yes"])
            .done()
            .code(1)
            .err_has("--client-secret-stdin");
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 0, "{all:#?}");
    }

    #[test]
    fn a_locked_collection_no_bus_and_a_mute_one_are_told_apart() {
        let session = Session::start();
        let (portal, home) = on(session.address());
        add(&home, &portal, "prod");
        sign_in(&home, &portal, "prod").ok();
        let task = findings(&home, &["--as-task"], &[]);
        assert_eq!(task.0, 1);
        assert!(wrong(&task.1, "keychain").1.contains("--keychain vault"));
        session.lock();
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 1);
        let locked = wrong(&all, "keychain");
        assert!(locked.1.contains("unlock"), "{locked:?}");
        // The portal is looked at all the same.
        assert!(all
            .iter()
            .any(|one| one["check"] == "portal" && one["severity"] == "ok"));
        let none = findings(
            &home,
            &[],
            &[("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")],
        );
        assert!(wrong(&none.1, "keychain").1.contains("--keychain vault"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        let mute = findings(&home, &[], &[("DBUS_SESSION_BUS_ADDRESS", &address)]);
        assert!(wrong(&mute.1, "keychain")
            .1
            .contains("AGE_OAUTH_KEYCHAIN_TIMEOUT"));
    }
}
