//! Small helpers that several modules need and that depend on nothing of this crate.

use std::fmt::Write as _;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};

/// Lower-case hexadecimal, two digits per byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// RFC 3339, UTC, whole seconds: the form of every timestamp in files and in JSON.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// Random bytes from the operating system; `None` where it has none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

/// Locks the mutex, also after a thread panicked while it held the lock: what these mutexes guard
/// stays usable then.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does on another thread what has no time limit of its own: opening, reading and writing a pipe,
/// starting a program. After `limit`, the error is [`io::ErrorKind::TimedOut`]. What was given up
/// goes on until the process ends, and its result is dropped.
pub(crate) fn in_time<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, done) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        // After the time limit, nothing waits for the result.
        let _ = sender.send(work());
    })?;
    done.recv_timeout(limit).map_err(|why| match why {
        RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        RecvTimeoutError::Disconnected => io::ErrorKind::Other.into(),
    })
}

/// Declares an enum with `ALL`, the list of its variants, so that a new variant cannot be missing
/// there.
macro_rules! enum_with_all {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident $(= $number:literal)?),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name { $($(#[$doc])* $variant $(= $number)?),+ }

        impl $name {
            /// Every variant, in the order of their declaration.
            // Only the generated documentation needs the list of some enums.
            #[allow(dead_code)]
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}
pub(crate) use enum_with_all;

/// The same, where each variant has a word in files, names or JSON.
macro_rules! enum_with_words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $crate::util::enum_with_all! {
            $(#[$meta])*
            $vis enum $name { $($(#[$doc])* $variant),+ }
        }

        impl $name {
            /// The word for it in files, names or JSON.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}
pub(crate) use enum_with_words;

/// A text without its percent-encoding. A `%` that does not begin one stays.
pub(crate) fn percent_decoded(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = tail.get(2..).filter(|_| decoded.is_some()).unwrap_or(tail);
        Some(decoded.unwrap_or(*first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_two_hexadecimal_digits_each() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }

    #[test]
    fn timestamps_have_whole_seconds() {
        let at = Timestamp::from_millisecond(1_700_000_000_999).unwrap_or_default();
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20Z");
    }
}
