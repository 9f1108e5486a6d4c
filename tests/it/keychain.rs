//! The library's OS keychain on real providers of the Secret Service, GNOME Keyring and KeePassXC, each in a D-Bus session of
//! its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, APP_ID, APP_SECRET};
use crate::support::scenario::{add, sign_in};
use crate::support::{until, TIMEOUT};
use age_oauth::{
    Context, Environment, Item, ItemKind, KeychainKind, KeychainReason, Keychains, Secret,
    SecretStore,
};
use secret_service::blocking::SecretService;
use secret_service::EncryptionType;

const BUS: &str = r#"<busconfig>
  <type>session</type>
  <listen>unix:dir=FOLDER</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

/// An empty database of KeePassXC that lends its root group to the Secret Service. The group's UUID is there twice, in base64
/// and in digits.
const DATABASE: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<KeePassFile>
  <Meta>
    <RecycleBinEnabled>False</RecycleBinEnabled>
    <CustomData>
      <Item>
        <Key>FDO_SECRETS_EXPOSED_GROUP</Key>
        <Value>{70726163-7469-6365-2064-617461626173}</Value>
      </Item>
    </CustomData>
  </Meta>
  <Root>
    <Group><UUID>cHJhY3RpY2UgZGF0YWJhcw==</UUID><Name>practice</Name></Group>
  </Root>
</KeePassFile>
"#;

/// KeePassXC as a person sets it up who makes it their Secret Service, and wants no window for each access.
const SETTINGS: &str = "[General]
SingleInstance=false

[FdoSecrets]
Enabled=true
ConfirmAccessItem=false
ConfirmDeleteItem=false
ShowNotification=false
";

/// Programs that provide the Secret Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    GnomeKeyring,
    KeePassXc,
}

/// A D-Bus session without services that start by themselves, and an unlocked provider in it. Both end with it.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    address: String,
    bus: Child,
    provider: Provider,
    daemon: Option<Child>,
}

impl Session {
    pub(crate) fn start() -> Self {
        Self::with(Provider::GnomeKeyring)
    }

    pub(crate) fn with(provider: Provider) -> Self {
        let mut session = Self::without_daemon();
        session.provider = provider;
        session.start_daemon();
        session
    }

    fn without_daemon() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "data", "config"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        private_dir(&folder.path().join("run"));
        let config = folder.path().join("bus.conf");
        let path = folder.path().display().to_string();
        std::fs::write(&config, BUS.replace("FOLDER", &path)).unwrap();
        let mut bus = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--print-address=1")
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            folder,
            address: address.trim().to_owned(),
            bus,
            provider: Provider::GnomeKeyring,
            daemon: None,
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"))
            .env("TMPDIR", self.folder.path())
            .env("QT_QPA_PLATFORM", "offscreen")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn start_daemon(&mut self) {
        let mut command = match self.provider {
            Provider::GnomeKeyring => {
                let mut command = self.command("gnome-keyring-daemon");
                command.args(["--foreground", "--unlock", "--components=secrets"]);
                command
            }
            Provider::KeePassXc => {
                let mut command = self.keepassxc();
                command.arg("--pw-stdin");
                command
            }
        };
        let mut daemon = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = daemon.stdin.take().unwrap();
        stdin.write_all(b"password").unwrap();
        drop(stdin);
        self.daemon = Some(daemon);
        self.wait_for_owner(true);
        // The name is owned a little before the keyring is unlocked.
        until(|| {
            let service = self.service();
            let ready = service
                .get_default_collection()
                .is_ok_and(|collection| !collection.is_locked().unwrap_or(true));
            ready
        });
    }

    /// KeePassXC with a database, which is made where there is none.
    fn keepassxc(&self) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let (database, settings) = (at("practice.kdbx"), at("keepassxc.ini"));
        std::fs::write(&settings, SETTINGS).unwrap();
        if !database.exists() {
            std::fs::write(at("practice.xml"), DATABASE).unwrap();
            let mut import = self
                .command("keepassxc-cli")
                .args(["import", "--set-password", "--decryption-time", "100"])
                .args([&at("practice.xml"), &database])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let answers = b"password\npassword\n";
            import.stdin.take().unwrap().write_all(answers).unwrap();
            assert!(import.wait().unwrap().success());
        }
        let mut command = self.command("keepassxc");
        command
            .args(["--config".as_ref(), settings.as_os_str()])
            .args(["--localconfig".as_ref(), at("local.ini").as_os_str()])
            .arg(database);
        command
    }

    fn stop_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        // KeePassXC writes its file a moment after a change, and when it ends in peace.
        let id = daemon.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        until(|| daemon.try_wait().unwrap().is_some());
        self.wait_for_owner(false);
    }

    fn wait_for_owner(&self, wanted: bool) {
        let connection = self.connect();
        until(|| {
            let answer = connection
                .call_method(
                    Some("org.freedesktop.DBus"),
                    "/org/freedesktop/DBus",
                    Some("org.freedesktop.DBus"),
                    "NameHasOwner",
                    &"org.freedesktop.secrets",
                )
                .unwrap();
            answer.body().deserialize::<bool>().unwrap() == wanted
        });
    }

    fn connect(&self) -> zbus::blocking::Connection {
        zbus::blocking::connection::Builder::address(&*self.address)
            .and_then(|builder| builder.method_timeout(TIMEOUT).build())
            .unwrap()
    }

    /// Straight to the daemon, past the code under test.
    fn service(&self) -> SecretService<'static> {
        SecretService::connect_with_existing(EncryptionType::Plain, self.connect()).unwrap()
    }

    /// A second item of the same name, as another program might make it.
    fn duplicate(&self, item: &Item, secret: &[u8]) {
        self.duplicate_of(&item.account(), secret);
    }

    pub(crate) fn duplicate_of(&self, account: &str, secret: &[u8]) {
        let attributes = HashMap::from([("service", "age-oauth"), ("username", account)]);
        self.service()
            .get_default_collection()
            .unwrap()
            .create_item("another's", attributes, secret, false, "text/plain")
            .unwrap();
    }

    /// The item that is there gets another secret, as other programs change it.
    fn overwrite(&self, item: &Item, secret: &str) {
        let account = item.account();
        if self.provider == Provider::GnomeKeyring {
            let attributes = ["service", "age-oauth", "username", &account];
            self.secret_tool(&[&["store", "--label=x"], &attributes[..]].concat(), secret);
            return;
        }
        // For `secret-tool`, which makes an item anew, KeePassXC wants a person's consent.
        let service = self.service();
        let attributes = HashMap::from([("service", "age-oauth"), ("username", &*account)]);
        let found = service.search_items(attributes).unwrap();
        let [only] = &*found.unlocked else {
            panic!("not one item");
        };
        only.set_secret(secret.as_bytes(), "text/plain").unwrap();
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn lock(&self) {
        self.service()
            .get_default_collection()
            .unwrap()
            .lock()
            .unwrap();
    }

    /// The library's keychain in this session.
    fn keychain(&self, person: bool) -> Arc<dyn SecretStore> {
        keychain(&self.address, "20s", person)
    }

    fn secret_tool(&self, arguments: &[&str], input: &str) -> String {
        let mut tool = self
            .command("secret-tool")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = tool.wait_with_output().unwrap();
        // `search` tells the attributes on stderr.
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            end(daemon);
        }
        end(&mut self.bus);
    }
}

/// Ends a process that this test started, by its id.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn private_dir(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

/// The library's keychain on the bus at this address.
fn keychain(address: &str, timeout: &str, person: bool) -> Arc<dyn SecretStore> {
    let context = Context {
        environment: Environment::of([
            ("DBUS_SESSION_BUS_ADDRESS", address),
            ("AGE_OAUTH_KEYCHAIN_TIMEOUT", timeout),
        ]),
        ..Context::process()
    };
    Keychains::new("/nonexistent".into(), true, person, &context).of(KeychainKind::Os)
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

/// What passes over a bus, one line of `dbus-monitor --profile` each.
struct Monitor {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    marker: zbus::blocking::Connection,
}

impl Monitor {
    fn start(session: &Session) -> Self {
        let mut process = session
            .command("dbus-monitor")
            .args(["--address", &session.address, "--profile"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::default();
        collect(process.stdout.take().unwrap(), Arc::clone(&lines));
        let monitor = Self {
            process,
            lines,
            marker: session.connect(),
        };
        monitor.mark();
        monitor
    }

    /// Waits until the monitor has seen all that was said so far, and returns it.
    fn mark(&self) -> Vec<String> {
        let name = self.marker.unique_name().unwrap().to_string();
        let seen = |line: &String| line.contains("\tGetId") && line.contains(&name);
        until(|| {
            self.marker
                .call_method(
                    Some("org.freedesktop.DBus"),
                    "/org/freedesktop/DBus",
                    Some("org.freedesktop.DBus"),
                    "GetId",
                    &(),
                )
                .unwrap();
            thread::sleep(Duration::from_millis(20));
            self.lines.lock().unwrap().iter().any(seen)
        });
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    /// The methods called by whoever came to the bus since the last mark, in order.
    fn calls_of_newcomers(&self) -> Vec<String> {
        let lines = self.mark();
        let calls: Vec<Vec<&str>> = lines
            .iter()
            .filter(|line| line.starts_with("mc\t"))
            .map(|line| line.split('\t').collect())
            .collect();
        // Columns: kind, time, serial, sender, destination, path, interface, member.
        let newcomers: Vec<&str> = calls
            .iter()
            .filter(|call| call[7] == "Hello")
            .map(|call| call[3])
            .collect();
        calls
            .iter()
            .filter(|call| newcomers.contains(&call[3]))
            .map(|call| call[7].to_owned())
            .collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn collect(output: ChildStdout, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
}

fn what_is_kept_comes_back_until_it_is_deleted(provider: Provider) {
    let session = Session::with(provider);
    let keychain = session.keychain(false);
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

fn a_person_recognises_the_item_and_other_programs_read_it(provider: Provider) {
    let session = Session::with(provider);
    let keychain = session.keychain(false);
    keychain.set(&tokens(), &secret("{\"v\":1}")).unwrap();
    let lookup = [
        "lookup",
        "service",
        "age-oauth",
        "username",
        "my_portal_1/tokens",
    ];
    assert_eq!(session.secret_tool(&lookup, ""), "{\"v\":1}");

    let search = ["search", "--all", "service", "age-oauth"];
    let shown = session.secret_tool(&search, "");
    for line in [
        "label = age-oauth: my portal (tokens)",
        "attribute.service = age-oauth",
        "attribute.username = my_portal_1/tokens",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }

    let renamed = Item::new("my_portal_1", "renamed", ItemKind::Tokens);
    keychain.retitle(&renamed).unwrap();
    let shown = session.secret_tool(&search, "");
    assert!(
        shown.contains("label = age-oauth: renamed (tokens)"),
        "{shown}"
    );
    assert_eq!(stored(&*keychain, &renamed).as_deref(), Some("{\"v\":1}"));

    session.overwrite(&tokens(), "from elsewhere");
    assert_eq!(
        stored(&*keychain, &tokens()).as_deref(),
        Some("from elsewhere")
    );
}

fn several_items_of_one_name_are_told_and_repaired(provider: Provider) {
    let session = Session::with(provider);
    let keychain = session.keychain(false);
    let lookup = |item: &Item| {
        let account = item.account();
        let attributes = HashMap::from([("service", "age-oauth"), ("username", &*account)]);
        let service = session.service();
        let found = service.search_items(attributes).unwrap();
        found.unlocked.len()
    };
    keychain.set(&tokens(), &secret("ours")).unwrap();
    session.duplicate(&tokens(), b"theirs");
    assert_eq!(lookup(&tokens()), 2);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Ambiguous);

    session.duplicate(&tokens(), b"another");
    let all = keychain.all(&tokens()).unwrap();
    let mut all: Vec<_> = all.iter().map(Secret::expose).collect();
    all.sort_unstable();
    assert_eq!(all, ["another", "ours", "theirs"]);

    keychain.set(&tokens(), &secret("repaired")).unwrap();
    assert_eq!(lookup(&tokens()), 1);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("repaired"));

    session.duplicate(&tokens(), b"theirs");
    assert!(keychain.delete(&tokens()).unwrap());
    assert_eq!(lookup(&tokens()), 0);
}

#[test]
fn what_is_no_text_is_lost_and_may_be_replaced() {
    let session = Session::start();
    let keychain = session.keychain(false);
    session.duplicate(&tokens(), &[0xff, 0xfe, 0x00]);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Lost);
    keychain.set(&tokens(), &secret("whole")).unwrap();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("whole"));
}

#[test]
fn rule_30_a_locked_collection_is_an_error_and_no_prompt() {
    let session = Session::start();
    session
        .keychain(false)
        .set(&tokens(), &secret("x"))
        .unwrap();
    session.lock();
    let monitor = Monitor::start(&session);
    let keychain = session.keychain(false);
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
    let calls = monitor.calls_of_newcomers();
    assert!(calls.iter().any(|call| call == "SearchItems"), "{calls:?}");
    let asking = ["Unlock", "Prompt", "CreateItem"];
    let asked = calls.iter().any(|call| asking.contains(&&**call));
    assert!(!asked, "{calls:?}");
}

#[test]
fn with_a_person_a_locked_collection_is_prompted_for() {
    let session = Session::start();
    let keychain = session.keychain(true);
    keychain.set(&tokens(), &secret("x")).unwrap();
    session.lock();
    let monitor = Monitor::start(&session);
    let keychain = session.keychain(true);
    // No prompter is there to show it, so the daemon takes it for dismissed.
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Locked, "{error}");
    let calls = monitor.calls_of_newcomers();
    assert!(calls.iter().any(|call| call == "Prompt"), "{calls:?}");
}

/// KeePassXC shows its prompt as soon as anybody looks for an item; here nobody sees it.
#[test]
fn rule_30_a_prompt_that_nobody_answers_is_an_error() {
    let mut session = Session::with(Provider::KeePassXc);
    session
        .keychain(false)
        .set(&tokens(), &secret("kept"))
        .unwrap();
    session.stop_daemon();
    session.daemon = Some(session.keepassxc().spawn().unwrap());
    session.wait_for_owner(true);
    for person in [false, true] {
        let keychain = keychain(&session.address, "500ms", person);
        for error in [
            keychain.get(&tokens()).unwrap_err(),
            keychain.set(&tokens(), &secret("other")).unwrap_err(),
            keychain.delete(&tokens()).unwrap_err(),
        ] {
            let reasons = [KeychainReason::Timeout, KeychainReason::Locked];
            assert!(reasons.contains(&error.reason), "{person}: {error}");
        }
    }
    session.stop_daemon();
    session.start_daemon();
    let keychain = session.keychain(false);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("kept"));
}

#[test]
fn a_read_costs_four_calls() {
    let session = Session::start();
    let keychain = session.keychain(false);
    keychain.set(&tokens(), &secret("x")).unwrap();
    let monitor = Monitor::start(&session);
    let fresh = session.keychain(false);
    assert_eq!(stored(&*fresh, &tokens()).as_deref(), Some("x"));
    assert_eq!(
        monitor.calls_of_newcomers(),
        ["Hello", "OpenSession", "SearchItems", "GetSecret"]
    );
}

fn a_daemon_replaced_between_two_calls_is_found_again(provider: Provider) {
    let mut session = Session::with(provider);
    let keychain = session.keychain(false);
    keychain.set(&tokens(), &secret("one")).unwrap();
    session.stop_daemon();
    session.start_daemon();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("one"));
    session.stop_daemon();
    session.start_daemon();
    keychain.set(&tokens(), &secret("two")).unwrap();
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("two"));
}

#[test]
fn a_collection_that_was_deleted_is_told_and_nothing_else_takes_its_place() {
    let session = Session::start();
    let keychain = session.keychain(false);
    keychain.set(&tokens(), &secret("gone")).unwrap();
    let service = session.service();
    service.get_default_collection().unwrap().delete().unwrap();
    assert_eq!(stored(&*keychain, &tokens()), None);
    assert!(!keychain.delete(&tokens()).unwrap());
    let error = keychain.set(&tokens(), &secret("new")).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Missing, "{error}");
    // Another collection (`session` is always there) would forget it at the next logout.
    assert_eq!(stored(&*keychain, &tokens()), None);
}

#[test]
fn a_bus_that_is_gone_is_a_missing_keychain() {
    let mut session = Session::start();
    let keychain = session.keychain(false);
    keychain.set(&tokens(), &secret("one")).unwrap();
    end(&mut session.bus);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Missing, "{error}");
}

#[test]
fn no_bus_and_no_service_are_a_missing_keychain() {
    let session = Session::without_daemon();
    for address in [
        "unix:path=/nonexistent/bus",
        "disabled:",
        "nonsense",
        &session.address,
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
fn rule_30_a_mute_bus_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    // Accepts, keeps what it accepted, and says nothing until the test program ends.
    thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    let keychain = keychain(&format!("unix:path={}", path.display()), "200ms", false);
    let error = keychain.get(&tokens()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Timeout, "{error}");
}

#[test]
fn rule_30_a_daemon_that_stopped_answering_is_an_error() {
    let session = Session::start();
    session
        .keychain(false)
        .set(&tokens(), &secret("x"))
        .unwrap();
    let keychain = keychain(&session.address, "300ms", false);
    assert_eq!(stored(&*keychain, &tokens()).as_deref(), Some("x"));
    let id = session.daemon.as_ref().unwrap().id().to_string();
    let signal = |signal: &str| {
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    let error = keychain.get(&tokens()).unwrap_err();
    signal("-CONT");
    assert_eq!(error.reason, KeychainReason::Timeout, "{error}");
    until(|| {
        keychain
            .get(&tokens())
            .is_ok_and(|found| found.is_some_and(|found| found.matches("x")))
    });
}

fn many_writers_leave_one_item(provider: Provider) {
    let session = Session::with(provider);
    if provider == Provider::KeePassXc {
        // Where two make an item of one name, KeePassXC asks a person. The program's own lock lets no two of it do so.
        session
            .keychain(false)
            .set(&tokens(), &secret("first"))
            .unwrap();
    }
    thread::scope(|scope| {
        for number in 0..8 {
            let keychain = session.keychain(false);
            scope.spawn(move || {
                let text = number.to_string();
                keychain.set(&tokens(), &secret(&text)).unwrap();
            });
        }
    });
    let keychain = session.keychain(false);
    let last: u8 = stored(&*keychain, &tokens()).unwrap().parse().unwrap();
    assert!(last < 8);
    assert_eq!(keychain.accounts().unwrap().len(), 1);
}

/// A portal, and a home whose keychain is the session's.
fn home_in(session: &Session) -> (Portal, Home) {
    let mut home = home();
    home.set("DBUS_SESSION_BUS_ADDRESS", &session.address);
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    (Portal::start(PortalVersion::Enterprise114), home)
}

/// The items of ours in the session, as `secret-tool` shows them.
fn items(session: &Session) -> String {
    session.secret_tool(&["search", "--all", "service", "age-oauth"], "")
}

fn the_whole_walk_keeps_two_items_a_person_recognises_and_leaves_none(provider: Provider) {
    let session = Session::with(provider);
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
    .input(APP_SECRET)
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
    let kept = items(&session);
    assert_eq!(kept.matches("label = ").count(), 2, "{kept}");
    assert!(
        kept.contains("label = age-oauth: my_portal (client-secret)"),
        "{kept}"
    );
    assert!(
        kept.contains("label = age-oauth: my_portal (tokens)"),
        "{kept}"
    );
    assert!(
        kept.contains(&format!("attribute.username = {id}/tokens")),
        "{kept}"
    );
    let looked_up = session.secret_tool(
        &[
            "lookup",
            "service",
            "age-oauth",
            "username",
            &format!("{id}/tokens"),
        ],
        "",
    );
    assert!(looked_up.contains(&token));

    add(&home, &portal, "without_secret");
    sign_in(&home, &portal, "without_secret").ok();
    let kept = items(&session);
    assert_eq!(kept.matches("label = ").count(), 3, "{kept}");
    home.run(["connections", "rename", "my_portal", "renamed"])
        .done()
        .ok();
    let kept = items(&session);
    assert!(
        kept.contains("label = age-oauth: renamed (tokens)"),
        "{kept}"
    );
    assert!(!kept.contains("my_portal ("), "{kept}");
    for secret in [APP_SECRET, &token] {
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
    assert!(!items(&session).contains("renamed"));
    home.run(["connections", "remove", "--all", "--yes"])
        .done()
        .ok();
    assert!(!items(&session).contains("label"), "{}", items(&session));
    assert_eq!(portal.live_refresh_tokens(), 0);
}

fn what_happens_to_items_behind_our_back_is_told_with_what_mends_it(provider: Provider) {
    let session = Session::with(provider);
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
    session.duplicate(
        &Item::new(shown["id"].as_str().unwrap(), "prod", ItemKind::Tokens),
        b"x",
    );
    assert_eq!(reason(&home), "ambiguous");
    sign_in(&home, &portal, "prod").ok();
    home.run(["token"]).done().ok();
}

#[test]
fn a_keychain_that_is_locked_or_missing_is_told_with_what_mends_it() {
    let session = Session::start();
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

/// The same with each provider.
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
    };
}

with_each_provider! {
    what_is_kept_comes_back_until_it_is_deleted
    a_person_recognises_the_item_and_other_programs_read_it
    several_items_of_one_name_are_told_and_repaired
    a_daemon_replaced_between_two_calls_is_found_again
    many_writers_leave_one_item
    the_whole_walk_keeps_two_items_a_person_recognises_and_leaves_none
    what_happens_to_items_behind_our_back_is_told_with_what_mends_it
}
