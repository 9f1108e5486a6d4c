//! What `docs/connections.md`, `docs/sign-in.md` and `docs/faq.md` say about the program's
//! behavior, as far as the tests of its commands do not show it.

use std::path::{Path, PathBuf};

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, OTHER_USER, USER};
use crate::support::scenario::{add, add_with, sign_in, sign_in_as};

fn signed_in() -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = signed_in_at(&portal);
    (portal, home)
}

/// A home with the connection `prod`, signed in.
fn signed_in_at(portal: &Portal) -> Home {
    let home = home();
    add(&home, portal, "prod");
    sign_in(&home, portal, "prod").ok();
    home
}

/// The label of the connection that a command uses.
fn used(home: &Home, flags: &[&str], variable: Option<&str>) -> String {
    let words = ["connections", "show", "--json"];
    let mut run = home.run(words.iter().chain(flags));
    if let Some(label) = variable {
        run = run.env("AGE_OAUTH_CONNECTION", label);
    }
    let shown = run.done().ok().json();
    shown["connection"].as_str().unwrap().to_owned()
}

#[test]
fn a_command_takes_option_variable_default_and_only_connection_in_this_order() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    for label in ["One", "two", "three"] {
        add(&home, &portal, label);
    }
    // The first one is the default, and labels ignore the case.
    assert_eq!(used(&home, &[], None), "One");
    assert_eq!(used(&home, &[], Some("TWO")), "two");
    assert_eq!(used(&home, &["-c", "three"], Some("two")), "three");
    home.run(["connections", "use", "two"]).done().ok();
    assert_eq!(used(&home, &[], None), "two");
    home.run(["connections", "use", "--unset"]).done().ok();
    for label in ["One", "two", "three"] {
        home.run(["token"]).done().code(4).err_has(label);
    }
    for label in ["One", "two"] {
        home.run(["connections", "remove", label, "--yes"])
            .done()
            .ok();
    }
    assert_eq!(used(&home, &[], None), "three");
}

#[test]
fn an_edit_ends_the_sign_in_for_another_portal_client_id_or_kind_alone() {
    let (portal, home) = signed_in();
    let other = Portal::start(PortalVersion::Enterprise114);
    let edit = |flags: &[&str]| home.run(["connections", "edit", "prod"].iter().chain(flags));
    for flags in [
        &["--tag", "nightly"][..],
        &["--referer", "https://example.com"],
        &["--redirect-uri", "http://127.0.0.1:53682/callback"],
        &["--proxy", "none"],
        &["--label", "prod"],
    ] {
        edit(flags).done().ok();
        home.run(["token", "--force"]).done().ok();
    }
    let url = other.url();
    for flags in [
        &["--portal", &url, "--no-check"][..],
        &["--client-id", "Another", "--no-check"],
        &["--auth-type", "app", "--no-check", "--client-secret-stdin"],
    ] {
        let home = signed_in_at(&portal);
        let words = ["connections", "edit", "prod"];
        let edited = home.run(words.iter().chain(flags)).input("secret").done();
        edited.ok().err_has("Sign in again: age-oauth login");
        assert_eq!(portal.live_refresh_tokens(), 1, "{flags:?}: that of `prod`");
    }
}

#[test]
fn two_users_of_one_portal_have_a_connection_each() {
    let (portal, home) = signed_in();
    add(&home, &portal, "prod-admin");
    sign_in_as(&home, &portal, "prod-admin", OTHER_USER, &["--switch-user"]).ok();
    for (label, user) in [("prod", USER), ("prod-admin", OTHER_USER)] {
        let said = home.run(["whoami", "-c", label]).done().ok();
        assert_eq!(said.line(), user);
    }
}

#[test]
fn signing_out_without_the_portal_deletes_the_sign_in_and_says_that_it_lives_on() {
    let (portal, home) = signed_in();
    portal.stop();
    let said = home.run(["logout"]).done().ok();
    said.out("[OK] Signed out of prod on this machine; the portal did not revoke the sign-in.\n");
    home.run(["token"]).done().code(3);
    portal.start_again();
    assert_eq!(portal.live_refresh_tokens(), 1);
}

#[test]
fn without_a_network_the_cached_token_is_printed_and_lists_are_shown() {
    let (portal, home) = signed_in();
    let token = home.run(["token"]).done().ok();
    portal.stop();
    assert_eq!(home.run(["token"]).done().ok().line(), token.line());
    home.run(["status"]).done().ok();
    home.run(["connections", "list"]).done().ok();
    home.run(["refresh"]).done().code(6);
}

/// The files below a folder, by their paths in it.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn removing_everything_leaves_no_connection_and_ends_the_sign_ins() {
    let (portal, home) = signed_in();
    add_with(&home, &portal, "other", &["--tag", "nightly"]);
    let token = home.run(["token"]).done().ok();
    home.run(["connections", "remove", "--all", "--yes"])
        .done()
        .ok();
    assert_eq!(portal.live_refresh_tokens(), 0);
    assert!(!portal.accepts_access_token(token.line()));
    // The lock, and the vault, which has nothing in it, with its own lock.
    for path in below(&home.store()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(["lock", "vault", "vault.lock"].contains(&name), "{name}");
    }
    home.run(["connections", "list"]).done().ok().out("");
}
