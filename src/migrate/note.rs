//! What a person should know about one connection after it was imported.

use std::fmt;
use std::path::PathBuf;

/// What a person should know about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The label was taken, too long, or not fit to be shown. Holds the old one.
    Relabeled(String),
    /// Another connection has its id. Holds the old one, which still finds this connection.
    NewId(String),
    /// The file of certificates could not be read; the system's authorities are trusted instead.
    /// Holds which, and why.
    NoCertificates(String),
    /// Certificates are not verified, as before.
    Unverified,
    /// A setting cannot be used and was left out. Holds its name and why.
    LeftOut(&'static str, String),
    /// Keys that the package does not know, and the file in which they are kept.
    Unknown {
        /// Their names.
        keys: Vec<String>,
        /// Where they are now.
        path: PathBuf,
    },
    /// Other files stay in the old folder, and may hold secrets.
    OtherFiles(Vec<PathBuf>),
    /// The sign-in in the keychain is newer than that in the plaintext.
    KeychainIsNewer,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relabeled(old) => write!(f, "its label in the old store was `{old}`"),
            Self::NewId(old) => write!(
                f,
                "another connection has its ID `{old}`, so it has a new ID"
            ),
            Self::NoCertificates(why) => write!(
                f,
                "its certificates could not be read, so the system's certificate authorities are trusted ({why})"
            ),
            Self::Unverified => f.write_str("the portal's certificate is not verified, as before"),
            Self::LeftOut(what, why) => write!(f, "{what} was left out: {why}"),
            Self::Unknown { keys, path } => write!(
                f,
                "settings that age-oauth does not know were kept in `{}`: {}",
                path.display(),
                keys.join(", ")
            ),
            Self::OtherFiles(paths) => {
                let names: Vec<_> = paths
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect();
                write!(
                    f,
                    "other files remain in the old folder and may contain secrets; check them: {}",
                    names.join(", ")
                )
            }
            Self::KeychainIsNewer => {
                f.write_str("the keychain already has a newer sign-in than the old store had, and keeps it")
            }
        }
    }
}
