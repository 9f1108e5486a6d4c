//! The HTML pages. Plain text is always inserted through [`escape`].

use super::fixture::Authorization;
use super::rules::Rules;

/// A page with a title and a body that is HTML already.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body>{body}</body></html>\n",
        escape(title)
    )
}

/// The sign-in page: which user, and whether to approve.
pub fn sign_in(rules: &Rules, rest: &str, oauth_state: &str, asked: &Authorization) -> String {
    let app = rules.app(&asked.client_id).map_or("", |app| &app.title);
    let users: String = rules
        .users
        .iter()
        .map(|user| option(&user.username, &user.full_name))
        .collect();
    let body = format!(
        "<script>var oAuthInfo = {{\"oauth_state\":\"{oauth_state}\"}};</script>\n\
         <h1>{org}</h1><p>{app} wants to access your account.</p>\n\
         <form method=\"post\" action=\"{rest}/oauth2/signin\">\n\
         <input type=\"hidden\" name=\"oauth_state\" value=\"{oauth_state}\">\n\
         <label>User <select name=\"username\">{users}</select></label>\n\
         <button name=\"decision\" value=\"approve\">Approve</button>\n\
         <button name=\"decision\" value=\"decline\">Decline</button>\n</form>",
        org = escape(&rules.org_name),
        app = escape(app),
    );
    page("Sign In", &body)
}

fn option(value: &str, text: &str) -> String {
    format!(
        "<option value=\"{0}\">{1} ({0})</option>",
        escape(value),
        escape(text)
    )
}

/// The approval page of the out-of-band flow: the code is in the title and in the page.
pub fn approval(code: &str) -> String {
    let code = escape(code);
    let body = format!(
        "<h1>Approved</h1><p>Copy this code and paste it into the application:</p>\
         <input readonly size=\"80\" value=\"{code}\">"
    );
    page(&format!("SUCCESS code={code}"), &body)
}

/// The page after the user declined. It is not documented; the title is a guess.
pub fn denied() -> String {
    page(
        "Denied error=access_denied",
        "<h1>Denied</h1><p>You have denied the request.</p>",
    )
}

/// A refusal of `authorize` without a redirect.
pub fn oauth_error(text: &str) -> String {
    page("Error", &format!("<h1>{}</h1>", escape(text)))
}

pub fn home(org: &str) -> String {
    page("Home", &format!("<h1>{}</h1>", escape(org)))
}

/// What the REST directory shows without `f=json`.
pub fn directory(path: &str) -> String {
    page(
        "ArcGIS Portal Directory",
        &format!("<h1>{}</h1>", escape(path)),
    )
}

pub fn not_found() -> String {
    page(
        "404 - File or directory not found.",
        "<h1>404</h1><p>The resource might have been removed.</p>",
    )
}

pub fn unauthorized() -> String {
    let body = "<h1>401</h1><p>You do not have permission to view this page using the credentials supplied.</p>";
    page(
        "401 - Unauthorized: Access is denied due to invalid credentials.",
        body,
    )
}

/// As nginx writes it.
pub fn no_certificate() -> String {
    page(
        "400 No required SSL certificate was sent",
        "<h1>400 Bad Request</h1><p>No required SSL certificate was sent</p><p>nginx</p>",
    )
}

pub fn maintenance(status: u16) -> String {
    page(
        &format!("{status} - Service unavailable"),
        "<h1>The service is unavailable.</h1>",
    )
}

pub fn proxy_login() -> String {
    let body = "<h1>Corporate sign-in</h1><form method=\"post\"><input name=\"user\"></form>";
    page("Sign in to the network", body)
}

/// Text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
