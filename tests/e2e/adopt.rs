//! Taking over what is at Orion already.

use devkit::sim::{Operation, StoredWebhook};
use serde_json::json;

use super::world::{headers, id, message, run, spec};

fn by_hand(presence: &str) -> StoredWebhook {
    StoredWebhook::new("https://hooks.example.com/orion", "user-42", presence).header("X-Team", "data")
}

#[test]
fn adoption_writes_nothing_when_nothing_differs() {
    run(async |world| {
        let _operator = world.operator(&["--allow-adoption"]).await;
        let made = world.sim.insert(by_hand("adopt"));
        let mut declared = spec("adopt");
        declared["headers"] = json!([{"name": "X-Team", "value": "data"}]);
        declared["adopt"] = json!({"id": made});
        world.create("hook", declared).await;
        assert_eq!(id(&world.synced("hook").await), made);
        assert!(world.sim.requests().iter().all(|request| request.method == "GET"), "{:?}", world.sim.counts());

        world.merge("hook", json!({"spec": {"userId": "other"}})).await;
        world.synced("hook").await;
        let (_, marker) = headers(&world.at_orion("adopt")[0]);
        assert!(marker.is_some(), "an update puts the marker on");
        world.deleted("hook").await;
        assert!(world.at_orion("adopt").is_empty(), "an adopted webhook is deleted like any other");
    });
}

#[test]
fn adoption_brings_the_webhook_to_what_is_declared() {
    run(async |world| {
        let _operator = world.operator(&["--allow-adoption"]).await;
        let made = world.sim.insert(by_hand("adopt-differs"));
        let mut declared = spec("adopt-differs");
        declared["adopt"] = json!({"id": made});
        world.create("hook", declared).await;
        world.synced("hook").await;
        assert_eq!(headers(&world.at_orion("adopt-differs")[0]).0, []);
        assert_eq!(world.calls(Operation::Create), 0);
    });
}

#[test]
fn adoption_that_cannot_be_is_told() {
    run(async |world| {
        let _operator = world.operator(&["--allow-adoption"]).await;
        let mut missing = spec("missing");
        missing["adopt"] = json!({"id": "wh_nowhere"});
        world.create("missing", missing).await;
        world.ready("missing", "False", "AdoptionFailed").await;

        world.create("holder", spec("held")).await;
        let held = id(&world.synced("holder").await);
        let mut second = spec("held");
        second["adopt"] = json!({"id": held});
        world.create("second", second).await;
        assert!(message(&world.ready("second", "False", "Conflict").await).contains("holder"));

        let foreign = by_hand("foreign").header("X-Orion-Operator-Owner", "v1.aaaaaaaa.bbbbbb.cccccccccccc");
        let foreign = world.sim.insert(foreign);
        let mut third = spec("foreign");
        third["adopt"] = json!({"id": foreign});
        world.create("third", third.clone()).await;
        world.ready("third", "False", "Conflict").await;
        world.merge("third", json!({"spec": {"adopt": {"force": true}}})).await;
        world.synced("third").await;
        let (_, marker) = headers(&world.at_orion("foreign")[0]);
        assert!(!marker.unwrap().contains("aaaaaaaa"), "force puts our marker on");

        for name in ["second", "missing"] {
            world.deleted(name).await;
        }
        assert_eq!(world.at_orion("held").len(), 1, "what was never ours is not deleted");
    });
}

#[test]
fn adoption_is_denied_by_default() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        let made = world.sim.insert(by_hand("denied"));
        let mut declared = spec("denied");
        declared["adopt"] = json!({"id": made});
        world.create("hook", declared).await;
        world.ready("hook", "False", "NotAllowed").await;
        world.deleted("hook").await;
        assert_eq!(world.at_orion("denied").len(), 1);
    });
}
