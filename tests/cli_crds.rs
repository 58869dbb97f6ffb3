//! `orion-operator crds`, as a person runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

use orion_operator::api::{crds, file_name, to_yaml};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orion-operator")).args(args).output().unwrap()
}

#[test]
fn prints_every_definition() {
    let output = run(&["crds"]);
    let expected: String = crds().iter().map(|crd| to_yaml(crd).unwrap()).collect();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn writes_a_file_for_each_definition() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("new/crds");
    let output = run(&["crds", "--output-dir", dir.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    for crd in crds() {
        assert_eq!(std::fs::read_to_string(dir.join(file_name(&crd))).unwrap(), to_yaml(&crd).unwrap());
    }
}

#[test]
fn says_what_is_wrong() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let output = run(&["crds", "--output-dir", path]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("cannot write") && message.contains(path), "{message}");
    assert_eq!(run(&["crds", "--bogus"]).status.code(), Some(2));
}
