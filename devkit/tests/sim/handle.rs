//! The admin API and the handle.

use std::time::{Duration, Instant};

use devkit::sim::{Action, Fault, Operation, StoredWebhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, answer, eventually, webhook};

#[tokio::test]
async fn the_admin_api_does_what_the_handle_does() {
    let bench = Bench::new(|_| {}).await;
    let (status, config) = bench.admin(Method::PUT, "/config", json!({"list_shape": "array", "get": false})).await;
    assert_eq!((status, &config["list_shape"], &config["put"]), (200, &json!("array"), &json!(true)));
    assert_eq!(bench.admin(Method::PUT, "/config", json!({"no_such": 1})).await.0, 400);
    assert!(bench.get("/webhooks/").await.1.is_array());

    let faults = [
        json!({"match": {"operation": "create"}, "action": {"latency_ms": 1}, "times": "forever"}),
        json!({"match": {"path": "^/v1"}, "action": {"status": {"code": 429, "retry_after": "1"}}, "times": 1}),
        json!({"match": {"method": "POST", "presence_name": "p"}, "action": "lost_answer"}),
        json!({"action": {"redirect": {"location": "/x"}}, "times": 3}),
        json!({"action": {"answer": {"status": 200, "body": "[]"}}}),
    ];
    for fault in faults {
        assert_eq!(bench.admin(Method::POST, "/faults", fault).await.0, 201);
    }
    assert_eq!(bench.admin(Method::POST, "/faults", json!({"action": "no_such"})).await.0, 400);
    assert_eq!(answer(bench.create()).await.0, 429);
    assert_eq!(bench.admin(Method::GET, "/faults", Value::Null).await.1.as_array().unwrap().len(), 4);
    assert_eq!(bench.admin(Method::DELETE, "/faults", Value::Null).await.0, 204);

    let (status, made) = bench.admin(Method::POST, "/webhooks", webhook()).await;
    assert_eq!((status, &made["headers"][0]["value"]), (201, &json!("s3cret")));
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let (_, edited) = bench.admin(Method::PUT, &path, json!({"url": "https://b.example/", "id": "x"})).await;
    assert_eq!((&edited["url"], &edited["id"]), (&json!("https://b.example/"), &made["id"]));
    assert_eq!(bench.admin(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(bench.admin(Method::DELETE, &path, Value::Null).await.0, 404);
    let (_, token) = bench.admin(Method::POST, "/tokens", json!({"lifetime_ms": 60_000})).await;
    let list = bench
        .http
        .get(format!("{}/webhooks/", bench.sim.endpoint()))
        .bearer_auth(token["access_token"].as_str().unwrap());
    assert_eq!(answer(list.try_clone().unwrap()).await.0, 200);
    assert_eq!(bench.admin(Method::DELETE, "/tokens", Value::Null).await.0, 204);
    assert_eq!(answer(list).await.0, 401);
    // Nothing of all this is a request to Orion.
    assert_eq!(bench.sim.requests().len(), 4);
}

#[tokio::test]
async fn out_of_band_changes_by_the_handle() {
    let bench = Bench::new(|_| {}).await;
    let id = bench.sim.insert(StoredWebhook::new("https://a.example/", "u", "p").header("X-A", "1"));
    assert!(bench.sim.edit(&id, |webhook| webhook.headers.clear()));
    assert!(bench.sim.webhook(&id).unwrap().headers.is_empty());
    assert!(!bench.sim.edit("none", |_| {}));
    assert_eq!(bench.sim.remove(&id).unwrap().presence_name, "p");
    assert!(bench.sim.remove(&id).is_none());
    let mut named = StoredWebhook::new("https://a.example/", "u", "p");
    named.id = "wh_000002".into();
    bench.sim.insert(named);
    assert_eq!(answer(bench.create()).await.1["id"], "wh_000003");
}

#[tokio::test]
async fn stop_refuses_and_restart_remembers() {
    let bench = Bench::new(|_| {}).await;
    bench.fill(1);
    let url = bench.sim.url();
    for _ in 0..3 {
        assert_eq!(bench.get("/webhooks/").await.0, 200);
        bench.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(60_000)).once());
        let slow = tokio::spawn(bench.create().send());
        eventually("the request is there", || bench.sim.faults().is_empty()).await;
        bench.sim.stop().await.unwrap();
        assert!(slow.await.unwrap().is_err());
        let refused = bench.call(Method::GET, "/webhooks/").send().await.unwrap_err();
        assert!(refused.is_connect(), "{refused:?}");
        bench.sim.stop().await.unwrap();
        bench.sim.restart().await.unwrap();
        assert_eq!(bench.sim.url(), url);
    }
    assert_eq!(bench.sim.webhooks().len(), 1);
    let (http, sim) = (bench.http, bench.sim);
    drop(sim);
    let deadline = Instant::now() + Duration::from_secs(10);
    while http.get(&url).send().await.is_ok() {
        assert!(Instant::now() < deadline, "still open");
    }
}
