//! Copies of what `status` shows, in `meta.json`, so that it needs neither keychain nor portal. The
//! keychain record is what counts; a copy that cannot be written is reported and does not fail the
//! work.

use std::time::Duration;

use super::renewal_failure::is_of_another_process;
use super::{Session, Snapshot};
use crate::connection::{Connection, Status};
use crate::context::Context;
use crate::error::{ApiKeyProblem, Error, Refusal, SignInNeeded};
use crate::event::{Notice, Observer};
use crate::policy::{self, FAILURE_NOTE_LOCK_TIMEOUT};
use crate::store::RenewalLock;
use crate::token::Tokens;
use crate::util::rfc3339;

impl Session {
    /// Copies the dates of the tokens record. The last failure stays until the next sign-in: a
    /// person who looks in the morning wants to know of it, even if a later renewal worked.
    pub(super) fn copy_status(&self, lock: &RenewalLock, snapshot: &Snapshot, tokens: &Tokens) {
        let now = self.context.now();
        self.update_best_effort(lock, |connection| {
            connection.last_used_at = Some(now);
            // Another program may have renewed the file that the connection refers to.
            if let (Some(setting), Some(read)) = (
                &mut connection.client_certificate,
                snapshot.read_certificate.get(),
            ) {
                *setting = read.setting(setting.source.clone());
            }
            let status = &mut connection.status;
            status.access_expires_at = tokens.access.as_ref().map(|token| token.expires_at);
            status.refresh_issued_at = tokens.refresh.as_ref().map(|token| token.issued_at);
            status.refresh_expires_at = tokens.sign_in_expires_at();
            status.extendable = tokens
                .refresh
                .as_ref()
                .map(|_| !tokens.exchange_unsupported && !tokens.is_limited);
            status.username = tokens.username.clone().or(status.username.take());
            status.renewal_failure = None;
            status.grant_refused_at = None;
        });
    }

    /// Records what went wrong. Where that ended the sign-in, its recorded end is moved to now.
    pub(super) fn record_failure(&self, lock: &RenewalLock, error: &Error) {
        if is_of_another_process(error) {
            return;
        }
        let now = self.context.now();
        let note = self.note_of_failure(error, now);
        let line = format!("{} {error}", rfc3339(now));
        self.update_status_best_effort(lock, |status| {
            status.last_failure = Some(line);
            if note.is_some() {
                status.renewal_failure = note;
            }
            if is_grant_refused(error) {
                status.grant_refused_at = Some(now);
            }
            if is_refused_api_key(error) {
                status.api_key_refused_at = Some(now);
            }
            if has_ended(error) {
                status.refresh_expires_at = status.refresh_expires_at.map(|end| end.min(now));
            }
        });
    }

    /// The same where the failure came before the lock was taken. If the lock cannot be had soon,
    /// this is left out: the process that holds it records its own result.
    pub(super) fn record_failure_without_lock(&self, error: &Error) {
        if let Some((lock, _)) = self.lock_for_a_note(FAILURE_NOTE_LOCK_TIMEOUT) {
            self.record_failure(&lock, error);
        }
    }

    /// Records that the portal has accepted a token at the API URL, once for each such address.
    /// Where the lock cannot be had soon, the next time does.
    pub(super) fn confirm_api_url(&self) {
        let Some(api) = self.opened.unconfirmed_api_url() else {
            return;
        };
        let Some((lock, _)) = self.lock_for_a_note(FAILURE_NOTE_LOCK_TIMEOUT) else {
            return;
        };
        self.update_best_effort(&lock, |connection| {
            if connection.urls.separate_api_url() == Some(api) {
                connection.confirmed_api_url = Some(api.clone());
            }
        });
    }

    /// The renewal lock, if it can be had within `limit`, and the connection as it was read under
    /// it.
    pub(super) fn lock_for_a_note(&self, limit: Duration) -> Option<(RenewalLock, Connection)> {
        let timeout = self.context.deadline.bound(limit);
        let silent = Context {
            observer: Observer::silent(),
            ..self.context.clone()
        };
        self.store.lock(&self.opened, timeout, &silent).ok()
    }

    pub(super) fn update_status_best_effort(
        &self,
        lock: &RenewalLock,
        change: impl FnOnce(&mut Status),
    ) {
        self.update_best_effort(lock, |connection| change(&mut connection.status));
    }

    pub(super) fn update_best_effort(
        &self,
        lock: &RenewalLock,
        change: impl FnOnce(&mut Connection),
    ) {
        if let Err(error) = self.store.update(lock, change) {
            self.emit_notice(Notice::Other {
                message: format!("meta.json could not be brought up to date: {error}"),
            });
        }
    }

    /// Warns if the sign-in expires soon. Called where it cannot be extended.
    pub(super) fn warn_if_expiring(&self, tokens: &Tokens) {
        let Some(expires_at) = tokens.sign_in_expires_at() else {
            return;
        };
        if policy::expires_soon(expires_at, self.context.now()) {
            self.emit_notice(Notice::ExpiresSoon {
                connection: self.label(),
                expires_at,
            });
        }
    }
}

/// Whether the error says that the portal does not accept the API key.
fn is_refused_api_key(error: &Error) -> bool {
    matches!(
        error,
        Error::ApiKey {
            why: ApiKeyProblem::Refused,
            ..
        }
    )
}

/// Whether the portal does not know the application, so that the tokens that it has given to it are
/// no longer good, either.
fn is_grant_refused(error: &Error) -> bool {
    let Error::Refused { why, .. } = error else {
        return false;
    };
    match why {
        Refusal::ClientId => true,
        // With another secret, the application is still registered, and its tokens are good. The
        // web server in front may vouch again, and the portal says this for other reasons, too. The
        // others are about what is in front of the portal, what this machine presents there, a new
        // sign-in or one request, or are not known to be for good.
        Refusal::ClientSecret
        | Refusal::Network(_)
        | Refusal::PrintedClientSecret(_)
        | Refusal::WebTier(_)
        | Refusal::ClientCertificate
        | Refusal::LateClientCertificate
        | Refusal::RejectedClientCertificate { .. }
        | Refusal::PrivateKey { .. }
        | Refusal::WindowsSignIn(_)
        | Refusal::SignInPage { .. }
        | Refusal::Forbidden { .. }
        | Refusal::RedirectUri(_)
        | Refusal::Application(_)
        | Refusal::SignIn(_)
        | Refusal::Code(_)
        | Refusal::Denied
        | Refusal::Privilege
        | Refusal::FreshToken
        | Refusal::Server(_)
        | Refusal::UnexpectedAnswer { .. }
        | Refusal::Other { .. }
        | Refusal::InAnotherProcess(_) => false,
    }
}

/// Whether the error says that the stored sign-in is no longer good, whatever its dates say.
fn has_ended(error: &Error) -> bool {
    let Error::SignInNeeded { why, .. } = error else {
        return false;
    };
    match why {
        SignInNeeded::Expired
        | SignInNeeded::NoLongerAccepted
        | SignInNeeded::ExtensionLost
        | SignInNeeded::EndedByPolicy(_) => true,
        SignInNeeded::Never
        | SignInNeeded::OtherMachine(_)
        | SignInNeeded::TimedOut(_)
        | SignInNeeded::NoCode
        | SignInNeeded::NotACode
        | SignInNeeded::OtherUser { .. }
        | SignInNeeded::VouchedForOther { .. }
        | SignInNeeded::MismatchedResponse
        | SignInNeeded::OtherPortal(_) => false,
    }
}

/// The machine that signed in, where it is not this one.
pub(crate) fn other_machine(connection: &Connection) -> Option<String> {
    connection
        .status
        .machine
        .clone()
        .filter(|machine| *machine != this_machine())
}

/// This machine's host name.
pub(crate) fn this_machine() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
