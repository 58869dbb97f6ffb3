//! Kustomizations that wait for each other, and for not longer than they should.

use devkit::sim::{Action, Fault, Operation};
use serde_json::json;

use super::delivery::Delivery;
use super::rig::webhook;
use super::stack::run;

#[test]
fn what_depends_on_webhooks_waits_for_them() {
    run("what_depends_on_webhooks_waits_for_them", async |stack| {
        stack.sim.add_fault(Fault::on(Operation::Create, Action::status(503)).presence("before"));
        let files = |name: &str| [("webhook.yaml", webhook(name, "one").to_string())];
        let (before, digest) = Delivery::start(stack, "before", &files("before"), json!({"timeout": "30s"})).await;
        let depends = json!({"dependsOn": [{"name": "before"}]});
        let (after, after_digest) = Delivery::start(stack, "after", &files("after"), depends).await;
        stack.is("Kustomization", "after", "False", "DependencyNotReady").await;
        // When `timeout` is over.
        let message = stack.is("Kustomization", "before", "False", "HealthCheckFailed").await;
        assert!(message.contains("Webhook/before/before"), "{message}");
        assert!(stack.webhooks("after").get_opt("after").await.unwrap().is_none());

        stack.sim.clear_faults();
        stack.reconcile("Kustomization", "before").await;
        before.turns_green(&digest).await;
        after.turns_green(&after_digest).await;
        assert_eq!(stack.at_orion("after").len(), 1);
        after.end().await;
        before.end().await;
    });
}
