//! Webhooks from a repository, and what a person does by hand meanwhile.

use serde_json::json;

use super::delivery::Delivery;
use super::rig::{PATIENCE, until, webhook};
use super::stack::{Stack, run};

async fn push(stack: &Stack, name: &str, team: &str) -> String {
    let commit = stack.git.commit(name, &[("webhook.yaml", webhook(name, team).to_string())]);
    stack.reconcile("GitRepository", name).await;
    commit
}

#[test]
fn webhooks_come_from_git_too() {
    run("webhooks_come_from_git_too", async |stack| {
        let files = [("webhook.yaml", webhook("from-git", "one").to_string())];
        let (delivery, commit) = Delivery::from_git(stack, "from-git", &files, json!({})).await;
        delivery.turns_green(&commit).await;
        assert_eq!(stack.team_at_orion("from-git"), ["one"]);
        let commit = push(stack, "from-git", "two").await;
        delivery.turns_green(&commit).await;
        assert_eq!(stack.team_at_orion("from-git"), ["two"]);

        // As `flux suspend kustomization` does: what is done by hand stays, and what is pushed waits.
        stack.merge("Kustomization", "from-git", json!({"suspend": true})).await;
        let patch = json!({"spec": {"suspend": true}}).to_string();
        let by_hand = ["patch", "webhook", "from-git", "-n", "from-git", "--type=merge", "-p", &patch];
        stack.plane.kubectl_ok(&by_hand).await.unwrap();
        let commit = push(stack, "from-git", "three").await;
        delivery.stays_not_green(&commit).await;
        let stored = delivery.webhook("from-git", |_| true).await;
        assert_eq!((stored.spec.suspend, stack.team_at_orion("from-git")), (Some(true), vec!["two".to_owned()]));

        // As `flux resume kustomization` does.
        stack.merge("Kustomization", "from-git", json!({"suspend": false})).await;
        delivery.turns_green(&commit).await;
        delivery.webhook("from-git", |it| it.spec.suspend.is_none()).await;
        until(PATIENCE, "three", async || (stack.team_at_orion("from-git") == ["three"]).then_some(())).await;
        delivery.end().await;
        stack.delete("GitRepository", "from-git").await;
    });
}
