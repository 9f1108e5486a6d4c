//! Decides what is to be done about each connection of the old store. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::note::Note;
use super::package_connection::PackageConnection;
use super::package_store::PackageStore;
use crate::connection::{Connection, ConnectionId, KeychainKind, PortalUrl};
use crate::context::Context;
use crate::env;
use crate::error::{Error, Result};
use crate::files::Lock;
use crate::keychain::Keychains;
use crate::policy::RENEWAL_LOCK_TIMEOUT;
use crate::store::ConnectionStore;
use crate::token::Tokens;

/// How [`Migration`] imports.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the secrets go.
    pub keychain: KeychainKind,
    /// Leave the old store to the old tool: new connections with new IDs, and without tokens,
    /// because two programs must not share a refresh token.
    pub keep_plaintext: bool,
    /// Only plan; no lock is taken and nothing is changed.
    pub dry_run: bool,
}

/// What is to be done about one connection of the old store.
#[derive(Debug)]
pub enum Plan {
    /// It is imported.
    New(Box<NewConnection>),
    /// It was imported before, and something is left of it in the old store.
    Leftover(Box<Leftover>),
    /// It was imported before.
    Done,
    /// Only the old index names it.
    Gone,
}

/// A connection that is to be created.
#[derive(Debug)]
pub struct NewConnection {
    pub(super) connection: Connection,
    pub(super) old: PackageConnection,
    /// The certificates that it trusts in addition, as PEM.
    pub(super) ca: Option<Vec<u8>>,
    pub(super) tokens: Option<Tokens>,
    /// Its folder is already where ours would be, so that it is adopted.
    pub(super) in_place: bool,
    pub(super) notes: Vec<Note>,
}

impl NewConnection {
    /// The connection as it will be.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What a person should know.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether a client secret comes with it.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.old.client_secret.is_some()
    }

    /// Whether a sign-in comes with it.
    #[must_use]
    pub fn has_sign_in(&self) -> bool {
        has_refresh(self.tokens.as_ref())
    }
}

/// A connection that was imported, and what is left of it in the old store.
#[derive(Debug)]
pub struct Leftover {
    pub(super) connection: Connection,
    pub(super) old: Option<PackageConnection>,
}

impl Leftover {
    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Imports connections into one store. Holds a lock against other imports while it lives.
#[derive(Debug)]
pub struct Migration<'a> {
    pub(super) store: &'a ConnectionStore,
    pub(super) keychains: &'a Keychains,
    pub(super) context: &'a Context,
    pub(super) options: Options,
    /// Connections that remember an id of the old store.
    remembered: BTreeMap<String, ConnectionId>,
    /// Folded labels of what was planned.
    pub(super) planned: BTreeSet<String>,
    /// Whether there was a default connection before.
    pub(super) had_default: bool,
    _lock: Option<Lock>,
}

impl<'a> Migration<'a> {
    /// Waits at most a minute for another process that imports; then [`Error::Busy`].
    pub fn begin(
        store: &'a ConnectionStore,
        keychains: &'a Keychains,
        context: &'a Context,
        options: Options,
    ) -> Result<Self> {
        let lock = (!options.dry_run)
            .then(|| store.lock_import(RENEWAL_LOCK_TIMEOUT, context))
            .transpose()?;
        let remembered = store
            .list(None)?
            .connections
            .into_iter()
            .filter_map(|connection| Some((connection.legacy_id?, connection.id)))
            .collect();
        let default = store.default_id()?;
        let had_default = default.is_some_and(|id| store.load(&id).is_ok());
        Ok(Self {
            store,
            keychains,
            context,
            options,
            remembered,
            planned: BTreeSet::new(),
            had_default,
            _lock: lock,
        })
    }

    pub(super) fn is_in_place(&self, package_store: &PackageStore) -> bool {
        is_same(package_store.root(), self.store.root())
    }

    /// Decides what is to be done about one connection. Changes nothing.
    pub fn plan(&mut self, package_store: &PackageStore, id: &str) -> Result<Plan> {
        let Some(old) = package_store.read(id)? else {
            return Ok(match self.existing(id, true)?.pop() {
                Some(connection) => self.resume_with(connection, None),
                None => Plan::Gone,
            });
        };
        let in_place = self.is_in_place(package_store);
        if old.is_ours && !in_place {
            return Err(Error::Corrupt {
                path: old.folder,
                why: format!(
                    "another connection store has started to import it; complete the import there ({})",
                    env::AGE_OAUTH_HOME
                ),
            });
        }
        let existing = self.existing(id, old.is_ours)?;
        let same = existing
            .iter()
            .position(|connection| belongs(&old, connection));
        if let Some(at) = same {
            return Ok(self.resume_with(existing[at].clone(), Some(old)));
        }
        if in_place && existing.iter().any(|one| one.id.as_str() == id) {
            return Err(Error::Corrupt {
                path: old.env_path(),
                why: format!(
                    "its portal or client ID differs from that of the connection `{}`, which was imported from it; delete the file if it is not needed any more",
                    existing[0].label
                ),
            });
        }
        self.new_connection(old, in_place, !existing.is_empty())
            .map(|new| Plan::New(Box::new(new)))
    }

    /// The plan for a connection that was imported before.
    fn resume_with(&self, connection: Connection, old: Option<PackageConnection>) -> Plan {
        if self.options.keep_plaintext {
            Plan::Done
        } else {
            Plan::Leftover(Box::new(Leftover { connection, old }))
        }
    }

    /// Connections that have this id of the old store, as their own or remembered. A folder of the
    /// package whose `meta.json` is damaged (`is_ours` is false) is not a connection yet.
    pub(super) fn existing(&self, id: &str, is_ours: bool) -> Result<Vec<Connection>> {
        let mut found = Vec::new();
        if let Ok(own) = id.parse() {
            match self.store.load_if_exists(&own) {
                Err(Error::Corrupt { .. } | Error::UnusableConnection { .. }) if !is_ours => {}
                other => found.extend(other?),
            }
        }
        if let Some(remembered) = self.remembered.get(id) {
            found.extend(self.store.load_if_exists(remembered)?);
        }
        Ok(found)
    }
}

pub(super) fn has_refresh(tokens: Option<&Tokens>) -> bool {
    tokens.is_some_and(|tokens| tokens.refresh.is_some())
}

/// Whether the plaintext's secrets are this connection's.
fn belongs(old: &PackageConnection, connection: &Connection) -> bool {
    let portal = old.portal_url.as_deref().map(str::parse::<PortalUrl>);
    let same_portal =
        portal.is_none_or(|portal| portal.is_ok_and(|url| url == *connection.browser_url()));
    let client_id = old.client_id.as_deref();
    same_portal && client_id.is_none_or(|id| id == connection.client_id)
}

pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
