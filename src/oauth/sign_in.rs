//! A user's sign-in with a browser: the address of the portal's sign-in page, and the authorization
//! code that comes back.
//!
//! Sources: Esri, "Authorize" and "Token"; PKCE is RFC 7636.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use jiff::Timestamp;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use url::Url;

use super::token_response::{self, not_a_token_endpoint, TokenResponse};
use super::{client_fields, refusal};
use crate::connection::{is_control, Connection, Grant, RedirectUri};
use crate::error::{Error, Refusal, Result};
use crate::http::{CallError, Field, Http, Retry};
use crate::secret::Secret;
use crate::text::one_line;

/// The `expiration` that asks for the longest sign-in that the portal allows (Esri, "Authorize").
const LONGEST: i64 = -1;

/// The longest error message of a portal that is shown, in characters.
const LONGEST_MESSAGE: usize = 200;

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

/// One attempt to sign in. Its `state` and code verifier exist only here, and
/// [`SignInAttempt::finish`] consumes them.
#[derive(Debug)]
pub struct SignInAttempt {
    url: String,
    state: Secret,
    verifier: Option<Secret>,
    redirect_uri: RedirectUri,
    label: String,
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
    /// The portal reports another error; holds its message, in one line.
    Failed(String),
    /// A response to another attempt: its `state` differs.
    Foreign,
    /// The address of the sign-in page, not the one that the portal led to.
    OwnUrl,
    /// Nothing in it can be a code.
    Unusable,
}

impl SignInAttempt {
    /// Begins an attempt for a user connection, with a new `state` and code verifier.
    pub fn begin(connection: &Connection, options: &SignInOptions) -> Result<Self> {
        let Grant::User { redirect_uri, pkce } = &connection.grant else {
            return Err(Error::invalid(
                "connection",
                "an application does not sign in with a browser",
            ));
        };
        let state = random_text()?;
        let verifier = if *pkce { Some(random_text()?) } else { None };
        let url = authorize_url(connection, redirect_uri, &state, verifier.as_ref(), options)?;
        Ok(Self {
            url,
            state,
            verifier,
            redirect_uri: redirect_uri.clone(),
            label: connection.label.to_string(),
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
    /// (`SUCCESS code=…`), or an error.
    ///
    /// A `state` in it must be this attempt's. A bare code comes without one; PKCE binds it to this
    /// attempt.
    #[must_use]
    pub fn read_pasted(&self, pasted: &str) -> AuthorizationResponse {
        let text = strip_quotes(pasted);
        match self.read_text(&text) {
            // `read_text` takes the code from the first part that has one; the others may name a
            // `state`.
            AuthorizationResponse::Code(_) if self.names_another_state(&text) => {
                AuthorizationResponse::Foreign
            }
            response => response,
        }
    }

    fn names_another_state(&self, text: &str) -> bool {
        text.split(|c: char| c.is_whitespace() || "?#&".contains(c))
            .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()))
            .any(|(name, value)| name == "state" && !self.state.matches(&value))
    }

    fn read_text(&self, text: &str) -> AuthorizationResponse {
        if let Some(query) = query_of(text) {
            return self.read_query(&query, self.state_must_return());
        }
        let code = match text.split_once('=') {
            Some((before, after)) if before.to_ascii_lowercase().ends_with("code") => after,
            // A sentence is not a code.
            _ if text.contains(char::is_whitespace) => return AuthorizationResponse::Unusable,
            _ => text,
        };
        // A browser appends its own name to the title.
        let code = code.split_whitespace().next().unwrap_or_default();
        let code_like = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
        if code.len() < 4 || code.len() > 4096 || !code.chars().all(code_like) {
            return AuthorizationResponse::Unusable;
        }
        AuthorizationResponse::Code(AuthorizationCode(Secret::new(code.to_owned())))
    }

    /// Reads the query of a browser's request to the redirect URI. It must contain this attempt's
    /// `state`.
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
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" if code.is_none() => code = Some(Secret::new(value.into_owned())),
                "state" if state.is_none() => state = Some(value.into_owned()),
                "error" => error = Some(value.into_owned()),
                "error_description" => description = Some(value.into_owned()),
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
        match (code, error) {
            (_, Some(error)) if error == "access_denied" => AuthorizationResponse::Declined,
            (_, Some(error)) => AuthorizationResponse::Failed(one_line(
                &description.unwrap_or(error),
                LONGEST_MESSAGE,
            )),
            (Some(code), None) if !code.is_empty() => {
                AuthorizationResponse::Code(AuthorizationCode(code))
            }
            _ => AuthorizationResponse::Unusable,
        }
    }

    /// Gets tokens for the code. The request is sent once: a portal that sees a code twice may
    /// revoke what it granted for it (RFC 6749 section 4.1.2).
    pub(crate) fn finish(
        self,
        code: AuthorizationCode,
        http: &Http,
        connection: &Connection,
        client_secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<TokenResponse> {
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
            .map_err(|error| self.explain(error, connection))?;
        let response = token_response::read(&answer, http.portal(), now)?;
        if response.refresh.is_none() {
            return Err(not_a_token_endpoint(http.portal()));
        }
        Ok(response)
    }

    fn explain(&self, error: CallError, connection: &Connection) -> Error {
        match error {
            CallError::Failed { error, .. } => error.about(&self.label),
            CallError::Portal(error) => refusal(&error, &connection.portal, &self.label, |error| {
                Refusal::Code(error.text.clone())
            }),
        }
    }
}

/// The address of the portal's sign-in page (Esri, "Authorize"). `state` comes back with the code
/// (RFC 6749 section 10.12).
fn authorize_url(
    connection: &Connection,
    redirect_uri: &RedirectUri,
    state: &Secret,
    verifier: Option<&Secret>,
    options: &SignInOptions,
) -> Result<String> {
    let mut url = Url::parse(&connection.portal.rest("oauth2/authorize"))
        .map_err(|why| Error::invalid("portal URL", why.to_string()))?;
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
    let mut octets = zeroize::Zeroizing::new([0_u8; 32]);
    SystemRandom::new()
        .fill(&mut *octets)
        .map_err(|_| Error::Random)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*octets)))
}

/// `BASE64URL(SHA256(verifier))` (RFC 7636 section 4.2).
fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(
        &digest::SHA256,
        verifier.expose().as_bytes(),
    ))
}

/// Removes what programs add when text is copied: blanks, quotes, invisible characters, and `&amp;`
/// for `&`.
fn strip_quotes(pasted: &str) -> String {
    const AROUND: &str = "\"'`<>()[]“”„‘’«»";
    let visible: String = pasted
        .chars()
        .filter(|c| !matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}'))
        .collect();
    visible
        .trim_matches(|c: char| c.is_whitespace() || is_control(c) || AROUND.contains(c))
        .replace("&amp;", "&")
}

/// The query in a pasted address, or a pasted query itself. `None` where the text is neither.
fn query_of(text: &str) -> Option<String> {
    if text.contains("://") {
        let url = Url::parse(text.split_whitespace().next()?).ok()?;
        return Some(
            url.query()
                .or(url.fragment())
                .unwrap_or_default()
                .to_owned(),
        );
    }
    let words = text.rsplit(char::is_whitespace).next()?;
    let words = words.trim_start_matches('?');
    let is_query = ["error=", "code=", "state="]
        .iter()
        .any(|name| words.starts_with(name))
        && (words.contains('&') || words.starts_with("error="));
    is_query.then(|| words.to_owned())
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
            &format!("https://h/x/oauth2/approval?code=abc-DEF_123.x~&state={state}"),
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
            sign_in.read_pasted("https://h/approval?error=access_denied&error_description=x"),
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
            sign_in.read_pasted("https://h/approval?error=server_error&error_description=a%0Ab"),
            AuthorizationResponse::Failed(words) if words == "a b"
        ));
    }

    #[test]
    fn rule_7_a_pasted_address_of_another_attempt_is_refused() {
        let sign_in = sign_in(OOB);
        for foreign in [
            "https://h/approval?code=abcdef&state=other",
            "code=abcdef https://h/approval?state=other",
            "code=abcdef state=other",
        ] {
            assert!(
                matches!(sign_in.read_pasted(foreign), AuthorizationResponse::Foreign),
                "{foreign}"
            );
        }
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
                format!("https://h/p/oauth2/approval?code={word}&x=y"),
            ] {
                prop_assert_eq!(code(sign_in.read_pasted(&pasted)), Some(word.clone()));
            }
        }
    }
}
