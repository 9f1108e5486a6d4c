//! What must hold in a home after a process was killed, at whatever moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use age_oauth::testing::Tokens;
use age_oauth::{Connection, ConnectionStore, Context, Environment, Item, ItemKind, Keychains};

use super::home::Home;
use super::portal::Portal;

/// A copy of a home's files, to start from again.
pub struct HomeCopy(tempfile::TempDir);

impl HomeCopy {
    /// Copies what is there now.
    pub fn of(home: &Home) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(home.path(), folder.path());
        Self(folder)
    }

    /// Restores the home.
    pub fn put_back(&self, home: &Home) {
        for entry in fs::read_dir(home.path()).expect("a home").flatten() {
            let path = entry.path();
            if entry.file_type().expect("an entry").is_dir() {
                fs::remove_dir_all(&path).expect("a folder that can be removed");
            } else {
                fs::remove_file(&path).expect("a file that can be removed");
            }
        }
        copy(self.0.path(), home.path());
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("an entry").is_dir() {
            fs::create_dir(&target).expect("a folder");
            let found = fs::metadata(&source).expect("a folder");
            fs::set_permissions(&target, found.permissions()).expect("a folder");
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).expect("a file");
        }
    }
}

/// Labels of the connections that the program lists; listing must work.
#[track_caller]
pub fn labels(home: &Home) -> Vec<String> {
    let listed = home.run(["connections", "list", "--json"]).done().ok();
    let listed = listed.json();
    let all = listed.as_array().expect("a list");
    let mut labels: Vec<_> = all
        .iter()
        .map(|one| one["connection"].as_str().expect("a label").to_owned())
        .collect();
    labels.sort();
    let single: BTreeSet<_> = labels.iter().collect();
    assert_eq!(single.len(), labels.len(), "{labels:?}");
    labels
}

fn connection(home: &Home, label: &str) -> Option<Connection> {
    let listing = ConnectionStore::open(home.store())
        .list(None)
        .expect("a store");
    listing
        .connections
        .into_iter()
        .find(|one| one.label.as_str() == label)
}

/// What the vault holds of that connection.
#[track_caller]
pub fn stored_tokens(home: &Home, label: &str) -> Option<Tokens> {
    let context = Context {
        environment: Environment::of(home.environment()),
        ..Context::process()
    };
    let connection = connection(home, label)?;
    let keychain = Keychains::new(home.store(), true, false, &context).of(connection.keychain);
    let item = Item::of(&connection, ItemKind::Tokens);
    let record = keychain.get(&item).expect("a vault that can be read")?;
    Some(Tokens::from_record(&record).expect("a whole record"))
}

/// The refresh token that is stored there.
#[track_caller]
pub fn stored_refresh_token(home: &Home, label: &str) -> Option<String> {
    let refresh = stored_tokens(home, label)?.refresh?;
    Some(refresh.secret.expose().to_owned())
}

/// Checks that the sign-in of `label` works if and only if the portal accepts what is stored;
/// otherwise the program reports that a sign-in is needed, with the command. Returns whether it
/// works.
#[track_caller]
pub fn sign_in_is_what_the_portal_honours(home: &Home, portal: &Portal, label: &str) -> bool {
    let good =
        stored_refresh_token(home, label).is_some_and(|token| portal.accepts_refresh_token(&token));
    let said = home.run(["token", "--force", "-c", label]).done();
    if good {
        let said = said.ok();
        assert!(portal.accepts_access_token(said.line()));
    } else {
        // 5 if the item was deleted and the process ended before it updated meta.json.
        assert!(matches!(said.code, 3 | 5), "{}{}", said.stdout, said.stderr);
        said.out("").err_has("age-oauth login");
    }
    good
}

/// Checks that no file except `allowed` holds a secret.
#[track_caller]
pub fn no_secret_at_rest(home: &Home, portal: &Portal, allowed: &[PathBuf]) {
    for path in home.files() {
        if !allowed.iter().any(|one| path.starts_with(one)) {
            let bytes = fs::read(&path).unwrap_or_default();
            portal.assert_no_secret(&path.display().to_string(), &bytes);
        }
    }
}
