//! The environment variables that `export-env` prints and `exec` sets.

use std::time::Duration;

use ring::digest::{Context, SHA256};

use crate::cli::format::verify_ssl;
use crate::cli::shell::Variable;
use crate::connection::Connection;
use crate::env;
use crate::policy::{MinTtl, ENVIRONMENT_MIN_TTL};
use crate::session::{TokenRequest, UsableToken};
use crate::util::{hex, rfc3339};

/// The default of `--prefix`.
pub(in crate::cli) const PREFIX: &str = env::TOKEN_PREFIX;

/// The names after the prefix, in the order of the documentation.
const NAMES: [&str; 8] = env::TOKEN_VARIABLES;

/// Not set if `--prefix` is given.
const CONNECTION: &str = env::AGE_OAUTH_CONNECTION;

/// The request for a token that goes to an environment, where a script keeps it for a while.
pub(in crate::cli) fn token_request(min_ttl: Option<Duration>) -> TokenRequest {
    TokenRequest {
        explicit: min_ttl.is_some(),
        ..TokenRequest::lasting(min_ttl.map_or(ENVIRONMENT_MIN_TTL, MinTtl::at_least))
    }
}

/// All variables; those that do not apply to the connection have no value.
pub(in crate::cli) fn values(
    connection: &Connection,
    token: &UsableToken,
    prefix: Option<&str>,
) -> Vec<Variable> {
    let expires = token.access.expires_at;
    let values = [
        Some(connection.api_url().as_str().to_owned()),
        Some(connection.api_url().as_str().to_owned()),
        Some(token.access.secret.expose().to_owned()),
        Some(rfc3339(expires)),
        Some(expires.as_second().to_string()),
        token.username.clone(),
        connection.sent_referer().map(str::to_owned),
        Some(verify_ssl(&connection.tls)),
    ];
    named(prefix, values, Some(connection.label.to_string()))
}

/// All variables, without values.
pub(in crate::cli) fn unset(prefix: Option<&str>) -> Vec<Variable> {
    named(prefix, NAMES.map(|_| None), None)
}

/// Names the connection by its ID, which every shell can carry.
pub(in crate::cli) fn name_by_id(variables: &mut [Variable], connection: &Connection) {
    for variable in variables {
        if variable.name == CONNECTION {
            variable.value = Some(connection.id.to_string());
        }
    }
}

/// The names of the token, its end and its epoch.
pub(in crate::cli) fn token_names(prefix: Option<&str>) -> [String; 3] {
    ["TOKEN", "TOKEN_EXPIRES_AT", "TOKEN_EXPIRES_EPOCH"]
        .map(|name| format!("{}{name}", prefix.unwrap_or(PREFIX)))
}

/// A digest of what the statements of PowerShell say about the token, which they get themselves:
/// the portal at both of its addresses, the client ID and the user.
pub(in crate::cli) fn identity_digest(connection: &Connection, username: Option<&str>) -> String {
    let portal = connection.browser_url().as_str();
    let api = connection.api_url().as_str();
    let mut context = Context::new(&SHA256);
    for part in [
        Some(portal),
        Some(api),
        Some(&connection.client_id),
        username,
    ] {
        // The length keeps the parts apart; an application differs from an empty user name.
        let length = part.map_or_else(|| "none".to_owned(), |part| part.len().to_string());
        context.update(format!("{length}:").as_bytes());
        context.update(part.unwrap_or_default().as_bytes());
    }
    hex(context.finish().as_ref())
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
