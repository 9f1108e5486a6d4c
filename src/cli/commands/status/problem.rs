//! What is wrong with a sign-in, and what to run about it.

use jiff::Timestamp;

use super::Row;
use crate::bound_setting::BoundSetting;
use crate::cli::failure::Failure;
use crate::cli::format::{ago, connection_flag, local, local_and_left};
use crate::cli::hints::api_key_again;
use crate::cli::json::SignInState;
use crate::cli::shared::api_key;
use crate::cli::shared::client_certificate::{expiry_warning, replace_hint};
use crate::cli::CommandContext;
use crate::connection::{Connection, GrantKind};
use crate::error::{ApiKeyProblem, Error, KeychainError, KeychainReason, SignInNeeded};
use crate::policy;
use crate::session::other_machine;

impl Row {
    /// What a person must do about it, now or soon; `None` if nothing.
    pub(super) fn problem(&self, ctx: &CommandContext) -> Option<Failure> {
        if self.connection.grant.kind() == GrantKind::ApiKey {
            return self.api_key_problem(ctx);
        }
        let connection = &self.connection;
        let (label, now) = (connection.label.as_str(), ctx.context.now());
        let login = format!("age-oauth login {}", connection_flag(connection));
        let end = connection.status.refresh_expires_at.unwrap_or(now);
        let failure = match (self.sign_in, &self.stored) {
            (SignInState::Missing, _) => Error::SignInNeeded {
                connection: label.to_owned(),
                why: SignInNeeded::Never,
            }
            .into(),
            (SignInState::Ended, _) => Failure::SignIn {
                message: format!(
                    "the sign-in of `{label}` expired {} ({})",
                    local(end, &ctx.system.zone),
                    ago(end, now)
                ),
                hint: login,
            },
            (SignInState::Gone, _) => Failure::SignIn {
                message: match other_machine(connection) {
                    Some(machine) => format!(
                        "the sign-in of `{label}` is in the keychain of the machine `{machine}`, not in this machine's"
                    ),
                    None => format!(
                        "the tokens of `{label}` are no longer in {}",
                        connection.keychain.display_name()
                    ),
                },
                hint: login,
            },
            (_, Some(Err(error))) => self.keychain_failure(error.clone()),
            (SignInState::Application, Some(Ok(false))) => {
                let (reason, detail) = match connection.secret_command {
                    None => (KeychainReason::Lost, "the client secret is missing"),
                    Some(_) => (
                        KeychainReason::Mismatch,
                        "no record says that a person chose the client secret command",
                    ),
                };
                let keychain = connection.keychain.display_name();
                let error = KeychainError::new(keychain, reason, detail);
                self.keychain_failure(error.concerning(unconfirmed(ctx, connection)))
            }
            (SignInState::EndsSoon, _) => Failure::SignIn {
                message: format!(
                    "the sign-in of `{label}` expires on {}",
                    local_and_left(end, now, &ctx.system.zone)
                ),
                hint: if is_extended_by_refresh(connection, now) {
                    format!("age-oauth refresh {}", connection_flag(connection))
                } else {
                    login
                },
            },
            _ => return self.certificate_problem(ctx),
        };
        Some(failure)
    }

    /// The same where the connection has an API key, which a person replaces.
    fn api_key_problem(&self, ctx: &CommandContext) -> Option<Failure> {
        let connection = &self.connection;
        let label = &connection.label;
        match (self.sign_in, &self.stored) {
            (SignInState::Missing, _) => {
                Some(connection.api_key_error(ApiKeyProblem::Missing).into())
            }
            (SignInState::Gone, _) => Some(Failure::SignIn {
                message: format!(
                    "the API key of `{label}` is no longer in {}",
                    connection.keychain.display_name()
                ),
                hint: api_key_again(label.as_str(), connection.secret_command.is_some()),
            }),
            (_, Some(Err(error))) => Some(self.keychain_failure(error.clone())),
            (SignInState::Ended, _) if connection.grant.api_key_expires_at().is_none() => {
                Some(connection.api_key_error(ApiKeyProblem::UnknownEnd).into())
            }
            _ => {
                let (now, zone) = (ctx.context.now(), &ctx.system.zone);
                match api_key::end_warning(connection, self.key_within, now, zone) {
                    Some(warning) => Some(Failure::SignIn {
                        message: warning.message,
                        hint: warning.hint,
                    }),
                    None => self.certificate_problem(ctx),
                }
            }
        }
    }

    /// The client certificate that has expired, will soon, or cannot be read from its file.
    fn certificate_problem(&self, ctx: &CommandContext) -> Option<Failure> {
        self.connection.client_certificate.as_ref()?;
        let session = match ctx.store() {
            Ok(store) => ctx.session_of(&store, self.connection.clone()),
            Err(failure) => return Some(failure),
        };
        let message = match expiry_warning(ctx, &session, self.certificate_within) {
            Ok(warning) => warning?,
            Err(error @ Error::Keychain { .. }) => return Some(error.into()),
            Err(error) => error.to_string(),
        };
        let hint = replace_hint(&ctx.context, &self.connection);
        Some(Failure::SignIn { message, hint })
    }

    fn keychain_failure(&self, error: KeychainError) -> Failure {
        Failure::from(Error::Keychain {
            connection: Some(self.connection.label.to_string()),
            item: Some(self.needed_item()),
            error,
        })
    }
}

/// The settings that have to be chosen again together with the client secret. They only extend the
/// hint, so that a failure to find out is not reported.
fn unconfirmed(ctx: &CommandContext, connection: &Connection) -> Vec<BoundSetting> {
    let Ok(store) = ctx.store() else {
        return Vec::new();
    };
    let session = ctx.session_of(&store, connection.clone());
    session.unconfirmed_settings().unwrap_or_default()
}

/// Whether `refresh` would extend the sign-in now: the portal can, and more than half of its life
/// is over.
fn is_extended_by_refresh(connection: &Connection, now: Timestamp) -> bool {
    let status = &connection.status;
    let past_half = match (status.refresh_issued_at, status.refresh_expires_at) {
        (Some(from), Some(to)) => policy::is_past_half(from, to, now),
        _ => false,
    };
    past_half && status.extendable != Some(false)
}
