//! x
use crate::support::portal::*;
#[test]
fn starts() {
    let p = Portal::start(Manner::Online);
    let _ = p.client().get(&p.rest("?f=json")).unwrap();
}
