//! One object of ours, as far as it can be read: also one that this version does not understand.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::named::{Kind, Named};
use crate::api::{Attempt, CREATE_ATTEMPT, REQUESTED_AT, RESOLVE, Webhook, ready_condition};

/// An object, whose metadata and conditions are read whatever else is in it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Object {
    pub kind: Kind,
    pub meta: ObjectMeta,
    pub seen: Seen,
    /// The whole, or why it does not decode; `None` for other kinds.
    pub webhook: Option<Result<Box<Webhook>, String>>,
}

/// What every status of ours has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cli) struct Seen {
    pub observed_generation: Option<i64>,
    pub last_handled_reconcile_at: Option<String>,
    pub endpoint: Option<String>,
    pub conditions: Vec<Condition>,
}

impl Object {
    pub(in crate::cli) fn new(kind: Kind, found: DynamicObject) -> Self {
        let status = found.data.get("status").cloned().unwrap_or(Value::Null);
        let seen = serde_json::from_value(status).unwrap_or_default();
        let meta = found.metadata.clone();
        let whole = || {
            let whole = serde_json::to_value(&found).and_then(serde_json::from_value::<Webhook>);
            whole.map(Box::new).map_err(|error| error.to_string())
        };
        let webhook = match kind {
            Kind::Webhook => Some(whole()),
            Kind::Connection | Kind::ClusterConnection => None,
        };
        Self { kind, meta, seen, webhook }
    }

    pub(in crate::cli) fn named(&self) -> Named {
        Named { kind: self.kind, name: self.name().to_owned() }
    }

    pub(in crate::cli) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// For people: with its namespace, and with its kind if that is not the usual one.
    pub(in crate::cli) fn full_name(&self) -> String {
        let name = match &self.meta.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name()),
            None => self.name().to_owned(),
        };
        match self.kind {
            Kind::Webhook => name,
            Kind::Connection | Kind::ClusterConnection => format!("{} {name}", self.kind.name()),
        }
    }

    /// As these commands take it, ready to paste.
    pub(in crate::cli) fn argument(&self) -> String {
        match &self.meta.namespace {
            Some(namespace) => format!("{} -n {namespace}", self.named()),
            None => self.named().to_string(),
        }
    }

    pub(in crate::cli) fn decoded(&self) -> Option<&Webhook> {
        self.webhook.as_ref()?.as_deref().ok()
    }

    pub(in crate::cli) fn is_suspended(&self) -> bool {
        self.decoded().is_some_and(|webhook| webhook.spec.is_suspended())
    }

    pub(in crate::cli) fn is_deleting(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    pub(in crate::cli) fn finalizers(&self) -> &[String] {
        self.meta.finalizers.as_deref().unwrap_or_default()
    }

    pub(in crate::cli) fn annotation(&self, key: &str) -> Option<&str> {
        self.meta.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub(in crate::cli) fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.as_ref()?.get(key).map(String::as_str)
    }

    pub(in crate::cli) fn ready(&self) -> Option<&Condition> {
        ready_condition(&self.seen.conditions)
    }

    /// The status speaks of the object as it is now.
    pub(in crate::cli) fn is_current(&self) -> bool {
        self.ready().is_some() && self.seen.observed_generation == self.meta.generation
    }

    /// When it was last written by somebody, status aside.
    pub(in crate::cli) fn last_change(&self) -> Option<Timestamp> {
        let entries = self.meta.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
        let written = entries.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
        written.max(self.meta.creation_timestamp.as_ref().map(|time| time.0))
    }

    pub(in crate::cli) fn requested_at(&self) -> Option<&str> {
        self.annotation(REQUESTED_AT)
    }

    /// A reconcile was asked for, and the status has not answered. Connections have no place to answer in.
    pub(in crate::cli) fn is_asked(&self) -> bool {
        let asked = self.requested_at();
        self.kind == Kind::Webhook && asked.is_some() && asked != self.seen.last_handled_reconcile_at.as_deref()
    }

    pub(in crate::cli) fn decision(&self) -> Option<&str> {
        self.annotation(RESOLVE)
    }

    /// The create attempt whose result is not known.
    pub(in crate::cli) fn open_attempt(&self) -> Option<Attempt> {
        let attempt = Attempt::parse(self.annotation(CREATE_ATTEMPT)?);
        let settled = self.decoded()?.status.as_ref().and_then(|status| status.settled_attempt.as_deref());
        (settled != Some(attempt.token.as_str())).then_some(attempt)
    }

    pub(in crate::cli) fn stored_id(&self) -> Option<&str> {
        self.decoded()?.status.as_ref()?.webhook_id.as_deref().filter(|id| !id.is_empty())
    }
}
