//! What stands in front of a portal, by its recorded answers: demands for a client certificate and
//! for a sign-in, firewalls, pages about maintenance.

use super::*;

/// An HTML page with this title and body.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\r\n<html><head><title>{title}</title></head><body>{body}</body></html>"
    )
}

/// Status line, further headers, body.
type Recorded = (&'static str, &'static str, String);

fn answered((status, headers, body): &Recorded) -> std::result::Result<ApiResponse, CallError> {
    let server = Server::plain(vec![http(status, headers, body)]);
    let answer = get(&server.client());
    // A refusal is final: no second attempt.
    assert_eq!(server.requests().len(), 1, "{status} {body}");
    answer
}

#[test]
fn a_demand_for_a_client_certificate_is_recognized_in_every_form() {
    let html = "Content-Type: text/html\r\n";
    let nginx = "<center><h1>400 Bad Request</h1></center>\n<center>No required SSL certificate was sent</center>\n<hr><center>nginx</center>";
    let recorded: [Recorded; 10] = [
        ("400 Bad Request", html, page("400 No required SSL certificate was sent", nginx)),
        // Azure Application Gateway.
        (
            "400 Bad Request",
            html,
            page("400 No required SSL certificate was sent", "<hr><center>Microsoft-Azure-Application-Gateway/v2</center>"),
        ),
        (
            "400 Bad Request",
            html,
            page("400 The SSL certificate error", "<center>The SSL certificate error</center><hr><center>nginx</center>"),
        ),
        ("496 SSL Certificate Required", html, String::new()),
        ("495 SSL Certificate Error", "", String::new()),
        // IIS, with detailed errors and without.
        (
            "403 Forbidden",
            html,
            page(
                "IIS 10.0 Detailed Error - 403.7 - Forbidden",
                "<h3>HTTP Error 403.7 - Forbidden</h3><h4>The page you are attempting to access requires your browser to have a Secure Sockets Layer (SSL) client certificate that the Web server recognizes.</h4>",
            ),
        ),
        (
            "403 Forbidden",
            html,
            page("IIS 10.0 Detailed Error - 403.16 - Forbidden", "<h3>HTTP Error 403.16 - Forbidden</h3>"),
        ),
        ("403 Forbidden", html, page("403 - Forbidden", "HTTP Error 403.7 - Client certificate required")),
        // Azure App Service.
        ("403 Forbidden", "Content-Type: text/plain\r\n", "Client Certificate Required".into()),
        // Apache with TLS 1.3.
        (
            "403 Forbidden",
            html,
            page("403 Forbidden", "<p>You don't have permission to access this resource.Reason: Cannot perform Post-Handshake Authentication.<br /></p>"),
        ),
    ];
    for answer in &recorded {
        let (_, _, page) = answer;
        // The server asked for none in the handshake, and for one in its answer.
        let is_late = page.contains("403.7") || page.contains("Post-Handshake");
        let expected = if is_late {
            Refusal::LateClientCertificate
        } else {
            Refusal::ClientCertificate
        };
        assert_eq!(refused(answered(answer)), expected, "{answer:?}");
    }
}

#[test]
fn a_sign_in_in_front_of_the_portal_is_a_refusal_in_every_form() {
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let recorded: [Recorded; 15] = [
        // Entra application proxy, Cloudflare Access, Google's proxy, AD FS, F5, oauth2-proxy.
        ("302 Found", "Location: https://login.microsoftonline.com/c0ffee/oauth2/v2.0/authorize?client_id=1&redirect_uri=https%3a%2f%2fgis.city.example%2f\r\n", String::new()),
        ("302 Found", "Location: https://corp.cloudflareaccess.com/cdn-cgi/access/login/gis.city.example?kid=1\r\n", String::new()),
        ("302 Found", "Location: https://accounts.google.com/o/oauth2/v2/auth?client_id=1\r\n", String::new()),
        ("302 Object Moved", "Location: https://fs.city.example/adfs/ls/?wa=wsignin1.0&wtrealm=urn:x\r\n", String::new()),
        ("302 Found", "Location: /my.policy\r\nServer: BigIP\r\n", String::new()),
        ("303 See Other", "Location: /oauth2/start?rd=%2Fportal\r\n", String::new()),
        ("307 Temporary Redirect", "Location: https://portal.other-organization.example/start?return=/portal/sharing/rest/portals/self\r\n", String::new()),
        ("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"x\", resource_metadata=\"https://x/y\"\r\n", String::new()),
        ("401 Unauthorized", "WWW-Authenticate: Digest realm=\"gis\", nonce=\"1\", qop=\"auth\"\r\n", page("401", "")),
        ("401 Unauthorized", "WWW-Authenticate: AzureApiManagementKey realm=\"x\"\r\n", "{\"statusCode\":401,\"message\":\"Access denied due to missing subscription key.\"}".into()),
        ("401 Unauthorized", "", "Invalid IAP credentials: empty token".into()),
        ("200 OK", html, page("Sign in to your account", "<script>document.forms[0].submit()</script>")),
        ("200 OK", html, page("Working...", "<form method=\"POST\"><input type=\"hidden\" name=\"SAMLRequest\" value=\"x\"></form>")),
        ("200 OK", html, page("City", "<input id=p type=\"password\">")),
        ("403 Forbidden", html, page("Error &#12539; Cloudflare Access", "")),
    ];
    for answer in &recorded {
        let why = refused(answered(answer));
        let expected = matches!(why, Refusal::WebTier(_) | Refusal::SignInPage { .. });
        assert!(expected, "{answer:?}: {why:?}");
        assert!(
            why.to_string()
                .starts_with("the web server in front of the portal requires its own sign-in"),
            "{why}"
        );
    }
    let named = |index: usize| refused(answered(&recorded[index])).to_string();
    assert!(
        named(0).ends_with("(at login.microsoftonline.com)"),
        "{}",
        named(0)
    );
    assert!(named(7).ends_with("(Bearer)"), "{}", named(7));
    assert!(named(8).ends_with("(Digest)"), "{}", named(8));
    assert!(named(10).ends_with("(HTTP 401)"), "{}", named(10));
    assert!(
        named(11).ends_with("(page `Sign in to your account`)"),
        "{}",
        named(11)
    );
}

#[test]
fn a_firewalls_page_is_a_refusal_and_a_page_about_maintenance_is_not() {
    let html = "Content-Type: text/html\r\n";
    let blocked: Recorded = (
        "403 Forbidden",
        html,
        page("Request blocked", "Support ID: 1"),
    );
    assert_eq!(
        refused(answered(&blocked)),
        Refusal::Forbidden {
            title: Some("Request blocked".into())
        }
    );
    for (status, headers, body) in [
        ("200 OK", html, page("Scheduled maintenance", "Back at 6")),
        ("404 Not Found", html, page("404 Not Found", "")),
        (
            "302 Found",
            "Location: https://status.hoster.example/maintenance\r\n",
            String::new(),
        ),
        ("302 Found", "Location: /sorry.html\r\n", String::new()),
    ] {
        let why = why(answered(&(status, headers, body)));
        let passing = matches!(
            why,
            Unreachable::NotAPortal { .. } | Unreachable::Redirected { .. }
        );
        assert!(passing, "{why:?}");
    }
}

#[test]
fn the_portals_own_errors_are_not_taken_for_something_in_front() {
    for status in [
        "200 OK",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
    ] {
        let body =
            r#"{"error":{"code":403,"message":"A client certificate or login is required"}}"#;
        let headers = "Content-Type: application/json\r\nWWW-Authenticate: Bearer\r\n";
        let server = Server::plain(vec![http(status, headers, body)]);
        match get(&server.client()) {
            Err(CallError::Portal(error)) => assert_eq!(error.code, Some(403)),
            other => panic!("{status}: {other:?}"),
        }
    }
    // ArcGIS's own pages have forms for a password.
    let directory = page(
        "ArcGIS Portal Directory: Generate Token",
        "<input type=\"password\">",
    );
    let server = Server::plain(vec![http(
        "200 OK",
        "Content-Type: text/html\r\n",
        &directory,
    )]);
    assert!(matches!(
        why(get(&server.client())),
        Unreachable::NotAPortal { .. }
    ));
}

#[test]
fn what_a_portal_says_with_a_failure_is_its_cause() {
    use std::error::Error as _;
    let said = |status: &str, headers: &str, body: &str| {
        let server = Server::plain(vec![http(status, headers, body)]);
        match post_once(&server.client()).unwrap_err() {
            CallError::Failed { error, .. } => error.source().map(ToString::to_string),
            CallError::Portal(error) => panic!("{error:?}"),
        }
    };
    let own = r#"{"error":{"code":500,"message":"code expired","details":[]}}"#;
    for status in [
        "200 OK",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        assert_eq!(
            said(status, "", own).as_deref(),
            Some("code expired"),
            "{status}"
        );
    }
    let html = page("Down for maintenance", "");
    let told = said(
        "503 Service Unavailable",
        "Content-Type: text/html\r\n",
        &html,
    );
    assert_eq!(told.as_deref(), Some("Down for maintenance"));
    let repeated = format!(r#"{{"error":{{"code":500,"message":"bad {TOKEN}"}}}}"#);
    assert_eq!(said("500 x", "", &repeated).as_deref(), Some("bad …"));
}

#[test]
fn a_call_of_a_persons_own_speaks_of_the_path() {
    let call = ApiCall {
        address: "no/such/thing",
        post: false,
        fields: &[],
        file: None,
    };
    for (status, headers, body) in [
        (
            "404 Not Found",
            "Content-Type: text/html\r\n",
            page("404", ""),
        ),
        ("404 Not Found", "", "{}".to_owned()),
        ("200 OK", "", "[1,2]".to_owned()),
        ("200 OK", "", "{\"a\":}".to_owned()),
        (
            "200 OK",
            "Content-Type: text/html\r\n",
            page("Directory", ""),
        ),
    ] {
        let server = Server::plain(vec![http(status, headers, &body)]);
        let why = refused(server.client().api(&call, &token()));
        assert!(
            matches!(why, Refusal::UnexpectedAnswer { .. }),
            "{status} {body}"
        );
    }
}
