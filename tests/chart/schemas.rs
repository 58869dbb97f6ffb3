//! Schemas for kubeconform, made of what an apiserver says of itself: its own kinds and those of installed definitions.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

const PREFIX: &str = "#/definitions/";

/// Where kubeconform finds the files of `write`.
pub fn locations(directory: &Path) -> [String; 2] {
    let directory = directory.display();
    ["{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}", "{{.ResourceKind}}-{{.ResourceAPIVersion}}"]
        .map(|name| format!("{directory}/{name}.json"))
}

/// Writes one file for each kind of an OpenAPI v2 document; unknown fields are mistakes. Gives how many.
pub fn write(openapi: &Value, directory: &Path) -> usize {
    let given = openapi["definitions"].as_object().unwrap();
    let mut strict: Map<String, Value> = given.iter().map(|(name, schema)| (name.clone(), fixed(schema))).collect();
    strict
        .insert("io.k8s.apimachinery.pkg.api.resource.Quantity".into(), json!({"type": ["string", "number", "null"]}));
    let mut count = 0;
    for (name, schema) in given {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array().map_or(&[][..], Vec::as_slice);
        // Those of many groups are options of calls, no objects.
        for kind in kinds.iter().filter(|_| kinds.len() <= 8) {
            let mut file = strict[name].clone();
            let mut needed = BTreeSet::new();
            gather(&file, &strict, &mut needed);
            file["definitions"] = needed.into_iter().map(|name| (name.clone(), strict[&name].clone())).collect();
            file["$schema"] = json!("http://json-schema.org/draft-07/schema#");
            let word = |field: &str| kind[field].as_str().unwrap();
            let kind = word("kind").to_lowercase();
            let words = [kind.as_str(), word("group"), word("version")];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            std::fs::write(directory.join(format!("{}.json", words.join("-"))), file.to_string()).unwrap();
            count += 1;
        }
    }
    count
}

/// OpenAPI v2 as JSON schema.
fn fixed(schema: &Value) -> Value {
    let fields = match schema {
        Value::Array(items) => return items.iter().map(fixed).collect(),
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return schema.clone(),
    };
    if let Some(reference) = fields.get("$ref") {
        return json!({"$ref": reference});
    }
    if schema["x-kubernetes-int-or-string"] == true || schema["format"] == "int-or-string" {
        return json!({"type": ["string", "integer", "null"]});
    }
    let mut new = Map::new();
    for (key, value) in fields {
        match key.as_str() {
            "description" | "format" | "default" | "example" => {}
            extension if extension.starts_with("x-kubernetes") => {}
            "properties" => {
                let properties = value.as_object().unwrap().iter().map(|(name, it)| (name.clone(), fixed(it)));
                new.insert(key.clone(), properties.collect());
                let open = fields.contains_key("additionalProperties")
                    || schema["x-kubernetes-preserve-unknown-fields"] == true;
                if !open {
                    new.insert("additionalProperties".into(), json!(false));
                }
            }
            "type" if value.is_string() => {
                new.insert(key.clone(), json!([value, "null"]));
            }
            _ => {
                new.insert(key.clone(), fixed(value));
            }
        }
    }
    Value::Object(new)
}

/// The names of all definitions that a schema refers to, near and far.
fn gather(schema: &Value, all: &Map<String, Value>, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| gather(item, all, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "$ref").and_then(|text| text.strip_prefix(PREFIX)) {
                    Some(name) if found.insert(name.to_owned()) => gather(&all[name], all, found),
                    Some(_) => {}
                    None => gather(value, all, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
