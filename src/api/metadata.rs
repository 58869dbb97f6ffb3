//! The rules of `metadata`, which are the same for every object and in no definition: those of
//! `k8s.io/apimachinery`, package `api/validation`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value};

use super::schema::OBJECT_NAME;
use super::validate::{Found, ViolationKind};

/// The name of a label, an annotation or a finalizer without what stands before the slash.
const QUALIFIED_NAME: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// The value of a label.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// The name of a namespace.
const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Names and values of all annotations together, in bytes.
const ANNOTATIONS_AT_MOST: usize = 256 * 1024;

/// What is wrong with the `metadata` of an object.
pub(super) fn check(object: &Value, found: &mut Found) {
    let given = object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let given = without_nulls(given);
    let meta: ObjectMeta = match serde_json::from_value(given.clone()) {
        Ok(meta) => meta,
        Err(error) => return found.add("metadata", ViolationKind::Type, error.to_string()),
    };
    name(&meta, found);
    if let Some(namespace) = meta.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        bounded(namespace, 63, "metadata.namespace", found);
        found.pattern(NAMESPACE, namespace, "metadata.namespace");
    }
    for (key, value) in meta.labels.iter().flatten() {
        let field = format!("metadata.labels.{key}");
        qualified(key, &field, found);
        bounded(value, 63, &field, found);
        found.pattern(LABEL_VALUE, value, &field);
    }
    annotations(&meta, found);
    for (index, finalizer) in meta.finalizers.iter().flatten().enumerate() {
        qualified(finalizer, &format!("metadata.finalizers[{index}]"), found);
    }
    owners(meta.owner_references.as_deref().unwrap_or_default(), found);
    unknown(&given, &serde_json::to_value(&meta).unwrap_or_default(), "metadata", found);
}

fn name(meta: &ObjectMeta, found: &mut Found) {
    let is_given = |text: &&String| !text.is_empty();
    let prefix = meta.generate_name.as_ref().filter(is_given);
    match (meta.name.as_ref().filter(is_given), prefix) {
        (Some(name), _) => {
            bounded(name, 253, "metadata.name", found);
            found.pattern(OBJECT_NAME, name, "metadata.name");
            if let Some(prefix) = prefix {
                found.pattern(OBJECT_NAME, &without_dash(prefix), "metadata.generateName");
            }
        }
        // Letters and digits are put behind it, and what comes out must be a name.
        (None, Some(prefix)) => found.pattern(OBJECT_NAME, &format!("{prefix}x"), "metadata.generateName"),
        (None, None) => found.add("metadata.name", ViolationKind::Required, "is required"),
    }
}

/// A prefix that is not used is looked at less closely: of a dash at its end and what stands before it the apiserver makes
/// an `a` (`maskTrailingDash`).
fn without_dash(prefix: &str) -> String {
    let mut kept = prefix.chars();
    match (prefix.ends_with('-'), kept.next_back(), kept.next_back()) {
        (true, Some(_), Some(_)) => kept.chain(['a']).collect(),
        _ => prefix.to_owned(),
    }
}

fn annotations(meta: &ObjectMeta, found: &mut Found) {
    let mut size = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        // Upper case is let through before the slash too.
        qualified(&key.to_lowercase(), &format!("metadata.annotations.{key}"), found);
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_AT_MOST {
        let message = format!("must have at most {ANNOTATIONS_AT_MOST} bytes in all, has {size}");
        found.add("metadata.annotations", ViolationKind::Bound, message);
    }
}

fn owners(owners: &[OwnerReference], found: &mut Found) {
    for (index, owner) in owners.iter().enumerate() {
        let needed =
            [("apiVersion", &owner.api_version), ("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)];
        for (field, _) in needed.into_iter().filter(|(_, text)| text.is_empty()) {
            found.add(&format!("metadata.ownerReferences[{index}].{field}"), ViolationKind::Required, "is required");
        }
    }
    if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
        found.add("metadata.ownerReferences", ViolationKind::Duplicate, "must have one controller at most");
    }
}

/// `name`, or `prefix/name` where the prefix is a DNS name.
fn qualified(key: &str, field: &str, found: &mut Found) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix {
        bounded(prefix, 253, field, found);
        found.pattern(OBJECT_NAME, prefix, field);
    }
    bounded(name, 63, field, found);
    found.pattern(QUALIFIED_NAME, name, field);
}

fn bounded(text: &str, most: usize, field: &str, found: &mut Found) {
    if text.len() > most {
        found.add(field, ViolationKind::Bound, format!("may be {most} characters long at most"));
    }
}

/// What was given and is not among what was read.
fn unknown(given: &Value, known: &Value, path: &str, found: &mut Found) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given {
                let field = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => unknown(value, known, &field, found),
                    None => found.add(&field, ViolationKind::UnknownField, "unknown field"),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                unknown(given, known, &format!("{path}[{index}]"), found);
            }
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => {}
    }
}

/// A null is as if it were not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
