//! `orion-operator import`: what an Orion has becomes manifests, and the operator takes all over without a word to Orion.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use devkit::sim::{Config, HeaderValues, StoredWebhook};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use orion_operator::api::{InstanceId, OWNER_HEADER, Webhook, ready_condition};
use serde_json::Value;

use super::world::{World, id, run, run_with, spec, until, until_each};

const SECRET: &str = "s3cret-of-a-webhook-91c0";

async fn import(world: &World, more: &[&str]) -> Output {
    let url = world.sim.url();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
    command
        .args(["import", "--namespace", &world.namespace, "--orion-url", &url])
        .args(["--kubeconfig", world.kubeconfig.to_str().unwrap(), "--operator-namespace", "orion-system"])
        .args(["--orion-token-file", world.token_file.to_str().unwrap()])
        .args(more);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn imported(world: &World, more: &[&str]) -> String {
    let output = import(world, more).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn by_hand(presence: &str) -> StoredWebhook {
    StoredWebhook::new("https://hooks.example.com/orion", "user-42", presence)
}

/// Headers as people and programs have made them, all of which can be declared.
fn odd(number: usize) -> StoredWebhook {
    let hook = by_hand(["yes", "Größe!", "0777", "a: b # c", "same", "~"][number % 6]);
    match number % 10 {
        0 => hook.header("X-Empty", ""),
        1 => hook.header("X-Api-Key", "").header("x_api.key", "0777"),
        2 => hook.header("Authorization", format!("Bearer {SECRET}")),
        3 => hook.header("!#$%&'*+-.^_`|~", "yes"),
        4 => hook.header("X-Quotes", "\"a\" 'b' \\ {c: [d]} #e").header("X-Tab", "a\tb"),
        5 => hook.header("X-Long", "v".repeat(4096)),
        6 => hook.header("X-Spaces", " both ends ").header("X-Null", "null"),
        7 => hook.header("X-Token!a", "1").header("X-Token|a", "2"),
        8 => (0..32).fold(hook, |hook, index| hook.header(format!("X-{index}"), index.to_string())),
        _ => hook.header("zeta", "1e3").header("Alpha", "2026-01-01").header("content-TYPE", "text/plain"),
    }
}

#[test]
fn three_hundred_webhooks_are_taken_over_without_a_word() {
    run(async |world| {
        for number in 0..250 {
            world
                .sim
                .insert(by_hand(&format!("job {number}")).header("X-Webhook-Secret", SECRET).header("X-Team", "data"));
        }
        for number in 0..50 {
            world.sim.insert(odd(number));
        }
        let before = world.sim.webhooks();
        let first = import(&world, &[]).await;
        let (manifests, progress) = (text(&first.stdout), text(&first.stderr));
        assert!(first.status.success(), "{progress}");
        assert!(progress.contains("300 webhooks are there") && progress.contains("300 Webhooks and"), "{progress}");
        assert!(!progress.contains(SECRET), "{progress}");

        let _operator = world.operator(&["--allow-adoption", "--interval", "1h"]).await;
        world.plane.apply(&manifests).await.unwrap();
        let mut waiting = Vec::new();
        until_each(Duration::from_millis(500), "all are Ready", async || {
            let all = world.webhooks().list(&ListParams::default()).await.unwrap().items;
            assert_eq!(all.len(), 300);
            waiting = all.iter().filter(|webhook| !is_ready(webhook)).map(ResourceExt::name_any).collect();
            waiting.is_empty().then_some(())
        })
        .await;
        let ids: BTreeSet<String> =
            world.webhooks().list(&ListParams::default()).await.unwrap().items.iter().map(id).collect();
        assert_eq!(ids, before.iter().map(|webhook| webhook.id.clone()).collect());
        let written: Vec<_> = world.sim.requests().into_iter().filter(|request| request.method != "GET").collect();
        assert!(written.is_empty(), "{written:?}");
        assert_eq!(world.sim.webhooks(), before);

        let second = imported(&world, &[]).await;
        assert!(second == manifests, "a second import gives the same bytes");
    });
}

fn is_ready(webhook: &Webhook) -> bool {
    let status = webhook.status.clone().unwrap_or_default();
    ready_condition(&status.conditions).is_some_and(|ready| ready.status == "True" && ready.reason == "Synced")
}

#[test]
fn what_an_installation_has_is_left_out() {
    run(async |world| {
        let mut operator = world.operator(&["--allow-adoption"]).await;
        world.create("ours", spec("ours")).await;
        let ours = id(&world.synced("ours").await);
        let marker = InstanceId::new("of another cluster").owner("a", "b");
        let theirs = world.sim.insert(by_hand("theirs").header(OWNER_HEADER, marker.as_str()));
        let twice = world.sim.insert(by_hand("twice").header("X-A", SECRET).header("x-a", SECRET));
        let manifests = imported(&world, &[]).await;
        assert!(!manifests.contains("kind: Webhook"), "{manifests}");
        assert!(manifests.contains(&format!("# Left out: {ours}: this installation has it")), "{manifests}");
        let prefix = InstanceId::new("of another cluster").prefix().to_owned();
        assert!(manifests.contains(&format!("# Left out: {theirs}: another installation ({prefix})")), "{manifests}");
        assert!(
            manifests.contains(&format!("# Left out: {twice}: it cannot be declared: spec.headers")),
            "{manifests}"
        );
        assert!(!manifests.contains(SECRET), "{manifests}");

        let all = imported(&world, &["--all"]).await;
        assert!(all.contains("adopt.force takes it") && !all.contains(&marker.to_string()), "{all}");
        world.plane.apply(&all).await.unwrap();
        until("theirs is taken over", async || {
            let all = world.webhooks().list(&ListParams::default()).await.unwrap().items;
            all.iter().filter(|it| is_ready(it)).any(|it| id(it) == theirs).then_some(())
        })
        .await;
        assert!(operator.is_alive());
    });
}

#[test]
fn secrets_are_named_where_they_are_not_wanted_or_masked() {
    let masked = Config { header_values: HeaderValues::Masked, ..Config::default() };
    run_with(masked, async |world| {
        for presence in ["early", "late"] {
            world.sim.insert(by_hand(presence).header("X-Webhook-Secret", SECRET));
        }
        let manifests = imported(&world, &[]).await;
        assert!(manifests.contains("# Orion masks the value of X-Webhook-Secret."), "{manifests}");
        assert!(!manifests.contains("kind: Secret"), "{manifests}");
        let name_of = |presence: &str| {
            let begun = manifests.lines().filter_map(|line| line.strip_prefix("  name: "));
            begun.filter(|name| name.starts_with(presence)).map(str::to_owned).next().unwrap()
        };
        let (early, late) = (name_of("early"), name_of("late"));
        let value = serde_json::json!({"x-webhook-secret": SECRET});

        world.secret(&format!("{early}-headers"), value.clone()).await;
        let _operator = world.operator(&["--allow-adoption"]).await;
        world.plane.apply(&manifests).await.unwrap();
        world.synced(&early).await;
        world.ready(&late, "False", "SecretNotFound").await;
        assert!(world.sim.requests().iter().all(|request| request.method == "GET"));

        // Who has the right value changes nothing by it but the marker.
        world.secret(&format!("{late}-headers"), value).await;
        world.synced(&late).await;
        let kept = world.at_orion("late");
        assert_eq!((kept.len(), kept[0].header_value("X-Webhook-Secret")), (1, Some(SECRET)));

        world.sim.config(|config| config.header_values = HeaderValues::Plain);
        let named = imported(&world, &["--no-secrets"]).await;
        assert!(named.contains("# Create the Secret early-") && !named.contains(SECRET), "{named}");
        assert!(imported(&world, &[]).await.contains(SECRET));
    });
}

#[test]
fn a_file_and_a_kustomization_hold_the_same() {
    run(async |world| {
        world.sim.insert(by_hand("jobs").header("X-Webhook-Secret", SECRET));
        world.sim.insert(by_hand("plain"));
        let directory = tempfile::tempdir().unwrap();
        let (file, folder) = (directory.path().join("all.yaml"), directory.path().join("new/folder"));
        let printed = imported(&world, &[]).await;
        assert_eq!(imported(&world, &["--output-file", file.to_str().unwrap()]).await, "");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);

        imported(&world, &["--kustomize", folder.to_str().unwrap(), "--deletion-policy", "Delete"]).await;
        let built = world.plane.kubectl_ok(&["kustomize", folder.to_str().unwrap()]).await.unwrap();
        let kinds = |yaml: &str| -> Vec<String> {
            let mut kinds: Vec<String> = serde_yaml::Deserializer::from_str(yaml)
                .map(|document| serde::Deserialize::deserialize(document).unwrap())
                .map(|object: Value| format!("{} {}", object["kind"], object["metadata"]["name"]))
                .collect();
            kinds.sort();
            kinds
        };
        assert_eq!(kinds(&built), kinds(&printed));
        assert!(built.contains("deletionPolicy: Delete") && printed.contains("deletionPolicy: Orphan"));
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(world.client.clone(), &world.namespace);
        world.plane.kubectl_ok(&["apply", "-k", folder.to_str().unwrap()]).await.unwrap();
        assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 1);
    });
}

#[test]
fn what_keeps_it_from_reading_is_told() {
    run_with(Config { list: false, ..Config::default() }, async |world| {
        let output = import(&world, &[]).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("Orion's webhooks cannot be read"), "{}", text(&output.stderr));
        let usage = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator")).arg("import").output().await;
        let usage = usage.unwrap();
        assert_eq!(usage.status.code(), Some(2));
        assert!(text(&usage.stderr).contains("--orion-url is missing"), "{}", text(&usage.stderr));
    });
}
