//! Why a private key that this program does not hold did not sign, on its way through the TLS
//! library.

use std::fmt;
use std::sync::Arc;

use rustls::OtherError;

use crate::error::KeyProblem;

/// The cause that the TLS library passes on.
#[derive(Debug)]
pub(super) struct KeyFailure(KeyProblem);

impl fmt::Display for KeyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the private key did not sign")
    }
}

impl std::error::Error for KeyFailure {}

/// What a signer returns to the TLS library. A static program has no such signer.
#[cfg_attr(target_env = "musl", allow(dead_code))]
pub(super) fn key_failure(why: KeyProblem) -> rustls::Error {
    rustls::Error::Other(OtherError(Arc::new(KeyFailure(why))))
}

/// Why the key did not sign, if that is why TLS failed.
pub(super) fn key_problem(error: &rustls::Error) -> Option<&KeyProblem> {
    let rustls::Error::Other(OtherError(cause)) = error else {
        return None;
    };
    Some(&cause.downcast_ref::<KeyFailure>()?.0)
}
