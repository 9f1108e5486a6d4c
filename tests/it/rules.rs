//! The rules of `docs/security.md` that no other module tests, and the table there: every rule
//! names its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{app_secret, Endpoint, Pkce, Portal, PortalVersion, USER};
use crate::support::scenario::{
    add, add_application, add_with, age_sign_in, expire_token, sign_in, start_login,
};
use url::Url;

/// A connection with a loopback redirect URI, which is registered at the portal or not.
fn with_callback(registered: bool) -> (Portal, Home, String) {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    if registered {
        portal.set(|rules| rules.register_redirect(&redirect_uri));
    }
    add_with(&home, &portal, "prod", &["--redirect-uri", &redirect_uri]);
    (portal, home, redirect_uri)
}

/// Starts a sign-in, and returns it with its URL.
fn login_with_url(home: &Home, flags: &[&str]) -> (Child, Url) {
    let (child, printed) = start_login(home, flags);
    let url = printed["authorize_url"].as_str().unwrap();
    (child, url.parse().unwrap())
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Rule 1: the system's browser opens the URL. The program opens no page of the sign-in itself, and
/// asks the user for nothing but the code.
#[cfg(unix)]
#[test]
fn rule_1_the_browser_is_opened_and_no_password_is_asked_for() {
    use crate::support::pty::Terminal;
    use crate::support::until;
    use std::os::unix::fs::PermissionsExt;
    let (portal, mut home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    // `add` asks whether the portal knows the application.
    let before = portal.requests().len();
    let (browser, opened) = (home.path().join("browser"), home.path().join("opened"));
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\n",
        opened.display()
    );
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
    home.set("BROWSER", browser.to_str().unwrap());

    let mut terminal = Terminal::start(&home, &["login"]);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    // The browser is started, not waited for.
    let arguments = || fs::read_to_string(&opened).unwrap_or_default();
    until(|| arguments().ends_with('\n'));
    assert_eq!(arguments(), format!("{url}\n"));
    let asked = portal.requests();
    let pages = [Endpoint::Authorize, Endpoint::SignIn, Endpoint::Approval];
    assert!(!asked[before..]
        .iter()
        .any(|request| pages.contains(&request.endpoint)));
    terminal.line(&portal.authorize(&url, USER).code());
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert!(!terminal.screen().to_lowercase().contains("password"));
    for request in portal.requests().split_off(before) {
        assert_eq!(request.param("password"), None);
        let ours = request.header("user-agent").unwrap_or_default();
        assert!(!(ours.starts_with("age-oauth") && pages.contains(&request.endpoint)));
    }
}

/// Rule 2: every code is bound to its process, also with a client secret. PKCE is switched off only
/// by hand, for one connection, with a warning.
#[test]
fn rule_2_pkce_is_switched_off_only_by_hand() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise1091), home());
    add(&home, &portal, "secret");
    home.run(["connections", "edit", "secret", "--client-secret-stdin"])
        .input(app_secret())
        .done()
        .ok();
    add(&home, &portal, "old");
    let asked = |label: &str| {
        let (mut child, url) = login_with_url(&home, &["-c", label]);
        child.kill().unwrap();
        child.wait().unwrap();
        (
            parameter(&url, "code_challenge"),
            parameter(&url, "code_challenge_method"),
        )
    };
    for label in ["secret", "old"] {
        let (challenge, method) = asked(label);
        assert_eq!(challenge.unwrap().len(), 43);
        assert_eq!(method.as_deref(), Some("S256"));
        sign_in(&home, &portal, label).ok();
    }
    for request in portal.requests_to(Endpoint::Token) {
        assert_eq!(request.param("code_verifier").unwrap().len(), 43);
    }
    home.run(["connections", "edit", "old", "--pkce", "false"])
        .done()
        .ok()
        .err_has("without PKCE");
    assert_eq!(asked("old"), (None, None));
    assert!(asked("secret").0.is_some());
}

/// Rule 4: a portal that rejects S256 is not asked again with less.
#[test]
fn rule_4_a_portal_that_rejects_s256_is_not_asked_with_plain() {
    let (portal, home, _) = with_callback(true);
    portal.set(|rules| rules.pkce = Pkce::MethodRejected);
    let before = portal.requests_to(Endpoint::Authorize).len();
    let (child, url) = login_with_url(&home, &[]);
    assert_eq!(parameter(&url, "code_challenge_method").unwrap(), "S256");
    let landing = portal.authorize(url.as_str(), USER);
    assert_eq!(landing.error().as_deref(), Some("invalid_request"));
    landing.follow().unwrap();
    let said = Outcome::of(child)
        .code(7)
        .err_has("code_challenge_method not supported");
    // Only one URL was printed.
    assert_eq!(said.stdout, "");
    assert_eq!(portal.requests_to(Endpoint::Authorize).len(), before + 1);
    assert_eq!(portal.requests_to(Endpoint::Token).len(), 0);
}

/// Rule 10: the redirect URI is the registered one, port and all. If the portal shows an error page
/// instead of calling back, `login` ends in a timeout that names what to register.
#[test]
fn rule_10_a_missing_callback_is_reported_with_the_uri_to_register() {
    let (portal, home, redirect_uri) = with_callback(false);
    let (child, url) = login_with_url(&home, &["--timeout", "3s"]);
    assert_eq!(parameter(&url, "redirect_uri").unwrap(), redirect_uri);
    let landing = portal.authorize(url.as_str(), USER);
    assert_eq!(landing.url(), None, "{landing:?}");
    let said = Outcome::of(child).code(3);
    let error = &said.error_json()["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&redirect_uri), "{message}");
    assert_eq!(portal.requests_to(Endpoint::Token).len(), 0);
}

/// Rule 18: a code, a refresh token, or an application's own secret. There is no flag for any other
/// grant, and no other grant is ever requested.
#[test]
fn rule_18_there_is_neither_an_implicit_nor_a_password_grant() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    add_application(&home, &portal, "service");
    sign_in(&home, &portal, "prod").ok();
    expire_token(&home, "prod");
    home.run(["token", "-c", "prod"]).done().ok();
    expire_token(&home, "prod");
    age_sign_in(&home, "prod", 6);
    home.run(["token", "-c", "prod"]).done().ok();
    home.run(["token", "-c", "service"]).done().ok();
    home.run(["logout", "-c", "prod"]).done().ok();
    let grants: BTreeSet<_> = portal.grants().into_iter().collect();
    let known = [
        "authorization_code",
        "client_credentials",
        "exchange_refresh_token",
        "refresh_token",
    ];
    assert_eq!(grants, known.map(str::to_owned).into());
    for request in portal.requests() {
        assert_eq!(request.param("password"), None);
        let response_type = request.param("response_type").unwrap_or("code");
        assert_eq!(response_type, "code");
    }
    for flag in ["--password", "--username", "--implicit"] {
        home.run(["login", "-c", "prod", flag, "x"]).done().code(2);
    }
}

/// Rule 19: it is visible whom a token speaks for, both locally and by the portal's answer.
#[test]
fn rule_19_whom_a_token_speaks_for_is_visible() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    add_application(&home, &portal, "service");
    sign_in(&home, &portal, "prod").ok();
    home.run(["whoami", "-c", "prod"])
        .done()
        .ok()
        .out("your.username\n");
    let service = home.run(["whoami", "-c", "service"]).done().ok();
    assert!(
        service.stdout.contains("AgePracticeApp02"),
        "{}",
        service.stdout
    );
    assert_ne!(service.line(), USER);
    let show = |label: &str| {
        let said = home
            .run(["connections", "show", label, "--json"])
            .done()
            .ok();
        said.json()
    };
    let (prod, service) = (show("prod"), show("service"));
    assert_eq!(
        (&prod["auth_type"], &prod["username"]),
        (&"user".into(), &USER.into())
    );
    assert_eq!(service["auth_type"], "app");
    assert!(service["username"].is_null());
}

// — the table —

/// Names of tests in the sources that begin with the number of a rule.
fn tests_of_rules() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.join("src"), root.join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let names = text.lines().filter_map(|line| {
                    let name = line.trim_start().strip_prefix("fn ")?.split('(').next()?;
                    name.starts_with("rule_").then(|| name.to_owned())
                });
                found.extend(names);
            }
        }
    }
    found
}

/// The rules of the table with the tests that it names for each.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    page.lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, number, _, tests, _] = cells[..] else {
                return None;
            };
            number.starts_with(|c: char| c.is_ascii_digit()).then(|| {
                let tests = tests.split('`').filter(|name| name.starts_with("rule_"));
                (number.to_owned(), tests.map(str::to_owned).collect())
            })
        })
        .collect()
}

/// Writes the column of tests again, for `AGE_OAUTH_UPDATE_DOCS`.
fn update_table(tests: &BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(&path).unwrap();
    let updated = page.lines().map(|line| {
        let mut cells: Vec<_> = line.split('|').map(str::to_owned).collect();
        let is_rule = cells.len() == 5 && cells[1].trim().starts_with(|c: char| c.is_ascii_digit());
        if is_rule {
            let prefix = format!("rule_{}_", cells[1].trim());
            let of_this_rule = tests.iter().filter(|name| name.starts_with(&prefix));
            let named: Vec<_> = of_this_rule.map(|name| format!("`{name}`")).collect();
            cells[3] = format!(" {} ", named.join(", "));
        }
        cells.join("|") + "\n"
    });
    fs::write(path, updated.collect::<String>()).unwrap();
}

#[test]
fn every_rule_of_the_security_page_has_tests() {
    let tests = tests_of_rules();
    if std::env::var_os("AGE_OAUTH_UPDATE_DOCS").is_some() {
        update_table(&tests);
    }
    let written = table();
    let mut rules: BTreeSet<String> = (1..=34).map(|number: u32| number.to_string()).collect();
    rules.extend([
        "24b".into(),
        "24c".into(),
        "24d".into(),
        "24e".into(),
        "24f".into(),
        "24g".into(),
        "24h".into(),
        "24i".into(),
    ]);
    assert_eq!(written.keys().cloned().collect::<BTreeSet<_>>(), rules);
    for (number, named) in &written {
        let prefix = format!("rule_{number}_");
        let of_this_rule: BTreeSet<_> = tests
            .iter()
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect();
        assert!(!named.is_empty(), "rule {number} has no test");
        assert_eq!(*named, of_this_rule, "rule {number}");
    }
}

#[test]
fn every_direct_dependency_is_reviewed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    let reviewed = fs::read_to_string(top.join("docs/dependencies.md")).unwrap();
    let mut inside = false;
    let mut count = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
            continue;
        }
        let found = line.split_once(" = ").filter(|_| inside);
        let Some((name, rest)) = found.filter(|(name, _)| !name.starts_with('#')) else {
            continue;
        };
        // Crates that are imported under another name.
        let package = rest.split_once("package = \"").map(|(_, rest)| rest);
        let name = package
            .and_then(|rest| rest.split_once('"'))
            .map_or(name, |(name, _)| name);
        // The package itself, with the feature for its tests.
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        assert!(reviewed.contains(&format!("`{name}`")), "{name}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}
