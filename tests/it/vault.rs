//! `vault rekey`: another key, nothing lost.

use base64::Engine;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Manner, Portal};
use crate::support::walk::{add, sign_in};

fn world() -> (Portal, Home) {
    let portal = Portal::start(Manner::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    (portal, home)
}

fn vault(home: &Home) -> Vec<u8> {
    std::fs::read(home.store().join("vault")).unwrap()
}

#[test]
fn a_new_key_opens_what_the_old_one_did() {
    let (_portal, home) = world();
    let token = home.run(["token"]).done().ok().stdout;
    let before = vault(&home);
    home.run(["vault", "rekey"])
        .done()
        .ok()
        .out("[OK] The vault has a new key.\n");
    assert_ne!(vault(&home), before);
    home.run(["token"]).done().ok().out(&token);

    let key = base64::engine::general_purpose::STANDARD.encode([7_u8; 32]);
    home.run(["vault", "rekey", "--key-stdin"])
        .input(format!("{key}\r\n"))
        .done()
        .ok()
        .err_has("AGE_OAUTH_VAULT_KEY");
    home.run(["token"]).done().code(5);
    home.run(["token"])
        .env("AGE_OAUTH_VAULT_KEY", &key)
        .done()
        .ok()
        .out(&token);

    home.run(["vault", "rekey", "--passphrase"])
        .env("AGE_OAUTH_VAULT_KEY", &key)
        .input("correct horse battery\n")
        .done()
        .ok();
    home.run(["token"])
        .env("AGE_OAUTH_VAULT_KEY", &key)
        .done()
        .code(5);
    home.run(["token"])
        .env("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse battery")
        .done()
        .ok()
        .out(&token);
}

#[test]
fn a_bad_key_changes_nothing() {
    let (_portal, home) = world();
    let before = vault(&home);
    for (flag, input) in [
        ("--key-stdin", "c2hvcnQ="),
        ("--key-stdin", ""),
        ("--key-stdin", "no base64"),
        ("--passphrase", "short\n"),
    ] {
        let out = home.run(["vault", "rekey", flag]).input(input).done();
        assert!(matches!(out.code, 2 | 5), "{flag} {input}: {}", out.code);
    }
    home.run(["vault", "rekey", "--key-stdin", "--passphrase"])
        .done()
        .code(2);
    assert_eq!(vault(&home), before);
    home.run(["token"]).done().ok();
    crate::home().run(["vault", "rekey"]).done().code(5);
}
