//! What the Python package left behind: its `.env`, its `meta.json`, its index, and profiles.

use serde_json::Map;

use super::files::{check_connection, check_written};
use super::{check_error, parts, CANARY};
use crate::connection::Connection;
use crate::migrate::{self, parse_env, parse_profiles, PackageConnection};
use crate::secret::Secret;

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes
        .windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// An `.env`, a `meta.json` of the Python package, an entry of its index, and profiles.
pub fn legacy(input: &[u8]) {
    let mut parts = parts(input);
    let mut part = || parts.next().map(<[u8]>::to_vec);
    let (env, meta, entry, profiles) = (part(), part(), part(), part());
    check_profiles(&profiles.unwrap_or_default());
    let is_secret = !contains(input, CANARY);
    let has_text = env.clone().map(|bytes| {
        let is_utf8 = std::str::from_utf8(&bytes).is_ok();
        check_env(&String::from_utf8_lossy(&bytes));
        is_utf8
    });
    // Of two lines the last counts, so that what stands before it cannot change it.
    let env = env.map(|mut bytes| {
        for key in ["OAUTH_CLIENT_SECRET", "OAUTH_REFRESH_TOKEN", "X"] {
            bytes.extend_from_slice(format!("\n{key}={CANARY}").as_bytes());
        }
        bytes
    });
    let entry = entry.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let read = PackageConnection::of("prod_1", "/old/prod_1".into(), env, Ok(meta), entry);
    match read {
        Ok(legacy) => {
            if has_text == Some(true) {
                check_secrets(&legacy);
            }
            if is_secret {
                assert!(!format!("{legacy:?}").contains(CANARY));
            }
            check_imported(&legacy, is_secret);
        }
        Err(error) if is_secret => check_error(error),
        Err(_) => {}
    }
}

fn check_secrets(legacy: &PackageConnection) {
    let is_canary = |secret: &Secret| secret.expose() == CANARY;
    assert!(legacy.client_secret.as_ref().is_some_and(is_canary));
    let refresh = legacy.refresh.as_ref().map(|token| &token.secret);
    assert!(legacy.application == refresh.is_none());
    assert!(refresh.is_none_or(is_canary));
    let unknown = |(key, value): &(String, Secret)| key == "X" && is_canary(value);
    assert!(legacy.unknown.iter().any(unknown));
}

/// What 0.2.x would write of these values is read as the same values.
fn check_env(text: &str) {
    let values = parse_env(text);
    let mut written = String::new();
    for (key, value) in &values {
        let value = value.expose().replace('\\', "\\\\").replace('"', "\\\"");
        written.extend([key, "=\"", &value, "\"\n"]);
    }
    let again = parse_env(&written);
    assert_eq!(again.len(), values.len(), "{text:?}");
    for (key, value) in &values {
        let same = again.get(key).map(Secret::expose) == Some(value.expose());
        assert!(same, "{key:?} in {text:?}");
    }
}

fn check_profiles(bytes: &[u8]) {
    for profile in parse_profiles(&String::from_utf8_lossy(bytes)) {
        assert!(profile.name.trim() == profile.name);
        for text in [&profile.url, &profile.username, &profile.client_id] {
            let text = text.as_deref().unwrap_or("x");
            assert!(!text.is_empty() && text.trim() == text && text != "None");
        }
    }
}

/// The connection that it becomes is one that can be written and read.
fn check_imported(legacy: &PackageConnection, is_secret: bool) {
    for number in [1, 2, 1_000_000] {
        let label = migrate::fit_label(&legacy.label, &legacy.id, number).unwrap();
        assert!(number == 1 || label.as_str().ends_with(&format!(" ({number})")));
    }
    let label = migrate::fit_label(&legacy.label, &legacy.id, 1).unwrap();
    let made = migrate::portal(legacy).and_then(|portal| {
        let client_id = migrate::client_id(legacy)?;
        let grant = migrate::grant(legacy, &mut Vec::new());
        Ok(Connection::new(label, portal, grant, client_id))
    });
    match made {
        Ok(mut connection) => {
            connection.tags.clone_from(&legacy.tags);
            connection.created_at = legacy.created_at;
            connection.last_used_at = legacy.last_used_at;
            connection.status.username.clone_from(&legacy.username);
            check_connection(&connection);
            check_written(&Map::new(), &connection);
        }
        Err(error) if is_secret => check_error(error),
        Err(_) => {}
    }
}
