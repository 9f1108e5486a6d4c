//! Where the policy is on Unix: one file, at a place that nothing moves.

use std::path::Path;

use super::document::{self, NamedFiles};
use super::ownership;
use super::{Reading, Unusable};
use crate::policy::{MAX_AUTHORITY_FILE_BYTES, MAX_MACHINE_POLICY_BYTES};

#[cfg(target_os = "macos")]
pub(super) const FILE: &str = "/Library/Application Support/age_oauth/policy.json";
#[cfg(not(target_os = "macos"))]
pub(super) const FILE: &str = "/etc/age-oauth/policy.json";

pub(super) fn read() -> Reading {
    let unusable = |why| Unusable {
        place: FILE.to_owned(),
        why,
    };
    let content = ownership::read(Path::new(FILE), MAX_MACHINE_POLICY_BYTES).map_err(unusable)?;
    let Some(content) = content else {
        return Ok(None);
    };
    let text = String::from_utf8(content).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
    document::parse(&text, FILE, named_files).map(Some)
}

/// What the policy names is judged as the policy is.
fn named_files() -> NamedFiles {
    NamedFiles {
        read: |path| {
            if !path.is_absolute() {
                return Err("it is not a whole path".to_owned());
            }
            ownership::read(path, MAX_AUTHORITY_FILE_BYTES)
                .and_then(|content| content.ok_or_else(|| "it does not exist".to_owned()))
                .map_err(|why| format!("{}: {why}", path.display()))
        },
    }
}
