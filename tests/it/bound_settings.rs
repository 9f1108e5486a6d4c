//! What decides whom secrets are sent to, and how, is bound to them: the portal, the client ID, the
//! certificates, the proxy, PKCE. A change by `connections edit` is a change; one in the files is
//! refused, and nothing is sent.

use std::fs;
use std::path::PathBuf;

use age_oauth::testing::{Binding, Tokens};
use age_oauth::{Context, Environment, Item, ItemKind, Keychains, Secret};
use serde_json::{json, Value};

use crate::support::home::Home;
use crate::support::portal::{
    app_secret, service_secret, Portal, PortalVersion, APP_ID, SERVICE_ID,
};
use crate::support::scenario::{
    add_application, add_application_arguments, add_arguments, change_tokens, folder_of, sign_in,
    stored,
};

/// It is never asked, because the portal is on this machine; `tests/it/http.rs` has one that is.
const PROXY: &str = "http://127.0.0.1:9";

const VERSION: PortalVersion = PortalVersion::Enterprise114;

/// A portal, another one whose certificate is trusted as well, and a home with the signed-in user
/// connection `prod` and the application connection `service`, which has no token yet.
pub struct Fixture {
    pub portal: Portal,
    pub elsewhere: Portal,
    pub home: Home,
}

impl Fixture {
    pub fn new() -> Self {
        let (portal, elsewhere) = (Portal::start(VERSION), Portal::start(VERSION));
        let home = Home::new(env!("CARGO_BIN_EXE_age-oauth"));
        let ca = home.path().join("both.pem");
        fs::write(&ca, [portal.ca_pem(), elsewhere.ca_pem()].concat()).unwrap();
        let (ca, url) = (ca.to_str().unwrap(), portal.url());
        let mut words = add_arguments("prod", &url, APP_ID, ca).to_vec();
        words.extend(["--client-secret", app_secret()]);
        home.run(words).done().ok();
        let words = add_application_arguments("service", &url, SERVICE_ID, ca);
        home.run(words).input(service_secret()).done().ok();
        sign_in(&home, &portal, "prod").ok();
        Self {
            portal,
            elsewhere,
            home,
        }
    }

    pub fn meta(&self, label: &str) -> PathBuf {
        folder_of(&self.home, label).join("meta.json")
    }

    /// `meta.json` with other values.
    pub fn changed(&self, label: &str, changes: &[(&str, Value)]) -> String {
        let mut meta: Value =
            serde_json::from_str(&fs::read_to_string(self.meta(label)).unwrap()).unwrap();
        for (name, value) in changes {
            meta[*name] = value.clone();
        }
        meta.to_string()
    }
}

fn context() -> Context {
    Context {
        environment: Environment::of(Vec::<(String, String)>::new()),
        ..Context::process()
    }
}

/// Each setting, as a text in `meta.json`, how the message names it, and the option to choose it.
fn each_change(fixture: &Fixture) -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({"proxy": PROXY}), "proxy", "--proxy"),
        (json!({"proxy": "none"}), "proxy", "--proxy"),
        (
            json!({"verify_ssl": false}),
            "certificates not verified",
            "--verify-ssl",
        ),
        (
            json!({"ca_bundle": null}),
            "certificates system",
            "--verify-ssl",
        ),
        (
            json!({"ca_bundle": fixture.home.path().join("other.pem")}),
            "certificates",
            "--verify-ssl",
        ),
        (json!({"pkce": false}), "PKCE false", "--pkce"),
        (
            json!({"redirect_uri": "http://127.0.0.1:53682/"}),
            "redirect URI",
            "--redirect-uri",
        ),
        (json!({"client_id": "another"}), "client ID", "--client-id"),
        (
            json!({"portal_url": fixture.elsewhere.url()}),
            "portal URL",
            "--portal",
        ),
        (
            json!({"api_url": fixture.elsewhere.url()}),
            "API URL",
            "--api-url",
        ),
        (
            json!({"proxy": PROXY, "verify_ssl": false}),
            "proxy",
            "--verify-ssl FILE.pem --proxy",
        ),
    ]
}

/// Every way to use the connection is refused, and nothing leaves the machine.
#[track_caller]
fn nothing_is_sent(fixture: &Fixture, word: &str, flag: &str) {
    let requests = fixture.portal.connections();
    for words in [
        &["token", "-c", "prod"][..],
        &["token", "--force", "-c", "prod"],
        &["refresh", "-c", "prod"],
        &["refresh", "--now", "-c", "prod"],
        &["whoami", "-c", "prod"],
        &["api", "portals/self", "-c", "prod"],
        &["exec", "-c", "prod", "--", "true"],
        &["login", "-c", "prod"],
    ] {
        let said = fixture.home.run(words).done().code(5).out("");
        assert!(said.stderr.contains(word), "{words:?} {}", said.stderr);
        assert!(said.stderr.contains(flag), "{words:?} {}", said.stderr);
        assert!(
            said.stderr.contains("connections edit prod --"),
            "{words:?} {}",
            said.stderr
        );
    }
    assert_eq!(fixture.portal.connections(), requests);
    assert_eq!(fixture.elsewhere.connections(), 0);
}

#[test]
fn rule_24b_every_setting_that_is_changed_in_the_files_is_refused() {
    let fixture = Fixture::new();
    fs::write(
        fixture.home.path().join("other.pem"),
        fixture.elsewhere.ca_pem(),
    )
    .unwrap();
    let meta = fixture.meta("prod");
    let good = fs::read_to_string(&meta).unwrap();
    for (change, word, flag) in each_change(&fixture) {
        let changes: Vec<_> = change
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        fs::write(&meta, fixture.changed("prod", &changes)).unwrap();
        nothing_is_sent(&fixture, word, flag);
        fs::write(&meta, &good).unwrap();
    }
    let ca = meta.with_file_name("ca.pem");
    let authority = fs::read(&ca).unwrap();
    fs::write(&ca, fixture.elsewhere.ca_pem()).unwrap();
    nothing_is_sent(&fixture, "certificates sha256:", "--verify-ssl");
    fs::remove_file(&ca).unwrap();
    nothing_is_sent(&fixture, "certificates unreadable", "--verify-ssl");
    fs::write(&ca, authority).unwrap();
    fixture
        .home
        .run(["token", "--force", "-c", "prod"])
        .done()
        .ok();
}

#[test]
fn a_connection_without_a_sign_in_is_bound_as_well() {
    let fixture = Fixture::new();
    fixture.home.run(["logout", "-c", "prod"]).done().ok();
    let meta = fixture.meta("prod");
    let good = fs::read_to_string(&meta).unwrap();
    for change in [
        ("proxy", json!(PROXY)),
        ("pkce", json!(false)),
        // There, no item of the connection is stored.
        ("keychain", json!("os")),
    ] {
        fs::write(&meta, fixture.changed("prod", &[change])).unwrap();
        let said = fixture.home.run(["login", "-c", "prod"]).done().code(5);
        assert!(!said.stderr.contains("oauth2/authorize"), "{}", said.stderr);
    }
    fs::write(&meta, good).unwrap();
    sign_in(&fixture.home, &fixture.portal, "prod").ok();
}

/// The keychain was lost, and with it the client secret and what it was bound to. Every command
/// names the one command that stores the secret again and chooses the settings.
#[test]
fn one_command_repairs_an_application_whose_keychain_was_lost() {
    let (portal, home) = (Portal::start(VERSION), crate::home());
    add_application(&home, &portal, "app");
    home.run(["token"]).done().ok();
    fs::remove_file(home.store().join("vault")).unwrap();
    let command = "age-oauth connections edit app --client-secret-stdin --verify-ssl FILE.pem";
    for (arguments, code) in [
        (&["token", "--force"][..], 5),
        (&["login"], 5),
        (&["status", "--check", "--keychain"], 5),
    ] {
        home.run(arguments).done().code(code).err_has(command);
    }
    let doctor = home.run(["doctor", "--offline"]).done().code(1);
    assert!(doctor.stdout.contains(command), "{}", doctor.stdout);
    let ca = portal.ca_file(home.path());
    let edit = command.replace("FILE.pem", ca.to_str().unwrap());
    home.run(edit.split(' ').skip(1))
        .input(service_secret())
        .done()
        .ok();
    home.run(["token", "--force"]).done().ok();
}

/// The store came from another machine, or the keychain was lost. The certificate authority is a
/// file that another program may have written, so a person decides about it.
#[cfg(unix)]
#[test]
fn rule_24b_settings_that_only_files_name_are_shown_and_confirmed_before_a_sign_in() {
    use crate::support::portal::Endpoint;
    use crate::support::pty::Terminal;
    let fixture = Fixture::new();
    let (home, portal) = (&fixture.home, &fixture.portal);
    fs::remove_file(home.store().join("vault")).unwrap();
    let pem = fs::read(fixture.meta("prod").with_file_name("ca.pem")).unwrap();
    let sent = portal.requests().len();
    let login = ["login", "-c", "prod"];
    // Without a person, nothing is sent, and one command says what to do.
    let refused = home.run(login).done().code(5);
    assert!(!refused.stderr.contains("oauth2/authorize"));
    let refused =
        refused.err_has("at a terminal, this shows the settings and asks: age-oauth login -c prod");
    refused.err_has("age-oauth connections edit prod --verify-ssl FILE.pem");
    // A person who says no, or interrupts, has confirmed nothing.
    for (answer, code) in [("n", 5), ("\x03", 130)] {
        let mut terminal = Terminal::start(home, &login);
        terminal
            .expect("has no record of `prod`")
            .expect(&portal.url())
            .expect("SHA-256")
            .expect("Did you choose these settings");
        terminal.send(answer);
        assert_eq!(terminal.end(), code);
    }
    home.run(login).done().code(5);
    assert_eq!(portal.requests().len(), sent);
    // Another authority, or a proxy, that is put in while the question waits, is not bound.
    let mut terminal = Terminal::start(home, &login);
    terminal.expect("Did you choose these settings");
    let good = fs::read_to_string(fixture.meta("prod")).unwrap();
    fs::write(
        fixture.meta("prod"),
        fixture.changed("prod", &[("proxy", json!(PROXY))]),
    )
    .unwrap();
    terminal.send("y");
    assert_eq!(terminal.end(), 5);
    fs::write(fixture.meta("prod"), good).unwrap();
    assert_eq!(portal.requests().len(), sent);
    // The person agrees.
    let mut terminal = Terminal::start(home, &["login", "-c", "prod", "--no-browser"]);
    terminal.expect("Did you choose these settings").send("y");
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, "your.username").code());
    terminal.expect("Token is for user: your.username");
    assert_eq!(terminal.end(), 0);
    assert_eq!(portal.requests_to(Endpoint::Code).len(), 2);
    home.run(["token", "--force", "-c", "prod"]).done().ok();
    // From now on, the settings are bound.
    fs::write(
        fixture.meta("prod").with_file_name("ca.pem"),
        [&pem[..], &pem].concat(),
    )
    .unwrap();
    home.run(["token", "--force", "-c", "prod"]).done().code(5);
}

#[test]
fn what_is_edited_is_bound_and_what_is_not_named_is_not_taken_over() {
    let fixture = Fixture::new();
    let home = &fixture.home;
    let token = ["token", "--force", "-c", "prod"];
    let edit = |flags: &[&str]| home.run([&["connections", "edit", "prod"], flags].concat());
    edit(&["--proxy", PROXY]).done().ok();
    home.run(token).done().ok();
    edit(&["--verify-ssl", "false", "--pkce", "false"])
        .done()
        .ok();
    home.run(token).done().ok();
    let both = home.path().join("both.pem");
    let both = both.to_str().unwrap();
    // The proxy was changed in the file. An edit of other settings does not confirm it.
    let changed = fixture.changed("prod", &[("proxy", json!("http://127.0.0.1:10"))]);
    fs::write(fixture.meta("prod"), &changed).unwrap();
    edit(&["--tag", "x"]).done().ok();
    let said = edit(&["--no-check", "--verify-ssl", both]).done().code(5);
    assert!(said.stderr.contains("proxy"), "{}", said.stderr);
    home.run(token).done().code(5);
    // The former value, or a new one, is a choice.
    edit(&["--proxy", "system", "--verify-ssl", both])
        .done()
        .ok();
    home.run(token).done().ok();
    edit(&[
        "--keychain",
        "vault",
        "--redirect-uri",
        "http://127.0.0.1:53682/",
    ])
    .done()
    .ok();
    home.run(["connections", "rename", "prod", "production"])
        .done()
        .ok();
    home.run(["token", "--force", "-c", "production"])
        .done()
        .ok();
    home.run(["connections", "remove", "production", "--yes"])
        .done()
        .ok();
    let keychain = Keychains::new(home.store(), true, false, &context());
    let left = keychain
        .of(stored(home, "service").keychain)
        .accounts()
        .unwrap();
    assert!(
        left.iter().all(|account| account.starts_with("service")),
        "{left:?}"
    );
}

/// Makes the records those of a version that bound only portal and client ID.
fn make_old(home: &Home, label: &str) {
    let connection = stored(home, label);
    let keychain = Keychains::new(home.store(), true, false, &context()).of(connection.keychain);
    keychain
        .delete(&Item::of(&connection, ItemKind::Binding))
        .unwrap();
    change_tokens(home, label, |tokens: &mut Tokens| {
        tokens.binding.settings = None;
    });
    let item = Item::of(&connection, ItemKind::ClientSecret);
    if let Some(record) = keychain.get(&item).unwrap() {
        let mut record: Value = serde_json::from_str(record.expose()).unwrap();
        record.as_object_mut().unwrap().remove("settings");
        keychain
            .set(&item, &Secret::new(record.to_string()))
            .unwrap();
    }
}

#[test]
fn rule_24b_an_old_record_takes_over_nothing_from_a_file() {
    let mut fixture = Fixture::new();
    // Trusted by the machine, as a portal with a public certificate is.
    let both = fixture.home.path().join("both.pem");
    fixture.home.set("SSL_CERT_FILE", both.to_str().unwrap());
    let home = &fixture.home;
    home.run(["connections", "edit", "prod", "--verify-ssl", "true"])
        .done()
        .ok();
    make_old(home, "prod");
    let meta = fixture.meta("prod");
    let old = fixture.changed("prod", &[("schema_version", json!(2))]);
    fs::write(&meta, &old).unwrap();
    for (change, flag) in [
        (("proxy", json!(PROXY)), "--proxy"),
        (("verify_ssl", json!(false)), "--verify-ssl"),
        (("ca_bundle", json!("ca.pem")), "--verify-ssl"),
        (("pkce", json!(false)), "--pkce"),
        (("api_url", json!(fixture.elsewhere.url())), "--api-url"),
    ] {
        fs::write(&meta, fixture.changed("prod", &[change])).unwrap();
        for words in [&["token", "--force"][..], &["login"]] {
            let words = [words, &["-c", "prod"]].concat();
            home.run(words).done().code(5).err_has(flag);
        }
        fs::write(&meta, &old).unwrap();
    }
    // The safe settings are bound at the first renewal, which says so once.
    let renew = ["token", "--force", "-c", "prod"];
    let text = "were stored by an earlier version";
    home.run(renew).done().ok().err_has(text);
    let said = home.run(renew).done().ok();
    assert!(!said.stderr.contains(text), "{}", said.stderr);
    let meta: Value = serde_json::from_slice(&fs::read(meta).unwrap()).unwrap();
    assert_eq!(meta["schema_version"], 3, "an older program refuses it");
    let connection = stored(home, "prod");
    let keychain = Keychains::new(home.store(), true, false, &context()).of(connection.keychain);
    for kind in [ItemKind::ClientSecret, ItemKind::Tokens, ItemKind::Binding] {
        let record = keychain.get(&Item::of(&connection, kind)).unwrap().unwrap();
        let binding: Binding = serde_json::from_str(record.expose()).unwrap();
        assert!(!binding.is_old(), "{kind:?}");
    }
}

#[test]
fn the_settings_of_an_old_connection_are_confirmed_by_an_edit() {
    let fixture = Fixture::new();
    let home = &fixture.home;
    make_old(home, "prod");
    let renew = ["token", "--force", "-c", "prod"];
    home.run(renew)
        .done()
        .code(5)
        .err_has("connections edit prod --verify-ssl");
    let both = home.path().join("both.pem");
    home.run(
        ["connections", "edit", "prod", "--verify-ssl"]
            .map(String::from)
            .into_iter()
            .chain([both.display().to_string()]),
    )
    .done()
    .ok();
    home.run(renew).done().ok();
    home.run(["doctor", "--offline"]).done().ok();
}
