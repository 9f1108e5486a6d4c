//! Secrets at rest: the records, the items that they are split into, the vault.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ring::digest;

use super::{check_error, CANARY};
use crate::binding::{differences, Binding};
use crate::certificate_record::{CertificateContent, CertificateRecord};
use crate::error::{KeychainError, KeychainReason};
use crate::keychain::split::{self, SingleItems};
use crate::keychain::vault::formats;
use crate::policy::{ExtendRule, MinTtl};
use crate::secret::Secret;
use crate::token::{AccessToken, ApiKeyRecord, ClientSecret, Tokens};
use crate::util::hex;

/// A record out of a keychain.
pub fn record(input: &[u8]) {
    let Some(text) = Secret::from_utf8(input.to_vec()) else {
        return;
    };
    if let Some(mut tokens) = Tokens::from_record(&text) {
        let written = tokens.to_record();
        let again = Tokens::from_record(&written).unwrap();
        assert_eq!(again.to_record().expose(), written.expose());
        check_times(&mut tokens);
        check_silent(&tokens);
    }
    if let Some(secret) = ClientSecret::from_record(&text) {
        let again = ClientSecret::from_record(&secret.to_record()).unwrap();
        assert_eq!(again.secret.expose(), secret.secret.expose());
        assert_eq!(again.binding, secret.binding);
        let other = ClientSecret {
            secret: Secret::new("other".into()),
            ..again
        };
        assert_eq!(format!("{other:?}"), format!("{secret:?}"));
    }
    if let Some(record) = ApiKeyRecord::from_record(&text) {
        let written = record.to_record();
        let again = ApiKeyRecord::from_record(&written).unwrap();
        assert_eq!(again.to_record().expose(), written.expose());
        let other = ApiKeyRecord {
            api_key: again.api_key.map(|_| Secret::new("other".into())),
            ..again
        };
        assert_eq!(format!("{other:?}"), format!("{record:?}"));
    }
    if let Some(record) = CertificateRecord::from_record(&text) {
        check_certificate(&record);
    }
    check_binding(&text);
}

/// A client certificate is read as it is written, and shown the same whatever it is.
fn check_certificate(record: &CertificateRecord) {
    let written = record.to_record();
    let mut again = CertificateRecord::from_record(&written).unwrap();
    assert_eq!(again.to_record().expose(), written.expose());
    let shown = format!("{again:?}");
    for content in std::iter::once(&mut again.content).chain(&mut again.former) {
        match content {
            CertificateContent::Pem(secret) | CertificateContent::Password(Some(secret)) => {
                *secret = Secret::new("other".into());
            }
            CertificateContent::Password(None) => {}
        }
    }
    assert_eq!(format!("{again:?}"), shown);
}

/// What secrets are bound to, out of a keychain.
fn check_binding(text: &Secret) {
    if let Some(binding) = Binding::from_record(text) {
        let again = Binding::from_record(&binding.to_record()).unwrap();
        assert_eq!(again, binding);
        assert!(binding.is_old() || differences(Some(&binding), &again).len() <= 1);
    }
}

/// No date makes the arithmetic of lifetimes fail.
fn check_times(tokens: &mut Tokens) {
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    for now in [Timestamp::MIN, now, Timestamp::MAX] {
        for rule in [
            ExtendRule::PastHalf,
            ExtendRule::OlderThan(SignedDuration::from_hours(72)),
            ExtendRule::Now,
        ] {
            let _ = tokens.extension(rule, now);
        }
        let Some(access) = tokens.access.as_ref().map(AccessToken::duplicate) else {
            continue;
        };
        let left = access.seconds_left(now);
        for wanted in [MinTtl::Seconds(60), MinTtl::HalfOfGranted] {
            assert!(!access.is_fresh(wanted, now) || left > 0);
        }
        tokens.cache_server_token("https://h/server", access.duplicate(), now);
        tokens.set_access_token(access);
        assert!(tokens.servers.len() <= 8);
    }
}

/// What is written of tokens is the same whatever they are.
fn check_silent(tokens: &Tokens) {
    let written = format!("{tokens:?}");
    let mut other = Tokens::from_record(&tokens.to_record()).unwrap();
    let secret = || Secret::new("other".into());
    for access in other
        .access
        .iter_mut()
        .chain(other.servers.iter_mut().map(|server| &mut server.access))
    {
        access.secret = secret();
    }
    if let Some(refresh) = &mut other.refresh {
        refresh.secret = secret();
    }
    assert_eq!(format!("{other:?}"), written);
}

/// Items in memory that stop working after so many changes.
struct Memory {
    items: RefCell<BTreeMap<String, String>>,
    left: Cell<usize>,
    limit: usize,
}

impl Memory {
    fn step(&self) -> Result<(), KeychainError> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let reason = KeychainReason::Refused;
            return Err(KeychainError::new("memory", reason, "it stopped"));
        };
        self.left.set(left);
        Ok(())
    }
}

impl SingleItems for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn read(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        Ok(self.items.borrow().get(account).cloned().map(Secret::new))
    }

    fn write(&self, account: &str, _: &str, secret: &Secret) -> Result<(), KeychainError> {
        self.step()?;
        let text = secret.expose();
        assert!(text.len() <= self.limit);
        assert!(account == ACCOUNT || split::is_part(account), "{account}");
        self.items.borrow_mut().insert(account.into(), text.into());
        Ok(())
    }

    fn erase(&self, account: &str) -> Result<bool, KeychainError> {
        self.step()?;
        Ok(self.items.borrow_mut().remove(account).is_some())
    }
}

const ACCOUNT: &str = "c/tokens";
const MAGIC: &str = "age-oauth-parts:1:";
/// A manifest is shorter.
const LIMIT: usize = 128;

/// Lines of a script: `write 300 text` (repeated to that length), `stop 3 300 text` (the same,
/// interrupted after so many changes), `part a.1 text` and `part a.1` (another program writes or
/// deletes a part), `item text` (it writes over the item), `erase`, `erase 2` (interrupted).
pub fn split(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut run = Run {
        items: Memory {
            items: RefCell::default(),
            left: Cell::new(usize::MAX),
            limit: LIMIT,
        },
        known: None,
        is_known: true,
        is_sound: true,
    };
    // Longer scripts find nothing more.
    for line in text.lines().take(20) {
        run.act(line);
        run.check();
    }
    run.write(usize::MAX, "short");
    run.check();
    assert_eq!(run.item().as_deref(), Some("short"));
    run.erase(usize::MAX);
    run.check();
}

struct Run {
    items: Memory,
    /// What is stored.
    known: Option<String>,
    /// Whether that is known.
    is_known: bool,
    /// No other program changed what belongs to it.
    is_sound: bool,
}

impl Run {
    fn act(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "write" => self.write(usize::MAX, &repeated(rest)),
            "stop" => self.write(first.parse().unwrap_or_default(), &repeated(more)),
            "erase" => self.erase(first.parse().unwrap_or(usize::MAX)),
            "part" => {
                let account = format!("{ACCOUNT}#{first}");
                self.is_sound &= !self.named().contains(&account);
                self.touch(&account, more);
            }
            "item" => {
                self.touch(ACCOUNT, rest);
                self.is_known = !rest.starts_with(MAGIC);
                self.is_sound = self.is_known;
                self.known = self.item();
            }
            _ => {}
        }
    }

    fn knows(&mut self, value: Option<String>) {
        (self.known, self.is_known, self.is_sound) = (value, true, true);
    }

    fn write(&mut self, steps: usize, text: &str) {
        self.items.left.set(steps);
        let secret = Secret::new(text.to_owned());
        let outcome = split::write(&self.items, ACCOUNT, "title", &secret, LIMIT);
        self.items.left.set(usize::MAX);
        match outcome {
            Ok(()) => self.knows(Some(text.to_owned())),
            // The old value stays.
            Err(error) => assert_eq!(error.reason, KeychainReason::Refused),
        }
    }

    fn erase(&mut self, steps: usize) {
        self.items.left.set(steps);
        let outcome = split::erase(&self.items, ACCOUNT);
        self.items.left.set(usize::MAX);
        match outcome {
            Ok(_) => self.knows(None),
            // Parts of it may be gone.
            Err(_) => self.is_sound &= steps == 0,
        }
    }

    /// Another program writes, or deletes where there is no text.
    fn touch(&self, account: &str, text: &str) {
        let mut items = self.items.items.borrow_mut();
        if text.is_empty() {
            items.remove(account);
        } else {
            items.insert(account.to_owned(), text.to_owned());
        }
    }

    fn item(&self) -> Option<String> {
        self.items.items.borrow().get(ACCOUNT).cloned()
    }

    /// The parts that the manifest names.
    fn named(&self) -> Vec<String> {
        let item = self.item().unwrap_or_default();
        let mut fields = item.strip_prefix(MAGIC).unwrap_or_default().split(':');
        let generation = fields.next().unwrap_or_default();
        let count = fields.next().and_then(|count| count.parse().ok());
        (1..=count.unwrap_or(0).min(64_usize))
            .map(|number| format!("{ACCOUNT}#{generation}.{number}"))
            .collect()
    }

    fn check(&self) {
        let read = split::read(&self.items, ACCOUNT);
        let found = match read {
            Ok(found) => found.map(|secret| secret.expose().to_owned()),
            Err(error) => {
                assert_eq!(error.reason, KeychainReason::Lost);
                assert!(!self.is_sound);
                return;
            }
        };
        if self.is_known {
            assert_eq!(found, self.known);
        }
        let item = self.item();
        match (&item, &found) {
            (Some(item), Some(found)) if item.starts_with(MAGIC) => {
                let digest = digest::digest(&digest::SHA256, found.as_bytes());
                assert!(item.contains(&format!(":{}:{}", found.len(), hex(digest.as_ref()))));
            }
            _ => assert_eq!(item, found),
        }
    }
}

/// `300 text`
fn repeated(line: &str) -> String {
    let (length, text) = line.split_once(' ').unwrap_or((line, ""));
    let length = length.parse::<usize>().unwrap_or_default().min(9000);
    text.chars().cycle().take(length).collect()
}

/// Bytes as a vault's file, as the document in one, and as a key file.
pub fn vault(input: &[u8]) {
    match formats::open(input) {
        Ok(contents) => check_contents(&contents),
        Err(error) => check_vault_error(error),
    }
    let file = formats::seal_any(input).unwrap();
    let found = formats::open(&file);
    // Whichever byte is another one, nothing is read.
    let at = input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % file.len();
    let mut changed = file.clone();
    changed[at] ^= input.first().map_or(1, |byte| (*byte).max(1));
    check_vault_error(formats::open(&changed).unwrap_err());
    check_vault_error(formats::open(&file[..at]).unwrap_err());
    match found {
        Ok(contents) => check_contents(&contents),
        Err(error) => check_vault_error(error),
    }
    if let Some(keys) = formats::key_file(input) {
        assert_eq!(formats::key_file(&keys), Some(keys));
    }
}

/// What is written is read, and cannot be read without the key.
fn check_contents(contents: &formats::Contents) {
    let file = formats::write(contents.clone()).unwrap();
    for (_, _, secret) in contents {
        let is_there = |secret: &str| {
            let mut windows = file.windows(secret.len());
            windows.any(|window| window == secret.as_bytes())
        };
        assert!(secret.len() < 8 || !is_there(secret));
    }
    assert_eq!(&formats::open(&file).unwrap(), contents);
}

fn check_vault_error(error: KeychainError) {
    assert!(matches!(
        error.reason,
        KeychainReason::Damaged | KeychainReason::Refused
    ));
    assert!(!error.detail.contains(CANARY));
    check_error(error.into());
}
