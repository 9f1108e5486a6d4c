//! A message bus of our own with GNOME Keyring on it, unlocked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A daemon that takes longer to come up never will.
const COMES_UP: Duration = Duration::from_secs(20);

/// No services are started by name, so that nothing else answers for the keyring.
const CONFIGURATION: &str = r#"<busconfig>
<type>session</type>
<listen>unix:dir=FOLDER</listen>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>
</busconfig>
"#;

/// The daemons, ended when this is dropped.
pub(crate) struct Bus {
    address: String,
    // In this order: the keyring first, then the bus that it is on.
    _daemons: [Daemon; 2],
    _folder: tempfile::TempDir,
}

/// A child that is ended when this is dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bus {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("age-oauth-bus")
            .tempdir()
            .expect("a temporary directory");
        let (bus, address) = start_bus(folder.path());
        let keyring = start_keyring(folder.path(), &address);
        let started = Self {
            address,
            _daemons: [keyring, bus],
            _folder: folder,
        };
        started.wait_for_keyring();
        started
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn wait_for_keyring(&self) {
        let end = Instant::now() + COMES_UP;
        while !self.call("GetNameOwner", Some("string:org.freedesktop.secrets")) {
            assert!(Instant::now() < end, "the keyring does not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Calls a method of the bus itself; whether it succeeded.
    fn call(&self, method: &str, argument: Option<&str>) -> bool {
        Command::new("dbus-send")
            .arg(format!("--bus={}", self.address))
            .args(["--dest=org.freedesktop.DBus", "--print-reply"])
            .arg("/org/freedesktop/DBus")
            .arg(format!("org.freedesktop.DBus.{method}"))
            .args(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("dbus-send")
            .success()
    }

    /// The method calls that go over the bus while `work` is done, by name.
    pub(crate) fn calls_during(&self, work: impl FnOnce()) -> Vec<String> {
        let mut monitor = Daemon(
            Command::new("dbus-monitor")
                .args(["--address", &self.address, "--profile"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("dbus-monitor"),
        );
        let out = monitor.0.stdout.take().expect("a pipe");
        let mut lines = MonitorLines(BufReader::new(out));
        // The first line says that it listens. A call of our own marks the end: `GetId` is nobody else's.
        lines.next();
        work();
        self.call("GetId", None);
        let mut calls = Vec::new();
        for call in lines.by_ref().filter_map(|line| MethodCall::of(&line)) {
            if call.member == "GetId" {
                // The call that marks the end has said `Hello` on its connection, which is none of `work`'s.
                calls.retain(|known: &MethodCall| known.sender != call.sender);
                break;
            }
            calls.push(call);
        }
        calls.into_iter().map(|call| call.member).collect()
    }
}

struct MonitorLines(BufReader<ChildStdout>);

impl Iterator for MonitorLines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).expect("dbus-monitor's output");
        (read > 0).then_some(line)
    }
}

struct MethodCall {
    sender: String,
    member: String,
}

impl MethodCall {
    /// `mc`, time, serial, sender, destination, path, interface, member.
    fn of(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end().split('\t').collect();
        match fields[..] {
            ["mc", _, _, sender, _, _, _, member] => Some(Self {
                sender: sender.to_owned(),
                member: member.to_owned(),
            }),
            _ => None,
        }
    }
}

fn start_bus(folder: &Path) -> (Daemon, String) {
    let configuration = folder.join("bus.conf");
    let text = CONFIGURATION.replace("FOLDER", folder.to_str().expect("a path"));
    fs::write(&configuration, text).expect("a file");
    let mut bus = Daemon(
        Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&configuration)
            .args(["--nofork", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon"),
    );
    let out = bus.0.stdout.take().expect("a pipe");
    let mut address = String::new();
    BufReader::new(out)
        .read_line(&mut address)
        .expect("the address of the bus");
    let address = address.trim().to_owned();
    assert!(!address.is_empty(), "the bus does not come up");
    (bus, address)
}

fn start_keyring(folder: &Path, address: &str) -> Daemon {
    let home = folder.join("home");
    let runtime = folder.join("runtime");
    for place in [&home, &runtime] {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(place)
            .expect("a folder");
    }
    let mut keyring = Command::new("gnome-keyring-daemon")
        .args(["--unlock", "--components=secrets", "--foreground"])
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .env("HOME", &home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_RUNTIME_DIR", &runtime)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gnome-keyring-daemon");
    let mut stdin = keyring.stdin.take().expect("a pipe");
    stdin.write_all(b"bench").expect("a password");
    drop(stdin);
    Daemon(keyring)
}
