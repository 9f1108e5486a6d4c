//! What responses are taken for: the portal's answer, its error, or something in front of it.

use super::*;
use crate::error::ProxyDemand;

#[test]
fn secrets_follow_no_redirect() {
    let elsewhere = Server::plain(vec![json(OK)]);
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("Location: http://127.0.0.1:{}/?x=y\r\n", elsewhere.port);
        let server = Server::plain(vec![http(status, &location, "")]);
        let expected = Unreachable::Redirected {
            status: status[..3].parse().unwrap(),
            to: Some(format!("127.0.0.1:{}", elsewhere.port)),
        };
        assert_eq!(why(post_once(&server.client())), expected);
        assert_eq!(why(get(&server.client())), expected);
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_host_that_repeats_a_secret_is_not_named() {
    let named = format!("https://{}.example", TOKEN.to_uppercase());
    let redirect = |path: &str| {
        let location = format!("Location: {named}{path}\r\n");
        Server::plain(vec![http("302 Found", &location, "")])
    };
    let expected = Unreachable::Redirected {
        status: 302,
        to: None,
    };
    let moved = redirect("/portal/sharing/rest/portals/self");
    assert_eq!(why(get(&moved.client())), expected);
    let expected = Refusal::SignInPage {
        host: None,
        title: None,
    };
    assert_eq!(refused(get(&redirect("/login").client())), expected);
}

#[test]
fn a_web_tiers_sign_in_is_recognized() {
    let headers =
        "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM, Basic realm=\"Basic\"\r\n";
    let server = Server::plain(vec![http("401 Unauthorized", headers, "<html>")]);
    let schemes = ["Negotiate", "NTLM", "Basic"].map(str::to_owned).to_vec();
    assert_eq!(refused(get(&server.client())), Refusal::WebTier(schemes));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_proxys_407_is_recognized() {
    let server = Server::plain(vec![http("407 Proxy Authentication Required", "", "")]);
    let Unreachable::Proxy {
        demand: ProxyDemand::Password,
        ..
    } = why(get(&server.client()))
    else {
        panic!("not recognized");
    };
}

#[test]
fn html_is_not_a_portal() {
    let page = "<html><head><TITLE lang=en>Not\u{1b} &lt;found&gt;\n here</TITLE></head>";
    for (status, headers) in [
        ("404 Not Found", "Content-Type: text/html\r\n"),
        ("200 OK", ""),
    ] {
        let server = Server::plain(vec![http(status, headers, page)]);
        let Unreachable::NotAPortal { title, .. } = why(get(&server.client())) else {
            panic!("not recognized");
        };
        assert_eq!(title.unwrap(), "Not &lt;found&gt; here");
    }
}

#[test]
fn other_json_and_other_statuses_are_not_a_portal() {
    for (status, body) in [
        ("200 OK", "[1,2]"),
        ("200 OK", "\"text\""),
        ("200 OK", "{\"a\":}"),
        ("200 OK", ""),
        ("404 Not Found", "{\"a\":1}"),
    ] {
        let server = Server::plain(vec![http(status, "", body)]);
        let status = status[..3].parse().unwrap();
        let expected = Unreachable::NotAPortal {
            status,
            title: None,
        };
        assert_eq!(why(get(&server.client())), expected, "{body}");
    }
}

#[test]
fn a_portals_error_never_repeats_a_secret() {
    let body = format!(
        r#"{{"error":{{"code":498,"error":"invalid_request","message":"Invalid {TOKEN}","details":["{TOKEN}!"]}}}}"#
    );
    let server = Server::plain(vec![json(&body)]);
    let error = post_once(&server.client()).unwrap_err();
    assert!(!format!("{error:?}").contains(TOKEN));
    let CallError::Portal(error) = error else {
        panic!("not the portal's")
    };
    assert_eq!((error.code, &*error.text), (Some(498), "Invalid …"));
    assert_eq!(error.kind.as_deref(), Some("invalid_request"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_page_is_returned_whatever_its_status() {
    let error = r#"{"error":{"code":401,"message":"not allowed"}}"#;
    for (status, body) in [
        ("200 OK", "<html>Sign In"),
        ("302 Found", ""),
        ("401 Unauthorized", error),
        ("401 Unauthorized", "<html>Invalid client_id"),
        ("403 Forbidden", error),
        ("500 Internal Server Error", "<html>"),
    ] {
        let server = Server::plain(vec![http(status, "", body)]);
        let page = server.client().page("oauth2/authorize", &[]).unwrap();
        assert_eq!(page, (status[..3].parse().unwrap(), body.to_owned()));
    }
}

#[test]
fn a_page_behind_another_sign_in_is_an_error() {
    let headers = "WWW-Authenticate: Negotiate\r\n";
    let server = Server::plain(vec![http("401 Unauthorized", headers, "<html>")]);
    let error = server.client().page("oauth2/authorize", &[]).unwrap_err();
    let Error::Refused { why, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(why, Refusal::WebTier(vec!["Negotiate".to_owned()]));

    let server = Server::plain(vec![http("407 Proxy Authentication Required", "", "")]);
    let error = server.client().page("oauth2/authorize", &[]).unwrap_err();
    assert!(matches!(
        error,
        Error::Unreachable {
            why: Unreachable::Proxy {
                demand: ProxyDemand::Password,
                ..
            },
            ..
        }
    ));
}
