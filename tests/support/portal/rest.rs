//! The parts of the sharing API that a client with tokens reads, and which token a request carries.

use serde_json::{json, Value};

use super::features;
use super::fixture::{Access, Bearer, State};
use super::http::{Request, Response};
use super::items::{self, ORGANIZATION};
use super::maps;
use super::oauth::portal_error;
use super::pages;
use super::rules::{App, User};

/// Who is asking.
pub enum Caller {
    Anonymous,
    Known(Access),
    /// A token that is not valid here: unknown, expired, revoked, or with the wrong `Referer`.
    Refused,
}

/// The token of a request, from every place where ArcGIS accepts one: its own header, the standard
/// header, form, query.
pub fn sent_token(request: &Request) -> Option<&str> {
    let bearer = |name| {
        request
            .header(name)
            .and_then(|value| value.strip_prefix("Bearer "))
    };
    bearer("x-esri-authorization")
        .or_else(|| bearer("authorization"))
        .or_else(|| request.param("token"))
}

/// Who is asking the portal itself; a server token is not valid here.
pub fn caller(state: &State, request: &Request) -> Caller {
    let Some(token) = sent_token(request) else {
        return Caller::Anonymous;
    };
    match state.live_access(token) {
        Some(access) if !matches!(access.bearer, Bearer::Server { .. }) => {
            if referer_allowed(state, access, request) {
                Caller::Known(access.clone())
            } else {
                Caller::Refused
            }
        }
        _ => Caller::Refused,
    }
}

/// Whether the request's `Referer` is one that the token's app allows, or that the token is bound
/// to.
pub fn referer_allowed(state: &State, access: &Access, request: &Request) -> bool {
    let allowed = state
        .rules
        .app(&access.client_id)
        .map_or(&[][..], |app| &app.http_referrers);
    let sent = request.header("referer").unwrap_or_default();
    if let Bearer::Network { referer, .. } = &access.bearer {
        return sent == referer;
    }
    allowed.is_empty() || allowed.iter().any(|pattern| referer_matches(pattern, sent))
}

fn referer_matches(pattern: &str, sent: &str) -> bool {
    let (pattern, sent) = (pattern.trim_end_matches('/'), sent.trim_end_matches('/'));
    match pattern.split_once("*.") {
        Some((scheme, domain)) => {
            let host = sent
                .strip_prefix(scheme)
                .and_then(|rest| rest.split(['/', ':']).next());
            host.is_some_and(|host| host.ends_with(&format!(".{domain}")))
        }
        None => sent == pattern || sent.starts_with(&format!("{pattern}/")),
    }
}

/// 499: a token is needed.
pub fn token_required() -> Response {
    Response::json(&json!({"error": {
        "code": 499, "message": "Token Required", "messageCode": "GWM_0003", "details": ["Token Required"],
    }}))
}

/// 498: the token is not good. From 11.1 on with two details, whose wording is invented.
pub fn invalid_token(state: &State) -> Response {
    let details = if state.rules.enterprise_version.is_some() {
        json!([
            "The token has expired or is not valid; request a new one.",
            "A token that is bound to a referrer needs the referrer header.",
        ])
    } else {
        json!([])
    };
    Response::json(
        &json!({"error": {"code": 498, "message": "Invalid Token.", "details": details}}),
    )
}

/// 403: rights are missing, whatever the token.
pub fn forbidden() -> Response {
    portal_error(
        403,
        "You do not have permissions to access this resource or perform this operation.",
    )
}

/// A resource of the directory: JSON if requested, otherwise its HTML page without content.
pub fn directory(
    state: &mut State,
    request: &Request,
    answer: impl FnOnce(&mut State) -> Response,
) -> Response {
    if request.wants_json() {
        return answer(state);
    }
    state
        .log
        .violation(format!("protocol 1.4: {} without `f=json`", request.path));
    Response::html(200, pages::directory(&request.path))
}

/// `[root]`.
pub fn root(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| {
        let mut body = json!({"currentVersion": state.rules.current_version});
        if let Some(version) = &state.rules.enterprise_version {
            body["enterpriseVersion"] = json!(version);
            body["enterpriseBuild"] = json!("54827");
        }
        Response::json(&body)
    })
}

/// `[root]/info`.
pub fn info(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| {
        let portal = claimed(state);
        Response::json(&json!({
            "owningSystemUrl": portal,
            "authInfo": {
                "tokenServicesUrl": format!("{portal}/sharing/rest/generateToken"),
                "isTokenBasedSecurity": true,
            },
        }))
    })
}

/// The URL that the portal reports for itself, which a rule can make wrong.
fn claimed(state: &State) -> String {
    match &state.rules.names_host {
        Some(host) => format!("https://{host}{}", state.place.context),
        None => state.place.portal(),
    }
}

/// `[root]/portals/self`: user and app, app alone, or neither.
pub fn portal_self(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| match caller(state, request) {
        Caller::Refused => invalid_token(state),
        Caller::Anonymous if state.rules.private => token_required(),
        Caller::Anonymous => Response::json(&portal_body(state)),
        Caller::Known(access) => Response::json(&portal_seen_by(state, &access)),
    })
}

/// `[root]/portals/self/servers`: the federated servers, for those who are signed in.
pub fn servers(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| match caller(state, request) {
        Caller::Anonymous => token_required(),
        Caller::Refused => invalid_token(state),
        Caller::Known(_) => {
            let all = state.rules.federated.iter().zip(1..);
            let servers: Vec<_> = all
                .map(|(url, number)| {
                    json!({
                        "id": format!("server{number}"),
                        "name": format!("server {number}"),
                        "url": url,
                        "adminUrl": url,
                        "isHosted": number == 1,
                        "serverType": "ArcGIS",
                        "serverRole": "FEDERATED_SERVER",
                    })
                })
                .collect();
            Response::json(&json!({ "servers": servers }))
        }
    })
}

fn portal_seen_by(state: &State, access: &Access) -> Value {
    let mut body = portal_body(state);
    body["maxTokenExpirationMinutes"] = json!(state.rules.max_token_minutes.map_or(-1, i64::from));
    if let Some(app) = state.rules.app(&access.client_id) {
        body["appInfo"] = app_info(app);
    }
    if let Some(user) = user_of(state, access) {
        body["user"] = user_body(state, user);
    }
    body
}

fn portal_body(state: &State) -> Value {
    let host = claimed(state);
    let host = host
        .trim_start_matches("https://")
        .trim_end_matches(&state.place.context);
    let online = state.rules.online;
    let mut body = json!({
        "id": ORGANIZATION,
        "name": state.rules.org_name,
        "portalName": if online { "ArcGIS Online" } else { "ArcGIS Enterprise" },
        "portalMode": if online { "multitenant" } else { "singletenant" },
        "isPortal": !online,
        "currentVersion": state.rules.current_version,
        "portalHostname": format!("{host}{}", state.place.context),
        "supportsOAuth": true,
        "allSSL": true,
        "access": if state.rules.private { "private" } else { "public" },
        "maxTokenExpirationMinutes": -1,
        "authorizedCrossOriginDomains": [],
        "helperServices": {},
    });
    if online {
        body["urlKey"] = json!("practice");
        body["customBaseUrl"] = json!("maps.arcgis.com");
    } else {
        body["portalDeploymentType"] = json!("ArcGISEnterprise");
    }
    body
}

fn app_info(app: &App) -> Value {
    json!({
        "appId": app.client_id,
        "itemId": app.item_id,
        "appTitle": app.title,
        "appOwner": app.owner,
        "orgId": ORGANIZATION,
        "privileges": ["portal:user:viewOrgItems"],
    })
}

/// The user of an access token.
pub fn user_of<'a>(state: &'a State, access: &Access) -> Option<&'a User> {
    match &access.bearer {
        Bearer::User { username, .. } | Bearer::Network { username, .. } => {
            state.rules.user(username)
        }
        Bearer::App | Bearer::Server { .. } => None,
    }
}

/// What a member of the organization sees of a user.
pub fn user_body(state: &State, user: &User) -> Value {
    let mut body = public_user(user);
    for (key, value) in [
        ("email", json!(user.email)),
        ("role", json!(user.role)),
        ("roleId", json!(user.role)),
        ("orgId", json!(ORGANIZATION)),
        (
            "privileges",
            json!(["portal:user:createItem", "portal:user:viewOrgItems"]),
        ),
        ("groups", json!(items::groups_of(&state.rules, user))),
        ("userType", json!("arcgisonly")),
        ("level", json!("2")),
    ] {
        body[key] = value;
    }
    body
}

fn public_user(user: &User) -> Value {
    json!({"username": user.username, "fullName": user.full_name, "access": "org"})
}

/// `[root]/community/self`: the user. What an app token gets is not documented; this body is
/// invented.
pub fn community_self(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| match caller(state, request) {
        Caller::Anonymous => token_required(),
        Caller::Refused => invalid_token(state),
        Caller::Known(access) => match user_of(state, &access) {
            Some(user) => Response::json(&user_body(state, user)),
            None => portal_error(400, "User does not exist or is inaccessible."),
        },
    })
}

/// `[root]/community/users/{username}`, the name still percent-encoded.
pub fn community_user(state: &mut State, request: &Request, encoded: &str) -> Response {
    let decoded =
        url::form_urlencoded::parse(format!("u={}", encoded.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, name)| name.into_owned())
            .unwrap_or_default();
    directory(state, request, |state| {
        let seen = caller(state, request);
        let user = state.rules.user(&decoded);
        match (seen, user) {
            (Caller::Refused, _) => invalid_token(state),
            (_, None) => portal_error(400, "User does not exist or is inaccessible."),
            (Caller::Anonymous, Some(user)) => Response::json(&public_user(user)),
            (Caller::Known(access), Some(user)) => {
                let own = user_of(state, &access).is_some_and(|me| me.username == user.username);
                Response::json(&if own {
                    user_body(state, user)
                } else {
                    public_user(user)
                })
            }
        }
    })
}

/// `[root]/content/items/{id}/data`: the data of the item, for signed-in users.
pub fn item_data(state: &mut State, request: &Request) -> Response {
    match caller(state, request) {
        Caller::Anonymous => token_required(),
        Caller::Refused => invalid_token(state),
        Caller::Known(_) => Response::new(
            200,
            "application/octet-stream",
            state.rules.item_data.clone(),
        ),
    }
}

/// `[root]/content/users/{user}/addItem`: a multipart form with a file, whose facts are returned.
pub fn add_item(state: &mut State, request: &Request) -> Response {
    match caller(state, request) {
        Caller::Anonymous => return token_required(),
        Caller::Refused => return invalid_token(state),
        Caller::Known(_) => {}
    }
    let kind = request.header("content-type").unwrap_or_default();
    let Some(boundary) = kind.strip_prefix("multipart/form-data; boundary=") else {
        return portal_error(400, "Item type is required");
    };
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    let named = |name: &str| {
        let part = parts
            .iter()
            .find(|part| part.contains(&format!("name=\"{name}\"")))?;
        let (_, content) = part.split_once("\r\n\r\n")?;
        content.strip_suffix("\r\n").map(str::to_owned)
    };
    Response::json(&json!({
        "success": body.ends_with("--\r\n"), "id": "33333333", "title": named("title"), "file": named("file"), "f": named("f"),
    }))
}

/// `/sharing/servers/{id}/rest/services/…`: a service that is stored in the portal with its
/// credentials, and reached through the portal.
pub fn portal_layer(state: &mut State, request: &Request, path: &str) -> Response {
    match caller(state, request) {
        Caller::Anonymous => token_required(),
        Caller::Refused => invalid_token(state),
        Caller::Known(_) => {
            let (_, service) = path.split_once("/rest/services/").unwrap_or_default();
            if service.starts_with(maps::SERVICE) || service.starts_with(maps::IMAGES) {
                maps::answer(request, service)
            } else {
                features::answer(&mut state.rules.roads, request, service)
            }
        }
    }
}

/// `[root]/oauth2/apps/{client_id}`: the registration, for its owner.
pub fn registered_app(state: &mut State, request: &Request, client_id: &str) -> Response {
    directory(state, request, |state| {
        let access = match caller(state, request) {
            Caller::Anonymous => return token_required(),
            Caller::Refused => return invalid_token(state),
            Caller::Known(access) => access,
        };
        let Some(app) = state.rules.app(client_id) else {
            return portal_error(400, "Invalid client_id");
        };
        match user_of(state, &access) {
            Some(user) if user.username == app.owner => Response::json(&registration(app)),
            _ => forbidden(),
        }
    })
}

fn registration(app: &App) -> Value {
    json!({
        "itemId": app.item_id,
        "client_id": app.client_id,
        "client_secret": app.secret,
        "appType": "multiple",
        "redirect_uris": app.redirect_uris,
        "httpReferrers": app.http_referrers,
        "registered": 1_700_000_000_000_i64,
        "modified": 1_700_000_000_000_i64,
        "privileges": [],
    })
}
