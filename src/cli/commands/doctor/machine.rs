//! Checks of the machine: the program, the connection store, the keychains.

use std::path::{Path, PathBuf};

use super::{account, DoctorContext, Finding, Fix};
use crate::cli::shared::connection_fields::default_keychain;
use crate::connection::KeychainKind;
use crate::env;
use crate::error::{Error, FileAction, KeychainError, KeychainReason};
use crate::http;
use crate::keychain::{Item, ItemKind};
use crate::secret::Secret;
use crate::store::{Listing, Plaintext, Selector};

/// The keychains that passed their check.
pub(super) type Usable = Vec<KeychainKind>;

/// Checks which program this is, whether a shell finds the same one, and what the environment sets.
pub(super) fn program(doctor: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    let environment = &doctor.context.environment;
    let own = std::env::current_exe().ok();
    let shown = own
        .as_deref()
        .map_or("?".to_owned(), |path| path.display().to_string());
    let version = env!("CARGO_PKG_VERSION");
    let search = environment.var_os(env::PATH).unwrap_or_default();
    let name = format!("age-oauth{}", std::env::consts::EXE_SUFFIX);
    let first = std::env::split_paths(&search)
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file());
    findings.push(match first {
        Some(first) if same_file(Some(&first), own.as_deref()) => {
            Finding::ok("program", format!("{shown}, version {version}"))
        }
        Some(first) => Finding::warn(
            "program",
            format!(
                "{shown}, version {version}; but a shell starts {} for `age-oauth`{}",
                first.display(),
                if is_python(&first) {
                    " (the Python package's program)"
                } else {
                    ""
                }
            ),
            "remove the other program, or put the folder of this one before it on PATH",
        ),
        None => Finding::ok(
            "program",
            format!("{shown}, version {version}; its folder is not on PATH"),
        ),
    });
    if let Ok(Some(name)) = environment.text(env::AGE_OAUTH_CONNECTION) {
        let found = doctor.store.find(&Selector::Name(name.clone()));
        findings.push(match found {
            Ok(_) => Finding::ok(
                "environment",
                format!(
                    "{} selects `{name}` in place of the default",
                    env::AGE_OAUTH_CONNECTION
                ),
            ),
            Err(error) => Finding::error("environment", &error)
                .hint(format!("correct or unset {}", env::AGE_OAUTH_CONNECTION)),
        });
    }
    let policy = &doctor.context.machine_policy;
    if !matches!(policy.certificate_authorities(), Ok(Some(_))) {
        findings.extend(http::bundles(environment).iter().map(bundle));
    }
    findings
}

/// A file of certificates that the environment names.
fn bundle(bundle: &http::Bundle) -> Finding {
    let (variable, path) = (bundle.variable, bundle.path.display());
    match bundle.problem() {
        None => Finding::ok(
            "environment",
            format!("{variable} adds the certificates in {path}"),
        ),
        Some(why) => Finding::warn(
            "environment",
            format!("{variable} names {path}, which is ignored: {why}"),
            format!("correct or unset {variable}"),
        ),
    }
}

fn same_file(one: Option<&Path>, other: Option<&Path>) -> bool {
    let real = |path: Option<&Path>| path.and_then(|path| path.canonicalize().ok());
    real(one).is_some_and(|path| Some(path) == real(other))
}

/// A script that Python runs, or one of the small programs that pip creates on Windows.
fn is_python(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(200_000).read_to_end(&mut start));
    let has = |part: &[u8]| start.windows(part.len()).any(|window| window == part);
    read.is_ok() && (has(b"python") && (start.starts_with(b"#!") || has(b"__main__")))
}

/// Checks whether the store exists, and whether other users can read it.
pub(super) fn store(doctor: &DoctorContext) -> Vec<Finding> {
    let root = doctor.store.root();
    match root.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            return vec![Finding::warn(
                "store",
                format!("{} does not exist yet", root.display()),
                "age-oauth connections add",
            )]
        }
        Err(why) => {
            let error = Error::file(FileAction::Read, root)(why);
            return vec![Finding::error("store", &error)];
        }
    }
    if let Some(name) = &doctor.account {
        if let Some(finding) = account::foreign_owner(root, name) {
            return vec![finding];
        }
    }
    match doctor.store.world_accessible() {
        Ok(open) if open.is_empty() => {
            let owner = match &doctor.account {
                Some(name) => format!("`{name}`"),
                None => "you".to_owned(),
            };
            vec![Finding::ok(
                "store",
                format!("{}; only {owner} can read it", root.display()),
            )]
        }
        Ok(open) => {
            let shown: Vec<_> = open
                .iter()
                .take(3)
                .map(|path| path.display().to_string())
                .collect();
            vec![Finding::fail(
                "store",
                format!(
                    "other users can read {} of its files or folders: {} …",
                    open.len(),
                    shown.join(", ")
                ),
                "age-oauth doctor --fix",
            )
            .fix(Fix::Private)]
        }
        Err(error) => vec![Finding::error("store", &error)],
    }
}

/// Checks whether every connection can be read and is found by its label, and whether the default
/// connection exists.
pub(super) fn index(doctor: &DoctorContext, listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for error in &listing.broken {
        let finding = Finding::error("store", error);
        findings.push(if finding.hint.is_some() {
            finding
        } else {
            finding.hint(
                "restore the file from a backup, or remove its folder and add the connection again",
            )
        });
    }
    for old in &listing.plaintext {
        findings.push(Finding::warn(
            "store",
            format!(
                "`{}` belongs to the Python package; its secrets are stored in plain text",
                old.label
            ),
            format!("import it: {}", Plaintext::IMPORT),
        ));
    }
    let lost = listing.connections.iter().filter(|connection| {
        let selector = Selector::Name(connection.label.to_string());
        doctor
            .store
            .find(&selector)
            .map_or(true, |found| found.id != connection.id)
    });
    let lost: Vec<_> = lost.map(|connection| connection.label.as_str()).collect();
    if !lost.is_empty() {
        findings.push(
            Finding::fail(
                "labels",
                format!("not found by their labels: {}", lost.join(", ")),
                "age-oauth doctor --fix",
            )
            .fix(Fix::Labels),
        );
    }
    match doctor.store.default_id() {
        Ok(Some(id)) if doctor.store.load(&id).is_err() => findings.push(
            Finding::warn(
                "default",
                format!("the default connection `{id}` does not exist"),
                "age-oauth connections use NAME",
            )
            .fix(Fix::Default),
        ),
        Ok(_) => {}
        Err(error) => findings.push(Finding::error("default", &error)),
    }
    findings
}

/// Checks each keychain that a connection uses or a new one would use.
pub(super) fn keychains(doctor: &DoctorContext, listing: &Listing) -> (Vec<Finding>, Usable) {
    let default = default_keychain(&doctor.context).unwrap_or_default();
    let uses = |kind| listing.connections.iter().any(|one| one.keychain == kind);
    let mut findings = Vec::new();
    let mut usable = Vec::new();
    for &kind in KeychainKind::ALL {
        if !uses(kind) && (kind != default || !listing.connections.is_empty()) {
            continue;
        }
        match probe(doctor, kind) {
            Ok(result) => {
                findings.push(Finding::ok("keychain", result));
                usable.push(kind);
                findings.extend(vault_key(doctor, kind));
                findings.extend(orphans(doctor, kind, listing));
            }
            Err(error) => {
                let reason = error.reason;
                let error = Error::from(error);
                let mut finding = Finding::error("keychain", &error);
                let is_elsewhere = kind != KeychainKind::Vault;
                if doctor.as_task && is_elsewhere && reason != KeychainReason::Mismatch {
                    finding = finding.hint(
                        "a task without a desktop session needs its secrets in the vault: age-oauth connections edit NAME --keychain vault",
                    );
                }
                findings.push(finding);
            }
        }
    }
    (findings, usable)
}

/// Says which key opens the vault and where it is. A second key makes the first one pointless.
fn vault_key(doctor: &DoctorContext, kind: KeychainKind) -> Vec<Finding> {
    if kind != KeychainKind::Vault {
        return Vec::new();
    }
    let places = match doctor.keychains.vault_key_places() {
        Ok(places) => places,
        Err(error) => return vec![Finding::error("vault key", &error.into())],
    };
    let Some((first, others)) = places.split_first() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if places.iter().any(|place| place.is_weak) {
        findings.push(Finding::warn(
            "vault key",
            "the passphrase of the vault is so short that it can be guessed from a copy of the vault",
            "age-oauth vault rekey --passphrase",
        ));
    }
    let names: Vec<_> = others.iter().map(|place| place.name.as_str()).collect();
    findings.push(if names.is_empty() {
        let own = if first.is_own {
            " (it protects copies of the vault, but not against programs that run as you)"
        } else {
            ""
        };
        Finding::ok(
            "vault key",
            format!("the key in {} opens the vault{own}", first.name),
        )
    } else {
        Finding::warn(
            "vault key",
            format!(
                "the key in {} opens the vault, and so does the key in {}",
                first.name,
                names.join(", ")
            ),
            "delete the copies of the key that no job needs",
        )
    });
    findings
}

/// Writes, reads and deletes an item. A vault that does not exist is not created for that: its key
/// would stay behind.
fn probe(doctor: &DoctorContext, kind: KeychainKind) -> Result<String, KeychainError> {
    let keychain = doctor.keychains.of(kind);
    let name = keychain.name();
    if !doctor.keychains.exists(kind)? {
        return Ok(format!(
            "{name}: it does not exist yet; the first secret that is stored creates it"
        ));
    }
    let id = format!("doctor-{}", std::process::id());
    let item = Item::new(id, "doctor", ItemKind::Probe);
    let written = keychain.set(&item, &Secret::new("probe".to_owned()));
    let read = written.and_then(|()| keychain.get(&item));
    // Delete the item even if reading it failed.
    let deleted = keychain.delete(&item);
    let same = read?.is_some_and(|secret| secret.matches("probe"));
    deleted?;
    if same {
        return Ok(format!("{name}: an item was written, read and deleted"));
    }
    Err(KeychainError::new(
        name,
        KeychainReason::Refused,
        "it did not return what was stored",
    ))
}

/// Reports keychain items of this program that do not belong to a connection in this store.
fn orphans(doctor: &DoctorContext, kind: KeychainKind, listing: &Listing) -> Option<Finding> {
    let accounts = doctor.keychains.of(kind).accounts().ok()?;
    let known = |item: &Item| {
        listing.connections.iter().any(|connection| {
            ItemKind::OF_CONNECTION
                .iter()
                .any(|kind| Item::of(connection, *kind).account() == item.account())
        })
    };
    let items: Vec<_> = accounts
        .iter()
        .filter_map(|account| Item::from_account(account))
        .filter(|item| !known(item))
        .collect();
    if items.is_empty() {
        return None;
    }
    let names: Vec<_> = items.iter().take(5).map(Item::account).collect();
    Some(
        Finding::warn(
            "keychain",
            format!(
                "items that belong to no connection of this store: {} ({})",
                items.len(),
                names.join(", ")
            ),
            "age-oauth doctor --fix",
        )
        .fix(Fix::Orphans(kind, items)),
    )
}

/// The path of this program.
pub(super) fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "age-oauth".into())
}
