//! What one Orion can do: read from its `/openapi.json`, or learned from the answers to calls that were needed anyway.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::api::{Capabilities, Failure, FailureClass, Support};

/// The operations that may or may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `GET /webhooks/`.
    List,
    /// `GET /webhooks/<id>`.
    Get,
    /// `PUT /webhooks/<id>`.
    Put,
    /// `PATCH /webhooks/<id>`.
    Patch,
    /// `DELETE /webhooks/<id>`.
    Delete,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Capabilities>, Mutex<Option<String>>);

impl Known {
    /// What is known at this moment.
    pub(super) fn now(&self) -> Capabilities {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `operation` is there.
    pub(super) fn support(&self, operation: Operation) -> Support {
        *slot(&mut self.now(), operation)
    }

    /// Notes what a real answer has shown. It wins over the document and over what was learned before.
    pub(super) fn set(&self, operation: Operation, support: Support) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot(&mut known, operation) = support;
    }

    /// Learns from the outcome of one call. A 404 tells of a route only on the list, which has no id that could be
    /// missing; and where a list was seen before, a 404 is a passing trouble.
    pub(super) fn learn<T>(&self, operation: Operation, outcome: &Result<T, Failure>) {
        match outcome {
            Ok(_) => self.set(operation, Support::Proven),
            Err(failure) if failure.class == FailureClass::MethodNotAllowed => self.set(operation, Support::Absent),
            Err(failure)
                if failure.class == FailureClass::NotFound
                    && failure.json
                    && operation == Operation::List
                    && self.support(operation) == Support::Unknown =>
            {
                self.set(operation, Support::Absent);
            }
            Err(_) => {}
        }
    }

    /// The document has webhooks under another prefix, and none under ours.
    pub(super) fn set_elsewhere(&self, prefix: Option<String>) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = prefix;
    }

    /// The other prefix that the document has webhooks under.
    pub(super) fn elsewhere(&self) -> Option<String> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the document's word for what no answer has shown yet.
    pub(super) fn document(&self, said: Capabilities) {
        let mut said = said;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for operation in [Operation::List, Operation::Get, Operation::Put, Operation::Patch, Operation::Delete] {
            let slot_now = slot(&mut known, operation);
            if *slot_now == Support::Unknown {
                *slot_now = *slot(&mut said, operation);
            }
        }
    }
}

fn slot(capabilities: &mut Capabilities, operation: Operation) -> &mut Support {
    match operation {
        Operation::List => &mut capabilities.list,
        Operation::Get => &mut capabilities.get,
        Operation::Put => &mut capabilities.put,
        Operation::Patch => &mut capabilities.patch,
        Operation::Delete => &mut capabilities.delete,
    }
}

/// Reads an OpenAPI document for an API under `prefix` (empty, or with a leading and no trailing slash). `None` if it
/// says nothing about webhooks.
///
/// A document may leave the prefix, or the front of it, to `servers` or a root path: the longest match counts.
pub(super) fn read(document: &Value, prefix: &str) -> Option<Capabilities> {
    let paths = document.get("paths")?.as_object()?;
    let fronts = prefix.match_indices('/').filter_map(|(at, _)| prefix.get(at..)).chain([""]);
    fronts.into_iter().find_map(|front| under(paths, &format!("{front}/webhooks")))
}

/// The prefix that a document has webhooks under, if it is one.
pub(super) fn prefix_of(document: &Value) -> Option<String> {
    let paths = document.get("paths")?.as_object()?.iter().filter(|(_, item)| item.get("post").is_some());
    let mut fronts = paths.filter_map(|(path, _)| path.trim_end_matches('/').strip_suffix("/webhooks"));
    let front = fronts.next()?;
    (fronts.next().is_none() && front.len() <= 256 && front.starts_with('/') && !front.contains('{'))
        .then(|| front.to_owned())
}

fn under(paths: &Map<String, Value>, collection: &str) -> Option<Capabilities> {
    let items: Vec<&Value> = paths.iter().filter(|(path, _)| is_item(path, collection)).map(|(_, item)| item).collect();
    let lists: Vec<&Value> =
        paths.iter().filter(|(path, _)| path.trim_end_matches('/') == collection).map(|(_, item)| item).collect();
    if items.is_empty() && lists.is_empty() {
        return None;
    }
    let has = |found: &[&Value], method: &str| match found.iter().any(|item| item.get(method).is_some()) {
        true => Support::Proven,
        false => Support::Absent,
    };
    Some(Capabilities {
        list: has(&lists, "get"),
        get: has(&items, "get"),
        put: has(&items, "put"),
        patch: has(&items, "patch"),
        delete: has(&items, "delete"),
    })
}

/// `<collection>/{anything}`.
fn is_item(path: &str, collection: &str) -> bool {
    path.strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix("/{")?.strip_suffix('}'))
        .is_some_and(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use Support::{Absent, Proven, Unknown};
    use serde_json::json;

    use super::*;
    use crate::api::Sent;

    fn of(c: Capabilities) -> [Support; 5] {
        [c.list, c.get, c.put, c.patch, c.delete]
    }

    fn refused(class: FailureClass) -> Result<(), Failure> {
        Err(Failure { class, status: None, sent: Sent::Maybe, json: true, retry_after: None, message: String::new() })
    }

    #[test]
    fn a_document_is_read_with_and_without_the_prefix() {
        let item = json!({"get": {}, "put": {}, "delete": {}});
        let all = Some([Proven, Proven, Proven, Absent, Proven]);
        for (paths, prefix, expected) in [
            (
                json!({"/v1alpha/webhooks/": {"get": {}, "post": {}}, "/v1alpha/webhooks/{webhook_id}": item}),
                "/v1alpha",
                all,
            ),
            (json!({"/v1alpha/webhooks": {"get": {}}, "/v1alpha/webhooks/{id}": item}), "/v1alpha", all),
            (json!({"/webhooks/": {"get": {}}, "/webhooks/{id}": item}), "/v1alpha", all),
            (json!({"/v1/webhooks/": {"get": {}}, "/v1/webhooks/{id}": item}), "/api/v1", all),
            (json!({"/webhooks/": {"get": {}}, "/webhooks/{id}": item}), "", all),
            (json!({"/v1alpha/webhooks/": {"post": {}}}), "/v1alpha", Some([Absent; 5])),
            (
                json!({"/v1alpha/webhooks/{id}": {"patch": {}}, "/v1alpha/webhooks/{id}/events": {"get": {}}}),
                "/v1alpha",
                Some([Absent, Absent, Absent, Proven, Absent]),
            ),
            (json!({"/v1alpha/jobs/": {"get": {}}, "/v2/webhooks/": {"get": {}}, "/webhooksy": {}}), "/v1alpha", None),
        ] {
            assert_eq!(
                read(&json!({"openapi": "3.1.0", "paths": paths}), prefix).map(of),
                expected,
                "{paths} {prefix}"
            );
        }
        for no_document in [json!({}), json!([]), json!({"paths": []}), json!(null)] {
            assert!(read(&no_document, "/v1alpha").is_none());
        }
    }

    #[test]
    fn a_document_tells_its_prefix() {
        let post = json!({"post": {}});
        for (paths, prefix) in [
            (json!({"/v1alpha/webhooks/": post, "/v1alpha/webhooks/{id}": {"get": {}}}), Some("/v1alpha")),
            (json!({"/api/v2/webhooks": post, "/v1/webhooks": {"get": {}}}), Some("/api/v2")),
            (json!({"/v1/webhooks": post, "/v2/webhooks": post}), None),
            (json!({"/{tenant}/webhooks": post}), None),
            (json!({"/webhooks/": post}), None),
            (json!({"/v1/jobs": post}), None),
        ] {
            assert_eq!(prefix_of(&json!({"paths": paths})).as_deref(), prefix, "{paths}");
        }
        assert!(prefix_of(&json!([])).is_none());
    }

    #[test]
    fn answers_teach_and_win_over_the_document() {
        let known = Known::default();
        known.learn(Operation::Put, &refused(FailureClass::MethodNotAllowed));
        known.learn(Operation::Get, &refused(FailureClass::NotFound));
        known.learn(Operation::Delete, &refused(FailureClass::ServerError));
        assert_eq!(of(known.now()), [Unknown, Unknown, Absent, Unknown, Unknown]);
        known.document(Capabilities { list: Proven, get: Proven, put: Proven, patch: Absent, delete: Proven });
        assert_eq!(of(known.now()), [Proven, Proven, Absent, Absent, Proven]);
        known.learn(Operation::List, &refused(FailureClass::NotFound));
        known.learn(Operation::Delete, &refused(FailureClass::MethodNotAllowed));
        known.learn(Operation::Patch, &Ok(()));
        assert_eq!(of(known.now()), [Proven, Proven, Absent, Proven, Absent]);
    }

    #[test]
    fn a_list_that_was_never_seen_is_absent_on_404() {
        let known = Known::default();
        known.learn(Operation::List, &refused(FailureClass::NotFound));
        assert_eq!(known.now().list, Absent);
    }
}
