//! What a person types or pastes wrongly: the error says what was meant, and what to type.

use crate::support::portal::{Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add, add_arguments, ADD_UNCHECKED};
use crate::{home, signed_in};

#[test]
fn a_connection_named_without_its_option_is_recognized() {
    let (_portal, home) = signed_in();
    let refused = home.run(["token", "prod"]).done().code(2);
    let _ = refused.err_has("hint: to choose a connection: -c prod");
    let error = home
        .run(["token", "--json", "prod"])
        .done()
        .code(2)
        .error_json();
    assert_eq!(error["error"]["hint"], "to choose a connection: -c prod");
    let error = home
        .run(["connections", "show", "--json", "--nope"])
        .done()
        .code(2);
    let hint = error.error_json()["error"]["hint"].clone();
    assert_eq!(hint, "age-oauth connections show --help");
}

/// The hint names the word that was meant, and says nothing where no connection can be chosen.
#[test]
fn a_word_too_many_has_the_hint_of_its_command() {
    let (_portal, home) = signed_in();
    let choose = "hint: to choose a connection: -c prod\n";
    let quotes = "hint: a name with spaces must be in quotes";
    for (line, hint) in [
        ("token prod", choose),
        ("login prod", choose),
        ("whoami prod", choose),
        ("status prod", choose),
        ("export-env prod", choose),
        ("refresh prod", choose),
        ("logout prod", choose),
        ("doctor prod", choose),
        ("-c login token prod", choose),
        ("api prod community/self", choose),
        ("api PROD community/self", "-c PROD\n"),
        ("api prod portals", choose),
        ("api community/self prod", choose),
        ("api self prod", choose),
        (
            "api other community/self",
            "hint: to choose a connection: -c other\n",
        ),
        ("api community/self portals/self", ""),
        ("api -o data.zip community/self other", ""),
        ("exec prod -- true", choose),
        ("exec other -- true", "-c other\n"),
        ("exec prod true", choose),
        ("exec python nightly.py", "hint: put -- before the command"),
        ("connections add other", "--label other\n"),
        ("connections show prod extra", quotes),
        ("connections edit prod extra", quotes),
        ("connections use prod extra", quotes),
        ("connections share prod extra", quotes),
        ("connections remove prod extra", quotes),
        ("connections rename prod my portal", quotes),
        ("connections list prod", ""),
        ("connections info prod", ""),
        ("connections import folder prod", ""),
        ("vault rekey prod", ""),
        ("completions bash prod", ""),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let said = home.run(words).done().code(2);
        assert_eq!(
            said.stderr.contains("hint: "),
            !hint.is_empty(),
            "{line}: {}",
            said.stderr
        );
        assert!(said.stderr.contains(hint), "{line}: {}", said.stderr);
    }
}

/// A label with a blank, typed without quotes.
#[test]
fn the_words_of_a_label_without_quotes_are_put_together() {
    let (portal, home) = signed_in();
    add(&home, &portal, "My Portal");
    let choose = "hint: to choose a connection: -c \"My Portal\"\n";
    for (line, hint) in [
        ("token My Portal", choose),
        ("token my portal", "-c \"my portal\"\n"),
        ("token My Portal --json", "to choose a connection: -c "),
        ("login My Portal --switch-user", choose),
        ("-c My whoami My Portal", choose),
        ("status My Portal of the city", choose),
        ("doctor prod My Portal", "-c prod\n"),
        ("api My Portal community/self", choose),
        ("api community/self My Portal", choose),
        ("exec My Portal -- true", choose),
        ("exec My Portal true", choose),
        ("exec Another Portal -- true", "-c \"Another Portal\"\n"),
        ("token Another Portal", ""),
        ("api Another Portal", ""),
        ("connections add My Town", "--label \"My Town\"\n"),
        (
            "connections add town https://gis.example.com/portal",
            "--label town\n",
        ),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let said = home.run(words).done().code(2);
        assert_eq!(
            said.stderr.contains("hint"),
            !hint.is_empty(),
            "{line}: {}",
            said.stderr
        );
        let hint = if line.contains("--json") {
            "\"hint\":\"to choose"
        } else {
            hint
        };
        assert!(said.stderr.contains(hint), "{line}: {}", said.stderr);
    }
    let usage = home.run(["token", "Another", "Portal"]).done().code(2);
    let _ = usage.err_has("Usage: age-oauth token");
}

/// Windows runs `age-oauth.exe`; usage lines and pages name the program as it is typed.
#[cfg(unix)]
#[test]
fn the_usage_names_the_program_whatever_its_file_is_called() {
    let home = home();
    let renamed = home.path().join("age-oauth.exe");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_age-oauth"), &renamed).unwrap();
    let said = std::process::Command::new(&renamed)
        .args(["token", "--help"])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("Usage: age-oauth token ["), "{said}");
}

/// Its help is the one that the JSON answer names, whatever the connection is called.
#[test]
fn the_help_of_the_command_is_named_and_not_of_the_connection() {
    let home = home();
    let line = ["-c", "login", "connections", "list", "--json", "x"];
    let error = home.run(line).done().code(2).error_json();
    assert_eq!(error["error"]["hint"], "age-oauth connections list --help");
}

#[test]
fn add_without_a_terminal_names_everything_that_is_missing() {
    let home = home();
    home.run(["connections", "add", "--auth-type", "app"])
        .done()
        .code(2)
        .err_has("--label, --portal, --client-id, --client-secret-stdin are missing");
    home.run(["connections", "add", "--label=x", "--portal=https://h/p"])
        .done()
        .code(2)
        .err_has("--client-id is missing");
}

#[test]
fn a_redirect_uri_is_not_taken_for_a_client_id() {
    let home = home();
    for pasted in [
        "urn:ietf:wg:oauth:2.0:oob",
        "http://127.0.0.1:53682/callback",
    ] {
        let words = [
            "connections",
            "add",
            "--no-check",
            "--label=x",
            "--portal=https://h/p",
        ];
        home.run(words.iter().chain(&["--client-id", pasted]))
            .done()
            .code(2)
            .err_has("that is a redirect URI");
    }
}

#[test]
fn add_warns_if_the_portal_does_not_know_the_application() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path());
    let (url, ca) = (portal.url(), ca.to_str().unwrap());
    for (label, id, flags, warning) in [
        ("right", APP_ID, &[][..], None),
        ("id", "NoSuchApp", &[], Some("does not know this client ID")),
        (
            "uri",
            APP_ID,
            &["--redirect-uri", "https://elsewhere.example/cb"],
            Some("does not have this redirect URI"),
        ),
    ] {
        let words = [&add_arguments(label, &url, id, ca)[..], flags].concat();
        let added = home.run(words).done().ok().stderr;
        match warning {
            Some(text) => assert!(added.contains(text), "{added}"),
            None => assert!(!added.contains("register it there"), "{added}"),
        }
    }
}

#[test]
fn the_address_of_an_application_is_not_stored_as_a_portal() {
    let home = home();
    home.run(ADD_UNCHECKED).done().ok();
    let story = "https://storymaps.arcgis.com/stories/1a2b";
    let words = ["connections", "add", "--label=y", "--client-id=c"];
    for no_check in [&["--no-check"][..], &[]] {
        for address in [
            &["--portal", story][..],
            &["--portal=https://h/q", "--api-url", story],
        ] {
            home.run([&words[..], no_check, address].concat())
                .done()
                .code(2)
                .err_has("storymaps.arcgis.com is the address of ArcGIS StoryMaps, not of a portal")
                .err_has("https://ORGANIZATION.maps.arcgis.com");
        }
    }
    home.run(["connections", "edit", "x", "--no-check", "--portal", story])
        .done()
        .code(2)
        .err_has("not of a portal");
    let listed = home.run(["connections", "list"]).done().ok();
    assert!(!listed.stdout.contains("storymaps"), "{}", listed.stdout);
}

#[test]
fn an_edit_that_changes_nothing_says_so() {
    let (_portal, home) = signed_in();
    let refused = home.run(["connections", "edit", "prod"]).done().code(2);
    let _ = refused.err_has("no option says what to change");
    home.run(["connections", "edit", "prod", "--label", "new"])
        .done()
        .ok();
}

/// A label together with another change: both, or nothing.
#[test]
fn an_edit_that_is_refused_leaves_the_label() {
    let (portal, home) = signed_in();
    add(&home, &portal, "other");
    let label_of = |name: &str| {
        let shown = home.run(["connections", "show", name, "--json"]).done();
        shown.ok().json()["connection"].clone()
    };
    let referer = "https://scripts.example.com";
    let edit = ["connections", "edit", "prod", "--referer", referer];
    home.run([&edit[..], &["--label", "Other"]].concat())
        .done()
        .code(4);
    let shown = home.run(["connections", "show", "prod", "--json"]).done();
    assert_eq!(shown.ok().json()["referer"], serde_json::Value::Null);
    // On Linux, the home of the test has no keychain of the system to move the secrets to.
    if cfg!(target_os = "linux") {
        let edit = ["connections", "edit", "prod", "--keychain", "os"];
        home.run([&edit[..], &["--label", "new"]].concat())
            .done()
            .code(5);
        assert_eq!(label_of("prod"), "prod");
        home.run(["connections", "show", "new"]).done().code(4);
    }
    // Both are done, also where only the case of the label changes.
    let edit = ["connections", "edit", "prod", "--tag", "a"];
    home.run([&edit[..], &["--label", "Prod"]].concat())
        .done()
        .ok();
    assert_eq!(label_of("prod"), "Prod");
}

#[test]
fn an_unverified_portal_is_warned_about_when_it_is_added_and_edited() {
    let home = home();
    let add = [&ADD_UNCHECKED[..], &["--verify-ssl=false"]].concat();
    let warning = "the certificate of `x` is not verified";
    home.run(add).done().ok().err_has(warning);
    let edit = [
        "connections",
        "edit",
        "x",
        "--no-check",
        "--verify-ssl=false",
    ];
    home.run(edit).done().ok().err_has(warning);
}

#[test]
fn invisible_characters_in_any_field_change_nothing() {
    let home = home();
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label=prod\u{200b}",
        "--portal=\u{feff}https://h/p\u{ad}",
        "--client-id=ab\u{2060}c\u{a0}",
        "--redirect-uri=\u{202a}urn:ietf:wg:oauth:2.0:oob\u{202c}",
        "--proxy=http://proxy:3128\u{200e}",
        "--referer=https://r\u{200b}.example",
        "--tag=gi\u{200b}s",
        "--client-secret-stdin",
    ])
    .input("s3cr\u{200b}et-0815\u{feff}\n")
    .done()
    .ok();
    let shown = home
        .run(["connections", "show", "prod", "--json"])
        .done()
        .ok()
        .stdout;
    assert!(
        !shown.contains(['\u{200b}', '\u{2060}', '\u{ad}', '\u{200e}']),
        "{shown}"
    );
    for text in [
        "\"prod\"",
        "\"https://h/p\"",
        "\"abc\"",
        "http://proxy:3128",
        "https://r.example",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // The same name, as far as anybody can see.
    home.run(["connections", "show", "pr\u{200b}od"])
        .done()
        .ok();
    let again = [
        "connections",
        "add",
        "--no-check",
        "--label=pro\u{feff}d",
        "--portal=https://h/p",
        "--client-id=c",
    ];
    home.run(again).done().code(4);
    home.run(["connections", "rename", "prod", "a\u{202e}b"])
        .done()
        .code(2)
        .err_has("a mark of text direction (U+202E) at position 2");
}

#[cfg(unix)]
#[test]
fn export_env_on_a_terminal_shows_control_characters_and_sends_none() {
    let (_portal, home) = signed_in();
    home.run([
        "connections",
        "edit",
        "prod",
        "--referer",
        "https://r.example",
    ])
    .done()
    .ok();
    let meta = home
        .files()
        .into_iter()
        .find(|path| path.ends_with("meta.json"))
        .unwrap();
    let text = std::fs::read_to_string(&meta).unwrap();
    std::fs::write(
        &meta,
        text.replace("your.username", "your.\\u001b[31musername"),
    )
    .unwrap();
    let mut terminal =
        crate::support::pty::Terminal::start(&home, &["export-env", "--shell", "bash"]);
    terminal.expect("ARCGIS_USERNAME");
    terminal.end();
    let raw = terminal.raw();
    let sent = |sequence: &[u8]| raw.windows(sequence.len()).any(|window| window == sequence);
    assert!(!sent(b"\x1b[31m"), "{}", terminal.screen());
}

/// A full disk, for a script that saves what the program prints. `| head` is not a failure.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let home = home();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["connections", "add", "--help"],
        &["man"],
        &["completions", "bash"],
        &["connections", "list", "--json"],
        &["doctor", "--offline"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = std::process::Command::new(home.program())
            .args(arguments)
            .env_clear()
            .envs(home.environment())
            .stdout(full.unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("could not be written"), "{said}");
    }
}
