//! QGIS's plugin in the real window of QGIS: the zip is installed into a new profile, and the
//! plugin is driven through its widgets, on a display of its own.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::api_key::in_days;
use crate::qgis::PICTURES;
use crate::signing_in::with_loopback;
use crate::support::home::Home;
use crate::support::portal::{
    service_secret, Endpoint, Fault, ForeignServer, Gate, Item, Portal, PortalVersion, APP_ID,
    OTHER_USER, SERVICE_ID, USER,
};
use crate::support::scenario::{add, expire_token};
use crate::{home, signed_in};

/// What a token is bound to after a change.
const REFERER: &str = "https://app.example";

/// A display without a screen.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1400x900x24"])
            .args(["-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb; see tests/run");
        let mut number = String::new();
        let mut lines = BufReader::new(server.stdout.as_mut().expect("a pipe"));
        lines.read_line(&mut number).expect("a number");
        Self {
            name: format!(":{}", number.trim()),
            server,
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// QGIS's window, driven by a script of `tests/python`.
struct Desktop {
    qgis: Child,
    said: BufReader<ChildStdout>,
    errors: PathBuf,
    _display: Display,
}

/// A script that takes longer is ended, in seconds.
const LIMIT: &str = "900";

impl Desktop {
    fn start(home: &Home, script: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_with(home, script, variables, &[])
    }

    fn start_with(
        home: &Home,
        script: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let display = Display::start();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
        let errors = home.path().join("qgis-errors");
        let runtime = home.path().join("runtime");
        std::fs::create_dir_all(&runtime).expect("a folder");
        std::fs::set_permissions(&runtime, Permissions::from_mode(0o700)).expect("a folder");
        // Where the pictures are for a person to look at: in the home, if the variable is not set.
        let pictures = std::env::var_os(PICTURES).map_or_else(
            || home.path().join("pictures"),
            |folder| Path::new(&folder).join(script),
        );
        let mut command = Command::new("timeout");
        command
            .args([
                "--kill-after=5",
                LIMIT,
                "qgis",
                "--nologo",
                "--noversioncheck",
            ])
            .arg("--profiles-path")
            .arg(home.path().join("profiles"))
            .arg("--code")
            .arg(scripts.join(script))
            .args(arguments)
            .env_clear()
            .envs(home.environment())
            // The Python inside QGIS takes its packages from beside the first one on the path.
            .env("PATH", "/usr/bin:/bin")
            .env("DISPLAY", &display.name)
            .env("QT_QPA_PLATFORM", "xcb")
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("XDG_CACHE_HOME", home.path().join("cache"))
            .env("PYTHONPATH", &scripts)
            .env("PYTHONPYCACHEPREFIX", home.path().join("pycache"))
            .env("AGE_OAUTH_BIN", home.program())
            .env("BROWSER", "true")
            .env("AGE_OAUTH_TEST_ZIP", plugin(home))
            .env(PICTURES, pictures)
            .envs(variables.iter().copied())
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).expect("a file"));
        let mut qgis = command.spawn().expect("QGIS; see tests/run");
        let said = BufReader::new(qgis.stdout.take().expect("a pipe"));
        Self {
            qgis,
            said,
            errors,
            _display: display,
        }
    }

    /// The next line that the script says; panics with QGIS's errors if there is none.
    #[track_caller]
    fn line(&mut self) -> String {
        let (mut line, mut others) = (String::new(), String::new());
        while self.said.read_line(&mut line).expect("text") > 0 {
            if let Some(said) = line.strip_prefix(">> ") {
                return said.trim_end().to_owned();
            }
            others.push_str(&line);
            line.clear();
        }
        let errors = std::fs::read_to_string(&self.errors).expect("errors");
        panic!("{others}\n{errors}");
    }

    fn tell(&mut self, line: &str) -> &mut Self {
        writeln!(self.qgis.stdin.as_mut().expect("a pipe"), "{line}").expect("a listener");
        self
    }

    /// Signs in as a person does in the browser, at the address that the script says.
    #[track_caller]
    fn sign_in(&mut self, portal: &Portal, user: &str) {
        let address = self.line();
        let code = portal.authorize(&address, user).code();
        self.tell(&code);
    }

    #[track_caller]
    fn ends(&mut self) {
        assert_eq!(self.line(), "done");
        let mut others = String::new();
        self.said.read_to_string(&mut others).expect("text");
        let status = self.qgis.wait().expect("an end");
        let errors = std::fs::read_to_string(&self.errors).expect("errors");
        assert!(status.success(), "{status}\n{others}\n{errors}");
        assert!(!errors.contains("Traceback"), "{errors}");
    }
}

/// The zip of the plugin, packed once for this home.
fn plugin(home: &Home) -> PathBuf {
    let zip = home.path().join("age_oauth_plugin.zip");
    if !zip.exists() {
        pack(&zip, &[]);
    }
    zip
}

fn pack(zip: &Path, translations: &[&Path]) {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qgis/pack");
    let mut packed = Command::new("/usr/bin/python3");
    packed.arg(pack).arg(zip).args(translations);
    assert!(packed.status().expect("Python").success());
}

#[test]
fn a_person_adds_a_connection_signs_in_and_opens_layers() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.publish_services();
    let home = home();
    let (url, authority) = (portal.url(), portal.ca_file(home.path()));
    let variables = [
        ("AGE_OAUTH_TEST_NAME", "prod"),
        ("AGE_OAUTH_TEST_PORTAL", url.as_str()),
        ("AGE_OAUTH_TEST_CLIENT", APP_ID),
        ("AGE_OAUTH_TEST_AUTHORITY", authority.to_str().unwrap()),
    ];
    let mut desktop = Desktop::start(&home, "qgis_plugin_first_layer.py", &variables);
    desktop.sign_in(&portal, USER);
    desktop.ends();
    // The next day, with the project.
    let project = home.path().join("project.qgz");
    Desktop::start_with(
        &home,
        "qgis_plugin_again.py",
        &[],
        &[project.to_str().unwrap()],
    )
    .ends();
    portal.assert_clean();
}

#[test]
fn a_sign_in_that_has_ended_is_told_once_and_renewed_by_the_button() {
    let (portal, home) = signed_in();
    let (layer, authority) = (portal.portal_layer_url(), portal.ca_file(home.path()));
    let variables = [
        ("AGE_OAUTH_TEST_LAYER", layer.as_str()),
        ("AGE_OAUTH_TEST_AUTHORITY", authority.to_str().unwrap()),
    ];
    let mut desktop = Desktop::start(&home, "qgis_plugin_ends.py", &variables);
    assert_eq!(desktop.line(), "ready");
    expire_token(&home, "prod");
    portal.revoke_all();
    home.run(["token"]).done().code(3);
    desktop.tell("ended");
    desktop.sign_in(&portal, USER);
    desktop.ends();
    portal.assert_clean();
}

#[test]
fn a_sign_in_comes_back_to_this_machine_by_itself() {
    let (portal, home, _) = with_loopback("127.0.0.1");
    let mut desktop = Desktop::start(&home, "qgis_plugin_callback.py", &[]);
    let address = desktop.line();
    portal.authorize(&address, USER).follow().unwrap();
    desktop.ends();
    portal.assert_clean();
}

#[test]
fn two_connections_are_signed_in_at_once_and_one_of_them_not_twice() {
    let (portal, other) = (
        Portal::start(PortalVersion::Enterprise114),
        Portal::start(PortalVersion::Enterprise114),
    );
    let home = home();
    add(&home, &portal, "prod");
    add(&home, &other, "other");
    let mut desktop = Desktop::start(&home, "qgis_plugin_two.py", &[]);
    desktop.sign_in(&other, USER);
    desktop.sign_in(&portal, USER);
    desktop.ends();
    portal.assert_clean();
    other.assert_clean();
}

/// QGIS edits these layers from 3.26 on.
#[test]
fn layers_are_edited_and_an_edit_that_the_server_refuses_is_told() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.roads.editable = true);
    let layer = portal.server_layer_url();
    let variables = [("AGE_OAUTH_TEST_LAYER", layer.as_str())];
    let mut desktop = Desktop::start(&home, "qgis_plugin_edits.py", &variables);
    if desktop.line() == "saved" {
        let names = portal.set(|rules| rules.roads.names());
        assert_eq!(names.len(), 7);
        assert!(names.contains(&"Oak Street".to_owned()));
        assert!(names.contains(&"Birch Lane".to_owned()));
        assert!(!names.contains(&"Aspen Street".to_owned()));
        portal.set(|rules| rules.roads.editable = false);
        desktop.tell("refused");
    }
    desktop.ends();
    portal.assert_clean();
}

#[test]
fn each_kind_of_connection_is_added_and_what_others_change_in_it_counts() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    // Where the user's name is not in ASCII.
    let home = Home::with_difficult_paths(home().program());
    let (url, authority) = (portal.url(), portal.ca_file(home.path()));
    let key = portal.make_api_key(USER, 300);
    let end = in_days(200);
    let variables = [
        ("AGE_OAUTH_TEST_PORTAL", url.as_str()),
        ("AGE_OAUTH_TEST_AUTHORITY", authority.to_str().unwrap()),
        ("AGE_OAUTH_TEST_CLIENT", SERVICE_ID),
        ("AGE_OAUTH_TEST_END", &end[..10]),
    ];
    let mut desktop = Desktop::start(&home, "qgis_plugin_adds.py", &variables);
    assert_eq!(desktop.line(), "client secret");
    desktop.tell(service_secret());
    assert_eq!(desktop.line(), "key");
    desktop.tell(&key);
    assert_eq!(desktop.line(), "change");
    let changes = [
        &["connections", "rename", "keyed", "renamed"][..],
        &["connections", "edit", "renamed", "--referer", REFERER],
    ];
    for words in changes {
        home.run(words).done().ok();
    }
    desktop.tell("changed");
    assert_eq!(desktop.line(), "remove");
    home.run(["connections", "remove", "renamed", "--yes"])
        .done()
        .ok();
    desktop.tell("removed").ends();
}

#[test]
fn a_portal_that_answers_anything_stops_nothing() {
    let (portal, home) = signed_in();
    portal.publish_services();
    let mut desktop = Desktop::start(&home, "qgis_plugin_garbage.py", &[]);
    let steps = [
        (Endpoint::Search, "search"),
        (Endpoint::CommunitySelf, "search"),
        (Endpoint::Federated, "open"),
        (Endpoint::Servers, "switch"),
    ];
    for (name, fault) in Fault::malformed() {
        for (endpoint, step) in steps {
            portal.set(|rules| rules.fault_always(endpoint, fault.clone()));
            let is_long = name == "huge" && step != "switch";
            let expected = if is_long { "longer than" } else { "" };
            assert_eq!(desktop.line(), "next", "{name} {step}");
            desktop.tell(&format!("{step} {expected}"));
            // The next step begins with what a good search has found.
            assert_eq!(desktop.line(), "next", "{name} {step}");
            portal.set(|rules| rules.clear_faults());
            desktop.tell("search ");
        }
    }
    assert_eq!(desktop.line(), "next");
    desktop.tell("open ");
    assert_eq!(desktop.line(), "next");
    desktop.tell("end").ends();
}

/// QGIS 3.40 crashes by itself where a thread of its tasks ends last.
#[test]
fn qgis_is_closed_after_a_layer_was_opened_with_and_without_the_plugin() {
    for unloads in ["0", "1"] {
        let (portal, home) = signed_in();
        portal.publish_services();
        let variables = [("AGE_OAUTH_TEST_UNLOADS", unloads)];
        Desktop::start(&home, "qgis_plugin_closes.py", &variables).ends();
        portal.assert_clean();
    }
}

#[test]
fn what_goes_on_at_a_silent_portal_is_canceled_and_ends_with_the_plugin() {
    let (portal, home) = signed_in();
    portal.publish_services();
    let hold = |endpoints: &[Endpoint]| {
        let gate = Gate::default();
        portal.set(|rules| {
            rules.clear_faults();
            for endpoint in endpoints {
                rules.fault_always(*endpoint, Fault::HoldBefore(gate.clone()));
            }
        });
        gate
    };
    let mut desktop = Desktop::start(&home, "qgis_plugin_interrupts.py", &[]);
    for step in ["canceled", "asked"] {
        let address = desktop.line();
        let gate = hold(&[
            Endpoint::Code,
            Endpoint::CommunitySelf,
            Endpoint::PortalSelf,
        ]);
        let code = portal.authorize(&address, USER).code();
        desktop.tell(&code);
        assert_eq!(desktop.line(), "sent");
        gate.await_arrivals(1);
        desktop.tell("held");
        assert_eq!(desktop.line(), step);
        if step == "asked" {
            gate.await_arrivals(2);
            desktop.tell("held");
            assert_eq!(desktop.line(), "unloaded");
        }
        hold(&[]);
        gate.open();
        // The sign-in of before is still there.
        expire_token(&home, "prod");
        home.run(["token"]).done().ok();
        desktop.tell(if step == "asked" {
            "goes on"
        } else {
            "signed in as before"
        });
    }
    assert_eq!(desktop.line(), "found");
    let gate = hold(&[Endpoint::Federated]);
    desktop.tell("hold");
    assert_eq!(desktop.line(), "opening");
    gate.await_arrivals(1);
    desktop.tell("held").ends();
    gate.open();
}

#[test]
fn twenty_times_loaded_and_unloaded_the_plugin_leaves_nothing() {
    let (portal, home) = signed_in();
    Desktop::start(&home, "qgis_plugin_reloads.py", &[]).ends();
    portal.assert_clean();
}

#[test]
fn rule_24h_titles_and_addresses_of_items_are_not_trusted() {
    let (portal, home) = signed_in();
    add(&home, &portal, "second");
    let foreign = ForeignServer::claiming(&portal);
    let at_server = portal.server_layer_url();
    let img = format!("<img src=\"{}/x.png\"> a title", foreign.url());
    let feature = |id: &str, title: &str, url: &str| {
        Item::new(id, title, "Feature Service", OTHER_USER).at(url)
    };
    portal.set(|rules| {
        rules.items = vec![
            feature("1", &img, &at_server),
            feature(
                "2",
                "Takes a stored sign-in",
                &format!("{at_server}' authcfg='abc1234"),
            ),
            feature(
                "3",
                "Foreign",
                &format!("{}/rest/services/Roads/FeatureServer/0", foreign.url()),
            ),
        ];
        let more = (0..60).map(|number| {
            let text = format!("more{number}");
            feature(&text, &text, &at_server)
        });
        rules.items.extend(more);
    });
    let wrong = format!("https://localhost:{}/nothing", portal.port());
    let variables = [("AGE_OAUTH_TEST_WRONG", wrong.as_str())];
    Desktop::start(&home, "qgis_plugin_hostile.py", &variables).ends();
    foreign.assert_no_connection();
    portal.assert_clean();
}

#[test]
fn texts_are_in_the_language_of_qgis_while_the_plugin_is_loaded() {
    let home = home();
    let folder = home.path().join("i18n");
    std::fs::create_dir(&folder).expect("a folder");
    let translation = "<?xml version='1.0' encoding='utf-8'?>\n<!DOCTYPE TS>\n\
        <TS version='2.1' language='de'><context><name>AgeOAuth</name><message>\
        <source>ArcGIS portals</source><translation>ArcGIS-Portale</translation>\
        </message></context></TS>";
    std::fs::write(folder.join("age_oauth_de.ts"), translation).expect("a file");
    pack(&home.path().join("age_oauth_plugin.zip"), &[&folder]);
    Desktop::start(&home, "qgis_plugin_language.py", &[]).ends();
}

#[test]
fn where_the_program_is_missing_the_panel_says_what_to_do() {
    let home = home();
    let nowhere = home.path().join("nowhere");
    let variables = [
        ("AGE_OAUTH_BIN", nowhere.to_str().unwrap()),
        ("AGE_OAUTH_TEST_BIN", home.program().to_str().unwrap()),
    ];
    Desktop::start(&home, "qgis_plugin_missing.py", &variables).ends();
}

#[test]
fn another_version_of_the_package_is_named() {
    let home = home();
    Desktop::start(&home, "qgis_plugin_other.py", &[]).ends();
}
