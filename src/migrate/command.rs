//! `connections import`: takes over a store of the Python package, one connection at a time, each on its own: secrets into
//! the keychain, plaintext away, refresh tokens exchanged. Or makes connections of the ArcGIS API for Python's profiles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connections::keychain_name;
use crate::cli::args::ImportArgs;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape, local_and_left, shell_quoted};
use crate::cli::json::{ImportAnswer, ImportOutcome, ImportedSignIn, Time, Word};
use crate::cli::shared::connection_fields;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::context::{Context, Decision};
use crate::error::{Error, KeychainReason};
use crate::keychain::Keychains;
use crate::migrate::migration::{
    Migrated, Migration, NewConnection, Note, Options, Plan, ProfilePlan,
};
use crate::migrate::package::{profile_file, read_profiles, usual_places, LegacyStore, Profile};
use crate::store::ConnectionStore;
use crate::token::ExtendRule;
use jiff::Timestamp;

pub(super) fn import(ctx: &mut CommandContext, args: &ImportArgs) -> Outcome {
    if ctx.selector.is_some() {
        // Taking over all where one was meant could not be undone.
        return Err(Failure::usage(
            "`connections import` takes over all that is there; it cannot be told a connection",
        ));
    }
    let store = ctx.store()?;
    if let Some(file) = &args.from_arcgis_profile {
        return profiles(ctx, &store, args, file.as_deref());
    }
    let places = places(&store, args)?;
    let mut there = Vec::new();
    for place in &places {
        if LegacyStore::open(place).is_there()? {
            there.push(place);
        }
    }
    let mut work = ImportRun::new(ctx, &store, args);
    if !there.is_empty() {
        let options = work.options()?;
        let keychains = work.ctx.keychains(&store);
        let context = work.ctx.context.clone();
        let mut takeover = Migration::begin(&store, &keychains, &context, options)?;
        for place in there {
            // Read now that nobody else takes anything from it.
            work.old_store(&mut takeover, &LegacyStore::open(place))?;
            if work.keychain_down {
                break;
            }
        }
    }
    work.conclude(&places)
}

/// Where the old store is looked for: where it was said to be, else where it may share our root, else where the package
/// keeps it.
fn places(store: &ConnectionStore, args: &ImportArgs) -> Result<Vec<PathBuf>, Failure> {
    if let Some(dir) = &args.dir {
        if !dir.is_dir() {
            return Err(Failure::usage(format!("`{}` is no folder", dir.display())));
        }
        let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        return Ok(vec![whole]);
    }
    let mut places = vec![store.root().to_owned()];
    for place in usual_places() {
        let real = std::fs::canonicalize(&place).ok();
        let known = places
            .iter()
            .any(|known| *known == place || std::fs::canonicalize(known).ok() == real);
        if real.is_some() && !known {
            places.push(place);
        }
    }
    Ok(places)
}

/// What became of a sign-in.
enum SignIn {
    /// The connection is an application's.
    Application,
    /// There is none.
    Needed,
    /// It was taken over as it was.
    Migrated,
    /// It was taken over, and its refresh token was exchanged. Holds its end.
    Exchanged(Option<Timestamp>),
}

impl SignIn {
    fn state(&self) -> ImportedSignIn {
        match self {
            Self::Application => ImportedSignIn::Application,
            Self::Needed => ImportedSignIn::Needed,
            Self::Migrated => ImportedSignIn::Imported,
            Self::Exchanged(_) => ImportedSignIn::Extended,
        }
    }
}

/// An application whose client secret stood in plain text.
#[derive(Default)]
struct Exposed {
    page: String,
    /// Whether the page is that of its item.
    exact: bool,
    /// The connections that use it: label, and whether it signs in as itself.
    users: Vec<(String, bool)>,
}

/// One run: what it has done, and what it will say at its end.
struct ImportRun<'a> {
    ctx: &'a mut CommandContext,
    store: &'a ConnectionStore,
    args: &'a ImportArgs,
    rows: Vec<ImportAnswer>,
    worst: ExitCode,
    /// Anything was done or would be.
    busy: bool,
    /// The keychain does not work; nothing else will go better.
    keychain_down: bool,
    /// By portal and client id.
    exposed: BTreeMap<(String, String), Exposed>,
}

impl<'a> ImportRun<'a> {
    fn new(ctx: &'a mut CommandContext, store: &'a ConnectionStore, args: &'a ImportArgs) -> Self {
        Self {
            ctx,
            store,
            args,
            rows: Vec::new(),
            worst: ExitCode::Done,
            busy: false,
            keychain_down: false,
            exposed: BTreeMap::new(),
        }
    }

    fn options(&mut self) -> Result<Options, Failure> {
        let (args, environment) = (self.args, &self.ctx.context.environment);
        Ok(Options {
            keychain: if args.dry_run {
                connection_fields::keychain(args.keychain, environment)?
            } else {
                connection_fields::usable_keychain(self.ctx, self.store, args.keychain)?
            },
            keep_plaintext: args.keep_plaintext,
            dry_run: args.dry_run,
        })
    }

    fn old_store(&mut self, takeover: &mut Migration<'_>, old: &LegacyStore) -> Outcome {
        if let Some(damage) = &old.damage {
            // The folders say what the index would, but for the default.
            self.fail("", &Failure::failed(damage.to_string()));
        }
        let ids = match old.ids() {
            Ok(ids) => ids,
            Err(error) => {
                self.fail("", &error.into());
                return Ok(());
            }
        };
        for id in &ids {
            match self.one(takeover, old, id) {
                Ok(()) => {}
                Err(failure @ (Failure::BrokenPipe | Failure::Interrupted)) => return Err(failure),
                Err(failure) => {
                    self.keychain_down = is_keychain_down(&failure);
                    self.fail(id, &failure);
                }
            }
            if self.keychain_down {
                self.ctx
                    .console
                    .info("The keychain does not work; nothing else was tried.");
                break;
            }
        }
        if !self.args.dry_run {
            match takeover.settle(old.root()) {
                Ok(Some(default)) => self
                    .ctx
                    .console
                    .info(&format!("Default: {}", escape(default.label.as_str()))),
                Ok(None) => {}
                Err(error) => self.fail("", &error.into()),
            }
        }
        Ok(())
    }

    fn one(&mut self, takeover: &mut Migration<'_>, old: &LegacyStore, id: &str) -> Outcome {
        let dry = self.args.dry_run;
        let taken = match takeover.plan(old, id).map_err(is_retryable)? {
            Plan::Done(_) => return Ok(()),
            Plan::Gone => return self.gone(takeover, old, id),
            Plan::New(incoming) if dry => return self.would_import(old, id, &incoming),
            Plan::Leftover(rest) if dry => return self.would_finish(old, id, rest.connection()),
            Plan::New(incoming) => takeover.execute(*incoming).map_err(is_retryable)?,
            Plan::Leftover(rest) => takeover.finish(*rest).map_err(is_retryable)?,
        };
        self.taken(takeover, old, id, taken)
    }

    fn gone(&mut self, takeover: &Migration<'_>, old: &LegacyStore, id: &str) -> Outcome {
        if self.args.keep_plaintext {
            return Ok(());
        }
        self.busy = true;
        let id_shown = escape(id);
        if self.args.dry_run {
            self.line(&format!("Would forget {id_shown}: only its name is left"))?;
        } else {
            takeover.forget(old.root(), id)?;
            self.line(&format!("[OK] Forgot {id_shown}: only its name was left"))?;
        }
        let outcome = if self.args.dry_run {
            ImportOutcome::WouldForget
        } else {
            ImportOutcome::Forgotten
        };
        self.rows.push(ImportAnswer {
            source: Some(old.root().display().to_string()),
            ..ImportAnswer::without_connection(id, outcome)
        });
        Ok(())
    }

    fn would_import(&mut self, old: &LegacyStore, id: &str, incoming: &NewConnection) -> Outcome {
        self.busy = true;
        let connection = incoming.connection();
        self.line(&format!(
            "Would import: {}",
            escape(connection.label.as_str())
        ))?;
        self.facts(connection)?;
        let mut plans = vec![format!(
            "its client secret {} to {}",
            if incoming.has_secret() {
                "goes"
            } else {
                "is missing; it would go"
            },
            keychain_name(connection.keychain)
        )];
        let sign_in = self.sign_in_before(connection, incoming.has_sign_in());
        plans.push(match (&sign_in, self.args.keep_plaintext) {
            (_, true) => "the plaintext stays; it needs a sign-in of its own".into(),
            (SignIn::Migrated, _) if self.args.offline => "its sign-in goes there, too".into(),
            (SignIn::Migrated, _) => {
                "its sign-in goes there, too; then its refresh token is exchanged, and the old one ends"
                    .into()
            }
            (SignIn::Application, _) => "it is an application's and needs no sign-in".into(),
            _ => "it needs a sign-in".into(),
        });
        if !self.args.keep_plaintext {
            plans.push("its plaintext is overwritten and deleted".into());
        }
        for plan in plans {
            self.line(&format!("     {plan}"))?;
        }
        self.notes(connection, incoming.notes())?;
        let row = row(
            connection,
            old.root(),
            id,
            ImportOutcome::WouldImport,
            &sign_in,
            incoming.notes(),
        );
        self.rows.push(row);
        Ok(())
    }

    fn would_finish(&mut self, old: &LegacyStore, id: &str, connection: &Connection) -> Outcome {
        self.busy = true;
        self.line(&format!(
            "Would finish importing: {}",
            escape(connection.label.as_str())
        ))?;
        self.line("     what is left of it in plain text is overwritten and deleted")?;
        let sign_in = self.sign_in_before(connection, connection.status.signed_in_at.is_some());
        let outcome = ImportOutcome::WouldFinish;
        let row = row(connection, old.root(), id, outcome, &sign_in, &[]);
        self.rows.push(row);
        Ok(())
    }

    fn sign_in_before(&self, connection: &Connection, comes: bool) -> SignIn {
        if connection.grant.is_application() {
            SignIn::Application
        } else if comes && !self.args.keep_plaintext {
            SignIn::Migrated
        } else {
            SignIn::Needed
        }
    }

    /// Tells what was taken over, exchanges the refresh token, and has the old index forget the connection.
    fn taken(
        &mut self,
        takeover: &Migration<'_>,
        old: &LegacyStore,
        id: &str,
        taken: Migrated,
    ) -> Outcome {
        self.busy = true;
        let connection = &taken.connection;
        self.line(&format!(
            "[OK] {} connection: {}",
            if taken.resumed {
                "Finished importing"
            } else {
                "Imported"
            },
            escape(connection.label.as_str())
        ))?;
        self.facts(connection)?;
        let sign_in = self.sign_in_after(&taken)?;
        match (&taken.left, self.args.keep_plaintext) {
            (None, true) => {
                self.line("     the old store keeps its plaintext, for the old tool")?;
            }
            (None, false) => self.line("     its plaintext was overwritten and deleted")?,
            (Some(_), _) => {}
        }
        self.notes(connection, &taken.notes)?;
        if taken.had_secret && !self.args.keep_plaintext {
            self.expose(connection, &sign_in);
        }
        let outcome = if taken.resumed {
            ImportOutcome::Finished
        } else {
            ImportOutcome::Imported
        };
        let mut row = row(connection, old.root(), id, outcome, &sign_in, &taken.notes);
        row.plaintext_deleted = taken.left.is_none() && !self.args.keep_plaintext;
        self.rows.push(row);
        let Some(error) = taken.left else {
            return Ok(takeover.forget(old.root(), id)?);
        };
        Err(Failure::Hinted {
            error,
            hint: "the connection was imported, but its plaintext is still there; when that is mended, import again"
                .into(),
        })
    }

    fn sign_in_after(&mut self, taken: &Migrated) -> Result<SignIn, Failure> {
        let connection = &taken.connection;
        if connection.grant.is_application() {
            if !taken.had_secret && !taken.resumed {
                self.line(&format!(
                    "     its client secret is missing: age-oauth connections edit {} --client-secret-stdin",
                    shell_quoted(connection.label.as_str())
                ))?;
            }
            return Ok(SignIn::Application);
        }
        if let Some(stray) = &taken.stray {
            if !self.args.offline {
                self.ctx.warn_of(connection);
                let session = self.ctx.session_of(self.store, connection.clone());
                session.revoke_stray(stray.duplicate());
            }
        }
        if !taken.exchange {
            let signed_in = connection.status.signed_in_at.is_some();
            if signed_in {
                return Ok(SignIn::Migrated);
            }
            self.needs_sign_in(connection)?;
            return Ok(SignIn::Needed);
        }
        if self.args.offline {
            self.line(&format!(
                "     its sign-in was taken over; copies of the old plaintext are good until it is exchanged: age-oauth refresh --now {}",
                connection_flag(connection)
            ))?;
            return Ok(SignIn::Migrated);
        }
        self.exchange(connection)
    }

    fn needs_sign_in(&mut self, connection: &Connection) -> Outcome {
        self.line(&format!(
            "     it needs a sign-in: age-oauth login {}",
            connection_flag(connection)
        ))
    }

    /// Ends the refresh token that stood in plain text. A portal that cannot be asked now leaves the connection imported.
    fn exchange(&mut self, connection: &Connection) -> Result<SignIn, Failure> {
        self.ctx.warn_of(connection);
        let session = self.ctx.session_of(self.store, connection.clone());
        let again = format!("age-oauth refresh --now {}", connection_flag(connection));
        match session.refresh(ExtendRule::Now) {
            Ok(refreshed) if refreshed.issued.decision == Decision::Extended => {
                let end = refreshed.issued.sign_in_ends;
                let until = end.map_or_else(String::new, |end| {
                    let when = local_and_left(end, self.ctx.context.now(), &self.ctx.system.zone);
                    format!(" until {when}")
                });
                let user = refreshed.issued.username.unwrap_or_default();
                self.line(&format!(
                    "     signed in as {}{until}; the old refresh token was exchanged, copies of it are worthless",
                    escape(&user)
                ))?;
                Ok(SignIn::Exchanged(end))
            }
            Ok(_) => {
                self.line(
                    "     its sign-in was taken over, but this portal did not exchange its refresh token: copies of the old plaintext stay good until it ends",
                )?;
                Ok(SignIn::Migrated)
            }
            Err(Error::SignInNeeded { .. }) => {
                self.needs_sign_in(connection)?;
                Ok(SignIn::Needed)
            }
            Err(error) => {
                self.line("     its sign-in was taken over, but not exchanged")?;
                let failure = match error {
                    error @ Error::Refused { .. } => Failure::Library(error),
                    error => Failure::Hinted {
                        error,
                        hint: format!(
                            "until it is exchanged, copies of the old plaintext are good: {again}"
                        ),
                    },
                };
                self.ctx.event_log.failed(&failure);
                failure.print(&self.ctx.console);
                self.worst = self.worst.worse(failure.exit_code());
                Ok(SignIn::Migrated)
            }
        }
    }

    /// Remembers that this application's client secret was seen by whoever could read the file, and where to reset it.
    fn expose(&mut self, connection: &Connection, sign_in: &SignIn) {
        let key = (
            connection.portal.as_str().to_owned(),
            connection.client_id.clone(),
        );
        let known = self.exposed.get(&key).is_some_and(|exposed| exposed.exact);
        let may_ask = matches!(sign_in, SignIn::Exchanged(_) | SignIn::Application);
        let item = (may_ask && !known && !self.args.offline)
            .then(|| self.item_page(connection))
            .flatten();
        let exposed = self.exposed.entry(key).or_default();
        if exposed.page.is_empty() {
            exposed.page = format!("{}/home/content.html", connection.portal);
        }
        if let Some(page) = item {
            exposed.page = page;
            exposed.exact = true;
        }
        let user = (
            connection.label.to_string(),
            connection.grant.is_application(),
        );
        exposed.users.push(user);
    }

    /// The page of the item that registers the application, where the portal says which it is.
    fn item_page(&self, connection: &Connection) -> Option<String> {
        self.ctx.warn_of(connection);
        let session = self.ctx.session_of(self.store, connection.clone());
        let item = session.app_info().ok()?.item_id;
        let plain = !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain.then(|| format!("{}/home/item.html?id={item}#settings", connection.portal))
    }

    fn facts(&mut self, connection: &Connection) -> Outcome {
        self.line(&format!(
            "     {}, {}, id {}",
            connection.portal,
            connection.grant.as_str(),
            connection.id
        ))
    }

    fn notes(&mut self, connection: &Connection, notes: &[Note]) -> Outcome {
        for note in notes {
            let mend = match note {
                Note::Unverified => "true",
                Note::NoCertificates(_) => "FILE",
                _ => "",
            };
            let mut line = format!("     {}", escape(&note.to_string()));
            if !mend.is_empty() {
                line.push_str("; to change that: age-oauth connections edit ");
                line.push_str(&shell_quoted(connection.label.as_str()));
                line.push_str(" --verify-ssl ");
                line.push_str(mend);
            }
            self.line(&line)?;
        }
        Ok(())
    }

    /// A line of the answer, unless that is JSON.
    fn line(&mut self, line: &str) -> Outcome {
        if self.args.json {
            return Ok(());
        }
        self.ctx.answer(line)
    }

    /// Tells a failure, and goes on with the next.
    fn fail(&mut self, id: &str, failure: &Failure) {
        self.busy = true;
        self.ctx.event_log.failed(failure);
        failure.print(&self.ctx.console);
        self.worst = self.worst.worse(failure.exit_code());
        let known = self.rows.iter().any(|row| row.legacy_id == id);
        if !id.is_empty() && !known {
            let row = ImportAnswer::without_connection(id, ImportOutcome::Failed);
            self.rows.push(row);
        }
    }

    fn conclude(mut self, places: &[PathBuf]) -> Outcome {
        if !self.busy {
            let places: Vec<_> = places
                .iter()
                .map(|place| escape(&place.display().to_string()))
                .collect();
            self.line(&format!(
                "Nothing to do: nothing is left to import in {}",
                places.join(" or ")
            ))?;
        }
        if self.args.keep_plaintext && self.busy && !self.args.dry_run {
            self.ctx
                .console
                .info("When nobody uses the old tool any more: age-oauth connections import");
        }
        self.advise();
        if self.args.json {
            for row in &mut self.rows {
                let key = row.portal_url.clone().zip(row.client_id.clone());
                let exposed = key.and_then(|key| self.exposed.get(&key));
                row.client_secret_page = exposed.map(|one| one.page.clone());
            }
            let rows = std::mem::take(&mut self.rows);
            self.ctx.answer_json_array(&rows)?;
        }
        match self.worst {
            ExitCode::Done => Ok(()),
            worst => Err(Failure::Multiple { worst }),
        }
    }

    /// Client secrets do not end by themselves; only a person can reset them.
    fn advise(&self) {
        if self.exposed.is_empty() {
            return;
        }
        let console = &self.ctx.console;
        console.print("");
        console.print(
            "Reset the client secrets that stood in plain text; other people may have read them, and backups keep them:",
        );
        for ((_, client_id), exposed) in &self.exposed {
            let what = if exposed.exact {
                "the application's page: under its settings, at the client secret"
            } else {
                "among your content, the application's item: under its settings, at the client secret"
            };
            console.print(&format!("  {}", escape(&exposed.page)));
            console.print(&format!("     {what} (client ID {})", escape(client_id)));
            for (label, application) in &exposed.users {
                console.print(&if *application {
                    format!(
                        "     then give it the new one: age-oauth connections edit {} --client-secret-stdin",
                        shell_quoted(label)
                    )
                } else {
                    format!(
                        "     then forget the old one, for people need none: age-oauth connections edit {} --no-client-secret",
                        shell_quoted(label)
                    )
                });
            }
        }
    }
}

fn row(
    connection: &Connection,
    source: &Path,
    id: &str,
    outcome: ImportOutcome,
    sign_in: &SignIn,
    notes: &[Note],
) -> ImportAnswer {
    let end = match sign_in {
        SignIn::Exchanged(end) => *end,
        SignIn::Migrated => connection.status.refresh_expires_at,
        SignIn::Application | SignIn::Needed => None,
    };
    ImportAnswer {
        connection: Some(connection.label.to_string()),
        id: Some(connection.id.to_string()),
        portal_url: Some(connection.portal.to_string()),
        auth_type: Some(connection.grant.as_str()),
        client_id: Some(connection.client_id.clone()),
        source: Some(source.display().to_string()),
        sign_in: Some(Word(sign_in.state())),
        refresh_expires_at: end.map(Time),
        notes: notes.iter().map(ToString::to_string).collect(),
        ..ImportAnswer::without_connection(id, outcome)
    }
}

/// The others go on; this one can be tried again.
fn is_retryable(error: Error) -> Failure {
    match error {
        error @ (Error::File { .. } | Error::Corrupt { .. }) => Failure::Hinted {
            error,
            hint: "this connection stays as it was; when that is mended, import again".into(),
        },
        error => error.into(),
    }
}

fn is_keychain_down(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Library(Error::Keychain { error, .. })
            if matches!(
                error.reason,
                KeychainReason::Missing | KeychainReason::Locked | KeychainReason::Timeout
            )
    )
}

/// `--from-arcgis-profile`.
fn profiles(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    args: &ImportArgs,
    file: Option<&Path>,
) -> Outcome {
    let usual = profile_file(&ctx.context.environment);
    let Some(path) = file.map(Path::to_owned).or(usual) else {
        return Err(Failure::usage("no home directory is known; name the file"));
    };
    let profiles = read_profiles(&path)?;
    let options = Options {
        keychain: connection_fields::keychain(args.keychain, &ctx.context.environment)?,
        keep_plaintext: true,
        dry_run: args.dry_run,
    };
    let keychains: Keychains = ctx.keychains(store);
    let context: Context = ctx.context.clone();
    let mut takeover = Migration::begin(store, &keychains, &context, options)?;
    let mut work = ImportRun::new(ctx, store, args);
    for profile in &profiles {
        match work.profile(&mut takeover, &path, profile) {
            Ok(()) => {}
            Err(failure @ (Failure::BrokenPipe | Failure::Interrupted)) => return Err(failure),
            Err(failure) => work.fail(&profile.name, &failure),
        }
    }
    work.conclude(&[path])
}

impl ImportRun<'_> {
    fn profile(
        &mut self,
        takeover: &mut Migration<'_>,
        source: &Path,
        profile: &Profile,
    ) -> Outcome {
        let name = escape(&profile.name);
        let of_profile =
            |error: Error| Failure::failed(format!("the profile `{}`: {error}", profile.name));
        let (connection, notes) = match takeover.plan_profile(profile).map_err(of_profile)? {
            ProfilePlan::Done(_) => return Ok(()),
            ProfilePlan::NoClientId => {
                self.ctx.console.info(&format!(
                    "Skipped the profile {name}: it has no client ID; register an application at the portal, then: age-oauth connections add --label {}",
                    shell_quoted(&profile.name)
                ));
                let row = ImportAnswer::without_connection(&profile.name, ImportOutcome::Skipped);
                self.rows.push(row);
                return Ok(());
            }
            ProfilePlan::New(connection, notes) => (connection, notes),
        };
        self.busy = true;
        let label = escape(connection.label.as_str());
        if self.args.dry_run {
            self.line(&format!("Would import: {label}"))?;
        } else {
            takeover.add_profile(&connection)?;
            self.line(&format!("[OK] Imported connection: {label}"))?;
        }
        self.facts(&connection)?;
        self.needs_sign_in(&connection)?;
        self.notes(&connection, &notes)?;
        let outcome = if self.args.dry_run {
            ImportOutcome::WouldImport
        } else {
            ImportOutcome::Imported
        };
        let row = row(
            &connection,
            source,
            &profile.name,
            outcome,
            &SignIn::Needed,
            &notes,
        );
        self.rows.push(row);
        Ok(())
    }
}
