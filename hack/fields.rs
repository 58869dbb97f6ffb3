//! `docs/fields.md`: every field of every kind, made of the definitions.

use std::fmt::Write;

use anyhow::{Context, Result};
use orion_operator::api::crds;
use serde_json::{Map, Value};

const HEAD: &str = "# Fields

<!-- Made of the definitions by `make generate`. Do not edit. -->
Every field of the three kinds, with the rules that the apiserver itself enforces: nothing else refuses an object.
`kubectl explain webhook.spec` tells the same in a cluster, and `orion-operator validate` [checks files](cli.md#manifests-before-they-are-applied)
by these rules. A field without **required** may be left out. There is no default in the definitions, but the one of `status`: what
is said to be the default is what the operator does where the field is absent. Conditions are those of Kubernetes, with `type`,
`status`, `observedGeneration`, `lastTransitionTime`, `message`, and a [reason](reasons.md). [Examples](../examples/README.md) show
each feature.
";

/// The whole page.
pub(super) fn page() -> Result<String> {
    let mut page = HEAD.to_owned();
    for crd in crds() {
        let crd = serde_json::to_value(crd)?;
        kind(&mut page, &crd).with_context(|| format!("{}", at(&crd, "/metadata/name")))?;
    }
    Ok(page)
}

fn kind(page: &mut String, crd: &Value) -> Result<()> {
    let (spec, version) = (at(crd, "/spec"), at(crd, "/spec/versions/0"));
    let schema = at(version, "/schema/openAPIV3Schema");
    let names = at(spec, "/names");
    let scope = if text(at(spec, "/scope")) == "Namespaced" { "in a namespace" } else { "of the cluster" };
    writeln!(page, "\n## {}\n\n{}\n", text(at(names, "/kind")), text(at(schema, "/description")))?;
    writeln!(
        page,
        "`apiVersion: {}/{}`, {scope}. `kubectl get {}`, in short `{}`; `kubectl get {}` has it too.",
        text(at(spec, "/group")),
        text(at(version, "/name")),
        text(at(names, "/plural")),
        text(at(names, "/shortNames/0")),
        text(at(names, "/categories/0")),
    )?;
    let selectable = at(version, "/selectableFields").as_array().into_iter().flatten();
    let selectable: Vec<String> =
        selectable.map(|it| format!("`{}`", text(at(it, "/jsonPath")).trim_start_matches('.'))).collect();
    if !selectable.is_empty() {
        writeln!(page, "`--field-selector` takes {}.", selectable.join(", "))?;
    }
    writeln!(page, "\n| field | type | rules | |\n|---|---|---|---|")?;
    for part in ["spec", "status"] {
        let field = at(schema, &format!("/properties/{part}"));
        field_row(page, part, field, part == "spec")?;
        fields(page, part, field)?;
    }
    Ok(())
}

/// The fields below one, in the order of the alphabet, those that are required first.
fn fields(page: &mut String, path: &str, parent: &Value) -> Result<()> {
    // The fields of a condition are everybody's.
    if path == "status.conditions[]" {
        return Ok(());
    }
    let none = Map::new();
    let properties = at(parent, "/properties").as_object().unwrap_or(&none);
    let is_required =
        |name: &str| at(parent, "/required").as_array().is_some_and(|list| list.iter().any(|it| it == name));
    let mut properties: Vec<(&String, &Value)> = properties.iter().collect();
    properties.sort_by_key(|(name, _)| (!is_required(name), *name));
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        field_row(page, &path, field, is_required(name))?;
        // What is in an entry of a list.
        let (path, entry) =
            if at(field, "/items").is_object() { (format!("{path}[]"), at(field, "/items")) } else { (path, field) };
        fields(page, &path, entry)?;
    }
    Ok(())
}

fn field_row(page: &mut String, path: &str, field: &Value, required: bool) -> Result<()> {
    let required = if required { "**required**" } else { "" };
    let rules: Vec<String> =
        std::iter::once(required.to_owned()).chain(rules(field)).filter(|it| !it.is_empty()).collect();
    let meaning = text(at(field, "/description")).replace('\n', " ").replace('|', "\\|").replace('<', "\\<");
    writeln!(page, "| `{path}` | {} | {} | {meaning} |", kind_of(field), rules.join("; "))?;
    Ok(())
}

fn kind_of(field: &Value) -> String {
    match text(at(field, "/type")) {
        "array" => match text(at(field, "/items/type")) {
            "object" => "list".to_owned(),
            entry => format!("list of {entry}s"),
        },
        "object" if at(field, "/additionalProperties").is_object() => {
            format!("map of {}s", text(at(field, "/additionalProperties/type")))
        }
        "string" if text(at(field, "/format")) == "date-time" => "time".to_owned(),
        other => other.to_owned(),
    }
}

/// What a value must be, in words.
fn rules(field: &Value) -> Vec<String> {
    let mut rules = Vec::new();
    let number = |name: &str| field.get(name).and_then(Value::as_f64);
    if let Some(values) = at(field, "/enum").as_array() {
        rules.push(values.iter().map(|it| format!("`{}`", text(it))).collect::<Vec<_>>().join(" or "));
    }
    for (least, most, of) in
        [("minLength", "maxLength", " characters"), ("minItems", "maxItems", " entries"), ("minimum", "maximum", "")]
    {
        match (number(least), number(most)) {
            (Some(least), Some(most)) => rules.push(format!("{least} to {most}{of}")),
            (None, Some(most)) => rules.push(format!("at most {most}{of}")),
            (Some(least), None) => rules.push(format!("at least {least}{of}")),
            (None, None) => {}
        }
    }
    if let Some(default) = field.get("default") {
        rules.push(format!("default `{default}`"));
    }
    if text(at(field, "/x-kubernetes-list-type")) == "map" {
        rules.push(format!("each `{}` once", text(at(field, "/x-kubernetes-list-map-keys/0"))));
    }
    let messages = [field, at(field, "/items")]
        .into_iter()
        .flat_map(|it| at(it, "/x-kubernetes-validations").as_array())
        .flatten();
    rules.extend(messages.map(|rule| plain(text(at(rule, "/message")))));
    rules
}

/// Words in which no character means anything to Markdown.
fn plain(words: &str) -> String {
    words
        .chars()
        .flat_map(|c| ['|', '`', '*', '_', '<', '~'].contains(&c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// What is there, or null.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
