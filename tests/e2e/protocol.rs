//! What else may happen to a Webhook and to its operator: restores, hands, clones, two at once.

use devkit::sim::{Action, Config, CreateAnswer, Fault, IdFormat, ListShape, OpenApi, Operation, Sim};
use kube::api::{Patch, PatchParams};
use orion_operator::api::{CREATE_ATTEMPT, FINALIZER, REQUESTED_AT, RESOLVE};
use serde_json::json;

use super::world::{TOKEN, headers, id, message, run, run_with, spec, until};

#[test]
fn each_shape_of_an_id_is_understood() {
    for (create_answer, id_format) in [
        (CreateAnswer::ObjectWebhookId, IdFormat::Random),
        (CreateAnswer::Bare, IdFormat::Padded),
        (CreateAnswer::Bare, IdFormat::Number),
        (CreateAnswer::ObjectId, IdFormat::Number),
    ] {
        let config = Config { create_answer, id_format, openapi: OpenApi::Prefix, list_shape: ListShape::Array, ..Config::default() };
        run_with(config, async |world| {
            let _operator = world.operator(&[]).await;
            world.create("hook", spec("shape")).await;
            let webhook = world.synced("hook").await;
            assert_eq!(world.at_orion("shape")[0].id, id(&webhook));
            world.merge("hook", json!({"spec": {"userId": "other"}})).await;
            world.synced("hook").await;
            world.deleted("hook").await;
            assert!(world.at_orion("shape").is_empty());
        });
    }
}

#[test]
fn a_status_that_was_wiped_finds_its_webhook_again() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("wiped")).await;
        let first = id(&world.synced("hook").await);
        let empty: Patch<()> = Patch::Json(serde_json::from_value(json!([{"op": "replace", "path": "/status", "value": {}}])).unwrap());
        world.webhooks().patch_status("hook", &PatchParams::default(), &empty).await.unwrap();
        world.ready("hook", "Unknown", "CreateUncertain").await;
        assert_eq!(id(&world.synced("hook").await), first);
        assert_eq!(world.calls(Operation::Create), 1);
    });
}

#[test]
fn a_finalizer_that_was_taken_off_is_put_on_again() {
    run(async |world| {
        let mut operator = world.operator(&["--interval", "2s"]).await;
        world.create("hook", spec("unheld")).await;
        world.synced("hook").await;
        world.merge("hook", json!({"metadata": {"finalizers": null}})).await;
        until("the finalizer is back", async || {
            world.get("hook").await.metadata.finalizers.is_some_and(|list| list == [FINALIZER]).then_some(())
        })
        .await;
        world.deleted("hook").await;
        assert!(world.at_orion("unheld").is_empty());
        operator.stop().await;
    });
}

#[test]
fn an_object_created_again_under_its_name_leaves_one_webhook() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.create("hook", spec("again")).await;
        world.synced("hook").await;
        operator.stop().await;
        // By force, with nobody there to see it: a restore, or a cluster made anew.
        world.merge("hook", json!({"metadata": {"finalizers": null}})).await;
        world.deleted("hook").await;
        world.create("hook", spec("again")).await;
        let _operator = world.operator(&["--interval", "2s"]).await;
        world.synced("hook").await;
        until("one is left", async || (world.at_orion("again").len() == 1).then_some(())).await;
        let webhook = world.synced("hook").await;
        assert_eq!(world.at_orion("again")[0].id, id(&webhook));
    });
}

#[test]
fn two_operators_at_once_make_one_webhook_each() {
    run(async |world| {
        let _one = world.operator(&[]).await;
        let _two = world.operator(&[]).await;
        for n in 0..20 {
            world.create(&format!("hook-{n}"), spec(&format!("two-{n}"))).await;
        }
        for n in 0..20 {
            world.synced(&format!("hook-{n}")).await;
        }
        for n in 0..20 {
            let webhook = world.synced(&format!("hook-{n}")).await;
            let at_orion = world.at_orion(&format!("two-{n}"));
            assert_eq!(at_orion.len(), 1, "{at_orion:?}");
            assert_eq!(at_orion[0].id, id(&webhook));
        }
    });
}

#[test]
fn a_dry_run_changes_nothing_anywhere_but_the_status() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.create("old", spec("old")).await;
        world.synced("old").await;
        operator.stop().await;
        world.sim.clear_requests();
        world.merge("old", json!({"spec": {"userId": "other"}})).await;
        world.create("new", spec("new")).await;
        let _operator = world.operator(&["--dry-run"]).await;
        assert!(message(&world.ready("new", "Unknown", "DryRun").await).contains("would create"));
        assert!(message(&world.ready("old", "Unknown", "DryRun").await).contains("would update"));
        assert!(world.sim.requests().iter().all(|request| request.method == "GET"), "{:?}", world.sim.counts());
        assert!(world.get("new").await.metadata.finalizers.is_none());
    });
}

#[test]
fn another_endpoint_is_not_believed_to_have_the_webhook() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.create("hook", spec("moved")).await;
        let first = id(&world.synced("hook").await);
        operator.stop().await;
        let other = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        let mut world = world;
        let old = std::mem::replace(&mut world.sim, other);
        let _operator = world.operator(&[]).await;
        let webhook = world.ready("hook", "False", "EndpointChanged").await;
        assert_eq!(world.calls(Operation::Create), 0);
        assert!(message(&webhook).contains(&format!("{RESOLVE}=recreate={first}")), "{}", message(&webhook));
        world.annotate("hook", RESOLVE, &format!("recreate={first}")).await;
        let webhook = world.synced("hook").await;
        assert_eq!(world.at_orion("moved")[0].id, id(&webhook));
        assert_eq!(webhook.status.unwrap().endpoint.as_deref(), Some(world.sim.endpoint().as_str()));
        assert_eq!(old.webhooks().len(), 1, "the old one is left alone");
    });
}

#[test]
fn the_same_webhook_at_another_endpoint_is_recognised_by_its_marker() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.create("hook", spec("renamed")).await;
        let first = id(&world.synced("hook").await);
        operator.stop().await;
        let other = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        for webhook in world.sim.webhooks() {
            other.insert(webhook);
        }
        let mut world = world;
        world.sim = other;
        let _operator = world.operator(&[]).await;
        until("the new endpoint is recorded", async || {
            let status = world.get("hook").await.status?;
            (status.endpoint.as_deref() == Some(world.sim.endpoint().as_str())).then_some(())
        })
        .await;
        assert_eq!(id(&world.synced("hook").await), first);
        assert_eq!(world.calls(Operation::Create), 0);
    });
}

#[test]
fn the_loss_of_many_is_not_made_up_for_by_itself() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "3s"]).await;
        for n in 0..10 {
            world.create(&format!("hook-{n}"), spec(&format!("mass-{n}"))).await;
        }
        let mut ids = Vec::new();
        for n in 0..10 {
            ids.push(id(&world.synced(&format!("hook-{n}")).await));
        }
        let lost: Vec<_> = ids.iter().map(|id| world.sim.remove(id).unwrap()).collect();
        for n in 0..10 {
            world.ready(&format!("hook-{n}"), "False", "MassDrift").await;
        }
        assert_eq!(world.calls(Operation::Create), 10);
        world.annotate("hook-0", RESOLVE, &format!("recreate={}", ids[0])).await;
        let made = world.synced("hook-0").await;
        assert_ne!(id(&made), ids[0]);
        // They are back: it ends by itself.
        for webhook in lost.into_iter().skip(1) {
            world.sim.insert(webhook);
        }
        for n in 1..10 {
            world.synced(&format!("hook-{n}")).await;
        }
        assert_eq!(world.calls(Operation::Create), 11);
    });
}

#[test]
fn a_copy_with_our_marker_goes_away() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "2s"]).await;
        world.create("hook", spec("copied")).await;
        let kept = id(&world.synced("hook").await);
        let mut copy = world.at_orion("copied").pop().unwrap();
        copy.id = "wh_copy".into();
        world.sim.insert(copy);
        until("the copy is gone", async || (world.at_orion("copied").len() == 1).then_some(())).await;
        assert_eq!(world.at_orion("copied")[0].id, kept);
    });
}

#[test]
fn an_attempt_of_another_installation_is_left_to_a_person() {
    run(async |world| {
        let mut operator = world.operator(&["--instance-id", "one"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
        world.create("hook", spec("clone")).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        operator.kill();
        let _operator = world.operator(&["--instance-id", "two"]).await;
        let webhook = world.ready("hook", "False", "CreateUnresolved").await;
        assert!(message(&webhook).contains("--instance-id"), "{}", message(&webhook));
        assert!(webhook.metadata.annotations.unwrap().contains_key(CREATE_ATTEMPT));
        assert_eq!(world.calls(Operation::Create), 1);
    });
}

#[test]
fn without_get_and_openapi_a_lost_webhook_is_made_again() {
    run_with(Config { get: false, openapi: OpenApi::Off, list_shape: ListShape::Array, ..Config::default() }, async |world| {
        let _operator = world.operator(&["--interval", "2s"]).await;
        world.create("hook", spec("listed-only")).await;
        let first = id(&world.synced("hook").await);
        world.sim.remove(&first);
        let second = until("it is made again", async || world.at_orion("listed-only").pop()).await;
        until("its id is recorded", async || (id(&world.get("hook").await) == second.id).then_some(())).await;
        assert!(headers(&second).1.is_some());
    });
}

#[test]
fn a_label_selector_shards_webhooks() {
    run(async |world| {
        let _operator = world.operator(&["--watch-label-selector", "shard=a"]).await;
        world.create("other", spec("other-shard")).await;
        let mut mine = super::world::object("mine", spec("my-shard"));
        mine["metadata"]["labels"] = json!({"shard": "a"});
        world.webhooks().create(&Default::default(), &serde_json::from_value(mine).unwrap()).await.unwrap();
        world.synced("mine").await;
        world.annotate("mine", REQUESTED_AT, "1").await;
        until("answered", async || {
            (world.get("mine").await.status?.last_handled_reconcile_at.as_deref() == Some("1")).then_some(())
        })
        .await;
        assert!(world.at_orion("other-shard").is_empty());
        assert_eq!(world.get("other").await.status.unwrap().observed_generation, Some(-1));
    });
}
