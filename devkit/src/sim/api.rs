//! The API itself: what each request does, faults and log around it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Extract},
};
use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, Fate, detail, empty, json, redirect, set},
    config::{Config, CreateAnswer, ListShape},
    fault::{Action, Operation, Subject},
    openapi,
    route::{Target, serves_openapi},
    server::Hangup,
    state::{Shared, State, StoredWebhook, Struck, record},
    validate,
    view::{id_value, view},
};

const MAX_BODY: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Of all other headers the log says nothing.
const LOGGED_HEADERS: [&str; 8] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "user-agent",
    "x-request-id",
    "traceparent",
];

/// What every request needs.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) shared: Arc<Shared>,
    pub(super) stopping: CancellationToken,
}

/// A request, read whole.
#[derive(Debug)]
struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers every request that is not for the admin API.
pub(super) async fn serve(Extract(app): Extract<App>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Fate::Whole(detail(StatusCode::PAYLOAD_TOO_LARGE, "Request body")).into_response();
        }
        Err(_) => {
            return Fate::Whole(detail(StatusCode::REQUEST_TIMEOUT, "Request body")).into_response();
        }
    };
    let call = Call { method: head.method, uri: head.uri, headers: head.headers, body };
    let App { shared, stopping } = app;
    // In a task of its own: as in a real server, the effect takes place even if the client does not wait for it.
    let work = tokio::spawn(stopping.run_until_cancelled_owned(async move { handle(&shared, &call).await }));
    let fate = work.await.ok().flatten().unwrap_or(Fate::Lost(Hangup::Close));
    fate.into_response()
}

async fn handle(shared: &Shared, call: &Call) -> Fate {
    let (seq, struck) = shared.with(|state| arrive(state, call));
    let action = struck.action.as_ref();
    pause(struck.before_ms).await;
    let fate =
        Fate::instead(action).unwrap_or_else(|| Fate::after(action, shared.with(|state| effect(state, call, action))));
    pause(struck.after_ms).await;
    shared.with(|state| state.answered(seq, fate.answered()));
    fate
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Logs a request and finds the faults that hit it.
fn arrive(state: &mut State, call: &Call) -> (u64, Struck) {
    let target = Target::of(&state.config, call.uri.path());
    let operation = target.operation(&call.method);
    let body: Option<Value> = serde_json::from_slice(&call.body).ok();
    let named = body.as_ref().and_then(|body| body.get("presence_name")).and_then(Value::as_str);
    let presence_name = match (&target, named) {
        (_, Some(name)) => Some(name.to_owned()),
        (Target::Item(id), None) => state.webhooks.get(id).map(|webhook| webhook.presence_name.clone()),
        _ => None,
    };
    let mut entry = record(&call.method, call.uri.path_and_query().map_or("/", |it| it.as_str()), operation);
    for name in LOGGED_HEADERS {
        if let Some(value) = call.headers.get(name) {
            entry.headers.insert(name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    if let Some(value) = call.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()) {
        let scheme = value.split(' ').next().unwrap_or_default();
        entry.headers.insert("authorization".into(), format!("{scheme} …"));
    }
    entry.body = if operation == Operation::Login { Some(login_form(&call.body)) } else { body };
    let seq = state.log(entry);
    let subject =
        Subject { method: &call.method, path: call.uri.path(), operation, presence_name: presence_name.as_deref() };
    (seq, state.strike(&subject))
}

/// The form of a login without the password.
fn login_form(body: &[u8]) -> Value {
    let pairs = url::form_urlencoded::parse(body);
    let fields = pairs.map(|(key, value)| {
        let value = if key == "password" { "…".into() } else { value.into_owned() };
        (key.into_owned(), Value::String(value))
    });
    Value::Object(fields.collect())
}

/// Does what a request asks for; gives the honest answer.
fn effect(state: &mut State, call: &Call, fault: Option<&Action>) -> Answer {
    let path = call.uri.path();
    let target = Target::of(&state.config, path);
    if let Target::OtherSlash(other) = &target {
        return redirect(StatusCode::TEMPORARY_REDIRECT, &absolute(call, other));
    }
    if serves_openapi(&state.config, path) {
        return match call.method {
            Method::GET => json(StatusCode::OK, &openapi::document(&state.config)),
            _ => not_allowed(&["GET"]),
        };
    }
    let methods = target.methods(&state.config);
    if methods.is_empty() {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    }
    if !methods.contains(&call.method.as_str()) {
        return not_allowed(&methods);
    }
    if target != Target::Login
        && let Err(why) = state.tokens.check(&state.config, &call.headers)
    {
        return unauthorized(why);
    }
    let operation = target.operation(&call.method);
    match target {
        Target::Item(id) => item(state, call, &id, operation),
        Target::Collection if operation == Operation::Create => create(state, call),
        Target::Collection => list(state, call, fault),
        Target::Login => login(state, call),
        // They have no methods: answered above.
        Target::Openapi | Target::OtherSlash(_) | Target::Unknown => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn login(state: &mut State, call: &Call) -> Answer {
    let (username, password) = match validate::login(&call.headers, &call.body) {
        Ok(form) => form,
        Err(problems) => return detail(StatusCode::UNPROCESSABLE_ENTITY, problems),
    };
    let config = &state.config;
    if username != config.username || password != config.password {
        return unauthorized("Incorrect username or password");
    }
    let lifetime = Duration::from_millis(config.token_lifetime_ms);
    let token = state.tokens.issue(config, lifetime);
    let mut body = json!({"access_token": token, "token_type": "bearer"});
    if config.expires_in
        && let Some(fields) = body.as_object_mut()
    {
        fields.insert("expires_in".into(), lifetime.as_secs().into());
    }
    json(StatusCode::OK, &body)
}

fn create(state: &mut State, call: &Call) -> Answer {
    let fields = match validate::webhook(&call.headers, &call.body, false) {
        Ok(fields) => fields,
        Err(problems) => return detail(StatusCode::UNPROCESSABLE_ENTITY, problems),
    };
    let key = call.headers.get("idempotency-key").and_then(|it| it.to_str().ok()).filter(|_| state.config.idempotency);
    let before = key.and_then(|key| state.idempotency.get(key)).filter(|id| state.webhooks.contains_key(*id)).cloned();
    let id = before.unwrap_or_else(|| {
        let mut webhook = StoredWebhook::new("", "", "");
        assign(&state.config, &mut webhook, fields);
        state.insert(webhook)
    });
    if let Some(key) = key {
        state.idempotency.insert(key.to_owned(), id.clone());
    }
    let body = match (state.config.create_answer, state.webhooks.get(&id)) {
        (CreateAnswer::ObjectId | CreateAnswer::ObjectWebhookId, Some(webhook)) => view(&state.config, webhook),
        _ => id_value(&state.config, &id),
    };
    json(super::answer::status(state.config.create_status), &body)
}

fn list(state: &State, call: &Call, fault: Option<&Action>) -> Answer {
    let config = &state.config;
    let paging = match validate::paging(call.uri.query().unwrap_or_default()) {
        Ok(paging) => paging,
        Err(problems) => return detail(StatusCode::UNPROCESSABLE_ENTITY, problems),
    };
    let limit = paging.limit.unwrap_or(config.max_page_size).min(config.max_page_size);
    let offset = match fault {
        Some(Action::PagesRepeat) => 0,
        Some(Action::PagesSkip) if paging.offset > 0 => paging.offset + 1,
        _ => paging.offset,
    };
    let items: Vec<Value> = state.webhooks.values().skip(offset).take(limit).map(|it| view(config, it)).collect();
    let total = state.webhooks.len() + usize::from(fault == Some(&Action::TotalLies));
    let body = match config.list_shape {
        ListShape::Array => Value::Array(items),
        ListShape::Page => {
            json!({"items": items, "total": total, "limit": limit, "offset": paging.offset})
        }
    };
    json(StatusCode::OK, &body)
}

fn item(state: &mut State, call: &Call, id: &str, operation: Operation) -> Answer {
    let no_such = || detail(StatusCode::NOT_FOUND, "Webhook not found");
    match operation {
        Operation::Delete => {
            if state.webhooks.shift_remove(id).is_none() {
                return no_such();
            }
            let status = super::answer::status(state.config.delete_status);
            if status == StatusCode::NO_CONTENT { empty(status) } else { json(status, &json!({"detail": "deleted"})) }
        }
        Operation::Put | Operation::Patch => {
            let fields = match validate::webhook(&call.headers, &call.body, operation == Operation::Patch) {
                Ok(fields) => fields,
                Err(problems) => return detail(StatusCode::UNPROCESSABLE_ENTITY, problems),
            };
            let State { config, webhooks, .. } = state;
            let Some(webhook) = webhooks.get_mut(id) else {
                return no_such();
            };
            if operation == Operation::Put {
                webhook.headers.clear();
            }
            assign(config, webhook, fields);
            json(StatusCode::OK, &view(config, webhook))
        }
        Operation::Get
        | Operation::Create
        | Operation::List
        | Operation::Login
        | Operation::Openapi
        | Operation::Other => match state.webhooks.get(id) {
            Some(webhook) => json(StatusCode::OK, &view(&state.config, webhook)),
            None => no_such(),
        },
    }
}

/// Writes the fields that were sent.
fn assign(config: &Config, webhook: &mut StoredWebhook, fields: validate::Fields) {
    if let Some(url) = fields.url {
        let parsed = url::Url::parse(&url).ok().filter(|_| config.normalise_urls);
        webhook.url = parsed.map_or(url, Into::into);
    }
    if let Some(mut headers) = fields.headers {
        if config.strip_unknown_headers {
            headers.retain(|header| config.known_headers.iter().any(|it| it.eq_ignore_ascii_case(&header.name)));
        }
        webhook.headers = headers;
    }
    webhook.user_id = fields.user_id.unwrap_or_else(|| webhook.user_id.clone());
    webhook.presence_name = fields.presence_name.unwrap_or_else(|| webhook.presence_name.clone());
}

fn unauthorized(why: &str) -> Answer {
    let mut answer = detail(StatusCode::UNAUTHORIZED, why);
    set(&mut answer, header::WWW_AUTHENTICATE, "Bearer");
    answer
}

fn not_allowed(methods: &[&str]) -> Answer {
    let mut answer = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    set(&mut answer, header::ALLOW, &methods.join(", "));
    answer
}

/// The whole url of another path on this host, as Starlette redirects.
fn absolute(call: &Call, path: &str) -> String {
    let host = call.headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or("localhost");
    let query = call.uri.query().map(|it| format!("?{it}")).unwrap_or_default();
    format!("http://{host}{path}{query}")
}
