//! What only Windows has: Credential Manager across processes, `cmd`, PowerShell, its folders, its
//! pipes.
//!
//! Under wine, `AGE_OAUTH_TEST_CREDENTIALS` names a program that reads Credential Manager by its
//! own API; Windows itself has `cmdkey`. Tests that wine cannot run are listed in
//! `tests/windows/not-in-wine`, and are skipped only there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use age_oauth::cli::{Shell, Variable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::home;
use crate::support::home::Home;
use crate::support::portal::{app_secret, service_secret, Portal, PortalVersion, SERVICE_ID};
use crate::support::scenario::{add, add_arguments, add_with, sign_in, ADD_UNCHECKED};

/// A home whose connections keep their secrets in Credential Manager. Remaining items are removed
/// when it is dropped.
struct Windows(Home);

impl Windows {
    fn new() -> Self {
        let mut home = home();
        home.set("AGE_OAUTH_KEYCHAIN", "os");
        Self(home)
    }

    fn id(&self, label: &str) -> String {
        let shown = self.0.run(["connections", "show", label, "--json"]);
        shown.done().ok().json()["id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        let lines = self.0.run(["connections", "list"]).done().stdout;
        for line in lines.lines() {
            let id = line.split('\t').next().unwrap_or_default();
            self.0.run(["connections", "remove", id, "--yes"]).done();
        }
    }
}

/// Another program that can read Credential Manager, if there is one.
fn other_program() -> Option<PathBuf> {
    std::env::var_os("AGE_OAUTH_TEST_CREDENTIALS").map(PathBuf::from)
}

fn in_wine() -> bool {
    other_program().is_some()
}

/// Targets of the connection's items, according to another program.
fn items_of(id: &str) -> Vec<String> {
    let prefix = format!("age-oauth:{id}/");
    let (program, arguments) = match other_program() {
        Some(program) => (program, vec!["list".to_owned(), format!("{prefix}*")]),
        None => ("cmdkey".into(), vec![format!("/list:{prefix}*")]),
    };
    let out = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut targets: Vec<_> = text
        .lines()
        .filter_map(|line| line.find(&prefix).map(|at| &line[at..]))
        .map(|line| {
            line.split(['\t', '\r'])
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect();
    targets.sort();
    targets.dedup();
    targets
}

#[test]
fn secrets_in_credential_manager_are_visible_across_processes_as_three_items() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let windows = Windows::new();
    let home = &windows.0;
    let secret = home.path().join("secret.txt");
    fs::write(&secret, app_secret()).unwrap();
    add_with(
        home,
        &portal,
        "my_portal",
        &["--client-secret-file", secret.to_str().unwrap()],
    );
    fs::remove_file(&secret).unwrap();
    let id = windows.id("my_portal");
    let all = ["binding", "client-secret", "tokens"].map(|kind| format!("age-oauth:{id}/{kind}"));
    assert_eq!(items_of(&id), all[..2]);
    sign_in(home, &portal, "my_portal").ok();
    assert_eq!(items_of(&id), all);
    let token = home.run(["token"]).done().ok().line().to_owned();
    assert!(portal.accepts_access_token(&token));
    let renewed = home.run(["token", "--force"]).done().ok().line().to_owned();
    assert_ne!(renewed, token);
    home.run(["whoami"]).done().ok().out("your.username\n");
    assert_eq!(home.files_containing(&renewed), Vec::<PathBuf>::new());
    assert_eq!(home.files_containing(app_secret()), Vec::<PathBuf>::new());
    home.run(["logout"]).done().ok();
    assert_eq!(items_of(&id), all[..2]);
    home.run(["connections", "remove", "my_portal", "--yes"])
        .done()
        .ok();
    assert_eq!(items_of(&id), Vec::<String>::new());
}

/// It is found by its name, as `exec` finds one, and runs without a window.
#[test]
fn a_batch_file_prints_the_client_secret() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    home.allow_secrets_in("manager");
    let folder = home.path().join("manager");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("secret.txt"), service_secret()).unwrap();
    let print = "@if not \"%~1\"==\"a b\" exit /b 3\r\n@type \"%~dp0secret.txt\"\r\n";
    fs::write(folder.join("print-secret.cmd"), print).unwrap();
    let hang = "@ping -n 1000 127.0.0.1 >nul\r\n";
    fs::write(folder.join("hang.cmd"), hang).unwrap();
    let ca = portal.ca_file(home.path());
    let url = portal.url();
    let mut words = add_arguments("service", &url, SERVICE_ID, ca.to_str().unwrap()).to_vec();
    words.extend(["--auth-type", "app", "--client-secret-command"]);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{};{path}", folder.display());
    let mut good = words.clone();
    good.push("print-secret \"a b\"");
    home.run(good).env("PATH", &path).done().ok();
    let shown = home.run(["connections", "show", "service", "--json"]);
    let command = shown.done().ok().json()["client_secret_command"].clone();
    let program = command[0].as_str().unwrap().to_lowercase();
    assert!(
        program.ends_with("\\manager\\print-secret.cmd"),
        "{program}"
    );
    assert_eq!(command[1], "a b");
    let token = home.run(["token", "-c", "service"]).done().ok();
    assert!(portal.accepts_access_token(token.line()));
    // Its exit code, and its end in time.
    let edit = ["connections", "edit", "service", "--client-secret-command"];
    for (command, options, why) in [
        (
            "print-secret other",
            &["token", "--force"][..],
            "exit code 3",
        ),
        (
            "hang",
            &["--timeout", "3s", "token", "--force"],
            "did not end within",
        ),
    ] {
        let words = [&edit[..], &[command]].concat();
        home.run(words).env("PATH", &path).done().ok();
        home.run(options).done().code(5).err_has(why);
    }
}

/// An item holds 2,560 bytes: `CRED_MAX_CREDENTIAL_BLOB_SIZE`.
#[test]
fn tokens_longer_than_an_item_are_split_and_read_back_complete() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.access_octets = 2400);
    let windows = Windows::new();
    let home = &windows.0;
    add(home, &portal, "long");
    sign_in(home, &portal, "long").ok();
    let id = windows.id("long");
    assert!(items_of(&id).len() > 3, "{:?}", items_of(&id));
    let token = home.run(["token"]).done().ok().line().to_owned();
    assert!(token.len() >= 3000 && portal.accepts_access_token(&token));
    portal.set(|rules| rules.access_octets = 140);
    home.run(["token", "--force"]).done().ok();
    home.run(["logout"]).done().ok();
    assert_eq!(items_of(&id), [format!("age-oauth:{id}/binding")]);
}

#[test]
fn an_item_overwritten_by_another_program_is_reported_and_replaced_by_login() {
    let Some(other) = other_program() else {
        return cmdkey_writes_over_an_item();
    };
    item_written_over(|target| {
        Command::new(&other)
            .args(["write", target, "somebody else's"])
            .status()
            .unwrap()
    });
}

fn cmdkey_writes_over_an_item() {
    item_written_over(|target| {
        let words = [&*format!("/generic:{target}"), "/user:x", "/pass:y"];
        Command::new("cmdkey").args(words).status().unwrap()
    });
}

fn item_written_over(write: impl Fn(&str) -> std::process::ExitStatus) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let windows = Windows::new();
    let home = &windows.0;
    add(home, &portal, "prod");
    sign_in(home, &portal, "prod").ok();
    let id = windows.id("prod");
    assert!(write(&format!("age-oauth:{id}/tokens")).success());
    let error = home.run(["token", "--json"]).done().code(5).error_json();
    assert_eq!(error["error"]["reason"], "lost");
    assert_eq!(error["error"]["hint"], "age-oauth login -c prod");
    sign_in(home, &portal, "prod").ok();
    home.run(["token"]).done().ok();
}

/// Runs a batch file in cmd with the program on its search path.
fn batch(home: &Home, lines: &str) -> Output {
    let file = home.path().join("test.bat");
    fs::write(&file, lines.replace('\n', "\r\n")).unwrap();
    let folder = home.program().parent().unwrap().display().to_string();
    let path = format!("{folder};{}", std::env::var("PATH").unwrap_or_default());
    Command::new("cmd")
        .arg("/d")
        .arg("/c")
        .arg(&file)
        .env_clear()
        .envs(home.environment())
        .env("PATH", path)
        .current_dir(home.path())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

#[test]
fn cmd_evaluates_what_export_env_prints() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let referer = "https://x.example/?a=1&b=<2>|^3 ;,=()~*'#";
    add_with(&home, &portal, "My Portal & more", &["--referer", referer]);
    sign_in(&home, &portal, "My Portal & more").ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    home.allow_secrets_in("vars.bat");
    let out = batch(
        &home,
        "@echo off\nset ARCGIS_USERNAME=stale\nage-oauth export-env --shell cmd > vars.bat\ncall vars.bat\nset ARCGIS\nset AGE_OAUTH_CONNECTION\n",
    );
    let said = text(&out.stdout);
    for line in [
        format!("ARCGIS_TOKEN={token}"),
        format!("ARCGIS_REFERER={referer}"),
        format!("ARCGIS_PORTAL_URL={}", portal.url()),
        "ARCGIS_USERNAME=your.username".to_owned(),
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "no {line} in:\n{said}"
        );
    }
    let id = home
        .run(["connections", "show", "--json"])
        .done()
        .ok()
        .json();
    assert!(said.contains(id["id"].as_str().unwrap()), "{said}");
}

/// Every value that cmd can hold arrives unchanged, and none is executed.
#[test]
fn ten_thousand_difficult_texts_arrive_in_cmd() {
    const BATCH: usize = 500;
    let home = home();
    let mut runner = TestRunner::deterministic();
    let one = "[ -~&&[^%!\"]]{1,8}([ &|<>^()@;,=~*'`\\\\]{1,4}[ -~&&[^%!\"]]{0,8}){0,2}";
    let strategy = proptest::collection::vec(one, BATCH);
    for _ in 0..20 {
        let texts = strategy.new_tree(&mut runner).unwrap().current();
        let variables: Vec<_> = (0..)
            .zip(&texts)
            .map(|(number, text): (usize, _)| Variable {
                name: format!("V{number:03}"),
                value: Some(text.clone()),
            })
            .collect();
        let script = Shell::Cmd.render(&variables).unwrap();
        let out = batch(&home, &format!("@echo off\n{script}set V\n"));
        let said = text(&out.stdout);
        let arrived: Vec<_> = said.lines().collect();
        assert_eq!(arrived.len(), BATCH, "{}", text(&out.stderr));
        for (variable, line) in variables.iter().zip(arrived) {
            let value = variable.value.as_deref().unwrap();
            assert_eq!(line, format!("{}={value}", variable.name));
        }
    }
}

#[test]
fn cmd_unsets_the_old_token_and_sees_a_failure() {
    let home = home();
    let out = batch(
        &home,
        "@echo off\nset ARCGIS_TOKEN=stale\nage-oauth export-env --shell cmd > vars.bat 2>nul\necho code %ERRORLEVEL%\ncall vars.bat\nif errorlevel 1 echo failed\nif defined ARCGIS_TOKEN echo still %ARCGIS_TOKEN%\n",
    );
    assert_eq!(text(&out.stdout), "code 4\nfailed\n");
}

#[test]
fn a_value_that_cmd_cannot_hold_is_an_error_that_names_the_variable() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    for referer in ["https://x/%PATH%", "https://x/!x!", "https://x/\"&calc"] {
        home.run(["connections", "edit", "--referer", referer])
            .done()
            .ok();
        let out = home
            .run(["export-env", "--shell", "cmd"])
            .done()
            .code(1)
            .err_has("ARCGIS_REFERER");
        assert!(!out.stdout.contains("x/"), "{}", out.stdout);
    }
}

#[test]
fn the_parent_shell_is_recognised_or_the_default_is_used() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let out = batch(&home, "@age-oauth export-env\n");
    assert!(text(&out.stdout).starts_with("set \"ARCGIS_"), "{out:?}");
}

/// The PowerShell of wine does nothing and reports success.
#[test]
fn powershell_evaluates_what_export_env_prints() {
    if in_wine() {
        return;
    }
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let label = "a'b\"c $(x) `n %PATH% ü 🗺 ‘’ ; &";
    add(&home, &portal, label);
    sign_in(&home, &portal, label).ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let script = "$env:ARCGIS_REFERER = 'stale'\nage-oauth export-env | Out-String | Invoke-Expression\n\
        [IO.File]::WriteAllText('out.json', (@{ t = $env:ARCGIS_TOKEN; c = $env:AGE_OAUTH_CONNECTION; r = $env:ARCGIS_REFERER } | ConvertTo-Json))";
    let folder = home.program().parent().unwrap().display().to_string();
    let path = format!("{folder};{}", std::env::var("PATH").unwrap_or_default());
    let status = Command::new("powershell")
        .args(["-NoProfile", "-NonInteractive", "-Command", script])
        .env_clear()
        .envs(home.environment())
        .env("PATH", path)
        .current_dir(home.path())
        .status()
        .unwrap();
    assert!(status.success());
    let read: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(read["t"], *token);
    assert_eq!(read["c"], label);
    assert!(read["r"].as_str().unwrap_or_default().is_empty());
}

/// The machines that run these tests are in no domain. Which part of Kerberos notices that first
/// depends on the version of Windows.
#[test]
fn windows_sign_in_without_a_domain_is_an_error_of_its_own() {
    let given = [&ADD_UNCHECKED[..], &["--web-tier", "windows"]].concat();
    let said = home().run(given).done();
    assert!([3, 6, 7].contains(&said.code), "{}", said.stderr);
    assert!(said.stderr.contains("Kerberos"), "{}", said.stderr);
    // A principal that is named needs no ticket yet.
    let named = [
        &ADD_UNCHECKED[..],
        &["--web-tier", "windows:ana@EXAMPLE.COM"],
    ]
    .concat();
    home().run(named).done().ok();
}

/// Windows knows the folder itself; the variable is a copy that some services lack.
#[test]
fn the_store_is_found_without_appdata() {
    let home = home();
    let info = home
        .run(["connections", "info", "--json"])
        .without("AGE_OAUTH_HOME")
        .without("APPDATA")
        .done()
        .ok()
        .json();
    let base = info["store_base"].as_str().unwrap().replace('/', "\\");
    assert!(base.ends_with("\\AppData\\Roaming\\age_oauth"), "{base}");
    assert!(Path::new(&base).is_absolute());
}

#[test]
fn json_in_pipes_is_readable_in_every_code_page() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "Zürich 数据");
    let shown = home.run(["connections", "show", "--json"]).done().ok();
    assert!(shown.stdout.is_ascii(), "{}", shown.stdout);
    assert_eq!(shown.json()["connection"], "Zürich 数据");
    let error = home.run(["token", "--json"]).done().code(3);
    assert!(error.stderr.is_ascii(), "{}", error.stderr);
}

/// Windows gives the secrets of one account to no other one.
#[test]
fn another_account_checks_itself_by_a_task() {
    let home = home();
    let doctor = |name| ["doctor", "--as-task", "--account", name];
    home.run(doctor(r"EXAMPLE\gis"))
        .done()
        .code(2)
        .err_has(r"no account can read the secrets of another one")
        .err_has(r#"/RU "EXAMPLE\gis" /RP *"#);
    // A group managed service account has no password that anyone could type.
    let managed = home.run(doctor(r"EXAMPLE\gis-jobs$")).done().code(2);
    assert!(!managed.stderr.contains("/RP"), "{}", managed.stderr);
}
