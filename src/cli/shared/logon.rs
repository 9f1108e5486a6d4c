//! How Windows logged this process on, by the well-known groups that it puts it in, and by the
//! number of its session.

/// A kind of logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Logon {
    /// Over the network: SSH, `WinRM`.
    Network,
    /// A task of Task Scheduler that runs whether or not its user is logged on.
    Batch,
    /// A service, or whatever else runs as the system.
    Service,
    /// At the machine, or by Remote Desktop.
    Interactive,
}

impl Logon {
    /// By the identifiers of the groups. A batch logon can be in the other groups, too, so it is
    /// looked for first. `None` where they do not say it, and on other systems.
    pub(in crate::cli) fn of(groups: &str) -> Option<Self> {
        let is_in = |sid: &str| {
            groups
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .any(|word| word == sid)
        };
        [
            ("S-1-5-3", Self::Batch),
            ("S-1-5-6", Self::Service),
            // The system's own account is in none of these groups. Its integrity level is its own.
            ("S-1-16-16384", Self::Service),
            ("S-1-5-4", Self::Interactive),
            ("S-1-5-14", Self::Interactive),
            ("S-1-5-2", Self::Network),
        ]
        .into_iter()
        .find(|(sid, _)| is_in(sid))
        .map(|(_, logon)| logon)
    }

    /// Whether a window that this process opens is on a desktop that a person sees.
    fn has_desktop(self) -> bool {
        match self {
            Self::Interactive => true,
            Self::Network | Self::Batch | Self::Service => false,
        }
    }
}

/// Whether a window that this process opens is on a desktop that a person sees. The groups may be
/// unknown, because a policy does not let `whoami` run or a domain does not answer it. Then the
/// number of the session says it, and without one, no person sees the window.
pub(in crate::cli) fn has_desktop(groups: &str, session: impl FnOnce() -> Option<u32>) -> bool {
    match Logon::of(groups) {
        Some(logon) => logon.has_desktop(),
        None => session().is_some_and(|number| number != SERVICES),
    }
}

/// The session without a desktop: of services, of tasks that run whether or not their user is
/// logged on, and of what arrives over the network.
const SERVICES: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logon_type_follows_from_whole_group_identifiers() {
        let line = |sid: &str| format!("\"NT-AUTORITÄT\\X\",\"Gruppe\",\"{sid}\",\"\"\r\n");
        for (sid, logon) in [
            ("S-1-5-3", Some(Logon::Batch)),
            ("S-1-5-4", Some(Logon::Interactive)),
            ("S-1-5-14", Some(Logon::Interactive)),
            ("S-1-5-6", Some(Logon::Service)),
            ("S-1-16-16384", Some(Logon::Service)),
            ("S-1-16-12288", None),
            ("S-1-5-2", Some(Logon::Network)),
            ("S-1-5-32-544", None),
            ("S-1-5-21-3-4", None),
        ] {
            assert_eq!(Logon::of(&line(sid)), logon, "{sid}");
            let has_desktop = logon.map(Logon::has_desktop);
            let expected = logon.map(|logon| logon == Logon::Interactive);
            assert_eq!(has_desktop, expected, "{sid}");
        }
        let both = line("S-1-5-4") + &line("S-1-5-3");
        assert_eq!(Logon::of(&both), Some(Logon::Batch));
        assert_eq!(Logon::of(""), None);
    }

    #[test]
    fn rule_24e_where_the_groups_do_not_say_it_the_session_does() {
        let seen = |groups, session| has_desktop(groups, || session);
        for unknown in ["", "\"A\\Users\",\"Alias\",\"S-1-5-32-545\",\"\""] {
            assert!(seen(unknown, Some(1)) && seen(unknown, Some(3)));
            assert!(!seen(unknown, Some(0)));
            assert!(!seen(unknown, None), "{unknown}");
        }
        // What they say comes first.
        assert!(!seen("S-1-5-3", Some(1)));
        assert!(seen("S-1-5-4", None));
    }
}
