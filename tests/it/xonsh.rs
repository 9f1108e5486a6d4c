//! `export-env` in the real xonsh: every value arrives exactly, nothing is run, and a failure is
//! one that the script sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use age_oauth::cli::{Shell, Variable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add_with, sign_in};

/// `tests/run` installs it.
fn interpreter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-xonsh/bin/xonsh")
}

/// Runs a script in xonsh with nothing in its environment but the home's.
fn xonsh(home: &Home, script: &str) -> Output {
    let file = home.path().join("script.xsh");
    fs::write(&file, script).unwrap();
    let folder = home.program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(interpreter())
        .arg("--no-rc")
        .arg(&file)
        .env_clear()
        .envs(home.environment())
        .env("PATH", format!("{folder}:{path}"))
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{} (tests/run installs it): {why}", interpreter().display()))
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn loading() -> &'static str {
    Shell::Xonsh.loading_line().unwrap()
}

fn signed_in(label: &str, flags: &[&str]) -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, label, flags);
    sign_in(&home, &portal, label).ok();
    (portal, home)
}

#[test]
fn it_gets_every_value_and_runs_nothing() {
    let label = "a'b\"c $(touch run1) `touch run2` \\ ü 🗺 !x %PATH% ;touch run3; &";
    let referer = "https://x.example/{HOME}'; touch run4 #$(touch run5)\\";
    let (_portal, home) = signed_in(label, &["--referer", referer]);
    let token = home.run(["token"]).done().ok().line().to_owned();
    let script = format!(
        "{}\nfor name in ['ARCGIS_TOKEN', 'AGE_OAUTH_CONNECTION', 'ARCGIS_REFERER', 'ARCGIS_USERNAME']:\n    print(${{name}})\n",
        loading()
    );
    let out = xonsh(&home, &script);
    let text = stdout(&out);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, [&*token, label, referer, "your.username"], "{out:?}");
    for name in ["run1", "run2", "run3", "run4", "run5"] {
        assert!(!home.path().join(name).exists(), "{name}");
    }
}

#[test]
fn what_does_not_apply_is_unset_and_a_failure_forgets_the_old_token() {
    let (_portal, home) = signed_in("prod", &[]);
    let stale = "$ARCGIS_REFERER = $ARCGIS_TOKEN = 'stale'\n";
    let referer = "print(${...}.get('ARCGIS_REFERER', 'gone'))\n";
    let token = "print(${...}.get('ARCGIS_TOKEN', 'gone'))\n";

    let out = xonsh(&home, &format!("{stale}{}\n{referer}", loading()));
    assert_eq!(stdout(&out), "gone\n", "{out:?}");

    let failing = loading().replace("export-env", "export-env -c nobody");
    let caught = format!(
        "{stale}try:\n    {failing}\nexcept RuntimeError as why:\n    print('failed')\n{token}"
    );
    let out = xonsh(&home, &caught);
    assert_eq!(stdout(&out), "failed\ngone\n", "{out:?}");
    let shown = String::from_utf8_lossy(&out.stderr);
    assert!(
        shown.contains("error: ") && shown.contains("nobody"),
        "{shown}"
    );

    let out = xonsh(&home, &format!("{stale}{failing}\nprint('continued')\n"));
    assert_eq!(
        (out.status.code(), &*stdout(&out)),
        (Some(1), ""),
        "{out:?}"
    );

    let unset = loading().replace("export-env", "export-env --unset");
    // Unsetting twice is not an error.
    let out = xonsh(&home, &format!("{stale}{unset}\n{unset}\n{token}"));
    assert_eq!(stdout(&out), "gone\n", "{out:?}");
}

#[test]
fn it_is_recognized_as_the_shell_that_runs_it() {
    let (_portal, home) = signed_in("prod", &[]);
    let out = xonsh(&home, "age-oauth export-env\n");
    assert!(
        stdout(&out).starts_with("$ARCGIS_PORTAL_URL = '"),
        "{out:?}"
    );
    let line = xonsh(&home, "age-oauth\n");
    assert!(stdout(&line).contains(loading()), "{line:?}");
}

/// What the page on shells says about tracing.
#[test]
fn tracing_prints_nothing_of_the_token() {
    let (_portal, home) = signed_in("prod", &[]);
    let token = home.run(["token"]).done().ok().line().to_owned();
    let traced = |line: &str| {
        let out = xonsh(&home, &format!("$XONSH_SUBPROC_TRACE = True\n{line}\n"));
        assert!(out.status.success(), "{out:?}");
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("'age-oauth'"), "nothing is traced: {text}");
        text.contains(&token)
    };
    for line in [
        loading(),
        "$TOKEN = $(age-oauth token)",
        "age-oauth exec -- true",
    ] {
        assert!(!traced(line), "{line}");
    }
    // An argument is printed, so that the test would notice. That of a program would be in the list
    // of processes for a moment, where all tests look for secrets.
    let alias = "aliases['show'] = lambda arguments: None";
    assert!(traced(&format!("{alias}\nshow @($(age-oauth token))")));
}

/// Texts that xonsh may find difficult, NUL apart.
fn difficult() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9 ]{1,4}",
        "[\\\\'\"`$!#&|;<>(){}\\[\\]*?~^%=@\\-]{1,3}",
        "[\\n\\t\\r]",
        "\\PC{1,3}",
        Just("$(exit 9)".to_owned()),
        Just("${'HOME'}\\N{BULLET}".to_owned()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn two_thousand_difficult_texts_arrive() {
    const BATCH: usize = 500;
    let home = home();
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::collection::vec(difficult(), BATCH);
    for _ in 0..4 {
        let texts = strategy.new_tree(&mut runner).unwrap().current();
        let variables: Vec<_> = (0..)
            .zip(&texts)
            .map(|(number, text): (usize, _)| Variable {
                name: format!("V{number}"),
                value: Some(text.clone()),
            })
            .collect();
        let statements = home.path().join("statements");
        fs::write(&statements, Shell::Xonsh.render(&variables).unwrap()).unwrap();
        // What a child process inherits counts, not what xonsh itself holds.
        let script = format!("execx($(cat '{}'))\nenv -0\n", statements.display());
        let out = xonsh(&home, &script);
        let arrived: std::collections::BTreeMap<_, _> = out
            .stdout
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
            .collect();
        for variable in &variables {
            let (name, value) = (variable.name.as_str(), variable.value.as_deref());
            assert_eq!(arrived.get(name).copied(), value, "{name}: {out:?}");
        }
    }
}
