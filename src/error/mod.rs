//! The library's errors, one variant per thing that a caller can do about it.
//!
//! Each variant is a choice of the caller: correct the input, sign in, unlock something, try later,
//! ask an administrator. Texts name the thing (label, URL, path) and never contain a secret or the
//! body of a response.

mod display;
#[cfg(test)]
mod page_tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::bound_setting::BoundSetting;
use crate::item_kind::ItemKind;
use crate::secret::Secret;
use crate::util::enum_with_words;

/// Why a function of this crate failed.
///
/// | a caller can | variants |
/// |---|---|
/// | ask a person to sign in | [`SignInNeeded`](Self::SignInNeeded) |
/// | ask for another API key or client secret | [`ApiKey`](Self::ApiKey), [`SecretCommand`](Self::SecretCommand) |
/// | correct a value or a choice | [`Invalid`](Self::Invalid), [`NoConnection`](Self::NoConnection), [`Ambiguous`](Self::Ambiguous), [`NameTaken`](Self::NameTaken), [`Listen`](Self::Listen) |
/// | unlock or repair a keychain or a certificate | [`Keychain`](Self::Keychain), [`ClientCertificate`](Self::ClientCertificate) |
/// | repair a file | [`File`](Self::File), [`Corrupt`](Self::Corrupt), [`UnusableConnection`](Self::UnusableConnection) |
/// | try again later | [`Unreachable`](Self::Unreachable), [`Busy`](Self::Busy) |
/// | change a setting here or at the portal | [`Refused`](Self::Refused) |
/// | nothing: the system returns no random numbers | [`Random`](Self::Random) |
/// | ask an administrator of this machine | [`Forbidden`](Self::Forbidden), [`UnusablePolicy`](Self::UnusablePolicy) |
///
/// The field `why` of a variant tells more cases apart:
///
/// ```
/// use age_oauth::{Error, SignInNeeded, Unreachable};
///
/// fn advice(error: &Error) -> &'static str {
///     match error {
///         Error::SignInNeeded { why, .. } => match why {
///             SignInNeeded::OtherUser { .. } => "use the other account",
///             _ => "sign in",
///         },
///         Error::Unreachable { why: Unreachable::Tls(_), .. } => "check TLS",
///         error if error.is_transient() => "try again later",
///         _ => "ask for help",
///     }
/// }
///
/// let error = Error::Busy { what: "prod".to_owned(), pid: None };
/// assert_eq!(advice(&error), "try again later");
/// ```
// What decides about every error (its text, kind, hint) matches without a wildcard, so that the
// compiler names the decisions that a new variant needs. docs/architecture.md, "How to add", lists
// them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    File {
        /// What was tried.
        action: FileAction,
        /// Which file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The port of a loopback redirect URI could not be opened.
    Listen {
        /// Address and port, for example `127.0.0.1:53682`.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The operating system returned no random numbers.
    Random,
    /// A file exists, but its content is not valid.
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file `meta.json` of a connection exists, but this version cannot use it.
    UnusableConnection {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What helps.
        fault: ConnectionFault,
    },
    /// A value that the caller supplied cannot be used.
    Invalid {
        /// Which value.
        what: Input,
        /// Why it cannot be used.
        why: String,
    },
    /// There is no sign-in, or the portal no longer accepts it. A person must sign in.
    SignInNeeded {
        /// The connection's label.
        connection: String,
        /// What happened to the sign-in.
        why: SignInNeeded,
    },
    /// No connection has this name.
    NoConnection {
        /// The name that was asked for; `None` if no name was given and there is no default.
        wanted: Option<String>,
        /// Labels that exist (a few of them).
        known: Vec<String>,
        /// The environment variable that holds the name; `None` if it was named otherwise.
        variable: Option<&'static str>,
    },
    /// Another connection has this label.
    NameTaken {
        /// The label.
        label: String,
    },
    /// Several connections match.
    Ambiguous {
        /// The name that was asked for; `None` if no name was given.
        wanted: Option<String>,
        /// The labels that match.
        candidates: Vec<String>,
    },
    /// The keychain failed.
    Keychain {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// Which item was wanted, where one is concerned.
        item: Option<ItemKind>,
        /// Which keychain, and why.
        error: KeychainError,
    },
    /// The API key cannot be used. A person must give another one.
    ApiKey {
        /// The connection's label.
        connection: String,
        /// Whether a command prints the key, so that it is replaced where the command finds it.
        is_printed: bool,
        /// What is wrong with it.
        why: ApiKeyProblem,
    },
    /// The command that gives the client secret or the API key failed.
    SecretCommand {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// What it was to print.
        secret: PrintedSecret,
        /// The file name of the command's program.
        command: String,
        /// How it failed.
        why: SecretCommandFailure,
    },
    /// The client certificate is in the Windows certificate store, and cannot be used.
    ClientCertificate {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// Why.
        why: StoreProblem,
    },
    /// The portal could not be reached, or the response is not from a portal. Trying later may
    /// help.
    Unreachable {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// The URL, without query.
        url: String,
        /// What happened.
        why: Unreachable,
    },
    /// The portal, or the web server in front of it, refused the request. Trying later does not
    /// help.
    Refused {
        /// The connection's label, where one is concerned.
        connection: Option<String>,
        /// The URL, without query.
        url: String,
        /// What was refused.
        why: Refusal,
    },
    /// Another process holds a lock on this connection or file and did not release it in time.
    Busy {
        /// The connection's label, or the file that is locked.
        what: String,
        /// Its process ID, where known.
        pid: Option<u32>,
    },
    /// The policy of this machine exists, but cannot be obeyed. An administrator has to correct it.
    UnusablePolicy {
        /// The file, the line where one is at fault, or the registry value.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The policy of this machine does not allow it. An administrator can.
    Forbidden(Box<PolicyRefusal>),
}

/// What the policy of a machine refused, by which of its members, and what that overrode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyRefusal {
    /// The connection's label, where one is concerned.
    pub connection: Option<String>,
    /// What is refused.
    pub what: Forbidden,
    /// The member of the policy that refuses it.
    pub rule: PolicyRule,
    /// Whose value the policy overrode.
    pub overridden: Overridden,
}

/// What the policy of a machine forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forbidden {
    /// Using a portal at this address.
    Portal(String),
    /// Accepting any certificate.
    UnverifiedTls,
    /// A secret among the arguments of a program.
    SecretArgument,
    /// A command that prints a client secret or an API key.
    SecretCommand(PrintedSecret),
    /// An API key.
    ApiKey,
    /// Storing secrets in a keychain of this kind; holds its word.
    Keychain(&'static str),
    /// Another proxy than the policy's.
    OtherProxy {
        /// The policy's.
        instead_of: String,
    },
    /// A sign-in that may live longer than the policy allows.
    LongSignIn {
        /// The longest life that is allowed, such as `14d`.
        longest: String,
    },
}

/// A member of the policy of a machine, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyRule {
    /// Its name there, such as `portals`.
    pub member: &'static str,
    /// The file or the registry key.
    pub place: String,
    /// The line of the file.
    pub line: Option<usize>,
}

/// Whose value the policy of a machine overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overridden {
    /// This option of the command line.
    Option(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// A connection card.
    Card,
    /// What a person answered or another program asked for.
    Answer,
    /// The `meta.json` of the connection.
    Connection,
}

/// Why the `meta.json` of a connection cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// It is damaged, or was changed by hand.
    Damaged,
    /// A later version of the program wrote it.
    Newer,
}

/// A value that a caller supplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The portal URL of a connection.
    PortalUrl,
    /// The API URL.
    ApiUrl,
    /// The kind of a connection.
    AuthType,
    /// The label of a connection.
    Label,
    /// Any other: the name of the option, variable or setting.
    Other(&'static str),
}

impl From<&'static str> for Input {
    fn from(name: &'static str) -> Self {
        Self::Other(name)
    }
}

/// What was tried on a file or folder. The text completes "cannot …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileAction {
    /// Read its content, or list a folder.
    Read,
    /// Write its content.
    Write,
    /// Write the content of a file that a person named.
    WriteOutput,
    /// Create it.
    Create,
    /// Add to its end.
    Append,
    /// Move a full log to `.1`.
    Rotate,
    /// Rename it.
    Rename,
    /// Delete it.
    Remove,
    /// Overwrite a secret before the file is deleted.
    Overwrite,
    /// Take its lock.
    Lock,
    /// Take away the access of other users.
    Restrict,
    /// Read who may access it (Windows).
    ReadAccessList,
    /// Make a relative path absolute.
    Locate,
}

/// Why a person must sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInNeeded {
    /// There has been no sign-in yet, or it was ended by a sign-out.
    Never,
    /// It was created on another machine (named here), and secrets stay in that machine's keychain.
    OtherMachine(String),
    /// It has expired.
    Expired,
    /// The portal no longer accepts it: revoked, replaced, or the portal's keys were renewed.
    NoLongerAccepted,
    /// The portal extended it, but its response was lost, so the new refresh token is unknown.
    ExtensionLost,
    /// No authorization code arrived in time. Holds the redirect URI that must be registered.
    TimedOut(String),
    /// No authorization code was given.
    NoCode,
    /// What was given is not an authorization code.
    NotACode,
    /// Another user signed in; replacing the stored user needs consent.
    OtherUser {
        /// The user that the connection's sign-in belongs to.
        stored: String,
        /// The user who signed in now.
        signed_in: String,
    },
    /// The web server in front of the portal vouches for another user than the one that the network
    /// connection belongs to.
    VouchedForOther {
        /// The user that the connection belongs to.
        stored: String,
        /// The user whom the web server vouches for now.
        vouched: String,
    },
    /// The response belongs to another sign-in attempt.
    MismatchedResponse,
    /// The response comes from another portal; holds its host.
    OtherPortal(String),
    /// The policy of this machine does not allow it to last longer. Holds the member of the policy.
    EndedByPolicy(PolicyRule),
}

/// Which keychain failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeychainError {
    /// The platform's own name: `Secret Service`, `Windows Credential Manager`, `macOS Keychain`,
    /// `vault`.
    pub keychain: &'static str,
    /// What a caller can do about it.
    pub reason: KeychainReason,
    /// The cause, in words. Never contains a secret.
    pub detail: String,
    /// With [`KeychainReason::Mismatch`], the settings that differ. With [`KeychainReason::Lost`],
    /// those that have to be chosen again together with the item.
    pub settings: Vec<BoundSetting>,
    /// What was tried on the keychain's own file, and how it failed, where that is the cause.
    pub file: Option<(FileAction, io::ErrorKind)>,
}

enum_with_words! {
    /// What a caller can do about a keychain's failure.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum KeychainReason {
        /// This machine has no keychain, or there is no vault yet: start one, or use another kind.
        Missing = "missing",
        /// It is locked: unlock it.
        Locked = "locked",
        /// It refused, or failed for another reason.
        Refused = "refused",
        /// It did not respond in time.
        Timeout = "timeout",
        /// The item is missing, incomplete, or not ours: sign in or enter the secret again.
        Lost = "lost",
        /// The item is bound to other settings than `meta.json` names: choose them with
        /// `connections edit`.
        Mismatch = "mismatch",
        /// `meta.json` was changed while the command ran: run it again.
        Changed = "changed",
        /// Several items have one name: writing the item again removes the others.
        Ambiguous = "ambiguous",
        /// This program may not talk to the keychain: its sandbox or a policy denies it.
        Denied = "denied",
        /// The keychain has no default collection, in which new items are stored: create one.
        NoCollection = "no_collection",
        /// A key of the vault was named, but is missing, or is not a key: provide it.
        NoKey = "no_key",
        /// No key that is present opens the vault: provide the one that sealed it.
        WrongKey = "wrong_key",
        /// Other users could read or change the key of the vault: restrict its file.
        UnsafeKey = "unsafe_key",
        /// The vault itself is damaged: restore it, or start a new one.
        Damaged = "damaged",
        /// A PKCS#11 token, which keeps a private key as a keychain does, cannot be used.
        Token = "token",
        /// Its PIN is not stored, or was wrong: store it again.
        Pin = "pin",
    }
}

/// Why an API key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyProblem {
    /// None is stored; where a command prints it, whose it is.
    Missing,
    /// When it ends is missing, or cannot be read.
    UnknownEnd,
    /// It has expired, at this moment, by what a person said about it.
    Expired(Timestamp),
    /// It expires sooner than the caller needs it.
    TooShort {
        /// When it expires.
        expires_at: Timestamp,
        /// How long it must still live, in seconds.
        seconds_wanted: i64,
    },
    /// The portal does not accept it.
    Refused,
    /// It is that of another user than the one that the connection belongs to.
    OtherUser {
        /// The user that the connection belongs to.
        stored: String,
        /// The user whose key it is.
        given: String,
    },
}

enum_with_words! {
    /// What a command that a connection names prints. The word is how messages name it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PrintedSecret {
        /// The client secret of the registered application.
        ClientSecret = "client secret",
        /// The API key.
        ApiKey = "API key",
    }
}

/// How the command that gives the client secret or the API key failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretCommandFailure {
    /// Its program is not there.
    NoProgram(PathBuf),
    /// Other users could change its program, the interpreter of that, or a file that it names.
    Unsafe {
        /// The file or folder that they could change.
        path: PathBuf,
        /// Why that is so, in words.
        why: String,
        /// Whether they could create what it names, or files in a folder that it names, rather than
        /// change what is there.
        is_missing: bool,
    },
    /// It could not be started.
    NotStarted(io::Error),
    /// It did not end in time.
    Timeout(Duration),
    /// It ended with an error.
    Failed {
        /// Its exit code, or the signal that ended it, in words.
        status: String,
        /// The first line of its error output, in one line of bounded length. It is the text of
        /// another program, which may hold anything, so that it is shown to a person and stored
        /// nowhere.
        said: Option<Secret>,
    },
    /// It ended without an error, and its output is not a client secret. Holds the reason, without
    /// the output.
    Output(String),
    /// It failed in another process, for which this one waited. Holds how, as the other process
    /// recorded it.
    InAnotherProcess(String),
}

/// Why there is no response from a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// The host name is unknown.
    Dns,
    /// The TCP connection failed. Holds the operating system's message.
    Connect(String),
    /// The TLS handshake failed.
    Tls(Box<TlsFailure>),
    /// The proxy refused or could not be used.
    Proxy {
        /// The proxy, without user name and password.
        proxy: String,
        /// What happened.
        what: String,
        /// The sign-in that it asked for (407).
        demand: ProxyDemand,
    },
    /// No response in time.
    Timeout,
    /// The connection was lost before the whole response arrived. Holds the operating system's
    /// message.
    Broken(String),
    /// The same before any of the response, from a web server that had asked for a client
    /// certificate. Some, like Tomcat, end the connection instead of saying what they reject.
    BrokenAfterCertificateRequest {
        /// The operating system's message.
        message: String,
        /// The subject of the certificate that was presented; `None` if none was.
        subject: Option<String>,
    },
    /// An HTTP status that means "try later": 429, 5xx.
    Status {
        /// HTTP status, or the code of the portal's error.
        status: u16,
        /// What the portal said, or the title of an HTML page.
        said: Option<PortalMessage>,
    },
    /// The portal reported to the redirect URI that it cannot sign in anyone now. Holds its
    /// message.
    Reported(String),
    /// The response is not from an ArcGIS portal: HTML, other JSON, an unexpected status.
    NotAPortal {
        /// HTTP status.
        status: u16,
        /// The title of an HTML page, where it has one.
        title: Option<String>,
    },
    /// The response redirects to another address; secrets do not follow redirects.
    Redirected {
        /// HTTP status.
        status: u16,
        /// The host that the redirect names, if any.
        to: Option<String>,
    },
    /// The network between here and the portal asks for its own sign-in first, as those of hotels
    /// and trains do: HTTP 511, or a redirect from https to a page without it.
    NetworkSignIn {
        /// HTTP status.
        status: u16,
        /// The host that a redirect names, if any.
        to: Option<String>,
    },
    /// The response is larger than the limit for portal responses.
    TooLarge,
    /// Windows sign-in needs a Kerberos server (KDC), and none answers.
    NoKdc,
    /// Another process, for which this one waited, did not reach the portal. Holds how that failed,
    /// as the other process recorded it.
    InAnotherProcess(String),
}

/// The sign-in that a proxy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyDemand {
    /// None: it failed for another reason.
    Nothing,
    /// A user name and a password, and none was set.
    Password,
    /// A user name and a password; it does not accept those that are set.
    OtherPassword,
    /// A sign-in that this program does not do: NTLM, Negotiate, Kerberos, Digest.
    UnknownScheme,
}

/// What a portal said with an error, one line of bounded length. It is the cause of that error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalMessage(pub String);

impl std::fmt::Display for PortalMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PortalMessage {}

/// A TLS handshake that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFailure {
    /// The reason.
    pub kind: TlsFailureKind,
    /// The server's certificate; `None` if the server sent none or it could not be parsed.
    pub certificate: Option<CertificateFacts>,
    /// The certificate that the reason is about, where it is not the server's own.
    pub fault: Option<ChainFault>,
    /// The chain that the server sent, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// What else explains the reason, for people; one sentence each.
    pub notes: Vec<String>,
    /// Whether the certificate would be accepted with the right authority.
    pub authority_helps: bool,
    /// Whether the certificate would be accepted if exactly this one were trusted.
    pub pin_helps: bool,
}

/// A certificate of the chain behind the server's own, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainFault {
    /// Its place in the chain.
    pub role: CertificateRole,
    /// Its fields.
    pub certificate: CertificateFacts,
}

/// The place of a certificate in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateRole {
    /// The server's own.
    Server,
    /// An authority between the server and the one that is trusted.
    Intermediate,
    /// The authority at the end of the chain.
    Authority,
}

/// Why a TLS handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailureKind {
    /// Signed by an authority that is not trusted here.
    UnknownIssuer,
    /// The server does not send the certificate of the authority that signed its own.
    IncompleteChain,
    /// Self-signed, and not one of the certificates trusted for this connection.
    SelfSigned,
    /// Issued for other host names.
    WrongHost,
    /// Without any host name: names in the subject do not count.
    NoName,
    /// Expired.
    Expired,
    /// Not valid yet; perhaps this machine's clock is wrong.
    NotYetValid,
    /// Revoked by its issuer.
    Revoked,
    /// The platform is set to refuse this certificate or its authority.
    Distrusted,
    /// A key or a signature that this program cannot verify with; holds its name.
    Algorithm(String),
    /// A signature in the chain is not one of the authority that it names.
    BadSignature,
    /// A certificate that is not an authority's signed another one.
    NotAnAuthority,
    /// An authority's own certificate, which a server must not use.
    AuthorityAsServer,
    /// Not issued for servers.
    Purpose,
    /// A certificate with a critical extension that this program does not know.
    UnknownRule,
    /// The server offers neither TLS 1.2 nor TLS 1.3.
    NoCommonVersion,
    /// The server does not offer TLS 1.2, and the private key of the client certificate cannot sign
    /// as TLS 1.3 needs it.
    NeedsTls12,
    /// Server and program have no cipher suite, or no kind of key, in common.
    NoCommonCipher,
    /// Anything else, in words for people.
    Other(String),
}

/// The fields of a certificate that people compare.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// Start of validity, UTC, RFC 3339.
    pub not_before: String,
    /// End of validity, UTC, RFC 3339.
    pub not_after: String,
    /// Host names and addresses that it is valid for.
    pub names: Vec<String>,
    /// SHA-256 of the DER form, upper-case hexadecimal in pairs with colons.
    pub sha256: String,
    /// Whether subject and issuer are the same.
    pub self_signed: bool,
}

/// What the portal, or the web server in front of it, refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The client ID is not registered.
    ClientId,
    /// The client secret is wrong or was reset.
    ClientSecret,
    /// The client secret that this command printed is wrong or was reset.
    PrintedClientSecret(String),
    /// This redirect URI is not registered.
    RedirectUri(String),
    /// The application may not sign people in. Holds the portal's message.
    Application(String),
    /// The portal reported another error in place of an authorization code. Holds its message.
    SignIn(String),
    /// The authorization code is wrong, used, expired, or from another portal. Holds the portal's
    /// message.
    Code(String),
    /// The person declined the sign-in on the portal's page.
    Denied,
    /// The token is valid, but its user or application lacks the privilege.
    Privilege,
    /// A new token was rejected; the Referer may be wrong.
    FreshToken,
    /// The portal does not issue tokens for this server, because the server is not federated with
    /// it. Holds the portal's message.
    Server(String),
    /// The portal gives no token to the user whom the web server in front of it vouches for. Holds
    /// the portal's message.
    Network(String),
    /// The web server in front requires its own sign-in: `Negotiate`, `NTLM`, `Basic`, `Bearer` …;
    /// empty where it names none.
    WebTier(Vec<String>),
    /// The web server in front asks for a client certificate.
    ClientCertificate,
    /// The web server in front asks for a client certificate, but not in the TLS handshake, where
    /// this program can present one: it has read the request first.
    LateClientCertificate,
    /// The web server in front rejected the connection's client certificate.
    RejectedClientCertificate {
        /// The certificate's distinguished name.
        subject: String,
        /// When it expires, UTC, RFC 3339.
        not_after: String,
        /// What the server says about it.
        why: CertificateRejection,
    },
    /// The private key of the client certificate did not sign what the web server in front asked
    /// for.
    PrivateKey {
        /// The certificate's distinguished name.
        subject: String,
        /// Why.
        why: KeyProblem,
    },
    /// The web server in front asks for Windows sign-in, which could not be answered, or whose
    /// answer it does not accept.
    WindowsSignIn(WindowsSignInFailure),
    /// Something in front sends every request to a sign-in page: an access proxy, a federation
    /// server.
    SignInPage {
        /// The host of the sign-in page, where the response names one.
        host: Option<String>,
        /// The title of the page, where it has one.
        title: Option<String>,
    },
    /// The web server or a firewall in front denies access (403) with a page of its own.
    Forbidden {
        /// The title of the page, where it has one.
        title: Option<String>,
    },
    /// The answer to a call of the caller's own is not a JSON object: the path may be wrong.
    UnexpectedAnswer {
        /// HTTP status.
        status: u16,
        /// The title of an HTML page, where it has one.
        title: Option<String>,
    },
    /// Any other refusal.
    Other {
        /// The portal's error code, where it sent one.
        code: Option<i64>,
        /// The portal's message, cut to one line of bounded length.
        text: String,
    },
    /// The same request of another process, for which this one waited. Holds how it was refused, as
    /// the other process recorded it.
    InAnotherProcess(String),
}

/// What Kerberos says where it makes no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KerberosProblem {
    /// This machine and the Kerberos server have no encryption type in common.
    Encryption,
    /// The Kerberos server's policy does not allow it.
    Policy,
    /// The Kerberos server answered something else than was asked for.
    Reply,
    /// The clocks differ too much.
    Clock,
    /// The web server's account has expired, or is disabled.
    ServiceInvalid,
    /// The account, or its password, has expired.
    AccountExpired,
    /// The account is disabled or locked.
    AccountDisabled,
    /// The configuration does not say which realm the web server is in.
    Realm,
}

/// Why Windows sign-in failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowsSignInFailure {
    /// This user has no Kerberos ticket.
    NoTicket,
    /// The Kerberos ticket has expired.
    TicketExpired,
    /// The Kerberos ticket is for another principal than the connection's.
    OtherPrincipal {
        /// The connection's principal.
        expected: String,
        /// The principal of the ticket.
        found: String,
    },
    /// Kerberos does not know the web server by the name in the address. Holds the name of the
    /// service, such as `HTTP/gis.example.com`.
    UnknownService(String),
    /// A program of the system is missing: `curl` or `klist`.
    NoProgram(&'static str),
    /// The system's `curl` was built without Kerberos.
    CurlWithoutKerberos,
    /// The system's `curl` does not know an option that is needed.
    CurlTooOld,
    /// A program of the system does not end: `klist`.
    ProgramHangs(&'static str),
    /// No folder can be created or used in which the token is made.
    NoFolder {
        /// The last one that was tried.
        path: String,
        /// What is wrong with it.
        why: io::ErrorKind,
    },
    /// The Kerberos ticket is of a principal that this program cannot read. Holds its text.
    UnreadablePrincipal(String),
    /// Kerberos made no token, for a reason that it gives.
    Kerberos(KerberosProblem),
    /// The system made a token of another kind, such as NTLM, which is not sent.
    NotKerberos,
    /// Windows does not say whose the Kerberos token is that it made.
    UnknownPrincipal,
    /// This version cannot answer Windows sign-in on this platform.
    Unsupported,
    /// Kerberos did not make a token, for another reason.
    NoToken,
    /// The web server does not accept the token.
    Rejected {
        /// As whom it was made.
        principal: String,
        /// For which service, such as `HTTP/gis.example.com`.
        service: String,
        /// The sign-ins that the web server offers.
        schemes: Vec<String>,
    },
}

/// Why a client certificate of the Windows certificate store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreProblem {
    /// This system has no such store.
    NotWindows,
    /// Windows does not open it. Holds Windows' message.
    Unreadable(String),
    /// The certificate is not there any more.
    Gone {
        /// Its distinguished name.
        subject: String,
        /// The one that took its place: of the same subject and issuer, with a later end. `None`
        /// where there is none.
        renewed: Option<RenewedCertificate>,
    },
    /// Its private key cannot be used.
    Key {
        /// The certificate's distinguished name.
        subject: String,
        /// Why.
        why: KeyProblem,
    },
}

/// A certificate that takes the place of an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewedCertificate {
    /// What names it: `store:` and its SHA-256.
    pub source: String,
    /// When it expires, UTC, RFC 3339.
    pub not_after: String,
}

/// Why a private key that stays in Windows, on a smart card or on another token does not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyProblem {
    /// A person would have to be asked for a PIN or for consent, and none is there.
    Unattended,
    /// The person canceled that question.
    Canceled,
    /// The card or the device that has the key is not there.
    NoCard,
    /// The PIN is wrong.
    WrongPin,
    /// The PIN is locked.
    PinLocked,
    /// The system has no private key for the certificate, or none that it can open.
    Missing,
    /// It does not sign, for another reason. Holds the system's message.
    Failed(String),
}

/// Why a web server rejected a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateRejection {
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// The server does not trust the authority that issued it.
    UnknownAuthority,
    /// The server gives no reason.
    Unsaid,
}

/// The result of most functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Adds the connection's label to an error that was created where the label was not known.
    #[must_use]
    pub fn about(mut self, label: &str) -> Self {
        match &mut self {
            Self::Keychain { connection, .. }
            | Self::SecretCommand { connection, .. }
            | Self::ClientCertificate { connection, .. }
            | Self::Unreachable { connection, .. }
            | Self::Refused { connection, .. } => {
                connection.get_or_insert_with(|| label.to_owned());
            }
            Self::File { .. }
            | Self::Listen { .. }
            | Self::Random
            | Self::Corrupt { .. }
            | Self::UnusableConnection { .. }
            | Self::Invalid { .. }
            | Self::SignInNeeded { .. }
            | Self::ApiKey { .. }
            | Self::NoConnection { .. }
            | Self::NameTaken { .. }
            | Self::Ambiguous { .. }
            | Self::Busy { .. }
            | Self::UnusablePolicy { .. } => {}
            Self::Forbidden(refusal) => {
                refusal.connection.get_or_insert_with(|| label.to_owned());
            }
        }
        self
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } => true,
            Self::File { .. }
            | Self::Listen { .. }
            | Self::Random
            | Self::Corrupt { .. }
            | Self::UnusableConnection { .. }
            | Self::Invalid { .. }
            | Self::SignInNeeded { .. }
            | Self::ApiKey { .. }
            | Self::NoConnection { .. }
            | Self::NameTaken { .. }
            | Self::Ambiguous { .. }
            | Self::Keychain { .. }
            | Self::SecretCommand { .. }
            | Self::ClientCertificate { .. }
            | Self::Refused { .. }
            | Self::UnusablePolicy { .. }
            | Self::Forbidden(_) => false,
        }
    }

    pub(crate) fn file(
        action: FileAction,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn listen(address: SocketAddr, source: io::Error) -> Self {
        Self::Listen {
            address: address.to_string(),
            source,
        }
    }

    pub(crate) fn invalid(what: impl Into<Input>, why: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
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
            settings: Vec::new(),
            file: None,
        }
    }

    /// The same, about these settings.
    #[must_use]
    pub fn concerning(mut self, settings: Vec<BoundSetting>) -> Self {
        self.settings = settings;
        self
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
