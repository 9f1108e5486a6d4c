//! Client certificates from files, and network connections, by the Windows build in front of nginx
//! outside of wine.

use std::fs;

use super::{close_key, in_wine, launcher, variable};
use crate::client_certificates::{CLIENT, PASSWORD};
use crate::network::Behind;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{APP_ID, USER};
use crate::support::scenario::{add_arguments, age_sign_in, expire_token, sign_in};

/// The Windows build, and nginx that asks for the certificate of `CN=ana`.
struct Walk {
    home: Home,
    behind: Behind,
    _programs: tempfile::TempDir,
}

impl Walk {
    fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let program = variable("AGE_OAUTH_TEST_WINDOWS_PROGRAM");
        Self {
            home: in_wine(&launcher(programs.path(), &program)),
            behind: Behind::nginx(),
            _programs: programs,
        }
    }

    /// The path of the certificate as programs in wine know it.
    fn certificate(&self) -> String {
        format!("Z:{}", self.behind.certificate.replace('/', "\\"))
    }

    /// `connections add` with these words and the password of the certificate.
    fn add(&self, words: &[&str]) -> Outcome {
        let run = self
            .home
            .run([words, &["--client-cert-password-stdin"]].concat());
        run.input(PASSWORD).done().ok()
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }

    /// Runs each command with a token that has expired.
    fn renews(&self, label: &str, commands: &[&[&str]]) {
        for words in commands {
            close_key(&self.home);
            expire_token(&self.home, label);
            self.run(words).ok();
        }
    }
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_person_works_with_a_certificate_from_a_file() {
    let walk = Walk::new();
    let (url, ca) = (walk.behind.url.clone(), walk.behind.ca.clone());
    let copied = walk.certificate();
    let referred = format!("file:{copied}");
    for certificate in [&copied, &referred] {
        let words = add_arguments("pki", &url, APP_ID, &ca);
        walk.add(&[&words[..], &["--client-cert", certificate]].concat())
            .err_has("Client certificate: CN=ana, until ");
        sign_in(&walk.home, &walk.behind.portal, "pki").ok();
        walk.renews(
            "pki",
            &[
                &["whoami"],
                &["refresh"],
                &["refresh", "--all"],
                &["token"],
                &["api", "portals/self"],
                &["api", "portals/self", "-o", "self.json"],
            ],
        );
        close_key(&walk.home);
        age_sign_in(&walk.home, "pki", 9);
        walk.run(&["refresh", "--now"]).ok();
        let checked = walk.run(&["doctor"]).stdout;
        for line in ["ok   portal pki: ", "ok   client certificate pki: CN=ana"] {
            assert!(checked.contains(line), "{checked}");
        }
        if *certificate == referred {
            // As another program renews it.
            let pki = walk.behind.pki();
            pki.files().issue("ana", "issuing", CLIENT, "-days 200");
            pki.pkcs12("ana", "");
            walk.renews("pki", &[&["token"]]);
            fs::remove_file(&walk.behind.certificate).unwrap();
            close_key(&walk.home);
            expire_token(&walk.home, "pki");
            walk.run(&["token"]).code(1).err_has("ana.p12");
            pki.pkcs12("ana", "");
        }
        walk.run(&["logout"]).ok();
        assert_eq!(walk.behind.portal.live_refresh_tokens(), 0);
        walk.run(&["connections", "remove", "pki", "--yes"]).ok();
    }
    walk.behind.portal.assert_clean();
}

#[test]
#[ignore = "runs the Windows build: tests/run --windows"]
fn a_person_works_with_a_network_connection() {
    let walk = Walk::new();
    let certificate = walk.certificate();
    walk.add(&[
        "connections",
        "add",
        "--label=net",
        "--auth-type=network",
        "--portal",
        &walk.behind.url,
        "--verify-ssl",
        &walk.behind.ca,
        "--client-cert",
        &certificate,
    ]);
    walk.run(&["token"]).code(3).err_has("is not signed in");
    let login = walk.run(&["login"]).ok();
    let user = format!("Token is for user: {USER}");
    assert!(login.stdout.contains(&user), "{}", login.stdout);
    walk.renews(
        "net",
        &[
            &["token"],
            &["token", "--force"],
            &["refresh", "--all"],
            &["api", "community/self"],
            &["status", "--check"],
        ],
    );
    walk.run(&["whoami"]).ok().out(&format!("{USER}\n"));
    walk.run(&["logout"]).ok();
    walk.run(&["token"]).code(3);
    // No application, no browser, no refresh token.
    assert_eq!(walk.behind.portal.grants(), [] as [&str; 0]);
    walk.behind.portal.assert_clean();
}
