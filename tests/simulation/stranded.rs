//! A Webhook in a namespace that is terminating, whose connection went before it: let go after 10 minutes, and told.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::apiserver::{GROUP_VERSION, Key, Part};
use super::person::{key, name};
use super::scenario::{setting, simulate};
use super::world::{NAMESPACE, World};

const FINALIZER: &str = "orion-operator.dev/webhook";

fn namespace() -> Key {
    ("namespaces".into(), String::new(), NAMESPACE.into())
}

/// A Webhook that has a webhook at an Orion that nothing leads to any more, and is going.
fn strand(world: &World) {
    let webhook = json!({
        "apiVersion": GROUP_VERSION, "kind": "Webhook", "metadata": {"name": name(0), "finalizers": [FINALIZER]},
        "spec": {
            "url": "https://hooks.example.com/0", "userId": "user-42", "presenceName": name(0),
            "connectionRef": {"name": "went-before"},
        },
    });
    world.api.change(|store| {
        store.create(key(0), webhook).unwrap();
        store
            .update(&key(0), Part::Status, |object| {
                object["status"] = json!({"webhookId": "wh_left", "endpoint": "https://acme.example.com/v1alpha"});
                Ok(())
            })
            .unwrap();
        store.delete(&key(0)).unwrap();
    });
}

fn is_there(world: &World) -> bool {
    world.api.store().get(&key(0)).is_ok()
}

fn told(world: &World) -> Vec<Value> {
    world.api.store().list("events", None).filter(|event| event["reason"] == "LeftBehind").cloned().collect()
}

#[test]
fn it_is_let_go_after_ten_minutes_and_not_before() {
    simulate(async {
        let world = World::new(setting(0, None));
        world.api.change(|store| {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "finalizers": ["kubernetes"]}});
            store.create(namespace(), object).unwrap();
        });
        strand(&world);
        world.operate();
        sleep(Duration::from_secs(1200)).await;
        assert!(is_there(&world), "the namespace lives: the connection may come back");
        world.api.change(|store| store.delete(&namespace()).map(drop)).unwrap();
        // Somebody asks at most every 5 minutes; from when it is seen it takes ten.
        sleep(Duration::from_secs(590)).await;
        assert!(is_there(&world) && told(&world).is_empty());
        // The clock of a process begins with the process.
        world.kill();
        sleep(Duration::from_secs(590)).await;
        assert!(is_there(&world) && told(&world).is_empty());
        sleep(Duration::from_secs(30)).await;
        assert!(!is_there(&world));
        let events = told(&world);
        let note = events.first().and_then(|event| event["note"].as_str()).unwrap_or_default();
        assert!(note.contains("wh_left") && note.contains("https://acme.example.com/v1alpha"), "{events:?}");
        assert_eq!(world.violations(), Vec::<String>::new());
    });
}
