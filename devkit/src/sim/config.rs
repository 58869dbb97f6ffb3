//! The switches of the simulator: everything that is not documented about Orion can be set either way.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the simulated Orion behaves. Every field can be changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Path in front of every API route, without a trailing slash.
    pub prefix: String,
    /// The user that may log in.
    pub username: String,
    /// That user's password.
    pub password: String,
    /// Bearer tokens that never expire, though [`super::Sim::revoke_tokens`] ends them too.
    pub static_tokens: Vec<String>,
    /// How long a token from a login is good for.
    pub token_lifetime_ms: u64,
    /// What tokens look like.
    pub token_format: TokenFormat,
    /// Does the answer to a login say `expires_in`?
    pub expires_in: bool,
    /// Status of a successful create: 201 or 200.
    pub create_status: u16,
    /// Body of a successful create.
    pub create_answer: CreateAnswer,
    /// What ids look like.
    pub id_format: IdFormat,
    /// Is there `GET <prefix>/webhooks/`?
    pub list: bool,
    /// Is there `GET <prefix>/webhooks/<id>`?
    pub get: bool,
    /// Is there `PUT <prefix>/webhooks/<id>`?
    pub put: bool,
    /// Is there `PATCH <prefix>/webhooks/<id>`?
    pub patch: bool,
    /// Is there `DELETE <prefix>/webhooks/<id>`?
    pub delete: bool,
    /// Status of a successful delete: 204 (no body) or 200 (a JSON body).
    pub delete_status: u16,
    /// Body of a list.
    pub list_shape: ListShape,
    /// A larger `limit` is cut down to this; also the size of a page when no `limit` is given.
    pub max_page_size: usize,
    /// How header values are echoed.
    pub header_values: HeaderValues,
    /// Forget headers that are not in `known_headers`, as an API that does not store what it does not know.
    pub strip_unknown_headers: bool,
    /// The headers that survive `strip_unknown_headers`, compared without case.
    pub known_headers: Vec<String>,
    /// Echo urls as a URL parser writes them (`https://a.example` becomes `https://a.example/`).
    pub normalise_urls: bool,
    /// Where the OpenAPI document is.
    pub openapi: OpenApi,
    /// Does a repeated `Idempotency-Key` answer with the webhook of the first create?
    pub idempotency: bool,
    /// Time-out of one try to deliver an event.
    pub delivery_timeout_ms: u64,
    /// How often a delivery is tried until the receiver answers 2xx.
    pub delivery_tries: u32,
    /// Wait before the second try; doubled for each further one.
    pub delivery_backoff_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: "/v1alpha".into(),
            username: "demo".into(),
            password: "demo-password".into(),
            static_tokens: Vec::new(),
            token_lifetime_ms: 3_600_000,
            token_format: TokenFormat::Jwt,
            expires_in: false,
            create_status: 201,
            create_answer: CreateAnswer::ObjectId,
            id_format: IdFormat::Padded,
            list: true,
            get: true,
            put: true,
            patch: true,
            delete: true,
            delete_status: 204,
            list_shape: ListShape::Page,
            max_page_size: 100,
            header_values: HeaderValues::Plain,
            strip_unknown_headers: false,
            known_headers: vec!["X-Webhook-Secret".into()],
            normalise_urls: false,
            openapi: OpenApi::Root,
            idempotency: false,
            delivery_timeout_ms: 5_000,
            delivery_tries: 3,
            delivery_backoff_ms: 200,
        }
    }
}

impl Config {
    /// This configuration with the given fields replaced.
    ///
    /// # Errors
    /// When a field is not known or has a value of the wrong kind.
    pub fn updated(&self, changes: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut whole = serde_json::to_value(self)?;
        if let Some(fields) = whole.as_object_mut() {
            fields.extend(changes);
        }
        serde_json::from_value(whole)
    }

    /// The prefix without the trailing slash that people like to write.
    pub(super) fn base(&self) -> &str {
        self.prefix.trim_end_matches('/')
    }
}

/// What access tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// Random characters.
    Opaque,
    /// Three base64url parts, as a JWT.
    Jwt,
}

/// The body that answers a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CreateAnswer {
    /// The webhook with its id as `id`.
    ObjectId,
    /// The webhook with its id as `webhook_id` (in lists and single answers too).
    ObjectWebhookId,
    /// The id alone: a JSON string, or a JSON number with [`IdFormat::Number`].
    Bare,
}

/// What the ids of new webhooks look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum IdFormat {
    /// `wh_000001`, `wh_000002`, …
    Padded,
    /// `wh_` and 16 random hexadecimal digits.
    Random,
    /// 1, 2, … written as JSON numbers.
    Number,
}

/// The body of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ListShape {
    /// A plain array.
    Array,
    /// `{"items": […], "total": n}`.
    Page,
}

/// How header values are echoed in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValues {
    /// As they were sent.
    Plain,
    /// As `***`.
    Masked,
}

/// Where the OpenAPI document is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OpenApi {
    /// At `/openapi.json`.
    Root,
    /// At `<prefix>/openapi.json`, with whole paths.
    Prefix,
    /// At `<prefix>/openapi.json` of an application mounted there: paths without the prefix, which is in `servers`.
    Mounted,
    /// Nowhere.
    Off,
}
