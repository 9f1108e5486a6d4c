//! The token endpoints: `oauth2/token`, `oauth2/revokeToken` and `generateToken`.
//!
//! Errors come with HTTP status 200, as ArcGIS sends them. Bodies marked *invented* are not
//! documented; a client must not depend on their text.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine as _;
use ring::digest;
use serde_json::{json, Value};

use super::fixture::{Authorization, Bearer, Challenge, Refresh, RefreshState, State};
use super::http::{Request, Response};
use super::pages;
use super::rules::{SecretCheck, OOB, VOUCHED_BY};

/// An error of the token endpoint (envelope A).
struct Refusal {
    code: u16,
    error: &'static str,
    text: String,
}

type Answer = Result<Value, Refusal>;

fn refuse(code: u16, text: &str) -> Refusal {
    Refusal {
        code,
        error: "invalid_request",
        text: text.to_owned(),
    }
}

fn not_specified(parameter: &str) -> Refusal {
    refuse(400, &format!("{parameter} not specified"))
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self::json(&json!({"error": {
            "code": refusal.code,
            "error": refusal.error,
            "error_description": refusal.text,
            "message": refusal.text,
            "details": [],
        }}))
    }
}

/// `oauth2/token`: always JSON, whether or not `f` asks for it.
pub fn token(state: &mut State, request: &Request) -> Response {
    check_form(state, request, "token");
    add_sent_secrets(state, request);
    let before = (spent_count(state), retries_left(state, request));
    let answer = grant(state, request);
    let grants = matches!(&answer, Ok(body) if body["access_token"].is_string());
    let mut response = answer.map_or_else(Response::from, |body| Response::json(&body));
    response.grants = grants;
    // The answer to a retry can be lost, too.
    let retried = retries_left(state, request) < before.1;
    if spent_count(state) > before.0 || retried {
        response.spent = request.param("refresh_token").map(str::to_owned);
    }
    response
}

fn grant(state: &mut State, request: &Request) -> Answer {
    let grant = request
        .param("grant_type")
        .ok_or_else(|| not_specified("grant_type"))?;
    let client_id = client(state, request)?;
    match grant {
        "authorization_code" => code(state, request, &client_id),
        "refresh_token" => refresh(state, request, &client_id),
        "exchange_refresh_token" if state.rules.exchange => exchange(state, request, &client_id),
        "client_credentials" => client_credentials(state, request, &client_id),
        "suspend_session" => Ok(json!({"success": true})),
        "password" => {
            state.log.violation("rule 18: password grant");
            Err(refuse(400, "Unsupported grant_type"))
        }
        // Invented, like the response of a portal without exchange.
        _ => Err(refuse(400, "Unsupported grant_type")),
    }
}

/// Requires POST with the content type of a form.
fn check_form(state: &mut State, request: &Request, endpoint: &str) {
    if request.method != "POST" {
        state.log.violation(format!(
            "rule 17: {} on the {endpoint} endpoint",
            request.method
        ));
    } else if !request.is_form() {
        state.log.violation(format!(
            "protocol 3: {endpoint} request without the form content type"
        ));
    }
    // The web tier may use this header; client authentication must not be sent in it.
    if request.header("authorization").is_some() && state.rules.basic.is_none() {
        state.log.violation(format!(
            "protocol 3: {endpoint} request with an `Authorization` header"
        ));
    }
    if !request.wants_json() {
        state
            .log
            .violation(format!("protocol 3: {endpoint} request without `f=json`"));
    }
}

/// Secrets that are sent here must not occur elsewhere.
fn add_sent_secrets(state: &mut State, request: &Request) {
    for name in ["client_secret", "code_verifier", "refresh_token"] {
        if let Some(value) = request.form.get(name) {
            state.log.add_secret(value);
        }
    }
}

fn spent_count(state: &State) -> usize {
    let all = state.issued.refreshes.values();
    all.filter(|refresh| refresh.fate == RefreshState::Spent)
        .count()
}

/// How often the refresh token of the request may still be sent although it is spent.
fn retries_left(state: &State, request: &Request) -> u32 {
    let sent = request.param("refresh_token");
    let held = sent.and_then(|text| state.issued.refreshes.get(text));
    held.map_or(0, |held| held.retries_allowed)
}

fn client(state: &State, request: &Request) -> Result<String, Refusal> {
    let client_id = request
        .param("client_id")
        .ok_or_else(|| not_specified("client_id"))?;
    if state.rules.app(client_id).is_none() {
        return Err(Refusal {
            error: "invalid_client_id",
            ..refuse(400, "Invalid client_id")
        });
    }
    Ok(client_id.to_owned())
}

fn check_secret(
    state: &State,
    request: &Request,
    client_id: &str,
    how: SecretCheck,
) -> Result<(), Refusal> {
    let right = state.rules.app(client_id).map(|app| app.secret.as_str());
    match (how, request.param("client_secret")) {
        (SecretCheck::Ignored, _) | (SecretCheck::IfSent, None) => Ok(()),
        (SecretCheck::Required, None) => Err(not_specified("client_secret")),
        (_, sent) if sent == right => Ok(()),
        _ => Err(refuse(400, "Invalid client_secret")),
    }
}

fn code(state: &mut State, request: &Request, client_id: &str) -> Answer {
    check_secret(state, request, client_id, state.rules.check_secret_on_code)?;
    let text = request.param("code").ok_or_else(|| not_specified("code"))?;
    let redirect_uri = request.param("redirect_uri").map(str::to_owned);
    let verifier = request.param("code_verifier").map(str::to_owned);
    let (now, life) = (state.now_ms(), i64::from(state.rules.code_seconds) * 1000);
    // Invented: the bodies for a wrong, used or expired code and for a mismatch are not documented.
    let invalid = || refuse(400, "Invalid code");
    let found = state.issued.codes.get_mut(text).ok_or_else(invalid)?;
    if found.used {
        state
            .log
            .violation("rule 11: an authorization code was used twice");
        return Err(invalid());
    }
    found.used = true;
    let (asked, username) = (found.asked.clone(), found.username.clone());
    if now >= found.born_ms + life {
        return Err(invalid());
    }
    check_code(state, &asked, client_id, redirect_uri.as_deref())?;
    check_verifier(state, &asked, verifier.as_deref())?;
    let refresh = state.issue_refresh(client_id, &username, &asked.redirect_uri, asked.minutes);
    Ok(user_tokens(state, &refresh, true))
}

fn check_code(
    state: &mut State,
    asked: &Authorization,
    client_id: &str,
    redirect_uri: Option<&str>,
) -> Result<(), Refusal> {
    if asked.client_id != client_id {
        state
            .log
            .violation("rule 12: a code came back with another client id");
        return Err(refuse(400, "Invalid code"));
    }
    check_redirect(state, &asked.redirect_uri, redirect_uri)
}

fn check_redirect(state: &mut State, expected: &str, sent: Option<&str>) -> Result<(), Refusal> {
    match sent {
        None => {
            state
                .log
                .violation("rule 11: token request without `redirect_uri`");
            Err(not_specified("redirect_uri"))
        }
        Some(uri) if uri != expected => {
            state
                .log
                .violation("rule 11: token request with another `redirect_uri`");
            Err(refuse(400, "Invalid redirect_uri"))
        }
        Some(_) => Ok(()),
    }
}

fn check_verifier(
    state: &mut State,
    asked: &Authorization,
    verifier: Option<&str>,
) -> Result<(), Refusal> {
    let Some(challenge) = asked
        .challenge
        .as_ref()
        .filter(|_| state.rules.knows_pkce())
    else {
        return Ok(());
    };
    let invalid = || refuse(400, "Invalid code_verifier"); // Invented.
    let Some(verifier) = verifier else {
        state
            .log
            .violation("rule 2: token request without `code_verifier`");
        return Err(invalid());
    };
    if !well_formed(verifier) {
        state
            .log
            .violation("rule 3: `code_verifier` is not 43 unreserved characters");
    }
    if proves(challenge, verifier) {
        return Ok(());
    }
    state
        .log
        .violation("rule 12: `code_verifier` of another sign-in");
    Err(invalid())
}

fn well_formed(verifier: &str) -> bool {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    verifier.len() == 43 && verifier.chars().all(unreserved)
}

fn proves(challenge: &Challenge, verifier: &str) -> bool {
    if !challenge.s256 {
        return challenge.text == verifier;
    }
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    challenge.text == URL_SAFE_NO_PAD.encode(hash)
}

fn refresh(state: &mut State, request: &Request, client_id: &str) -> Answer {
    check_secret(
        state,
        request,
        client_id,
        state.rules.check_secret_on_refresh,
    )?;
    let (text, _) = live_refresh(state, request, client_id, true)?;
    Ok(user_tokens(state, &text, false))
}

fn exchange(state: &mut State, request: &Request, client_id: &str) -> Answer {
    check_secret(
        state,
        request,
        client_id,
        state.rules.check_secret_on_refresh,
    )?;
    let (text, old) = live_refresh(state, request, client_id, false)?;
    let sent = request.param("redirect_uri").map(str::to_owned);
    check_redirect(state, &old.redirect_uri, sent.as_deref())?;
    state.issued.end_refresh(&text, RefreshState::Spent);
    let new = state.issue_refresh(client_id, &old.username, &old.redirect_uri, old.minutes);
    Ok(user_tokens(state, &new, true))
}

/// The refresh token of a request, if it is valid. `plain` means a refresh, not an exchange.
fn live_refresh(
    state: &mut State,
    request: &Request,
    client_id: &str,
    plain: bool,
) -> Result<(String, Refresh), Refusal> {
    let text = request
        .param("refresh_token")
        .ok_or_else(|| not_specified("refresh_token"))?;
    let invalid = || refuse(498, "Invalid refresh_token");
    let now = state.now_ms();
    let found = state.issued.refreshes.get_mut(text).ok_or_else(invalid)?;
    if found.client_id != client_id {
        state
            .log
            .violation("rule 24b: a refresh token came with another client id");
        return Err(invalid());
    }
    match found.fate {
        RefreshState::Live if found.is_live(now) => Ok((text.to_owned(), found.clone())),
        RefreshState::Live => Err(refuse(498, "refresh_token expired")),
        RefreshState::Revoked => Err(invalid()),
        RefreshState::Spent if plain && found.retries_allowed > 0 => {
            found.retries_allowed -= 1;
            Err(invalid())
        }
        RefreshState::Spent => {
            state
                .log
                .violation("rule 21: a spent refresh token was sent again");
            Err(invalid())
        }
    }
}

/// An access token for the holder of a refresh token; with `whole` the response includes the
/// refresh token.
fn user_tokens(state: &mut State, refresh: &str, whole: bool) -> Value {
    let held = state.issued.refreshes[refresh].clone();
    let seconds = state.rules.user_seconds();
    let bearer = Bearer::User {
        username: held.username.clone(),
        refresh: refresh.to_owned(),
    };
    let access = state.issue_access(&held.client_id, bearer, seconds);
    let mut body = json!({
        "access_token": access,
        "expires_in": seconds,
        "username": held.username,
        "ssl": true,
    });
    if whole {
        body["refresh_token"] = json!(refresh);
        if state.rules.tells_refresh_life {
            // One second less than granted, as real portals do: they report the rest of the life
            // when they respond.
            body["refresh_token_expires_in"] = json!(i64::from(held.minutes) * 60 - 1);
        }
    }
    body
}

fn client_credentials(state: &mut State, request: &Request, client_id: &str) -> Answer {
    check_secret(state, request, client_id, SecretCheck::Required)?;
    let minutes = state.rules.app_minutes_for(request.param("expiration"));
    let access = state.issue_access(client_id, Bearer::App, minutes * 60);
    Ok(json!({"access_token": access, "expires_in": minutes * 60}))
}

/// `oauth2/revokeToken`: reports success for anything, so that it does not reveal which tokens
/// exist.
pub fn revoke(state: &mut State, request: &Request) -> Response {
    if !state.rules.revoke {
        return Response::html(404, pages::not_found());
    }
    check_form(state, request, "revokeToken");
    let client_id = request.param("client_id").unwrap_or_default();
    if state.rules.app(client_id).is_none() {
        return portal_error(400, "Invalid client_id");
    }
    let text = request.param("auth_token").unwrap_or_default();
    let own = state
        .issued
        .refreshes
        .get(text)
        .is_some_and(|held| held.client_id == client_id);
    if own && state.issued.refreshes[text].fate == RefreshState::Live {
        state.issued.end_refresh(text, RefreshState::Revoked);
    }
    Response::json(&json!({"success": true}))
}

/// `generateToken` with a portal token and a server's URL: a token for that federated server.
pub fn generate(state: &mut State, request: &Request) -> Response {
    check_form(state, request, "generateToken");
    if request.param("password").is_some() {
        state
            .log
            .violation("rule 18: a password was sent to generateToken");
        return generate_refused("Unable to generate token.", "Invalid username or password.");
    }
    let Some(token) = request.param("token") else {
        return network_token(state, request);
    };
    let (token, now) = (token.to_owned(), state.now_ms());
    let Some(held) = state.live_access(&token).cloned() else {
        return portal_error(498, "Invalid token.");
    };
    let asked = request
        .param("serverUrl")
        .or_else(|| request.param("serverURL"));
    let server = asked.and_then(|url| federated(state, url));
    let Some(server) = server.filter(|_| !matches!(held.bearer, Bearer::Server { .. })) else {
        return generate_refused(
            "Unable to generate token",
            "Unable to generate token for this server",
        );
    };
    let minutes = state.rules.app_minutes_for(request.param("expiration"));
    let bearer = Bearer::Server {
        server,
        from: token,
    };
    let granted = state.issue_access(&held.client_id, bearer, minutes * 60);
    let expires = now + i64::from(minutes) * 60_000;
    Response::json(&json!({"token": granted, "expires": expires, "ssl": true}))
}

/// `generateToken` without name, password and token: for the user whom the web server in front
/// vouches for. The refusal of any other request is that of a portal that does not ask its web
/// server.
fn network_token(state: &mut State, request: &Request) -> Response {
    let refused = || generate_refused("Unable to generate token.", "'username' must be specified.");
    let name = request.header(VOUCHED_BY).unwrap_or_default().to_owned();
    if name.is_empty() {
        return refused();
    }
    if let Some(fault) = fault_of_network_request(request) {
        state.log.violation(format!("rule 24g: {fault}"));
        return refused();
    }
    let Some(user) = state.rules.vouched_user(&name) else {
        return refused();
    };
    let bearer = Bearer::Network {
        username: user.username.clone(),
        referer: request.param("referer").unwrap_or_default().to_owned(),
    };
    let minutes = state.rules.app_minutes_for(request.param("expiration"));
    let granted = state.issue_access("", bearer, minutes * 60);
    let expires = state.now_ms() + i64::from(minutes) * 60_000;
    Response::json(&json!({"token": granted, "expires": expires, "ssl": true}))
}

/// What is wrong with a request for such a token.
fn fault_of_network_request(request: &Request) -> Option<&'static str> {
    let has = |name: &str| request.param(name).is_some();
    let is = |name: &str, value: &str| request.param(name) == Some(value);
    let minutes = request.param("expiration").map(str::parse::<u32>);
    if ["username", "client_id", "client_secret", "ip", "serverUrl"]
        .into_iter()
        .any(has)
    {
        return Some(
            "a request for a network token names a user, an application, an address or a server",
        );
    }
    if !is("request", "getToken") || !is("client", "referer") {
        return Some(
            "a request for a network token without `request=getToken` and `client=referer`",
        );
    }
    if !matches!(minutes, Some(Ok(1..))) {
        return Some("a request for a network token without `expiration` in minutes");
    }
    let referer = request.param("referer").unwrap_or_default();
    if referer.is_empty() || request.header("referer") != Some(referer) {
        return Some("a request for a network token whose `referer` is not the one that is sent");
    }
    None
}

/// The federated server of a URL, which may be that of one of its resources.
pub fn federated(state: &State, url: &str) -> Option<String> {
    let all = state.rules.federated.iter();
    all.filter(|server| belongs(url, server))
        .max_by_key(|server| server.len())
        .cloned()
}

fn belongs(url: &str, server: &str) -> bool {
    let rest = url
        .get(..server.len())
        .filter(|start| start.eq_ignore_ascii_case(server));
    rest.is_some() && matches!(url.as_bytes().get(server.len()), None | Some(b'/' | b'?'))
}

fn generate_refused(message: &str, detail: &str) -> Response {
    Response::json(&json!({"error": {"code": 400, "message": message, "details": [detail]}}))
}

/// An error of the sharing API (envelope B).
pub fn portal_error(code: u16, message: &str) -> Response {
    Response::json(&json!({"error": {"code": code, "message": message, "details": []}}))
}

/// The refresh token of a finished sign-in, without the browser: for tests that start signed in.
pub fn seed(state: &mut State, client_id: &str, username: &str, minutes: u32) -> Value {
    let registered = state
        .rules
        .app(client_id)
        .and_then(|app| app.redirect_uris.first().cloned());
    let redirect_uri = registered.unwrap_or_else(|| OOB.to_owned());
    let refresh = state.issue_refresh(client_id, username, &redirect_uri, minutes);
    user_tokens(state, &refresh, true)
}
