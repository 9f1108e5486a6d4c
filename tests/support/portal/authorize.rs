//! The pages for browsers: `oauth2/authorize`, the sign-in form, and the approval page.
//!
//! A browser that is signed in sends the cookie `practice_user`; one whose user will decline,
//! `practice_decision=decline`.

use url::Url;

use super::fixture::{random, Authorization, Challenge, State};
use super::http::{Request, Response};
use super::pages;
use super::rules::{Pkce, OOB};

/// Fewest characters of a `state`: 128 bits in base64url.
const STATE_LENGTH: usize = 22;

/// `oauth2/authorize`. Unknown parameters, `scope` among them, are ignored.
pub fn authorize(state: &mut State, request: &Request) -> Response {
    let asked = match read(state, request) {
        Ok(asked) => asked,
        Err(text) => return Response::html(400, pages::oauth_error(&text)),
    };
    if let Some((error, text)) = refusal(state, request, &asked) {
        return deliver_error(state, &asked, error, &text);
    }
    if state.rules.decline || cookie(request, "practice_decision") == Some("decline") {
        return deny(state, &asked);
    }
    let forced = request.param("force_login") == Some("true");
    match signed_in(state, request) {
        Some(username) if !forced => approve(state, &asked, &username),
        _ => show_form(state, asked),
    }
}

/// What was requested, or why no redirect is possible.
fn read(state: &State, request: &Request) -> Result<Authorization, String> {
    let client_id = request.param("client_id").unwrap_or_default();
    let app = state.rules.app(client_id);
    let app = app.ok_or_else(|| "Error: Invalid client_id".to_owned())?;
    let redirect_uri = request.param("redirect_uri").unwrap_or_default();
    if !app.redirect_uris.iter().any(|uri| uri == redirect_uri) {
        return Err("Error 400: Invalid redirect_uri".to_owned());
    }
    let challenge = request.param("code_challenge").map(|text| Challenge {
        text: text.to_owned(),
        s256: request.param("code_challenge_method") == Some("S256"),
    });
    Ok(Authorization {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        state: request.param("state").map(str::to_owned),
        challenge,
        minutes: state.rules.refresh_minutes_for(request.param("expiration")),
    })
}

/// An error to send back to the redirect URI. Records violations of the rules on the way.
fn refusal(
    state: &mut State,
    request: &Request,
    asked: &Authorization,
) -> Option<(&'static str, String)> {
    check_state(state, asked);
    if request.param("response_type") != Some("code") {
        state
            .log
            .violation("rule 18: `response_type` is not `code`");
        return Some((
            "unsupported_response_type",
            "Invalid response_type".to_owned(),
        ));
    }
    check_challenge(state, asked);
    match (state.rules.pkce, &asked.challenge) {
        (Pkce::Required, None) => {
            Some(("invalid_request", "code_challenge not specified".to_owned()))
        }
        (Pkce::MethodRejected, Some(_)) => Some((
            "invalid_request",
            "code_challenge_method not supported".to_owned(),
        )),
        _ => None,
    }
}

fn check_state(state: &mut State, asked: &Authorization) {
    let length = asked.state.as_deref().map_or(0, str::len);
    if length < STATE_LENGTH {
        state.log.violation(format!(
            "rule 6: `state` of {length} characters, not {STATE_LENGTH} or more"
        ));
    }
}

/// The program should send a challenge even if the portal ignores it, but only a portal that
/// supports PKCE records its absence.
fn check_challenge(state: &mut State, asked: &Authorization) {
    if !state.rules.knows_pkce() {
        return;
    }
    let Some(challenge) = &asked.challenge else {
        state
            .log
            .violation("rule 2: authorize without `code_challenge`");
        return;
    };
    if !challenge.s256 {
        state
            .log
            .violation("rule 4: `code_challenge_method` is not `S256`");
    }
    let attempt = asked.state.clone().unwrap_or_default();
    let first = state
        .issued
        .challenges
        .entry(challenge.text.clone())
        .or_insert_with(|| attempt.clone());
    // The same URL may be opened twice; a second attempt must have a verifier of its own.
    if *first != attempt {
        state
            .log
            .violation("rule 3: `code_challenge` of an earlier sign-in");
    }
}

fn signed_in(state: &State, request: &Request) -> Option<String> {
    let session = cookie(request, "practice_user").map(str::to_owned);
    let session = session.or_else(|| {
        state
            .rules
            .auto_approve
            .then(|| state.rules.signed_in.clone())
    });
    session.filter(|username| state.rules.user(username).is_some())
}

fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut pairs = request
        .header("cookie")?
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn show_form(state: &mut State, asked: Authorization) -> Response {
    let oauth_state = random("", 24);
    let page = pages::sign_in(&state.rules, &state.place.rest(), &oauth_state, &asked);
    state.issued.pages.insert(oauth_state, asked);
    Response::html(200, page)
}

/// `oauth2/signin`: the form's button was pressed.
pub fn sign_in(state: &mut State, request: &Request) -> Response {
    let shown = request
        .param("oauth_state")
        .and_then(|page| state.issued.pages.remove(page));
    let Some(asked) = shown else {
        return Response::html(400, pages::oauth_error("Error 400: Invalid oauth_state"));
    };
    if request.param("decision") != Some("approve") {
        return deny(state, &asked);
    }
    let username = request.param("username").unwrap_or_default().to_owned();
    if state.rules.user(&username).is_none() {
        return show_form(state, asked);
    }
    approve(state, &asked, &username)
}

/// `oauth2/approval`: the end of the out-of-band flow.
pub fn approval(request: &Request) -> Response {
    match request.param("code") {
        Some(code) => Response::html(200, pages::approval(code)),
        None => Response::html(200, pages::denied()),
    }
}

fn approve(state: &mut State, asked: &Authorization, username: &str) -> Response {
    let code = state.issue_code(asked.clone(), username);
    deliver(state, asked, &[("code", &code)])
}

fn deny(state: &State, asked: &Authorization) -> Response {
    deliver_error(
        state,
        asked,
        "access_denied",
        "The user has denied your request",
    )
}

fn deliver_error(state: &State, asked: &Authorization, error: &str, text: &str) -> Response {
    deliver(
        state,
        asked,
        &[("error", error), ("error_description", text)],
    )
}

/// 302 to the redirect URI, its own query kept, or to the approval page.
fn deliver(state: &State, asked: &Authorization, pairs: &[(&str, &str)]) -> Response {
    let out_of_band = asked.redirect_uri == OOB;
    let target = if out_of_band {
        format!("{}/oauth2/approval", state.place.rest())
    } else {
        asked.redirect_uri.clone()
    };
    let Ok(mut url) = Url::parse(&target) else {
        return Response::html(400, pages::oauth_error("Error 400: Invalid redirect_uri"));
    };
    let kept = asked
        .state
        .as_deref()
        .filter(|_| !out_of_band || state.rules.approval_keeps_state);
    let all = pairs
        .iter()
        .copied()
        .chain(kept.map(|value| ("state", value)));
    url.query_pairs_mut().extend_pairs(all);
    Response::redirect(302, url.as_str())
}
