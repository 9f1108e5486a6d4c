//! The browser's half of a sign-in.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::{sign_in, sign_in_url, OOB, STATE, USER};
use crate::support::portal::{Destination, Pkce, Portal, PortalVersion, OTHER_USER};

const CALLBACK: &str = "http://127.0.0.1:53682/callback";

#[test]
fn the_approval_page_shows_the_code_in_its_title() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let landing = sign_in(&portal);
    let Destination::Approval { url, title } = &landing else {
        panic!("{landing:?}");
    };
    assert_eq!(*title, format!("SUCCESS code={}", landing.code()));
    assert!(url.starts_with(&portal.rest("oauth2/approval?code=")));
    assert_eq!(landing.state().as_deref(), Some(STATE));
    portal.set(|rules| rules.approval_keeps_state = false);
    assert_eq!(sign_in(&portal).state(), None);
}

#[test]
fn a_registered_redirect_gets_code_and_state() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let registered = format!("{CALLBACK}?kept=1");
    portal.set(|rules| rules.register_redirect(&registered));
    let url = sign_in_url(
        &portal,
        &[
            ("redirect_uri", Some(&registered)),
            ("scope", Some("ignored")),
        ],
    );
    let landing = portal.authorize(&url, USER);
    let expected = format!("{registered}&code={}&state={STATE}", landing.code());
    assert_eq!(landing.url(), Some(expected.as_str()));
}

#[test]
fn the_browser_follows_to_the_loopback_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let callback = format!("http://{}/callback", listener.local_addr().unwrap());
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.register_redirect(&callback));
    let app = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 2048];
        let read = stream.read(&mut bytes).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\ndone").unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    let landing = portal.authorize(
        &sign_in_url(&portal, &[("redirect_uri", Some(&callback))]),
        USER,
    );
    assert_eq!(landing.follow().unwrap().text(), "done");
    let heard = app.join().unwrap();
    assert!(heard.starts_with(&format!("GET /callback?code={}&state=", landing.code())));
}

#[test]
fn what_is_not_registered_is_refused_on_a_page() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    for (change, expected) in [
        (("client_id", Some("nobody")), "Error: Invalid client_id"),
        (
            ("redirect_uri", Some(CALLBACK)),
            "Error 400: Invalid redirect_uri",
        ),
        (("redirect_uri", None), "Error 400: Invalid redirect_uri"),
    ] {
        let landing = portal.authorize(&sign_in_url(&portal, &[change]), USER);
        let Destination::Refused { status, page, .. } = landing else {
            panic!("{landing:?}");
        };
        assert_eq!(status, 400);
        assert!(page.contains(expected), "{page}");
    }
}

#[test]
fn declining_is_reported_to_the_app() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.register_redirect(CALLBACK));
    let landing = portal.decline(&sign_in_url(&portal, &[("redirect_uri", Some(CALLBACK))]));
    let expected = format!(
        "{CALLBACK}?error=access_denied&error_description=The+user+has+denied+your+request&state={STATE}"
    );
    assert_eq!(landing.url(), Some(expected.as_str()));
    let page = portal.decline(&sign_in_url(&portal, &[]));
    assert_eq!(page.title(), Some("Denied error=access_denied"));
    portal.set(|rules| rules.decline = true);
    assert_eq!(sign_in(&portal).error().as_deref(), Some("access_denied"));
}

#[test]
fn the_sign_in_page_is_shown_without_a_session_or_when_forced() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let url = sign_in_url(&portal, &[]);
    assert_eq!(portal.client().get(&url).unwrap().status, 302);
    portal.set(|rules| rules.auto_approve = false);
    let page = portal.client().get(&url).unwrap();
    assert_eq!(
        (page.status, page.title().as_deref()),
        (200, Some("Sign In"))
    );
    assert!(page.text().contains("var oAuthInfo = {\"oauth_state\":\""));
    let forced = sign_in_url(&portal, &[("force_login", Some("true"))]);
    let code = portal.authorize(&forced, OTHER_USER).code();
    assert_eq!(super::redeem(&portal, &code, &[])["username"], OTHER_USER);
}

#[test]
fn pkce_is_demanded_refused_or_ignored() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let without = [("code_challenge", None), ("code_challenge_method", None)];
    let error = |changes: &[(&str, Option<&str>)]| {
        let landing = portal.authorize(&sign_in_url(&portal, changes), USER);
        (landing.error(), landing.param("error_description"))
    };
    let invalid = |text: &str| (Some("invalid_request".to_owned()), Some(text.to_owned()));
    assert_eq!(error(&without), invalid("code_challenge not specified"));
    portal.set(|rules| rules.pkce = Pkce::MethodRejected);
    assert_eq!(error(&[]), invalid("code_challenge_method not supported"));
    portal.set(|rules| rules.pkce = Pkce::Ignored);
    assert_eq!(error(&without), (None, None));
    assert_eq!(
        portal.violations(),
        ["rule 2: authorize without `code_challenge`"]
    );
}

#[test]
fn there_is_no_implicit_grant() {
    let portal = Portal::start(PortalVersion::Online);
    portal.expect_violations();
    let landing = portal.authorize(
        &sign_in_url(&portal, &[("response_type", Some("token"))]),
        USER,
    );
    assert_eq!(
        landing.error().as_deref(),
        Some("unsupported_response_type")
    );
    assert_eq!(
        portal.violations(),
        ["rule 18: `response_type` is not `code`"]
    );
}

#[test]
fn the_out_of_band_uri_must_be_registered_too() {
    let portal = Portal::start(PortalVersion::Online);
    portal.set(|rules| rules.apps[0].redirect_uris.retain(|uri| uri != OOB));
    assert!(matches!(
        sign_in(&portal),
        Destination::Refused { status: 400, .. }
    ));
}
