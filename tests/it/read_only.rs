//! Commands that only look: they create nothing where there is nothing, and change nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::home::Home;
use crate::support::scenario::add_arguments;
use crate::{home, signed_in};

/// Commands that read what is stored here, and neither ask a portal nor write to a keychain.
const READING: &[&[&str]] = &[
    &[],
    &["status"],
    &["status", "--check", "--within", "3d"],
    &["status", "--keychain"],
    &["connections", "list"],
    &["connections", "list", "--json"],
    &["connections", "show", "prod"],
    &["connections", "info"],
    &["connections", "share", "prod"],
    &["connections", "import", "--dry-run"],
    &["token"],
    &["export-env", "--shell", "bash"],
    &["completions", "bash"],
    &["man"],
];

/// The others, without those that create a connection.
const OTHERS: &[&[&str]] = &[
    &["connections", "use", "prod"],
    &["connections", "edit", "prod", "--proxy", "none"],
    &["connections", "rename", "prod", "test"],
    &["connections", "remove", "prod", "--yes"],
    &["doctor"],
    &["doctor", "--offline"],
    &["doctor", "--offline", "--as-task"],
    &["doctor", "--offline", "--fix", "--yes"],
    &["login", "--no-browser"],
    &["logout"],
    &["whoami"],
    &["exec", "--", "true"],
    &["api", "community/self"],
    &["refresh"],
    &["refresh", "--all"],
    &["vault", "rekey"],
];

fn contents(home: &Home) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let files = home.files().into_iter();
    files
        .map(|path| {
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), (fs::read(&path).unwrap(), written))
        })
        .collect()
}

#[test]
fn in_an_empty_home_no_command_but_add_creates_anything() {
    for command in READING.iter().chain(OTHERS) {
        let home = home();
        home.run(*command).done();
        let left: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "{command:?} created {left:?}");
    }
}

#[test]
fn an_add_that_fails_creates_neither_a_vault_nor_its_key() {
    let home = home();
    let words = add_arguments("prod", "https://127.0.0.1:9/portal", "abc", "true");
    home.run(words).done().code(6);
    assert_eq!(home.files(), Vec::<PathBuf>::new());
}

#[test]
fn commands_that_only_look_change_no_file() {
    let (_portal, home) = signed_in();
    let before = contents(&home);
    for command in READING {
        home.run(*command).done();
        let after = contents(&home);
        let changed: Vec<_> = after
            .iter()
            .filter(|(path, content)| before.get(*path) != Some(content))
            .map(|(path, _)| path)
            .collect();
        assert!(
            changed.is_empty() && after.len() == before.len(),
            "{command:?} changed {changed:?}"
        );
    }
}
