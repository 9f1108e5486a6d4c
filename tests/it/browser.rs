//! A sign-in in a real browser, up to the page at the loopback redirect URI.

use crate::home;
use crate::support::browser::Browser;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Portal, PortalVersion, USER};
use crate::support::scenario::{add_with, start_login};

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

#[test]
fn a_sign_in_in_a_real_browser_ends_at_our_page() {
    let (_portal, home, redirect_uri) = prepared();
    let (child, printed) = start_login(&home, &[]);
    assert_eq!(printed["expects"], "callback");
    let url = printed["authorize_url"].as_str().unwrap();
    let browser = Browser::start();
    browser.open(url);
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
    let (child, printed) = start_login(&home, &[]);
    assert_eq!(printed["expects"], "callback");
    let url = printed["authorize_url"].as_str().unwrap();
    let browser = Browser::start();
    browser.open(url);
    browser.click("button[value=decline]");
    browser.await_title("Declined");
    let ended = Outcome::of(child).code(7);
    assert_eq!(ended.error_json()["error"]["kind"], "refused");
    home.run(["token"]).done().code(3);
}
