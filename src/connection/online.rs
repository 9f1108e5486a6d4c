//! The hosts of ArcGIS Online and their environments.

use url::Url;

/// Environments of ArcGIS Online do not know the tokens and codes of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    Production,
    Development,
    QualityAssurance,
}

/// The environment of a URL below `arcgis.com`, with https and its own port: by the last label
/// before it.
pub(crate) fn environment(url: &Url) -> Option<Environment> {
    let below = below_arcgis(url)?;
    let last = below.rsplit('.').next().unwrap_or(below);
    Some(if last.contains("dev") {
        Environment::Development
    } else if last.contains("qa") {
        Environment::QualityAssurance
    } else {
        Environment::Production
    })
}

/// The environment of a host that is a portal: `www`, `devext`, `qaext` …, or that of an
/// organization, `city.maps`, `city.mapsdevext` …
pub(crate) fn environment_of_portal(url: &Url) -> Option<Environment> {
    const ENVIRONMENTS: [&str; 5] = ["", "dev", "devext", "qa", "qaext"];
    let below = below_arcgis(url)?;
    let name = match below.rsplit_once('.') {
        Some((_, last)) => last.strip_prefix("maps")?,
        None if below == "www" => "",
        None => Some(below).filter(|name| !name.is_empty())?,
    };
    ENVIRONMENTS
        .contains(&name)
        .then(|| environment(url))
        .flatten()
}

/// The application or service of Esri that a host belongs to, where that is known not to be a
/// portal. Hosts that are not known may be portals.
pub(crate) fn application(url: &Url) -> Option<&'static str> {
    // The longer names come first: `city.hub.arcgis.com` is a site of Hub.
    const APPLICATIONS: [(&str, &str); 20] = [
        ("storymaps.arcgis.com", "ArcGIS StoryMaps"),
        ("storymaps.com", "ArcGIS StoryMaps"),
        ("experience.arcgis.com", "ArcGIS Experience Builder"),
        ("hub.arcgis.com", "ArcGIS Hub"),
        ("opendata.arcgis.com", "ArcGIS Hub"),
        ("dashboards.arcgis.com", "ArcGIS Dashboards"),
        ("survey123.arcgis.com", "ArcGIS Survey123"),
        ("arcg.is", "Esri's short links"),
        ("fieldmaps.arcgis.com", "ArcGIS Field Maps"),
        ("workforce.arcgis.com", "ArcGIS Workforce"),
        ("quickcapture.arcgis.com", "ArcGIS QuickCapture"),
        ("urban.arcgis.com", "ArcGIS Urban"),
        ("insights.arcgis.com", "ArcGIS Insights"),
        ("livingatlas.arcgis.com", "ArcGIS Living Atlas"),
        ("developers.arcgis.com", "Esri's pages for developers"),
        ("location.arcgis.com", "Esri's pages for developers"),
        ("doc.arcgis.com", "Esri's documentation"),
        ("learn.arcgis.com", "Esri's tutorials"),
        ("pro.arcgis.com", "Esri's documentation"),
        ("enterprise.arcgis.com", "Esri's documentation"),
    ];
    let host = url.host_str()?.trim_end_matches('.');
    let is_at = |name: &str| {
        host.strip_suffix(name)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    // Below this name there are portals, too.
    if matches!(host, "esri.com" | "www.esri.com") {
        return Some("Esri's website");
    }
    let known = APPLICATIONS.iter().find(|(name, _)| is_at(name));
    known.map(|(_, application)| *application)
}

/// What stands before `.arcgis.com` in a URL of https at its own port. A name with a final dot is
/// another one for TLS and for cookies, and counts as foreign.
fn below_arcgis(url: &Url) -> Option<&str> {
    let host = url.host_str().filter(|_| url.scheme() == "https")?;
    let below = host.strip_suffix(".arcgis.com")?;
    let plain = url.port().is_none() && below.split('.').all(|label| !label.is_empty());
    plain.then_some(below)
}
