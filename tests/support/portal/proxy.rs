//! A forward proxy: HTTP CONNECT to this machine and to nowhere else, with or without credentials.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;

use super::http::{read_request, Request};
use super::server::Acceptor;

/// How long to wait for either side.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A proxy that records where it was asked to connect.
pub struct Proxy {
    acceptor: Acceptor,
    log: Arc<Mutex<Log>>,
}

/// What a proxy does besides forwarding.
#[derive(Clone, Default)]
struct Behaviour {
    /// The `Proxy-Authorization` that it requires.
    credentials: Option<String>,
    /// What it offers in `Proxy-Authenticate`.
    offers: Vec<String>,
    /// Names that it leads to a port of this machine, as DNS would.
    names: Vec<(String, u16)>,
}

#[derive(Default)]
struct Log {
    hosts: Vec<String>,
    refused: usize,
}

impl Proxy {
    /// A proxy without credentials.
    pub fn start() -> Self {
        Self::with(Behaviour::default())
    }

    /// A proxy that leads each of these host names to a port of this machine.
    pub fn leading(names: &[(&str, u16)]) -> Self {
        Self::with(Behaviour {
            names: names
                .iter()
                .map(|(name, port)| ((*name).to_owned(), *port))
                .collect(),
            ..Behaviour::default()
        })
    }

    /// A proxy that answers 407 to everything and offers only these schemes.
    pub fn offering(schemes: &[&str]) -> Self {
        Self::with(Behaviour {
            credentials: Some("none is accepted".to_owned()),
            offers: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
            ..Behaviour::default()
        })
    }

    /// A proxy that answers 407 without these credentials (Basic).
    pub fn requiring(user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Self::with(Behaviour {
            credentials: Some(format!("Basic {pair}")),
            offers: vec!["Basic realm=\"practice\"".to_owned()],
            ..Behaviour::default()
        })
    }

    fn with(behaviour: Behaviour) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        let serve = move |tcp: TcpStream| {
            let _ = serve(&shared, &behaviour, tcp);
        };
        let acceptor = Acceptor::start(0, serve).expect("no port for the proxy");
        Self { acceptor, log }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.acceptor.port())
    }

    /// The same with credentials in it.
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!(
            "http://{user}:{password}@127.0.0.1:{}",
            self.acceptor.port()
        )
    }

    /// `host:port` of each accepted CONNECT, in order.
    pub fn hosts(&self) -> Vec<String> {
        self.log.lock().unwrap().hosts.clone()
    }

    /// How many requests were refused: 407, not CONNECT, or a host beyond this machine.
    pub fn refused(&self) -> usize {
        self.log.lock().unwrap().refused
    }
}

fn serve(log: &Mutex<Log>, behaviour: &Behaviour, mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    let request = read_request(&mut client)?;
    if let Some(refusal) = refusal(behaviour, &request) {
        log.lock().unwrap().refused += 1;
        return client.write_all(refusal.as_bytes());
    }
    let Some(target) = behaviour.connect(&request.target) else {
        log.lock().unwrap().refused += 1;
        return client.write_all(answer("403 Forbidden", "").as_bytes());
    };
    log.lock().unwrap().hosts.push(request.target.clone());
    let Ok(server) = target else {
        return client.write_all(answer("502 Bad Gateway", "").as_bytes());
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    tunnel(&client, &server)
}

fn refusal(behaviour: &Behaviour, request: &Request) -> Option<String> {
    let credentials = behaviour.credentials.as_deref();
    if credentials.is_some() && request.header("proxy-authorization") != credentials {
        let lines = behaviour.offers.iter();
        let lines = lines.map(|scheme| format!("Proxy-Authenticate: {scheme}\r\n"));
        let demands = lines.collect::<Vec<_>>().concat();
        return Some(answer("407 Proxy Authentication Required", &demands));
    }
    (request.method != "CONNECT").then(|| answer("405 Method Not Allowed", ""))
}

impl Behaviour {
    /// A connection to `host:port`. `None` for a host beyond this machine that has no entry.
    fn connect(&self, target: &str) -> Option<io::Result<TcpStream>> {
        let named = self
            .names
            .iter()
            .find(|(name, _)| target.strip_suffix(":443") == Some(name));
        match named {
            Some((_, port)) => Some(TcpStream::connect(("127.0.0.1", *port))),
            None => loopback(target),
        }
    }
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// A connection to `host:port` on this machine. `None` for another host, which is not resolved.
fn loopback(target: &str) -> Option<io::Result<TcpStream>> {
    let (host, port) = target.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let local = host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let port = port.parse::<u16>().ok().filter(|_| local)?;
    let addresses = (host, port).to_socket_addrs();
    Some(addresses.and_then(|found| TcpStream::connect(&found.collect::<Vec<_>>()[..])))
}

fn tunnel(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    server.set_read_timeout(Some(TIMEOUT))?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || pump(from_client, to_server));
    pump(server.try_clone()?, client.try_clone()?);
    let _ = upwards.join();
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
