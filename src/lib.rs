//! Signs people and applications in to ArcGIS portals by OAuth 2.0 and hands out short-lived access tokens.

pub mod connection;
pub mod context;
pub mod error;
pub mod http;
pub mod keychain;
mod secret;

pub use error::{Error, Result};
pub use secret::Secret;
