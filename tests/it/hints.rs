//! Hints can be pasted into the shell that runs the program, whatever the connection is called.

use std::process::Command;

use crate::home;
use crate::support::home::Home;
use crate::support::scenario::{add_labels, folder_of};

/// What the shell's script says, and how it ends.
pub fn in_shell(home: &Home, shell: &str, script: &str) -> (String, Option<i32>) {
    let folder = home.program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let out = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .envs(home.environment())
        .env("PATH", format!("{folder}:{path}"))
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{shell}: {why}"));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    (text, out.status.code())
}

/// The command of the hint, with another command of the program that needs no terminal.
fn pasted(text: &str) -> String {
    let hint = text.split_once("hint: ").unwrap().1.lines().next().unwrap();
    assert!(hint.starts_with("age-oauth login"), "{hint}");
    hint.replacen("login", "token", 1)
}

#[test]
fn a_pasted_hint_names_the_connection_and_runs_nothing_else() {
    for label in [
        "\\'; touch pwned; #",
        "'\"; touch pwned; #",
        "$(touch pwned)`touch pwned`\"",
        "-dash",
        "My Portal (2)",
        "it's",
        "=ls",
        "a\u{2019}b\u{201d};touch pwned",
    ] {
        for shell in ["bash", "dash", "zsh", "fish"] {
            let home = home();
            add_labels(&home, &[label]);
            // Not the last command, which some shells start in their own place.
            let (text, _) = in_shell(&home, shell, "age-oauth token; true");
            let (again, code) = in_shell(&home, shell, &pasted(&text));
            assert_eq!(code, Some(3), "{shell} {label}: {text}{again}");
            assert!(!home.path().join("pwned").exists(), "{shell} {label}");
        }
    }
}

#[test]
fn a_connection_that_cannot_be_read_has_a_hint_that_helps() {
    let home = home();
    add_labels(&home, &["prod"]);
    let meta = folder_of(&home, "prod").join("meta.json");
    let good = std::fs::read_to_string(&meta).unwrap();
    let newer = good.replace("\"schema_version\": 3", "\"schema_version\": 99");
    let portal = good.replace("https://h/p", "ftp://h/p");
    assert!(newer != good && portal != good);
    for (text, hint) in [
        ("{", "age-oauth connections add"),
        ("[]", "age-oauth connections add"),
        (&portal, "age-oauth connections add"),
        (&newer, "install the version of age-oauth that wrote it"),
    ] {
        std::fs::write(&meta, text).unwrap();
        for command in [
            &["token"][..],
            &["connections", "show"],
            &["doctor", "--offline"],
        ] {
            let said = home.run(command).done().code(1);
            let all = format!("{}{}", said.stdout, said.stderr);
            assert!(all.contains(hint), "{command:?} {text}: {all}");
        }
    }
}

#[test]
fn a_portal_url_and_a_label_that_cannot_be_used_have_hints() {
    let home = home();
    let long = "x".repeat(65);
    for (label, portal, hint) in [
        (
            "x",
            "ftp://gis.example.com",
            "copy the address of any page of the portal",
        ),
        (
            "x",
            "https://",
            "copy the address of any page of the portal",
        ),
        (&long, "https://h/p", "choose a short name"),
        ("a\u{1b}b", "https://h/p", "choose a short name"),
    ] {
        let mut words = vec!["connections", "add", "--no-check", "--client-id", "c"];
        words.extend(["--label", label, "--portal", portal]);
        home.run(words).done().code(2).err_has(hint);
    }
}
