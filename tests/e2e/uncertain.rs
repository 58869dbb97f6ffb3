//! Creates whose result is not known: nothing is lost and nothing is doubled.

use std::time::Duration;

use devkit::sim::{Action, Config, Fault, HeaderValues, ListShape, OpenApi, Operation};
use orion_operator::api::{CREATE_ATTEMPT, RESOLVE};

use super::world::{id, message, post_only, run, run_with, spec, until};

#[test]
fn a_lost_answer_is_found_by_its_marker() {
    for list_shape in [ListShape::Page, ListShape::Array] {
        run_with(Config { list_shape, openapi: OpenApi::Off, ..Config::default() }, async |world| {
            let _operator = world.operator(&[]).await;
            world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
            world.create("hook", spec("lost")).await;
            world.ready("hook", "Unknown", "CreateUncertain").await;
            let webhook = world.synced("hook").await;
            assert_eq!(world.calls(Operation::Create), 1);
            assert_eq!(world.at_orion("lost")[0].id, id(&webhook));
            world.deleted("hook").await;
            assert!(world.at_orion("lost").is_empty());
        });
    }
}

#[test]
fn a_post_without_effect_is_sent_again_after_two_lists() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::ResetBeforeEffect).once());
        world.create("hook", spec("reset")).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        world.synced("hook").await;
        assert_eq!((world.calls(Operation::Create), world.at_orion("reset").len()), (2, 1));
        assert!(world.calls(Operation::List) >= 2);
    });
}

#[test]
fn a_late_effect_is_found_within_the_settle_time() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        // Past the time-out of 1 s, and within the settle time of 4 s.
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(2_500)).once());
        world.create("hook", spec("late")).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        world.synced("hook").await;
        assert_eq!((world.calls(Operation::Create), world.at_orion("late").len()), (1, 1));
    });
}

#[test]
fn a_list_that_lies_is_not_believed() {
    for lie in [Action::TotalLies, Action::PagesRepeat] {
        run(async |world| {
            let _operator = world.operator(&[]).await;
            world.sim.config(|config| config.max_page_size = 2);
            for n in 0..3 {
                world.create(&format!("other-{n}"), spec(&format!("other-{n}"))).await;
                world.synced(&format!("other-{n}")).await;
            }
            world.sim.add_fault(Fault::on(Operation::List, lie));
            world.sim.add_fault(Fault::on(Operation::Create, Action::ResetBeforeEffect).once());
            world.create("hook", spec("lied-to")).await;
            world.ready("hook", "Unknown", "CreateUncertain").await;
            until("lists were read", async || (world.calls(Operation::List) >= 3).then_some(())).await;
            assert_eq!(world.calls(Operation::Create), 4, "no second POST from a list that is not complete");
            world.sim.clear_faults();
            world.synced("hook").await;
            assert_eq!(world.at_orion("lied-to").len(), 1);
        });
    }
}

#[test]
fn without_a_list_a_person_decides() {
    run_with(post_only(OpenApi::Off), async |world| {
        let _operator = world.operator(&[]).await;
        world.create("plain", spec("plain")).await;
        world.synced("plain").await;

        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).times(2));
        world.create("adopted", spec("adopted")).await;
        world.create("retried", spec("retried")).await;
        let adopted = world.ready("adopted", "False", "CreateUnresolved").await;
        let retried = world.ready("retried", "False", "CreateUnresolved").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(world.calls(Operation::Create), 3, "an unknown result never leads to a POST by itself");

        assert!(message(&adopted).contains(&format!("{RESOLVE}=adopt=<id>")), "{}", message(&adopted));
        let found = world.at_orion("adopted")[0].id.clone();
        world.annotate("adopted", RESOLVE, &format!("adopt={found}")).await;
        assert_eq!(id(&world.synced("adopted").await), found);

        let token =
            retried.metadata.annotations.as_ref().unwrap()[CREATE_ATTEMPT].split(' ').next().unwrap().to_owned();
        assert!(message(&retried).contains(&format!("{RESOLVE}=retry={token}")), "{}", message(&retried));
        world.annotate("retried", RESOLVE, "retry=wrong").await;
        until("a value that fits nothing is named", async || {
            message(&world.get("retried").await).contains("retry=wrong fits nothing").then_some(())
        })
        .await;
        world.annotate("retried", RESOLVE, &format!("retry={token}")).await;
        world.synced("retried").await;
        assert_eq!(world.calls(Operation::Create), 4);
        for name in ["adopted", "retried"] {
            until("the annotation is taken off", async || {
                let annotations = world.get(name).await.metadata.annotations.unwrap_or_default();
                (!annotations.contains_key(RESOLVE)).then_some(())
            })
            .await;
        }
    });
}

#[test]
fn look_alikes_without_readable_markers_are_left_to_a_person() {
    run_with(Config { header_values: HeaderValues::Masked, ..Config::default() }, async |world| {
        let _operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).once());
        world.create("hook", spec("alike")).await;
        let webhook = world.ready("hook", "False", "CreateUnresolved").await;
        let candidate = world.at_orion("alike")[0].id.clone();
        assert!(message(&webhook).contains(&candidate), "{}", message(&webhook));
        world.annotate("hook", RESOLVE, &format!("adopt={candidate}")).await;
        assert_eq!(id(&world.synced("hook").await), candidate);
        assert_eq!(world.calls(Operation::Create), 1);
    });
}

#[test]
fn a_delete_waits_out_an_uncertain_create() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(2_500)).once());
        world.create("hook", spec("hasty")).await;
        world.ready("hook", "Unknown", "CreateUncertain").await;
        world.deleted("hook").await;
        assert_eq!(world.calls(Operation::Create), 1);
        assert!(world.at_orion("hasty").is_empty(), "what came late is deleted too");
    });
}
