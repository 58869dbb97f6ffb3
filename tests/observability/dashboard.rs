//! The dashboard of the chart.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::tools::{CHART, ok};
use super::{is_known, promtool};

fn panels() -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{CHART}/files/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap()
}

fn expressions(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    targets.iter().map(|target| target["expr"].as_str().unwrap()).collect()
}

#[test]
fn panels_stand_in_rows_and_beside_each_other() {
    let panels = panels();
    let rows: Vec<&str> = panels.iter().filter(|panel| panel["type"] == "row").map(title).collect();
    assert_eq!(rows, ["Is anything wrong", "Orion", "The operator itself"]);
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    let titles: BTreeSet<&str> = panels.iter().map(title).collect();
    assert_eq!((ids.len(), titles.len()), (panels.len(), panels.len()));
    let mut taken = BTreeSet::new();
    for panel in &panels {
        let at = |name: &str| panel["gridPos"][name].as_i64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", title(panel));
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((x, y)), "{} stands on another one", title(panel));
        }
    }
}

#[test]
fn each_expression_is_one_over_metrics_that_exist() {
    let panels = panels();
    let mut rules = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!expressions(panel).is_empty(), "{}", title(panel));
        for expression in expressions(panel) {
            is_known(title(panel), expression);
            assert!(expression.contains(r#"job=~"$job""#), "{}: {expression}", title(panel));
            let filled = expression.replace("$__rate_interval", "5m").replace("$job", ".+");
            rules.push(json!({"record": format!("panel:{}", rules.len()), "expr": filled}));
        }
    }
    assert!(rules.len() > 20);
    let Some(promtool) = promtool("each_expression_is_one_over_metrics_that_exist") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let all = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(file.path(), serde_yaml::to_string(&all).unwrap()).unwrap();
    ok(Command::new(promtool).args(["check", "rules"]).arg(file.path()));
}
