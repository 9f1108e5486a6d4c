//! Bounds in size and time.

use super::*;

#[test]
fn rule_29_an_answer_too_large_is_refused_also_when_compressed() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    let server = Server::plain(vec![json(&body)]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blank = vec![b' '; 1024 * 1024];
    for _ in 0..64 {
        gzip.write_all(&blank).unwrap();
    }
    let server = Server::plain(vec![compressed(&gzip.finish().unwrap())]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);
}

#[test]
fn a_compressed_answer_is_read() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(OK.as_bytes()).unwrap();
    let server = Server::plain(vec![compressed(&gzip.finish().unwrap())]);
    get(&server.client()).unwrap();
}

fn compressed(body: &[u8]) -> Act {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Act::Send([head.as_bytes(), body].concat())
}

#[test]
fn rule_29_a_drip_ends_at_the_deadline() {
    for drip in [
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{          ",
    ] {
        let server = Server::plain(vec![Act::Drip(drip)]);
        let context = Context {
            deadline: Deadline::after(Duration::from_millis(2500)),
            ..quiet()
        };
        let url = format!("http://127.0.0.1:{}", server.port);
        let http = client_in(&url, &Tls::System, &Proxy::System, &context);
        let result = get(&http);
        assert!(sent(&result));
        assert_eq!(why(result), Unreachable::Timeout);
    }
}

#[test]
fn nothing_is_sent_after_the_deadline() {
    let server = Server::plain(vec![json(OK)]);
    let context = Context {
        deadline: Deadline::after(Duration::ZERO),
        ..quiet()
    };
    let url = format!("http://127.0.0.1:{}", server.port);
    let result = get(&client_in(&url, &Tls::System, &Proxy::System, &context));
    assert!(!sent(&result));
    assert_eq!(why(result), Unreachable::Timeout);
    assert!(server.requests().is_empty());
}

#[test]
fn rule_29_a_large_head_is_refused() {
    let server = Server::plain(vec![http(
        "200 OK",
        &format!("X: {}\r\n", "y".repeat(200_000)),
        OK,
    )]);
    assert_eq!(why(get(&server.client())), Unreachable::TooLarge);
}
