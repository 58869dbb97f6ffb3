//! The rules of a custom resource definition, run without a cluster.
//!
//! Everything is read from the definition's own `openAPIV3Schema`: bounds and types by the walk here, in the way of the
//! apiserver (`k8s.io/apiextensions-apiserver`, packages `schema` and `validation`), and CEL rules by kube. Two
//! differences: an update is not ratcheted (a value that was invalid before stays an error), and a `format` is not
//! checked.

use std::collections::HashSet;
use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value};

use super::metadata;

/// What kind of rule an object breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// A field that the schema does not have: the apiserver drops it, and kubectl refuses it.
    UnknownField,
    /// A field that must be there is not.
    Required,
    /// A value of another type.
    Type,
    /// Too short, too long, too few, too many, too small or too large.
    Bound,
    /// Not one of the values that there are.
    Enum,
    /// Not of the form that the field asks for.
    Pattern,
    /// Twice in a list whose entries differ.
    Duplicate,
    /// A CEL rule says no.
    Rule,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, like `spec.headers[0].name`.
    pub field: String,
    /// Kind of the rule.
    pub kind: ViolationKind,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The rules of one custom resource definition.
pub struct Schema {
    api_version: String,
    kind: String,
    root: JSONSchemaProps,
    /// What is written to the object itself has no say in its status: there is a subresource for that.
    drops_status: bool,
    rules: CompiledSchema,
    validator: Validator,
}

impl Schema {
    /// Reads the rules of the stored version of `crd`; `None` if it has no schema.
    #[must_use]
    pub fn new(crd: &CustomResourceDefinition) -> Option<Self> {
        let version = crd.spec.versions.iter().find(|version| version.storage)?;
        let root = version.schema.as_ref()?.open_api_v3_schema.clone()?;
        Some(Self {
            api_version: format!("{}/{}", crd.spec.group, version.name),
            kind: crd.spec.names.kind.clone(),
            drops_status: version.subresources.as_ref().is_some_and(|it| it.status.is_some()),
            rules: compile_schema(&serde_json::to_value(&root).ok()?),
            root,
            validator: Validator::new(),
        })
    }

    /// The kind that the definition is for.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether `object` says that it is of this definition.
    #[must_use]
    pub fn is_for(&self, object: &Value) -> bool {
        self.is_version(object) && object.get("kind").and_then(Value::as_str) == Some(&self.kind)
    }

    /// What the apiserver would say to the creation of `object`.
    #[must_use]
    pub fn validate(&self, object: &Value) -> Vec<Violation> {
        self.check(None, object)
    }

    /// What the apiserver would say if `new` replaced the valid object `old`.
    #[must_use]
    pub fn validate_update(&self, old: &Value, new: &Value) -> Vec<Violation> {
        self.check(Some(old), new)
    }

    fn is_version(&self, object: &Value) -> bool {
        object.get("apiVersion").and_then(Value::as_str) == Some(&self.api_version)
    }

    fn check(&self, old: Option<&Value>, object: &Value) -> Vec<Violation> {
        let mut object = without_nulls(&self.root, object);
        let mut found = Found::default();
        self.check_envelope(&object, &mut found);
        found.value(&self.root, &without_envelope(&object), "");
        if self.drops_status {
            // Its unknown fields were told while it was decoded, then it was dropped.
            let is_heeded = |it: &Violation| it.kind == ViolationKind::UnknownField || !is_within(&it.field, "status");
            found.0.retain(is_heeded);
            object.as_object_mut().map(|fields| fields.remove("status"));
        }
        // As in the apiserver: rules can rely on what the structure promises, so they run only where it holds.
        if !found.0.iter().any(|violation| violation.kind.blocks_rules()) {
            let old = old.map(|old| without_nulls(&self.root, old));
            if let Err(errors) = self.validator.validate_compiled(&self.rules, &object, old.as_ref()) {
                found.0.extend(errors.into_vec().into_iter().map(|error| Violation {
                    field: error.field_path,
                    kind: ViolationKind::Rule,
                    message: error.message,
                }));
            }
        }
        found.0
    }

    /// `apiVersion`, `kind` and `metadata`, which the schema of a definition does not describe.
    fn check_envelope(&self, object: &Value, found: &mut Found) {
        if !self.is_version(object) {
            found.add("apiVersion", ViolationKind::Enum, format!("must be {}", self.api_version));
        }
        if object.get("kind").and_then(Value::as_str) != Some(&self.kind) {
            found.add("kind", ViolationKind::Enum, format!("must be {}", self.kind));
        }
        metadata::check(object, found);
    }
}

impl ViolationKind {
    fn blocks_rules(self) -> bool {
        match self {
            Self::Required | Self::Type | Self::Bound | Self::Enum => true,
            Self::UnknownField | Self::Pattern | Self::Duplicate | Self::Rule => false,
        }
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found(Vec<Violation>);

impl Found {
    pub(super) fn add(&mut self, field: &str, kind: ViolationKind, message: impl Into<String>) {
        self.0.push(Violation { field: field.to_owned(), kind, message: message.into() });
    }

    fn value(&mut self, schema: &JSONSchemaProps, value: &Value, path: &str) {
        if value.is_null() && schema.nullable == Some(true) {
            return;
        }
        if let Some(wanted) = schema.type_.as_deref()
            && !is_type(wanted, value)
        {
            return self.add(path, ViolationKind::Type, format!("must be of type {wanted}"));
        }
        if let Some(allowed) = &schema.enum_
            && !allowed.iter().any(|allowed| &allowed.0 == value)
        {
            let allowed: Vec<String> = allowed.iter().map(|allowed| allowed.0.to_string()).collect();
            self.add(path, ViolationKind::Enum, format!("must be one of {}", allowed.join(", ")));
        }
        match value {
            Value::String(text) => self.string(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Array(items) => self.array(schema, items, path),
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn string(&mut self, schema: &JSONSchemaProps, text: &str, path: &str) {
        // Characters, not bytes, as in the apiserver.
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        self.bounds(length, schema.min_length, schema.max_length, "characters", path);
        if let Some(pattern) = &schema.pattern {
            self.pattern(pattern, text, path);
        }
    }

    pub(super) fn pattern(&mut self, pattern: &str, text: &str, path: &str) {
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => self.add(path, ViolationKind::Pattern, format!("must match {pattern}")),
            Err(error) => self.add(path, ViolationKind::Pattern, format!("the pattern cannot be read: {error}")),
        }
    }

    fn number(&mut self, schema: &JSONSchemaProps, number: f64, path: &str) {
        if let Some(least) = schema.minimum.filter(|least| number < *least) {
            self.add(path, ViolationKind::Bound, format!("must be at least {least}"));
        }
        if let Some(most) = schema.maximum.filter(|most| number > *most) {
            self.add(path, ViolationKind::Bound, format!("must be at most {most}"));
        }
    }

    fn bounds(&mut self, size: i64, least: Option<i64>, most: Option<i64>, what: &str, path: &str) {
        if let Some(least) = least.filter(|least| size < *least) {
            self.add(path, ViolationKind::Bound, format!("must have at least {least} {what}"));
        }
        if let Some(most) = most.filter(|most| size > *most) {
            self.add(path, ViolationKind::Bound, format!("must have at most {most} {what}, has {size}"));
        }
    }

    fn array(&mut self, schema: &JSONSchemaProps, items: &[Value], path: &str) {
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        self.bounds(size, schema.min_items, schema.max_items, "entries", path);
        let item_path = |index: usize| format!("{path}[{index}]");
        if let Some(JSONSchemaPropsOrArray::Schema(item_schema)) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                self.value(item_schema, item, &item_path(index));
            }
        }
        let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
        if matches!(schema.x_kubernetes_list_type.as_deref(), Some("map" | "set")) {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let identity = if keys.is_empty() {
                    item.to_string()
                } else {
                    keys.iter().map(|key| item.get(key).unwrap_or(&Value::Null).to_string()).collect()
                };
                if !seen.insert(identity) {
                    self.add(&item_path(index), ViolationKind::Duplicate, "is in the list twice");
                }
            }
        }
    }

    fn object(&mut self, schema: &JSONSchemaProps, fields: &Map<String, Value>, path: &str) {
        let field_path = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for name in schema.required.iter().flatten().filter(|name| !fields.contains_key(*name)) {
            self.add(&field_path(name), ViolationKind::Required, "is required");
        }
        for (name, value) in fields {
            if let Some(property) = property(schema, name) {
                self.value(property, value, &field_path(name));
            } else if !is_open(schema) {
                self.add(&field_path(name), ViolationKind::UnknownField, "unknown field");
            }
        }
    }
}

/// The field is `outer`, or within it.
fn is_within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn is_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // 20.0 is a whole number too.
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// The schema of a field: its own, else the one for all fields that are not listed.
fn property<'a>(schema: &'a JSONSchemaProps, name: &str) -> Option<&'a JSONSchemaProps> {
    let listed = schema.properties.as_ref().and_then(|properties| properties.get(name));
    listed.or(match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
    })
}

fn is_open(schema: &JSONSchemaProps) -> bool {
    schema.x_kubernetes_preserve_unknown_fields == Some(true)
        || matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(true)))
}

/// Leaves out each `null` of a field that is not nullable, as the apiserver does before it validates
/// (`PruneNonNullableNullsWithoutDefaults`).
fn without_nulls(schema: &JSONSchemaProps, value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, value)| match property(schema, name) {
                Some(property) if value.is_null() && property.nullable != Some(true) => None,
                Some(property) => Some((name.clone(), without_nulls(property, value))),
                None => Some((name.clone(), value.clone())),
            })
            .collect(),
        Value::Array(items) => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => {
                items.iter().map(|value| without_nulls(item, value)).collect()
            }
            Some(JSONSchemaPropsOrArray::Schemas(_)) | None => value.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The object without the fields that every object has.
fn without_envelope(object: &Value) -> Value {
    match object {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => object.clone(),
    }
}
