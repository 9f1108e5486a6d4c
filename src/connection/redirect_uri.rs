//! Where the portal sends the authorization code.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::portal_url::is_loopback;
use super::text::clean;
use crate::error::{Error, Result};

/// Where the portal sends the authorization code: exactly what is registered there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectUri {
    /// The portal shows the authorization code, and the person pastes it.
    OutOfBand,
    /// The portal sends the browser to a port of this machine, where this program listens.
    Loopback(LoopbackUri),
    /// Anything else that is registered: the person pastes the address that the browser ends at.
    Elsewhere(String),
}

impl RedirectUri {
    /// The URN that makes a portal show the authorization code.
    pub const OUT_OF_BAND: &'static str = "urn:ietf:wg:oauth:2.0:oob";

    /// The one to suggest where the browser delivers the code to this machine. Any free port that
    /// is registered works.
    pub(crate) const DEFAULT_LOOPBACK: &'static str = "http://127.0.0.1:53682/callback";

    /// The port in [`RedirectUri::DEFAULT_LOOPBACK`].
    #[cfg(any(feature = "cli", test))]
    pub(crate) const DEFAULT_PORT: u16 = 53682;

    /// The same with another port.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn loopback_at(port: u16) -> String {
        format!("http://127.0.0.1:{port}/callback")
    }

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
        let text = clean("redirect URI", text)?;
        let text = text.as_str();
        if text == Self::OUT_OF_BAND {
            return Ok(Self::OutOfBand);
        }
        if text.contains(char::is_whitespace) {
            return Err(bad("it contains a blank"));
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
                "http is allowed only for this machine (127.0.0.1, localhost, [::1])",
            ));
        }
        let port = url.port().filter(|port| *port != 0).ok_or_else(|| {
            bad(&format!(
                "it must name a port, as in {}",
                Self::DEFAULT_LOOPBACK
            ))
        })?;
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

/// A redirect URI that leads to this machine.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_the_default() {
        for page in [
            include_str!("../../docs/portal-setup.md"),
            include_str!("../../docs/sign-in.md"),
            include_str!("../../docs/images/portal-credentials.svg"),
            include_str!("../../docs/images/portal-settings.svg"),
            include_str!("../../docs/images/portal-earlier.svg"),
        ] {
            assert!(page.contains(RedirectUri::DEFAULT_LOOPBACK));
            assert!(page.contains(RedirectUri::OUT_OF_BAND));
        }
        let setup = include_str!("../../docs/portal-setup.md");
        let next = RedirectUri::DEFAULT_PORT + 1;
        assert!(setup.contains(&format!("the next port, {next}:")));
    }

    #[test]
    fn redirect_uris_keep_their_registered_text() {
        let usual = RedirectUri::loopback_at(RedirectUri::DEFAULT_PORT);
        assert_eq!(usual, RedirectUri::DEFAULT_LOOPBACK);
        let uri: RedirectUri = RedirectUri::DEFAULT_LOOPBACK.parse().unwrap();
        assert_eq!(uri.as_str(), RedirectUri::DEFAULT_LOOPBACK);
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
}
