//! Network connections: the portal gives a token to whom the web server in front of it vouches for.
//! In front are nginx with client certificates, and Apache with Kerberos.

use std::fs;

use serde_json::Value;

use crate::client_certificates::{Pki, PASSWORD};
use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::openssl::{OpenSsl, P256};
use crate::support::portal::{Endpoint, Portal, APP_ID, OTHER_USER, USER};
use crate::support::scenario::{expire_token, folder_of};
use crate::support::web_server::{WebServer, VERIFIED};
use crate::windows_sign_in::{shown, Site};

/// A portal behind nginx, which vouches for those whose client certificate it verifies, and a home
/// with the certificate of `CN=ana` in a file.
pub struct Behind {
    pub portal: Portal,
    pub home: Home,
    pub url: String,
    pub ca: String,
    pub certificate: String,
    _server: WebServer,
    folder: tempfile::TempDir,
    pki: Pki,
}

impl Behind {
    pub fn nginx() -> Self {
        let (portal, home, pki) = (Portal::builder().start(), home(), Pki::new());
        pki.client("ana", P256, "");
        portal.set(|rules| rules.vouched = vec![("CN=ana".into(), USER.into())]);
        let folder = tempfile::tempdir().unwrap();
        let (clients, protocols) = (pki.files().certificate("root"), "TLSv1.2 TLSv1.3");
        let server = WebServer::in_front(folder.path(), &portal, &clients, VERIFIED, protocols);
        Self {
            url: server.url(),
            ca: portal.ca_file(home.path()).display().to_string(),
            certificate: pki.pkcs12("ana", ""),
            portal,
            home,
            _server: server,
            folder,
            pki,
        }
    }

    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The certificates, by name.
    pub fn files(&self) -> &OpenSsl {
        self.pki.files()
    }

    /// `connections add` of a network connection with these further words.
    fn add_with(&self, label: &str, words: &[&str]) -> Outcome {
        let given = [
            "connections",
            "add",
            "--label",
            label,
            "--portal",
            &self.url,
            "--verify-ssl",
            &self.ca,
            "--auth-type",
            "network",
        ];
        let run = self.home.run([&given[..], words].concat());
        run.input(PASSWORD).done()
    }

    fn add(&self, label: &str) -> Outcome {
        let certificate = ["--client-cert", &self.certificate];
        self.add_with(
            label,
            &[&certificate[..], &["--client-cert-password-stdin"]].concat(),
        )
    }

    /// With the connection `net`, which is signed in.
    fn signed_in() -> Self {
        let behind = Self::nginx();
        behind.add("net").ok();
        behind.run(&["login"]).ok();
        behind
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.home.run(words).done()
    }

    /// The web server vouches for another user from now on.
    pub fn vouch_for(&self, username: &str) {
        self.portal
            .set(|rules| rules.vouched = vec![("CN=ana".into(), username.into())]);
    }

    fn requests_for_tokens(&self) -> usize {
        self.portal.requests_to(Endpoint::GenerateToken).len()
    }

    fn meta(&self) -> Value {
        let path = folder_of(&self.home, "net").join("meta.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

#[test]
fn a_person_works_behind_nginx_without_browser_and_client_id() {
    let behind = Behind::nginx();
    behind.add("net").ok();
    // Nothing is requested in the name of a person who has not said `login`.
    behind.run(&["token"]).code(3).err_has("is not signed in");
    behind.run(&["status", "--check"]).code(3);
    assert_eq!(behind.requests_for_tokens(), 0);
    let login = behind.run(&["login"]).ok();
    assert!(login.stdout.contains(&format!("Token is for user: {USER}")));
    login
        .err_has("Scripts that use it act as")
        .err_has(&format!("`Referer: {}`", behind.url));
    let saved = behind.home.path().join("self.json");
    for words in [
        &["token"][..],
        &["token", "--force"],
        &["refresh"],
        &["refresh", "--now"],
        &["refresh", "--all"],
        &["api", "community/self"],
        &["api", "portals/self", "-o", saved.to_str().unwrap()],
        &["export-env", "--shell", "json"],
        &["status", "--check"],
        &["doctor"],
    ] {
        expire_token(&behind.home, "net");
        behind.run(words).ok();
    }
    behind.run(&["whoami"]).ok().out(&format!("{USER}\n"));
    behind
        .run(&["whoami", "--offline"])
        .ok()
        .out(&format!("{USER}\n"));
    behind.run(&["login"]).ok();
    behind
        .run(&["login", "--expiration", "7d"])
        .code(2)
        .err_has("`net` is a network connection, whose sign-in does not expire");
    // No application, no browser, no refresh token.
    assert_eq!(behind.portal.grants(), [] as [&str; 0]);
    behind.portal.assert_clean();
}

#[test]
fn each_answer_knows_the_kind() {
    let behind = Behind::signed_in();
    let show = behind
        .run(&["connections", "show", "net", "--json"])
        .ok()
        .json();
    assert_eq!(show["auth_type"], "network");
    assert_eq!(show["client_id"], Value::Null);
    assert_eq!(show["redirect_uri"], Value::Null);
    assert_eq!(show["username"], USER);
    assert_eq!(show["referer"], behind.url.as_str());
    let text = behind.run(&["connections", "show", "net"]).ok().stdout;
    assert!(text.contains("Auth type:       network"), "{text}");
    assert!(
        !text.contains("Client ID") && !text.contains("Client secret"),
        "{text}"
    );
    let status = behind.run(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["sign_in"], "good");
    assert_eq!(status[0]["refresh_expires_at"], Value::Null);
    let text = behind.run(&["status"]).ok().stdout;
    assert!(text.contains("by the web server"), "{text}");
    let overview = behind.run(&[]).ok().stdout;
    assert!(overview.contains("Next: age-oauth token"), "{overview}");
    let signed_in = format!("{USER} (by the web server)");
    assert!(overview.contains(&signed_in), "{overview}");
    let token = behind.run(&["token", "--json"]).ok().json();
    assert_eq!(token["username"], USER);
    assert_eq!(token["referer"], behind.url.as_str());
    assert_eq!(token["refresh_expires_at"], Value::Null);
    let doctor = behind.run(&["doctor"]).ok().stdout;
    assert!(
        doctor.contains(&format!("{USER}, by the web server in front")),
        "{doctor}"
    );
    behind
        .run(&["token", "--rotate-refresh-token"])
        .code(2)
        .err_has("`net` is a network connection and has no sign-in to extend");
    // An older program must not take it for another kind.
    let meta = behind.meta();
    assert_eq!(meta["schema_version"], 4);
    assert_eq!(meta["auth_type"], "network");
    assert_eq!(meta["client_id"], "");
}

#[test]
fn tokens_are_bound_to_a_referer_that_every_form_names() {
    let behind = Behind::signed_in();
    let token = behind.run(&["token"]).ok().line().to_owned();
    let header = behind.run(&["token", "--header"]).ok();
    let expected = format!(
        "X-Esri-Authorization: Bearer {token}\nReferer: {}\n",
        behind.url
    );
    header.out(&expected);
    let variables = behind.run(&["export-env", "--shell", "json"]).ok().json();
    assert_eq!(variables["ARCGIS_REFERER"], behind.url.as_str());
    let with = |referer: &str| {
        let bearer = format!("Bearer {token}");
        let client = behind.portal.client();
        let headers = [("X-Esri-Authorization", &*bearer), ("Referer", referer)];
        let reply = client
            .get_with(&behind.portal.rest("community/self?f=json"), &headers)
            .unwrap();
        reply.json()["username"].clone()
    };
    assert_eq!(with(&behind.url), USER);
    assert_eq!(with("https://elsewhere.example.com"), Value::Null);
    // A token for another one is of no use, so that it is not kept.
    behind
        .run(&[
            "connections",
            "edit",
            "net",
            "--referer",
            "https://scripts.example.com",
        ])
        .ok()
        .err_has("Sign in again");
    behind.run(&["token"]).code(3);
    behind.run(&["login"]).ok();
    behind.run(&["whoami"]).ok().out(&format!("{USER}\n"));
    behind.portal.assert_clean();
}

#[test]
fn servers_get_tokens_that_the_portal_grants() {
    let behind = Behind::signed_in();
    behind.portal.set(|rules| rules.direct_federated = false);
    let server = behind.portal.other_server_url();
    let service = format!("{server}/rest/services/Roads/MapServer");
    behind.run(&["token", "--for", &service]).ok();
    let answer = behind.run(&["api", &service]).ok().json();
    assert_eq!(answer["grantedFor"], "server");
    behind.portal.assert_clean();
}

#[test]
fn rule_24g_the_token_of_another_user_is_neither_stored_nor_returned() {
    let behind = Behind::signed_in();
    let before = behind.run(&["token"]).ok().line().to_owned();
    behind.vouch_for(OTHER_USER);
    let refused = |words: &[&str]| {
        let said = behind.run(words).code(3);
        let names = format!("vouches for `{OTHER_USER}`, but the connection belongs to `{USER}`");
        said.err_has(&names)
            .err_has("nothing was stored")
            .err_has("login -c net --switch-user")
            .stdout
    };
    assert_eq!(refused(&["token", "--force"]), "");
    assert_eq!(refused(&["refresh"]), "");
    refused(&["refresh", "--all"]);
    // The cached token is that of the first user.
    assert_eq!(behind.run(&["token"]).ok().line(), before);
    behind.run(&["doctor"]).code(1);
    expire_token(&behind.home, "net");
    assert_eq!(refused(&["token"]), "");
    refused(&["whoami"]);
    refused(&["api", "community/self"]);
    assert_eq!(behind.meta()["username"], USER);
    // Nor does a sign-in replace one user by another without a person's consent.
    behind.run(&["login"]).code(3).err_has(&format!(
        "`{OTHER_USER}` signed in, but the connection belongs to `{USER}`"
    ));
    assert_eq!(refused(&["token"]), "");
    behind.run(&["login", "--switch-user"]).ok();
    behind.run(&["whoami"]).ok().out(&format!("{OTHER_USER}\n"));
    // Names are compared without regard to case, as portals do.
    let upper = OTHER_USER.to_uppercase();
    behind.portal.set(|rules| {
        let user = rules
            .users
            .iter_mut()
            .find(|user| user.username == OTHER_USER);
        user.unwrap().username.clone_from(&upper);
    });
    behind.vouch_for(&upper);
    behind.run(&["token", "--force"]).ok();
}

#[test]
fn rule_24g_whose_tokens_are_is_what_the_keychain_says() {
    let behind = Behind::signed_in();
    behind.vouch_for(OTHER_USER);
    let path = folder_of(&behind.home, "net").join("meta.json");
    let meta = fs::read_to_string(&path).unwrap();
    fs::write(&path, meta.replace(USER, OTHER_USER)).unwrap();
    behind
        .run(&["token", "--force"])
        .code(3)
        .err_has(&format!("belongs to `{USER}`"));
    // Nor does `login` ask the file who may replace whom.
    let refused = format!("`{OTHER_USER}` signed in, but the connection belongs to `{USER}`");
    behind.run(&["login"]).code(3).err_has(&refused);
    let mut meta = behind.meta();
    meta["username"] = Value::Null;
    fs::write(&path, meta.to_string()).unwrap();
    behind.run(&["login"]).code(3).err_has(&refused);
    behind.vouch_for(USER);
    behind.run(&["login"]).ok();
}

#[test]
fn rule_24g_no_request_asks_for_a_token_before_login_and_after_logout() {
    let behind = Behind::signed_in();
    let logout = behind.run(&["logout"]).ok();
    assert_eq!(logout.stdout, "[OK] Signed out of net on this machine.\n");
    logout.err_has("age-oauth login -c net");
    let before = behind.portal.requests().len();
    for words in [
        &["token"][..],
        &["token", "--force"],
        &["token", "--for", &behind.portal.other_server_url()],
        &["refresh"],
        &["refresh", "--all"],
        &["whoami"],
        &["api", "community/self"],
        &["export-env"],
        &["exec", "--", "true"],
        &["status", "--check"],
    ] {
        behind.run(words).code(3);
    }
    assert_eq!(behind.portal.requests().len(), before);
    assert_eq!(behind.meta()["username"], Value::Null);
    let status = behind.run(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["sign_in"], "missing");
    let said = behind.run(&["logout"]).ok().stdout;
    assert!(said.contains("there is nothing to do"), "{said}");
    behind.run(&["login"]).ok();
    behind.run(&["whoami"]).ok();
}

#[test]
fn rule_24g_a_file_alone_makes_no_network_connection() {
    let behind = Behind::signed_in();
    let words = ["connections", "add", "--label=user", "--client-id", APP_ID];
    let rest = ["--portal", &behind.url, "--verify-ssl", &behind.ca];
    let certificate = [
        "--client-cert",
        &behind.certificate,
        "--client-cert-password-stdin",
    ];
    let run = behind.home.run([&words[..], &rest, &certificate].concat());
    run.input(PASSWORD).done().ok();
    let path = folder_of(&behind.home, "user").join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["auth_type"] = "network".into();
    meta["client_id"] = "".into();
    fs::write(&path, meta.to_string()).unwrap();
    let before = behind.requests_for_tokens();
    behind.run(&["login", "-c", "user"]).code(5);
    behind.run(&["token", "-c", "user"]).code(3);
    assert_eq!(behind.requests_for_tokens(), before);
    // Nor does one take away what the web server vouches by.
    let path = folder_of(&behind.home, "net").join("meta.json");
    let mut meta = behind.meta();
    meta["client_certificate"] = Value::Null;
    fs::write(&path, meta.to_string()).unwrap();
    let said = behind.run(&["token", "-c", "net"]).code(1);
    said.err_has("this connection answers none");
}

/// With two addresses, the web server at the API URL vouches. The other one is asked once, to
/// compare the two.
#[test]
fn the_web_server_at_the_api_url_vouches() {
    let behind = Behind::nginx();
    let api = tempfile::tempdir().unwrap();
    let clients = behind.files().certificate("root");
    let server = WebServer::in_front(api.path(), &behind.portal, &clients, VERIFIED, "TLSv1.3");
    let certificate = [
        "--client-cert",
        &behind.certificate,
        "--client-cert-password-stdin",
    ];
    let url = server.url();
    behind
        .add_with("net", &[&certificate[..], &["--api-url", &url]].concat())
        .ok();
    let log = behind.folder.path().join("access.log");
    let at_the_portal_url = || fs::read_to_string(&log).unwrap().lines().count();
    let before = at_the_portal_url();
    behind.run(&["login"]).ok();
    for words in [
        &["token"][..],
        &["whoami"],
        &["refresh"],
        &["api", "community/self"],
    ] {
        expire_token(&behind.home, "net");
        behind.run(words).ok();
    }
    assert_eq!(at_the_portal_url(), before);
    let show = behind
        .run(&["connections", "show", "net", "--json"])
        .ok()
        .json();
    assert_eq!(show["api_url"], url.as_str());
    assert_eq!(show["api_url_confirmed"], true);
    assert_eq!(show["username"], USER);
    // The token is bound to the portal's own address, whichever address programs use.
    assert_eq!(show["referer"], behind.url.as_str());
    // An API URL without a sign-in vouches for no user.
    let open = behind.portal.url();
    let edit = [
        "connections",
        "edit",
        "net",
        "--api-url",
        &open,
        "--no-check",
    ];
    let edit = behind.home.run([&edit[..], &certificate].concat());
    edit.input(PASSWORD).done().ok();
    behind
        .run(&["token", "--force"])
        .code(7)
        .err_has("gives no token to the user");
    behind.portal.assert_clean();
}

#[test]
fn a_portal_that_does_not_ask_its_web_server_is_named() {
    let behind = Behind::nginx();
    behind.portal.set(|rules| rules.vouched.clear());
    behind.add("net").ok();
    behind
        .run(&["login"])
        .code(7)
        .err_has(
            "the portal gives no token to the user whom the web server in front of it vouches for",
        )
        .err_has("'username' must be specified.")
        .err_has("age-oauth connections edit net --auth-type user --client-id ID");
    behind.run(&["token"]).code(3);
    // Later, too, and what is stored stays.
    behind.vouch_for(USER);
    behind.run(&["login"]).ok();
    behind.portal.set(|rules| rules.vouched.clear());
    behind.run(&["token", "--force"]).code(7);
    behind.run(&["token"]).ok();
    // The ordinary way.
    behind
        .run(&[
            "connections",
            "edit",
            "net",
            "--auth-type",
            "user",
            "--client-id",
            APP_ID,
        ])
        .ok()
        .err_has("Sign in again");
    let show = behind
        .run(&["connections", "show", "net", "--json"])
        .ok()
        .json();
    assert_eq!(show["auth_type"], "user");
    assert_eq!(show["client_id"], APP_ID);
    assert_eq!(show["referer"], Value::Null);
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_do() {
    let behind = Behind::nginx();
    behind
        .add_with("net", &["--no-check"])
        .code(2)
        .err_has("give --web-tier windows or --client-cert FILE");
    for words in [
        &["--client-id", "x"][..],
        &["--client-secret", "x"],
        &["--redirect-uri", "http://127.0.0.1:5000/"],
    ] {
        behind
            .add_with("net", &[words, &["--no-check"]].concat())
            .code(2)
            .err_has("has neither a client ID nor a client secret nor a redirect URI");
    }
    behind.add("net").ok();
    behind
        .run(&[
            "connections",
            "edit",
            "net",
            "--client-cert",
            "none",
            "--no-check",
        ])
        .code(2)
        .err_has("this connection answers none");
    behind
        .run(&["connections", "edit", "net", "--client-id", "x"])
        .code(2);
    behind
        .run(&["connections", "edit", "net", "--auth-type", "user"])
        .code(2)
        .err_has("--client-id ID");
    behind
        .run(&["connections", "edit", "net", "--tag", "still"])
        .ok();
}

#[test]
fn another_kind_becomes_a_network_connection_without_what_it_had() {
    let behind = Behind::nginx();
    let words = ["connections", "add", "--label=net", "--client-id", APP_ID];
    let rest = [
        "--portal",
        &behind.url,
        "--verify-ssl",
        &behind.ca,
        "--client-secret",
        "a-client-secret",
    ];
    let run = behind
        .home
        .run([&words[..], &rest, &["--no-check"]].concat());
    run.done().ok();
    let edit = ["connections", "edit", "net", "--auth-type", "network"];
    behind.run(&edit).code(2).err_has("--client-cert FILE");
    let certificate = [
        "--client-cert",
        &behind.certificate,
        "--client-cert-password-stdin",
    ];
    let run = behind.home.run([&edit[..], &certificate].concat());
    run.input(PASSWORD).done().ok();
    let show = behind
        .run(&["connections", "show", "net", "--json"])
        .ok()
        .json();
    assert_eq!(show["client_id"], Value::Null);
    assert_eq!(show["has_client_secret"], false);
    behind.run(&["login"]).ok();
    behind.run(&["whoami"]).ok().out(&format!("{USER}\n"));
}

#[test]
fn a_card_carries_the_kind() {
    let behind = Behind::signed_in();
    let card = behind.run(&["connections", "share", "net"]).ok();
    assert!(
        card.stdout.contains("\"auth_type\": \"network\""),
        "{}",
        card.stdout
    );
    assert!(!card.stdout.contains("client_id") && !card.stdout.contains(USER));
    let file = behind.home.path().join("card.json");
    fs::write(&file, &card.stdout).unwrap();
    let pem = fs::read(&behind.ca).unwrap();
    let fingerprint = age_oauth::testing::fingerprint(&crate::windows_sign_in::der(&pem));
    let from = [
        "connections",
        "add",
        "--from",
        file.to_str().unwrap(),
        "--label=two",
        "--yes",
    ];
    let trust = ["--ca-fingerprint", &fingerprint];
    behind
        .run(&[&from[..], &trust].concat())
        .code(7)
        .err_has("--client-cert FILE");
    let certificate = [
        "--client-cert",
        &behind.certificate,
        "--client-cert-password-stdin",
    ];
    let run = behind.home.run([&from[..], &trust, &certificate].concat());
    run.input(PASSWORD)
        .done()
        .ok()
        .err_has("the user whom the web server in front of the portal vouches for");
    behind.run(&["login", "-c", "two"]).ok();
}

#[test]
fn a_longer_life_is_asked_for_where_it_is_wanted() {
    let behind = Behind::signed_in();
    let life = |words: &[&str]| {
        behind.run(words).ok().json()["expires_in"]
            .as_i64()
            .unwrap()
    };
    let usual = life(&["token", "--json"]);
    assert!((7000..=7200).contains(&usual), "{usual}");
    let long = life(&["token", "--json", "--min-ttl", "5h"]);
    assert!(long >= 5 * 3600, "{long}");
    // The portal allows less: asking again would not help.
    behind.portal.set(|rules| rules.app_minutes_max = 60);
    behind.run(&["token", "--force"]).ok();
    let before = behind.requests_for_tokens();
    behind.run(&["token"]).ok();
    assert_eq!(behind.requests_for_tokens(), before);
}

#[test]
fn while_the_portal_cannot_be_reached_the_cached_token_is_used() {
    let behind = Behind::signed_in();
    crate::support::scenario::set_token_life(&behind.home, "net", 50);
    behind.portal.stop();
    behind.run(&["token"]).ok();
    behind.run(&["token", "--force"]).code(6);
    behind.portal.start_again();
    behind.run(&["token", "--force"]).ok();
}

#[test]
fn a_person_works_behind_kerberos_without_browser_and_client_id() {
    let site = Site::new();
    site.portal
        .set(|rules| rules.vouched = vec![("ana@EXAMPLE.COM".into(), USER.into())]);
    let ca = site.portal.ca_file(site.home.path());
    let url = site.front.url();
    let words = ["connections", "add", "--label=iwa", "--auth-type=network"];
    let rest = [
        "--portal",
        &url,
        "--verify-ssl",
        ca.to_str().unwrap(),
        "--web-tier",
        "windows",
    ];
    site.run(&[&words[..], &rest].concat()).ok();
    let seen = site.front.requests_of(|| drop(site.run(&["login"]).ok()));
    let renewal = [
        "200 GET ",
        "200 POST /generateToken +body",
        "200 GET /community/self",
    ];
    assert_eq!(shown(&seen), renewal);
    let saved = site.home.path().join("self.json");
    for words in [
        &["token"][..],
        &["refresh"],
        &["refresh", "--all"],
        &["whoami"],
        &["api", "portals/self", "-o", saved.to_str().unwrap()],
        &["doctor"],
    ] {
        expire_token(&site.home, "iwa");
        site.run(words).ok();
    }
    // The ticket of another person is not used at all; the same ticket that leads to another user
    // of the portal is refused.
    site.kdc.add("otto");
    expire_token(&site.home, "iwa");
    let other = site.kdc.ticket("otto");
    let run = site.home.run(["token"]).env("KRB5CCNAME", &other);
    run.done().code(3).err_has("ana@EXAMPLE.COM");
    site.portal
        .set(|rules| rules.vouched = vec![("ana@EXAMPLE.COM".into(), OTHER_USER.into())]);
    site.run(&["token"]).code(3).err_has(OTHER_USER);
    site.portal
        .set(|rules| rules.vouched = vec![("ana@EXAMPLE.COM".into(), USER.into())]);
    site.run(&["token"]).ok();
    site.run(&["logout"]).ok();
    let seen = site
        .front
        .requests_of(|| drop(site.run(&["token"]).code(3)));
    assert_eq!(shown(&seen), [] as [&str; 0]);
    assert_eq!(site.portal.grants(), [] as [&str; 0]);
    site.portal.assert_clean();
}
