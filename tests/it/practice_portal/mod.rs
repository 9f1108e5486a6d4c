//! Tests of the practice portal itself: what it answers, what it keeps, and which violations it
//! records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests.

mod browser;
mod faults;
mod resources;
mod tls;
mod tokens;
mod violations;

use serde_json::Value;

use crate::support::portal::{app_secret, Destination, Portal, APP_ID, OOB, USER};

/// A verifier of 43 characters and its challenge, from RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const STATE: &str = "0123456789abcdefghijkl";

/// A sign-in URL as the program creates it, with changes: a value replaces or adds a parameter,
/// `None` leaves it out.
fn sign_in_url(portal: &Portal, changes: &[(&str, Option<&str>)]) -> String {
    let usual = [
        ("client_id", APP_ID),
        ("response_type", "code"),
        ("redirect_uri", OOB),
        ("state", STATE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let form = changed(&usual, changes);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    portal.rest(&format!("oauth2/authorize?{query}"))
}

fn changed<'a>(
    usual: &[(&'a str, &'a str)],
    changes: &[(&'a str, Option<&'a str>)],
) -> Vec<(&'a str, &'a str)> {
    let kept = usual
        .iter()
        .filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
    let new = changes
        .iter()
        .filter_map(|(name, value)| value.map(|value| (*name, value)));
    kept.copied().chain(new).collect()
}

fn sign_in(portal: &Portal) -> Destination {
    portal.authorize(&sign_in_url(portal, &[]), USER)
}

/// POSTs `usual` with changes to the token endpoint.
fn post_token(portal: &Portal, usual: &[(&str, &str)], changes: &[(&str, Option<&str>)]) -> Value {
    let form = changed(usual, changes);
    portal
        .client()
        .post(&portal.rest("oauth2/token"), &form)
        .unwrap()
        .json()
}

fn redeem(portal: &Portal, code: &str, changes: &[(&str, Option<&str>)]) -> Value {
    let usual = [
        ("grant_type", "authorization_code"),
        ("client_id", APP_ID),
        ("code", code),
        ("redirect_uri", OOB),
        ("code_verifier", VERIFIER),
        ("f", "json"),
    ];
    post_token(portal, &usual, changes)
}

fn refresh(portal: &Portal, token: &str, changes: &[(&str, Option<&str>)]) -> Value {
    let usual = [
        ("grant_type", "refresh_token"),
        ("client_id", APP_ID),
        ("refresh_token", token),
        ("f", "json"),
    ];
    post_token(portal, &usual, changes)
}

fn exchange(portal: &Portal, token: &str, changes: &[(&str, Option<&str>)]) -> Value {
    let usual = [
        ("grant_type", "exchange_refresh_token"),
        ("client_id", APP_ID),
        ("refresh_token", token),
        ("redirect_uri", OOB),
        ("client_secret", app_secret()),
        ("f", "json"),
    ];
    post_token(portal, &usual, changes)
}

/// A string in an answer; panics where there is none.
#[track_caller]
fn text(answer: &Value, key: &str) -> String {
    let found = answer[key].as_str();
    found
        .unwrap_or_else(|| panic!("no {key} in {answer}"))
        .to_owned()
}

/// `code`, `error` and `error_description` of a refusal.
fn refusal(answer: &Value) -> (i64, &str, &str) {
    let error = &answer["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    (
        error["code"].as_i64().unwrap_or_default(),
        text("error"),
        text("error_description"),
    )
}

/// The keys of an object, sorted.
fn keys(answer: &Value) -> Vec<&str> {
    answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}
