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

/// A wait for another process, or for the keychain, is announced once it has lasted this long.
pub const ANNOUNCE_WAIT_AFTER: Duration = Duration::from_secs(1);

/// The shortest pause between two attempts to take a lock. The pauses are random, so that processes that wait for the same
/// lock do not try at the same moments.
pub const LOCK_POLL_MIN: Duration = Duration::from_millis(5);

/// The longest pause between two attempts to take a lock.
pub const LOCK_POLL_MAX: Duration = Duration::from_millis(50);

/// How long to wait for the connection store's own lock. Adding, renaming and removing write a handful of small files.
pub const STORE_LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the lock of a vault or of its key file. Another process holds it for milliseconds.
pub const VAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for another process that moves a full log away. After that the log grows beyond its limit instead.
#[cfg(any(feature = "cli", test))]
pub const LOG_ROTATION_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to retry on Windows while another program (a virus scanner, another process of ours) has the file open.
pub const SHARING_VIOLATION_TIMEOUT: Duration = Duration::from_millis(500);

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

/// The longest wait for one answer of the keychain where it cannot show a prompt. `AGE_OAUTH_KEYCHAIN_TIMEOUT` overrides it.
pub const KEYCHAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where the keychain can show a prompt: time to type its password.
pub const KEYCHAIN_TIMEOUT_INTERACTIVE: Duration = Duration::from_secs(60);

/// The largest vault file that is read: thousands of connections fit.
pub const MAX_VAULT_BYTES: u64 = 16 * 1024 * 1024;

/// The largest vault key file that is read. Each new key adds one line of 45 bytes.
pub const MAX_VAULT_KEY_FILE_BYTES: u64 = 64 * 1024;

/// The longest client secret that is accepted, in bytes. Portals make them much shorter.
pub const MAX_CLIENT_SECRET_BYTES: usize = 2048;

// — files —

/// The largest `meta.json`, label file or `default` that is read or written.
pub const MAX_META_BYTES: u64 = 1024 * 1024;

// — the command line —
