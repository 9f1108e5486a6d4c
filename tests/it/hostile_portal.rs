//! A portal that sends wrong responses: each endpoint with each fault. The command ends in bounded
//! time with an exit code that fits, the terminal stays clean, and no sign-in is lost.

#![allow(clippy::print_stdout)] // How many faults were tried.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::home;
use crate::http::is_harmless;
use crate::support::home::{Home, Outcome};
use crate::support::invariants::stored_refresh_token;
use crate::support::portal::{Endpoint, Fault, Portal, PortalVersion, APP_ID};
use crate::support::scenario::{
    add, add_application, add_arguments, age_sign_in, expire_token, sign_in,
};

/// What a fault may do to a command that needs the response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// No response: as if the portal were unreachable or not a portal.
    None,
    /// No response, but the portal has processed the request.
    Lost,
    /// An unusual response: used as far as it is valid, or refused.
    Odd,
}

/// Longer than the timeout of the commands here.
const EVER: Duration = Duration::from_secs(20);

fn answer(body: &[u8]) -> Fault {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    Fault::Raw(bytes)
}

fn head(head: &str) -> Fault {
    Fault::Raw(format!("{head}\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes())
}

/// A text with every kind of escape sequence.
fn escapes() -> serde_json::Value {
    let text = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31m\r\u{202e}\u{2066}\u{0}\u{9b}1m";
    json!({
        "error": {"code": 400, "error": text, "error_description": text, "message": text, "messageCode": text,
            "details": [text, text]},
        "name": text, "username": text, "currentVersion": text,
    })
}

/// A fault, its name, and its effect.
type Named = (String, Fault, Effect);

fn faults(portal: &Portal) -> Vec<Named> {
    let mut all = bodies();
    all.extend(statuses(portal));
    all.extend(heads());
    all
}

fn named(name: &str, fault: Fault, effect: Effect) -> Named {
    (name.to_owned(), fault, effect)
}

/// Responses that are late, incomplete, or something else.
fn bodies() -> Vec<Named> {
    use Effect::{Lost, None, Odd};
    let mut all: Vec<Named> = Fault::malformed()
        .into_iter()
        .map(|(name, fault)| (name.to_owned(), fault, Odd))
        .collect();
    let mut more = |name: &str, fault, effect| all.push(named(name, fault, effect));
    more("silence", Fault::Silence, None);
    more("a late answer", Fault::Delay(EVER), Lost);
    more("a drip", Fault::Drip(Duration::from_secs(1)), Lost);
    more("reset before", Fault::ResetBefore, None);
    more("reset after", Fault::ResetAfter, Lost);
    more("cut short", Fault::Truncated, Lost);
    more("longer than it says", Fault::WrongLength, Lost);
    more("200 MB", Fault::Huge(200 * 1024 * 1024), None);
    more("NUL bytes", answer(b"{\"access_token\":\"a\0b\"}\0\0"), Odd);
    more("a byte order mark", answer(b"\xef\xbb\xbf{}"), Odd);
    more("nothing at all", answer(b""), Odd);
    more("two answers", answer(b"{}{}"), Odd);
    let twice = b"{\"error\":{\"code\":1},\"error\":{\"code\":498},\"token\":\"a\",\"token\":\"b\",\"access_token\":\"c\",\"access_token\":\"d\"}";
    more("keys that come twice", answer(twice), Odd);
    for expires in [
        "-1",
        "0",
        "1e400",
        "99999999999999999999",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "\"7200\"",
    ] {
        let body = format!("{{\"access_token\":\"practice-odd-token\",\"token\":\"practice-odd-token\",\"username\":\"your.username\",\"expires_in\":{expires},\"expires\":{expires},\"refresh_token_expires_in\":{expires}}}");
        more(
            &format!("expires_in {expires}"),
            answer(body.as_bytes()),
            Odd,
        );
    }
    all
}

/// Responses that refuse, ask for a retry, redirect, or contain escape sequences.
fn statuses(portal: &Portal) -> Vec<Named> {
    use Effect::{None, Odd};
    let mut all = Vec::new();
    let mut more = |name: &str, fault, effect| all.push(named(name, fault, effect));
    more("escape sequences", Fault::Json(escapes()), Odd);
    more("Negotiate", Fault::integrated_windows(), Odd);
    more(
        "Basic",
        Fault::Unauthorized(vec!["Basic realm=\"\u{1b}[31mx\"".into()]),
        Odd,
    );
    more("401 without a scheme", Fault::Unauthorized(Vec::new()), Odd);
    more("407", Fault::ProxyAuth407, None);
    for status in [301, 302, 303, 307, 308] {
        more(
            &format!("{status} elsewhere"),
            Fault::Redirect {
                status,
                to: "https://127.0.0.1:1/x".into(),
            },
            None,
        );
        more(
            &format!("{status} to itself"),
            Fault::Redirect {
                status,
                to: portal.rest("oauth2/token"),
            },
            None,
        );
        more(
            &format!("{status} to nowhere"),
            Fault::Redirect {
                status,
                to: String::new(),
            },
            None,
        );
    }
    for status in [400, 403, 404, 410, 418, 500, 502, 503, 504] {
        more(&status.to_string(), Fault::Status(status), Odd);
    }
    for when in [
        "0",
        "1",
        "3600",
        "-1",
        "99999999999999999999",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "soon",
        "\u{1b}[31m",
    ] {
        more(
            &format!("503, Retry-After {when:?}"),
            Fault::RetryAfter(503, when.into()),
            None,
        );
    }
    all
}

/// Invalid response headers.
fn heads() -> Vec<Named> {
    use Effect::{None, Odd};
    let mut all = Vec::new();
    let mut more = |name: &str, fault, effect| all.push(named(name, fault, effect));
    for (name, lines) in [
        ("a status that is none", "HTTP/1.1 999999 OK"),
        ("another protocol's version", "HTTP/9.9 200 OK"),
        ("no status", "HTTP/1.1"),
        (
            "100 for ever",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue",
        ),
        (
            "101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket",
        ),
        ("204", "HTTP/1.1 204 No Content"),
        ("206", "HTTP/1.1 206 Partial Content"),
        ("304", "HTTP/1.1 304 Not Modified"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 7"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5"),
        (
            "chunks that are none",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        ),
        (
            "an unknown encoding",
            "HTTP/1.1 200 OK\r\nContent-Encoding: zstd",
        ),
        (
            "gzip that is none",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip",
        ),
    ] {
        more(name, head(lines), Odd);
    }
    let many = "X-A: b\r\n".repeat(10_000);
    more(
        "headers without end",
        Fault::Raw(format!("HTTP/1.1 200 OK\r\n{many}\r\n{{}}").into_bytes()),
        None,
    );
    all
}

/// A command, the endpoint that it needs, and its exit codes if that endpoint fails.
struct Case {
    endpoint: Endpoint,
    name: &'static str,
    /// Exit codes after no response, after a lost response, after an unusual one.
    codes: [&'static [i32]; 3],
}

const CASES: [Case; 9] = [
    Case {
        endpoint: Endpoint::Refresh,
        name: "token --force",
        codes: [&[6], &[0, 6], &[0, 3, 6, 7]],
    },
    Case {
        endpoint: Endpoint::Exchange,
        name: "an extension",
        // What is late is waited for, whatever the command's time.
        codes: [&[0, 6], &[0, 3, 6], &[0, 3, 6, 7]],
    },
    Case {
        endpoint: Endpoint::AppToken,
        name: "an application's token",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
    Case {
        endpoint: Endpoint::Code,
        name: "login",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
    Case {
        endpoint: Endpoint::Revoke,
        name: "logout",
        codes: [&[0], &[0], &[0]],
    },
    Case {
        endpoint: Endpoint::CommunitySelf,
        name: "whoami",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
    Case {
        endpoint: Endpoint::PortalSelf,
        name: "whoami of an application",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
    Case {
        endpoint: Endpoint::Root,
        name: "connections add",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
    Case {
        endpoint: Endpoint::GenerateToken,
        name: "token --for",
        codes: [&[6], &[0, 6], &[0, 6, 7]],
    },
];

fn act(case: &Case, home: &Home, portal: &Portal) -> Outcome {
    let bounded = |words: &[&str]| {
        // The longest time that a portal which never answers may cost.
        home.run([&["--timeout", "4s"], words].concat()).done()
    };
    match case.endpoint {
        Endpoint::Exchange => bounded(&["token", "-c", "prod"]),
        Endpoint::AppToken => bounded(&["token", "--force", "-c", "service"]),
        Endpoint::Code => sign_in(home, portal, "prod"),
        Endpoint::Revoke => bounded(&["logout", "-c", "prod"]),
        Endpoint::CommunitySelf => bounded(&["whoami", "-c", "prod"]),
        Endpoint::PortalSelf => bounded(&["whoami", "-c", "service"]),
        Endpoint::Root => {
            let ca = portal.ca_file(home.path()).display().to_string();
            let url = portal.url();
            bounded(&add_arguments("new", &url, APP_ID, &ca))
        }
        Endpoint::GenerateToken => bounded(&[
            "token",
            "--force",
            "--for",
            &portal.other_server_url(),
            "-c",
            "prod",
        ]),
        _ => bounded(&["token", "--force", "-c", "prod"]),
    }
}

/// Runs every fault at one endpoint and returns their number.
fn every_fault(case: &Case) -> usize {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    add_application(&home, &portal, "service");
    home.run(["token", "-c", "service"]).done().ok();
    let all = faults(&portal);
    let count = all.len();
    for (name, fault, effect) in all {
        let what = format!("{}: {name}", case.name);
        if case.endpoint == Endpoint::Exchange {
            sign_in(&home, &portal, "prod").ok();
            expire_token(&home, "prod");
            // No later command could extend it, so it is extended although there is little time.
            age_sign_in(&home, "prod", 9);
        }
        let before = stored_refresh_token(&home, "prod").unwrap();
        portal.set(|rules| rules.fault_always(case.endpoint, fault));
        let said = act(case, &home, &portal);
        portal.set(|rules| rules.clear_faults());
        let codes = case.codes[effect as usize];
        assert!(
            codes.contains(&said.code),
            "{what}: {} {}{}",
            said.code,
            said.stdout,
            said.stderr
        );
        is_harmless(&said, &portal, &what);
        if said.code != 0 {
            assert_eq!(said.stdout, "", "{what}");
            assert!(said.stderr.contains("error: "), "{what}: {}", said.stderr);
        }
        match (case.endpoint, said.code) {
            // Signed out, whatever the portal answered.
            (Endpoint::Revoke, _) => {
                assert_eq!(stored_refresh_token(&home, "prod"), None, "{what}");
                sign_in(&home, &portal, "prod").ok();
            }
            // The one way to lose a sign-in: it was extended, and the response was lost.
            (Endpoint::Exchange, 3) => {
                assert!(!portal.accepts_refresh_token(&before), "{what}");
                sign_in(&home, &portal, "prod").ok();
            }
            // There was no time left to find out; the next command does.
            (Endpoint::Exchange, 6) if !portal.accepts_refresh_token(&before) => {
                portal.allow_retry_of_spent(&before);
                home.run(["token", "-c", "prod"]).done().code(3);
                sign_in(&home, &portal, "prod").ok();
            }
            (Endpoint::Root, 0) => {
                home.run(["connections", "remove", "new", "--yes"])
                    .done()
                    .ok();
            }
            // Signed in again according to the portal's response, even if that is useless.
            (Endpoint::Code, 0) => {
                sign_in(&home, &portal, "prod").ok();
            }
            _ => {
                let after = stored_refresh_token(&home, "prod").unwrap();
                assert!(portal.accepts_refresh_token(&after), "{what}");
            }
        }
    }
    for label in ["prod", "service"] {
        home.run(["token", "--force", "-c", label]).done().ok();
        home.run(["whoami", "-c", label]).done().ok();
    }
    count
}

#[test]
fn no_response_of_a_portal_loses_a_sign_in_hangs_or_controls_the_terminal() {
    let tried: usize = thread::scope(|scope| {
        let running: Vec<_> = CASES
            .iter()
            .map(|case| scope.spawn(|| every_fault(case)))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).sum()
    });
    println!("{tried} faults");
}

/// Before there is a request: TLS that stalls, breaks off, or is not TLS.
#[test]
fn a_failed_tls_handshake_is_reported_and_loses_nothing() {
    let (portal, home) = crate::signed_in();
    for (name, fault) in [
        ("closed", Fault::TlsClose),
        ("silent", Fault::Silence),
        ("no TLS", Fault::Raw(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec())),
        (
            "a torn record",
            Fault::Raw(b"\x16\x03\x03\x40\x00\x02\x00\x00".to_vec()),
        ),
        (
            "a record that is too long",
            Fault::Raw([&b"\x16\x03\x03\xff\xff"[..], &vec![0; 70_000]].concat()),
        ),
        (
            "an alert",
            Fault::Raw(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
        ),
        ("a late handshake", Fault::Delay(EVER)),
    ] {
        portal.set(|rules| rules.fault_always(Endpoint::Handshake, fault));
        let said = home
            .run(["--timeout", "2s", "token", "--force"])
            .done()
            .code(6)
            .out("");
        portal.set(|rules| rules.clear_faults());
        is_harmless(&said, &portal, name);
        home.run(["token", "--force"]).done().ok();
    }
    assert_eq!(portal.live_refresh_tokens(), 1);
}
