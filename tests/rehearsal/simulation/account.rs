//! An account of the machine: a home with a store, a vault and a log of its own, and what is known
//! of its connections from outside.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::support::home::Home;
use crate::support::portal::{App, Portal};
use crate::support::scenario::{add_application_arguments, add_arguments, sign_in};
use crate::support::secret_scan::{assert_no_secret_but, SecretKind};

use super::plan::{LABELS, OLD_PORTAL_EVERY, USER_CONNECTIONS};
use super::results::Cause;

/// The connection of an application whose client secret is stored, by its number.
pub const STORED_SECRET: usize = 3;
/// The file that the command for the client secret of the other one prints.
const SECRET_FILE: &str = "robot.secret";
const LOG: &str = "age-oauth.jsonl";

/// Whom a connection signs in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    User,
    /// A person, at a portal that cannot extend sign-ins.
    UserOfOldPortal,
    /// An application whose client secret is stored.
    StoredSecret,
    /// An application whose client secret is printed by a command.
    SecretCommand,
}

impl Kind {
    pub fn is_user(self) -> bool {
        matches!(self, Self::User | Self::UserOfOldPortal)
    }
}

/// What is known about one connection without asking the program.
pub struct Connected {
    pub kind: Kind,
    pub client_id: String,
    /// When the last sign-in or extension was, in seconds of the simulation.
    pub signed_in: i64,
    /// What may have ended the sign-in, and was not noticed yet.
    pub threatened: Option<Cause>,
    /// The sign-in is lost, and no person has signed in again.
    pub lost: bool,
    /// The portal has a new client secret which is not stored yet.
    pub replaced_secret: Option<String>,
    /// Until when the last token can be used, in seconds of the simulation.
    pub usable_until: i64,
}

/// How a program ended, and how long it took.
pub struct Ended {
    pub code: i32,
    pub took: Duration,
    pub stdout: String,
    pub stderr: String,
}

/// A line of the log about one connection.
pub struct Logged {
    pub connection: usize,
    pub decision: String,
    pub code: i32,
    pub message: String,
}

pub struct Account {
    pub home: Home,
    pub connections: Vec<Connected>,
    /// How much of the log has been read.
    log_read: u64,
}

impl Account {
    /// A home whose programs see the simulated time.
    pub fn new(program: &Path, faketime: &Path, number: usize) -> Self {
        let mut home = Home::new(program);
        home.set("LD_PRELOAD", faketime.to_str().unwrap());
        // Deadlines and pauses are those of the real time.
        home.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        home.set("NO_FAKE_STAT", "1");
        let log = home.path().join(LOG);
        home.set("AGE_OAUTH_LOG", log.to_str().unwrap());
        // What the command prints, which a secret manager would encrypt.
        home.allow_secrets_in(SECRET_FILE);
        Self {
            home,
            connections: connections(number),
            log_read: 0,
        }
    }

    /// Registers the applications, adds the connections, and signs in. The portals are the present
    /// one and the old one.
    pub fn set_up(&mut self, portals: [&Portal; 2], now: i64) {
        for number in 0..self.connections.len() {
            let portal = self.portal_of(number, portals);
            let secret = new_secret();
            let app = App::new(&self.connections[number].client_id, &secret);
            portal.set(|rules| rules.apps.push(app));
            self.add(number, portal, &secret);
            if self.connections[number].kind.is_user() {
                self.sign_in(number, portal, now);
            }
        }
        let _ = self.new_log_lines();
    }

    pub fn portal_of<'a>(&self, number: usize, portals: [&'a Portal; 2]) -> &'a Portal {
        match self.connections[number].kind {
            Kind::UserOfOldPortal => portals[1],
            Kind::User | Kind::StoredSecret | Kind::SecretCommand => portals[0],
        }
    }

    fn add(&self, number: usize, portal: &Portal, secret: &str) {
        let ca = self.home.path().join(format!("{}.pem", portal.port()));
        fs::write(&ca, portal.ca_pem()).unwrap();
        let (url, ca) = (portal.url(), ca.to_str().unwrap());
        let (label, id) = (LABELS[number], &self.connections[number].client_id);
        match self.connections[number].kind {
            Kind::User | Kind::UserOfOldPortal => {
                self.home
                    .run(add_arguments(label, &url, id, ca))
                    .done()
                    .ok();
            }
            Kind::StoredSecret => {
                let words = add_application_arguments(label, &url, id, ca);
                self.home.run(words).input(secret).done().ok();
            }
            Kind::SecretCommand => {
                let file = self.secret_file();
                fs::write(&file, secret).unwrap();
                let command = format!("/bin/cat {}", file.display());
                let mut words = add_arguments(label, &url, id, ca).to_vec();
                words.extend(["--auth-type", "app", "--client-secret-command", &command]);
                self.home.run(words).done().ok();
            }
        }
    }

    fn secret_file(&self) -> PathBuf {
        self.home.path().join(SECRET_FILE)
    }

    /// A person signs in.
    pub fn sign_in(&mut self, number: usize, portal: &Portal, now: i64) {
        sign_in(&self.home, portal, LABELS[number]).ok();
        let connection = &mut self.connections[number];
        connection.signed_in = now;
        connection.threatened = None;
        connection.lost = false;
    }

    /// The portal gets a new client secret. A secret manager has it at once; a person stores it
    /// later.
    pub fn rotate(&mut self, number: usize, portal: &Portal) {
        let (secret, id) = (new_secret(), &self.connections[number].client_id);
        portal.set(|rules| rules.app_mut(id).secret.clone_from(&secret));
        match self.connections[number].kind {
            Kind::SecretCommand => fs::write(self.secret_file(), &secret).unwrap(),
            Kind::StoredSecret => self.connections[number].replaced_secret = Some(secret),
            Kind::User | Kind::UserOfOldPortal => {}
        }
    }

    /// A person stores the new client secret. Whether there was one.
    pub fn store_new_secret(&mut self) -> bool {
        let Some(secret) = self.connections[STORED_SECRET].replaced_secret.take() else {
            return false;
        };
        let words = [
            "connections",
            "edit",
            LABELS[STORED_SECRET],
            "--client-secret-stdin",
        ];
        self.home.run(words).input(secret).done().ok();
        true
    }

    /// Runs the program to its end, and measures it.
    pub fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(self.home.program());
        command
            .args(words)
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        let begun = Instant::now();
        let out = command.output().expect("the program starts");
        let took = begun.elapsed();
        assert_no_secret_but(&[SecretKind::Access], "standard output", &out.stdout);
        assert_no_secret_but(&[], "standard error", &out.stderr);
        Ended {
            code: out.status.code().unwrap_or(-1),
            took,
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// What was logged since the last call.
    pub fn new_log_lines(&mut self) -> Vec<Logged> {
        let Ok(mut file) = fs::File::open(self.home.path().join(LOG)) else {
            return Vec::new();
        };
        file.seek(SeekFrom::Start(self.log_read)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        self.log_read += u64::try_from(text.len()).unwrap();
        text.lines().filter_map(read_line).collect()
    }
}

fn read_line(line: &str) -> Option<Logged> {
    let line: Value = serde_json::from_str(line).expect("a line of JSON");
    let label = line["connection"].as_str()?;
    Some(Logged {
        connection: LABELS.iter().position(|known| *known == label)?,
        decision: line["decision"].as_str()?.to_owned(),
        code: i32::try_from(line["code"].as_i64()?).ok()?,
        message: line["message"].as_str().unwrap_or_default().to_owned(),
    })
}

fn connections(account: usize) -> Vec<Connected> {
    let kind = |number: usize| match number {
        2 if account.is_multiple_of(OLD_PORTAL_EVERY) => Kind::UserOfOldPortal,
        0..USER_CONNECTIONS => Kind::User,
        STORED_SECRET => Kind::StoredSecret,
        _ => Kind::SecretCommand,
    };
    (0..LABELS.len())
        .map(|number| Connected {
            kind: kind(number),
            // By this, the portal's record says whose request it was.
            client_id: format!("account{account}-{}", LABELS[number]),
            signed_in: 0,
            threatened: None,
            lost: false,
            replaced_secret: None,
            usable_until: i64::MIN,
        })
        .collect()
}

/// New for each run, so that two runs on one machine do not find each other's.
fn new_secret() -> String {
    format!(
        "practice-{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    )
}
