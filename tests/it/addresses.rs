//! Addresses of portals and servers as people have them: which portal they lead to, and which token
//! goes there.

use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    service_secret, Endpoint, Portal, PortalVersion, Proxy, APP_ID, SERVICE_ID,
};
use crate::support::scenario::{add_application_arguments, add_arguments};
use crate::{home, signed_in};

fn add(home: &Home, portal: &Portal, address: &str) -> Outcome {
    let ca = portal.ca_file(home.path());
    home.run(add_arguments("prod", address, APP_ID, ca.to_str().unwrap()))
        .done()
}

fn origin(portal: &Portal) -> String {
    format!("https://localhost:{}", portal.port())
}

#[track_caller]
fn is_connected_to(home: &Home, url: &str) {
    let shown = home
        .run(["connections", "show", "prod", "--json"])
        .done()
        .ok();
    assert_eq!(shown.json()["portal_url"], url);
}

#[test]
fn an_address_from_the_browser_leads_to_the_portal() {
    for page in [
        "/portal/apps/mapviewer/index.html?webmap=1a2b",
        "/portal/home/item.html?id=1a2b#overview",
        "/portal/home/#/page",
        "/portal/index.html",
        "/portal/sharing/rest/portals/self?f=json",
    ] {
        let (portal, home) = (Portal::builder().start(), home());
        add(&home, &portal, &format!("{}{page}", origin(&portal))).ok();
        is_connected_to(&home, &portal.url());
    }
}

#[test]
fn a_bare_host_leads_to_the_portal_at_a_usual_path() {
    for context in ["/portal", "/arcgis"] {
        let (portal, home) = (Portal::builder().context(context).start(), home());
        add(&home, &portal, &origin(&portal))
            .ok()
            .err_has(&format!("the portal is at {}", portal.url()));
        is_connected_to(&home, &portal.url());
    }
    // Another path is not guessed.
    let (portal, home) = (Portal::builder().context("/gis").start(), home());
    add(&home, &portal, &origin(&portal))
        .code(6)
        .err_has("no ArcGIS portal answers")
        .err_has("give --portal URL");
    add(&home, &portal, &format!("{}/portal", origin(&portal))).code(6);
}

#[test]
fn edit_finds_the_portal_where_add_finds_it() {
    let (portal, home) = (Portal::builder().start(), home());
    add(&home, &portal, &portal.url()).ok();
    let edit = |url: &str| {
        home.run(["connections", "edit", "prod", "--portal", url])
            .done()
    };
    edit(&origin(&portal))
        .ok()
        .err_has(&format!("the portal is at {}", portal.url()));
    is_connected_to(&home, &portal.url());
    edit(&format!("{}/server", origin(&portal)))
        .code(2)
        .err_has("/server is an ArcGIS Server, not a portal");
    edit(&format!("{}/elsewhere", origin(&portal)))
        .code(6)
        .err_has("nothing was changed");
    is_connected_to(&home, &portal.url());
}

#[test]
fn the_address_of_a_server_is_named_as_that_with_its_portal() {
    let (portal, home) = (Portal::builder().start(), home());
    for page in ["", "/rest/services", "/manager/site.html", "/admin"] {
        add(&home, &portal, &format!("{}/server{page}", origin(&portal)))
            .code(2)
            .err_has("/server is an ArcGIS Server, not a portal")
            .err_has(&format!(
                "hint: if that is your portal: --portal {}",
                portal.url()
            ));
    }
    add(&home, &portal, &portal.standalone_url())
        .code(2)
        .err_has("it names no portal");
    assert!(!home.store().join("connections").exists());
}

/// Rule 24: ArcGIS Online serves its layers from other hosts of the same environment.
#[test]
fn rule_24_hosts_of_the_same_online_environment_get_the_portals_token_and_look_alikes_do_not() {
    let names = [
        "city.maps.arcgis.com",
        "services1.arcgis.com",
        "tiles.arcgis.com",
        "www.arcgis.com",
        "servicesdev.arcgis.com",
        "arcgis.com.evil.example",
        "evilarcgis.com",
    ];
    let portal = names
        .iter()
        .fold(
            Portal::builder().version(PortalVersion::Online),
            |builder, name| builder.san(name),
        )
        .start();
    let mut home = home();
    let port = portal.port();
    let proxy = Proxy::leading(&names.map(|name| (name, port)));
    home.set("HTTPS_PROXY", &proxy.url());
    let ca = portal.ca_file(home.path());
    let words = add_application_arguments(
        "online",
        "https://city.maps.arcgis.com",
        SERVICE_ID,
        ca.to_str().unwrap(),
    );
    home.run(words).input(service_secret()).done().ok();
    let own = home.run(["token"]).done().ok().line().to_owned();

    for host in ["services1.arcgis.com", "tiles.arcgis.com", "WWW.arcgis.com"] {
        let layer = format!("https://{host}/server/rest/services/A/MapServer");
        let answer = home.run(["api", &layer]).done().ok().json();
        assert_eq!(answer["grantedFor"], "app", "{host}");
        let token = home.run(["token", "--for", &layer]).done().ok();
        assert_eq!(token.line(), own, "{host}");
    }
    assert_eq!(portal.requests_to(Endpoint::GenerateToken).len(), 0);

    let seen = proxy.hosts();
    for address in [
        "https://servicesdev.arcgis.com/server/rest/services/A",
        "https://arcgis.com.evil.example/standalone/rest/services/A",
        "https://evilarcgis.com/standalone/rest/services/A",
    ] {
        for words in [["api", address].as_slice(), &["token", "--for", address]] {
            home.run(words).done().code(7).out("");
        }
    }
    for address in [
        "http://services1.arcgis.com/server/rest/services/A",
        "https://services1.arcgis.com@evilarcgis.com/server/rest/services/A",
        "https://evilarcgis.com\\@services1.arcgis.com/server/rest/services/A",
    ] {
        home.run(["api", address]).done().code(2).out("");
    }
    // The portal alone was asked, whether it grants a token.
    let asked = &proxy.hosts()[seen.len()..];
    assert!(
        asked
            .iter()
            .all(|target| target == "city.maps.arcgis.com:443"),
        "{asked:?}"
    );
}

/// Rule 24: a path that leads out of the portal, as some web servers decode it.
#[test]
fn rule_24_a_path_that_climbs_in_any_encoding_is_refused() {
    let (portal, home) = signed_in();
    let before = portal.requests().len();
    for climb in [
        "..",
        "%2e%2e",
        "..;",
        "..;x=y",
        "..%2f",
        "..%5c",
        "%252e%252e",
        "%c0%ae%c0%ae",
    ] {
        let below = format!("content/{climb}/other");
        let whole = format!("{}/{climb}/other", portal.url());
        for address in [&below, &whole] {
            home.run(["api", address]).done().code(2).out("");
        }
        home.run(["token", "--for", &whole]).done().code(2).out("");
    }
    assert_eq!(portal.requests().len(), before);
}

#[test]
fn a_path_that_git_bash_has_converted_is_explained() {
    let (_portal, home) = signed_in();
    home.run(["api", "C:/Program Files/Git/community/self"])
        .done()
        .code(2)
        .err_has("Git Bash")
        .err_has("community/self")
        .err_has("MSYS_NO_PATHCONV=1");
}

#[test]
fn a_portal_behind_a_proxy_that_wants_another_sign_in_is_explained() {
    let portal = Portal::builder().san("gis.city.example").start();
    let mut home = home();
    let add_at = |home: &Home| add(home, &portal, "https://gis.city.example/portal");

    let proxy = Proxy::offering(&["Negotiate", "NTLM"]);
    home.set("HTTPS_PROXY", &proxy.url_with("DOMAIN\\me", "canary"));
    let said = add_at(&home)
        .code(6)
        .err_has("it asks for a sign-in by Negotiate or NTLM")
        .err_has("Basic only");
    assert!(!said.stderr.contains("canary"), "{}", said.stderr);

    let proxy = Proxy::requiring("DOMAIN\\me", "p@ss/wörd");
    home.set("HTTPS_PROXY", &proxy.url_with("DOMAIN\\me", "canary"));
    add_at(&home)
        .code(6)
        .err_has("does not accept the user name or the password")
        .err_has("percent-encoded");

    home.set("HTTPS_PROXY", "http://DOMAIN\\me:canary:8080");
    let said = add_at(&home).code(6).err_has("HTTPS_PROXY").err_has("%5C");
    assert!(!said.stderr.contains("canary"), "{}", said.stderr);
}

/// A portal on this machine is never reached through a proxy, whichever variable names one.
#[test]
fn a_portal_on_this_machine_is_not_reached_through_a_proxy() {
    let (portal, mut home) = signed_in();
    let proxy = Proxy::start();
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
    ] {
        home.set(name, &proxy.url());
    }
    home.run(["token", "--force"]).done().ok();
    home.run(["api", "community/self"]).done().ok();
    assert!(proxy.hosts().is_empty() && proxy.refused() == 0);
    drop(portal);
}
