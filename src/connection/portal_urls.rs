//! The addresses of one portal: where browsers sign in, and where programs talk to it.

use super::PortalUrl;
use crate::error::{Error, Input, Result};

/// Where a portal is. Most portals have one address. Where a web server in front of that one
/// requires a sign-in that only browsers can do, programs need another one: the API URL.
///
/// There is no method for "the" address, so that each use decides which of the two it means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortalUrls {
    browser: PortalUrl,
    api: Option<PortalUrl>,
}

impl PortalUrls {
    /// The portal at `browser`, which programs reach at `api`; `None` where they use the same
    /// address. An API URL that is the portal's own is the same as none.
    ///
    /// [`Error::Invalid`] for an organization of ArcGIS Online, which has one address only.
    pub fn new(browser: PortalUrl, api: Option<PortalUrl>) -> Result<Self> {
        let api = api.filter(|api| *api != browser);
        let is_online = |url: &PortalUrl| url.online_environment().is_some();
        if api
            .as_ref()
            .is_some_and(|api| is_online(&browser) || is_online(api))
        {
            return Err(Error::invalid(
                Input::ApiUrl,
                "an organization of ArcGIS Online has no second address",
            ));
        }
        Ok(Self { browser, api })
    }

    /// Where a browser signs in: the address that people know, and that the portal gives as its
    /// own in redirects and as the issuer.
    #[must_use]
    pub fn browser_url(&self) -> &PortalUrl {
        &self.browser
    }

    /// Where programs talk to the portal: every request with a secret or a token goes there.
    #[must_use]
    pub fn api_url(&self) -> &PortalUrl {
        self.api.as_ref().unwrap_or(&self.browser)
    }

    /// The API URL, where it is not the browser's address.
    #[must_use]
    pub fn separate_api_url(&self) -> Option<&PortalUrl> {
        self.api.as_ref()
    }
}

impl From<PortalUrl> for PortalUrls {
    fn from(browser: PortalUrl) -> Self {
        Self { browser, api: None }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(text: &str) -> PortalUrl {
        text.parse().unwrap()
    }

    #[test]
    fn an_api_url_is_another_address_of_a_portal_that_is_not_online() {
        let portal = url("https://gis.example.com/portal");
        let direct = url("https://portal01:7443/arcgis");
        let urls = PortalUrls::new(portal.clone(), Some(direct.clone())).unwrap();
        assert_eq!((urls.browser_url(), urls.api_url()), (&portal, &direct));
        assert_eq!(urls.separate_api_url(), Some(&direct));
        let same = PortalUrls::new(portal.clone(), Some(portal.clone())).unwrap();
        assert_eq!(same, portal.clone().into());
        assert_eq!((same.api_url(), same.separate_api_url()), (&portal, None));
        let online = url("https://org.maps.arcgis.com");
        assert!(PortalUrls::new(online.clone(), Some(direct)).is_err());
        assert!(PortalUrls::new(portal, Some(online.clone())).is_err());
        assert!(PortalUrls::new(online.clone(), Some(online)).is_ok());
    }
}
