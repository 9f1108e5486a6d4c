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

/// Name resolution and connecting, TLS included, may each take this long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One call, with all its attempts and the waits between them, may take this long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A download, and an upload, may take this long.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3600);

/// A call is attempted at most this often.
pub const MAX_ATTEMPTS: u32 = 3;

/// The wait before the second attempt; each further wait is twice as long.
pub const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);

/// A portal that asks for a longer wait (`Retry-After`) is not asked again.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The largest answer that is read into memory, in bytes, after decompression. Downloads have no limit.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The largest head of an answer, in bytes; that of a proxy, too.
pub const MAX_ANSWER_HEAD_BYTES: usize = 64 * 1024;

// — keychain and vault —

// — files —

// — the command line —
