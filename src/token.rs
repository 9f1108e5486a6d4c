//! Tokens: when they end, whether they are fresh enough, when a sign-in should be extended, and the record that a
//! keychain keeps of them. No I/O, no clock: the present time is an argument.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::connection::Connection;
use crate::secret::Secret;

/// The life assumed for a refresh token whose portal names none (before 10.9.1): 14 days, every version's default.
/// Source: Esri, "Specify the default token expiration time".
pub const ASSUMED_REFRESH_LIFE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// An access token with less life than this is as good as dead: a request takes time.
pub const MIN_USABLE_TTL: SignedDuration = SignedDuration::from_secs(60);

/// A token stamped later than this from now was stamped by a clock that has since been set back.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Longest life that is believed, so that no answer can push a date out of range: ten years.
const LONGEST_LIFE: i64 = 10 * 366 * 24 * 3600;

/// `start` plus `seconds`, within what is believable.
#[must_use]
pub fn ends(start: Timestamp, seconds: i64) -> Timestamp {
    let life = SignedDuration::from_secs(seconds.clamp(0, LONGEST_LIFE));
    start.checked_add(life).unwrap_or(Timestamp::MAX)
}

/// What a portal accepts in place of a password, for half an hour or so.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was asked for, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it ends, by this machine's clock: only the portal's relative life is trusted.
    pub expires_at: Timestamp,
}

impl AccessToken {
    /// A second copy; see [`Secret::duplicate`].
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            secret: self.secret.duplicate(),
            ..*self
        }
    }

    /// Seconds left; negative once it has ended.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> i64 {
        self.expires_at.duration_since(now).as_secs()
    }

    /// Seconds that the portal granted.
    #[must_use]
    pub fn seconds_granted(&self) -> i64 {
        self.expires_at.duration_since(self.issued_at).as_secs()
    }

    /// Whether it will live as long as wanted. A token from the future was stamped by a wrong clock and is not fresh.
    #[must_use]
    pub fn is_fresh(&self, wanted: MinTtl, now: Timestamp) -> bool {
        self.issued_at.duration_since(now) <= CLOCK_SLACK
            && self.seconds_left(now) >= wanted.seconds(self.seconds_granted()).max(1)
    }
}

/// How long a token must still live to be worth handing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinTtl {
    /// At least so many seconds.
    Seconds(i64),
    /// At least half of what the portal granted.
    HalfOfGranted,
}

impl MinTtl {
    /// The bound in seconds for a token of this granted life.
    #[must_use]
    pub fn seconds(self, granted: i64) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::HalfOfGranted => granted / 2,
        }
    }
}

/// What mints access tokens for a signed-in user, for days or weeks.
#[derive(Debug)]
pub struct RefreshToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was issued, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it ends, where the portal said so.
    pub expires_at: Option<Timestamp>,
}

impl RefreshToken {
    /// A second copy; see [`Secret::duplicate`].
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            secret: self.secret.duplicate(),
            ..*self
        }
    }

    /// When it ends, by the portal's word or by assumption.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.expires_at.unwrap_or_else(|| {
            self.issued_at
                .checked_add(ASSUMED_REFRESH_LIFE)
                .unwrap_or(Timestamp::MAX)
        })
    }

    fn life(&self) -> SignedDuration {
        self.end().duration_since(self.issued_at)
    }

    /// Whether its time is over by the portal's own word. An assumed end is not evidence.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Where and for whom tokens or a client secret may be used. A secret never follows a changed `meta.json` elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The portal's root.
    pub portal_url: String,
    /// The client id.
    pub client_id: String,
}

impl Binding {
    /// The binding that `meta.json` names now.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        Self {
            portal_url: connection.portal.as_str().to_owned(),
            client_id: connection.client_id.clone(),
        }
    }
}

/// Everything about one sign-in that is secret, and its dates. Stored and replaced as a whole.
#[derive(Debug)]
pub struct Tokens {
    /// Where they may be used.
    pub binding: Binding,
    /// The cached access token.
    pub access: Option<AccessToken>,
    /// The refresh token. Applications have none, nor has a sign-in that ended because the answer of an exchange was lost.
    pub refresh: Option<RefreshToken>,
    /// Until when some access token minted from this refresh token can still be valid.
    pub minted_until: Option<Timestamp>,
    /// The refresh token was sent for exchange, and no answer has been stored yet: it may be spent.
    pub exchange_started: bool,
    /// The portal knows no exchange (before 10.6).
    pub exchange_unsupported: bool,
    /// Minutes that were asked for with the access token; nothing where the portal's default was left to it.
    pub asked_minutes: Option<i64>,
    /// Who is signed in.
    pub username: Option<String>,
    /// Tokens that the portal granted for servers, the newest last.
    pub servers: Vec<ServerToken>,
}

/// A token that the portal granted for one server.
#[derive(Debug)]
pub struct ServerToken {
    /// The server's root: scheme, host, port and first folder.
    pub root: String,
    /// The token and its dates.
    pub access: AccessToken,
}

/// So many servers' tokens are kept.
const MOST_SERVERS: usize = 8;

/// When a refresh token is exchanged for a new one, which extends the sign-in and ends every access token minted from
/// the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendRule {
    /// Past half of its life, in a gap; in its last tenth, anyway.
    PastHalf,
    /// Once it is older than this, in a gap; in its last tenth, anyway.
    OlderThan(SignedDuration),
    /// Now, whatever it ends.
    Now,
}

/// What the rule says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Not yet.
    NotDue,
    /// It is time, but a running script may hold a token that would die.
    DueAfter(Timestamp),
    /// It is time, and nobody can lose anything.
    Due,
    /// It cannot wait any longer, or was asked for.
    Anyway,
    /// There is nothing to extend, or the portal cannot.
    Impossible,
}

impl Tokens {
    /// What `rule` says now.
    #[must_use]
    pub fn extension(&self, rule: ExtendRule, now: Timestamp) -> Extension {
        let Some(refresh) = &self.refresh else {
            return Extension::Impossible;
        };
        // Who asks for it by name may find a portal that has learnt it meanwhile.
        if self.exchange_unsupported && rule != ExtendRule::Now {
            return Extension::Impossible;
        }
        let age = now.duration_since(refresh.issued_at);
        let due = match rule {
            ExtendRule::Now => return Extension::Anyway,
            ExtendRule::PastHalf => age >= refresh.life() / 2,
            ExtendRule::OlderThan(limit) => age >= limit,
        };
        let left = refresh.end().duration_since(now);
        let gap = self
            .minted_until
            .filter(|until| until.duration_since(now) > MIN_USABLE_TTL);
        match gap {
            None if due || left <= refresh.life() / 10 => Extension::Due,
            Some(_) if left <= refresh.life() / 10 => Extension::Anyway,
            Some(until) if due => Extension::DueAfter(until),
            _ => Extension::NotDue,
        }
    }

    /// Takes over a freshly minted access token.
    pub fn mint(&mut self, access: AccessToken) {
        self.minted_until = Some(
            self.minted_until
                .map_or(access.expires_at, |until| until.max(access.expires_at)),
        );
        self.access = Some(access);
    }

    /// The token for this server, where one is kept that lives long enough.
    #[must_use]
    pub fn server_token(&self, root: &str, wanted: MinTtl, now: Timestamp) -> Option<&AccessToken> {
        let kept = self.servers.iter().find(|kept| kept.root == root)?;
        kept.access.is_fresh(wanted, now).then_some(&kept.access)
    }

    /// Keeps a server's token; those that have ended go, and the oldest where there are too many.
    pub fn keep_server_token(&mut self, root: &str, access: AccessToken, now: Timestamp) {
        self.servers
            .retain(|kept| kept.root != root && kept.access.seconds_left(now) > 0);
        self.servers.push(ServerToken {
            root: root.to_owned(),
            access,
        });
        let surplus = self.servers.len().saturating_sub(MOST_SERVERS);
        self.servers.drain(..surplus);
    }

    /// The record for the keychain: JSON, because the same item is read by every later version.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        seal(&TokensRecord {
            version: 1,
            portal_url: &self.binding.portal_url,
            client_id: &self.binding.client_id,
            access_token: self.access.as_ref().map(|t| t.secret.expose()),
            issued_at: self.access.as_ref().map(|t| t.issued_at.as_second()),
            expires_at: self.access.as_ref().map(|t| t.expires_at.as_second()),
            minted_until: self.minted_until.map(Timestamp::as_second),
            refresh_token: self.refresh.as_ref().map(|t| t.secret.expose()),
            refresh_issued_at: self.refresh.as_ref().map(|t| t.issued_at.as_second()),
            refresh_expires_at: self
                .refresh
                .as_ref()
                .and_then(|t| t.expires_at)
                .map(Timestamp::as_second),
            exchange_started: self.exchange_started,
            exchange_unsupported: self.exchange_unsupported,
            asked_minutes: self.asked_minutes,
            username: self.username.as_deref(),
            servers: self
                .servers
                .iter()
                .map(|kept| ServerRecord {
                    root: &kept.root,
                    token: kept.access.secret.expose(),
                    issued_at: kept.access.issued_at.as_second(),
                    expires_at: kept.access.expires_at.as_second(),
                })
                .collect(),
        })
    }

    /// Reads a record. `None` where the text is not one of ours.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        let record: OwnedTokensRecord = serde_json::from_str(record.expose()).ok()?;
        let time = |seconds: Option<i64>| Timestamp::from_second(seconds?).ok();
        let access = match (record.access_token, time(record.expires_at)) {
            (Some(secret), Some(expires_at)) => Some(AccessToken {
                secret,
                issued_at: time(record.issued_at).unwrap_or(expires_at),
                expires_at,
            }),
            _ => None,
        };
        let refresh = match (record.refresh_token, time(record.refresh_issued_at)) {
            (Some(secret), Some(issued_at)) => Some(RefreshToken {
                secret,
                issued_at,
                expires_at: time(record.refresh_expires_at),
            }),
            _ => None,
        };
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
            },
            access,
            refresh,
            minted_until: time(record.minted_until),
            exchange_started: record.exchange_started,
            exchange_unsupported: record.exchange_unsupported,
            asked_minutes: record.asked_minutes,
            username: record.username,
            servers: record
                .servers
                .into_iter()
                .filter_map(OwnedServerRecord::read)
                .collect(),
        })
    }
}

/// The client secret with what it belongs to.
#[derive(Debug)]
pub struct ClientSecret {
    /// Where it may be used.
    pub binding: Binding,
    /// The secret itself.
    pub secret: Secret,
}

impl ClientSecret {
    /// The record for the keychain.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        seal(&ClientSecretRecord {
            version: 1,
            portal_url: &self.binding.portal_url,
            client_id: &self.binding.client_id,
            client_secret: self.secret.expose(),
        })
    }

    /// Reads a record. `None` where the text is not one of ours.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        let record: OwnedClientSecretRecord = serde_json::from_str(record.expose()).ok()?;
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
            },
            secret: record.client_secret,
        })
    }
}

/// Serialises without leaving pieces behind: the buffer is large enough never to move, and wiped if anything fails.
fn seal(record: &impl Serialize) -> Secret {
    const ROOM: usize = 64 * 1024;
    let mut buffer = Zeroizing::new(Vec::with_capacity(ROOM));
    // Plain structs of text and numbers always serialise.
    let written = serde_json::to_writer(&mut *buffer, record);
    debug_assert!(written.is_ok());
    Secret::new(String::from_utf8_lossy(&buffer).into_owned())
}

#[derive(Serialize)]
struct TokensRecord<'a> {
    version: u32,
    portal_url: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minted_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_issued_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exchange_started: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exchange_unsupported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_minutes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<ServerRecord<'a>>,
}

#[derive(Serialize)]
struct ServerRecord<'a> {
    root: &'a str,
    token: &'a str,
    issued_at: i64,
    expires_at: i64,
}

#[derive(Deserialize)]
struct OwnedServerRecord {
    root: String,
    token: Secret,
    issued_at: i64,
    expires_at: i64,
}

impl OwnedServerRecord {
    fn read(self) -> Option<ServerToken> {
        Some(ServerToken {
            root: self.root,
            access: AccessToken {
                secret: self.token,
                issued_at: Timestamp::from_second(self.issued_at).ok()?,
                expires_at: Timestamp::from_second(self.expires_at).ok()?,
            },
        })
    }
}

#[derive(Deserialize)]
struct OwnedTokensRecord {
    portal_url: String,
    client_id: String,
    access_token: Option<Secret>,
    issued_at: Option<i64>,
    expires_at: Option<i64>,
    minted_until: Option<i64>,
    refresh_token: Option<Secret>,
    refresh_issued_at: Option<i64>,
    refresh_expires_at: Option<i64>,
    #[serde(default)]
    exchange_started: bool,
    #[serde(default)]
    exchange_unsupported: bool,
    asked_minutes: Option<i64>,
    username: Option<String>,
    #[serde(default)]
    servers: Vec<OwnedServerRecord>,
}

#[derive(Serialize)]
struct ClientSecretRecord<'a> {
    version: u32,
    portal_url: &'a str,
    client_id: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
struct OwnedClientSecretRecord {
    portal_url: String,
    client_id: String,
    client_secret: Secret,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn access(issued: i64, life: i64) -> AccessToken {
        AccessToken {
            secret: Secret::new("A".into()),
            issued_at: at(issued),
            expires_at: ends(at(issued), life),
        }
    }

    fn tokens(refresh_life: Option<i64>) -> Tokens {
        Tokens {
            binding: Binding {
                portal_url: "https://h/portal".into(),
                client_id: "id".into(),
            },
            access: None,
            refresh: Some(RefreshToken {
                secret: Secret::new("R".into()),
                issued_at: at(0),
                expires_at: refresh_life.map(at),
            }),
            minted_until: None,
            exchange_started: false,
            exchange_unsupported: false,
            asked_minutes: None,
            username: Some("your.username".into()),
            servers: Vec::new(),
        }
    }

    #[test]
    fn freshness_counts_what_is_left_and_distrusts_a_clock_set_back() {
        let token = access(0, 1800);
        assert!(token.is_fresh(MinTtl::Seconds(60), at(1740)));
        assert!(!token.is_fresh(MinTtl::Seconds(60), at(1741)));
        assert!(token.is_fresh(MinTtl::HalfOfGranted, at(900)));
        assert!(!token.is_fresh(MinTtl::HalfOfGranted, at(901)));
        assert!(!token.is_fresh(MinTtl::Seconds(0), at(1800)));
        assert!(!token.is_fresh(MinTtl::Seconds(60), at(-7200)));
        assert!(token.is_fresh(MinTtl::Seconds(60), at(-30)));
    }

    #[test]
    fn a_sign_in_is_extended_past_half_in_a_gap_and_in_the_last_tenth_anyway() {
        let rule = ExtendRule::PastHalf;
        let mut tokens = tokens(Some(14 * DAY));
        assert_eq!(tokens.extension(rule, at(7 * DAY - 1)), Extension::NotDue);
        assert_eq!(tokens.extension(rule, at(7 * DAY)), Extension::Due);
        tokens.minted_until = Some(at(8 * DAY + 61));
        assert_eq!(
            tokens.extension(rule, at(8 * DAY)),
            Extension::DueAfter(at(8 * DAY + 61))
        );
        assert_eq!(tokens.extension(rule, at(8 * DAY + 1)), Extension::Due);
        tokens.minted_until = Some(at(13 * DAY));
        assert_eq!(
            tokens.extension(rule, at(14 * DAY * 9 / 10)),
            Extension::Anyway
        );
        assert_eq!(tokens.extension(ExtendRule::Now, at(0)), Extension::Anyway);
        tokens.exchange_unsupported = true;
        assert_eq!(tokens.extension(rule, at(13 * DAY)), Extension::Impossible);
    }

    #[test]
    fn an_unknown_life_is_taken_for_fourteen_days_but_its_end_is_no_evidence() {
        let tokens = tokens(None);
        let refresh = tokens.refresh.as_ref().unwrap();
        assert_eq!(refresh.end(), at(14 * DAY));
        assert!(!refresh.is_over(at(15 * DAY)));
        assert_eq!(
            tokens.extension(
                ExtendRule::OlderThan(SignedDuration::from_hours(72)),
                at(3 * DAY)
            ),
            Extension::Due
        );
    }

    #[test]
    fn minting_remembers_the_longest_lived_token() {
        let mut tokens = tokens(None);
        tokens.mint(access(0, 1800));
        tokens.mint(access(10, 60));
        assert_eq!(tokens.minted_until, Some(at(1800)));
        assert_eq!(tokens.access.as_ref().unwrap().expires_at, at(70));
    }

    #[test]
    fn absurd_lives_stay_representable() {
        assert_eq!(ends(at(0), -5), at(0));
        assert!(ends(at(0), i64::MAX) > at(DAY));
    }

    #[test]
    fn a_record_survives_the_keychain() {
        let mut tokens = tokens(Some(DAY));
        tokens.mint(access(5, 1800));
        tokens.exchange_started = true;
        let read = Tokens::from_record(&tokens.to_record()).unwrap();
        assert_eq!(read.binding, tokens.binding);
        assert_eq!(read.minted_until, tokens.minted_until);
        assert!(read.exchange_started);
        assert!(!read.exchange_unsupported);
        assert_eq!(read.refresh.as_ref().unwrap().expires_at, Some(at(DAY)));
        assert_eq!(read.access.as_ref().unwrap().issued_at, at(5));
        assert_eq!(read.to_record().expose(), tokens.to_record().expose());
    }

    #[test]
    fn anything_else_is_no_record() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"portal_url":1,"client_id":"x"}"#,
        ] {
            assert!(
                Tokens::from_record(&Secret::new(text.into())).is_none(),
                "{text}"
            );
        }
    }
}
