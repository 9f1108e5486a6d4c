//! The `os` keychain on real providers of the Secret Service, GNOME Keyring, KeePassXC and
//! KWallet, each in a D-Bus session of its own.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{app_secret, Endpoint, Fault, Gate, Portal, PortalVersion, APP_ID};
use crate::support::scenario::{add, sign_in, ADD_UNCHECKED};
use crate::support::secret_service::{Provider, SecretService, SilentBus};
use crate::support::{until, TIMEOUT};
use age_oauth::{
    Context, Environment, Item, ItemKind, KeychainKind, KeychainReason, Keychains, Secret,
    SecretStore,
};

/// The library's keychain in this session. Its provider answers, however long that takes on a
/// machine under load.
fn keychain_in(service: &SecretService, interactive: bool) -> Arc<dyn SecretStore> {
    let limit = format!("{}s", TIMEOUT.as_secs());
    keychain(service.address(), &limit, interactive)
}

/// The library's keychain on the bus at this address.
fn keychain(address: &str, timeout: &str, interactive: bool) -> Arc<dyn SecretStore> {
    let context = Context {
        environment: Environment::of([
            ("DBUS_SESSION_BUS_ADDRESS", address),
            ("AGE_OAUTH_KEYCHAIN_TIMEOUT", timeout),
        ]),
        ..Context::process()
    };
    Keychains::new("/nonexistent".into(), true, interactive, &context).of(KeychainKind::Os)
}

fn tokens() -> Item {
    Item::new("my_portal_1", "my portal", ItemKind::Tokens)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[track_caller]
fn stored(keychain: &dyn SecretStore, item: &Item) -> Option<String> {
    let found = keychain.get(item).unwrap();
    found.map(|secret| secret.expose().to_owned())
}

fn an_item_can_be_read_until_it_is_deleted(provider: Provider) {
    let session = SecretService::start(provider);
    let keychain = keychain_in(&session, false);
    assert_eq!(stored(&*keychain, &tokens()), None);
    assert!(!keychain.delete(&tokens()).unwrap());
    for text in ["{\"a\":1}", "Grüße 🗺", "", &"x".repeat(64 * 1024)] {
        keychain.set(&tokens(), &secret(text)).unwrap();
        assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some(text));
    }
    let other = Item::new("my_portal_1", "my portal", ItemKind::ClientSecret);
    keychain.set(&other, &secret("other")).unwrap();
    let mut accounts = keychain.accounts().unwrap();
    accounts.sort();
    assert_eq!(
        accounts,
        ["my_portal_1/client-secret", "my_portal_1/tokens"]
    );
    assert!(keychain.delete(&tokens()).unwrap());
    assert_eq!(stored(&*keychain, &tokens()), None);
    assert_eq!(stored(&*keychain, &other).as_deref(), Some("other"));
}

fn an_item_has_a_readable_label_and_other_programs_can_read_it(provider: Provider) {
    let session = SecretService::start(provider);
    let keychain = keychain_in(&session, false);
    keychain.set(&tokens(), &secret("{\"v\":1}")).unwrap();
    assert_eq!(session.lookup("my_portal_1/tokens"), "{\"v\":1}");

    let shown = session.items();
    for line in [
        "label = age-oauth: my portal (tokens)",
        "attribute.service = age-oauth",
        "attribute.username = my_portal_1/tokens",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }

    let renamed = Item::new("my_portal_1", "renamed", ItemKind::Tokens);
    keychain.retitle(&renamed).unwrap();
    let shown = session.items();
    assert!(
        shown.contains("label = age-oauth: renamed (tokens)"),
        "{shown}"
    );
    assert_eq!(stored(&*keychain, &renamed).as_deref(), Some("{\"v\":1}"));

    session.overwrite_item(&tokens().account(), "from elsewhere");
    assert_eq!(
        stored(&*keychain, &tokens()).as_deref(),
        Some("from elsewhere")
    );
}

fn duplicate_items_are_reported_and_repaired(provider: Provider) {
    let session = SecretService::start(provider);
    let keychain = keychain_in(&session, false);
    let account = tokens().account();
    keychain.set(&tokens(), &secret("ours")).unwrap();
    session.add_item(&tokens().account(), b"theirs");
    assert_eq!(session.count_items(&account), 2);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Ambiguous);

    session.add_item(&tokens().account(), b"another");
    let all = keychain.all(&tokens()).unwrap();
    let mut all: Vec<_> = all.iter().map(Secret::expose).collect();
    all.sort_unstable();
    assert_eq!(all, ["another", "ours", "theirs"]);

    keychain.set(&tokens(), &secret("repaired")).unwrap();
    assert_eq!(session.count_items(&account), 1);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("repaired"));

    session.add_item(&tokens().account(), b"theirs");
    assert!(keychain.delete(&tokens()).unwrap());
    assert_eq!(session.count_items(&account), 0);
}

#[test]
fn an_item_that_is_not_text_is_reported_as_lost_and_can_be_replaced() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let keychain = keychain_in(&session, false);
    session.add_item(&tokens().account(), &[0xff, 0xfe, 0x00]);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Lost);
    keychain.set(&tokens(), &secret("whole")).unwrap();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("whole"));
}

#[test]
fn rule_30_a_locked_collection_is_an_error_without_a_prompt() {
    let session = SecretService::start(Provider::GnomeKeyring);
    keychain_in(&session, false)
        .set(&tokens(), &secret("x"))
        .unwrap();
    session.lock();
    let mut monitor = session.monitor();
    let keychain = keychain_in(&session, false);
    let absent = Item::new("absent_1", "absent", ItemKind::Tokens);
    for error in [
        keychain.get(&tokens()).unwrap_err(),
        keychain.set(&tokens(), &secret("y")).unwrap_err(),
        keychain.set(&absent, &secret("y")).unwrap_err(),
        keychain.delete(&tokens()).unwrap_err(),
    ] {
        assert_eq!(error.reason, KeychainReason::Locked, "{error}");
        assert_eq!(error.keychain, "Secret Service");
    }
    assert_eq!(stored(&*keychain, &absent), None);
    let calls = monitor.calls_of_new_clients();
    assert!(calls.iter().any(|call| call == "SearchItems"), "{calls:?}");
    let asking = ["Unlock", "Prompt", "CreateItem"];
    let asked = calls.iter().any(|call| asking.contains(&&**call));
    assert!(!asked, "{calls:?}");
}

#[test]
fn interactive_use_prompts_for_a_locked_collection() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let keychain = keychain_in(&session, true);
    keychain.set(&tokens(), &secret("x")).unwrap();
    session.lock();
    let mut monitor = session.monitor();
    let keychain = keychain_in(&session, true);
    // Without a prompter the daemon treats the prompt as dismissed.
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Locked, "{error}");
    let calls = monitor.calls_of_new_clients();
    assert!(calls.iter().any(|call| call == "Prompt"), "{calls:?}");
}

/// A session whose provider has the item and was started anew, locked.
fn locked_with(provider: Provider, text: &str) -> SecretService {
    let mut session = SecretService::start(provider);
    // A wallet of KWallet is opened only by a client that may ask for it.
    keychain_in(&session, provider == Provider::KWallet)
        .set(&tokens(), &secret(text))
        .unwrap();
    session.stop_provider();
    session.start_locked();
    session
}

/// KeePassXC shows its prompt as soon as a client searches for an item; here it stays unanswered.
#[test]
fn rule_30_an_unanswered_prompt_is_an_error() {
    let mut session = locked_with(Provider::KeePassXc, "kept");
    for interactive in [false, true] {
        let keychain = keychain(session.address(), "500ms", interactive);
        for error in [
            keychain.get(&tokens()).unwrap_err(),
            keychain.set(&tokens(), &secret("other")).unwrap_err(),
            keychain.delete(&tokens()).unwrap_err(),
        ] {
            let reasons = [KeychainReason::Timeout, KeychainReason::Locked];
            assert!(reasons.contains(&error.reason), "{interactive}: {error}");
        }
    }
    session.stop_provider();
    session.start_provider();
    let keychain = keychain_in(&session, false);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("kept"));
}

/// KWallet says that a collection is locked until a client has unlocked it, also where its wallet
/// is open, so that no question follows.
#[test]
fn an_open_wallet_of_kwallet_is_locked_until_it_can_be_unlocked_interactively() {
    let session = locked_with(Provider::KWallet, "x");
    let script = keychain_in(&session, false);
    for error in [
        script.get(&tokens()).unwrap_err(),
        script.set(&tokens(), &secret("y")).unwrap_err(),
    ] {
        assert_eq!(error.reason, KeychainReason::Locked, "{error}");
    }
    let terminal = keychain_in(&session, true);
    assert_eq!(stored(&*terminal, &tokens()).as_deref(), Some("x"));
    assert_eq!(stored(&*script, &tokens()).as_deref(), Some("x"));
}

#[test]
fn a_read_costs_four_calls() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let keychain = keychain_in(&session, false);
    keychain.set(&tokens(), &secret("x")).unwrap();
    let mut monitor = session.monitor();
    let fresh = keychain_in(&session, false);
    assert_eq!(stored(&*fresh, &tokens()).as_deref(), Some("x"));
    assert_eq!(
        monitor.calls_of_new_clients(),
        ["Hello", "OpenSession", "SearchItems", "GetSecret"]
    );
}

fn a_daemon_replaced_between_two_calls_is_found_again(provider: Provider) {
    let mut session = SecretService::start(provider);
    let keychain = keychain_in(&session, false);
    keychain.set(&tokens(), &secret("one")).unwrap();
    session.stop_provider();
    session.start_provider();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("one"));
    session.stop_provider();
    session.start_provider();
    keychain.set(&tokens(), &secret("two")).unwrap();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("two"));
}

#[test]
fn a_deleted_collection_is_reported_and_not_replaced_by_another() {
    let mut session = SecretService::start(Provider::GnomeKeyring);
    let keychain = keychain_in(&session, false);
    keychain.set(&tokens(), &secret("gone")).unwrap();
    session.delete_collection();
    // Another collection (`session` is always there) would lose it at the next logout.
    for error in [
        keychain.get(&tokens()).unwrap_err(),
        keychain.set(&tokens(), &secret("new")).unwrap_err(),
        keychain.get(&tokens()).unwrap_err(),
    ] {
        assert_eq!(error.reason, KeychainReason::NoCollection, "{error}");
    }
    assert!(!keychain.delete(&tokens()).unwrap());
}

#[test]
fn without_a_default_collection_the_hint_says_what_makes_one() {
    let mut session = SecretService::start(Provider::GnomeKeyring);
    let (portal, home) = home_in(&session);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    session.delete_collection();
    let error = home.run(["token", "--json"]).done().code(5).error_json();
    let error = &error["error"];
    assert_eq!(error["reason"], "no_collection");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("make it the default"), "{hint}");
    assert!(
        hint.ends_with("connections edit prod --keychain vault"),
        "{hint}"
    );
    let refused = add_new(&home, &[]);
    assert!(refused.contains("no default collection"), "{refused}");
    assert!(refused.contains("--keychain vault"), "{refused}");
    assert!(!refused.contains("edit"), "{refused}");
    home.run(["connections", "show", "x"]).done().code(4);
}

#[test]
fn a_bus_that_denies_access_is_named_without_the_command_line_that_it_quotes() {
    let session = SecretService::denying();
    let (_portal, home) = home_in(&session);
    let denied = add_new(&home, &["--client-secret", "quoted-by-the-bus-1"]);
    assert!(
        denied.contains("org.freedesktop.DBus.Error.AccessDenied"),
        "{denied}"
    );
    assert!(denied.contains("snap"), "{denied}");
    for text in ["quoted", "comm=", "edit", "Rejected"] {
        assert!(!denied.contains(text), "{text}: {denied}");
    }
    let error = keychain_in(&session, false).get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Denied, "{error}");
}

/// What `connections add` prints when the keychain refuses.
fn add_new(home: &Home, flags: &[&str]) -> String {
    let words = [&ADD_UNCHECKED[..], flags].concat();
    let outcome = home.run(words).done().code(5);
    // The warning about the option names the option.
    let lines = outcome.stderr.lines();
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("warning:")).collect();
    lines.join("\n")
}

#[test]
fn a_bus_that_ends_is_a_missing_keychain() {
    let mut session = SecretService::start(Provider::GnomeKeyring);
    let keychain = keychain_in(&session, false);
    keychain.set(&tokens(), &secret("one")).unwrap();
    session.kill_bus();
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Missing, "{error}");
}

#[test]
fn a_bus_with_many_clients_to_accept_is_waited_for() {
    let session = SecretService::start(Provider::GnomeKeyring);
    keychain_in(&session, false)
        .set(&tokens(), &secret("x"))
        .unwrap();
    session.signal_bus("STOP");
    let waiting = fill_the_queue_of(session.address());
    let error = keychain(session.address(), "300ms", false)
        .get(&tokens())
        .unwrap_err();
    drop(waiting);
    session.signal_bus("CONT");
    assert_eq!(error.reason, KeychainReason::Timeout, "{error}");
    let keychain = keychain_in(&session, false);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("x"));
}

/// Connects to a bus that does not accept until its queue is full.
fn fill_the_queue_of(address: &str) -> Vec<OwnedFd> {
    let path = address.strip_prefix("unix:path=").unwrap();
    let address = SocketAddrUnix::new(path.split(',').next().unwrap()).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        );
        let client = client.unwrap();
        match net::connect(&client, &address) {
            Ok(()) => clients.push(client),
            Err(Errno::AGAIN) => return clients,
            Err(why) => panic!("{why}"),
        }
    }
}

#[test]
fn of_several_addresses_the_first_that_works_is_used() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let here = session.address();
    for list in [
        format!("unix:path=/nonexistent/bus;{here}"),
        format!("nonsense;;{here}"),
        format!("{here};unix:path=/nonexistent/bus"),
    ] {
        let keychain = keychain(&list, "120s", false);
        keychain.set(&tokens(), &secret(&list)).unwrap();
        assert_eq!(stored(&*keychain, &tokens()), Some(list));
    }
    let none = keychain("unix:path=/first/bus;disabled:", "120s", false);
    let error = none.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Missing);
    assert!(error.detail.contains("No such file"), "{error}");
}

#[test]
fn without_a_bus_or_a_service_the_keychain_is_missing() {
    let session = SecretService::without_provider();
    for address in [
        "unix:path=/nonexistent/bus",
        "disabled:",
        "nonsense",
        session.address(),
    ] {
        let keychain = keychain(address, "20s", false);
        for error in [
            keychain.get(&tokens()).unwrap_err(),
            keychain.set(&tokens(), &secret("x")).unwrap_err(),
            keychain.accounts().unwrap_err(),
        ] {
            assert_eq!(error.reason, KeychainReason::Missing, "{address}: {error}");
        }
    }
}

#[test]
fn rule_30_a_silent_bus_is_an_error() {
    let bus = SilentBus::start();
    let keychain = keychain(&bus.address(), "200ms", false);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Timeout, "{error}");
}

#[test]
fn rule_30_a_daemon_that_stopped_answering_is_an_error() {
    let session = SecretService::start(Provider::GnomeKeyring);
    keychain_in(&session, false)
        .set(&tokens(), &secret("x"))
        .unwrap();
    let keychain = keychain(session.address(), "300ms", false);
    let answers = || {
        let found = keychain.get(&tokens());
        found.is_ok_and(|found| found.is_some_and(|found| found.matches("x")))
    };
    until(answers);
    session.signal_provider("STOP");
    let error = keychain.get(&tokens()).unwrap_err();
    session.signal_provider("CONT");
    assert_eq!(error.reason, KeychainReason::Timeout, "{error}");
    until(answers);
}

fn many_writers_leave_one_item(provider: Provider) {
    let session = SecretService::start(provider);
    if provider == Provider::KeePassXc {
        // When two clients create an item of one name, KeePassXC asks the user. The program's own
        // lock prevents that.
        keychain_in(&session, false)
            .set(&tokens(), &secret("first"))
            .unwrap();
    }
    thread::scope(|scope| {
        for number in 0..8 {
            let keychain = keychain_in(&session, false);
            scope.spawn(move || {
                let text = number.to_string();
                keychain.set(&tokens(), &secret(&text)).unwrap();
            });
        }
    });
    let keychain = keychain_in(&session, false);
    let last: u8 = stored(&*keychain, &tokens()).unwrap().parse().unwrap();
    assert!(last < 8);
    assert_eq!(keychain.accounts().unwrap().len(), 1);
}

/// A portal, and a home whose keychain is the session's.
fn home_in(session: &SecretService) -> (Portal, Home) {
    let mut home = home();
    session.use_in(&mut home);
    (Portal::start(PortalVersion::Enterprise114), home)
}

fn from_add_to_remove_the_items_have_readable_labels_and_none_is_left(provider: Provider) {
    let session = SecretService::start(provider);
    let (portal, home) = home_in(&session);
    let ca = portal.ca_file(home.path());
    home.run([
        "connections",
        "add",
        "--label",
        "my_portal",
        "--portal",
        &portal.url(),
        "--client-id",
        APP_ID,
        "--client-secret-stdin",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ])
    .input(app_secret())
    .done()
    .ok();
    sign_in(&home, &portal, "my_portal").ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
    let token = home.run(["token"]).done().ok().line().to_owned();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    let id = shown["id"].as_str().unwrap();
    let kept = session.items();
    assert_eq!(kept.matches("label = ").count(), 3, "{kept}");
    for kind in ["client-secret", "binding"] {
        let title = format!("label = age-oauth: my_portal ({kind})");
        assert!(kept.contains(&title), "{kept}");
    }
    assert!(
        kept.contains("label = age-oauth: my_portal (tokens)"),
        "{kept}"
    );
    assert!(
        kept.contains(&format!("attribute.username = {id}/tokens")),
        "{kept}"
    );
    let looked_up = session.lookup(&format!("{id}/tokens"));
    assert!(looked_up.contains(&token), "{looked_up}");

    add(&home, &portal, "without_secret");
    sign_in(&home, &portal, "without_secret").ok();
    let kept = session.items();
    assert_eq!(kept.matches("label = ").count(), 5, "{kept}");
    home.run(["connections", "rename", "my_portal", "renamed"])
        .done()
        .ok();
    let kept = session.items();
    assert!(
        kept.contains("label = age-oauth: renamed (tokens)"),
        "{kept}"
    );
    assert!(!kept.contains("my_portal ("), "{kept}");
    for secret in [app_secret(), &token] {
        assert_eq!(
            home.files_containing(secret),
            Vec::<std::path::PathBuf>::new()
        );
    }

    home.run(["connections", "edit", "renamed", "--keychain", "vault"])
        .done()
        .ok();
    assert_eq!(
        home.run(["token", "-c", "renamed"]).done().ok().line(),
        token
    );
    assert!(!session.items().contains("renamed"));
    home.run(["connections", "remove", "--all", "--yes"])
        .done()
        .ok();
    assert!(!session.items().contains("label"), "{}", session.items());
    assert_eq!(portal.live_refresh_tokens(), 0);
}

fn items_changed_by_other_programs_are_reported_with_a_hint(provider: Provider) {
    let session = SecretService::start(provider);
    let (portal, home) = home_in(&session);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    let account = format!("{}/tokens", shown["id"].as_str().unwrap());
    let attributes = ["service", "age-oauth", "username", &account];
    let reason = |home: &Home| {
        let error = home.run(["token", "--json"]).done().code(5).error_json();
        let error = &error["error"];
        assert!(
            error["hint"]
                .as_str()
                .unwrap()
                .starts_with("age-oauth login"),
            "{error}"
        );
        error["reason"].as_str().unwrap().to_owned()
    };
    session.secret_tool(&[&["clear"], &attributes[..]].concat(), "");
    assert_eq!(reason(&home), "lost");
    let store = [&["store", "--label", "somebody else's"], &attributes[..]].concat();
    session.secret_tool(&store, "garbage");
    assert_eq!(reason(&home), "lost");
    sign_in(&home, &portal, "prod").ok();
    session.add_item(&account, b"x");
    assert_eq!(reason(&home), "ambiguous");
    sign_in(&home, &portal, "prod").ok();
    home.run(["token"]).done().ok();
}

#[test]
fn a_locked_or_missing_keychain_is_reported_with_a_hint() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let (portal, home) = home_in(&session);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    session.lock();
    let error = home.run(["token", "--json"]).done().code(5).error_json();
    assert_eq!(error["error"]["reason"], "locked");
    home.run([
        "connections",
        "add",
        "--no-check",
        "--label",
        "x",
        "--portal",
        "https://h/p",
        "--client-id",
        "c",
        "--client-secret-stdin",
    ])
    .input("a-secret-1")
    .done()
    .code(5);
    home.run(["connections", "show", "x"]).done().code(4);
    let missing = home
        .run([
            "connections",
            "add",
            "--no-check",
            "--label",
            "x",
            "--portal",
            "https://h/p",
            "--client-id",
            "c",
        ])
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .done()
        .code(5);
    assert!(
        missing.stderr.contains("--keychain vault"),
        "{}",
        missing.stderr
    );
}

#[test]
fn an_extension_that_a_locked_keychain_does_not_store_is_revoked() {
    let session = SecretService::start(Provider::GnomeKeyring);
    let (portal, home) = home_in(&session);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let gate = Gate::new();
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::HoldBefore(gate.clone())));
    let child = home.run(["refresh", "--now"]).spawn();
    gate.await_arrivals(1);
    session.lock();
    gate.open();
    Outcome::of(child)
        .code(5)
        .err_has("was not stored, so it was revoked");
    assert_eq!(portal.live_refresh_tokens(), 0);
}

/// Runs each test with each provider.
macro_rules! with_each_provider {
    ($($test:ident)*) => {
        mod gnome_keyring {
            $(#[test]
            fn $test() {
                super::$test(super::Provider::GnomeKeyring);
            })*
        }

        mod keepassxc {
            $(#[test]
            fn $test() {
                super::$test(super::Provider::KeePassXc);
            })*
        }

        mod kwallet {
            $(#[test]
            fn $test() {
                super::$test(super::Provider::KWallet);
            })*
        }
    };
}

with_each_provider! {
    an_item_can_be_read_until_it_is_deleted
    an_item_has_a_readable_label_and_other_programs_can_read_it
    duplicate_items_are_reported_and_repaired
    a_daemon_replaced_between_two_calls_is_found_again
    many_writers_leave_one_item
    from_add_to_remove_the_items_have_readable_labels_and_none_is_left
    items_changed_by_other_programs_are_reported_with_a_hint
}
