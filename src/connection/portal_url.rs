//! A portal's URL, cut back from what people paste.

use std::fmt;
use std::str::FromStr;

use url::{Host, Origin, Url};

use super::online;
use super::text::clean;
use crate::error::{Error, Input, Result};

/// A portal's root, without trailing slash: `https://host[:port][/context]`.
///
/// The address of any page of the portal is accepted and cut back to the root; see the examples in
/// the tests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortalUrl(String);

impl PortalUrl {
    /// Path segments at which a portal's own pages and services begin.
    const OWN_PAGES: [&'static str; 5] = ["home", "sharing", "portaladmin", "portalhelp", "rest"];

    /// Applications that portals have below `/apps`.
    const APPS: [&'static str; 13] = [
        "mapviewer",
        "mapviewerclassic",
        "sceneviewer",
        "webappviewer",
        "webappbuilder",
        "experiencebuilder",
        "experience",
        "dashboards",
        "opsdashboard",
        "storymaps",
        "instant",
        "sites",
        "survey123",
    ];

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

    /// Reads what a person gives. Unlike a stored address, it must not be that of an application of
    /// Esri which is not a portal, such as a story, a site of Hub or a survey.
    pub fn from_input(text: &str) -> Result<Self> {
        let portal: Self = text.parse()?;
        let application = Url::parse(&portal.0)
            .ok()
            .and_then(|url| online::application(&url));
        match application {
            None => Ok(portal),
            Some(application) => Err(Error::invalid(
                Input::PortalUrl,
                format!(
                    "{} is the address of {application}, not of a portal; in ArcGIS Online, the portal is https://ORGANIZATION.maps.arcgis.com, or https://www.arcgis.com",
                    portal.host()
                ),
            )),
        }
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

    /// The segments of the path before the portal's own pages. `apps`, `admin` and `manager` may
    /// also be a folder in front of the portal, so that more than the name has to fit.
    fn context(url: &Url) -> Vec<&str> {
        let mut segments: Vec<&str> = url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|segment| !segment.is_empty())
            .collect();
        let lower: Vec<String> = segments
            .iter()
            .map(|one| one.to_ascii_lowercase())
            .collect();
        let is_page = |name: &&str| {
            let name = name.to_ascii_lowercase();
            [".html", ".htm", ".aspx", ".jsp"]
                .iter()
                .any(|ending| name.ends_with(ending))
        };
        let own = lower
            .iter()
            .position(|name| Self::OWN_PAGES.contains(&&**name));
        segments.truncate(own.unwrap_or(segments.len()));
        let in_app = segments.last().is_some_and(is_page)
            || (own.is_none() && (url.query().is_some() || url.fragment().is_some()));
        let cut = (0..segments.len()).find(|&at| {
            let next = lower.get(at + 1).filter(|_| at + 1 < segments.len());
            match lower.get(at).map(String::as_str) {
                Some("apps") => {
                    next.is_some_and(|next| in_app || Self::APPS.contains(&next.as_str()))
                }
                Some("admin" | "manager") => at > 0,
                _ => false,
            }
        });
        segments.truncate(cut.unwrap_or(segments.len()));
        while segments.last().is_some_and(is_page) {
            segments.pop();
        }
        segments
    }

    /// The environment of ArcGIS Online that this portal is an organization of.
    pub(crate) fn online_environment(&self) -> Option<online::Environment> {
        let url = Url::parse(&self.0).ok()?;
        let is_root = url.path().trim_end_matches('/').is_empty();
        online::environment_of_portal(&url).filter(|_| is_root)
    }

    /// Whether an address belongs to this portal: it has the same scheme, host and port, and is at
    /// or below the root. All organizations in one environment of ArcGIS Online are one portal.
    pub(crate) fn contains(&self, address: &Url) -> bool {
        let online = self.online_environment();
        if online.is_some() && online == online::environment_of_portal(address) {
            return true;
        }
        self.is_at_or_above(address)
    }

    /// Whether an address has the same scheme, host and port, and is at or below the root.
    pub(crate) fn is_at_or_above(&self, address: &Url) -> bool {
        let Ok(root) = Url::parse(&self.0) else {
            return false;
        };
        let host = |url: &Url| {
            url.host_str()
                .map(|host| host.trim_end_matches('.').to_owned())
        };
        let same_origin = root.scheme() == address.scheme()
            && host(&root) == host(address)
            && root.port_or_known_default() == address.port_or_known_default();
        let (root, path) = (root.path().trim_end_matches('/'), address.path());
        // Web servers on Windows ignore case.
        let below = path.get(..root.len());
        same_origin
            && below.is_some_and(|start| start.eq_ignore_ascii_case(root))
            && (path.len() == root.len() || path[root.len()..].starts_with('/'))
    }

    /// Whether another portal is at the same scheme, host and port, at or below this address.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        Url::parse(&other.0).is_ok_and(|address| self.is_at_or_above(&address))
    }

    /// Whether the host is this machine: `localhost`, `127.0.0.0/8`, `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }

    /// Its scheme, host and port.
    pub(crate) fn origin(&self) -> Option<Origin> {
        Url::parse(&self.0).ok().map(|url| url.origin())
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
        let bad = |why: &str| Error::invalid(Input::PortalUrl, why);
        let text = clean(Input::PortalUrl, text)?;
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.contains(char::is_whitespace) {
            return Err(bad("it contains a blank"));
        }
        let with_scheme = if text.contains("://") {
            text
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&with_scheme)
            .map_err(|why| Error::invalid(Input::PortalUrl, why.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not contain a user name or a password"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(bad("http is not allowed; use https")),
            _ => return Err(bad("it must begin with https://")),
        }
        let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
        let host = match host.strip_suffix('.').unwrap_or(host) {
            "" => return Err(bad("it names no host")),
            // `2..` is a name, but without its dots it would be the address 0.0.0.2.
            host if host.ends_with('.') => return Err(bad("its host ends with two dots")),
            // This host redirects to www, and requests with secrets do not follow redirects.
            "arcgis.com" => "www.arcgis.com",
            host => host,
        };
        let mut root = format!("{}://{host}", url.scheme());
        if let Some(port) = url.port() {
            root.push(':');
            root.push_str(&port.to_string());
        }
        for segment in Self::context(&url) {
            root.push('/');
            root.push_str(segment);
        }
        Ok(Self(root))
    }
}

impl fmt::Display for PortalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_belongs_to_the_portal_at_or_below_its_root() {
        let contains = |portal: &str, address: &str| {
            let portal: PortalUrl = portal.parse().unwrap();
            portal.contains(&address.parse().unwrap())
        };
        assert!(contains("https://h/portal", "https://h/portal"));
        assert!(contains("https://h/portal", "https://h./portal/x"));
        assert!(contains("https://h", "https://h/any"));
        assert!(!contains("https://h/portal", "https://h/portals"));
        assert!(!contains("https://h/portal", "https://h/"));
        assert!(!contains("https://h/portal", "https://h:7443/portal"));
        let (www, org) = ("https://www.arcgis.com", "https://org.maps.arcgis.com");
        assert!(contains(org, &format!("{www}/sharing/rest")));
        assert!(contains(www, &format!("{org}/sharing/rest")));
        assert!(!contains(org, "https://www.arcgis.com.evil.example/"));
        let dev = "https://org.mapsdevext.arcgis.com";
        assert!(contains(dev, "https://devext.arcgis.com/sharing/rest"));
        assert!(!contains(dev, www));
        assert!(!contains(www, dev));
    }

    #[test]
    fn rule_34_an_address_covers_what_has_its_origin_and_its_path() {
        let covers = |one: &str, other: &str| {
            let (one, other): (PortalUrl, PortalUrl) =
                (one.parse().unwrap(), other.parse().unwrap());
            one.covers(&other)
        };
        let allowed = "https://gis.example.com/portal";
        for same in [
            allowed,
            "https://GIS.example.com:443/Portal",
            "https://gis.example.com/portal/home/index.html",
            "https://gis.example.com/portal/below",
        ] {
            assert!(covers(allowed, same), "{same}");
        }
        for other in [
            "https://gis.example.com.evil.net/portal",
            "https://gis.example.com",
            "https://gis.example.com/portal2",
            "https://gis.example.com/other/../elsewhere",
            "https://gis.example.com:7443/portal",
            "https://example.com/portal",
            "https://evil.net/gis.example.com/portal",
            "https://gis.example.com%2eevil.net/portal",
        ] {
            assert!(!covers(allowed, other), "{other}");
        }
        // One organization of ArcGIS Online is not another one.
        let ours = "https://ours.maps.arcgis.com";
        assert!(covers(ours, ours));
        assert!(!covers(ours, "https://theirs.maps.arcgis.com"));
        assert!(!covers(ours, "https://www.arcgis.com"));
    }

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
            (
                "https://h/portal/apps/mapviewer/index.html?webmap=1a2b",
                "https://h/portal",
            ),
            (
                "https://h/portal/apps/webappviewer/index.html?id=1#x",
                "https://h/portal",
            ),
            ("https://h/portal/apps/Dashboards/1a2b", "https://h/portal"),
            ("https://h/portal/apps/View/?appid=1", "https://h/portal"),
            ("https://h/apps/mapviewer/index.html", "https://h"),
            ("https://h/apps/portal", "https://h/apps/portal"),
            (
                "https://h/apps/portal/home/item.html?id=1",
                "https://h/apps/portal",
            ),
            ("https://h/apps", "https://h/apps"),
            ("https://h/portal/home/#/page?view=1", "https://h/portal"),
            ("https://h/portal/index.html", "https://h/portal"),
            ("https://h/portal/signin.html?x=1", "https://h/portal"),
            ("https://h/arcgis/rest/services", "https://h/arcgis"),
            ("https://h/server/manager/site.html", "https://h/server"),
            ("https://h/server/admin/", "https://h/server"),
            ("https://h/admin/portal", "https://h/admin/portal"),
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
    fn addresses_that_cannot_be_a_portal_are_refused() {
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
    fn addresses_of_applications_are_named_and_not_taken_for_portals() {
        for (input, application) in [
            ("https://storymaps.arcgis.com/stories/1a2b", "StoryMaps"),
            ("https://storymaps.com/stories/1a2b", "StoryMaps"),
            (
                "https://experience.arcgis.com/experience/1a2b/",
                "Experience Builder",
            ),
            (
                "experience.arcgis.com/builder/?id=1a2b",
                "Experience Builder",
            ),
            ("https://hub.arcgis.com", "Hub"),
            ("https://city.hub.arcgis.com/pages/x", "Hub"),
            ("https://city.opendata.arcgis.com", "Hub"),
            ("https://www.arcgis.com.hub.arcgis.com", "Hub"),
            ("https://dashboards.arcgis.com/1a2b", "Dashboards"),
            ("https://SURVEY123.arcgis.com/share/1a2b", "Survey123"),
            ("https://survey123.arcgis.com./share/1a2b", "Survey123"),
            ("https://developers.arcgis.com/documentation", "developers"),
            ("https://arcg.is/1a2b3c", "short links"),
            ("https://www.esri.com/en-us/home", "website"),
        ] {
            let error = PortalUrl::from_input(input).unwrap_err().to_string();
            assert!(error.contains(application), "{input}: {error}");
            assert!(error.contains("https://www.arcgis.com"), "{input}: {error}");
            // What was stored before can still be read, shown and removed.
            assert!(input.parse::<PortalUrl>().is_ok(), "{input}");
        }
        for input in [
            "arcgis.com",
            "https://www.arcgis.com/apps/dashboards/1a2b",
            "https://city.maps.arcgis.com/apps/storymaps/1a2b",
            "https://hub.maps.arcgis.com",
            "https://myhub.arcgis.com",
            "https://storymaps.city.example/portal",
            "https://gis.city.example/hub",
            "https://hub.arcgis.com.city.example/portal",
            "https://devext.arcgis.com",
            "https://gis.esri.com/portal",
            "https://pythonapi.playground.esri.com/portal",
        ] {
            let read = PortalUrl::from_input(input).unwrap();
            assert_eq!(read, input.parse().unwrap(), "{input}");
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
    }
}
