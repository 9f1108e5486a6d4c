//! Client certificates on smart cards and other PKCS#11 tokens. The private key stays there: the
//! token signs what TLS asks for.

use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc, Mutex, OnceLock};
use std::thread;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use ring::digest;
use rustls::pki_types::CertificateDer;

use super::certificate::{parse, validity};
use super::client_certificate::ClientCertificate;
use super::client_certificate_file::ClientCertificateError;
use super::pkcs11::PinUse;
use super::pkcs11_signer::TokenKey;
use crate::connection::{Pkcs11Uri, TokenName};
use crate::context::{Context, Environment};
use crate::env;
use crate::policy::{KEYCHAIN_TIMEOUT_INTERACTIVE, TOKEN_TIMEOUT};
use crate::secret::Secret;
use crate::util::lock;

/// Where systems have the library that knows all others (p11-kit), or that of `OpenSC`.
const LIBRARIES: &[&str] = if cfg!(target_os = "macos") {
    &[
        "/opt/homebrew/lib/p11-kit-proxy.dylib",
        "/usr/local/lib/p11-kit-proxy.dylib",
        "/Library/OpenSC/lib/opensc-pkcs11.so",
    ]
} else {
    &[
        "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so",
        "/usr/lib/aarch64-linux-gnu/p11-kit-proxy.so",
        "/usr/lib64/p11-kit-proxy.so",
        "/usr/lib/p11-kit-proxy.so",
    ]
};

type Read<T> = Result<T, ClientCertificateError>;

fn unusable(why: impl Into<String>) -> ClientCertificateError {
    ClientCertificateError::Unusable(why.into())
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` calls it.
fn failed(error: TokenError) -> ClientCertificateError {
    match &error {
        TokenError::Pkcs11(value, function) => {
            unusable(format!("the token failed ({function:?}: {value:?})"))
        }
        other => unusable(format!("the token failed ({other})")),
    }
}

/// The certificate at this address, whose private key signs on its token. A token, or the service
/// for readers, that does not answer is left alone: its calls cannot be canceled.
pub(super) fn read_in_time(
    uri: &Pkcs11Uri,
    pin: Option<&Secret>,
    pin_use: PinUse,
    context: &Context,
) -> Read<ClientCertificate> {
    let limit = context.deadline.bound(match pin_use {
        PinUse::Choosing | PinUse::Attended => KEYCHAIN_TIMEOUT_INTERACTIVE,
        PinUse::Unattended => TOKEN_TIMEOUT,
    });
    let (uri, pin) = (uri.clone(), pin.map(Secret::duplicate));
    let environment = context.environment.clone();
    let (sender, answer) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let read = read(&uri, pin.as_ref(), pin_use, &environment);
        // The receiver may have given up.
        let _ = sender.send(read);
    });
    let silent = || {
        unusable(format!(
            "there was no answer within {:.1}s",
            limit.as_secs_f32()
        ))
    };
    answer.recv_timeout(limit).map_err(|_| silent())?
}

fn read(
    uri: &Pkcs11Uri,
    pin: Option<&Secret>,
    pin_use: PinUse,
    environment: &Environment,
) -> Read<ClientCertificate> {
    // One after the other: several connections may have the same PIN, and it may be wrong. Nor does
    // every library bear calls of several threads.
    let mut wrong_pins = lock(&WRONG_PINS);
    let library = library(environment)?;
    let slot = slot(library, &uri.token)?;
    let session = library.open_ro_session(slot).map_err(failed)?;
    let info = library.get_token_info(slot).map_err(failed)?;
    log_in(&session, &info, pin, pin_use, &mut wrong_pins)?;
    let found = find(&session, uri)?;
    let mechanisms = library.get_mechanism_list(slot).map_err(failed)?;
    let others = certificates(&session, &[])?;
    let others: Vec<_> = others.into_iter().map(|one| one.der).collect();
    let key =
        TokenKey::new(session, found.key, &found.certificate, &mechanisms).map_err(unusable)?;
    if pin_use == PinUse::Choosing {
        key.prove().map_err(unusable)?;
    }
    ClientCertificate::with_key(&found.certificate, &others, Arc::new(key)).map_err(unusable)
}

/// The library, which can be initialized once in a process.
fn library(environment: &Environment) -> Read<&'static Pkcs11> {
    static LOADED: OnceLock<Pkcs11> = OnceLock::new();
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    let path = library_path(environment)?;
    let loaded = Pkcs11::new(&path).map_err(|error| {
        unusable(format!(
            "the library {} cannot be loaded: {error}",
            path.display()
        ))
    })?;
    match loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(LOADED.get_or_init(|| loaded))
}

fn library_path(environment: &Environment) -> Read<PathBuf> {
    let named = environment
        .absolute_path(env::AGE_OAUTH_PKCS11_MODULE)
        .map_err(|error| unusable(error.to_string()))?;
    if let Some(path) = named {
        if !path.is_absolute() {
            return Err(unusable(format!(
                "{} is not a whole path",
                env::AGE_OAUTH_PKCS11_MODULE
            )));
        }
        return Ok(path);
    }
    let known = LIBRARIES.iter().map(Path::new).find(|path| path.is_file());
    known.map(Path::to_owned).ok_or_else(|| {
        unusable(format!(
            "this system has no p11-kit (Debian, Ubuntu: p11-kit-modules; Red Hat: p11-kit); or name the library of the token: {}=/path/to/library.so",
            env::AGE_OAUTH_PKCS11_MODULE
        ))
    })
}

/// The reader that holds the token.
fn slot(library: &Pkcs11, wanted: &TokenName) -> Read<Slot> {
    let slots = library.get_slots_with_initialized_token().map_err(failed)?;
    let tokens = slots
        .into_iter()
        .filter_map(|slot| Some((slot, library.get_token_info(slot).ok()?)));
    let (mut found, others): (Vec<_>, Vec<_>) = tokens.partition(|(_, info)| is(wanted, info));
    match (found.pop(), found.is_empty()) {
        (Some((slot, _)), true) => Ok(slot),
        (Some(_), false) => Err(unusable(
            "several tokens fit it; add serial=… to the address",
        )),
        (None, _) => Err(unusable(match names(&others) {
            names if names.is_empty() => "no token is in a reader".to_owned(),
            names => format!("no token of this name is in a reader; there is: {names}"),
        })),
    }
}

fn is(wanted: &TokenName, info: &TokenInfo) -> bool {
    let fits = |wanted: &Option<String>, is: &str| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted == is.trim_end())
    };
    fits(&wanted.label, info.label())
        && fits(&wanted.serial, info.serial_number())
        && fits(&wanted.model, info.model())
        && fits(&wanted.manufacturer, info.manufacturer_id())
}

fn names(tokens: &[(Slot, TokenInfo)]) -> String {
    let labels: Vec<_> = tokens
        .iter()
        .map(|(_, info)| info.label().trim_end())
        .collect();
    labels.join(", ")
}

/// The PINs that were wrong in this process, each with its token, as digests.
static WRONG_PINS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn log_in(
    session: &Session,
    info: &TokenInfo,
    pin: Option<&Secret>,
    pin_use: PinUse,
    wrong_pins: &mut Vec<Vec<u8>>,
) -> Read<()> {
    if !info.login_required() {
        return Ok(());
    }
    let pin = pin_to_try(info, pin, pin_use)?;
    let attempt = pin.map(|pin| attempt(info, pin));
    let was_wrong = attempt
        .as_ref()
        .is_some_and(|attempt| wrong_pins.contains(attempt));
    if was_wrong && pin_use != PinUse::Choosing {
        return Err(ClientCertificateError::WrongPassword);
    }
    let pin = pin.map(|pin| AuthPin::from(pin.expose()));
    let log_in = || session.login(UserType::User, pin.as_ref());
    let mut logged_in = log_in();
    let is_already = |result: &Result<(), TokenError>| {
        matches!(
            result,
            Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _))
        )
    };
    // A token that is logged in takes any PIN, and this one is stored.
    if pin_use == PinUse::Choosing && is_already(&logged_in) {
        session.logout().map_err(failed)?;
        logged_in = log_in();
    }
    match logged_in {
        Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
            wrong_pins.extend(attempt);
            Err(ClientCertificateError::WrongPassword)
        }
        Err(TokenError::Pkcs11(RvError::PinLocked, _)) => Err(unusable(LOCKED)),
        Err(error) => Err(failed(error)),
    }
}

const LOCKED: &str = "its PIN is locked; unlock it with the tool of the token";

/// The PIN, where it may be tried; `None` where the reader asks for it.
fn pin_to_try<'a>(
    info: &TokenInfo,
    pin: Option<&'a Secret>,
    pin_use: PinUse,
) -> Read<Option<&'a Secret>> {
    if info.user_pin_locked() {
        return Err(unusable(LOCKED));
    }
    let at_reader = info.protected_authentication_path();
    if at_reader && pin_use == PinUse::Unattended {
        return Err(unusable(
            "its PIN is entered at the reader, which only a person can do",
        ));
    }
    // An empty PIN is none; the token would count it as a wrong one.
    let pin = pin.filter(|pin| !pin.expose().is_empty());
    if pin.is_none() && !at_reader {
        return Err(ClientCertificateError::PasswordNeeded);
    }
    if info.user_pin_final_try() {
        return Err(unusable(
            "one wrong PIN more would lock it; enter the right one with another program first",
        ));
    }
    if info.user_pin_count_low() && pin_use != PinUse::Choosing && !at_reader {
        return Err(unusable(
            "a wrong PIN was entered before; the stored PIN is not tried, because the token would lock itself",
        ));
    }
    Ok(pin.filter(|_| !at_reader))
}

fn attempt(info: &TokenInfo, pin: &Secret) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [
        info.manufacturer_id(),
        info.serial_number(),
        info.label(),
        pin.expose(),
    ] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.finish().as_ref().to_vec()
}

/// A certificate on the token.
struct OnToken {
    der: CertificateDer<'static>,
    id: Vec<u8>,
    label: String,
}

/// A certificate with its private key.
struct Found {
    certificate: CertificateDer<'static>,
    key: ObjectHandle,
}

fn certificates(session: &Session, named: &[Attribute]) -> Read<Vec<OnToken>> {
    let mut template = vec![
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
    ];
    template.extend_from_slice(named);
    let wanted = [
        AttributeType::Value,
        AttributeType::Id,
        AttributeType::Label,
    ];
    let mut found = Vec::new();
    for handle in session.find_objects(&template).map_err(failed)? {
        let (mut der, mut id, mut label) = (Vec::new(), Vec::new(), Vec::new());
        for attribute in session.get_attributes(handle, &wanted).map_err(failed)? {
            match attribute {
                Attribute::Value(value) => der = value,
                Attribute::Id(value) => id = value,
                Attribute::Label(value) => label = value,
                _ => {}
            }
        }
        if parse(&der).is_some() {
            found.push(OnToken {
                der: der.into(),
                id,
                label: String::from_utf8_lossy(&label).into_owned(),
            });
        }
    }
    Ok(found)
}

/// The certificate that the address names, and its private key. Of several of one key, the one that
/// lives longest: a renewed certificate may have the key of the former one.
fn find(session: &Session, uri: &Pkcs11Uri) -> Read<Found> {
    let label = uri.object.label.as_deref();
    let label = label.map(|label| Attribute::Label(label.into()));
    let id = uri.object.id.clone().map(Attribute::Id);
    let named: Vec<_> = label.into_iter().chain(id).collect();
    let mut usable = Vec::new();
    for one in certificates(session, &named)? {
        if let Some(key) = private_key(session, &one.id)? {
            usable.push((one, key));
        }
    }
    usable.sort_by_key(|(one, _)| validity(&one.der).map(|(_, end)| end));
    let Some((best, key)) = usable.pop() else {
        return Err(unusable(
            "the token has no certificate of this name with its private key",
        ));
    };
    if usable.iter().any(|(other, _)| other.id != best.id) {
        let labels: Vec<_> = usable.iter().map(|(one, _)| &*one.label).collect();
        return Err(unusable(format!(
            "several certificates fit it ({}, {}); add object=… or id=… to the address",
            labels.join(", "),
            best.label
        )));
    }
    Ok(Found {
        certificate: best.der,
        key,
    })
}

fn private_key(session: &Session, id: &[u8]) -> Read<Option<ObjectHandle>> {
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(id.to_vec()),
    ];
    let found = session.find_objects(&template).map_err(failed)?;
    Ok(found.first().copied())
}
