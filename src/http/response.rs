//! Distinguishes a portal's answer from a portal's error, and both from everything else that may
//! arrive.
//!
//! The shapes of errors are those seen from portals, servers and the services around them: most
//! come with HTTP 200. An error never keeps a body, only its message: one line of bounded length
//! without the secrets of the request.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use ureq::http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use ureq::http::HeaderMap;
use url::Url;
use zeroize::Zeroizing;

use super::intermediary;
use super::request::shown;
use super::tls::CertificateRequest;
use crate::connection::Principal;
use crate::error::{Error, PortalMessage, Refusal, Result, Unreachable};
use crate::secret::Secret;
use crate::text::one_line;

/// The longest text taken from a portal's error, in characters.
const LONGEST_TEXT: usize = 300;
/// The longest page title shown, in characters.
const LONGEST_TITLE: usize = 80;
/// Anything shorter cannot be distinguished from ordinary text.
pub(super) const SHORTEST_SECRET: usize = 4;
/// More details than this are not kept.
const MOST_DETAILS: usize = 8;

/// A portal's answer: a JSON object that is not an error. Wiped when dropped, since it may hold
/// tokens.
pub struct ApiResponse {
    body: Zeroizing<Vec<u8>>,
    status: u16,
    date: Option<Timestamp>,
    url: String,
}

impl ApiResponse {
    /// The answer as a value. An object that does not fit does not come from a portal; its text is
    /// never repeated.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(without_bom(&self.body)).map_err(|_| Error::Unreachable {
            connection: None,
            url: self.url.clone(),
            why: Unreachable::NotAPortal {
                status: self.status,
                title: None,
            },
        })
    }

    /// The answer as it came, byte for byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// What the portal's clock showed, to the second.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.date
    }
}

impl fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiResponse(…)")
    }
}

/// The portal's own error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalError {
    /// HTTP status; mostly 200.
    pub status: u16,
    /// The portal's code: 498, 400 …
    pub code: Option<i64>,
    /// What OAuth calls `error`: `invalid_client_id`, `invalid_request` …
    pub kind: Option<String>,
    /// The message, one line of bounded length.
    pub text: String,
    /// Further lines.
    pub details: Vec<String>,
    /// The portal's finer code: `GWM_0003` …
    pub message_code: Option<String>,
    /// The URL, without query.
    pub url: String,
}

impl PortalError {
    /// Whether the portal reports a problem that may pass by itself (429, 5xx).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code
            .is_some_and(|code| code == 429 || (500..600).contains(&code))
    }

    /// Whether a resource did not accept the token: 498 (invalid, expired, or sent with a wrong
    /// referer) or 499 (no token, or one that it does not take). Another token may be accepted.
    /// That would not help against 403, which means that a privilege is missing.
    #[must_use]
    pub fn is_invalid_token(&self) -> bool {
        matches!(self.code, Some(498 | 499))
    }

    /// The message with its further lines.
    #[must_use]
    pub fn whole_text(&self) -> String {
        let mut lines = vec![self.text.as_str()];
        let details = self.details.iter().map(String::as_str);
        lines.extend(details.filter(|line| !line.is_empty() && *line != self.text));
        lines.join(" ")
    }

    /// A refusal with the portal's code and message.
    #[must_use]
    pub fn as_refusal(&self) -> Refusal {
        Refusal::Other {
            code: self.code,
            text: self.text.clone(),
        }
    }
}

/// What was received in place of an answer.
pub(super) enum Classified {
    /// The portal's own error.
    Portal(Box<PortalError>),
    /// Something that is not a portal, or a portal that does not work now.
    Unreachable(Unreachable),
    /// The web server in front of the portal refuses.
    Refused(Refusal),
}

impl Classified {
    /// The error of a request to `url`. The portal's own error is a refusal with its message.
    pub(super) fn into_error(self, url: &str) -> Error {
        let (connection, url) = (None, url.to_owned());
        let why = match self {
            Self::Unreachable(why) => {
                return Error::Unreachable {
                    connection,
                    url,
                    why,
                }
            }
            Self::Refused(why) => why,
            Self::Portal(error) => Refusal::Other {
                code: error.code,
                text: error.text,
            },
        };
        Error::Refused {
            connection,
            url,
            why,
        }
    }
}

/// An HTTP response as it was received.
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// The proxy that it came through, without its password.
    pub(crate) proxy: Option<String>,
    /// Whether the server asked for a client certificate in the TLS handshake, and got one.
    pub(crate) certificate_request: CertificateRequest,
    /// As whom the request answered Windows sign-in; `None` where it did not.
    pub(crate) principal: Option<Principal>,
}

impl RawResponse {
    pub(super) fn header(&self, name: impl ureq::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    fn date(&self) -> Option<Timestamp> {
        http_date(self.header(DATE)?)
    }

    /// `Retry-After`, in seconds or as a date, as a time from `now`.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.header(RETRY_AFTER)?;
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let left = http_date(text)?.duration_since(self.date().unwrap_or(now));
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    pub(super) fn is_html(&self) -> bool {
        let declared = self
            .header(CONTENT_TYPE)
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
        declared || first_byte(&self.body) == Some(b'<')
    }
}

/// RFC 9110's dates are RFC 5322's.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

/// Classifies a response: the portal's answer, or what it is instead. The order matters, and each
/// step says why.
pub(super) fn classify(
    received: RawResponse,
    url: &Url,
    secrets: &[&Secret],
) -> std::result::Result<ApiResponse, Classified> {
    // First what a proxy or web server in front of the portal says, whatever its body looks like.
    if let Some(classified) = intermediary::classify_head(&received, url, secrets) {
        return Err(classified);
    }
    let status = received.status;
    match read_envelope(&received.body, secrets) {
        // The portal's own error, mostly with HTTP 200; one that may pass is a matter of the arms
        // below.
        Body::Object(Some(mut error)) if !error.is_transient() && status != 429 => {
            error.status = status;
            error.url = shown(url);
            Err(Classified::Portal(Box::new(error)))
        }
        // An error that may pass, inside another status: the portal does not work now.
        Body::Object(Some(error)) if error.is_transient() && status < 429 => {
            let code = error.code.and_then(|code| u16::try_from(code).ok());
            Err(unavailable(code.unwrap_or(status), Some(error.text)))
        }
        // The same as an HTTP status, with any body.
        Body::Object(Some(error)) if status == 429 || status >= 500 => {
            Err(unavailable(status, Some(error.text)))
        }
        _ if status == 429 || status >= 500 => {
            Err(unavailable(status, page_title(&received, secrets)))
        }
        // An object without an error in a success: the answer.
        Body::Object(None) if (200..300).contains(&status) && !received.is_html() => {
            Ok(ApiResponse {
                date: received.date(),
                body: received.body,
                status,
                url: shown(url),
            })
        }
        // A connection that ended early where no length was announced.
        Body::Truncated => Err(Classified::Unreachable(Unreachable::Broken(
            "the answer ends in the middle".to_owned(),
        ))),
        _ => Err(intermediary::classify_page(&received, secrets)
            .unwrap_or_else(|| not_a_portal(&received, secrets))),
    }
}

/// The portal, or what is in front of it, does not work now; `said` is its message or the title of
/// its page.
fn unavailable(status: u16, said: Option<String>) -> Classified {
    Classified::Unreachable(Unreachable::Status {
        status,
        said: said.map(PortalMessage),
    })
}

fn not_a_portal(received: &RawResponse, secrets: &[&Secret]) -> Classified {
    Classified::Unreachable(Unreachable::NotAPortal {
        status: received.status,
        title: page_title(received, secrets),
    })
}

/// The title of an HTML page.
pub(super) fn page_title(received: &RawResponse, secrets: &[&Secret]) -> Option<String> {
    received
        .is_html()
        .then(|| title(&received.body, secrets))
        .flatten()
}

/// The text between `<title>` and `</title>`, entities left as they are.
fn title(html: &[u8], secrets: &[&Secret]) -> Option<String> {
    let text = String::from_utf8_lossy(html);
    let lower = text.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower.get(tag..)?.find('>')? + 1;
    let length = lower.get(start..)?.find("</title")?;
    let title = scrub(text.get(start..start + length)?, secrets);
    let title = one_line(&title, LONGEST_TITLE);
    (!title.is_empty()).then_some(title)
}

/// Takes the request's secrets out of a text, should the portal repeat them.
pub(super) fn scrub(text: &str, secrets: &[&Secret]) -> String {
    secrets
        .iter()
        .filter(|secret| secret.expose().len() >= SHORTEST_SECRET)
        .fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose(), "…")
        })
}

/// A portal's text as it may be shown.
fn word(value: &Value, secrets: &[&Secret]) -> Option<String> {
    let word = one_line(&scrub(value.as_str()?, secrets), LONGEST_TEXT);
    (!word.is_empty()).then_some(word)
}

/// What a body is.
enum Body {
    /// A JSON object, and the error in it.
    Object(Option<PortalError>),
    /// The beginning of a JSON object.
    Truncated,
    /// Anything else.
    Other,
}

/// Looks for an error. Reads by a shape that skips every other member, so that no token is copied.
fn read_envelope(body: &[u8], secrets: &[&Secret]) -> Body {
    if first_byte(body) != Some(b'{') {
        return Body::Other;
    }
    match serde_json::from_slice::<Envelope>(without_bom(body)) {
        Ok(envelope) => Body::Object(envelope.into_error(secrets)),
        Err(error) if error.is_eof() => Body::Truncated,
        Err(_) => Body::Other,
    }
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn first_byte(body: &[u8]) -> Option<u8> {
    without_bom(body)
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

/// The members that describe an error, at the top of an object or within `error`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    error: Value,
    error_description: Value,
    code: Value,
    status: Value,
    message: Value,
    messages: Value,
    details: Value,
    #[serde(rename = "messageCode")]
    message_code: Value,
}

impl Envelope {
    fn into_error(self, secrets: &[&Secret]) -> Option<PortalError> {
        match &self.error {
            Value::Object(_) => {
                // `error` within `error` is OAuth's word; everything else stands beside it.
                let inner: Self = serde_json::from_value(self.error).unwrap_or_default();
                Some(inner.describe(secrets))
            }
            Value::String(_) => Some(self.describe(secrets)),
            _ if self.is_flat_error() => Some(self.describe(secrets)),
            _ => None,
        }
    }

    /// `{"status":"error","messages":[…],"code":498}` and
    /// `{"code":500,"message":…,"status":"failure"}`.
    fn is_flat_error(&self) -> bool {
        let failed = matches!(self.status.as_str(), Some("error" | "failure"));
        let has_message = !self.message.is_null() || !self.messages.is_null();
        let code = integer(&self.code).is_some_and(|code| code >= 400);
        (failed && (has_message || code)) || (has_message && code)
    }

    fn describe(&self, secrets: &[&Secret]) -> PortalError {
        let mut details = lines(&self.details, secrets);
        let mut texts = lines(&self.error_description, secrets);
        texts.extend(lines(&self.message, secrets));
        texts.extend(lines(&self.messages, secrets));
        if texts.is_empty() {
            texts.append(&mut details);
        }
        let mut texts = texts.into_iter();
        let text = texts.next().unwrap_or_else(|| "no message".to_owned());
        let mut rest: Vec<String> = texts.chain(details).filter(|line| *line != text).collect();
        rest.dedup();
        rest.truncate(MOST_DETAILS);
        PortalError {
            status: 0,
            code: integer(&self.code),
            kind: word(&self.error, secrets),
            text,
            details: rest,
            message_code: word(&self.message_code, secrets),
            url: String::new(),
        }
    }
}

/// A number, or a text that is one.
fn integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// The lines of a text or of a list of texts; anything else has none.
fn lines(value: &Value, secrets: &[&Secret]) -> Vec<String> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    list.iter()
        .filter_map(|value| word(value, secrets))
        .take(MOST_DETAILS)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use proptest::prelude::*;
    use ureq::http::header::{LOCATION, WWW_AUTHENTICATE};
    use ureq::http::HeaderValue;

    use super::*;

    fn error(body: &str) -> Option<PortalError> {
        match read_envelope(body.as_bytes(), &[]) {
            Body::Object(error) => error,
            _ => panic!("no object: {body}"),
        }
    }

    #[test]
    fn every_shape_of_error_is_recognized() {
        for (body, code, kind, text, details) in [
            (
                r#"{"error":{"code":400,"error":"invalid_client_id","error_description":"Invalid client_id","message":"Invalid client_id","details":[]}}"#,
                Some(400),
                Some("invalid_client_id"),
                "Invalid client_id",
                vec![],
            ),
            (
                r#"{"error":{"code":498,"message":"Invalid token.","details":["a","b"]}}"#,
                Some(498),
                None,
                "Invalid token.",
                vec!["a", "b"],
            ),
            (
                r#"{"error":{"code":"499","message":null,"details":"Token Required"}}"#,
                Some(499),
                None,
                "Token Required",
                vec![],
            ),
            (
                r#"{"error":{"message":"x","details":null}}"#,
                None,
                None,
                "x",
                vec![],
            ),
            (r#"{"error":{}}"#, None, None, "no message", vec![]),
            (
                r#"{"status":"error","messages":["Token Expired."],"code":498}"#,
                Some(498),
                None,
                "Token Expired.",
                vec![],
            ),
            (
                r#"{"code":500,"message":"no","status":"failure","details":null}"#,
                Some(500),
                None,
                "no",
                vec![],
            ),
            (
                r#"{"error":"invalid_request","error_description":"why"}"#,
                None,
                Some("invalid_request"),
                "why",
                vec![],
            ),
        ] {
            let found = error(body).unwrap();
            assert_eq!(found.code, code, "{body}");
            assert_eq!(found.kind.as_deref(), kind, "{body}");
            assert_eq!(found.text, text, "{body}");
            assert_eq!(found.details, details, "{body}");
        }
        let found = error(r#"{"error":{"messageCode":"GWM_0003","message":"m"}}"#).unwrap();
        assert_eq!(found.message_code.as_deref(), Some("GWM_0003"));
    }

    #[test]
    fn an_answer_is_not_an_error() {
        for body in [
            "{}",
            r#"{"error":null}"#,
            r#"{"status":"ok","code":200}"#,
            r#"{"success":true,"message":"m"}"#,
            "\u{feff} {\"access_token\":\"t\"}",
        ] {
            assert!(error(body).is_none(), "{body}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_before_the_text_is_cut() {
        let secret = Secret::new("s".repeat(400));
        let text = Value::from(format!("Invalid {}", secret.expose()));
        assert_eq!(word(&text, &[&secret]).unwrap(), "Invalid …");
    }

    fn received(status: u16, body: Vec<u8>, header: &str) -> RawResponse {
        let mut headers = HeaderMap::new();
        if let Ok(value) = header.parse::<HeaderValue>() {
            for name in [CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE] {
                headers.insert(name, HeaderValue::clone(&value));
            }
        }
        RawResponse {
            status,
            headers,
            body: Zeroizing::new(body),
            proxy: None,
            certificate_request: CertificateRequest::None,
            principal: None,
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(status in 100_u16..1000, body: Vec<u8>, header: String) {
            let url = Url::parse("https://portal.example.com/x").unwrap();
            let _ = classify(received(status, body, &header), &url, &[]);
        }

        #[test]
        fn no_object_makes_it_panic(
            status in 100_u16..1000,
            code in "[0-9\"a\\[\\]{}:,nul]{0,12}",
            text in "\\PC*",
        ) {
            let text = Value::from(text);
            let url = Url::parse("https://portal.example.com/x").unwrap();
            for body in [
                format!(r#"{{"error":{{"code":{code},"message":{text},"details":{code}}}}}"#),
                format!(r#"{{"status":"error","messages":[{text}],"code":{code}}}"#),
                format!("<title>{text}"),
                format!("<title>{text}</title>"),
            ] {
                let _ = classify(received(status, body.into_bytes(), ""), &url, &[]);
            }
        }
    }
}
