//! The guided prompts in a PowerShell that a person types into: it stays usable afterwards.

use crate::support::home::Home;
use crate::support::portal::{app_secret, Portal, PortalVersion, APP_ID, USER};
use crate::support::pty::Terminal;
use crate::support::pwsh;

/// At its first prompt, with our program on its `PATH`.
fn powershell(home: &mut Home) -> Terminal {
    let ours = home.program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    home.set("PATH", &format!("{ours}:{path}"));
    for (name, value) in pwsh::variables() {
        home.set(name, value);
    }
    let program = pwsh::program().display().to_string();
    let mut terminal = Terminal::start_program(home, &program, &["-NoProfile", "-NoLogo"]);
    terminal.expect(PROMPT);
    terminal
}

const PROMPT: &str = "PS /";

/// PowerShell runs a line, whose exit code is that of an interrupted program, and lets programs
/// show what is typed.
fn is_usable_after_an_interruption(terminal: &mut Terminal) {
    terminal
        .expect(PROMPT)
        .line("\"<$LASTEXITCODE>\"; stty -a")
        .expect("<130>")
        .expect(" echo ")
        .expect(PROMPT);
}

#[test]
fn a_connection_is_added_and_signed_in_by_answers() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = crate::home();
    let ca = portal.ca_file(home.path()).display().to_string();
    home.set("SSL_CERT_FILE", &ca);
    let mut terminal = powershell(&mut home);
    terminal.line("age-oauth connections add");
    terminal.expect("Connection label").line("my_portal");
    terminal.expect("Portal URL").line(&portal.url());
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    // Not shown, as the terminal checks when the test ends.
    terminal.expect("OAuth Client Secret").line(app_secret());
    terminal.expect("[OK] Created connection: my_portal");
    terminal.expect("Sign in now?").send("n");
    terminal
        .expect(PROMPT)
        .line("age-oauth login --no-browser")
        .expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, USER).code());
    terminal
        .expect("Token is for user: your.username")
        .expect(PROMPT)
        .line("age-oauth whoami; \"<$LASTEXITCODE>\"")
        .expect("your.username")
        .expect("<0>")
        .expect(PROMPT)
        .line("exit");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
}

#[test]
fn ctrl_c_at_each_kind_of_prompt_leaves_a_usable_terminal() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = crate::home();
    crate::support::scenario::add(&home, &portal, "prod");
    let mut terminal = powershell(&mut home);
    terminal
        .line("age-oauth connections add")
        .expect("Connection label")
        .interrupt();
    is_usable_after_an_interruption(&mut terminal);
    terminal.line("age-oauth connections add --no-check --label x --portal https://h/p");
    terminal.expect("Authentication type").interrupt();
    is_usable_after_an_interruption(&mut terminal);
    terminal.line("age-oauth connections add --no-check --label x --portal https://h/p");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line("abc");
    // The hidden one.
    terminal.expect("OAuth Client Secret").interrupt();
    is_usable_after_an_interruption(&mut terminal);
    terminal
        .line("age-oauth login --no-browser -c prod")
        .expect("press Enter:")
        .interrupt();
    is_usable_after_an_interruption(&mut terminal);
    assert!(!terminal.cells().hide_cursor());
    terminal.line("exit 0");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    home.run(["connections", "show", "x"]).done().code(4);
}
