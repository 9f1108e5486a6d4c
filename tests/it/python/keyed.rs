//! Connections with an API key from Python.

use std::fs;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Dialogue;
use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Endpoint, Fault, Portal, PortalVersion, OTHER_USER, USER};

#[test]
fn python_gives_and_uses_an_api_key() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    let [key, second] = [0, 1].map(|_| portal.make_api_key(USER, 300));
    home.allow_secrets_in("kept");
    fs::write(home.path().join("kept"), &key).unwrap();
    let printer = format!("/bin/cat {}", home.path().join("kept").display());
    let end = Timestamp::now() + SignedDuration::from_hours(24 * 200);
    let end = format!("{end:.0}");
    let url = portal.url();
    let arguments = [&*url, &*ca, &*end, &*printer, USER];
    let mut script = Dialogue::start(&home, "api_key.py", &arguments);
    script.tell(&key).tell(&second);
    script.tell(&portal.make_api_key(OTHER_USER, 300));
    assert_eq!(script.line(), "revoke");
    portal.revoke_api_key(&second);
    script.tell("done").ends();
}

/// A portal, a home, and its connection `keyed` with a key of [`USER`].
struct Keyed {
    portal: Portal,
    home: Home,
    key: String,
}

fn in_days(days: i64) -> String {
    let end = Timestamp::now() + SignedDuration::from_hours(24 * days);
    format!("{end:.0}")
}

impl Keyed {
    /// With the key stored, or printed by a command.
    fn new(printed: bool) -> Self {
        let portal = Portal::start(PortalVersion::Enterprise114);
        let home = home();
        let key = portal.make_api_key(USER, 300);
        let keyed = Self { portal, home, key };
        let ca = keyed.portal.ca_file(keyed.home.path());
        let (url, ca, end) = (keyed.portal.url(), ca.display().to_string(), in_days(200));
        let mut words = vec!["connections", "add", "--label", "keyed", "--portal", &url];
        words.extend(["--verify-ssl", &ca, "--auth-type", "key", "--expires", &end]);
        let command = format!("/bin/cat {}", keyed.kept().display());
        if printed {
            keyed.home.allow_secrets_in("kept");
            fs::write(keyed.kept(), &keyed.key).unwrap();
            words.extend(["--api-key-command", &command]);
        } else {
            words.push("--api-key-stdin");
        }
        keyed.home.run(words).input(keyed.key.clone()).done().ok();
        keyed
    }

    fn kept(&self) -> PathBuf {
        self.home.path().join("kept")
    }

    /// How often the key was sent, in whatever place of a request.
    fn sent(&self) -> usize {
        let holds = |text: &String| text.contains(&self.key);
        let requests = self.portal.requests();
        let with_key = requests.iter().filter(|one| {
            one.headers.values().any(holds)
                || one.query.values().any(holds)
                || one.form.values().any(holds)
        });
        with_key.count()
    }

    /// Runs the script. `refuse` lets the portal refuse the key, which is sent so many times.
    #[track_caller]
    fn refused_to(&self, way: &str, address: &str, refuse: impl Fn(), times: usize) {
        let mut script = Dialogue::start(&self.home, "refused_key.py", &[way, address, "keyed"]);
        assert_eq!(script.line(), "refuse");
        let before = self.sent();
        refuse();
        assert_eq!(script.tell("done").line(), "replace");
        assert_eq!(self.sent() - before, times, "{way}: {address}");
        let other = self.portal.make_api_key(USER, 300);
        if self.kept().exists() {
            fs::write(self.kept(), other).unwrap();
        } else {
            let end = in_days(250);
            let words = [
                "connections",
                "edit",
                "keyed",
                "--expires",
                &end,
                "--api-key-stdin",
            ];
            self.home.run(words).input(other).done().ok();
        }
        script.tell("done").ends();
        assert_eq!(self.sent() - before, times, "{way}: {address}");
    }
}

#[test]
fn rule_24i_python_sends_a_refused_key_to_the_portal_once() {
    for way in ["requests", "httpx", "async", "gis"] {
        let keyed = Keyed::new(false);
        let address = keyed.portal.rest("search");
        let refuse = || keyed.portal.revoke_api_key(&keyed.key);
        keyed.refused_to(way, &address, refuse, 1);
    }
}

#[test]
fn rule_24i_python_takes_a_status_for_the_refusal_of_a_key() {
    for (way, code) in [
        ("requests", 498),
        ("httpx", 499),
        ("async", 498),
        ("gis", 499),
    ] {
        let keyed = Keyed::new(false);
        let address = keyed.portal.rest("search");
        let said = json!({"error": {"code": code, "message": "Invalid Token."}});
        let refuse = || {
            let fault = Fault::JsonStatus(code, said.clone());
            keyed
                .portal
                .set(|rules| rules.fault(Endpoint::Search, fault));
        };
        keyed.refused_to(way, &address, refuse, 1);
    }
}

#[test]
fn rule_24i_python_asks_for_no_servers_token_with_a_refused_key() {
    for way in ["requests", "httpx"] {
        let keyed = Keyed::new(false);
        let refuse = || keyed.portal.revoke_api_key(&keyed.key);
        let address = format!("{}/rest/services", keyed.portal.other_server_url());
        keyed.refused_to(way, &address, refuse, 1);
    }
    // What a server behind the portal refuses, the portal is asked about once.
    let keyed = Keyed::new(false);
    let refuse = || keyed.portal.revoke_api_key(&keyed.key);
    keyed.refused_to("requests", &keyed.portal.portal_layer_url(), refuse, 2);
}

#[test]
fn python_runs_the_command_again_for_another_key() {
    let keyed = Keyed::new(true);
    let refuse = || keyed.portal.revoke_api_key(&keyed.key);
    // The program asks whose the printed key is.
    keyed.refused_to("requests", &keyed.portal.rest("search"), refuse, 2);
}
