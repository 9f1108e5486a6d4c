//! The binding: what a stored secret may be used for. No I/O.

use ring::digest::{digest, SHA256};
use serde::{Deserialize, Serialize};

use crate::bound_setting::BoundSetting;
use crate::connection::{Connection, Grant, Principal, Proxy, SecretCommand, Tls};
use crate::error::PrintedSecret;
use crate::secret::Secret;
use crate::util::hex;

/// What decides whom a secret is sent to, and how. Every stored secret carries it, and is used for
/// no other portal and in no other way, so that a changed `meta.json` cannot redirect it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Binding {
    /// The portal's root, without a trailing slash.
    pub portal_url: String,
    /// The client ID.
    pub client_id: String,
    /// The other settings. `None` in records of earlier versions, which did not bind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Further states of `meta.json` that are accepted: those that a change by this program, which
    /// may have been interrupted, passes through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Binding>,
}

/// The settings beside portal and client ID that secrets are bound to, as texts to compare.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// `None` where programs use the portal's own address, and in records of versions that knew no
    /// other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
    auth_type: String,
    verification: String,
    proxy: String,
    pkce: bool,
    redirect_uri: Option<String>,
    /// Where the client certificate is stored; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    /// As whom Windows sign-in is answered; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web_tier: Option<String>,
    /// The command that gives the client secret; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_command: Option<String>,
    /// The command that gives the API key; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key_command: Option<String>,
}

/// Verification by the platform's authorities alone.
const SYSTEM: &str = "system";

/// The certificate file cannot be read. That is accepted by no record.
const UNREADABLE: &str = "unreadable";

impl Binding {
    /// The binding that a connection's settings and the content of its certificate file name.
    /// `certificates` is `None` if the file is absent or cannot be read.
    #[must_use]
    pub fn of(connection: &Connection, certificates: Option<&[u8]>) -> Self {
        let (pkce, redirect_uri) = match &connection.grant {
            Grant::User { redirect_uri, pkce } => (*pkce, Some(redirect_uri.to_string())),
            Grant::Application | Grant::Network | Grant::ApiKey { .. } => (true, None),
        };
        let command = |prints| {
            let is_it = connection.grant.kind().printed_secret() == prints;
            let command = connection.secret_command.as_ref().filter(|_| is_it);
            command.map(SecretCommand::to_string)
        };
        Self {
            portal_url: connection.browser_url().as_str().to_owned(),
            client_id: connection.client_id.clone(),
            settings: Some(Settings {
                api_url: connection
                    .urls
                    .separate_api_url()
                    .map(|url| url.as_str().to_owned()),
                auth_type: connection.grant.as_str().to_owned(),
                verification: verification(&connection.tls, certificates),
                proxy: connection.proxy.as_str().to_owned(),
                pkce,
                redirect_uri,
                client_certificate: connection
                    .client_certificate
                    .as_ref()
                    .map(|certificate| certificate.source.to_string()),
                web_tier: connection.web_tier.principal().map(Principal::to_string),
                secret_command: command(PrintedSecret::ClientSecret),
                api_key_command: command(PrintedSecret::ApiKey),
            }),
            pending: Vec::new(),
        }
    }

    /// The record as the keychain stores it.
    #[must_use]
    pub fn to_record(&self) -> Secret {
        // A structure of texts can always be written.
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads a record. `None` for any other text.
    #[must_use]
    pub fn from_record(record: &Secret) -> Option<Self> {
        serde_json::from_str(record.expose()).ok()
    }

    /// Whether the record was written by a version that bound only portal and client ID.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.settings.is_none()
    }

    /// Whether a secret with this binding may be used as `named`, which is what `meta.json` names.
    #[must_use]
    pub fn accepts(&self, named: &Self) -> bool {
        differences(Some(self), named).is_empty()
    }

    /// The same binding, which also accepts the states that a change passes through.
    #[must_use]
    pub fn with_pending(&self, pending: impl IntoIterator<Item = Self>) -> Self {
        let mut binding = self.clone();
        binding.pending.extend(pending);
        binding
    }

    /// How a message shows a setting; `None` where it is not bound or does not apply.
    #[must_use]
    pub fn value(&self, setting: BoundSetting) -> Option<String> {
        let settings = self.settings.as_ref();
        match setting {
            BoundSetting::Portal => Some(self.portal_url.clone()),
            BoundSetting::ApiUrl => settings.and_then(|s| s.api_url.clone()),
            BoundSetting::ClientId => Some(self.client_id.clone()),
            BoundSetting::AuthType => settings.map(|s| s.auth_type.clone()),
            BoundSetting::Verification => settings.map(|s| s.verification.clone()),
            BoundSetting::Proxy => settings.map(|s| s.proxy.clone()),
            BoundSetting::Pkce => settings.map(|s| s.pkce.to_string()),
            BoundSetting::RedirectUri => settings.and_then(|s| s.redirect_uri.clone()),
            BoundSetting::ClientCertificate => settings.and_then(|s| s.client_certificate.clone()),
            BoundSetting::WebTier => settings.and_then(|s| s.web_tier.clone()),
            BoundSetting::SecretCommand => settings.and_then(|s| s.secret_command.clone()),
            BoundSetting::ApiKeyCommand => settings.and_then(|s| s.api_key_command.clone()),
        }
    }
}

/// The settings in which `named` differs from what the keychain's record is bound to.
///
/// A record of an earlier version, and a connection without any record, were never bound to the
/// settings that could lead secrets elsewhere. For these, only the safe values are accepted: those
/// of `meta.json` could have been written by anyone.
#[must_use]
pub fn differences(stored: Option<&Binding>, named: &Binding) -> Vec<BoundSetting> {
    let Some(stored) = stored else {
        return unsafe_settings(named);
    };
    if stored.pending.iter().any(|pending| pending == named) {
        return Vec::new();
    }
    let compared = |setting: &BoundSetting| {
        let value = named.value(*setting);
        value != stored.value(*setting) || value.as_deref() == Some(UNREADABLE)
    };
    if stored.is_old() {
        let mut all = vec![BoundSetting::Portal, BoundSetting::ClientId];
        all.retain(compared);
        all.extend(unsafe_settings(named));
        return all;
    }
    let mut all = BoundSetting::ALL.to_vec();
    all.retain(compared);
    all
}

/// The settings that must have been chosen by a person, and not by a file.
fn unsafe_settings(named: &Binding) -> Vec<BoundSetting> {
    let Some(settings) = &named.settings else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if settings.api_url.is_some() {
        all.push(BoundSetting::ApiUrl);
    }
    if settings.verification != SYSTEM {
        all.push(BoundSetting::Verification);
    }
    if settings.proxy != Proxy::System.as_str() {
        all.push(BoundSetting::Proxy);
    }
    if !settings.pkce {
        all.push(BoundSetting::Pkce);
    }
    if settings.client_certificate.is_some() {
        all.push(BoundSetting::ClientCertificate);
    }
    if settings.web_tier.is_some() {
        all.push(BoundSetting::WebTier);
    }
    if settings.secret_command.is_some() {
        all.push(BoundSetting::SecretCommand);
    }
    if settings.api_key_command.is_some() {
        all.push(BoundSetting::ApiKeyCommand);
    }
    all
}

fn verification(tls: &Tls, certificates: Option<&[u8]>) -> String {
    let hash = |bytes: &[u8]| format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()));
    match (tls, certificates) {
        (Tls::System, _) => SYSTEM.to_owned(),
        (Tls::Unverified, _) => "not verified".to_owned(),
        (Tls::Ca(_), Some(bytes)) => hash(bytes),
        (Tls::Pinned { host, .. }, Some(bytes)) => format!("{} for {host} only", hash(bytes)),
        (Tls::Ca(_) | Tls::Pinned { .. }, None) => UNREADABLE.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::connection::{
        CertificateSource, ClientCertificateSetting, PortalUrl, PortalUrls, RedirectUri, WebTier,
    };
    use jiff::Timestamp;

    const PROGRAM: &str = if cfg!(windows) {
        r"C:\pass.exe"
    } else {
        "/usr/bin/pass"
    };

    fn url(text: &str) -> PortalUrl {
        text.parse().unwrap()
    }

    fn connection() -> Connection {
        let grant = Grant::User {
            redirect_uri: RedirectUri::OutOfBand,
            pkce: true,
        };
        let portal = "https://gis.example.com/portal".parse().unwrap();
        Connection::new("prod".parse().unwrap(), portal, grant, "id".into())
    }

    fn changed(change: impl FnOnce(&mut Connection)) -> Connection {
        let mut connection = connection();
        change(&mut connection);
        connection
    }

    fn each_setting() -> Vec<(BoundSetting, Connection)> {
        let user = |redirect: &str, pkce| Grant::User {
            redirect_uri: redirect.parse().unwrap(),
            pkce,
        };
        vec![
            (
                BoundSetting::Portal,
                changed(|c| c.urls = url("https://evil.example.com/portal").into()),
            ),
            (
                BoundSetting::ApiUrl,
                changed(|c| {
                    let api = url("https://evil.example.com:7443/arcgis");
                    c.urls = PortalUrls::new(c.browser_url().clone(), Some(api)).unwrap();
                }),
            ),
            (
                BoundSetting::ClientId,
                changed(|c| c.client_id = "other".into()),
            ),
            (
                BoundSetting::Verification,
                changed(|c| c.tls = Tls::Unverified),
            ),
            (
                BoundSetting::Verification,
                changed(|c| c.tls = Tls::Ca("ca.pem".into())),
            ),
            (
                BoundSetting::Proxy,
                changed(|c| c.proxy = "http://evil.example.com:8080".parse().unwrap()),
            ),
            (
                BoundSetting::Pkce,
                changed(|c| c.grant = user(RedirectUri::OUT_OF_BAND, false)),
            ),
            (
                BoundSetting::ClientCertificate,
                changed(|c| {
                    c.client_certificate = Some(ClientCertificateSetting {
                        source: CertificateSource::Keychain,
                        subject: "CN=ana".into(),
                        issuer: "CN=authority".into(),
                        not_after: Timestamp::UNIX_EPOCH,
                        sha256: "00".into(),
                    });
                }),
            ),
            (
                BoundSetting::WebTier,
                changed(|c| c.web_tier = WebTier::Windows("ana@EXAMPLE.COM".parse().unwrap())),
            ),
            (
                BoundSetting::SecretCommand,
                changed(|c| {
                    let words = vec![PROGRAM.to_owned(), "show".into()];
                    c.secret_command = Some(SecretCommand::from_words(words).unwrap());
                }),
            ),
            (
                BoundSetting::RedirectUri,
                changed(|c| c.grant = user("http://127.0.0.1:53682/", true)),
            ),
        ]
    }

    #[test]
    fn each_setting_is_bound() {
        let stored = Binding::of(&connection(), None);
        assert!(stored.accepts(&Binding::of(&connection(), None)));
        for (setting, connection) in each_setting() {
            let named = Binding::of(&connection, Some(b"certificate"));
            assert_eq!(differences(Some(&stored), &named), [setting]);
        }
        let application = Binding::of(&changed(|c| c.grant = Grant::Application), None);
        assert_eq!(
            differences(Some(&stored), &application),
            [BoundSetting::AuthType, BoundSetting::RedirectUri]
        );
    }

    #[test]
    fn certificates_are_bound_by_their_bytes() {
        let connection = changed(|c| c.tls = Tls::Ca("ca.pem".into()));
        let stored = Binding::of(&connection, Some(b"one"));
        assert!(stored.accepts(&Binding::of(&connection, Some(b"one"))));
        for other in [Some(&b"two"[..]), None] {
            let named = Binding::of(&connection, other);
            assert_eq!(
                differences(Some(&stored), &named),
                [BoundSetting::Verification]
            );
        }
    }

    #[test]
    fn an_old_record_and_a_missing_one_accept_only_the_safe_settings() {
        let mut old = Binding::of(&connection(), None);
        old.settings = None;
        assert!(old.accepts(&Binding::of(&connection(), None)));
        assert_eq!(differences(None, &Binding::of(&connection(), None)), []);
        for (setting, connection) in each_setting() {
            let named = Binding::of(&connection, Some(b"certificate"));
            let expected: &[_] = match setting {
                BoundSetting::RedirectUri => &[],
                _ => &[setting],
            };
            assert_eq!(differences(Some(&old), &named), expected);
            let expected: &[_] = match setting {
                BoundSetting::ApiUrl
                | BoundSetting::Verification
                | BoundSetting::Proxy
                | BoundSetting::Pkce
                | BoundSetting::ClientCertificate
                | BoundSetting::WebTier
                | BoundSetting::SecretCommand => &[setting],
                _ => &[],
            };
            assert_eq!(differences(None, &named), expected);
        }
    }

    #[test]
    fn rule_24d_records_without_an_api_url_take_over_none() {
        let with_api = changed(|c| {
            let api = url("https://evil.example.com:7443/arcgis");
            c.urls = PortalUrls::new(c.browser_url().clone(), Some(api)).unwrap();
        });
        let named = Binding::of(&with_api, None);
        let text = Binding::of(&connection(), None).to_record();
        assert!(!text.expose().contains("api_url"), "{}", text.expose());
        let stored = Binding::from_record(&text).unwrap();
        let mut old = stored.clone();
        old.settings = None;
        for stored in [Some(&stored), Some(&old), None] {
            assert_eq!(differences(stored, &named), [BoundSetting::ApiUrl]);
        }
        // Nor is one taken away.
        let stored = Binding::from_record(&named.to_record()).unwrap();
        assert!(stored.accepts(&named));
        let without = Binding::of(&connection(), None);
        assert_eq!(differences(Some(&stored), &without), [BoundSetting::ApiUrl]);
    }

    #[test]
    fn a_pending_state_is_accepted_as_a_whole() {
        let stored = Binding::of(&connection(), None);
        let proxied = changed(|c| c.proxy = Proxy::None);
        let both = changed(|c| {
            c.proxy = Proxy::None;
            c.client_id = "other".into();
        });
        let stored = stored.with_pending([Binding::of(&proxied, None)]);
        assert!(stored.accepts(&Binding::of(&connection(), None)));
        assert!(stored.accepts(&Binding::of(&proxied, None)));
        assert!(!stored.accepts(&Binding::of(&both, None)));
    }
}
