//! Which token belongs to a URL: the portal's own, or one that the portal grants for a server.
//!
//! Only the portal decides which servers are federated with it. A server that names the portal as
//! its owner (`owningSystemUrl`) may be lying, so nothing is sent to a server before the portal has
//! granted a token for it.

use url::Url;

use crate::connection::{is_loopback, PortalUrl};
use crate::error::{Error, Result};

/// A URL to call, and the token that belongs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    query: Vec<(String, String)>,
    server: Option<String>,
}

/// Parameters that carry tokens or secrets. They must not be part of a URL, because URLs end up in
/// logs.
const SECRET_PARAMETERS: [&str; 4] = ["token", "access_token", "refresh_token", "client_secret"];

impl Target {
    /// Reads a path below the portal's `/sharing/rest/`, or a whole URL on the portal or on a
    /// server.
    ///
    /// [`Error::Invalid`] for a path with `..`, for a URL that is not https (loopback addresses
    /// excepted), and for one that contains a token or a password.
    pub fn parse(portal: &PortalUrl, text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("path", why);
        let text = text.trim();
        // Refuse `..` here: `Url::parse` would resolve it silently, and the call would leave the
        // REST directory.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let plain = path.to_ascii_lowercase().replace("%2e", ".");
        if plain.split(['/', '\\']).any(|part| part == "..") {
            return Err(bad("it must not contain `..`"));
        }
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(bad("it is empty or contains control characters"));
        }
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            let below = text.trim_start_matches('/');
            // No path of the REST API begins with a name that has a dot or a colon; a host does. As
            // a path it would get the portal's own token.
            let first = below.split('/').next().unwrap_or_default();
            if first.contains(['.', ':']) {
                return Err(bad(&format!(
                    "it looks like a URL without a scheme; write https://{below}"
                )));
            }
            let below = below.strip_prefix("sharing/rest").unwrap_or(below);
            portal.rest(below)
        };
        let mut url = Url::parse(&whole).map_err(|why| bad(&why.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => return Err(bad("tokens are sent over https only")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not contain a user name or a password"));
        }
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        if let Some((name, _)) = query.iter().find(|(name, _)| is_secret_parameter(name)) {
            return Err(bad(&format!(
                "`{name}` must not be part of a URL, which ends up in logs; the token is added in a header"
            )));
        }
        url.set_query(None);
        url.set_fragment(None);
        let server = (!is_on_portal(portal, &url)).then(|| root_of(&url));
        Ok(Self { url, query, server })
    }

    /// Reads a whole URL, as [`Self::parse`] does. A path is refused: it would be on the portal,
    /// and its token would be the portal's own, whatever the person had in mind.
    pub fn parse_url(portal: &PortalUrl, text: &str) -> Result<Self> {
        if !text.contains("://") {
            return Err(Error::invalid(
                "URL",
                format!("`{text}` has no scheme; write the whole URL (https://…)"),
            ));
        }
        Self::parse(portal, text)
    }

    /// The URL without its query.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.as_str()
    }

    /// The query that was part of the URL.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The root of the server whose token is needed. `None` for the portal itself.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }
}

/// Whether a parameter of this name carries a token or a secret.
#[must_use]
pub fn is_secret_parameter(name: &str) -> bool {
    SECRET_PARAMETERS
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether the URL is on the portal: same scheme, host and port, at or below its path.
fn is_on_portal(portal: &PortalUrl, url: &Url) -> bool {
    let Ok(root) = Url::parse(portal.as_str()) else {
        return false;
    };
    let below = root.path().trim_end_matches('/');
    let inside = url.path().strip_prefix(below);
    root.origin() == url.origin()
        && inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The root of the ArcGIS Server that serves the URL: scheme, host, port and first folder.
fn root_of(url: &Url) -> String {
    let folder = url
        .path_segments()
        .and_then(|mut parts| parts.next())
        .unwrap_or_default();
    let origin = url.origin().ascii_serialization();
    if folder.is_empty() {
        origin
    } else {
        format!("{origin}/{folder}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn portal() -> PortalUrl {
        "https://gis.example.com/portal".parse().unwrap()
    }

    #[test]
    fn a_path_is_below_the_portals_rest_directory() {
        for text in [
            "community/self",
            "/community/self",
            "sharing/rest/community/self",
            "/sharing/rest/community/self?f=json#x",
        ] {
            let target = Target::parse(&portal(), text).unwrap();
            assert_eq!(
                target.address(),
                "https://gis.example.com/portal/sharing/rest/community/self"
            );
            assert_eq!(target.server(), None);
        }
    }

    #[test]
    fn rule_24_only_the_portals_own_origin_and_path_are_the_portal() {
        for (text, server) in [
            ("https://gis.example.com/portal/sharing/rest/search", None),
            ("https://GIS.example.com:443/portal", None),
            (
                "https://gis.example.com/portal2/x",
                Some("https://gis.example.com/portal2"),
            ),
            (
                "https://gis.example.com/server/rest/services/A",
                Some("https://gis.example.com/server"),
            ),
            (
                "https://gis.example.com:6443/arcgis/rest",
                Some("https://gis.example.com:6443/arcgis"),
            ),
            (
                "https://gis.example.com.evil.example/portal/x",
                Some("https://gis.example.com.evil.example/portal"),
            ),
            ("https://evil.example/", Some("https://evil.example")),
        ] {
            let target = Target::parse(&portal(), text).unwrap();
            assert_eq!(target.server(), server, "{text}");
        }
    }

    #[test]
    fn a_url_without_a_scheme_is_not_taken_for_a_path_of_the_portal() {
        for text in [
            "tiles.stranger.example/arcgis",
            "stranger/arcgis",
            "/server/rest/services",
            "community/self",
        ] {
            assert!(Target::parse_url(&portal(), text).is_err(), "{text}");
        }
        let own = Target::parse_url(&portal(), "https://gis.example.com/portal").unwrap();
        assert_eq!(own.server(), None);
    }

    #[test]
    fn a_url_that_leaves_the_portal_or_carries_a_secret_is_refused() {
        for text in [
            "",
            "../admin",
            "a/../../b",
            "a/%2e%2E/b",
            "a/.%2e/b",
            "a\\..\\b",
            "https://gis.example.com/portal/../admin",
            "community/self?token=abc",
            "community/self?Token=abc",
            "search?q=x&access_token=1",
            "http://gis.example.com/portal/x",
            "https://me:pw@gis.example.com/portal/x",
            "ftp://h/x",
            "ftp://localhost/x",
            "tiles.stranger.example/arcgis",
            "//tiles.stranger.example/arcgis",
            "gis.example.com/portal/sharing/rest/community/self",
            "localhost:6443/arcgis",
            "a\nb",
        ] {
            assert!(Target::parse(&portal(), text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_leave_the_portal_by_a_path(text in "[a-z./%?#\\\\0-9]{0,30}") {
            if let Ok(target) = Target::parse(&portal(), &text) {
                if target.server().is_none() {
                    prop_assert!(target.address().starts_with("https://gis.example.com/portal"));
                }
            }
        }
    }
}
