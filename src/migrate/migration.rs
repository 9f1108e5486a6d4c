//! Takes connections over from a store of the Python package: secrets into a keychain, everything else into our store, then
//! the plaintext away.
//!
//! The order, which makes it safe to interrupt and to run twice: secrets are stored, read back and compared; then the
//! connection is made; only then is the plaintext overwritten and deleted. Whoever calls this exchanges the refresh token
//! after that, and has the old index forget the connection last, so that what was interrupted is found again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use unicode_normalization::UnicodeNormalization;

use crate::connection::{
    fold, is_control, Connection, ConnectionId, Grant, KeychainKind, Label, PortalUrl, RedirectUri,
    Tls,
};
use crate::context::Context;
use crate::error::{Error, FileAction, KeychainReason, Result};
use crate::files::{self, Lock};
use crate::keychain::{Item, ItemKind, Keychains};
use crate::manage::{check_client_id, check_referer, keychain_error, put, read_ca};
use crate::migrate::package::{Legacy, LegacyRefresh, LegacyStore, Profile, Verify};
use crate::oauth::is_token;
use crate::secret::Secret;
use crate::session::{new_tokens, this_machine, Session};
use crate::store::{ConnectionStore, RenewalLock};
use crate::token::{AccessToken, Binding, ClientSecret, RefreshToken, Tokens};

/// How long another take-over may keep this one waiting, and how long a renewal may.
const BOUND: Duration = Duration::from_secs(60);

/// No portal grants an access token a longer life: two weeks.
const LONGEST_ACCESS: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A refresh token whose age nobody noted (0.1.x) is taken to be no younger than this, so that it is extended soon.
const ASSUMED_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What [`Migration`] shall do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the secrets go.
    pub keychain: KeychainKind,
    /// Leave the old store to the old tool: new connections with ids of their own, and no tokens, because two programs
    /// must not share a refresh token.
    pub keep_plaintext: bool,
    /// Nothing will be carried out.
    pub dry_run: bool,
}

/// Something worth telling about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The label was taken, too long, or not fit to be shown. Holds the old one.
    Relabelled(String),
    /// Another connection has its id. Holds the old one, which still finds this connection.
    NewId(String),
    /// The file of certificates could not be read; the system's authorities are trusted instead. Holds which, and why.
    NoCertificates(String),
    /// Certificates are not verified, as before.
    Unverified,
    /// A setting cannot be used and was left out. Holds its name and what is wrong with it.
    LeftOut(&'static str, String),
    /// Keys that the package does not know, and the file in which they are kept.
    Unknown {
        /// Their names.
        keys: Vec<String>,
        /// Where they are now.
        path: PathBuf,
    },
    /// Other files stay in the old folder, and may hold secrets.
    OtherFiles(Vec<PathBuf>),
    /// What the keychain holds is newer than what the plaintext held.
    KeychainIsNewer,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relabelled(old) => write!(f, "it was called `{old}` there"),
            Self::NewId(old) => write!(
                f,
                "another connection has its id `{old}`, so it has a new one"
            ),
            Self::NoCertificates(why) => write!(
                f,
                "its certificates could not be read, so the system's authorities are trusted ({why})"
            ),
            Self::Unverified => f.write_str("the portal's certificate is not verified, as before"),
            Self::LeftOut(what, why) => write!(f, "{what} was left out: {why}"),
            Self::Unknown { keys, path } => write!(
                f,
                "not age-oauth's own and kept in `{}`: {}",
                path.display(),
                keys.join(", ")
            ),
            Self::OtherFiles(paths) => {
                let names: Vec<_> = paths
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect();
                write!(
                    f,
                    "other files stay there and may hold secrets; look at them: {}",
                    names.join(", ")
                )
            }
            Self::KeychainIsNewer => {
                f.write_str("the keychain holds a newer sign-in than the plaintext did; it stays")
            }
        }
    }
}

/// What is to be done about one connection of the old store.
#[derive(Debug)]
pub enum Plan {
    /// It is taken over.
    New(Box<NewConnection>),
    /// It was taken over before, and something is left of it.
    Leftover(Box<Leftover>),
    /// It was taken over before.
    Done(Box<Connection>),
    /// Only the old index names it.
    Gone,
}

/// A connection to be made.
#[derive(Debug)]
pub struct NewConnection {
    connection: Connection,
    legacy: Legacy,
    ca: Option<Vec<u8>>,
    tokens: Option<Tokens>,
    in_place: bool,
    notes: Vec<Note>,
}

impl NewConnection {
    /// The connection as it will be.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What is worth telling.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether a client secret comes with it.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.legacy.client_secret.is_some()
    }

    /// Whether a sign-in comes with it.
    #[must_use]
    pub fn has_sign_in(&self) -> bool {
        has_refresh(self.tokens.as_ref())
    }
}

/// A connection that is there, and what is left of it in the old store.
#[derive(Debug)]
pub struct Leftover {
    connection: Connection,
    legacy: Option<Legacy>,
}

impl Leftover {
    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// What was done about one connection.
#[derive(Debug)]
pub struct Migrated {
    /// The connection as it is now.
    pub connection: Connection,
    /// Whether it had been taken over before, and only the rest was done now.
    pub resumed: bool,
    /// Whether the client secret was in the plaintext.
    pub had_secret: bool,
    /// The sign-in stood in the plaintext, so that its refresh token should be exchanged now.
    pub exchange: bool,
    /// A refresh token of the plaintext that is alive but not stored: another sign-in took its place.
    pub stray: Option<Secret>,
    /// Why plaintext is still there.
    pub left: Option<Error>,
    /// What is worth telling.
    pub notes: Vec<Note>,
}

/// Takes connections over into one store. No other process does while this lives.
#[derive(Debug)]
pub struct Migration<'a> {
    connections: &'a ConnectionStore,
    keychains: &'a Keychains,
    context: &'a Context,
    options: Options,
    /// Connections that remember an id of the old store.
    remembered: BTreeMap<String, ConnectionId>,
    /// Folded labels of what was planned.
    planned: BTreeSet<String>,
    had_default: bool,
    _lock: Option<Lock>,
}

impl<'a> Migration<'a> {
    /// Waits for another process that does the same, at most a minute: [`Error::Busy`].
    pub fn begin(
        connections: &'a ConnectionStore,
        keychains: &'a Keychains,
        context: &'a Context,
        options: Options,
    ) -> Result<Self> {
        let lock = (!options.dry_run)
            .then(|| connections.lock_import(BOUND, context))
            .transpose()?;
        let remembered = connections
            .list(None)?
            .connections
            .into_iter()
            .filter_map(|connection| Some((connection.legacy_id?, connection.id)))
            .collect();
        let default = connections.default_id()?;
        let had_default = default.is_some_and(|id| connections.load(&id).is_ok());
        Ok(Self {
            connections,
            keychains,
            context,
            options,
            remembered,
            planned: BTreeSet::new(),
            had_default,
            _lock: lock,
        })
    }

    fn is_in_place(&self, store: &LegacyStore) -> bool {
        is_same(store.root(), self.connections.root())
    }

    /// Decides what is to be done about one connection. Changes nothing.
    pub fn plan(&mut self, store: &LegacyStore, id: &str) -> Result<Plan> {
        let Some(legacy) = store.read(id)? else {
            return Ok(match self.existing(id, true)?.pop() {
                Some(connection) => self.again(connection, None),
                None => Plan::Gone,
            });
        };
        let in_place = self.is_in_place(store);
        if legacy.is_ours && !in_place {
            return Err(Error::Corrupt {
                path: legacy.folder,
                why: "another store of age-oauth has begun to take it over; let that one finish it (AGE_OAUTH_HOME)"
                    .into(),
            });
        }
        let existing = self.existing(id, legacy.is_ours)?;
        let same = existing
            .iter()
            .position(|connection| belongs(&legacy, connection));
        if let Some(at) = same {
            return Ok(self.again(existing[at].clone(), Some(legacy)));
        }
        if in_place && existing.iter().any(|one| one.id.as_str() == id) {
            return Err(Error::Corrupt {
                path: legacy.env_path(),
                why: format!(
                    "it names another portal or client ID than connection `{}`, which was made from it; delete the file if nobody needs it any more",
                    existing[0].label
                ),
            });
        }
        self.incoming(legacy, in_place, !existing.is_empty())
            .map(|incoming| Plan::New(Box::new(incoming)))
    }

    /// What is to be done about a connection that is there already.
    fn again(&self, connection: Connection, legacy: Option<Legacy>) -> Plan {
        if self.options.keep_plaintext {
            Plan::Done(Box::new(connection))
        } else {
            Plan::Leftover(Box::new(Leftover { connection, legacy }))
        }
    }

    /// Connections that go by this id of the old store. A folder of the package's whose `meta.json` is damaged
    /// (`is_ours` is false) is none.
    fn existing(&self, id: &str, is_ours: bool) -> Result<Vec<Connection>> {
        let mut found = Vec::new();
        if let Ok(own) = id.parse() {
            match self.connections.load_if_there(&own) {
                Err(Error::Corrupt { .. }) if !is_ours => {}
                other => found.extend(other?),
            }
        }
        if let Some(remembered) = self.remembered.get(id) {
            found.extend(self.connections.load_if_there(remembered)?);
        }
        Ok(found)
    }

    fn incoming(
        &mut self,
        mut legacy: Legacy,
        in_place: bool,
        id_taken: bool,
    ) -> Result<NewConnection> {
        let mut notes = Vec::new();
        let label = self.label(&legacy.label, &legacy.id, &mut notes)?;
        let mut connection = Connection::new(
            label,
            portal(&legacy)?,
            grant(&legacy, &mut notes),
            client_id(&legacy)?,
        );
        let id = legacy.id.parse::<ConnectionId>().ok();
        match id.filter(|_| !self.options.keep_plaintext && !id_taken) {
            Some(id) => connection.id = id,
            None => connection.legacy_id = Some(legacy.id.clone()),
        }
        if id_taken {
            notes.push(Note::NewId(legacy.id.clone()));
        }
        let ca = self.trust(&legacy, &mut connection, &mut notes);
        connection.referer = legacy.referer.as_deref().and_then(|text| {
            check_referer(text)
                .map_err(|_| notes.push(Note::LeftOut("its Referer", "it is no plain text".into())))
                .ok()
        });
        connection.keychain = self.options.keychain;
        connection.tags.clone_from(&legacy.tags);
        connection.created_at = legacy.created_at.or_else(|| Some(self.context.now()));
        connection.last_used_at = legacy.last_used_at;
        connection.status.username.clone_from(&legacy.username);
        let tokens = if self.options.keep_plaintext {
            None
        } else {
            self.tokens(&mut legacy, &connection, &mut notes)
        };
        if let Some(tokens) = &tokens {
            note_sign_in(&mut connection, tokens);
        }
        let in_place = in_place && connection.id.as_str() == legacy.id;
        Ok(NewConnection {
            connection,
            legacy,
            ca,
            tokens,
            in_place,
            notes,
        })
    }

    /// A label that is free: the old one, else with a number behind it.
    fn label(&mut self, old: &str, instead: &str, notes: &mut Vec<Note>) -> Result<Label> {
        let mut number = 1;
        loop {
            let label = fit_label(old, instead, number)?;
            let free = !self.planned.contains(&label.folded()) && self.is_free(&label)?;
            if free {
                self.planned.insert(label.folded());
                if label.folded() != fold(old) {
                    notes.push(Note::Relabelled(old.to_owned()));
                }
                return Ok(label);
            }
            number += 1;
        }
    }

    fn is_free(&self, label: &Label) -> Result<bool> {
        match self.connections.check_free(label) {
            Ok(()) => Ok(true),
            Err(Error::NameTaken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the connection the certificates that the package trusted, and returns those of its own.
    fn trust(
        &self,
        legacy: &Legacy,
        connection: &mut Connection,
        notes: &mut Vec<Note>,
    ) -> Option<Vec<u8>> {
        let file = match &legacy.verify {
            Verify::True => return None,
            Verify::False => {
                connection.tls = Tls::Unverified;
                notes.push(Note::Unverified);
                return None;
            }
            Verify::File(file) => self.context.environment.expand(file),
        };
        match read_ca(&file) {
            Ok(pem) => {
                connection.tls = Tls::Ca(self.connections.ca_path(&connection.id));
                connection.ca_source = Some(file.display().to_string());
                Some(pem.into_bytes())
            }
            Err(error) => {
                notes.push(Note::NoCertificates(match error {
                    Error::Invalid { why, .. } => why,
                    other => other.to_string(),
                }));
                None
            }
        }
    }

    /// The record that the plaintext's tokens become.
    fn tokens(
        &self,
        legacy: &mut Legacy,
        connection: &Connection,
        notes: &mut Vec<Note>,
    ) -> Option<Tokens> {
        let now = self.context.now();
        let mut tokens = new_tokens(connection);
        tokens.username.clone_from(&legacy.username);
        let usual_life = SignedDuration::from_mins(if legacy.application { 120 } else { 30 });
        if let Some(access) = legacy.access.take() {
            let left = access.expires_at.duration_since(now);
            if is_token(&access.secret) && left.is_positive() && left <= LONGEST_ACCESS {
                // When it was issued is not written there; it was not later than now.
                let begun = access.expires_at.checked_sub(usual_life).unwrap_or(now);
                tokens.mint(AccessToken {
                    secret: access.secret,
                    issued_at: begun.min(now),
                    expires_at: access.expires_at,
                });
            }
        }
        if let Some(refresh) = &legacy.refresh {
            if is_token(&refresh.secret) {
                tokens.refresh = Some(RefreshToken {
                    secret: refresh.secret.duplicate(),
                    issued_at: issued_at(refresh, connection.created_at, now),
                    expires_at: None,
                });
            } else {
                notes.push(Note::LeftOut("its sign-in", "it is damaged".into()));
            }
        }
        (tokens.access.is_some() || tokens.refresh.is_some()).then_some(tokens)
    }

    /// Does it. Where that fails, nothing of the old store was changed.
    pub fn execute(&self, incoming: NewConnection) -> Result<Migrated> {
        let NewConnection {
            connection,
            legacy,
            ca,
            tokens,
            in_place,
            mut notes,
        } = incoming;
        let lock = in_place
            .then(|| {
                self.connections
                    .lock_folder(&connection.id, BOUND, self.context)
            })
            .transpose()?;
        self.store_secrets(&connection, legacy.client_secret.as_ref(), tokens.as_ref())?;
        let made = match &lock {
            Some(lock) => self
                .connections
                .adopt(lock, &connection, ca.as_deref(), self.context),
            None => self
                .connections
                .add_without_default(&connection, ca.as_deref(), self.context),
        };
        if let Err(error) = made {
            if lock.is_none() {
                self.drop_secrets(&connection);
            }
            return Err(error);
        }
        let left = if self.options.keep_plaintext {
            None
        } else {
            self.wipe(&connection, &legacy, &mut notes).err()
        };
        Ok(Migrated {
            resumed: false,
            had_secret: legacy.client_secret.is_some(),
            exchange: has_refresh(tokens.as_ref()),
            stray: None,
            left,
            notes,
            connection,
        })
    }

    fn store_secrets(
        &self,
        connection: &Connection,
        secret: Option<&Secret>,
        tokens: Option<&Tokens>,
    ) -> Result<()> {
        let keychain = self.keychains.of(connection.keychain);
        let store = |kind, record: &Secret| {
            put(keychain.as_ref(), &Item::of(connection, kind), record)
                .map_err(|error| keychain_error(error, connection, kind))
        };
        if let Some(secret) = secret {
            let record = ClientSecret {
                binding: Binding::of(connection),
                secret: secret.duplicate(),
            }
            .to_record();
            store(ItemKind::ClientSecret, &record)?;
        }
        tokens.map_or(Ok(()), |tokens| {
            store(ItemKind::Tokens, &tokens.to_record())
        })
    }

    /// A connection that was not made needs none. What cannot be deleted is found by `doctor`.
    fn drop_secrets(&self, connection: &Connection) {
        let keychain = self.keychains.of(connection.keychain);
        for kind in [ItemKind::ClientSecret, ItemKind::Tokens] {
            let _ = keychain.delete(&Item::of(connection, kind));
        }
    }

    /// Brings a take-over to its end that was interrupted: what the keychain lacks is stored, then the plaintext goes.
    pub fn finish(&self, rest: Leftover) -> Result<Migrated> {
        let Leftover { connection, legacy } = rest;
        let session = Session::new(
            self.connections.clone(),
            connection.clone(),
            self.keychains.of(connection.keychain),
            self.context.clone(),
        );
        let (lock, connection) = session.lock()?;
        let mut taken = Migrated {
            connection,
            resumed: true,
            had_secret: false,
            exchange: false,
            stray: None,
            left: None,
            notes: Vec::new(),
        };
        let Some(mut legacy) = legacy.filter(|legacy| legacy.folder.exists()) else {
            taken.exchange = has_sign_in(&session, &taken.connection);
            return Ok(taken);
        };
        if legacy.has_env() {
            self.settle_secret(&session, &taken.connection, &legacy)?;
            taken.had_secret = legacy.client_secret.is_some();
            self.settle_tokens(&session, &lock, &mut taken, &mut legacy)?;
        } else {
            taken.exchange = has_sign_in(&session, &taken.connection);
        }
        taken.left = self
            .wipe(&taken.connection, &legacy, &mut taken.notes)
            .err();
        Ok(taken)
    }

    /// Of the sign-in in the plaintext and that in the keychain, the newer one stays.
    fn settle_tokens(
        &self,
        session: &Session,
        lock: &RenewalLock,
        taken: &mut Migrated,
        legacy: &mut Legacy,
    ) -> Result<()> {
        let Some(tokens) = self.tokens(legacy, &taken.connection, &mut taken.notes) else {
            return Ok(());
        };
        match compare(session, &taken.connection, &tokens, legacy)? {
            Newer::Plaintext => {
                self.store_secrets(&taken.connection, None, Some(&tokens))?;
                taken.connection = self
                    .connections
                    .update(lock, |connection| note_sign_in(connection, &tokens))?;
                taken.exchange = true;
            }
            Newer::Neither => taken.exchange = true,
            Newer::Keychain => {
                taken.notes.push(Note::KeychainIsNewer);
                // This connection's former sign-in is spent; one that was made beside it is alive.
                if taken.connection.id.as_str() != legacy.id {
                    taken.stray = tokens.refresh.map(|refresh| refresh.secret);
                }
            }
            Newer::Nothing => {}
        }
        Ok(())
    }

    /// A client secret that the keychain lacks is stored. Which of two is right, only a person knows.
    fn settle_secret(
        &self,
        session: &Session,
        connection: &Connection,
        legacy: &Legacy,
    ) -> Result<()> {
        let Some(secret) = &legacy.client_secret else {
            return Ok(());
        };
        match session.read_client_secret(connection)? {
            Some(kept) if kept.matches(secret.expose()) => Ok(()),
            None => self.store_secrets(connection, Some(secret), None),
            Some(_) => Err(Error::Corrupt {
                path: legacy.env_path(),
                why: format!(
                    "it holds another client secret than the keychain does for `{}`; take that line out of it, or store its secret by `age-oauth connections edit`, then import again",
                    connection.label
                ),
            }),
        }
    }

    /// Overwrites and deletes what the package kept of this connection.
    fn wipe(&self, connection: &Connection, legacy: &Legacy, notes: &mut Vec<Note>) -> Result<()> {
        if !legacy.is_unchanged()? {
            return Err(Error::Corrupt {
                path: legacy.env_path(),
                why: "it was written to meanwhile, perhaps by the Python package; import again"
                    .into(),
            });
        }
        let own = self.connections.folder(&connection.id);
        keep_unknown(&own, legacy, notes)?;
        files::wipe(&legacy.env_path())?;
        let adopted = is_same(&legacy.folder, &own);
        let mut others = Vec::new();
        for name in names_in(&legacy.folder)? {
            let path = legacy.folder.join(&name);
            if is_unfinished(&name) {
                files::wipe(&path)?;
            } else if name == ".env.lock" || !adopted && is_metadata(&name) {
                files::remove(&path)?;
            } else if !(adopted && OURS.contains(&name.as_str())) {
                others.push(path);
            }
        }
        if others.is_empty() && !adopted {
            fs::remove_dir(&legacy.folder)
                .map_err(Error::file(FileAction::Remove, &legacy.folder))?;
        }
        if !others.is_empty() {
            notes.push(Note::OtherFiles(others));
        }
        Ok(())
    }

    /// Has the old index forget a connection: the last step of taking it over.
    pub fn forget(&self, root: &Path, id: &str) -> Result<()> {
        let store = LegacyStore::open(root);
        if self.options.keep_plaintext || !store.is_indexed(id) {
            return Ok(());
        }
        files::write(&root.join("connections.json"), &store.index_without(id))
    }

    /// When everything was tried: our default becomes what the old store's was, unless there was one, and what is left of
    /// the old store and says nothing goes. Returns the default, where it was set now.
    pub fn settle(&self, root: &Path) -> Result<Option<Connection>> {
        let store = LegacyStore::open(root);
        let default = match store.default_id() {
            Some(id) => self.new_home_of(id)?,
            None => None,
        };
        let default = default.filter(|_| !self.had_default);
        if let Some(connection) = &default {
            self.connections.set_default(Some(&connection.id))?;
        }
        if !self.options.keep_plaintext {
            self.clear(&store)?;
        }
        Ok(default)
    }

    fn new_home_of(&self, id: &str) -> Result<Option<Connection>> {
        if let Some(connection) = self.existing(id, false)?.pop() {
            return Ok(Some(connection));
        }
        Ok(self
            .connections
            .list(None)?
            .connections
            .into_iter()
            .find(|connection| connection.legacy_id.as_deref() == Some(id)))
    }

    fn clear(&self, store: &LegacyStore) -> Result<()> {
        let root = store.root();
        if store.damage.is_none() && store.ids()?.is_empty() {
            files::remove(&root.join("active_connection"))?;
            files::remove(&root.join("connections.json"))?;
            if !self.is_in_place(store) {
                // Folders that hold something else stay.
                let _ = fs::remove_dir(root.join("connections"));
                let _ = fs::remove_dir(root);
            }
        }
        if self.is_in_place(store) && root.is_dir() && !files::world_accessible(root)?.is_empty() {
            files::take_access_from_others(root)?;
        }
        Ok(())
    }

    /// Decides what is to be done about a profile of the ArcGIS API for Python: a connection that needs only a sign-in.
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
        let known = self.connections.list(None)?.connections.into_iter();
        let same = known
            .filter(|one| one.portal == portal && one.client_id == client_id)
            .find(|one| {
                let label = one.label.folded();
                label == wanted || label.starts_with(&numbered)
            });
        if let Some(connection) = same {
            return Ok(ProfilePlan::Done(Box::new(connection)));
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
        self.connections
            .add_without_default(connection, None, self.context)
    }
}

/// What is to be done about a profile of the ArcGIS API for Python.
#[derive(Debug)]
pub enum ProfilePlan {
    /// This connection is made.
    New(Box<Connection>, Vec<Note>),
    /// It was made before.
    Done(Box<Connection>),
    /// It signs in with a password, which this program does not do.
    NoClientId,
}

/// Whether there is a sign-in that can be exchanged.
fn has_sign_in(session: &Session, connection: &Connection) -> bool {
    let kept = session.read_tokens(connection).ok().flatten();
    has_refresh(kept.as_ref())
}

fn compare(
    session: &Session,
    connection: &Connection,
    incoming: &Tokens,
    legacy: &Legacy,
) -> Result<Newer> {
    let Some(theirs) = &incoming.refresh else {
        return Ok(Newer::Nothing);
    };
    let kept = match session.read_tokens(connection) {
        Err(Error::Keychain { error, .. }) if error.reason == KeychainReason::Lost => None,
        Err(Error::SignInNeeded { .. }) => None,
        other => other?,
    };
    let Some(ours) = kept.and_then(|tokens| tokens.refresh) else {
        return Ok(Newer::Plaintext);
    };
    if ours.secret.matches(theirs.secret.expose()) {
        return Ok(Newer::Neither);
    }
    // A program of the old package that still ran may have extended the sign-in and written its file anew.
    let noted = legacy
        .refresh
        .as_ref()
        .and_then(|refresh| refresh.issued_at);
    let later = noted.is_some_and(|at| at.as_second() > ours.issued_at.as_second());
    Ok(if later && connection.id.as_str() == legacy.id {
        Newer::Plaintext
    } else {
        Newer::Keychain
    })
}

/// Whose sign-in is the one that counts.
enum Newer {
    Plaintext,
    Keychain,
    /// They are the same.
    Neither,
    /// The plaintext holds none.
    Nothing,
}

/// Keys of an `.env` that are not the package's are kept in this file.
const LEFT_OVER: &str = "left-over.env";

const MAX_LEFT_OVER: u64 = 16 * 1024 * 1024;

/// Our files in a connection's folder.
const OURS: [&str; 5] = ["meta.json", "ca.pem", "lock", "lock.holder", LEFT_OVER];

/// Nobody but its owner knows what an unknown key is good for.
fn keep_unknown(own: &Path, legacy: &Legacy, notes: &mut Vec<Note>) -> Result<()> {
    if legacy.unknown.is_empty() {
        return Ok(());
    }
    let path = own.join(LEFT_OVER);
    let mut text = files::read(&path, MAX_LEFT_OVER)?.unwrap_or_default();
    for (key, value) in &legacy.unknown {
        let value = value.expose().replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{key}=\"{value}\"\n");
        if !text
            .windows(line.len())
            .any(|window| window == line.as_bytes())
        {
            text.extend_from_slice(line.as_bytes());
        }
    }
    files::write(&path, &text)?;
    notes.push(Note::Unknown {
        keys: legacy.unknown.iter().map(|(key, _)| key.clone()).collect(),
        path,
    });
    Ok(())
}

fn is_metadata(name: &str) -> bool {
    name == "meta.json" || name == "meta.json.tmp"
}

/// What a writer of the package leaves when it is killed: `.env.tmp`, `.env.1234.tmp`.
fn is_unfinished(name: &str) -> bool {
    name.strip_prefix(".env.")
        .and_then(|rest| rest.strip_suffix("tmp"))
        .map(|middle| middle.trim_end_matches('.'))
        .is_some_and(|middle| middle.chars().all(|c| c.is_ascii_digit()))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(FileAction::Read, folder))? {
        let entry = entry.map_err(Error::file(FileAction::Read, folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn has_refresh(tokens: Option<&Tokens>) -> bool {
    tokens.is_some_and(|tokens| tokens.refresh.is_some())
}

/// Whether the plaintext's secrets are this connection's.
fn belongs(legacy: &Legacy, connection: &Connection) -> bool {
    let portal = legacy.portal_url.as_deref().map(str::parse::<PortalUrl>);
    let same_portal = portal.is_none_or(|portal| portal.is_ok_and(|url| url == connection.portal));
    let client_id = legacy.client_id.as_deref();
    same_portal && client_id.is_none_or(|id| id == connection.client_id)
}

fn unusable(legacy: &Legacy, why: impl Into<String>) -> Error {
    Error::Corrupt {
        path: legacy.env_path(),
        why: why.into(),
    }
}

pub(crate) fn portal(legacy: &Legacy) -> Result<PortalUrl> {
    let Some(text) = &legacy.portal_url else {
        return Err(unusable(
            legacy,
            "no portal is named (PORTAL_URL); write it there and import again, or add the connection anew",
        ));
    };
    text.parse()
        .map_err(|error: Error| unusable(legacy, format!("PORTAL_URL: {error}")))
}

pub(crate) fn client_id(legacy: &Legacy) -> Result<String> {
    let Some(text) = &legacy.client_id else {
        return Err(unusable(
            legacy,
            "no client ID is there (OAUTH_CLIENT_ID); write it there and import again, or add the connection anew",
        ));
    };
    check_client_id(text).map_err(|error| unusable(legacy, format!("OAUTH_CLIENT_ID: {error}")))
}

pub(crate) fn grant(legacy: &Legacy, notes: &mut Vec<Note>) -> Grant {
    if legacy.application {
        return Grant::Application;
    }
    let redirect_uri = legacy.redirect_uri.as_deref().map(str::parse);
    Grant::User {
        redirect_uri: match redirect_uri {
            None => RedirectUri::OutOfBand,
            Some(Ok(uri)) => uri,
            Some(Err(error)) => {
                notes.push(Note::LeftOut("its redirect URI", error.to_string()));
                RedirectUri::OutOfBand
            }
        },
        pkce: true,
    }
}

/// When the refresh token was issued, or a cautious guess.
fn issued_at(refresh: &LegacyRefresh, created_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let guess = now.checked_sub(ASSUMED_AGE).unwrap_or(now);
    refresh
        .issued_at
        .unwrap_or_else(|| created_at.map_or(guess, |at| at.max(guess)))
        .min(now)
}

/// Copies what `status` shows.
fn note_sign_in(connection: &mut Connection, tokens: &Tokens) {
    let status = &mut connection.status;
    status.access_expires_at = tokens.access.as_ref().map(|access| access.expires_at);
    if let Some(refresh) = &tokens.refresh {
        status.signed_in_at = Some(refresh.issued_at);
        status.refresh_issued_at = Some(refresh.issued_at);
        status.refresh_expires_at = Some(refresh.end());
        status.machine = Some(this_machine());
        status.username = tokens.username.clone().or(status.username.take());
    }
}

/// A label that can be one: without control characters, of allowed length, with a number behind it unless that is 1.
pub(crate) fn fit_label(text: &str, instead: &str, number: usize) -> Result<Label> {
    let clean: String = text
        .nfc()
        .map(|c| if is_control(c) { ' ' } else { c })
        .collect();
    let clean = match clean.trim() {
        "" => instead,
        clean => clean,
    };
    let suffix = if number == 1 {
        String::new()
    } else {
        format!(" ({number})")
    };
    let room = Label::MAX_CHARS - suffix.chars().count();
    let cut: String = clean.chars().take(room).collect();
    format!("{}{suffix}", cut.trim_end()).parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_made_to_fit() {
        let fit = |text: &str, number| fit_label(text, "id_1", number).unwrap().to_string();
        assert_eq!(fit(" My Portal ", 1), "My Portal");
        assert_eq!(fit("Prod", 2), "Prod (2)");
        assert_eq!(fit("a\u{1b}[31mb\n", 1), "a [31mb");
        assert_eq!(fit("", 1), "id_1");
        assert_eq!(fit(&"é".repeat(80), 1).chars().count(), 64);
        assert_eq!(fit(&"é".repeat(80), 12).chars().count(), 64);
    }

    #[test]
    fn what_a_killed_writer_left_is_known() {
        for name in [".env.tmp", ".env.4711.tmp"] {
            assert!(is_unfinished(name), "{name}");
        }
        for name in [
            ".env",
            ".env.lock",
            ".env.bak",
            ".env.old.tmp",
            "meta.json.tmp",
        ] {
            assert!(!is_unfinished(name), "{name}");
        }
    }

    #[test]
    fn a_refresh_token_is_never_from_the_future_and_soon_extended() {
        let now: Timestamp = "2026-06-30T12:00:00Z".parse().unwrap();
        let at = |days: i64| now - SignedDuration::from_hours(24 * days);
        let noted = |issued_at| LegacyRefresh {
            secret: Secret::new("x".into()),
            issued_at,
        };
        assert_eq!(issued_at(&noted(Some(at(3))), Some(at(90)), now), at(3));
        assert_eq!(issued_at(&noted(Some(at(-3))), None, now), now);
        assert_eq!(issued_at(&noted(None), Some(at(2)), now), at(2));
        assert_eq!(issued_at(&noted(None), Some(at(90)), now), at(7));
        assert_eq!(issued_at(&noted(None), None, now), at(7));
    }

    proptest! {
        #[test]
        fn any_label_can_be_made_to_fit(text in "\\PC{0,100}", control in "[\\x00-\\x1f\u{202e}é ]{0,9}", number in 1_usize..2000) {
            for text in [&text, &control, &format!("{control}{text}")] {
                prop_assert!(fit_label(text, "id_1", number).is_ok(), "{:?}", text);
            }
        }
    }
}
