//! Checks of what is sent, with the answers that FastAPI gives (they echo the input, secrets too).

use http::HeaderMap;
use serde_json::{Map, Value, json};
use url::Url;

use super::state::Header;

/// The fields of a webhook that a body has.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) url: Option<String>,
    pub(super) headers: Option<Vec<Header>>,
    pub(super) user_id: Option<String>,
    pub(super) presence_name: Option<String>,
}

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

/// Reads a webhook; with `partial` any field may be absent. The error is the `detail` of a 422.
pub(super) fn webhook(headers: &HeaderMap, body: &[u8], partial: bool) -> Result<Fields, Value> {
    let fields = object(headers, body)?;
    let mut problems = Vec::new();
    let mut text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => {
            problems.push(problem("string_type", json!(["body", name]), "Input should be a valid string", other));
            None
        }
        None => {
            if !partial {
                problems.push(missing(json!(["body", name]), &Value::Object(fields.clone())));
            }
            None
        }
    };
    let (url, user_id, presence_name) = (text("url"), text("user_id"), text("presence_name"));
    if let Some(url) = &url {
        problems.extend(url_problem(url));
    }
    let headers = match fields.get("headers") {
        None | Some(Value::Null) => None,
        Some(Value::Array(list)) => {
            Some(list.iter().enumerate().filter_map(|(index, it)| header(index, it, &mut problems)).collect())
        }
        Some(other) => {
            problems.push(problem("list_type", json!(["body", "headers"]), "Input should be a valid list", other));
            None
        }
    };
    if problems.is_empty() { Ok(Fields { url, headers, user_id, presence_name }) } else { Err(problems.into()) }
}

/// Reads `limit` and `offset`.
pub(super) fn paging(query: &str) -> Result<Paging, Value> {
    let mut problems = Vec::new();
    let mut number = |name: &str, least: usize| {
        let (_, text) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?;
        let place = json!(["query", name]);
        match text.parse::<i64>().map(usize::try_from) {
            Ok(Ok(number)) if number >= least => return Some(number),
            Ok(_) => {
                let message = format!("Input should be greater than or equal to {least}");
                problems.push(problem("greater_than_equal", place, &message, &json!(text)));
            }
            Err(_) => {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                problems.push(problem("int_parsing", place, message, &json!(text)));
            }
        }
        None
    };
    let (limit, offset) = (number("limit", 1), number("offset", 0));
    if problems.is_empty() { Ok(Paging { limit, offset: offset.unwrap_or(0) }) } else { Err(problems.into()) }
}

/// Reads the form of a login: user name and password.
pub(super) fn login(headers: &HeaderMap, body: &[u8]) -> Result<(String, String), Value> {
    // A form of another content type is, to FastAPI, no form.
    let form = is_type(headers, |it| it == "application/x-www-form-urlencoded");
    let field = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(if form { body } else { &[] });
        pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    };
    let absent = |name: &str| missing(json!(["body", name]), &Value::Null);
    match (field("username"), field("password")) {
        (Some(username), Some(password)) => Ok((username, password)),
        (Some(_), None) => Err(json!([absent("password")])),
        (None, Some(_)) => Err(json!([absent("username")])),
        (None, None) => Err(json!([absent("username"), absent("password")])),
    }
}

/// The body as a JSON object.
fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Value> {
    if body.is_empty() {
        return Err(json!([missing(json!(["body"]), &Value::Null)]));
    }
    let no_object = |input: &Value| {
        let message = "Input should be a valid dictionary or object to extract fields from";
        json!([problem("model_attributes_type", json!(["body"]), message, input)])
    };
    if !is_type(headers, |it| it == "application/json" || it.ends_with("+json")) {
        return Err(no_object(&json!(String::from_utf8_lossy(body))));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(no_object(&other)),
        Err(error) => {
            let mut problem = problem("json_invalid", json!(["body", error.column()]), "JSON decode error", &json!({}));
            if let Some(fields) = problem.as_object_mut() {
                fields.insert("ctx".into(), json!({"error": error.to_string()}));
            }
            Err(json!([problem]))
        }
    }
}

fn header(index: usize, value: &Value, problems: &mut Vec<Value>) -> Option<Header> {
    let Some(fields) = value.as_object() else {
        let message = "Input should be a valid dictionary or object to extract fields from";
        problems.push(problem("model_attributes_type", json!(["body", "headers", index]), message, value));
        return None;
    };
    let mut part = |name: &str| {
        let place = json!(["body", "headers", index, name]);
        match fields.get(name) {
            Some(Value::String(text)) => return Some(text.clone()),
            Some(other) => problems.push(problem("string_type", place, "Input should be a valid string", other)),
            None => problems.push(missing(place, value)),
        }
        None
    };
    let (name, value) = (part("name"), part("value"));
    Some(Header { name: name?, value: value? })
}

fn url_problem(text: &str) -> Option<Value> {
    let place = json!(["body", "url"]);
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => None,
        Ok(_) => Some(problem("url_scheme", place, "URL scheme should be 'http' or 'https'", &json!(text))),
        Err(error) => {
            Some(problem("url_parsing", place, &format!("Input should be a valid URL, {error}"), &json!(text)))
        }
    }
}

fn is_type(headers: &HeaderMap, fits: impl Fn(&str) -> bool) -> bool {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    fits(&value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn missing(place: Value, input: &Value) -> Value {
    problem("missing", place, "Field required", input)
}

fn problem(kind: &str, place: Value, message: &str, input: &Value) -> Value {
    json!({"type": kind, "loc": place, "msg": message, "input": input})
}
