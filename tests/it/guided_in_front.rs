//! The guided `connections add` at a portal with something in front: it says what that is, and asks
//! a question or names what to ask the administrator for. One test for each row of the table in
//! docs/web-server.md.

use crate::client_certificates::PASSWORD;
use crate::home;
use crate::network::Behind;
use crate::support::home::Home;
use crate::support::portal::{Endpoint, Fault, Portal, OTHER_USER, USER};
use crate::support::pty::Terminal;
use crate::support::web_server::{write_certificates, WebServer};
use crate::web_server_certificates::apache;

const CONTINUE: &str = "How do you want to continue?";
const API_URL: &str = "Enter the address at which programs reach this portal (API URL)";

/// `connections add` at a terminal, which has asked for this URL.
fn add(home: &Home, ca: &str, url: &str) -> Terminal {
    let words = ["connections", "add", "--label=prod", "--verify-ssl", ca];
    let mut terminal = Terminal::start(home, &words);
    terminal.expect("Portal URL").line(url);
    terminal
}

#[test]
fn each_form_leads_to_a_question_or_to_what_to_ask_for() {
    let kerberos = "setspn -S HTTP/localhost ACCOUNT";
    let exempt = "ask the portal's administrator to exempt /sharing/rest from it";
    let elsewhere = Fault::Redirect {
        status: 302,
        to: "https://login.microsoftonline.com/x/oauth2/v2.0/authorize".into(),
    };
    let asks = |schemes: &[&str]| {
        Fault::Unauthorized(schemes.iter().map(|one| (*one).to_owned()).collect())
    };
    let (portal, home) = (Portal::builder().start(), home());
    let ca = portal.ca_file(home.path()).display().to_string();
    for (fault, what, advice) in [
        (asks(&["NTLM"]), "(NTLM)", [kerberos, "retiring NTLM"]),
        (asks(&["Basic"]), "(Basic)", [kerberos, "no passwords"]),
        (asks(&["Digest"]), "(Digest)", [kerberos, "no passwords"]),
        (
            asks(&["Bearer"]),
            "its own sign-in",
            [exempt, "a program cannot"],
        ),
        (
            elsewhere,
            "(at login.microsoftonline.com)",
            [exempt, "a program cannot"],
        ),
        (
            Fault::Html200,
            "its own sign-in (page",
            [exempt, "a program cannot"],
        ),
        (
            Fault::Status(403),
            "firewall in front of the portal denies access",
            ["allow /sharing/rest from this machine", "administrator"],
        ),
    ] {
        portal.set(|rules| rules.fault_always(Endpoint::Any, fault));
        let mut terminal = add(&home, &ca, &portal.url());
        terminal.expect(what).expect(CONTINUE).expect(API_URL);
        let screen = terminal.screen().replace('\n', "");
        for part in advice {
            assert!(screen.contains(part), "{part}: {screen}");
        }
        portal.set(|rules| rules.clear_faults());
    }
}

#[test]
fn a_certificate_that_is_asked_for_late_leads_to_what_to_ask_for() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let (portal, home) = (Portal::builder().start(), home());
        let folder = tempfile::tempdir().unwrap();
        write_certificates(&portal, folder.path());
        let server = WebServer::start(folder.path(), "apache2", apache(protocol));
        let ca = portal.ca_file(home.path()).display().to_string();
        let mut terminal = add(&home, &ca, &server.url());
        terminal
            .expect("only after it has read the request")
            .expect("to let it ask in the TLS handshake")
            .expect(CONTINUE)
            .expect(API_URL);
    }
}

#[test]
fn behind_nginx_a_person_gives_a_certificate_and_needs_neither_browser_nor_client_id() {
    let behind = Behind::nginx();
    let mut terminal = add(&behind.home, &behind.ca, &behind.url);
    terminal
        .expect("asks for a client certificate")
        .expect(CONTINUE)
        .expect("Present a client certificate (a file: PKCS#12 or PEM)")
        .line("");
    terminal
        .expect("Client certificate (the file with its private key)")
        .line(&behind.certificate);
    terminal.expect("assword").line(PASSWORD);
    terminal.expect("ArcGIS Enterprise");
    terminal
        .expect("Authentication type")
        .expect("network: you, as the web server knows you")
        .down(2)
        .line("");
    terminal
        .expect("[OK] Created connection: prod")
        .expect("Sign in now?")
        .send("y");
    terminal
        .expect(&format!("Token is for user: {USER}"))
        .expect("Referer: ");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    assert!(!terminal.screen().contains("Client ID"));
    // Another user takes the connection over only if a person agrees.
    behind.vouch_for(OTHER_USER);
    let question = "Replace that sign-in?";
    let mut terminal = Terminal::start(&behind.home, &["login"]);
    terminal.expect(question).send("n");
    assert_eq!(terminal.end(), 3, "{}", terminal.screen());
    let mut terminal = Terminal::start(&behind.home, &["login"]);
    terminal.expect(question).send("y");
    terminal.expect(&format!("Token is for user: {OTHER_USER}"));
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    behind.portal.assert_clean();
}

#[test]
fn without_an_answer_to_the_web_server_network_is_not_offered() {
    let (portal, home) = (Portal::builder().start(), home());
    let ca = portal.ca_file(home.path()).display().to_string();
    let mut terminal = add(&home, &ca, &portal.url());
    terminal
        .expect("Authentication type")
        .expect("app: the application itself");
    assert!(!terminal.screen().contains("network"));
    let words = [
        "connections",
        "add",
        "--label=x",
        "--auth-type=network",
        "--verify-ssl",
        &ca,
    ];
    let mut terminal = Terminal::start(&home, &words);
    terminal.expect("Portal URL").line(&portal.url());
    terminal
        .expect("this connection answers none")
        .expect("--web-tier windows or --client-cert FILE");
    assert_eq!(terminal.end(), 2, "{}", terminal.screen());
}
