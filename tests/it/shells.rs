//! `export-env` in real shells: every value arrives unchanged, no value is executed, and the shell
//! sees a failure.

use std::fs;
use std::process::Command;

use age_oauth::cli::{Shell, Variable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add_with, sign_in};

/// The program, its form, and how a variable is printed with a NUL behind it.
const SHELLS: [(&str, Shell); 4] = [
    ("bash", Shell::Bash),
    ("dash", Shell::Sh),
    ("zsh", Shell::Zsh),
    ("fish", Shell::Fish),
];

/// Runs a script in a shell with only the environment of the home.
fn shell(home: &Home, program: &str, script: &str) -> std::process::Output {
    let mut path = std::env::var("PATH").unwrap_or_default();
    let folder = home.program().parent().unwrap().display().to_string();
    path = format!("{folder}:{path}");
    Command::new(program)
        .args(["-c", script])
        .env_clear()
        .envs(home.environment())
        .env("PATH", path)
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{program} (tests/run installs it): {why}"))
}

fn loading(program: &str) -> &'static str {
    match program {
        "fish" => "age-oauth export-env | source",
        _ => "eval \"$(age-oauth export-env)\"",
    }
}

fn signed_in(label: &str, referer: &str) -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, label, &["--referer", referer]);
    sign_in(&home, &portal, label).ok();
    (portal, home)
}

#[test]
fn every_shell_gets_every_value_and_runs_nothing() {
    let label = "a'b\"c $(touch run1) `touch run2` \\ ü 🗺 !x %PATH% ;touch run3; &";
    let referer = "https://x.example/'; touch run4 #$(touch run5)\\";
    let (_portal, home) = signed_in(label, referer);
    let token = home.run(["token"]).done().ok().line().to_owned();
    for (program, _) in SHELLS {
        let script = format!(
            "{}\nprintf '%s\\n' \"$ARCGIS_TOKEN\" \"$AGE_OAUTH_CONNECTION\" \"$ARCGIS_REFERER\" \"$ARCGIS_USERNAME\"",
            loading(program)
        );
        let out = shell(&home, program, &script);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [&*token, label, referer, "your.username"],
            "{program}: {out:?}"
        );
    }
    for name in ["run1", "run2", "run3", "run4", "run5"] {
        assert!(!home.path().join(name).exists(), "{name}");
    }
}

#[test]
fn variables_that_do_not_apply_are_unset_and_a_failure_unsets_the_old_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, "prod", &[]);
    sign_in(&home, &portal, "prod").ok();
    for (program, _) in SHELLS {
        let stale = match program {
            "fish" => "set -gx ARCGIS_REFERER stale; set -gx ARCGIS_TOKEN stale",
            _ => "export ARCGIS_REFERER=stale ARCGIS_TOKEN=stale",
        };
        let load = loading(program);
        let script = format!("{stale}\n{load}\nprintf '<%s>' \"$ARCGIS_REFERER\"");
        let out = shell(&home, program, &script);
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "<>",
            "{program}: {out:?}"
        );

        let failing = load.replace("export-env", "export-env -c nobody");
        let script = match program {
            "fish" => {
                format!("{stale}\n{failing}; or echo failed\nprintf '<%s>' \"$ARCGIS_TOKEN\"")
            }
            _ => format!("{stale}\n{failing} || echo failed\nprintf '<%s>' \"$ARCGIS_TOKEN\""),
        };
        let out = shell(&home, program, &script);
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "failed\n<>",
            "{program}: {out:?}"
        );

        let unset = load.replace("export-env", "export-env --unset");
        let script = format!("{stale}\n{unset}\nprintf '<%s>' \"$ARCGIS_TOKEN\"");
        let out = shell(&home, program, &script);
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "<>",
            "{program}: {out:?}"
        );
    }
}

/// What the page on shells says about tracing.
#[test]
fn tracing_prints_the_token_with_the_lines_that_the_page_names_and_not_with_exec() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, "prod", &[]);
    sign_in(&home, &portal, "prod").ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    for (program, _) in SHELLS {
        let (on, off, assignment) = match program {
            "fish" => (
                "set fish_trace 1",
                "set -e fish_trace",
                "set TOKEN (age-oauth token)",
            ),
            _ => ("set -x", "set +x", "TOKEN=$(age-oauth token)"),
        };
        let traced = |script: &str| {
            let out = shell(&home, program, script);
            assert!(out.status.success(), "{program}: {out:?}");
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(text.contains("age-oauth"), "{program}: nothing is traced");
            text.contains(&token)
        };
        let load = loading(program);
        for line in [load, assignment] {
            assert!(traced(&format!("{on}\n{line}")), "{program}: {line}");
        }
        for line in [
            "age-oauth exec -- printenv ARCGIS_USERNAME",
            "age-oauth token --header | cat >/dev/null",
        ] {
            assert!(!traced(&format!("{on}\n{line}")), "{program}: {line}");
        }
        let around = format!("{on}\nage-oauth whoami\n{off}\n{load}\n{on}\ntrue");
        assert!(!traced(&around), "{program}: {around}");
    }
}

#[test]
fn the_parent_shell_is_recognised() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, "prod", &[]);
    sign_in(&home, &portal, "prod").ok();
    for (program, form) in SHELLS {
        // A second command keeps the shell from replacing itself by the program.
        let out = shell(&home, program, "age-oauth export-env; true");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let first = if form == Shell::Fish {
            "set -gx "
        } else {
            "export "
        };
        assert!(text.starts_with(first), "{program}: {text}");
    }
    let by_variable = home.run(["export-env"]).env("SHELL", "/usr/bin/fish");
    // The shell that runs this test comes first; without one the variable decides.
    assert!(!by_variable.done().ok().stdout.is_empty());
}

#[test]
fn other_formats_have_the_same_values() {
    let (_portal, mut home) = signed_in("prod", "it's");
    let token = home.run(["token"]).done().ok().line().to_owned();
    let json = home
        .run(["export-env", "--shell", "json"])
        .done()
        .ok()
        .json();
    assert_eq!(json["ARCGIS_TOKEN"], token.as_str());
    assert_eq!(json["ARCGIS_REFERER"], "it's");
    assert_eq!(json["AGE_OAUTH_CONNECTION"], "prod");

    let prefixed = home
        .run(["export-env", "--shell", "json", "--prefix", "MY_"])
        .done()
        .ok()
        .json();
    assert_eq!(prefixed["MY_TOKEN"], token.as_str());
    assert!(prefixed.get("AGE_OAUTH_CONNECTION").is_none());
    home.run(["export-env", "--prefix", "1$(x)"]).done().code(2);
    // Wrong usage fails when evaluated, too, so that no script continues with an old token.
    for wrong in [
        ["--shell", "bash", "--prefix", "1$(x)"],
        ["--shell", "bash", "--min-ttl", "x"],
    ] {
        let mut arguments = vec!["export-env"];
        arguments.extend(wrong);
        let refused = home.run(arguments).done().code(2);
        assert_eq!(
            refused.stdout.lines().last(),
            Some("false"),
            "{}",
            refused.stdout
        );
    }

    let powershell = home
        .run(["export-env", "--shell", "powershell"])
        .done()
        .ok()
        .stdout;
    assert!(powershell.is_ascii());
    assert!(powershell.contains("$env:ARCGIS_REFERER = 'it''s';"));
    let cmd = home
        .run(["export-env", "--shell", "cmd"])
        .done()
        .ok()
        .stdout;
    assert!(cmd.contains(&format!("set \"ARCGIS_TOKEN={token}\"\n")));
    assert!(cmd.contains("set \"AGE_OAUTH_CONNECTION=prod_"), "{cmd}");
    let dotenv = home
        .run(["export-env", "--shell", "dotenv"])
        .done()
        .ok()
        .stdout;
    assert!(dotenv.contains(&format!("ARCGIS_TOKEN={token}\n")));
    assert!(dotenv.contains("ARCGIS_REFERER=\"it's\"\n"));

    home.run(["export-env", "--shell", "github"])
        .done()
        .code(2)
        .out("");
    let file = home.path().join("github_env");
    home.allow_secrets_in(&file);
    fs::write(&file, "BEFORE=1\n").unwrap();
    home.set("GITHUB_ENV", file.to_str().unwrap());
    let masked = home.run(["export-env", "--shell", "github"]).done().ok();
    assert_eq!(masked.stdout, format!("::add-mask::{token}\n"));
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("BEFORE=1\n"));
    assert!(written.contains(&format!(
        "ARCGIS_TOKEN<<age_oauth_end\n{token}\nage_oauth_end\n"
    )));

    let fifo = home.path().join("fifo");
    assert!(Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap()
        .success());
    home.set("GITHUB_ENV", fifo.to_str().unwrap());
    home.run(["export-env", "--shell", "github"])
        .done()
        .code(1)
        .err_has("regular file");

    let error = home
        .run(["export-env", "--shell", "json", "-c", "nobody"])
        .done()
        .code(4);
    assert_eq!(error.stdout, "");
    add_to_what_cmd_cannot_carry(&home);
}

fn add_to_what_cmd_cannot_carry(home: &Home) {
    home.run([
        "connections",
        "edit",
        "prod",
        "--referer",
        "100%",
        "--no-check",
    ])
    .done()
    .ok();
    let refused = home.run(["export-env", "--shell", "cmd"]).done().code(1);
    assert!(
        refused.stderr.contains("ARCGIS_REFERER"),
        "{}",
        refused.stderr
    );
    assert!(
        !refused.stdout.contains("ARCGIS_TOKEN=p"),
        "{}",
        refused.stdout
    );
    assert!(refused.stdout.ends_with("cmd /c exit 1\n"));
}

/// Texts that are difficult for shells, without NUL.
fn difficult_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9 ]{1,4}",
        "[\\\\'\"`$!#&|;<>(){}\\[\\]*?~^%=\\-]{1,3}",
        "[\\n\\t\\r]",
        "\\PC{1,3}",
        Just("$(exit 9)".to_owned()),
        Just("'\\''".to_owned()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn ten_thousand_difficult_texts_arrive_in_each_shell() {
    const BATCH: usize = 500;
    let home = home();
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::collection::vec(difficult_text(), BATCH);
    for (program, form) in SHELLS {
        for _ in 0..20 {
            let texts = strategy.new_tree(&mut runner).unwrap().current();
            let variables: Vec<_> = (0..)
                .zip(&texts)
                .map(|(number, text): (usize, _)| Variable {
                    name: format!("V{number}"),
                    value: Some(text.clone()),
                })
                .collect();
            let names: Vec<_> = variables
                .iter()
                .map(|v| format!("\"${}\"", v.name))
                .collect();
            let script = format!(
                "{}printf '%s\\0' {}\n",
                form.render(&variables).unwrap(),
                names.join(" ")
            );
            let file = home.path().join("script");
            fs::write(&file, script).unwrap();
            let out = shell(&home, program, &format!(". '{}'", file.display()));
            let mut read: Vec<_> = out.stdout.split(|byte| *byte == 0).collect();
            read.pop();
            assert_eq!(
                read.len(),
                BATCH,
                "{program}: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            for (text, arrived) in texts.iter().zip(read) {
                assert_eq!(text.as_bytes(), arrived, "{program}");
            }
        }
    }
}
