//! A real PowerShell: running a script, and what its logs hold of it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::home::Home;

/// Names the program.
const VARIABLE: &str = "AGE_OAUTH_TEST_PWSH";

/// Both logs of PowerShell and its transcripts on, as security baselines demand.
fn policies(transcripts: &Path) -> String {
    serde_json::json!({
        "PowerShellPolicies": {
            "ScriptBlockLogging": {"EnableScriptBlockLogging": true},
            "ModuleLogging": {"EnableModuleLogging": true, "ModuleNames": ["*"]},
            "Transcription": {"EnableTranscripting": true, "OutputDirectory": transcripts},
        },
        "LogLevel": "verbose",
    })
    .to_string()
}

/// PowerShell: the variable, else `PATH`, else the copy beside the checkout, unpacked once.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| find().expect("no pwsh here: set AGE_OAUTH_TEST_PWSH to the program, or put it on PATH (https://aka.ms/powershell); tests/run goes on without it"))
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&folders)
        .map(|folder| folder.join("pwsh"))
        .find(|path| path.is_file());
    on_path.or_else(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(top.join("../shared/tools/unpack-pwsh"))
            .arg(top.join("target/tools"))
            .output()
            .ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        Some(Path::new(folder.trim_end()).join("pwsh"))
    })
}

/// What every PowerShell of the tests gets: nothing of the caller's but `PATH`.
fn prepared(command: &mut Command, home: &Home, script: &str) {
    let ours = home.program().parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(["-NoProfile", "-NonInteractive", "-Command", script])
        .env_clear()
        .envs(home.environment())
        .envs(variables())
        .env("PATH", format!("{ours}:{path}"))
        .current_dir(home.path());
}

/// Without ICU, reports to Microsoft, and colors.
pub fn variables() -> [(&'static str, &'static str); 4] {
    [
        ("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1"),
        ("POWERSHELL_TELEMETRY_OPTOUT", "1"),
        ("POWERSHELL_UPDATECHECK", "Off"),
        ("NO_COLOR", "1"),
    ]
}

/// Runs a script, with our program on its `PATH`.
pub fn run(home: &Home, script: &str) -> Output {
    let mut command = Command::new(program());
    prepared(&mut command, home, script);
    command.output().expect("PowerShell")
}

/// The lines that a script prints; fails if anything is on standard error.
#[track_caller]
pub fn lines(home: &Home, script: &str) -> Vec<String> {
    let out = run(home, script);
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{out:?}");
    text(&out).lines().map(str::to_owned).collect()
}

/// Its standard output.
pub fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The script in a session with both logs on, and everything that was logged.
pub fn logged(home: &Home, script: &str) -> (Output, Vec<u8>) {
    let recorded = recorded(home, script, &[]);
    (recorded.out, recorded.log)
}

/// What a script left behind.
pub struct Recorded {
    /// What it printed, and its exit code.
    pub out: Output,
    /// The script block log and the module log.
    pub log: Vec<u8>,
    /// The transcripts.
    pub transcript: Vec<u8>,
}

/// The script in a session with these variables that everything records.
///
/// PowerShell writes to `/dev/log`. A mount namespace gives it a `/dev` of its own, so that copies
/// of a test do not meet, and the machine's log gets nothing.
pub fn recorded(home: &Home, script: &str, variables: &[(&str, &str)]) -> Recorded {
    let transcripts = tempfile::tempdir().expect("a folder");
    let settings = transcripts.path().join("powershell.config.json");
    fs::write(&settings, policies(transcripts.path())).expect("a file");
    let devices = tempfile::tempdir().expect("a folder");
    let log = Collector::at(&devices.path().join("log"));
    // Bind mounts, because a namespace of a user may create no devices.
    let mount = r#"dev=$1; shift
for one in null zero random urandom tty; do : >"$dev/$one"; mount --bind "/dev/$one" "$dev/$one"; done
for one in fd stdin stdout stderr; do ln -s "$(readlink "/dev/$one")" "$dev/$one"; done
mkdir "$dev/shm"; mount --rbind "$dev" /dev; exec "$@""#;
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-ec", mount, "sh"])
        .arg(devices.path())
        .arg(program())
        .arg("-SettingsFile")
        .arg(&settings);
    prepared(&mut command, home, script);
    command.envs(variables.iter().copied());
    let out = command.output().expect("unshare");
    fs::remove_file(settings).expect("the settings");
    Recorded {
        out,
        log: log.end(),
        transcript: content(transcripts.path()),
    }
}

/// The content of all files in a folder.
fn content(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let read = |entry: fs::DirEntry| match entry.path() {
        below if below.is_dir() => content(&below),
        file => fs::read(file).expect("a file"),
    };
    entries.flat_map(read).collect()
}

/// Receives what is sent to a log socket.
struct Collector {
    ended: Arc<AtomicBool>,
    reader: thread::JoinHandle<Vec<u8>>,
}

impl Collector {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a limit");
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let reader = thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
            loop {
                // What was sent before the end is still in the socket, so it is read until it is
                // empty.
                let last = over.load(Ordering::SeqCst);
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        all.extend_from_slice(&buffer[..length]);
                        all.push(b'\n');
                    }
                    Err(_) if last => return all,
                    Err(_) => {}
                }
            }
        });
        Self { ended, reader }
    }

    fn end(self) -> Vec<u8> {
        self.ended.store(true, Ordering::SeqCst);
        self.reader.join().expect("a reader")
    }
}
