//! Hints can be pasted into the shell that runs the program, whatever the connection is called.

use std::process::Command;

use crate::home;
use crate::support::home::Home;
use crate::support::scenario::add_labels;

fn in_shell(home: &Home, shell: &str, script: &str) -> (String, Option<i32>) {
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
