//! The fields whose values are fixed words, with the meaning of each word.

use super::Words;
use crate::cli::exit_code::FailureKind;
use crate::error::KeychainReason;
use crate::event::Decision;

/// What a line of the log is about.
#[derive(Clone, Copy)]
pub(crate) enum LogDecision {
    Decided(Decision),
    Failed(FailureKind),
}

impl Words for LogDecision {
    fn word(self) -> &'static str {
        match self {
            Self::Decided(decision) => decision.word(),
            Self::Failed(kind) => kind.word(),
        }
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        [Decision::all(), FailureKind::all()].concat()
    }
}

impl Words for Decision {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |decision| match decision {
            Self::Cached => "the cached access token was good enough",
            Self::Renewed => "there is a new access token",
            Self::RenewedByAnother => "another process has just renewed the token",
            Self::Extended => "the sign-in was extended, and there is a new access token",
            Self::Fallback => "the portal cannot be reached; the cached token is still valid",
            Self::SignedIn => "a user signed in",
            Self::SignedOut => "the sign-in was ended",
        };
        [
            Self::Cached,
            Self::Renewed,
            Self::RenewedByAnother,
            Self::Extended,
            Self::Fallback,
            Self::SignedIn,
            Self::SignedOut,
        ]
        .map(|decision| (decision.word(), meaning(decision)))
        .to_vec()
    }
}

impl Words for FailureKind {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |kind| match kind {
            Self::Failed => "any other failure",
            Self::Usage => "wrong usage, or a value that cannot be used",
            Self::SignInNeeded => "a person must sign in",
            Self::NoConnection => "no connection has this name, or none was chosen",
            Self::NameTaken => "another connection has this label",
            Self::Ambiguous => "several connections match",
            Self::Keychain => "the keychain failed; `reason` says how",
            Self::Unreachable => "the portal cannot be reached",
            Self::Refused => "the portal, or the web server in front of it, refused",
            Self::Busy => "another process did not finish in time",
        };
        crate::cli::exit_code::documentation::KINDS
            .map(|kind| (kind.word(), meaning(kind)))
            .to_vec()
    }
}

impl Words for KeychainReason {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        use crate::cli::exit_code::documentation::{reason, REASONS};
        REASONS.map(|one| (one.word(), reason(one).0)).to_vec()
    }
}

/// The state of a sign-in, from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInState {
    Good,
    /// It expires within the time that was asked about.
    EndsSoon,
    Ended,
    Missing,
    /// The keychain no longer has it.
    Gone,
    /// An application uses its client secret; nothing expires.
    Application,
}

impl Words for SignInState {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::EndsSoon => "ends_soon",
            Self::Ended => "ended",
            Self::Missing => "missing",
            Self::Gone => "gone",
            Self::Application => "application",
        }
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |state| match state {
            Self::Good => "a user is signed in",
            Self::EndsSoon => "it expires within the time that `--within` gives",
            Self::Ended => "it has expired",
            Self::Missing => "no user has signed in",
            Self::Gone => "the keychain no longer has it; only with `--keychain`",
            Self::Application => "an application needs no sign-in",
        };
        [
            Self::Good,
            Self::EndsSoon,
            Self::Ended,
            Self::Missing,
            Self::Gone,
            Self::Application,
        ]
        .map(|state| (state.word(), meaning(state)))
        .to_vec()
    }
}

/// The result of a check of `doctor`; the last one is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Ok,
    Warn,
    Fail,
}

impl Words for Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |severity| match severity {
            Self::Ok => "nothing to do",
            Self::Warn => "needs attention",
            Self::Fail => "must be fixed",
        };
        [Self::Ok, Self::Warn, Self::Fail]
            .map(|severity| (severity.word(), meaning(severity)))
            .to_vec()
    }
}
