//! `api --paginate`: fetches page after page, and joins their results to one JSON array without
//! changing them.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{about_path, Fields};
use crate::cli::failure::Failure;
use crate::federation::Target;
use crate::http::ApiCall;
use crate::policy::command_line::MAX_PAGES;
use crate::session::Session;

/// The most results that portals return on one page.
const PAGE_SIZE: &str = "100";
/// The members that hold the results, where a page has several lists. The contents of a user have
/// `folders` beside `items`.
const RESULTS: [&str; 2] = ["results", "items"];

/// Fetches pages until `nextStart` is -1. The result is one array with the text of every item.
pub(super) fn join(
    session: &Session,
    target: &Target,
    mut fields: Fields,
    post: bool,
) -> Result<String, Failure> {
    if !fields.iter().any(|(name, _)| name == "num") {
        fields.push(("num".into(), PAGE_SIZE.into()));
    }
    let mut all = Joined::default();
    let mut start = first(&fields)?;
    for _ in 0..MAX_PAGES {
        fields.retain(|(name, _)| name != "start");
        fields.push(("start".into(), start.to_string()));
        let call = ApiCall {
            address: target.address(),
            post,
            fields: &fields,
            file: None,
        };
        let response = session
            .call(target, |http, token| http.api(&call, token))
            .map_err(about_path)?;
        let page: Page<'_> = response.json()?;
        let results = page.results()?;
        all.extend(&results);
        match page.next_start()? {
            Some(next) if next > start && !results.is_empty() => start = next,
            Some(next) if next > 0 => {
                return Err(Failure::failed(format!(
                    "the portal's pages do not end: the page at {start} says that the next one is at {next}"
                )))
            }
            _ => return Ok(all.finish()),
        }
    }
    Err(Failure::failed(format!(
        "there are more than {MAX_PAGES} pages; reduce the results with -f"
    )))
}

/// Where the first page begins.
fn first(fields: &Fields) -> Result<i64, Failure> {
    let Some((_, value)) = fields.iter().find(|(name, _)| name == "start") else {
        return Ok(1);
    };
    value
        .parse()
        .ok()
        .filter(|start| *start > 0)
        .ok_or_else(|| Failure::usage(format!("start={value}: it is not a number from 1 up")))
}

/// The members of a page in their order, each as the portal wrote it. Values are not read: no type
/// holds every number, and a map drops repeated names.
struct Page<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Page<'a> {
    /// Where a name is repeated, its last value counts, as for most readers.
    fn member(&self, name: &str) -> Option<&'a RawValue> {
        let mut from_the_end = self.0.iter().rev();
        from_the_end
            .find(|(it, _)| it == name)
            .map(|(_, value)| *value)
    }

    /// The items of the list of results: of a well-known one, else of the only list. An answer that
    /// has several others is not a page, and one of its lists would be taken for the whole.
    fn results(&self) -> Result<Vec<&'a RawValue>, Failure> {
        let list = |value: &'a RawValue| serde_json::from_str(value.get()).ok();
        let mut known = RESULTS.iter().filter_map(|name| self.member(name));
        if let Some(results) = known.find_map(list) {
            return Ok(results);
        }
        let mut lists = self.0.iter().filter_map(|(_, value)| list(value));
        let why = match (lists.next(), lists.next()) {
            (Some(only), None) => return Ok(only),
            (Some(_), Some(_)) => {
                "the response has several lists, and none of them is known as the results"
            }
            (None, _) => "the response does not contain a list of results",
        };
        Err(Failure::failed(format!("{why}; run it without --paginate")))
    }

    /// Where the next page begins; `None` where the portal does not say. Something else than a
    /// whole number is an error, because an end that is not one would lose results.
    fn next_start(&self) -> Result<Option<i64>, Failure> {
        let Some(next) = self.member("nextStart") else {
            return Ok(None);
        };
        serde_json::from_str(next.get()).map_err(|_| {
            Failure::failed("the portal does not say in whole numbers where the next page begins")
        })
    }
}

impl<'de> Deserialize<'de> for Page<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Page<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Page(members))
    }
}

/// The items so far, separated by commas.
#[derive(Default)]
struct Joined(String);

impl Joined {
    fn extend(&mut self, items: &[&RawValue]) {
        for item in items {
            self.0.push(if self.0.is_empty() { '[' } else { ',' });
            self.0.push_str(item.get());
        }
    }

    fn finish(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn joined(pages: &[&str]) -> String {
        let mut all = Joined::default();
        for text in pages {
            let page: Page<'_> = serde_json::from_str(text).unwrap();
            all.extend(&page.results().unwrap());
        }
        all.finish()
    }

    #[test]
    fn no_byte_of_an_item_changes() {
        let first = r#"{"id": 12345678901234567890123, "a":1.0, "a":1.50E2}"#;
        let second = r#"{"x":1e400,"half":"\ud800","\u0041" : [ ]}"#;
        let pages = [
            format!(r#"{{"total":2,"results":[ {first} ],"nextStart":2}}"#),
            format!(r#"{{"results":[{second}, null ,-0.0],"nextStart":-1}}"#),
        ];
        assert_eq!(
            joined(&[&pages[0], &pages[1]]),
            format!("[{first},{second},null,-0.0]")
        );
        assert_eq!(joined(&[r#"{"results":[]}"#]), "[]");
    }

    #[test]
    fn the_list_is_the_one_of_the_results() {
        for (page, items) in [
            (r#"{"aggregations":[7],"results":[1]}"#, "[1]"),
            (r#"{"folders":[7],"items":[1,2]}"#, "[1,2]"),
            (r#"{"total":1,"users":[1]}"#, "[1]"),
            (r#"{"results":null,"users":[1]}"#, "[1]"),
            (r#"{"results":[7],"results":[1]}"#, "[1]"),
        ] {
            assert_eq!(joined(&[page]), items, "{page}");
        }
        for page in [r#"{"admins":[1],"users":[7]}"#, r#"{"users":7}"#, "{}"] {
            let page: Page<'_> = serde_json::from_str(page).unwrap();
            assert!(page.results().is_err());
        }
    }

    #[test]
    fn the_first_page_begins_at_a_number_from_one_up() {
        let at = |value: &str| first(&vec![("start".into(), value.into())]);
        assert_eq!(first(&Vec::new()).unwrap(), 1);
        assert_eq!(at("250").unwrap(), 250);
        for wrong in ["0", "-5", "abc", "", "1.5", "99999999999999999999"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_end_that_is_not_a_whole_number_is_an_error() {
        fn next(page: &str) -> Result<Option<i64>, Failure> {
            serde_json::from_str::<Page<'_>>(page).unwrap().next_start()
        }
        assert_eq!(next(r#"{"nextStart":101}"#).unwrap(), Some(101));
        assert_eq!(next(r#"{"nextStart":null}"#).unwrap(), None);
        assert_eq!(next("{}").unwrap(), None);
        for wrong in ["101.5", "\"101\"", "1e400", "[]"] {
            let page = format!(r#"{{"nextStart":{wrong}}}"#);
            assert!(next(&page).is_err(), "{wrong}");
        }
    }
}
