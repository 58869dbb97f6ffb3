//! What the page shows: everything but secrets.

use serde_json::{Value, json};
use url::Url;

use super::{
    config::Config,
    state::{Delivery, State, StoredWebhook},
};

/// The page shows no more rows than a person reads.
const MAX_ROWS: usize = 200;
/// The header by which the operator knows its own webhooks.
const OWNER_HEADER: &str = "x-orion-operator-owner";

/// The state without header values, passwords and tokens.
pub(super) fn overview(state: &State) -> Value {
    json!({
        "webhooks": state.webhooks.values().take(MAX_ROWS).map(webhook).collect::<Vec<_>>(),
        "webhooks_total": state.webhooks.len(),
        "presence_names": presence_names(state),
        "deliveries": state.deliveries.iter().rev().take(MAX_ROWS).map(delivery).collect::<Vec<_>>(),
        "deliveries_total": state.deliveries.len(),
        "faults": state.faults,
        "counts": state.counts(),
        "api": api(&state.config),
    })
}

fn webhook(webhook: &StoredWebhook) -> Value {
    let owner = webhook.header_value(OWNER_HEADER);
    let names = webhook.headers.iter().map(|header| header.name.as_str());
    let others: Vec<&str> = names.filter(|name| !name.eq_ignore_ascii_case(OWNER_HEADER)).collect();
    json!({
        "id": webhook.id,
        "presence_name": webhook.presence_name,
        "user_id": webhook.user_id,
        "host": host(&webhook.url),
        "headers": others,
        "owner": owner,
        "created_at": webhook.created_at,
    })
}

fn delivery(delivery: &Delivery) -> Value {
    json!({
        "seq": delivery.seq,
        "time": delivery.time,
        "webhook_id": delivery.webhook_id,
        "presence_name": delivery.presence_name,
        "host": host(&delivery.url),
        "attempt": delivery.attempt,
        "status": delivery.status,
        "error": delivery.error,
        "latency_ms": delivery.latency_ms,
    })
}

/// A url's path and query may hold secrets; its host and port do not.
fn host(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    host.unwrap_or_else(|| "(not a url)".into())
}

fn presence_names(state: &State) -> Vec<&str> {
    let mut names: Vec<&str> = state.webhooks.values().map(|it| it.presence_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_ROWS);
    names
}

fn api(config: &Config) -> Value {
    json!({
        "prefix": config.base(),
        "methods": {
            "create": true,
            "list": config.list,
            "get": config.get,
            "put": config.put,
            "patch": config.patch,
            "delete": config.delete,
        },
        "create_status": config.create_status,
        "create_answer": config.create_answer,
        "id_format": config.id_format,
        "list_shape": config.list_shape,
        "max_page_size": config.max_page_size,
        "header_values": config.header_values,
        "strip_unknown_headers": config.strip_unknown_headers,
        "openapi": config.openapi,
        "idempotency": config.idempotency,
        "token_lifetime_ms": config.token_lifetime_ms,
    })
}
