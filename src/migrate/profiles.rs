//! Profiles of the ArcGIS API for Python: each that names an application becomes a connection,
//! which then needs a sign-in.

use std::path::{Path, PathBuf};

use super::convert::fit_label;
use super::note::Note;
use super::package_store::MAX_FILE;
use super::plan::Migration;
use crate::connection::{Connection, Grant, PortalUrl, RedirectUri};
use crate::context::Environment;
use crate::error::{Error, FileAction, Result};
use crate::files;
use crate::manage::check_client_id;
use crate::secret::Secret;

/// Where the ArcGIS API for Python keeps its profiles.
#[must_use]
pub fn profile_file(environment: &Environment) -> Option<PathBuf> {
    Some(environment.home()?.join(".arcgisprofile"))
}

/// A profile of the ArcGIS API for Python. Its password, where it has one, is elsewhere and stays
/// there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The portal; absent for ArcGIS Online.
    pub url: Option<String>,
    /// Who signed in.
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
        why: "it is not a text file".into(),
    })?;
    Ok(parse_profiles(text.expose()))
}

/// The profiles in the text of an INI file, in its order. What a section named `DEFAULT` says holds
/// for all.
#[must_use]
pub(crate) fn parse_profiles(text: &str) -> Vec<Profile> {
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

/// What is to be done about a profile of the ArcGIS API for Python.
#[derive(Debug)]
pub enum ProfilePlan {
    /// This connection is made.
    New(Box<Connection>, Vec<Note>),
    /// It was made before.
    Done,
    /// It signs in with a password, which this program does not do.
    NoClientId,
}

impl Migration<'_> {
    /// Decides what is to be done about a profile of the ArcGIS API for Python: a connection that
    /// needs only a sign-in.
    pub fn plan_profile(&mut self, profile: &Profile) -> Result<ProfilePlan> {
        let Some(client_id) = &profile.client_id else {
            return Ok(ProfilePlan::NoClientId);
        };
        let client_id = check_client_id(client_id)?;
        let portal: PortalUrl = profile
            .url
            .as_deref()
            .unwrap_or("https://www.arcgis.com")
            .parse()?;
        let wanted = fit_label(&profile.name, "profile", 1)?.folded();
        let numbered = format!("{wanted} (");
        let known = self.store.list(None)?.connections.into_iter();
        let same = known
            .filter(|one| *one.browser_url() == portal && one.client_id == client_id)
            .find(|one| {
                let label = one.label.folded();
                label == wanted || label.starts_with(&numbered)
            });
        if same.is_some() {
            return Ok(ProfilePlan::Done);
        }
        let mut notes = Vec::new();
        let label = self.label(&profile.name, "profile", &mut notes)?;
        let grant = Grant::User {
            redirect_uri: RedirectUri::OutOfBand,
            pkce: true,
        };
        let mut connection = Connection::new(label, portal, grant, client_id);
        connection.keychain = self.options.keychain;
        connection.created_at = Some(self.context.now());
        connection.status.username.clone_from(&profile.username);
        Ok(ProfilePlan::New(Box::new(connection), notes))
    }

    /// Makes the connection of a profile.
    pub fn add_profile(&self, connection: &Connection) -> Result<()> {
        self.store
            .add_without_default(connection, None, self.context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
                let _ = parse_profiles(text);
            }
        }
    }
}
