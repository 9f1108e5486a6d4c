//! Reading and writing the connection's keychain records, and the errors of that.

use super::status::other_machine;
use super::Session;
use crate::connection::{Connection, Grant};
use crate::error::{Error, KeychainError, KeychainReason, Result};
use crate::event::Notice;
use crate::keychain::{Item, ItemKind};
use crate::secret::Secret;
use crate::token::{Binding, ClientSecret, Tokens};

impl Session {
    /// The stored tokens. `None` before the first sign-in. A record that was stored for another
    /// portal or client ID is an error, and so is a missing one where `meta.json` says that there
    /// is a sign-in.
    pub(crate) fn read_tokens(&self, connection: &Connection) -> Result<Option<Tokens>> {
        let Some(record) = self.read(connection, ItemKind::Tokens)? else {
            let signed_in = connection.status.signed_in_at.is_some();
            return match (signed_in, &connection.grant) {
                // The folder was copied or is shared; the sign-in is in the other machine's
                // keychain.
                (true, Grant::User { .. }) if other_machine(connection).is_some() => {
                    Err(self.never_signed_in(connection))
                }
                (true, Grant::User { .. }) => Err(self.lost(ItemKind::Tokens)),
                // An application renews by its client secret, and needs no tokens for that.
                _ => Ok(None),
            };
        };
        let tokens = Tokens::from_record(&record).ok_or_else(|| self.lost(ItemKind::Tokens))?;
        self.check_binding(connection, &tokens.binding, ItemKind::Tokens)?;
        Ok(Some(tokens))
    }

    /// The stored client secret. `None` where there is none. A record that was stored for another
    /// portal or client ID is an error.
    pub(crate) fn read_client_secret(&self, connection: &Connection) -> Result<Option<Secret>> {
        let Some(record) = self.read(connection, ItemKind::ClientSecret)? else {
            return Ok(None);
        };
        let stored =
            ClientSecret::from_record(&record).ok_or_else(|| self.lost(ItemKind::ClientSecret))?;
        self.check_binding(connection, &stored.binding, ItemKind::ClientSecret)?;
        Ok(Some(stored.secret))
    }

    fn read(&self, connection: &Connection, kind: ItemKind) -> Result<Option<Secret>> {
        self.keychain
            .get(&Item::of(connection, kind))
            .map_err(|error| self.keychain_error(error, kind))
    }

    pub(super) fn write_tokens(&self, connection: &Connection, tokens: &Tokens) -> Result<()> {
        self.keychain
            .set(&Item::of(connection, ItemKind::Tokens), &tokens.to_record())
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))
    }

    /// Writes tokens whose loss costs only another renewal. A failure is reported, and the caller
    /// still gets the token.
    pub(super) fn store_best_effort(&self, connection: &Connection, tokens: &Tokens) {
        if let Err(error) = self.write_tokens(connection, tokens) {
            self.emit_notice(Notice::Other {
                message: format!("the new token could not be stored: {error}"),
            });
        }
    }

    /// Refuses a record that was stored for another portal or client ID than `meta.json` names now.
    fn check_binding(
        &self,
        connection: &Connection,
        stored: &Binding,
        kind: ItemKind,
    ) -> Result<()> {
        let named = Binding::of(connection);
        if *stored == named {
            return Ok(());
        }
        Err(self.keychain_failure(
            KeychainReason::Mismatch,
            format!(
                "it was stored for {} (client ID {}), but meta.json names {} (client ID {})",
                stored.portal_url, stored.client_id, named.portal_url, named.client_id
            ),
            kind,
        ))
    }

    pub(super) fn lost(&self, kind: ItemKind) -> Error {
        self.keychain_failure(
            KeychainReason::Lost,
            match kind {
                ItemKind::ClientSecret => "the client secret is gone or damaged",
                ItemKind::Tokens => "the tokens are gone or damaged",
                ItemKind::Probe => "the item of a check is gone or damaged",
            }
            .to_owned(),
            kind,
        )
    }

    fn keychain_failure(&self, reason: KeychainReason, detail: String, kind: ItemKind) -> Error {
        self.keychain_error(
            KeychainError::new(self.keychain.name(), reason, detail),
            kind,
        )
    }

    pub(crate) fn keychain_error(&self, error: KeychainError, kind: ItemKind) -> Error {
        Error::Keychain {
            connection: Some(self.label()),
            item: Some(kind),
            error,
        }
    }
}

/// Whether the error says that a record is missing or damaged.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Keychain {
            error: KeychainError {
                reason: KeychainReason::Lost,
                ..
            },
            ..
        }
    )
}
