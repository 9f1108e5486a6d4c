//! What comes back from a sign-in: pasted by a person, or sent by a browser.

use std::mem::discriminant;

use url::Url;

use super::{check_line, is_control};
use crate::connection::{Connection, Grant, RedirectUri};
use crate::loopback::{check, complete_head, Expected};
use crate::oauth::{AuthorizationResponse, SignInAttempt, SignInOptions};

const REDIRECTS: [&str; 3] = [
    "urn:ietf:wg:oauth:2.0:oob",
    "http://127.0.0.1:53682/callback",
    "https://example.org/cb",
];

/// An attempt for each kind of redirect URI, and its `state`.
fn attempts() -> [(SignInAttempt, String); 3] {
    REDIRECTS.map(|redirect_uri| {
        let connection = Connection::new(
            "prod".parse().unwrap(),
            "https://gis.example.com/portal".parse().unwrap(),
            Grant::User {
                redirect_uri: redirect_uri.parse().unwrap(),
                pkce: true,
            },
            "client1".into(),
        );
        let sign_in = SignInAttempt::begin(&connection, &SignInOptions::default()).unwrap();
        let (_, rest) = sign_in.url().split_once("&state=").unwrap();
        let state = rest.split('&').next().unwrap().to_owned();
        (sign_in, state)
    })
}

thread_local! {
    static ATTEMPTS: [(SignInAttempt, String); 3] = attempts();
}

/// The text, in which `{STATE}` and `{URL}` stand for what is known only at run time.
fn filled(text: &str, sign_in: &SignInAttempt, state: &str) -> String {
    text.replace("{STATE}", state)
        .replace("{URL}", sign_in.url())
}

fn code(returned: &AuthorizationResponse) -> Option<&str> {
    match returned {
        AuthorizationResponse::Code(code) => Some(code.expose()),
        _ => None,
    }
}

/// What holds wherever it came from.
fn check_returned(returned: &AuthorizationResponse, state: &str) {
    let debug = format!("{returned:?}");
    match returned {
        AuthorizationResponse::Code(code) => {
            assert!(!code.expose().is_empty());
            assert_eq!(debug, "Code(AuthorizationCode(Secret(…)))");
        }
        AuthorizationResponse::Failed(error) => {
            check_line(&error.error, 200);
            check_line(error.description.as_deref().unwrap_or_default(), 200);
        }
        AuthorizationResponse::OtherPortal(host) => check_line(host, 200),
        _ => {}
    }
    // These hold text of the response itself.
    if !matches!(
        returned,
        AuthorizationResponse::Failed(_) | AuthorizationResponse::OtherPortal(_)
    ) {
        assert!(!debug.contains(state));
    }
}

/// The first character chooses among the redirect URIs; the rest was pasted.
pub fn pasted(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut rest = text.chars();
    let kind = rest.next().map_or(0, |c| c as usize % REDIRECTS.len());
    ATTEMPTS.with(|attempts| {
        let (sign_in, state) = &attempts[kind];
        let text = filled(rest.as_str(), sign_in, state);
        let returned = sign_in.read_pasted(&text);
        check_returned(&returned, state);
        if let Some(code) = code(&returned) {
            assert!(!has_foreign_state(&text, state), "{text:?}");
            assert!(!has_foreign_host(&text, sign_in), "{text:?}");
            let is_there = |resolve| is_part(&plain(code, false), &plain(&text, resolve));
            assert!(is_there(true) || is_there(false), "{text:?}");
        }
        // Blanks, quotes and invisible characters around it say nothing.
        let quoted = format!("\u{feff} “{text}”\r\n");
        let again = sign_in.read_pasted(&quoted);
        assert_eq!(discriminant(&again), discriminant(&returned), "{text:?}");
        assert_eq!(code(&again), code(&returned));
    });
}

/// Whether the characters of `part` occur in `text` in this order: marks and line ends between them
/// are removed.
fn is_part(part: &str, text: &str) -> bool {
    let mut left = text.chars();
    part.chars().all(|wanted| left.any(|c| c == wanted))
}

/// Whether a careless reader finds another `state` in it. Invisible characters do not make it
/// another one.
fn has_foreign_state(text: &str, state: &str) -> bool {
    let text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let is_other = |(at, name): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let is_parameter = before.is_none_or(|c| c.is_whitespace() || "?#&".contains(c));
        // It may be wrapped.
        let rest = text[at + name.len()..].split_whitespace();
        is_parameter && !rest.collect::<String>().starts_with(state)
    };
    text.match_indices("state=").any(is_other)
}

/// Whether a careless reader finds an address of another host in it.
fn has_foreign_host(text: &str, sign_in: &SignInAttempt) -> bool {
    let host = match sign_in.redirect_uri() {
        RedirectUri::OutOfBand => "gis.example.com",
        RedirectUri::Loopback(_) => "127.0.0.1:53682",
        RedirectUri::Elsewhere(_) => "example.org",
    };
    let text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    // Part of an address that is wrapped.
    if text.split_whitespace().count() > 1 {
        return false;
    }
    text.match_indices("://").take(1).any(|(at, mark)| {
        // The value of a parameter is not where the text comes from.
        if text[..at].contains(['=', '?', '#', '&']) {
            return false;
        }
        let rest = text[at + mark.len()..].trim_start_matches(['/', '\\']);
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let name = plain(&rest[..end], true).to_ascii_lowercase();
        // Marks of pasted text, without their escape characters.
        let name = name.replace("[200~", "").replace("[201~", "");
        let name = name.rsplit('@').next().unwrap_or_default();
        let name = name.strip_suffix(":443").unwrap_or(name);
        name.is_ascii() && name.trim_end_matches('.') != host && !is_same_number(name, host)
    })
}

/// Whether `name` is another way of writing a host that is a number: `127.1` is `127.0.0.1`.
fn is_same_number(name: &str, host: &str) -> bool {
    let origin = |host: &str| Url::parse(&format!("http://{host}/")).map(|url| url.origin());
    let is_number = name.chars().all(|c| c.is_ascii_digit() || ".:".contains(c));
    is_number && origin(name).is_ok_and(|number| origin(host) == Ok(number))
}

/// Percent signs resolved where `resolve` says so; without invisible characters.
fn plain(text: &str, resolve: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let is_hex = |two: &&[u8]| two.iter().all(u8::is_ascii_hexdigit);
        let digits = more.get(..2).filter(is_hex);
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, more) = match octet {
            Some(octet) if resolve && *first == b'%' => (octet, &more[2..]),
            _ if resolve && *first == b'+' => (b' ', more),
            _ => (*first, more),
        };
        bytes.push(byte);
        rest = more;
    }
    String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|c| !is_control(*c) && !is_invisible(*c) && !c.is_whitespace())
        .collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// A request as it arrives, at once and in pieces.
pub fn callback(input: &[u8]) {
    ATTEMPTS.with(|attempts| {
        let (sign_in, state) = &attempts[1];
        let request = match std::str::from_utf8(input) {
            Ok(text) => filled(text, sign_in, state).into_bytes(),
            Err(_) => input.to_vec(),
        };
        let expected = Expected {
            host: "127.0.0.1:53682".into(),
            path: "/callback".into(),
        };
        let step = request.len() / 8 + 1;
        let mut ends = (0..request.len()).step_by(step).chain([request.len()]);
        let heads = [
            complete_head(&request),
            ends.find_map(|end| complete_head(&request[..end])),
        ];
        assert_eq!(heads[0].is_some(), heads[1].is_some());
        let [once, slowly] = heads.map(|head| {
            let head = head?.ok()?;
            check(&head, &expected).ok()
        });
        assert_eq!(once, slowly, "{:?}", String::from_utf8_lossy(&request));
        let Some(query) = once else { return };
        check_request(&request, &query);
        let returned = sign_in.read_callback(&query);
        check_returned(&returned, state);
        let ours = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "state")
            .is_some_and(|(_, value)| value == **state);
        if !matches!(
            returned,
            AuthorizationResponse::Foreign | AuthorizationResponse::OwnUrl
        ) {
            assert!(ours);
        }
    });
}

/// What an answer of a portal must look like.
fn check_request(request: &[u8], query: &str) {
    let end = request
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = std::str::from_utf8(&request[..end]).unwrap();
    let start = head
        .strip_prefix("GET /callback")
        .expect("the registered path");
    let start = start.strip_prefix('?').unwrap_or(start);
    assert!(start.starts_with(query));
    let hosts: Vec<_> = head
        .split("\r\n")
        .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
        .collect();
    assert_eq!(hosts.len(), 1, "{head:?}");
    assert!(hosts[0].contains("127.0.0.1:53682"), "{head:?}");
}
