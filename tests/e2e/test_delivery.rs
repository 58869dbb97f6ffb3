//! `orion-operator test-delivery`, against a receiver of ours and some that are not as they should be.

use std::process::Output;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use receiver::{Config, Receiver};
use serde_json::{Value, json};

use super::world::{World, forms, run, spec};

const SECRET: &str = "s3cret-of-the-receiver-7f2a";

async fn test_delivery(world: &World, name: &str, more: &[&str]) -> Output {
    let webhook = format!("{}/{name}", world.namespace);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
    command.args(["test-delivery", &webhook, "--kubeconfig", world.kubeconfig.to_str().unwrap()]).args(more);
    command.output().await.unwrap()
}

/// A Webhook with a secret header, to this url.
async fn declare(world: &World, name: &str, url: &str) {
    let mut declared = spec(name);
    declared["url"] = json!(url);
    declared["headers"] = json!([
        {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook", "key": "token"}}},
        {"name": "X-Team", "value": "data"},
    ]);
    world.create(name, declared).await;
}

/// A receiver that answers with what `answer` makes of the headers.
async fn serve(answer: fn(HeaderMap) -> StatusCode) -> String {
    let router = Router::new().fallback(post(async move |headers: HeaderMap| answer(headers)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/t0p-path", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn tells_no_secret(output: &Output) {
    for form in forms(SECRET).iter().map(String::as_str).chain(["t0p-path"]) {
        assert!(!text(output).contains(form), "{form} is told: {}", text(output));
    }
}

#[test]
fn a_good_receiver_passes() {
    run(async |world| {
        world.secret("hook", json!({"token": SECRET})).await;
        let receiver = Receiver::start(Config::new(SECRET)).await.unwrap();
        declare(&world, "good", &format!("{}t0p-path", receiver.url())).await;
        let output = test_delivery(&world, "good", &[]).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let told = text(&output);
        assert!(told.contains("With the declared headers: 202") && told.contains("A sample event"), "{told}");
        assert!(told.contains("With a wrong value of X-Webhook-Secret: 401"), "{told}");
        tells_no_secret(&output);

        let json = test_delivery(&world, "good", &["--output", "json"]).await;
        let found: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&found["ok"], &found["host"]), (&json!(true), &json!("127.0.0.1")), "{found}");
        let statuses: Vec<_> = found["deliveries"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
        assert_eq!(statuses, [json!(202), json!(401)]);
        tells_no_secret(&json);

        let events = receiver.stop().await;
        assert_eq!(events.len(), 2, "only what had the right secret was taken");
        assert!(events.iter().all(|event| event.payload["sample"] == true && event.payload["presence_name"] == "good"));
    });
}

#[test]
fn what_is_wrong_with_a_receiver_is_told() {
    run(async |world| {
        world.secret("hook", json!({"token": SECRET})).await;
        let slow = async |_: HeaderMap| {
            tokio::time::sleep(Duration::from_secs(30)).await;
            StatusCode::OK
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow_url = format!("http://{}/t0p-path", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(post(slow))).await });
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for (name, url, words) in [
            ("open", serve(|_| StatusCode::OK).await, "Anybody can send it events"),
            ("shut", serve(|_| StatusCode::UNAUTHORIZED).await, "does not take the declared secret"),
            ("moved", serve(|_| StatusCode::PERMANENT_REDIRECT).await, "That is a redirect"),
            ("broken", serve(|_| StatusCode::BAD_GATEWAY).await, "Orion needs a 2xx"),
            ("slow", slow_url, "no answer: not within 5 s"),
            ("gone", format!("http://{free}/t0p-path"), "the host cannot be connected to"),
        ] {
            declare(&world, name, &url).await;
            let output = test_delivery(&world, name, &[]).await;
            assert_eq!(output.status.code(), Some(1), "{name}: {}", text(&output));
            assert!(text(&output).contains(words), "{name}: {}", text(&output));
            tells_no_secret(&output);
        }
    });
}

#[test]
fn what_is_missing_is_told() {
    run(async |world| {
        declare(&world, "hook", "http://127.0.0.1:1/").await;
        for (name, words) in [("hook", "There is no Secret hook"), ("nobody", "there is no Webhook nobody")] {
            let output = test_delivery(&world, name, &[]).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output).contains(words), "{}", text(&output));
        }
        let usage = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"))
            .args(["test-delivery", "hook"])
            .output()
            .await
            .unwrap();
        assert_eq!(usage.status.code(), Some(2), "{}", text(&usage));
    });
}
