//! The Windows build, run by wine in a real pseudo-terminal, against a practice portal outside of
//! wine. `tests/run --windows` builds it and names it in variables.

mod certificate_store;
mod client_certificates;
mod machine_policy;
mod python;
mod vault;
mod windows_sign_in;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::support::home::Home;
use crate::support::portal::{app_secret, Portal, PortalVersion, APP_ID, USER};
use crate::support::pty::Terminal;

/// Wide enough for the sign-in URL to fit into one line.
const WIDE: u16 = 600;

/// Shown by `--nocapture`.
#[allow(clippy::print_stderr)] // A transcript for the person who runs this.
fn tell(text: &str) {
    eprintln!("{text}");
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: this is run by tests/run --windows"))
}

/// Starts wine's helper processes, once. Those that a test starts would keep its pipes and its
/// terminal open as long as another test uses wine. They end after this process, with the program
/// that waits for it here.
fn start_helpers(home: &Home) {
    static WAITING: OnceLock<Child> = OnceLock::new();
    WAITING.get_or_init(|| {
        let mut waiting = Command::new("wine")
            .arg("cmd")
            .env_clear()
            .envs(home.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("wine");
        // Its first letter comes when the helpers run.
        let printed = waiting.stdout.as_mut().map(|out| out.read_exact(&mut [0]));
        assert!(matches!(printed, Some(Ok(()))), "wine does not start");
        waiting
    });
}

fn in_wine(program: &str) -> Home {
    let mut home = Home::new(program);
    for name in ["WINEPREFIX", "WINEARCH", "WINEDEBUG", "WINEDLLOVERRIDES"] {
        home.set(name, &variable(name));
    }
    start_helpers(&home);
    home
}

/// A program of this system in `folder` that runs the Windows program in wine, so that tests use it
/// as they use this system's own.
fn launcher(folder: &Path, program: &str) -> String {
    let script = folder.join("age-oauth");
    let text = format!("#!/bin/sh\nexec wine '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.display().to_string()
}

/// Before this process reads the vault of the program in wine: wine's files are open to all, and
/// outside of wine, such a key is not read.
fn close_key(home: &Home) {
    let key = home.path().join("store.key/vault.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What the program prints, as plain text, because wine's console paints the screen. It goes into a
/// file, because wine's helper processes would keep a pipe open.
fn wine(home: &Home, arguments: &[&str]) -> String {
    let path = home.path().join("said");
    let said = fs::File::create(&path).unwrap();
    let status = Command::new("wine")
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(said)
        .stderr(Stdio::null())
        .status()
        .expect("wine");
    let text = fs::read_to_string(path).unwrap().replace('\r', "");
    assert!(status.success(), "{arguments:?}: {text}");
    text
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn the_guided_prompts_of_the_windows_build() {
    let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
    let credentials = variable("AGE_OAUTH_TEST_CREDENTIALS");
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = in_wine(&program);
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    let ca = portal.ca_file(home.path());

    let mut terminal =
        Terminal::start_sized(&home, "wine", &[&program, "connections", "add"], WIDE);
    terminal
        .expect("Connection label")
        .ready()
        .line("my_portal");
    terminal
        .expect("Portal URL")
        .line("http://gis.example.org/portal")
        .expect("http is not allowed");
    terminal.expect("Portal URL").line(&portal.url());
    terminal.expect("Verify SSL").line("");
    terminal
        .expect("Certificate file")
        .line(ca.to_str().unwrap());
    terminal.expect("Verify SSL: true (the portal's certificate is verified)");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line(app_secret());
    terminal.expect("[OK] OAuth Client Secret captured.");
    terminal.expect("[OK] Created connection: my_portal");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert!(!String::from_utf8_lossy(&terminal.raw()).contains(app_secret()));
    tell(&terminal.screen());

    let login = [&*program, "login", "--no-browser"];
    let mut terminal = Terminal::start_sized(&home, "wine", &login, WIDE);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, USER).code());
    terminal.expect("Token is for user: your.username");
    terminal.expect("Signed in until: ");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    tell(&terminal.screen());

    let lines = wine(&home, &[&program, "connections", "list"]);
    let id = lines.split('\t').next().unwrap_or_default();
    assert!(id.starts_with("my_portal_"), "{lines}");
    let filter = format!("age-oauth:{id}/*");

    // A second program, which knows only Credential Manager, sees the three items.
    let listed = wine(&home, &[&credentials, "list", &filter]);
    tell(&listed);
    let items: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(items.len(), 3, "{listed}");
    for (item, kind) in items.iter().zip(["binding", "client-secret", "tokens"]) {
        assert!(item[0].ends_with(&format!("/{kind}")), "{listed}");
        assert_eq!(item[0].strip_prefix("age-oauth:"), Some(item[1]));
        assert_eq!(item[2], "local");
    }
    assert_eq!(wine(&home, &[&program, "whoami"]), "your.username\n");
    let token = wine(&home, &[&program, "token"]);
    assert!(portal.accepts_access_token(token.trim()));
    wine(
        &home,
        &[&program, "connections", "remove", "my_portal", "--yes"],
    );
    assert_eq!(wine(&home, &[&credentials, "list", &filter]), "");
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn non_ascii_letters_typed_at_a_console_arrive() {
    let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
    let home = in_wine(&program);
    let arguments = [
        "connections",
        "add",
        "--no-check",
        "--client-id",
        "x",
        "--portal",
        "https://h/p",
    ];
    let words: Vec<&str> = std::iter::once(&*program).chain(arguments).collect();
    let mut terminal = Terminal::start_sized(&home, "wine", &words, WIDE);
    terminal
        .expect("Connection label")
        .ready()
        .line("Zürich 北");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client Secret").line("");
    terminal.expect("[OK] Created connection: Zürich");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    let lines = wine(&home, &[&program, "connections", "list"]);
    assert_eq!(lines.split('\t').nth(1), Some("Zürich 北"));
}
