//! The listener for a loopback redirect URI. It lives for one sign-in attempt, binds only the
//! registered address, and answers only GET requests for the registered path (RFC 8252, sections
//! 7.3 and 8.3).
//!
//! Browsers open connections that they never use and ask for a favicon, and any program on this
//! machine may connect. No slow or hostile client may delay the one request that counts, so each
//! connection has its own thread, with limits on time and size.

mod clients;
mod page;

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::LoopbackUri;
use crate::error::{Error, Result};
use crate::oauth::{AuthorizationResponse, SignInAttempt};
use clients::Waiting;
use page::Page;

/// The longest request head that is read, in bytes. A portal's redirect is far shorter, but a
/// browser sends the cookies of every program that serves pages on this machine.
const MAX_HEAD: usize = 64 * 1024;

/// How long one client may take to send its request or to read its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the accepting thread checks whether the attempt is over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Listens at a loopback redirect URI until dropped.
#[derive(Debug)]
pub struct Listener {
    received: Receiver<Received>,
    over: Arc<AtomicBool>,
    accepting: Vec<thread::JoinHandle<()>>,
}

/// What arrived while the listener waited.
#[derive(Debug)]
pub enum Arrival {
    /// The portal's response to this attempt.
    Response(AuthorizationResponse),
    /// Something else. It was refused, and the attempt goes on.
    Stray(Stray),
}

/// What arrived instead of the portal's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// A browser that insists on https: the port speaks http.
    Https,
    /// A request with a head longer than the limit.
    TooLarge,
    /// Something other than an HTTP request.
    NotHttp,
    /// A request for another host name.
    OtherHost,
    /// A request for another path.
    OtherPath,
    /// A request that is not a GET.
    OtherMethod,
    /// A response to another attempt.
    OtherAttempt,
    /// A request without a code.
    NoCode,
}

#[derive(Debug)]
enum Received {
    Request(RedirectRequest),
    Stray(Stray),
}

/// A well-formed request for the registered path that has not been answered yet.
#[derive(Debug)]
struct RedirectRequest {
    query: String,
    client: TcpStream,
}

impl Listener {
    /// Binds the registered address and no other. For `localhost`, that is both loopback addresses,
    /// IPv4 and IPv6, or the one that this machine has.
    pub fn bind(uri: &LoopbackUri) -> Result<Self> {
        let (sender, received) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let mut accepting = Vec::new();
        for listener in sockets(uri, listen)? {
            let expected = Expected {
                host: format!("{}:{}", uri.host(), uri.port()),
                path: uri.path().to_owned(),
            };
            let (sender, over) = (sender.clone(), over.clone());
            accepting.push(thread::spawn(move || {
                accept_all(&listener, &Arc::new(expected), &sender, &over);
            }));
        }
        Ok(Self {
            received,
            over,
            accepting,
        })
    }

    /// Waits at most `timeout` for the portal's response to this attempt, or for something else
    /// that arrives in its place. `None` after the timeout.
    #[must_use]
    pub fn wait(&self, sign_in: &SignInAttempt, timeout: Duration) -> Option<Arrival> {
        // The sender lives in the accepting threads, so it is gone only if these have ended.
        match self.received.recv_timeout(timeout).ok()? {
            Received::Stray(stray) => Some(Arrival::Stray(stray)),
            Received::Request(request) => Some(respond(&request, sign_in)),
        }
    }
}

/// Answers the browser, and says what its request means.
fn respond(request: &RedirectRequest, sign_in: &SignInAttempt) -> Arrival {
    use AuthorizationResponse::{
        Code, Declined, Failed, Foreign, OtherPortal, OwnUrl, Unusable, Used,
    };
    let response = sign_in.read_callback(&request.query);
    let (page, stray) = match &response {
        // A browser may load the page again.
        Code(_) | Used => (&page::PAGE_RECEIVED, None),
        Declined => (&page::PAGE_DECLINED, None),
        Failed(_) => (&page::PAGE_FAILED, None),
        OtherPortal(_) => (&page::PAGE_OTHER_PORTAL, None),
        Foreign => (&page::PAGE_FOREIGN, Some(Stray::OtherAttempt)),
        OwnUrl | Unusable => (&page::PAGE_FOREIGN, Some(Stray::NoCode)),
    };
    page.send(&request.client);
    stray.map_or(Arrival::Response(response), Arrival::Stray)
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.accepting.drain(..) {
            // It ends within one pause. Whether it panicked no longer matters.
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Opens the addresses that the URI stands for, by `listen`.
fn sockets<T>(uri: &LoopbackUri, listen: impl Fn(SocketAddr) -> io::Result<T>) -> Result<Vec<T>> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, uri.port()));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, uri.port()));
    let addresses = match uri.host() {
        "localhost" => vec![v4, v6],
        "[::1]" => vec![v6],
        // Any address of 127.0.0.0/8 may be registered; `LoopbackUri` accepts no other host.
        host => vec![SocketAddr::new(
            host.parse().unwrap_or_else(|_| v4.ip()),
            uri.port(),
        )],
    };
    let mut listeners = Vec::new();
    let mut refused = None;
    for address in addresses {
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            // Another program would receive the code.
            Err(why) if why.kind() == ErrorKind::AddrInUse => {
                return Err(Error::listen(address, why))
            }
            // A machine may have only one of the two protocols. How a system reports that differs.
            Err(why) => {
                refused.get_or_insert((address, why));
            }
        }
    }
    match (listeners.is_empty(), refused) {
        (true, Some((address, why))) => Err(Error::listen(address, why)),
        _ => Ok(listeners),
    }
}

/// The redirect URI's host with port, and its path.
pub(crate) struct Expected {
    pub(crate) host: String,
    pub(crate) path: String,
}

fn accept_all(
    listener: &TcpListener,
    expected: &Arc<Expected>,
    sender: &Sender<Received>,
    over: &AtomicBool,
) {
    let waiting = Arc::new(Waiting::default());
    while !over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, _)) => start(client, &waiting, expected, sender),
            Err(why) => {
                // Too many open files, for example.
                if why.kind() != ErrorKind::WouldBlock {
                    waiting.make_room();
                }
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Serves a client in a thread of its own, so that no other one has to wait for it.
fn start(
    client: TcpStream,
    waiting: &Arc<Waiting>,
    expected: &Arc<Expected>,
    sender: &Sender<Received>,
) {
    let Ok(copy) = client.try_clone() else {
        waiting.make_room();
        return;
    };
    let number = waiting.add(copy);
    let (serving, expected, sender) = (Arc::clone(waiting), expected.clone(), sender.clone());
    let started = thread::Builder::new().spawn(move || {
        let head = receive_head(&client);
        serving.remove(number);
        serve(client, head, &expected, &sender);
    });
    if started.is_err() {
        waiting.remove(number);
        waiting.make_room();
    }
}

fn serve(
    client: TcpStream,
    head: io::Result<std::result::Result<String, Stray>>,
    expected: &Expected,
    sender: &Sender<Received>,
) {
    // A connection that was opened in advance and never used needs no answer.
    let Ok(head) = head else { return };
    let refused = match head.map(|head| check(&head, expected)) {
        Ok(Ok(query)) => {
            // Fails when the attempt is over; the connection is closed then.
            let _ = sender.send(Received::Request(RedirectRequest { query, client }));
            return;
        }
        Ok(Err(refused)) => refused,
        Err(stray) => Refused {
            page: &page::PAGE_BAD,
            stray: Some(stray),
        },
    };
    if let Some(stray) = refused.stray {
        let _ = sender.send(Received::Stray(stray));
    }
    // Text would not be understood in a TLS handshake.
    if refused.stray != Some(Stray::Https) {
        refused.page.send_and_drop_rest(&client);
    }
}

/// Reads up to the blank line that ends a request's head, within [`MAX_HEAD`] and
/// [`CLIENT_TIMEOUT`].
fn receive_head(mut client: &TcpStream) -> io::Result<std::result::Result<String, Stray>> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let end = Instant::now() + CLIENT_TIMEOUT;
    let mut received = Vec::new();
    let mut piece = [0_u8; 2048];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        let count = client.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&piece[..count]);
        if let Some(head) = complete_head(&received) {
            return Ok(head);
        }
    }
}

/// The request head, once all of it has been received, or what was received instead. Bytes after
/// the head are ignored: how many of them arrive with it varies.
pub(crate) fn complete_head(received: &[u8]) -> Option<std::result::Result<String, Stray>> {
    // A TLS record of the type "handshake".
    if received.starts_with(&[0x16, 0x03]) {
        return Some(Err(Stray::Https));
    }
    let within = &received[..received.len().min(MAX_HEAD)];
    if let Some(end) = within.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8(within[..end].to_vec());
        return Some(head.map_err(|_| Stray::NotHttp));
    }
    (received.len() >= MAX_HEAD).then_some(Err(Stray::TooLarge))
}

/// A request that is not the portal's response: the page to answer with, and what to report.
#[derive(Clone, Copy)]
pub(crate) struct Refused {
    page: &'static Page,
    stray: Option<Stray>,
}

/// The query of a GET request for the registered path at the registered host.
pub(crate) fn check(head: &str, expected: &Expected) -> std::result::Result<String, Refused> {
    let refuse = |page, stray| {
        Err(Refused {
            page,
            stray: Some(stray),
        })
    };
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (request.next(), request.next().unwrap_or_default());
    let hosts: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    if hosts.is_empty() {
        return refuse(&page::PAGE_BAD, Stray::NotHttp);
    }
    // A website may make the browser send requests here under the website's own name (DNS
    // rebinding).
    if hosts.len() != 1 || !hosts[0].eq_ignore_ascii_case(&expected.host) {
        return refuse(&page::PAGE_BAD, Stray::OtherHost);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != expected.path {
        return Err(Refused {
            page: &page::PAGE_NOT_FOUND,
            stray: (!is_automatic(path)).then_some(Stray::OtherPath),
        });
    }
    if method != Some("GET") {
        return refuse(&page::PAGE_METHOD, Stray::OtherMethod);
    }
    Ok(query.to_owned())
}

/// Whether browsers ask for this path by themselves.
fn is_automatic(path: &str) -> bool {
    path == "/favicon.ico"
        || path.starts_with("/apple-touch-icon")
        || path.starts_with("/.well-known/")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::connection::{Connection, Grant, RedirectUri};
    use crate::oauth::SignInOptions;
    use std::io::Write;

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    }

    fn attempt(port: u16) -> (SignInAttempt, LoopbackUri) {
        let redirect_uri: RedirectUri =
            format!("http://127.0.0.1:{port}/callback").parse().unwrap();
        let RedirectUri::Loopback(uri) = redirect_uri.clone() else {
            panic!("a loopback URI");
        };
        let connection = Connection::new(
            "prod".parse().unwrap(),
            "https://h/portal".parse().unwrap(),
            Grant::User {
                redirect_uri,
                pkce: true,
            },
            "client1".into(),
        );
        let sign_in = SignInAttempt::begin(&connection, &SignInOptions::default()).unwrap();
        (sign_in, uri)
    }

    fn state(sign_in: &SignInAttempt) -> String {
        url::Url::parse(sign_in.url())
            .unwrap()
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned()
    }

    const LONG: Duration = Duration::from_secs(30);

    fn send(port: u16, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        // A request that is taken for the portal's response gets its answer after the wait only.
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    fn get(port: u16, target: &str) -> TcpStream {
        send(
            port,
            &format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
        )
    }

    fn read(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    /// Waits for the portal's response, and returns what arrived before it.
    fn response(
        listener: &Listener,
        sign_in: &SignInAttempt,
    ) -> (AuthorizationResponse, Vec<Stray>) {
        let mut strays = Vec::new();
        loop {
            match listener.wait(sign_in, LONG).unwrap() {
                Arrival::Response(response) => return (response, strays),
                Arrival::Stray(stray) => strays.push(stray),
            }
        }
    }

    fn is_code(response: &AuthorizationResponse) -> bool {
        matches!(response, AuthorizationResponse::Code(_))
    }

    #[test]
    fn rule_13_the_page_holds_nothing_and_leads_nowhere() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        let client = get(
            port,
            &format!("/callback?code=c0de1&state={}", state(&sign_in)),
        );
        assert!(is_code(&response(&listener, &sign_in).0));
        let page = read(client);
        assert!(page.starts_with("HTTP/1.1 200"));
        assert!(page.contains("Referrer-Policy: no-referrer\r\n"));
        assert!(page.contains("Cache-Control: no-store\r\n"));
        for absent in [
            "c0de1",
            &state(&sign_in),
            "http://",
            "https://",
            "<script",
            "Location",
        ] {
            assert!(!page.contains(absent), "{absent}");
        }
    }

    #[test]
    fn rule_9_what_is_no_answer_is_turned_away_and_the_wait_goes_on() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let turned_away = [
            (get(port, "/favicon.ico"), "404"),
            (
                send(
                    port,
                    &format!("POST /callback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
                ),
                "405",
            ),
            (
                send(
                    port,
                    "GET /callback?code=x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                ),
                "400",
            ),
            (send(port, "GET /callback?code=x HTTP/1.1\r\n\r\n"), "400"),
            (
                send(
                    port,
                    &format!("GET /callback HTTP/1.1\r\n\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
                ),
                "400",
            ),
        ];
        for (client, status) in turned_away {
            assert!(
                read(client).starts_with(&format!("HTTP/1.1 {status}")),
                "{status}"
            );
        }
        let mut large = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The listener stops reading at 16 KiB; how much of the rest is accepted depends on the
        // system.
        let _ = large.write_all(&vec![b'x'; 1024 * 1024]);
        drop(large);
        let wrong = get(port, "/callback?code=abcdef&state=wrong");
        let right = get(
            port,
            &format!("/callback?code=abcdef&state={}", state(&sign_in)),
        );
        assert!(is_code(&response(&listener, &sign_in).0));
        assert!(read(right).starts_with("HTTP/1.1 200"));
        // Whichever of the two was served first, the wrong one never ended the wait with a code.
        drop(listener);
        let mut text = String::new();
        let mut wrong = wrong;
        let _ = wrong.read_to_string(&mut text);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn rule_8_the_port_is_taken_exclusively_and_given_back() {
        let port = free_port();
        let (_, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        assert!(Listener::bind(&uri).is_err());
        drop(listener);
        assert!(Listener::bind(&uri).is_ok());
    }

    /// What each of these addresses gets: `Ok`, or this error.
    fn listens(uri: &str, errors: [Option<ErrorKind>; 2]) -> std::result::Result<usize, String> {
        let RedirectUri::Loopback(uri) = uri.parse().unwrap() else {
            panic!("a loopback URI");
        };
        sockets(&uri, |address| {
            match errors[usize::from(address.is_ipv6())] {
                Some(kind) => Err(kind.into()),
                None => Ok(()),
            }
        })
        .map(|sockets| sockets.len())
        .map_err(|error| error.to_string())
    }

    #[test]
    fn localhost_needs_only_one_of_its_two_addresses() {
        let localhost = "http://localhost:53682/";
        assert_eq!(listens(localhost, [None, None]), Ok(2));
        for kind in [
            ErrorKind::AddrNotAvailable,
            ErrorKind::Unsupported,
            ErrorKind::PermissionDenied,
            ErrorKind::Other,
        ] {
            assert_eq!(listens(localhost, [None, Some(kind)]), Ok(1), "{kind:?}");
            assert_eq!(listens(localhost, [Some(kind), None]), Ok(1), "{kind:?}");
            let none = listens(localhost, [Some(kind), Some(kind)]).unwrap_err();
            assert!(none.contains("127.0.0.1:53682"), "{none}");
            listens("http://127.0.0.1:53682/", [Some(kind), None]).unwrap_err();
            listens("http://[::1]:53682/", [None, Some(kind)]).unwrap_err();
        }
        let used = Some(ErrorKind::AddrInUse);
        assert!(listens(localhost, [None, used])
            .unwrap_err()
            .contains("[::1]"));
        assert!(listens(localhost, [used, None])
            .unwrap_err()
            .contains("127.0.0.1"));
    }

    #[test]
    fn any_number_of_idle_connections_does_not_keep_the_response_out() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        let idle: Vec<_> = (0..clients::MAX_WAITING * 2)
            .map(|_| send(port, "GET /callback?code=sl"))
            .collect();
        let client = get(
            port,
            &format!("/callback?code=abcdef&state={}", state(&sign_in)),
        );
        assert!(is_code(&response(&listener, &sign_in).0));
        assert!(read(client).starts_with("HTTP/1.1 200"));
        drop(idle);
    }

    #[test]
    fn what_arrives_in_place_of_the_response_is_reported_and_the_wait_goes_on() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        let host = format!("Host: 127.0.0.1:{port}\r\n\r\n");
        let mut expected = Vec::new();
        let mut open = Vec::new();
        for (request, stray) in [
            ("\u{16}\u{3}\u{1}".to_owned(), Some(Stray::Https)),
            ("SSH-2.0-x\r\n\r\n".to_owned(), Some(Stray::NotHttp)),
            ("x".repeat(MAX_HEAD), Some(Stray::TooLarge)),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
                Some(Stray::OtherHost),
            ),
            (format!("GET / HTTP/1.1\r\n{host}"), Some(Stray::OtherPath)),
            (format!("GET /favicon.ico HTTP/1.1\r\n{host}"), None),
            (
                format!("POST /callback HTTP/1.1\r\nContent-Length: 9\r\n{host}code=abcd"),
                Some(Stray::OtherMethod),
            ),
            (
                format!("HEAD /callback?code=abcd HTTP/1.1\r\n{host}"),
                Some(Stray::OtherMethod),
            ),
            (
                format!("OPTIONS /callback HTTP/1.1\r\n{host}"),
                Some(Stray::OtherMethod),
            ),
            (
                format!("GET /callback?code=abcd&state=x HTTP/1.1\r\n{host}"),
                Some(Stray::OtherAttempt),
            ),
            (
                format!("GET /callback?state={} HTTP/1.1\r\n{host}", state(&sign_in)),
                Some(Stray::NoCode),
            ),
        ] {
            open.push(send(port, &request));
            // One at a time, so that the order is known.
            if let Some(stray) = stray {
                let Some(Arrival::Stray(seen)) = listener.wait(&sign_in, LONG) else {
                    panic!("{stray:?}");
                };
                expected.push((seen, stray));
            }
        }
        for (seen, stray) in expected {
            assert_eq!(seen, stray);
        }
        let cookies = "x".repeat(20_000);
        let request = format!(
            "GET /callback?code=abcdef&state={} HTTP/1.1\r\nCookie: {cookies}\r\n{host}",
            state(&sign_in)
        );
        let client = send(port, &request);
        assert!(is_code(&response(&listener, &sign_in).0));
        assert!(read(client).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn a_wait_ends() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        assert!(listener.wait(&sign_in, Duration::from_millis(1)).is_none());
    }
}
