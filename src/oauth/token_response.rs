//! Reads what the portal's token endpoint answers (Esri, "Token").

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::connection::PortalUrl;
use crate::error::{Error, Result, Unreachable};
use crate::http::ApiResponse;
use crate::policy::{expiry, ASSUMED_ACCESS_LIFE, LONGEST_ACCESS_LIFE};
use crate::secret::Secret;
use crate::token::{is_sendable, AccessToken, RefreshToken};

/// What the portal granted.
#[derive(Debug)]
pub struct TokenResponse {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token. `None` where the portal issued none: for applications, and when a user's
    /// token is renewed.
    pub refresh: Option<RefreshToken>,
    /// The user whom the tokens are for. `None` where the portal does not say.
    pub username: Option<String>,
}

/// The fields that count. Portals vary in how they write numbers; what cannot be read counts as
/// absent.
#[derive(Deserialize)]
struct TokenFields {
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<i64>,
    #[serde(default, deserialize_with = "text")]
    username: Option<String>,
    refresh_token: Option<Secret>,
    /// From 10.9.1 on.
    #[serde(default, deserialize_with = "seconds")]
    refresh_token_expires_in: Option<i64>,
}

/// Reads the tokens of a successful answer. `now` is the time when the request was sent: only the
/// relative lives in the answer count, because the portal's clock may show another time.
pub(super) fn read(
    answer: &ApiResponse,
    portal: &PortalUrl,
    now: Timestamp,
) -> Result<TokenResponse> {
    answer
        .json()
        .ok()
        .and_then(|fields| into_response(fields, now))
        .ok_or_else(|| not_a_token_endpoint(portal))
}

/// `None` without an access token.
fn into_response(fields: TokenFields, now: Timestamp) -> Option<TokenResponse> {
    let life = fields
        .expires_in
        .unwrap_or(ASSUMED_ACCESS_LIFE.as_secs())
        .min(LONGEST_ACCESS_LIFE.as_secs());
    let access = AccessToken {
        secret: fields.access_token.filter(is_sendable)?,
        issued_at: now,
        expires_at: expiry(now, life),
    };
    let refresh_life = fields
        .refresh_token_expires_in
        .filter(|seconds| *seconds > 0);
    let refresh = fields
        .refresh_token
        .filter(is_sendable)
        .map(|secret| RefreshToken {
            secret,
            issued_at: now,
            expires_at: refresh_life.map(|seconds| expiry(now, seconds)),
        });
    Some(TokenResponse {
        access,
        refresh,
        username: fields.username.filter(|name| !name.is_empty()),
    })
}

/// The error where the answer lacks the tokens that this request gets from every portal.
pub(super) fn not_a_token_endpoint(portal: &PortalUrl) -> Error {
    Error::Unreachable {
        connection: None,
        url: portal.rest("oauth2/token"),
        why: Unreachable::NotAPortal {
            status: 200,
            title: None,
        },
    }
}

/// A number of seconds, as a number or as text.
fn seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// Some portals write whole numbers with a fraction; that is cut off.
#[allow(clippy::cast_possible_truncation)] // A cast from a float saturates.
fn whole(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some(seconds as i64)
}

/// Text; any other value counts as absent.
fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Option<TokenResponse> {
        into_response(serde_json::from_str(answer).unwrap(), now())
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    #[test]
    fn lives_are_read_however_they_are_written() {
        for (written, life) in [
            ("1800", 1800),
            ("\" 1700 \"", 1700),
            ("1800.0", 1800),
            ("1799.9", 1799),
            ("1e300", LONGEST_ACCESS_LIFE.as_secs()),
            ("99999999999", 20_160 * 60),
            ("null", 30 * 60),
            ("\"soon\"", 30 * 60),
            ("{}", 30 * 60),
        ] {
            let answer = format!(r#"{{"access_token": "a", "expires_in": {written}}}"#);
            let granted = read(&answer).unwrap();
            assert_eq!(granted.access.seconds_granted(), life, "{written}");
        }
    }

    #[test]
    fn only_what_can_be_a_token_is_one() {
        for none in [
            "{}",
            r#"{"access_token": ""}"#,
            r#"{"access_token": "a b"}"#,
            r#"{"access_token": "\u00e4"}"#,
            r#"{"access_token": "a\r\nX: y"}"#,
        ] {
            assert!(read(none).is_none(), "{none}");
        }
        let granted = |more: &str| read(&format!(r#"{{"access_token": "a", {more}}}"#)).unwrap();
        assert!(granted(r#""refresh_token": """#).refresh.is_none());
        assert!(granted(r#""refresh_token": "a\tb""#).refresh.is_none());
        assert_eq!(granted(r#""username": """#).username, None);
        assert_eq!(granted(r#""username": 7"#).username, None);
        let named = granted(r#""username": "your.username""#).username;
        assert_eq!(named.as_deref(), Some("your.username"));
        for (seconds, end) in [("0", None), ("-1", None), ("1", Some(1_700_000_001))] {
            let answer = format!(r#""refresh_token": "r", "refresh_token_expires_in": {seconds}"#);
            let refresh = granted(&answer).refresh.unwrap();
            assert_eq!(refresh.expires_at.map(Timestamp::as_second), end);
        }
    }
}
