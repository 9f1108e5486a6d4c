//! `connections import`: imports the connections of the Python package, one after the other:
//! secrets go to the keychain, the plaintext is deleted, the sign-in is extended. Or creates
//! connections from the profiles of the ArcGIS API for Python.

mod exposed_secrets;
mod profiles;
mod sign_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, shell_quoted};
use crate::cli::json::{ImportAnswer, ImportOutcome, Time, Word};
use crate::cli::shared::connection_fields::{self, keychain_help};
use crate::cli::shared::help::examples;
use crate::cli::shared::keychain_kind::keychain_kind;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::connection::KeychainKind;
use crate::error::{Error, KeychainReason};
use crate::migrate::{
    usual_places, Migrated, Migration, NewConnection, Note, Options, PackageStore, Plan,
};
use crate::store::ConnectionStore;
use exposed_secrets::Exposed;
use sign_in::SignInResult;

#[derive(Args, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections import --dry-run", "show what would be done"),
    ("age-oauth connections import", "import, and delete the plaintext"),
    ("age-oauth connections import --from-arcgis-profile", "the profiles of the ArcGIS API for Python"),
]))]
pub(in crate::cli) struct ImportArgs {
    /// The folder of the old store [default: where the Python package keeps it]
    dir: Option<PathBuf>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep the old store for the old tool: new connections, each with its own sign-in
    #[arg(long)]
    keep_plaintext: bool,
    /// Do not ask any portal; sign-ins are imported as they are
    #[arg(long)]
    offline: bool,
    /// Read the profiles of the ArcGIS API for Python instead [default: ~/.arcgisprofile]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        conflicts_with_all = ["dir", "keep_plaintext", "offline"]
    )]
    #[allow(clippy::option_option)] // Given or not, and with a file or without.
    from_arcgis_profile: Option<Option<PathBuf>>,
    #[arg(
        long,
        value_name = "os|vault",
        value_parser = keychain_kind(),
        hide_possible_values = true,
        help = keychain_help()
    )]
    keychain: Option<KeychainKind>,
    /// Print one JSON array
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(super) fn import(ctx: &mut CommandContext, args: &ImportArgs) -> Outcome {
    if ctx.selector.is_some() {
        // Importing all connections if one was meant could not be undone.
        return Err(Failure::usage(
            "`connections import` imports every connection; it does not take the name of one",
        ));
    }
    let store = ctx.store()?;
    if let Some(file) = &args.from_arcgis_profile {
        return profiles::profiles(ctx, &store, args, file.as_deref());
    }
    let places = places(&store, args)?;
    let mut found = Vec::new();
    for place in &places {
        if PackageStore::open(place).is_there()? {
            found.push(place);
        }
    }
    let mut run = ImportRun::new(ctx, &store, args);
    if !found.is_empty() {
        let options = run.options()?;
        let keychains = run.ctx.keychains(&store);
        let context = run.ctx.context.clone();
        let mut migration = Migration::begin(&store, &keychains, &context, options)?;
        for place in found {
            // Read again now that the lock keeps other imports from changing the old store.
            run.old_store(&mut migration, &PackageStore::open(place))?;
            if run.keychain_down {
                break;
            }
        }
    }
    run.conclude(&places)
}

/// Where to look for the old store: in the folder that was given, else in the connection store
/// itself and in the default folders of the package.
fn places(store: &ConnectionStore, args: &ImportArgs) -> Result<Vec<PathBuf>, Failure> {
    if let Some(dir) = &args.dir {
        if !dir.is_dir() {
            return Err(Failure::usage(format!(
                "`{}` is not a folder",
                dir.display()
            )));
        }
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        return Ok(vec![absolute]);
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

/// One run of the command, and what it prints at its end.
struct ImportRun<'a> {
    ctx: &'a mut CommandContext,
    store: &'a ConnectionStore,
    args: &'a ImportArgs,
    rows: Vec<ImportAnswer>,
    worst: ExitCode,
    /// Whether anything was done, or would be done.
    did_something: bool,
    /// The keychain does not work, so that the rest would fail as well.
    keychain_down: bool,
    /// By portal and client ID.
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
            did_something: false,
            keychain_down: false,
            exposed: BTreeMap::new(),
        }
    }

    fn options(&mut self) -> Result<Options, Failure> {
        let args = self.args;
        Ok(Options {
            keychain: if args.dry_run {
                connection_fields::keychain(args.keychain, &self.ctx.context)?
            } else {
                connection_fields::usable_keychain(self.ctx, self.store, args.keychain)?
            },
            keep_plaintext: args.keep_plaintext,
            dry_run: args.dry_run,
        })
    }

    fn old_store(&mut self, migration: &mut Migration<'_>, old: &PackageStore) -> Outcome {
        if let Some(damage) = &old.damage {
            // Continue: the folders contain everything except for the default.
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
            match self.one(migration, old, id) {
                Ok(()) => {}
                Err(failure @ (Failure::BrokenPipe | Failure::Interrupted)) => return Err(failure),
                Err(failure) => {
                    self.keychain_down = is_keychain_down(&failure);
                    self.fail(id, &failure);
                }
            }
            if self.keychain_down {
                self.ctx.console.info(
                    "The keychain does not work, so the other connections were not imported.",
                );
                break;
            }
        }
        if !self.args.dry_run {
            match migration.finish(old.root()) {
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

    fn one(&mut self, migration: &mut Migration<'_>, old: &PackageStore, id: &str) -> Outcome {
        let dry = self.args.dry_run;
        let migrated = match migration.plan(old, id).map_err(files_failed)? {
            Plan::Done => return Ok(()),
            Plan::Gone => return self.gone(migration, old, id),
            Plan::New(new) if dry => return self.would_import(old, id, &new),
            Plan::Leftover(leftover) if dry => {
                return self.would_finish(old, id, leftover.connection())
            }
            Plan::New(new) => migration.execute(*new).map_err(files_failed)?,
            Plan::Leftover(leftover) => migration.resume(*leftover).map_err(files_failed)?,
        };
        self.imported(migration, old, id, migrated)
    }

    fn gone(&mut self, migration: &Migration<'_>, old: &PackageStore, id: &str) -> Outcome {
        if self.args.keep_plaintext {
            return Ok(());
        }
        self.did_something = true;
        let id_shown = escape(id);
        if self.args.dry_run {
            self.line(&format!(
                "Would remove {id_shown} from the old list: only its name is left"
            ))?;
        } else {
            migration.forget(old.root(), id)?;
            self.line(&format!(
                "[OK] Removed {id_shown} from the old list: only its name was left"
            ))?;
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

    fn would_import(&mut self, old: &PackageStore, id: &str, new: &NewConnection) -> Outcome {
        self.did_something = true;
        let connection = new.connection();
        self.line(&format!(
            "Would import: {}",
            escape(connection.label.as_str())
        ))?;
        self.facts(connection)?;
        let keychain = format!("the keychain ({})", connection.keychain.display_name());
        let mut plans = vec![if new.has_secret() {
            format!("its client secret will be stored in {keychain}")
        } else {
            "it has no client secret".to_owned()
        }];
        let sign_in = self.sign_in_before(connection, new.has_sign_in());
        plans.push(match (&sign_in, self.args.keep_plaintext) {
            (_, true) => "the old store keeps its plaintext; the new connection needs its own sign-in".into(),
            (SignInResult::Imported, _) if self.args.offline => {
                format!("its sign-in will be stored in {keychain}")
            }
            (SignInResult::Imported, _) => {
                format!("its sign-in will be stored in {keychain} and extended, which ends the old refresh token")
            }
            (SignInResult::Application, _) => {
                "it is an application connection and needs no sign-in".into()
            }
            _ => "it needs a sign-in".into(),
        });
        if !self.args.keep_plaintext {
            plans.push("its plaintext will be overwritten and deleted".into());
        }
        for plan in plans {
            self.line(&format!("     {plan}"))?;
        }
        self.notes(connection, new.notes())?;
        let sign_in = match sign_in {
            SignInResult::Imported if !self.args.offline => SignInResult::Extended(None),
            sign_in => sign_in,
        };
        let row = row(
            connection,
            old.root(),
            id,
            ImportOutcome::WouldImport,
            &sign_in,
            new.notes(),
        );
        self.rows.push(row);
        Ok(())
    }

    fn would_finish(&mut self, old: &PackageStore, id: &str, connection: &Connection) -> Outcome {
        self.did_something = true;
        self.line(&format!(
            "Would finish importing: {}",
            escape(connection.label.as_str())
        ))?;
        self.line("     what is left of it in plain text will be overwritten and deleted")?;
        let sign_in = self.sign_in_before(connection, connection.status.signed_in_at.is_some());
        let outcome = ImportOutcome::WouldFinish;
        let row = row(connection, old.root(), id, outcome, &sign_in, &[]);
        self.rows.push(row);
        Ok(())
    }

    /// Prints what was imported, extends the sign-in, and removes the connection from the old
    /// index.
    fn imported(
        &mut self,
        migration: &Migration<'_>,
        old: &PackageStore,
        id: &str,
        migrated: Migrated,
    ) -> Outcome {
        self.did_something = true;
        let connection = &migrated.connection;
        self.line(&format!(
            "[OK] {} connection: {}",
            if migrated.resumed {
                "Finished importing"
            } else {
                "Imported"
            },
            escape(connection.label.as_str())
        ))?;
        self.facts(connection)?;
        let sign_in = self.sign_in_after(&migrated)?;
        match (&migrated.left, self.args.keep_plaintext) {
            (None, true) => {
                self.line("     the old store keeps its plaintext, for the old tool")?;
            }
            (None, false) => self.line("     its plaintext was overwritten and deleted")?,
            (Some(_), _) => {}
        }
        self.notes(connection, &migrated.notes)?;
        if migrated.had_secret && !self.args.keep_plaintext {
            self.expose(connection, &sign_in);
        }
        let outcome = if migrated.resumed {
            ImportOutcome::Finished
        } else {
            ImportOutcome::Imported
        };
        let mut row = row(
            connection,
            old.root(),
            id,
            outcome,
            &sign_in,
            &migrated.notes,
        );
        row.plaintext_deleted = migrated.left.is_none() && !self.args.keep_plaintext;
        self.rows.push(row);
        let Some(error) = migrated.left else {
            return Ok(migration.forget(old.root(), id)?);
        };
        Err(Failure::Hinted {
            error,
            hint: "the connection was imported, but its plaintext could not be deleted; fix that, then run the same command again"
                .into(),
        })
    }

    fn facts(&mut self, connection: &Connection) -> Outcome {
        self.line(&format!(
            "     {}, {}, ID {}",
            connection.browser_url(),
            connection.grant.as_str(),
            connection.id
        ))
    }

    fn notes(&mut self, connection: &Connection, notes: &[Note]) -> Outcome {
        for note in notes {
            let value = match note {
                Note::Unverified => Some("true"),
                Note::NoCertificates(_) => Some("FILE"),
                Note::Relabeled(_)
                | Note::NewId(_)
                | Note::LeftOut(..)
                | Note::Unknown { .. }
                | Note::OtherFiles(_)
                | Note::KeychainIsNewer => None,
            };
            let mut line = format!("     {}", escape(&note.to_string()));
            if let Some(value) = value {
                line.push_str("; to change that: age-oauth connections edit ");
                line.push_str(&shell_quoted(connection.label.as_str()));
                line.push_str(" --verify-ssl ");
                line.push_str(value);
            }
            self.line(&line)?;
        }
        Ok(())
    }

    /// Prints a line of the answer, except with `--json`.
    fn line(&mut self, line: &str) -> Outcome {
        if self.args.json {
            return Ok(());
        }
        self.ctx.answer(line)
    }

    /// Prints and counts a failure, after which the import continues with the next connection.
    fn fail(&mut self, id: &str, failure: &Failure) {
        self.did_something = true;
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
        if !self.did_something {
            let places: Vec<_> = places
                .iter()
                .map(|place| escape(&place.display().to_string()))
                .collect();
            self.line(&format!(
                "There is nothing to import in {}",
                places.join(" or ")
            ))?;
        }
        if self.args.keep_plaintext && self.did_something && !self.args.dry_run {
            self.ctx
                .console
                .info("When you no longer use the old tool, run: age-oauth connections import");
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
}

fn row(
    connection: &Connection,
    source: &Path,
    id: &str,
    outcome: ImportOutcome,
    sign_in: &SignInResult,
    notes: &[Note],
) -> ImportAnswer {
    let end = match sign_in {
        SignInResult::Extended(end) => *end,
        SignInResult::Imported => connection.status.refresh_expires_at,
        SignInResult::Application | SignInResult::Needed => None,
    };
    ImportAnswer {
        connection: Some(connection.label.to_string()),
        id: Some(connection.id.to_string()),
        portal_url: Some(connection.browser_url().to_string()),
        auth_type: Some(connection.grant.as_str()),
        client_id: Some(connection.client_id.clone()),
        source: Some(source.display().to_string()),
        sign_in: Some(Word(sign_in.state())),
        refresh_expires_at: end.map(Time),
        notes: notes.iter().map(ToString::to_string).collect(),
        ..ImportAnswer::without_connection(id, outcome)
    }
}

/// Adds a hint to a failure of one connection's files.
fn files_failed(error: Error) -> Failure {
    match error {
        error @ (Error::File { .. } | Error::Corrupt { .. } | Error::UnusableConnection { .. }) => {
            Failure::Hinted {
                error,
                hint: "this connection was not changed; fix that, then run the same command again"
                    .into(),
            }
        }
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
