//! A PKCS#11 token of its own: `SoftHSM`, whose objects are files in a folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::home::Home;
use super::openssl::OpenSsl;

/// Debian's library.
pub const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// The token's label.
pub const LABEL: &str = "card of ana";

/// A token with this PIN.
pub struct SoftHsm {
    folder: tempfile::TempDir,
    pin: &'static str,
}

impl SoftHsm {
    pub fn new(pin: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let made = Self { folder, pin };
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            made.folder.path().join("tokens").display()
        );
        fs::write(made.configuration(), text).unwrap();
        let words = [
            "--init-token",
            "--free",
            "--label",
            LABEL,
            "--so-pin",
            "87654321",
        ];
        made.run("softhsm2-util", &[&words[..], &["--pin", pin]].concat());
        made
    }

    /// Leaves the token with these mechanisms alone, with commas between them.
    pub fn keep_mechanisms(&self, names: &str) {
        let mut text = fs::read_to_string(self.configuration()).unwrap();
        text += "slots.mechanisms = ";
        text += names;
        fs::write(self.configuration(), text).unwrap();
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn run(&self, program: &str, words: &[&str]) {
        let done = Command::new(program)
            .args(words)
            .env("SOFTHSM2_CONF", self.configuration())
            .output()
            .unwrap();
        assert!(done.status.success(), "{program}: {done:?}");
    }

    /// Puts the private key `NAME.key` with `NAME.pem` on the token, and the certificates of these
    /// authorities.
    pub fn import(&self, files: &OpenSsl, name: &str, id: u8, authorities: &[&str]) {
        files.run(&format!(
            "pkcs8 -topk8 -nocrypt -in {name}.key -out {name}.pk8.key"
        ));
        let key = files.key(&format!("{name}.pk8")).display().to_string();
        let words = ["--import", &key, "--token", LABEL, "--label", name];
        let hex = format!("{id:02x}");
        self.run(
            "softhsm2-util",
            &[&words[..], &["--id", &hex, "--pin", self.pin]].concat(),
        );
        self.write_certificate(files, name, &hex);
        for authority in authorities {
            self.write_certificate(files, authority, "");
        }
    }

    /// Puts the certificate `NAME.pem` on the token.
    pub fn write_certificate(&self, files: &OpenSsl, name: &str, id: &str) {
        files.run(&format!(
            "x509 -in {name}.pem -outform DER -out {name}.der.pem"
        ));
        let file = files.file(&format!("{name}.der"));
        let words = [
            "--module",
            LIBRARY,
            "--login",
            "--pin",
            self.pin,
            "--write-object",
        ];
        let more = [&*file, "--type", "cert", "--label", name];
        let id = if id.is_empty() {
            vec![]
        } else {
            vec!["--id", id]
        };
        self.run("pkcs11-tool", &[&words[..], &more, &id].concat());
    }

    pub fn change_pin(&self, new: &str) {
        let words = ["--module", LIBRARY, "--login", "--pin", self.pin];
        self.run(
            "pkcs11-tool",
            &[&words[..], &["--change-pin", "--new-pin", new]].concat(),
        );
    }

    /// Enters a wrong PIN with another program.
    pub fn enter_wrong_pin(&self) {
        let done = Command::new("pkcs11-tool")
            .args([
                "--module",
                LIBRARY,
                "--login",
                "--pin",
                "00000000",
                "--list-objects",
            ])
            .env("SOFTHSM2_CONF", self.configuration())
            .output()
            .unwrap();
        assert!(!done.status.success());
    }

    /// A library in front of `SoftHSM`'s that behaves as other tokens do (`pkcs11_token.c`). Each
    /// login is a line of the file beside it.
    pub fn other_library(&self) -> PathBuf {
        let library = self.folder.path().join("token.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pkcs11_token.c");
        let define = format!("-DSOFTHSM=\"{LIBRARY}\"");
        let made = library.display().to_string();
        let words = ["-shared", "-fPIC", &define, "-o", &made, source, "-ldl"];
        self.run("cc", &words);
        library
    }

    /// How often a PIN was tried by the program of a home with [`SoftHsm::other_library`].
    pub fn logins(&self) -> usize {
        fs::read_to_string(self.log())
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("logins")
    }

    /// Lets the program of this home find the token.
    pub fn use_in(&self, home: &mut Home) {
        home.set("SOFTHSM2_CONF", &self.configuration().display().to_string());
        home.set("TEST_TOKEN_LOG", &self.log().display().to_string());
    }
}
