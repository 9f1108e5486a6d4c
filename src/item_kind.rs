//! The kinds of keychain items. A separate module, so that errors can name an item without
//! depending on the keychain.

use crate::util::enum_with_words;

enum_with_words! {
    /// What one keychain item holds; the word is a part of the item's name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum ItemKind {
        /// The client secret: written by `connections add` and `edit`, read only to renew an
        /// application connection.
        ClientSecret = "client-secret",
        /// The client certificate with its private key, or the password of the file that has them:
        /// written by `connections add` and `edit`, read before a request to the portal.
        ClientCertificate = "client-certificate",
        /// The API key, and whose it is: written by `connections add` and `edit`.
        ApiKey = "api-key",
        /// Access token, refresh token and their dates.
        Tokens = "tokens",
        /// The settings that the connection's secrets are bound to: written by `connections add`
        /// and `edit`, and kept while there is no sign-in.
        Binding = "binding",
        /// Written, read and deleted again, to find out whether the keychain works.
        Probe = "probe",
    }
}

impl ItemKind {
    /// The items that a connection may have.
    pub const OF_CONNECTION: [Self; 5] = [
        Self::ClientSecret,
        Self::ClientCertificate,
        Self::ApiKey,
        Self::Tokens,
        Self::Binding,
    ];
}
