//! Environment variables and durations: what cannot be used is an error that names it, never
//! ignored.

use crate::support::scenario::ADD_UNCHECKED;
use crate::{home, signed_in};

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_never_ignored() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (_portal, home) = signed_in();
    let bad = OsStr::from_bytes(b"pr\xffod");
    for name in [
        "AGE_OAUTH_CONNECTION",
        "AGE_OAUTH_KEYCHAIN",
        "AGE_OAUTH_KEYCHAIN_TIMEOUT",
    ] {
        let refused = home.run(["token"]).env(name, bad).done().code(2);
        assert!(refused
            .stderr
            .contains(&format!("{name}: its value is not valid UTF-8")));
        assert_eq!(refused.stdout, "");
    }
    let key = home.run(["vault", "rekey"]).env("AGE_OAUTH_VAULT_KEY", bad);
    key.done().ok();
}

#[test]
fn a_path_that_only_a_shell_would_expand_is_refused() {
    let home = home();
    for value in ["~/x", "~", "$HOME/x", "${HOME}/x", "%APPDATA%/x"] {
        for name in ["AGE_OAUTH_HOME", "AGE_OAUTH_LOG"] {
            let refused = home.run(["status"]).env(name, value).done().code(2);
            assert!(
                refused.stderr.contains(&format!("{name}: it begins with")),
                "{refused:?}"
            );
        }
    }
    let made: Vec<_> = std::fs::read_dir(home.path()).unwrap().flatten().collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn a_client_secret_that_is_set_but_empty_is_an_error() {
    let home = home();
    home.run(ADD_UNCHECKED)
        .env("AGE_OAUTH_CLIENT_SECRET", "")
        .done()
        .code(2)
        .err_has("AGE_OAUTH_CLIENT_SECRET: it is set but empty");
    let words = [&ADD_UNCHECKED[..], &["--no-client-secret"]].concat();
    home.run(words)
        .env("AGE_OAUTH_CLIENT_SECRET", "")
        .done()
        .ok();
}

#[test]
fn an_unknown_connection_in_the_variable_names_the_variable() {
    let (_portal, home) = signed_in();
    home.run(["token"])
        .env("AGE_OAUTH_CONNECTION", "nope")
        .done()
        .code(4)
        .err_has("no connection `nope`, which AGE_OAUTH_CONNECTION names");
}

#[test]
fn a_lost_label_file_is_not_a_missing_connection() {
    let (_portal, home) = signed_in();
    for entry in std::fs::read_dir(home.store().join("labels"))
        .unwrap()
        .flatten()
    {
        std::fs::remove_file(entry.path()).unwrap();
    }
    home.run(["token", "-c", "prod"])
        .done()
        .code(4)
        .err_has("doctor --fix");
    home.run(["doctor", "--fix", "--yes", "--offline"])
        .done()
        .ok();
    home.run(["token", "-c", "prod"]).done().ok();
}

#[test]
fn every_duration_needs_a_unit_and_the_error_shows_how_to_write_it() {
    let (_portal, home) = signed_in();
    for words in [
        &["login", "--expiration", "20160"][..],
        &["token", "--min-ttl", "20160"],
        &["export-env", "--min-ttl", "20160"],
        &["exec", "--min-ttl", "20160", "--", "true"],
        &["refresh", "--wait", "20160"],
        &["refresh", "--older-than", "20160"],
        &["status", "--check", "--within", "20160"],
        &["whoami", "--timeout", "20160"],
    ] {
        let refused = home.run(words).done().code(2);
        assert!(
            refused.stderr.contains("20160m or 14d"),
            "{words:?}: {}",
            refused.stderr
        );
    }
    home.run(["token"])
        .env("AGE_OAUTH_KEYCHAIN_TIMEOUT", "60")
        .done()
        .code(2)
        .err_has("AGE_OAUTH_KEYCHAIN_TIMEOUT: it has no unit");
}
