//! Access tokens for ArcGIS Enterprise portals and ArcGIS Online, for programs that must not hold a
//! password, a client secret or a long-lived token.
//!
//! A person adds a *connection* and signs in once, with the program `age-oauth`. From then on, this
//! library hands out access tokens that live about half an hour, and renews them. The sign-in
//! behind them, a refresh token, is stored in the keychain of the system, and is shared by all
//! programs of the user: the command line, the Python package, and yours.
//!
//! # A token for a script
//!
//! ```
//! use age_oauth::{access_token, Error};
//!
//! # let empty = tempfile::tempdir().unwrap();
//! # std::env::set_var("AGE_OAUTH_HOME", empty.path());
//! match access_token("prod") {
//!     Ok(token) => {
//!         // A header of each request to the portal.
//!         let header = format!("X-Esri-Authorization: Bearer {}", token.expose());
//! #       drop(header);
//!     }
//!     Err(error @ Error::SignInNeeded { .. }) => {
//!         eprintln!("{error}; run this: age-oauth login -c prod");
//!     }
//!     Err(error) => eprintln!("{error}"),
//! }
//! # let error = access_token("prod").unwrap_err();
//! # assert!(matches!(error, Error::NoConnection { .. }), "{error}");
//! ```
//!
//! Ask for the token before each request instead of keeping it: while the cached token lives long
//! enough, the answer comes from the keychain, without a request to the portal.
//!
//! # The parts
//!
//! | type | what it is |
//! |---|---|
//! | [`Connection`] | one registered way into one portal: its address, the client ID, and whom tokens are for ([`Grant`]); nothing secret |
//! | [`ConnectionStore`] | the folder with all connections of a user; finds one by its label or ID |
//! | [`Keychains`], [`SecretStore`] | where secrets are stored: the keychain of the system, or an encrypted file (the vault) |
//! | [`Context`] | what the library takes from outside: clock, environment, time limit, [`Observer`], and what an administrator decided for the machine |
//! | [`Session`] | one connection in use: gets tokens, extends the sign-in, signs in and out |
//!
//! [`access_token`] puts them together with their defaults. With the parts, you choose the store,
//! how long a token must live, and how long all of it may take:
//!
//! ```
//! use age_oauth::{ConnectionStore, Context, Deadline, Error, Keychains};
//! use age_oauth::{MinTtl, Selector, Session, TokenRequest};
//! use std::time::Duration;
//!
//! # use age_oauth::{Connection, Environment, Grant, KeychainKind};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let context = Context {
//!     deadline: Deadline::after(Duration::from_secs(60)),
//! #   environment: Environment::of([("AGE_OAUTH_HOME", folder.path())]),
//!     ..Context::process()
//! };
//! let store = ConnectionStore::open_default(&context.environment)?;
//! # let grant = Grant::User { redirect_uri: "urn:ietf:wg:oauth:2.0:oob".parse()?, pkce: true };
//! # let portal = "https://gis.example.com/portal".parse()?;
//! # let mut made = Connection::new("prod".parse()?, portal, grant, "abc".to_owned());
//! # made.keychain = KeychainKind::Vault;
//! # store.add(&made, None, &context)?;
//! let connection = store.find(&Selector::Name("prod".to_owned()))?;
//!
//! let root = store.root().to_owned();
//! let keychains = Keychains::new(root, store.is_custom(), false, &context);
//! let keychain = keychains.of(connection.keychain);
//! let session = Session::new(store, connection, keychain, context);
//!
//! let request = TokenRequest::lasting(MinTtl::at_least(Duration::from_secs(600)));
//! match session.access_token(&request) {
//!     Ok(token) => println!("valid until {}", token.access.expires_at),
//!     Err(Error::SignInNeeded { .. }) => println!("age-oauth login -c prod"),
//!     Err(error) if error.is_transient() => println!("later: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # fn can_be_shared<T: Send + Sync>() {}
//! # can_be_shared::<(Session, ConnectionStore, Keychains, Context)>();
//! # let error = session.access_token(&request).unwrap_err();
//! # assert!(matches!(error, Error::SignInNeeded { .. }), "{error}");
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! There is one [`Error`], with a variant for each thing that a caller can do: sign in, correct a
//! value, unlock a keychain, try again later, ask an administrator. Match on the variant and its
//! fields, not on the text, which is for people and may change. [`Error::is_transient`] says
//! whether the same call may succeed later; [`source`](std::error::Error::source) leads to the
//! cause. Enums are `#[non_exhaustive]`, because a later version may tell more cases apart.
//!
//! # Signing a person in
//!
//! Your program opens the page of the portal, and passes on what the person copies from it:
//!
//! ```
//! use age_oauth::{AuthorizationResponse, Result, Session, SignInOptions, UsableToken};
//!
//! fn sign_in(
//!     session: &Session,
//!     ask: impl Fn(&str) -> String,
//! ) -> Result<Option<UsableToken>> {
//!     // An error now, and not after the person was at the portal, if the
//!     // sign-in could not be stored.
//!     let mut attempt = session.begin_sign_in(&SignInOptions::default())?;
//!     let pasted = ask(attempt.url());
//!     let AuthorizationResponse::Code(code) = attempt.read_pasted(&pasted) else {
//!         return Ok(None);
//!     };
//!     // Nothing is stored yet: the person may have signed in as another user.
//!     let pending = session.exchange_code(&mut attempt, code)?;
//!     let stored = session.stored_user();
//!     if stored.is_some_and(|user| user != pending.username()) {
//!         session.discard(&pending);
//!         return Ok(None);
//!     }
//!     session.accept(&pending).map(Some)
//! }
//! # use age_oauth::{Connection, ConnectionStore, Context, Environment, Grant};
//! # use age_oauth::{KeychainKind, Keychains};
//! # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let environment = Environment::of([("AGE_OAUTH_HOME", folder.path())]);
//! # let context = Context { environment, ..Context::process() };
//! # let store = ConnectionStore::open(folder.path());
//! # let grant = Grant::User { redirect_uri: "urn:ietf:wg:oauth:2.0:oob".parse()?, pkce: true };
//! # let portal = "https://gis.example.com/portal".parse()?;
//! # let mut made = Connection::new("prod".parse()?, portal, grant, "abc".to_owned());
//! # made.keychain = KeychainKind::Vault;
//! # store.add(&made, None, &context)?;
//! # let keychains = Keychains::new(folder.path().to_owned(), true, false, &context);
//! # let keychain = keychains.of(made.keychain);
//! # let session = Session::new(store, made, keychain, context);
//! # let page = std::cell::RefCell::new(String::new());
//! # let done = sign_in(&session, |url| {
//! #     page.replace(url.to_owned());
//! #     "https://gis.example.com/portal/home".to_owned()
//! # })?;
//! # assert!(done.is_none());
//! # let page = page.into_inner();
//! # assert!(page.starts_with("https://gis.example.com/portal/sharing/rest/oauth2/authorize?"));
//! # Ok(())
//! # }
//! ```
//!
//! # Secrets
//!
//! A token or client secret is a [`Secret`]: it has no `Display`, its `Debug` output is redacted,
//! and its memory is overwritten when it is dropped. [`Secret::expose`] is the only way to its
//! text. What is stored is in a keychain, never in a file as it is, and bound to the settings that
//! it was stored with. If the portal of a connection was changed in its file, its secrets are not
//! sent there, and the error is [`KeychainReason::Mismatch`].
//!
//! # Threads and processes
//!
//! All calls block. [`Session`], [`ConnectionStore`] and [`Keychains`] can be shared by threads; in
//! asynchronous programs, call them where blocking is allowed. Any number of threads and processes
//! can ask for a token at the same time: one of them gets a new one, the others wait and take it.
//! [`Context::deadline`](Context#structfield.deadline) limits all waits.
//!
//! # Features
//!
//! Your program needs none: `age-oauth = { version = "…", default-features = false }`. The default
//! features are for the program: `cli` is the command line with its dependencies, and `migrate` the
//! import of connections of the Python package 0.2.
//!
//! # What the library never does
//!
//! It does not print, prompt, open a browser or install a signal handler. What a person should know
//! goes to the [`Observer`] of the [`Context`] as an [`Event`], without secrets. The keychain of
//! the system shows its own prompt only if you opened [`Keychains`] as interactive.
//!
//! All times are UTC; all lifetimes are in seconds unless a name says otherwise.

// Every type in the interface can be named. Tests reach more than that.
#![cfg_attr(not(any(test, feature = "testing")), deny(unnameable_types))]

// Modules are private: `pub` in them is the interface to other modules, and the list below is the
// public one. Some have parts that only the command line uses; without it, those have no caller.
mod binding;
mod bound_setting;
mod card;
mod certificate_record;
// For the program `age-oauth` and the tests of this package; not a part of the interface.
#[cfg(feature = "cli")]
#[doc(hidden)]
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
