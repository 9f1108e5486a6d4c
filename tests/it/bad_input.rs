//! Invalid input gets a clear error, and nothing is lost: flags, files, codes, clocks, full disks.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde_json::{json, Value};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    service_secret, Endpoint, Fault, Portal, PortalVersion, APP_ID, SERVICE_ID, USER,
};
#[cfg(unix)]
use crate::support::scenario::add_arguments;
use crate::support::scenario::{
    add, add_application_arguments, add_with, folder_of, nothing_was_created, sign_in,
};

fn start() -> (Portal, Home) {
    (Portal::start(PortalVersion::Enterprise114), home())
}

/// `connections add` with the required flags; a test replaces some or, with `None`, leaves them
/// out.
fn try_add(home: &Home, portal: &Portal, changes: &[(&str, Option<&str>)]) -> Outcome {
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let mut flags = vec![
        ("--label", Some("prod")),
        ("--portal", Some(&*url)),
        ("--client-id", Some(APP_ID)),
        ("--verify-ssl", ca.to_str()),
    ];
    for (name, value) in changes {
        flags.retain(|(known, _)| known != name);
        flags.push((name, *value));
    }
    let mut arguments = vec!["connections", "add"];
    for (name, value) in flags {
        arguments.extend(value.map(|value| [name, value]).into_iter().flatten());
    }
    home.run(arguments).done()
}

/// Labels in the order of the list.
fn labels(home: &Home) -> Vec<String> {
    let listed = home.run(["connections", "list"]).done().ok().stdout;
    let label = |line: &str| line.split('\t').nth(1).unwrap_or_default().to_owned();
    listed.lines().map(label).collect()
}

/// Folders below `connections/`, drafts included.
fn folders(home: &Home) -> Vec<PathBuf> {
    let all = fs::read_dir(home.store().join("connections"));
    all.map_or_else(
        |_| Vec::new(),
        |all| all.flatten().map(|entry| entry.path()).collect(),
    )
}

#[track_caller]
fn no_control_characters(outcome: &Outcome) {
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
}

// — labels, addresses, files, secrets —

#[test]
fn labels_with_unusable_characters_are_refused() {
    let (portal, home) = start();
    let long = "x".repeat(65);
    for label in ["", "   ", &long, "a\nb", "a\u{1b}[31mb", "a\u{202e}b"] {
        let said = try_add(&home, &portal, &[("--label", Some(label))]).code(2);
        assert!(said.stderr.contains("label"), "{}", said.stderr);
        no_control_characters(&said.out(""));
        nothing_was_created(&home);
    }
}

#[test]
fn unusual_but_valid_labels_work_everywhere() {
    let (portal, home) = start();
    let full = "x".repeat(64);
    let names = [
        "../../etc",
        "🗺 maps",
        "C:\\con",
        "--help",
        "a'b\"$(c)`d`",
        &full,
    ];
    for name in names {
        let given = format!("--label={name}");
        let (url, ca) = (
            portal.url(),
            portal.ca_file(home.path()).display().to_string(),
        );
        home.run([
            "connections",
            "add",
            &given,
            "--portal",
            &url,
            "--client-id",
            APP_ID,
            "--verify-ssl",
            &ca,
        ])
        .done()
        .ok()
        .out(&format!("[OK] Created connection: {name}\n"));
    }
    assert_eq!(folders(&home).len(), names.len());
    let outside = fs::read_dir(home.path()).unwrap().flatten();
    let mut outside: Vec<_> = outside.map(|entry| entry.file_name()).collect();
    outside.sort();
    assert_eq!(outside, ["ca.pem", "store", "store.key"]);
    for name in names {
        let chosen = format!("--connection={name}");
        let said = home.run(["token", &chosen]).done().code(3);
        no_control_characters(&said);
    }
}

#[test]
fn a_label_is_unique_across_unicode_forms_and_case() {
    let (portal, home) = start();
    try_add(&home, &portal, &[("--label", Some("Zürich"))]).ok();
    for again in ["Zürich", "ZÜRICH", "Zu\u{308}rich", "  zürich "] {
        try_add(&home, &portal, &[("--label", Some(again))])
            .code(4)
            .out("")
            .err_has("--replace");
    }
    add(&home, &portal, "other");
    home.run(["connections", "rename", "other", "zÜrich"])
        .done()
        .code(4);
    assert_eq!(labels(&home), ["other", "Zürich"]);
    assert_eq!(folders(&home).len(), 2);
}

#[test]
fn invalid_portal_urls_are_refused_without_a_request() {
    let (portal, home) = start();
    for (address, word) in [
        ("", "empty"),
        ("http://gis.example.org/portal", "http"),
        ("https://me@localhost/portal", "user"),
        ("https://me:secret-word@localhost/portal", "user"),
        ("ftp://localhost/portal", "http"),
        ("https://", "host"),
        ("https://h/\u{1b}[2J", "control"),
        ("https://a b/", "blank"),
    ] {
        let said = try_add(&home, &portal, &[("--portal", Some(address))]).code(2);
        let text = said.stderr.to_lowercase();
        assert!(text.contains(word), "{address}: {text}");
        assert!(!text.contains("secret-word"), "{text}");
        no_control_characters(&said.out(""));
    }
    nothing_was_created(&home);
    assert_eq!(portal.connections(), 0);
}

#[test]
fn a_url_without_a_scheme_is_https() {
    let (portal, home) = start();
    let bare = portal.url().replace("https://", "");
    try_add(&home, &portal, &[("--portal", Some(&bare))]).ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["portal_url"], portal.url().as_str());
}

#[test]
fn a_server_that_is_not_a_portal_is_not_added() {
    let (portal, home) = start();
    for fault in [
        Fault::Status(404),
        Fault::Json(json!({"hello": "world"})),
        Fault::Json(json!([])),
        Fault::Json(json!({"currentVersion": null})),
    ] {
        let case = format!("{fault:?}");
        portal.set(|rules| rules.fault(Endpoint::Root, fault));
        let said = try_add(&home, &portal, &[]).code(6).out("");
        assert!(
            said.stderr.contains("no ArcGIS portal"),
            "{case}: {}",
            said.stderr
        );
        nothing_was_created(&home);
    }
    let elsewhere = portal.url().replace("/portal", "/elsewhere");
    try_add(&home, &portal, &[("--portal", Some(&elsewhere))]).code(6);
    nothing_was_created(&home);
}

/// The portal's authority in valid and invalid file formats.
#[test]
fn certificate_files_are_read_in_every_valid_format_and_in_no_other() {
    let (portal, home) = start();
    let pem = portal.ca_pem().to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    let key = portal.client_identity("x").key_pem;
    let file = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let half = &pem.as_bytes()[..pem.len() / 2];
    let folder = home.path().display().to_string();
    let missing = home.path().join("missing.pem").display().to_string();
    for (path, word) in [
        (missing, "missing.pem"),
        (file("empty.pem", b""), "empty"),
        (file("blank.pem", b"\xef\xbb\xbf\r\n \n"), "empty"),
        (file("text.pem", b"hello\n"), "certificate"),
        (file("key.pem", key.as_bytes()), "private key"),
        (file("half.pem", half), "certificate"),
        (file("half.der", &der[..der.len() / 2]), "certificate"),
        (folder, "certificate"),
        (String::new(), "--verify-ssl"),
    ] {
        let said = try_add(&home, &portal, &[("--verify-ssl", Some(&path))]).code(2);
        assert!(said.stderr.contains(word), "{path}: {}", said.stderr);
        assert!(!said.stderr.contains(key.lines().nth(1).unwrap()));
        nothing_was_created(&home);
    }
    assert_eq!(portal.connections(), 0);
    let windows = pem.replace('\n', "\r\n");
    let wordy = format!("Subject: somebody\n{pem}trailing words\n");
    let both = format!("{key}{pem}");
    for (name, bytes) in [
        ("plain", pem.as_bytes()),
        ("der", &der),
        ("windows", windows.as_bytes()),
        ("bom", &[b"\xef\xbb\xbf", windows.as_bytes()].concat()),
        ("wordy", wordy.as_bytes()),
        ("both", both.as_bytes()),
    ] {
        let path = file(name, bytes);
        try_add(
            &home,
            &portal,
            &[("--label", Some(name)), ("--verify-ssl", Some(&path))],
        )
        .ok();
        fs::remove_file(path).unwrap();
        let kept = fs::read_to_string(folder_of(&home, name).join("ca.pem")).unwrap();
        assert_eq!(
            kept.matches("BEGIN").count(),
            1,
            "{name}: certificates and nothing else"
        );
    }
    // An invalid file leaves a connection unchanged.
    let bad = file("bad.pem", b"hello");
    home.run(["connections", "edit", "der", "--verify-ssl", &bad])
        .done()
        .code(2);
    let kept = fs::read_to_string(folder_of(&home, "der").join("ca.pem")).unwrap();
    assert!(kept.contains("BEGIN CERTIFICATE"));
}

#[test]
fn invalid_client_secrets_are_refused_and_not_shown() {
    let (portal, home) = start();
    let (url, ca) = (
        portal.url(),
        portal.ca_file(home.path()).display().to_string(),
    );
    let try_secret = |secret: &str| {
        let arguments = add_application_arguments("service", &url, SERVICE_ID, &ca);
        home.run(arguments).input(secret).done()
    };
    let long = "s3cr3t".repeat(667);
    let twice = service_secret().repeat(2);
    for secret in [
        "",
        "\n",
        "s3cr3t-one\ns3cr3t-two\n",
        &long,
        SERVICE_ID,
        &twice,
        "s3cr3t\u{1b}",
    ] {
        let said = try_secret(secret).code(2).out("").err_has("client secret");
        assert!(!said.stderr.contains("s3cr3t"), "{}", said.stderr);
        assert!(!said.stderr.contains(service_secret()), "{}", said.stderr);
        nothing_was_created(&home);
    }
    try_secret(&format!("  {}\r\n", service_secret())).ok();
    home.run(["token"]).done().ok();
    // An invalid one leaves the valid one in place.
    home.run(["connections", "edit", "service", "--client-secret-stdin"])
        .input("")
        .done()
        .code(2);
    home.run(["token", "--force"]).done().ok();
}

// — what is missing —

#[test]
fn missing_arguments_are_named_without_a_terminal() {
    let (portal, home) = start();
    for flag in ["--label", "--portal", "--client-id"] {
        try_add(&home, &portal, &[(flag, None)])
            .code(2)
            .out("")
            .err_has(flag);
    }
    try_add(&home, &portal, &[("--auth-type", Some("app"))])
        .code(2)
        .err_has("--client-secret-stdin")
        .err_has("AGE_OAUTH_CLIENT_SECRET");
    nothing_was_created(&home);
    add(&home, &portal, "prod");
    home.run(["connections", "remove", "prod"])
        .done()
        .code(2)
        .err_has("--yes");
    home.run(["connections", "remove", "--all"])
        .done()
        .code(2)
        .err_has("--yes");
    home.run(["connections", "remove", "--yes"])
        .done()
        .code(2)
        .err_has("NAME");
    home.run(["connections", "use"]).done().code(2);
    assert_eq!(labels(&home), ["prod"]);
}

/// Every command has help, and an unknown argument is wrong usage.
#[test]
fn every_command_has_help() {
    let home = home();
    let mut waiting = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let with = |last: &str| {
            let mut arguments = path.clone();
            arguments.push(last.to_owned());
            arguments
        };
        let help = home.run(with("--help")).done().ok();
        assert!(help.stdout.contains("Usage:"), "{path:?}");
        assert_eq!(help.stderr, "", "{path:?}");
        let refused = home.run(with("--no-such-flag")).done().code(2);
        // The output of export-env is evaluated, so that no output would mean success.
        let evaluated = path.iter().any(|word| word == "export-env");
        let last = refused.stdout.lines().last().unwrap_or_default();
        // The statements for PowerShell are one line.
        let fails = if cfg!(windows) {
            last.contains("; throw ")
        } else {
            last.starts_with("false")
        };
        assert_eq!(fails, evaluated, "{path:?}: {last}");
        assert_eq!(refused.stdout.is_empty(), !evaluated, "{path:?}");
        seen += 1;
        let commands = help.stdout.split_once("Commands:\n").map(|(_, rest)| rest);
        for line in commands.unwrap_or_default().lines() {
            let Some(name) = line
                .strip_prefix("  ")
                .and_then(|line| line.split(' ').next())
            else {
                break;
            };
            if !name.is_empty() && name != "help" {
                waiting.push(with(name));
            }
        }
    }
    assert!(seen > 12, "only {seen} commands were found");
    home.run(["no-such-command"]).done().code(2);
    let version = home.run(["--version"]).done().ok();
    assert!(version.stdout.starts_with("age-oauth "));
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        0,
        "looking writes nothing"
    );
}

// — which connection —

#[test]
fn an_unknown_connection_is_an_error_that_lists_the_existing_ones() {
    let (portal, home) = start();
    home.run(["token"])
        .done()
        .code(4)
        .err_has("age-oauth connections add");
    add(&home, &portal, "one");
    add(&home, &portal, "two");
    for arguments in [
        &["token", "-c", "three"][..],
        &["connections", "show", "three"],
        &["connections", "use", "three"],
        &["connections", "remove", "three", "--yes"],
        &["token", "--connection-id", "one"],
        &["token", "-c", ""],
        &["token", "-c", "../one"],
    ] {
        let said = home.run(arguments).done().code(4).out("");
        assert!(
            said.stderr.contains("one, two"),
            "{arguments:?}: {}",
            said.stderr
        );
    }
    home.run(["token"])
        .env("AGE_OAUTH_CONNECTION", "three")
        .done()
        .code(4);
    home.run(["connections", "use", "--unset"]).done().ok();
    let said = home.run(["token"]).done().code(4);
    assert!(said.stderr.contains("one, two"), "{}", said.stderr);
}

#[test]
fn an_id_prefix_must_match_exactly_one_connection() {
    let (portal, home) = start();
    add(&home, &portal, "prod");
    let folder = folder_of(&home, "prod");
    let id = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let slug = "prod_".len();
    home.run(["token", "-c", &id[..slug + 4]]).done().code(3);
    home.run(["token", "-c", &id[..slug + 3]]).done().code(4);
    // A second connection whose id has the same prefix.
    let twin = format!("{}-0000-4000-8000-000000000000", &id[..slug + 8]);
    let mut meta: Value =
        serde_json::from_slice(&fs::read(folder.join("meta.json")).unwrap()).unwrap();
    meta["id"] = json!(twin);
    meta["label"] = json!("twin");
    let second = folder.with_file_name(&twin);
    fs::create_dir(&second).unwrap();
    fs::copy(folder.join("ca.pem"), second.join("ca.pem")).unwrap();
    fs::write(second.join("meta.json"), meta.to_string()).unwrap();
    let said = home
        .run(["token", "--json", "-c", &id[..slug + 8]])
        .done()
        .code(4);
    assert_eq!(said.error_json()["error"]["kind"], "ambiguous");
    home.run(["token", "-c", &id[..slug + 8]])
        .done()
        .code(4)
        .err_has(&id)
        .err_has(&twin);
    home.run(["token", "-c", &id]).done().code(3);
    home.run(["token", "-c", &id[..slug + 12]]).done();
}

// — damaged files —

/// Two connections, both signed in; the first is the default.
fn two() -> (Portal, Home) {
    let (portal, home) = start();
    for label in ["prod", "other"] {
        add(&home, &portal, label);
        sign_in(&home, &portal, label).ok();
    }
    (portal, home)
}

/// Checks that only the damaged connection fails, and that its name is reported.
#[track_caller]
fn only_one_is_damaged(home: &Home, case: &str) {
    let said = home.run(["token", "-c", "prod"]).done();
    assert!(matches!(said.code, 1 | 4), "{case}: {}", said.stderr);
    no_control_characters(&said.out(""));
    home.run(["token", "-c", "other"]).done().ok();
    let listed = home.run(["connections", "list"]).done().ok();
    assert_eq!(
        listed.stdout.lines().count(),
        1,
        "{case}: {}",
        listed.stdout
    );
    assert!(listed.stdout.contains("\tother\t"), "{case}");
    assert!(
        listed.stderr.contains("warning"),
        "{case}: {}",
        listed.stderr
    );
    assert!(listed.stderr.contains("prod_"), "{case}: {}", listed.stderr);
    no_control_characters(&Outcome {
        stdout: String::new(),
        ..listed
    });
    home.run(["logout", "-c", "prod"]).done();
    home.run(["connections", "rename", "prod", "production"])
        .done();
    home.run(["connections", "edit", "prod", "--referer", "x"])
        .done();
}

#[test]
fn a_damaged_meta_json_stops_only_its_own_connection_and_is_not_changed() {
    let (portal, home) = two();
    let folder = folder_of(&home, "prod");
    let path = folder.join("meta.json");
    let good = fs::read(&path).unwrap();
    let with = |name: &str, value: Value| {
        let mut meta: Value = serde_json::from_slice(&good).unwrap();
        meta[name] = value;
        meta.to_string().into_bytes()
    };
    let deep = "[".repeat(100_000).into_bytes();
    let cases = [
        ("truncated", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("list", b"[]".to_vec()),
        ("binary", vec![0xff; 64]),
        ("deep", deep),
        ("huge", vec![b' '; 2 * 1024 * 1024]),
        ("label of another type", with("label", json!(5))),
        ("tags of another type", with("tags", json!("x"))),
        ("no client id", with("client_id", json!(""))),
        ("unknown kind", with("auth_type", json!("wizard"))),
        ("unknown keychain", with("keychain", json!("shoebox"))),
        ("label that plays", with("label", json!("a\u{1b}[2J"))),
        (
            "plain http",
            with("portal_url", json!("http://gis.example.org/portal")),
        ),
        ("another ID", with("id", json!("prod_x"))),
        ("id that leads out", with("id", json!("../../etc"))),
    ];
    for (case, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        only_one_is_damaged(&home, case);
        home.run(["token"]).done().code(1).err_has("meta.json");
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{case}: it was written over"
        );
    }
    fs::write(&path, &good).unwrap();
    home.run(["whoami"]).done().ok().out("your.username\n");
    assert_eq!(portal.live_refresh_tokens(), 2, "nothing was revoked");
}

#[test]
fn a_meta_json_of_a_later_version_is_an_error_that_names_both_versions() {
    let (portal, home) = two();
    let path = folder_of(&home, "prod").join("meta.json");
    let good = fs::read(&path).unwrap();
    let mut meta: Value = serde_json::from_slice(&good).unwrap();
    meta["schema_version"] = json!(99);
    meta["written_by"] = json!("age-oauth 9.9.9");
    fs::write(&path, meta.to_string()).unwrap();
    only_one_is_damaged(&home, "later");
    home.run(["token"])
        .done()
        .code(1)
        .err_has("age-oauth 9.9.9")
        .err_has("schema 99")
        .err_has("schema 6");
    // Unknown fields are preserved.
    meta = serde_json::from_slice(&good).unwrap();
    meta["of_tomorrow"] = json!({"a": [1, 2]});
    fs::write(&path, meta.to_string()).unwrap();
    home.run(["connections", "edit", "prod", "--referer", "https://x"])
        .done()
        .ok();
    home.run(["token", "--force"]).done().ok();
    let kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["of_tomorrow"], json!({"a": [1, 2]}));
    drop(portal);
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_neither_followed_nor_replaced() {
    use std::os::unix::fs::{symlink, PermissionsExt};
    let (_portal, home) = two();
    let folder = folder_of(&home, "prod");
    let path = folder.join("meta.json");
    let aside = home.path().join("aside.json");
    fs::rename(&path, &aside).unwrap();
    let original = fs::read(&aside).unwrap();
    only_one_is_damaged(&home, "missing");
    fs::create_dir(&path).unwrap();
    only_one_is_damaged(&home, "directory");
    fs::remove_dir(&path).unwrap();
    symlink(&aside, &path).unwrap();
    only_one_is_damaged(&home, "link");
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(
        fs::read(&aside).unwrap(),
        original,
        "written through the link"
    );
    fs::remove_file(&path).unwrap();
    fs::copy(&aside, &path).unwrap();
    if !is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        only_one_is_damaged(&home, "unreadable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    home.run(["whoami", "-c", "prod"]).done().ok();
    // The folder itself is a link to another place.
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&folder, &elsewhere).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    only_one_is_damaged(&home, "folder");
    fs::remove_file(&folder).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    home.run(["whoami", "-c", "prod"]).done().ok();
}

/// Root ignores file modes.
#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let probe = tempfile::tempdir().unwrap();
    fs::metadata(probe.path()).unwrap().uid() == 0
}

#[test]
fn a_damaged_default_is_ignored_and_a_lost_label_index_is_harmless() {
    let (_portal, home) = two();
    let default = home.store().join("default");
    for garbage in [
        &b"\xff\xfe\x00"[..],
        b"",
        b"../../etc\n",
        b"gone_1234\n",
        &[b'x'; 4096],
    ] {
        fs::write(&default, garbage).unwrap();
        home.run(["token"]).done().code(4).err_has("other, prod");
        home.run(["token", "-c", "prod"]).done().ok();
        assert_eq!(labels(&home), ["other", "prod"]);
    }
    home.run(["connections", "use", "other"]).done().ok();
    home.run(["token"]).done().ok();
    let index = home.store().join("labels");
    fs::remove_dir_all(&index).unwrap();
    home.run(["token", "-c", "PROD"]).done().ok();
    home.run(["connections", "rename", "prod", "production"])
        .done()
        .ok();
    assert_eq!(fs::read_dir(&index).unwrap().count(), 2, "made anew");
    home.run(["token", "-c", "production"]).done().ok();
    home.run(["token", "-c", "prod"]).done().code(4);
    home.run(["connections", "rename", "production", "OTHER"])
        .done()
        .code(4);
}

/// Rule 24b: a secret stays with the portal and client id that it was stored for.
#[test]
fn rule_24b_a_changed_meta_json_sends_no_secret_elsewhere() {
    let (portal, home) = two();
    let elsewhere = Portal::start(PortalVersion::Enterprise114);
    let path = folder_of(&home, "prod").join("meta.json");
    let good = fs::read_to_string(&path).unwrap();
    for (name, value) in [
        ("portal_url", elsewhere.url()),
        ("client_id", SERVICE_ID.to_owned()),
    ] {
        let mut meta: Value = serde_json::from_str(&good).unwrap();
        meta[name] = json!(value);
        fs::write(&path, meta.to_string()).unwrap();
        let before = portal.requests().len();
        for arguments in [
            &["token", "--json"][..],
            &["token", "--force", "--json"],
            &["whoami", "--json"],
        ] {
            let said = home.run(arguments).done().code(5).out("");
            let error = &said.error_json()["error"];
            assert_eq!(
                (&error["kind"], &error["reason"]),
                (&json!("keychain"), &json!("mismatch"))
            );
        }
        assert_eq!(portal.requests().len(), before);
    }
    assert_eq!(elsewhere.connections(), 0);
    fs::write(&path, good).unwrap();
    home.run(["whoami"]).done().ok();
}

// — full disks, file modes —

/// Starts the program from a shell that first runs `prelude` (umask, limits).
#[cfg(unix)]
fn spawn_after(home: &Home, prelude: &str, arguments: &[&str]) -> Child {
    use std::process::{Command, Stdio};
    let script = format!("{prelude}; exec \"$0\" \"$@\"");
    Command::new("bash")
        .args(["-c", &script])
        .arg(home.program())
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .current_dir(home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash")
}

#[cfg(unix)]
fn run_after(home: &Home, prelude: &str, arguments: &[&str], input: &str) -> Outcome {
    let mut child = spawn_after(home, prelude, arguments);
    let mut stdin = child.stdin.take().unwrap();
    // A program that ends without reading closes the pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Outcome::of(child)
}

/// Every write of a byte to a file fails, as on a full disk.
#[cfg(unix)]
const DISK_FULL: &str = "trap '' XFSZ; ulimit -f 0";

/// Contents of the store and of the vault's key, without locks.
#[cfg(unix)]
fn snapshot(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = home
        .files()
        .into_iter()
        .filter(|path| !path.to_string_lossy().contains("lock"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[cfg(unix)]
#[test]
fn on_a_full_disk_old_content_stays_and_a_token_is_still_returned() {
    let (portal, home) = two();
    let before = snapshot(&home);
    for arguments in [
        &["connections", "edit", "prod", "--referer", "https://x"][..],
        &["connections", "edit", "prod", "--tag", "x"],
        &["connections", "rename", "prod", "production"],
        &["connections", "use", "other"],
    ] {
        let said = run_after(&home, DISK_FULL, arguments, "").code(1).out("");
        assert!(
            said.stderr.contains("cannot "),
            "{arguments:?}: {}",
            said.stderr
        );
        assert!(
            said.stderr.contains("cause: "),
            "{arguments:?}: {}",
            said.stderr
        );
        assert_eq!(snapshot(&home), before, "{arguments:?}");
    }
    // A new token that cannot be stored is still returned.
    let said = run_after(&home, DISK_FULL, &["token", "--force"], "").ok();
    assert!(portal.accepts_access_token(said.line()));
    assert!(said.stderr.contains("warning"), "{}", said.stderr);
    assert_eq!(snapshot(&home), before);
    home.run(["whoami", "-c", "prod"]).done().ok();
    home.run(["whoami", "-c", "other"]).done().ok();
}

#[cfg(unix)]
#[test]
fn on_a_full_disk_nothing_is_created_in_part() {
    let (portal, home) = start();
    let url = portal.url();
    let user = add_arguments("prod", &url, APP_ID, "false");
    let service = add_application_arguments("service", &url, SERVICE_ID, "false");
    for _ in 0..2 {
        let said = run_after(&home, DISK_FULL, &user, "").out("");
        assert!(matches!(said.code, 1 | 5), "{}", said.stderr);
        nothing_was_created(&home);
        let said = run_after(&home, DISK_FULL, &service, service_secret());
        assert!(matches!(said.code, 1 | 5), "{}", said.stderr);
        nothing_was_created(&home);
    }
    home.run(user).done().ok();
    home.run(service).input(service_secret()).done().ok();
    home.run(["token", "-c", "service"]).done().ok();
}

/// Past half of its life the sign-in is due to be extended, which ends the old one. Without disk
/// space for the new one, the exchange is not sent (rule 20).
#[cfg(unix)]
#[test]
fn rule_20_on_a_full_disk_no_refresh_token_is_spent() {
    let (portal, home) = start();
    add(&home, &portal, "prod");
    sign_in_ten_days_ago(&home, &portal);
    let before = snapshot(&home);
    run_after(&home, DISK_FULL, &["token"], "").code(5).out("");
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 0);
    assert_eq!(snapshot(&home), before);
    home.run(["token"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Exchange).len(), 1);
    assert_eq!(portal.live_refresh_tokens(), 1);
}

/// Signs in for two weeks, by a clock that is ten days behind.
#[cfg(unix)]
fn sign_in_ten_days_ago(home: &Home, portal: &Portal) {
    use age_oauth::{
        AuthorizationResponse, Clock, ConnectionStore, Context, Deadline, Environment, Keychains,
        Observer, Selector, Session, SignInOptions,
    };
    let context = Context {
        clock: Clock::new(|| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(240)),
        deadline: Deadline::never(),
        environment: Environment::of(home.environment()),
        observer: Observer::silent(),
        ..Context::process()
    };
    let store = ConnectionStore::open_default(&context.environment).unwrap();
    let connection = store.find(&Selector::Name("prod".into())).unwrap();
    let root = store.root().to_owned();
    let keychain = Keychains::new(root, true, false, &context).of(connection.keychain);
    let session = Session::new(store, connection, keychain, context);
    let fortnight = SignInOptions {
        minutes: Some(20_160),
        force_login: false,
    };
    let mut attempt = session.begin_sign_in(&fortnight).unwrap();
    let code = portal.authorize(attempt.url(), USER).code();
    let AuthorizationResponse::Code(code) = attempt.read_pasted(&code) else {
        panic!("the portal issued an invalid code");
    };
    let pending = session.exchange_code(&mut attempt, code).unwrap();
    session.accept(&pending).unwrap();
}

/// A sign-in that cannot be stored leaves the previous one in place.
#[cfg(unix)]
#[test]
fn on_a_full_disk_the_previous_sign_in_stays() {
    let (portal, home) = two();
    let before = snapshot(&home);
    let sent = portal.requests_to(Endpoint::Code).len();
    let child = spawn_after(&home, DISK_FULL, &["login", "-c", "prod"]);
    // The person is not sent to the portal for a sign-in that cannot be stored.
    let said = Outcome::of(child);
    assert!(matches!(said.code, 1 | 5), "{}", said.stderr);
    assert!(!said.stderr.contains("oauth2/authorize"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
    assert_eq!(portal.requests_to(Endpoint::Code).len(), sent);
    assert_eq!(snapshot(&home), before);
    home.run(["token", "--force", "-c", "prod"]).done().ok();
}

/// Rule 25: private to the owner, whatever the umask.
#[cfg(unix)]
#[test]
fn rule_25_files_and_folders_are_private_to_their_owner_whatever_the_umask() {
    for umask in ["umask 022", "umask 000"] {
        let (portal, home) = start();
        let (url, ca) = (
            portal.url(),
            portal.ca_file(home.path()).display().to_string(),
        );
        let user = add_arguments("prod", &url, APP_ID, &ca);
        let service = add_application_arguments("service", &url, SERVICE_ID, &ca);
        run_after(&home, umask, &user, "").ok();
        run_after(&home, umask, &service, service_secret()).ok();
        let child = spawn_after(&home, umask, &["login", "-c", "prod"]);
        finish_login(child, |url| portal.authorize(url, USER).code()).ok();
        for arguments in [
            &["token", "--force", "-c", "prod"][..],
            &["token", "-c", "service"],
            &["connections", "edit", "prod", "--referer", "https://x"],
            &["connections", "rename", "prod", "production"],
            &["connections", "use", "service"],
        ] {
            run_after(&home, umask, arguments, "").ok();
        }
        let mut seen = 0;
        check_modes(home.path(), &mut seen);
        assert!(seen > 10, "only {seen} files and folders were found");
    }
}

#[cfg(unix)]
fn check_modes(folder: &std::path::Path, seen: &mut usize) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        // The file that the test itself has written.
        if entry.file_name() == "ca.pem" && !entry.path().with_file_name("meta.json").exists() {
            continue;
        }
        let found = entry.metadata().unwrap();
        let mode = found.permissions().mode() & 0o7777;
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{:o} {}", mode, entry.path().display());
        *seen += 1;
        if found.is_dir() {
            check_modes(&entry.path(), seen);
        }
    }
}

// — codes and clocks —

/// Reads the URL that a started `login` prints and answers with the line that `code_for` returns
/// for it.
fn finish_login(mut child: Child, code_for: impl FnOnce(&str) -> String) -> Outcome {
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let url = loop {
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no address: {said}"))
            .unwrap();
        if line.starts_with("https://") {
            break line;
        }
        said.push_str(&line);
        said.push('\n');
    };
    writeln!(stdin, "{}", code_for(&url)).unwrap();
    drop(stdin);
    let rest =
        std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let out = child.wait_with_output().unwrap();
    said.push_str(&rest.join().unwrap());
    Outcome {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: said,
    }
}

fn login(home: &Home, label: &str, code_for: impl FnOnce(&str) -> String) -> Outcome {
    finish_login(home.run(["login", "-c", label]).spawn(), code_for)
}

#[test]
fn an_invalid_code_changes_no_sign_in() {
    let (portal, home) = two();
    let other = Portal::start(PortalVersion::Enterprise114);
    let elsewhere = crate::home();
    add(&elsewhere, &other, "there");
    let mut foreign = String::new();
    login(&elsewhere, "there", |url| {
        foreign = other.authorize(url, USER).code();
        String::new()
    })
    .code(3);
    let tokens = portal.requests_to(Endpoint::Code).len();
    for nothing in ["", "   ", "''", "two words"] {
        login(&home, "prod", |_| nothing.to_owned()).code(3).out("");
    }
    // Without any line, a sign-in that is still valid is renewed instead.
    home.run(["login", "-c", "prod"]).done().ok();
    assert_eq!(portal.requests_to(Endpoint::Code).len(), tokens);
    let wrong = |code: &str| {
        login(&home, "prod", |_| code.to_owned())
            .code(7)
            .out("")
            .err_has("code")
            .err_has("hint: ")
            .err_has("age-oauth login -c prod")
    };
    wrong("no-such-code-at-all");
    wrong(&foreign);
    // A code lives for minutes.
    let late = login(&home, "prod", |url| {
        let code = portal.authorize(url, USER).code();
        portal.clock().advance(Duration::from_secs(600));
        code
    });
    late.code(7).out("").err_has("age-oauth login -c prod");
    assert_eq!(portal.requests_to(Endpoint::Code).len(), tokens + 3);
    // The previous sign-in is unchanged.
    home.run(["token", "--force"]).done().ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
}

#[test]
fn without_a_code_and_without_a_sign_in_login_reports_that_a_sign_in_is_needed() {
    let (portal, home) = start();
    add(&home, &portal, "prod");
    for nothing in ["", "\n", "\n\n\n"] {
        home.run(["login"])
            .input(nothing)
            .done()
            .code(3)
            .out("")
            .err_has("age-oauth login");
    }
    assert!(portal.requests_to(Endpoint::Token).is_empty());
}

#[test]
fn a_wrong_clock_is_reported_and_harms_no_token() {
    for seconds in [-7200, 7200] {
        let (portal, home) = start();
        portal.clock().shift_seconds(seconds);
        let said = try_add(&home, &portal, &[]).ok();
        assert!(said.stderr.contains("clock"), "{}", said.stderr);
        sign_in(&home, &portal, "prod").ok();
        let first = home.run(["token", "--json"]).done().ok().json();
        let lives = first["expires_in"].as_i64().unwrap();
        assert!((1700..=1800).contains(&lives), "{lives}");
        let again = home.run(["token"]).done().ok();
        assert_eq!(again.line(), first["access_token"], "a good token is kept");
        assert!(portal.accepts_access_token(again.line()));
        home.run(["whoami"]).done().ok();
        assert_eq!(portal.grants(), ["authorization_code"]);
    }
    let (portal, home) = start();
    let said = try_add(&home, &portal, &[]).ok();
    assert!(!said.stderr.contains("clock"), "{}", said.stderr);
}

// — errors for programs —

#[track_caller]
fn is_kind(said: &Outcome, code: i32, kind: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    assert_eq!(said.stdout, "");
    for line in said.stderr.lines() {
        let parsed = serde_json::from_str::<Value>(line);
        assert!(
            parsed.is_ok_and(|value| value.is_object()),
            "no JSON object: {line}"
        );
    }
    let error = &said.error_json()["error"];
    assert_eq!(error["kind"], kind);
    assert!(error["message"]
        .as_str()
        .is_some_and(|text| !text.is_empty()));
    assert!(error.get("hint").is_some());
}

#[test]
fn errors_in_json_have_the_documented_kind_and_exit_code() {
    let (portal, home) = start();
    let json = |arguments: &[&str]| home.run(arguments.iter().chain(&["--json"])).done();
    is_kind(&json(&["token", "--no-such-flag"]), 2, "usage");
    is_kind(&json(&["token", "--min-ttl", "soon"]), 2, "usage");
    is_kind(&json(&["token"]), 4, "no_connection");
    add(&home, &portal, "prod");
    is_kind(&json(&["token"]), 3, "sign_in_needed");
    is_kind(&json(&["whoami"]), 3, "sign_in_needed");
    is_kind(
        &json(&["connections", "show", "nobody"]),
        4,
        "no_connection",
    );
    add_with(&home, &portal, "other", &[]);
    home.run(["connections", "use", "--unset"]).done().ok();
    is_kind(&json(&["whoami"]), 4, "ambiguous");
    home.run(["connections", "use", "prod"]).done().ok();
    sign_in(&home, &portal, "prod").ok();
    portal.set(|rules| rules.fault(Endpoint::CommunitySelf, Fault::error(403, "no")));
    is_kind(&json(&["whoami"]), 7, "refused");
    portal.stop();
    is_kind(&json(&["whoami"]), 6, "unreachable");
    is_kind(&json(&["token", "--force"]), 6, "unreachable");
    portal.start_again();
    is_busy(&home);
    let vault = home.store().join("vault");
    let kept = fs::read(&vault).unwrap();
    fs::remove_file(&vault).unwrap();
    let lost = json(&["token"]);
    is_kind(&lost, 5, "keychain");
    assert_eq!(lost.error_json()["error"]["reason"], "lost");
    fs::write(&vault, b"no vault at all").unwrap();
    is_kind(&json(&["token"]), 5, "keychain");
    fs::write(&vault, kept).unwrap();
    home.run(["token"]).done().ok();
    let meta = folder_of(&home, "prod").join("meta.json");
    fs::write(meta, b"{").unwrap();
    is_kind(&json(&["token"]), 1, "failed");
}

/// Another program holds the connection's lock.
fn is_busy(home: &Home) {
    let lock = folder_of(home, "prod").join("lock");
    let held = fs::File::options().write(true).open(lock).unwrap();
    held.lock().unwrap();
    let said = home
        .run(["--timeout", "1s", "token", "--force", "--json"])
        .done();
    is_kind(&said, 8, "busy");
    drop(held);
    home.run(["token", "--force", "--json"]).done().ok();
}

/// Warnings are lines of JSON too, and the error is the last line.
#[test]
fn warnings_in_json_are_separate_lines() {
    let (portal, home) = start();
    try_add(&home, &portal, &[("--verify-ssl", Some("false"))]).ok();
    let said = home.run(["token", "--json"]).done();
    is_kind(&said, 3, "sign_in_needed");
    let first: Value = serde_json::from_str(said.stderr.lines().next().unwrap()).unwrap();
    assert!(first["warning"].is_string(), "{first}");
}
