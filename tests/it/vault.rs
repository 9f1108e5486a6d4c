//! `vault rekey`: another key, and every item stays readable.

use base64::Engine;

use crate::signed_in;
use crate::support::home::Home;

fn vault(home: &Home) -> Vec<u8> {
    std::fs::read(home.store().join("vault")).unwrap()
}

#[test]
fn after_rekey_the_new_key_opens_every_item() {
    let (_portal, home) = signed_in();
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
fn a_new_key_can_come_from_a_file_or_a_variable_and_old_copies_still_open() {
    let (portal, home) = signed_in();
    let token = home.run(["token"]).done().ok().stdout;
    let copy = vault(&home);
    let file = home.path().join("elsewhere.key");
    let file = file.to_str().unwrap();
    home.run(["vault", "rekey", "--key-file", file])
        .done()
        .ok()
        .err_has(&format!("AGE_OAUTH_VAULT_KEY_FILE={file}"));
    home.run(["token"]).done().code(5);
    let by_file = |words: &[&str]| home.run(words).env("AGE_OAUTH_VAULT_KEY_FILE", file);
    by_file(&["token"]).done().ok().out(&token);
    portal.assert_no_secret("the key file", &std::fs::read(file).unwrap());

    // An older copy opens with the key that is still in the key file.
    let now = vault(&home);
    std::fs::write(home.store().join("vault"), copy).unwrap();
    home.run(["token"]).done().ok().out(&token);
    std::fs::write(home.store().join("vault"), now).unwrap();

    let key = base64::engine::general_purpose::STANDARD.encode([9_u8; 32]);
    by_file(&["vault", "rekey", "--key-variable", "NEXT_KEY"])
        .done()
        .code(2)
        .err_has("NEXT_KEY");
    let out = by_file(&["vault", "rekey", "--key-variable", "NEXT_KEY"])
        .env("NEXT_KEY", &key)
        .done()
        .ok();
    assert!(!format!("{out:?}").contains(&key));
    home.run(["token"])
        .env("AGE_OAUTH_VAULT_KEY", &key)
        .done()
        .ok()
        .out(&token);
}

#[test]
fn the_old_key_is_erased_on_request() {
    let (_portal, home) = signed_in();
    let keys = || std::fs::read_to_string(home.path().join("store.key/vault.key")).unwrap();
    let first = keys();
    home.run(["vault", "rekey"]).done().ok();
    assert!(keys().ends_with(&first) && keys().lines().count() == 2);
    home.run(["vault", "rekey", "--forget-old"]).done().ok();
    assert_eq!(keys().lines().count(), 2);
    assert!(keys().ends_with(&first));
    home.run(["token"]).done().ok();
}

#[test]
fn a_bad_key_changes_nothing() {
    let (_portal, home) = signed_in();
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
    let bad = home.path().join("bad.key");
    std::fs::write(&bad, "no key at all").unwrap();
    for path in [&bad, &home.path().join("no/such/folder/key")] {
        let words = ["vault", "rekey", "--key-file", path.to_str().unwrap()];
        home.run(words).done().code(5);
    }
    home.run(["vault", "rekey", "--key-stdin", "--passphrase"])
        .done()
        .code(2);
    assert_eq!(vault(&home), before);
    home.run(["token"]).done().ok();
    crate::home().run(["vault", "rekey"]).done().code(5);
}
