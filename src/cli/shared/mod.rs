//! What several commands share.

pub(super) mod connection_fields;
pub(super) mod keychain_kind;
pub(super) mod token_variables;
