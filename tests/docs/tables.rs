//! The tables of the pages have what the program has.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use orion_operator::api::{Reason, State};
use orion_operator::cli::Cli;

use super::pages::{Page, ROOT, page};

/// The rows of a page, or a part of it, that begin with a word in backticks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    // A bar within a cell has a backslash before it.
    let cells = rows.map(|row| row.replace("\\|", "\0").trim_matches('|').replace(" | ", "\n"));
    cells.map(|row| row.split('\n').map(|cell| cell.trim().replace('\0', "|")).collect()).collect()
}

fn in_backticks(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn sections(page: &Page) -> impl Iterator<Item = (&str, &str)> {
    page.text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}

/// One row for each: meaning, cause, command, fix, in the section of its state.
#[test]
fn every_reason_has_its_row() {
    let page = page("docs/reasons.md");
    let mut told = Vec::new();
    for (heading, section) in sections(&page) {
        let is_here = |state: State| match state {
            State::Ready | State::Unknown => heading == "Nothing to do",
            State::Retrying => heading == "Tried again by itself",
            State::Stalled => heading == "A person must act",
            State::Suspended => heading == "Suspended",
        };
        for row in rows(section) {
            let reason: Reason = in_backticks(&row[0])[0].parse().unwrap();
            assert!(is_here(reason.state()), "{reason} is not under {heading}");
            assert_eq!(row.len(), 5, "{row:?}");
            assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
            let command = in_backticks(&row[3]);
            assert!(["kubectl ", "orion-operator "].iter().any(|it| command[0].starts_with(it)), "{row:?}");
            told.push(reason);
        }
    }
    told.sort();
    let mut all = Reason::ALL.to_vec();
    all.sort();
    assert_eq!(told, all);
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
    let rows = rows(&page("docs/settings.md").text);
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

/// A test of that name, or the beginning of it, in one of the programs.
fn is_a_test(name: &str) -> bool {
    let root = std::path::Path::new(ROOT);
    let folders = ["tests", "tests/e2e", "tests/simulation", "model/tests"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().path()).filter(|path| path.is_file()).any(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        path.file_stem().unwrap() == name || text.contains(&format!("fn {name}")) || text.contains(&format!("_{name}"))
    })
}

#[test]
fn the_tests_that_prove_the_guarantees_exist() {
    let page = page("docs/guarantees.md").text;
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

/// What it is said to be tested with is what `hack/tools` and the control plane are.
#[test]
fn versions_are_those_of_the_tests() {
    let page = page("docs/compatibility.md").text;
    let told = page.split("\n## ").next().unwrap();
    let tools = std::fs::read_to_string(format!("{ROOT}/hack/tools")).unwrap();
    let version = |tool: &str| {
        let line = tools.lines().find(|line| line.split_whitespace().next() == Some(tool)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for tool in [
        "helm3",
        "helm4",
        "source-controller",
        "kustomize-controller",
        "helm-controller",
        "argocd",
        "kstatus",
        "promtool",
    ] {
        assert!(told.contains(&version(tool)), "{tool} is {}", version(tool));
    }
    let plane = std::fs::read_to_string(format!("{ROOT}/devkit/control-plane/kubernetes/go.mod")).unwrap();
    let kubernetes = plane.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).unwrap();
    let kubernetes = kubernetes.split(' ').next().unwrap();
    assert!(told.contains(&format!("| Kubernetes | {kubernetes} |")), "{kubernetes}");
    let cargo = std::fs::read_to_string(format!("{ROOT}/Cargo.toml")).unwrap();
    let rust = cargo.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(told.contains(&format!("| Rust | {} or newer |", rust.trim_matches('"'))), "{rust}");
    let chart = std::fs::read_to_string(format!("{ROOT}/charts/orion-operator/Chart.yaml")).unwrap();
    assert!(chart.contains("kubeVersion: \">=1.31.0-0\"") && told.contains("**Kubernetes 1.31 is the oldest**"));
}

/// `hack/record-demo` has drawn the demo as it is.
#[test]
fn the_picture_of_the_demo_shows_its_steps() {
    let steps = std::fs::read_to_string(format!("{ROOT}/devkit/src/demo/steps.rs")).unwrap();
    let picture = std::fs::read_to_string(format!("{ROOT}/docs/images/demo.svg")).unwrap().replace("&#x27;", "'");
    let titles: Vec<&str> = steps.split("screen.step(\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(titles.len(), 8);
    for (number, title) in titles.iter().enumerate() {
        assert!(picture.contains(&format!(">{}. {title}</tspan>", number + 1)), "run hack/record-demo: {title}");
    }
}
