//! Changes that concern a connection's files and its secrets together: create, edit, rename,
//! remove. Each has its steps in an order in which an interruption loses no secret and leaves
//! nothing incomplete that would be used.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::connection::{
    clean, Connection, Grant, KeychainKind, Label, PortalUrl, Proxy, RedirectUri, Status, Tls,
};
use crate::context::Context;
use crate::error::{Error, KeychainError, KeychainReason, Result};
use crate::event::{Event, Notice};
use crate::files;
use crate::http;
use crate::keychain::{Item, ItemKind, Keychains, SecretStore};
use crate::policy::MAX_CLIENT_SECRET_BYTES;
use crate::secret::Secret;
use crate::session::Session;
use crate::store::ConnectionStore;
use crate::token::{Binding, ClientSecret, Tokens};

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
    let half = text.len() / 2;
    if text.len() > 8
        && text.len().is_multiple_of(2)
        && text.is_char_boundary(half)
        && text[..half] == text[half..]
    {
        return bad("it was pasted twice");
    }
    Ok(Secret::new(text.to_owned()))
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

/// Reads the certificates in a file (PEM, DER or PKCS#7) and returns them as PEM.
pub fn read_ca(path: &Path) -> Result<String> {
    let bad =
        |why: String| Error::invalid("certificate file", format!("`{}`: {why}", path.display()));
    let bytes = files::read_user_file_or_pipe(path, http::MAX_CERTIFICATES)
        .map_err(|why| bad(why.to_string()))?;
    let certificates = http::read_certificates(&bytes).map_err(bad)?;
    Ok(http::to_pem(&certificates))
}

/// Stores the secret, then adds the connection. Returns whether it became the default. If adding
/// fails, the secret is deleted again.
pub fn create(
    store: &ConnectionStore,
    keychain: &Arc<dyn SecretStore>,
    connection: &Connection,
    ca: Option<&[u8]>,
    secret: Option<Secret>,
    context: &Context,
) -> Result<bool> {
    // Checked again under the lock, but the likely error should come before anything is stored.
    store.check_free(&connection.label)?;
    let item = Item::of(connection, ItemKind::ClientSecret);
    let stored = secret.is_some();
    // The secret first: from the moment a connection is visible, it can be used.
    if let Some(secret) = secret {
        let binding = Binding::of(connection);
        keychain
            .set(&item, &ClientSecret { binding, secret }.to_record())
            // Without the connection's name, because the connection does not exist.
            .map_err(Error::from)?;
    }
    let added = store.add(connection, ca, context);
    if added.is_err() && stored {
        if let Err(error) = keychain.delete(&item) {
            context.emit(&Event::Notice(Notice::Other {
                message: format!("an unused item remains in the keychain: {error}"),
            }));
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

/// What happens to the stored client secret.
#[derive(Debug, Default)]
pub enum SecretChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is replaced.
    Set(Secret),
    /// It is deleted.
    Remove,
}

/// Which certificates are accepted from now on.
#[derive(Debug)]
pub enum TlsChange {
    /// Those that the system trusts.
    System,
    /// Those that the system trusts, and these.
    Ca {
        /// The certificates, as PEM.
        pem: Vec<u8>,
        /// The file or address that they came from.
        source: String,
    },
    /// Those that the system trusts, and exactly this one.
    Pinned {
        /// The certificate, as PEM.
        pem: Vec<u8>,
        /// The file or address that it came from.
        source: String,
        /// The host that it is trusted for without a name.
        host: String,
    },
    /// Any.
    Unverified,
}

/// What [`edit`] changes. A field that is `None` stays.
#[derive(Debug, Default)]
pub struct Changes {
    /// The portal's URL. Another one ends the sign-in.
    pub portal: Option<PortalUrl>,
    /// The client ID. Another one ends the sign-in.
    pub client_id: Option<String>,
    /// `true` for an application connection, `false` for a user connection.
    pub application: Option<bool>,
    /// The redirect URI of a user connection.
    pub redirect_uri: Option<RedirectUri>,
    /// Whether authorization codes are bound by PKCE.
    pub pkce: Option<bool>,
    /// The client secret.
    pub secret: SecretChange,
    /// Which certificates are accepted.
    pub tls: Option<TlsChange>,
    /// The Referer; `Some(None)` removes it.
    #[allow(clippy::option_option)] // Kept, removed, or replaced.
    pub referer: Option<Option<String>>,
    /// The proxy on the way to the portal.
    pub proxy: Option<Proxy>,
    /// Where the secrets are stored from now on; they are moved there.
    pub keychain: Option<KeychainKind>,
    /// The tags, all of them.
    pub tags: Option<Vec<String>>,
}

impl Changes {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            portal,
            client_id,
            application,
            redirect_uri,
            pkce,
            secret,
            tls,
            referer,
            proxy,
            keychain,
            tags,
        } = self;
        portal.is_none()
            && client_id.is_none()
            && application.is_none()
            && redirect_uri.is_none()
            && pkce.is_none()
            && matches!(secret, SecretChange::Keep)
            && tls.is_none()
            && referer.is_none()
            && proxy.is_none()
            && keychain.is_none()
            && tags.is_none()
    }

    fn apply(&self, connection: &mut Connection, ca_path: std::path::PathBuf) {
        if let Some(portal) = &self.portal {
            connection.portal = portal.clone();
        }
        if let Some(client_id) = &self.client_id {
            connection.client_id.clone_from(client_id);
        }
        let (mut redirect_uri, mut pkce) = match &connection.grant {
            Grant::User { redirect_uri, pkce } => (redirect_uri.clone(), *pkce),
            Grant::Application => (RedirectUri::OutOfBand, true),
        };
        if let Some(uri) = &self.redirect_uri {
            redirect_uri = uri.clone();
        }
        pkce = self.pkce.unwrap_or(pkce);
        connection.grant = if self
            .application
            .unwrap_or(connection.grant.is_application())
        {
            Grant::Application
        } else {
            Grant::User { redirect_uri, pkce }
        };
        match &self.tls {
            Some(TlsChange::System) => connection.tls = Tls::System,
            Some(TlsChange::Ca { source, .. }) => {
                connection.tls = Tls::Ca(ca_path);
                connection.ca_source = Some(source.clone());
            }
            Some(TlsChange::Pinned { source, host, .. }) => {
                connection.tls = Tls::Pinned {
                    path: ca_path.with_file_name("pinned.pem"),
                    host: host.clone(),
                };
                connection.ca_source = Some(source.clone());
            }
            Some(TlsChange::Unverified) => connection.tls = Tls::Unverified,
            None => {}
        }
        if let Some(referer) = &self.referer {
            connection.referer.clone_from(referer);
        }
        if let Some(proxy) = &self.proxy {
            connection.proxy = proxy.clone();
        }
        if let Some(keychain) = self.keychain {
            connection.keychain = keychain;
        }
        if let Some(tags) = &self.tags {
            connection.tags.clone_from(tags);
        }
    }
}

/// What [`edit`] did as a consequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The sign-in was ended, because it belongs to another portal, client ID or kind of
    /// connection.
    pub signed_out: bool,
    /// The client secret was deleted for the same reason.
    pub secret_dropped: bool,
}

/// Changes a connection in place. Secrets that belong to another portal, client ID or kind of
/// connection are revoked there and deleted; secrets that move to another keychain are written,
/// read back and compared before they are deleted from the old one.
pub fn edit(session: &Session, keychains: &Keychains, changes: &Changes) -> Result<Edited> {
    let (store, old_keychain, _) = session.parts();
    let (lock, before) = session.lock()?;
    let mut after = before.clone();
    changes.apply(&mut after, store.ca_path(&before.id));
    let rebound = Binding::of(&before) != Binding::of(&after);
    let regranted = before.grant.is_application() != after.grant.is_application();
    let new_keychain = keychains.of(after.keychain);
    let mut edited = Edited::default();

    // 1. Secrets that may not be used any more go first, while `meta.json` still says where they
    // belong.
    if rebound || regranted {
        edited.signed_out =
            session.forget_tokens(&before, false)? != crate::session::SignedOut::Nothing;
    }
    if rebound || matches!(changes.secret, SecretChange::Remove) {
        let item = Item::of(&before, ItemKind::ClientSecret);
        edited.secret_dropped = old_keychain
            .delete(&item)
            .map_err(|error| session.keychain_error(error, ItemKind::ClientSecret))?
            && rebound;
    }
    // 2. The other secrets are copied before `meta.json` leads to their new place.
    let moved = before.keychain != after.keychain;
    if moved {
        for kind in [ItemKind::ClientSecret, ItemKind::Tokens] {
            copy(
                old_keychain.as_ref(),
                new_keychain.as_ref(),
                &Item::of(&after, kind),
            )
            .map_err(|error| session.keychain_error(error, kind))?;
        }
    }
    if let SecretChange::Set(secret) = &changes.secret {
        let record = ClientSecret {
            binding: Binding::of(&after),
            secret: secret.duplicate(),
        }
        .to_record();
        new_keychain
            .set(&Item::of(&after, ItemKind::ClientSecret), &record)
            .map_err(|error| session.keychain_error(error, ItemKind::ClientSecret))?;
    }
    // 3. The connection changes from the old state to the new one by one rename.
    match &changes.tls {
        Some(TlsChange::Ca { pem, .. }) => store.write_ca(&lock, pem)?,
        Some(TlsChange::Pinned { pem, .. }) => store.write_pinned(&lock, pem)?,
        Some(TlsChange::System | TlsChange::Unverified) | None => {}
    }
    store.update(&lock, |connection| {
        *connection = after.clone();
        if rebound || regranted {
            connection.status = Status::default();
        }
    })?;
    // 4. Nothing refers to the items in the old keychain any more.
    if moved {
        for kind in [ItemKind::ClientSecret, ItemKind::Tokens] {
            old_keychain
                .delete(&Item::of(&after, kind))
                .map_err(|error| session.keychain_error(error, kind))?;
        }
    }
    Ok(edited)
}

/// Copies the item from one keychain to another and checks the copy. Does nothing where there is no
/// such item.
fn copy(
    from: &dyn SecretStore,
    to: &dyn SecretStore,
    item: &Item,
) -> std::result::Result<(), KeychainError> {
    let Some(secret) = from.get(item)? else {
        return Ok(());
    };
    store_verified(to, item, &secret)
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

/// When the newest token of a record was issued (for a client secret, the epoch); `None` where the
/// record is damaged or belongs to another connection.
fn issued_at(record: &Secret, connection: &Connection, kind: ItemKind) -> Option<Timestamp> {
    let (binding, issued_at) = if kind == ItemKind::ClientSecret {
        (ClientSecret::from_record(record)?.binding, None)
    } else {
        let tokens = Tokens::from_record(record)?;
        let refresh = tokens.refresh.map(|refresh| refresh.issued_at);
        let access = tokens.access.map(|access| access.issued_at);
        (tokens.binding, refresh.max(access))
    };
    (binding == Binding::of(connection)).then(|| issued_at.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Gives the connection another label, also in the titles of its keychain items.
pub fn rename(session: &Session, label: &Label) -> Result<Connection> {
    let (store, keychain, context) = session.parts();
    let (lock, _) = session.lock()?;
    let renamed = store.rename(&lock, label, context)?;
    // Items are found by the connection's ID. Their titles only show the label, so a failure here
    // is a notice.
    for kind in [ItemKind::ClientSecret, ItemKind::Tokens] {
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
    let (lock, connection) = session.lock()?;
    // Secrets first: without its connection, an item could not be found again.
    let forgotten = session.forget_tokens(&connection, false).and_then(|_| {
        keychain
            .delete(&Item::of(&connection, ItemKind::ClientSecret))
            .map_err(|error| session.keychain_error(error, ItemKind::ClientSecret))
    });
    match forgotten {
        Err(error) if leave_secrets => context.emit(&Event::Notice(Notice::Other {
            message: format!("its secrets remain in the keychain: {error}"),
        })),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    store.remove(lock, context)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
