//! Dependencies point one way: `api <- plan <- controller -> orion`. Decisions hold no I/O and no clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

/// Files of a folder and below, tests aside.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().unwrap() != "tests")
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .collect()
}

fn refuse(folder: &str, words: &[&str]) {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder));
    assert!(files.len() > 3, "src/{folder} has moved: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(!code.contains(word), "{}:{}: {word} has no place in src/{folder}", file.display(), number + 1);
            }
        }
    }
}

const IO: [&str; 9] = [
    "async ",
    "tokio",
    "reqwest",
    "kube::Client",
    "kube::Api",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "rand::",
];

#[test]
fn api_depends_on_nothing_of_ours_and_does_no_io() {
    refuse("api", &["crate::plan", "crate::orion", "crate::controller", "crate::cli"]);
    refuse("api", &IO);
}

#[test]
fn plan_depends_on_api_alone_and_is_pure() {
    refuse("plan", &["crate::orion", "crate::controller", "crate::cli", "crate::metrics", "tracing::"]);
    refuse("plan", &IO);
}

#[test]
fn orion_knows_neither_decisions_nor_the_cluster() {
    refuse("orion", &["crate::plan", "crate::controller", "crate::cli", "kube::", "k8s_openapi"]);
}

#[test]
fn the_shell_does_not_know_the_command_line() {
    refuse("controller", &["crate::cli", "crate::telemetry", "crate::server", "reqwest"]);
}
