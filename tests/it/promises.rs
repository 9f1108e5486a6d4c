//! Further tests of the rules of `docs/security.md`: each catches breaks of `tests/breaks` that the
//! tests of one subject alone do not notice.

use std::collections::BTreeSet;

use url::Url;

use crate::support::home::Home;
use crate::support::portal::{Endpoint, ForeignServer, Portal, PortalVersion, USER};
use crate::support::scenario::{add, add_with, sign_in, start_login};
use crate::{home, signed_in};

/// The address of a sign-in that is begun and not finished.
fn begun(home: &Home, label: &str) -> Url {
    let (mut child, printed) = start_login(home, &["-c", label, "--timeout", "60s"]);
    child.kill().unwrap();
    child.wait().unwrap();
    printed["authorize_url"].as_str().unwrap().parse().unwrap()
}

/// A connection whose authorization code comes back to this machine.
fn add_loopback(home: &Home, portal: &Portal, label: &str) -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!(
        "http://127.0.0.1:{}/callback",
        free.local_addr().unwrap().port()
    );
    drop(free);
    portal.set(|rules| rules.register_redirect(&uri));
    add_with(home, portal, label, &["--redirect-uri", &uri]);
    uri
}

/// Rule 1: the form is for the person. The address names the application and what it asks for, and
/// nothing that would fill in a field.
#[test]
fn rule_1_the_address_fills_in_nothing() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    let url = begun(&home, "prod");
    let names: BTreeSet<_> = url
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    let known = [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "expiration",
        "redirect_uri",
        "response_type",
        "state",
    ];
    assert_eq!(names, known.map(str::to_owned).into());
    assert_eq!(url.username(), "");
}

/// Rule 2, for a code that comes back to this machine. The challenge is not the verifier, which
/// only the portal gets.
#[test]
fn rule_2_a_code_for_the_loopback_address_is_bound_too() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let uri = add_loopback(&home, &portal, "prod");
    let (child, printed) = start_login(&home, &["-c", "prod"]);
    let url: Url = printed["authorize_url"].as_str().unwrap().parse().unwrap();
    let parameter = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    assert_eq!(parameter("redirect_uri"), uri);
    assert_eq!(parameter("code_challenge_method"), "S256");
    portal.authorize(url.as_str(), USER).follow().unwrap();
    crate::support::home::Outcome::of(child).ok();
    let sent = portal.requests_to(Endpoint::Code);
    let verifier = sent[0].param("code_verifier").unwrap();
    assert_ne!(verifier, parameter("code_challenge"));
    assert_ne!(verifier, parameter("state"));
}

/// Rule 5: the program adds portals of every version and signs in there, with PKCE everywhere.
#[test]
fn rule_5_the_program_works_with_portals_of_every_version() {
    for version in [
        PortalVersion::Online,
        PortalVersion::Enterprise105,
        PortalVersion::Enterprise106,
        PortalVersion::Enterprise1091,
        PortalVersion::Enterprise114,
    ] {
        let (portal, home) = (Portal::start(version), home());
        add(&home, &portal, "prod");
        sign_in(&home, &portal, "prod").ok();
        home.run(["token", "--force"]).done().ok();
        let sent = portal.requests_to(Endpoint::Code);
        assert_eq!(sent.len(), 1, "{version:?}");
        let verifier = sent[0].param("code_verifier").unwrap_or_default();
        assert_eq!(verifier.len(), 43, "{version:?}");
    }
}

/// Rule 7: Enter keeps the stored sign-in.
#[cfg(unix)]
#[test]
fn rule_7_the_prompt_defaults_to_no() {
    use crate::support::portal::OTHER_USER;
    use crate::support::pty::Terminal;
    let (portal, home) = signed_in();
    let mut terminal = Terminal::start(&home, &["login", "--no-browser"]);
    terminal.expect("press Enter:");
    let url = terminal.word(&portal.rest("oauth2/authorize"));
    terminal.line(&portal.authorize(&url, OTHER_USER).code());
    terminal.expect("Replace that sign-in?").send("\r");
    assert_eq!(terminal.end(), 3, "{}", terminal.screen());
    home.run(["whoami"]).done().ok().out(&format!("{USER}\n"));
}

/// Rule 24: the portal is its scheme, host and port. A server at another port of the same host is
/// another server, whatever its path.
#[test]
fn rule_24_another_port_of_the_portals_host_is_another_server() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::claiming(&portal);
    let own: Url = portal.url().parse().unwrap();
    let port = foreign.url().parse::<Url>().unwrap().port();
    let mut other = own.clone();
    other.set_port(port).unwrap();
    let address = format!("{other}/sharing/rest/community/self");
    for words in [&["api", &address][..], &["token", "--for", &address]] {
        home.run(words).done().code(7).out("");
    }
    foreign.assert_no_connection();
}

/// Rule 26: neither another program nor the browser inherits a variable that holds a secret.
#[cfg(unix)]
#[test]
fn rule_26_children_inherit_no_secret_variable() {
    use crate::support::pty::Terminal;
    use std::os::unix::fs::PermissionsExt;
    let (portal, mut home) = signed_in();
    let variables = [
        ("AGE_OAUTH_CLIENT_SECRET", "canary-of-a-client-secret"),
        (
            "AGE_OAUTH_VAULT_KEY",
            "Y2FuYXJ5IG9mIGEgdmF1bHQga2V5LCAzMiBieXRlcy4=",
        ),
        ("AGE_OAUTH_VAULT_PASSPHRASE", "canary of a passphrase"),
    ];
    for (name, value) in variables {
        let said = home
            .run(["exec", "--", "sh", "-c", "env"])
            .env(name, value)
            .done()
            .ok();
        assert!(said.stdout.contains("ARCGIS_TOKEN="), "{}", said.stdout);
        assert!(!said.stdout.contains(value), "{name}");
    }

    let (browser, seen) = (home.path().join("browser"), home.path().join("seen"));
    let script = format!(
        "#!/bin/sh\nenv >'{0}.part'\nmv '{0}.part' '{0}'\n",
        seen.display()
    );
    std::fs::write(&browser, script).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    home.set("BROWSER", browser.to_str().unwrap());
    for (name, value) in variables {
        home.set(name, value);
    }
    let mut terminal = Terminal::start(&home, &["login"]);
    terminal.expect("press Enter:");
    crate::support::until(|| seen.exists());
    let inherited = std::fs::read_to_string(&seen).unwrap();
    assert!(inherited.contains("BROWSER="), "{inherited}");
    for (name, value) in variables {
        assert!(!inherited.contains(value), "{name}");
    }
    terminal.interrupt();
    assert_eq!(terminal.end(), 130);
    drop(portal);
}

/// Rule 26: a debug print shows no secret, in either form.
#[test]
fn rule_26_a_debug_print_shows_no_secret() {
    let secret = age_oauth::Secret::new("canary-of-a-secret".to_owned());
    for printed in [
        format!("{secret:?}"),
        format!("{secret:#?}"),
        format!("{:?}", Some(&secret)),
    ] {
        assert!(!printed.contains("canary"), "{printed}");
    }
}

/// Rule 27: the memory of the program cannot be searched from outside, so that its allocator is
/// read in its source. The tests that search memory run with the same one.
#[test]
fn rule_27_the_program_has_an_allocator_that_wipes() {
    let source = include_str!("../../src/main.rs");
    let (_, after) = source
        .split_once("#[global_allocator]")
        .expect("an allocator");
    assert!(
        after
            .trim_start()
            .starts_with("static ALLOCATOR: ZeroAlloc<"),
        "{after}"
    );
    assert!(source.contains("use zeroizing_alloc::ZeroAlloc;"));
}

/// A sign-in that waits for the browser at a port of this machine.
struct Waiting {
    child: std::process::Child,
    url: Url,
    port: u16,
    state: String,
}

fn waiting(home: &Home, portal: &Portal, label: &str) -> Waiting {
    let uri: Url = add_loopback(home, portal, label).parse().unwrap();
    let (child, printed) = start_login(home, &["-c", label]);
    let url: Url = printed["authorize_url"].as_str().unwrap().parse().unwrap();
    let mut pairs = url.query_pairs();
    let state = pairs
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    Waiting {
        child,
        port: uri.port().unwrap(),
        state,
        url: url.clone(),
    }
}

/// What the listener answers, head and page.
fn get(port: u16, target: &str) -> String {
    use std::io::{Read, Write};
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        client,
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// Rule 8: the registered address, and no other one of this machine.
#[cfg(target_os = "linux")]
#[test]
fn rule_8_only_the_registered_address_is_listened_at() {
    const LISTENING: &str = "0A";
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let mut login = waiting(&home, &portal, "prod");
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // The second is absent where IPv6 is switched off.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let (address, port) = words[1].split_once(':').unwrap();
            if port == format!("{:04X}", login.port) && words[3] == LISTENING {
                found.push(address.to_owned());
            }
        }
    }
    login.child.kill().unwrap();
    login.child.wait().unwrap();
    assert_eq!(found, ["0100007F"]);
}

/// Rule 9: a callback with a wrong `state` gets 400, and the right one that follows is accepted.
#[test]
fn rule_9_the_wait_goes_on_after_a_wrong_state() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let login = waiting(&home, &portal, "prod");
    let answer = get(login.port, "/callback?code=abcdef&state=wrong");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let landing = portal.authorize(login.url.as_str(), USER);
    landing.follow().unwrap();
    crate::support::home::Outcome::of(login.child).ok();
}

/// Rule 13: what is not on this list could load something or lead somewhere.
#[test]
fn rule_13_pages_have_harmless_elements_only() {
    const ELEMENTS: [&str; 17] = [
        "!doctype html",
        "html lang=\"en\"",
        "/html",
        "head",
        "/head",
        "meta charset=\"utf-8\"",
        "meta name=\"viewport\" content=\"width=device-width\"",
        "title",
        "/title",
        "style",
        "/style",
        "body",
        "/body",
        "h1",
        "/h1",
        "p",
        "/p",
    ];
    const LEADING: [&str; 4] = ["location", "refresh", "link", "set-cookie"];
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let received = waiting(&home, &portal, "one");
    let turned_away = get(received.port, "/elsewhere");
    let landing = portal.authorize(received.url.as_str(), USER);
    let landing: Url = landing.url().unwrap().parse().unwrap();
    let target = format!("/callback?{}", landing.query().unwrap());
    let accepted = get(received.port, &target);
    assert!(accepted.starts_with("HTTP/1.1 200"), "{accepted}");
    crate::support::home::Outcome::of(received.child).ok();
    let refused = waiting(&home, &portal, "two");
    let query = format!("error=access_denied&state={}", refused.state);
    let declined = get(refused.port, &format!("/callback?{query}"));
    crate::support::home::Outcome::of(refused.child).code(7);

    for page in [turned_away, accepted, declined] {
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Security-Policy: default-src 'none';"));
        assert!(head.contains("\r\nCache-Control: no-store"), "{head}");
        for header in head.lines().skip(1) {
            let name = header.split(':').next().unwrap().to_ascii_lowercase();
            assert!(!LEADING.contains(&&*name), "{header}");
        }
        for element in body.split('<').skip(1) {
            let element = element.split('>').next().unwrap();
            assert!(ELEMENTS.contains(&element), "<{element}>");
        }
        assert!(
            !body.contains("url(") && !body.contains("@import"),
            "{body}"
        );
    }
}

/// Rule 12: a bare code names no attempt. It is worthless in any attempt but its own, because each
/// has a verifier of its own.
#[test]
fn rule_12_a_bare_code_is_worthless_for_another_attempt() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    // The practice portal notes a verifier that does not fit.
    portal.expect_violations();
    add(&home, &portal, "prod");
    let other = begun(&home, "prod");
    let code = portal.authorize(other.as_str(), USER).code();
    let said = home.run(["login", "-c", "prod"]).input(code).done();
    said.code(7).out("");
    assert_eq!(portal.live_refresh_tokens(), 0);
}
