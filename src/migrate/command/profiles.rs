//! `connections import --from-arcgis-profile`: creates a connection from each profile of the ArcGIS
//! API for Python.

use std::path::Path;

use super::sign_in::SignInResult;
use super::{row, ImportArgs, ImportRun};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, label_option};
use crate::cli::json::{ImportAnswer, ImportOutcome};
use crate::cli::shared::connection_fields;
use crate::cli::CommandContext;
use crate::error::Error;
use crate::migrate::{profile_file, read_profiles, Migration, Options, Profile, ProfilePlan};
use crate::store::ConnectionStore;

/// `--from-arcgis-profile`.
pub(super) fn profiles(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    args: &ImportArgs,
    file: Option<&Path>,
) -> Outcome {
    let usual = profile_file(&ctx.context.environment);
    let Some(path) = file.map(Path::to_owned).or(usual) else {
        return Err(Failure::usage(
            "the home directory is not known; give the path of the file",
        ));
    };
    let profiles = read_profiles(&path)?;
    let options = Options {
        keychain: connection_fields::keychain(args.keychain, &ctx.context)?,
        keep_plaintext: true,
        dry_run: args.dry_run,
    };
    let keychains = ctx.keychains(store);
    let context = ctx.context.clone();
    let mut migration = Migration::begin(store, &keychains, &context, options)?;
    let mut run = ImportRun::new(ctx, store, args);
    for profile in &profiles {
        match run.profile(&mut migration, &path, profile) {
            Ok(()) => {}
            Err(failure @ (Failure::BrokenPipe | Failure::Interrupted)) => return Err(failure),
            Err(failure) => run.fail(&profile.name, &failure),
        }
    }
    run.conclude(&[path])
}

impl ImportRun<'_> {
    fn profile(
        &mut self,
        migration: &mut Migration<'_>,
        source: &Path,
        profile: &Profile,
    ) -> Outcome {
        let name = escape(&profile.name);
        let of_profile = |error: Error| {
            Failure::failed(format!(
                "the profile `{}` cannot be imported: {error}",
                profile.name
            ))
        };
        let (connection, notes) = match migration.plan_profile(profile).map_err(of_profile)? {
            ProfilePlan::Done => return Ok(()),
            ProfilePlan::NoClientId => {
                self.ctx.console.info(&format!(
                    "Skipped the profile {name}, which has no client ID. Register an application at the portal, then run: age-oauth connections add {}",
                    label_option(&profile.name)
                ));
                let row = ImportAnswer::without_connection(&profile.name, ImportOutcome::Skipped);
                self.rows.push(row);
                return Ok(());
            }
            ProfilePlan::New(connection, notes) => (connection, notes),
        };
        self.did_something = true;
        let label = escape(connection.label.as_str());
        if self.args.dry_run {
            self.line(&format!("Would import: {label}"))?;
        } else {
            migration.add_profile(&connection)?;
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
            &SignInResult::Needed,
            &notes,
        );
        self.rows.push(row);
        Ok(())
    }
}
