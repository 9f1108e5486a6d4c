//! Client secrets that were stored in plain text, and where to reset them.

use super::sign_in::SignInResult;
use super::ImportRun;
use crate::cli::format::{escape, shell_quoted};
use crate::connection::{Connection, GrantKind};

/// An application whose client secret was stored in plain text. Its owner should reset it.
#[derive(Default)]
pub(super) struct Exposed {
    /// Where its client secret can be reset.
    pub(super) page: String,
    /// Whether the page is that of the application's item, not the list of all items.
    exact: bool,
    /// The connections that use it: label, and whether it is an application connection.
    users: Vec<(String, bool)>,
}

impl ImportRun<'_> {
    /// Remembers that other people may have read this application's client secret, and where to
    /// reset it.
    pub(super) fn expose(&mut self, connection: &Connection, sign_in: &SignInResult) {
        let key = (
            connection.browser_url().as_str().to_owned(),
            connection.client_id.clone(),
        );
        let known = self.exposed.get(&key).is_some_and(|exposed| exposed.exact);
        let may_ask = matches!(
            sign_in,
            SignInResult::Extended(_) | SignInResult::Application
        );
        let item = (may_ask && !known && !self.args.offline)
            .then(|| self.item_page(connection))
            .flatten();
        let exposed = self.exposed.entry(key).or_default();
        if exposed.page.is_empty() {
            exposed.page = format!("{}/home/content.html", connection.browser_url());
        }
        if let Some(page) = item {
            exposed.page = page;
            exposed.exact = true;
        }
        let user = (
            connection.label.to_string(),
            connection.grant.kind() == GrantKind::Application,
        );
        exposed.users.push(user);
    }

    /// The page of the item that registers the application, where the portal says which it is.
    fn item_page(&self, connection: &Connection) -> Option<String> {
        let session = self.ctx.network_session(self.store, connection.clone());
        let item = session.app_info().ok()?.item_id;
        let plain = !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain.then(|| {
            format!(
                "{}/home/item.html?id={item}#settings",
                connection.browser_url()
            )
        })
    }

    /// Prints where to reset the client secrets: they do not expire, and only a person can reset
    /// them.
    pub(super) fn advise(&self) {
        if self.exposed.is_empty() {
            return;
        }
        let console = &self.ctx.console;
        console.print("");
        console.print(
            "Reset the client secrets that were stored in plain text, because other people may have read them, and backups contain them:",
        );
        for ((_, client_id), exposed) in &self.exposed {
            let what = if exposed.exact {
                "the application's item page: reset the client secret in its settings"
            } else {
                "find the application's item among your content: reset the client secret in its settings"
            };
            console.print(&format!("  {}", escape(&exposed.page)));
            console.print(&format!("     {what} (client ID {})", escape(client_id)));
            for (label, application) in &exposed.users {
                console.print(&if *application {
                    format!(
                        "     then store the new one: age-oauth connections edit {} --client-secret-stdin",
                        shell_quoted(label)
                    )
                } else {
                    format!(
                        "     then delete the old one here, which a user connection does not need: age-oauth connections edit {} --no-client-secret",
                        shell_quoted(label)
                    )
                });
            }
        }
    }
}
