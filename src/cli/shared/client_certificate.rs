//! The client certificate that `add` and `edit` read, check and describe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use zeroize::Zeroizing;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, local_and_left, shell_quoted};
use crate::cli::hints;
use crate::cli::shared::{certificate_store, secret_file};
use crate::cli::CommandContext;
use crate::connection::{
    CertificateSource, ClientCertificateSetting, Connection, KeychainKind, Pkcs11Uri, PortalUrls,
    StoreCertificate,
};
use crate::context::{Context, Environment};
use crate::error::{Error, FileAction};
use crate::event::{Event, Wait};
use crate::files;
use crate::http::{
    self, ClientCertificate, ClientCertificateError, PinUse, Presented, StoreEntry,
    MAX_CERTIFICATES,
};
use crate::manage::{self, NewClientCertificate};
use crate::policy;
use crate::secret::Secret;
use crate::session::Session;
use crate::store::ConnectionStore;

/// What the setting is called in messages.
const NAME: &str = "client certificate";

// Not a doc comment: clap would take it for the command's description.
#[derive(Args, Clone, Debug, Default)]
#[allow(clippy::struct_field_names)] // They are the names of the options.
pub(in crate::cli) struct ClientCertificateArgs {
    /// Client certificate to present; also store:…, pkcs11:…
    #[arg(long, value_name = "FILE|none")]
    client_cert: Option<String>,
    /// Read its password from standard input (or …-file FILE)
    #[arg(long, requires = "client_cert", conflicts_with_all = ["client_secret_stdin", "api_key_stdin", "client_cert_password_file"])]
    client_cert_password_stdin: bool,
    // Hidden: its name would widen the whole column of the help.
    /// Read the password of the client certificate from a file
    #[arg(long, value_name = "FILE", requires = "client_cert", hide = true)]
    client_cert_password_file: Option<PathBuf>,
}

impl ClientCertificateArgs {
    /// Whether an option concerns the client certificate.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.client_cert.is_some()
    }
}

/// What the options say about the client certificate.
pub(in crate::cli) enum GivenCertificate {
    Nothing,
    None,
    Certificate(Box<Loaded>),
}

/// A client certificate that was read.
pub(in crate::cli) struct Loaded {
    /// To ask the portal with.
    pub(in crate::cli) certificate: Arc<ClientCertificate>,
    /// To store.
    pub(in crate::cli) new: NewClientCertificate,
}

/// Reads the certificate that the options name, and asks for its password where it needs one and
/// there is a terminal.
pub(in crate::cli) fn given(
    ctx: &mut CommandContext,
    args: &ClientCertificateArgs,
) -> Result<GivenCertificate, Failure> {
    let Some(text) = args.client_cert.as_deref().map(str::trim) else {
        return Ok(GivenCertificate::Nothing);
    };
    if text.eq_ignore_ascii_case("none") {
        return Ok(GivenCertificate::None);
    }
    load(ctx, args, text).map(GivenCertificate::Certificate)
}

/// Reads the certificate in a file that a person named in answer to a question.
pub(in crate::cli) fn from_file(
    ctx: &mut CommandContext,
    text: &str,
) -> Result<Box<Loaded>, Failure> {
    load(ctx, &ClientCertificateArgs::default(), text.trim())
}

fn load(
    ctx: &mut CommandContext,
    args: &ClientCertificateArgs,
    text: &str,
) -> Result<Box<Loaded>, Failure> {
    if text.starts_with(Pkcs11Uri::SCHEME) {
        return on_token(ctx, args, text);
    }
    if let Some(name) = text.strip_prefix(StoreCertificate::SCHEME) {
        return in_store(ctx, args, name);
    }
    let (path, by_reference) = match text.strip_prefix(CertificateSource::FILE) {
        Some(path) => (path.trim(), true),
        None => (text, false),
    };
    if path.is_empty() {
        return Err(invalid("no file is named").into());
    }
    let file = ctx.context.environment.expand(path);
    if !by_reference && is_store_without_colon(path) && !file.is_file() {
        return Err(Failure::usage_hint(
            format!("`{path}` is not a file"),
            format!(
                "for the Windows certificate store, with a colon: --client-cert {}",
                StoreCertificate::SCHEME
            ),
        ));
    }
    // What is read at each use must be a file that stays.
    let bytes = if by_reference {
        files::read_user_file(&file, MAX_CERTIFICATES)
    } else {
        files::read_user_file_or_pipe(&file, MAX_CERTIFICATES, ctx.context.deadline)
    };
    let bytes = bytes.map_err(Error::file(FileAction::Read, &file))?;
    let place = Place {
        name: file.display().to_string(),
        password: "password",
    };
    let mut read = |password: Option<&Secret>| ClientCertificate::read(&bytes, password);
    let password = password(ctx, args)?;
    let (certificate, password) = open(ctx, &place, &mut read, password)?;
    check(ctx, &place, &certificate)?;
    let source = if by_reference {
        CertificateSource::File(file.clone())
    } else {
        CertificateSource::Keychain
    };
    Ok(Box::new(Loaded {
        new: NewClientCertificate::new(&certificate, source, Some(file), password),
        certificate: Arc::new(certificate),
    }))
}

/// `store`, or `Store:` and so on: words that mean the Windows certificate store, and would be
/// taken for the name of a file.
fn is_store_without_colon(text: &str) -> bool {
    let word = text.split_once(':').map_or(text, |(word, _)| word);
    word.eq_ignore_ascii_case(StoreCertificate::SCHEME.trim_end_matches(':'))
}

/// A certificate on a smart card or another PKCS#11 token.
fn on_token(
    ctx: &mut CommandContext,
    args: &ClientCertificateArgs,
    text: &str,
) -> Result<Box<Loaded>, Failure> {
    let uri: Pkcs11Uri = text.parse()?;
    let place = Place {
        name: text.to_owned(),
        password: "PIN",
    };
    let context = ctx.context.clone();
    let mut read = |pin: Option<&Secret>| {
        // Only the reader knows whether it asks for the PIN itself.
        let asks = pin.is_none();
        if asks {
            context.emit(&Event::Waiting(Wait::Token));
        }
        let read = ClientCertificate::on_token(&uri, pin, PinUse::Choosing, &context);
        if asks {
            context.emit(&Event::WaitOver);
        }
        read
    };
    let pin = password(ctx, args)?;
    let (certificate, pin) = open(ctx, &place, &mut read, pin)?;
    check(ctx, &place, &certificate)?;
    let source = CertificateSource::Token(uri.clone());
    Ok(Box::new(Loaded {
        new: NewClientCertificate::new(&certificate, source, None, pin),
        certificate: Arc::new(certificate),
    }))
}

/// A certificate of the Windows certificate store, which a person names or chooses.
fn in_store(
    ctx: &mut CommandContext,
    args: &ClientCertificateArgs,
    name: &str,
) -> Result<Box<Loaded>, Failure> {
    if args.client_cert_password_stdin || args.client_cert_password_file.is_some() {
        return Err(invalid(
            "one of the Windows certificate store has no password here; if a PIN is needed, Windows asks for it",
        )
        .into());
    }
    let entry = certificate_store::chosen(ctx, name)?;
    from_store(ctx, &entry)
}

/// This certificate of the Windows certificate store.
pub(in crate::cli) fn from_store(
    ctx: &CommandContext,
    entry: &StoreEntry,
) -> Result<Box<Loaded>, Failure> {
    let place = Place {
        name: entry.certificate.to_string(),
        password: "PIN",
    };
    let context = Context {
        attended: ctx.attended(),
        ..ctx.context.clone()
    };
    let loaded = ClientCertificate::in_store(&entry.certificate, &context);
    let certificate = loaded
        .map_err(certificate_store::failed)?
        .ok_or_else(|| about(&place, "it is no longer in the Windows certificate store"))?;
    check(ctx, &place, &certificate)?;
    let source = CertificateSource::Store(entry.certificate);
    Ok(Box::new(Loaded {
        new: NewClientCertificate::new(&certificate, source, None, None),
        certificate: Arc::new(certificate),
    }))
}

/// Where a certificate is, and what its secret is called there.
struct Place {
    name: String,
    password: &'static str,
}

fn invalid(why: impl Into<String>) -> Error {
    Error::invalid(NAME, why)
}

fn about(place: &Place, why: &str) -> Error {
    invalid(format!("`{}`: {why}", place.name))
}

fn wrong(place: &Place) -> String {
    format!("the {} is wrong", place.password)
}

/// The password that an option gives.
fn password(
    ctx: &mut CommandContext,
    args: &ClientCertificateArgs,
) -> Result<Option<Secret>, Failure> {
    if let Some(path) = &args.client_cert_password_file {
        let text = secret_file::read(ctx, path)?;
        return Ok(Some(without_line_end(&text)));
    }
    if args.client_cert_password_stdin {
        let text = ctx.read_input("the password")?;
        return Ok(Some(without_line_end(&text)));
    }
    Ok(None)
}

/// A password may begin or end with blanks, and does not contain the end of its line.
fn without_line_end(text: &Secret) -> Secret {
    Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned())
}

type Opened = (ClientCertificate, Option<Secret>);

/// Reads a certificate with this password.
type Read<'a> =
    &'a mut dyn FnMut(Option<&Secret>) -> Result<ClientCertificate, ClientCertificateError>;

fn open(
    ctx: &mut CommandContext,
    place: &Place,
    read: Read<'_>,
    password: Option<Secret>,
) -> Result<Opened, Failure> {
    match read(password.as_ref()) {
        Ok(certificate) => Ok((certificate, password)),
        Err(ClientCertificateError::PasswordNeeded) if ctx.can_ask() => ask(ctx, place, read),
        Err(ClientCertificateError::PasswordNeeded) => Err(Failure::usage_hint(
            format!("`{}` is protected by a {}", place.name, place.password),
            "give --client-cert-password-stdin or --client-cert-password-file",
        )),
        Err(ClientCertificateError::WrongPassword) => Err(about(place, &wrong(place)).into()),
        Err(ClientCertificateError::Unusable(why)) => Err(about(place, &why).into()),
    }
}

fn ask(ctx: &mut CommandContext, place: &Place, read: Read<'_>) -> Result<Opened, Failure> {
    let question = match place.password {
        "PIN" => format!("PIN for {} (not shown while you type)", escape(&place.name)),
        _ => format!(
            "Password of {} (not shown while you type)",
            escape(&place.name)
        ),
    };
    let mut last = None;
    let password = ctx.system.ask.secret(&question, &mut |text| {
        let attempt = read(Some(&Secret::new(text.to_owned())));
        let refused = match attempt {
            Err(ClientCertificateError::WrongPassword) => Some(wrong(place)),
            // Nothing was typed.
            Err(ClientCertificateError::PasswordNeeded) => {
                Some(format!("the {} is needed", place.password))
            }
            Ok(_) | Err(ClientCertificateError::Unusable(_)) => None,
        };
        last = Some(attempt);
        refused.map_or(Ok(()), Err)
    })?;
    match last {
        Some(Ok(certificate)) => Ok((certificate, Some(password))),
        Some(Err(ClientCertificateError::Unusable(why))) => Err(about(place, &why).into()),
        _ => Err(about(place, &wrong(place)).into()),
    }
}

/// Refuses a certificate that has expired, and warns of what web servers may reject.
fn check(
    ctx: &CommandContext,
    place: &Place,
    certificate: &ClientCertificate,
) -> Result<(), Failure> {
    let now = ctx.context.now();
    let end = certificate.not_after();
    let subject = &certificate.facts().subject;
    if end <= now {
        let end = local_and_left(end, now, &ctx.system.zone);
        return Err(about(
            place,
            &format!("the certificate {subject} expired on {end}"),
        )
        .into());
    }
    for doubt in certificate.doubts(now) {
        ctx.console
            .warn(&format!("the client certificate {subject}: {doubt}"));
    }
    Ok(())
}

/// Refuses what is presented to web servers where the portal turns out to be at another origin than
/// it was chosen for.
pub(in crate::cli) fn check_found(
    asked: &PortalUrls,
    found: &PortalUrls,
    presented: &Presented,
) -> Outcome {
    let hinted = |error| {
        let option = match found.separate_api_url() {
            Some(_) => "--api-url",
            None => "--portal",
        };
        let hint = format!(
            "if it was meant for that server: {option} {}",
            found.api_url()
        );
        Failure::Hinted { error, hint }
    };
    if presented.certificate.is_some() {
        manage::check_certificate_stays(asked, found).map_err(hinted)?;
    }
    if presented.windows.is_some() {
        manage::check_windows_sign_in_stays(asked, found).map_err(hinted)?;
    }
    Ok(())
}

/// Says what is stored, and what becomes of the file.
pub(in crate::cli) fn describe(
    ctx: &CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
    new: &NewClientCertificate,
) {
    let setting = &new.setting;
    let file = new
        .file
        .as_deref()
        .map(|file| escape(&file.display().to_string()));
    let file = file.unwrap_or_default();
    ctx.console.info(&format!(
        "Client certificate: {}, until {}",
        escape(&setting.subject),
        local_and_left(setting.not_after, ctx.context.now(), &ctx.system.zone)
    ));
    ctx.console.info(&match setting.source {
        CertificateSource::Keychain => format!(
            "It is stored in {} with its private key; the file {file} may be deleted.",
            connection.keychain.display_name()
        ),
        CertificateSource::File(_) if new.has_password() => {
            format!("The file {file} is read at each use; only its password is stored.")
        }
        CertificateSource::File(_) => format!("The file {file} is read at each use."),
        CertificateSource::Token(_) if new.has_password() => {
            "Its private key stays on the token, which is needed at each use; the PIN is stored."
                .to_owned()
        }
        CertificateSource::Token(_) => {
            "Its private key stays on the token, which is needed at each use.".to_owned()
        }
        CertificateSource::Store(_) => {
            "It stays in the Windows certificate store with its private key; nothing of it is stored here."
                .to_owned()
        }
    });
    match &setting.source {
        CertificateSource::Keychain => warn_about_key_file(ctx, store, connection.keychain),
        CertificateSource::File(path) => {
            if let Some((warning, hint)) = exposed(path, &ctx.context.environment) {
                ctx.console.warn(&format!("{warning}: {hint}"));
            }
        }
        CertificateSource::Token(_) | CertificateSource::Store(_) => {}
    }
}

/// The warning that other users may read a private key that no password protects, and the command
/// that ends it.
pub(in crate::cli) fn exposed(path: &Path, environment: &Environment) -> Option<(String, String)> {
    let exposed = files::exposed(path, environment)?;
    let bytes = Zeroizing::new(files::read_user_file(path, MAX_CERTIFICATES).ok()?);
    ClientCertificate::read(&bytes, None).ok()?;
    Some((
        format!(
            "other users may read {} (mode {:04o}), whose private key has no password",
            escape(&path.display().to_string()),
            exposed.mode
        ),
        hints::close_file(path, exposed.closed_mode),
    ))
}

/// A copy of the vault together with the key beside it is a copy of the private key.
fn warn_about_key_file(ctx: &CommandContext, store: &ConnectionStore, kind: KeychainKind) {
    if kind != KeychainKind::Vault {
        return;
    }
    let places = ctx.keychains(store).vault_key_places().unwrap_or_default();
    let own = places.iter().find(|place| place.is_own);
    if let Some(file) = own.and_then(|place| place.file.as_deref()) {
        ctx.console.warn(&format!(
            "the vault holds a private key now, and the vault's own key is in the file {}; a person who copies both has the private key. To use a passphrase instead: age-oauth vault rekey --passphrase",
            file.display()
        ));
    }
}

/// Whose the certificate is, for people. That of a PKCS#11 token is not read for it.
pub(in crate::cli) fn shown_subject(setting: &ClientCertificateSetting) -> String {
    let subject = &setting.subject;
    match setting.source {
        CertificateSource::Keychain | CertificateSource::File(_) | CertificateSource::Store(_) => {
            subject.clone()
        }
        CertificateSource::Token(_) => format!("{subject}, as stored with the connection"),
    }
}

/// Whether the client certificate expires soon by what `meta.json` says, or may. It decides alone
/// whether every command reads the certificate, so that one from the keychain costs no access to
/// the keychain for most of its life. What is shown comes from the certificate. A `meta.json` that
/// was changed can only omit this reminder: `status --check`, `doctor` and `show` read always.
pub(in crate::cli) fn may_expire_soon(
    ctx: &CommandContext,
    setting: &ClientCertificateSetting,
) -> bool {
    match setting.source {
        CertificateSource::Keychain | CertificateSource::Token(_) => policy::expires_within(
            setting.not_after,
            policy::command_line::CLIENT_CERTIFICATE_EXPIRES_SOON,
            ctx.context.now(),
        ),
        // Another program may have renewed or removed it.
        CertificateSource::File(_) | CertificateSource::Store(_) => true,
    }
}

/// The warning that a client certificate has expired, or will `within` this time.
pub(in crate::cli) fn expiry_warning(
    ctx: &CommandContext,
    session: &Session,
    within: SignedDuration,
) -> Result<Option<String>, Error> {
    let Some(setting) = session.client_certificate_facts()? else {
        return Ok(None);
    };
    let now = ctx.context.now();
    let verb = if setting.not_after <= now {
        "expired"
    } else {
        "expires"
    };
    let warning = format!(
        "the client certificate of `{}` ({}) {verb} on {}",
        session.connection().label,
        shown_subject(&setting),
        local_and_left(setting.not_after, now, &ctx.system.zone)
    );
    Ok(Some(warning).filter(|_| policy::expires_within(setting.not_after, within, now)))
}

/// What to do about a client certificate that expires.
pub(in crate::cli) fn replace_hint(ctx: &Context, connection: &Connection) -> String {
    let setting = connection.client_certificate.as_ref();
    match setting.map(|setting| &setting.source) {
        Some(CertificateSource::File(path)) => {
            format!("put the renewed certificate into {}", path.display())
        }
        Some(CertificateSource::Token(uri)) => format!(
            "age-oauth connections edit {} --client-cert {}",
            shell_quoted(connection.label.as_str()),
            shell_quoted(&uri.to_string())
        ),
        Some(CertificateSource::Store(_)) => {
            let renewed = setting.and_then(|former| http::renewed_in_store(former, ctx.now()));
            format!(
                "age-oauth connections edit {} --client-cert {}",
                shell_quoted(connection.label.as_str()),
                renewed.map_or_else(|| StoreCertificate::SCHEME.to_owned(), |one| one.source)
            )
        }
        Some(CertificateSource::Keychain) | None => format!(
            "age-oauth connections edit {} --client-cert FILE.p12",
            shell_quoted(connection.label.as_str())
        ),
    }
}
