//! A user's sign-in with a browser: the address of the portal's sign-in page, and the authorization
//! code that comes back.
//!
//! Sources: Esri, "Authorize" and "Token"; PKCE is RFC 7636.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use jiff::Timestamp;
use ring::digest;
use url::Url;
use zeroize::Zeroizing;

use super::authorization_error::AuthorizationError;
use super::pasted::{self, bare_query, Destination};
use super::token_response::{self, not_a_token_endpoint, TokenResponse};
use super::{client_fields, refusal};
use crate::connection::{Connection, Grant, PortalUrl, RedirectUri};
use crate::error::{Error, Input, Refusal, Result};
use crate::http::{CallError, Field, Http, Retry};
use crate::secret::Secret;
use crate::text::one_line;
use crate::util::random;

/// The `expiration` that asks for the longest sign-in that the portal allows (Esri, "Authorize").
const LONGEST: i64 = -1;

/// The longest host that is shown, in characters.
const LONGEST_HOST: usize = 200;

/// What a person chose for a sign-in.
#[derive(Clone, Debug, Default)]
pub struct SignInOptions {
    /// How many minutes the sign-in should live. `None` asks for the longest life that the portal
    /// allows.
    pub minutes: Option<i64>,
    /// Makes the portal show its sign-in form even if the browser is signed in there, so that
    /// another user can sign in.
    pub force_login: bool,
}

/// One attempt to sign in. Its `state` and code verifier exist only here. It sends a code once; if
/// the portal refuses it, another code of the same attempt may follow.
#[derive(Debug)]
pub struct SignInAttempt {
    url: String,
    state: Secret,
    verifier: Option<Secret>,
    redirect_uri: RedirectUri,
    portal: PortalUrl,
    destination: Destination,
    sent: Vec<Secret>,
}

/// An authorization code that belongs to the attempt that read it.
#[derive(Debug)]
pub struct AuthorizationCode(Secret);

impl AuthorizationCode {
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What a person pasted or a browser sent, as the attempt understands it.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorizationResponse {
    /// The authorization code for this attempt.
    Code(AuthorizationCode),
    /// The person declined at the portal.
    Declined,
    /// The portal reports another error.
    Failed(AuthorizationError),
    /// A response to another attempt: its `state` differs.
    Foreign,
    /// A response of another portal than the one that was asked; holds its host. Sending its code
    /// to the portal of this attempt could hand over a sign-in (RFC 9700 section 4.4).
    OtherPortal(String),
    /// A code of this attempt that was already sent.
    Used,
    /// The address of the sign-in page, not the one that the portal led to.
    OwnUrl,
    /// Nothing in it can be a code.
    Unusable,
}

impl SignInAttempt {
    /// Begins an attempt for a user connection, with a new `state` and code verifier.
    pub fn begin(connection: &Connection, options: &SignInOptions) -> Result<Self> {
        let Grant::User { redirect_uri, pkce } = &connection.grant else {
            return Err(no_browser());
        };
        let state = random_text()?;
        let verifier = if *pkce { Some(random_text()?) } else { None };
        let portal = connection.browser_url();
        let secret = verifier.as_ref();
        let url = authorize_url(portal, connection, redirect_uri, &state, secret, options)?;
        Ok(Self {
            url,
            state,
            verifier,
            redirect_uri: redirect_uri.clone(),
            portal: portal.clone(),
            destination: Destination::of(portal, redirect_uri),
            sent: Vec::new(),
        })
    }

    /// The page to open. Contains the code challenge and `state`, but no secret.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the portal sends the authorization code.
    #[must_use]
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// Reads what a person pasted: the bare code, the address or the title of the approval page
    /// (`SUCCESS code=…`), or an error. It may be wrapped over several lines.
    ///
    /// An address must be one to which this portal leads, and a `state` must be this attempt's. A
    /// bare code comes without one; PKCE binds it to this attempt.
    #[must_use]
    pub fn read_pasted(&self, pasted: &str) -> AuthorizationResponse {
        let text = pasted::clean(pasted);
        let lines = pasted::lines(&text);
        // What is wrapped has no blanks of its own, and is one address at most.
        let several = lines.iter().any(|line| line.contains(char::is_whitespace))
            || lines.iter().skip(1).any(|line| line.contains("://"));
        let joined = if several {
            String::new()
        } else {
            lines.concat()
        };
        let whole = self.read_line(&joined);
        if let AuthorizationResponse::Unusable = whole {
            // Not wrapped: one line of several may have the code.
            let read = lines.iter().map(|line| self.read_line(line));
            return read
                .filter(|read| !matches!(read, AuthorizationResponse::Unusable))
                .map(|read| self.checked(read, &text, &lines, ""))
                .next()
                .unwrap_or(AuthorizationResponse::Unusable);
        }
        self.checked(whole, &joined, &lines, &joined)
    }

    /// The response, unless it is a code and other parts of the text name another attempt or
    /// another portal: the code is from the first part that has one. `joined` is the text without
    /// its line ends, where the code is wrapped.
    fn checked(
        &self,
        response: AuthorizationResponse,
        text: &str,
        lines: &[&str],
        joined: &str,
    ) -> AuthorizationResponse {
        if !matches!(response, AuthorizationResponse::Code(_)) {
            return response;
        }
        if self.names_another_state(lines, joined) {
            return AuthorizationResponse::Foreign;
        }
        self.other_portal(text)
            .map_or(response, AuthorizationResponse::OtherPortal)
    }

    /// Whether a line has a `state` that is not this attempt's, nor the beginning of it at the end
    /// of a line that is wrapped.
    fn names_another_state(&self, lines: &[&str], joined: &str) -> bool {
        let whole = states(joined).iter().any(|state| self.state.matches(state));
        lines.iter().any(|line| {
            states(line).into_iter().any(|state| {
                let wrapped =
                    whole && line.ends_with(&state) && self.state.expose().starts_with(&state);
                !wrapped && !self.state.matches(&state)
            })
        })
    }

    /// The host of an address to which this portal does not lead.
    fn other_portal(&self, text: &str) -> Option<String> {
        let addresses = self.destination.addresses(text);
        let foreign = addresses.into_iter().find(|address| !address.expected)?;
        let host = foreign
            .host
            .unwrap_or_else(|| "an address that cannot be read".to_owned());
        Some(one_line(&host, LONGEST_HOST))
    }

    fn read_line(&self, text: &str) -> AuthorizationResponse {
        let addresses = self.destination.addresses(text);
        let response = addresses
            .iter()
            .map(|address| self.read_query(&address.query, self.state_must_return()))
            .find(|read| !matches!(read, AuthorizationResponse::Unusable));
        match response {
            Some(AuthorizationResponse::OwnUrl) => return AuthorizationResponse::OwnUrl,
            Some(response) => {
                return match self.other_portal(text) {
                    Some(host) => AuthorizationResponse::OtherPortal(host),
                    None => response,
                }
            }
            None if !addresses.is_empty() && !text.contains(char::is_whitespace) => {
                return AuthorizationResponse::Unusable
            }
            None => {}
        }
        match bare_query(text) {
            Some(query) => self.read_query(query, self.state_must_return()),
            None => self.read_words(text),
        }
    }

    /// Reads a code alone, or the title of a page.
    fn read_words(&self, text: &str) -> AuthorizationResponse {
        // A browser appends its own name to the title.
        let named = text.split_whitespace().find_map(|word| {
            let (name, code) = word.split_at_checked("code=".len())?;
            name.eq_ignore_ascii_case("code=").then_some(code)
        });
        let code = match named {
            Some(code) => code,
            // A sentence is not a code, but it may be the portal's error page.
            None if text.contains(char::is_whitespace) => {
                return AuthorizationError::of_page(text).map_or(
                    AuthorizationResponse::Unusable,
                    AuthorizationResponse::Failed,
                )
            }
            None => text,
        };
        let code_like = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
        if code.len() < 4 || code.len() > 4096 || !code.chars().all(code_like) {
            return AuthorizationResponse::Unusable;
        }
        self.code(Secret::new(code.to_owned()))
    }

    /// The code, unless this attempt has sent it: a portal that sees a code twice may revoke what
    /// it granted for it (RFC 6749 section 4.1.2).
    fn code(&self, code: Secret) -> AuthorizationResponse {
        if self.sent.iter().any(|sent| sent.matches(code.expose())) {
            return AuthorizationResponse::Used;
        }
        AuthorizationResponse::Code(AuthorizationCode(code))
    }

    /// Reads the query of a browser's request to the redirect URI. It must contain this attempt's
    /// `state`, and an issuer in it must be this portal (RFC 9207).
    #[must_use]
    pub fn read_callback(&self, query: &str) -> AuthorizationResponse {
        self.read_query(query, true)
    }

    /// The portal's approval page, where an out-of-band sign-in ends, may leave `state` out; a
    /// redirect never does.
    fn state_must_return(&self) -> bool {
        !matches!(self.redirect_uri, RedirectUri::OutOfBand)
    }

    fn read_query(&self, query: &str, state_required: bool) -> AuthorizationResponse {
        let mut code = None;
        let (mut state, mut error, mut description, mut own) = (None, None, None, false);
        let mut other_issuer = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" if code.is_none() => code = Some(Secret::new(value.into_owned())),
                "state" if state.is_none() => state = Some(value.into_owned()),
                "error" => error = Some(value.into_owned()),
                "error_description" => description = Some(value.into_owned()),
                "iss" if !self.is_issuer(&value) => other_issuer = Some(issuer_host(&value)),
                "response_type" => own = true,
                _ => {}
            }
        }
        let ours = match &state {
            Some(state) => self.state.matches(state),
            None => !state_required,
        };
        if own && code.is_none() {
            return AuthorizationResponse::OwnUrl;
        }
        if !ours {
            return AuthorizationResponse::Foreign;
        }
        if let Some(host) = other_issuer {
            return AuthorizationResponse::OtherPortal(host);
        }
        match (code, error) {
            (_, Some(error)) if error == "access_denied" => AuthorizationResponse::Declined,
            (_, Some(error)) => AuthorizationResponse::Failed(AuthorizationError::new(
                &error,
                description.as_deref(),
            )),
            (Some(code), None) if !code.is_empty() => self.code(code),
            _ => AuthorizationResponse::Unusable,
        }
    }

    /// Whether an issuer (`iss`, RFC 9207) is this attempt's portal.
    fn is_issuer(&self, issuer: &str) -> bool {
        Url::parse(issuer).is_ok_and(|issuer| self.portal.contains(&issuer))
    }

    /// Gets tokens for the code. The request is sent once: a portal that sees a code twice may
    /// revoke what it granted for it (RFC 6749 section 4.1.2).
    pub(crate) fn finish(
        &mut self,
        code: AuthorizationCode,
        http: &Http,
        connection: &Connection,
        client_secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<TokenResponse> {
        self.sent.push(code.0.duplicate());
        let code = code.0;
        let mut form = client_fields(connection, client_secret);
        form.extend([
            ("grant_type", Field::Plain("authorization_code")),
            ("redirect_uri", Field::Plain(self.redirect_uri.as_str())),
            ("code", Field::Secret(&code)),
        ]);
        if let Some(verifier) = &self.verifier {
            form.push(("code_verifier", Field::Secret(verifier)));
        }
        let answer = http
            .post("oauth2/token", &form, None, Retry::OnlyUnsent)
            .map_err(|error| explain(error, connection))?;
        let response = token_response::read(&answer, http.portal(), now)?;
        if response.refresh.is_none() {
            return Err(not_a_token_endpoint(http.portal()));
        }
        Ok(response)
    }
}

fn no_browser() -> Error {
    Error::invalid(
        "connection",
        "only a user connection signs in with a browser",
    )
}

fn explain(error: CallError, connection: &Connection) -> Error {
    match error {
        CallError::Failed { error, .. } => error.about(connection.label.as_str()),
        CallError::Portal(error) => refusal(&error, connection, |error| {
            Refusal::Code(error.text.clone())
        }),
    }
}

/// The host in an issuer, for a message.
fn issuer_host(issuer: &str) -> String {
    let host = Url::parse(issuer).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or(issuer);
    one_line(host, LONGEST_HOST)
}

/// The values of `state` in a text.
fn states(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || "?#&".contains(c))
        .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()))
        .filter(|(name, _)| name == "state")
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// The sign-in page at the address where programs talk to the portal, to read what it says about
/// the connection. It belongs to no attempt, so that a code from it is of no use.
#[cfg(feature = "cli")]
pub(crate) fn sign_in_page(connection: &Connection) -> Result<String> {
    let Grant::User { redirect_uri, pkce } = &connection.grant else {
        return Err(no_browser());
    };
    let (state, verifier) = (random_text()?, random_text()?);
    authorize_url(
        connection.api_url(),
        connection,
        redirect_uri,
        &state,
        pkce.then_some(&verifier),
        &SignInOptions::default(),
    )
}

/// The sign-in page at this address of the portal (Esri, "Authorize"). `state` comes back with the
/// code (RFC 6749 section 10.12).
fn authorize_url(
    portal: &PortalUrl,
    connection: &Connection,
    redirect_uri: &RedirectUri,
    state: &Secret,
    verifier: Option<&Secret>,
    options: &SignInOptions,
) -> Result<String> {
    let mut url = Url::parse(&portal.rest("oauth2/authorize"))
        .map_err(|why| Error::invalid(Input::PortalUrl, why.to_string()))?;
    let minutes = options.minutes.unwrap_or(LONGEST);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("client_id", &connection.client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", redirect_uri.as_str())
        .append_pair("state", state.expose())
        .append_pair("expiration", &minutes.to_string());
    if let Some(verifier) = verifier {
        query
            .append_pair("code_challenge", &challenge(verifier))
            .append_pair("code_challenge_method", "S256");
    }
    if options.force_login {
        query.append_pair("force_login", "true");
    }
    drop(query);
    Ok(url.into())
}

/// 32 octets from the system's random source, as 43 unreserved characters (RFC 7636 section 4.1).
fn random_text() -> Result<Secret> {
    let octets = Zeroizing::new(random::<32>().ok_or(Error::Random)?);
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*octets)))
}

/// `BASE64URL(SHA256(verifier))` (RFC 7636 section 4.2).
fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(
        &digest::SHA256,
        verifier.expose().as_bytes(),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn connection(redirect: &str) -> Connection {
        Connection::new(
            "prod".parse().unwrap(),
            "https://h/portal".parse().unwrap(),
            Grant::User {
                redirect_uri: redirect.parse().unwrap(),
                pkce: true,
            },
            "client1".into(),
        )
    }

    fn sign_in(redirect: &str) -> SignInAttempt {
        SignInAttempt::begin(&connection(redirect), &SignInOptions::default()).unwrap()
    }

    fn code(response: AuthorizationResponse) -> Option<String> {
        match response {
            AuthorizationResponse::Code(code) => Some(code.0.expose().to_owned()),
            _ => None,
        }
    }

    const OOB: &str = RedirectUri::OUT_OF_BAND;
    const LOOPBACK: &str = "http://127.0.0.1:53682/callback";

    #[test]
    fn rule_3_verifiers_are_43_unreserved_characters_and_never_repeat() {
        let mut seen = HashSet::new();
        // Of each octet, and of each half, every value counts.
        let mut values = vec![HashSet::new(); 32];
        let mut halves = HashSet::new();
        for _ in 0..10_000 {
            let verifier = random_text().unwrap();
            assert_eq!(verifier.expose().len(), 43);
            assert!(verifier
                .expose()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)));
            assert!(seen.insert(verifier.expose().to_owned()));
            let octets = URL_SAFE_NO_PAD.decode(verifier.expose()).unwrap();
            assert_eq!(octets.len(), 32);
            for half in octets.chunks(16) {
                assert!(halves.insert(half.to_vec()));
            }
            for (values, octet) in values.iter_mut().zip(octets) {
                values.insert(octet);
            }
        }
        // That one of 256 values is missing among 10,000 has a probability of 2.6 in 10^15.
        assert!(values.iter().all(|values| values.len() == 256));
    }

    #[test]
    fn rule_3_state_and_verifier_are_independent() {
        let sign_in = sign_in(OOB);
        let verifier = sign_in.verifier.as_ref().unwrap();
        assert_ne!(verifier.expose(), sign_in.state.expose());
        assert!(!sign_in.url().contains(verifier.expose()));
    }

    #[test]
    fn rule_2_the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(
            challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn the_url_carries_what_the_portal_needs_and_no_secret() {
        let sign_in = sign_in(OOB);
        let url = Url::parse(sign_in.url()).unwrap();
        let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/portal/sharing/rest/oauth2/authorize");
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["redirect_uri"], OOB);
        assert_eq!(query["expiration"], "-1");
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["state"], sign_in.state.expose());
        assert!(!sign_in
            .url()
            .contains(sign_in.verifier.as_ref().unwrap().expose()));
        assert!(!query.contains_key("scope"));
    }

    #[test]
    fn people_may_paste_a_code_in_many_shapes() {
        let sign_in = sign_in(OOB);
        let state = sign_in.state.expose();
        for pasted in [
            "abc-DEF_123.x~",
            "  abc-DEF_123.x~\r\n",
            "\"abc-DEF_123.x~\"",
            "\u{201c}abc-DEF_123.x~\u{201d}",
            "\u{feff}abc-DEF_123.x~\u{200b}",
            "SUCCESS code=abc-DEF_123.x~",
            "SUCCESS code=abc-DEF_123.x~ - Mozilla Firefox",
            "code=abc-DEF_123.x~",
            "?code=abc-DEF_123.x~&x=y",
            "https://h/portal/sharing/rest/oauth2/approval?code=abc-DEF_123.x~",
            "<https://h/portal/sharing/rest/oauth2/approval?a=b&amp;code=abc-DEF_123.x~>",
            &format!("https://h/portal/x/oauth2/approval?code=abc-DEF_123.x~&state={state}"),
            "h/portal/sharing/rest/oauth2/approval?code=abc-DEF_123.x~",
            "\u{1b}[200~abc-DEF_123.x~\u{1b}[201~\r\n",
            "0~abc-DEF_123.x~1~",
            "abc-DE\nF_123.x~",
            "SUCCESS code=abc-DEF_123.x~\nCopy this code.",
            "Please copy this code:\r\n\r\n  abc-DEF_123.x~  \r\n",
            "https://h/portal/sharing/rest/oauth2/appr\noval?code=abc-DEF_\n123.x~",
            &format!(
                "https://h/portal/sharing/rest/oauth2/\napproval?code=abc-DEF_123.x~&state={}\n{}",
                &state[..9],
                &state[9..]
            ),
            &format!("code=abc-DEF_123.x~&state={state}"),
        ] {
            assert_eq!(
                code(sign_in.read_pasted(pasted)).as_deref(),
                Some("abc-DEF_123.x~"),
                "{pasted}"
            );
        }
    }

    #[test]
    fn a_code_keeps_its_equals_signs_and_its_length_is_bounded() {
        let sign_in = sign_in(OOB);
        let (shortest, longest) = ("abcd", "x".repeat(4096));
        for whole in ["abcd==", "abcd=efgh", shortest, &longest] {
            assert_eq!(code(sign_in.read_pasted(whole)).as_deref(), Some(whole));
        }
        for no_code in ["abc", &"x".repeat(4097), "abcd&efgh"] {
            assert_eq!(code(sign_in.read_pasted(no_code)), None);
        }
        // A bare code comes without a `state`, also for a loopback redirect URI.
        let loopback =
            SignInAttempt::begin(&connection(LOOPBACK), &SignInOptions::default()).unwrap();
        let alone = loopback.read_pasted("code=abcdef");
        assert_eq!(code(alone).as_deref(), Some("abcdef"));
    }

    #[test]
    fn of_repeated_parameters_the_first_counts() {
        let sign_in = sign_in(LOOPBACK);
        let state = sign_in.state.expose();
        let read = |query: &str| sign_in.read_callback(query);
        assert_eq!(
            code(read(&format!(
                "code=first&code=second&state={state}&state=other"
            )))
            .as_deref(),
            Some("first")
        );
        assert!(matches!(
            read(&format!("code=first&state=other&state={state}")),
            AuthorizationResponse::Foreign
        ));
        assert!(matches!(
            read(&format!("code=&state={state}")),
            AuthorizationResponse::Unusable
        ));
    }

    #[test]
    fn text_without_a_code_is_classified() {
        let sign_in = sign_in(OOB);
        for nothing in [
            "",
            "   ",
            "abc",
            "several words here",
            "a\u{1b}[31mb",
            "https://h/portal/home",
        ] {
            assert!(
                matches!(
                    sign_in.read_pasted(nothing),
                    AuthorizationResponse::Unusable
                ),
                "{nothing:?}"
            );
        }
        assert!(matches!(
            sign_in
                .read_pasted("https://h/portal/approval?error=access_denied&error_description=x"),
            AuthorizationResponse::Declined
        ));
        assert!(matches!(
            sign_in.read_pasted("error=access_denied"),
            AuthorizationResponse::Declined
        ));
        assert!(matches!(
            sign_in.read_pasted(sign_in.url()),
            AuthorizationResponse::OwnUrl
        ));
        assert!(matches!(
            sign_in.read_pasted("https://h/portal/approval?error=server_error&error_description=a%0Ab"),
            AuthorizationResponse::Failed(error) if error.text() == "a b"
        ));
    }

    #[test]
    fn rule_7_a_pasted_address_of_another_attempt_is_refused() {
        let sign_in = sign_in(OOB);
        for foreign in [
            "https://h/portal/approval?code=abcdef&state=other",
            "code=abcdef https://h/portal/approval?state=other",
            "code=abcdef state=other",
            "code=abcdef\nstate=other",
            "code=abcdef\nstate=\nother",
            "https://h/portal/approval?code=abcdef&state=\nother",
        ] {
            assert!(
                matches!(sign_in.read_pasted(foreign), AuthorizationResponse::Foreign),
                "{foreign}"
            );
        }
    }

    #[test]
    fn rule_12_a_pasted_address_of_another_portal_is_refused() {
        let sign_in = sign_in(OOB);
        let state = sign_in.state.expose();
        for foreign in [
            "https://evil.example/portal/sharing/rest/oauth2/approval?code=abcdef",
            "evil.example/portal/sharing/rest/oauth2/approval?code=abcdef",
            "https://h/other/sharing/rest/oauth2/approval?code=abcdef",
            "Sign In https://evil.example/approval?code=abcdef",
            "SUCCESS code=abcdef https://evil.example/approval",
            "code=abcdef\nhttps://evil.example/approval",
            "https://h/portal/x\nhttps://evil.example/approval?code=abcdef",
            "https://h/portal/x?\nevil.example/approval?code=abcdef",
            "https://evil.example/approval?error=access_denied",
            "code=abcdef&iss=https://evil.example/portal",
            "https://h/portal/approval?code=abcdef&iss=https%3A%2F%2Fevil.example",
            &format!("https://evil.example/approval?code=abcdef&state={state}"),
        ] {
            assert!(
                matches!(
                    sign_in.read_pasted(foreign),
                    AuthorizationResponse::OtherPortal(_)
                ),
                "{foreign}: {:?}",
                sign_in.read_pasted(foreign)
            );
        }
        for ours in [
            "code=abcdef&iss=https://h/portal",
            "https://h/portal/approval?code=abcdef&iss=https%3A%2F%2Fh%2Fportal%2Fsharing%2Frest",
        ] {
            assert_eq!(
                code(sign_in.read_pasted(ours)).as_deref(),
                Some("abcdef"),
                "{ours}"
            );
        }
    }

    #[test]
    fn rule_12_a_callback_of_another_issuer_is_refused() {
        let sign_in = sign_in(LOOPBACK);
        let state = sign_in.state.expose();
        let read = |issuer: &str| {
            sign_in.read_callback(&format!("code=abcdef&state={state}&iss={issuer}"))
        };
        for foreign in [
            "https://evil.example",
            "https://h",
            "",
            "https://h/portal&iss=https://evil.example",
        ] {
            assert!(
                matches!(read(foreign), AuthorizationResponse::OtherPortal(_)),
                "{foreign}"
            );
        }
        assert_eq!(code(read("https://h/portal")).as_deref(), Some("abcdef"));
    }

    #[test]
    fn an_error_of_the_portal_is_reported_as_what_it_is() {
        let connection = connection(LOOPBACK);
        let read = |error: &str, description: Option<&str>| match AuthorizationError::new(
            error,
            description,
        )
        .into_error(&connection)
        {
            Error::Refused { why, .. } => why,
            other => Refusal::SignIn(other.to_string()),
        };
        let unregistered = Refusal::RedirectUri(LOOPBACK.into());
        assert_eq!(
            read("invalid_request", Some("Invalid redirect_uri")),
            unregistered
        );
        assert_eq!(read("redirect_uri_mismatch", None), unregistered);
        assert_eq!(
            read("invalid_request", Some("Invalid client_id")),
            Refusal::ClientId
        );
        assert_eq!(read("invalid_client_id", None), Refusal::ClientId);
        assert_eq!(
            read("unauthorized_client", Some("no")),
            Refusal::Application("no".into())
        );
        assert_eq!(read("access_denied", Some("no")), Refusal::Denied);
        assert_eq!(
            read("invalid_scope", None),
            Refusal::SignIn("invalid_scope".into())
        );
        for later in ["server_error", "temporarily_unavailable"] {
            let error = AuthorizationError::new(later, Some("busy")).into_error(&connection);
            assert!(error.is_transient());
            assert!(error.to_string().contains("not available now (busy)"));
        }
        // A person may paste the page that the portal shows in place of a redirect.
        let sign_in = sign_in(OOB);
        assert!(matches!(
            sign_in.read_pasted("Error 400: Invalid redirect_uri"),
            AuthorizationResponse::Failed(_)
        ));
    }

    #[test]
    fn rule_11_a_code_that_was_sent_is_not_taken_again() {
        let mut sign_in = sign_in(OOB);
        sign_in.sent.push(Secret::new("abcdef".into()));
        for again in [
            "abcdef",
            "code=abcdef",
            "https://h/portal/approval?code=abcdef",
        ] {
            assert!(matches!(
                sign_in.read_pasted(again),
                AuthorizationResponse::Used
            ));
        }
        assert_eq!(
            code(sign_in.read_pasted("abcdeg")).as_deref(),
            Some("abcdeg")
        );
    }

    #[test]
    fn rule_6_a_callback_needs_the_state_of_its_attempt() {
        let (mine, other) = (sign_in(LOOPBACK), sign_in(LOOPBACK));
        let callback = |state: &str| format!("code=abcdef&state={state}");
        assert!(matches!(
            mine.read_callback(&callback(other.state.expose())),
            AuthorizationResponse::Foreign
        ));
        assert!(matches!(
            mine.read_callback("code=abcdef"),
            AuthorizationResponse::Foreign
        ));
        assert!(matches!(
            mine.read_callback("code=abcdef&state="),
            AuthorizationResponse::Foreign
        ));
        assert!(matches!(
            mine.read_callback("error=access_denied&state=wrong"),
            AuthorizationResponse::Foreign
        ));
        let own = mine.state.expose();
        let swapped = |c: char| match c {
            c if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            c => c.to_ascii_lowercase(),
        };
        for similar in [
            own.chars().map(swapped).collect(),
            own[..42].to_owned(),
            format!("{own}x"),
        ] {
            assert!(matches!(
                mine.read_callback(&callback(&similar)),
                AuthorizationResponse::Foreign
            ));
        }
        assert_eq!(
            code(mine.read_callback(&callback(mine.state.expose()))).as_deref(),
            Some("abcdef")
        );
        assert!(matches!(
            mine.read_pasted("http://127.0.0.1:53682/callback?code=abcdef"),
            AuthorizationResponse::Foreign
        ));
    }

    proptest! {
        #[test]
        fn any_pasted_text_is_read_without_panic(text in "\\PC*") {
            let _ = sign_in(OOB).read_pasted(&text);
        }

        #[test]
        fn every_likely_code_is_found_again(word in "[A-Za-z0-9_-]{4,200}") {
            let sign_in = sign_in(OOB);
            for pasted in [
                word.clone(),
                format!("SUCCESS code={word}"),
                format!("https://h/portal/oauth2/approval?code={word}&x=y"),
            ] {
                prop_assert_eq!(code(sign_in.read_pasted(&pasted)), Some(word.clone()));
            }
        }
    }
}
