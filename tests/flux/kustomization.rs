//! A Kustomization with `wait: true` says what is true of the Webhooks that it applies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use devkit::sim::{Action, Fault, Operation};
use kube::ResourceExt;
use orion_operator::api::{FINALIZER, Webhook};
use serde_json::json;

use super::delivery::{Delivery, WATCHED};
use super::rig::{PATIENCE, example, until, webhook};
use super::stack::{FLUX, run};

/// What stays where no Webhook is.
fn nothing() -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nothing"}}).to_string()
}

/// The files of `examples/gitops/flux` and `examples/webhook.yaml`, from nothing to Ready and back.
#[test]
fn a_kustomization_is_ready_when_orion_has_the_webhook_and_gone_when_it_has_not() {
    run("a_kustomization_is_ready_when_orion_has_the_webhook_and_gone_when_it_has_not", async |stack| {
        let presence = "job-notifications";
        stack.sim.stop().await.unwrap();
        let content = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/webhook.yaml")).unwrap();
        let (delivery, digest) = Delivery::of_the_examples(stack, content.clone()).await;
        delivery.webhook(presence, |_| true).await;
        delivery.stays_not_green(&digest).await;
        stack.sim.restart().await.unwrap();
        delivery.turns_green(&digest).await;
        assert_eq!(stack.at_orion(presence).len(), 1);

        // A change is not there before Orion has it either.
        stack.sim.stop().await.unwrap();
        let digest = delivery.push(content.replace("127.0.0.1:9000/orion", "127.0.0.1:9000/changed")).await;
        delivery.webhook(presence, |it| it.spec.url.ends_with("/changed")).await;
        delivery.stays_not_green(&digest).await;
        stack.sim.restart().await.unwrap();
        delivery.turns_green(&digest).await;
        assert!(stack.at_orion(presence)[0].url.ends_with("/changed"));

        // The Kustomization goes when the Webhook has gone, and that when Orion has deleted it.
        stack.sim.stop().await.unwrap();
        stack.delete("Kustomization", "orion-webhooks").await;
        delivery.webhook(presence, |it| it.metadata.deletion_timestamp.is_some()).await;
        tokio::time::sleep(WATCHED).await;
        assert!(stack.get("Kustomization", FLUX, "orion-webhooks").await.is_some());
        stack.sim.restart().await.unwrap();
        stack.is_gone("Kustomization", "orion-webhooks").await;
        assert_eq!(stack.at_orion(presence).len(), 0);
        stack.delete("OCIRepository", "orion-webhooks").await;
    });
}

#[test]
fn nothing_is_green_before_the_operator_has_seen_it() {
    run("nothing_is_green_before_the_operator_has_seen_it", async |stack| {
        stack.operator_ends();
        let files = [("webhook.yaml", webhook("unseen", "one").to_string())];
        let (delivery, digest) = Delivery::start(stack, "unseen", &files, json!({})).await;
        delivery.webhook("unseen", |_| true).await;
        delivery.stays_not_green(&digest).await;
        let status = stack.webhooks("unseen").get("unseen").await.unwrap().status.unwrap();
        assert_eq!(status.observed_generation, Some(-1));
        stack.operator_starts().await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.team_at_orion("unseen"), ["one"]);

        // What was Ready is not, once it is changed.
        stack.operator_ends();
        let digest = delivery.push(webhook("unseen", "two").to_string()).await;
        delivery.webhook("unseen", |it| it.metadata.generation == Some(2)).await;
        delivery.stays_not_green(&digest).await;
        stack.operator_starts().await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.team_at_orion("unseen"), ["two"]);
        delivery.end().await;
    });
}

#[test]
fn a_stalled_webhook_fails_the_kustomization_at_once() {
    run("a_stalled_webhook_fails_the_kustomization_at_once", async |stack| {
        stack.sim.add_fault(Fault::on(Operation::Create, Action::status(422)).presence("refused"));
        let started = Instant::now();
        let files = [("webhook.yaml", webhook("refused", "one").to_string())];
        let (delivery, _) = Delivery::start(stack, "refused", &files, json!({})).await;
        let message = stack.is("Kustomization", "refused", "False", "HealthCheckFailed").await;
        assert!(message.contains("failed early due to stalled resources"), "{message}");
        assert!(message.contains("Webhook/refused/refused"), "{message}");
        assert!(started.elapsed() < Duration::from_secs(60), "the time-out is 2 min: {:?}", started.elapsed());

        // Another artifact mends it: Orion takes this one.
        stack.sim.clear_faults();
        let digest = delivery.push(webhook("refused", "two").to_string()).await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.team_at_orion("refused"), ["two"]);
        delivery.end().await;
    });
}

#[test]
fn what_is_taken_out_of_the_source_is_deleted_at_orion() {
    run("what_is_taken_out_of_the_source_is_deleted_at_orion", async |stack| {
        let files = [("webhook.yaml", webhook("pruned", "one").to_string())];
        let (delivery, digest) = Delivery::start(stack, "pruned", &files, json!({})).await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.at_orion("pruned").len(), 1);
        let digest = delivery.push(nothing()).await;
        delivery.turns_green(&digest).await;
        let gone = async || stack.webhooks("pruned").get_opt("pruned").await.unwrap().is_none().then_some(());
        until(PATIENCE, "the Webhook is gone", gone).await;
        assert_eq!(stack.at_orion("pruned").len(), 0);
        delivery.end().await;
    });
}

/// Flux as a tenant of one namespace, with no right but the role `edit` there, which the chart adds to.
#[test]
fn a_tenant_with_the_role_edit_delivers_webhooks() {
    run("a_tenant_with_the_role_edit_delivers_webhooks", async |stack| {
        let account = format!("--serviceaccount={FLUX}:tenant");
        stack.plane.kubectl_ok(&["create", "serviceaccount", "tenant", "-n", FLUX]).await.unwrap();
        let files = [("webhook.yaml", webhook("tenant", "one").to_string())];
        let (delivery, digest) =
            Delivery::start(stack, "tenant", &files, json!({"serviceAccountName": "tenant"})).await;
        let message = stack.is("Kustomization", "tenant", "False", "ReconciliationFailed").await;
        assert!(message.contains("forbidden"), "{message}");
        let bind = ["create", "rolebinding", "tenant", "-n", "tenant", "--clusterrole=edit", &account];
        stack.plane.kubectl_ok(&bind).await.unwrap();
        stack.reconcile("Kustomization", "tenant").await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.at_orion("tenant").len(), 1);
        let (name, user) =
            ("clusterorionconnections.orion-operator.dev", format!("--as=system:serviceaccount:{FLUX}:tenant"));
        assert!(stack.plane.kubectl_ok(&["auth", "can-i", "create", name, &user]).await.is_err());
        delivery.end().await;
        assert_eq!(stack.at_orion("tenant").len(), 0);
    });
}

/// `targetNamespace` goes into everything that kustomize does not know to be of the cluster; Flux does know.
#[test]
fn a_cluster_orion_connection_is_applied_with_a_target_namespace() {
    run("a_cluster_orion_connection_is_applied_with_a_target_namespace", async |stack| {
        let mut objects = example("cluster-orion-connection.yaml");
        objects.retain(|it| it["kind"] == "ClusterOrionConnection");
        objects[0]["metadata"]["name"] = json!("targeted");
        let files = [("connection.yaml", objects[0].to_string())];
        let (delivery, _) = Delivery::start(stack, "targeted", &files, json!({"wait": false})).await;
        let applied = async || {
            let get = ["get", "clusterorionconnection", "targeted", "-o", "jsonpath={.spec.url}"];
            stack.plane.kubectl_ok(&get).await.ok()
        };
        until(PATIENCE, "the connection is applied", applied).await;
        delivery.end().await;
        assert!(applied().await.is_none());
    });
}

/// The managers of an object's fields, status aside where it is not asked for.
fn managers(webhook: &Webhook) -> BTreeSet<(String, String)> {
    let entries = webhook.managed_fields().iter();
    entries.map(|it| (it.manager.clone().unwrap(), it.operation.clone().unwrap())).collect()
}

#[test]
fn the_operator_and_flux_keep_each_others_fields() {
    run("the_operator_and_flux_keep_each_others_fields", async |stack| {
        let files = [("webhook.yaml", webhook("fields", "one").to_string())];
        let (delivery, digest) = Delivery::start(stack, "fields", &files, json!({})).await;
        delivery.turns_green(&digest).await;
        let before = delivery.webhook("fields", |_| true).await;
        assert!(before.finalizers().iter().any(|it| it == FINALIZER));
        let expected = [("kustomize-controller", "Apply"), ("orion-operator", "Update")];
        assert_eq!(managers(&before), expected.map(|(name, how)| (name.to_owned(), how.to_owned())).into());

        // Flux finds nothing to do, and does nothing.
        for _ in 0..3 {
            stack.reconcile("Kustomization", "fields").await;
        }
        assert_eq!(delivery.webhook("fields", |_| true).await, before);

        // What a person does by hand is undone; what the operator wrote is not.
        let patch = json!({"spec": {"headers": [{"name": "X-Team", "value": "by-hand"}]}}).to_string();
        let by_hand = ["patch", "webhook", "fields", "-n", "fields", "--type=merge", "-p", &patch];
        stack.plane.kubectl_ok(&by_hand).await.unwrap();
        let at_orion = async |team: &str| {
            until(PATIENCE, team, async || (stack.team_at_orion("fields") == [team]).then_some(())).await;
        };
        at_orion("by-hand").await;
        stack.reconcile("Kustomization", "fields").await;
        at_orion("one").await;
        let ask = ["annotate", "webhook", "fields", "-n", "fields", "reconcile.fluxcd.io/requestedAt=by-hand"];
        stack.plane.kubectl_ok(&ask).await.unwrap();
        let handled =
            |it: &Webhook| it.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some("by-hand");
        delivery.webhook("fields", handled).await;
        stack.reconcile("Kustomization", "fields").await;
        let undone = delivery.webhook("fields", |_| true).await;
        assert!(!undone.annotations().contains_key("reconcile.fluxcd.io/requestedAt"));
        let digest = delivery.push(webhook("fields", "two").to_string()).await;
        delivery.turns_green(&digest).await;
        assert_eq!(stack.team_at_orion("fields"), ["two"]);
        let after = delivery.webhook("fields", |_| true).await;
        assert!(handled(&after), "the answer stays when the annotation is gone");
        let attempt = "orion-operator.dev/create-attempt";
        assert_eq!(after.finalizers(), before.finalizers());
        assert_eq!(after.annotations().get(attempt), before.annotations().get(attempt));
        assert!(after.annotations().contains_key(attempt));
        let id = |webhook: &Webhook| webhook.status.as_ref().unwrap().webhook_id.clone().unwrap();
        assert_eq!(id(&after), id(&before));

        // Every write of the operator has its name.
        let account = "system:serviceaccount:orion-system:orion-operator";
        let writes: Vec<_> = stack.writes().into_iter().filter(|event| event.user == account).collect();
        assert!(writes.len() >= 4, "{writes:?}");
        for write in writes {
            assert!(write.request_uri.contains("fieldManager=orion-operator"), "{write:?}");
        }
        delivery.end().await;
    });
}
