//! Windows sign-in in front of a portal, with the real things: Kerberos of MIT, and Apache with
//! `mod_auth_gssapi`, which asks for `Negotiate` and passes to the portal what it lets in.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::hints::in_shell;
use crate::home;
use crate::support::home::{Home, Outcome, Run};
use crate::support::kerberos::Kdc;
use crate::support::portal::{
    service_secret, Certificate, Endpoint, Fault, Portal, APP_ID, SERVICE_ID,
};
use crate::support::pty::Terminal;
use crate::support::scenario::{
    add_application_arguments, add_arguments, age_sign_in, expire_token, folder_of, sign_in,
};
use crate::support::secret_scan;
use crate::support::web_server::{apache_with_gssapi, authority, open_to_all, pem, WebServer};
use crate::support::{send_signal, until};

/// A name that is not in the realm, and leads to the same web server: the name service calls it
/// `localhost`.
const UNKNOWN: &str = "127.0.0.1";

/// Apache in front of the portal at this host and port.
fn apache(portal: &str, keytab: &str) -> impl Fn(&str, u16) -> String {
    let (portal, keytab) = (portal.to_owned(), keytab.to_owned());
    move |at, port| {
        let log = format!(
            "LogFormat \"%m %U %>s body=%{{Content-Length}}i token=%{{TOKEN}}e %u\" seen\n\
             CustomLog {at}/access.log seen\n\
             SetEnvIf Authorization \"^Negotiate (.*)\" TOKEN=$1\n"
        );
        let sign_in = format!(
            "GssapiCredStore keytab:{keytab}\nGssapiAllowedMech krb5\n\
             GssapiAcceptorName HTTP@localhost\nRequestHeader unset Authorization\n\
             RequestHeader set X-Remote-User expr=%{{REMOTE_USER}}\n"
        );
        apache_with_gssapi(at, port, &portal, &log, &sign_in)
    }
}

/// One request that the web server saw.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// `POST /portal/sharing/rest/oauth2/token`, without what is before `rest`.
    request: String,
    pub status: u16,
    pub user: String,
    pub has_body: bool,
    pub token: Option<String>,
}

/// A web server with Windows sign-in in front of a portal.
pub struct Front {
    server: WebServer,
    folder: tempfile::TempDir,
}

impl Front {
    fn start(kdc: &Kdc, portal: &Portal) -> Self {
        // Apache gives up the rights of root, if it has them, and reads keytab and configuration
        // then. The folder for temporary files may be in one of root alone.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        open_to_all(folder.path(), 0o755);
        let names = ["localhost".to_owned(), UNKNOWN.to_owned()];
        let own = portal.authority().server(Certificate::Trusted, &names);
        let chain = own.chain.iter().map(|one| pem("CERTIFICATE", one));
        fs::write(folder.path().join("server.pem"), chain.collect::<String>()).unwrap();
        let key = pem("PRIVATE KEY", own.key.secret_der());
        fs::write(folder.path().join("server.key"), key).unwrap();
        let [keytab, kerberos] = ["http.keytab", "krb5.conf"].map(|name| folder.path().join(name));
        fs::copy(kdc.web_server_keytab(), &keytab).unwrap();
        fs::copy(kdc.configuration(), &kerberos).unwrap();
        open_to_all(&keytab, 0o644);
        open_to_all(&kerberos, 0o644);
        // Kerberos writes there which tokens it has seen.
        let replayed = folder.path().join("replayed");
        fs::create_dir(&replayed).unwrap();
        open_to_all(&replayed, 0o777);
        let variables = [
            ("KRB5_CONFIG", kerberos.display().to_string()),
            ("TMPDIR", replayed.display().to_string()),
        ];
        let configuration = apache(&authority(&portal.url()), keytab.to_str().unwrap());
        let server = WebServer::start_with(&variables, folder.path(), "apache2", configuration);
        Self { server, folder }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The files of its certificate and of the private key.
    pub fn certificate(&self) -> [String; 2] {
        ["server.pem", "server.key"].map(|name| self.folder.path().join(name).display().to_string())
    }

    /// The requests so far. Their tokens are secrets of this test from now on.
    pub fn seen(&self) -> Vec<Seen> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().map(seen).collect()
    }

    /// What `work` requested.
    pub fn requests_of(&self, work: impl FnOnce()) -> Vec<Seen> {
        let before = self.seen().len();
        work();
        self.seen().split_off(before)
    }
}

fn seen(line: &str) -> Seen {
    let words: Vec<_> = line.splitn(6, ' ').collect();
    let (path, token) = (
        words[1],
        words[4].strip_prefix("token=").filter(|one| *one != "-"),
    );
    if let Some(token) = token {
        secret_scan::register(token);
    }
    let path = path.split("/sharing/rest").last().unwrap();
    Seen {
        request: format!("{} {path}", words[0]),
        status: words[2].parse().unwrap(),
        user: words[5].to_owned(),
        has_body: words[3] != "body=-" && words[3] != "body=0",
        token: token.map(str::to_owned),
    }
}

/// The requests as one text each, with `+body` where they have one.
pub fn shown(seen: &[Seen]) -> Vec<String> {
    let body = |one: &Seen| if one.has_body { " +body" } else { "" };
    seen.iter()
        .map(|one| format!("{} {}{}", one.status, one.request, body(one)))
        .collect()
}

/// A realm, a portal with the web server in front of it, and a home with a ticket of `ana`.
pub struct Site {
    pub kdc: Kdc,
    pub portal: Portal,
    pub front: Front,
    pub home: Home,
}

impl Site {
    pub fn new() -> Self {
        let (kdc, portal, mut home) = (Kdc::start(), Portal::builder().start(), home());
        let front = Front::start(&kdc, &portal);
        let place = kdc.ticket("ana");
        kdc.use_in(&mut home, &place);
        Self {
            kdc,
            portal,
            front,
            home,
        }
    }

    /// `connections add` of the connection `iwa` at this URL, with these flags.
    fn add_at(&self, url: &str, flags: &[&str]) -> Outcome {
        let ca = self.portal.ca_file(self.home.path());
        let mut words = add_arguments("iwa", url, APP_ID, ca.to_str().unwrap()).to_vec();
        words.extend(flags);
        self.home.run(words).done()
    }

    pub fn add(&self, flags: &[&str]) -> Outcome {
        self.add_at(&self.front.url(), flags)
    }

    /// With a connection, and a person who is signed in.
    pub fn signed_in() -> Self {
        let site = Self::new();
        site.add(&["--web-tier", "windows"]).ok();
        sign_in(&site.home, &site.portal, "iwa").ok();
        site
    }

    pub fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }
}

/// The block of `docs/windows-sign-in.md`.
#[test]
fn the_lines_of_the_page_add_and_edit_a_connection() {
    let mut site = Site::new();
    let ca = site.portal.ca_file(site.home.path()).display().to_string();
    site.home.set("SSL_CERT_FILE", &ca);
    let page = include_str!("../../docs/windows-sign-in.md");
    let block = page
        .split("```\n")
        .find(|block| block.starts_with("age-oauth ") && block.contains("--web-tier windows"));
    for line in block.unwrap().lines() {
        let line = line
            .replace("https://gis.example.com/portal", &site.front.url())
            .replace("--client-id ID", &format!("--client-id {APP_ID}"));
        let words: Vec<_> = line.split(' ').skip(1).collect();
        site.run(&words)
            .ok()
            .err_has("Windows sign-in: as ana@EXAMPLE.COM");
    }
    sign_in(&site.home, &site.portal, "prod").ok();
}

#[test]
fn a_person_works_behind_windows_sign_in() {
    let mut site = Site::new();
    let log = site.home.path().join("log.jsonl");
    site.home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
    site.add(&["--web-tier", "windows"])
        .ok()
        .err_has("Windows sign-in: as ana@EXAMPLE.COM");
    sign_in(&site.home, &site.portal, "iwa").ok();
    let mut said = String::new();
    let saved = site.home.path().join("self.json");
    for words in [
        &["whoami", "-vv"][..],
        &["refresh"],
        &["refresh", "--all"],
        &["token"],
        &["api", "portals/self"],
        &["api", "portals/self", "-o", saved.to_str().unwrap()],
        &["doctor"],
    ] {
        expire_token(&site.home, "iwa");
        said += &site.run(words).ok().stderr;
    }
    // The exchange of the refresh token.
    age_sign_in(&site.home, "iwa", 9);
    site.run(&["refresh", "--now"]).ok();
    site.run(&["logout"]).ok();
    let grants = site.portal.grants();
    assert!(grants.contains(&"exchange_refresh_token".to_owned()));
    assert_eq!(site.portal.live_refresh_tokens(), 0);
    site.portal.assert_clean();
    // Each request carried a token from the beginning, and none carried that of another.
    let seen = site.front.seen();
    assert!(
        seen.iter().all(|one| one.user == "ana@EXAMPLE.COM"),
        "{seen:?}"
    );
    let mut tokens: Vec<_> = seen.iter().filter_map(|one| one.token.as_ref()).collect();
    assert_eq!(tokens.len(), seen.len());
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), seen.len());
    for token in &tokens {
        assert_eq!(site.home.files_containing(token), [] as [PathBuf; 0]);
    }
    // What they printed and logged has none of them.
    let logged = fs::read_to_string(log).unwrap();
    assert!(said.contains("GET ") && !logged.is_empty());
    let shown = said + &logged;
    let is_shown = |token: &&String| shown.contains(token.as_str());
    assert_eq!(tokens.into_iter().find(is_shown), None);
}

#[test]
fn rule_24f_a_body_is_sent_only_after_the_web_server_has_let_in() {
    let site = Site::signed_in();
    let of = |words: &[&str]| {
        expire_token(&site.home, "iwa");
        shown(&site.front.requests_of(|| drop(site.run(words).ok())))
    };
    let renewal = ["200 GET ", "200 POST /oauth2/token +body"];
    assert_eq!(of(&["token"]), renewal);
    assert_eq!(
        of(&["api", "portals/self"]),
        [renewal[0], renewal[1], "200 GET /portals/self"]
    );
    // With a cached token, there is one request more only before a body.
    let cached = |words: &[&str]| shown(&site.front.requests_of(|| drop(site.run(words).ok())));
    assert_eq!(cached(&["token"]), [] as [&str; 0]);
    assert_eq!(cached(&["api", "portals/self"]), ["200 GET /portals/self"]);
    assert_eq!(
        cached(&["api", "-X", "POST", "portals/self", "-f", "x=y"]),
        ["200 GET ", "200 POST /portals/self +body"]
    );
}

#[test]
fn an_error_of_the_portal_before_a_body_costs_no_sign_in() {
    let site = Site::signed_in();
    let error = || Fault::error(499, "Token Required");
    site.portal
        .set(|rules| rules.fault_always(Endpoint::Root, error()));
    expire_token(&site.home, "iwa");
    site.run(&["token"]).ok();
    // Where no portal answers behind the web server, that is said, and the sign-in is as it was.
    site.portal.set(|rules| {
        rules.clear_faults();
        rules.fault_always(Endpoint::Root, Fault::ResetBefore);
    });
    expire_token(&site.home, "iwa");
    let seen = site
        .front
        .requests_of(|| drop(site.run(&["token"]).code(6)));
    assert!(seen.iter().all(|one| !one.has_body), "{seen:?}");
    site.portal.set(|rules| rules.clear_faults());
    site.run(&["token"]).ok();
}

#[test]
fn rule_24f_no_body_goes_to_a_web_server_that_does_not_let_in() {
    let site = Site::new();
    let ca = site.portal.ca_file(site.home.path());
    let url = site.front.url();
    let mut words = add_application_arguments("iwa", &url, SERVICE_ID, ca.to_str().unwrap());
    words.extend(["--web-tier", "windows"]);
    let run = site.home.run(words).input(service_secret()).done();
    run.ok();
    // The web server's key is another one, so that its keytab opens no ticket.
    site.kdc.change_key("HTTP/localhost");
    let place = site.kdc.ticket("ana");
    let run = site.home.run(["token"]).env("KRB5CCNAME", place);
    let seen = site.front.requests_of(|| {
        run.done()
            .code(7)
            .err_has(
                "did not accept the Windows sign-in of ana@EXAMPLE.COM (Kerberos, HTTP/localhost)",
            )
            .err_has("setspn -Q HTTP/localhost");
    });
    assert_eq!(shown(&seen), ["401 GET "]);
}

#[test]
fn what_kerberos_lacks_is_named() {
    let site = Site::signed_in();
    expire_token(&site.home, "iwa");
    let with = |variables: &[(&str, &str)]| {
        let mut run = site.home.run(["token"]);
        for (name, value) in variables {
            run = run.env(name, value);
        }
        run
    };
    let (none, expired) = (site.kdc.no_ticket(), site.kdc.expired_ticket());
    let silent = site.kdc.configuration_without_kdc();
    let fresh = site.home.path().join("fresh");
    site.kdc.kinit("ana", fresh.to_str().unwrap(), "10h");
    let seen = site.front.requests_of(|| {
        with(&[("KRB5CCNAME", &none)])
            .done()
            .code(3)
            .err_has("there is no Kerberos ticket")
            .err_has("hint: get a ticket: kinit");
        // A person does not go through the portal's pages for nothing.
        let login = site.home.run(["login"]).env("KRB5CCNAME", &none);
        let said = login.done().code(3).err_has("there is no Kerberos ticket");
        assert!(!said.stderr.contains("oauth2/authorize"), "{}", said.stderr);
        with(&[("KRB5CCNAME", &expired)])
            .done()
            .code(3)
            .err_has("has expired")
            .err_has("kinit");
        with(&[
            ("KRB5_CONFIG", &silent),
            ("KRB5CCNAME", fresh.to_str().unwrap()),
        ])
        .done()
        .code(6)
        .err_has("no Kerberos server (KDC) answers");
    });
    assert_eq!(shown(&seen), [] as [&str; 0]);
    // The sign-in is as it was.
    site.run(&["token"]).ok();
}

#[test]
fn what_a_kerberos_server_refuses_is_not_taken_for_an_old_ticket() {
    let site = Site::signed_in();
    expire_token(&site.home, "iwa");
    let place = site.home.path().join("fresh");
    site.kdc.kinit("ana", place.to_str().unwrap(), "10h");
    site.kdc
        .modify("HTTP/localhost", &["-expire", "2000-01-01"]);
    let run = site.home.run(["token"]).env("KRB5CCNAME", &place);
    run.done()
        .code(7)
        .err_has("the web server's account in the domain has expired or is disabled")
        .err_has("hint: ask the administrator of your domain to renew or enable");
}

#[test]
fn rule_24f_a_token_is_for_the_name_in_the_address_and_for_no_other_one() {
    let site = Site::new();
    let url = site.front.url().replace("localhost", UNKNOWN);
    site.add_at(&url, &["--web-tier", "windows"])
        .code(7)
        .err_has("Kerberos does not know the web server in front of the portal (HTTP/127.0.0.1)")
        .err_has("is an alias, use the name that Kerberos knows")
        .err_has("setspn -S HTTP/127.0.0.1");
    assert_eq!(shown(&site.front.seen()), [] as [&str; 0]);
}

#[test]
fn a_task_without_a_person_signs_in_by_a_keytab() {
    let mut site = Site::new();
    site.kdc.add("svc-gis");
    let keytab = site.kdc.keytab("svc-gis");
    site.home.set("KRB5CCNAME", &site.kdc.no_ticket());
    site.home.set("KRB5_CLIENT_KTNAME", &keytab);
    site.add(&["--web-tier", "windows"])
        .ok()
        .err_has("as svc-gis@EXAMPLE.COM");
    sign_in(&site.home, &site.portal, "iwa").ok();
    expire_token(&site.home, "iwa");
    site.run(&["token"]).ok();
    let seen = site.front.seen();
    assert!(
        seen.iter().all(|one| one.user == "svc-gis@EXAMPLE.COM"),
        "{seen:?}"
    );
}

#[test]
fn kerberos_is_asked_once_in_the_life_of_a_ticket() {
    let mut site = Site::signed_in();
    let asked = |site: &Site| {
        let [before, servers] = site.kdc.issued();
        for words in [&["token"][..], &["whoami"], &["refresh"]] {
            expire_token(&site.home, "iwa");
            site.run(words).ok();
        }
        let [after, servers_after] = site.kdc.issued();
        [after - before, servers_after - servers]
    };
    // The ticket for the web server is in the place of the person's tickets since the sign-in.
    assert_eq!(asked(&site), [0, 0]);
    // A keytab makes tickets for one process, unless a person says where they are kept.
    let keytab = site.kdc.keytab("ana");
    site.home.set("KRB5_CLIENT_KTNAME", &keytab);
    site.home.set("KRB5CCNAME", "");
    assert_eq!(asked(&site), [3, 3]);
    let kept = site.home.path().join("kept-tickets");
    site.home
        .set("KRB5CCNAME", &format!("FILE:{}", kept.display()));
    assert_eq!(asked(&site), [1, 1]);
    assert_eq!(asked(&site), [0, 0]);
}

#[test]
fn rule_24f_a_keytab_uses_and_leaves_no_tickets_of_others() {
    let mut site = Site::new();
    for name in ["svc-gis", "otto"] {
        site.kdc.add(name);
    }
    let keytab = site.kdc.keytab("svc-gis");
    let default = site.home.path().join("default-tickets");
    let place = format!("FILE:{}", default.display());
    let configuration = site.kdc.configuration_with_default(&place);
    site.home.set("KRB5CCNAME", "");
    site.home.set("KRB5_CONFIG", &configuration);
    site.home.set("KRB5_CLIENT_KTNAME", &keytab);
    // Where the person at this machine has no tickets, they get none.
    site.add(&["--web-tier", "windows"])
        .ok()
        .err_has("as svc-gis@EXAMPLE.COM");
    assert!(!default.exists());
    // The tickets of another person at the default place are not used, and stay.
    site.kdc.kinit("otto", &place, "10h");
    let before = fs::read(&default).unwrap();
    sign_in(&site.home, &site.portal, "iwa").ok();
    expire_token(&site.home, "iwa");
    site.run(&["token"]).ok();
    assert_eq!(fs::read(&default).unwrap(), before);
    let seen = site.front.seen();
    assert!(
        seen.iter().all(|one| one.user == "svc-gis@EXAMPLE.COM"),
        "{seen:?}"
    );
}

/// A KDC that accepts connections and says nothing, and a folder for temporary files that the
/// program alone uses.
struct Waiting {
    site: Site,
    temporary: tempfile::TempDir,
    _kdc: std::net::TcpListener,
    configuration: String,
}

impl Waiting {
    fn new() -> Self {
        let site = Site::signed_in();
        expire_token(&site.home, "iwa");
        let kdc = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = kdc.local_addr().unwrap().port();
        let configuration = site.kdc.configuration_with_kdc_at(port);
        // A ticket of the person, and none for the web server yet.
        let place = site.home.path().join("fresh").display().to_string();
        site.kdc.kinit("ana", &place, "10h");
        // Sockets have short paths.
        let temporary = tempfile::tempdir_in("/tmp").unwrap();
        Self {
            site,
            temporary,
            _kdc: kdc,
            configuration,
        }
    }

    fn run(&self, words: &[&str]) -> Run {
        let place = self.site.home.path().join("fresh");
        self.site
            .home
            .run(words)
            .env("KRB5_CONFIG", &self.configuration)
            .env("KRB5CCNAME", place)
            .env("TMPDIR", self.temporary.path())
            .without("XDG_RUNTIME_DIR")
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The processes that have the folder in their command lines.
    fn processes(&self) -> Vec<PathBuf> {
        let mark = self.temporary.path().display().to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let all = entries.map(|entry| entry.path().join("cmdline"));
        all.filter(|path| {
            let line = fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&mark)
        })
        .collect()
    }
}

#[test]
fn an_interruption_leaves_no_folder_and_no_program() {
    for (signal, is_cleaned) in [("INT", true), ("TERM", true), ("KILL", false)] {
        let waiting = Waiting::new();
        let mut program = waiting.run(&["token"]).spawn();
        until(|| !waiting.processes().is_empty());
        send_signal(signal, program.id());
        assert!(!program.wait().unwrap().success(), "{signal}");
        until(|| waiting.processes().is_empty());
        let left = waiting.folders();
        assert_eq!(left.is_empty(), is_cleaned, "{signal}: {left:?}");
        // What is left goes with the next use, some time later.
        for folder in &left {
            let old = SystemTime::now() - Duration::from_secs(3600);
            fs::File::open(folder).unwrap().set_modified(old).unwrap();
        }
        let next = waiting.run(&["token"]);
        next.env("KRB5_CONFIG", waiting.site.kdc.client_configuration())
            .done()
            .ok();
        assert_eq!(waiting.folders(), [] as [PathBuf; 0], "{signal}");
    }
}

#[test]
fn no_command_leaves_a_folder() {
    let site = Site::signed_in();
    let temporary = tempfile::tempdir_in("/tmp").unwrap();
    for words in [
        &["token"][..],
        &["whoami"],
        &["exec", "--", "true"],
        &["api", "portals/self"],
    ] {
        expire_token(&site.home, "iwa");
        let run = site.home.run(words).env("TMPDIR", temporary.path());
        let seen = site
            .front
            .requests_of(|| drop(run.without("XDG_RUNTIME_DIR").done().ok()));
        assert!(!seen.is_empty(), "{words:?}");
        let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{words:?}: {left:?}");
    }
}

#[test]
fn a_short_time_limit_does_not_blame_the_kerberos_server() {
    let waiting = Waiting::new();
    let said = waiting.run(&["token", "--timeout", "1s"]).done().code(6);
    said.err_has("no response in time");
}

#[test]
fn a_folder_that_does_not_exist_is_passed_over() {
    let mut site = Site::new();
    for name in ["TMPDIR", "XDG_RUNTIME_DIR"] {
        site.home.set(name, "/nonexistent");
    }
    site.add(&["--web-tier", "windows"]).ok();
}

#[test]
fn an_edit_says_what_windows_sign_in_lacks_and_how_to_go_on_without_it() {
    let site = Site::new();
    site.add(&["--web-tier", "windows"]).ok();
    let words = ["connections", "edit", "iwa", "--web-tier"];
    let named = [&words[..], &["windows:ana@EXAMPLE.COM"]].concat();
    let run = site.home.run(named).env("KRB5CCNAME", site.kdc.no_ticket());
    run.done()
        .code(3)
        .err_has("there is no Kerberos ticket")
        .err_has("hint: nothing was changed; get a ticket: kinit")
        .err_has("--no-check");
}

#[test]
fn rule_24f_another_principal_is_not_used() {
    let site = Site::signed_in();
    site.kdc.add("otto");
    expire_token(&site.home, "iwa");
    let other = site.kdc.ticket("otto");
    let run = || site.home.run(["token"]).env("KRB5CCNAME", &other);
    let seen = site.front.requests_of(|| {
        run()
            .done()
            .code(3)
            .err_has("is that of ana@EXAMPLE.COM, and the Kerberos ticket here is that of otto@EXAMPLE.COM; nothing was sent")
            .err_has("kinit ana@EXAMPLE.COM");
    });
    assert_eq!(shown(&seen), [] as [&str; 0]);
    // Where there are tickets of both, those of the connection are used, whichever is the default.
    let both = site.kdc.collection();
    site.kdc.kinit("ana", &both, "10h");
    site.kdc.kinit("otto", &both, "10h");
    let seen = site.front.requests_of(|| {
        let run = site.home.run(["token"]).env("KRB5CCNAME", &both);
        run.done().ok();
    });
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|one| one.user == "ana@EXAMPLE.COM"),
        "{seen:?}"
    );
}

#[test]
fn rule_24f_the_account_of_a_machine_is_used_only_where_it_is_named() {
    let mut site = Site::new();
    site.kdc.add("BUILD01$");
    let place = site.kdc.ticket("BUILD01$");
    site.home.set("KRB5CCNAME", &place);
    site.add(&["--web-tier", "windows"])
        .code(2)
        .err_has("BUILD01$@EXAMPLE.COM, the account of a machine or a service; nothing was sent")
        .err_has("--web-tier 'windows:BUILD01$@EXAMPLE.COM'");
    assert_eq!(shown(&site.front.seen()), [] as [&str; 0]);
    site.add(&["--web-tier", "windows:BUILD01$@EXAMPLE.COM"])
        .ok();
}

#[test]
fn hints_with_the_names_of_accounts_can_be_pasted() {
    let mut site = Site::new();
    site.kdc.add("BUILD01$");
    let place = site.kdc.ticket("BUILD01$");
    site.home.set("KRB5CCNAME", &place);
    let ca = site.portal.ca_file(site.home.path());
    let url = site.front.url();
    let words = add_arguments("iwa", &url, APP_ID, ca.to_str().unwrap());
    let add = format!("age-oauth {}", words.join(" "));
    for shell in ["bash", "dash", "zsh", "fish"] {
        let line = format!("{add} --replace --web-tier windows; true");
        let (said, _) = in_shell(&site.home, shell, &line);
        let (_, option) = said.rsplit_once("to use that account: ").unwrap();
        let option = option.lines().next().unwrap();
        let (said, code) = in_shell(&site.home, shell, &format!("{add} --replace {option}"));
        assert_eq!(code, Some(0), "{shell} {option}: {said}");
    }
    // The same for what `kinit` needs.
    site.home.set("KRB5CCNAME", &site.kdc.ticket("ana"));
    for shell in ["bash", "dash", "zsh", "fish"] {
        let (said, _) = in_shell(&site.home, shell, "age-oauth login; true");
        let (_, line) = said.split_once("get a ticket of that account: ").unwrap();
        let (line, _) = line.split_once(';').unwrap();
        let (said, _) = in_shell(&site.home, shell, &line.replace("kinit", "printf %s >&2"));
        assert_eq!(said, "BUILD01$@EXAMPLE.COM", "{shell} {line}");
    }
}

#[test]
fn an_account_with_a_space_in_its_name_signs_in() {
    let mut site = Site::new();
    site.kdc.add("gis admin");
    let place = site.kdc.ticket("gis admin");
    site.home.set("KRB5CCNAME", &place);
    site.add(&["--web-tier", "windows"])
        .ok()
        .err_has("as gis admin@EXAMPLE.COM");
    let seen = site.front.seen();
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|one| one.user == "gis admin@EXAMPLE.COM"),
        "{seen:?}"
    );
    let shown = site.run(&["connections", "show", "iwa"]).ok().stdout;
    assert!(shown.contains("as gis admin@EXAMPLE.COM"), "{shown}");
    site.home.set("KRB5CCNAME", &site.kdc.ticket("ana"));
    site.run(&["login"])
        .code(3)
        .err_has("kinit \"gis admin@EXAMPLE.COM\"");
}

#[test]
fn rule_24f_no_configuration_and_no_folder_of_a_user_leads_tokens_elsewhere() {
    let mut site = Site::new();
    let home = site.home.path().to_owned();
    let traces = ["trace", "trace-of-kerberos", "started"].map(|name| home.join(name));
    let [by_curl, by_kerberos, started] = &traces;
    fs::write(
        home.join(".curlrc"),
        format!("stderr = \"{}\"\n", by_curl.display()),
    )
    .unwrap();
    for name in ["curl", "klist"] {
        let program = home.join(name);
        let text = format!("#!/bin/sh\necho started > '{}'\n", started.display());
        fs::write(&program, text).unwrap();
        open_to_all(&program, 0o755);
    }
    let path = std::env::var("PATH").unwrap();
    site.home.set("PATH", &format!("{}:{path}", home.display()));
    site.home.set("CURL_HOME", home.to_str().unwrap());
    site.home.set("KRB5_TRACE", by_kerberos.to_str().unwrap());
    site.home.set("http_proxy", "http://localhost:9");
    site.add(&["--web-tier", "windows"]).ok();
    for trace in traces {
        assert!(!trace.exists(), "{}", trace.display());
    }
}

#[test]
fn rule_24f_a_redirect_and_another_server_that_ask_get_nothing() {
    let site = Site::signed_in();
    // A web server that Kerberos knows by the same name, at another port.
    let other = Front::start(&site.kdc, &site.portal);
    let to = format!("{}/sharing/rest/community/self", other.url());
    site.portal.set(|rules| {
        rules.fault_always(Endpoint::CommunitySelf, Fault::Redirect { status: 302, to });
    });
    site.run(&["whoami"]).code(6);
    let elsewhere = format!("{}/sharing/rest/portals/self", other.url());
    site.run(&["api", &elsewhere]);
    let moved = ["connections", "edit", "iwa", "--portal", &other.url()];
    site.run(&moved)
        .code(2)
        .err_has("Windows sign-in was not chosen for");
    site.run(&[&moved[..], &["--web-tier", "none"]].concat())
        .code(7)
        .err_has("requires its own sign-in (Negotiate)")
        .err_has("--web-tier windows");
    let seen = other.seen();
    assert!(seen.iter().all(|one| one.token.is_none()), "{seen:?}");
}

#[test]
fn rule_24f_a_server_that_is_not_verified_sees_no_token() {
    let site = Site::new();
    let between = Portal::builder()
        .certificate(Certificate::SelfSigned)
        .start();
    let url = between.url();
    let words = [
        "connections",
        "add",
        "--label=x",
        "--client-id=c",
        "--no-check",
    ];
    let portal = format!("--portal={url}");
    let given = ["--web-tier", "windows"];
    site.run(&[&words[..], &[&portal, "--verify-ssl=false"], &given].concat())
        .code(2)
        .err_has("answered only to a portal whose certificate is verified");
    site.run(&[&words[..], &["--portal=http://localhost:9/portal"], &given].concat())
        .code(2)
        .err_has("over https alone");
    site.run(&[&words[..], &[&portal], &given].concat()).ok();
    site.run(&["connections", "edit", "x", "--verify-ssl", "false"])
        .code(2)
        .err_has("answered only to a portal whose certificate is verified");
    site.run(&["doctor", "-c", "x"]).code(1);
    site.run(&["login", "-c", "x"]);
    assert!(between.broken_handshakes() > 0);
    assert!(between.requests().is_empty());
}

#[test]
fn rule_24f_windows_sign_in_that_only_a_file_names_is_not_answered() {
    let site = Site::signed_in();
    let path = folder_of(&site.home, "iwa").join("meta.json");
    let meta = fs::read_to_string(&path).unwrap();
    let changed = meta.replace("ana@EXAMPLE.COM", "otto@EXAMPLE.COM");
    assert_ne!(meta, changed);
    let other = Front::start(&site.kdc, &site.portal);
    let moved = meta.replace(&site.front.url(), &other.url());
    assert_ne!(meta, moved);
    for meta in [changed, moved] {
        fs::write(&path, meta).unwrap();
        let seen = site.front.requests_of(|| {
            for words in [&["token"][..], &["whoami"], &["refresh", "--now"]] {
                site.run(words).code(5);
            }
            site.run(&["doctor"]).code(1);
        });
        assert_eq!(shown(&seen), [] as [&str; 0]);
    }
    assert_eq!(shown(&other.seen()), [] as [&str; 0]);
}

#[test]
fn the_setting_is_shown_carried_by_cards_and_taken_away_again() {
    let site = Site::new();
    site.add(&["--web-tier", "none"])
        .code(7)
        .err_has("requires its own sign-in (Negotiate)")
        .err_has("--web-tier windows");
    site.add(&["--web-tier", "windows"]).ok();
    let shown = site.run(&["connections", "show", "iwa"]).ok().stdout;
    assert!(
        shown.contains("signs in to the web server as ana@EXAMPLE.COM"),
        "{shown}"
    );
    let json = site
        .run(&["connections", "show", "iwa", "--json"])
        .ok()
        .json();
    assert_eq!(json["web_tier"], "windows");
    assert_eq!(json["web_tier_principal"], "ana@EXAMPLE.COM");
    let card = site.home.path().join("card.json");
    let text = site.run(&["connections", "share", "iwa"]).ok().stdout;
    fs::write(&card, &text).unwrap();
    assert!(text.contains("\"needs_windows_sign_in\": true"), "{text}");
    assert!(!text.contains("ana"), "{text}");
    let fingerprint = {
        let words = [
            "connections",
            "add",
            "--from",
            card.to_str().unwrap(),
            "--yes",
        ];
        let said = site
            .run(&[&words[..], &["--label", "two"]].concat())
            .code(2);
        assert!(said.stderr.contains("certificate"), "{}", said.stderr);
        let pem = fs::read(site.portal.ca_file(site.home.path())).unwrap();
        age_oauth::testing::fingerprint(&der(&pem))
    };
    let words = [
        "connections",
        "add",
        "--from",
        card.to_str().unwrap(),
        "--yes",
        "--label",
        "two",
    ];
    site.run(&[&words[..], &["--ca-fingerprint", &fingerprint]].concat())
        .ok()
        .err_has("Needs:     your Windows sign-in (as ana@EXAMPLE.COM)")
        .err_has("Windows sign-in: as ana@EXAMPLE.COM");
    site.run(&[
        "connections",
        "edit",
        "two",
        "--web-tier",
        "none",
        "--no-check",
    ])
    .ok();
    let json = site
        .run(&["connections", "show", "two", "--json"])
        .ok()
        .json();
    assert_eq!(json["web_tier"], "none");
    assert_eq!(json["web_tier_principal"], serde_json::Value::Null);
    site.run(&["doctor", "-c", "two"]).code(1);
    site.run(&["connections", "edit", "two", "--web-tier", "windows"])
        .ok()
        .err_has("Windows sign-in: as ana@EXAMPLE.COM");
    let checked = site.run(&["doctor", "-c", "two"]).stdout;
    assert!(checked.contains("ok   portal two: "), "{checked}");
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let site = Site::new();
    let ca = site.portal.ca_file(site.home.path());
    let words = [
        "connections",
        "add",
        "--label=iwa",
        "--verify-ssl",
        ca.to_str().unwrap(),
    ];
    let question = "Use your Windows sign-in for it, as ana@EXAMPLE.COM?";
    let url = site.front.url();
    let mut terminal = Terminal::start(&site.home, &words);
    terminal.expect("Portal URL").line(&url);
    terminal
        .expect("requires its own sign-in (Negotiate)")
        .expect("This portal is behind Windows sign-in.")
        .expect(question)
        .send("y");
    terminal.expect("ArcGIS Enterprise");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal
        .expect("[OK] Created connection: iwa")
        .expect("Windows sign-in: as ana@EXAMPLE.COM");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    // Without a ticket, a person learns that, and chooses another way.
    let words = [&words[..2], &["--label=two"], &words[3..]].concat();
    let mut home = home();
    site.kdc.use_in(&mut home, &site.kdc.no_ticket());
    let mut terminal = Terminal::start(&home, &words);
    terminal.expect("Portal URL").line(&url);
    terminal
        .expect("This portal is behind Windows sign-in.")
        .expect("there is no Kerberos ticket")
        .expect("kinit")
        .expect("How do you want to continue?")
        .expect("Try again, after you have got what is missing");
    site.kdc.kinit("ana", &site.kdc.no_ticket(), "10h");
    terminal.line("").expect(question).send("y");
    terminal.expect("ArcGIS Enterprise");
    terminal.expect("Authentication type");
    // An answer for one address does not count for the next one.
    let other = Front::start(&site.kdc, &site.portal);
    let mut home = crate::home();
    site.kdc.change_key("HTTP/localhost");
    site.kdc.use_in(&mut home, &site.kdc.ticket("ana"));
    let mut terminal = Terminal::start(&home, &words);
    terminal.expect("Portal URL").line(&url);
    terminal.expect(question).send("y");
    terminal
        .expect("did not accept the Windows sign-in of ana@EXAMPLE.COM")
        .expect("How do you want to continue?")
        .send("\u{1b}[B");
    terminal.line("").expect("Portal URL").line(&other.url());
    terminal.expect(question).send("n");
    terminal.expect("How do you want to continue?");
    assert!(other.seen().iter().all(|one| one.token.is_none()));
    // Nor is it answered by one who does not want that.
    let mut terminal = Terminal::start(&home, &words);
    terminal.expect("Portal URL").line(&url);
    terminal.expect(question).send("n");
    terminal.expect("How do you want to continue?");
}

/// The first certificate of a PEM file.
pub fn der(pem: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = std::str::from_utf8(pem).unwrap();
    let lines = text
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'));
    base64::engine::general_purpose::STANDARD
        .decode(lines.collect::<String>())
        .unwrap()
}

/// One line of an answer for each line, whatever it says.
#[test]
fn the_python_package_gets_an_answer_to_each_line() {
    let site = Site::signed_in();
    let shown = site.run(&["connections", "show", "iwa", "--json"]).ok();
    let id = shown.json()["id"].as_str().unwrap().to_owned();
    let lines = format!("nonsense\ncertificate unknown\ncertificate {id}\nauthorization {id}\n");
    let told = site.home.run(["web-tier"]).input(&lines).done().ok();
    let answers: Vec<serde_json::Value> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0]["error"]["code"], 2);
    assert_eq!(answers[1]["error"]["code"], 4);
    assert_eq!(answers[2]["certificate"], serde_json::Value::Null);
    assert_eq!(answers[2]["private_key"], serde_json::Value::Null);
    let url = site.front.url();
    assert!(url.starts_with(answers[3]["origin"].as_str().unwrap()));
    let token = answers[3]["authorization"].as_str().unwrap();
    secret_scan::register(token.strip_prefix("Negotiate ").unwrap());
}
