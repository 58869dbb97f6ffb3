//! Manifests by chance, out of the tables of cases: one or two changes each, good and bad.

use serde_json::{Map, Value, json};

use crate::common::{KINDS, Kind};

/// What was made, and of what.
pub(crate) struct Made {
    /// The case and the changes.
    pub(crate) name: String,
    /// The object.
    pub(crate) object: Value,
}

/// So many manifests; the same for the same seed.
pub(crate) fn manifests(seed: u64, count: usize) -> Vec<Made> {
    let mut chance = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| manifest(&mut chance)).collect()
}

fn manifest(chance: &mut fastrand::Rng) -> Made {
    let kind = &KINDS[chance.usize(..KINDS.len())];
    let cases = (kind.cases)();
    // Half of the cases are bad ones already: most changes shall be to good ones.
    let good: Vec<_> = cases.iter().filter(|case| case.refused_at.is_none()).collect();
    let case = if chance.u8(..8) == 0 { &cases[chance.usize(..cases.len())] } else { good[chance.usize(..good.len())] };
    let mut made = Made { name: format!("{}: {}", kind.name, case.name), object: case.object.clone() };
    for _ in 0..chance.usize(1..3) {
        change(chance, kind, &mut made);
    }
    made
}

fn change(chance: &mut fastrand::Rng, kind: &Kind, made: &mut Made) {
    let mut pointers = Vec::new();
    // A change before this one may have taken it away.
    let Some(spec) = made.object.get("spec") else { return };
    collect(spec, "/spec", &mut pointers);
    let pointer = pointers[chance.usize(..pointers.len())].clone();
    match chance.u8(..16) {
        0 => {
            let value = values()[chance.usize(..values().len())].clone();
            made.set(&pointer, value);
        }
        1 => made.remove(&pointer),
        2 => made.add(&pointer, "unknown"),
        3 | 4 => made.twist(chance, &pointer),
        5 => made.repeat(&pointer),
        6 | 7 => {
            let metadata = metadata();
            let (name, value) = metadata[chance.usize(..metadata.len())].clone();
            made.note(format!("metadata {name} {value}"));
            made.object["metadata"][name] = value;
            if name == "generateName" && chance.bool() {
                made.remove("/metadata/name");
            }
        }
        8 => {
            let status = [json!({}), json!({"observedGeneration": 3}), json!({"unknown": 1}), json!(null), json!("x")];
            let status = status[chance.usize(..status.len())].clone();
            made.note(format!("status {status}"));
            made.object["status"] = status;
        }
        // What another case has there: it is often good.
        _ => {
            let cases = (kind.cases)();
            let other = &cases[chance.usize(..cases.len())];
            if let Some(value) = other.object.pointer(&pointer) {
                made.set(&pointer, value.clone());
            }
        }
    }
}

impl Made {
    fn note(&mut self, what: String) {
        self.name.push_str(&format!(", {what:.80}"));
    }

    fn set(&mut self, pointer: &str, value: Value) {
        self.note(format!("{pointer} = {value}"));
        *self.object.pointer_mut(pointer).unwrap() = value;
    }

    fn remove(&mut self, pointer: &str) {
        self.note(format!("without {pointer}"));
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match self.object.pointer_mut(parent).unwrap() {
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            Value::Object(fields) => drop(fields.remove(last)),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                panic!("{pointer} in {other}")
            }
        }
    }

    fn add(&mut self, pointer: &str, name: &str) {
        if let Some(Value::Object(fields)) = self.object.pointer_mut(pointer) {
            fields.insert(name.to_owned(), json!(1));
            self.note(format!("{pointer} with a field {name}"));
        }
    }

    /// One more character at either end, or another case.
    fn twist(&mut self, chance: &mut fastrand::Rng, pointer: &str) {
        if let Some(Value::String(text)) = self.object.pointer_mut(pointer) {
            let more = [" ", "-", "x", "ä", ".", "/", "\n", "0", "A"][chance.usize(..9)];
            *text = match chance.u8(..3) {
                0 => format!("{more}{text}"),
                1 => format!("{text}{more}"),
                _ => text.to_uppercase(),
            };
            let now = format!("{pointer} = {text:?}");
            self.note(now);
        }
    }

    fn repeat(&mut self, pointer: &str) {
        if let Some(Value::Array(items)) = self.object.pointer_mut(pointer)
            && let Some(last) = items.last().cloned()
        {
            items.push(last);
            self.note(format!("{pointer} with its last entry twice"));
        }
    }
}

fn collect(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, value) in children {
        collect(value, &format!("{pointer}/{name}"), found);
    }
}

fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!("x"),
        json!("10m"),
        json!("https://a.example"),
        json!(true),
        json!(0),
        json!(1),
        json!(2.0),
        json!(1.5),
        json!(-1),
        json!(1e12),
        json!([]),
        json!({}),
        json!([null]),
        json!([{}]),
        json!({"name": "a", "key": "b"}),
    ]
}

fn metadata() -> Vec<(&'static str, Value)> {
    let long = |length: usize| "a".repeat(length);
    let labels = [
        json!({"team": "data"}),
        json!({"example.com/team": ""}),
        json!({"team": "a b"}),
        json!({"Example.com/team": "a"}),
        json!({"a/b/c": "a"}),
        json!({"": "a"}),
        json!({"-a": "a"}),
        json!({"a": "-"}),
        json!({"a": "A_b.c-d"}),
        json!({"a": 1}),
        json!({"a": null}),
        json!({ long(63): long(63) }),
        json!({ long(64): "a" }),
        json!({ "a": long(64) }),
        json!([]),
        json!(null),
    ];
    let annotations = [
        json!({"example.com/a": "any text\nof ä"}),
        json!({"Example.com/A": ""}),
        json!({"a b": ""}),
        json!({"a": true}),
        json!({ "a": long(256 * 1024 - 1) }),
        json!({ "a": long(256 * 1024) }),
    ];
    let finalizers = [json!(["example.com/a"]), json!(["a/b/c"]), json!([""]), json!([]), json!(["a b/c"])];
    let owner = |more: Value| {
        let mut owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"});
        owner.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_else(Map::new));
        owner
    };
    let owners = [
        json!([owner(json!({}))]),
        json!([owner(json!({"controller": true})), owner(json!({"controller": true, "uid": "c"}))]),
        json!([owner(json!({"uid": ""}))]),
        json!([owner(json!({"name": ""}))]),
        json!([owner(json!({"unknown": 1}))]),
    ];
    let names = [json!("a.b-c"), json!("A"), json!("a_b"), json!(""), json!(long(254)), json!(7)];
    let prefixes = [json!("a-"), json!("A-"), json!("-"), json!("a..b"), json!("a--")];
    let namespaces = [json!("default"), json!("")];
    let unknown = [json!(1), json!("x")];
    [
        ("labels", &labels[..]),
        ("annotations", &annotations),
        ("finalizers", &finalizers),
        ("ownerReferences", &owners),
        ("name", &names),
        ("generateName", &prefixes),
        ("namespace", &namespaces),
        ("unknown", &unknown),
    ]
    .into_iter()
    .flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())))
    .collect()
}
