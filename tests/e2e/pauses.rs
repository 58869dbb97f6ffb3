//! A process that stands still (SIGSTOP) around its POST, for longer than the settle time, with or without another one
//! that takes over meanwhile.

use std::time::Duration;

use devkit::sim::{Action, BodyKind, ErrorAnswer, Fault, Operation};
use kube::ResourceExt;
use orion_operator::api::CREATE_ATTEMPT;

use super::gate::Gate;
use super::operator::Operator;
use super::world::{World, id, run, spec, until, until_each};

/// Past every settle time of these tests, 5 s at most.
const LONG: Duration = Duration::from_secs(6);

/// Continues a process, and waits until it has looked at everything again.
async fn awake(world: &World, operator: &Operator, name: &str) {
    let is_settling = |line: &&str| line.contains("\"message\":\"step\"") && line.contains("\"step\":\"Settle\"");
    let settled = || operator.log().lines().filter(is_settling).count();
    operator.signal("CONT");
    let before = settled();
    until("the process that stood still has looked", async || (settled() > before).then_some(())).await;
    // Once more, with what it has learned.
    let before = settled();
    world.annotate(name, "reconcile.fluxcd.io/requestedAt", "awake").await;
    until("it has looked again", async || (settled() > before).then_some(())).await;
}

/// One webhook at Orion, its id recorded, Ready.
async fn one_is_left(world: &World, name: &str, presence: &str) -> String {
    let recorded = id(&world.synced(name).await);
    let at_orion: Vec<_> = world.at_orion(presence).into_iter().map(|webhook| webhook.id).collect();
    assert_eq!(at_orion, std::slice::from_ref(&recorded));
    recorded
}

fn refused_for_now() -> Action {
    Action::Status(ErrorAnswer { code: 429, body: BodyKind::Json, retry_after: Some("2".into()) })
}

#[test]
fn an_attempt_that_stood_still_is_not_sent_any_more() {
    run(async |world| {
        let operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, refused_for_now()).once());
        world.create("hook", spec("stood-still")).await;
        world.ready("hook", "False", "RateLimited").await;
        // An attempt is in its hands, to be sent again. Nothing tells a process that it stood still but a clock.
        operator.signal("STOP");
        tokio::time::sleep(LONG).await;
        awake(&world, &operator, "hook").await;
        one_is_left(&world, "hook", "stood-still").await;
        let posts = world.posts("stood-still");
        assert_eq!(posts.len(), 2);
        assert_ne!(posts[0].headers["idempotency-key"], posts[1].headers["idempotency-key"]);
    });
}

#[test]
fn an_attempt_that_another_took_over_is_not_sent_any_more() {
    run(async |world| {
        let operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, refused_for_now()).once());
        world.create("hook", spec("taken-over")).await;
        world.ready("hook", "False", "RateLimited").await;
        operator.signal("STOP");
        let _other = world.operator(&[]).await;
        let recorded = one_is_left(&world, "hook", "taken-over").await;
        awake(&world, &operator, "hook").await;
        assert_eq!(one_is_left(&world, "hook", "taken-over").await, recorded);
        assert_eq!(world.posts("taken-over").len(), 2);
    });
}

/// Lets the operator run by a millisecond at a time, and leaves it stopped where it has recorded an attempt and nothing
/// of the POST is on its way; `is_sending`: it has decided to send it, and is about to. Gives the name of that Webhook.
async fn stopped_before_a_post(world: &World, operator: &Operator, is_sending: bool) -> String {
    for number in 0..100 {
        let name = format!("hook-{number}");
        operator.signal("STOP");
        let writings = || operator.log().lines().filter(|line| line.contains("about to write a request")).count();
        let before = writings();
        world.create(&name, spec(&name)).await;
        let (decided, of_this) = ("\"step\":\"Post\"", format!("{}/{name}\"", world.namespace));
        let is_hit = until_each(Duration::ZERO, "an attempt", async || {
            operator.signal("CONT");
            tokio::time::sleep(Duration::from_millis(1)).await;
            operator.signal("STOP");
            let is_begun = world.get(&name).await.annotations().contains_key(CREATE_ATTEMPT);
            let has_decided = operator.log().lines().any(|line| line.contains(decided) && line.contains(&of_this));
            let is_posted = writings() > before || !world.posts(&name).is_empty();
            (is_begun && (has_decided || !is_sending)).then_some(has_decided == is_sending && !is_posted)
        })
        .await;
        if is_hit {
            return name;
        }
        operator.signal("CONT");
    }
    panic!("it was never stopped where it should be");
}

#[test]
fn a_process_that_is_stopped_right_before_its_post_does_not_send_it_late() {
    for is_sending in [false, true] {
        run(async |world| {
            let operator = world.operator(&[]).await;
            let name = stopped_before_a_post(&world, &operator, is_sending).await;
            tokio::time::sleep(LONG).await;
            awake(&world, &operator, &name).await;
            one_is_left(&world, &name, &name).await;
            let (posts, webhook) = (world.posts(&name), world.get(&name).await);
            assert_eq!(posts.len(), 1);
            assert!(webhook.annotations()[CREATE_ATTEMPT].starts_with(&posts[0].headers["idempotency-key"]));
        });
    }
}

#[test]
fn a_process_that_is_stopped_right_before_its_post_does_not_send_it_after_another() {
    for is_sending in [false, true] {
        run(async |world| {
            let operator = world.operator(&[]).await;
            let name = stopped_before_a_post(&world, &operator, is_sending).await;
            let _other = world.operator(&[]).await;
            let recorded = one_is_left(&world, &name, &name).await;
            awake(&world, &operator, &name).await;
            assert_eq!(one_is_left(&world, &name, &name).await, recorded);
            assert_eq!(world.posts(&name).len(), 1);
        });
    }
}

/// Leaves the operator stopped where its POST of `hook` waits for a connection, and has that established then.
async fn stopped_in_the_connection(world: &World, gate: &mut Gate) -> Operator {
    let operator = world.operator_at(&gate.url(), &[]).await;
    world.create("first", spec("first")).await;
    world.synced("first").await;
    gate.shut().await;
    world.create("hook", spec("connecting")).await;
    until_each(Duration::from_millis(5), "the POST waits", async || gate.is_knocked_at().then_some(())).await;
    operator.signal("STOP");
    gate.open();
    until("the connection is established", async || (!gate.is_knocked_at()).then_some(())).await;
    assert!(world.posts("connecting").is_empty());
    operator
}

#[test]
fn a_post_whose_connection_was_long_in_coming_is_not_sent_after_another() {
    for is_taken_over in [false, true] {
        run(async |world| {
            let mut gate = Gate::new(&world.sim.url());
            let operator = stopped_in_the_connection(&world, &mut gate).await;
            let _other = if is_taken_over {
                let other = world.operator_at(&gate.url(), &[]).await;
                one_is_left(&world, "hook", "connecting").await;
                Some(other)
            } else {
                tokio::time::sleep(LONG).await;
                None
            };
            awake(&world, &operator, "hook").await;
            one_is_left(&world, "hook", "connecting").await;
            let (posts, webhook) = (world.posts("connecting"), world.get("hook").await);
            assert_eq!(posts.len(), 1);
            assert!(webhook.annotations()[CREATE_ATTEMPT].starts_with(&posts[0].headers["idempotency-key"]));
        });
    }
}

#[test]
fn an_answer_that_came_while_the_process_stood_still_changes_nothing() {
    for is_taken_over in [false, true] {
        run(async |world| {
            let operator = world.operator(&["--orion-timeout", "2s"]).await;
            world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(500)).once());
            world.create("hook", spec("answered")).await;
            world.in_flight(&["answered"]).await;
            operator.signal("STOP");
            let _other = if is_taken_over {
                let other = world.operator(&[]).await;
                one_is_left(&world, "hook", "answered").await;
                Some(other)
            } else {
                tokio::time::sleep(LONG).await;
                None
            };
            let made = world.at_orion("answered")[0].id.clone();
            awake(&world, &operator, "hook").await;
            assert_eq!(one_is_left(&world, "hook", "answered").await, made);
            assert_eq!(world.posts("answered").len(), 1);
        });
    }
}

#[test]
fn a_failure_that_came_while_another_took_over_changes_nothing() {
    run(async |world| {
        let operator = world.operator(&["--orion-timeout", "2s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(500)).once());
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(503)).once());
        world.create("hook", spec("failed-late")).await;
        world.in_flight(&["failed-late"]).await;
        operator.signal("STOP");
        let _other = world.operator(&[]).await;
        let recorded = one_is_left(&world, "hook", "failed-late").await;
        awake(&world, &operator, "hook").await;
        assert_eq!(one_is_left(&world, "hook", "failed-late").await, recorded);
        assert_eq!(world.posts("failed-late").len(), 2);
    });
}

#[test]
fn an_answer_for_an_object_that_is_gone_meanwhile_is_not_recorded_in_the_next_of_its_name() {
    run(async |world| {
        let operator = world.operator(&["--orion-timeout", "2s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(500)).once());
        world.create("hook", spec("before")).await;
        world.in_flight(&["before"]).await;
        operator.signal("STOP");
        let _other = world.operator(&[]).await;
        world.deleted("hook").await;
        assert!(world.sim.webhooks().is_empty(), "what was in flight is deleted too");
        world.create("hook", spec("after")).await;
        let recorded = one_is_left(&world, "hook", "after").await;
        awake(&world, &operator, "hook").await;
        assert_eq!(one_is_left(&world, "hook", "after").await, recorded);
        assert_eq!((world.sim.webhooks().len(), world.calls(Operation::Create)), (1, 2));
    });
}
