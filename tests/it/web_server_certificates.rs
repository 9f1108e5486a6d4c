//! Real web servers in front of a portal, nginx and Apache, that ask for a client certificate: in
//! the TLS handshake, by TLS 1.2 renegotiation, and after the handshake of TLS 1.3.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Certificate, Portal, APP_ID};
use crate::support::scenario::add_arguments;
use crate::support::{send_signal, until};

/// A web server of its own; it ends when dropped.
pub struct WebServer {
    process: Child,
    pub port: u16,
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // Its worker processes end with it.
        send_signal("TERM", self.process.id());
        let _ = self.process.wait();
    }
}

pub fn pem(kind: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        STANDARD.encode(der)
    )
}

/// Writes a certificate for `localhost` that the portal's authority signed, and that authority.
pub fn write_certificates(portal: &Portal, folder: &Path) {
    let own = portal
        .authority()
        .server(Certificate::Trusted, &["localhost".to_owned()]);
    let chain: String = own
        .chain
        .iter()
        .map(|one| pem("CERTIFICATE", one))
        .collect();
    fs::write(folder.join("server.pem"), chain).unwrap();
    let key = pem("PRIVATE KEY", own.key.secret_der());
    fs::write(folder.join("server.key"), key).unwrap();
    portal.ca_file(folder);
}

impl WebServer {
    /// Starts a server whose configuration follows from its folder and port. Another process may
    /// take the port first; then it starts again on another one.
    pub fn start(
        folder: &Path,
        program: &str,
        configuration: impl Fn(&str, u16) -> String,
    ) -> Self {
        let at = folder.to_str().unwrap();
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let file = folder.join("server.conf");
            fs::write(&file, configuration(at, port)).unwrap();
            let mut command = Command::new(program);
            match program {
                "nginx" => command.args(["-p", at, "-c"]).arg(&file),
                _ => command.args(["-DFOREGROUND", "-f"]).arg(&file),
            };
            let log = fs::File::create(folder.join("output.log")).unwrap();
            let process = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}"));
            let mut server = Self { process, port };
            until(|| server.answers() || server.has_ended());
            if server.answers() && !server.has_ended() {
                return server;
            }
        }
        let log = fs::read_to_string(folder.join("output.log")).unwrap_or_default();
        panic!("{program} does not start: {log}");
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/portal", self.port)
    }
}

pub const ASKS: &str = "the web server in front of the portal asks for a client certificate";
pub const ASKS_LATE: &str =
    "asks for a client certificate only after it has read the request, when this program cannot present one";

/// `ssl_verify_client` as nginx has it: `on` and `optional` ask in the handshake, and `on` answers
/// each request without a certificate by 400.
fn nginx(mode: &'static str, protocols: &'static str) -> impl Fn(&str, u16) -> String {
    move |at, port| {
        format!(
            "daemon off; pid {at}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
               fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl; ssl_protocols {protocols};\n\
                 ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;\n\
                 ssl_client_certificate {at}/ca.pem; ssl_verify_client {mode};\n\
                 location / {{ return 403; }}\n\
               }}\n\
             }}\n"
        )
    }
}

/// Apache asks for a certificate below one path only, as IIS does by default: when it has read the
/// request.
pub fn apache(protocol: &'static str) -> impl Fn(&str, u16) -> String {
    move |at, port| {
        format!(
            "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog /dev/stderr\n\
             User www-data\nGroup www-data\nMutex posixsem\nListen 127.0.0.1:{port}\n\
             LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n\
             SSLEngine on\nSSLProtocol {protocol}\nSSLSessionCache none\n\
             SSLCertificateFile {at}/server.pem\nSSLCertificateKeyFile {at}/server.key\n\
             SSLCACertificateFile {at}/ca.pem\n\
             <Location /portal>\nSSLVerifyClient require\nSSLVerifyDepth 3\n</Location>\n"
        )
    }
}

fn add(home: &Home, portal: &Portal, url: &str, flags: &[&str]) -> Outcome {
    let ca = portal.ca_file(home.path());
    let mut words = add_arguments("pki", url, APP_ID, ca.to_str().unwrap()).to_vec();
    words.extend(flags);
    home.run(words).done()
}

/// `connections add`, and each command of a connection that exists: the exit code says that trying
/// again does not help.
fn is_reported(
    program: &str,
    configuration: impl Fn(&str, u16) -> String,
    asks: &str,
    advice: &str,
) {
    let (portal, home) = (Portal::builder().start(), home());
    let folder = tempfile::tempdir().unwrap();
    write_certificates(&portal, folder.path());
    let server = WebServer::start(folder.path(), program, configuration);
    add(&home, &portal, &server.url(), &[])
        .code(7)
        .err_has(asks)
        .err_has(advice);
    add(
        &home,
        &portal,
        &server.url(),
        &[
            "--no-check",
            "--auth-type",
            "app",
            "--client-secret",
            "a-client-secret",
        ],
    )
    .ok();
    for words in [&["token"][..], &["whoami"], &["api", "portals/self"]] {
        home.run(words).done().code(7).err_has(asks);
    }
    assert_eq!(portal.requests().len(), 0);
}

#[test]
fn nginx_asks_for_a_client_certificate_and_this_is_reported() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        is_reported(
            "nginx",
            nginx("on", protocol),
            ASKS,
            "--client-cert FILE.p12",
        );
        // The web server accepts the connection, and the application behind it refuses.
        is_reported(
            "nginx",
            nginx("optional", protocol),
            ASKS,
            "--client-cert FILE.p12",
        );
    }
}

#[test]
fn apache_asks_for_a_client_certificate_by_renegotiation_and_this_is_reported() {
    is_reported(
        "apache2",
        apache("TLSv1.2"),
        ASKS_LATE,
        "clientcertnegotiation=enable",
    );
}

#[test]
fn apache_asks_for_a_client_certificate_after_the_handshake_and_this_is_reported() {
    is_reported(
        "apache2",
        apache("TLSv1.3"),
        ASKS_LATE,
        "clientcertnegotiation=enable",
    );
}
