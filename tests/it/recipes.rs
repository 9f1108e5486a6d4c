//! The recipes of `docs/recipes.md`, run as they are printed there.

use std::path::Path;
use std::process::Command;

use crate::signed_in;
use crate::support::home::Home;
use crate::support::portal::{Endpoint, Portal, USER};

/// The recipe in this language, with the practice portal's address.
fn recipe(language: &str, portal: &Portal) -> String {
    let text = include_str!("../../docs/recipes.md");
    let (_, after) = text
        .split_once(&format!("```{language}\n"))
        .expect("a recipe");
    let (code, _) = after.split_once("```").expect("its end");
    code.replace("https://gis.example.com/portal", &portal.url())
}

/// What a program prints in this home, with ours on its PATH.
#[track_caller]
fn runs(home: &Home, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let ours = home.program().parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(home.environment())
        .env("PATH", format!("{}:{path}", ours.display()))
        .envs(variables.iter().copied())
        .current_dir(home.path())
        .output()
        .expect("a program that tests/run installs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_gets_its_header_through_a_pipe() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path()).display().to_string();
    let code = recipe("sh", &portal);
    let said = runs(&home, "bash", &["-c", &code], &[("CURL_CA_BUNDLE", &ca)]);
    let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(answer["username"], USER);
    portal.assert_clean();
}

/// The version of the installed `ogr2ogr`: the first two numbers.
#[cfg(target_os = "linux")]
fn gdal() -> (u32, u32) {
    let said = Command::new("ogr2ogr").arg("--version").output();
    let said = said.expect("ogr2ogr; see tests/run").stdout;
    let said = String::from_utf8(said).expect("text");
    let version = said.strip_prefix("GDAL ").expect("a version");
    let mut numbers = version.split('.').map(|one| one.parse().expect("numbers"));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The blocks of docs/qgis.md: one for GDAL 3.9 or newer, one for that of Debian 12.
#[test]
#[cfg(target_os = "linux")]
fn ogr2ogr_reads_all_pages_of_a_layer() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path()).display().to_string();
    let page = include_str!("../../docs/qgis.md");
    let (_, section) = page.split_once("\n## GDAL\n").unwrap();
    let blocks = section.split("\n```bash\n").skip(1);
    let mut blocks = blocks.map(|one| one.split_once("```").unwrap().0);
    let (new, old) = (blocks.next().unwrap(), blocks.next().unwrap());
    let documented = "https://gis.example.com/server/rest/services/Roads/FeatureServer/0";
    for layer in [portal.portal_layer_url(), portal.server_layer_url()] {
        let code = match gdal() {
            (3, 7 | 8) => panic!("docs/qgis.md has nothing for this version of GDAL"),
            (3, 0..=6) => old.replace(documented, &layer),
            _ => new.replace(documented, &layer),
        };
        let script = format!("{code}\nogrinfo -ro -so -al roads.gpkg; rm roads.gpkg");
        let variables = [("GDAL_CURL_CA_BUNDLE", ca.as_str())];
        let said = runs(&home, "bash", &["-euc", &script], &variables);
        assert!(said.contains("Feature Count: 7\n"), "{said}");
    }
    let pages = portal.requests_to(Endpoint::PortalLayer);
    assert!(pages
        .iter()
        .any(|one| one.param("resultOffset") == Some("3")));
    portal.assert_clean();
}

#[test]
fn node_gets_the_token_for_a_url() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path()).display().to_string();
    // A module finds its packages in the folders above it.
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node");
    let folder = tempfile::tempdir_in(&modules).expect("what tests/run installs");
    let file = folder.path().join("recipe.mjs");
    std::fs::write(&file, recipe("js", &portal)).expect("a file");
    let said = runs(
        &home,
        "node",
        &[&file.display().to_string()],
        &[("NODE_EXTRA_CA_CERTS", &ca)],
    );
    assert_eq!(said.trim(), USER);
    assert_eq!(portal.requests_to(Endpoint::CommunitySelf).len(), 1);
    portal.assert_clean();
}
