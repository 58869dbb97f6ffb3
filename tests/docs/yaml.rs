//! The YAML in the pages.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use super::pages::all;

/// Objects of our kinds are checked by the definitions' rules; all else must be YAML at least.
#[test]
fn every_object_of_ours_is_valid() {
    let mut checked = 0;
    for page in all() {
        for block in page.blocks().iter().filter(|block| block.language == "yaml") {
            let documents: Result<Vec<Value>, _> =
                serde_yaml::Deserializer::from_str(&block.text).map(Value::deserialize).collect();
            let documents = documents.unwrap_or_else(|error| panic!("{}: {error}\n{}", page.path, block.text));
            let is_ours =
                |it: &Value| it["apiVersion"].as_str().is_some_and(|it| it.starts_with("orion-operator.dev/"));
            if documents.iter().any(is_ours) {
                let said = validate(&block.text);
                assert!(said.ends_with("no error\n"), "{}: {said}\n{}", page.path, block.text);
                checked += 1;
            }
        }
    }
    assert!(checked >= 2, "{checked}");
}

/// What `orion-operator validate -` says.
fn validate(yaml: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_orion-operator"))
        .args(["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
