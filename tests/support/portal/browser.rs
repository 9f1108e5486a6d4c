//! A simulated browser: opens the sign-in URL with a session, or fills in the page, and reports
//! where it ended.

use std::io;

use url::Url;

use super::client::{between, Client, Reply};

/// What a guard takes for a browser that has signed in to it.
pub const BROWSER: (&str, &str) = ("x-practice-browser", "1");

/// Where the browser ended.
#[derive(Clone, Debug)]
pub enum Destination {
    /// At the app's own redirect URI. No request was sent there yet; see [`Destination::follow`].
    Redirected { location: String },
    /// On the approval page (or the page that says "denied") of the out-of-band flow.
    Approval { url: String, title: String },
    /// On an error page of the portal without a redirect.
    Refused {
        status: u16,
        title: String,
        page: String,
    },
}

impl Destination {
    /// The authorization code; panics if there is none.
    pub fn code(&self) -> String {
        self.param("code")
            .unwrap_or_else(|| panic!("no code: {self:?}"))
    }

    /// The error that the app received.
    pub fn error(&self) -> Option<String> {
        self.param("error")
    }

    pub fn state(&self) -> Option<String> {
        self.param("state")
    }

    /// The URL in the address bar.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Redirected { location: url } | Self::Approval { url, .. } => Some(url),
            Self::Refused { .. } => None,
        }
    }

    /// The title of the page, as a user would copy it.
    pub fn title(&self) -> Option<&str> {
        match self {
            Self::Redirected { .. } => None,
            Self::Approval { title, .. } | Self::Refused { title, .. } => Some(title),
        }
    }

    /// A parameter of the URL.
    pub fn param(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.url()?).ok()?;
        let mut pairs = url.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Opens the redirect URI, as a browser does at once, and returns the page that it shows.
    pub fn follow(&self) -> io::Result<Reply> {
        let url = self.url().ok_or(io::ErrorKind::NotFound)?;
        Client::without_verification().get(url)
    }
}

/// What the user of the browser does.
#[derive(Clone, Copy)]
pub enum Decision<'a> {
    /// Approves as that user, who is signed in.
    Approve(&'a str),
    Decline,
}

/// Opens `url` and follows redirects to the app's redirect URI or to a final page.
pub fn open(client: &Client, url: &str, decision: Decision<'_>) -> Destination {
    let cookie = match decision {
        Decision::Approve(username) => format!("practice_user={username}"),
        Decision::Decline => "practice_decision=decline".to_owned(),
    };
    let url = &without_fragment(url);
    let reply = client
        .get_with(url, &[("Cookie", &cookie), BROWSER])
        .expect("authorize does not answer");
    let reply = if reply.title().as_deref() == Some("Sign In") {
        fill_in(client, url, &reply, decision)
    } else {
        reply
    };
    destination(client, url, &reply)
}

fn without_fragment(url: &str) -> String {
    url.split('#').next().unwrap_or_default().to_owned()
}

fn fill_in(client: &Client, url: &str, page: &Reply, decision: Decision<'_>) -> Reply {
    let text = page.text();
    let action = between(&text, "action=\"", "\"").expect("the sign-in page has no form");
    let oauth_state = between(&text, "name=\"oauth_state\" value=\"", "\"").unwrap_or_default();
    let action = Url::parse(url).unwrap().join(&action).unwrap();
    let (username, pressed) = match decision {
        Decision::Approve(username) => (username, "approve"),
        Decision::Decline => ("", "decline"),
    };
    let form = [
        ("oauth_state", oauth_state.as_str()),
        ("username", username),
        ("decision", pressed),
    ];
    client
        .post_with(action.as_str(), &form, &[BROWSER])
        .expect("the sign-in page does not answer")
}

fn destination(client: &Client, opened: &str, reply: &Reply) -> Destination {
    let title = reply.title().unwrap_or_default();
    let Some(location) = reply.header("location") else {
        return Destination::Refused {
            status: reply.status,
            title,
            page: reply.text(),
        };
    };
    if !is_approval(opened, location) {
        return Destination::Redirected {
            location: location.to_owned(),
        };
    }
    let page = client
        .get_with(location, &[BROWSER])
        .expect("the approval page does not answer");
    Destination::Approval {
        url: location.to_owned(),
        title: page.title().unwrap_or_default(),
    }
}

/// Whether `location` is the approval page of the portal of `opened`.
fn is_approval(opened: &str, location: &str) -> bool {
    let (Ok(opened), Ok(location)) = (Url::parse(opened), Url::parse(location)) else {
        return false;
    };
    opened.origin() == location.origin() && location.path().ends_with("/oauth2/approval")
}
