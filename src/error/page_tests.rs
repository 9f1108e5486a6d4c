//! `docs/troubleshooting.md` explains every message of the kinds of errors that a person can do
//! something about. Text that differs from case to case is `…` there.
//!
//! Each function names all kinds in a `match`, so that a new kind does not compile until it has a
//! message here, and thereby an entry on the page.

use std::io;
use std::time::Duration;

use jiff::Timestamp;

use super::{
    ApiKeyProblem, CertificateRejection, Error, KerberosProblem, KeyProblem, KeychainReason,
    PolicyRule, PrintedSecret, ProxyDemand, Refusal, SecretCommandFailure, SignInNeeded,
    StoreProblem, TlsFailure, TlsFailureKind, Unreachable, WindowsSignInFailure,
};

fn any() -> String {
    "…".into()
}

fn page() -> String {
    include_str!("../../docs/troubleshooting.md").replace("\r\n", "\n")
}

/// Fails unless the page has each of these messages.
#[track_caller]
fn explained(messages: impl IntoIterator<Item = String>) {
    let page = page();
    let lacking: Vec<_> = messages
        .into_iter()
        .filter(|message| !page.contains(message.as_str()))
        .collect();
    assert!(lacking.is_empty(), "the page lacks: {lacking:#?}");
}

#[test]
fn every_reason_to_sign_in_is_explained() {
    use SignInNeeded as Why;
    let rule = PolicyRule {
        member: "sign_in_days",
        place: any(),
        line: None,
    };
    let all = [
        Why::Never,
        Why::OtherMachine(any()),
        Why::Expired,
        Why::NoLongerAccepted,
        Why::ExtensionLost,
        Why::TimedOut(any()),
        Why::NoCode,
        Why::NotACode,
        Why::OtherUser {
            stored: any(),
            signed_in: any(),
        },
        Why::VouchedForOther {
            stored: any(),
            vouched: any(),
        },
        Why::MismatchedResponse,
        Why::OtherPortal(any()),
        Why::EndedByPolicy(rule),
    ];
    explained(all.into_iter().map(|why| match &why {
        Why::Never => "is not signed in".into(),
        Why::EndedByPolicy(rule) => why.to_string().replace(&rule.to_string(), "…"),
        Why::OtherMachine(_)
        | Why::Expired
        | Why::NoLongerAccepted
        | Why::ExtensionLost
        | Why::TimedOut(_)
        | Why::NoCode
        | Why::NotACode
        | Why::OtherUser { .. }
        | Why::VouchedForOther { .. }
        | Why::MismatchedResponse
        | Why::OtherPortal(_) => why.to_string(),
    }));
}

#[test]
fn every_problem_of_an_api_key_is_explained() {
    use ApiKeyProblem as Why;
    let at = Timestamp::UNIX_EPOCH;
    let all = [
        Why::Missing,
        Why::UnknownEnd,
        Why::Expired(at),
        Why::TooShort {
            expires_at: at,
            seconds_wanted: 0,
        },
        Why::Refused,
        Why::OtherUser {
            stored: any(),
            given: any(),
        },
    ];
    explained(all.into_iter().map(|why| {
        match why {
            Why::Missing
            | Why::UnknownEnd
            | Why::Expired(_)
            | Why::TooShort { .. }
            | Why::Refused
            | Why::OtherUser { .. } => {}
        }
        let error = Error::ApiKey {
            connection: any(),
            is_printed: false,
            why,
        };
        error
            .to_string()
            .replace("1970-01-01T00:00:00Z", "…")
            .replace("the 0 seconds", "the … seconds")
    }));
}

#[test]
fn every_reason_of_the_keychain_is_explained() {
    let page = page();
    for reason in KeychainReason::ALL {
        let word = format!("`{}`", reason.as_str());
        assert!(page.contains(&word), "{word}");
    }
}

#[test]
fn every_failure_of_a_secret_command_is_explained() {
    use SecretCommandFailure as Why;
    let all = [
        Why::NoProgram("…".into()),
        Why::Unsafe {
            path: "…".into(),
            why: any(),
            is_missing: false,
        },
        Why::NotStarted(io::Error::other("…")),
        Why::Timeout(Duration::from_secs(20)),
        Why::Failed {
            status: any(),
            said: None,
        },
        Why::Output(any()),
        Why::InAnotherProcess(any()),
    ];
    explained(all.iter().map(|why| {
        match why {
            Why::NoProgram(_)
            | Why::Unsafe { .. }
            | Why::NotStarted(_)
            | Why::Timeout(_)
            | Why::Failed { .. }
            | Why::Output(_)
            | Why::InAnotherProcess(_) => {}
        }
        why.to_string()
    }));
    match PrintedSecret::ApiKey {
        PrintedSecret::ClientSecret | PrintedSecret::ApiKey => {}
    }
}

fn key_problems() -> [KeyProblem; 7] {
    use KeyProblem as Why;
    match Why::NoCard {
        Why::Unattended
        | Why::Canceled
        | Why::NoCard
        | Why::WrongPin
        | Why::PinLocked
        | Why::Missing
        | Why::Failed(_) => {}
    }
    [
        Why::Unattended,
        Why::Canceled,
        Why::NoCard,
        Why::WrongPin,
        Why::PinLocked,
        Why::Missing,
        Why::Failed(any()),
    ]
}

#[test]
fn every_problem_of_a_stored_certificate_is_explained() {
    use StoreProblem as Why;
    let gone = Why::Gone {
        subject: any(),
        renewed: None,
    };
    let keys = key_problems().map(|why| Why::Key {
        subject: any(),
        why,
    });
    let all = [Why::NotWindows, Why::Unreadable(any()), gone];
    explained(all.into_iter().chain(keys).map(|why| {
        match why {
            Why::NotWindows | Why::Unreadable(_) | Why::Gone { .. } | Why::Key { .. } => {}
        }
        why.to_string()
    }));
}

#[test]
fn every_reason_for_no_answer_is_explained() {
    use Unreachable as Why;
    let tls = TlsFailure {
        kind: TlsFailureKind::Other(any()),
        certificate: None,
        fault: None,
        chain: Vec::new(),
        notes: Vec::new(),
        authority_helps: false,
        pin_helps: false,
    };
    let all = [
        Why::Dns,
        Why::Connect(any()),
        Why::Tls(Box::new(tls)),
        Why::Proxy {
            proxy: any(),
            what: any(),
            demand: ProxyDemand::Nothing,
        },
        Why::Timeout,
        Why::Broken(any()),
        Why::BrokenAfterCertificateRequest {
            message: any(),
            subject: None,
        },
        Why::Status {
            status: 503,
            said: None,
        },
        Why::Reported(any()),
        Why::NetworkSignIn {
            status: 511,
            to: None,
        },
        Why::NotAPortal {
            status: 200,
            title: None,
        },
        Why::Redirected {
            status: 302,
            to: Some(any()),
        },
        Why::TooLarge,
        Why::NoKdc,
        Why::InAnotherProcess(any()),
    ];
    explained(all.into_iter().map(|why| {
        match why {
            Why::Dns
            | Why::Connect(_)
            | Why::Tls(_)
            | Why::Proxy { .. }
            | Why::Timeout
            | Why::Broken(_)
            | Why::BrokenAfterCertificateRequest { .. }
            | Why::Status { .. }
            | Why::Reported(_)
            | Why::NetworkSignIn { .. }
            | Why::NotAPortal { .. }
            | Why::Redirected { .. }
            | Why::TooLarge
            | Why::NoKdc
            | Why::InAnotherProcess(_) => {}
        }
        why.to_string()
    }));
}

#[test]
fn every_refusal_is_explained() {
    use Refusal as Why;
    let all = [
        Why::ClientId,
        Why::ClientSecret,
        Why::PrintedClientSecret(any()),
        Why::RedirectUri(any()),
        Why::Application(any()),
        Why::SignIn(any()),
        Why::Code(any()),
        Why::Denied,
        Why::Privilege,
        Why::FreshToken,
        Why::Server(any()),
        Why::Network(any()),
        Why::WebTier(vec![any()]),
        Why::ClientCertificate,
        Why::LateClientCertificate,
        Why::RejectedClientCertificate {
            subject: any(),
            not_after: any(),
            why: CertificateRejection::Unsaid,
        },
        Why::PrivateKey {
            subject: any(),
            why: KeyProblem::NoCard,
        },
        Why::WindowsSignIn(WindowsSignInFailure::NoTicket),
        Why::SignInPage {
            host: None,
            title: None,
        },
        Why::Forbidden { title: None },
        Why::UnexpectedAnswer {
            status: 404,
            title: None,
        },
        Why::UnexpectedAnswer {
            status: 200,
            title: None,
        },
        Why::Other {
            code: None,
            text: any(),
        },
        Why::InAnotherProcess(any()),
    ];
    explained(all.into_iter().map(|why| {
        match why {
            Why::ClientId
            | Why::ClientSecret
            | Why::PrintedClientSecret(_)
            | Why::RedirectUri(_)
            | Why::Application(_)
            | Why::SignIn(_)
            | Why::Code(_)
            | Why::Denied
            | Why::Privilege
            | Why::FreshToken
            | Why::Server(_)
            | Why::Network(_)
            | Why::WebTier(_)
            | Why::ClientCertificate
            | Why::LateClientCertificate
            | Why::RejectedClientCertificate { .. }
            | Why::PrivateKey { .. }
            | Why::WindowsSignIn(_)
            | Why::SignInPage { .. }
            | Why::Forbidden { .. }
            | Why::UnexpectedAnswer { .. }
            | Why::Other { .. }
            | Why::InAnotherProcess(_) => {}
        }
        why.to_string()
    }));
}

#[test]
fn every_failure_of_windows_sign_in_is_explained() {
    use WindowsSignInFailure as Why;
    let all = [
        Why::NoTicket,
        Why::TicketExpired,
        Why::OtherPrincipal {
            expected: any(),
            found: any(),
        },
        Why::UnknownService(any()),
        Why::NoProgram("curl"),
        Why::CurlWithoutKerberos,
        Why::CurlTooOld,
        Why::ProgramHangs("klist"),
        Why::NoFolder {
            path: any(),
            why: io::ErrorKind::NotFound,
        },
        Why::UnreadablePrincipal(any()),
        Why::Kerberos(KerberosProblem::Clock),
        Why::NotKerberos,
        Why::UnknownPrincipal,
        Why::Unsupported,
        Why::NoToken,
        Why::Rejected {
            principal: any(),
            service: any(),
            schemes: Vec::new(),
        },
    ];
    explained(all.into_iter().map(|why| match &why {
        Why::NoFolder { why: cause, .. } => why.to_string().replace(&cause.to_string(), "…"),
        Why::Kerberos(problem) => why.to_string().replace(&problem.to_string(), "…"),
        Why::NoTicket
        | Why::TicketExpired
        | Why::OtherPrincipal { .. }
        | Why::UnknownService(_)
        | Why::NoProgram(_)
        | Why::CurlWithoutKerberos
        | Why::CurlTooOld
        | Why::ProgramHangs(_)
        | Why::UnreadablePrincipal(_)
        | Why::NotKerberos
        | Why::UnknownPrincipal
        | Why::Unsupported
        | Why::NoToken
        | Why::Rejected { .. } => why.to_string(),
    }));
}
