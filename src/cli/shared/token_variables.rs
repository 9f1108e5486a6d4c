//! The variables that `export-env` prints and `exec` sets: one table for both.

use std::time::Duration;

use crate::cli::format::verify_ssl;
use crate::cli::shell::Variable;
use crate::connection::Connection;
use crate::env;
use crate::session::{TokenRequest, UsableToken};
use crate::token::MinTtl;
use crate::util::rfc3339;

/// What the names begin with unless `--prefix` says otherwise.
pub(in crate::cli) const PREFIX: &str = "ARCGIS_";

/// The names behind the prefix, in the order of the documentation.
const NAMES: [&str; 8] = [
    "PORTAL_URL",
    "HOST",
    "TOKEN",
    "TOKEN_EXPIRES_AT",
    "TOKEN_EXPIRES_EPOCH",
    "USERNAME",
    "REFERER",
    "VERIFY_SSL",
];

/// Left out where another prefix was asked for.
const CONNECTION: &str = env::AGE_OAUTH_CONNECTION;

/// Who gets a token into an environment keeps it for a while: half of the granted life unless asked otherwise.
pub(in crate::cli) fn want(min_ttl: Option<Duration>) -> TokenRequest {
    TokenRequest {
        explicit: min_ttl.is_some(),
        ..TokenRequest::lasting(
            min_ttl.map_or(MinTtl::HalfOfGranted, crate::cli::shared::duration::min_ttl),
        )
    }
}

/// All variables of the table; those that do not apply have no value.
pub(in crate::cli) fn of(
    connection: &Connection,
    issued: &UsableToken,
    prefix: Option<&str>,
) -> Vec<Variable> {
    let expires = issued.access.expires_at;
    let values = [
        Some(connection.portal.as_str().to_owned()),
        Some(connection.portal.as_str().to_owned()),
        Some(issued.access.secret.expose().to_owned()),
        Some(rfc3339(expires)),
        Some(expires.as_second().to_string()),
        issued.username.clone(),
        connection.referer.clone(),
        Some(verify_ssl(&connection.tls)),
    ];
    named(prefix, values, Some(connection.label.to_string()))
}

/// The same without any value.
pub(in crate::cli) fn unset(prefix: Option<&str>) -> Vec<Variable> {
    named(prefix, NAMES.map(|_| None), None)
}

/// Names the connection by its id, which is always plain.
pub(in crate::cli) fn name_by_id(variables: &mut [Variable], connection: &Connection) {
    for variable in variables {
        if variable.name == CONNECTION {
            variable.value = Some(connection.id.to_string());
        }
    }
}

fn named(
    prefix: Option<&str>,
    values: [Option<String>; NAMES.len()],
    connection: Option<String>,
) -> Vec<Variable> {
    let mut variables: Vec<_> = NAMES
        .iter()
        .zip(values)
        .map(|(name, value)| Variable {
            name: format!("{}{name}", prefix.unwrap_or(PREFIX)),
            value,
        })
        .collect();
    if prefix.is_none() {
        variables.push(Variable {
            name: CONNECTION.into(),
            value: connection,
        });
    }
    variables
}
