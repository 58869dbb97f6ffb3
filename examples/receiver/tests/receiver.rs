//! The receiver does what Orion's documentation asks for.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use receiver::{Config, Event, Receiver};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const SECRET: &str = "s3cret";

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

async fn deliver(receiver: &Receiver, secret: Option<&str>, body: &Value) -> StatusCode {
    let mut request = client().post(receiver.url()).json(body);
    if let Some(secret) = secret {
        request = request.header("X-Webhook-Secret", secret);
    }
    request.send().await.unwrap().status()
}

async fn events(receiver: &Receiver, count: usize) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let events = receiver.events();
        if events.len() >= count {
            return events;
        }
        assert!(Instant::now() < deadline, "{} events of {count}", events.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn only_who_knows_the_secret_is_heard() {
    let receiver = Receiver::start(Config::new(SECRET)).await.unwrap();
    for wrong in [None, Some(""), Some("s3cre"), Some("s3cret2"), Some("S3cret")] {
        assert_eq!(deliver(&receiver, wrong, &json!({})).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(deliver(&receiver, Some(SECRET), &json!({"n": 1})).await, StatusCode::ACCEPTED);
    let events = events(&receiver, 1).await;
    assert_eq!((events.len(), &events[0].payload), (1, &json!({"n": 1})));
}

#[tokio::test]
async fn an_empty_secret_is_no_secret() {
    assert!(Receiver::start(Config::new("")).await.is_err());
    assert!(Receiver::start(Config { queue: 0, ..Config::new(SECRET) }).await.is_err());
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let work = Duration::from_secs(3600);
    let receiver = Receiver::start(Config { queue: 2, work, ..Config::new(SECRET) }).await.unwrap();
    let begun = Instant::now();
    let mut accepted = 0;
    // One may already be out of the queue and in work: then the queue takes three.
    while deliver(&receiver, Some(SECRET), &json!({})).await == StatusCode::ACCEPTED {
        accepted += 1;
        assert!(accepted <= 3);
    }
    assert!(accepted >= 2);
    assert_eq!(deliver(&receiver, Some("wrong"), &json!({})).await, StatusCode::UNAUTHORIZED);
    assert!(begun.elapsed() < Duration::from_secs(60), "the work was waited for");
}

#[tokio::test]
async fn the_newest_are_shown_first_and_not_all() {
    let receiver = Receiver::start(Config { remember: 3, ..Config::new(SECRET) }).await.unwrap();
    for n in 1..=5 {
        assert_eq!(deliver(&receiver, Some(SECRET), &json!({"n": n})).await, StatusCode::ACCEPTED);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while receiver.events().first().is_none_or(|event| event.payload["n"] != 5) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let get = |path: &str| client().get(format!("{}{path}", receiver.url())).send();
    let shown: Value = get("events").await.unwrap().json().await.unwrap();
    let numbers: Vec<_> = shown.as_array().unwrap().iter().map(|it| it["payload"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [5, 4, 3]);
    assert!(get("").await.unwrap().text().await.unwrap().contains("\"n\": 5"));
    assert_eq!(get("healthz").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_json_or_too_large_is_refused() {
    let receiver = Receiver::start(Config::new(SECRET)).await.unwrap();
    let send = async |body: String| {
        let request =
            client().post(format!("{}any/path", receiver.url())).header("X-Webhook-Secret", SECRET).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(send("{".into()).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(format!("\"{}\"", "x".repeat(256 * 1024))).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send("[]".into()).await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_stop_works_through_the_queue() {
    let receiver = Receiver::start(Config { work: Duration::from_millis(20), ..Config::new(SECRET) }).await.unwrap();
    for n in 0..3 {
        assert_eq!(deliver(&receiver, Some(SECRET), &json!(n)).await, StatusCode::ACCEPTED);
    }
    let url = receiver.url();
    assert_eq!(receiver.stop().await.len(), 3);
    assert!(client().get(url).send().await.unwrap_err().is_connect());
}
