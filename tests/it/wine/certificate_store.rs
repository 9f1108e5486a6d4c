//! Client certificates of the Windows certificate store by the Windows build, in front of nginx
//! outside of wine. Certificates and keys are in wine's store, into which another program imports
//! them; `tests/windows/ncrypt.c` signs, because wine's own part does not.

use std::fs;
use std::path::Path;

use super::{close_key, in_wine, launcher, tell, variable, wine, WIDE};
use crate::client_certificates::{Pki, CLIENT};
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{OpenSsl, AUTHORITY, RSA};
use crate::support::portal::{Endpoint, Fault, Portal, APP_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::{add_arguments, age_sign_in, expire_token, folder_of, sign_in};
use crate::support::secret_scan;
use crate::support::web_server::{authority, front, write_certificates, WebServer, VERIFIED};

/// What makes wine take the test's own `ncrypt.dll`, which is beside the program.
fn overrides() -> String {
    format!("{};ncrypt=n", variable("WINEDLLOVERRIDES"))
}

/// What opens the files that are imported; wine reads no other letters.
const PASSWORD: &str = "file-password-of-2026";

/// The Windows build with `ncrypt.dll` beside it, and the certificates that a test has put into
/// wine's store.
struct Windows {
    home: Home,
    program: String,
    imported: Vec<String>,
    _programs: tempfile::TempDir,
}

impl Windows {
    fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let at = |name: &str| programs.path().join(name).display().to_string();
        let program = at("age-oauth.exe");
        fs::copy(variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM"), &program).unwrap();
        fs::copy(variable("AGE_OAUTH_TEST_NCRYPT"), at("ncrypt.dll")).unwrap();
        let mut home = in_wine(&launcher(programs.path(), &program));
        home.set("WINEDLLOVERRIDES", &overrides());
        Self {
            home,
            program,
            imported: Vec::new(),
            _programs: programs,
        }
    }

    /// Imports a certificate with its private key and the intermediate one as a person does, and
    /// returns its thumbprint.
    fn import(&mut self, pki: &Pki, name: &str) -> String {
        let files = pki.files();
        files.run(&format!(
            "pkcs12 -export -inkey {name}.key -in {name}.pem -certfile issuing.pem -passout pass:{PASSWORD} -out {name}.p12.pem"
        ));
        let file = files.file(&format!("{name}.p12"));
        let tool = variable("AGE_OAUTH_TEST_CERTIFICATES");
        let said = wine(&self.home, &[&tool, "import", &file, PASSWORD]);
        let lines = said.lines().filter_map(|line| line.split_once('\t'));
        let (personal, others): (Vec<_>, Vec<_>) = lines.partition(|(store, _)| *store == "MY");
        let thumbprint = |(_, thumbprint): &(&str, &str)| (*thumbprint).to_owned();
        self.imported
            .extend(personal.iter().chain(&others).map(thumbprint));
        assert_eq!(personal.len(), 1, "{said}");
        thumbprint(&personal[0])
    }

    fn remove(&mut self, thumbprint: &str) {
        let tool = variable("AGE_OAUTH_TEST_CERTIFICATES");
        wine(&self.home, &[&tool, "remove", thumbprint]);
        self.imported.retain(|one| one != thumbprint);
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }

    /// Rewrites the stored record as if the access token had expired.
    fn expire_token(&self) {
        close_key(&self.home);
        expire_token(&self.home, "pki");
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        for thumbprint in std::mem::take(&mut self.imported) {
            self.remove(&thumbprint);
        }
    }
}

/// nginx in front of a portal, with what it found of the client's certificate in each request.
struct Front {
    server: WebServer,
    folder: tempfile::TempDir,
}

impl Front {
    fn start(portal: &Portal, pki: &Pki, client: &'static str, protocols: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(portal, folder.path());
        let root = pki.files().certificate("root");
        fs::copy(root, folder.path().join("clients.pem")).unwrap();
        let configuration = front(&authority(&portal.url()), client, protocols);
        Self {
            server: WebServer::start(folder.path(), "nginx", configuration),
            folder,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }
}

fn add<'a>(url: &'a str, ca: &'a str, certificate: &'a str) -> Vec<&'a str> {
    let words = add_arguments("pki", url, APP_ID, ca);
    [&words[..], &["--client-cert", certificate]].concat()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The whole walk of a person, in both versions of TLS. The store is that of the user, so that one
/// test has it for itself.
#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_person_works_with_a_certificate_of_the_windows_store() {
    let mut windows = Windows::new();
    let pki = Pki::new();
    let home = Home::new("unused");
    let portal = Portal::builder().start();
    let ca = text(&portal.ca_file(home.path()));
    nothing_in_the_store(&windows, &portal, &ca);
    pki.client("ana", RSA, "-days 60");
    let thumbprint = windows.import(&pki, "ana");
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let front = Front::start(&portal, &pki, VERIFIED, protocols);
        let url = front.server.url();
        works(&windows, &portal, &add(&url, &ca, "store:"));
        let log = front.log();
        assert!(log.lines().count() > 8, "{log}");
        for line in log.lines() {
            assert!(line.ends_with("SUCCESS CN=ana"), "{protocols}: {line}");
        }
        windows.run(&["connections", "remove", "pki", "--yes"]).ok();
    }
    let front = Front::start(&portal, &pki, VERIFIED, "TLSv1.2 TLSv1.3");
    let url = front.server.url();
    windows
        .run(&add(&url, &ca, &format!("store:{thumbprint}")))
        .ok();
    sign_in(&windows.home, &portal, "pki").ok();
    what_a_card_asks_for(&windows);
    who_gets_it(&windows, &portal, &pki);
    what_tls_an_old_card_needs(&windows, &portal, &pki, &ca);
    several_in_the_store(&mut windows, &pki, &url, &ca);
    several_keys_of_one_subject(&mut windows, &pki);
    gone_and_renewed(&mut windows, &pki, &thumbprint);
    windows.run(&["logout"]).ok();
    assert_eq!(portal.live_refresh_tokens(), 0);
    portal.assert_clean();
}

fn nothing_in_the_store(windows: &Windows, portal: &Portal, ca: &str) {
    let url = portal.url();
    for (name, why) in [
        ("store:", "no certificate that can be presented"),
        ("store:CN=ana", "no certificate of this subject"),
        (
            &format!("store:{}", "0A".repeat(20)),
            "with this thumbprint",
        ),
    ] {
        windows.run(&add(&url, ca, name)).code(2).err_has(why);
    }
}

fn works(windows: &Windows, portal: &Portal, add: &[&str]) {
    windows
        .run(add)
        .ok()
        .err_has("Client certificate: CN=ana, until ")
        .err_has("It stays in the Windows certificate store with its private key");
    sign_in(&windows.home, portal, "pki").ok();
    for words in [
        &["whoami"][..],
        &["refresh"],
        &["token"],
        &["api", "portals/self"],
        &["api", "portals/self", "-o", "self.json"],
    ] {
        windows.expire_token();
        windows.run(words).ok();
    }
    close_key(&windows.home);
    age_sign_in(&windows.home, "pki", 9);
    windows.run(&["refresh", "--now"]).ok();
    let checked = windows.run(&["doctor"]).stdout;
    for line in [
        "ok   portal pki: ",
        "ok   client certificate pki: CN=ana, issued by CN=issuing, until ",
    ] {
        assert!(checked.contains(line), "{checked}");
    }
    let shown = windows.run(&["connections", "show", "pki", "--json"]).ok();
    let source = shown.json()["client_certificate_source"].clone();
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let digest = source.as_str().unwrap().strip_prefix("store:").unwrap();
    assert!(is_digest(digest), "{source}");
    windows
        .run(&["connections", "edit", "pki", "--proxy", "none"])
        .ok();
    // The keychain holds what the certificate is bound to, and nothing of the certificate.
    let path = folder_of(&windows.home, "pki").join("meta.json");
    let meta = fs::read_to_string(&path).unwrap();
    assert!(meta.contains(digest), "{meta}");
    // What it says of the certificate is not shown: the store has the certificate itself.
    fs::write(&path, meta.replace("CN=ana", "CN=boss")).unwrap();
    for words in [
        &["connections", "show", "pki"][..],
        &["doctor", "--offline", "-c", "pki"],
    ] {
        let said = windows.run(words).stdout;
        assert!(said.contains("CN=ana") && !said.contains("boss"), "{said}");
    }
    fs::write(&path, meta).unwrap();
    // Python's own TLS cannot use the key.
    let id = shown.json()["id"].as_str().unwrap().to_owned();
    let answers = windows.home.run(["web-tier"]);
    let answers = answers.input(format!("certificate {id}\n")).done().ok();
    assert!(
        answers
            .stdout
            .contains("in the Windows certificate store stays there"),
        "{}",
        answers.stdout
    );
    windows.run(&["logout"]).ok();
}

/// A key on a card asks for its PIN only where a person is there, and says what is wrong otherwise.
fn what_a_card_asks_for(windows: &Windows) {
    let with = |state: &str| {
        windows.expire_token();
        let run = windows.home.run(["token"]);
        run.env("AGE_OAUTH_TEST_CARD", state).done().code(5)
    };
    with("asks")
        .err_has("the private key of the client certificate CN=ana requires a PIN or your consent, which Windows cannot ask for here")
        .err_has("run it in a terminal");
    with("absent").err_has("on a card or a device that is not there");
    with("cancelled").err_has("the question was canceled");
    with("blocked").err_has("its PIN is locked");
    with("other").err_has("it is not the private key of this certificate");
    // An old card without RSA-PSS, which TLS 1.3 needs.
    windows.expire_token();
    let run = windows.home.run(["token"]);
    run.env("AGE_OAUTH_TEST_CARD", "old").done().ok();
    // Where no connection is made, the key is not used.
    for words in [
        &["token"][..],
        &["connections", "edit", "pki", "--tag", "card"],
        &["connections", "show", "pki"],
    ] {
        let run = windows.home.run(words);
        run.env("AGE_OAUTH_TEST_CARD", "blocked").done().ok();
    }
    let mut home = in_wine(windows.home.program().to_str().unwrap());
    home.set("WINEDLLOVERRIDES", &overrides());
    home.set("AGE_OAUTH_TEST_CARD", "asks");
    home.set("AGE_OAUTH_HOME", &text(&windows.home.store()));
    let words = [&*windows.program, "api", "portals/self"];
    let mut terminal = Terminal::start_sized(&home, "wine", &words, WIDE);
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    // The PIN is entered before a server waits.
    home.set("AGE_OAUTH_TEST_CARD", "slow");
    let mut terminal = Terminal::start_sized(&home, "wine", &words, WIDE);
    terminal.expect("Windows may be asking for its PIN");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    home.set("AGE_OAUTH_TEST_CARD", "asks");
    let mut terminal =
        Terminal::start_sized(&home, "wine", &[&words[..], &["--no-input"]].concat(), WIDE);
    assert_eq!(terminal.end(), 5, "{}", terminal.screen());
    // By how Windows logged the program on; where it does not say that, by the session, which in
    // wine has a desktop.
    for (logon, code) in [
        ("batch", 5),
        ("service", 5),
        ("network", 5),
        ("unknown", 0),
        ("interactive", 0),
    ] {
        home.set("AGE_OAUTH_TEST_LOGON", logon);
        let mut terminal = Terminal::start_sized(&home, "wine", &words, WIDE);
        assert_eq!(terminal.end(), code, "{logon}: {}", terminal.screen());
        let refused = terminal
            .screen()
            .contains("which Windows cannot ask for here");
        assert_eq!(refused, code == 5, "{logon}: {}", terminal.screen());
    }
}

fn what_tls_an_old_card_needs(windows: &Windows, portal: &Portal, pki: &Pki, ca: &str) {
    let front = Front::start(portal, pki, VERIFIED, "TLSv1.3");
    let words = add(&front.server.url(), ca, "store:").join("\n");
    let words = words.replace("\npki\n", "\nsecond\n");
    let run = windows.home.run(words.split('\n'));
    run.env("AGE_OAUTH_TEST_CARD", "old")
        .done()
        .code(6)
        .err_has("the server does not offer TLS 1.2, and the private key of the client certificate")
        .err_has("switch on TLS 1.2");
}

/// As on a card for persons: for signing in, for signatures, for encryption.
fn several_keys_of_one_subject(windows: &mut Windows, pki: &Pki) {
    let files = pki.files();
    let own = ["key", "pem", "csr"].map(|end| {
        let path = files.key("ana").with_extension(end);
        (fs::read(&path).unwrap(), path)
    });
    let encrypts = format!("{CLIENT}\nkeyUsage=keyEncipherment");
    let mut imported = Vec::new();
    for extensions in [CLIENT, &encrypts] {
        files.signed("ana", RSA, "issuing", extensions, "-days 30");
        secret_scan::register_key(&fs::read_to_string(files.key("ana")).unwrap());
        imported.push(windows.import(pki, "ana"));
    }
    for (content, path) in own {
        fs::write(path, content).unwrap();
    }
    let edit = ["connections", "edit", "pki", "--client-cert"];
    for name in ["store:CN=ana", "store:ana", "store:"] {
        let listed = windows.run(&[&edit[..], &[name]].concat()).code(2);
        let listed = listed
            .err_has("2 certificates of the Windows certificate store fit")
            .err_has(&format!("--client-cert store:{}", imported[0]));
        assert!(!listed.stderr.contains(&imported[1]), "{}", listed.stderr);
    }
    for word in ["store", "Store:"] {
        let refused = windows.run(&[&edit[..], &[word]].concat()).code(2);
        refused.err_has("with a colon: --client-cert store:");
    }
    for thumbprint in imported {
        windows.remove(&thumbprint);
    }
}

/// Neither the target of a redirect nor a server that is not verified.
fn who_gets_it(windows: &Windows, portal: &Portal, pki: &Pki) {
    let other = Front::start(
        portal,
        pki,
        "ssl_verify_client optional_no_ca;",
        "TLSv1.2 TLSv1.3",
    );
    let to = format!("{}/sharing/rest/community/self", other.server.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::CommunitySelf, Fault::Redirect { status: 302, to });
    });
    windows.run(&["whoami"]).code(6);
    portal.set(|rules| rules.clear_faults());
    assert_eq!(other.log(), "");
    windows
        .run(&["connections", "edit", "pki", "--verify-ssl", "false"])
        .code(2)
        .err_has("presented only to a portal whose own certificate is verified");
    let moved = other.server.url();
    windows
        .run(&["connections", "edit", "pki", "--portal", &moved])
        .code(2)
        .err_has("--client-cert FILE");
    assert_eq!(other.log(), "");
}

fn several_in_the_store(windows: &mut Windows, pki: &Pki, url: &str, ca: &str) {
    // An authority that nginx does not trust.
    let stranger = OpenSsl::new();
    stranger.self_signed("foreign", RSA, AUTHORITY, "");
    fs::copy(
        stranger.certificate("foreign"),
        pki.files().certificate("foreign"),
    )
    .unwrap();
    fs::copy(stranger.key("foreign"), pki.files().key("foreign")).unwrap();
    pki.files().signed("otto", RSA, "foreign", CLIENT, "");
    secret_scan::register_key(&fs::read_to_string(pki.files().key("otto")).unwrap());
    let otto = windows.import(pki, "otto");
    // Without a terminal, what can be typed.
    let edit = ["connections", "edit", "pki", "--client-cert"];
    let listed = windows.run(&[&edit[..], &["store:"]].concat()).code(2);
    listed
        .err_has("2 certificates of the Windows certificate store fit")
        .err_has(&format!(
            "--client-cert store:{otto}  (CN=otto, issued by CN=foreign, until "
        ));
    for name in [format!("store:{otto}"), "store:CN=otto".to_owned()] {
        windows
            .run(&[&edit[..], &[&name]].concat())
            .code(7)
            .err_has("rejected the client certificate CN=otto");
    }
    // On a terminal, a question: for the option, and where the portal asks.
    let words = [&[&*windows.program][..], &edit, &["store:"]].concat();
    let mut terminal = Terminal::start_sized(&windows.home, "wine", &words, WIDE);
    terminal
        .expect("ana, issued by issuing, until ")
        .expect("otto, issued by foreign, until ")
        .ready()
        .line("");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    let words = [
        &*windows.program,
        "connections",
        "add",
        "--label=second",
        "--verify-ssl",
        ca,
    ];
    let mut terminal = Terminal::start_sized(&windows.home, "wine", &words, WIDE);
    terminal.expect("Portal URL").ready().line(url);
    terminal
        .expect("Present a client certificate (of the Windows certificate store, or a file)")
        .ready()
        .line("");
    terminal
        .expect("ana, issued by issuing, until ")
        .expect("A file with its private key (PKCS#12 or PEM)")
        .ready()
        .line("");
    terminal.expect("ArcGIS Enterprise");
    terminal.expect("Authentication type").line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal.expect("[OK] Created connection: second");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0, "{}", terminal.screen());
    tell(&terminal.screen());
    windows
        .run(&["connections", "remove", "second", "--yes"])
        .ok();
    windows.remove(&otto);
}

/// A certificate that is no longer there is named, and one that took its place is not used by
/// itself.
fn gone_and_renewed(windows: &mut Windows, pki: &Pki, former: &str) {
    windows.remove(former);
    windows.expire_token();
    let gone = "the client certificate CN=ana is no longer in the Windows certificate store";
    windows
        .run(&["token"])
        .code(5)
        .err_has(gone)
        .err_has("age-oauth connections edit pki --client-cert store:");
    let checked = windows.run(&["doctor", "--offline"]).stdout;
    assert!(checked.contains(gone), "{checked}");
    windows
        .run(&["status", "--check", "-c", "pki"])
        .code(3)
        .err_has(gone);
    pki.files().issue("ana", "issuing", CLIENT, "-days 200");
    windows.import(pki, "ana");
    let told = windows.run(&["token"]).code(5);
    let told = told.err_has("a renewed one is there (ends 20");
    let command = "age-oauth connections edit pki --client-cert store:";
    let line = told.stderr.split(command).nth(1).unwrap();
    let digest = line.split_whitespace().next().unwrap();
    assert_eq!(digest.len(), 64, "{}", told.stderr);
    let checked = windows.run(&["doctor", "--offline"]).stdout;
    assert!(checked.contains(&format!("{command}{digest}")), "{checked}");
    let name = format!("store:{digest}");
    windows
        .run(&["connections", "edit", "pki", "--client-cert", &name])
        .ok();
    windows.run(&["token"]).ok();
}
