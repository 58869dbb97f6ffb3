//! Several processes of which one leads.

use std::time::{Duration, Instant};

use devkit::sim::{Action, Fault, Operation};
use serde_json::json;

use super::operator::{Operator, SECOND};
use super::world::{World, id, run, run_alone, spec, through, until};

const ELECT: [&str; 1] = ["--leader-elect"];
/// For tests that wait for a Lease to end.
const SHORT: [&str; 7] = [
    "--leader-elect",
    "--leader-election-lease-duration",
    "4s",
    "--leader-election-renew-deadline",
    "3s",
    "--leader-election-retry-period",
    "500ms",
];
const LEADS: &str = "leads from now on";

fn start(world: &World, more: &[&str]) -> Operator {
    Operator::spawn(world, &world.sim.url(), more)
}

async fn leads(operator: &Operator) {
    until("it leads", async || operator.log().contains(LEADS).then_some(())).await;
}

/// One webhook each, which it knows, and no POST but theirs.
async fn each_has_one(world: &World, names: &[String]) {
    for name in names {
        let webhook = world.synced(name).await;
        let at_orion = world.at_orion(name);
        assert_eq!(at_orion.len(), 1, "{at_orion:?}");
        assert_eq!(at_orion[0].id, id(&webhook));
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

#[test]
fn kill_9_of_the_leader_under_load_is_made_good_within_20_seconds() {
    run(async |world| {
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(100)));
        let mut first = start(&world, &ELECT);
        leads(&first).await;
        let second = start(&world, &ELECT);
        let names = names("hook", 60);
        for name in &names {
            world.create(name, spec(name)).await;
        }
        until("it is in the middle of it", async || (world.sim.webhooks().len() >= 20).then_some(())).await;
        first.kill();
        let killed = Instant::now();
        assert!(!second.log().contains(LEADS));
        leads(&second).await;
        assert!(killed.elapsed() < 20 * SECOND, "{:?}", killed.elapsed());
        each_has_one(&world, &names).await;
        assert_eq!(world.sim.webhooks().len(), names.len());
    });
}

#[test]
fn who_is_asked_to_stop_hands_over_at_once() {
    run(async |world| {
        let mut first = start(&world, &ELECT);
        leads(&first).await;
        let mut second = start(&world, &ELECT);
        until("it waits", async || second.log().contains("waiting for the Lease").then_some(())).await;
        // Work in flight is finished first.
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(800)).once());
        world.create("hook", spec("hook")).await;
        until("the POST is under way", async || (!world.at_orion("hook").is_empty()).then_some(())).await;
        let status = first.stop().await;
        assert!(status.success(), "{status}");
        let stopped = Instant::now();
        assert_eq!(id(&world.get("hook").await), world.at_orion("hook")[0].id);
        leads(&second).await;
        assert!(stopped.elapsed() < 5 * SECOND, "{:?}", stopped.elapsed());
        // One that waits ends at once.
        let mut third = start(&world, &ELECT);
        until("it waits", async || third.log().contains("waiting for the Lease").then_some(())).await;
        assert!(third.stop().await.success());
        assert!(second.is_alive());
    });
}

#[test]
fn who_is_asked_to_stop_under_load_begins_nothing_new_and_records_what_it_has() {
    run(async |world| {
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(300)));
        let mut first = start(&world, &["--leader-elect", "--orion-rate-limit", "20/20"]);
        leads(&first).await;
        let names = names("hook", 200);
        for name in &names {
            world.create(name, spec(name)).await;
        }
        until("it is in the middle of it", async || (world.sim.webhooks().len() >= 30).then_some(())).await;
        let asked = Instant::now();
        let status = first.stop().await;
        assert!(status.success(), "{status}");
        assert!(asked.elapsed() < 10 * SECOND, "{:?}", asked.elapsed());
        let made = world.sim.webhooks();
        assert!(made.len() < 150, "{}", made.len());
        for webhook in &made {
            assert_eq!(id(&world.get(&webhook.presence_name).await), webhook.id);
        }
        let second = start(&world, &ELECT);
        leads(&second).await;
        assert!(asked.elapsed() < 14 * SECOND, "the Lease was let go");
        each_has_one(&world, &names).await;
        assert_eq!(world.calls(Operation::Create), 200);
    });
}

#[test]
fn a_standby_that_can_never_lead_says_so() {
    run(async |world| {
        let address = format!("127.0.0.1:{}", free_port());
        let nowhere = ["--operator-namespace", "nowhere", "--instance-id", "of-the-test"];
        let probes = ["--health-probe-bind-address", &address];
        let operator = start(&world, &[&ELECT[..], &nowhere, &probes].concat());
        until("it says why", async || operator.log().contains("get, create and update on Leases").then_some(())).await;
        let admin = ["--kubeconfig", world.plane.admin_kubeconfig().to_str().unwrap()];
        let admins = start(&world, &[&ELECT[..], &nowhere, &admin].concat());
        until("it says why", async || admins.log().contains("Check --operator-namespace").then_some(())).await;
        let told = async || {
            let answer = reqwest::get(format!("http://{address}/readyz")).await.unwrap();
            (!answer.status().is_success()).then_some(answer.text().await.unwrap())
        };
        let begun = Instant::now();
        let told = loop {
            if let Some(told) = told().await {
                break told;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "it is ready, and can never lead");
            tokio::time::sleep(SECOND).await;
        };
        assert!(told.contains("the Lease nowhere/orion-operator"), "{told}");
    });
}

#[test]
fn a_leader_that_stood_still_sends_no_write_and_exits() {
    run(async |world| {
        // An account of its own, so that the audit log tells its writes.
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sleeper", "namespace": "orion-system"}}),
            binding("ClusterRole"),
            binding("Role"),
        ] {
            world.plane.apply(&object.to_string()).await.unwrap();
        }
        let kubeconfig = world.plane.service_account_kubeconfig("orion-system", "sleeper").await.unwrap();
        let mut sleeper = start(&world, &["--leader-elect", "--kubeconfig", kubeconfig.to_str().unwrap()]);
        leads(&sleeper).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(20)));
        let names = names("hook", 120);
        for name in &names[..60] {
            world.create(name, spec(name)).await;
        }
        until("it is in the middle of it", async || (world.sim.webhooks().len() >= 10).then_some(())).await;
        sleeper.signal("STOP");
        let slept = Instant::now();
        let successor = start(&world, &ELECT);
        for name in &names[60..] {
            world.create(name, spec(name)).await;
        }
        leads(&successor).await;
        each_has_one(&world, &names).await;
        tokio::time::sleep((30 * SECOND).saturating_sub(slept.elapsed())).await;
        let (writes, calls) = (writes_of_the_sleeper(&world), changes(&sleeper));
        sleeper.signal("CONT");
        let status = until("it ends", async || sleeper.ended()).await;
        assert_eq!(status.code(), Some(1), "{status}");
        assert!(sleeper.log().contains("the Lease was not renewed in time"));
        // Whatever it wrote would be in the log soon: the successor's writes that follow are.
        world.merge("hook-0", json!({"spec": {"userId": "later"}})).await;
        world.synced("hook-0").await;
        assert_eq!((writes_of_the_sleeper(&world), changes(&sleeper)), (writes, calls));
        each_has_one(&world, &names).await;
        assert_eq!(world.sim.webhooks().len(), names.len());
    });
}

fn binding(kind: &str) -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": {"name": "sleeper", "namespace": if kind == "Role" { json!("orion-system") } else { json!(null) }},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "orion-operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "sleeper", "namespace": "orion-system"}],
    })
}

/// What it wrote. One that was on its way when it stood still may arrive later: the apiserver refuses it, as what it was about
/// has changed meanwhile.
fn writes_of_the_sleeper(world: &World) -> Vec<(String, u16)> {
    let events = world.plane.audit_events().unwrap();
    let writes = events.into_iter().filter(|it| it.user.ends_with(":sleeper") && it.is_write() && it.code < 300);
    writes.map(|it| (it.request_uri, it.code)).collect()
}

/// Calls of a process that change something at Orion, by its own log.
fn changes(operator: &Operator) -> usize {
    let log = operator.log();
    let milliseconds = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["milliseconds"].as_u64();
    let is_change = |line: &&str| {
        line.contains("called Orion")
            && ["create", "update", "delete"].iter().any(|it| line.contains(&format!("\"operation\":\"{it}\"")))
            && line.contains("\"status\":2")
            // The answer to one that was sent before it stood still may be read after it.
            && milliseconds(line).is_some_and(|passed| passed < 10_000)
    };
    log.lines().filter(is_change).count()
}

#[test]
fn each_shard_leads_and_one_speaks_for_the_connections() {
    run(async |world| {
        world.secret("orion", json!({"token": super::world::TOKEN})).await;
        let auth = json!({"auth": {"tokenSecretRef": {"name": "orion", "key": "token"}}});
        let shard = |name: &'static str| {
            [&SHORT[..], &["--watch-label-selector", name, "--allow-insecure-connections"]].concat()
        };
        let mut first = start(&world, &shard("shard=a"));
        until("it leads twice", async || (first.log().matches(LEADS).count() == 2).then_some(())).await;
        let second = start(&world, &shard("shard=b"));
        leads(&second).await;
        assert_eq!(second.log().matches(LEADS).count(), 1);
        world.connection("acme", auth).await;
        world.connection_is("acme", "True", "Synced").await;
        for (name, shard) in [("one", "a"), ("two", "b")] {
            let mut declared = through(name, "OrionConnection", "acme");
            declared["interval"] = json!("10m");
            world.create_labelled(name, declared, json!({"shard": shard})).await;
            world.synced(name).await;
        }
        let writes = || world.writes().iter().filter(|it| it.resource == "orionconnections").count();
        until("finalizer and status", async || (writes() >= 2).then_some(())).await;
        // The finalizer, and Ready; perhaps that it is looked at. Nothing twice.
        assert!(writes() <= 3, "{:?}", world.writes());
        first.kill();
        until("the other speaks", async || (second.log().matches(LEADS).count() == 2).then_some(())).await;
        world.secret("orion", json!({"token": "a-wrong-one"})).await;
        world.connection_is("acme", "False", "Unauthorized").await;
    });
}

#[test]
fn a_minute_without_apiserver_is_seen_and_leaves_no_trace() {
    run_alone(async |world| {
        let probes = free_port();
        let address = format!("127.0.0.1:{probes}");
        let operator = world.operator(&["--health-probe-bind-address", &address]).await;
        let probe = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap();
        let names = names("hook", 20);
        for name in &names {
            world.create(name, spec(name)).await;
        }
        each_has_one(&world, &names).await;
        assert!(probe("/readyz").await.status().is_success());
        let mut elector = start(&world, &SHORT);
        leads(&elector).await;
        world.plane.stop_apiserver().await;
        let stopped = Instant::now();
        // Who leads by a Lease ends, and is started anew by whoever keeps it.
        let status = until("it ends", async || elector.ended()).await;
        assert_eq!(status.code(), Some(1), "{status}");
        let unready = async || Some(probe("/readyz").await).filter(|answer| !answer.status().is_success());
        let patience = Duration::from_secs(120);
        let answer = loop {
            if let Some(answer) = unready().await {
                break answer;
            }
            assert!(stopped.elapsed() < patience, "it is ready without an apiserver");
            tokio::time::sleep(SECOND).await;
        };
        assert!(stopped.elapsed() > 50 * SECOND, "{:?}", stopped.elapsed());
        let told = answer.text().await.unwrap();
        assert!(told.contains("for a minute") && told.contains("/webhooks"), "{told}");
        assert!(probe("/healthz").await.status().is_success());
        tokio::time::sleep((60 * SECOND).saturating_sub(stopped.elapsed())).await;
        world.plane.start_apiserver().await.unwrap();
        let started = Instant::now();
        while let Some(answer) = unready().await {
            let told = answer.text().await.unwrap();
            assert!(started.elapsed() < patience, "not ready again: {told}");
            tokio::time::sleep(SECOND).await;
        }
        world.create("new", spec("new")).await;
        world.synced("new").await;
        each_has_one(&world, &names).await;
        assert_eq!(world.calls(Operation::Create), 21);
        drop(operator);
    });
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
