//! Certificates and servers that only OpenSSL makes: keys and signatures that this program does not
//! know, and old versions of TLS.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::portal::Identity;

/// How `openssl genpkey` makes a key.
pub const P256: &str = "EC -pkeyopt ec_paramgen_curve:prime256v1";
pub const P384: &str = "EC -pkeyopt ec_paramgen_curve:secp384r1";
pub const P521: &str = "EC -pkeyopt ec_paramgen_curve:secp521r1";
pub const RSA: &str = "RSA -pkeyopt rsa_keygen_bits:2048";

/// What an authority's certificate says about itself.
pub const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign";
/// What the certificate of a server on this machine says about itself.
pub const SERVER: &str =
    "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth";

/// A folder in which OpenSSL makes keys and certificates, each under a name.
pub struct OpenSsl(tempfile::TempDir);

impl OpenSsl {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The certificate of this name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    /// The same as an argument.
    pub fn file(&self, name: &str) -> String {
        self.certificate(name).display().to_string()
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.key"))
    }

    pub fn pem(&self, name: &str) -> String {
        std::fs::read_to_string(self.certificate(name)).unwrap()
    }

    /// Runs `openssl` in the folder, with blanks between the arguments.
    #[track_caller]
    pub fn run(&self, arguments: &str) {
        let run = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "openssl {arguments}: {said}");
    }

    #[track_caller]
    pub fn new_key(&self, name: &str, kind: &str) {
        self.run(&format!("genpkey -algorithm {kind} -out {name}.key"));
    }

    /// A self-signed certificate with a new key.
    #[track_caller]
    pub fn self_signed(&self, name: &str, kind: &str, extensions: &str, options: &str) {
        self.new_key(name, kind);
        self.issue(name, name, extensions, options);
    }

    /// A certificate with a new key, signed by `issuer`.
    #[track_caller]
    pub fn signed(&self, name: &str, kind: &str, issuer: &str, extensions: &str, options: &str) {
        self.new_key(name, kind);
        self.issue(name, issuer, extensions, options);
    }

    /// A certificate with the existing key, signed by `issuer` (or by itself).
    #[track_caller]
    pub fn issue(&self, name: &str, issuer: &str, extensions: &str, options: &str) {
        let options = options.trim();
        let options = if options.is_empty() {
            "-days 90"
        } else {
            options
        };
        std::fs::write(self.0.path().join("extensions"), extensions).unwrap();
        self.run(&format!(
            "req -new -key {name}.key -subj /CN={name} -out {name}.csr"
        ));
        let signer = if name == issuer {
            format!("-signkey {name}.key")
        } else {
            format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial")
        };
        let with = if extensions.is_empty() {
            String::new()
        } else {
            " -extfile extensions".to_owned()
        };
        self.run(&format!(
            "x509 -req -in {name}.csr {signer} -out {name}.pem{with} {options}"
        ));
    }

    /// A certificate with a new key, signed by `issuer`, that is valid between two dates (as in
    /// ASN.1: `20200101000000Z`).
    #[track_caller]
    pub fn signed_between(&self, name: &str, issuer: &str, extensions: &str, dates: [&str; 2]) {
        self.signed(name, P256, issuer, extensions, "");
        let path = |file: &str| self.0.path().join(file);
        std::fs::write(path("index"), "").unwrap();
        std::fs::write(
            path("ca.conf"),
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\npolicy=any\nrand_serial=yes\n[any]\ncommonName=supplied\n",
        )
        .unwrap();
        let [from, until] = dates;
        self.run(&format!(
            "ca -batch -notext -rand_serial -md sha256 -config ca.conf -in {name}.csr -out {name}.pem -cert {issuer}.pem -keyfile {issuer}.key -extfile extensions -startdate {from} -enddate {until}"
        ));
    }

    /// What a portal needs to show these certificates, the first with its key.
    pub fn identity(&self, chain: &[&str]) -> Identity {
        Identity {
            certificate_pem: chain.iter().map(|name| self.pem(name)).collect(),
            key_pem: std::fs::read_to_string(self.key(chain[0])).unwrap(),
        }
    }

    /// `openssl s_server`, which answers every request with a page of its own.
    pub fn server(&self, name: &str, options: &str) -> OpenSslServer {
        let options = options.split(' ').filter(|option| !option.is_empty());
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(self.certificate(name))
            .arg("-key")
            .arg(self.key(name))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("ACCEPT ")?
                    .rsplit(':')
                    .next()?
                    .parse()
                    .ok()
            })
            .expect("openssl s_server does not start");
        // Read to the end, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        OpenSslServer { child, port }
    }
}

pub struct OpenSslServer {
    child: Child,
    port: u16,
}

impl OpenSslServer {
    pub fn url(&self) -> String {
        format!("https://localhost:{}/portal", self.port)
    }
}

impl Drop for OpenSslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
