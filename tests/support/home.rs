//! A throwaway home with a store of its own, and a way to run the real program in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::secret_scan::{self, SecretKind};

/// A program that takes longer is assumed to hang.
const HANGS: Duration = Duration::from_secs(180);

/// Variables that every program needs. The rest of this process's environment is not inherited.
const INHERITED: &[&str] = if cfg!(windows) {
    // The system libraries of Windows are found by the first two.
    &[
        "SystemRoot",
        "SystemDrive",
        "PATH",
        "PATHEXT",
        "COMSPEC",
        "TEMP",
        "USERPROFILE",
    ]
} else {
    &["PATH"]
};

/// A throwaway home. Everything in it is deleted when it is dropped.
pub struct Home {
    _folder: tempfile::TempDir,
    place: PathBuf,
    program: PathBuf,
    /// A program with its first arguments, which starts the program under test.
    launcher: Vec<OsString>,
    variables: Vec<(String, String)>,
    /// Files and folders into which the test itself puts secrets.
    plain: Mutex<Vec<PathBuf>>,
}

impl Home {
    /// A new home for `program`. Secrets go to the vault unless a test says otherwise.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("age-oauth-home")
            .tempdir()
            .expect("a temporary directory");
        secret_scan::register_home(folder.path());
        Self {
            place: folder.path().to_owned(),
            _folder: folder,
            program: program.into(),
            launcher: Vec::new(),
            variables: vec![("AGE_OAUTH_KEYCHAIN".into(), "vault".into())],
            plain: Mutex::default(),
        }
    }

    /// The home directory.
    pub fn path(&self) -> &Path {
        &self.place
    }

    /// The store's root.
    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Sets a variable for every run.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.into()));
    }

    /// Lets every run be started by another program, which gets the program under test and its
    /// arguments behind these words. Without words, it is started as usual again.
    pub fn start_by<S: AsRef<OsStr>>(&mut self, words: &[S]) {
        self.launcher = words.iter().map(|word| word.as_ref().to_owned()).collect();
    }

    /// A home whose every path has blanks and letters of several scripts in it, the program's own
    /// included.
    pub fn with_difficult_paths(program: impl AsRef<Path>) -> Self {
        let mut home = Self::new(program.as_ref());
        let folder = home.path().join("María López & Söhne (数据)");
        fs::create_dir(&folder).expect("a folder");
        let copy = folder.join(program.as_ref().file_name().expect("a program"));
        fs::copy(program.as_ref(), &copy).expect("a copy");
        // No test puts a secret into the program, whose code may hold what a test takes for one.
        home.allow_secrets_in(&copy);
        home.program = copy;
        home.place = folder;
        home
    }

    /// The environment of every run: only what every program needs is inherited.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).into(), std::env::var(name).ok()?)))
            .collect();
        all.extend([
            ("HOME".into(), self.path().display().to_string()),
            ("AGE_OAUTH_HOME".into(), self.store().display().to_string()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TZ".into(), "UTC".into()),
        ]);
        all.extend(self.variables.iter().cloned());
        all
    }

    /// A run of the program with these arguments.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut words = self.launcher.iter().map(OsString::as_os_str);
        let mut command = match words.next() {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.path());
        Run {
            command,
            input: None,
        }
    }

    /// Says that the test itself puts secrets there. Everywhere else in the home, none may be
    /// found.
    pub fn allow_secrets_in(&self, path: impl AsRef<Path>) {
        self.plain
            .lock()
            .expect("a list")
            .push(self.path().join(path));
    }

    /// Every file below the home.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect_files(self.path(), &mut found);
        found
    }

    /// Files below the home that contain the secret in any encoding.
    pub fn files_containing(&self, secret: &str) -> Vec<PathBuf> {
        let needles = secret_scan::encodings(secret);
        self.files()
            .into_iter()
            .filter(|path| {
                let bytes = fs::read(path).unwrap_or_default();
                needles.iter().any(|needle| contains(&bytes, needle))
            })
            .collect()
    }
}

/// Checks that no secret of the whole test run is left in any file.
impl Drop for Home {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let plain = self.plain.lock().expect("a list").clone();
        for path in self.files() {
            if !plain.iter().any(|one| path.starts_with(one)) {
                let bytes = fs::read(&path).unwrap_or_default();
                secret_scan::assert_no_secret_but(&[], &path.display().to_string(), &bytes);
            }
        }
        assert_eq!(
            secret_scan::seen_in_processes(),
            None,
            "a process shows a secret"
        );
    }
}

fn collect_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect_files(&entry.path(), found),
            // Links, FIFOs and devices hold nothing, and opening one may block.
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

/// A run that is being prepared.
pub struct Run {
    command: Command,
    input: Option<String>,
}

impl Run {
    /// Sets a variable for this run.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable from this run.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The content of standard input; by default it is empty.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Starts it with pipes, for tests that interact with it while it runs.
    pub fn spawn(mut self) -> Child {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Wine sometimes fails to start a process (`ERROR_INTERNAL_ERROR`, 1359) that it starts a
        // moment later.
        for _ in 0..3 {
            match self.command.spawn() {
                Err(why) if cfg!(windows) && why.raw_os_error() == Some(1359) => {}
                started => return started.expect("the program starts"),
            }
        }
        self.command.spawn().expect("the program starts")
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn done(self) -> Outcome {
        let input = self.input.clone();
        let shows_tokens = self.command.get_args().any(|word| {
            ["token", "export-env", "exec"]
                .map(OsStr::new)
                .contains(&word)
        });
        let mut child = self.spawn();
        let mut stdin = child.stdin.take().expect("a pipe");
        if let Some(text) = input {
            // A program may end without reading, which breaks the pipe.
            let _ = stdin.write_all(text.as_bytes());
        }
        drop(stdin);
        let outcome = Outcome::of(child);
        let allowed: &[SecretKind] = if shows_tokens {
            &[SecretKind::Access]
        } else {
            &[]
        };
        secret_scan::assert_no_secret_but(allowed, "standard output", outcome.stdout.as_bytes());
        outcome
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Waits for a started program; one that hangs is killed and fails the test.
    #[track_caller]
    pub fn of(mut child: Child) -> Self {
        let out = collect(child.stdout.take().expect("a pipe"));
        let err = collect(child.stderr.take().expect("a pipe"));
        let end = Instant::now() + HANGS;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > end {
                child.kill().expect("a child that can be ended");
                panic!("the program hangs");
            }
            thread::sleep(Duration::from_millis(2));
        };
        let outcome = Self {
            code: status.code().unwrap_or(-1),
            stdout: out.join().expect("a reader"),
            stderr: err.join().expect("a reader"),
        };
        secret_scan::assert_no_secret_but(&[], "standard error", outcome.stderr.as_bytes());
        secret_scan::assert_no_secret_but(
            &[SecretKind::Access],
            "standard output",
            outcome.stdout.as_bytes(),
        );
        outcome
    }

    /// Checks that it ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Checks that it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "\nstdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Checks that standard output is exactly this.
    #[track_caller]
    pub fn out(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "\nstderr: {}", self.stderr);
        self
    }

    /// Checks that standard error contains this.
    #[track_caller]
    pub fn err_has(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no `{text}` in:\n{}",
            self.stderr
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|why| panic!("{why}: {}\n{}", self.stdout, self.stderr))
    }

    /// The error object on standard error.
    #[track_caller]
    pub fn error_json(&self) -> serde_json::Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|why| panic!("{why}: {}", self.stderr))
    }

    /// Standard output without its line end.
    pub fn line(&self) -> &str {
        self.stdout.trim_end()
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before the pipe broke is enough.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
