//! Links between the pages: files, anchors and pictures exist, and each page is found.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{page, pages, root};

/// The anchors and the links of a page.
#[derive(Default)]
struct Links {
    /// The anchors of its headings.
    anchors: BTreeSet<String>,
    /// The targets of its links and pictures, as they are written.
    targets: Vec<String>,
}

impl Links {
    fn of(text: &str) -> Self {
        let (mut found, mut heading) = (Self::default(), None);
        let mut seen = BTreeMap::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    found.anchors.insert(unique(slug, &mut seen));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    found.targets.push(dest_url.into_string());
                }
                _ => {}
            }
        }
        found
    }

    /// The targets in the repository: the path from its root, and the anchor.
    fn relative<'a>(
        &'a self,
        from: &'a str,
    ) -> impl Iterator<Item = (Result<String, String>, Option<&'a str>)> {
        let local = |target: &&String| !target.contains("://") && !target.starts_with("mailto:");
        self.targets.iter().filter(local).map(move |target| {
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target.as_str(), None),
            };
            (resolve(from, path), anchor)
        })
    }
}

/// The anchor that GitHub gives to a heading with this text.
///
/// Letters in lower case, digits, `_` and `-` stay; a blank becomes `-`; everything else goes away.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// GitHub numbers the anchors of equal headings, from the second on.
fn unique(slug: String, seen: &mut BTreeMap<String, usize>) -> String {
    let count = seen.entry(slug.clone()).or_insert(0);
    *count += 1;
    match *count - 1 {
        0 => slug,
        earlier => format!("{slug}-{earlier}"),
    }
}

/// The path from the root of the repository to what a page names.
pub(super) fn resolve(from: &str, path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Ok(from.to_owned());
    }
    if path.starts_with('/') || path.contains('\\') {
        return Err(format!("{path} is not a relative path with slashes"));
    }
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return Err(format!("{path} leaves the repository"));
        }
    }
    Ok(parts.join("/"))
}

/// The pages and the changelog, with their links.
fn linked() -> BTreeMap<String, Links> {
    let all = pages().into_iter().chain([page("CHANGELOG.md")]);
    all.map(|(name, text)| (name, Links::of(&text))).collect()
}

/// Whether this file or folder exists, by exactly this name: some file systems ignore the case.
fn exists(path: &str) -> bool {
    let mut folder = root().to_owned();
    path.split('/').filter(|part| !part.is_empty()).all(|part| {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let found = entries.into_iter().any(|entry| entry.file_name() == part);
        folder.push(part);
        found
    })
}

#[test]
fn every_link_and_picture_has_its_target() {
    let pages = linked();
    let (mut broken, mut count) = (Vec::new(), 0);
    for (name, links) in &pages {
        for (path, anchor) in links.relative(name) {
            count += 1;
            let path = match path {
                Ok(path) => path,
                Err(reason) => {
                    broken.push(format!("{name}: {reason}"));
                    continue;
                }
            };
            let target = pages.get(&path);
            let has = |anchor: &str| target.is_some_and(|page| page.anchors.contains(anchor));
            if !exists(&path) {
                broken.push(format!("{name}: {path} does not exist"));
            } else if let Some(anchor) = anchor.filter(|anchor| !has(anchor)) {
                broken.push(format!("{name}: {path} has no heading for #{anchor}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 150, "only {count} links were found");
}

#[test]
fn every_page_is_two_links_away_from_the_readme() {
    let mut pages = linked();
    // The table of contents is the site's navigation, and not one of its pages.
    pages.remove("docs/SUMMARY.md");
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    for _ in 0..2 {
        let near: Vec<_> = found
            .iter()
            .filter_map(|name| pages.get_key_value(name))
            .collect();
        let next: Vec<_> = near
            .into_iter()
            .flat_map(|(name, links)| links.relative(name))
            .filter_map(|(path, _)| path.ok())
            .collect();
        found.extend(next);
    }
    let lost: Vec<_> = pages.keys().filter(|name| !found.contains(*name)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_picture_is_on_a_page() {
    let pages = linked();
    let shown: BTreeSet<_> = pages
        .iter()
        .flat_map(|(name, links)| links.relative(name))
        .filter_map(|(path, _)| path.ok())
        .collect();
    let pictures = std::fs::read_dir(root().join("docs/images")).unwrap();
    for picture in pictures.flatten() {
        let path = format!("docs/images/{}", picture.file_name().to_str().unwrap());
        assert!(shown.contains(&path), "no page shows {path}");
    }
}

#[test]
fn anchors_follow_githubs_rules() {
    let headings = [
        ("Where each fact lives", "where-each-fact-lives"),
        ("`doctor`, and what it checks", "doctor-and-what-it-checks"),
        ("CI & containers", "ci--containers"),
        ("Version 0.3 (not published)", "version-03-not-published"),
        ("`AGE_OAUTH_HOME`", "age_oauth_home"),
        ("Sign-in – Söhne", "sign-in--söhne"),
        ("[Shells](shells.md)", "shells"),
        ("Twice", "twice"),
        ("Twice", "twice-1"),
        ("Twice", "twice-2"),
    ];
    let page: String = headings.map(|(text, _)| format!("## {text}\n\n")).concat();
    let expected = headings.map(|(_, anchor)| anchor.to_owned());
    assert_eq!(Links::of(&page).anchors, BTreeSet::from(expected));
}

#[test]
fn paths_are_relative_to_the_page() {
    let from = "docs/ci.md";
    assert_eq!(resolve(from, "").as_deref(), Ok(from));
    assert_eq!(resolve(from, "json.md").as_deref(), Ok("docs/json.md"));
    assert_eq!(resolve(from, "../README.md").as_deref(), Ok("README.md"));
    assert_eq!(resolve(from, "./policy/").as_deref(), Ok("docs/policy"));
    assert!(resolve(from, "../../README.md").is_err());
    assert!(resolve(from, "/README.md").is_err());
    assert!(resolve(from, r"policy\age-oauth.admx").is_err());
}

/// Blocks and code have no links, and what is in a table has.
#[test]
fn links_are_those_that_a_reader_sees() {
    let text = "```\n[a](a.md)\n```\n`[b](b.md)`\n\n| c |\n|---|\n| [c](c.md#x), ![p](p.png) |\n\n[d][1]\n\n[1]: d.md\n";
    assert_eq!(Links::of(text).targets, ["c.md#x", "p.png", "d.md"]);
}
