//! Events: sent to every webhook of their presence name, a few tries each.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::Value;

use super::state::{Delivery, Shared, StoredWebhook, now};

/// Sends an event; gives every try, in the order in which they ended.
pub(super) async fn send(shared: &Shared, presence_name: &str, payload: &Value) -> Vec<Delivery> {
    let webhooks: Vec<StoredWebhook> = shared.read(|state| {
        state.webhooks.values().filter(|webhook| webhook.presence_name == presence_name).cloned().collect()
    });
    let mut deliveries = join_all(webhooks.iter().map(|webhook| deliver(shared, webhook, payload))).await.concat();
    deliveries.sort_by_key(|delivery| delivery.seq);
    deliveries
}

async fn deliver(shared: &Shared, webhook: &StoredWebhook, payload: &Value) -> Vec<Delivery> {
    let (tries, backoff) = shared.read(|state| (state.config.delivery_tries, state.config.delivery_backoff_ms));
    let mut deliveries = Vec::new();
    for attempt in 1..=tries {
        let delivery = attempt_once(shared, webhook, payload, attempt).await;
        let done = delivery.succeeded();
        deliveries.push(shared.with(|state| state.delivered(delivery)));
        if done {
            break;
        }
        if attempt < tries {
            let doubled = backoff.saturating_mul(1 << attempt.min(16).saturating_sub(1));
            tokio::time::sleep(Duration::from_millis(doubled)).await;
        }
    }
    deliveries
}

async fn attempt_once(shared: &Shared, webhook: &StoredWebhook, payload: &Value, attempt: u32) -> Delivery {
    let timeout = Duration::from_millis(shared.read(|state| state.config.delivery_timeout_ms));
    let mut request = shared.http.post(&webhook.url).timeout(timeout).json(payload);
    for header in &webhook.headers {
        request = request.header(&header.name, &header.value);
    }
    let begun = Instant::now();
    let result = request.send().await;
    Delivery {
        seq: 0,
        time: now(),
        webhook_id: webhook.id.clone(),
        presence_name: webhook.presence_name.clone(),
        url: webhook.url.clone(),
        attempt,
        status: result.as_ref().ok().map(|response| response.status().as_u16()),
        error: result.err().map(|error| why(&error)),
        latency_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// In a few words, and without the url: it may hold a secret.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time".into()
    } else if error.is_connect() {
        "cannot connect".into()
    } else if error.is_builder() {
        "the url or a header cannot be sent".into()
    } else {
        "the connection broke".into()
    }
}
