//! From an error to what a person reads (what happened, why, what to run next), what a program reads, and the exit code.

use std::error::Error as _;
use std::io;

use console::Style;
use serde_json::{json, Map, Value};

use super::console::Console;
use super::format::{escape, json_text, shell_quoted};
use super::system::AskError;
use crate::error::{
    Error, KeychainReason, Refusal, SignInNeeded, TlsFailure, TlsFailureKind, Unreachable,
};
use crate::keychain::ItemKind;

/// Why a command ended without its answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The library's error.
    Library(Error),
    /// The library's error, where this command knows better what to run next.
    Hinted { error: Error, hint: String },
    /// Something is wrong with what was typed.
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// Any other failure.
    Failed {
        message: String,
        hint: Option<String>,
    },
    /// A person must sign in, or soon must.
    SignIn { message: String, hint: String },
    /// Another program could not be started.
    NotStarted { message: String, code: u8 },
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the answer any more (`| head`): no failure.
    BrokenPipe,
    /// Several connections failed; each was told already. The worst code.
    Several(u8),
}

pub(super) type Outcome = Result<(), Failure>;

/// A failure in words, not yet escaped.
#[derive(Debug)]
pub(super) struct ErrorText {
    /// What happened, in one line.
    pub(super) message: String,
    /// What stands behind it.
    pub(super) causes: Vec<String>,
    /// The very command to run next.
    pub(super) hint: Option<String>,
}

impl ErrorText {
    /// The lines for a terminal, `error:` and `hint:` perhaps in colour.
    pub(super) fn lines(&self, error: &str, hint: &str) -> String {
        let mut lines = format!("{error} {}\n", escape(&self.message));
        for cause in &self.causes {
            lines.push_str("  cause: ");
            lines.push_str(&escape(cause));
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

/// Everything went well.
pub(super) const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const SIGN_IN_NEEDED: u8 = 3;
const NO_CONNECTION: u8 = 4;
const KEYCHAIN: u8 = 5;
const UNREACHABLE: u8 = 6;
const REFUSED: u8 = 7;
const BUSY: u8 = 8;
const INTERRUPTED: u8 = 130;

/// Of several failures, the one that is told: a person is needed before a configuration, that before trying again.
const WORST_FIRST: [u8; 9] = [
    SIGN_IN_NEEDED,
    REFUSED,
    KEYCHAIN,
    UNREACHABLE,
    BUSY,
    FAILED,
    USAGE,
    NO_CONNECTION,
    DONE,
];

/// The worse of two codes.
pub(super) fn worse(one: u8, other: u8) -> u8 {
    WORST_FIRST
        .into_iter()
        .find(|code| *code == one || *code == other)
        .unwrap_or(one)
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

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Library(error) | Self::Hinted { error, .. } => code(error),
            Self::Usage { .. } => USAGE,
            Self::Failed { .. } => FAILED,
            Self::SignIn { .. } => SIGN_IN_NEEDED,
            Self::Interrupted => INTERRUPTED,
            Self::BrokenPipe => DONE,
            Self::NotStarted { code, .. } | Self::Several(code) => *code,
        }
    }

    /// Tells it, in the form that was asked for.
    pub(super) fn print(&self, console: &Console) {
        self.print_with(console, true);
    }

    /// Tells it where the next question is the hint.
    pub(super) fn print_without_hint(&self, console: &Console) {
        self.print_with(console, false);
    }

    /// What there is to say about it; nothing where everything was said or nobody listens.
    pub(super) fn text(&self) -> Option<ErrorText> {
        let (message, causes, hint) = match self {
            Self::Library(error) => (error.to_string(), causes(error), hint(error)),
            Self::Hinted { error, hint } => (error.to_string(), causes(error), Some(hint.clone())),
            Self::Usage { message, hint } | Self::Failed { message, hint } => {
                (message.clone(), Vec::new(), hint.clone())
            }
            Self::SignIn { message, hint } => (message.clone(), Vec::new(), Some(hint.clone())),
            Self::NotStarted { message, .. } => (message.clone(), Vec::new(), None),
            Self::Interrupted | Self::BrokenPipe | Self::Several(_) => return None,
        };
        Some(ErrorText {
            message,
            causes,
            hint,
        })
    }

    fn print_with(&self, console: &Console, with_hint: bool) {
        let Some(mut words) = self.text() else {
            return;
        };
        if console.is_json() {
            console.error_lines(&self.json_line(&words));
            return;
        }
        words.hint = words.hint.filter(|_| with_hint);
        console.error_lines(&words.lines(
            &console.paint("error:", &Style::new().red().bold()),
            &console.paint("hint:", &Style::new().cyan().bold()),
        ));
    }

    /// It as JSON on one line.
    pub(super) fn json_line(&self, words: &ErrorText) -> String {
        let hint = words.hint.as_deref();
        let mut error = Map::new();
        error.insert("kind".into(), self.kind().into());
        error.insert("message".into(), words.message.as_str().into());
        error.insert("hint".into(), hint.map_or(Value::Null, Value::from));
        error.insert("code".into(), self.code().into());
        if let Some(reason) = self.reason() {
            error.insert("reason".into(), reason.into());
        }
        json_text(&json!({ "error": error, "format_version": 1 }).to_string())
    }

    fn error(&self) -> Option<&Error> {
        match self {
            Self::Library(error) | Self::Hinted { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What a keychain's failure was about.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self.error() {
            Some(Error::Keychain { error, .. }) => Some(error.reason.as_str()),
            _ => None,
        }
    }

    /// The word used in JSON.
    pub(super) fn kind(&self) -> &'static str {
        match self.error() {
            Some(Error::NameTaken { .. }) => "name_taken",
            Some(Error::Ambiguous { .. }) => "ambiguous",
            _ => match self.code() {
                USAGE => "usage",
                SIGN_IN_NEEDED => "sign_in_needed",
                NO_CONNECTION => "no_connection",
                KEYCHAIN => "keychain",
                UNREACHABLE => "unreachable",
                REFUSED => "refused",
                BUSY => "busy",
                _ => "failed",
            },
        }
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Invalid { .. } => USAGE,
        Error::SignInNeeded { .. } => SIGN_IN_NEEDED,
        Error::NoConnection { .. } | Error::NameTaken { .. } | Error::Ambiguous { .. } => {
            NO_CONNECTION
        }
        Error::Keychain { .. } => KEYCHAIN,
        Error::Unreachable { .. } => UNREACHABLE,
        Error::Refused { .. } => REFUSED,
        Error::Busy { .. } => BUSY,
        _ => FAILED,
    }
}

/// What stands behind the first line. Chains of foreign errors are walked, never printed with `{:?}`.
pub(super) fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    match error {
        Error::NoConnection { known, .. } if !known.is_empty() => {
            causes.push(format!("there are: {}", known.join(", ")));
        }
        Error::Ambiguous { candidates, .. } => causes.push(candidates.join(", ")),
        Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        } => causes.extend(certificate(failure)),
        _ => {}
    }
    let mut source = error.source();
    while let Some(why) = source {
        causes.push(why.to_string());
        source = why.source();
    }
    causes
}

/// The facts of a refused certificate, one a line.
pub(super) fn certificate(failure: &TlsFailure) -> Vec<String> {
    let Some(facts) = &failure.certificate else {
        return Vec::new();
    };
    let mut lines = vec![
        format!("certificate of {}", facts.subject),
        format!("issued by {}", facts.issuer),
        format!("valid from {} to {}", facts.not_before, facts.not_after),
        format!("SHA-256 {}", facts.sha256),
    ];
    if failure.kind == TlsFailureKind::WrongHost {
        lines.push(format!("made for {}", facts.names.join(", ")));
    }
    lines
}

/// The very command to run next.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::File {
            action: "lock",
            source,
            ..
        } if knows_no_locks(source) => Some(
            "this file system knows no locks; choose a folder on a local disk: AGE_OAUTH_HOME=FOLDER"
                .into(),
        ),
        Error::File {
            action: "keep others out of",
            ..
        } => Some(
            "choose a folder below your profile, or on a disk that keeps access lists: AGE_OAUTH_HOME=FOLDER"
                .into(),
        ),
        Error::File { .. } | Error::Corrupt { .. } | Error::Invalid { .. } => None,
        Error::SignInNeeded { connection, why } => Some(sign_in_hint(connection, why)),
        Error::NoConnection { wanted, known } => Some(match (wanted, known.is_empty()) {
            (_, true) => "age-oauth connections add".into(),
            (Some(_), false) => "age-oauth connections list".into(),
            (None, false) => "age-oauth connections use NAME".into(),
        }),
        Error::NameTaken { label } => Some(format!(
            "choose another label, or update it: age-oauth connections edit {}",
            shell_quoted(label)
        )),
        Error::Ambiguous {
            wanted: Some(_), ..
        } => Some("give more of the id".into()),
        Error::Ambiguous { wanted: None, .. } => Some(
            "name one with -c NAME, or choose a default: age-oauth connections use NAME".into(),
        ),
        Error::Keychain {
            connection,
            item,
            error,
        } => keychain_hint(connection.as_deref(), *item, error.reason),
        Error::Unreachable {
            connection, why, ..
        } => unreachable_hint(connection.as_deref(), why),
        Error::Refused {
            connection, why, ..
        } => refused_hint(connection.as_deref(), why),
        Error::Busy { pid, .. } => Some(match pid {
            Some(pid) => format!("try again; if it hangs, end process {pid}"),
            None => "try again".into(),
        }),
    }
}

/// ENOLCK and EOPNOTSUPP, as network shares answer; on Windows `ERROR_INVALID_FUNCTION` and `ERROR_NOT_SUPPORTED`.
fn knows_no_locks(why: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) {
        &[1, 50]
    } else if cfg!(target_os = "macos") {
        &[77, 45, 102]
    } else {
        &[37, 95]
    };
    why.kind() == io::ErrorKind::Unsupported
        || why.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn sign_in_hint(label: &str, why: &SignInNeeded) -> String {
    let login = format!("age-oauth login -c {}", shell_quoted(label));
    match why {
        SignInNeeded::OtherUser { .. } => format!("to change the user: {login} --switch-user"),
        SignInNeeded::TimedOut(_) => {
            format!("look at the browser's page for the portal's own message, then: {login}")
        }
        _ => login,
    }
}

fn keychain_hint(
    label: Option<&str>,
    item: Option<ItemKind>,
    reason: KeychainReason,
) -> Option<String> {
    let name = label.map(shell_quoted);
    match (reason, name) {
        (KeychainReason::Missing, None) => Some(
            "for a machine without one, use the encrypted file: --keychain vault".into(),
        ),
        (KeychainReason::Missing, Some(name)) => Some(format!(
            "where it works, move the secrets to a file that works everywhere: age-oauth connections edit {name} --keychain vault"
        )),
        (KeychainReason::Locked, _) if cfg!(target_os = "macos") => {
            Some("security unlock-keychain (then try again)".into())
        }
        (KeychainReason::Refused, _) if cfg!(target_os = "macos") => Some(
            "try again and choose Always Allow; where no question appears: security unlock-keychain"
                .into(),
        ),
        (KeychainReason::Locked, _) => {
            Some("unlock it in your desktop session, then try again".into())
        }
        (KeychainReason::Timeout, _) => Some(
            "perhaps it waits for a password; AGE_OAUTH_KEYCHAIN_TIMEOUT=60s waits longer".into(),
        ),
        (
            KeychainReason::Lost | KeychainReason::Mismatch | KeychainReason::Ambiguous,
            Some(name),
        ) => Some(match item {
            Some(ItemKind::ClientSecret) => {
                format!("age-oauth connections edit {name} --client-secret-stdin")
            }
            _ => format!("age-oauth login -c {name}"),
        }),
        _ => None,
    }
}

fn edit(label: Option<&str>, flag: &str) -> String {
    match label {
        Some(label) => format!("age-oauth connections edit {} {flag}", shell_quoted(label)),
        None => format!("give {flag}"),
    }
}

fn unreachable_hint(label: Option<&str>, why: &Unreachable) -> Option<String> {
    match why {
        Unreachable::Tls(failure) => match failure.kind {
            TlsFailureKind::UnknownIssuer | TlsFailureKind::SelfSigned => Some(format!(
                "if this is your portal, trust its authority: {}",
                edit(label, "--verify-ssl FILE.pem")
            )),
            TlsFailureKind::WrongHost => {
                Some(format!("use the name it was made for: {}", edit(label, "--portal URL")))
            }
            TlsFailureKind::Expired => {
                Some("tell the portal's administrator that its certificate has expired".into())
            }
            _ => None,
        },
        Unreachable::Proxy {
            authentication: true,
            ..
        } => Some(
            "set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT for this session, or ask for an exception"
                .into(),
        ),
        Unreachable::Proxy { .. } => Some(edit(label, "--proxy URL|system|none")),
        Unreachable::Dns | Unreachable::NotAPortal { .. } | Unreachable::Redirected { .. } => {
            Some(format!("check the address: {}", edit(label, "--portal URL")))
        }
        Unreachable::Connect(_) | Unreachable::Timeout => Some(format!(
            "check the network; behind a proxy: {}",
            edit(label, "--proxy URL")
        )),
        Unreachable::TooLarge => Some("to take it as a file: age-oauth api … -o FILE".into()),
        _ => Some("try again later".into()),
    }
}

fn refused_hint(label: Option<&str>, why: &Refusal) -> Option<String> {
    let login = label.map(|label| format!("age-oauth login -c {}", shell_quoted(label)));
    match why {
        Refusal::ClientId => Some(edit(label, "--client-id ID")),
        Refusal::ClientSecret => Some(edit(label, "--client-secret-stdin")),
        Refusal::RedirectUri => Some(format!(
            "register it at the portal, or: {}",
            edit(label, "--redirect-uri URI")
        )),
        Refusal::Code(_) => login.map(|login| format!("codes work once and briefly; again: {login}")),
        Refusal::Denied => login,
        Refusal::FreshToken => Some(format!(
            "the application may demand a Referer: {}",
            edit(label, "--referer TEXT")
        )),
        Refusal::WebTier(_) => Some(
            "a browser can answer that, a program cannot; ask the portal's administrator to let /sharing/rest through without it"
                .into(),
        ),
        Refusal::Server(_) => Some(
            "check the address; a server that is federated with the portal is listed by: age-oauth api portals/self/servers"
                .into(),
        ),
        Refusal::Privilege | Refusal::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_needed_before_anything_else() {
        assert_eq!(worse(UNREACHABLE, SIGN_IN_NEEDED), SIGN_IN_NEEDED);
        assert_eq!(worse(KEYCHAIN, REFUSED), REFUSED);
        assert_eq!(worse(DONE, FAILED), FAILED);
        assert_eq!(worse(BUSY, UNREACHABLE), UNREACHABLE);
    }

    #[test]
    fn hints_name_the_connection_as_it_must_be_typed() {
        let error = Error::SignInNeeded {
            connection: "My Portal".into(),
            why: SignInNeeded::Never,
        };
        assert_eq!(
            hint(&error).as_deref(),
            Some("age-oauth login -c \"My Portal\"")
        );
    }
}
