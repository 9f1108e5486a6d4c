//! The portal's groups and items: who sees them, and the language of searches.

use serde_json::{json, Value};

use super::rules::{Rules, User};

/// The organization's ID.
pub const ORGANIZATION: &str = "0123456789ABCDEF";

/// Who sees an item besides its owner and the members of the groups that it is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Public,
    Organization,
    Private,
}

impl Visibility {
    fn as_str(self, is_shared: bool) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Organization => "org",
            Self::Private if is_shared => "shared",
            Self::Private => "private",
        }
    }
}

/// An item of the portal.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub title: String,
    /// `Feature Service`, `Map Service`, `Web Map` …
    pub kind: String,
    pub owner: String,
    pub visibility: Visibility,
    /// The service's address.
    pub url: Option<String>,
    /// The IDs of the groups that it is shared with.
    pub groups: Vec<String>,
}

impl Item {
    pub fn new(id: &str, title: &str, kind: &str, owner: &str) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            kind: kind.to_owned(),
            owner: owner.to_owned(),
            visibility: Visibility::Organization,
            url: None,
            groups: Vec::new(),
        }
    }

    pub fn at(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    pub fn visible_to(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    pub fn shared_with(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    /// The item as the portal describes it.
    pub fn body(&self) -> Value {
        json!({
            "id": self.id,
            "owner": self.owner,
            "orgId": ORGANIZATION,
            "title": self.title,
            "type": self.kind,
            "typeKeywords": [],
            "tags": [],
            "snippet": null,
            "description": null,
            "url": self.url,
            "access": self.visibility.as_str(!self.groups.is_empty()),
            "created": 1_700_000_000_000_i64,
            "modified": 1_700_000_000_000_i64,
        })
    }

    /// Whether this user, or an anonymous caller or an application, sees the item.
    fn is_visible_to(&self, user: Option<&User>, rules: &Rules) -> bool {
        let Some(user) = user else {
            return self.visibility == Visibility::Public;
        };
        let is_member = |id: &String| {
            let group = rules.groups.iter().find(|group| group.id == *id);
            group.is_some_and(|group| group.has(user))
        };
        self.visibility != Visibility::Private
            || self.owner == user.username
            || self.groups.iter().any(is_member)
    }
}

/// A group, which only its members see.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: String,
    pub title: String,
    pub owner: String,
    /// Names of users besides the owner.
    pub members: Vec<String>,
}

impl Group {
    pub fn has(&self, user: &User) -> bool {
        self.owner == user.username || self.members.contains(&user.username)
    }

    pub fn body(&self) -> Value {
        json!({
            "id": self.id,
            "title": self.title,
            "owner": self.owner,
            "access": "private",
            "isInvitationOnly": true,
            "tags": [],
            "snippet": null,
            "description": null,
        })
    }
}

/// The groups of a user.
pub fn groups_of(rules: &Rules, user: &User) -> Vec<Value> {
    let all = rules.groups.iter().filter(|group| group.has(user));
    all.map(Group::body).collect()
}

/// The items that a user sees, in the order in which they were added.
pub fn seen_by<'a>(
    rules: &'a Rules,
    user: Option<&'a User>,
) -> impl Iterator<Item = &'a Item> + 'a {
    let all = rules.items.iter();
    all.filter(move |item| item.is_visible_to(user, rules))
}

/// A query of the search language.
pub enum Query {
    All(Vec<Query>),
    Any(Vec<Query>),
    Not(Box<Query>),
    Field(String, String),
    Word(String),
    /// Words in quotes, one after the other. Signs and operators mean nothing there.
    Phrase(String),
}

impl Query {
    /// Reads a query: words, `field:value`, quotes, parentheses, `AND`, `OR` and `NOT`. `None` if
    /// it is not one, as with an open parenthesis.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tokens = tokens(text)?;
        tokens.reverse();
        let query = Self::any(&mut tokens)?;
        tokens.is_empty().then_some(query)
    }

    fn any(tokens: &mut Vec<Token>) -> Option<Self> {
        let mut all = vec![Self::all(tokens)?];
        while tokens.last() == Some(&Token::Or) {
            tokens.pop();
            all.push(Self::all(tokens)?);
        }
        Some(Self::Any(all))
    }

    fn all(tokens: &mut Vec<Token>) -> Option<Self> {
        let mut all = vec![Self::one(tokens)?];
        while !matches!(tokens.last(), None | Some(Token::Or | Token::Close)) {
            if tokens.last() == Some(&Token::And) {
                tokens.pop();
            }
            all.push(Self::one(tokens)?);
        }
        Some(Self::All(all))
    }

    fn one(tokens: &mut Vec<Token>) -> Option<Self> {
        match tokens.pop()? {
            Token::Not => Self::one(tokens).map(|one| Self::Not(Box::new(one))),
            Token::Open => {
                let inside = Self::any(tokens)?;
                (tokens.pop()? == Token::Close).then_some(inside)
            }
            Token::Word(word) => Some(match word.split_once(':') {
                Some((field, value)) => Self::Field(field.to_lowercase(), value.to_owned()),
                None => Self::Word(word),
            }),
            Token::Quoted(phrase) => Some(Self::Phrase(phrase)),
            Token::And | Token::Or | Token::Close => None,
        }
    }

    /// Whether the item is one of those that the query means.
    pub fn finds(&self, item: &Item) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.finds(item)),
            Self::Any(any) => any.iter().any(|one| one.finds(item)),
            Self::Not(one) => !one.finds(item),
            Self::Word(word) => is_in(&item.title, word),
            Self::Phrase(phrase) => has_phrase(&item.title, phrase),
            Self::Field(name, value) => match name.as_str() {
                "type" => item.kind.eq_ignore_ascii_case(value),
                "owner" => item.owner == *value,
                "id" => item.id == *value,
                "title" => is_in(&item.title, value),
                "group" => item.groups.contains(value),
                "orgid" | "accountid" => value == ORGANIZATION,
                _ => false,
            },
        }
    }
}

/// Whether a word, or with `*` its beginning, is in the title.
fn is_in(title: &str, word: &str) -> bool {
    let (title, word) = (title.to_lowercase(), word.to_lowercase());
    let mut words = title.split(|c: char| !c.is_alphanumeric());
    match word.strip_suffix('*') {
        Some(start) => words.any(|one| one.starts_with(start)),
        None => title == word || words.any(|one| one == word),
    }
}

/// Whether the words of a phrase are in the title, one after the other.
fn has_phrase(title: &str, phrase: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let text = text.to_lowercase();
        let all = text.split(|c: char| !c.is_alphanumeric());
        all.filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (title, phrase) = (words(title), words(phrase));
    !phrase.is_empty() && title.windows(phrase.len()).any(|some| some == phrase)
}

#[derive(PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(String),
    Quoted(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut word = String::new();
    // Within quotes, whether they began a word: `field:"value"` is one word with the value.
    let (mut in_quotes, mut is_phrase) = (false, false);
    // The blank at the end ends the last word.
    for c in text.chars().chain([' ']) {
        match c {
            '"' => {
                if !in_quotes {
                    is_phrase = word.is_empty();
                } else if is_phrase {
                    found.push(Token::Quoted(std::mem::take(&mut word)));
                }
                in_quotes = !in_quotes;
            }
            _ if in_quotes => word.push(c),
            '(' | ')' | ' ' => {
                match std::mem::take(&mut word).as_str() {
                    "" => {}
                    "AND" => found.push(Token::And),
                    "OR" => found.push(Token::Or),
                    "NOT" => found.push(Token::Not),
                    other => found.push(Token::Word(other.to_owned())),
                }
                match c {
                    '(' => found.push(Token::Open),
                    ')' => found.push(Token::Close),
                    _ => {}
                }
            }
            _ => word.push(c),
        }
    }
    (!in_quotes).then_some(found)
}
