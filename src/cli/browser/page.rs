//! The page that leads a browser to the address of a sign-in, and which browsers can read it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use url::Url;

use crate::context::Environment;
use crate::env;
use crate::files;
use crate::util::lock;

/// Parts of the names of browsers that read files of their user.
const BROWSERS: [&str; 15] = [
    "firefox",
    "chrome",
    "chromium",
    "brave",
    "edge",
    "opera",
    "vivaldi",
    "librewolf",
    "waterfox",
    "epiphany",
    "konqueror",
    "falkon",
    "qutebrowser",
    "midori",
    "seamonkey",
];

/// What the command line or the starting script of a browser in a sandbox contains.
const SANDBOXES: [&str; 3] = ["/snap/", "snap run", "flatpak"];

/// The most that is read of a script that starts a browser, and of a desktop file, in bytes.
const MAX_SCRIPT: u64 = 64 * 1024;

/// The folders of the pages that exist now.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A page in a file of its own. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Page {
    folder: TempDir,
    address: String,
}

impl Page {
    /// Writes a page that leads to `url`: a file of mode 0600 in a new folder of mode 0700. `None`
    /// where that is not possible.
    pub(super) fn write(url: &str) -> Option<Self> {
        let parents = files::safe_parents(&Environment::process());
        parents
            .iter()
            .find_map(|parent| Self::write_in(parent, url))
    }

    fn write_in(parent: &Path, url: &str) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("age-oauth-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .ok()?;
        let file = folder.path().join("sign-in.html");
        if !files::create_new(&file, html(url).as_bytes()).ok()? {
            return None;
        }
        let address = Url::from_file_path(&file).ok()?.into();
        lock(&FOLDERS).push(folder.path().to_owned());
        Some(Self { folder, address })
    }

    /// Its own address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        lock(&FOLDERS).retain(|folder| folder != self.folder.path());
    }
}

/// Removes all pages of this process.
pub(super) fn remove_all() {
    for folder in lock(&FOLDERS).drain(..) {
        // What is left can be read by its owner only.
        let _ = fs::remove_dir_all(folder);
    }
}

/// The page runs no script, loads nothing, and does not tell the portal where it was.
fn html(url: &str) -> String {
    let url = escape_html(url);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign in</title>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0;url={url}\">\n\
         </head><body><p><a rel=\"noreferrer\" href=\"{url}\">Continue to the portal's sign-in page</a></p></body></html>\n"
    )
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether the browser that will be opened can read a private file of this user. Where that is not
/// known, it cannot.
pub(super) fn reads_private_files() -> bool {
    let is_wsl =
        is_set(env::WSL_DISTRO_NAME) || Path::new("/proc/sys/fs/binfmt_misc/WSLInterop").exists();
    // This program itself is in a sandbox, whose files a browser outside does not see.
    let is_sandboxed = Path::new("/.flatpak-info").exists();
    if is_wsl || is_sandboxed {
        return false;
    }
    let command = match std::env::var(env::BROWSER) {
        Ok(commands) if !commands.is_empty() => {
            // The first command that exists is opened.
            commands
                .split(':')
                .find(|command| program(command).is_some())
                .map(str::to_owned)
        }
        _ => default_browser(),
    };
    command.is_some_and(|command| is_plain_browser(&command))
}

/// Whether a command starts a browser, outside of a sandbox.
fn is_plain_browser(command: &str) -> bool {
    let is_sandbox = |text: &str| SANDBOXES.iter().any(|word| text.contains(word));
    let Some(path) = program(command).filter(|_| !is_sandbox(command)) else {
        return false;
    };
    let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let is_browser = [&path, &real].into_iter().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        BROWSERS.iter().any(|known| name.contains(known))
    });
    is_browser && !is_sandbox(&real.to_string_lossy()) && !is_sandbox(&script(&real))
}

/// The text of a script, such as those by which distributions start browsers; empty for a program.
fn script(path: &Path) -> String {
    beginning(path)
        .filter(|text| text.starts_with("#!"))
        .unwrap_or_default()
}

/// The first bytes of a file; nothing of what is not a file, which might never end.
fn beginning(path: &Path) -> Option<String> {
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_SCRIPT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The program that a command starts: its first word, without `env` and assignments.
fn program(command: &str) -> Option<PathBuf> {
    program_on(std::env::var_os(env::PATH).as_deref(), command)
}

/// The same with the folders of this `PATH`. Relative ones, and an empty one, which stands for the
/// current folder, are passed over: what lies there may be anyone's.
fn program_on(path: Option<&OsStr>, command: &str) -> Option<PathBuf> {
    let name = command
        .split_ascii_whitespace()
        .map(|word| word.trim_matches('"'))
        .find(|word| *word != "env" && !word.ends_with("/env") && !word.contains('='))?;
    let is_program = |path: &PathBuf| {
        path.is_absolute()
            && fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    let found = std::env::split_paths(path?)
        .map(|folder| folder.join(name))
        .find(is_program);
    found
}

/// The command of the desktop's default browser.
fn default_browser() -> Option<String> {
    let output = Command::new(program("xdg-settings")?)
        .args(["get", "default-web-browser"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let name = String::from_utf8(output.stdout).ok()?;
    let name = name.trim();
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let entry = application_folders()
        .iter()
        .map(|folder| folder.join("applications").join(name))
        .find_map(|path| beginning(&path))?;
    command_of(&entry)
}

/// Where applications are described (XDG Base Directory Specification).
fn application_folders() -> Vec<PathBuf> {
    let home = std::env::var_os(env::XDG_DATA_HOME)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
    let shared = std::env::var_os(env::XDG_DATA_DIRS)
        .filter(|folders| !folders.is_empty())
        .unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    home.into_iter()
        .chain(std::env::split_paths(&shared))
        .collect()
}

/// The command in a desktop file.
fn command_of(entry: &str) -> Option<String> {
    entry
        .lines()
        .skip_while(|line| line.trim() != "[Desktop Entry]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("Exec="))
        .map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_1_the_page_is_private_and_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let page = Page::write_in(parent.path(), "https://h/x?a=1&b=2").unwrap();
        let path = Url::parse(page.address()).unwrap().to_file_path().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(!page.address().contains("a=1"));
        drop(page);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let kept = Page::write_in(parent.path(), "https://h/x").unwrap();
        remove_all();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        drop(kept);
    }

    #[test]
    fn the_page_shows_the_address_as_text() {
        let page = html("https://h/\"><script>x('&')</script>?a=1&b=2");
        assert!(page.contains("content=\"0;url=https://h/&quot;&gt;&lt;script&gt;x(&#39;&amp;&#39;)&lt;/script&gt;?a=1&amp;b=2\""));
        assert!(!page.contains("<script"));
        for needed in ["default-src 'none'", "no-referrer", "noreferrer"] {
            assert!(page.contains(needed), "{needed}");
        }
    }

    #[test]
    fn a_browser_in_a_sandbox_or_on_another_machine_gets_the_address_itself() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.display().to_string()
        };
        let firefox = make(
            "firefox-esr",
            "#!/bin/sh\nexec /usr/lib/firefox-esr/firefox \"$@\"\n",
        );
        assert!(is_plain_browser(&firefox));
        assert!(is_plain_browser(&format!(
            "env MOZ_ENABLE_WAYLAND=1 {firefox} %u"
        )));
        let link = folder.path().join("x-www-browser");
        std::os::unix::fs::symlink(&firefox, &link).unwrap();
        assert!(is_plain_browser(&link.display().to_string()));

        let wrapper = make("old/firefox", "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n");
        let snap = make("snap/bin/chromium", "");
        let flatpak = make("bin/flatpak", "");
        let remote = make("helpers/browser.sh", "#!/bin/sh\n");
        let flatpak = format!("{flatpak} run org.mozilla.firefox @@u %u @@");
        for not in [&wrapper, &snap, &flatpak, &remote, "/nonexistent/firefox"] {
            assert!(!is_plain_browser(not), "{not}");
        }
    }

    #[test]
    fn no_program_of_the_current_folder_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let real = folder.join("xdg-settings");
        fs::write(&real, "").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(folder.strip_prefix("/").unwrap());
        assert!(relative.join("xdg-settings").exists());
        let on = |path: &Path| program_on(Some(path.as_os_str()), "xdg-settings");
        assert_eq!(on(&folder), Some(real.clone()));
        assert_eq!(on(&relative), None);
        assert_eq!(
            program_on(None, &real.to_string_lossy()),
            Some(real.clone())
        );
        let named = relative.join("xdg-settings");
        assert_eq!(program_on(None, &named.to_string_lossy()), None);
    }

    #[test]
    fn the_command_of_the_default_browser_is_that_of_its_main_entry() {
        let entry =
            "# x\n[Desktop Entry]\nName=F\nExec=firefox %u\n[Desktop Action new]\nExec=other\n";
        assert_eq!(command_of(entry).as_deref(), Some("firefox %u"));
        assert_eq!(command_of("[Desktop Action new]\nExec=other\n"), None);
    }
}
