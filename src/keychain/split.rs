//! Values that are longer than a keychain allows: split over numbered items, with a manifest in the first.
//!
//! The parts of a new value get new names, then the manifest is replaced, then the old parts go. Whatever is interrupted,
//! the manifest names a complete set: the old value or the new one. A set that does not fit its digest is an error, never
//! a shorter secret.

use ring::digest;

use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;
use crate::store::hex;

/// What a manifest begins with. Our values are JSON, so none begins like this.
const MAGIC: &str = "age-oauth-parts:1:";

/// More parts than this is no manifest of ours.
const MAX_PARTS: usize = 64;

/// What a keychain does with single items, by their account.
pub(super) trait Items {
    fn name(&self) -> &'static str;
    fn read(&self, account: &str) -> Result<Option<Secret>, KeychainError>;
    fn write(&self, account: &str, title: &str, secret: &Secret) -> Result<(), KeychainError>;
    fn erase(&self, account: &str) -> Result<bool, KeychainError>;
}

struct Manifest {
    generation: char,
    parts: usize,
    length: usize,
    digest: String,
}

impl Manifest {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix(MAGIC)?.split(':');
        let generation = fields.next()?.chars().next()?;
        let parts = fields.next()?.parse().ok()?;
        let length = fields.next()?.parse().ok()?;
        let digest = fields.next()?.to_owned();
        (parts <= MAX_PARTS).then_some(Self {
            generation,
            parts,
            length,
            digest,
        })
    }

    fn text(&self) -> String {
        format!(
            "{MAGIC}{}:{}:{}:{}",
            self.generation, self.parts, self.length, self.digest
        )
    }

    fn accounts<'a>(&'a self, account: &'a str) -> impl Iterator<Item = String> + 'a {
        (1..=self.parts).map(move |number| part(account, self.generation, number))
    }
}

fn part(account: &str, generation: char, number: usize) -> String {
    format!("{account}#{generation}.{number}")
}

/// Whether an account is a part of another item.
pub(super) fn is_part(account: &str) -> bool {
    account.contains('#')
}

fn fits(text: &str, manifest: &Manifest) -> bool {
    text.len() == manifest.length && digest_of(text) == manifest.digest
}

fn digest_of(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The value, whole or not at all.
pub(super) fn read(items: &dyn Items, account: &str) -> Result<Option<Secret>, KeychainError> {
    let Some(first) = items.read(account)? else {
        return Ok(None);
    };
    if !first.expose().starts_with(MAGIC) {
        return Ok(Some(first));
    }
    let torn = || KeychainError::new(items.name(), KeychainReason::Lost, "the item is torn");
    let manifest = Manifest::parse(first.expose()).ok_or_else(torn)?;
    let mut whole = zeroize::Zeroizing::new(String::with_capacity(manifest.length.min(1 << 20)));
    for account in manifest.accounts(account) {
        whole.push_str(items.read(&account)?.ok_or_else(torn)?.expose());
    }
    if !fits(&whole, &manifest) {
        return Err(torn());
    }
    Ok(Some(Secret::new(std::mem::take(&mut *whole))))
}

/// Stores the value in items of at most `limit` bytes.
pub(super) fn write(
    items: &dyn Items,
    account: &str,
    title: &str,
    secret: &Secret,
    limit: usize,
) -> Result<(), KeychainError> {
    let old = previous(items, account)?;
    let text = secret.expose();
    if text.len() <= limit && !text.starts_with(MAGIC) {
        items.write(account, title, secret)?;
        return forget(items, account, old.as_ref());
    }
    let pieces = pieces(text, limit);
    if pieces.len() > MAX_PARTS {
        let detail = "the value is longer than this keychain can keep";
        return Err(KeychainError::new(
            items.name(),
            KeychainReason::Refused,
            detail,
        ));
    }
    let manifest = Manifest {
        generation: match old.as_ref().map(|old| old.generation) {
            Some('a') => 'b',
            _ => 'a',
        },
        parts: pieces.len(),
        length: text.len(),
        digest: digest_of(text),
    };
    for (number, piece) in (1..).zip(&pieces) {
        let account = part(account, manifest.generation, number);
        items.write(&account, title, &Secret::new((*piece).to_owned()))?;
    }
    items.write(account, title, &Secret::new(manifest.text()))?;
    forget(items, account, old.as_ref())
}

/// The manifest that is there; what cannot be read is about to be replaced.
fn previous(items: &dyn Items, account: &str) -> Result<Option<Manifest>, KeychainError> {
    match items.read(account) {
        Ok(first) => Ok(first.and_then(|first| Manifest::parse(first.expose()))),
        Err(error)
            if matches!(
                error.reason,
                KeychainReason::Lost | KeychainReason::Ambiguous
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn forget(
    items: &dyn Items,
    account: &str,
    manifest: Option<&Manifest>,
) -> Result<(), KeychainError> {
    if let Some(manifest) = manifest {
        for account in manifest.accounts(account) {
            items.erase(&account)?;
        }
    }
    Ok(())
}

/// Deletes the value with all its parts. Whether there was one.
pub(super) fn erase(items: &dyn Items, account: &str) -> Result<bool, KeychainError> {
    let manifest = previous(items, account)?;
    let found = items.erase(account)?;
    forget(items, account, manifest.as_ref())?;
    Ok(found)
}

/// Cuts text into pieces of at most `limit` bytes, never inside a character.
fn pieces(text: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(limit.max(4));
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = rest.split_at(end);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// Items that refuse what is too long, and that stop working after so many writes and deletions.
    struct Limited {
        items: RefCell<BTreeMap<String, String>>,
        left: Cell<usize>,
        limit: usize,
    }

    impl Limited {
        fn new(limit: usize) -> Self {
            Self {
                items: RefCell::default(),
                left: Cell::new(usize::MAX),
                limit,
            }
        }

        fn step(&self) -> Result<(), KeychainError> {
            if self.left.get() == 0 {
                return Err(KeychainError::new(
                    "limited",
                    KeychainReason::Refused,
                    "stopped",
                ));
            }
            self.left.set(self.left.get() - 1);
            Ok(())
        }
    }

    impl Items for Limited {
        fn name(&self) -> &'static str {
            "limited"
        }
        fn read(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
            Ok(self.items.borrow().get(account).cloned().map(Secret::new))
        }
        fn write(&self, account: &str, _: &str, secret: &Secret) -> Result<(), KeychainError> {
            self.step()?;
            assert!(secret.expose().len() <= self.limit, "{}", secret.expose());
            self.items
                .borrow_mut()
                .insert(account.into(), secret.expose().into());
            Ok(())
        }
        fn erase(&self, account: &str) -> Result<bool, KeychainError> {
            self.step()?;
            Ok(self.items.borrow_mut().remove(account).is_some())
        }
    }

    const LIMIT: usize = 120;

    fn get(items: &Limited) -> Option<String> {
        read(items, "a").unwrap().map(|s| s.expose().to_owned())
    }

    fn put(items: &Limited, text: &str) -> Result<(), KeychainError> {
        write(items, "a", "t", &Secret::new(text.into()), LIMIT)
    }

    #[test]
    fn short_values_stay_whole_and_long_ones_leave_nothing_behind() {
        let items = Limited::new(LIMIT);
        put(&items, "short").unwrap();
        assert_eq!(items.items.borrow().len(), 1);
        put(&items, &"x".repeat(500)).unwrap();
        put(&items, &"y".repeat(300)).unwrap();
        assert_eq!(get(&items), Some("y".repeat(300)));
        assert_eq!(items.items.borrow().len(), 1 + 3);
        put(&items, "short").unwrap();
        assert_eq!(items.items.borrow().len(), 1);
        put(&items, &"x".repeat(500)).unwrap();
        assert!(erase(&items, "a").unwrap());
        assert!(items.items.borrow().is_empty());
        assert!(!erase(&items, "a").unwrap());
    }

    #[test]
    fn whatever_is_interrupted_the_old_value_or_the_new_one_is_there() {
        let (old, new) = ("o".repeat(400), "n".repeat(700));
        for (before, after) in [(&*old, &*new), ("old", &new), (&old, "new")] {
            for steps in 0..20 {
                let items = Limited::new(LIMIT);
                put(&items, before).unwrap();
                items.left.set(steps);
                let outcome = put(&items, after);
                items.left.set(usize::MAX);
                let found = get(&items).unwrap();
                assert!(found == before || found == after, "step {steps}");
                if outcome.is_ok() {
                    assert_eq!(found, after);
                }
                put(&items, "repaired").unwrap();
                assert_eq!(get(&items).as_deref(), Some("repaired"));
            }
        }
    }

    #[test]
    fn a_torn_set_is_an_error() {
        let items = Limited::new(LIMIT);
        put(&items, &"x".repeat(300)).unwrap();
        items.items.borrow_mut().remove("a#a.2");
        assert_eq!(read(&items, "a").unwrap_err().reason, KeychainReason::Lost);
        put(&items, &"x".repeat(300)).unwrap();
        items.items.borrow_mut().insert("a#b.2".into(), "zz".into());
        assert_eq!(read(&items, "a").unwrap_err().reason, KeychainReason::Lost);
        items
            .items
            .borrow_mut()
            .insert("a".into(), format!("{MAGIC}nonsense"));
        assert_eq!(read(&items, "a").unwrap_err().reason, KeychainReason::Lost);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,600}", magic in any::<bool>()) {
            let text = if magic { format!("{MAGIC}{text}") } else { text };
            let items = Limited::new(LIMIT);
            if put(&items, &text).is_ok() {
                prop_assert_eq!(get(&items), Some(text));
            }
        }
    }
}
