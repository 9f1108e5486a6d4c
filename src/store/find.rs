//! Finding a connection by what a person or a script calls it.

use super::{ConnectionStore, Listing, Plaintext, Selector};
use crate::connection::{fold, Connection, ConnectionId};
use crate::context::Environment;
use crate::env;
use crate::error::{Error, Result};

/// How many labels an error lists.
const MAX_CANDIDATES: usize = 10;

/// Names the variable in the error, because the command line does not show it.
fn by_variable(error: Error) -> Error {
    match error {
        Error::NoConnection { wanted, known, .. } => Error::NoConnection {
            wanted,
            known,
            variable: Some(env::AGE_OAUTH_CONNECTION),
        },
        error => error,
    }
}

impl ConnectionStore {
    /// Finds one connection.
    ///
    /// A name is tried as a label (without regard to case), then as a full id, then as a prefix of
    /// an id that reaches at least four characters into its random part.
    pub fn find(&self, selector: &Selector) -> Result<Connection> {
        match selector {
            Selector::Name(name) => self.find_by_name(name),
            Selector::Id(id) => self
                .find_by_id(id)?
                .map_or_else(|| Err(self.not_found(Some(id))), Ok),
        }
    }

    /// The connection that `selector` names, else the one that `AGE_OAUTH_CONNECTION` names, else
    /// the default, else the only one.
    pub fn choose(
        &self,
        selector: Option<&Selector>,
        environment: &Environment,
    ) -> Result<Connection> {
        if let Some(selector) = selector {
            return self.find(selector);
        }
        if let Some(name) = environment.text(env::AGE_OAUTH_CONNECTION)? {
            return self.find(&Selector::Name(name)).map_err(by_variable);
        }
        // A default that was removed counts as no default.
        if let Some(id) = self.default_id()? {
            if let Some(connection) = self.load_if_exists(&id)? {
                return Ok(connection);
            }
        }
        // The only folder is read directly, so that its error is reported and not "there is no
        // connection".
        let mut ids = self.ids()?;
        match (ids.pop(), ids.is_empty()) {
            (Some(only), true) => self.load(&only),
            _ => self.only_one(),
        }
    }

    /// The only connection among several folders; folders of the Python package do not count.
    fn only_one(&self) -> Result<Connection> {
        let mut connections = self.list(None)?.connections;
        match (connections.pop(), connections.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(self.not_found(None)),
            _ => Err(Error::Ambiguous {
                wanted: None,
                candidates: labels(&self.list(None)?),
            }),
        }
    }

    fn find_by_name(&self, name: &str) -> Result<Connection> {
        if let Some(connection) = self.find_by_label(name)? {
            return Ok(connection);
        }
        if let Some(connection) = self.find_by_id(name)? {
            return Ok(connection);
        }
        let mut matches: Vec<_> = self
            .ids()?
            .into_iter()
            .filter(|id| id.has_prefix(name))
            .collect();
        match (matches.pop(), matches.is_empty()) {
            (Some(only), true) => self.load(&only),
            (None, _) => Err(self.not_found(Some(name))),
            (Some(last), false) => {
                matches.push(last);
                Err(Error::Ambiguous {
                    wanted: Some(name.to_owned()),
                    candidates: matches.iter().map(ToString::to_string).collect(),
                })
            }
        }
    }

    pub(super) fn find_by_label(&self, name: &str) -> Result<Option<Connection>> {
        let folded = fold(name.trim());
        // A store that was written by hand has no index of labels yet.
        if !self.labels_folder().is_dir() {
            return Ok(self
                .list(None)?
                .connections
                .into_iter()
                .find(|connection| connection.label.folded() == folded));
        }
        let Some(id) = Self::read_id(&self.label_path(&folded))? else {
            return Ok(None);
        };
        // A label file may be left from a connection that was removed, or from an interrupted
        // rename: `meta.json` decides.
        Ok(self
            .load_if_exists(&id)?
            .filter(|connection| connection.label.folded() == folded))
    }

    fn find_by_id(&self, text: &str) -> Result<Option<Connection>> {
        let id = text.parse::<ConnectionId>().ok();
        if let Some(connection) = id.as_ref().map_or(Ok(None), |id| self.load_if_exists(id))? {
            return Ok(Some(connection));
        }
        // An id of the Python package is a file name, too, but it may be longer than ours.
        if id.is_none() && text.contains(|c: char| c.is_whitespace() || c == '/') {
            return Ok(None);
        }
        Ok(self
            .list(None)?
            .connections
            .into_iter()
            .find(|connection| connection.legacy_id.as_deref() == Some(text)))
    }

    /// The error for a connection that does not exist. Where the Python package has a connection of
    /// this name, the error says how to import it.
    pub(super) fn not_found(&self, wanted: Option<&str>) -> Error {
        let listing = self.list(None).unwrap_or_default();
        let folded = wanted.map(fold);
        let is_wanted = |old: &&Plaintext| match (wanted, &folded) {
            (Some(wanted), Some(folded)) => old.id == wanted || fold(&old.label) == *folded,
            _ => listing.connections.is_empty(),
        };
        if let Some(old) = listing.plaintext.iter().find(is_wanted) {
            return self.not_imported(&old.id);
        }
        Error::NoConnection {
            wanted: wanted.map(str::to_owned),
            known: labels(&listing),
            variable: None,
        }
    }

    pub(super) fn not_imported(&self, id: &str) -> Error {
        Error::Corrupt {
            path: self.connections_folder().join(id),
            why: if cfg!(feature = "migrate") {
                format!(
                    "it belongs to the Python package; to import it, run `{}`",
                    Plaintext::IMPORT
                )
            } else {
                "it belongs to the Python package, whose connections this build cannot import"
                    .into()
            },
        }
    }
}

/// The first labels, for an error.
fn labels(listing: &Listing) -> Vec<String> {
    listing
        .connections
        .iter()
        .take(MAX_CANDIDATES)
        .map(|connection| connection.label.to_string())
        .collect()
}
