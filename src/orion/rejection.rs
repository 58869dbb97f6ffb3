//! What may be told of a refused request.
//!
//! FastAPI answers 422 with `detail: [{loc, msg, type, input}]`. `input` repeats what was sent, secrets too, and `msg`
//! may quote it. So only `loc` and `type` are shown, and of them only what looks like a name.

use serde::Deserialize;
use serde_json::Value;

/// The longest name that is shown: header values, tokens and hashes are longer.
const MAX_NAME: usize = 30;
/// How many errors are shown.
const MAX_ERRORS: usize = 5;
/// How many parts of one `loc` are shown.
const MAX_PARTS: usize = 8;

#[derive(Deserialize)]
struct Answer {
    detail: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    loc: Vec<Value>,
    #[serde(default, rename = "type")]
    kind: Value,
}

/// The errors as `body.url value_error; body.headers.0.name string_too_long`. `None` if there is nothing to show.
pub(super) fn summary(body: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let errors: Vec<String> = answer.detail.iter().filter_map(error).take(MAX_ERRORS).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

fn error(detail: &Detail) -> Option<String> {
    let place: Vec<String> = detail.loc.iter().filter_map(part).take(MAX_PARTS).collect();
    // pydantic 1 has types of several names, like value_error.missing
    let kind = detail.kind.as_str().filter(|kind| kind.split('.').all(is_name)).map(str::to_owned);
    let words: Vec<String> = (!place.is_empty()).then(|| place.join(".")).into_iter().chain(kind).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn part(value: &Value) -> Option<String> {
    let name = value.as_str().filter(|name| is_name(name)).map(str::to_owned);
    let index = value.as_u64().filter(|index| *index < 10_000).map(|index| index.to_string());
    name.or(index)
}

/// Letters and underscores, as field names and error types are. Digits and dashes would let secrets through.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(detail: Value) -> Option<String> {
        summary(json!({ "detail": detail }).to_string().as_bytes())
    }

    #[test]
    fn place_and_type_are_shown_and_nothing_else() {
        let shown = of(json!([
            {"loc": ["body", "url"], "msg": "bad s3cret", "type": "value_error", "input": "s3cret", "ctx": {"e": "s3cret"}},
            {"loc": ["body", "headers", 0, "name"], "type": "string_too_long"},
        ]));
        assert_eq!(shown.as_deref(), Some("body.url value_error; body.headers.0.name string_too_long"));
    }

    #[test]
    fn what_could_hold_input_is_left_out() {
        let shown = of(json!([
            {"loc": ["body", "tok-3n!", "a b", "x".repeat(31), 4_111_111_111_111_111_u64, -1, 1.5, null], "type": "got s3cret"},
            {"loc": [], "type": {"x": 1}},
            {"type": "value_error.missing"},
        ]));
        assert_eq!(shown.as_deref(), Some("body; value_error.missing"));
    }

    #[test]
    fn other_bodies_show_nothing_and_long_ones_are_cut() {
        for detail in [json!("Not Found"), json!([]), json!({"a": 1}), json!(["x"]), json!([{"msg": "m"}])] {
            assert_eq!(of(detail), None);
        }
        assert_eq!(summary(b"<html>"), None);
        let many: Vec<Value> = (0..50).map(|_| json!({"loc": vec!["a"; 50], "type": "missing"})).collect();
        assert!(of(json!(many)).unwrap().len() < 200);
    }
}
