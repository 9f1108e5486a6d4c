//! What `meta.json` says, valid by construction: labels, portal URLs, redirect URIs, grants.
//!
//! Every type here is parsed once, at the edge; behind it nothing needs checking again. No I/O, no clock.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use unicode_normalization::UnicodeNormalization;
use url::{Host, Url};

use crate::error::{Error, Result};

/// One registered way into one portal: everything about it that is no secret.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Connection {
    /// Its directory's name; never changes.
    pub id: ConnectionId,
    /// What people call it; unique without regard to case.
    pub label: Label,
    /// The portal's root.
    pub portal: PortalUrl,
    /// How tokens are granted: to a person or to the application itself.
    pub grant: Grant,
    /// The client id that the portal gave the registered application.
    pub client_id: String,
    /// Which certificates are accepted.
    pub tls: Tls,
    /// Sent as `Referer` on every call of this connection.
    pub referer: Option<String>,
    /// The way out to the portal.
    pub proxy: Proxy,
    /// Where its secrets are.
    pub keychain: KeychainKind,
    /// Free words for `list --tag`.
    pub tags: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Last renewal.
    pub last_used_at: Option<Timestamp>,
    /// Where `ca.pem` was copied from.
    pub ca_source: Option<String>,
    /// What `status` shows without touching the keychain.
    pub status: Status,
    /// The id that the Python package knew it by.
    pub legacy_id: Option<String>,
}

/// Copies of what the keychain's record says. The record rules; these are for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Who is signed in.
    pub username: Option<String>,
    /// Since when.
    pub signed_in_at: Option<Timestamp>,
    /// When the refresh token was issued.
    pub refresh_issued_at: Option<Timestamp>,
    /// When the sign-in ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// When the cached access token ends.
    pub access_expires_at: Option<Timestamp>,
    /// The last failure, in one line.
    pub last_failure: Option<String>,
    /// The machine that the sign-in was made on.
    pub machine: Option<String>,
}

/// A connection's id, which is also its directory's name: opaque, never a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// A new id: a slug of the label, then a random uuid.
    #[must_use]
    pub fn new(label: &Label) -> Self {
        Self(format!("{}_{}", label.slug(), uuid::Uuid::new_v4()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `prefix` names this id and reaches at least four characters into its random part.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let random = self.0.rfind('_').map_or(0, |at| at + 1);
        prefix.len() >= random + 4 && self.0.starts_with(prefix)
    }
}

impl FromStr for ConnectionId {
    type Err = Error;

    /// Ids are opaque, but each becomes one directory name: letters, digits, `_`, `-`, `.`, not starting with a dot.
    fn from_str(text: &str) -> Result<Self> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty()
            || text.len() > 200
            || text.starts_with('.')
            || text.ends_with('.')
            || !text.chars().all(plain)
        {
            return Err(Error::invalid(
                "connection id",
                "an id is letters, digits, `_`, `-` and `.`",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What people call a connection: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// The longest label, in characters.
    pub const MAX_CHARS: usize = 64;

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that labels are compared in: NFC, lower case.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }

    /// Lower-case ASCII letters and digits, everything else one `_`; for directory names.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for c in self.folded().chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('_') {
                slug.push('_');
            }
        }
        slug.truncate(32);
        let slug = slug.trim_end_matches('_');
        if slug.is_empty() { "connection" } else { slug }.to_owned()
    }
}

/// The form that labels are compared in: NFC, lower case, NFC again (lower-casing can undo it).
#[must_use]
pub fn fold(text: &str) -> String {
    text.nfc().collect::<String>().to_lowercase().nfc().collect()
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid("label", "it is empty"));
        }
        if text.chars().any(is_control) {
            return Err(Error::invalid("label", "it contains a control character"));
        }
        let count = text.nfc().count();
        if count > Self::MAX_CHARS {
            return Err(Error::invalid(
                "label",
                format!("it has {count} characters; {} are allowed", Self::MAX_CHARS),
            ));
        }
        Ok(Self(text.nfc().collect()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, and those that turn the direction of text or join lines: none belongs into a name.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// A portal's root, without trailing slash: `https://host[:port][/context]`.
///
/// What people paste is understood and cut back; see the vectors in the tests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortalUrl(String);

impl PortalUrl {
    /// Path segments at which a portal's own pages and services begin.
    const OWN_PAGES: [&'static str; 5] = ["home", "sharing", "portaladmin", "portalhelp", "rest"];

    /// The root as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with the port where it is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// An address below `/sharing/rest/`.
    #[must_use]
    pub fn rest(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            format!("{}/sharing/rest", self.0)
        } else {
            format!("{}/sharing/rest/{path}", self.0)
        }
    }

    /// The host's own words where it is this machine: `localhost`, `127.0.0.0/8`, `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }
}

/// Whether the URL's host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl FromStr for PortalUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("portal URL", why);
        let text = text.trim();
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.chars().any(|c| is_control(c) || c.is_whitespace()) {
            return Err(bad("it contains a blank or a control character"));
        }
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&with_scheme)
            .map_err(|why| Error::invalid("portal URL", why.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("a user name or password has no place in it"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(bad("http is not allowed; portals speak https")),
            _ => return Err(bad("it must begin with https://")),
        }
        let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
        let host = match host.trim_end_matches('.') {
            "" => return Err(bad("it names no host")),
            // The apex redirects to www; secrets follow no redirect.
            "arcgis.com" => "www.arcgis.com",
            host => host,
        };
        let mut root = format!("{}://{host}", url.scheme());
        if let Some(port) = url.port() {
            root.push_str(&format!(":{port}"));
        }
        for segment in url.path_segments().into_iter().flatten() {
            if Self::OWN_PAGES.contains(&segment.to_ascii_lowercase().as_str()) {
                break;
            }
            if !segment.is_empty() {
                root.push('/');
                root.push_str(segment);
            }
        }
        Ok(Self(root))
    }
}

impl fmt::Display for PortalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How tokens are granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// To a person who signs in with a browser.
    User {
        /// Where the portal sends the authorization code.
        redirect_uri: RedirectUri,
        /// Whether the code is bound to this process by PKCE (S256). True unless switched off by hand.
        pkce: bool,
    },
    /// To the application itself, by its client secret.
    Application,
}

impl Grant {
    /// The word in `meta.json`: `user` or `app`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Application => "app",
        }
    }

    /// Whether this is an application's connection.
    #[must_use]
    pub fn is_application(&self) -> bool {
        matches!(self, Self::Application)
    }
}

/// Where the portal sends the authorization code: exactly what is registered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectUri {
    /// The portal shows the code, and the person pastes it.
    OutOfBand,
    /// The portal's answer arrives at a port of this machine.
    Loopback(LoopbackUri),
    /// Anything else that is registered: the person pastes the address that the browser ends at.
    Elsewhere(String),
}

impl RedirectUri {
    /// The URN that makes a portal show the code.
    pub const OUT_OF_BAND: &'static str = "urn:ietf:wg:oauth:2.0:oob";

    /// The registered text, character for character.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::OutOfBand => Self::OUT_OF_BAND,
            Self::Loopback(uri) => &uri.text,
            Self::Elsewhere(text) => text,
        }
    }
}

impl FromStr for RedirectUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("redirect URI", why);
        let text = text.trim();
        if text == Self::OUT_OF_BAND {
            return Ok(Self::OutOfBand);
        }
        if text.chars().any(|c| is_control(c) || c.is_whitespace()) {
            return Err(bad("it contains a blank or a control character"));
        }
        let url =
            Url::parse(text).map_err(|why| Error::invalid("redirect URI", why.to_string()))?;
        if url.fragment().is_some() {
            return Err(bad("it must not contain `#`"));
        }
        if url.scheme() != "http" {
            return Ok(Self::Elsewhere(text.to_owned()));
        }
        if !is_loopback(&url) {
            return Err(bad("http is allowed for this machine only (127.0.0.1, localhost, [::1])"));
        }
        let port = url
            .port()
            .filter(|port| *port != 0)
            .ok_or_else(|| bad("it must name a port, as in http://127.0.0.1:53682/callback"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self::Loopback(LoopbackUri {
            text: text.to_owned(),
            host,
            port,
            path: url.path().to_owned(),
        }))
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A redirect URI at this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackUri {
    text: String,
    host: String,
    port: u16,
    path: String,
}

impl LoopbackUri {
    /// `127.0.0.1`, `localhost` or `[::1]`, as registered.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The registered port; a portal compares it exactly.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The registered path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Which certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Those that the platform trusts.
    System,
    /// Those, and what this PEM file (absolute path) adds.
    Ca(PathBuf),
    /// Any. Every use warns.
    Unverified,
}

/// The way out to the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment, then the platform's settings say.
    System,
    /// Straight.
    None,
    /// This proxy: `http://host:port`, no password.
    Url(String),
}

impl Proxy {
    /// The word in `meta.json`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::None => "none",
            Self::Url(url) => url,
        }
    }
}

impl FromStr for Proxy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("proxy", why);
        match text.trim() {
            "system" => Ok(Self::System),
            "none" => Ok(Self::None),
            text => {
                let with_scheme = if text.contains("://") {
                    text.to_owned()
                } else {
                    format!("http://{text}")
                };
                let url = Url::parse(&with_scheme)
                    .map_err(|why| Error::invalid("proxy", why.to_string()))?;
                if url.password().is_some() || !url.username().is_empty() {
                    return Err(bad("a password has no place in it; it would be stored in plain text"));
                }
                if url.scheme() != "http" {
                    return Err(bad("only http:// proxies are supported"));
                }
                let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
                Ok(Self::Url(format!(
                    "http://{host}:{}",
                    url.port_or_known_default().unwrap_or(80)
                )))
            }
        }
    }
}

/// Where a connection's secrets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeychainKind {
    /// The platform's keychain.
    Os,
    /// One encrypted file, for machines without a keychain.
    Vault,
}

impl KeychainKind {
    /// The word in `meta.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Vault => "vault",
        }
    }
}

impl FromStr for KeychainKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "os" => Ok(Self::Os),
            "vault" => Ok(Self::Vault),
            _ => Err(Error::invalid("keychain", "it is `os` or `vault`")),
        }
    }
}
