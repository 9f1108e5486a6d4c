//! Reading and writing the connection's keychain records, and the errors of that.

use super::status::other_machine;
use super::{Session, Snapshot};
use crate::binding::{differences, Binding};
use crate::bound_setting::BoundSetting;
use crate::certificate_record::CertificateRecord;
use crate::connection::Grant;
use crate::error::{Error, KeychainError, KeychainReason, Result};
use crate::event::Notice;
use crate::keychain::{Item, ItemKind};
use crate::secret::Secret;
use crate::token::{ApiKeyRecord, ClientSecret, Tokens};

impl Session {
    /// The stored tokens. `None` before the first sign-in. A record that was stored for other
    /// settings is an error, and so is a missing one where `meta.json` says that there
    /// is a sign-in.
    pub(crate) fn read_tokens(&self, connection: &Snapshot) -> Result<Option<Tokens>> {
        let Some(record) = self.read(connection, ItemKind::Tokens)? else {
            let signed_in = connection.status.signed_in_at.is_some();
            return match (signed_in, &connection.grant) {
                // An application renews by its client secret, and needs no tokens for that.
                (false, _) | (true, Grant::Application | Grant::ApiKey { .. }) => Ok(None),
                // The folder was copied or is shared; the sign-in is in the other machine's
                // keychain.
                (true, Grant::User { .. } | Grant::Network)
                    if other_machine(connection).is_some() =>
                {
                    Err(self.never_signed_in(connection))
                }
                (true, Grant::User { .. } | Grant::Network) => Err(self.lost(ItemKind::Tokens)),
            };
        };
        let mut tokens = Tokens::from_record(&record).ok_or_else(|| self.lost(ItemKind::Tokens))?;
        self.check_binding(connection, Some(&tokens.binding), ItemKind::Tokens)?;
        self.limit_sign_in(&mut tokens);
        Ok(Some(tokens))
    }

    /// The stored client secret. `None` where there is none. A record that was stored for other
    /// settings is an error.
    pub(crate) fn read_client_secret(&self, connection: &Snapshot) -> Result<Option<Secret>> {
        let stored = self.read_client_secret_record(connection)?;
        Ok(stored.map(|stored| stored.secret))
    }

    /// The same under the renewal lock. A record of an earlier version is bound now.
    pub(super) fn take_client_secret(&self, connection: &Snapshot) -> Result<Option<Secret>> {
        let Some(stored) = self.read_client_secret_record(connection)? else {
            return Ok(None);
        };
        if stored.binding.is_old() {
            self.bind_old_records(connection)?;
        }
        Ok(Some(stored.secret))
    }

    fn read_client_secret_record(&self, connection: &Snapshot) -> Result<Option<ClientSecret>> {
        let Some(record) = self.read(connection, ItemKind::ClientSecret)? else {
            return Ok(None);
        };
        let stored = ClientSecret::from_record(&record)
            .ok_or_else(|| self.lost_client_secret(connection))?;
        self.check_binding(connection, Some(&stored.binding), ItemKind::ClientSecret)?;
        Ok(Some(stored))
    }

    /// The stored API key, or whose the key of a command is. `None` where there is none. A record
    /// that was stored for other settings is an error.
    pub(crate) fn read_api_key(&self, connection: &Snapshot) -> Result<Option<ApiKeyRecord>> {
        let Some(record) = self.read(connection, ItemKind::ApiKey)? else {
            return Ok(None);
        };
        let stored =
            ApiKeyRecord::from_record(&record).ok_or_else(|| self.lost_api_key(connection))?;
        self.check_binding(connection, Some(&stored.binding), ItemKind::ApiKey)?;
        Ok(Some(stored))
    }

    fn read(&self, connection: &Snapshot, kind: ItemKind) -> Result<Option<Secret>> {
        self.keychain
            .get(&Item::of(connection, kind))
            .map_err(|error| self.keychain_error(error, kind))
    }

    pub(super) fn write_tokens(&self, connection: &Snapshot, tokens: &Tokens) -> Result<()> {
        self.keychain
            .set(
                &Item::of(connection, ItemKind::Tokens),
                &tokens.to_record_for(connection.binding()),
            )
            .map_err(|error| self.keychain_error(error, ItemKind::Tokens))
    }

    /// Writes tokens whose loss costs only another renewal. A failure is reported, and the caller
    /// still gets the token.
    pub(super) fn store_best_effort(&self, connection: &Snapshot, tokens: &Tokens) {
        if let Err(error) = self.write_tokens(connection, tokens) {
            self.emit_notice(Notice::Other {
                message: format!("the new token could not be stored: {error}"),
            });
        }
    }

    /// Refuses a record that was stored for other settings than `meta.json` names now.
    fn check_binding(
        &self,
        connection: &Snapshot,
        stored: Option<&Binding>,
        kind: ItemKind,
    ) -> Result<()> {
        let named = connection.binding();
        let settings = differences(stored, named);
        if settings.is_empty() {
            return Ok(());
        }
        Err(self.mismatch(stored, named, settings, kind))
    }

    pub(crate) fn mismatch(
        &self,
        stored: Option<&Binding>,
        named: &Binding,
        settings: Vec<BoundSetting>,
        kind: ItemKind,
    ) -> Error {
        let error = mismatch(self.keychain.name(), stored, named, settings);
        self.keychain_error(error, kind)
    }

    /// The error where the connection was changed while the command waited.
    pub(super) fn changed_meanwhile(&self, settings: &[BoundSetting]) -> Error {
        self.changed(&words(settings))
    }

    /// The same with what was changed, in words.
    pub(super) fn changed(&self, what: &str) -> Error {
        let detail =
            format!("the connection was changed while this command ran ({what}); nothing was sent");
        self.keychain_failure(KeychainReason::Changed, detail, ItemKind::Tokens)
    }

    /// The error where an API key was verified, and then the connection was changed.
    pub(crate) fn key_for_other_settings(&self, settings: &[BoundSetting]) -> Error {
        let what = words(settings);
        let detail = format!(
            "the connection was changed while this command ran ({what}); the API key was not stored"
        );
        self.keychain_failure(KeychainReason::Changed, detail, ItemKind::ApiKey)
    }

    /// What the keychain says that the connection's secrets are bound to, from its own record or
    /// from that of a secret. `None` where there is no usable record.
    pub(crate) fn stored_binding(&self, connection: &Snapshot) -> Result<Option<Binding>> {
        let kinds = [
            ItemKind::Binding,
            ItemKind::Tokens,
            ItemKind::ClientSecret,
            ItemKind::ClientCertificate,
            ItemKind::ApiKey,
        ];
        for kind in kinds {
            let record = match self.read(connection, kind) {
                Err(error) if is_lost(&error) => None,
                other => other?,
            };
            if let Some(binding) = record.and_then(|record| binding_in(&record, kind)) {
                return Ok(Some(binding));
            }
        }
        Ok(None)
    }

    /// Refuses settings of `meta.json` that a person did not choose, before a secret exists that
    /// could be checked.
    pub(crate) fn check_settings(&self, connection: &Snapshot) -> Result<()> {
        let stored = self.stored_binding(connection)?;
        self.check_binding(connection, stored.as_ref(), ItemKind::Binding)
    }

    /// Whether a person chose the command for the client secret or the API key that `meta.json`
    /// names. `None` where the keychain's record cannot be read.
    #[cfg(feature = "cli")]
    pub(crate) fn has_chosen_secret_command(&self) -> Option<bool> {
        let stored = self.stored_binding(&self.opened).ok()?;
        let differing = differences(stored.as_ref(), self.opened.binding());
        let commands = [BoundSetting::SecretCommand, BoundSetting::ApiKeyCommand];
        Some(!commands.iter().any(|one| differing.contains(one)))
    }

    pub(super) fn write_binding(&self, connection: &Snapshot) -> Result<()> {
        let item = Item::of(connection, ItemKind::Binding);
        self.keychain
            .set(&item, &connection.binding().to_record())
            .map_err(|error| self.keychain_error(error, ItemKind::Binding))
    }

    /// Stores what the connection's secrets are bound to, where that is not stored yet. Without it,
    /// the next sign-in after a sign-out needs `connections edit`.
    pub(super) fn keep_binding(&self, connection: &Snapshot) {
        let item = Item::of(connection, ItemKind::Binding);
        let kept = self.keychain.get(&item).ok().flatten();
        if kept.is_some_and(|record| Binding::from_record(&record).is_some()) {
            return;
        }
        if let Err(error) = self.write_binding(connection) {
            self.emit_notice(Notice::Other {
                message: format!("the settings of the connection could not be stored: {error}"),
            });
        }
    }

    /// Binds the records of an earlier version at their first use. The caller holds the renewal
    /// lock. Records that do not accept the connection's settings stay as they are, and are refused
    /// where they are used.
    pub(super) fn bind_old_records(&self, connection: &Snapshot) -> Result<()> {
        let mut bound = false;
        for kind in [ItemKind::ClientSecret, ItemKind::Tokens] {
            let record = match self.read(connection, kind) {
                Err(error) if is_lost(&error) => continue,
                other => other?,
            };
            let Some(record) = record else { continue };
            let old = binding_in(&record, kind)
                .is_some_and(|old| old.is_old() && old.accepts(connection.binding()));
            if let Some(again) = rebind(&record, kind, connection.binding()).filter(|_| old) {
                self.keychain
                    .set(&Item::of(connection, kind), &again)
                    .map_err(|error| self.keychain_error(error, kind))?;
                bound = true;
            }
        }
        if bound {
            self.keep_binding(connection);
            self.emit_notice(Notice::Other {
                message: format!(
                    "the secrets of `{}` were stored by an earlier version; from now on they are used only with its present settings",
                    self.label()
                ),
            });
        }
        Ok(())
    }

    pub(super) fn lost(&self, kind: ItemKind) -> Error {
        self.keychain_failure(
            KeychainReason::Lost,
            match kind {
                ItemKind::ClientSecret => "the client secret is gone or damaged",
                ItemKind::ClientCertificate => "the client certificate is gone or damaged",
                ItemKind::ApiKey => "the API key is gone or damaged",
                ItemKind::Tokens => "the tokens are gone or damaged",
                ItemKind::Binding => "the settings that the secrets are bound to are damaged",
                ItemKind::Probe => "the item of a check is gone or damaged",
            }
            .to_owned(),
            kind,
        )
    }

    /// The client secret is missing or damaged. Settings that only the files name have to be chosen
    /// in the same command that stores it again.
    pub(super) fn lost_client_secret(&self, connection: &Snapshot) -> Error {
        let mut error = self.lost(ItemKind::ClientSecret);
        if let Error::Keychain { error, .. } = &mut error {
            error.settings = self.unconfirmed(connection).unwrap_or_default();
        }
        error
    }

    /// The record of the API key is damaged. Where a command prints the key, the command has to be
    /// chosen again.
    fn lost_api_key(&self, connection: &Snapshot) -> Error {
        let mut error = self.lost(ItemKind::ApiKey);
        if let (Error::Keychain { error, .. }, Some(_)) = (&mut error, &connection.secret_command) {
            error.settings = vec![BoundSetting::ApiKeyCommand];
        }
        error
    }

    /// The settings that only the connection's files name; none where the keychain has any record
    /// of them.
    pub(super) fn unconfirmed(&self, connection: &Snapshot) -> Result<Vec<BoundSetting>> {
        if self.stored_binding(connection)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(differences(None, connection.binding()))
    }

    fn keychain_failure(&self, reason: KeychainReason, detail: String, kind: ItemKind) -> Error {
        self.keychain_error(
            KeychainError::new(self.keychain.name(), reason, detail),
            kind,
        )
    }

    pub(crate) fn keychain_error(&self, error: KeychainError, kind: ItemKind) -> Error {
        keychain_error(&self.label(), error, kind)
    }
}

/// The error of a record that was stored for other settings.
pub(super) fn mismatch(
    keychain: &'static str,
    stored: Option<&Binding>,
    named: &Binding,
    settings: Vec<BoundSetting>,
) -> KeychainError {
    let detail = describe(stored, named, &settings);
    KeychainError::new(keychain, KeychainReason::Mismatch, detail).concerning(settings)
}

pub(super) fn keychain_error(label: &str, error: KeychainError, kind: ItemKind) -> Error {
    Error::Keychain {
        connection: Some(label.to_owned()),
        item: Some(kind),
        error,
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

/// The binding in a record; `None` where the record is damaged.
pub(crate) fn binding_in(record: &Secret, kind: ItemKind) -> Option<Binding> {
    match kind {
        ItemKind::ClientSecret => Some(ClientSecret::from_record(record)?.binding),
        ItemKind::ClientCertificate => Some(CertificateRecord::from_record(record)?.binding),
        ItemKind::ApiKey => Some(ApiKeyRecord::from_record(record)?.binding),
        ItemKind::Tokens => Some(Tokens::from_record(record)?.binding),
        ItemKind::Binding => Binding::from_record(record),
        ItemKind::Probe => None,
    }
}

/// The same record with another binding; `None` where the record is damaged.
pub(crate) fn rebind(record: &Secret, kind: ItemKind, to: &Binding) -> Option<Secret> {
    match kind {
        ItemKind::ClientSecret => Some(ClientSecret::from_record(record)?.to_record_for(to)),
        ItemKind::ClientCertificate => {
            Some(CertificateRecord::from_record(record)?.to_record_for(to))
        }
        ItemKind::ApiKey => Some(ApiKeyRecord::from_record(record)?.to_record_for(to)),
        ItemKind::Tokens => Some(Tokens::from_record(record)?.to_record_for(to)),
        ItemKind::Binding => Some(to.to_record()),
        ItemKind::Probe => None,
    }
}

/// The settings, as a message names them.
pub(crate) fn words(settings: &[BoundSetting]) -> String {
    let words: Vec<_> = settings.iter().map(|setting| setting.as_str()).collect();
    words.join(", ")
}

/// Which settings differ, and how.
fn describe(stored: Option<&Binding>, named: &Binding, settings: &[BoundSetting]) -> String {
    let old = |setting: BoundSetting| stored.and_then(|stored| stored.value(setting));
    let of = |value: Option<String>| value.unwrap_or_else(|| "none".into());
    let changed: Vec<_> = settings
        .iter()
        .map(|setting| {
            let (word, now) = (setting.as_str(), of(named.value(*setting)));
            match old(*setting) {
                None => format!("{word} {now}"),
                Some(old) => format!("{word} {now} instead of {old}"),
            }
        })
        .collect();
    let changed = changed.join(", ");
    if stored.is_some_and(|stored| !stored.is_old()) {
        format!(
            "the secrets are for other settings than meta.json names ({changed}); nothing was sent"
        )
    } else {
        format!("no record says that a person chose these settings of meta.json ({changed}); nothing was sent")
    }
}
