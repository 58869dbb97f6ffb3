//! The routes.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Html,
    routing::get,
};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc::{Sender, error::TrySendError};

use crate::{
    events::{Event, Events},
    page,
};

/// Events are small.
const MAX_BODY: usize = 256 * 1024;
/// Who sends a body more slowly than this is cut off.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct App {
    secret: Arc<str>,
    queue: Sender<Event>,
    events: Arc<Events>,
}

impl App {
    pub(crate) fn new(secret: String, queue: Sender<Event>, events: Arc<Events>) -> Self {
        Self { secret: secret.into(), queue, events }
    }

    /// Compares in constant time: how long a refusal takes says nothing about the secret (but its length).
    fn knows(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get("x-webhook-secret").map_or(&[][..], |value| value.as_bytes());
        sent.ct_eq(self.secret.as_bytes()).into()
    }
}

/// Deliveries are taken on every path: it is the secret that counts.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(show).post(receive))
        .route("/events", get(list))
        .route("/healthz", get(async || "ok\n"))
        .fallback(axum::routing::post(receive))
        .with_state(app)
}

async fn receive(State(app): State<App>, request: Request) -> StatusCode {
    // The secret first: strangers do not get to send us a body.
    if !app.knows(request.headers()) {
        return StatusCode::UNAUTHORIZED;
    }
    let body = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => return StatusCode::REQUEST_TIMEOUT,
    };
    let Ok(payload) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    match app.queue.try_send(Event { received_at: format!("{:.3}", jiff::Timestamp::now()), payload }) {
        Ok(()) => StatusCode::ACCEPTED,
        // Orion should try again later.
        Err(TrySendError::Full(_) | TrySendError::Closed(_)) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn list(State(app): State<App>) -> Json<Vec<Event>> {
    Json(app.events.newest_first())
}

async fn show(State(app): State<App>) -> Html<String> {
    Html(page::render(&app.events.newest_first()))
}
