//! From a status, a few headers and a body to JSON, or to what is wrong with it. No network here.
//!
//! The shapes of ArcGIS's errors: an `error` object inside HTTP 200 (portal and OAuth endpoints), `status: error` with
//! `messages` (server administration), a bare `code` and `message` (billing services), and the same inside real 4xx/5xx
//! answers of newer services.

use std::time::Duration;

use jiff::fmt::rfc2822;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use zeroize::Zeroizing;

use crate::error::{Error, Refused, Result, Unreachable};
use crate::oauth::one_line;

/// A title longer than this is no title.
const MAX_TITLE: usize = 80;

/// JSON that is no error.
#[derive(Debug)]
pub struct Answer {
    body: Zeroizing<Vec<u8>>,
    date: Option<Timestamp>,
}

impl Answer {
    /// The answer as a type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|_| Error::Unreachable {
            connection: None,
            url: "the portal".into(),
            why: Unreachable::NotAPortal {
                status: 200,
                title: None,
            },
        })
    }

    /// The portal's clock, by the answer's `Date`.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.date
    }
}

/// A call that brought no answer.
#[derive(Debug)]
pub enum CallError {
    /// The portal was not reached, or what answered is no portal, or something in front of it says no.
    Failed {
        /// What happened.
        error: Error,
        /// Whether a byte of the request may have left this machine, so that the portal may have acted.
        sent: bool,
    },
    /// The portal says no. What that means depends on what was asked.
    Portal(PortalError),
}

/// An error in a portal's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalError {
    /// The HTTP status, mostly 200.
    pub status: u16,
    /// The portal's code: 400, 403, 498, 499 …
    pub code: Option<i64>,
    /// `error.error`, on OAuth endpoints alone: `invalid_request`, `invalid_client_id`.
    pub kind: Option<String>,
    /// One line of bounded length.
    pub text: String,
    /// More lines.
    pub details: Vec<String>,
    /// `GWM_0003` and the like.
    pub message_code: Option<String>,
}

/// What matters of an answer's head.
pub(super) struct Head {
    status: u16,
    html: bool,
    location: Option<String>,
    schemes: Vec<String>,
    retry_after: Option<String>,
    date: Option<Timestamp>,
}

impl Head {
    pub(super) fn of<B>(response: &Response<B>) -> Self {
        let headers = response.headers();
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Self {
            status: response.status().as_u16(),
            html: text("content-type").is_some_and(|kind| kind.contains("html")),
            location: text("location"),
            schemes: headers
                .get_all("www-authenticate")
                .iter()
                .filter_map(|value| value.to_str().ok()?.split_whitespace().next())
                .map(one_line)
                .collect(),
            retry_after: text("retry-after"),
            date: text("date")
                .and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(&date).ok()),
        }
    }

    /// How long the portal asks to wait: seconds, or a date.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        // Against the portal's own clock where it is known: ours may be off.
        let left = at.duration_since(self.date.unwrap_or(now));
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }
}

/// Why an answer is none.
pub(super) enum No {
    Unreachable(Unreachable),
    Refused(Refused),
    Portal(PortalError),
}

pub(super) fn judge(head: &Head, body: Zeroizing<Vec<u8>>) -> std::result::Result<Answer, No> {
    let status = head.status;
    if (300..400).contains(&status) {
        return Err(No::Unreachable(Unreachable::Redirected {
            status,
            to: head.location.as_deref().and_then(host_of),
        }));
    }
    if status == 407 {
        return Err(No::Unreachable(Unreachable::Proxy {
            proxy: "on the way".into(),
            what: "HTTP 407".into(),
            authentication: true,
        }));
    }
    let envelope = Envelope::of(&body);
    let error = envelope.as_ref().and_then(|e| e.error(status));
    if let Some(error) = error {
        let code = error.code.unwrap_or_else(|| i64::from(status));
        // The portal's own trouble, not an answer to what was asked.
        if status == 429 || code == 429 || (500..600).contains(&code) {
            let code = u16::try_from(code).unwrap_or(status);
            return Err(No::Unreachable(Unreachable::Status(code)));
        }
        return Err(No::Portal(error));
    }
    if status == 429 || status >= 500 {
        return Err(No::Unreachable(Unreachable::Status(status)));
    }
    if status == 401 && !head.schemes.is_empty() {
        return Err(No::Refused(Refused::WebTier(head.schemes.clone())));
    }
    if (200..300).contains(&status) && envelope.is_some() {
        return Ok(Answer {
            body,
            date: head.date,
        });
    }
    let is_page = head.html || body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    Err(No::Unreachable(Unreachable::NotAPortal {
        status,
        title: if is_page { title(&body) } else { None },
    }))
}

fn host_of(location: &str) -> Option<String> {
    let url = url::Url::parse(location).ok()?;
    url.host_str().map(str::to_owned)
}

/// A page's title, on one line and not too long.
fn title(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = one_line(&text[start..end]);
    // The portal's approval page carries the code in its title.
    if title.is_empty() || title.contains("code=") {
        return None;
    }
    Some(title.chars().take(MAX_TITLE).collect())
}

/// What in a JSON object may be an error. Nothing else of it is kept.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Envelope {
    error: Value,
    error_description: Value,
    status: Value,
    code: Value,
    message: Value,
    messages: Value,
    details: Value,
}

impl Envelope {
    /// Nothing where the body is no JSON object.
    fn of(body: &[u8]) -> Option<Self> {
        let starts_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        serde_json::from_slice(body).ok().filter(|_| starts_object)
    }

    fn error(&self, status: u16) -> Option<PortalError> {
        match &self.error {
            Value::Object(error) => {
                let get = |name: &str| error.get(name).unwrap_or(&Value::Null);
                let details = lines(get("details"));
                let kind = line(get("error"));
                let text = line(get("error_description"))
                    .or_else(|| line(get("message")))
                    .or_else(|| details.first().cloned())
                    .or_else(|| kind.clone());
                Some(PortalError {
                    status,
                    code: number(get("code")),
                    kind,
                    text: text.unwrap_or_else(|| "no reason given".into()),
                    details,
                    message_code: line(get("messageCode")),
                })
            }
            Value::String(kind) => Some(PortalError {
                status,
                code: number(&self.code),
                kind: Some(one_line(kind)),
                text: line(&self.error_description).unwrap_or_else(|| one_line(kind)),
                details: Vec::new(),
                message_code: None,
            }),
            _ => self.plain_error(status),
        }
    }

    /// Server administration (`status: error`) and bare codes.
    fn plain_error(&self, status: u16) -> Option<PortalError> {
        let code = number(&self.code);
        let says_error = matches!(self.status.as_str(), Some("error" | "failure"));
        if !says_error && code.is_none_or(|code| code < 400) {
            return None;
        }
        let messages = lines(&self.messages);
        Some(PortalError {
            status,
            code,
            kind: None,
            text: line(&self.message)
                .or_else(|| messages.first().cloned())
                .unwrap_or_else(|| "no reason given".into()),
            details: lines(&self.details),
            message_code: None,
        })
    }
}

fn line(value: &Value) -> Option<String> {
    value.as_str().map(one_line).filter(|text| !text.is_empty())
}

/// `details` is an array, a string, null, or absent.
fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().filter_map(line).take(8).collect(),
        other => line(other).into_iter().collect(),
    }
}

fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(status: u16) -> Head {
        Head {
            status,
            html: false,
            location: None,
            schemes: Vec::new(),
            retry_after: None,
            date: None,
        }
    }

    fn judged(status: u16, body: &str) -> std::result::Result<Answer, No> {
        judge(&head(status), Zeroizing::new(body.as_bytes().to_vec()))
    }

    fn portal_error(status: u16, body: &str) -> PortalError {
        match judged(status, body) {
            Err(No::Portal(error)) => error,
            _ => panic!("no portal error: {body}"),
        }
    }

    #[test]
    fn errors_inside_http_200_are_errors() {
        let error = portal_error(
            200,
            r#"{"error":{"code":400,"error":"invalid_client_id","error_description":"Invalid client_id","message":"Invalid client_id","details":[]}}"#,
        );
        assert_eq!(error.code, Some(400));
        assert_eq!(error.kind.as_deref(), Some("invalid_client_id"));
        assert_eq!(error.text, "Invalid client_id");
    }

    #[test]
    fn every_known_envelope_is_recognised() {
        for (body, code, text) in [
            (
                r#"{"error":{"code":498,"message":"Invalid token.","details":[]}}"#,
                Some(498),
                "Invalid token.",
            ),
            (
                r#"{"error":{"code":"499","message":null,"details":"Token Required"}}"#,
                Some(499),
                "Token Required",
            ),
            (r#"{"error":{"message":"no code"}}"#, None, "no code"),
            (
                r#"{"status":"error","messages":["Token Expired."],"code":498}"#,
                Some(498),
                "Token Expired.",
            ),
            (
                r#"{"code":403,"message":"no","status":"failure","details":null}"#,
                Some(403),
                "no",
            ),
            (
                r#"{"error":"invalid_request","error_description":"bad\nthing"}"#,
                None,
                "bad thing",
            ),
            (r#"{"error":{}}"#, None, "no reason given"),
        ] {
            let error = portal_error(200, body);
            assert_eq!((error.code, error.text.as_str()), (code, text), "{body}");
        }
        assert_eq!(
            portal_error(400, r#"{"error":{"code":400,"message":"x"}}"#).status,
            400
        );
    }

    #[test]
    fn a_portals_own_trouble_is_no_answer() {
        for (status, body) in [
            (503, "<html>down</html>"),
            (500, "{}"),
            (200, r#"{"error":{"code":500,"message":"x"}}"#),
            (200, r#"{"code":503,"message":"x","status":"failure"}"#),
            (429, ""),
        ] {
            assert!(
                matches!(
                    judged(status, body),
                    Err(No::Unreachable(Unreachable::Status(_)))
                ),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn pages_are_told_by_their_title_and_codes_in_titles_are_not() {
        match judged(200, "<html><title>\n Web  Adaptor </title></html>") {
            Err(No::Unreachable(Unreachable::NotAPortal { status, title })) => {
                assert_eq!((status, title.as_deref()), (200, Some("Web  Adaptor")));
            }
            _ => panic!("a page"),
        }
        assert_eq!(title(b"<title>SUCCESS code=abc</title>"), None);
        assert_eq!(title(b"<title>open"), None);
        for no_object in ["[]", "null", "1", "", "\"x\"", "{"] {
            assert!(
                matches!(
                    judged(200, no_object),
                    Err(No::Unreachable(Unreachable::NotAPortal { .. }))
                ),
                "{no_object}"
            );
        }
    }

    #[test]
    fn a_web_server_in_front_is_recognised() {
        let mut negotiate = head(401);
        negotiate.schemes = vec!["Negotiate".into(), "NTLM".into()];
        match judge(&negotiate, Zeroizing::new(b"<html>".to_vec())) {
            Err(No::Refused(Refused::WebTier(schemes))) => {
                assert_eq!(schemes, ["Negotiate", "NTLM"]);
            }
            _ => panic!("web tier"),
        }
        let mut moved = head(302);
        moved.location = Some("https://login.example/sso?x=y".into());
        match judge(&moved, Zeroizing::new(Vec::new())) {
            Err(No::Unreachable(Unreachable::Redirected { to, .. })) => {
                assert_eq!(to.as_deref(), Some("login.example"));
            }
            _ => panic!("redirected"),
        }
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_a_date() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let wait = |text: &str| {
            let mut head = head(503);
            head.retry_after = Some(text.into());
            head.retry_after(now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            wait("Mon, 23 Nov 2026 10:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wait("Mon, 23 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_harm(
            status in 100_u16..600,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = judge(&head(status), Zeroizing::new(body));
        }

        #[test]
        fn any_json_is_judged_without_harm(text in r#"\{"(error|code|status|details)":[\[{"0-9a-z:,}\]]{0,40}\}"#) {
            let _ = judged(200, &text);
        }
    }
}
