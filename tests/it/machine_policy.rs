//! The policy of a machine (rule 34): the real program, with a real `/etc/age-oauth/policy.json` in
//! a mount namespace of its own.

use std::fs;
use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde_json::{json, Value};

use crate::support::home::{Home, Outcome};
use crate::support::portal::Proxy;
use crate::support::portal::{
    service_secret, Endpoint, Portal, PortalVersion, APP_ID, SERVICE_ID, USER,
};
use crate::support::scenario::{
    add, add_application_arguments, add_arguments, add_labels, change_tokens, nothing_was_created,
    sign_in, sign_in_as, stored, ADD_UNCHECKED,
};
use crate::{home, signed_in};

const PLACE: &str = "/etc/age-oauth/policy.json";

/// Another `/etc`, with what `$1` has in `age-oauth`, for one process. `$2` changes it before that.
pub(crate) const OTHER_ETC: &str = r#"given=$1; change=$2; shift 2
etc=$given/etc; mkdir -p "$etc"
mount -t tmpfs -o mode=755 none "$etc"
cp -r --preserve=mode,links /etc/. "$etc" 2>/dev/null || :
rm -rf "$etc/age-oauth"; mkdir -m 755 "$etc/age-oauth"
cp -r "$given/age-oauth/." "$etc/age-oauth"; chmod -R u=rwX,go=rX "$etc/age-oauth"
mount --bind "$etc" /etc
eval "$change"
exec "$@""#;

/// What the program of a home finds in `/etc/age-oauth`.
struct Machine {
    folder: tempfile::TempDir,
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

impl Machine {
    /// A machine with this policy.
    fn with(home: &mut Home, policy: &Value) -> Self {
        Self::changed(home, &serde_json::to_string_pretty(policy).unwrap(), "")
    }

    /// The same with the text of the file, and a script that runs before the program.
    fn changed(home: &mut Home, policy: &str, change: &str) -> Self {
        Self::started_by(home, policy, change, &[])
    }

    /// The same where another program starts the one under test.
    fn started_by(home: &mut Home, policy: &str, change: &str, launcher: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder };
        fs::create_dir(machine.path()).unwrap();
        fs::write(machine.path().join("policy.json"), policy).unwrap();
        // Root needs no namespace of users, which would hide who owns a file.
        let how = if is_root() { "-m" } else { "-rm" };
        let given = machine.folder.path().to_str().unwrap();
        let words = ["unshare", how, "sh", "-ec", OTHER_ETC, "sh", given, change];
        home.start_by(&[&words, launcher].concat());
        machine
    }

    /// Where the content of `/etc/age-oauth` comes from.
    fn path(&self) -> PathBuf {
        self.folder.path().join("age-oauth")
    }

    fn end(self, home: &mut Home) {
        drop(self);
        home.start_by::<&str>(&[]);
    }
}

fn limits(limits: &Value) -> Value {
    json!({ "limits": limits })
}

fn defaults(defaults: &Value) -> Value {
    json!({ "defaults": defaults })
}

/// Checks that a command was refused by this member, and what that overrode.
#[track_caller]
fn refused(out: Outcome, member: &str, overridden: &str) -> Outcome {
    out.code(2)
        .err_has("the policy of this machine does not allow")
        .err_has(&format!("`{member}` in {PLACE}, line 3"))
        .err_has(&format!("overrides {overridden}"))
}

#[test]
fn rule_34_a_portal_that_is_not_allowed_is_refused_at_each_use() {
    let (portal, mut home) = signed_in();
    let sent = portal.requests().len();
    let machine = Machine::with(
        &mut home,
        &limits(&json!({"portals": ["https://gis.example.com/portal"]})),
    );
    // The connection is older than the policy, and its token is cached.
    for command in [
        &["token"][..],
        &["token", "--json"],
        &["export-env", "--shell", "json"],
        &["exec", "--", "true"],
        &["api", "community/self"],
        &["whoami"],
        &["refresh"],
        &["login", "--no-browser"],
    ] {
        let out = home.run(command).done();
        let out = refused(out, "portals", "the connection's own setting");
        assert!(out.stderr.contains(&portal.url()), "{}", out.stderr);
        assert_eq!(out.stdout.matches("access_token").count(), 0);
    }
    let error = home.run(["token", "--json"]).done().code(2).error_json();
    assert_eq!(error["error"]["kind"], "policy");
    assert_eq!(error["error"]["code"], 2);
    assert_eq!(portal.requests().len(), sent);
    // What only looks at this machine works, and signing out does, which sends nothing either.
    home.run(["status"]).done().ok();
    home.run(["connections", "show"]).done().ok();
    home.run(["logout"]).done().ok().err_has("policy");
    assert_eq!(portal.requests().len(), sent);
    machine.end(&mut home);
    home.run(["token"]).done().code(3);
}

#[test]
fn rule_34_python_gets_the_same_refusal() {
    const SCRIPT: &str = r#"import os, sys
os.environ["AGE_OAUTH_BIN"] = sys.argv[1]
import age_oauth
def add():
    age_oauth.add_connection("x", "https://h/p", client_id="c", check=False)
for call in (age_oauth.Connection("prod").token, add):
    try:
        call()
    except age_oauth.UsageError as error:
        print(error.kind, error.code, error.message)"#;
    let (portal, mut home) = signed_in();
    let sent = portal.requests().len();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/python");
    home.set("PYTHONPATH", sources);
    home.set("PYTHONDONTWRITEBYTECODE", "1");
    let policy = serde_json::to_string_pretty(&limits(&json!({"portals": []}))).unwrap();
    let python = ["python3", "-c", SCRIPT];
    let _machine = Machine::started_by(&mut home, &policy, "", &python);
    let said = home.run::<&str>([]).done().ok().stdout;
    assert_eq!(
        said.matches("policy 2 the policy of this machine").count(),
        2,
        "{said}"
    );
    assert_eq!(
        said.matches("`portals` in /etc/age-oauth").count(),
        2,
        "{said}"
    );
    assert_eq!(portal.requests().len(), sent);
}

#[test]
fn rule_34_no_connection_to_such_a_portal_is_made() {
    let mut home = home();
    let colleague = crate::home();
    colleague.run(ADD_UNCHECKED).done().ok();
    let shared = colleague.run(["connections", "share", "x"]).done().ok();
    let card = home.path().join("card.json");
    fs::write(&card, shared.stdout).unwrap();
    let _machine = Machine::with(
        &mut home,
        &limits(&json!({"portals": ["https://gis.example.com/portal"]})),
    );
    let add = |portal: &str, more: &[&str]| {
        let mut words = vec!["connections", "add", "--no-check", "--label=x"];
        words.extend(["--client-id=c", "--portal", portal]);
        words.extend(more);
        home.run(words).done()
    };
    let allowed = "https://gis.example.com/portal";
    for other in [
        "https://gis.example.com.evil.net/portal",
        "https://gis.example.com/portal2",
        "https://gis.example.com:7443/portal",
        "https://gis.example.com",
    ] {
        refused(add(other, &[]), "portals", "--portal");
        refused(add(allowed, &["--api-url", other]), "portals", "--api-url");
    }
    nothing_was_created(&home);
    let words = ["connections", "add", "--no-check", "--yes", "--from"];
    let from_card = [&words[..], &[card.to_str().unwrap()]].concat();
    refused(home.run(from_card).done(), "portals", "the connection card");
    nothing_was_created(&home);
    add(allowed, &["--no-default"]).ok();
    let edit = |option: &str| {
        let words = ["connections", "edit", "x", "--no-check", option];
        home.run([&words[..], &["https://other.example.com/portal"]].concat())
            .done()
    };
    refused(edit("--portal"), "portals", "--portal");
    refused(edit("--api-url"), "portals", "--api-url");
}

#[test]
fn rule_34_an_import_takes_over_no_portal_that_is_not_allowed() {
    let mut home = home();
    let folder = home.path().join("old");
    let one = folder.join("connections/x_12345678");
    fs::create_dir_all(&one).unwrap();
    let entry = json!({
        "id": "x_12345678", "label": "x", "portal_url": "https://other.example.com/portal",
        "created_at": "2026-01-01T00:00:00Z", "tags": [], "verify_ssl": true,
    });
    let index = json!({
        "schema_version": 1, "default_connection_id": null, "connections": [entry],
    });
    fs::write(folder.join("connections.json"), index.to_string()).unwrap();
    let mut meta = entry;
    meta["schema_version"] = json!(1);
    meta["auth_type"] = json!("user");
    fs::write(one.join("meta.json"), meta.to_string()).unwrap();
    fs::write(one.join(".env"), "OAUTH_CLIENT_ID=c\n").unwrap();
    let _machine = Machine::with(&mut home, &limits(&json!({"portals": []})));
    let out = home.run(["connections", "import", "old"]).done();
    assert_ne!(out.code, 0);
    let said = format!("{}{}", out.stdout, out.stderr);
    assert!(said.contains("`portals` in /etc/age-oauth"), "{said}");
    nothing_was_created(&home);
}

#[test]
fn rule_34_unverified_certificates_are_refused() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    let url = portal.url();
    let arguments = add_arguments("prod", &url, APP_ID, "false");
    home.run(arguments).done().ok();
    sign_in(&home, &portal, "prod").ok();
    let policy = limits(&json!({"unverified_tls": false}));
    let _machine = Machine::with(&mut home, &policy);
    let own = "the connection's own setting";
    refused(home.run(["token"]).done(), "unverified_tls", own);
    refused(home.run(["refresh"]).done(), "unverified_tls", own);
    let second = add_arguments("second", &url, APP_ID, "no");
    refused(home.run(second).done(), "unverified_tls", "--verify-ssl");
    let edit = ["connections", "edit", "prod", "--verify-ssl", "0"];
    refused(home.run(edit).done(), "unverified_tls", "--verify-ssl");
    // What the hint says helps.
    let ca = portal.ca_file(home.path()).display().to_string();
    let edit = ["connections", "edit", "prod", "--verify-ssl", &ca];
    home.run(edit).done().ok();
    home.run(["token"]).done().ok();
}

#[test]
fn rule_34_a_secret_on_the_command_line_is_refused() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    let policy = limits(&json!({"secrets_on_command_line": false}));
    let _machine = Machine::with(&mut home, &policy);
    let (member, option) = ("secrets_on_command_line", "--client-secret");
    let with_secret = [&ADD_UNCHECKED[..], &["--client-secret=not-a-real-one"]].concat();
    refused(home.run(with_secret).done(), member, option).err_has("--client-secret-stdin");
    nothing_was_created(&home);
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let words = add_application_arguments("app", &url, SERVICE_ID, ca.to_str().unwrap());
    home.run(words).input(service_secret()).done().ok();
    let edit = [
        "connections",
        "edit",
        "app",
        "--client-secret",
        "not-a-real-one",
    ];
    refused(home.run(edit).done(), member, option);
    home.run(["token"]).done().ok();
}

#[test]
fn rule_34_a_command_that_prints_a_secret_is_not_run() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let ca = ca.to_str().unwrap();
    let ran = home.path().join("ran");
    let program = home.path().join("secret");
    let script = format!("#!/bin/sh\ntouch '{}'\nexit 1\n", ran.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let command = program.display().to_string();
    let with_command = |label: &str| {
        let words = add_application_arguments(label, &url, SERVICE_ID, ca);
        let words = words
            .into_iter()
            .filter(|it| *it != "--client-secret-stdin");
        let words = words.chain(["--client-secret-command", &command]);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    home.run(with_command("app")).done().ok();
    let policy = limits(&json!({"secret_commands": false}));
    let machine = Machine::with(&mut home, &policy);
    let (member, option) = ("secret_commands", "--client-secret-command");
    refused(home.run(with_command("second")).done(), member, option);
    let own = "the connection's own setting";
    let said = refused(home.run(["token", "-c", "app"]).done(), member, own);
    said.err_has("connections edit app --client-secret-stdin");
    assert!(!ran.exists());
    // What the hint says helps.
    let edit = ["connections", "edit", "app", "--client-secret-stdin"];
    home.run(edit).input(service_secret()).done().ok();
    home.run(["token", "-c", "app"]).done().ok();
    machine.end(&mut home);
}

#[test]
fn rule_34_an_api_key_that_is_not_allowed_is_not_used() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    let (url, ca) = (portal.url(), portal.ca_file(home.path()));
    let ca = ca.to_str().unwrap();
    let key = portal.make_api_key(USER, 300);
    let end = Timestamp::now() + SignedDuration::from_hours(24 * 200);
    let end = end.to_string();
    let add = |label: &'static str| {
        let words = [
            "connections",
            "add",
            "--label",
            label,
            "--portal",
            &url,
            "--verify-ssl",
            ca,
            "--auth-type",
            "key",
            "--expires",
            &end,
            "--api-key-stdin",
        ];
        words.map(str::to_owned)
    };
    home.run(add("keyed")).input(key.clone()).done().ok();
    let sent = portal.requests().len();
    let machine = Machine::with(&mut home, &limits(&json!({"api_keys": false})));
    let second = home.run(add("second")).input(key.clone()).done();
    refused(second, "api_keys", "--auth-type");
    let own = "the connection's own setting";
    for words in [
        &["token"][..],
        &["whoami"],
        &["connections", "edit", "keyed", "--tag", "x"],
    ] {
        let said = refused(home.run(words).done(), "api_keys", own);
        said.err_has("an API key")
            .err_has("--auth-type user or app");
    }
    assert_eq!(portal.requests().len(), sent);
    // The key can be deleted.
    home.run(["logout"]).done().ok();
    machine.end(&mut home);
    // A command that prints one is a command that prints a secret.
    let machine = Machine::with(&mut home, &limits(&json!({"secret_commands": false})));
    let ran = home.path().join("ran");
    let command = format!("/usr/bin/touch {}", ran.display());
    let edit = ["connections", "edit", "keyed", "--expires", &end];
    let edit = [&edit[..], &["--api-key-command", &command]].concat();
    let said = refused(
        home.run(edit).done(),
        "secret_commands",
        "--api-key-command",
    );
    said.err_has("a command that prints the API key");
    assert!(!ran.exists());
    machine.end(&mut home);
}

#[test]
fn rule_34_a_keychain_that_is_not_allowed_is_refused() {
    let (_portal, mut home) = signed_in();
    let policy = limits(&json!({"keychains": ["os"]}));
    let machine = Machine::with(&mut home, &policy);
    let own = "the connection's own setting";
    refused(home.run(["token"]).done(), "keychains", own);
    let add = ADD_UNCHECKED.map(|word| {
        if word == "--label=x" {
            "--label=y"
        } else {
            word
        }
    });
    refused(home.run(add).done(), "keychains", "AGE_OAUTH_KEYCHAIN");
    let by_option = [&add[..], &["--keychain=vault"]].concat();
    refused(home.run(by_option).done(), "keychains", "--keychain");
    machine.end(&mut home);
    // Where the usual one is not allowed, a new connection has the one that is.
    let _machine = Machine::with(&mut home, &limits(&json!({"keychains": ["vault"]})));
    home.run(add).without("AGE_OAUTH_KEYCHAIN").done().ok();
    assert_eq!(stored(&home, "y").keychain.as_str(), "vault");
    let edit = ["connections", "edit", "y", "--keychain", "os"];
    refused(home.run(edit).done(), "keychains", "--keychain");
}

#[test]
fn rule_34_a_sign_in_lasts_no_longer_than_the_policy_allows() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    add(&home, &portal, "prod");
    let policy = limits(&json!({"longest_sign_in": "10d"}));
    let machine = Machine::with(&mut home, &policy);
    let asked = ["login", "--no-browser", "--expiration", "11d"];
    refused(home.run(asked).done(), "longest_sign_in", "--expiration").err_has("10 days");
    let out = sign_in(&home, &portal, "prod").ok();
    out.err_has(&format!("at most (`longest_sign_in` in {PLACE}, line 3)"));
    let asked = portal.requests_to(Endpoint::Authorize);
    assert!(asked
        .iter()
        .any(|one| one.target.contains("expiration=14400")));
    let days_left = |home: &Home| {
        let end = stored(home, "prod").status.refresh_expires_at.unwrap();
        end.duration_since(Timestamp::now()).as_hours() / 24
    };
    assert_eq!(days_left(&home), 9);
    // Extending does not begin anew.
    let extended = portal.grants().len();
    let out = home.run(["refresh", "--now"]).done();
    refused(out, "longest_sign_in", "what was asked for")
        .err_has("when it ends, sign in again: age-oauth login");
    home.run(["refresh"]).done().ok();
    assert!(!portal.grants()[extended..]
        .iter()
        .any(|one| one.contains("exchange")));
    assert_eq!(days_left(&home), 9);
    // A portal that grants more than was asked for is cut as well, and so is an older sign-in.
    machine.end(&mut home);
    sign_in_as(&home, &portal, "prod", USER, &["--expiration", "60d"]).ok();
    assert_eq!(days_left(&home), 59);
    let _machine = Machine::with(&mut home, &policy);
    home.run(["refresh"]).done().ok();
    assert_eq!(days_left(&home), 9);
    // In the end, no token is handed out, and a person has to sign in.
    change_tokens(&home, "prod", |tokens| {
        let earlier = |at: Timestamp| at - SignedDuration::from_hours(11 * 24);
        let refresh = tokens.refresh.as_mut().unwrap();
        refresh.issued_at = earlier(refresh.issued_at);
        refresh.expires_at = refresh
            .expires_at
            .map(|at| at + SignedDuration::from_hours(500));
        tokens.signed_in_at = Some(refresh.issued_at);
    });
    let sent = portal.requests().len();
    for command in [
        &["token"][..],
        &["token", "--force"],
        &["refresh"],
        &["whoami"],
    ] {
        home.run(command)
            .done()
            .code(3)
            .err_has("the sign-in has lasted as long as the policy of this machine allows")
            .err_has("age-oauth login");
    }
    assert_eq!(portal.requests().len(), sent);
    sign_in(&home, &portal, "prod").ok();
    home.run(["token"]).done().ok();
}

#[test]
fn rule_34_the_keychain_and_the_proxy_of_the_policy_come_before_all_others() {
    let name = "gis.practice.invalid";
    let portal = Portal::builder().host(name).san(name).start();
    let proxy = Proxy::leading(&[(name, portal.port())]);
    let mut home = home();
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    home.set("HTTPS_PROXY", "http://127.0.0.1:1");
    home.set("NO_PROXY", "*");
    let policy = defaults(&json!({"proxy": proxy.url(), "keychain": "vault"}));
    let _machine = Machine::with(&mut home, &policy);
    // The proxy leads the name at its usual port to the portal.
    let url = portal.url().replace(&format!(":{}", portal.port()), "");
    let ca = portal.ca_file(home.path());
    let words = add_application_arguments("far", &url, SERVICE_ID, ca.to_str().unwrap());
    let run = |more: &[&str]| {
        let words = [&words[..], more].concat();
        home.run(words).input(service_secret()).done()
    };
    for other in ["none", "system", "http://127.0.0.1:1"] {
        run(&["--proxy", other])
            .code(2)
            .err_has("overrides --proxy")
            .err_has("`proxy` in /etc/age-oauth/policy.json, line 4");
    }
    run(&["--keychain", "os"])
        .code(2)
        .err_has("overrides --keychain");
    nothing_was_created(&home);
    run(&[]).ok();
    assert_eq!(stored(&home, "far").keychain.as_str(), "vault");
    let facts = home.run(["token", "--json"]).done().ok().json();
    // Python sends its own requests by the same way.
    assert_eq!(facts["proxy"], proxy.url());
    assert!(proxy.hosts().iter().all(|host| host.starts_with(name)));
    assert!(!proxy.hosts().is_empty());
}

#[test]
fn rule_34_the_authorities_of_the_policy_come_in_place_of_those_of_variables() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    let other = Portal::builder().start();
    let other_ca = home.path().join("other.pem");
    fs::write(&other_ca, other.ca_pem()).unwrap();
    let policy = defaults(&json!({"certificate_authorities": ["/etc/age-oauth/ca.pem"]}));
    let text = policy.to_string();
    let url = portal.url();
    let arguments = add_arguments("prod", &url, APP_ID, "true");
    let machine = Machine::with(&mut home, &policy);
    fs::copy(&ca, machine.path().join("ca.pem")).unwrap();
    home.run(arguments).done().ok();
    // What a variable names is not trusted any more.
    let other_url = other.url();
    let elsewhere = add_arguments("other", &other_url, APP_ID, "true");
    let out = home.run(elsewhere).env("SSL_CERT_FILE", &other_ca).done();
    out.code(6).err_has("certificate");
    machine.end(&mut home);
    home.run(elsewhere)
        .env("SSL_CERT_FILE", &other_ca)
        .done()
        .ok();
    // The file is judged as the policy is.
    for (change, why) in [
        (
            "chmod 666 /etc/age-oauth/ca.pem",
            "others than root may write to /etc/age-oauth/ca.pem",
        ),
        (
            "rm /etc/age-oauth/ca.pem",
            "/etc/age-oauth/ca.pem: it does not exist",
        ),
        (
            "mkdir -m 777 /etc/x; mv /etc/age-oauth/ca.pem /etc/x; ln -s ../x/ca.pem /etc/age-oauth",
            "others than root may write to /etc/x (mode 0777)",
        ),
    ] {
        let machine = Machine::changed(&mut home, &text, change);
        fs::copy(&ca, machine.path().join("ca.pem")).unwrap();
        home.run(["connections", "list"])
            .done()
            .code(1)
            .err_has("`certificate_authorities`")
            .err_has(why);
        machine.end(&mut home);
    }
    let machine = Machine::with(&mut home, &policy);
    fs::write(machine.path().join("ca.pem"), "not a certificate").unwrap();
    home.run(["login", "-c", "prod"])
        .done()
        .code(1)
        .err_has("/etc/age-oauth/ca.pem: it does not contain a certificate");
}

#[test]
fn rule_34_the_event_log_of_the_policy_is_written_whatever_the_variable_says() {
    let (portal, mut home) = signed_in();
    let log = home.path().join("own.log");
    home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
    // A folder below another one that is not root's alone would be refused.
    let policy = defaults(&json!({"event_log": "/etc/age-oauth/log"})).to_string();
    let kept = tempfile::tempdir().unwrap();
    let mount = format!(
        "mkdir /etc/age-oauth/log; mount --bind '{}' /etc/age-oauth/log; ",
        kept.path().display()
    );
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let machine = Machine::changed(&mut home, &policy, &mount);
    home.run(["token"]).done().ok();
    home.run(["token", "-c", "nobody"]).done().code(4);
    machine.end(&mut home);
    let user = if is_root() {
        0
    } else {
        fs::metadata("/proc/self").unwrap().uid()
    };
    let name = if is_root() {
        format!("{user}.jsonl")
    } else {
        "0.jsonl".to_owned()
    };
    let file = kept.path().join(name);
    let text = fs::read_to_string(&file).unwrap();
    let decisions: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["decision"].clone())
        .collect();
    assert_eq!(decisions, ["cached", "no_connection"]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(!log.exists());
    // Another user's file in its place gets nothing, and the command says so.
    if is_root() {
        chown(&file, Some(65533), None).unwrap();
        let machine = Machine::changed(&mut home, &policy, &mount);
        home.run(["token"])
            .done()
            .ok()
            .err_has("it belongs to another user");
        machine.end(&mut home);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    drop(portal);
}

/// What is wrong with the folder is a warning: a log never stops a command.
#[test]
fn rule_34_a_log_that_others_could_take_is_not_written_and_stops_no_command() {
    let (_portal, mut home) = signed_in();
    let own = home.path().join("own.log");
    home.set("AGE_OAUTH_LOG", own.to_str().unwrap());
    let policy = defaults(&json!({"event_log": "/etc/logs/age-oauth"})).to_string();
    let without_log = [
        "sh",
        "-c",
        r#""$@"; code=$?; test ! -e /etc/logs/age-oauth/0.jsonl || exit 9; exit $code"#,
        "sh",
    ];
    for (change, why, remedy) in [
        // As below a folder in memory, after a restart.
        (
            "",
            "the folder /etc/logs/age-oauth does not exist",
            "install -d -m 1777 /etc/logs/age-oauth",
        ),
        (
            "mkdir -p /etc/logs/age-oauth; chmod 777 /etc/logs/age-oauth",
            "others than root may write to /etc/logs/age-oauth (mode 0777)",
            "chmod 1777 /etc/logs/age-oauth",
        ),
        // As /var/log on Ubuntu.
        (
            "mkdir -p /etc/logs/age-oauth; chmod 1777 /etc/logs/age-oauth; chmod 775 /etc/logs",
            "others than root may write to /etc/logs (mode 0775), and could replace the log",
            "name a folder in `event_log` that only root can replace",
        ),
        (
            "mkdir /etc/logs; ln -s ../age-oauth /etc/logs/age-oauth",
            "/etc/logs/age-oauth is not a folder",
            "name a folder in `event_log`",
        ),
    ] {
        let machine = Machine::started_by(&mut home, &policy, change, &without_log);
        home.run(["token"])
            .done()
            .ok()
            .err_has("warning: the event log /etc/logs/age-oauth/")
            .err_has(why)
            .err_has(remedy);
        home.run(["connections", "list"]).done().ok();
        let found = home.run(["doctor", "--offline", "--json"]).done().json();
        let checks = found["checks"].as_array().unwrap();
        let warned = checks
            .iter()
            .filter(|one| one["check"] == "policy" && one["severity"] == "warn");
        let said: Vec<_> = warned.map(|one| one["message"].to_string()).collect();
        assert_eq!(said.len(), 1, "{found}");
        assert!(said[0].contains(why), "{said:?}");
        machine.end(&mut home);
    }
    assert!(!own.exists());
}

/// In a folder for all accounts, another user can put something where the old log goes.
#[test]
fn the_log_of_an_account_goes_on_where_another_user_took_the_name_of_the_old_one() {
    if !is_root() {
        return;
    }
    let (_portal, mut home) = signed_in();
    let policy = defaults(&json!({"event_log": "/etc/age-oauth/log"})).to_string();
    let kept = tempfile::tempdir().unwrap();
    let mount = format!(
        "mkdir /etc/age-oauth/log; mount --bind '{}' /etc/age-oauth/log",
        kept.path().display()
    );
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let file = kept.path().join("0.jsonl");
    let old = kept.path().join("0.jsonl.1");
    let full = " ".repeat(10 * 1024 * 1024 - 1) + "\n";
    fs::write(&file, &full).unwrap();
    fs::create_dir(&old).unwrap();
    chown(&old, Some(65533), None).unwrap();
    let machine = Machine::changed(&mut home, &policy, &mount);
    home.run(["token"]).done().ok().err_has("cannot rotate");
    machine.end(&mut home);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.len() > full.len() && text.contains("\"cached\""));
}

/// Checks that nothing runs under this policy but what helps to find out why.
#[track_caller]
fn stops_everything(home: &Home, why: &str) {
    for command in [
        &["token"][..],
        &["status"],
        &["connections", "list"],
        &["logout"],
        &["vault", "rekey"],
        &["man"],
        &[],
    ] {
        let out = home.run(command).done().code(1);
        out.err_has("the policy of this machine cannot be used: /etc/age-oauth")
            .err_has(why)
            .err_has("hint: until an administrator of this machine corrects it");
    }
    let error = home.run(["token", "--json"]).done().code(1).error_json();
    assert_eq!(error["error"]["kind"], "failed");
    for command in [
        &["--help"][..],
        &["--version"],
        &["completions", "bash"],
        &["token", "--help"],
    ] {
        home.run(command).done().ok();
    }
    let found = home.run(["doctor", "--offline", "--json"]).done().code(1);
    let found = found.json();
    let checks = found["checks"].as_array().unwrap();
    let of_policy: Vec<_> = checks
        .iter()
        .filter(|one| one["check"] == "policy")
        .collect();
    assert_eq!(of_policy.len(), 1, "{found}");
    assert_eq!(of_policy[0]["severity"], "fail");
    let message = of_policy[0]["message"].as_str().unwrap();
    assert!(message.contains(why), "{message}");
    // The other checks go on.
    assert!(checks.iter().any(|one| one["check"] == "store"), "{found}");
}

#[test]
fn rule_34_a_policy_that_others_could_change_stops_everything() {
    let mut home = home();
    add_labels(&home, &["prod"]);
    for (change, why) in [
        ("chmod 666 /etc/age-oauth/policy.json", "(mode 0666); to correct that: chmod go-w /etc/age-oauth/policy.json"),
        ("chmod 664 /etc/age-oauth/policy.json", "(mode 0664)"),
        ("chmod 775 /etc/age-oauth", "others than root may write to /etc/age-oauth (mode 0775)"),
        ("chmod 1777 /etc/age-oauth", "(mode 1777)"),
        ("chmod 757 /etc", "others than root may write to /etc (mode 0757)"),
        (
            "chmod 664 /etc/age-oauth/policy.json; mv /etc/age-oauth/policy.json /etc/p; ln -s /etc/p /etc/age-oauth/policy.json",
            "others than root may write to /etc/p (mode 0664); to correct that: chmod go-w /etc/p",
        ),
        (
            "mkdir /etc/x; mv /etc/age-oauth /etc/x; chmod 777 /etc/x; ln -s x/age-oauth /etc/age-oauth",
            "others than root may write to /etc/x (mode 0777)",
        ),
        // Who can change a link in the middle can take the policy away.
        (
            concat!("mkdir /etc/x /etc/y; mv /etc/age-oauth /etc/y; ln -s ../y/age-oauth /etc/x/link; ",
                "ln -s x/link /etc/age-oauth; chmod 775 /etc/x"),
            "others than root may write to /etc/x (mode 0775)",
        ),
        (
            concat!("mkdir /etc/x /etc/y; rm -r /etc/age-oauth; ln -s ../y /etc/x/link; ",
                "ln -s x/link /etc/age-oauth; chmod 775 /etc/x"),
            "others than root may write to /etc/x (mode 0775)",
        ),
        // A ConfigMap that is mounted as a whole, as kubelet makes it.
        (
            concat!("cd /etc/age-oauth; mkdir ..2026; mv policy.json ..2026; ln -s ..2026 ..data; ",
                "ln -s ..data/policy.json policy.json; chmod 777 .; cd /"),
            "others than root may write to /etc/age-oauth (mode 0777)",
        ),
        (
            "rm -r /etc/age-oauth; ln -s /nowhere/age-oauth /etc/age-oauth",
            "the link /etc/age-oauth leads nowhere",
        ),
        (
            "rm /etc/age-oauth/policy.json; mkdir /etc/age-oauth/policy.json",
            "it is not a regular file",
        ),
        (
            "rm /etc/age-oauth/policy.json; mkfifo /etc/age-oauth/policy.json",
            "it is not a regular file",
        ),
        (
            "rm -r /etc/age-oauth; : >/etc/age-oauth",
            "it cannot be read: Not a directory",
        ),
        (r"printf '\377' >/etc/age-oauth/policy.json", "it is not UTF-8"),
    ] {
        let machine = Machine::changed(&mut home, "{}", change);
        stops_everything(&home, why);
        machine.end(&mut home);
    }
    if is_root() {
        for (change, why) in [
            (
                "chown 65533 /etc/age-oauth/policy.json",
                "policy.json belongs to user 65533, not to root",
            ),
            (
                "chown 65534 /etc/age-oauth",
                "/etc/age-oauth belongs to user 65534, not to root",
            ),
            (
                concat!("mkdir /etc/x /etc/y; mv /etc/age-oauth /etc/y; ln -s ../y/age-oauth /etc/x/link; ",
                    "ln -s x/link /etc/age-oauth; chown -h 65533 /etc/x/link"),
                "/etc/x/link belongs to user 65533, not to root; to correct that: chown -h root /etc/x/link",
            ),
        ] {
            let machine = Machine::changed(&mut home, "{}", change);
            stops_everything(&home, why);
            machine.end(&mut home);
        }
    }
}

#[test]
fn rule_34_links_of_root_lead_to_a_policy_that_is_obeyed() {
    let mut home = home();
    let policy = limits(&json!({"portals": ["https://gis.example.com/portal"]}));
    let text = serde_json::to_string_pretty(&policy).unwrap();
    for change in [
        "mv /etc/age-oauth /etc/x; ln -s x /etc/age-oauth",
        concat!(
            "mkdir /etc/x /etc/y; mv /etc/age-oauth /etc/y; ",
            "ln -s ../y/age-oauth /etc/x/link; ln -s x/link /etc/age-oauth"
        ),
        // The links of a ConfigMap, in a folder that only root may write to.
        concat!(
            "cd /etc/age-oauth; mkdir ..2026; mv policy.json ..2026; ",
            "ln -s ..2026 ..data; ln -s ..data/policy.json policy.json; cd /"
        ),
        // A key of a ConfigMap with `subPath`: a file that is mounted by itself.
        concat!(
            "mv /etc/age-oauth/policy.json /etc/p; : >/etc/age-oauth/policy.json; ",
            "mount --bind -o ro /etc/p /etc/age-oauth/policy.json"
        ),
    ] {
        let machine = Machine::changed(&mut home, &text, change);
        refused(home.run(ADD_UNCHECKED).done(), "portals", "--portal");
        machine.end(&mut home);
    }
}

#[test]
fn rule_34_a_policy_that_is_not_understood_stops_everything() {
    let mut home = home();
    add_labels(&home, &["prod"]);
    for (text, why) in [
        ("", "policy.json, line 1: EOF"),
        ("{\n  \"limits\": {\n", "policy.json, line 3: EOF"),
        (
            "{\n  \"limits\": {\n    \"portal\": []\n  }\n}",
            "policy.json, line 3: unknown field `portal`",
        ),
        (
            "{\n  \"limits\": {\n    \"portals\": [\"https://*.maps.arcgis.com\"]\n  }\n}",
            "policy.json, line 3: `portals`: `https://*.maps.arcgis.com`: there are no wildcards",
        ),
        (
            "{\n  \"defaults\": {},\n  \"limits\": {\"portals\": [\"gis example\"]}\n}",
            "policy.json, line 3: `portals`: portal URL: it contains a blank",
        ),
    ] {
        let machine = Machine::changed(&mut home, text, "");
        stops_everything(&home, why);
        machine.end(&mut home);
    }
}

/// The program as another user than root, with its own copy and a home that it can use.
fn as_another_user(home: &Home) -> (Home, String) {
    const USER: u32 = 65533;
    let program = home.path().join("age-oauth");
    fs::copy(home.program(), &program).unwrap();
    home.allow_secrets_in(&program);
    chown(home.path(), Some(USER), Some(USER)).unwrap();
    let other = Home::new(&program);
    chown(other.path(), Some(USER), Some(USER)).unwrap();
    (other, USER.to_string())
}

/// On a machine whose policy was changed by a script, no command runs, and the error says this.
#[track_caller]
fn stops_where(home: &mut Home, policy: &str, change: &str, launcher: &[&str], said: &[&str]) {
    let machine = Machine::started_by(home, policy, change, launcher);
    let outcome = home.run(["connections", "list"]).done().code(1);
    said.iter()
        .fold(outcome, |outcome, text| outcome.err_has(text));
    machine.end(home);
}

#[test]
fn rule_34_in_a_user_namespace_the_policy_of_root_is_obeyed() {
    // Without root, the whole of these tests runs in such a namespace.
    if !is_root() {
        return;
    }
    let owner = home();
    let (mut home, user) = as_another_user(&owner);
    let policy = limits(&json!({"portals": ["https://gis.example.com/portal"]}));
    let text = serde_json::to_string_pretty(&policy).unwrap();
    let become_user = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
    ];
    let as_root_inside = [&become_user[..], &["unshare", "-r"]].concat();
    let as_itself = [
        &become_user[..],
        &["unshare", "--user", "--map-user", &user],
    ]
    .concat();
    for launcher in [&as_root_inside, &as_itself] {
        let machine = Machine::started_by(&mut home, &text, "", launcher);
        // Neither is everything stopped, nor is the policy ignored.
        home.run(["connections", "list"]).done().ok();
        refused(home.run(ADD_UNCHECKED).done(), "portals", "--portal");
        machine.end(&mut home);
        // What others could change is refused there, too.
        let change = "chmod 666 /etc/age-oauth/policy.json";
        stops_where(&mut home, &text, change, launcher, &["(mode 0666)"]);
    }
    // Where this user has no number, its files look like root's.
    let without_number = [&become_user[..], &["unshare", "--user"]].concat();
    for (change, launcher, said) in [
        // So is what this user owns, who is not root here.
        (
            format!("chown {user} /etc/age-oauth/policy.json"),
            &as_itself[..],
            &[&*format!("policy.json belongs to user {user}, not to root")][..],
        ),
        (
            String::new(),
            &without_number,
            &[
                "belongs to user 65534, which may be root or this user",
                "unshare --map-current-user",
            ],
        ),
        // Without reading it, nothing runs.
        (
            "chmod 600 /etc/age-oauth/policy.json".to_owned(),
            &become_user,
            &[
                "it cannot be read: Permission denied",
                "to correct that: chmod 644 /etc/age-oauth/policy.json",
            ],
        ),
        // A folder in which it cannot be told whether there is one.
        (
            "rm /etc/age-oauth/policy.json; chmod 700 /etc/age-oauth".to_owned(),
            &become_user,
            &[
                "it cannot be read: Permission denied",
                "to let every user read what is in it: chmod 755 /etc/age-oauth",
            ],
        ),
    ] {
        stops_where(&mut home, &text, &change, launcher, said);
    }
}

#[test]
fn rule_32_in_a_user_namespace_a_client_secret_command_runs() {
    if !is_root() {
        return;
    }
    let portal = Portal::start(PortalVersion::Enterprise114);
    let owner = home();
    let (mut home, user) = as_another_user(&owner);
    let ca = portal.ca_file(home.path());
    let secret = home.path().join("secret");
    home.allow_secrets_in(&secret);
    fs::write(&secret, service_secret()).unwrap();
    for path in [&ca, &secret] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(path, Some(65533), Some(65533)).unwrap();
    }
    let become_user = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
    ];
    let as_root_inside = [&become_user[..], &["unshare", "-r"]].concat();
    home.start_by(&as_root_inside);
    let url = portal.url();
    let command = format!("cat '{}'", secret.display());
    let words = add_application_arguments("app", &url, SERVICE_ID, ca.to_str().unwrap());
    let words = words
        .into_iter()
        .filter(|it| *it != "--client-secret-stdin");
    let words: Vec<_> = words.chain(["--client-secret-command", &command]).collect();
    home.run(&words).done().ok();
    home.run(["token", "--force", "-c", "app"]).done().ok();
    // What others could change is refused there, too.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o606)).unwrap();
    home.run(["token", "--force", "-c", "app"])
        .done()
        .code(5)
        .err_has("can be changed by others (mode 0606)");
}

#[test]
fn doctor_shows_what_is_in_force_and_what_it_overrides() {
    let mut home = home();
    add_labels(&home, &["old"]);
    let edit = [
        "connections",
        "edit",
        "old",
        "--no-check",
        "--proxy",
        "http://own.example.com:1",
    ];
    home.run(edit).done().ok();
    home.set("HTTPS_PROXY", "http://variable.example.com:1");
    let policy = json!({
        "defaults": {"proxy": "http://proxy.example.com:8080", "keychain": "vault"},
        "limits": {
            "longest_sign_in": "14d",
            "portals": ["https://gis.example.com/portal"],
            "secrets_on_command_line": false,
            "unverified_tls": false,
        },
    });
    let machine = Machine::with(&mut home, &policy);
    let findings = |home: &Home| -> Vec<String> {
        let found = home.run(["doctor", "--offline", "--json"]).done().json();
        let checks = found["checks"].as_array().unwrap().clone();
        checks
            .iter()
            .filter(|one| one["check"] == "policy")
            .map(|one| {
                let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                format!("{} {}", word("severity"), word("message"))
            })
            .collect()
    };
    assert_eq!(
        findings(&home),
        [
            "ok http://proxy.example.com:8080, set by `proxy` in /etc/age-oauth/policy.json, line 4; overrides HTTPS_PROXY, the setting of `old`",
            "ok vault, set by `keychain` in /etc/age-oauth/policy.json, line 3; overrides AGE_OAUTH_KEYCHAIN",
            "ok https://gis.example.com/portal, set by `portals` in /etc/age-oauth/policy.json, line 8",
            "ok not allowed, set by `unverified_tls` in /etc/age-oauth/policy.json, line 12",
            "ok not allowed, set by `secrets_on_command_line` in /etc/age-oauth/policy.json, line 11",
            "ok 14 days, set by `longest_sign_in` in /etc/age-oauth/policy.json, line 7",
            "fail the policy of this machine does not allow the portal https://h/p (connection `old`); it is set by `portals` in /etc/age-oauth/policy.json, line 8 and overrides the connection's own setting",
        ]
    );
    let text = home.run(["doctor", "--offline"]).done().stdout;
    assert!(text.contains("set by the policy of this machine"), "{text}");
    machine.end(&mut home);
    let machine = Machine::changed(&mut home, "{}", "");
    assert_eq!(
        findings(&home),
        ["ok /etc/age-oauth/policy.json sets nothing"]
    );
    machine.end(&mut home);
    let machine = Machine::changed(&mut home, "{}", "rm -r /etc/age-oauth");
    assert_eq!(
        findings(&home),
        ["ok there is no policy of this machine (/etc/age-oauth/policy.json)"]
    );
    machine.end(&mut home);
}

#[test]
fn the_error_of_the_page_is_that_of_its_policy() {
    let page = include_str!("../../docs/policy.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let policy = rest.split("```").next().unwrap();
    let (_, rest) = page.split_once("```\nerror: ").unwrap();
    let error = format!("error: {}", rest.split("```").next().unwrap());
    let (portal, mut home) = (Portal::start(PortalVersion::Enterprise114), home());
    let machine = Machine::changed(&mut home, policy, "");
    // The file that the policy names.
    portal.ca_file(&machine.path());
    fs::rename(
        machine.path().join("ca.pem"),
        machine.path().join("inspection.pem"),
    )
    .unwrap();
    let words = [
        "connections",
        "add",
        "--label",
        "other",
        "--client-id",
        "ID",
    ];
    let portal = ["--portal", "https://other.example.com/portal"];
    let out = home.run(words.into_iter().chain(portal)).done().code(2);
    out.err_has(&error);
}
