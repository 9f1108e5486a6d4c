//! The pages that a browser gets from the listener.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// The most that is read and dropped of what a client sent after the head, in bytes.
const MAX_DROPPED: usize = 1024 * 1024;

/// How long to wait for the rest of a request that is refused.
const DROP_TIMEOUT: Duration = Duration::from_millis(200);

/// An answer to the browser.
pub(super) struct Page {
    status: &'static str,
    title: &'static str,
    text: &'static str,
}

pub(super) static PAGE_RECEIVED: Page = Page {
    status: "200 OK",
    title: "Signed in",
    text: "The portal's response has arrived. You can close this window and return to where you started.",
};
pub(super) static PAGE_DECLINED: Page = Page {
    status: "200 OK",
    title: "Declined",
    text: "The sign-in was declined. You can close this window.",
};
pub(super) static PAGE_FAILED: Page = Page {
    status: "200 OK",
    title: "Not signed in",
    text: "The portal reported an error. It is shown where you started.",
};
pub(super) static PAGE_FOREIGN: Page = Page {
    status: "400 Bad Request",
    title: "Not this sign-in",
    text: "This response belongs to another sign-in attempt. Use the window that was opened last.",
};
pub(super) static PAGE_BAD: Page = Page {
    status: "400 Bad Request",
    title: "Not understood",
    text: "This is not a response from a portal.",
};
pub(super) static PAGE_NOT_FOUND: Page = Page {
    status: "404 Not Found",
    title: "Nothing here",
    text: "Only the portal's response is expected here.",
};
pub(super) static PAGE_METHOD: Page = Page {
    status: "405 Method Not Allowed",
    title: "Not understood",
    text: "Only GET requests are answered here.",
};

pub(super) static PAGE_OTHER_PORTAL: Page = Page {
    status: "400 Bad Request",
    title: "Not this portal",
    text: "This response comes from another portal than the one you sign in to. Nothing was sent to it.",
};

impl Page {
    /// Writes the page, and closes the connection. The page repeats nothing from the request, loads
    /// nothing and links to nothing.
    pub(super) fn send(&self, mut client: &TcpStream) {
        // The system resets a connection that is closed with unread bytes, and a browser then shows
        // no page.
        drop_received(client, MAX_DROPPED);
        // A client that went away needs no answer.
        let _ = client
            .write_all(self.http().as_bytes())
            .and_then(|()| client.flush())
            .and_then(|()| client.shutdown(Shutdown::Write));
    }

    /// The same for a request that was not read to its end: also waits a moment for the rest of it.
    pub(super) fn send_and_drop_rest(&self, mut client: &TcpStream) {
        self.send(client);
        let mut piece = [0_u8; 4096];
        let mut dropped = 0;
        if client.set_read_timeout(Some(DROP_TIMEOUT)).is_err() {
            return;
        }
        while let Ok(count @ 1..) = client.read(&mut piece) {
            dropped += count;
            if dropped >= MAX_DROPPED {
                break;
            }
        }
    }

    fn http(&self) -> String {
        let body = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <style>body{{font:18px/1.5 system-ui,sans-serif;max-width:34em;margin:18vh auto;padding:0 1em;color:#1b1f24;background:#fff}}\
             h1{{font-size:1.5em}}p{{color:#444c56}}@media(prefers-color-scheme:dark){{body{{color:#e6edf3;background:#0d1117}}p{{color:#9aa4af}}}}</style>\n\
             </head><body><h1>{title}</h1><p>{text}</p></body></html>\n",
            title = self.title,
            text = self.text
        );
        format!(
            "HTTP/1.1 {}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }
}

/// Reads and drops what has arrived, without waiting for more.
fn drop_received(mut client: &TcpStream, most: usize) {
    let mut piece = [0_u8; 4096];
    let mut dropped = 0;
    if client.set_nonblocking(true).is_err() {
        return;
    }
    while dropped < most {
        match client.read(&mut piece) {
            Ok(count @ 1..) => dropped += count,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    // If this fails, writing the page fails, too.
    let _ = client.set_nonblocking(false);
}
