//! API keys: access tokens that a user of the portal made there, which live for months. A key is
//! handed out as it is; nothing renews it. It belongs to the user whose key the connection began
//! with, whom the portal names when the key is given, and before one of a command is used.

use std::sync::PoisonError;

use jiff::Timestamp;

use super::{Locked, Session, Snapshot, TokenRequest, UsableToken};
use crate::connection::{Grant, GrantKind, SecretCommand};
use crate::error::{ApiKeyProblem, Error, Result};
use crate::event::Decision;
use crate::keychain::{Item, ItemKind};
use crate::policy;
use crate::portal::{self, IdentityError};
use crate::secret::Secret;
use crate::token::{AccessToken, ApiKeyRecord};

/// An API key that the portal has accepted, with whose it is.
#[derive(Debug)]
pub struct VerifiedApiKey {
    secret: Secret,
    user: String,
}

impl VerifiedApiKey {
    /// The user whose key it is, as the portal says.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl Session {
    /// Asks the portal whose key this is. Stores nothing. A key of another user than the one that
    /// the connection belongs to is [`ApiKeyProblem::OtherUser`].
    pub fn verify_api_key(&self, key: Secret) -> Result<VerifiedApiKey> {
        self.check_machine_policy()?;
        self.check_settings(&self.opened)?;
        let user = self.user_of_api_key(&self.opened, &key)?;
        if let Some(record) = self.read_api_key(&self.opened)? {
            self.check_api_key_user(&record.user, &user)?;
        }
        Ok(VerifiedApiKey { secret: key, user })
    }

    /// Runs a command that a person chose for the API key, and asks the portal whose key it
    /// printed. Stores nothing.
    pub fn verify_api_key_of(&self, command: &SecretCommand) -> Result<VerifiedApiKey> {
        self.check_machine_policy()?;
        let printed = self.run_program(&self.opened, command)?;
        self.verify_api_key(printed)
    }

    /// Stores a key that was verified, and when it expires. Where a command prints the key, only
    /// whose it is.
    pub fn set_api_key(&self, key: VerifiedApiKey, expires_at: Timestamp) -> Result<()> {
        // The portal that said whose the key is must be the one that it is bound to.
        let Locked {
            lock, connection, ..
        } = self.lock_unchanged()?;
        self.check_settings(&connection)?;
        // Another process may have given a key of another user meanwhile.
        if let Some(record) = self.read_api_key(&connection)? {
            self.check_api_key_user(&record.user, &key.user)?;
        }
        let is_printed = connection.secret_command.is_some();
        let record = ApiKeyRecord {
            binding: connection.binding().clone(),
            api_key: (!is_printed).then_some(key.secret),
            user: key.user.clone(),
            stored_at: self.context.now(),
        };
        self.keychain
            .set(
                &Item::of(&connection, ItemKind::ApiKey),
                &record.to_record(),
            )
            .map_err(|error| self.keychain_error(error, ItemKind::ApiKey))?;
        self.keep_binding(&connection);
        self.store
            .update(&lock, |connection| {
                connection.grant = Grant::ApiKey {
                    expires_at: Some(expires_at),
                };
                connection.status.username = Some(key.user);
                connection.status.last_failure = None;
            })
            .map(drop)
    }

    /// The API key as an access token. With `force`, the portal is asked whether it still accepts
    /// it.
    pub(super) fn api_key_token(&self, request: &TokenRequest) -> Result<UsableToken> {
        self.api_key_to_hand_out(request).inspect_err(|error| {
            if matches!(error, Error::ApiKey { .. }) {
                self.record_failure_without_lock(error);
            }
        })
    }

    fn api_key_to_hand_out(&self, request: &TokenRequest) -> Result<UsableToken> {
        let connection = &self.opened;
        let expires_at = self.check_api_key_end(connection, request)?;
        let record = self.stored_api_key(connection)?;
        let (secret, decision) = if let Some(command) = &connection.secret_command {
            let key = self.printed_api_key(connection, command, &record.user)?;
            (key, Decision::Renewed)
        } else {
            let key = record.api_key.ok_or_else(|| self.no_api_key(connection))?;
            if request.force {
                let user = self.user_of_api_key(connection, &key)?;
                self.check_api_key_user(&record.user, &user)?;
            }
            (key, Decision::Cached)
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
            None => Err(self.no_api_key(connection)),
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
        let user = self.user_of_api_key(connection, &key)?;
        self.check_api_key_user(belongs_to, &user)?;
        *printed = Some(key.duplicate());
        Ok(key)
    }

    /// The user whose key it is, by the portal.
    fn user_of_api_key(&self, connection: &Snapshot, key: &Secret) -> Result<String> {
        let http = connection.http(&self.context)?;
        match portal::identity(http, key) {
            Ok(identity) => Ok(identity.belongs_to().to_owned()),
            Err(IdentityError::TokenRejected) => Err(self.refused_api_key()),
            Err(IdentityError::Failed(error)) => Err(error.about(connection.label.as_str())),
        }
    }

    fn check_api_key_user(&self, stored: &str, given: &str) -> Result<()> {
        if policy::is_same_user(stored, given) {
            return Ok(());
        }
        Err(self.api_key(ApiKeyProblem::OtherUser {
            stored: stored.to_owned(),
            given: given.to_owned(),
        }))
    }

    /// The record of the key. A missing one is an error.
    pub(super) fn stored_api_key(&self, connection: &Snapshot) -> Result<ApiKeyRecord> {
        self.read_api_key(connection)?
            .ok_or_else(|| self.no_api_key(connection))
    }

    /// The error where no key is stored. Settings that only the files name are reported before it:
    /// the next key would be used with them.
    fn no_api_key(&self, connection: &Snapshot) -> Error {
        match self.check_settings(connection) {
            Err(error) => error,
            Ok(()) => self.api_key(ApiKeyProblem::Missing),
        }
    }

    /// The error where the portal does not accept the key. Another attempt would send the same one.
    pub(super) fn refused_api_key(&self) -> Error {
        self.api_key(ApiKeyProblem::Refused)
    }

    fn api_key(&self, why: ApiKeyProblem) -> Error {
        Error::ApiKey {
            connection: self.label(),
            why,
        }
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
