//! Client certificates on PKCS#11 tokens, with `SoftHSM`: the private key stays on the token, and
//! nginx takes its signatures.

use std::fs;

use crate::client_certificates::{Pki, PASSWORD};
use crate::home;
use crate::network::Behind;
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{P256, P384, RSA};
use crate::support::portal::{Portal, APP_ID};
use crate::support::pty::Terminal;
use crate::support::scenario::{add_arguments, ADD_UNCHECKED};
use crate::support::softhsm::{SoftHsm, LABEL, LIBRARY};
use crate::support::web_server::{WebServer, VERIFIED};
use crate::web_server_certificates::walk_in;

const ADDRESS: &str = "pkcs11:token=card%20of%20ana";

/// A home in which the token of these keys can be used.
fn with_token(pki: &Pki, keys: &[(&str, u8)]) -> (SoftHsm, Home) {
    let (token, mut home) = (SoftHsm::new(PASSWORD), home());
    for (name, id) in keys {
        token.import(pki.files(), name, *id, &["issuing"]);
    }
    token.use_in(&mut home);
    home.set("AGE_OAUTH_PKCS11_MODULE", LIBRARY);
    (token, home)
}

/// Lets the program of this home use the token by another library, which behaves as `kind` says.
fn other_token(token: &SoftHsm, home: &mut Home, kind: &str) {
    let library = token.other_library();
    home.set("AGE_OAUTH_PKCS11_MODULE", library.to_str().unwrap());
    home.set("TEST_TOKEN", kind);
}

fn doctor(home: &Home) -> String {
    home.run(["doctor", "-c", "x"]).done().stdout
}

/// `connections edit` with another PIN.
fn edit(home: &Home, pin: &str) -> Outcome {
    let words = ["connections", "edit", "x", "--no-check", "--client-cert"];
    let words = [&words[..], &[ADDRESS, "--client-cert-password-stdin"]].concat();
    home.run(words).input(pin).done()
}

/// `connections add` of a portal that is not asked, with this certificate.
fn add(home: &Home, address: &str, pin: &str) -> Outcome {
    let words = ["--client-cert", address, "--client-cert-password-stdin"];
    let words = [&ADD_UNCHECKED[..], &words].concat();
    home.run(words).input(format!("{pin}\n")).done()
}

#[test]
fn a_person_works_behind_nginx_with_a_key_that_stays_on_its_token() {
    let pki = Pki::new();
    for (name, kind) in [("ana", P256), ("otto", RSA), ("eva", P384)] {
        pki.client(name, kind, "");
    }
    let (_token, home) = with_token(&pki, &[("ana", 1), ("otto", 2), ("eva", 3)]);
    for (name, protocols) in [
        ("ana", "TLSv1.3"),
        ("ana", "TLSv1.2"),
        ("otto", "TLSv1.3"),
        ("otto", "TLSv1.2"),
        ("eva", "TLSv1.3"),
    ] {
        let address = format!("{ADDRESS};object={name};type=cert");
        let options = ["--client-cert", &address, "--client-cert-password-stdin"];
        let log = walk_in(&home, VERIFIED, protocols, &pki, &options);
        assert!(!log.is_empty());
        for line in log.lines() {
            assert!(line.ends_with(&format!("SUCCESS CN={name}")), "{line}");
        }
        home.run(["connections", "remove", "pki", "--yes"])
            .done()
            .ok();
    }
}

/// TLS 1.3 needs RSA-PSS, which old cards do not have.
#[test]
fn an_rsa_key_without_pss_signs_in_tls_1_2() {
    let pki = Pki::new();
    pki.client("otto", RSA, "");
    let (token, home) = with_token(&pki, &[("otto", 1)]);
    token.keep_mechanisms("CKM_RSA_PKCS");
    let options = ["--client-cert", ADDRESS, "--client-cert-password-stdin"];
    let log = walk_in(&home, VERIFIED, "TLSv1.2 TLSv1.3", &pki, &options);
    assert!(log.lines().count() > 8, "{log}");
    for line in log.lines() {
        assert!(line.ends_with("SUCCESS CN=otto"), "{line}");
    }
    // A server without TLS 1.2.
    let portal = Portal::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let clients = pki.files().certificate("root");
    let server = WebServer::in_front(folder.path(), &portal, &clients, VERIFIED, "TLSv1.3");
    let (url, ca) = (server.url(), portal.ca_file(home.path()));
    let words = add_arguments("second", &url, APP_ID, ca.to_str().unwrap());
    home.run([&words[..], &options].concat())
        .input(PASSWORD)
        .done()
        .code(6)
        .err_has("the server does not offer TLS 1.2, and the private key of the client certificate")
        .err_has("switch on TLS 1.2");
}

#[test]
fn the_library_of_the_system_knows_the_token() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, mut home) = (SoftHsm::new(PASSWORD), home());
    token.import(pki.files(), "ana", 1, &[]);
    token.use_in(&mut home);
    // How a person tells p11-kit of a library.
    let modules = home.path().join("config/pkcs11/modules");
    fs::create_dir_all(&modules).unwrap();
    fs::write(
        modules.join("softhsm.module"),
        format!("module: {LIBRARY}\n"),
    )
    .unwrap();
    let folder = home.path().join("config").display().to_string();
    home.set("XDG_CONFIG_HOME", &folder);
    add(&home, ADDRESS, PASSWORD).ok();
}

#[test]
fn what_is_wrong_with_a_token_is_named() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    pki.client("otto", P256, "");
    let (_token, mut home) = with_token(&pki, &[("ana", 1), ("otto", 2)]);
    let fails = |home: &Home, address: &str, why: &str| {
        add(home, address, PASSWORD).code(2).err_has(why);
    };
    fails(&home, "pkcs11:token=other", &format!("there is: {LABEL}"));
    fails(&home, ADDRESS, "several certificates fit it");
    fails(
        &home,
        &format!("{ADDRESS};object=eva"),
        "no certificate of this name",
    );
    fails(
        &home,
        &format!("{ADDRESS}?module-path=/tmp/x.so"),
        "`module-path` is not used",
    );
    fails(
        &home,
        &format!("{ADDRESS};pin-value=1"),
        "`pin-value` is not used",
    );
    let ana = format!("{ADDRESS};id=%01");
    add(&home, &ana, "wrong")
        .code(2)
        .err_has("the PIN is wrong");
    home.set("AGE_OAUTH_PKCS11_MODULE", "/nonexistent.so");
    fails(&home, &ana, "/nonexistent.so");
    home.set("AGE_OAUTH_PKCS11_MODULE", "relative.so");
    fails(&home, &ana, "is not a whole path");
    home.run(["connections", "list"]).done().ok().out("");
}

/// A token locks itself after some wrong PINs, so that what runs by itself must not use them up.
#[test]
fn rule_24e_a_stored_pin_that_is_wrong_is_not_tried_again_and_again() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, home) = with_token(&pki, &[("ana", 1)]);
    add(&home, ADDRESS, PASSWORD).ok();
    token.change_pin("12345678");
    // Another program has used up an attempt.
    token.enter_wrong_pin();
    let said = doctor(&home);
    assert!(said.contains("a wrong PIN was entered before"), "{said}");
    edit(&home, "12345678").ok();
    let said = doctor(&home);
    assert!(!said.contains("PIN"), "{said}");
}

/// Not every token says that a wrong PIN was entered.
#[test]
fn rule_24e_a_stored_pin_that_is_wrong_is_deleted() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, mut home) = with_token(&pki, &[("ana", 1)]);
    other_token(&token, &mut home, "silent");
    add(&home, ADDRESS, PASSWORD).ok();
    token.change_pin("12345678");
    let before = token.logins();
    let said = doctor(&home);
    assert!(
        said.contains("the stored PIN is wrong; it was deleted"),
        "{said}"
    );
    for _ in 0..3 {
        let said = doctor(&home);
        assert!(said.contains("its PIN is not stored"), "{said}");
    }
    assert_eq!(token.logins(), before + 1);
    let hint = "age-oauth connections edit x --client-cert pkcs11:…";
    home.run(["login"])
        .done()
        .code(5)
        .err_has("its PIN is not stored")
        .err_has(hint);
    // Nor is an empty one tried.
    edit(&home, "\n").code(2).err_has("is protected by a PIN");
    assert_eq!(token.logins(), before + 1);
    edit(&home, "12345678").ok();
    let said = doctor(&home);
    assert!(!said.contains("PIN"), "{said}");
}

/// One card may serve several connections, which one command asks at the same time.
#[test]
fn rule_24e_a_pin_that_was_wrong_is_not_tried_for_another_connection() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, mut home) = with_token(&pki, &[("ana", 1)]);
    other_token(&token, &mut home, "silent");
    for label in ["--label=x", "--label=y", "--label=z"] {
        let words = [
            "connections",
            "add",
            "--no-check",
            label,
            "--portal=https://h/p",
        ];
        let more = ["--client-id=c", "--client-cert", ADDRESS];
        let words = [&words[..], &more, &["--client-cert-password-stdin"]].concat();
        home.run(words).input(PASSWORD).done().ok();
    }
    token.change_pin("12345678");
    let before = token.logins();
    let said = home.run(["doctor"]).done().stdout;
    assert_eq!(said.matches("the stored PIN is wrong").count(), 3, "{said}");
    assert_eq!(token.logins(), before + 1);
}

/// A token that is logged in already takes any PIN.
#[test]
fn a_pin_is_verified_also_where_another_certificate_was_tried_before() {
    let behind = Behind::nginx();
    behind.files().self_signed("stranger", P256, "", "");
    let (token, mut home) = (SoftHsm::new(PASSWORD), home());
    token.import(behind.files(), "ana", 1, &["issuing"]);
    token.import(behind.files(), "stranger", 2, &[]);
    token.use_in(&mut home);
    home.set("AGE_OAUTH_PKCS11_MODULE", LIBRARY);
    let words = [
        "connections",
        "add",
        "--label=x",
        "--client-id",
        APP_ID,
        "--portal",
        &behind.url,
    ];
    let words = [&words[..], &["--verify-ssl", &behind.ca]].concat();
    let mut terminal = Terminal::start(&home, &words);
    let file = "Client certificate (the file with its private key)";
    terminal.expect("Present a client certificate").line("");
    terminal
        .expect(file)
        .line(&format!("{ADDRESS};object=stranger"));
    terminal.expect("PIN for").line(PASSWORD);
    terminal.expect("rejected the client certificate CN=stranger");
    terminal.expect("Present a client certificate").line("");
    terminal.expect(file).line(&format!("{ADDRESS};object=ana"));
    terminal.expect("PIN for").line("00000000");
    terminal.expect("the PIN is wrong");
    terminal.expect("PIN for").line(PASSWORD);
    terminal.expect("ArcGIS Enterprise");
}

#[test]
fn a_token_that_does_not_answer_is_left_alone() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, mut home) = with_token(&pki, &[("ana", 1)]);
    other_token(&token, &mut home, "silent");
    add(&home, ADDRESS, PASSWORD).ok();
    home.set("TEST_TOKEN", "hangs");
    let login = home.run(["login", "--timeout", "1s"]).done();
    login
        .code(5)
        .err_has("the PKCS#11 token cannot be used: there was no answer within");
}

#[test]
fn a_pin_is_entered_at_a_reader_with_a_keypad_where_a_person_is() {
    let pki = Pki::new();
    pki.client("ana", P256, "");
    let (token, mut home) = with_token(&pki, &[("ana", 1)]);
    other_token(&token, &mut home, "keypad");
    let keypad = tempfile::NamedTempFile::new().unwrap();
    fs::write(keypad.path(), PASSWORD).unwrap();
    home.set("TEST_TOKEN_KEYPAD", keypad.path().to_str().unwrap());
    let words = [&ADD_UNCHECKED[..], &["--client-cert", ADDRESS]].concat();
    home.run(words)
        .done()
        .ok()
        .err_has("is needed at each use.");
    let said = doctor(&home);
    assert!(said.contains("its PIN is entered at the reader"), "{said}");
    let before = token.logins();
    let mut terminal = Terminal::start(&home, &["doctor", "-c", "x"]);
    terminal.end();
    assert!(token.logins() > before);
    assert!(
        !terminal.screen().contains("client certificate is gone"),
        "{}",
        terminal.screen()
    );
    assert!(
        !terminal.screen().contains("its PIN is"),
        "{}",
        terminal.screen()
    );
}

#[test]
fn a_key_that_is_not_that_of_the_certificate_is_refused() {
    let pki = Pki::new();
    for (name, kind) in [("ana", P256), ("otto", P256), ("eva", RSA), ("ida", RSA)] {
        pki.client(name, kind, "");
    }
    let (token, home) = with_token(&pki, &[("ana", 1), ("eva", 2)]);
    token.write_certificate(pki.files(), "otto", "01");
    token.write_certificate(pki.files(), "ida", "02");
    for (name, fits) in [
        ("ana", true),
        ("otto", false),
        ("eva", true),
        ("ida", false),
    ] {
        let words = ["connections", "remove", "x", "--yes"];
        let added = add(&home, &format!("{ADDRESS};object={name}"), PASSWORD);
        if fits {
            added.ok();
            home.run(words).done().ok();
        } else {
            added
                .code(2)
                .err_has("the private key with its ID on the token is another one");
        }
    }
}

#[test]
fn a_token_that_does_not_sign_is_named() {
    let behind = Behind::nginx();
    let (token, mut home) = (SoftHsm::new(PASSWORD), home());
    token.import(behind.files(), "ana", 1, &["issuing"]);
    token.use_in(&mut home);
    other_token(&token, &mut home, "each");
    add(&home, ADDRESS, PASSWORD)
        .code(2)
        .err_has("asks for the PIN before each signature");
    other_token(&token, &mut home, "silent");
    let words = [
        "connections",
        "add",
        "--label=x",
        "--client-id",
        APP_ID,
        "--portal",
        &behind.url,
    ];
    let more = ["--verify-ssl", &behind.ca, "--client-cert", ADDRESS];
    let words = [&words[..], &more, &["--client-cert-password-stdin"]].concat();
    home.run(words).input(PASSWORD).done().ok();
    home.set("TEST_TOKEN", "removed");
    let said = doctor(&home);
    assert!(
        said.contains("is on a card or a device that is not there"),
        "{said}"
    );
}
