//! The alerts of the chart, by promtool, and their runbook.

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

use super::tools::{CHART, ok};
use super::{is_known, promtool};

const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const TESTS: &str = include_str!("alerts.yaml");

fn alerts() -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{CHART}/files/alerts.yaml")).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

fn names() -> BTreeSet<String> {
    alerts().iter().map(|alert| name(alert).to_owned()).collect()
}

#[test]
fn each_says_what_is_wrong_and_what_to_do_next() {
    let (kept_in, used) = (Regex::new(r"by \(([^)]*)\)").unwrap(), Regex::new(r"\$labels\.(\w+)").unwrap());
    for alert in alerts() {
        let name = name(&alert);
        let text =
            |field: &str| alert["annotations"][field].as_str().unwrap_or_else(|| panic!("{name} has no {field}"));
        assert!(name.starts_with("OrionOperator"), "{name}");
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(!text("summary").ends_with('.') && text("summary").len() < 80, "{name}");
        let has_command = ["kubectl ", "orion-operator "].iter().any(|command| text("description").contains(command));
        assert!(has_command, "{name} does not say which command comes next");
        is_known(name, alert["expr"].as_str().unwrap());
        // A label that the expression has lost would leave a hole in the text.
        let expression = alert["expr"].as_str().unwrap();
        let kept: BTreeSet<&str> =
            kept_in.captures_iter(expression).flat_map(|found| found.get(1).unwrap().as_str().split(", ")).collect();
        for used in used.captures_iter(&format!("{} {}", text("summary"), text("description"))) {
            assert!(kept.contains(&used[1]), "{name}: {}", &used[0]);
        }
    }
}

#[test]
fn each_has_its_section_in_the_runbook_and_no_section_is_without() {
    let sections: BTreeSet<String> =
        RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(sections, names());
    for alert in alerts() {
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (page, anchor) = url.split_once('#').unwrap();
        assert_eq!(page, "https://github.com/orion-operator/orion-operator/blob/main/docs/runbook.md");
        assert_eq!(anchor, name(&alert).to_lowercase());
        let section = RUNBOOK.split("\n## ").find(|section| section.starts_with(name(&alert))).unwrap();
        assert!(section.contains("```\n") && section.len() > 300, "{}: what to do?", name(&alert));
    }
}

/// A test of each where it fires, and one where it does not.
#[test]
fn promtool_sees_each_fire_and_keep_silent() {
    let tests: Value = serde_yaml::from_str(TESTS).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter().flat_map(|test| test["promql_expr_test"].as_array().unwrap());
    let (fires, silent): (Vec<&Value>, Vec<&Value>) =
        cases.partition(|case| !case["exp_samples"].as_array().unwrap().is_empty());
    let name = Regex::new(r#"alertname="(\w+)""#).unwrap();
    for (what, cases) in [("fire", fires), ("keep silent", silent)] {
        let tested: BTreeSet<String> =
            cases.iter().map(|case| name.captures(case["expr"].as_str().unwrap()).unwrap()[1].to_owned()).collect();
        let missing: Vec<String> = names().difference(&tested).cloned().collect();
        assert!(missing.is_empty(), "no test sees these {what}: {missing:?}");
    }
    let Some(promtool) = promtool("promtool_sees_each_fire_and_keep_silent") else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = json!({"groups": [{"name": "orion-operator", "rules": alerts()}]});
    std::fs::write(directory.path().join("rules.yaml"), serde_yaml::to_string(&rules).unwrap()).unwrap();
    std::fs::write(directory.path().join("alerts.yaml"), TESTS).unwrap();
    ok(Command::new(&promtool).args(["check", "rules", "--lint-fatal", "rules.yaml"]).current_dir(directory.path()));
    ok(Command::new(&promtool).args(["test", "rules", "alerts.yaml"]).current_dir(directory.path()));
}
