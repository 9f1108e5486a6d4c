//! Kerberos tokens by the programs of the system: `curl` makes them, `klist` says whose they are.
//!
//! `curl` signs in to a socket of this program that has the name of the portal's web server, and
//! the token is what it sends there. So the system's own Kerberos works with the tickets, and no
//! key or ticket is in the memory of this program. Both programs are started by their whole paths,
//! without configuration files and with the variables of Kerberos alone, because each of the three
//! could lead tokens elsewhere.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::windows_sign_in::{service_of, NoToken, TokenMaker, WebServer};
use crate::connection::Principal;
use crate::context::Environment;
use crate::env;
use crate::error::WindowsSignInFailure;
use crate::policy::{KERBEROS_TIMEOUT, MAX_KERBEROS_REQUEST_BYTES};
use crate::secret::Secret;

/// Where systems have programs that only an administrator can change.
const FOLDERS: [&str; 4] = [
    "/usr/bin",
    "/bin",
    "/usr/lib/mit/bin",
    "/run/current-system/sw/bin",
];

/// The pause between two looks at the socket and the process.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest path of a socket: macOS has room for 104 bytes, Linux for 108.
const LONGEST_SOCKET_PATH: usize = 100;

/// How `curl` ends where it does not know an option, or was built without Kerberos.
const UNKNOWN_OPTION: [i32; 2] = [2, 4];

type Made<T> = Result<T, NoToken>;

/// Makes tokens by `curl`.
#[derive(Debug)]
pub(super) struct CurlTokens {
    folders: Vec<PathBuf>,
}

impl CurlTokens {
    /// With the system's programs.
    pub(super) fn system() -> Self {
        Self {
            folders: FOLDERS.iter().map(PathBuf::from).collect(),
        }
    }

    fn program(&self, name: &'static str) -> Made<PathBuf> {
        let mut all = self.folders.iter().map(|folder| folder.join(name));
        let found = all.find(|path| path.is_file());
        Ok(found.ok_or(WindowsSignInFailure::NoProgram(name))?)
    }

    /// The tickets of this user, the default ones first.
    fn caches(&self, environment: &Environment, end: Instant) -> Made<Vec<Cache>> {
        let mut klist = command(&self.program("klist")?, environment, None);
        klist.arg("-A").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut klist = Running::start(klist, "klist")?;
        let output = klist.0.stdout.take();
        // Read beside the wait, since a long list does not fit into the pipe.
        let reader = thread::spawn(move || read_text(output));
        klist.wait(end)?;
        let text = reader.join().unwrap_or_default();
        Ok(caches(&text))
    }

    /// Whose tickets would be used, and where they are. Those that are made from a keytab exist
    /// only after the first token.
    fn default_cache(&self, host: &str, environment: &Environment, end: Instant) -> Made<Cache> {
        let first = |caches: Vec<Cache>| caches.into_iter().next();
        if let Some(cache) = first(self.caches(environment, end)?) {
            return Ok(cache);
        }
        // Kerberos may know a keytab by a variable, or by its configuration.
        self.curl(host, environment, None, end)?;
        let cache = first(self.caches(environment, end)?);
        Ok(cache.ok_or(WindowsSignInFailure::NoTicket)?)
    }

    /// Lets `curl` sign in with the tickets in `cache`, or in the default place.
    fn curl(
        &self,
        host: &str,
        environment: &Environment,
        cache: Option<&Cache>,
        end: Instant,
    ) -> Made<Secret> {
        let program = self.program("curl")?;
        let socket = Socket::bind(environment).map_err(|_| WindowsSignInFailure::NoToken)?;
        let mut curl = command(&program, environment, cache);
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
        // It ends also where this program is killed.
        .arg("-m")
        .arg(KERBEROS_TIMEOUT.as_secs().to_string())
        .arg(format!("http://{host}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
        let mut curl = Running::start(curl, "curl")?;
        let errors = curl.0.stderr.take();
        let reader = thread::spawn(move || read_text(errors));
        let token = socket.token(&mut curl, end)?;
        if let Some(token) = token {
            return Ok(token);
        }
        let status = curl.wait(end)?;
        let errors = reader.join().unwrap_or_default();
        Err(why(&errors, status, host))
    }
}

impl TokenMaker for CurlTokens {
    fn token(&self, server: &WebServer<'_>, principal: &Principal) -> Made<Secret> {
        let WebServer {
            host, environment, ..
        } = *server;
        let end = Instant::now() + server.limit;
        let found = self.caches(environment, end)?;
        let own = found
            .into_iter()
            .find(|cache| cache.principal == *principal);
        // `curl` reads the tickets in this place alone, so that the token is of this principal.
        let cache = match own {
            Some(own) => own,
            None => self.default_cache(host, environment, end)?,
        };
        if cache.principal != *principal {
            return Err(NoToken::other_principal(principal, &cache.principal));
        }
        self.curl(host, environment, Some(&cache), end)
    }

    fn principal(&self, server: &WebServer<'_>) -> Made<Principal> {
        let end = Instant::now() + server.limit;
        let cache = self.default_cache(server.host, server.environment, end)?;
        Ok(cache.principal)
    }
}

/// One place with the tickets of one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cache {
    name: String,
    principal: Principal,
}

/// What `klist -A` lists: that of MIT (`Ticket cache`, `Default principal`), and that of Heimdal on
/// macOS (`Credentials cache`, `Principal`).
fn caches(text: &str) -> Vec<Cache> {
    let mut found = Vec::new();
    let mut name = None;
    for line in text.lines().map(str::trim) {
        let Some((what, value)) = line.split_once(": ") else {
            continue;
        };
        match what {
            "Ticket cache" | "Credentials cache" => name = Some(value.trim().to_owned()),
            "Default principal" | "Principal" => {
                if let (Some(name), Ok(principal)) = (name.take(), value.parse()) {
                    found.push(Cache { name, principal });
                }
            }
            _ => {}
        }
    }
    found
}

/// Why `curl` sent no token, by the words of Kerberos. They are not kept: another program wrote
/// them.
fn why(errors: &str, status: ExitStatus, host: &str) -> NoToken {
    let of_kerberos = |line: &&str| line.contains("gss_");
    let has = |words: &[&str]| {
        let mut lines = errors.lines().filter(of_kerberos);
        lines.any(|line| words.iter().any(|words| line.contains(words)))
    };
    if status
        .code()
        .is_some_and(|code| UNKNOWN_OPTION.contains(&code))
    {
        return WindowsSignInFailure::CurlWithoutKerberos.into();
    }
    if has(&["KDC", "reach any"]) {
        return NoToken::NoKdc;
    }
    if has(&["expired"]) {
        return WindowsSignInFailure::TicketExpired.into();
    }
    if has(&["not found in Kerberos database", "unknown while looking up"]) {
        return WindowsSignInFailure::UnknownService(service_of(host)).into();
    }
    if has(&["No Kerberos credentials", "No credential", "no credential"]) {
        return WindowsSignInFailure::NoTicket.into();
    }
    WindowsSignInFailure::NoToken.into()
}

/// A program with an environment of its own. The texts of Kerberos are compared, so that they are
/// not translated.
fn command(program: &Path, environment: &Environment, cache: Option<&Cache>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
    for name in env::KERBEROS_VARIABLES {
        if let Some(value) = environment.var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(cache) = cache {
        command.env(env::KRB5CCNAME, &cache.name);
    }
    command
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(mut command: Command, name: &'static str) -> Made<Self> {
        let started = command.spawn();
        Ok(started
            .map(Self)
            .map_err(|_| WindowsSignInFailure::NoProgram(name))?)
    }

    /// How it has ended; `None` while it runs.
    fn ended(&mut self) -> Made<Option<ExitStatus>> {
        Ok(self
            .0
            .try_wait()
            .map_err(|_| WindowsSignInFailure::NoToken)?)
    }

    fn wait(&mut self, end: Instant) -> Made<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            pause(end)?;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kerberos waits for its servers, so that what takes too long is one that does not answer.
fn pause(end: Instant) -> Made<()> {
    if Instant::now() >= end {
        return Err(NoToken::NoKdc);
    }
    thread::sleep(PAUSE);
    Ok(())
}

/// What a program writes. It may hold the token, and is wiped.
fn read_text(from: Option<impl io::Read>) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(from) = from {
        let mut from = from.take(MAX_KERBEROS_REQUEST_BYTES);
        let _ = from.read_to_end(&mut bytes);
        // The rest is read, too, so that the program does not wait.
        let _ = io::copy(&mut from.into_inner(), &mut io::sink());
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}

/// A socket that only this user reaches, because it is in a folder of its own. A port could be
/// reached by every user of the machine.
struct Socket {
    folder: PathBuf,
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Socket {
    fn bind(environment: &Environment) -> io::Result<Self> {
        let folder = parent(environment).join(format!("age-oauth-{}", uuid::Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        // From here on, the folder is removed with this value.
        let mut socket = Self {
            path: folder.join("s"),
            folder,
            listener: None,
        };
        let listener = UnixListener::bind(&socket.path)?;
        listener.set_nonblocking(true)?;
        socket.listener = Some(listener);
        Ok(socket)
    }

    /// The token that `curl` sends; `None` where it sends none.
    fn token(&self, curl: &mut Running, end: Instant) -> Made<Option<Secret>> {
        let Some(listener) = &self.listener else {
            return Ok(None);
        };
        loop {
            match listener.accept() {
                Ok((stream, _)) => return Ok(answer(stream, end)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(None),
            }
            if curl.ended()?.is_some() {
                return Ok(None);
            }
            pause(end)?;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The folder for the socket's own: that of the user's session, or the one for temporary files,
/// where their paths are short enough.
fn parent(environment: &Environment) -> PathBuf {
    let is_private = |folder: &PathBuf| {
        fs::metadata(folder).is_ok_and(|found| {
            let others = found.mode() & 0o077;
            found.is_dir() && others == 0
        })
    };
    let is_short = |folder: &PathBuf| {
        let name = "/age-oauth-/s".len() + uuid::fmt::Hyphenated::LENGTH;
        folder.is_absolute() && folder.as_os_str().len() + name < LONGEST_SOCKET_PATH
    };
    let runtime = environment.path(env::XDG_RUNTIME_DIR).filter(is_private);
    runtime
        .filter(is_short)
        .or_else(|| Some(std::env::temp_dir()).filter(is_short))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Reads one request, and answers it so that `curl` is content with what it sent.
fn answer(mut stream: UnixStream, end: Instant) -> Option<Secret> {
    stream.set_nonblocking(false).ok()?;
    let mut head = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut part = Zeroizing::new([0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        // A limit of zero would mean none.
        stream.set_read_timeout(Some(left.max(PAUSE))).ok()?;
        let count = stream.read(&mut part[..]).ok()?;
        if count == 0 || head.len() as u64 > MAX_KERBEROS_REQUEST_BYTES {
            return None;
        }
        head.extend_from_slice(part.get(..count)?);
    }
    let token = token_in(&head);
    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    token
}

/// The token in a request's head.
fn token_in(head: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(head).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let is_token = !token.is_empty() && token.chars().all(is_base64);
    (scheme.eq_ignore_ascii_case("negotiate") && is_token).then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn principal(text: &str) -> Principal {
        text.parse().unwrap()
    }

    #[test]
    fn the_lists_of_both_kinds_of_kerberos_are_read() {
        let mit = "Ticket cache: DIR::/run/tkt1\nDefault principal: ana@EXAMPLE.COM\n\n\
                   Valid starting     Expires            Service principal\n\
                   11/27/26 11:40:00  11/27/26 21:40:00  HTTP/localhost@\n\
                   \tTicket server: HTTP/localhost@EXAMPLE.COM\n\n\
                   Ticket cache: KCM:0:2\nDefault principal: otto@EXAMPLE.COM\n";
        let heimdal = "Credentials cache: API:5A1C\n        Principal: ana@EXAMPLE.COM\n\n\
                       Issued                Expires               Principal\n\
                       Nov 27 11:40:00 2026  Nov 27 21:40:00 2026  krbtgt/EXAMPLE.COM@EXAMPLE.COM\n";
        let cache = |name: &str, text: &str| Cache {
            name: name.to_owned(),
            principal: principal(text),
        };
        assert_eq!(
            caches(mit),
            [
                cache("DIR::/run/tkt1", "ana@EXAMPLE.COM"),
                cache("KCM:0:2", "otto@EXAMPLE.COM")
            ]
        );
        assert_eq!(caches(heimdal), [cache("API:5A1C", "ana@EXAMPLE.COM")]);
        for other in [
            "",
            "Default principal: ana@R",
            "Ticket cache: x\nPrincipal: \n",
        ] {
            assert_eq!(caches(other), [], "{other}");
        }
    }

    #[test]
    fn the_words_of_kerberos_are_recognized() {
        let ended = |code: i32| ExitStatus::from_raw(code << 8);
        let failed = |words: &str| {
            let errors = format!(
                "* Connected to gis (/run/s) port 80\n* gss_init_sec_context() failed: {words}. \n"
            );
            why(&errors, ended(0), "gis.example.com")
        };
        let service = "HTTP/gis.example.com".to_owned();
        for (words, expected) in [
            (
                "No credentials were supplied, or the credentials were unavailable or inaccessible. SPNEGO cannot find mechanisms to negotiate",
                WindowsSignInFailure::NoTicket,
            ),
            ("Ticket expired", WindowsSignInFailure::TicketExpired),
            (
                "Server HTTP/x@EXAMPLE.COM not found in Kerberos database",
                WindowsSignInFailure::UnknownService(service.clone()),
            ),
            (
                "Server (HTTP/x@EXAMPLE.COM) unknown while looking up 'x'",
                WindowsSignInFailure::UnknownService(service),
            ),
            ("A reason of its own", WindowsSignInFailure::NoToken),
        ] {
            assert_eq!(failed(words), NoToken::Failed(expected), "{words}");
        }
        for words in [
            "Cannot contact any KDC for realm 'EXAMPLE.COM'",
            "Cannot find KDC for realm \"EXAMPLE.COM\"",
            "unable to reach any KDC in realm EXAMPLE.COM",
        ] {
            assert_eq!(failed(words), NoToken::NoKdc, "{words}");
        }
        // Only what Kerberos says counts.
        assert_eq!(
            why("* Connected to expired.example.com\n", ended(0), "x"),
            NoToken::Failed(WindowsSignInFailure::NoToken)
        );
        for code in UNKNOWN_OPTION {
            assert_eq!(
                why("", ended(code), "x"),
                NoToken::Failed(WindowsSignInFailure::CurlWithoutKerberos)
            );
        }
    }

    #[test]
    fn only_a_token_of_negotiate_is_taken() {
        let of = |head: &str| token_in(head.as_bytes()).map(|token| token.expose().to_owned());
        let head = "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate YII=\r\n\r\n";
        assert_eq!(of(head).as_deref(), Some("YII="));
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Basic YTpi\r\n\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Negotiate \r\n\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Negotiate a b\r\n\r\n",
            "\u{1}",
        ] {
            assert_eq!(of(head), None, "{head}");
        }
    }

    /// Makes tokens with programs that are these scripts.
    fn with_programs(folder: &Path, programs: &[(&str, &str)]) -> CurlTokens {
        for (name, script) in programs {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        CurlTokens {
            folders: vec![folder.to_owned()],
        }
    }

    const LIST: (&str, &str) = (
        "klist",
        "echo 'Ticket cache: FILE:/x'; echo 'Default principal: ana@EXAMPLE.COM'",
    );

    fn token(maker: &CurlTokens, limit: Duration) -> Made<Secret> {
        let nothing = Environment::of(Vec::<(String, String)>::new());
        token_with(maker, &nothing, limit)
    }

    fn token_with(maker: &CurlTokens, environment: &Environment, limit: Duration) -> Made<Secret> {
        let server = WebServer {
            host: "gis",
            channel_binding: None,
            environment,
            limit,
        };
        maker.token(&server, &principal("ana@EXAMPLE.COM"))
    }

    #[test]
    fn missing_programs_and_those_without_kerberos_are_named() {
        const NONE: &str = "echo '* gss_init_sec_context() failed: No Kerberos credentials' >&2";
        let limit = Duration::from_secs(60);
        let failed = |programs: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            token(&with_programs(folder.path(), programs), limit).unwrap_err()
        };
        let missing = |name| NoToken::Failed(WindowsSignInFailure::NoProgram(name));
        assert_eq!(failed(&[]), missing("klist"));
        assert_eq!(failed(&[LIST]), missing("curl"));
        assert_eq!(
            failed(&[LIST, ("curl", "exit 2")]),
            NoToken::Failed(WindowsSignInFailure::CurlWithoutKerberos)
        );
        assert_eq!(
            failed(&[("klist", "exit 1"), ("curl", NONE)]),
            NoToken::Failed(WindowsSignInFailure::NoTicket)
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let maker = with_programs(folder.path(), &[LIST, ("curl", "exec sleep 600")]);
        let failed = token(&maker, Duration::from_millis(500)).unwrap_err();
        assert_eq!(failed, NoToken::NoKdc);
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
        let limit = Duration::from_secs(60);
        let _ = token_with(&maker, &environment, limit);
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
        let mut seen: Vec<_> = seen
            .lines()
            .filter(|line| !of_the_shell.contains(&line.split('=').next().unwrap()))
            .collect();
        seen.sort_unstable();
        // The place of the tickets is the one that was chosen for the principal.
        assert_eq!(
            seen,
            ["KRB5CCNAME=FILE:/x", "KRB5_CONFIG=/etc/k", "LC_ALL=C"]
        );
    }
}
