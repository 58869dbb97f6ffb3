//! Servers that answer as HTTP servers should.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orion_operator::api::{FailureClass, OWNER_HEADER, Sent, Support};
use orion_operator::orion::{ConnectionConfig, HttpOrion, Orion, RateLimit, TokenFile};
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::support::{SECRET, TOKEN, client, config, desired, fixed, with};

const ITEM: &str = "/v1alpha/webhooks/wh_1";

async fn on(server: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

async fn count(server: &MockServer, verb: &str) -> usize {
    server.received_requests().await.unwrap().iter().filter(|request| request.method.as_str() == verb).count()
}

#[tokio::test]
async fn a_create_is_what_the_api_says() {
    let server = MockServer::start().await;
    let owner = desired().owner.unwrap();
    Mock::given(method("POST"))
        .and(path("/v1alpha/webhooks/"))
        .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
        .and(header("content-type", "application/json"))
        .and(header("idempotency-key", "attempt-1"))
        .and(header("user-agent", concat!("orion-operator/", env!("CARGO_PKG_VERSION"))))
        .and(body_json(json!({
            "url": "https://hooks.example.com/orion", "user_id": "user-42", "presence_name": "job-notifications",
            "headers": [{"name": "X-Webhook-Secret", "value": SECRET}, {"name": OWNER_HEADER, "value": owner.as_str()}],
        })))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"webhook_id": 7})))
        .expect(1)
        .mount(&server)
        .await;
    let orion = with(&server.uri(), fixed(TOKEN));
    orion.prepare().await.unwrap();
    assert_eq!(orion.create(&desired(), "attempt-1").await.unwrap(), "7");
    assert_eq!(orion.endpoint().as_str(), format!("{}/v1alpha", server.uri()));
}

#[tokio::test]
async fn every_refusal_of_a_create_is_one_request() {
    for status in [400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 422, 425, 429, 500, 501, 502, 503, 504] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(status).insert_header("retry-after", "3"))
            .mount(&server)
            .await;
        let orion = with(&server.uri(), fixed(TOKEN));
        orion.prepare().await.unwrap();
        let failure = orion.create(&desired(), "attempt").await.unwrap_err();
        assert_eq!((failure.status, failure.sent, count(&server, "POST").await), (Some(status), Sent::Maybe, 1));
        let uncertain = matches!(status, 408 | 409 | 425 | 500..);
        assert_eq!(failure.is_known_refusal(), !uncertain, "{status}");
        let wait = matches!(status, 429 | 503).then_some(Duration::from_secs(3));
        assert_eq!(failure.retry_after, wait, "{status}");
    }
}

#[tokio::test]
async fn ids_are_percent_encoded_and_bad_ones_are_not_sent() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(json!({"url": "x"}))).mount(&server).await;
    let orion = client(&server.uri());
    assert_eq!(orion.get("a/b?c#d é%2f:~._-").await.unwrap().id, "a/b?c#d é%2f:~._-");
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.path(), "/v1alpha/webhooks/a%2Fb%3Fc%23d%20%C3%A9%252f%3A~._-");
    for id in ["", ".", "..", "a\r\nb", &"x".repeat(257)] {
        for failure in [orion.get(id).await.unwrap_err(), orion.delete(id).await.unwrap_err()] {
            assert_eq!((failure.sent, failure.status), (Sent::No, None));
        }
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_get_reads_the_webhook_and_no_other() {
    let server = MockServer::start().await;
    on(
        &server,
        "GET",
        ITEM,
        200,
        json!({"id": "wh_1", "url": "https://h/", "headers": [{"name": "A", "value": "***"}]}),
    )
    .await;
    on(&server, "GET", "/v1alpha/webhooks/wh_2", 200, json!({"id": "wh_1"})).await;
    on(&server, "GET", "/v1alpha/webhooks/wh_3", 200, json!({"hello": 1})).await;
    on(&server, "GET", "/v1alpha/webhooks/wh_4", 404, json!({"detail": "Not Found"})).await;
    let orion = client(&server.uri());
    let missing = orion.get("wh_4").await.unwrap_err();
    assert_eq!((missing.class, missing.json), (FailureClass::NotFound, true));
    assert_eq!(orion.capabilities().get, Support::Unknown);
    for id in ["wh_2", "wh_3"] {
        assert_eq!(orion.get(id).await.unwrap_err().class, FailureClass::Protocol);
    }
    assert_eq!(orion.capabilities().get, Support::Unknown);
    assert_eq!(orion.get("wh_1").await.unwrap().url.as_deref(), Some("https://h/"));
    assert_eq!(orion.capabilities().get, Support::Proven);
}

/// What PUT and PATCH answer, what the update makes of it, what is known then, and which requests it took.
#[tokio::test]
async fn an_update_finds_its_verb() {
    use FailureClass::{MethodNotAllowed, NotFound, Rejected, ServerError};
    use Support::{Absent, Proven, Unknown};
    for (put, patch, outcome, knows, puts, patches) in [
        (200, 405, None, (Proven, Unknown), 1, 0),
        (204, 405, None, (Proven, Unknown), 1, 0),
        (405, 200, None, (Absent, Proven), 1, 1),
        (501, 200, None, (Absent, Proven), 1, 1),
        (404, 200, None, (Absent, Proven), 1, 1),
        (405, 405, Some(MethodNotAllowed), (Absent, Absent), 1, 1),
        (404, 405, Some(NotFound), (Unknown, Absent), 1, 1),
        (405, 404, Some(NotFound), (Absent, Unknown), 1, 1),
        (404, 404, Some(NotFound), (Unknown, Unknown), 1, 1),
        (422, 200, Some(Rejected), (Unknown, Unknown), 1, 0),
        (500, 200, Some(ServerError), (Unknown, Unknown), 1, 0),
        (405, 500, Some(ServerError), (Absent, Unknown), 1, 1),
    ] {
        let server = MockServer::start().await;
        for (verb, status) in [("PUT", put), ("PATCH", patch)] {
            let answer = ResponseTemplate::new(status);
            Mock::given(method(verb)).and(path(ITEM)).respond_with(answer).mount(&server).await;
        }
        let orion = client(&server.uri());
        let class = orion.update("wh_1", &desired()).await.err().map(|failure| failure.class);
        let known = orion.capabilities();
        let took = (count(&server, "PUT").await, count(&server, "PATCH").await);
        assert_eq!((class, (known.put, known.patch), took), (outcome, knows, (puts, patches)), "{put} {patch}");
    }
}

#[tokio::test]
async fn a_proven_verb_is_used_alone_and_its_404_is_of_the_id() {
    let server = MockServer::start().await;
    on(&server, "PUT", ITEM, 405, json!({})).await;
    on(&server, "PATCH", ITEM, 200, json!({})).await;
    on(&server, "PATCH", "/v1alpha/webhooks/wh_2", 404, json!({"detail": "no such webhook"})).await;
    let orion = client(&server.uri());
    orion.update("wh_1", &desired()).await.unwrap();
    orion.update("wh_1", &desired()).await.unwrap();
    assert_eq!(orion.update("wh_2", &desired()).await.unwrap_err().class, FailureClass::NotFound);
    assert_eq!((count(&server, "PUT").await, count(&server, "PATCH").await), (1, 3));
}

#[tokio::test]
async fn a_delete_is_done_by_a_2xx_of_the_api_only() {
    let server = MockServer::start().await;
    Mock::given(path("/v1alpha/webhooks/a")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    Mock::given(path("/v1alpha/webhooks/b"))
        .respond_with(ResponseTemplate::new(200).set_body_string("<html>please log in</html>"))
        .mount(&server)
        .await;
    Mock::given(path("/v1alpha/webhooks/c")).respond_with(ResponseTemplate::new(405)).mount(&server).await;
    let orion = client(&server.uri());
    assert_eq!(orion.delete("b").await.unwrap_err().class, FailureClass::Protocol);
    assert_eq!(orion.capabilities().delete, Support::Unknown);
    orion.delete("a").await.unwrap();
    assert_eq!(orion.capabilities().delete, Support::Proven);
    assert_eq!(orion.delete("c").await.unwrap_err().class, FailureClass::MethodNotAllowed);
    assert_eq!(orion.capabilities().delete, Support::Absent);
}

#[tokio::test]
async fn the_document_is_read_once_and_answers_win_over_it() {
    let paths = json!({"openapi": "3.1.0", "paths": {
        "/v1alpha/webhooks/": {"get": {}, "post": {}},
        "/v1alpha/webhooks/{webhook_id}": {"get": {}, "put": {}, "delete": {}},
    }});
    for at in ["/openapi.json", "/v1alpha/openapi.json"] {
        let server = MockServer::start().await;
        on(&server, "GET", at, 200, paths.clone()).await;
        on(&server, "PUT", ITEM, 405, json!({})).await;
        let orion = client(&server.uri());
        let (first, second) = tokio::join!(orion.discover(), orion.discover());
        first.and(second).unwrap();
        let reads = server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count();
        assert_eq!(reads, 1);
        let known = orion.capabilities();
        let (proven, absent) = (Support::Proven, Support::Absent);
        assert_eq!(
            (known.list, known.get, known.put, known.patch, known.delete),
            (proven, proven, proven, absent, proven)
        );
        assert_eq!(orion.update("wh_1", &desired()).await.unwrap_err().class, FailureClass::MethodNotAllowed);
        assert_eq!(orion.capabilities().put, absent);
    }
}

#[tokio::test]
async fn without_a_document_nothing_is_tried_out() {
    let server = MockServer::start().await;
    on(&server, "GET", "/openapi.json", 200, json!({"paths": {"/v1alpha/jobs/": {"get": {}}}})).await;
    let orion = client(&server.uri());
    orion.discover().await.unwrap();
    assert_eq!(orion.capabilities(), orion_operator::api::Capabilities::default());
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.url.path().ends_with("/openapi.json")));
}

#[tokio::test]
async fn a_refused_token_is_read_again_and_the_call_repeated_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let server = MockServer::start().await;
    let rotated = file.path().to_owned();
    Mock::given(header("authorization", "Bearer old"))
        .respond_with(move |_: &Request| {
            std::fs::write(&rotated, "new").unwrap();
            ResponseTemplate::new(401)
        })
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer new")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let orion = with(&server.uri(), TokenFile::new(file.path()));
    assert_eq!(orion.credentials_epoch().await, 0);
    orion.delete("wh_1").await.unwrap();
    assert_eq!(orion.credentials_epoch().await, 1);
    assert_eq!(count(&server, "DELETE").await, 2);

    std::fs::write(file.path(), "old").unwrap();
    orion.prepare().await.unwrap();
    let refused = orion.create(&desired(), "attempt").await.unwrap_err();
    assert_eq!((refused.class, count(&server, "POST").await), (FailureClass::Unauthorized, 1));
    orion.prepare().await.unwrap();
    // Authorized now: what is missing is the id.
    assert_eq!(orion.create(&desired(), "attempt").await.unwrap_err().class, FailureClass::Protocol);
}

#[tokio::test]
async fn a_token_that_stays_refused_is_not_tried_again() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(401)).mount(&server).await;
    let orion = with(&server.uri(), fixed(TOKEN));
    assert_eq!(orion.list().await.unwrap_err().class, FailureClass::Unauthorized);
    assert_eq!(client(&server.uri()).get("wh_1").await.unwrap_err().class, FailureClass::Unauthorized);
    assert_eq!(count(&server, "GET").await, 2);
}

#[tokio::test]
async fn no_token_means_no_call() {
    let server = MockServer::start().await;
    let orion = with(&server.uri(), TokenFile::new("/nonexistent/token"));
    for failure in [
        orion.prepare().await.unwrap_err(),
        orion.create(&desired(), "attempt").await.unwrap_err(),
        orion.get("wh_1").await.unwrap_err(),
    ] {
        assert_eq!((failure.class, failure.sent), (FailureClass::Unauthorized, Sent::No));
        assert!(failure.message.contains("--orion-token-file"), "{failure:?}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_rate_limit_holds_for_everything_but_a_prepared_create() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let limit = |n: u32| n.try_into().unwrap();
    let orion = HttpOrion::new(ConnectionConfig {
        rate_limit: Some(RateLimit { requests_per_second: limit(5), burst: limit(1) }),
        ..config(&server.uri())
    })
    .unwrap();
    let orion = Arc::new(orion);
    let begun = Instant::now();
    orion.prepare().await.unwrap();
    let failure = orion.create(&desired(), "attempt").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol);
    orion.delete("wh_1").await.unwrap();
    orion.delete("wh_1").await.unwrap();
    // Three permits at 5 a second, the first of them at once; the create itself took none.
    assert!(begun.elapsed() >= Duration::from_millis(390), "{:?}", begun.elapsed());
}
