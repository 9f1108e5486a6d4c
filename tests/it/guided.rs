//! The prompts on a real pseudo-terminal: wrong input first, a hidden secret, Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use age_oauth::{ConnectionStore, Context};

use crate::home;
use crate::support::portal::{
    app_secret, Certificate, Portal, PortalVersion, APP_ID, OTHER_USER, USER,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{add, nothing_was_created, sign_in, stored};
use crate::support::svg;

/// The folder for pictures of the documentation, if they are wanted.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("AGE_OAUTH_TEST_PICTURES").map(PathBuf::from)
}

#[test]
fn from_wrong_answers_to_a_sign_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "taken");
    let ca = portal.ca_file(home.path());
    let (empty, key) = (home.path().join("empty.pem"), home.path().join("key.pem"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();

    let mut terminal = Terminal::start(&home, &["connections", "add"]);
    terminal.expect("Connection label").line("");
    terminal
        .expect("it is empty")
        .expect("Connection label")
        .line("TAKEN");
    terminal
        .expect("already exists")
        .expect("Connection label")
        .line(&"x".repeat(65));
    terminal
        .expect("64 are allowed")
        .expect("Connection label")
        .line("my_portal");
    for (wrong, reason) in [
        ("http://gis.example.org/portal", "http is not allowed"),
        (
            "https://me:pw@gis.example.org/portal",
            "must not contain a user name",
        ),
        ("ftp://x", "https://"),
    ] {
        terminal.expect("Portal URL").line(wrong).expect(reason);
    }
    terminal
        .expect("Portal URL")
        .line(&format!("{}/home/index.html", portal.url()));
    terminal
        .expect("does not trust")
        .expect("SHA-256")
        .expect("Verify SSL")
        .line("");
    for (wrong, reason) in [
        ("/nonexistent/ca.pem".to_owned(), "No such file"),
        (empty.display().to_string(), "empty"),
        (key.display().to_string(), "private key"),
    ] {
        terminal
            .expect("Certificate file")
            .line(&wrong)
            .expect(reason);
    }
    terminal
        .expect("Certificate file")
        .line(ca.to_str().unwrap());
    terminal
        .expect("ArcGIS Enterprise 11.4")
        .expect("Verify SSL: true (the portal's certificate is verified)");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal
        .expect("OAuth Client ID")
        .line("two words")
        .expect("without blanks");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal
        .expect("OAuth Client Secret")
        .line(APP_ID)
        .expect("that is the client ID");
    terminal
        .expect("OAuth Client Secret")
        .line(&app_secret().repeat(2))
        .expect("pasted twice");
    terminal.expect("OAuth Client Secret").line(app_secret());
    terminal.expect("[OK] OAuth Client Secret captured.");
    terminal.expect("[OK] Created connection: my_portal");
    terminal
        .expect("age-oauth login -c my_portal")
        .expect("age-oauth token -c my_portal");
    terminal.expect("Sign in now?").send("y");
    terminal.expect("press Enter:").line("no code at all");
    terminal.expect("This is not a code");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&url).expect("the address to open");
    terminal.line(&portal.authorize(&url, USER).code());
    terminal
        .expect("Token is for user: your.username")
        .expect("Signed in until: ");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());

    // Neither the secret nor an asterisk for each of its letters was ever on the screen.
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(!raw.contains(app_secret()));
    assert!(!raw.contains(&"*".repeat(app_secret().len())));
    home.run(["whoami", "-c", "my_portal"])
        .done()
        .ok()
        .out("your.username\n");
}

#[test]
fn the_guided_prompts_as_a_picture() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.org_name = "City GIS".into());
    let mut home = home();
    home.set(
        "SSL_CERT_FILE",
        portal.ca_file(home.path()).to_str().unwrap(),
    );
    let mut terminal = Terminal::start(&home, &["connections", "add"]);
    terminal.expect("Connection label").line("my_portal");
    terminal.expect("Portal URL").line(&portal.url());
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal.expect("OAuth Client Secret: none");
    terminal.expect("[OK] Created connection: my_portal");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0);
    let shown = [(portal.url(), "https://gis.example.com/portal".to_owned())];
    let replace: Vec<_> = shown
        .iter()
        .map(|(old, new)| (old.as_str(), new.as_str()))
        .collect();
    let picture = svg::draw(&terminal.cells(), "age-oauth connections add", &replace);
    assert!(picture.contains("City GIS") && !picture.contains("localhost"));
    if let Some(folder) = pictures() {
        std::fs::write(folder.join("guided-add.svg"), picture).unwrap();
    }
}

#[test]
fn a_self_signed_portal_is_trusted_by_exactly_its_certificate() {
    let portal = Portal::builder()
        .version(PortalVersion::Enterprise114)
        .certificate(Certificate::SelfSigned)
        .start();
    let home = home();
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "self"]);
    terminal.expect("Portal URL").line(&portal.url());
    terminal
        .expect("self-signed")
        .expect("Verify SSL")
        .down(1)
        .line("");
    terminal
        .expect("SHA-256")
        .expect("Is it the same?")
        .send("y");
    terminal.expect("Verify SSL: true (the portal's certificate is verified)");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").down(1).line("");
    terminal.expect("exactly as registered").line("");
    terminal
        .expect("Register this redirect URI")
        .expect("http://127.0.0.1:53682/callback");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal
        .expect("[OK] Created connection: self")
        .expect("Sign in now?")
        .send("n");
    assert_eq!(terminal.end(), 0);
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert!(shown["verify_ssl"]
        .as_str()
        .unwrap()
        .ends_with("pinned.pem"));
    assert_eq!(shown["redirect_uri"], "http://127.0.0.1:53682/callback");
    assert_eq!(shown["has_client_secret"], false);
}

/// The menu offers only what can work with the certificate.
#[cfg(target_os = "linux")]
#[test]
fn a_certificate_is_trusted_only_in_ways_that_work() {
    use crate::support::openssl::{OpenSsl, AUTHORITY, RSA, SERVER};
    let ssl = OpenSsl::new();
    // Without a name, an authority does not help.
    ssl.self_signed("localhost", RSA, AUTHORITY, "");
    let identity = ssl.identity(&["localhost"]);
    let portal = Portal::builder().identity(identity).start();
    let home = home();
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "old"]);
    terminal.expect("Portal URL").line(&portal.url());
    terminal
        .expect("names no host")
        .expect("❯ true: exactly this certificate")
        .expect("Enter another portal URL")
        .line("");
    terminal.expect("Is it the same?").send("y");
    terminal.expect("Verify SSL: true (the portal's certificate is verified)");
    terminal.interrupt();
    terminal.end();
    assert!(!terminal
        .screen()
        .contains("true: by a certificate authority"));
    // A key that cannot be used leaves only what is unsafe, which is not preselected.
    let short = "RSA -pkeyopt rsa_keygen_bits:1024";
    ssl.self_signed("localhost", short, SERVER, "");
    let server = ssl.server("localhost", "-cipher ALL:@SECLEVEL=0");
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "short"]);
    terminal.expect("Portal URL").line(&server.url());
    terminal
        .expect("RSA key of 1024 bits")
        .expect("❯ Enter another portal URL");
    assert!(!terminal.screen().contains("true: "));
    terminal.interrupt();
    terminal.end();
    // Before there is a certificate, there is nothing to trust.
    let server = ssl.server("localhost", "-tls1_1 -cipher ALL:@SECLEVEL=0");
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "ancient"]);
    terminal.expect("Portal URL").line(&server.url());
    terminal
        .expect("neither TLS 1.2 nor TLS 1.3")
        .expect("How do you want to continue?");
    assert!(!terminal.screen().contains("Verify SSL"));
    terminal.interrupt();
    terminal.end();
}

#[test]
fn an_unverified_certificate_is_warned_about_at_every_use() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "open"]);
    terminal.expect("Portal URL").line(&portal.url());
    terminal.expect("Verify SSL").down(2).line("");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0);
    sign_in(&home, &portal, "open")
        .ok()
        .err_has("is not verified");
    home.run(["token"]).done().ok().err_has("is not verified");
    let quiet = home.run(["token", "-q"]).done().ok();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn an_application_is_asked_for_its_secret() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    home.set(
        "SSL_CERT_FILE",
        portal.ca_file(home.path()).to_str().unwrap(),
    );
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "jobs"]);
    terminal.expect("Portal URL").line(&portal.url());
    terminal.expect("Authentication type").down(1).line("");
    terminal
        .expect("OAuth Client ID")
        .line(crate::support::portal::SERVICE_ID);
    terminal
        .expect("OAuth Client Secret (not shown while you type)")
        .line("")
        .expect("it is empty");
    terminal
        .expect("OAuth Client Secret")
        .line(crate::support::portal::service_secret());
    terminal.expect("Sign in now?").send("y");
    terminal
        .expect("New access_token acquired!")
        .expect("Token is for application:");
    assert_eq!(terminal.end(), 0);
    let who = home.run(["whoami"]).done().ok().stdout;
    assert!(who.starts_with("Type:        application\n"), "{who}");
    assert!(
        who.contains(&format!(
            "App ID:      {}\n",
            crate::support::portal::SERVICE_ID
        )),
        "{who}"
    );
}

#[test]
fn ctrl_c_leaves_nothing_behind_and_the_cursor_visible() {
    for stop_at_menu in [false, true] {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = home();
        home.set(
            "SSL_CERT_FILE",
            portal.ca_file(home.path()).to_str().unwrap(),
        );
        let mut terminal = Terminal::start(&home, &["connections", "add"]);
        terminal.expect("Connection label");
        if stop_at_menu {
            terminal
                .line("prod")
                .expect("Portal URL")
                .line(&portal.url());
            terminal.expect("Authentication type");
        }
        terminal.interrupt();
        assert_eq!(terminal.end(), 130, "{}", terminal.screen());
        assert!(!terminal.cells().hide_cursor());
        nothing_was_created(&home);
    }
}

#[test]
fn ctrl_c_at_a_hidden_prompt_restores_the_echo() {
    let home = home();
    let script = "\"$0\" connections add --no-check --label x --portal https://h/p; stty -a | tr ' ' '\\n' | grep -x -e echo -e -echo";
    let mut terminal = Terminal::start_program(
        &home,
        "bash",
        &["-c", script, home.program().to_str().unwrap()],
    );
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line("abc");
    terminal.expect("OAuth Client Secret").interrupt();
    terminal.end();
    assert!(
        terminal.screen().lines().any(|line| line == "echo"),
        "{}",
        terminal.screen()
    );
    nothing_was_created(&home);
}

#[test]
fn ctrl_c_ends_a_sign_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let mut terminal = Terminal::start(&home, &["login"]);
    terminal.expect("press Enter:").interrupt();
    assert_eq!(terminal.end(), 130);
    home.run(["token"]).done().code(3);
}

#[test]
fn another_user_needs_consent() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    for (answer, code, user) in [("", 3, USER), ("y", 0, OTHER_USER)] {
        let mut terminal = Terminal::start(&home, &["login", "--no-browser"]);
        terminal.expect("press Enter:");
        let url = terminal.word(&portal.rest("oauth2/authorize"));
        terminal.line(&portal.authorize(&url, OTHER_USER).code());
        terminal
            .expect("Replace that sign-in?")
            .send(if answer.is_empty() { "\r" } else { answer });
        assert_eq!(terminal.end(), code, "{}", terminal.screen());
        home.run(["whoami"]).done().ok().out(&format!("{user}\n"));
        assert_eq!(portal.live_refresh_tokens(), 1);
    }
}

#[test]
fn a_sign_in_whose_question_is_interrupted_is_revoked() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    for signal in [None, Some("TERM"), Some("HUP")] {
        let mut terminal = Terminal::start(&home, &["login", "--no-browser"]);
        terminal.expect("press Enter:");
        let url = terminal.word(&portal.rest("oauth2/authorize"));
        terminal.line(&portal.authorize(&url, OTHER_USER).code());
        terminal.expect("Replace that sign-in?").ready();
        assert_eq!(portal.live_refresh_tokens(), 2);
        match signal {
            Some(signal) => terminal.signal(signal),
            None => terminal.interrupt(),
        };
        assert_ne!(terminal.end(), 0, "{}", terminal.screen());
        assert_eq!(portal.live_refresh_tokens(), 1, "{signal:?}");
        home.run(["whoami"]).done().ok().out(&format!("{USER}\n"));
    }
}

#[test]
fn a_sign_in_that_waits_for_the_lock_is_revoked_if_it_is_interrupted() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let mut terminal = Terminal::start(&home, &["login", "--no-browser"]);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    let store = ConnectionStore::open(home.store());
    let context = Context::process();
    let (_lock, _) = store
        .lock(&stored(&home, "prod"), Duration::from_secs(60), &context)
        .unwrap();
    terminal.line(&portal.authorize(&url, USER).code());
    terminal.expect("waiting for another age-oauth process");
    assert_eq!(portal.live_refresh_tokens(), 1);
    terminal.interrupt();
    assert_eq!(terminal.end(), 130, "{}", terminal.screen());
    assert_eq!(portal.live_refresh_tokens(), 0);
}

#[test]
fn removing_asks_first() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "one");
    add(&home, &portal, "two");
    let mut terminal = Terminal::start(&home, &["connections", "remove", "one"]);
    terminal.expect("Remove it?").send("\r");
    assert_eq!(terminal.end(), 1);
    let mut terminal = Terminal::start(&home, &["connections", "remove", "one"]);
    terminal
        .expect("Remove it?")
        .send("y")
        .expect("[OK] Removed connection: one");
    assert_eq!(terminal.end(), 0);
    home.run(["connections", "remove", "two"])
        .done()
        .code(2)
        .err_has("--yes");
}

#[test]
fn rule_28_control_characters_from_portals_self_are_made_visible() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let evil = "\u{1b}[2J\u{1b}]8;;http://evil.example\u{7}GIS\r\u{202e}x";
    portal.set(|rules| rules.org_name = evil.into());
    let mut home = home();
    home.set(
        "SSL_CERT_FILE",
        portal.ca_file(home.path()).to_str().unwrap(),
    );
    let mut terminal = Terminal::start(&home, &["connections", "add", "--label", "prod"]);
    terminal
        .expect("Portal URL")
        .line(&portal.url())
        .expect("Authentication type");
    let raw = terminal.raw();
    let has = |needle: &[u8]| raw.windows(needle.len()).any(|window| window == needle);
    assert!(!has(b"\x1b[2J") && !has(b"\x1b]8") && !has("\u{202e}".as_bytes()));
    assert!(terminal.screen().contains("GIS"), "{}", terminal.screen());
    terminal.interrupt();
    assert_eq!(terminal.end(), 130);
}

#[test]
fn the_overview_says_what_to_do_next() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let mut terminal = Terminal::start(&home, &[]);
    terminal
        .expect("There are no connections yet")
        .expect("age-oauth connections add");
    assert_eq!(terminal.end(), 0);
    add(&home, &portal, "prod");
    let mut terminal = Terminal::start(&home, &[]);
    terminal
        .expect("prod")
        .expect("Next: age-oauth login -c prod");
    assert_eq!(terminal.end(), 0);
    sign_in(&home, &portal, "prod").ok();
    let mut terminal = Terminal::start(&home, &["connections", "list"]);
    terminal
        .expect("LABEL")
        .expect("prod")
        .expect("your.username (expires in 90d)");
    assert_eq!(terminal.end(), 0);
}
