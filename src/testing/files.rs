//! What people hand to each other or write by hand: files, cards, addresses.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use super::{check_line, check_shown, is_control};
use crate::connection::{
    clean, Connection, ConnectionId, Grant, Label, PortalUrl, Proxy, RedirectUri,
};
use crate::federation::{is_secret_parameter, Target};

use crate::files::parse_object;
use crate::store::ConnectionStore;
use crate::util::rfc3339;
use crate::{http, Card};

fn store() -> ConnectionStore {
    ConnectionStore::open("/store")
}

/// A `meta.json`.
pub fn meta(input: &[u8]) {
    let document = match parse_object(input, Path::new("/store/connections/prod_1/meta.json")) {
        Ok(document) => document,
        Err(error) => {
            check_shown(error);
            return;
        }
    };
    let id = document
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| id.parse::<ConnectionId>().ok())
        .unwrap_or_else(|| "prod_1".parse().unwrap());
    match store().parse_meta(&id, &document) {
        Ok(connection) => {
            check_connection(&connection);
            check_written(&document, &connection);
        }
        Err(error) => drop(check_shown(error)),
    }
}

/// What a connection may be sent by and shown with.
pub(super) fn check_connection(connection: &Connection) {
    let label = connection.label.as_str();
    assert!(!label.contains(is_control) && label.chars().count() <= Label::MAX_CHARS);
    let portal: PortalUrl = connection.browser_url().as_str().parse().unwrap();
    assert_eq!(portal, *connection.browser_url());
    assert!(portal.as_str().starts_with("https://") || portal.is_loopback());
    let folder = store().folder(&connection.id);
    assert_eq!(folder.parent(), Some(Path::new("/store/connections")));
    assert_eq!(folder.components().count(), 4);
}

/// It is read as it was written, also with fields that later versions add.
pub(super) fn check_written(document: &Map<String, Value>, connection: &Connection) {
    let bytes = store().serialize(document.clone(), connection).unwrap();
    let again = parse_object(&bytes, Path::new("")).unwrap();
    let mut read = store().parse_meta(&connection.id, &again).unwrap();
    let mut expected = connection.clone();
    for one in [&mut expected, &mut read] {
        let status = &mut one.status;
        for time in [
            &mut one.created_at,
            &mut one.last_used_at,
            &mut status.signed_in_at,
            &mut status.refresh_issued_at,
            &mut status.refresh_expires_at,
            &mut status.access_expires_at,
        ] {
            // Whole seconds are written.
            *time = time.map(|at| rfc3339(at).parse::<Timestamp>().unwrap());
        }
    }
    assert_eq!(read, expected);
    let ours = parse_object(
        &store().serialize(Map::new(), connection).unwrap(),
        Path::new(""),
    )
    .unwrap();
    for (name, value) in document {
        let kept = again.get(name);
        // Fractions may lose their last digit each time.
        let is_exact = !value.to_string().contains(['.', 'e', 'E']);
        let held = ours.contains_key(name) || kept == Some(value) || !is_exact;
        assert!(held, "{name}: {value} became {kept:?}");
    }
    assert_eq!(store().serialize(again, &read).unwrap(), bytes);
}

/// A connection card, as it is and with a digest that fits.
pub fn card(input: &[u8]) {
    check_card(input.to_vec());
    if let Some(sealed) = sealed(input) {
        check_card(sealed);
    }
}

fn check_card(bytes: Vec<u8>) {
    match Card::parse(bytes) {
        Ok(card) => {
            assert!(!matches!(card.grant, Grant::User { pkce: false, .. }));
            for url in [card.urls.browser_url(), card.urls.api_url()] {
                assert!(url.as_str().starts_with("https://"));
                let url = Url::parse(url.as_str()).unwrap();
                assert!(url.username().is_empty() && url.password().is_none());
            }
            assert!(card.client_id.bytes().all(|byte| byte.is_ascii_graphic()));
            for der in &card.certificates {
                let facts = http::facts(der).unwrap();
                let texts = facts.names.iter().chain([
                    &facts.subject,
                    &facts.issuer,
                    &facts.not_before,
                    &facts.not_after,
                ]);
                for text in texts {
                    assert!(!text.contains(is_control), "{text:?}");
                }
            }
            let text = card.to_json().unwrap();
            assert_eq!(Card::parse(text.into_bytes()).unwrap(), card);
        }
        Err(error) => drop(check_shown(error)),
    }
}

/// The same card with the digest of what it says.
fn sealed(input: &[u8]) -> Option<Vec<u8>> {
    let mut card: Map<String, Value> = serde_json::from_slice(input).ok()?;
    card.retain(|name, value| name != "sha256" && !value.is_null());
    let digest = http::fingerprint(Value::Object(card.clone()).to_string().as_bytes());
    card.insert("sha256".into(), digest.into());
    Some(Value::Object(card).to_string().into_bytes())
}

/// What people type: an address to call, or one of a portal, a redirect URI, a proxy.
pub fn address(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for root in ["https://gis.example.com/portal", "http://localhost:7080"] {
        let portal: PortalUrl = root.parse().unwrap();
        match Target::parse(&portal.into(), &text) {
            Ok(target) => check_target(&target, root),
            Err(error) => drop(check_shown(error)),
        }
    }
    if let Ok(portal) = text.parse::<PortalUrl>() {
        check_stable(&portal, portal.as_str());
        assert!(!portal.as_str().ends_with('/') && !portal.host().is_empty());
        let url = Url::parse(&portal.rest("oauth2/token")).unwrap();
        assert!(url.scheme() == "https" || portal.is_loopback());
        assert!(url.username().is_empty() && url.query().is_none());
    }
    if let Ok(uri) = text.parse::<RedirectUri>() {
        let cleaned = clean("redirect URI", &text).ok();
        assert_eq!(Some(uri.as_str()), cleaned.as_deref());
        check_stable(&uri, uri.as_str());
        if let RedirectUri::Loopback(uri) = &uri {
            assert!(uri.port() > 0 && uri.path().starts_with('/'));
        }
    }
    if let Ok(proxy) = text.parse::<Proxy>() {
        check_stable(&proxy, proxy.as_str());
        assert!(!proxy.as_str().contains('@'));
    }
    if let Ok(label) = text.parse::<Label>() {
        check_stable(&label, label.as_str());
        let id = ConnectionId::new(&label);
        check_stable(&id, id.as_str());
    }
}

/// Reads its own text as itself.
fn check_stable<T>(value: &T, text: &str)
where
    T: std::str::FromStr<Err = crate::Error> + PartialEq + std::fmt::Debug,
{
    assert_eq!(&text.parse::<T>().unwrap(), value);
}

/// A token of the portal goes below the portal's root and nowhere else. The address has no token in
/// it.
fn check_target(target: &Target, root: &str) {
    let address = target.address();
    let url = Url::parse(address).unwrap();
    assert_eq!(url.as_str(), address);
    assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none());
    assert!(target
        .query()
        .iter()
        .all(|(name, _)| !is_secret_parameter(name)));
    let below = target.server().unwrap_or(root);
    let rest = address.strip_prefix(below);
    let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    assert!(is_below, "{address:?} {below:?}");
    let is_tls = url.scheme() == "https";
    assert!(
        is_tls
            || url.host_str().is_some_and(|host| host.contains("localhost")
                || host.starts_with("127.")
                || host == "[::1]")
    );
    check_line(address, usize::MAX);
}
