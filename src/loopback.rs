//! The listener for a loopback redirect URI. It lives for one sign-in attempt, binds only the
//! registered address, and answers only GET requests for the registered path (RFC 8252, sections
//! 7.3 and 8.3).
//!
//! Browsers open connections that they never use and ask for a favicon, and any program on this
//! machine may connect. No slow or hostile client may delay the one request that counts, so each
//! connection has its own thread, with limits on time and size.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::LoopbackUri;
use crate::error::{Error, Result};
use crate::oauth::{AuthorizationResponse, SignInAttempt};

/// The longest request head that is read, in bytes. A portal's redirect is far shorter.
const MAX_HEAD: usize = 16 * 1024;

/// How long one client may take to send its request or to read its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many clients are served at the same time. A browser opens a handful of connections; more are
/// closed at once.
const MAX_CLIENTS: usize = 16;

/// How often the accepting thread checks whether the attempt is over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Listens at a loopback redirect URI until dropped.
#[derive(Debug)]
pub struct Listener {
    requests: Receiver<RedirectRequest>,
    over: Arc<AtomicBool>,
    accepting: Vec<thread::JoinHandle<()>>,
}

/// A well-formed request for the registered path that has not been answered yet.
#[derive(Debug)]
struct RedirectRequest {
    query: String,
    client: TcpStream,
}

impl Listener {
    /// Binds the registered address and no other. For `localhost`, that is both loopback addresses,
    /// IPv4 and IPv6.
    pub fn bind(uri: &LoopbackUri) -> Result<Self> {
        let (sender, requests) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let mut accepting = Vec::new();
        for listener in sockets(uri)? {
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
            requests,
            over,
            accepting,
        })
    }

    /// Waits at most `timeout` for the portal's response to this attempt. A response to another
    /// attempt gets HTTP status 400, and the wait goes on. `None` after the timeout.
    #[must_use]
    pub fn wait(
        &self,
        sign_in: &SignInAttempt,
        timeout: Duration,
    ) -> Option<AuthorizationResponse> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.requests.recv_timeout(left) {
                Ok(request) => {
                    let response = sign_in.read_callback(&request.query);
                    let page = match &response {
                        AuthorizationResponse::Code(_) => &PAGE_RECEIVED,
                        AuthorizationResponse::Declined => &PAGE_DECLINED,
                        AuthorizationResponse::Failed(_) => &PAGE_FAILED,
                        _ => {
                            answer(&request.client, &PAGE_FOREIGN);
                            continue;
                        }
                    };
                    answer(&request.client, page);
                    return Some(response);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
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

fn sockets(uri: &LoopbackUri) -> Result<Vec<TcpListener>> {
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
        match TcpListener::bind(address).and_then(|l| l.set_nonblocking(true).map(|()| l)) {
            Ok(listener) => listeners.push(listener),
            // A machine without IPv6 still has the IPv4 address.
            Err(why) if why.kind() == ErrorKind::AddrNotAvailable => refused = Some((address, why)),
            Err(why) => return Err(Error::listen(address, why)),
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
    sender: &Sender<RedirectRequest>,
    over: &AtomicBool,
) {
    let clients = Arc::new(AtomicUsize::new(0));
    while !over.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        if clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (expected, sender, clients) = (expected.clone(), sender.clone(), clients.clone());
        thread::spawn(move || {
            serve(client, &expected, &sender);
            clients.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn serve(client: TcpStream, expected: &Expected, sender: &Sender<RedirectRequest>) {
    let ready = client
        .set_nonblocking(false)
        .and_then(|()| client.set_write_timeout(Some(CLIENT_TIMEOUT)));
    if ready.is_err() {
        return;
    }
    match read_head(&client).map(|head| check(&head, expected)) {
        Ok(Ok(query)) => {
            // Fails when the attempt is over; the connection is closed then.
            let _ = sender.send(RedirectRequest { query, client });
        }
        Ok(Err(page)) => answer(&client, page),
        Err(why) if why.kind() == ErrorKind::InvalidData => answer(&client, &PAGE_BAD),
        // A connection that was opened in advance and never used needs no answer.
        Err(_) => {}
    }
}

/// Reads up to the blank line that ends a request's head, within [`MAX_HEAD`] and
/// [`CLIENT_TIMEOUT`].
fn read_head(mut client: &TcpStream) -> io::Result<String> {
    let end = Instant::now() + CLIENT_TIMEOUT;
    let mut head = Vec::new();
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
        head.extend_from_slice(&piece[..count]);
        if let Some(outcome) = complete_head(&head) {
            return outcome;
        }
    }
}

/// The request head, once all of it has been received; an error if it is too long or not text.
/// Bytes after the head are ignored: how many of them arrive with it varies.
pub(crate) fn complete_head(received: &[u8]) -> Option<io::Result<String>> {
    let bad = || io::Error::from(ErrorKind::InvalidData);
    let within = &received[..received.len().min(MAX_HEAD)];
    if let Some(end) = within.windows(4).position(|window| window == b"\r\n\r\n") {
        return Some(String::from_utf8(within[..end].to_vec()).map_err(|_| bad()));
    }
    (received.len() >= MAX_HEAD).then(|| Err(bad()))
}

/// The query of a GET request for the registered path at the registered host; for other requests,
/// the page to answer with.
pub(crate) fn check(head: &str, expected: &Expected) -> std::result::Result<String, &'static Page> {
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (request.next(), request.next().unwrap_or_default());
    let hosts: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    // A website may make the browser send requests here under the website's own name (DNS
    // rebinding).
    if hosts.len() != 1 || !hosts[0].eq_ignore_ascii_case(&expected.host) {
        return Err(&PAGE_BAD);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != expected.path {
        return Err(&PAGE_NOT_FOUND);
    }
    if method != Some("GET") {
        return Err(&PAGE_METHOD);
    }
    Ok(query.to_owned())
}

/// An answer to the browser.
pub(crate) struct Page {
    status: &'static str,
    title: &'static str,
    text: &'static str,
}

static PAGE_RECEIVED: Page = Page {
    status: "200 OK",
    title: "Signed in",
    text: "The portal's response has arrived. You can close this window and return to where you started.",
};
static PAGE_DECLINED: Page = Page {
    status: "200 OK",
    title: "Declined",
    text: "The sign-in was declined. You can close this window.",
};
static PAGE_FAILED: Page = Page {
    status: "200 OK",
    title: "Not signed in",
    text: "The portal reported an error. It is shown where you started.",
};
static PAGE_FOREIGN: Page = Page {
    status: "400 Bad Request",
    title: "Not this sign-in",
    text: "This response belongs to another sign-in attempt. Use the window that was opened last.",
};
static PAGE_BAD: Page = Page {
    status: "400 Bad Request",
    title: "Not understood",
    text: "This is not a response from a portal.",
};
static PAGE_NOT_FOUND: Page = Page {
    status: "404 Not Found",
    title: "Nothing here",
    text: "Only the portal's response is expected here.",
};
static PAGE_METHOD: Page = Page {
    status: "405 Method Not Allowed",
    title: "Not understood",
    text: "Only GET requests are answered here.",
};

/// Writes a page that repeats nothing from the request, loads nothing and links to nothing, and
/// closes the connection.
fn answer(mut client: &TcpStream, page: &Page) {
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <style>body{{font:18px/1.5 system-ui,sans-serif;max-width:34em;margin:18vh auto;padding:0 1em;color:#1b1f24;background:#fff}}\
         h1{{font-size:1.5em}}p{{color:#444c56}}@media(prefers-color-scheme:dark){{body{{color:#e6edf3;background:#0d1117}}p{{color:#9aa4af}}}}</style>\n\
         </head><body><h1>{title}</h1><p>{text}</p></body></html>\n",
        title = page.title,
        text = page.text
    );
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n",
        page.status,
        body.len()
    );
    // A client that went away needs no answer.
    let _ = client
        .write_all(head.as_bytes())
        .and_then(|()| client.write_all(body.as_bytes()))
        .and_then(|()| client.flush())
        .and_then(|()| client.shutdown(std::net::Shutdown::Write));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::connection::{Connection, Grant, RedirectUri};
    use crate::oauth::SignInOptions;

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

    fn send(port: u16, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(request.as_bytes()).unwrap();
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

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn rule_13_the_page_holds_nothing_and_leads_nowhere() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        let client = get(
            port,
            &format!("/callback?code=c0de1&state={}", state(&sign_in)),
        );
        assert!(matches!(
            listener.wait(&sign_in, LONG),
            Some(AuthorizationResponse::Code(_))
        ));
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
        assert!(matches!(
            listener.wait(&sign_in, LONG),
            Some(AuthorizationResponse::Code(_))
        ));
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

    #[test]
    fn a_wait_ends() {
        let port = free_port();
        let (sign_in, uri) = attempt(port);
        let listener = Listener::bind(&uri).unwrap();
        assert!(listener.wait(&sign_in, Duration::from_millis(1)).is_none());
    }
}
