//! The simulator does what it says: every switch, every fault, deliveries.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::HeaderMap};
use devkit::sim::{
    Action, Answered, BodyKind, Config, CreateAnswer, ErrorAnswer, Fault, HeaderValues, IdFormat,
    ListShape, Match, OpenApi, Operation, Pattern, Sim, StoredWebhook, TokenFormat,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
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
        let mut config = Config {
            static_tokens: vec![TOKEN.into()],
            ..Config::default()
        };
        change(&mut config);
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            sim: Sim::start(config).await.unwrap(),
            http,
        }
    }

    /// A request with the token to a path under the prefix.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.sim.endpoint()))
            .bearer_auth(TOKEN)
    }

    fn create(&self) -> RequestBuilder {
        self.call(Method::POST, "/webhooks/").json(&webhook())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::GET, path)).await
    }

    /// A request to the admin API.
    async fn admin(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self
            .http
            .request(method, format!("{}/_sim{path}", self.sim.url()));
        answer(if body.is_null() {
            request
        } else {
            request.json(&body)
        })
        .await
    }

    /// As many webhooks as asked for.
    fn fill(&self, count: usize) {
        for _ in 0..count {
            self.sim
                .insert(StoredWebhook::new("https://a.example/", "u", "p"));
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
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
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
    let items = list
        .as_array()
        .or_else(|| list["items"].as_array())
        .unwrap();
    items
        .iter()
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn login_gives_tokens_that_expire() {
    let bench = Bench::new(|config| config.expires_in = true).await;
    let login = |password: &'static str| {
        let form = [
            ("username", "demo"),
            ("password", password),
            ("scope", "analyst"),
        ];
        bench
            .http
            .post(format!("{}/auth/login", bench.sim.endpoint()))
            .form(&form)
    };
    let list = |token: String| {
        bench
            .http
            .get(format!("{}/webhooks/", bench.sim.endpoint()))
            .bearer_auth(token)
    };

    let (status, body) = answer(login("demo-password")).await;
    assert_eq!(
        (status, &body["token_type"], &body["expires_in"]),
        (200, &json!("bearer"), &json!(3600))
    );
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
    assert_eq!(
        answer(list(expired)).await,
        (401, json!({"detail": "Could not validate credentials"}))
    );

    bench.sim.revoke_tokens();
    assert_eq!(answer(list(token)).await.0, 401);
    assert_eq!(
        answer(list(bench.sim.issue_token(Duration::from_secs(60))))
            .await
            .0,
        200
    );

    assert_eq!(
        answer(login("wrong")).await,
        (401, json!({"detail": "Incorrect username or password"}))
    );
    let (status, body) = answer(
        bench
            .http
            .post(format!("{}/auth/login", bench.sim.endpoint()))
            .json(&json!({})),
    )
    .await;
    assert_eq!(
        (status, &body["detail"][0]["loc"]),
        (422, &json!(["body", "username"]))
    );
    let logged = serde_json::to_string(&bench.sim.requests()).unwrap();
    assert!(
        !logged.contains("demo-password") && logged.contains("analyst"),
        "{logged}"
    );
}

#[tokio::test]
async fn requests_need_a_good_token() {
    let bench = Bench::new(|_| {}).await;
    let bare = bench
        .http
        .get(format!("{}/webhooks/", bench.sim.endpoint()));
    let response = bare.send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        read(response).await,
        (401, json!({"detail": "Not authenticated"}))
    );
    assert_eq!(bench.get("/webhooks/").await.0, 200);
    bench.sim.revoke_tokens();
    assert_eq!(bench.get("/webhooks/").await.0, 401);
    bench
        .sim
        .config(|config| config.static_tokens.push("new".into()));
    let with_new = bench
        .http
        .get(format!("{}/webhooks/", bench.sim.endpoint()))
        .bearer_auth("new");
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
    assert_eq!(
        (status, &updated["url"], &updated["headers"]),
        (200, &changed["url"], &json!([]))
    );
    assert_eq!(updated["created_at"], created["created_at"]);

    let patch = bench
        .call(Method::PATCH, path)
        .json(&json!({"presence_name": "new"}));
    let (status, patched) = answer(patch).await;
    assert_eq!(
        (status, &patched["presence_name"], &patched["url"]),
        (200, &json!("new"), &changed["url"])
    );

    assert_eq!(answer(bench.call(Method::DELETE, path)).await.0, 204);
    let gone = (404, json!({"detail": "Webhook not found"}));
    assert_eq!(bench.get(path).await, gone);
    assert_eq!(answer(bench.call(Method::DELETE, path)).await, gone);
    bench.sim.config(|config| config.delete_status = 200);
    answer(bench.create()).await;
    assert_eq!(
        answer(bench.call(Method::DELETE, "/webhooks/wh_000002")).await,
        (200, json!({"detail": "deleted"}))
    );
}

#[tokio::test]
async fn a_create_answers_in_four_ways() {
    let bench = Bench::new(|config| config.create_status = 200).await;
    assert_eq!(answer(bench.create()).await.0, 200);

    bench
        .sim
        .config(|config| config.create_answer = CreateAnswer::ObjectWebhookId);
    let (_, body) = answer(bench.create()).await;
    assert_eq!(
        (&body["webhook_id"], body.get("id")),
        (&json!("wh_000002"), None)
    );

    bench
        .sim
        .config(|config| config.create_answer = CreateAnswer::Bare);
    assert_eq!(answer(bench.create()).await.1, json!("wh_000003"));

    bench
        .sim
        .config(|config| config.id_format = IdFormat::Number);
    assert_eq!(answer(bench.create()).await.1, json!(4));
    assert_eq!(bench.get("/webhooks/4").await.1["id"], json!(4));

    bench.sim.config(|config| {
        config.id_format = IdFormat::Random;
        config.create_answer = CreateAnswer::ObjectId;
    });
    let (_, body) = answer(bench.create()).await;
    assert_eq!(
        body["id"].as_str().unwrap().len(),
        "wh_0123456789abcdef".len()
    );
}

#[tokio::test]
async fn lists_come_in_pages_of_two_shapes() {
    let bench = Bench::new(|config| config.max_page_size = 2).await;
    bench.fill(5);
    let (_, page) = bench.get("/webhooks/?limit=50&offset=1").await;
    assert_eq!(
        (&page["total"], &page["limit"], &page["offset"]),
        (&json!(5), &json!(2), &json!(1))
    );
    assert_eq!(ids(&page), ["wh_000002", "wh_000003"]);
    assert_eq!(
        ids(&bench.get("/webhooks/?limit=1&offset=4").await.1),
        ["wh_000005"]
    );
    assert!(ids(&bench.get("/webhooks/?offset=5").await.1).is_empty());

    bench
        .sim
        .config(|config| config.list_shape = ListShape::Array);
    let (_, list) = bench.get("/webhooks/").await;
    assert!(list.is_array());
    assert_eq!(ids(&list), ["wh_000001", "wh_000002"]);

    let (status, body) = bench.get("/webhooks/?limit=0&offset=x").await;
    assert_eq!(
        (status, &body["detail"][0]["loc"]),
        (422, &json!(["query", "limit"]))
    );
    assert_eq!(
        (&body["detail"][1]["type"], &body["detail"][1]["input"]),
        (&json!("int_parsing"), &json!("x"))
    );
}

#[tokio::test]
async fn methods_can_be_switched_off() {
    let bench = Bench::new(|config| config.get = false).await;
    bench.fill(1);
    let path = "/webhooks/wh_000001";
    let response = bench.call(Method::GET, path).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "PUT, PATCH, DELETE");
    assert_eq!(
        read(response).await,
        (405, json!({"detail": "Method Not Allowed"}))
    );

    bench.sim.config(|config| {
        config.put = false;
        config.patch = false;
        config.delete = false;
        config.list = false;
    });
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(
            answer(bench.call(method, path)).await,
            (404, json!({"detail": "Not Found"}))
        );
    }
    let response = bench.call(Method::GET, "/webhooks/").send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    assert_eq!(
        bench.get("/nonsense").await,
        (404, json!({"detail": "Not Found"}))
    );
    assert_eq!(bench.sim.webhooks().len(), 1);
}

#[tokio::test]
async fn the_other_slash_redirects() {
    let bench = Bench::new(|_| {}).await;
    let location = |response: Response| {
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        response.headers()["location"].to_str().unwrap().to_owned()
    };
    let to = location(
        bench
            .call(Method::POST, "/webhooks")
            .json(&webhook())
            .send()
            .await
            .unwrap(),
    );
    assert_eq!(to, format!("{}/webhooks/", bench.sim.endpoint()));
    let to = location(
        bench
            .call(Method::GET, "/webhooks/a/?x=1")
            .send()
            .await
            .unwrap(),
    );
    assert_eq!(to, format!("{}/webhooks/a?x=1", bench.sim.endpoint()));
    assert!(bench.sim.webhooks().is_empty());
}

#[tokio::test]
async fn header_values_are_masked_or_headers_forgotten() {
    let bench = Bench::new(|config| config.header_values = HeaderValues::Masked).await;
    let (_, body) = answer(bench.create()).await;
    assert_eq!(
        body["headers"][0],
        json!({"name": "X-Webhook-Secret", "value": "***"})
    );
    assert_eq!(
        bench.sim.webhooks()[0].header_value("x-webhook-secret"),
        Some("s3cret")
    );

    bench
        .sim
        .config(|config| config.strip_unknown_headers = true);
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
async fn what_is_wrong_is_echoed_as_fastapi_does() {
    let bench = Bench::new(|_| {}).await;
    let post = |body: Value| answer(bench.call(Method::POST, "/webhooks/").json(&body));
    let (status, body) =
        post(json!({"url": "no url", "headers": [{"name": "X-A", "value": 7}], "user_id": "u"}))
            .await;
    assert_eq!(status, 422);
    let problems = body["detail"].as_array().unwrap();
    let kinds: Vec<_> = problems
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["missing", "url_parsing", "string_type"]);
    assert_eq!(problems[1]["input"], "no url");
    assert_eq!(problems[2]["loc"], json!(["body", "headers", 0, "value"]));
    assert_eq!(
        post(json!([])).await.1["detail"][0]["type"],
        "model_attributes_type"
    );

    let broken = bench
        .call(Method::POST, "/webhooks/")
        .header("content-type", "application/json")
        .body("{");
    assert_eq!(answer(broken).await.1["detail"][0]["type"], "json_invalid");
    let plain = bench
        .call(Method::POST, "/webhooks/")
        .body(webhook().to_string());
    assert_eq!(
        answer(plain).await.1["detail"][0]["type"],
        "model_attributes_type"
    );
    assert_eq!(
        answer(bench.call(Method::POST, "/webhooks/")).await.1["detail"][0]["type"],
        "missing"
    );
    assert!(bench.sim.webhooks().is_empty());
}

#[tokio::test]
async fn the_openapi_document_tells_the_truth() {
    let bench = Bench::new(|config| config.patch = false).await;
    let document = |path: String| answer(bench.http.get(format!("{}{path}", bench.sim.url())));
    let (status, body) = document("/openapi.json".into()).await;
    assert_eq!(status, 200);
    let item = &body["paths"]["/v1alpha/webhooks/{webhook_id}"];
    assert!(
        item.get("put").is_some() && item.get("patch").is_none(),
        "{body}"
    );
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
    assert_eq!(
        answer(
            bench
                .http
                .post(format!("{}/v1alpha/webhooks/", bench.sim.url()))
        )
        .await
        .0,
        404
    );
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
    assert!(
        log.iter()
            .all(|record| record.headers["idempotency-key"] == "k1")
    );
    assert_eq!(log[0].headers["authorization"], "Bearer …");
}

#[tokio::test]
async fn the_log_is_exact() {
    let bench = Bench::new(|_| {}).await;
    answer(bench.create()).await;
    bench.get("/webhooks/?limit=1").await;
    bench
        .sim
        .add_fault(Fault::on(Operation::Get, Action::LostAnswer));
    assert!(
        bench
            .call(Method::GET, "/webhooks/wh_000001")
            .send()
            .await
            .is_err()
    );
    let log = bench.sim.requests();
    let told: Vec<_> = log
        .iter()
        .map(|it| (it.operation, it.path.as_str(), it.status))
        .collect();
    assert_eq!(
        told,
        [
            (
                Operation::Create,
                "/v1alpha/webhooks/",
                Answered::Status(201)
            ),
            (
                Operation::List,
                "/v1alpha/webhooks/?limit=1",
                Answered::Status(200)
            ),
            (
                Operation::Get,
                "/v1alpha/webhooks/wh_000001",
                Answered::Lost
            ),
        ]
    );
    assert_eq!(log[0].body, Some(webhook()));
    let (_, shown) = bench.admin(Method::GET, "/requests", Value::Null).await;
    assert_eq!(
        (&shown[0]["status"], &shown[2]["status"]),
        (&json!(201), &json!("lost"))
    );
    let (_, counts) = bench
        .admin(Method::GET, "/requests/counts", Value::Null)
        .await;
    assert_eq!(counts, json!({"create": 1, "list": 1, "get": 1}));
    bench.admin(Method::DELETE, "/requests", Value::Null).await;
    assert!(bench.sim.requests().is_empty());
}

#[tokio::test]
async fn statuses_come_in_place_of_the_effect_or_after_it() {
    let bench = Bench::new(|_| {}).await;
    let error = |body, retry_after: Option<&str>| ErrorAnswer {
        code: 503,
        body,
        retry_after: retry_after.map(Into::into),
    };
    bench.sim.add_fault(
        Fault::on(
            Operation::Create,
            Action::Status(error(BodyKind::Json, Some("soon"))),
        )
        .once(),
    );
    let response = bench.create().send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "soon");
    assert_eq!(
        read(response).await,
        (503, json!({"detail": "Service Unavailable"}))
    );
    bench.sim.add_fault(
        Fault::on(
            Operation::Create,
            Action::Status(error(BodyKind::Html, None)),
        )
        .once(),
    );
    let (status, body) = answer(bench.create()).await;
    assert!(status == 503 && body.as_str().unwrap().contains("<html>"));
    bench.sim.add_fault(
        Fault::on(
            Operation::Create,
            Action::Status(error(BodyKind::Empty, None)),
        )
        .once(),
    );
    assert_eq!(answer(bench.create()).await, (503, json!("")));
    assert!(bench.sim.webhooks().is_empty());

    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::status_after_effect(502)).once());
    assert_eq!(answer(bench.create()).await.0, 502);
    assert_eq!(bench.sim.webhooks().len(), 1);
    assert_eq!(answer(bench.create()).await.0, 201);
    assert!(bench.sim.faults().is_empty());
}

#[tokio::test]
async fn connections_break_before_and_after_the_effect() {
    let bench = Bench::new(|_| {}).await;
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::ResetBeforeEffect).once());
    let error = bench.create().send().await.unwrap_err();
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    let reset = std::iter::from_fn(|| {
        let this = source?;
        source = this.source();
        Some(this)
    })
    .filter_map(|it| it.downcast_ref::<io::Error>())
    .any(|it| it.kind() == io::ErrorKind::ConnectionReset);
    assert!(reset, "{error:?}");
    assert!(bench.sim.webhooks().is_empty());

    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
    assert!(bench.create().send().await.is_err());
    assert_eq!(bench.sim.webhooks().len(), 1);
    assert_eq!(bench.sim.requests()[1].status, Answered::Lost);
}

#[tokio::test]
async fn bodies_break_off_stall_or_are_html() {
    let bench = Bench::new(|_| {}).await;
    for action in [Action::Truncated, Action::Stall] {
        bench
            .sim
            .add_fault(Fault::on(Operation::Create, action.clone()).once());
        let response = bench
            .create()
            .timeout(Duration::from_millis(500))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let error = response.bytes().await.unwrap_err();
        assert_eq!(error.is_timeout(), action == Action::Stall, "{error:?}");
    }
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::HtmlBody).once());
    let (status, body) = answer(bench.create()).await;
    assert!(status == 201 && body.as_str().unwrap().contains("<html>"));
    assert_eq!(bench.sim.webhooks().len(), 3);

    // Even an answer that has no body by itself.
    bench
        .sim
        .add_fault(Fault::on(Operation::Delete, Action::Truncated));
    let response = bench
        .call(Method::DELETE, "/webhooks/wh_000001")
        .send()
        .await
        .unwrap();
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn exact_answers_with_or_without_the_effect() {
    let bench = Bench::new(|_| {}).await;
    let given = |effect| Action::Answer {
        status: 200,
        content_type: "application/json".into(),
        body: "{\"id\": []}".into(),
        effect,
    };
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, given(true)).once());
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, given(false)).once());
    for _ in 0..2 {
        assert_eq!(answer(bench.create()).await, (200, json!({"id": []})));
    }
    assert_eq!(bench.sim.webhooks().len(), 1);
}

#[tokio::test]
async fn a_slow_effect_takes_place_without_the_client() {
    let bench = Bench::new(|_| {}).await;
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::LatencyMs(150)).once());
    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::LatencyMs(150)).once());
    let error = bench
        .create()
        .timeout(Duration::from_millis(50))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_timeout());
    assert!(bench.sim.webhooks().is_empty());
    eventually("the effect", || bench.sim.webhooks().len() == 1).await;

    bench
        .sim
        .add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(60_000)).once());
    let error = bench
        .create()
        .timeout(Duration::from_millis(300))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(bench.sim.webhooks().len(), 2);
    assert_eq!(bench.sim.requests()[1].status, Answered::Pending);

    bench
        .sim
        .add_fault(Fault::on(Operation::List, Action::LatencyMs(100)));
    let begun = Instant::now();
    bench.get("/webhooks/").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn lists_lie() {
    let bench = Bench::new(|config| config.max_page_size = 2).await;
    bench.fill(4);
    let second = "/webhooks/?limit=2&offset=2";
    bench
        .sim
        .add_fault(Fault::on(Operation::List, Action::PagesRepeat).once());
    assert_eq!(ids(&bench.get(second).await.1), ["wh_000001", "wh_000002"]);
    bench
        .sim
        .add_fault(Fault::on(Operation::List, Action::PagesSkip).times(2));
    assert_eq!(
        ids(&bench.get("/webhooks/").await.1),
        ["wh_000001", "wh_000002"]
    );
    assert_eq!(ids(&bench.get(second).await.1), ["wh_000004"]);
    bench
        .sim
        .add_fault(Fault::on(Operation::List, Action::TotalLies).once());
    assert_eq!(bench.get(second).await.1["total"], 5);
    assert_eq!(bench.get(second).await.1["total"], 4);
}

#[tokio::test]
async fn redirects_lead_where_they_are_told() {
    let bench = Bench::new(|_| {}).await;
    bench.sim.add_fault(Fault::everywhere(Action::redirect(
        "https://elsewhere.example/",
    )));
    let response = bench.create().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (307, &"https://elsewhere.example/".parse().unwrap())
    );
    assert!(bench.sim.webhooks().is_empty());
}

#[tokio::test]
async fn faults_hit_only_what_they_match() {
    let bench = Bench::new(|_| {}).await;
    let only = |matches: Match| Fault {
        matches,
        action: Action::status(500),
        times: None,
    };
    bench.sim.add_fault(only(Match {
        presence_name: Some("job-notifications".into()),
        ..Match::default()
    }));
    assert_eq!(answer(bench.create()).await.0, 500);
    let id = bench.sim.insert(StoredWebhook::new(
        "https://a.example/",
        "u",
        "job-notifications",
    ));
    assert_eq!(bench.get(&format!("/webhooks/{id}")).await.0, 500);
    assert_eq!(bench.get("/webhooks/").await.0, 200);
    bench.sim.clear_faults();

    bench.sim.add_fault(only(Match {
        method: Some("get".into()),
        path: Some(Pattern::new("/wh_0+1$").unwrap()),
        ..Match::default()
    }));
    assert_eq!(bench.get("/webhooks/wh_000001").await.0, 500);
    assert_eq!(bench.get("/webhooks/").await.0, 200);
    assert_eq!(
        answer(bench.call(Method::DELETE, "/webhooks/wh_000001"))
            .await
            .0,
        204
    );
}

#[tokio::test]
async fn the_admin_api_does_what_the_handle_does() {
    let bench = Bench::new(|_| {}).await;
    let (status, config) = bench
        .admin(
            Method::PUT,
            "/config",
            json!({"list_shape": "array", "get": false}),
        )
        .await;
    assert_eq!(
        (status, &config["list_shape"], &config["put"]),
        (200, &json!("array"), &json!(true))
    );
    assert_eq!(
        bench
            .admin(Method::PUT, "/config", json!({"no_such": 1}))
            .await
            .0,
        400
    );
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
    assert_eq!(
        bench
            .admin(Method::POST, "/faults", json!({"action": "no_such"}))
            .await
            .0,
        400
    );
    assert_eq!(answer(bench.create()).await.0, 429);
    assert_eq!(
        bench
            .admin(Method::GET, "/faults", Value::Null)
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(
        bench.admin(Method::DELETE, "/faults", Value::Null).await.0,
        204
    );

    let (status, made) = bench.admin(Method::POST, "/webhooks", webhook()).await;
    assert_eq!(
        (status, &made["headers"][0]["value"]),
        (201, &json!("s3cret"))
    );
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let (_, edited) = bench
        .admin(
            Method::PUT,
            &path,
            json!({"url": "https://b.example/", "id": "x"}),
        )
        .await;
    assert_eq!(
        (&edited["url"], &edited["id"]),
        (&json!("https://b.example/"), &made["id"])
    );
    assert_eq!(bench.admin(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(bench.admin(Method::DELETE, &path, Value::Null).await.0, 404);
    let (_, token) = bench
        .admin(Method::POST, "/tokens", json!({"lifetime_ms": 60_000}))
        .await;
    let list = bench
        .http
        .get(format!("{}/webhooks/", bench.sim.endpoint()))
        .bearer_auth(token["access_token"].as_str().unwrap());
    assert_eq!(answer(list.try_clone().unwrap()).await.0, 200);
    assert_eq!(
        bench.admin(Method::DELETE, "/tokens", Value::Null).await.0,
        204
    );
    assert_eq!(answer(list).await.0, 401);
    // Nothing of all this is a request to Orion.
    assert_eq!(bench.sim.requests().len(), 4);
}

#[tokio::test]
async fn out_of_band_changes_by_the_handle() {
    let bench = Bench::new(|_| {}).await;
    let id = bench
        .sim
        .insert(StoredWebhook::new("https://a.example/", "u", "p").header("X-A", "1"));
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
        bench
            .sim
            .add_fault(Fault::on(Operation::Create, Action::LatencyMs(60_000)).once());
        let slow = tokio::spawn(bench.create().send());
        eventually("the request is there", || bench.sim.faults().is_empty()).await;
        bench.sim.stop().await.unwrap();
        assert!(slow.await.unwrap().is_err());
        let refused = bench
            .call(Method::GET, "/webhooks/")
            .send()
            .await
            .unwrap_err();
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
    bench
        .sim
        .insert(StoredWebhook::new(&url, "u", "jobs").header("X-Webhook-Secret", "s3cret"));
    bench.sim.insert(StoredWebhook::new(&url, "u", "other"));
    let deliveries = bench.sim.send_event("jobs", json!({"n": 1})).await;
    let told: Vec<_> = deliveries
        .iter()
        .map(|it| (it.attempt, it.status))
        .collect();
    assert_eq!(told, [(1, Some(503)), (2, Some(500)), (3, Some(204))]);
    assert!(deliveries[2].succeeded() && deliveries[2].url == url);
    {
        let got = inbox.got.lock().unwrap();
        assert_eq!(got.len(), 3);
        assert!(
            got.iter()
                .all(|(headers, body)| headers["x-webhook-secret"] == "s3cret"
                    && body == r#"{"n":1}"#)
        );
    }

    let (status, sent) = bench
        .admin(
            Method::POST,
            "/events",
            json!({"presence_name": "other", "payload": {}}),
        )
        .await;
    assert_eq!(
        (status, &sent[0]["status"], sent.as_array().unwrap().len()),
        (200, &json!(204), 1)
    );
    assert_eq!(
        bench
            .admin(Method::POST, "/events", json!({"presence_name": "nobody"}))
            .await
            .1,
        json!([])
    );
    assert_eq!(
        bench
            .admin(Method::GET, "/deliveries", Value::Null)
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn deliveries_that_fail_say_why() {
    let bench = Bench::new(|config| {
        config.delivery_tries = 2;
        config.delivery_backoff_ms = 1;
        config.delivery_timeout_ms = 200;
    })
    .await;
    // Accepts connections (the system does) but never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        (
            format!("http://{}/", silent.local_addr().unwrap()),
            "X-A",
            "no answer in time",
        ),
        ("http://127.0.0.1:1/".to_owned(), "X-A", "cannot connect"),
        (
            "http://127.0.0.1:1/".to_owned(),
            "not a name",
            "the url or a header cannot be sent",
        ),
    ];
    for (url, header, why) in cases {
        bench.admin(Method::DELETE, "/webhooks", Value::Null).await;
        bench
            .sim
            .insert(StoredWebhook::new(url, "u", "jobs").header(header, "1"));
        let deliveries = bench.sim.send_event("jobs", json!({})).await;
        assert_eq!(deliveries.len(), 2);
        assert_eq!(
            (deliveries[1].status, deliveries[1].error.as_deref()),
            (None, Some(why))
        );
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
    assert_eq!(
        (&shown["host"], &shown["headers"]),
        (&json!("hooks.example.com"), &json!(["X-Webhook-Secret"]))
    );
    assert_eq!(shown["owner"], "v1.a.b.c");
    let text = overview.to_string();
    assert!(
        !text.contains("s3cret") && !text.contains("demo-password") && !text.contains(TOKEN),
        "{text}"
    );

    let mut stream = bench
        .http
        .get(format!("{}/_sim/stream", bench.sim.url()))
        .send()
        .await
        .unwrap();
    let mut seen = String::new();
    bench.fill(1);
    while !seen.contains("wh_000002") {
        seen.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.starts_with("data: {"));
}
