//! ArcGIS Pro, as far as a stand-in for arcpy shows it.

use super::{script, succeeds};
use crate::home;
use crate::support::portal::{Portal, PortalVersion};
use crate::support::scenario::{add, sign_in};

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
