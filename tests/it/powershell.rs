//! `export-env` in a real PowerShell: every value arrives, nothing runs, no old value stays, and
//! the token reaches neither of PowerShell's logs.

mod pages;
mod terminal;

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::secret_managers::Lines;
use crate::signed_in;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::pwsh;
use crate::support::scenario::{add_labels, add_with, change_tokens, sign_in, stored};
use crate::support::secret_scan;

const LOAD: &str = "age-oauth export-env | Out-String | Invoke-Expression";

/// How people evaluate what a program prints.
const WAYS: [&str; 4] = [
    "age-oauth export-env ARGS | Out-String | Invoke-Expression",
    "age-oauth export-env ARGS | Invoke-Expression",
    "Invoke-Expression \"$(age-oauth export-env ARGS)\"",
    "Invoke-Expression (age-oauth export-env ARGS)",
];

/// Old values, which must be gone or replaced afterwards.
/// `Set-Item` would do nothing under `$WhatIfPreference`.
const STALE: &str = "foreach ($name in 'PORTAL_URL', 'HOST', 'TOKEN', 'TOKEN_EXPIRES_AT', \
    'TOKEN_EXPIRES_EPOCH', 'USERNAME', 'REFERER', 'VERIFY_SSL') \
    { [Environment]::SetEnvironmentVariable(\"ARCGIS_$name\", 'stale') }; \
    $env:AGE_OAUTH_CONNECTION = 'stale'; ";

/// Prints the names of all variables that are left of these.
const LEFT: &str = "'left:' + (@(Get-ChildItem env: | Where-Object { $_.Name -like 'ARCGIS_*' -or \
    $_.Name -eq 'AGE_OAUTH_CONNECTION' } | ForEach-Object Name) -join ' ');";

fn with_referer(label: &str, referer: &str) -> (Portal, Home) {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), crate::home());
    add_with(&home, &portal, label, &["--referer", referer]);
    sign_in(&home, &portal, label).ok();
    (portal, home)
}

/// The statements for the only connection.
fn printed(home: &Home) -> String {
    let run = home.run(["export-env", "--shell", "powershell"]);
    run.done().ok().stdout
}

#[test]
fn every_way_to_evaluate_gets_every_value_and_runs_nothing() {
    let label = "a'b\"c $(New-Item run1) `n ü 🗺 ‘’ ; New-Item run2; & %PATH% #";
    let (_portal, home) = with_referer(label, "https://x.example/'; New-Item run3 #");
    let token = home.run(["token"]).done().ok().line().to_owned();
    // It selects the connection by its ID, so that its label shows that the variable was set.
    let select = format!("$env:AGE_OAUTH_CONNECTION = '{}'", stored(&home, label).id);
    // Strict mode finds variables that do not exist.
    for setting in [
        "",
        "Set-StrictMode -Version Latest;",
        "$WhatIfPreference = $true;",
    ] {
        let script = WAYS
            .iter()
            .map(|way| {
                let way = way.replace("ARGS", "");
                format!("{STALE} {select}; {way}; $Matches; $env:ARCGIS_TOKEN; $env:ARCGIS_REFERER; $env:ARCGIS_USERNAME; $env:AGE_OAUTH_CONNECTION; [string]$LASTEXITCODE; $env:ARCGIS_TOKEN = $null\n")
            })
            .collect::<Vec<_>>().concat();
        let script = format!("$Matches = 'kept'; {setting}\n{script}");
        let printed = pwsh::lines(&home, &script);
        let wanted = [
            "kept",
            &token,
            "https://x.example/'; New-Item run3 #",
            "your.username",
            label,
            "0",
        ];
        let whatif = |line: &&String| !line.starts_with("What if:");
        let printed: Vec<_> = printed.iter().filter(whatif).collect();
        assert_eq!(
            printed,
            wanted.repeat(WAYS.len()).iter().collect::<Vec<_>>(),
            "{setting}"
        );
    }
    for name in ["run1", "run2", "run3"] {
        assert!(!home.path().join(name).exists(), "{name}");
    }
}

#[test]
fn without_a_token_every_way_fails_and_leaves_no_old_value() {
    let (_portal, home) = signed_in();
    for setting in [
        "$ErrorActionPreference = 'Continue';",
        "$ErrorActionPreference = 'Stop';",
        "$WhatIfPreference = $true; Set-StrictMode -Version Latest;",
        "$PSNativeCommandUseErrorActionPreference = $true; $ErrorActionPreference = 'Stop';",
    ] {
        for arguments in ["-c nobody", "--min-ttl x", "--prefix 1x"] {
            let script = WAYS
                .iter()
                .map(|way| {
                    let way = way.replace("ARGS", arguments);
                    format!("{STALE} try {{ {way}; 'went on' }} catch {{ 'failed' }}; {LEFT}\n")
                })
                .collect::<Vec<_>>()
                .concat();
            let out = pwsh::run(&home, &format!("{setting}\n{script}"));
            let printed = pwsh::text(&out);
            let failures = printed.lines().filter(|line| *line == "failed").count();
            assert_eq!(failures, WAYS.len(), "{setting} {arguments}: {out:?}");
            assert!(!printed.contains("went on"), "{setting}: {printed}");
            // With a prefix that cannot be one, and where PowerShell itself ends at the program's
            // exit code, nothing is evaluated.
            if arguments == "-c nobody" && !setting.contains("Native") {
                let clean = printed.lines().filter(|line| *line == "left:").count();
                assert_eq!(clean, WAYS.len(), "{setting}: {printed}");
            }
        }
    }
}

#[test]
fn unset_leaves_nothing_and_may_be_repeated() {
    let (_portal, home) = signed_in();
    let script = WAYS
        .iter()
        .map(|way| {
            let way = way.replace("ARGS", "--unset");
            format!("{STALE} {way}; {way}; {LEFT}\n")
        })
        .collect::<Vec<_>>()
        .concat();
    for setting in [
        "Set-StrictMode -Version Latest;",
        "$WhatIfPreference = $true;",
    ] {
        let printed = pwsh::lines(&home, &format!("{setting} {script}"));
        let left: Vec<_> = printed
            .iter()
            .filter(|line| line.starts_with("left:"))
            .collect();
        assert_eq!(left, vec!["left:"; WAYS.len()], "{setting}");
    }
}

/// The program disappears, fails, or prints too little, between the text and its evaluation.
#[test]
fn rule_31_a_call_that_fails_later_leaves_no_old_value() {
    let (_portal, home) = signed_in();
    let text = printed(&home);
    let program = home.program().display().to_string();
    assert!(text.contains(&format!("& '{program}' 'token'")), "{text}");
    let file = |name: &str, content: &str| executable(&home, name, content);
    let cases = [
        ("absent", home.path().join("absent").display().to_string()),
        ("nothing", file("nothing", "#!/bin/sh\n")),
        ("one line", file("one", "#!/bin/sh\necho half; exit 1\n")),
        ("two lines", file("two", "#!/bin/sh\necho half; echo end\n")),
        (
            "words",
            file("words", "#!/bin/sh\necho a; echo b; echo not a number\n"),
        ),
        (
            "more",
            file("more", "#!/bin/sh\necho a; echo b; echo 12; echo 13\n"),
        ),
        ("not a program", home.path().display().to_string()),
    ];
    for setting in [
        "",
        "$ErrorActionPreference = 'Stop';",
        "$ErrorActionPreference = 'SilentlyContinue';",
    ] {
        let mut script = format!("{setting} $global:LASTEXITCODE = 0\n");
        for (name, path) in &cases {
            let statements = home.path().join(format!("text-{}", name.replace(' ', "-")));
            fs::write(
                &statements,
                text.replace(&format!("'{program}'"), &format!("'{path}'")),
            )
            .unwrap();
            _ = writeln!(
                script,
                "{STALE} try {{ Get-Content -Raw '{}' | Invoke-Expression }} catch {{ }}; {LEFT}",
                statements.display()
            );
        }
        let out = pwsh::run(&home, &script);
        let printed = pwsh::text(&out);
        let left: Vec<_> = printed
            .lines()
            .filter(|line| line.starts_with("left:"))
            .collect();
        assert_eq!(left, vec!["left:"; cases.len()], "{setting}: {out:?}");
    }
}

/// The text says who the token is for, so it must not load the token of another.
#[test]
fn rule_31_statements_for_one_user_do_not_load_the_token_of_another() {
    let (_portal, home) = signed_in();
    let text = printed(&home);
    change_tokens(&home, "prod", |tokens| {
        tokens.username = Some("other.user".into());
    });
    fs::write(home.path().join("text"), text).unwrap();
    let script = format!(
        "{STALE} try {{ Get-Content -Raw text | Invoke-Expression }} catch {{ 'failed' }}; {LEFT}"
    );
    let out = pwsh::run(&home, &script);
    assert_eq!(pwsh::text(&out), "failed\nleft:\n", "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("the user of `prod` changed"), "{said}");
}

/// What Windows or WSL printed would start a path that any user of this machine may have created.
#[test]
fn rule_31_text_of_another_system_runs_nothing() {
    let (_portal, mut home) = signed_in();
    let text = printed(&home);
    let text = text.replace("-eq 'Unix'", "-ne 'Unix'");
    fs::write(home.path().join("text"), text).unwrap();
    // The program writes a line when it runs.
    let log = home.path().join("log");
    home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
    let evaluate = "Get-Content -Raw text | Invoke-Expression";
    for setting in ["Stop", "SilentlyContinue"] {
        let script = format!("$ErrorActionPreference = '{setting}'; {STALE} try {{ {evaluate} }} catch {{ \"$_\" }}; {LEFT}");
        let printed = pwsh::text(&pwsh::run(&home, &script));
        assert!(printed.ends_with("left:\n"), "{printed}");
        assert!(printed.contains("these statements are for"), "{printed}");
        assert!(!log.exists(), "{setting}: the program was started");
    }
    // Without `try`, a script goes on after `throw` in this setting.
    let script = format!("$ErrorActionPreference = 'SilentlyContinue'; {STALE} {evaluate}; {LEFT}");
    let printed = pwsh::text(&pwsh::run(&home, &script));
    assert_eq!(printed, "left:\n");
    assert!(!log.exists(), "the program was started");
}

#[test]
fn hostile_user_names_arrive_and_run_nothing() {
    let (_portal, home) = signed_in();
    let mut names: Vec<String> = [
        "'",
        "''",
        "\"",
        "`",
        "$",
        "$(New-Item ran)",
        "';New-Item ran;'",
        "\u{2018}",
        "\u{2019};New-Item ran;\u{2019}",
        "\u{201a}",
        "\u{201b}",
        "\u{201c}x\u{201d}",
        "\n",
        "\r\n",
        "\t",
        "a\nNew-Item ran",
        "#",
        "<#",
        "#>",
        "@'\n",
        "'@",
        "@\"",
        "&",
        "|",
        ";",
        "{",
        "}",
        "(",
        ")",
        "%",
        "!",
        "--%",
        " lead",
        "trail ",
        "ü",
        "数据",
        "🗺",
        "\\",
        "\\'",
        "\u{feff}x",
        "\u{202e}x",
        "\u{85}",
        "\u{2028}",
        "-join",
        "[char[]](39)",
        "*",
        "?",
        "[a]",
    ]
    .map(str::to_owned)
    .to_vec();
    names.sort();
    names.dedup();
    let mut texts = Vec::new();
    for name in &names {
        change_tokens(&home, "prod", |tokens| tokens.username = Some(name.clone()));
        let text = printed(&home);
        assert!(
            text.is_ascii() && text.ends_with(";\n") && text.matches('\n').count() == 1,
            "{text}"
        );
        texts.push(text);
    }
    let arrived: Vec<_> = evaluated(&home, &texts)
        .into_iter()
        .map(|[user, ..]| user)
        .collect();
    assert_eq!(arrived, names);
    assert!(!home.path().join("ran").exists());
}

/// An executable file, by its path.
fn executable(home: &Home, name: &str, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = home.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

/// The variables whose values people choose, after each of these texts in one PowerShell. Another
/// program takes the place of ours, so that one connection is enough.
fn evaluated(home: &Home, texts: &[String]) -> Vec<[String; 3]> {
    let program = home.program().display().to_string();
    let other = executable(home, "other", "#!/bin/sh\necho a; echo b; echo 12\n");
    let mut script = String::new();
    for (number, text) in texts.iter().enumerate() {
        let text = text.replace(&format!("& '{program}'"), &format!("& '{other}'"));
        fs::write(home.path().join(format!("text{number}")), text).unwrap();
        _ = writeln!(
            script,
            "Get-Content -Raw text{number} | Invoke-Expression\n\
             foreach ($value in $env:ARCGIS_USERNAME, $env:ARCGIS_REFERER, $env:AGE_OAUTH_CONNECTION) \
             {{ '<' + [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes(\"$value\")) }}"
        );
    }
    fs::write(home.path().join("all.ps1"), script).unwrap();
    let values: Vec<_> = pwsh::lines(home, ". ./all.ps1")
        .iter()
        .map(|line| decoded(line.strip_prefix('<').unwrap()))
        .collect();
    assert_eq!(values.len(), texts.len() * 3);
    let chunk = |three: &[String]| [three[0].clone(), three[1].clone(), three[2].clone()];
    values.chunks(3).map(chunk).collect()
}

fn decoded(text: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    let units: Vec<_> = bytes
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

/// Text that is difficult for PowerShell, with these pieces in addition.
fn difficult(more: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "['\"`\u{2018}-\u{201f}]{1,3}",
        "[\\\\$#&|;<>(){}\\[\\]*?^%!=@,.\\-]{1,3}",
        "[a-zA-Z0-9 ]{1,4}",
        "[^\\pC\\pZ]{1,2}",
        Just("$(New-Item ran)".to_owned()),
        Just("';New-Item ran;'".to_owned()),
        more,
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

/// Other texts in each run; `AGE_OAUTH_TEST_SEED` repeats those of one that failed.
#[test]
#[allow(clippy::print_stdout)] // It is shown when the test fails.
fn twenty_random_texts_arrive_as_user_referer_and_label() {
    let named = std::env::var("AGE_OAUTH_TEST_SEED").ok();
    let seed = named.and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(new_seed);
    println!("AGE_OAUTH_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let dice = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), dice);
    let strategy = (
        difficult("[\\n\\r\\t\\x01-\\x1f\\x7f\\u{85}\\u{2028}\\u{202e}\\u{feff}]"),
        "https://x\\.example/[ -~]{0,12}[!-~]",
        difficult("x").prop_map(|text| text.chars().take(50).collect::<String>()),
    );
    let (_portal, home) = signed_in();
    let id = stored(&home, "prod").id.to_string();
    let (mut texts, mut wanted) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let (user, referer, label) = strategy.new_tree(&mut runner).unwrap().current();
        // No two labels are the same, and none is empty.
        let label = format!("{number}{}", label.trim_end());
        let referer = format!("--referer={referer}");
        home.run(["connections", "edit", &id, &referer, "--no-check"])
            .done()
            .ok();
        let rename = ["connections", "rename", &id, "--", &label];
        home.run(rename).done().ok();
        change_tokens(&home, &label, |tokens| tokens.username = Some(user.clone()));
        texts.push(printed(&home));
        let referer = referer.trim_start_matches("--referer=").to_owned();
        wanted.push([user, referer, stored(&home, &label).label.to_string()]);
    }
    assert_eq!(evaluated(&home, &texts), wanted);
    assert!(!home.path().join("ran").exists());
}

fn new_seed() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap()
}

/// No environment variable can hold NUL.
#[test]
fn a_user_name_with_nul_is_refused_and_leaves_no_old_value() {
    let (_portal, home) = signed_in();
    change_tokens(&home, "prod", |tokens| {
        tokens.username = Some("a\0b".into());
    });
    let script = format!(
        "{STALE} $env:AGE_OAUTH_CONNECTION = 'prod'; try {{ {LOAD}; 'went on' }} catch {{ 'failed' }}; {LEFT}"
    );
    let out = pwsh::run(&home, &script);
    assert_eq!(pwsh::text(&out), "failed\nleft:\n", "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        said.contains("ARCGIS_USERNAME") && said.contains("NUL"),
        "{said}"
    );
}

/// Constrained language, as application control enforces it.
#[test]
fn a_constrained_session_loads_a_token() {
    let label = "Prüfung 数据";
    let (_portal, home) = with_referer(label, "https://x.example");
    let token = home.run(["token"]).done().ok().line().to_owned();
    let script = format!("$ExecutionContext.SessionState.LanguageMode = 'ConstrainedLanguage'; {LOAD}; $env:ARCGIS_TOKEN; $env:AGE_OAUTH_CONNECTION");
    assert_eq!(pwsh::lines(&home, &script), [token, label.to_owned()]);
}

#[test]
fn the_program_is_started_from_any_folder() {
    let home = Home::with_difficult_paths(env!("CARGO_BIN_EXE_age-oauth"));
    let portal = Portal::start(PortalVersion::Enterprise114);
    add_with(&home, &portal, "prod", &[]);
    sign_in(&home, &portal, "prod").ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    assert_eq!(
        pwsh::lines(&home, &format!("{LOAD}; $env:ARCGIS_TOKEN")),
        [token]
    );
}

#[test]
fn a_path_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let (_portal, home) = signed_in();
    let folder = home.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    let copy = folder.join("age-oauth");
    fs::copy(home.program(), &copy).unwrap();
    let out = std::process::Command::new(copy)
        .args(["export-env", "--shell", "powershell"])
        .env_clear()
        .envs(home.environment())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("the path is not UTF-8"), "{said}");
    assert!(pwsh::text(&out).ends_with("throw 'age-oauth: no token, see the message above';\n"));
}

#[test]
fn the_parent_is_recognized_and_arguments_arrive() {
    let (_portal, home) = signed_in();
    let script = "age-oauth export-env; $LASTEXITCODE; age-oauth token -c nobody 2>$null; $LASTEXITCODE\n\
        foreach ($word in 'a b', 'a\"b', \"it's\", '$x', '', 'back\\', 'ü') { age-oauth exec -- printf '<%s>\\n' $word }\n\
        (age-oauth token --json | ConvertFrom-Json).username";
    let printed = pwsh::lines(&home, script);
    assert!(
        printed[0].starts_with("$env:ARCGIS_PORTAL_URL = $null; "),
        "{printed:?}"
    );
    assert_eq!(printed[1..3], ["0", "4"]);
    assert_eq!(
        printed[3..],
        [
            "<a b>",
            "<a\"b>",
            "<it's>",
            "<$x>",
            "<>",
            "<back\\>",
            "<ü>",
            "your.username"
        ]
    );
}

#[test]
fn twelve_at_a_time_get_one_token() {
    let (portal, home) = signed_in();
    crate::support::scenario::expire_token(&home, "prod");
    let printed = pwsh::lines(
        &home,
        "1..12 | ForEach-Object -Parallel { age-oauth token } -ThrottleLimit 12 | Sort-Object -Unique",
    );
    assert_eq!(printed.len(), 1);
    assert!(portal.accepts_access_token(&printed[0]));
}

/// Windows PowerShell puts a byte order mark before what it pipes into a program.
#[test]
fn a_secret_is_piped_in_with_and_without_a_mark() {
    for encoding in ["$true", "$false"] {
        let (portal, home) = (Portal::start(PortalVersion::Enterprise114), crate::home());
        let ca = portal.ca_file(home.path());
        let secret = crate::support::portal::service_secret();
        let file = home.path().join("secret");
        fs::write(&file, secret).unwrap();
        home.allow_secrets_in(&file);
        let script = format!(
            "$OutputEncoding = [Text.UTF8Encoding]::new({encoding}); Get-Content secret | age-oauth connections add --label job --portal '{}' --client-id {} --verify-ssl '{}' --auth-type app --client-secret-stdin; (age-oauth token -c job).Length -gt 40",
            portal.url(),
            crate::support::portal::SERVICE_ID,
            ca.display()
        );
        let printed = pwsh::text(&pwsh::run(&home, &script));
        assert_eq!(printed.lines().last(), Some("True"), "{printed}");
    }
}

/// Text that PowerShell's logs hold: at least the line itself, and never a secret.
#[track_caller]
fn is_clean(log: &[u8], marker: &str) {
    let text = String::from_utf8_lossy(log);
    assert!(
        text.contains(marker),
        "the log does not hold the script: {text}"
    );
    assert_eq!(secret_scan::find(log), [], "the log holds a secret");
}

#[test]
fn rule_31_neither_log_of_powershell_holds_the_token() {
    let (_portal, home) = signed_in();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let mut script = String::from("'marker-of-this-test';");
    for way in WAYS {
        let way = way.replace("ARGS", "");
        _ = writeln!(
            script,
            "{STALE} $env:AGE_OAUTH_CONNECTION = 'prod'; {way}; $env:ARCGIS_TOKEN.Length; $env:ARCGIS_TOKEN = $null"
        );
    }
    let (out, log) = pwsh::logged(&home, &script);
    let length = format!("{}\n", token.len());
    assert_eq!(
        pwsh::text(&out),
        format!("marker-of-this-test\n{}", length.repeat(WAYS.len())),
        "{out:?}"
    );
    is_clean(&log, "marker-of-this-test");
    // What was evaluated is in the log, so that the log would have shown the token, too.
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("--for-statements"), "{text}");
    assert!(text.lines().count() > 20, "{text}");

    // The same collector sees a token that is evaluated.
    let careless = "Invoke-Expression ('$null = ''' + (age-oauth token) + '''')";
    let (_, log) = pwsh::logged(&home, careless);
    assert_ne!(secret_scan::find(&log), []);
}

/// What TAB offers at the mark `|` of each line.
fn offered(home: &Home, lines: &[&str]) -> Vec<String> {
    let mut script =
        String::from("age-oauth completions powershell | Out-String | Invoke-Expression\n");
    for line in lines {
        let cursor = line.find('^').unwrap();
        let text = line.replace('^', "").replace('\'', "''");
        _ = writeln!(
            script,
            "'<' + ((TabExpansion2 -inputScript '{text}' -cursorColumn {cursor}).CompletionMatches.CompletionText -join ',') + '>'"
        );
    }
    pwsh::lines(home, &script)
}

#[test]
fn completing_evaluates_nothing_and_quotes_labels() {
    let home = crate::home();
    add_labels(&home, &["Prod", "Prod West", "it's"]);
    let lines = [
        "age-oauth token -c Pro^",
        "age-oauth token -c it^",
        "age-oauth expo^",
        // Inside a word, after a pipe, in an assignment, over two lines.
        "age-oauth token --min-t^tl",
        "'x' | age-oauth token -c Pro^",
        "$t = age-oauth token -c Pro^",
        "age-oauth token `\n -c Pro^",
        "age-oauth token -c ^",
        "age-oauth token -c 'Prod W^",
        // Would run if it were evaluated.
        "age-oauth token -c $(New-Item ran) --min^",
        "age-oauth token -c (New-Item ran) ^",
        "age-oauth token -c \"$(New-Item ran)\" --min^",
        "age-oauth token -c x; New-Item ran; age-oauth expo^",
    ];
    let offered = offered(&home, &lines);
    let both = "<Prod,'Prod West'>";
    assert_eq!(
        offered[..7],
        [
            both,
            "<'it''s'>",
            "<export-env>",
            "<--min-ttl>",
            both,
            both,
            both
        ]
    );
    assert!(offered[7].contains("'Prod West'"), "{offered:?}");
    assert_eq!(offered[8], "<'Prod West'>");
    assert_eq!(offered[9], "<--min-ttl>");
    assert_eq!(offered[11..], ["<--min-ttl>", "<export-env>"]);
    assert!(!home.path().join("ran").exists());
}

#[test]
fn every_line_for_a_secret_manager_arrives_between_double_quotation_marks() {
    let lines = Lines::new();
    let array = r#"'["op", "read", "op://GIS/ArcGIS prod/password"]'"#;
    let typed = lines.lines.iter().map(|line| format!("\"{line}\""));
    let mut script = format!("$env:PATH = '{}:' + $env:PATH; ", lines.path());
    for typed in typed.chain([array.to_owned()]) {
        let _ = write!(
            script,
            "age-oauth connections edit service --client-secret-command {typed} *>$null; \
             if ($LASTEXITCODE) {{ exit 1 }}; age-oauth connections show service --json; "
        );
    }
    let printed = pwsh::lines(lines.home(), &script);
    let shown: Vec<_> = printed
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|shown| shown["client_secret_command"].clone())
        .collect();
    let mut expected: Vec<_> = lines.lines.iter().map(|line| lines.words(line)).collect();
    expected.push(lines.words("op read 'op://GIS/ArcGIS prod/password'"));
    assert_eq!(shown, expected);
}
