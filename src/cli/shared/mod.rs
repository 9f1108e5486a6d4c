//! What several commands share.

pub(super) mod connection_fields;
pub(super) mod token_variables;
