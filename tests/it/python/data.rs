//! The token that belongs to an address, and the recipes for libraries that read data, each run as
//! `docs/recipes.md` prints it.

use std::process::Output;

use super::{command, interpreter, script, succeeds};
use crate::signed_in;
use crate::support::home::Home;
use crate::support::portal::{Endpoint, Fault, ForeignServer, Portal};

#[test]
fn an_address_gets_the_token_that_belongs_to_it_or_an_error() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    let ca = portal.ca_file(home.path());
    let layer = portal.server_layer_url();
    let arguments = [
        ca.to_str().unwrap(),
        &layer,
        &portal.portal_layer_url(),
        &foreign.url(),
    ];
    succeeds(&script(&home, "by_address.py", &arguments));
    portal.assert_clean();
}

/// The first block under this heading of the recipes, for this layer and this portal.
fn recipe(heading: &str, portal: &Portal, layer: &str) -> String {
    let text = include_str!("../../../docs/recipes.md");
    let (_, section) = text
        .split_once(&format!("## {heading}\n"))
        .expect("a heading");
    let (_, block) = section.split_once("```").expect("a block");
    let (_, code) = block.split_once('\n').expect("its lines");
    let (code, _) = code.split_once("```").expect("its end");
    code.replace(
        "https://gis.example.com/server/rest/services/Roads/FeatureServer/0",
        layer,
    )
    .replace("https://gis.example.com/portal", &portal.url())
}

/// Runs a recipe in Python.
fn python(home: &Home, portal: &Portal, code: &str) -> Output {
    let file = home.path().join("recipe.py");
    std::fs::write(&file, code).unwrap();
    let ca = portal.ca_file(home.path());
    let path = file.display().to_string();
    command(home, &path, &[])
        .env("GDAL_CURL_CA_BUNDLE", &ca)
        .env("SSL_CERT_FILE", &ca)
        .output()
        .expect("the Python that tests/run makes")
}

#[track_caller]
fn prints(output: &Output, expected: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Both layers: the portal's own and that of a server.
fn layers(portal: &Portal) -> [String; 2] {
    [portal.portal_layer_url(), portal.server_layer_url()]
}

#[test]
fn geopandas_reads_all_pages_of_a_layer() {
    let (portal, home) = signed_in();
    for layer in layers(&portal) {
        let code = recipe("Python: geopandas and pyogrio", &portal, &layer);
        prints(&python(&home, &portal, &code), "7\n");
    }
    let pages = portal.requests_to(Endpoint::PortalLayer);
    assert!(pages
        .iter()
        .any(|one| one.param("resultOffset") == Some("3")));
    portal.assert_clean();
}

/// With the variables of the recipe, and GDAL in place of its program.
#[test]
fn gdal_takes_the_token_from_the_environment_of_one_command() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path());
    let programs = home.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let script = format!(
        "#!{}\nimport sys, pyogrio\nprint(sys.argv[1], len(pyogrio.read_dataframe(sys.argv[2])))\n",
        interpreter().display()
    );
    let program = programs.join("ogr2ogr");
    std::fs::write(&program, script).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for layer in layers(&portal) {
        let code = recipe("GDAL: ogr2ogr and ogrinfo", &portal, &layer);
        let ours = home.program().parent().unwrap();
        let path = format!(
            "{}:{}:{}",
            programs.display(),
            ours.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &code])
            .env_clear()
            .envs(home.environment())
            .env("PATH", path)
            .env("GDAL_CURL_CA_BUNDLE", &ca)
            .current_dir(home.path())
            .output()
            .unwrap();
        prints(&output, "roads.gpkg 7\n");
    }
    portal.assert_clean();
}

#[test]
fn aiohttp_and_fsspec_sign_each_request_by_its_address() {
    let (portal, home) = signed_in();
    let data = portal.set(|rules| rules.item_data.len());
    for layer in layers(&portal) {
        let code = recipe("Python: aiohttp and fsspec", &portal, &layer);
        prints(&python(&home, &portal, &code), &format!("7\n{data}\n"));
    }
    portal.assert_clean();
}

/// No recipe sends a token to the host that a server redirects to.
#[test]
fn recipes_send_no_token_to_the_target_of_a_redirect() {
    let (portal, home) = signed_in();
    let foreign = ForeignServer::start(&portal);
    let to = format!("{}/caught", foreign.url());
    portal.set(|rules| {
        rules.fault_always(Endpoint::Federated, Fault::Redirect { status: 302, to });
    });
    let layer = portal.server_layer_url();
    for heading in [
        "Python: geopandas and pyogrio",
        "Python: aiohttp and fsspec",
    ] {
        let before = foreign.requests().len();
        // It fails, because the stranger's answer is not a layer.
        python(&home, &portal, &recipe(heading, &portal, &layer));
        let requests = foreign.requests();
        assert!(requests.len() > before, "{heading}: not redirected");
        for request in &requests[before..] {
            for name in ["authorization", "x-esri-authorization"] {
                assert!(request.header(name).is_none(), "{heading}: {name}");
            }
        }
    }
}
