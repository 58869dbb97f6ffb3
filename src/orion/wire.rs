//! What goes over the wire: the body of a create or update, and a tolerant reading of answers.
//!
//! Answers are read as [`Value`] and strings are moved out of it, so that a header value ends up zeroized in its
//! [`SecretString`] without a copy left behind.

#![expect(clippy::wildcard_enum_match_arm, reason = "JSON of an unknown shape: all that is not understood is one case")]

use std::io::{self, Write};

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::{Desired, OWNER_HEADER, RemoteHeader, RemoteWebhook};

/// The longest id that is taken, in bytes.
const MAX_ID: usize = 256;

#[derive(Serialize)]
struct Body<'a> {
    url: &'a str,
    headers: Vec<Header<'a>>,
    user_id: &'a str,
    presence_name: &'a str,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

/// The JSON body for `desired`, in a buffer that is zeroized when the last handle to it is dropped.
///
/// # Errors
/// JSON cannot be written; with these types that does not happen.
pub(super) fn body(desired: &Desired) -> serde_json::Result<Bytes> {
    let users = desired.headers.iter().map(|(name, value)| Header { name, value: value.expose_secret() });
    let marker = desired.owner.iter().map(|owner| Header { name: OWNER_HEADER, value: owner.as_str() });
    let body = Body {
        url: &desired.url,
        headers: users.chain(marker).collect(),
        user_id: &desired.user_id,
        presence_name: &desired.presence_name,
    };
    // Its size first: a vector that grows leaves copies of the secrets behind.
    let mut size = Size(0);
    serde_json::to_writer(&mut size, &body)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *buffer, &body)?;
    Ok(Bytes::from_owner(buffer))
}

/// Counts bytes and keeps none.
struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An id that can be kept and put into a path.
pub(super) fn usable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && !matches!(id, "." | "..") && !id.chars().any(char::is_control)
}

/// The id in the answer to a create: a bare string or number, or `id` or `webhook_id` of an object.
pub(super) fn created_id(answer: &Value) -> Option<String> {
    match answer {
        Value::Object(fields) => id_of(fields),
        scalar => scalar_id(scalar),
    }
}

/// One webhook of an answer.
pub(super) struct Shown {
    /// It, with an empty id if none was shown.
    pub(super) webhook: RemoteWebhook,
    /// Something in it is a field of a webhook: this is not just any object.
    pub(super) is_webhook: bool,
}

/// Reads a webhook. Unknown fields are left alone, fields of an unknown shape are as if left out.
pub(super) fn webhook(value: Value) -> Option<Shown> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let webhook = RemoteWebhook {
        id: id_of(&fields).unwrap_or_default(),
        url: take_text(&mut fields, "url"),
        user_id: take_text(&mut fields, "user_id"),
        presence_name: take_text(&mut fields, "presence_name"),
        headers: fields.remove("headers").and_then(headers),
    };
    let is_webhook = !webhook.id.is_empty()
        || webhook.url.is_some()
        || webhook.user_id.is_some()
        || webhook.presence_name.is_some()
        || webhook.headers.is_some();
    Some(Shown { webhook, is_webhook })
}

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The webhooks; one without a readable id is `None`.
    pub(super) webhooks: Vec<Option<RemoteWebhook>>,
    /// `total`, where given.
    pub(super) total: Option<u64>,
    /// The page itself says that another one follows, in a way that we do not follow (`next`, `has_more`, a cursor).
    pub(super) more: bool,
    /// Size of its body in bytes, where it came in one.
    pub(super) bytes: usize,
}

/// Reads a page: a plain array, or an object with `items`, `data` or `results`. `None` if it is neither.
pub(super) fn page(value: Value) -> Option<Page> {
    let (items, total, more) = match value {
        Value::Array(items) => (items, None, false),
        Value::Object(mut fields) => {
            let items = ["items", "data", "results"].into_iter().find_map(|name| match fields.remove(name) {
                Some(Value::Array(items)) => Some(items),
                _ => None,
            })?;
            let more = ["next", "next_cursor", "next_page", "has_more"].into_iter().any(|name| {
                fields.get(name).is_some_and(|shown| !matches!(shown, Value::Null | Value::Bool(false)) && shown != "")
            });
            (items, fields.get("total").and_then(Value::as_u64), more)
        }
        _ => return None,
    };
    let webhooks = items
        .into_iter()
        .map(|item| webhook(item).map(|shown| shown.webhook).filter(|webhook| !webhook.id.is_empty()))
        .collect();
    Some(Page { webhooks, total, more, bytes: 0 })
}

fn id_of(fields: &Map<String, Value>) -> Option<String> {
    ["id", "webhook_id"].into_iter().find_map(|name| scalar_id(fields.get(name)?))
}

fn scalar_id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    usable_id(&id).then_some(id)
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    fields.remove(name).and_then(text)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Headers as a list of `{name, value}` or as a map. One entry that cannot be read makes all of them unknown: half a
/// list would look like drift.
fn headers(value: Value) -> Option<Vec<RemoteHeader>> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| {
                let Value::Object(mut fields) = item else {
                    return None;
                };
                let name = take_text(&mut fields, "name")?;
                Some(RemoteHeader { name, value: take_text(&mut fields, "value").map(SecretString::from) })
            })
            .collect(),
        Value::Object(map) => Some(
            map.into_iter()
                .map(|(name, value)| RemoteHeader { name, value: text(value).map(SecretString::from) })
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::InstanceId;

    fn desired() -> Desired {
        Desired {
            url: "https://h/".into(),
            user_id: "u".into(),
            presence_name: "p".into(),
            headers: vec![("X-A".into(), SecretString::from("s\"1"))],
            owner: None,
        }
    }

    #[test]
    fn the_body_is_that_of_the_api_with_the_marker_last() {
        let owner = InstanceId::new("i").owner("a", "b");
        let marked = Desired { owner: Some(owner.clone()), ..desired() };
        assert_eq!(
            serde_json::from_slice::<Value>(&body(&marked).unwrap()).unwrap(),
            json!({"url": "https://h/", "user_id": "u", "presence_name": "p", "headers": [
                {"name": "X-A", "value": "s\"1"}, {"name": "X-Orion-Operator-Owner", "value": owner.as_str()}]})
        );
        let bare = Desired { headers: vec![], ..desired() };
        assert_eq!(serde_json::from_slice::<Value>(&body(&bare).unwrap()).unwrap()["headers"], json!([]));
    }

    #[test]
    fn ids_are_read_from_every_known_shape() {
        for (answer, id) in [
            (json!("wh_1"), Some("wh_1")),
            (json!(7), Some("7")),
            (json!({"id": "wh_1"}), Some("wh_1")),
            (json!({"webhook_id": 7, "id": null}), Some("7")),
            (json!({"id": "", "webhook_id": "w"}), Some("w")),
            (json!({"id": 1.5}), None),
            (json!({"id": {"id": "x"}}), None),
            (json!({"status": "ok"}), None),
            (json!(["wh_1"]), None),
            (json!(null), None),
            (json!(true), None),
            (json!(""), None),
            (json!("."), None),
            (json!(".."), None),
            (json!("a\nb"), None),
            (json!("x".repeat(257)), None),
        ] {
            assert_eq!(created_id(&answer).as_deref(), id, "{answer}");
        }
        assert!(created_id(&json!("x".repeat(256))).is_some());
    }

    #[test]
    fn a_webhook_is_read_as_far_as_it_shows() {
        let read = |value| webhook(value).unwrap().webhook;
        let full = read(json!({"id": 1, "url": "https://h/", "user_id": 42, "presence_name": "p", "new": {"x": 1},
            "headers": [{"name": "A", "value": "1"}, {"name": "B", "value": null}, {"name": "C"}]}));
        assert_eq!((full.id.as_str(), full.user_id.as_deref()), ("1", Some("42")));
        let values: Vec<bool> = full.headers.unwrap().iter().map(|header| header.value.is_some()).collect();
        assert_eq!(values, [true, false, false]);
        assert_eq!(read(json!({"id": "1", "headers": {"A": "1", "B": null}})).headers.unwrap().len(), 2);
        for headers in [json!(null), json!("***"), json!([{"value": "1"}]), json!(["***"])] {
            assert!(read(json!({"id": "1", "headers": headers})).headers.is_none());
        }
        assert!(!webhook(json!({"detail": "hello"})).unwrap().is_webhook);
        assert!(webhook(json!([])).is_none());
    }

    #[test]
    fn pages_come_in_several_shapes() {
        let read = |value| page(value).map(|page| (page.webhooks.len(), page.total, page.more));
        assert_eq!(read(json!([{"id": "a"}])), Some((1, None, false)));
        assert_eq!(read(json!({"items": [], "total": 0})), Some((0, Some(0), false)));
        assert_eq!(read(json!({"data": [{"id": 1}], "has_more": true})), Some((1, None, true)));
        assert_eq!(read(json!({"results": [], "next": null})), Some((0, None, false)));
        for no_page in [json!({"detail": "x"}), json!("x"), json!({"items": {}})] {
            assert_eq!(read(no_page), None);
        }
        assert!(page(json!([{"url": "x"}, 5])).unwrap().webhooks.iter().all(Option::is_none));
    }
}
