//! Which token belongs to a URL: the portal's own, or one that the portal grants for a server.
//!
//! A portal's API URL is an address of the portal itself, as the one in the browser is: its own
//! token goes to both, and to no other path of either host.
//!
//! Hosts of ArcGIS Online take the token of any organization there, in the same environment. Esri's
//! own clients send it to them, and the portal need not grant another one.
//!
//! Everywhere else only the portal decides which servers are federated with it. A server that names
//! the portal as its owner (`owningSystemUrl`) may be lying, so nothing is sent to a server before
//! the portal has granted a token for it.

use url::Url;

use crate::connection::{is_loopback, online, PortalUrl, PortalUrls};
use crate::error::{Error, Result};
use crate::util::percent_decoded;

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
    /// Reads a path below the `/sharing/rest/` of the portal's API URL, or a whole URL on the
    /// portal or on a server.
    ///
    /// [`Error::Invalid`] for a path with `..`, for a URL that is not https (loopback addresses
    /// excepted), and for one that contains a token or a password.
    pub fn parse(portal: &PortalUrls, text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("path", why);
        let text = text.trim();
        if let Some(path) = converted_by_shell(text) {
            return Err(bad(&path));
        }
        // Refuse `..` here: `Url::parse` would resolve it silently, and the call would leave the
        // REST directory.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if climbs(path) {
            return Err(bad("it must not contain `..`, in any encoding"));
        }
        // Programs do not agree on whether it ends the host.
        if path.contains('\\') {
            return Err(bad("it must not contain a backslash"));
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
            portal.api_url().rest(below)
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
        let own = is_on_portal(portal.browser_url(), &url)
            || is_on_portal(portal.api_url(), &url)
            || is_same_online(portal.browser_url(), &url);
        let server = (!own).then(|| root_of(&url));
        Ok(Self { url, query, server })
    }

    /// Reads a whole URL, as [`Self::parse`] does. A path is refused: it would be on the portal,
    /// and its token would be the portal's own, whatever the person had in mind.
    pub fn parse_url(portal: &PortalUrls, text: &str) -> Result<Self> {
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

/// Whether the URL is on the portal at this address: same scheme, host and port, at or below its
/// path.
fn is_on_portal(portal: &PortalUrl, url: &Url) -> bool {
    let Ok(root) = Url::parse(portal.as_str()) else {
        return false;
    };
    let below = root.path().trim_end_matches('/');
    let inside = url.path().strip_prefix(below);
    root.origin() == url.origin()
        && inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the portal is an organization of ArcGIS Online, and the URL is in its environment.
/// Source: `canUseOnlineToken` of Esri's ArcGIS REST JS.
fn is_same_online(portal: &PortalUrl, url: &Url) -> bool {
    let environment = portal.online_environment();
    environment.is_some() && environment == online::environment(url)
}

/// The root of the ArcGIS Server that serves the URL: what stands before `/rest/services`,
/// `/rest/admin`, `/admin` and the like, however deep it is. Where none of them occurs, the URL is
/// the root.
fn root_of(url: &Url) -> String {
    const BELOW_REST: [&str; 7] = [
        "services",
        "admin",
        "info",
        "login",
        "self",
        "generatetoken",
        "directories",
    ];
    const BELOW_ROOT: [&str; 6] = ["rest", "admin", "services", "tokens", "manager", "sharing"];
    let path = url.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is = |index: usize, names: &[&str]| {
        let name = segments.get(index).map(|name| name.to_ascii_lowercase());
        name.is_some_and(|name| names.contains(&name.as_str()))
    };
    let end = (0..segments.len())
        .find(|&at| is(at, &["rest"]) && is(at + 1, &BELOW_REST))
        .or_else(|| (0..segments.len()).find(|&at| is(at, &BELOW_ROOT)))
        .unwrap_or(segments.len());
    let mut root = url.origin().ascii_serialization();
    for segment in segments.iter().take(end) {
        root.push('/');
        root.push_str(segment);
    }
    root
}

/// How often a path is decoded before it is refused: no honest path is encoded more than twice.
const MOST_DECODINGS: usize = 4;

/// Whether a path may lead above its beginning, or holds a control character, as any web server may
/// decode it: percent-encoded once or several times, with parameters (`..;`), by `\\`, by letters
/// that some servers take for dots and slashes, with blanks at its end, or in invalid UTF-8.
///
/// `src/python/age_oauth/_http.py` has the same rule; `tests/addresses.json` is the test of both.
fn climbs(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MOST_DECODINGS {
        if has_parent_segment(&path) || path.contains("%u") || path.contains("%U") {
            return true;
        }
        let Ok(decoded) = String::from_utf8(percent_decoded(&path).collect()) else {
            return true;
        };
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

fn has_parent_segment(path: &str) -> bool {
    let plain = path
        .replace('\u{ff0e}', ".")
        .replace(['\u{ff0f}', '\u{ff3c}', '\\'], "/");
    plain.chars().any(char::is_control)
        || plain.split('/').any(|segment| {
            let name = segment.split(';').next().unwrap_or_default();
            name.trim() == ".."
        })
}

/// Git Bash and other shells of MSYS2 turn an argument that begins with a slash into a path of
/// Windows: `/community/self` arrives as `C:/Program Files/Git/community/self`. What to write
/// instead; `None` for any other text.
fn converted_by_shell(text: &str) -> Option<String> {
    let (drive, rest) = text.split_once(':')?;
    let is_drive = drive.len() == 1 && drive.chars().all(|c| c.is_ascii_alphabetic());
    if !is_drive || !rest.starts_with(['/', '\\']) || rest.starts_with("//") {
        return None;
    }
    // The folder of the shell's own root comes first.
    let below = [
        "/git/",
        "/msys64/",
        "/msys32/",
        "/cygwin64/",
        "/portablegit/",
    ]
    .iter()
    .filter_map(|root| {
        rest.to_ascii_lowercase()
            .find(root)
            .map(|at| at + root.len())
    })
    .find_map(|end| rest.get(end..))
    .unwrap_or("community/self");
    Some(format!(
        "`{text}` is a path of Windows: Git Bash has converted an argument that began with `/`; write it without the first `/` (for example {below}), or set MSYS_NO_PATHCONV=1"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn portal() -> PortalUrls {
        let browser: PortalUrl = "https://gis.example.com/portal".parse().unwrap();
        browser.into()
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
    fn rule_24_the_table_of_addresses_says_which_token_belongs_where() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../tests/addresses.json")).unwrap();
        let mut count = 0;
        for table in file["tables"].as_array().unwrap() {
            let address = |name: &str| -> Option<PortalUrl> {
                table[name].as_str().map(|text| text.parse().unwrap())
            };
            let urls = PortalUrls::new(address("portal").unwrap(), address("api_url")).unwrap();
            let portal = urls.browser_url();
            for case in table["cases"].as_array().unwrap() {
                let (text, expected) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
                let target = Target::parse(&urls, text);
                let server = target.as_ref().map(Target::server);
                match expected {
                    "none" => assert!(target.is_err(), "{text}: {target:?}"),
                    "portal" => assert_eq!(server.unwrap(), None, "{text} at {portal}"),
                    "elsewhere" => assert!(server.unwrap().is_some(), "{text} at {portal}"),
                    root => assert_eq!(server.unwrap(), Some(root), "{text} at {portal}"),
                }
                count += 1;
            }
        }
        assert!(count > 90, "{count}");
    }

    #[test]
    fn a_path_is_below_the_api_url_where_there_is_one() {
        let api = "https://portal01:7443/arcgis".parse().unwrap();
        let urls = PortalUrls::new(portal().browser_url().clone(), Some(api)).unwrap();
        let target = Target::parse(&urls, "community/self").unwrap();
        assert_eq!(
            target.address(),
            "https://portal01:7443/arcgis/sharing/rest/community/self"
        );
        assert_eq!(target.server(), None);
    }

    #[test]
    fn a_path_that_git_bash_has_converted_is_named_as_that() {
        for (text, below) in [
            (
                "C:/Program Files/Git/community/self",
                "(for example community/self)",
            ),
            (
                "D:/msys64/portals/self?f=json",
                "(for example portals/self?f=json)",
            ),
            ("c:\\work\\x", "(for example community/self)"),
        ] {
            let error = Target::parse(&portal(), text).unwrap_err().to_string();
            assert!(
                error.contains("Git Bash") && error.contains(below),
                "{error}"
            );
        }
        // These are not drives.
        for text in ["localhost:6443/arcgis", "c://x"] {
            let error = Target::parse(&portal(), text).unwrap_err().to_string();
            assert!(!error.contains("Git Bash"), "{error}");
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
