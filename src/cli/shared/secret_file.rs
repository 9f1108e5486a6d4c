//! Files that options name for a secret.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::format::escape;
use crate::cli::hints;
use crate::cli::CommandContext;
use crate::error::{Error, FileAction};
use crate::files;
use crate::policy::PIPE_TIMEOUT;
use crate::secret::Secret;

/// The largest file with a secret that is read, in bytes.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// The text of a file that an option names for a secret. One that other users may read is warned
/// about, and read: containers and units mount such files with modes of their own.
pub(in crate::cli) fn read(ctx: &CommandContext, path: &Path) -> Result<Secret, Failure> {
    if let Some(exposed) = files::exposed(path, &ctx.context.environment) {
        ctx.console.warn(&format!(
            "other users may read {} (mode {:04o}), which holds a secret: {}",
            escape(&path.display().to_string()),
            exposed.mode,
            hints::close_file(path, exposed.closed_mode)
        ));
    }
    let limit = ctx.bound(PIPE_TIMEOUT);
    let bytes = files::read_secret_file(path, MAX_SECRET_FILE, limit)
        .map_err(Error::file(FileAction::Read, path))?;
    Secret::from_file(bytes)
        .ok_or_else(|| Failure::usage(format!("`{}` does not contain text", path.display())))
}
