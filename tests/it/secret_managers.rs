//! Client secrets from real secret managers, by the lines of docs/secret-managers.md.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{json, Value};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::add_arguments;

/// A portal and a home, in which programs of the test run with the same variables.
struct Place {
    portal: Portal,
    home: Home,
}

impl Place {
    fn new() -> Self {
        Self {
            portal: Portal::start(PortalVersion::Enterprise114),
            home: home(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a program of a secret manager, as a person does who sets it up.
    #[track_caller]
    fn run(&self, words: &[&str], input: &str) {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It may end without reading all of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        assert!(child.wait().unwrap().success(), "{words:?}");
    }

    /// Adds the application connection `service` by a line of the page.
    #[track_caller]
    fn add(&self, command: &str) {
        let ca = self.portal.ca_file(self.home.path());
        let url = self.portal.url();
        let mut words = add_arguments("service", &url, SERVICE_ID, ca.to_str().unwrap()).to_vec();
        words.extend(["--auth-type", "app", "--client-secret-command", command]);
        self.home.run(words).done().ok();
    }

    #[track_caller]
    fn token(&self) -> Outcome {
        self.home.run(["token", "--force", "-c", "service"]).done()
    }

    /// The command gives the secret, and the one that replaces it.
    #[track_caller]
    fn rotates(&self, keep: impl Fn(&str)) {
        self.token().ok();
        // Random, because the tests search their output for parts of it.
        let next = format!("rotated-{}", uuid::Uuid::new_v4().simple());
        keep(&next);
        self.portal
            .set(|rules| rules.app_mut(SERVICE_ID).secret.clone_from(&next));
        let token = self.token().ok();
        assert!(self.portal.accepts_access_token(token.line()));
    }
}

/// `GnuPG` with a folder of its own. It starts an agent, which would live on.
struct Keyring<'a>(&'a Place);

impl<'a> Keyring<'a> {
    fn new(place: &'a mut Place, passphrase: &str) -> Self {
        let folder = place.path("gnupg");
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let (folder, store) = (path(&folder), path(&place.path("store")));
        place.home.set("GNUPGHOME", &folder);
        place.home.set("PASSWORD_STORE_DIR", &store);
        let keyring = Self(place);
        let made = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback"];
        let key = [
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            "gis@example.com",
        ];
        keyring.0.run(
            &[&made[..], &key, &["default", "default", "never"]].concat(),
            "",
        );
        keyring.0.run(&["pass", "init", "gis@example.com"], "");
        keyring
    }

    fn keep(&self, secret: &str) {
        let words = ["pass", "insert", "--echo", "--force", "arcgis/prod"];
        self.0.run(&words, &format!("{secret}\n"));
    }

    fn end_agent(&self) {
        self.0.run(&["gpgconf", "--kill", "all"], "");
    }
}

impl Drop for Keyring<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command
            .args(["--kill", "all"])
            .envs(self.0.home.environment());
        let _ = command.status();
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn pass_with_gnupg_gives_the_secret() {
    let mut place = Place::new();
    let keyring = Keyring::new(&mut place, "");
    keyring.keep(service_secret());
    keyring.0.add("pass show arcgis/prod");
    keyring.0.rotates(|secret| keyring.keep(secret));
    // An entry that is not there: what `pass` says about it.
    keyring.0.run(&["pass", "rm", "--force", "arcgis/prod"], "");
    let said = keyring.0.token().code(5).stderr;
    assert!(said.contains("`pass` failed (exit code 1)"), "{said}");
    assert!(
        said.contains("it said: Error: arcgis/prod is not in the password store."),
        "{said}"
    );
}

#[test]
fn pass_fails_while_its_key_is_locked_and_works_once_it_was_unlocked() {
    let mut place = Place::new();
    let keyring = Keyring::new(&mut place, "passphrase of a test");
    keyring.keep(service_secret());
    keyring.0.add("pass show arcgis/prod");
    keyring.end_agent();
    // It cannot ask, because there is no terminal.
    let said = keyring.0.token().code(5).stderr;
    assert!(said.contains("`pass` failed (exit code "), "{said}");
    assert!(said.contains("unlock your secret manager"), "{said}");
    // What the page says to do before: use the key once where it can ask.
    let file = path(&keyring.0.path("store/arcgis/prod.gpg"));
    let unlock = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback"];
    let words = [
        &unlock[..],
        &["--passphrase", "passphrase of a test", "--decrypt", &file],
    ]
    .concat();
    keyring.0.run(&words, "");
    keyring.0.token().ok();
}

#[test]
fn pass_does_not_ask_at_a_terminal_that_a_variable_names() {
    let mut place = Place::new();
    let passphrase = uuid::Uuid::new_v4().to_string();
    let keyring = Keyring::new(&mut place, &passphrase);
    keyring.keep(service_secret());
    keyring.0.add("pass show arcgis/prod");
    keyring.end_agent();
    let line = format!(
        "export GPG_TTY=$(tty); test -c \"$GPG_TTY\" && '{}' token -c service",
        keyring.0.home.program().display()
    );
    let mut terminal = Terminal::start_program(&keyring.0.home, "/bin/sh", &["-c", &line]);
    assert_eq!(terminal.end(), 5, "{}", terminal.screen());
    let screen = terminal.screen();
    assert!(screen.contains("`pass` failed (exit code "), "{screen}");
}

#[test]
fn keepassxc_with_a_key_file_gives_the_secret() {
    let place = Place::new();
    let words = [
        "keepassxc-cli",
        "db-create",
        "-q",
        "--set-key-file",
        "gis.key",
        "gis.kdbx",
    ];
    place.run(&words, "");
    let key = [
        "-q",
        "--no-password",
        "-k",
        "gis.key",
        "-p",
        "gis.kdbx",
        "prod",
    ];
    let keep = |verb: &str, secret: &str| {
        let words = [&["keepassxc-cli", verb][..], &key].concat();
        place.run(&words, &format!("{secret}\n"));
    };
    keep("add", service_secret());
    place.add(&format!(
        "keepassxc-cli show -q --no-password -k '{}' -s -a Password '{}' prod",
        place.path("gis.key").display(),
        place.path("gis.kdbx").display()
    ));
    place.rotates(|secret| keep("edit", secret));
    fs::remove_file(place.path("gis.key")).unwrap();
    let said = place.token().code(5).stderr;
    assert!(said.contains("`keepassxc-cli` failed"), "{said}");
}

#[test]
fn systemd_creds_gives_the_secret() {
    let mut place = Place::new();
    let sealed = path(&place.path("arcgis.cred"));
    // Not the key of this machine.
    let key = path(&place.path("host.secret"));
    place.home.set("SYSTEMD_CREDENTIAL_SECRET", &key);
    let keep = |secret: &str| {
        let words = [
            "systemd-creds",
            "encrypt",
            "--with-key=host",
            "--name=arcgis",
            "-",
            &sealed,
        ];
        place.run(&words, secret);
    };
    keep(service_secret());
    place.add(&format!("systemd-creds decrypt --name=arcgis '{sealed}' -"));
    place.rotates(keep);
}

/// A connection that takes the lines of the page one after the other, and their programs, which
/// print nothing.
pub struct Lines {
    place: Place,
    pub lines: Vec<String>,
}

impl Lines {
    pub fn new() -> Self {
        let page = include_str!("../../docs/secret-managers.md");
        let tables = page
            .split("\n## ")
            .find(|part| part.starts_with("Lines for"));
        let rows = tables
            .unwrap()
            .lines()
            .filter_map(|row| row.split(" | ").nth(1));
        let lines = rows.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        let place = Place::new();
        fs::create_dir(place.path("bin")).unwrap();
        for line in &lines {
            let program = place.path("bin").join(line.split(' ').next().unwrap());
            fs::write(&program, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        place.add("/bin/true");
        Self { place, lines }
    }

    pub fn home(&self) -> &Home {
        &self.place.home
    }

    /// With the programs of the secret managers.
    pub fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.place.path("bin").display())
    }

    /// What is to be stored: what a POSIX shell makes of the line, which has the same two quotation
    /// marks.
    pub fn words(&self, line: &str) -> Value {
        let script = format!("printf '%s\\n' {line}");
        let split = Command::new("/bin/sh").args(["-c", &script]).output();
        let split = String::from_utf8(split.unwrap().stdout).unwrap();
        let mut words: Vec<_> = split.lines().map(str::to_owned).collect();
        words[0] = path(&self.place.path("bin").join(&words[0]));
        json!(words)
    }
}

#[test]
fn every_line_of_the_page_arrives_between_double_quotation_marks_of_bash() {
    let lines = Lines::new();
    let program = lines.home().program().display();
    for line in &lines.lines {
        let mut command = Command::new("bash");
        let typed =
            format!("'{program}' connections edit service --client-secret-command \"{line}\"");
        command
            .args(["-c", &typed])
            .env_clear()
            .envs(lines.home().environment())
            .env("PATH", lines.path());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{line}: {out:?}");
        let shown = lines
            .home()
            .run(["connections", "show", "service", "--json"]);
        let stored = &shown.done().ok().json()["client_secret_command"];
        assert_eq!(*stored, lines.words(line), "{line}");
    }
}
