//! Chains and servers that OpenSSL makes: the reason that is reported is the reason, it names the
//! certificate that is at fault, and what is offered works.

use std::process::Command;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{OpenSsl, AUTHORITY, P256, P384, P521, RSA, SERVER};
use crate::support::portal::{Portal, APP_ID};
use crate::support::scenario::{add_arguments, nothing_was_created};

/// What every message of TLS libraries contains, and no message for people.
const RAW: [&str; 6] = [
    "alert:",
    "InvalidCertificate",
    "webpki",
    "rustls",
    "CaUsed",
    "Unsupported",
];

fn portal(ssl: &OpenSsl, chain: &[&str]) -> Portal {
    Portal::builder().identity(ssl.identity(chain)).start()
}

#[track_caller]
fn try_to_add(home: &Home, label: &str, url: &str, verify: &str) -> Outcome {
    let said = home.run(add_arguments(label, url, APP_ID, verify)).done();
    for raw in RAW {
        assert!(!said.stderr.contains(raw), "{}", said.stderr);
    }
    said
}

#[test]
fn authorities_on_p521_and_with_sha512_are_accepted() {
    let ssl = OpenSsl::new();
    for (label, root, hash) in [
        ("p521", P521, "-sha512"),
        ("p521-sha256", P521, "-sha256"),
        ("p384-sha512", P384, "-sha512"),
        ("p256-sha512", P256, "-sha512"),
        ("rsa-sha512", RSA, "-sha512"),
        (
            "rsa-pss",
            RSA,
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32",
        ),
    ] {
        let options = format!("-days 90 {hash}");
        ssl.self_signed(label, root, AUTHORITY, &options);
        ssl.signed("server", P256, label, SERVER, &options);
        let (portal, home) = (portal(&ssl, &["server"]), home());
        try_to_add(&home, label, &portal.url(), &ssl.file(label)).ok();
        // The same name with another key is refused.
        std::fs::copy(ssl.certificate("server"), ssl.certificate("old")).unwrap();
        ssl.self_signed(label, root, AUTHORITY, &options);
        try_to_add(&home, "other", &portal.url(), &ssl.file(label))
            .code(6)
            .err_has("the signature of the certificate does not belong to the authority");
    }
}

#[test]
fn what_cannot_be_verified_is_named_and_can_be_pinned() {
    let ssl = OpenSsl::new();
    let curve = |name: &str| format!("EC -pkeyopt ec_paramgen_curve:{name}");
    for (label, root, options, words) in [
        (
            "brainpool",
            curve("brainpoolP256r1"),
            "",
            "the authority's certificate has a key on the elliptic curve brainpoolP256r1",
        ),
        (
            "koblitz",
            curve("secp256k1"),
            "",
            "the authority's certificate has a key on the elliptic curve secp256k1",
        ),
        (
            "short",
            "RSA -pkeyopt rsa_keygen_bits:1024".into(),
            "",
            "the authority's certificate has an RSA key of 1024 bits",
        ),
        (
            "ed448",
            "ED448".into(),
            "",
            "the certificate has a signature with Ed448",
        ),
        (
            "pss",
            "RSA-PSS".into(),
            "-days 90 -sha256 -sigopt rsa_pss_saltlen:32",
            "has a key for RSA-PSS alone",
        ),
        (
            "sha1",
            RSA.into(),
            "-days 90 -sha1",
            "the certificate has a signature with RSA and SHA-1",
        ),
        (
            "md5",
            RSA.into(),
            "-days 90 -md5",
            "the certificate has a signature with RSA and MD5",
        ),
        (
            "ecdsa-sha1",
            P256.into(),
            "-days 90 -sha1",
            "the certificate has a signature with ECDSA and SHA-1",
        ),
        (
            "salt",
            RSA.into(),
            "-days 90 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20",
            "a signature with RSA-PSS and unusual parameters",
        ),
    ] {
        ssl.self_signed(label, &root, AUTHORITY, "");
        ssl.signed("server", P256, label, SERVER, options);
        let (portal, home) = (portal(&ssl, &["server"]), home());
        let said = try_to_add(&home, "prod", &portal.url(), &ssl.file(label)).code(6);
        let said = said
            .err_has(words)
            .err_has("this program cannot verify")
            .err_has("--verify-ssl pin:FILE.pem");
        let authority = format!("authority's certificate of CN={label}");
        assert_eq!(
            said.stderr.contains(&authority),
            words.contains("key"),
            "{}",
            said.stderr
        );
        nothing_was_created(&home);
        let pin = format!("pin:{}", ssl.file("server"));
        try_to_add(&home, "prod", &portal.url(), &pin).ok();
    }
}

/// An intermediate's fault is reported about the intermediate.
#[test]
fn the_certificate_at_fault_is_named() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    for (options, extensions, words) in [
        (
            "-days 90 -sha1",
            AUTHORITY,
            "an intermediate certificate has a signature with ECDSA and SHA-1",
        ),
        (
            "",
            "basicConstraints=CA:FALSE",
            "an intermediate certificate is not an authority's",
        ),
        // Version 1, as `openssl x509 -req` makes it without extensions.
        (
            "-days 90",
            "",
            "an intermediate certificate is not an authority's",
        ),
    ] {
        ssl.signed("middle", P256, "root", extensions, options);
        ssl.signed("server", P256, "middle", SERVER, "");
        let (portal, home) = (portal(&ssl, &["server", "middle"]), home());
        try_to_add(&home, "prod", &portal.url(), &ssl.file("root"))
            .code(6)
            .err_has(words)
            .err_has("cause: intermediate certificate of CN=middle")
            .err_has("cause: certificate of CN=server")
            .err_has("the intermediate certificate");
        nothing_was_created(&home);
    }
}

#[test]
fn an_intermediate_out_of_its_dates_is_named() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    for (dates, words, date) in [
        (
            ["20200101000000Z", "20210101000000Z"],
            "an intermediate certificate has expired",
            "to 2021-01-01",
        ),
        (
            ["21000101000000Z", "21010101000000Z"],
            "an intermediate certificate is not valid yet",
            "from 2100-01-01",
        ),
    ] {
        ssl.signed_between("middle", "root", AUTHORITY, dates);
        ssl.signed("server", P256, "middle", SERVER, "");
        let (portal, home) = (portal(&ssl, &["server", "middle"]), home());
        try_to_add(&home, "prod", &portal.url(), &ssl.file("root"))
            .code(6)
            .err_has(words)
            .err_has("cause: intermediate certificate of CN=middle")
            .err_has(date);
        nothing_was_created(&home);
    }
}

#[test]
fn doctor_warns_of_an_intermediate_that_expires_soon() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    ssl.signed("middle", P256, "root", AUTHORITY, "-days 5");
    ssl.signed("server", P256, "middle", SERVER, "");
    let (portal, home) = (portal(&ssl, &["server", "middle", "root"]), home());
    try_to_add(&home, "prod", &portal.url(), &ssl.file("root")).ok();
    let doctor = home.run(["doctor", "-c", "prod"]).done();
    assert!(
        doctor
            .stdout
            .contains("the intermediate certificate of CN=middle, until "),
        "{}",
        doctor.stdout
    );
}

#[test]
fn an_incomplete_chain_is_reported_as_such() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    ssl.signed("middle", P256, "root", AUTHORITY, "");
    ssl.signed("server", P256, "middle", SERVER, "");
    let (portal, home) = (portal(&ssl, &["server"]), home());
    try_to_add(&home, "prod", &portal.url(), &ssl.file("root"))
        .code(6)
        .err_has("the server does not send the certificate of the authority that signed its own")
        .err_has("cause: the server does not send the certificate of CN=middle")
        .err_has("let the server send the whole chain");
    // Without a file, the issuer may well be the authority.
    try_to_add(&home, "prod", &portal.url(), "true")
        .code(6)
        .err_has("an authority that this machine does not trust")
        .err_has("cause: the server does not send the certificate of CN=middle");
    // The missing certificate in the file is enough.
    try_to_add(&home, "prod", &portal.url(), &ssl.file("middle")).ok();
}

#[test]
fn a_certificate_for_another_purpose_is_reported_as_such() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    for (extensions, words) in [
        (
            "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth",
            "was not issued for servers",
        ),
        (
            "subjectAltName=DNS:localhost\nbasicConstraints=CA:TRUE",
            "is an authority's",
        ),
        // Version 1, as `openssl x509 -req` makes it without extensions.
        ("", "names no host"),
        (
            "subjectAltName=DNS:localhost\n1.2.3.4=critical,ASN1:NULL",
            "critical extension",
        ),
    ] {
        ssl.signed("server", P256, "root", extensions, "");
        let (portal, home) = (portal(&ssl, &["server"]), home());
        try_to_add(&home, "prod", &portal.url(), &ssl.file("root"))
            .code(6)
            .err_has(words);
        let pin = format!("pin:{}", ssl.file("server"));
        try_to_add(&home, "prod", &portal.url(), &pin).ok();
    }
}

/// Old certificates have only a common name. They are accepted for the host that they were pinned
/// for, and for no other.
#[test]
fn a_certificate_without_a_name_is_accepted_where_it_was_pinned() {
    let ssl = OpenSsl::new();
    for (extensions, words) in [
        (AUTHORITY, "the certificate names no host"),
        ("", "the certificate names no host"),
        (
            "subjectAltName=DNS:elsewhere.example.org",
            "the certificate is for another host name",
        ),
    ] {
        ssl.self_signed("localhost", RSA, extensions, "");
        let (portal, home) = (portal(&ssl, &["localhost"]), home());
        try_to_add(&home, "prod", &portal.url(), "true")
            .code(6)
            .err_has("self-signed")
            .err_has("--verify-ssl pin:FILE.pem");
        try_to_add(&home, "prod", &portal.url(), &ssl.file("localhost"))
            .code(6)
            .err_has(words)
            .err_has("--verify-ssl pin:FILE.pem");
        let pin = format!("pin:{}", ssl.file("localhost"));
        try_to_add(&home, "prod", &portal.url(), &pin).ok();
        home.run(["doctor", "-c", "prod"]).done();
        // Another host of the same server is another matter.
        let other = portal.url().replace("localhost", "127.0.0.1");
        home.run(["connections", "edit", "prod", "--portal", &other])
            .done()
            .code(6)
            .err_has(words);
    }
}

/// Rule 15: a pinned certificate is not an authority, whatever it says about itself.
#[test]
fn rule_15_a_pinned_certificate_signs_no_other() {
    let ssl = OpenSsl::new();
    for extensions in [SERVER, AUTHORITY] {
        ssl.self_signed("pinned", P256, extensions, "");
        ssl.signed("server", P256, "pinned", SERVER, "");
        let (first, other) = (portal(&ssl, &["pinned"]), portal(&ssl, &["server"]));
        let (home, pin) = (home(), format!("pin:{}", ssl.file("pinned")));
        try_to_add(&home, "prod", &first.url(), &pin).ok();
        try_to_add(&home, "other", &other.url(), &pin)
            .code(6)
            .err_has("another certificate than the one that is pinned");
        // Nor is it where it comes on a colleague's card.
        let card = home
            .run(["connections", "share", "prod"])
            .done()
            .ok()
            .stdout;
        assert!(
            card.contains("pinned_certificate") && !card.contains("\"ca\""),
            "{card}"
        );
    }
    // A server's certificate in a file of authorities is none, either.
    ssl.self_signed("leaf", P256, SERVER, "");
    ssl.signed("server", P256, "leaf", SERVER, "");
    let (first, other) = (portal(&ssl, &["leaf"]), portal(&ssl, &["server"]));
    let home = home();
    try_to_add(&home, "prod", &first.url(), &ssl.file("leaf")).ok();
    try_to_add(&home, "other", &other.url(), &ssl.file("leaf")).code(6);
    for (portal, code) in [(&other, 6), (&first, 0)] {
        let bundle = home.run(add_arguments("third", &portal.url(), APP_ID, "true"));
        bundle
            .env("SSL_CERT_FILE", ssl.certificate("leaf"))
            .done()
            .code(code);
    }
}

#[test]
fn a_colleague_gets_the_pin_as_a_pin() {
    let ssl = OpenSsl::new();
    ssl.self_signed("localhost", P256, AUTHORITY, "");
    ssl.signed("server", P256, "localhost", SERVER, "");
    let (mine, colleague) = (home(), home());
    let portal = portal(&ssl, &["localhost"]);
    let pin = format!("pin:{}", ssl.file("localhost"));
    try_to_add(&mine, "prod", &portal.url(), &pin).ok();
    let card = mine.run(["connections", "share", "prod"]).done().ok();
    let file = colleague.path().join("card.json");
    std::fs::write(&file, &card.stdout).unwrap();
    let fingerprint = card.stderr.rsplit(' ').next().unwrap().trim();
    colleague
        .run([
            "connections",
            "add",
            "--from",
            file.to_str().unwrap(),
            "--yes",
        ])
        .done()
        .code(2);
    let arguments = [
        "connections",
        "add",
        "--yes",
        "--from",
        file.to_str().unwrap(),
    ];
    colleague
        .run(arguments.iter().chain(&["--ca-fingerprint", fingerprint]))
        .done()
        .ok();
    let shown = colleague
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert!(shown["verify_ssl"]
        .as_str()
        .unwrap()
        .ends_with("pinned.pem"));
}

/// Keys of servers that prove themselves in the handshake.
#[test]
fn a_servers_own_key_is_used_or_named() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    ssl.signed("p521", P521, "root", SERVER, "");
    ssl.signed(
        "short",
        "RSA -pkeyopt rsa_keygen_bits:1024",
        "root",
        SERVER,
        "",
    );
    let home = home();
    let server = ssl.server("p521", "");
    // The handshake succeeds, and what answers is not a portal.
    let no_portal = "no ArcGIS portal answers";
    try_to_add(&home, "prod", &server.url(), &ssl.file("root"))
        .code(6)
        .err_has(no_portal);
    for options in [
        "-cipher ALL:@SECLEVEL=0 -tls1_2",
        "-cipher ALL:@SECLEVEL=0 -tls1_3",
    ] {
        let server = ssl.server("short", options);
        let said = try_to_add(&home, "prod", &server.url(), &ssl.file("root"))
            .code(6)
            .err_has("the certificate has an RSA key of 1024 bits (it needs 2048 to 8192)");
        assert!(!said.stderr.contains("pin:"), "{}", said.stderr);
        try_to_add(&home, "prod", &server.url(), "false")
            .code(6)
            .err_has(no_portal);
    }
}

/// Servers that are out of reach: what an administrator has to switch on.
#[test]
fn servers_without_common_versions_and_ciphers_are_reported_as_such() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", RSA, AUTHORITY, "");
    ssl.signed("server", RSA, "root", SERVER, "");
    let home = home();
    let suites = "switch on TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM";
    for (options, words, hint) in [
        (
            "-tls1_1 -cipher ALL:@SECLEVEL=0",
            "neither TLS 1.2 nor TLS 1.3",
            "switch on TLS 1.2",
        ),
        (
            "-tls1 -cipher ALL:@SECLEVEL=0",
            "neither TLS 1.2 nor TLS 1.3",
            "switch on TLS 1.2",
        ),
        (
            "-tls1_2 -cipher ECDHE-RSA-AES128-SHA",
            "no cipher suite or key",
            suites,
        ),
        (
            "-tls1_2 -cipher AES128-SHA",
            "no cipher suite or key",
            suites,
        ),
        (
            "-tls1_2 -cipher AES128-GCM-SHA256",
            "no cipher suite or key",
            suites,
        ),
        (
            "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256",
            "no cipher suite or key",
            suites,
        ),
    ] {
        let server = ssl.server("server", options);
        for verify in [&*ssl.file("root"), "false"] {
            try_to_add(&home, "prod", &server.url(), verify)
                .code(6)
                .err_has(words)
                .err_has(hint);
        }
    }
    nothing_was_created(&home);
}

#[test]
fn a_server_that_hangs_up_is_reported_in_plain_words() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/portal",
        listener.local_addr().unwrap().port()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Reads the hello, so that closing is not a reset.
            let _ = std::io::Read::read(&mut &stream, &mut [0; 4096]);
        }
    });
    let home = home();
    let said = try_to_add(&home, "prod", &url, "true")
        .code(6)
        .err_has("the server closed the connection during the TLS handshake");
    assert!(!said.stderr.contains("eof"), "{}", said.stderr);
}

/// Variables for OpenSSL that name something else than a file: the program does not wait for it and
/// does not read it without end.
#[test]
fn a_bundle_of_the_environment_is_read_within_limits() {
    let (portal, home) = (Portal::builder().start(), home());
    let ca = portal.ca_file(home.path());
    let folder = home.path().join("bundles");
    std::fs::create_dir(&folder).unwrap();
    let pipe = folder.join("pipe.pem");
    assert!(Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap()
        .success());
    let huge = home.path().join("huge.pem");
    let file = std::fs::File::create(&huge).unwrap();
    file.set_len(17 * 1024 * 1024).unwrap();
    let add =
        |label: &str, verify: &str| home.run(add_arguments(label, &portal.url(), APP_ID, verify));
    for (number, (variable, path, why)) in [
        ("SSL_CERT_FILE", pipe.as_path(), "not a regular file"),
        ("SSL_CERT_FILE", "/dev/zero".as_ref(), "not a regular file"),
        ("SSL_CERT_FILE", huge.as_path(), "larger than"),
        ("CURL_CA_BUNDLE", pipe.as_path(), "not a regular file"),
        ("SSL_CERT_DIR", folder.as_path(), ""),
        ("SSL_CERT_DIR", "/dev".as_ref(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let label = format!("portal-{number}");
        add(&label, ca.to_str().unwrap())
            .env(variable, path)
            .done()
            .ok();
        let said = add("other", "true").env(variable, path).done().code(6);
        let said = said.err_has("does not trust").err_has(why);
        assert_eq!(
            said.stderr.contains(variable),
            !why.is_empty(),
            "{}",
            said.stderr
        );
        let doctor = home
            .run(["doctor", "-c", &label])
            .env(variable, path)
            .done();
        assert_eq!(
            doctor.stdout.contains("is ignored"),
            !why.is_empty(),
            "{}",
            doctor.stdout
        );
    }
    // A folder and a file that are right add their certificates.
    std::fs::copy(&ca, folder.join("city.pem")).unwrap();
    add("folder", "true")
        .env("SSL_CERT_DIR", &folder)
        .done()
        .ok();
    add("file", "true").env("SSL_CERT_FILE", &ca).done().ok();
}

#[test]
fn pkcs7_files_are_read() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", P256, AUTHORITY, "");
    ssl.signed("middle", P256, "root", AUTHORITY, "");
    ssl.signed("server", P256, "middle", SERVER, "");
    ssl.run("crl2pkcs7 -nocrl -certfile root.pem -certfile middle.pem -out both.pem");
    ssl.run("crl2pkcs7 -nocrl -certfile root.pem -outform DER -out der.pem");
    let renamed = ssl.pem("both").replace("PKCS7", "CERTIFICATE");
    std::fs::write(ssl.certificate("renamed"), renamed).unwrap();
    // As variables of CI and JSON hold it.
    let escaped = ssl.pem("root").replace('\n', "\\n");
    std::fs::write(ssl.certificate("escaped"), &escaped).unwrap();
    let json = format!("{{\"ca\": \"{escaped}\"}}");
    std::fs::write(ssl.certificate("json"), json).unwrap();
    let home = home();
    for name in ["both", "der", "renamed", "escaped", "json"] {
        let portal = portal(&ssl, &["server", "middle"]);
        try_to_add(&home, name, &portal.url(), &ssl.file(name)).ok();
        let label = format!("{name}-bundle");
        home.run(add_arguments(&label, &portal.url(), APP_ID, "true"))
            .env("SSL_CERT_FILE", ssl.certificate(name))
            .done()
            .ok();
    }
    // One that is unusable is not ignored in silence.
    let portal = portal(&ssl, &["server", "middle"]);
    std::fs::copy(ssl.key("root"), ssl.certificate("key")).unwrap();
    home.run(add_arguments("key", &portal.url(), APP_ID, "true"))
        .env("SSL_CERT_FILE", ssl.certificate("key"))
        .done()
        .code(6)
        .err_has("it holds a private key");
}

/// `--verify-ssl <(command)`: what the shell opens for this process is read; a FIFO is not.
#[test]
fn a_certificate_can_come_from_a_command() {
    let (portal, home) = (Portal::builder().start(), home());
    let ca = portal.ca_file(home.path());
    let script = format!(
        "exec '{}' connections add --label prod --portal {} --client-id {APP_ID} --verify-ssl <(cat '{}')",
        home.program().display(),
        portal.url(),
        ca.display()
    );
    let run = Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .envs(home.environment())
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    home.run(["connections", "edit", "prod", "--proxy", "none"])
        .done()
        .ok();
}

/// Files that are not certificates are reported as what they are.
#[test]
fn other_files_are_named() {
    let ssl = OpenSsl::new();
    ssl.self_signed("root", RSA, AUTHORITY, "");
    ssl.run("req -new -key root.key -subj /CN=x -outform DER -out request.der");
    ssl.run("pkcs12 -export -inkey root.key -in root.pem -passout pass:x -out store.pfx");
    ssl.run("pkey -in root.key -outform DER -out key.der");
    ssl.run("pkcs8 -topk8 -in root.key -passout pass:x -outform DER -out encrypted.der");
    ssl.run("pkey -in root.key -pubout -out public.pem");
    ssl.run("x509 -in root.pem -trustout -out trusted.pem");
    let folder = ssl.certificate("root").parent().unwrap().to_owned();
    let pem = ssl.pem("root");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for (name, text) in [
        ("one-line", pem.replace('\n', "")),
        ("blanks", pem.replace('\n', " ")),
        ("bare", base64),
        ("page", "<!DOCTYPE html><html></html>".to_owned()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let home = home();
    for (name, words) in [
        ("root.key", "private key"),
        ("key.der", "private key"),
        ("encrypted.der", "private key"),
        ("root.csr", "certificate request (CSR)"),
        ("request.der", "certificate request (CSR)"),
        ("store.pfx", "PKCS#12 file (.pfx, .p12)"),
        ("public.pem", "public key"),
        ("trusted.pem", "openssl x509 -in FILE"),
        ("one-line", "in one line"),
        ("blanks", "in one line"),
        ("bare", "base64 without the lines"),
        ("page", "page of HTML"),
    ] {
        let path = folder.join(name).display().to_string();
        try_to_add(&home, "prod", "https://localhost:9/portal", &path)
            .code(2)
            .err_has(words);
    }
}
