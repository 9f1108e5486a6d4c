//! The private folder for making tokens: the socket that `curl` signs in to, the configuration that
//! keeps Kerberos to the name in the address, and the tickets that are made from a keytab.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use zeroize::Zeroizing;

use super::kerberos::Made;
use super::kerberos_program::{Limit, Running};
use super::kerberos_text::token_in;
use super::windows_sign_in::NoToken;
use crate::context::Environment;
use crate::env;
use crate::error::WindowsSignInFailure;
use crate::files::{safe_parents, TemporaryFolder, ADDED_LENGTH};
use crate::policy::MAX_KERBEROS_REQUEST_BYTES;
use crate::secret::Secret;

/// The longest path of a socket: macOS has room for 104 bytes, Linux for 108.
const LONGEST_SOCKET_PATH: usize = 100;

/// Sockets have numbers as names, below this one.
const SOCKETS: u32 = 100_000;
const LONGEST_SOCKET_NAME: usize = "/99999".len();

const CONFIGURATION_NAME: &str = "krb5.conf";

/// Kerberos would otherwise ask the name service for another name of the web server, and make a
/// token for that one: who answers could pass the token on to it.
const CONFIGURATION: &str = "[libdefaults]\ndns_canonicalize_hostname = false\nrdns = false\n\
                             qualify_shortname = \"\"\n";

/// Where Kerberos looks for its configuration by itself.
const DEFAULT_CONFIGURATION: &str = if cfg!(target_os = "macos") {
    "~/Library/Preferences/com.apple.Kerberos.plist:/Library/Preferences/com.apple.Kerberos.plist:\
     ~/Library/Preferences/edu.mit.Kerberos:/Library/Preferences/edu.mit.Kerberos:\
     ~/.krb5/config:/etc/krb5.conf"
} else {
    "/etc/krb5.conf"
};

/// A folder with the configuration in it.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TemporaryFolder,
    next_socket: AtomicU32,
}

impl Folder {
    pub(super) fn create(environment: &Environment) -> Made<Self> {
        Self::create_in_one_of(&safe_parents(environment))
    }

    /// Creates one in the first of these folders that has room for it and can hold sockets. The
    /// error is that of the last one.
    fn create_in_one_of(parents: &[PathBuf]) -> Made<Self> {
        let mut failed = no_folder(Path::new("/tmp"), io::ErrorKind::NotFound);
        for parent in parents.iter().filter(|parent| is_usable(parent)) {
            match Self::create_in(parent) {
                Ok(folder) => return Ok(folder),
                Err(why) => failed = no_folder(parent, why.kind()),
            }
        }
        Err(failed)
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        let folder = TemporaryFolder::create_in(parent)?;
        folder.write(CONFIGURATION_NAME, CONFIGURATION)?;
        Socket::bind(&folder.path().join("try"))?;
        Ok(Self {
            folder,
            next_socket: AtomicU32::default(),
        })
    }

    /// Whether nothing has removed it.
    pub(super) fn exists(&self) -> bool {
        self.folder.exists() && configuration_in(self.folder.path()).is_file()
    }

    /// The configuration of this folder, before that of the user or of the system: the first value
    /// counts.
    pub(super) fn configuration(&self, environment: &Environment) -> OsString {
        let mut all = configuration_in(self.folder.path()).into_os_string();
        all.push(":");
        let given = environment.var_os(env::KRB5_CONFIG);
        all.push(given.unwrap_or_else(|| DEFAULT_CONFIGURATION.into()));
        all
    }

    /// A place of this name for tickets of this process alone.
    pub(super) fn cache(&self, name: &str) -> String {
        format!("FILE:{}", self.folder.path().join(name).display())
    }

    pub(super) fn socket(&self) -> Made<Socket> {
        let number = self.next_socket.fetch_add(1, Ordering::Relaxed) % SOCKETS;
        let path = self.folder.path().join(number.to_string());
        Socket::bind(&path).map_err(|why| no_folder(self.folder.path(), why.kind()))
    }
}

/// Whether the paths in a folder below this one are short enough for sockets, and can be in lists
/// with colons.
fn is_usable(parent: &Path) -> bool {
    let bytes = parent.as_os_str().as_bytes();
    let length = bytes.len() + ADDED_LENGTH + LONGEST_SOCKET_NAME;
    length <= LONGEST_SOCKET_PATH && !bytes.contains(&b':') && parent.to_str().is_some()
}

fn configuration_in(folder: &Path) -> PathBuf {
    folder.join(CONFIGURATION_NAME)
}

fn no_folder(path: &Path, why: io::ErrorKind) -> NoToken {
    let path = path.display().to_string();
    WindowsSignInFailure::NoFolder { path, why }.into()
}

/// A socket that only this user reaches, because it is in a private folder. A port could be reached
/// by every user of the machine.
pub(super) struct Socket {
    pub(super) path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn bind(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // From here on, the socket is removed with this value.
        let socket = Self {
            path: path.to_owned(),
            listener,
        };
        socket.listener.set_nonblocking(true)?;
        Ok(socket)
    }

    /// The token that `curl` sends; `None` where it sends none.
    pub(super) fn token(&self, curl: &mut Running, limit: &Limit) -> Made<Option<Secret>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return answer(stream, curl, limit),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(None),
            }
            if curl.ended()?.is_some() {
                return Ok(None);
            }
            curl.pause(limit)?;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads one request, and answers it so that `curl` is content with what it sent.
fn answer(mut stream: UnixStream, curl: &Running, limit: &Limit) -> Made<Option<Secret>> {
    let mut head = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut part = Zeroizing::new([0; 4096]);
    if stream.set_nonblocking(false).is_err() {
        return Ok(None);
    }
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream
            .set_read_timeout(Some(limit.left()))
            .and_then(|()| stream.read(&mut part[..]));
        let count = match read {
            Ok(count) => count,
            Err(why) if is_timeout(&why) => {
                curl.pause(limit)?;
                continue;
            }
            Err(_) => return Ok(None),
        };
        if count == 0 || head.len() as u64 > MAX_KERBEROS_REQUEST_BYTES {
            return Ok(None);
        }
        head.extend_from_slice(part.get(..count).unwrap_or_default());
    }
    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    token_in(&head)
}

fn is_timeout(why: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(why.kind(), Interrupted | TimedOut | WouldBlock)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_short_enough_for_sockets_everywhere() {
        let of_macos = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/";
        for usable in ["/tmp", "/run/user/1000", of_macos] {
            assert!(is_usable(Path::new(usable)), "{usable}");
        }
        let long = format!("/tmp/{}", "x".repeat(60));
        for other in ["/tmp/a:b", &long] {
            assert!(!is_usable(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_passed_over_or_named() {
        let all = tempfile::tempdir_in("/tmp").unwrap();
        let missing = all.path().join("none");
        let good = all.path().to_owned();
        let made = Folder::create_in_one_of(&[missing.clone(), good.clone()]).unwrap();
        assert_eq!(made.folder.path().parent(), Some(&*good));
        assert!(made.exists());
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(60)));
        let failed = Folder::create_in_one_of(&[missing.clone(), long]);
        assert_eq!(
            failed.unwrap_err(),
            no_folder(&missing, io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn the_own_configuration_comes_before_any_other() {
        let folder = Folder::create(&Environment::process()).unwrap();
        let given = |pairs: &[(&str, &str)]| {
            let text = folder.configuration(&Environment::of(pairs.to_vec()));
            text.to_str().unwrap().to_owned()
        };
        let own = configuration_in(folder.folder.path());
        let own = own.display();
        assert_eq!(
            given(&[(env::KRB5_CONFIG, "/a:/b")]),
            format!("{own}:/a:/b")
        );
        assert_eq!(given(&[]), format!("{own}:{DEFAULT_CONFIGURATION}"));
    }
}
