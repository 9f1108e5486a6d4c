//! Extends a sign-in that was stored in plain text, so that copies of the old refresh token become
//! invalid.

use jiff::Timestamp;

use super::ImportRun;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{connection_flag, escape, local_and_left, shell_quoted};
use crate::cli::json::ImportedSignIn;
use crate::connection::{Connection, GrantKind};
use crate::error::Error;
use crate::event::Decision;
use crate::migrate::Migrated;
use crate::policy::ExtendRule;

/// What became of a connection's sign-in.
pub(super) enum SignInResult {
    /// An application connection needs none.
    Application,
    /// A person must sign in.
    Needed,
    /// It was imported as it was.
    Imported,
    /// It was imported and extended. Holds its end.
    Extended(Option<Timestamp>),
}

impl SignInResult {
    /// As `--json` names it.
    pub(super) fn state(&self) -> ImportedSignIn {
        match self {
            Self::Application => ImportedSignIn::Application,
            Self::Needed => ImportedSignIn::Needed,
            Self::Imported => ImportedSignIn::Imported,
            Self::Extended(_) => ImportedSignIn::Extended,
        }
    }
}

impl ImportRun<'_> {
    /// What an import would do with the sign-in, from what the plaintext contains.
    pub(super) fn sign_in_before(
        &self,
        connection: &Connection,
        has_sign_in: bool,
    ) -> SignInResult {
        if connection.grant.kind() == GrantKind::Application {
            SignInResult::Application
        } else if has_sign_in && !self.args.keep_plaintext {
            SignInResult::Imported
        } else {
            SignInResult::Needed
        }
    }

    /// Extends the sign-in if it was stored in plain text, and prints the result.
    pub(super) fn sign_in_after(&mut self, migrated: &Migrated) -> Result<SignInResult, Failure> {
        let connection = &migrated.connection;
        if connection.grant.kind() == GrantKind::Application {
            if !migrated.had_secret && !migrated.resumed {
                self.line(&format!(
                    "     its client secret is missing: age-oauth connections edit {} --client-secret-stdin",
                    shell_quoted(connection.label.as_str())
                ))?;
            }
            return Ok(SignInResult::Application);
        }
        if let Some(stray) = &migrated.stray {
            if !self.args.offline {
                let session = self.ctx.network_session(self.store, connection.clone());
                session.revoke_stray(stray.duplicate());
            }
        }
        if !migrated.extend {
            let signed_in = connection.status.signed_in_at.is_some();
            if signed_in {
                return Ok(SignInResult::Imported);
            }
            self.needs_sign_in(connection)?;
            return Ok(SignInResult::Needed);
        }
        if self.args.offline {
            self.line(&format!(
                "     its sign-in was imported; copies of the old refresh token remain valid until you run: age-oauth refresh --now {}",
                connection_flag(connection)
            ))?;
            return Ok(SignInResult::Imported);
        }
        self.extend(connection)
    }

    pub(super) fn needs_sign_in(&mut self, connection: &Connection) -> Outcome {
        self.line(&format!(
            "     it needs a sign-in: age-oauth login {}",
            connection_flag(connection)
        ))
    }

    /// Ends the refresh token that was stored in plain text. If the portal cannot be asked now, the
    /// connection remains imported.
    fn extend(&mut self, connection: &Connection) -> Result<SignInResult, Failure> {
        let session = self.ctx.network_session(self.store, connection.clone());
        let again = format!("age-oauth refresh --now {}", connection_flag(connection));
        match session.refresh(ExtendRule::Now) {
            Ok(refreshed) if refreshed.token.decision == Decision::Extended => {
                let end = refreshed.token.sign_in_expires_at;
                let until = end.map_or_else(String::new, |end| {
                    let when = local_and_left(end, self.ctx.context.now(), &self.ctx.system.zone);
                    format!(" until {when}")
                });
                let user = refreshed.token.username.unwrap_or_default();
                self.line(&format!(
                    "     signed in as {}{until}; the sign-in was extended, so copies of the old refresh token are invalid",
                    escape(&user)
                ))?;
                Ok(SignInResult::Extended(end))
            }
            Ok(_) => {
                self.line(
                    "     its sign-in was imported, but the portal did not extend it; copies of the old refresh token remain valid until it expires",
                )?;
                Ok(SignInResult::Imported)
            }
            Err(Error::SignInNeeded { .. }) => {
                self.needs_sign_in(connection)?;
                Ok(SignInResult::Needed)
            }
            Err(error) => {
                self.line("     its sign-in was imported, but could not be extended")?;
                let failure = match error {
                    error @ Error::Refused { .. } => Failure::Library(error),
                    error => Failure::Hinted {
                        error,
                        hint: format!(
                            "copies of the old refresh token remain valid until you run: {again}"
                        ),
                    },
                };
                self.ctx.event_log.failed(&failure);
                failure.print(&self.ctx.console);
                self.worst = self.worst.worse(failure.exit_code());
                Ok(SignInResult::Imported)
            }
        }
    }
}
