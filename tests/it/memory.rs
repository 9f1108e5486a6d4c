//! Nothing of a dropped secret stays in memory (rule 27), and no core dump shows a secret that is
//! held (rule 26).
//!
//! The tests search the memory of their own process. They must not hold the text that they search
//! for, so that it is kept masked.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use age_oauth::testing::{Binding, ClientSecret, RefreshToken, Tokens};
use age_oauth::{
    AccessToken, ConnectionStore, Context, Environment, Item, KeychainKind, Keychains, Secret,
    Selector, Session, TokenRequest,
};
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::support::portal::{Endpoint, Fault, Gate, Portal, PortalVersion, SERVICE_ID};
use crate::support::scenario::add_application_with;
use crate::support::send_signal;
use crate::{home, signed_in};

const MASK: u8 = 0x80;

/// Random letters that occur in memory only where a test puts them.
struct Needle(Vec<u8>);

impl Needle {
    fn new() -> Self {
        let mut masked = vec![0; 48];
        SystemRandom::new().fill(&mut masked).unwrap();
        for byte in &mut masked {
            *byte = (b'a' + *byte % 26) | MASK;
        }
        Self(masked)
    }

    /// The text, written once into the memory that the secret will own.
    fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        text.extend(self.0.iter().map(|byte| char::from(byte & !MASK)));
        text
    }

    fn secret(&self) -> Secret {
        Secret::new(self.text())
    }

    /// How often its middle part occurs in memory, in UTF-8 or UTF-16. The allocator overwrites
    /// both ends of freed memory.
    fn occurrences(&self) -> usize {
        let middle = &self.0[16..32];
        let wide: Vec<u8> = middle.iter().flat_map(|byte| [*byte, MASK]).collect();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        // It holds a copy of everything that is read, until it is wiped.
        let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let mut words = line.split(' ');
            let (range, rights) = (words.next().unwrap(), words.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let mut at = u64::from_str_radix(start, 16).unwrap();
            let end = u64::from_str_radix(end, 16).unwrap();
            while at < end {
                let length = usize::try_from((end - at).min(1 << 20)).unwrap();
                let Ok(read) = memory.read_at(&mut buffer[..length], at) else {
                    break;
                };
                for needle in [middle, &wide] {
                    found += count(&buffer[..read], needle);
                }
                // Blocks overlap, so that an occurrence across a border is found.
                at += u64::try_from(read.saturating_sub(64).max(1)).unwrap();
                if read < length || at + 64 >= end {
                    break;
                }
            }
        }
        found
    }
}

/// How often the masked text occurs unmasked.
fn count(bytes: &[u8], masked: &[u8]) -> usize {
    let first = masked[0] ^ MASK;
    let mut found = 0;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        let mut pairs = rest[at..].iter().zip(masked);
        found += usize::from(
            rest.len() - at >= masked.len() && pairs.all(|(byte, wanted)| byte ^ MASK == *wanted),
        );
        rest = &rest[at + 1..];
    }
    found
}

fn tokens(needle: &Needle) -> Tokens {
    let now = Timestamp::now();
    let mut tokens = Tokens {
        binding: binding(),
        access: None,
        refresh: Some(RefreshToken {
            secret: needle.secret(),
            issued_at: now,
            expires_at: None,
        }),
        access_tokens_valid_until: None,
        exchange_started: false,
        exchange_unsupported: false,
        signed_in_at: None,
        is_limited: false,
        asked_minutes: None,
        username: None,
        servers: Vec::new(),
    };
    tokens.set_access_token(AccessToken {
        secret: needle.secret(),
        issued_at: now,
        expires_at: now,
    });
    tokens
}

fn binding() -> Binding {
    Binding {
        portal_url: "https://gis.example.com/portal".into(),
        client_id: "x".into(),
        settings: None,
        pending: Vec::new(),
    }
}

/// Rule 27: nothing of a secret is left when it is dropped, whatever was done with it.
#[test]
fn rule_27_secrets_are_wiped_on_drop() {
    let needle = Needle::new();
    assert_eq!(needle.occurrences(), 0, "the search finds itself");
    let held = needle.secret();
    assert!(needle.occurrences() > 0, "the search finds nothing");
    drop(held);

    let nothing_is_left = |what: &str| assert_eq!(needle.occurrences(), 0, "{what}");
    nothing_is_left("a secret");

    let held = needle.secret();
    let copy = held.duplicate();
    assert!(copy.matches(held.expose()));
    assert!(needle.occurrences() > 1);
    drop((held, copy));
    nothing_is_left("copies");

    drop(Secret::from_utf8(needle.text().into_bytes()));
    nothing_is_left("bytes");
    let mut broken = Vec::with_capacity(64);
    broken.extend(needle.0.iter().map(|byte| byte & !MASK));
    broken.push(0xff);
    assert!(Secret::from_utf8(broken).is_none());
    nothing_is_left("bytes that are not text");
    let wide = |last: &[u8]| {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0xff, 0xfe]);
        bytes.extend(needle.0.iter().flat_map(|byte| [byte & !MASK, 0]));
        bytes.extend(last);
        bytes
    };
    drop(Secret::from_file(wide(&[])).unwrap());
    nothing_is_left("UTF-16");
    assert!(Secret::from_file(wide(&[0x00, 0xd8])).is_none());
    nothing_is_left("UTF-16 that is not text");

    let record = ClientSecret {
        binding: binding(),
        secret: needle.secret(),
    }
    .to_record();
    drop(ClientSecret::from_record(&record).unwrap());
    drop(record);
    nothing_is_left("the record of a client secret");

    let record = tokens(&needle).to_record();
    drop(Tokens::from_record(&record).unwrap());
    drop(record);
    nothing_is_left("the record of tokens");
}

/// Rule 27, for the vault: after items were encrypted and decrypted.
#[test]
fn rule_27_the_vault_keeps_no_plaintext_in_memory() {
    let (needle, home) = (Needle::new(), home());
    let context = Context {
        environment: Environment::of(home.environment()),
        ..Context::process()
    };
    let item = Item::from_account("prod_0123abcd/tokens").unwrap();
    let vault = Keychains::new(home.store(), false, false, &context).of(KeychainKind::Vault);
    for _ in 0..3 {
        let record = tokens(&needle).to_record();
        vault.set(&item, &record).unwrap();
        drop(record);
        drop(vault.get(&item).unwrap().unwrap());
    }
    drop(vault);
    assert_eq!(needle.occurrences(), 0);
}

/// Rule 27, for a whole renewal: keychain, JSON, HTTP and TLS. It runs in a process of its own,
/// because the practice portal in this one keeps every secret.
#[test]
fn rule_27_a_whole_renewal_leaves_nothing_in_memory() {
    let (portal, home) = (Portal::start(PortalVersion::Enterprise114), home());
    let needle = Needle::new();
    portal.set(|rules| rules.app_mut(SERVICE_ID).secret = needle.text());
    add_application_with(&home, &portal, "service", SERVICE_ID, &needle.text());
    let said = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "memory::renewal"])
        .env_clear()
        .envs(home.environment())
        .env("AGE_OAUTH_TEST_NEEDLE", hex(&needle.0))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(portal.grants(), ["client_credentials"]);
}

/// The part of the test above that runs in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn renewal() {
    let Ok(needle) = std::env::var("AGE_OAUTH_TEST_NEEDLE") else {
        return;
    };
    let secret = Needle(
        (0..needle.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&needle[at..at + 2], 16).unwrap())
            .collect(),
    );
    let context = Context::process();
    let store = ConnectionStore::open_default(&context.environment).unwrap();
    let connection = store.find(&Selector::Name("service".into())).unwrap();
    let keychain =
        Keychains::new(store.root().to_owned(), true, false, &context).of(connection.keychain);
    let session = Session::new(store, connection, keychain, context);
    let issued = session.access_token(&TokenRequest::default()).unwrap();
    let token = issued.access.secret.expose();
    let token = Needle(token.bytes().map(|byte| byte ^ MASK).collect());
    assert!(token.occurrences() > 0, "the search finds nothing");
    drop((issued, session));
    assert_eq!(token.occurrences(), 0, "the access token");
    assert_eq!(secret.occurrences(), 0, "the client secret");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Rule 26: a process that holds secrets leaves no core dump, and a child of `exec` may leave one
/// as usual.
#[test]
fn rule_26_a_process_that_holds_secrets_leaves_no_core_dump() {
    let (portal, home) = signed_in();
    let gate = Gate::new();
    portal.set(|rules| rules.fault(Endpoint::Refresh, Fault::HoldBefore(gate.clone())));
    let script = "ulimit -S -c unlimited 2>/dev/null || true; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(home.program())
        .args(["token", "--force"])
        .env_clear()
        .envs(home.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gate.await_arrivals(1);
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // This signal dumps core wherever that is allowed. QUIT would do so as well, but a parent such
    // as `nohup … &` or cron may have it ignored in all its children.
    send_signal("ABRT", child.id());
    let ended = child.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    gate.open();

    let limit = home
        .run(["exec", "--", "sh", "-c", "ulimit -S -c"])
        .done()
        .ok();
    let here = Command::new("sh")
        .args(["-c", "ulimit -S -c"])
        .output()
        .unwrap();
    assert_eq!(limit.stdout, String::from_utf8_lossy(&here.stdout));
}
