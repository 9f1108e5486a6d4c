//! A bound in time around any keychain: an unanswered prompt, a wedged daemon or a mute bus is an error, not a hang.
//!
//! Each call runs on a thread of its own. When the time is up, the thread is left behind and never joined: it may never
//! come back, and the program ends without it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Item, SecretStore};
use crate::context::{Context, Event, Wait};
use crate::crash;
use crate::env;
use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;

/// Nobody is there to type a password.
const NON_INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A person may be typing one.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A wait is worth mentioning once it has lasted this long.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The bound on one call: `AGE_OAUTH_KEYCHAIN_TIMEOUT`, else by whether a person is there.
pub(super) fn bound(interactive: bool, context: &Context) -> Duration {
    let wish = context.environment.var(env::AGE_OAUTH_KEYCHAIN_TIMEOUT);
    wish.and_then(|text| duration(&text))
        .unwrap_or(if interactive {
            INTERACTIVE_TIMEOUT
        } else {
            NON_INTERACTIVE_TIMEOUT
        })
}

pub(super) struct Bounded {
    inner: Arc<dyn SecretStore>,
    bound: Duration,
    context: Context,
}

impl Bounded {
    pub(super) fn new(inner: Arc<dyn SecretStore>, bound: Duration, context: &Context) -> Self {
        Self {
            inner,
            bound,
            context: context.clone(),
        }
    }

    fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        let bound = self.context.deadline.bound(self.bound);
        let (sender, answer) = mpsc::channel();
        let inner = Arc::clone(&self.inner);
        let started = thread::Builder::new()
            .name("keychain".into())
            .spawn(move || {
                crash::point("before the keychain");
                let answer = call(inner.as_ref());
                crash::point("after the keychain");
                // Nobody may be waiting any more.
                let _ = sender.send(answer);
            });
        if let Err(why) = started {
            return Err(self.error(KeychainReason::Refused, why.to_string()));
        }
        let begun = Instant::now();
        match answer.recv_timeout(bound.min(LONG_WAIT)) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if bound > LONG_WAIT => {}
            Err(why) => return Err(self.silent(why, bound)),
        }
        self.context.emit(&Event::Waiting(Wait::Keychain));
        let outcome = answer.recv_timeout(bound.saturating_sub(begun.elapsed()));
        self.context.emit(&Event::WaitOver);
        match outcome {
            Ok(answer) => answer,
            Err(why) => Err(self.silent(why, bound)),
        }
    }

    fn silent(&self, why: RecvTimeoutError, bound: Duration) -> KeychainError {
        match why {
            RecvTimeoutError::Timeout => self.error(
                KeychainReason::Timeout,
                format!("nothing came within {:.1}s", bound.as_secs_f32()),
            ),
            RecvTimeoutError::Disconnected => self.error(
                KeychainReason::Refused,
                "the call ended without an answer".into(),
            ),
        }
    }

    fn error(&self, reason: KeychainReason, detail: String) -> KeychainError {
        KeychainError::new(self.inner.name(), reason, detail)
    }
}

/// `5`, `5s`, `500ms`, `1m`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "" | "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

impl SecretStore for Bounded {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let item = item.clone();
        self.run(move |inner| inner.get(&item))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let (item, secret) = (item.clone(), secret.duplicate());
        self.run(move |inner| inner.set(&item, &secret))
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let item = item.clone();
        self.run(move |inner| inner.delete(&item))
    }

    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        let item = item.clone();
        self.run(move |inner| inner.all(&item))
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        let item = item.clone();
        self.run(move |inner| inner.retitle(&item))
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        self.run(|inner| inner.accounts())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context::{Deadline, Environment, Observer};
    use crate::keychain::{ItemKind, MemoryStore};
    use std::sync::{Condvar, Mutex};

    /// Never answers until released.
    struct Mute(Arc<(Mutex<bool>, Condvar)>);

    impl SecretStore for Mute {
        fn name(&self) -> &'static str {
            "mute"
        }
        fn get(&self, _: &Item) -> Result<Option<Secret>, KeychainError> {
            let (released, wake) = &*self.0;
            let guard = released.lock().unwrap();
            drop(wake.wait_while(guard, |released| !*released).unwrap());
            Ok(None)
        }
        fn set(&self, _: &Item, _: &Secret) -> Result<(), KeychainError> {
            Ok(())
        }
        fn delete(&self, _: &Item) -> Result<bool, KeychainError> {
            Ok(false)
        }
        fn accounts(&self) -> Result<Vec<String>, KeychainError> {
            Ok(Vec::new())
        }
    }

    fn context(timeout: &str) -> Context {
        Context {
            environment: Environment::of([("AGE_OAUTH_KEYCHAIN_TIMEOUT", timeout)]),
            ..Context::process()
        }
    }

    #[test]
    fn rule_30_a_keychain_that_never_answers_is_an_error() {
        let release = Arc::new((Mutex::new(false), Condvar::new()));
        let context = context("50ms");
        let mute = Arc::new(Mute(Arc::clone(&release)));
        let keychain = Bounded::new(mute, bound(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        let error = keychain.get(&item).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Timeout);
        assert!(keychain.set(&item, &Secret::new("s".into())).is_ok());
        *release.0.lock().unwrap() = true;
        release.1.notify_all();
    }

    #[test]
    fn a_long_wait_is_told_and_its_end_too() {
        let release = Arc::new((Mutex::new(false), Condvar::new()));
        let (told, events) = mpsc::channel();
        let waker = Arc::clone(&release);
        let context = Context {
            // The longest bound there is does no harm.
            environment: Environment::of([("AGE_OAUTH_KEYCHAIN_TIMEOUT", format!("{}", u64::MAX))]),
            observer: Observer::new(move |event| {
                if matches!(event, Event::Waiting(Wait::Keychain)) {
                    *waker.0.lock().unwrap() = true;
                    waker.1.notify_all();
                }
                told.send(event.clone()).unwrap();
            }),
            ..Context::process()
        };
        let mute = Arc::new(Mute(release));
        let keychain = Bounded::new(mute, bound(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        assert!(keychain.get(&item).unwrap().is_none());
        let events: Vec<_> = events.try_iter().collect();
        assert_eq!(events, [Event::Waiting(Wait::Keychain), Event::WaitOver]);
    }

    #[test]
    fn the_whole_commands_deadline_counts_too() {
        let release = Arc::new((Mutex::new(false), Condvar::new()));
        let context = Context {
            deadline: Deadline::after(Duration::ZERO),
            ..context("1m")
        };
        let mute = Arc::new(Mute(Arc::clone(&release)));
        let keychain = Bounded::new(mute, bound(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        assert_eq!(
            keychain.get(&item).unwrap_err().reason,
            KeychainReason::Timeout
        );
        *release.0.lock().unwrap() = true;
        release.1.notify_all();
    }

    #[test]
    fn answers_and_errors_pass_through() {
        let memory = MemoryStore::new();
        let context = context("");
        let keychain = Bounded::new(Arc::new(memory.clone()), bound(false, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        keychain.set(&item, &Secret::new("s".into())).unwrap();
        assert_eq!(keychain.get(&item).unwrap().unwrap().expose(), "s");
        memory.fail_next(crate::keychain::Call::Get, KeychainReason::Locked);
        assert_eq!(
            keychain.get(&item).unwrap_err().reason,
            KeychainReason::Locked
        );
        assert_eq!(keychain.name(), memory.name());
        assert_eq!(keychain.accounts().unwrap(), ["x/tokens"]);
        assert_eq!(keychain.all(&item).unwrap().len(), 1);
        assert!(keychain.delete(&item).unwrap());
        assert!(!keychain.delete(&item).unwrap());
        assert!(keychain.all(&item).unwrap().is_empty());
        // What cannot be retitled says so through the bound, too.
        let untitled = Bounded::new(Arc::new(Untitled(memory)), LONG_WAIT, &context);
        assert!(untitled.retitle(&item).is_err());
    }

    /// A keychain whose titles cannot be changed.
    struct Untitled(MemoryStore);

    impl SecretStore for Untitled {
        fn name(&self) -> &'static str {
            self.0.name()
        }
        fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
            self.0.get(item)
        }
        fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
            self.0.set(item, secret)
        }
        fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
            self.0.delete(item)
        }
        fn retitle(&self, _: &Item) -> Result<(), KeychainError> {
            Err(KeychainError::new(
                self.name(),
                KeychainReason::Refused,
                "no titles",
            ))
        }
        fn accounts(&self) -> Result<Vec<String>, KeychainError> {
            self.0.accounts()
        }
    }

    #[test]
    fn timeouts_are_written_as_people_write_them() {
        for (text, expected) in [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
