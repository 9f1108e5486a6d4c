//! The client secret for a request: from the keychain, or from the command that a person chose in
//! its place.

use super::{Session, Snapshot};
use crate::connection::{Connection, SecretCommand};
use crate::context::Context;
use crate::error::{Error, Result, SecretCommandFailure};
use crate::event::{Event, Wait};
use crate::oauth::TokenError;
use crate::policy::SECRET_COMMAND_TIMEOUT;
use crate::program;
use crate::secret::Secret;

/// The client secret that a renewal sends. Where a command gives it, it is asked once more if the
/// portal refuses what it gave.
pub(super) struct RenewalSecret {
    secret: Option<Secret>,
    can_ask_again: bool,
}

impl RenewalSecret {
    /// `None` where the connection has no client secret.
    pub(super) fn get(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

impl Session {
    /// The client secret for a renewal.
    pub(super) fn renewal_secret(&self, connection: &Snapshot) -> Result<RenewalSecret> {
        let (secret, can_ask_again) = match &connection.secret_command {
            Some(command) => (Some(self.run_secret_command(connection, command)?), true),
            None => (self.take_client_secret(connection)?, false),
        };
        Ok(RenewalSecret {
            secret,
            can_ask_again,
        })
    }

    /// The client secret where no lock is held: for a sign-in.
    pub(super) fn client_secret(&self, connection: &Snapshot) -> Result<Option<Secret>> {
        match &connection.secret_command {
            Some(command) => self.run_secret_command(connection, command).map(Some),
            None => self.read_client_secret(connection),
        }
    }

    /// Sends a request with the client secret. Where a command gives it and the portal refuses it,
    /// the secret may just have been replaced: sends the request once more, with what the command
    /// gives then. A refused secret is not sent twice.
    pub(super) fn send_with_secret<T>(
        &self,
        connection: &Snapshot,
        secret: &mut RenewalSecret,
        send: impl Fn(Option<&Secret>) -> std::result::Result<T, TokenError>,
    ) -> std::result::Result<T, TokenError> {
        let refused = match send(secret.get()) {
            Err(error) if error.is_about_the_client_secret() => error,
            answer => return answer,
        };
        let Some(command) = &connection.secret_command else {
            return Err(refused);
        };
        if !std::mem::replace(&mut secret.can_ask_again, false) {
            return Err(refused);
        }
        let again = self
            .run_secret_command(connection, command)
            .map_err(TokenError::Unsent)?;
        let is_same = secret.get().is_some_and(|old| old.matches(again.expose()));
        secret.secret = Some(again);
        if is_same {
            return Err(refused);
        }
        send(secret.get())
    }

    /// Runs the command. One that only `meta.json` names is refused: it could be any program.
    pub(super) fn run_secret_command(
        &self,
        connection: &Snapshot,
        command: &SecretCommand,
    ) -> Result<Secret> {
        self.check_settings(connection)?;
        run_program(connection, command, &self.context)
    }
}

/// Runs a command that is known to be a person's choice.
pub(super) fn run_program(
    connection: &Connection,
    command: &SecretCommand,
    context: &Context,
) -> Result<Secret> {
    let limit = context.deadline.bound(SECRET_COMMAND_TIMEOUT);
    let printed = connection.grant.kind().printed_secret();
    context.emit(&Event::Waiting(Wait::SecretCommand(
        printed,
        command.name(),
    )));
    let ran = program::run(command, limit, context);
    context.emit(&Event::WaitOver);
    ran.and_then(|secret| check(secret, &connection.client_id))
        .map_err(|why| secret_command_failed(connection, command, why))
}

pub(super) fn secret_command_failed(
    connection: &Connection,
    command: &SecretCommand,
    why: SecretCommandFailure,
) -> Error {
    Error::SecretCommand {
        connection: Some(connection.label.to_string()),
        secret: connection.grant.kind().printed_secret(),
        command: command.name(),
        why,
    }
}

/// What some programs on Windows write before their text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Refuses a line that cannot be a client secret, such as a message.
fn check(secret: Secret, client_id: &str) -> std::result::Result<Secret, SecretCommandFailure> {
    let why = if secret.expose().contains(char::is_whitespace) {
        "its output contains a blank"
    } else if secret
        .expose()
        .contains(|c: char| c.is_control() || c == BYTE_ORDER_MARK)
    {
        "its output contains a control character or a byte order mark, as text in UTF-16 does"
    } else if secret.matches(client_id) {
        "its output is the client ID"
    } else {
        return Ok(secret);
    };
    Err(SecretCommandFailure::Output(why.into()))
}
