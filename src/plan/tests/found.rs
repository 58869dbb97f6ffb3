//! What the model checker (`model/`) found: its counterexamples, as stories.

use super::process::Process;
use super::world::World;
use super::*;

fn reconcile(process: &mut Process, world: &mut World) {
    while process.step(world).is_none() {}
}

fn until(process: &mut Process, world: &mut World, step: &str) {
    while world.log.last().is_none_or(|last| last != step) {
        assert_eq!(process.step(world), None, "{:?}", world.log);
    }
}

/// Each had the words of its own verdict, and was woken by the other's write.
#[test]
fn two_operators_do_not_write_over_each_others_words() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::lost(1));
    script.reconcile();
    let mut other = Process::default();
    reconcile(&mut other, &mut script.world);
    let writes = script.world.writes;
    for _ in 0..3 {
        script.reconcile();
        reconcile(&mut other, &mut script.world);
    }
    assert_eq!((script.world.writes, script.world.reason().as_str()), (writes, "CreateUncertain"));
}

/// One was refused and had the apiserver's word that the old attempt is still its own, a moment before the other, for
/// which that attempt had settled, began the next: both sent.
#[test]
fn a_refused_attempt_is_not_sent_when_another_operator_may_hold_it_for_settled() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::refused(unsent(FailureClass::Unreachable)));
    script.reconcile();
    let mut other = Process::default();
    reconcile(&mut other, &mut script.world);
    script.pass(62);
    reconcile(&mut other, &mut script.world);
    script.pass(6);
    until(&mut other, &mut script.world, "List");
    until(&mut script.process, &mut script.world, "Prepare");
    assert_eq!(script.process.step(&mut script.world), None);
    assert_eq!(script.world.log.last().map(String::as_str), Some("BeginAttempt"));
    reconcile(&mut other, &mut script.world);
    script.reconcile();
    assert_eq!((script.world.marked().len(), script.world.reason().as_str()), (1, "Synced"));
}

/// It was deleted, and its finalizer taken off by a write whose answer was lost. The cache still showed it living, and the
/// word of a moment ago that the attempt is ours would have been enough to send.
#[test]
fn a_webhook_that_was_read_as_going_is_not_created() {
    let mut script = Script::new();
    until(&mut script.process, &mut script.world, "BeginAttempt");
    let cached = script.world.object.clone();
    script.pass(3).world.delete();
    until(&mut script.process, &mut script.world, "Refresh");
    script.process.lose();
    script.world.object = cached;
    until(&mut script.process, &mut script.world, "Prepare");
    script.world.object = None;
    reconcile(&mut script.process, &mut script.world);
    assert_eq!(script.world.marked().len(), 0, "{:?}", script.world.log);
}
