//! A registered application, shared among colleagues by a card.

use std::path::PathBuf;

use crate::home;
use crate::support::home::{Home, Run};
use crate::support::portal::{app_secret, service_secret, Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add_application, add_with, nothing_was_created, sign_in};

/// A portal, the card of a connection to it, and the fingerprint that the user is asked to pass on.
fn shared_card(flags: &[&str]) -> (Portal, String, String) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let sharer = home();
    let secret = sharer.path().join("secret");
    std::fs::write(&secret, app_secret()).unwrap();
    sharer.allow_secrets_in(&secret);
    let mut all = vec!["--client-secret-file", secret.to_str().unwrap()];
    all.extend(flags);
    add_with(&sharer, &portal, "Prod", &all);
    sign_in(&sharer, &portal, "Prod").ok();
    let token = sharer.run(["token"]).done().ok().line().to_owned();
    let out = sharer.run(["connections", "share"]).done().ok();
    for secret in [app_secret(), &token] {
        assert!(!out.stdout.contains(secret) && !out.stderr.contains(secret));
    }
    let fingerprint = out
        .stderr
        .split_whitespace()
        .find(|word| word.matches(':').count() == 31);
    (portal, out.stdout.clone(), fingerprint.unwrap().to_owned())
}

fn file(home: &Home, card: &str) -> PathBuf {
    let path = home.path().join("prod.json");
    std::fs::write(&path, card).unwrap();
    path
}

fn from(home: &Home, card: &str, flags: &[&str]) -> Run {
    let path = file(home, card);
    let mut words = vec!["connections", "add", "--from", path.to_str().unwrap()];
    words.extend(flags);
    home.run(words)
}

#[test]
fn a_colleague_needs_only_the_card_and_a_browser() {
    let (portal, card, fingerprint) = shared_card(&["--referer", "https://x.example"]);
    let home = home();
    from(&home, &card, &["--yes", "--ca-fingerprint", &fingerprint])
        .done()
        .ok()
        .out("[OK] Created connection: Prod\n")
        .err_has(APP_ID);
    sign_in(&home, &portal, "prod").ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["referer"], "https://x.example");
    assert_eq!(shown["has_client_secret"], false);
    // A card of an imported connection is identical.
    home.run(["connections", "share"]).done().ok().out(&card);
}

#[test]
fn a_card_can_come_through_a_pipe_and_update_a_connection() {
    let (_portal, card, fingerprint) = shared_card(&[]);
    let home = home();
    let words = [
        "connections",
        "add",
        "--from",
        "-",
        "--yes",
        "--ca-fingerprint",
        &fingerprint.to_lowercase().replace(':', ""),
    ];
    home.run(words).input(card.clone()).done().ok();
    home.run(words)
        .input(card.clone())
        .done()
        .code(4)
        .err_has("--replace");
    home.run(words.iter().copied().chain(["--replace"]))
        .input(card.clone())
        .done()
        .ok();
    home.run(words.iter().copied().chain(["--label", "Second"]))
        .input(card)
        .done()
        .ok();
    assert_eq!(
        home.run(["connections", "list"])
            .done()
            .ok()
            .stdout
            .lines()
            .count(),
        2
    );
}

#[test]
fn an_authority_in_a_card_is_confirmed_by_its_fingerprint_or_refused() {
    let (_portal, card, fingerprint) = shared_card(&[]);
    let home = home();
    from(&home, &card, &["--yes"])
        .done()
        .code(2)
        .err_has("--ca-fingerprint");
    from(&home, &card, &[]).done().code(2).err_has("--yes");
    let wrong = fingerprint
        .replace(':', "")
        .chars()
        .rev()
        .collect::<String>();
    from(&home, &card, &["--yes", "--ca-fingerprint", &wrong])
        .done()
        .code(2);
    from(&home, &card, &["--yes", "--portal", "https://h/p"])
        .done()
        .code(2);
    nothing_was_created(&home);
}

#[test]
fn a_card_that_was_changed_is_too_large_or_newer_is_refused() {
    let (portal, card, fingerprint) = shared_card(&[]);
    let home = home();
    for (changed, why) in [
        (
            card.replace(&portal.url(), "https://evil.example/portal"),
            "changed",
        ),
        (card.replace(APP_ID, "SomethingElse"), "changed"),
        (
            card.replace("\"age_oauth_card\": 1", "\"age_oauth_card\": 99"),
            "newer",
        ),
        (
            card.replacen('{', "{\"verify_ssl\": false,", 1),
            "verify_ssl",
        ),
        (
            card.replace("\"Prod\"", &format!("\"{}\"", "x".repeat(100_000))),
            "larger",
        ),
        ("{}".to_owned(), "`age_oauth_card` is missing"),
        (String::new(), "not JSON"),
        ("<html>".to_owned(), "not JSON"),
    ] {
        from(
            &home,
            &changed,
            &["--yes", "--ca-fingerprint", &fingerprint],
        )
        .done()
        .code(2)
        .err_has(why);
    }
    home.run(["connections", "add", "--from", "no-such-file", "--yes"])
        .done()
        .code(1);
    nothing_was_created(&home);
}

/// A FIFO without a writer would be waited for without end.
#[cfg(unix)]
#[test]
fn a_card_is_not_read_from_a_named_pipe() {
    let home = home();
    let path = home.path().join("card.json");
    assert!(std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap()
        .success());
    let words = [
        "connections",
        "add",
        "--yes",
        "--from",
        path.to_str().unwrap(),
    ];
    home.run(words).done().code(1).err_has("not a regular file");
}

#[test]
fn the_card_of_an_application_asks_only_for_the_secret() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let sharer = home();
    add_application(&sharer, &portal, "jobs");
    let out = sharer
        .run(["connections", "share"])
        .done()
        .ok()
        .err_has("client secret");
    assert!(!out.stdout.contains(service_secret()));
    let fingerprint = out
        .stderr
        .split_whitespace()
        .find(|word| word.matches(':').count() == 31)
        .unwrap();
    let home = home();
    let flags = ["--yes", "--ca-fingerprint", fingerprint];
    from(&home, &out.stdout, &flags)
        .done()
        .code(2)
        .err_has("AGE_OAUTH_CLIENT_SECRET");
    from(&home, &out.stdout, &flags)
        .env("AGE_OAUTH_CLIENT_SECRET", service_secret())
        .done()
        .ok();
    home.run(["login"]).done().ok();
}

#[test]
fn settings_that_weaken_security_are_not_shared() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let url = portal.url();
    let words = [
        "connections",
        "add",
        "--label",
        "open",
        "--client-id",
        APP_ID,
        "--verify-ssl",
        "false",
        "--proxy",
        "none",
        "--portal",
        &url,
    ];
    home.run(words).done().ok();
    home.run(["connections", "edit", "--pkce", "false"])
        .done()
        .ok();
    let out = home.run(["connections", "share"]).done().ok();
    for text in ["verify", "proxy", "pkce", "false"] {
        assert!(!out.stdout.contains(text), "{text}");
    }
    assert_eq!(out.stderr.matches("warning:").count(), 3, "{}", out.stderr);
    let plain = [
        "connections",
        "add",
        "--no-check",
        "--label",
        "plain",
        "--client-id",
        "x",
        "--portal",
        "http://localhost:7080/portal",
    ];
    home.run(plain).done().ok();
    home.run(["connections", "share", "plain"])
        .done()
        .code(2)
        .err_has("https");
}

/// Everything that decides whom the person trusts is on the screen before the first question, and
/// until the last answer nothing is stored and no portal is asked.
#[cfg(unix)]
#[test]
fn the_card_is_shown_whole_before_anything_is_stored_or_sent() {
    use crate::support::pty::Terminal;
    let (portal, card, fingerprint) = shared_card(&["--referer", "https://gis.example.org/app"]);
    let url = portal.url();
    let host = url.split('/').nth(2).unwrap();
    let home = home();
    let path = file(&home, &card);
    let words = ["connections", "add", "--from", path.to_str().unwrap()];
    let asked = portal.requests().len();
    // The answers before the last one, and how the person ends the last question.
    for (answers, end, code) in [
        ("", "n", 1),
        ("", "\x03", 130),
        ("y", "n", 1),
        ("y", "\x03", 130),
    ] {
        let mut terminal = Terminal::start(&home, &words);
        terminal.expect("confirm this SHA-256 fingerprint");
        let screen = terminal.screen();
        let (shown, _) = screen.split_once("confirm this SHA-256").unwrap();
        let shown: String = shown.split_whitespace().collect();
        for line in [
            format!("Portal: {host} ({url})"),
            format!("Client ID: {APP_ID}"),
            "Token for: a person (signs in with a browser)".to_owned(),
            "Label: Prod".to_owned(),
            "Redirect: ".to_owned(),
            "Referer: https://gis.example.org/app".to_owned(),
            "Trusts: ".to_owned(),
            format!("SHA-256 {fingerprint}"),
        ] {
            let line: String = line.split_whitespace().collect();
            assert!(shown.contains(&line), "{line} in:\n{screen}");
        }
        for answer in answers.chars() {
            terminal.send(&answer.to_string());
            terminal.expect("Is this your portal");
        }
        terminal.send(end);
        assert_eq!(terminal.end(), code, "{answers}{end:?}");
        nothing_was_created(&home);
        assert_eq!(portal.requests().len(), asked);
    }
}

#[cfg(unix)]
#[test]
fn the_user_sees_the_content_of_the_card_and_decides() {
    use crate::support::pty::Terminal;
    let (portal, card, fingerprint) = shared_card(&[]);
    let home = home();
    let path = file(&home, &card);
    let words = [
        "connections",
        "add",
        "--from",
        path.to_str().unwrap(),
        "--login",
    ];
    let mut terminal = Terminal::start(&home, &words);
    terminal
        .expect(APP_ID)
        .expect(&fingerprint)
        .expect("confirm this SHA-256 fingerprint")
        .send("n");
    assert_eq!(terminal.end(), 1);
    nothing_was_created(&home);
    let mut terminal = Terminal::start(&home, &words);
    terminal
        .expect("confirm this SHA-256 fingerprint")
        .send("y");
    terminal
        .expect("Is this your portal, and do you want to add")
        .send("y");
    terminal
        .expect("[OK] Created connection: Prod")
        .expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, "your.username").code());
    terminal.expect("Token is for user: your.username");
    assert_eq!(terminal.end(), 0);
}
