//! Web servers in front of a portal, nginx and Apache, each in a folder of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;

use super::portal::{Certificate, Portal};
use super::{send_signal, until};

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
    /// Starts an nginx in front of this portal, which verifies client certificates by the
    /// authorities in `clients` where `client` says so.
    pub fn in_front(
        folder: &Path,
        portal: &Portal,
        clients: &Path,
        client: &'static str,
        protocols: &'static str,
    ) -> Self {
        write_certificates(portal, folder);
        fs::copy(clients, folder.join("clients.pem")).unwrap();
        Self::start(
            folder,
            "nginx",
            front(&authority(&portal.url()), client, protocols),
        )
    }

    /// Starts a server whose configuration follows from its folder and port. Another process may
    /// take the port first; then it starts again on another one.
    pub fn start(
        folder: &Path,
        program: &str,
        configuration: impl Fn(&str, u16) -> String,
    ) -> Self {
        Self::start_with(&[], folder, program, configuration)
    }

    /// The same with variables for the server.
    pub fn start_with(
        variables: &[(&str, String)],
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
            command.envs(variables.iter().map(|(name, value)| (name, value)));
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

/// The configuration of an nginx with this server; `log` says what it logs.
pub fn nginx_server(at: &str, port: u16, log: &str, server: &str) -> String {
    format!(
        "daemon off; pid {at}/pid; error_log stderr;\n\
         events {{}}\n\
         http {{\n\
           {log}\n\
           client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
           fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
           server {{\n\
             listen 127.0.0.1:{port} ssl;\n\
             ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;\n\
             {server}\
           }}\n\
         }}\n"
    )
}

/// The configuration of an Apache with these further modules and this server.
pub fn apache_server(at: &str, port: u16, modules: &[&str], server: &str) -> String {
    let modules: Vec<_> = ["mpm_event", "authz_core", "ssl"]
        .iter()
        .chain(modules)
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let modules = modules.concat();
    format!(
        "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog /dev/stderr\n\
         User www-data\nGroup www-data\nMutex posixsem\nListen 127.0.0.1:{port}\n{modules}\
         SSLEngine on\nSSLCertificateFile {at}/server.pem\nSSLCertificateKeyFile {at}/server.key\n\
         {server}"
    )
}

/// The configuration of an Apache in front of the portal at this host and port, which asks for a
/// sign-in by GSS-API. `server` says what it logs, `sign_in` what it takes.
pub fn apache_with_gssapi(
    at: &str,
    port: u16,
    portal: &str,
    server: &str,
    sign_in: &str,
) -> String {
    const MODULES: &[&str] = &[
        "authn_core",
        "authz_user",
        "auth_gssapi",
        "proxy",
        "proxy_http",
        "headers",
        "setenvif",
    ];
    let server = format!(
        "{server}\
         SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\n\
         ProxyPass / https://{portal}/\n\
         <Location />\nAuthType GSSAPI\nRequire valid-user\n{sign_in}</Location>\n"
    );
    apache_server(at, port, MODULES, &server)
}

/// Opens a file to the account of a web server.
pub fn open_to_all(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// nginx in front of the portal at this host and port. It logs each request with what it found of
/// the client's certificate.
pub fn front(
    portal: &str,
    client: &'static str,
    protocols: &'static str,
) -> impl Fn(&str, u16) -> String {
    let portal = portal.to_owned();
    move |at, port| {
        let log = format!(
            "log_format told '$request_method $uri $ssl_client_verify $ssl_client_s_dn';\n\
             access_log {at}/access.log told;"
        );
        let server = format!(
            "ssl_protocols {protocols};\n{client}\n\
             location / {{\n\
               proxy_pass https://{portal}; proxy_set_header Host {portal};\n\
               proxy_ssl_verify off; proxy_set_header X-Remote-User $ssl_client_s_dn;\n\
             }}\n"
        );
        nginx_server(at, port, &log, &server)
    }
}

/// The host and port of a URL.
pub fn authority(url: &str) -> String {
    url.split('/').nth(2).unwrap().to_owned()
}

pub const VERIFIED: &str =
    "ssl_client_certificate clients.pem; ssl_verify_client on; ssl_verify_depth 3;";
