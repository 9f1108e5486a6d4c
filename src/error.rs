//! What can go wrong, told apart by what a caller can do about it.
//!
//! Each variant is a choice of the caller: correct the input, sign in, unlock something, try later, ask an
//! administrator. Texts name the thing (label, URL, path) and never hold a secret or the body of an answer.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::item_kind::ItemKind;

/// Anything that the library refuses or fails to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    File {
        /// What was tried: `read`, `write`, `lock` …
        action: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is there but does not say what it should.
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value given by a person or a program cannot be used.
    Invalid {
        /// Which one: `label`, `portal URL` …
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Nobody is signed in, or the portal no longer honours the sign-in. A person must sign in.
    SignInNeeded {
        /// The connection's label.
        connection: String,
        /// What happened to the sign-in.
        why: SignInNeeded,
    },
    /// There is no such connection.
    NoConnection {
        /// What was asked for; nothing where no name was given and no default is set.
        wanted: Option<String>,
        /// Labels that exist (a few of them).
        known: Vec<String>,
    },
    /// Another connection has this label.
    NameTaken {
        /// The label.
        label: String,
    },
    /// Several connections fit.
    Ambiguous {
        /// What was asked for.
        wanted: Option<String>,
        /// The labels that fit.
        candidates: Vec<String>,
    },
    /// The keychain did not do what was asked.
    Keychain {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// Which item was wanted, where one is concerned.
        item: Option<ItemKind>,
        /// What the keychain said.
        error: KeychainError,
    },
    /// The portal could not be reached, or what answered is no portal. Trying later may help.
    Unreachable {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// The URL, without query.
        url: String,
        /// What happened.
        why: Unreachable,
    },
    /// The portal, or the web server in front of it, answered no. Trying later does not help.
    Refused {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// The URL, without query.
        url: String,
        /// What was refused.
        why: Refusal,
    },
    /// Another process works on this connection and did not finish in time.
    Busy {
        /// The connection's label, or the file that is locked.
        what: String,
        /// Its process id, where known.
        pid: Option<u32>,
    },
}

/// Why a person must sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInNeeded {
    /// Nobody has signed in yet, or somebody signed out.
    Never,
    /// It was made on another machine; keychains do not travel.
    OtherMachine(String),
    /// Its time is over.
    Expired,
    /// The portal does not know it any more (revoked, replaced, keys renewed).
    NoLongerAccepted,
    /// The portal extended it, but the answer was lost on the way.
    ExtensionLost,
    /// No code arrived in time. Holds the redirect URI that the portal must know.
    TimedOut(String),
    /// No code was given.
    NoCode,
    /// Somebody else signed in; that needs consent.
    OtherUser {
        /// Who is stored.
        stored: String,
        /// Who signed in.
        signed_in: String,
    },
    /// The answer belongs to another sign-in attempt or another portal.
    MismatchedResponse,
}

/// What a keychain said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeychainError {
    /// The platform's own name: `Secret Service`, `Windows Credential Manager`, `macOS Keychain`, `vault`.
    pub keychain: &'static str,
    /// What a caller can do about it.
    pub reason: KeychainReason,
    /// The cause, for people. Never a secret.
    pub detail: String,
}

/// What a caller can do about a keychain's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeychainReason {
    /// There is no keychain here, or no key for the vault: use another kind or start it.
    Missing,
    /// It is locked: unlock it.
    Locked,
    /// It said no, or failed in a way of its own.
    Refused,
    /// It did not answer in time.
    Timeout,
    /// The item is gone, torn, or not ours: sign in or enter the secret again.
    Lost,
    /// The item belongs to another portal or client id than `meta.json` names.
    Mismatch,
    /// Several items answer to one name: writing it again repairs that.
    Ambiguous,
}

impl KeychainReason {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Locked => "locked",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Mismatch => "mismatch",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Why no portal's answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// The host name is unknown.
    Dns,
    /// No connection. Holds the system's words.
    Connect(String),
    /// The TLS handshake failed.
    Tls(Box<TlsFailure>),
    /// The proxy refused or could not be used. Holds what it said; `authentication` where it asked for a password (407).
    Proxy {
        /// The proxy, without user info.
        proxy: String,
        /// What happened.
        what: String,
        /// Whether it asked for a password (407).
        authentication: bool,
    },
    /// No answer in time.
    Timeout,
    /// The connection broke before the whole answer had come. Holds the system's words.
    Broken(String),
    /// An HTTP status that asks to come back later: 429, 5xx.
    Status(u16),
    /// Something answered that is no ArcGIS portal: HTML, other JSON, a foreign status.
    NotAPortal {
        /// HTTP status.
        status: u16,
        /// The page's title, where it was HTML with one.
        title: Option<String>,
    },
    /// The answer sends us elsewhere; secrets do not follow.
    Redirected {
        /// HTTP status.
        status: u16,
        /// The host it names.
        to: Option<String>,
    },
    /// The answer is larger than any portal's.
    TooLarge,
}

/// A certificate that was not accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// What is wrong.
    pub kind: TlsFailureKind,
    /// What the server's certificate says, where one was shown and could be read.
    pub certificate: Option<CertificateFacts>,
    /// The chain as shown, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
}

/// What is wrong with a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailureKind {
    /// Signed by an authority that is not trusted here.
    UnknownIssuer,
    /// Signed by itself, and not one of the certificates trusted for this connection.
    SelfSigned,
    /// Made for other host names.
    WrongHost,
    /// Its time is over.
    Expired,
    /// Its time has not begun; perhaps this machine's clock is wrong.
    NotYetValid,
    /// Withdrawn by its issuer.
    Revoked,
    /// Anything else; holds the library's words.
    Other(String),
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid, UTC, RFC 3339.
    pub not_before: String,
    /// Until when it is valid, UTC, RFC 3339.
    pub not_after: String,
    /// Host names and addresses it was made for.
    pub names: Vec<String>,
    /// SHA-256 of the DER form, upper-case hexadecimal in pairs with colons.
    pub sha256: String,
    /// Subject and issuer are the same.
    pub self_signed: bool,
}

/// What the portal, or the web server in front of it, said no to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The client id is unknown there.
    ClientId,
    /// The client secret is wrong or was reset.
    ClientSecret,
    /// The redirect URI is not registered, or missing.
    RedirectUri,
    /// The authorization code is wrong, used, expired, or of another portal. Holds the portal's words.
    Code(String),
    /// The person declined at the portal's page.
    Denied,
    /// The token is good but not for this.
    Privilege,
    /// A fresh token was rejected; the Referer may be wrong.
    FreshToken,
    /// The portal grants no token for this server: it is not one of its own. Holds the portal's words.
    Server(String),
    /// The web server in front asks for a sign-in of its own: `Negotiate`, `NTLM`, `Basic`, `certificate`.
    WebTier(Vec<String>),
    /// The portal rejects a way of asking. Holds the portal's words.
    Other {
        /// The portal's error code.
        code: Option<i64>,
        /// The portal's words, cut to one line of bounded length.
        text: String,
    },
}

/// What most functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names the connection in an error that arose where its label was not known.
    #[must_use]
    pub fn about(mut self, label: &str) -> Self {
        match &mut self {
            Self::Keychain { connection, .. }
            | Self::Unreachable { connection, .. }
            | Self::Refused { connection, .. } => {
                connection.get_or_insert_with(|| label.to_owned());
            }
            _ => {}
        }
        self
    }

    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            why: why.into(),
        }
    }
}

impl KeychainError {
    /// A failure of the named keychain.
    pub fn new(keychain: &'static str, reason: KeychainReason, detail: impl Into<String>) -> Self {
        Self {
            keychain,
            reason,
            detail: detail.into(),
        }
    }
}

impl From<KeychainError> for Error {
    fn from(error: KeychainError) -> Self {
        Self::Keychain {
            connection: None,
            item: None,
            error,
        }
    }
}

/// Names the connection in brackets, where one is concerned.
struct Of<'a>(&'a Option<String>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(label) => write!(f, " (connection `{label}`)"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { action, path, .. } => write!(f, "cannot {action} `{}`", path.display()),
            Self::Corrupt { path, why } => {
                write!(f, "`{}` cannot be understood: {why}", path.display())
            }
            Self::Invalid { what, why } => write!(f, "{what}: {why}"),
            Self::SignInNeeded { connection, why } => {
                write!(f, "sign-in needed for connection `{connection}`: {why}")
            }
            Self::NoConnection {
                wanted: Some(wanted),
                ..
            } => write!(f, "no connection `{wanted}`"),
            Self::NoConnection { wanted: None, .. } => f.write_str("no connection chosen"),
            Self::NameTaken { label } => write!(f, "a connection `{label}` exists already"),
            Self::Ambiguous {
                wanted: Some(wanted),
                candidates,
            } => write!(f, "`{wanted}` fits {} connections", candidates.len()),
            Self::Ambiguous { wanted: None, .. } => {
                f.write_str("several connections exist and none is the default")
            }
            Self::Keychain {
                connection, error, ..
            } => {
                write!(f, "{error}{}", Of(connection))
            }
            Self::Unreachable {
                connection,
                url,
                why,
            } => write!(f, "{why} at {url}{}", Of(connection)),
            Self::Refused {
                connection,
                url,
                why,
            } => write!(f, "{why} at {url}{}", Of(connection)),
            Self::Busy { what, pid } => {
                write!(f, "another age-oauth process is busy with `{what}`")?;
                match pid {
                    Some(pid) => write!(f, " (process {pid})"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for SignInNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("nobody is signed in"),
            Self::OtherMachine(machine) => write!(
                f,
                "it was made on the machine `{machine}`, and keychains do not travel"
            ),
            Self::Expired => f.write_str("it has expired"),
            Self::NoLongerAccepted => f.write_str("the portal no longer honours it"),
            Self::ExtensionLost => {
                f.write_str("the portal extended it, but its answer was lost on the way")
            }
            Self::TimedOut(uri) => write!(
                f,
                "no code came back in time; the portal must know the redirect URI {uri}"
            ),
            Self::NoCode => f.write_str("no code was given"),
            Self::OtherUser { stored, signed_in } => {
                write!(f, "`{signed_in}` signed in, but it belongs to `{stored}`")
            }
            Self::MismatchedResponse => {
                f.write_str("the answer belongs to another sign-in attempt or another portal")
            }
        }
    }
}

impl fmt::Display for KeychainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, detail) = (self.keychain, &self.detail);
        match self.reason {
            KeychainReason::Missing => write!(f, "{name} is not available: {detail}"),
            KeychainReason::Locked => write!(f, "{name} is locked: {detail}"),
            KeychainReason::Refused => write!(f, "{name} refused: {detail}"),
            KeychainReason::Timeout => write!(f, "{name} did not answer: {detail}"),
            KeychainReason::Lost => write!(f, "{name} has no usable item: {detail}"),
            KeychainReason::Mismatch => write!(f, "{name} holds an item for elsewhere: {detail}"),
            KeychainReason::Ambiguous => write!(f, "{name} holds several such items: {detail}"),
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("unknown host name"),
            Self::Connect(words) => write!(f, "no connection ({words})"),
            Self::Tls(failure) => write!(f, "TLS failed, {}", failure.kind),
            Self::Proxy { proxy, what, .. } => write!(f, "the proxy {proxy} said no ({what})"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(words) => write!(f, "the connection broke ({words})"),
            Self::Status(status) => write!(f, "the portal is not available now (HTTP {status})"),
            Self::NotAPortal { status, title } => {
                write!(f, "no ArcGIS portal answers (HTTP {status}")?;
                if let Some(title) = title {
                    write!(f, ", page `{title}`")?;
                }
                f.write_str(")")
            }
            Self::Redirected { status, to } => {
                write!(f, "the answer leads elsewhere (HTTP {status}")?;
                if let Some(to) = to {
                    write!(f, " to {to}")?;
                }
                f.write_str(")")
            }
            Self::TooLarge => f.write_str("the answer is larger than any portal's"),
        }
    }
}

impl fmt::Display for TlsFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => {
                "the certificate is signed by an authority that is not trusted here"
            }
            Self::SelfSigned => "the certificate is signed by itself",
            Self::WrongHost => "the certificate was made for another host name",
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => {
                "the certificate is not valid yet (is this machine's clock right?)"
            }
            Self::Revoked => "the certificate was withdrawn by its issuer",
            Self::Other(words) => words,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId => f.write_str("the portal does not know this client ID"),
            Self::ClientSecret => f.write_str("the portal does not accept this client secret"),
            Self::RedirectUri => f.write_str("the portal does not accept this redirect URI"),
            Self::Code(words) => write!(f, "the portal does not accept this code: {words}"),
            Self::Denied => f.write_str("the sign-in was declined"),
            Self::Privilege => f.write_str("the portal denies permission"),
            Self::Server(text) => write!(
                f,
                "the portal does not vouch for this server, which gets no token ({text})"
            ),
            Self::FreshToken => f.write_str("the portal rejects a token it has just issued"),
            Self::WebTier(schemes) => write!(
                f,
                "the web server in front of the portal asks for a sign-in of its own ({})",
                schemes.join(", ")
            ),
            Self::Other { code, text } => {
                write!(f, "the portal refused: {text}")?;
                match code {
                    Some(code) => write!(f, " (code {code})"),
                    None => Ok(()),
                }
            }
        }
    }
}
