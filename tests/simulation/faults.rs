//! One fault at every call of every operation: exhaustive, not sampled.

use super::mutant::Mutant;
use super::plan::{API_FAULTS, Fault, ORION_FAULTS, REFUSALS};
use super::scenario::{Operation, Trouble, run, setting};

const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Update, Operation::Delete, Operation::CreateDelete(1), Operation::UpdateDelete(1)];

/// All runs with one fault at one call. Gives their number, or the first that went wrong.
pub fn single_faults(mutant: Option<Mutant>) -> Result<usize, String> {
    let mut runs = 0;
    for operation in OPERATIONS {
        let reference = run(setting(0, mutant), operation, Trouble::default());
        let wanted = reference.end.map_err(|what| format!("{operation:?} without trouble: {what}"))?;
        for (call, of_orion) in (1..).zip(reference.kinds.into_iter().take(reference.busy)) {
            let (passing, refusals) =
                if of_orion { (&ORION_FAULTS[..], &REFUSALS[..]) } else { (&API_FAULTS[..], &[][..]) };
            let passing = passing.iter().map(|fault| (*fault, false));
            let refusals = refusals.iter().map(|fault| (*fault, true));
            for (fault, is_asked_again) in passing.chain(refusals) {
                runs += 1;
                let end = run(setting(0, mutant), operation, with(call, fault, is_asked_again)).end;
                let is_right = end.as_ref().is_ok_and(|end| *end == wanted);
                if !is_right {
                    return Err(format!("{operation:?}, call {call} {fault:?}: {end:?} instead of {wanted:?}"));
                }
            }
        }
    }
    Ok(runs)
}

fn with(call: usize, fault: Fault, is_asked_again: bool) -> Trouble {
    Trouble { faults: [(call, fault)].into(), is_asked_again, ..Trouble::default() }
}

#[test]
fn every_single_fault_ends_as_if_nothing_had_happened() {
    let runs = single_faults(None).unwrap_or_else(|what| panic!("{what}"));
    println!("{runs} runs with one fault");
    assert!(runs >= 250, "{runs} runs");
}
