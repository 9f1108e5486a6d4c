//! What only macOS has: the Keychain across processes, read by `security` too.

use std::path::PathBuf;
use std::process::Command;

use crate::home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add, sign_in};

/// Whether the login keychain has this item, according to another program.
fn is_there(account: &str) -> bool {
    Command::new("/usr/bin/security")
        .args(["find-generic-password", "-s", "age-oauth", "-a", account])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn secrets_in_the_keychain_are_visible_across_processes_and_to_other_programs() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    // The default keychain is found through the real home.
    home.set("HOME", &std::env::var("HOME").unwrap());
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    let account = format!("{}/tokens", shown["id"].as_str().unwrap());
    assert!(is_there(&account));
    let token = home.run(["token", "--force"]).done().ok().line().to_owned();
    assert!(portal.accepts_access_token(&token));
    assert_eq!(home.files_containing(&token), Vec::<PathBuf>::new());
    home.run(["connections", "remove", "prod", "--yes"])
        .done()
        .ok();
    assert!(!is_there(&account));
}
