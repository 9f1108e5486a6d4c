//! Certificates: valid ones, invalid ones, and those of the client.

use crate::support::portal::{Certificate, Client, Portal, PortalVersion};

/// Whether a client that trusts the authority accepts a certificate: `None`, or why it is refused.
fn complaint(kind: Certificate) -> Option<String> {
    let portal = Portal::builder().certificate(kind).start();
    let answer = portal.client().get(&portal.rest("?f=json"));
    answer.err().map(|error| error.to_string())
}

#[track_caller]
fn refused(kind: Certificate, reason: &str) {
    let said = complaint(kind).unwrap_or_default();
    assert!(said.contains(reason), "{kind:?}: {said}");
}

#[test]
fn the_authority_certifies_the_portal() {
    assert_eq!(complaint(Certificate::Trusted), None);
    assert_eq!(complaint(Certificate::Chain), None);
}

#[test]
fn every_bad_certificate_has_its_own_defect() {
    refused(Certificate::SelfSigned, "CaUsedAsEndEntity");
    refused(Certificate::Expired, "expired");
    refused(Certificate::NotYetValid, "not valid yet");
    refused(Certificate::WrongHost, "not valid for name");
    refused(Certificate::UnknownAuthority, "UnknownIssuer");
    refused(Certificate::BrokenChain, "UnknownIssuer");
}

#[test]
fn the_certificate_names_this_machine_three_ways() {
    for host in ["localhost", "127.0.0.1"] {
        let portal = Portal::builder().host(host).start();
        assert_eq!(
            portal.client().get(&portal.rest("?f=json")).unwrap().status,
            200
        );
    }
}

#[test]
fn a_portal_can_demand_a_client_certificate() {
    let portal = Portal::builder().client_certificate_required().start();
    let url = portal.rest("?f=json");
    assert!(portal.client().get(&url).is_err());
    assert_eq!(portal.requests().len(), 0);
    let identity = portal.client_identity("me");
    let known = Client::build(Some(portal.ca_pem()), Some(&identity));
    assert_eq!(known.get(&url).unwrap().status, 200);
    super::sign_in(&portal).code();
}

#[test]
fn a_request_without_tls_is_a_violation() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let url = portal.rest("?f=json").replace("https:", "http:");
    assert!(portal.client().get(&url).is_err());
    assert_eq!(portal.violations(), ["rule 14: a request without TLS"]);
}
