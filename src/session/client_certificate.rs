//! The connection's client certificate: from the keychain, or from the file that `meta.json` names.

use std::path::Path;
use std::sync::Arc;

use super::records::{keychain_error, mismatch};
#[cfg(feature = "cli")]
use super::Session;
use super::Snapshot;
use crate::binding::{differences, Binding};
use crate::bound_setting::BoundSetting;
use crate::certificate_record::{CertificateContent, CertificateRecord};
use crate::connection::{CertificateSource, ClientCertificateSetting, Pkcs11Uri, StoreCertificate};
use crate::context::{Attended, Context};
use crate::error::{Error, FileAction, KeychainError, KeychainReason, Result, StoreProblem};
use crate::event::{Event, Notice, Wait};
use crate::files;
use crate::http::{self, ClientCertificate, ClientCertificateError, PinUse, MAX_CERTIFICATES};
use crate::item_kind::ItemKind;
use crate::keychain::Item;
use crate::secret::Secret;

const KIND: ItemKind = ItemKind::ClientCertificate;

impl Snapshot {
    /// The client certificate, read once. `None` for a connection without one. A record that was
    /// stored for other settings is an error.
    pub(crate) fn client_certificate(
        &self,
        context: &Context,
    ) -> Result<Option<Arc<ClientCertificate>>> {
        let Some(setting) = &self.client_certificate else {
            return Ok(None);
        };
        if let Some(read) = self.read_certificate.get() {
            return Ok(Some(Arc::clone(read)));
        }
        let record = self.client_certificate_record()?;
        let mut first_error = None;
        for stored in contents_for(&record, &setting.source) {
            match self.read_content(setting, stored, context) {
                Some(Ok(certificate)) => {
                    let read = self.read_certificate.get_or_init(|| Arc::new(certificate));
                    return Ok(Some(Arc::clone(read)));
                }
                Some(Err(error)) => first_error = first_error.or(Some(error)),
                None => {}
            }
        }
        Err(first_error.unwrap_or_else(|| self.lost()))
    }

    /// The client certificate, if this content fits the source that `meta.json` names.
    fn read_content(
        &self,
        setting: &ClientCertificateSetting,
        stored: &CertificateContent,
        context: &Context,
    ) -> Option<Result<ClientCertificate>> {
        match (&setting.source, stored) {
            (CertificateSource::Keychain, CertificateContent::Pem(pem)) => {
                let read = ClientCertificate::read(pem.expose().as_bytes(), None);
                Some(read.map_err(|_| self.lost()))
            }
            (CertificateSource::File(path), CertificateContent::Password(password)) => {
                Some(read_file(path, password.as_ref(), self.label.as_str()))
            }
            (CertificateSource::Token(uri), CertificateContent::Password(pin)) => {
                let read = read_token(uri, pin.as_ref(), context);
                if let (Some(ClientCertificateError::WrongPassword), Some(pin)) =
                    (read.as_ref().err(), pin)
                {
                    self.forget_pin(pin, context);
                }
                Some(read.map_err(|error| self.token_error(error)))
            }
            (CertificateSource::Store(certificate), CertificateContent::Password(None)) => {
                Some(self.read_store(setting, certificate, context))
            }
            (CertificateSource::Keychain, CertificateContent::Password(_))
            | (
                CertificateSource::File(_)
                | CertificateSource::Token(_)
                | CertificateSource::Store(_),
                CertificateContent::Pem(_),
            )
            | (CertificateSource::Store(_), CertificateContent::Password(Some(_))) => None,
        }
    }

    /// Deletes a PIN that was wrong. Not every token says how many attempts are left, and the next
    /// one could lock it.
    fn forget_pin(&self, wrong: &Secret, context: &Context) {
        // Read again: a person may have stored another one in the meantime.
        let Ok(mut record) = self.client_certificate_record() else {
            return;
        };
        if !record.forget(wrong) {
            return;
        }
        let item = Item::of(self, KIND);
        if let Err(error) = self.secrets.set(&item, &record.to_record()) {
            context.emit(&Event::Notice(Notice::Other {
                message: format!("the wrong PIN could not be deleted from the keychain: {error}"),
            }));
        }
    }

    /// The item: one content, and where a change was interrupted also what it replaces.
    fn client_certificate_record(&self) -> Result<CertificateRecord> {
        let label = self.label.as_str();
        let record = self
            .secrets
            .get(&Item::of(self, KIND))
            .map_err(|error| keychain_error(label, error, KIND))?;
        let stored = record
            .as_ref()
            .and_then(CertificateRecord::from_record)
            .ok_or_else(|| self.lost())?;
        let named = self.binding();
        let settings = differences(Some(&stored.binding), named);
        if settings.is_empty() {
            return Ok(stored);
        }
        let keychain = self.secrets.name();
        let error = mismatch(keychain, Some(&stored.binding), named, settings);
        Err(keychain_error(label, error, KIND))
    }

    fn read_store(
        &self,
        setting: &ClientCertificateSetting,
        certificate: &StoreCertificate,
        context: &Context,
    ) -> Result<ClientCertificate> {
        let read = ClientCertificate::in_store(certificate, context);
        match read {
            Ok(Some(certificate)) => Ok(certificate),
            Ok(None) => Err(self.gone(setting, context)),
            Err(why) => Err(self.store_error(why)),
        }
    }

    /// The error for a certificate that is no longer in the Windows certificate store. One that
    /// took its place is named, and not used: a person chose this one.
    fn gone(&self, setting: &ClientCertificateSetting, context: &Context) -> Error {
        self.store_error(StoreProblem::Gone {
            subject: setting.subject.clone(),
            renewed: http::renewed_in_store(setting, context.now()),
        })
    }

    fn store_error(&self, why: StoreProblem) -> Error {
        Error::ClientCertificate {
            connection: Some(self.label.to_string()),
            why,
        }
    }

    /// The token is a keychain of its own kind: it has to be there, and its PIN to be right.
    fn token_error(&self, error: ClientCertificateError) -> Error {
        let label = self.label.as_str();
        let (reason, why) = match error {
            ClientCertificateError::PasswordNeeded => (
                KeychainReason::Pin,
                "its PIN is not stored; one that was wrong is deleted".to_owned(),
            ),
            ClientCertificateError::WrongPassword => (
                KeychainReason::Pin,
                "the stored PIN is wrong; it was deleted, and is not tried again".to_owned(),
            ),
            ClientCertificateError::Unusable(why) => (KeychainReason::Token, why),
        };
        let error = KeychainError::new("the PKCS#11 token", reason, &why);
        keychain_error(label, error, KIND)
    }

    fn lost(&self) -> Error {
        let error = KeychainError::new(
            self.secrets.name(),
            KeychainReason::Lost,
            "the client certificate is gone or damaged",
        );
        keychain_error(self.label.as_str(), error, KIND)
    }
}

#[cfg(feature = "cli")]
impl Session {
    /// The client certificate of the connection as it was when the session began.
    pub(crate) fn client_certificate(&self) -> Result<Option<Arc<ClientCertificate>>> {
        self.opened.client_certificate(&self.context)
    }

    /// What the connection's client certificate itself says, wherever it is. Its private key is not
    /// used, for which a card may have to be there. For one on a PKCS#11 token, what `meta.json`
    /// says: reading it can take a PIN. A source that a person did not choose is an error.
    pub(crate) fn client_certificate_facts(&self) -> Result<Option<ClientCertificateSetting>> {
        let Some(setting) = &self.opened.client_certificate else {
            return Ok(None);
        };
        match &setting.source {
            CertificateSource::Keychain | CertificateSource::File(_) => {
                let read = self.client_certificate()?;
                Ok(read.map(|certificate| certificate.setting(setting.source.clone())))
            }
            CertificateSource::Store(certificate) => {
                self.opened.client_certificate_record()?;
                match http::find_in_store(certificate) {
                    Ok(Some(found)) => Ok(Some(ClientCertificateSetting {
                        source: setting.source.clone(),
                        subject: found.facts.subject,
                        issuer: found.facts.issuer,
                        not_after: found.not_after,
                        sha256: found.facts.sha256,
                    })),
                    Ok(None) => Err(self.opened.gone(setting, &self.context)),
                    Err(why) => Err(self.opened.store_error(why)),
                }
            }
            CertificateSource::Token(_) => {
                self.opened.client_certificate_record()?;
                Ok(Some(setting.clone()))
            }
        }
    }
}

/// What the record holds for this source. Where a change was interrupted, the record is bound
/// to the former settings, its content is for the new ones, and what that replaces for the
/// former: a password of one token must not be tried on another.
fn contents_for<'a>(
    record: &'a CertificateRecord,
    source: &CertificateSource,
) -> Vec<&'a CertificateContent> {
    let source = source.to_string();
    let is_for = |binding: &Binding| {
        binding.value(BoundSetting::ClientCertificate).as_deref() == Some(&source)
    };
    let pending = &record.binding.pending;
    let is_new = pending.is_empty() || pending.iter().any(is_for);
    let is_former = is_for(&record.binding);
    let new = is_new.then_some(&record.content);
    let former = record.former.iter().filter(|_| is_former);
    new.into_iter().chain(former).collect()
}

/// Reads the client certificate on a token, with the stored PIN or the one that a person enters at
/// the reader.
fn read_token(
    uri: &Pkcs11Uri,
    pin: Option<&Secret>,
    context: &Context,
) -> std::result::Result<ClientCertificate, ClientCertificateError> {
    let pin_use = match context.attended {
        Attended::Yes => PinUse::Attended,
        Attended::No => PinUse::Unattended,
    };
    let asks = pin_use == PinUse::Attended && pin.is_none();
    if asks {
        context.emit(&Event::Waiting(Wait::Token));
    }
    let read = ClientCertificate::on_token(uri, pin, pin_use, context);
    if asks {
        context.emit(&Event::WaitOver);
    }
    read
}

/// Reads the client certificate in a file that a connection refers to.
fn read_file(path: &Path, password: Option<&Secret>, label: &str) -> Result<ClientCertificate> {
    let bytes = files::read_user_file(path, MAX_CERTIFICATES)
        .map_err(Error::file(FileAction::Read, path))?;
    ClientCertificate::read(&bytes, password).map_err(|error| Error::Corrupt {
        path: path.to_owned(),
        why: match error {
            ClientCertificateError::PasswordNeeded | ClientCertificateError::WrongPassword => {
                "the stored password does not open it; to store another one, give the file again (--client-cert file:PATH)".to_owned()
            }
            ClientCertificateError::Unusable(why) => format!("as the client certificate of `{label}`: {why}"),
        },
    })
}
