//! Client certificates on PKCS#11 tokens, where this program can load a token's library.

use super::client_certificate::ClientCertificate;
use super::client_certificate_file::ClientCertificateError;
use crate::connection::Pkcs11Uri;
use crate::context::{Attended, Environment};
use crate::secret::Secret;

impl ClientCertificate {
    /// The certificate at this address, whose private key signs on its token.
    ///
    /// A token locks itself after a few wrong PINs, so that a stored PIN is not tried where one was
    /// wrong before, and no PIN where only one attempt is left.
    pub fn on_token(
        uri: &Pkcs11Uri,
        pin: Option<&Secret>,
        attended: Attended,
        environment: &Environment,
    ) -> Result<Self, ClientCertificateError> {
        #[cfg(all(unix, not(target_env = "musl")))]
        let read = super::pkcs11_token::read(uri, pin, attended, environment);
        #[cfg(not(all(unix, not(target_env = "musl"))))]
        let read = {
            let _ = (uri, pin, attended, environment);
            let why = if cfg!(windows) {
                "this version uses PKCS#11 tokens on Linux and macOS only"
            } else {
                "this program is static, and cannot load the library of a token; use the one for glibc"
            };
            Err(ClientCertificateError::Unusable(why.to_owned()))
        };
        read
    }
}
