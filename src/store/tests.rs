#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::connection::{Grant, KeychainKind, Label, RedirectUri, SecretCommand, Tls, WebTier};
use crate::context::Context;
use crate::policy::STORE_LOCK_TIMEOUT;

fn store() -> (tempfile::TempDir, ConnectionStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ConnectionStore::open(folder.path().join("store"));
    (folder, store)
}

fn connection(label: &str) -> Connection {
    Connection::new(
        label.parse().unwrap(),
        "https://h/portal".parse().unwrap(),
        Grant::User {
            redirect_uri: RedirectUri::OutOfBand,
            pkce: true,
        },
        "client1".into(),
    )
}

fn added(store: &ConnectionStore, label: &str) -> Connection {
    let connection = connection(label);
    store.add(&connection, None, &Context::process()).unwrap();
    connection
}

fn named(name: &str) -> Selector {
    Selector::Name(name.into())
}

#[test]
fn a_directory_written_by_hand_is_understood() {
    let (_folder, store) = store();
    let id = "my_portal_3f2c1e9a-7c5d-4e0b-9a51-0c8b7a6d5e4f";
    let folder = store.root().join("connections").join(id);
    fs::create_dir_all(&folder).unwrap();
    let meta = format!(
        r#"{{"schema_version": 2, "id": "{id}", "label": "My Portal", "portal_url": "https://gis.example.org/portal",
            "auth_type": "user", "client_id": "abc", "redirect_uri": "urn:ietf:wg:oauth:2.0:oob", "pkce": true,
            "referer": null, "verify_ssl": true, "ca_bundle": "ca.pem", "proxy": "system", "keychain": "vault",
            "tags": ["nightly"], "created_at": "2026-11-23T10:00:00Z", "last_used_at": null, "legacy_id": null}}"#
    );
    fs::write(folder.join("meta.json"), meta).unwrap();
    // Without the index of labels every connection is read.
    let found = store.find(&named("my portal")).unwrap();
    assert_eq!(found.tls, Tls::Ca(folder.join("ca.pem")));
    assert_eq!(found.keychain, KeychainKind::Vault);
    assert_eq!(found.created_at, "2026-11-23T10:00:00Z".parse().ok());
    assert_eq!(store.list(Some("NIGHTLY")).unwrap().connections.len(), 1);
    assert_eq!(store.list(Some("other")).unwrap().connections.len(), 0);
    added(&store, "second");
    assert_eq!(store.find(&named("MY PORTAL")).unwrap().id, found.id);
    assert!(matches!(
        store.check_free(&"my PORTAL".parse().unwrap()),
        Err(Error::NameTaken { .. })
    ));
}

#[test]
fn a_pinned_certificate_is_not_an_authority_of_the_connection() {
    let (_folder, store) = store();
    let mut connection = connection("mine");
    let pinned = |name: &str| Tls::Pinned {
        path: store.folder(&connection.id).join(name),
        host: "gis.example.com".to_owned(),
    };
    let (now, before) = (pinned("pinned.pem"), pinned("ca.pem"));
    connection.tls = now.clone();
    let context = Context::process();
    store.add(&connection, Some(b"pem"), &context).unwrap();
    assert_eq!(fs::read(store.pinned_path(&connection.id)).unwrap(), b"pem");
    assert!(!store.ca_path(&connection.id).exists());
    assert_eq!(store.load(&connection.id).unwrap().tls, now);
    let mut document = store.read_meta(&connection.id).unwrap().unwrap();
    assert_eq!(document["ca_bundle"], Value::Null);
    assert_eq!(document["pinned_host"], "gis.example.com");
    let mut written = |changes: &[(&str, Value)]| {
        for (name, value) in changes {
            document.insert((*name).to_owned(), value.clone());
        }
        let text = Value::Object(document.clone()).to_string();
        fs::write(store.meta_path(&connection.id), text).unwrap();
        store.load(&connection.id).map(|connection| connection.tls)
    };
    // Neither the host nor the file can be missing, and the file is the connection's own.
    assert!(written(&[("pinned_host", Value::Null)]).is_err());
    assert!(written(&[
        ("pinned_host", "gis.example.com".into()),
        ("pinned_certificate", "../other/pinned.pem".into()),
    ])
    .is_err());
    // Version 0.3.0 stored it like an authority.
    let old = [
        ("pinned_host", Value::Null),
        ("pinned_certificate", Value::Null),
        ("ca_bundle", "ca.pem".into()),
        ("ca_source", "shown by gis.example.com".into()),
    ];
    assert_eq!(written(&old).unwrap(), before);
}

#[test]
fn a_ca_path_written_by_hand_stays() {
    let (_folder, store) = store();
    let id = added(&store, "mine").id;
    let path = store.meta_path(&id);
    let named = |text: &str| {
        let mut document = store.read_meta(&id).unwrap().unwrap();
        document.insert("ca_bundle".into(), text.into());
        fs::write(&path, Value::Object(document).to_string()).unwrap();
        let connection = store.load(&id).unwrap();
        let context = Context::process();
        let (lock, _) = store
            .lock(&connection, STORE_LOCK_TIMEOUT, &context)
            .unwrap();
        store
            .update(&lock, |connection| connection.tags.clear())
            .unwrap();
        (connection.tls, store.load(&id).unwrap().tls)
    };
    for text in ["/etc/ssl/city.pem", "ca.pem"] {
        let (before, after) = named(text);
        assert_eq!(before, after, "{text}");
        // A store that is moved takes its own file along.
        let document = store.read_meta(&id).unwrap().unwrap();
        assert_eq!(document["ca_bundle"], text);
    }
}

#[cfg(feature = "migrate")]
#[test]
fn connections_of_the_python_package_are_listed_apart() {
    let (_folder, store) = store();
    let folder = store.root().join("connections/prod_1a2b3c4d");
    fs::create_dir_all(&folder).unwrap();
    let meta = r#"{"schema_version": 1, "id": "prod_1a2b3c4d", "label": "Prod", "portal_url": "https://h"}"#;
    fs::write(folder.join("meta.json"), meta).unwrap();
    let listing = store.list(None).unwrap();
    assert_eq!(listing.connections.len(), 0);
    assert_eq!(listing.plaintext[0].label, "Prod");
    assert!(store.find(&named("prod_1a2b3c4d")).is_err());
}

#[cfg(feature = "migrate")]
#[test]
fn folders_of_the_python_package_do_not_get_in_the_way() {
    let (_folder, store) = store();
    let environment = Environment::of(Vec::<(String, String)>::new());
    let folder = store.root().join("connections/prod_1a2b3c4d");
    fs::create_dir_all(&folder).unwrap();
    let meta = r#"{"id": "prod_1a2b3c4d", "label": "Prod", "portal_url": "https://h"}"#;
    fs::write(folder.join("meta.json"), meta).unwrap();
    for wanted in [named("prod"), named("prod_1a2b"), named("prod_1a2b3c4d")] {
        let error = store.choose(Some(&wanted), &environment).unwrap_err();
        assert!(error.to_string().contains("connections import"), "{error}");
    }
    assert!(matches!(
        store.choose(None, &environment),
        Err(Error::Corrupt { .. })
    ));
    assert!(matches!(
        store.choose(Some(&named("unknown")), &environment),
        Err(Error::NoConnection { .. })
    ));
    // Their labels and ids stay usable, and the first connection of ours becomes the default.
    let mut ours = connection("PROD");
    ours.legacy_id = Some("prod_1a2b3c4d".into());
    assert!(store.add(&ours, None, &Context::process()).unwrap());
    store.set_default(None).unwrap();
    assert_eq!(store.choose(None, &environment).unwrap().id, ours.id);
    for name in ["prod", "prod_1a2b3c4d"] {
        assert_eq!(store.find(&named(name)).unwrap().id, ours.id);
    }
}

#[cfg(not(feature = "migrate"))]
#[test]
fn without_the_import_a_folder_of_the_python_package_is_broken() {
    let (_folder, store) = store();
    let folder = store.root().join("connections/prod_1a2b3c4d");
    fs::create_dir_all(&folder).unwrap();
    let meta = r#"{"id": "prod_1a2b3c4d", "label": "Prod", "portal_url": "https://h"}"#;
    fs::write(folder.join("meta.json"), meta).unwrap();
    let listing = store.list(None).unwrap();
    assert!(listing.connections.is_empty() && listing.plaintext.is_empty());
    assert!(matches!(listing.broken[..], [Error::Corrupt { .. }]));
    // Its id leads to the folder. Its label is not read.
    let error = store.find(&named("prod_1a2b3c4d")).unwrap_err();
    assert!(error.to_string().contains("cannot import"), "{error}");
    assert!(matches!(
        store.find(&named("prod")),
        Err(Error::NoConnection { .. })
    ));
}

#[test]
fn the_first_connection_becomes_the_default_until_it_is_removed() {
    let (_folder, store) = store();
    let environment = Environment::of(Vec::<(String, String)>::new());
    let context = Context::process();
    let first = added(&store, "first");
    let second = added(&store, "second");
    assert_eq!(store.choose(None, &environment).unwrap().id, first.id);
    let (lock, current) = store.lock(&first, Duration::ZERO, &context).unwrap();
    store.remove(lock, &context).unwrap();
    assert_eq!(store.default_id().unwrap(), None);
    assert_eq!(store.choose(None, &environment).unwrap().id, second.id);
    assert!(store.lock(&current, Duration::ZERO, &context).is_err());
    assert!(!store.folder(&first.id).exists());
}

#[test]
fn a_label_that_a_crash_left_is_claimed_again() {
    let (_folder, store) = store();
    added(&store, "other");
    let folded = "gone";
    fs::write(store.label_path(folded), "gone_00000000\n").unwrap();
    assert!(matches!(
        store.find(&named("gone")),
        Err(Error::NoConnection { .. })
    ));
    let gone = added(&store, "Gone");
    assert_eq!(store.find(&named("gone")).unwrap().id, gone.id);
}

#[test]
fn concurrent_writers_lose_nothing() {
    let (_folder, store) = store();
    let one = added(&store, "one");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, one) = (&store, &one);
            scope.spawn(move || {
                let context = Context::process();
                let wait = Duration::from_secs(30);
                let (lock, _) = store.lock(one, wait, &context).unwrap();
                store
                    .update(&lock, |connection| connection.tags.push(number.to_string()))
                    .unwrap();
                drop(lock);
                added(store, &format!("new {number}"));
            });
        }
    });
    assert_eq!(store.load(&one.id).unwrap().tags.len(), 8);
    assert_eq!(store.list(None).unwrap().connections.len(), 9);
}

fn nowhere() -> Environment {
    Environment::of(Vec::<(String, String)>::new())
}

fn lock(store: &ConnectionStore, connection: &Connection) -> RenewalLock {
    let context = Context::process();
    store
        .lock(connection, STORE_LOCK_TIMEOUT, &context)
        .unwrap()
        .0
}

/// A folder as the Python package creates it.
#[cfg(feature = "migrate")]
fn of_python(store: &ConnectionStore, id: &str) -> ConnectionId {
    let folder = store.root().join("connections").join(id);
    fs::create_dir_all(&folder).unwrap();
    let meta = format!(
        r#"{{"schema_version": 1, "id": "{id}", "label": "{id}", "portal_url": "https://h", "own": 7}}"#
    );
    fs::write(folder.join("meta.json"), meta).unwrap();
    id.parse().unwrap()
}

#[test]
fn a_root_from_the_environment_is_custom() {
    let chosen = Environment::of([("AGE_OAUTH_HOME", "some/where")]);
    let store = ConnectionStore::open_default(&chosen).unwrap();
    assert!(store.is_custom() && store.root().is_absolute());
    assert!(!ConnectionStore::open_default(&nowhere())
        .unwrap()
        .is_custom());
}

#[test]
fn errors_about_the_choice_list_a_few_labels() {
    let (_folder, store) = store();
    assert!(matches!(
        store.choose(None, &nowhere()),
        Err(Error::NoConnection { wanted: None, known, .. }) if known.is_empty()
    ));
    for number in 0..12 {
        added(&store, &format!("label {number:02}"));
    }
    let few: Vec<_> = (0..10).map(|number| format!("label {number:02}")).collect();
    store.set_default(None).unwrap();
    match store.choose(None, &nowhere()).unwrap_err() {
        Error::Ambiguous { candidates, .. } => assert_eq!(candidates, few),
        other => panic!("{other}"),
    }
    match store.find(&named("other")).unwrap_err() {
        Error::NoConnection { known, .. } => assert_eq!(known, few),
        other => panic!("{other}"),
    }
    // Without a default, a further connection does not become one.
    assert!(!store
        .add(&connection("one more"), None, &Context::process())
        .unwrap());
    assert_eq!(store.default_id().unwrap(), None);
}

#[test]
fn the_only_connection_is_reported_as_broken() {
    let (_folder, store) = store();
    let one = added(&store, "one");
    store.set_default(None).unwrap();
    fs::write(store.meta_path(&one.id), "{").unwrap();
    assert!(matches!(
        store.choose(None, &nowhere()),
        Err(Error::UnusableConnection { .. })
    ));
}

#[test]
fn a_connection_that_cannot_become_the_default_is_added_nevertheless() {
    let (_folder, store) = store();
    fs::create_dir_all(store.root().join("default/x")).unwrap();
    let connection = connection("prod");
    assert!(!store.add(&connection, None, &Context::process()).unwrap());
    assert_eq!(store.list(None).unwrap().connections.len(), 1);
}

#[test]
fn add_without_default_sets_no_default() {
    let (_folder, store) = store();
    let beside = connection("beside");
    store
        .add_without_default(&beside, None, &Context::process())
        .unwrap();
    assert_eq!(store.load(&beside.id).unwrap().label, beside.label);
    assert_eq!(store.default_id().unwrap(), None);
}

#[cfg(feature = "migrate")]
#[test]
fn a_folder_of_the_python_package_becomes_a_connection_and_keeps_its_fields() {
    let (_folder, store) = store();
    let context = Context::process();
    let ids = ["prod_1a2b3c4d", "test_1a2b3c4d"].map(|id| of_python(&store, id));
    // Two of them do not make the choice ambiguous.
    assert!(matches!(
        store.choose(None, &nowhere()),
        Err(Error::Corrupt { .. })
    ));
    let mut ours = connection("Prod");
    ours.id = ids[0].clone();
    let lock = store
        .lock_folder(&ours.id, STORE_LOCK_TIMEOUT, &context)
        .unwrap();
    store.adopt(&lock, &ours, Some(b"pem"), &context).unwrap();
    assert_eq!(store.find(&named("prod")).unwrap().id, ours.id);
    assert_eq!(fs::read(store.ca_path(&ours.id)).unwrap(), b"pem");
    let document = store.read_meta(&ours.id).unwrap().unwrap();
    assert_eq!(document["own"], 7);
    store.write_ca(&lock, b"another").unwrap();
    assert_eq!(fs::read(store.ca_path(&ours.id)).unwrap(), b"another");
}

#[test]
fn an_id_of_the_python_package_finds_the_connection() {
    let (_folder, store) = store();
    for (label, old) in [
        ("long", "x".repeat(300)),
        ("blank", "a b".to_owned()),
        ("path", "a/b".to_owned()),
    ] {
        let mut connection = connection(label);
        connection.legacy_id = Some(old.clone());
        store.add(&connection, None, &Context::process()).unwrap();
        let found = store.find(&Selector::Id(old)).ok().map(|found| found.id);
        assert_eq!(found, (label == "long").then_some(connection.id));
    }
}

#[test]
fn a_rename_removes_the_old_label_file() {
    let (_folder, store) = store();
    let context = Context::process();
    let one = added(&store, "one");
    let label = |text: &str| text.parse::<Label>().unwrap();
    for (new, gone) in [("two", Some("one")), ("TWO", None), ("three", Some("two"))] {
        store
            .rename(&lock(&store, &one), &label(new), &context)
            .unwrap();
        assert_eq!(store.find(&named(new)).unwrap().label.as_str(), new);
        if let Some(gone) = gone {
            assert!(store.find(&named(gone)).is_err());
            assert!(!store.label_path(gone).exists());
        }
    }
    assert_eq!(fs::read_dir(store.labels_folder()).unwrap().count(), 1);
    // A label file that leads to another connection by now stays.
    let other = added(&store, "other");
    store.release_label(&label("other"), &one.id).unwrap();
    assert_eq!(store.find(&named("other")).unwrap().id, other.id);
}

#[test]
fn a_later_schema_is_refused_and_left_as_it_is() {
    let (_folder, store) = store();
    let one = added(&store, "one");
    let path = store.meta_path(&one.id);
    let mut document = store.read_meta(&one.id).unwrap().unwrap();
    document.insert("schema_version".into(), 7.into());
    document.insert("written_by".into(), "age-oauth 9.9".into());
    let later = Value::Object(document).to_string();
    fs::write(&path, &later).unwrap();
    let error = store.load(&one.id).unwrap_err().to_string();
    assert!(error.contains("age-oauth 9.9 (schema 7)"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), later);
}

#[test]
fn the_size_of_a_meta_json_is_limited() {
    let (_folder, store) = store();
    let one = added(&store, "one");
    let grow = |tags: usize| {
        store.update(&lock(&store, &one), |one| {
            one.tags = vec!["x".repeat(1000); tags];
        })
    };
    grow(100).unwrap();
    assert_eq!(store.load(&one.id).unwrap().tags.len(), 100);
    // A document that could not be read again is not written.
    assert!(matches!(grow(1100), Err(Error::Invalid { .. })));
    assert_eq!(store.load(&one.id).unwrap().tags.len(), 100);
    fs::write(store.meta_path(&one.id), vec![b' '; 1024 * 1024 + 1]).unwrap();
    assert!(matches!(
        store.load(&one.id),
        Err(Error::UnusableConnection { .. })
    ));
}

#[test]
fn a_broken_folder_is_listed_and_removed_by_its_path() {
    let (folder, store) = store();
    let context = Context::process();
    added(&store, "one");
    let at = |name: &str| store.root().join("connections").join(name);
    fs::create_dir(at("empty_00000000")).unwrap();
    fs::create_dir(at("torn_00000000")).unwrap();
    fs::write(at("torn_00000000").join("ca.pem"), "x").unwrap();
    fs::write(at("file_00000000"), "x").unwrap();
    let listing = store.list(None).unwrap();
    assert_eq!(listing.connections.len(), 1);
    let broken: Vec<_> = listing.broken.iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].contains("not a directory"), "{broken:?}");
    assert!(broken[1].contains("no meta.json"), "{broken:?}");

    let outside = folder.path().join("outside_00000000");
    fs::create_dir(&outside).unwrap();
    for name in ["torn_00000000", "file_00000000", "not there"] {
        store.remove_broken(&at(name), &context).unwrap();
        assert!(!at(name).exists());
    }
    store.remove_broken(&outside, &context).unwrap();
    assert!(outside.exists());
    assert_eq!(store.list(None).unwrap().broken.len(), 0);
}

#[cfg(unix)]
#[test]
fn a_link_or_file_in_place_of_a_folder_is_an_error() {
    let (folder, store) = store();
    let elsewhere = ConnectionStore::open(folder.path().join("elsewhere"));
    let theirs = added(&elsewhere, "theirs");
    added(&store, "ours");
    std::os::unix::fs::symlink(elsewhere.folder(&theirs.id), store.folder(&theirs.id)).unwrap();
    assert!(matches!(
        store.load(&theirs.id),
        Err(Error::Corrupt { why, .. }) if why.contains("symbolic link")
    ));
    let empty = ConnectionStore::open(folder.path().join("empty"));
    assert_eq!(empty.list(None).unwrap().connections.len(), 0);
    fs::create_dir(empty.root()).unwrap();
    fs::write(empty.root().join("connections"), "x").unwrap();
    assert!(matches!(empty.list(None), Err(Error::File { .. })));
    assert!(matches!(empty.load(&theirs.id), Err(Error::File { .. })));
}

#[cfg(unix)]
#[test]
fn files_that_others_may_see_are_found_and_restricted() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, store) = store();
    let path = store.meta_path(&added(&store, "one").id);
    assert!(store.world_accessible().unwrap().is_empty());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.world_accessible().unwrap(), [path]);
    store.restrict_to_owner().unwrap();
    assert!(store.world_accessible().unwrap().is_empty());
}

#[test]
fn a_network_connection_is_read_again_and_no_older_program_reads_it() {
    let (_folder, store) = store();
    let mut connection = connection("net");
    connection.grant = Grant::Network;
    connection.client_id.clear();
    connection.web_tier = WebTier::Windows("ana@EXAMPLE.COM".parse().unwrap());
    store.add(&connection, None, &Context::process()).unwrap();
    assert_eq!(store.load(&connection.id).unwrap(), connection);
    let path = store.folder(&connection.id).join("meta.json");
    let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["schema_version"], 4);
    for (field, value) in [
        ("web_tier", Value::Null),
        ("client_id", "abc".into()),
        ("auth_type", "other".into()),
        ("auth_type", "user".into()),
    ] {
        let mut changed = written.clone();
        changed[field] = value;
        if field == "web_tier" {
            changed["web_tier_principal"] = Value::Null;
        }
        fs::write(&path, changed.to_string()).unwrap();
        assert!(store.load(&connection.id).is_err(), "{field}");
    }
}

#[test]
fn a_connection_with_an_api_key_is_read_again_and_no_older_program_reads_it() {
    let (_folder, store) = store();
    let mut connection = connection("keyed");
    let end = "2027-06-30T00:00:00Z".parse().unwrap();
    connection.grant = Grant::ApiKey {
        expires_at: Some(end),
    };
    connection.client_id.clear();
    let program = std::env::current_exe().unwrap().display().to_string();
    let command = SecretCommand::from_words(vec![program, "x".into()]).unwrap();
    connection.secret_command = Some(command);
    store.add(&connection, None, &Context::process()).unwrap();
    assert_eq!(store.load(&connection.id).unwrap(), connection);
    let path = store.folder(&connection.id).join("meta.json");
    let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["schema_version"], 6);
    assert_eq!(written["client_secret_command"], Value::Null);
    for (field, value) in [("client_id", "abc".into()), ("auth_type", "user".into())] {
        let mut changed = written.clone();
        changed[field] = value;
        fs::write(&path, changed.to_string()).unwrap();
        assert!(store.load(&connection.id).is_err(), "{field}");
    }
    // Without its end, it can still be edited and removed.
    for value in [Value::Null, "soon".into()] {
        let mut changed = written.clone();
        changed["api_key_expires_at"] = value;
        fs::write(&path, changed.to_string()).unwrap();
        let read = store.load(&connection.id).unwrap();
        assert_eq!(read.grant, Grant::ApiKey { expires_at: None });
        assert!(read.check_api_key_end().is_err());
    }
    // The command of another kind is none of a key.
    let mut changed = written;
    changed["client_secret_command"] = changed["api_key_command"].take();
    fs::write(&path, changed.to_string()).unwrap();
    assert_eq!(store.load(&connection.id).unwrap().secret_command, None);
}

proptest! {
    #[test]
    fn a_written_connection_is_read_again(
        label in "\\PC{1,64}",
        client_id in "[!-~]{1,40}",
        referer in proptest::option::of("[ -~]{1,40}"),
        tags in proptest::collection::vec("\\PC{0,10}", 0..4),
        second in 0_i64..4_000_000_000,
    ) {
        prop_assume!(label.parse::<Label>().is_ok());
        let (_folder, store) = store();
        let mut connection = connection(&label);
        connection.client_id = client_id;
        connection.referer = referer;
        connection.tags = tags;
        connection.created_at = Timestamp::from_second(second).ok();
        connection.status.signed_in_at = Timestamp::from_second(second).ok();
        store.add(&connection, None, &Context::process()).unwrap();
        prop_assert_eq!(&store.load(&connection.id).unwrap(), &connection);
        prop_assert_eq!(store.find(&named(connection.label.as_str())).unwrap().id, connection.id);
    }

    #[test]
    fn any_meta_json_is_read_without_harm(text in "\\PC{0,200}", field in "[a-z_]{1,12}", value in "[\\[{\"0-9a-z:,}\\]]{0,20}") {
        let (_folder, store) = store();
        let id: ConnectionId = "x_00000000".parse().unwrap();
        fs::create_dir_all(store.folder(&id)).unwrap();
        for document in [text, format!("{{\"schema_version\":2,\"{field}\":{value}}}")] {
            fs::write(store.folder(&id).join("meta.json"), document).unwrap();
            prop_assert!(store.load(&id).is_err());
            prop_assert!(store.list(None).is_ok());
        }
    }
}
