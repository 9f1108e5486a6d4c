//! Signs people and applications in to ArcGIS Enterprise portals and ArcGIS Online by OAuth 2.0,
//! and hands short-lived access tokens to scripts, so that no script holds a password, a client
//! secret or a long-lived token.
//!
//! A [`Connection`] is one registered way into one portal, and [`ConnectionStore`] finds it. A
//! [`Session`] returns the cached access token, or a new one that exactly one of all waiting
//! processes gets from the portal, or [`Error::SignInNeeded`]. Secrets are stored in a
//! [keychain](SecretStore), never in a plain text file.
//!
//! `docs/architecture.md` explains the terms and is the map of the code. All times are UTC; all
//! lifetimes are in seconds unless a name says otherwise.
//!
//! ```no_run
//! // One call for scripts:
//! let token = age_oauth::access_token("prod")?;
//! println!("X-Esri-Authorization: Bearer {}", token.expose());
//!
//! // The same in its parts:
//! use age_oauth::{ConnectionStore, Context, Keychains, Selector, Session, TokenRequest};
//! let context = Context::process();
//! let connections = ConnectionStore::open_default(&context.environment)?;
//! let connection = connections.find(&Selector::Name("prod".into()))?;
//! let root = connections.root().to_owned();
//! let keychains = Keychains::new(root, connections.is_custom(), false, &context);
//! let keychain = keychains.of(connection.keychain);
//! let session = Session::new(connections, connection, keychain, context);
//! let token = session.access_token(&TokenRequest::default())?;
//! println!("good until {}", token.access.expires_at);
//! # Ok::<(), age_oauth::Error>(())
//! ```
//!
//! The library neither prints nor prompts; what a person should know goes to the [`Observer`]. The
//! command line is behind the feature `cli`.

// The command line uses more of the library than its public list has.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
// Modules are private: `pub` in them is the interface to other modules, and the list below is the
// public one.
#![allow(unreachable_pub)]

mod card;
#[cfg(feature = "cli")]
pub mod cli;
mod connection;
mod context;
mod crash;
mod env;
mod error;
mod event;
mod federation;
mod files;
mod http;
mod item_kind;
mod keychain;
mod loopback;
mod manage;
#[cfg(feature = "migrate")]
mod migrate;
mod oauth;
mod policy;
mod portal;
mod secret;
mod session;
mod store;
#[cfg(any(test, fuzzing, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
mod text;
mod token;
mod util;

// Connections: finding, describing and sharing them.
pub use card::Card;
pub use connection::{
    Connection, ConnectionId, Grant, KeychainKind, Label, PortalUrl, Proxy, RedirectUri, Status,
    Tls,
};
pub use store::{ConnectionStore, Listing, Selector};

// Tokens and sign-ins.
pub use oauth::{AuthorizationResponse, SignInOptions};
pub use policy::{ExtendRule, MinTtl};
pub use portal::{AppInfo, Identity};
pub use secret::Secret;
pub use session::{PendingSignIn, Session, SignedOut, TokenRequest, UsableToken};
pub use token::AccessToken;

// Secrets at rest.
pub use keychain::{Item, ItemKind, Keychains, SecretStore};

// What a call may use and observe.
pub use context::{Clock, Context, Deadline, Environment};
pub use event::{Decision, Event, Notice, Observer, Wait};

// What can go wrong.
pub use error::{
    CertificateFacts, Error, KeychainError, KeychainReason, Refusal, Result, SignInNeeded,
    TlsFailure, TlsFailureKind, Unreachable,
};

/// An access token of the named connection that lives at least a minute: the façade for scripts.
///
/// `connection` is a label, an ID, or the beginning of an ID. Shows no prompt; where a person must
/// sign in, that is [`Error::SignInNeeded`].
pub fn access_token(connection: &str) -> Result<Secret> {
    let context = Context::process();
    let connections = ConnectionStore::open_default(&context.environment)?;
    let connection = connections.find(&Selector::Name(connection.to_owned()))?;
    let keychains = Keychains::new(
        connections.root().to_owned(),
        connections.is_custom(),
        false,
        &context,
    );
    let keychain = keychains.of(connection.keychain);
    let session = Session::new(connections, connection, keychain, context);
    Ok(session
        .access_token(&TokenRequest::default())?
        .access
        .secret)
}
