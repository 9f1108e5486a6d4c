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
use std::time::Duration;

#[cfg(all(unix, not(target_os = "macos")))]
use page::Page;

use crate::context::Deadline;
#[cfg(all(unix, not(target_os = "macos")))]
use crate::policy::command_line::BROWSER_TIMEOUT;
#[cfg(all(unix, not(target_os = "macos")))]
use crate::util::in_time;

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
///
/// Programs of the desktop are asked for the default browser, and may wait for a service that does
/// not answer. They have [`BROWSER_TIMEOUT`], but a browser that `BROWSER` names may be one for
/// text, which the person uses in this terminal; neither has time after `deadline`.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn open(url: &str, deadline: Deadline) -> Option<Opened> {
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
    let end = Deadline::after(deadline.bound(if page::is_set(env::BROWSER) {
        Duration::MAX
    } else {
        BROWSER_TIMEOUT
    }));
    if in_time(end.bound(Duration::MAX), page::reads_private_files).ok()? {
        if let Some(page) = Page::write(url) {
            // Where that is not known in time, the browser may still open, and needs the page.
            if is_opened(page.address(), end).unwrap_or(true) {
                return Some(Opened(Some(page)));
            }
        }
    }
    is_opened(url, end)?.then(Opened::directly)
}

/// Whether a browser opens this address; `None` if that is not known in time. Then no other way is
/// tried, because the browser may still open.
#[cfg(all(unix, not(target_os = "macos")))]
fn is_opened(address: &str, end: Deadline) -> Option<bool> {
    let address = address.to_owned();
    let open = move || webbrowser::open(&address).is_ok();
    in_time(end.bound(Duration::MAX), open).ok()
}

/// Opens an address. Windows and macOS take it without a wait for the browser.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(super) fn open(url: &str, _: Deadline) -> Option<Opened> {
    webbrowser::open(url).is_ok().then(Opened::directly)
}

/// Removes what [`open`] wrote, for a program that ends at once.
#[cfg(unix)]
pub(super) fn remove_pages() {
    #[cfg(all(unix, not(target_os = "macos")))]
    page::remove_all();
}
