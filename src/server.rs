//! The probes and the metrics page.

mod readers;
pub mod secure;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::{Format, Metrics};

/// Reads a bind address: `:8080`, `0` for off, or `address:port`.
///
/// # Errors
/// Says that it is none of these.
pub fn bind_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "0" || text.is_empty() {
        return Ok(None);
    }
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse()
        .map(Some)
        .map_err(|_| format!("\"{text}\" is not an address like :8080 or 127.0.0.1:8080, nor 0 for off"))
}

/// `/healthz`: the process lives, with all its loops. `/readyz`: its caches are filled and its watches work, or it waits
/// to lead. Orion has no part in either.
pub fn probes(health: Arc<Health>) -> Router {
    let lives = Arc::clone(&health);
    let healthz = async move || match lives.alive() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(name) => (StatusCode::INTERNAL_SERVER_ERROR, format!("a loop broke, which is a bug: {name}\n")),
    };
    let readyz = async move || match health.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// `/metrics`, in the format that is asked for.
pub fn metrics(metrics: Arc<Metrics>) -> Router {
    let page = async move |headers: HeaderMap| {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let format = Format::accepted(accept);
        ([(header::CONTENT_TYPE, format.content_type())], metrics.page(format))
    };
    Router::new().route("/metrics", get(page))
}

/// The same for those whom the apiserver lets `get` the path `/metrics`.
pub fn guarded(router: Router, client: kube::Client) -> Router {
    router.layer(axum::middleware::from_fn_with_state(readers::Readers::new(client), readers::check))
}

/// Takes the address.
///
/// # Errors
/// It cannot be had.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until stopped.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}
