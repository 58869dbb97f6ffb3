//! Stops and crashes of the process.

use devkit::sim::{Action, Fault, Operation};
use serde_json::json;

use super::operator::SECOND;
use super::world::{id, run, spec, until};

#[test]
fn sigterm_in_a_slow_post_records_the_id() {
    run(async |world| {
        let mut operator = world.operator(&["--orion-timeout", "10s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(3_000)));
        world.create("hook", spec("term")).await;
        until("the POST is under way", async || (!world.at_orion("term").is_empty()).then_some(())).await;
        let status = operator.stop().await;
        assert!(status.success(), "{status}");
        assert_eq!(id(&world.get("hook").await), world.at_orion("term")[0].id);
    });
}

#[test]
fn kill_in_a_slow_post_is_resolved_by_the_next_process() {
    run(async |world| {
        let mut operator = world.operator(&["--orion-timeout", "2s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(1_500)).once());
        world.create("hook", spec("kill")).await;
        until("the POST is under way", async || (!world.at_orion("kill").is_empty()).then_some(())).await;
        operator.kill();
        assert!(world.get("hook").await.status.unwrap().webhook_id.is_none());
        let _operator = world.operator(&[]).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        let webhook = world.synced("hook").await;
        assert_eq!((world.calls(Operation::Create), world.at_orion("kill").len()), (1, 1));
        assert_eq!(world.at_orion("kill")[0].id, id(&webhook));
    });
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    run(async |world| {
        let mut operator = world.operator(&["--orion-timeout", "30s"]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::Stall));
        world.create("hook", spec("twice")).await;
        until("the POST is under way", async || (world.calls(Operation::Create) > 0).then_some(())).await;
        operator.signal("TERM");
        until("it takes note", async || operator.log().contains("finishing what is in flight").then_some(())).await;
        assert!(operator.is_alive(), "it waits for the POST");
        let begun = std::time::Instant::now();
        operator.stop().await;
        assert!(begun.elapsed() < 5 * SECOND);
    });
}

#[test]
fn a_restart_with_an_edit_while_down_updates_once() {
    run(async |world| {
        let mut operator = world.operator(&[]).await;
        world.create("edited", spec("edited")).await;
        world.create("same", spec("same")).await;
        world.synced("edited").await;
        world.synced("same").await;
        operator.stop().await;
        world.merge("edited", json!({"spec": {"userId": "new"}})).await;
        world.merge("same", json!({"spec": {"interval": "30m"}})).await;
        let _operator = world.operator(&[]).await;
        world.synced("edited").await;
        world.synced("same").await;
        assert_eq!(world.calls(Operation::Put), 1);
        assert_eq!(world.at_orion("edited")[0].user_id, "new");
    });
}

#[test]
fn wrong_usage_exits_with_2_and_a_failed_start_with_1() {
    run(async |world| {
        let binary = env!("CARGO_BIN_EXE_orion-operator");
        let status = |arguments: &[&str]| std::process::Command::new(binary).args(arguments).output().unwrap();
        for wrong in
            [&["--orion-timeout", "1h"][..], &["--orion-rate-limit", "fast"], &["--interval", "0s"], &["--nonsense"]]
        {
            assert_eq!(status(wrong).status.code(), Some(2), "{wrong:?}");
        }
        let kubeconfig = world.kubeconfig.to_str().unwrap();
        // Others may have the ports of the defaults.
        let ports = ["--metrics-bind-address", "0", "--health-probe-bind-address", "0"];
        let start = [&["run", "--kubeconfig", kubeconfig][..], &ports, &["--operator-namespace"]].concat();
        let wrong = status(&[&start[..], &["orion-system", "--orion-url", "not a url"]].concat());
        assert_eq!(wrong.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("--orion-url"));
        let failed = status(&[&start[..], &["nowhere"]].concat());
        assert_eq!(failed.status.code(), Some(1));
        let told = String::from_utf8_lossy(&failed.stderr);
        assert!(told.contains("--instance-id"), "{told}");
    });
}

#[test]
fn settings_come_from_the_environment_too() {
    run(async |world| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        let failed = command
            .args(["run", "--kubeconfig", world.kubeconfig.to_str().unwrap(), "--operator-namespace", "orion-system"])
            .env("ORION_OPERATOR_ORION_URL", "not a url either")
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&failed.stderr).contains("--orion-url"));
    });
}
