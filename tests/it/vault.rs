//! `vault rekey`: another key, and every item stays readable.

use base64::Engine;

use crate::signed_in;
use crate::support::home::Home;
use crate::support::scenario::ADD_UNCHECKED;

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
    // A task needs the key, and not the vault, in which the secrets are already.
    let found = home.run(["doctor", "--as-task", "--offline"]).done();
    let found = found.code(1).stdout;
    assert!(
        found.contains("hint: provide the key that sealed it"),
        "{found}"
    );
    assert!(!found.contains("--keychain vault"), "{found}");
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

/// The steps of docs/headless.md for a systemd unit: a key of its own, the vault sealed with it, and
/// no other key left.
#[test]
fn a_vault_sealed_for_a_unit_opens_with_the_units_key_alone() {
    let (_portal, home) = signed_in();
    let token = home.run(["token"]).done().ok().stdout;
    let key = home.path().join("age-oauth.key");
    let file = key.to_str().unwrap();
    home.run(["vault", "rekey", "--key-file", file, "--forget-old"])
        .done()
        .ok();
    assert!(!home.path().join("store.key/vault.key").exists());
    // systemd decrypts the key into a folder of the unit.
    let credentials = home.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::rename(&key, credentials.join("age-oauth.key")).unwrap();
    home.run(["token"])
        .done()
        .code(5)
        .err_has("$CREDENTIALS_DIRECTORY/age-oauth.key: not set");
    let by_unit = |words: &[&str]| home.run(words).env("CREDENTIALS_DIRECTORY", &credentials);
    by_unit(&["token"]).done().ok().out(&token);
    let shown = by_unit(&["doctor", "--offline"]).done().ok().stdout;
    let place = credentials.join("age-oauth.key");
    let line = format!(
        "ok   vault key: the key in {} opens the vault",
        place.display()
    );
    assert!(shown.contains(&line), "{shown}");
}

#[test]
fn a_second_key_that_opens_the_vault_is_reported() {
    let (_portal, home) = signed_in();
    let key = std::fs::read_to_string(home.path().join("store.key/vault.key")).unwrap();
    let out = home
        .run(["doctor", "--offline"])
        .env("AGE_OAUTH_VAULT_KEY", key.trim());
    let shown = out.done().ok().stdout;
    assert!(
        shown.contains(
            "warn vault key: the key in AGE_OAUTH_VAULT_KEY opens the vault, and so does"
        ),
        "{shown}"
    );
}

#[test]
fn hexadecimal_keys_seal_and_open_a_vault() {
    let (_portal, home) = signed_in();
    let key = "0123456789abcdef".repeat(4);
    home.run(["vault", "rekey", "--key-stdin"])
        .input(&key)
        .done()
        .ok();
    home.run(["token"])
        .env("AGE_OAUTH_VAULT_KEY", &key)
        .done()
        .ok();
}

#[cfg(unix)]
#[test]
fn rule_25_a_key_file_that_others_may_read_is_refused_and_doctor_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let (_portal, home) = signed_in();
    let key = home.path().join("store.key/vault.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = home.run(["token", "--json"]).done().code(5).error_json();
    assert_eq!(error["error"]["reason"], "unsafe_key");
    assert!(error["error"]["hint"]
        .as_str()
        .unwrap()
        .contains("chmod 600"));
    let shown = home.run(["doctor", "--offline"]).done().code(1).stdout;
    assert!(
        shown.contains("other users may read or change it (mode 0666)"),
        "{shown}"
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    home.run(["token"]).done().ok();
}

#[test]
fn the_way_out_of_a_damaged_vault_leads_out() {
    let (portal, home) = signed_in();
    crate::support::scenario::add_application(&home, &portal, "jobs");
    let path = home.store().join("vault");
    std::fs::write(&path, "damaged").unwrap();
    for words in [&["token", "--json"][..], &["token", "--json", "-c", "jobs"]] {
        let error = home.run(words).done().code(5).error_json();
        assert_eq!(error["error"]["reason"], "damaged");
        let hint = error["error"]["hint"].as_str().unwrap();
        assert!(
            hint.contains("move the file `vault` out of the store"),
            "{hint}"
        );
    }
    std::fs::rename(&path, home.path().join("old-vault")).unwrap();
    // The vault also held what secrets are bound to, so that a person chooses the authority again.
    let ca = portal.ca_file(home.path());
    let ca = ca.to_str().unwrap();
    home.run(["connections", "edit", "jobs", "--client-secret-stdin"])
        .input(crate::support::portal::service_secret())
        .done()
        .code(5)
        .err_has("edit jobs --verify-ssl");
    home.run(["login", "-c", "prod"])
        .done()
        .code(5)
        .err_has("edit prod --verify-ssl");
    home.run([
        "connections",
        "edit",
        "jobs",
        "--client-secret-stdin",
        "--verify-ssl",
        ca,
    ])
    .input(crate::support::portal::service_secret())
    .done()
    .ok();
    home.run(["token", "-c", "jobs"]).done().ok();
    home.run(["connections", "edit", "prod", "--verify-ssl", ca])
        .done()
        .ok();
    crate::support::scenario::sign_in(&home, &portal, "prod").ok();
    home.run(["token", "-c", "prod"]).done().ok();
}

#[test]
fn a_missing_key_file_at_add_does_not_send_to_a_connection_that_does_not_exist() {
    let home = crate::home();
    let flags = ["--client-secret-stdin", "--keychain=vault"];
    let words = [&ADD_UNCHECKED[..], &flags].concat();
    let missing = home.path().join("missing");
    let refused = home
        .run(&words)
        .input("a-secret-1")
        .env("AGE_OAUTH_VAULT_KEY_FILE", &missing);
    let refused = refused.done().code(5);
    assert!(
        refused.stderr.contains("openssl rand -hex 32"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("edit"), "{}", refused.stderr);
    let empty = home
        .run(&words)
        .input("a-secret-1")
        .env("AGE_OAUTH_VAULT_KEY", "");
    empty
        .done()
        .code(5)
        .err_has("AGE_OAUTH_VAULT_KEY: it is set but empty");
    crate::support::scenario::nothing_was_created(&home);
}
