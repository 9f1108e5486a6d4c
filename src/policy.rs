//! Every number and rule that somebody may want to change: how long things must live, when a sign-in is extended, how long
//! a wait may take. Pure: values in, values out. Commands and help texts take their words from here.
//!
//! Limits that belong to a format or a protocol (the size of a key, the number of parts of an item) stay with that format.

use std::time::Duration;

use crate::token::MinTtl;

// — access tokens —

/// What `token` and the library ask for unless told otherwise: a token that lives at least this long.
pub const DEFAULT_MIN_TTL: Duration = Duration::from_secs(60);

/// What `export-env` and `exec` ask for unless told otherwise. A script keeps the token for a while, so it gets one that
/// has at least half of its life left.
pub const ENVIRONMENT_MIN_TTL: MinTtl = MinTtl::HalfOfGranted;

// — sign-ins —

/// A sign-in that ends within so many seconds and cannot be extended is worth a warning: three days.
pub const ENDS_SOON: i64 = 3 * 24 * 3600;

// — waits for other processes —

// — the portal —

// — keychain and vault —

// — files —

// — the command line —
