//! What a connection presents to the web server in front of its portal: the client certificate, and
//! whose Windows sign-in it answers with.

#[cfg(feature = "cli")]
use std::sync::Arc;

use super::records::{keychain_error, mismatch};
#[cfg(feature = "cli")]
use super::Session;
use super::Snapshot;
use crate::binding::{differences, Binding};
#[cfg(feature = "cli")]
use crate::connection::Connection;
use crate::connection::Principal;
use crate::context::Context;
use crate::error::Result;
use crate::http::Presented;
use crate::item_kind::ItemKind;
use crate::keychain::Item;
#[cfg(feature = "cli")]
use crate::secret::Secret;

const KIND: ItemKind = ItemKind::Binding;

impl Snapshot {
    /// What the web server gets to see.
    pub(crate) fn presented(&self, context: &Context) -> Result<Presented> {
        Ok(Presented {
            certificate: self.client_certificate(context)?,
            windows: self.windows_sign_in()?,
        })
    }

    /// As whom Windows sign-in is answered; `None` where it is not. The answer itself is made by
    /// Kerberos, so that no secret of the keychain says whom it is for: the keychain's record of
    /// the settings does. Settings that a person did not choose are an error.
    pub(crate) fn windows_sign_in(&self) -> Result<Option<Principal>> {
        let Some(principal) = self.web_tier.principal() else {
            return Ok(None);
        };
        let label = self.label.as_str();
        let record = self
            .secrets
            .get(&Item::of(self, KIND))
            .map_err(|error| keychain_error(label, error, KIND))?;
        let stored = record.as_ref().and_then(Binding::from_record);
        let settings = differences(stored.as_ref(), self.binding());
        if settings.is_empty() {
            return Ok(Some(principal.clone()));
        }
        let keychain = self.secrets.name();
        let error = mismatch(keychain, stored.as_ref(), self.binding(), settings);
        Err(keychain_error(label, error, KIND))
    }
}

#[cfg(feature = "cli")]
impl Session {
    /// What the web server gets to see of the connection as it was when the session began.
    pub(crate) fn presented(&self) -> Result<Presented> {
        self.opened.presented(&self.context)
    }

    /// The value of `Authorization` for the next request that another program sends to the portal;
    /// `None` where the connection answers no Windows sign-in. Before a request with a body, the
    /// web server has to let this session in.
    pub(crate) fn authorization_for_another_program(
        &self,
        has_body: bool,
    ) -> Result<Option<Secret>> {
        self.opened
            .http(&self.context)?
            .authorization_for_another_program(has_body)
            .map_err(|error| error.about(self.opened.label.as_str()))
    }

    /// Whether the connection as it is stored now has other settings that decide where secrets go.
    pub(crate) fn is_outdated(&self, now: &Connection) -> bool {
        let now = Snapshot::new(now.clone(), Arc::clone(&self.keychain));
        !differences(Some(self.opened.binding()), now.binding()).is_empty()
    }

    /// As whom the connection answers Windows sign-in.
    pub(crate) fn windows_sign_in(&self) -> Result<Option<Principal>> {
        self.opened.windows_sign_in()
    }
}
