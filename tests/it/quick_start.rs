//! From nothing to a token, on the vault: the walk that `docs/getting-started.md` shows.

use crate::home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add, sign_in};

#[test]
fn from_nothing_to_a_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    home.run(["connections", "list"]).done().ok().out("");
    add(&home, &portal, "my_portal");
    home.run(["whoami"]).done().code(3);
    let signed_in = sign_in(&home, &portal, "my_portal").ok();
    let lines: Vec<_> = signed_in.stdout.lines().collect();
    assert_eq!(lines[0], "New access_token acquired! Expires in: 0:30:00");
    assert_eq!(lines[1], "Token is for user: your.username");
    assert!(lines[2].starts_with("Signed in until: "), "{}", lines[2]);
    home.run(["whoami"]).done().ok().out("your.username\n");
    let token = home.run(["token"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    let exported = home.run(["export-env", "--shell", "bash"]).done().ok();
    assert!(exported
        .stdout
        .contains(&format!("export ARCGIS_TOKEN='{}'", token.line())));
    let out = home.run(["logout"]).done().ok();
    assert_eq!(
        out.stdout,
        "[OK] Signed out of my_portal; the portal has revoked the sign-in.\n"
    );
    assert!(!portal.accepts_access_token(token.line()));
    home.run(["token"])
        .done()
        .code(3)
        .err_has("age-oauth login -c my_portal");
    assert_eq!(
        home.files_containing(token.line()),
        Vec::<std::path::PathBuf>::new()
    );
}

/// What the page shows under `$ COMMAND`.
#[cfg(unix)]
fn shown_on_the_page(command: &str) -> String {
    let page = include_str!("../../docs/getting-started.md").replace("\r\n", "\n");
    let (_, after) = page
        .split_once(&format!("$ {command}\n"))
        .expect("the command");
    let shown = after.split("\n$ ").next().unwrap_or_default();
    shown.split("```").next().unwrap_or_default().to_owned()
}

/// Lines without what differs from one sign-in to the next.
#[cfg(unix)]
fn comparable(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(|line| {
            for varying in [
                "Signed in until: ",
                "https://gis.example.com/portal/sharing",
            ] {
                if line.starts_with(varying) {
                    return format!("{varying}…");
                }
            }
            line.to_owned()
        })
        .collect()
}

/// A person who follows the page sees what it shows: every prompt, answer and hint.
#[cfg(unix)]
#[test]
fn the_walk_of_the_page_is_what_one_sees() {
    use crate::support::portal::{APP_ID, USER};
    use crate::support::pty::Terminal;
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.org_name = "City GIS".into());
    let mut home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    home.set("SSL_CERT_FILE", &ca);
    // As with a keychain, no key is made.
    let key = "Y2FuYXJ5IG9mIGEgdmF1bHQga2V5LCAzMiBieXRlcy4=";
    home.set("AGE_OAUTH_VAULT_KEY", key);
    let program = home.program().display().to_string();
    let start = |words: &[&str]| Terminal::start_sized(&home, &program, words, 240);

    let mut terminal = start(&["connections", "add"]);
    terminal.expect("Connection label").line("my_portal");
    let pasted = format!("{}/home/index.html", portal.url());
    terminal.expect("Portal URL").line(&pasted);
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    let example = |terminal: &Terminal| {
        let screen = terminal.screen();
        screen.replace(&portal.url(), "https://gis.example.com/portal")
    };
    assert_eq!(
        comparable(&example(&terminal)),
        comparable(&shown_on_the_page("age-oauth connections add"))
    );

    home.set("BROWSER", "true");
    let mut terminal = Terminal::start_sized(&home, &program, &["login"], 240);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    let code = portal.authorize(&url, USER).code();
    terminal.line(&code).expect("Signed in until: ");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert_eq!(
        comparable(&example(&terminal).replace(&code, "CODE")),
        comparable(&shown_on_the_page("age-oauth login"))
    );
}
