//! The portal's content: searches, groups and items.

use serde_json::{json, Value};

use super::fixture::State;
use super::http::{Request, Response};
use super::items::{self, Query};
use super::oauth::portal_error;
use super::rest::{caller, directory, invalid_token, token_required, user_body, user_of, Caller};

/// The most items on one page.
const LARGEST_PAGE: usize = 100;

/// `[root]/search`: the items that the query means, among those that the caller sees. Without any
/// items, one public one, and one more for signed-in users.
pub fn search(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| {
        let seen = caller(state, request);
        if matches!(seen, Caller::Refused) {
            return invalid_token(state);
        }
        let results = if state.rules.items.is_empty() {
            usual(state, &seen)
        } else {
            let text = request.param("q").unwrap_or_default();
            let Some(query) = Query::parse(text) else {
                return portal_error(400, "Invalid or missing query parameter: q");
            };
            let user = match &seen {
                Caller::Known(access) => user_of(state, access),
                Caller::Anonymous | Caller::Refused => None,
            };
            let all = items::seen_by(&state.rules, user);
            all.filter(|item| query.finds(item))
                .map(items::Item::body)
                .collect()
        };
        let mut page = page(request, results);
        page["query"] = json!(request.param("q").unwrap_or_default());
        if state.rules.endless_search {
            page["nextStart"] = json!(number(request, "start", 1) + size(request));
            if page["results"].as_array().is_none_or(Vec::is_empty) {
                page["results"] = json!([{"id": "again"}]);
            }
        }
        Response::json(&page)
    })
}

fn usual(state: &State, seen: &Caller) -> Vec<Value> {
    let mut results = vec![
        json!({"id": "11111111", "title": "A public map", "type": "Web Map", "owner": "your.username", "access": "public"}),
    ];
    if matches!(seen, Caller::Known(_)) {
        results.push(
            json!({"id": "22222222", "title": "An organisation's map", "type": "Web Map", "owner": "your.username", "access": "org"}),
        );
    }
    for number in 0..state.rules.more_items {
        results.push(json!({"id": format!("item{number}"), "title": "One more \u{202e}"}));
    }
    results
}

fn number(request: &Request, name: &str, usual: usize) -> usize {
    let text = request.param(name).unwrap_or_default();
    text.parse::<usize>().unwrap_or(usual).max(1)
}

fn size(request: &Request) -> usize {
    number(request, "num", 10).min(LARGEST_PAGE)
}

/// The page of the results that the request names.
fn page(request: &Request, results: Vec<Value>) -> Value {
    let (start, num, total) = (number(request, "start", 1), size(request), results.len());
    let page: Vec<_> = results.into_iter().skip(start - 1).take(num).collect();
    let next = match start + num {
        next if next <= total => json!(next),
        _ => json!(-1),
    };
    json!({"total": total, "start": start, "num": num, "nextStart": next, "results": page})
}

/// `[root]/portals/self/users`: the users of the organization in pages, for those who are signed
/// in. What a page has is under `users`.
pub fn users(state: &mut State, request: &Request) -> Response {
    directory(state, request, |state| match caller(state, request) {
        Caller::Anonymous => token_required(),
        Caller::Refused => invalid_token(state),
        Caller::Known(_) => {
            let all = state.rules.users.iter();
            let mut page = page(request, all.map(|user| user_body(state, user)).collect());
            page["users"] = page["results"].take();
            Response::json(&page)
        }
    })
}

/// `[root]/community/groups/{id}`, for its members.
pub fn group(state: &mut State, request: &Request, id: &str) -> Response {
    of_members(state, request, id, |state| {
        let found = state.rules.groups.iter().find(|group| group.id == id);
        found.map_or(Value::Null, items::Group::body)
    })
}

/// `[root]/content/groups/{id}`: the items of a group in pages, for its members. What a page has is
/// under `items`.
pub fn of_group(state: &mut State, request: &Request, id: &str) -> Response {
    of_members(state, request, id, |state| {
        let all = state.rules.items.iter();
        let shared = all.filter(|item| item.groups.iter().any(|group| group == id));
        let mut page = page(request, shared.map(items::Item::body).collect());
        page["items"] = page["results"].take();
        page
    })
}

fn of_members(
    state: &mut State,
    request: &Request,
    id: &str,
    answer: impl FnOnce(&State) -> Value,
) -> Response {
    directory(state, request, |state| {
        let access = match caller(state, request) {
            Caller::Anonymous => return token_required(),
            Caller::Refused => return invalid_token(state),
            Caller::Known(access) => access,
        };
        let found = state.rules.groups.iter().find(|group| group.id == id);
        match (found, user_of(state, &access)) {
            (Some(group), Some(user)) if group.has(user) => Response::json(&answer(state)),
            _ => portal_error(400, "Group does not exist or is inaccessible."),
        }
    })
}

/// `[root]/content/items/{id}`, for those who see it.
pub fn item(state: &mut State, request: &Request, id: &str) -> Response {
    directory(state, request, |state| {
        let seen = caller(state, request);
        let user = match &seen {
            Caller::Refused => return invalid_token(state),
            Caller::Anonymous => None,
            Caller::Known(access) => user_of(state, access),
        };
        let found = items::seen_by(&state.rules, user).find(|item| item.id == id);
        match found {
            Some(item) => Response::json(&item.body()),
            None if matches!(seen, Caller::Anonymous) => token_required(),
            None => portal_error(400, "Item does not exist or is inaccessible."),
        }
    })
}
