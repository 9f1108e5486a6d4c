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
//! let store = ConnectionStore::open_default(&context.environment)?;
//! let connection = store.find(&Selector::Name("prod".into()))?;
//! let root = store.root().to_owned();
//! let keychains = Keychains::new(root, store.is_custom(), false, &context);
//! let keychain = keychains.of(connection.keychain);
//! let session = Session::new(store, connection, keychain, context);
//! let token = session.access_token(&TokenRequest::default())?;
//! println!("valid until {}", token.access.expires_at);
//! # Ok::<(), age_oauth::Error>(())
//! ```
//!
//! A sign-in: the caller opens the portal's page, and passes on what a person copies from it.
//!
//! ```no_run
//! use age_oauth::{AuthorizationCode, AuthorizationResponse, Result};
//! use age_oauth::{Session, SignInAttempt, SignInOptions, UsableToken};
//!
//! fn sign_in(session: &Session, read_line: impl Fn() -> String) -> Result<Option<UsableToken>> {
//!     let mut attempt: SignInAttempt = session.begin_sign_in(&SignInOptions::default())?;
//!     println!("Open {}", attempt.url());
//!     let code: AuthorizationCode = match attempt.read_pasted(&read_line()) {
//!         AuthorizationResponse::Code(code) => code,
//!         _ => return Ok(None),
//!     };
//!     let pending = session.exchange_code(&mut attempt, code)?;
//!     if pending.username() != "casey" {
//!         session.discard(&pending);
//!         return Ok(None);
//!     }
//!     session.accept(&pending).map(Some)
//! }
//! ```
//!
//! The library neither prints nor prompts; what a person should know goes to the [`Observer`]. The
//! command line is behind the feature `cli`.

// Every type in the interface can be named. Tests reach more than that.
#![cfg_attr(not(any(test, feature = "testing")), deny(unnameable_types))]

// Modules are private: `pub` in them is the interface to other modules, and the list below is the
// public one. Some have parts that only the command line uses; without it, those have no caller.
mod binding;
mod bound_setting;
mod card;
mod certificate_record;
/// For the program `age-oauth` and the tests of this package; not a part of the library's
/// interface.
///
#[cfg(feature = "cli")]
pub mod cli;
mod connection;
mod context;
mod crash;
#[cfg(test)]
mod documentation_tests;
mod duration;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod env;
mod error;
mod event;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod federation;
mod files;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod http;
mod item_kind;
mod keychain;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod loopback;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod machine_policy;
#[cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
mod manage;
#[cfg(feature = "migrate")]
#[cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
mod migrate;
mod oauth;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod policy;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod portal;
mod program;
mod secret;
mod session;
mod store;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
mod text;
mod token;
mod trusted;
mod util;

// Connections: finding, describing and sharing them.
pub use card::Card;
pub use connection::{
    CertificateSource, ClientCertificateSetting, Connection, ConnectionId, FailedRequest, Grant,
    GrantKind, KeychainKind, Label, LoopbackUri, Pkcs11Uri, PortalUrl, PortalUrls, Principal,
    Proxy, RedirectUri, RenewalFailure, RenewalFailureNote, SecretCommand, Status,
    StoreCertificate, Tls, WebTier,
};
pub use store::{ConnectionStore, Listing, Plaintext, RenewalLock, Selector};

// Tokens and sign-ins.
pub use oauth::{
    AuthorizationCode, AuthorizationError, AuthorizationResponse, SignInAttempt, SignInOptions,
};
pub use policy::{ExtendRule, MinTtl};
pub use portal::{AppInfo, Identity};
pub use secret::Secret;
pub use session::{PendingSignIn, RefreshOutcome, Session, SignedOut, TokenRequest, UsableToken};
pub use token::AccessToken;

// Secrets at rest.
pub use keychain::{Item, ItemKind, Keychains, OldKey, SecretStore, VaultKey};

// What a call may use and observe.
pub use context::{Attended, Clock, Context, Deadline, Desktop, Environment, Interruptions};
pub use event::{Decision, Event, Notice, Observer, Wait};
pub use machine_policy::MachinePolicy;

// What can go wrong.
pub use bound_setting::BoundSetting;
pub use error::{
    ApiKeyProblem, CertificateFacts, CertificateRejection, CertificateRole, ChainFault,
    ConnectionFault, Error, FileAction, Forbidden, Input, KerberosProblem, KeyProblem,
    KeychainError, KeychainReason, Overridden, PolicyRefusal, PolicyRule, PortalMessage,
    PrintedSecret, ProxyDemand, Refusal, RenewedCertificate, Result, SecretCommandFailure,
    SignInNeeded, StoreProblem, TlsFailure, TlsFailureKind, Unreachable, WindowsSignInFailure,
};

/// An access token of the named connection that lives at least a minute: the façade for scripts.
///
/// `connection` is a label, an ID, or the beginning of an ID. Shows no prompt; where a person must
/// sign in, that is [`Error::SignInNeeded`].
pub fn access_token(connection: &str) -> Result<Secret> {
    let context = Context::process();
    let store = ConnectionStore::open_default(&context.environment)?;
    let connection = store.find(&Selector::Name(connection.to_owned()))?;
    let keychains = Keychains::new(store.root().to_owned(), store.is_custom(), false, &context);
    let keychain = keychains.of(connection.keychain);
    let session = Session::new(store, connection, keychain, context);
    Ok(session
        .access_token(&TokenRequest::default())?
        .access
        .secret)
}
