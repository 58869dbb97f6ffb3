//! Restores from a backup, and hands in what only the operator writes: one webhook is left, and it is the recorded one.

use devkit::sim::{Action, Fault, Operation};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use orion_operator::api::{CREATE_ATTEMPT, Webhook};
use serde_json::{Value, json};

use super::world::{World, id, run, spec, until};

/// Overwrites the status, as a restore or a hand does.
async fn put_status(world: &World, name: &str, status: Value) {
    let patch = json!([{"op": "add", "path": "/status", "value": status}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    world.webhooks().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

fn status_of(webhook: &Webhook) -> Value {
    serde_json::to_value(webhook.status.as_ref().unwrap()).unwrap()
}

/// Deletes by force: its webhook is left at Orion.
async fn deleted_by_force(world: &World, name: &str) {
    world.merge(name, json!({"metadata": {"finalizers": null}})).await;
    // An operator that is there may hold it again at once, and then it deletes in the usual way.
    world.deleted(name).await;
}

/// Creates it from a backup: everything but what the apiserver gives.
async fn restored(world: &World, backup: &Webhook, with_status: bool) -> Webhook {
    let mut object = backup.clone();
    object.metadata.uid = None;
    object.metadata.resource_version = None;
    object.metadata.creation_timestamp = None;
    object.metadata.generation = None;
    let created = world.webhooks().create(&PostParams::default(), &object).await.unwrap();
    assert_ne!(created.uid(), backup.uid());
    if with_status {
        put_status(world, &backup.name_any(), status_of(backup)).await;
    }
    created
}

/// One webhook at Orion, its id recorded, Ready.
async fn one_is_left(world: &World, name: &str, presence: &str) -> String {
    let recorded = until("one webhook, and its id in the status", async || {
        let webhook = world.get(name).await;
        let recorded = webhook.status.as_ref().and_then(|status| status.webhook_id.clone());
        let at_orion: Vec<_> = world.at_orion(presence).into_iter().map(|webhook| webhook.id).collect();
        recorded.filter(|recorded| at_orion == [recorded.clone()])
    })
    .await;
    assert_eq!(id(&world.synced(name).await), recorded);
    recorded
}

#[test]
fn a_webhook_restored_under_a_new_uid_keeps_its_webhook() {
    for with_status in [true, false] {
        run(async |world| {
            let mut operator = world.operator(&[]).await;
            world.create("hook", spec("restored")).await;
            let backup = world.synced("hook").await;
            operator.stop().await;
            deleted_by_force(&world, "hook").await;
            restored(&world, &backup, with_status).await;
            let _operator = world.operator(&[]).await;
            assert_eq!(one_is_left(&world, "hook", "restored").await, id(&backup));
            assert_eq!(world.calls(Operation::Create), 1);
            world.deleted("hook").await;
            assert!(world.sim.webhooks().is_empty());
        });
    }
}

#[test]
fn a_webhook_restored_while_the_operator_works_keeps_one_webhook() {
    for (with_status, is_seen) in [(true, true), (true, false), (false, true), (false, false)] {
        run(async |world| {
            let operator = world.operator(&["--interval", "2s"]).await;
            world.create("hook", spec("restored-alive")).await;
            let backup = world.synced("hook").await;
            if !is_seen {
                operator.signal("STOP");
            }
            deleted_by_force(&world, "hook").await;
            restored(&world, &backup, with_status).await;
            operator.signal("CONT");
            let left = one_is_left(&world, "hook", "restored-alive").await;
            if !is_seen {
                assert_eq!((left, world.calls(Operation::Create)), (id(&backup), 1));
            }
            world.deleted("hook").await;
            assert!(world.sim.webhooks().is_empty());
        });
    }
}

#[test]
fn a_name_that_is_used_again_at_once_leaves_one_webhook() {
    for is_seen in [true, false] {
        run(async |world| {
            let operator = world.operator(&["--interval", "2s"]).await;
            world.create("hook", spec("reused")).await;
            for _ in 0..3 {
                world.synced("hook").await;
                if !is_seen {
                    operator.signal("STOP");
                }
                deleted_by_force(&world, "hook").await;
                world.create("hook", spec("reused")).await;
                operator.signal("CONT");
            }
            one_is_left(&world, "hook", "reused").await;
            world.deleted("hook").await;
            assert!(world.sim.webhooks().is_empty());
        });
    }
}

/// A Webhook whose webhook was lost at Orion and made again; gives what its status was before that.
async fn made_again(world: &World, presence: &str) -> (Webhook, Webhook) {
    let mut declared = spec(presence);
    declared["interval"] = json!("1s");
    world.create("hook", declared).await;
    let before = world.synced("hook").await;
    world.sim.remove(&id(&before));
    let after = until("it is made again", async || {
        let webhook = world.get("hook").await;
        let status = webhook.status.as_ref().unwrap();
        status.webhook_id.as_ref().is_some_and(|now| *now != id(&before)).then_some(webhook)
    })
    .await;
    (before, after)
}

#[test]
fn a_status_of_before_the_webhook_was_made_again_is_set_right() {
    for is_alive in [true, false] {
        run(async |world| {
            let mut operator = world.operator(&[]).await;
            let (before, after) = made_again(&world, "older").await;
            for status in [status_of(&before), json!({"observedGeneration": 1}), json!({})] {
                if is_alive {
                    put_status(&world, "hook", status).await;
                } else {
                    operator.stop().await;
                    put_status(&world, "hook", status).await;
                    operator = world.operator(&[]).await;
                }
                assert_eq!(one_is_left(&world, "hook", "older").await, id(&after));
                assert_eq!(world.calls(Operation::Create), 2);
            }
        });
    }
}

#[test]
fn a_whole_backup_of_before_the_webhook_was_made_again_is_set_right() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        let (before, after) = made_again(&world, "older-whole").await;
        operator.stop().await;
        deleted_by_force(&world, "hook").await;
        restored(&world, &before, true).await;
        let _operator = world.operator(&[]).await;
        assert_eq!(one_is_left(&world, "hook", "older-whole").await, id(&after));
        assert_eq!(world.calls(Operation::Create), 2);
    });
}

#[test]
fn a_backup_of_an_attempt_that_was_refused_leaves_one_webhook() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(422)).once());
        let mut declared = spec("refused-once");
        declared["interval"] = json!("2s");
        world.create("hook", declared).await;
        let refused = world.ready("hook", "False", "Rejected").await;
        world.annotate("hook", "reconcile.fluxcd.io/requestedAt", "now").await;
        world.synced("hook").await;
        operator.stop().await;
        // Finalizer, attempt and the note that it made nothing, all from then: the next attempt left no trace.
        deleted_by_force(&world, "hook").await;
        restored(&world, &refused, true).await;
        let _operator = world.operator(&[]).await;
        one_is_left(&world, "hook", "refused-once").await;
        world.deleted("hook").await;
        assert!(world.sim.webhooks().is_empty());
    });
}

#[test]
fn a_status_wiped_together_with_its_attempt_finds_its_webhook_again() {
    for is_alive in [true, false] {
        run(async |world| {
            let mut operator = world.operator(&[]).await;
            world.create("hook", spec("bare")).await;
            let first = id(&world.synced("hook").await);
            if !is_alive {
                operator.stop().await;
            }
            world.merge("hook", json!({"metadata": {"annotations": {CREATE_ATTEMPT: null}}})).await;
            put_status(&world, "hook", json!({})).await;
            if !is_alive {
                operator = world.operator(&[]).await;
            }
            assert_eq!(one_is_left(&world, "hook", "bare").await, first);
            assert_eq!(world.calls(Operation::Create), 1);
            operator.stop().await;
        });
    }
}

#[test]
fn a_status_wiped_while_its_create_is_uncertain_makes_no_second_one() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
        world.create("hook", spec("wiped-early")).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        put_status(&world, "hook", json!({})).await;
        one_is_left(&world, "hook", "wiped-early").await;
        assert_eq!(world.calls(Operation::Create), 1);
    });
}
