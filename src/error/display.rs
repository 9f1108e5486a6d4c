//! The texts of the errors, and the errors that caused them.

use std::fmt;

use super::{
    Error, FileAction, KeychainError, KeychainReason, Refusal, SignInNeeded, TlsFailureKind,
    Unreachable,
};

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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { action, path, .. } => write!(f, "cannot {action} `{}`", path.display()),
            Self::Corrupt { path, why } => {
                write!(f, "`{}` is not valid: {why}", path.display())
            }
            Self::Listen { address, .. } => write!(f, "cannot listen on `{address}`"),
            Self::Random => {
                f.write_str("the random number generator of the operating system failed")
            }
            Self::Invalid { what, why } => write!(f, "{what}: {why}"),
            Self::SignInNeeded { connection, why } => {
                if *why == SignInNeeded::Never {
                    return write!(f, "connection `{connection}` is not signed in");
                }
                write!(f, "sign-in needed for connection `{connection}`: {why}")
            }
            Self::NoConnection {
                wanted: Some(wanted),
                ..
            } => write!(f, "no connection `{wanted}`"),
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
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Listen { source, .. } => Some(source),
            Self::Random
            | Self::Corrupt { .. }
            | Self::Invalid { .. }
            | Self::SignInNeeded { .. }
            | Self::NoConnection { .. }
            | Self::NameTaken { .. }
            | Self::Ambiguous { .. }
            | Self::Keychain { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Busy { .. } => None,
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
            Self::OtherUser { stored, signed_in } => write!(
                f,
                "`{signed_in}` signed in, but the connection belongs to `{stored}`"
            ),
            Self::MismatchedResponse => {
                f.write_str("the response belongs to another sign-in attempt or another portal")
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
            KeychainReason::Timeout => write!(f, "{name} did not respond: {detail}"),
            KeychainReason::Lost => write!(f, "{name} has no usable item: {detail}"),
            KeychainReason::Mismatch => {
                write!(f, "{name} has an item for other settings: {detail}")
            }
            KeychainReason::Changed => f.write_str(detail),
            KeychainReason::Ambiguous => {
                write!(f, "{name} has several items of one name: {detail}")
            }
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("unknown host name"),
            Self::Connect(message) => write!(f, "cannot connect ({message})"),
            Self::Tls(failure) => write!(f, "TLS failed: {}", failure.kind),
            Self::Proxy { proxy, what, .. } => write!(f, "the proxy {proxy} failed ({what})"),
            Self::Timeout => f.write_str("no response in time"),
            Self::Broken(message) => write!(f, "the connection was lost ({message})"),
            Self::Status(status) => write!(f, "the portal is not available now (HTTP {status})"),
            Self::NotAPortal { status, title } => {
                write!(f, "no ArcGIS portal answers (HTTP {status}")?;
                if let Some(title) = title {
                    write!(f, ", page `{title}`")?;
                }
                f.write_str(")")
            }
            Self::Redirected { status, to } => {
                write!(
                    f,
                    "the response redirects to another address (HTTP {status}"
                )?;
                if let Some(to) = to {
                    write!(f, " to {to}")?;
                }
                f.write_str(")")
            }
            Self::TooLarge => f.write_str("the response is larger than the limit"),
        }
    }
}

impl fmt::Display for TlsFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => {
                "the certificate is signed by an authority that this machine does not trust"
            }
            Self::SelfSigned => "the certificate is self-signed",
            Self::WrongHost => "the certificate is for another host name",
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => {
                "the certificate is not valid yet (is this machine's clock right?)"
            }
            Self::Revoked => "the certificate was revoked by its issuer",
            Self::Other(message) => message,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId => f.write_str("the portal does not know this client ID"),
            Self::ClientSecret => f.write_str("the portal does not accept this client secret"),
            Self::RedirectUri => f.write_str("the portal does not accept this redirect URI"),
            Self::Code(message) => write!(f, "the portal does not accept this code: {message}"),
            Self::Denied => f.write_str("the sign-in was declined"),
            Self::Privilege => f.write_str("the portal denies permission"),
            Self::Server(message) => write!(
                f,
                "the portal does not issue tokens for this server ({message})"
            ),
            Self::FreshToken => f.write_str("the portal rejects a token that it has just issued"),
            Self::WebTier(schemes) => write!(
                f,
                "the web server in front of the portal requires its own sign-in ({})",
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

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
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
