//! What the policy of this machine sets, where that is written, and what it overrides.

use super::{DoctorContext, Finding};
use crate::connection::{Connection, Proxy};
use crate::context::Environment;
use crate::env;
use crate::machine_policy::{check_log_folder, InForce, MachinePolicy, Member, PLACE};
use crate::store::Listing;

const CHECK: &str = "policy";

/// Shows what is in force. A policy that cannot be obeyed is a failed check, and the other checks
/// go on.
pub(super) fn in_force(doctor: &DoctorContext, listing: Option<&Listing>) -> Vec<Finding> {
    let policy = &doctor.context.machine_policy;
    let found = policy
        .place()
        .and_then(|place| Ok((place, policy.in_force()?)));
    match found {
        Err(error) => vec![Finding::error(CHECK, &error)],
        Ok((None, _)) => {
            let message = format!("there is no policy of this machine ({PLACE})");
            vec![Finding::ok(CHECK, message)]
        }
        Ok((Some(place), set)) if set.is_empty() => {
            vec![Finding::ok(CHECK, format!("{place} sets nothing"))]
        }
        Ok((Some(_), set)) => {
            let connections = listing.map_or(&[][..], |listing| &listing.connections);
            let environment = &doctor.context.environment;
            set.iter()
                .map(|one| shown(one, &overridden(one, environment, connections)))
                .chain(log_folder(policy))
                .collect()
        }
    }
}

fn shown(one: &InForce, overridden: &[String]) -> Finding {
    let mut message = format!("{}, set by {}", one.value, one.rule);
    if !overridden.is_empty() {
        message.push_str("; overrides ");
        message.push_str(&overridden.join(", "));
    }
    Finding::ok(CHECK, message)
}

/// Where the event log cannot be written, which stops no command.
fn log_folder(policy: &MachinePolicy) -> Option<Finding> {
    let folder = policy.event_log().ok()??;
    let found = check_log_folder(folder).err()?;
    let message = format!("no event log is written, because {}", found.why);
    Some(Finding::warn(CHECK, message, found.remedy))
}

/// The variables and the connections whose settings do not count.
fn overridden(one: &InForce, environment: &Environment, connections: &[Connection]) -> Vec<String> {
    let variables: &[&str] = match one.member {
        Member::Proxy => &env::PROXY_VARIABLES,
        Member::CertificateAuthorities => &env::CA_BUNDLE_VARIABLES,
        Member::Keychain => &[env::AGE_OAUTH_KEYCHAIN],
        Member::EventLog => &[env::AGE_OAUTH_LOG],
        // What a connection has against a limit is a finding of its own.
        Member::Portals
        | Member::UnverifiedTls
        | Member::SecretsOnCommandLine
        | Member::SecretCommands
        | Member::ApiKeys
        | Member::Keychains
        | Member::LongestSignIn => &[],
    };
    let has_another_proxy = |connection: &&Connection| {
        one.member == Member::Proxy
            && connection.proxy != Proxy::System
            && connection.proxy.as_str() != one.value
    };
    let set = variables.iter().filter(|name| environment.is_set(name));
    let connections = connections
        .iter()
        .filter(has_another_proxy)
        .map(|connection| format!("the setting of `{}`", connection.label));
    set.map(|&name| name.to_owned())
        .chain(connections)
        .collect()
}

/// Whether the policy allows to use a connection.
pub(super) fn of_connection(doctor: &DoctorContext, connection: &Connection) -> Option<Finding> {
    let policy = &doctor.context.machine_policy;
    // One that cannot be used is a finding of the machine.
    policy.check().ok()?;
    let error = policy.check_connection(connection).err()?;
    Some(Finding::error(CHECK, &error))
}
