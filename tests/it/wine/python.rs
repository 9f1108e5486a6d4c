//! The Python package in `CPython` for Windows, run by wine: installed by its own pip from the
//! Windows wheel. `lab with-python` prepares both and names them in variables.
//!
//! This Python starts in wine only if all its streams are pipes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{in_wine, variable, wine};
use crate::support::home::Home;
use crate::support::portal::{service_secret, Endpoint, Portal, PortalVersion, SERVICE_ID};

/// A Python environment: `python.exe` beside `Scripts`, as conda and ArcGIS Pro lay it out.
struct Environment {
    folder: tempfile::TempDir,
    home: Home,
    portal: Portal,
}

impl Environment {
    /// One without our package, and an application connection `prod` with its secret in Credential
    /// Manager.
    fn new() -> Self {
        let base = PathBuf::from(variable("AGE_OAUTH_TEST_WINDOWS_PYTHON"));
        let folder = tempfile::tempdir_in(base.parent().unwrap()).unwrap();
        // Links instead of copies of 80 MB.
        let copied = Command::new("cp")
            .arg("-al")
            .arg(&base)
            .arg(folder.path().join("env"))
            .status();
        assert!(copied.unwrap().success());
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        let mut home = in_wine(&program);
        home.set("AGE_OAUTH_KEYCHAIN", "os");
        let portal = Portal::start(PortalVersion::Enterprise114);
        let ca = portal.ca_file(home.path()).display().to_string();
        let secret = home.path().join("secret.txt");
        std::fs::write(&secret, service_secret()).unwrap();
        let words = [
            &*program,
            "connections",
            "add",
            "--label",
            "prod",
            "--portal",
            &portal.url(),
            "--client-id",
            SERVICE_ID,
            "--verify-ssl",
            &ca,
            "--auth-type",
            "app",
            "--client-secret-file",
            secret.to_str().unwrap(),
        ];
        wine(&home, &words);
        std::fs::remove_file(&secret).unwrap();
        Self {
            folder,
            home,
            portal,
        }
    }

    /// The same, with the wheel installed by pip.
    fn installed(options: &[&str]) -> Self {
        let mut environment = Self::new();
        environment.home.set(
            "PYTHONUSERBASE",
            &windows(&environment.folder.path().join("user")),
        );
        let wheel = windows(Path::new(&variable("AGE_OAUTH_TEST_WINDOWS_WHEEL")));
        let words = [
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            "--no-index",
        ];
        let python = environment.python();
        let installed = environment.run(&python, &[&words[..], options, &[&*wheel]].concat());
        let errors = String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "{errors}");
        environment
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("env")
    }

    fn python(&self) -> PathBuf {
        self.root().join("python.exe")
    }

    fn run(&self, python: &Path, words: &[&str]) -> Output {
        Command::new("wine")
            .arg(python)
            .args(words)
            .env_clear()
            .envs(self.home.environment())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("wine")
    }

    /// Runs a part of `tests/python/windows.py`.
    #[track_caller]
    fn script_in(&self, python: &Path, part: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/windows.py");
        let ca = self.portal.ca_file(self.home.path());
        let words = [
            &*windows(&script),
            part,
            &windows(&ca),
            &windows(&self.root()),
        ];
        let output = self.run(python, &words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        assert_eq!(said, "done\n", "{errors}");
    }

    #[track_caller]
    fn script(&self, part: &str) {
        self.script_in(&self.python(), part);
    }

    fn credentials(&self) -> String {
        let program = variable("AGE_OAUTH_TEST_CREDENTIALS");
        wine(&self.home, &[&program, "list", "age-oauth:prod_*"])
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Not all: Credential Manager is shared with the tests that run at the same time.
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        let words = [&*program, "connections", "remove", "prod", "--yes"];
        wine(&self.home, &words);
    }
}

/// A path as Windows programs in wine see it.
fn windows(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn the_package_lists_connections_and_signs_a_request() {
    let environment = Environment::installed(&[]);
    environment.script("request");
    let items = environment.credentials();
    assert!(items.contains("/tokens"), "{items}");
    let requests = environment.portal.requests_to(Endpoint::PortalSelf);
    let signed = requests.iter().filter(|one| {
        let header = one.header("x-esri-authorization").unwrap_or_default();
        header.starts_with("Bearer ")
    });
    assert!(signed.count() >= 1);
    environment.portal.assert_clean();
}

#[test]
#[ignore = "runs the Windows build: .ci/full"]
fn workers_of_a_spawned_pool_get_what_was_pickled() {
    let environment = Environment::installed(&[]);
    environment.script("pools");
    assert!(environment.portal.requests_to(Endpoint::PortalSelf).len() >= 8);
    environment.portal.assert_clean();
}

#[test]
#[ignore = "runs the Windows build: .ci/full"]
fn the_program_of_a_user_site_is_found() {
    let environment = Environment::installed(&["--user"]);
    environment.script("user");
}

/// In ArcGIS Pro `sys.executable` is the desktop program, and Python's environment is elsewhere.
#[test]
#[ignore = "runs the Windows build: .ci/full"]
fn the_program_is_found_in_a_process_like_arcgis_pro() {
    let mut environment = Environment::installed(&[]);
    let bin = environment.folder.path().join("Pro/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let executable = bin.join("ArcGISPro.exe");
    std::fs::copy(environment.python(), &executable).unwrap();
    for name in [
        "python3.dll",
        "python313.dll",
        "vcruntime140.dll",
        "vcruntime140_1.dll",
    ] {
        std::fs::copy(environment.root().join(name), bin.join(name)).unwrap();
    }
    let root = windows(&environment.root());
    environment.home.set("PYTHONHOME", &root);
    environment.script_in(&executable, "pro");
}

#[test]
#[ignore = "runs the Windows build: .ci/full"]
fn the_module_and_the_script_are_the_program() {
    let environment = Environment::installed(&[]);
    for (program, words) in [
        (
            environment.python(),
            &["-m", "age_oauth", "whoami", "--json"][..],
        ),
        (
            environment.root().join("Scripts/age-oauth.exe"),
            &["whoami", "--json"],
        ),
    ] {
        let output = environment.run(&program, words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["app_id"], SERVICE_ID);
    }
}
