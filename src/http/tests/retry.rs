//! When a request is repeated, and what is reported to the observer.

use super::*;
use crate::event::Observer;
use crate::http::retry::backoff;

#[test]
fn a_broken_answer_is_asked_for_again_only_where_that_is_harmless() {
    for act in [
        Act::Close,
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\"".to_vec()),
        Act::Send(b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"x".to_vec()),
    ] {
        let server = Server::plain(vec![act.clone(), json(OK)]);
        get(&server.client()).unwrap();
        assert_eq!(server.requests().len(), 2);

        let server = Server::plain(vec![act, json(OK)]);
        let result = post_once(&server.client());
        assert!(sent(&result));
        assert!(matches!(why(result), Unreachable::Broken(_)));
        assert_eq!(server.requests().len(), 1, "a code is exchanged once");
    }
}

#[test]
fn a_refused_connection_leaves_nothing_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let result = post_once(&client(&url, &Tls::System));
    assert!(!sent(&result));
    assert!(matches!(why(result), Unreachable::Connect(_)));
}

#[test]
fn the_portal_may_ask_to_come_back() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let later = http(status, "Retry-After: 0\r\n", "");
        let server = Server::plain(vec![later.clone(), later, json(OK)]);
        post_once(&server.client()).unwrap();
        assert_eq!(server.requests().len(), 3);
    }
}

#[test]
fn a_passing_failure_is_tried_three_times() {
    let down = http(
        "503 Service Unavailable",
        "Content-Type: text/html\r\n",
        "<html>",
    );
    let server = Server::plain(vec![down.clone(), down.clone(), json(OK)]);
    get(&server.client()).unwrap();
    let server = Server::plain(vec![down]);
    assert!(matches!(
        why(get(&server.client())),
        Unreachable::Status { status: 503, .. }
    ));
    assert_eq!(server.requests().len(), 3);
    assert!(sent(&post_once(&server.client())));
    assert_eq!(
        server.requests().len(),
        4,
        "without a time to come back, once"
    );
}

#[test]
fn a_long_wait_does_not_begin() {
    let later = http("503 Service Unavailable", "Retry-After: 11\r\n", "");
    let server = Server::plain(vec![later, json(OK)]);
    assert!(matches!(
        why(get(&server.client())),
        Unreachable::Status { status: 503, .. }
    ));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn waits_grow_with_some_chance_in_them() {
    for (attempt, least) in [(1, 500), (2, 1000)] {
        let wait = backoff(attempt);
        let least = Duration::from_millis(least);
        assert!(wait >= least && wait <= least + least / 4, "{wait:?}");
    }
}

#[test]
fn each_attempt_is_reported_to_the_observer() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let context = Context {
        observer: Observer::new(move |event| heard.lock().unwrap().push(event.clone())),
        ..quiet()
    };
    let server = Server::plain(vec![
        http("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        json(OK),
    ]);
    let url = format!("http://127.0.0.1:{}", server.port);
    get(&client_in(&url, &Tls::System, &Proxy::System, &context)).unwrap();
    let events = events.lock().unwrap();
    let statuses: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Http { url, status, .. } => {
                assert!(!url.contains('?'));
                *status
            }
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [429, 200]);
    let host = format!("127.0.0.1:{}", server.port);
    assert_eq!(events.first(), Some(&Event::Waiting(Wait::Portal { host })));
    assert_eq!(events.last(), Some(&Event::WaitOver));
    assert!(events
        .iter()
        .any(|event| matches!(event, Event::Retrying { .. })));
}
