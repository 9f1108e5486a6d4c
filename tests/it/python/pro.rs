//! ArcGIS Pro, as far as a stand-in for arcpy shows it.

use super::{script, succeeds, Dialogue};
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add, sign_in};
use crate::{home, signed_in};

#[test]
fn a_sign_in_of_arcgis_pro_is_renewed_and_what_was_active_is_restored() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    // Half of this life, and the next token is on its way.
    portal.set(|rules| rules.user_access_seconds = 8);
    let home = home();
    add(&home, &portal, "prod");
    sign_in(&home, &portal, "prod").ok();
    succeeds(&script(&home, "pro.py", &[]));
}

/// The tool of the page, and its lines for `arcpy` alone.
#[test]
fn the_blocks_of_the_page_run_and_show_an_error_as_a_message() {
    let (portal, home) = signed_in();
    let page = include_str!("../../../docs/arcgis-pro.md").replace("\r\n", "\n");
    let blocks = page.split("```python\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 2);
    let mut script = Dialogue::start(&home, "pro_blocks.py", &blocks);
    assert_eq!(script.line(), "ready");
    portal.revoke_all();
    home.run(["token", "--force"]).done().code(3);
    script.tell("go").ends();
}
