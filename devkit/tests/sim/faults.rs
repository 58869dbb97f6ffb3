//! Every fault.

use std::{
    io,
    time::{Duration, Instant},
};

use devkit::sim::{Action, Answered, BodyKind, ErrorAnswer, Fault, Match, Operation, Pattern, StoredWebhook};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Bench, answer, eventually, ids, read};

#[tokio::test]
async fn statuses_come_in_place_of_the_effect_or_after_it() {
    let bench = Bench::new(|_| {}).await;
    let error =
        |body, retry_after: Option<&str>| ErrorAnswer { code: 503, body, retry_after: retry_after.map(Into::into) };
    bench.sim.add_fault(Fault::on(Operation::Create, Action::Status(error(BodyKind::Json, Some("soon")))).once());
    let response = bench.create().send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "soon");
    assert_eq!(read(response).await, (503, json!({"detail": "Service Unavailable"})));
    bench.sim.add_fault(Fault::on(Operation::Create, Action::Status(error(BodyKind::Html, None))).once());
    let (status, body) = answer(bench.create()).await;
    assert!(status == 503 && body.as_str().unwrap().contains("<html>"));
    bench.sim.add_fault(Fault::on(Operation::Create, Action::Status(error(BodyKind::Empty, None))).once());
    assert_eq!(answer(bench.create()).await, (503, json!("")));
    assert!(bench.sim.webhooks().is_empty());

    bench.sim.add_fault(Fault::on(Operation::Create, Action::status_after_effect(502)).once());
    assert_eq!(answer(bench.create()).await.0, 502);
    assert_eq!(bench.sim.webhooks().len(), 1);
    assert_eq!(answer(bench.create()).await.0, 201);
    assert!(bench.sim.faults().is_empty());
}

#[tokio::test]
async fn connections_break_before_and_after_the_effect() {
    let bench = Bench::new(|_| {}).await;
    bench.sim.add_fault(Fault::on(Operation::Create, Action::ResetBeforeEffect).once());
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

    bench.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
    assert!(bench.create().send().await.is_err());
    assert_eq!(bench.sim.webhooks().len(), 1);
    assert_eq!(bench.sim.requests()[1].status, Answered::Lost);
}

#[tokio::test]
async fn bodies_break_off_stall_or_are_html() {
    let bench = Bench::new(|_| {}).await;
    for action in [Action::Truncated, Action::Stall] {
        bench.sim.add_fault(Fault::on(Operation::Create, action.clone()).once());
        let response = bench.create().timeout(Duration::from_secs(3)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let error = response.bytes().await.unwrap_err();
        assert_eq!(error.is_timeout(), action == Action::Stall, "{error:?}");
    }
    bench.sim.add_fault(Fault::on(Operation::Create, Action::HtmlBody).once());
    let (status, body) = answer(bench.create()).await;
    assert!(status == 201 && body.as_str().unwrap().contains("<html>"));
    assert_eq!(bench.sim.webhooks().len(), 3);

    // Even an answer that has no body by itself.
    bench.sim.add_fault(Fault::on(Operation::Delete, Action::Truncated));
    let response = bench.call(Method::DELETE, "/webhooks/wh_000001").send().await.unwrap();
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
    bench.sim.add_fault(Fault::on(Operation::Create, given(true)).once());
    bench.sim.add_fault(Fault::on(Operation::Create, given(false)).once());
    for _ in 0..2 {
        assert_eq!(answer(bench.create()).await, (200, json!({"id": []})));
    }
    assert_eq!(bench.sim.webhooks().len(), 1);
}

#[tokio::test]
async fn a_slow_effect_takes_place_without_the_client() {
    let bench = Bench::new(|_| {}).await;
    for _ in 0..2 {
        bench.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(1_500)).once());
    }
    let begun = Instant::now();
    let error = bench.create().timeout(Duration::from_secs(1)).send().await.unwrap_err();
    assert!(error.is_timeout());
    eventually("the effect", || bench.sim.webhooks().len() == 1).await;
    assert!(begun.elapsed() >= Duration::from_secs(3));

    let late = Action::LatencyAfterEffectMs(60_000);
    bench.sim.add_fault(Fault::on(Operation::Create, late).once());
    let error = bench.create().timeout(Duration::from_secs(1)).send().await.unwrap_err();
    assert!(error.is_timeout());
    eventually("the effect", || bench.sim.webhooks().len() == 2).await;
    assert_eq!(bench.sim.requests()[1].status, Answered::Pending);

    bench.sim.add_fault(Fault::on(Operation::List, Action::LatencyMs(100)));
    let begun = Instant::now();
    bench.get("/webhooks/").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn lists_lie() {
    let bench = Bench::new(|config| config.max_page_size = 2).await;
    bench.fill(4);
    let second = "/webhooks/?limit=2&offset=2";
    bench.sim.add_fault(Fault::on(Operation::List, Action::PagesRepeat).once());
    assert_eq!(ids(&bench.get(second).await.1), ["wh_000001", "wh_000002"]);
    bench.sim.add_fault(Fault::on(Operation::List, Action::PagesSkip).times(2));
    assert_eq!(ids(&bench.get("/webhooks/").await.1), ["wh_000001", "wh_000002"]);
    assert_eq!(ids(&bench.get(second).await.1), ["wh_000004"]);
    bench.sim.add_fault(Fault::on(Operation::List, Action::TotalLies).once());
    assert_eq!(bench.get(second).await.1["total"], 5);
    assert_eq!(bench.get(second).await.1["total"], 4);
}

#[tokio::test]
async fn redirects_lead_where_they_are_told() {
    let bench = Bench::new(|_| {}).await;
    bench.sim.add_fault(Fault::everywhere(Action::redirect("https://elsewhere.example/")));
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
    let only = |matches: Match| Fault { matches, action: Action::status(500), times: None };
    bench.sim.add_fault(only(Match { presence_name: Some("job-notifications".into()), ..Match::default() }));
    assert_eq!(answer(bench.create()).await.0, 500);
    let id = bench.sim.insert(StoredWebhook::new("https://a.example/", "u", "job-notifications"));
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
    assert_eq!(answer(bench.call(Method::DELETE, "/webhooks/wh_000001")).await.0, 204);
}
