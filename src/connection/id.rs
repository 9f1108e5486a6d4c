//! The stable identifier of a connection.

use std::fmt;
use std::str::FromStr;

use super::Label;
use crate::error::{Error, Result};

/// A connection's id, which is also the name of its folder. Opaque, and never a path.
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

    /// An id becomes a folder name on every system: letters, digits, `_`, `-` and `.`, with no dot
    /// at either end.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn every_label_makes_an_id(text in "\\PC{1,64}") {
            if let Ok(label) = text.parse::<Label>() {
                let id = ConnectionId::new(&label);
                prop_assert_eq!(id.as_str().parse::<ConnectionId>().unwrap(), id);
            }
        }
    }
}
