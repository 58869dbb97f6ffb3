//! Login, the life of a webhook, wrong input, the log.

use std::time::Duration;

use devkit::sim::{Action, Answered, CreateAnswer, Fault, IdFormat, Operation, TokenFormat};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, answer, read, webhook};

#[tokio::test]
async fn login_gives_tokens_that_expire() {
    let bench = Bench::new(|config| config.expires_in = true).await;
    let login = |password: &'static str| {
        let form = [("username", "demo"), ("password", password), ("scope", "analyst")];
        bench.http.post(format!("{}/auth/login", bench.sim.endpoint())).form(&form)
    };
    let list = |token: String| bench.http.get(format!("{}/webhooks/", bench.sim.endpoint())).bearer_auth(token);

    let (status, body) = answer(login("demo-password")).await;
    assert_eq!((status, &body["token_type"], &body["expires_in"]), (200, &json!("bearer"), &json!(3600)));
    let token = body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(answer(list(token.clone())).await.0, 200);

    bench.sim.config(|config| {
        config.token_lifetime_ms = 0;
        config.token_format = TokenFormat::Opaque;
        config.expires_in = false;
    });
    let (_, body) = answer(login("demo-password")).await;
    assert!(body.get("expires_in").is_none());
    let expired = body["access_token"].as_str().unwrap().to_owned();
    assert!(!expired.contains('.'));
    assert_eq!(answer(list(expired)).await, (401, json!({"detail": "Could not validate credentials"})));

    bench.sim.revoke_tokens();
    assert_eq!(answer(list(token)).await.0, 401);
    assert_eq!(answer(list(bench.sim.issue_token(Duration::from_secs(60)))).await.0, 200);

    assert_eq!(answer(login("wrong")).await, (401, json!({"detail": "Incorrect username or password"})));
    let (status, body) = answer(bench.http.post(format!("{}/auth/login", bench.sim.endpoint())).json(&json!({}))).await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["body", "username"])));
    let logged = serde_json::to_string(&bench.sim.requests()).unwrap();
    assert!(!logged.contains("demo-password") && logged.contains("analyst"), "{logged}");
}

#[tokio::test]
async fn requests_need_a_good_token() {
    let bench = Bench::new(|_| {}).await;
    let bare = bench.http.get(format!("{}/webhooks/", bench.sim.endpoint()));
    let response = bare.send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(read(response).await, (401, json!({"detail": "Not authenticated"})));
    assert_eq!(bench.get("/webhooks/").await.0, 200);
    bench.sim.revoke_tokens();
    assert_eq!(bench.get("/webhooks/").await.0, 401);
    bench.sim.config(|config| config.static_tokens.push("new".into()));
    let with_new = bench.http.get(format!("{}/webhooks/", bench.sim.endpoint())).bearer_auth("new");
    assert_eq!(answer(with_new).await.0, 200);
}

#[tokio::test]
async fn a_webhook_lives_and_dies() {
    let bench = Bench::new(|_| {}).await;
    let (status, created) = answer(bench.create()).await;
    assert_eq!((status, &created["id"]), (201, &json!("wh_000001")));
    assert_eq!(created["headers"], webhook()["headers"]);
    let path = "/webhooks/wh_000001";
    assert_eq!(bench.get(path).await, (200, created.clone()));

    let mut changed = webhook();
    changed["url"] = json!("https://other.example/");
    changed.as_object_mut().unwrap().remove("headers");
    let (status, updated) = answer(bench.call(Method::PUT, path).json(&changed)).await;
    assert_eq!((status, &updated["url"], &updated["headers"]), (200, &changed["url"], &json!([])));
    assert_eq!(updated["created_at"], created["created_at"]);

    let patch = bench.call(Method::PATCH, path).json(&json!({"presence_name": "new"}));
    let (status, patched) = answer(patch).await;
    assert_eq!((status, &patched["presence_name"], &patched["url"]), (200, &json!("new"), &changed["url"]));

    assert_eq!(answer(bench.call(Method::DELETE, path)).await.0, 204);
    let gone = (404, json!({"detail": "Webhook not found"}));
    assert_eq!(bench.get(path).await, gone);
    assert_eq!(answer(bench.call(Method::DELETE, path)).await, gone);
    bench.sim.config(|config| config.delete_status = 200);
    answer(bench.create()).await;
    assert_eq!(answer(bench.call(Method::DELETE, "/webhooks/wh_000002")).await, (200, json!({"detail": "deleted"})));
}

#[tokio::test]
async fn a_create_answers_in_four_ways() {
    let bench = Bench::new(|config| config.create_status = 200).await;
    assert_eq!(answer(bench.create()).await.0, 200);

    bench.sim.config(|config| config.create_answer = CreateAnswer::ObjectWebhookId);
    let (_, body) = answer(bench.create()).await;
    assert_eq!((&body["webhook_id"], body.get("id")), (&json!("wh_000002"), None));

    bench.sim.config(|config| config.create_answer = CreateAnswer::Bare);
    assert_eq!(answer(bench.create()).await.1, json!("wh_000003"));

    bench.sim.config(|config| config.id_format = IdFormat::Number);
    assert_eq!(answer(bench.create()).await.1, json!(4));
    assert_eq!(bench.get("/webhooks/4").await.1["id"], json!(4));

    bench.sim.config(|config| {
        config.id_format = IdFormat::Random;
        config.create_answer = CreateAnswer::ObjectId;
    });
    let (_, body) = answer(bench.create()).await;
    assert_eq!(body["id"].as_str().unwrap().len(), "wh_0123456789abcdef".len());
}

#[tokio::test]
async fn what_is_wrong_is_echoed_as_fastapi_does() {
    let bench = Bench::new(|_| {}).await;
    let post = |body: Value| answer(bench.call(Method::POST, "/webhooks/").json(&body));
    let (status, body) = post(json!({"url": "no url", "headers": [{"name": "X-A", "value": 7}], "user_id": "u"})).await;
    assert_eq!(status, 422);
    let problems = body["detail"].as_array().unwrap();
    let kinds: Vec<_> = problems.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["missing", "url_parsing", "string_type"]);
    assert_eq!(problems[1]["input"], "no url");
    assert_eq!(problems[2]["loc"], json!(["body", "headers", 0, "value"]));
    assert_eq!(post(json!([])).await.1["detail"][0]["type"], "model_attributes_type");

    let broken = bench.call(Method::POST, "/webhooks/").header("content-type", "application/json").body("{");
    assert_eq!(answer(broken).await.1["detail"][0]["type"], "json_invalid");
    let plain = bench.call(Method::POST, "/webhooks/").body(webhook().to_string());
    assert_eq!(answer(plain).await.1["detail"][0]["type"], "model_attributes_type");
    assert_eq!(answer(bench.call(Method::POST, "/webhooks/")).await.1["detail"][0]["type"], "missing");
    assert!(bench.sim.webhooks().is_empty());
}

#[tokio::test]
async fn idempotency_keys_are_honoured_only_when_asked_for() {
    let bench = Bench::new(|_| {}).await;
    let create = || answer(bench.create().header("Idempotency-Key", "k1"));
    assert_ne!(create().await.1["id"], create().await.1["id"]);
    bench.sim.config(|config| config.idempotency = true);
    assert_eq!(create().await.1["id"], create().await.1["id"]);
    assert_eq!(bench.sim.webhooks().len(), 3);
    let log = bench.sim.requests();
    assert!(log.iter().all(|record| record.headers["idempotency-key"] == "k1"));
    assert_eq!(log[0].headers["authorization"], "Bearer …");
}

#[tokio::test]
async fn the_log_is_exact() {
    let bench = Bench::new(|_| {}).await;
    answer(bench.create()).await;
    bench.get("/webhooks/?limit=1").await;
    bench.sim.add_fault(Fault::on(Operation::Get, Action::LostAnswer));
    assert!(bench.call(Method::GET, "/webhooks/wh_000001").send().await.is_err());
    let log = bench.sim.requests();
    let told: Vec<_> = log.iter().map(|it| (it.operation, it.path.as_str(), it.status)).collect();
    assert_eq!(
        told,
        [
            (Operation::Create, "/v1alpha/webhooks/", Answered::Status(201)),
            (Operation::List, "/v1alpha/webhooks/?limit=1", Answered::Status(200)),
            (Operation::Get, "/v1alpha/webhooks/wh_000001", Answered::Lost),
        ]
    );
    assert_eq!(log[0].body, Some(webhook()));
    let (_, shown) = bench.admin(Method::GET, "/requests", Value::Null).await;
    assert_eq!((&shown[0]["status"], &shown[2]["status"]), (&json!(201), &json!("lost")));
    let (_, counts) = bench.admin(Method::GET, "/requests/counts", Value::Null).await;
    assert_eq!(counts, json!({"create": 1, "list": 1, "get": 1}));
    bench.admin(Method::DELETE, "/requests", Value::Null).await;
    assert!(bench.sim.requests().is_empty());
}
