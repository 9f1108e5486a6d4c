//! The types. A field name means the same thing in every answer.

use super::{json_object, LogDecision, Severity, SignInState, Time, Word};
use crate::cli::exit_code::FailureKind;
use crate::cli::format::{split_failure, verify_ssl};
use crate::connection::{Connection, ConnectionId, Grant};
use crate::error::{KeychainReason, PrintedSecret};
use crate::event::Decision;

json_object! {
    /// Which connection it is about.
    pub(crate) struct Identity {
        /// The connection's label.
        pub(crate) connection: String,
        /// Its ID, which never changes.
        pub(crate) id: String,
        /// The portal's URL, as in a browser, without a slash at its end.
        pub(crate) portal_url: String,
        /// Where programs talk to the portal: the API URL of the connection, else the portal's URL.
        pub(crate) api_url: String,
        /// `user`: tokens are for the person who signs in. `app`: they are for the application.
        /// `network`: they are for the user whom the web server in front of the portal vouches for.
        /// `key`: the token is an API key.
        pub(crate) auth_type: &'static str,
    }
}

impl Identity {
    pub(crate) fn of(connection: &Connection) -> Self {
        Self {
            connection: connection.label.to_string(),
            id: connection.id.to_string(),
            portal_url: connection.browser_url().to_string(),
            api_url: connection.api_url().to_string(),
            auth_type: connection.grant.as_str(),
        }
    }
}

json_object! {
    /// An access token.
    pub(crate) struct TokenAnswer<'a> {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// Whose token or API key it is; `null` for an application.
        pub(crate) username: Option<String>,
        /// The access token, or the API key.
        pub(crate) access_token: &'a str,
        /// Always `Bearer`.
        pub(crate) token_type: &'static str,
        /// When the access token expires.
        pub(crate) expires_at: Time,
        /// The same in seconds since 1970.
        pub(crate) expires_epoch: i64,
        /// The same in seconds from now.
        pub(crate) expires_in: i64,
        /// When the sign-in expires: as the portal said, else `{ASSUMED_REFRESH_LIFE}` after the
        /// refresh token was issued (assumed); `null` unless `auth_type` is `user`.
        pub(crate) refresh_expires_at: Option<Time>,
        /// Whether the sign-in expires within `{EXPIRES_SOON}` and cannot be extended, so that a
        /// person must sign in before.
        pub(crate) sign_in_ends_soon: bool,
        /// The `Referer` that requests with this token must send; `null` if none is needed.
        pub(crate) referer: Option<String>,
        /// How to verify the portal's certificate: `true`, `false`, or the path of a file of
        /// certificates. Always a string.
        pub(crate) verify_ssl: String,
        /// What requests must answer to the sign-in of the web server in front of the portal:
        /// `none` or `windows`.
        pub(crate) web_tier: &'static str,
        /// The subject, as stored with the connection, of the client certificate that requests must
        /// present to that web server; `null` if there is none.
        pub(crate) client_certificate: Option<String>,
        /// The proxy to use: `system`, `none`, or a URL.
        pub(crate) proxy: String,
    }
}

json_object! {
    /// Where to sign in. Printed before the program waits for the code.
    pub(crate) struct LoginStarted {
        /// The page to open in a browser.
        pub(crate) authorize_url: String,
        /// Where the portal sends the authorization code.
        pub(crate) redirect_uri: String,
        /// `code`: the program reads the code from standard input. `callback`: the browser delivers
        /// it to a port of this machine.
        pub(crate) expects: &'static str,
    }
}

/// A text from the portal; `None` where the portal left it empty.
pub(crate) fn known(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

json_object! {
    /// The new sign-in.
    pub(crate) struct LoginAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// Who signed in; `null` for an application.
        pub(crate) username: Option<String>,
        /// The application's title; `null` for a user's token, and where the portal does not
        /// say.
        pub(crate) application: Option<String>,
        /// The application's client ID; `null` for a user's token, and where the portal does not
        /// say.
        pub(crate) app_id: Option<String>,
        /// When the access token expires.
        pub(crate) expires_at: Time,
        /// When the sign-in expires: as the portal said, else `{ASSUMED_REFRESH_LIFE}` after the
        /// refresh token was issued (assumed); `null` unless `auth_type` is `user`.
        pub(crate) refresh_expires_at: Option<Time>,
    }
}

json_object! {
    /// What became of the sign-in.
    pub(crate) struct LogoutAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// Whether there was a sign-in.
        pub(crate) signed_out: bool,
        /// Whether the portal confirmed that it revoked the sign-in.
        pub(crate) revoked: bool,
    }
}

json_object! {
    /// Who the token belongs to, according to the portal; with `--offline`, according to what is
    /// stored.
    pub(crate) struct WhoamiAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// The user; `null` for an application.
        pub(crate) username: Option<String>,
        /// The application's title; `null` for a user's token, with `--offline`, and where the
        /// portal does not say.
        pub(crate) application: Option<String>,
        /// The application's client ID; `null` for a user's token, and where the portal does not
        /// say.
        pub(crate) app_id: Option<String>,
        /// The ID of the item that registers the application; `null` for a user's token, with
        /// `--offline`, and where the portal does not say.
        pub(crate) item_id: Option<String>,
        /// The item's owner; `null` for a user's token, with `--offline`, and where the portal
        /// does not say.
        pub(crate) owner: Option<String>,
    }
}

json_object! {
    /// The result of a renewal.
    pub(crate) struct RefreshAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// Whose token it is; `null` for an application.
        pub(crate) username: Option<String>,
        /// What was done.
        pub(crate) decision: Word<Decision>,
        /// When the access token expires.
        pub(crate) expires_at: Time,
        /// When the sign-in expires: as the portal said, else `{ASSUMED_REFRESH_LIFE}` after the
        /// refresh token was issued (assumed); `null` unless `auth_type` is `user`.
        pub(crate) refresh_expires_at: Option<Time>,
        /// From when on the sign-in can be extended without ending a token that is in use; `null`
        /// if no extension is due.
        pub(crate) extension_waits_until: Option<Time>,
    }
}

json_object! {
    /// What is stored about the sign-in, without asking the portal.
    pub(crate) struct StoredFacts {
        /// The signed-in user, or the user whose API key it is; `null` for an application, and if
        /// there is neither a sign-in nor a key.
        pub(crate) username: Option<String>,
        /// When the user signed in; `null` if there is no sign-in.
        pub(crate) signed_in_at: Option<Time>,
        /// When the portal issued the refresh token; `null` if there is none.
        pub(crate) refresh_issued_at: Option<Time>,
        /// When the sign-in expires: as the portal said, else `{ASSUMED_REFRESH_LIFE}` after the
        /// refresh token was issued (assumed); `null` if there is no sign-in, or nothing to expire.
        pub(crate) refresh_expires_at: Option<Time>,
        /// Whether the portal can extend the sign-in; `null` while that is not known.
        pub(crate) extendable: Option<bool>,
        /// When the cached access token expires; `null` if there is none.
        pub(crate) expires_at: Option<Time>,
        /// The last renewal; for an API key, about when it was last handed out; `null` if there was
        /// none.
        pub(crate) last_used_at: Option<Time>,
        /// The last failure, in one line; `null` if there was none.
        pub(crate) last_failure: Option<String>,
        /// When it happened; `null` if there was none, or the date is not known.
        pub(crate) last_failure_at: Option<Time>,
        /// The machine where the user signed in; `null` if that is not known.
        pub(crate) machine: Option<String>,
        /// When the client certificate expires, in `show` read from it (`null` if that fails),
        /// elsewhere as stored with the connection; `null` if there is none.
        pub(crate) client_certificate_expires_at: Option<Time>,
        /// When the API key expires, as a person said; `null` unless `auth_type` is `key`, and if
        /// it cannot be read.
        pub(crate) api_key_expires_at: Option<Time>,
        /// When the portal did not accept the API key; `null` if it does, as far as is known, and
        /// unless `auth_type` is `key`.
        pub(crate) api_key_refused_at: Option<Time>,
    }
}

impl StoredFacts {
    pub(crate) fn of(connection: &Connection) -> Self {
        let status = &connection.status;
        let (last_failure_at, last_failure) = status
            .last_failure
            .as_deref()
            .map(split_failure)
            .map_or((None, None), |(at, what)| (at, Some(what.to_owned())));
        Self {
            username: status.username.clone(),
            signed_in_at: status.signed_in_at.map(Time),
            refresh_issued_at: status.refresh_issued_at.map(Time),
            refresh_expires_at: status.refresh_expires_at.map(Time),
            extendable: status.extendable,
            expires_at: status.access_expires_at.map(Time),
            last_used_at: connection.last_used_at.map(Time),
            last_failure,
            last_failure_at: last_failure_at.map(Time),
            machine: status.machine.clone(),
            client_certificate_expires_at: connection
                .client_certificate
                .as_ref()
                .map(|certificate| Time(certificate.not_after)),
            api_key_expires_at: connection.grant.api_key_expires_at().map(Time),
            api_key_refused_at: status.api_key_refused_at.map(Time),
        }
    }
}

json_object! {
    /// One connection.
    pub(crate) struct ConnectionAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// Whether the portal has accepted a token at the API URL; `null` if the connection has
        /// none of its own.
        pub(crate) api_url_confirmed: Option<bool>,
        /// The client ID of the registered application; `null` for a network connection and one
        /// with an API key, which have none.
        pub(crate) client_id: Option<String>,
        /// The words of the command that prints the client secret, the path of its program first;
        /// `null` if there is none.
        pub(crate) client_secret_command: Option<Vec<String>>,
        /// The words of the command that prints the API key, the path of its program first; `null`
        /// if there is none.
        pub(crate) api_key_command: Option<Vec<String>>,
        /// Where the portal sends the authorization code; `null` unless `auth_type` is `user`.
        pub(crate) redirect_uri: Option<String>,
        /// Whether sign-ins use PKCE; `null` unless `auth_type` is `user`.
        pub(crate) pkce: Option<bool>,
        /// The `Referer` that is sent with every request; `null` if none is.
        pub(crate) referer: Option<String>,
        /// How to verify the portal's certificate: `true`, `false`, or the path of a file of
        /// certificates. Always a string.
        pub(crate) verify_ssl: String,
        /// The subject of the client certificate, in `show` read from it (`null` if that fails), in
        /// `list` as stored with the connection; `null` if there is none.
        pub(crate) client_certificate: Option<String>,
        /// Its issuer, likewise; `null` if there is none.
        pub(crate) client_certificate_issuer: Option<String>,
        /// Its SHA-256 fingerprint, likewise; `null` if there is none.
        pub(crate) client_certificate_sha256: Option<String>,
        /// Where it is: `keychain`, `file:` and a path, `store:` and the SHA-256, or a PKCS#11 URI;
        /// `null` if there is none.
        pub(crate) client_certificate_source: Option<String>,
        /// What is answered to the sign-in of the web server in front of the portal: `none` or
        /// `windows`.
        pub(crate) web_tier: &'static str,
        /// As whom Windows sign-in is answered; `null` if it is not.
        pub(crate) web_tier_principal: Option<String>,
        /// The proxy: `system`, `none`, or a URL.
        pub(crate) proxy: String,
        /// Where the secrets are: `os` or `vault`.
        pub(crate) keychain: &'static str,
        /// The tags.
        pub(crate) tags: Vec<String>,
        /// When the connection was added; `null` if that is not known.
        pub(crate) created_at: Option<Time>,
        #[serde(flatten)]
        pub(crate) stored: StoredFacts,
        /// Whether it is the default connection.
        pub(crate) default: bool,
    }
}

impl ConnectionAnswer {
    pub(crate) fn of(connection: &Connection, default: Option<&ConnectionId>) -> Self {
        let (redirect_uri, pkce) = match &connection.grant {
            Grant::User { redirect_uri, pkce } => (Some(redirect_uri.to_string()), Some(*pkce)),
            Grant::Application | Grant::Network | Grant::ApiKey { .. } => (None, None),
        };
        let certificate = connection.client_certificate.as_ref();
        let command = |prints| {
            let is_it = connection.grant.kind().printed_secret() == prints;
            let command = connection.secret_command.as_ref().filter(|_| is_it);
            command.map(|command| command.words().to_vec())
        };
        Self {
            identity: Identity::of(connection),
            api_url_confirmed: connection
                .urls
                .separate_api_url()
                .map(|_| connection.unconfirmed_api_url().is_none()),
            client_id: known(&connection.client_id),
            client_secret_command: command(PrintedSecret::ClientSecret),
            api_key_command: command(PrintedSecret::ApiKey),
            redirect_uri,
            pkce,
            referer: connection.sent_referer().map(str::to_owned),
            verify_ssl: verify_ssl(&connection.tls),
            client_certificate: certificate.map(|c| c.subject.clone()),
            client_certificate_issuer: certificate.map(|c| c.issuer.clone()),
            client_certificate_sha256: certificate.map(|c| c.sha256.clone()),
            client_certificate_source: certificate.map(|c| c.source.to_string()),
            web_tier: connection.web_tier.as_str(),
            web_tier_principal: connection.web_tier.principal().map(ToString::to_string),
            proxy: connection.proxy.as_str().to_owned(),
            keychain: connection.keychain.as_str(),
            tags: connection.tags.clone(),
            created_at: connection.created_at.map(Time),
            stored: StoredFacts::of(connection),
            default: default == Some(&connection.id),
        }
    }

    /// Leaves out what `meta.json` says of a client certificate that cannot be read.
    pub(crate) fn without_certificate_facts(&mut self) {
        self.client_certificate = None;
        self.client_certificate_issuer = None;
        self.client_certificate_sha256 = None;
        self.stored.client_certificate_expires_at = None;
    }
}

json_object! {
    /// One connection, and which secrets it has.
    pub(crate) struct ShowAnswer {
        #[serde(flatten)]
        pub(crate) connection: ConnectionAnswer,
        /// Whether the keychain has a client secret; `null` if the keychain does not say.
        pub(crate) has_client_secret: Option<bool>,
        /// Whether the keychain has an API key, or the record whose key a command prints; `null` if
        /// the keychain does not say.
        pub(crate) has_api_key: Option<bool>,
        /// Whether the keychain has tokens; `null` if the keychain does not say.
        pub(crate) has_tokens: Option<bool>,
        /// The connection's folder.
        pub(crate) folder: String,
    }
}

json_object! {
    /// Where things are on this machine.
    pub(crate) struct InfoAnswer {
        /// The folder of the connection store.
        pub(crate) store_base: String,
        /// The label of the default connection; `null` if there is no default.
        pub(crate) default_connection: Option<String>,
        /// The ID of the default connection; `null` if there is no default.
        pub(crate) default_connection_id: Option<String>,
        /// Where the secrets of a new connection go: `os` or `vault`.
        pub(crate) keychain: &'static str,
        /// The path of this program.
        pub(crate) program: String,
        /// The version of this program.
        pub(crate) version: &'static str,
    }
}

json_object! {
    /// One connection's sign-in.
    pub(crate) struct StatusAnswer {
        #[serde(flatten)]
        pub(crate) identity: Identity,
        /// The state of the sign-in.
        pub(crate) sign_in: Word<SignInState>,
        #[serde(flatten)]
        pub(crate) stored: StoredFacts,
        /// Where the secrets are: `os` or `vault`.
        pub(crate) keychain: &'static str,
        /// Whether the secret that a renewal needs is in the keychain: the tokens, or an
        /// application's client secret; where a command prints that, whether the record is there
        /// that a person chose the command. `null` without `--keychain`, and if the keychain
        /// failed.
        pub(crate) secret_stored: Option<bool>,
        /// Why the keychain failed; `null` if it did not.
        pub(crate) keychain_reason: Option<Word<KeychainReason>>,
        /// The same as a sentence; `null` if it did not fail.
        pub(crate) keychain_error: Option<String>,
        /// Whether it is the default connection.
        pub(crate) default: bool,
    }
}

json_object! {
    /// All checks.
    pub(crate) struct DoctorAnswer {
        /// The account that `--account` names and that made the checks; `null` without `--account`.
        pub(crate) account: Option<String>,
        /// The checks, in the order in which they were made.
        pub(crate) checks: Vec<CheckAnswer>,
        /// How many are `ok`.
        pub(crate) ok: usize,
        /// How many are `warn`.
        pub(crate) warn: usize,
        /// How many are `fail`.
        pub(crate) fail: usize,
    }
}

json_object! {
    /// One check.
    pub(crate) struct CheckAnswer {
        /// What was checked; [doctor.md](doctor.md) lists the checks.
        pub(crate) check: &'static str,
        /// The connection's label; `null` for a check of the machine or the store.
        pub(crate) connection: Option<String>,
        /// The result.
        pub(crate) severity: Word<Severity>,
        /// What was found.
        pub(crate) message: String,
        /// What to run or do next; `null` if nothing.
        pub(crate) hint: Option<String>,
        /// Whether `--fix` can fix it.
        pub(crate) fixable: bool,
    }
}

json_object! {
    /// What a request of the Python package presents to the web server in front of a portal.
    pub(crate) struct PresentedAnswer<'a> {
        /// The scheme, host and port that get it, and no other; `null` if the URL cannot be read.
        pub(crate) origin: Option<String>,
        /// The value of `Authorization` for one request; `null` if it is not asked for, or Windows
        /// sign-in is not answered.
        pub(crate) authorization: Option<&'a str>,
        /// The client certificate and those that lead to its authority, as PEM; `null` if it is
        /// not asked for, or there is none.
        pub(crate) certificate: Option<&'a str>,
        /// Its private key as encrypted PKCS#8, as PEM; `null` if there is no certificate.
        pub(crate) private_key: Option<&'a str>,
        /// What opens the private key; `null` if there is no certificate.
        pub(crate) private_key_password: Option<&'a str>,
    }
}

json_object! {
    /// Why the command failed: the last line on standard error.
    pub(crate) struct ErrorLine {
        /// The error.
        pub(crate) error: ErrorBody,
    }
}

json_object! {
    /// The error.
    pub(crate) struct ErrorBody {
        /// What kind of failure it is.
        pub(crate) kind: Word<FailureKind>,
        /// What happened, to which connection, at which URL.
        pub(crate) message: String,
        /// What to run or do next; `null` if there is no advice.
        pub(crate) hint: Option<String>,
        /// The program's exit code.
        pub(crate) code: u8,
        /// How the keychain failed; `null` for every other kind, and where the cause is a client
        /// certificate of the Windows certificate store, or its private key.
        pub(crate) reason: Option<Word<KeychainReason>>,
    }
}

json_object! {
    /// Something that a person should know although the command continues: a line on standard
    /// error.
    pub(crate) struct WarningLine<'a> {
        /// The warning, in one sentence.
        pub(crate) warning: &'a str,
    }
}

json_object! {
    /// One decision about a token or a sign-in, or one failure.
    pub(crate) struct LogLine {
        /// When.
        pub(crate) time: Time,
        /// The process ID.
        pub(crate) pid: u32,
        /// The program that started it; `null` if that is not known.
        pub(crate) parent: Option<String>,
        /// `token`, `refresh`, `connections edit` …; `null` if the command line was wrong (it is
        /// not logged, since it may contain a secret).
        pub(crate) command: Option<String>,
        /// The connection's label; `null` if none was found.
        pub(crate) connection: Option<String>,
        /// The connection's ID; `null` if none was found.
        pub(crate) id: Option<String>,
        /// The decision, or the kind of the failure.
        pub(crate) decision: Word<LogDecision>,
        /// The exit code that follows from it.
        pub(crate) code: u8,
        /// Milliseconds since the work on this connection began.
        pub(crate) duration_ms: u64,
        /// How the keychain failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) reason: Option<Word<KeychainReason>>,
        /// What happened.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) message: Option<String>,
        /// What caused it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) causes: Vec<String>,
        /// What to run or do next.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) hint: Option<String>,
        /// The warnings that were printed meanwhile, or would have been without `--quiet`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) warnings: Vec<String>,
    }
}
