//! Names of keychain items.

use crate::connection::Connection;
use crate::item_kind::ItemKind;

/// The service that all our items belong to.
pub const SERVICE: &str = "age-oauth";

/// The name of one item in a keychain: whose it is, and of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    id: String,
    label: String,
    kind: ItemKind,
}

impl Item {
    /// The item of this kind that belongs to a connection.
    #[must_use]
    pub fn of(connection: &Connection, kind: ItemKind) -> Self {
        Self::new(connection.id.as_str(), connection.label.as_str(), kind)
    }

    /// An item by its connection's id and label.
    pub fn new(id: impl Into<String>, label: impl Into<String>, kind: ItemKind) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            kind,
        }
    }

    /// The item that an [account](Self::account) names; `None` where it is not one of ours. The
    /// label is not known, so the item gets the ID as its label.
    #[must_use]
    pub fn from_account(account: &str) -> Option<Self> {
        let (id, word) = account.rsplit_once('/')?;
        let kind = ItemKind::ALL.iter().find(|kind| kind.as_str() == word)?;
        Some(Self::new(id, id, *kind))
    }

    /// What identifies the item within [`SERVICE`]: `<connection id>/tokens`.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}/{}", self.id, self.kind.as_str())
    }

    /// What a person sees in the keychain's own program: `age-oauth: my_portal (tokens)`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("age-oauth: {} ({})", self.label, self.kind.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_by_its_account_and_known_by_its_title() {
        for (kind, word) in [
            (ItemKind::ClientSecret, "client-secret"),
            (ItemKind::Tokens, "tokens"),
            (ItemKind::Probe, "probe"),
        ] {
            let item = Item::new("my_portal_1", "My Portal", kind);
            assert_eq!(item.account(), format!("my_portal_1/{word}"));
            assert_eq!(item.title(), format!("age-oauth: My Portal ({word})"));
            let found = Item::from_account(&item.account()).unwrap();
            assert_eq!(found, Item::new("my_portal_1", "my_portal_1", kind));
        }
        for other in [
            "",
            "my_portal_1",
            "my_portal_1/",
            "my_portal_1/Tokens",
            "tokens",
        ] {
            assert_eq!(Item::from_account(other), None, "{other}");
        }
    }
}
