//! The proxy of a connection.

use std::str::FromStr;

use url::Url;

use super::text::clean;
use crate::error::{Error, Result};

/// The proxy on the way to a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// The proxy that the environment names, else the one in the system's settings.
    System,
    /// No proxy.
    None,
    /// This proxy: `http://host:port`, without user name and password.
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
        match clean("proxy", text)?.as_str() {
            "system" => Ok(Self::System),
            "none" => Ok(Self::None),
            text => {
                let with_scheme = if text.contains("://") {
                    text.to_owned()
                } else {
                    format!("http://{text}")
                };
                // Before the address is parsed, which would take the `DOMAIN` of `DOMAIN\user` for
                // the host.
                if with_scheme.contains('@') {
                    return Err(bad(
                        "it must not contain a user name or a password, which would be stored in plain text",
                    ));
                }
                let url = Url::parse(&with_scheme)
                    .map_err(|why| Error::invalid("proxy", why.to_string()))?;
                if !matches!(url.path(), "" | "/") || with_scheme.contains('\\') {
                    return Err(bad("it must be http://HOST:PORT"));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn proxies_carry_no_password() {
        assert_eq!(
            "proxy:3128".parse::<Proxy>().unwrap().as_str(),
            "http://proxy:3128"
        );
        assert_eq!("none".parse::<Proxy>().unwrap(), Proxy::None);
        for bad in [
            "http://u:p@proxy:1",
            "http://DOMAIN\\u:p@proxy:1",
            "DOMAIN\\u:p@proxy:1",
            "http://DOMAIN\\u",
            "http://u:p/q@proxy:1",
            "http://proxy:1/path",
            "socks5://proxy:1",
            "https://proxy:1",
            "",
        ] {
            assert!(bad.parse::<Proxy>().is_err(), "{bad}");
        }
    }
}
