//! Many processes at the same time: one renewal, the same token for all.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::home;
use crate::support::home::{Home, Outcome};
use crate::support::portal::{Endpoint, Portal, PortalVersion};
use crate::support::scenario::{add, expire_token, sign_in};

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
