//! A failed renewal, as it is recorded for the processes that waited for its result.

use jiff::Timestamp;

/// That a renewal failed, for the processes that waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalFailureNote {
    /// When it failed.
    pub at: Timestamp,
    /// The machine that it failed on: another one may reach the portal.
    pub machine: String,
    /// What failed.
    pub failure: RenewalFailure,
    /// How, in one line, without what a command for a secret wrote.
    pub how: String,
}

/// What failed in a renewal, where that counts for the processes that waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalFailure {
    /// The command for the client secret.
    SecretCommand,
    /// The portal was not reached.
    Unreachable(FailedRequest),
    /// The portal, or a firewall in front of it, refused the request.
    Refused(FailedRequest),
}

/// A request without the answer that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedRequest {
    /// The URL, without query.
    pub url: String,
    /// The proxy on its way, without user name and password; `None` where there was none.
    pub proxy: Option<String>,
}
