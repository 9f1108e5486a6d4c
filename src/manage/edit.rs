//! Editing a connection: its settings, what its secrets are bound to, and where they are stored.

use std::sync::Arc;

use jiff::Timestamp;

use super::client_certificate::{self, CertificateChange};
use super::store_verified;
use super::web_tier;
use crate::binding::{differences, Binding};
use crate::bound_setting::BoundSetting;
use crate::certificate_record::{CertificateContent, CertificateRecord};
use crate::connection::{
    Connection, Grant, GrantKind, KeychainKind, PortalUrl, PortalUrls, Proxy, RedirectUri,
    SecretCommand, Status, Tls, WebTier,
};
use crate::error::{Error, KeychainReason, Result};
use crate::event::{Event, Notice};
use crate::http::{self, Presented};
use crate::keychain::{Item, ItemKind, Keychains, SecretStore};
use crate::secret::Secret;
use crate::session::{
    binding_in, check_api_key_user, rebind, verify_api_key, ApiKeySource, Locked, Session,
    SignedOut, Snapshot, VerifiedApiKey,
};
use crate::token::{ApiKeyRecord, ClientSecret};

/// What happens to the stored client secret.
#[derive(Debug, Default)]
pub enum SecretChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is replaced, also where a command gave it.
    Set(Secret),
    /// It is deleted, and a command for it is forgotten.
    Remove,
    /// This command gives it from now on. A stored one is deleted.
    Command(SecretCommand),
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
    /// The API URL; `Some(None)` removes it. The sign-in stays: it belongs to the same portal, and
    /// its tokens are good at each of the portal's addresses.
    #[allow(clippy::option_option)] // Kept, removed, or replaced.
    pub api_url: Option<Option<PortalUrl>>,
    /// The client ID. Another one ends the sign-in.
    pub client_id: Option<String>,
    /// The kind of connection. Another one ends the sign-in.
    pub kind: Option<GrantKind>,
    /// The redirect URI of a user connection.
    pub redirect_uri: Option<RedirectUri>,
    /// Whether authorization codes are bound by PKCE.
    pub pkce: Option<bool>,
    /// The client secret. For a connection with an API key, only a command or none.
    pub secret: SecretChange,
    /// Another API key, which the portal has accepted ([`verify_api_key_after`]).
    pub api_key: Option<VerifiedApiKey>,
    /// When the API key expires.
    pub expires_at: Option<Timestamp>,
    /// The client certificate.
    pub client_certificate: CertificateChange,
    /// What is answered to the web server's sign-in. It does not stay where an address comes to
    /// another origin.
    pub web_tier: Option<WebTier>,
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
        matches!(self.secret, SecretChange::Keep)
            && self.api_key.is_none()
            && self.expires_at.is_none()
            && self.without_secrets_are_empty()
    }

    /// Whether nothing but the API key, its end and what gives it is to be changed.
    #[must_use]
    pub fn concern_api_key_alone(&self) -> bool {
        self.api_key.is_some() && self.without_secrets_are_empty()
    }

    fn without_secrets_are_empty(&self) -> bool {
        let Self {
            portal,
            api_url,
            client_id,
            kind,
            redirect_uri,
            pkce,
            secret: _,
            api_key: _,
            expires_at: _,
            client_certificate,
            web_tier,
            tls,
            referer,
            proxy,
            keychain,
            tags,
        } = self;
        portal.is_none()
            && api_url.is_none()
            && client_id.is_none()
            && kind.is_none()
            && redirect_uri.is_none()
            && pkce.is_none()
            && matches!(client_certificate, CertificateChange::Keep)
            && web_tier.is_none()
            && tls.is_none()
            && referer.is_none()
            && proxy.is_none()
            && keychain.is_none()
            && tags.is_none()
    }

    /// The settings that secrets are bound to and that this edit names.
    fn chosen(&self) -> Vec<BoundSetting> {
        let mut chosen = Vec::new();
        let mut add = |named: bool, settings: &[BoundSetting]| {
            if named {
                chosen.extend_from_slice(settings);
            }
        };
        add(self.portal.is_some(), &[BoundSetting::Portal]);
        add(self.api_url.is_some(), &[BoundSetting::ApiUrl]);
        add(self.client_id.is_some(), &[BoundSetting::ClientId]);
        // Only a user connection has a redirect URI and PKCE, so that both change with the kind.
        add(
            self.kind.is_some(),
            &[
                BoundSetting::AuthType,
                BoundSetting::RedirectUri,
                BoundSetting::Pkce,
            ],
        );
        let loses_client_id = self.kind.is_some_and(|kind| !kind.has_client_id());
        add(loses_client_id, &[BoundSetting::ClientId]);
        add(self.redirect_uri.is_some(), &[BoundSetting::RedirectUri]);
        add(self.pkce.is_some(), &[BoundSetting::Pkce]);
        add(self.tls.is_some(), &[BoundSetting::Verification]);
        add(self.proxy.is_some(), &[BoundSetting::Proxy]);
        add(
            !matches!(self.client_certificate, CertificateChange::Keep),
            &[BoundSetting::ClientCertificate],
        );
        add(self.web_tier.is_some(), &[BoundSetting::WebTier]);
        add(
            matches!(self.secret, SecretChange::Command(_)),
            &[BoundSetting::SecretCommand, BoundSetting::ApiKeyCommand],
        );
        chosen
    }

    /// The content of the certificate file as it will be.
    fn certificates<'a>(&'a self, before: &'a Snapshot) -> Option<&'a [u8]> {
        match &self.tls {
            Some(TlsChange::Ca { pem, .. } | TlsChange::Pinned { pem, .. }) => Some(pem),
            Some(TlsChange::System | TlsChange::Unverified) => None,
            None => before.certificates(),
        }
    }

    /// The portal's addresses as they will be.
    fn urls(&self, before: &PortalUrls) -> Result<PortalUrls> {
        let browser = self.portal.as_ref().unwrap_or(before.browser_url());
        let api = match &self.api_url {
            Some(api) => api.as_ref(),
            None => before.separate_api_url(),
        };
        PortalUrls::new(browser.clone(), api.cloned())
    }

    fn apply(&self, connection: &mut Connection, ca_path: std::path::PathBuf) -> Result<()> {
        let urls = self.urls(&connection.urls)?;
        let former_urls = connection.urls.clone();
        let former = (
            former_urls.browser_url().clone(),
            connection.client_id.clone(),
        );
        if urls != connection.urls {
            connection.urls = urls;
            connection.confirmed_api_url = None;
        }
        if let Some(client_id) = &self.client_id {
            connection.client_id.clone_from(client_id);
        }
        let (mut redirect_uri, mut pkce) = match &connection.grant {
            Grant::User { redirect_uri, pkce } => (redirect_uri.clone(), *pkce),
            Grant::Application | Grant::Network | Grant::ApiKey { .. } => {
                (RedirectUri::OutOfBand, true)
            }
        };
        if let Some(uri) = &self.redirect_uri {
            redirect_uri = uri.clone();
        }
        pkce = self.pkce.unwrap_or(pkce);
        let kind = self.kind.unwrap_or(connection.grant.kind());
        connection.grant = match kind {
            GrantKind::User => Grant::User { redirect_uri, pkce },
            GrantKind::Application => Grant::Application,
            GrantKind::Network => Grant::Network,
            GrantKind::ApiKey => Grant::ApiKey {
                expires_at: self.expires_at.or(connection.grant.api_key_expires_at()),
            },
        };
        if self.client_id.is_none() && !kind.has_client_id() {
            connection.client_id.clear();
        }
        match &self.tls {
            Some(TlsChange::System) => {
                connection.tls = Tls::System;
                connection.ca_source = None;
            }
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
            Some(TlsChange::Unverified) => {
                connection.tls = Tls::Unverified;
                connection.ca_source = None;
            }
            None => {}
        }
        self.client_certificate.apply(connection, &former_urls)?;
        self.apply_secret(connection, &former);
        web_tier::apply(self.web_tier.as_ref(), connection, &former_urls)?;
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
        Ok(())
    }

    /// The command that gives the client secret, after everything else has changed. Like a stored
    /// secret, it belongs to the `former` portal and client ID, and goes with them.
    fn apply_secret(&self, connection: &mut Connection, former: &(PortalUrl, String)) {
        let stays = *connection.browser_url() == former.0 && connection.client_id == former.1;
        match &self.secret {
            SecretChange::Keep if stays => {}
            SecretChange::Keep | SecretChange::Set(_) | SecretChange::Remove => {
                connection.secret_command = None;
            }
            SecretChange::Command(command) => connection.secret_command = Some(command.clone()),
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

/// Asks the portal of the connection, as `changes` will make it, whose API key this is. Stores
/// nothing. A key of another user than the one that the connection belongs to is an error, unless
/// the portal changes, which the former key does not belong to.
pub fn verify_api_key_after(
    session: &Session,
    keychains: &Keychains,
    changes: &Changes,
    presented: Presented,
    source: ApiKeySource,
) -> Result<VerifiedApiKey> {
    let (_, _, context) = session.parts();
    let before = session.opened();
    let editing = Editing::plan(session, keychains, changes, before, KeyUse::IsAsked)?;
    let certificates = changes.certificates(before);
    let key = verify_api_key(&editing.after, certificates, presented, source, context)?;
    editing.check_api_key_user(&key)?;
    Ok(key)
}

/// Changes a connection in place.
///
/// Secrets are bound to the settings that decide where they go. A change here is a person's choice,
/// so that the binding follows it. Settings that were changed in the files and are not named here
/// stay refused. Secrets that belong to another portal, client ID or kind of connection are revoked
/// there and deleted; secrets that move to another keychain are written, read back and compared
/// before they are deleted from the old one.
pub fn edit(session: &Session, keychains: &Keychains, changes: &Changes) -> Result<Edited> {
    let (store, _, _) = session.parts();
    let Locked {
        lock,
        connection: before,
        ..
    } = session.lock()?;
    let editing = Editing::plan(session, keychains, changes, &before, KeyUse::of(changes))?;
    editing.check_api_key()?;
    // 1. The items accept the old settings and the new ones, so that the connection works whenever
    // this is interrupted.
    let held = editing.held_records()?;
    editing.prepare(&held)?;
    // 2. Secrets that may not be used any more go, while `meta.json` still says where they belong.
    let edited = editing.drop_secrets()?;
    editing.store_new_secret()?;
    editing.store_new_api_key()?;
    editing.store_new_certificate()?;
    // 3. The connection changes from the old state to the new one by one rename.
    match &changes.tls {
        Some(TlsChange::Ca { pem, .. }) => store.write_ca(&lock, pem)?,
        Some(TlsChange::Pinned { pem, .. }) => store.write_pinned(&lock, pem)?,
        Some(TlsChange::System | TlsChange::Unverified) | None => {}
    }
    store.update(&lock, |connection| {
        *connection = editing.after.clone();
        // It failed with the former settings.
        connection.status.renewal_failure = None;
        if editing.ends_sign_in() {
            connection.status = Status::default();
        }
        editing.update_status_of_key(&mut connection.status);
    })?;
    // 4. The items accept the new settings only, and the old keychain has none of them.
    editing.finish(&held)?;
    Ok(edited)
}

/// Whether an edit concerns the API key, even if it changes no setting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    None,
    /// The portal is about to be asked about one.
    IsAsked,
    /// A new one is stored.
    IsStored,
}

impl KeyUse {
    fn of(changes: &Changes) -> Self {
        match changes.api_key {
            Some(_) => Self::IsStored,
            None => Self::None,
        }
    }
}

/// One edit: the states before and after, and what has to happen between them.
struct Editing<'a> {
    session: &'a Session,
    changes: &'a Changes,
    before: &'a Snapshot,
    after: Connection,
    /// What secrets are bound to afterwards.
    named: Binding,
    /// What they are bound to now.
    stored: Option<Binding>,
    /// The portal or the client ID changes.
    rebound: bool,
    /// The kind of connection changes.
    regranted: bool,
    /// A command gave the client secret, and does not any more.
    command_goes: bool,
    /// The tokens are good only together with the former `Referer`.
    rereferred: bool,
    old_keychain: Arc<dyn SecretStore>,
    new_keychain: Arc<dyn SecretStore>,
}

type Record = (ItemKind, Secret);

impl<'a> Editing<'a> {
    fn plan(
        session: &'a Session,
        keychains: &Keychains,
        changes: &'a Changes,
        before: &'a Snapshot,
        key: KeyUse,
    ) -> Result<Self> {
        let (store, old_keychain, context) = session.parts();
        let mut after: Connection = (**before).clone();
        check_stays_api_key(before, changes, key)?;
        changes.apply(&mut after, store.ca_path(&before.id))?;
        let named = Binding::of(&after, changes.certificates(before));
        client_certificate::check(&after)?;
        web_tier::check(&after)?;
        after.check_kind()?;
        after.check_api_key_end()?;
        context.machine_policy.check_connection(&after)?;
        let mut chosen = changes.chosen();
        if after.client_certificate != before.client_certificate {
            chosen.push(BoundSetting::ClientCertificate);
        }
        if after.web_tier != before.web_tier {
            chosen.push(BoundSetting::WebTier);
        }
        let command_goes = after.secret_command.is_none() && before.secret_command.is_some();
        if command_goes {
            chosen.extend([BoundSetting::SecretCommand, BoundSetting::ApiKeyCommand]);
        }
        // Tags and the like concern no secret, and need no keychain.
        let concerns_secrets = !chosen.is_empty()
            || matches!(changes.secret, SecretChange::Set(_))
            || key != KeyUse::None;
        let stored = if concerns_secrets {
            session.stored_binding(before)?
        } else {
            None
        };
        if concerns_secrets {
            refuse_unchosen(session, stored.as_ref(), &named, &chosen)?;
        }
        if !chosen.is_empty() && changes.certificates(before).is_none() {
            // A certificate file that cannot be read cannot be bound.
            http::read_certificate_file(&after.tls)?;
        }
        let differs = |setting| {
            let held = stored.as_ref().unwrap_or(before.binding());
            let value = held
                .value(setting)
                .or_else(|| before.binding().value(setting));
            value != named.value(setting)
        };
        Ok(Self {
            rebound: concerns_secrets
                && (differs(BoundSetting::Portal) || differs(BoundSetting::ClientId)),
            regranted: concerns_secrets && differs(BoundSetting::AuthType),
            command_goes,
            rereferred: after.grant == Grant::Network
                && after.sent_referer() != before.sent_referer(),
            new_keychain: keychains.of(after.keychain),
            old_keychain: Arc::clone(old_keychain),
            session,
            changes,
            before,
            after,
            named,
            stored,
        })
    }

    fn ends_sign_in(&self) -> bool {
        self.rebound || self.regranted || self.rereferred
    }

    fn moves(&self) -> bool {
        self.before.keychain != self.after.keychain
    }

    fn binds(&self) -> bool {
        self.command_goes || !self.changes.chosen().is_empty() || self.changes.api_key.is_some()
    }

    fn keeps(&self, kind: ItemKind) -> bool {
        match kind {
            ItemKind::Tokens => !self.ends_sign_in(),
            ItemKind::ApiKey => !self.ends_sign_in() && !self.stores_key_at_once(),
            ItemKind::ClientSecret => {
                !self.rebound && matches!(self.changes.secret, SecretChange::Keep)
            }
            ItemKind::ClientCertificate => {
                self.after.client_certificate.is_some()
                    && matches!(self.changes.client_certificate, CertificateChange::Keep)
            }
            ItemKind::Binding | ItemKind::Probe => true,
        }
    }

    /// The records that are bound anew or move.
    fn held_records(&self) -> Result<Vec<Record>> {
        let mut held = Vec::new();
        if !self.binds() && !self.moves() {
            return Ok(held);
        }
        for kind in ItemKind::OF_CONNECTION {
            if !self.keeps(kind) {
                continue;
            }
            match self.old_keychain.get(&Item::of(self.before, kind)) {
                Ok(Some(record)) => held.push((kind, record)),
                Ok(None) if kind == ItemKind::Binding && self.binds() => {
                    let first = self.stored.as_ref().unwrap_or(&self.named);
                    held.push((kind, first.to_record()));
                }
                Ok(None) => {}
                // Where it is used, it is refused as damaged.
                Err(error) if error.reason == KeychainReason::Lost && !self.moves() => {}
                Err(error) => return Err(self.session.keychain_error(error, kind)),
            }
        }
        Ok(held)
    }

    fn prepare(&self, held: &[Record]) -> Result<()> {
        for (kind, record) in held {
            if self.moves() || binding_in(record, *kind).as_ref() != Some(&self.named) {
                self.write(*kind, &self.prepared(*kind, record))?;
            }
        }
        Ok(())
    }

    /// The record, which accepts what it accepted before and the new settings.
    fn prepared(&self, kind: ItemKind, record: &Secret) -> Secret {
        let again = binding_in(record, kind)
            .filter(|_| self.binds())
            .and_then(|held| rebind(record, kind, &self.accepting_both(held)));
        // A damaged record moves as it is.
        again.unwrap_or_else(|| record.duplicate())
    }

    fn accepting_both(&self, mut held: Binding) -> Binding {
        let before = self.before.binding();
        if !held.accepts(before) {
            // `meta.json` does not name what a person chose before; only the new state counts.
            held.pending.clear();
            return held.with_pending([self.named.clone()]);
        }
        // The certificates are replaced before `meta.json`.
        let between = match (&self.changes.tls, &self.before.tls) {
            (Some(TlsChange::Ca { pem, .. }), Tls::Ca(_))
            | (Some(TlsChange::Pinned { pem, .. }), Tls::Pinned { .. }) => {
                Some(Binding::of(self.before, Some(pem)))
            }
            _ => None,
        };
        before.with_pending(between.into_iter().chain([self.named.clone()]))
    }

    fn drop_secrets(&self) -> Result<Edited> {
        let mut edited = Edited::default();
        // Another key takes the place of the former one by one write.
        if self.ends_sign_in() && self.changes.api_key.is_none() {
            let outcome = self.session.forget_tokens(self.before, false)?;
            edited.signed_out = outcome != SignedOut::Nothing;
        }
        if self.rebound || matches!(self.changes.secret, SecretChange::Remove) {
            let kind = ItemKind::ClientSecret;
            let found = self
                .old_keychain
                .delete(&Item::of(self.before, kind))
                .map_err(|error| self.session.keychain_error(error, kind))?;
            edited.secret_dropped = found && self.rebound;
        }
        Ok(edited)
    }

    fn store_new_secret(&self) -> Result<()> {
        let SecretChange::Set(secret) = &self.changes.secret else {
            return Ok(());
        };
        // A secret for a new portal or client ID is never used with the old one.
        let binding = if self.rebound {
            self.named.clone()
        } else {
            self.accepting_both(self.before.binding().clone())
        };
        let secret = secret.duplicate();
        let record = ClientSecret { binding, secret }.to_record();
        self.write(ItemKind::ClientSecret, &record)
    }

    /// Whether the record of a new API key is written before the connection changes. Where a
    /// command takes the place of a stored key, that key counts until the connection has the
    /// command.
    fn stores_key_at_once(&self) -> bool {
        let takes_place = self.before.secret_command.is_none() && !self.ends_sign_in();
        let key = self.changes.api_key.as_ref();
        key.is_some_and(|key| !(key.is_printed() && takes_place))
    }

    fn store_new_api_key(&self) -> Result<()> {
        let Some(key) = self
            .changes
            .api_key
            .as_ref()
            .filter(|_| self.stores_key_at_once())
        else {
            return Ok(());
        };
        // A key for a new portal is never used with the old one.
        let binding = if self.rebound {
            self.named.clone()
        } else {
            self.accepting_both(self.before.binding().clone())
        };
        self.write_api_key(key, binding)
    }

    fn write_api_key(&self, key: &VerifiedApiKey, binding: Binding) -> Result<()> {
        let (_, _, context) = self.session.parts();
        let record = key.record(binding, context.now()).to_record();
        self.write(ItemKind::ApiKey, &record)
    }

    /// Refuses a new API key where the connection is not the one for which the portal was asked
    /// about it, or belongs to another user.
    fn check_api_key(&self) -> Result<()> {
        let Some(key) = &self.changes.api_key else {
            return Ok(());
        };
        let differing = key.differences(&self.named);
        if !differing.is_empty() {
            return Err(self.session.key_for_other_settings(&differing));
        }
        self.check_api_key_user(key)
    }

    /// Refuses a key of another user. A key belongs to its portal, and so does its user.
    fn check_api_key_user(&self, key: &VerifiedApiKey) -> Result<()> {
        if self.ends_sign_in() {
            return Ok(());
        }
        let record = self
            .old_keychain
            .get(&Item::of(self.before, ItemKind::ApiKey));
        let record = match record {
            Ok(record) => record,
            // A damaged record is what the new key repairs.
            Err(error) if error.reason == KeychainReason::Lost => None,
            Err(error) => return Err(self.session.keychain_error(error, ItemKind::ApiKey)),
        };
        match record.as_ref().and_then(ApiKeyRecord::from_record) {
            Some(stored) => check_api_key_user(self.before, &stored.user, key.user()),
            None => Ok(()),
        }
    }

    /// What `meta.json` says about the API key: with another one, earlier failures have passed. So
    /// have they where a person says what the portal's answer depends on.
    fn update_status_of_key(&self, status: &mut Status) {
        if self.after.grant.kind() != GrantKind::ApiKey {
            return;
        }
        let replaced_elsewhere =
            self.after.secret_command.is_some() && self.changes.expires_at.is_some();
        let is_good = status.api_key_refused_at.is_none() && self.changes.expires_at.is_some();
        if let Some(key) = &self.changes.api_key {
            status.username = Some(key.user().to_owned());
        } else if !replaced_elsewhere && !is_good && self.changes.referer.is_none() {
            return;
        }
        status.last_failure = None;
        status.api_key_refused_at = None;
    }

    fn store_new_certificate(&self) -> Result<()> {
        let CertificateChange::Set(new) = &self.changes.client_certificate else {
            return Ok(());
        };
        let binding = if self.rebound {
            self.named.clone()
        } else {
            self.accepting_both(self.before.binding().clone())
        };
        let record = new.to_record(&binding, self.former_certificates());
        self.write(ItemKind::ClientCertificate, &record)
    }

    /// What the new client certificate replaces in its item. An item that cannot be read is what
    /// this change repairs.
    fn former_certificates(&self) -> Vec<CertificateContent> {
        let item = Item::of(self.before, ItemKind::ClientCertificate);
        let record = match self.old_keychain.get(&item) {
            Ok(Some(record)) if !self.moves() => CertificateRecord::from_record(&record),
            _ => None,
        };
        record.map_or_else(Vec::new, |record| {
            let mut former = record.former;
            former.insert(0, record.content);
            former
        })
    }

    fn finish(&self, held: &[Record]) -> Result<()> {
        // Only now: until the connection has the command, the stored secret is the one that counts.
        if matches!(self.changes.secret, SecretChange::Command(_)) {
            let kind = ItemKind::ClientSecret;
            self.old_keychain
                .delete(&Item::of(self.before, kind))
                .map_err(|error| self.session.keychain_error(error, kind))?;
        }
        if matches!(self.changes.client_certificate, CertificateChange::Remove) {
            let kind = ItemKind::ClientCertificate;
            self.old_keychain
                .delete(&Item::of(self.before, kind))
                .map_err(|error| self.session.keychain_error(error, kind))?;
        }
        if self.moves() {
            for kind in ItemKind::OF_CONNECTION {
                self.old_keychain
                    .delete(&Item::of(self.before, kind))
                    .map_err(|error| self.session.keychain_error(error, kind))?;
            }
        }
        for (kind, record) in held {
            let bound = rebind(record, *kind, &self.named).filter(|_| self.binds());
            if let Some(bound) = bound {
                self.finish_one(*kind, &bound);
            }
        }
        if let CertificateChange::Set(new) = &self.changes.client_certificate {
            self.finish_one(
                ItemKind::ClientCertificate,
                &new.to_record(&self.named, Vec::new()),
            );
        }
        match &self.changes.api_key {
            // Now the connection has the command: the key itself goes.
            Some(key) if !self.stores_key_at_once() => {
                self.write_api_key(key, self.named.clone())?;
            }
            Some(key) => {
                let (_, _, context) = self.session.parts();
                let record = key.record(self.named.clone(), context.now());
                self.finish_one(ItemKind::ApiKey, &record.to_record());
            }
            None => {}
        }
        if let SecretChange::Set(secret) = &self.changes.secret {
            let record = ClientSecret {
                binding: self.named.clone(),
                secret: secret.duplicate(),
            };
            self.finish_one(ItemKind::ClientSecret, &record.to_record());
        }
        Ok(())
    }

    /// Nothing is lost if this fails: the item accepts the new settings already.
    fn finish_one(&self, kind: ItemKind, record: &Secret) {
        if let Err(error) = self.write(kind, record) {
            let (_, _, context) = self.session.parts();
            context.emit(&Event::Notice(Notice::Other {
                message: format!(
                    "an item in the keychain still accepts the former settings: {error}"
                ),
            }));
        }
    }

    fn write(&self, kind: ItemKind, record: &Secret) -> Result<()> {
        let item = Item::of(&self.after, kind);
        let keychain = self.new_keychain.as_ref();
        let written = if self.moves() {
            store_verified(keychain, &item, record)
        } else {
            keychain.set(&item, record)
        };
        written.map_err(|error| self.session.keychain_error(error, kind))
    }
}

/// A key is made at the portal for one user, and a connection keeps its user: another kind of
/// connection is another one.
fn check_stays_api_key(before: &Connection, changes: &Changes, key: KeyUse) -> Result<()> {
    let is_key = |kind: GrantKind| kind == GrantKind::ApiKey;
    let (was, becomes) = (before.grant.kind(), changes.kind);
    if is_key(was) && matches!(changes.secret, SecretChange::Set(_)) {
        return Err(Error::invalid(
            "client secret",
            "a connection with an API key has none",
        ));
    }
    if !is_key(was) && (changes.expires_at.is_some() || key != KeyUse::None) {
        return Err(Error::invalid(
            "API key",
            format!("`{}` has no API key", before.label),
        ));
    }
    if becomes.is_none_or(|kind| is_key(kind) == is_key(was)) {
        return Ok(());
    }
    Err(Error::invalid(
        "kind of connection",
        format!(
            "`{}` cannot change between an API key and another kind; add a connection of the other kind",
            before.label
        ),
    ))
}

/// Settings that were changed in the files, and that this edit does not name, must not be taken
/// over along with those that it names.
fn refuse_unchosen(
    session: &Session,
    stored: Option<&Binding>,
    named: &Binding,
    chosen: &[BoundSetting],
) -> Result<()> {
    let mut left = differences(stored, named);
    left.retain(|setting| !chosen.contains(setting));
    if left.is_empty() {
        return Ok(());
    }
    Err(session.mismatch(stored, named, left, ItemKind::Binding))
}
