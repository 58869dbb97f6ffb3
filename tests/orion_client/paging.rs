//! Lists as servers may give them. What decides is tested in the unit tests of `paging`; this is the way over HTTP.

use std::collections::HashMap;

use orion_operator::api::{FailureClass, Support};
use orion_operator::orion::Orion;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::support::client;

/// A list that answers as `respond` says for the query of each request.
async fn list(respond: impl Fn(&HashMap<String, usize>) -> (u16, Value) + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/v1alpha/webhooks/"))
        .respond_with(move |request: &Request| {
            let query =
                request.url.query_pairs().map(|(name, value)| (name.into_owned(), value.parse().unwrap())).collect();
            let (status, body) = respond(&query);
            ResponseTemplate::new(status).set_body_json(body)
        })
        .mount(&server)
        .await;
    server
}

fn ids(count: usize, offset: usize, limit: usize) -> Vec<Value> {
    (0..count).skip(offset).take(limit).map(|id| json!({"id": format!("wh_{id}"), "more": {"deep": [1]}})).collect()
}

async fn calls(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn both_shapes_are_read_whole_also_from_a_server_that_clamps() {
    for clamp in [20, 100] {
        for wrapped in [false, true] {
            let server = list(move |query| {
                let items = ids(250, query["offset"], query["limit"].min(clamp));
                (200, if wrapped { json!({"items": items, "total": 250}) } else { json!(items) })
            })
            .await;
            let orion = client(&server.uri());
            let listing = orion.list().await.unwrap();
            assert_eq!((listing.webhooks.len(), listing.flaw), (250, None));
            assert_eq!(listing.webhooks[249].id, "wh_249");
            assert_eq!(orion.capabilities().list, Support::Proven);
        }
    }
}

#[tokio::test]
async fn a_server_without_paging_is_asked_once_the_next_time() {
    let server = list(|_| (200, json!(ids(7, 0, 7)))).await;
    let orion = client(&server.uri());
    for expected in [3, 4] {
        let listing = orion.list().await.unwrap();
        assert_eq!((listing.webhooks.len(), listing.flaw, calls(&server).await), (7, None, expected));
    }
}

#[tokio::test]
async fn a_total_that_lies_is_a_flaw() {
    let server = list(|query| (200, json!({"items": ids(3, query["offset"], 100), "total": 9}))).await;
    let listing = client(&server.uri()).list().await.unwrap();
    assert!(listing.flaw.unwrap().contains("its total is not"));
    assert_eq!(listing.webhooks.len(), 3);
}

#[tokio::test]
async fn a_limit_that_is_refused_is_left_out() {
    let server =
        list(
            |query| {
                if query.contains_key("limit") { (422, json!({})) } else { (200, json!(ids(30, query["offset"], 20))) }
            },
        )
        .await;
    let orion = client(&server.uri());
    for _ in 0..2 {
        let listing = orion.list().await.unwrap();
        assert_eq!((listing.webhooks.len(), listing.flaw), (30, None));
    }
    // 1 refused, then pages of 20 and 10; the second list needs no more than its two pages.
    assert_eq!(calls(&server).await, 5);
}

#[tokio::test]
async fn no_list_is_learned_and_a_passing_404_is_not() {
    let server = list(|_| (404, json!({"detail": "Not Found"}))).await;
    let orion = client(&server.uri());
    assert_eq!(orion.list().await.unwrap_err().class, FailureClass::NotFound);
    assert_eq!(orion.capabilities().list, Support::Absent);
    server.reset().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(json!([]))).mount(&server).await;
    orion.list().await.unwrap();
    server.reset().await;
    orion.list().await.unwrap_err();
    assert_eq!(orion.capabilities().list, Support::Proven);
}

#[tokio::test]
async fn a_failure_on_a_later_page_fails_the_list() {
    let server =
        list(|query| if query["offset"] == 0 { (200, json!(ids(100, 0, 100))) } else { (500, json!({})) }).await;
    assert_eq!(client(&server.uri()).list().await.unwrap_err().class, FailureClass::ServerError);
}
