//! The text of a policy: parsing it, and finding the lines of its members.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{AuthorityFile, Defaults, Limits, Member, Policy, Unusable};
use crate::connection::{KeychainKind, PortalUrl, Proxy};
use crate::duration::parse_duration;

/// The policy as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    defaults: DefaultsText,
    limits: LimitsText,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DefaultsText {
    #[serde(deserialize_with = "present")]
    proxy: Option<String>,
    #[serde(deserialize_with = "present")]
    certificate_authorities: Option<Vec<PathBuf>>,
    #[serde(deserialize_with = "present")]
    keychain: Option<String>,
    #[serde(deserialize_with = "present")]
    event_log: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsText {
    #[serde(deserialize_with = "present")]
    portals: Option<Vec<String>>,
    #[serde(deserialize_with = "present")]
    unverified_tls: Option<bool>,
    #[serde(deserialize_with = "present")]
    secrets_on_command_line: Option<bool>,
    #[serde(deserialize_with = "present")]
    secret_commands: Option<bool>,
    #[serde(deserialize_with = "present")]
    api_keys: Option<bool>,
    #[serde(deserialize_with = "present")]
    keychains: Option<Vec<String>>,
    #[serde(deserialize_with = "present")]
    longest_sign_in: Option<String>,
}

/// A member that is written has a value: `null` would say that nothing is limited.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Opens what a policy names, after it was judged as the policy itself is.
pub(super) struct NamedFiles {
    /// The content of a file.
    pub(super) read: fn(&std::path::Path) -> Result<Vec<u8>, String>,
}

/// For policies that tests make: nothing is opened.
#[cfg(any(test, feature = "testing"))]
pub(super) fn read_nothing() -> NamedFiles {
    NamedFiles {
        read: |_| Ok(Vec::new()),
    }
}

/// Reads a policy from the text of a file.
pub(super) fn parse(
    text: &str,
    place: &str,
    files: fn() -> NamedFiles,
) -> Result<Policy, Unusable> {
    let unusable = |line: Option<usize>, why: String| Unusable {
        place: line.map_or_else(|| place.to_owned(), |line| format!("{place}, line {line}")),
        why,
    };
    let document: Document = serde_json::from_str(text)
        .map_err(|error| unusable(Some(error.line()).filter(|line| *line > 0), said(&error)))?;
    // A list would be taken for the members in their order.
    if let Some(group) = list_in_place_of_object(text) {
        return Err(unusable(None, format!("{group} is not an object")));
    }
    let lines: Vec<_> = Member::ALL
        .iter()
        .filter_map(|member| Some((*member, line_of(text, *member)?)))
        .collect();
    let line = |member| {
        lines
            .iter()
            .find(|(of, _)| *of == member)
            .map(|(_, at)| *at)
    };
    let checked = check(document, &files());
    let (defaults, limits) = checked
        .map_err(|(member, why)| unusable(line(member), format!("`{}`: {why}", member.as_str())))?;
    Ok(Policy {
        place: place.to_owned(),
        defaults,
        limits,
        lines,
    })
}

/// What serde says, without the position, which is said in another way.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

fn list_in_place_of_object(text: &str) -> Option<&'static str> {
    let whole: Value = serde_json::from_str(text).ok()?;
    if !whole.is_object() {
        return Some("the policy");
    }
    let is_list = |group| whole.get(group).is_some_and(|value| !value.is_object());
    ["defaults", "limits"]
        .into_iter()
        .find(|group| is_list(*group))
}

/// A member whose value cannot be used, and why.
pub(super) type Wrong = (Member, String);

/// Reads the values. The error names the member.
pub(super) fn check(document: Document, files: &NamedFiles) -> Result<(Defaults, Limits), Wrong> {
    let Document { defaults, limits } = document;
    let DefaultsText {
        proxy,
        certificate_authorities,
        keychain,
        event_log,
    } = defaults;
    let LimitsText {
        portals,
        unverified_tls,
        secrets_on_command_line,
        secret_commands,
        api_keys,
        keychains,
        longest_sign_in,
    } = limits;
    let limits = Limits {
        portals: each(Member::Portals, portals, |text| portal(&text))?,
        unverified_tls,
        secrets_on_command_line,
        secret_commands,
        api_keys,
        keychains: each(Member::Keychains, keychains, |text| kind(&text))?,
        longest_sign_in: one(Member::LongestSignIn, longest_sign_in, |text| {
            parse_duration(&text).and_then(|longest| match longest.as_secs() {
                0..60 => Err("it must be a minute or more".to_owned()),
                _ => Ok(longest),
            })
        })?,
    };
    let defaults = Defaults {
        proxy: one(Member::Proxy, proxy, |text| {
            match text.parse::<Proxy>().map_err(|why| why.to_string())? {
                Proxy::System => Err("it must be http://HOST:PORT, or none".to_owned()),
                proxy => Ok(proxy),
            }
        })?,
        certificate_authorities: each(
            Member::CertificateAuthorities,
            certificate_authorities,
            |path| {
                let content = (files.read)(&path)?;
                Ok(AuthorityFile { path, content })
            },
        )?,
        keychain: one(Member::Keychain, keychain, |text| kind(&text))?,
        // The folder is judged when a line is written: a log never stops a command.
        event_log: one(Member::EventLog, event_log, |path| {
            if path.is_absolute() {
                Ok(path)
            } else {
                Err("it is not a whole path".to_owned())
            }
        })?,
    };
    if let (Some(kind), Some(allowed)) = (defaults.keychain, &limits.keychains) {
        if !allowed.contains(&kind) {
            let why = "`keychains` does not allow it".to_owned();
            return Err((Member::Keychain, why));
        }
    }
    Ok((defaults, limits))
}

/// A URL may have `*` in its host, which would be taken for the host of that name.
fn portal(text: &str) -> Result<PortalUrl, String> {
    if text.contains('*') {
        return Err(format!(
            "`{text}`: there are no wildcards; list each portal with its own address"
        ));
    }
    text.parse::<PortalUrl>().map_err(|why| why.to_string())
}

fn kind(text: &str) -> Result<KeychainKind, String> {
    text.parse()
        .map_err(|why: crate::error::Error| why.to_string())
}

fn one<T, U>(
    member: Member,
    value: Option<T>,
    read: impl FnOnce(T) -> Result<U, String>,
) -> Result<Option<U>, Wrong> {
    value.map(read).transpose().map_err(|why| (member, why))
}

fn each<T, U>(
    member: Member,
    values: Option<Vec<T>>,
    read: impl FnMut(T) -> Result<U, String>,
) -> Result<Option<Vec<U>>, Wrong> {
    let values = values.map(|values| values.into_iter().map(read).collect());
    values.transpose().map_err(|why| (member, why))
}

/// The line, counted from 1, on which a member's name is in a JSON text that could be parsed.
fn line_of(text: &str, member: Member) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut line, mut depth, mut in_group, mut at) = (1, 0, false, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let end = end_of_string(bytes, at);
                let name = key(text, at, end);
                if depth == 1 && name.is_some() {
                    in_group = name.as_deref() == Some(member.group());
                }
                if depth == 2 && in_group && name.as_deref() == Some(member.as_str()) {
                    return Some(line);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the closing quote is of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The string between two quotes, if it is a name.
fn key(text: &str, start: usize, end: usize) -> Option<String> {
    let after = text.get(end + 1..)?.trim_start();
    let quoted = text.get(start..=end).filter(|_| after.starts_with(':'))?;
    serde_json::from_str(quoted).ok()
}
