//! The real nu: it completes commands, options and labels, and the documented line loads a token.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use age_oauth::cli::Shell;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add_labels, add_with, sign_in};

/// Runs nu, which `tests/run` installs, with nothing in its environment but the home's.
fn nu(home: &Home, arguments: &[&str]) -> Output {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = top.join("target/node/node_modules/@nushell/linux-x64/bin/nu");
    let folder = home.program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(&program)
        .arg("--no-config-file")
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .env("PATH", format!("{folder}:{path}"))
        .current_dir(home.path())
        .output()
        .unwrap_or_else(|why| panic!("{} (tests/run installs it): {why}", program.display()))
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What nu prints about what it offers at the end of this line.
fn offered(home: &Home, line: &str) -> String {
    let script = format!("use age-oauth.nu *\n{line}");
    fs::write(home.path().join("script.nu"), &script).unwrap();
    let place = script.len().to_string();
    stdout(&nu(home, &["--ide-complete", &place, "script.nu"]))
}

/// As `--ide-complete` prints it, which does not escape the quotes of a word.
fn exactly(word: &str) -> String {
    format!("{{\"completions\": [\"{word}\"]}}\n")
}

fn with_completions(labels: &[&str]) -> Home {
    let home = home();
    add_labels(&home, labels);
    // The documented line.
    let saved = nu(
        &home,
        &["-c", "age-oauth completions nu | save age-oauth.nu"],
    );
    assert!(saved.status.success(), "{saved:?}");
    home
}

#[test]
fn it_completes_commands_options_and_labels() {
    let home = with_completions(&["prod", "My Portal"]);
    for (line, word) in [
        ("age-oauth expo", "age-oauth export-env"),
        ("age-oauth token --min", "--min-ttl"),
        ("age-oauth token --color au", "auto"),
        ("age-oauth token -c pr", "prod"),
        ("age-oauth connections show pr", "prod"),
        ("age-oauth -c pr", "prod"),
        ("age-oauth token --connection=pr", "prod"),
        ("'x' | age-oauth token -c pr", "prod"),
        // A label of several words is one word, however its beginning is written.
        ("age-oauth token -c My", "'My Portal'"),
        ("age-oauth token -c my", "'My Portal'"),
        // Would run if it were evaluated.
        ("age-oauth token -c (touch ran) --min", "--min-ttl"),
        ("age-oauth token --min-ttl (touch ran) -c pr", "prod"),
    ] {
        assert_eq!(offered(&home, line), exactly(word), "{line}");
    }
    assert!(!home.path().join("ran").exists());
}

/// What is offered for a label stands for that label when the line runs.
#[test]
fn labels_are_offered_as_words_of_nu() {
    let labels = [
        ("it", "it's"),
        ("say", "say \"hi\""),
        ("x", "x(touch ran)"),
        ("da", "da$h"),
        ("12", "12"),
        ("tr", "true"),
        ("nu", "null"),
        ("ü", "ü"),
        ("back", "back\\slash"),
        ("tick", "tick`x`"),
    ];
    let home = with_completions(&labels.map(|(_, label)| label));
    let mut script = String::from("use age-oauth.nu *\n");
    for (typed, label) in labels {
        let answer = offered(&home, &format!("age-oauth connections show {typed}"));
        let word = answer.split_once("[\"").unwrap().1;
        let word = word.strip_suffix("\"]}\n").unwrap();
        assert_eq!(answer, exactly(word), "{label}");
        _ = writeln!(
            script,
            "print (age-oauth connections show --json {word} | from json).connection"
        );
    }
    // Nothing that is typed selects it, because of its quotes, so that it is offered with the rest.
    let home_of_both = with_completions(&["a'b\"c"]);
    let all = offered(&home_of_both, "age-oauth token -c ");
    assert_eq!(all, exactly("r#'a'b\"c'#"));
    let out = nu(&home, &["-c", &script]);
    let shown: Vec<_> = labels.iter().map(|(_, label)| *label).collect();
    assert_eq!(stdout(&out).lines().collect::<Vec<_>>(), shown, "{out:?}");
    assert!(!home.path().join("ran").exists());
}

#[test]
fn the_documented_line_loads_every_value_and_unsets_the_rest() {
    let label = "a'b\"c $(touch run1) (touch run2) `x` \\ ü 🗺 ;touch run3; |";
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_with(&home, &portal, label, &[]);
    sign_in(&home, &portal, label).ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let load = Shell::Nu.loading_line().unwrap();
    // What a child process inherits counts, not what nu itself holds.
    let script = format!("$env.ARCGIS_REFERER = 'stale'; {load}; ^env -0");
    let out = nu(&home, &["-c", &script]);
    let text = stdout(&out);
    let has = |line: &str| text.split('\0').any(|one| one == line);
    assert!(has(&format!("ARCGIS_TOKEN={token}")), "{out:?}");
    assert!(has(&format!("AGE_OAUTH_CONNECTION={label}")), "{out:?}");
    assert!(has("ARCGIS_USERNAME=your.username"), "{out:?}");
    assert!(!text.contains("ARCGIS_REFERER"), "{out:?}");
    for name in ["run1", "run2", "run3"] {
        assert!(!home.path().join(name).exists(), "{name}");
    }
}

/// A failure ends the script, so that nothing goes on with an old token.
#[test]
fn without_a_token_the_script_ends() {
    let home = home();
    let load = Shell::Nu.loading_line().unwrap();
    let failing = load.replace("export-env", "export-env -c nobody");
    let out = nu(&home, &["-c", &format!("{failing}; print 'went on'")]);
    assert!(!stdout(&out).contains("went on"), "{out:?}");
    assert!(!out.status.success(), "{out:?}");
}
