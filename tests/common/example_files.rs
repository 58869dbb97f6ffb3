//! The files in `examples/`.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// Each file's name with its objects, sorted. `install.yaml` is no example of an object: `tests/chart` has its tests.
pub(crate) fn examples() -> Vec<(String, Vec<Value>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !path.ends_with("install.yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    files.iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), objects(path))).collect()
}

fn objects(path: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents.map(|it| Value::deserialize(it).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn is_webhook(object: &Value) -> bool {
    object["kind"] == "Webhook"
}

/// The namespace that an object is for, `default` where it names none.
pub(crate) fn namespace_of(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}
