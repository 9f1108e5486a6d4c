//! Everything that the program prints as JSON: one type per `--json` answer, for errors, warnings
//! and the log. `docs/json.md` and the names that the Python package uses are generated from these
//! types (see `generate.rs`); a test fails when they differ.

mod answers;
#[cfg(test)]
mod generate;
// With everything else about the predecessor; a child of this module, so that the macros reach it.
#[cfg(feature = "migrate")]
#[path = "../../migrate/command/json.rs"]
mod import;
mod words;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::format::json_text;
use crate::util::rfc3339;

pub(crate) use answers::{
    known, CheckAnswer, ConnectionAnswer, DoctorAnswer, ErrorBody, ErrorLine, Identity, InfoAnswer,
    LogLine, LoginAnswer, LoginStarted, LogoutAnswer, PresentedAnswer, RefreshAnswer, ShowAnswer,
    StatusAnswer, StoredFacts, TokenAnswer, WarningLine, WhoamiAnswer,
};
#[cfg(feature = "migrate")]
pub(crate) use import::{ImportAnswer, ImportOutcome, ImportedSignIn};
pub(crate) use words::{LogDecision, Severity, SignInState};

/// Raised when a field is renamed or removed, or changes its meaning. New fields do not raise it.
const FORMAT_VERSION: u8 = 1;

/// An answer as it is printed, with the version at its end.
#[derive(Serialize)]
struct Versioned<'a, T> {
    #[serde(flatten)]
    body: &'a T,
    format_version: u8,
}

impl<'a, T> Versioned<'a, T> {
    fn new(body: &'a T) -> Self {
        Self {
            body,
            format_version: FORMAT_VERSION,
        }
    }
}

/// One answer on one line.
pub(super) fn object<T: Serialize>(body: &T) -> String {
    line(&Versioned::new(body))
}

/// Several answers as one array on one line; each has its own version.
pub(super) fn array<T: Serialize>(bodies: &[T]) -> String {
    line(&bodies.iter().map(Versioned::new).collect::<Vec<_>>())
}

/// A line without a version: a warning.
pub(super) fn line<T: Serialize>(value: &T) -> String {
    // Serialising fails only for maps with keys that are not text; these types have none.
    json_text(&serde_json::to_string(value).unwrap_or_default())
}

/// A moment: RFC 3339, UTC.
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

/// A type whose values are a fixed set of words in JSON.
pub(crate) trait Words: Copy + 'static {
    fn word(self) -> &'static str;

    /// Every word with its meaning, for the documentation.
    #[cfg(test)]
    fn all() -> Vec<(&'static str, &'static str)>;
}

/// One of a fixed set of words.
pub(crate) struct Word<T>(pub(crate) T);

impl<T: Words> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

/// Declares the type of a JSON object. The comments of its fields are their description in
/// `docs/json.md`; that of a field which may be `null` says when it is.
macro_rules! json_object {
    (
        $(#[doc = $about:literal])+
        pub(crate) struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde($($serde:tt)+)])?
                pub(crate) $field:ident: $type:ty,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(serde::Serialize)]
        pub(crate) struct $name $(<$life>)? {
            $(
                $(#[doc = $doc])*
                $(#[serde($($serde)+)])?
                pub(crate) $field: $type,
            )+
        }

        #[cfg(test)]
        impl $(<$life>)? $crate::cli::json::generate::JsonType for $name $(<$life>)? {
            fn name() -> String {
                "object".into()
            }

            fn about() -> String {
                concat!($($about),+).trim().to_owned()
            }

            fn fields() -> Vec<$crate::cli::json::generate::Field> {
                let mut fields = Vec::new();
                $(
                    $crate::cli::json::generate::Field::add::<$type>(
                        &mut fields,
                        stringify!($field),
                        concat!($($doc),*),
                        concat!($(stringify!($($serde)+))?),
                    );
                )+
                fields
            }
        }
    };
}

use json_object;
