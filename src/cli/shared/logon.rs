//! How Windows logged this process on, by the well-known groups that it puts it in.

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
    pub(in crate::cli) fn has_desktop(self) -> bool {
        match self {
            Self::Interactive => true,
            Self::Network | Self::Batch | Self::Service => false,
        }
    }
}

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
}
