//! What `connections import --json` prints.

use super::{json_object, Time, Word, Words};
use crate::util::enum_with_words;

json_object! {
    /// One connection or profile that was found.
    pub(crate) struct ImportAnswer {
        /// The new connection's label; `null` if no connection was made.
        pub(crate) connection: Option<String>,
        /// Its ID; `null` if no connection was made.
        pub(crate) id: Option<String>,
        /// The ID in the old store, or the name of the profile.
        pub(crate) legacy_id: String,
        /// The portal's URL; `null` if no connection was made.
        pub(crate) portal_url: Option<String>,
        /// `user` or `app`; `null` if no connection was made.
        pub(crate) auth_type: Option<&'static str>,
        /// The client ID of the registered application; `null` if no connection was made.
        pub(crate) client_id: Option<String>,
        /// The old store's folder, or the file of profiles; `null` if the import failed.
        pub(crate) source: Option<String>,
        /// What was done; with `--dry-run`, what would be done.
        pub(crate) outcome: Word<ImportOutcome>,
        /// What became of the sign-in; `null` if no connection was made.
        pub(crate) sign_in: Option<Word<ImportedSignIn>>,
        /// When the sign-in expires; `null` if there is none, or that is not known.
        pub(crate) refresh_expires_at: Option<Time>,
        /// Whether the plaintext of the old store was deleted.
        pub(crate) plaintext_deleted: bool,
        /// The portal's page where the owner of the application resets the client secret that was
        /// in plaintext; `null` if there was none.
        pub(crate) client_secret_page: Option<String>,
        /// What could not be imported as it was.
        pub(crate) notes: Vec<String>,
    }
}

impl ImportAnswer {
    /// Something that did not become a connection.
    pub(crate) fn without_connection(legacy_id: &str, outcome: ImportOutcome) -> Self {
        Self {
            connection: None,
            id: None,
            legacy_id: legacy_id.to_owned(),
            portal_url: None,
            auth_type: None,
            client_id: None,
            source: None,
            outcome: Word(outcome),
            sign_in: None,
            refresh_expires_at: None,
            plaintext_deleted: false,
            client_secret_page: None,
            notes: Vec::new(),
        }
    }
}

enum_with_words! {
    /// What was done with one connection of the old store.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum ImportOutcome {
        Imported = "imported",
        Finished = "finished",
        Forgotten = "forgotten",
        Skipped = "skipped",
        Failed = "failed",
        WouldImport = "would_import",
        WouldFinish = "would_finish",
        WouldForget = "would_forget",
    }
}

impl Words for ImportOutcome {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |outcome| match outcome {
            Self::Imported => "there is a new connection",
            Self::Finished => "an interrupted import was finished",
            Self::Forgotten => "only its name was left; it was removed from the old index",
            Self::Skipped => "the profile has no client ID",
            Self::Failed => "it was not imported; standard error says why",
            Self::WouldImport | Self::WouldFinish | Self::WouldForget => {
                "the same, with `--dry-run`"
            }
        };
        let all = Self::ALL.iter();
        all.map(|outcome| (outcome.word(), meaning(*outcome)))
            .collect()
    }
}

enum_with_words! {
    /// What became of the sign-in of an imported connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum ImportedSignIn {
        Application = "application",
        Needed = "needed",
        Imported = "imported",
        Extended = "extended",
    }
}

impl Words for ImportedSignIn {
    fn word(self) -> &'static str {
        self.as_str()
    }

    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)> {
        let meaning = |sign_in| match sign_in {
            Self::Application => "an application needs no sign-in",
            Self::Needed => "a person must sign in",
            Self::Imported => "it was imported; copies of the old refresh token remain valid",
            Self::Extended => {
                "it was imported and extended; copies of the old refresh token are invalid"
            }
        };
        let all = Self::ALL.iter();
        all.map(|sign_in| (sign_in.word(), meaning(*sign_in)))
            .collect()
    }
}
