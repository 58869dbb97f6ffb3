//! Webhooks as the API shows them.

use serde_json::{Value, json};

use super::{
    config::{Config, CreateAnswer, HeaderValues, IdFormat},
    state::StoredWebhook,
};

/// A webhook with its id, header values plain or masked.
pub(super) fn view(config: &Config, webhook: &StoredWebhook) -> Value {
    let value = |plain: &str| match config.header_values {
        HeaderValues::Plain => plain.to_owned(),
        HeaderValues::Masked => "***".to_owned(),
    };
    let headers: Vec<Value> =
        webhook.headers.iter().map(|it| json!({"name": it.name, "value": value(&it.value)})).collect();
    let id_field = match config.create_answer {
        CreateAnswer::ObjectWebhookId => "webhook_id",
        CreateAnswer::ObjectId | CreateAnswer::Bare => "id",
    };
    json!({
        id_field: id_value(config, &webhook.id),
        "url": webhook.url,
        "headers": headers,
        "user_id": webhook.user_id,
        "presence_name": webhook.presence_name,
        "created_at": webhook.created_at,
    })
}

/// An id: a string, or a number where ids are numbers.
pub(super) fn id_value(config: &Config, id: &str) -> Value {
    match (config.id_format, id.parse::<u64>()) {
        (IdFormat::Number, Ok(number)) => number.into(),
        _ => id.into(),
    }
}
