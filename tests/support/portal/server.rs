//! TLS and HTTP: a thread for each connection, one request on each, faults applied on the way.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::SignedDuration;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::browser::BROWSER;
use super::faults::{self, Endpoint, Fault};
use super::fixture::State;
use super::http::{read_request, Request, Response};
use super::pages;
use super::routes::{self, Route};
use super::rules::Guard;

/// How long to wait for a client, and the duration of [`Fault::Silence`].
const TIMEOUT: Duration = Duration::from_secs(60);

/// What all connections of a portal share.
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    tls: Arc<ServerConfig>,
}

impl Shared {
    pub fn new(state: State, tls: ServerConfig) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            tls: Arc::new(tls),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until `met`, which is checked after every request; `false` after the limit.
    pub fn wait_until(&self, limit: Duration, mut met: impl FnMut(&State) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        while !met(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.state());
        self.changed.notify_all();
        result
    }
}

/// Accepts connections on one loopback port until it is dropped.
pub struct Acceptor {
    port: u16,
    stopped: Arc<AtomicBool>,
    threads: Vec<(SocketAddr, JoinHandle<()>)>,
    open: Arc<Open>,
}

/// How many connections are being served.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Open {
    fn add(self: &Arc<Self>) -> Served {
        *self.count.lock().unwrap() += 1;
        Served(Arc::clone(self))
    }
}

/// A connection that is being served.
struct Served(Arc<Open>);

impl Drop for Served {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap() -= 1;
        self.0.changed.notify_all();
    }
}

impl Acceptor {
    /// Hands each connection to a thread running `serve`. Port 0 picks a free one.
    pub fn start(port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> io::Result<Self> {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = first.local_addr()?.port();
        // `localhost` may mean `::1` first; if that is not available, clients use 127.0.0.1.
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        let stopped = Arc::new(AtomicBool::new(false));
        let serve = Arc::new(serve);
        let (mut threads, open) = (Vec::new(), Arc::new(Open::default()));
        for listener in [Some(first), second].into_iter().flatten() {
            let (stopped, serve) = (Arc::clone(&stopped), Arc::clone(&serve));
            let (address, open) = (listener.local_addr()?, Arc::clone(&open));
            threads.push((
                address,
                thread::spawn(move || accept(&listener, &stopped, &open, &serve)),
            ));
        }
        Ok(Self {
            port,
            stopped,
            threads,
            open,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until every connection made so far has been served to its end.
    pub fn finish_requests(&self) {
        for (address, _) in &self.threads {
            // Connections are accepted in order: when this one is over, all earlier ones have been
            // accepted.
            let mut probe = TcpStream::connect(address).unwrap();
            let _ = probe.shutdown(Shutdown::Write);
            let _ = probe.read(&mut [0]);
        }
        let count = self.open.count.lock().unwrap();
        let over = self
            .open
            .changed
            .wait_timeout_while(count, TIMEOUT, |count| *count > 0);
        assert!(!over.unwrap().1.timed_out(), "a connection stays open");
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        for (address, thread) in self.threads.drain(..) {
            let woken = TcpStream::connect(address);
            if woken.is_ok() {
                let _ = thread.join();
            }
        }
    }
}

fn accept<F>(listener: &TcpListener, stopped: &AtomicBool, open: &Arc<Open>, serve: &Arc<F>)
where
    F: Fn(TcpStream) + Send + Sync + 'static,
{
    for stream in listener.incoming() {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(stream) = stream {
            let (serve, served) = (Arc::clone(serve), open.add());
            thread::spawn(move || {
                serve(stream);
                drop(served);
            });
        }
    }
}

/// Serves one connection that came to `origin`.
pub fn connection(shared: &Shared, origin: &str, port: u16, tcp: TcpStream) {
    let fault = shared.change(|state| {
        state.log.connections += 1;
        state.rules.take_fault(Endpoint::Handshake)
    });
    let _ = tcp.set_read_timeout(Some(TIMEOUT));
    let _ = tcp.set_write_timeout(Some(TIMEOUT));
    let _ = tcp.set_nodelay(true);
    if !begins_tls(shared, &tcp) || break_handshake(fault, &tcp) {
        return;
    }
    let Ok(tls) = ServerConnection::new(Arc::clone(&shared.tls)) else {
        return;
    };
    let mut stream = StreamOwned::new(tls, tcp);
    if shake_hands(&mut stream).is_err() {
        // The alert with the reason still has to be sent.
        let _ = stream.conn.write_tls(&mut stream.sock);
        shared.change(|state| state.log.broken_handshakes += 1);
        return;
    }
    if let Ok(request) = read_request(&mut stream) {
        exchange(shared, origin, port, &request, &mut stream);
    }
}

fn shake_hands(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(())
}

/// A client that sends anything but TLS to this port violates rule 14.
fn begins_tls(shared: &Shared, tcp: &TcpStream) -> bool {
    let mut first = [0];
    match tcp.peek(&mut first) {
        Ok(1) if first[0] == 0x16 => true,
        Ok(1) => {
            shared.change(|state| state.log.violation("rule 14: a request without TLS"));
            false
        }
        _ => {
            shared.change(|state| state.log.broken_handshakes += 1);
            false
        }
    }
}

/// Applies a fault of the handshake; returns whether the connection ends there.
fn break_handshake(fault: Option<Fault>, mut tcp: &TcpStream) -> bool {
    match fault {
        Some(Fault::TlsClose) => {
            let _ = tcp.read(&mut [0; 1024]);
            true
        }
        Some(Fault::Raw(bytes)) => {
            let _ = tcp.write_all(&bytes);
            true
        }
        Some(Fault::Silence) => {
            wait_for_departure(tcp);
            true
        }
        Some(Fault::Delay(time)) => {
            thread::sleep(time);
            false
        }
        Some(Fault::HoldBefore(gate)) => {
            gate.wait_until_open();
            false
        }
        _ => false,
    }
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Handles one request, with its planned fault.
fn exchange(shared: &Shared, origin: &str, port: u16, request: &Request, stream: &mut Tls) {
    let (route, number, fault) = shared.change(|state| {
        let route = routes::find(&state.place, origin, request);
        let number = state
            .log
            .record(request, route.endpoint, state.clock.now(), port);
        let fault = state.rules.take_fault(route.endpoint);
        (route, number, fault)
    });
    if let Some(Fault::HoldBefore(gate)) = &fault {
        gate.wait_until_open();
    }
    let Some(response) = respond(shared, &route, origin, request, fault.as_ref(), stream) else {
        return;
    };
    match &fault {
        Some(Fault::Delay(time)) => thread::sleep(*time),
        Some(Fault::HoldAfter(gate)) => gate.wait_until_open(),
        Some(Fault::HoldUntilLeft(gate)) => {
            gate.arrive();
            wait_for_departure(&stream.sock);
        }
        _ => {}
    }
    let arrived = !client_has_left(&stream.sock) && send(shared, stream, &response, fault.as_ref());
    shared.change(|state| {
        if let Some(spent) = response.spent.as_ref().filter(|_| !arrived) {
            state.issued.allow_retry(spent);
        }
        let recorded = &mut state.log.requests[number];
        recorded.granted = response.grants;
        if arrived {
            recorded.status = Some(response.status);
        }
    });
    if !matches!(fault, Some(Fault::ResetAfter | Fault::Truncated)) {
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

/// The response, before faults that damage it. `None` if there is no response.
fn respond(
    shared: &Shared,
    route: &Route,
    origin: &str,
    request: &Request,
    fault: Option<&Fault>,
    stream: &mut Tls,
) -> Option<Response> {
    match fault {
        None => {}
        Some(fault) if fault.happens_after_processing() => {}
        Some(Fault::Raw(bytes)) => {
            let _ = stream.write_all(bytes).and_then(|()| stream.flush());
            return None;
        }
        Some(Fault::Silence) => {
            wait_for_departure(&stream.sock);
            return None;
        }
        Some(fault) => return fault.answer(),
    }
    Some(shared.change(|state| {
        basic_refusal(state, request)
            .or_else(|| guard_refusal(state, route, origin, request))
            .unwrap_or_else(|| routes::answer(state, route, origin, request))
    }))
}

/// Basic authentication for everything, if the rules require it.
fn basic_refusal(state: &State, request: &Request) -> Option<Response> {
    let (user, password) = state.rules.basic.as_ref()?;
    let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let page = || Response::html(401, pages::unauthorized());
    (request.header("authorization") != Some(expected.as_str()))
        .then(|| page().with("WWW-Authenticate", "Basic realm=\"practice\""))
}

/// What the web server in front of the portal's own address answers for the portal, to everything
/// but a browser. Federated servers are not guarded.
fn guard_refusal(
    state: &State,
    route: &Route,
    origin: &str,
    request: &Request,
) -> Option<Response> {
    let guard = state.rules.guard?;
    let is_server = matches!(route.endpoint, Endpoint::Federated | Endpoint::Standalone);
    if is_server || origin != state.place.origin || request.header(BROWSER.0).is_some() {
        return None;
    }
    Some(match guard {
        Guard::Negotiate => Response::html(401, pages::unauthorized())
            .with("WWW-Authenticate", "Negotiate")
            .with("WWW-Authenticate", "NTLM"),
        Guard::Certificate => Response::html(400, pages::no_certificate()),
    })
}

fn send(shared: &Shared, stream: &mut Tls, response: &Response, fault: Option<&Fault>) -> bool {
    let date = {
        let state = shared.state();
        let ahead = SignedDuration::from_secs(state.rules.date_ahead_seconds);
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&(state.clock.now() + ahead))
            .unwrap()
    };
    faults::send(stream, response, &date, fault).unwrap_or(false)
}

/// Whether the client has closed the connection: it has nothing more to send, so that any byte is a
/// `close_notify`.
fn client_has_left(tcp: &TcpStream) -> bool {
    let _ = tcp.set_nonblocking(true);
    let peeked = tcp.peek(&mut [0]);
    let _ = tcp.set_nonblocking(false);
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn wait_for_departure(mut tcp: &TcpStream) {
    let mut ignored = [0; 4096];
    while matches!(tcp.read(&mut ignored), Ok(read) if read > 0) {}
}
