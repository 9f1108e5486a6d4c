//! The tour: from adding a connection to removing it, on a practice portal that runs on this
//! machine, in a temporary directory.
//!
//! `cargo run --example tour`, with `--os-keychain` to use the system's keychain instead of the
//! vault, and `--no-browser` to let the tour sign in by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A tour that cannot go on should stop.

#[path = "../support/mod.rs"]
mod support;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use age_oauth::cli::{run, Opened, System, Terminals};
use age_oauth::Environment;

use support::portal::{Portal, PortalVersion, APP_ID, USER};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| !["--os-keychain", "--no-browser"].contains(&argument.as_str()))
    {
        say(&format!(
            "tour: unknown argument {unknown}; the arguments are --os-keychain and --no-browser"
        ));
        return ExitCode::from(2);
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let portal = Arc::new(Portal::start(PortalVersion::Enterprise114));
    let redirect_uri = format!("http://127.0.0.1:{}/callback", free_port());
    let in_browser = has_browser() && !has("--no-browser");
    portal.set(|rules| {
        rules.register_redirect(&redirect_uri);
        rules.auto_approve = !in_browser;
    });
    let tour = Tour {
        portal,
        store: folder.path().join("store").display().to_string(),
        keychain: if has("--os-keychain") { "os" } else { "vault" },
        in_browser,
    };
    match tour.run(folder.path(), &redirect_uri) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => tour.stop(code),
    }
}

/// The program's exit code for a keychain that cannot be used.
const KEYCHAIN: u8 = 5;

const LABEL: &str = "my_portal";

struct Tour {
    portal: Arc<Portal>,
    store: String,
    keychain: &'static str,
    in_browser: bool,
}

impl Tour {
    /// The error is the exit code of the command that failed.
    fn run(&self, folder: &Path, redirect_uri: &str) -> Result<(), u8> {
        let ca = self.portal.ca_file(folder).display().to_string();
        let url = self.portal.url();
        say(&format!("A practice portal runs at {url}. TLS, OAuth 2.0 and the stored secrets below are real."));

        title("Add a connection. At a terminal, `age-oauth connections add` asks for all of this.");
        self.command(&[
            "connections",
            "add",
            "--label",
            LABEL,
            "--portal",
            &url,
            "--client-id",
            APP_ID,
            "--redirect-uri",
            redirect_uri,
            "--verify-ssl",
            &ca,
        ])?;

        title("Sign in. A sign-in lasts for weeks.");
        if self.in_browser {
            say("Your browser opens the page of the practice portal. It does not know the practice certificate; continue anyway.");
        }
        self.command(&["login"])?;

        title("Show who is signed in, by asking the portal.");
        self.command(&["whoami"])?;

        title("Get an access token for a script. It lives half an hour; later calls renew it.");
        self.command(&["token"])?;

        title("Get variables for a shell: eval \"$(age-oauth export-env)\"");
        self.command(&["export-env", "--shell", "bash"])?;

        title("Show the connection.");
        self.command(&["connections", "show"])?;

        title("Remove the connection. The portal revokes the sign-in.");
        self.command(&["connections", "remove", LABEL, "--yes"])?;

        title("For your own portal:");
        say("  cargo install --path . --locked");
        say("  age-oauth connections add");
        say("  age-oauth login");
        say("  age-oauth whoami");
        say("  eval \"$(age-oauth export-env)\"");
        self.portal.assert_clean();
        Ok(())
    }

    /// Removes what the tour has stored, and says why it ends. The command has printed its error.
    fn stop(&self, code: u8) -> ExitCode {
        let quiet: Box<dyn Fn() -> Box<dyn Write + Send>> = Box::new(|| Box::new(io::sink()));
        // Where no connection was added, there is nothing to remove.
        run(
            ["age-oauth", "connections", "remove", LABEL, "--yes"],
            self.system(&quiet),
        );
        say(&format!(
            "\ntour: this command failed (exit code {code}), so the tour ends here. It leaves nothing behind."
        ));
        if code == KEYCHAIN && self.keychain == "os" {
            say("The tour needs a keychain of the system that is running and unlocked. Without --os-keychain, it uses the vault, an encrypted file.");
        }
        ExitCode::from(code)
    }

    /// Shows a command as it is typed, runs it, and shows its output.
    fn command(&self, arguments: &[&str]) -> Result<(), u8> {
        let typed: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
        say(&format!("$ age-oauth {}", typed.join(" ")));
        let output = IndentedOutput::default();
        let line = std::iter::once("age-oauth").chain(arguments.iter().copied());
        let output: Box<dyn Fn() -> Box<dyn Write + Send>> =
            Box::new(move || Box::new(output.clone()));
        match run(line, self.system(&output)) {
            0 => Ok(()),
            code => Err(code),
        }
    }

    fn system(&self, output: &dyn Fn() -> Box<dyn Write + Send>) -> System {
        let plain = if io::stdout().is_terminal() { "" } else { "1" };
        let variables = [
            ("AGE_OAUTH_HOME", self.store.as_str()),
            ("AGE_OAUTH_KEYCHAIN", self.keychain),
            ("NO_COLOR", plain),
        ];
        let real = System::real();
        let environment = Environment::process().with(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.into()))
                .collect(),
        );
        let (portal, in_browser) = (Arc::clone(&self.portal), self.in_browser);
        System {
            out: output(),
            err: output(),
            environment,
            terminal: Terminals {
                stderr: true,
                ..Terminals::default()
            },
            browse: Box::new(move |url, _| {
                if in_browser {
                    return webbrowser::open(url).is_ok().then(Opened::directly);
                }
                let (portal, url) = (Arc::clone(&portal), url.to_owned());
                std::thread::spawn(move || {
                    // The response of the listener is a page for users.
                    let _ = portal.authorize(&url, USER).follow();
                });
                Some(Opened::directly())
            }),
            ..real
        }
    }
}

/// Shows what a command writes, at once and indented.
#[derive(Clone)]
struct IndentedOutput(Arc<Mutex<bool>>);

impl Default for IndentedOutput {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(true)))
    }
}

impl Write for IndentedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at_start = self.0.lock().unwrap();
        let mut out = io::stdout().lock();
        for byte in bytes {
            if std::mem::replace(&mut *at_start, *byte == b'\n') {
                out.write_all(b"  ")?;
            }
            out.write_all(&[*byte])?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

fn say(line: &str) {
    // A closed pipe (`| head`) ends the tour.
    if writeln!(io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

fn title(text: &str) {
    say(&format!("\n# {text}"));
}

fn quoted(word: &str) -> String {
    if word.contains(' ') {
        format!("\"{word}\"")
    } else {
        word.to_owned()
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Whether a user with a browser is present: terminals, no CI, and on Unix a display.
fn has_browser() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some();
    let display =
        cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    io::stdin().is_terminal() && io::stderr().is_terminal() && !set("CI") && display
}
