//! From a path to an endpoint, and from an endpoint to the function that answers.

use super::authorize;
use super::content;
use super::faults::Endpoint;
use super::federated;
use super::fixture::{Location, State};
use super::http::{Request, Response};
use super::oauth;
use super::pages;
use super::rest;

/// The endpoint of a request, and the rest of the path where the endpoint has one.
pub struct Route {
    pub endpoint: Endpoint,
    tail: String,
}

/// Finds the endpoint of a request that came to `origin`. The host of the server serves only
/// servers.
pub fn find(place: &Location, origin: &str, request: &Request) -> Route {
    let path = request.path.as_str();
    for (prefix, endpoint) in [
        ("/server/", Endpoint::Federated),
        ("/standalone/", Endpoint::Standalone),
    ] {
        if let Some(tail) = path.strip_prefix(prefix) {
            return Route {
                endpoint,
                tail: tail.trim_end_matches('/').to_owned(),
            };
        }
    }
    place
        .inside(origin, path)
        .map_or_else(unknown, |inside| inside_portal(inside, request))
}

fn unknown() -> Route {
    Route {
        endpoint: Endpoint::Unknown,
        tail: String::new(),
    }
}

fn inside_portal(path: &str, request: &Request) -> Route {
    if path == "/home" || path.starts_with("/home/") {
        return Route {
            endpoint: Endpoint::Home,
            tail: String::new(),
        };
    }
    // `/sharing/oauth2/…` answers as `/sharing/rest/oauth2/…` does, with or without a slash at the
    // end.
    let Some(path) = path
        .strip_prefix("/sharing")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    else {
        return unknown();
    };
    let path = path
        .strip_prefix("/rest")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path);
    let path = path.trim_matches('/');
    let endpoint = match path {
        "" => Endpoint::Root,
        "info" => Endpoint::Info,
        "portals/self" => Endpoint::PortalSelf,
        "portals/self/servers" => Endpoint::Servers,
        "portals/self/users" => Endpoint::Users,
        "community/self" => Endpoint::CommunitySelf,
        "search" => Endpoint::Search,
        "generateToken" => Endpoint::GenerateToken,
        "oauth2/authorize" => Endpoint::Authorize,
        "oauth2/signin" => Endpoint::SignIn,
        "oauth2/approval" => Endpoint::Approval,
        "oauth2/token" => grant(request),
        "oauth2/revokeToken" => Endpoint::Revoke,
        _ if path.starts_with("servers/") => {
            return Route {
                endpoint: Endpoint::PortalLayer,
                tail: path.to_owned(),
            }
        }
        _ if path.starts_with("content/items/") && path.ends_with("/data") => Endpoint::ItemData,
        _ if path.starts_with("content/items/") => Endpoint::Item,
        _ if path.starts_with("content/groups/") => Endpoint::GroupContent,
        _ if path.starts_with("community/groups/") => Endpoint::Group,
        _ if path.starts_with("content/users/") && path.ends_with("/addItem") => Endpoint::AddItem,
        _ if path.starts_with("community/users/") => Endpoint::User,
        _ if path.starts_with("oauth2/apps/") => Endpoint::RegisteredApp,
        _ => Endpoint::Unknown,
    };
    let tail = path.rsplit('/').next().unwrap_or_default().to_owned();
    Route { endpoint, tail }
}

fn grant(request: &Request) -> Endpoint {
    match request.param("grant_type") {
        Some("authorization_code") => Endpoint::Code,
        Some("refresh_token") => Endpoint::Refresh,
        Some("exchange_refresh_token") => Endpoint::Exchange,
        Some("client_credentials") => Endpoint::AppToken,
        _ => Endpoint::OtherGrant,
    }
}

/// Processes the request.
pub fn answer(state: &mut State, route: &Route, origin: &str, request: &Request) -> Response {
    let tail = route.tail.as_str();
    match route.endpoint {
        Endpoint::Authorize => authorize::authorize(state, request),
        Endpoint::SignIn => authorize::sign_in(state, request),
        Endpoint::Approval => authorize::approval(request),
        Endpoint::Revoke => oauth::revoke(state, request),
        Endpoint::GenerateToken => oauth::generate(state, request),
        Endpoint::Root => rest::root(state, request),
        Endpoint::Info => rest::info(state, request),
        Endpoint::PortalSelf => rest::portal_self(state, request),
        Endpoint::Servers => rest::servers(state, request),
        Endpoint::Users => content::users(state, request),
        Endpoint::CommunitySelf => rest::community_self(state, request),
        Endpoint::User => rest::community_user(state, request, tail),
        Endpoint::Group => content::group(state, request, tail),
        Endpoint::Search => content::search(state, request),
        Endpoint::GroupContent => content::of_group(state, request, tail),
        Endpoint::Item => content::item(state, request, tail),
        Endpoint::ItemData => rest::item_data(state, request),
        Endpoint::AddItem => rest::add_item(state, request),
        Endpoint::RegisteredApp => rest::registered_app(state, request, tail),
        Endpoint::Home => Response::html(200, pages::home(&state.rules.org_name)),
        Endpoint::PortalLayer => rest::portal_layer(state, request, tail),
        Endpoint::Federated => federated::server(state, request, origin, tail),
        Endpoint::Standalone => federated::standalone(state, request, tail),
        token if token.is_token() => oauth::token(state, request),
        _ => Response::html(404, pages::not_found()),
    }
}
