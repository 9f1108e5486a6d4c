//! The violations that the portal records: one test for each that no other test causes.

use super::{redeem, refresh, sign_in, sign_in_url, text, STATE, USER, VERIFIER};
use crate::support::portal::{service_secret, Portal, PortalVersion, APP_ID, OTHER_USER};

fn portal_with_violations() -> Portal {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    portal
}

#[track_caller]
fn only_violation(portal: &Portal, start: &str) {
    let violations = portal.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with(start), "{violations:?}");
}

#[test]
fn a_correct_sign_in_causes_no_violation() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let bought = redeem(&portal, &sign_in(&portal).code(), &[]);
    refresh(&portal, &text(&bought, "refresh_token"), &[]);
    portal.assert_clean();
}

#[test]
fn a_secret_in_a_url_is_found_even_when_it_is_learned_later() {
    let portal = portal_with_violations();
    portal
        .client()
        .get(&portal.rest(&format!("?f=json&q={VERIFIER}")))
        .unwrap();
    assert_eq!(portal.violations(), [""; 0]);
    redeem(&portal, &sign_in(&portal).code(), &[]);
    only_violation(&portal, "rule 17: a secret in the URL or the Referer: GET");
}

#[test]
fn a_client_secret_in_a_url_is_found() {
    let portal = portal_with_violations();
    portal
        .client()
        .get(&portal.rest(&format!("?f=json&q={}", service_secret())))
        .unwrap();
    only_violation(&portal, "rule 17: a secret in the URL or the Referer: GET");
}

#[test]
fn any_bytes_can_be_searched_for_secrets() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal.assert_no_secret("a greeting", b"hello");
    let shown = format!("{{\"token\":\"{held}\"}}");
    let scan = std::panic::AssertUnwindSafe(|| portal.assert_no_secret("a file", shown.as_bytes()));
    let message = std::panic::catch_unwind(scan).unwrap_err();
    assert_eq!(
        message.downcast_ref::<String>().unwrap(),
        "a file holds a secret"
    );
}

#[test]
fn client_authentication_goes_into_the_body() {
    let portal = portal_with_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", APP_ID),
        ("refresh_token", held.as_str()),
        ("f", "json"),
    ];
    let header = [("Authorization", "Basic Z2lzOnB3")];
    portal
        .client()
        .post_with(&portal.rest("oauth2/token"), &form, &header)
        .unwrap();
    only_violation(
        &portal,
        "protocol 3: token request with an `Authorization` header",
    );
}

#[test]
fn a_secret_in_a_referer_is_found() {
    let portal = portal_with_violations();
    let code = sign_in(&portal).code();
    let referer = format!("http://127.0.0.1/callback?code={code}");
    portal
        .client()
        .get_with(&portal.rest("?f=json"), &[("Referer", &referer)])
        .unwrap();
    only_violation(&portal, "rule 17: a secret in the URL or the Referer");
}

#[test]
fn violations_never_show_a_secret() {
    let portal = portal_with_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal
        .client()
        .get(&portal.rest(&format!("?f=json&refresh_token={held}")))
        .unwrap();
    assert!(portal.violations().iter().all(|line| !line.contains(&held)));
}

#[test]
fn a_token_request_by_get_is_served_and_recorded() {
    let portal = portal_with_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    let query = format!("grant_type=refresh_token&client_id={APP_ID}&refresh_token={held}&f=json");
    let reply = portal
        .client()
        .get(&portal.rest(&format!("oauth2/token?{query}")))
        .unwrap();
    text(&reply.json(), "access_token");
    let violations = portal.violations();
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert_eq!(violations[0], "rule 17: GET on the token endpoint");
}

#[test]
fn a_body_without_a_content_type_is_not_read() {
    let portal = portal_with_violations();
    let url = portal.rest("oauth2/token");
    let reply = portal
        .client()
        .send("POST", &url, &[], b"grant_type=refresh_token&f=json")
        .unwrap();
    assert_eq!(
        reply.json()["error"]["error_description"],
        "grant_type not specified"
    );
    assert!(portal.violations()[0].starts_with("protocol 3: token request without the form"));
}

#[test]
fn a_challenge_is_for_one_attempt() {
    let portal = portal_with_violations();
    sign_in(&portal);
    sign_in(&portal);
    portal.assert_clean();
    let other = STATE.replace('0', "X");
    portal.authorize(
        &sign_in_url(&portal, &[("state", Some(&other))]),
        OTHER_USER,
    );
    only_violation(&portal, "rule 3: `code_challenge` of an earlier sign-in");
}

#[test]
fn a_challenge_is_s256() {
    let portal = portal_with_violations();
    portal.authorize(
        &sign_in_url(&portal, &[("code_challenge_method", Some("plain"))]),
        USER,
    );
    only_violation(&portal, "rule 4: `code_challenge_method` is not `S256`");
}

#[test]
fn a_state_has_128_bits() {
    let portal = portal_with_violations();
    portal.authorize(&sign_in_url(&portal, &[("state", Some("short"))]), USER);
    only_violation(&portal, "rule 6: `state` of 5 characters");
}

#[test]
fn a_password_grant_is_a_violation() {
    let portal = portal_with_violations();
    let form = [("username", USER), ("password", "pw"), ("f", "json")];
    let reply = portal
        .client()
        .post(&portal.rest("generateToken"), &form)
        .unwrap()
        .json();
    assert_eq!(reply["error"]["message"], "Unable to generate token.");
    only_violation(&portal, "rule 18: a password was sent to generateToken");
}

#[test]
fn a_violation_fails_the_test_that_drops_the_portal() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.authorize(&sign_in_url(&portal, &[("state", None)]), USER);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(portal)));
    let message = dropped.unwrap_err();
    assert!(message.downcast_ref::<String>().unwrap().contains("rule 6"));
}
