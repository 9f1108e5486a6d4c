//! How the program handles wrong responses: redirects, refusals of web servers and proxies, busy
//! portals, hostile bodies, responses that never come.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    app_secret, service_secret, Endpoint, Fault, ForeignServer, Portal, PortalVersion, APP_ID,
    SERVICE_ID, USER,
};
use crate::support::scenario::{add, add_application, add_arguments, add_with, folder_of, sign_in};
use crate::{home, signed_in};

/// An application connection `service`.
fn with_service() -> (Portal, Home) {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add_application(&home, &portal, "service");
    (portal, home)
}

fn count(portal: &Portal, endpoint: Endpoint) -> usize {
    portal.requests_to(endpoint).len()
}

/// Checks that the text holds no control characters and no secret.
#[track_caller]
pub(crate) fn is_harmless(outcome: &Outcome, portal: &Portal, case: &str) {
    let hostile = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{2028}".contains(c);
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!text.contains(hostile), "{case}: {text:?}");
    portal.assert_no_secret(case, outcome.stderr.as_bytes());
}

/// Checks that the sign-in still works.
#[track_caller]
fn is_intact(portal: &Portal, home: &Home) {
    portal.set(|rules| rules.clear_faults());
    assert_eq!(portal.live_refresh_tokens(), 1);
    home.run(["token", "--force"]).done().ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
}

// — redirects —

/// Rule 16: secrets follow no redirect, whatever its status and whatever the request.
#[test]
fn rule_16_nothing_is_sent_to_the_target_of_a_redirect() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    for status in [301, 302, 303, 307, 308] {
        for (endpoint, arguments) in [
            (Endpoint::Refresh, &["token", "--force"][..]),
            (Endpoint::CommunitySelf, &["whoami"]),
        ] {
            let to = foreign.url();
            portal.set(|rules| rules.fault_always(endpoint, Fault::Redirect { status, to }));
            let before = count(&portal, endpoint);
            home.run(arguments)
                .done()
                .code(6)
                .out("")
                .err_has(&format!("HTTP {status} to 127.0.0.1"));
            assert_eq!(count(&portal, endpoint), before + 1, "{status}");
            portal.set(|rules| rules.clear_faults());
        }
    }
    foreign.assert_no_connection();
    is_intact(&portal, &home);
}

/// Rule 16, for the client secret, the code, and the revocation of a sign-in.
#[test]
fn rule_16_neither_client_secret_nor_code_nor_revocation_follows_a_redirect() {
    let (portal, home) = with_service();
    let foreign = ForeignServer::start(&portal);
    let lead_away = |endpoint| {
        let (status, to) = (307, foreign.url());
        portal.set(|rules| rules.fault(endpoint, Fault::Redirect { status, to }));
    };
    lead_away(Endpoint::AppToken);
    home.run(["token", "-c", "service"]).done().code(6);
    add(&home, &portal, "prod");
    lead_away(Endpoint::Code);
    sign_in(&home, &portal, "prod").code(6).err_has("127.0.0.1");
    assert_eq!(count(&portal, Endpoint::Code), 1);
    sign_in(&home, &portal, "prod").ok();
    lead_away(Endpoint::Revoke);
    let out = home.run(["logout", "-c", "prod"]).done().ok();
    assert!(out.stderr.contains("warning"), "{}", out.stderr);
    lead_away(Endpoint::Root);
    let url = portal.url();
    let ca = portal.ca_file(home.path()).display().to_string();
    home.run(add_arguments("third", &url, APP_ID, &ca))
        .done()
        .code(6)
        .err_has("127.0.0.1");
    foreign.assert_no_connection();
}

/// A redirect to the portal itself is not followed either: the URL of the connection is wrong.
#[test]
fn a_redirect_within_the_portal_is_not_followed() {
    let (portal, home) = signed_in();
    let to = portal.rest("oauth2/token");
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::Redirect { status: 308, to }));
    let before = count(&portal, Endpoint::Refresh);
    home.run(["token", "--force"]).done().code(6);
    assert_eq!(count(&portal, Endpoint::Refresh), before + 1);
    is_intact(&portal, &home);
}

/// Rule 23: endpoints come from the stored address, whatever the portal calls itself.
#[test]
fn rule_23_a_portal_that_names_another_host_changes_nothing() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let foreign = ForeignServer::claiming(&portal);
    let elsewhere = foreign.url().replace("https://", "").replace("/server", "");
    portal.set(|rules| rules.names_host = Some(elsewhere));
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    home.run(["whoami"]).done().ok().out("your.username\n");
    home.run(["token", "--force"]).done().ok();
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["portal_url"], portal.url().as_str());
    add_application(&home, &portal, "service");
    home.run(["whoami", "-c", "service"]).done().ok();
    home.run(["logout", "-c", "prod"]).done().ok();
    foreign.assert_no_connection();
}

/// Rule 17: secrets travel in a header or a POST body. The practice portal checks every request
/// line.
#[test]
fn rule_17_secrets_travel_in_bodies_and_headers_and_verbose_output_hides_them() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add_with(&home, &portal, "prod", &["--client-secret", app_secret()]);
    add_application(&home, &portal, "service");
    sign_in(&home, &portal, "prod").ok();
    for arguments in [
        &["-vv", "token", "--force", "-c", "prod"][..],
        &["-vv", "whoami", "-c", "prod"],
        &["-vv", "whoami", "-c", "service"],
        &["-vv", "logout", "-c", "prod"],
    ] {
        let said = home.run(arguments).done().ok();
        portal.assert_no_secret("stderr", said.stderr.as_bytes());
    }
    for request in portal.requests() {
        let asks_who = matches!(request.endpoint, Endpoint::CommunitySelf);
        if asks_who {
            let header = request.header("x-esri-authorization").unwrap_or_default();
            assert!(header.starts_with("Bearer "));
        }
        if request.endpoint.is_token() || request.endpoint == Endpoint::Revoke {
            assert_eq!((&*request.method, request.query.len()), ("POST", 0));
        }
    }
    portal.assert_clean();
}

// — refusals by web servers and proxies —

#[test]
fn a_web_server_that_requires_its_own_sign_in_is_named() {
    let (portal, home) = signed_in();
    for (endpoint, arguments) in [
        (Endpoint::Refresh, &["token", "--force"][..]),
        (Endpoint::CommunitySelf, &["whoami"]),
    ] {
        portal.set(|rules| rules.fault(endpoint, Fault::integrated_windows()));
        let before = count(&portal, endpoint);
        let said = home.run(arguments).done().code(7);
        let said = said.out("").err_has("Negotiate, NTLM").err_has("hint: ");
        is_harmless(&said, &portal, "web tier");
        assert_eq!(count(&portal, endpoint), before + 1);
    }
    is_intact(&portal, &home);
    portal.set(|rules| rules.basic = Some(("gis".into(), "pw".into())));
    home.run(["token", "--force"])
        .done()
        .code(7)
        .err_has("Basic");
    let json = home.run(["whoami", "--json"]).done().code(7);
    assert_eq!(json.error_json()["error"]["kind"], "refused");
    portal.set(|rules| rules.basic = None);
    is_intact(&portal, &home);
}

#[test]
fn a_proxy_that_requires_a_password_is_named() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::ProxyAuth407));
    home.run(["token", "--force"])
        .done()
        .code(6)
        .err_has("407")
        .err_has("HTTPS_PROXY");
    is_intact(&portal, &home);
}

// — retries —

#[test]
fn retry_after_is_honoured_once() {
    let (portal, home) = signed_in();
    let busy = || Fault::RetryAfter(429, "0".into());
    portal.set(|rules| rules.fault(Endpoint::Refresh, busy()));
    let before = count(&portal, Endpoint::Refresh);
    home.run(["token", "--force"]).done().ok();
    assert_eq!(count(&portal, Endpoint::Refresh), before + 2);
    // A code may be sent again, too, because the portal says that it did not process the request.
    portal.set(|rules| rules.fault(Endpoint::Code, busy()));
    let before = count(&portal, Endpoint::Code);
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(count(&portal, Endpoint::Code), before + 2);
}

#[test]
fn a_retry_after_of_an_hour_is_not_waited_for() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::RetryAfter(503, "3600".into())));
    let before = count(&portal, Endpoint::Refresh);
    home.run(["token", "--force"]).done().code(6).err_has("503");
    assert_eq!(count(&portal, Endpoint::Refresh), before + 1);
    is_intact(&portal, &home);
}

#[test]
fn a_short_outage_is_retried_and_a_long_one_ends_in_an_error() {
    let (portal, home) = signed_in();
    let away = || Fault::Status(503);
    portal.set(|rules| rules.fault_times(Endpoint::Refresh, away(), 2));
    let before = count(&portal, Endpoint::Refresh);
    home.run(["token", "--force"]).done().ok();
    assert_eq!(count(&portal, Endpoint::Refresh), before + 3);
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, away()));
    let before = count(&portal, Endpoint::Refresh);
    let said = home.run(["token", "--force"]).done().code(6).err_has("503");
    assert!(said.stderr.contains("prod"), "{}", said.stderr);
    assert_eq!(count(&portal, Endpoint::Refresh), before + 3);
    // Without --force the cached token is returned as a fallback, with a warning.
    home.run(["token"]).done().ok();
    is_intact(&portal, &home);
}

/// A code is not sent again unless the portal says that it may be.
#[test]
fn a_code_is_not_sent_again_after_a_server_error() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    portal.set(|rules| rules.fault(Endpoint::Code, Fault::Status(503)));
    sign_in(&home, &portal, "prod").code(6).err_has("503");
    assert_eq!(count(&portal, Endpoint::Token), 1);
}

/// Rule 11: the code is sent once. If the response is lost, the user signs in again.
#[test]
fn rule_11_a_code_is_not_sent_again_after_a_lost_response() {
    for fault in [Fault::ResetAfter, Fault::Truncated, Fault::ResetBefore] {
        let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
        add(&home, &portal, "prod");
        let case = format!("{fault:?}");
        portal.set(|rules| rules.fault(Endpoint::Code, fault));
        let said = sign_in(&home, &portal, "prod")
            .code(6)
            .out("")
            .err_has("hint: ")
            .err_has("age-oauth login -c prod");
        assert_eq!(count(&portal, Endpoint::Token), 1, "{case}");
        is_harmless(&said, &portal, &case);
        home.run(["token"]).done().code(3);
        sign_in(&home, &portal, "prod").ok();
    }
}

// — responses that end too early or never —

#[test]
fn rule_29_a_slow_response_is_cut_off_by_the_time_limit_of_the_command() {
    let (portal, home) = signed_in();
    for fault in [Fault::Drip(Duration::from_secs(1)), Fault::Silence] {
        portal.set(|rules| rules.fault(Endpoint::Refresh, fault));
        let before = count(&portal, Endpoint::Refresh);
        home.run(["--timeout", "3s", "token", "--force"])
            .done()
            .code(6)
            .err_has("in time");
        assert_eq!(count(&portal, Endpoint::Refresh), before + 1);
    }
    // No answer before the TLS handshake.
    portal.set(|rules| rules.fault(Endpoint::Handshake, Fault::Silence));
    home.run(["--timeout", "1s", "token", "--force"])
        .done()
        .code(6)
        .err_has("in time");
    is_intact(&portal, &home);
}

#[test]
fn a_truncated_response_is_requested_again() {
    let (portal, home) = signed_in();
    for fault in [Fault::Truncated, Fault::ResetAfter, Fault::ResetBefore] {
        let case = format!("{fault:?}");
        portal.set(|rules| rules.fault(Endpoint::Refresh, fault.clone()));
        let before = count(&portal, Endpoint::Refresh);
        home.run(["token", "--force"]).done().ok();
        assert_eq!(count(&portal, Endpoint::Refresh), before + 2, "{case}");
    }
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Truncated));
    let said = home.run(["token", "--force"]).done().code(6);
    is_harmless(&said, &portal, "truncated");
    is_intact(&portal, &home);
}

#[test]
fn a_wrong_content_length_never_yields_half_a_token() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::WrongLength));
    let said = home.run(["token", "--force"]).done().code(6).out("");
    is_harmless(&said, &portal, "length");
    is_intact(&portal, &home);
}

#[test]
fn a_stopped_portal_is_unreachable_and_nothing_is_deleted() {
    let (portal, home) = signed_in();
    portal.stop();
    home.run(["token", "--force"])
        .done()
        .code(6)
        .err_has("hint: ");
    home.run(["whoami"]).done().code(6);
    home.run(["token"]).done().ok();
    portal.start_again();
    is_intact(&portal, &home);
}

// — malformed responses —

#[test]
fn an_html_page_is_reported_by_its_title() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    portal.set(|rules| rules.fault(Endpoint::Root, Fault::Html200));
    let url = portal.url();
    let ca = portal.ca_file(home.path()).display().to_string();
    let arguments = add_arguments("prod", &url, APP_ID, &ca);
    home.run(arguments)
        .done()
        .code(7)
        .err_has("requires its own sign-in (page `Sign in to the network`)")
        .err_has("--no-check");
    portal.set(|rules| {
        let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n\
            <html><title>\x1b]0;owned\x07 \x1b[31m\xe2\x80\xaeWelcome\r</title></html>";
        rules.fault(Endpoint::Root, Fault::Raw(page.to_vec()));
    });
    let said = home.run(arguments).done().code(6).err_has("Welcome");
    is_harmless(&said, &portal, "title");
    home.run(["connections", "list"]).done().ok().out("");
}

/// The exit code for a malformed response. An `error` object, however incomplete, is a refusal by
/// the portal; the page of a sign-in is one by what stands in front of it.
fn code_of(name: &str) -> i32 {
    if name.contains("error") || name == "html" {
        7
    } else {
        6
    }
}

#[test]
fn no_malformed_response_to_a_renewal_harms_the_sign_in() {
    let (portal, home) = signed_in();
    for (name, fault) in Fault::malformed() {
        portal.set(|rules| rules.fault_always(Endpoint::Refresh, fault));
        let said = home.run(["token", "--force"]).done();
        assert_eq!(said.code, code_of(name), "{name}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        is_harmless(&said, &portal, name);
        // The cached token is still returned.
        portal.set(|rules| rules.clear_faults());
        home.run(["token"]).done().ok();
    }
    is_intact(&portal, &home);
}

#[test]
fn no_malformed_response_to_whoami_is_taken_for_a_user_name() {
    let (portal, home) = signed_in();
    for (name, fault) in Fault::malformed() {
        portal.set(|rules| rules.fault_always(Endpoint::CommunitySelf, fault));
        let said = home.run(["whoami"]).done();
        assert_eq!(said.code, code_of(name), "{name}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        is_harmless(&said, &portal, name);
        portal.set(|rules| rules.clear_faults());
    }
    is_intact(&portal, &home);
}

#[test]
fn no_malformed_response_to_a_code_creates_a_sign_in() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    for (name, fault) in Fault::malformed() {
        portal.set(|rules| rules.fault(Endpoint::Code, fault));
        let said = sign_in(&home, &portal, "prod");
        assert_eq!(said.code, code_of(name), "{name}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        is_harmless(&said, &portal, name);
        home.run(["token"]).done().code(3);
    }
    assert_eq!(count(&portal, Endpoint::Token), Fault::malformed().len());
    assert_eq!(portal.live_refresh_tokens(), 0);
    sign_in(&home, &portal, "prod").ok();
    is_intact(&portal, &home);
}

#[test]
fn no_malformed_response_to_client_credentials_is_taken_for_a_token() {
    let (portal, home) = with_service();
    for (name, fault) in Fault::malformed() {
        portal.set(|rules| rules.fault_always(Endpoint::AppToken, fault.clone()));
        let said = home.run(["token"]).done();
        assert_eq!(said.code, code_of(name), "{name}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        is_harmless(&said, &portal, name);
        portal.set(|rules| {
            rules.clear_faults();
            rules.fault_always(Endpoint::PortalSelf, fault);
        });
        let said = home.run(["whoami"]).done();
        // A portal that ignores a token answers without an application: the token is rejected.
        let expected = match name {
            "empty object" | "wrong types" | "no text" => 7,
            _ => code_of(name),
        };
        assert_eq!(said.code, expected, "{name}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        is_harmless(&said, &portal, name);
        portal.set(|rules| rules.clear_faults());
        home.run(["logout"]).done().ok();
    }
    home.run(["whoami"]).done().ok();
}

/// Text from a portal is shown on one line, without control characters (rule 28).
#[test]
fn rule_28_control_characters_from_a_portal_are_made_visible() {
    let (portal, home) = signed_in();
    let words = "no\u{1b}]0;owned\u{7}\u{1b}[2J\r\nerror: forged\u{202e}\u{9b}31m";
    for code in [400, 403, 500] {
        portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::error(code, words)));
        let said = home.run(["token", "--force"]).done();
        assert!(matches!(said.code, 6 | 7), "{}", said.stderr);
        is_harmless(&said, &portal, "words");
        let errors = said
            .stderr
            .lines()
            .filter(|line| line.starts_with("error:"));
        assert_eq!(errors.count(), 1, "{}", said.stderr);
        portal.set(|rules| rules.clear_faults());
    }
    portal.set(|rules| {
        rules.users[0].username = "eve\u{1b}[31m\nroot".into();
        let answer = serde_json::json!({ "username": "eve\u{1b}[31m\nroot" });
        rules.fault(Endpoint::CommunitySelf, Fault::Json(answer));
    });
    let said = home.run(["whoami"]).done().ok();
    is_harmless(&said, &portal, "name");
    assert_eq!(said.stdout.lines().count(), 1);
    portal.set(|rules| rules.users[0].username = USER.into());
    is_intact(&portal, &home);
}

#[test]
fn rule_29_a_response_beyond_the_size_limit_is_not_read_to_its_end() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::Huge(64 * 1024 * 1024)));
    home.run(["token", "--force"])
        .done()
        .code(6)
        .err_has("larger");
    is_intact(&portal, &home);
}

// — proxies —

/// A proxy in front of a host that only it can find: every CONNECT leads to one port of this
/// machine.
struct Gateway {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Connects to `target`; where `pair` (`user:password` in base64) is required, only with these
    /// credentials.
    fn to(target: u16, pair: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        // Ends with the test program.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || forward(client, target, pair, &seen));
            }
        });
        Self { port, heads }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn forward(mut client: TcpStream, target: u16, pair: Option<&str>, seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.lock().unwrap().push(head.clone());
    let wanted = pair.map(|pair| format!("proxy-authorization: basic {pair}").to_lowercase());
    if wanted.is_some_and(|wanted| !head.to_lowercase().contains(&wanted)) {
        let no = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
            Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        let _ = client.write_all(no);
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)) else {
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upwards = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = upwards.join();
}

/// A portal under a name that this machine cannot look up, and an application connection to it.
fn far_away() -> (Portal, Home) {
    let name = "gis.practice.invalid";
    let portal = Portal::builder().host(name).san(name).start();
    (portal, home())
}

fn add_far(home: &Home, portal: &Portal, flags: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let ca = portal.ca_file(home.path()).display().to_string();
    let url = portal.url();
    let mut arguments = vec![
        "-vv",
        "connections",
        "add",
        "--label",
        "far",
        "--portal",
        &url,
        "--auth-type",
        "app",
        "--client-id",
        SERVICE_ID,
        "--client-secret-stdin",
        "--verify-ssl",
        &ca,
    ];
    arguments.extend(flags);
    let mut run = home.run(arguments).input(service_secret());
    for (name, value) in variables {
        run = run.env(name, value);
    }
    run.done()
}

#[test]
fn a_proxy_is_used_where_the_environment_or_the_connection_names_one() {
    let (portal, home) = far_away();
    let gateway = Gateway::to(portal.port(), None);
    add_far(
        &home,
        &portal,
        &["--proxy", "none"],
        &[("HTTPS_PROXY", &gateway.url())],
    )
    .code(6)
    .err_has("gis.practice.invalid");
    assert!(gateway.heads().is_empty());
    add_far(&home, &portal, &[], &[("HTTPS_PROXY", &gateway.url())]).ok();
    let heads = gateway.heads();
    let target = format!("gis.practice.invalid:{}", portal.port());
    assert!(!heads.is_empty());
    assert!(heads
        .iter()
        .all(|head| head.starts_with(&format!("CONNECT {target} "))));
    home.run(["token"])
        .env("HTTPS_PROXY", gateway.url())
        .done()
        .ok();
    home.run(["token", "--force"])
        .env("HTTPS_PROXY", gateway.url())
        .env("NO_PROXY", ".practice.invalid")
        .done()
        .code(6);
    home.run(["connections", "edit", "far", "--proxy", &gateway.url()])
        .done()
        .ok();
    home.run(["token", "--force"]).done().ok();
}

/// Another portal that has the name of the first one, behind a proxy of its own: what an attacker
/// has who can change the files.
#[test]
fn rule_24b_a_proxy_and_an_authority_from_a_file_receive_nothing() {
    let ((portal, home), (attacker, _)) = (far_away(), far_away());
    let (gateway, trap) = (
        Gateway::to(portal.port(), None),
        Gateway::to(attacker.port(), None),
    );
    add_far(&home, &portal, &["--proxy", &gateway.url()], &[]).ok();
    let folder = folder_of(&home, "far");
    let (meta, ca) = (folder.join("meta.json"), folder.join("ca.pem"));
    let good = std::fs::read_to_string(&meta).unwrap();
    let bad = good.replace(&gateway.url(), &trap.url());
    assert_ne!(good, bad);
    std::fs::write(&meta, &bad).unwrap();
    std::fs::write(&ca, attacker.ca_pem()).unwrap();
    let words = [
        &["login"][..],
        &["token"],
        &["token", "--force"],
        &["refresh"],
        &["refresh", "--all"],
        &["api", "portals/self"],
    ];
    for words in words {
        let said = home.run(words).done();
        assert_eq!(said.code, 5, "{words:?} {}", said.stderr);
    }
    assert!(trap.heads().is_empty());
    assert_eq!(attacker.connections(), 0);
    // The trap works: where a person chooses it, it is used.
    let file = attacker.ca_file(home.path()).display().to_string();
    home.run([
        "connections",
        "edit",
        "far",
        "--no-check",
        "--verify-ssl",
        &file,
        "--proxy",
        &trap.url(),
    ])
    .done()
    .ok();
    home.run(["token"]).done().ok();
    assert!(!trap.heads().is_empty());
}

#[test]
fn a_proxy_password_is_used_and_never_shown() {
    let (portal, home) = far_away();
    // base64 of `me:p@ss-word`
    let gateway = Gateway::to(portal.port(), Some("bWU6cEBzcy13b3Jk"));
    add_far(&home, &portal, &[], &[("HTTPS_PROXY", &gateway.url())])
        .code(6)
        .err_has("407");
    let with_password = format!("http://me:p%40ss-word@127.0.0.1:{}", gateway.port);
    let said = add_far(&home, &portal, &[], &[("HTTPS_PROXY", &with_password)]).ok();
    assert!(!said.stderr.contains("ss-word"), "{}", said.stderr);
    let wrong = format!("http://me:wrong-word@127.0.0.1:{}", gateway.port);
    let said = home
        .run(["-vv", "token"])
        .env("HTTPS_PROXY", wrong)
        .done()
        .code(6)
        .err_has("407");
    assert!(!said.stderr.contains("wrong-word"), "{}", said.stderr);
}

/// The proxy's own connection is not the portal's: what it forwards is TLS to the host of the URL.
#[test]
fn behind_a_proxy_the_portal_certificate_is_still_verified() {
    let (portal, home) = far_away();
    let other = Portal::builder().start();
    let gateway = Gateway::to(other.port(), None);
    add_far(&home, &portal, &[], &[("HTTPS_PROXY", &gateway.url())])
        .code(6)
        .err_has("certificate");
    assert!(other.requests().is_empty());
    home.run(["connections", "list"]).done().ok().out("");
}

#[test]
fn an_unreachable_proxy_is_named_and_loopback_uses_no_proxy() {
    let (portal, home) = far_away();
    add_far(
        &home,
        &portal,
        &[],
        &[("HTTPS_PROXY", "http://127.0.0.1:1")],
    )
    .code(6)
    .err_has("127.0.0.1:1");
    // A loopback portal is reached directly, whatever the environment says.
    let near = Portal::builder().start();
    let mut home = crate::home();
    home.set("HTTPS_PROXY", "http://127.0.0.1:1");
    home.set("ALL_PROXY", "http://127.0.0.1:1");
    add(&home, &near, "near");
    sign_in(&home, &near, "near").ok();
    home.run(["whoami"]).done().ok();
}
