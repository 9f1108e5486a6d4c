//! A D-Bus session with a real provider of the Secret Service in it: the `os` keychain of Linux.
//!
//! ```ignore
//! let service = SecretService::start(Provider::GnomeKeyring);
//! let mut home = home();
//! service.use_in(&mut home); // from now on the program's keychain is `os`, in this session
//! ```
//!
//! Each session has a bus of its own, without services that start by themselves, and data folders
//! of its own. Bus and provider end when the [`SecretService`] is dropped.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use ::secret_service::blocking::SecretService as Client;
use ::secret_service::EncryptionType;

use super::home::Home;
use super::kwallet;
use super::{send_signal, until, TIMEOUT};

/// Every client may watch the bus, which is how the tests count calls.
const BUS_CONFIGURATION: &str = r#"<busconfig>
  <type>session</type>
  <listen>unix:dir=FOLDER</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

/// An empty KeePassXC database that exposes its root group as the Secret Service. The UUID of the
/// group occurs twice: in digits and in base64.
const KEEPASSXC_DATABASE: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
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

/// The settings of a user who makes KeePassXC the Secret Service and does not want to confirm each
/// access. KeePassXC 2.7 may crash if an item is changed while it saves the change before, so it
/// saves only when it ends.
const KEEPASSXC_SETTINGS: &str = "[General]
SingleInstance=false
AutoSaveAfterEveryChange=false
AutoSaveOnExit=true

[FdoSecrets]
Enabled=true
ConfirmAccessItem=false
ConfirmDeleteItem=false
ShowNotification=false
";

/// Programs that provide the Secret Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    GnomeKeyring,
    KeePassXc,
    KWallet,
}

/// A D-Bus session and, unless it was stopped, a provider of the Secret Service in it.
pub struct SecretService {
    folder: tempfile::TempDir,
    address: String,
    bus: Daemon,
    provider: Provider,
    daemon: Option<Daemon>,
    owner: Option<zbus::blocking::Connection>,
}

/// A process that is killed when this is dropped.
struct Daemon(Child);

impl Daemon {
    fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn signal(&self, signal: &str) {
        send_signal(signal, self.0.id());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

impl SecretService {
    /// A session with this provider, unlocked.
    pub fn start(provider: Provider) -> Self {
        let mut service = Self::without_provider();
        service.provider = provider;
        service.start_provider();
        service
    }

    /// A session with a bus alone.
    pub fn without_provider() -> Self {
        Self::with_bus("")
    }

    /// A session whose bus denies every call to a provider, as a sandbox does.
    pub fn denying() -> Self {
        let mut service = Self::with_bus("<deny send_destination=\"org.freedesktop.secrets\"/>");
        // The rule applies only while a program has the name.
        let owner = service.connect();
        owner.request_name("org.freedesktop.secrets").unwrap();
        service.owner = Some(owner);
        service
    }

    fn with_bus(rule: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("age-oauth-session")
            .tempdir()
            .unwrap();
        for name in ["home", "data", "config", "run"] {
            let path = folder.path().join(name);
            DirBuilder::new().mode(0o700).create(path).unwrap();
        }
        let (bus, address) = start_bus(&folder, rule);
        Self {
            folder,
            address,
            bus,
            provider: Provider::GnomeKeyring,
            daemon: None,
            owner: None,
        }
    }

    /// The address of the bus, for `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes this session's keychain the one of every run in `home`.
    pub fn use_in(&self, home: &mut Home) {
        home.set("AGE_OAUTH_KEYCHAIN", "os");
        // A provider that works may be slow on a machine under load.
        let limit = format!("{}s", TIMEOUT.as_secs());
        home.set("AGE_OAUTH_KEYCHAIN_TIMEOUT", &limit);
        home.set("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }

    /// Starts the provider and waits until its default collection is unlocked.
    pub fn start_provider(&mut self) {
        match self.provider {
            Provider::GnomeKeyring => {
                let mut command = self.command("gnome-keyring-daemon");
                command.args(["--foreground", "--unlock", "--components=secrets"]);
                self.spawn_with_password(command);
            }
            Provider::KeePassXc => {
                let mut command = self.keepassxc();
                command.arg("--pw-stdin");
                self.spawn_with_password(command);
            }
            Provider::KWallet => self.spawn_kwallet(),
        }
        self.wait_for_provider(true);
        if self.provider == Provider::KWallet {
            // A collection whose wallet is open is locked until a client has unlocked it.
            let client = self.client();
            client.get_default_collection().unwrap().unlock().unwrap();
        }
        // The provider owns the name shortly before its collection is unlocked.
        until(|| {
            let client = self.client();
            let unlocked = client
                .get_default_collection()
                .is_ok_and(|collection| !collection.is_locked().unwrap_or(true));
            unlocked
        });
    }

    /// Starts a provider that reads its password from standard input.
    fn spawn_with_password(&mut self, mut command: Command) {
        let mut daemon = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = daemon.stdin.take().unwrap();
        stdin.write_all(b"password").unwrap();
        drop(stdin);
        self.daemon = Some(Daemon(daemon));
    }

    /// Starts KWallet, which creates its wallet at the first call.
    fn spawn_kwallet(&mut self) {
        kwallet::configure(self.folder.path());
        if !kwallet::wallet(self.folder.path()).exists() {
            // It offers a wallet as a collection only if it exists when the daemon starts.
            let command = self.command("kwalletd5");
            self.daemon = Some(Daemon(kwallet::spawn(command, self.folder.path())));
            until(|| kwallet::wallet(self.folder.path()).exists());
            self.wait_for_provider(true);
            self.stop_provider();
        }
        let command = self.command("kwalletd5");
        self.daemon = Some(Daemon(kwallet::spawn(command, self.folder.path())));
    }

    /// Starts the provider again, locked: KeePassXC without its password, so that it asks a person
    /// before it gives out an item; KWallet as it is after a sign-in to the desktop, where its
    /// wallet is open and no client of the Secret Service has unlocked it.
    pub fn start_locked(&mut self) {
        match self.provider {
            Provider::GnomeKeyring => unimplemented!("`lock` locks GNOME Keyring"),
            Provider::KeePassXc => {
                self.daemon = Some(Daemon(self.keepassxc().spawn().unwrap()));
            }
            Provider::KWallet => self.spawn_kwallet(),
        }
        self.wait_for_provider(true);
    }

    /// Ends the provider in its own way and waits until it has left the bus.
    pub fn stop_provider(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        if self.provider == Provider::KWallet {
            // It writes its file some seconds after a change, and not when it is ended by a signal.
            kwallet::close_wallets(&self.connect());
        }
        // KeePassXC writes its file when it is asked to end.
        daemon.signal("TERM");
        until(|| daemon.0.try_wait().unwrap().is_some());
        self.wait_for_provider(false);
    }

    /// Sends a signal to the provider: `STOP`, `CONT`.
    pub fn signal_provider(&self, signal: &str) {
        self.daemon.as_ref().unwrap().signal(signal);
    }

    /// Sends a signal to the bus: `STOP`, `CONT`.
    pub fn signal_bus(&self, signal: &str) {
        self.bus.signal(signal);
    }

    /// Kills the bus.
    pub fn kill_bus(&mut self) {
        self.bus.kill();
    }

    /// Locks the default collection.
    pub fn lock(&self) {
        let client = self.client();
        client.get_default_collection().unwrap().lock().unwrap();
    }

    /// Deletes the default collection.
    ///
    /// GNOME Keyring 42 aborts now and then when a client it does not know yet calls it, on a busy
    /// machine. Then it is started again.
    pub fn delete_collection(&mut self) {
        if self.try_to_delete_collection().is_err() {
            self.start_provider();
            self.try_to_delete_collection().unwrap();
        }
    }

    fn try_to_delete_collection(&self) -> Result<(), ::secret_service::Error> {
        let client = self.client();
        let collection = client.get_default_collection()?;
        collection.delete()
    }

    /// Adds an item as another program may, also beside one of the same name.
    pub fn add_item(&self, account: &str, secret: &[u8]) {
        let client = self.client();
        client
            .get_default_collection()
            .unwrap()
            .create_item(
                "another's",
                attributes(account),
                secret,
                false,
                "text/plain",
            )
            .unwrap();
    }

    /// Replaces the secret of the one item of this name, as another program may.
    pub fn overwrite_item(&self, account: &str, secret: &str) {
        if self.provider == Provider::GnomeKeyring {
            let store = ["store", "--label=x", "service", "age-oauth", "username"];
            self.secret_tool(&[&store[..], &[account]].concat(), secret);
            return;
        }
        // `secret-tool` creates the item anew, for which KeePassXC asks a person.
        let client = self.client();
        let found = client.search_items(attributes(account)).unwrap();
        let [only] = &*found.unlocked else {
            panic!("not exactly one item");
        };
        only.set_secret(secret.as_bytes(), "text/plain").unwrap();
    }

    /// How many unlocked items of this name there are.
    pub fn count_items(&self, account: &str) -> usize {
        let client = self.client();
        let found = client.search_items(attributes(account)).unwrap();
        found.unlocked.len()
    }

    /// All items of ours in the session, as `secret-tool` shows them.
    pub fn items(&self) -> String {
        self.secret_tool(&["search", "--all", "service", "age-oauth"], "")
    }

    /// The secret of one item, as `secret-tool` reads it.
    pub fn lookup(&self, account: &str) -> String {
        self.secret_tool(&["lookup", "service", "age-oauth", "username", account], "")
    }

    /// What `secret-tool` prints, on standard output and (attributes of a search) on standard
    /// error.
    ///
    /// It encrypts what it exchanges. Where a number of the key agreement begins with a zero byte,
    /// once in some hundred calls, KWallet refuses it, or the two do not understand each other.
    /// Then it is called again, with new numbers.
    pub fn secret_tool(&self, arguments: &[&str], input: &str) -> String {
        let is_no_answer = |said: &str| {
            said.contains("public key size is invalid")
                || (said.trim().is_empty() && arguments.first() == Some(&"lookup"))
        };
        let mut said = self.secret_tool_once(arguments, input);
        for _ in 0..4 {
            if is_no_answer(&said) {
                said = self.secret_tool_once(arguments, input);
            }
        }
        said
    }

    fn secret_tool_once(&self, arguments: &[&str], input: &str) -> String {
        let mut tool = self
            .command("secret-tool")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = tool.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = tool.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Watches the calls on the bus from now on.
    pub fn monitor(&self) -> Monitor {
        Monitor::start(self)
    }

    /// A program in this session.
    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", at("home"))
            .env("XDG_DATA_HOME", at("data"))
            .env("XDG_CONFIG_HOME", at("config"))
            .env("XDG_RUNTIME_DIR", at("run"))
            .env("TMPDIR", self.folder.path())
            .env("QT_QPA_PLATFORM", "offscreen")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// KeePassXC with a database, which is created at the first call.
    fn keepassxc(&self) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let (database, settings) = (at("practice.kdbx"), at("keepassxc.ini"));
        std::fs::write(&settings, KEEPASSXC_SETTINGS).unwrap();
        if !database.exists() {
            std::fs::write(at("practice.xml"), KEEPASSXC_DATABASE).unwrap();
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

    /// Waits until a provider is on the bus, or until it has left.
    fn wait_for_provider(&self, present: bool) {
        let connection = self.connect();
        until(|| {
            let answer = call_bus(&connection, "NameHasOwner", &"org.freedesktop.secrets");
            answer.unwrap().body().deserialize::<bool>().unwrap() == present
        });
    }

    fn connect(&self) -> zbus::blocking::Connection {
        zbus::blocking::connection::Builder::address(&*self.address)
            .and_then(|builder| builder.method_timeout(TIMEOUT).build())
            .unwrap()
    }

    /// A client of the provider that does not use the code under test.
    fn client(&self) -> Client<'static> {
        Client::connect_with_existing(EncryptionType::Plain, self.connect()).unwrap()
    }
}

fn attributes(account: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", "age-oauth"), ("username", account)])
}

fn start_bus(folder: &tempfile::TempDir, rule: &str) -> (Daemon, String) {
    let configuration = folder.path().join("bus.conf");
    let path = folder.path().display().to_string();
    std::fs::write(
        &configuration,
        BUS_CONFIGURATION
            .replace("FOLDER", &path)
            .replace("</policy>", &format!("{rule}</policy>")),
    )
    .unwrap();
    let mut bus = Daemon(
        Command::new("dbus-daemon")
            .args(["--nofork", "--print-address=1"])
            .arg(format!("--config-file={}", configuration.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut address = String::new();
    BufReader::new(bus.0.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let address = address.trim().to_owned();
    assert!(!address.is_empty(), "the bus did not start");
    (bus, address)
}

/// Calls a method of the bus itself.
fn call_bus<B>(
    connection: &zbus::blocking::Connection,
    method: &str,
    body: &B,
) -> zbus::Result<zbus::Message>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
{
    let name = "org.freedesktop.DBus";
    connection.call_method(
        Some(name),
        "/org/freedesktop/DBus",
        Some(name),
        method,
        body,
    )
}

/// What passes over a bus, one line of `dbus-monitor --profile` each.
pub struct Monitor {
    _process: Daemon,
    lines: Receiver<String>,
    marker: zbus::blocking::Connection,
    marks: u32,
}

impl Monitor {
    fn start(service: &SecretService) -> Self {
        let mut process = service
            .command("dbus-monitor")
            .args(["--address", &service.address, "--profile"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut monitor = Self {
            _process: Daemon(process),
            lines,
            marker: service.connect(),
            marks: 0,
        };
        monitor.lines_until_now();
        monitor
    }

    /// The methods that clients called which came to the bus since the last call of this, in order.
    pub fn calls_of_new_clients(&mut self) -> Vec<String> {
        let lines = self.lines_until_now();
        // Columns: kind, time, serial, sender, destination, path, interface, member.
        let calls: Vec<Vec<&str>> = lines
            .iter()
            .filter(|line| line.starts_with("mc\t"))
            .map(|line| line.split('\t').collect())
            .collect();
        let new_clients: Vec<&str> = calls
            .iter()
            .filter(|call| call[7] == "Hello")
            .map(|call| call[3])
            .collect();
        calls
            .iter()
            .filter(|call| new_clients.contains(&call[3]))
            .map(|call| call[7].to_owned())
            .collect()
    }

    /// Everything that the monitor has seen since the last call of this.
    ///
    /// A call of our own marks the end. It is repeated until the monitor shows it, because a
    /// monitor that has just started does not watch the bus yet. Its method does not exist, so that
    /// no other client calls it.
    fn lines_until_now(&mut self) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Vec::new();
        loop {
            self.marks += 1;
            let mark = format!("Mark{}", self.marks);
            assert!(call_bus(&self.marker, &mark, &()).is_err());
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
                if line.ends_with(&format!("\t{mark}")) {
                    return lines;
                }
                lines.push(line);
            }
            assert!(begun.elapsed() < TIMEOUT, "dbus-monitor shows nothing");
        }
    }
}

/// A bus that accepts connections and never answers.
pub struct SilentBus {
    folder: tempfile::TempDir,
}

impl SilentBus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("bus")).unwrap();
        // Keeps what it accepts until the test program ends.
        thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
        Self { folder }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }
}
