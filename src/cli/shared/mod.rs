//! What several commands share: groups of arguments, and helpers.

pub(super) mod api_key;
pub(super) mod api_url;
pub(super) mod certificate_store;
pub(super) mod client_certificate;
pub(super) mod connection_changes;
pub(super) mod connection_fields;
pub(super) mod connection_name;
pub(super) mod connection_table;
pub(super) mod connection_text;
pub(super) mod current_shell;
pub(super) mod duration;
pub(super) mod help;
pub(super) mod keychain_kind;
pub(super) mod logon;
pub(super) mod redirect_uris;
pub(super) mod registration;
pub(super) mod secret_command;
pub(super) mod secret_file;
mod secret_words;
pub(super) mod token_variables;
pub(super) mod trust;
pub(super) mod web_tier;
