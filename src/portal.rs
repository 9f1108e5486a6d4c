//! The portal calls besides OAuth: what kind of portal it is, whom a token is for, and tokens for
//! servers.
//!
//! Sources: Esri's reference pages "Root", "Portal Self", "User" and "Generate Token" of the
//! sharing REST API.

use std::{fmt, iter};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::connection::PortalUrl;
use crate::error::{Error, Refusal, Result, Unreachable};
use crate::http::{ApiResponse, CallError, Field, Http, Retry};
use crate::policy;
use crate::secret::Secret;
use crate::text::one_line;
use crate::token::{is_sendable, AccessToken};

/// The longest name, title or version of a portal that is shown, in characters.
const LONGEST_NAME: usize = 200;

/// What a portal says about itself without a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalInfo {
    /// The organization's or the portal's name. `None` where the portal gives none.
    pub name: Option<String>,
    /// `ArcGIS Online`, `ArcGIS Enterprise 11.4.0`, or `ArcGIS Enterprise (interface version 8.4)`
    /// where the portal names only the version of its REST interface (before 11.3).
    pub version: String,
    /// The host and the path that the portal gives as its own (`portalHostname`), in lower case.
    /// `None` where it gives none.
    pub hostname: Option<String>,
    /// The time by its clock, from the `Date` header. `None` where there is none.
    pub clock: Option<Timestamp>,
}

impl PortalInfo {
    /// What it says about itself, to compare it.
    #[must_use]
    pub fn names(&self) -> PortalNames {
        PortalNames {
            name: self.name.clone(),
            hostname: self.hostname.clone(),
        }
    }
}

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// A user.
    User {
        /// The user name, spelled as the portal does.
        username: String,
    },
    /// An application, for itself.
    Application(AppInfo),
}

impl Identity {
    /// The user whom it belongs to: the user, or the owner of the application's item. The ID of the
    /// application where the portal names no owner.
    #[must_use]
    pub fn belongs_to(&self) -> &str {
        match self {
            Self::User { username } => username,
            Self::Application(info) if info.owner.is_empty() => &info.app_id,
            Self::Application(info) => &info.owner,
        }
    }
}

/// The registered application that a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppInfo {
    /// The title of the item that registers it.
    pub title: String,
    /// The client ID.
    pub app_id: String,
    /// The ID of the item that registers it.
    pub item_id: String,
    /// The user who owns that item, which says nothing about who is signed in.
    pub owner: String,
}

/// The title and the client ID, or the client ID alone where the application has no title.
impl fmt::Display for AppInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.title.trim() {
            "" => f.write_str(&self.app_id),
            title => write!(f, "{title} ({})", self.app_id),
        }
    }
}

/// Why a portal did not say whom a token is for.
#[derive(Debug)]
pub enum IdentityError {
    /// It rejects the token: renew once and ask again.
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
    portal_hostname: Value,
    #[serde(default)]
    is_portal: Value,
    #[serde(default)]
    app_info: Value,
    #[serde(default)]
    user: Value,
}

/// Asks, without a token, what kind of portal answers at the address.
pub fn probe(http: &Http) -> Result<PortalInfo> {
    let answer = http
        .get("", &[], None)
        .map_err(|error| into_error(error, http))?;
    let root: Root = answer.json().map_err(|_| not_a_portal(http))?;
    let current = match root.current_version {
        Some(Value::String(text)) => one_line(&text, LONGEST_NAME),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(not_a_portal(http)),
    };
    // A private organization answers this with an error where no token is sent. It is a portal
    // nevertheless.
    let about: PortalSelf = match http.get("portals/self", &[], None) {
        Ok(answer) => answer.json().unwrap_or_default(),
        Err(CallError::Portal(_)) => PortalSelf::default(),
        Err(error) => return Err(into_error(error, http)),
    };
    let enterprise = root
        .enterprise_version
        .map(|version| format!("ArcGIS Enterprise {}", one_line(&version, LONGEST_NAME)));
    let version = enterprise.unwrap_or_else(|| {
        if about.is_portal == Value::Bool(false) {
            "ArcGIS Online".to_owned()
        } else {
            format!("ArcGIS Enterprise (interface version {current})")
        }
    });
    Ok(PortalInfo {
        name: about.shown_name(),
        hostname: about.hostname(),
        version,
        clock: answer.date(),
    })
}

impl PortalSelf {
    fn shown_name(&self) -> Option<String> {
        text_of(&self.name).or_else(|| text_of(&self.portal_name))
    }

    /// The application that the request's token was issued to. `None` where there is none.
    fn application(&self) -> Option<AppInfo> {
        let field = |name: &str| {
            let value = self.app_info.get(name).and_then(Value::as_str);
            one_line(value.unwrap_or_default(), LONGEST_NAME)
        };
        self.app_info.is_object().then(|| AppInfo {
            title: field("appTitle"),
            app_id: field("appId"),
            item_id: field("itemId"),
            owner: field("appOwner"),
        })
    }

    fn hostname(&self) -> Option<String> {
        text_of(&self.portal_hostname).map(|text| text.trim_end_matches('/').to_lowercase())
    }
}

/// What a portal says about itself at one of its addresses, to compare it with what it says at
/// another. Its `id` is left out: all portals of ArcGIS Enterprise have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalNames {
    /// As [`PortalInfo::name`].
    pub name: Option<String>,
    /// As [`PortalInfo::hostname`].
    pub hostname: Option<String>,
}

/// Asks, without a token and with one request, what the portal says about itself. Source: Esri,
/// "Portal Self".
pub fn names(http: &Http) -> Result<PortalNames> {
    let answer = http
        .get("portals/self", &[], None)
        .map_err(|error| into_error(error, http))?;
    let about: PortalSelf = answer.json().map_err(|_| not_a_portal(http))?;
    Ok(PortalNames {
        name: about.shown_name(),
        hostname: about.hostname(),
    })
}

/// What is at an address that is not a portal's.
#[derive(Debug)]
pub enum Elsewhere {
    /// The portal has another path on the same host.
    Portal(PortalUrl),
    /// The address is an ArcGIS Server's. Holds the portal that it names as its own, if any.
    Server(Option<PortalUrl>),
}

/// Paths that administrators give portals.
const USUAL_PATHS: [&str; 2] = ["portal", "arcgis"];

/// Looks for a portal where people expect one, after an address turned out not to be a portal's: at
/// the usual paths of the host, or behind the ArcGIS Server at the address. `client` makes a client
/// for another address. Nothing secret is sent.
pub fn find_elsewhere(
    portal: &PortalUrl,
    client: impl Fn(&PortalUrl) -> Result<Http>,
) -> Option<Elsewhere> {
    let is_bare = portal.as_str().matches('/').count() == 2;
    let paths = USUAL_PATHS.iter().filter(|_| is_bare);
    let usual: Vec<PortalUrl> = paths
        .filter_map(|path| format!("{portal}/{path}").parse().ok())
        .collect();
    for candidate in &usual {
        if client(candidate).is_ok_and(|http| probe(&http).is_ok()) {
            return Some(Elsewhere::Portal(candidate.clone()));
        }
    }
    iter::once(portal)
        .chain(&usual)
        .find_map(|root| Some(Elsewhere::Server(owner(&client(root).ok()?)?)))
}

/// The portal that the ArcGIS Server at an address names. `None` where the address is not a
/// server's. Source: Esri, "Server Info".
#[allow(clippy::option_option)]
fn owner(http: &Http) -> Option<Option<PortalUrl>> {
    let address = format!("{}/rest/info", http.portal());
    let info: Value = http.get(&address, &[], None).ok()?.json().ok()?;
    info.get("currentVersion")?;
    let owner = info.get("owningSystemUrl").and_then(Value::as_str);
    Some(owner.and_then(|url| url.parse().ok()))
}

/// The text of a field. `None` where it is empty or not a text.
fn text_of(value: &Value) -> Option<String> {
    Some(one_line(value.as_str()?, LONGEST_NAME)).filter(|text| !text.is_empty())
}

/// The user whom the token is for.
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

/// The application that the token was issued to. A portal that does not accept the token answers as
/// it does without one, and not with an error, so an answer without `appInfo` means a rejected
/// token. Source: Esri, "Portal Self".
pub fn app_info(http: &Http, token: &Secret) -> std::result::Result<AppInfo, IdentityError> {
    let about = self_of(http, token)?;
    about.application().ok_or(IdentityError::TokenRejected)
}

/// Whom a token is for where nothing says of what kind it is: the user, or the application. A
/// portal that does not accept the token answers as it does without one. Source: Esri, "Portal
/// Self".
pub fn identity(http: &Http, token: &Secret) -> std::result::Result<Identity, IdentityError> {
    let about = self_of(http, token)?;
    let username = about.user.get("username").and_then(text_of);
    username
        .map(|username| Identity::User { username })
        .or_else(|| about.application().map(Identity::Application))
        .filter(|identity| !identity.belongs_to().is_empty())
        .ok_or(IdentityError::TokenRejected)
}

/// What the portal says about itself to who has this token.
fn self_of(http: &Http, token: &Secret) -> std::result::Result<PortalSelf, IdentityError> {
    let answer = http
        .get("portals/self", &[], Some(token))
        .map_err(|error| rejected_or_failed(error, http))?;
    let about: PortalSelf = answer.json().map_err(IdentityError::Failed)?;
    Ok(about)
}

#[derive(Deserialize)]
struct GeneratedToken {
    token: Secret,
    /// The end, in milliseconds since 1970, by the portal's clock.
    expires: i64,
}

/// Exchanges a portal token for one that is for a server. The portal refuses for servers that are
/// not federated with it. Source: Esri, "Generate Token" (`generateToken` with `token` and
/// `serverUrl`).
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
    read_generated(&answer, http, now)
}

/// Gets a token for the user whom the web server in front of the portal vouches for: the request
/// has neither a user name nor a password. The token is good only together with this `Referer`.
/// Source: Esri, "Generate Token", and what Esri's clients send behind web-tier authentication.
pub fn network_token(
    http: &Http,
    referer: &str,
    minutes: i64,
    now: Timestamp,
) -> std::result::Result<AccessToken, CallError> {
    let minutes = minutes.to_string();
    let form = [
        ("request", Field::Plain("getToken")),
        ("client", Field::Plain("referer")),
        ("referer", Field::Plain(referer)),
        ("expiration", Field::Plain(&minutes)),
    ];
    let answer = http.post("generateToken", &form, None, Retry::Freely)?;
    read_generated(&answer, http, now)
}

fn read_generated(
    answer: &ApiResponse,
    http: &Http,
    now: Timestamp,
) -> std::result::Result<AccessToken, CallError> {
    let failed = |error| CallError::Failed { error, sent: true };
    let fields: GeneratedToken = answer.json().map_err(failed)?;
    // The end is given by the portal's clock, which may show another time than ours. Only the
    // difference counts.
    let portal_now = answer.date().unwrap_or(now);
    let life = fields.expires / 1000 - portal_now.as_second();
    if !is_sendable(&fields.token) || life <= 0 {
        return Err(failed(not_a_portal(http)));
    }
    Ok(AccessToken {
        secret: fields.token,
        issued_at: now,
        expires_at: policy::expiry(now, life),
    })
}

fn rejected_or_failed(error: CallError, http: &Http) -> IdentityError {
    match error {
        CallError::Portal(error) if error.is_invalid_token() => IdentityError::TokenRejected,
        error => IdentityError::Failed(into_error(error, http)),
    }
}

/// The error of a call in which no code of the portal has a special meaning.
pub(crate) fn into_error(error: CallError, http: &Http) -> Error {
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
                _ => error.as_refusal(),
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
