//! What comes from a portal, through the whole client but its network.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use ureq::http::header::{DATE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::{check_error, check_line, check_shown, parts, CANARY};
use crate::connection::{Connection, Grant, RedirectUri};
use crate::http::{
    ApiCall, ApiResponse, CallError, CertificateRequest, Http, PortalError, RawResponse, Retry,
};
use crate::oauth::{
    self, AuthorizationResponse, SignInAttempt, SignInOptions, TokenError, TokenResponse,
};
use crate::portal::{self, IdentityError};
use crate::secret::Secret;
use crate::token::{AccessToken, RefreshToken};

/// What the client was given and did during one input.
#[derive(Default)]
struct Line {
    answers: VecDeque<RawResponse>,
    asked: usize,
    waits: Vec<Duration>,
}

thread_local! {
    static LINE: RefCell<Line> = RefCell::default();
    static STAGE: (Http, Connection) = stage();
}

/// In place of the network. The last answer is repeated.
pub(crate) fn next_answer() -> RawResponse {
    LINE.with_borrow_mut(|line| {
        line.asked += 1;
        if line.answers.len() > 1 {
            return line.answers.pop_front().unwrap();
        }
        let last = line.answers.front().unwrap();
        RawResponse {
            status: last.status,
            headers: last.headers.clone(),
            body: last.body.clone(),
            proxy: None,
            certificate_request: CertificateRequest::None,
            principal: None,
        }
    })
}

/// In place of waiting.
pub(crate) fn note_wait(wait: Duration) {
    LINE.with_borrow_mut(|line| line.waits.push(wait));
}

fn stage() -> (Http, Connection) {
    let connection = Connection::new(
        "prod".parse().unwrap(),
        "https://gis.example.com/portal".parse().unwrap(),
        Grant::User {
            redirect_uri: RedirectUri::OutOfBand,
            pkce: true,
        },
        "client1".into(),
    );
    (Http::offline(connection.api_url()).unwrap(), connection)
}

/// How often a client that was given these answers asked, and how long it would have waited.
fn given<T>(answers: VecDeque<RawResponse>, call: impl FnOnce() -> T) -> (T, usize, Vec<Duration>) {
    LINE.set(Line {
        answers,
        ..Line::default()
    });
    let outcome = call();
    let line = LINE.take();
    (outcome, line.asked, line.waits)
}

/// A status on the first line, headers, an empty line, a body.
fn received(part: &[u8]) -> RawResponse {
    let mut lines = part.splitn(2, |byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let mut rest = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, more) = (&rest[..end], &rest[end + 1..]);
        rest = more;
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    RawResponse {
        // The HTTP parser accepts no other status.
        status: first
            .trim()
            .parse()
            .ok()
            .filter(|status| (100..1000).contains(status))
            .unwrap_or(200),
        headers,
        body: Zeroizing::new(rest.to_vec()),
        proxy: None,
        certificate_request: CertificateRequest::None,
        principal: None,
    }
}

/// The first line names a call; then come the answers that it gets.
pub fn portal(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let call = lines.next().unwrap_or_default();
    let answers: VecDeque<_> = parts(lines.next().unwrap_or_default())
        .map(received)
        .collect();
    let bodies: Vec<_> = answers.iter().map(|one| one.body.clone()).collect();
    STAGE.with(|(http, connection)| {
        let (questions, asked, waits) = given(answers, || ask(call, http, connection, &bodies));
        assert!(asked <= 3 * questions, "{asked} attempts");
        let longest = Duration::from_secs(20) * u32::try_from(questions).unwrap();
        assert!(waits.iter().sum::<Duration>() <= longest, "{waits:?}");
    });
}

/// Makes the call, and returns of how many requests it consists at most.
fn ask(call: &[u8], http: &Http, connection: &Connection, bodies: &[Zeroizing<Vec<u8>>]) -> usize {
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let secret = Secret::new(CANARY.to_owned());
    let refresh = || RefreshToken {
        secret: secret.duplicate(),
        issued_at: now,
        expires_at: None,
    };
    match call {
        b"refresh" => check_renewed(
            oauth::refresh(http, connection, &refresh(), Some(&secret), now),
            connection,
            bodies,
            now,
        ),
        b"exchange" => {
            let granted = oauth::exchange(http, connection, &refresh(), None, now);
            assert!(granted.as_ref().map_or(true, |new| new.refresh.is_some()));
            check_renewed(granted, connection, bodies, now);
        }
        b"client_credentials" => check_renewed(
            oauth::client_credentials(http, connection, &secret, Some(60), now),
            connection,
            bodies,
            now,
        ),
        b"finish" => {
            let mut sign_in = SignInAttempt::begin(connection, &SignInOptions::default()).unwrap();
            let AuthorizationResponse::Code(code) = sign_in.read_pasted(CANARY) else {
                panic!("a code");
            };
            match sign_in.finish(code, http, connection, Some(&secret), now) {
                Ok(granted) => {
                    assert!(granted.refresh.is_some());
                    check_granted(&granted, now);
                }
                Err(error) => check_error(error),
            }
        }
        b"revoke" => {
            if let Err(error) = oauth::revoke(http, connection, &secret, "refresh_token") {
                check_error(error);
            }
        }
        b"username" => match portal::username(http, &secret) {
            Ok(name) => assert!(!name.is_empty()),
            Err(error) => check_identity(error),
        },
        b"app_info" => match portal::app_info(http, &secret) {
            Ok(info) => {
                for text in [&info.title, &info.app_id, &info.item_id, &info.owner] {
                    check_line(text, 200);
                }
            }
            Err(error) => check_identity(error),
        },
        b"server_token" => {
            let root = "https://gis.example.com/server";
            match portal::server_token(http, root, &secret, now) {
                Ok(token) => {
                    check_token(&token.secret);
                    assert!(token.seconds_left(now) > 0);
                }
                Err(error) => check_call_error(error, http),
            }
        }
        b"api" => {
            let fields = [("q".to_owned(), "roads".to_owned())];
            let call = ApiCall {
                address: "https://gis.example.com/portal/sharing/rest/search",
                post: false,
                fields: &fields,
                file: None,
            };
            match http.api(&call, &secret) {
                Ok(answer) => check_answer(&answer, bodies),
                Err(error) => check_call_error(error, http),
            }
        }
        _ => {
            match portal::probe(http) {
                Ok(info) => {
                    check_line(&info.version, 250);
                    check_line(info.name.as_deref().unwrap_or("name"), 200);
                }
                // No secret was sent that could be repeated.
                Err(error) => drop(check_shown(error)),
            }
            return 2;
        }
    }
    1
}

/// A token travels in a header.
fn check_token(token: &Secret) {
    assert!(!token.is_empty());
    assert!(token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(HeaderValue::from_str(token.expose()).is_ok());
}

fn check_granted(granted: &TokenResponse, now: Timestamp) {
    check_token(&granted.access.secret);
    assert_eq!(granted.access.issued_at, now);
    let life = granted.access.seconds_granted();
    assert!((0..=14 * 24 * 3600).contains(&life), "{life}");
    assert_ne!(granted.username.as_deref(), Some(""));
    if let Some(refresh) = &granted.refresh {
        check_token(&refresh.secret);
        assert!(refresh.known_or_assumed_expiry() > now);
        let days = refresh
            .known_or_assumed_expiry()
            .duration_since(now)
            .as_hours()
            / 24;
        assert!(days <= 3660, "{days}");
    }
    // What is written of it is the same whatever the tokens are.
    let other = TokenResponse {
        access: AccessToken {
            secret: Secret::new("other".into()),
            ..granted.access.duplicate()
        },
        refresh: granted.refresh.as_ref().map(|refresh| RefreshToken {
            secret: Secret::new("other".into()),
            ..refresh.duplicate()
        }),
        username: granted.username.clone(),
    };
    assert_eq!(format!("{granted:?}"), format!("{other:?}"));
}

fn check_renewed(
    outcome: Result<TokenResponse, TokenError>,
    connection: &Connection,
    bodies: &[Zeroizing<Vec<u8>>],
    now: Timestamp,
) {
    match outcome {
        Ok(granted) => check_granted(&granted, now),
        Err(error) => {
            // Only the portal's own code ends a sign-in.
            let has_code = |body: &Zeroizing<Vec<u8>>| body.windows(3).any(|word| word == b"498");
            if matches!(error, TokenError::Revoked(_)) {
                assert!(bodies.iter().any(has_code));
            }
            check_error(error.into_error(connection));
        }
    }
}

fn check_identity(error: IdentityError) {
    if let IdentityError::Failed(error) = error {
        check_error(error);
    }
}

fn check_call_error(error: CallError, http: &Http) {
    if let CallError::Portal(error) = &error {
        check_portal_error(error);
    }
    check_error(portal::into_error(error, http));
}

fn check_portal_error(error: &PortalError) {
    let PortalError {
        kind,
        text,
        details,
        message_code,
        ..
    } = error;
    assert!(!text.is_empty() && details.len() <= 8);
    for line in [text]
        .into_iter()
        .chain(details)
        .chain(kind)
        .chain(message_code)
    {
        check_line(line, 300);
        assert!(!line.contains(CANARY));
    }
}

/// An answer is one that was sent, and not an error.
fn check_answer(answer: &ApiResponse, bodies: &[Zeroizing<Vec<u8>>]) {
    assert!(bodies.iter().any(|body| ***body == *answer.bytes()));
    assert_eq!(format!("{answer:?}"), "ApiResponse(…)");
    if let Ok(value) = answer.json::<Value>() {
        assert!(value.is_object());
        assert!(!value["error"].is_object() && !value["error"].is_string());
    }
}

/// `Retry-After`, then perhaps `Date`, each on its line.
pub fn retry_after(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut header = || HeaderValue::from_bytes(lines.next()?.trim_ascii()).ok();
    let (later, date) = (header(), header());
    let seconds = later
        .as_ref()
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    for (status, retry) in [
        (429, Retry::Freely),
        (503, Retry::OnlyUnsent),
        (500, Retry::OnlyUnsent),
    ] {
        let mut headers = HeaderMap::new();
        headers.extend(later.clone().map(|value| (RETRY_AFTER, value)));
        headers.extend(date.clone().map(|value| (DATE, value)));
        let answer = RawResponse {
            status,
            headers,
            body: Zeroizing::default(),
            proxy: None,
            certificate_request: CertificateRequest::None,
            principal: None,
        };
        let (outcome, asked, waits) = given([answer].into(), || {
            STAGE.with(|(http, _)| http.post("oauth2/token", &[], None, retry))
        });
        let Err(CallError::Failed { error, sent }) = outcome else {
            panic!("a failure");
        };
        check_error(error);
        check_waits(status, retry, seconds, sent, asked, &waits);
    }
}

fn check_waits(
    status: u16,
    retry: Retry,
    seconds: Option<u64>,
    sent: bool,
    asked: usize,
    waits: &[Duration],
) {
    const LONGEST: Duration = Duration::from_secs(10);
    assert!((1..=3).contains(&asked));
    assert_eq!(waits.len(), asked - 1);
    assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
    match seconds.map(Duration::from_secs) {
        // What may have been done is not done twice.
        _ if status == 500 => assert!(asked == 1 && sent),
        Some(wait) if wait <= LONGEST => {
            assert_eq!(waits, [wait, wait]);
            assert!(!sent);
        }
        Some(_) => assert!(asked == 1 && !sent),
        // Perhaps a date.
        None if retry == Retry::OnlyUnsent => assert!(asked == 1 || !sent),
        None => {}
    }
}
