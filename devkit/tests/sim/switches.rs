//! The switches that change which routes there are and how answers look.

use devkit::sim::{HeaderValues, ListShape, OpenApi, Operation};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::{Bench, OWNER, answer, ids, read, webhook};

#[tokio::test]
async fn lists_come_in_pages_of_two_shapes() {
    let bench = Bench::new(|config| config.max_page_size = 2).await;
    bench.fill(5);
    let (_, page) = bench.get("/webhooks/?limit=50&offset=1").await;
    assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&json!(5), &json!(2), &json!(1)));
    assert_eq!(ids(&page), ["wh_000002", "wh_000003"]);
    assert_eq!(ids(&bench.get("/webhooks/?limit=1&offset=4").await.1), ["wh_000005"]);
    assert!(ids(&bench.get("/webhooks/?offset=5").await.1).is_empty());

    bench.sim.config(|config| config.list_shape = ListShape::Array);
    let (_, list) = bench.get("/webhooks/").await;
    assert!(list.is_array());
    assert_eq!(ids(&list), ["wh_000001", "wh_000002"]);

    let (status, body) = bench.get("/webhooks/?limit=0&offset=x").await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["query", "limit"])));
    assert_eq!((&body["detail"][1]["type"], &body["detail"][1]["input"]), (&json!("int_parsing"), &json!("x")));
}

#[tokio::test]
async fn methods_can_be_switched_off() {
    let bench = Bench::new(|config| config.get = false).await;
    bench.fill(1);
    let path = "/webhooks/wh_000001";
    let response = bench.call(Method::GET, path).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "PUT, PATCH, DELETE");
    assert_eq!(read(response).await, (405, json!({"detail": "Method Not Allowed"})));

    bench.sim.config(|config| {
        config.put = false;
        config.patch = false;
        config.delete = false;
        config.list = false;
    });
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(answer(bench.call(method, path)).await, (404, json!({"detail": "Not Found"})));
    }
    let response = bench.call(Method::GET, "/webhooks/").send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    assert_eq!(bench.get("/nonsense").await, (404, json!({"detail": "Not Found"})));
    assert_eq!(bench.sim.webhooks().len(), 1);
}

#[tokio::test]
async fn the_other_slash_redirects() {
    let bench = Bench::new(|_| {}).await;
    let location = |response: Response| {
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        response.headers()["location"].to_str().unwrap().to_owned()
    };
    let to = location(bench.call(Method::POST, "/webhooks").json(&webhook()).send().await.unwrap());
    assert_eq!(to, format!("{}/webhooks/", bench.sim.endpoint()));
    let to = location(bench.call(Method::GET, "/webhooks/a/?x=1").send().await.unwrap());
    assert_eq!(to, format!("{}/webhooks/a?x=1", bench.sim.endpoint()));
    assert!(bench.sim.webhooks().is_empty());
}

#[tokio::test]
async fn header_values_are_masked_or_headers_forgotten() {
    let bench = Bench::new(|config| config.header_values = HeaderValues::Masked).await;
    let (_, body) = answer(bench.create()).await;
    assert_eq!(body["headers"][0], json!({"name": "X-Webhook-Secret", "value": "***"}));
    assert_eq!(bench.sim.webhooks()[0].header_value("x-webhook-secret"), Some("s3cret"));

    bench.sim.config(|config| config.strip_unknown_headers = true);
    answer(bench.create()).await;
    assert_eq!(bench.sim.webhooks()[1].header_value(OWNER), None);
    assert_eq!(bench.sim.webhooks()[1].headers.len(), 1);

    bench.sim.config(|config| config.normalise_urls = true);
    let mut body = webhook();
    body["url"] = json!("https://Hooks.example.com");
    let (_, body) = answer(bench.call(Method::POST, "/webhooks/").json(&body)).await;
    assert_eq!(body["url"], "https://hooks.example.com/");
}

#[tokio::test]
async fn the_openapi_document_tells_the_truth() {
    let bench = Bench::new(|config| config.patch = false).await;
    let document = |path: String| answer(bench.http.get(format!("{}{path}", bench.sim.url())));
    let (status, body) = document("/openapi.json".into()).await;
    assert_eq!(status, 200);
    let item = &body["paths"]["/v1alpha/webhooks/{webhook_id}"];
    assert!(item.get("put").is_some() && item.get("patch").is_none(), "{body}");
    assert!(body["paths"]["/v1alpha/webhooks/"].get("get").is_some());
    assert_eq!(document("/v1alpha/openapi.json".into()).await.0, 404);

    bench.sim.config(|config| config.openapi = OpenApi::Prefix);
    assert_eq!(document("/openapi.json".into()).await.0, 404);
    let (_, body) = document("/v1alpha/openapi.json".into()).await;
    assert!(body["paths"].get("/v1alpha/webhooks/").is_some());

    bench.sim.config(|config| config.openapi = OpenApi::Mounted);
    let (_, body) = document("/v1alpha/openapi.json".into()).await;
    assert!(body["paths"].get("/webhooks/").is_some());
    assert_eq!(body["servers"], json!([{"url": "/v1alpha"}]));

    bench.sim.config(|config| config.openapi = OpenApi::Off);
    assert_eq!(document("/v1alpha/openapi.json".into()).await.0, 404);
    assert_eq!(bench.sim.count(Operation::Openapi), 6);
}

#[tokio::test]
async fn the_prefix_can_be_another() {
    let bench = Bench::new(|config| config.prefix = "/api/".into()).await;
    assert!(bench.sim.endpoint().ends_with("/api"));
    assert_eq!(answer(bench.create()).await.0, 201);
    assert_eq!(answer(bench.http.post(format!("{}/v1alpha/webhooks/", bench.sim.url()))).await.0, 404);
}
