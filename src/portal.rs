//! The few portal calls besides OAuth: what it is, who am I, which application am I.
//!
//! Sources: Esri's reference pages "Root", "Portal Self" and "User" of the sharing REST API.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Refusal, Result, Unreachable};
use crate::http::{CallError, Field, Http, Retry};
use crate::oauth::{is_token, one_line};
use crate::secret::Secret;
use crate::token::{ends, AccessToken};

/// What a portal says of itself to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalInfo {
    /// Its name, where it gives one.
    pub name: Option<String>,
    /// `ArcGIS Online`, `ArcGIS Enterprise 11.4.0`, or `ArcGIS Enterprise (version 8.4)` where it only names the
    /// interface's version (before 11.3).
    pub version: String,
    /// Its clock, from the answer's `Date`.
    pub clock: Option<Timestamp>,
}

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A person.
    User {
        /// The user name, as the portal writes it.
        username: String,
    },
    /// An application.
    Application(AppInfo),
}

/// The registered application that a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppInfo {
    /// Its title.
    pub title: String,
    /// Its client id.
    pub app_id: String,
    /// The item that registers it.
    pub item_id: String,
    /// Who owns that item: not who is signed in.
    pub owner: String,
}

/// Why a portal did not say who a token speaks for.
#[derive(Debug)]
pub enum IdentityError {
    /// It rejects the token (498, 499): renew once, ask again.
    TokenRejected,
    /// Anything else.
    Failed(Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    current_version: Option<Value>,
    enterprise_version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PortalSelf {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    portal_name: Value,
    #[serde(default)]
    is_portal: Value,
    #[serde(default)]
    app_info: Value,
}

/// Asks what answers at the portal's address, without a token.
pub fn probe(http: &Http) -> Result<PortalInfo> {
    let answer = http
        .get("", &[], None)
        .map_err(|error| plain(error, http))?;
    let root: Root = answer.json().map_err(|_| not_a_portal(http))?;
    let current = match root.current_version {
        Some(Value::String(text)) => one_line(&text),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(not_a_portal(http)),
    };
    // Some organisations answer anybody's question about themselves with an error; that they are a portal is known by now.
    let about: PortalSelf = match http.get("portals/self", &[], None) {
        Ok(answer) => answer.json().unwrap_or_default(),
        Err(CallError::Portal(_)) => PortalSelf::default(),
        Err(error) => return Err(plain(error, http)),
    };
    let enterprise = root
        .enterprise_version
        .map(|version| format!("ArcGIS Enterprise {}", one_line(&version)));
    let version = enterprise.unwrap_or_else(|| {
        if about.is_portal == Value::Bool(false) {
            "ArcGIS Online".to_owned()
        } else {
            format!("ArcGIS Enterprise (interface version {current})")
        }
    });
    Ok(PortalInfo {
        name: words(&about.name).or_else(|| words(&about.portal_name)),
        version,
        clock: answer.date(),
    })
}

fn words(value: &Value) -> Option<String> {
    value.as_str().map(one_line).filter(|text| !text.is_empty())
}

/// The user that the token speaks for.
pub fn username(http: &Http, token: &Secret) -> std::result::Result<String, IdentityError> {
    let answer = http
        .get("community/self", &[], Some(token))
        .map_err(|error| rejected_or_failed(error, http))?;
    let user: Value = answer.json().map_err(IdentityError::Failed)?;
    user.get("username")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| IdentityError::Failed(not_a_portal(http)))
}

/// The application that the token speaks for. The portal answers without an error even where it ignores the token, so
/// that an answer without `appInfo` means a rejected token.
pub fn app_info(http: &Http, token: &Secret) -> std::result::Result<AppInfo, IdentityError> {
    let answer = http
        .get("portals/self", &[], Some(token))
        .map_err(|error| rejected_or_failed(error, http))?;
    let about: PortalSelf = answer.json().map_err(IdentityError::Failed)?;
    if !about.app_info.is_object() {
        return Err(IdentityError::TokenRejected);
    }
    let field = |name: &str| {
        let value = about.app_info.get(name).and_then(Value::as_str);
        one_line(value.unwrap_or_default())
    };
    Ok(AppInfo {
        title: field("appTitle"),
        app_id: field("appId"),
        item_id: field("itemId"),
        owner: field("appOwner"),
    })
}

#[derive(Deserialize)]
struct ServerGrant {
    token: Secret,
    /// Milliseconds since 1970, by the portal's clock.
    expires: i64,
}

/// A token for a server that the portal vouches for, granted out of a portal token (`generateToken` with `serverUrl`).
pub fn server_token(
    http: &Http,
    root: &str,
    token: &Secret,
    now: Timestamp,
) -> std::result::Result<AccessToken, CallError> {
    let form = [
        ("token", Field::Secret(token)),
        ("serverUrl", Field::Plain(root)),
        ("request", Field::Plain("getToken")),
    ];
    let answer = http.post("generateToken", &form, None, Retry::Freely)?;
    let failed = |error| CallError::Failed { error, sent: true };
    let grant: ServerGrant = answer.json().map_err(failed)?;
    // Only the life counts: the portal's clock may show another time.
    let theirs = answer.date().unwrap_or(now);
    let life = grant.expires / 1000 - theirs.as_second();
    if !is_token(&grant.token) || life <= 0 {
        return Err(failed(not_a_portal(http)));
    }
    Ok(AccessToken {
        secret: grant.token,
        issued_at: now,
        expires_at: ends(now, life),
    })
}

fn rejected_or_failed(error: CallError, http: &Http) -> IdentityError {
    match error {
        CallError::Portal(error) if matches!(error.code, Some(498 | 499)) => {
            IdentityError::TokenRejected
        }
        error => IdentityError::Failed(plain(error, http)),
    }
}

/// The error of a call in which a portal's no has no special meaning.
pub(crate) fn plain(error: CallError, http: &Http) -> Error {
    match error {
        CallError::Failed { error, .. } => error,
        CallError::Portal(error) => Error::Refused {
            connection: None,
            url: match error.url.as_str() {
                "" => http.portal().as_str().to_owned(),
                url => url.to_owned(),
            },
            why: match error.code {
                Some(403) => Refusal::Privilege,
                _ => error.as_refused(),
            },
        },
    }
}

fn not_a_portal(http: &Http) -> Error {
    Error::Unreachable {
        connection: None,
        url: http.portal().rest(""),
        why: Unreachable::NotAPortal {
            status: 200,
            title: None,
        },
    }
}
