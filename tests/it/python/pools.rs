//! Pickles, copies and pools of processes: by the connection's ID alone.

use super::{command, none_was_anonymous, script, succeeds};
use crate::signed_in;
use crate::support::portal::Endpoint;

#[test]
fn a_pickle_holds_the_id_of_the_connection_and_no_secret() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path());
    let layer = portal.server_layer_url();
    let pickles = home.path().join("pickles");
    std::fs::create_dir(&pickles).unwrap();
    let arguments = [ca.to_str().unwrap(), &layer, pickles.to_str().unwrap()];
    succeeds(&script(&home, "pickles.py", &arguments));
    let files: Vec<_> = std::fs::read_dir(&pickles).unwrap().collect();
    assert_eq!(files.len(), 18 * 5);
    for file in files {
        let path = file.unwrap().path();
        let name = path.display().to_string();
        portal.assert_no_secret(&name, &std::fs::read(path).unwrap());
    }
    none_was_anonymous(&portal);
    portal.assert_clean();
}

/// Runs a way to start processes of `pools.py`, whose workers use what was pickled for them.
fn pool(way: &str) {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path());
    let layer = portal.server_layer_url();
    let arguments = [way, ca.to_str().unwrap(), &layer];
    let mut command = command(&home, "pools.py", &arguments);
    // joblib measures the machine with a program that is not there otherwise.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("LOKY_MAX_CPU_COUNT", "2");
    succeeds(&command.output().unwrap());
    assert!(portal.requests_to(Endpoint::CommunitySelf).len() >= 8);
    none_was_anonymous(&portal);
    portal.assert_clean();
}

#[test]
fn workers_of_a_forked_pool_are_signed_in() {
    pool("fork");
}

#[test]
fn workers_of_a_spawned_pool_are_signed_in() {
    pool("spawn");
}

#[test]
fn workers_of_a_fork_server_are_signed_in() {
    pool("forkserver");
}

#[test]
fn workers_of_joblib_are_signed_in() {
    pool("joblib");
}

#[test]
fn workers_of_dask_are_signed_in() {
    pool("dask");
}

/// An error in a worker while it unpickles its task would let the pool wait forever.
#[test]
fn a_pool_ends_with_the_error_of_a_connection_that_was_removed() {
    let (portal, home) = signed_in();
    let ca = portal.ca_file(home.path());
    let arguments = ["removed", ca.to_str().unwrap(), ""];
    succeeds(&command(&home, "pools.py", &arguments).output().unwrap());
}
