//! The token endpoints: which tokens are granted, for how long, and what ends them.

use std::time::Duration;

use serde_json::{json, Value};

use super::{
    exchange, keys, post_token, redeem, refresh, refusal, sign_in, sign_in_url, text, OOB, USER,
};
use crate::support::portal::{
    service_secret, Portal, PortalVersion, SecretCheck, APP_ID, OTHER_USER, SERVICE_ID,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const INVALID: (i64, &str, &str) = (498, "invalid_request", "Invalid refresh_token");

fn whoami(portal: &Portal, token: &str) -> Value {
    let bearer = format!("Bearer {token}");
    let headers = [("X-Esri-Authorization", bearer.as_str())];
    portal
        .client()
        .get_with(&portal.rest("community/self?f=json"), &headers)
        .unwrap()
        .json()
}

fn app_token(portal: &Portal, changes: &[(&str, Option<&str>)]) -> Value {
    let usual = [
        ("grant_type", "client_credentials"),
        ("client_id", SERVICE_ID),
        ("client_secret", service_secret()),
        ("f", "json"),
    ];
    post_token(portal, &usual, changes)
}

fn revoke(portal: &Portal, client_id: &str, token: &str) -> Value {
    let form = [
        ("auth_token", token),
        ("client_id", client_id),
        ("f", "json"),
    ];
    portal
        .client()
        .post(&portal.rest("oauth2/revokeToken/"), &form)
        .unwrap()
        .json()
}

#[test]
fn a_code_yields_both_tokens_once() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let code = sign_in(&portal).code();
    let bought = redeem(&portal, &code, &[]);
    assert_eq!(
        keys(&bought),
        [
            "access_token",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_in",
            "ssl",
            "username"
        ]
    );
    assert_eq!(bought["expires_in"], 1800);
    assert_eq!(bought["refresh_token_expires_in"], 20160 * 60 - 1);
    assert_eq!(bought["username"], USER);
    assert_eq!(bought["ssl"], true);
    assert_eq!(
        refusal(&redeem(&portal, &code, &[])),
        (400, "invalid_request", "Invalid code")
    );
    assert_eq!(
        portal.violations(),
        ["rule 11: an authorization code was used twice"]
    );
}

#[test]
fn a_code_lives_five_minutes() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let late = sign_in(&portal).code();
    portal.clock().advance(Duration::from_secs(301));
    assert_eq!(refusal(&redeem(&portal, &late, &[])).2, "Invalid code");
}

#[test]
fn a_code_is_bound_to_its_sign_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let attempt = |changes: &[(&str, Option<&str>)]| {
        let code = sign_in(&portal).code();
        let answer = redeem(&portal, &code, changes);
        let (code, _, text) = refusal(&answer);
        (code, text.to_owned())
    };
    let case = |name: &str, value: Option<&str>, expected: &str| {
        assert_eq!(attempt(&[(name, value)]), (400, expected.to_owned()));
    };
    case("redirect_uri", None, "redirect_uri not specified");
    case(
        "redirect_uri",
        Some("http://127.0.0.1:9/"),
        "Invalid redirect_uri",
    );
    case("code_verifier", None, "Invalid code_verifier");
    case(
        "code_verifier",
        Some(&"x".repeat(43)),
        "Invalid code_verifier",
    );
    case("client_id", Some(SERVICE_ID), "Invalid code");
    case("client_id", Some("nobody"), "Invalid client_id");
    case("client_id", None, "client_id not specified");
    case("code", None, "code not specified");
    case("grant_type", None, "grant_type not specified");
    case("client_secret", Some("wrong"), "Invalid client_secret");
}

#[test]
fn an_unknown_client_is_named_as_such() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let answer = app_token(&portal, &[("client_id", Some("nobody"))]);
    let expected = json!({"error": {
        "code": 400, "error": "invalid_client_id", "error_description": "Invalid client_id",
        "message": "Invalid client_id", "details": [],
    }});
    assert_eq!(answer, expected);
}

#[test]
fn the_secret_is_checked_as_the_rules_say() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    let wrong = [("client_secret", Some("wrong"))];
    assert_eq!(
        refusal(&refresh(&portal, &held, &wrong)).2,
        "Invalid client_secret"
    );
    portal.set(|rules| rules.check_secret_on_refresh = SecretCheck::Ignored);
    text(&refresh(&portal, &held, &wrong), "access_token");
    portal.set(|rules| rules.check_secret_on_refresh = SecretCheck::Required);
    assert_eq!(
        refusal(&refresh(&portal, &held, &[])).2,
        "client_secret not specified"
    );
}

#[test]
fn a_refresh_gives_an_access_token_and_nothing_else() {
    let portal = Portal::start(PortalVersion::Online);
    let held = text(&portal.seed_user(USER), "refresh_token");
    let answer = refresh(&portal, &held, &[("redirect_uri", Some(OOB))]);
    assert_eq!(
        keys(&answer),
        ["access_token", "expires_in", "ssl", "username"]
    );
    assert_eq!(
        whoami(&portal, &text(&answer, "access_token"))["username"],
        USER
    );
}

#[test]
fn a_refresh_does_not_prolong_the_sign_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal.clock().advance(13 * DAY);
    text(&refresh(&portal, &held, &[]), "access_token");
    portal.clock().advance(DAY);
    let late = refresh(&portal, &held, &[]);
    assert_eq!(
        refusal(&late),
        (498, "invalid_request", "refresh_token expired")
    );
    assert_eq!(
        refusal(&exchange(&portal, &held, &[])).2,
        "refresh_token expired"
    );
}

#[test]
fn an_exchange_ends_the_old_tokens_and_starts_a_new_life() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let first = portal.seed(APP_ID, USER, 120);
    let old = text(&first, "refresh_token");
    let minted = text(&refresh(&portal, &old, &[]), "access_token");
    portal.clock().advance(Duration::from_secs(3600));
    let second = exchange(&portal, &old, &[]);
    assert_eq!(second["refresh_token_expires_in"], 7199);
    assert!(!portal.accepts_access_token(&text(&first, "access_token")));
    assert!(!portal.accepts_access_token(&minted));
    assert!(portal.accepts_access_token(&text(&second, "access_token")));
    assert_eq!(refusal(&refresh(&portal, &old, &[])), INVALID);
    assert_eq!(
        portal.violations(),
        ["rule 21: a spent refresh token was sent again"]
    );
    portal.clock().advance(Duration::from_secs(7199));
    text(
        &refresh(&portal, &text(&second, "refresh_token"), &[]),
        "access_token",
    );
}

#[test]
fn an_exchange_needs_the_redirect_uri() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    let answer = exchange(&portal, &held, &[("redirect_uri", None)]);
    assert_eq!(
        refusal(&answer),
        (400, "invalid_request", "redirect_uri not specified")
    );
    assert!(portal.accepts_refresh_token(&held));
}

#[test]
fn old_portals_support_less() {
    let portal = Portal::start(PortalVersion::Enterprise106);
    let code = portal
        .authorize(&sign_in_url(&portal, &[]), OTHER_USER)
        .code();
    let bought = redeem(&portal, &code, &[("code_verifier", None)]);
    assert_eq!(
        keys(&bought),
        [
            "access_token",
            "expires_in",
            "refresh_token",
            "ssl",
            "username"
        ]
    );
    let renewed = exchange(&portal, &text(&bought, "refresh_token"), &[]);
    assert_eq!(
        keys(&renewed),
        [
            "access_token",
            "expires_in",
            "refresh_token",
            "ssl",
            "username"
        ]
    );

    let older = Portal::start(PortalVersion::Enterprise105);
    let held = text(&older.seed_user(USER), "refresh_token");
    assert_eq!(
        refusal(&exchange(&older, &held, &[])),
        (400, "invalid_request", "Unsupported grant_type")
    );
    text(&refresh(&older, &held, &[]), "access_token");
}

#[test]
fn a_refresh_token_of_another_app_is_refused() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    assert_eq!(
        refusal(&refresh(&portal, &held, &[("client_id", Some(SERVICE_ID))])),
        INVALID
    );
    assert_eq!(refusal(&refresh(&portal, "rubbish", &[])), INVALID);
}

#[test]
fn an_app_signs_in_as_itself() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let answer = app_token(&portal, &[]);
    assert_eq!(keys(&answer), ["access_token", "expires_in"]);
    assert_eq!(answer["expires_in"], 7200);
    let wrong = app_token(&portal, &[("client_secret", Some("wrong"))]);
    assert_eq!(
        refusal(&wrong),
        (400, "invalid_request", "Invalid client_secret")
    );
    assert_eq!(
        refusal(&app_token(&portal, &[("client_secret", None)])).2,
        "client_secret not specified"
    );
}

#[test]
fn lifetimes_are_clamped_silently() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let app = |minutes| app_token(&portal, &[("expiration", Some(minutes))])["expires_in"].clone();
    assert_eq!(app("5"), 300);
    assert_eq!(app("0"), 60);
    assert_eq!(app("999999"), 20160 * 60);
    assert_eq!(app("-1"), 20160 * 60);
    let user = |minutes| {
        let code = portal
            .authorize(
                &sign_in_url(&portal, &[("expiration", Some(minutes))]),
                USER,
            )
            .code();
        redeem(&portal, &code, &[])["refresh_token_expires_in"].clone()
    };
    assert_eq!(user("120"), 7199);
    assert_eq!(user("-1"), 129_600 * 60 - 1);
    assert_eq!(user("500000"), 129_600 * 60 - 1);
    portal.set(|rules| rules.max_token_minutes = Some(15));
    assert_eq!(user("20160"), 899);
    assert_eq!(app("60"), 900);
    let held = portal.seed_user(USER);
    assert_eq!(held["expires_in"], 900);
}

#[test]
fn revoking_a_refresh_token_ends_its_access_tokens() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = portal.seed_user(USER);
    let (access, refresh_token) = (text(&held, "access_token"), text(&held, "refresh_token"));
    let success = json!({"success": true});
    assert_eq!(revoke(&portal, SERVICE_ID, &refresh_token), success);
    assert!(
        portal.accepts_refresh_token(&refresh_token),
        "another app cannot revoke it"
    );
    assert_eq!(revoke(&portal, APP_ID, "rubbish"), success);
    assert_eq!(revoke(&portal, APP_ID, &refresh_token), success);
    assert!(!portal.accepts_access_token(&access));
    assert_eq!(refusal(&refresh(&portal, &refresh_token, &[])), INVALID);
}

#[test]
fn revoking_reports_only_an_unknown_client() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let expected = json!({"error": {"code": 400, "message": "Invalid client_id", "details": []}});
    assert_eq!(revoke(&portal, "nobody", "rubbish"), expected);
    let token = text(&app_token(&portal, &[]), "access_token");
    assert_eq!(
        revoke(&portal, SERVICE_ID, &token),
        json!({"success": true})
    );
    assert!(
        portal.accepts_access_token(&token),
        "app tokens cannot be revoked"
    );
}

#[test]
fn the_administrator_can_end_everything() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = portal.seed_user(USER);
    portal.expire_access_tokens();
    assert!(!portal.accepts_access_token(&text(&held, "access_token")));
    let held_refresh = text(&held, "refresh_token");
    text(&refresh(&portal, &held_refresh, &[]), "access_token");
    portal.revoke_all();
    assert_eq!(refusal(&refresh(&portal, &held_refresh, &[])), INVALID);
}

#[test]
fn json_is_the_default_and_trailing_slashes_are_accepted() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", SERVICE_ID),
        ("client_secret", service_secret()),
    ];
    for path in ["/sharing/rest/oauth2/token/", "/sharing/oauth2/token"] {
        let reply = portal
            .client()
            .post(&format!("{}{path}", portal.url()), &form)
            .unwrap();
        assert_eq!(reply.status, 200);
        text(&reply.json(), "access_token");
    }
}
