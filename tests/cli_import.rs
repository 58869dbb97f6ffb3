//! `orion-operator import` at an Orion whose list shows ids only, without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Output;

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn answers(server: &MockServer, at: &str, answer: Value) {
    let answer = ResponseTemplate::new(200).set_body_json(answer);
    let asked = Mock::given(method("GET")).and(path(at)).and(header("authorization", "Bearer t0ken"));
    asked.respond_with(answer).mount(server).await;
}

async fn import(server: &MockServer, more: &[&str]) -> Output {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken").unwrap();
    tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"))
        .args(["import", "--orion-url", &server.uri(), "--orion-token-file", token.path().to_str().unwrap()])
        .args(["--kubeconfig", "/nowhere/kubeconfig", "--orion-rate-limit", "0"])
        .args(more)
        .output()
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn what_the_list_does_not_show_is_read_one_by_one() {
    let server = MockServer::start().await;
    let ids: Vec<Value> = (0..120).map(|number| json!({"id": format!("wh_{number}")})).collect();
    answers(&server, "/v1alpha/webhooks/", json!({"items": ids, "total": 120})).await;
    // The last one has gone meanwhile.
    for number in 0..119 {
        let shown = json!({
            "id": format!("wh_{number}"), "url": "https://hooks.example.com/", "user_id": number, "presence_name": "jobs",
            "headers": {"X-Webhook-Secret": "s3cret", "X-Team": "data"},
        });
        answers(&server, &format!("/v1alpha/webhooks/wh_{number}"), shown).await;
    }
    let output = import(&server, &["--no-secrets"]).await;
    let (manifests, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{progress}");
    assert_eq!(manifests.matches("kind: Webhook").count(), 119);
    assert!(manifests.contains("userId: \"7\"") && !manifests.contains("s3cret"), "{manifests}");
    assert!(manifests.contains("# Left out: wh_119: Orion does not show all of its fields"), "{manifests}");
    for words in
        ["120 webhooks are there", "50 of 120 read", "100 of 120 read", "119 Webhooks and 0 Secrets", "1 left out"]
    {
        assert!(progress.contains(words), "{words}: {progress}");
    }
    let again = import(&server, &["--no-secrets"]).await;
    assert!(again.stdout == output.stdout);
    assert!(server.received_requests().await.unwrap().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn whose_webhooks_are_whose_must_be_known_to_take_them_by_force() {
    let server = MockServer::start().await;
    answers(&server, "/v1alpha/webhooks/", json!([])).await;
    let output = import(&server, &["--all"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("give --instance-id"), "{}", text(&output.stderr));
    for more in [&["--all", "--instance-id", "this one"][..], &[]] {
        let output = import(&server, more).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(import(&server, &["--namespace", "Team_A"]).await.status.code(), Some(2));
    assert_eq!(import(&server, &["--output-file", "a", "--kustomize", "b"]).await.status.code(), Some(2));
}
