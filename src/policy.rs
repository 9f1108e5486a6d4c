//! Every number and rule that an engineer may want to change: how long things must live, when a
//! sign-in is extended, how long a wait may take. Pure: values in, values out; the present time is
//! an argument. Commands and help texts take their words from here.
//!
//! Limits that belong to a format or a protocol (the size of a key, the number of parts of an item)
//! stay with that format.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

// — access tokens —

/// What `token` and the library ask for by default: a token that lives at least this long.
pub const DEFAULT_MIN_TTL: Duration = Duration::from_secs(60);

/// What `export-env` and `exec` ask for by default. A script keeps the token for a while, so it
/// gets one that has at least half of its life left.
pub const ENVIRONMENT_MIN_TTL: MinTtl = MinTtl::HalfOfGranted;

/// An access token with less life than this may end before a request that carries it is answered.
/// It counts as unusable when a sign-in waits for a moment at which no script can lose its token.
pub const MIN_USABLE_TTL: SignedDuration = SignedDuration::from_secs(60);

/// While the portal cannot be reached, the cached token is returned if it lives at least this long.
pub const MIN_FALLBACK_TTL: SignedDuration = SignedDuration::from_secs(15);

/// A cached token younger than this is returned although it lives less long than was asked for, if
/// the portal grants no more: another renewal would not help, and many processes may ask at once.
pub const RECENTLY_RENEWED: SignedDuration = SignedDuration::from_secs(60);

/// A token that was issued later than this from now was issued by a clock that has since been set
/// back. Its dates cannot be trusted.
pub const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// The life of an access token whose portal names none: 30 minutes, the default of every version.
/// Source: Esri, "Token" and "Specify the default token expiration time".
pub const ASSUMED_ACCESS_LIFE: SignedDuration = SignedDuration::from_mins(30);

/// The longest life that a portal grants an access token, and that an application may ask for: 14
/// days. Source: Esri, "Token" (`expiration`, 20,160 minutes).
pub const LONGEST_ACCESS_LIFE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The longest life that is believed for any token: ten years. Keeps dates in range whatever an
/// answer says.
pub const LONGEST_BELIEVABLE_LIFE: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);

/// The life that portals grant an application's access token by default. Source: Esri, "Token".
pub const APPLICATION_DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(2);

/// An application that wants a longer life than this asks for it: ten minutes less than the default
/// leave room for the time that the request takes.
const APPLICATION_UNASKED_LIFE: SignedDuration =
    SignedDuration::from_mins(APPLICATION_DEFAULT_LIFE.as_mins() - 10);

/// An application asks for this many minutes more than it needs: the request takes time, and
/// minutes are rounded down.
const APPLICATION_EXTRA_MINUTES: i64 = 2;

/// How many servers' tokens are cached per connection; beyond that, the oldest is dropped.
pub const MAX_SERVER_TOKENS: usize = 8;

/// How long a token must still live to be returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MinTtl {
    /// At least this many seconds.
    Seconds(i64),
    /// At least half of the life that the portal granted.
    HalfOfGranted,
}

impl MinTtl {
    /// At least `ttl`, in whole seconds.
    #[must_use]
    pub fn at_least(ttl: Duration) -> Self {
        Self::Seconds(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX))
    }

    /// The bound in seconds for a token that was granted a life of `granted` seconds.
    #[must_use]
    pub fn seconds(self, granted: i64) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::HalfOfGranted => granted / 2,
        }
    }
}

/// As help texts say it: `60s`, `half of what the portal grants`.
impl fmt::Display for MinTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
            Self::HalfOfGranted => f.write_str("half of what the portal grants"),
        }
    }
}

/// When a token that was issued at `start` with a life of `seconds` ends. Negative and absurd lives
/// are cut to what is believable.
#[must_use]
pub fn expiry(start: Timestamp, seconds: i64) -> Timestamp {
    let life = SignedDuration::from_secs(seconds.clamp(0, LONGEST_BELIEVABLE_LIFE.as_secs()));
    start.checked_add(life).unwrap_or(Timestamp::MAX)
}

/// Whether a token lives as long as wanted, and has not ended.
#[must_use]
pub fn is_fresh(
    issued_at: Timestamp,
    expires_at: Timestamp,
    wanted: MinTtl,
    now: Timestamp,
) -> bool {
    let granted = expires_at.duration_since(issued_at).as_secs();
    let left = expires_at.duration_since(now).as_secs();
    issued_at.duration_since(now) <= CLOCK_SLACK && left >= wanted.seconds(granted).max(1)
}

/// Whether the portal ended the sign-in after it gave out the cached token, by what a failed
/// renewal has recorded: an end that has passed, which is earlier than the refresh token's own.
/// Ending a sign-in ends its access tokens, whatever their dates say.
#[must_use]
pub fn is_ended_by_portal(
    recorded_end: Timestamp,
    refresh_expiry: Timestamp,
    token_issued_at: Timestamp,
    now: Timestamp,
) -> bool {
    recorded_end <= now && recorded_end < refresh_expiry && token_issued_at <= recorded_end
}

/// Whether the portal gave out the cached token before it refused its application or its user. A
/// refusal from the future has the date of another clock.
#[must_use]
pub fn is_older_than_refusal(
    token_issued_at: Option<Timestamp>,
    refused_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let (Some(issued), Some(refused)) = (token_issued_at, refused_at) else {
        return false;
    };
    issued <= refused && refused <= now
}

/// Whether a cached token may be returned while the portal cannot be reached.
#[must_use]
pub fn may_fall_back(expires_at: Timestamp, now: Timestamp) -> bool {
    expires_at.duration_since(now) >= MIN_FALLBACK_TTL
}

/// Whether a token is less than [`RECENTLY_RENEWED`] old. One from the future was issued by a wrong
/// clock, and is not.
#[must_use]
pub fn is_recently_renewed(issued_at: Timestamp, now: Timestamp) -> bool {
    let age = now.duration_since(issued_at);
    !age.is_negative() && age < RECENTLY_RENEWED
}

/// How long an API key must still live to be handed out, in seconds. Half of what the portal
/// granted would be months: a key is not renewed, so that it counts like any token without a wish.
#[must_use]
pub fn api_key_seconds(wanted: MinTtl) -> i64 {
    let seconds = match wanted {
        MinTtl::Seconds(seconds) => seconds,
        MinTtl::HalfOfGranted => i64::try_from(DEFAULT_MIN_TTL.as_secs()).unwrap_or(i64::MAX),
    };
    seconds.max(1)
}

/// Whether the last use of an API key was recorded so recently that this one need not be. One from
/// the future was recorded by a wrong clock, and does not count.
#[must_use]
pub fn is_api_key_use_noted(noted: Option<Timestamp>, now: Timestamp) -> bool {
    noted.is_some_and(|noted| {
        let age = now.duration_since(noted);
        !age.is_negative() && age < API_KEY_USE_NOTED_EVERY
    })
}

/// The minutes that an application asks the portal for. `None` where the portal's default is long
/// enough.
#[must_use]
pub fn application_minutes(wanted: MinTtl) -> Option<i64> {
    match wanted {
        MinTtl::Seconds(seconds) if seconds > APPLICATION_UNASKED_LIFE.as_secs() => {
            Some((seconds / 60 + APPLICATION_EXTRA_MINUTES).min(LONGEST_ACCESS_LIFE.as_mins()))
        }
        _ => None,
    }
}

/// The life that is asked for with a token of a network connection, unless a longer one is wanted:
/// two hours, the usual default of portals. It is always asked for, because the default differs.
pub const NETWORK_LIFE: SignedDuration = SignedDuration::from_hours(2);

/// The life in minutes to ask for with a token of a network connection.
#[must_use]
pub fn network_minutes(wanted: MinTtl) -> i64 {
    let usual = NETWORK_LIFE.as_mins();
    application_minutes(wanted).map_or(usual, |minutes| minutes.max(usual))
}

/// Whether two names are those of one user. Portals keep the spelling, and sign in by any.
#[must_use]
pub fn is_same_user(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

// — sign-ins —

/// A sign-in that expires within this time and cannot be extended is worth a warning: three days.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(3 * 24);

/// The age from which `token --rotate-refresh-token` extends a sign-in: three days, as the Python
/// package did.
pub const ROTATE_REFRESH_TOKEN_AGE: SignedDuration = SignedDuration::from_hours(3 * 24);

/// The life assumed for a refresh token whose portal names none (before 10.9.1): 14 days, the
/// default of every version. Source: Esri, "Specify the default token expiration time".
pub const ASSUMED_REFRESH_LIFE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A sign-in that ends less than this before the end that the policy of a machine sets is not
/// extended, which would end access tokens for nothing: a portal that grants what was asked for
/// rounds it.
pub const SIGN_IN_LIMIT_SLACK: SignedDuration = SignedDuration::from_mins(1);

/// When a sign-in is extended, which ends every access token from its old refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendRule {
    /// Past half of its life, once no script can lose its token; in the last tenth of its life, in
    /// any case.
    PastHalf,
    /// Once it is older than this and no script can lose its token; in the last tenth of its life,
    /// in any case.
    OlderThan(SignedDuration),
    /// Now, whatever tokens end.
    Now,
}

/// What an [`ExtendRule`] decides at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Not yet.
    NotDue,
    /// It is due, but a script may hold an access token that would end. It can be extended from
    /// this moment on.
    WaitsUntil(Timestamp),
    /// It is due, and no script can lose its token.
    Due,
    /// It cannot wait any longer, or was asked for. Access tokens may end.
    Forced,
    /// There is nothing to extend, or the portal cannot.
    Impossible,
}

impl Extension {
    /// Whether the sign-in is to be extended at once.
    #[must_use]
    pub fn is_now(self) -> bool {
        match self {
            Self::Due | Self::Forced => true,
            Self::NotDue | Self::WaitsUntil(_) | Self::Impossible => false,
        }
    }
}

/// Whether `expires_at` is at most `within` away. What has already ended counts; exclude it first
/// where it is a separate case.
#[must_use]
pub fn expires_within(expires_at: Timestamp, within: SignedDuration, now: Timestamp) -> bool {
    expires_at.duration_since(now) <= within
}

/// Whether a sign-in expires within [`EXPIRES_SOON`], or has ended.
#[must_use]
pub fn expires_soon(expires_at: Timestamp, now: Timestamp) -> bool {
    expires_within(expires_at, EXPIRES_SOON, now)
}

/// Whether half of a sign-in's life is over.
#[must_use]
pub fn is_past_half(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(issued_at) >= expires_at.duration_since(issued_at) / 2
}

/// Whether a sign-in is in the last tenth of its life.
#[must_use]
pub fn is_in_last_tenth(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> bool {
    expires_at.duration_since(now) <= expires_at.duration_since(issued_at) / 10
}

/// From when on no access token that ends at `valid_until` or before is of use to a script.
#[must_use]
pub fn unusable_from(valid_until: Timestamp) -> Timestamp {
    valid_until
        .checked_sub(MIN_USABLE_TTL)
        .unwrap_or(valid_until)
}

/// What `rule` decides now for a sign-in of this life. `access_tokens_valid_until` is the end of
/// the longest-lived access token from its refresh token.
#[must_use]
pub fn extension(
    rule: ExtendRule,
    issued_at: Timestamp,
    expires_at: Timestamp,
    access_tokens_valid_until: Option<Timestamp>,
    now: Timestamp,
) -> Extension {
    let last_tenth = is_in_last_tenth(issued_at, expires_at, now);
    // Dated by a clock that was ahead, the sign-in seems to live longer than it does. An extension
    // dates it anew.
    let is_dated_ahead = issued_at.duration_since(now) > CLOCK_SLACK;
    let due = is_dated_ahead
        || match rule {
            ExtendRule::Now => return Extension::Forced,
            ExtendRule::PastHalf => is_past_half(issued_at, expires_at, now),
            ExtendRule::OlderThan(age) => now.duration_since(issued_at) >= age,
        };
    let waits_until = access_tokens_valid_until
        // No token lives so long: that date comes from such a clock, too.
        .filter(|until| until.duration_since(now) <= LONGEST_ACCESS_LIFE + CLOCK_SLACK)
        .map(unusable_from)
        .filter(|gap| *gap > now);
    match waits_until {
        None if due || last_tenth => Extension::Due,
        Some(_) if last_tenth => Extension::Forced,
        Some(gap) if due => Extension::WaitsUntil(gap),
        _ => Extension::NotDue,
    }
}

// — waits for other processes —

/// How long a process waits for another one that renews, extends, signs in or signs out on the same
/// connection, and an import for another import. See [`renewal_lock_timeout`] for connections with
/// a command for the client secret.
pub const RENEWAL_LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the use of an API key is recorded at most: about as often as that of other
/// connections, which is recorded with each renewal.
pub const API_KEY_USE_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(30);

/// How long a failure that came before the renewal lock was taken may wait for the lock, only to be
/// recorded.
pub const FAILURE_NOTE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// A wait for another process, or for the keychain, is announced once it has lasted this long.
pub const ANNOUNCE_WAIT_AFTER: Duration = Duration::from_secs(1);
/// The shortest pause between two attempts to take a lock. The pauses are random, so that processes
/// that wait for the same lock do not try at the same moments.
pub const LOCK_POLL_MIN: Duration = Duration::from_millis(5);
/// The longest pause between two attempts to take a lock.
pub const LOCK_POLL_MAX: Duration = Duration::from_millis(50);
/// How long to wait for the connection store's own lock. Adding, renaming and removing write a
/// handful of small files.
pub const STORE_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to repeat the deletion of a connection's folder while processes that waited for its
/// lock learn that it is gone. They look for the lock at least every [`LOCK_POLL_MAX`].
pub const FOLDER_IN_USE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the lock of a vault or of its key file. Another process holds it for
/// milliseconds.
pub const VAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for another process that moves a full log away. After that the log grows beyond
/// its limit instead.
#[cfg(any(feature = "cli", test))]
pub const LOG_ROTATION_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to retry on Windows while another program (a virus scanner, another process of ours)
/// has the file open.
pub const SHARING_VIOLATION_TIMEOUT: Duration = Duration::from_millis(500);

// — files —

/// The largest policy of a machine that is read, in bytes. A long one has some thousand portals.
#[cfg(unix)]
pub const MAX_MACHINE_POLICY_BYTES: u64 = 1024 * 1024;

/// The largest file of certificate authorities that a policy of a machine may name, in bytes. No
/// bundle of a whole platform is larger.
#[cfg(unix)]
pub const MAX_AUTHORITY_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How old a temporary folder without a process has to be before another process removes it.
#[cfg(unix)]
pub const LEFTOVER_FOLDER_AGE: Duration = Duration::from_secs(60);

/// How long one run of the command that gives a client secret may take. Secret managers answer in
/// seconds; what takes longer waits for a person, whom it cannot ask.
pub const SECRET_COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait for the end of what the command wrote once it has ended: another process may
/// have inherited its output.
pub const SECRET_COMMAND_PIPE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the command that gives a client secret is run for one token: once more where the
/// portal refuses the secret, which may just have been replaced.
pub const SECRET_COMMAND_RUNS: u32 = 2;

/// The longest output of the command that gives a client secret, in bytes.
pub const MAX_SECRET_COMMAND_OUTPUT_BYTES: usize = 16 * 1024;

/// How much of its error output is read to find the first line, in bytes. The rest is ignored.
pub const MAX_SECRET_COMMAND_ERROR_BYTES: usize = 4 * 1024;

/// How many requests one process sends at most while it holds the renewal lock, without those that
/// are repeated with another client secret: one that finds out what became of an earlier extension,
/// the extension, and one that finds out what became of that.
pub const RENEWAL_REQUESTS: u32 = 3;

/// How long a process waits for another one that renews, extends, signs in or signs out on the same
/// connection. With a command for the client secret, the other one may run it twice, and repeat a
/// request with what it prints then.
#[must_use]
pub fn renewal_lock_timeout(has_secret_command: bool) -> Duration {
    if has_secret_command {
        let run = SECRET_COMMAND_TIMEOUT + SECRET_COMMAND_PIPE_TIMEOUT;
        let requests = RENEWAL_REQUESTS + SECRET_COMMAND_RUNS - 1;
        RENEWAL_LOCK_TIMEOUT + run * SECRET_COMMAND_RUNS + CALL_TIMEOUT * requests
    } else {
        RENEWAL_LOCK_TIMEOUT
    }
}

/// How long a command in `<(…)` may take to write a certificate or a client secret.
pub const PIPE_TIMEOUT: Duration = Duration::from_secs(30);

// — the portal —

/// Name resolution and connecting, TLS included, may each take this long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long Kerberos may take to make one token for Windows sign-in. It asks a server for each web
/// server once in the life of a ticket, and waits for those that do not answer.
pub const KERBEROS_TIMEOUT: Duration = Duration::from_secs(15);

/// The most that is read of a request with a Kerberos token, and of what the programs of Kerberos
/// print, in bytes. Tokens of users in many groups have up to 64 KiB.
#[cfg(unix)]
pub const MAX_KERBEROS_REQUEST_BYTES: u64 = 256 * 1024;

/// One call, with all its attempts and the waits between them, may take this long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A download, and an upload, may take this long.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3600);

/// An extension that is due is begun only if the whole command has this much time left: for one
/// call, and to store its answer. The time of a command does not end an extension that was begun,
/// because the sign-in would be lost with the answer.
pub const EXTENSION_TIME: Duration = Duration::from_secs(45);

/// How long the portal may take to revoke a sign-in that is stored nowhere, also when the time of
/// the whole command is up.
pub const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A call is attempted at most this often.
pub const MAX_ATTEMPTS: u32 = 3;

/// The wait before the second attempt; each further wait is twice as long.
pub const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);

/// A portal that asks for a longer wait (`Retry-After`) is not asked again.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The largest answer that is read into memory, in bytes, after decompression. Downloads have no
/// limit.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The largest head of an answer, in bytes; that of a proxy, too.
pub const MAX_ANSWER_HEAD_BYTES: usize = 64 * 1024;

// — keychain and vault —

/// The longest wait for one answer of the keychain where it cannot show a prompt.
/// `AGE_OAUTH_KEYCHAIN_TIMEOUT` overrides it.
pub const KEYCHAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where the keychain can show a prompt: time to type its password.
pub const KEYCHAIN_TIMEOUT_INTERACTIVE: Duration = Duration::from_secs(60);

/// The longest wait for one answer of a PKCS#11 token, or for a trial signature by Windows, by what
/// runs by itself. Cards take seconds; some wait that long for a touch. Where a person is there,
/// [`KEYCHAIN_TIMEOUT_INTERACTIVE`] is time to enter the PIN.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest vault file that is read: thousands of connections fit.
pub const MAX_VAULT_BYTES: u64 = 16 * 1024 * 1024;

/// The shortest passphrase of a vault, in characters. Shorter ones can be guessed from a copy of
/// the vault.
pub const MIN_PASSPHRASE_CHARACTERS: usize = 12;

/// The largest vault key file that is read. Each new key adds one line of 45 bytes.
pub const MAX_VAULT_KEY_FILE_BYTES: u64 = 64 * 1024;

/// The longest API key that is accepted, in bytes. Portals make them shorter.
pub const MAX_API_KEY_BYTES: usize = 4096;

/// The longest client secret that is accepted, in bytes. Portals make them much shorter.
pub const MAX_CLIENT_SECRET_BYTES: usize = 2048;

// — files —

/// The largest `meta.json`, label file or `default` that is read or written.
pub const MAX_META_BYTES: u64 = 1024 * 1024;

// — the command line —

/// Numbers that only the command line uses.
#[cfg(feature = "cli")]
pub mod command_line {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    // — `login` —

    /// How long a person may take to sign in.
    pub const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

    /// How long the programs of the desktop may take to find and to start the default browser.
    #[cfg(all(unix, not(target_os = "macos")))]
    pub const BROWSER_TIMEOUT: Duration = Duration::from_secs(10);

    /// The authorization code can come from standard input or from the browser. Each is waited for
    /// this long in turn.
    pub const SIGN_IN_POLL_INTERVAL: Duration = Duration::from_millis(100);

    /// How long the program stays after Ctrl-C at most until the portal has answered and the answer
    /// is stored: one call, and some calls of the keychain. Before that, each has its own limit.
    pub const DELAYED_INTERRUPTION_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long the program stays after Ctrl-C to revoke a sign-in that is not stored yet, or to
    /// finish storing it.
    pub const INTERRUPTION_TIMEOUT: Duration = Duration::from_secs(10);

    /// The lines of a pasted text arrive with at most this pause between them.
    #[cfg(unix)]
    pub const PASTE_PAUSE: Duration = Duration::from_millis(50);

    /// A sign-in that lives less long than this is worth a warning: the portal's administrator
    /// limits it.
    pub const SHORT_SIGN_IN: SignedDuration = SignedDuration::from_hours(24);

    // — `refresh` —

    /// How many connections of one portal `refresh --all` renews at the same time. More would be a
    /// burden for the portal.
    pub const REFRESHES_PER_PORTAL: usize = 2;

    /// How many connections `refresh --all` renews at the same time. Each mostly waits for an
    /// answer.
    pub const REFRESHES_AT_ONCE: usize = 16;

    /// The longest sleep between two looks at the clock. It may be set, and stands still while a
    /// machine sleeps.
    pub const CLOCK_POLL_INTERVAL: Duration = Duration::from_secs(5);

    // — `doctor` —

    /// The largest file of PowerShell's settings that is read, in bytes. It has some lines.
    pub const MAX_POWERSHELL_SETTINGS_BYTES: u64 = 1024 * 1024;

    // — `status` —

    /// How long `status` shows a failure after which a token was renewed.
    pub const PAST_FAILURE_SHOWN: SignedDuration = SignedDuration::from_hours(7 * 24);

    // — `doctor` —

    /// How long all checks of `doctor` may take together.
    pub const DOCTOR_TIMEOUT: Duration = Duration::from_secs(14);

    /// How long before its own end `doctor --account` lets the process end that makes the checks as
    /// another account, so that what it found is printed.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub const DOCTOR_ACCOUNT_GRACE: Duration = Duration::from_secs(1);

    /// The most that `doctor --account` reads of what that process prints, in bytes.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub const MAX_DOCTOR_ACCOUNT_BYTES: usize = 1024 * 1024;

    /// How long Windows' `whoami` may take to list the groups of this process.
    #[cfg_attr(not(windows), allow(dead_code))]
    pub const LOGON_TIMEOUT: Duration = Duration::from_secs(5);

    /// How long `doctor` waits for one answer of the keychain, unless the environment says
    /// otherwise. Several answers must fit into [`DOCTOR_TIMEOUT`].
    pub const DOCTOR_KEYCHAIN_TIMEOUT: Duration = Duration::from_secs(4);

    /// How many connections `doctor` checks at their portals at the same time.
    pub const DOCTOR_CHECKS_AT_ONCE: usize = 8;

    /// A clock that differs more than this from the portal's is worth a warning: times are shown
    /// wrong, and certificates look expired.
    pub const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_secs(60);

    /// How far this machine's clock (`ours`) is ahead of the portal's, where that is worth a
    /// warning.
    #[must_use]
    pub fn notable_clock_difference(ours: Timestamp, theirs: Timestamp) -> Option<SignedDuration> {
        let ahead = ours.duration_since(theirs);
        (ahead.as_secs().abs() > MAX_CLOCK_DIFFERENCE.as_secs()).then_some(ahead)
    }

    /// `doctor` warns of a certificate that expires within this time, so that an administrator can
    /// renew it.
    pub const CERTIFICATE_EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

    /// Every command on a terminal, `status --check` and `doctor` warn of a client certificate that
    /// expires within this time, so that its owner can ask for another one.
    pub const CLIENT_CERTIFICATE_EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

    /// `status` and `doctor` warn of an API key that expires within this time, so that its owner
    /// can make another one and give it to every machine.
    pub const API_KEY_EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

    // — other commands —

    /// How many pages `api --paginate` reads. No portal has more of one thing; the limit ends a
    /// list that never ends.
    pub const MAX_PAGES: usize = 1000;

    /// What a download leaves free on a disk, in bytes; on a small disk a twentieth of it. A full
    /// disk stops other programs, too.
    pub const DISK_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

    /// How much a download writes until the free space is checked again, in bytes.
    pub const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

    /// Whether `missing` more bytes may be written to a disk with that much space in all and that
    /// much available.
    #[must_use]
    pub fn leaves_reserve(missing: u64, available: u64, total: u64) -> bool {
        let reserve = DISK_RESERVE_BYTES.min(total / 20);
        available >= missing.saturating_add(reserve)
    }

    // — output —

    /// A wait that lasts longer than this is reported.
    pub const REPORT_WAIT_AFTER: Duration = Duration::from_secs(2);

    /// The same on a terminal, where the report disappears when the wait is over.
    pub const SPINNER_AFTER: Duration = Duration::from_millis(400);

    /// How often a spinner moves.
    pub const SPINNER_INTERVAL: Duration = Duration::from_millis(100);

    /// A log that reaches this size, in bytes, is moved to `<log>.1`.
    pub const MAX_LOG_BYTES: u64 = 10 * 1000 * 1000;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    /// What a rule decides for a sign-in of 14 days.
    fn decides(rule: ExtendRule, valid_until: Option<i64>, now: i64) -> Extension {
        extension(rule, at(0), at(14 * DAY), valid_until.map(at), at(now))
    }

    #[test]
    fn dates_of_a_clock_that_was_ahead_do_not_keep_a_sign_in_from_being_extended() {
        let rule = ExtendRule::PastHalf;
        let decides = |issued: i64, valid_until: Option<i64>| {
            let expires_at = at(issued + 14 * DAY);
            extension(rule, at(issued), expires_at, valid_until.map(at), at(0))
        };
        assert_eq!(decides(60, None), Extension::NotDue);
        assert_eq!(decides(61, None), Extension::Due);
        assert_eq!(decides(30 * DAY, None), Extension::Due);
        // A token that a script may hold was issued by that clock as well.
        assert_eq!(decides(30 * DAY, Some(30 * DAY + 1800)), Extension::Due);
        let real = Extension::WaitsUntil(unusable_from(at(1800)));
        assert_eq!(decides(30 * DAY, Some(1800)), real);
        assert!(!matches!(
            decides(30 * DAY, Some(14 * DAY + 60)),
            Extension::Due
        ));
    }

    #[test]
    fn an_extension_has_time_for_a_call_and_for_what_stores_its_answer() {
        assert!(EXTENSION_TIME >= CALL_TIMEOUT + 3 * KEYCHAIN_TIMEOUT);
    }

    #[test]
    fn who_waits_outlasts_all_work_under_the_lock() {
        // Each request to the portal, each run of the command, and some answers of the keychain.
        let keychain = 4 * KEYCHAIN_TIMEOUT;
        assert!(renewal_lock_timeout(false) >= CALL_TIMEOUT + keychain);
        // An extension reads the records and the client certificate, writes the mark and twice the
        // answer, reads that twice, and may revoke it.
        let keychain = 8 * KEYCHAIN_TIMEOUT + REVOKE_TIMEOUT;
        let runs = (SECRET_COMMAND_TIMEOUT + SECRET_COMMAND_PIPE_TIMEOUT) * SECRET_COMMAND_RUNS;
        let requests = CALL_TIMEOUT * (RENEWAL_REQUESTS + SECRET_COMMAND_RUNS - 1);
        assert!(renewal_lock_timeout(true) >= runs + requests + keychain);
    }

    #[test]
    fn a_recorded_end_counts_if_it_is_earlier_than_the_refresh_tokens_own() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let ended = |recorded, expiry, issued, now| {
            is_ended_by_portal(at(recorded), at(expiry), at(issued), at(now))
        };
        assert!(ended(50, 1000, 40, 60));
        assert!(ended(50, 1000, 50, 50));
        // A new sign-in has a token that was issued after the recorded end.
        assert!(!ended(50, 1000, 51, 60));
        // An end that has come by itself, or has not come, was not recorded by a failure.
        assert!(!ended(50, 50, 40, 60));
        assert!(!ended(1000, 1000, 40, 60));
    }

    #[test]
    fn a_refusal_counts_for_the_tokens_before_it() {
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let now = at(60).unwrap();
        for (issued, refused, is_older) in [
            (at(40), at(50), true),
            (at(50), at(50), true),
            (at(51), at(50), false),
            (at(40), at(61), false),
            (at(40), None, false),
            (None, at(50), false),
        ] {
            let found = is_older_than_refusal(issued, refused, now);
            assert_eq!(found, is_older, "{issued:?} {refused:?}");
        }
    }

    #[test]
    fn freshness_counts_what_is_left_and_distrusts_a_clock_set_back() {
        let fresh = |wanted, now| is_fresh(at(0), at(1800), wanted, at(now));
        assert!(fresh(MinTtl::Seconds(60), 1740));
        assert!(!fresh(MinTtl::Seconds(60), 1741));
        assert!(fresh(MinTtl::HalfOfGranted, 900));
        assert!(!fresh(MinTtl::HalfOfGranted, 901));
        assert!(!fresh(MinTtl::Seconds(0), 1800));
        assert!(!fresh(MinTtl::Seconds(60), -7200));
        assert!(fresh(MinTtl::Seconds(60), -30));
    }

    #[test]
    fn help_texts_can_name_the_default_lifetimes() {
        assert_eq!(MinTtl::at_least(DEFAULT_MIN_TTL).to_string(), "60s");
        assert_eq!(
            ENVIRONMENT_MIN_TTL.to_string(),
            "half of what the portal grants"
        );
        assert_eq!(MinTtl::at_least(Duration::MAX), MinTtl::Seconds(i64::MAX));
    }

    #[test]
    fn a_cached_token_is_a_fallback_down_to_15_seconds() {
        assert!(may_fall_back(at(15), at(0)));
        assert!(!may_fall_back(at(14), at(0)));
    }

    #[test]
    fn a_token_is_recently_renewed_for_a_minute() {
        assert!(is_recently_renewed(at(0), at(0)));
        assert!(is_recently_renewed(at(0), at(59)));
        assert!(!is_recently_renewed(at(0), at(60)));
        assert!(!is_recently_renewed(at(1), at(0)));
    }

    #[test]
    fn an_application_asks_for_minutes_only_beyond_the_default() {
        assert_eq!(application_minutes(MinTtl::HalfOfGranted), None);
        assert_eq!(application_minutes(MinTtl::Seconds(110 * 60)), None);
        assert_eq!(
            application_minutes(MinTtl::Seconds(110 * 60 + 1)),
            Some(112)
        );
        assert_eq!(application_minutes(MinTtl::Seconds(i64::MAX)), Some(20_160));
    }

    #[test]
    fn the_use_of_an_api_key_is_recorded_once_in_half_an_hour() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
        assert!(!is_api_key_use_noted(None, now));
        for (age, is_noted) in [(0, true), (1799, true), (1800, false), (-1, false)] {
            let noted = now - SignedDuration::from_secs(age);
            assert_eq!(is_api_key_use_noted(Some(noted), now), is_noted, "{age}");
        }
    }

    #[test]
    fn an_api_key_needs_what_is_wanted_and_never_half_of_its_life() {
        assert_eq!(api_key_seconds(MinTtl::HalfOfGranted), 60);
        assert_eq!(api_key_seconds(MinTtl::Seconds(0)), 1);
        assert_eq!(api_key_seconds(MinTtl::Seconds(86_400)), 86_400);
    }

    #[test]
    fn network_connections_ask_for_two_hours_or_for_what_is_wanted() {
        let asked = |seconds| network_minutes(MinTtl::Seconds(seconds));
        assert_eq!(network_minutes(MinTtl::HalfOfGranted), 120);
        assert_eq!(asked(0), 120);
        assert_eq!(asked(118 * 60), 120);
        assert_eq!(asked(120 * 60), 122);
        assert_eq!(asked(i64::MAX), 20_160);
    }

    #[test]
    fn users_are_the_same_whatever_the_case() {
        assert!(is_same_user("Ana.Gis", "ana.gis"));
        assert!(!is_same_user("ana", "ana2"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_clock_that_differs_by_more_than_a_minute_is_notable() {
        let ahead = |seconds| command_line::notable_clock_difference(at(seconds), at(0));
        assert_eq!(ahead(60), None);
        assert_eq!(ahead(-60), None);
        assert_eq!(ahead(61), Some(SignedDuration::from_secs(61)));
        assert_eq!(ahead(-61), Some(SignedDuration::from_secs(-61)));
    }

    #[test]
    fn absurd_lives_stay_representable() {
        assert_eq!(expiry(at(0), -5), at(0));
        assert!(expiry(at(0), i64::MAX) > at(DAY));
    }

    #[test]
    fn a_sign_in_expires_soon_from_three_days_on_and_after_its_end() {
        assert!(!expires_soon(at(3 * DAY + 1), at(0)));
        assert!(expires_soon(at(3 * DAY), at(0)));
        assert!(expires_soon(at(0), at(DAY)));
        assert!(expires_within(at(5), SignedDuration::from_secs(5), at(0)));
        assert!(!expires_within(at(6), SignedDuration::from_secs(5), at(0)));
    }

    #[test]
    fn a_sign_in_is_extended_past_half_once_no_script_can_lose_its_token() {
        let rule = ExtendRule::PastHalf;
        assert_eq!(decides(rule, None, 7 * DAY - 1), Extension::NotDue);
        assert_eq!(decides(rule, None, 7 * DAY), Extension::Due);
        let until = Some(8 * DAY + 61);
        assert_eq!(
            decides(rule, until, 8 * DAY),
            Extension::WaitsUntil(at(8 * DAY + 1))
        );
        assert_eq!(decides(rule, until, 8 * DAY + 1), Extension::Due);
        assert_eq!(decides(rule, until, 6 * DAY), Extension::NotDue);
    }

    #[test]
    fn a_sign_in_is_extended_in_its_last_tenth_in_any_case() {
        let last_tenth = 14 * DAY * 9 / 10;
        for rule in [
            ExtendRule::PastHalf,
            ExtendRule::OlderThan(SignedDuration::from_hours(24 * 365)),
        ] {
            assert_eq!(decides(rule, Some(13 * DAY), last_tenth), Extension::Forced);
            assert_eq!(decides(rule, None, last_tenth), Extension::Due);
        }
        assert_eq!(decides(ExtendRule::Now, None, 0), Extension::Forced);
    }

    #[test]
    fn a_sign_in_is_extended_by_its_age_where_that_is_the_rule() {
        let rule = ExtendRule::OlderThan(ROTATE_REFRESH_TOKEN_AGE);
        assert_eq!(decides(rule, None, 3 * DAY - 1), Extension::NotDue);
        assert_eq!(decides(rule, None, 3 * DAY), Extension::Due);
    }
}
