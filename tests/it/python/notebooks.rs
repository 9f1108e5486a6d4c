//! Notebooks: a real kernel, driven as `JupyterLab` drives it, and papermill.

use serde_json::Value;

use super::Dialogue;
use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, APP_ID, USER};
use crate::support::scenario::{add, sign_in};

/// A notebook with these cells. The person answers `answers` questions, each with what `answer`
/// makes of the question.
fn answered(
    home: &Home,
    cells: &[&str],
    answers: usize,
    answer: impl Fn(&Value) -> String,
) -> Vec<Value> {
    let mut notebook = Dialogue::start(home, "notebooks.py", cells);
    for _ in 0..answers {
        let question = serde_json::from_str(&notebook.line()).expect("a question");
        let text = answer(&question);
        notebook.tell(&text);
    }
    cells
        .iter()
        .filter(|cell| **cell != "papermill")
        .map(|_| serde_json::from_str(&notebook.line()).expect("a cell"))
        .collect()
}

fn run(home: &Home, cells: &[&str]) -> Vec<Value> {
    answered(home, cells, 0, |_| String::new())
}

/// The code for the address that the cell shows.
fn code(portal: &Portal, question: &Value) -> String {
    let shown = question["shown"].as_str().expect("what is shown");
    let url = shown
        .split_whitespace()
        .find(|word| word.contains("/oauth2/authorize"))
        .unwrap_or_else(|| panic!("no address: {shown}"));
    portal.authorize(url, USER).code()
}

/// A home whose notebooks are kept in the folder that `AGE_OAUTH_TEST_NOTEBOOKS` names, to look at
/// them.
fn home_of(name: &str) -> Home {
    let mut home = home();
    if let Some(folder) = std::env::var_os("AGE_OAUTH_TEST_NOTEBOOKS") {
        let path = std::path::Path::new(&folder).join(format!("{name}.ipynb"));
        home.set("AGE_OAUTH_TEST_NOTEBOOK", &path.display().to_string());
    }
    home
}

/// The same, with a connection `prod` that is signed in.
fn signed_in_as(name: &str) -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home_of(name);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    (portal, home)
}

/// The error of a cell: its class, and two lines that contain these texts.
#[track_caller]
fn fails(cell: &Value, class: &str, message: &str, hint: &str) {
    assert_eq!(cell["error"], class, "{cell}");
    let lines = cell["traceback"].as_array().expect("lines");
    assert_eq!(lines.len(), 2, "{cell}");
    let [first, second] = [0, 1].map(|line| lines[line].as_str().unwrap());
    assert!(first.starts_with(&format!("{class}: ")), "{first}");
    assert!(first.contains(message), "{first}");
    assert!(second.starts_with("hint: "), "{second}");
    assert!(second.contains(hint), "{second}");
    assert_eq!(cell["stdout"], "", "{cell}");
}

#[test]
fn one_cell_adds_a_connection_signs_in_and_returns_the_gis() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home_of("first-sign-in");
    let ca = portal.ca_file(home.path()).display().to_string();
    // As it is copied from a browser.
    let address = format!("{}/home/index.html", portal.url());
    let first = format!(
        "import age_oauth\n\ngis = age_oauth.get_gis(\n    portal=\"{address}\",\n    client_id=\"{APP_ID}\",\n    verify_ssl=\"{ca}\",\n)\ngis.users.me.username"
    );
    let cells = [
        first.as_str(),
        first.as_str(),
        "age_oauth.list_connections()",
    ];
    let shown = answered(&home, &cells, 1, |question| code(&portal, question));
    let said = shown[0]["stderr"].as_str().unwrap();
    let added = format!("Added the connection `localhost` to {}.", portal.url());
    assert!(said.contains(&added), "{said}");
    let signed_in = format!("Signed in to `localhost` as `{USER}` until 20");
    assert!(said.contains(&signed_in), "{said}");
    assert_eq!(shown[0]["stdout"], "");
    // The second run of the cell adds nothing, and asks nothing.
    assert_eq!(shown[1]["stderr"], "");
    for cell in &shown[..2] {
        assert_eq!(cell["result"], format!("'{USER}'"));
    }
    let listed = shown[2]["result"].as_str().unwrap();
    assert_eq!(listed.matches("Connection(").count(), 1, "{listed}");
}

#[test]
fn a_sign_in_that_has_ended_is_two_lines_with_the_call_that_signs_in() {
    let (portal, home) = signed_in_as("ended-sign-in");
    let before = [
        "import age_oauth\n\ngis = age_oauth.get_gis(\"prod\")\ngis.users.me.username",
        "input(\"go on \")",
        "gis.content.search(\"roads\")",
        "age_oauth.Connection(\"prod\").login()",
        "age_oauth.get_gis(\"prod\").users.me.username",
    ];
    let asked = std::cell::Cell::new(0);
    let shown = answered(&home, &before, 2, |question| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            portal.revoke_all();
            return String::new();
        }
        code(&portal, question)
    });
    assert_eq!(shown[0]["result"], format!("'{USER}'"));
    let call = "age_oauth.Connection(\"prod\").login()";
    fails(&shown[2], "SignInRequired", "`prod`", call);
    assert_eq!(shown[3]["error"], Value::Null);
    assert_eq!(shown[4]["result"], format!("'{USER}'"));
}

#[test]
fn an_unknown_certificate_is_two_lines_with_the_argument_that_trusts_it() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home_of("unknown-certificate");
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let edit = [
        "connections",
        "edit",
        "prod",
        "--verify-ssl",
        "true",
        "--no-check",
    ];
    home.run(edit).done().ok();
    let ca = portal.ca_file(home.path()).display().to_string();
    let new = format!(
        "import age_oauth\n\nage_oauth.add_connection(\"new\", \"{}\", \"{APP_ID}\")",
        portal.url()
    );
    let trust = format!("age_oauth.Connection(\"prod\").edit(verify_ssl=\"{ca}\")");
    let cells = [
        new.as_str(),
        "gis = age_oauth.get_gis(\"prod\")",
        trust.as_str(),
        "age_oauth.get_gis(\"prod\").users.me.username",
    ];
    let shown = run(&home, &cells);
    let class = "PortalUnreachable";
    fails(&shown[0], class, "certificate", "verify_ssl=\"FILE.pem\"");
    let call = "age_oauth.Connection(\"prod\").edit(verify_ssl=\"FILE.pem\")";
    fails(&shown[1], class, "certificate", call);
    assert_eq!(shown[2]["error"], Value::Null, "{}", shown[2]);
    assert_eq!(shown[3]["result"], format!("'{USER}'"), "{}", shown[3]);
}

#[test]
fn a_portal_that_is_down_is_two_lines() {
    let (portal, home) = signed_in_as("portal-down");
    portal.stop();
    let new = format!(
        "import age_oauth\n\nage_oauth.add_connection(\"new\", \"{}\", \"{APP_ID}\")",
        portal.url()
    );
    let shown = run(&home, &[&new, "gis = age_oauth.get_gis(\"prod\")"]);
    fails(&shown[0], "PortalUnreachable", &portal.url(), "check=False");
    fails(
        &shown[1],
        "PortalUnreachable",
        &portal.url(),
        "check the network",
    );
}

#[test]
fn papermill_asks_nothing_and_fails_with_the_error() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home_of("papermill");
    add(&home, &portal, "prod");
    let cells = [
        "papermill",
        "import age_oauth\n\ngis = age_oauth.get_gis(\"prod\")",
    ];
    let shown = run(&home, &cells);
    fails(&shown[0], "SignInRequired", "`prod`", "login");
    // Not an address at which a sign-in could not be completed.
    assert_eq!(shown[0]["stderr"], "");
}
