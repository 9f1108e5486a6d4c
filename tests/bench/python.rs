//! What the Python package costs, and what its predecessor costs.
//!
//! The rows need environments that `tests/bench/run` creates: `target/python` with Esri's package,
//! `target/python-old` with the predecessor, and `target/python-beside` with packages of others.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{alternate, answer};
use super::report::{milliseconds, ratio};
use super::support::legacy;
use super::{bounds, Bench, LABEL, ROUNDS};

const TOKEN: &str = "import age_oauth; print(age_oauth.get_token('bench'))";
const OLD_TOKEN: &str = "from age_oauth.oauth import _load_auth_for_connection as load; \
                         print(load(connection='Prod')[2].access_token)";

impl Bench {
    pub(crate) fn python(&mut self) {
        if !python().exists() {
            let reason = "target/python could not be created";
            self.report.not_run("everything in Python", reason);
            return;
        }
        self.import();
        if packages_of_predecessor().join("age_oauth").exists() {
            self.token_beside_predecessor();
        } else {
            let reason = "target/python-old could not be created";
            self.report.not_run(bounds::PYTHON_TOKEN.what, reason);
        }
        self.beside();
        self.get_gis();
        self.wait();
    }

    /// Beside what others use for their clouds, all in turn.
    fn beside(&mut self) {
        let python = project().join("target/python-beside/bin/python");
        if !python.exists() {
            let reason = "target/python-beside could not be created";
            self.report.not_run(bounds::IMPORT_BESIDE.what, reason);
            return;
        }
        let script = project().join("tests/bench/beside.py");
        let words = [&script.display().to_string(), LABEL];
        let mut command = self.interpreter_at(&python, &project().join("src/python"), &words);
        command.env("AGE_OAUTH_BIN", &self.program);
        let table = answer(&mut command);
        let [_, ours, google, azure] = table.lines().collect::<Vec<_>>()[..] else {
            panic!("four lines were expected: {table}");
        };
        let [ours, google, azure] = [ours, google, azure].map(figures);
        self.report
            .check(&bounds::IMPORT_BESIDE, ours[0] / google[0].min(azure[0]));
        self.report
            .check(&bounds::TOKEN_BESIDE, ours[1] / google[1].max(azure[1]));
        self.report
            .check(&bounds::REQUEST_BESIDE, ours[2] / google[2].max(azure[2]));
        for line in table.lines() {
            self.report.detail(line, "");
        }
    }

    fn wait(&mut self) {
        let script = project().join("tests/bench/wait.py");
        let wait = answer(&mut self.ours(&[&script.display().to_string(), LABEL]));
        let wait = wait.trim().parse().expect("a number");
        self.report.check(&bounds::PYTHON_WAIT, wait);
    }

    fn import(&mut self) {
        let (import, nothing) = alternate(
            ROUNDS,
            || self.ours(&["-c", "import age_oauth"]),
            || self.ours(&["-c", "pass"]),
        );
        let import = import.saturating_sub(nothing);
        self.report
            .check(&bounds::PYTHON_IMPORT, milliseconds(import));
        self.report
            .time("Python that does nothing, median", nothing);
    }

    fn token_beside_predecessor(&mut self) {
        // The predecessor keeps its secrets in plain files.
        self.home.allow_secrets_in("old");
        let root = self.home.path().join("old/.config/age_oauth");
        let old = legacy::lay_out(&root, "0.2.1", &self.home, &self.portal);
        let theirs = || {
            let mut command = self.interpreter(&packages_of_predecessor(), &["-c", OLD_TOKEN]);
            command
                .env("HOME", self.home.path().join("old"))
                .env("XDG_CONFIG_HOME", self.home.path().join("old/.config"));
            command
        };
        let token = answer(&mut self.ours(&["-c", TOKEN]));
        assert!(self.portal.accepts_access_token(token.trim()));
        assert_eq!(answer(&mut theirs()).trim(), old.access);
        let (token, before) = alternate(ROUNDS, || self.ours(&["-c", TOKEN]), theirs);
        self.report
            .check(&bounds::PYTHON_TOKEN, ratio(token, before));
        self.report.time("ours, median", token);
        self.report.time("0.2.1, median", before);
    }

    fn get_gis(&mut self) {
        let script = project().join("tests/bench/get_gis.py");
        let figures = answer(&mut self.ours(&[&script.display().to_string(), LABEL]));
        let figures: Vec<f64> = figures
            .split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect();
        let [gis, alone, starts] = figures[..] else {
            panic!("three numbers were expected: {figures:?}");
        };
        self.report.check(&bounds::GET_GIS, gis - alone);
        self.report
            .detail("get_gis, median", &format!("{gis:.2} ms"));
        self.report
            .detail("GIS with the same token, median", &format!("{alone:.2} ms"));
        self.report.check(&bounds::PYTHON_STARTS, starts);
    }

    /// Python with our package, which uses the measured program.
    fn ours(&self, words: &[&str]) -> Command {
        let mut command = self.interpreter(&project().join("src/python"), words);
        command.env("AGE_OAUTH_BIN", &self.program);
        command
    }

    fn interpreter(&self, packages: &Path, words: &[&str]) -> Command {
        self.interpreter_at(&python(), packages, words)
    }

    fn interpreter_at(&self, python: &Path, packages: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(python);
        command
            .args(words)
            .env_clear()
            .envs(self.home.environment())
            .env("PYTHONPATH", packages)
            .current_dir(self.home.path());
        command
    }
}

/// The figures of a line of the table that `beside.py` prints.
fn figures(line: &str) -> [f64; 3] {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, import, token, request] = words[..] else {
        panic!("three figures were expected: {line}");
    };
    [import, token, request].map(|word| word.parse().expect("a number"))
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    project().join("target/python/bin/python")
}

fn packages_of_predecessor() -> PathBuf {
    project().join("target/python-old")
}
