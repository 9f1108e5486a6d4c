//! The grants, one function each, and [`SignInAttempt`]: a URL out, a code in.
//!
//! Protocol facts are those of Esri's reference pages "Authorize", "Token" and "Revoke Token" of the sharing REST API;
//! PKCE is RFC 7636, `state` RFC 6749 section 10.12. Errors come inside HTTP 200; the only sign of a dead refresh token
//! is code 498.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use jiff::Timestamp;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use crate::connection::{is_control, Connection, Grant, PortalUrl, RedirectUri};
use crate::error::{Error, Refusal, Result, SignInNeeded, Unreachable};
use crate::http::{ApiResponse, CallError, Field, Http, PortalError, Retry};
use crate::secret::Secret;
use crate::token::{ends, AccessToken, RefreshToken};

/// Asks for the longest sign-in that the portal allows.
const LONGEST: i64 = -1;

/// Granted where a portal names no life: the default of every version.
const DEFAULT_ACCESS_LIFE: i64 = 30 * 60;

/// No portal grants an access token more: 20,160 minutes.
const LONGEST_ACCESS_LIFE: i64 = 20_160 * 60;

/// How a person wants to sign in.
#[derive(Clone, Debug, Default)]
pub struct SignInOptions {
    /// Minutes that the sign-in should live; the longest allowed where absent.
    pub minutes: Option<i64>,
    /// Makes the portal show its form even where the browser is signed in.
    pub force_login: bool,
}

/// One attempt to sign in. Its `state` and code verifier exist only in here, and finishing consumes it.
#[derive(Debug)]
pub struct SignInAttempt {
    url: String,
    state: Secret,
    verifier: Option<Secret>,
    redirect_uri: RedirectUri,
    label: String,
}

/// An authorization code that was accepted by the attempt it belongs to.
#[derive(Debug)]
pub struct AuthorizationCode(Secret);

impl AuthorizationCode {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What a person or a browser brought back.
#[derive(Debug)]
pub enum AuthorizationResponse {
    /// A code for this attempt.
    Code(AuthorizationCode),
    /// The person declined at the portal.
    Declined,
    /// Another error of the portal; holds its words.
    Failed(String),
    /// The answer belongs to another attempt.
    Foreign,
    /// The address that was opened, not the one that it led to.
    OwnUrl,
    /// Nothing that could be a code.
    Unusable,
}

impl SignInAttempt {
    /// Begins an attempt for a user connection.
    pub fn begin(connection: &Connection, options: &SignInOptions) -> Result<Self> {
        let Grant::User { redirect_uri, pkce } = &connection.grant else {
            return Err(Error::invalid(
                "connection",
                "an application does not sign in with a browser",
            ));
        };
        let state = random_text()?;
        let verifier = if *pkce { Some(random_text()?) } else { None };
        let mut url = Url::parse(&connection.portal.rest("oauth2/authorize"))
            .map_err(|why| Error::invalid("portal URL", why.to_string()))?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("client_id", &connection.client_id)
                .append_pair("response_type", "code")
                .append_pair("redirect_uri", redirect_uri.as_str())
                .append_pair("state", state.expose())
                .append_pair(
                    "expiration",
                    &options.minutes.unwrap_or(LONGEST).to_string(),
                );
            if let Some(verifier) = &verifier {
                query
                    .append_pair("code_challenge", &challenge(verifier))
                    .append_pair("code_challenge_method", "S256");
            }
            if options.force_login {
                query.append_pair("force_login", "true");
            }
        }
        Ok(Self {
            url: url.into(),
            state,
            verifier,
            redirect_uri: redirect_uri.clone(),
            label: connection.label.to_string(),
        })
    }

    /// The page to open. Holds the challenge and `state`, no secret.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the portal sends the code.
    #[must_use]
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// Understands what a person pasted: the bare code, the approval page's address or title, or an error.
    ///
    /// A `state` in it must be this attempt's. A bare code has none; PKCE binds it to this process.
    #[must_use]
    pub fn read_pasted(&self, pasted: &str) -> AuthorizationResponse {
        let text = strip_quotes(pasted);
        match self.read_text(&text) {
            // Of several words not all were looked at.
            AuthorizationResponse::Code(_) if self.names_another_state(&text) => {
                AuthorizationResponse::Foreign
            }
            returned => returned,
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
            // A sentence is no code.
            _ if text.contains(char::is_whitespace) => return AuthorizationResponse::Unusable,
            _ => text,
        };
        // A browser adds its own name to a title.
        let code = code.split_whitespace().next().unwrap_or_default();
        let code_like = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
        if code.len() < 4 || code.len() > 4096 || !code.chars().all(code_like) {
            return AuthorizationResponse::Unusable;
        }
        AuthorizationResponse::Code(AuthorizationCode(Secret::new(code.to_owned())))
    }

    /// Understands the query of a browser's request to the redirect URI. `state` must be there and be this attempt's.
    #[must_use]
    pub fn read_callback(&self, query: &str) -> AuthorizationResponse {
        self.read_query(query, true)
    }

    /// The portal's own page at which an out-of-band sign-in ends may leave `state` out; a redirect never does.
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
            (_, Some(error)) => {
                AuthorizationResponse::Failed(one_line(&description.unwrap_or(error)))
            }
            (Some(code), None) if !code.is_empty() => {
                AuthorizationResponse::Code(AuthorizationCode(code))
            }
            _ => AuthorizationResponse::Unusable,
        }
    }

    /// Exchanges the code for tokens. The request is sent once; see RFC 6749 section 4.1.2 on codes used twice.
    pub fn finish(
        self,
        code: AuthorizationCode,
        http: &Http,
        connection: &Connection,
        client_secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<TokenResponse> {
        let code = code.0;
        let mut form = client(connection, client_secret);
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
        let granted = read_tokens(&answer, http.portal(), now)?;
        if granted.refresh.is_none() {
            return Err(no_tokens(http.portal()));
        }
        Ok(granted)
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

/// Takes off what surrounds pasted text: blanks, quotes, invisible characters, HTML's way of writing `&`.
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

/// The query of a pasted address, of a pasted query, or of a title that looks like one.
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

/// Text of a portal, cut to one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let line: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .take(LONGEST)
        .collect();
    line.trim().to_owned()
}

/// What a token request granted.
#[derive(Debug)]
pub struct TokenResponse {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token, where one was issued.
    pub refresh: Option<RefreshToken>,
    /// Who signed in, where the portal says so.
    pub username: Option<String>,
}

/// A new access token for a user. The refresh token stays the same and keeps its end.
pub fn refresh(
    http: &Http,
    connection: &Connection,
    token: &RefreshToken,
    client_secret: Option<&Secret>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let mut form = client(connection, client_secret);
    form.extend([
        ("grant_type", Field::Plain("refresh_token")),
        ("refresh_token", Field::Secret(&token.secret)),
    ]);
    renew(http, connection, &form, Retry::Freely, now)
}

/// A new refresh token, and an access token with it. The old refresh token and every access token minted from it die
/// the moment the portal answers (Esri, "Token", `exchange_refresh_token`; since 10.6).
pub fn exchange(
    http: &Http,
    connection: &Connection,
    token: &RefreshToken,
    client_secret: Option<&Secret>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let redirect_uri = match &connection.grant {
        Grant::User { redirect_uri, .. } => redirect_uri.as_str(),
        Grant::Application => RedirectUri::OUT_OF_BAND,
    };
    let mut form = client(connection, client_secret);
    form.extend([
        ("grant_type", Field::Plain("exchange_refresh_token")),
        ("redirect_uri", Field::Plain(redirect_uri)),
        ("refresh_token", Field::Secret(&token.secret)),
    ]);
    let granted = renew(http, connection, &form, Retry::OnlyUnsent, now)?;
    if granted.refresh.is_none() {
        return Err(TokenError::Lost(no_tokens(http.portal())));
    }
    Ok(granted)
}

/// An access token for the application itself. `minutes` asks for a longer life than the portal's default.
pub fn client_credentials(
    http: &Http,
    connection: &Connection,
    client_secret: &Secret,
    minutes: Option<i64>,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    let minutes = minutes.map(|minutes| minutes.to_string());
    let mut form = client(connection, Some(client_secret));
    form.push(("grant_type", Field::Plain("client_credentials")));
    if let Some(minutes) = &minutes {
        form.push(("expiration", Field::Plain(minutes)));
    }
    renew(http, connection, &form, Retry::Freely, now)
}

/// Asks the portal to forget a token. A refresh token takes its access tokens with it.
pub fn revoke(http: &Http, connection: &Connection, token: &Secret, hint: &str) -> Result<()> {
    let form = [
        ("client_id", Field::Plain(&connection.client_id)),
        ("auth_token", Field::Secret(token)),
        ("token_type_hint", Field::Plain(hint)),
    ];
    let label = connection.label.as_str();
    match http.post("oauth2/revokeToken", &form, None, Retry::Freely) {
        Ok(_) => Ok(()),
        Err(CallError::Failed { error, .. }) => Err(error.about(label)),
        Err(CallError::Portal(error)) => Err(refusal(
            &error,
            http.portal(),
            label,
            PortalError::as_refused,
        )),
    }
}

/// Why a renewal did not work, as far as it decides what to do next.
#[derive(Debug)]
pub enum TokenError {
    /// The portal no longer honours the refresh token.
    Revoked(SignInNeeded),
    /// The portal does not know this grant.
    UnknownGrant,
    /// Any other no: the token is not spent.
    Refused(Error),
    /// The request never left this machine: the token is not spent.
    Unsent(Error),
    /// The request left, and no answer came that could be used: the token may be spent.
    Lost(Error),
}

impl TokenError {
    /// The error for a caller who has no other way left.
    #[must_use]
    pub fn into_error(self, connection: &Connection) -> Error {
        let label = connection.label.to_string();
        match self {
            Self::Revoked(why) => Error::SignInNeeded {
                connection: label,
                why,
            },
            Self::UnknownGrant => Error::Refused {
                connection: Some(label),
                url: connection.portal.rest("oauth2/token"),
                why: Refusal::Other {
                    code: None,
                    text: "it does not know this kind of request".into(),
                },
            },
            Self::Refused(error) | Self::Unsent(error) | Self::Lost(error) => error.about(&label),
        }
    }
}

fn renew(
    http: &Http,
    connection: &Connection,
    form: &[(&str, Field<'_>)],
    retry: Retry,
    now: Timestamp,
) -> std::result::Result<TokenResponse, TokenError> {
    match http.post("oauth2/token", form, None, retry) {
        Ok(answer) => read_tokens(&answer, http.portal(), now).map_err(TokenError::Lost),
        Err(CallError::Failed { error, sent: false }) => Err(TokenError::Unsent(error)),
        Err(CallError::Failed { error, sent: true }) => Err(TokenError::Lost(error)),
        Err(CallError::Portal(error)) => Err(classify(&error, connection)),
    }
}

/// 498 alone means that the refresh token is dead; the text tells whether by age.
fn classify(error: &PortalError, connection: &Connection) -> TokenError {
    let text = error.text.to_ascii_lowercase();
    if error.code == Some(498) {
        return TokenError::Revoked(if text.contains("expired") {
            SignInNeeded::Expired
        } else {
            SignInNeeded::NoLongerAccepted
        });
    }
    if text.contains("grant") {
        return TokenError::UnknownGrant;
    }
    TokenError::Refused(refusal(
        error,
        &connection.portal,
        connection.label.as_str(),
        PortalError::as_refused,
    ))
}

/// Tells the portal's refusals apart by what a person must correct.
fn refusal(
    error: &PortalError,
    portal: &PortalUrl,
    label: &str,
    otherwise: impl FnOnce(&PortalError) -> Refusal,
) -> Error {
    let kind = error.kind.as_deref().unwrap_or_default();
    let text = error.text.to_ascii_lowercase();
    let why = if kind == "invalid_client_id" || text.contains("client_id") {
        Refusal::ClientId
    } else if text.contains("client_secret") || text.contains("client secret") {
        Refusal::ClientSecret
    } else if text.contains("redirect_uri") {
        Refusal::RedirectUri
    } else if error.code == Some(403) {
        Refusal::Privilege
    } else {
        otherwise(error)
    };
    Error::Refused {
        connection: Some(label.to_owned()),
        url: portal.as_str().to_owned(),
        why,
    }
}

impl PortalError {
    /// A refusal in the portal's own words.
    #[must_use]
    pub fn as_refused(&self) -> Refusal {
        Refusal::Other {
            code: self.code,
            text: self.text.clone(),
        }
    }
}

/// Every client authenticates in the body; no Esri client uses HTTP Basic.
fn client<'a>(
    connection: &'a Connection,
    secret: Option<&'a Secret>,
) -> Vec<(&'static str, Field<'a>)> {
    let mut form = vec![("client_id", Field::Plain(&connection.client_id))];
    if let Some(secret) = secret {
        form.push(("client_secret", Field::Secret(secret)));
    }
    form
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<i64>,
    #[serde(default, deserialize_with = "text")]
    username: Option<String>,
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "seconds")]
    refresh_token_expires_in: Option<i64>,
}

fn read_tokens(answer: &ApiResponse, portal: &PortalUrl, now: Timestamp) -> Result<TokenResponse> {
    let answer = answer.json().ok();
    answer
        .and_then(|answer| granted(answer, now))
        .ok_or_else(|| no_tokens(portal))
}

/// What the answer grants; nothing without an access token.
fn granted(answer: TokenAnswer, now: Timestamp) -> Option<TokenResponse> {
    let life = answer
        .expires_in
        .unwrap_or(DEFAULT_ACCESS_LIFE)
        .min(LONGEST_ACCESS_LIFE);
    let access = AccessToken {
        secret: answer.access_token.filter(is_token)?,
        issued_at: now,
        expires_at: ends(now, life),
    };
    let sign_in_life = answer
        .refresh_token_expires_in
        .filter(|seconds| *seconds > 0);
    let refresh = answer
        .refresh_token
        .filter(is_token)
        .map(|secret| RefreshToken {
            secret,
            issued_at: now,
            expires_at: sign_in_life.map(|seconds| ends(now, seconds)),
        });
    Some(TokenResponse {
        access,
        refresh,
        username: answer.username.filter(|name| !name.is_empty()),
    })
}

/// A token travels in a header: visible ASCII only.
pub(crate) fn is_token(token: &Secret) -> bool {
    !token.is_empty() && token.expose().chars().all(|c| c.is_ascii_graphic())
}

fn no_tokens(portal: &PortalUrl) -> Error {
    Error::Unreachable {
        connection: None,
        url: portal.rest("oauth2/token"),
        why: Unreachable::NotAPortal {
            status: 200,
            title: None,
        },
    }
}

/// A number of seconds, however it is written.
fn seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// Some portals write whole numbers with a fraction.
#[allow(clippy::cast_possible_truncation)] // A cast from a float saturates.
fn whole(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some(seconds as i64)
}

/// Text, or nothing where it is something else.
fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
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

    fn code(returned: AuthorizationResponse) -> Option<String> {
        match returned {
            AuthorizationResponse::Code(code) => Some(code.0.expose().to_owned()),
            _ => None,
        }
    }

    const OOB: &str = RedirectUri::OUT_OF_BAND;
    const LOOPBACK: &str = "http://127.0.0.1:53682/callback";

    #[test]
    fn rule_3_verifiers_are_43_unreserved_characters_and_never_repeat() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let verifier = random_text().unwrap();
            assert_eq!(verifier.expose().len(), 43);
            assert!(verifier
                .expose()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)));
            assert!(seen.insert(verifier.expose().to_owned()));
        }
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
        // A code alone names no state, wherever codes of this sign-in go.
        let loopback =
            SignInAttempt::begin(&connection(LOOPBACK), &SignInOptions::default()).unwrap();
        let alone = loopback.read_pasted("code=abcdef");
        assert_eq!(code(alone).as_deref(), Some("abcdef"));
    }

    #[test]
    fn of_what_is_said_twice_the_first_counts() {
        let sign_in = sign_in(LOOPBACK);
        let state = sign_in.state.expose();
        let said = |query: &str| sign_in.read_callback(query);
        assert_eq!(
            code(said(&format!(
                "code=first&code=second&state={state}&state=other"
            )))
            .as_deref(),
            Some("first")
        );
        assert!(matches!(
            said(&format!("code=first&state=other&state={state}")),
            AuthorizationResponse::Foreign
        ));
        assert!(matches!(
            said(&format!("code=&state={state}")),
            AuthorizationResponse::Unusable
        ));
    }

    fn read(answer: &str) -> Option<TokenResponse> {
        granted(serde_json::from_str(answer).unwrap(), now())
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    #[test]
    fn lives_are_read_however_they_are_written() {
        for (written, life) in [
            ("1800", 1800),
            ("\" 1700 \"", 1700),
            ("1800.0", 1800),
            ("1799.9", 1799),
            ("1e300", LONGEST_ACCESS_LIFE),
            ("99999999999", 20_160 * 60),
            ("null", 30 * 60),
            ("\"soon\"", 30 * 60),
            ("{}", 30 * 60),
        ] {
            let answer = format!(r#"{{"access_token": "a", "expires_in": {written}}}"#);
            let granted = read(&answer).unwrap();
            assert_eq!(granted.access.seconds_granted(), life, "{written}");
        }
    }

    #[test]
    fn only_what_can_be_a_token_is_one() {
        for none in [
            "{}",
            r#"{"access_token": ""}"#,
            r#"{"access_token": "a b"}"#,
            r#"{"access_token": "\u00e4"}"#,
            r#"{"access_token": "a\r\nX: y"}"#,
        ] {
            assert!(read(none).is_none(), "{none}");
        }
        let granted = |more: &str| read(&format!(r#"{{"access_token": "a", {more}}}"#)).unwrap();
        assert!(granted(r#""refresh_token": """#).refresh.is_none());
        assert!(granted(r#""refresh_token": "a\tb""#).refresh.is_none());
        assert_eq!(granted(r#""username": """#).username, None);
        assert_eq!(granted(r#""username": 7"#).username, None);
        let named = granted(r#""username": "your.username""#).username;
        assert_eq!(named.as_deref(), Some("your.username"));
        for (seconds, end) in [("0", None), ("-1", None), ("1", Some(1_700_000_001))] {
            let answer = format!(r#""refresh_token": "r", "refresh_token_expires_in": {seconds}"#);
            let refresh = granted(&answer).refresh.unwrap();
            assert_eq!(refresh.expires_at.map(Timestamp::as_second), end);
        }
    }

    #[test]
    fn refusals_are_told_apart_by_what_must_be_corrected() {
        let why = |kind: Option<&str>, code: i64, text: &str| {
            let error = PortalError {
                status: 200,
                code: Some(code),
                kind: kind.map(str::to_owned),
                text: text.into(),
                details: Vec::new(),
                message_code: None,
                url: String::new(),
            };
            match refusal(
                &error,
                &connection(OOB).portal,
                "prod",
                PortalError::as_refused,
            ) {
                Error::Refused { why, .. } => why,
                other => panic!("{other}"),
            }
        };
        for (kind, text) in [
            (Some("invalid_client_id"), "no"),
            (None, "Invalid client_id"),
        ] {
            assert_eq!(why(kind, 400, text), Refusal::ClientId);
        }
        for text in ["Invalid client_secret", "Invalid Client Secret"] {
            assert_eq!(why(None, 400, text), Refusal::ClientSecret);
        }
        assert_eq!(why(None, 400, "Invalid redirect_uri"), Refusal::RedirectUri);
        assert_eq!(why(Some("x"), 403, "no right"), Refusal::Privilege);
        assert!(matches!(
            why(Some("x"), 400, "no"),
            Refusal::Other {
                code: Some(400),
                ..
            }
        ));
    }

    #[test]
    fn what_is_no_code_is_told_as_what_it_is() {
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
        fn any_pasted_text_is_read_without_harm(text in "\\PC*") {
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
