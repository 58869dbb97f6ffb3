//! A Webhook from its creation to its end.

use std::time::Duration;

use devkit::sim::Operation;
use orion_operator::api::{FINALIZER, InstanceId, REQUESTED_AT};
use serde_json::json;

use super::world::{condition, headers, id, run, spec, until};

#[test]
fn each_change_reaches_orion_as_declared() {
    run(async |world| {
        let _operator = world.operator(&["--instance-id", "e2e"]).await;
        world.secret("hook-secret", json!({"token": "s3cret-one"})).await;
        let mut declared = spec("lifecycle");
        declared["headers"] = json!([
            {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}},
            {"name": "X-Team", "value": "data"},
        ]);
        world.create("hook", declared).await;
        world
            .plane
            .kubectl_ok(&["wait", "-n", &world.namespace, "webhook/hook", "--for=condition=Ready", "--timeout=60s"])
            .await
            .unwrap();

        // Created: the body is what is declared, plus the owner marker.
        let created = world.synced("hook").await;
        let owner = InstanceId::new("e2e").owner(&world.namespace, "hook");
        let body =
            world.sim.requests().into_iter().find(|request| request.operation == Operation::Create).unwrap().body;
        assert_eq!(
            body.unwrap(),
            json!({
                "url": "https://hooks.example.com/orion",
                "user_id": "user-42",
                "presence_name": "lifecycle",
                "headers": [
                    {"name": "X-Webhook-Secret", "value": "s3cret-one"},
                    {"name": "X-Team", "value": "data"},
                    {"name": "X-Orion-Operator-Owner", "value": owner.as_str()},
                ],
            })
        );
        assert_eq!(created.metadata.finalizers.as_deref(), Some(&[FINALIZER.to_owned()][..]));
        assert_eq!(created.status.as_ref().unwrap().endpoint.as_deref(), Some(world.sim.endpoint().as_str()));
        assert_eq!((condition(&created, "Reconciling"), condition(&created, "Stalled")), (None, None));
        assert_eq!(world.audited(2).await, 2, "a create is two writes: {:?}", world.writes());

        // Edited.
        world.merge("hook", json!({"spec": {"userId": "user-43"}})).await;
        assert_eq!(id(&world.synced("hook").await), id(&created));
        assert_eq!(world.at_orion("lifecycle")[0].user_id, "user-43");

        // A header removed.
        world
            .merge(
                "hook",
                json!({"spec": {"headers": [
            {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}}]}}),
            )
            .await;
        world.synced("hook").await;
        let (users, marker) = headers(&world.at_orion("lifecycle")[0]);
        assert_eq!(users, [("X-Webhook-Secret".to_owned(), "s3cret-one".to_owned())]);
        assert_eq!(marker.as_deref(), Some(owner.as_str()));
        assert_eq!(world.calls(Operation::Put), 2, "an update is one call");
        assert_eq!(world.audited(4).await, 4, "and one write");

        // The Secret rotated.
        world.secret("hook-secret", json!({"token": "s3cret-two"})).await;
        until("the rotated value is at Orion", async || {
            (headers(&world.at_orion("lifecycle")[0]).0[0].1 == "s3cret-two").then_some(())
        })
        .await;
        world.synced("hook").await;

        // Deleted.
        world.deleted("hook").await;
        assert!(world.at_orion("lifecycle").is_empty());
        assert_eq!((world.calls(Operation::Create), world.calls(Operation::Delete)), (1, 1));
        assert_eq!(world.audited(6).await, 6, "a delete is one write: {:?}", world.writes());
    });
}

#[test]
fn an_orphan_stays_at_orion_without_our_marker() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        let mut declared = spec("orphan");
        declared["deletionPolicy"] = json!("Orphan");
        declared["headers"] = json!([{"name": "X-Team", "value": "data"}]);
        world.create("hook", declared).await;
        world.synced("hook").await;
        world.deleted("hook").await;
        let left = world.at_orion("orphan");
        assert_eq!(headers(&left[0]), (vec![("X-Team".to_owned(), "data".to_owned())], None));
        assert_eq!(world.calls(Operation::Delete), 0);
    });
}

#[test]
fn a_suspended_webhook_changes_nothing_at_orion_but_can_be_deleted() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("suspend")).await;
        world.synced("hook").await;
        world.merge("hook", json!({"spec": {"suspend": true}})).await;
        let suspended = world.synced("hook").await;
        assert_eq!(condition(&suspended, "Reconciling"), None);

        world.merge("hook", json!({"spec": {"userId": "other"}})).await;
        world.ready("hook", "False", "Suspended").await;
        assert_eq!(world.at_orion("suspend")[0].user_id, "user-42");
        assert_eq!(world.calls(Operation::Put), 0);

        world.merge("hook", json!({"spec": {"suspend": false}})).await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("suspend")[0].user_id, "other");

        world.merge("hook", json!({"spec": {"suspend": true}})).await;
        world.synced("hook").await;
        world.deleted("hook").await;
        assert!(world.at_orion("suspend").is_empty());
    });
}

#[test]
fn a_webhook_that_is_suspended_from_the_start_is_not_created() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        let mut declared = spec("suspended-first");
        declared["suspend"] = json!(true);
        world.create("hook", declared).await;
        world.ready("hook", "False", "Suspended").await;
        assert_eq!(world.calls(Operation::Create), 0);
        world.merge("hook", json!({"spec": {"suspend": null}})).await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("suspended-first").len(), 1);
    });
}

#[test]
fn drift_heals_after_the_interval_and_at_once_on_request() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "1h"]).await;
        let mut declared = spec("drift");
        declared["interval"] = json!("2s");
        world.create("fast", declared).await;
        world.create("slow", spec("drift-slow")).await;
        let fast = id(&world.synced("fast").await);
        let slow = id(&world.synced("slow").await);

        world.sim.edit(&fast, |webhook| webhook.url = "https://drifted.example.com/".into());
        until("drift is healed", async || {
            (world.at_orion("drift")[0].url == "https://hooks.example.com/orion").then_some(())
        })
        .await;

        world.sim.edit(&slow, |webhook| webhook.user_id = "drifted".into());
        world.annotate("slow", REQUESTED_AT, "now-1").await;
        until("the request is answered", async || {
            let status = world.get("slow").await.status.unwrap();
            (status.last_handled_reconcile_at.as_deref() == Some("now-1")).then_some(())
        })
        .await;
        assert_eq!(world.at_orion("drift-slow")[0].user_id, "user-42");
        world.synced("slow").await;
    });
}

#[test]
fn a_webhook_deleted_at_orion_is_created_again_once() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        let mut declared = spec("gone");
        declared["interval"] = json!("1s");
        world.create("hook", declared).await;
        let first = id(&world.synced("hook").await);
        world.sim.remove(&first);
        let second = until("it is created again", async || world.at_orion("gone").pop()).await.id;
        assert_ne!(first, second);
        until("its id is recorded", async || (id(&world.get("hook").await) == second).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!((world.at_orion("gone").len(), world.calls(Operation::Create)), (1, 2));
    });
}

#[test]
fn a_namespace_goes_with_its_webhooks_and_secrets() {
    run(async |world| {
        if !world.plane.has_controller_manager() {
            eprintln!("not tested: without kube-controller-manager a namespace never ends");
            return;
        }
        let _operator = world.operator(&[]).await;
        world.secret("hook-secret", json!({"token": "s3cret"})).await;
        for n in 0..3 {
            let mut declared = spec(&format!("namespace-{n}"));
            declared["headers"] = json!([
                {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}},
            ]);
            world.create(&format!("hook-{n}"), declared).await;
        }
        for n in 0..3 {
            world.synced(&format!("hook-{n}")).await;
        }
        world.plane.kubectl_ok(&["delete", "namespace", &world.namespace, "--timeout=60s"]).await.unwrap();
        assert!(world.sim.webhooks().is_empty());
        assert_eq!(world.calls(Operation::Delete), 3);
    });
}
