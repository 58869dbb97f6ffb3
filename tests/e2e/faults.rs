//! Every reason that a fault of Orion can provoke appears as the table of the design says.

use std::time::Duration;

use devkit::sim::{Action, BodyKind, Config, ErrorAnswer, Fault, OpenApi, Operation};
use serde_json::json;

use super::world::{TOKEN, World, condition, message, run, run_with, spec, until};

/// A fault of POST, and what Ready says then: status and reason.
fn post_faults() -> Vec<(&'static str, Action, &'static str, &'static str)> {
    let limited = Action::Status(ErrorAnswer { code: 429, body: BodyKind::Json, retry_after: Some("2".into()) });
    vec![
        ("400", Action::status(400), "False", "Rejected"),
        ("413", Action::status(413), "False", "Rejected"),
        ("415", Action::status(415), "False", "Rejected"),
        ("418", Action::status(418), "False", "Rejected"),
        ("422", Action::status(422), "False", "Rejected"),
        ("403", Action::status(403), "False", "Forbidden"),
        ("404", Action::status(404), "False", "EndpointNotFound"),
        ("405", Action::status(405), "False", "EndpointNotFound"),
        ("409", Action::status(409), "False", "Conflict"),
        ("307", Action::redirect("http://127.0.0.1:1/elsewhere"), "False", "UnexpectedRedirect"),
        ("408", Action::status(408), "Unknown", "CreateUncertain"),
        ("425", Action::status(425), "Unknown", "CreateUncertain"),
        ("500", Action::status(500), "Unknown", "CreateUncertain"),
        (
            "502",
            Action::Status(ErrorAnswer { code: 502, body: BodyKind::Html, retry_after: None }),
            "Unknown",
            "CreateUncertain",
        ),
        ("503", Action::status(503), "Unknown", "CreateUncertain"),
        ("reset", Action::ResetBeforeEffect, "Unknown", "CreateUncertain"),
        ("lost", Action::LostAnswer, "Unknown", "CreateUncertain"),
        ("truncated", Action::Truncated, "Unknown", "CreateUncertain"),
        ("html", Action::HtmlBody, "Unknown", "CreateUncertain"),
        ("stall", Action::Stall, "Unknown", "CreateUncertain"),
        ("429", limited, "False", "RateLimited"),
    ]
}

#[test]
fn each_fault_of_a_create_has_its_reason() {
    run(async |world| {
        let _operator = world.operator(&["--create-settle", "60s"]).await;
        for (name, action, status, reason) in post_faults() {
            world.sim.add_fault(Fault::on(Operation::Create, action).presence(format!("fault-{name}")));
            world.create(&format!("hook-{name}"), spec(&format!("fault-{name}"))).await;
            let webhook = world.ready(&format!("hook-{name}"), status, reason).await;
            let stalled = status == "False" && reason != "RateLimited";
            let expected = if stalled { (None, Some("True".into())) } else { (Some("True".into()), None) };
            assert_eq!((condition(&webhook, "Reconciling"), condition(&webhook, "Stalled")), expected, "{name}");
            assert!(!message(&webhook).contains("hooks.example.com/orion"), "a message shows no more than the host");
        }
    });
}

#[test]
fn a_refused_spec_is_sent_again_only_when_it_changes() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "1s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(422)).presence("refused"));
        world.create("hook", spec("refused")).await;
        world.ready("hook", "False", "Rejected").await;
        // Long past any back-off of a first failure.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(world.calls(Operation::Create), 1);
        world.merge("hook", json!({"spec": {"presenceName": "accepted"}})).await;
        world.synced("hook").await;
        assert_eq!(world.calls(Operation::Create), 2);
    });
}

#[test]
fn a_refused_edit_is_told_and_the_next_one_is_sent() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("edit")).await;
        world.synced("hook").await;
        for (code, status, reason) in
            [(422, "False", "Rejected"), (403, "False", "Forbidden"), (500, "False", "OrionUnavailable")]
        {
            world.sim.add_fault(Fault::on(Operation::Put, Action::status(code)));
            world.merge("hook", json!({"spec": {"userId": format!("user-{code}")}})).await;
            world.ready("hook", status, reason).await;
            world.sim.clear_faults();
        }
        world.merge("hook", json!({"spec": {"userId": "last"}})).await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("edit")[0].user_id, "last");
    });
}

#[test]
fn a_failed_drift_check_leaves_ready_alone() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "1s"]).await;
        world.create("hook", spec("check")).await;
        world.synced("hook").await;
        let writes = world.audited(2).await;
        world.sim.add_fault(Fault::on(Operation::List, Action::status(500)));
        world.sim.add_fault(Fault::on(Operation::Get, Action::status(500)));
        let before = world.sim.requests().len();
        until("checks fail", async || (world.sim.requests().len() >= before + 2).then_some(())).await;
        let webhook = world.get("hook").await;
        assert_eq!(condition(&webhook, "Ready").as_deref(), Some("True"));
        assert_eq!(world.writes().len(), writes);
    });
}

#[test]
fn an_orion_that_is_down_is_waited_for_with_one_write_each() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.sim.stop().await.unwrap();
        for n in 0..10 {
            world.create(&format!("hook-{n}"), spec(&format!("down-{n}"))).await;
        }
        for n in 0..10 {
            let webhook = world.ready(&format!("hook-{n}"), "False", "OrionUnavailable").await;
            assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));
        }
        let writes = world.audited(10).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(world.writes().len(), writes, "no write per retry");
        world.sim.restart().await.unwrap();
        for n in 0..10 {
            world.synced(&format!("hook-{n}")).await;
        }
        assert_eq!(world.sim.webhooks().len(), 10);
        assert_eq!(world.calls(Operation::Create), 10);
    });
}

#[test]
fn without_put_a_patch_is_sent_and_without_both_the_status_says_so() {
    run_with(Config { put: false, openapi: OpenApi::Off, ..Config::default() }, async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("patched")).await;
        world.synced("hook").await;
        world.merge("hook", json!({"spec": {"userId": "patched"}})).await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("patched")[0].user_id, "patched");
    });
    run_with(Config { put: false, patch: false, ..Config::default() }, async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("fixed")).await;
        world.synced("hook").await;
        world.merge("hook", json!({"spec": {"userId": "other"}})).await;
        world.ready("hook", "False", "UpdateUnsupported").await;
        world.merge("hook", json!({"spec": {"userId": "user-42"}})).await;
        world.synced("hook").await;
    });
}

#[test]
fn without_delete_the_finalizer_stays_until_a_person_lets_go() {
    run_with(Config { delete: false, ..Config::default() }, async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("undeletable")).await;
        world.synced("hook").await;
        world.delete("hook").await;
        let webhook = until("it says why", async || {
            let webhook = world.get("hook").await;
            message(&webhook).contains("no DELETE").then_some(webhook)
        })
        .await;
        assert_eq!(condition(&webhook, "Stalled"), None, "never Stalled while deleting");
        assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));
        assert!(message(&webhook).contains("orion-operator.dev/resolve=abandon"));
        world.annotate("hook", "orion-operator.dev/resolve", "abandon").await;
        until("it is gone", async || world.webhooks().get_opt("hook").await.unwrap().is_none().then_some(())).await;
        assert_eq!(world.at_orion("undeletable").len(), 1);
    });
}

#[test]
fn a_delete_that_fails_keeps_the_finalizer() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("stubborn")).await;
        world.synced("hook").await;
        for code in [500, 401, 403] {
            world.sim.add_fault(Fault::on(Operation::Delete, Action::status(code)));
        }
        world.delete("hook").await;
        until("a delete was tried", async || (world.calls(Operation::Delete) >= 1).then_some(())).await;
        let webhook = until("it is told", async || {
            let webhook = world.get("hook").await;
            (condition(&webhook, "Ready").as_deref() == Some("False")).then_some(webhook)
        })
        .await;
        assert_eq!(condition(&webhook, "Stalled"), None);
        world.sim.clear_faults();
        until("it is gone", async || world.webhooks().get_opt("hook").await.unwrap().is_none().then_some(())).await;
        assert!(world.at_orion("stubborn").is_empty());
    });
}

#[test]
fn a_renewed_token_file_is_used_at_once() {
    run(async |world| {
        std::fs::write(&world.token_file, "wrong").unwrap();
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("token")).await;
        let webhook = world.ready("hook", "False", "Unauthorized").await;
        assert_eq!(condition(&webhook, "Stalled").as_deref(), Some("True"));
        std::fs::write(&world.token_file, TOKEN).unwrap();
        world.synced("hook").await;
        assert_eq!(world.at_orion("token").len(), 1);
    });
}

#[test]
fn a_slow_orion_shows_as_progressing() {
    run(async |world| {
        let _operator = world.operator(&["--orion-timeout", "30s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(8_000)));
        world.create("hook", spec("slow")).await;
        world.ready("hook", "Unknown", "Progressing").await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("slow").len(), 1);
    });
}

#[test]
fn a_connection_that_is_not_there_is_waited_for() {
    run(async |world: World| {
        let _operator = world.operator(&["--default-connection-namespaces", "somewhere-else"]).await;
        let mut declared = spec("referenced");
        declared["connectionRef"] = json!({"name": "acme"});
        world.create("referenced", declared).await;
        world.ready("referenced", "False", "ConnectionNotFound").await;
        world.create("forbidden", spec("forbidden")).await;
        world.ready("forbidden", "False", "NotAllowed").await;
        world.deleted("referenced").await;
        world.deleted("forbidden").await;
        assert_eq!(world.calls(Operation::Create), 0);
    });
}
