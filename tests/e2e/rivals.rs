//! Operators without leader election that work on the same objects at once.

use devkit::sim::{Action, Answered, Fault, Operation};
use futures::{StreamExt, stream};
use serde_json::json;

use super::world::{World, id, run, spec, until};

const MANY: usize = 40;

fn name(n: usize) -> String {
    format!("hook-{n}")
}

/// Each POST is slow, and half of them go wrong: with effect (all but 503) or without.
fn faults(world: &World) {
    for n in 0..MANY {
        let on_post = |action| Fault::on(Operation::Create, action).presence(name(n));
        let latency = if n % 2 == 0 { Action::LatencyMs(150) } else { Action::LatencyAfterEffectMs(150) };
        world.sim.add_fault(on_post(latency));
        let action = match n % 8 {
            0 => Action::LostAnswer,
            1 => Action::status_after_effect(502),
            2 => Action::status(503),
            3 => Action::Truncated,
            _ => continue,
        };
        world.sim.add_fault(on_post(action).once());
    }
}

async fn create_all(world: &World) {
    let create = async |n| {
        world.create(&name(n), spec(&name(n))).await;
    };
    stream::iter(0..MANY).for_each_concurrent(8, create).await;
}

/// Each has one webhook, which it knows, and no attempt and no webhook was sent twice.
async fn each_has_one(world: &World) {
    for n in 0..MANY {
        let webhook = world.synced(&name(n)).await;
        let at_orion = world.at_orion(&name(n));
        assert_eq!(at_orion.len(), 1, "{at_orion:?}");
        assert_eq!(at_orion[0].id, id(&webhook));
        assert_eq!(at_orion[0].user_id, webhook.spec.user_id);
        let posts = world.posts(&name(n));
        let with_effect = posts.iter().filter(|post| post.status != Answered::Status(503)).count();
        assert_eq!(with_effect, 1, "{posts:?}");
    }
    assert_eq!(world.sim.webhooks().len(), MANY);
}

async fn none_is_left(world: &World) {
    for n in 0..MANY {
        world.delete(&name(n)).await;
    }
    for n in 0..MANY {
        until("it is gone", async || world.webhooks().get_opt(&name(n)).await.unwrap().is_none().then_some(())).await;
    }
    assert!(world.sim.webhooks().is_empty());
}

#[test]
fn three_operators_with_lost_answers_make_one_webhook_each() {
    run(async |world| {
        faults(&world);
        let _operators = (world.operator(&[]).await, world.operator(&[]).await, world.operator(&[]).await);
        create_all(&world).await;
        for n in (0..MANY).step_by(3) {
            world.merge(&name(n), json!({"spec": {"userId": "edited"}})).await;
        }
        each_has_one(&world).await;
        none_is_left(&world).await;
    });
}

#[test]
fn two_operators_that_are_killed_in_turn_make_one_webhook_each() {
    run(async |world| {
        faults(&world);
        let (mut one, mut two) = (world.operator(&[]).await, world.operator(&[]).await);
        let kills = async {
            for _ in 0..4 {
                let posts = world.calls(Operation::Create);
                until("there is work", async || {
                    (world.calls(Operation::Create) > posts + 2 || posts >= MANY as u64).then_some(())
                })
                .await;
                one.kill();
                std::mem::swap(&mut one, &mut two);
                two = world.operator(&[]).await;
            }
        };
        tokio::join!(create_all(&world), kills);
        each_has_one(&world).await;
        none_is_left(&world).await;
    });
}

#[test]
fn deletes_under_two_operators_with_lost_answers_leave_nothing() {
    run(async |world| {
        faults(&world);
        for n in (0..MANY).step_by(4) {
            let fault = Fault::on(Operation::Delete, Action::LostAnswer).presence(name(n));
            world.sim.add_fault(fault.once());
        }
        let _operators = (world.operator(&[]).await, world.operator(&[]).await);
        create_all(&world).await;
        // While many a POST is still in flight or of unknown result.
        none_is_left(&world).await;
    });
}
