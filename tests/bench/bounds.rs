//! What each measurement may be. This table is the only place with a bound; the measurements name
//! its rows.

use super::report::Bound;
use super::report::Unit::{Count, Mebibytes, Milliseconds, Ratio};

/// A measurement with a bound. Ratios of two times that are measured in turn mean the same on a
/// slow and on a busy machine. A time in milliseconds does not, so that it is a [`Bound::time`].
const fn bound(what: &'static str, unit: super::report::Unit, at_most: f64) -> Bound {
    Bound {
        what,
        unit,
        at_most: Some(at_most),
        goal: None,
    }
}

impl Bound {
    const fn goal(self, goal: f64) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    /// A time that depends on the machine and its load: it has a goal, in milliseconds, and no
    /// bound.
    const fn time(what: &'static str, goal: f64) -> Self {
        Self {
            what,
            unit: Milliseconds,
            at_most: None,
            goal: Some(goal),
        }
    }
}

pub(crate) const CACHED_TOKEN: Bound =
    bound("cached token : secret-tool lookup", Ratio, 0.35).goal(0.25);
pub(crate) const TOKEN_CALLS: Bound = bound("D-Bus method calls of a cached token", Count, 4.0);
pub(crate) const EXEC: Bound = bound("exec, less its child : a cached token", Ratio, 1.3);
pub(crate) const MANY_CONNECTIONS: Bound =
    bound("cached token, 10,000 connections : ten", Ratio, 1.1);
pub(crate) const LIST: Bound = Bound::time("connections list of 10,000", 1000.0);
pub(crate) const STATUS: Bound =
    bound("status of 1,000 connections : connections list", Ratio, 1.5);
pub(crate) const STATUS_TIME: Bound = Bound::time("status of 1,000 connections", 500.0);
pub(crate) const STATUS_CALLS: Bound = bound("D-Bus method calls of status", Count, 0.0);
pub(crate) const REFRESH_ALL: Bound =
    bound("refresh --all, 50 on 5 portals : 10 on one", Ratio, 2.0);
pub(crate) const PEAK_MEMORY: Bound = bound("peak memory of a cached token", Mebibytes, 7.0);
pub(crate) const FILE_SIZE: Bound = bound("the program's file, stripped", Mebibytes, 6.7);
pub(crate) const VERSION_PROCESSES: Bound = bound("--version: threads and children", Count, 0.0);
pub(crate) const VERSION_SOCKETS: Bound = bound("--version: sockets", Count, 0.0);
pub(crate) const VERSION_FILES: Bound = bound("--version: files of the store", Count, 0.0);
pub(crate) const CONCURRENT_RENEWALS: Bound =
    bound("60 processes, expired token: renewals", Count, 1.0);
pub(crate) const CONCURRENT_TIME: Bound =
    bound("60 processes : one renewal and 60 cached reads", Ratio, 3.0);
pub(crate) const PYTHON_IMPORT: Bound =
    Bound::time("import age_oauth, less Python's own start", 30.0);
pub(crate) const IMPORT_BESIDE: Bound = bound(
    "import : the faster one of google-auth and azure-identity",
    Ratio,
    0.5,
);
pub(crate) const TOKEN_BESIDE: Bound = bound("cached token : the slower one of them", Ratio, 1.0);
pub(crate) const REQUEST_BESIDE: Bound =
    bound("signed request : the slower one of them", Ratio, 2.0).goal(1.0);
pub(crate) const PYTHON_TOKEN: Bound =
    bound("cached token in Python : by the package 0.2.1", Ratio, 1.0);
pub(crate) const GET_GIS: Bound = Bound::time("get_gis, less the GIS itself, cached token", 20.0);
pub(crate) const PYTHON_WAIT: Bound =
    Bound::time("longest wait of a request during a renewal", 5.0);
pub(crate) const PYTHON_STARTS: Bound = bound("process starts of 1,000 requests", Count, 1.0);
