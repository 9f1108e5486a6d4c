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

impl Connection {
    /// A new connection with a fresh id; every other field has its default.
    #[must_use]
    pub fn new(label: Label, portal: PortalUrl, grant: Grant, client_id: String) -> Self {
        Self {
            id: ConnectionId::new(&label),
            label,
            portal,
            grant,
            client_id,
            tls: Tls::System,
            referer: None,
            proxy: Proxy::System,
            keychain: KeychainKind::Os,
            tags: Vec::new(),
            created_at: None,
            last_used_at: None,
            ca_source: None,
            status: Status::default(),
            legacy_id: None,
        }
    }
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
    /// When the sign-in ends, by the portal's word or by assumption.
    pub refresh_expires_at: Option<Timestamp>,
    /// Whether the portal can extend it.
    pub extendable: Option<bool>,
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
    text.nfc()
        .collect::<String>()
        .to_lowercase()
        .nfc()
        .collect()
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
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
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
        let host = match host.strip_suffix('.').unwrap_or(host) {
            "" => return Err(bad("it names no host")),
            // `2..` is a name; without its dots it would be the address 0.0.0.2.
            host if host.ends_with('.') => return Err(bad("its host ends with two dots")),
            // The apex redirects to www; secrets follow no redirect.
            "arcgis.com" => "www.arcgis.com",
            host => host,
        };
        let mut root = format!("{}://{host}", url.scheme());
        if let Some(port) = url.port() {
            root.push(':');
            root.push_str(&port.to_string());
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
            return Err(bad(
                "http is allowed for this machine only (127.0.0.1, localhost, [::1])",
            ));
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
                    return Err(bad(
                        "a password has no place in it; it would be stored in plain text",
                    ));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pasted_portal_addresses_are_cut_back_to_the_root() {
        let cases = [
            ("https://h/portal", "https://h/portal"),
            ("https://h/portal/", "https://h/portal"),
            (" h/portal ", "https://h/portal"),
            ("https://h/portal/home", "https://h/portal"),
            ("https://h/portal/home/", "https://h/portal"),
            ("https://h/portal/home/index.html", "https://h/portal"),
            (
                "https://h/portal/home/item.html?id=1a2b",
                "https://h/portal",
            ),
            ("https://h/portal/sharing", "https://h/portal"),
            ("https://h/portal/sharing/rest", "https://h/portal"),
            ("https://h/portal/sharing/rest/", "https://h/portal"),
            ("https://h/portal/Sharing/REST?f=json", "https://h/portal"),
            (
                "https://h/portal/sharing/rest/oauth2/authorize?client_id=x#y",
                "https://h/portal",
            ),
            ("https://h/portal/portaladmin/login", "https://h/portal"),
            ("https://h/portal/portalhelp/en", "https://h/portal"),
            ("https://h:7443/arcgis/home", "https://h:7443/arcgis"),
            ("https://h:443/arcgis/home", "https://h/arcgis"),
            ("www.arcgis.com", "https://www.arcgis.com"),
            ("arcgis.com", "https://www.arcgis.com"),
            (
                "https://www.arcgis.com/home/index.html",
                "https://www.arcgis.com",
            ),
            (
                "https://org.maps.arcgis.com/home",
                "https://org.maps.arcgis.com",
            ),
            ("https://h", "https://h"),
            ("https://h/a/b/portal/home", "https://h/a/b/portal"),
            (
                "HTTPS://Gis.Example.ORG/Portal",
                "https://gis.example.org/Portal",
            ),
            ("https://h//portal//", "https://h/portal"),
            (
                "http://localhost:8080/portal",
                "http://localhost:8080/portal",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[::1]:8443/portal", "https://[::1]:8443/portal"),
        ];
        for (input, root) in cases {
            assert_eq!(
                input.parse::<PortalUrl>().unwrap().as_str(),
                root,
                "{input}"
            );
        }
    }

    #[test]
    fn addresses_that_are_no_portals_are_refused() {
        for input in [
            "",
            "   ",
            "http://gis.example.org/portal",
            "https://user@h/portal",
            "https://user:pw@h/portal",
            "ftp://h/portal",
            "https://",
            "https://h/por tal",
            "https://h/\u{1b}[31m",
            "javascript:alert(1)",
            "https://2../portal",
        ] {
            assert!(input.parse::<PortalUrl>().is_err(), "{input}");
        }
    }

    #[test]
    fn a_portal_knows_its_host_and_its_services() {
        let portal: PortalUrl = "https://h:7443/arcgis/home".parse().unwrap();
        assert_eq!(portal.host(), "h:7443");
        assert_eq!(portal.rest(""), "https://h:7443/arcgis/sharing/rest");
        assert_eq!(
            portal.rest("/oauth2/token"),
            "https://h:7443/arcgis/sharing/rest/oauth2/token"
        );
        assert!(!portal.is_loopback());
        assert!("localhost:1/p".parse::<PortalUrl>().unwrap().is_loopback());
    }

    #[test]
    fn labels_are_words_people_can_say() {
        for good in [
            "prod",
            "My Portal",
            "Prod (2)",
            "ünï",
            "🗺 maps",
            "../../etc",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<Label>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\u{1b}[2J",
            "\u{202e}abc",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_the_same_whichever_keyboard_typed_them() {
        let composed: Label = "Z\u{fc}rich".parse().unwrap();
        let decomposed: Label = "ZU\u{308}RICH".parse().unwrap();
        assert_eq!(composed.folded(), decomposed.folded());
    }

    #[test]
    fn slugs_are_plain_directory_names() {
        let slug = |text: &str| text.parse::<Label>().unwrap().slug();
        assert_eq!(slug("My Portal"), "my_portal");
        assert_eq!(slug("../../etc"), "etc");
        assert_eq!(slug("🗺"), "connection");
        assert_eq!(slug("a--b__c"), "a_b_c");
        assert!(slug(&"x".repeat(64)).len() <= 32);
    }

    #[test]
    fn ids_are_found_by_four_characters_of_their_random_part() {
        let id: ConnectionId = "my_portal_1234abcd-0000-4000-8000-000000000000"
            .parse()
            .unwrap();
        assert!(id.has_prefix("my_portal_1234"));
        assert!(!id.has_prefix("my_portal_123"));
        assert!(!id.has_prefix("my_portal_1235"));
        for bad in ["", ".", "..", "a/b", "a\\b", "a b", ".tmp", "a:b"] {
            assert!(bad.parse::<ConnectionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn redirect_uris_keep_their_registered_text() {
        let uri: RedirectUri = "http://127.0.0.1:53682/callback".parse().unwrap();
        assert_eq!(uri.as_str(), "http://127.0.0.1:53682/callback");
        let RedirectUri::Loopback(uri) = uri else {
            unreachable!("a loopback URI");
        };
        assert_eq!(
            (uri.host(), uri.port(), uri.path()),
            ("127.0.0.1", 53682, "/callback")
        );
        assert!(matches!(
            "http://[::1]:53682".parse().unwrap(),
            RedirectUri::Loopback(uri) if uri.path() == "/" && uri.host() == "[::1]"
        ));
        assert_eq!(
            RedirectUri::OUT_OF_BAND.parse::<RedirectUri>().unwrap(),
            RedirectUri::OutOfBand
        );
        assert!(matches!(
            "https://example.org/cb".parse().unwrap(),
            RedirectUri::Elsewhere(_)
        ));
        for bad in [
            "",
            "http://example.org/cb",
            "http://127.0.0.1/cb",
            "http://localhost:0/",
            "https://h/#x",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn proxies_carry_no_password() {
        assert_eq!(
            "proxy:3128".parse::<Proxy>().unwrap().as_str(),
            "http://proxy:3128"
        );
        assert_eq!("none".parse::<Proxy>().unwrap(), Proxy::None);
        for bad in [
            "http://u:p@proxy:1",
            "socks5://proxy:1",
            "https://proxy:1",
            "",
        ] {
            assert!(bad.parse::<Proxy>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_portal_or_an_error_and_a_portal_is_stable(text in "\\PC{0,40}") {
            if let Ok(portal) = text.parse::<PortalUrl>() {
                prop_assert!(!portal.as_str().ends_with('/'));
                prop_assert_eq!(portal.as_str().parse::<PortalUrl>().unwrap(), portal);
            }
        }

        #[test]
        fn a_path_below_a_portal_leads_back_to_it(
            context in "[a-zA-Z0-9_-]{0,12}",
            tail in "(home|sharing|Sharing/rest|portaladmin)(/[a-z]{0,5}){0,3}",
        ) {
            prop_assume!(!PortalUrl::OWN_PAGES.contains(&context.to_lowercase().as_str()));
            let root: PortalUrl = format!("https://h.example/{context}").parse().unwrap();
            let below: PortalUrl = format!("{root}/{tail}").parse().unwrap();
            prop_assert_eq!(below, root);
        }

        #[test]
        fn every_label_makes_an_id(text in "\\PC{1,64}") {
            if let Ok(label) = text.parse::<Label>() {
                let id = ConnectionId::new(&label);
                prop_assert_eq!(id.as_str().parse::<ConnectionId>().unwrap(), id);
            }
        }
    }
}
