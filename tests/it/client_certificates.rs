//! Client certificates: the files that are read, where certificate and key are stored, and whom
//! they are presented to.

use std::fs;
use std::path::Path;

use age_oauth::{Context, Environment, Item, ItemKind, Keychains, Secret};
use jiff::{SignedDuration, Timestamp};
use serde_json::{json, Value};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{OpenSsl, AUTHORITY, P256, RSA};
use crate::support::portal::{Builder, Endpoint, Fault, Guard, Portal, APP_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::{
    add_arguments, expire_token, folder_of, nothing_was_created, sign_in, stored, ADD_UNCHECKED,
};
use crate::support::secret_scan;

/// What a client certificate says about itself.
pub const CLIENT: &str = "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth";

/// The password of every file, without its end of line.
pub const PASSWORD: &str = "a päss-word of 2026";

/// An authority, an intermediate one, and client certificates. Keys and password are registered as
/// secrets.
pub struct Pki(OpenSsl);

impl Pki {
    pub fn new() -> Self {
        let files = OpenSsl::new();
        files.self_signed("root", P256, AUTHORITY, "");
        files.signed("issuing", P256, "root", AUTHORITY, "");
        fs::write(files.certificate("password"), PASSWORD).unwrap();
        secret_scan::register(PASSWORD);
        Self(files)
    }

    /// A client certificate with a new key, from the intermediate authority.
    pub fn client(&self, name: &str, kind: &str, options: &str) {
        self.0.signed(name, kind, "issuing", CLIENT, options);
        self.register(name);
    }

    fn register(&self, name: &str) {
        let pem = fs::read_to_string(self.0.key(name)).unwrap();
        secret_scan::register_key(&pem);
    }

    /// `openssl pkcs12 -export` with these options, with the intermediate certificate.
    pub fn pkcs12(&self, name: &str, options: &str) -> String {
        self.0.run(
            format!("pkcs12 -export -inkey {name}.key -in {name}.pem -certfile issuing.pem -passout file:password.pem -out {name}.p12.pem {options}")
                .trim(),
        );
        self.0.file(&format!("{name}.p12"))
    }

    /// One PEM file of these parts.
    fn pem(&self, name: &str, parts: &[&str]) -> String {
        let parts = parts.iter().map(|part| fs::read_to_string(part).unwrap());
        fs::write(self.0.certificate(name), parts.collect::<String>()).unwrap();
        self.0.file(name)
    }

    fn key(&self, name: &str) -> String {
        self.0.key(name).display().to_string()
    }

    pub fn files(&self) -> &OpenSsl {
        &self.0
    }
}

/// `connections add` of a portal that is not asked, with this file and the password.
fn add_unchecked(home: &Home, file: &str) -> Outcome {
    let words = [
        &ADD_UNCHECKED[..],
        &["--client-cert", file, "--client-cert-password-stdin"],
    ]
    .concat();
    home.run(words).input(format!("{PASSWORD}\n")).done()
}

fn show(home: &Home, name: &str) -> Value {
    home.run(["connections", "show", name, "--json"])
        .done()
        .ok()
        .json()
}

#[test]
fn every_form_of_file_is_read() {
    let pki = Pki::new();
    for (name, kind) in [("ana", P256), ("otto", RSA)] {
        pki.client(name, kind, "");
        let key = pki.key(name);
        let certificate = pki.files().file(name);
        let mut files = Vec::new();
        for (number, options) in [
            "",
            "-legacy",
            "-legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
            "-certpbe AES-128-CBC -keypbe AES-128-CBC -macalg sha512",
            "-certpbe NONE -keypbe NONE",
            "-nomac",
        ]
        .into_iter()
        .enumerate()
        {
            let made = pki.pkcs12(name, options);
            let kept = pki.files().file(&format!("{name}{number}"));
            fs::copy(made, &kept).unwrap();
            files.push((kept, options));
        }
        for options in [
            "-v2 aes-256-cbc",
            "-v2 aes-128-cbc -v2prf hmacWithSHA1",
            "-v2 des3",
            "-scrypt",
        ] {
            let encrypted = format!("{name}.encrypted");
            pki.files().run(&format!("pkcs8 -topk8 -in {name}.key -out {encrypted}.key -passout file:password.pem {options}"));
            let file = format!("{name}{}", options.replace(' ', ""));
            // The key comes first here, and the certificate first below.
            files.push((
                pki.pem(&file, &[&pki.key(&encrypted), &certificate]),
                options,
            ));
        }
        files.push((
            pki.pem(&format!("{name}-plain"), &[&certificate, &key]),
            "PKCS#8",
        ));
        let traditional = format!("{name}.traditional");
        pki.files().run(&format!(
            "pkey -in {name}.key -traditional -out {traditional}.key"
        ));
        files.push((
            pki.pem(
                &format!("{name}-old"),
                &[&certificate, &pki.key(&traditional)],
            ),
            "PKCS#1 or SEC1",
        ));
        for (file, form) in files {
            let home = home();
            let added = add_unchecked(&home, &file);
            assert_eq!(added.code, 0, "{form}: {}", added.stderr);
            added.err_has("may be deleted");
            let shown = show(&home, "x");
            assert_eq!(shown["client_certificate"], format!("CN={name}"), "{form}");
            assert_eq!(shown["client_certificate_issuer"], "CN=issuing");
            assert_eq!(shown["client_certificate_source"], "keychain");
            assert!(shown["client_certificate_expires_at"].is_string());
        }
    }
}

/// The error for a file, which creates no connection.
#[track_caller]
fn refused(file: &str, password: &str, words: &[&str]) {
    let home = home();
    let arguments = [
        &ADD_UNCHECKED[..],
        &["--client-cert", file, "--client-cert-password-stdin"],
    ]
    .concat();
    let said = home.run(arguments).input(password).done().code(2);
    for word in words {
        assert!(said.stderr.contains(word), "no `{word}` in {}", said.stderr);
    }
    nothing_was_created(&home);
}

#[test]
fn what_cannot_be_used_is_named() {
    let pki = Pki::new();
    let files = pki.files();
    pki.client("ana", P256, "");
    pki.client("otto", RSA, "");
    let (ana, otto) = (files.file("ana"), files.file("otto"));
    for options in ["", "-legacy", "-nomac"] {
        let file = pki.pkcs12("ana", options);
        refused(&file, "another password", &["password is wrong"]);
    }
    let file = pki.pkcs12("ana", "");
    // Without a password and a terminal.
    let words = [&ADD_UNCHECKED[..], &["--client-cert", &file]].concat();
    home()
        .run(words)
        .done()
        .code(2)
        .err_has("is protected by a password")
        .err_has("--client-cert-password-stdin");
    refused(&ana, PASSWORD, &["without its private key"]);
    refused(
        &pki.key("ana"),
        PASSWORD,
        &["private key without its certificate"],
    );
    let mixed = pki.pem("mixed", &[&ana, &pki.key("otto")]);
    refused(&mixed, PASSWORD, &["does not belong to the certificate"]);
    let both = pki.pem("both", &[&ana, &pki.key("ana"), &otto, &pki.key("otto")]);
    refused(
        &both,
        PASSWORD,
        &["several private keys", "CN=ana", "CN=otto"],
    );
    files.run("x509 -in ana.pem -outform DER -out der.pem");
    refused(&files.file("der"), PASSWORD, &["without its private key"]);
    files
        .run("pkey -in otto.key -traditional -aes-128-cbc -passout file:password.pem -out old.key");
    let old = pki.pem("old", &[&otto, &pki.key("old")]);
    refused(&old, PASSWORD, &["openssl pkcs8 -topk8"]);
    files.signed(
        "weak",
        "RSA -pkeyopt rsa_keygen_bits:1024",
        "issuing",
        CLIENT,
        "",
    );
    let weak = pki.pem("weak-file", &[&files.file("weak"), &pki.key("weak")]);
    refused(&weak, PASSWORD, &["private key cannot be used", "2048"]);
    let past = ["20200101000000Z", "20210101000000Z"];
    files.signed_between("former", "issuing", CLIENT, past);
    let former = pki.pem("former-file", &[&files.file("former"), &pki.key("former")]);
    refused(&former, PASSWORD, &["CN=former expired on"]);
    fs::write(files.certificate("text"), "ana").unwrap();
    refused(
        &files.file("text"),
        PASSWORD,
        &["does not contain a certificate"],
    );
    let whole = fs::read(pki.pkcs12("ana", "")).unwrap();
    fs::write(files.certificate("cut"), &whole[..whole.len() / 2]).unwrap();
    refused(&files.file("cut"), PASSWORD, &["damaged"]);
}

#[test]
fn what_a_web_server_may_reject_is_a_warning() {
    let pki = Pki::new();
    let files = pki.files();
    let future = ["20900101000000Z", "20910101000000Z"];
    files.signed_between("later", "issuing", CLIENT, future);
    files.signed("server", P256, "issuing", "extendedKeyUsage=serverAuth", "");
    for (name, words) in [
        ("later", "it is not valid before 2090"),
        ("server", "not issued for client authentication"),
    ] {
        let file = pki.pem("file", &[&files.file(name), &pki.key(name)]);
        add_unchecked(&home(), &file).ok().err_has(words);
    }
}

/// A portal that asks for a certificate of its own authority, and a file with one.
struct Guarded {
    portal: Portal,
    home: Home,
    file: String,
}

impl Guarded {
    fn start() -> Self {
        Self::at(Portal::builder().client_certificate_required())
    }

    fn at(portal: Builder) -> Self {
        let (portal, home) = (portal.start(), home());
        let file = home.path().join("ana.pem");
        let own = portal.client_identity("ana");
        secret_scan::register_key(&own.key_pem);
        fs::write(&file, own.certificate_pem + &own.key_pem).unwrap();
        home.allow_secrets_in(&file);
        let file = file.display().to_string();
        Self { portal, home, file }
    }

    /// `connections add` with these options, at the portal.
    fn add(&self, options: &[&str]) -> Outcome {
        let ca = self.portal.ca_file(self.home.path());
        let url = self.portal.url();
        let mut words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap()).to_vec();
        words.extend(options);
        self.home.run(words).done()
    }

    fn added() -> Self {
        let guarded = Self::start();
        guarded.add(&["--client-cert", &guarded.file]).ok();
        guarded
    }

    /// The content of the keychain's item.
    fn item(&self) -> Option<Value> {
        let keychain = keychain(&self.home);
        let item = Item::of(&stored(&self.home, "pki"), ItemKind::ClientCertificate);
        let record = keychain.get(&item).unwrap()?;
        Some(serde_json::from_str(record.expose()).unwrap())
    }

    /// Changes `meta.json` as a person or a program with access to the file can.
    fn change_meta(&self, change: impl FnOnce(&mut Value)) {
        let path = folder_of(&self.home, "pki").join("meta.json");
        let mut meta = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut meta);
        fs::write(path, meta.to_string()).unwrap();
    }

    fn meta(&self) -> Value {
        let path = folder_of(&self.home, "pki").join("meta.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

fn keychain(home: &Home) -> std::sync::Arc<dyn age_oauth::SecretStore> {
    let context = Context {
        environment: Environment::of(Vec::<(String, String)>::new()),
        ..Context::process()
    };
    Keychains::new(home.store(), true, false, &context).of(stored(home, "pki").keychain)
}

#[test]
fn a_person_works_behind_a_web_server_that_asks_for_a_certificate() {
    let guarded = Guarded::start();
    let Guarded { portal, home, file } = &guarded;
    guarded
        .add(&["--client-cert", file])
        .ok()
        .err_has("Client certificate: CN=ana, until ")
        .err_has("may be deleted");
    fs::remove_file(file).unwrap();
    sign_in(home, portal, "pki").ok();
    expire_token(home, "pki");
    let saved = home.path().join("self.json");
    for words in [
        &["whoami"][..],
        &["refresh"],
        &["refresh", "--now"],
        &["token"],
        &["api", "portals/self"],
        &["api", "portals/self", "-o", saved.to_str().unwrap()],
        &["doctor"],
        &["connections", "edit", "pki", "--proxy", "none"],
        &["logout"],
    ] {
        home.run(words).done().ok();
    }
    portal.assert_clean();
}

/// A store folder of a Windows machine may be opened here, too.
#[test]
fn a_certificate_of_the_windows_store_is_refused_on_other_systems() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    sign_in(home, portal, "pki").ok();
    expire_token(home, "pki");
    for name in ["store:", "store:CN=ana"] {
        let words = [&ADD_UNCHECKED[..], &["--client-cert", name]].concat();
        home.run(words)
            .done()
            .code(2)
            .err_has("Windows certificate store, and this system has none")
            .err_has("--client-cert FILE.p12");
    }
    let words = ["--client-cert", "store:", "--client-cert-password-stdin"];
    home.run([&ADD_UNCHECKED[..], &words].concat())
        .input(PASSWORD)
        .done()
        .code(2)
        .err_has("has no password here");
    let requests = portal.requests().len();
    // Named by the files alone, it is bound to nothing.
    let source = format!("store:{}", "0A".repeat(32));
    guarded.change_meta(|meta| meta["client_certificate"]["source"] = json!(source));
    home.run(["token"]).done().code(5);
    let mut record = guarded.item().unwrap();
    record["settings"]["client_certificate"] = json!(source);
    record.as_object_mut().unwrap().remove("pem");
    let item = Item::of(&stored(home, "pki"), ItemKind::ClientCertificate);
    let record = Secret::new(record.to_string());
    keychain(home).set(&item, &record).unwrap();
    let checked = home.run(["doctor"]).done().code(1).stdout;
    let why = "in the Windows certificate store, which this system does not have";
    assert!(checked.contains(why), "{checked}");
    assert_eq!(portal.requests().len(), requests);
    // What is stored is not damaged by that.
    let shown = show(home, "pki");
    assert_eq!(shown["client_certificate_source"], source);
}

/// Whether `doctor` reaches the portal of the connection `pki`.
fn portal_is_reached(home: &Home) -> bool {
    let said = home.run(["doctor"]).done().stdout;
    said.contains("ok   portal pki: ")
}

#[test]
fn rule_25_certificate_and_key_are_in_the_keychain_alone_and_go_with_the_connection() {
    let guarded = Guarded::added();
    let Guarded { portal, home, file } = &guarded;
    let record = guarded.item().unwrap();
    let pem = record["pem"].as_str().unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE") && pem.contains("BEGIN PRIVATE KEY"));
    assert_eq!(record["portal_url"], portal.url());
    assert_eq!(record["settings"]["client_certificate"], "keychain");
    let meta = guarded.meta();
    assert_eq!(meta["schema_version"], 4);
    assert_eq!(meta["client_certificate"]["subject"], "CN=ana");
    assert_eq!(meta["client_certificate"]["source"], "keychain");
    // Another kind of sign-in, and other settings, keep it.
    home.run(["connections", "edit", "pki", "--proxy", "none"])
        .done()
        .ok();
    home.run(["connections", "rename", "pki", "second"])
        .done()
        .ok();
    home.run(["connections", "rename", "second", "pki"])
        .done()
        .ok();
    assert!(portal_is_reached(home));
    // Taken away.
    home.run([
        "connections",
        "edit",
        "pki",
        "--client-cert",
        "none",
        "--no-check",
    ])
    .done()
    .ok();
    assert!(guarded.item().is_none());
    assert_eq!(guarded.meta()["client_certificate"], Value::Null);
    assert_eq!(guarded.meta()["schema_version"], 3);
    assert!(!portal_is_reached(home));
    // Given again.
    home.run(["connections", "edit", "pki", "--client-cert", file])
        .done()
        .ok()
        .err_has("may be deleted");
    assert!(portal_is_reached(home));
    let id = stored(home, "pki").id.to_string();
    let vault = keychain(home);
    home.run(["connections", "remove", "pki", "--yes"])
        .done()
        .ok();
    let left = vault.accounts().unwrap();
    assert!(
        left.iter().all(|account| !account.starts_with(&id)),
        "{left:?}"
    );
}

/// The keychain may hold the only copy of the private key.
#[test]
fn another_portal_deletes_no_certificate_without_being_told_so() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    let edit = |words: &[&str]| {
        let start = ["connections", "edit", "pki", "--no-check", "--portal"];
        home.run([&start[..], words].concat()).done()
    };
    let elsewhere = portal.url().replace("/portal", "/other");
    edit(&[&elsewhere]).ok();
    assert!(guarded.item().is_some());
    let before = guarded.meta();
    let other = "https://gis.example.com/portal";
    let refused = edit(&[other]);
    refused
        .code(2)
        .err_has("was not chosen for https://gis.example.com/portal")
        .err_has("--client-cert none");
    let add = add_arguments("pki", other, APP_ID, "true");
    home.run([&add[..], &["--replace", "--no-check"]].concat())
        .done()
        .code(2)
        .err_has("was not chosen for");
    assert_eq!(guarded.meta(), before);
    assert!(guarded.item().is_some());
    edit(&[other, "--client-cert", "none"]).ok();
    assert!(guarded.item().is_none());
    assert_eq!(guarded.meta()["client_certificate"], Value::Null);
}

/// Two portals ask for a certificate. One rejects it, and the person goes on at the other.
#[test]
fn rule_24e_another_address_in_the_dialogue_does_not_get_the_certificate() {
    let (mut guarded, pki) = (Guarded::start(), Pki::new());
    pki.client("stranger", P256, "");
    let stranger = pki.pem(
        "stranger-all",
        &[&pki.files().file("stranger"), &pki.key("stranger")],
    );
    let other = Portal::builder().client_certificate_required().start();
    let bundle = guarded.home.path().join("both.pem");
    let ca = |portal: &Portal| fs::read_to_string(portal.ca_file(guarded.home.path())).unwrap();
    fs::write(&bundle, ca(&guarded.portal) + &ca(&other)).unwrap();
    guarded.home.set("SSL_CERT_FILE", bundle.to_str().unwrap());
    let Guarded { portal, home, .. } = &guarded;
    for to_api_url in [false, true] {
        let mut terminal = Terminal::start(home, &["connections", "add", "--label", "pki"]);
        terminal.expect("Portal URL").line(&portal.url());
        terminal.expect("Present a client certificate").line("");
        terminal.expect("with its private key").line(&stranger);
        terminal
            .expect("rejected")
            .expect("Present a client certificate")
            .down(if to_api_url { 1 } else { 2 })
            .line("");
        let asked = if to_api_url { "API URL" } else { "Portal URL" };
        terminal.expect(asked).line(&other.url());
        terminal
            .expect("was chosen for")
            .expect("is not presented to")
            .expect("asks for a client certificate")
            .expect("Present a client certificate")
            .send("\u{3}");
        terminal.end();
    }
}

#[test]
fn rule_24e_a_new_api_url_does_not_get_the_certificate_of_the_portal() {
    let guarded = Guarded::added();
    let Guarded { portal, home, file } = &guarded;
    let other = portal.other_server_url().replace("/server", "/portal");
    let edit = |words: &[&str]| {
        let start = ["connections", "edit", "pki", "--no-check"];
        home.run([&start[..], words].concat()).done()
    };
    let before = guarded.meta();
    edit(&["--api-url", &other])
        .code(2)
        .err_has("was not chosen for")
        .err_has("--client-cert FILE");
    assert_eq!(guarded.meta(), before);
    assert!(guarded.item().is_some());
    // Another path of the same server is behind the same TLS.
    let path = portal.url().replace("/portal", "/arcgis");
    edit(&["--api-url", &path]).ok();
    edit(&["--api-url", "none"]).ok();
    assert!(guarded.item().is_some());
    // A person may choose it for the new address, or connect there without it.
    edit(&["--api-url", &other, "--client-cert", file]).ok();
    let meta = guarded.meta();
    assert_eq!(
        (&meta["api_url"], &meta["schema_version"]),
        (&json!(other), &json!(4))
    );
    edit(&["--api-url", "none"]).ok();
    assert!(guarded.item().is_some());
    edit(&["--api-url", &other, "--client-cert", "none"]).ok();
    assert!(guarded.item().is_none());
}

#[test]
fn a_private_key_that_other_users_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let guarded = Guarded::start();
    let Guarded { home, file, .. } = &guarded;
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = |mode| set_mode(Path::new(file), mode);
    set_mode(home.path(), 0o755);
    let warning = "may read";
    let edit = |file: &str| {
        let words = ["connections", "edit", "pki", "--no-check", "--client-cert"];
        home.run([&words[..], &[file]].concat()).done().ok().stderr
    };
    let reference = format!("file:{file}");
    let doctor = || home.run(["doctor", "-c", "pki"]).done().stdout;
    open(0o644);
    // 640 for a file of root.
    let command = format!("0 {file}");
    guarded
        .add(&["--client-cert", &reference])
        .ok()
        .err_has("(mode 0644), whose private key has no password: chmod 6")
        .err_has(&command);
    let said = doctor();
    assert!(said.contains(warning) && said.contains(&command), "{said}");
    open(0o600);
    assert!(!edit(&reference).contains(warning));
    assert!(!doctor().contains(warning));
    // What is copied into the keychain may be deleted.
    open(0o644);
    assert!(!edit(file).contains(warning));
    assert!(!doctor().contains(warning));
    // Without its password, an encrypted key is of no use.
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let protected = format!("file:{}", pki.pkcs12("ana", ""));
    let words = ["connections", "edit", "pki", "--no-check", "--client-cert"];
    let words = [&words[..], &[&protected, "--client-cert-password-stdin"]].concat();
    let said = home.run(words).input(PASSWORD).done().ok().stderr;
    assert!(!said.contains(warning), "{said}");
    // Unless others may read that, too.
    let password = home.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    home.allow_secrets_in("password");
    set_mode(&password, 0o644);
    let words = ["connections", "edit", "pki", "--no-check", "--client-cert"];
    let given = [
        &protected,
        "--client-cert-password-file",
        password.to_str().unwrap(),
    ];
    let said = home.run([&words[..], &given].concat()).done().ok();
    said.err_has("password (mode 0644), which holds a secret: chmod 6");
}

#[test]
fn a_password_that_pkcs12_cannot_take_here_is_named() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    pki.files()
        .run("pkcs12 -export -inkey ana.key -in ana.pem -passout pass:p\u{1f511} -out ana.p12.pem");
    let file = pki.files().file("ana.p12");
    let home = home();
    let words = ["--client-cert", &file, "--client-cert-password-stdin"];
    let words = [&ADD_UNCHECKED[..], &words].concat();
    let run = home.run(words).input("p\u{1f511}");
    run.done().code(2).err_has("a character such as an emoji");
}

#[test]
fn a_file_that_is_referred_to_is_read_at_each_use() {
    let guarded = Guarded::start();
    let Guarded { portal, home, file } = &guarded;
    let reference = format!("file:{file}");
    guarded
        .add(&["--client-cert", &reference])
        .ok()
        .err_has("is read at each use");
    let record = guarded.item().unwrap();
    assert!(record.get("pem").is_none() && record.get("password").is_none());
    sign_in(home, portal, "pki").ok();
    let whoami = ["whoami", "-c", "pki"];
    home.run(whoami).done().ok();
    // Renewed by another program: the next renewal shows what is presented now.
    let renewed = portal.client_identity("ana the second");
    fs::write(file, renewed.certificate_pem + &renewed.key_pem).unwrap();
    home.run(["token", "--force", "-c", "pki"]).done().ok();
    assert_eq!(show(home, "pki")["client_certificate"], "CN=ana the second");
    // What the monitor and doctor say is what the file says now, not what it said last.
    let pki = Pki::new();
    pki.client("soon", P256, "-days 3");
    let soon = pki.pem("soon-all", &[&pki.files().file("soon"), &pki.key("soon")]);
    fs::copy(soon, file).unwrap();
    let check = || home.run(["status", "--check", "-c", "pki"]).done();
    let doctor = || home.run(["doctor", "-c", "pki"]).done();
    check().code(3).err_has("(CN=soon) expires on");
    assert!(doctor().stdout.contains("CN=soon"));
    // Damaged, then gone.
    fs::write(file, "nothing").unwrap();
    check().code(3).err_has("does not contain a certificate");
    assert!(doctor()
        .code(1)
        .stdout
        .contains("does not contain a certificate"));
    home.run(whoami)
        .done()
        .code(1)
        .err_has("does not contain a certificate");
    fs::remove_file(file).unwrap();
    home.run(whoami).done().code(1).err_has("ana.pem");
    check().code(3).err_has("ana.pem");
}

#[test]
fn the_password_of_a_file_is_in_the_keychain_alone() {
    let (pki, home) = (Pki::new(), home());
    pki.client("ana", P256, "");
    let reference = format!("file:{}", pki.pkcs12("ana", ""));
    add_unchecked(&home, &reference).ok();
    let connection = stored(&home, "x");
    let context = Context {
        environment: Environment::of(Vec::<(String, String)>::new()),
        ..Context::process()
    };
    let keychain = Keychains::new(home.store(), true, false, &context).of(connection.keychain);
    let item = Item::of(&connection, ItemKind::ClientCertificate);
    let record = keychain.get(&item).unwrap().unwrap();
    let record: Value = serde_json::from_str(record.expose()).unwrap();
    assert_eq!(record["password"], PASSWORD);
    // The file has another password now.
    fs::write(pki.files().certificate("password"), "quite another one").unwrap();
    pki.pkcs12("ana", "");
    home.run(["whoami", "-c", "x"]).done().code(3);
    home.run(["doctor"]).done().code(1);
}

#[test]
fn rule_24e_no_certificate_goes_where_the_portal_is_not_verified_or_not_encrypted() {
    let guarded = Guarded::start();
    let Guarded { home, file, .. } = &guarded;
    let words = ["--client-cert", file, "--verify-ssl", "false"];
    let unverified = [&ADD_UNCHECKED[..], &words].concat();
    home.run(unverified)
        .done()
        .code(2)
        .err_has("own certificate is verified");
    let plain = [
        "connections",
        "add",
        "--no-check",
        "--label=x",
        "--client-id=c",
    ];
    let words = [
        "--portal=http://localhost:8080/portal",
        "--client-cert",
        file,
    ];
    home.run([&plain[..], &words].concat())
        .done()
        .code(2)
        .err_has("over https alone");
    nothing_was_created(home);
    guarded.add(&["--client-cert", file]).ok();
    let edit = ["connections", "edit", "pki", "--verify-ssl", "false"];
    home.run(edit).done().code(2).err_has("--client-cert none");
    assert!(portal_is_reached(home));
}

#[test]
fn rule_24b_a_changed_meta_json_presents_no_certificate_and_leaves_none_out() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    sign_in(home, portal, "pki").ok();
    let sent = portal.connections();
    let good = guarded.meta();
    let elsewhere = json!("https://localhost:9/portal");
    for change in [
        ("client_certificate", Value::Null),
        ("client_certificate", {
            let mut other = good["client_certificate"].clone();
            other["source"] = json!("file:/tmp/other.p12");
            other
        }),
        ("portal_url", elsewhere),
    ] {
        guarded.change_meta(|meta| meta[change.0] = change.1);
        home.run(["token", "--force"]).done().code(5);
        home.run(["whoami"]).done().code(5);
        guarded.change_meta(|meta| *meta = good.clone());
    }
    assert_eq!(portal.connections(), sent);
    // Without its item, nothing is sent, either.
    let item = Item::of(&stored(home, "pki"), ItemKind::ClientCertificate);
    keychain(home).delete(&item).unwrap();
    home.run(["token", "--force"])
        .done()
        .code(5)
        .err_has("--client-cert FILE");
    assert_eq!(portal.connections(), sent);
}

#[test]
fn rule_24b_an_old_record_takes_over_no_certificate_from_a_file() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    sign_in(home, portal, "pki").ok();
    let keychain = keychain(home);
    for kind in [ItemKind::Tokens, ItemKind::ClientCertificate] {
        let item = Item::of(&stored(home, "pki"), kind);
        let record = keychain.get(&item).unwrap().unwrap();
        let mut record: Value = serde_json::from_str(record.expose()).unwrap();
        record.as_object_mut().unwrap().remove("settings");
        keychain
            .set(&item, &Secret::new(record.to_string()))
            .unwrap();
    }
    home.run(["token", "--force"])
        .done()
        .code(5)
        .err_has("--client-cert FILE");
}

#[test]
fn an_older_program_does_not_use_a_connection_with_a_certificate() {
    let guarded = Guarded::added();
    assert_eq!(guarded.meta()["schema_version"], 4);
    guarded.change_meta(|meta| meta["schema_version"] = json!(99));
    guarded
        .home
        .run(["token", "-c", "pki"])
        .done()
        .code(1)
        .err_has("schema");
}

#[test]
fn rule_24e_servers_at_another_origin_get_no_certificate() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    sign_in(home, portal, "pki").ok();
    // The server asks for the same certificate as the portal, on the same host.
    home.run(["api", &portal.other_server_url()])
        .done()
        .code(7)
        .err_has("asks for a client certificate");
    // A server below the portal's own origin is behind the same TLS.
    home.run(["api", &format!("{}/rest/info", portal.server_url())])
        .done()
        .ok();
}

#[test]
fn a_connection_that_is_reset_after_the_request_names_the_certificate() {
    let guarded = Guarded::added();
    let Guarded { portal, home, .. } = &guarded;
    sign_in(home, portal, "pki").ok();
    portal.set(|rules| rules.fault_always(Endpoint::CommunitySelf, Fault::ResetBefore));
    home.run(["whoami"])
        .done()
        .code(6)
        .err_has("after the web server had asked for a client certificate and got CN=ana")
        .err_has("age-oauth connections edit pki --client-cert FILE.p12");
}

#[test]
fn rule_24e_with_two_addresses_the_certificate_goes_to_the_api_url() {
    // Each address asks for a certificate, and the portal's own for Windows sign-in, too.
    let guarded = Guarded::at(
        Portal::builder()
            .client_certificate_required()
            .guarded(Guard::Negotiate),
    );
    let Guarded { portal, home, file } = &guarded;
    let api = portal.api_url();
    guarded
        .add(&["--api-url", &api])
        .code(7)
        .err_has("asks for a client certificate");
    guarded
        .add(&["--api-url", &api, "--client-cert", file])
        .ok();
    // The request that compares both addresses came through the portal's own TLS.
    let to_the_guard = || portal.requests_to_the_guard().len();
    assert_eq!(to_the_guard(), 1);
    sign_in(home, portal, "pki").ok();
    home.run(["whoami"]).done().ok();
    expire_token(home, "pki");
    home.run(["token"]).done().ok();
    assert_eq!(to_the_guard(), 1);
    home.run(["doctor", "-c", "pki"]).done().ok();
    assert_eq!(to_the_guard(), 2);
    // No other request presents it there, or at a third origin.
    let browser = format!("{}/sharing/rest/community/self", portal.url());
    let below_browser = format!("{}/rest/info", portal.server_url());
    for url in [browser, below_browser, portal.other_server_url()] {
        home.run(["api", &url])
            .done()
            .code(7)
            .err_has("asks for a client certificate");
    }
    assert_eq!(to_the_guard(), 2);
    home.run(["connections", "edit", "pki", "--api-url", "none"])
        .done()
        .code(7)
        .err_has("requires its own sign-in");
    home.run(["connections", "edit", "pki", "--client-cert", "none"])
        .done()
        .code(7)
        .err_has("nothing was changed; give the certificate")
        .err_has("--client-cert FILE.p12");
    home.run(["logout"]).done().ok();
    assert_eq!(portal.live_refresh_tokens(), 0);
}

#[test]
fn rule_26_neither_key_nor_password_is_in_the_log_or_a_message() {
    let (mut guarded, pki) = (Guarded::start(), Pki::new());
    let log = guarded.home.path().join("night.log");
    guarded.home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
    let Guarded { portal, home, file } = &guarded;
    let protected = pki.files().file("protected");
    pki.files().run(&format!(
        "pkcs12 -export -in {file} -passout file:password.pem -out {protected}"
    ));
    guarded.add(&["--client-cert", file]).ok();
    sign_in(home, portal, "pki").ok();
    let mut said = String::new();
    let mut run = |words: &[&str]| {
        let out = home.run([&["-vv"], words].concat()).input(PASSWORD).done();
        said.push_str(&out.stdout);
        said.push_str(&out.stderr);
    };
    for kept in [protected.clone(), format!("file:{protected}")] {
        let given = ["--client-cert", &kept, "--client-cert-password-stdin"];
        run(&[&["connections", "edit", "pki"], &given[..]].concat());
        // The keychain has the key in another form than the file.
        let record = guarded.item().unwrap();
        if let Some(pem) = record["pem"].as_str() {
            secret_scan::register_key(pem);
        }
        run(&["whoami"]);
        run(&["doctor"]);
        run(&["connections", "show", "pki"]);
        run(&["connections", "list", "--json"]);
        // A wrong password, and a record that is damaged at its end.
        let given = ["--client-cert", &protected, "--client-cert-password-file"];
        run(&[&["connections", "edit", "pki"], &given[..], &[file]].concat());
        let item = Item::of(&stored(home, "pki"), ItemKind::ClientCertificate);
        let keychain = keychain(home);
        let good = keychain.get(&item).unwrap().unwrap();
        let text = good.expose();
        for damaged in [&text[..text.len() - 1], &text.replace("PRIVATE", "private")] {
            keychain.set(&item, &Secret::new(damaged.into())).unwrap();
            run(&["whoami"]);
            run(&["doctor"]);
        }
        keychain.set(&item, &good).unwrap();
        run(&["whoami"]);
    }
    assert!(said.contains("gone or damaged"), "{said}");
    assert!(said.contains("the password is wrong"), "{said}");
    let logged = fs::read(&log).unwrap();
    assert!(!logged.is_empty());
    secret_scan::assert_no_secret_but(&[], "the log", &logged);
    secret_scan::assert_no_secret_but(&[], "what was said", said.as_bytes());
}

#[test]
fn the_end_of_a_certificate_is_warned_about() {
    let (pki, home) = (Pki::new(), home());
    pki.client("ana", P256, "-days 29");
    add_unchecked(&home, &pki.pkcs12("ana", "")).ok();
    let check = home.run(["status", "--check"]).done().code(3);
    // The missing sign-in comes first.
    assert!(check.stderr.contains("login"), "{}", check.stderr);
    let doctor = home.run(["doctor", "--offline"]).done();
    assert!(
        doctor
            .stdout
            .contains("warn client certificate x: CN=ana, issued by CN=issuing"),
        "{}",
        doctor.stdout
    );
    assert!(doctor
        .stdout
        .contains("connections edit x --client-cert FILE.p12"));
}

/// A home with the signed-in connection `pki`, whose certificate openssl made with these options.
fn signed_in_with_certificate(options: &str) -> (Pki, Portal, Home) {
    let (pki, portal, home) = (Pki::new(), Portal::builder().start(), home());
    pki.client("ana", P256, options);
    let (ca, file) = (portal.ca_file(home.path()), pki.pkcs12("ana", ""));
    let url = portal.url();
    let words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap());
    let given = ["--client-cert", &file, "--client-cert-password-stdin"];
    home.run([&words[..], &given].concat())
        .input(PASSWORD)
        .done()
        .ok();
    sign_in(&home, &portal, "pki").ok();
    (pki, portal, home)
}

#[test]
fn a_monitor_learns_of_the_end_of_a_certificate() {
    let (pki, _portal, home) = signed_in_with_certificate("-days 40");
    let check = |within: &[&str]| {
        let start = ["status", "--check", "-c", "pki"];
        home.run([&start[..], within].concat()).done()
    };
    check(&[]).ok();
    check(&["--within", "41d"])
        .code(3)
        .err_has("the client certificate of `pki` (CN=ana) expires on")
        .err_has("age-oauth connections edit pki --client-cert FILE.p12");
    // The certificate counts, and not what `meta.json` says of it.
    for days in [-1, 400] {
        tell_lies(&home, days);
        check(&["--within", "1h"]).ok();
        check(&["--within", "41d"])
            .code(3)
            .err_has("the client certificate of `pki` (CN=ana) expires on");
    }
    // Another program may put an expired one into a file that is referred to.
    let edit = ["connections", "edit", "pki", "--client-cert"];
    let referred = format!("file:{}", pki.pkcs12("ana", ""));
    let by_reference = [&edit[..], &[&referred, "--client-cert-password-stdin"]].concat();
    home.run(by_reference).input(PASSWORD).done().ok();
    let ends = |end: &str| {
        let dates = ["20200101000000Z", end];
        pki.files().signed_between("ana", "issuing", CLIENT, dates);
        pki.register("ana");
        pki.pkcs12("ana", "");
    };
    // A month ahead, also where a shorter time is given, which is meant for sign-ins.
    let end = Timestamp::now() + SignedDuration::from_hours(20 * 24);
    ends(&end.strftime("%Y%m%d%H%M%SZ").to_string());
    for within in [&[][..], &["--within", "3d"]] {
        check(within)
            .code(3)
            .err_has("the client certificate of `pki` (CN=ana) expires on");
    }
    ends("20200201000000Z");
    check(&["--within", "1h"])
        .code(3)
        .err_has("the client certificate of `pki` (CN=ana) expired on");
}

/// Writes into the `meta.json` of `pki` that its client certificate is another person's, and ends
/// in so many days.
fn tell_lies(home: &Home, days: i64) {
    let path = folder_of(home, "pki").join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let end = Timestamp::now() + SignedDuration::from_hours(24 * days);
    let certificate = &mut meta["client_certificate"];
    certificate["not_after"] = json!(end.to_string());
    certificate["subject"] = json!("CN=boss");
    certificate["issuer"] = json!("CN=board");
    fs::write(path, meta.to_string()).unwrap();
}

#[test]
fn rule_24e_what_is_shown_of_a_certificate_comes_from_itself() {
    let (pki, portal, home) = (Pki::new(), Portal::builder().start(), home());
    pki.client("ana", P256, "-days 20");
    let (ca, file) = (portal.ca_file(home.path()), pki.pkcs12("ana", ""));
    let url = portal.url();
    let words = add_arguments("pki", &url, APP_ID, ca.to_str().unwrap());
    let referred = format!("file:{file}");
    for certificate in [&file, &referred] {
        let given = ["--client-cert", certificate, "--client-cert-password-stdin"];
        home.run([&words[..], &given].concat())
            .input(PASSWORD)
            .done()
            .ok();
        tell_lies(&home, 400);
        let shown = show(&home, "pki");
        assert_eq!(shown["client_certificate"], "CN=ana");
        assert_eq!(shown["client_certificate_issuer"], "CN=issuing");
        for words in [
            &["connections", "show", "pki"][..],
            &["doctor", "--offline", "-c", "pki"],
        ] {
            let said = home.run(words).done().stdout;
            assert!(
                said.contains("CN=ana") && said.contains("CN=issuing"),
                "{said}"
            );
            assert!(!said.contains("boss") && !said.contains("board"), "{said}");
        }
        // The reminder on a terminal has the certificate's own words, too.
        tell_lies(&home, 3);
        let mut terminal = Terminal::start(&home, &["connections", "show", "pki"]);
        assert_eq!(terminal.end(), 0, "{}", terminal.screen());
        let screen = terminal.screen();
        assert!(screen.contains("(CN=ana) expires on"), "{screen}");
        assert!(!screen.contains("boss"), "{screen}");
        home.run(["connections", "remove", "pki", "--yes"])
            .done()
            .ok();
    }
}

#[test]
fn rule_24e_a_source_that_no_person_chose_says_nothing_of_the_certificate() {
    let (_pki, _portal, home) = signed_in_with_certificate("");
    home.run(["status", "--check", "-c", "pki"]).done().ok();
    tell_lies(&home, 400);
    let path = folder_of(&home, "pki").join("meta.json");
    let lies = fs::read_to_string(&path).unwrap();
    let mut meta: Value = serde_json::from_str(&lies).unwrap();
    meta["client_certificate"]["source"] = json!("pkcs11:token=card");
    fs::write(&path, meta.to_string()).unwrap();
    for (words, code) in [
        (&["status", "--check", "-c", "pki"][..], 5),
        (&["doctor", "--offline", "-c", "pki"], 1),
        (&["connections", "show", "pki"], 0),
        (&["connections", "show", "pki", "--json"], 0),
    ] {
        let said = home.run(words).done().code(code);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains("boss") && !all.contains("board"), "{all}");
        assert!(!all.contains("ok   client certificate"), "{all}");
    }
    let shown = show(&home, "pki");
    for fact in ["", "_issuer", "_sha256", "_expires_at"] {
        let name = format!("client_certificate{fact}");
        assert!(shown[&name].is_null(), "{name}: {shown}");
    }
    assert_eq!(shown["client_certificate_source"], "pkcs11:token=card");
    // The hint is that of a changed setting, and not that of a certificate that expires.
    for words in [
        &["status", "--check", "-c", "pki"][..],
        &["doctor", "--offline", "-c", "pki"],
    ] {
        let said = home.run(words).done();
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("choose the settings yourself"), "{all}");
    }
}

#[test]
fn a_vault_with_its_key_beside_it_is_warned_about() {
    const WARNING: &str = "the vault holds a private key now";
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let file = pki.pkcs12("ana", "");
    let with_key_file = home();
    add_unchecked(&with_key_file, &file)
        .ok()
        .err_has(WARNING)
        .err_has("age-oauth vault rekey --passphrase");
    // A file that is referred to stays where it is, with its key.
    let referring = home();
    let said = add_unchecked(&referring, &format!("file:{file}")).ok();
    assert!(!said.stderr.contains(WARNING), "{}", said.stderr);
    let mut with_passphrase = home();
    with_passphrase.set("AGE_OAUTH_VAULT_PASSPHRASE", PASSWORD);
    let said = add_unchecked(&with_passphrase, &file).ok();
    assert!(!said.stderr.contains(WARNING), "{}", said.stderr);
}

#[test]
fn a_card_names_the_need_and_carries_neither_certificate_nor_key() {
    let guarded = Guarded::added();
    let card = guarded
        .home
        .run(["connections", "share", "pki"])
        .done()
        .ok()
        .err_has("client certificate of their own");
    let card = card.json();
    // A program that would leave the need out refuses the card.
    assert_eq!(card["age_oauth_card"], 2);
    assert!(card.get("client_certificate").is_none());
    assert!(!card.to_string().contains("CN=ana"));
}

#[test]
fn a_person_who_adds_a_portal_is_asked_for_the_file_and_its_password() {
    let (mut guarded, pki) = (Guarded::start(), Pki::new());
    let ca = guarded.portal.ca_file(guarded.home.path());
    guarded.home.set("SSL_CERT_FILE", ca.to_str().unwrap());
    let Guarded { portal, home, file } = &guarded;
    // The portal's own authority signed this one; OpenSSL adds the password.
    let protected = pki.files().file("protected");
    pki.files().run(&format!(
        "pkcs12 -export -in {file} -passout file:password.pem -out {protected}"
    ));
    let mut terminal = Terminal::start(home, &["connections", "add", "--label", "pki"]);
    terminal.expect("Portal URL").line(&portal.url());
    terminal
        .expect("asks for a client certificate")
        .expect("Present a client certificate")
        .line("");
    terminal
        .expect("the file with its private key")
        .line("/nowhere.p12");
    terminal
        .expect("nowhere.p12")
        .expect("Present a client certificate")
        .line("");
    terminal
        .expect("the file with its private key")
        .line(&protected);
    terminal.expect("Password of").line("a wrong one");
    terminal
        .expect("the password is wrong")
        .expect("Password of")
        .line(PASSWORD);
    terminal
        .expect("Verify SSL: true")
        .expect("Authentication type")
        .line("");
    terminal.expect("Authorization code").line("");
    terminal.expect("OAuth Client ID").line(APP_ID);
    terminal.expect("OAuth Client Secret").line("");
    terminal
        .expect("Client certificate: CN=ana")
        .expect("may be deleted");
    terminal.expect("Sign in now?").send("n");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.screen().contains(PASSWORD));
    assert!(portal_is_reached(home));
}

#[test]
fn every_command_on_a_terminal_warns_before_the_end() {
    let (pki, home) = (Pki::new(), home());
    for (name, days, warns) in [("soon", 29, true), ("later", 40, false)] {
        pki.client(name, P256, &format!("-days {days}"));
        let file = pki.pkcs12(name, "");
        let label = format!("--label={name}");
        let words = ["connections", "add", "--no-check", &label, "--client-id=c"];
        let portal = ["--portal=https://h/p", "--client-cert", &file];
        let password = ["--client-cert-password-stdin"];
        home.run([&words[..], &portal, &password].concat())
            .input(PASSWORD)
            .done()
            .ok();
        let mut terminal = Terminal::start(&home, &["whoami", "-c", name]);
        assert_eq!(terminal.end(), 3);
        let warned = terminal.screen().contains("the client certificate of");
        assert_eq!(warned, warns, "{}", terminal.screen());
        // Scripts are not warned at each call.
        let said = home.run(["whoami", "-c", name]).done().code(3);
        assert!(
            !said.stderr.contains("client certificate"),
            "{}",
            said.stderr
        );
    }
}
