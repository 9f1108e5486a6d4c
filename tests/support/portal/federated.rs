//! ArcGIS Servers: one federated with the portal (`/server`), one not federated (`/standalone`).

use serde_json::json;

use super::features;
use super::fixture::{Access, Bearer, State};
use super::http::{Request, Response};
use super::maps;
use super::oauth;
use super::pages;
use super::rest::{forbidden, referer_allowed, sent_token};

/// A request to `/server/…` that came to `origin`; `path` is what follows.
pub fn server(state: &mut State, request: &Request, origin: &str, path: &str) -> Response {
    let root = format!("{origin}/server");
    match path {
        "rest/info" => Response::json(&info(state, Some(&root))),
        _ if path.starts_with("rest/services") => {
            if !state.rules.federated.contains(&root) && sent_token(request).is_some() {
                state
                    .log
                    .violation("rule 24: a token was sent to a server that is not federated");
            }
            service(state, request, &root, path)
        }
        _ => Response::html(404, pages::not_found()),
    }
}

fn service(state: &mut State, request: &Request, root: &str, path: &str) -> Response {
    if path.contains("/Public/") {
        return Response::json(&json!({"currentVersion": 11.4, "serviceDescription": "Public"}));
    }
    let Some(token) = sent_token(request) else {
        return error(499, "Token Required");
    };
    let service = path.strip_prefix("rest/services/").unwrap_or_default();
    let good = state
        .live_access(token)
        .filter(|access| accepts(state, access, root))
        .filter(|access| referer_allowed(state, access, request))
        .map(granted_for);
    match good {
        None => error(498, "Invalid Token"),
        Some(_) if path.contains("/Restricted/") => forbidden(),
        Some(_) if service.starts_with(features::SERVICE) => {
            features::answer(&mut state.rules.roads, request, service)
        }
        Some(_) if service.starts_with(maps::SERVICE) || service.starts_with(maps::IMAGES) => {
            maps::answer(request, service)
        }
        Some(granted_for) => Response::json(&json!({
            "currentVersion": 11.4,
            "serviceDescription": "Practice service",
            "grantedFor": granted_for,
        })),
    }
}

fn accepts(state: &State, access: &Access, root: &str) -> bool {
    match &access.bearer {
        Bearer::Server { server, .. } => server == root,
        Bearer::User { .. } | Bearer::App | Bearer::Network { .. } => {
            state.rules.direct_federated && state.rules.federated.iter().any(|one| one == root)
        }
    }
}

/// The kind of token that opened the service, for tests.
fn granted_for(access: &Access) -> &'static str {
    match access.bearer {
        Bearer::Server { .. } => "server",
        Bearer::User { .. } => "user",
        Bearer::App => "app",
        Bearer::Network { .. } => "network",
    }
}

/// A request to `/standalone/…`. It must never see one of the portal's tokens.
pub fn standalone(state: &mut State, request: &Request, path: &str) -> Response {
    if sent_token(request).is_some_and(|token| state.issued.accesses.contains_key(token)) {
        state
            .log
            .violation("rule 24: an access token was sent to a server that is not federated");
    }
    match path {
        "rest/info" => Response::json(&info(state, None)),
        _ if path.starts_with("rest/services") => error(499, "Token Required"),
        _ => Response::html(404, pages::not_found()),
    }
}

fn info(state: &State, federated_root: Option<&str>) -> serde_json::Value {
    let alone = format!("{}/standalone/tokens/", state.place.origin);
    let mut body = json!({
        "currentVersion": 11.4,
        "fullVersion": "11.4.0",
        "authInfo": {
            "isTokenBasedSecurity": true,
            "tokenServicesUrl": alone,
            "shortLivedTokenValidity": 60,
        },
    });
    if federated_root.is_some() {
        body["owningSystemUrl"] = json!(state.place.portal());
        body["authInfo"]["tokenServicesUrl"] =
            json!(format!("{}/generateToken", state.place.rest()));
    }
    body
}

/// Servers write their errors slightly differently from the portal: without a full stop.
fn error(code: u16, message: &str) -> Response {
    oauth::portal_error(code, message)
}
