//! Faults: what goes wrong at which endpoint, and what is sent instead of the response.
//!
//! A fault happens either before the portal processes the request (nothing has changed) or after it
//! (the request was processed, and only the response is affected).
//! [`Fault::happens_after_processing`] says which; the rules about spent tokens depend on it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{json, Value};

use super::http::Response;
use super::pages;

/// Longest wait at a gate, so that a test that failed before opening it still ends.
const GATE_LIMIT: Duration = Duration::from_secs(60);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Every request.
    Any,
    /// Before there is a request: the TLS handshake.
    Handshake,
    Authorize,
    SignIn,
    Approval,
    /// Every grant at the token endpoint.
    Token,
    /// The token endpoint, `authorization_code`.
    Code,
    /// The token endpoint, `refresh_token`.
    Refresh,
    /// The token endpoint, `exchange_refresh_token`.
    Exchange,
    /// The token endpoint, `client_credentials`.
    AppToken,
    /// The token endpoint, anything else.
    OtherGrant,
    Revoke,
    GenerateToken,
    Root,
    Info,
    PortalSelf,
    /// `portals/self/servers`.
    Servers,
    /// `portals/self/users`.
    Users,
    CommunitySelf,
    User,
    /// `community/groups/…`.
    Group,
    Search,
    /// `content/groups/…`.
    GroupContent,
    /// `content/items/…`.
    Item,
    /// `content/items/…/data`.
    ItemData,
    /// `content/users/…/addItem`.
    AddItem,
    RegisteredApp,
    Home,
    /// `/portal/sharing/servers/…`, a service that the portal itself serves.
    PortalLayer,
    /// `/server/…`, a federated server.
    Federated,
    /// `/standalone/…`, a server that is not federated.
    Standalone,
    Unknown,
}

impl Endpoint {
    /// Whether a fault planned for `self` applies to a request for `actual`.
    pub(super) fn covers(self, actual: Self) -> bool {
        self == actual
            || (self == Self::Any && actual != Self::Handshake)
            || (self == Self::Token && actual.is_token())
    }

    /// Whether this is a request to the token endpoint.
    pub fn is_token(self) -> bool {
        matches!(
            self,
            Self::Token
                | Self::Code
                | Self::Refresh
                | Self::Exchange
                | Self::AppToken
                | Self::OtherGrant
        )
    }
}

/// One way in which a response goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The portal processes the request, then waits before it responds.
    Delay(Duration),
    /// The portal waits at the gate before it processes the request.
    HoldBefore(Gate),
    /// The portal processes the request, then waits at the gate before it responds.
    HoldAfter(Gate),
    /// The portal processes the request, counts it at the gate, and waits until the client has
    /// left.
    HoldUntilLeft(Gate),
    /// An HTML error page, as from a web adaptor.
    Status(u16),
    /// The same with a `Retry-After` header.
    RetryAfter(u16, String),
    /// Status 200 with an HTML page, as from a proxy that requires a sign-in.
    Html200,
    Redirect {
        status: u16,
        to: String,
    },
    /// The connection ends when the request has been read; it is not processed.
    ResetBefore,
    /// The portal processes the request, then the connection ends without a response: the lost
    /// response.
    ResetAfter,
    /// The portal processes the request; the connection ends half-way through the announced body.
    Truncated,
    /// The portal processes the request; `Content-Length` announces half of what is sent.
    WrongLength,
    /// The portal processes the request; its response arrives one byte per interval.
    Drip(Duration),
    /// A JSON body of this many bytes.
    Huge(usize),
    /// A gzip body that expands to this many bytes, about 158 times its size.
    GzipBomb(usize),
    /// JSON nested this deep.
    DeepJson(usize),
    InvalidUtf8,
    /// The right keys with values of the wrong types.
    WrongTypes,
    /// 401 with these `WWW-Authenticate` lines and the HTML page of a web server.
    Unauthorized(Vec<String>),
    /// 407, as from a proxy that terminates TLS.
    ProxyAuth407,
    /// The connection ends after the client's first handshake message.
    TlsClose,
    /// These bytes instead of an HTTP response.
    Raw(Vec<u8>),
    /// Status 200 with this JSON; the request is not processed.
    Json(Value),
    /// Another status with this JSON; the request is not processed.
    JsonStatus(u16, Value),
    /// No response; the connection stays open until the client closes it or a minute has passed.
    Silence,
}

impl Fault {
    /// Web-tier authentication as IIS does it.
    pub fn integrated_windows() -> Self {
        Self::Unauthorized(vec!["Negotiate".to_owned(), "NTLM".to_owned()])
    }

    /// Every response that is not one of a portal, each with a name for a table of cases. None of
    /// them processes the request.
    pub fn malformed() -> Vec<(&'static str, Self)> {
        vec![
            ("html", Self::Html200),
            ("huge", Self::Huge(8 * 1024 * 1024)),
            ("gzip bomb", Self::GzipBomb(256 * 1024 * 1024)),
            ("deep json", Self::DeepJson(100_000)),
            ("no text", Self::InvalidUtf8),
            ("wrong types", Self::WrongTypes),
            ("null", Self::Json(Value::Null)),
            ("list", Self::Json(json!([]))),
            ("empty object", Self::Json(json!({}))),
            ("empty error", Self::Json(json!({"error": {}}))),
            (
                "error without code",
                Self::Json(json!({"error": {"message": null, "details": null}})),
            ),
            (
                "error that is text",
                Self::Json(json!({"error": "invalid_grant"})),
            ),
            ("no http", Self::Raw(b"SSH-2.0-practice\r\n".to_vec())),
            ("nothing", Self::ResetBefore),
        ]
    }

    /// A portal error in HTTP 200 (envelope B of the protocol notes).
    pub fn error(code: u16, message: &str) -> Self {
        Self::Json(json!({"error": {"code": code, "message": message, "details": []}}))
    }

    /// Whether the portal processes the request before the fault happens.
    pub fn happens_after_processing(&self) -> bool {
        matches!(
            self,
            Self::Delay(_)
                | Self::HoldBefore(_)
                | Self::HoldAfter(_)
                | Self::HoldUntilLeft(_)
                | Self::ResetAfter
                | Self::Truncated
                | Self::WrongLength
                | Self::Drip(_)
        )
    }

    /// The response of a fault that happens before processing. `None` if the connection just ends.
    pub fn answer(&self) -> Option<Response> {
        Some(match self {
            Self::Status(status) => Response::html(*status, pages::maintenance(*status)),
            Self::RetryAfter(status, when) => {
                Response::html(*status, pages::maintenance(*status)).with("Retry-After", when)
            }
            Self::Html200 => Response::html(200, pages::proxy_login()),
            Self::Redirect { status, to } => Response::redirect(*status, to),
            Self::Huge(size) => json_text(huge_json(*size)),
            Self::GzipBomb(size) => json_text(gzip_bomb(*size)).with("Content-Encoding", "gzip"),
            Self::DeepJson(depth) => json_text("[".repeat(*depth) + &"]".repeat(*depth)),
            Self::InvalidUtf8 => json_text(b"{\"access_token\":\"\xff\xfe\xc3\"}".to_vec()),
            Self::WrongTypes => Response::json(&wrong_types()),
            Self::Unauthorized(schemes) => unauthorized(schemes),
            Self::ProxyAuth407 => Response::html(407, pages::maintenance(407))
                .with("Proxy-Authenticate", "Basic realm=\"practice\""),
            Self::Json(value) => Response::json(value),
            Self::JsonStatus(status, value) => {
                Response::new(*status, "application/json", value.to_string())
            }
            _ => return None,
        })
    }
}

fn unauthorized(schemes: &[String]) -> Response {
    let page = Response::html(401, pages::unauthorized());
    schemes.iter().fold(page, |response, scheme| {
        response.with("WWW-Authenticate", scheme)
    })
}

fn json_text(body: impl Into<Vec<u8>>) -> Response {
    Response::new(200, "application/json;charset=UTF-8", body)
}

fn huge_json(size: usize) -> String {
    format!(
        "{{\"access_token\":\"{}\"}}",
        "x".repeat(size.saturating_sub(19))
    )
}

/// Every key that a client might read, each with a type that it must not accept.
fn wrong_types() -> Value {
    json!({
        "access_token": 12345, "expires_in": "soon", "refresh_token": ["a"],
        "refresh_token_expires_in": {"seconds": 1}, "username": {"name": "x"}, "ssl": 3,
        "success": "perhaps", "user": "nobody", "appInfo": [1, 2], "currentVersion": [11, 4],
        "enterpriseVersion": {"major": 11}, "owningSystemUrl": 7, "authInfo": "none",
        "token": false, "expires": "never", "id": 5, "name": null, "results": 1, "total": "many",
    })
}

/// Spaces, packed with the fixed code of RFC 1951 (3.2.6): one literal, then matches of 258 bytes
/// at distance 1. The checksum is left at zero: a reader that gets that far has already expanded
/// everything.
fn gzip_bomb(size: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b11, 2); // Last block; the low bit of type 01.
    bits.push(0, 1);
    bits.push_code(0x30 + u32::from(b' '), 8);
    for _ in 0..size / 258 {
        bits.push_code(0b1100_0101, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.bytes);
    bytes.extend([0; 8]);
    bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// Appends `count` bits, lowest first.
    fn push(&mut self, value: u32, count: usize) {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= u8::from(value >> bit & 1 == 1) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// Appends a Huffman code, whose bits go highest first.
    fn push_code(&mut self, code: u32, count: usize) {
        for bit in (0..count).rev() {
            self.push(code >> bit & 1, 1);
        }
    }
}

/// Sends `response` with `fault`. `Ok(false)` if the client cannot have received all of it.
pub fn send(
    stream: &mut impl Write,
    response: &Response,
    date: &str,
    fault: Option<&Fault>,
) -> io::Result<bool> {
    let body = &response.body;
    let half = body.len() / 2;
    let whole = match fault {
        Some(Fault::ResetAfter) => return Ok(false),
        Some(Fault::Truncated) => {
            stream.write_all(&response.head(date, body.len()))?;
            stream.write_all(&body[..half])?;
            false
        }
        Some(Fault::WrongLength) => {
            stream.write_all(&response.head(date, half))?;
            stream.write_all(body)?;
            false
        }
        Some(Fault::Drip(interval)) => {
            drip(stream, &response.head(date, body.len()), *interval)?;
            drip(stream, body, *interval)?;
            true
        }
        _ => {
            stream.write_all(&response.head(date, body.len()))?;
            stream.write_all(body)?;
            true
        }
    };
    stream.flush()?;
    Ok(whole)
}

fn drip(stream: &mut impl Write, bytes: &[u8], interval: Duration) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte])?;
        stream.flush()?;
        std::thread::sleep(interval);
    }
    Ok(())
}

/// Faults in the order in which they were planned; the first that covers a request applies to it.
#[derive(Default)]
pub struct Plan(Vec<Planned>);

struct Planned {
    endpoint: Endpoint,
    fault: Fault,
    /// `None`: always.
    left: Option<u32>,
}

impl Plan {
    pub fn add(&mut self, endpoint: Endpoint, fault: Fault, times: Option<u32>) {
        self.0.push(Planned {
            endpoint,
            fault,
            left: times,
        });
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether planned faults with a number of times are still to come.
    pub fn pending(&self) -> usize {
        self.0
            .iter()
            .filter(|planned| planned.left.is_some())
            .count()
    }

    /// Takes the fault for a request, if one is planned.
    pub fn take(&mut self, actual: Endpoint) -> Option<Fault> {
        let index = self
            .0
            .iter()
            .position(|planned| planned.endpoint.covers(actual))?;
        let planned = &mut self.0[index];
        let fault = planned.fault.clone();
        if let Some(left) = &mut planned.left {
            *left -= 1;
            if *left == 0 {
                self.0.remove(index);
            }
        }
        Some(fault)
    }
}

/// Holds requests until the test opens it, so that races need no sleep.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all waiting and all later requests continue.
    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }

    /// Waits until that many requests have come to the gate; panics after a minute.
    pub fn await_arrivals(&self, count: usize) {
        let (state, changed) = &*self.0;
        let deadline = Instant::now() + GATE_LIMIT;
        let mut state = state.lock().unwrap();
        while state.arrived < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {count} requests came to the gate",
                state.arrived
            );
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }

    pub(super) fn arrive(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().arrived += 1;
        changed.notify_all();
    }

    pub(super) fn wait_until_open(&self) {
        self.arrive();
        let (state, changed) = &*self.0;
        let deadline = Instant::now() + GATE_LIMIT;
        let mut state = state.lock().unwrap();
        while !state.open {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}
