//! What somebody changes by hand, under an Application with `selfHeal`.

use orion_operator::api::{FINALIZER, REQUESTED_AT};
use serde_json::json;

use super::application::{Application, marker};
use super::rig::{PATIENCE, until, webhook};
use super::stack::run;

#[test]
fn an_edit_by_hand_is_undone_and_what_the_operator_wrote_is_not() {
    run("an_edit_by_hand_is_undone_and_what_the_operator_wrote_is_not", async |stack| {
        let app = Application::start(stack, "edited", &[webhook("edited", "one")], json!({})).await;
        app.is_well().await;
        let stored = async || stack.webhooks("edited").get("edited").await.unwrap();
        let before = stored().await;
        let patch = async |patch: serde_json::Value| {
            let patch = patch.to_string();
            let args = ["patch", "webhook", "edited", "-n", "edited", "--type=merge", "-p", &patch];
            stack.plane.kubectl_ok(&args).await.unwrap();
        };
        let requested = async |value: &str| {
            patch(json!({"metadata": {"annotations": {REQUESTED_AT: value}}})).await;
            until(PATIENCE, "it is answered", async || {
                let status = stored().await.status.unwrap();
                (status.last_handled_reconcile_at.as_deref() == Some(value)).then_some(())
            })
            .await;
        };
        patch(json!({"spec": {"headers": [{"name": "X-Team", "value": "by-hand"}]}})).await;
        // Argo CD may be as fast as the operator: what it wrote is what counts.
        until(PATIENCE, "the edit is undone", async || {
            let spec = stored().await.spec;
            (spec == before.spec && stored().await.metadata.generation > before.metadata.generation).then_some(())
        })
        .await;
        app.is_well().await;
        until(PATIENCE, "at Orion too", async || (stack.team_at_orion("edited") == ["one"]).then_some(())).await;

        // An annotation and a field that Git does not have are left alone.
        requested("by-hand").await;
        patch(json!({"spec": {"suspend": true}})).await;
        app.shows("suspended", |state| state.sync == "Synced" && state.health == "Suspended").await;
        app.stays(|state| state.sync == "Synced" && state.health == "Suspended").await;
        patch(json!({"spec": {"suspend": null}})).await;
        app.is_well().await;
        let after = stored().await;
        assert_eq!(after.metadata.annotations.as_ref().unwrap()[REQUESTED_AT], "by-hand");
        assert!(after.metadata.finalizers.unwrap().iter().any(|it| it == FINALIZER));
        let attempt = "orion-operator.dev/create-attempt";
        let (was, is) = (before.metadata.annotations.unwrap(), after.metadata.annotations.unwrap());
        assert_eq!((was.contains_key(attempt), was.get(attempt)), (true, is.get(attempt)));
        assert_eq!(stack.at_orion("edited").len(), 1);

        // What is taken out of Git is deleted at Orion, but for the last of all: that could be a mistake.
        app.push(&[]).await;
        app.stays(|state| state.sync == "OutOfSync" && state.health_of("edited") == Some("Healthy")).await;
        app.push(&[marker("rest", "0")]).await;
        app.shows("pruned", |state| state.sync == "Synced" && state.health_of("edited").is_none()).await;
        assert_eq!(stack.at_orion("edited").len(), 0);
        app.end().await;
    });
}
