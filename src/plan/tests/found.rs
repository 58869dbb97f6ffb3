//! What the model checker (`model/`) found: its counterexamples, as stories.

use super::process::Process;
use super::world::World;
use super::*;

fn reconcile(process: &mut Process, world: &mut World) {
    while process.step(world).is_none() {}
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
