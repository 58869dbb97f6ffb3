//! `orion-operator validate`, as a person, a pipeline and pre-commit run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::{CommandFactory, Parser};
use orion_operator::cli::Cli;
use serde_json::Value;

const GOOD: &str = "\
apiVersion: orion-operator.dev/v1alpha1
kind: Webhook
metadata:
  name: jobs
spec:
  url: https://hooks.example.com/orion
  userId: user-42
  presenceName: jobs
";

fn run(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_orion-operator"))
        .arg("validate")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_example_is_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files: Vec<_> = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<&str> =
        files.iter().filter_map(|path| path.to_str()).filter(|path| path.ends_with(".yaml")).collect();
    assert!(files.len() >= 12, "{files:?}");
    let output = run(&files, "");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{}", text(&output.stdout));
    let json: Value = serde_json::from_slice(&run(&[&files[..], &["--output", "json"]].concat(), "").stdout).unwrap();
    assert!(json["checked"].as_u64().unwrap() >= 12 && json["skipped"].as_u64().unwrap() >= 5, "{json}");
}

#[test]
fn an_error_is_told_with_its_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hook.yaml");
    std::fs::write(&file, format!("{GOOD}---\n{}", GOOD.replace("https://", ""))).unwrap();
    let path = file.to_str().unwrap();
    let output = run(&[path], "");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), ""));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines[0].starts_with(&format!("{path}:15:3: Webhook jobs: spec.url: must be an absolute")), "{lines:?}");
    assert_eq!(lines[1..], ["2 objects checked, 0 of other kinds skipped: 1 error"]);

    let github = run(&[path, "--output", "github"], "");
    let annotation = format!("::error file={path},line=15,col=3::Webhook jobs: spec.url: must be");
    assert_eq!(github.status.code(), Some(1));
    assert!(text(&github.stdout).starts_with(&annotation), "{}", text(&github.stdout));

    let json = run(&[path, "--output", "json"], "");
    let found: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), found["errors"][0]["line"].as_u64()), (Some(1), Some(15)), "{found}");
}

#[test]
fn the_standard_input_is_read_as_well() {
    let piped = run(&["-"], GOOD);
    assert_eq!(piped.status.code(), Some(0), "{}", text(&piped.stdout));
    let object: Value = serde_yaml::from_str(GOOD).unwrap();
    let json = run(&["-"], &format!("{object}\n{object}"));
    assert_eq!(text(&json.stdout), "2 objects checked, 0 of other kinds skipped: no error\n");
    let broken = run(&["-"], "a: [\n");
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stdout).starts_with("-:"), "{}", text(&broken.stdout));
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_no_file_is_wrong_usage() {
    let output = run(&["/nowhere/hook.yaml"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("/nowhere/hook.yaml: cannot be read: "), "{}", text(&output.stdout));
    assert_eq!(run(&[], "").status.code(), Some(2));
    assert_eq!(run(&["-", "--output", "xml"], "").status.code(), Some(2));
}

#[test]
fn the_pre_commit_hooks_run_it() {
    let hooks: Vec<Value> = serde_yaml::from_str(include_str!("../.pre-commit-hooks.yaml")).unwrap();
    let ids: Vec<&str> = hooks.iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["orion-operator-validate", "orion-operator-validate-system"]);
    let page = include_str!("../docs/cli.md");
    for hook in &hooks {
        assert!(page.contains(hook["id"].as_str().unwrap()), "docs/cli.md tells of each");
        let entry = hook["entry"].as_str().unwrap().split(' ').chain(["a.yaml", "b.json"]);
        Cli::try_parse_from(entry).unwrap();
    }
}

/// Every command has its row, and every flag of `import` that is not about Orion or the cluster is told.
#[test]
fn the_page_tells_of_every_command() {
    let page = include_str!("../docs/cli.md");
    let command = Cli::command();
    for command in command.get_subcommands().map(clap::Command::get_name).filter(|name| !["run", "help"].contains(name))
    {
        assert!(page.contains(&format!("\n| `{command}")), "{command} has no row");
    }
    let import = command.find_subcommand("import").unwrap();
    for flag in import.get_arguments().filter_map(clap::Arg::get_long) {
        let is_told = page.contains(&format!("`--{flag}")) || page.contains(&format!("--{flag} "));
        assert!(
            flag.starts_with("orion-") || ["help", "kubeconfig"].contains(&flag) || is_told,
            "--{flag} is not told"
        );
    }
}
