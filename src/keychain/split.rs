//! Values that are longer than a keychain allows: split over numbered items, with a manifest in the first.
//!
//! There are two generations of names. The parts of a new value get the names of the generation that the manifest does not
//! name, then the manifest is replaced, then the old parts go. Whatever is interrupted, the manifest names a complete set:
//! the old value or the new one. A set that does not fit its digest is an error, never a shorter secret.
//!
//! Parts are written from the first to the last and erased from the last to the first, so that what an interrupted call
//! leaves behind can be found by counting from one, and the next call erases it.

use ring::digest;

use crate::error::{KeychainError, KeychainReason};
use crate::secret::Secret;
use crate::util::hex;

/// What a manifest begins with. Our values are JSON, so none begins like this.
const MAGIC: &str = "age-oauth-parts:1:";

/// More parts than this is no manifest of ours.
const MAX_PARTS: usize = 64;

/// What a keychain does with single items, by their account.
pub(crate) trait Items {
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
        let generation = match fields.next()? {
            "a" => 'a',
            "b" => 'b',
            _ => return None,
        };
        let parts = fields.next()?.parse().ok()?;
        let length = fields.next()?.parse().ok()?;
        let digest = fields.next()?.to_owned();
        ((1..=MAX_PARTS).contains(&parts)).then_some(Self {
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
pub(crate) fn is_part(account: &str) -> bool {
    let suffix = account.rsplit_once('#').map(|(_, suffix)| suffix);
    let number = suffix.and_then(|suffix| suffix.strip_prefix("a.").or(suffix.strip_prefix("b.")));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

fn fits(text: &str, manifest: &Manifest) -> bool {
    text.len() == manifest.length && digest_of(text) == manifest.digest
}

fn digest_of(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The value, whole or not at all.
pub(crate) fn read(items: &dyn Items, account: &str) -> Result<Option<Secret>, KeychainError> {
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
pub(crate) fn write(
    items: &dyn Items,
    account: &str,
    title: &str,
    secret: &Secret,
    limit: usize,
) -> Result<(), KeychainError> {
    let old = previous(items, account)?.map(|manifest| manifest.generation);
    let text = secret.expose();
    if text.len() <= limit && !text.starts_with(MAGIC) {
        items.write(account, title, secret)?;
        clear(items, account, &['a', 'b']);
        return Ok(());
    }
    let new = if old == Some('a') { 'b' } else { 'a' };
    write_parts(items, account, title, new, text, limit)?;
    clear(items, account, if new == 'a' { &['b'] } else { &['a'] });
    Ok(())
}

/// Writes all parts of a generation that no manifest names, then the manifest that does.
fn write_parts(
    items: &dyn Items,
    account: &str,
    title: &str,
    generation: char,
    text: &str,
    limit: usize,
) -> Result<(), KeychainError> {
    let pieces = pieces(text, limit);
    if pieces.len() > MAX_PARTS {
        let detail = "the value is longer than this keychain can keep";
        let reason = KeychainReason::Refused;
        return Err(KeychainError::new(items.name(), reason, detail));
    }
    sweep(items, account, generation)?;
    for (number, piece) in (1..).zip(&pieces) {
        let account = part(account, generation, number);
        items.write(&account, title, &Secret::new((*piece).to_owned()))?;
    }
    let manifest = Manifest {
        generation,
        parts: pieces.len(),
        length: text.len(),
        digest: digest_of(text),
    };
    items.write(account, title, &Secret::new(manifest.text()))
}

/// The value is stored. What cannot be erased now is erased by the next call, and is no reason to say that this one failed.
fn clear(items: &dyn Items, account: &str, generations: &[char]) {
    for generation in generations {
        let _ = sweep(items, account, *generation);
    }
}

/// Erases all parts of a generation, those too that an interrupted call left behind.
fn sweep(items: &dyn Items, account: &str, generation: char) -> Result<(), KeychainError> {
    let mut count = 0;
    while count < MAX_PARTS && is_there(items, &part(account, generation, count + 1))? {
        count += 1;
    }
    for number in (1..=count).rev() {
        items.erase(&part(account, generation, number))?;
    }
    Ok(())
}

fn is_there(items: &dyn Items, account: &str) -> Result<bool, KeychainError> {
    match items.read(account) {
        Err(error) if !is_unreadable(&error) => Err(error),
        found => Ok(!matches!(found, Ok(None))),
    }
}

/// There is something of this name, though not what it should be.
fn is_unreadable(error: &KeychainError) -> bool {
    matches!(
        error.reason,
        KeychainReason::Lost | KeychainReason::Ambiguous
    )
}

/// The manifest that is there; what cannot be read is about to be replaced.
fn previous(items: &dyn Items, account: &str) -> Result<Option<Manifest>, KeychainError> {
    match items.read(account) {
        Ok(first) => Ok(first.and_then(|first| Manifest::parse(first.expose()))),
        Err(error) if is_unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes the value with all its parts. Whether there was one. What names the parts goes last, so that a call that was
/// interrupted leaves an item that is seen to be torn, and that another call deletes.
pub(crate) fn erase(items: &dyn Items, account: &str) -> Result<bool, KeychainError> {
    sweep(items, account, 'a')?;
    sweep(items, account, 'b')?;
    items.erase(account)
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
        /// The one item that cannot be read, and why.
        unreadable: Cell<Option<(&'static str, KeychainReason)>>,
    }

    impl Limited {
        fn new(limit: usize) -> Self {
            Self {
                items: RefCell::default(),
                left: Cell::new(usize::MAX),
                limit,
                unreadable: Cell::new(None),
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
            if let Some((_, reason)) = self.unreadable.get().filter(|(name, _)| *name == account) {
                return Err(KeychainError::new("limited", reason, "unreadable"));
            }
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
                let expected = if outcome.is_ok() { after } else { before };
                assert_eq!(get(&items).as_deref(), Some(expected), "step {steps}");
                put(&items, "repaired").unwrap();
                assert_eq!(get(&items).as_deref(), Some("repaired"));
                assert_eq!(items.items.borrow().len(), 1, "step {steps}");
            }
        }
    }

    #[test]
    fn an_interrupted_deletion_never_leaves_a_shorter_secret_and_is_completed_by_the_next() {
        for steps in 0..8 {
            let items = Limited::new(LIMIT);
            put(&items, &"x".repeat(400)).unwrap();
            items.left.set(steps);
            let outcome = erase(&items, "a");
            items.left.set(usize::MAX);
            match read(&items, "a") {
                Ok(Some(found)) => assert_eq!(found.expose(), "x".repeat(400)),
                Ok(None) => assert!(outcome.is_ok()),
                Err(error) => assert_eq!(error.reason, KeychainReason::Lost),
            }
            erase(&items, "a").unwrap();
            assert!(items.items.borrow().is_empty(), "step {steps}");
        }
    }

    /// What is damaged or there twice is erased or written over; what is locked stops a call before it changes anything.
    #[test]
    fn what_cannot_be_read_is_replaced_unless_the_keychain_is_locked() {
        let new = "n".repeat(500);
        // The value's own item, and a part that an interrupted call left.
        for name in ["a", "a#b.1"] {
            for reason in [KeychainReason::Lost, KeychainReason::Ambiguous] {
                let items = Limited::new(LIMIT);
                put(&items, &"o".repeat(300)).unwrap();
                items
                    .items
                    .borrow_mut()
                    .insert("a#b.1".into(), "torn".into());
                items.unreadable.set(Some((name, reason)));
                put(&items, &new).unwrap();
                items.unreadable.set(None);
                assert_eq!(get(&items).as_deref(), Some(&*new), "{name}");
                items.unreadable.set(Some((name, reason)));
                erase(&items, "a").unwrap();
                assert!(items.items.borrow().is_empty(), "{name}");
            }
            let items = Limited::new(LIMIT);
            put(&items, &"o".repeat(300)).unwrap();
            let before = items.items.borrow().clone();
            items.unreadable.set(Some((name, KeychainReason::Locked)));
            let locked = put(&items, &new).unwrap_err();
            assert_eq!(locked.reason, KeychainReason::Locked, "{name}");
            assert_eq!(*items.items.borrow(), before, "{name}");
        }
        let items = Limited::new(LIMIT);
        put(&items, &new).unwrap();
        items
            .unreadable
            .set(Some(("a#b.1", KeychainReason::Locked)));
        assert!(erase(&items, "a").is_err());
    }

    #[test]
    fn nothing_is_erased_that_is_not_there() {
        let items = Limited::new(LIMIT);
        items.left.set(5 + 1);
        put(&items, &"x".repeat(5 * LIMIT)).unwrap();
        assert_eq!(items.left.get(), 0);
    }

    #[test]
    fn parts_are_told_from_items() {
        assert!(is_part("my_portal_1/tokens#a.1"));
        assert!(is_part("my_portal_1/tokens#b.12"));
        assert!(!is_part("my_portal_1/tokens"));
        assert!(!is_part("my#portal/tokens"));
    }

    #[test]
    fn what_is_too_long_is_refused_and_changes_nothing() {
        let items = Limited::new(LIMIT);
        put(&items, "old").unwrap();
        let error = put(&items, &"x".repeat(LIMIT * MAX_PARTS + 1)).unwrap_err();
        assert_eq!(error.reason, KeychainReason::Refused);
        assert_eq!(get(&items).as_deref(), Some("old"));
        put(&items, &"x".repeat(LIMIT * MAX_PARTS)).unwrap();
        assert_eq!(get(&items), Some("x".repeat(LIMIT * MAX_PARTS)));
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
            put(&items, &text).unwrap();
            prop_assert_eq!(get(&items), Some(text));
        }

        /// Writes of which some are interrupted: the last complete one counts, and nothing is left behind.
        #[test]
        fn any_interruptions_leave_the_last_complete_value(
            writes in prop::collection::vec((0_usize..900, 0_usize..16), 1..12)
        ) {
            let items = Limited::new(LIMIT);
            let mut expected = None;
            for (number, (length, steps)) in writes.into_iter().enumerate() {
                let text = number.to_string().repeat(length).chars().take(length).collect::<String>();
                items.left.set(steps);
                let outcome = put(&items, &text);
                items.left.set(usize::MAX);
                if outcome.is_ok() {
                    expected = Some(text);
                }
                prop_assert_eq!(&get(&items), &expected);
            }
            put(&items, "short").unwrap();
            prop_assert_eq!(items.items.borrow().len(), 1);
            erase(&items, "a").unwrap();
            prop_assert!(items.items.borrow().is_empty());
        }
    }
}
