//! What the Python package costs, and what the package that it succeeds cost.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{alternate, answer};
use super::support::legacy;
use super::{at_most, milliseconds, ratio, row, tell, Bench, ALTERNATIONS, LABEL};

const TOKEN: &str = "import age_oauth; print(age_oauth.get_token('bench'))";
const OLD_TOKEN: &str = "from age_oauth.oauth import _load_auth_for_connection as load; \
                         print(load(connection='Prod')[2].access_token)";

impl Bench {
    pub(crate) fn python(&self) {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ours = project.join("src/python");
        let ours = |words: &[&str]| {
            let mut command = self.interpreter(&ours, words);
            command.env("AGE_OAUTH_BIN", &self.program);
            command
        };
        let (import, nothing) = alternate(
            ALTERNATIONS,
            || ours(&["-c", "import age_oauth"]),
            || ours(&["-c", "pass"]),
        );
        let import = import.saturating_sub(nothing);
        row(
            "import age_oauth, less Python's own start",
            &milliseconds(import),
            "<= 30 ms",
            import.as_millis() <= 30,
        );

        let root = self.home.path().join("old/.config/age_oauth");
        let old = legacy::lay_out(&root, "0.2.1", &self.home, &self.portal);
        let packages = project.join("target/python-old");
        let theirs = || {
            let mut command = self.interpreter(&packages, &["-c", OLD_TOKEN]);
            command
                .env("HOME", self.home.path().join("old"))
                .env("XDG_CONFIG_HOME", self.home.path().join("old/.config"));
            command
        };
        assert!(self
            .portal
            .accepts_access_token(answer(&mut ours(&["-c", TOKEN])).trim()));
        assert_eq!(answer(&mut theirs()).trim(), old.access);
        let (token, before) = alternate(ALTERNATIONS, || ours(&["-c", TOKEN]), theirs);
        at_most(
            "a cached token in Python : by the package 0.2.1",
            ratio(token, before),
            1.0,
        );
        tell("  ours, median", &milliseconds(token));
        tell("  0.2.1, median", &milliseconds(before));
        tell("  Python that does nothing, median", &milliseconds(nothing));

        let script = project.join("tests/bench/get_gis.py");
        let said = answer(&mut ours(&[&script.display().to_string(), LABEL]));
        let mut figures = said
            .split_whitespace()
            .map(|word| word.parse::<f64>().expect("a number"));
        let mut next = || figures.next().expect("three numbers");
        let (gis, bare, starts) = (next(), next(), next());
        row(
            "get_gis, less the GIS itself, cached token",
            &format!("{:.2} ms", gis - bare),
            "<= 60 ms",
            gis - bare <= 60.0,
        );
        tell("  get_gis, median", &format!("{gis:.2} ms"));
        tell(
            "  GIS alone with the same token, median",
            &format!("{bare:.2} ms"),
        );
        row(
            "process starts of 100 requests",
            &format!("{starts:.0}"),
            "0",
            starts == 0.0,
        );
    }

    fn interpreter(&self, packages: &Path, words: &[&str]) -> Command {
        let python: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
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
