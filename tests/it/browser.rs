//! A sign-in in a real browser, up to the page at the loopback redirect URI.

use std::io::{BufRead, BufReader};
use std::process::Child;

use crate::home;
use crate::support::browser::Browser;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Portal, PortalVersion, USER};
use crate::support::scenario::add_with;

fn prepared() -> (Portal, Home, String) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let redirect_uri = format!(
        "http://127.0.0.1:{}/callback",
        listener.local_addr().unwrap().port()
    );
    drop(listener);
    portal.set(|rules| {
        rules.register_redirect(&redirect_uri);
        rules.auto_approve = false;
    });
    let home = home();
    add_with(&home, &portal, "prod", &["--redirect-uri", &redirect_uri]);
    (portal, home, redirect_uri)
}

/// Starts a sign-in and reads the URL that it prints.
fn start_login(home: &Home) -> (Child, String) {
    let mut child = home.run(["login", "--json"]).spawn();
    let mut line = String::new();
    // Unbuffered beyond the line, so that the rest stays in the pipe.
    let stdout = child.stdout.as_mut().unwrap();
    let mut reader = BufReader::with_capacity(1, stdout);
    reader.read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["expects"], "callback");
    (child, said["authorize_url"].as_str().unwrap().to_owned())
}

#[test]
fn a_sign_in_in_a_real_browser_ends_at_our_page() {
    let (_portal, home, redirect_uri) = prepared();
    let (child, url) = start_login(&home);
    let browser = Browser::start();
    browser.open(&url);
    assert_eq!(browser.title(), "Sign In");
    browser.click("button[value=approve]");
    browser.await_title("Signed in");
    assert!(browser.url().starts_with(&redirect_uri));
    assert!(browser.text("p").contains("You can close this window"));
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(folder) = std::env::var_os("AGE_OAUTH_TEST_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("signed-in.png"), picture).unwrap();
    }
    let result = Outcome::of(child).ok().json();
    assert_eq!(result["username"], USER);
    home.run(["whoami"]).done().ok().out("your.username\n");
}

#[test]
fn a_sign_in_declined_in_the_browser_is_reported_as_declined() {
    let (_portal, home, _) = prepared();
    let (child, url) = start_login(&home);
    let browser = Browser::start();
    browser.open(&url);
    browser.click("button[value=decline]");
    browser.await_title("Declined");
    let ended = Outcome::of(child).code(7);
    assert_eq!(ended.error_json()["error"]["kind"], "refused");
    home.run(["token"]).done().code(3);
}
