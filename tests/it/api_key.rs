//! API keys: how one is given, whose it is, where it goes, and what is said about its end.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use age_oauth::testing::ApiKeyRecord;
use age_oauth::{
    ConnectionStore, Context, Environment, Item, ItemKind, KeychainKind, Keychains, Secret,
    SecretStore,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{json, Value};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    Endpoint, Fault, Gate, Portal, PortalVersion, APP_ID, OTHER_USER, SERVICE_ID, USER,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{add, add_application, folder_of, sign_in, stored};

/// A portal with an API key of [`USER`], and a home that may have the connection `keyed`.
struct Fixture {
    portal: Portal,
    home: Home,
    ca: PathBuf,
    key: String,
}

pub(crate) fn in_days(days: i64) -> String {
    let end = Timestamp::now() + SignedDuration::from_hours(24 * days);
    format!("{end:.0}")
}

impl Fixture {
    fn new() -> Self {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        let ca = portal.ca_file(home.path());
        home.allow_secrets_in("manager");
        fs::create_dir(home.path().join("manager")).unwrap();
        let key = portal.make_api_key(USER, 300);
        Self {
            portal,
            home,
            ca,
            key,
        }
    }

    /// The same with the connection `keyed`, whose key ends in 200 days.
    fn added() -> Self {
        let fixture = Self::new();
        fixture.add(&in_days(200), &fixture.key).ok();
        fixture
    }

    fn words(&self, options: &[&str]) -> Vec<String> {
        let (url, ca) = (self.portal.url(), self.ca.display().to_string());
        let mut words = vec!["connections", "add", "--label", "keyed", "--portal", &url];
        words.extend(["--verify-ssl", &ca, "--auth-type", "key"]);
        words.extend(options);
        words.into_iter().map(str::to_owned).collect()
    }

    fn add(&self, end: &str, key: &str) -> Outcome {
        let words = self.words(&["--expires", end, "--api-key-stdin"]);
        self.home.run(words).input(key).done()
    }

    fn edit(&self, options: &[&str], key: &str) -> Outcome {
        let mut words = vec!["connections", "edit", "keyed"];
        words.extend(options);
        self.home.run(words).input(key).done()
    }

    /// Starts a command that reads a key from standard input.
    fn start(&self, words: &[impl AsRef<OsStr>], key: &str) -> Child {
        let mut child = self.home.run(words).spawn();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(key.as_bytes()).unwrap();
        child
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }

    /// A script that prints the key in a file and counts its runs.
    fn command(&self) -> String {
        let folder = self.home.path().join("manager");
        let folder = folder.display();
        let text = format!("echo run >>'{folder}/runs'\ncat '{folder}/key'\n");
        fs::write(self.manager("print.sh"), text).unwrap();
        self.keep(&self.key);
        format!("/bin/sh '{}'", self.manager("print.sh").display())
    }

    fn keep(&self, key: &str) {
        fs::write(self.manager("key"), format!("{key}\n")).unwrap();
    }

    fn manager(&self, name: &str) -> PathBuf {
        self.home.path().join("manager").join(name)
    }

    fn runs(&self) -> usize {
        let runs = fs::read_to_string(self.manager("runs")).unwrap_or_default();
        runs.lines().count()
    }

    fn meta_file(&self) -> PathBuf {
        folder_of(&self.home, "keyed").join("meta.json")
    }

    fn change_meta(&self, name: &str, value: &Value) {
        let mut meta: Value = serde_json::from_slice(&fs::read(self.meta_file()).unwrap()).unwrap();
        meta[name] = value.clone();
        fs::write(self.meta_file(), meta.to_string()).unwrap();
    }

    fn vault(&self) -> (Arc<dyn SecretStore>, Item) {
        let context = Context {
            environment: Environment::of(Vec::<(String, String)>::new()),
            ..Context::process()
        };
        let keychains = Keychains::new(self.home.store(), true, false, &context);
        let item = Item::of(&stored(&self.home, "keyed"), ItemKind::ApiKey);
        (keychains.of(KeychainKind::Vault), item)
    }

    fn item(&self) -> Option<Secret> {
        let (vault, item) = self.vault();
        vault.get(&item).unwrap()
    }

    /// The next question whose an API key is waits at this gate.
    fn hold_question(&self) -> Gate {
        let gate = Gate::new();
        let fault = Fault::HoldBefore(gate.clone());
        self.portal
            .set(|rules| rules.fault(Endpoint::PortalSelf, fault));
        gate
    }

    /// The options of `edit` that move the connection to another portal, unchecked.
    fn move_to(&self, other: &Portal) -> Vec<String> {
        let folder = self.home.path().join("other");
        fs::create_dir_all(&folder).unwrap();
        let ca = other.ca_file(&folder).display().to_string();
        let words = ["--portal", &other.url(), "--verify-ssl", &ca, "--no-check"];
        words.map(str::to_owned).to_vec()
    }

    fn status(&self) -> Value {
        let all = self.run(&["status", "--json", "-c", "keyed"]).ok().json();
        all[0].clone()
    }

    fn record(&self) -> Option<ApiKeyRecord> {
        ApiKeyRecord::from_record(&self.item()?)
    }
}

#[test]
fn rule_24i_a_key_is_handed_out_as_a_token_and_is_in_no_file() {
    let fixture = Fixture::new();
    let (portal, home, key) = (&fixture.portal, &fixture.home, &fixture.key);
    let end = in_days(200);
    let said = fixture.add(&end, &format!("  {key}\r\n")).ok();
    said.out("[OK] Created connection: keyed\n")
        .err_has("the API key of `keyed` is long-lived")
        .err_has("age-oauth token -c keyed");
    fixture
        .run(&["token", "-c", "keyed"])
        .ok()
        .out(&format!("{key}\n"));
    let header = fixture.run(&["token", "--header"]).ok();
    header.out(&format!("X-Esri-Authorization: Bearer {key}\n"));
    let answer = fixture.run(&["token", "--json"]).ok().json();
    assert_eq!(answer["access_token"], *key);
    assert_eq!(answer["expires_at"], end);
    assert_eq!(answer["username"], USER);
    assert_eq!(answer["auth_type"], "key");
    assert_eq!(answer["refresh_expires_at"], Value::Null);
    let exported = fixture.run(&["export-env", "--shell", "json"]).ok();
    assert_eq!(exported.json()["ARCGIS_TOKEN"], *key);
    assert_eq!(exported.json()["ARCGIS_TOKEN_EXPIRES_AT"], end);
    exported.err_has("is long-lived: everyone who reads it can use it until");
    let run = ["exec", "--", "/bin/sh", "-c", "echo \"$ARCGIS_TOKEN\""];
    fixture.run(&run).ok().out(&format!("{key}\n"));
    let found = fixture.run(&["api", "search?q=x"]).ok().json();
    assert_eq!(found["total"], 2, "as one who is signed in");
    // Whose it is: the owner of the item that the key was made on.
    let who = fixture.run(&["whoami", "--json"]).ok().json();
    assert_eq!(
        (&who["owner"], &who["username"]),
        (&json!(USER), &Value::Null)
    );
    fixture
        .run(&["whoami", "--offline"])
        .ok()
        .out(&format!("{USER}\n"));
    // A federated server gets a token that the portal grants for the key, and not the key.
    let url = format!("{}/rest/services", portal.other_server_url());
    let server = fixture.run(&["token", "--for", &url, "--json"]).ok().json();
    assert_ne!(server["access_token"], *key);
    assert_eq!(server["username"], USER);
    // No other host gets it.
    fixture.run(&["api", &portal.standalone_url()]).code(7);
    // What shows connections shows everything but the key.
    for words in [
        &["connections", "show", "keyed", "--json"][..],
        &["connections", "list", "--json"],
        &["status", "--json"],
    ] {
        let answer = fixture.run(words).ok().json();
        let one = answer.get(0).unwrap_or(&answer);
        assert_eq!(one["auth_type"], "key");
        assert_eq!(one["api_key_expires_at"], end);
        assert_eq!(one["username"], USER);
    }
    let shown = fixture.run(&["connections", "show"]).ok().stdout;
    assert!(shown.contains("API key:         stored\n"), "{shown}");
    assert!(
        !shown.contains("Client") && !shown.contains("Tokens"),
        "{shown}"
    );
    assert!(shown.contains("Key until:"), "{shown}");
    let listed = fixture.run(&["connections", "list"]).ok().stdout;
    assert!(
        listed.contains(&format!("\tkey\t{USER}\t{end}\t")),
        "{listed}"
    );
    let overview = fixture.run(&[]).ok().stdout;
    assert!(
        overview.contains(&format!("{USER} (expires in ")),
        "{overview}"
    );
    fixture.run(&["status", "--check", "--keychain"]).ok();
    fixture.run(&["doctor"]).ok();
    // Nothing was renewed, and the key is in the keychain alone.
    assert_eq!(portal.grants(), Vec::<String>::new());
    assert!(home.files_containing(key).is_empty());
    let log = home.path().join("log.jsonl");
    let run = home.run(["-vv", "api", "search?q=x"]);
    let said = run.env("AGE_OAUTH_LOG", &log).done().ok();
    assert!(!said.stderr.contains(key.as_str()));
    assert!(!fs::read_to_string(&log).unwrap().contains(key.as_str()));
    fixture
        .run(&["connections", "remove", "keyed", "--yes"])
        .ok();
    assert!(portal.accepts_access_token(key));
}

#[test]
fn the_end_of_a_key_is_given_and_warned_about() {
    let fixture = Fixture::new();
    fixture.add(&in_days(29), &fixture.key).ok();
    // A month ahead, or earlier if that is asked about. A shorter time is for sign-ins.
    let said = fixture.run(&["status", "--check"]).code(3);
    said.err_has("the API key of `keyed` expires on ")
        .err_has("connections edit keyed --expires DATE --api-key-stdin");
    let said = fixture.run(&["status", "--check", "--within", "3d"]);
    said.code(3).err_has("the API key of `keyed` expires on ");
    let state = fixture.run(&["status", "--json"]).ok().json();
    assert_eq!(state[0]["sign_in"], "ends_soon");
    let found = fixture.run(&["doctor"]).ok().stdout;
    assert!(
        found.contains("the API key of `keyed` expires on "),
        "{found}"
    );
    // A token that must live longer is an error; half of a key's life is not asked for.
    fixture.run(&["token", "--min-ttl", "28d"]).ok();
    let said = fixture.run(&["token", "--min-ttl", "30d"]).code(3);
    said.err_has("which is in less than the 2592000 seconds that are needed")
        .err_has("ask for less (--min-ttl)");
    let said = fixture.run(&["export-env", "--shell", "sh", "--min-ttl", "30d"]);
    said.code(3).err_has("the API key of connection `keyed`");
    let said = fixture
        .run(&["token", "--json", "--min-ttl", "30d"])
        .code(3);
    assert_eq!(said.error_json()["error"]["kind"], "api_key");
    // A new date alone.
    fixture.edit(&["--expires", &in_days(200)], "").ok();
    fixture.run(&["status", "--check"]).ok();
    fixture
        .run(&["status", "--check", "--within", "201d"])
        .code(3)
        .err_has("the API key of `keyed` expires on ");
    fixture.run(&["token", "--min-ttl", "30d"]).ok();
    // One that has passed, which only a file can say here.
    fixture.change_meta("api_key_expires_at", &json!("2026-01-01T00:00:00Z"));
    fixture
        .run(&["token"])
        .code(3)
        .err_has("expired on 2026-01-01T00:00:00Z");
    fixture
        .run(&["status", "--check"])
        .code(3)
        .err_has("expired");
    assert_eq!(
        fixture.run(&["status", "--json"]).ok().json()[0]["sign_in"],
        "ended"
    );
    fixture.run(&["doctor"]).code(1);
}

#[test]
fn a_key_whose_end_cannot_be_read_is_repaired_and_removed() {
    let fixture = Fixture::added();
    let key = format!("{}\n", fixture.key);
    let end = in_days(100);
    for value in [Value::Null, json!("soon")] {
        fixture.change_meta("api_key_expires_at", &value);
        let said = fixture.run(&["token"]).code(3);
        said.err_has("the API key of connection `keyed` has no end that can be read")
            .err_has("age-oauth connections edit keyed --expires DATE");
        let said = fixture.run(&["status", "--check"]).code(3);
        said.err_has("connections edit keyed --expires DATE");
        assert_eq!(fixture.status()["sign_in"], "ended");
        fixture.run(&["status"]).ok();
        fixture.run(&["doctor", "--offline"]).code(1);
        let listed = fixture.run(&["connections", "list"]).ok().stdout;
        assert!(listed.contains(&format!("\tkey\t{USER}\t\t")), "{listed}");
        fixture.edit(&["--expires", &end], "").ok();
        fixture.run(&["token"]).ok().out(&key);
        fixture.change_meta("api_key_expires_at", &value);
        let edit = ["--expires", &end, "--api-key-stdin"];
        fixture.edit(&edit, &fixture.key).ok();
        fixture.run(&["token"]).ok().out(&key);
    }
    fixture.change_meta("api_key_expires_at", &json!("soon"));
    let (vault, item) = fixture.vault();
    fixture
        .run(&["connections", "remove", "keyed", "--yes"])
        .ok();
    assert!(vault.get(&item).unwrap().is_none());
}

#[test]
fn rule_24i_a_key_of_another_user_is_refused_and_the_first_user_stays() {
    let fixture = Fixture::added();
    let other = fixture.portal.make_api_key(OTHER_USER, 300);
    let edit = ["--expires", &in_days(250), "--api-key-stdin"];
    let said = fixture.edit(&edit, &other).code(3);
    said.err_has(&format!("stays that of `{USER}`"))
        .err_has(&format!("that of `{OTHER_USER}`"))
        .err_has("age-oauth logout -c keyed");
    fixture
        .run(&["token"])
        .ok()
        .out(&format!("{}\n", fixture.key));
    // What meta.json says about the user does not count.
    fixture.change_meta("username", &json!(OTHER_USER));
    fixture.edit(&edit, &other).code(3);
    fixture.run(&["token", "--force"]).ok();
    assert_eq!(
        fixture.run(&["token", "--json"]).ok().json()["username"],
        USER
    );
    // Another key of the same user replaces the first one.
    let second = fixture.portal.make_api_key(USER, 300);
    let said = fixture.edit(&edit, &second).ok();
    said.out(&format!(
        "[OK] The API key of keyed is replaced; it is that of {USER}.\n"
    ));
    let answer = fixture.run(&["token", "--json"]).ok().json();
    assert_eq!(answer["access_token"], second);
    assert_eq!(answer["expires_at"], edit[1]);
    // After the key was deleted here, the connection begins anew.
    fixture.run(&["logout"]).ok();
    fixture.edit(&edit, &other).ok();
    let who = fixture.run(&["whoami", "--json"]).ok().json();
    assert_eq!(who["owner"], OTHER_USER);
}

#[test]
fn rule_24i_a_refused_key_is_an_error_and_is_sent_once() {
    let fixture = Fixture::added();
    fixture.portal.revoke_api_key(&fixture.key);
    // What needs no portal does not know it yet.
    fixture.run(&["token"]).ok();
    let sent = || fixture.portal.requests().len();
    for words in [
        &["api", "search?q=x"][..],
        &["whoami"],
        &["token", "--force"],
        &["token", "--for"],
    ] {
        let before = sent();
        let url = format!("{}/rest/services", fixture.portal.other_server_url());
        let mut words = words.to_vec();
        if words.last() == Some(&"--for") {
            words.push(&url);
        }
        let said = fixture.run(&words).code(3);
        assert_eq!(sent() - before, 1, "{words:?}");
        said.err_has("the API key of connection `keyed` is not accepted by the portal")
            .err_has("connections edit keyed --expires DATE --api-key-stdin");
    }
    fixture.run(&["doctor"]).code(1);
    let status = fixture.run(&["status"]).ok().stdout;
    assert!(status.contains("is not accepted by the portal"), "{status}");
    // A new one makes it good again.
    let second = fixture.portal.make_api_key(USER, 300);
    let edit = ["--expires", &in_days(250), "--api-key-stdin"];
    fixture.edit(&edit, &second).ok();
    fixture.run(&["api", "search?q=x"]).ok();
    let status = fixture.run(&["status"]).ok().stdout;
    assert!(!status.contains("is not accepted"), "{status}");
}

#[test]
fn rule_24i_a_key_is_stored_only_for_the_settings_that_it_was_accepted_with() {
    let other = Portal::start(PortalVersion::Enterprise114);
    for moves in [true, false] {
        let fixture = Fixture::added();
        let second = fixture.portal.make_api_key(USER, 300);
        let end = in_days(250);
        let words = [
            "connections",
            "edit",
            "keyed",
            "--expires",
            &end,
            "--api-key-stdin",
        ];
        let gate = fixture.hold_question();
        let child = fixture.start(&words, &second);
        gate.await_arrivals(1);
        // Another process changes where the key would go.
        let moved = fixture.move_to(&other);
        let moved: Vec<_> = moved.iter().map(String::as_str).collect();
        let change = if moves {
            &moved[..]
        } else {
            &["--proxy", "none"]
        };
        fixture.edit(change, "").ok();
        gate.open();
        let said = Outcome::of(child).code(5);
        said.err_has("the connection was changed while this command ran (")
            .err_has("the API key was not stored")
            .err_has("run the command again");
        let stored = fixture.record().and_then(|record| record.api_key);
        assert_eq!(stored.is_some(), !moves);
        assert!(stored.is_none_or(|key| key.matches(&fixture.key)));
        fixture.run(&["whoami"]).code(if moves { 3 } else { 0 });
    }
    assert!(other.requests().is_empty());
}

#[test]
fn rule_24i_a_key_that_is_not_accepted_changes_nothing() {
    let fixture = Fixture::added();
    let other = Portal::start(PortalVersion::Enterprise114);
    let (meta, item) = (
        fs::read(fixture.meta_file()).unwrap(),
        fixture.item().unwrap(),
    );
    let end = in_days(250);
    let moved = fixture.move_to(&other);
    let moved: Vec<_> = moved.iter().map(String::as_str).collect();
    let refused = fixture.portal.make_api_key(USER, 300);
    fixture.portal.revoke_api_key(&refused);
    let of_another = fixture.portal.make_api_key(OTHER_USER, 300);
    let replace = fixture.words(&["--replace", "--tag", "new", "--expires", &end]);
    for (bad, options) in [
        (&refused, &moved[..]),
        (&refused, &["--label", "renamed"]),
        (
            &refused,
            &["--tag", "new", "--referer", "https://gis.example.com"],
        ),
        (&refused, &["--proxy", "none", "--keychain", "vault"]),
        (&of_another, &["--tag", "new"]),
    ] {
        let mut words = vec!["connections", "edit", "keyed", "--expires", &end];
        words.extend(options);
        words.push("--api-key-stdin");
        fixture.home.run(words).input(bad.clone()).done().code(3);
        let mut words = replace.clone();
        words.push("--api-key-stdin".into());
        fixture.home.run(words).input(bad.clone()).done().code(3);
        assert_eq!(fs::read(fixture.meta_file()).unwrap(), meta, "{options:?}");
        let now = fixture.item().unwrap();
        assert!(now.matches(item.expose()), "{options:?}");
    }
    fixture.run(&["api", "search?q=x"]).ok();
    // One that the new portal accepts moves with the connection, and the former portal never gets
    // it.
    let key = other.make_api_key(OTHER_USER, 300);
    let mut words = vec!["connections", "edit", "keyed", "--expires", &end];
    words.extend(moved);
    words.push("--api-key-stdin");
    let asked = fixture.portal.requests().len();
    let said = fixture.home.run(words).input(key.clone()).done().ok();
    said.out(&format!(
        "[OK] Updated connection: keyed\n[OK] The API key of keyed is replaced; it is that of {OTHER_USER}.\n"
    ));
    let answer = fixture.run(&["token", "--json"]).ok().json();
    assert_eq!(answer["access_token"], key);
    assert_eq!(answer["username"], OTHER_USER);
    assert_eq!(fixture.portal.requests().len(), asked);
}

#[test]
fn a_connection_is_added_after_its_key_was_accepted() {
    let fixture = Fixture::new();
    let gate = fixture.hold_question();
    let words = fixture.words(&["--expires", &in_days(200), "--api-key-stdin", "--no-check"]);
    let mut child = fixture.start(&words, &fixture.key);
    gate.await_arrivals(1);
    let listed = fixture.run(&["connections", "list", "--json"]).ok().json();
    assert_eq!(listed, json!([]));
    child.kill().unwrap();
    child.wait().unwrap();
    gate.open();
    let listed = fixture.run(&["connections", "list", "--json"]).ok().json();
    assert_eq!(listed, json!([]));
    fixture.add(&in_days(200), &fixture.key).ok();
}

#[test]
fn a_key_that_is_being_replaced_is_waited_for() {
    let fixture = Fixture::added();
    let store = ConnectionStore::open(fixture.home.store());
    let connection = stored(&fixture.home, "keyed");
    let limit = Duration::from_secs(60);
    let (lock, _) = store.lock(&connection, limit, &Context::process()).unwrap();
    let (vault, item) = fixture.vault();
    let record = vault.get(&item).unwrap().unwrap();
    vault.delete(&item).unwrap();
    let mut terminal = Terminal::start(&fixture.home, &["token"]);
    terminal.expect("waiting for another age-oauth process");
    vault.set(&item, &record).unwrap();
    drop(lock);
    terminal.expect(&fixture.key);
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    // While it is replaced by one of the same portal, or by a command for one, there is always one.
    let command = fixture.command();
    let second = fixture.portal.make_api_key(USER, 300);
    let good = [format!("{}\n", fixture.key), format!("{second}\n")];
    let end = in_days(250);
    for (options, key) in [
        (&["--api-key-stdin"][..], &second),
        (&["--api-key-command", &command], &fixture.key),
        (&["--api-key-stdin", "--proxy", "none"], &second),
    ] {
        let mut words = vec!["connections", "edit", "keyed", "--expires", &end];
        words.extend(options);
        let mut edit = fixture.start(&words, key);
        while edit.try_wait().unwrap().is_none() {
            let said = fixture.run(&["token"]);
            // What is handed out together with the key may not change meanwhile.
            let is_changed = said.stderr.contains("run the command again");
            let moves = options.contains(&"--proxy");
            assert!(
                good.contains(&said.stdout) || (moves && is_changed),
                "{options:?}: {}",
                said.stderr
            );
        }
        Outcome::of(edit).ok();
    }
}

#[test]
fn a_refused_key_is_noticed_by_what_asks_no_portal() {
    let fixture = Fixture::added();
    fixture.run(&["status", "--check"]).ok();
    assert_eq!(fixture.status()["last_used_at"], Value::Null);
    fixture.run(&["token"]).ok();
    assert_ne!(fixture.status()["last_used_at"], Value::Null);
    let url = format!("{}/rest/services", fixture.portal.other_server_url());
    for words in [
        &["api", "search?q=x"][..],
        &["whoami"],
        &["token", "--force"],
        &["token", "--for", &url],
        &["doctor"],
    ] {
        fixture.portal.revoke_api_key(&fixture.key);
        let code = if words == ["doctor"] { 1 } else { 3 };
        fixture.run(words).code(code);
        let said = fixture.run(&["status", "--check"]).code(3);
        said.err_has("the portal did not accept the API key of `keyed` on ")
            .err_has("connections edit keyed --expires DATE --api-key-stdin");
        let state = fixture.status();
        assert_eq!(state["sign_in"], "ended", "{words:?}");
        assert_ne!(state["api_key_refused_at"], Value::Null, "{words:?}");
        let overview = fixture.run(&[]).ok().stdout;
        assert!(
            overview.contains(&format!("{USER} (not accepted by the portal)")),
            "{overview}"
        );
        let found = fixture.run(&["doctor", "--offline"]).code(1).stdout;
        assert!(found.contains("did not accept the API key"), "{found}");
        let shown = fixture.run(&["connections", "show"]).ok().stdout;
        assert!(shown.contains("Not accepted:"), "{shown}");
        // It is still handed out without the portal, which changes nothing about that.
        fixture.run(&["token"]).ok();
        fixture.run(&["status", "--check"]).code(3);
        // The same key works again.
        fixture.portal.accept_api_key_again(&fixture.key);
        fixture.run(words).ok();
        fixture.run(&["status", "--check"]).ok();
        let state = fixture.status();
        assert_eq!(state["api_key_refused_at"], Value::Null, "{words:?}");
        assert_eq!(state["last_failure"], Value::Null, "{words:?}");
    }
    // A refusal of the former key says nothing about the one that took its place.
    fixture.portal.revoke_api_key(&fixture.key);
    let gate = Gate::new();
    let fault = Fault::HoldBefore(gate.clone());
    fixture
        .portal
        .set(|rules| rules.fault(Endpoint::Search, fault));
    let child = fixture.home.run(["api", "search?q=x"]).spawn();
    gate.await_arrivals(1);
    let second = fixture.portal.make_api_key(USER, 300);
    let edit = ["--expires", &in_days(250), "--api-key-stdin"];
    fixture.edit(&edit, &second).ok();
    gate.open();
    Outcome::of(child).code(3);
    fixture.run(&["status", "--check"]).ok();
    assert_eq!(fixture.status()["last_failure"], Value::Null);
    // A new key takes the note away.
    fixture.portal.revoke_api_key(&second);
    fixture.run(&["whoami"]).code(3);
    let third = fixture.portal.make_api_key(USER, 300);
    fixture.edit(&edit, &third).ok();
    fixture.run(&["status", "--check"]).ok();
}

#[test]
fn hints_fit_how_the_key_is_given() {
    let fixture = Fixture::new();
    let command = fixture.command();
    let words = fixture.words(&["--expires", &in_days(20), "--api-key-command", &command]);
    fixture.home.run(words).done().ok();
    let elsewhere = "put it where the command finds it, then say when it expires: age-oauth connections edit keyed --expires DATE";
    let check = |words: &[&str], code: i32, wanted: &str| {
        let said = fixture.run(words).code(code);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains(wanted), "{words:?}: {text}");
        assert!(!text.contains("--api-key-stdin"), "{words:?}: {text}");
    };
    check(&["status", "--check"], 3, elsewhere);
    check(&["token", "--min-ttl", "30d"], 3, elsewhere);
    check(&["login"], 2, elsewhere);
    fixture.portal.revoke_api_key(&fixture.key);
    check(&["token"], 3, elsewhere);
    check(&["status", "--check"], 3, elsewhere);
    check(&["doctor"], 1, elsewhere);
    // What the hint says is enough.
    fixture.keep(&fixture.portal.make_api_key(USER, 300));
    fixture.edit(&["--expires", &in_days(200)], "").ok();
    fixture.run(&["status", "--check"]).ok();
    fixture.run(&["token"]).ok();
    // Without the record whose it is, the command has to be chosen again.
    let said = fixture.run(&["logout"]).ok();
    said.out("[OK] Whose API key the command of keyed prints is deleted on this machine; the key itself was not stored.\n");
    let again = "connections edit keyed --expires DATE --api-key-command COMMAND";
    check(&["token"], 3, again);
    check(
        &["token"],
        3,
        "whose API key the command of connection `keyed` prints",
    );
    check(&["status", "--check"], 3, again);
    check(&["doctor"], 1, again);
    let end = in_days(200);
    let edit = ["--expires", &end, "--api-key-command", &command];
    fixture.edit(&edit, "").ok();
    fixture.run(&["token"]).ok();
    let (vault, item) = fixture.vault();
    vault.set(&item, &Secret::new("damaged".into())).unwrap();
    check(&["token"], 5, again);
    fixture.edit(&edit, "").ok();
    vault.delete(&item).unwrap();
    check(&["status", "--check", "--keychain"], 3, again);
    fixture.edit(&edit, "").ok();
    // Another portal takes the command away.
    let other = ["--portal", "https://gis.example.com/portal", "--no-check"];
    let said = fixture.edit(&other, "").ok();
    said.err_has("and its command was forgotten").err_has(again);
}

#[test]
fn small_answers_about_a_key_are_right() {
    let fixture = Fixture::added();
    // Some commands need a minute, and have no option to ask for less.
    let soon = Timestamp::now() + SignedDuration::from_secs(40);
    fixture.change_meta("api_key_expires_at", &json!(format!("{soon:.0}")));
    for words in [&["whoami"][..], &["api", "search?q=x"], &["token"]] {
        let said = fixture.run(words).code(3);
        assert!(!said.stderr.contains("--min-ttl"), "{}", said.stderr);
    }
    // The key has not failed.
    assert_eq!(fixture.status()["last_failure"], Value::Null);
    let edit = [
        "--expires",
        &in_days(200),
        "--referer",
        "https://gis.example.com",
    ];
    fixture.edit(&edit, "").ok();
    let said = fixture.run(&["token", "--header"]).ok();
    said.out(&format!(
        "X-Esri-Authorization: Bearer {}\nReferer: https://gis.example.com\n",
        fixture.key
    ));
    // Whose it is, the keychain says where it is asked.
    fixture.change_meta("username", &json!(OTHER_USER));
    let shown = fixture.run(&["connections", "show", "--json"]).ok().json();
    assert_eq!(shown["username"], USER);
    let state = fixture.run(&["status", "--json", "--keychain"]).ok().json();
    assert_eq!(state[0]["username"], USER);
    fixture
        .run(&["whoami", "--offline"])
        .ok()
        .out(&format!("{USER}\n"));
    // A keychain that cannot say it is not one without a key.
    let (vault, item) = fixture.vault();
    vault.set(&item, &Secret::new("damaged".into())).unwrap();
    fixture.run(&["whoami", "--offline"]).code(5);
    fixture.run(&["logout"]).ok();
    fixture.change_meta("username", &json!(OTHER_USER));
    let shown = fixture.run(&["connections", "show", "--json"]).ok().json();
    assert_eq!(shown["username"], Value::Null);
}

#[test]
fn there_is_nothing_to_sign_in_to_and_nothing_to_renew() {
    let fixture = Fixture::added();
    for words in [
        &["login"][..],
        &["login", "--expiration", "1d"],
        &["refresh"],
        &["refresh", "--now"],
        &["token", "--rotate-refresh-token"],
    ] {
        let said = fixture.run(words).code(2);
        let nothing = said.stderr.contains("nothing to sign in to")
            || said.stderr.contains("no sign-in to extend");
        assert!(nothing, "{words:?}: {}", said.stderr);
    }
    // `--all` leaves it out, beside one that is renewed and alone.
    fixture
        .run(&["refresh", "--all"])
        .ok()
        .out("0 of 0 renewed, 0 extended\n");
    add_application(&fixture.home, &fixture.portal, "service");
    let said = fixture.run(&["refresh", "--all"]).ok().stdout;
    assert!(said.contains("1 of 1 renewed"), "{said}");
    // `logout` deletes the key here.
    let said = fixture.run(&["logout", "-c", "keyed"]).ok();
    said.out("[OK] The API key of keyed is deleted on this machine.\n")
        .err_has("lives on at the portal until it expires");
    assert!(fixture.portal.accepts_access_token(&fixture.key));
    assert!(fixture.item().is_none());
    fixture
        .run(&["logout", "-c", "keyed"])
        .ok()
        .out("[OK] keyed had no API key; there is nothing to do.\n");
    for words in [
        &["token", "-c", "keyed"][..],
        &["whoami", "-c", "keyed"],
        &["whoami", "--offline", "-c", "keyed"],
        &["status", "--check", "-c", "keyed"],
    ] {
        let said = fixture.run(words).code(3);
        said.err_has("connections edit keyed --expires DATE --api-key-stdin");
    }
    let answer = fixture
        .run(&["logout", "-c", "keyed", "--json"])
        .ok()
        .json();
    assert_eq!(answer["signed_out"], false);
}

#[test]
fn rule_24i_a_command_prints_the_key_once_for_each_process_and_nothing_is_kept() {
    let fixture = Fixture::new();
    let command = fixture.command();
    let words = fixture.words(&["--expires", &in_days(200), "--api-key-command", &command]);
    let said = fixture.home.run(words).done().ok();
    said.err_has("API key: printed by /bin/sh whenever it is needed");
    assert_eq!(fixture.runs(), 1, "`add` asks whose key it is");
    fixture
        .run(&["token"])
        .ok()
        .out(&format!("{}\n", fixture.key));
    assert_eq!(fixture.runs(), 2);
    fixture.run(&["api", "search?q=x&num=1", "--paginate"]).ok();
    assert_eq!(fixture.runs(), 3);
    fixture.run(&["whoami"]).ok();
    assert_eq!(fixture.runs(), 4);
    let record = fixture.record().unwrap();
    assert!(record.api_key.is_none() && record.user == USER);
    assert_eq!(
        fixture.home.files_containing(&fixture.key),
        [fixture.manager("key")]
    );
    let shown = fixture.run(&["connections", "show", "--json"]).ok().json();
    assert_eq!(
        shown["api_key_command"],
        json!(["/bin/sh", fixture.manager("print.sh")])
    );
    assert_eq!(shown["client_secret_command"], Value::Null);
    fixture.run(&["status", "--check", "--keychain"]).ok();
    let found = fixture.run(&["doctor"]).ok().stdout;
    assert!(
        found.contains("/bin/sh prints it whenever it is needed"),
        "{found}"
    );
    // A rotated key is used at once; one of another user is not.
    let second = fixture.portal.make_api_key(USER, 300);
    fixture.keep(&second);
    fixture.run(&["token"]).ok().out(&format!("{second}\n"));
    let other = fixture.portal.make_api_key(OTHER_USER, 300);
    fixture.keep(&other);
    let said = fixture.run(&["token"]).code(3);
    said.err_has(&format!("stays that of `{USER}`"))
        .err_has(&format!("that of `{OTHER_USER}`"));
    // One that is refused, and a command that prints nothing.
    fixture.portal.revoke_api_key(&second);
    fixture.keep(&second);
    let runs = fixture.runs();
    fixture.run(&["token"]).code(3).err_has("is not accepted");
    assert_eq!(fixture.runs(), runs + 1);
    fixture.keep("");
    fixture
        .run(&["token"])
        .code(5)
        .err_has("the API key command `sh` gave no API key: ")
        .err_has("--api-key-command COMMAND");
}

#[test]
fn rule_24i_a_file_alone_neither_redirects_a_key_nor_chooses_a_command() {
    let fixture = Fixture::added();
    let ran = fixture.manager("ran");
    let meta = fs::read(fixture.meta_file()).unwrap();
    let command = json!(["/usr/bin/touch", ran]);
    let sent = fixture.portal.requests().len();
    for (name, value) in [
        ("portal_url", json!("https://gis.example.com/portal")),
        ("api_url", json!("https://gis.example.com/portal")),
        ("proxy", json!("http://127.0.0.1:9")),
        ("verify_ssl", json!(false)),
        ("api_key_command", command.clone()),
    ] {
        fixture.change_meta(name, &value);
        for words in [&["token"][..], &["whoami"], &["api", "search"]] {
            fixture.run(words).code(5);
        }
        let key = fixture.key.clone();
        let edit = ["--expires", &in_days(250), "--api-key-stdin"];
        if name == "api_key_command" {
            // Who gives a key takes the command away, which is not run.
            fixture.edit(&edit, &key).ok();
            let shown = fixture.run(&["connections", "show", "--json"]).ok().json();
            assert_eq!(shown["api_key_command"], Value::Null);
        } else {
            fixture.edit(&edit, &key).code(5);
        }
        fs::write(fixture.meta_file(), &meta).unwrap();
    }
    // Nor does a file turn another connection into one with a command for a key.
    add(&fixture.home, &fixture.portal, "prod");
    sign_in(&fixture.home, &fixture.portal, "prod").ok();
    let sent = fixture.portal.requests().len() - sent;
    let file = folder_of(&fixture.home, "prod").join("meta.json");
    let mut prod: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    prod["auth_type"] = json!("key");
    prod["client_id"] = json!("");
    prod["api_key_command"] = command;
    prod["api_key_expires_at"] = json!(in_days(100));
    fs::write(&file, prod.to_string()).unwrap();
    fixture.run(&["token", "-c", "prod"]).code(5);
    fixture.run(&["whoami", "-c", "prod"]).code(5);
    assert!(!ran.exists());
    assert!(
        sent > 0
            && fixture
                .portal
                .requests()
                .iter()
                .all(|one| !one.path.contains("gis"))
    );
}

#[test]
fn a_key_that_cannot_be_used_adds_no_connection() {
    let fixture = Fixture::new();
    let end = in_days(200);
    // Refused by the portal.
    let said = fixture.add(&end, "no-such-key-k1").code(3);
    said.err_has("is not accepted by the portal")
        .err_has("no connection was added");
    // What is not a key.
    for (text, why) in [
        ("", "it is empty"),
        ("two words", "without blanks"),
        ("k1-canary-k1-k1-canary-k1-", "pasted twice"),
    ] {
        let said = fixture.add(&end, text).code(2);
        assert!(said.stderr.contains(why), "{text}: {}", said.stderr);
        assert!(!said.stderr.contains("canary"), "{}", said.stderr);
    }
    for (options, why) in [
        (&["--api-key-stdin"][..], "--expires is missing"),
        (&["--expires", &end], "--api-key-stdin is missing"),
        (&["--api-key-stdin", "--expires", "soon"], "a date such as"),
        (
            &["--api-key-stdin", "--expires", "2026-01-01"],
            "it has passed",
        ),
        (
            &["--api-key-stdin", "--expires", &end, "--client-id", "x"],
            "has neither a client ID",
        ),
        (
            &["--api-key-stdin", "--expires", &end, "--login"],
            "nothing to sign in to",
        ),
        (
            &["--api-key-stdin", "--api-key-file", "x", "--expires", &end],
            "cannot be used with",
        ),
        (
            &[
                "--api-key-stdin",
                "--expires",
                &end,
                "--client-cert",
                "x.p12",
                "--client-cert-password-stdin",
            ],
            "cannot be used with",
        ),
        (
            &[
                "--expires",
                &end,
                "--api-key-command",
                "tool --api-key k1-canary",
            ],
            "looks like a secret",
        ),
        (&["--expires", &end, "--api-key", "k1-canary"], "unexpected"),
    ] {
        let said = fixture.home.run(fixture.words(options));
        let said = said.input(fixture.key.clone()).done().code(2).stderr;
        assert!(said.contains(why), "{options:?}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert!(fixture.run(&["connections", "list"]).stdout.is_empty());
    assert!(fixture.home.files_containing(&fixture.key).is_empty());
    // Another kind has neither a key nor an end of one.
    add(&fixture.home, &fixture.portal, "prod");
    for options in [
        &["--expires", &end][..],
        &["--api-key-stdin"],
        &["--auth-type", "key", "--api-key-stdin", "--expires", &end],
    ] {
        let words = [&["connections", "edit", "prod"], options].concat();
        fixture
            .home
            .run(words)
            .input(fixture.key.clone())
            .done()
            .code(2);
    }
    fixture.add(&end, &fixture.key).ok();
    let words = ["--auth-type", "user", "--client-id", APP_ID];
    fixture.edit(&words, "").code(2).err_has("another kind");
    fixture.run(&["token", "-c", "keyed"]).ok();
}

#[test]
fn a_person_is_asked_for_the_key_and_its_end() {
    let fixture = Fixture::new();
    let (url, ca) = (fixture.portal.url(), fixture.ca.display().to_string());
    let words = ["connections", "add", "--verify-ssl", &ca, "--portal", &url];
    let mut terminal = Terminal::start(&fixture.home, &words);
    terminal.expect("Connection label").line("keyed");
    terminal.expect("Authentication type").down(2).send("\r");
    terminal.expect("Expires on").line("tomorrow");
    terminal
        .expect("a date such as")
        .expect("Expires on")
        .line(&in_days(200)[..10]);
    terminal.expect("API key (not shown").line("a b");
    terminal.expect("without blanks").expect("API key");
    terminal.line(&fixture.key);
    terminal
        .expect("[OK] API key captured.")
        .expect("[OK] Created connection: keyed")
        .expect("long-lived");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(
        !raw.contains(&fixture.key) && !raw.contains("Sign in now?"),
        "{raw}"
    );
    fixture
        .run(&["token"])
        .ok()
        .out(&format!("{}\n", fixture.key));
}

#[test]
fn edit_keeps_a_key_with_what_does_not_concern_it() {
    let fixture = Fixture::added();
    for options in [
        &["--tag", "x"][..],
        &["--proxy", "none"],
        &["--label", "other"],
    ] {
        fixture.edit(options, "").ok();
    }
    let back = ["connections", "edit", "other", "--label", "keyed"];
    fixture.run(&back).ok();
    fixture.run(&["whoami"]).ok();
    // From a stored key to a command and back.
    let command = fixture.command();
    let end = in_days(100);
    let edit = ["--expires", &end, "--api-key-command", &command];
    fixture.edit(&edit, "").ok().err_has("printed by /bin/sh");
    assert!(fixture.record().unwrap().api_key.is_none());
    fixture
        .run(&["token"])
        .ok()
        .out(&format!("{}\n", fixture.key));
    let file = fixture.manager("key").display().to_string();
    let edit = ["--expires", &end, "--api-key-file", &file, "--tag", "y"];
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(fixture.home.path(), open).unwrap();
    let said = fixture.edit(&edit, "").ok();
    said.err_has("other users may read").err_has("chmod 6");
    let runs = fixture.runs();
    fixture
        .run(&["token"])
        .ok()
        .out(&format!("{}\n", fixture.key));
    assert_eq!(fixture.runs(), runs);
    let record = fixture.record().unwrap();
    assert!(record.api_key.is_some_and(|key| key.matches(&fixture.key)));
    // A new key has an end of its own, which has to be said.
    let said = fixture.edit(&["--api-key-file", &file], "").code(2);
    said.err_has("--expires DATE");
    // A key belongs to one portal.
    let other = ["--portal", "https://gis.example.com/portal", "--no-check"];
    let said = fixture.edit(&other, "").ok();
    said.err_has("The API key belonged to the former settings and was deleted");
    fixture.run(&["token"]).code(3);
    let url = fixture.portal.url();
    let back = ["--portal", &url, "--expires", &end, "--api-key-stdin"];
    fixture.edit(&back, &fixture.key.clone()).ok();
    fixture.run(&["token"]).ok();
    // The same by `add --replace`.
    let second = fixture.portal.make_api_key(USER, 300);
    let words = fixture.words(&["--replace", "--expires", &end, "--api-key-stdin"]);
    fixture.home.run(words).input(second.clone()).done().ok();
    fixture.run(&["token"]).ok().out(&format!("{second}\n"));
}

#[test]
fn rule_24i_a_card_carries_neither_a_key_nor_its_end_nor_a_command() {
    let fixture = Fixture::new();
    let command = fixture.command();
    let words = fixture.words(&["--expires", &in_days(200), "--api-key-command", &command]);
    fixture.home.run(words).done().ok();
    let card = fixture.run(&["connections", "share", "keyed"]).ok();
    let card = card.err_has("an API key of their own");
    let prints = card.stderr.lines().find_map(|line| {
        let (_, print) = line
            .rsplit_once(": ")
            .filter(|(_, print)| print.len() == 95)?;
        Some(print.to_owned())
    });
    let text = card.stdout;
    let fields: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(fields["auth_type"], "key");
    assert_eq!(fields["age_oauth_card"], 3);
    for word in [fixture.key.as_str(), "expires", "print.sh", "command", USER] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    // A colleague gives a key of his own.
    let colleague = home();
    let file = colleague.path().join("card.json");
    fs::write(&file, &text).unwrap();
    let ca = fixture.portal.ca_pem().to_owned();
    fs::write(colleague.path().join("ca.pem"), ca).unwrap();
    let key = fixture.portal.make_api_key(OTHER_USER, 300);
    let prints = prints.unwrap();
    let file = file.display().to_string();
    let mut words = vec!["connections", "add", "--from", &file, "--yes"];
    words.extend(["--ca-fingerprint", &prints]);
    let end = in_days(200);
    words.extend(["--expires", &end, "--api-key-stdin"]);
    colleague.run(words).input(key.clone()).done().ok();
    colleague
        .run(["token"])
        .done()
        .ok()
        .out(&format!("{key}\n"));
}

#[test]
fn a_key_is_used_beside_other_connections_and_asks_the_portal_for_nothing() {
    let fixture = Fixture::added();
    add_application(&fixture.home, &fixture.portal, "service");
    let requests = fixture.portal.requests().len();
    for _ in 0..3 {
        fixture.run(&["token", "-c", "keyed"]).ok();
    }
    assert_eq!(fixture.portal.requests().len(), requests);
    fixture.run(&["token", "-c", "service"]).ok();
    assert_eq!(fixture.portal.requests_to(Endpoint::AppToken).len(), 1);
    assert_eq!(stored(&fixture.home, "service").client_id, SERVICE_ID);
}
