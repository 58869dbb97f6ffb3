//! How the cases of every kind are written down.

use serde_json::{Map, Value, json};

/// One object and what shall become of its creation.
#[derive(Clone)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    /// The object.
    pub(crate) object: Value,
    /// `None`: it is accepted. Else the field that the error names.
    pub(crate) refused_at: Option<&'static str>,
}

/// A change of a stored object and what shall become of it.
pub(crate) struct UpdateCase {
    /// What it shows.
    pub(crate) name: &'static str,
    /// The stored object.
    pub(crate) old: Value,
    /// What shall replace it.
    pub(crate) new: Value,
    /// `None`: it is accepted. Else the field that the error names.
    pub(crate) refused_at: Option<&'static str>,
}

/// An object of `kind` with this spec.
pub(crate) fn object(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": "case"}, "spec": spec})
}

/// `fields` with `changes` on them: a field is set, or taken out by [`absent`].
pub(crate) fn changed(fields: Value, changes: Value) -> Value {
    let Value::Object(mut fields) = fields else { panic!("not an object: {fields}") };
    fields.extend(changes.as_object().unwrap().clone());
    fields.into_iter().filter(|(_, value)| *value != absent()).collect()
}

/// Stands for a field that is not there (`null` is something else, and tested).
pub(crate) fn absent() -> Value {
    json!("<absent>")
}

/// An object of these fields.
pub(crate) fn object_of(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// Cases of one kind.
pub(crate) struct Table {
    /// Makes the object out of changes to the least spec.
    build: fn(Value) -> Value,
    /// What there is so far.
    pub(crate) cases: Vec<Case>,
}

impl Table {
    pub(crate) fn new(build: fn(Value) -> Value) -> Self {
        Self { build, cases: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, changes: Value, refused_at: Option<&'static str>) {
        self.cases.push(Case { name: name.into(), object: (self.build)(changes), refused_at });
    }

    /// One field with good and bad values.
    pub(crate) fn field(&mut self, field: &'static str, path: &'static str, good: &[Value], bad: &[Value]) {
        self.values(field, path, good, bad, |value| object_of([(field, value)]));
    }

    /// Something within the spec with good and bad values.
    pub(crate) fn values(
        &mut self,
        what: &str,
        path: &'static str,
        good: &[Value],
        bad: &[Value],
        changes: impl Fn(Value) -> Value,
    ) {
        for (values, refused_at) in [(good, None), (bad, Some(path))] {
            for value in values {
                let shown: String = value.to_string().chars().take(60).collect();
                self.add(format!("{what} {shown}"), changes(value.clone()), refused_at);
            }
        }
    }

    /// Names of objects, good and bad.
    pub(crate) fn names(&mut self, what: &str, path: &'static str, changes: impl Fn(&str) -> Value) {
        let longest = "a".repeat(253);
        for name in ["a", "0", "a-b.c-d.0", "a--b", &longest] {
            self.add(format!("{what} name {name:.20}"), changes(name), None);
        }
        let too_long = "a".repeat(254);
        for name in ["", "-a", "a-", ".a", "a.", "a..b", "a.-b", "A", "a_b", "a/b", "a b", "a\n", "ä", &too_long] {
            self.add(format!("{what} name {name:?}"), changes(name), Some(path));
        }
    }

    /// Keys of a Secret, good and bad.
    pub(crate) fn keys(&mut self, what: &str, path: &'static str, changes: impl Fn(&str) -> Value) {
        for key in ["k", "tls.crt", "_A-z.0", ".hidden", "a..b", &"k".repeat(253)] {
            self.add(format!("{what} key {key:.20}"), changes(key), None);
        }
        for key in ["", ".", "..", "..data", "a/b", "a b", "k\n", "ä", &"k".repeat(254)] {
            self.add(format!("{what} key {key:?}"), changes(key), Some(path));
        }
    }
}
