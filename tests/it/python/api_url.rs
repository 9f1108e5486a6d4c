//! A guarded portal from Python.

use super::{script, succeeds};
use crate::home;
use crate::support::portal::{Endpoint, Guard, Portal, APP_ID, USER};
use crate::support::scenario::{add_with, sign_in};

#[test]
fn scripts_and_esris_package_talk_to_the_api_url() {
    let (portal, home) = (Portal::builder().guarded(Guard::Negotiate).start(), home());
    let (url, api) = (portal.url(), portal.api_url());
    add_with(&home, &portal, "prod", &["--api-url", &api]);
    sign_in(&home, &portal, "prod").ok();
    let ca = portal.ca_file(home.path());
    let arguments = [&url, &api, ca.to_str().unwrap(), APP_ID, USER];
    succeeds(&script(&home, "api_url.py", &arguments));
    // The comparisons of `add`, `edit` and `get_gis`, and the connection without an API URL.
    let requests = portal.requests_to_the_guard();
    for one in &requests {
        assert!(
            matches!(one.endpoint, Endpoint::PortalSelf | Endpoint::Root),
            "{}",
            one.summary()
        );
        assert_eq!(one.header("x-esri-authorization"), None);
    }
    assert_eq!(requests.len(), 5);
}
