//! `--write`: a webhook is made, and none is left, nor one of somebody else touched.

use std::process::Stdio;
use std::time::{Duration, Instant};

use devkit::sim::{Action, Fault, Operation};
use serde_json::json;
use tokio::net::TcpListener;

use super::support::{Found, Place, sim};
use crate::webhook;

#[tokio::test]
async fn a_webhook_is_made_and_removed_whatever_happens() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let found = place.look(&sim.url(), &["--write", "--user-id", "user-7"]).await;
    found.passes().says("write", "ok", &["was made, read back, changed"]).says("cleanup", "ok", &["gone"]);
    found.says("headers", "ok", &["shown"]).says("marker", "ok", &["1 of 1"]);
    let made: Vec<_> = sim.requests().into_iter().filter(|request| request.operation == Operation::Create).collect();
    assert_eq!(made.len(), 1);
    let body = made[0].body.clone().unwrap();
    assert_eq!(body["user_id"], "user-7");
    assert!(body["url"].as_str().unwrap().starts_with("https://orion-operator-doctor.invalid/"), "{body}");

    // Each step may fail: the webhook is removed all the same.
    for (fault, check, words) in [
        (Fault::on(Operation::Create, Action::status(422)), "write", "none was made"),
        (Fault::on(Operation::Create, Action::LostAnswer), "write", "is not known"),
        (Fault::on(Operation::Get, Action::status(500)).once(), "write", "but not read"),
        (Fault::on(Operation::Put, Action::status(500)), "write", "but not changed"),
    ] {
        sim.add_fault(fault);
        place.look(&sim.url(), &["--write"]).await.fails(check, &[words]);
        assert!(sim.webhooks().is_empty(), "{words}");
        sim.clear_faults();
    }
    sim.add_fault(Fault::on(Operation::Delete, Action::status(500)).times(2));
    place.look(&sim.url(), &["--write"]).await.passes().says("cleanup", "ok", &["gone"]);
    sim.clear_faults();

    sim.add_fault(Fault::on(Operation::Delete, Action::status(500)));
    let found = place.look(&sim.url(), &["--write"]).await;
    let id = sim.webhooks()[0].id.clone();
    let by_hand = format!("'{}/webhooks/{id}'", sim.endpoint());
    found.fails("cleanup", &["is left at Orion", "curl -X DELETE", &by_hand]);
    sim.clear_faults();

    sim.config(|config| (config.put, config.patch) = (false, false));
    let found = place.look(&sim.url(), &["--write"]).await;
    found.passes().says("write", "ok", &["not changed"]).says("update", "warn", &["UpdateUnsupported"]);
}

/// An Orion may answer a POST with a webhook that it has already.
#[tokio::test]
async fn a_webhook_of_somebody_else_is_never_touched() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let id = sim.insert(webhook());
    let before = sim.webhooks();
    let body = json!({"id": id}).to_string();
    let answer = Action::Answer { status: 200, content_type: "application/json".into(), body, effect: false };
    sim.add_fault(Fault::on(Operation::Create, answer));
    let found = place.look(&sim.url(), &["--write"]).await;
    found.fails("write", &[&id, "was there before"]).says("cleanup", "warn", &[&id, "neither changed nor deleted"]);
    // The same where no list says what was there.
    sim.config(|config| config.list = false);
    let found = place.look(&sim.url(), &["--write"]).await;
    found.fails("write", &[&id, "another presence name"]).says("cleanup", "warn", &["neither changed nor deleted"]);
    let changes: Vec<Operation> = sim.requests().iter().map(|request| request.operation).collect();
    assert!(
        !changes.iter().any(|it| matches!(it, Operation::Put | Operation::Patch | Operation::Delete)),
        "{changes:?}"
    );
    assert_eq!(format!("{:?}", sim.webhooks()), format!("{before:?}"));
    // One that is not shown may be anybody's.
    sim.add_fault(Fault::on(Operation::Get, Action::status(500)));
    place.look(&sim.url(), &["--write"]).await.fails("write", &["but not read"]).says(
        "cleanup",
        "fail",
        &["not deleted"],
    );
    assert_eq!((sim.count(Operation::Delete), sim.webhooks().len()), (0, 1));
}

#[tokio::test]
async fn whether_it_is_gone_is_only_said_where_it_was_seen() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    sim.config(|config| (config.put, config.patch) = (false, false));
    // It is read by its id once before it is deleted, and once after.
    let fault = Fault::on(Operation::Delete, Action::LatencyAfterEffectMs(300)).once();
    sim.add_fault(fault);
    let (url, looking) = (sim.url(), Place::new());
    let looking = tokio::spawn(async move { looking.look(&url, &["--write"]).await });
    let deadline = Instant::now() + Duration::from_secs(30);
    while sim.count(Operation::Delete) == 0 {
        assert!(Instant::now() < deadline, "it deletes what it made");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sim.add_fault(Fault::on(Operation::Get, Action::status(500)));
    looking.await.unwrap().passes().says("cleanup", "warn", &["was not seen"]);
    assert!(sim.webhooks().is_empty());
    sim.clear_faults();
    place.look(&sim.url(), &["--write"]).await.passes().says("cleanup", "ok", &["is gone"]);
}

fn kill(child: &tokio::process::Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[tokio::test]
async fn a_signal_removes_what_was_made() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let (url, token) = (sim.url(), place.path("token"));
    for signal in ["-INT", "-TERM", "-HUP"] {
        sim.add_fault(Fault::on(Operation::Get, Action::Stall).once());
        let reads = sim.count(Operation::Get);
        let mut command =
            place.command(&["--orion-url", &url, "--orion-token-file", &token, "--write", "--output", "json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while sim.count(Operation::Get) == reads {
            assert!(Instant::now() < deadline, "it reads what it made");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let name = sim.webhooks()[0].presence_name.clone();
        kill(&child, signal);
        let output = child.wait_with_output().await.unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains(&name), "it is told: {output:?}");
        let found = Found::new(&output);
        found.fails("write", &["interrupted"]).says("cleanup", "ok", &["gone"]);
        assert!(sim.webhooks().is_empty());
        sim.clear_faults();
    }
}

#[tokio::test]
async fn a_signal_ends_it_once_nothing_is_to_be_removed() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}], "users": [{"name": "a", "user": {}}],
        "clusters": [{"name": "a", "cluster": {"server": server}}],
    });
    let (file, url, token) = (place.file("kubeconfig", &kubeconfig.to_string()), sim.url(), place.path("token"));
    let mut command =
        place.command(&["--orion-url", &url, "--orion-token-file", &token, "--write", "--kubeconfig", &file]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(30), silent.accept()).await.unwrap().unwrap();
    kill(&child, "-INT");
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), sim.webhooks().len()), (Some(130), 0), "{output:?}");
    drop(asked);
}
