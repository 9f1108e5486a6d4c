//! Failed renewals that count for the processes that waited for them. Of many that wait for a
//! portal that does not answer, or for a command that hangs, the last would otherwise wait for
//! longer than it can; and each would send a client secret that the portal has just refused.

use std::io;

use jiff::Timestamp;

use super::client_secret::secret_command_failed;
use super::status::this_machine;
use super::{Locked, Session, Snapshot};
use crate::connection::{Connection, FailedRequest, RenewalFailure, RenewalFailureNote};
use crate::error::{Error, ProxyDemand, Refusal, Result, SecretCommandFailure, Unreachable};
use crate::http;
use crate::policy::{CONNECT_TIMEOUT, SECRET_COMMAND_TIMEOUT};

impl Session {
    /// The error of another process that failed to renew while this one waited for the lock. The
    /// caller would send a request or run the command now.
    pub(super) fn check_not_failed_meanwhile(&self, locked: &Locked) -> Result<()> {
        let connection = &locked.connection;
        let Some(note) = locked.failure_meanwhile(self.context.now()) else {
            return Ok(());
        };
        self.check_settings(connection)?;
        match self.failed_meanwhile(note, connection) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The error that another process recorded; `None` where this one may fare otherwise.
    fn failed_meanwhile(&self, note: &RenewalFailureNote, connection: &Snapshot) -> Option<Error> {
        // Of machines that share a home directory, each has its own way to the portal.
        if note.machine != this_machine() {
            return None;
        }
        let label = Some(self.label());
        let how = note.how.clone();
        let request = match &note.failure {
            RenewalFailure::SecretCommand => {
                let why = SecretCommandFailure::InAnotherProcess(how);
                let command = connection.secret_command.as_ref()?;
                return Some(secret_command_failed(connection, command, why));
            }
            RenewalFailure::Unreachable(request) | RenewalFailure::Refused(request) => request,
        };
        // What is not about this portal says nothing about it.
        let path = request.url.strip_prefix(connection.api_url().as_str())?;
        if !path.is_empty() && !path.starts_with('/') {
            return None;
        }
        // The environment of this process may name another proxy.
        if *request != self.request_to(&request.url, connection)? {
            return None;
        }
        let url = request.url.clone();
        Some(match &note.failure {
            RenewalFailure::Refused(_) => Error::Refused {
                connection: label,
                url,
                why: Refusal::InAnotherProcess(how),
            },
            RenewalFailure::Unreachable(_) | RenewalFailure::SecretCommand => Error::Unreachable {
                connection: label,
                url,
                why: Unreachable::InAnotherProcess(how),
            },
        })
    }

    /// What is recorded of this process's failure for those that wait.
    pub(super) fn note_of_failure(
        &self,
        error: &Error,
        at: Timestamp,
    ) -> Option<RenewalFailureNote> {
        let (failure, how) = match error {
            Error::SecretCommand { why, .. } if counts_for_others(why) => {
                (RenewalFailure::SecretCommand, why.to_string())
            }
            // With less time than usual, another process may get an answer.
            Error::Unreachable { url, why, .. }
                if is_same_for_others(why)
                    && self.context.deadline.bound(CONNECT_TIMEOUT) == CONNECT_TIMEOUT =>
            {
                let request = self.request_to(url, &self.opened)?;
                (RenewalFailure::Unreachable(request), why.to_string())
            }
            Error::Refused { url, why, .. } if is_refused_to_others(why) => {
                let request = self.request_to(url, &self.opened)?;
                (RenewalFailure::Refused(request), why.to_string())
            }
            _ => return None,
        };
        Some(RenewalFailureNote {
            at,
            machine: this_machine(),
            failure,
            how,
        })
    }

    /// A request to the portal, as this process sends it. `None` where its proxy cannot be used.
    fn request_to(&self, url: &str, connection: &Connection) -> Option<FailedRequest> {
        let proxy = http::proxy_to(connection.api_url(), &connection.proxy, &self.context).ok()?;
        Some(FailedRequest {
            url: url.to_owned(),
            proxy: proxy.map(|proxy| proxy.to_string()),
        })
    }
}

/// Whether another process has recorded the failure. With a new date, it would also count for those
/// that began to wait after it.
pub(super) fn is_of_another_process(error: &Error) -> bool {
    matches!(
        error,
        Error::SecretCommand {
            why: SecretCommandFailure::InAnotherProcess(_),
            ..
        } | Error::Unreachable {
            why: Unreachable::InAnotherProcess(_),
            ..
        } | Error::Refused {
            why: Refusal::InAnotherProcess(_),
            ..
        }
    )
}

/// Whether a command that failed would cost the others as much again.
fn counts_for_others(why: &SecretCommandFailure) -> bool {
    match why {
        // `--timeout` of this process alone.
        SecretCommandFailure::Timeout(limit) => *limit >= SECRET_COMMAND_TIMEOUT,
        // Nothing was run, so that the others find out just as soon.
        SecretCommandFailure::NoProgram(_)
        | SecretCommandFailure::Unsafe { .. }
        | SecretCommandFailure::InAnotherProcess(_) => false,
        SecretCommandFailure::NotStarted(why) => !is_limit_of_this_process(why),
        SecretCommandFailure::Failed { .. } | SecretCommandFailure::Output(_) => true,
    }
}

/// Whether the system refused one more process, file or part of the memory to this process or its
/// user session, as a limit of its own (`ulimit`) makes it. Others may have more.
fn is_limit_of_this_process(why: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let limits = [Errno::AGAIN, Errno::MFILE, Errno::NOMEM];
        why.raw_os_error()
            .is_some_and(|code| limits.map(Errno::raw_os_error).contains(&code))
    }
    #[cfg(not(unix))]
    {
        why.kind() == io::ErrorKind::OutOfMemory
    }
}

/// Whether other processes on this machine would not reach the portal, either.
fn is_same_for_others(why: &Unreachable) -> bool {
    match why {
        Unreachable::Dns
        | Unreachable::Connect(_)
        | Unreachable::Timeout
        | Unreachable::Broken(_)
        | Unreachable::BrokenAfterCertificateRequest { .. }
        | Unreachable::Status { .. }
        | Unreachable::NotAPortal { .. }
        | Unreachable::Redirected { .. }
        | Unreachable::NetworkSignIn { .. }
        | Unreachable::TooLarge
        | Unreachable::NoKdc => true,
        // A password in a variable may be another one there.
        Unreachable::Proxy { demand, .. } => match demand {
            ProxyDemand::Nothing => true,
            ProxyDemand::Password | ProxyDemand::OtherPassword | ProxyDemand::UnknownScheme => {
                false
            }
        },
        // The environment of another process may name other certificate authorities, and each can
        // say best what helps. No renewal ends with what is reported to a redirect URI.
        Unreachable::Tls(_) | Unreachable::Reported(_) | Unreachable::InAnotherProcess(_) => false,
    }
}

/// Whether what other processes send would be refused as well.
fn is_refused_to_others(why: &Refusal) -> bool {
    match why {
        Refusal::ClientId
        | Refusal::ClientSecret
        | Refusal::PrintedClientSecret(_)
        | Refusal::Privilege
        | Refusal::SignInPage { .. }
        | Refusal::Forbidden { .. }
        | Refusal::Other { .. } => true,
        // The tickets and cards of another process may be other ones, and each can say best what
        // helps. No renewal ends with what follows after these.
        Refusal::Network(_)
        | Refusal::WebTier(_)
        | Refusal::ClientCertificate
        | Refusal::LateClientCertificate
        | Refusal::RejectedClientCertificate { .. }
        | Refusal::PrivateKey { .. }
        | Refusal::WindowsSignIn(_)
        | Refusal::RedirectUri(_)
        | Refusal::Application(_)
        | Refusal::SignIn(_)
        | Refusal::Code(_)
        | Refusal::Denied
        | Refusal::FreshToken
        | Refusal::Server(_)
        | Refusal::UnexpectedAnswer { .. }
        | Refusal::InAnotherProcess(_) => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_this_process_says_nothing_about_others() {
        use rustix::io::Errno;
        let counts = |code: Errno| {
            let why = io::Error::from_raw_os_error(code.raw_os_error());
            counts_for_others(&SecretCommandFailure::NotStarted(why))
        };
        for code in [Errno::AGAIN, Errno::MFILE, Errno::NOMEM] {
            assert!(!counts(code), "{code}");
        }
        for code in [Errno::NOENT, Errno::ACCESS, Errno::NFILE, Errno::IO] {
            assert!(counts(code), "{code}");
        }
    }
}
