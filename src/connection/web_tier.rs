//! What a connection answers where the web server in front of the portal asks for a sign-in.

use std::fmt;
use std::str::FromStr;

use super::is_control;
use crate::error::{Error, Result};

/// The longest principal, in bytes.
const LONGEST_PRINCIPAL: usize = 256;

/// Whether a connection answers the sign-in of the web server in front of its portal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebTier {
    /// It answers none.
    #[default]
    None,
    /// It answers Windows sign-in (`Negotiate`) by Kerberos, as this principal and no other.
    Windows(Principal),
}

impl WebTier {
    /// The word for [`WebTier::None`].
    pub(crate) const NONE: &str = "none";
    /// The word for [`WebTier::Windows`].
    pub(crate) const WINDOWS: &str = "windows";

    /// The word in `meta.json`, in JSON and after `--web-tier`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => Self::NONE,
            Self::Windows(_) => Self::WINDOWS,
        }
    }

    /// Whose Windows sign-in it is; `None` without one.
    #[must_use]
    pub const fn principal(&self) -> Option<&Principal> {
        match self {
            Self::None => None,
            Self::Windows(principal) => Some(principal),
        }
    }
}

/// The Kerberos name of a person, a machine or a service: `ana@EXAMPLE.COM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(String);

impl Principal {
    /// The principal as Kerberos writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the account of a machine or a service (`HOST$@…`, `HTTP/host@…`), and not a
    /// person's.
    #[must_use]
    pub fn is_of_a_machine(&self) -> bool {
        let name = self.0.rsplit_once('@').map_or(&*self.0, |(name, _)| name);
        name.ends_with('$') || name.contains('/')
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Principal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let has_realm = text
            .rsplit_once('@')
            .is_some_and(|(name, realm)| !name.is_empty() && !realm.is_empty());
        // Names in a domain may have spaces (`gis admin`).
        let is_plain = !text.contains(|c: char| (c.is_whitespace() && c != ' ') || is_control(c));
        if has_realm && is_plain && text.len() <= LONGEST_PRINCIPAL {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(
            "web tier",
            "a principal is a name and a realm, such as ana@EXAMPLE.COM",
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_a_name_and_a_realm() {
        for text in [
            "ana@EXAMPLE.COM",
            " HOST$@EXAMPLE.COM\n",
            "HTTP/h@R",
            "a@b@R",
            "gis admin@EXAMPLE.COM",
        ] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!(principal.as_str(), text.trim());
        }
        for text in [
            "",
            "ana",
            "@R",
            "ana@",
            "a\tb@R",
            "a\u{a0}b@R",
            "a\u{202e}@R",
            &"x".repeat(300),
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn rule_24f_machines_and_services_are_told_from_people() {
        for (text, expected) in [
            ("ana@EXAMPLE.COM", false),
            ("svc-gis@EXAMPLE.COM", false),
            ("BUILD01$@EXAMPLE.COM", true),
            ("host/build01.example.com@EXAMPLE.COM", true),
            ("HTTP/gis.example.com@EXAMPLE.COM", true),
        ] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!(principal.is_of_a_machine(), expected, "{text}");
        }
    }
}
