//! Events, and the page that shows them.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::HeaderMap};
use devkit::sim::StoredWebhook;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Bench, TOKEN, answer};

/// A receiver of events: what came, and the statuses to answer with (then 204).
#[derive(Clone, Default)]
struct Inbox {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Inbox {
    async fn open(statuses: &[u16]) -> (Self, String) {
        let inbox = Self::default();
        inbox.statuses.lock().unwrap().extend(statuses.iter().rev());
        let receive = async |State(inbox): State<Self>, headers: HeaderMap, body: String| {
            inbox.got.lock().unwrap().push((headers, body));
            StatusCode::from_u16(inbox.statuses.lock().unwrap().pop().unwrap_or(204)).unwrap()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (inbox, url)
    }
}

#[tokio::test]
async fn events_reach_their_webhooks_with_headers() {
    let bench = Bench::new(|config| config.delivery_backoff_ms = 1).await;
    let (inbox, url) = Inbox::open(&[503, 500]).await;
    bench.sim.insert(StoredWebhook::new(&url, "u", "jobs").header("X-Webhook-Secret", "s3cret"));
    bench.sim.insert(StoredWebhook::new(&url, "u", "other"));
    let deliveries = bench.sim.send_event("jobs", json!({"n": 1})).await;
    let told: Vec<_> = deliveries.iter().map(|it| (it.attempt, it.status)).collect();
    assert_eq!(told, [(1, Some(503)), (2, Some(500)), (3, Some(204))]);
    assert!(deliveries[2].succeeded() && deliveries[2].url == url);
    {
        let got = inbox.got.lock().unwrap();
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|(headers, body)| headers["x-webhook-secret"] == "s3cret" && body == r#"{"n":1}"#));
    }

    let (status, sent) = bench.admin(Method::POST, "/events", json!({"presence_name": "other", "payload": {}})).await;
    assert_eq!((status, &sent[0]["status"], sent.as_array().unwrap().len()), (200, &json!(204), 1));
    assert_eq!(bench.admin(Method::POST, "/events", json!({"presence_name": "nobody"})).await.1, json!([]));
    assert_eq!(bench.admin(Method::GET, "/deliveries", Value::Null).await.1.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn deliveries_that_fail_say_why() {
    let bench = Bench::new(|config| {
        config.delivery_tries = 2;
        config.delivery_backoff_ms = 1;
    })
    .await;
    // Accepts connections (the system does) but never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        (format!("http://{}/", silent.local_addr().unwrap()), "X-A", 200, "no answer in time"),
        ("http://127.0.0.1:1/".to_owned(), "X-A", 10_000, "cannot connect"),
        ("http://127.0.0.1:1/".to_owned(), "not a name", 10_000, "the url or a header cannot be sent"),
    ];
    for (url, header, timeout, why) in cases {
        bench.sim.config(|config| config.delivery_timeout_ms = timeout);
        bench.admin(Method::DELETE, "/webhooks", Value::Null).await;
        bench.sim.insert(StoredWebhook::new(url, "u", "jobs").header(header, "1"));
        let deliveries = bench.sim.send_event("jobs", json!({})).await;
        assert_eq!(deliveries.len(), 2);
        assert_eq!((deliveries[1].status, deliveries[1].error.as_deref()), (None, Some(why)));
    }
}

#[tokio::test]
async fn the_page_shows_no_secret() {
    let bench = Bench::new(|_| {}).await;
    answer(bench.create()).await;
    let page = bench.http.get(bench.sim.url()).send().await.unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    let html = page.text().await.unwrap();
    assert!(html.contains("/_sim/stream") && !html.contains("src=\"http"));

    let (_, overview) = bench.admin(Method::GET, "/overview", Value::Null).await;
    let shown = &overview["webhooks"][0];
    assert_eq!((&shown["host"], &shown["headers"]), (&json!("hooks.example.com"), &json!(["X-Webhook-Secret"])));
    assert_eq!(shown["owner"], "v1.a.b.c");
    let text = overview.to_string();
    assert!(!text.contains("s3cret") && !text.contains("demo-password") && !text.contains(TOKEN), "{text}");

    let mut stream = bench.http.get(format!("{}/_sim/stream", bench.sim.url())).send().await.unwrap();
    let mut seen = String::new();
    bench.fill(1);
    while !seen.contains("wh_000002") {
        seen.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    assert!(seen.starts_with("data: {"));
}
