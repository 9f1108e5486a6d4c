//! Reads a store of the Python package `age-oauth` (0.1.x and 0.2.x), which keeps its secrets in plain text, and the
//! profiles of the ArcGIS API for Python. Nothing here changes a file; [`crate::migrate::migration`] does.
//!
//! Both versions lay their store out alike: `connections.json` is an index, `active_connection` names the connection in
//! use, and each folder below `connections/` has a `meta.json` and an `.env`. What the `.env` says goes before `meta.json`,
//! and that before the index, as there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use ring::digest;
use serde_json::{Map, Value};

use crate::connection::ConnectionId;
use crate::context::Environment;
use crate::error::{Error, FileAction, Result};
use crate::files;
use crate::secret::Secret;
use crate::store::SCHEMA;

/// No honest file of these stores is larger.
const MAX_FILE: u64 = 4 * 1024 * 1024;

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

/// Where the Python package keeps its store: the platform's configuration directory, and on Windows also the folder twice
/// in each other, which is where its library really puts it.
#[must_use]
pub fn usual_places() -> Vec<PathBuf> {
    let mut places: Vec<_> = dirs::config_dir()
        .map(|config| config.join("age_oauth"))
        .into_iter()
        .collect();
    if cfg!(windows) {
        places
            .extend(dirs::data_local_dir().map(|local| local.join("age_oauth").join("age_oauth")));
    }
    places
}

/// Where the ArcGIS API for Python keeps its profiles.
#[must_use]
pub fn profile_file(environment: &Environment) -> Option<PathBuf> {
    Some(environment.home()?.join(".arcgisprofile"))
}

/// A store of the Python package, as far as it was not taken over yet.
#[derive(Debug)]
pub struct LegacyStore {
    root: PathBuf,
    index: Map<String, Value>,
    active: Option<String>,
    /// The index is there but cannot be understood; the folders can.
    pub damage: Option<Error>,
}

impl LegacyStore {
    /// The store below `root`. One that is not there is empty.
    #[must_use]
    pub fn open(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let (index, damage) = match read_object(&root.join("connections.json")) {
            Ok(index) => (index.unwrap_or_default(), None),
            Err(error) => (Map::new(), Some(error)),
        };
        let active = files::read(&root.join("active_connection"), MAX_FILE)
            .ok()
            .flatten()
            .and_then(Secret::from_file)
            .map(|text| text.expose().trim().to_owned())
            .filter(|id| !id.is_empty());
        Self {
            root,
            index,
            active,
            damage,
        }
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of the connection that is used where none is named: the active one goes before the default.
    #[must_use]
    pub fn default_id(&self) -> Option<&str> {
        self.active
            .as_deref()
            .or_else(|| text(&self.index, "default_connection_id"))
    }

    /// The folder of a connection. The id has been checked to be one name.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.root.join("connections").join(id)
    }

    fn entries(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.index
            .get("connections")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
    }

    /// Whether the index names this connection.
    #[must_use]
    pub fn is_indexed(&self, id: &str) -> bool {
        self.entries().any(|entry| text(entry, "id") == Some(id))
    }

    /// Whether anything of the package is here, be it only the name of a default.
    pub fn is_there(&self) -> Result<bool> {
        let traces = !self.index.is_empty() || self.active.is_some() || self.damage.is_some();
        Ok(traces || !self.ids()?.is_empty())
    }

    /// The ids of everything that is left here, in the index's order, then what the index does not know.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        for entry in self.entries() {
            let id = text(entry, "id").unwrap_or_default();
            if !id.is_empty() && !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        let mut others = Vec::new();
        for name in self.folders()? {
            if !ids.contains(&name) && self.is_left(&name) {
                others.push(name);
            }
        }
        others.sort();
        ids.extend(others);
        Ok(ids)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let folder = self.root.join("connections");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why)
                if matches!(
                    why.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new())
            }
            Err(why) => return Err(Error::file(FileAction::Read, folder)(why)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::file(FileAction::Read, &folder))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether a folder holds something of the package's: an `.env`, or its kind of `meta.json`.
    fn is_left(&self, id: &str) -> bool {
        if !is_name(id) {
            return false;
        }
        let folder = self.folder(id);
        let env = folder.join(".env");
        match fs::symlink_metadata(&env) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                read_object(&folder.join("meta.json"))
                    .is_ok_and(|meta| meta.is_some_and(|meta| is_python(&meta)))
            }
            Err(why) => why.kind() != io::ErrorKind::NotADirectory,
            Ok(_) => true,
        }
    }

    /// Reads one connection. Nothing where only the index names it and no folder is left.
    pub fn read(&self, id: &str) -> Result<Option<Legacy>> {
        let folder = self.folder(id);
        if !is_name(id) {
            return Err(Error::Corrupt {
                path: self.root.join("connections.json"),
                why: format!("`{id}` is no id of a connection"),
            });
        }
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(Error::Corrupt {
                    path: folder,
                    why: "it is no directory of its own (a symbolic link is not followed)".into(),
                })
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(Error::file(FileAction::Read, folder)(why)),
        }
        let env = files::read(&folder.join(".env"), MAX_FILE)?;
        let meta = files::read(&folder.join("meta.json"), MAX_FILE);
        let entry = self.entries().find(|entry| text(entry, "id") == Some(id));
        Legacy::of(id, folder, env, meta, entry.cloned()).map(Some)
    }

    /// The index without this connection.
    #[must_use]
    pub fn index_without(&self, id: &str) -> Vec<u8> {
        let mut index = self.index.clone();
        if let Some(entries) = index.get_mut("connections").and_then(Value::as_array_mut) {
            entries.retain(|entry| entry.get("id").and_then(Value::as_str) != Some(id));
        }
        let mut bytes = format!("{:#}", Value::Object(index)).into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a `meta.json` is the package's.
fn is_python(meta: &Map<String, Value>) -> bool {
    meta.get("schema_version")
        .and_then(Value::as_u64)
        .unwrap_or(1)
        < SCHEMA
}

/// Whether an id is one name and nothing else: it becomes a part of paths.
fn is_name(id: &str) -> bool {
    // Labels may be of any length there, and ids follow them; the file system's own limit holds.
    let short: String = id.chars().take(100).collect();
    short.parse::<ConnectionId>().is_ok()
        && id.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
        && !id.ends_with('.')
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let bytes = files::read(path, MAX_FILE)?;
    bytes.map(|bytes| object(bytes, path)).transpose()
}

fn object(bytes: Vec<u8>, path: &Path) -> Result<Map<String, Value>> {
    let corrupt = |why: String| Error::Corrupt {
        path: path.to_owned(),
        why,
    };
    let text = Secret::from_file(bytes).ok_or_else(|| corrupt("it holds no text".into()))?;
    match serde_json::from_str(text.expose()) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(corrupt("it is JSON, but no object".into())),
        Err(why) => Err(corrupt(format!("it is no JSON ({why})"))),
    }
}

fn env(bytes: Vec<u8>, path: &Path) -> Result<Env> {
    let mark = ContentHash::of(&bytes);
    let text = Secret::from_file(bytes).ok_or_else(|| Error::Corrupt {
        path: path.to_owned(),
        why: "it holds no text".into(),
    })?;
    Ok(Env {
        values: parse_env(text.expose()),
        mark,
    })
}

/// A string of an object that is not empty.
fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object
        .get(name)?
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// Tells whether a file has been written to since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentHash([u8; 32]);

impl ContentHash {
    fn of(bytes: &[u8]) -> Self {
        let mut mark = [0; 32];
        mark.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(mark)
    }
}

#[derive(Debug)]
struct Env {
    values: BTreeMap<String, Secret>,
    mark: ContentHash,
}

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

/// An access token of the package's.
#[derive(Debug)]
pub struct LegacyAccess {
    /// The token itself.
    pub secret: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A refresh token of the package's.
#[derive(Debug)]
pub struct LegacyRefresh {
    /// The token itself.
    pub secret: Secret,
    /// When it was issued; 0.1.x did not note that.
    pub issued_at: Option<Timestamp>,
}

/// One connection of the Python package. Text is as it was written there, not yet checked.
#[derive(Debug)]
pub struct Legacy {
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
    pub access: Option<LegacyAccess>,
    /// The refresh token.
    pub refresh: Option<LegacyRefresh>,
    /// Keys that the package does not write, with their values.
    pub unknown: Vec<(String, Secret)>,
    /// Its `meta.json` is ours already: taking it over was begun.
    pub is_ours: bool,
    mark: Option<ContentHash>,
}

impl Legacy {
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
        .understand(id, folder)
    }

    /// Its `.env`.
    #[must_use]
    pub fn env_path(&self) -> PathBuf {
        self.folder.join(".env")
    }

    /// Whether there was an `.env`.
    #[must_use]
    pub fn has_env(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether its `.env` is still the one that was read.
    pub fn is_unchanged(&self) -> Result<bool> {
        let now = files::read(&self.env_path(), MAX_FILE)?;
        Ok(now.map(|bytes| ContentHash::of(&bytes)) == self.mark)
    }
}

/// The three places that speak of one connection.
struct Sources {
    env: Option<Env>,
    meta: Map<String, Value>,
    entry: Map<String, Value>,
}

impl Sources {
    /// What a key of the `.env` holds, where that is something.
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

    fn understand(mut self, id: &str, folder: PathBuf) -> Result<Legacy> {
        let application = self.application(&folder)?;
        let access = self
            .secret("OAUTH_ACCESS_TOKEN")
            .zip(self.env("OAUTH_TOKEN_EXPIRES_AT").and_then(epoch))
            .map(|(secret, expires_at)| LegacyAccess { secret, expires_at });
        let issued_at = self.env("OAUTH_REFRESH_TOKEN_ROTATED_AT").and_then(epoch);
        let refresh = self
            .secret("OAUTH_REFRESH_TOKEN")
            .filter(|_| !application)
            .map(|secret| LegacyRefresh { secret, issued_at });
        let mark = self.env.as_ref().map(|env| env.mark);
        Ok(Legacy {
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
            mark,
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

/// The `KEY=VALUE` lines of an `.env`. Comments, empty lines and lines without `=` say nothing; of two lines with one key
/// the last counts.
#[must_use]
pub fn parse_env(text: &str) -> BTreeMap<String, Secret> {
    let mut values = BTreeMap::new();
    for line in text.split(['\n', '\r']) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim();
        if !key.is_empty() {
            values.insert(key.to_owned(), Secret::new(unquote(value.trim())));
        }
    }
    values
}

/// A value without its quotes, and without a comment behind it.
fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        let Some(rest) = value.strip_prefix(quote) else {
            continue;
        };
        let Some(inner) = rest.strip_suffix(quote).or_else(|| {
            // Something stands behind the value: that can only be a comment.
            rest.match_indices(quote)
                .map(|(at, _)| rest.split_at(at))
                .find(|(inner, behind)| !inner.ends_with('\\') && is_comment(&behind[1..]))
                .map(|(inner, _)| inner)
        }) else {
            continue;
        };
        return unescape(inner, quote);
    }
    // The package quotes every value with a blank in it.
    let comment = value
        .find('#')
        .filter(|at| value[..*at].ends_with([' ', '\t']));
    comment
        .map_or(value, |at| value[..at].trim_end())
        .to_owned()
}

fn is_comment(behind: &str) -> bool {
    let trimmed = behind.trim_start();
    trimmed.starts_with('#') && trimmed.len() < behind.len()
}

/// 0.2.x escapes quotes and backslashes, 0.1.x quotes alone; so do newer and older versions of python-dotenv, which writes
/// for 0.1.x where it is installed. Who escapes backslashes escapes all of them, so that a lonely one, as in a path of
/// Windows, tells the other kind of writer.
fn unescape(inner: &str, quote: char) -> String {
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some(escaped) if escaped == quote || escaped == '\\' => plain.push(escaped),
            _ => return inner.replace(&format!("\\{quote}"), &quote.to_string()),
        }
    }
    plain
}

/// A profile of the ArcGIS API for Python. Its password, where it has one, is elsewhere and stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The portal; absent for ArcGIS Online.
    pub url: Option<String>,
    /// Who used to sign in.
    pub username: Option<String>,
    /// The client id; absent where a password was used.
    pub client_id: Option<String>,
}

/// Reads `~/.arcgisprofile`, which is an INI file with a section per profile.
pub fn read_profiles(path: &Path) -> Result<Vec<Profile>> {
    // A person's own file may well be a link to where they keep such files.
    let bytes =
        files::read_user_file(path, MAX_FILE).map_err(Error::file(FileAction::Read, path))?;
    let text = Secret::from_file(bytes).ok_or_else(|| Error::Corrupt {
        path: path.to_owned(),
        why: "it holds no text".into(),
    })?;
    Ok(parse_profiles(text.expose()))
}

/// The profiles in the text of an INI file, in its order. What a section named `DEFAULT` says holds for all.
#[must_use]
pub fn parse_profiles(text: &str) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    let mut common = Profile::default();
    let mut in_common = true;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = section(trimmed) {
            in_common = name == "DEFAULT";
            if !in_common {
                profiles.push(Profile {
                    name: name.to_owned(),
                    ..Profile::default()
                });
            }
            continue;
        }
        let Some((key, value)) = trimmed.split_once(['=', ':']) else {
            continue;
        };
        let profile = if in_common {
            &mut common
        } else if let Some(last) = profiles.last_mut() {
            last
        } else {
            continue;
        };
        // A percent sign is written twice there.
        let value = value.trim().replace("%%", "%");
        let value = Some(value).filter(|value| !value.is_empty() && value != "None");
        match key.trim().to_ascii_lowercase().as_str() {
            "url" => profile.url = value,
            "username" => profile.username = value,
            "client_id" => profile.client_id = value,
            _ => {}
        }
    }
    for profile in &mut profiles {
        let or = |own: &mut Option<String>, common: &Option<String>| {
            if own.is_none() {
                own.clone_from(common);
            }
        };
        or(&mut profile.url, &common.url);
        or(&mut profile.username, &common.username);
        or(&mut profile.client_id, &common.client_id);
    }
    profiles
}

fn section(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('[')?;
    let (name, _) = rest.split_once(']')?;
    Some(name.trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(line: &str) -> String {
        let values = parse_env(line);
        values.get("K").unwrap().expose().to_owned()
    }

    #[test]
    fn values_are_read_as_both_versions_and_people_write_them() {
        for (line, expected) in [
            ("K=plain", "plain"),
            ("  K = plain  ", "plain"),
            ("K=", ""),
            ("K=''", ""),
            ("K=\"\"", ""),
            ("K='single quoted'", "single quoted"),
            ("K=\"with # sign\"", "with # sign"),
            ("K=\"say \\\"hi\\\"\"", "say \"hi\""),
            ("K=\"C:\\\\my certs\\\\ca.pem\"", "C:\\my certs\\ca.pem"),
            // 0.1.x does not escape backslashes.
            ("K=\"C:\\my certs\\ca.pem\"", "C:\\my certs\\ca.pem"),
            (
                "K=\"\\\\server\\my certs\\ca.pem\"",
                "\\\\server\\my certs\\ca.pem",
            ),
            ("K=C:\\certs\\ca.pem", "C:\\certs\\ca.pem"),
            // python-dotenv, which 0.1.x uses where it is installed, writes single quotes always.
            ("K='it\\'s'", "it's"),
            ("K='C:\\certs\\ca.pem'", "C:\\certs\\ca.pem"),
            // Since 1.2 it escapes backslashes, too.
            ("K='C:\\\\my certs\\\\it\\'s.pem'", "C:\\my certs\\it's.pem"),
            ("K=a=b==", "a=b=="),
            ("K=abc # the application", "abc"),
            ("K=\"a b\" # the application", "a b"),
            ("K='a # b' # the \"application\"", "a # b"),
            ("K=a#b", "a#b"),
            ("K=\"", "\""),
            ("K=\"open", "\"open"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_end_as_they_like_and_comments_say_nothing() {
        let text = "# K=old\r\nK=one\r\n\r\nnonsense\r\n=x\r\nL=two\rM=three\nK=last";
        let values = parse_env(text);
        let read: Vec<_> = values
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose()))
            .collect();
        assert_eq!(read, [("K", "last"), ("L", "two"), ("M", "three")]);
    }

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

    #[test]
    fn ids_are_names_and_never_paths() {
        for good in ["prod_1a2b3c4d", &format!("{}_1a2b3c4d", "x".repeat(240))] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a."] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn profiles_are_read_as_python_reads_them() {
        let text = "\u{feff}[DEFAULT]\nurl = https://all/portal\n\n# mine\n[prod]\nurl = https://gis.example.com/portal\n\
                    username = me\nclient_id: abc%%1\n[agol]\nUsername=None\nurl=\n; nothing\n[ with blank ]\nkey_file = x\n";
        let profiles = parse_profiles(text.trim_start_matches('\u{feff}'));
        let all = Some("https://all/portal".to_owned());
        let names: Vec<_> = profiles.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["prod", "agol", "with blank"]);
        assert_eq!(profiles[0].client_id.as_deref(), Some("abc%1"));
        assert_eq!(profiles[0].username.as_deref(), Some("me"));
        assert_eq!((&profiles[1].username, &profiles[1].url), (&None, &all));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*", lines in "([A-Z_]{1,9}|\\[x\\])?[=:]?[\"'\\\\# a\\r\\n]{0,12}") {
            for text in [&text, &lines] {
                let _ = parse_env(text);
                let _ = parse_profiles(text);
                let _ = unquote(text);
            }
        }

        /// What 0.2.x quotes is read again.
        #[test]
        fn every_quoted_value_comes_back(value in "[ -~é]{0,40}") {
            let quoted = format!("K=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parse_env(&quoted).remove("K").unwrap().expose().to_owned(), value);
        }
    }
}
