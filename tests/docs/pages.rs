//! The pages, and what is in them.

use std::path::Path;

use regex::Regex;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Those that are not in docs/.
const OTHERS: [&str; 8] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "charts/orion-operator/README.md",
    "examples/README.md",
    "examples/receiver/README.md",
    "devkit/control-plane/README.md",
];

pub struct Page {
    /// Its path in the repository.
    pub path: String,
    pub text: String,
}

/// What is between two lines of three backticks.
#[derive(Debug, PartialEq)]
pub struct Block {
    /// What follows the first three; nothing, where it holds commands.
    pub language: String,
    pub text: String,
}

/// The names of the pages in docs/, sorted.
pub fn chapters() -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    names
}

pub fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Page { path: path.to_owned(), text }
}

pub fn all() -> Vec<Page> {
    let chapters = chapters().into_iter().map(|name| page(&format!("docs/{name}")));
    chapters.chain([page("docs/SUMMARY.md")]).chain(OTHERS.map(page)).collect()
}

impl Page {
    /// Whether each line is within a block; and the lines.
    fn lines(&self) -> impl Iterator<Item = (bool, &str)> {
        self.text.lines().scan(false, |within, line| {
            let is_fence = line.starts_with("```");
            *within ^= is_fence;
            Some((*within || is_fence, line))
        })
    }

    pub fn blocks(&self) -> Vec<Block> {
        let fenced = self.text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        fenced.map(|(language, text)| Block { language: language.to_owned(), text: format!("{text}\n") }).collect()
    }

    /// What is outside of blocks.
    pub fn prose(&self) -> String {
        self.lines().filter(|(within, _)| !within).map(|(_, line)| format!("{line}\n")).collect()
    }

    /// What is in backticks outside of blocks.
    pub fn inline(&self) -> Vec<String> {
        let code = Regex::new(r"`([^`\n]+)`").unwrap();
        code.captures_iter(&self.prose()).map(|found| found[1].replace("\\|", "|")).collect()
    }

    /// Where the page's links lead.
    pub fn links(&self) -> Vec<String> {
        let code = Regex::new(r"`[^`\n]*`").unwrap();
        let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
        link.captures_iter(&code.replace_all(&self.prose(), "x")).map(|found| found[1].to_owned()).collect()
    }

    /// What may follow a # in a link to this page, as GitHub and mdBook make it of the headings.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.lines().filter(|(within, line)| !within && line.starts_with('#'));
        let anchors = headings.map(|(_, line)| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
        });
        anchors.collect()
    }
}
