//! API keys: access tokens that a user of the portal made there, which live for months. A key is
//! handed out as it is; nothing renews it. It belongs to the user whose key the connection began
//! with, whom the portal names when the key is given, and before one of a command is used.

use std::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;

use super::client_secret::run_program;
use super::{Session, Snapshot, TokenRequest, UsableToken};
use crate::binding::{differences, Binding};
use crate::bound_setting::BoundSetting;
use crate::connection::{Connection, GrantKind, SecretCommand};
use crate::context::Context;
use crate::error::{ApiKeyProblem, Error, KeychainReason, Result};
use crate::event::Decision;
use crate::http::{Http, Presented};
use crate::policy::{self, FAILURE_NOTE_LOCK_TIMEOUT};
use crate::portal::{self, IdentityError};
use crate::secret::Secret;
use crate::token::{AccessToken, ApiKeyRecord};

/// What gives an API key.
#[derive(Debug)]
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub enum ApiKeySource {
    /// The key itself.
    Text(Secret),
    /// A command that prints it whenever it is needed.
    Command(SecretCommand),
}

/// An API key that the portal has accepted, with whose it is and where it was sent.
#[derive(Debug)]
pub struct VerifiedApiKey {
    secret: Secret,
    user: String,
    is_printed: bool,
    /// The settings that decided where it was sent. It is stored for these alone.
    binding: Binding,
}

impl VerifiedApiKey {
    /// The user whose key it is, as the portal says.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether a command prints it.
    pub fn is_printed(&self) -> bool {
        self.is_printed
    }

    /// The settings in which `named` differs from those with which the portal was asked.
    pub fn differences(&self, named: &Binding) -> Vec<BoundSetting> {
        differences(Some(&self.binding), named)
    }

    /// What is stored: the key, or only whose it is where a command prints it.
    pub fn record(&self, binding: Binding, now: Timestamp) -> ApiKeyRecord {
        ApiKeyRecord {
            binding,
            api_key: (!self.is_printed).then(|| self.secret.duplicate()),
            user: self.user.clone(),
            stored_at: now,
        }
    }
}

/// Asks the portal of a connection, as it will be, whose API key this is. Stores nothing, and
/// needs no stored connection. `certificates` is the content of its certificate file.
pub fn verify_api_key(
    connection: &Connection,
    certificates: Option<&[u8]>,
    presented: Presented,
    source: ApiKeySource,
    context: &Context,
) -> Result<VerifiedApiKey> {
    context.machine_policy.check_connection(connection)?;
    let (secret, is_printed) = match source {
        ApiKeySource::Text(key) => (key, false),
        ApiKeySource::Command(command) => (run_program(connection, &command, context)?, true),
    };
    let http = Http::with_certificates(
        connection.api_url(),
        &connection.tls,
        certificates,
        presented,
        &connection.proxy,
        connection.sent_referer(),
        context,
    )
    .map_err(|error| error.about(connection.label.as_str()))?;
    Ok(VerifiedApiKey {
        user: user_of(&http, connection, &secret)?,
        secret,
        is_printed,
        binding: Binding::of(connection, certificates),
    })
}

/// Refuses a key of another user than the one that the connection belongs to.
pub fn check_api_key_user(connection: &Connection, stored: &str, given: &str) -> Result<()> {
    if policy::is_same_user(stored, given) {
        return Ok(());
    }
    Err(connection.api_key_error(ApiKeyProblem::OtherUser {
        stored: stored.to_owned(),
        given: given.to_owned(),
    }))
}

/// The user whose key it is, by the portal.
fn user_of(http: &Http, connection: &Connection, key: &Secret) -> Result<String> {
    match portal::identity(http, key) {
        Ok(identity) => Ok(identity.belongs_to().to_owned()),
        Err(IdentityError::TokenRejected) => Err(connection.api_key_error(ApiKeyProblem::Refused)),
        Err(IdentityError::Failed(error)) => Err(error.about(connection.label.as_str())),
    }
}

impl Session {
    /// The API key as an access token. With `force`, the portal is asked whether it still accepts
    /// it.
    pub(super) fn api_key_token(&self, request: &TokenRequest) -> Result<UsableToken> {
        let token = self.api_key_to_hand_out(request);
        match &token {
            Ok(_) => self.note_api_key_use(),
            Err(error) if concerns_the_connection(error) => {
                self.record_failure_without_lock(error);
            }
            Err(_) => {}
        }
        token
    }

    fn api_key_to_hand_out(&self, request: &TokenRequest) -> Result<UsableToken> {
        let reread;
        let (connection, (record, expires_at)) = match self.usable_api_key(&self.opened, request) {
            // Another process may be giving another key. With the lock, the result is known.
            Err(error) if is_settled_by_an_edit(&error) => {
                reread = self.read_again_under_lock(error)?;
                (&reread, self.usable_api_key(&reread, request)?)
            }
            other => (&self.opened, other?),
        };
        let (secret, decision) = match (&connection.secret_command, record.api_key) {
            (Some(command), _) => {
                let key = self.printed_api_key(connection, command, &record.user)?;
                (key, Decision::Renewed)
            }
            (None, Some(key)) => {
                if request.force {
                    self.ask_whose_api_key(connection, &key, &record.user)?;
                }
                (key, Decision::Cached)
            }
            (None, None) => return Err(self.no_api_key(connection)),
        };
        self.emit_decision(decision);
        Ok(UsableToken {
            access: AccessToken {
                secret,
                issued_at: record.stored_at,
                expires_at,
            },
            username: Some(record.user),
            sign_in_expires_at: None,
            decision,
        })
    }

    /// The record of a key that may be handed out, and when the key ends.
    fn usable_api_key(
        &self,
        connection: &Snapshot,
        request: &TokenRequest,
    ) -> Result<(ApiKeyRecord, Timestamp)> {
        let expires_at = self.check_api_key_end(connection, request)?;
        let record = self.stored_api_key(connection)?;
        if record.api_key.is_none() && connection.secret_command.is_none() {
            return Err(self.no_api_key(connection));
        }
        Ok((record, expires_at))
    }

    /// The connection as it is under the lock. What is handed out together with the key must not
    /// have changed; what gives the key may have. `error` is returned where the lock cannot be had.
    fn read_again_under_lock(&self, error: Error) -> Result<Snapshot> {
        // Read the certificates of the first state before the wait.
        let before = self.opened.binding();
        let connection = match self.lock() {
            Ok(locked) => locked.connection,
            Err(changed @ Error::Keychain { .. }) => return Err(changed),
            Err(_) => return Err(error),
        };
        let mut changed = differences(Some(before), connection.binding());
        changed.retain(|setting| *setting != BoundSetting::ApiKeyCommand);
        if changed.is_empty() {
            return Ok(connection);
        }
        Err(self.changed_meanwhile(&changed))
    }

    /// The end of the key. One that has passed, or comes sooner than the caller needs the key, is
    /// an error: nothing renews it.
    fn check_api_key_end(
        &self,
        connection: &Snapshot,
        request: &TokenRequest,
    ) -> Result<Timestamp> {
        connection.check_kind()?;
        let now = self.context.now();
        let seconds_wanted = policy::api_key_seconds(request.min_ttl);
        match connection.grant.api_key_expires_at() {
            None => Err(self.api_key(ApiKeyProblem::UnknownEnd)),
            Some(end) if end <= now => Err(self.api_key(ApiKeyProblem::Expired(end))),
            Some(end) if end.duration_since(now).as_secs() < seconds_wanted => {
                Err(self.api_key(ApiKeyProblem::TooShort {
                    expires_at: end,
                    seconds_wanted,
                }))
            }
            Some(end) => Ok(end),
        }
    }

    /// What the command prints, once per session: a process that needs a key asks for one.
    fn printed_api_key(
        &self,
        connection: &Snapshot,
        command: &SecretCommand,
        belongs_to: &str,
    ) -> Result<Secret> {
        let mut printed = self
            .printed_api_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*printed {
            return Ok(key.duplicate());
        }
        let key = self.run_secret_command(connection, command)?;
        self.ask_whose_api_key(connection, &key, belongs_to)?;
        *printed = Some(key.duplicate());
        Ok(key)
    }

    /// Asks the portal whether it accepts the key, and whether it is still that of this user.
    fn ask_whose_api_key(
        &self,
        connection: &Snapshot,
        key: &Secret,
        belongs_to: &str,
    ) -> Result<()> {
        let user = user_of(connection.http(&self.context)?, connection, key);
        if let Err(Error::ApiKey { .. }) = &user {
            self.note_refused_api_key(key);
        }
        check_api_key_user(connection, belongs_to, &user?)?;
        self.note_accepted_api_key();
        Ok(())
    }

    /// The record of the key. A missing one is an error.
    pub(super) fn stored_api_key(&self, connection: &Snapshot) -> Result<ApiKeyRecord> {
        self.read_api_key(connection)?
            .ok_or_else(|| self.no_api_key(connection))
    }

    /// The user whose API key is stored, as the portal said. `None` where there is none.
    #[cfg(feature = "cli")]
    pub(crate) fn api_key_user(&self) -> Result<Option<String>> {
        let record = self.read_api_key(&self.opened)?;
        Ok(record.map(|record| record.user))
    }

    /// The error where no key is stored. Settings that only the files name are reported before it:
    /// the next key would be used with them.
    fn no_api_key(&self, connection: &Snapshot) -> Error {
        match self.check_settings(connection) {
            Err(error) => error,
            Ok(()) => self.api_key(ApiKeyProblem::Missing),
        }
    }

    /// The error where the portal does not accept this key. Another attempt would send the same
    /// one.
    pub(super) fn refused_api_key(&self, key: &Secret) -> Error {
        self.note_refused_api_key(key);
        self.api_key(ApiKeyProblem::Refused)
    }

    /// Records for `status` that the portal does not accept this key, unless another one was stored
    /// meanwhile.
    fn note_refused_api_key(&self, key: &Secret) {
        let Some((lock, connection)) = self.lock_for_a_note(FAILURE_NOTE_LOCK_TIMEOUT) else {
            return;
        };
        let connection = Snapshot::new(connection, self.keychain.clone());
        let is_stored = match self.read_api_key(&connection) {
            Ok(Some(ApiKeyRecord { api_key, .. })) => match api_key {
                Some(stored) => stored.matches(key.expose()),
                None => connection.secret_command.is_some(),
            },
            Ok(None) | Err(_) => false,
        };
        if is_stored {
            self.record_failure(&lock, &self.api_key(ApiKeyProblem::Refused));
        }
    }

    /// The portal has accepted the key: what was recorded about an earlier failure has passed.
    pub(super) fn note_accepted_api_key(&self) {
        let seen = &self.opened.status;
        let is_noted = seen.api_key_refused_at.is_some() || seen.last_failure.is_some();
        if !self.has_api_key()
            || !is_noted
            || self.accepted_api_key_noted.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let Some((lock, _)) = self.lock_for_a_note(FAILURE_NOTE_LOCK_TIMEOUT) else {
            return;
        };
        self.update_status_best_effort(&lock, |status| {
            // Another process may have recorded something else meanwhile.
            if status.api_key_refused_at == seen.api_key_refused_at {
                status.api_key_refused_at = None;
            }
            if status.last_failure == seen.last_failure {
                status.last_failure = None;
            }
        });
    }

    /// Records that the key was handed out. Not each time: a key is read far more often than a
    /// token is renewed.
    fn note_api_key_use(&self) {
        let now = self.context.now();
        if policy::is_api_key_use_noted(self.opened.last_used_at, now) {
            return;
        }
        // The next use notes it where another process holds the lock now.
        if let Some((lock, _)) = self.lock_for_a_note(Duration::ZERO) {
            self.update_best_effort(&lock, |connection| connection.last_used_at = Some(now));
        }
    }

    fn api_key(&self, why: ApiKeyProblem) -> Error {
        self.opened.api_key_error(why)
    }

    /// Whether the connection's tokens are API keys.
    pub(super) fn has_api_key(&self) -> bool {
        self.opened.grant.kind() == GrantKind::ApiKey
    }

    /// Refuses to renew or to extend what is neither renewed nor extended.
    pub(super) fn check_renewable(&self) -> Result<()> {
        if !self.has_api_key() {
            return Ok(());
        }
        Err(Error::invalid(
            "connection",
            format!(
                "`{}` has an API key: there is nothing to sign in to and nothing to renew",
                self.label()
            ),
        ))
    }
}

/// Whether a person has to know of the error also if this caller does not report it.
fn concerns_the_connection(error: &Error) -> bool {
    let Error::ApiKey { why, .. } = error else {
        return false;
    };
    match why {
        ApiKeyProblem::Missing
        | ApiKeyProblem::UnknownEnd
        | ApiKeyProblem::Expired(_)
        | ApiKeyProblem::OtherUser { .. } => true,
        // Who sent the key has recorded the refusal. Too short is about the wish of this caller.
        ApiKeyProblem::Refused | ApiKeyProblem::TooShort { .. } => false,
    }
}

/// Whether an edit that another process is about to finish may have caused the error.
fn is_settled_by_an_edit(error: &Error) -> bool {
    match error {
        Error::ApiKey { why, .. } => match why {
            ApiKeyProblem::Missing
            | ApiKeyProblem::UnknownEnd
            | ApiKeyProblem::Expired(_)
            | ApiKeyProblem::TooShort { .. } => true,
            ApiKeyProblem::Refused | ApiKeyProblem::OtherUser { .. } => false,
        },
        Error::Keychain { error, .. } => matches!(
            error.reason,
            KeychainReason::Mismatch | KeychainReason::Lost
        ),
        _ => false,
    }
}
