//! Client certificates on PKCS#11 tokens, where this program can load a token's library.

use super::client_certificate::ClientCertificate;
use super::client_certificate_file::ClientCertificateError;
use crate::connection::Pkcs11Uri;
use crate::context::Context;
use crate::secret::Secret;

/// Which PIN opens a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinUse {
    /// A person chooses the certificate now, and can enter the PIN again.
    Choosing,
    /// The stored PIN is used, or the one that a person enters at the reader.
    Attended,
    /// The stored PIN is used, by what runs by itself.
    Unattended,
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
        pin_use: PinUse,
        context: &Context,
    ) -> Result<Self, ClientCertificateError> {
        #[cfg(all(unix, not(target_env = "musl")))]
        let read = super::pkcs11_token::read_in_time(uri, pin, pin_use, context);
        #[cfg(not(all(unix, not(target_env = "musl"))))]
        let read = {
            let _ = (uri, pin, pin_use, context);
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
