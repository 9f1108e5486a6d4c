//! Runs the client against servers on the loopback interface. One file per subject;
//! the servers and clients that they share are here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod authority;
mod bounds;
mod certificates;
mod intermediaries;
mod proxies;
mod requests;
mod responses;
mod retry;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::context::Environment;
use crate::error::Refusal;

const TOKEN: &str = "canary-token-0123456789";

const OK: &str = r#"{"ok":true}"#;

/// What a server does with one request.
#[derive(Clone)]
enum Act {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends this one byte at a time, again and again.
    Drip(&'static str),
    /// Closes without an answer.
    Close,
}

fn json(body: &str) -> Act {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

fn http(status: &str, headers: &str, body: &str) -> Act {
    Act::Send(
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Does one act per connection; the last one again and again. Its threads end with the test
    /// program.
    fn start(tls: Option<Arc<ServerConfig>>, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut acts = acts.into_iter();
            let mut act = acts.next().unwrap();
            for stream in listener.incoming() {
                let (now, tls, seen) = (act.clone(), tls.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream.unwrap(), tls, &now, &seen));
                act = acts.next().unwrap_or(act);
            }
        });
        Self { port, requests }
    }

    fn plain(acts: Vec<Act>) -> Self {
        Self::start(None, acts)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn client(&self) -> Http {
        client(
            &format!("http://127.0.0.1:{}/portal", self.port),
            &Tls::System,
        )
    }

    fn tls_client(&self, host: &str, tls: &Tls) -> Http {
        client(&format!("https://{host}:{}/portal", self.port), tls)
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, act: &Act, seen: &Mutex<Vec<String>>) {
    let mut raw = stream.try_clone().unwrap();
    match tls {
        None => perform(stream, act, seen),
        Some(config) => {
            let connection = ServerConnection::new(config).unwrap();
            perform(StreamOwned::new(connection, stream), act, seen);
        }
    }
    // What is unread when a socket closes would reset the connection, and discard what was
    // sent last.
    let _ = raw.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut raw, &mut std::io::sink());
}

fn perform(stream: impl Read + Write, act: &Act, seen: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream) else {
        return;
    };
    seen.lock().unwrap().push(request);
    let stream = stream.get_mut();
    match act {
        Act::Send(bytes) => drop(stream.write_all(bytes).and_then(|()| stream.flush())),
        Act::Drip(text) => {
            for byte in text.bytes().cycle() {
                if stream
                    .write_all(&[byte])
                    .and_then(|()| stream.flush())
                    .is_err()
                {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Act::Close => {}
    }
}

fn read_request(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let length = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.push_str(&String::from_utf8(body).unwrap());
    Some(request)
}

fn client(portal: &str, tls: &Tls) -> Http {
    client_in(portal, tls, &Proxy::System, &quiet())
}

/// No environment, no observer.
fn quiet() -> Context {
    Context {
        environment: Environment::of::<String, String>([]),
        ..Context::process()
    }
}

/// A client that does not really wait between attempts.
fn client_in(portal: &str, tls: &Tls, proxy: &Proxy, context: &Context) -> Http {
    let portal = portal.parse().unwrap();
    let mut http = Http::new(&portal, tls, proxy, Some("https://referer.test"), context).unwrap();
    Arc::get_mut(&mut http.0).unwrap().sleep = |_| ();
    http
}

fn token() -> Secret {
    Secret::new(TOKEN.to_owned())
}

fn get(http: &Http) -> std::result::Result<ApiResponse, CallError> {
    http.get("portals/self", &[("culture", "en")], Some(&token()))
}

fn post_once(http: &Http) -> std::result::Result<ApiResponse, CallError> {
    let form = [
        ("code", Field::Secret(&token())),
        ("client_id", Field::Plain("app 1")),
    ];
    http.post("oauth2/token", &form, None, Retry::OnlyUnsent)
}

fn why(result: std::result::Result<ApiResponse, CallError>) -> Unreachable {
    match result.unwrap_err() {
        CallError::Failed {
            error: Error::Unreachable { why, .. },
            ..
        } => why,
        other => panic!("{other:?}"),
    }
}

fn refused(result: std::result::Result<ApiResponse, CallError>) -> Refusal {
    match result.unwrap_err() {
        CallError::Failed {
            error: Error::Refused { why, .. },
            ..
        } => why,
        other => panic!("{other:?}"),
    }
}

fn sent(result: &std::result::Result<ApiResponse, CallError>) -> bool {
    matches!(result, Err(CallError::Failed { sent: true, .. }))
}
