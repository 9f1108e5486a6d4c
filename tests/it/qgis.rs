//! QGIS's own ArcGIS layers, signed in by `age_oauth.qgis`: the QGIS of this system, without
//! windows, and the practice portal over TLS with a certificate authority of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use crate::python::Dialogue;
use crate::support::home::Home;
use crate::support::portal::{
    Endpoint, Fault, ForeignServer, Gate, Portal, PortalVersion, Recorded, APP_ID, COLOR,
    OTHER_USER, USER,
};
use crate::support::scenario::{add, add_application, add_with, expire_token, sign_in, sign_in_as};
use crate::{home, signed_in};

/// The Python that QGIS belongs to.
const PYTHON: &str = "/usr/bin/python3";

/// Where figures are for a person, if the variable is set.
pub const PICTURES: &str = "AGE_OAUTH_TEST_PICTURES";

/// A script that takes longer is ended, in seconds.
const LIMIT: &str = "300";

/// A script of `tests/python` in this home, not yet started. QGIS's settings and its cache are in
/// the home.
fn command<Text: AsRef<OsStr>>(home: &Home, name: &str, arguments: &[Text]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", LIMIT, PYTHON])
        .arg(root.join("tests/python").join(name))
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .env("PYTHONPATH", root.join("src/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AGE_OAUTH_BIN", home.program())
        .env("QT_QPA_PLATFORM", "offscreen")
        .env("QGIS_CUSTOM_CONFIG_PATH", home.path().join("qgis"))
        .env("XDG_CACHE_HOME", home.path().join("cache"))
        .current_dir(home.path());
    if let Some(folder) = std::env::var_os(PICTURES) {
        command.env(PICTURES, Path::new(&folder).join(name));
    }
    command
}

/// The file with the portal's authority, which requests of other code need.
fn authority(portal: &Portal, home: &Home) -> String {
    portal.ca_file(home.path()).display().to_string()
}

fn dialogue<Text: AsRef<OsStr>>(home: &Home, name: &str, arguments: &[Text]) -> Dialogue {
    Dialogue::of(command(home, name, arguments))
}

/// A map layer, the parts of its color, and feature layers of the portal and of a server.
fn with_map(portal: &Portal) -> Vec<String> {
    let mut all = vec![portal.server_map_url()];
    all.extend(COLOR.map(|part| part.to_string()));
    all.extend([portal.portal_layer_url(), portal.server_layer_url()]);
    all
}

fn script<Text: AsRef<OsStr>>(home: &Home, name: &str, arguments: &[Text]) -> Output {
    command(home, name, arguments).output().expect(PYTHON)
}

#[track_caller]
fn succeeds(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{:?}\n{said}\n{errors}",
        output.status
    );
    assert!(said.ends_with("done\n"), "{said}\n{errors}");
}

#[test]
fn rule_24h_layers_open_that_were_refused_before_and_no_file_holds_a_token() {
    let (portal, home) = signed_in();
    let color = COLOR.map(|part| part.to_string());
    let arguments = [
        &authority(&portal, &home),
        &portal.portal_layer_url(),
        &portal.server_layer_url(),
        &portal.server_map_url(),
        &color[0],
        &color[1],
        &color[2],
    ];
    succeeds(&script(&home, "qgis_layers.py", &arguments));
    for secret in portal.secrets() {
        assert!(home.files_containing(&secret).is_empty());
    }
    portal.assert_clean();
}

#[test]
fn layers_wait_for_connections_that_are_enabled_by_their_ids() {
    let (portal, home) = signed_in();
    succeeds(&script(
        &home,
        "qgis_starts.py",
        &[&portal.server_layer_url()],
    ));
    portal.assert_clean();
}

#[test]
fn layers_go_on_when_the_life_of_a_token_ends() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.user_access_seconds = 4);
    expire_token(&home, "prod");
    succeeds(&script(
        &home,
        "qgis_ends.py",
        &[&portal.server_layer_url()],
    ));
    for request in portal.requests_to(Endpoint::Federated) {
        assert!(request.header("x-esri-authorization").is_some());
    }
    portal.assert_clean();
}

#[test]
fn layers_that_fail_because_a_token_was_revoked_are_loaded_again() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.direct_federated = false);
    let mut script = dialogue(&home, "qgis_revoked.py", &with_map(&portal));
    assert_eq!(script.line(), "ready");
    portal.expire_access_tokens();
    script.tell("go").ends();
}

#[test]
fn features_that_fail_because_a_token_was_revoked_are_loaded_again() {
    let (portal, home) = signed_in();
    let mut script = dialogue(
        &home,
        "qgis_features_revoked.py",
        &[&portal.portal_layer_url()],
    );
    assert_eq!(script.line(), "ready");
    portal.expire_access_tokens();
    script.tell("go").ends();
}

#[test]
fn few_tokens_are_renewed_for_a_server_that_rejects_each() {
    let (portal, home) = signed_in();
    portal.set(|rules| {
        rules.fault_always(Endpoint::PortalLayer, Fault::error(498, "Invalid Token."));
    });
    let before = portal.grants().len();
    succeeds(&script(
        &home,
        "qgis_rejects.py",
        &[&portal.portal_layer_url()],
    ));
    let renewals = portal.grants().len() - before;
    assert!((1..=2).contains(&renewals), "{renewals} renewals");
}

#[test]
fn rule_24h_unknown_hosts_and_other_code_get_no_token_and_ask_nothing_of_the_portal() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::claiming(&portal);
    let arguments = [
        &authority(&portal, &home),
        &foreign.url(),
        &portal.standalone_url(),
        &portal.portal_layer_url(),
    ];
    succeeds(&script(&home, "qgis_foreign.py", &arguments));
    assert!(foreign.requests().len() >= 3);
    got_no_token(&foreign);
    let asked = portal.requests_to(Endpoint::PortalLayer);
    let signed = |one: &Recorded| one.header("x-esri-authorization").is_some();
    let (own, others): (Vec<_>, Vec<_>) = asked.iter().partition(|one| signed(one));
    // QGIS's own code makes three requests of this kind, a layout one for a picture. Not every QGIS
    // loads its page.
    assert_eq!(own.len(), 3);
    assert!(others.iter().any(|one| one.target.contains("picture.png")));
    let standalone = portal.requests_to(Endpoint::Standalone);
    assert!(!standalone.is_empty() && !standalone.iter().any(signed));
    assert!(portal.requests_to(Endpoint::GenerateToken).is_empty());
    portal.assert_clean();
}

#[test]
fn rule_24h_a_redirect_to_a_foreign_host_takes_no_token_along() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    let to = format!("{}/rest/services/Roads/FeatureServer/0", foreign.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::PortalLayer, Fault::Redirect { status: 302, to });
    });
    let arguments = [&authority(&portal, &home), &portal.portal_layer_url()];
    succeeds(&script(&home, "qgis_redirect.py", &arguments));
    let asked = portal.requests_to(Endpoint::PortalLayer);
    assert!(asked
        .iter()
        .all(|one| one.header("x-esri-authorization").is_some()));
    got_no_token(&foreign);
}

#[test]
fn rule_24h_only_services_and_the_content_of_the_portal_are_signed() {
    let (portal, home) = signed_in();
    let arguments = [
        authority(&portal, &home),
        portal.url(),
        portal.other_server_url(),
        portal.server_map_url(),
    ];
    succeeds(&script(&home, "qgis_paths.py", &arguments));
    let asked = portal.requests();
    let not_read = ["admin/", "/delete", "/share", "/tokens/", "/self/update"];
    for path in not_read {
        let mut those = asked
            .iter()
            .filter(|one| one.target.contains(path))
            .peekable();
        assert!(those.peek().is_some(), "{path}");
        assert!(those.all(|one| one.header("x-esri-authorization").is_none()));
    }
}

#[track_caller]
fn got_no_token(foreign: &ForeignServer) {
    let requests = foreign.requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(request.header("x-esri-authorization").is_none());
        assert!(request.header("authorization").is_none());
    }
}

#[test]
fn rule_24h_an_exception_within_a_request_does_not_end_qgis() {
    let (portal, home) = signed_in();
    let arguments = [&authority(&portal, &home), &portal.portal_layer_url()];
    succeeds(&script(&home, "qgis_faults.py", &arguments));
}

#[test]
fn fifty_layers_are_drawn_at_once_with_one_token_for_each_server() {
    let (portal, home) = signed_in();
    let before = portal.grants().len();
    let arguments = [portal.portal_layer_url(), portal.server_map_url()];
    succeeds(&script(&home, "qgis_many.py", &arguments));
    assert!(portal.grants().len() <= before + 1);
    assert!(portal.requests_to(Endpoint::GenerateToken).len() <= 1);
    for endpoint in [Endpoint::PortalLayer, Endpoint::Federated] {
        for request in portal.requests_to(endpoint) {
            assert!(request.header("x-esri-authorization").is_some());
        }
    }
    portal.assert_clean();
}

#[test]
fn the_main_thread_does_not_wait_for_a_portal_that_hangs() {
    let (portal, home) = signed_in();
    expire_token(&home, "prod");
    let gate = Gate::default();
    portal.set(|rules| rules.fault_always(Endpoint::Token, Fault::HoldBefore(gate.clone())));
    let mut script = dialogue(&home, "qgis_hangs.py", &[&portal.portal_layer_url()]);
    assert_eq!(script.line(), "ready");
    gate.open();
    script.tell("go").ends();
}

#[test]
fn rule_24h_one_connection_to_a_server_is_enabled_at_a_time() {
    let (portal, home) = signed_in();
    add(&home, &portal, "same");
    sign_in_as(&home, &portal, "same", OTHER_USER, &[]).ok();
    let other = Portal::start(PortalVersion::Enterprise114);
    add(&home, &other, "other");
    sign_in(&home, &other, "other").ok();
    let layers = [portal.portal_layer_url(), other.portal_layer_url()];
    succeeds(&script(&home, "qgis_connections.py", &layers));
    portal.assert_clean();
    other.assert_clean();
}

#[test]
fn rule_24h_another_user_does_not_take_over_what_the_first_began() {
    let (portal, home) = signed_in();
    portal.set(|rules| rules.user_access_seconds = 4);
    expire_token(&home, "prod");
    let arguments = [&*portal.portal_layer_url(), USER, OTHER_USER];
    let mut script = dialogue(&home, "qgis_users.py", &arguments);
    assert_eq!(script.line(), "ready");
    let before = portal.requests_to(Endpoint::PortalLayer).len();
    sign_in_as(&home, &portal, "prod", OTHER_USER, &["--switch-user"]).ok();
    // The token of the first user ends with the sign-in at the latest.
    portal.expire_access_tokens();
    portal.set(|rules| rules.user_access_seconds = 1800);
    expire_token(&home, "prod");
    script.tell("go").ends();
    assert!(portal.requests_to(Endpoint::PortalLayer).len() > before);
}

#[test]
fn twenty_times_enabled_and_disabled_leave_no_hook() {
    let (portal, home) = signed_in();
    let arguments = [&authority(&portal, &home), &portal.portal_layer_url()];
    succeeds(&script(&home, "qgis_again.py", &arguments));
}

#[test]
fn a_missing_sign_in_is_told_once_and_layers_open_after_it() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let mut script = dialogue(&home, "qgis_signed_out.py", &with_map(&portal));
    assert_eq!(script.line(), "ready");
    sign_in(&home, &portal, "prod").ok();
    script.tell("go").ends();
}

#[test]
fn the_referer_that_a_token_is_bound_to_is_sent() {
    let referer = "https://app.example";
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.app_mut(APP_ID).http_referrers = vec![referer.into()]);
    let home = home();
    add_with(&home, &portal, "prod", &["--referer", referer]);
    sign_in(&home, &portal, "prod").ok();
    succeeds(&script(
        &home,
        "qgis_opens.py",
        &[&portal.portal_layer_url()],
    ));
}

#[test]
fn a_client_certificate_is_presented_from_memory() {
    let portal = Portal::builder().client_certificate_required().start();
    let (home, own) = (home(), portal.client_identity("ana"));
    let file = home.path().join("ana.pem");
    std::fs::write(&file, own.certificate_pem + &own.key_pem).unwrap();
    let file = file.display().to_string();
    add_with(&home, &portal, "prod", &["--client-cert", &file]);
    sign_in(&home, &portal, "prod").ok();
    succeeds(&script(
        &home,
        "qgis_opens.py",
        &[&portal.portal_layer_url()],
    ));
}

#[test]
fn rule_24h_a_copy_of_a_signed_request_carries_nothing_of_it() {
    let referer = "https://app.example";
    let portal = Portal::builder().client_certificate_required().start();
    portal.set(|rules| rules.app_mut(APP_ID).http_referrers = vec![referer.into()]);
    let (home, own) = (home(), portal.client_identity("ana"));
    let file = home.path().join("ana.pem");
    std::fs::write(&file, own.certificate_pem + &own.key_pem).unwrap();
    let file = file.display().to_string();
    let options = ["--client-cert", &file, "--referer", referer];
    add_with(&home, &portal, "prod", &options);
    sign_in(&home, &portal, "prod").ok();
    let arguments = [&portal.portal_layer_url(), referer];
    succeeds(&script(&home, "qgis_copies.py", &arguments));
}

/// `tests/qgis/bounds` shows what each costs.
#[test]
fn two_thousand_requests_need_one_token() {
    let (portal, home) = signed_in();
    let before = portal.grants().len();
    succeeds(&script(
        &home,
        "qgis_cost.py",
        &[&portal.portal_layer_url()],
    ));
    assert_eq!(portal.grants().len(), before);
    assert!(portal.requests_to(Endpoint::GenerateToken).is_empty());
}

#[test]
fn drawings_that_are_canceled_while_a_token_is_fetched_end() {
    let (portal, home) = signed_in();
    let mut arguments = with_map(&portal);
    arguments.truncate(5);
    succeeds(&script(&home, "qgis_cancels.py", &arguments));
}

#[test]
fn drawings_that_are_canceled_while_a_server_answers_nothing_end() {
    let (portal, home) = signed_in();
    let mut script = dialogue(&home, "qgis_stops.py", &[&portal.portal_layer_url()]);
    assert_eq!(script.line(), "ready");
    let gate = Gate::default();
    portal.set(|rules| {
        rules.fault_always(Endpoint::PortalLayer, Fault::HoldBefore(gate.clone()));
    });
    script.tell("go").ends();
    gate.open();
}

#[test]
fn map_layers_are_loaded_again_while_their_legend_is_on_its_way() {
    let (portal, home) = signed_in();
    let arguments = [vec![authority(&portal, &home)], with_map(&portal)].concat();
    succeeds(&script(&home, "qgis_legends.py", &arguments[..5]));
}

#[test]
fn closing_qgis_does_not_wait_for_a_token() {
    let (portal, home) = signed_in();
    let gate = Gate::default();
    let mut script = dialogue(&home, "qgis_closes.py", &with_map(&portal)[..4]);
    assert_eq!(script.line(), "ready");
    expire_token(&home, "prod");
    portal.set(|rules| {
        for endpoint in [Endpoint::Token, Endpoint::GenerateToken] {
            rules.fault_always(endpoint, Fault::HoldBefore(gate.clone()));
        }
    });
    script.tell("go").ends();
    // Until the end of the script, the portal has answered nothing.
    gate.open();
}

#[test]
fn what_is_pinned_is_trusted_at_the_portal_alone_and_a_missing_file_is_told_once() {
    let (portal, home) = signed_in();
    let arguments = [
        authority(&portal, &home),
        portal.portal_layer_url(),
        portal.server_layer_url(),
    ];
    succeeds(&script(&home, "qgis_trust.py", &arguments));
}

/// The blocks of docs/qgis.md about jobs at night: `startup.py` signs in what `qgis_process` reads.
#[test]
fn a_job_of_qgis_process_reads_a_secured_layer_with_an_application() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_application(&home, &portal, "jobs");
    let page = include_str!("../../docs/qgis.md");
    let (_, section) = page.split_once("\n## Jobs at night\n").unwrap();
    let mut blocks = section.split("\n```").skip(1).step_by(2);
    let startup = blocks.next().unwrap().strip_prefix("python\n").unwrap();
    let unit = blocks.next().unwrap().strip_prefix("ini\n").unwrap();
    let folder = home.path().join(".local/share/QGIS/QGIS3");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("startup.py"), startup).unwrap();
    let line = unit.lines().find_map(|one| one.strip_prefix("ExecStart="));
    let line = line.unwrap();
    let run = |layer: &str| {
        let parts = [
            // Debian's script in front of it is broken in this version.
            ("/usr/bin/qgis_process ", "qgis_process.bin "),
            (
                "https://gis.example.com/server/rest/services/roads/FeatureServer/0",
                layer,
            ),
            ("/var/lib/gis/roads.gpkg", "roads.gpkg"),
        ];
        let mut line = line.to_owned();
        for (documented, here) in parts {
            assert_eq!(line.matches(documented).count(), 1, "{documented}");
            line = line.replace(documented, here);
        }
        Command::new("timeout")
            .args(["--kill-after=5", LIMIT, "sh", "-c", &line])
            .env_clear()
            .envs(home.environment())
            // The Python inside QGIS takes its packages from beside the first one on the path.
            .env("PATH", "/usr/bin:/bin")
            .env(
                "PYTHONPATH",
                Path::new(env!("CARGO_MANIFEST_DIR")).join("src/python"),
            )
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AGE_OAUTH_BIN", home.program())
            .env("QT_QPA_PLATFORM", "offscreen")
            .current_dir(home.path())
            .output()
            .unwrap()
    };
    let done = run(&portal.server_layer_url());
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    let stored = std::fs::read(home.path().join("roads.gpkg")).unwrap();
    let names = String::from_utf8_lossy(&stored);
    assert!(names.contains("Ginkgo Street"), "{errors}");
    // A layer that the server does not have.
    let missing = portal.server_layer_url().replace("/0", "/99");
    assert_eq!(run(&missing).status.code(), Some(1));
    portal.assert_clean();
}
