//! The generated files of the chart: copies of the definitions, rules of its roles, the schema of its values, and the
//! table of values in its README. The last two are made of `values.yaml` and the comments in it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use orion_operator::api::rbac::Place;
use serde_json::{Map, Value, json};

use super::{ROOT, definitions, replaced, rules};

const CHART: &str = "charts/orion-operator";
const BEGIN: &str = "<!-- values: made of values.yaml by `make generate` -->\n";
const END: &str = "<!-- end of values -->";

/// Every generated file of the chart, by its path in the repository.
pub(super) fn files() -> Result<Vec<(PathBuf, String)>> {
    let chart = Path::new(CHART);
    let read = |name: &str| {
        let path = Path::new(ROOT).join(CHART).join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let values = read("values.yaml")?;
    let notes = notes(&values)?;
    let defaults: Value = serde_yaml::from_str(&values).context("values.yaml")?;

    let mut schema = schema(&defaults, "", &notes);
    let root = schema.as_object_mut().context("values.yaml has no values")?;
    root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".into(), json!("Values of the chart orion-operator"));
    let properties = root.get_mut("properties").and_then(Value::as_object_mut).context("values.yaml has no values")?;
    // What Helm itself puts in, where the chart is a part of another one.
    properties.insert("global".into(), json!({"type": "object"}));
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema)?);
    let readme =
        replaced(&read("README.md")?, BEGIN, &table(&defaults, &notes)?, END).context("README of the chart")?;

    let mut files = vec![(chart.join("values.schema.json"), schema), (chart.join("README.md"), readme)];
    for (name, places) in [
        ("cluster.yaml", &[Place::Watched, Place::ClusterWide][..]),
        ("watched.yaml", &[Place::Watched, Place::EachWatched]),
        ("own.yaml", &[Place::Own]),
        ("leases.yaml", &[Place::Leading]),
    ] {
        files.push((chart.join("files/rbac").join(name), rules(places)));
    }
    for (name, text) in definitions()? {
        files.push((chart.join("files/crds").join(name), text));
    }
    Ok(files)
}

/// What a comment says of a value.
#[derive(Default)]
struct Note {
    /// Path of the value, like `image.tag`.
    path: String,
    description: Option<String>,
    schema: Option<Value>,
}

/// The comments of values.yaml, in its order.
fn notes(text: &str) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut pending = Note::default();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(schema) = content.strip_prefix("# @schema ") {
            pending.schema = Some(serde_yaml::from_str(schema).with_context(|| line.to_owned())?);
        } else if let Some(description) = content.strip_prefix("# -- ") {
            pending.description = Some(description.to_owned());
        } else if content.starts_with('#') || content.starts_with("- ") || content.is_empty() {
            if pending.schema.is_some() || pending.description.is_some() {
                bail!("values.yaml: no value follows the comment above \"{line}\"");
            }
        } else {
            let (key, _) = content.split_once(':').with_context(|| format!("values.yaml: {line}"))?;
            above.retain(|(outer, _)| *outer < indent);
            above.push((indent, key));
            pending.path = above.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
            notes.push(std::mem::take(&mut pending));
        }
    }
    Ok(notes)
}

/// The schema of a value: what its default tells, and over it what its comment says. Nothing unknown is let in.
fn schema(default: &Value, path: &str, notes: &[Note]) -> Value {
    let mut schema = match default {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(_) => json!({"type": "array"}),
        Value::Object(fields) if fields.is_empty() => json!({"type": "object"}),
        Value::Object(fields) => {
            let of_field = |(key, value): (&String, &Value)| (key.clone(), schema(value, &child(path, key), notes));
            let properties: Map<String, Value> = fields.iter().map(of_field).collect();
            json!({"type": "object", "additionalProperties": false, "properties": properties})
        }
    };
    if let (Some(note), Value::Object(fields)) = (notes.iter().find(|note| note.path == path), &mut schema) {
        if let Some(description) = &note.description {
            fields.insert("description".into(), json!(description));
        }
        if let Some(Value::Object(more)) = &note.schema {
            fields.extend(more.clone());
        }
    }
    schema
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The values that have a description, in the form of helm-docs.
fn table(defaults: &Value, notes: &[Note]) -> Result<String> {
    let mut table = String::from("| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n");
    for note in notes {
        let Some(description) = &note.description else { continue };
        let pointer = format!("/{}", note.path.replace('.', "/"));
        let default = defaults.pointer(&pointer).with_context(|| format!("values.yaml: {}", note.path))?;
        let kind = match default {
            Value::Null => "",
            Value::Bool(_) => "bool",
            Value::Number(_) => "int",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        writeln!(table, "| {} | {kind} | `{default}` | {} |", note.path, description.replace('|', "\\|"))?;
    }
    Ok(table)
}
