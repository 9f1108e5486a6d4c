//! The fields whose values are fixed words, with the meaning of each word.

use super::Words;
#[cfg(test)]
use crate::cli::exit_code::documentation::reason;
use crate::cli::exit_code::FailureKind;
use crate::error::KeychainReason;
use crate::event::Decision;
use crate::util::enum_with_words;

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
        let meaning = |decision| {
            match decision {
            Self::Cached => "the cached access token was good enough",
            Self::Renewed => "there is a new access token",
            Self::RenewedByAnother => "another process has just renewed the token",
            Self::Extended => "the sign-in was extended, and there is a new access token",
            Self::Fallback => "the portal cannot be reached, or the client secret command failed; the cached token is still valid",
            Self::SignedIn => "a user signed in",
            Self::SignedOut => "the sign-in was ended",
        }
        };
        let all = Self::ALL.iter();
        all.map(|decision| (decision.word(), meaning(*decision)))
            .collect()
    }
}

impl Words for FailureKind {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let all = Self::ALL.iter();
        all.map(|kind| (kind.word(), kind.meaning())).collect()
    }
}

impl Words for KeychainReason {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let all = Self::ALL.iter();
        all.map(|one| (one.word(), reason(*one).0)).collect()
    }
}

enum_with_words! {
    /// The state of a sign-in, by what is stored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum SignInState {
        Good = "good",
        /// It expires within the time that was asked about.
        EndsSoon = "ends_soon",
        Ended = "ended",
        Missing = "missing",
        /// The keychain does not have it any more.
        Gone = "gone",
        /// An application uses its client secret; nothing expires.
        Application = "application",
    }
}

impl Words for SignInState {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |state| match state {
            Self::Good => "a user is signed in, or an API key is stored",
            Self::EndsSoon => {
                "it expires within the time that `--within` gives, an API key also within 30 days"
            }
            Self::Ended => "it has expired, or the portal did not accept the API key",
            Self::Missing => "no user has signed in, or no API key is stored",
            Self::Gone => "the keychain no longer has it; only with `--keychain`",
            Self::Application => "an application needs no sign-in",
        };
        let all = Self::ALL.iter();
        all.map(|state| (state.word(), meaning(*state))).collect()
    }
}

enum_with_words! {
    /// The result of a check of `doctor`; the last one is the worst.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Severity {
        Ok = "ok",
        Warn = "warn",
        Fail = "fail",
    }
}

impl Words for Severity {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |severity| match severity {
            Self::Ok => "nothing to do",
            Self::Warn => "needs attention",
            Self::Fail => "must be fixed",
        };
        let all = Self::ALL.iter();
        all.map(|severity| (severity.word(), meaning(*severity)))
            .collect()
    }
}
