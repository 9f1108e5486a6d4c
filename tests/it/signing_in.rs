//! A sign-in from its beginning to its end: what is tried before the browser opens, what the
//! browser gets, what comes back from it or is pasted, and what is left when it fails.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;

use url::Url;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Destination, Portal, PortalVersion, USER};
use crate::support::scenario::{add, add_with, sign_in, start_login};

/// A loopback redirect URI at a port that was free a moment ago, registered at this portal.
fn register_loopback(portal: &Portal, host: &str) -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let redirect_uri = format!("http://{host}:{port}/callback");
    portal.set(|rules| rules.register_redirect(&redirect_uri));
    redirect_uri
}

/// A portal and a connection `prod` whose authorization code comes back to a port of this machine.
pub(crate) fn with_loopback(host: &str) -> (Portal, Home, Url) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let redirect_uri = register_loopback(&portal, host);
    let home = home();
    add_with(&home, &portal, "prod", &["--redirect-uri", &redirect_uri]);
    (portal, home, redirect_uri.parse().unwrap())
}

/// Starts a sign-in that waits for the browser, and returns the address to open.
fn started(home: &Home) -> (Child, Url) {
    let (child, printed) = start_login(home, &[]);
    let url = printed["authorize_url"].as_str().unwrap();
    (child, url.parse().unwrap())
}

fn state(url: &Url) -> String {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned()
}

#[test]
fn a_vault_that_cannot_be_opened_is_reported_before_the_browser() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home();
    home.set("AGE_OAUTH_VAULT_PASSPHRASE", "the first passphrase");
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    for arguments in [&["login"][..], &["login", "--switch-user"]] {
        let out = home
            .run(arguments)
            .env("AGE_OAUTH_VAULT_PASSPHRASE", "another passphrase")
            .input("some-code-1234\n")
            .done()
            .code(5);
        assert!(!out.stderr.contains("oauth2/authorize"), "{}", out.stderr);
    }
    assert_eq!(portal.live_refresh_tokens(), 1);
    home.run(["token"]).done().ok();
}

#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn a_keychain_that_stores_nothing_is_reported_before_the_browser() {
    use crate::support::portal::APP_ID;
    use crate::support::scenario::add_arguments;
    use crate::support::secret_service::{Provider, SecretService};
    let portal = Portal::start(PortalVersion::Enterprise114);
    let refused = |home: &Home, address: Option<&str>, reason: &str| {
        for arguments in [
            &["login", "--json"][..],
            &["login", "--json", "--switch-user"],
        ] {
            let mut run = home.run(arguments).input("some-code-1234\n");
            if let Some(address) = address {
                run = run.env("DBUS_SESSION_BUS_ADDRESS", address);
            }
            let out = run.done().code(5).out("");
            assert_eq!(out.error_json()["error"]["reason"], reason);
        }
    };
    let session = SecretService::start(Provider::GnomeKeyring);
    let mut home = home();
    session.use_in(&mut home);
    home.set("AGE_OAUTH_KEYCHAIN", "os");
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    refused(&home, Some("unix:path=/nonexistent"), "missing");
    session.lock();
    refused(&home, None, "locked");
    // The connection is created, and its sign-in does not begin.
    let (ca, url) = (portal.ca_file(home.path()), portal.url());
    let mut arguments = add_arguments("two", &url, APP_ID, ca.to_str().unwrap()).to_vec();
    arguments.push("--login");
    let out = home.run(arguments).input("some-code-1234\n").done().code(5);
    assert!(!out.stderr.contains("oauth2/authorize"), "{}", out.stderr);

    let mut empty = SecretService::start(Provider::GnomeKeyring);
    empty.delete_collection();
    refused(&home, Some(empty.address()), "no_collection");
    assert_eq!(portal.live_refresh_tokens(), 1);
}

/// On a pipe, where it cannot be asked for again.
#[test]
fn what_is_not_a_code_is_reported_as_that() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    for text in ["x\n", "two words\n", "https://\n"] {
        let login = home.run(["login"]).input(text).done();
        login.code(3).err_has("is not a code");
    }
    assert_eq!(portal.grants().len(), 0);
}

#[test]
fn a_sign_in_that_cannot_be_stored_after_all_is_revoked() {
    let (portal, home, _) = with_loopback("127.0.0.1");
    let (child, url) = started(&home);
    let vault = home.store().join("vault");
    std::fs::rename(&vault, home.path().join("old-vault")).unwrap();
    std::fs::create_dir(&vault).unwrap();
    let page = portal.authorize(url.as_str(), USER).follow().unwrap();
    assert_eq!(page.title().as_deref(), Some("Signed in"));
    assert_ne!(Outcome::of(child).code, 0);
    assert_eq!(portal.live_refresh_tokens(), 0);
}

#[test]
fn an_error_at_the_callback_is_reported_as_what_it_is() {
    let (portal, home, redirect_uri) = with_loopback("127.0.0.1");
    for (query, code, message, hint) in [
        (
            "error=invalid_request&error_description=Invalid%20redirect_uri",
            7,
            redirect_uri.as_str(),
            redirect_uri.as_str(),
        ),
        (
            "error=invalid_request&error_description=Invalid%20client_id",
            7,
            "client ID",
            "--client-id",
        ),
        (
            "error=unauthorized_client",
            7,
            "does not let this application",
            "administrator",
        ),
        ("error=access_denied", 7, "declined", "login"),
        (
            "error=temporarily_unavailable&error_description=busy",
            6,
            "(busy)",
            "later",
        ),
        ("error=server_error", 6, "not available now", "later"),
        (
            "error=invalid_scope&error_description=No",
            7,
            "in place of a code: No",
            "login",
        ),
    ] {
        let (child, url) = started(&home);
        let location = format!("{redirect_uri}?{query}&state={}", state(&url));
        Destination::Redirected { location }.follow().unwrap();
        let error = Outcome::of(child).code(code).error_json()["error"].clone();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        assert!(text("message").contains(message), "{query}: {error}");
        assert!(text("hint").contains(hint), "{query}: {error}");
        assert!(!text("message").contains("this code"), "{error}");
    }
    assert_eq!(portal.grants(), [] as [String; 0]);
}

/// A mix-up: a dishonest portal forwards the browser to another one, whose response arrives here.
#[test]
fn rule_12_a_callback_that_names_another_issuer_is_refused() {
    let (portal, home, redirect_uri) = with_loopback("127.0.0.1");
    let (child, url) = started(&home);
    let location = format!(
        "{redirect_uri}?code=abcdef&state={}&iss=https%3A%2F%2Fother.example%2Fportal",
        state(&url)
    );
    let page = Destination::Redirected { location }.follow().unwrap();
    assert_eq!(page.title().as_deref(), Some("Not this portal"));
    let error = Outcome::of(child).code(3).error_json()["error"].clone();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("`other.example`"),
        "{error}"
    );
    assert_eq!(portal.grants(), [] as [String; 0]);
}

#[test]
fn rule_12_a_pasted_address_of_another_portal_is_not_sent_anywhere() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let other = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    for scheme in ["https://", ""] {
        let address = other.rest("oauth2/approval?code=some-code-1234");
        let address = address.replacen("https://", scheme, 1);
        home.run(["login"])
            .input(format!("{address}\n"))
            .done()
            .code(3)
            .err_has("is not the portal of this connection");
    }
    assert_eq!(portal.grants(), [] as [String; 0]);
}

#[test]
fn connections_to_two_portals_do_not_share_a_redirect_uri_unnoticed() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let uri = "http://127.0.0.1:53682/callback";
    add_with(&home, &portal, "one", &["--redirect-uri", uri]);
    let add = |label: &str, portal: &str, uri: &str| {
        home.run([
            "connections",
            "add",
            "--no-check",
            "--label",
            label,
            "--portal",
            portal,
            "--client-id",
            "c",
            "--redirect-uri",
            uri,
        ])
        .done()
        .ok()
    };
    let same_portal = add("same portal", &portal.url(), uri);
    assert!(
        !same_portal.stderr.contains("warning"),
        "{}",
        same_portal.stderr
    );
    add("two", "https://two.example/portal", uri)
        .err_has("has the redirect URI of `")
        .err_has("edit two --redirect-uri http://127.0.0.1:53683/callback");
    let three = add(
        "three",
        "https://three.example/portal",
        "http://127.0.0.1:53684/callback",
    );
    assert!(!three.stderr.contains("warning"), "{}", three.stderr);
    home.run(["connections", "edit", "three", "--redirect-uri", uri])
        .done()
        .ok()
        .err_has("has the redirect URI of `");
    let found = home.run(["doctor", "--offline"]).done();
    assert!(
        found.stdout.contains("has the redirect URI of `"),
        "{}",
        found.stdout
    );
}

/// What else arrives is told, and the sign-in goes on, at either address of `localhost`.
#[test]
fn what_arrives_in_place_of_the_callback_is_told() {
    for host in ["127.0.0.1", "localhost"] {
        let (portal, home, redirect_uri) = with_loopback(host);
        let (child, url) = started(&home);
        let port = redirect_uri.port().unwrap();
        let mut idle = Vec::new();
        for _ in 0..100 {
            idle.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
        }
        let mut secure = TcpStream::connect(("127.0.0.1", port)).unwrap();
        secure.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
        // The answer to a TLS handshake is the end of the connection.
        let _ = secure.read(&mut [0]);
        let page = portal.authorize(url.as_str(), USER).follow().unwrap();
        assert_eq!(page.title().as_deref(), Some("Signed in"));
        let out = Outcome::of(child).ok();
        assert!(out.stderr.contains("asked for https"), "{}", out.stderr);
        drop(idle);
    }
}

#[cfg(unix)]
mod on_a_terminal {
    use super::*;
    use crate::support::pty::Terminal;

    #[test]
    fn a_code_that_cannot_be_used_is_asked_for_again() {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let other = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        add(&home, &portal, "prod");
        let mut terminal = Terminal::start(&home, &["login", "--no-browser"]);
        terminal.expect("press Enter:");
        let url = terminal.word(&portal.rest("oauth2/authorize"));
        terminal.line("two words").expect("This is not a code");
        terminal
            .line(&other.rest("oauth2/approval?code=some-code-1234"))
            .expect("is not the portal of this connection");
        terminal
            .line("a-wrong-code-1234")
            .expect("does not accept this code")
            .expect("open the address above again");
        terminal
            .line("a-wrong-code-1234")
            .expect("was already sent");
        assert_eq!(portal.grants().len(), 1);
        let code = portal.authorize(&url, USER).code();
        let (begin, end) = code.split_at(code.len() / 2);
        terminal.send(&format!("\u{1b}[200~{begin}\r{end}\u{1b}[201~\r"));
        terminal.expect("Token is for user");
        assert_eq!(terminal.end(), 0, "{}", terminal.screen());
        assert_eq!(portal.grants().len(), 2);
    }

    #[test]
    fn the_first_sign_in_says_whose_it_is() {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        add(&home, &portal, "prod");
        let told = format!("first sign-in of `prod`. Scripts that use it act as `{USER}`");
        sign_in(&home, &portal, "prod").ok().err_has(&told);
        let again = sign_in(&home, &portal, "prod").ok();
        assert!(!again.stderr.contains("first sign-in"), "{}", again.stderr);
    }

    /// As QGIS's plugin starts the program: without a terminal, and with pipes.
    #[cfg(not(target_os = "macos"))]
    #[test]
    fn a_program_with_windows_can_have_the_browser_opened() {
        use std::fs;
        use std::io::{BufRead as _, BufReader};
        use std::os::unix::fs::PermissionsExt;

        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = home();
        add(&home, &portal, "prod");
        let (browser, opened) = (home.path().join("browser"), home.path().join("opened"));
        let script = format!("#!/bin/sh\ntouch '{}'\n", opened.display());
        fs::write(&browser, script).unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
        home.set("BROWSER", browser.to_str().unwrap());
        sign_in(&home, &portal, "prod").ok();
        assert!(!opened.exists());

        let mut child = home.run(["login", "--json", "--open-browser"]).spawn();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        lines.read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        crate::support::until(|| opened.exists());
        let code = portal.authorize(started["authorize_url"].as_str().unwrap(), USER);
        writeln!(child.stdin.take().unwrap(), "{}", code.code()).unwrap();
        assert!(child.wait().unwrap().success());

        home.run(["login", "--open-browser", "--no-browser"])
            .done()
            .code(2);
    }

    /// Rule 1: other users can read the arguments of the browser, but not the page that it opens.
    #[cfg(not(target_os = "macos"))]
    #[test]
    fn rule_1_the_browser_gets_the_address_in_a_private_page() {
        use crate::support::until;
        use std::fs;
        use std::os::unix::fs::PermissionsExt;

        let portal = Portal::start(PortalVersion::Enterprise114);
        let mut home = home();
        add(&home, &portal, "prod");
        let (browser, opened) = (home.path().join("firefox"), home.path().join("opened"));
        let copy = home.path().join("copy");
        let script = format!(
            "#!/bin/sh\nfile=${{1#file://}}\nstat -c %a \"$file\" \"${{file%/*}}\" >'{copy}.modes'\ncp \"$file\" '{copy}'\nprintf '%s\\n' \"$@\" >'{opened}'\n",
            copy = copy.display(),
            opened = opened.display()
        );
        fs::write(&browser, script).unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
        home.set("BROWSER", browser.to_str().unwrap());

        for interrupted in [false, true] {
            let _ = fs::remove_file(&opened);
            let mut terminal = Terminal::start(&home, &["login"]);
            terminal.expect("press Enter:");
            let url = terminal.word(&portal.rest("oauth2/authorize"));
            until(|| fs::read_to_string(&opened).is_ok_and(|text| text.ends_with('\n')));
            let argument = fs::read_to_string(&opened).unwrap();
            assert!(argument.starts_with("file:///"), "{argument}");
            assert!(!argument.contains("state"), "{argument}");
            assert_eq!(
                fs::read_to_string(home.path().join("copy.modes")).unwrap(),
                "600\n700\n"
            );
            let page = fs::read_to_string(&copy).unwrap();
            assert!(page.contains(&url.replace('&', "&amp;")), "{page}");
            let path = Url::parse(argument.trim()).unwrap().to_file_path().unwrap();
            assert!(path.exists());
            if interrupted {
                terminal.interrupt();
                assert_eq!(terminal.end(), 130);
            } else {
                terminal.line(&portal.authorize(&url, USER).code());
                assert_eq!(terminal.end(), 0, "{}", terminal.screen());
            }
            assert!(!path.parent().unwrap().exists());
        }
    }
}
