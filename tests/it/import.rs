//! Importing a store of the Python package.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age_oauth::testing::{Call, MemoryStore, Migrated, Migration, Options, PackageStore, Plan};
use age_oauth::{
    ConnectionStore, Context, Environment, Error, Item, ItemKind, KeychainError, KeychainKind,
    KeychainReason, Keychains, Secret, SecretStore,
};
use serde_json::Value;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::legacy::{
    lay_out, rewrite, OldStore, MY_PORTAL, NIGHTLY, ONLINE, PROD, VERSIONS,
};
use crate::support::portal::{
    app_secret, service_secret, Endpoint, Fault, Portal, PortalVersion, OTHER_USER, USER,
};
use crate::support::scenario::{add, change_tokens, sign_in, sign_in_as, stored};

const NOTHING: &str = "There is nothing to import";

/// A store of this version at the path that our store shares with it.
fn shared(version: &str) -> (Portal, Home, OldStore) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let old = lay_out(&home.store(), version, &home, &portal);
    (portal, home, old)
}

fn import(home: &Home, flags: &[&str]) -> Outcome {
    let mut words = vec!["connections", "import"];
    words.extend(flags);
    home.run(words).done()
}

#[track_caller]
fn nothing_to_do(home: &Home, flags: &[&str]) {
    let out = import(home, flags).ok();
    assert!(out.stdout.starts_with(NOTHING), "{}", out.stdout);
    assert_eq!(out.stdout.lines().count(), 1);
}

/// Every file with its content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    files
}

#[track_caller]
fn no_plaintext(home: &Home, old: &OldStore) {
    for secret in [app_secret(), service_secret(), &old.access, &old.refresh] {
        assert_eq!(home.files_containing(secret), Vec::<PathBuf>::new());
    }
    let left: Vec<_> = home
        .files()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == ".env"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

fn show(home: &Home, name: &str) -> Value {
    home.run(["connections", "show", name, "--json"])
        .done()
        .ok()
        .json()
}

fn good_token(home: &Home, portal: &Portal, name: &str) -> String {
    let token = home.run(["token", "-c", name]).done().ok();
    assert!(portal.accepts_access_token(token.line()), "{name}");
    token.line().to_owned()
}

// — the whole import —

#[test]
fn stores_of_both_versions_are_imported_without_a_new_sign_in() {
    for version in VERSIONS {
        let (portal, home, old) = shared(version);
        home.run(["token", "-c", "Prod"])
            .done()
            .code(1)
            .err_has("age-oauth connections import");
        let listed = home.run(["connections", "list"]).done().ok();
        let text = "plaintext: run age-oauth connections import";
        assert!(listed.stdout.contains(text), "{}", listed.stdout);

        let out = import(&home, &[]).ok();
        for label in ["Prod", "My Portal"] {
            let line = format!("[OK] Imported connection: {label}\n");
            assert!(out.stdout.contains(&line), "{}", out.stdout);
        }
        for secret in portal.secrets() {
            assert!(!format!("{}{}", out.stdout, out.stderr).contains(&secret));
        }
        no_plaintext(&home, &old);
        for name in ["connections.json", "active_connection"] {
            assert!(!old.root.join(name).exists(), "{name}");
        }

        // Signed in as before, but copies of the old file no longer work.
        assert!(!portal.accepts_refresh_token(&old.refresh));
        assert!(!portal.accepts_access_token(&old.access));
        good_token(&home, &portal, "Prod");
        home.run(["whoami", "-c", PROD])
            .done()
            .ok()
            .out("your.username\n");
        assert_eq!(portal.grants()[0], "exchange_refresh_token");
        home.run(["token", "-c", "my portal"]).done().code(3);

        // The active connection became the default; ids are unchanged.
        let prod = show(&home, "prod");
        assert_eq!(
            (&prod["id"], &prod["default"]),
            (&PROD.into(), &true.into())
        );
        assert_eq!(prod["has_client_secret"], true);
        assert_eq!(prod["created_at"], "2026-09-21T14:13:20Z");
        assert!(prod["verify_ssl"].as_str().unwrap().ends_with("ca.pem"));
        let other = show(&home, MY_PORTAL);
        assert_eq!(other["connection"], "My Portal");
        assert_eq!(other["verify_ssl"], "false");
        nothing_to_do(&home, &[]);
        good_token(&home, &portal, PROD);
        home.run(["doctor", "-c", "Prod", "--offline"]).done().ok();
    }
}

#[test]
fn applications_and_every_verify_ssl_setting_are_imported() {
    let (portal, home, _) = shared("0.2.1");
    import(&home, &[]).ok();
    let nightly = show(&home, NIGHTLY);
    assert_eq!(nightly["auth_type"], "app");
    assert_eq!(nightly["referer"], "https://nightly.example.com");
    assert_eq!(show(&home, ONLINE)["verify_ssl"], "true");
    let token = home.run(["token", "-c", "Nightly", "--force"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    let out = home.run(["whoami", "-c", "Nightly"]).done().ok();
    assert!(out.stdout.contains("AgePracticeApp02"), "{}", out.stdout);
}

#[test]
fn the_hint_names_the_pages_where_secrets_are_reset() {
    let (portal, home, _) = shared("0.2.1");
    let out = import(&home, &["-q"]).ok();
    for app in ["AgePracticeApp01", "AgePracticeApp02"] {
        let page = format!("{}/home/item.html?id=item-of-{app}", portal.url());
        assert_eq!(out.stderr.matches(&page).count(), 1, "{}", out.stderr);
    }
    out.err_has("connections edit Nightly --client-secret-stdin")
        .err_has("connections edit \"My Portal\" --no-client-secret")
        // No request, because there is no sign-in.
        .err_has("https://www.arcgis.com/home/content.html");
    // The hint works: user connections need no secret.
    home.run(["connections", "edit", "Prod", "--no-client-secret"])
        .done()
        .ok();
    let token = home.run(["token", "-c", "Prod", "--force"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
}

#[cfg(unix)]
#[test]
fn rule_25_files_that_others_could_read_are_made_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_portal, home, old) = shared("0.2.1");
    fs::set_permissions(&old.root, fs::Permissions::from_mode(0o755)).unwrap();
    import(&home, &[]).ok();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [
        &old.root,
        &old.root.join("connections"),
        &old.file(PROD, ""),
    ] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for path in home.files() {
        if path.starts_with(&old.root) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[test]
fn a_dry_run_reports_everything_and_changes_nothing() {
    let (portal, home, _) = shared("0.2.1");
    home.allow_secrets_in("store/connections");
    let before = snapshot(home.path());
    let out = import(&home, &["--dry-run"]).ok();
    for label in ["Prod", "My Portal", "Online", "Nightly"] {
        assert!(out.stdout.contains(&format!("Would import: {label}\n")));
    }
    for secret in portal.secrets() {
        assert!(!format!("{}{}", out.stdout, out.stderr).contains(&secret));
    }
    import(&home, &["--dry-run", "--keep-plaintext", "--json"]).ok();
    assert_eq!(snapshot(home.path()), before);
    assert_eq!(portal.connections(), 0);
}

#[test]
fn offline_sends_no_request_and_reports_what_is_left_to_do() {
    let (portal, home, old) = shared("0.1.7");
    let out = import(&home, &["--offline"]).ok();
    assert!(out.stdout.contains("age-oauth refresh --now -c Prod"));
    assert_eq!(portal.connections(), 0);
    no_plaintext(&home, &old);
    home.run(["token", "-c", "Prod"])
        .done()
        .ok()
        .out(&format!("{}\n", old.access));
    // Its age is unknown, so that it counts as due to be extended.
    change_tokens(&home, "Prod", |tokens| {
        let refresh = tokens.refresh.as_ref().unwrap();
        let age = jiff::Timestamp::now().duration_since(refresh.issued_at);
        assert_eq!(age.as_hours(), 7 * 24);
    });
    home.run(["refresh", "--now", "-c", "Prod"]).done().ok();
    assert!(!portal.accepts_refresh_token(&old.refresh));
    nothing_to_do(&home, &[]);
}

#[test]
fn json_reports_every_connection_in_one_array() {
    let (portal, home, _) = shared("0.2.1");
    let planned = import(&home, &["--dry-run", "--json"]).ok().json();
    assert_eq!(planned[0]["outcome"], "would_import");
    let plan = |words: &[&str]| {
        let rows = import(&home, words).ok().json();
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["legacy_id"] == PROD).unwrap();
        row["sign_in"].clone()
    };
    assert_eq!(plan(&["--dry-run", "--json"]), "extended");
    assert_eq!(plan(&["--dry-run", "--json", "--offline"]), "imported");
    let done = import(&home, &["--json"]).ok();
    let rows = done.json();
    let row = |id: &str| {
        let all = rows.as_array().unwrap();
        all.iter()
            .find(|row| row["legacy_id"] == id)
            .unwrap()
            .clone()
    };
    let prod = row(PROD);
    assert_eq!(prod["outcome"], "imported");
    assert_eq!(prod["sign_in"], "extended");
    assert_eq!(prod["plaintext_deleted"], true);
    assert_eq!(prod["format_version"], 1);
    assert!(prod["refresh_expires_at"].is_string());
    assert!(prod["client_secret_page"]
        .as_str()
        .unwrap()
        .starts_with(&format!("{}/home/item.html", portal.url())));
    assert_eq!(row(MY_PORTAL)["sign_in"], "needed");
    assert_eq!(row(NIGHTLY)["sign_in"], "application");
    for line in done.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    import(&home, &["--json"]).ok().out("[]\n");
}

// — the old store stays —

#[test]
fn with_keep_plaintext_the_predecessor_keeps_working() {
    let (portal, home, old) = shared("0.2.1");
    let before = snapshot(&old.root);
    import(&home, &["--keep-plaintext"]).ok();
    let after = snapshot(&old.root);
    for (path, content) in &before {
        assert_eq!(after.get(path), Some(content), "{}", path.display());
    }
    assert_eq!(portal.connections(), 0);
    assert!(portal.accepts_refresh_token(&old.refresh));

    // The old id, the new id and the label select the new connection.
    let prod = show(&home, "Prod");
    assert_ne!(prod["id"], PROD);
    assert_eq!(
        (&prod["default"], &prod["has_tokens"]),
        (&true.into(), &false.into())
    );
    assert_eq!(prod["has_client_secret"], true);
    assert_eq!(show(&home, PROD)["id"], prod["id"]);
    home.run(["token", "--connection-id", PROD]).done().code(3);
    nothing_to_do(&home, &["--keep-plaintext"]);
    nothing_to_do(&home, &["--keep-plaintext", "--dry-run"]);

    // A sign-in of its own, and the old one still lives.
    sign_in(&home, &portal, "Prod").ok();
    good_token(&home, &portal, PROD);
    assert!(portal.accepts_refresh_token(&old.refresh));

    // When the predecessor is no longer needed, its sign-in is revoked.
    let out = import(&home, &[]).ok();
    assert!(out
        .stdout
        .contains("[OK] Finished importing connection: Prod\n"));
    assert!(!portal.accepts_refresh_token(&old.refresh));
    good_token(&home, &portal, PROD);
    no_plaintext(&home, &old);
    assert!(!old.file(PROD, "").exists());
    nothing_to_do(&home, &[]);
    assert_eq!(
        home.run(["connections", "list"])
            .done()
            .stdout
            .lines()
            .count(),
        4
    );
}

#[test]
fn a_sign_in_that_was_left_in_place_is_imported_later() {
    let (portal, home, old) = shared("0.1.7");
    import(&home, &["--keep-plaintext"]).ok();
    import(&home, &[]).ok();
    assert!(!portal.accepts_refresh_token(&old.refresh));
    let id = show(&home, "Prod")["id"].clone();
    assert_ne!(id, PROD);
    good_token(&home, &portal, "Prod");
    no_plaintext(&home, &old);
    nothing_to_do(&home, &[]);
}

// — elsewhere —

#[test]
fn a_store_at_another_path_is_emptied() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let elsewhere = home.path().join("old store/age_oauth");
    let old = lay_out(&elsewhere, "0.2.1", &home, &portal);
    let dir = elsewhere.to_str().unwrap();
    import(&home, &["no such folder"]).code(2);
    import(&home, &[dir]).ok();
    assert!(!elsewhere.exists());
    no_plaintext(&home, &old);
    assert_eq!(show(&home, "Prod")["id"], PROD);
    assert_eq!(show(&home, "Prod")["default"], true);
    good_token(&home, &portal, "Prod");
    nothing_to_do(&home, &[]);
}

#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn the_default_path_is_searched_wherever_our_store_is() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let usual = home.path().join(".config/age_oauth");
    let old = lay_out(&usual, "0.1.7", &home, &portal);
    import(&home, &[]).ok();
    good_token(&home, &portal, PROD);
    no_plaintext(&home, &old);
    nothing_to_do(&home, &[]);
}

#[test]
fn an_id_that_is_in_use_is_not_taken() {
    let (_portal, home, _) = shared("0.1.7");
    let other = Portal::start(PortalVersion::Enterprise114);
    import(&home, &[]).ok();
    let elsewhere = home.path().join("elsewhere");
    let old = lay_out(&elsewhere, "0.1.7", &home, &other);
    import(&home, &[elsewhere.to_str().unwrap()]).ok();
    let second = show(&home, "Prod (2)");
    assert_ne!(second["id"], PROD);
    assert_eq!(second["portal_url"], other.url());
    // The default stays what it was.
    assert_eq!(second["default"], false);
    good_token(&home, &other, "Prod (2)");
    assert!(!other.accepts_refresh_token(&old.refresh));
}

// — edited and damaged files —

#[test]
fn files_edited_by_hand_are_parsed() {
    let (portal, home, old) = shared("0.2.1");
    rewrite(&old.env(PROD), |text| {
        let text = text
            .replace(
                "OAUTH_USERNAME=your.username",
                "OAUTH_USERNAME='your.username' # me",
            )
            .replace(
                &format!("OAUTH_CLIENT_SECRET={}", app_secret()),
                &format!(
                    "# OAUTH_CLIENT_SECRET=old\n  OAUTH_CLIENT_SECRET = \"{}\"  ",
                    app_secret()
                ),
            );
        let own = "MY_FTP_PASSWORD=\"a \\\"b\\\" \\\\ c\"\nEMPTY=\nnonsense\n";
        format!("\u{feff}{own}{text}").replace('\n', "\r\n")
    });
    let out = import(&home, &[]).ok();
    good_token(&home, &portal, "Prod");
    no_plaintext(&home, &old);
    // Lines that are not age-oauth's own are kept.
    assert!(out.stdout.contains("MY_FTP_PASSWORD"), "{}", out.stdout);
    assert!(!out.stdout.contains("EMPTY"));
    let kept = fs::read_to_string(old.file(PROD, "left-over.env")).unwrap();
    assert_eq!(kept, "MY_FTP_PASSWORD=\"a \\\"b\\\" \\\\ c\"\n");
    nothing_to_do(&home, &[]);
}

#[test]
fn missing_parts_are_reported_and_the_rest_is_imported() {
    let (portal, home, old) = shared("0.2.1");
    let without = |id: &str, key: &str| {
        rewrite(&old.env(id), |text| {
            let lines = text.lines().filter(|line| !line.starts_with(key));
            lines.collect::<Vec<_>>().join("\n") + "\n"
        });
    };
    without(PROD, "PORTAL_URL");
    without(PROD, "OAUTH_REFRESH_TOKEN");
    without(NIGHTLY, "OAUTH_CLIENT_SECRET");
    without(ONLINE, "OAUTH_CLIENT_ID");
    fs::remove_file(old.env(MY_PORTAL)).unwrap();
    let out = import(&home, &["--offline"]).code(1);
    assert!(out
        .stdout
        .contains("it needs a sign-in: age-oauth login -c Prod"));
    assert!(out
        .stdout
        .contains("age-oauth connections edit Nightly --client-secret-stdin"));
    assert_eq!(show(&home, PROD)["portal_url"], portal.url());
    for id in [ONLINE, MY_PORTAL] {
        assert!(out.stderr.contains(id), "{}", out.stderr);
    }
    // Once it is fixed, the next run imports it.
    assert!(old.env(ONLINE).exists());
    rewrite(&old.env(ONLINE), |text| text + "OAUTH_CLIENT_ID=abc\n");
    fs::remove_dir_all(old.file(MY_PORTAL, "")).unwrap();
    let out = import(&home, &["--offline"]).ok();
    assert!(out.stdout.contains("[OK] Imported connection: Online\n"));
    assert!(out
        .stdout
        .contains("[OK] Removed my_portal_e7dabe90 from the old list"));
    nothing_to_do(&home, &[]);
    no_plaintext(&home, &old);
}

#[test]
fn labels_that_are_in_use_too_long_or_invalid_are_adapted() {
    let (portal, home, old) = shared("0.2.1");
    add(&home, &portal, "prod");
    let relabel = |id: &str, label: &str| {
        rewrite(&old.file(id, "meta.json"), |text| {
            let mut meta: Value = serde_json::from_str(&text).unwrap();
            meta["label"] = label.into();
            meta.to_string()
        });
    };
    let long = "x".repeat(300);
    relabel(ONLINE, &long);
    relabel(NIGHTLY, "My\u{1b}[31mPortal\n");
    relabel(MY_PORTAL, "PROD");
    let planned = import(&home, &["--dry-run", "--json"]).ok().json();
    let out = import(&home, &[]).ok();
    assert!(!out.stdout.contains('\u{1b}'));
    for (id, label) in [
        (PROD, "Prod (2)"),
        (MY_PORTAL, "PROD (3)"),
        (NIGHTLY, "My [31mPortal"),
        (ONLINE, &long[..64]),
    ] {
        assert_eq!(show(&home, id)["connection"], label);
        let all = planned.as_array().unwrap();
        assert!(all.iter().any(|row| row["connection"] == label), "{label}");
    }
    good_token(&home, &portal, "Prod (2)");
    // The default is unchanged.
    assert_ne!(show(&home, "prod")["id"], PROD);
    assert_eq!(show(&home, "prod")["default"], true);
}

#[test]
fn an_id_that_is_too_long_is_replaced_and_remembered() {
    let (portal, home, old) = shared("0.1.7");
    let long = format!("{}_e7dabe90", "prod".repeat(55));
    fs::rename(old.file(PROD, ""), old.file(&long, "")).unwrap();
    for path in [
        old.file(&long, "meta.json"),
        old.root.join("connections.json"),
    ] {
        rewrite(&path, |text| text.replace(PROD, &long));
    }
    import(&home, &[]).ok();
    assert_eq!(show(&home, &long)["connection"], "Prod");
    good_token(&home, &portal, &long);
    no_plaintext(&home, &old);
    nothing_to_do(&home, &[]);
}

#[test]
fn unusable_settings_are_reported() {
    let (portal, home, old) = shared("0.2.1");
    rewrite(&old.env(PROD), |text| {
        text.replace("my certs", "no certs")
            .replace("OAUTH_REFERER=\"\"", "OAUTH_REFERER=\"é\"")
            .replace(
                "urn:ietf:wg:oauth:2.0:oob",
                "http://gis.example.com/callback",
            )
    });
    let out = import(&home, &[]).code(6);
    for part in ["ca.pem", "redirect URI", "Referer"] {
        assert!(out.stdout.contains(part), "{part}: {}", out.stdout);
    }
    // Without its authority file no other authority is trusted, and no request is sent.
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 0);
    assert_eq!(show(&home, "Prod")["verify_ssl"], "true");
    no_plaintext(&home, &old);
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "edit",
        "Prod",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .done()
    .ok();
    home.run(["refresh", "--now", "-c", "Prod"]).done().ok();
    assert!(!portal.accepts_refresh_token(&old.refresh));
}

#[test]
fn portals_over_plain_http_are_refused() {
    let (portal, home, old) = shared("0.1.7");
    home.allow_secrets_in("store/connections");
    rewrite(&old.env(PROD), |text| {
        text.replace(
            &format!("PORTAL_URL={}", portal.url()),
            "PORTAL_URL=http://gis.example.com/portal",
        )
    });
    import(&home, &["--offline"]).code(1).err_has("PORTAL_URL");
    assert!(old.env(PROD).exists());
    show(&home, MY_PORTAL);
    home.run(["connections", "show", PROD]).done().code(1);
}

// — interruptions —

#[test]
fn after_a_kill_during_the_exchange_the_next_run_finishes_it() {
    let (portal, home, old) = shared("0.2.1");
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::Silence));
    let mut child = home.run(["connections", "import"]).spawn();
    portal.wait_for_requests(Endpoint::Exchange, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    // The plaintext was deleted before the request.
    assert!(!old.env(PROD).exists());
    assert!(portal.accepts_refresh_token(&old.refresh));
    let out = import(&home, &[]).ok();
    assert!(out
        .stdout
        .contains("[OK] Finished importing connection: Prod\n"));
    assert!(!portal.accepts_refresh_token(&old.refresh));
    good_token(&home, &portal, PROD);
    no_plaintext(&home, &old);
    assert_eq!(show(&home, "Prod")["default"], true);
    nothing_to_do(&home, &[]);
}

/// The state after a run that ended between creating the connection and deleting the plaintext.
fn half_imported(version: &str) -> (Portal, Home, OldStore) {
    let (portal, home, old) = shared(version);
    let env = fs::read(old.env(PROD)).unwrap();
    let index = fs::read(old.root.join("connections.json")).unwrap();
    import(&home, &["--offline"]).ok();
    fs::write(old.env(PROD), env).unwrap();
    fs::write(old.root.join("connections.json"), index).unwrap();
    (portal, home, old)
}

#[test]
fn a_half_done_import_resumes() {
    for version in VERSIONS {
        let (portal, home, old) = half_imported(version);
        fs::write(old.file(PROD, ".env.lock"), "pid=1\n").unwrap();
        fs::copy(old.env(PROD), old.file(PROD, ".env.4711.tmp")).unwrap();
        fs::copy(old.env(PROD), old.file(PROD, ".env.bak")).unwrap();
        let before = snapshot(home.path());
        let out = import(&home, &["--dry-run"]).ok();
        assert!(out.stdout.contains("Would finish importing: Prod\n"));
        assert_eq!(snapshot(home.path()), before);
        let out = import(&home, &[]).ok();
        assert!(out
            .stdout
            .contains("[OK] Finished importing connection: Prod\n"));
        // A copy that the user made is kept, and reported.
        assert!(out.stdout.contains(".env.bak"), "{}", out.stdout);
        fs::remove_file(old.file(PROD, ".env.bak")).unwrap();
        no_plaintext(&home, &old);
        assert!(!old.file(PROD, ".env.lock").exists());
        assert!(!portal.accepts_refresh_token(&old.refresh));
        good_token(&home, &portal, PROD);
        nothing_to_do(&home, &[]);
    }
}

#[test]
fn of_two_sign_ins_the_newer_one_is_kept() {
    // A program of the predecessor was still running, extended the sign-in, and wrote its file
    // again.
    let (portal, home, old) = half_imported("0.2.1");
    let seed = portal.seed_user(USER);
    let newer = seed["refresh_token"].as_str().unwrap();
    let soon = jiff::Timestamp::now().as_second() + 5;
    rewrite(&old.env(PROD), |text| {
        let text = text.replace(&old.refresh, newer);
        text + &format!("OAUTH_REFRESH_TOKEN_ROTATED_AT={soon}.5\n")
    });
    import(&home, &[]).ok();
    assert!(!portal.accepts_refresh_token(newer));
    assert!(portal.accepts_refresh_token(&old.refresh));
    good_token(&home, &portal, PROD);

    // Meanwhile the user signed in with age-oauth.
    let (portal, home, old) = half_imported("0.2.1");
    sign_in_as(&home, &portal, "Prod", OTHER_USER, &["--switch-user"]).ok();
    let out = import(&home, &[]).ok();
    assert!(out.stdout.contains("newer sign-in"), "{}", out.stdout);
    home.run(["whoami", "-c", PROD])
        .done()
        .ok()
        .out(&format!("{OTHER_USER}\n"));
    no_plaintext(&home, &old);
}

#[test]
fn of_two_client_secrets_the_user_chooses() {
    let (_portal, home, old) = half_imported("0.2.1");
    rewrite(&old.env(PROD), |text| {
        text.replace(app_secret(), "reset-secret")
    });
    import(&home, &["--offline"])
        .code(1)
        .err_has("differs from the one in the keychain");
    assert!(old.env(PROD).exists());
    home.run([
        "connections",
        "edit",
        "Prod",
        "--client-secret-stdin",
        "--no-check",
    ])
    .input("reset-secret\n")
    .done()
    .ok();
    import(&home, &["--offline"]).ok();
    assert!(!old.env(PROD).exists());
}

#[test]
fn a_connection_that_the_predecessor_creates_again_is_imported_again() {
    let (portal, home, old) = shared("0.2.1");
    let made = snapshot(&old.root);
    import(&home, &[]).ok();
    // The predecessor gives it the same id and overwrites our meta.json with its own format.
    let seed = portal.seed_user(USER);
    let newer = seed["refresh_token"].as_str().unwrap();
    for (path, content) in made {
        let text = String::from_utf8(content).unwrap();
        if path.starts_with(old.file(PROD, "")) || path.ends_with("connections.json") {
            fs::write(path, text.replace(&old.refresh, newer)).unwrap();
        }
    }
    home.run(["token", "-c", "Prod"]).done().code(1);
    let out = import(&home, &[]).ok();
    assert!(out.stdout.contains("[OK] Imported connection: Prod\n"));
    assert!(!portal.accepts_refresh_token(newer));
    good_token(&home, &portal, "Prod");
    nothing_to_do(&home, &[]);
}

#[test]
fn concurrent_imports_import_once() {
    let (portal, home, old) = shared("0.2.1");
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut child = home.run(["connections", "import"]).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    let mut imported = 0;
    for child in children {
        let out = Outcome::of(child).ok();
        imported += out.stdout.matches("[OK] Imported").count();
    }
    assert_eq!(imported, 4);
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1);
    no_plaintext(&home, &old);
    good_token(&home, &portal, "Prod");
}

// — portals —

#[test]
fn an_unreachable_portal_leaves_the_connection_imported() {
    let (portal, home, old) = shared("0.1.7");
    portal.stop();
    import(&home, &[])
        .code(6)
        .err_has("age-oauth refresh --now -c Prod");
    no_plaintext(&home, &old);
    nothing_to_do(&home, &[]);
    portal.start_again();
    home.run(["refresh", "--now", "-c", "Prod"]).done().ok();
    assert!(!portal.accepts_refresh_token(&old.refresh));
}

#[test]
fn a_sign_in_that_has_ended_is_imported_as_missing() {
    let (portal, home, old) = shared("0.2.1");
    portal.revoke_all();
    let out = import(&home, &[]).ok();
    assert!(out
        .stdout
        .contains("it needs a sign-in: age-oauth login -c Prod"));
    no_plaintext(&home, &old);
    sign_in(&home, &portal, "Prod").ok();
    good_token(&home, &portal, "Prod");
}

#[test]
fn a_portal_without_exchange_is_reported() {
    let portal = Portal::start(PortalVersion::Enterprise105);
    let home = home();
    let old = lay_out(&home.store(), "0.1.7", &home, &portal);
    let out = import(&home, &[]).ok();
    assert!(out.stdout.contains("did not extend"), "{}", out.stdout);
    assert!(portal.accepts_refresh_token(&old.refresh));
    no_plaintext(&home, &old);
    good_token(&home, &portal, "Prod");
}

// — bad input —

#[test]
fn unreadable_files_stay_and_the_rest_is_imported() {
    let (portal, home, old) = shared("0.2.1");
    home.allow_secrets_in("store/connections");
    // A directory, bytes that are not text, a damaged meta.json beside a valid `.env`.
    fs::remove_file(old.env(MY_PORTAL)).unwrap();
    fs::create_dir(old.env(MY_PORTAL)).unwrap();
    fs::write(old.env(ONLINE), b"PORTAL_URL=\xff\xfe\xff\n").unwrap();
    fs::write(old.file(PROD, "meta.json"), "{").unwrap();
    rewrite(&old.env(NIGHTLY), |text| {
        text.replace("OAUTH_AUTH_TYPE=app", "OAUTH_AUTH_TYPE=robot")
    });
    let before = snapshot(&old.root);
    let out = import(&home, &[]).code(1);
    assert!(out.stdout.contains("[OK] Imported connection: Prod\n"));
    for id in [MY_PORTAL, ONLINE, NIGHTLY] {
        assert!(out.stderr.contains(id), "{}", out.stderr);
        for (path, content) in &before {
            if path.starts_with(old.file(id, "")) {
                assert_eq!(&fs::read(path).unwrap(), content);
            }
        }
    }
    assert!(old.env(MY_PORTAL).is_dir());
    good_token(&home, &portal, "Prod");
    // They are still there and still reported; Prod is imported.
    let out = import(&home, &[]).code(1);
    assert_eq!(out.stdout, "");
}

#[cfg(unix)]
#[test]
fn links_pipes_and_locked_files_are_refused() {
    use std::os::unix::fs::{symlink, PermissionsExt};
    let (portal, home, old) = shared("0.2.1");
    for plain in ["store/connections", "moved", "dotfiles.env"] {
        home.allow_secrets_in(plain);
    }
    let aside = home.path().join("dotfiles.env");
    fs::rename(old.env(PROD), &aside).unwrap();
    symlink(&aside, old.env(PROD)).unwrap();
    let moved = home.path().join("moved");
    fs::rename(old.file(MY_PORTAL, ""), &moved).unwrap();
    symlink(&moved, old.root.join("connections").join(MY_PORTAL)).unwrap();
    fs::remove_file(old.env(NIGHTLY)).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(old.env(NIGHTLY))
        .status()
        .unwrap();
    assert!(made.success());
    fs::set_permissions(old.env(ONLINE), fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read(old.env(ONLINE)).is_ok();
    let before = (fs::read(&aside).unwrap(), snapshot(&moved));
    let out = import(&home, &[]).code(1);
    for id in [PROD, MY_PORTAL, NIGHTLY] {
        assert!(out.stderr.contains(id), "{}", out.stderr);
    }
    // Root can read everything.
    assert_eq!(out.stdout.contains("Online"), readable, "{}", out.stdout);
    assert_eq!(before, (fs::read(&aside).unwrap(), snapshot(&moved)));
    assert_eq!(portal.connections(), 0);
    // With the file itself in place of the link, the import works.
    fs::remove_file(old.env(PROD)).unwrap();
    fs::rename(&aside, old.env(PROD)).unwrap();
    let out = import(&home, &[]).code(1);
    assert!(out.stdout.contains("[OK] Imported connection: Prod\n"));
    good_token(&home, &portal, "Prod");
}

#[test]
fn a_damaged_index_hides_nothing_and_a_hostile_index_is_not_followed() {
    let (portal, home, old) = shared("0.1.7");
    let index = old.root.join("connections.json");
    let good = fs::read_to_string(&index).unwrap();
    fs::write(&index, "{\"connections\": [").unwrap();
    let out = import(&home, &[]).code(1).err_has("connections.json");
    assert!(out.stdout.contains("[OK] Imported connection: Prod\n"));
    assert!(out.stdout.contains("[OK] Imported connection: My Portal\n"));
    good_token(&home, &portal, "Prod");

    let outside = home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(
        outside.join(".env"),
        "PORTAL_URL=https://h\nOAUTH_CLIENT_ID=x\n",
    )
    .unwrap();
    fs::write(&index, good.replace(PROD, "../../outside")).unwrap();
    import(&home, &[]).code(1).err_has("../../outside");
    assert!(outside.join(".env").exists());
    for odd in [
        "[]",
        "{\"connections\": 7}",
        "{\"connections\": [7, {}, {\"id\": 7}]}",
    ] {
        fs::write(&index, odd).unwrap();
        let out = import(&home, &[]);
        assert!(out.code == 0 || out.code == 1, "{odd}: {}", out.stderr);
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn without_a_keychain_nothing_is_changed() {
    let (portal, home, old) = shared("0.2.1");
    let before = snapshot(&old.root);
    import(&home, &["--keychain", "os"])
        .code(5)
        .out("")
        .err_has("--keychain vault");
    assert_eq!(snapshot(&old.root), before);
    assert_eq!(portal.connections(), 0);
    import(&home, &["--keychain", "vault"]).ok();
    good_token(&home, &portal, "Prod");
}

// — in process, where the keychain can be made to fail —

struct Bench {
    portal: Portal,
    home: Home,
    old: OldStore,
    keychain: Arc<dyn SecretStore>,
    context: Context,
}

impl Bench {
    fn new(keychain: Arc<dyn SecretStore>) -> Self {
        let (portal, home, old) = shared("0.2.1");
        let context = Context {
            environment: Environment::of(Vec::<(String, String)>::new()),
            ..Context::process()
        };
        Self {
            portal,
            home,
            old,
            keychain,
            context,
        }
    }

    /// Imports `Prod`; `meanwhile` happens between reading and writing.
    fn import(&self, meanwhile: impl FnOnce()) -> age_oauth::Result<Migrated> {
        let store = ConnectionStore::open(self.home.store());
        let keychains = Keychains::fixed(Arc::clone(&self.keychain));
        let options = Options {
            keychain: KeychainKind::Os,
            keep_plaintext: false,
            dry_run: false,
        };
        let mut takeover = Migration::begin(&store, &keychains, &self.context, options)?;
        let package_store = PackageStore::open(&self.old.root);
        let plan = takeover.plan(&package_store, PROD)?;
        meanwhile();
        match plan {
            Plan::New(incoming) => takeover.execute(*incoming),
            Plan::Leftover(leftover) => takeover.resume(*leftover),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_keychain_that_fails_leaves_the_plaintext() {
    let keychain = MemoryStore::new();
    let bench = Bench::new(Arc::new(keychain.clone()));
    bench.home.allow_secrets_in("store/connections");
    let before = fs::read(bench.old.env(PROD)).unwrap();
    for call in [Call::Set, Call::Get] {
        keychain.fail_next(call, KeychainReason::Locked);
        let error = bench.import(|| ()).unwrap_err();
        assert!(matches!(error, Error::Keychain { .. }), "{error}");
        assert_eq!(fs::read(bench.old.env(PROD)).unwrap(), before);
        let store = ConnectionStore::open(bench.home.store());
        assert!(store.list(None).unwrap().connections.is_empty());
    }
    let taken = bench.import(|| ()).unwrap();
    assert!(taken.left.is_none() && taken.extend && !taken.resumed);
    assert!(!bench.old.env(PROD).exists());
    assert_eq!(bench.portal.connections(), 0);
}

/// A keychain that returns something else than was stored.
struct AlteringStore(MemoryStore);

impl SecretStore for AlteringStore {
    fn name(&self) -> &'static str {
        "forgetful"
    }
    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let found = self.0.get(item)?;
        Ok(found.map(|secret| {
            let mut text = secret.expose().to_owned();
            if item.account().ends_with(ItemKind::Tokens.as_str()) {
                text.pop();
            }
            Secret::new(text)
        }))
    }
    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        self.0.set(item, secret)
    }
    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        self.0.delete(item)
    }
    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        self.0.accounts()
    }
}

#[test]
fn a_keychain_that_returns_something_else_leaves_the_plaintext() {
    let bench = Bench::new(Arc::new(AlteringStore(MemoryStore::new())));
    bench.home.allow_secrets_in("store/connections");
    let before = fs::read(bench.old.env(PROD)).unwrap();
    match bench.import(|| ()).unwrap_err() {
        Error::Keychain { error, item, .. } => {
            assert_eq!(error.reason, KeychainReason::Refused);
            assert_eq!(item, Some(ItemKind::Tokens));
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(bench.old.env(PROD)).unwrap(), before);
}

#[test]
fn a_file_that_changed_during_the_import_is_not_deleted() {
    let bench = Bench::new(Arc::new(MemoryStore::new()));
    bench.home.allow_secrets_in("store/connections");
    let env = bench.old.env(PROD);
    let write = || {
        let text = fs::read_to_string(&env).unwrap();
        fs::write(&env, text.replace("your.username", "other.user")).unwrap();
    };
    let taken = bench.import(write).unwrap();
    assert!(matches!(taken.left, Some(Error::Corrupt { .. })));
    assert!(env.exists());
    let taken = bench.import(|| ()).unwrap();
    assert!(taken.left.is_none() && taken.resumed);
    assert!(!env.exists());
}

// — profiles of the ArcGIS API for Python —

#[test]
fn profiles_become_connections_without_a_sign_in() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let text = format!(
        "[prod]\nurl = {}/home/index.html\nusername = your.username\nclient_id = AgePracticeApp01\n\n\
         [by password]\nurl = {}\nusername = me\n\n[agol]\nclient_id = abc\n\n[bad]\nurl = ftp://x\nclient_id = abc\n",
        portal.url(),
        portal.url()
    );
    let profile = home.path().join(".arcgisprofile");
    fs::write(&profile, &text).unwrap();
    let flag = "--from-arcgis-profile";
    let before = snapshot(home.path());
    import(&home, &[flag, "--dry-run"]).code(1);
    assert_eq!(snapshot(home.path()), before);
    let out = import(&home, &[flag]).code(1).err_has("by password");
    assert!(out.stdout.contains("[OK] Imported connection: prod\n"));
    assert!(out.stdout.contains("[OK] Imported connection: agol\n"));
    let prod = show(&home, "prod");
    assert_eq!(prod["portal_url"], portal.url());
    assert_eq!(prod["username"], "your.username");
    assert_eq!(show(&home, "agol")["portal_url"], "https://www.arcgis.com");
    assert_eq!(fs::read_to_string(&profile).unwrap(), text);

    fs::write(&profile, text.split("[bad]").next().unwrap()).unwrap();
    nothing_to_do(&home, &[flag]);
    nothing_to_do(&home, &[flag, profile.to_str().unwrap()]);
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .done()
    .ok();
    sign_in(&home, &portal, "prod").ok();
    good_token(&home, &portal, "prod");
    assert_eq!(stored(&home, "prod").label.as_str(), "prod");
    import(&home, &[flag, "no such file"]).code(1);
    import(&home, &[flag, "--keep-plaintext"]).code(2);
}
