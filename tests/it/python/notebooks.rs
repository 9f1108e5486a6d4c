//! Notebooks: a real kernel, driven as `JupyterLab` drives it, and papermill.

use serde_json::Value;

use super::Dialogue;
use crate::home;
use crate::support::home::Home;
use crate::support::portal::{Portal, PortalVersion, APP_ID, USER};
use crate::support::scenario::{add, sign_in};
use crate::support::secret_scan;

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
    let page = page("python");
    let login = page.iter().find(|block| block.contains(".login()"));
    let before = [
        "import age_oauth\n\ngis = age_oauth.get_gis(\"prod\")\ngis.users.me.username",
        "input(\"go on \")",
        "gis.content.search(\"roads\")",
        login.expect("the cell that signs in"),
        "gis.users.me.username",
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
    // As the page shows it.
    let lines: Vec<_> = shown[2]["traceback"].as_array().unwrap().iter().collect();
    let documented = &self::page("text")[0];
    assert_eq!(lines, documented.lines().collect::<Vec<_>>());
    assert_eq!(shown[3]["error"], Value::Null);
    assert_eq!(shown[4]["result"], format!("'{USER}'"));
}

/// The blocks of this language on the page about notebooks.
fn page(language: &str) -> Vec<String> {
    let page = include_str!("../../../docs/notebooks.md").replace("\r\n", "\n");
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let text = |rest: &str| rest.split("```").next().unwrap().trim_end().to_owned();
    blocks.map(text).collect()
}

/// The block of the page that has this text, for this portal.
fn cell(portal: &Portal, text: &str) -> String {
    let page = page("python");
    let mut found = page.iter().filter(|block| block.contains(text));
    let block = found.next().unwrap_or_else(|| panic!("{text}"));
    assert_eq!(found.next(), None, "{text}");
    block
        .replace("https://gis.example.com/portal", &portal.url())
        .replace("YOUR_CLIENT_ID", APP_ID)
}

/// A home without connections, whose notebooks find the program and trust the portal.
fn home_for(portal: &Portal) -> Home {
    let mut home = home();
    let ca = portal.ca_file(home.path()).display().to_string();
    home.set("SSL_CERT_FILE", &ca);
    home.set("REQUESTS_CA_BUNDLE", &ca);
    let program = home.program().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(program).chain(std::env::split_paths(&path));
    let folders = std::env::join_paths(folders).unwrap();
    home.set("PATH", folders.to_str().unwrap());
    home
}

#[test]
fn the_cells_of_the_page_run_and_the_saved_notebook_has_no_secret() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home_for(&portal);
    let saved = home.path().join("saved.ipynb");
    home.set("AGE_OAUTH_TEST_NOTEBOOK", &saved.display().to_string());
    let nightly = "import os\nprint(len(os.environ['ARCGIS_TOKEN']))\n";
    std::fs::write(home.path().join("nightly.py"), nightly).unwrap();
    let python = super::interpreter().display().to_string();
    let exec = cell(&portal, "!age-oauth exec").replace("-- python", &format!("-- {python}"));
    let cells = [
        cell(&portal, "gis = get_gis(\"prod\", portal="),
        cell(&portal, "gis = get_gis(\"prod\")\n"),
        cell(&portal, ".login()"),
        cell(&portal, "sys.executable"),
        cell(&portal, "%env"),
        "get_gis().users.me.username".to_owned(),
        cell(&portal, "keychain=\"vault\""),
        exec,
        // What the page says of a cell that shows these.
        "display(gis, gis.content.search(\"roads\"), age_oauth.Connection(\"prod\"))\ngis._con.token".to_owned(),
        "token = !age-oauth token".to_owned(),
    ];
    let cells: Vec<_> = cells.iter().map(String::as_str).collect();
    let shown = answered(&home, &cells, 2, |question| code(&portal, question));
    for (cell, shown) in cells.iter().zip(&shown) {
        assert_eq!(shown["error"], Value::Null, "{cell}\n{shown}");
    }
    let result = |index: usize| shown[index]["result"].as_str().unwrap_or_default();
    assert_eq!(result(1), format!("'{USER}'"));
    assert!(
        shown[3]["stdout"].as_str().unwrap().contains("prod"),
        "{}",
        shown[3]
    );
    assert_eq!(result(5), format!("'{USER}'"));
    let length = shown[7]["stdout"].as_str().unwrap().trim();
    assert!(
        length.parse::<usize>().is_ok_and(|length| length > 20),
        "{}",
        shown[7]
    );
    assert!(result(8).contains("age-oauth-placeholder-"), "{}", shown[8]);
    let saved = std::fs::read(&saved).unwrap();
    assert!(String::from_utf8_lossy(&saved).contains("GIS @ "));
    assert_eq!(secret_scan::find(&saved), []);
}

#[test]
fn the_cells_that_the_page_warns_of_show_the_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home_for(&portal);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let cells = [
        "import age_oauth\nage_oauth.Connection(\"prod\").token()",
        "!age-oauth token",
        "!age-oauth export-env",
    ];
    for (cell, shown) in cells.iter().zip(run(&home, &cells)) {
        let found = secret_scan::find(shown.to_string().as_bytes());
        assert_ne!(found, [], "{cell}\n{shown}");
    }
}

#[test]
fn a_token_that_is_typed_into_a_field_of_getpass_is_not_saved() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let mut home = home_for(&portal);
    let saved = home.path().join("saved.ipynb");
    home.set("AGE_OAUTH_TEST_NOTEBOOK", &saved.display().to_string());
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    let token = home.run(["token"]).done().ok().line().to_owned();
    let cells = [cell(&portal, "getpass"), "gis.users.me.username".to_owned()];
    let cells: Vec<_> = cells.iter().map(String::as_str).collect();
    let shown = answered(&home, &cells, 1, |_| token.clone());
    assert_eq!(shown[1]["result"], format!("'{USER}'"), "{shown:?}");
    assert_eq!(secret_scan::find(&std::fs::read(&saved).unwrap()), []);
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
