//! Many Webhooks, counted exactly.

use std::collections::BTreeMap;
use std::time::Duration;

use devkit::sim::Action;
use devkit::sim::{Fault, Operation};
use futures::{StreamExt, stream};
use kube::api::ListParams;
use orion_operator::api::ready_condition;
use serde_json::json;

use super::world::{World, run, spec, until};

const FLEET: usize = 200;

async fn all_ready(world: &World, number: usize) {
    until("all are Ready", async || {
        let list = world.webhooks().list(&ListParams::default()).await.unwrap();
        let is_ready = |webhook: &&orion_operator::api::Webhook| {
            webhook
                .status
                .as_ref()
                .and_then(|status| ready_condition(&status.conditions))
                .is_some_and(|ready| ready.status == "True")
        };
        (list.items.iter().filter(is_ready).count() == number).then_some(())
    })
    .await;
}

#[test]
fn two_writes_and_one_call_each_then_nothing() {
    run(async |world| {
        // The limit of the flags' defaults, so that waiting for it is part of what is counted.
        let mut operator = world.operator(&["--orion-rate-limit", "20/40", "--interval", "5m"]).await;
        stream::iter(0..FLEET)
            .for_each_concurrent(16, |n| {
                let world = &world;
                async move {
                    world.create(&format!("hook-{n}"), spec(&format!("fleet-{n}"))).await;
                }
            })
            .await;
        all_ready(&world, FLEET).await;
        assert_eq!(world.calls(Operation::Create), FLEET as u64);
        // What Orion can do is asked for once.
        assert!(world.sim.requests().len() <= FLEET + 1, "{:?}", world.sim.counts());
        assert_eq!(world.sim.webhooks().len(), FLEET);
        world.audited(2 * FLEET).await;
        assert_eq!((world.writes().len(), not_twice(&world)), (2 * FLEET, BTreeMap::new()));

        // Quiet: this is the one place where time itself is what is tested.
        let (calls, writes) = (world.sim.requests().len(), world.writes().len());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((world.sim.requests().len(), world.writes().len()), (calls, writes), "60 quiet seconds");

        // A restart reads, and writes nothing.
        assert!(operator.stop().await.success());
        world.sim.clear_requests();
        let _operator = world.operator(&["--orion-rate-limit", "20/40", "--interval", "5m"]).await;
        until("the list is read after the restart", async || (world.calls(Operation::List) > 0).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let pages = FLEET.div_ceil(100) as u64;
        assert_eq!(world.calls(Operation::List), pages, "{:?}", world.sim.counts());
        assert_eq!(world.sim.requests().iter().filter(|request| request.method != "GET").count(), 0);
        assert_eq!(world.sim.counts().into_iter().filter(|(operation, _)| *operation == Operation::Get).count(), 0);
        assert_eq!(world.writes().len(), writes, "a restart writes nothing");
    });
}

#[test]
fn one_bad_webhook_does_not_slow_the_others() {
    run(async |world| {
        let _operator = world.operator(&["--max-concurrent-reconciles", "2"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::Stall).presence("bad"));
        world.create("bad", spec("bad")).await;
        until("the bad one hangs", async || (world.calls(Operation::Create) > 0).then_some(())).await;
        for n in 0..20 {
            world.create(&format!("good-{n}"), spec(&format!("good-{n}"))).await;
        }
        until("the good ones are Ready", async || (world.sim.webhooks().len() >= 20).then_some(())).await;
        for n in 0..20 {
            world.synced(&format!("good-{n}")).await;
        }
        // The stall came after the effect: the webhook is there, and is found by its marker.
        world.synced("bad").await;
        assert_eq!(world.at_orion("bad").len(), 1);
    });
}

#[test]
fn one_write_and_one_call_for_a_change_and_one_list_to_see_that_nothing_changed() {
    const FEW: usize = 120;
    const ALTERED: usize = 10;
    let pages = FEW.div_ceil(100) as u64;
    run(async |world| {
        let each = |n: usize| (format!("hook-{n}"), format!("few-{n}"));
        let mut operator = world.operator(&["--interval", "1h"]).await;
        for n in 0..FEW {
            let (name, presence) = each(n);
            world.create(&name, spec(&presence)).await;
        }
        all_ready(&world, FEW).await;
        let created = world.audited(2 * FEW).await;
        assert_eq!((created, not_twice(&world)), (2 * FEW, BTreeMap::new()));

        world.sim.clear_requests();
        for n in 0..FEW {
            world.merge(&each(n).0, json!({"spec": {"url": "https://hooks.example.com/other"}})).await;
        }
        let at_orion = || world.sim.webhooks().iter().filter(|it| it.url.ends_with("/other")).count();
        until("all are updated", async || (at_orion() == FEW).then_some(())).await;
        for n in 0..FEW {
            world.synced(&each(n).0).await;
        }
        assert_eq!(world.audited(created + FEW).await, created + FEW, "an update is one write");
        assert_eq!((world.calls(Operation::Put), world.sim.requests().len()), (FEW as u64, FEW), "and one call");
        assert!(operator.stop().await.success());

        // Many rounds, with Webhooks that were all checked at another time before.
        world.sim.clear_requests();
        let mut operator = world.operator(&["--interval", "10s"]).await;
        until("drift was looked for", async || (world.calls(Operation::List) >= 4 * pages).then_some(())).await;
        let (lists, seconds) = (world.calls(Operation::List), lasted(&world));
        // The first one is that of the start.
        assert!(lists <= pages * (2 + seconds / 10), "{lists} pages in {seconds} s");
        let others = world.sim.requests().iter().filter(|it| it.operation != Operation::List).count();
        // What Orion can do is asked for once.
        assert!(others <= 1, "{:?}", world.sim.counts());
        assert_eq!(world.writes().len(), created + FEW, "nothing changed, nothing is written");

        for webhook in world.sim.webhooks().iter().take(ALTERED) {
            world.sim.edit(&webhook.id, |webhook| webhook.url.push_str("/altered"));
        }
        until("drift is healed", async || (at_orion() == FEW).then_some(())).await;
        assert_eq!(world.calls(Operation::Put), ALTERED as u64, "one call heals one");
        assert_eq!(world.writes().len(), created + FEW, "and its status was true before and is again");
        assert!(operator.stop().await.success());

        world.sim.clear_requests();
        let _operator = world.operator(&["--interval", "1h"]).await;
        for n in 0..FEW {
            world.delete(&each(n).0).await;
        }
        until("all are gone", async || {
            world.webhooks().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        assert_eq!(world.audited(created + 2 * FEW).await, created + 2 * FEW, "a deletion is one write");
        assert_eq!(world.calls(Operation::Delete), FEW as u64, "and one call");
    });
}

/// Webhooks that were not written twice, with the writes.
fn not_twice(world: &World) -> BTreeMap<String, Vec<(String, u16)>> {
    let mut each: BTreeMap<String, Vec<(String, u16)>> = BTreeMap::new();
    for write in world.writes() {
        each.entry(write.name.clone()).or_default().push((write.request_uri.clone(), write.code));
    }
    each.retain(|_, writes| writes.len() != 2);
    each
}

/// Seconds between the first and the last request to Orion, rounded up.
fn lasted(world: &World) -> u64 {
    let times: Vec<jiff::Timestamp> = world.sim.requests().iter().map(|it| it.time.parse().unwrap()).collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    u64::try_from(last.duration_since(*first).as_millis()).unwrap().div_ceil(1000)
}
