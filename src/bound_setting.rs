//! The settings of a connection that its secrets are bound to. A separate module, so that errors
//! can name one.

use crate::util::enum_with_words;

enum_with_words! {
    /// A setting that decides whom secrets are sent to, and how. The word is how messages name it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum BoundSetting {
        /// The portal's URL.
        Portal = "portal URL",
        /// Where programs talk to the portal, if that is another address.
        ApiUrl = "API URL",
        /// The client ID.
        ClientId = "client ID",
        /// Whether tokens are for a user or for the application itself.
        AuthType = "kind of sign-in",
        /// Which certificates are accepted.
        Verification = "certificates",
        /// The proxy on the way to the portal.
        Proxy = "proxy",
        /// Whether authorization codes are bound by PKCE.
        Pkce = "PKCE",
        /// Where the portal sends the authorization code.
        RedirectUri = "redirect URI",
        /// Whether a client certificate is presented, and where it is stored.
        ClientCertificate = "client certificate",
        /// Whether Windows sign-in is answered, and as whom.
        WebTier = "Windows sign-in",
        /// The command that gives the client secret.
        SecretCommand = "client secret command",
        /// The command that gives the API key.
        ApiKeyCommand = "API key command",
    }
}
