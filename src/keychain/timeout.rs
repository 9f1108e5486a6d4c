//! A time limit around any keychain: a prompt that is not answered, a daemon that hangs or a bus
//! that is silent is an error, and the program does not hang.
//!
//! Each call runs on its own thread, because the systems' calls cannot be canceled. When the
//! time is up, the thread is left alone and never joined: it may never end, and the process exits
//! without it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Item, SecretStore};
use crate::context::{Context, Deadline};
use crate::crash;
use crate::duration::parse_duration;
use crate::env;
use crate::error::{KeychainError, KeychainReason};
use crate::event::{Event, Wait};
use crate::policy::{ANNOUNCE_WAIT_AFTER, KEYCHAIN_TIMEOUT, KEYCHAIN_TIMEOUT_INTERACTIVE};
use crate::secret::Secret;

/// The time limit of one call: `AGE_OAUTH_KEYCHAIN_TIMEOUT`, else by whether the keychain can show
/// a prompt.
///
/// A value that is not a duration is an error of every call, because to ignore it would mean to
/// wait for another time than the person chose.
pub(super) fn call_timeout(interactive: bool, context: &Context) -> Result<Duration, String> {
    const NAME: &str = env::AGE_OAUTH_KEYCHAIN_TIMEOUT;
    let default = if interactive {
        KEYCHAIN_TIMEOUT_INTERACTIVE
    } else {
        KEYCHAIN_TIMEOUT
    };
    match context.environment.text(NAME) {
        Ok(None) => Ok(default),
        Ok(Some(text)) => parse_duration(&text).map_err(|why| format!("{NAME}: {why}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A keychain whose calls have a time limit.
pub(super) struct WithTimeout {
    inner: Arc<dyn SecretStore>,
    timeout: Result<Duration, String>,
    context: Context,
}

impl WithTimeout {
    pub(super) fn new(
        inner: Arc<dyn SecretStore>,
        timeout: Result<Duration, String>,
        context: &Context,
    ) -> Self {
        Self {
            inner,
            timeout,
            context: context.clone(),
        }
    }

    /// A call that only reads.
    fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        self.run(self.context.deadline, call)
    }

    /// A call that stores or deletes. It has its time also when that of the whole command is up:
    /// what the portal has granted would be lost, and a sign-out would leave the tokens here.
    fn write<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        self.run(self.context.deadline.at_least(KEYCHAIN_TIMEOUT), call)
    }

    fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        let timeout = match &self.timeout {
            Ok(timeout) => deadline.bound(*timeout),
            Err(why) => return Err(self.error(KeychainReason::Refused, why.clone())),
        };
        let (sender, answer) = mpsc::channel();
        let inner = Arc::clone(&self.inner);
        let started = thread::Builder::new()
            .name("keychain".into())
            .spawn(move || {
                crash::point("before the keychain");
                let answer = call(inner.as_ref());
                // If the caller drops the keychain, nothing of it is left in this thread.
                drop(inner);
                crash::point("after the keychain");
                // An error here means that the caller has stopped waiting.
                let _ = sender.send(answer);
            });
        if let Err(why) = started {
            return Err(self.error(KeychainReason::Refused, why.to_string()));
        }
        let begun = Instant::now();
        // The first part of the wait is silent; most answers come in it.
        match answer.recv_timeout(timeout.min(ANNOUNCE_WAIT_AFTER)) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if timeout > ANNOUNCE_WAIT_AFTER => {}
            Err(why) => return Err(self.no_answer(why, timeout)),
        }
        // The rest is announced: the keychain may be showing a prompt in another window.
        self.context.emit(&Event::Waiting(Wait::Keychain));
        let outcome = answer.recv_timeout(timeout.saturating_sub(begun.elapsed()));
        self.context.emit(&Event::WaitOver);
        match outcome {
            Ok(answer) => answer,
            Err(why) => Err(self.no_answer(why, timeout)),
        }
    }

    fn no_answer(&self, why: RecvTimeoutError, timeout: Duration) -> KeychainError {
        match why {
            RecvTimeoutError::Timeout => self.error(
                KeychainReason::Timeout,
                format!("there was no answer within {:.1}s", timeout.as_secs_f32()),
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

impl SecretStore for WithTimeout {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let item = item.clone();
        self.read(move |inner| inner.get(&item))
    }

    fn set(&self, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let (item, secret) = (item.clone(), secret.duplicate());
        self.write(move |inner| inner.set(&item, &secret))
    }

    fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let item = item.clone();
        self.write(move |inner| inner.delete(&item))
    }

    fn all(&self, item: &Item) -> Result<Vec<Secret>, KeychainError> {
        let item = item.clone();
        self.read(move |inner| inner.all(&item))
    }

    fn retitle(&self, item: &Item) -> Result<(), KeychainError> {
        let item = item.clone();
        self.write(move |inner| inner.retitle(&item))
    }

    fn accounts(&self) -> Result<Vec<String>, KeychainError> {
        self.read(|inner| inner.accounts())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context::Environment;
    use crate::event::Observer;
    use crate::keychain::{ItemKind, MemoryStore};
    use std::sync::{Condvar, Mutex};

    /// Longer than any test waits.
    const NEVER: Duration = Duration::from_secs(60);

    /// Never answers until released.
    struct Mute(Arc<(Mutex<bool>, Condvar)>);

    impl SecretStore for Mute {
        fn name(&self) -> &'static str {
            "mute"
        }
        fn get(&self, _: &Item) -> Result<Option<Secret>, KeychainError> {
            let (released, wake) = &*self.0;
            let guard = released.lock().unwrap();
            let wait = wake.wait_timeout_while(guard, NEVER, |released| !*released);
            drop(wait.unwrap());
            Ok(None)
        }
        fn set(&self, _: &Item, _: &Secret) -> Result<(), KeychainError> {
            thread::yield_now();
            Ok(())
        }
        fn delete(&self, _: &Item) -> Result<bool, KeychainError> {
            thread::yield_now();
            Ok(true)
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
        let keychain = WithTimeout::new(mute, call_timeout(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        let error = keychain.get(&item).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Timeout);
        assert!(keychain.set(&item, &Secret::new("s".into())).is_ok());
        *release.0.lock().unwrap() = true;
        release.1.notify_all();
    }

    #[test]
    fn a_long_wait_and_its_end_are_announced() {
        let release = Arc::new((Mutex::new(false), Condvar::new()));
        let (sender, events) = mpsc::channel();
        let waker = Arc::clone(&release);
        let context = Context {
            // The longest possible timeout does no harm.
            environment: Environment::of([(
                "AGE_OAUTH_KEYCHAIN_TIMEOUT",
                format!("{}s", u64::MAX),
            )]),
            observer: Observer::new(move |event| {
                if matches!(event, Event::Waiting(Wait::Keychain)) {
                    *waker.0.lock().unwrap() = true;
                    waker.1.notify_all();
                }
                sender.send(event.clone()).unwrap();
            }),
            ..Context::process()
        };
        let mute = Arc::new(Mute(release));
        let keychain = WithTimeout::new(mute, call_timeout(true, &context), &context);
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
        let keychain = WithTimeout::new(mute, call_timeout(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        assert_eq!(
            keychain.get(&item).unwrap_err().reason,
            KeychainReason::Timeout
        );
        *release.0.lock().unwrap() = true;
        release.1.notify_all();
    }

    #[test]
    fn rule_22_what_is_to_be_stored_or_deleted_has_its_time_after_that_of_the_whole_command() {
        let context = Context {
            deadline: Deadline::after(Duration::ZERO),
            ..context("1m")
        };
        let mute = Arc::new(Mute(Arc::default()));
        let keychain = WithTimeout::new(mute, call_timeout(true, &context), &context);
        let item = Item::new("x", "x", ItemKind::Tokens);
        // Without time, some of so many answers would come too late.
        for _ in 0..200 {
            keychain.set(&item, &Secret::new("s".into())).unwrap();
            assert!(keychain.delete(&item).unwrap());
        }
    }

    #[test]
    fn answers_and_errors_pass_through() {
        let memory = MemoryStore::new();
        let context = context("");
        let keychain = WithTimeout::new(
            Arc::new(memory.clone()),
            call_timeout(false, &context),
            &context,
        );
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
        // An error of `retitle` passes through as well.
        let untitled = WithTimeout::new(
            Arc::new(Untitled(memory)),
            Ok(ANNOUNCE_WAIT_AFTER),
            &context,
        );
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
    fn a_setting_that_is_not_a_duration_is_an_error_of_every_call() {
        for (value, why) in [("60", "60m"), ("soon", "not a duration")] {
            let context = context(value);
            let memory = Arc::new(MemoryStore::new());
            let keychain = WithTimeout::new(memory, call_timeout(true, &context), &context);
            let error = keychain.accounts().unwrap_err();
            assert!(
                error.detail.contains("AGE_OAUTH_KEYCHAIN_TIMEOUT"),
                "{error}"
            );
            assert!(error.detail.contains(why), "{error}");
        }
    }
}
