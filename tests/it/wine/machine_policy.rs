//! The policy of a machine in the registry, in a Windows of its own: other tests use wine at the
//! same time.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use super::variable;
use crate::support::home::Home;

const KEY: &str = r"HKLM\Software\Policies\age-oauth";

/// A wine with a registry of its own, which ends with it.
struct Registry {
    home: Home,
    program: String,
}

impl Registry {
    fn new() -> Self {
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        let mut home = Home::new(&program);
        for name in ["WINEARCH", "WINEDEBUG", "WINEDLLOVERRIDES"] {
            home.set(name, &variable(name));
        }
        let prefix = home.path().join("wine").display().to_string();
        home.set("WINEPREFIX", &prefix);
        home.allow_secrets_in("wine");
        let registry = Self { home, program };
        // As tests/windows/lab prepares it: a version of Windows, the library that wine lacks, and
        // programs that wine's own do not do.
        let version = [
            "reg",
            "add",
            r"HKCU\Software\Wine",
            "/v",
            "Version",
            "/d",
            "win10",
            "/f",
        ];
        assert_eq!(registry.wine(&version).0, 0);
        for name in ["bcryptprimitives.dll", "whoami.exe", "icacls.exe"] {
            let path = Path::new("drive_c/windows/system32").join(name);
            let prepared = Path::new(&variable("WINEPREFIX")).join(&path);
            std::fs::copy(prepared, Path::new(&prefix).join(path)).unwrap();
        }
        registry
    }

    /// Runs a program of Windows. Its output goes into a file, because wine's helper processes
    /// would keep a pipe open.
    fn wine(&self, arguments: &[&str]) -> (i32, String) {
        let path = self.home.path().join("said");
        let said = File::create(&path).unwrap();
        let status = Command::new("wine")
            .args(arguments)
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .status()
            .expect("wine");
        let text = std::fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        (status.code().unwrap_or(-1), text)
    }

    fn set(&self, name: &str, kind: &str, value: &str) {
        let words = ["reg", "add", KEY, "/f", "/v", name, "/t", kind, "/d", value];
        let (code, said) = self.wine(&words);
        assert_eq!(code, 0, "{said}");
    }

    /// Runs the program, which has to end with this code and to say this.
    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32, says: &str) {
        let (found, said) = self.wine(&[&[self.program.as_str()], arguments].concat());
        assert_eq!(found, code, "{said}");
        assert!(said.contains(says), "{said}");
    }
}

impl Drop for Registry {
    /// Waits for the last process of this wine, which still writes to its folder.
    fn drop(&mut self) {
        let ended = Command::new("wineserver")
            .arg("-w")
            .env_clear()
            .envs(self.home.environment())
            .status();
        assert!(ended.is_ok_and(|status| status.success()));
    }
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn values_of_the_registry_are_the_policy_of_windows() {
    const ADD: [&str; 5] = [
        "connections",
        "add",
        "--no-check",
        "--label=x",
        "--client-id=c",
    ];
    let registry = Registry::new();
    let add = |more: &[&'static str]| [&ADD[..], more].concat();
    registry.run(&["connections", "list"], 0, "");
    registry.set(
        "Portals",
        "REG_MULTI_SZ",
        r"https://gis.example.com/portal\0https://h/p",
    );
    registry.set("UnverifiedTls", "REG_DWORD", "0");
    registry.set("Keychain", "REG_SZ", "vault");
    let other = add(&["--portal=https://gis.example.com.evil.net/portal"]);
    registry.run(&other, 2, r"`portals` in HKLM\Software\Policies\age-oauth");
    registry.run(&other, 2, "overrides --portal");
    let unverified = add(&["--portal=https://h/p", "--verify-ssl=false"]);
    registry.run(&unverified, 2, "`unverified_tls` in HKLM");
    registry.run(&add(&["--portal=https://h/p"]), 0, "Created connection");
    let doctor = ["doctor", "--offline"];
    // Other checks fail in wine.
    registry.run(
        &doctor,
        1,
        r"https://gis.example.com/portal, https://h/p, set by `portals` in HKLM\Software\Policies\age-oauth",
    );
    // A value that is not understood stops everything.
    registry.set("Portal", "REG_SZ", "https://h/p");
    let why =
        r"the value Portal of HKLM\Software\Policies\age-oauth: it is not a member of a policy";
    registry.run(&["connections", "list"], 1, why);
    registry.run(&["--version"], 0, "age-oauth");
    registry.run(&doctor, 1, why);
    let (code, said) = registry.wine(&["reg", "delete", KEY, "/f"]);
    assert_eq!(code, 0, "{said}");
    registry.run(&["connections", "list"], 0, "");
    registry.run(&doctor, 1, "there is no policy of this machine");
}
