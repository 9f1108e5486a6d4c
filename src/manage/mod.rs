//! Changes that concern a connection's files and its secrets together: create, edit (`edit.rs`),
//! rename, remove. Each has its steps in an order in which an interruption loses no secret and
//! leaves nothing incomplete that would be used.

mod client_certificate;
mod edit;
mod web_tier;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::binding::Binding;
use crate::connection::{clean, Connection, Label, RedirectUri};
use crate::context::{Context, Deadline};
use crate::error::{Error, KeychainError, KeychainReason, Result};
use crate::event::{Event, Notice};
use crate::files;
use crate::http;
use crate::keychain::{Item, ItemKind, SecretStore};
use crate::policy::{MAX_API_KEY_BYTES, MAX_CLIENT_SECRET_BYTES};
use crate::secret::Secret;
use crate::session::{binding_in, Locked, Session, VerifiedApiKey};
use crate::store::ConnectionStore;
use crate::token::{is_sendable, ApiKeyRecord, ClientSecret, Tokens};

pub use client_certificate::{
    check_certificate_stays, check_client_certificate, CertificateChange, NewClientCertificate,
};
pub use edit::{edit, verify_api_key_after, Changes, Edited, SecretChange, TlsChange};
pub use web_tier::{check_windows_sign_in, check_windows_sign_in_stays};

/// The longest client ID, in bytes.
const MAX_CLIENT_ID: usize = 256;

/// Checks a client secret as a person or a program provided it, without surrounding blanks and line
/// ends. The checks find what goes wrong with copy and paste; only the portal knows whether the
/// secret is right.
pub fn check_client_secret(text: &str, client_id: &str) -> Result<Secret> {
    let bad = |why: &str| Err(Error::invalid("client secret", why));
    let text = Secret::new(clean("client secret", text)?);
    let text = text.expose();
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.contains(char::is_whitespace) {
        return bad("it contains a blank");
    }
    if text.len() > MAX_CLIENT_SECRET_BYTES {
        return bad("it is longer than the client secrets of portals");
    }
    if text == client_id {
        return bad("that is the client ID");
    }
    if is_repeated(text) {
        return bad("it was pasted twice");
    }
    Ok(Secret::new(text.to_owned()))
}

/// Checks an API key as a person or a program provided it, without surrounding blanks and line
/// ends. Only the portal knows whether it is good.
pub fn check_api_key(text: &str) -> Result<Secret> {
    let bad = |why: &str| Err(Error::invalid("API key", why));
    let text = Secret::new(clean("API key", text)?);
    if text.is_empty() {
        return bad("it is empty");
    }
    if !is_sendable(&text) {
        return bad("only letters, digits and punctuation without blanks are allowed");
    }
    if text.expose().len() > MAX_API_KEY_BYTES {
        return bad("it is longer than the API keys of portals");
    }
    if is_repeated(text.expose()) {
        return bad("it was pasted twice");
    }
    Ok(text)
}

/// Whether the text is one longer text twice.
fn is_repeated(text: &str) -> bool {
    let half = text.len() / 2;
    text.len() > 8
        && text.len().is_multiple_of(2)
        && text.is_char_boundary(half)
        && text[..half] == text[half..]
}

/// Checks a client ID: visible ASCII characters without blanks.
pub fn check_client_id(text: &str) -> Result<String> {
    let text = clean("client ID", text)?;
    let why = if text.is_empty() {
        "it is empty"
    } else if !text.chars().all(|c| c.is_ascii_graphic()) {
        "only letters, digits and punctuation without blanks are allowed"
    } else if text.contains("://") || text == RedirectUri::OUT_OF_BAND {
        "that is a redirect URI; the client ID is on the application's item page at the portal"
    } else if text.len() > MAX_CLIENT_ID {
        "it is longer than the client IDs of portals"
    } else {
        return Ok(text);
    };
    Err(Error::invalid("client ID", why))
}

/// Checks a Referer, which is sent in a header line.
pub fn check_referer(text: &str) -> Result<String> {
    let text = clean("referer", text)?;
    if text.is_empty() || text.chars().any(|c| !(c.is_ascii_graphic() || c == ' ')) {
        return Err(Error::invalid("referer", "only printable ASCII is allowed"));
    }
    Ok(text)
}

/// Reads the certificates in a file (PEM, DER or PKCS#7) and returns them as PEM. A pipe that the
/// shell opened for this process is waited for until `deadline`.
pub fn read_ca(path: &Path, deadline: Deadline) -> Result<String> {
    let bad =
        |why: String| Error::invalid("certificate file", format!("`{}`: {why}", path.display()));
    let bytes = files::read_user_file_or_pipe(path, http::MAX_CERTIFICATES, deadline)
        .map_err(|why| bad(why.to_string()))?;
    let certificates = http::read_certificates(&bytes).map_err(bad)?;
    Ok(http::to_pem(&certificates))
}

/// The secrets of a new connection.
#[derive(Debug, Default)]
pub struct NewSecrets<'a> {
    /// The client secret of the registered application.
    pub client_secret: Option<Secret>,
    /// The client certificate that the connection names.
    pub certificate: Option<&'a NewClientCertificate>,
    /// The API key, or whose it is, which the portal has said for this very connection.
    pub api_key: Option<VerifiedApiKey>,
}

/// Stores what the connection's secrets are bound to, and the secrets; then adds the
/// connection. Returns whether it became the default. If adding fails, the items are deleted again.
pub fn create(
    store: &ConnectionStore,
    keychain: &Arc<dyn SecretStore>,
    connection: &Connection,
    ca: Option<&[u8]>,
    secrets: NewSecrets<'_>,
    context: &Context,
) -> Result<bool> {
    client_certificate::check(connection)?;
    web_tier::check(connection)?;
    connection.check_kind()?;
    connection.check_api_key_end()?;
    context.machine_policy.check_connection(connection)?;
    // Checked again under the lock, but the likely error should come before anything is stored.
    store.check_free(&connection.label)?;
    let certificates = match ca {
        Some(pem) => Some(pem.to_vec()),
        None => http::read_certificate_file(&connection.tls)?,
    };
    let binding = Binding::of(connection, certificates.as_deref());
    let mut records = vec![(ItemKind::Binding, binding.to_record())];
    if let Some(certificate) = secrets.certificate {
        let record = certificate.to_record(&binding, Vec::new());
        records.push((ItemKind::ClientCertificate, record));
    }
    if let Some(key) = &secrets.api_key {
        if let [setting, ..] = key.differences(&binding)[..] {
            let why = "it is not what the portal was asked about the API key with";
            return Err(Error::invalid(setting.as_str(), why));
        }
        let record = key.record(binding.clone(), context.now());
        records.push((ItemKind::ApiKey, record.to_record()));
    }
    if let Some(secret) = secrets.client_secret {
        let record = ClientSecret { binding, secret }.to_record();
        records.push((ItemKind::ClientSecret, record));
    }
    // The keychain first: from the moment a connection is visible, it can be used.
    let added = records
        .iter()
        .try_for_each(|(kind, record)| {
            keychain
                .set(&Item::of(connection, *kind), record)
                // Without the connection's name, because the connection does not exist.
                .map_err(Error::from)
        })
        .and_then(|()| {
            let mut connection = connection.clone();
            if let Some(key) = &secrets.api_key {
                connection.status.username = Some(key.user().to_owned());
            }
            store.add(&connection, ca, context)
        });
    if added.is_err() {
        for (kind, _) in &records {
            if let Err(error) = keychain.delete(&Item::of(connection, *kind)) {
                context.emit(&Event::Notice(Notice::Other {
                    message: format!("an unused item may remain in the keychain: {error}"),
                }));
            }
        }
    }
    added
}

pub(crate) fn keychain_error(
    error: KeychainError,
    connection: &Connection,
    kind: ItemKind,
) -> Error {
    Error::Keychain {
        connection: Some(connection.label.to_string()),
        item: Some(kind),
        error,
    }
}

/// Stores the secret, reads it back and compares.
pub(crate) fn store_verified(
    keychain: &dyn SecretStore,
    item: &Item,
    secret: &Secret,
) -> std::result::Result<(), KeychainError> {
    keychain.set(item, secret)?;
    match keychain.get(item)? {
        Some(read) if secret.matches(read.expose()) => Ok(()),
        _ => Err(KeychainError::new(
            keychain.name(),
            KeychainReason::Refused,
            "it did not return what was stored; nothing was moved",
        )),
    }
}

/// Repairs a name that several items have: keeps the newest of those that are complete and belong
/// to this connection, and deletes the others. Returns whether one was kept.
pub fn repair_item(
    keychain: &dyn SecretStore,
    connection: &Connection,
    kind: ItemKind,
) -> Result<bool> {
    let item = Item::of(connection, kind);
    let failed = |error| keychain_error(error, connection, kind);
    let all = match keychain.all(&item) {
        Ok(all) => all,
        Err(error) if error.reason == KeychainReason::Lost => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    // Records of another portal or client ID, and damaged ones, do not count.
    let newest = all
        .into_iter()
        .filter_map(|record| Some((issued_at(&record, connection, kind)?, record)))
        .max_by_key(|(issued_at, _)| *issued_at);
    // Deletes all of them. If the process ends here, the sign-in is lost; a keychain has no way to
    // delete just one of them.
    keychain.delete(&item).map_err(failed)?;
    let Some((_, record)) = newest else {
        return Ok(false);
    };
    store_verified(keychain, &item, &record).map_err(failed)?;
    Ok(true)
}

/// When the newest token of a record was issued (the epoch where it holds no token); `None` where
/// the record is damaged or is bound to other settings.
fn issued_at(record: &Secret, connection: &Connection, kind: ItemKind) -> Option<Timestamp> {
    let certificates = http::read_certificate_file(&connection.tls).ok().flatten();
    let named = Binding::of(connection, certificates.as_deref());
    if !binding_in(record, kind)?.accepts(&named) {
        return None;
    }
    if let Some(key) = ApiKeyRecord::from_record(record).filter(|_| kind == ItemKind::ApiKey) {
        return Some(key.stored_at);
    }
    let issued_at = Tokens::from_record(record).and_then(|tokens| {
        let refresh = tokens.refresh.map(|refresh| refresh.issued_at);
        refresh.max(tokens.access.map(|access| access.issued_at))
    });
    Some(issued_at.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Gives the connection another label, also in the titles of its keychain items.
pub fn rename(session: &Session, label: &Label) -> Result<Connection> {
    let (store, keychain, context) = session.parts();
    let lock = session.lock()?.lock;
    let renamed = store.rename(&lock, label, context)?;
    // Items are found by the connection's ID. Their titles only show the label, so a failure here
    // is a notice.
    for kind in ItemKind::OF_CONNECTION {
        if let Err(error) = keychain.retitle(&Item::of(&renamed, kind)) {
            context.emit(&Event::Notice(Notice::Other {
                message: format!("the keychain still shows the old label: {error}"),
            }));
        }
    }
    Ok(renamed)
}

/// Revokes the sign-in where that works, deletes the keychain items, then the folder. With
/// `leave_secrets`, a failure of the keychain is reported and does not stop the removal.
pub fn remove(session: &Session, leave_secrets: bool) -> Result<()> {
    let (store, keychain, context) = session.parts();
    let Locked {
        lock, connection, ..
    } = session.lock()?;
    // Secrets first: without its connection, an item could not be found again.
    let forgotten = session.forget_tokens(&connection, false).and_then(|_| {
        [
            ItemKind::ClientSecret,
            ItemKind::ClientCertificate,
            ItemKind::ApiKey,
            ItemKind::Binding,
        ]
        .into_iter()
        .try_for_each(|kind| {
            keychain
                .delete(&Item::of(&connection, kind))
                .map(drop)
                .map_err(|error| session.keychain_error(error, kind))
        })
    });
    match forgotten {
        Err(error) if leave_secrets => context.emit(&Event::Notice(Notice::Other {
            message: format!("its secrets remain in the keychain: {error}"),
        })),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    store.remove(lock, context)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn api_keys_are_checked_for_errors_of_pasting() {
        let good = |text: &str| check_api_key(text).unwrap().expose().to_owned();
        assert_eq!(good("  AAPT3x.y_z-0\r\n"), "AAPT3x.y_z-0");
        for bad in ["", " \n", "a\nb", "a b", "k\u{e9}y", "k3yk3yXYk3yk3yXY"] {
            let error = check_api_key(bad).unwrap_err();
            assert!(bad.len() < 4 || !error.to_string().contains(bad));
        }
        assert!(check_api_key(&"x1".repeat(2048)).is_err());
    }

    #[test]
    fn client_secrets_are_checked_for_errors_of_pasting() {
        let good = |text: &str| check_client_secret(text, "id").unwrap().expose().to_owned();
        assert_eq!(good("  s3cret\r\n"), "s3cret");
        assert_eq!(good("abab"), "abab");
        for bad in [
            "",
            " \n",
            "a\nb",
            "a b",
            "id",
            "s3cretXYs3cretXY",
            &"x".repeat(4000),
        ] {
            let error = check_client_secret(bad, "id").unwrap_err();
            assert!(bad.len() < 4 || !error.to_string().contains(bad));
        }
    }
}
