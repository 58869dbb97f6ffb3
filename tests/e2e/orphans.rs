//! Webhooks at Orion that nobody has: told by the operator, listed and deleted by `orion-operator orphans`.

use std::process::Output;

use devkit::sim::{Operation, StoredWebhook};
use kube::api::DeleteParams;
use orion_operator::api::{InstanceId, OWNER_HEADER};
use serde_json::json;

use super::world::{World, id, object, run, spec, until};

/// One with the least times, and its metrics page.
const QUICK: &[&str] = &["--interval", "2s"];

async fn orphans(world: &World, more: &[&str]) -> Output {
    let url = world.sim.url();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
    command
        .args(["orphans", "--kubeconfig", world.kubeconfig.to_str().unwrap(), "--operator-namespace", "orion-system"])
        .args(["--watch-namespaces", &world.namespace, "--orion-url", &url])
        .args(["--orion-token-file", world.token_file.to_str().unwrap()])
        .args(more);
    command.output().await.unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// The finalizer is taken off by hand, so that nobody deletes it at Orion.
async fn tear_out(world: &World, name: &str) {
    world.merge(name, json!({"metadata": {"finalizers": null}})).await;
    world.webhooks().delete(name, &DeleteParams::default()).await.unwrap();
}

async fn told(world: &World, address: &str, count: usize) {
    let page = format!("http://{address}/metrics");
    let line = format!("\norion_operator_orphans {count}\n");
    until(&format!("orphans told: {count}"), async || {
        let page = reqwest::get(&page).await.ok()?.text().await.ok()?;
        page.contains(&line).then_some(())
    })
    .await;
    assert_eq!(world.calls(Operation::Delete), 0, "nothing deletes them by itself");
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn what_nobody_has_is_told_and_deleted_only_by_a_person() {
    run(async |world| {
        let address = free_address();
        let flags = [QUICK, &["--metrics-bind-address", &address]].concat();
        let mut operator = world.operator(&flags).await;
        for name in ["kept", "lost", "found"] {
            world.create(name, spec(name)).await;
        }
        let (kept, lost, found) =
            (id(&world.synced("kept").await), id(&world.synced("lost").await), id(&world.synced("found").await));
        operator.kill();
        tear_out(&world, "lost").await;
        tear_out(&world, "found").await;
        let mut operator = world.operator(&flags).await;
        told(&world, &address, 2).await;
        assert!(operator.log().contains("orion-operator orphans lists them") && operator.log().contains(&lost));

        let listed = orphans(&world, &[]).await;
        let (out, err) = (text(&listed.stdout), text(&listed.stderr));
        assert!(listed.status.success(), "{err}");
        assert!(out.contains("2 webhooks at") && out.contains(&lost) && out.contains(&found), "{out}");
        assert!(!out.contains(&kept) && out.contains("hooks.example.com") && !out.contains("/orion"), "{out}");

        // A Webhook of the same name takes its own back.
        let again = serde_json::from_value(object("found", spec("found"))).unwrap();
        world.webhooks().create(&kube::api::PostParams::default(), &again).await.unwrap();
        assert_eq!(id(&world.synced("found").await), found);
        told(&world, &address, 1).await;

        let refused = orphans(&world, &["--delete", &lost, &kept]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(&format!("{kept}: no orphan")), "{}", text(&refused.stderr));
        assert_eq!(world.at_orion("lost").len(), 1, "all or nothing");

        let deleted = orphans(&world, &["--delete", &lost]).await;
        assert!(deleted.status.success() && text(&deleted.stdout).contains(&format!("{lost} deleted")));
        assert_eq!(world.at_orion("lost").len(), 0);
        until("none is told any more", async || operator.log().contains("without its Webhook any more").then_some(()))
            .await;
        assert!(operator.is_alive());
    });
}

#[test]
fn a_shard_does_not_take_what_another_one_has_for_lost() {
    run(async |world| {
        let address = free_address();
        let shard = |selector| [QUICK, &["--instance-id", "shards", "--watch-label-selector", selector]].concat();
        let _a = world.operator(&[&shard("shard=a")[..], &["--metrics-bind-address", &address]].concat()).await;
        let _b = world.operator(&shard("shard!=a")).await;
        world.create("hook", spec("of-b")).await;
        world.synced("hook").await;
        // One that really is lost: only when it is told can it be known that the other one is not.
        let marker = InstanceId::new("shards").owner(&world.namespace, "nobody");
        let lost = StoredWebhook::new("https://hooks.example.com/orion", "user-42", "lost");
        world.sim.insert(lost.header(OWNER_HEADER, marker.as_str()));
        told(&world, &address, 1).await;
    });
}

#[test]
fn says_what_is_missing() {
    run(async |world| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"))
            .args(["orphans", "--kubeconfig", world.kubeconfig.to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--orion-url is missing"), "{}", text(&output.stderr));
        let marker = InstanceId::new("this one").owner(&world.namespace, "hook");
        let hook = StoredWebhook::new("https://hooks.example.com/orion", "user-42", "hook");
        world.sim.insert(hook.header(OWNER_HEADER, marker.as_str()));
        let other = orphans(&world, &["--instance-id", "of another cluster"]).await;
        let out = text(&other.stdout);
        assert!(out.starts_with("0 webhooks at") && out.contains("Other installations have webhooks here"), "{out}");
    });
}
