//! The tables of the README say what the program says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use orion_operator::api::{GROUP, Reason, VERSION};
use orion_operator::cli::Cli;

const README: &str = include_str!("../README.md");

/// The cells of the rows below a heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = README.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn in_backticks(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_reason_is_explained_once() {
    let rows = rows("What the reasons mean");
    let mut told: Vec<&str> = rows.iter().flat_map(|row| in_backticks(&row[0])).collect();
    let mut all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    told.sort_unstable();
    all.sort_unstable();
    assert_eq!(told, all);
    assert!(rows.iter().all(|row| row.len() == 3 && !row[1].is_empty()), "{rows:?}");
}

#[test]
fn every_flag_is_listed_with_its_default() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let flags: BTreeMap<String, String> = run
        .get_arguments()
        .filter_map(|argument| {
            let default = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            argument.get_long().map(|long| (format!("--{long}"), default))
        })
        .filter(|(flag, _)| !matches!(flag.as_str(), "--help" | "--version"))
        .collect();
    let rows = rows("Settings");
    let listed: BTreeSet<&str> = rows.iter().map(|row| in_backticks(&row[0])[0].split(' ').next().unwrap()).collect();
    assert_eq!(listed, flags.keys().map(String::as_str).collect());
    for row in &rows {
        let flag = in_backticks(&row[0])[0].split(' ').next().unwrap();
        let default = &flags[flag];
        assert!(
            default.is_empty() || in_backticks(&row[1]) == [default] || row[1] == *default,
            "{flag}: {} is {default}",
            row[1]
        );
    }
}

#[test]
fn its_webhook_is_one() {
    let yaml = README.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let webhook: orion_operator::api::Webhook = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(webhook.spec.headers.len(), 1);
    assert!(yaml.contains(&format!("{GROUP}/{VERSION}")));
}

#[test]
fn what_pages_link_to_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "docs/security.md",
        "docs/guarantees.md",
        "docs/gitops.md",
        "docs/install.md",
        "docs/cli.md",
    ] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = root.join(page).parent().unwrap().join(file);
            assert!(path.exists(), "{page}: {link}");
            if !heading.is_empty() {
                let text = std::fs::read_to_string(path).unwrap().to_lowercase().replace(' ', "-");
                assert!(text.contains(&format!("#-{heading}\n")), "{page}: {link}");
            }
        }
    }
}

/// A test of that name, or the beginning of it, in one of the programs.
fn is_a_test(name: &str) -> bool {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests", "tests/e2e", "tests/simulation", "model/tests"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().path()).filter(|path| path.is_file()).any(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        path.file_stem().unwrap() == name || text.contains(&format!("fn {name}")) || text.contains(&format!("_{name}"))
    })
}

#[test]
fn the_tests_that_prove_the_guarantees_exist() {
    let page = include_str!("../docs/guarantees.md");
    let commands: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|code| code.starts_with("cargo test ")).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = command.trim_end_matches(" -- --nocapture");
        let name = words.rsplit(' ').next().unwrap();
        assert!(is_a_test(name), "{command}: there is no test {name}");
    }
    for reason in ["CreateUnresolved", "MassDrift", "EndpointChanged", "DeleteUnsupported", "UpdateUnsupported"] {
        assert!(page.contains(&format!("| `{reason}`")), "{reason} has no row");
    }
}
