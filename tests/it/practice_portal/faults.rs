//! Faults: each sends what it says, before or after the portal has processed the request.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{exchange, redeem, refresh, refusal, sign_in, text, USER};
use crate::support::portal::{
    Endpoint, Fault, Gate, Portal, PortalVersion, Proxy, Reply, APP_ID, OOB,
};

fn root_with(portal: &Portal, fault: Fault) -> std::io::Result<Reply> {
    portal.set(|rules| rules.fault(Endpoint::Root, fault));
    portal.client().get(&portal.rest("?f=json"))
}

/// A refresh or exchange whose response may not come.
fn try_grant(portal: &Portal, grant: &str, token: &str) -> std::io::Result<Reply> {
    let form = [
        ("grant_type", grant),
        ("client_id", APP_ID),
        ("refresh_token", token),
        ("redirect_uri", OOB),
        ("f", "json"),
    ];
    portal.client().post(&portal.rest("oauth2/token"), &form)
}

#[test]
fn planned_faults_happen_as_planned_and_once() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let status = |fault| root_with(&portal, fault).unwrap().status;
    assert_eq!(status(Fault::Status(503)), 503);
    assert_eq!(status(Fault::ProxyAuth407), 407);
    assert_eq!(status(Fault::Html200), 200);
    let busy = root_with(&portal, Fault::RetryAfter(429, "2".to_owned())).unwrap();
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("2")));
    let elsewhere = Fault::Redirect {
        status: 307,
        to: "https://example.org/login".to_owned(),
    };
    let moved = root_with(&portal, elsewhere).unwrap();
    assert_eq!(
        (moved.status, moved.header("location")),
        (307, Some("https://example.org/login"))
    );
    let web_tier = root_with(&portal, Fault::integrated_windows()).unwrap();
    assert_eq!(
        (web_tier.status, web_tier.header("www-authenticate")),
        (401, Some("Negotiate, NTLM"))
    );
    assert_eq!(
        portal.client().get(&portal.rest("?f=json")).unwrap().status,
        200
    );
    assert_eq!(portal.set(|rules| rules.faults_pending()), 0);
}

#[test]
fn planned_bodies_are_sent() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let body = |fault| root_with(&portal, fault).unwrap().body;
    assert_eq!(body(Fault::Huge(3_000_000)).len(), 3_000_000);
    assert_eq!(body(Fault::DeepJson(1000)).len(), 2000);
    assert!(String::from_utf8(body(Fault::InvalidUtf8)).is_err());
    let wrong = root_with(&portal, Fault::WrongTypes).unwrap().json();
    assert_eq!(wrong["access_token"], 12345);
    let error = root_with(&portal, Fault::error(500, "boom"))
        .unwrap()
        .json();
    assert_eq!(
        error,
        json!({"error": {"code": 500, "message": "boom", "details": []}})
    );
    let dripped = root_with(&portal, Fault::Drip(Duration::from_micros(50))).unwrap();
    assert_eq!(dripped.json()["currentVersion"], "2024.2");
    let raw = root_with(&portal, Fault::Raw(b"SSH-2.0-practice\r\n".to_vec()));
    assert!(raw.is_err());
}

#[test]
fn no_malformed_response_processes_the_request() {
    for (name, fault) in Fault::malformed() {
        assert!(!fault.happens_after_processing(), "{name}");
    }
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    for (name, fault) in Fault::malformed() {
        portal.set(|rules| rules.fault(Endpoint::Token, fault));
        let _ = try_grant(&portal, "exchange_refresh_token", &held);
        assert!(portal.accepts_refresh_token(&held), "{name}");
    }
    assert_eq!(portal.live_refresh_tokens(), 1);
    portal.wait_for_requests(Endpoint::Token, Fault::malformed().len());
}

#[test]
fn a_gzip_bomb_is_small_and_expands() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let bomb = root_with(&portal, Fault::GzipBomb(50_000_000)).unwrap();
    assert_eq!(bomb.header("content-encoding"), Some("gzip"));
    assert_eq!(bomb.body[..3], [0x1f, 0x8b, 8]);
    assert!(bomb.body.len() < 50_000_000 / 150);
}

#[test]
fn wrong_lengths_and_closed_connections_are_sent() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let short = root_with(&portal, Fault::WrongLength).unwrap();
    assert_eq!(
        short.header("content-length"),
        Some((short.body.len() / 2).to_string().as_str())
    );
    for fault in [Fault::Truncated, Fault::ResetBefore, Fault::ResetAfter] {
        assert!(root_with(&portal, fault).is_err());
    }
    portal.set(|rules| rules.fault(Endpoint::Handshake, Fault::TlsClose));
    assert!(portal.client().get(&portal.rest("?f=json")).is_err());
    assert_eq!(
        portal.client().get(&portal.rest("?f=json")).unwrap().status,
        200
    );
    assert_eq!(portal.requests_to(Endpoint::Root).len(), 5);
}

#[test]
fn a_fault_before_processing_changes_nothing() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    for fault in [Fault::ResetBefore, Fault::Html200, Fault::Status(503)] {
        portal.set(|rules| rules.fault(Endpoint::Exchange, fault));
        let _ = try_grant(&portal, "exchange_refresh_token", &held);
        assert!(portal.accepts_refresh_token(&held));
    }
}

#[test]
fn a_lost_response_allows_exactly_one_plain_refresh() {
    for fault in [Fault::ResetAfter, Fault::Truncated, Fault::WrongLength] {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let held = text(&portal.seed_user(USER), "refresh_token");
        portal.set(|rules| rules.fault(Endpoint::Exchange, fault));
        let _ = try_grant(&portal, "exchange_refresh_token", &held);
        assert!(!portal.accepts_refresh_token(&held));
        assert_eq!(refusal(&refresh(&portal, &held, &[])).0, 498);
        portal.assert_clean();
        refresh(&portal, &held, &[]);
        assert_eq!(
            portal.violations(),
            ["rule 21: a spent refresh token was sent again"]
        );
        portal.expect_violations();
    }
}

#[test]
fn the_response_to_that_refresh_may_be_lost_too() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal.set(|rules| {
        rules.fault(Endpoint::Exchange, Fault::ResetAfter);
        rules.fault(Endpoint::Refresh, Fault::ResetAfter);
    });
    let _ = try_grant(&portal, "exchange_refresh_token", &held);
    let _ = try_grant(&portal, "refresh_token", &held);
    assert_eq!(refusal(&refresh(&portal, &held, &[])).0, 498);
    portal.assert_clean();
}

#[test]
fn a_lost_response_allows_no_second_exchange() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::ResetAfter));
    let _ = try_grant(&portal, "exchange_refresh_token", &held);
    exchange(&portal, &held, &[]);
    assert_eq!(portal.violations().len(), 1);
}

#[test]
fn a_client_that_disconnects_has_lost_its_response() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    let gate = Gate::new();
    // On a loaded machine, the end of a connection may arrive late.
    portal.set(|rules| rules.fault(Endpoint::Exchange, Fault::HoldUntilLeft(gate.clone())));
    let left = leave_after_request(&portal, &held, &gate);
    assert!(left);
    portal.wait_until_retry_allowed(&held);
    assert_eq!(refusal(&refresh(&portal, &held, &[])).0, 498);
}

/// Sends an exchange, waits until the portal has processed it, and drops the connection.
fn leave_after_request(portal: &Portal, held: &str, gate: &Gate) -> bool {
    let form = [
        ("grant_type", "exchange_refresh_token"),
        ("client_id", APP_ID),
        ("refresh_token", held),
        ("redirect_uri", OOB),
        ("f", "json"),
    ];
    let connection = portal
        .client()
        .post_unanswered(&portal.rest("oauth2/token"), &form);
    gate.await_arrivals(1);
    drop(connection);
    !portal.accepts_refresh_token(held)
}

#[test]
fn a_gate_holds_requests_until_the_test_opens_it() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    let gate = Gate::new();
    portal.set(|rules| rules.fault_always(Endpoint::Refresh, Fault::HoldBefore(gate.clone())));
    thread::scope(|scope| {
        let waiting = [(); 3].map(|()| scope.spawn(|| refresh(&portal, &held, &[])));
        gate.await_arrivals(3);
        assert!(portal
            .requests()
            .iter()
            .all(|request| request.status.is_none()));
        gate.open();
        for thread in waiting {
            text(&thread.join().unwrap(), "access_token");
        }
    });
    assert_eq!(portal.grants(), ["refresh_token"; 3]);
}

#[test]
fn a_stopped_portal_refuses_connections_and_keeps_its_state() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let held = text(&portal.seed_user(USER), "refresh_token");
    portal.stop();
    assert!(try_grant(&portal, "refresh_token", &held).is_err());
    portal.start_again();
    text(&refresh(&portal, &held, &[]), "access_token");
}

#[test]
fn the_date_header_follows_the_portals_clock() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.clock().stop();
    let date = || {
        let reply = portal.client().get(&portal.rest("?f=json")).unwrap();
        let date = reply.header("date").unwrap().to_owned();
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(&date)
            .unwrap()
            .as_second()
    };
    let now = date();
    assert_eq!(now, portal.clock().now().as_second());
    portal.clock().advance(Duration::from_secs(14 * 24 * 3600));
    portal.set(|rules| rules.date_ahead_seconds = -7);
    assert_eq!(date(), now + 14 * 24 * 3600 - 7);
}

#[test]
fn basic_authentication_protects_every_endpoint() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.basic = Some(("gis".to_owned(), "pw".to_owned())));
    let url = portal.rest("?f=json");
    let refused = portal.client().get(&url).unwrap();
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Basic realm=\"practice\""))
    );
    let allowed = portal
        .client()
        .get_with(&url, &[("Authorization", "Basic Z2lzOnB3")])
        .unwrap();
    assert_eq!(allowed.status, 200);
}

#[test]
fn a_code_request_can_fail_too() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.fault(Endpoint::Token, Fault::error(500, "busy")));
    let code = sign_in(&portal).code();
    assert_eq!(redeem(&portal, &code, &[])["error"]["code"], 500);
    text(&redeem(&portal, &code, &[]), "access_token");
}

#[test]
fn a_proxy_connects_only_to_loopback_and_can_require_credentials() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let target = format!("localhost:{}", portal.port());
    let open = Proxy::start();
    let through = portal
        .client()
        .get_through(&open.url(), &portal.rest("?f=json"), None)
        .unwrap();
    assert_eq!(through.status, 200);
    assert_eq!(open.hosts(), [target.as_str()]);
    assert!(portal
        .client()
        .get_through(&open.url(), "https://example.org/", None)
        .is_err());
    assert_eq!(open.refused(), 1);

    let strict = Proxy::requiring("me", "pw");
    let attempt = |pair| {
        portal
            .client()
            .get_through(&strict.url(), &portal.rest("?f=json"), pair)
    };
    assert!(attempt(None).unwrap_err().to_string().contains("407"));
    assert_eq!(attempt(Some("me:pw")).unwrap().status, 200);
}
