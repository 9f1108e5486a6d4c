//! `doctor`: each problem is named with a hint, even if the store or the keychain does not work.

use serde_json::Value;

use crate::support::home::Home;
use crate::support::portal::{Certificate, Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add, add_application, add_arguments, add_with, folder_of, sign_in};
use crate::{home, signed_in};

/// The findings of a run, and its exit code.
fn findings(home: &Home, flags: &[&str], variables: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut run = home.run(["doctor", "--json"].iter().chain(flags));
    for (name, value) in variables {
        run = run.env(name, value);
    }
    // A run that does not end fails here.
    let out = run.done();
    let checks = out.json()["checks"].as_array().unwrap().clone();
    (out.code, checks)
}

/// The message and the hint of the first finding of this check that is not ok.
#[track_caller]
fn problem(findings: &[Value], check: &str) -> (String, String) {
    let found = findings
        .iter()
        .find(|one| one["check"] == check && one["severity"] != "ok")
        .unwrap_or_else(|| panic!("nothing wrong with {check}: {findings:#?}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("message"), text("hint"))
}

#[test]
fn in_a_working_set_up_every_check_is_ok() {
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
fn each_problem_at_the_portal_is_named() {
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
    assert!(problem(&all, "registration").1.contains("--redirect-uri"));

    portal.set(|rules| rules.date_ahead_seconds = 7200);
    let (_, all) = findings(&home, &[], &[]);
    assert!(problem(&all, "clock").0.contains("2h"));
    portal.set(|rules| rules.date_ahead_seconds = 0);

    add_with(&home, &portal, "stranger", &[]);
    home.run(["connections", "edit", "stranger", "--client-id", "unknown"])
        .done()
        .ok();
    let (code, all) = findings(&home, &["-c", "stranger"], &[]);
    assert_eq!(code, 1);
    assert!(problem(&all, "registration").0.contains("unknown"));
    assert!(problem(&all, "sign-in")
        .1
        .contains("age-oauth login -c stranger"));
    assert!(!all.iter().any(|one| one["connection"] == "prod"));
}

#[test]
fn an_unreachable_portal_and_a_changed_certificate_are_distinguished() {
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
    let (message, hint) = problem(&all, "certificates");
    assert!(
        message.contains("SHA-256") && hint.contains("--verify-ssl"),
        "{message}"
    );
    drop(portal);
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    assert!(problem(&all, "portal").1.contains("--proxy"));
    // What is kept here is still looked at.
    assert!(all
        .iter()
        .any(|one| one["check"] == "secrets" && one["severity"] == "ok"));
}

#[test]
fn expired_and_unverified_certificates_are_reported() {
    let portal = Portal::builder()
        .version(PortalVersion::Enterprise114)
        .certificate(Certificate::Expired)
        .start();
    let home = home();
    let url = portal.url();
    let words = add_arguments("old", &url, APP_ID, "false");
    home.run(words).done().ok();
    let (_, all) = findings(&home, &[], &[]);
    assert!(problem(&all, "certificates")
        .1
        .contains("--verify-ssl true"));
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
    problem(&all, "certificates");
}

#[test]
fn a_sign_in_that_ends_soon_or_was_revoked_is_reported_with_a_command() {
    let portal = Portal::start(PortalVersion::Enterprise105);
    portal.set(|rules| rules.refresh_minutes = 24 * 60);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let path = folder_of(&home, "prod").join("meta.json");
    let mut meta: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    meta["refresh_expires_at"] = tomorrow.to_string().into();
    meta["extendable"] = false.into();
    std::fs::write(&path, meta.to_string()).unwrap();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!(code, 0);
    assert!(problem(&all, "sign-in")
        .1
        .contains("age-oauth login -c prod"));
    portal.revoke_all();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1);
    assert!(problem(&all, "token").1.contains("age-oauth login -c prod"));
}

#[test]
fn application_connections_are_checked_too() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_application(&home, &portal, "jobs");
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 0, "{all:#?}");
    home.run(["connections", "edit", "jobs", "--client-secret-stdin"])
        .input("another-secret")
        .done()
        .ok();
    let (code, all) = findings(&home, &[], &[]);
    assert_eq!(code, 1, "{all:#?}");
    assert!(problem(&all, "token").1.contains("--client-secret-stdin"));
}

#[test]
fn a_damaged_store_is_reported_and_fixed() {
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
    problem(&all, "labels");
    problem(&all, "default");
    assert!(problem(&all, "store").0.contains("broken_1"));
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
fn files_that_others_can_read_are_found_and_made_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_portal, home) = signed_in();
    let open = home.store().join("default");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(home.store(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, all) = findings(&home, &["--offline"], &[]);
    assert_eq!(code, 1);
    assert!(problem(&all, "store").0.contains("default"));
    home.run(["doctor", "--offline", "--fix", "--yes"])
        .done()
        .ok();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&open), mode(&home.store())), (0o600, 0o700));
    assert_eq!(findings(&home, &["--offline"], &[]).0, 0);
}

#[test]
fn settings_from_the_environment_are_reported() {
    let (portal, home) = signed_in();
    let (code, all) = findings(&home, &["--offline"], &[("AGE_OAUTH_CONNECTION", "nobody")]);
    assert_eq!(code, 1);
    assert!(problem(&all, "environment")
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
    problem(&all, "proxy");
    assert!(problem(&all, "task").0.contains("HTTPS_PROXY"));
}

/// In a folder that a link on PATH leads to, as packages install PowerShell.
#[cfg(unix)]
#[test]
fn records_of_powershell_are_reported_with_the_lines_that_were_tried() {
    let (_portal, home) = signed_in();
    let (program, links) = (home.path().join("7"), home.path().join("bin"));
    std::fs::create_dir(&program).unwrap();
    std::fs::create_dir(&links).unwrap();
    let path = links.display().to_string();
    let about = |path: &str| -> Vec<Value> {
        let (code, mut all) = findings(&home, &["--offline"], &[("PATH", path)]);
        assert_eq!(code, 0, "{all:#?}");
        all.retain(|one| one["check"] == "powershell");
        all
    };
    assert_eq!(about(&path), [] as [Value; 0]);
    std::fs::write(program.join("pwsh"), "").unwrap();
    std::os::unix::fs::symlink(program.join("pwsh"), links.join("pwsh")).unwrap();
    // A relative folder counts for nothing.
    assert_eq!(about("bin"), [] as [Value; 0]);
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let message = || text(&about(&path)[0], "message");
    assert_eq!(message(), "no policy makes PowerShell record what it runs");

    let everyone = program.join("powershell.config.json");
    let settings = |policies: &str| format!("\u{feff}{{\"PowerShellPolicies\":{{{policies}}}}}");
    let both = "\"ScriptBlockLogging\":{\"EnableScriptBlockLogging\":true},\"ModuleLogging\":{\"EnableModuleLogging\":true}";
    std::fs::write(&everyone, settings(both)).unwrap();
    let found = &about(&path)[0];
    assert_eq!(found["severity"], "ok");
    let place = everyone.display();
    assert_eq!(
        text(found, "message"),
        format!("PowerShell records what it runs: script block logging ({place}), module logging ({place})")
    );
    let hint = text(found, "hint");
    assert!(
        hint.contains("`age-oauth export-env | Out-String | Invoke-Expression`"),
        "{hint}"
    );

    let own = home
        .path()
        .join(".config/powershell/powershell.config.json");
    std::fs::create_dir_all(own.parent().unwrap()).unwrap();
    let transcripts = "\"Transcription\":{\"EnableTranscripting\":true}";
    std::fs::write(&own, settings(transcripts)).unwrap();
    let ending = format!(", transcription ({})", own.display());
    assert!(message().ends_with(&ending), "{}", message());
    std::fs::write(&everyone, settings(&both.replace("true", "false"))).unwrap();
    assert!(!message().contains("logging"), "{}", message());
    std::fs::write(&own, "{").unwrap();
    assert_eq!(about(&path)[0]["severity"], "warn");
    assert!(message().contains("cannot be read"), "{}", message());
}

/// The real Secret Service, in each way in which it fails; and as a task without a desktop session
/// finds it.
#[cfg(all(unix, not(target_os = "macos")))]
mod keychains {
    use super::*;
    use crate::support::secret_service::{Provider, SecretService, SilentBus};

    fn home_in(session: &SecretService) -> (Portal, Home) {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = home();
        session.use_in(&mut home);
        (portal, home)
    }

    #[test]
    fn duplicate_and_orphaned_items_are_found_and_fixed() {
        duplicates_are_fixed_in(Provider::GnomeKeyring);
    }

    #[test]
    fn duplicate_and_orphaned_items_in_keepassxc_are_found_and_fixed() {
        duplicates_are_fixed_in(Provider::KeePassXc);
    }

    #[test]
    fn duplicate_and_orphaned_items_in_kwallet_are_found_and_fixed() {
        duplicates_are_fixed_in(Provider::KWallet);
    }

    fn duplicates_are_fixed_in(provider: Provider) {
        let session = SecretService::start(provider);
        let (portal, home) = home_in(&session);
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
        session.add_item(&format!("{id}/tokens"), b"garbage");
        session.add_item("gone_1/tokens", b"left behind");
        let (code, all) = findings(&home, &["--offline"], &[]);
        assert_eq!(code, 1);
        assert!(problem(&all, "secrets")
            .1
            .contains("age-oauth login -c prod"));
        assert!(problem(&all, "keychain").0.contains("gone_1/tokens"));
        home.run(["doctor", "--offline", "--fix", "--yes"])
            .done()
            .ok();
        // Without a terminal, items that this store does not know are kept.
        assert!(problem(&findings(&home, &["--offline"], &[]).1, "keychain")
            .0
            .contains("gone_1/tokens"));
        let mut terminal =
            crate::support::pty::Terminal::start(&home, &["doctor", "--offline", "--fix"]);
        terminal
            .expect("Delete them: gone_1/tokens?")
            .send("y")
            .expect("[OK] Fixed");
        terminal.end();
        // Of the two, the one that can be used was kept.
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 0, "{all:#?}");

        for garbage in [b"one", b"two"] {
            session.add_item(&format!("{id}/client-secret"), garbage);
        }
        home.run(["doctor", "--offline", "--fix", "--yes"])
            .done()
            .code(1)
            .err_has("--client-secret-stdin");
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 0, "{all:#?}");
    }

    #[test]
    fn a_locked_collection_a_missing_bus_and_a_silent_bus_are_distinguished() {
        let session = SecretService::start(Provider::GnomeKeyring);
        let (portal, home) = home_in(&session);
        add(&home, &portal, "prod");
        sign_in(&home, &portal, "prod").ok();
        let task = findings(&home, &["--as-task"], &[]);
        assert_eq!(task.0, 1);
        assert!(problem(&task.1, "keychain").1.contains("--keychain vault"));
        session.lock();
        let (code, all) = findings(&home, &[], &[]);
        assert_eq!(code, 1);
        let locked = problem(&all, "keychain");
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
        assert!(problem(&none.1, "keychain").1.contains("--keychain vault"));
        let bus = SilentBus::start();
        let silent = findings(&home, &[], &[("DBUS_SESSION_BUS_ADDRESS", &bus.address())]);
        assert!(problem(&silent.1, "keychain")
            .1
            .contains("AGE_OAUTH_KEYCHAIN_TIMEOUT"));
    }
}
