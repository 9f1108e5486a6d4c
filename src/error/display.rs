//! The texts of the errors, and the errors that caused them.

use std::fmt;

use super::{
    ApiKeyProblem, CertificateRejection, CertificateRole, Error, FileAction, Forbidden, Input,
    KerberosProblem, KeyProblem, KeychainError, KeychainReason, Overridden, PolicyRefusal,
    PolicyRule, PrintedSecret, Refusal, SecretCommandFailure, SignInNeeded, StoreProblem,
    TlsFailure, TlsFailureKind, Unreachable, WindowsSignInFailure,
};
use crate::util::rfc3339;

/// The connection in brackets, where one is concerned.
struct Of<'a>(&'a Option<String>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(label) => write!(f, " (connection `{label}`)"),
            None => Ok(()),
        }
    }
}

/// The title of a page, where it has one.
struct Page<'a>(&'a Option<String>);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(title) => write!(f, ", page `{title}`"),
            None => Ok(()),
        }
    }
}

fn command_failed(
    f: &mut fmt::Formatter<'_>,
    connection: &Of<'_>,
    secret: PrintedSecret,
    command: &str,
    why: &SecretCommandFailure,
) -> fmt::Result {
    let secret = secret.as_str();
    write!(f, "the {secret} command `{command}` ")?;
    match why {
        SecretCommandFailure::Output(why) => write!(f, "gave no {secret}: {why}{connection}"),
        why => write!(f, "{why}{connection}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { action, path, .. } => write!(f, "cannot {action} `{}`", path.display()),
            Self::Corrupt { path, why } | Self::UnusableConnection { path, why, .. } => {
                write!(f, "`{}` is not valid: {why}", path.display())
            }
            Self::Listen { address, .. } => write!(f, "cannot listen on `{address}`"),
            Self::Random => {
                f.write_str("the random number generator of the operating system failed")
            }
            Self::Invalid { what, why } => write!(f, "{what}: {why}"),
            Self::ApiKey {
                connection,
                is_printed,
                why,
            } => write_api_key(f, connection, *is_printed, why),
            Self::SignInNeeded { connection, why } => write_sign_in_needed(f, connection, why),
            Self::NoConnection {
                wanted: Some(wanted),
                variable,
                ..
            } => {
                write!(f, "no connection `{wanted}`")?;
                match variable {
                    Some(name) => write!(f, ", which {name} names"),
                    None => Ok(()),
                }
            }
            Self::NoConnection { wanted: None, .. } => f.write_str("no connection chosen"),
            Self::NameTaken { label } => write!(f, "a connection `{label}` already exists"),
            Self::Ambiguous {
                wanted: Some(wanted),
                candidates,
            } => write!(f, "`{wanted}` matches {} connections", candidates.len()),
            Self::Ambiguous { wanted: None, .. } => {
                f.write_str("there are several connections and no default")
            }
            Self::Keychain {
                connection, error, ..
            } => {
                write!(f, "{error}{}", Of(connection))
            }
            Self::SecretCommand {
                connection,
                secret,
                command,
                why,
            } => command_failed(f, &Of(connection), *secret, command, why),
            Self::ClientCertificate { connection, why } => {
                write!(f, "{why}{}", Of(connection))
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
                write!(f, "another age-oauth process is using `{what}`")?;
                match pid {
                    Some(pid) => write!(f, " (process {pid})"),
                    None => Ok(()),
                }
            }
            Self::UnusablePolicy { place, why } => {
                write!(
                    f,
                    "the policy of this machine cannot be used: {place}: {why}"
                )
            }
            Self::Forbidden(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Listen { source, .. } => Some(source),
            Self::Unreachable {
                why:
                    Unreachable::Status {
                        said: Some(said), ..
                    },
                ..
            } => Some(said),
            Self::Random
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
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::UnusablePolicy { .. }
            | Self::Forbidden(_) => None,
        }
    }
}

impl fmt::Display for PolicyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            what,
            rule,
            overridden,
        } = self;
        write!(
            f,
            "the policy of this machine does not allow {what}{}; it is set by {rule} and overrides ",
            Of(connection)
        )?;
        match overridden {
            Overridden::Option(name) | Overridden::Variable(name) => f.write_str(name),
            Overridden::Card => f.write_str("the connection card"),
            Overridden::Answer => f.write_str("what was asked for"),
            Overridden::Connection => f.write_str("the connection's own setting"),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Portal(url) => write!(f, "the portal {url}"),
            Self::UnverifiedTls => f.write_str("connections without verified certificates"),
            Self::SecretArgument => f.write_str("a secret on the command line"),
            Self::SecretCommand(secret) => {
                write!(f, "a command that prints the {}", secret.as_str())
            }
            Self::ApiKey => f.write_str("an API key"),
            Self::Keychain(word) => write!(f, "the keychain `{word}`"),
            Self::OtherProxy { instead_of } => {
                write!(f, "another proxy than its own ({instead_of})")
            }
            Self::LongSignIn { longest } => write!(f, "a sign-in of more than {longest}"),
        }
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.member, self.place)?;
        match self.line {
            Some(line) => write!(f, ", line {line}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SignInNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("not signed in"),
            Self::OtherMachine(machine) => write!(
                f,
                "the sign-in was created on the machine `{machine}`, and its tokens are in the keychain there"
            ),
            Self::Expired => f.write_str("the sign-in has expired"),
            Self::NoLongerAccepted => f.write_str("the portal no longer accepts the sign-in"),
            Self::ExtensionLost => {
                f.write_str("the portal extended the sign-in, but its response was lost")
            }
            Self::TimedOut(uri) => write!(
                f,
                "no code arrived in time; the redirect URI {uri} must be registered at the portal"
            ),
            Self::NoCode => f.write_str("no code was given"),
            Self::NotACode => f.write_str(
                "what was given is not a code; the portal shows the code after the sign-in",
            ),
            Self::OtherUser { stored, signed_in } => write!(
                f,
                "`{signed_in}` signed in, but the connection belongs to `{stored}`"
            ),
            Self::VouchedForOther { stored, vouched } => write!(
                f,
                "the web server in front of the portal vouches for `{vouched}`, but the connection belongs to `{stored}`; nothing was stored"
            ),
            Self::MismatchedResponse => {
                f.write_str("the response belongs to another sign-in attempt")
            }
            Self::OtherPortal(host) => write!(
                f,
                "the response comes from `{host}`, which is not the portal of this connection"
            ),
            Self::EndedByPolicy(rule) => write!(
                f,
                "the sign-in has lasted as long as the policy of this machine allows ({rule})"
            ),
        }
    }
}

fn write_sign_in_needed(
    f: &mut fmt::Formatter<'_>,
    connection: &str,
    why: &SignInNeeded,
) -> fmt::Result {
    if *why == SignInNeeded::Never {
        return write!(f, "connection `{connection}` is not signed in");
    }
    write!(f, "sign-in needed for connection `{connection}`: {why}")
}

fn write_api_key(
    f: &mut fmt::Formatter<'_>,
    connection: &str,
    is_printed: bool,
    why: &ApiKeyProblem,
) -> fmt::Result {
    if is_printed && *why == ApiKeyProblem::Missing {
        return write!(
            f,
            "it is not stored whose API key the command of connection `{connection}` prints"
        );
    }
    write!(f, "the API key of connection `{connection}` {why}")
}

/// Completes "the API key of a connection".
impl fmt::Display for ApiKeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not stored"),
            Self::UnknownEnd => f.write_str("has no end that can be read"),
            Self::Expired(at) => write!(f, "expired on {}", rfc3339(*at)),
            Self::TooShort {
                expires_at,
                seconds_wanted,
            } => write!(
                f,
                "expires on {}, which is in less than the {seconds_wanted} seconds that are needed",
                rfc3339(*expires_at)
            ),
            Self::Refused => f.write_str(
                "is not accepted by the portal: it has expired, was revoked or deleted, or needs another Referer",
            ),
            Self::OtherUser { stored, given } => write!(
                f,
                "stays that of `{stored}`: the one that was given is that of `{given}`"
            ),
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
            KeychainReason::Timeout => write!(f, "{name} did not respond: {detail}"),
            KeychainReason::Lost => write!(f, "{name} has no usable item: {detail}"),
            KeychainReason::Mismatch => write!(f, "{name}: {detail}"),
            KeychainReason::Changed => f.write_str(detail),
            KeychainReason::Ambiguous => {
                write!(f, "{name} has several items of one name: {detail}")
            }
            KeychainReason::Denied => write!(f, "access to {name} is denied: {detail}"),
            KeychainReason::NoCollection => {
                write!(f, "{name} has no default collection: {detail}")
            }
            KeychainReason::NoKey => write!(f, "{name} has no usable key: {detail}"),
            KeychainReason::WrongKey => {
                write!(f, "no key that is present opens the {name}: {detail}")
            }
            KeychainReason::UnsafeKey => write!(f, "{name} needs a private key file: {detail}"),
            KeychainReason::Damaged => write!(f, "{name} is damaged: {detail}"),
            KeychainReason::Token | KeychainReason::Pin => {
                write!(f, "{name} cannot be used: {detail}")
            }
        }
    }
}

/// Completes "the command". Never what the command wrote.
impl fmt::Display for SecretCommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram(path) => write!(f, "is not there any more: `{}`", path.display()),
            Self::Unsafe { path, why, .. } => write!(
                f,
                "was not run, because other users could replace it or what it names: `{}` {why}",
                path.display()
            ),
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
            Self::Timeout(limit) => {
                write!(f, "did not end within {} seconds", limit.as_secs().max(1))
            }
            Self::Failed { status, .. } => write!(f, "failed ({status})"),
            Self::Output(why) => write!(f, "gave nothing that can be used: {why}"),
            Self::InAnotherProcess(how) => {
                write!(f, "{how}, in another process, for which this one waited")
            }
        }
    }
}

/// Is followed by the URL.
fn in_another_process(how: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "in another process, for which this one waited: {how}")
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("unknown host name"),
            Self::Connect(message) => write!(f, "cannot connect ({message})"),
            Self::Tls(failure) => write!(f, "TLS failed: {failure}"),
            Self::Proxy { proxy, what, .. } => write!(f, "the proxy {proxy} failed ({what})"),
            Self::Timeout => f.write_str("no response in time"),
            Self::Broken(message) => write!(f, "the connection was lost ({message})"),
            Self::BrokenAfterCertificateRequest { message, subject } => {
                write!(f, "the connection was lost ({message}) after the web server had asked for a client certificate")?;
                match subject {
                    Some(subject) => write!(f, " and got {subject}, which it may have rejected"),
                    None => f.write_str(", and there is none for it"),
                }
            }
            Self::Status { status, .. } => {
                write!(f, "the portal is not available now (HTTP {status})")
            }
            Self::Reported(message) => write!(f, "the portal is not available now ({message})"),
            Self::NotAPortal { status, title } => {
                write!(f, "no ArcGIS portal answers (HTTP {status}{})", Page(title))
            }
            Self::Redirected { status, to } => {
                f.write_str("the response redirects to another address ")?;
                status_to(*status, to.as_deref(), f)
            }
            Self::NetworkSignIn { status, to } => {
                f.write_str("the network in between asks for its own sign-in first ")?;
                status_to(*status, to.as_deref(), f)
            }
            Self::TooLarge => f.write_str("the response is larger than the limit"),
            Self::NoKdc => {
                f.write_str("no Kerberos server (KDC) answers, which Windows sign-in needs")
            }
            Self::InAnotherProcess(how) => in_another_process(how, f),
        }
    }
}

/// `(HTTP 302 to wifi.example)`.
fn status_to(status: u16, to: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match to {
        Some(to) => write!(f, "(HTTP {status} to {to})"),
        None => write!(f, "(HTTP {status})"),
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.fault.as_ref().map(|fault| fault.role);
        self.kind
            .describe(role.unwrap_or(CertificateRole::Server), f)
    }
}

impl fmt::Display for TlsFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(CertificateRole::Server, f)
    }
}

impl TlsFailureKind {
    fn describe(&self, role: CertificateRole, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match role {
            CertificateRole::Server => "the certificate",
            CertificateRole::Intermediate => "an intermediate certificate",
            CertificateRole::Authority => "the authority's certificate",
        };
        match self {
            Self::UnknownIssuer => f.write_str(
                "the certificate is signed by an authority that this machine does not trust",
            ),
            Self::IncompleteChain => f.write_str(
                "the server does not send the certificate of the authority that signed its own, and this machine does not trust that authority",
            ),
            Self::SelfSigned => f.write_str("the certificate is self-signed"),
            Self::WrongHost => f.write_str("the certificate is for another host name"),
            Self::NoName => f.write_str(
                "the certificate names no host (a common name alone does not count)",
            ),
            Self::Expired => write!(f, "{subject} has expired"),
            Self::NotYetValid => write!(
                f,
                "{subject} is not valid yet (is this machine's clock right?)"
            ),
            Self::Revoked => write!(f, "{subject} was revoked by its issuer"),
            Self::Distrusted => f.write_str(
                "this machine is set to refuse the certificate or its authority",
            ),
            Self::Algorithm(name) => {
                write!(f, "{subject} has {name}, which this program cannot verify")
            }
            Self::BadSignature => write!(
                f,
                "the signature of {subject} does not belong to the authority that it names"
            ),
            Self::NotAnAuthority => write!(
                f,
                "{subject} is not an authority's, but signed another certificate"
            ),
            Self::AuthorityAsServer => f.write_str(
                "the certificate is an authority's, and a server must not use it as its own",
            ),
            Self::UnknownRule => write!(
                f,
                "{subject} has a critical extension that this program does not know"
            ),
            Self::Purpose => write!(f, "{subject} was not issued for servers"),
            Self::NoCommonVersion => f.write_str("the server offers neither TLS 1.2 nor TLS 1.3"),
            Self::NeedsTls12 => f.write_str(
                "the server does not offer TLS 1.2, and the private key of the client certificate cannot sign as TLS 1.3 needs it (RSA-PSS)",
            ),
            Self::NoCommonCipher => f.write_str(
                "the server offers no cipher suite or key that this program can use",
            ),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWindows => f.write_str(
                "the client certificate is in the Windows certificate store, which this system does not have",
            ),
            Self::Unreadable(message) => {
                write!(f, "Windows does not open its certificate store: {message}")
            }
            Self::Gone { subject, renewed } => {
                write!(f, "the client certificate {subject} is no longer in the Windows certificate store")?;
                match renewed {
                    Some(renewed) => write!(
                        f,
                        "; a renewed one is there (ends {})",
                        day(&renewed.not_after)
                    ),
                    None => Ok(()),
                }
            }
            Self::Key { subject, why } => why.describe(subject, f),
        }
    }
}

/// Without the certificate, for a message that names it.
impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unattended => "a PIN or your consent is required, which cannot be asked for here",
            Self::Canceled => "the question was canceled",
            Self::NoCard => "the card or the device with the private key is not there",
            Self::WrongPin => "the PIN is wrong",
            Self::PinLocked => "the PIN is locked",
            Self::Missing => "the private key is not there, or cannot be opened",
            Self::Failed(message) => return write!(f, "the private key does not sign: {message}"),
        })
    }
}

impl KeyProblem {
    fn describe(&self, subject: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = format!("the private key of the client certificate {subject}");
        match self {
            Self::Unattended => write!(
                f,
                "{key} requires a PIN or your consent, which Windows cannot ask for here"
            ),
            Self::Canceled => write!(f, "{key} was not used, because the question was canceled"),
            Self::NoCard => write!(f, "{key} is on a card or a device that is not there"),
            Self::WrongPin => write!(f, "{key} was not used, because the PIN is wrong"),
            Self::PinLocked => write!(f, "{key} cannot be used, because its PIN is locked"),
            Self::Missing => write!(f, "{key} is not there, or cannot be opened"),
            Self::Failed(message) => write!(f, "{key} does not sign: {message}"),
        }
    }
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

impl fmt::Display for KerberosProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encryption => {
                "this machine and the Kerberos server (KDC) have no encryption type in common"
            }
            Self::Policy => "the policy of the Kerberos server (KDC) rejects the request",
            Self::Reply => "the reply of the Kerberos server (KDC) is not what was asked for",
            Self::Clock => {
                "the clocks of this machine and of the Kerberos server (KDC) differ too much"
            }
            Self::ServiceInvalid => {
                "the web server's account in the domain has expired or is disabled"
            }
            Self::AccountExpired => "the account or its password has expired",
            Self::AccountDisabled => "the account is disabled or locked",
            Self::Realm => "its configuration does not name the realm of the web server",
        })
    }
}

impl fmt::Display for WindowsSignInFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTicket => f.write_str(
                "there is no Kerberos ticket for the Windows sign-in of the web server in front of the portal",
            ),
            Self::TicketExpired => f.write_str(
                "the Kerberos ticket for the Windows sign-in of the web server in front of the portal has expired",
            ),
            Self::OtherPrincipal { expected, found } => write!(
                f,
                "the Windows sign-in of this connection is that of {expected}, and the Kerberos ticket here is that of {found}; nothing was sent"
            ),
            Self::UnknownService(service) => write!(
                f,
                "Kerberos does not know the web server in front of the portal ({service})"
            ),
            Self::NoProgram(program) => write!(
                f,
                "the program `{program}`, which Windows sign-in needs, is missing on this machine"
            ),
            Self::CurlWithoutKerberos => f.write_str(
                "the program `curl` of this machine was built without Kerberos (GSS-API), which Windows sign-in needs",
            ),
            Self::CurlTooOld => f.write_str(
                "the program `curl` of this machine is too old for Windows sign-in: it cannot sign in at a Unix socket (`--unix-socket`)",
            ),
            Self::ProgramHangs(program) => write!(
                f,
                "the program `{program}`, which Windows sign-in needs, did not end in time"
            ),
            Self::NoFolder { path, why } => write!(
                f,
                "Windows sign-in needs a private folder for a moment, and {path} cannot be used: {why}"
            ),
            Self::UnreadablePrincipal(principal) => write!(
                f,
                "the Kerberos ticket here is of `{principal}`, which is not a name that this program can use; nothing was sent"
            ),
            Self::Kerberos(problem) => write!(
                f,
                "Kerberos made no token for the Windows sign-in of the web server in front of the portal: {problem}"
            ),
            Self::NotKerberos => f.write_str(
                "the system answers the Windows sign-in of the web server in front of the portal with another kind of token than Kerberos (NTLM), which is not used; nothing was sent",
            ),
            Self::UnknownPrincipal => f.write_str(
                "Windows does not say for which account it made the Kerberos token for the web server in front of the portal; nothing was sent",
            ),
            Self::Unsupported => {
                f.write_str("this version cannot answer Windows sign-in on this platform")
            }
            Self::NoToken => f.write_str(
                "Kerberos made no token for the Windows sign-in of the web server in front of the portal",
            ),
            Self::Rejected {
                principal,
                service,
                schemes,
            } => {
                write!(
                    f,
                    "the web server in front of the portal did not accept the Windows sign-in of {principal} (Kerberos, {service})"
                )?;
                if schemes.iter().any(|scheme| scheme == "NTLM") {
                    f.write_str("; it also offers NTLM, which is not used")?;
                }
                Ok(())
            }
        }
    }
}

/// What follows the name of the certificate; nothing where the server gives no reason.
impl fmt::Display for CertificateRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => ": it has expired",
            Self::Revoked => ": it was revoked",
            Self::UnknownAuthority => ": it does not trust the authority that issued it",
            Self::Unsaid => "",
        })
    }
}

const APPLICATION_REFUSED: &str = "the portal does not let this application sign people in";

const ERROR_IN_PLACE_OF_A_CODE: &str = "the portal reports an error in place of a code";

const NOT_VOUCHED: &str =
    "the portal gives no token to the user whom the web server in front of it vouches for";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId => f.write_str("the portal does not know this client ID"),
            Self::ClientSecret => f.write_str("the portal does not accept this client secret"),
            Self::PrintedClientSecret(command) => write!(
                f,
                "the portal does not accept this client secret, which the command `{command}` printed,"
            ),
            Self::RedirectUri(uri) => {
                write!(f, "the portal does not accept the redirect URI {uri}")
            }
            Self::Application(message) => write!(f, "{APPLICATION_REFUSED}: {message}"),
            Self::SignIn(message) => write!(f, "{ERROR_IN_PLACE_OF_A_CODE}: {message}"),
            Self::Code(message) => write!(f, "the portal does not accept this code: {message}"),
            Self::Denied => f.write_str("the sign-in was declined"),
            Self::Privilege => f.write_str("the portal denies permission"),
            Self::Server(message) => write!(
                f,
                "the portal does not issue tokens for this server ({message})"
            ),
            Self::FreshToken => f.write_str("the portal rejects a token that it has just issued"),
            Self::Network(message) => write!(f, "{NOT_VOUCHED}: {message}"),
            Self::WebTier(schemes) => {
                f.write_str("the web server in front of the portal requires its own sign-in")?;
                if schemes.is_empty() {
                    return f.write_str(" (HTTP 401)");
                }
                write!(f, " ({})", schemes.join(", "))
            }
            Self::ClientCertificate => {
                f.write_str("the web server in front of the portal asks for a client certificate")
            }
            Self::LateClientCertificate => f.write_str(
                "the web server in front of the portal asks for a client certificate only after it has read the request, when this program cannot present one",
            ),
            Self::RejectedClientCertificate {
                subject,
                not_after,
                why,
            } => write!(
                f,
                "the web server in front of the portal rejected the client certificate {subject} (ends {}){why}",
                day(not_after)
            ),
            Self::PrivateKey { subject, why } => why.describe(subject, f),
            Self::WindowsSignIn(why) => why.fmt(f),
            Self::SignInPage { host, title } => {
                f.write_str("the web server in front of the portal requires its own sign-in")?;
                match (host, title) {
                    (Some(host), _) => write!(f, " (at {host})"),
                    (None, Some(title)) => write!(f, " (page `{title}`)"),
                    (None, None) => Ok(()),
                }
            }
            Self::Forbidden { title } => write!(
                f,
                "the web server or a firewall in front of the portal denies access (HTTP 403{})",
                Page(title)
            ),
            Self::UnexpectedAnswer { status, title } => match status {
                404 | 405 | 410 => {
                    write!(f, "there is nothing to call (HTTP {status}{})", Page(title))
                }
                _ => write!(
                    f,
                    "the answer is not a JSON object (HTTP {status}{})",
                    Page(title)
                ),
            },
            Self::Other { code, text } => {
                write!(f, "the portal refused: {text}")?;
                match code {
                    Some(code) => write!(f, " (code {code})"),
                    None => Ok(()),
                }
            }
            Self::InAnotherProcess(how) => in_another_process(how, f),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortalUrl => "portal URL",
            Self::ApiUrl => "API URL",
            Self::AuthType => "auth type",
            Self::Label => "label",
            Self::Other(name) => name,
        })
    }
}

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write | Self::WriteOutput => "write",
            Self::Create => "create",
            Self::Append => "append to",
            Self::Rotate => "rotate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Overwrite => "overwrite",
            Self::Lock => "lock",
            Self::Restrict => "restrict access to",
            Self::ReadAccessList => "read the access list of",
            Self::Locate => "locate",
        })
    }
}
