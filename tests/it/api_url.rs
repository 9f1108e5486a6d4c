//! The API URL: a portal whose own address asks for what only a browser has, and which programs
//! reach at another one. The browser signs in at the first, every request of the program goes to
//! the second, and nothing secret goes to an address that a person has not chosen.

use std::fs;

use serde_json::{json, Value};

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{
    app_secret, service_secret, Certificate, Endpoint, Fault, Guard, Portal, PortalVersion,
    Recorded, APP_ID, SERVICE_ID, USER,
};
use crate::support::scenario::{
    add, add_application_arguments, add_arguments, age_sign_in, expire_token, folder_of,
    nothing_was_created, sign_in,
};

/// Host and port.
fn host_of(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

fn guarded(guard: Guard) -> Portal {
    Portal::builder().guarded(guard).start()
}

/// `connections add` of the connection `prod` with these flags.
fn add_prod(home: &Home, portal: &Portal, flags: &[&str]) -> Outcome {
    let (ca, url) = (portal.ca_file(home.path()), portal.url());
    let mut words = add_arguments("prod", &url, APP_ID, ca.to_str().unwrap()).to_vec();
    words.extend(flags);
    home.run(words).done()
}

/// A guarded portal, and a home with a connection `prod` to it that has its API URL.
fn added(guard: Guard) -> (Portal, Home) {
    let (portal, home) = (guarded(guard), home());
    add_prod(&home, &portal, &["--api-url", &portal.api_url()]).ok();
    (portal, home)
}

fn signed_in(guard: Guard) -> (Portal, Home) {
    let (portal, home) = added(guard);
    sign_in(&home, &portal, "prod").ok();
    (portal, home)
}

fn meta(home: &Home) -> Value {
    let bytes = fs::read(folder_of(home, "prod").join("meta.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn change_meta(home: &Home, name: &str, value: Value) {
    let mut changed = meta(home);
    changed[name] = value;
    let path = folder_of(home, "prod").join("meta.json");
    fs::write(path, changed.to_string()).unwrap();
}

fn shown(home: &Home) -> Value {
    let out = home.run(["connections", "show", "prod", "--json"]).done();
    out.ok().json()
}

/// The only request of the program to the guarded address: what the portal is called there.
#[track_caller]
fn only_compared(portal: &Portal, times: usize) {
    let requests = portal.requests_to_the_guard();
    let all: Vec<_> = requests.iter().map(Recorded::summary).collect();
    assert_eq!(all.len(), times, "{all:?}");
    for request in requests {
        assert_eq!(request.endpoint, Endpoint::PortalSelf, "{all:?}");
        assert_eq!(request.header("x-esri-authorization"), None, "{all:?}");
    }
}

#[test]
fn every_command_works_through_the_api_url() {
    for guard in [Guard::Negotiate, Guard::Certificate] {
        let (portal, home) = (guarded(guard), home());
        let api = portal.api_url();
        let flags = ["--client-secret", app_secret(), "--api-url", &api];
        add_prod(&home, &portal, &flags)
            .ok()
            .err_has(&format!("API URL: {} ({api})", host_of(&api)))
            .err_has(&format!("gives {} as its own address", portal.url()))
            .err_has("unconfirmed until `age-oauth whoami` works through it");
        only_compared(&portal, 1);
        // The browser signs in at the portal's own address, and the code goes to the other one.
        sign_in(&home, &portal, "prod").ok();
        let run = |words: &[&str]| home.run(words).done().ok();
        assert_eq!(run(&["whoami"]).line(), USER);
        expire_token(&home, "prod");
        let token = run(&["token"]).line().to_owned();
        assert!(portal.accepts_access_token(&token));
        age_sign_in(&home, "prod", 9);
        run(&["refresh", "--now"]);
        assert!(portal.grants().contains(&"exchange_refresh_token".into()));
        let server = format!("{}/rest/services", portal.other_server_url());
        let for_server = run(&["token", "--for", &server]).line().to_owned();
        assert_ne!(for_server, run(&["token"]).line());
        // Both addresses are the portal's, so that its own token belongs to each.
        for url in [portal.url(), api.clone()] {
            let own = run(&["token", "--for", &format!("{url}/sharing/rest")]);
            assert_eq!(own.line(), run(&["token"]).line());
        }
        assert_eq!(run(&["api", "community/self"]).json()["username"], USER);
        assert!(run(&["api", "portals/self"]).json()["user"].is_object());
        let file = home.path().join("self.json");
        run(&["api", "community/self", "-o", file.to_str().unwrap()]);
        assert!(fs::read_to_string(&file).unwrap().contains(USER));
        let variables = run(&["export-env", "--shell", "dotenv"]).stdout;
        assert!(variables.contains(&api) && !variables.contains(&portal.url()));
        only_compared(&portal, 1);
        let doctor = run(&["doctor", "-c", "prod"]).stdout;
        assert!(doctor.contains(&format!("{api} is confirmed")), "{doctor}");
        assert!(doctor.contains("knows the client ID"), "{doctor}");
        only_compared(&portal, 2);
        let card = run(&["connections", "share"]).json();
        assert_eq!(card["api_url"], api);
        run(&["logout"]);
        assert_eq!(portal.live_refresh_tokens(), 0);
        assert_eq!(portal.requests_to(Endpoint::Revoke).len(), 1);
        only_compared(&portal, 2);
    }
}

#[test]
fn an_application_works_through_the_api_url() {
    let (portal, home) = (guarded(Guard::Negotiate), home());
    let ca = portal.ca_file(home.path());
    let (url, api) = (portal.url(), portal.api_url());
    let mut words = add_application_arguments("service", &url, SERVICE_ID, ca.to_str().unwrap());
    words.extend(["--api-url", &api]);
    home.run(words).input(service_secret()).done().ok();
    home.run(["login"]).done().ok();
    let shown = home.run(["connections", "show", "--json"]).done().ok();
    assert_eq!(shown.json()["api_url_confirmed"], true);
    only_compared(&portal, 1);
}

#[test]
fn it_is_unconfirmed_until_a_token_has_worked_through_it() {
    let (portal, home) = added(Guard::Negotiate);
    let api = portal.api_url();
    assert_eq!(shown(&home)["portal_url"], portal.url());
    assert_eq!(shown(&home)["api_url"], api);
    assert_eq!(shown(&home)["api_url_confirmed"], false);
    let text = home.run(["connections", "show"]).done().ok().stdout;
    assert!(text.contains("(unconfirmed: "), "{text}");
    let checks = home.run(["doctor", "--offline"]).done().stdout;
    assert!(
        checks.contains("is unconfirmed: no token has worked"),
        "{checks}"
    );
    // A sign-in asks whom its token is for, once.
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(portal.requests_to(Endpoint::CommunitySelf).len(), 1);
    assert_eq!(shown(&home)["api_url_confirmed"], true);
    let text = home.run(["connections", "show"]).done().ok().stdout;
    assert!(text.contains("(confirmed: "), "{text}");
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(portal.requests_to(Endpoint::CommunitySelf).len(), 1);
    // A connection without one has nothing to confirm, and a changed one nothing that counts.
    let edit = |value: &str| {
        home.run([
            "connections",
            "edit",
            "prod",
            "--no-check",
            "--api-url",
            value,
        ])
    };
    edit("none").done().ok();
    assert_eq!(shown(&home)["api_url"], portal.url());
    assert_eq!(shown(&home)["api_url_confirmed"], Value::Null);
    edit(&api).done().ok();
    assert_eq!(shown(&home)["api_url_confirmed"], false);
    // Another process confirms an address that is not the connection's any more: nothing.
    change_meta(&home, "api_url_confirmed", json!(portal.url()));
    assert_eq!(shown(&home)["api_url_confirmed"], false);
    home.run(["whoami"]).done().ok();
    assert_eq!(shown(&home)["api_url_confirmed"], true);
}

#[test]
fn a_token_that_is_not_accepted_there_is_a_warning_at_the_sign_in() {
    let (portal, home) = added(Guard::Negotiate);
    portal.set(|rules| {
        rules.fault_always(Endpoint::CommunitySelf, Fault::Status(404));
    });
    let said = sign_in(&home, &portal, "prod").ok();
    let said = said.err_has("no token has worked at the API URL");
    assert!(said.stderr.contains(&portal.api_url()), "{}", said.stderr);
    assert_eq!(shown(&home)["api_url_confirmed"], false);
    home.run(["token"]).done().ok();
}

#[test]
fn an_edit_of_the_api_url_keeps_the_sign_in() {
    let (portal, home) = (guarded(Guard::Negotiate), home());
    // Before the guard was put up.
    portal.set(|rules| rules.guard = None);
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    portal.set(|rules| rules.guard = Some(Guard::Negotiate));
    let force = ["token", "--force"];
    home.run(force)
        .done()
        .code(7)
        .err_has("age-oauth connections edit prod --api-url URL");
    let edit = |value: &str| home.run(["connections", "edit", "prod", "--api-url", value]);
    // An address without a portal changes nothing; one beside it is corrected.
    edit(&format!("{}/nothing", portal.api_url()))
        .done()
        .code(6);
    home.run(force).done().code(7);
    let bare = portal.api_url().replace("/arcgis", "");
    let said = edit(&bare).done().ok();
    assert!(said.stderr.contains(&portal.api_url()), "{}", said.stderr);
    assert!(!said.stderr.contains("Sign in again"), "{}", said.stderr);
    home.run(force).done().ok();
    assert_eq!(
        meta(&home)["schema_version"],
        4,
        "an older program refuses it"
    );
    // Without the API URL, older programs may use the connection again.
    home.run([
        "connections",
        "edit",
        "prod",
        "--no-check",
        "--api-url",
        "none",
    ])
    .done()
    .ok();
    assert_eq!(meta(&home)["schema_version"], 3);
    home.run(force).done().code(7);
}

#[test]
fn a_connection_without_an_api_url_makes_no_further_request() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    let asked: Vec<_> = portal.requests().iter().map(|one| one.endpoint).collect();
    assert_eq!(
        asked,
        [Endpoint::Root, Endpoint::PortalSelf, Endpoint::Authorize]
    );
    sign_in(&home, &portal, "prod").ok();
    assert_eq!(portal.requests_to(Endpoint::CommunitySelf).len(), 0);
    assert_eq!(shown(&home)["api_url"], portal.url());
    assert_eq!(shown(&home)["api_url_confirmed"], Value::Null);
}

#[test]
fn what_cannot_be_an_api_url_is_refused() {
    let (portal, home) = (guarded(Guard::Negotiate), home());
    for (value, word) in [
        ("", "it is empty"),
        ("http://gis.example.com/portal", "http is not allowed"),
        (
            "https://me:pw@gis.example.com/portal",
            "user name or a password",
        ),
        (
            "https://org.maps.arcgis.com",
            "ArcGIS Online has no second address",
        ),
    ] {
        let said = add_prod(&home, &portal, &["--api-url", value]).code(2);
        assert!(said.stderr.contains("API URL"), "{}", said.stderr);
        said.err_has(word).err_has("hint: ");
    }
    // An ArcGIS Server is not an address of the portal.
    let server = portal.server_url().replace("/server", "/standalone");
    add_prod(&home, &portal, &["--api-url", &server])
        .code(2)
        .err_has("API URL: ")
        .err_has("is an ArcGIS Server, not a portal");
    nothing_was_created(&home);
    // The portal's own address is none.
    portal.set(|rules| rules.guard = None);
    add_prod(&home, &portal, &["--api-url", &portal.url()]).ok();
    assert_eq!(shown(&home)["api_url_confirmed"], Value::Null);
}

#[test]
fn a_pinned_certificate_is_that_of_the_api_url() {
    let portal = Portal::builder()
        .guarded(Guard::Negotiate)
        .certificate(Certificate::SelfSigned)
        .start();
    let home = home();
    let pin = home.path().join("pin.pem");
    fs::write(&pin, portal.ca_pem()).unwrap();
    let pin = format!("pin:{}", pin.display());
    let (url, api) = (portal.url(), portal.api_url());
    let mut words = add_arguments("prod", &url, APP_ID, &pin).to_vec();
    words.extend(["--api-url", &api]);
    home.run(words).done().ok();
    assert_eq!(meta(&home)["pinned_host"], host_of(&api));
    sign_in(&home, &portal, "prod").ok();
    home.run(["whoami"]).done().ok();
    // Another address shows another certificate.
    let other = Portal::builder()
        .certificate(Certificate::SelfSigned)
        .start();
    let url = other.url();
    let edit = ["connections", "edit", "prod", "--api-url", &url];
    home.run(edit)
        .done()
        .code(6)
        .err_has(&format!("certificate is that of {}", host_of(&api)))
        .err_has("--verify-ssl pin:FILE");
    home.run(["token", "--force"]).done().ok();
}

#[test]
fn rule_24d_two_portals_are_not_taken_for_one() {
    let (portal, other) = (
        Portal::start(PortalVersion::Enterprise114),
        Portal::start(PortalVersion::Enterprise114),
    );
    other.set(|rules| rules.org_name = "Test".into());
    let home = home();
    let both = home.path().join("both.pem");
    fs::write(&both, [portal.ca_pem(), other.ca_pem()].concat()).unwrap();
    let (url, api) = (portal.url(), other.url());
    let mut words = add_arguments("prod", &url, APP_ID, both.to_str().unwrap()).to_vec();
    words.extend(["--api-url", &api]);
    let said = home.run(&words).done().code(2);
    let said = said.err_has("seems to be another portal").err_has("`Test`");
    said.err_has("--no-check");
    nothing_was_created(&home);
    // The comparison finds mistakes; a person who knows better decides.
    words.push("--no-check");
    home.run(&words).done().ok().err_has(&api);
    let said = home.run(["doctor", "-c", "prod"]).done();
    assert!(
        said.stdout.contains("seems to be another portal"),
        "{}",
        said.stdout
    );
    for one in portal.requests().into_iter().chain(other.requests()) {
        assert!(one.form.is_empty(), "{}", one.summary());
    }
}

#[test]
fn rule_24d_an_api_url_from_a_file_receives_nothing() {
    let (portal, home) = signed_in(Guard::Negotiate);
    let elsewhere = Portal::start(PortalVersion::Enterprise114);
    let ca = folder_of(&home, "prod").join("ca.pem");
    let every_way = |sent: &Portal| {
        let before = sent.connections();
        for words in [
            &["token"][..],
            &["token", "--force"],
            &["refresh", "--now"],
            &["whoami"],
            &["api", "portals/self"],
            &["exec", "--", "true"],
            &["login"],
        ] {
            let said = home.run(words).done().code(5).out("");
            assert!(said.stderr.contains("API URL"), "{words:?} {}", said.stderr);
            assert!(
                said.stderr.contains("connections edit prod --api-url URL"),
                "{}",
                said.stderr
            );
        }
        assert_eq!(sent.connections(), before);
    };
    let (good, good_ca) = (meta(&home), fs::read(&ca).unwrap());
    for changed in [json!(elsewhere.url()), Value::Null, json!(portal.url())] {
        change_meta(&home, "api_url", changed);
        every_way(&portal);
        assert_eq!(elsewhere.connections(), 0);
    }
    // A schema that does not know the field does not help, either.
    change_meta(&home, "schema_version", json!(3));
    every_way(&portal);
    // An edit of something else takes nothing over.
    change_meta(&home, "api_url", json!(elsewhere.url()));
    let edit = [
        "connections",
        "edit",
        "prod",
        "--proxy",
        "none",
        "--no-check",
    ];
    home.run(edit).done().code(5).err_has("API URL");
    assert_eq!(elsewhere.connections(), 0);
    let path = folder_of(&home, "prod").join("meta.json");
    fs::write(path, good.to_string()).unwrap();
    assert_eq!(fs::read(&ca).unwrap(), good_ca);
    home.run(["token", "--force"]).done().ok();
}

#[test]
fn rule_24d_a_new_portal_does_not_keep_the_api_url_of_the_former_one() {
    let (portal, home) = signed_in(Guard::Negotiate);
    let new = Portal::start(PortalVersion::Enterprise114);
    let both = home.path().join("both.pem");
    fs::write(&both, [portal.ca_pem(), new.ca_pem()].concat()).unwrap();
    let (url, ca) = (new.url(), both.to_str().unwrap());
    let edit = [
        "connections",
        "edit",
        "prod",
        "--portal",
        &url,
        "--verify-ssl",
        ca,
    ];
    home.run(edit)
        .done()
        .code(2)
        .err_has("belongs to the former portal")
        .err_has("--api-url none");
    let before = portal.requests_to(Endpoint::Code).len();
    let out = home
        .run([&edit[..], &["--api-url", "none"]].concat())
        .done()
        .ok();
    out.err_has("Sign in again");
    // The former sign-in was revoked where it was made.
    assert_eq!(portal.live_refresh_tokens(), 0);
    sign_in(&home, &new, "prod").ok();
    assert_eq!(portal.requests_to(Endpoint::Code).len(), before);
}

#[test]
fn rule_24d_the_api_url_of_a_card_is_confirmed_by_the_same_option() {
    let (portal, sharer) = added(Guard::Negotiate);
    let (api, out) = (
        portal.api_url(),
        sharer.run(["connections", "share"]).done().ok(),
    );
    assert!(out.stderr.contains(&api), "{}", out.stderr);
    let fingerprint = out
        .stderr
        .split_whitespace()
        .find(|word| word.matches(':').count() == 31);
    let home = home();
    let card = home.path().join("prod.json");
    fs::write(&card, &out.stdout).unwrap();
    let yes = ["--yes", "--ca-fingerprint", fingerprint.unwrap()];
    let from = |flags: &[&str]| {
        let words = ["connections", "add", "--from", card.to_str().unwrap()];
        home.run([&words[..], &yes, flags].concat()).done()
    };
    let sent = portal.connections();
    from(&[]).code(2).err_has(&format!("--yes --api-url {api}"));
    for other in ["https://127.0.0.1:1/arcgis", "none", &portal.url()] {
        from(&["--api-url", other])
            .code(2)
            .err_has("another API URL");
    }
    assert_eq!(portal.connections(), sent);
    nothing_was_created(&home);
    from(&["--api-url", &format!("{api}/home")])
        .ok()
        .err_has("API URL:   127.0.0.1");
    assert_eq!(shown(&home)["api_url"], api);
    sign_in(&home, &portal, "prod").ok();
    // The same connection gives the same card.
    let again = home.run(["connections", "share"]).done().ok();
    assert_eq!(again.stdout, out.stdout);
    // A card without one takes it away from the connection that it updates.
    let mut plain = out.json();
    let fields = plain.as_object_mut().unwrap();
    fields.remove("api_url");
    fields.insert("age_oauth_card".into(), json!(1));
    fields.remove("sha256");
    let digest = age_oauth::testing::fingerprint(plain.to_string().as_bytes());
    plain["sha256"] = digest.into();
    fs::write(&card, plain.to_string()).unwrap();
    from(&["--api-url", &api])
        .code(2)
        .err_has("contains no API URL");
    from(&["--replace", "--no-check"]).ok();
    assert_eq!(shown(&home)["api_url_confirmed"], Value::Null);
}

#[cfg(unix)]
mod on_a_terminal {
    use super::*;
    use crate::support::pty::Terminal;

    #[test]
    fn a_guarded_portal_is_offered_an_api_url() {
        let (portal, home) = (guarded(Guard::Certificate), home());
        let ca = portal.ca_file(home.path());
        let start = || {
            let words = ["connections", "add", "--label", "prod", "--verify-ssl"];
            Terminal::start(&home, &[&words[..], &[ca.to_str().unwrap()]].concat())
        };
        let mut terminal = start();
        terminal.expect("Portal URL").line(&portal.url());
        terminal
            .expect("asks for a client certificate")
            .expect("❯ Present a client certificate")
            .expect("Enter the address at which programs reach this portal (API URL)")
            .send("\u{1b}[B")
            .expect("❯ Enter the address")
            .line("");
        terminal.expect("API URL (for example").line(&portal.url());
        terminal
            .expect("it is the portal URL")
            .line("https://127.0.0.1:1/arcgis");
        terminal
            .expect("How do you want to continue?")
            .expect("❯ Enter the address at which")
            .line("");
        terminal
            .expect("API URL (for example")
            .line(&portal.api_url());
        terminal
            .expect(&format!("[OK] {}", portal.api_url()))
            .expect("API URL: 127.0.0.1:")
            .expect("as its own address");
        terminal.expect("Authentication type").line("");
        terminal.expect("Authorization code").line("");
        terminal.expect("OAuth Client ID").line(APP_ID);
        terminal.expect("OAuth Client Secret").line("");
        terminal.expect("Created connection: prod");
        terminal.expect("Sign in now?").send("n");
        assert_eq!(terminal.end(), 0);
        assert_eq!(shown(&home)["api_url"], portal.api_url());
        // Its address was asked once, when it was entered.
        assert_eq!(portal.requests_to_the_guard().len(), 1);
        home.run(["connections", "remove", "prod", "--yes"])
            .done()
            .ok();
    }

    #[test]
    fn what_the_names_do_not_say_is_confirmed_by_a_person() {
        let (portal, home) = (guarded(Guard::Negotiate), home());
        portal.set(|rules| rules.names_host = Some("internal.example.com".into()));
        let ca = portal.ca_file(home.path());
        let (url, api) = (portal.url(), portal.api_url());
        let mut words = add_arguments("prod", &url, APP_ID, ca.to_str().unwrap()).to_vec();
        words.extend(["--no-client-secret", "--api-url", &api]);
        let mut terminal = Terminal::start(&home, &words);
        terminal
            .expect("internal.example.com")
            .expect("Is 127.0.0.1:")
            .expect("an address of the portal")
            .line("");
        assert_eq!(terminal.end(), 1);
        nothing_was_created(&home);
        // Without a person, the command line is the choice, and says what could not be compared.
        home.run(words).done().ok().err_has("could not be compared");
    }

    #[test]
    fn rule_24d_an_api_url_that_only_files_name_is_shown_before_a_sign_in() {
        let (portal, home) = signed_in(Guard::Negotiate);
        fs::remove_file(home.store().join("vault")).unwrap();
        let sent = portal.connections();
        let login = ["login", "-c", "prod", "--no-browser"];
        home.run(login).done().code(5).err_has("--api-url URL");
        let mut terminal = Terminal::start(&home, &login);
        terminal
            .expect("API URL:   127.0.0.1:")
            .expect("Did you choose these settings")
            .send("n");
        assert_eq!(terminal.end(), 5);
        assert_eq!(portal.connections(), sent);
    }

    #[test]
    fn rule_24d_a_card_shows_the_api_url_as_plainly_as_the_portal() {
        let (portal, sharer) = added(Guard::Negotiate);
        let out = sharer.run(["connections", "share"]).done().ok();
        let home = home();
        let card = home.path().join("prod.json");
        fs::write(&card, &out.stdout).unwrap();
        let sent = portal.connections();
        let words = ["connections", "add", "--from", card.to_str().unwrap()];
        let mut terminal = Terminal::start(&home, &words);
        terminal
            .expect("Portal:    localhost:")
            .expect("API URL:   127.0.0.1:")
            .expect("fingerprint to you in another way?")
            .send("y");
        terminal
            .expect("Are these two addresses of your portal")
            .send("n");
        assert_eq!(terminal.end(), 1);
        assert_eq!(portal.connections(), sent);
        nothing_was_created(&home);
    }
}
