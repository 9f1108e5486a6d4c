//! How the program ends: the exit code, the `kind` of a failure in JSON and in the log, and which
//! of several failures counts. `docs/exit-codes.md` is generated from here.

use crate::error::{Error, Refusal, WindowsSignInFailure};
use crate::util::{enum_with_all, enum_with_words};

enum_with_all! {
    /// The program's exit code.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[repr(u8)]
    pub(super) enum ExitCode {
        #[default]
        Done = 0,
        Failed = 1,
        Usage = 2,
        SignInNeeded = 3,
        NoConnection = 4,
        Keychain = 5,
        Unreachable = 6,
        Refused = 7,
        Busy = 8,
        /// `exec`: the command exists, but cannot be started. The number that shells use.
        NotExecutable = 126,
        /// `exec`: the command does not exist. The number that shells use.
        NotFound = 127,
        /// Ctrl-C. The number that shells use: 128 + SIGINT.
        Interrupted = 130,
    }
}

impl ExitCode {
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    /// Of several failures, the worst gives the program's code: the one with the lowest rank. What
    /// needs a person comes first, then what needs another configuration, then what may succeed
    /// later.
    fn rank(self) -> u8 {
        match self {
            Self::SignInNeeded => 0,
            Self::Refused => 1,
            Self::Keychain => 2,
            Self::Unreachable => 3,
            Self::Busy => 4,
            Self::Failed => 5,
            Self::Usage => 6,
            Self::NoConnection => 7,
            Self::NotExecutable => 8,
            Self::NotFound => 9,
            Self::Interrupted => 10,
            Self::Done => 11,
        }
    }

    /// The worse of two codes.
    pub(super) fn worse(self, other: Self) -> Self {
        if other.rank() < self.rank() {
            other
        } else {
            self
        }
    }

    /// What it means, for manual pages and the documentation.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "any other failure, for example a file that cannot be read",
            Self::Usage => {
                "wrong usage, or a value that cannot be used or that the machine's policy forbids"
            }
            Self::SignInNeeded => "a person must sign in: `age-oauth login`; or give another API key",
            Self::NoConnection => "no such connection, the name is taken, or several match",
            Self::Keychain => {
                "the keychain is missing, locked or silent, or lacks the item; or the command that gives a secret failed"
            }
            Self::Unreachable => "the portal cannot be reached",
            Self::Refused => "the portal, or the web server in front of it, refused",
            Self::Busy => "another age-oauth process did not finish in time",
            Self::NotExecutable => "`exec`: the command cannot be started",
            Self::NotFound => "`exec`: the command does not exist",
            Self::Interrupted => "interrupted (Ctrl-C)",
        }
    }
}

enum_with_words! {
    /// What kind of failure it is, finer than the exit code. `kind` in JSON, `decision` in the log.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum FailureKind {
        Failed = "failed",
        Usage = "usage",
        SignInNeeded = "sign_in_needed",
        ApiKey = "api_key",
        NoConnection = "no_connection",
        NameTaken = "name_taken",
        Ambiguous = "ambiguous",
        Keychain = "keychain",
        SecretCommand = "secret_command",
        Unreachable = "unreachable",
        Refused = "refused",
        Busy = "busy",
        Policy = "policy",
    }
}

impl FailureKind {
    /// What it means, for the documentation: the same as its exit code, unless several kinds have
    /// that code.
    #[cfg(test)]
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::NoConnection => "no connection has this name, or none was chosen",
            Self::NameTaken => "another connection has this label",
            Self::Ambiguous => "several connections match",
            Self::Keychain => "the keychain is missing, locked or silent, or lacks the item",
            Self::SignInNeeded => "a person must sign in: `age-oauth login`",
            Self::ApiKey => {
                "the API key is missing, has expired or soon will, is refused, or is another user's"
            }
            Self::SecretCommand => "the command that gives the client secret or the API key failed",
            Self::Policy => "the policy of this machine does not allow it",
            Self::Usage => "wrong usage, or a value that cannot be used",
            Self::Failed | Self::Unreachable | Self::Refused | Self::Busy => {
                self.exit_code().meaning()
            }
        }
    }

    pub(super) fn exit_code(self) -> ExitCode {
        match self {
            Self::Failed => ExitCode::Failed,
            // The portal is not asked, so that it is not `Refused`: like another value that cannot
            // be used, it takes another command line or another connection, or an administrator.
            Self::Usage | Self::Policy => ExitCode::Usage,
            Self::SignInNeeded | Self::ApiKey => ExitCode::SignInNeeded,
            Self::NoConnection | Self::NameTaken | Self::Ambiguous => ExitCode::NoConnection,
            Self::Keychain | Self::SecretCommand => ExitCode::Keychain,
            Self::Unreachable => ExitCode::Unreachable,
            Self::Refused => ExitCode::Refused,
            Self::Busy => ExitCode::Busy,
        }
    }
}

impl From<&Error> for FailureKind {
    fn from(error: &Error) -> Self {
        match error {
            Error::File { .. }
            | Error::Listen { .. }
            | Error::Random
            | Error::Corrupt { .. }
            | Error::UnusableConnection { .. }
            | Error::UnusablePolicy { .. } => Self::Failed,
            Error::Forbidden(_) => Self::Policy,
            Error::Invalid { .. } => Self::Usage,
            // With Windows sign-in, what is missing is one to the domain.
            Error::SignInNeeded { .. }
            | Error::Refused {
                why:
                    Refusal::WindowsSignIn(
                        WindowsSignInFailure::NoTicket
                        | WindowsSignInFailure::TicketExpired
                        | WindowsSignInFailure::UnreadablePrincipal(_)
                        | WindowsSignInFailure::OtherPrincipal { .. },
                    ),
                ..
            } => Self::SignInNeeded,
            Error::NoConnection { .. } => Self::NoConnection,
            Error::NameTaken { .. } => Self::NameTaken,
            Error::Ambiguous { .. } => Self::Ambiguous,
            Error::ApiKey { .. } => Self::ApiKey,
            Error::SecretCommand { .. } => Self::SecretCommand,
            // The store of Windows, or a card, is a keychain of its own kind.
            Error::Keychain { .. }
            | Error::ClientCertificate { .. }
            | Error::Refused {
                why: Refusal::PrivateKey { .. },
                ..
            } => Self::Keychain,
            Error::Unreachable { .. } => Self::Unreachable,
            Error::Refused { .. } => Self::Refused,
            Error::Busy { .. } => Self::Busy,
        }
    }
}

/// What the documentation says about each code.
#[cfg(test)]
pub(super) mod documentation {
    use super::{ExitCode, FailureKind};
    use crate::cli::hints::wait_longer_for_keychain;
    use crate::error::KeychainReason;

    impl ExitCode {
        pub(in crate::cli) fn kinds(self) -> Vec<&'static str> {
            let kinds = FailureKind::ALL
                .iter()
                .filter(|kind| kind.exit_code() == self);
            kinds.map(|kind| kind.as_str()).collect()
        }

        /// Whether the same command may succeed later without any change.
        pub(in crate::cli) fn try_again(self) -> &'static str {
            match self {
                Self::Done | Self::Interrupted => "",
                Self::Keychain => "perhaps",
                Self::Unreachable | Self::Busy => "yes",
                Self::Failed
                | Self::Usage
                | Self::SignInNeeded
                | Self::NoConnection
                | Self::Refused
                | Self::NotExecutable
                | Self::NotFound => "no",
            }
        }
    }

    /// What a keychain's failure means, and what to do about it.
    pub(in crate::cli) fn reason(reason: KeychainReason) -> (&'static str, String) {
        let (meaning, remedy) = match reason {
            KeychainReason::Missing => (
                "this machine has no keychain, or there is no vault yet",
                "start it, or `--keychain vault`",
            ),
            KeychainReason::Locked => ("it is locked", "unlock it"),
            KeychainReason::Refused => ("it refused", "see its own message"),
            KeychainReason::Timeout => {
                return (
                    "it did not respond",
                    format!(
                        "perhaps a prompt is open; `{}` waits longer",
                        wait_longer_for_keychain()
                    ),
                )
            }
            KeychainReason::Lost => (
                "the item is missing or damaged",
                "`age-oauth login`, or `age-oauth connections edit NAME --client-secret-stdin`",
            ),
            KeychainReason::Mismatch => (
                "the item is bound to other settings than `meta.json` names",
                "choose the settings yourself with `age-oauth connections edit NAME`; the hint names the options",
            ),
            KeychainReason::Changed => (
                "the connection was changed while the command ran",
                "run the command again",
            ),
            KeychainReason::Ambiguous => (
                "several items have one name",
                "as for `lost`; writing the item again removes the others",
            ),
            KeychainReason::Denied => (
                "a sandbox (snap, Flatpak, AppArmor) or a policy denies access to it",
                "allow it there, or `--keychain vault`",
            ),
            KeychainReason::NoCollection => (
                "it has no default collection to store items in",
                "create one, or `--keychain vault`",
            ),
            KeychainReason::NoKey => (
                "a key of the vault is named, but missing or not a key",
                "see [the vault](headless.md#the-vault)",
            ),
            KeychainReason::WrongKey => (
                "no key that is present opens the vault",
                "provide the key that sealed it",
            ),
            KeychainReason::UnsafeKey => (
                "other users could read or change the file of the vault's key",
                "`chmod 600 FILE`, on Windows `icacls` (see [the vault](headless.md#the-vault))",
            ),
            KeychainReason::Damaged => (
                "the file of the vault is damaged",
                "restore it from a backup, or move it away and sign in again",
            ),
            KeychainReason::Token => (
                "a PKCS#11 token (smart card) cannot be used",
                "see its own message; `age-oauth doctor`",
            ),
            KeychainReason::Pin => (
                "the PIN of a PKCS#11 token is not stored, or was wrong and deleted",
                "`age-oauth connections edit NAME --client-cert pkcs11:…` stores it again",
            ),
        };
        (meaning, remedy.into())
    }

    #[test]
    fn every_kind_and_code_is_explained() {
        let page = include_str!("../../docs/troubleshooting.md");
        for kind in FailureKind::ALL {
            let word = format!("`{}`", kind.as_str());
            assert!(page.contains(&word), "{word}");
        }
        for code in ExitCode::ALL {
            let number = code.number();
            let explained = *code == ExitCode::Done
                || [
                    format!("## Code {number}:"),
                    format!("| {number} |"),
                    format!(" {number} |"),
                    format!("| {number}, "),
                ]
                .iter()
                .any(|text| page.contains(text));
            assert!(explained, "{number}");
        }
    }

    #[test]
    fn every_code_has_its_place_in_the_order() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 126, 127, 130]);
    }

    #[test]
    fn a_failure_that_needs_a_person_is_the_worst() {
        use ExitCode::{
            Busy, Done, Failed, Interrupted, Keychain, Refused, SignInNeeded, Unreachable,
        };
        assert_eq!(Unreachable.worse(SignInNeeded), SignInNeeded);
        assert_eq!(Keychain.worse(Refused), Refused);
        assert_eq!(Done.worse(Failed), Failed);
        assert_eq!(Busy.worse(Unreachable), Unreachable);
        assert_eq!(Done.worse(Interrupted), Interrupted);
        let mut order = ExitCode::ALL.to_vec();
        order.sort_by_key(|code| code.rank());
        let order: Vec<u8> = order.into_iter().map(ExitCode::number).collect();
        assert_eq!(order[..8], [3, 7, 5, 6, 8, 1, 2, 4]);
    }
}
