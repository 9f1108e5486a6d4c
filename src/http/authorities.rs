//! Where trusted certificates come from: the platform, the connection's own file, and the files
//! and folders that the environment names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::RootCertStore;

use super::certificate::{may_sign, parse};
use super::certificate_file::read_bundle;
use crate::context::{Context, Environment};
use crate::env;
use crate::error::Error;
use crate::files;

/// Where Linux distributions and BSDs keep their own bundle.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// No bundle of a whole platform is larger, in bytes.
const MAX_BUNDLE: u64 = 16 * 1024 * 1024;

/// Which authorities are added to those of the platform and of the connection.
#[derive(Clone)]
pub(super) enum AddedAuthorities {
    /// Those that variables name.
    Environment(Environment),
    /// Those that the policy of this machine names, in place of those of variables.
    Policy(Vec<CertificateDer<'static>>),
}

impl AddedAuthorities {
    /// What the policy says, else the variables. A file of the policy without a certificate is an
    /// error.
    pub(super) fn of(context: &Context) -> Result<Self, Error> {
        let Some((files, rule)) = context.machine_policy.certificate_authorities()? else {
            return Ok(Self::Environment(context.environment.clone()));
        };
        let mut all = Vec::new();
        for file in files {
            let certificates = read_bundle(&file.content).map_err(|why| Error::UnusablePolicy {
                place: rule.to_string(),
                why: format!("{}: {why}", file.path.display()),
            })?;
            all.extend(certificates);
        }
        Ok(Self::Policy(all))
    }
}

pub(super) type Trust = Arc<dyn ServerCertVerifier>;

/// A file of certificates that a variable of the environment names.
pub struct Bundle {
    /// The variable.
    pub variable: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The certificates in the file, or why it is ignored.
    content: Result<Vec<CertificateDer<'static>>, String>,
}

impl Bundle {
    /// Why the file is ignored; `None` if it adds its certificates.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.content.as_ref().err().map(String::as_str)
    }
}

/// The files whose certificates the environment adds to those of the platform, up to the first that
/// can be read: only that one applies. A bundle serves many programs, so that one that cannot be
/// read is not an error.
#[must_use]
pub fn bundles(environment: &Environment) -> Vec<Bundle> {
    let mut found = Vec::new();
    for variable in env::CA_BUNDLE_VARIABLES {
        let Some(path) = environment.path(variable) else {
            continue;
        };
        let content = read(&path);
        let usable = content.is_ok();
        found.push(Bundle {
            variable,
            path,
            content,
        });
        if usable {
            break;
        }
    }
    found
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = files::read_user_file(path, MAX_BUNDLE).map_err(|why| why.to_string())?;
    read_bundle(&bytes)
}

/// All sources of trust of one connection.
pub(super) struct Authorities {
    /// What the platform decides. Where the environment takes its place, the system's own bundle is
    /// among `added`.
    pub(super) platform: Option<Trust>,
    pub(super) added: Vec<Trust>,
    /// Certificates that are accepted if a server shows exactly these.
    pub(super) exact: Vec<CertificateDer<'static>>,
    /// What was not read, for people.
    pub(super) notes: Vec<String>,
}

impl Authorities {
    /// Reads everything, which takes milliseconds. `own` are those of the connection.
    pub(super) fn load(
        own: &[CertificateDer<'static>],
        added: &AddedAuthorities,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        let mut loaded = Self {
            platform: None,
            added: Vec::new(),
            exact: own.to_vec(),
            notes: Vec::new(),
        };
        loaded.add_platform(added, provider);
        loaded.add(own.to_vec(), provider);
        match added {
            AddedAuthorities::Environment(environment) => {
                loaded.add_bundles(environment, provider);
            }
            AddedAuthorities::Policy(certificates) => {
                loaded.add_bundle(certificates.clone(), provider);
            }
        }
        loaded
    }

    fn add_bundles(&mut self, environment: &Environment, provider: &Arc<CryptoProvider>) {
        for bundle in bundles(environment) {
            match bundle.content {
                Ok(certificates) => self.add_bundle(certificates, provider),
                Err(why) => self.notes.push(format!(
                    "{} names {}, which was not read: {why}",
                    bundle.variable,
                    bundle.path.display()
                )),
            }
        }
    }

    /// On Linux and the BSDs, the platform's verifier reads only what OpenSSL's variables name
    /// where they are set, and waits for a FIFO there. So the same is read here, within limits; and
    /// the system's bundle as well, since variables add trust for this program and take none away.
    fn add_platform(&mut self, added: &AddedAuthorities, provider: &Arc<CryptoProvider>) {
        let environment = match added {
            AddedAuthorities::Environment(environment) => Some(environment),
            AddedAuthorities::Policy(_) => None,
        };
        let path = |name| environment.and_then(|environment| environment.path(name));
        let is_set = |name| std::env::var_os(name).is_some() || path(name).is_some();
        let reads_variables = cfg!(all(unix, not(target_vendor = "apple")));
        if reads_variables && (is_set(env::SSL_CERT_FILE) || is_set(env::SSL_CERT_DIR)) {
            let bundle = SYSTEM_BUNDLES.iter().map(Path::new).find(|p| p.is_file());
            self.add(
                bundle.and_then(|path| read(path).ok()).unwrap_or_default(),
                provider,
            );
            if let Some(folders) = path(env::SSL_CERT_DIR) {
                self.add_bundle(read_folders(&folders), provider);
            }
            return;
        }
        match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
            Ok(verifier) => self.platform = Some(Arc::new(verifier)),
            Err(_) => self.notes.push(
                "this machine has no certificate authorities; on Linux, install the package ca-certificates"
                    .to_owned(),
            ),
        }
    }

    /// Certificates that serve many programs. A server's own certificate among them is not an
    /// authority, but it is accepted itself.
    fn add_bundle(
        &mut self,
        certificates: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) {
        let servers = certificates.iter().filter(|der| !is_authority(der));
        self.exact.extend(servers.cloned());
        self.add(certificates, provider);
    }

    fn add(&mut self, certificates: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.into_iter().filter(is_authority));
        if roots.is_empty() {
            return;
        }
        let provider = Arc::clone(provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        if let Ok(verifier) = verifier.build() {
            self.added.push(verifier);
        }
    }
}

fn is_authority(der: &CertificateDer<'_>) -> bool {
    parse(der).is_some_and(|certificate| may_sign(&certificate))
}

/// The certificates in all files of the folders, separated as in `PATH`.
fn read_folders(folders: &Path) -> Vec<CertificateDer<'static>> {
    let mut left = MAX_BUNDLE;
    let mut certificates = Vec::new();
    let entries = std::env::split_paths(folders)
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    for entry in entries {
        if let Ok(bytes) = files::read_user_file(&entry.path(), left) {
            left -= bytes.len() as u64;
            certificates.extend(read_bundle(&bytes).unwrap_or_default());
        }
    }
    certificates
}
