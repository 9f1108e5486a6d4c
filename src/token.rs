//! Tokens and the records that the keychain stores of them. No I/O, no clock: the present time is
//! an argument. The rules about how long things must live are in [`crate::policy`].

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::binding::{Binding, Settings};
use crate::policy::{self, ExtendRule, Extension, MinTtl};
use crate::secret::Secret;

/// The version of the records. Version 1 bound only portal and client ID.
const RECORD_VERSION: u32 = 2;

/// What a request to a portal or a server carries, for half an hour or so.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was requested, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it expires, by this machine's clock: only the relative life in the portal's answer is
    /// trusted.
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

    /// Seconds until it expires; negative afterwards.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> i64 {
        self.expires_at.duration_since(now).as_secs()
    }

    /// The life in seconds that the portal granted.
    #[must_use]
    pub fn seconds_granted(&self) -> i64 {
        self.expires_at.duration_since(self.issued_at).as_secs()
    }

    /// Whether it lives as long as wanted, by [`policy::is_fresh`].
    #[must_use]
    pub fn is_fresh(&self, wanted: MinTtl, now: Timestamp) -> bool {
        policy::is_fresh(self.issued_at, self.expires_at, wanted, now)
    }
}

/// What gets access tokens for a signed-in user, for days or weeks.
#[derive(Debug)]
pub struct RefreshToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was issued, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it expires. `None` where the portal did not say (before 10.9.1).
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

    /// When it expires: what the portal said, else [`policy::ASSUMED_REFRESH_LIFE`] after it was
    /// issued.
    #[must_use]
    pub fn known_or_assumed_expiry(&self) -> Timestamp {
        self.expires_at.unwrap_or_else(|| {
            self.issued_at
                .checked_add(policy::ASSUMED_REFRESH_LIFE)
                .unwrap_or(Timestamp::MAX)
        })
    }
}

/// Whether a text can be sent as a token: not empty, and visible ASCII only, because it travels in
/// a header.
#[must_use]
pub(crate) fn is_sendable(token: &Secret) -> bool {
    !token.is_empty() && token.expose().chars().all(|c| c.is_ascii_graphic())
}

/// The `tokens` record of a connection: everything secret about one sign-in, and its dates. Stored
/// and replaced as a whole.
#[derive(Debug)]
pub struct Tokens {
    /// What they may be used for.
    pub binding: Binding,
    /// The cached access token.
    pub access: Option<AccessToken>,
    /// The refresh token. `None` for applications, and for a sign-in that ended because the answer
    /// to an exchange was lost.
    pub refresh: Option<RefreshToken>,
    /// Until when any access token from this refresh token may be valid; `minted_until` in the
    /// record.
    pub access_tokens_valid_until: Option<Timestamp>,
    /// The exchange mark: the refresh token was sent for exchange, and no answer has been stored
    /// yet. It may be spent.
    pub exchange_started: bool,
    /// The portal does not know the exchange grant (before 10.6).
    pub exchange_unsupported: bool,
    /// When a person signed in, or the earliest moment at which there was a sign-in where that was
    /// not recorded.
    pub signed_in_at: Option<Timestamp>,
    /// The policy of this machine ends the sign-in, so that extending it gains nothing. Not stored.
    pub is_limited: bool,
    /// The life in minutes that was asked for with the access token. `None` where the portal's
    /// default was wanted.
    pub asked_minutes: Option<i64>,
    /// The user who is signed in. `None` for applications.
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

impl Tokens {
    /// A record without any token.
    #[must_use]
    pub fn new(binding: Binding) -> Self {
        Self {
            binding,
            access: None,
            refresh: None,
            access_tokens_valid_until: None,
            exchange_started: false,
            exchange_unsupported: false,
            signed_in_at: None,
            is_limited: false,
            asked_minutes: None,
            username: None,
            servers: Vec::new(),
        }
    }

    /// What `rule` decides now, by [`policy::extension`].
    #[must_use]
    pub fn extension(&self, rule: ExtendRule, now: Timestamp) -> Extension {
        let Some(refresh) = &self.refresh else {
            return Extension::Impossible;
        };
        if self.is_limited {
            return Extension::Impossible;
        }
        // A person who asks for it explicitly may know that the portal has been upgraded since.
        if self.exchange_unsupported && rule != ExtendRule::Now {
            return Extension::Impossible;
        }
        policy::extension(
            rule,
            refresh.issued_at,
            refresh.known_or_assumed_expiry(),
            self.access_tokens_valid_until,
            now,
        )
    }

    /// When the sign-in expires, as the portal said or as assumed. `None` where there is none.
    #[must_use]
    pub fn sign_in_expires_at(&self) -> Option<Timestamp> {
        self.refresh
            .as_ref()
            .map(RefreshToken::known_or_assumed_expiry)
    }

    /// Moves the end of the sign-in to `longest` after a person signed in, if it would be later.
    pub fn limit_sign_in(&mut self, longest: Duration) {
        let Some(refresh) = &mut self.refresh else {
            return;
        };
        let begun = self.signed_in_at.unwrap_or(refresh.issued_at);
        let end = begun.checked_add(longest).unwrap_or(Timestamp::MAX);
        let expiry = refresh.known_or_assumed_expiry();
        self.is_limited = policy::expires_within(end, policy::SIGN_IN_LIMIT_SLACK, expiry);
        if expiry > end {
            refresh.expires_at = Some(end);
        }
    }

    /// Puts a new access token in place of the cached one, and remembers how long any of them may
    /// be valid.
    pub fn set_access_token(&mut self, access: AccessToken) {
        self.note_validity(&access);
        self.access = Some(access);
    }

    /// A script may hold this token until it ends.
    fn note_validity(&mut self, access: &AccessToken) {
        let until = self.access_tokens_valid_until;
        self.access_tokens_valid_until =
            Some(until.map_or(access.expires_at, |until| until.max(access.expires_at)));
    }

    /// Whether the sign-in is in the last tenth of its life.
    #[must_use]
    pub fn is_in_last_tenth(&self, now: Timestamp) -> bool {
        self.refresh.as_ref().is_some_and(|refresh| {
            let expires_at = refresh.known_or_assumed_expiry();
            policy::is_in_last_tenth(refresh.issued_at, expires_at, now)
        })
    }

    /// The cached token for this server, if it lives long enough.
    #[must_use]
    pub fn server_token(&self, root: &str, wanted: MinTtl, now: Timestamp) -> Option<&AccessToken> {
        let cached = self.servers.iter().find(|cached| cached.root == root)?;
        cached
            .access
            .is_fresh(wanted, now)
            .then_some(&cached.access)
    }

    /// Caches a server's token. Drops expired ones, and the oldest beyond
    /// [`policy::MAX_SERVER_TOKENS`]. It ends with the sign-in, as the portal's own tokens do, and
    /// may live longer than those.
    pub fn cache_server_token(&mut self, root: &str, access: AccessToken, now: Timestamp) {
        self.note_validity(&access);
        self.servers
            .retain(|cached| cached.root != root && cached.access.seconds_left(now) > 0);
        self.servers.push(ServerToken {
            root: root.to_owned(),
            access,
        });
        let surplus = self.servers.len().saturating_sub(policy::MAX_SERVER_TOKENS);
        self.servers.drain(..surplus);
    }

    /// The record as the keychain stores it. JSON, so that later versions can add fields and still
    /// read it.
    #[cfg_attr(
        not(any(test, feature = "migrate", feature = "testing")),
        allow(dead_code)
    )]
    #[must_use]
    pub fn to_record(&self) -> Secret {
        self.to_record_for(&self.binding)
    }

    /// The same with another binding.
    #[must_use]
    pub fn to_record_for(&self, binding: &Binding) -> Secret {
        Secret::serialize(&TokensRecord {
            version: RECORD_VERSION,
            portal_url: &binding.portal_url,
            client_id: &binding.client_id,
            settings: binding.settings.as_ref(),
            pending: &binding.pending,
            access_token: self.access.as_ref().map(|t| t.secret.expose()),
            issued_at: self.access.as_ref().map(|t| t.issued_at.as_second()),
            expires_at: self.access.as_ref().map(|t| t.expires_at.as_second()),
            minted_until: self.access_tokens_valid_until.map(Timestamp::as_second),
            refresh_token: self.refresh.as_ref().map(|t| t.secret.expose()),
            refresh_issued_at: self.refresh.as_ref().map(|t| t.issued_at.as_second()),
            refresh_expires_at: self
                .refresh
                .as_ref()
                .and_then(|t| t.expires_at)
                .map(Timestamp::as_second),
            exchange_started: self.exchange_started,
            exchange_unsupported: self.exchange_unsupported,
            // Until it is extended, that is when the refresh token was issued.
            signed_in_at: self
                .signed_in_at
                .filter(|at| Some(*at) != self.refresh.as_ref().map(|token| token.issued_at))
                .map(Timestamp::as_second),
            asked_minutes: self.asked_minutes,
            username: self.username.as_deref(),
            servers: self
                .servers
                .iter()
                .map(|server| ServerRecord {
                    root: &server.root,
                    token: server.access.secret.expose(),
                    issued_at: server.access.issued_at.as_second(),
                    expires_at: server.access.expires_at.as_second(),
                })
                .collect(),
        })
    }

    /// Reads a record. `None` for any other text.
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
        // Records of earlier versions do not have it.
        let issued_at = refresh
            .as_ref()
            .map(|refresh: &RefreshToken| refresh.issued_at);
        let signed_in_at = time(record.signed_in_at).or(issued_at);
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
                settings: record.settings,
                pending: record.pending,
            },
            access,
            refresh,
            access_tokens_valid_until: time(record.minted_until),
            exchange_started: record.exchange_started,
            exchange_unsupported: record.exchange_unsupported,
            signed_in_at,
            is_limited: false,
            asked_minutes: record.asked_minutes,
            username: record.username,
            servers: record
                .servers
                .into_iter()
                .filter_map(OwnedServerRecord::into_token)
                .collect(),
        })
    }
}

/// The `client-secret` record of a connection.
#[derive(Debug)]
pub struct ClientSecret {
    /// What it may be used for.
    pub binding: Binding,
    /// The secret itself.
    pub secret: Secret,
}

impl ClientSecret {
    /// The record as the keychain stores it.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        self.to_record_for(&self.binding)
    }

    /// The same with another binding.
    #[must_use]
    pub fn to_record_for(&self, binding: &Binding) -> Secret {
        Secret::serialize(&ClientSecretRecord {
            version: RECORD_VERSION,
            portal_url: &binding.portal_url,
            client_id: &binding.client_id,
            settings: binding.settings.as_ref(),
            pending: &binding.pending,
            client_secret: self.secret.expose(),
        })
    }

    /// Reads a record. `None` for any other text.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        let record: OwnedClientSecretRecord = serde_json::from_str(record.expose()).ok()?;
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
                settings: record.settings,
                pending: record.pending,
            },
            secret: record.client_secret,
        })
    }
}

/// The `api-key` record of a connection.
#[derive(Debug)]
pub struct ApiKeyRecord {
    /// What it may be used for.
    pub binding: Binding,
    /// The key itself. `None` where a command prints it.
    pub api_key: Option<Secret>,
    /// The user whose key it is, as the portal said.
    pub user: String,
    /// When it was given, by this machine's clock.
    pub stored_at: Timestamp,
}

impl ApiKeyRecord {
    /// The record as the keychain stores it.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        self.to_record_for(&self.binding)
    }

    /// The same with another binding.
    #[must_use]
    pub fn to_record_for(&self, binding: &Binding) -> Secret {
        Secret::serialize(&ApiKeyFields {
            version: RECORD_VERSION,
            portal_url: &binding.portal_url,
            client_id: &binding.client_id,
            settings: binding.settings.as_ref(),
            pending: &binding.pending,
            api_key: self.api_key.as_ref().map(Secret::expose),
            user: &self.user,
            stored_at: self.stored_at.as_second(),
        })
    }

    /// Reads a record. `None` for any other text.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        let record: OwnedApiKeyFields = serde_json::from_str(record.expose()).ok()?;
        Some(Self {
            binding: Binding {
                portal_url: record.portal_url,
                client_id: record.client_id,
                settings: Some(record.settings),
                pending: record.pending,
            },
            api_key: record.api_key,
            user: record.user,
            stored_at: Timestamp::from_second(record.stored_at).ok()?,
        })
    }
}

#[derive(Serialize)]
struct ApiKeyFields<'a> {
    version: u32,
    portal_url: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Settings>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pending: &'a [Binding],
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
    user: &'a str,
    stored_at: i64,
}

#[derive(Deserialize)]
struct OwnedApiKeyFields {
    portal_url: String,
    client_id: String,
    settings: Settings,
    #[serde(default)]
    pending: Vec<Binding>,
    api_key: Option<Secret>,
    user: String,
    stored_at: i64,
}

#[derive(Serialize)]
struct TokensRecord<'a> {
    version: u32,
    portal_url: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Settings>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pending: &'a [Binding],
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
    signed_in_at: Option<i64>,
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
    fn into_token(self) -> Option<ServerToken> {
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
    settings: Option<Settings>,
    #[serde(default)]
    pending: Vec<Binding>,
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
    signed_in_at: Option<i64>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Settings>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pending: &'a [Binding],
    client_secret: &'a str,
}

#[derive(Deserialize)]
struct OwnedClientSecretRecord {
    portal_url: String,
    client_id: String,
    settings: Option<Settings>,
    #[serde(default)]
    pending: Vec<Binding>,
    client_secret: Secret,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::connection::{Connection, Grant};

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn access(issued: i64, life: i64) -> AccessToken {
        AccessToken {
            secret: Secret::new("A".into()),
            issued_at: at(issued),
            expires_at: policy::expiry(at(issued), life),
        }
    }

    fn tokens(refresh_life: Option<i64>) -> Tokens {
        Tokens {
            binding: Binding {
                portal_url: "https://h/portal".into(),
                client_id: "id".into(),
                settings: None,
                pending: Vec::new(),
            },
            access: None,
            refresh: Some(RefreshToken {
                secret: Secret::new("R".into()),
                issued_at: at(0),
                expires_at: refresh_life.map(at),
            }),
            access_tokens_valid_until: None,
            exchange_started: false,
            exchange_unsupported: false,
            signed_in_at: None,
            is_limited: false,
            asked_minutes: None,
            username: Some("your.username".into()),
            servers: Vec::new(),
        }
    }

    #[test]
    fn rule_34_a_limit_counts_from_the_sign_in_and_not_from_an_extension() {
        const DAY_LONG: Duration = Duration::from_secs(86_400);
        let mut tokens = tokens(Some(14 * DAY));
        tokens.limit_sign_in(30 * DAY_LONG);
        assert!(!tokens.is_limited);
        assert_eq!(tokens.sign_in_expires_at(), Some(at(14 * DAY)));
        // Extended on the tenth day: the new refresh token would live to the 24th.
        tokens.signed_in_at = Some(at(0));
        tokens.refresh = Some(RefreshToken {
            secret: Secret::new("R2".into()),
            issued_at: at(10 * DAY),
            expires_at: Some(at(24 * DAY)),
        });
        tokens.limit_sign_in(20 * DAY_LONG);
        assert!(tokens.is_limited);
        assert_eq!(tokens.sign_in_expires_at(), Some(at(20 * DAY)));
        // There is nothing to gain by another extension.
        for rule in [ExtendRule::PastHalf, ExtendRule::Now] {
            assert_eq!(tokens.extension(rule, at(19 * DAY)), Extension::Impossible);
        }
        // The record keeps when the sign-in began; one without that takes the refresh token's.
        let read = Tokens::from_record(&tokens.to_record()).unwrap();
        assert_eq!(read.signed_in_at, Some(at(0)));
        tokens.signed_in_at = None;
        let mut read = Tokens::from_record(&tokens.to_record()).unwrap();
        assert_eq!(read.signed_in_at, Some(at(10 * DAY)));
        // A refresh token whose life the portal does not name is limited, too.
        read.refresh.as_mut().unwrap().expires_at = None;
        read.limit_sign_in(DAY_LONG);
        assert_eq!(read.sign_in_expires_at(), Some(at(11 * DAY)));
    }

    #[test]
    fn a_sign_in_that_cannot_be_extended_is_extended_only_on_request() {
        let rule = ExtendRule::PastHalf;
        let mut tokens = tokens(Some(14 * DAY));
        assert_eq!(tokens.extension(rule, at(7 * DAY - 1)), Extension::NotDue);
        assert_eq!(tokens.extension(rule, at(7 * DAY)), Extension::Due);
        tokens.access_tokens_valid_until = Some(at(7 * DAY + 61));
        assert_eq!(
            tokens.extension(rule, at(7 * DAY)),
            Extension::WaitsUntil(at(7 * DAY + 1))
        );
        tokens.exchange_unsupported = true;
        assert_eq!(tokens.extension(rule, at(13 * DAY)), Extension::Impossible);
        assert_eq!(tokens.extension(ExtendRule::Now, at(0)), Extension::Forced);
        tokens.refresh = None;
        assert_eq!(
            tokens.extension(ExtendRule::Now, at(0)),
            Extension::Impossible
        );
    }

    #[test]
    fn an_unknown_life_is_assumed_to_be_14_days() {
        let tokens = tokens(None);
        let refresh = tokens.refresh.as_ref().unwrap();
        assert_eq!(refresh.known_or_assumed_expiry(), at(14 * DAY));
        assert_eq!(
            tokens.extension(
                ExtendRule::OlderThan(policy::ROTATE_REFRESH_TOKEN_AGE),
                at(3 * DAY)
            ),
            Extension::Due
        );
    }

    #[test]
    fn the_longest_lived_access_token_is_remembered() {
        let mut tokens = tokens(None);
        tokens.set_access_token(access(0, 1800));
        tokens.set_access_token(access(10, 60));
        assert_eq!(tokens.access_tokens_valid_until, Some(at(1800)));
        assert_eq!(tokens.access.as_ref().unwrap().expires_at, at(70));
    }

    #[test]
    fn a_record_survives_the_keychain() {
        let mut tokens = tokens(Some(DAY));
        tokens.set_access_token(access(5, 1800));
        tokens.exchange_started = true;
        let read = Tokens::from_record(&tokens.to_record()).unwrap();
        assert_eq!(read.binding, tokens.binding);
        assert_eq!(
            read.access_tokens_valid_until,
            tokens.access_tokens_valid_until
        );
        assert!(read.exchange_started);
        assert!(!read.exchange_unsupported);
        assert_eq!(read.refresh.as_ref().unwrap().expires_at, Some(at(DAY)));
        assert_eq!(read.access.as_ref().unwrap().issued_at, at(5));
        assert_eq!(read.to_record().expose(), tokens.to_record().expose());
    }

    #[test]
    fn the_record_of_an_api_key_survives_and_shows_no_key() {
        let given = ApiKeyRecord {
            binding: tokens(None).binding,
            api_key: Some(Secret::new("canary".into())),
            user: "ana".into(),
            stored_at: at(1000),
        };
        assert!(!format!("{given:?}").contains("canary"));
        // A record without bound settings was never written.
        assert!(given.binding.is_old());
        assert!(ApiKeyRecord::from_record(&given.to_record()).is_none());
        let label = "x".parse().unwrap();
        let portal = "https://h/p".parse().unwrap();
        let connection = Connection::new(label, portal, Grant::Application, "c".into());
        for api_key in [given.api_key, None] {
            let given = ApiKeyRecord {
                binding: Binding::of(&connection, None),
                api_key,
                user: "ana".into(),
                stored_at: at(1000),
            };
            let read = ApiKeyRecord::from_record(&given.to_record()).unwrap();
            assert_eq!(read.to_record().expose(), given.to_record().expose());
            assert_eq!((read.user.as_str(), read.stored_at), ("ana", at(1000)));
        }
    }

    #[test]
    fn any_other_text_is_not_a_record() {
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
