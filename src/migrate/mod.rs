//! Imports what the Python package age-oauth left on disk: its store, and the profiles of the
//! ArcGIS API for Python.
//!
//! Everything about the predecessor's formats is in this folder, behind the feature `migrate`, and
//! can be deleted with it: `grep -rn 'feature = "migrate"'` finds the few lines elsewhere. The
//! command itself is in `command/`; it is a module of `cli::commands`, because it uses what the
//! other commands use.

mod convert;
mod env_file;
mod execute;
mod leftover;
mod note;
mod package_connection;
mod package_store;
mod plan;
mod profiles;
mod wipe;

pub use execute::Migrated;
pub use note::Note;
pub use package_store::{usual_places, PackageStore};
pub use plan::{Migration, NewConnection, Options, Plan};
pub use profiles::{profile_file, read_profiles, Profile, ProfilePlan};

#[cfg(any(test, feature = "testing"))]
pub(crate) use {
    convert::{client_id, fit_label, grant, portal},
    env_file::parse_env,
    package_connection::PackageConnection,
    profiles::parse_profiles,
};
