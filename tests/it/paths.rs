//! Unusual folders: with blanks and letters of every script, deep, read-only, on file systems
//! without locks.

use std::fs;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{app_secret, Portal, PortalVersion};
use crate::support::scenario::{add_with, sign_in};

/// Runs every command that reads or writes a file, once.
fn run_every_command(home: &Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let secret = home.path().join("client secret ü.txt");
    fs::write(&secret, format!("{}\r\n", app_secret())).unwrap();
    add_with(
        home,
        &portal,
        "Müller & Co",
        &["--client-secret-file", secret.to_str().unwrap()],
    );
    fs::remove_file(secret).unwrap();
    sign_in(home, &portal, "Müller & Co").ok();
    let token = home.run(["token", "--force"]).done().ok().line().to_owned();
    assert!(portal.accepts_access_token(&token));
    let shown = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert_eq!(shown["connection"], "Müller & Co");
    let ca = shown["verify_ssl"].as_str().unwrap();
    assert!(fs::read_to_string(ca)
        .unwrap()
        .contains("BEGIN CERTIFICATE"));
    let variables = home
        .run(["export-env", "--shell", "json"])
        .done()
        .ok()
        .json();
    assert_eq!(variables["ARCGIS_VERIFY_SSL"], ca);
    home.run(["connections", "edit", "--tag", "ü"]).done().ok();
    home.run(["connections", "rename", "Müller & Co", "Übung"])
        .done()
        .ok();
    home.run(["logout", "-c", "übung"]).done().ok();
    home.run(["connections", "remove", "Übung", "--yes"])
        .done()
        .ok();
    home.run(["connections", "list"]).done().ok().out("");
}

#[test]
fn paths_with_blanks_and_letters_of_any_script_work() {
    run_every_command(&Home::with_difficult_paths(home().program()));
}

/// Windows' older calls end at 260 characters.
#[test]
fn a_store_path_longer_than_260_characters_works() {
    let mut home = home();
    let mut deep = home.path().to_owned();
    while deep.as_os_str().len() < 300 {
        deep.push("a folder with a long name, as departments have them");
    }
    home.set("AGE_OAUTH_HOME", deep.to_str().unwrap());
    run_every_command(&home);
}

/// A network share without file locks, simulated by a preloaded library.
#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn a_store_without_file_locks_is_reported_and_nothing_is_lost() {
    use crate::support::scenario::add;
    use std::process::Command;
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let (source, library) = (home.path().join("f.c"), home.path().join("f.so"));
    fs::write(
        &source,
        "#include <errno.h>\nint flock(int f, int o) { errno = ENOLCK; return -1; }\n",
    )
    .unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(compiled.expect("cc").success());
    for arguments in [
        &["token", "--force"][..],
        &["connections", "edit", "--tag", "x"],
    ] {
        home.run(arguments)
            .env("LD_PRELOAD", &library)
            .done()
            .code(1)
            .err_has("hint: ")
            .err_has("AGE_OAUTH_HOME=");
    }
    // Commands that need no lock still work, and the sign-in is unchanged.
    home.run(["token"])
        .env("LD_PRELOAD", &library)
        .done()
        .ok()
        .out(&format!("{token}\n"));
    home.run(["token", "--force"]).done().ok();
}

/// A script that gets the token reads the file of certificates from wherever it runs.
#[test]
fn the_certificate_file_that_comes_with_a_token_has_an_absolute_path() {
    let (_portal, home) = crate::signed_in();
    let store = home.store();
    let relative = store.strip_prefix(home.path()).unwrap();
    let answer = home
        .run(["token", "--json"])
        .env("AGE_OAUTH_HOME", relative);
    let answer = answer.done().ok().json();
    let file = std::path::Path::new(answer["verify_ssl"].as_str().unwrap());
    assert!(file.is_absolute(), "{}", file.display());
    let pem = fs::read_to_string(file).unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE"));
}
