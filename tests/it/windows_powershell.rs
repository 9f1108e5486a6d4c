//! What PowerShell on Windows evaluates, reads, passes and completes.
//!
//! On Windows these tests run in Windows PowerShell and in PowerShell 7, as far as they are
//! installed. Under wine, `AGE_OAUTH_TEST_WINDOWS_PWSH` names PowerShell's engine for Windows
//! behind a small host (`tests/windows/lab` finds it), because wine cannot run PowerShell's own
//! console host.
//! Without the variable there is no PowerShell in wine, and `tests/run` says so.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{json, Value};

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{service_secret, Portal, PortalVersion, SERVICE_ID, USER};
use crate::support::scenario::{add, add_application_arguments, add_with, sign_in_as, stored};

/// The variable that names PowerShell's engine under wine.
const ENGINE: &str = "AGE_OAUTH_TEST_WINDOWS_PWSH";

/// The variable that names the file for `prints_its_arguments`.
const ARGUMENTS: &str = "AGE_OAUTH_TEST_ARGUMENTS";

/// Every PowerShell of this machine.
fn engines() -> Vec<PathBuf> {
    if let Some(engine) = std::env::var_os(ENGINE) {
        return vec![engine.into()];
    }
    // The `powershell` of wine does nothing and reports success.
    if std::env::var_os("AGE_OAUTH_TEST_CREDENTIALS").is_some() {
        return Vec::new();
    }
    let installed = |name: &&str| {
        let mut command = Command::new(name);
        command.args(["-NoProfile", "-Command", "exit 0"]);
        command.status().is_ok_and(|status| status.success())
    };
    let engines: Vec<_> = ["powershell", "pwsh"]
        .iter()
        .filter(|name| installed(name))
        .map(PathBuf::from)
        .collect();
    assert!(!engines.is_empty(), "Windows has a PowerShell");
    engines
}

/// A text as a word that PowerShell evaluates to exactly this text.
fn word(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted + "'"
}

fn words(texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| word(text))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a script puts into `$out`, and the output of the engine for the message of a failure.
struct Said {
    out: Value,
    output: Output,
}

impl Said {
    #[track_caller]
    fn equals(&self, name: &str, expected: &Value) {
        assert_eq!(
            &self.out[name], expected,
            "{name}: {} {:?}",
            self.out, self.output
        );
    }
}

/// Runs a script in which `age-oauth` is the program under test.
#[track_caller]
fn powershell(engine: &Path, home: &Home, script: &str) -> Said {
    powershell_with(engine, home, script, &[])
}

#[track_caller]
fn powershell_with(engine: &Path, home: &Home, script: &str, extra: &[(&str, &str)]) -> Said {
    let answer = home.path().join("out.json");
    let _ = fs::remove_file(&answer);
    home.allow_secrets_in("out.json");
    // The small host finds commands by their full path only.
    let program = std::path::absolute(home.program()).unwrap();
    let script = format!(
        "Set-Alias age-oauth {}\n$out = @{{}}\n{script}\n\
         [IO.File]::WriteAllText({}, ($out | ConvertTo-Json -Depth 5 -Compress))",
        word(&program.display().to_string()),
        word(&answer.display().to_string()),
    );
    let output = Command::new(engine)
        .args(["-NoProfile", "-NonInteractive", "-Command", &script])
        .env_clear()
        .envs(home.environment())
        .envs(extra.iter().copied())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let Ok(text) = fs::read_to_string(&answer) else {
        panic!("the script does not end: {output:?}\n{script}");
    };
    let out = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    Said { out, output }
}

/// Evaluates what `export-env` prints, as the documentation says.
fn load(options: &str) -> String {
    format!("age-oauth export-env {options} | Out-String | Invoke-Expression\n")
}

/// Everything that names of users contain to become a command, or to end the word they stand in.
const HOSTILE: &[&str] = &[
    "o'neil'; New-Item run1 #",
    "\"; New-Item run2; \"",
    "$(New-Item run3) `n $env:TEMP ${x} @(1) @{}",
    "\u{2018}; New-Item run4; \u{2019}\u{201a}\u{201b}",
    "\u{201c}$(New-Item run5)\u{201d}\u{201e}",
    "a\nNew-Item run6\r\n'@\n\"@",
    "%PATH% & calc | more ; ^ -join --% <# #> \\",
    "Zoë Müller 数据 🗺 \u{202e}",
];

const VARIABLES: &[&str] = &[
    "ARCGIS_PORTAL_URL",
    "ARCGIS_HOST",
    "ARCGIS_TOKEN",
    "ARCGIS_TOKEN_EXPIRES_AT",
    "ARCGIS_TOKEN_EXPIRES_EPOCH",
    "ARCGIS_USERNAME",
    "ARCGIS_REFERER",
    "AGE_OAUTH_CONNECTION",
];

/// PowerShell gets what the JSON form says, whatever a name contains, and runs nothing of it.
#[test]
fn every_value_arrives_in_powershell_and_runs_nothing() {
    let engines = engines();
    if engines.is_empty() {
        return;
    }
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = Home::with_difficult_paths(env!("CARGO_BIN_EXE_age-oauth"));
    let mut script = String::new();
    let mut expected = Vec::new();
    for (number, user) in HOSTILE.iter().enumerate() {
        portal.set(|rules| rules.users[0].username = (*user).to_owned());
        let label = format!("a'b\"c $(New-Item run) `n %PATH% ü 🗺 ‘’ ; & {number}");
        let referer = format!("https://x.example/'; New-Item run7 #$(x)`n\"{number}");
        add_with(&home, &portal, &label, &["--referer", &referer]);
        sign_in_as(&home, &portal, &label, user, &[]).ok();
        let id = stored(&home, &label).id.to_string();
        let json = home.run(["export-env", "--shell", "json", "-c", &id]);
        expected.push(json.done().ok().json());
        script.push_str(&load(&format!("-c {id}")));
        for name in VARIABLES {
            let _ = writeln!(script, "$out['{number} {name}'] = \"$env:{name}\"");
        }
    }
    for engine in &engines {
        let said = powershell(engine, &home, &script);
        for (number, expected) in expected.iter().enumerate() {
            for name in VARIABLES {
                said.equals(&format!("{number} {name}"), &expected[name]);
            }
        }
        for run in home.files() {
            let name = run.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.starts_with("run"), "{name} was made");
        }
    }
}

/// Without `--shell`, the form is that of the parent process.
#[test]
fn powershell_is_recognised_as_the_parent() {
    let (_portal, home) = crate::signed_in();
    for engine in engines() {
        let script = "$out.own = age-oauth export-env | Out-String\n\
                      $out.named = age-oauth export-env --shell powershell | Out-String\n\
                      $out.cmd = age-oauth export-env --shell cmd | Out-String";
        let said = powershell(&engine, &home, script);
        said.equals("own", &said.out["named"]);
        assert_ne!(said.out["own"], said.out["cmd"]);
    }
}

#[test]
fn powershell_unsets_what_does_not_apply_and_fails_without_a_token() {
    let (_portal, home) = crate::signed_in();
    let mut script = format!("$env:ARCGIS_REFERER = 'stale'\n{}", load(""));
    script.push_str("$out.referer = \"$env:ARCGIS_REFERER\"\n");
    script.push_str(&load("--unset"));
    script.push_str("$out.unset = \"$env:ARCGIS_TOKEN$env:AGE_OAUTH_CONNECTION\"\n");
    let failing = load("-c nobody");
    let _ = writeln!(
        script,
        "$env:ARCGIS_TOKEN = 'stale'\n$env:AGE_OAUTH_CONNECTION = 'stale'\n\
         try {{ {failing}; $out.failed = $false }} catch {{ $out.failed = $true }}\n\
         $out.token = \"$env:ARCGIS_TOKEN$env:AGE_OAUTH_CONNECTION\""
    );
    for engine in engines() {
        let said = powershell(&engine, &home, &script);
        for name in ["referer", "unset", "token"] {
            said.equals(name, &json!(""));
        }
        said.equals("failed", &json!(true));
    }
}

/// PowerShell decodes a pipe by the code page of the console; JSON does not depend on it.
#[test]
fn json_is_the_same_in_every_code_page() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let label = "Zürich 数据 🗺 ÷ß";
    add(&home, &portal, label);
    let mut script = String::new();
    for page in [437, 1252, 65001] {
        let _ = writeln!(
            script,
            "[Console]::OutputEncoding = [Text.Encoding]::GetEncoding({page})\n\
             $out.page{page} = [Console]::OutputEncoding.CodePage\n\
             $out.label{page} = (age-oauth connections show --json | ConvertFrom-Json).connection\n\
             $said = age-oauth token --json 2>&1 | ForEach-Object {{ \"$_\" }} | Out-String\n\
             $out.code{page} = $LASTEXITCODE\n\
             $out.error{page} = ($said | ConvertFrom-Json).error.hint"
        );
    }
    for engine in engines() {
        let said = powershell(&engine, &home, &script);
        for page in [437, 1252, 65001] {
            said.equals(&format!("page{page}"), &json!(page));
            said.equals(&format!("label{page}"), &json!(label));
            said.equals(&format!("code{page}"), &json!(3));
            let hint = said.out[format!("error{page}")]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(hint.contains(label), "{hint}");
        }
    }
}

/// The child of the next test: writes its arguments to a file.
#[test]
fn prints_its_arguments() {
    let Some(path) = std::env::var_os(ARGUMENTS) else {
        return;
    };
    let arguments: Vec<_> = std::env::args()
        .skip_while(|one| one != "--")
        .skip(1)
        .collect();
    fs::write(path, json!(arguments).to_string()).unwrap();
}

/// `exec` hands on what PowerShell passes, in each of its ways of passing arguments.
#[test]
fn exec_hands_on_awkward_arguments() {
    let (_portal, home) = crate::signed_in();
    let legacy = [
        "a b",
        "*",
        "$x",
        "%PATH%",
        "!x!",
        "^&|<>();,",
        "it's",
        "`n",
        "C:\\a\\",
        "\\\\server\\share",
        "ü 数据 🗺",
        "--",
        "-c",
        "--%x",
        "@x",
        "{a}",
    ];
    let quotes = [
        "",
        "say \"hi\"",
        "\"",
        "a\\\"b",
        "C:\\a b\\",
        "{\"a\": \"b c\"}",
        "'\"'",
    ];
    let all: Vec<&str> = legacy.iter().chain(&quotes).copied().collect();
    let child = std::env::current_exe().unwrap().display().to_string();
    let program = [
        "--exact",
        "--nocapture",
        "windows_powershell::prints_its_arguments",
        "--",
    ];
    let path = home.path().join("arguments.json");
    let name = path.display().to_string();
    for engine in engines() {
        let version = powershell(
            &engine,
            &home,
            "$out.major = $PSVersionTable.PSVersion.Major",
        );
        let modern = version.out["major"].as_i64() > Some(6);
        for (way, arguments) in [
            ("Legacy", &legacy[..]),
            ("Windows", &all),
            ("Standard", &all),
        ] {
            // Windows PowerShell has one way only, which is the first.
            if way != "Legacy" && !modern {
                continue;
            }
            let script = format!(
                "$PSNativeCommandArgumentPassing = '{way}'\n\
                 age-oauth exec '--' {} {} {} | Out-Null\n$out.code = $LASTEXITCODE",
                word(&child),
                words(&program),
                words(arguments),
            );
            let said = powershell_with(&engine, &home, &script, &[(ARGUMENTS, &name)]);
            said.equals("code", &json!(0));
            let arrived: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(arrived, json!(arguments), "{way}");
            fs::remove_file(&path).unwrap();
        }
    }
}

/// A secret arrives as it is, with and without a byte order mark, in each encoding of the pipe.
#[test]
fn a_secret_is_piped_in() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    home.allow_secrets_in("secret.txt");
    let secret = home.path().join("secret.txt");
    fs::write(&secret, format!("{}\r\n", service_secret())).unwrap();
    let encodings = [
        ("ascii", "[Text.ASCIIEncoding]::new()"),
        ("plain", "[Text.UTF8Encoding]::new($false)"),
        ("mark", "[Text.UTF8Encoding]::new($true)"),
    ];
    for engine in engines() {
        let mut script = String::new();
        for (label, encoding) in encodings {
            let url = portal.url();
            let arguments = add_application_arguments(label, &url, SERVICE_ID, &ca);
            let _ = writeln!(
                script,
                "$OutputEncoding = {encoding}\n\
                 [IO.File]::ReadAllText({}) | age-oauth {} 2>&1 | Out-Null\n$out.{label} = $LASTEXITCODE",
                word(&secret.display().to_string()),
                words(&arguments),
            );
        }
        let said = powershell(&engine, &home, &script);
        for (label, _) in encodings {
            said.equals(label, &json!(0));
            let token = home
                .run(["token", "-c", label])
                .done()
                .ok()
                .line()
                .to_owned();
            assert!(portal.accepts_access_token(&token), "{label}");
            home.run(["connections", "remove", label, "--yes"])
                .done()
                .ok();
        }
    }
    fs::remove_file(&secret).unwrap();
}

/// What TAB offers at the end of this line.
fn offered(name: &str, line: &str) -> String {
    format!(
        "$line = {}\n$out.{name} = (TabExpansion2 -inputScript $line -cursorColumn $line.Length)\
         .CompletionMatches.CompletionText -join '|'\n",
        word(line)
    )
}

#[test]
fn powershell_completes_and_evaluates_nothing() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    for label in ["prod", "preview", "two words"] {
        add(&home, &portal, label);
    }
    let script = String::from("age-oauth completions powershell | Out-String | Invoke-Expression\n")
            + &offered("command", "age-oauth expo")
            + &offered("option", "age-oauth token --min")
            + &offered("label", "age-oauth token -c pro")
            + &offered("piped", "'x' | age-oauth token -c pre")
            + &offered("assigned", "$t = age-oauth token -c pre")
            + &offered("two_lines", "age-oauth token `\n -c pre")
            + &offered("quoted", "age-oauth token -c tw")
            + &offered("inside", "age-oauth token -c 'two w")
            // Would run if it were evaluated.
            + &offered("part", "age-oauth token -c $(New-Item ran) --min")
            + &offered("group", "age-oauth token -c (New-Item ran) --min")
            + &offered("string", "age-oauth token -c \"$(New-Item ran)\" --min")
            + &offered("before", "age-oauth token -c x; New-Item ran; age-oauth expo");
    for engine in engines() {
        let said = powershell(&engine, &home, &script);
        said.equals("command", &json!("export-env"));
        said.equals("option", &json!("--min-ttl"));
        said.equals("label", &json!("prod"));
        for name in ["piped", "assigned", "two_lines"] {
            said.equals(name, &json!("preview"));
        }
        for name in ["quoted", "inside"] {
            said.equals(name, &json!("'two words'"));
        }
        for name in ["part", "group", "string"] {
            said.equals(name, &json!("--min-ttl"));
        }
        said.equals("before", &json!("export-env"));
        assert!(!home.path().join("ran").exists());
    }
}

/// The documented lines for one request and for one command, against a portal.
#[test]
fn exit_codes_and_tokens_reach_a_script() {
    let (portal, home) = crate::signed_in();
    let script = "$t = age-oauth token -c prod\n$out.token = $t\n$out.code = $LASTEXITCODE\n\
                  $out.user = age-oauth whoami\n\
                  age-oauth exec '--' cmd /d /c 'exit 42'\n$out.child = $LASTEXITCODE\n\
                  age-oauth token -c nobody 2>&1 | Out-Null\n$out.unknown = $LASTEXITCODE";
    for engine in engines() {
        let said = powershell(&engine, &home, script);
        assert!(portal.accepts_access_token(said.out["token"].as_str().unwrap_or_default()));
        said.equals("code", &json!(0));
        said.equals("user", &json!(USER));
        said.equals("child", &json!(42));
        said.equals("unknown", &json!(4));
    }
}
