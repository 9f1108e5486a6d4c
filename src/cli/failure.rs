//! A failed command: what a person reads (what happened, why, what to run next), what a program
//! reads, and the exit code.

use std::error::Error as _;
use std::io;

use console::Style;

use super::console::Console;
use super::exit_code::{ExitCode, FailureKind};
use super::format::escape;
use super::hints::hint;
use super::json::{self, ErrorBody, ErrorLine, Word};
use super::system::AskError;
use crate::error::{
    CertificateFacts, CertificateRole, Error, KeychainReason, SecretCommandFailure, TlsFailure,
    TlsFailureKind, Unreachable,
};
use crate::secret::Secret;

/// Why a command ended without its answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the library, with the hint for its type.
    Library(Error),
    /// An error of the library, for which the command has a better hint.
    Hinted { error: Error, hint: String },
    /// The command line is wrong.
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// Any other failure.
    Failed {
        message: String,
        hint: Option<String>,
    },
    /// A person must sign in, now or soon.
    SignIn { message: String, hint: String },
    /// The command that `exec` was given could not be started.
    NotStarted { message: String, code: ExitCode },
    /// Ctrl-C.
    Interrupted,
    /// The reader of the answer has ended (`| head`). Not a failure.
    BrokenPipe,
    /// Several connections failed, and each failure was printed already.
    Multiple { worst: ExitCode },
}

pub(super) type Outcome = Result<(), Failure>;

/// A failure as text, not escaped yet.
#[derive(Debug)]
pub(super) struct ErrorText {
    /// What happened, in one line.
    pub(super) message: String,
    /// What caused it, the nearest cause first.
    pub(super) causes: Vec<String>,
    /// What another program said about it. It may hold anything, so that it is shown to a person,
    /// and gets neither into JSON nor into the log.
    pub(super) said: Option<Secret>,
    /// What to run or do next.
    pub(super) hint: Option<String>,
}

impl ErrorText {
    /// The lines for a terminal, `error:` and `hint:` possibly in color.
    pub(super) fn lines(&self, error: &str, hint: &str) -> String {
        let mut lines = format!("{error} {}\n", escape(&self.message));
        for cause in &self.causes {
            lines.push_str("  cause: ");
            lines.push_str(&escape(cause));
            lines.push('\n');
        }
        if let Some(said) = &self.said {
            lines.push_str("  it said: ");
            lines.push_str(&escape(said.expose()));
            lines.push('\n');
        }
        if let Some(next) = &self.hint {
            lines.push_str(hint);
            lines.push(' ');
            lines.push_str(&escape(next));
        }
        lines
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Interrupted => Self::Interrupted,
            AskError::TimedOut => Self::usage_hint(
                "the question was not answered in the time that --timeout allows",
                "allow more time, or give the answer as an option (--help shows all options)",
            ),
            AskError::Io(why) => Self::failed(format!("the terminal failed: {why}")),
        }
    }
}

/// Writing the answer failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::failed(format!("the answer could not be written: {error}"))
        }
    }
}

impl Failure {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn failed_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Library(_)
            | Self::Hinted { .. }
            | Self::Usage { .. }
            | Self::Failed { .. }
            | Self::SignIn { .. } => self.kind().exit_code(),
            Self::Interrupted => ExitCode::Interrupted,
            Self::BrokenPipe => ExitCode::Done,
            Self::NotStarted { code, .. } => *code,
            Self::Multiple { worst } => *worst,
        }
    }

    /// Prints it for people or, with `--json`, for programs.
    pub(super) fn print(&self, console: &Console) {
        self.print_with(console, true);
    }

    /// The same for a guided command, whose next question replaces the hint.
    pub(super) fn print_without_hint(&self, console: &Console) {
        self.print_with(console, false);
    }

    /// Its text; `None` if there is nothing to print.
    pub(super) fn text(&self) -> Option<ErrorText> {
        let (message, causes, hint) = match self {
            Self::Library(error) => (error.to_string(), causes(error), hint(error)),
            Self::Hinted { error, hint } => (error.to_string(), causes(error), Some(hint.clone())),
            Self::Usage { message, hint } | Self::Failed { message, hint } => {
                (message.clone(), Vec::new(), hint.clone())
            }
            Self::SignIn { message, hint } => (message.clone(), Vec::new(), Some(hint.clone())),
            Self::NotStarted { message, .. } => (message.clone(), Vec::new(), None),
            Self::Interrupted | Self::BrokenPipe | Self::Multiple { .. } => return None,
        };
        Some(ErrorText {
            message,
            causes,
            said: self.said(),
            hint,
        })
    }

    /// What the command that gives the client secret wrote about its failure.
    fn said(&self) -> Option<Secret> {
        match self {
            Self::Library(Error::SecretCommand { why, .. })
            | Self::Hinted {
                error: Error::SecretCommand { why, .. },
                ..
            } => match why {
                SecretCommandFailure::Failed { said, .. } => said.as_ref().map(Secret::duplicate),
                _ => None,
            },
            _ => None,
        }
    }

    fn print_with(&self, console: &Console, with_hint: bool) {
        let Some(mut text) = self.text() else {
            return;
        };
        if console.is_json() {
            console.error_lines(&self.json_line(&text));
            return;
        }
        text.hint = text.hint.filter(|_| with_hint);
        console.error_lines(&text.lines(
            &console.paint("error:", &Style::new().red().bold()),
            &console.paint("hint:", &Style::new().cyan().bold()),
        ));
    }

    /// The error as JSON, on one line.
    pub(super) fn json_line(&self, text: &ErrorText) -> String {
        json::object(&ErrorLine {
            error: ErrorBody {
                kind: Word(self.kind()),
                message: text.message.clone(),
                hint: text.hint.clone(),
                code: self.exit_code().number(),
                reason: self.reason().map(Word),
            },
        })
    }

    /// How the keychain failed, if it did.
    pub(super) fn reason(&self) -> Option<KeychainReason> {
        match self {
            Self::Library(Error::Keychain { error, .. })
            | Self::Hinted {
                error: Error::Keychain { error, .. },
                ..
            } => Some(error.reason),
            _ => None,
        }
    }

    /// What kind of failure it is, for JSON and the log.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Library(error) | Self::Hinted { error, .. } => error.into(),
            Self::Usage { .. } => FailureKind::Usage,
            Self::SignIn { .. } => FailureKind::SignInNeeded,
            Self::Failed { .. }
            | Self::NotStarted { .. }
            | Self::Interrupted
            | Self::BrokenPipe
            | Self::Multiple { .. } => FailureKind::Failed,
        }
    }
}

/// The causes of an error: the details of its type, then the chain of its sources.
pub(super) fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    match error {
        Error::NoConnection { known, .. } if !known.is_empty() => {
            causes.push(format!("existing connections: {}", known.join(", ")));
        }
        Error::Ambiguous { candidates, .. } => causes.push(candidates.join(", ")),
        Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        } => causes.extend(tls_causes(failure)),
        _ => {}
    }
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes
}

/// What people need to know about a failed handshake: the certificate at fault, the server's own,
/// and what else explains the failure.
fn tls_causes(failure: &TlsFailure) -> Vec<String> {
    let mut causes = Vec::new();
    if let Some(fault) = &failure.fault {
        let role = match fault.role {
            CertificateRole::Intermediate => "intermediate ",
            CertificateRole::Authority => "authority's ",
            CertificateRole::Server => "",
        };
        let mut lines = certificate(&fault.certificate);
        if let Some(first) = lines.first_mut() {
            first.insert_str(0, role);
        }
        causes.append(&mut lines);
    }
    causes.extend(failure.certificate.iter().flat_map(certificate));
    if failure.kind == TlsFailureKind::WrongHost {
        let names = failure
            .certificate
            .iter()
            .map(|facts| facts.names.join(", "));
        causes.extend(names.map(|names| format!("valid for {names}")));
    }
    causes.extend(failure.notes.iter().cloned());
    causes
}

/// The fields of a certificate, one per line.
pub(super) fn certificate(facts: &CertificateFacts) -> Vec<String> {
    vec![
        format!("certificate of {}", facts.subject),
        format!("issued by {}", facts.issuer),
        format!("valid from {} to {}", facts.not_before, facts.not_after),
        format!("SHA-256 {}", facts.sha256),
    ]
}
