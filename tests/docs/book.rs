//! The book holds together: every page is in it, every link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::pages::{ROOT, all, chapters, page};

#[test]
fn the_summary_names_every_page_once() {
    let mut named = page("docs/SUMMARY.md").links();
    named.sort();
    assert_eq!(named, chapters());
}

/// `a/../b` as `b`.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            assert!(straight.pop(), "{} leads out of the repository", path.display());
        } else {
            straight.push(part);
        }
    }
    straight
}

#[test]
fn every_link_leads_somewhere() {
    let pages = all();
    let mut count = 0;
    for from in &pages {
        for link in from.links().iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = Path::new(&from.path);
            let path = if file.is_empty() { path.to_owned() } else { straight(&path.parent().unwrap().join(file)) };
            assert!(Path::new(ROOT).join(&path).exists(), "{}: {link}", from.path);
            if !anchor.is_empty() {
                let to = page(path.to_str().unwrap());
                assert!(to.anchors().iter().any(|there| there == anchor), "{}: {link}", from.path);
            }
        }
    }
    assert!(count > 150, "{count}");
}

/// Two headings that are alike would have one anchor.
#[test]
fn no_page_has_a_heading_twice() {
    for page in all().iter().filter(|page| page.path != "CHANGELOG.md") {
        let anchors = page.anchors();
        assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len(), "{}: {anchors:?}", page.path);
    }
}

/// What `make` is said to do.
#[test]
fn every_target_of_make_is_there() {
    let makefile = std::fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    for page in all() {
        let blocks = page.blocks();
        let lines = blocks.iter().filter(|it| it.language.is_empty()).flat_map(|it| it.text.lines().map(str::to_owned));
        for code in page.inline().into_iter().chain(lines) {
            if let Some(target) = code.strip_prefix("make ").and_then(|rest| rest.split(' ').next()) {
                assert!(makefile.contains(&format!("\n{target}: ")), "{}: {code}", page.path);
            }
        }
    }
}

#[test]
fn the_readme_is_one_screen() {
    let lines = page("README.md").text.lines().count();
    assert!(lines <= 70, "{lines}");
}
