//! Kerberos tokens by the programs of the system: `curl` makes them, `klist` says whose they are.
//!
//! `curl` signs in to a socket of this program that has the name of the portal's web server, and
//! the token is what it sends there. So the system's own Kerberos works with the tickets, and no
//! key or ticket is in the memory of this program. Both programs are started by their whole paths,
//! without configuration files and with the variables of Kerberos alone, because each of the three
//! could lead tokens elsewhere. Kerberos makes the token for the name in the address and for no
//! other name of that server (`kerberos_folder`).

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use ring::digest::{digest, SHA256};

use super::kerberos_folder::Folder;
use super::kerberos_program::{command, read_text, Limit, Running, Settings};
use super::kerberos_text::{caches, why, Cache};
use super::windows_sign_in::{NoToken, TokenMaker, WebServer};
use crate::connection::Principal;
use crate::context::Environment;
use crate::env;
use crate::error::WindowsSignInFailure;
use crate::policy::KERBEROS_TIMEOUT;
use crate::secret::Secret;
use crate::util::{hex, lock};

/// Where systems have programs that only an administrator can change.
const FOLDERS: [&str; 4] = [
    "/usr/bin",
    "/bin",
    "/usr/lib/mit/bin",
    "/run/current-system/sw/bin",
];

pub(super) type Made<T> = Result<T, NoToken>;

/// Makes tokens by `curl`.
#[derive(Debug)]
pub(super) struct CurlTokens {
    folders: Vec<PathBuf>,
    /// Created for the first token, and removed with this value.
    folder: Mutex<Option<Arc<Folder>>>,
}

impl CurlTokens {
    /// With the system's programs.
    pub(super) fn system() -> Self {
        Self::with_programs_in(FOLDERS.iter().map(PathBuf::from).collect())
    }

    fn with_programs_in(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            folder: Mutex::default(),
        }
    }

    fn program(&self, name: &'static str) -> Made<PathBuf> {
        let mut all = self.folders.iter().map(|folder| folder.join(name));
        let found = all.find(|path| path.is_file());
        Ok(found.ok_or(WindowsSignInFailure::NoProgram(name))?)
    }

    fn folder(&self, environment: &Environment) -> Made<Arc<Folder>> {
        let mut folder = lock(&self.folder);
        let present = folder.take().filter(|folder| folder.exists());
        let present = match present {
            Some(present) => present,
            None => Arc::new(Folder::create(environment)?),
        };
        Ok(Arc::clone(folder.insert(present)))
    }

    /// Where tickets are that a keytab makes: in a place of this process, unless a person names
    /// one. The default place may have the tickets of a person, which would be used instead of the
    /// keytab, or would be replaced.
    fn own_cache(&self, environment: &Environment) -> Made<Option<String>> {
        let has_keytab = environment.is_set(env::KRB5_CLIENT_KTNAME);
        if !has_keytab || environment.is_set(env::KRB5CCNAME) {
            return Ok(None);
        }
        // Another keytab may be of another account.
        let keytab = environment.var_os(env::KRB5_CLIENT_KTNAME);
        let name = hex(digest(&SHA256, keytab.unwrap_or_default().as_bytes()).as_ref());
        Ok(Some(self.folder(environment)?.cache(&name)))
    }

    /// The tickets of this user, the default ones first.
    fn caches(&self, environment: &Environment, limit: &Limit) -> Made<Vec<Cache>> {
        let own = self.own_cache(environment)?;
        let settings = Settings {
            cache: own.as_deref(),
            configuration: None,
        };
        let mut klist = command(&self.program("klist")?, environment, &settings);
        klist.arg("-A").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut klist = Running::start(klist, "klist")?;
        let output = klist.output();
        // Read beside the wait, since a long list does not fit into the pipe.
        let reader = thread::spawn(move || read_text(output));
        klist.wait(limit)?;
        let text = reader.join().unwrap_or_default();
        Ok(caches(&text))
    }

    /// Whose tickets would be used, and where they are. Those that are made from a keytab exist
    /// only after the first token.
    fn default_cache(&self, host: &str, environment: &Environment, limit: &Limit) -> Made<Cache> {
        let first = |caches: Vec<Cache>| caches.into_iter().next();
        if let Some(cache) = first(self.caches(environment, limit)?) {
            return Ok(cache);
        }
        // Kerberos may know a keytab by a variable, or by its configuration.
        let own = self.own_cache(environment)?;
        self.curl(host, environment, own.as_deref(), limit)?;
        let cache = first(self.caches(environment, limit)?);
        Ok(cache.ok_or(WindowsSignInFailure::NoTicket)?)
    }

    /// Lets `curl` sign in with the tickets in `cache`, or in the default place.
    fn curl(
        &self,
        host: &str,
        environment: &Environment,
        cache: Option<&str>,
        limit: &Limit,
    ) -> Made<Secret> {
        let program = self.program("curl")?;
        let folder = self.folder(environment)?;
        let socket = folder.socket()?;
        let settings = Settings {
            cache,
            configuration: Some(folder.configuration(environment)),
        };
        let mut curl = command(&program, environment, &settings);
        // `-q` comes first: a configuration file could write what is sent to another file.
        curl.args([
            "-q",
            "-sS",
            "-v",
            "-g",
            "--negotiate",
            "--delegation",
            "none",
        ])
        .args(["-u", ":", "--noproxy", "*", "--unix-socket"])
        .arg(&socket.path)
        // For what is not Kerberos: `curl` does not look at the time while that works.
        .arg("-m")
        .arg(KERBEROS_TIMEOUT.as_secs().to_string())
        .arg(format!("http://{host}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
        let mut curl = Running::start(curl, "curl")?;
        let errors = curl.errors();
        let reader = thread::spawn(move || read_text(errors));
        let token = socket.token(&mut curl, limit)?;
        if let Some(token) = token {
            return Ok(token);
        }
        let status = curl.wait(limit)?;
        let errors = reader.join().unwrap_or_default();
        Err(why(&errors, status, host))
    }

    fn token_within(
        &self,
        host: &str,
        principal: &Principal,
        environment: &Environment,
        limit: &Limit,
    ) -> Made<Secret> {
        let found = self.caches(environment, limit)?;
        let is_own = |cache: &Cache| cache.principal.as_ref() == Ok(principal);
        let mut caches: Vec<_> = found.into_iter().filter(is_own).collect();
        if caches.is_empty() {
            let cache = self.default_cache(host, environment, limit)?;
            let found = cache.principal()?;
            if found != principal {
                return Err(NoToken::other_principal(principal, found));
            }
            caches.push(cache);
        }
        // Several places may have tickets of one principal, such as an old and a new one.
        let mut made = Err(WindowsSignInFailure::NoTicket.into());
        for cache in &caches {
            // `curl` reads the tickets in this place alone, so that the token is of this principal.
            made = self.curl(host, environment, Some(&cache.name), limit);
            let expired = NoToken::Failed(WindowsSignInFailure::TicketExpired);
            if made.as_ref().err() != Some(&expired) {
                break;
            }
        }
        made
    }
}

impl TokenMaker for CurlTokens {
    fn token(&self, server: &WebServer<'_>, principal: &Principal) -> Made<Secret> {
        let limit = Limit::new(server.limit);
        self.token_within(server.host, principal, server.environment, &limit)
    }

    fn principal(&self, server: &WebServer<'_>) -> Made<Principal> {
        let limit = Limit::new(server.limit);
        let cache = self.default_cache(server.host, server.environment, &limit)?;
        cache.principal().cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    fn principal(text: &str) -> Principal {
        text.parse().unwrap()
    }

    /// Makes tokens with programs that are these scripts.
    fn with_programs(folder: &Path, programs: &[(&str, &str)]) -> CurlTokens {
        for (name, script) in programs {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        CurlTokens::with_programs_in(vec![folder.to_owned()])
    }

    const LIST: (&str, &str) = (
        "klist",
        "echo 'Ticket cache: FILE:/x'; echo 'Default principal: ana@EXAMPLE.COM'",
    );

    /// Longer than a loaded machine needs.
    const LONG: Duration = Duration::from_secs(60);

    fn server(environment: &Environment) -> WebServer<'_> {
        WebServer {
            host: "gis",
            channel_binding: None,
            environment,
            limit: LONG,
        }
    }

    fn nothing() -> Environment {
        Environment::of(Vec::<(String, String)>::new())
    }

    fn token_by(maker: &CurlTokens, limit: &Limit) -> Made<Secret> {
        maker.token_within("gis", &principal("ana@EXAMPLE.COM"), &nothing(), limit)
    }

    fn token(maker: &CurlTokens) -> Made<Secret> {
        token_by(maker, &Limit::new(LONG))
    }

    #[test]
    fn missing_programs_and_those_without_kerberos_are_named() {
        const NONE: &str = "echo '* gss_init_sec_context() failed: No Kerberos credentials' >&2";
        const OLD: &str = "echo 'curl: option --unix-socket: is unknown' >&2; exit 2";
        let failed = |programs: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            token(&with_programs(folder.path(), programs)).unwrap_err()
        };
        for (programs, expected) in [
            (&[][..], WindowsSignInFailure::NoProgram("klist")),
            (&[LIST], WindowsSignInFailure::NoProgram("curl")),
            (
                &[LIST, ("curl", "exit 2")],
                WindowsSignInFailure::CurlWithoutKerberos,
            ),
            (&[LIST, ("curl", OLD)], WindowsSignInFailure::CurlTooOld),
            (
                &[("klist", "exit 1"), ("curl", NONE)],
                WindowsSignInFailure::NoTicket,
            ),
        ] {
            assert_eq!(failed(programs), NoToken::Failed(expected));
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_and_named_for_what_it_waits_for() {
        const HANGS: &str = "echo $$ >> \"${0%/*}/pids\"; exec sleep 600";
        let short = Duration::from_millis(500);
        let hangs = WindowsSignInFailure::ProgramHangs("klist");
        for (programs, limit, expected) in [
            // Kerberos had its time.
            (
                [LIST, ("curl", HANGS)],
                Limit::long_enough(short),
                NoToken::NoKdc,
            ),
            (
                [("klist", HANGS), ("curl", HANGS)],
                Limit::long_enough(short),
                NoToken::Failed(hangs),
            ),
            // It had less than it may need.
            ([LIST, ("curl", HANGS)], Limit::new(short), NoToken::Timeout),
            (
                [("klist", HANGS), ("curl", HANGS)],
                Limit::new(short),
                NoToken::Timeout,
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let maker = with_programs(folder.path(), &programs);
            assert_eq!(token_by(&maker, &limit).unwrap_err(), expected);
            let pids = fs::read_to_string(folder.path().join("pids")).unwrap_or_default();
            for pid in pids.lines() {
                wait_for_the_end_of(pid);
            }
        }
    }

    fn wait_for_the_end_of(pid: &str) {
        let command = Path::new("/proc").join(pid).join("cmdline");
        let begun = Instant::now();
        while fs::read(&command).is_ok_and(|line| line.starts_with(b"sleep")) {
            assert!(begun.elapsed() < LONG, "{pid} runs");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn of_two_places_with_tickets_of_one_principal_the_valid_one_is_used() {
        const TWO: &str = "for at in old new; do echo \"Ticket cache: FILE:/$at\"; \
                           echo 'Default principal: ana@EXAMPLE.COM'; done";
        const CURL: &str = "echo $KRB5CCNAME >> \"${0%/*}/seen\"; [ $KRB5CCNAME = FILE:/new ] || \
                            echo '* gss_init_sec_context() failed: Ticket expired' >&2";
        let folder = tempfile::tempdir().unwrap();
        let maker = with_programs(folder.path(), &[("klist", TWO), ("curl", CURL)]);
        // The script makes no token.
        let failed = token(&maker).unwrap_err();
        assert_eq!(failed, NoToken::Failed(WindowsSignInFailure::NoToken));
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        assert_eq!(seen, "FILE:/old\nFILE:/new\n");
    }

    #[test]
    fn rule_24f_a_principal_that_cannot_be_read_is_not_skipped_for_another() {
        const LISTS: &str = "echo 'Ticket cache: FILE:/a'; echo 'Default principal: x'; \
                             echo 'Ticket cache: FILE:/b'; echo 'Default principal: otto@R'";
        let folder = tempfile::tempdir().unwrap();
        let maker = with_programs(folder.path(), &[("klist", LISTS), ("curl", "exit 2")]);
        let expected = NoToken::Failed(WindowsSignInFailure::UnreadablePrincipal("x".into()));
        assert_eq!(token(&maker).unwrap_err(), expected);
        let whose = maker.principal(&server(&nothing()));
        assert_eq!(whose.unwrap_err(), expected);
    }

    #[test]
    fn rule_24f_the_socket_is_in_a_private_folder_that_is_removed() {
        // The folder of the socket, and its mode.
        const LOOK: &str = "while [ \"$1\" != --unix-socket ]; do shift; done; \
                            cd \"${2%/*}\"; { pwd -P; ls -ld . | cut -c1-10; } > \"${0%/*}/seen\"";
        let folder = tempfile::tempdir().unwrap();
        let maker = with_programs(folder.path(), &[LIST, ("curl", LOOK)]);
        token(&maker).unwrap_err();
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        let (place, mode) = seen.trim().split_once('\n').unwrap();
        assert_eq!(mode, "drwx------");
        let place = Path::new(place);
        let parents: Vec<_> = crate::files::safe_parents(&nothing())
            .iter()
            .map(|parent| fs::canonicalize(parent).unwrap())
            .collect();
        assert!(parents.contains(&place.parent().unwrap().to_owned()));
        let mut left: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["krb5.conf", "lock"]);
        drop(maker);
        assert!(!place.exists());
    }

    #[test]
    fn rule_24f_tickets_are_not_delegated() {
        let folder = tempfile::tempdir().unwrap();
        let print = "echo \"$*\" > \"${0%/*}/seen\"";
        let maker = with_programs(folder.path(), &[LIST, ("curl", print)]);
        token(&maker).unwrap_err();
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        assert!(seen.starts_with("-q "), "{seen}");
        assert!(seen.contains(" --negotiate --delegation none "), "{seen}");
        assert_eq!(seen.matches("--delegation").count(), 1);
    }

    #[test]
    fn rule_24f_the_programs_get_the_variables_of_kerberos_alone() {
        let folder = tempfile::tempdir().unwrap();
        let print = format!("env > {}/seen; exit 2", folder.path().display());
        let maker = with_programs(folder.path(), &[LIST, ("curl", &print)]);
        let given = [
            ("KRB5_CONFIG", "/etc/k"),
            ("KRB5CCNAME", "FILE:/other"),
            ("KRB5_TRACE", "/tmp/trace"),
            ("HTTPS_PROXY", "http://evil.example"),
            ("LD_PRELOAD", "/tmp/x.so"),
        ];
        let environment = Environment::of(given);
        let _ = maker.token(&server(&environment), &principal("ana@EXAMPLE.COM"));
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
        let mut seen: Vec<_> = seen
            .lines()
            .filter(|line| !of_the_shell.contains(&line.split('=').next().unwrap()))
            .collect();
        seen.sort_unstable();
        let configuration = maker.folder(&environment).unwrap();
        let configuration = configuration.configuration(&environment);
        let configuration = format!("KRB5_CONFIG={}", configuration.to_str().unwrap());
        assert!(configuration.ends_with(":/etc/k"), "{configuration}");
        // The place of the tickets is the one that was chosen for the principal.
        assert_eq!(
            seen,
            ["KRB5CCNAME=FILE:/x", configuration.as_str(), "LC_ALL=C"]
        );
    }
}
