//! The simulator does what it says: every switch, every fault, deliveries.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod api;
mod delivery;
mod faults;
mod handle;
mod switches;

use std::time::{Duration, Instant};

use devkit::sim::{Config, Sim, StoredWebhook};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

const TOKEN: &str = "static-token";
const OWNER: &str = "X-Orion-Operator-Owner";

/// A simulator and a client that knows a token for it.
struct Bench {
    sim: Sim,
    http: Client,
}

impl Bench {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { static_tokens: vec![TOKEN.into()], ..Config::default() };
        change(&mut config);
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { sim: Sim::start(config).await.unwrap(), http }
    }

    /// A request with the token to a path under the prefix.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.sim.endpoint())).bearer_auth(TOKEN)
    }

    fn create(&self) -> RequestBuilder {
        self.call(Method::POST, "/webhooks/").json(&webhook())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::GET, path)).await
    }

    /// A request to the admin API.
    async fn admin(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}/_sim{path}", self.sim.url()));
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// As many webhooks as asked for.
    fn fill(&self, count: usize) {
        for _ in 0..count {
            self.sim.insert(StoredWebhook::new("https://a.example/", "u", "p"));
        }
    }
}

fn webhook() -> Value {
    json!({
        "url": "https://hooks.example.com/orion",
        "headers": [{"name": "X-Webhook-Secret", "value": "s3cret"}, {"name": OWNER, "value": "v1.a.b.c"}],
        "user_id": "user-42",
        "presence_name": "job-notifications",
    })
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    read(request.send().await.unwrap()).await
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Waits until something is so.
async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ids(list: &Value) -> Vec<String> {
    let items = list.as_array().or_else(|| list["items"].as_array()).unwrap();
    items.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}
