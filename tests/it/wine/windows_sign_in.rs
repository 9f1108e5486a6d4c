//! Windows sign-in by the Windows build, against the Kerberos of MIT and Apache outside of wine.
//! Wine's Kerberos uses the tickets of the system; its `klist` is `tests/windows/klist.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{in_wine, tell, variable, WIDE};
use crate::support::portal::{service_secret, APP_ID, SERVICE_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::{add_application_arguments, age_sign_in, expire_token, sign_in};
use crate::windows_sign_in::{shown, Seen, Site};

/// A site whose home has the Windows build, with a ticket of `ana`.
struct Windows {
    site: Site,
    _programs: tempfile::TempDir,
}

impl Windows {
    fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let path = programs.path().join("age-oauth");
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        fs::write(&path, format!("#!/bin/sh\nexec wine '{program}' \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut home = in_wine(path.to_str().unwrap());
        let mut site = Site::new();
        site.kdc.use_in(&mut home, &site.kdc.ticket("ana"));
        site.home = home;
        Self {
            site,
            _programs: programs,
        }
    }

    /// With a connection, and a person who is signed in.
    fn signed_in() -> Self {
        let windows = Self::new();
        windows.site.add(&["--web-tier", "windows"]).ok();
        sign_in(&windows.site.home, &windows.site.portal, "iwa").ok();
        windows
    }

    /// Rewrites the stored record as if the access token had expired. Wine's files are open to
    /// all, and this test, which is outside of wine, does not read such a key.
    fn expire_token(&self) {
        self.close_key();
        expire_token(&self.site.home, "iwa");
    }

    fn close_key(&self) {
        let key = self.site.home.path().join("store.key/vault.key");
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn all_are_of_ana(seen: &[Seen]) {
    let mut tokens: Vec<_> = seen.iter().filter_map(|one| one.token.as_ref()).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), seen.len(), "{seen:?}");
    let is_of_ana = |one: &Seen| one.user == "ana@EXAMPLE.COM";
    assert!(seen.iter().all(is_of_ana), "{seen:?}");
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_person_works_behind_windows_sign_in() {
    let windows = Windows::new();
    let site = &windows.site;
    site.add(&["--web-tier", "windows"])
        .ok()
        .err_has("Windows sign-in: as ana@EXAMPLE.COM");
    sign_in(&site.home, &site.portal, "iwa").ok();
    for words in [
        &["whoami", "-vv"][..],
        &["refresh"],
        &["token"],
        &["api", "portals/self"],
        &["api", "portals/self", "-o", "self.json"],
    ] {
        windows.expire_token();
        site.run(words).ok();
    }
    let checked = site.run(&["doctor"]).stdout;
    assert!(checked.contains("ok   portal iwa: "), "{checked}");
    windows.close_key();
    age_sign_in(&site.home, "iwa", 9);
    site.run(&["refresh", "--now"]).ok();
    site.run(&["logout"]).ok();
    assert_eq!(site.portal.live_refresh_tokens(), 0);
    site.portal.assert_clean();
    all_are_of_ana(&site.front.seen());
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn the_requests_are_those_of_linux() {
    let windows = Windows::signed_in();
    let site = &windows.site;
    windows.expire_token();
    let of = |words: &[&str]| shown(&site.front.requests_of(|| drop(site.run(words).ok())));
    assert_eq!(of(&["token"]), ["200 GET ", "200 POST /oauth2/token +body"]);
    assert_eq!(of(&["token"]), [] as [&str; 0]);
    assert_eq!(of(&["api", "portals/self"]), ["200 GET /portals/self"]);
    assert_eq!(
        of(&["api", "-X", "POST", "portals/self", "-f", "x=y"]),
        ["200 GET ", "200 POST /portals/self +body"]
    );
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn no_secret_goes_to_a_web_server_that_does_not_let_in() {
    let windows = Windows::new();
    let site = &windows.site;
    let ca = site.portal.ca_file(site.home.path());
    let url = site.front.url();
    let mut words = add_application_arguments("iwa", &url, SERVICE_ID, ca.to_str().unwrap());
    words.extend(["--web-tier", "windows"]);
    site.home.run(words).input(service_secret()).done().ok();
    let seen = site.front.requests_of(|| {
        site.run(&["token"]).ok();
    });
    assert_eq!(
        shown(&seen),
        ["200 GET ", "200 POST /oauth2/token +body"],
        "a secret in a form"
    );
    // The web server's key is another one, so that its keytab opens no ticket.
    windows.expire_token();
    site.kdc.change_key("HTTP/localhost");
    let place = site.kdc.ticket("ana");
    let run = site.home.run(["token"]).env("KRB5CCNAME", place);
    let seen = site.front.requests_of(|| {
        run.done()
            .code(7)
            .err_has(
                "did not accept the Windows sign-in of ana@EXAMPLE.COM (Kerberos, HTTP/localhost)",
            )
            .err_has("klist purge");
    });
    assert_eq!(shown(&seen), ["401 GET "]);
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn neither_another_principal_nor_an_unknown_one_signs_in() {
    let windows = Windows::signed_in();
    let site = &windows.site;
    site.kdc.add("otto");
    site.kdc.add("BUILD01$");
    windows.expire_token();
    let with = |place: &str| site.home.run(["token"]).env("KRB5CCNAME", place).done();
    let seen = site.front.requests_of(|| {
        with(&site.kdc.no_ticket())
            .code(3)
            .err_has("there is no Kerberos ticket")
            .err_has("sign in to Windows with the account of your domain");
        with(&site.kdc.ticket("otto"))
            .code(3)
            .err_has("is that of ana@EXAMPLE.COM, and the Kerberos ticket here is that of otto@EXAMPLE.COM; nothing was sent")
            .err_has("run this as ana@EXAMPLE.COM");
        // One of a machine is used only where it is named.
        let edit = ["connections", "edit", "iwa", "--web-tier", "windows"];
        let machine = site.kdc.ticket("BUILD01$");
        let run = site.home.run(edit).env("KRB5CCNAME", machine);
        run.done()
            .code(2)
            .err_has("BUILD01$@EXAMPLE.COM, the account of a machine or a service; nothing was sent");
        // A place of tickets that `klist` does not read, so that it is not known whose they are.
        let collection = site.kdc.collection();
        site.kdc.kinit("ana", &collection, "10h");
        with(&collection)
            .code(7)
            .err_has("does not say for which account it made the Kerberos token")
            .err_has("cmdkey /list");
    });
    assert_eq!(shown(&seen), [] as [&str; 0]);
    site.run(&["token"]).ok();
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_person_at_a_terminal_is_asked() {
    let windows = Windows::new();
    let site = &windows.site;
    let ca = site.portal.ca_file(site.home.path());
    let words = [
        "connections",
        "add",
        "--label=iwa",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ];
    let program = site.home.program().to_str().unwrap();
    let mut terminal = Terminal::start_sized(&site.home, program, &words, WIDE);
    terminal
        .expect("Portal URL")
        .ready()
        .line(&site.front.url());
    terminal
        .expect("This portal is behind Windows sign-in.")
        .expect("Use your Windows sign-in for it, as ana@EXAMPLE.COM?")
        .send("y");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal
        .expect("[OK] Created connection: iwa")
        .expect("Windows sign-in: as ana@EXAMPLE.COM");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    tell(&terminal.screen());
}
