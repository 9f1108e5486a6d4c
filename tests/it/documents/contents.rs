//! The table of contents of the site: `docs/SUMMARY.md`.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::links::resolve;
use super::{page, pages};

/// A group of pages: its title in lower case, and their paths in the repository.
type Group = (String, Vec<String>);

/// The part of the table of contents before its first group, and its groups.
fn contents() -> (Vec<String>, Vec<Group>) {
    let (name, text) = page("docs/SUMMARY.md");
    let mut groups: Vec<Group> = Vec::new();
    let mut in_heading = false;
    for event in Parser::new(&text) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                assert_eq!(level, HeadingLevel::H1, "mdBook knows groups by `#`");
                in_heading = true;
                groups.push(Group::default());
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Text(part) if in_heading => {
                groups.last_mut().unwrap().0 += &part.to_lowercase();
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let (_, links) = groups.last_mut().expect("a heading before the first link");
                links.push(resolve(&name, &dest_url).unwrap());
            }
            _ => {}
        }
    }
    // The first heading is that of the page.
    let (_, before) = groups.remove(0);
    (before, groups)
}

/// The table "Where to go next" of the README.
fn readme_groups() -> Vec<Group> {
    let (name, text) = page("README.md");
    let (_, part) = text.split_once("\n## Where to go next\n").unwrap();
    let part = part.split("\n## ").next().unwrap();
    let (mut groups, mut cell): (Vec<Group>, usize) = (Vec::new(), 0);
    for event in Parser::new_ext(part, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::TableRow) => {
                cell = 0;
                groups.push(Group::default());
            }
            Event::End(TagEnd::TableCell) => cell += 1,
            Event::Text(part) if cell == 0 => {
                if let Some((title, _)) = groups.last_mut() {
                    *title += &part.to_lowercase();
                }
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let (_, links) = groups.last_mut().expect("a row");
                links.push(resolve(&name, &dest_url).unwrap());
            }
            _ => {}
        }
    }
    groups
}

#[test]
fn the_table_of_contents_lists_every_page_once() {
    let (before, groups) = contents();
    let listed = groups.into_iter().flat_map(|(_, links)| links);
    let listed: Vec<_> = before.into_iter().chain(listed).collect();
    let all = pages().into_iter().chain([page("CHANGELOG.md")]);
    let mut all: Vec<_> = all.map(|(name, _)| name).collect();
    all.retain(|name| name != "docs/SUMMARY.md");
    let once = |page: &&String| listed.iter().filter(|name| name == page).count() == 1;
    let wrong: Vec<_> = all.iter().filter(|page| !once(page)).collect();
    assert!(wrong.is_empty(), "not once in docs/SUMMARY.md: {wrong:?}");
    let others: Vec<_> = listed.iter().filter(|name| !all.contains(name)).collect();
    assert!(others.is_empty(), "not pages: {others:?}");
}

#[test]
fn the_table_of_contents_has_the_groups_of_the_readme() {
    let (before, groups) = contents();
    assert_eq!(before, ["README.md"]);
    let readme = readme_groups();
    assert!(readme.len() > 4, "{readme:?}");
    for (ours, theirs) in groups.iter().zip(&readme) {
        assert_eq!(ours, theirs, "docs/SUMMARY.md, and the table of README.md");
    }
    assert_eq!(groups.len(), readme.len());
}
