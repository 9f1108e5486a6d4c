//! How the command line reads a kind of keychain.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::connection::KeychainKind;

/// Parses the word after `--keychain`. Help and completions list every kind with its description.
pub(in crate::cli) fn keychain_kind() -> impl TypedValueParser<Value = KeychainKind> {
    let values = KeychainKind::ALL
        .iter()
        .map(|kind| PossibleValue::new(kind.as_str()).help(kind.description()));
    PossibleValuesParser::new(values).try_map(|word| word.parse::<KeychainKind>())
}
