//! The admin API under `/_sim/`, and the page. Nothing of it is in the request log.
//!
//! | path | methods |
//! |---|---|
//! | `/_sim/config` | GET; PUT changes the fields that are sent |
//! | `/_sim/faults` | GET, POST adds one, DELETE ends all |
//! | `/_sim/requests`, `/_sim/requests/counts` | GET; DELETE forgets the log |
//! | `/_sim/webhooks`, `/_sim/webhooks/<id>` | GET, POST inserts, PUT changes the fields that are sent, DELETE |
//! | `/_sim/tokens` | POST `{"lifetime_ms": n}` gives a token out, DELETE ends all |
//! | `/_sim/events` | POST `{"presence_name": "…", "payload": {…}}` answers with every try to deliver |
//! | `/_sim/deliveries` | GET, DELETE |
//! | `/_sim/overview`, `/_sim/stream` | GET what the page shows, once or as server-sent events |

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State as Extract},
    response::{
        Html, IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures::{Stream, stream};
use http::{StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    api::{self, App},
    delivery,
    fault::Fault,
    overview::overview,
    state::StoredWebhook,
};

/// Many changes at once make one message to the page.
const STREAM_PAUSE: Duration = Duration::from_millis(100);

/// All routes; what is not here is the API's.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/_sim/config", get(config).put(configure).patch(configure))
        .route("/_sim/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_sim/requests", get(requests).delete(clear_requests))
        .route("/_sim/requests/counts", get(counts))
        .route("/_sim/webhooks", get(webhooks).post(insert).delete(remove_all))
        .route("/_sim/webhooks/{id}", get(webhook).put(edit).delete(remove))
        .route("/_sim/tokens", post(issue_token).delete(revoke_tokens))
        .route("/_sim/events", post(send_event))
        .route("/_sim/deliveries", get(deliveries).delete(clear_deliveries))
        .route("/_sim/overview", get(show_overview))
        .route("/_sim/stream", get(watch))
        .fallback(api::serve)
        .with_state(app)
}

async fn page() -> impl IntoResponse {
    // Nothing from elsewhere, and nobody may frame it.
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                  connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("page.html")))
}

async fn config(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(&state.config).into_response())
}

async fn configure(Extract(app): Extract<App>, body: String) -> Response {
    parsed::<Map<String, Value>>(&body, |changes| {
        app.shared.with(|state| match state.config.updated(changes) {
            Ok(config) => {
                state.config = config;
                Json(&state.config).into_response()
            }
            Err(error) => refused(&error),
        })
    })
}

async fn faults(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(&state.faults).into_response())
}

async fn add_fault(Extract(app): Extract<App>, body: String) -> Response {
    parsed::<Fault>(&body, |fault| {
        app.shared.with(|state| state.faults.push(fault.clone()));
        (StatusCode::CREATED, Json(fault)).into_response()
    })
}

async fn clear_faults(Extract(app): Extract<App>) -> StatusCode {
    app.shared.with(|state| state.faults.clear());
    StatusCode::NO_CONTENT
}

async fn requests(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(&state.requests).into_response())
}

async fn clear_requests(Extract(app): Extract<App>) -> StatusCode {
    app.shared.with(|state| state.requests.clear());
    StatusCode::NO_CONTENT
}

async fn counts(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(state.counts()).into_response())
}

async fn webhooks(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(state.webhooks.values().collect::<Vec<_>>()).into_response())
}

async fn insert(Extract(app): Extract<App>, body: String) -> Response {
    parsed::<StoredWebhook>(&body, |webhook| {
        app.shared.with(|state| {
            let id = state.insert(webhook);
            (StatusCode::CREATED, Json(state.webhooks.get(&id))).into_response()
        })
    })
}

async fn remove_all(Extract(app): Extract<App>) -> StatusCode {
    app.shared.with(|state| state.webhooks.clear());
    StatusCode::NO_CONTENT
}

async fn webhook(Extract(app): Extract<App>, Path(id): Path<String>) -> Response {
    app.shared.read(|state| match state.webhooks.get(&id) {
        Some(webhook) => Json(webhook).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// Replaces the fields that are sent; the id stays.
async fn edit(Extract(app): Extract<App>, Path(id): Path<String>, body: String) -> Response {
    parsed::<Map<String, Value>>(&body, |changes| {
        app.shared.with(|state| {
            let Some(webhook) = state.webhooks.get_mut(&id) else {
                return StatusCode::NOT_FOUND.into_response();
            };
            let mut whole = json!(webhook);
            if let Some(fields) = whole.as_object_mut() {
                fields.extend(changes);
                fields.insert("id".into(), id.as_str().into());
            }
            match serde_json::from_value(whole) {
                Ok(edited) => {
                    *webhook = edited;
                    Json(webhook).into_response()
                }
                Err(error) => refused(&error),
            }
        })
    })
}

async fn remove(Extract(app): Extract<App>, Path(id): Path<String>) -> StatusCode {
    match app.shared.with(|state| state.webhooks.shift_remove(&id)) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TokenRequest {
    lifetime_ms: u64,
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self { lifetime_ms: 3_600_000 }
    }
}

async fn issue_token(Extract(app): Extract<App>, body: String) -> Response {
    parsed::<TokenRequest>(if body.is_empty() { "{}" } else { &body }, |wanted| {
        let lifetime = Duration::from_millis(wanted.lifetime_ms);
        let token = app.shared.with(|state| state.tokens.issue(&state.config, lifetime));
        (StatusCode::CREATED, Json(json!({"access_token": token}))).into_response()
    })
}

async fn revoke_tokens(Extract(app): Extract<App>) -> StatusCode {
    app.shared.with(|state| state.tokens.revoke_all(&state.config));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventRequest {
    presence_name: String,
    #[serde(default = "sample_payload")]
    payload: Value,
}

/// Orion publishes no schema: this one is made up.
fn sample_payload() -> Value {
    json!({"event": "job.completed", "job_id": "job_000001", "state": "completed"})
}

async fn send_event(Extract(app): Extract<App>, body: String) -> Response {
    let event = match serde_json::from_str::<EventRequest>(&body) {
        Ok(event) => event,
        Err(error) => return refused(&error),
    };
    Json(delivery::send(&app.shared, &event.presence_name, &event.payload).await).into_response()
}

async fn deliveries(Extract(app): Extract<App>) -> Response {
    app.shared.read(|state| Json(&state.deliveries).into_response())
}

async fn clear_deliveries(Extract(app): Extract<App>) -> StatusCode {
    app.shared.with(|state| state.deliveries.clear());
    StatusCode::NO_CONTENT
}

async fn show_overview(Extract(app): Extract<App>) -> Json<Value> {
    Json(app.shared.read(overview))
}

/// The overview now, and again after every change.
async fn watch(Extract(app): Extract<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = app.shared.changed.subscribe();
    changes.mark_changed();
    let overviews = stream::unfold((app, changes), async |(app, mut changes)| {
        changes.changed().await.ok()?;
        let event = Event::default().data(app.shared.read(overview).to_string());
        tokio::time::sleep(STREAM_PAUSE).await;
        Some((Ok(event), (app, changes)))
    });
    Sse::new(overviews).keep_alive(KeepAlive::default())
}

/// Reads JSON whatever its content type: an admin types with curl.
fn parsed<T: DeserializeOwned>(body: &str, work: impl FnOnce(T) -> Response) -> Response {
    match serde_json::from_str(body) {
        Ok(value) => work(value),
        Err(error) => refused(&error),
    }
}

fn refused(error: &serde_json::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error.to_string()}))).into_response()
}
