//! One connection of the Python package, out of its `.env`, its `meta.json` and the store's index.
//! The `.env` takes precedence over `meta.json`, and that over the index, as in the package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use ring::digest;
use serde_json::{Map, Value};

use super::env_file::parse_env;
use super::package_store::{is_python, object, text, MAX_FILE};
use crate::error::{Error, Result};
use crate::files;
use crate::secret::Secret;

/// Every key that the package writes to an `.env`.
const KEYS: [&str; 15] = [
    "PORTAL_URL",
    "OAUTH_CLIENT_ID",
    "OAUTH_CLIENT_SECRET",
    "OAUTH_AUTH_TYPE",
    "OAUTH_REFERER",
    "OAUTH_VERIFY_SSL",
    "OAUTH_REDIRECT_URI",
    "OAUTH_SCOPE",
    "OAUTH_ACCESS_TOKEN",
    "OAUTH_TOKEN_EXPIRES_AT",
    "OAUTH_TOKEN_EXPIRES_AT_UTC",
    "OAUTH_REFRESH_TOKEN",
    "OAUTH_REFRESH_TOKEN_ROTATED_AT",
    "OAUTH_REFRESH_TOKEN_ROTATED_AT_UTC",
    "OAUTH_USERNAME",
];

/// Which certificates the package accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Those of its platform.
    True,
    /// Any.
    False,
    /// Those in this file.
    File(String),
}

impl FromStr for Verify {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let text = text.trim();
        Ok(match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Self::True,
            "false" | "no" | "off" | "0" => Self::False,
            _ => Self::File(text.to_owned()),
        })
    }
}

/// An access token that the package cached.
#[derive(Debug)]
pub struct PackageAccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A refresh token that the package stored.
#[derive(Debug)]
pub struct PackageRefreshToken {
    /// The token itself.
    pub secret: Secret,
    /// When it was issued; 0.1.x did not note that.
    pub issued_at: Option<Timestamp>,
}

/// One connection of the Python package. Text is as it was written there, not yet checked.
#[derive(Debug)]
pub struct PackageConnection {
    /// Its id.
    pub id: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What people call it: any text, of any length, perhaps not unique.
    pub label: String,
    /// The portal.
    pub portal_url: Option<String>,
    /// Whether tokens are an application's.
    pub application: bool,
    /// The client id.
    pub client_id: Option<String>,
    /// The client secret.
    pub client_secret: Option<Secret>,
    /// Where codes are sent; absent where it is the default.
    pub redirect_uri: Option<String>,
    /// Sent as `Referer`.
    pub referer: Option<String>,
    /// Which certificates are accepted.
    pub verify: Verify,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// Who is signed in.
    pub username: Option<String>,
    /// The cached access token.
    pub access: Option<PackageAccessToken>,
    /// The refresh token.
    pub refresh: Option<PackageRefreshToken>,
    /// Keys that the package does not write, with their values.
    pub unknown: Vec<(String, Secret)>,
    /// Its `meta.json` is already in our format: an import of it began.
    pub is_ours: bool,
    hash: Option<ContentHash>,
}

impl PackageConnection {
    /// One connection out of its files' bytes and its entry in the index.
    pub(crate) fn of(
        id: &str,
        folder: PathBuf,
        env_file: Option<Vec<u8>>,
        meta_file: Result<Option<Vec<u8>>>,
        entry: Option<Map<String, Value>>,
    ) -> Result<Self> {
        let env = env_file
            .map(|bytes| env(bytes, &folder.join(".env")))
            .transpose()?;
        let path = folder.join("meta.json");
        let meta = meta_file.and_then(|file| file.map(|bytes| object(bytes, &path)).transpose());
        let meta = match meta {
            Ok(meta) => meta,
            // The `.env` says nearly everything; what is missing is in the index.
            Err(_) if env.is_some() => None,
            Err(error) => return Err(error),
        };
        Sources {
            meta: meta.unwrap_or_default(),
            entry: entry.unwrap_or_default(),
            env,
        }
        .parse(id, folder)
    }

    /// Its `.env`.
    #[must_use]
    pub fn env_path(&self) -> PathBuf {
        self.folder.join(".env")
    }

    /// Whether there was an `.env`.
    #[must_use]
    pub fn has_env(&self) -> bool {
        self.hash.is_some()
    }

    /// Whether its `.env` is still the one that was read.
    pub fn is_unchanged(&self) -> Result<bool> {
        let now = files::read(&self.env_path(), MAX_FILE)?;
        Ok(now.map(|bytes| ContentHash::of(&bytes)) == self.hash)
    }
}

/// The three places that describe one connection.
struct Sources {
    env: Option<Env>,
    meta: Map<String, Value>,
    entry: Map<String, Value>,
}

impl Sources {
    /// The value of a key of the `.env`, unless it is empty.
    fn env(&self, key: &str) -> Option<&str> {
        let value = self.env.as_ref()?.values.get(key)?.expose().trim();
        Some(value).filter(|value| !value.is_empty())
    }

    fn secret(&self, key: &str) -> Option<Secret> {
        self.env(key).map(|value| Secret::new(value.to_owned()))
    }

    /// What `meta.json` says, else the index.
    fn noted(&self, name: &str) -> Option<&str> {
        text(&self.meta, name).or_else(|| text(&self.entry, name))
    }

    fn either(&self, key: &str, name: &str) -> Option<String> {
        self.env(key)
            .or_else(|| self.noted(name))
            .map(str::to_owned)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.noted(name)?.parse().ok()
    }

    fn verify(&self) -> Verify {
        if let Some(written) = self.env("OAUTH_VERIFY_SSL") {
            let Ok(verify) = written.parse();
            return verify;
        }
        if let Some(path) = self.noted("ca_bundle") {
            return Verify::File(path.to_owned());
        }
        let flag = self.meta.get("verify_ssl").or(self.entry.get("verify_ssl"));
        match flag.and_then(Value::as_bool) {
            Some(false) => Verify::False,
            _ => Verify::True,
        }
    }

    fn tags(&self) -> Vec<String> {
        let tags = self.meta.get("tags").or(self.entry.get("tags"));
        tags.and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    fn application(&self, folder: &Path) -> Result<bool> {
        let kind = self.either("OAUTH_AUTH_TYPE", "auth_type");
        match kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("user") => Ok(false),
            Some("app") => Ok(true),
            Some(_) => Err(Error::Corrupt {
                path: folder.join(".env"),
                why: "OAUTH_AUTH_TYPE is neither `user` nor `app`".into(),
            }),
        }
    }

    fn parse(mut self, id: &str, folder: PathBuf) -> Result<PackageConnection> {
        let application = self.application(&folder)?;
        let access = self
            .secret("OAUTH_ACCESS_TOKEN")
            .zip(self.env("OAUTH_TOKEN_EXPIRES_AT").and_then(epoch))
            .map(|(secret, expires_at)| PackageAccessToken { secret, expires_at });
        let issued_at = self.env("OAUTH_REFRESH_TOKEN_ROTATED_AT").and_then(epoch);
        let refresh = self
            .secret("OAUTH_REFRESH_TOKEN")
            .filter(|_| !application)
            .map(|secret| PackageRefreshToken { secret, issued_at });
        let hash = self.env.as_ref().map(|env| env.hash);
        Ok(PackageConnection {
            id: id.to_owned(),
            label: self.noted("label").unwrap_or(id).to_owned(),
            portal_url: self.either("PORTAL_URL", "portal_url"),
            application,
            client_id: self.env("OAUTH_CLIENT_ID").map(str::to_owned),
            client_secret: self.secret("OAUTH_CLIENT_SECRET"),
            redirect_uri: self.env("OAUTH_REDIRECT_URI").map(str::to_owned),
            referer: self.either("OAUTH_REFERER", "referer"),
            verify: self.verify(),
            tags: self.tags(),
            created_at: self.time("created_at"),
            last_used_at: self.time("last_used_at"),
            username: self.env("OAUTH_USERNAME").map(str::to_owned),
            access,
            refresh,
            unknown: unknown(self.env.take()),
            is_ours: !is_python(&self.meta),
            hash,
            folder,
        })
    }
}

fn unknown(env: Option<Env>) -> Vec<(String, Secret)> {
    env.map(|env| env.values)
        .into_iter()
        .flatten()
        .filter(|(key, value)| !KEYS.contains(&key.as_str()) && !value.is_empty())
        .collect()
}

/// Seconds since 1970, with a fraction.
#[allow(clippy::cast_possible_truncation)] // A cast from a float saturates.
fn epoch(text: &str) -> Option<Timestamp> {
    let seconds: f64 = text.trim().parse().ok()?;
    let known = seconds.is_finite() && seconds > 0.0;
    known
        .then(|| Timestamp::from_second(seconds as i64).ok())
        .flatten()
}

/// Detects whether a file has been written to since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentHash([u8; 32]);

impl ContentHash {
    fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(hash)
    }
}

#[derive(Debug)]
struct Env {
    values: BTreeMap<String, Secret>,
    hash: ContentHash,
}

fn env(bytes: Vec<u8>, path: &Path) -> Result<Env> {
    let hash = ContentHash::of(&bytes);
    let text = Secret::from_file(bytes).ok_or_else(|| Error::Corrupt {
        path: path.to_owned(),
        why: "it is not a text file".into(),
    })?;
    Ok(Env {
        values: parse_env(text.expose()),
        hash,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_with_a_fraction() {
        assert_eq!(
            epoch("1790000000.123456").unwrap().as_second(),
            1_790_000_000
        );
        for bad in ["", "0", "-1", "nan", "inf", "1e300", "soon"] {
            assert_eq!(epoch(bad), None, "{bad}");
        }
    }
}
