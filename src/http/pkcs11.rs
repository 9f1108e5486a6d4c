//! Client certificates on PKCS#11 tokens, where this program can load a token's library.

use super::client_certificate::ClientCertificate;
use super::client_certificate_file::ClientCertificateError;
use crate::connection::Pkcs11Uri;
use crate::context::Context;
use crate::secret::Secret;

/// Whether a person is there who can enter a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attended {
    /// A person chooses the certificate now, and can enter the PIN again.
    Choosing,
    /// The stored PIN is used, and a person is there who can enter one at the reader.
    Yes,
    /// The stored PIN is used, by what runs by itself.
    No,
}

impl ClientCertificate {
    /// The certificate at this address, whose private key signs on its token.
    ///
    /// A token locks itself after a few wrong PINs, so that a stored PIN is not tried where one was
    /// wrong before, and no PIN where only one attempt is left. Where a person chooses the
    /// certificate, the token has to prove that it has the private key.
    pub fn on_token(
        uri: &Pkcs11Uri,
        pin: Option<&Secret>,
        attended: Attended,
        context: &Context,
    ) -> Result<Self, ClientCertificateError> {
        #[cfg(all(unix, not(target_env = "musl")))]
        let read = super::pkcs11_token::read_in_time(uri, pin, attended, context);
        #[cfg(not(all(unix, not(target_env = "musl"))))]
        let read = {
            let _ = (uri, pin, attended, context);
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
