#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

use super::format::{HEADER_LEN, VERSION};
use super::key_file::named_key;
use super::*;
use crate::context::Environment;
use crate::error::KeychainReason;
use crate::event::{Event, Notice};
use crate::keychain::ItemKind;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "/////////////////////////////////////////w8=";

fn vault(root: &Path, variables: &[(&str, &str)]) -> Vault {
    let context = Context {
        environment: Environment::of(variables.iter().map(|(n, v)| (*n, *v))),
        ..Context::process()
    };
    Vault::new(root.join("store"), true, &context)
}

/// Writes a key file that only its owner can read.
fn write_key(path: impl AsRef<Path>, text: &str) {
    let _ = fs::remove_file(&path);
    assert!(files::create_new(path.as_ref(), text.as_bytes()).unwrap());
}

fn item() -> Item {
    Item::new("my_portal_1", "my portal", ItemKind::Tokens)
}

fn put(vault: &Vault, text: &str) {
    vault.set(&item(), &Secret::new(text.into())).unwrap();
}

fn got(vault: &Vault) -> Option<String> {
    vault
        .get(&item())
        .unwrap()
        .map(|secret| secret.expose().to_owned())
}

#[test]
fn a_secret_is_read_back_and_is_not_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    assert_eq!(got(&vault), None);
    put(&vault, "canary-1");
    put(&vault, "canary-2");
    assert_eq!(got(&vault).as_deref(), Some("canary-2"));
    let file = fs::read(folder.path().join("store/vault")).unwrap();
    assert!(!file.windows(6).any(|window| window == b"canary"));
    assert!(!file.windows(9).any(|window| window == b"my_portal"));
    assert_eq!(vault.accounts().unwrap(), [item().account()]);
    assert!(vault.delete(&item()).unwrap());
    assert!(!vault.delete(&item()).unwrap());
}

#[test]
fn a_key_file_is_created_outside_the_store_once() {
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "one");
    let key = folder.path().join("store.key/vault.key");
    let before = fs::read(&key).unwrap();
    assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
    put(&vault(folder.path(), &[]), "two");
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(before.len(), 45);
}

#[test]
fn every_key_that_is_present_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    put(
        &vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]),
        "one",
    );
    let file = folder.path().join("key");
    write_key(&file, &format!("{KEY}\n"));
    let path = file.to_str().unwrap();
    let by_file = [
        ("AGE_OAUTH_VAULT_KEY", OTHER),
        ("AGE_OAUTH_VAULT_KEY_FILE", path),
    ];
    assert_eq!(got(&vault(folder.path(), &by_file)).as_deref(), Some("one"));
    fs::rename(&file, folder.path().join("age-oauth.key")).unwrap();
    let by_systemd = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    assert_eq!(
        got(&vault(folder.path(), &by_systemd)).as_deref(),
        Some("one")
    );
}

/// Vaults that the first version wrote, under [`KEY`] and under a passphrase. Whatever changes,
/// they open.
const VAULTS_OF_VERSION_1: [(&str, &str, &str); 2] = [
    (
        "AGE_OAUTH_VAULT_KEY",
        KEY,
        concat!(
        "QUdFT1ZMVDEA+UUYWrDIk2Pm6k0EFJzcwZ5GvHi4okUpNHZRcyCWPK1PlgapPtwFICDVTu/MEmp6wONqC6fmSNwb",
        "JCgSUq+CHbJaTZZWk9KOuLhAuX71NoNlAqlYSpRIzaOmvZXrkY0QME5SJL7K8IKEwC+lqc8EWJlCXnuz3lGk7dJr",
        "tPEiR/WFSFYH9a3T/qePV6U3+Ri0Nh1EXzycGHo=",
    ),
    ),
    (
        "AGE_OAUTH_VAULT_PASSPHRASE",
        "correct horse",
        concat!(
        "QUdFT1ZMVDEBY2aebyg+EhxFmQxZZGQNAgGbdvjesDk2O7KCBL1Dtn6Ugj+Ms/7ep4G6P5wrHiW49Yb2+coWg8Jw",
        "jsBQ5Q4vtkM/yb8+NjfVoASbpYESj7ts4MkLUeEZ9bxQ0Xu46625s3Z7gw2obrXnkDVw75R0PBxD+r/tFR0UqkHE",
        "RsurufCl0n6VG6QsGGqgH6mbK3UJyJ8NXcCWVDQ=",
    ),
    ),
];

#[test]
fn a_vault_of_the_first_version_opens() {
    for (variable, key, sealed) in VAULTS_OF_VERSION_1 {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let sealed = STANDARD.decode(sealed).unwrap();
        fs::write(folder.path().join("store/vault"), sealed).unwrap();
        let vault = vault(folder.path(), &[(variable, key)]);
        assert_eq!(got(&vault).as_deref(), Some("kept"), "{variable}");
    }
}

#[test]
fn retitle_creates_no_vault_and_a_busy_vault_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        environment: Environment::of([("AGE_OAUTH_VAULT_KEY", KEY)]),
        deadline: crate::context::Deadline::after(Duration::ZERO),
        ..Context::process()
    };
    let hurried = Vault::new(folder.path().join("store"), true, &context);
    assert_eq!(hurried.name(), "vault");
    hurried.retitle(&item()).unwrap();
    assert!(!folder.path().join("store/vault").exists());
    let waiting = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    put(&waiting, "kept");
    let renamed = Item::new("my_portal_1", "renamed", ItemKind::Tokens);
    waiting.retitle(&renamed).unwrap();
    let stored = waiting.read().unwrap().unwrap();
    assert_eq!(stored.entries[&item().account()].title, renamed.title());
    let _held = waiting.lock().unwrap();
    let busy = hurried.retitle(&renamed).unwrap_err();
    assert_eq!(busy.reason, KeychainReason::Timeout, "{busy}");
}

/// A key that cannot be read is not replaced by a new one.
#[test]
fn a_named_key_file_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.join("below"), folder.path().to_owned()] {
        assert!(
            named_key(&path, &Environment::of([("", ""); 0])).is_err(),
            "{}",
            path.display()
        );
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn the_size_of_a_vault_is_limited() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    let large = "x".repeat(2_000_000);
    put(&vault, &large);
    assert_eq!(got(&vault), Some(large));
    let path = folder.path().join("store/vault");
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(16 * 1024 * 1024 + 1, 0);
    fs::write(&path, bytes).unwrap();
    assert!(vault.get(&item()).is_err());
}

#[test]
fn a_passphrase_opens_what_it_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let right = [("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse")];
    put(&vault(folder.path(), &right), "one");
    assert_eq!(got(&vault(folder.path(), &right)).as_deref(), Some("one"));
    let wrong = vault(folder.path(), &[("AGE_OAUTH_VAULT_PASSPHRASE", "wrong")]);
    assert_eq!(
        wrong.get(&item()).unwrap_err().reason,
        KeychainReason::WrongKey
    );
}

#[test]
fn a_derived_key_is_kept_only_for_the_vault_that_it_opens() {
    let folder = tempfile::tempdir().unwrap();
    let right = [("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse")];
    let first = vault(folder.path(), &right);
    put(&first, "one");
    assert_eq!(got(&first).as_deref(), Some("one"));
    assert!(first.derived.lock().unwrap().is_some());
    // Another process seals it with another passphrase.
    let other = VaultKey::Passphrase(Secret::new("another long one".into()));
    vault(folder.path(), &right)
        .rekey(&other, OldKey::Forget)
        .unwrap();
    assert_eq!(
        first.get(&item()).unwrap_err().reason,
        KeychainReason::WrongKey
    );
}

#[test]
fn a_wrong_key_and_a_damaged_file_are_distinguished_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let right = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    put(&right, "one");
    let path = folder.path().join("store/vault");
    let good = fs::read(&path).unwrap();
    let wrong = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", OTHER)]);
    assert_eq!(
        wrong.get(&item()).unwrap_err().reason,
        KeychainReason::WrongKey
    );
    let refused = wrong.set(&item(), &Secret::new("two".into())).unwrap_err();
    assert_eq!(refused.reason, KeychainReason::WrongKey);
    assert_eq!(fs::read(&path).unwrap(), good);
    for at in [0, HEADER_LEN - 1, HEADER_LEN, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_eq!(
            right.get(&item()).unwrap_err().reason,
            KeychainReason::Damaged,
            "{at}"
        );
        assert!(right.set(&item(), &Secret::new("two".into())).is_err());
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    for length in [0, 5, HEADER_LEN, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(
            right.get(&item()).unwrap_err().reason,
            KeychainReason::Damaged,
            "{length}"
        );
    }
}

#[test]
fn a_later_version_is_distinguished_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    put(&vault, "one");
    let path = folder.path().join("store/vault");
    let good = fs::read(&path).unwrap();
    // The version, and the KDF behind it.
    for (at, later) in [(7, b'2'), (8, 9)] {
        let mut bytes = good.clone();
        bytes[at] = later;
        fs::write(&path, &bytes).unwrap();
        let error = vault.get(&item()).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Refused, "{error}");
    }
    let mut earlier = good.clone();
    earlier[7] = VERSION - 1;
    for damaged in [&*earlier, &good[..HEADER_LEN - 1]] {
        fs::write(&path, damaged).unwrap();
        let error = vault.get(&item()).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Damaged, "{error}");
    }
}

#[test]
fn a_source_without_a_usable_key_does_no_harm_where_another_has_it() {
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "one");
    for useless in [
        ("AGE_OAUTH_VAULT_KEY", "no key"),
        ("AGE_OAUTH_VAULT_KEY_FILE", "/nonexistent/key"),
        ("AGE_OAUTH_VAULT_PASSPHRASE", "of another vault"),
        ("CREDENTIALS_DIRECTORY", "/nonexistent"),
    ] {
        let vault = vault(folder.path(), &[useless]);
        assert_eq!(got(&vault).as_deref(), Some("one"), "{useless:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_named_key_file_may_be_behind_a_link_but_ours_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    write_key(&real, KEY);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let by_link = [("AGE_OAUTH_VAULT_KEY_FILE", link.to_str().unwrap())];
    put(&vault(folder.path(), &by_link), "one");
    fs::create_dir(folder.path().join("store.key")).unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("store.key/vault.key")).unwrap();
    assert_eq!(got(&vault(folder.path(), &by_link)).as_deref(), Some("one"));
    let error = vault(folder.path(), &[]).get(&item()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::Refused);
    assert!(error.detail.contains("symbolic link"), "{error}");
}

#[cfg(unix)]
#[test]
fn rule_25_a_vault_behind_a_link_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    put(&vault, "one");
    let path = folder.path().join("store/vault");
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(vault.get(&item()).is_err());
    assert!(vault.set(&item(), &Secret::new("two".into())).is_err());
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn rule_25_vault_and_key_file_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "one");
    for (name, expected) in [
        ("store", 0o700),
        ("store/vault", 0o600),
        ("store/vault.lock", 0o600),
        ("store.key", 0o700),
        ("store.key/vault.key", 0o600),
    ] {
        let found = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, expected, "{name}");
    }
}

#[test]
fn each_write_has_its_own_salt() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    let path = folder.path().join("store/vault");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        put(&vault, "the same");
        assert!(seen.insert(fs::read(&path).unwrap()));
    }
}

#[test]
fn every_byte_of_the_file_is_protected() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]);
    put(&vault, "one");
    let path = folder.path().join("store/vault");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        fs::write(&path, &bad).unwrap();
        assert!(vault.get(&item()).is_err(), "{at}");
    }
}

#[test]
fn a_new_key_file_is_announced_and_a_new_key_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let events = std::sync::Arc::clone(&seen);
    let context = Context {
        environment: Environment::of([("", "")]),
        observer: crate::event::Observer::new(move |event| {
            events.lock().unwrap().push(event.clone());
        }),
        ..Context::process()
    };
    let vault = Vault::new(folder.path().join("store"), true, &context);
    put(&vault, "one");
    let path = folder.path().join("store.key/vault.key");
    let before = fs::read(&path).unwrap();
    vault.rekey(&VaultKey::KeyFile, OldKey::Forget).unwrap();
    let after = fs::read(&path).unwrap();
    assert_ne!(before, after);
    assert_eq!(after.len(), 45);
    assert_eq!(got(&vault).as_deref(), Some("one"));
    let notice = Event::Notice(Notice::VaultKeyMade { path: path.clone() });
    assert_eq!(*seen.lock().unwrap(), [notice.clone(), notice]);
    fs::write(&path, before).unwrap();
    assert!(vault.get(&item()).is_err());
}

#[test]
fn a_vault_moves_between_all_kinds_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let by_file: [(&str, &str); 0] = [];
    let by_key = [("AGE_OAUTH_VAULT_KEY", OTHER)];
    let by_passphrase = [("AGE_OAUTH_VAULT_PASSPHRASE", "correct horse")];
    let key_file = folder.path().join("store.key/vault.key");
    put(&vault(folder.path(), &by_file), "one");

    let to_key = VaultKey::Text(Secret::new(OTHER.into()));
    vault(folder.path(), &by_file)
        .rekey(&to_key, OldKey::Forget)
        .unwrap();
    assert!(!key_file.exists());
    assert_eq!(got(&vault(folder.path(), &by_key)).as_deref(), Some("one"));
    assert!(vault(folder.path(), &by_file).get(&item()).is_err());

    let to_passphrase = VaultKey::Passphrase(Secret::new("correct horse".into()));
    vault(folder.path(), &by_key)
        .rekey(&to_passphrase, OldKey::Keep)
        .unwrap();
    assert!(vault(folder.path(), &by_key).get(&item()).is_err());
    let opened = vault(folder.path(), &by_passphrase);
    assert_eq!(got(&opened).as_deref(), Some("one"));

    opened.rekey(&VaultKey::KeyFile, OldKey::Keep).unwrap();
    assert_eq!(got(&vault(folder.path(), &by_file)).as_deref(), Some("one"));
}

#[test]
fn an_interrupted_change_of_keys_leaves_a_key_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "one");
    let path = folder.path().join("store.key/vault.key");
    let old = fs::read_to_string(&path).unwrap();
    // What is there between the first step and the last: the new key before the old one.
    write_key(&path, &format!("{KEY}\n{old}"));
    assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
    vault(folder.path(), &[])
        .rekey(&VaultKey::KeyFile, OldKey::Forget)
        .unwrap();
    let keys = fs::read_to_string(&path).unwrap();
    assert!(!keys.contains(old.trim()));
    assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
}

#[test]
fn a_change_of_keys_needs_a_vault_and_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let error = vault(folder.path(), &[])
        .rekey(&VaultKey::KeyFile, OldKey::Keep)
        .unwrap_err();
    assert_eq!(error.reason, KeychainReason::Missing);
    assert!(!folder.path().join("store.key").exists());
    put(&vault(folder.path(), &[]), "one");
    let bad = VaultKey::Text(Secret::new("canary".into()));
    let error = vault(folder.path(), &[])
        .rekey(&bad, OldKey::Keep)
        .unwrap_err();
    assert!(!error.to_string().contains("canary"));
    assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
}

#[test]
fn stores_that_share_a_key_file_agree_on_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared/vault.key");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut vault = vault(&folder.path().join(number.to_string()), &[]);
            vault.key_file.clone_from(&path);
            scope.spawn(move || {
                put(&vault, "one");
                assert_eq!(got(&vault).as_deref(), Some("one"));
            });
        }
    });
}

#[test]
fn a_change_of_keys_leaves_the_vaults_that_share_the_key_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared/vault.key");
    let [one, other] = ["one", "other"].map(|name| {
        let mut vault = vault(&folder.path().join(name), &[]);
        vault.key_file.clone_from(&path);
        put(&vault, name);
        vault
    });
    one.rekey(&VaultKey::KeyFile, OldKey::Keep).unwrap();
    one.rekey(&VaultKey::KeyFile, OldKey::Keep).unwrap();
    assert_eq!(got(&one).as_deref(), Some("one"));
    assert_eq!(got(&other).as_deref(), Some("other"));
    put(&other, "more");
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    let to_key = VaultKey::Text(Secret::new(KEY.into()));
    one.rekey(&to_key, OldKey::Keep).unwrap();
    assert!(one.get(&item()).is_err());
    assert_eq!(got(&other).as_deref(), Some("more"));
    other.rekey(&VaultKey::KeyFile, OldKey::Forget).unwrap();
    assert_eq!(got(&other).as_deref(), Some("more"));
}

#[test]
fn vaults_that_share_a_key_file_may_change_their_keys_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared/vault.key");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut vault = vault(&folder.path().join(number.to_string()), &[]);
            vault.key_file.clone_from(&path);
            scope.spawn(move || {
                put(&vault, "one");
                for _ in 0..3 {
                    vault.rekey(&VaultKey::KeyFile, OldKey::Keep).unwrap();
                    assert_eq!(got(&vault).as_deref(), Some("one"));
                }
            });
        }
    });
    for number in 0..8 {
        let mut vault = vault(&folder.path().join(number.to_string()), &[]);
        vault.key_file.clone_from(&path);
        assert_eq!(got(&vault).as_deref(), Some("one"));
    }
}

#[test]
fn a_vault_uses_the_key_of_a_named_file_or_creates_one_there() {
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "one");
    let by_file = |name: &str| folder.path().join(name).display().to_string();
    let with = |name: &str| {
        let path = by_file(name);
        got(&vault(
            folder.path(),
            &[("AGE_OAUTH_VAULT_KEY_FILE", &path)],
        ))
    };
    let rekey = |name: &str| {
        let to = VaultKey::NamedFile(by_file(name).into());
        vault(
            folder.path(),
            &[
                ("AGE_OAUTH_VAULT_KEY", KEY),
                ("AGE_OAUTH_VAULT_KEY_FILE", &by_file("made")),
            ],
        )
        .rekey(&to, OldKey::Keep)
    };
    let to = VaultKey::NamedFile(by_file("made").into());
    vault(folder.path(), &[]).rekey(&to, OldKey::Keep).unwrap();
    assert_eq!(with("made").as_deref(), Some("one"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(by_file("made")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    write_key(by_file("there"), KEY);
    rekey("there").unwrap();
    assert_eq!(with("there").as_deref(), Some("one"));
    write_key(by_file("bad"), "no key");
    let before = fs::read(folder.path().join("store/vault")).unwrap();
    for name in ["bad", "no/such/folder"] {
        rekey(name).unwrap_err();
    }
    assert_eq!(fs::read(folder.path().join("store/vault")).unwrap(), before);
}

#[test]
fn an_invalid_key_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["short", "not base64 at all!", "AAAA"] {
        let vault = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", bad)]);
        put_fails(&vault);
    }
    let missing = [("AGE_OAUTH_VAULT_KEY_FILE", "/nonexistent/key")];
    put_fails(&vault(folder.path(), &missing));
    assert!(!folder.path().join("store/vault").exists());
}

fn put_fails(vault: &Vault) {
    let secret = Secret::new("x".into());
    let error = vault.set(&item(), &secret).unwrap_err();
    assert!(!error.to_string().contains("not base64 at all"));
}

#[test]
fn concurrent_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    put(&vault(folder.path(), &[]), "first");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let root = folder.path();
            scope.spawn(move || {
                let item = Item::new(format!("c_{number}"), "c", ItemKind::Tokens);
                vault(root, &[])
                    .set(&item, &Secret::new(number.to_string()))
                    .unwrap();
            });
        }
    });
    assert_eq!(vault(folder.path(), &[]).accounts().unwrap().len(), 17);
}

#[test]
fn a_passphrase_that_can_be_guessed_seals_nothing_and_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let weak = vault(folder.path(), &[("AGE_OAUTH_VAULT_PASSPHRASE", "x")]);
    let error = weak.set(&item(), &Secret::new("one".into())).unwrap_err();
    assert_eq!(error.reason, KeychainReason::NoKey, "{error}");
    assert!(!folder.path().join("store/vault").exists());
    put(&vault(folder.path(), &[]), "one");
    let to = VaultKey::Passphrase(Secret::new("x".into()));
    assert!(vault(folder.path(), &[]).rekey(&to, OldKey::Keep).is_err());
    assert_eq!(got(&vault(folder.path(), &[])).as_deref(), Some("one"));
}

#[test]
fn a_variable_of_a_key_that_is_empty_or_no_text_makes_no_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["AGE_OAUTH_VAULT_KEY", "AGE_OAUTH_VAULT_PASSPHRASE"] {
        let empty = vault(folder.path(), &[(name, "")]);
        let error = empty.set(&item(), &Secret::new("one".into())).unwrap_err();
        assert_eq!(error.reason, KeychainReason::NoKey, "{error}");
        assert!(error.detail.contains(name), "{error}");
    }
    let tilde = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY_FILE", "~/key")]);
    let error = tilde.set(&item(), &Secret::new("one".into())).unwrap_err();
    assert!(
        error
            .detail
            .contains("AGE_OAUTH_VAULT_KEY_FILE: it begins with `~`"),
        "{error}"
    );
    assert!(!folder.path().join("store/vault").exists());
}

#[test]
fn an_error_names_the_five_places_of_a_key_and_what_came_of_each() {
    let folder = tempfile::tempdir().unwrap();
    put(
        &vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", KEY)]),
        "one",
    );
    let error = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", OTHER)])
        .get(&item())
        .unwrap_err();
    assert_eq!(error.reason, KeychainReason::WrongKey);
    let own = folder.path().join("store.key").join("vault.key");
    for text in [
        "AGE_OAUTH_VAULT_KEY: does not open it",
        "$CREDENTIALS_DIRECTORY/age-oauth.key: not set",
        "AGE_OAUTH_VAULT_KEY_FILE: not set",
        "AGE_OAUTH_VAULT_PASSPHRASE: not set",
        &format!("{}: does not exist", own.display()),
    ] {
        assert!(error.detail.contains(text), "{text}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn rule_25_a_key_file_that_others_may_read_is_refused_except_where_a_unit_is_the_boundary() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let file = credentials.join("age-oauth.key");
    write_key(&file, KEY);
    let (file, folder_name) = (file.to_str().unwrap(), credentials.to_str().unwrap());
    let by_file = [("AGE_OAUTH_VAULT_KEY_FILE", file)];
    put(&vault(folder.path(), &by_file), "one");
    fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    let error = vault(folder.path(), &by_file).get(&item()).unwrap_err();
    assert_eq!(error.reason, KeychainReason::UnsafeKey, "{error}");
    assert!(error.detail.contains("0666"), "{error}");
    let by_unit = vault(folder.path(), &[("CREDENTIALS_DIRECTORY", folder_name)]);
    assert_eq!(got(&by_unit).as_deref(), Some("one"));
    let places = by_unit.key_places().unwrap();
    assert_eq!(places.len(), 1);
    assert_eq!(places[0].name, file);
}

#[test]
fn every_place_whose_key_opens_the_vault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(vault(folder.path(), &[]).key_places().unwrap().is_empty());
    put(&vault(folder.path(), &[]), "one");
    let own = folder.path().join("store.key").join("vault.key");
    let key = fs::read_to_string(&own).unwrap();
    let both = vault(folder.path(), &[("AGE_OAUTH_VAULT_KEY", key.trim())]);
    let places = both.key_places().unwrap();
    let names: Vec<_> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["AGE_OAUTH_VAULT_KEY", own.to_str().unwrap()]);
    assert!(!places[0].is_own && places[1].is_own);
}
