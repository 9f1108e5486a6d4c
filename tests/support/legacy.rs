//! Stores that the Python package really created (see `legacy/make.py`), adapted to the practice
//! portal.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::home::Home;
use super::portal::{app_secret, service_secret, Portal, USER};

/// The versions whose stores are in this folder.
pub const VERSIONS: [&str; 2] = ["0.1.7", "0.2.1"];

/// Ids of connections in these stores.
pub const PROD: &str = "prod_e7dabe90";
pub const MY_PORTAL: &str = "my_portal_e7dabe90";
pub const NIGHTLY: &str = "nightly_e7dabe90";
pub const ONLINE: &str = "online_ff0c0e11";

/// A store that was laid out.
pub struct OldStore {
    pub root: PathBuf,
    /// The access token of `Prod`.
    pub access: String,
    /// The refresh token of `Prod`.
    pub refresh: String,
}

impl OldStore {
    /// A file in the folder of a connection.
    pub fn file(&self, id: &str, name: &str) -> PathBuf {
        self.root.join("connections").join(id).join(name)
    }

    pub fn env(&self, id: &str) -> PathBuf {
        self.file(id, ".env")
    }
}

/// Changes the text of a file.
#[track_caller]
pub fn rewrite(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).expect("a file of the old store");
    fs::write(path, change(text)).expect("a file of the old store");
}

/// Lays out a store at `root`. `Prod` is signed in; its tokens are valid at `portal`.
pub fn lay_out(root: &Path, version: &str, home: &Home, portal: &Portal) -> OldStore {
    let seed = portal.seed_user(USER);
    let token = |name: &str| seed[name].as_str().expect("a token").to_owned();
    let certs = home.path().join("my certs");
    fs::create_dir_all(&certs).expect("a folder");
    let old = OldStore {
        root: root.to_owned(),
        access: token("access_token"),
        refresh: token("refresh_token"),
    };
    let filler = TemplateValues {
        ca: portal.ca_file(&certs).display().to_string(),
        portal: portal.url(),
        old: &old,
        escapes: version != "0.1.7",
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/support/legacy")
        .join(version);
    filler.copy(&source, root);
    old
}

struct TemplateValues<'a> {
    ca: String,
    portal: String,
    old: &'a OldStore,
    /// Whether backslashes in quoted values are doubled.
    escapes: bool,
}

impl TemplateValues<'_> {
    fn copy(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("the kept store").flatten() {
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if source.is_dir() {
                self.copy(&source, &target);
            } else {
                let text = fs::read_to_string(&source).expect("the kept store");
                fs::write(&target, self.fill(&source, &text)).expect("a file");
            }
        }
    }

    fn fill(&self, source: &Path, text: &str) -> String {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a clock")
            .as_secs();
        let json = source.extension().is_some_and(|end| end == "json");
        let ca = if json || self.escapes {
            self.ca.replace('\\', "\\\\")
        } else {
            self.ca.clone()
        };
        text.replace("https://gis.example.com/portal", &self.portal)
            .replace("/tmp/age-oauth practice/ca.pem", &ca)
            .replace("REFRESH-TOKEN-OF-PROD", &self.old.refresh)
            .replace("ACCESS-TOKEN-OF-PROD", &self.old.access)
            .replace("practice-client-secret", app_secret())
            .replace("practice-service-secret", service_secret())
            .replace("=1790001800.25", &format!("={}.25", now + 1700))
            .replace("=1790000000.25", &format!("={}.25", now - 100))
    }
}
