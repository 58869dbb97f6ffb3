//! The OpenAPI document: true about the switches, and shaped as FastAPI writes it.

use serde_json::{Map, Value, json};

use super::{
    config::{Config, OpenApi},
    route::Target,
};

/// The document for this configuration.
pub(super) fn document(config: &Config) -> Value {
    let base = if config.openapi == OpenApi::Mounted { "" } else { config.base() };
    let mut paths = Map::new();
    let routes = [
        ("/auth/login", Target::Login),
        ("/webhooks/", Target::Collection),
        ("/webhooks/{webhook_id}", Target::Item(String::new())),
    ];
    for (path, target) in routes {
        let methods = target.methods(config);
        if !methods.is_empty() {
            let operations = methods.iter().map(|it| (it.to_ascii_lowercase(), operation(config, &target, it)));
            paths.insert(format!("{base}{path}"), Value::Object(operations.collect()));
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "Orion (simulated)", "version": "1alpha"},
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": {"OAuth2PasswordBearer": {
            "type": "oauth2",
            "flows": {"password": {"scopes": {}, "tokenUrl": format!("{}/auth/login", config.base())}},
        }}},
    });
    if config.openapi == OpenApi::Mounted
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert("servers".into(), json!([{"url": config.base()}]));
    }
    document
}

fn operation(config: &Config, target: &Target, method: &str) -> Value {
    let status = match (target, method) {
        (Target::Collection, "POST") => config.create_status,
        (Target::Item(_), "DELETE") => config.delete_status,
        _ => 200,
    };
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let body =
        |content_type: &str, name: &str| json!({"required": true, "content": {content_type: {"schema": schema(name)}}});
    let name = match target {
        Target::Login => "login",
        Target::Collection => "webhooks",
        Target::Item(_) | Target::Openapi | Target::OtherSlash(_) | Target::Unknown => "webhook",
    };
    let mut operation = json!({
        "operationId": format!("{}_{name}", method.to_ascii_lowercase()),
        "responses": {
            status.to_string(): {"description": "Successful Response"},
            "422": {"description": "Validation Error", "content": {"application/json": {
                "schema": schema("HTTPValidationError"),
            }}},
        },
    });
    let Some(fields) = operation.as_object_mut() else {
        return operation;
    };
    match (target, method) {
        (Target::Login, _) => {
            fields.insert("requestBody".into(), body("application/x-www-form-urlencoded", "Login"));
        }
        (Target::Collection, "GET") => {
            let number = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}});
            fields.insert("parameters".into(), json!([number("limit"), number("offset")]));
        }
        (_, "POST" | "PUT") => {
            fields.insert("requestBody".into(), body("application/json", "Webhook"));
        }
        (_, "PATCH") => {
            fields.insert("requestBody".into(), body("application/json", "WebhookPatch"));
        }
        _ => {}
    }
    if let Target::Item(_) = target {
        let id = json!([{"name": "webhook_id", "in": "path", "required": true, "schema": {"type": "string"}}]);
        fields.insert("parameters".into(), id);
    }
    if *target != Target::Login {
        fields.insert("security".into(), json!([{"OAuth2PasswordBearer": []}]));
    }
    operation
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let properties = json!({
        "url": {"type": "string", "format": "uri", "minLength": 1},
        "headers": {"anyOf": [
            {"type": "array", "items": {"$ref": "#/components/schemas/WebhookHeader"}},
            {"type": "null"},
        ]},
        "user_id": text,
        "presence_name": text,
    });
    json!({
        "Webhook": {"type": "object", "required": ["url", "user_id", "presence_name"], "properties": properties},
        "WebhookPatch": {"type": "object", "properties": properties},
        "WebhookHeader": {
            "type": "object",
            "required": ["name", "value"],
            "properties": {"name": text, "value": text},
        },
        "Login": {
            "type": "object",
            "required": ["username", "password"],
            "properties": {"username": text, "password": text, "scope": text},
        },
        "HTTPValidationError": {"type": "object", "properties": {"detail": {"type": "array", "items": {
            "type": "object",
            "required": ["loc", "msg", "type"],
            "properties": {"loc": {"type": "array"}, "msg": text, "type": text},
        }}}},
    })
}
