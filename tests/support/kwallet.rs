//! KWallet as a provider of the Secret Service, opened as `pam_kwallet` opens it at a sign-in to
//! the desktop: the program gets the key of the wallet through a pipe, so that it shows no dialog.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The settings of a user who has confirmed KWallet's first questions.
const SETTINGS: &str = "[Wallet]
Enabled=true
First Use=false
Use One Wallet=true
Default Wallet=kdewallet
Prompt on Open=false
Leave Open=true

[org.freedesktop.secrets]
apiEnabled=true
";

/// What `pam_kwallet` derives from a password; here any bytes of that length.
const KEY: [u8; 56] = [b'k'; 56];

/// Writes the settings into the session's folder.
pub fn configure(session: &Path) {
    std::fs::write(session.join("config/kwalletrc"), SETTINGS).unwrap();
}

/// The file of the default wallet.
pub fn wallet(session: &Path) -> PathBuf {
    session.join("data/kwalletd/kdewallet.kwl")
}

/// Starts `kwalletd5` with its default wallet open. `command` is that program in the session.
///
/// It takes the numbers of two descriptors, which may not be 0: one for the key, and a socket that
/// a desktop sends its environment to.
pub fn spawn(mut command: Command, session: &Path) -> Child {
    let socket = session.join("kwallet-environment");
    // It is left over from the program's last start.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let child = command
        .args(["--pam-login", "1", "2"])
        .env("PAM_KWALLET5_LOGIN", &socket)
        .stdout(OwnedFd::from(theirs))
        .stderr(OwnedFd::from(listener))
        .spawn()
        .unwrap();
    ours.write_all(&KEY).unwrap();
    // An empty environment.
    drop(UnixStream::connect(&socket).unwrap());
    child
}

/// Writes and closes all wallets.
pub fn close_wallets(connection: &zbus::blocking::Connection) {
    let (name, path) = ("org.kde.kwalletd5", "/modules/kwalletd5");
    connection
        .call_method(
            Some(name),
            path,
            Some("org.kde.KWallet"),
            "closeAllWallets",
            &(),
        )
        .unwrap();
}
