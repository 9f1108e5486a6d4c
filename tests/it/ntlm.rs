//! A web server in front of a portal that takes NTLM, with the real thing: Apache's
//! `mod_auth_gssapi` and `gss-ntlmssp`. The program does not use NTLM, and says what to ask for.

use std::fs;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::kerberos::Kdc;
use crate::support::portal::{Portal, APP_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::add_arguments;
use crate::support::web_server::{
    apache_with_gssapi, authority, nginx_server, open_to_all, write_certificates, WebServer,
};

/// What the web server offers.
#[derive(Clone, Copy)]
enum Offer {
    /// NTLM by itself, as IIS with only that provider.
    NtlmAlone,
    /// NTLM inside `Negotiate` as well, as IIS by default.
    NtlmInNegotiate,
}

fn apache(portal: &str) -> impl Fn(&str, u16) -> String {
    let portal = portal.to_owned();
    move |at, port| {
        let log = format!(
            "LogFormat \"%>s %u %{{TOKEN}}e\" seen\nCustomLog {at}/access.log seen\n\
             SetEnvIf Authorization \"^(NTLM |Negotiate TlRMTVNT)\" TOKEN=ntlm\n"
        );
        let sign_in = "GssapiAllowedMech ntlmssp\nGssapiConnectionBound On\n";
        apache_with_gssapi(at, port, &portal, &log, sign_in)
    }
}

/// nginx in front of it, which names NTLM alone.
fn only_ntlm(apache: &str) -> impl Fn(&str, u16) -> String {
    let apache = apache.to_owned();
    move |at, port| {
        let server = format!(
            "location / {{\n\
               proxy_pass https://{apache}; proxy_ssl_verify off;\n\
               proxy_hide_header WWW-Authenticate; add_header WWW-Authenticate NTLM always;\n\
             }}\n"
        );
        nginx_server(at, port, "access_log off;", &server)
    }
}

struct Site {
    portal: Portal,
    url: String,
    home: Home,
    folder: tempfile::TempDir,
    kdc: Kdc,
    _servers: Vec<(WebServer, Option<tempfile::TempDir>)>,
}

impl Site {
    fn new(offer: Offer) -> Self {
        let (kdc, portal, mut home) = (Kdc::start(), Portal::builder().start(), home());
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        open_to_all(folder.path(), 0o755);
        write_certificates(&portal, folder.path());
        let users = folder.path().join("users");
        fs::write(&users, "EXAMPLE:ana:wonder-Ntlm-4711\n").unwrap();
        let variables = [
            ("NTLM_USER_FILE", users.display().to_string()),
            ("NETBIOS_COMPUTER_NAME", "GIS".to_owned()),
            ("NETBIOS_DOMAIN_NAME", "EXAMPLE".to_owned()),
        ];
        let configuration = apache(&authority(&portal.url()));
        let server = WebServer::start_with(&variables, folder.path(), "apache2", configuration);
        kdc.use_in(&mut home, &kdc.ticket("ana"));
        let mut url = server.url();
        let mut servers = vec![(server, None)];
        if let Offer::NtlmAlone = offer {
            let folder = tempfile::tempdir().unwrap();
            write_certificates(&portal, folder.path());
            let configuration = only_ntlm(&authority(&url));
            let server = WebServer::start(folder.path(), "nginx", configuration);
            url = server.url();
            servers.insert(0, (server, Some(folder)));
        }
        Self {
            portal,
            url,
            home,
            folder,
            kdc,
            _servers: servers,
        }
    }

    fn add(&self, flags: &[&str]) -> Outcome {
        let ca = self.portal.ca_file(self.home.path());
        let mut words = add_arguments("iwa", &self.url, APP_ID, ca.to_str().unwrap()).to_vec();
        words.extend(flags);
        self.home.run(words).done()
    }

    /// NTLM got nothing, and the portal saw no request.
    fn assert_unused(&self) {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        assert!(!log.is_empty());
        assert!(log.lines().all(|line| line == "401 - -"), "{log}");
        assert_eq!(self.portal.requests().len(), 0);
    }
}

const KERBEROS: &str = "Negotiate with Kerberos (setspn -S HTTP/localhost ACCOUNT)";

#[test]
fn a_web_server_that_takes_ntlm_alone_is_named_with_what_to_ask_for() {
    let site = Site::new(Offer::NtlmAlone);
    for flags in [&[][..], &["--web-tier", "windows"]] {
        site.add(flags)
            .code(7)
            .err_has("requires its own sign-in (NTLM)")
            .err_has("Windows is retiring NTLM")
            .err_has(KERBEROS)
            .err_has("--api-url URL");
    }
    site.assert_unused();
    site.add(&["--web-tier", "windows", "--no-check"]).ok();
    let said = site.home.run(["doctor"]).done().code(1).stdout;
    assert!(said.contains("Windows is retiring NTLM"), "{said}");
}

#[test]
fn a_web_server_that_takes_ntlm_inside_negotiate_is_named_with_what_to_ask_for() {
    let site = Site::new(Offer::NtlmInNegotiate);
    site.add(&[])
        .code(7)
        .err_has("requires its own sign-in (Negotiate, NTLM)");
    site.add(&["--web-tier", "windows"])
        .code(7)
        .err_has("did not accept the Windows sign-in of ana@EXAMPLE.COM (Kerberos, HTTP/localhost)")
        .err_has("setspn -Q HTTP/localhost");
    // Without a ticket, NTLM does not take the place of Kerberos.
    let mut home = home();
    site.kdc.use_in(&mut home, &site.kdc.no_ticket());
    let ca = site.portal.ca_file(home.path());
    let words = add_arguments("iwa", &site.url, APP_ID, ca.to_str().unwrap());
    let run = home.run([&words[..], &["--web-tier", "windows"]].concat());
    run.done().code(3).err_has("there is no Kerberos ticket");
    site.assert_unused();
}

#[test]
fn a_person_at_a_terminal_learns_what_to_ask_for() {
    let site = Site::new(Offer::NtlmAlone);
    let ca = site.portal.ca_file(site.home.path());
    let words = [
        "connections",
        "add",
        "--label=iwa",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ];
    let mut terminal = Terminal::start(&site.home, &words);
    terminal.expect("Portal URL").line(&site.url);
    terminal
        .expect("requires its own sign-in (NTLM)")
        .expect("Windows is retiring NTLM")
        .expect("setspn -S HTTP/localhost ACCOUNT")
        .expect("How do you want to continue?")
        .expect("API URL");
    site.assert_unused();
}
