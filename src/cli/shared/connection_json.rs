//! A connection as `list`, `show` and `use` print it with `--json`.

use serde_json::{json, Value};

use crate::cli::format::verify_ssl;
use crate::connection::{Connection, Grant};
use crate::util::rfc3339;

pub(in crate::cli) fn as_json(connection: &Connection, default: Option<&str>) -> Value {
    let status = &connection.status;
    let (redirect_uri, pkce) = match &connection.grant {
        Grant::User { redirect_uri, pkce } => (Some(redirect_uri.as_str()), Some(*pkce)),
        Grant::Application => (None, None),
    };
    json!({
        "id": connection.id.as_str(),
        "label": connection.label.as_str(),
        "portal_url": connection.portal.as_str(),
        "auth_type": connection.grant.as_str(),
        "client_id": connection.client_id,
        "redirect_uri": redirect_uri,
        "pkce": pkce,
        "referer": connection.referer,
        "verify_ssl": verify_ssl(&connection.tls),
        "proxy": connection.proxy.as_str(),
        "keychain": connection.keychain.as_str(),
        "tags": connection.tags,
        "created_at": connection.created_at.map(rfc3339),
        "last_used_at": connection.last_used_at.map(rfc3339),
        "username": status.username,
        "signed_in_at": status.signed_in_at.map(rfc3339),
        "refresh_issued_at": status.refresh_issued_at.map(rfc3339),
        "signed_in_until": status.refresh_expires_at.map(rfc3339),
        "extendable": status.extendable,
        "access_expires_at": status.access_expires_at.map(rfc3339),
        "last_failure": status.last_failure,
        "machine": status.machine,
        "default": default == Some(connection.id.as_str()),
        "format_version": 1,
    })
}
