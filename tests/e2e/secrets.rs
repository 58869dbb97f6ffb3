//! Header values from Secrets: found, refused, and never shown.

use devkit::sim::{Action, Fault, Operation};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::world::{condition, forms, headers, run, spec, until};

fn with_secret(presence: &str, name: &str, key: &str) -> serde_json::Value {
    let mut declared = spec(presence);
    declared["headers"] =
        json!([{"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]);
    declared
}

#[test]
fn a_missing_secret_is_waited_for_and_seen_at_once() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", with_secret("later", "later", "token")).await;
        let webhook = world.ready("hook", "False", "SecretNotFound").await;
        assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));
        world.secret("later", json!({"other": "x"})).await;
        world.ready("hook", "False", "SecretNotFound").await;
        assert_eq!(world.calls(Operation::Create), 0);
        world.secret("later", json!({"token": "there"})).await;
        world.synced("hook").await;
        assert_eq!(headers(&world.at_orion("later")[0]).0[0].1, "there");
    });
}

#[test]
fn a_value_that_no_header_can_carry_is_refused_until_it_is_changed() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        for (name, value) in [("newline", "value\n"), ("empty", ""), ("unicode", "gr\u{fc}n"), ("split", "a\r\nX-B: c")]
        {
            world.secret(name, json!({"token": value})).await;
            world.create(name, with_secret(name, name, "token")).await;
            let webhook = world.ready(name, "False", "SecretInvalid").await;
            assert_eq!(condition(&webhook, "Stalled").as_deref(), Some("True"), "{name}");
        }
        assert_eq!(world.calls(Operation::Create), 0);
        world.secret("newline", json!({"token": "value"})).await;
        world.synced("newline").await;
    });
}

#[test]
fn a_secret_that_opens_the_cluster_is_never_sent() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        let yaml = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: release, namespace: {}}}\ntype: helm.sh/release.v1\nstringData: {{token: x}}",
            world.namespace
        );
        world.plane.apply(&yaml).await.unwrap();
        world.create("hook", with_secret("release", "release", "token")).await;
        world.ready("hook", "False", "SecretInvalid").await;
        assert_eq!(world.calls(Operation::Create), 0);
    });
}

#[test]
fn a_secret_value_shows_nowhere_whatever_goes_wrong() {
    run(async |world| {
        let header = "c4nary-header-0f9e8d7c6b5a+/=";
        let rotated = "c4nary-rotated-1a2b3c4d5e6f+/=";
        let token = "t0ken-canary-9988776655443322";
        std::fs::write(&world.token_file, token).unwrap();
        world.sim.config(|config| config.static_tokens = vec![token.into()]);
        let mut operator = world.operator(&["--interval", "2s"]).await;
        world.secret("hook-secret", json!({"token": header})).await;
        for (name, action) in [
            ("refused", Some(Action::status(422))),
            ("html", Some(Action::HtmlBody)),
            ("lost", Some(Action::LostAnswer)),
            ("fine", None),
        ] {
            if let Some(action) = action {
                world.sim.add_fault(Fault::on(Operation::Create, action).presence(name));
            }
            world.create(name, with_secret(name, "hook-secret", "token")).await;
        }
        world.ready("refused", "False", "Rejected").await;
        world.ready("html", "Unknown", "CreateUncertain").await;
        world.synced("fine").await;
        world.secret("hook-secret", json!({"token": rotated})).await;
        until("rotated", async || (headers(&world.at_orion("fine")[0]).0[0].1 == rotated).then_some(())).await;
        world.sim.clear_faults();
        world.synced("lost").await;
        world.sim.revoke_tokens();
        world.sim.config(|config| config.static_tokens = Vec::new());
        world.merge("fine", json!({"spec": {"userId": "other"}})).await;
        world.ready("fine", "False", "Unauthorized").await;
        operator.stop().await;

        let webhooks =
            serde_json::to_string(&world.webhooks().list(&ListParams::default()).await.unwrap().items).unwrap();
        let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
        let events = serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap();
        let log = operator.log();
        assert!(log.contains("\"level\":\"DEBUG\""), "the log is at its finest");
        assert!(events.contains("Rejected"), "there are Events");
        for secret in [header, rotated, token] {
            for form in forms(secret) {
                for (place, text) in [("objects", &webhooks), ("Events", &events), ("log", &log)] {
                    assert!(!text.contains(&form), "{form} shows in the {place}");
                }
            }
        }
    });
}
