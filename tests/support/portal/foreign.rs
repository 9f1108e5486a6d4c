//! A foreign server: it should receive nothing from the program, and records what it receives.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::http::{read_request, Request, Response};
use super::server::Acceptor;
use super::{certs, Certificate, Portal};

/// A server with a certificate that the portal's authority signed, so that a client would accept
/// it.
pub struct ForeignServer {
    acceptor: Acceptor,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
}

impl ForeignServer {
    /// A server that names no owner.
    pub fn start(portal: &Portal) -> Self {
        Self::with(portal, None)
    }

    /// A server whose `rest/info` claims `portal` as its owner, although the portal does not know
    /// it.
    pub fn claiming(portal: &Portal) -> Self {
        Self::with(portal, Some(portal.url()))
    }

    fn with(portal: &Portal, owner: Option<String>) -> Self {
        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = portal.authority().server(Certificate::Trusted, &hosts);
        let tls = Arc::new(certs::server_config(certificate, None));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let serve = move |tcp| serve(&shared, &tls, owner.as_deref(), tcp);
        let acceptor = Acceptor::start(0, serve).expect("no port for the foreign server");
        Self { acceptor, seen }
    }

    /// `https://127.0.0.1:PORT/server`: neither the portal's host name nor its port.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/server", self.acceptor.port())
    }

    /// How many connections were opened, with or without a request.
    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Panics if a client connected.
    pub fn assert_no_connection(&self) {
        assert_eq!(
            self.connections(),
            0,
            "somebody connected to the foreign server"
        );
    }
}

fn serve(seen: &Mutex<Seen>, tls: &Arc<ServerConfig>, owner: Option<&str>, tcp: TcpStream) {
    seen.lock().unwrap().connections += 1;
    let _ = tcp.set_read_timeout(Some(Duration::from_secs(60)));
    let Ok(connection) = ServerConnection::new(Arc::clone(tls)) else {
        return;
    };
    let mut stream = StreamOwned::new(connection, tcp);
    let Ok(request) = read_request(&mut stream) else {
        return;
    };
    let mut body = json!({"currentVersion": 11.4, "authInfo": {"isTokenBasedSecurity": true}});
    if let Some(owner) = owner {
        body["owningSystemUrl"] = json!(owner);
        body["authInfo"]["tokenServicesUrl"] = json!(format!("{owner}/sharing/rest/generateToken"));
    }
    seen.lock().unwrap().requests.push(request);
    let response = Response::json(&body);
    let date = "Thu, 01 Jan 2026 00:00:00 GMT";
    let _ = stream.write_all(&response.head(date, response.body.len()));
    let _ = stream.write_all(&response.body);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}
