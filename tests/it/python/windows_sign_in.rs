//! Windows sign-in from Python.

use super::Dialogue;
use crate::support::portal::{service_secret, SERVICE_ID};
use crate::windows_sign_in::Site;

#[test]
fn python_sets_windows_sign_in_and_says_what_cannot_carry_it() {
    let site = Site::new();
    let ca = site.portal.ca_file(site.home.path()).display().to_string();
    let url = site.front.url();
    let arguments = [&*url, &*ca, SERVICE_ID];
    let mut script = Dialogue::start(&site.home, "windows_sign_in.py", &arguments);
    script.tell(service_secret()).ends();
}
