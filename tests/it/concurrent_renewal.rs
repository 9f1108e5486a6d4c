//! Many processes at the same time: one renewal, the same token for all, or the same failure.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::process::Child;
use std::sync::Arc;

use serde_json::Value;

use crate::home;
use crate::support::home::{Home, Outcome, Run};
use crate::support::portal::{
    service_secret, Endpoint, Fault, Portal, PortalVersion, Proxy, SERVICE_ID,
};
use crate::support::scenario::{
    add, add_application, add_application_arguments, expire_token, folder_of, set_token_life,
    sign_in,
};

const PROCESSES: usize = 60;

fn run_at_once(home: &Home, arguments: &[&str]) -> Vec<String> {
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut child = home.run(arguments).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    children
        .into_iter()
        .map(|child| Outcome::of(child).ok().line().to_owned())
        .collect()
}

#[test]
fn sixty_processes_with_an_expired_token_cause_one_renewal_and_get_the_same_token() {
    let portal = Arc::new(Portal::start(PortalVersion::Enterprise114));
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    expire_token(&home, "prod");
    let tokens = run_at_once(&home, &["token"]);
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 1);
    assert!(portal.accepts_access_token(&tokens[0]));
    assert_eq!(portal.requests_to(Endpoint::Refresh).len(), 1);
    let left: Vec<_> = home
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "holder"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn concurrent_forced_renewals_share_few_requests() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    // A process that started after a renewal may request another one; those that waited during a
    // renewal use its token.
    let tokens = run_at_once(&home, &["token", "--force"]);
    let renewals = portal.requests_to(Endpoint::Refresh).len();
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), renewals);
    assert!(renewals < PROCESSES, "{renewals}");
}

/// Starts twelve processes, `run` by their numbers, and lets them go on when all of them wait for
/// the renewal lock of the connection.
pub fn twelve_that_wait(home: &Home, label: &str, run: impl Fn(usize) -> Run) -> Vec<Outcome> {
    let lock = folder_of(home, label).join("lock");
    let held = fs::File::options().create(true).append(true).open(lock);
    let held = held.unwrap();
    held.lock().unwrap();
    let mut children: Vec<_> = (0..12)
        .map(|number| {
            let mut child = run(number).spawn();
            drop(child.stdin.take());
            child
        })
        .collect();
    children.iter_mut().for_each(expect_wait_for_the_lock);
    drop(held);
    children.into_iter().map(Outcome::of).collect()
}

/// Reads what the process says until it waits for the renewal lock.
fn expect_wait_for_the_lock(child: &mut Child) {
    let mut stderr = child.stderr.take().unwrap();
    let (mut said, mut chunk) = (Vec::new(), [0; 512]);
    while !String::from_utf8_lossy(&said).contains("waiting for another age-oauth process") {
        let length = stderr.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&said));
        said.extend(&chunk[..length]);
    }
    child.stderr = Some(stderr);
}

const IN_ANOTHER: &str = "in another process, for which this one waited";

/// The commands of twelve processes that all need a new token of `service`.
pub fn new_token(number: usize) -> &'static [&'static str] {
    match number % 2 {
        0 => &["token", "--force", "-c", "service"],
        _ => &["refresh", "-c", "service"],
    }
}

/// A portal and a home with the application connection `service`, which has a token.
fn with_service() -> (Portal, Home) {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let home = home();
    add_application(&home, &portal, "service");
    home.run(["token", "-c", "service"]).done().ok();
    (portal, home)
}

fn last_failure(home: &Home) -> String {
    let meta = fs::read(folder_of(home, "service").join("meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    meta["last_failure"].to_string()
}

/// Twelve processes that wait fail as the first of them does, which alone sends `requests`.
fn share_one_failure(portal: &Portal, home: &Home, code: i32, why: &str, requests: usize) {
    let asked = || portal.requests_to(Endpoint::AppToken).len();
    let before = asked();
    let mut by_others = 0;
    let run = |number| home.run(new_token(number));
    for outcome in twelve_that_wait(home, "service", run) {
        let said = outcome.code(code).stderr;
        assert!(said.contains(why), "{said}");
        by_others += usize::from(said.contains(IN_ANOTHER));
    }
    assert_eq!((asked() - before, by_others), (requests, 11), "{why}");
    let kept = last_failure(home);
    assert!(kept.contains(why) && !kept.contains(IN_ANOTHER), "{kept}");
}

#[test]
fn those_who_wait_for_a_portal_get_the_failure_of_the_first() {
    let (portal, home) = with_service();
    let fault = |fault| portal.set(|rules| rules.fault_always(Endpoint::AppToken, fault));
    // A server error is tried three times, whatever else once.
    fault(Fault::Status(503));
    share_one_failure(&portal, &home, 6, "not available now (HTTP 503)", 3);
    portal.set(|rules| rules.clear_faults());
    fault(Fault::error(403, "no right"));
    share_one_failure(&portal, &home, 7, "the portal denies permission", 1);
    portal.set(|rules| rules.clear_faults());
    portal.stop();
    share_one_failure(&portal, &home, 6, "cannot connect", 0);
    // Who begins to wait afterwards asks the portal.
    portal.start_again();
    home.run(new_token(0)).done().ok();
}

#[test]
fn those_who_wait_for_a_portal_that_hangs_do_not_wait_for_it_again() {
    let (portal, home) = with_service();
    portal.set(|rules| rules.fault_always(Endpoint::AppToken, Fault::Silence));
    share_one_failure(&portal, &home, 6, "no response in time", 1);
}

#[test]
fn a_secret_that_the_portal_has_refused_is_not_sent_by_those_who_wait() {
    let (portal, home) = with_service();
    portal.set(|rules| rules.app_mut(SERVICE_ID).secret = "replaced-l1".into());
    share_one_failure(&portal, &home, 7, "does not accept this client secret", 1);
    // The failure is that of the former secret.
    portal.set(|rules| rules.app_mut(SERVICE_ID).secret = service_secret().into());
    home.run(new_token(0)).done().ok();
}

/// What a process that waits for the lock does where `failed` was recorded meanwhile.
fn waits_while_is_recorded(home: &Home, failed: &Value) -> Outcome {
    let folder = folder_of(home, "service");
    let held = fs::File::options().append(true).open(folder.join("lock"));
    let held = held.unwrap();
    held.lock().unwrap();
    let mut child = home.run(["refresh", "-c", "service"]).spawn();
    drop(child.stdin.take());
    expect_wait_for_the_lock(&mut child);
    let path = folder.join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["renewal_failure"] = failed.clone();
    meta["renewal_failure"]["at"] = jiff::Timestamp::now().to_string().into();
    fs::write(path, meta.to_string()).unwrap();
    drop(held);
    Outcome::of(child)
}

#[test]
fn a_failure_on_another_machine_or_of_another_portal_says_nothing() {
    let (portal, home) = with_service();
    portal.set(|rules| rules.fault_always(Endpoint::AppToken, Fault::error(403, "no right")));
    home.run(new_token(0)).done().code(7);
    portal.set(|rules| rules.clear_faults());
    let meta = fs::read(folder_of(&home, "service").join("meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let failed = &meta["renewal_failure"];
    let said = waits_while_is_recorded(&home, failed).code(7).stderr;
    assert!(said.contains(IN_ANOTHER), "{said}");
    for (member, value) in [
        ("machine", "another-machine"),
        (
            "url",
            "https://gis.other.example/portal/sharing/rest/oauth2/token",
        ),
    ] {
        let mut other = failed.clone();
        other[member] = value.into();
        waits_while_is_recorded(&home, &other).ok();
    }
}

#[test]
fn those_who_wait_keep_a_token_that_lives() {
    let (portal, home) = with_service();
    // Less than scripts want, and more than none.
    set_token_life(&home, "service", 50);
    portal.set(|rules| rules.fault_always(Endpoint::AppToken, Fault::Status(503)));
    let before = portal.requests_to(Endpoint::AppToken).len();
    let run = |_| home.run(["token", "-c", "service"]);
    for outcome in twelve_that_wait(&home, "service", run) {
        let said = outcome.ok();
        assert!(portal.accepts_access_token(said.line()));
        assert!(said.stderr.contains("this is the cached token"));
    }
    assert_eq!(portal.requests_to(Endpoint::AppToken).len() - before, 3);
}

#[test]
fn those_who_wait_with_another_proxy_ask_the_portal() {
    let (host, home) = ("gis.city.example", home());
    let portal = Portal::builder().san(host).start();
    let proxy = Proxy::leading(&[(host, portal.port())]);
    let (ca, url) = (
        portal.ca_file(home.path()),
        format!("https://{host}/portal"),
    );
    let words = add_application_arguments("service", &url, SERVICE_ID, ca.to_str().unwrap());
    let add = home.run(words).input(service_secret());
    add.env("HTTPS_PROXY", proxy.url()).done().ok();
    let outcomes = twelve_that_wait(&home, "service", |number| {
        let run = home.run(["refresh", "-c", "service"]);
        match number % 2 {
            0 => run.env("HTTPS_PROXY", proxy.url()),
            // Where nothing listens.
            _ => run.env("HTTPS_PROXY", "http://127.0.0.1:9"),
        }
    });
    for (number, outcome) in outcomes.into_iter().enumerate() {
        outcome.code(if number % 2 == 0 { 0 } else { 6 });
    }
}
