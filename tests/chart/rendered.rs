//! Without a cluster.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use orion_operator::api::{crds, file_name};
use orion_operator::cli::Cli;
use serde_json::Value;

use super::tools::{CHART, Helm, ROOT, arguments, objects, of_kind, ok, sets_of_values, tool};

#[test]
fn every_set_of_values_is_valid_and_both_helms_render_the_same() {
    let test = "every_set_of_values_is_valid_and_both_helms_render_the_same";
    let helms: Vec<Helm> = ["helm4", "helm3"].iter().filter_map(|name| Helm::new(test, name)).collect();
    for file in sets_of_values() {
        let file = file.to_str().unwrap();
        let rendered: Vec<Vec<Value>> = helms
            .iter()
            .map(|helm| {
                let nowhere = Path::new("/dev/null");
                ok(helm.command(nowhere).args(["lint", "--strict", "--kube-version", "1.31.0", CHART, "-f", file]));
                let mut all = objects(&helm.template(&["-f", file]));
                all.sort_by_key(Value::to_string);
                all
            })
            .collect();
        assert!(rendered.windows(2).all(|pair| pair[0] == pair[1]), "{file}");
    }
}

#[test]
fn its_own_unit_tests_pass() {
    if let Some(unittest) = tool("its_own_unit_tests_pass", "helm-unittest") {
        ok(Command::new(unittest).args([CHART, "--strict", "--file", "tests/*_test.yaml"]));
    }
}

/// Two rules are not ours: images have a version and may be pinned by digest, so that they need not be pulled each time;
/// a limit of CPU would only make the operator slow.
#[test]
fn kube_score_finds_nothing() {
    let test = "kube_score_finds_nothing";
    let (Some(helm), Some(score)) = (Helm::new(test, "helm4"), tool(test, "kube-score")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.yaml");
    let values = format!("{CHART}/ci/everything-values.yaml");
    std::fs::write(&file, helm.template(&["--skip-tests", "-f", &values])).unwrap();
    ok(Command::new(score)
        .args(["score", "--kubernetes-version", "v1.31", "--ignore-container-cpu-limit"])
        .args(["--ignore-test", "container-image-pull-policy"])
        .arg(file));
}

#[test]
fn plain_manifests_are_up_to_date() {
    if tool("plain_manifests_are_up_to_date", "helm4").is_some() {
        ok(Command::new("hack/manifests").arg("--check").current_dir(ROOT));
    }
}

/// A pod with a flag that the operator does not know would never start.
#[test]
fn the_operator_knows_the_flags() {
    let Some(helm) = Helm::new("the_operator_knows_the_flags", "helm4") else { return };
    for file in sets_of_values() {
        let deployment = helm.template(&["-f", file.to_str().unwrap()]);
        let arguments = arguments(of_kind(&objects(&deployment), "Deployment"));
        let parsed = Cli::try_parse_from([&["orion-operator".to_owned()], &arguments[..]].concat());
        assert!(parsed.is_ok(), "{}: {}", file.display(), parsed.err().unwrap());
    }
}

#[test]
fn versions_and_definitions_are_the_programs() {
    let read = |file: &str| std::fs::read_to_string(format!("{CHART}/{file}")).unwrap();
    let chart: Value = serde_yaml::from_str(&read("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (Some(version), Some(version)));
    let annotation = |name: &str| -> Value {
        serde_yaml::from_str(chart["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap()).unwrap()
    };
    assert!(annotation("images")[0]["image"].as_str().unwrap().ends_with(&format!(":{version}")));
    let listed: BTreeSet<String> = annotation("crds")
        .as_array()
        .unwrap()
        .iter()
        .map(|crd| format!("{}.yaml", crd["name"].as_str().unwrap()))
        .collect();
    assert_eq!(listed, crds().iter().map(file_name).collect());
    let example = serde_json::from_value::<orion_operator::api::Webhook>(annotation("crdsExamples")[0].clone());
    assert!(example.is_ok(), "{example:?}");
}

/// What helm's `keep` rests on is text that is put into text: nothing else may differ.
#[test]
fn definitions_are_rendered_as_they_are() {
    let Some(helm) = Helm::new("definitions_are_rendered_as_they_are", "helm4") else { return };
    let rendered = objects(&helm.template(&["--show-only", "templates/definitions.yaml"]));
    assert_eq!(rendered.len(), crds().len());
    for (mut rendered, crd) in rendered.into_iter().zip(sorted()) {
        assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        rendered["metadata"] = serde_json::json!({"name": rendered["metadata"]["name"]});
        assert_eq!(rendered, crd);
    }
}

/// The definitions as JSON, in the order of their files.
fn sorted() -> Vec<Value> {
    let mut all: Vec<Value> = crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    all.sort_by_key(|crd| crd["metadata"]["name"].as_str().map(str::to_owned));
    all
}
