//! What is sent, and where.

use super::*;

#[test]
fn secrets_travel_in_header_and_body_never_in_the_url() {
    let server = Server::plain(vec![json(OK)]);
    get(&server.client()).unwrap();
    post_once(&server.client()).unwrap();
    let requests = server.requests();
    let (get, post) = (&requests[0], &requests[1]);
    assert!(get.starts_with("GET /portal/sharing/rest/portals/self?culture=en&f=json HTTP/1.1\r\n"));
    let lower = get.to_ascii_lowercase();
    assert!(lower.contains(&format!("x-esri-authorization: bearer {TOKEN}\r\n")));
    assert!(lower.contains("referer: https://referer.test\r\n"));
    assert!(lower.contains(concat!(
        "user-agent: age-oauth/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    )));
    assert!(post.starts_with("POST /portal/sharing/rest/oauth2/token HTTP/1.1\r\n"));
    assert!(post.contains("application/x-www-form-urlencoded"));
    assert!(post.ends_with(&format!("\r\n\r\ncode={TOKEN}&client_id=app+1&f=json")));
}

#[test]
fn rule_14_http_is_for_this_machine_only_whenever_it_is_used() {
    let http = client("https://portal.example.com", &Tls::System);
    for url in [
        "http://portal.example.com/x",
        "http://localhost.example.com/x",
        "http://localhostx/x",
        "http://127.0.0.1.example.com/x",
        "ftp://localhost/x",
        "https://u:p@h/x",
    ] {
        let error = http.get(url, &[], None).unwrap_err();
        let CallError::Failed {
            error: Error::Invalid { .. },
            sent: false,
        } = error
        else {
            panic!("{url}: {error:?}");
        };
    }
}

#[test]
fn an_answer_is_read_and_dated() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::plain(vec![http("200 OK", date, OK)]);
    let answer = get(&server.client()).unwrap();
    let value: serde_json::Value = answer.json().unwrap();
    assert_eq!(value["ok"], true);
    assert_eq!(answer.date().unwrap().to_string(), "1994-11-06T08:49:37Z");
    assert!(answer.json::<Vec<u8>>().is_err());
}
