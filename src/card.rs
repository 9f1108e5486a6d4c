//! The connection card: a connection as a file for colleagues. It has everything that they need to
//! use the same registered application, and does not contain a secret.
//!
//! A card comes from another person and is not trusted. It cannot contain what weakens a connection
//! (unchecked certificates, no PKCE, plain HTTP) or what belongs to one machine (a proxy); a card
//! with such a field is refused. Its digest detects damage and careless edits, not forgery: whether
//! to trust it is decided by the person who adds it, after seeing the portal, the client ID and the
//! fingerprints.

use serde::{Deserialize, Serialize};

use crate::connection::{
    Connection, Grant, GrantKind, Label, PortalUrl, PortalUrls, RedirectUri, Tls,
};
use crate::error::{Error, Result};
use crate::http;
use crate::manage::{check_client_id, check_referer};
use crate::secret::Secret;

/// The newest version of the format, that of connections with an API key. A card carries neither a
/// key nor its end nor a command: each person has a key of their own.
const VERSION: u64 = 3;

/// The version of cards with an API URL, or that say that a client certificate or Windows sign-in
/// is needed. A program that does not know it would leave that out.
const ACCESS_VERSION: u64 = 2;

/// The version of cards without all of these.
const FIRST_VERSION: u64 = 1;

/// The largest card that is read, in bytes. Even a long chain of certificates takes a fraction of
/// that.
pub const MAX_CARD_BYTES: u64 = 64 * 1024;

/// A connection card: a connection as a file for colleagues, without secrets. It comes from another
/// person; show its portal and client ID before you add it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Card {
    /// The connection's label on the machine where the card was made.
    pub label: Label,
    /// The portal's addresses; always https.
    pub urls: PortalUrls,
    /// The kind of sign-in; for users, always with PKCE.
    pub grant: Grant,
    /// The client ID of the registered application. Empty for a network connection and one with an
    /// API key.
    pub client_id: String,
    /// Sent as `Referer` header with every request. `None` sends no such header.
    pub referer: Option<String>,
    /// Certificates to trust for this connection, in DER form.
    pub certificates: Vec<Vec<u8>>,
    /// Whether it is one certificate that is trusted by itself and for the portal's host alone, and
    /// not authorities.
    pub pinned: bool,
    /// Whether the web server in front of the portal asks for a client certificate. The card does
    /// not contain one: each person has their own.
    pub needs_client_certificate: bool,
    /// Whether the web server in front of the portal asks for Windows sign-in. The card does not
    /// say as whom: each person has an account of their own.
    pub needs_windows_sign_in: bool,
}

/// A card as JSON. `serde` refuses unknown fields, and with them whatever a card must not carry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardFields {
    age_oauth_card: u64,
    label: String,
    portal_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    client_id: String,
    auth_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned_certificate: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    needs_client_certificate: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    needs_windows_sign_in: bool,
    sha256: String,
}

impl CardFields {
    /// The SHA-256 digest of all fields but the digest itself, in hexadecimal.
    fn digest(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(|why| bad(why.to_string()))?;
        if let Some(object) = value.as_object_mut() {
            object.remove("sha256");
        }
        Ok(http::fingerprint(value.to_string().as_bytes()))
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::invalid("connection card", why)
}

/// The oldest version whose readers understand the card.
fn version_of(has_api_url: bool, needs_sign_in: bool, has_api_key: bool) -> u64 {
    if has_api_key {
        VERSION
    } else if has_api_url || needs_sign_in {
        ACCESS_VERSION
    } else {
        FIRST_VERSION
    }
}

impl Card {
    /// The card of a connection. `ca` is the content of its `ca.pem`, if it has one.
    ///
    /// [`Error::Invalid`] for a connection over plain HTTP, which cannot have a card.
    pub fn of(connection: &Connection, ca: Option<&[u8]>) -> Result<Self> {
        let certificates = match ca {
            Some(pem) => http::read_certificates(pem).map_err(bad)?,
            None => Vec::new(),
        };
        require_https(&connection.urls)?;
        Ok(Self {
            label: connection.label.clone(),
            urls: connection.urls.clone(),
            grant: match &connection.grant {
                Grant::User { redirect_uri, .. } => Grant::User {
                    redirect_uri: redirect_uri.clone(),
                    pkce: true,
                },
                other @ (Grant::Application | Grant::Network) => other.clone(),
                Grant::ApiKey { .. } => Grant::ApiKey { expires_at: None },
            },
            client_id: connection.client_id.clone(),
            referer: connection.referer.clone(),
            certificates: certificates.iter().map(|der| der.to_vec()).collect(),
            pinned: matches!(connection.tls, Tls::Pinned { .. }),
            needs_client_certificate: connection.client_certificate.is_some(),
            needs_windows_sign_in: connection.web_tier.principal().is_some(),
        })
    }

    /// The card as indented JSON.
    pub fn to_json(&self) -> Result<String> {
        let pem = Some(http::to_pem(&self.certificates)).filter(|pem| !pem.is_empty());
        let (ca, pinned_certificate) = if self.pinned {
            (None, pem)
        } else {
            (pem, None)
        };
        let mut fields = CardFields {
            age_oauth_card: version_of(
                self.urls.separate_api_url().is_some(),
                self.needs_client_certificate || self.needs_windows_sign_in,
                self.grant.kind() == GrantKind::ApiKey,
            ),
            label: self.label.to_string(),
            portal_url: self.urls.browser_url().as_str().to_owned(),
            api_url: self
                .urls
                .separate_api_url()
                .map(|url| url.as_str().to_owned()),
            client_id: self.client_id.clone(),
            auth_type: self.grant.as_str().to_owned(),
            redirect_uri: match &self.grant {
                Grant::User { redirect_uri, .. } => Some(redirect_uri.as_str().to_owned()),
                Grant::Application | Grant::Network | Grant::ApiKey { .. } => None,
            },
            referer: self.referer.clone(),
            ca,
            pinned_certificate,
            needs_client_certificate: self.needs_client_certificate,
            needs_windows_sign_in: self.needs_windows_sign_in,
            sha256: String::new(),
        };
        fields.sha256 = fields.digest()?;
        serde_json::to_string_pretty(&fields).map_err(|why| bad(why.to_string()))
    }

    /// The error for a file that is larger than a card may be.
    pub(crate) fn too_large() -> Error {
        bad(format!("it is larger than {} KiB", MAX_CARD_BYTES / 1024))
    }

    /// Reads a card, in any encoding that [`Secret::from_file`] understands.
    ///
    /// [`Error::Invalid`] for other content, for a newer version, and for a card that was changed
    /// after it was made.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        if bytes.len() as u64 > MAX_CARD_BYTES {
            return Err(Self::too_large());
        }
        let text = Secret::from_file(bytes).ok_or_else(|| bad("it is not text"))?;
        let value: serde_json::Value = serde_json::from_str(text.expose())
            .map_err(|why| bad(format!("it is not JSON: {why}")))?;
        match value.get("age_oauth_card").and_then(serde_json::Value::as_u64) {
            Some(FIRST_VERSION..=VERSION) => {}
            Some(newer) if newer > VERSION => {
                return Err(bad(format!(
                    "it has version {newer}, and this program reads versions up to {VERSION}; install a newer age-oauth"
                )))
            }
            _ => return Err(bad("the field `age_oauth_card` is missing")),
        }
        let fields: CardFields =
            serde_json::from_value(value).map_err(|why| bad(why.to_string()))?;
        let digest = fields.digest()?;
        if !digest.eq_ignore_ascii_case(&fields.sha256) {
            return Err(bad("it was changed after it was made; ask for a new one"));
        }
        fields.into_card()
    }
}

impl CardFields {
    fn into_card(self) -> Result<Card> {
        let api: Option<PortalUrl> = self.api_url.as_deref().map(str::parse).transpose()?;
        let needs_sign_in = self.needs_client_certificate || self.needs_windows_sign_in;
        let has_api_key = self.auth_type == GrantKind::ApiKey.as_str();
        if self.age_oauth_card != version_of(api.is_some(), needs_sign_in, has_api_key) {
            return Err(bad(
                "`age_oauth_card` does not fit `auth_type`, `api_url`, `needs_client_certificate` and `needs_windows_sign_in`",
            ));
        }
        let urls = PortalUrls::new(self.portal_url.parse()?, api)?;
        require_https(&urls)?;
        let grant = match (self.auth_type.as_str(), self.redirect_uri) {
            ("user", uri) => Grant::User {
                redirect_uri: uri.map_or(Ok(RedirectUri::OutOfBand), |uri| uri.parse())?,
                pkce: true,
            },
            ("app", None) => Grant::Application,
            ("key", None) => Grant::ApiKey { expires_at: None },
            ("network", None) if needs_sign_in => Grant::Network,
            ("network", None) => {
                return Err(bad(
                    "a network connection needs a client certificate or Windows sign-in",
                ))
            }
            _ => return Err(bad("`auth_type` and `redirect_uri` do not fit together")),
        };
        let client_id = match grant.kind() {
            GrantKind::User | GrantKind::Application => check_client_id(&self.client_id)?,
            GrantKind::Network | GrantKind::ApiKey if self.client_id.is_empty() => String::new(),
            GrantKind::Network | GrantKind::ApiKey => {
                return Err(bad("this kind of connection has no client ID"))
            }
        };
        let pinned = self.pinned_certificate.is_some();
        if pinned && self.ca.is_some() {
            return Err(bad("`ca` and `pinned_certificate` do not fit together"));
        }
        let certificates = match self.ca.as_ref().or(self.pinned_certificate.as_ref()) {
            Some(pem) => http::read_certificates(pem.as_bytes())
                .map_err(|why| bad(format!("its certificates: {why}")))?,
            None => Vec::new(),
        };
        Ok(Card {
            label: self.label.parse()?,
            urls,
            grant,
            client_id,
            referer: self.referer.as_deref().map(check_referer).transpose()?,
            certificates: certificates.iter().map(|der| der.to_vec()).collect(),
            pinned,
            needs_client_certificate: self.needs_client_certificate,
            needs_windows_sign_in: self.needs_windows_sign_in,
        })
    }
}

fn require_https(urls: &PortalUrls) -> Result<()> {
    let is_https = |url: &PortalUrl| url.as_str().starts_with("https://");
    match (is_https(urls.browser_url()), is_https(urls.api_url())) {
        (true, true) => Ok(()),
        (false, _) => Err(bad("the portal URL must begin with https://")),
        (true, false) => Err(bad("the API URL must begin with https://")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> Card {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Card {
            label: "Prod ü".parse().unwrap(),
            urls: PortalUrls::new(
                "https://gis.example.com/portal".parse().unwrap(),
                Some("https://portal01:7443/arcgis".parse().unwrap()),
            )
            .unwrap(),
            grant: Grant::User {
                redirect_uri: "http://127.0.0.1:53682/callback".parse().unwrap(),
                pkce: true,
            },
            client_id: "abc".into(),
            referer: Some("https://gis.example.com".into()),
            certificates: vec![made.cert.der().to_vec()],
            pinned: false,
            needs_client_certificate: false,
            needs_windows_sign_in: false,
        }
    }

    /// The card with one field changed, and with a digest that fits if `new_digest`.
    fn changed(field: &str, value: serde_json::Value, new_digest: bool) -> Result<Card> {
        let mut text: serde_json::Value = serde_json::from_str(&card().to_json().unwrap()).unwrap();
        text[field] = value;
        if new_digest {
            text.as_object_mut().unwrap().remove("sha256");
            text["sha256"] = http::fingerprint(text.to_string().as_bytes()).into();
        }
        Card::parse(text.to_string().into_bytes())
    }

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let card = card();
        let text = card.to_json().unwrap();
        assert_eq!(Card::parse(text.clone().into_bytes()).unwrap(), card);
        let utf16: Vec<u8> = format!("\u{feff}{}", text.replace('\n', "\r\n"))
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(Card::parse(utf16).unwrap(), card);
        let application = Card {
            grant: Grant::Application,
            referer: None,
            certificates: Vec::new(),
            pinned: false,
            needs_client_certificate: false,
            needs_windows_sign_in: false,
            urls: card.urls.browser_url().clone().into(),
            ..card
        };
        let text = application.to_json().unwrap();
        assert!(
            text.contains("\"age_oauth_card\": 1"),
            "older programs read it"
        );
        assert_eq!(Card::parse(text.into_bytes()).unwrap(), application);
    }

    #[test]
    fn the_card_of_a_network_connection_has_no_client_id_and_needs_an_answer_to_the_web_server() {
        let network = Card {
            grant: Grant::Network,
            client_id: String::new(),
            needs_windows_sign_in: true,
            ..card()
        };
        let text = network.to_json().unwrap();
        assert!(!text.contains("client_id"), "{text}");
        assert_eq!(Card::parse(text.into_bytes()).unwrap(), network);
        let refused = |card: Card| Card::parse(card.to_json().unwrap().into_bytes()).is_err();
        assert!(refused(Card {
            needs_windows_sign_in: false,
            ..network.clone()
        }));
        assert!(refused(Card {
            client_id: "abc".into(),
            ..network.clone()
        }));
        assert!(refused(Card {
            grant: Grant::Application,
            ..network
        }));
    }

    #[test]
    fn the_card_of_an_api_key_has_neither_client_id_nor_end() {
        let key = Card {
            grant: Grant::ApiKey { expires_at: None },
            client_id: String::new(),
            ..card()
        };
        let text = key.to_json().unwrap();
        assert!(text.contains("\"age_oauth_card\": 3"), "{text}");
        assert!(!text.contains("client_id"), "{text}");
        assert_eq!(Card::parse(text.into_bytes()).unwrap(), key);
        let mut connection = Connection::new(
            key.label.clone(),
            key.urls.browser_url().clone(),
            Grant::ApiKey {
                expires_at: Some(jiff::Timestamp::UNIX_EPOCH),
            },
            String::new(),
        );
        connection.urls = key.urls.clone();
        assert_eq!(Card::of(&connection, None).unwrap().grant, key.grant);
        let with_id = Card {
            client_id: "abc".into(),
            ..key
        };
        assert!(Card::parse(with_id.to_json().unwrap().into_bytes()).is_err());
    }

    #[test]
    fn a_weakening_field_is_refused_even_with_a_digest_that_fits() {
        for (field, value) in [
            ("portal_url", "https://evil.example/portal".into()),
            ("api_url", "https://evil.example:7443/arcgis".into()),
            ("client_id", "other".into()),
            ("label", "other".into()),
            ("sha256", "00".into()),
        ] {
            assert!(changed(field, value, false).is_err(), "{field}");
        }
        assert!(changed("label", "other".into(), true).is_ok());
        for (field, value) in [
            ("portal_url", "http://localhost:7080/portal".into()),
            ("portal_url", "https://me:pw@h/portal".into()),
            ("verify_ssl", false.into()),
            ("proxy", "http://evil.example".into()),
            ("pkce", false.into()),
            ("client_secret", "x".into()),
            ("label", "x".repeat(65).into()),
            ("label", "a\nb".into()),
            ("client_id", "two words".into()),
            ("referer", "a\r\nX: y".into()),
            ("auth_type", "app".into()),
            ("auth_type", "admin".into()),
            ("ca", "-----BEGIN CERTIFICATE-----\nAAAA".into()),
            ("api_url", "http://localhost:7080/portal".into()),
            ("api_url", serde_json::Value::Null),
            // A program that reads only this version would leave the API URL out.
            ("age_oauth_card", 1.into()),
            ("age_oauth_card", 3.into()),
            ("age_oauth_card", "1".into()),
        ] {
            assert!(changed(field, value, true).is_err(), "{field}");
        }
        assert!(Card::parse(vec![b' '; 70_000]).is_err());
        assert!(Card::parse(vec![0xff]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Card::parse(bytes);
        }
    }
}
