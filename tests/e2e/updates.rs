//! Faults of updates, of deletes, and of the way to Orion.

use devkit::sim::{Action, BodyKind, ErrorAnswer, Fault, Operation};
use serde_json::json;

use super::world::{TOKEN, condition, id, run, spec, until};

#[test]
fn each_fault_of_an_update_has_its_reason() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.create("hook", spec("updates")).await;
        let first = id(&world.synced("hook").await);
        let limited = Action::Status(ErrorAnswer { code: 429, body: BodyKind::Json, retry_after: Some("1".into()) });
        for (number, (action, reason)) in [
            (Action::Stall, "Timeout"),
            (Action::HtmlBody, "RemoteProtocolError"),
            (Action::Truncated, "RemoteProtocolError"),
            (Action::ResetBeforeEffect, "OrionUnavailable"),
            (Action::status(503), "OrionUnavailable"),
            (limited, "RateLimited"),
            (Action::status(401), "Unauthorized"),
            (Action::status(409), "Conflict"),
            (Action::redirect("http://127.0.0.1:1/"), "UnexpectedRedirect"),
        ]
        .into_iter()
        .enumerate()
        {
            // After one that may have taken effect, the operator looks before it sends again: so each has its edit.
            world.sim.add_fault(Fault::on(Operation::Put, action));
            world.merge("hook", json!({"spec": {"userId": format!("user-{number}")}})).await;
            let webhook = until(reason, async || {
                let webhook = world.get("hook").await;
                let ready =
                    webhook.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "Ready").cloned()?;
                (ready.status == "False" && ready.reason == reason).then_some(webhook)
            })
            .await;
            let stalled = matches!(reason, "Unauthorized" | "Conflict" | "UnexpectedRedirect");
            assert_eq!(condition(&webhook, "Stalled").is_some(), stalled, "{reason}");
            assert_eq!(condition(&webhook, "Reconciling").is_some(), !stalled, "{reason}");
            world.sim.clear_faults();
        }
        world.merge("hook", json!({"spec": {"userId": "last"}})).await;
        assert_eq!(id(&world.synced("hook").await), first);
        assert_eq!(world.at_orion("updates")[0].user_id, "last");
        assert_eq!(world.calls(Operation::Create), 1);
    });
}

#[test]
fn no_tls_is_told_and_nothing_is_sent_in_the_clear() {
    run(async |world| {
        // The simulator speaks plain HTTP: a TLS handshake with it fails.
        let url = world.sim.url().replace("http://", "https://");
        let _operator = world.operator_at(&url, &[]).await;
        world.create("hook", spec("tls")).await;
        let webhook = world.ready("hook", "False", "TLSFailed").await;
        assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));
        assert!(world.sim.requests().is_empty());
        world.deleted("hook").await;
    });
}

#[test]
fn a_name_that_does_not_resolve_is_told() {
    run(async |world| {
        let _operator = world.operator_at("http://orion.invalid", &[]).await;
        world.create("hook", spec("dns")).await;
        world.ready("hook", "False", "OrionUnavailable").await;
    });
}

#[test]
fn a_slow_delete_shows_as_deleting() {
    run(async |world| {
        let _operator = world.operator(&["--orion-timeout", "30s"]).await;
        world.create("hook", spec("slow-delete")).await;
        world.synced("hook").await;
        world.sim.add_fault(Fault::on(Operation::Delete, Action::LatencyMs(8_000)));
        world.delete("hook").await;
        let webhook = world.ready("hook", "False", "Deleting").await;
        assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));
        until("it is gone", async || world.webhooks().get_opt("hook").await.unwrap().is_none().then_some(())).await;
        assert_eq!(world.calls(Operation::Delete), 1);
    });
}

#[test]
fn a_restart_tries_a_refused_webhook_again() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(422)));
        world.create("hook", spec("refused-once")).await;
        world.ready("hook", "False", "Rejected").await;
        operator.stop().await;
        world.sim.clear_faults();
        let _operator = world.operator(&[]).await;
        world.synced("hook").await;
        assert_eq!((world.calls(Operation::Create), world.at_orion("refused-once").len()), (2, 1));
    });
}

#[test]
fn a_token_that_expires_is_replaced_without_anyone_noticing() {
    run(async |world| {
        let _operator = world.operator(&["--interval", "1s"]).await;
        world.create("hook", spec("expiring")).await;
        world.synced("hook").await;
        let writes = world.audited(2).await;
        // Rotated in the file first, as a Secret mount does, then revoked.
        world.sim.config(|config| config.static_tokens.push("second-token".into()));
        std::fs::write(&world.token_file, "second-token").unwrap();
        world.sim.config(|config| config.static_tokens.retain(|token| token != TOKEN));
        world.sim.clear_requests();
        until("checks go on", async || (world.calls(Operation::List) + world.calls(Operation::Get) >= 3).then_some(()))
            .await;
        assert_eq!(condition(&world.get("hook").await, "Ready").as_deref(), Some("True"));
        assert_eq!(world.writes().len(), writes);
        world.merge("hook", json!({"spec": {"userId": "other"}})).await;
        world.synced("hook").await;
    });
}
