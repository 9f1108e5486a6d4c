//! `completions`: scripts that ask this program what fits, so that they know labels and never grow old.
//!
//! Completing asks no portal, no keychain and no person, and says nothing where something is wrong.

use std::ffi::OsString;
use std::io::Write;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use clap_complete::CompleteEnv;

use crate::cli::args::{Cli, Completed, CompletionsArgs};
use crate::cli::failure::Outcome;
use crate::cli::CommandContext;
use crate::connection::Connection;
use crate::context::Environment;
use crate::store::ConnectionStore;

/// Set by the scripts, to the name of the shell that wants to know.
const VARIABLE: &str = "AGE_OAUTH_COMPLETE";

const NAME: &str = "age-oauth";

pub(in crate::cli) fn completions(ctx: &mut CommandContext, args: &CompletionsArgs) -> Outcome {
    let asking: &dyn EnvCompleter = match args.shell {
        Completed::Bash => &Bash,
        Completed::Zsh => &Zsh,
        Completed::Fish => &Fish,
        Completed::Powershell => &Powershell,
        Completed::Elvish => &Elvish,
        Completed::Nushell => {
            let mut script = Vec::new();
            let nushell = clap_complete_nushell::Nushell;
            clap_complete::generate(nushell, &mut Cli::command(), NAME, &mut script);
            return Ok(ctx.system.out.write_all(&script)?);
        }
    };
    let mut script = Vec::new();
    asking.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(ctx.system.out.write_all(&script)?)
}

/// Answers a script that asks what fits, and says whether one did.
pub(in crate::cli) fn complete(arguments: &[OsString]) -> bool {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .try_complete(arguments.iter().cloned(), here.as_deref())
        .unwrap_or(true)
}

/// Completes a connection's name.
pub(in crate::cli) fn labels() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let listing = ConnectionStore::open_default(&Environment::process())
            .and_then(|store| store.list(None))
            .unwrap_or_default();
        listing.connections.iter().map(candidate).collect()
    })
}

/// The label; or the id where a shell would take the label for several words.
fn candidate(connection: &Connection) -> CompletionCandidate {
    let label = connection.label.as_str();
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if label.chars().all(plain) && !label.starts_with('-') {
        return CompletionCandidate::new(label)
            .help(Some(connection.portal.as_str().to_owned().into()));
    }
    CompletionCandidate::new(connection.id.as_str())
        .help(Some(crate::cli::format::escape(label).into()))
}
