//! Why a call has no answer, and whether it is attempted again.

use std::time::Duration;

use super::response::{Classified, PortalError};
use crate::context::Deadline;
use crate::error::{Error, Refusal, Unreachable};
use crate::policy::{CALL_TIMEOUT, FIRST_RETRY_DELAY, MAX_ATTEMPTS, MAX_RETRY_DELAY};

/// When a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Whenever that may help: doing it twice does no harm.
    Freely,
    /// Only where the portal cannot have processed it: no byte of the request was written, or it
    /// answered 429 or 503 and said when to come back (`Retry-After`).
    OnlyUnsent,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// No portal answered.
    Failed {
        /// What happened.
        error: Error,
        /// Whether the portal may have processed the request nevertheless. Then it must not simply
        /// be repeated.
        sent: bool,
    },
    /// The portal answered with an error.
    Portal(Box<PortalError>),
}

impl CallError {
    /// A failure before anything was sent.
    pub(super) fn unsent(error: Error) -> Self {
        Self::Failed { error, sent: false }
    }

    /// The same for a call whose path the caller chose: if something else than a portal answers,
    /// the path is the likely reason, and trying again does not help.
    pub(super) fn of_callers_own(self) -> Self {
        match self {
            Self::Failed {
                error:
                    Error::Unreachable {
                        connection,
                        url,
                        why: Unreachable::NotAPortal { status, title },
                    },
                sent,
            } => Self::Failed {
                error: Error::Refused {
                    connection,
                    url,
                    why: Refusal::UnexpectedAnswer { status, title },
                },
                sent,
            },
            other => other,
        }
    }
}

/// One attempt's failure, and what decides whether there is another.
pub(super) struct Failure {
    pub(super) classified: Classified,
    /// Whether the portal may have processed the request.
    pub(super) may_have_been_processed: bool,
    /// How long the portal asks to wait (`Retry-After`).
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    /// Nothing was sent.
    pub(super) fn before(error: Unreachable) -> Self {
        Self {
            classified: Classified::Unreachable(error),
            may_have_been_processed: false,
            retry_after: None,
        }
    }

    /// There was an answer. A 429 or 503 that names a time to come back means that nothing was
    /// processed.
    pub(super) fn answered(classified: Classified, retry_after: Option<Duration>) -> Self {
        let postponed = match &classified {
            Classified::Unreachable(Unreachable::Status {
                status: 429 | 503, ..
            }) => retry_after.is_some(),
            _ => false,
        };
        Self {
            classified,
            may_have_been_processed: !postponed,
            retry_after,
        }
    }

    /// The same failure of a request that went before the one that counts.
    pub(super) fn unprocessed(self) -> Self {
        Self {
            may_have_been_processed: false,
            ..self
        }
    }

    /// How long to wait before the next attempt; nothing where there is none.
    pub(super) fn wait(&self, attempt: u32, retry: Retry, end: Deadline) -> Option<Duration> {
        // Only what may be different in a moment. A wrong certificate or an unknown host stays as
        // it is, and after a timeout no time is left.
        let passing = matches!(
            self.classified,
            Classified::Unreachable(
                Unreachable::Connect(_)
                    | Unreachable::Broken(_)
                    | Unreachable::BrokenAfterCertificateRequest { .. }
                    | Unreachable::Status { .. }
            )
        );
        // What the portal may have processed is repeated only where twice does no harm.
        let allowed = retry == Retry::Freely || !self.may_have_been_processed;
        if !passing || !allowed || attempt >= MAX_ATTEMPTS {
            return None;
        }
        // A wait that is too long, or that the deadline would cut off, does not begin.
        let wait = self.retry_after.unwrap_or_else(|| backoff(attempt));
        (wait <= MAX_RETRY_DELAY && wait < end.bound(CALL_TIMEOUT)).then_some(wait)
    }

    pub(super) fn into_error(self, url: &str, sent: bool) -> CallError {
        match self.classified {
            Classified::Portal(error) => CallError::Portal(error),
            other => CallError::Failed {
                error: other.into_error(url),
                sent,
            },
        }
    }
}

/// The first delay, doubled with each attempt, and longer by up to a quarter at random, so that
/// many processes do not come back at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    let base = FIRST_RETRY_DELAY * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let [random, ..] = *uuid::Uuid::new_v4().as_bytes();
    base + base / 4 * u32::from(random) / 255
}
