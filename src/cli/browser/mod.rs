//! Opens the sign-in page in a browser, where possible without showing its address to other users.
//!
//! The address contains `state` and the code challenge. Who reads it could sign in with it as
//! another user, and deliver the response here. On Linux and the BSDs, every local user can read
//! the arguments of every process. So the browser is given a page in a file that only its owner can
//! read, and the page leads on to the address. Other users of Windows cannot read the arguments,
//! and macOS hands addresses over by messages.
//!
//! Some browsers cannot read such a file: those in a sandbox (snap, Flatpak), those of Windows
//! under WSL, and a `BROWSER` that hands over to another machine. They are given the address
//! itself.

#[cfg(all(unix, not(target_os = "macos")))]
mod page;

#[cfg(all(unix, not(target_os = "macos")))]
use page::Page;

/// What a browser was opened with. The page in a file, if there is one, is removed with this.
#[derive(Debug)]
pub struct Opened(#[allow(dead_code)] Option<Page>);

impl Opened {
    /// The browser was given the address itself.
    #[must_use]
    pub fn directly() -> Self {
        Self(None)
    }
}

/// The browser gets the address itself; no file is written.
#[cfg(not(all(unix, not(target_os = "macos"))))]
#[derive(Debug)]
enum Page {}

/// Opens an address. Does not try without a desktop: that would open a text browser in this
/// terminal.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn open(url: &str) -> Option<Opened> {
    use crate::env;
    let desktop = [
        env::DISPLAY,
        env::WAYLAND_DISPLAY,
        env::WSL_DISTRO_NAME,
        env::BROWSER,
    ];
    if !desktop.into_iter().any(page::is_set) {
        return None;
    }
    if let Some(page) = page::reads_private_files()
        .then(|| Page::write(url))
        .flatten()
    {
        if webbrowser::open(page.address()).is_ok() {
            return Some(Opened(Some(page)));
        }
    }
    webbrowser::open(url).is_ok().then(Opened::directly)
}

/// Opens an address.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(super) fn open(url: &str) -> Option<Opened> {
    webbrowser::open(url).is_ok().then(Opened::directly)
}

/// Removes what [`open`] wrote, for a program that ends at once.
#[cfg(unix)]
pub(super) fn remove_pages() {
    #[cfg(all(unix, not(target_os = "macos")))]
    page::remove_all();
}
