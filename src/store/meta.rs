//! `meta.json`: reading, checking and writing it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ConnectionStore, Plaintext};
use crate::connection::{
    ClientCertificateSetting, Connection, ConnectionId, FailedRequest, Grant, GrantKind,
    KeychainKind, PortalUrl, PortalUrls, Principal, Proxy, RedirectUri, RenewalFailure,
    RenewalFailureNote, SecretCommand, Status, Tls, WebTier,
};
use crate::error::{ConnectionFault, Error, PrintedSecret, Result};
use crate::files;
use crate::policy::MAX_META_BYTES;
use crate::text::one_line;
use crate::util::rfc3339;

/// The newest `meta.json` that this version reads.
const SCHEMA: u64 = KEY_SCHEMA;

/// Since this schema, secrets are bound to all settings that decide where they go; an older program
/// would write records without that, so it must not use such a connection.
const BOUND_SCHEMA: u64 = 3;

/// The schema of a connection with a separate API URL, a client certificate or Windows sign-in, and
/// of a network connection. An older program does not know them: it would use the browser's
/// address, connect without them, and forget them.
const ACCESS_SCHEMA: u64 = 4;

/// The schema of a connection with a command for the client secret. An older program does not know
/// it: it would find no client secret, and write records that are not bound to the command.
const COMMAND_SCHEMA: u64 = 5;

/// The schema of a connection with an API key, which an older program does not know.
const KEY_SCHEMA: u64 = 6;

/// The oldest schema of this program. Schema 1 is the Python package's.
pub const FIRST_SCHEMA: u64 = 2;

/// How `meta.json` names the connection's own `ca.pem`. A relative name, so that a store can be
/// moved.
const OWN_CA: &str = "ca.pem";

/// How `meta.json` names the certificate that the connection trusts by itself.
const OWN_PIN: &str = "pinned.pem";

/// The longest description of a failure that is shown, in characters.
const LONGEST_FAILURE_NOTE: usize = 300;

/// What the source of a pinned certificate begins with; the portal's host follows.
pub(crate) const SHOWN_BY: &str = "shown by ";

impl ConnectionStore {
    /// Reads one connection.
    pub fn load(&self, id: &ConnectionId) -> Result<Connection> {
        self.load_if_exists(id)?
            .ok_or_else(|| self.not_found(Some(id.as_str())))
    }

    /// One connection, or `None` where its folder does not exist or still belongs to the Python
    /// package.
    pub(crate) fn load_if_exists(&self, id: &ConnectionId) -> Result<Option<Connection>> {
        match self.read_meta(id)? {
            Some(document) if Plaintext::in_document(id, &document).is_none() => {
                Ok(Some(self.parse_meta(id, &document)?))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn read_meta(&self, id: &ConnectionId) -> Result<Option<Map<String, Value>>> {
        // A link in place of the folder could lead to files of other users.
        if !files::is_folder(&self.folder(id))? {
            return Ok(None);
        }
        let path = self.meta_path(id);
        let document = match files::read(&path, MAX_META_BYTES) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => files::parse_object(&bytes, &path),
            Err(error) => Err(error),
        };
        document.map(Some).map_err(|error| match error {
            Error::Corrupt { path, why } => unusable(path, why, ConnectionFault::Damaged),
            other => other,
        })
    }

    /// The connection that the document describes. What does not fit is
    /// [`Error::UnusableConnection`].
    pub(crate) fn parse_meta(
        &self,
        id: &ConnectionId,
        document: &Map<String, Value>,
    ) -> Result<Connection> {
        let damaged = |why: String| unusable(self.meta_path(id), why, ConnectionFault::Damaged);
        let schema = document
            .get("schema_version")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        if schema > SCHEMA {
            let writer = document
                .get("written_by")
                .and_then(Value::as_str)
                .unwrap_or("a later version of age-oauth");
            let why = format!(
                "it was written by {writer} (schema {schema}); this version reads up to schema {SCHEMA}"
            );
            return Err(unusable(self.meta_path(id), why, ConnectionFault::Newer));
        }
        if schema < FIRST_SCHEMA {
            return Err(self.not_imported(id.as_str()));
        }
        let meta: Meta = serde_json::from_value(Value::Object(document.clone()))
            .map_err(|why| damaged(why.to_string()))?;
        let connection = meta
            .into_connection(self.ca_path(id))
            .map_err(|why| damaged(why.to_string()))?;
        // A folder that was copied by hand would otherwise be a second connection with the same
        // secrets.
        if connection.id != *id {
            let why = format!("it belongs to another ID, {}", connection.id);
            return Err(damaged(why));
        }
        Ok(connection)
    }

    /// The bytes of a `meta.json`: the connection's fields over those in `document`, so that fields
    /// of later versions stay. A document that could not be read again is an error.
    pub(crate) fn serialize(
        &self,
        mut document: Map<String, Value>,
        connection: &Connection,
    ) -> Result<Vec<u8>> {
        let writer = concat!("age-oauth ", env!("CARGO_PKG_VERSION"));
        document.insert("schema_version".into(), schema_of(connection).into());
        document.insert("written_by".into(), writer.into());
        let meta = Meta::of(connection, &self.ca_path(&connection.id));
        let fields: Map<String, Value> = serde_json::to_value(meta)
            .and_then(serde_json::from_value)
            .map_err(|why| Error::invalid("connection", why.to_string()))?;
        document.extend(fields);
        let mut bytes = format!("{:#}", Value::Object(document)).into_bytes();
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_META_BYTES {
            return Err(Error::invalid(
                "connection",
                format!("its description would be larger than {MAX_META_BYTES} bytes"),
            ));
        }
        Ok(bytes)
    }
}

/// The oldest schema whose readers understand the connection.
fn schema_of(connection: &Connection) -> u64 {
    if connection.grant.kind() == GrantKind::ApiKey {
        KEY_SCHEMA
    } else if connection.secret_command.is_some() {
        COMMAND_SCHEMA
    } else if connection.grant == Grant::Network
        || connection.urls.separate_api_url().is_some()
        || connection.client_certificate.is_some()
        || connection.web_tier != WebTier::None
    {
        ACCESS_SCHEMA
    } else {
        BOUND_SCHEMA
    }
}

fn unusable(path: PathBuf, why: String, fault: ConnectionFault) -> Error {
    Error::UnusableConnection { path, why, fault }
}

impl Plaintext {
    /// The connection of the Python package that the document describes; `None` where it is one of
    /// ours.
    pub(super) fn in_document(id: &ConnectionId, document: &Map<String, Value>) -> Option<Self> {
        let schema = document.get("schema_version").and_then(Value::as_u64);
        if schema.unwrap_or(1) >= FIRST_SCHEMA || cfg!(not(feature = "migrate")) {
            return None;
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        Some(Self {
            id: id.to_string(),
            label: text("label").unwrap_or(id.as_str()).to_owned(),
            portal_url: text("portal_url").unwrap_or_default().to_owned(),
        })
    }
}

/// The fields of `meta.json` as they are written; [`Connection`] is what they mean.
#[derive(Deserialize, Serialize)]
struct Meta {
    id: String,
    label: String,
    portal_url: String,
    #[serde(default)]
    api_url: Option<String>,
    #[serde(default)]
    api_url_confirmed: Option<String>,
    auth_type: String,
    client_id: String,
    #[serde(default)]
    client_secret_command: Option<Vec<String>>,
    #[serde(default)]
    api_key_command: Option<Vec<String>>,
    #[serde(default)]
    api_key_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pkce: Option<bool>,
    referer: Option<String>,
    verify_ssl: Option<bool>,
    ca_bundle: Option<String>,
    ca_source: Option<String>,
    #[serde(default)]
    pinned_certificate: Option<String>,
    #[serde(default)]
    pinned_host: Option<String>,
    #[serde(default)]
    client_certificate: Option<ClientCertificateMeta>,
    #[serde(default)]
    web_tier: Option<String>,
    #[serde(default)]
    web_tier_principal: Option<String>,
    proxy: Option<String>,
    keychain: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    created_at: Option<String>,
    last_used_at: Option<String>,
    username: Option<String>,
    signed_in_at: Option<String>,
    refresh_issued_at: Option<String>,
    refresh_expires_at: Option<String>,
    extendable: Option<bool>,
    access_expires_at: Option<String>,
    last_failure: Option<String>,
    #[serde(default)]
    renewal_failure: Option<FailureNoteMeta>,
    #[serde(default)]
    grant_refused_at: Option<String>,
    #[serde(default)]
    api_key_refused_at: Option<String>,
    legacy_id: Option<String>,
    machine: Option<String>,
}

/// How a renewal failed, as it is written.
#[derive(Deserialize, Serialize)]
struct FailureNoteMeta {
    at: String,
    #[serde(default)]
    machine: String,
    kind: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    proxy: Option<String>,
    how: String,
}

/// The kinds of failures that are written.
const COMMAND_FAILED: &str = "secret_command";
const NOT_REACHED: &str = "unreachable";
const REFUSED: &str = "refused";

impl FailureNoteMeta {
    fn of(note: &RenewalFailureNote) -> Self {
        let (kind, request) = match &note.failure {
            RenewalFailure::SecretCommand => (COMMAND_FAILED, None),
            RenewalFailure::Unreachable(request) => (NOT_REACHED, Some(request)),
            RenewalFailure::Refused(request) => (REFUSED, Some(request)),
        };
        Self {
            // To the nanosecond: it is compared with the moment at which another process began to
            // wait.
            at: note.at.to_string(),
            machine: note.machine.clone(),
            kind: kind.to_owned(),
            url: request.map(|request| request.url.clone()),
            proxy: request.and_then(|request| request.proxy.clone()),
            how: note.how.clone(),
        }
    }

    /// What cannot be read is of no use to anyone.
    fn into_note(self) -> Option<RenewalFailureNote> {
        let bounded = |text: String| one_line(&text, LONGEST_FAILURE_NOTE);
        let request = self.url.map(|url| FailedRequest {
            url: bounded(url),
            proxy: self.proxy,
        });
        let failure = match (self.kind.as_str(), request) {
            (COMMAND_FAILED, _) => RenewalFailure::SecretCommand,
            (NOT_REACHED, Some(request)) => RenewalFailure::Unreachable(request),
            (REFUSED, Some(request)) => RenewalFailure::Refused(request),
            _ => return None,
        };
        Some(RenewalFailureNote {
            at: self.at.parse().ok()?,
            machine: self.machine,
            failure,
            how: bounded(self.how),
        })
    }
}

/// The client certificate as it is written.
#[derive(Deserialize, Serialize)]
struct ClientCertificateMeta {
    source: String,
    subject: String,
    issuer: String,
    not_after: String,
    sha256: String,
}

impl ClientCertificateMeta {
    fn of(setting: &ClientCertificateSetting) -> Self {
        Self {
            source: setting.source.to_string(),
            subject: setting.subject.clone(),
            issuer: setting.issuer.clone(),
            not_after: rfc3339(setting.not_after),
            sha256: setting.sha256.clone(),
        }
    }

    fn into_setting(self) -> Result<ClientCertificateSetting> {
        let not_after = self.not_after.parse();
        Ok(ClientCertificateSetting {
            source: self.source.parse()?,
            subject: self.subject,
            issuer: self.issuer,
            not_after: not_after.map_err(|_| {
                Error::invalid("client_certificate", "its end is not a date and time")
            })?,
            sha256: self.sha256,
        })
    }
}

impl Meta {
    fn of(connection: &Connection, ca_path: &Path) -> Self {
        let Connection { status, .. } = connection;
        let (redirect_uri, pkce) = match &connection.grant {
            Grant::User { redirect_uri, pkce } => (Some(redirect_uri.to_string()), Some(*pkce)),
            Grant::Application | Grant::Network | Grant::ApiKey { .. } => (None, None),
        };
        let command = |prints| {
            let is_it = connection.grant.kind().printed_secret() == prints;
            let command = connection.secret_command.as_ref().filter(|_| is_it);
            command.map(|command| command.words().to_vec())
        };
        Self {
            id: connection.id.to_string(),
            label: connection.label.to_string(),
            portal_url: connection.browser_url().to_string(),
            api_url: connection.urls.separate_api_url().map(PortalUrl::to_string),
            api_url_confirmed: connection
                .confirmed_api_url
                .as_ref()
                .map(PortalUrl::to_string),
            auth_type: connection.grant.as_str().to_owned(),
            client_id: connection.client_id.clone(),
            client_secret_command: command(PrintedSecret::ClientSecret),
            api_key_command: command(PrintedSecret::ApiKey),
            api_key_expires_at: connection.grant.api_key_expires_at().map(rfc3339),
            redirect_uri,
            pkce,
            referer: connection.referer.clone(),
            verify_ssl: Some(!matches!(connection.tls, Tls::Unverified)),
            ca_bundle: match &connection.tls {
                Tls::Ca(path) if path == ca_path => Some(OWN_CA.to_owned()),
                // A person wrote another path into `meta.json`.
                Tls::Ca(path) => Some(path.to_string_lossy().into_owned()),
                Tls::System | Tls::Unverified | Tls::Pinned { .. } => None,
            },
            pinned_certificate: match &connection.tls {
                Tls::Pinned { path, .. } => path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
                _ => None,
            },
            pinned_host: match &connection.tls {
                Tls::Pinned { host, .. } => Some(host.clone()),
                _ => None,
            },
            ca_source: connection.ca_source.clone(),
            client_certificate: connection
                .client_certificate
                .as_ref()
                .map(ClientCertificateMeta::of),
            web_tier: Some(connection.web_tier.as_str().to_owned()),
            web_tier_principal: connection.web_tier.principal().map(Principal::to_string),
            proxy: Some(connection.proxy.as_str().to_owned()),
            keychain: Some(connection.keychain.as_str().to_owned()),
            tags: connection.tags.clone(),
            created_at: connection.created_at.map(rfc3339),
            last_used_at: connection.last_used_at.map(rfc3339),
            username: status.username.clone(),
            signed_in_at: status.signed_in_at.map(rfc3339),
            refresh_issued_at: status.refresh_issued_at.map(rfc3339),
            refresh_expires_at: status.refresh_expires_at.map(rfc3339),
            extendable: status.extendable,
            access_expires_at: status.access_expires_at.map(rfc3339),
            last_failure: status.last_failure.clone(),
            renewal_failure: status.renewal_failure.as_ref().map(FailureNoteMeta::of),
            grant_refused_at: status.grant_refused_at.map(rfc3339),
            api_key_refused_at: status.api_key_refused_at.map(rfc3339),
            legacy_id: connection.legacy_id.clone(),
            machine: status.machine.clone(),
        }
    }

    fn tls(&self, ca_path: PathBuf) -> Result<Tls> {
        let shown_by = self
            .ca_source
            .as_deref()
            .and_then(|source| source.strip_prefix(SHOWN_BY));
        Ok(
            match (self.verify_ssl.unwrap_or(true), self.ca_bundle.as_deref()) {
                (false, _) => Tls::Unverified,
                (true, None) => match (self.pinned_certificate.as_deref(), &self.pinned_host) {
                    (Some(name @ (OWN_PIN | OWN_CA)), Some(host)) => Tls::Pinned {
                        path: ca_path.with_file_name(name),
                        host: host.clone(),
                    },
                    (None, None) => Tls::System,
                    _ => {
                        return Err(Error::invalid(
                            "pinned_certificate",
                            "it is `pinned.pem`, and `pinned_host` is its host",
                        ))
                    }
                },
                // Version 0.3.0 stored a pinned certificate like an authority.
                (true, Some(name)) if name == OWN_CA => match shown_by {
                    Some(host) => Tls::Pinned {
                        host: host.to_owned(),
                        path: ca_path,
                    },
                    None => Tls::Ca(ca_path),
                },
                (true, Some(path)) => Tls::Ca(PathBuf::from(path)),
            },
        )
    }

    fn web_tier(&self) -> Result<WebTier> {
        match (self.web_tier.as_deref(), &self.web_tier_principal) {
            (None | Some(WebTier::NONE), None) => Ok(WebTier::None),
            (Some(WebTier::WINDOWS), Some(principal)) => Ok(WebTier::Windows(principal.parse()?)),
            _ => Err(Error::invalid(
                "web_tier",
                "it is `none`, or `windows` with `web_tier_principal`",
            )),
        }
    }

    fn into_connection(self, ca_path: PathBuf) -> Result<Connection> {
        let time = |text: Option<String>| text.and_then(|text| text.parse::<Timestamp>().ok());
        let tls = self.tls(ca_path)?;
        let web_tier = self.web_tier()?;
        let grant = match self.auth_type.as_str() {
            "user" => Grant::User {
                redirect_uri: match self.redirect_uri {
                    Some(uri) => uri.parse()?,
                    None => RedirectUri::OutOfBand,
                },
                pkce: self.pkce.unwrap_or(true),
            },
            "app" => Grant::Application,
            "network" => Grant::Network,
            "key" => Grant::ApiKey {
                expires_at: time(self.api_key_expires_at),
            },
            _ => {
                return Err(Error::invalid(
                    "auth_type",
                    "it is `user`, `app`, `network` or `key`",
                ))
            }
        };
        let command = match grant.kind().printed_secret() {
            PrintedSecret::ClientSecret => self.client_secret_command,
            PrintedSecret::ApiKey => self.api_key_command,
        };
        let connection = Connection {
            id: self.id.parse()?,
            label: self.label.parse()?,
            urls: PortalUrls::new(
                self.portal_url.parse()?,
                self.api_url.as_deref().map(str::parse).transpose()?,
            )?,
            // A copy for display: what cannot be read confirms nothing.
            confirmed_api_url: self.api_url_confirmed.and_then(|url| url.parse().ok()),
            grant,
            client_id: self.client_id,
            secret_command: command.map(SecretCommand::from_words).transpose()?,
            tls,
            client_certificate: self
                .client_certificate
                .map(ClientCertificateMeta::into_setting)
                .transpose()?,
            web_tier,
            referer: self.referer.filter(|referer| !referer.is_empty()),
            proxy: self.proxy.map_or(Ok(Proxy::System), |text| text.parse())?,
            keychain: self
                .keychain
                .map_or(Ok(KeychainKind::default()), |text| text.parse())?,
            tags: self.tags,
            created_at: time(self.created_at),
            last_used_at: time(self.last_used_at),
            ca_source: self.ca_source,
            status: Status {
                username: self.username,
                signed_in_at: time(self.signed_in_at),
                refresh_issued_at: time(self.refresh_issued_at),
                refresh_expires_at: time(self.refresh_expires_at),
                extendable: self.extendable,
                access_expires_at: time(self.access_expires_at),
                last_failure: self.last_failure,
                renewal_failure: self.renewal_failure.and_then(FailureNoteMeta::into_note),
                grant_refused_at: time(self.grant_refused_at),
                api_key_refused_at: time(self.api_key_refused_at),
                machine: self.machine,
            },
            legacy_id: self.legacy_id,
        };
        connection.check_kind()?;
        Ok(connection)
    }
}
