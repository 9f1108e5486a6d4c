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

/// What stands before `.arcgis.com` in a URL of https at its own port. A name with a final dot is
/// another one for TLS and for cookies, and counts as foreign.
fn below_arcgis(url: &Url) -> Option<&str> {
    let host = url.host_str().filter(|_| url.scheme() == "https")?;
    let below = host.strip_suffix(".arcgis.com")?;
    let plain = url.port().is_none() && below.split('.').all(|label| !label.is_empty());
    plain.then_some(below)
}
