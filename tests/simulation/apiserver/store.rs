//! What the simulated apiserver stores, and the rules by which it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// A refusal: HTTP status, reason and message, as in a `Status` object.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

pub fn refuse<T>(code: u16, reason: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, reason, message: message.into() })
}

/// Which object: the plural of its kind, its namespace (empty where there is none) and its name.
pub type Key = (String, String, String);

/// One entry of the history that watches read.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub at: Instant,
    pub kind: &'static str,
    pub key: Key,
    pub object: Value,
}

/// A part of an object that a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Status,
}

/// All objects, with one resourceVersion for all of them, like etcd's revision.
pub struct Store {
    pub version: u64,
    /// A watch from an older version than this is told 410.
    pub compacted: u64,
    pub log: Vec<Change>,
    objects: BTreeMap<Key, Value>,
    uids: u64,
    start: Instant,
}

impl Store {
    pub fn new() -> Self {
        Self { version: 100, compacted: 0, log: Vec::new(), objects: BTreeMap::new(), uids: 0, start: Instant::now() }
    }

    pub fn get(&self, key: &Key) -> Result<&Value, Refusal> {
        self.objects.get(key).map_or_else(|| refuse(404, "NotFound", format!("{} {} not found", key.0, key.2)), Ok)
    }

    pub fn list<'a>(&'a self, plural: &'a str, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Value> {
        self.objects
            .iter()
            .filter(move |(key, _)| key.0 == plural && namespace.is_none_or(|namespace| key.1 == namespace))
            .map(|(_, object)| object)
    }

    pub fn create(&mut self, mut key: Key, mut object: Value) -> Result<Value, Refusal> {
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012}", self.uids);
        let now = self.time();
        let metadata = metadata(&mut object)?;
        if key.2.is_empty() {
            let name = metadata.get("name").and_then(Value::as_str).map(str::to_owned);
            let prefix = metadata.get("generateName").and_then(Value::as_str);
            key.2 = name.or_else(|| prefix.map(|prefix| format!("{prefix}{}", self.uids))).unwrap_or_default();
        }
        if key.2.is_empty() {
            return refuse(422, "Invalid", "name or generateName is required");
        }
        if self.objects.contains_key(&key) {
            return refuse(409, "AlreadyExists", format!("{} {} already exists", key.0, key.2));
        }
        for (name, value) in [("name", json!(key.2)), ("uid", json!(uid)), ("creationTimestamp", json!(now))] {
            metadata.insert(name.into(), value);
        }
        if !key.1.is_empty() {
            metadata.insert("namespace".into(), json!(key.1));
        }
        if has_status(&key) {
            metadata.insert("generation".into(), json!(1));
            object["status"] = json!({"observedGeneration": -1});
        }
        Ok(self.keep("ADDED", key, object))
    }

    /// Replaces an object by what `change` makes of it.
    pub fn update(
        &mut self,
        key: &Key,
        part: Part,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Value, Refusal> {
        let old = self.get(key)?.clone();
        let mut new = old.clone();
        change(&mut new)?;
        let wanted = new["metadata"]["resourceVersion"].clone();
        if !wanted.is_null() && wanted != old["metadata"]["resourceVersion"] {
            return refuse(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version",
            );
        }
        let mut new = match part {
            // Only the status counts, and it alone; elsewhere everything but the status does.
            Part::Status => merge(&old, "status", new.get("status")),
            Part::Main if has_status(key) => merge(&new, "status", old.get("status")),
            Part::Main => new,
        };
        let metadata = metadata(&mut new)?;
        for name in ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"] {
            match old["metadata"].get(name) {
                Some(value) => metadata.insert(name.into(), value.clone()),
                None => metadata.remove(name),
            };
        }
        metadata.retain(|_, value| !matches!(value, Value::Array(list) if list.is_empty()) && *value != json!({}));
        let is_deleting = old["metadata"].get("deletionTimestamp").is_some();
        let finalizers = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let (before, after) = (finalizers(&old), finalizers(&new));
        if is_deleting && after.iter().any(|finalizer| !before.contains(finalizer)) {
            return refuse(422, "Invalid", "no new finalizers can be added if the object is being deleted");
        }
        if is_deleting && after.is_empty() {
            return Ok(self.remove(key, new));
        }
        if new == old {
            return Ok(old);
        }
        if has_status(key) && content(&new) != content(&old) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
        }
        Ok(self.keep("MODIFIED", key.clone(), new))
    }

    /// With a finalizer, deletion is only a mark that the object is going.
    pub fn delete(&mut self, key: &Key) -> Result<Value, Refusal> {
        let mut object = self.get(key)?.clone();
        if object["metadata"].get("finalizers").is_none() {
            return Ok(self.remove(key, object));
        }
        if object["metadata"].get("deletionTimestamp").is_none() {
            object["metadata"]["deletionTimestamp"] = json!(self.time());
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                object["metadata"]["generation"] = json!(generation + 1);
            }
            object = self.keep("MODIFIED", key.clone(), object);
        }
        Ok(object)
    }

    fn remove(&mut self, key: &Key, object: Value) -> Value {
        let object = self.keep("DELETED", key.clone(), object);
        self.objects.remove(key);
        object
    }

    fn keep(&mut self, kind: &'static str, key: Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.log.push(Change { version: self.version, at: Instant::now(), kind, key, object: object.clone() });
        object
    }

    /// Wall-clock time as the apiserver writes it: whole seconds.
    fn time(&self) -> String {
        let passed: Duration = self.start.elapsed();
        let time = jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(passed.as_secs()).unwrap()).unwrap();
        time.to_string()
    }
}

fn has_status(key: &Key) -> bool {
    key.0 == "webhooks"
}

fn metadata(object: &mut Value) -> Result<&mut Map<String, Value>, Refusal> {
    match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => Ok(metadata),
        Some(_) | None => refuse(422, "Invalid", "metadata is required"),
    }
}

/// What counts for the generation.
fn content(object: &Value) -> Map<String, Value> {
    let mut content = object.as_object().cloned().unwrap_or_default();
    content.remove("metadata");
    content.remove("status");
    content
}

fn merge(base: &Value, field: &str, value: Option<&Value>) -> Value {
    let mut merged = base.clone();
    match (merged.as_object_mut(), value) {
        (Some(object), Some(value)) => object.insert(field.into(), value.clone()),
        (Some(object), None) => object.remove(field),
        (None, _) => None,
    };
    merged
}
