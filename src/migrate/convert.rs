//! What a connection of the old store becomes: every setting checked as if a person had typed it,
//! with a note on each that cannot be used.

use jiff::{SignedDuration, Timestamp};
use unicode_normalization::UnicodeNormalization;

use super::note::Note;
use super::package_connection::{PackageConnection, PackageRefreshToken, Verify};
use super::plan::{Migration, NewConnection};
use crate::binding::Binding;
use crate::connection::{
    fold, is_control, Connection, ConnectionId, Grant, Label, PortalUrl, RedirectUri, Tls,
};
use crate::error::{Error, Result};
use crate::manage::{check_client_id, check_referer, read_ca};
use crate::policy::{APPLICATION_DEFAULT_LIFE, ASSUMED_ACCESS_LIFE, LONGEST_ACCESS_LIFE};
use crate::session::this_machine;
use crate::token::is_sendable;
use crate::token::{AccessToken, RefreshToken, Tokens};

/// A refresh token whose age was not noted (0.1.x) is taken to be at least this old, so that it is
/// extended soon.
const ASSUMED_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Migration<'_> {
    pub(super) fn new_connection(
        &mut self,
        mut old: PackageConnection,
        in_place: bool,
        id_taken: bool,
    ) -> Result<NewConnection> {
        let mut notes = Vec::new();
        let label = self.label(&old.label, &old.id, &mut notes)?;
        let mut connection = Connection::new(
            label,
            portal(&old)?,
            grant(&old, &mut notes),
            client_id(&old)?,
        );
        let id = old.id.parse::<ConnectionId>().ok();
        match id.filter(|_| !self.options.keep_plaintext && !id_taken) {
            Some(id) => connection.id = id,
            None => connection.legacy_id = Some(old.id.clone()),
        }
        if id_taken {
            notes.push(Note::NewId(old.id.clone()));
        }
        let ca = self.trust(&old, &mut connection, &mut notes);
        connection.referer = old.referer.as_deref().and_then(|text| {
            let checked = check_referer(text).ok();
            if checked.is_none() {
                notes.push(Note::LeftOut("its Referer", "it is not plain text".into()));
            }
            checked
        });
        connection.keychain = self.options.keychain;
        self.context.machine_policy.check_connection(&connection)?;
        connection.tags.clone_from(&old.tags);
        connection.created_at = old.created_at.or_else(|| Some(self.context.now()));
        connection.last_used_at = old.last_used_at;
        connection.status.username.clone_from(&old.username);
        let tokens = if self.options.keep_plaintext {
            None
        } else {
            let binding = Binding::of(&connection, ca.as_deref());
            self.tokens(&mut old, &connection, binding, &mut notes)
        };
        if let Some(tokens) = &tokens {
            note_sign_in(&mut connection, tokens);
        }
        let in_place = in_place && connection.id.as_str() == old.id;
        Ok(NewConnection {
            connection,
            old,
            ca,
            tokens,
            in_place,
            notes,
        })
    }

    /// A label that is free: the old one, else with a number behind it.
    pub(super) fn label(
        &mut self,
        old: &str,
        instead: &str,
        notes: &mut Vec<Note>,
    ) -> Result<Label> {
        let mut number = 1;
        loop {
            let label = fit_label(old, instead, number)?;
            let free = !self.planned.contains(&label.folded()) && self.is_free(&label)?;
            if free {
                self.planned.insert(label.folded());
                if label.folded() != fold(old) {
                    notes.push(Note::Relabeled(old.to_owned()));
                }
                return Ok(label);
            }
            number += 1;
        }
    }

    fn is_free(&self, label: &Label) -> Result<bool> {
        match self.store.check_free(label) {
            Ok(()) => Ok(true),
            Err(Error::NameTaken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the connection the certificates that the package trusted, and returns those of its
    /// own.
    fn trust(
        &self,
        old: &PackageConnection,
        connection: &mut Connection,
        notes: &mut Vec<Note>,
    ) -> Option<Vec<u8>> {
        let file = match &old.verify {
            Verify::True => return None,
            Verify::False => {
                connection.tls = Tls::Unverified;
                notes.push(Note::Unverified);
                return None;
            }
            Verify::File(file) => self.context.environment.expand(file),
        };
        match read_ca(&file, self.context.deadline) {
            Ok(pem) => {
                connection.tls = Tls::Ca(self.store.ca_path(&connection.id));
                connection.ca_source = Some(file.display().to_string());
                Some(pem.into_bytes())
            }
            Err(error) => {
                notes.push(Note::NoCertificates(match error {
                    Error::Invalid { why, .. } => why,
                    other => other.to_string(),
                }));
                None
            }
        }
    }

    /// The record that the plaintext's tokens become.
    pub(super) fn tokens(
        &self,
        old: &mut PackageConnection,
        connection: &Connection,
        binding: Binding,
        notes: &mut Vec<Note>,
    ) -> Option<Tokens> {
        let now = self.context.now();
        let mut tokens = Tokens::new(binding);
        tokens.username.clone_from(&old.username);
        let usual_life = if old.application {
            APPLICATION_DEFAULT_LIFE
        } else {
            ASSUMED_ACCESS_LIFE
        };
        if let Some(access) = old.access.take() {
            let left = access.expires_at.duration_since(now);
            if is_sendable(&access.secret) && left.is_positive() && left <= LONGEST_ACCESS_LIFE {
                // The package does not note when it was issued, but that was not later than now.
                let begun = access.expires_at.checked_sub(usual_life).unwrap_or(now);
                tokens.set_access_token(AccessToken {
                    secret: access.secret,
                    issued_at: begun.min(now),
                    expires_at: access.expires_at,
                });
            }
        }
        if let Some(refresh) = &old.refresh {
            if is_sendable(&refresh.secret) {
                tokens.refresh = Some(RefreshToken {
                    secret: refresh.secret.duplicate(),
                    issued_at: issued_at(refresh, connection.created_at, now),
                    expires_at: None,
                });
            } else {
                notes.push(Note::LeftOut("its sign-in", "it is damaged".into()));
            }
        }
        (tokens.access.is_some() || tokens.refresh.is_some()).then_some(tokens)
    }
}

fn unusable(old: &PackageConnection, why: impl Into<String>) -> Error {
    Error::Corrupt {
        path: old.env_path(),
        why: why.into(),
    }
}

pub(crate) fn portal(old: &PackageConnection) -> Result<PortalUrl> {
    let Some(text) = &old.portal_url else {
        return Err(unusable(
            old,
            "the portal is missing (PORTAL_URL); add that line and import again, or add the connection with: age-oauth connections add",
        ));
    };
    text.parse()
        .map_err(|error: Error| unusable(old, format!("PORTAL_URL: {error}")))
}

pub(crate) fn client_id(old: &PackageConnection) -> Result<String> {
    let Some(text) = &old.client_id else {
        return Err(unusable(
            old,
            "the client ID is missing (OAUTH_CLIENT_ID); add that line and import again, or add the connection with: age-oauth connections add",
        ));
    };
    check_client_id(text).map_err(|error| unusable(old, format!("OAUTH_CLIENT_ID: {error}")))
}

pub(crate) fn grant(old: &PackageConnection, notes: &mut Vec<Note>) -> Grant {
    if old.application {
        return Grant::Application;
    }
    let redirect_uri = old.redirect_uri.as_deref().map(str::parse);
    Grant::User {
        redirect_uri: match redirect_uri {
            None => RedirectUri::OutOfBand,
            Some(Ok(uri)) => uri,
            Some(Err(error)) => {
                notes.push(Note::LeftOut("its redirect URI", error.to_string()));
                RedirectUri::OutOfBand
            }
        },
        pkce: true,
    }
}

/// When the refresh token was issued, or a cautious guess.
fn issued_at(
    refresh: &PackageRefreshToken,
    created_at: Option<Timestamp>,
    now: Timestamp,
) -> Timestamp {
    let guess = now.checked_sub(ASSUMED_AGE).unwrap_or(now);
    refresh
        .issued_at
        .unwrap_or_else(|| created_at.map_or(guess, |at| at.max(guess)))
        .min(now)
}

/// Copies what `status` shows into the connection.
pub(super) fn note_sign_in(connection: &mut Connection, tokens: &Tokens) {
    let status = &mut connection.status;
    status.access_expires_at = tokens.access.as_ref().map(|access| access.expires_at);
    if let Some(refresh) = &tokens.refresh {
        status.signed_in_at = Some(refresh.issued_at);
        status.refresh_issued_at = Some(refresh.issued_at);
        status.refresh_expires_at = Some(refresh.known_or_assumed_expiry());
        status.machine = Some(this_machine());
        status.username = tokens.username.clone().or(status.username.take());
    }
}

/// A valid label made of any text: without control characters, of allowed length, with a number
/// behind it unless that is 1.
pub(crate) fn fit_label(text: &str, instead: &str, number: usize) -> Result<Label> {
    let clean: String = text
        .nfc()
        .map(|c| if is_control(c) { ' ' } else { c })
        .collect();
    let clean = match clean.trim() {
        "" => instead,
        clean => clean,
    };
    let suffix = if number == 1 {
        String::new()
    } else {
        format!(" ({number})")
    };
    let room = Label::MAX_CHARS - suffix.chars().count();
    let cut: String = clean.chars().take(room).collect();
    format!("{}{suffix}", cut.trim_end()).parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    #[test]
    fn labels_are_made_to_fit() {
        let fit = |text: &str, number| fit_label(text, "id_1", number).unwrap().to_string();
        assert_eq!(fit(" My Portal ", 1), "My Portal");
        assert_eq!(fit("Prod", 2), "Prod (2)");
        assert_eq!(fit("a\u{1b}[31mb\n", 1), "a [31mb");
        assert_eq!(fit("", 1), "id_1");
        assert_eq!(fit(&"é".repeat(80), 1).chars().count(), 64);
        assert_eq!(fit(&"é".repeat(80), 12).chars().count(), 64);
    }

    #[test]
    fn a_refresh_token_is_never_from_the_future_and_soon_extended() {
        let now: Timestamp = "2026-06-30T12:00:00Z".parse().unwrap();
        let at = |days: i64| now - SignedDuration::from_hours(24 * days);
        let noted = |issued_at| PackageRefreshToken {
            secret: Secret::new("x".into()),
            issued_at,
        };
        assert_eq!(issued_at(&noted(Some(at(3))), Some(at(90)), now), at(3));
        assert_eq!(issued_at(&noted(Some(at(-3))), None, now), now);
        assert_eq!(issued_at(&noted(None), Some(at(2)), now), at(2));
        assert_eq!(issued_at(&noted(None), Some(at(90)), now), at(7));
        assert_eq!(issued_at(&noted(None), None, now), at(7));
    }

    proptest! {
        #[test]
        fn any_label_can_be_made_to_fit(text in "\\PC{0,100}", control in "[\\x00-\\x1f\u{202e}é ]{0,9}", number in 1_usize..2000) {
            for text in [&text, &control, &format!("{control}{text}")] {
                prop_assert!(fit_label(text, "id_1", number).is_ok(), "{:?}", text);
            }
        }
    }
}
