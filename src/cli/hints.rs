//! What to run next after an error of the library. Chosen by type; every `match` lists all
//! variants, so that a new error or reason does not compile until it has a hint.

use std::io;
use std::path::Path;

use super::format::{argument, connection_option, escape, shell_quoted};
use super::shared::duration::words;
use crate::bound_setting::BoundSetting;
use crate::connection::{fold, RedirectUri, StoreCertificate};
use crate::env;
use crate::error::{
    ApiKeyProblem, CertificateRole, ConnectionFault, Error, FileAction, Forbidden, Input,
    KerberosProblem, KeyProblem, KeychainError, KeychainReason, Overridden, PolicyRefusal,
    PrintedSecret, ProxyDemand, Refusal, SecretCommandFailure, SignInNeeded, StoreProblem,
    TlsFailure, TlsFailureKind, Unreachable, WindowsSignInFailure,
};
use crate::http;
use crate::keychain::ItemKind;
use crate::policy::{self, api_key_seconds, MinTtl};

/// The command to run or the thing to do next, where there is one.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::File { action, source, .. } => file(*action, source),
        Error::Listen { source, .. } => Some(listen(source, "NAME")),
        Error::Random | Error::Corrupt { .. } => None,
        Error::UnusableConnection { path, fault, .. } => Some(unusable_connection(path, *fault)),
        Error::Invalid { what, .. } => invalid(*what),
        Error::SignInNeeded { connection, why } => Some(sign_in(connection, why)),
        Error::ApiKey {
            connection,
            is_printed,
            why,
        } => Some(api_key(connection, *is_printed, why)),
        Error::NoConnection { wanted, known, .. } => Some(no_connection(wanted.as_deref(), known)),
        Error::NameTaken { label } => Some(format!(
            "choose another label, or update it: age-oauth connections edit {}",
            shell_quoted(label)
        )),
        Error::Ambiguous { wanted, .. } => Some(match wanted {
            Some(_) => "give more characters of the ID".into(),
            None => {
                "choose one with -c NAME, or set a default: age-oauth connections use NAME".into()
            }
        }),
        Error::Keychain {
            connection,
            item,
            error,
        } => keychain(connection.as_deref(), *item, error),
        Error::SecretCommand {
            connection,
            secret,
            why,
            ..
        } => Some(secret_command(connection.as_deref(), *secret, why)),
        Error::ClientCertificate { connection, why } => {
            Some(store_problem(connection.as_deref(), why))
        }
        Error::Unreachable {
            connection, why, ..
        } => unreachable(connection.as_deref(), why),
        Error::Refused {
            connection,
            url,
            why,
        } => refused(connection.as_deref(), url, why),
        Error::Busy { pid, .. } => Some(match pid {
            Some(pid) => format!("try again; if process {pid} hangs, end it"),
            None => "try again".into(),
        }),
        Error::UnusablePolicy { .. } => Some(
            "until an administrator of this machine corrects it, no command runs except: age-oauth doctor"
                .into(),
        ),
        Error::Forbidden(refusal) => Some(forbidden(refusal)),
    }
}

/// What fits the policy of the machine, or who can change it.
fn forbidden(refusal: &PolicyRefusal) -> String {
    const ASK: &str = "or ask an administrator of this machine; age-oauth doctor shows the policy";
    let edit = |option: &str| edit(refusal.connection.as_deref(), option);
    let instead = match &refusal.what {
        Forbidden::Portal(_) => {
            return "only an administrator of this machine can allow it; to see what the policy allows: age-oauth doctor".into()
        }
        Forbidden::UnverifiedTls => edit("--verify-ssl true (or a certificate file)"),
        Forbidden::SecretArgument => "give --client-secret-stdin or --client-secret-file".into(),
        Forbidden::SecretCommand(PrintedSecret::ClientSecret) => edit("--client-secret-stdin"),
        Forbidden::SecretCommand(PrintedSecret::ApiKey) => edit("--expires DATE --api-key-stdin"),
        Forbidden::ApiKey => {
            "add a connection that signs in with OAuth (--auth-type user or app)".into()
        }
        Forbidden::Keychain(_) => edit("--keychain KIND"),
        Forbidden::OtherProxy { .. } => "leave --proxy out".into(),
        Forbidden::LongSignIn { longest } => match (&refusal.connection, refusal.overridden) {
            (Some(label), Overridden::Answer) => {
                format!("when it ends, sign in again: {}", login(label))
            }
            _ => format!("give --expiration {longest} or less"),
        },
    };
    format!("{instead}; {ASK}")
}

/// What the error says about the file comes from its content, so the hint repeats nothing of it.
pub(super) fn unusable_connection(meta: &Path, fault: ConnectionFault) -> String {
    match fault {
        ConnectionFault::Newer => {
            "install the version of age-oauth that wrote it, or a later one; the other connections work"
                .into()
        }
        ConnectionFault::Damaged => format!(
            "restore the file from a backup; if there is none, delete the folder `{}` and add the connection again: age-oauth connections add",
            escape(&meta.parent().unwrap_or(meta).display().to_string())
        ),
    }
}

fn invalid(what: Input) -> Option<String> {
    match what {
        Input::PortalUrl => Some(
            "copy the address of any page of the portal from the browser, for example https://gis.example.com/portal"
                .into(),
        ),
        Input::ApiUrl => Some(
            "ask the portal's administrator where programs reach the portal, for example https://portal01.example.com:7443/arcgis"
                .into(),
        ),
        Input::AuthType => {
            Some("give --web-tier windows or --client-cert FILE, too; or --auth-type user".into())
        }
        Input::Label => {
            Some("choose a short name, for example prod; blanks in it are allowed".into())
        }
        Input::Other(_) => None,
    }
}

fn file(action: FileAction, source: &io::Error) -> Option<String> {
    match action {
        FileAction::Lock if is_without_locks(source) => Some(format!(
            "this file system does not support locks; choose a folder on a local disk: {}=FOLDER",
            env::AGE_OAUTH_HOME
        )),
        FileAction::Restrict => Some(format!(
            "choose a folder in your profile, or on a disk that keeps access lists: {}=FOLDER",
            env::AGE_OAUTH_HOME
        )),
        FileAction::WriteOutput if is_full(source) => {
            Some("free some space, or name a file on another disk".into())
        }
        FileAction::WriteOutput if is_late_pipe(source) => Some(
            "allow more time, or see why the program at the other end of the pipe waits".into(),
        ),
        FileAction::Read if is_late_pipe(source) => {
            Some("see why the program at the other end of the pipe waits".into())
        }
        FileAction::Write | FileAction::Create | FileAction::Rename | FileAction::Lock => {
            store(source)
        }
        FileAction::Remove if is_read_only(source) => store(source),
        FileAction::Read if source.kind() == io::ErrorKind::PermissionDenied => Some(
            "let this account read it; if another account owns it (for example root, after sudo), change the owner"
                .into(),
        ),
        FileAction::Read
        | FileAction::WriteOutput
        | FileAction::Append
        | FileAction::Rotate
        | FileAction::Remove
        | FileAction::Overwrite
        | FileAction::ReadAccessList
        | FileAction::Locate => None,
    }
}

/// What to do where a file of the store cannot be written.
fn store(source: &io::Error) -> Option<String> {
    if is_full(source) {
        return Some("free some space on that disk, then run the command again".into());
    }
    is_read_only(source).then(|| {
        format!(
            "let this account write to the folder (age-oauth connections info shows it), or choose another one: {}=FOLDER",
            env::AGE_OAUTH_HOME
        )
    })
}

/// Whether a pipe was given up by this program. An error of the system, such as that of a network
/// share, has a number.
fn is_late_pipe(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::TimedOut && source.raw_os_error().is_none()
}

fn is_full(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn is_read_only(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

/// ENOLCK and EOPNOTSUPP, which network shares return; on Windows `ERROR_INVALID_FUNCTION` and
/// `ERROR_NOT_SUPPORTED`.
fn is_without_locks(source: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) {
        &[1, 50]
    } else if cfg!(target_os = "macos") {
        &[77, 45, 102]
    } else {
        &[37, 95]
    };
    source.kind() == io::ErrorKind::Unsupported
        || source
            .raw_os_error()
            .is_some_and(|code| codes.contains(&code))
}

/// What to do if the program cannot listen for the code. `name` is the connection, as it is typed.
pub(super) fn listen(source: &io::Error, name: &str) -> String {
    let paste = format!(
        "paste the code instead: age-oauth connections edit {name} --redirect-uri {}",
        RedirectUri::OutOfBand.as_str()
    );
    if source.kind() == io::ErrorKind::AddrInUse {
        format!("another program uses the port; end it, or {paste}")
    } else {
        paste
    }
}

fn login(label: &str) -> String {
    format!("age-oauth login {}", connection_option(label))
}

fn sign_in(label: &str, why: &SignInNeeded) -> String {
    let login = login(label);
    match why {
        SignInNeeded::OtherUser { .. } => format!("to change the user: {login} --switch-user"),
        SignInNeeded::VouchedForOther { stored, .. } => format!(
            "get in as `{stored}` again (for Windows sign-in: kinit); or, to use the connection as the other user: {login} --switch-user"
        ),
        SignInNeeded::TimedOut(_) => {
            format!("check whether the page in the browser shows an error, then run: {login}")
        }
        SignInNeeded::OtherPortal(_) => format!(
            "use only pages of this connection's portal; if that host is the same portal: {}",
            edit(Some(label), "--portal URL")
        ),
        SignInNeeded::Never
        | SignInNeeded::OtherMachine(_)
        | SignInNeeded::Expired
        | SignInNeeded::NoLongerAccepted
        | SignInNeeded::ExtensionLost
        | SignInNeeded::NoCode
        | SignInNeeded::NotACode
        | SignInNeeded::MismatchedResponse
        | SignInNeeded::EndedByPolicy(_) => login,
    }
}

/// What helps where the API key cannot be used.
fn api_key(label: &str, is_printed: bool, why: &ApiKeyProblem) -> String {
    let another = || another_api_key(label, is_printed);
    match why {
        ApiKeyProblem::Missing => format!("give it: {}", api_key_again(label, is_printed)),
        ApiKeyProblem::UnknownEnd => {
            format!("say when it expires: {}", edit(Some(label), "--expires DATE"))
        }
        ApiKeyProblem::TooShort { seconds_wanted, .. }
            if *seconds_wanted > api_key_seconds(MinTtl::HalfOfGranted) =>
        {
            format!("ask for less (--min-ttl), or {}", another())
        }
        // Too short is less than every command needs.
        ApiKeyProblem::Expired(_) | ApiKeyProblem::TooShort { .. } => another(),
        ApiKeyProblem::Refused => format!(
            "look at its page at the portal; if it has ended there, {}",
            another()
        ),
        ApiKeyProblem::OtherUser { .. } => format!(
            "add a connection for the other user; or, to give this one to that user, first delete its key: age-oauth logout {}",
            connection_option(label)
        ),
    }
}

/// How to put another API key in the place of one that has ended.
pub(super) fn another_api_key(label: &str, is_printed: bool) -> String {
    if is_printed {
        return format!(
            "make another key at the portal and put it where the command finds it, then say when it expires: {}",
            edit(Some(label), "--expires DATE")
        );
    }
    format!(
        "make another key at the portal, then: {}",
        api_key_again(label, is_printed)
    )
}

/// The command that stores an API key, or whose key a command prints.
pub(super) fn api_key_again(label: &str, is_printed: bool) -> String {
    let option = if is_printed {
        secret_command_option(PrintedSecret::ApiKey)
    } else {
        "--expires DATE --api-key-stdin"
    };
    edit(Some(label), option)
}

fn no_connection(wanted: Option<&str>, known: &[String]) -> String {
    let is_wanted = |label: &String| wanted.is_some_and(|wanted| fold(wanted) == fold(label));
    if known.iter().any(is_wanted) {
        return "the connection exists, but the index of labels lacks it: age-oauth doctor --fix"
            .into();
    }
    match (wanted, known.is_empty()) {
        (_, true) => "age-oauth connections add".into(),
        (Some(_), false) => "age-oauth connections list".into(),
        (None, false) => "age-oauth connections use NAME".into(),
    }
}

fn keychain(label: Option<&str>, item: Option<ItemKind>, error: &KeychainError) -> Option<String> {
    match error.reason {
        KeychainReason::Missing => Some(match label {
            None => "on a machine without a keychain, use the vault (an encrypted file): --keychain vault".into(),
            Some(label) => format!(
                "on a machine where the keychain works, move the secrets to the vault, which works everywhere: {}",
                move_to_vault(Some(label))
            ),
        }),
        KeychainReason::NoCollection => Some(format!(
            "create a keyring and make it the default, in Passwords and Keys (GNOME), KWalletManager (KDE) or KeePassXC; or use the vault (an encrypted file): {}",
            move_to_vault(label)
        )),
        KeychainReason::Denied => Some(format!(
            "a sandbox such as snap, Flatpak or AppArmor denies it; allow it there (for a snap: its interface password-manager-service), or use the vault (an encrypted file): {}",
            move_to_vault(label)
        )),
        KeychainReason::NoKey => Some(format!(
            "if there is a vault already, provide the key that sealed it, because no other one opens it; for a new vault, put 32 random bytes (openssl rand -hex 32) in a file that only you can read (chmod 600), or unset {} so that age-oauth makes a key file",
            vault_variables()
        )),
        KeychainReason::WrongKey => Some(format!(
            "provide the key that sealed it in one of these places; if that key is lost: {}",
            new_vault(label)
        )),
        KeychainReason::UnsafeKey if cfg!(windows) => Some(
            "give the file to your account alone (icacls FILE /reset, then icacls FILE /inheritance:r /grant:r ACCOUNT:F), or move it into your profile folder; if others may have read it, change the key then: age-oauth vault rekey --forget-old"
                .into(),
        ),
        KeychainReason::UnsafeKey => Some(
            "make the file yours alone (chmod 600 FILE, chown); if others may have read it, change the key then: age-oauth vault rekey --forget-old"
                .into(),
        ),
        KeychainReason::Damaged => Some(format!("restore it from a backup; if there is none: {}", new_vault(label))),
        KeychainReason::Locked if cfg!(target_os = "macos") => {
            Some("unlock the keychain, then try again: security unlock-keychain".into())
        }
        KeychainReason::Locked => Some("unlock the keychain in your desktop session, then try again".into()),
        KeychainReason::Refused if error.file.is_some() => error
            .file
            .and_then(|(action, kind)| file(action, &kind.into())),
        KeychainReason::Refused if cfg!(target_os = "macos") => Some(
            "try again and choose Always Allow; if no prompt appears: security unlock-keychain"
                .into(),
        ),
        KeychainReason::Refused | KeychainReason::Token => None,
        KeychainReason::Timeout => Some(format!(
            "the keychain may be waiting for a password; to wait longer: {}",
            wait_longer_for_keychain()
        )),
        KeychainReason::Mismatch => Some(format!(
            "choose the settings yourself: {}",
            edit(label, &flags(&error.settings))
        )),
        KeychainReason::Pin => Some(format!(
            "enter the right PIN; it is stored again: {}",
            edit(label, "--client-cert pkcs11:…")
        )),
        KeychainReason::Changed => Some("run the command again".into()),
        KeychainReason::Lost | KeychainReason::Ambiguous => {
            label.map(|label| write_again(label, item, &error.settings))
        }
    }
}

/// The option that names the command for this secret, with what it needs.
fn secret_command_option(secret: PrintedSecret) -> &'static str {
    match secret {
        PrintedSecret::ClientSecret => "--client-secret-command COMMAND",
        PrintedSecret::ApiKey => "--expires DATE --api-key-command COMMAND",
    }
}

/// What helps where another process failed. Its own hint may need facts that are not recorded.
const RUN_AGAIN: &str = "run the command again; if that fails as well, its error says what helps";

/// What helps where the command that gives the client secret failed.
fn secret_command(
    label: Option<&str>,
    secret: PrintedSecret,
    why: &SecretCommandFailure,
) -> String {
    let option = secret_command_option(secret);
    match why {
        SecretCommandFailure::NoProgram(_) => {
            format!("install it again, or name another one: {}", edit(label, option))
        }
        SecretCommandFailure::Unsafe {
            is_missing: true, ..
        } => format!(
            "name a file that is there, in a folder that only you or an administrator can write to: {}",
            edit(label, option)
        ),
        SecretCommandFailure::Unsafe { .. } => format!(
            "let only you or an administrator change it (chmod go-w, chown), or name another one: {}",
            edit(label, option)
        ),
        SecretCommandFailure::NotStarted(_) => format!(
            "run it by hand to see what is wrong, or name another one: {}",
            edit(label, option)
        ),
        SecretCommandFailure::InAnotherProcess(_) => RUN_AGAIN.into(),
        SecretCommandFailure::Timeout(_) => {
            "it may be waiting for a password, which it cannot ask for here; unlock your secret manager first, then run the command again".into()
        }
        SecretCommandFailure::Failed { .. } => {
            "unlock your secret manager or sign in to it, then run the command again".into()
        }
        SecretCommandFailure::Output(_) => format!(
            "run it by hand; it must print the {} and nothing else; to name another one: {}",
            secret.as_str(),
            edit(label, option)
        ),
    }
}

/// How to keep other users from reading a file with a secret.
pub(super) fn close_file(path: &Path, mode: u32) -> String {
    let path = shell_quoted(&path.display().to_string());
    format!("chmod {mode:o} {path}")
}

/// How to use the vault in place of the system's keychain; without a connection, for a new one.
fn move_to_vault(label: Option<&str>) -> String {
    match label {
        None => "--keychain vault".into(),
        Some(label) => format!(
            "age-oauth connections edit {} --keychain vault",
            shell_quoted(label)
        ),
    }
}

/// The variables that name a key of the vault.
fn vault_variables() -> String {
    [
        env::AGE_OAUTH_VAULT_KEY,
        env::AGE_OAUTH_VAULT_KEY_FILE,
        env::AGE_OAUTH_VAULT_PASSPHRASE,
    ]
    .join(", ")
}

/// How to start with a new vault. It holds nothing, so every secret is stored again.
fn new_vault(label: Option<&str>) -> String {
    let login = label.map_or_else(|| "age-oauth login".to_owned(), login);
    format!(
        "move the file `vault` out of the store (age-oauth connections info shows the folder), store client secrets again (age-oauth connections edit NAME --client-secret-stdin), and sign in again: {login}"
    )
}

/// The options of `connections edit` that choose these settings, as a line that a shell does not
/// take for something else.
pub(super) fn flags(settings: &[BoundSetting]) -> String {
    let flags: Vec<_> = settings
        .iter()
        .map(|setting| match setting {
            BoundSetting::Portal => "--portal URL",
            BoundSetting::ApiUrl => "--api-url URL",
            BoundSetting::ClientId => "--client-id ID",
            BoundSetting::AuthType => "--auth-type TYPE",
            BoundSetting::Verification => "--verify-ssl FILE.pem",
            BoundSetting::Proxy => "--proxy URL",
            BoundSetting::Pkce => "--pkce true",
            BoundSetting::RedirectUri => "--redirect-uri URI",
            BoundSetting::ClientCertificate => "--client-cert FILE",
            BoundSetting::WebTier => "--web-tier windows",
            BoundSetting::SecretCommand => secret_command_option(PrintedSecret::ClientSecret),
            BoundSetting::ApiKeyCommand => secret_command_option(PrintedSecret::ApiKey),
        })
        .collect();
    flags.join(" ")
}

/// `AGE_OAUTH_KEYCHAIN_TIMEOUT=60s`: the wait that is the default where a prompt can be shown.
pub(super) fn wait_longer_for_keychain() -> String {
    format!(
        "{}={}",
        env::AGE_OAUTH_KEYCHAIN_TIMEOUT,
        words(policy::KEYCHAIN_TIMEOUT_INTERACTIVE)
    )
}

/// The command that stores a client secret again, and chooses the settings that only the
/// connection's files name.
pub(super) fn client_secret_again(label: &str, settings: &[BoundSetting]) -> String {
    let command = format!(
        "age-oauth connections edit {} --client-secret-stdin",
        shell_quoted(label)
    );
    match settings {
        [] => command,
        settings => format!("{command} {}", flags(settings)),
    }
}

/// The command that stores a client certificate again.
pub(super) fn client_certificate_again(label: &str) -> String {
    client_certificate(Some(label))
}

/// How to store an item again that is missing or cannot be used.
fn write_again(label: &str, item: Option<ItemKind>, settings: &[BoundSetting]) -> String {
    match item {
        Some(ItemKind::ClientSecret) => client_secret_again(label, settings),
        Some(ItemKind::ClientCertificate) => client_certificate_again(label),
        Some(ItemKind::ApiKey) => {
            api_key_again(label, settings.contains(&BoundSetting::ApiKeyCommand))
        }
        Some(ItemKind::Tokens | ItemKind::Binding | ItemKind::Probe) | None => login(label),
    }
}

/// What to do where a client certificate of the Windows certificate store cannot be used.
fn store_problem(label: Option<&str>, why: &StoreProblem) -> String {
    match why {
        StoreProblem::NotWindows => format!(
            "use the connection on Windows, or present a certificate from a file here: {}",
            client_certificate_of(label, "FILE.p12")
        ),
        StoreProblem::Gone {
            renewed: Some(renewed),
            ..
        } => format!(
            "to present the renewed one: {}",
            client_certificate_of(label, &renewed.source)
        ),
        StoreProblem::Unreadable(_) | StoreProblem::Gone { renewed: None, .. } => {
            client_certificate_of(label, StoreCertificate::SCHEME)
        }
        StoreProblem::Key { why, .. } => key_problem(label, why),
    }
}

/// What to do where the private key of a client certificate does not sign.
fn key_problem(label: Option<&str>, why: &KeyProblem) -> String {
    match why {
        KeyProblem::Unattended => format!(
            "run it in a terminal on the desktop, without --no-input; for a task, present a certificate whose key asks for nothing: {}",
            client_certificate_of(label, "FILE.p12")
        ),
        KeyProblem::Canceled => "run the command again, and answer the question".into(),
        KeyProblem::NoCard => "insert the card, then run the command again".into(),
        KeyProblem::WrongPin => {
            "run the command again with the right PIN; a card locks itself after a few wrong ones"
                .into()
        }
        KeyProblem::PinLocked => {
            "unlock it with the program of the card, or ask the issuer of the card".into()
        }
        KeyProblem::Missing | KeyProblem::Failed(_) => format!(
            "present another certificate: {}",
            client_certificate(label)
        ),
    }
}

/// How to present another client certificate; without a connection, for a new one.
fn client_certificate(label: Option<&str>) -> String {
    if cfg!(windows) {
        let store = client_certificate_of(label, StoreCertificate::SCHEME);
        format!("{store} (or a file: --client-cert FILE.p12)")
    } else {
        client_certificate_of(label, "FILE.p12")
    }
}

/// The same for the one that this value of the option names.
fn client_certificate_of(label: Option<&str>, value: &str) -> String {
    let option = format!("--client-cert {value}");
    match label {
        Some(_) => edit(label, &option),
        None => option,
    }
}

/// The command that changes one setting of the connection.
fn edit(label: Option<&str>, flag: &str) -> String {
    match label {
        Some(label) => format!("age-oauth connections edit {} {flag}", shell_quoted(label)),
        None => format!("give {flag}"),
    }
}

fn show(label: &str) -> String {
    format!("age-oauth connections show {}", shell_quoted(label))
}

fn unreachable(label: Option<&str>, why: &Unreachable) -> Option<String> {
    match why {
        Unreachable::Tls(failure) => tls(label, failure),
        Unreachable::Proxy { demand, .. } => Some(match demand {
            ProxyDemand::Nothing => edit(label, "--proxy URL|system|none"),
            ProxyDemand::Password => {
                "set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT for this session, or ask the proxy's administrator for an exception"
                    .into()
            }
            ProxyDemand::OtherPassword => {
                "check the user name and the password in HTTPS_PROXY; special characters can be percent-encoded, for example %40 for @"
                    .into()
            }
            ProxyDemand::UnknownScheme => {
                "this program signs in to proxies by Basic only; ask the proxy's administrator for an exception for this host, or set HTTPS_PROXY to a local proxy that signs in for you (px, cntlm)"
                    .into()
            }
        }),
        Unreachable::Dns => Some(match label {
            Some(_) => "check the network and the VPN connection, then try again".into(),
            None => format!("check the portal URL: {}", edit(label, "--portal URL")),
        }),
        Unreachable::NotAPortal { .. } | Unreachable::Redirected { .. } => Some(match label {
            // A connection that works must not be changed because the portal is down or moved for a
            // night: another portal URL costs the sign-in.
            Some(label) => format!(
                "{GUEST_NETWORK}; elsewhere, try again later, or ask the portal's administrator; to see the portal URL: {}",
                show(label)
            ),
            None => format!("check the portal URL: {}", edit(label, "--portal URL")),
        }),
        Unreachable::NetworkSignIn { .. } => Some(SIGN_IN_TO_THE_NETWORK.into()),
        Unreachable::Connect(_) | Unreachable::Timeout => Some(format!(
            "check the network; behind a proxy: {}",
            edit(label, "--proxy URL")
        )),
        Unreachable::BrokenAfterCertificateRequest { .. } => Some(format!(
            "try again later; if it happens each time, present a client certificate that the web server accepts: {}",
            client_certificate(label)
        )),
        Unreachable::NoKdc => Some(
            "check the network and the VPN connection to your domain, then try again".into(),
        ),
        Unreachable::TooLarge
        | Unreachable::Broken(_)
        | Unreachable::Status { .. }
        | Unreachable::Reported(_) => Some("try again later".into()),
        Unreachable::InAnotherProcess(_) => Some(RUN_AGAIN.into()),
    }
}

fn tls(label: Option<&str>, failure: &TlsFailure) -> Option<String> {
    // A stored connection has worked: the certificate may be a guest network's.
    let elsewhere = label.map_or_else(String::new, |_| format!("{GUEST_NETWORK}; elsewhere, "));
    let authority = || {
        format!(
            "{elsewhere}if this is your portal, trust its certificate authority: {}",
            edit(label, "--verify-ssl FILE.pem")
        )
    };
    let pin = || {
        failure.pin_helps.then(|| {
            format!(
                "to trust exactly this certificate: {}",
                edit(label, "--verify-ssl pin:FILE.pem")
            )
        })
    };
    let or_pin = |advice: String| match pin() {
        Some(pin) => format!("{advice}; or, {pin}"),
        None => advice,
    };
    Some(match &failure.kind {
        TlsFailureKind::UnknownIssuer | TlsFailureKind::SelfSigned if failure.authority_helps => {
            authority()
        }
        TlsFailureKind::IncompleteChain => format!(
            "{}; if another authority signed that one, ask the portal's administrator to let the server send the whole chain",
            authority()
        ),
        TlsFailureKind::WrongHost => match label {
            // Another portal URL costs the sign-in, and a guest network's certificate must not be
            // pinned for the portal.
            Some(label) => format!(
                "{elsewhere}ask the portal's administrator for a certificate that is valid for this host; to see the portal URL: {}",
                show(label)
            ),
            None => or_pin(format!(
                "use a host name that the certificate is valid for: {}",
                edit(None, "--portal URL")
            )),
        },
        TlsFailureKind::NoName => or_pin(
            "ask the portal's administrator for a certificate with a subjectAltName".into(),
        ),
        TlsFailureKind::Expired => format!("ask the portal's administrator to renew {}", faulty(failure)),
        TlsFailureKind::BadSignature => format!(
            "ask the portal's administrator for the present certificate of the authority: {}",
            edit(label, "--verify-ssl FILE.pem")
        ),
        TlsFailureKind::Algorithm(_)
        | TlsFailureKind::NotAnAuthority
        | TlsFailureKind::AuthorityAsServer
        | TlsFailureKind::UnknownRule
        | TlsFailureKind::Purpose => or_pin(format!(
            "ask the portal's administrator to replace {} (RSA of 2048 bits or more, or ECDSA on P-256, P-384 or P-521; SHA-256 or better)",
            faulty(failure)
        )),
        TlsFailureKind::NoCommonVersion => {
            "ask the portal's administrator to switch on TLS 1.2 or TLS 1.3 at the server".into()
        }
        TlsFailureKind::NeedsTls12 => format!(
            "ask the portal's administrator to switch on TLS 1.2, too; or present another certificate: {}",
            client_certificate(label)
        ),
        TlsFailureKind::NoCommonCipher => "ask the portal's administrator to switch on TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM, for example TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into(),
        TlsFailureKind::UnknownIssuer | TlsFailureKind::SelfSigned => {
            return pin().map(|pin| format!("{elsewhere}{pin}"))
        }
        TlsFailureKind::NotYetValid
        | TlsFailureKind::Revoked
        | TlsFailureKind::Distrusted
        | TlsFailureKind::Other(_) => return pin(),
    })
}

/// The certificate that an administrator has to replace.
fn faulty(failure: &TlsFailure) -> &'static str {
    match failure.fault.as_ref().map(|fault| fault.role) {
        None | Some(CertificateRole::Server) => "its certificate",
        Some(CertificateRole::Intermediate) => "the intermediate certificate",
        Some(CertificateRole::Authority) => "the authority's certificate",
    }
}

fn refused(label: Option<&str>, url: &str, why: &Refusal) -> Option<String> {
    let login = label.map(login);
    match why {
        Refusal::ClientId => Some(edit(label, "--client-id ID")),
        Refusal::ClientSecret => Some(edit(label, "--client-secret-stdin")),
        Refusal::PrintedClientSecret(command) => Some(format!(
            "replace it in your secret manager, so that `{command}` prints the new one; or name another command: {}",
            edit(label, secret_command_option(PrintedSecret::ClientSecret))
        )),
        Refusal::RedirectUri(uri) => Some(format!(
            "on the application's item page in the portal, under Settings, add the redirect URI {uri}; or use one that is registered: {}",
            edit(label, "--redirect-uri URI")
        )),
        Refusal::Application(_) => Some(
            "ask the portal's administrator whether the application may sign people in and you may use it"
                .into(),
        ),
        Refusal::Code(_) => login.map(|login| {
            format!("a code works only once, and only for a few minutes; sign in again: {login}")
        }),
        Refusal::Denied | Refusal::SignIn(_) => login,
        Refusal::FreshToken => Some(format!(
            "the application may require a Referer: {}",
            edit(label, "--referer TEXT")
        )),
        Refusal::ClientCertificate => Some(format!(
            "present the certificate of your browser here, too{}: {}; if the portal has an address for programs that requires none: --api-url URL",
            if cfg!(windows) { "" } else { ", from a file with its private key" },
            client_certificate(label)
        )),
        Refusal::LateClientCertificate => Some(format!(
            "{ASK_EARLIER}, or for an address that does not require a certificate: {}",
            edit(label, "--api-url URL")
        )),
        Refusal::RejectedClientCertificate { .. } => Some(format!(
            "ask the web server's administrator for a certificate that it accepts, and present that one: {}",
            client_certificate(label)
        )),
        Refusal::PrivateKey { why, .. } => Some(key_problem(label, why)),
        Refusal::Forbidden { .. } => Some(ALLOW_THIS_MACHINE.into()),
        Refusal::UnexpectedAnswer { .. } => Some(
            "check the path below /sharing/rest, for example: age-oauth api community/self; to save an answer that is not JSON: -o FILE"
                .into(),
        ),
        Refusal::Network(_) => Some(format!(
            "sign in the ordinary way, with a client ID from the portal's administrator: {} --client-id ID; then: {}",
            edit(label, "--auth-type user"),
            login.as_deref().unwrap_or("age-oauth login")
        )),
        Refusal::WindowsSignIn(why) => Some(windows_sign_in(label, why)),
        Refusal::WebTier(schemes) => Some(web_tier(label, url, schemes)),
        Refusal::SignInPage { .. } => Some(format!(
            "{EXEMPT}, or for an address without it: {}",
            edit(label, "--api-url URL")
        )),
        Refusal::Server(_) => Some(
            "check the URL; to list the servers that the portal grants tokens for: age-oauth api portals/self/servers"
                .into(),
        ),
        Refusal::InAnotherProcess(_) => Some(RUN_AGAIN.into()),
        Refusal::Privilege | Refusal::Other { .. } => None,
    }
}

/// What helps where a web server asks for a sign-in that the connection does not answer.
fn web_tier(label: Option<&str>, url: &str, schemes: &[String]) -> String {
    let api_url = edit(label, "--api-url URL");
    if offers(schemes, "Negotiate") && http::can_answer_windows_sign_in() {
        return format!(
            "a browser can do that sign-in, and so can this program, with your Kerberos ticket: {}; or ask the portal's administrator for an address without it: {api_url}",
            edit(label, "--web-tier windows")
        );
    }
    let advice = ask_for_kerberos(url, schemes).unwrap_or_else(|| EXEMPT.into());
    format!("{advice}, or for an address without it: {api_url}")
}

const EXEMPT: &str = "a browser can do that sign-in, a program cannot; ask the portal's administrator to exempt /sharing/rest from it";

const SIGN_IN_TO_THE_NETWORK: &str = "open a browser, sign in to the network there, and run the command again; a machine without one needs another network";

/// First where what answers may be the network's own page: an administrator of the portal cannot
/// help there, and nothing of that page is to be trusted for the portal.
const GUEST_NETWORK: &str =
    "on a guest network (hotel, train, Wi-Fi with a sign-in page), sign in to it in a browser first";

const ALLOW_THIS_MACHINE: &str = "ask the portal's administrator to allow /sharing/rest from this machine; trying again does not help";

const ASK_EARLIER: &str = "ask the web server's administrator to let it ask in the TLS handshake (IIS: netsh http update sslcert … clientcertnegotiation=enable, or Negotiate Client Certificate on the binding; Apache: SSLVerifyClient for the whole host)";

fn offers(schemes: &[String], name: &str) -> bool {
    schemes.iter().any(|scheme| scheme == name)
}

/// What to ask for where a web server offers sign-ins that this program does not answer, and not
/// the one that it does; `None` where it offers something else.
fn ask_for_kerberos(url: &str, schemes: &[String]) -> Option<String> {
    let why = if offers(schemes, "Negotiate") || offers(schemes, "Kerberos") {
        return None;
    } else if offers(schemes, "NTLM") {
        "Windows is retiring NTLM"
    } else if offers(schemes, "Basic") || offers(schemes, "Digest") {
        "it stores no passwords"
    } else {
        return None;
    };
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str);
    Some(format!(
        "a browser can do that sign-in, this program does not, because {why}; ask the portal's administrator to let the web server offer Negotiate with Kerberos (setspn -S HTTP/{} ACCOUNT), to exempt /sharing/rest from the sign-in",
        host.unwrap_or("HOST")
    ))
}

/// What the guided `add` says about something in front of the portal before it asks how to
/// continue: whom to ask for what. `None` where the question itself says what helps.
pub(super) fn in_front(error: &Error) -> Option<String> {
    let Error::Refused { url, why, .. } = error else {
        return None;
    };
    match why {
        Refusal::WebTier(schemes) if offers(schemes, "Negotiate") => None,
        Refusal::WebTier(schemes) => {
            Some(ask_for_kerberos(url, schemes).unwrap_or_else(|| EXEMPT.into()))
        }
        Refusal::SignInPage { .. } => Some(EXEMPT.into()),
        Refusal::LateClientCertificate => Some(ASK_EARLIER.into()),
        Refusal::Forbidden { .. } => Some(ALLOW_THIS_MACHINE.into()),
        Refusal::WindowsSignIn(why) => Some(windows_sign_in(None, why)),
        Refusal::ClientId
        | Refusal::ClientSecret
        | Refusal::PrintedClientSecret(_)
        | Refusal::RedirectUri(_)
        | Refusal::Application(_)
        | Refusal::SignIn(_)
        | Refusal::Code(_)
        | Refusal::Denied
        | Refusal::Privilege
        | Refusal::FreshToken
        | Refusal::Server(_)
        | Refusal::Network(_)
        | Refusal::ClientCertificate
        | Refusal::RejectedClientCertificate { .. }
        | Refusal::PrivateKey { .. }
        | Refusal::UnexpectedAnswer { .. }
        | Refusal::InAnotherProcess(_)
        | Refusal::Other { .. } => None,
    }
}

/// What helps where Kerberos says why it makes no token.
fn kerberos(problem: KerberosProblem) -> String {
    match problem {
        KerberosProblem::Encryption => "ask the administrator of your domain to allow AES for the web server's account (msDS-SupportedEncryptionTypes)",
        KerberosProblem::Policy => "ask the administrator of your domain which rule forbids a ticket for the web server",
        KerberosProblem::Reply => "check the realm of the web server in the configuration of Kerberos ([domain_realm]), and ask the administrator of your domain",
        KerberosProblem::Clock => "set the clock of this machine",
        KerberosProblem::ServiceInvalid => "ask the administrator of your domain to renew or enable the web server's account",
        KerberosProblem::AccountExpired => "change the password (kpasswd), or ask the administrator of your domain to renew the account",
        KerberosProblem::AccountDisabled => "ask the administrator of your domain to enable the account",
        KerberosProblem::Realm => "name the realm in the configuration of Kerberos (/etc/krb5.conf: default_realm, [domain_realm])",
    }
    .into()
}

/// What helps where Windows sign-in fails.
fn windows_sign_in(label: Option<&str>, why: &WindowsSignInFailure) -> String {
    let api_url = edit(label, "--api-url URL");
    match why {
        WindowsSignInFailure::NoTicket | WindowsSignInFailure::TicketExpired if cfg!(windows) => {
            "sign in to Windows with the account of your domain, or lock the screen and unlock it to get new tickets; let a scheduled task run with the password stored. To see the tickets: klist".into()
        }
        WindowsSignInFailure::OtherPrincipal { expected, .. } if cfg!(windows) => format!(
            "run this as {expected}; or, if the other account is right: {}",
            edit(label, "--web-tier windows")
        ),
        WindowsSignInFailure::UnknownPrincipal => {
            "to see the tickets: klist; if a password is stored for the web server in Credential Manager (cmdkey /list), Windows uses that account, and this program does not".into()
        }
        WindowsSignInFailure::NoTicket | WindowsSignInFailure::TicketExpired => format!(
            "get a ticket: kinit; for a task without a person: {}=FILE:/path/to/keytab",
            env::KRB5_CLIENT_KTNAME
        ),
        WindowsSignInFailure::OtherPrincipal { expected, .. } => format!(
            "get a ticket of that account: kinit {}; or, if the other one is right: {}",
            argument(expected),
            edit(label, "--web-tier windows")
        ),
        WindowsSignInFailure::UnknownService(service) => format!(
            "if the host in the address is an alias, use the name that Kerberos knows: {api_url}; or ask the administrator of your domain to register this one: setspn -S {service} ACCOUNT"
        ),
        WindowsSignInFailure::NoProgram(_) if cfg!(windows) => {
            r"it is a part of Windows (System32\klist.exe); ask the administrator of this machine to allow it".into()
        }
        WindowsSignInFailure::NoProgram(program) if *program == "klist" => {
            "install the programs of Kerberos (Debian and Ubuntu: krb5-user; Red Hat: krb5-workstation)".into()
        }
        WindowsSignInFailure::NoProgram(program) => {
            format!("install {program} with the package manager of your system")
        }
        WindowsSignInFailure::CurlWithoutKerberos => format!(
            "install a curl whose `curl --version` lists SPNEGO; or use an address without that sign-in: {api_url}"
        ),
        WindowsSignInFailure::Unsupported => {
            format!("use an address for programs without that sign-in: {api_url}")
        }
        WindowsSignInFailure::CurlTooOld => format!(
            "install a newer curl; or use an address without that sign-in: {api_url}"
        ),
        WindowsSignInFailure::ProgramHangs(program) => {
            format!("to see what it waits for: {program}; then try again")
        }
        WindowsSignInFailure::NoFolder { .. } => format!(
            "set {} to a folder of your own (mode 0700) in which you can create files",
            if cfg!(target_os = "linux") { env::XDG_RUNTIME_DIR } else { "TMPDIR" }
        ),
        WindowsSignInFailure::UnreadablePrincipal(_) => {
            "get a ticket of your own account: kinit".into()
        }
        WindowsSignInFailure::Kerberos(problem) => kerberos(*problem),
        WindowsSignInFailure::NotKerberos => format!(
            "get a ticket: kinit; or use an address without that sign-in: {api_url}"
        ),
        WindowsSignInFailure::NoToken if cfg!(windows) => {
            "to see what Kerberos says: klist get HTTP/HOST, with the host of the portal's URL".into()
        }
        WindowsSignInFailure::NoToken => {
            "to see what Kerberos says: kvno HTTP/HOST (macOS: kgetcred HTTP/HOST), with the host of the portal's URL".into()
        }
        WindowsSignInFailure::Rejected {
            service, schemes, ..
        } => {
            let by_ntlm = if offers(schemes, "NTLM") {
                format!(", and to give it to the right one: setspn -S {service} ACCOUNT; a browser may get in by NTLM, which Windows is retiring")
            } else {
                String::new()
            };
            format!(
                "get new tickets: {}; if that does not help, ask the web server's administrator which account has its name: setspn -Q {service}{by_ntlm}; or use an address without that sign-in: {api_url}",
                if cfg!(windows) { "klist purge" } else { "kdestroy, kinit" }
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_is_quoted_for_the_shell() {
        let error = Error::SignInNeeded {
            connection: "My Portal".into(),
            why: SignInNeeded::Never,
        };
        assert_eq!(
            hint(&error).as_deref(),
            Some("age-oauth login -c \"My Portal\"")
        );
    }

    #[test]
    fn a_web_server_that_offers_ntlm_alone_has_a_hint_of_its_own() {
        let of = |schemes: &[&str]| {
            let schemes: Vec<_> = schemes.iter().map(|one| (*one).to_owned()).collect();
            web_tier(Some("prod"), "https://gis.example.com/portal", &schemes)
        };
        let kerberos = "Negotiate with Kerberos (setspn -S HTTP/gis.example.com ACCOUNT)";
        for (schemes, why) in [
            (&["NTLM"][..], "Windows is retiring NTLM"),
            (&["NTLM", "Basic"], "Windows is retiring NTLM"),
            (&["Basic"], "it stores no passwords"),
            (&["Digest"], "it stores no passwords"),
        ] {
            let hint = of(schemes);
            assert!(hint.contains(why) && hint.contains(kerberos), "{hint}");
            assert!(hint.ends_with("edit prod --api-url URL"), "{hint}");
        }
        assert!(of(&["Bearer"]).contains("a program cannot"));
        let windows = of(&["Negotiate", "NTLM"]);
        assert!(!windows.contains("retiring"), "{windows}");
        assert_eq!(
            windows.contains("age-oauth connections edit prod --web-tier windows"),
            http::can_answer_windows_sign_in()
        );
    }

    #[test]
    fn a_ticket_that_is_not_accepted_where_browsers_use_ntlm_has_a_hint_of_its_own() {
        let of = |schemes: &[&str]| {
            let schemes = schemes.iter().map(|one| (*one).to_owned()).collect();
            let why = WindowsSignInFailure::Rejected {
                principal: "ana@EXAMPLE.COM".into(),
                service: "HTTP/gis.example.com".into(),
                schemes,
            };
            windows_sign_in(Some("prod"), &why)
        };
        let by_ntlm = "setspn -S HTTP/gis.example.com ACCOUNT; a browser may get in by NTLM";
        assert!(of(&["Negotiate", "NTLM"]).contains(by_ntlm));
        assert!(!of(&["Negotiate"]).contains("NTLM"));
    }

    #[test]
    fn a_file_system_without_locks_has_a_hint_and_other_lock_errors_have_none() {
        let locking = |source| Error::File {
            action: FileAction::Lock,
            path: "lock".into(),
            source,
        };
        let unsupported = locking(io::ErrorKind::Unsupported.into());
        assert!(hint(&unsupported).is_some_and(|text| text.contains("AGE_OAUTH_HOME")));
        assert_eq!(hint(&locking(io::ErrorKind::Interrupted.into())), None);
    }

    #[test]
    fn a_store_that_cannot_be_written_has_a_hint_and_a_file_that_a_person_named_another() {
        let of = |action, kind: io::ErrorKind| {
            let error = Error::File {
                action,
                path: "meta.json".into(),
                source: kind.into(),
            };
            hint(&error).unwrap_or_default()
        };
        for action in [
            FileAction::Write,
            FileAction::Create,
            FileAction::Rename,
            FileAction::Lock,
        ] {
            for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
                let hint = of(action, kind);
                assert!(hint.starts_with("free some space on that disk"), "{hint}");
            }
            for kind in [
                io::ErrorKind::ReadOnlyFilesystem,
                io::ErrorKind::PermissionDenied,
            ] {
                let hint = of(action, kind);
                assert!(hint.contains("AGE_OAUTH_HOME=FOLDER"), "{hint}");
            }
        }
        let output = of(FileAction::WriteOutput, io::ErrorKind::StorageFull);
        assert!(output.contains("name a file on another disk"), "{output}");
        let output = of(FileAction::WriteOutput, io::ErrorKind::PermissionDenied);
        assert_eq!(output, "");
        let unreadable = of(FileAction::Read, io::ErrorKind::PermissionDenied);
        assert!(unreadable.contains("change the owner"), "{unreadable}");
        assert_eq!(of(FileAction::Read, io::ErrorKind::InvalidData), "");
    }

    #[test]
    fn a_port_in_use_has_another_hint_than_a_port_that_is_not_allowed() {
        let at = |kind: io::ErrorKind| {
            hint(&Error::listen(([127, 0, 0, 1], 53682).into(), kind.into())).unwrap_or_default()
        };
        assert!(at(io::ErrorKind::AddrInUse).starts_with("another program uses the port"));
        assert!(at(io::ErrorKind::PermissionDenied).starts_with("paste the code"));
    }
}
