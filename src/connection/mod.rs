//! What `meta.json` says, valid by construction: labels, portal URLs, redirect URIs, kinds of
//! sign-in.
//!
//! Every type here is parsed once, where text comes in; after that nothing needs to be checked
//! again. No I/O, no clock.

mod client_certificate;
mod id;
mod keychain_kind;
mod label;
pub(crate) mod online;
mod pkcs11_uri;
mod portal_url;
mod portal_urls;
mod proxy;
mod redirect_uri;
mod renewal_failure;
mod secret_command;
mod store_certificate;
mod text;
mod web_tier;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::error::{ApiKeyProblem, Error, Input, PrintedSecret, Result};
use crate::util::enum_with_words;

pub use client_certificate::{CertificateSource, ClientCertificateSetting};
pub use id::ConnectionId;
pub use keychain_kind::KeychainKind;
pub use label::{fold, Label};
pub use pkcs11_uri::Pkcs11Uri;
#[cfg(all(unix, not(target_env = "musl")))]
pub(crate) use pkcs11_uri::TokenName;
pub(crate) use portal_url::is_loopback;
pub use portal_url::PortalUrl;
pub use portal_urls::PortalUrls;
pub use proxy::Proxy;
pub use redirect_uri::{LoopbackUri, RedirectUri};
pub use renewal_failure::{FailedRequest, RenewalFailure, RenewalFailureNote};
pub use secret_command::SecretCommand;
pub use store_certificate::{StoreCertificate, StoreName};
pub(crate) use text::is_invisible;
pub use text::{clean, is_control};
pub use web_tier::{Principal, WebTier};

/// One registered way into one portal: everything about it that is not secret.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Connection {
    /// Its stable identifier, which is also its folder's name.
    pub id: ConnectionId,
    /// The name that people type; unique without regard to case.
    pub label: Label,
    /// The portal's addresses.
    pub urls: PortalUrls,
    /// Whom tokens are for, and how the portal is asked for them.
    pub grant: Grant,
    /// The client ID that the portal gave the registered application. Empty for a network
    /// connection and one with an API key, which have none.
    pub client_id: String,
    /// The command that gives the client secret, or the API key, in place of the keychain. It may
    /// be named by anyone who can write `meta.json`, and is run only where the keychain's binding
    /// has the same.
    pub secret_command: Option<SecretCommand>,
    /// Which certificates are accepted.
    pub tls: Tls,
    /// The client certificate that is presented to the web server in front of the portal.
    pub client_certificate: Option<ClientCertificateSetting>,
    /// What it answers where the web server in front of the portal asks for a sign-in.
    pub web_tier: WebTier,
    /// The `Referer` that a person chose; [`Connection::sent_referer`] is what is sent.
    pub referer: Option<String>,
    /// The proxy on the way to the portal.
    pub proxy: Proxy,
    /// Where its secrets are stored.
    pub keychain: KeychainKind,
    /// Free words for `list --tag`.
    pub tags: Vec<String>,
    /// When it was added. Absent for connections that were imported without a date.
    pub created_at: Option<Timestamp>,
    /// When an access token was last renewed; for an API key, about when it was last handed out.
    /// Absent before the first time.
    pub last_used_at: Option<Timestamp>,
    /// The file that `ca.pem` was copied from.
    pub ca_source: Option<String>,
    /// The API URL at which the portal has accepted a token of this connection. It concerns only a
    /// connection with a separate API URL, and says nothing about any other address.
    pub confirmed_api_url: Option<PortalUrl>,
    /// What is known about the sign-in without asking the keychain.
    pub status: Status,
    /// The id that the Python package gave it, for an imported connection.
    pub legacy_id: Option<String>,
}

impl Connection {
    /// A new connection with a fresh id; every other field has its default.
    #[must_use]
    pub fn new(label: Label, portal: PortalUrl, grant: Grant, client_id: String) -> Self {
        Self {
            id: ConnectionId::new(&label),
            label,
            urls: portal.into(),
            grant,
            client_id,
            secret_command: None,
            tls: Tls::System,
            client_certificate: None,
            web_tier: WebTier::None,
            referer: None,
            proxy: Proxy::System,
            keychain: KeychainKind::default(),
            tags: Vec::new(),
            created_at: None,
            last_used_at: None,
            ca_source: None,
            confirmed_api_url: None,
            status: Status::default(),
            legacy_id: None,
        }
    }

    /// Where a browser signs in; see [`PortalUrls::browser_url`].
    #[must_use]
    pub fn browser_url(&self) -> &PortalUrl {
        self.urls.browser_url()
    }

    /// Where programs talk to the portal; see [`PortalUrls::api_url`].
    #[must_use]
    pub fn api_url(&self) -> &PortalUrl {
        self.urls.api_url()
    }

    /// Whether it answers what a web server in front of the portal asks for: Windows sign-in or a
    /// client certificate.
    #[must_use]
    pub fn answers_web_server(&self) -> bool {
        self.client_certificate.is_some() || self.web_tier.principal().is_some()
    }

    /// Whether kind, client ID and what it answers fit together.
    pub(crate) fn check_kind(&self) -> Result<()> {
        match (self.grant.kind(), self.client_id.is_empty()) {
            (GrantKind::User | GrantKind::Application, true) => Err(Error::invalid(
                "client ID",
                "it is empty; this kind of connection needs the client ID of its application (--client-id ID)",
            )),
            (GrantKind::Network, false) => Err(Error::invalid(
                "client ID",
                "a network connection has none (--auth-type user and --auth-type app do)",
            )),
            (GrantKind::ApiKey, false) => Err(Error::invalid(
                "client ID",
                "a connection with an API key has none (--auth-type user and --auth-type app do)",
            )),
            (GrantKind::Network, true) if !self.answers_web_server() => {
                Err(Error::invalid(Input::AuthType, NEEDS_ANSWER))
            }
            (GrantKind::Network, true) if self.secret_command.is_some() => Err(Error::invalid(
                "client secret command",
                "a network connection has no client secret",
            )),
            (GrantKind::User | GrantKind::Application, false)
            | (GrantKind::Network | GrantKind::ApiKey, true) => Ok(()),
        }
    }

    /// Whether it is known when the API key ends. A file may have lost that, and the connection can
    /// still be edited or removed.
    pub(crate) fn check_api_key_end(&self) -> Result<()> {
        match self.grant {
            Grant::ApiKey { expires_at: None } => Err(Error::invalid(
                "end of the API key",
                "it is missing (--expires DATE)",
            )),
            Grant::ApiKey { .. } | Grant::User { .. } | Grant::Application | Grant::Network => {
                Ok(())
            }
        }
    }

    /// The error where the API key cannot be used.
    pub(crate) fn api_key_error(&self, why: ApiKeyProblem) -> Error {
        Error::ApiKey {
            connection: self.label.to_string(),
            is_printed: self.secret_command.is_some(),
            why,
        }
    }

    /// Sent as `Referer` on every call of this connection; absent if none is. The tokens of a
    /// network connection are good only together with one: the portal URL, unless a person chose
    /// another.
    #[must_use]
    pub fn sent_referer(&self) -> Option<&str> {
        match (&self.referer, &self.grant) {
            (Some(chosen), _) => Some(chosen),
            (None, Grant::Network) => Some(self.browser_url().as_str()),
            (None, Grant::User { .. } | Grant::Application | Grant::ApiKey { .. }) => None,
        }
    }

    /// The separate API URL, if no token of this connection has worked through it yet.
    #[must_use]
    pub fn unconfirmed_api_url(&self) -> Option<&PortalUrl> {
        let api = self.urls.separate_api_url()?;
        (self.confirmed_api_url.as_ref() != Some(api)).then_some(api)
    }
}

/// Why a connection cannot be a network connection.
pub(crate) const NEEDS_ANSWER: &str = "with `network`, the portal knows you by the sign-in of the web server in front of it, and this connection answers none";

/// Copies of facts in the keychain's record, for display. Where the two differ, the record is
/// right. Every field is absent until it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The portal's name of the person who is signed in, or of the user whose API key it is.
    pub username: Option<String>,
    /// When that person signed in.
    pub signed_in_at: Option<Timestamp>,
    /// When the refresh token was issued.
    pub refresh_issued_at: Option<Timestamp>,
    /// When the refresh token expires, as the portal said or as assumed where it said nothing.
    pub refresh_expires_at: Option<Timestamp>,
    /// Whether the portal can extend the sign-in.
    pub extendable: Option<bool>,
    /// When the cached token expires.
    pub access_expires_at: Option<Timestamp>,
    /// When and why the last renewal failed, in one line.
    pub last_failure: Option<String>,
    /// When and how a renewal last failed, for the processes that waited for its result. Absent
    /// where a renewal has worked since, and where the failure says nothing to others.
    pub renewal_failure: Option<RenewalFailureNote>,
    /// When the portal said that it does not know the application. Absent where a renewal has
    /// worked since.
    pub grant_refused_at: Option<Timestamp>,
    /// When the portal did not accept the API key. Absent as long as it does, as far as is known.
    pub api_key_refused_at: Option<Timestamp>,
    /// The machine that the sign-in was made on.
    pub machine: Option<String>,
}

/// Whom tokens are for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grant {
    /// A person who signs in with a browser.
    User {
        /// Where the portal sends the authorization code.
        redirect_uri: RedirectUri,
        /// Whether the code is bound to this process by PKCE (S256). True unless switched off by
        /// hand.
        pkce: bool,
    },
    /// The application itself, which proves its identity by the client secret.
    Application,
    /// The user whom the web server in front of the portal vouches for, by Windows sign-in or a
    /// client certificate. No application is registered for it. Experimental: not tried with a real
    /// portal.
    Network,
    /// Whom a user of the portal gave an API key: an access token that lives for months, and is
    /// used as it is.
    ApiKey {
        /// When the key expires, as a person said. `None` only on a connection card: each person
        /// has a key of their own.
        expires_at: Option<Timestamp>,
    },
}

enum_with_words! {
    /// The kind of a [`Grant`], without its settings. The word is that of `meta.json`, of JSON and
    /// of `--auth-type`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum GrantKind {
        /// [`Grant::User`].
        User = "user",
        /// [`Grant::Application`].
        Application = "app",
        /// [`Grant::Network`].
        Network = "network",
        /// [`Grant::ApiKey`].
        ApiKey = "key",
    }
}

impl GrantKind {
    /// What a command of such a connection prints.
    #[must_use]
    pub fn printed_secret(self) -> PrintedSecret {
        match self {
            Self::User | Self::Application | Self::Network => PrintedSecret::ClientSecret,
            Self::ApiKey => PrintedSecret::ApiKey,
        }
    }

    /// Whether an application is registered at the portal for such connections.
    #[must_use]
    pub fn has_client_id(self) -> bool {
        match self {
            Self::User | Self::Application => true,
            Self::Network | Self::ApiKey => false,
        }
    }
}

impl Grant {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> GrantKind {
        match self {
            Self::User { .. } => GrantKind::User,
            Self::Application => GrantKind::Application,
            Self::Network => GrantKind::Network,
            Self::ApiKey { .. } => GrantKind::ApiKey,
        }
    }

    /// The word in `meta.json`: `user`, `app`, `network` or `key`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The redirect URI that goes with requests. Only users have one of their own.
    pub(crate) fn redirect_uri(&self) -> &str {
        match self {
            Self::User { redirect_uri, .. } => redirect_uri.as_str(),
            Self::Application | Self::Network | Self::ApiKey { .. } => RedirectUri::OUT_OF_BAND,
        }
    }

    /// When the API key expires; `None` for every other kind.
    #[must_use]
    pub fn api_key_expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::ApiKey { expires_at } => *expires_at,
            Self::User { .. } | Self::Application | Self::Network => None,
        }
    }
}

/// Which certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tls {
    /// Those that the system trusts.
    System,
    /// Those that the system trusts, and those in this PEM file (absolute path).
    Ca(PathBuf),
    /// Those that the system trusts, and exactly one.
    Pinned {
        /// The PEM file with that one (absolute path).
        path: PathBuf,
        /// The host that it was pinned for. Only there it needs no name.
        host: String,
    },
    /// Any. Every use warns.
    Unverified,
}
