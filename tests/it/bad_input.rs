//! Bad input gets a clear error, and nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{
    Endpoint, Fault, Manner, Portal, APP_ID, OTHER_USER, SERVICE_ID, USER,
};
use crate::support::walk::{add, add_with, sign_in, sign_in_as};

/// A portal, and a home with one connection that is signed in.
fn world() -> (Portal, Home) {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    (portal, home)
}

fn folder(home: &Home) -> PathBuf {
    let shown = home
        .run(["connections", "show", "prod", "--json"])
        .done()
        .ok()
        .json();
    PathBuf::from(shown["folder"].as_str().unwrap())
}

fn labels(home: &Home) -> Vec<String> {
    let listed = home
        .run(["connections", "list", "--json"])
        .done()
        .ok()
        .json();
    let listed = listed.as_array().unwrap();
    listed
        .iter()
        .map(|one| one["label"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn labels_that_are_none_are_refused_and_odd_ones_are_kept() {
    let home = home();
    let add = |label: &str| {
        home.run([
            "connections",
            "add",
            "--no-check",
            "--portal",
            "https://h/p",
            "--client-id",
            "x",
            "--label",
            label,
        ])
        .done()
    };
    for bad in ["", "   ", "a\nb", "a\u{1b}[2J", &"x".repeat(65)] {
        let refused = add(bad).code(2);
        assert!(refused.stderr.contains("label"), "{}", refused.stderr);
        assert!(!refused.stderr.contains('\u{1b}'));
    }
    for good in ["../../etc", "🗺", "-x", &"y".repeat(64)] {
        let label = format!("--label={good}");
        home.run([
            "connections",
            "add",
            "--no-check",
            "--portal",
            "https://h/p",
            "--client-id",
            "x",
            &label,
        ])
        .done()
        .ok();
    }
    add("../../ETC").code(4).err_has("exists already");
    assert_eq!(labels(&home).len(), 4);
    for file in home.files() {
        assert!(file.starts_with(home.path()), "{}", file.display());
    }
    home.run(["connections", "remove", "../../etc", "--yes"])
        .done()
        .ok();
    assert_eq!(labels(&home).len(), 3);
}

#[test]
fn addresses_that_lead_to_no_portal_are_told_and_nothing_is_made() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path());
    let add = |url: &str| {
        home.run([
            "connections",
            "add",
            "--label",
            "x",
            "--client-id",
            "x",
            "--verify-ssl",
            ca.to_str().unwrap(),
            "--portal",
            url,
        ])
        .done()
    };
    for bad in [
        "http://gis.example.org/portal",
        "https://me:pw@h/p",
        "ftp://h/p",
        "",
    ] {
        add(bad).code(2);
    }
    add(&portal.url()[..portal.url().len() - 6])
        .code(6)
        .err_has("--no-check");
    for (fault, words) in [
        (Fault::Html200, "no ArcGIS portal"),
        (Fault::Status(404), "404"),
        (
            Fault::Json(serde_json::json!({ "hello": "world" })),
            "no ArcGIS portal",
        ),
    ] {
        portal.set(|rules| rules.fault_always(Endpoint::Root, fault));
        add(&portal.url()).code(6).err_has(words);
        portal.set(|rules| {
            rules.clear_faults();
        });
    }
    add("https://localhost:1/portal").code(6);
    assert_eq!(labels(&home), Vec::<String>::new());
    add(&portal.url().replace("https://", "")).ok();
}

#[test]
fn certificate_files_are_checked() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    let write = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let add = |label: &str, file: &str| {
        home.run([
            "connections",
            "add",
            "--label",
            label,
            "--portal",
            &portal.url(),
            "--client-id",
            "x",
            "--verify-ssl",
            file,
        ])
        .done()
    };
    for (file, words) in [
        (write("empty", b""), "empty"),
        (write("text", b"hello"), "certificate"),
        (
            write(
                "key",
                b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
            ),
            "private key",
        ),
        ("/nonexistent/ca.pem".to_owned(), "No such file"),
        (home.path().display().to_string(), "file"),
    ] {
        add("x", &file).code(2).err_has(words);
    }
    let pem = portal.ca_pem();
    let windows = format!("\u{feff}{}", pem.replace('\n', "\r\n"));
    add("pem", &write("ca.pem", pem.as_bytes())).ok();
    add("windows", &write("windows.pem", windows.as_bytes())).ok();
    let der = age_oauth::http::read_certificates(pem.as_bytes()).unwrap()[0].clone();
    add("der", &write("ca.der", &der)).ok();
}

#[test]
fn client_secrets_are_checked_and_never_shown() {
    let home = home();
    let add = |input: &str, kind: &str| {
        home.run([
            "connections",
            "add",
            "--no-check",
            "--label",
            "x",
            "--portal",
            "https://h/p",
            "--client-id",
            "theclient",
            "--auth-type",
            kind,
            "--client-secret-stdin",
        ])
        .input(input)
        .done()
    };
    let long = "z".repeat(4000);
    for bad in [
        "",
        "\n",
        "two\nlines",
        &long,
        "theclient",
        "halfhalfhalfhalf",
    ] {
        let refused = add(bad, "app").code(2);
        let shown = refused.stdout + &refused.stderr;
        assert!(
            bad.trim().len() < 9 || bad == "theclient" || !shown.contains(bad),
            "{shown}"
        );
    }
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label",
        "x",
        "--portal",
        "https://h/p",
        "--client-id",
        "c",
        "--auth-type",
        "app",
    ])
    .done()
    .code(2)
    .err_has("AGE_OAUTH_CLIENT_SECRET");
    assert_eq!(labels(&home), Vec::<String>::new());
    add("  canary-secret-1\r\n", "app").ok();
    assert_eq!(
        home.files_containing("canary-secret-1"),
        Vec::<PathBuf>::new()
    );
    let typed = home
        .run([
            "connections",
            "edit",
            "x",
            "--client-secret",
            "canary-secret-2",
        ])
        .done()
        .ok();
    assert!(typed.stderr.contains("history") && !typed.stderr.contains("canary"));
    assert_eq!(
        home.files_containing("canary-secret-2"),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn a_damaged_meta_json_is_told_and_the_others_go_on() {
    let (portal, home) = world();
    let meta = folder(&home).join("meta.json");
    let good = fs::read_to_string(&meta).unwrap();
    add(&home, &portal, "other");
    let newer = good
        .replace("\"schema_version\": 2", "\"schema_version\": 9")
        .replace(
            concat!("age-oauth ", env!("CARGO_PKG_VERSION")),
            "age-oauth 9.9.9",
        );
    for (bad, words) in [
        ("", "JSON"),
        (&good[..good.len() / 2], "JSON"),
        ("[]", "object"),
        (
            &good.replace("\"pkce\": true", "\"pkce\": \"yes\""),
            "boolean",
        ),
        (&newer, "9.9.9"),
        (&good.replace("https://", "ftp://"), "portal URL"),
    ] {
        fs::write(&meta, bad).unwrap();
        home.run(["token", "-c", "prod"])
            .done()
            .code(1)
            .err_has(words);
        let listed = home.run(["connections", "list"]).done().ok();
        assert_eq!(listed.stdout.lines().count(), 1);
        assert!(listed.stderr.contains("warning:"), "{}", listed.stderr);
        home.run(["connections", "show", "other"]).done().ok();
        assert_eq!(fs::read_to_string(&meta).unwrap(), bad);
    }
    fs::remove_file(&meta).unwrap();
    fs::create_dir(&meta).unwrap();
    home.run(["token", "-c", "prod"]).done().code(1);
    fs::remove_dir(&meta).unwrap();
    let elsewhere = home.path().join("elsewhere.json");
    fs::write(&elsewhere, &good).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &meta).unwrap();
    home.run(["token", "-c", "prod"])
        .done()
        .code(1)
        .err_has("prod");
    fs::remove_file(&meta).unwrap();
    let kept = good.replacen('{', "{\n  \"of_tomorrow\": {\"a\": [1]},", 1);
    fs::write(&meta, kept).unwrap();
    home.run(["token", "--force", "-c", "prod"]).done().ok();
    let now: Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    assert_eq!(now["of_tomorrow"]["a"][0], 1);
    assert!(now["last_used_at"].is_string());
}

#[test]
fn a_lost_index_and_a_damaged_default_do_no_harm() {
    let (_portal, home) = world();
    fs::remove_dir_all(home.store().join("labels")).unwrap();
    home.run(["token", "-c", "PROD"]).done().ok();
    fs::write(home.store().join("default"), "../../etc\n").unwrap();
    home.run(["token"]).done().ok();
    fs::write(home.store().join("default"), "gone_1234abcd\n").unwrap();
    home.run(["token"]).done().ok();
}

#[test]
fn connections_are_found_by_label_id_and_unique_prefix() {
    let (portal, home) = world();
    add(&home, &portal, "My Portal");
    let id = folder(&home)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for name in ["prod", "PROD", &id, &id[..id.find('_').unwrap() + 5]] {
        home.run(["connections", "show", name]).done().ok();
    }
    home.run(["token", "--connection-id", &id]).done().ok();
    home.run(["token", "--connection-id", "prod"])
        .done()
        .code(4);
    home.run(["connections", "show", "pro"])
        .done()
        .code(4)
        .err_has("there are: My Portal, prod");
    home.run(["connections", "show", &id[..id.find('_').unwrap() + 4]])
        .done()
        .code(4);
    let error = home
        .run(["token", "--json", "-c", "nobody"])
        .done()
        .code(4)
        .error_json();
    assert_eq!(error["error"]["kind"], "no_connection");
    assert_eq!(error["error"]["hint"], "age-oauth connections list");
    home.run(["connections", "use", "--unset"]).done().ok();
    let error = home.run(["token", "--json"]).done().code(4).error_json();
    assert_eq!(error["error"]["kind"], "ambiguous");
    home.run(["token"])
        .env("AGE_OAUTH_CONNECTION", "prod")
        .done()
        .ok();
    home.run(["connections", "use", "My Portal"])
        .env("AGE_OAUTH_CONNECTION", "prod")
        .done()
        .ok()
        .out("[OK] Active connection set: My Portal\n")
        .err_has("AGE_OAUTH_CONNECTION");
    home.run(["token"])
        .done()
        .code(3)
        .err_has("-c \"My Portal\"");
}

#[test]
fn without_a_terminal_a_missing_value_names_its_flag() {
    let home = home();
    for (given, missing) in [
        (vec![], "--label"),
        (vec!["--label", "x"], "--portal"),
        (
            vec!["--label", "x", "--portal", "https://h/p"],
            "--client-id",
        ),
    ] {
        let mut arguments = vec!["connections", "add", "--no-check"];
        arguments.extend(given);
        home.run(arguments).done().code(2).err_has(missing);
    }
    home.run(["connections", "remove", "--all"])
        .done()
        .code(2)
        .err_has("--yes");
    let error = home
        .run(["token", "--json", "--nonsense"])
        .done()
        .code(2)
        .error_json();
    assert_eq!(error["error"]["kind"], "usage");
    for help in [
        vec!["--help"],
        vec!["connections", "--help"],
        vec!["connections", "add", "--help"],
        vec!["login", "-h"],
        vec!["token", "--help"],
        vec!["export-env", "--help"],
    ] {
        assert!(home.run(help).done().ok().stdout.contains("Usage:"));
    }
    home.run(["--version"])
        .done()
        .ok()
        .out(concat!("age-oauth ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn codes_that_are_none_leave_the_stored_sign_in_alone() {
    let (portal, home) = world();
    let before = home.run(["token"]).done().ok().stdout;
    let login = |input: &str| home.run(["login"]).input(input).done();
    login("wrong-code-12345\n")
        .code(7)
        .err_has("age-oauth login -c prod");
    login("two words\n").code(3);
    login("error=access_denied\n").code(7).err_has("declined");
    login("https://h/approval?code=abcdefgh&state=other\n")
        .code(3)
        .err_has("another sign-in");
    assert_eq!(home.run(["token"]).done().ok().stdout, before);
    // At the end of input, a stored sign-in that still can be renewed is renewed.
    login("").ok().err_has("renewed instead");
    portal.revoke_all();
    login("").code(3);
}

#[test]
fn a_code_that_is_too_old_is_refused() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    portal.set(|rules| rules.code_seconds = 0);
    sign_in(&home, &portal, "prod")
        .code(7)
        .err_has("codes work once");
}

#[test]
fn rule_11_an_answer_that_is_lost_is_not_asked_for_twice() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    portal.set(|rules| rules.fault(Endpoint::Code, Fault::ResetAfter));
    sign_in(&home, &portal, "prod").code(6);
    assert_eq!(portal.requests_to(Endpoint::Code).len(), 1);
}

#[test]
fn rule_7_another_user_is_not_written_over_without_consent() {
    let (portal, home) = world();
    sign_in_as(&home, &portal, "prod", OTHER_USER, &[])
        .code(3)
        .err_has("--switch-user");
    assert_eq!(
        portal.live_refresh_tokens(),
        1,
        "the discarded one was revoked"
    );
    home.run(["whoami"]).done().ok().out(&format!("{USER}\n"));
    sign_in_as(&home, &portal, "prod", OTHER_USER, &["--switch-user"]).ok();
    home.run(["whoami"])
        .done()
        .ok()
        .out(&format!("{OTHER_USER}\n"));
    assert_eq!(portal.live_refresh_tokens(), 1);
}

#[test]
fn a_clock_two_hours_off_does_no_harm() {
    for shift in [-7200, 7200] {
        let portal = Portal::start(Manner::Enterprise114);
        portal.clock().shift_seconds(shift);
        let home = home();
        let ca = portal.ca_file(home.path());
        let added = home
            .run([
                "connections",
                "add",
                "--label",
                "prod",
                "--portal",
                &portal.url(),
                "--client-id",
                APP_ID,
                "--verify-ssl",
                ca.to_str().unwrap(),
            ])
            .done()
            .ok();
        assert!(added.stderr.contains("clock"), "{}", added.stderr);
        sign_in(&home, &portal, "prod").ok();
        let token = home.run(["token", "--json"]).done().ok().json();
        let left = token["expires_in"].as_i64().unwrap();
        assert!((1790..=1800).contains(&left), "{left}");
        assert_eq!(
            home.run(["token"]).done().ok().line(),
            token["access_token"]
        );
    }
}

#[test]
fn wrong_registrations_name_the_field_to_correct() {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add_with(&home, &portal, "prod", &[]);
    home.run(["connections", "edit", "prod", "--client-id", "unknown-app"])
        .done()
        .ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["client_id"], "unknown-app");
    home.run(["login"])
        .input("some-code-123\n")
        .done()
        .code(7)
        .err_has("--client-id");
    portal.expect_violations();

    let portal = Portal::start(Manner::Enterprise114);
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "add",
        "--label",
        "jobs",
        "--portal",
        &portal.url(),
        "--client-id",
        SERVICE_ID,
        "--auth-type",
        "app",
        "--client-secret-stdin",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .input("not-the-secret")
    .done()
    .ok();
    home.run(["token", "-c", "jobs"])
        .done()
        .code(7)
        .err_has("--client-secret-stdin");
}

#[test]
fn what_cannot_be_written_leaves_the_old_content() {
    let (_portal, home) = world();
    let meta = folder(&home).join("meta.json");
    let before = fs::read(&meta).unwrap();
    // The shell's own limit on file sizes: nothing can be written.
    let refused = std::process::Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 0; exec \"$0\" connections rename prod other",
        ])
        .arg(home.program())
        .env_clear()
        .envs(home.environment())
        .output()
        .unwrap();
    assert_eq!(
        refused.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    assert_eq!(fs::read(&meta).unwrap(), before);
    home.run(["token", "-c", "prod"]).done().ok();
    home.run(["connections", "rename", "prod", "other"])
        .done()
        .ok();
    home.run(["token", "-c", "other"]).done().ok();
    home.run(["connections", "rename", "other", "OTHER"])
        .done()
        .ok();
    home.run(["connections", "show", "prod"]).done().code(4);
}

#[test]
fn rule_25_modes_hold_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let made = std::process::Command::new("bash")
        .args(["-c", "umask 000; exec \"$0\" connections add --no-check --label x --portal https://h/p --client-id c --client-secret-stdin"])
        .arg(home.program())
        .env_clear()
        .envs(home.environment())
        .stdin(fs::File::open(secret_file(home.path())).unwrap())
        .output()
        .unwrap();
    assert!(made.status.success());
    fs::remove_file(secret_file(home.path())).unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    for file in home.files() {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let mut folder = file.parent().unwrap();
        while folder != home.path() {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
            folder = folder.parent().unwrap();
        }
    }
}

fn secret_file(folder: &Path) -> PathBuf {
    let path = folder.join("secret");
    if !path.exists() {
        fs::write(&path, "canary-secret").unwrap();
    }
    path
}

#[test]
fn rule_26_errors_and_details_show_no_secret() {
    let (portal, home) = world();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let mut said = String::new();
    for arguments in [
        vec!["-vv", "whoami"],
        vec!["-vv", "token", "--json", "--force"],
        vec!["-vv", "connections", "show"],
        vec!["-vv", "login"],
        vec!["-vv", "logout"],
        vec!["-vv", "token"],
    ] {
        let keep_out = arguments.contains(&"--json");
        let out = home.run(arguments).input("wrong-code-1234\n").done();
        said.push_str(&out.stderr);
        if !keep_out {
            said.push_str(&out.stdout);
        }
    }
    assert!(said.contains("POST "), "{said}");
    assert!(!said.contains(&token));
    portal.assert_no_secret("what was said", said.as_bytes());
}
